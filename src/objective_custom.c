/* The objective's sums over rows from the caller's callbacks. */
#include <string.h>

#include "dense.h"
#include "memory.h"
#include "objective.h"
#include "objective_sources.h"

/* Row gradients that are only summed are asked for in blocks, so that memory does not grow with the rows. */
enum { ROWS_AT_ONCE = 256 };

typedef struct custom_source {
    infl_custom_objective calls;
    double *theta;
    size_t budget; /* bytes; 0: no limit */
} custom_source;

/* The rows whose gradients fit the budget at once. */
static infl_status block_of(const custom_source *source, size_t n, size_t *rows) {
    size_t row = source->calls.n_parameters * sizeof(double);
    if (source->budget > 0 && source->budget < row)
        return infl_refuse_budget(source->budget, row);
    *rows = n < ROWS_AT_ONCE ? n : ROWS_AT_ONCE;
    if (source->budget > 0 && source->budget / row < *rows)
        *rows = source->budget / row;
    return INFL_OK;
}

static void destroy(void *self) {
    custom_source *source = self;
    if (source == NULL)
        return;
    infl_release(source->theta);
    infl_release(source);
}

infl_status infl_custom_source_create(void **out, const infl_custom_objective *custom, const double *theta,
                                      size_t budget) {
    custom_source *source;
    INFL_ALLOCATE(source, 1);
    source->calls = *custom;
    source->budget = budget;
    source->theta = infl_allocate(custom->n_parameters, sizeof *source->theta);
    if (source->theta == NULL) {
        infl_release(source);
        return INFL_E_MEMORY;
    }
    memcpy(source->theta, theta, custom->n_parameters * sizeof *theta);
    *out = source;
    return INFL_OK;
}

/* The callbacks have what they need. */
static infl_status workspace_create(const void *self, void **workspace) {
    (void)self;
    *workspace = NULL;
    return INFL_OK;
}

static void workspace_destroy(const void *self, void *workspace) { (void)self, (void)workspace; }

static infl_status clone(const void *self, int threads, void **out) {
    (void)threads; /* the callbacks decide */
    const custom_source *source = self;
    return infl_custom_source_create(out, &source->calls, source->theta, source->budget);
}

static infl_status get_parameters(const void *self, double *theta) {
    const custom_source *source = self;
    memcpy(theta, source->theta, source->calls.n_parameters * sizeof *theta);
    return INFL_OK;
}

static infl_status set_parameters(void *self, const double *theta) {
    custom_source *source = self;
    memcpy(source->theta, theta, source->calls.n_parameters * sizeof *theta);
    return INFL_OK;
}

static infl_status check(int code, const char *callback) {
    return code == 0 ? INFL_OK : infl_fail(INFL_E_CALLBACK, "the %s callback returned %d", callback, code);
}

static infl_status losses(const void *self, void *workspace, const size_t *rows, size_t n, double *out) {
    (void)workspace;
    const custom_source *source = self;
    return check(source->calls.losses(source->calls.context, source->theta, rows, n, out), "losses");
}

static infl_status row_gradients(const void *self, void *workspace, const size_t *rows, size_t n, double *gradients) {
    (void)workspace;
    const custom_source *source = self;
    return check(source->calls.row_gradients(source->calls.context, source->theta, rows, n, gradients),
                 "row_gradients");
}

/* What is done with a block of gradients: rows at .. at+n−1. */
typedef struct row_sums {
    size_t p, k, n_rows;
    const double *input; /* k×p vectors or k×n weights */
    double *out;
} row_sums;

static void take_products(const row_sums *sums, const double *gradients, size_t at, size_t n) {
    infl_gemm(n, sums->k, sums->p, 1.0, gradients, sums->p, 1, sums->input, 1, sums->p, 0.0, sums->out + at * sums->k,
              sums->k, 1);
}

static void take_squares(const row_sums *sums, const double *gradients, size_t at, size_t n) {
    for (size_t i = 0; i < n; i++)
        sums->out[at + i] = infl_dot(gradients + i * sums->p, gradients + i * sums->p, sums->p);
}

static void take_weighted(const row_sums *sums, const double *gradients, size_t at, size_t n) {
    for (size_t j = 0; j < sums->k; j++)
        for (size_t i = 0; i < n; i++)
            infl_axpy(sums->input == NULL ? 1.0 : sums->input[j * sums->n_rows + at + i], gradients + i * sums->p,
                      sums->out + j * sums->p, sums->p);
}

static void take_fisher(const row_sums *sums, const double *gradients, size_t at, size_t n) {
    (void)at;
    for (size_t j = 0; j < sums->k; j++)
        for (size_t i = 0; i < n; i++)
            infl_axpy(infl_dot(gradients + i * sums->p, sums->input + j * sums->p, sums->p), gradients + i * sums->p,
                      sums->out + j * sums->p, sums->p);
}

static infl_status over_row_gradients(const void *self, const size_t *rows, const row_sums *sums,
                                      void (*take)(const row_sums *, const double *, size_t, size_t)) {
    double *gradients;
    size_t block = 0;
    infl_status status = INFL_OK;
    INFL_TRY(block_of(self, sums->n_rows, &block));
    INFL_ALLOCATE(gradients, block * sums->p);
    for (size_t at = 0; at < sums->n_rows && status == INFL_OK; at += block) {
        size_t n = sums->n_rows - at < block ? sums->n_rows - at : block;
        status = row_gradients(self, NULL, rows + at, n, gradients);
        if (status == INFL_OK)
            take(sums, gradients, at, n);
    }
    infl_release(gradients);
    return status;
}

static infl_status row_squares(const void *self, void *workspace, const size_t *rows, size_t n, double *squares) {
    (void)workspace;
    row_sums sums = {((const custom_source *)self)->calls.n_parameters, 1, n, NULL, squares};
    return over_row_gradients(self, rows, &sums, take_squares);
}

static infl_status row_products(const void *self, void *workspace, const size_t *rows, size_t n, const double *vectors,
                                size_t k, double *out) {
    (void)workspace;
    row_sums sums = {((const custom_source *)self)->calls.n_parameters, k, n, vectors, out};
    return over_row_gradients(self, rows, &sums, take_products);
}

static infl_status weighted_gradients(const void *self, void *workspace, const size_t *rows, size_t n,
                                      const double *weights, size_t k, double *out, double *row_losses) {
    row_sums sums = {((const custom_source *)self)->calls.n_parameters, k, n, weights, out};
    if (row_losses != NULL)
        INFL_TRY(losses(self, workspace, rows, n, row_losses));
    memset(out, 0, k * sums.p * sizeof *out);
    return over_row_gradients(self, rows, &sums, take_weighted);
}

typedef struct products_call {
    const char *name;
    int (*function)(void *, const double *, const size_t *, size_t, const double *, size_t, double *);
} products_call;

static products_call products_of(const custom_source *source, infl_curvature_kind kind) {
    if (kind == INFL_HESSIAN)
        return (products_call){"hessian_products", source->calls.hessian_products};
    return (products_call){"gauss_newton_products", source->calls.gauss_newton_products};
}

static infl_status check_kind(const void *self, infl_curvature_kind kind) {
    products_call call = products_of(self, kind);
    if (kind != INFL_FISHER && call.function == NULL)
        return infl_fail(INFL_E_UNSUPPORTED, "this needs the custom objective's %s callback, which is NULL", call.name);
    return INFL_OK;
}

static infl_status products(const void *self, void *workspace, infl_curvature_kind kind, const size_t *rows, size_t n,
                            const double *vectors, size_t k, double *out) {
    (void)workspace;
    const custom_source *source = self;
    const infl_custom_objective *calls = &source->calls;
    if (kind == INFL_FISHER) {
        row_sums sums = {calls->n_parameters, k, n, vectors, out};
        memset(out, 0, k * sums.p * sizeof *out);
        return over_row_gradients(self, rows, &sums, take_fisher);
    }
    products_call call = products_of(source, kind);
    INFL_TRY(check_kind(self, kind));
    return check(call.function(calls->context, source->theta, rows, n, vectors, k, out), call.name);
}

static infl_status check_images(const void *self, size_t crop) {
    (void)self, (void)crop;
    return infl_fail(INFL_E_UNSUPPORTED,
                     "crop and flip are of a network's images; a custom objective's rows are unknown");
}

static infl_status memory(const void *self, void *workspace, size_t n, size_t k, size_t *bytes) {
    (void)workspace, (void)k;
    size_t rows = 0;
    INFL_TRY(block_of(self, n, &rows));
    *bytes = rows * ((const custom_source *)self)->calls.n_parameters * sizeof(double);
    return INFL_OK;
}

/* Of the data nothing is known but the losses. */
static infl_status identify(const void *self, const size_t *rows, size_t n, infl_hash *model, infl_hash *data) {
    const custom_source *source = self;
    double *values;
    INFL_ALLOCATE(values, n);
    infl_status status = losses(self, NULL, rows, n, values);
    infl_hash_string(model, "custom");
    infl_hash_doubles(model, source->theta, source->calls.n_parameters);
    for (size_t i = 0; i < n; i++)
        infl_hash_number(data, rows[i]);
    infl_hash_doubles(data, values, n);
    infl_release(values);
    return status;
}

const infl_source_ops infl_custom_source = {
    .destroy = destroy,
    .workspace_create = workspace_create,
    .workspace_destroy = workspace_destroy,
    .clone = clone,
    .get_parameters = get_parameters,
    .set_parameters = set_parameters,
    .losses = losses,
    .row_gradients = row_gradients,
    .row_squares = row_squares,
    .row_products = row_products,
    .weighted_gradients = weighted_gradients,
    .products = products,
    .check_images = check_images,
    .check_kind = check_kind,
    .memory = memory,
    .identify = identify,
};

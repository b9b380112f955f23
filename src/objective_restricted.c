/* The sums over rows of another source as functions of some of its parameters; the others stay as they are. */
#include <string.h>

#include "dense.h"
#include "memory.h"
#include "objective.h"
#include "objective_sources.h"

typedef struct restricted_source {
    const infl_source_ops *ops;
    void *inner; /* owned */
    size_t p, q;
    size_t *parameters; /* q of the inner source's p, ascending */
    double *whole; /* p, of set_parameters: nothing runs beside it, and what restores θ after a failure may not fail */
} restricted_source;

static void destroy(void *self) {
    restricted_source *source = self;
    if (source == NULL)
        return;
    if (source->inner != NULL)
        source->ops->destroy(source->inner);
    infl_release(source->parameters);
    infl_release(source->whole);
    infl_release(source);
}

infl_status infl_restricted_source_create(void **out, const infl_source_ops *ops, void *inner, size_t p,
                                          const size_t *parameters, size_t q) {
    restricted_source *source;
    infl_status status = INFL_OK;
    INFL_ALLOCATE(source, 1);
    *source = (restricted_source){.ops = ops, .p = p, .q = q};
    INFL_ALLOCATE_OR_OUT(source->parameters, q);
    INFL_ALLOCATE_OR_OUT(source->whole, p);
    memcpy(source->parameters, parameters, q * sizeof *parameters);
    source->inner = inner;
    *out = source;
    source = NULL;
out:
    destroy(source);
    return status;
}

const infl_source_ops *infl_innermost_source(const infl_source_ops *ops, const void *source) {
    return ops == &infl_restricted_source ? ((const restricted_source *)source)->ops : ops;
}

const size_t *infl_restricted_parameters(const infl_source_ops *ops, const void *source) {
    return ops == &infl_restricted_source ? ((const restricted_source *)source)->parameters : NULL;
}

/* All calls allocate what else they need: a workspace is the inner source's. */
static infl_status workspace_create(const void *self, void **workspace) {
    const restricted_source *source = self;
    return source->ops->workspace_create(source->inner, workspace);
}

static void workspace_destroy(const void *self, void *workspace) {
    const restricted_source *source = self;
    source->ops->workspace_destroy(source->inner, workspace);
}

/* A copy of the inner source becomes one of this; it is destroyed on failure. */
static infl_status restrict_copy(const restricted_source *source, void *inner, void **out) {
    infl_status status =
        infl_restricted_source_create(out, source->ops, inner, source->p, source->parameters, source->q);
    if (status != INFL_OK)
        source->ops->destroy(inner);
    return status;
}

static infl_status clone(const void *self, int threads, void **out) {
    const restricted_source *source = self;
    void *inner;
    INFL_TRY(source->ops->clone(source->inner, threads, &inner));
    return restrict_copy(source, inner, out);
}

static infl_precision precision(const void *self) {
    const restricted_source *source = self;
    return source->ops->precision == NULL ? INFL_F64 : source->ops->precision(source->inner);
}

static infl_status convert(const void *self, infl_precision to, int threads, void **out) {
    const restricted_source *source = self;
    void *inner;
    INFL_TRY(source->ops->convert(source->inner, to, threads, &inner));
    return restrict_copy(source, inner, out);
}

/* Of k whole vectors their numbers here: k×p to k×q. */
static void gather(const restricted_source *source, const double *whole, size_t k, double *out) {
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < source->q; i++)
            out[j * source->q + i] = whole[j * source->p + source->parameters[i]];
}

/* The other way; all else in the whole vectors stays. */
static void scatter(const restricted_source *source, const double *vectors, size_t k, double *whole) {
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < source->q; i++)
            whole[j * source->p + source->parameters[i]] = vectors[j * source->q + i];
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* *whole: all of the inner source's θ, to be released also on failure. */
static infl_status get_whole(const restricted_source *source, double **whole) {
    INFL_ALLOCATE(*whole, source->p);
    return source->ops->get_parameters(source->inner, *whole);
}

static infl_status get_parameters(const void *self, double *theta) {
    const restricted_source *source = self;
    double *whole;
    infl_status status = get_whole(source, &whole);
    if (status == INFL_OK)
        gather(source, whole, 1, theta);
    infl_release(whole);
    return status;
}

static infl_status set_parameters(void *self, const double *theta) {
    restricted_source *source = self;
    INFL_TRY(source->ops->get_parameters(source->inner, source->whole));
    scatter(source, theta, 1, source->whole);
    return source->ops->set_parameters(source->inner, source->whole);
}

static size_t others_size(const void *self) {
    const restricted_source *source = self;
    return source->p - source->q;
}

static infl_status get_others(const void *self, double *others) {
    const restricted_source *source = self;
    double *whole;
    infl_status status = get_whole(source, &whole);
    for (size_t i = 0, own = 0; status == INFL_OK && i < source->p; i++) {
        if (own < source->q && source->parameters[own] == i)
            own++;
        else
            *others++ = whole[i];
    }
    infl_release(whole);
    return status;
}

static size_t state_size(const void *self) {
    const restricted_source *source = self;
    return source->ops->state_size == NULL ? 0 : source->ops->state_size(source->inner);
}

static infl_status get_state(const void *self, double *state) {
    const restricted_source *source = self;
    return source->ops->get_state(source->inner, state);
}

static infl_status set_state(void *self, const double *state) {
    restricted_source *source = self;
    return source->ops->set_state(source->inner, state);
}

static infl_status losses(const void *self, void *workspace, const size_t *rows, size_t n, double *out) {
    const restricted_source *source = self;
    return source->ops->losses(source->inner, workspace, rows, n, out);
}

static infl_status row_gradients(const void *self, void *workspace, const size_t *rows, size_t n, double *gradients) {
    const restricted_source *source = self;
    size_t block = infl_vectors_at_once(source->p, n);
    double *whole;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX(whole, block, source->p);
    for (size_t at = 0; at < n && status == INFL_OK; at += block) {
        size_t now = least(n - at, block);
        status = source->ops->row_gradients(source->inner, workspace, rows + at, now, whole);
        if (status == INFL_OK)
            gather(source, whole, now, gradients + at * source->q);
    }
    infl_release(whole);
    return status;
}

static infl_status row_squares(const void *self, void *workspace, const size_t *rows, size_t n, double *squares) {
    const restricted_source *source = self;
    size_t q = source->q, block = infl_vectors_at_once(source->p, n);
    double *gradients;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX(gradients, block, q);
    for (size_t at = 0; at < n && status == INFL_OK; at += block) {
        size_t now = least(n - at, block);
        status = row_gradients(self, workspace, rows + at, now, gradients);
        for (size_t i = 0; i < now && status == INFL_OK; i++)
            squares[at + i] = infl_dot(gradients + i * q, gradients + i * q, q);
    }
    infl_release(gradients);
    return status;
}

static infl_status row_products(const void *self, void *workspace, const size_t *rows, size_t n, const double *vectors,
                                size_t k, double *out) {
    const restricted_source *source = self;
    size_t block = infl_vectors_at_once(source->p, k);
    double *whole = NULL, *products = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX_OR_OUT(whole, block, source->p);
    INFL_ALLOCATE_MATRIX_OR_OUT(products, n, block);
    for (size_t at = 0; at < k; at += block) {
        size_t now = least(k - at, block);
        scatter(source, vectors + at * source->q, now, whole);
        status = source->ops->row_products(source->inner, workspace, rows, n, whole, now, products);
        if (status != INFL_OK)
            goto out;
        for (size_t i = 0; i < n; i++)
            memcpy(out + i * k + at, products + i * now, now * sizeof *out);
    }
out:
    infl_release(whole);
    infl_release(products);
    return status;
}

static infl_status weighted_gradients(const void *self, void *workspace, const size_t *rows, size_t n,
                                      const double *weights, size_t k, double *out, double *row_losses) {
    const restricted_source *source = self;
    size_t block = infl_vectors_at_once(source->p, k);
    double *whole;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX(whole, block, source->p);
    for (size_t at = 0; at < k && status == INFL_OK; at += block) {
        size_t now = least(k - at, block);
        status = source->ops->weighted_gradients(source->inner, workspace, rows, n,
                                                 weights == NULL ? NULL : weights + at * n, now, whole,
                                                 at == 0 ? row_losses : NULL);
        if (status == INFL_OK)
            gather(source, whole, now, out + at * source->q);
    }
    infl_release(whole);
    return status;
}

static size_t training_rows(const void *self, int fixed_statistics) {
    const restricted_source *source = self;
    return source->ops->training_rows == NULL ? 0 : source->ops->training_rows(source->inner, fixed_statistics);
}

static infl_status training_gradient(const void *self, void *workspace, const size_t *rows, size_t n,
                                     const struct infl_training_step *step, double *out) {
    const restricted_source *source = self;
    double *whole;
    INFL_ALLOCATE(whole, source->p);
    infl_status status = source->ops->training_gradient(source->inner, workspace, rows, n, step, whole);
    if (status == INFL_OK)
        gather(source, whole, 1, out);
    infl_release(whole);
    return status;
}

static infl_status check_images(const void *self, size_t crop) {
    const restricted_source *source = self;
    return source->ops->check_images(source->inner, crop);
}

static infl_status products(const void *self, void *workspace, infl_curvature_kind kind, const size_t *rows, size_t n,
                            const double *vectors, size_t k, double *out) {
    const restricted_source *source = self;
    size_t block = infl_vectors_at_once(source->p, k);
    double *whole = NULL, *images = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX_OR_OUT(whole, block, source->p);
    INFL_ALLOCATE_MATRIX_OR_OUT(images, block, source->p);
    for (size_t at = 0; at < k; at += block) {
        size_t now = least(k - at, block);
        scatter(source, vectors + at * source->q, now, whole);
        status = source->ops->products(source->inner, workspace, kind, rows, n, whole, now, images);
        if (status != INFL_OK)
            goto out;
        gather(source, images, now, out + at * source->q);
    }
out:
    infl_release(whole);
    infl_release(images);
    return status;
}

static infl_status dense(const void *self, void *workspace, const infl_dense_call *call) {
    const restricted_source *source = self;
    infl_dense_call inner = *call;
    size_t *parameters;
    INFL_ALLOCATE(parameters, call->q);
    for (size_t i = 0; i < call->q; i++)
        parameters[i] = source->parameters[call->parameters[i]];
    inner.parameters = parameters;
    infl_status status = infl_source_dense(source->ops, source->inner, workspace, source->p, &inner);
    infl_release(parameters);
    return status;
}

static infl_status describe_loss(const void *self, infl_loss *loss) {
    const restricted_source *source = self;
    return source->ops->describe_loss == NULL ? INFL_E_UNSUPPORTED : source->ops->describe_loss(source->inner, loss);
}

static infl_status check_kind(const void *self, infl_curvature_kind kind) {
    const restricted_source *source = self;
    return source->ops->check_kind(source->inner, kind);
}

static infl_status memory(const void *self, void *workspace, size_t n, size_t k, size_t *bytes) {
    const restricted_source *source = self;
    size_t block = infl_vectors_at_once(source->p, k), inner = 0;
    INFL_TRY(source->ops->memory(source->inner, workspace, n, block, &inner));
    *bytes = inner + 2 * block * source->p * sizeof(double);
    return INFL_OK;
}

static infl_status identify(const void *self, const size_t *rows, size_t n, infl_hash *model, infl_hash *data) {
    const restricted_source *source = self;
    infl_hash_string(model, "restricted");
    infl_hash_number(model, source->q);
    for (size_t i = 0; i < source->q; i++)
        infl_hash_number(model, source->parameters[i]);
    return source->ops->identify(source->inner, rows, n, model, data);
}

const infl_source_ops infl_restricted_source = {
    .destroy = destroy,
    .workspace_create = workspace_create,
    .workspace_destroy = workspace_destroy,
    .clone = clone,
    .precision = precision,
    .convert = convert,
    .get_parameters = get_parameters,
    .set_parameters = set_parameters,
    .state_size = state_size,
    .get_state = get_state,
    .set_state = set_state,
    .others_size = others_size,
    .get_others = get_others,
    .losses = losses,
    .row_gradients = row_gradients,
    .row_squares = row_squares,
    .row_products = row_products,
    .weighted_gradients = weighted_gradients,
    .training_rows = training_rows,
    .training_gradient = training_gradient,
    .check_images = check_images,
    .products = products,
    .dense = dense,
    .check_kind = check_kind,
    .describe_loss = describe_loss,
    .memory = memory,
    .identify = identify,
};

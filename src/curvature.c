#include "curvature.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "dense.h"
#include "memory.h"
#include "objective_sources.h"
#include "parallel.h"
#include "random.h"
#include "saved.h"

/* Columns of a dense matrix that are asked for at once: they bound the memory and leave threads enough side by side. */
#define DENSE_BLOCK ((size_t)128)
#define MOST_FOR_DAMPING ((size_t)300)

static infl_status curvature_create(infl_curvature **out, const infl_curvature_ops *ops, void *self, size_t p,
                                    size_t n_rows) {
    infl_curvature *curvature;
    INFL_ALLOCATE(curvature, 1);
    *curvature = (infl_curvature){.ops = ops,
                                  .self = self,
                                  .p = p,
                                  .n_rows = n_rows,
                                  .threads = 1,
                                  .floor = NAN,
                                  .passes = INFL_F64,
                                  .formed_passes = INFL_F64,
                                  .remedy = ""};
    *out = curvature;
    return INFL_OK;
}

static infl_status check_damping(const char *function, double damping) {
    if (damping != INFL_DAMPING_AUTO && (!(damping >= 0) || isinf(damping)))
        return infl_fail(INFL_E_ARGUMENT, "%s: damping is %g; it must be finite and not negative, or INFL_DAMPING_AUTO",
                         function, damping);
    return INFL_OK;
}

/* low + λ ≥ (m + λ)/condition, m the largest magnitude; both by what Lanczos may be off on the safe side. */
static infl_status find_damping(infl_curvature *curvature, double *damping) {
    /* in f32 products are off by some 1e-7 of ‖C‖, so residuals level off at 1e-7 × this: below the default tolerances */
    static const double condition = 500;
    static const uint64_t seed = 1;
    infl_sample all = {NULL, curvature->n_rows}; /* a single row may bend more than all others */
    infl_extremes ends;
    curvature->damping = 0;
    const infl_extremes_goal goal = {1 / condition, 1 / condition, MOST_FOR_DAMPING};
    INFL_TRY(infl_curvature_extremes(curvature, &all, seed, &goal, NULL, NULL, &ends));
    double low = ends.low - ends.low_error, largest = fmax(fabs(low), ends.high + ends.high_error);
    *damping = fmax(0, (largest / condition - low) / (1 - 1 / condition));
    if (isinf(*damping))
        return infl_fail(INFL_E_NONFINITE, "the damping that %g and %g as extreme eigenvalues ask for is not finite",
                         ends.low, ends.high);
    return INFL_OK;
}

static infl_status set_damping(infl_curvature *curvature, double damping) {
    double before = curvature->damping;
    int automatic = damping == INFL_DAMPING_AUTO;
    infl_status status = automatic ? find_damping(curvature, &damping) : INFL_OK;
    curvature->damping = status == INFL_OK ? damping : before;
    if (status == INFL_OK)
        curvature->automatic = automatic;
    return status;
}

/* The last step of a constructor: on failure nothing is left. */
static infl_status finish(infl_curvature **out, infl_curvature *curvature, double damping, const char *function) {
    infl_status status = set_damping(curvature, damping);
    if (status == INFL_OK)
        *out = curvature;
    else
        infl_curvature_destroy(curvature);
    return infl_in_name_of(function, status);
}

infl_status infl_curvature_sample(const infl_curvature *curvature, size_t count, uint64_t seed, infl_sample *out) {
    size_t n = curvature->n_rows;
    *out = (infl_sample){NULL, n};
    if (count == 0 || count >= n || curvature->formed != NULL)
        return INFL_OK;
    INFL_ALLOCATE(out->rows, n);
    infl_random_choose(seed, INFL_STREAM_SAMPLE, n, count, out->rows);
    out->n = count;
    return INFL_OK;
}

typedef struct objective_curvature {
    infl_objective *objective; /* borrowed */
    infl_curvature_kind kind;
} objective_curvature;

static infl_status objective_product(void *self, const size_t *rows, size_t n, const double *vectors, size_t k,
                                     double *out) {
    const objective_curvature *of = self;
    if (rows == NULL)
        return infl_objective_product(of->objective, of->kind, vectors, k, out);
    return infl_objective_product_rows(of->objective, of->kind, rows, n, vectors, k, out);
}

static infl_status objective_point(const void *self, double *point) {
    const infl_objective *objective = ((const objective_curvature *)self)->objective;
    INFL_TRY(infl_objective_get_parameters(objective, point));
    INFL_TRY(infl_objective_get_others(objective, point + objective->n_parameters));
    return infl_objective_get_state(objective, point + objective->n_parameters + infl_objective_others(objective));
}

static infl_status objective_form(void *self, const infl_dense_options *options, double *matrix,
                                  infl_dense_report *report) {
    const objective_curvature *of = self;
    return infl_objective_dense(of->objective, of->kind, options, matrix, report);
}

static infl_status objective_dense(void *self, infl_progress_fn progress, void *context, double *matrix) {
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    options.progress = progress;
    options.progress_context = context;
    return objective_form(self, &options, matrix, NULL);
}

static infl_status objective_describe(const void *self, infl_saved *saved) {
    const objective_curvature *of = self;
    saved->kind = (int)of->kind;
    saved->n = infl_objective_rows(of->objective);
    return infl_objective_identity(of->objective, &saved->identity);
}

/*
 * Sums of squares plus the decay. Every loss here is convex in the outputs; of a caller's own Gauss–Newton products
 * nobody knows.
 */
static double floor_of(const infl_objective *objective, infl_curvature_kind kind) {
    int network = infl_innermost_source(objective->ops, objective->source) == &infl_network_source;
    if (kind != INFL_FISHER && !(kind == INFL_GAUSS_NEWTON && network))
        return NAN;
    for (size_t i = 0; i < objective->n_parameters; i++)
        if (!objective->mask[i])
            return 0;
    return objective->decay;
}

infl_status infl_curvature_create(infl_curvature **out, infl_objective *objective, infl_curvature_kind kind,
                                  double damping) {
    static const infl_curvature_ops ops = {.destroy = infl_release,
                                           .product = objective_product,
                                           .dense = objective_dense,
                                           .form = objective_form,
                                           .point = objective_point,
                                           .describe = objective_describe};
    INFL_REQUIRE(out);
    INFL_REQUIRE(objective);
    if ((int)kind < INFL_HESSIAN || (int)kind > INFL_FISHER)
        return infl_fail(INFL_E_ARGUMENT, "%s: kind is %d; there are %d to %d", __func__, (int)kind, INFL_HESSIAN,
                         INFL_FISHER);
    INFL_TRY(check_damping(__func__, damping));
    INFL_TRY(infl_in_name_of(__func__, objective->ops->check_kind(objective->source, kind)));
    objective_curvature *self;
    INFL_ALLOCATE_NAMED(self, 1);
    *self = (objective_curvature){objective, kind};
    infl_curvature *curvature;
    infl_status status =
        curvature_create(&curvature, &ops, self, infl_objective_parameters(objective), infl_objective_rows(objective));
    if (status != INFL_OK) {
        infl_release(self);
        return infl_in_name_of(__func__, status);
    }
    curvature->n_others = infl_objective_others(objective);
    curvature->n_point = objective->n_parameters + curvature->n_others + infl_objective_state(objective);
    curvature->threads = objective->threads;
    curvature->floor = floor_of(objective, kind);
    curvature->passes = curvature->formed_passes = infl_objective_precision(objective);
    if (kind == INFL_HESSIAN)
        curvature->remedy = "not a minimum? train or polish further, use INFL_GAUSS_NEWTON, or damp: ";
    return finish(out, curvature, damping, __func__);
}

/*
 * k products with a symmetric matrix, by dot products and not by gemm: an answer's bits do not depend on how many
 * vectors were asked for with it.
 */
static void multiply(const double *matrix, size_t p, const double *vectors, size_t k, double *out, int threads) {
    enum { LARGE = 1 << 18 }; /* numbers; a smaller matrix is read before threads have begun */
    (void)threads;            /* without OpenMP */
#pragma omp parallel for num_threads(threads) if (p * p >= LARGE)
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < k; j++)
            out[j * p + i] = infl_dot(matrix + i * p, vectors + j * p, p);
}

typedef struct matrix_curvature {
    size_t p;
    double *matrix; /* p×p, exactly symmetric */
} matrix_curvature;

static void matrix_destroy(void *self) {
    infl_release(((matrix_curvature *)self)->matrix);
    infl_release(self);
}

static infl_status matrix_product(void *self, const size_t *rows, size_t n, const double *vectors, size_t k,
                                  double *out) {
    const matrix_curvature *of = self;
    (void)rows, (void)n; /* a matrix has no rows of data: it is its own estimate */
    multiply(of->matrix, of->p, vectors, k, out, 1);
    return INFL_OK;
}

static infl_status matrix_dense(void *self, infl_progress_fn progress, void *context, double *matrix) {
    const matrix_curvature *of = self;
    (void)progress, (void)context; /* it is there */
    memcpy(matrix, of->matrix, of->p * of->p * sizeof *matrix);
    return INFL_OK;
}

static infl_status matrix_describe(const void *self, infl_saved *saved) {
    const matrix_curvature *of = self;
    infl_hash *hash;
    INFL_TRY(infl_hash_begin(&hash));
    infl_hash_doubles(hash, of->matrix, of->p * of->p);
    infl_hash_end(hash, saved->identity.model);
    saved->kind = INFL_SAVED_MATRIX;
    return INFL_OK;
}

/* A ← (A + Aᵀ)/2 */
static void symmetrise(double *matrix, size_t p) {
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < i; j++)
            matrix[i * p + j] = matrix[j * p + i] = 0.5 * matrix[i * p + j] + 0.5 * matrix[j * p + i];
}

infl_status infl_curvature_from_matrix(infl_curvature **out, const double *matrix, size_t p, double damping) {
    static const infl_curvature_ops ops = {
        .destroy = matrix_destroy, .product = matrix_product, .dense = matrix_dense, .describe = matrix_describe};
    INFL_REQUIRE(out);
    INFL_REQUIRE(matrix);
    if (p == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: p is 0; it must be at least 1", __func__);
    INFL_TRY(check_damping(__func__, damping));
    double largest = 0;
    for (size_t i = 0; i < p; i++) {
        if (!infl_all_finite(matrix + i * p, p))
            return infl_fail(INFL_E_NONFINITE, "%s: row %zu of the matrix has a NaN or an infinity", __func__, i);
        for (size_t j = 0; j < p; j++)
            largest = fmax(largest, fabs(matrix[i * p + j]));
    }
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < i; j++)
            if (fabs(matrix[i * p + j] - matrix[j * p + i]) > 1e-10 * largest)
                return infl_fail(INFL_E_ARGUMENT,
                                 "%s: the matrix is not symmetric: element (%zu, %zu) is %.17g, "
                                 "(%zu, %zu) is %.17g",
                                 __func__, i, j, matrix[i * p + j], j, i, matrix[j * p + i]);
    matrix_curvature *self;
    infl_curvature *curvature;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_NAMED(self, 1);
    self->p = p;
    INFL_ALLOCATE_MATRIX_OR_OUT(self->matrix, p, p);
    memcpy(self->matrix, matrix, p * p * sizeof *matrix);
    symmetrise(self->matrix, p);
    status = curvature_create(&curvature, &ops, self, p, 0);
out:
    if (status != INFL_OK) {
        matrix_destroy(self);
        return infl_in_name_of(__func__, status);
    }
    return finish(out, curvature, damping, __func__);
}

typedef struct callback_curvature {
    infl_product_fn product;
    void *context;
} callback_curvature;

static infl_status callback_product(void *self, const size_t *rows, size_t n, const double *vectors, size_t k,
                                    double *out) {
    const callback_curvature *of = self;
    (void)rows, (void)n; /* the caller's product knows no rows of data */
    int code = of->product(of->context, vectors, k, out);
    if (code != 0)
        return infl_fail(INFL_E_CALLBACK, "the product callback of a curvature returned %d", code);
    return INFL_OK;
}

infl_status infl_curvature_from_product(infl_curvature **out, infl_product_fn product, void *context, size_t p,
                                        double damping) {
    static const infl_curvature_ops ops = {.destroy = infl_release, .product = callback_product};
    INFL_REQUIRE(out);
    INFL_REQUIRE(product);
    if (p == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: p is 0; it must be at least 1", __func__);
    INFL_TRY(check_damping(__func__, damping));
    callback_curvature *self;
    INFL_ALLOCATE_NAMED(self, 1);
    *self = (callback_curvature){product, context};
    infl_curvature *curvature;
    infl_status status = curvature_create(&curvature, &ops, self, p, 0);
    if (status != INFL_OK) {
        infl_release(self);
        return infl_in_name_of(__func__, status);
    }
    return finish(out, curvature, damping, __func__);
}

void infl_curvature_destroy(infl_curvature *curvature) {
    if (curvature == NULL)
        return;
    curvature->ops->destroy(curvature->self);
    infl_release(curvature->formed);
    infl_release(curvature->formed_point);
    infl_release(curvature);
}

size_t infl_curvature_size(const infl_curvature *curvature) { return curvature == NULL ? 0 : curvature->p; }

double infl_curvature_damping(const infl_curvature *curvature) { return curvature == NULL ? 0 : curvature->damping; }

infl_status infl_curvature_set_damping(infl_curvature *curvature, double damping) {
    INFL_REQUIRE(curvature);
    INFL_TRY(check_damping(__func__, damping));
    return infl_in_name_of(__func__, set_damping(curvature, damping));
}

/* An allowance: products of small networks were seen to take a hundredth of it. */
double infl_rounding(infl_precision passes) { return 64 * (passes == INFL_F32 ? FLT_EPSILON : DBL_EPSILON); }

infl_precision infl_curvature_passes(const infl_curvature *curvature) {
    return curvature->formed != NULL ? curvature->formed_passes : curvature->passes;
}

double infl_curvature_rounding(const infl_curvature *curvature) {
    /* dot products with a matrix, and λx */
    return infl_rounding(infl_curvature_passes(curvature)) + ((double)curvature->p + 4) * DBL_EPSILON;
}

infl_status infl_curvature_read_point(const infl_curvature *curvature, double **point) {
    *point = NULL;
    if (curvature->ops->point == NULL)
        return INFL_OK;
    INFL_ALLOCATE(*point, curvature->n_point);
    return curvature->ops->point(curvature->self, *point);
}

infl_status infl_curvature_check_point(const infl_curvature *curvature, const double *point, const char *since,
                                       const char *remedy) {
    double *now;
    size_t others = curvature->p, state = others + curvature->n_others;
    infl_status status = infl_curvature_read_point(curvature, &now);
    for (size_t i = 0; status == INFL_OK && now != NULL && i < curvature->n_point; i++) {
        if (now[i] == point[i])
            continue;
        const char *what = i < others ? "theta" : i < state ? "a parameter beside theta" : "the model's state";
        size_t first = i < others ? 0 : i < state ? others : state;
        status = infl_fail(INFL_E_ARGUMENT, "%s has changed since %s (%s %zu: %g, now %g, a change of %.2g); %s", what,
                           since, i < state ? "parameter" : "number", i - first, point[i], now[i], now[i] - point[i],
                           remedy);
    }
    infl_release(now);
    return status;
}

/* That what was formed is of θ and the state as they are. */
static infl_status check_formed(const infl_curvature *curvature) {
    return infl_curvature_check_point(curvature, curvature->formed_point, "the matrix was formed",
                                      "call infl_curvature_form again");
}

infl_status infl_curvature_form(infl_curvature *curvature, const infl_dense_options *options,
                                infl_dense_report *report) {
    INFL_REQUIRE(curvature);
    if (curvature->ops->form == NULL)
        return infl_fail(INFL_E_UNSUPPORTED,
                         "%s: the curvature is of no objective; infl_curvature_dense gives its "
                         "matrix",
                         __func__);
    size_t p = curvature->p;
    double *point = NULL, *matrix = curvature->formed;
    infl_dense_options given = INFL_DENSE_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&given, sizeof given, options, __func__, "options"));
    infl_status status = infl_curvature_read_point(curvature, &point);
    if (status == INFL_OK && matrix == NULL)
        INFL_ALLOCATE_MATRIX_OR_OUT(matrix, p, p);
    if (status == INFL_OK) /* a failure leaves it as it was */
        status = curvature->ops->form(curvature->self, options, matrix, report);
    if (status != INFL_OK)
        goto out;
    infl_release(curvature->formed_point);
    curvature->formed = matrix;
    curvature->formed_passes = given.precision == -1 ? curvature->passes : (infl_precision)given.precision;
    curvature->formed_point = point;
    point = NULL;
out:
    if (matrix != curvature->formed)
        infl_release(matrix);
    infl_release(point);
    return infl_in_name_of(__func__, status);
}

infl_status infl_curvature_describe(const infl_curvature *curvature, infl_saved *saved) {
    *saved =
        (infl_saved){.damping = curvature->damping, .p = curvature->p, .passes = (int)infl_curvature_passes(curvature)};
    if (curvature->ops->describe == NULL)
        return infl_fail(INFL_E_UNSUPPORTED, "nothing tells the product of a caller's own from another; make the "
                                             "curvature from its matrix");
    return curvature->ops->describe(curvature->self, saved);
}

infl_status infl_curvature_save(const infl_curvature *curvature, const char *path) {
    INFL_REQUIRE(curvature);
    INFL_REQUIRE(path);
    if (curvature->formed == NULL)
        return infl_fail(INFL_E_ARGUMENT, "%s: the curvature has no matrix yet; call infl_curvature_form first",
                         __func__);
    infl_saved saved;
    infl_status status = check_formed(curvature);
    if (status == INFL_OK)
        status = infl_curvature_describe(curvature, &saved);
    if (status == INFL_OK) {
        saved.content = INFL_SAVED_CURVATURE;
        saved.damping = 0; /* the matrix is C */
        status = infl_saved_write(path, &saved, (const double *const[]){curvature->formed});
    }
    return infl_in_name_of(__func__, status);
}

static int is_symmetric(const double *matrix, size_t p) {
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < i; j++)
            if (matrix[i * p + j] != matrix[j * p + i])
                return 0;
    return 1;
}

infl_status infl_curvature_load(infl_curvature **out, infl_objective *objective, const char *path, double damping) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(objective);
    INFL_REQUIRE(path);
    INFL_TRY(check_damping(__func__, damping));
    infl_safetensors *file = NULL;
    infl_curvature *curvature = NULL;
    infl_saved saved, expected;
    infl_status status = infl_saved_open(&file, &saved, path);
    if (status == INFL_OK && (saved.content != INFL_SAVED_CURVATURE || saved.kind == INFL_SAVED_MATRIX))
        status = infl_saved_wrong(file, "the file is not of a curvature's matrix");
    if (status == INFL_OK)
        status = infl_curvature_create(&curvature, objective, (infl_curvature_kind)saved.kind, 0);
    if (status == INFL_OK)
        status = infl_curvature_describe(curvature, &expected);
    if (status == INFL_OK)
        status = infl_saved_check(file, &saved, &expected);
    if (status == INFL_OK)
        status = infl_curvature_read_point(curvature, &curvature->formed_point);
    if (status != INFL_OK)
        goto out;
    INFL_ALLOCATE_MATRIX_OR_OUT(curvature->formed, curvature->p, curvature->p);
    if ((status = infl_saved_read(file, &saved, 0, curvature->formed)) != INFL_OK)
        goto out;
    if (!infl_all_finite(curvature->formed, curvature->p * curvature->p) ||
        !is_symmetric(curvature->formed, curvature->p)) {
        status = infl_saved_wrong(file, "tensor \"matrix\": it is not finite and exactly symmetric");
        goto out;
    }
    curvature->formed_passes = infl_saved_passes(&saved);
    if ((status = set_damping(curvature, damping)) != INFL_OK)
        goto out;
    *out = curvature;
    curvature = NULL;
out:
    infl_safetensors_close(file);
    infl_curvature_destroy(curvature);
    return infl_in_name_of(__func__, status);
}

/* Unlike the public product, this may leave part of an answer in out when it fails. */
infl_status infl_curvature_product_rows(infl_curvature *curvature, const size_t *rows, size_t n, const double *vectors,
                                        size_t k, double *out) {
    if (k == 0)
        return INFL_OK;
    size_t p = curvature->p;
    if (curvature->formed != NULL && rows == NULL) {
        INFL_TRY(check_formed(curvature));
        multiply(curvature->formed, p, vectors, k, out, curvature->threads);
    } else {
        INFL_TRY(curvature->ops->product(curvature->self, rows, n, vectors, k, out));
    }
    infl_axpy(curvature->damping, vectors, out, k * p);
    for (size_t j = 0; j < k; j++)
        if (!infl_all_finite(out + j * p, p))
            return infl_fail(INFL_E_NONFINITE,
                             "the curvature's product with vector %zu of %zu (norm %.3g) has a NaN or "
                             "an infinity",
                             j, k, infl_norm(vectors + j * p, p));
    return INFL_OK;
}

infl_status infl_curvature_product(infl_curvature *curvature, const double *vectors, size_t k, double *out) {
    INFL_REQUIRE(curvature);
    INFL_REQUIRE(vectors);
    INFL_REQUIRE(out);
    size_t p = curvature->p;
    INFL_TRY(infl_check_vectors(vectors, k, p, __func__, "vectors"));
    double *product;
    INFL_ALLOCATE_MATRIX_NAMED(product, k, p);
    infl_status status = infl_curvature_product_rows(curvature, NULL, 0, vectors, k, product);
    if (status == INFL_OK)
        memcpy(out, product, k * p * sizeof *out);
    infl_release(product);
    return infl_in_name_of(__func__, status);
}

/* C by products with the unit vectors, a block at a time. */
static infl_status dense_by_products(infl_curvature *curvature, infl_progress_fn progress, void *context,
                                     double *matrix) {
    size_t p = curvature->p, block = p < DENSE_BLOCK ? p : DENSE_BLOCK;
    double *units;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX(units, block, p);
    for (size_t first = 0; first < p; first += block) {
        size_t k = p - first < block ? p - first : block;
        if ((status = infl_report_progress(progress, context, "dense", first, p)) != INFL_OK)
            goto out;
        memset(units, 0, k * p * sizeof *units);
        for (size_t j = 0; j < k; j++)
            units[j * p + first + j] = 1;
        if ((status = curvature->ops->product(curvature->self, NULL, 0, units, k, matrix + first * p)) != INFL_OK)
            goto out;
        if (!infl_all_finite(matrix + first * p, k * p)) {
            status = infl_fail(INFL_E_NONFINITE, "the curvature's rows %zu to %zu have a NaN or an infinity", first,
                               first + k - 1);
            goto out;
        }
    }
    symmetrise(matrix, p);
    status = infl_report_progress(progress, context, "dense", p, p);
out:
    infl_release(units);
    return status;
}

infl_status infl_curvature_fill_dense(infl_curvature *curvature, infl_progress_fn progress, void *context,
                                      double *matrix) {
    size_t p = curvature->p;
    if (curvature->formed != NULL) {
        INFL_TRY(check_formed(curvature));
        memcpy(matrix, curvature->formed, p * p * sizeof *matrix);
    } else {
        INFL_TRY(curvature->ops->dense != NULL ? curvature->ops->dense(curvature->self, progress, context, matrix)
                                               : dense_by_products(curvature, progress, context, matrix));
    }
    for (size_t i = 0; i < p; i++) {
        matrix[i * p + i] += curvature->damping;
        if (isinf(matrix[i * p + i]))
            return infl_fail(INFL_E_NONFINITE, "C + %g I has an infinity at row %zu", curvature->damping, i);
    }
    return INFL_OK;
}

infl_status infl_curvature_dense(infl_curvature *curvature, double *matrix) {
    INFL_REQUIRE(curvature);
    INFL_REQUIRE(matrix);
    size_t p = curvature->p;
    double *dense;
    INFL_ALLOCATE_MATRIX_NAMED(dense, p, p);
    infl_status status = infl_curvature_fill_dense(curvature, NULL, NULL, dense);
    if (status == INFL_OK)
        memcpy(matrix, dense, p * p * sizeof *matrix);
    infl_release(dense);
    return infl_in_name_of(__func__, status);
}

infl_status infl_curvature_eigen(infl_curvature *curvature, double *eigenvalues, double *eigenvectors) {
    INFL_REQUIRE(curvature);
    INFL_REQUIRE(eigenvalues);
    size_t p = curvature->p;
    double *matrix = NULL, *values = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(values, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(matrix, p, p);
    if ((status = infl_curvature_fill_dense(curvature, NULL, NULL, matrix)) != INFL_OK)
        goto out;
    if ((status = infl_symmetric_eigen(matrix, p, eigenvectors != NULL, values)) != INFL_OK)
        goto out;
    memcpy(eigenvalues, values, p * sizeof *eigenvalues);
    if (eigenvectors != NULL)
        memcpy(eigenvectors, matrix, p * p * sizeof *eigenvectors);
out:
    infl_release(matrix);
    infl_release(values);
    return infl_in_name_of(__func__, status);
}

#include <float.h>
#include <math.h>
#include <string.h>

#include "dense.h"
#include "inverse.h"
#include "memory.h"
#include "random.h"

/* ‖A‖∞ ≥ λmax */
static double largest_row_sum(const double *matrix, size_t p) {
    double largest = 0;
    for (size_t i = 0; i < p; i++) {
        double sum = 0;
        for (size_t j = 0; j < p; j++)
            sum += fabs(matrix[i * p + j]);
        largest = fmax(largest, sum);
    }
    return largest;
}

/*
 * Rounding lets the factorisation of a singular matrix pass, and the answers would be garbage. A few steps of inverse
 * iteration see it: ‖A⁻¹v‖ for unit v grows to 1/λmin, within a factor √p already at the first step.
 */
static infl_status is_singular(const double *factor, size_t p, double norm, int *singular) {
    double *v;
    INFL_ALLOCATE(v, p);
    for (size_t i = 0; i < p; i++)
        v[i] = infl_random_normal(0, INFL_STREAM_START, i);
    infl_status status = INFL_OK;
    *singular = 0;
    for (int step = 0; step < 4 && !*singular && status == INFL_OK; step++) {
        double length = infl_norm(v, p);
        for (size_t i = 0; i < p; i++)
            v[i] /= length;
        status = infl_cholesky_solve(factor, p, v, 1);
        *singular = !(infl_norm(v, p) * norm * DBL_EPSILON * (double)p < 1);
    }
    infl_release(v);
    return status;
}

/*
 * λmin from below, by inverse iteration on q random unit vectors: ‖A⁻ᵐv‖ ≥ λmin⁻ᵐ|v₁|, v₁ the coefficient of v along the
 * eigenvector, and P(|v₁| < t) ≤ t√(2p/π). So λmin⁻¹ ≤ θ max_j ‖A⁻ᵐv_j‖^(1/m), but for a probability of
 * (θ⁻ᵐ√(2p/π))^q (Dixon, SIAM J. Numer. Anal. 20(4) 1983). The largest is never above λmin⁻¹: what θ costs is all.
 */
static infl_status certify(infl_inverse *inverse) {
    enum { VECTORS = 16, STEPS = 16 };
    static const double failure = 1e-12;
    const double *factor = inverse->state;
    size_t p = inverse->curvature->p;
    double *v, growth[VECTORS] = {0}, largest = -INFINITY, trace = 0;
    INFL_ALLOCATE_MATRIX(v, VECTORS, p);
    for (size_t i = 0; i < VECTORS * p; i++)
        v[i] = infl_random_normal(1, INFL_STREAM_START, i);
    infl_status status = INFL_OK;
    for (int step = 0; step <= STEPS && status == INFL_OK; step++) {
        for (size_t j = 0; j < VECTORS; j++) {
            double length = infl_norm(v + j * p, p);
            growth[j] += step > 0 ? log(length) : 0;
            for (size_t i = 0; i < p; i++)
                v[j * p + i] /= length;
        }
        if (step < STEPS)
            status = infl_cholesky_solve(factor, p, v, VECTORS);
    }
    infl_release(v);
    for (size_t j = 0; j < VECTORS; j++)
        largest = fmax(largest, growth[j] / STEPS);
    for (size_t i = 0; i < p; i++) {
        double length = infl_norm(factor + i * p, i + 1);
        trace += length * length;
    }
    static const double pi = 3.14159265358979323846;
    double theta = (0.5 * log(2 * (double)p / pi) - log(failure) / VECTORS) / STEPS; /* its logarithm */
    inverse->norm = trace;
    inverse->floor =
        exp(-theta - largest) - trace * (infl_rounding(inverse->passes) + 4 * ((double)p + 1) * DBL_EPSILON);
    return status;
}

/* The matrix whose factorisation failed stands on in the strict upper triangle; only its diagonal had to be kept. */
static infl_status refuse(const infl_inverse *inverse, double *matrix, const double *diagonal) {
    size_t p = inverse->curvature->p;
    for (size_t i = 0; i < p; i++) {
        matrix[i * p + i] = diagonal[i];
        for (size_t j = 0; j < i; j++)
            matrix[i * p + j] = matrix[j * p + i];
    }
    double *eigenvalues;
    INFL_ALLOCATE(eigenvalues, p);
    infl_status status = infl_symmetric_eigen(matrix, p, 0, eigenvalues);
    if (status == INFL_OK)
        status = infl_inverse_indefinite(inverse, "is not positive definite", eigenvalues[0],
                                         fmax(fabs(eigenvalues[0]), fabs(eigenvalues[p - 1])), 0);
    infl_release(eigenvalues);
    return status;
}

static void clear_upper(double *factor, size_t p) {
    for (size_t i = 0; i < p; i++)
        memset(factor + i * p + i + 1, 0, (p - i - 1) * sizeof *factor);
}

static infl_status prepare(infl_inverse *inverse) {
    size_t p = inverse->curvature->p;
    double *matrix = NULL, *diagonal = NULL;
    int definite, singular = 0;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(diagonal, p);
    if ((status = infl_inverse_dense(inverse, &matrix)) != INFL_OK)
        goto out;
    for (size_t i = 0; i < p; i++)
        diagonal[i] = matrix[i * p + i];
    double norm = largest_row_sum(matrix, p);
    if ((status = infl_cholesky_factorise(matrix, p, &definite)) != INFL_OK)
        goto out;
    if (definite && (status = is_singular(matrix, p, norm, &singular)) != INFL_OK)
        goto out;
    if (!definite || singular) {
        status = refuse(inverse, matrix, diagonal);
        goto out;
    }
    clear_upper(matrix, p); /* it is a part of the matrix still */
    inverse->state = matrix;
    matrix = NULL;
    status = certify(inverse);
out:
    infl_release(matrix);
    infl_release(diagonal);
    return status;
}

static infl_status save(const infl_inverse *inverse, infl_saved *saved, const char *path) {
    saved->content = INFL_SAVED_CHOLESKY;
    return infl_saved_write(path, saved, (const double *const[]){inverse->state});
}

static int is_factor(const double *factor, size_t p) {
    for (size_t i = 0; i < p; i++)
        if (!infl_all_finite(factor + i * p, p) || !(factor[i * p + i] > 0))
            return 0;
    return 1;
}

static infl_status load(infl_inverse *inverse, infl_safetensors *file, const infl_saved *saved) {
    size_t p = saved->p;
    double *factor;
    INFL_ALLOCATE_MATRIX(factor, p, p);
    inverse->state = factor;
    INFL_TRY(infl_saved_read(file, saved, 0, factor));
    if (!is_factor(factor, p))
        return infl_saved_wrong(file, "tensor \"factor\": it is not finite with a positive diagonal");
    clear_upper(factor, p);
    return certify(inverse);
}

static infl_status solve(const infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                         infl_solve_report *reports) {
    (void)reports; /* no iterations, no products, no eigenvalues */
    memcpy(solutions, right_sides, k * inverse->curvature->p * sizeof *solutions);
    return infl_cholesky_solve(inverse->state, inverse->curvature->p, solutions, k);
}

const infl_inverse_ops infl_inverse_cholesky = {
    .name = "Cholesky", .prepare = prepare, .save = save, .load = load, .release = infl_release, .solve = solve};

#include <float.h>
#include <math.h>
#include <string.h>

#include "dense.h"
#include "inverse_common.h"
#include "memory.h"
#include "random.h"

static infl_status dense(infl_inverse *inverse, double **matrix) {
    size_t p = inverse->curvature->p;
    *matrix = infl_allocate(p, p * sizeof **matrix);
    if (*matrix == NULL)
        return INFL_E_MEMORY;
    infl_status status = infl_curvature_dense(inverse->curvature, *matrix);
    if (status != INFL_OK) {
        infl_release(*matrix);
        *matrix = NULL;
    }
    return status;
}

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
        v[i] = infl_random_normal(0, INFL_STREAM_LANCZOS, i);
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

static infl_status refuse(infl_inverse *inverse) {
    double *matrix = NULL, *eigenvalues = NULL;
    size_t p = inverse->curvature->p;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(eigenvalues, p);
    if ((status = dense(inverse, &matrix)) != INFL_OK)
        goto out;
    if ((status = infl_symmetric_eigen(matrix, p, 0, eigenvalues)) != INFL_OK)
        goto out;
    status = infl_inverse_indefinite(inverse, "infl_inverse_create", "is not positive definite", eigenvalues[0],
                                     fmax(fabs(eigenvalues[0]), fabs(eigenvalues[p - 1])), 0);
out:
    infl_release(matrix);
    infl_release(eigenvalues);
    return status;
}

static infl_status prepare(infl_inverse *inverse) {
    size_t p = inverse->curvature->p;
    double *matrix;
    int definite, singular = 0;
    INFL_TRY(dense(inverse, &matrix));
    double norm = largest_row_sum(matrix, p);
    infl_status status = infl_cholesky_factorise(matrix, p, &definite);
    if (status == INFL_OK && definite)
        status = is_singular(matrix, p, norm, &singular);
    if (status == INFL_OK && definite && !singular) {
        inverse->state = matrix;
        return INFL_OK;
    }
    infl_release(matrix);
    return status != INFL_OK ? status : refuse(inverse);
}

static infl_status solve(infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                         infl_solve_report *reports) {
    (void)reports; /* no iterations, no products, no eigenvalues */
    memcpy(solutions, right_sides, k * inverse->curvature->p * sizeof *solutions);
    return infl_cholesky_solve(inverse->state, inverse->curvature->p, solutions, k);
}

const infl_inverse_ops infl_inverse_cholesky = {"Cholesky", prepare, infl_release, solve};

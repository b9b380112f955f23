#include "dense.h"

#include <limits.h>
#include <math.h>
#include <stdint.h>

/* both headers declare LAPACK's lsame_, with different arguments; neither declaration is used here */
#define lsame_ infl_lsame_as_blis_declares_it
#include <blis.h>
#undef lsame_
#include <lapacke.h>

#include "memory.h"

/* Independent partial sums: enough for two vector registers of any width up to 512 bits, in an order that is fixed. */
#define LANES 16

void infl_gemm(size_t m, size_t n, size_t k, double alpha, const double *a, size_t a_row, size_t a_column,
               const double *b, size_t b_row, size_t b_column, double beta, double *c, size_t c_row, size_t c_column) {
    if (m == 0 || n == 0)
        return;
    if (k == 0) { /* BLIS refuses the zero strides that empty operands often have */
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                double *element = &c[i * c_row + j * c_column];
                *element = beta == 0 ? 0 : beta * *element;
            }
        return;
    }
    rntm_t one_thread;
    bli_rntm_init(&one_thread);
    bli_rntm_set_num_threads(1, &one_thread);
    bli_dgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, (dim_t)m, (dim_t)n, (dim_t)k, &alpha, (double *)a, (inc_t)a_row,
                 (inc_t)a_column, (double *)b, (inc_t)b_row, (inc_t)b_column, &beta, c, (inc_t)c_row, (inc_t)c_column,
                 NULL, &one_thread);
}

double infl_dot(const double *x, const double *y, size_t n) {
    double partial[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            partial[lane] += x[i + lane] * y[i + lane];
    for (size_t lane = 0; i < n; i++, lane++)
        partial[lane] += x[i] * y[i];
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t lane = 0; lane < half; lane++)
            partial[lane] += partial[lane + half];
    return partial[0];
}

double infl_norm(const double *x, size_t n) {
    double square = infl_dot(x, x, n);
    /* below 1e-280 the squares that underflowed may matter: an error of n·2^-1074 against eps·1e-280 does not */
    if (isnan(square) || (square > 1e-280 && square <= 1e300))
        return sqrt(square);
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    if (largest == 0 || isinf(largest))
        return largest;
    int exponent;
    frexp(largest, &exponent);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double scaled = ldexp(x[i], -exponent);
        sum += scaled * scaled;
    }
    return ldexp(sqrt(sum), exponent);
}

void infl_axpy(double alpha, const double *x, double *y, size_t n) {
    for (size_t i = 0; i < n; i++)
        y[i] += alpha * x[i];
}

int infl_all_finite(const double *x, size_t n) {
    double partial[LANES] = {0}; /* 0·x is 0 for finite x, NaN otherwise, and NaN stays in a sum */
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            partial[lane] += 0 * x[i + lane];
    for (; i < n; i++)
        partial[0] += 0 * x[i];
    for (size_t lane = 1; lane < LANES; lane++)
        partial[0] += partial[lane];
    return partial[0] == 0;
}

infl_status infl_check_vectors(const double *vectors, size_t k, size_t length, const char *function, const char *name) {
    if (k == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: k is 0; at least one vector is needed", function);
    for (size_t j = 0; j < k; j++)
        if (!infl_all_finite(vectors + j * length, length))
            for (size_t i = 0; i < length; i++)
                if (!isfinite(vectors[j * length + i]))
                    return infl_fail(INFL_E_NONFINITE, "%s: %s[%zu][%zu] is %g", function, name, j, i,
                                     vectors[j * length + i]);
    return INFL_OK;
}

/*
 * The _work interfaces of LAPACKE are called throughout: the others read an environment variable, print on errors and
 * allocate. A row-major symmetric matrix is its own transpose, so it is handed over as column-major with the triangles
 * exchanged.
 */
static infl_status check_matrix(const char *what, const double *matrix, size_t p, size_t largest) {
    if (p > largest)
        return infl_fail(INFL_E_UNSUPPORTED, "%s of a %zu×%zu matrix: LAPACK's 32-bit integers end at %zu", what, p, p,
                         largest);
    for (size_t i = 0; i < p; i++)
        if (!infl_all_finite(matrix + i * p, i + 1))
            return infl_fail(INFL_E_NONFINITE, "%s: row %zu of the matrix has a NaN or an infinity", what, i);
    return INFL_OK;
}

infl_status infl_cholesky_factorise(double *matrix, size_t p, int *definite) {
    *definite = 1;
    INFL_TRY(check_matrix("Cholesky factorisation", matrix, p, INT32_MAX));
    if (p == 0)
        return INFL_OK;
    lapack_int n = (lapack_int)p;
    lapack_int info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, matrix, n);
    *definite = info == 0;
    /* overflow inside makes a pivot infinite or NaN, which dpotrf only notices where it stands on the diagonal */
    for (size_t i = 0; *definite && i < p; i++)
        if (!infl_all_finite(matrix + i * p, i + 1))
            return infl_fail(INFL_E_NONFINITE, "Cholesky factorisation: row %zu of the factor overflows", i);
    return INFL_OK;
}

infl_status infl_cholesky_solve(const double *factor, size_t p, double *right_sides, size_t k) {
    if (p == 0 || k == 0)
        return INFL_OK;
    if (k > INT32_MAX)
        return infl_fail(INFL_E_UNSUPPORTED,
                         "Cholesky solve for %zu right-hand sides: LAPACK's 32-bit integers end at %d", k, INT32_MAX);
    lapack_int n = (lapack_int)p;
    LAPACKE_dpotrs_work(LAPACK_COL_MAJOR, 'U', n, (lapack_int)k, factor, n, right_sides, n);
    return INFL_OK;
}

/* Workspace sizes are LAPACK's documented least ones: 1 + 6n + 2n² must fit in 32 bits. */
#define LARGEST_EIGEN ((size_t)32766)

infl_status infl_symmetric_eigen(double *matrix, size_t p, int vectors, double *eigenvalues) {
    INFL_TRY(check_matrix("Eigendecomposition", matrix, p, LARGEST_EIGEN));
    if (p == 0)
        return INFL_OK;
    double *work = NULL;
    lapack_int *integers = NULL;
    infl_status status = INFL_OK;
    /* the tridiagonal reduction is blocked only when there are p columns of workspace for each of its block (32) */
    size_t n_work = vectors ? 1 + 6 * p + 2 * p * p : 2 * p + 1 + 34 * p, n_integers = vectors ? 3 + 5 * p : 1;
    INFL_ALLOCATE_OR_OUT(work, n_work);
    INFL_ALLOCATE_OR_OUT(integers, n_integers);
    lapack_int n = (lapack_int)p;
    lapack_int info = LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, vectors ? 'V' : 'N', 'U', n, matrix, n, eigenvalues, work,
                                          (lapack_int)n_work, integers, (lapack_int)n_integers);
    if (info != 0)
        status = infl_fail(INFL_E_UNCONVERGED, "Eigendecomposition of a %zu×%zu matrix: LAPACK's dsyevd gave up (%d)",
                           p, p, (int)info);
    else if (!infl_all_finite(eigenvalues, p))
        status = infl_fail(INFL_E_NONFINITE, "Eigendecomposition of a %zu×%zu matrix: an eigenvalue overflows", p, p);
out:
    infl_release(work);
    infl_release(integers);
    return status;
}

infl_status infl_tridiagonal_eigen(double *diagonal, double *off_diagonal, size_t n, double *vectors) {
    if (n > LARGEST_EIGEN)
        return infl_fail(INFL_E_UNSUPPORTED,
                         "Eigendecomposition of a %zu×%zu matrix: LAPACK's 32-bit integers end at %zu", n, n,
                         LARGEST_EIGEN);
    if (n == 0)
        return INFL_OK;
    if (!infl_all_finite(diagonal, n) || !infl_all_finite(off_diagonal, n - 1))
        return infl_fail(INFL_E_NONFINITE, "Eigendecomposition: the tridiagonal matrix has a NaN or an infinity");
    double *work = NULL;
    lapack_int *integers = NULL;
    infl_status status = INFL_OK;
    size_t n_work = vectors != NULL ? 1 + 4 * n + n * n : 1, n_integers = 3 + 5 * n;
    INFL_ALLOCATE_OR_OUT(work, n_work);
    INFL_ALLOCATE_OR_OUT(integers, n_integers);
    lapack_int info =
        LAPACKE_dstevd_work(LAPACK_COL_MAJOR, vectors != NULL ? 'V' : 'N', (lapack_int)n, diagonal, off_diagonal,
                            vectors, (lapack_int)n, work, (lapack_int)n_work, integers, (lapack_int)n_integers);
    if (info != 0)
        status = infl_fail(INFL_E_UNCONVERGED,
                           "Eigendecomposition of a %zu×%zu tridiagonal matrix: LAPACK's dstevd gave "
                           "up (%d)",
                           n, n, (int)info);
out:
    infl_release(work);
    infl_release(integers);
    return status;
}

/*
 * Dense linear algebra: the only file that calls BLIS and LAPACKE. Matrices are row-major. BLIS runs on the calling
 * thread alone (an explicit rntm_t), so these may be called inside parallel regions.
 */
#ifndef INFL_DENSE_H
#define INFL_DENSE_H

#include <stddef.h>

#include "error.h"

/* C ← αAB + βC with A m×k, B k×n, C m×n of any row and column strides (so transposes are strides). */
void infl_gemm(size_t m, size_t n, size_t k, double alpha, const double *a, size_t a_row, size_t a_column,
               const double *b, size_t b_row, size_t b_column, double beta, double *c, size_t c_row, size_t c_column);

/* Sums over one vector, in a fixed order. */
double infl_dot(const double *x, const double *y, size_t n);
double infl_norm(const double *x, size_t n); /* without overflow or underflow */
void infl_axpy(double alpha, const double *x, double *y, size_t n);
int infl_all_finite(const double *x, size_t n);
/* Checks k ≥ 1 and k×length numbers for NaN and infinity. */
infl_status infl_check_vectors(const double *vectors, size_t k, size_t length, const char *function, const char *name);

/* Factorises the symmetric p×p matrix in place (lower triangle; what is above the diagonal stays). *definite = 0 (and
 * INFL_OK) when it is not positive definite; the lower triangle is then undefined. */
infl_status infl_cholesky_factorise(double *matrix, size_t p, int *definite);
/* Solves for k right-hand sides (k×p, one a row), in place. */
infl_status infl_cholesky_solve(const double *factor, size_t p, double *right_sides, size_t k);
/* Eigenvalues ascending; with vectors non-zero the matrix becomes p×p eigenvectors, one a row, else it is destroyed. */
infl_status infl_symmetric_eigen(double *matrix, size_t p, int vectors, double *eigenvalues);
/* Of the symmetric tridiagonal matrix: eigenvalues ascending into diagonal (n), off_diagonal (n−1) destroyed; vectors:
 * n×n, one a row, or NULL. */
infl_status infl_tridiagonal_eigen(double *diagonal, double *off_diagonal, size_t n, double *vectors);

#endif

/*
 * Products of matrices with rows of a chunk innermost. n, and the row strides of the arrays over rows, are multiples
 * of INFL_ROW_PADDING. Each element is summed in an order that does not depend on m and n.
 */
#ifndef INFL_KERNELS_H
#define INFL_KERNELS_H

#include "real.h"

/* c[m×n] = (accumulate ? c : 0) + a[m×k]·b[k×n]; a has any strides, rows of b and c are contiguous. */
void INFL_REAL(multiply)(size_t m, size_t n, size_t k, const real *a, size_t a_row, size_t a_column, const real *b,
                         size_t b_row, real *c, size_t c_row, int accumulate);

/* Σ x[0..n−1], n a multiple of INFL_ROW_PADDING */
real INFL_REAL(sum)(const real *x, size_t n);

#endif

#include "kernels.h"

#include "vector.h"

/* Accumulators of a tile must fit the vector registers: 32 with AVX-512, else 16. */
#if INFL_VECTOR_BYTES == 64
enum { TILE_ROWS = 8, TILE_VECTORS = 2, WIDE_VECTORS = 4 };
#else
enum { TILE_ROWS = 4, TILE_VECTORS = 2, WIDE_VECTORS = 4 };
#endif

__attribute__((always_inline)) static inline void tile(size_t rows, size_t vectors, size_t k, const real *a,
                                                       size_t a_row, size_t a_column, const real *b, size_t b_row,
                                                       real *c, size_t c_row, int accumulate) {
    vector sum[TILE_ROWS][WIDE_VECTORS];
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++)
            sum[i][v] = accumulate ? load(c + i * c_row + v * INFL_LANES) : (vector){0};
    for (size_t l = 0; l < k; l++) {
        vector right[WIDE_VECTORS];
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++)
            right[v] = load(b + l * b_row + v * INFL_LANES);
#pragma GCC unroll 8
        for (size_t i = 0; i < rows; i++) {
            vector left = broadcast(a[i * a_row + l * a_column]);
#pragma GCC unroll 4
            for (size_t v = 0; v < vectors; v++)
                sum[i][v] += left * right[v];
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++)
            store(c + i * c_row + v * INFL_LANES, sum[i][v]);
}

/* All columns for a few rows: wide tiles while they last, then single vectors. */
__attribute__((always_inline)) static inline void strip(size_t rows, size_t wide, size_t n, size_t k, const real *a,
                                                        size_t a_row, size_t a_column, const real *b, size_t b_row,
                                                        real *c, size_t c_row, int accumulate) {
    size_t j = 0;
    for (; j + wide * INFL_LANES <= n; j += wide * INFL_LANES)
        tile(rows, wide, k, a, a_row, a_column, b + j, b_row, c + j, c_row, accumulate);
    for (; j < n; j += INFL_LANES)
        tile(rows, 1, k, a, a_row, a_column, b + j, b_row, c + j, c_row, accumulate);
}

void INFL_REAL(multiply)(size_t m, size_t n, size_t k, const real *a, size_t a_row, size_t a_column, const real *b,
                         size_t b_row, real *c, size_t c_row, int accumulate) {
    for (size_t i = 0; i < m;) {
        size_t left = m - i, rows = left < TILE_ROWS ? left : TILE_ROWS;
        const real *ai = a + i * a_row;
        real *ci = c + i * c_row;
#define STRIP(ROWS, WIDE)                                                                                              \
    case ROWS:                                                                                                         \
        strip(ROWS, WIDE, n, k, ai, a_row, a_column, b, b_row, ci, c_row, accumulate);                                 \
        break;
        switch (rows) {
            STRIP(1, WIDE_VECTORS)
            STRIP(2, WIDE_VECTORS)
#if INFL_VECTOR_BYTES == 64
            STRIP(3, WIDE_VECTORS)
            STRIP(4, WIDE_VECTORS)
            STRIP(5, WIDE_VECTORS)
            STRIP(6, TILE_VECTORS)
            STRIP(7, TILE_VECTORS)
            STRIP(8, TILE_VECTORS)
#else
            STRIP(3, TILE_VECTORS)
            STRIP(4, TILE_VECTORS)
#endif
        }
#undef STRIP
        i += rows;
    }
}

real INFL_REAL(sum)(const real *x, size_t n) {
    vector sum = {0};
    for (size_t i = 0; i < n; i += INFL_LANES)
        sum += load(x + i);
    return lanes_sum(sum);
}

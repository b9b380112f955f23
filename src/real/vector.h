/* Vectors of the machine's width, in the compiler's own notation. */
#ifndef INFL_VECTOR_H
#define INFL_VECTOR_H

#include "real.h"

static inline vector load(const real *p) { return *(const vector *)p; }
static inline void store(real *p, vector v) { *(vector *)p = v; }
static inline vector broadcast(real x) { return x - (vector){0}; }

/* what comparisons of vectors give: all bits set, or none */
typedef real_bits lanes __attribute__((vector_size(INFL_VECTOR_BYTES), may_alias));

static inline vector choose(lanes where, vector a, vector b) {
    return (vector)(((lanes)a & where) | ((lanes)b & ~where));
}

#if defined(__clang__)
#define shuffle(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define shuffle(a, b, ...) __builtin_shuffle(a, b, (lanes){__VA_ARGS__})
#endif

/* Interleaves the lower halves, the upper halves of two vectors; lanes_sum adds the upper half to the lower, and so on. */
#if INFL_VECTOR_BYTES / INFL_REAL_BYTES == 16
#define interleave_lower(a, b) shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define interleave_upper(a, b) shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
static inline real lanes_sum(vector v) {
    v += shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
    v += shuffle(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    v += shuffle(v, v, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3);
    return v[0] + v[1];
}
#elif INFL_VECTOR_BYTES / INFL_REAL_BYTES == 8
#define interleave_lower(a, b) shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define interleave_upper(a, b) shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
static inline real lanes_sum(vector v) {
    v += shuffle(v, v, 4, 5, 6, 7, 4, 5, 6, 7);
    v += shuffle(v, v, 2, 3, 2, 3, 2, 3, 2, 3);
    return v[0] + v[1];
}
#elif INFL_VECTOR_BYTES / INFL_REAL_BYTES == 4
#define interleave_lower(a, b) shuffle(a, b, 0, 4, 1, 5)
#define interleave_upper(a, b) shuffle(a, b, 2, 6, 3, 7)
static inline real lanes_sum(vector v) {
    v += shuffle(v, v, 2, 3, 2, 3);
    return v[0] + v[1];
}
#else
#define interleave_lower(a, b) shuffle(a, b, 0, 2)
#define interleave_upper(a, b) shuffle(a, b, 1, 3)
static inline real lanes_sum(vector v) { return v[0] + v[1]; }
#endif

#endif

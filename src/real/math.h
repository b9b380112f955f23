/*
 * Elementary functions without branches or calls, so that loops over them become vector code. Errors are below 4 ulp;
 * what would be smaller than exp(EXP_LOW), about the smallest normal number, comes out as that. NaN gives NaN.
 */
#ifndef INFL_MATH_H
#define INFL_MATH_H

#include "real.h"

#if defined(INFL_REAL_F32)
#define ROUNDING_MAGIC 0x1.8p23f
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#define EXPONENT_BITS 23
#define EXPONENT_BIAS 127
#define EXP_LOW (-87.0f)
#define EXP_TERMS 7
#define ATANH_TERMS 8
#else
#define ROUNDING_MAGIC 0x1.8p52
#define LN2_HIGH 0x1.62e42fefa0000p-1
#define LN2_LOW 0x1.cf79abc9e3b3ap-40
#define EXPONENT_BITS 52
#define EXPONENT_BIAS 1023
#define EXP_LOW (-708.0)
#define EXP_TERMS 13
#define ATANH_TERMS 18
#endif

/*
 * x = n ln 2 + r, |r| ≤ ln 2 / 2: *power = 2ⁿ and expm1(r) by its Taylor series, to below half an ulp. x ≤ 0, here and in
 * the two functions below: nothing else is needed, as no function here forms a large exponential.
 */
static inline real infl_expm1_reduced(real x, real *power) {
    static const real factorial_inverse[] = {
        1,
        1,
        (real)(1.0 / 2),
        (real)(1.0 / 6),
        (real)(1.0 / 24),
        (real)(1.0 / 120),
        (real)(1.0 / 720),
        (real)(1.0 / 5040),
        (real)(1.0 / 40320),
        (real)(1.0 / 362880),
        (real)(1.0 / 3628800),
        (real)(1.0 / 39916800),
        (real)(1.0 / 479001600),
        (real)(1.0 / 6227020800),
    };
    real clamped = x < EXP_LOW ? EXP_LOW : x;
    real shifted = clamped * (real)1.4426950408889634074 + ROUNDING_MAGIC;
    real n = shifted - ROUNDING_MAGIC;
    real r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    real_bits bits, magic_bits;
    real magic = ROUNDING_MAGIC;
    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&magic_bits, &magic, sizeof magic_bits);
    bits = (bits - magic_bits + EXPONENT_BIAS) << EXPONENT_BITS;
    memcpy(power, &bits, sizeof bits);
    real series = factorial_inverse[EXP_TERMS];
#pragma GCC unroll 13
    for (int i = EXP_TERMS - 1; i > 0; i--)
        series = series * r + factorial_inverse[i];
    return series * r;
}

static inline real infl_exp(real x) {
    real power, m = infl_expm1_reduced(x, &power);
    return power + power * m;
}

/* Also exp(x), which expm1(x) + 1 would lose far below zero. */
static inline real infl_expm1(real x, real *exponential) {
    real power, m = infl_expm1_reduced(x, &power);
    *exponential = power + power * m;
    return (power - 1) + power * m;
}

/* Also tanh′(x), as 4e/(1 + e)² with e = exp(−2|x|): 1 − tanh²(x) would cancel where tanh is near ±1. */
static inline real infl_tanh(real x, real *slope) {
    real e, m = infl_expm1(x < 0 ? 2 * x : -2 * x, &e), inverse = 1 / (1 + e), t = m * inverse;
    *slope = 4 * e * inverse * inverse;
    return x < 0 ? t : -t;
}

/* Also 1 − sigmoid(x) = sigmoid(−x), without cancellation. */
static inline real infl_sigmoid(real x, real *complement) {
    /* exp of a negative number only, so that neither tail loses its small values */
    real e = infl_exp(x < 0 ? x : -x), positive = 1 / (1 + e), negative = e * positive;
    *complement = x < 0 ? positive : negative;
    return x < 0 ? negative : positive;
}

/* log(1 + u) for 0 ≤ u ≤ 1, as 2 atanh(u/(2 + u)) */
static inline real infl_log1p(real u) {
    real s = u / (2 + u), square = s * s, series = (real)1 / (2 * ATANH_TERMS + 1);
#pragma GCC unroll 18
    for (int i = ATANH_TERMS - 1; i >= 0; i--)
        series = series * square + (real)1 / (real)(2 * i + 1);
    return 2 * s * series;
}

static inline real infl_softplus(real x) { return (x > 0 ? x : 0) + infl_log1p(infl_exp(x > 0 ? -x : x)); }

#endif

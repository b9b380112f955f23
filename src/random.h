/*
 * Counter-based random numbers: each is a function of (seed, stream, index) alone, so no stream depends on who drew
 * first, nor on the number of threads. Philox4x32-10 (Salmon et al., SC 2011).
 */
#ifndef INFL_RANDOM_H
#define INFL_RANDOM_H

#include <stdint.h>

/* Streams keep the users of one seed apart. */
enum {
    INFL_STREAM_PARAMETERS = 1, /* + tensor << 8 */
    INFL_STREAM_SPLIT = 2,
    INFL_STREAM_BATCHES = 3, /* + epoch << 8 */
    INFL_STREAM_LISSA = 4,   /* + repeat << 8 */
    INFL_STREAM_START = 5,   /* start vectors of iterations */
    INFL_STREAM_DROPOUT = 6, /* + node << 8 + step << 24 */
};

uint64_t infl_random_bits(uint64_t seed, uint64_t stream, uint64_t index);
double infl_random_uniform(uint64_t seed, uint64_t stream, uint64_t index); /* in (0, 1), 52 bits */
double infl_random_normal(uint64_t seed, uint64_t stream, uint64_t index);  /* mean 0, variance 1 */
/* An unbiased index below bound ≥ 1 (to 2⁻⁶⁴). */
uint64_t infl_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t bound);

#endif

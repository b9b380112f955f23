/*
 * Counter-based random numbers: each is a function of (seed, stream, index) alone, so no stream depends on who drew
 * first, nor on the number of threads. Philox4x32-10 (Salmon et al., SC 2011).
 */
#ifndef INFL_RANDOM_H
#define INFL_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Streams keep the users of one seed apart. */
enum {
    INFL_STREAM_PARAMETERS = 1, /* + tensor << 8 */
    INFL_STREAM_SPLIT = 2,
    INFL_STREAM_BATCHES = 3, /* + epoch << 8 */
    INFL_STREAM_LISSA = 4,   /* + repeat << 8 */
    INFL_STREAM_START = 5,   /* start vectors of iterations */
    INFL_STREAM_DROPOUT = 6, /* + node << 8 + step << 24 */
    INFL_STREAM_SAMPLE = 7,
    INFL_STREAM_IMAGES = 8, /* + step << 8 */
};

uint64_t infl_random_bits(uint64_t seed, uint64_t stream, uint64_t index);
double infl_random_uniform(uint64_t seed, uint64_t stream, uint64_t index); /* in (0, 1), 52 bits */
double infl_random_normal(uint64_t seed, uint64_t stream, uint64_t index);  /* mean 0, variance 1 */
/* An unbiased index below bound ≥ 1 (to 2⁻⁶⁴). */
uint64_t infl_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t bound);

/* all: n numbers, filled with 0 .. n−1, of which the first `count` are drawn at random without replacement. */
void infl_random_choose(uint64_t seed, uint64_t stream, size_t n, size_t count, size_t *all);

#endif

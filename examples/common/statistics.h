/* Mean and standard deviation of what there is (NaN marks what there is not), and intervals by the bootstrap. */
#ifndef EXAMPLES_STATISTICS_H
#define EXAMPLES_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

typedef struct statistics {
    size_t n;         /* numbers that are not NaN             */
    double mean;      /* NaN for n = 0                        */
    double deviation; /* of the sample, 1/(n-1); NaN for n < 2 */
} statistics;

statistics statistics_of(const double *values, size_t n);

/*
 * Pearson's correlation of n pairs, and of `resamples` samples of n of them drawn with replacement (Efron 1979). Where a
 * sample has none, being constant, another is drawn. 0, or -1: x or y is constant or not finite, or memory is short.
 */
int bootstrap_pearson(const double *x, const double *y, size_t n, size_t resamples, uint64_t seed, double *correlation,
                      double *samples);

typedef struct interval {
    double low, high;
} interval;

/* The middle 95 % of n samples, which it sorts. */
interval interval_of(double *samples, size_t n);

#endif

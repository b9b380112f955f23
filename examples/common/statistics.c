#include "statistics.h"

#include <influence.h>

#include <math.h>
#include <stdlib.h>

statistics statistics_of(const double *values, size_t n) {
    statistics result = {0, NAN, NAN};
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(values[i])) {
            sum += values[i];
            result.n++;
        }
    }
    if (result.n == 0)
        return result;
    result.mean = sum / (double)result.n;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(values[i]))
            squares += (values[i] - result.mean) * (values[i] - result.mean);
    }
    if (result.n > 1)
        result.deviation = sqrt(squares / (double)(result.n - 1));
    return result;
}

/* SplitMix64 (Steele, Lea & Flood 2014). */
static uint64_t random_bits(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int bootstrap_pearson(const double *x, const double *y, size_t n, size_t resamples, uint64_t seed, double *correlation,
                      double *samples) {
    if (n < 2 || infl_pearson(x, y, n, correlation) != INFL_OK || isnan(*correlation))
        return -1;
    double *drawn = malloc(2 * n * sizeof *drawn);
    if (drawn == NULL)
        return -1;
    for (size_t i = 0; i < resamples;) {
        for (size_t j = 0; j < n; j++) {
            size_t pick = (size_t)(random_bits(&seed) % n);
            drawn[j] = x[pick];
            drawn[n + j] = y[pick];
        }
        i += infl_pearson(drawn, drawn + n, n, &samples[i]) == INFL_OK && !isnan(samples[i]);
    }
    free(drawn);
    return 0;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

interval interval_of(double *samples, size_t n) {
    qsort(samples, n, sizeof *samples, by_value);
    size_t cut = (size_t)(0.025 * (double)n);
    interval middle = {samples[cut], samples[n - 1 - cut]};
    return middle;
}

/* Mean and standard deviation of what there is; NaN marks what there is not. */
#ifndef EXAMPLES_STATISTICS_H
#define EXAMPLES_STATISTICS_H

#include <stddef.h>

typedef struct statistics {
    size_t n;         /* numbers that are not NaN             */
    double mean;      /* NaN for n = 0                        */
    double deviation; /* of the sample, 1/(n-1); NaN for n < 2 */
} statistics;

statistics statistics_of(const double *values, size_t n);

#endif

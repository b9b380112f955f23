#include "statistics.h"

#include <math.h>

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

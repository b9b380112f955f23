#include <math.h>
#include <stdlib.h>

#include "dense.h"
#include "memory.h"

typedef struct pair {
    double x, y;
} pair;

typedef struct ranked {
    double value;
    size_t index;
} ranked;

static infl_status check_finite(const double *values, size_t n, const char *function, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return infl_fail(INFL_E_NONFINITE, "%s: %s[%zu] is %f; expected a finite number", function, name, i,
                             values[i]);
    return INFL_OK;
}

static infl_status check_pairs(const double *x, const double *y, size_t n, size_t least, const char *function) {
    if (n < least)
        return infl_fail(INFL_E_ARGUMENT, "%s: n is %zu; expected at least %zu", function, n, least);
    INFL_TRY(check_finite(x, n, function, "x"));
    return check_finite(y, n, function, "y");
}

/* The power of two that brings the largest magnitude into [1/2, 1): scaling is exact, and squares stay in range. */
static int scale_exponent(const double *values, size_t n) {
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(values[i]));
    int exponent;
    frexp(largest, &exponent);
    return -exponent;
}

static double limit_to_one(double value) { return value > 1.0 ? 1.0 : value < -1.0 ? -1.0 : value; }

/* Finite x and y; NaN where one is zero. */
static double cosine_of(const double *x, const double *y, size_t n) {
    int x_exponent = scale_exponent(x, n), y_exponent = scale_exponent(y, n);
    double xx = 0.0, yy = 0.0, xy = 0.0;
    for (size_t i = 0; i < n; i++) {
        double a = ldexp(x[i], x_exponent), b = ldexp(y[i], y_exponent);
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    return xx == 0.0 || yy == 0.0 ? (double)NAN : limit_to_one(xy / sqrt(xx * yy)); /* √(a·a) = a, so x = y gives 1 */
}

/* values − their mean, times a power of two. All are exactly 0 where the values are constant. */
static void centre(const double *values, size_t n, double *centred) {
    int exponent = scale_exponent(values, n);
    double mean = 0.0, first = ldexp(values[0], exponent);
    for (size_t i = 0; i < n; i++) {
        centred[i] = ldexp(values[i], exponent) - first; /* an offset common to all goes without rounding the rest */
        mean += centred[i];
    }
    mean /= (double)n;
    for (size_t i = 0; i < n; i++)
        centred[i] -= mean;
}

static infl_status pearson_of(const double *x, const double *y, size_t n, double *r) {
    infl_status status = INFL_OK;
    double *x_centred = NULL, *y_centred = NULL;
    INFL_ALLOCATE_OR_OUT(x_centred, n);
    INFL_ALLOCATE_OR_OUT(y_centred, n);
    centre(x, n, x_centred);
    centre(y, n, y_centred);
    *r = cosine_of(x_centred, y_centred, n);
out:
    infl_release(x_centred);
    infl_release(y_centred);
    return status;
}

infl_status infl_pearson(const double *x, const double *y, size_t n, double *r) {
    INFL_REQUIRE(x);
    INFL_REQUIRE(y);
    INFL_REQUIRE(r);
    INFL_TRY(check_pairs(x, y, n, 2, __func__));
    return infl_in_name_of(__func__, pearson_of(x, y, n, r));
}

static int compare_ranked(const void *left, const void *right) {
    double a = ((const ranked *)left)->value, b = ((const ranked *)right)->value;
    return a < b ? -1 : a > b;
}

/* Ranks 1 .. n; equal values get the mean of their ranks. */
static infl_status rank(const double *values, size_t n, double *ranks) {
    ranked *sorted;
    INFL_ALLOCATE(sorted, n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = (ranked){values[i], i};
    qsort(sorted, n, sizeof *sorted, compare_ranked);
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && sorted[end].value == sorted[begin].value; end++)
            continue;
        for (size_t i = begin; i < end; i++)
            ranks[sorted[i].index] = (double)(begin + end + 1) / 2.0;
    }
    infl_release(sorted);
    return INFL_OK;
}

infl_status infl_spearman(const double *x, const double *y, size_t n, double *rho) {
    INFL_REQUIRE(x);
    INFL_REQUIRE(y);
    INFL_REQUIRE(rho);
    INFL_TRY(check_pairs(x, y, n, 2, __func__));
    infl_status status = INFL_OK;
    double *x_ranks = NULL, *y_ranks = NULL;
    INFL_ALLOCATE_OR_OUT(x_ranks, n);
    INFL_ALLOCATE_OR_OUT(y_ranks, n);
    if ((status = rank(x, n, x_ranks)) != INFL_OK)
        goto out;
    if ((status = rank(y, n, y_ranks)) != INFL_OK)
        goto out;
    status = pearson_of(x_ranks, y_ranks, n, rho);
out:
    infl_release(x_ranks);
    infl_release(y_ranks);
    return infl_in_name_of(__func__, status);
}

static int compare_pairs(const void *left, const void *right) {
    const pair *a = left, *b = right;
    if (a->x != b->x)
        return a->x < b->x ? -1 : 1;
    return a->y < b->y ? -1 : a->y > b->y;
}

/* Sorts by y (merging upwards, stable) and returns how many pairs stood in the wrong order. */
static uint64_t count_inversions(pair *pairs, size_t n, pair *space) {
    uint64_t inversions = 0;
    pair *from = pairs, *to = space;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            size_t middle = n - begin > width ? begin + width : n;
            size_t end = n - middle > width ? middle + width : n;
            size_t left = begin, right = middle;
            for (size_t i = begin; i < end; i++) {
                if (left < middle && (right == end || from[left].y <= from[right].y)) {
                    to[i] = from[left++];
                } else {
                    to[i] = from[right++];
                    inversions += middle - left;
                }
            }
        }
        pair *swapped = from;
        from = to;
        to = swapped;
    }
    for (size_t i = 0; from != pairs && i < n; i++)
        pairs[i] = from[i];
    return inversions;
}

/* The number of pairs of neighbours that agree, in sorted order, in x (if asked) and in y (if asked). */
static uint64_t count_ties(const pair *sorted, size_t n, int in_x, int in_y) {
    uint64_t ties = 0, run = 0;
    for (size_t i = 1; i < n; i++) {
        int equal = (!in_x || sorted[i].x == sorted[i - 1].x) && (!in_y || sorted[i].y == sorted[i - 1].y);
        run = equal ? run + 1 : 0;
        ties += run;
    }
    return ties;
}

/* Knight, JASA 61(314) 1966: sorted by x (then y), the discordant pairs are the inversions of y. */
infl_status infl_kendall(const double *x, const double *y, size_t n, double *tau) {
    INFL_REQUIRE(x);
    INFL_REQUIRE(y);
    INFL_REQUIRE(tau);
    INFL_TRY(check_pairs(x, y, n, 2, __func__));
    infl_status status = INFL_OK;
    pair *pairs = NULL, *space = NULL;
    INFL_ALLOCATE_OR_OUT(pairs, n);
    INFL_ALLOCATE_OR_OUT(space, n);
    for (size_t i = 0; i < n; i++)
        pairs[i] = (pair){x[i], y[i]};
    qsort(pairs, n, sizeof *pairs, compare_pairs);
    uint64_t x_ties = count_ties(pairs, n, 1, 0), joint_ties = count_ties(pairs, n, 1, 1);
    uint64_t discordant = count_inversions(pairs, n, space);
    uint64_t y_ties = count_ties(pairs, n, 0, 1);
    uint64_t all = n % 2 == 0 ? (uint64_t)(n / 2) * (n - 1) : (uint64_t)n * ((n - 1) / 2);
    uint64_t x_apart = all - x_ties, y_apart = all - y_ties;
    uint64_t concordant = all - x_ties - y_ties + joint_ties - discordant;
    double difference =
        concordant >= discordant ? (double)(concordant - discordant) : -(double)(discordant - concordant);
    *tau =
        x_apart == 0 || y_apart == 0 ? (double)NAN : limit_to_one(difference / sqrt((double)x_apart * (double)y_apart));
out:
    infl_release(pairs);
    infl_release(space);
    return infl_in_name_of(__func__, status);
}

infl_status infl_norms(const double *vectors, size_t n, size_t length, double *norms) {
    INFL_REQUIRE(vectors);
    INFL_REQUIRE(norms);
    if (n == 0 || length == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: %zu vectors of %zu numbers; at least one of each is expected", __func__,
                         n, length);
    INFL_TRY(infl_check_vectors(vectors, n, length, __func__, "vectors"));
    for (size_t i = 0; i < n; i++)
        norms[i] = infl_norm(vectors + i * length, length);
    return INFL_OK;
}

infl_status infl_cosine(const double *x, const double *y, size_t n, double *cosine) {
    INFL_REQUIRE(x);
    INFL_REQUIRE(y);
    INFL_REQUIRE(cosine);
    INFL_TRY(check_pairs(x, y, n, 1, __func__));
    *cosine = cosine_of(x, y, n);
    return INFL_OK;
}

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "influence.h"
#include "random.h"
#include "suites.h"

#define assert_ok(call) ck_assert_msg((call) == INFL_OK, "%s", infl_last_error())

typedef infl_status (*statistic)(const double *x, const double *y, size_t n, double *value);

static const struct {
    const char *name;
    statistic function;
} statistics[4] = {{"infl_pearson", infl_pearson},
                   {"infl_spearman", infl_spearman},
                   {"infl_kendall", infl_kendall},
                   {"infl_cosine", infl_cosine}};

enum { MOST = 80 };

/* A sum of n products of unit vectors' elements errs by at most n·ε, its two norms by n·ε/2 each. */
static double tolerance(size_t n) { return 4.0 * (double)(n + 8) * DBL_EPSILON; }

/* Random numbers on a grid of `levels` values, so that there are ties, or without a grid for 0. */
static void fill(double *values, size_t n, uint64_t seed, uint64_t levels) {
    for (size_t i = 0; i < n; i++)
        values[i] = levels == 0 ? infl_random_normal(seed, 100, i)
                                : (double)infl_random_below(seed, 100, i, levels) - (double)(levels / 2);
}

static double naive_pearson(const double *x, const double *y, size_t n) {
    long double mx = 0.0L, my = 0.0L, xx = 0.0L, yy = 0.0L, xy = 0.0L;
    for (size_t i = 0; i < n; i++) {
        mx += (long double)x[i] / (long double)n;
        my += (long double)y[i] / (long double)n;
    }
    for (size_t i = 0; i < n; i++) {
        long double a = (long double)x[i] - mx, b = (long double)y[i] - my;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    return (double)(xy / sqrtl(xx) / sqrtl(yy));
}

/* Twice the rank, by counting: Σ_j ([v_j < v_i] + [v_j ≤ v_i]) + 1. */
static void naive_ranks(const double *values, size_t n, double *ranks) {
    for (size_t i = 0; i < n; i++) {
        ranks[i] = 1.0;
        for (size_t j = 0; j < n; j++)
            ranks[i] += (values[j] < values[i]) + (values[j] <= values[i]);
    }
}

static double naive_spearman(const double *x, const double *y, size_t n) {
    double x_ranks[MOST], y_ranks[MOST];
    naive_ranks(x, n, x_ranks);
    naive_ranks(y, n, y_ranks);
    return naive_pearson(x_ranks, y_ranks, n);
}

static double sign(double value) { return (double)((value > 0.0) - (value < 0.0)); }

static double naive_kendall(const double *x, const double *y, size_t n) {
    double difference = 0.0, x_apart = 0.0, y_apart = 0.0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            double a = sign(x[i] - x[j]), b = sign(y[i] - y[j]);
            difference += a * b;
            x_apart += a * a;
            y_apart += b * b;
        }
    return difference / sqrt(x_apart) / sqrt(y_apart);
}

static double naive_cosine(const double *x, const double *y, size_t n) {
    long double xx = 0.0L, yy = 0.0L, xy = 0.0L;
    for (size_t i = 0; i < n; i++) {
        xx += (long double)x[i] * (long double)x[i];
        yy += (long double)y[i] * (long double)y[i];
        xy += (long double)x[i] * (long double)y[i];
    }
    return (double)(xy / sqrtl(xx) / sqrtl(yy));
}

START_TEST(agree_with_definitions) {
    static double (*const naive[4])(const double *, const double *, size_t) = {naive_pearson, naive_spearman,
                                                                               naive_kendall, naive_cosine};
    static const uint64_t levels[] = {0, 2, 3, 7, 40};
    double x[MOST], y[MOST];
    for (size_t n = 2; n <= MOST; n += n < 20 ? 1 : 15)
        for (uint64_t seed = 0; seed < 4; seed++)
            for (size_t a = 0; a < 5; a++)
                for (size_t b = 0; b < 5; b++) {
                    fill(x, n, 2 * seed, levels[a]);
                    fill(y, n, 2 * seed + 1, levels[b]);
                    for (size_t i = 0; seed % 2 == 1 && i < n; i++)
                        y[i] -= 2.0 * x[i]; /* correlated, too */
                    for (size_t k = 0; k < 4; k++) {
                        double value = -7.0, expected = naive[k](x, y, n);
                        assert_ok(statistics[k].function(x, y, n, &value));
                        if (isnan(expected))
                            ck_assert_msg(isnan(value), "%s: %.17g, expected NaN", statistics[k].name, value);
                        else
                            ck_assert_msg(fabs(value - expected) <= tolerance(n) && fabs(value) <= 1.0,
                                          "%s, n = %zu: %.17g, expected %.17g", statistics[k].name, n, value, expected);
                    }
                }
}
END_TEST

START_TEST(worked_examples) {
    /* 5 judges, with ties: of the 10 pairs x ties 2 and y 1 (a pair tied in both), so τ-b = (2 − 6)/√(8·9) */
    const double x[5] = {12, 2, 1, 12, 2}, y[5] = {1, 4, 7, 1, 0};
    double value;
    assert_ok(infl_kendall(x, y, 5, &value));
    ck_assert_double_eq_tol(value, -4.0 / sqrt(72.0), DBL_EPSILON);
    /* ranks 1 2 3 4 5 and 1 2 3.5 5 3.5: ρ = 8/√(10·9.5) */
    const double a[5] = {1, 2, 3, 4, 5}, b[5] = {5, 6, 7, 8, 7};
    assert_ok(infl_spearman(a, b, 5, &value));
    ck_assert_double_eq_tol(value, 8.0 / sqrt(95.0), 2 * DBL_EPSILON);
    /* Anscombe's first set: 0.81642 */
    const double u[11] = {10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5};
    const double v[11] = {8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68};
    assert_ok(infl_pearson(u, v, 11, &value));
    ck_assert_double_eq_tol(value, 0.81642, 5e-6);
    const double p[3] = {1, 2, 2}, q[3] = {2, -2, 1};
    assert_ok(infl_cosine(p, q, 3, &value));
    ck_assert_double_eq(value, 0.0);
    assert_ok(infl_cosine((double[]){-3.0}, (double[]){2.0}, 1, &value));
    ck_assert_double_eq(value, -1.0);
}
END_TEST

START_TEST(extremes_are_exact) {
    double x[MOST], minus_x[MOST];
    for (uint64_t seed = 0; seed < 20; seed++) {
        fill(x, MOST, seed, seed % 2 == 0 ? 0 : 9);
        for (size_t i = 0; i < MOST; i++)
            minus_x[i] = -x[i];
        for (size_t k = 0; k < 4; k++) {
            double same, opposite;
            assert_ok(statistics[k].function(x, x, MOST, &same));
            assert_ok(statistics[k].function(x, minus_x, MOST, &opposite));
            ck_assert_double_eq(same, 1.0);
            ck_assert_double_eq(opposite, -1.0);
        }
    }
}
END_TEST

START_TEST(invariances) {
    double x[MOST], y[MOST], moved[MOST];
    static const double scales[] = {0x1p1000, 0x1p-1000, 0x1p-1060, -4.0};
    fill(x, MOST, 1, 1000); /* whole numbers: scaling and moving them below is exact */
    fill(y, MOST, 2, 0);
    for (size_t i = 0; i < MOST; i++)
        y[i] += x[i] / 500.0;
    for (size_t k = 0; k < 4; k++) {
        double value, other;
        assert_ok(statistics[k].function(x, y, MOST, &value));
        ck_assert(fabs(value) > 0.1);
        assert_ok(statistics[k].function(y, x, MOST, &other));
        ck_assert_double_eq_tol(other, value, tolerance(MOST));
        for (size_t s = 0; s < 4; s++) {
            for (size_t i = 0; i < MOST; i++)
                moved[i] = scales[s] * x[i];
            assert_ok(statistics[k].function(moved, y, MOST, &other));
            ck_assert_double_eq(other, scales[s] < 0.0 ? -value : value); /* powers of two round nothing */
        }
        if (k < 3) {
            for (size_t i = 0; i < MOST; i++)
                moved[i] = x[i] + 1e15;
            assert_ok(statistics[k].function(moved, y, MOST, &other));
            ck_assert_double_eq_tol(other, value, tolerance(MOST));
        }
        if (k == 1 || k == 2) {
            for (size_t i = 0; i < MOST; i++)
                moved[i] = exp(x[i]); /* ranks do not change */
            assert_ok(statistics[k].function(moved, y, MOST, &other));
            ck_assert_double_eq(other, value);
        }
    }
}
END_TEST

START_TEST(constant_is_nan) {
    double x[10], constant[10], zero[10] = {0};
    fill(x, 10, 3, 0);
    for (size_t i = 0; i < 10; i++)
        constant[i] = 0.1; /* its mean rounds */
    for (size_t k = 0; k < 4; k++) {
        double value = 0.0;
        const double *none = k < 3 ? constant : zero;
        assert_ok(statistics[k].function(x, none, 10, &value));
        ck_assert_double_nan(value);
        value = 0.0;
        assert_ok(statistics[k].function(none, x, 10, &value));
        ck_assert_double_nan(value);
        value = 0.0;
        assert_ok(statistics[k].function(none, none, 10, &value));
        ck_assert_double_nan(value);
    }
    double value;
    assert_ok(infl_pearson((double[]){1.0, nextafter(1.0, 2.0), 1.0}, (double[]){0.0, 1.0, 0.0}, 3, &value));
    ck_assert_double_eq_tol(value, 1.0, tolerance(3)); /* as little as this is not constant */
    assert_ok(infl_pearson((double[]){DBL_MAX, -DBL_MAX, 0.0}, (double[]){1.0, -1.0, 0.0}, 3, &value));
    ck_assert_double_eq_tol(value, 1.0, tolerance(3));
    assert_ok(infl_kendall((double[]){-0.0, 0.0, 1.0}, (double[]){1.0, 1.0, 2.0}, 3, &value));
    ck_assert_double_eq(value, 1.0); /* −0 and 0 tie */
}
END_TEST

#define assert_refuses(call, expected, name, part)                                                                     \
    do {                                                                                                               \
        ck_assert_int_eq((call), (expected));                                                                          \
        ck_assert_msg(strncmp(infl_last_error(), (name), strlen(name)) == 0, "%s", infl_last_error());                 \
        ck_assert_msg(strstr(infl_last_error(), (part)) != NULL, "no '%s' in: %s", (part), infl_last_error());         \
    } while (0)

/* Norms without overflow or underflow, exact up to the rounding of a sum of three squares. */
START_TEST(norms_of_vectors) {
    const double vectors[4][3] = {{3, 0, 4}, {-1e200, 1e200, 0}, {2e-200, 1e-200, 2e-200}, {0, 0, 0}};
    const double expected[4] = {5, 1.4142135623730951e200, 3e-200, 0};
    double norms[4] = {7, 7, 7, 7};
    ck_assert_int_eq(infl_norms(vectors[0], 4, 3, norms), INFL_OK);
    for (size_t i = 0; i < 4; i++)
        ck_assert_double_le(fabs(norms[i] - expected[i]), 4e-16 * expected[i]);
    const double bad[2] = {1, (double)NAN};
    norms[0] = 7;
    assert_refuses(infl_norms(NULL, 1, 1, norms), INFL_E_ARGUMENT, "infl_norms", "vectors is NULL");
    assert_refuses(infl_norms(bad, 1, 2, NULL), INFL_E_ARGUMENT, "infl_norms", "norms is NULL");
    assert_refuses(infl_norms(bad, 0, 2, norms), INFL_E_ARGUMENT, "infl_norms", "0 vectors");
    assert_refuses(infl_norms(bad, 1, 0, norms), INFL_E_ARGUMENT, "infl_norms", "of 0 numbers");
    assert_refuses(infl_norms(bad, 1, 2, norms), INFL_E_NONFINITE, "infl_norms", "vectors[0][1]");
    ck_assert_double_eq(norms[0], 7);
}
END_TEST

START_TEST(refuse) {
    const double good[3] = {1.0, 2.0, 4.0}, bad[3] = {1.0, 2.0, (double)NAN}, worse[3] = {1.0, -(double)INFINITY, 2.0};
    for (size_t k = 0; k < 4; k++) {
        statistic f = statistics[k].function;
        const char *name = statistics[k].name;
        double value = 7.0;
        assert_refuses(f(NULL, good, 3, &value), INFL_E_ARGUMENT, name, "x is NULL");
        assert_refuses(f(good, NULL, 3, &value), INFL_E_ARGUMENT, name, "y is NULL");
        assert_refuses(f(good, good, 3, NULL), INFL_E_ARGUMENT, name, "is NULL");
        assert_refuses(f(good, good, 0, &value), INFL_E_ARGUMENT, name, "n is 0");
        if (k < 3)
            assert_refuses(f(good, good, 1, &value), INFL_E_ARGUMENT, name, "n is 1");
        assert_refuses(f(bad, good, 3, &value), INFL_E_NONFINITE, name, "x[2]");
        assert_refuses(f(good, bad, 3, &value), INFL_E_NONFINITE, name, "y[2]");
        assert_refuses(f(worse, good, 3, &value), INFL_E_NONFINITE, name, "x[1]");
        assert_refuses(f(good, worse, 3, &value), INFL_E_NONFINITE, name, "y[1]");
        ck_assert_double_eq(value, 7.0);
    }
}
END_TEST

START_TEST(kendall_of_many) {
    /* pairs in the quadratic way would be 1.25·10¹¹: far beyond the time limit */
    enum { N = 500000, BLOCK = 1000 };
    double *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y), tau;
    for (size_t i = 0; i < N; i++) {
        x[i] = (double)i;
        y[i] = (double)(i - i % BLOCK + (BLOCK - 1 - i % BLOCK)); /* descending within blocks, ascending across */
    }
    assert_ok(infl_kendall(x, y, N, &tau));
    double all = (double)N * (N - 1) / 2, discordant = (double)(N / BLOCK) * BLOCK * (BLOCK - 1) / 2;
    ck_assert_double_eq_tol(tau, (all - 2 * discordant) / all, 4 * DBL_EPSILON);
    free(x);
    free(y);
}
END_TEST

Suite *statistics_suite(void) {
    Suite *suite = suite_create("statistics");
    add_case(suite, "statistics/definitions", agree_with_definitions, 1);
    add_case(suite, "statistics/worked-examples", worked_examples, 1);
    add_case(suite, "statistics/extremes", extremes_are_exact, 1);
    add_case(suite, "statistics/invariances", invariances, 1);
    add_case(suite, "statistics/constant", constant_is_nan, 1);
    add_case(suite, "statistics/norms", norms_of_vectors, 1);
    add_case(suite, "statistics/refuse", refuse, 1);
    add_case(suite, "statistics/kendall/many", kendall_of_many, 1);
    return suite;
}

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "dense.h"
#include "parallel.h"
#include "reference.h"
#include "suites.h"

static double *normals(size_t n, uint64_t seed) {
    double *x = calloc(n > 0 ? n : 1, sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++)
        x[i] = random_normal(&seed);
    return x;
}

/*
 * C ← αAB + βC element by element in long double. A sum of k products in any order is within k·ε·Σ|a||b| of the truth,
 * scaling and adding cost a few ε more (Higham 2002, 3.1): twice that is allowed.
 */
static void check_gemm(size_t m, size_t n, size_t k, int transposed, double alpha, double beta) {
    size_t pad = 3, a_row = transposed ? 1 : k + pad, a_column = transposed ? m + pad : 1;
    size_t b_row = transposed ? 1 : n + pad, b_column = transposed ? k + pad : 1;
    size_t c_row = transposed ? 1 : n + pad, c_column = transposed ? m + pad : 1;
    size_t size = (m + n + k + 9) * (m + n + k + 9);
    double *values = normals(3 * size, m + 31 * n + 977 * k);
    double *a = calloc(3 * size, sizeof *a), *b = a + size, *c = b + size;
    long double *truth = calloc(m * n + 1, sizeof *truth), *bound = calloc(m * n + 1, sizeof *bound);
    for (size_t i = 0; i < 3 * size; i++)
        a[i] = values[i];
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            long double sum = 0, magnitude = 0;
            for (size_t l = 0; l < k; l++) {
                long double product = (long double)a[i * a_row + l * a_column] * b[l * b_row + j * b_column];
                sum += product;
                magnitude += fabsl(product);
            }
            long double old = beta == 0 ? 0 : (long double)beta * c[i * c_row + j * c_column];
            truth[i * n + j] = alpha * sum + old;
            bound[i * n + j] = 2 * (k + 2) * (long double)DBL_EPSILON * (fabsl(alpha) * magnitude + fabsl(old));
            if (beta == 0)
                c[i * c_row + j * c_column] = NAN; /* must not be read */
        }
    infl_gemm(m, n, k, alpha, a, a_row, a_column, b, b_row, b_column, beta, c, c_row, c_column);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            ck_assert_msg(fabsl(c[i * c_row + j * c_column] - truth[i * n + j]) <= bound[i * n + j],
                          "%zu×%zu×%zu transposed %d: element (%zu, %zu) is %.9g, not %.9Lg", m, n, k, transposed, i, j,
                          c[i * c_row + j * c_column], truth[i * n + j]);
    for (size_t i = 0; i < m; i++) /* what lies between the rows stays */
        for (size_t j = n; !transposed && j < n + pad; j++)
            ck_assert(c[i * c_row + j] == values[2 * size + i * c_row + j]);
    free(values);
    free(a);
    free(truth);
    free(bound);
}

START_TEST(test_gemm) {
    static const size_t sizes[] = {0, 1, 2, 7, 33, 120};
    for (size_t m = 0; m < 6; m++)
        for (size_t n = 0; n < 6; n++)
            for (size_t k = 0; k < 6; k++)
                for (int transposed = 0; transposed < 2; transposed++) {
                    double alpha = (m + n) % 2 == 0 ? 1 : -0.5, beta = k % 3 == 0 ? 0 : k % 3 == 1 ? 1 : 0.25;
                    check_gemm(sizes[m], sizes[n], sizes[k], transposed, alpha, beta);
                }
}
END_TEST

/* BLIS on the calling thread alone: calls from a parallel region neither nest nor disturb each other. */
START_TEST(test_gemm_parallel) {
    enum { N = 96, JOBS = 8 };
    double *a = normals(N * N, 1), *b = normals(N * N, 2), *alone = normals(N * N, 3);
    double *shared = calloc((size_t)JOBS * N * N, sizeof *shared);
    infl_gemm(N, N, N, 1, a, N, 1, b, N, 1, 0, alone, N, 1);
#pragma omp parallel for num_threads(2)
    for (int job = 0; job < JOBS; job++)
        infl_gemm(N, N, N, 1, a, N, 1, b, N, 1, 0, shared + (size_t)job * N * N, N, 1);
    for (int job = 0; job < JOBS; job++)
        assert_same_bits(shared + (size_t)job * N * N, alone, N * N, "job %d", job);
    free(a);
    free(b);
    free(alone);
    free(shared);
}
END_TEST

START_TEST(test_sums) {
    for (size_t n = 0; n < 70; n++) {
        double *x = normals(n, n + 1), *y = normals(n, n + 100), *z = normals(n, n + 200);
        long double dot = 0, magnitude = 0, square = 0;
        for (size_t i = 0; i < n; i++) {
            dot += (long double)x[i] * y[i];
            magnitude += fabsl((long double)x[i] * y[i]);
            square += (long double)x[i] * x[i];
        }
        ck_assert(fabsl(infl_dot(x, y, n) - dot) <= (n + 1) * DBL_EPSILON * magnitude);
        static const double scales[] = {1, 1e-160, 1e-300, 1e160, 1e306, 0};
        for (size_t s = 0; s < 6; s++) {
            double *scaled = calloc(n + 1, sizeof *scaled);
            for (size_t i = 0; i < n; i++)
                scaled[i] = x[i] * scales[s];
            long double truth = sqrtl(square) * scales[s];
            ck_assert_msg(fabsl(infl_norm(scaled, n) - truth) <= (n + 3) * DBL_EPSILON * truth,
                          "norm of %zu numbers at "
                          "%g is %g",
                          n, scales[s], infl_norm(scaled, n));
            free(scaled);
        }
        double *sum = normals(n, n + 200);
        infl_axpy(-1.5, x, sum, n);
        for (size_t i = 0; i < n; i++)
            ck_assert(sum[i] == z[i] + -1.5 * x[i] ||
                      fabs(sum[i] - fma(-1.5, x[i], z[i])) <= DBL_EPSILON * fabs(sum[i]));
        free(x);
        free(y);
        free(z);
        free(sum);
    }
    double subnormal[2] = {3 * 0x1p-1074, 4 * 0x1p-1074};
    ck_assert(infl_norm(subnormal, 2) == 5 * 0x1p-1074);
    double infinite[3] = {1, -INFINITY, 2}, nan[3] = {1, NAN, INFINITY};
    ck_assert(infl_norm(infinite, 3) == INFINITY);
    ck_assert(isnan(infl_norm(nan, 3)));
}
END_TEST

START_TEST(test_finite) {
    for (size_t n = 0; n < 70; n++) {
        double *x = normals(n, n);
        ck_assert_int_eq(infl_all_finite(x, n), 1);
        for (size_t i = 0; i < n; i++) {
            static const double bad[] = {NAN, INFINITY, -INFINITY}, good[] = {DBL_MAX, -DBL_MAX, 0x1p-1074};
            for (size_t b = 0; b < 3; b++) {
                double kept = x[i];
                x[i] = bad[b];
                ck_assert_msg(infl_all_finite(x, n) == 0, "%g at %zu of %zu was not seen", bad[b], i, n);
                x[i] = good[b];
                ck_assert_msg(infl_all_finite(x, n) == 1, "%g at %zu of %zu was refused", good[b], i, n);
                x[i] = kept;
            }
        }
        free(x);
    }
}
END_TEST

/* GGᵀ + I, p×p */
static double *definite_matrix(size_t p, uint64_t seed) {
    double *g = normals(p * p, seed), *a = calloc(p * p, sizeof *a);
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < p; j++) {
            for (size_t l = 0; l < p; l++)
                a[i * p + j] += g[i * p + l] * g[j * p + l];
            a[i * p + j] += i == j;
        }
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < i; j++)
            a[i * p + j] = a[j * p + i];
    free(g);
    return a;
}

static double largest(const double *x, size_t n) {
    double value = 0;
    for (size_t i = 0; i < n; i++)
        value = fmax(value, fabs(x[i]));
    return value;
}

START_TEST(test_cholesky) {
    static const size_t sizes[] = {1, 2, 5, 40, 150};
    for (size_t s = 0; s < 5; s++) {
        size_t p = sizes[s], k = 3;
        double *a = definite_matrix(p, p), *factor = definite_matrix(p, p), *b = normals(k * p, 9),
               *x = normals(k * p, 9);
        int definite = 0;
        assert_ok(infl_cholesky_factorise(factor, p, &definite));
        ck_assert_int_eq(definite, 1);
        /* LLᵀ = A to (p+1)·ε·|L||Lᵀ|, and |L||Lᵀ|_ij ≤ √(a_ii a_jj) (Higham 2002, 10.1) */
        double scale = largest(a, p * p);
        for (size_t i = 0; i < p; i++)
            for (size_t j = 0; j <= i; j++) {
                long double sum = 0;
                for (size_t l = 0; l <= j; l++)
                    sum += (long double)factor[i * p + l] * factor[j * p + l];
                ck_assert_msg(fabsl(sum - a[i * p + j]) <= (p + 1) * DBL_EPSILON * scale, "p %zu, element (%zu, %zu)",
                              p, i, j);
            }
        assert_ok(infl_cholesky_solve(factor, p, x, k));
        for (size_t j = 0; j < k; j++)
            for (size_t i = 0; i < p; i++) {
                long double sum = 0, magnitude = 0;
                for (size_t l = 0; l < p; l++) {
                    sum += (long double)a[i * p + l] * x[j * p + l];
                    magnitude += fabsl((long double)scale * x[j * p + l]);
                }
                ck_assert(fabsl(sum - b[j * p + i]) <= 4 * (p + 1) * DBL_EPSILON * magnitude);
            }
        if (p > 1) {
            for (size_t i = 0; i < p * p; i++)
                factor[i] = a[i];
            factor[p * p - 1] = -1;
            assert_ok(infl_cholesky_factorise(factor, p, &definite));
            ck_assert_int_eq(definite, 0);
        }
        for (size_t i = 0; i < p * p; i++)
            factor[i] = a[i];
        factor[(p - 1) * p + p / 2] = NAN;
        ck_assert_int_eq(infl_cholesky_factorise(factor, p, &definite), INFL_E_NONFINITE);
        free(a);
        free(factor);
        free(b);
        free(x);
    }
}
END_TEST

/* Rows of v: orthonormal eigenvectors of a to the values, ascending. tolerance is relative to ‖A‖. */
static void check_eigen(const double *a, size_t p, const double *values, const double *v, double tolerance) {
    double scale = fmax(fabs(values[0]), fabs(values[p - 1]));
    for (size_t i = 0; i < p; i++) {
        ck_assert(i == 0 || values[i - 1] <= values[i]);
        for (size_t j = 0; j < p; j++) {
            double dot = 0, image = 0;
            for (size_t l = 0; l < p; l++) {
                dot += v[i * p + l] * v[j * p + l];
                image += a[j * p + l] * v[i * p + l];
            }
            ck_assert_msg(fabs(dot - (i == j)) <= tolerance, "eigenvectors %zu and %zu of %zu: %g", i, j, p, dot);
            ck_assert_msg(fabs(image - values[i] * v[i * p + j]) <= tolerance * scale, "eigenpair %zu of %zu", i, p);
        }
    }
}

START_TEST(test_eigen) {
    static const size_t sizes[] = {1, 2, 5, 40, 100};
    for (size_t s = 0; s < 5; s++) {
        size_t p = sizes[s];
        double *a = definite_matrix(p, p), *v = definite_matrix(p, p), *w = definite_matrix(p, p);
        double *values = calloc(p, sizeof *values), *only = calloc(p, sizeof *only);
        double scale = 0;
        assert_ok(infl_symmetric_eigen(v, p, 1, values));
        assert_ok(infl_symmetric_eigen(w, p, 0, only));
        /* backward stable: p·ε·‖A‖ with a modest constant */
        check_eigen(a, p, values, v, 10 * (double)p * DBL_EPSILON);
        scale = values[p - 1];
        for (size_t i = 0; i < p; i++)
            ck_assert(fabs(values[i] - only[i]) <= 10 * (double)p * DBL_EPSILON * scale);
        a[(p - 1) * p] = INFINITY;
        ck_assert_int_eq(infl_symmetric_eigen(a, p, 1, values), INFL_E_NONFINITE);
        free(a);
        free(v);
        free(w);
        free(values);
        free(only);
    }
}
END_TEST

/* The matrix of −1, 2, −1 has the eigenvalues 2 − 2cos(πj/(n+1)). */
START_TEST(test_tridiagonal) {
    for (size_t n = 1; n < 60; n += 7) {
        double *diagonal = calloc(n, sizeof *diagonal), *beside = calloc(n, sizeof *beside),
               *a = calloc(n * n, sizeof *a);
        double *vectors = calloc(n * n, sizeof *vectors);
        for (int with = 0; with < 2; with++) {
            for (size_t i = 0; i < n; i++) {
                diagonal[i] = a[i * n + i] = 2;
                beside[i] = -1;
                if (i > 0)
                    a[i * n + i - 1] = a[(i - 1) * n + i] = -1;
            }
            assert_ok(infl_tridiagonal_eigen(diagonal, beside, n, with ? vectors : NULL));
            for (size_t j = 0; j < n; j++)
                ck_assert(fabs(diagonal[j] - 2 + 2 * cos(acos(-1.0) * (double)(j + 1) / (double)(n + 1))) <=
                          10 * (double)n * DBL_EPSILON * 4);
        }
        check_eigen(a, n, diagonal, vectors, 10 * (double)n * DBL_EPSILON);
        diagonal[n - 1] = NAN;
        ck_assert_int_eq(infl_tridiagonal_eigen(diagonal, beside, n, NULL), INFL_E_NONFINITE);
        free(diagonal);
        free(beside);
        free(a);
        free(vectors);
    }
}
END_TEST

START_TEST(test_threads) {
    size_t p = 150;
    double *values[2], *vectors[2], *factor[2];
    int threads = omp_get_max_threads(), definite;
    for (int i = 0; i < 2; i++) {
        omp_set_num_threads(1 + i);
        values[i] = calloc(p, sizeof **values);
        vectors[i] = definite_matrix(p, 5);
        factor[i] = definite_matrix(p, 5);
        assert_ok(infl_symmetric_eigen(vectors[i], p, 1, values[i]));
        assert_ok(infl_cholesky_factorise(factor[i], p, &definite));
    }
    omp_set_num_threads(threads);
    assert_same_bits(values[0], values[1], p, "eigenvalues with 1 and 2 threads");
    assert_same_bits(vectors[0], vectors[1], p * p, "eigenvectors with 1 and 2 threads");
    assert_same_bits(factor[0], factor[1], p * p, "Cholesky factors with 1 and 2 threads");
    for (int i = 0; i < 2; i++) {
        free(values[i]);
        free(vectors[i]);
        free(factor[i]);
    }
}
END_TEST

Suite *dense_suite(void) {
    Suite *suite = suite_create("dense");
    add_case(suite, "dense/gemm/elements", test_gemm, 1);
    add_case(suite, "dense/gemm/parallel", test_gemm_parallel, 1);
    add_case(suite, "dense/sums", test_sums, 1);
    add_case(suite, "dense/finite", test_finite, 1);
    add_case(suite, "dense/cholesky", test_cholesky, 1);
    add_case(suite, "dense/eigen/symmetric", test_eigen, 1);
    add_case(suite, "dense/eigen/tridiagonal", test_tridiagonal, 1);
    add_case(suite, "dense/threads", test_threads, 1);
    return suite;
}

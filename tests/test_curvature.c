#include <float.h>

#include "linear.h"
#include "spectral.h"
#include "suites.h"

/* A product with p terms rounds to p·ε of the norms; the factor covers λv and the matrix's own rounding. */
static double product_tolerance(size_t p) { return 8 * (double)(p + 2) * DBL_EPSILON; }

START_TEST(test_matrix) {
    static const size_t sizes[] = {1, 2, 7, 40};
    for (size_t s = 0; s < 4; s++) {
        size_t p = sizes[s], k = 3;
        double values[40], damping = 0.75, out[3 * 40], truth[3 * 40], dense[40 * 40], *v = spectral_normals(k * p, 4);
        long double f[40];
        spectral_geometric(values, p, 0.1, 10);
        for (size_t i = 0; i < p; i++)
            f[i] = (long double)values[i] + damping;
        spectral a = spectral_create(values, p, p);
        for (size_t j = 0; j < k; j++)
            spectral_apply(&a, f, v + j * p, truth + j * p);
        counted_product counted = {.matrix = a.matrix, .p = p};
        infl_curvature *of_matrix, *of_product;
        assert_ok(infl_curvature_from_matrix(&of_matrix, a.matrix, p, damping));
        assert_ok(infl_curvature_from_product(&of_product, counted_multiply, &counted, p, damping));
        infl_curvature *both[] = {of_matrix, of_product};
        for (int i = 0; i < 2; i++) {
            ck_assert_uint_eq(infl_curvature_size(both[i]), p);
            ck_assert(infl_curvature_damping(both[i]) == damping);
            assert_ok(infl_curvature_product(both[i], v, k, out));
            assert_close(out, truth, k * p, 100 * product_tolerance(p), "p %zu, operator %d", p, i);
            assert_ok(infl_curvature_dense(both[i], dense));
            for (size_t row = 0; row < p; row++)
                for (size_t column = 0; column < p; column++) {
                    ck_assert(dense[row * p + column] == dense[column * p + row]);
                    ck_assert(dense[row * p + column] == a.matrix[row * p + column] + (row == column ? damping : 0));
                }
        }
        ck_assert_uint_eq(counted.n_vectors, k + p);
        infl_curvature_destroy(of_matrix);
        infl_curvature_destroy(of_product);
        spectral_destroy(&a);
        free(v);
    }
}
END_TEST

/* What is too large with the damping is told, and the same of a damping that the library is to find. */
START_TEST(test_infinite) {
    double matrix = 1.5e308, out = -1;
    infl_curvature *curvature = NULL;
    assert_ok(infl_curvature_from_matrix(&curvature, &matrix, 1, 1.5e308));
    ck_assert_int_eq(infl_curvature_dense(curvature, &out), INFL_E_NONFINITE);
    ck_assert(out == -1);
    infl_curvature_destroy(curvature);
    curvature = NULL;
    matrix = -DBL_MAX;
    ck_assert_int_eq(infl_curvature_from_matrix(&curvature, &matrix, 1, INFL_DAMPING_AUTO), INFL_E_NONFINITE);
    ck_assert_ptr_null(curvature);
}
END_TEST

/* An answer's bits do not depend on the other vectors that were asked for with it. */
START_TEST(test_block) {
    double values[40], alone[40], *v = spectral_normals(9 * 40, 4), out[9 * 40];
    spectral_geometric(values, 40, 0.1, 10);
    spectral a = spectral_create(values, 40, 3);
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, 40, 0.1));
    assert_ok(infl_curvature_product(curvature, v, 9, out));
    for (size_t j = 0; j < 9; j++) {
        assert_ok(infl_curvature_product(curvature, v + 40 * j, 1, alone));
        assert_same_bits(out + 40 * j, alone, 40, "vector %zu", j);
    }
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
    free(v);
}
END_TEST

START_TEST(test_asymmetry) {
    double matrix[4] = {2, 1, 1 + 1.9e-10, 1}, dense[4];
    infl_curvature *curvature = NULL;
    assert_ok(infl_curvature_from_matrix(&curvature, matrix, 2, 0));
    assert_ok(infl_curvature_dense(curvature, dense));
    ck_assert(dense[1] == dense[2] && fabs(dense[1] - 1 - 0.95e-10) < 1e-15);
    infl_curvature_destroy(curvature);
    curvature = NULL;
    matrix[2] = 1 + 2.1e-10;
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_matrix(&curvature, matrix, 2, 0));
    ck_assert_ptr_null(curvature);
}
END_TEST

/* A custom objective that lacks a kind's callback is refused at once, and only for that kind. */
START_TEST(test_callbacks) {
    linear_problem l = linear_create(1, 6, 3, 0.1, 8);
    double theta[3] = {0.1, -0.2, 0.3}, v[3] = {1, 2, 3}, out[3];
    for (int given = 0; given < 4; given++) {
        infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
        custom.n_rows = l.n;
        custom.n_parameters = l.d;
        custom.context = &l;
        custom.losses = linear_losses;
        custom.row_gradients = linear_row_gradients;
        custom.hessian_products = given & 1 ? linear_products : NULL;
        custom.gauss_newton_products = given & 2 ? linear_products : NULL;
        infl_objective *objective;
        assert_ok(infl_objective_create_custom(&objective, &custom, theta, NULL));
        for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++) {
            infl_curvature *curvature = NULL;
            if (kind == INFL_FISHER || (given & (kind == INFL_HESSIAN ? 1 : 2))) {
                assert_ok(infl_curvature_create(&curvature, objective, (infl_curvature_kind)kind, 0));
                assert_ok(infl_curvature_product(curvature, v, 1, out));
            } else {
                assert_fails(INFL_E_UNSUPPORTED,
                             infl_curvature_create(&curvature, objective, (infl_curvature_kind)kind, 0));
                const char *lacking = kind == INFL_HESSIAN ? "hessian_products" : "gauss_newton_products";
                ck_assert_msg(strstr(infl_last_error(), lacking) != NULL, "%s", infl_last_error());
                ck_assert_ptr_null(curvature);
            }
            infl_curvature_destroy(curvature);
        }
        infl_objective_destroy(objective);
    }
    linear_destroy(&l);
}
END_TEST

START_TEST(test_arguments) {
    double matrix[4] = {2, 1, 1, 2}, bad[4] = {1, 0, 0, NAN}, v[2] = {1, INFINITY}, out[4];
    counted_product counted = {.matrix = matrix, .p = 2};
    infl_curvature *curvature = NULL;
    fill_sentinel(out, 4);
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_matrix(NULL, matrix, 2, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_matrix(&curvature, NULL, 2, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_matrix(&curvature, matrix, 0, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_matrix(&curvature, matrix, 2, -1e-300));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_matrix(&curvature, matrix, 2, NAN));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_matrix(&curvature, matrix, 2, INFINITY));
    assert_fails(INFL_E_NONFINITE, infl_curvature_from_matrix(&curvature, bad, 2, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_product(&curvature, NULL, NULL, 2, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_product(&curvature, counted_multiply, &counted, 0, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_from_product(&curvature, counted_multiply, &counted, 2, -2));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_create(&curvature, NULL, INFL_HESSIAN, 0));
    problem_options options = PROBLEM_OPTIONS_INIT;
    problem *q = problem_create(&options);
    assert_fails(INFL_E_ARGUMENT, infl_curvature_create(&curvature, q->objective, (infl_curvature_kind)3, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_create(&curvature, q->objective, INFL_FISHER, -2));
    problem_destroy(q);
    ck_assert_ptr_null(curvature);
    assert_fails(INFL_E_ARGUMENT, infl_curvature_product(NULL, v, 1, out));
    ck_assert_uint_eq(infl_curvature_size(NULL), 0);
    ck_assert(infl_curvature_damping(NULL) == 0);
    infl_curvature_destroy(NULL);

    assert_ok(infl_curvature_from_product(&curvature, counted_multiply, &counted, 2, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_product(curvature, NULL, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_product(curvature, v, 1, NULL));
    assert_fails(INFL_E_NONFINITE, infl_curvature_product(curvature, v, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_dense(curvature, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_eigen(curvature, NULL, NULL));
    v[1] = 1;
    counted = (counted_product){.matrix = matrix, .p = 2, .fail_at = 1};
    assert_fails(INFL_E_CALLBACK, infl_curvature_product(curvature, v, 1, out));
    ck_assert_msg(strstr(infl_last_error(), "returned 3") != NULL, "%s", infl_last_error());
    counted.fail_at = 2;
    assert_fails(INFL_E_CALLBACK, infl_curvature_dense(curvature, out));
    counted = (counted_product){.matrix = matrix, .p = 2, .nan_at = 1};
    assert_fails(INFL_E_NONFINITE, infl_curvature_product(curvature, v, 1, out));
    counted.nan_at = 2;
    assert_fails(INFL_E_NONFINITE, infl_curvature_dense(curvature, out));
    counted.nan_at = 3;
    assert_fails(INFL_E_NONFINITE, infl_curvature_eigen(curvature, out, NULL));
    counted.nan_at = 4;
    assert_fails(INFL_E_NONFINITE, infl_curvature_lanczos(curvature, 1, 1, NULL, out, out + 1, out + 3));
    ck_assert(all_sentinel(out, 4));
    infl_curvature_destroy(curvature);
}
END_TEST

/* Against the hyper-dual reference, for every kind; the matrix against the products. */
START_TEST(test_objective) {
    for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++) {
        problem_options options = PROBLEM_OPTIONS_INIT;
        options.decay = 0.3;
        options.decay_scope = INFL_DECAY_WEIGHTS;
        problem *q = problem_create(&options);
        size_t p = q->p;
        double damping = 0.7, *v = problem_normals(q, 2 * p, 3), *out = problem_room(q, 2 * p);
        double *truth = problem_room(q, 2 * p), *dense = problem_room(q, p * p), *column = problem_room(q, p);
        infl_curvature *curvature;
        assert_ok(infl_curvature_create(&curvature, q->objective, (infl_curvature_kind)kind, damping));
        ck_assert_uint_eq(infl_curvature_size(curvature), p);
        for (size_t j = 0; j < 2; j++) {
            reference_product(q, (infl_curvature_kind)kind, NULL, 0, v + j * p, truth + j * p);
            for (size_t i = 0; i < p; i++)
                truth[j * p + i] += damping * v[j * p + i];
        }
        assert_ok(infl_curvature_product(curvature, v, 2, out));
        /* two exact derivatives: they differ by rounding alone, some hundred operations deep */
        assert_close(out, truth, 2 * p, 1e-12, "kind %d", kind);
        assert_ok(infl_curvature_dense(curvature, dense));
        for (size_t i = 0; i < p; i++) {
            memset(column, 0, p * sizeof *column);
            column[i] = 1;
            assert_ok(infl_curvature_product(curvature, column, 1, out));
            assert_close(dense + i * p, out, p, 1e-12, "kind %d, row %zu", kind, i);
            for (size_t j = 0; j < p; j++)
                ck_assert(dense[i * p + j] == dense[j * p + i]);
        }
        infl_curvature_destroy(curvature);
        problem_destroy(q);
    }
}
END_TEST

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check_pairs(const spectral *a, double damping, const double *values, const double *vectors, size_t k,
                        double tolerance) {
    size_t p = a->p;
    double scale = damping;
    for (size_t i = 0; i < p; i++)
        scale = fmax(scale, fabs(a->values[i] + damping));
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) {
            double dot = 0;
            for (size_t l = 0; l < p; l++)
                dot += vectors[i * p + l] * vectors[j * p + l];
            ck_assert_msg(fabs(dot - (i == j)) <= 1e-12, "vectors %zu and %zu: %g", i, j, dot);
        }
    for (size_t i = 0; i < k; i++)
        for (size_t row = 0; row < p; row++) {
            double sum = (damping - values[i]) * vectors[i * p + row];
            for (size_t l = 0; l < p; l++)
                sum += a->matrix[row * p + l] * vectors[i * p + l];
            ck_assert_msg(fabs(sum) <= tolerance * scale, "pair %zu: residual %g", i, sum);
        }
}

START_TEST(test_eigen) {
    double values[30], sorted[30], found[30], only[30], vectors[900];
    for (size_t i = 0; i < 30; i++)
        values[i] = sorted[i] = cos((double)(7 * i)) * 5;
    qsort(sorted, 30, sizeof *sorted, ascending);
    spectral a = spectral_create(values, 30, 8);
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, 30, 0.5));
    assert_ok(infl_curvature_eigen(curvature, found, vectors));
    assert_ok(infl_curvature_eigen(curvature, only, NULL));
    for (size_t i = 0; i < 30; i++) /* Weyl: each within the error of the matrix, p·ε·‖A‖ */
        ck_assert(fabs(found[i] - sorted[i] - 0.5) <= 30 * 20 * DBL_EPSILON && fabs(only[i] - found[i]) <= 1e-13);
    check_pairs(&a, 0.5, found, vectors, 30, 30 * 20 * DBL_EPSILON);
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
}
END_TEST

enum { LANCZOS_P = 60 };

/* Spectra that make a Krylov method stumble. */
static const char *lanczos_spectrum(int which, double *values, size_t *p) {
    static const char *const names[] = {"spread",   "indefinite", "low rank", "identity", "zero",
                                        "multiple", "clustered",  "one",      "two",      "graded"};
    *p = which == 7 ? 1 : which == 8 ? 2 : LANCZOS_P;
    for (size_t i = 0; i < *p; i++) {
        double t = (double)i;
        values[i] = which == 0   ? 1 + t
                    : which == 1 ? t - 30.5
                    : which == 2 ? (i < 4 ? 1 + t : 0)
                    : which == 3 ? 2
                    : which == 4 ? 0
                    : which == 5 ? 1 + (double)(i / 10)
                    : which == 6 ? (i == 0 ? 10 : 1 + 1e-9 * t)
                    : which == 9 ? pow(10, -t / 6)
                                 : 3 - t;
    }
    return names[which];
}

START_TEST(test_lanczos) {
    double values[LANCZOS_P], found[4], residuals[4], vectors[4 * LANCZOS_P], again[4], damping = 0.25;
    size_t p;
    const char *name = lanczos_spectrum(_i, values, &p);
    spectral a = spectral_create(values, p, 5);
    qsort(values, p, sizeof *values, ascending);
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, p, damping));
    double scale = fmax(fabs(values[0] + damping), fabs(values[p - 1] + damping));
    for (int largest = 0; largest < 2; largest++)
        for (size_t k = 1; k <= 4 && k <= p; k++) {
            assert_ok(infl_curvature_lanczos(curvature, k, largest, NULL, found, vectors, residuals));
            check_pairs(&a, damping, found, vectors, k, 1e-8 + 1e-12);
            for (size_t i = 0; i < k; i++) {
                double nearest = INFINITY;
                for (size_t j = 0; j < p; j++)
                    nearest = fmin(nearest, fabs(values[j] + damping - found[i]));
                ck_assert_msg(nearest <= 1e-8 * scale, "%s: %.17g is no eigenvalue", name, found[i]);
                ck_assert(i == 0 || (largest ? found[i] <= found[i - 1] : found[i] >= found[i - 1]));
                double square = 0;
                for (size_t row = 0; row < p; row++) {
                    double sum = (damping - found[i]) * vectors[i * p + row];
                    for (size_t l = 0; l < p; l++)
                        sum += a.matrix[row * p + l] * vectors[i * p + l];
                    square += sum * sum;
                }
                ck_assert_msg(fabs(sqrt(square) - residuals[i]) <= 100 * (double)p * DBL_EPSILON * scale,
                              "%s: residual %g is said to be %g", name, sqrt(square), residuals[i]);
            }
            /* the extreme one itself, and where all are distinct every one */
            size_t distinct = strcmp(name, "spread") == 0 || strcmp(name, "indefinite") == 0 ? k : 1;
            for (size_t i = 0; i < distinct; i++) {
                double truth = values[largest ? p - 1 - i : i] + damping;
                ck_assert_msg(fabs(found[i] - truth) <= 2e-8 * scale, "%s: %zu of the %s is %.17g, not %.17g", name, i,
                              largest ? "largest" : "smallest", found[i], truth);
            }
            assert_ok(infl_curvature_lanczos(curvature, k, largest, NULL, again, NULL, NULL));
            assert_same_bits(again, found, k, "%s", name);
        }
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
}
END_TEST

/* All p eigenvalues, repeated ones as often as they occur: the basis is complete, whatever broke down on the way. */
START_TEST(test_lanczos_complete) {
    double values[LANCZOS_P], found[LANCZOS_P];
    size_t p;
    const char *name = lanczos_spectrum(_i, values, &p);
    spectral a = spectral_create(values, p, 6);
    qsort(values, p, sizeof *values, ascending);
    double scale = fmax(fabs(values[0]), fabs(values[p - 1]));
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, p, 0));
    assert_ok(infl_curvature_lanczos(curvature, p, 0, NULL, found, NULL, NULL));
    for (size_t i = 0; i < p; i++)
        ck_assert_msg(fabs(found[i] - values[i]) <= 100 * (double)p * DBL_EPSILON * scale,
                      "%s: %zu is %.17g, not %.17g", name, i, found[i], values[i]);
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
}
END_TEST

START_TEST(test_lanczos_budget) {
    double values[LANCZOS_P], found[2];
    size_t p;
    lanczos_spectrum(0, values, &p);
    spectral a = spectral_create(values, p, 7);
    counted_product counted = {.matrix = a.matrix, .p = p};
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_product(&curvature, counted_multiply, &counted, p, 0));
    infl_lanczos_options options = INFL_LANCZOS_OPTIONS_INIT;
    options.max_iterations = 6;
    fill_sentinel(found, 2);
    assert_fails(INFL_E_UNCONVERGED, infl_curvature_lanczos(curvature, 2, 1, &options, found, NULL, NULL));
    ck_assert_uint_eq(counted.n_vectors, 6);
    ck_assert_msg(strstr(infl_last_error(), "0 of 2") != NULL, "%s", infl_last_error());
    options.max_iterations = 1;
    assert_fails(INFL_E_ARGUMENT, infl_curvature_lanczos(curvature, 2, 1, &options, found, NULL, NULL));
    options = (infl_lanczos_options)INFL_LANCZOS_OPTIONS_INIT;
    options.tolerance = 0;
    assert_fails(INFL_E_ARGUMENT, infl_curvature_lanczos(curvature, 2, 1, &options, found, NULL, NULL));
    options.tolerance = NAN;
    assert_fails(INFL_E_ARGUMENT, infl_curvature_lanczos(curvature, 2, 1, &options, found, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_lanczos(curvature, 0, 1, NULL, found, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_lanczos(curvature, p + 1, 1, NULL, found, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_lanczos(curvature, 1, 1, NULL, NULL, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_lanczos(NULL, 1, 1, NULL, found, NULL, NULL));
    ck_assert(all_sentinel(found, 2));
    options = (infl_lanczos_options)INFL_LANCZOS_OPTIONS_INIT;
    options.seed = 2;
    double other[2];
    assert_ok(infl_curvature_lanczos(curvature, 2, 1, &options, found, NULL, NULL));
    assert_ok(infl_curvature_lanczos(curvature, 2, 1, NULL, other, NULL, NULL));
    assert_close(found, other, 2, 1e-12, "another start vector");
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
}
END_TEST

Suite *curvature_suite(void) {
    Suite *suite = suite_create("curvature");
    add_case(suite, "curvature/product/matrix", test_matrix, 1);
    add_case(suite, "curvature/product/block", test_block, 1);
    add_case(suite, "curvature/product/objective", test_objective, 1);
    add_case(suite, "curvature/infinite", test_infinite, 1);
    add_case(suite, "curvature/asymmetry", test_asymmetry, 1);
    add_case(suite, "curvature/callbacks", test_callbacks, 1);
    add_case(suite, "curvature/arguments", test_arguments, 1);
    add_case(suite, "curvature/eigen", test_eigen, 1);
    add_case(suite, "curvature/lanczos/extremes", test_lanczos, 10);
    add_case(suite, "curvature/lanczos/complete", test_lanczos_complete, 10);
    add_case(suite, "curvature/lanczos/budget", test_lanczos_budget, 1);
    return suite;
}

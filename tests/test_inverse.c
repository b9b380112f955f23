/*
 * One conformance suite for every method over every kind of operator, and then what each method alone promises.
 * conform() sees only an infl_curvature: a network's passes through the same checks as a matrix.
 */
#include <float.h>

#include "spectral.h"
#include "suites.h"

enum { MOST = 64 };

typedef struct method {
    const char *name;
    infl_inverse_options options;
    double largest_condition; /* what its iterations can be asked to do in a test */
    int exact;
} method;

static method method_of(int which) {
    static const char *const names[] = {"Cholesky", "eigen", "CG", "LiSSA"};
    method m = {.name = names[which], .options = INFL_INVERSE_OPTIONS_INIT, .largest_condition = 1e6};
    m.options.method = (infl_inverse_method)which;
    m.options.tolerance = 1e-10;
    m.exact = which <= INFL_EIGEN;
    if (which == INFL_LISSA)
        m.largest_condition = 110;
    return m;
}

/* ‖b − Ax‖/‖b‖ in long double */
static double residual_of(const double *a, size_t p, const double *x, const double *b) {
    long double square = 0, norm = 0;
    for (size_t i = 0; i < p; i++) {
        long double r = b[i];
        for (size_t j = 0; j < p; j++)
            r -= (long double)a[i * p + j] * x[j];
        square += r * r;
        norm += (long double)b[i] * b[i];
    }
    return (double)sqrtl(square / norm);
}

/* Gaussian elimination with partial pivoting in long double: k right-hand sides. */
static void eliminate(const double *a, size_t p, const double *b, size_t k, double *x) {
    long double *m = calloc(p * (p + k), sizeof *m);
    size_t width = p + k;
    for (size_t i = 0; i < p; i++) {
        for (size_t j = 0; j < p; j++)
            m[i * width + j] = a[i * p + j];
        for (size_t j = 0; j < k; j++)
            m[i * width + p + j] = b[j * p + i];
    }
    for (size_t c = 0; c < p; c++) {
        size_t pivot = c;
        for (size_t i = c; i < p; i++)
            if (fabsl(m[i * width + c]) > fabsl(m[pivot * width + c]))
                pivot = i;
        for (size_t j = 0; j < width; j++) {
            long double t = m[c * width + j];
            m[c * width + j] = m[pivot * width + j];
            m[pivot * width + j] = t;
        }
        for (size_t i = 0; i < p; i++)
            for (size_t j = width; i != c && j-- > c;)
                m[i * width + j] -= m[i * width + c] / m[c * width + c] * m[c * width + j];
    }
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < k; j++)
            x[j * p + i] = (double)(m[i * width + p + j] / m[i * width + i]);
    free(m);
}

/*
 * Everything that holds for any method and any positive definite operator. condition: λmax/λmin. noise: the relative
 * rounding of a product with the operator, and of the dense matrix: p·ε of its precision.
 */
static void conform(const method *m, infl_curvature *curvature, const char *name, double condition, double noise) {
    enum { K = 8 };
    size_t p = infl_curvature_size(curvature), all = K * p;
    double *a = calloc(p * p, sizeof *a), *b = spectral_normals(all, 17), *truth = calloc(all, sizeof *truth);
    double *x = calloc(all, sizeof *x), *y = calloc(all, sizeof *y), *z = calloc(all, sizeof *z);
    infl_solve_report reports[K], again[K];
    infl_inverse *inverse;
    assert_ok(infl_curvature_dense(curvature, a));
    eliminate(a, p, b, K, truth);
    assert_ok(infl_inverse_create(&inverse, curvature, &m->options));
    ck_assert_uint_eq(infl_inverse_size(inverse), p);

    /* the residual within the tolerance means an error within condition × tolerance; rounding adds condition × noise */
    double reached = m->exact ? 0 : m->options.tolerance;
    double tolerance = condition * (reached + 40 * noise);
    assert_ok(infl_inverse_solve(inverse, b, K, x, reports));
    for (size_t j = 0; j < K; j++) {
        assert_close(x + j * p, truth + j * p, p, tolerance, "%s on %s, right-hand side %zu", m->name, name, j);
        const infl_solve_report *r = &reports[j];
        double residual = residual_of(a, p, x + j * p, b + j * p);
        double slack = 40 * noise * condition + 1e-12 * residual;
        ck_assert_msg(fabs(r->residual - residual) <= slack, "%s on %s: the residual is %g and said to be %g", m->name,
                      name, residual, r->residual);
        ck_assert_int_eq(r->converged, r->residual <= (m->exact ? 1e-6 : m->options.tolerance));
        ck_assert(r->damping == infl_curvature_damping(curvature));
        ck_assert(m->exact ? r->iterations == 0 && r->products == 1 : r->products >= (double)r->iterations + 1);
    }

    /* the same bits again, with another inverse, in place, and with no reports */
    infl_inverse *other;
    assert_ok(infl_inverse_create(&other, curvature, &m->options));
    memcpy(y, b, all * sizeof *y);
    assert_ok(infl_inverse_solve(other, y, K, y, NULL));
    assert_same_bits(x, y, all, "%s on %s, in place", m->name, name);
    assert_ok(infl_inverse_solve(inverse, b, K, y, again));
    assert_same_bits(x, y, all, "%s on %s, again", m->name, name);
    for (size_t j = 0; j < K; j++)
        ck_assert(again[j].residual == reports[j].residual && again[j].iterations == reports[j].iterations);
    infl_inverse_destroy(other);

    /* a block is its members */
    static const size_t sizes[] = {1, 3};
    for (size_t s = 0; s < 2; s++)
        for (size_t j = 0; j < K; j += sizes[s]) {
            size_t k = K - j < sizes[s] ? K - j : sizes[s];
            assert_ok(infl_inverse_solve(inverse, b + j * p, k, y + j * p, again));
            assert_close(y + j * p, x + j * p, k * p, 2 * tolerance, "%s on %s, block of %zu", m->name, name, k);
        }

    /* linear: A⁻¹(2b₀ − 3b₁) */
    for (size_t i = 0; i < p; i++) {
        y[i] = 2 * b[i] - 3 * b[p + i];
        z[i] = 2 * truth[i] - 3 * truth[p + i];
    }
    assert_ok(infl_inverse_solve(inverse, y, 1, y, NULL));
    assert_close(y, z, p, 2 * tolerance, "%s on %s, linearity", m->name, name);

    /* powers of two change no digit, however large; b = 0 among others gives 0 and disturbs nobody */
    for (int e = -500; e <= 500; e += 1000) {
        for (size_t i = 0; i < 3 * p; i++)
            y[i] = i >= p && i < 2 * p ? 0 : ldexp(b[i], e);
        assert_ok(infl_inverse_solve(inverse, y, 3, z, again));
        for (size_t i = 0; i < 3 * p; i++)
            z[i] = ldexp(z[i], -e);
        assert_close(z, x, p, 2 * tolerance, "%s on %s, scaled by 2^%d", m->name, name, e);
        assert_close(z + 2 * p, x + 2 * p, p, 2 * tolerance, "%s on %s, scaled by 2^%d", m->name, name, e);
        for (size_t i = p; i < 2 * p; i++)
            ck_assert(z[i] == 0);
        ck_assert(again[1].residual == 0 && again[1].converged == 1 && again[1].iterations == 0);
    }
    infl_inverse_destroy(inverse);
    free(a);
    free(b);
    free(truth);
    free(x);
    free(y);
    free(z);
}

START_TEST(test_matrices) {
    static const size_t sizes[] = {1, 2, 7, 40};
    static const double conditions[] = {1, 100, 1e6};
    method m = method_of(_i);
    m.options.max_iterations = m.options.method == INFL_LISSA ? 20000 : 0;
    for (int s = 0; s < 4; s++)
        for (int c = 0; c < 3; c++)
            for (int diagonal = 0; diagonal < 2; diagonal++)
                for (int damped = 0; damped < 2; damped++) {
                    size_t p = sizes[s];
                    double values[MOST], condition = p == 1 ? 1 : conditions[c], damping = damped ? 0.5 / condition : 0;
                    if (condition > m.largest_condition)
                        continue;
                    spectral_geometric(values, p, 3 / condition, 3);
                    spectral a = spectral_create(values, p, diagonal ? 0 : p + 1);
                    infl_curvature *curvature;
                    char name[128];
                    snprintf(name, sizeof name, "p %zu, condition %g, damping %g%s", p, condition, damping,
                             diagonal ? ", diagonal" : "");
                    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, p, damping));
                    if (m.options.method == INFL_CG) /* what rounding leaves within reach: ε·condition */
                        m.options.tolerance = fmax(1e-10, 1e-14 * condition);
                    conform(&m, curvature, name, condition, (double)(p + 2) * DBL_EPSILON);
                    infl_curvature_destroy(curvature);
                    spectral_destroy(&a);
                }
}
END_TEST

/* Against Qf(Λ)Qᵀb, without trusting even the dense matrix; λ is the true damping. */
START_TEST(test_truth) {
    method m = method_of(_i);
    double values[20], damping = 0.3, b[20], x[20], truth[20], *normal = spectral_normals(20, 3);
    long double f[20];
    spectral_geometric(values, 20, 0.05, 4);
    for (size_t i = 0; i < 20; i++) {
        f[i] = 1 / ((long double)values[i] + damping);
        b[i] = normal[i];
    }
    spectral a = spectral_create(values, 20, 11);
    spectral_apply(&a, f, b, truth);
    counted_product counted = {.matrix = a.matrix, .p = 20};
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_solve_report report;
    assert_ok(infl_curvature_from_product(&curvature, counted_multiply, &counted, 20, damping));
    assert_ok(infl_inverse_create(&inverse, curvature, &m.options));
    size_t before = counted.n_vectors;
    assert_ok(infl_inverse_solve(inverse, b, 1, x, &report));
    assert_close(x, truth, 20, 14.3 * 1e-10, "%s", m.name); /* condition (4.3/0.35) × tolerance */
    /* every product is counted, and nothing else */
    ck_assert_msg(report.products == (double)(counted.n_vectors - before), "%s: %g products are said to be %zu", m.name,
                  report.products, counted.n_vectors - before);
    if (m.options.method == INFL_EIGEN)
        ck_assert(fabs(report.lambda_min - 0.35) < 1e-14 && fabs(report.lambda_max - 4.3) < 1e-13);
    else if (m.options.method == INFL_CG) /* converged Ritz values, never outside the spectrum */
        ck_assert_msg(fabs(report.lambda_min - 0.35) < 1e-3 && fabs(report.lambda_max - 4.3) < 1e-3 &&
                          report.lambda_min > 0.35 - 1e-12 && report.lambda_max < 4.3 + 1e-12,
                      "eigenvalues %g to %g", report.lambda_min, report.lambda_max);
    else
        ck_assert(isnan(report.lambda_min) && isnan(report.lambda_max));
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
    free(normal);
}
END_TEST

static double suggested_damping(void) {
    const char *at = strstr(infl_last_error(), "a damping of ");
    double value;
    ck_assert_msg(at != NULL && sscanf(at, "a damping of %lf or more would do", &value) == 1, "no damping in: %s",
                  infl_last_error());
    return value;
}

/* create, then solve for b; the first that fails says why. */
static infl_status create_and_solve(infl_curvature *curvature, const infl_inverse_options *options, const double *b,
                                    double *x, infl_solve_report *report) {
    infl_inverse *inverse = NULL;
    infl_status status = infl_inverse_create(&inverse, curvature, options);
    if (status == INFL_OK)
        status = infl_inverse_solve(inverse, b, 1, x, report);
    infl_inverse_destroy(inverse);
    return status;
}

/* Operators that are not positive definite: eigenvalues from `low` to 2. */
static void check_refusal(const method *m, const double *values, size_t p, double damping, const char *name) {
    double b[MOST], x[MOST], kept[MOST], *normal = spectral_normals(p, 21);
    memcpy(b, normal, p * sizeof *b);
    free(normal);
    spectral a = spectral_create(values, p, 13);
    infl_curvature *curvature;
    infl_solve_report report;
    fill_sentinel(x, p);
    fill_sentinel(kept, p);
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, p, damping));
    infl_status status = create_and_solve(curvature, &m->options, b, x, &report);
    double smallest = INFINITY, magnitude = 0;
    for (size_t i = 0; i < p; i++) {
        smallest = fmin(smallest, values[i]);
        magnitude = fmax(magnitude, fabs(values[i] + damping));
    }
    if (m->options.method == INFL_LISSA && smallest == 0)
        ck_assert_msg(status == INFL_E_DIVERGED || status == INFL_E_UNCONVERGED || status == INFL_E_INDEFINITE,
                      "LiSSA on %s gave %s", name, infl_status_name(status));
    else {
        ck_assert_msg(status == INFL_E_INDEFINITE, "%s on %s gave %s: %s", m->name, name, infl_status_name(status),
                      infl_last_error());
        double suggested = suggested_damping();
        /* LiSSA's convergence within 20000 steps to 1e-10 asks for λmin/λmax ≥ 1.1·ln(1e10)/20000, taken twice */
        double room = m->options.method == INFL_LISSA ? 0.004 * magnitude : 0;
        ck_assert_msg(suggested > -smallest && suggested < fmax(-smallest, damping) * 1.2 + 0.01 + room,
                      "%s on %s "
                      "suggests %g for %g",
                      m->name, name, suggested, smallest);
        ck_assert_msg(strstr(infl_last_error(), "minimum") == NULL, "%s", infl_last_error()); /* a matrix has none */
        infl_curvature *damped;
        assert_ok(infl_curvature_from_matrix(&damped, a.matrix, p, suggested));
        infl_status retried = create_and_solve(damped, &m->options, b, kept, &report);
        ck_assert_msg(retried == INFL_OK, "%s on %s with the damping suggested, %g: %s", m->name, name, suggested,
                      infl_last_error());
        infl_curvature_destroy(damped);
    }
    ck_assert_msg(strncmp(infl_last_error(), "infl_inverse_", 13) == 0, "%s", infl_last_error());
    ck_assert(all_sentinel(x, p));
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
}

START_TEST(test_indefinite) {
    static const double lows[] = {-1e-3, -0.1, -5};
    method m = method_of(_i);
    for (int l = 0; l < 3; l++)
        for (size_t p = 1; p <= 31; p += 10) {
            double values[MOST];
            for (size_t i = 0; i < p; i++)
                values[i] = i == 0 ? lows[l] : 2 * (double)i / (double)p;
            char name[128];
            snprintf(name, sizeof name, "p %zu, smallest %g", p, lows[l]);
            if (m.options.method == INFL_EIGEN) { /* EXACT: the right answer all the same */
                spectral a = spectral_create(values, p, 13);
                double *b = spectral_normals(p, 2), truth[MOST], x[MOST];
                long double f[MOST];
                for (size_t i = 0; i < p; i++)
                    f[i] = 1 / (long double)values[i];
                spectral_apply(&a, f, b, truth);
                infl_curvature *curvature;
                infl_solve_report report;
                assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, p, 0));
                assert_ok(create_and_solve(curvature, &m.options, b, x, &report));
                /* 40·p·ε·condition */
                assert_close(x, truth, p, 40 * (double)p * DBL_EPSILON * 5e3, "%s", name);
                ck_assert(report.converged && fabs(report.lambda_min - lows[l]) < 1e-13);
                infl_curvature_destroy(curvature);
                spectral_destroy(&a);
                free(b);
            } else {
                check_refusal(&m, values, p, 0, name);
                if (lows[l] < -0.01)
                    check_refusal(&m, values, p, -0.5 * lows[l], name);
            }
        }
}
END_TEST

/* diag(cos πi/p) of the caller's own: eigenvalues so close at the ends that Lanczos finds none of them. */
static int cosines(void *context, const double *vectors, size_t k, double *products) {
    size_t p = *(const size_t *)context;
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < p; i++)
            products[j * p + i] = cos(3.14159265358979 * (double)i / (double)p) * vectors[j * p + i];
    return 0;
}

/* Where the smallest eigenvalue stays unknown, a refusal says what is known, and names no damping that might not do. */
START_TEST(test_indefinite_unknown) {
    size_t p = 4000;
    double *b = spectral_normals(p, 5), *x = spectral_normals(p, 6), lowest;
    infl_curvature *curvature;
    method m = method_of(INFL_CG + _i);
    fill_sentinel(x, p);
    assert_ok(infl_curvature_from_product(&curvature, cosines, &p, p, 0.125));
    ck_assert_int_eq(infl_curvature_lanczos(curvature, 1, 0, NULL, &lowest, NULL, NULL), INFL_E_UNCONVERGED);
    m.options.lissa_scale = 1.25;
    infl_status status = create_and_solve(curvature, &m.options, b, x, NULL);
    if (m.options.method == INFL_CG) {
        ck_assert_int_eq(status, INFL_E_INDEFINITE);
        ck_assert_msg(
            strstr(infl_last_error(), "C + 0.125 I is not positive definite: CG met a direction of curvature -") !=
                    NULL &&
                strstr(infl_last_error(), "of right-hand side 0, and the smallest eigenvalue is lower still") != NULL &&
                strstr(infl_last_error(), "raise the damping by more than that") != NULL,
            "%s", infl_last_error());
    } else {
        ck_assert_int_eq(status, INFL_E_DIVERGED); /* its residual grows along them */
        ck_assert_msg(strstr(infl_last_error(), "or the damping") != NULL, "%s", infl_last_error());
    }
    ck_assert(all_sentinel(x, p));
    infl_curvature_destroy(curvature);
    free(b);
    free(x);
}
END_TEST

START_TEST(test_singular) {
    method m = method_of(_i);
    for (size_t p = 1; p <= 31; p += 10)
        for (int zeros = 1; zeros <= 3; zeros++) {
            double values[MOST];
            for (size_t i = 0; i < p; i++)
                values[i] = (int)i < zeros ? 0 : 1 + (double)i / (double)p;
            char name[128];
            snprintf(name, sizeof name, "p %zu, %d times 0", p, zeros);
            check_refusal(&m, values, p, 0, name);
        }
}
END_TEST

/* CLIP, ABSOLUTE and PSEUDO by their formulas; the largest magnitude is a positive eigenvalue's, then a negative's. */
START_TEST(test_policies) {
    enum { P = 12 };
    double values[P], *b = spectral_normals(2 * P, 6), x[2 * P], truth[2 * P], damping = 0.125, largest = 0;
    for (size_t i = 0; i < P; i++) {
        values[i] = i == 3 ? -damping : i == 4 ? 1e-9 - damping : (_i == 0 ? 3 : -3) * cos(2.5 * (double)i);
        largest = fmax(largest, fabs(values[i] + damping));
    }
    spectral a = spectral_create(values, P, 10);
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, P, damping));
    static const double cutoffs[] = {1e-3, 0.4, 1.5};
    for (int c = 0; c < 3; c++)
        for (int policy = INFL_EIGEN_CLIP; policy <= INFL_EIGEN_PSEUDO; policy++) {
            infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
            options.method = INFL_EIGEN;
            options.eigen_policy = (infl_eigen_policy)policy;
            options.cutoff = cutoffs[c];
            long double f[P], floor = (long double)cutoffs[c] * largest;
            for (size_t i = 0; i < P; i++) {
                long double e = (long double)values[i] + damping;
                f[i] = policy == INFL_EIGEN_CLIP       ? 1 / fmaxl(e, floor)
                       : policy == INFL_EIGEN_ABSOLUTE ? 1 / fmaxl(fabsl(e), floor)
                       : fabsl(e) <= floor             ? 0
                                                       : 1 / e;
            }
            for (size_t j = 0; j < 2; j++)
                spectral_apply(&a, f, b + j * P, truth + j * P);
            infl_inverse *inverse;
            infl_solve_report reports[2];
            assert_ok(infl_inverse_create(&inverse, curvature, &options));
            assert_ok(infl_inverse_solve(inverse, b, 2, x, reports)); /* the residual is large, and no error */
            assert_close(x, truth, 2 * P, 100 * P * DBL_EPSILON / cutoffs[c], "policy %d, cutoff %g", policy,
                         cutoffs[c]);
            double dense[P * P];
            assert_ok(infl_curvature_dense(curvature, dense));
            for (size_t j = 0; j < 2; j++) {
                double residual = residual_of(dense, P, x + j * P, b + j * P);
                ck_assert(fabs(reports[j].residual - residual) <= 1e-12 * residual + 1e-13);
                ck_assert_int_eq(reports[j].converged, 0);
            }
            infl_inverse_destroy(inverse);
        }
    infl_curvature_destroy(curvature);
    /* a cutoff of 0 on a matrix that is 0: nothing is left to divide by, but PSEUDO answers 0 */
    double zero[4] = {0};
    assert_ok(infl_curvature_from_matrix(&curvature, zero, 2, 0));
    for (int policy = INFL_EIGEN_EXACT; policy <= INFL_EIGEN_PSEUDO; policy++) {
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        options.method = INFL_EIGEN;
        options.eigen_policy = (infl_eigen_policy)policy;
        options.cutoff = 0;
        infl_status status = create_and_solve(curvature, &options, b, x, NULL);
        ck_assert_int_eq(status, policy == INFL_EIGEN_PSEUDO ? INFL_OK : INFL_E_INDEFINITE);
    }
    ck_assert(x[0] == 0 && x[1] == 0);
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
    free(b);
}
END_TEST

typedef struct watcher {
    size_t n_calls, cancel_at;
} watcher;

static int watch(void *context, const char *stage, size_t done, size_t total) {
    watcher *w = context;
    ck_assert(strcmp(stage, "solve") == 0 || strcmp(stage, "prepare") == 0 || strcmp(stage, "dense") == 0);
    ck_assert_uint_le(done, total);
    return ++w->n_calls == w->cancel_at;
}

/* Cancelled, or failed by the product, at every point where that can be: the outputs stay, and nothing leaks. */
START_TEST(test_interruption) {
    method m = method_of(_i);
    double values[5] = {1, 1.5, 2, 2.5, 3}, *b = spectral_normals(10, 1), x[10];
    spectral a = spectral_create(values, 5, 3);
    for (int what = 0; what < 3; what++) {
        infl_status expected = what == 0 ? INFL_E_CANCELLED : what == 1 ? INFL_E_CALLBACK : INFL_E_NONFINITE;
        infl_status status = expected;
        size_t n;
        for (n = 1; status == expected && n < 1000; n++) {
            watcher w = {0, what == 0 ? n : 0};
            counted_product counted = {
                .matrix = a.matrix, .p = 5, .fail_at = what == 1 ? n : 0, .nan_at = what == 2 ? n : 0};
            infl_curvature *curvature;
            infl_inverse *inverse = NULL;
            infl_solve_report reports[2];
            memset(reports, 0x55, sizeof reports);
            infl_solve_report kept[2];
            memcpy(kept, reports, sizeof kept);
            fill_sentinel(x, 10);
            m.options.progress = watch;
            m.options.progress_context = &w;
            assert_ok(infl_curvature_from_product(&curvature, counted_multiply, &counted, 5, 0));
            status = infl_inverse_create(&inverse, curvature, &m.options);
            if (status == INFL_OK)
                status = infl_inverse_solve(inverse, b, 2, x, reports);
            else
                ck_assert_ptr_null(inverse);
            if (status != INFL_OK) {
                ck_assert_msg(status == expected, "%s, interruption %d at %zu: %s", m.name, what, n, infl_last_error());
                ck_assert_msg(strncmp(infl_last_error(), "infl_inverse_", 13) == 0, "%s", infl_last_error());
                ck_assert(all_sentinel(x, 10));
                ck_assert(memcmp(reports, kept, sizeof kept) == 0);
            }
            infl_inverse_destroy(inverse);
            infl_curvature_destroy(curvature);
        }
        ck_assert_msg(status == INFL_OK && n > 2, "%s, interruption %d: %s", m.name, what, infl_last_error());
    }
    spectral_destroy(&a);
    free(b);
}
END_TEST

/* The exact methods cost p products, told of on the way, whether they accept the matrix or not. */
START_TEST(test_preparation) {
    const size_t p = 140; /* more than one block of columns */
    double *values = calloc(p, sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int indefinite = 0; indefinite < 2; indefinite++) {
        spectral_geometric(values, p, 0.5, 2);
        values[0] = indefinite ? -1 : values[0];
        spectral a = spectral_create(values, p, 17);
        counted_product counted = {.matrix = a.matrix, .p = p};
        watcher w = {0, 0};
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        options.method = _i == 0 ? INFL_CHOLESKY : INFL_EIGEN;
        options.progress = watch;
        options.progress_context = &w;
        infl_curvature *curvature;
        infl_inverse *inverse = NULL;
        assert_ok(infl_curvature_from_product(&curvature, counted_multiply, &counted, p, 0));
        infl_status status = infl_inverse_create(&inverse, curvature, &options);
        ck_assert_int_eq(status, _i == 0 && indefinite ? INFL_E_INDEFINITE : INFL_OK);
        ck_assert_uint_eq(counted.n_vectors, p);
        ck_assert_uint_ge(w.n_calls, 3);
        w.cancel_at = w.n_calls + 2; /* in the middle of the next one */
        infl_inverse *other = NULL;
        assert_fails(INFL_E_CANCELLED, infl_inverse_create(&other, curvature, &options));
        ck_assert(other == NULL && counted.n_vectors < 2 * p);
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
        spectral_destroy(&a);
    }
    free(values);
}
END_TEST

START_TEST(test_arguments) {
    double matrix[4] = {2, 0, 0, 1}, b[2] = {1, NAN}, x[2];
    infl_curvature *curvature;
    infl_inverse *inverse = NULL;
    fill_sentinel(x, 2);
    assert_ok(infl_curvature_from_matrix(&curvature, matrix, 2, 0));
#define REFUSED(field, value)                                                                                          \
    do {                                                                                                               \
        infl_inverse_options o = INFL_INVERSE_OPTIONS_INIT;                                                            \
        o.field = (value);                                                                                             \
        assert_fails(INFL_E_ARGUMENT, infl_inverse_create(&inverse, curvature, &o));                                   \
        ck_assert_msg(strstr(infl_last_error(), #field) != NULL, "%s", infl_last_error());                             \
    } while (0)
    REFUSED(method, (infl_inverse_method)4);
    REFUSED(method, (infl_inverse_method)-1);
    REFUSED(eigen_policy, (infl_eigen_policy)4);
    REFUSED(cutoff, -1e-300);
    REFUSED(cutoff, NAN);
    REFUSED(cutoff, INFINITY);
    REFUSED(tolerance, -1);
    REFUSED(tolerance, NAN);
    REFUSED(tolerance, INFINITY);
    REFUSED(lissa_scale, -1);
    REFUSED(lissa_scale, NAN);
    REFUSED(lissa_scale, INFINITY);
    REFUSED(lissa_repeats, 0);
    REFUSED(lissa_plain, 2);
    assert_fails(INFL_E_ARGUMENT, infl_inverse_create(NULL, curvature, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_create(&inverse, NULL, NULL));
    ck_assert_ptr_null(inverse);
    ck_assert_uint_eq(infl_inverse_size(NULL), 0);
    infl_inverse_destroy(NULL);
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_fails(INFL_E_NONFINITE, infl_inverse_solve(inverse, b, 1, x, NULL));
    b[1] = -INFINITY;
    assert_fails(INFL_E_NONFINITE, infl_inverse_solve(inverse, b, 1, x, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_solve(NULL, b, 1, x, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_solve(inverse, NULL, 1, x, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_solve(inverse, b, 1, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_solve(inverse, b, 0, x, NULL));
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    /* an answer that no double holds */
    double tiny[1] = {1e-200}, huge[1] = {1e200};
    assert_ok(infl_curvature_from_matrix(&curvature, tiny, 1, 0));
    for (int which = 0; which < 4; which++) {
        method m = method_of(which);
        assert_ok(infl_inverse_create(&inverse, curvature, &m.options));
        assert_fails(INFL_E_NONFINITE, infl_inverse_solve(inverse, huge, 1, x, NULL));
        infl_inverse_destroy(inverse);
    }
    ck_assert(all_sentinel(x, 2));
    infl_curvature_destroy(curvature);
}
END_TEST

/* In exact arithmetic CG needs as many iterations as there are distinct eigenvalues. */
START_TEST(test_cg_iterations) {
    for (size_t distinct = 1; distinct <= 5; distinct++) {
        double values[40], *b = spectral_normals(40, 8), x[40];
        for (size_t i = 0; i < 40; i++)
            values[i] = 1 + (double)(i % distinct);
        spectral a = spectral_create(values, 40, 4);
        infl_curvature *curvature;
        infl_solve_report report;
        method m = method_of(INFL_CG);
        assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, 40, 0));
        assert_ok(create_and_solve(curvature, &m.options, b, x, &report));
        ck_assert_uint_eq(report.iterations, distinct);
        ck_assert(fabs(report.lambda_min - 1) < 1e-9 && fabs(report.lambda_max - (double)distinct) < 1e-9);
        infl_curvature_destroy(curvature);
        spectral_destroy(&a);
        free(b);
    }
}
END_TEST

/* Short of the tolerance: an error, or the best iterate and its verdict; for a budget and for rounding. */
START_TEST(test_unconverged) {
    method m = method_of(_i == 0 ? INFL_CG : INFL_LISSA);
    double values[40], *b = spectral_normals(40, 8), x[40], dense[1600], before = INFINITY;
    spectral_geometric(values, 40, 1e-4, 1);
    spectral a = spectral_create(values, 40, 4);
    infl_curvature *curvature;
    infl_solve_report report;
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, 40, 0));
    assert_ok(infl_curvature_dense(curvature, dense));
    static const size_t budgets[] = {1, 5, 10, 20, 30};
    for (int i = 0; i < 5; i++) {
        m.options.max_iterations = budgets[i];
        m.options.accept_unconverged = 0;
        fill_sentinel(x, 40);
        ck_assert_int_eq(create_and_solve(curvature, &m.options, b, x, &report), INFL_E_UNCONVERGED);
        ck_assert_msg(strstr(infl_last_error(), "max_iterations") != NULL, "%s", infl_last_error());
        ck_assert(all_sentinel(x, 40));
        m.options.accept_unconverged = 1;
        assert_ok(create_and_solve(curvature, &m.options, b, x, &report));
        ck_assert_int_eq(report.converged, 0);
        ck_assert_uint_eq(report.iterations, budgets[i]);
        double residual = residual_of(dense, 40, x, b);
        ck_assert(fabs(report.residual - residual) <= 1e-10 * residual);
        ck_assert_msg(report.residual <= before && report.residual <= 1, "%s: %zu iterations leave %g, fewer left %g",
                      m.name, budgets[i], report.residual, before);
        before = report.residual;
    }
    if (m.options.method == INFL_CG) { /* below rounding: ends by itself, far short of its budget */
        m.options.max_iterations = 1000000;
        m.options.tolerance = 1e-17;
        assert_ok(create_and_solve(curvature, &m.options, b, x, &report));
        ck_assert_msg(!report.converged && report.residual < 1e-11 && report.iterations < 2000,
                      "residual %g after %zu "
                      "iterations",
                      report.residual, report.iterations);
    }
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
    free(b);
}
END_TEST

/* Right-hand sides whose norm is too large, or whose squares are too small, for a double, and whose solution is neither. */
START_TEST(test_extreme_sides) {
    static const double sizes[] = {1.5e308, 1e-320};
    const double diagonal[] = {1, 0.9, 0.01}, b[] = {sizes[_i], sizes[_i], 0.01 * sizes[_i]};
    const double matrix[] = {1, 0, 0, 0, 0.9, 0, 0, 0, 0.01};
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, matrix, 3, 0));
    for (int which = 0; which < 4; which++) {
        method m = method_of(which);
        infl_solve_report report;
        double x[3];
        m.options.lissa_check = 1;
        assert_ok(create_and_solve(curvature, &m.options, b, x, &report));
        ck_assert_msg(report.residual < 1e-9 && isfinite(report.rounding), "%s: %g", m.name, report.residual);
        for (int i = 0; i < 3; i++) /* a condition of 100; 1e-320 has three digits */
            ck_assert_msg(fabs(x[i] / (b[i] / diagonal[i]) - 1) < (_i == 0 ? 1e-7 : 1e-2), "%s: %g", m.name, x[i]);
    }
    infl_curvature_destroy(curvature);
}
END_TEST

/* A given scale is used as it is: s > λmax/2 converges, less runs away and says so. */
START_TEST(test_lissa_scale) {
    double values[10], *b = spectral_normals(10, 8), x[10];
    spectral_geometric(values, 10, 0.5, 8);
    spectral a = spectral_create(values, 10, 4);
    infl_curvature *curvature;
    infl_solve_report report, automatic;
    method m = method_of(INFL_LISSA);
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, 10, 2));
    m.options.lissa_check = 1;
    assert_ok(create_and_solve(curvature, &m.options, b, x, &automatic));
    m.options.lissa_scale = 11; /* 1.1 × (8 + 2) */
    assert_ok(create_and_solve(curvature, &m.options, b, x, &report));
    ck_assert_msg(labs((long)report.iterations - (long)automatic.iterations) <= 2, "%zu and %zu iterations",
                  report.iterations, automatic.iterations);
    /* ‖I − A/s‖^t ≤ 1e-10 with the smallest eigenvalue 2.5: t = ln(1e-10)/ln(1 − 2.5/11) */
    ck_assert_msg(report.iterations > 60 && report.iterations < 95, "%zu iterations", report.iterations);
    m.options.lissa_scale = 5.2;
    assert_ok(create_and_solve(curvature, &m.options, b, x, &report));
    static const double scales[] = {4.8, 1, 1e-3, 1e-200};
    for (int check = 0; check < 2; check++)
        for (int i = 0; i < 4; i++) {
            m.options.lissa_check = check ? 50 : 1;
            m.options.lissa_scale = scales[i];
            fill_sentinel(x, 10);
            ck_assert_int_eq(create_and_solve(curvature, &m.options, b, x, &report), INFL_E_DIVERGED);
            ck_assert_msg(strstr(infl_last_error(), "lissa_scale") != NULL &&
                              strstr(infl_last_error(), "damping 2") != NULL,
                          "%s", infl_last_error());
            ck_assert(all_sentinel(x, 10));
        }
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
    free(b);
}
END_TEST

/* A multilayer perceptron on Iris at an optimum. */
typedef struct iris {
    infl_dataset *raw, *data;
    infl_model *model;
    infl_objective *objective;
} iris;

static iris iris_create(infl_precision precision, int standardised) {
    iris s = {0};
    size_t units[] = {5, 3};
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_train_options train = INFL_TRAIN_OPTIONS_INIT;
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    options.decay = 0.005;
    options.threads = 1;
    train.steps = 500;
    train.learning_rate = 0.03;
    polish.gradient_tolerance = precision == INFL_F64 ? 1e-10 : 1e-5;
    assert_ok(infl_dataset_iris(&s.raw));
    if (standardised)
        assert_ok(infl_dataset_standardise(&s.data, s.raw, NULL));
    assert_ok(infl_model_create_mlp(&s.model, precision, 4, units, 2, INFL_TANH, INFL_INIT_GLOROT, 7));
    assert_ok(infl_objective_create(&s.objective, s.model, &loss, standardised ? s.data : s.raw, &options));
    assert_ok(infl_train(s.objective, &train, NULL));
    assert_ok(infl_polish(s.objective, &polish, NULL));
    return s;
}

static void iris_destroy(iris *s) {
    infl_objective_destroy(s->objective);
    infl_model_destroy(s->model);
    infl_dataset_destroy(s->data);
    infl_dataset_destroy(s->raw);
}

START_TEST(test_network) {
    method m = method_of(_i);
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        iris s = iris_create((infl_precision)precision, 1);
        for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++) {
            infl_curvature *curvature;
            size_t p = infl_objective_parameters(s.objective);
            double eigenvalues[MOST];
            ck_assert_uint_le(p, MOST);
            assert_ok(infl_curvature_create(&curvature, s.objective, (infl_curvature_kind)kind, 0.01));
            assert_ok(infl_curvature_eigen(curvature, eigenvalues, NULL));
            ck_assert_msg(eigenvalues[0] > 0.01, "smallest eigenvalue %g", eigenvalues[0]);
            double condition = eigenvalues[p - 1] / eigenvalues[0];
            /* a product in f32 rounds its vector and each of some ten layers' numbers, in the norm of A */
            double noise = precision == INFL_F64 ? (double)p * DBL_EPSILON : 10 * FLT_EPSILON;
            m.options.tolerance = precision == INFL_F64 ? 1e-10 : 1e-3;
            m.options.accept_unconverged = 0;
            char name[128];
            snprintf(name, sizeof name, "Iris f%d, kind %d, condition %.3g", precision == INFL_F64 ? 64 : 32, kind,
                     condition);
            conform(&m, curvature, name, condition, noise);
            infl_curvature_destroy(curvature);
        }
        iris_destroy(&s);
    }
}
END_TEST

/* Random batches against the exact answer: closer with larger batches and more repeats, a function of the seed alone. */
START_TEST(test_lissa_batches) {
    iris s = iris_create(INFL_F64, 1);
    size_t p = infl_objective_parameters(s.objective), n = infl_objective_rows(s.objective), row = 70;
    double b[MOST], truth[MOST], x[MOST], again[MOST], errors[4];
    infl_curvature *curvature;
    infl_solve_report report;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_GAUSS_NEWTON, 0.05));
    assert_ok(infl_objective_row_gradients(s.objective, &row, 1, b));
    method exact = method_of(INFL_CHOLESKY), m = method_of(INFL_LISSA);
    assert_ok(create_and_solve(curvature, &exact.options, b, truth, NULL));
    m.options.accept_unconverged = 1;
    m.options.max_iterations = 400;
    m.options.lissa_check = 100;
    m.options.lissa_plain = 1;
    static const struct { size_t batch, repeats; } settings[] = {{5, 1}, {75, 1}, {5, 16}, {75, 16}};
    for (int i = 0; i < 4; i++) {
        m.options.lissa_batch = settings[i].batch;
        m.options.lissa_repeats = settings[i].repeats;
        errors[i] = 0;
        for (uint64_t seed = 1; seed <= 4; seed++) { /* the mean over seeds, lest luck decides the comparisons */
            m.options.seed = seed;
            assert_ok(create_and_solve(curvature, &m.options, b, x, &report));
            errors[i] += relative_error(x, truth, p) / 4;
            ck_assert_uint_eq(report.iterations, 400 * settings[i].repeats);
            /* a batch is its share of a product; a look at the residual, four a repeat, is one, and so is the last */
            double products = (double)settings[i].repeats * (400.0 * (double)settings[i].batch / (double)n + 4) + 1;
            ck_assert_msg(fabs(report.products - products) < 1e-9 * products, "%g products, not %g", report.products,
                          products);
        }
        assert_ok(create_and_solve(curvature, &m.options, b, again, NULL));
        assert_same_bits(x, again, p, "batch %zu, the same seed", settings[i].batch);
    }
    m.options.lissa_scale = 3; /* given, so that the batches alone can make a difference */
    assert_ok(create_and_solve(curvature, &m.options, b, x, NULL));
    m.options.seed = 99;
    assert_ok(create_and_solve(curvature, &m.options, b, again, NULL));
    ck_assert_msg(memcmp(x, again, p * sizeof *x) != 0, "seeds 4 and 99 give the same");
    m.options.lissa_scale = 0;
    ck_assert_msg(errors[1] < errors[0] && errors[2] < errors[0] && errors[3] < errors[1] && errors[3] < errors[2] &&
                      errors[3] < 0.03,
                  "errors %g, %g, %g, %g", errors[0], errors[1], errors[2], errors[3]);
    /* a loose tolerance is reached by batches, and a repeat then ends at its look */
    m.options.tolerance = 0.2;
    m.options.accept_unconverged = 0;
    assert_ok(create_and_solve(curvature, &m.options, b, x, &report));
    ck_assert(report.converged && report.iterations < 400 * 16);
    infl_inverse *inverse = NULL;
    m.options.lissa_batch = n + 1;
    assert_fails(INFL_E_ARGUMENT, infl_inverse_create(&inverse, curvature, &m.options));
    infl_curvature_destroy(curvature);
    iris_destroy(&s);
}
END_TEST

/* The defaults of every method do on the Hessian at an optimum, on features as they are and standardised. */
START_TEST(test_defaults) {
    static const double within[] = {1e-6, 1e-6, 1e-10, 1e-3};
    iris s = iris_create(INFL_F64, _i);
    size_t row = 70;
    double b[MOST], x[MOST];
    infl_curvature *curvature;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 0.01));
    assert_ok(infl_objective_row_gradients(s.objective, &row, 1, b));
    for (int which = INFL_CHOLESKY; which <= INFL_LISSA; which++) {
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        infl_solve_report report;
        options.method = (infl_inverse_method)which;
        assert_ok(create_and_solve(curvature, &options, b, x, &report));
        ck_assert_msg(report.converged && report.residual <= within[which], "method %d leaves %g", which,
                      report.residual);
        /* not much better than asked: it is this tolerance that ended it */
        ck_assert_msg(which <= INFL_EIGEN || report.residual > 1e-3 * within[which], "method %d leaves %g", which,
                      report.residual);
    }
    infl_curvature_destroy(curvature);
    iris_destroy(&s);
}
END_TEST

/* An inverse is of the θ it was created at, whichever method, and says so at any other. */
START_TEST(test_theta) {
    iris s = iris_create(INFL_F64, 1);
    size_t p = infl_objective_parameters(s.objective);
    double theta[MOST], b[MOST], x[MOST], again[MOST];
    assert_ok(infl_objective_get_parameters(s.objective, theta));
    memcpy(b, theta, p * sizeof *b);
    for (int which = INFL_CHOLESKY; which <= INFL_LISSA; which++) {
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        infl_curvature *curvature;
        infl_inverse *inverse;
        options.method = (infl_inverse_method)which;
        assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 0.01));
        assert_ok(infl_inverse_create(&inverse, curvature, &options));
        assert_ok(infl_inverse_solve(inverse, b, 1, x, NULL));
        double before = theta[p - 1];
        theta[p - 1] += 0.25;
        assert_ok(infl_objective_set_parameters(s.objective, theta));
        fill_sentinel(again, p);
        assert_fails(INFL_E_ARGUMENT, infl_inverse_solve(inverse, b, 1, again, NULL));
        ck_assert(all_sentinel(again, p));
        char changed[96];
        snprintf(changed, sizeof changed, "(parameter %zu: %g, now %g, a change of 0.25)", p - 1, before, theta[p - 1]);
        ck_assert_msg(strncmp(infl_last_error(), "infl_inverse_solve: theta has changed", 37) == 0 &&
                          strstr(infl_last_error(), changed) != NULL &&
                          strstr(infl_last_error(), "create the inverse again") != NULL,
                      "%s", infl_last_error());
        theta[p - 1] = before;
        assert_ok(infl_objective_set_parameters(s.objective, theta));
        assert_ok(infl_inverse_solve(inverse, b, 1, again, NULL));
        assert_same_bits(x, again, p, "method %d, back at its theta", which);
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
    }
    iris_destroy(&s);
}
END_TEST

/* The Hessian far from a minimum is indefinite: the sentence names λmin, what to do about it, a damping that does. */
START_TEST(test_saddle) {
    static const infl_inverse_method methods[] = {INFL_CHOLESKY, INFL_CG, INFL_LISSA};
    iris s = iris_create(INFL_F64, 1);
    size_t p = infl_objective_parameters(s.objective);
    double eigenvalues[MOST], *b = spectral_normals(p, 4), x[MOST];
    infl_curvature *curvature, *damped, *gauss_newton;
    assert_ok(infl_model_initialise(s.model, 7));
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 0));
    assert_ok(infl_curvature_create(&gauss_newton, s.objective, INFL_GAUSS_NEWTON, 0));
    assert_ok(infl_curvature_eigen(curvature, eigenvalues, NULL));
    ck_assert_double_lt(eigenvalues[0], -0.01);
    for (int i = 0; i < 3; i++) {
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        options.method = methods[i];
        options.max_iterations = _i == 1 && methods[i] == INFL_LISSA ? 8 : 0; /* at an end before it can run away */
        ck_assert_int_eq(create_and_solve(curvature, &options, b, x, NULL), INFL_E_INDEFINITE);
        const char *at = strstr(infl_last_error(), "smallest eigenvalue is ");
        double named = 0;
        ck_assert_msg(at != NULL && sscanf(at, "smallest eigenvalue is %lf", &named) == 1 &&
                          fabs(named - eigenvalues[0]) < 1e-4 * eigenvalues[p - 1],
                      "not %g: %s", eigenvalues[0], infl_last_error());
        if (methods[i] == INFL_LISSA)
            ck_assert_msg(strstr(infl_last_error(), _i == 0 ? "diverged" : "used up its iterations") != NULL, "%s",
                          infl_last_error());
        ck_assert_msg(strstr(infl_last_error(), "; not a minimum? train or polish further, use INFL_GAUSS_NEWTON, or "
                                                "damp: a damping of ") != NULL,
                      "%s", infl_last_error());
        assert_ok(infl_curvature_create(&damped, s.objective, INFL_HESSIAN, suggested_damping()));
        assert_ok(create_and_solve(damped, &options, b, x, NULL));
        infl_curvature_destroy(damped);
        options.max_iterations = 0;
        options.accept_unconverged = 1;
        assert_ok(create_and_solve(gauss_newton, &options, b, x, NULL));
    }
    infl_curvature_destroy(curvature);
    infl_curvature_destroy(gauss_newton);
    iris_destroy(&s);
    free(b);
}
END_TEST

/* Other products than the matrix was made from: the certificate sees it, and an exact method knows no iterations. */
static int fickle_product(void *context, const double *vectors, size_t k, double *products) {
    size_t *n_vectors = context;
    double factor = *n_vectors < 3 ? 1 : 1.5;
    *n_vectors += k;
    for (size_t i = 0; i < 3 * k; i++)
        products[i] = factor * vectors[i];
    return 0;
}

START_TEST(test_exact_unconverged) {
    size_t n_vectors = 0;
    double b[3] = {1, 2, 3}, x[3];
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = _i == 0 ? INFL_CHOLESKY : INFL_EIGEN;
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_product(&curvature, fickle_product, &n_vectors, 3, 0));
    ck_assert_int_eq(create_and_solve(curvature, &options, b, x, NULL), INFL_E_UNCONVERGED);
    const char *said = infl_last_error();
    ck_assert_msg(strstr(said, "iterations") == NULL && strstr(said, "residual of 0.5 ") != NULL, "%s", said);
    infl_curvature_destroy(curvature);
}
END_TEST

Suite *inverse_suite(void) {
    Suite *suite = suite_create("inverse");
    add_case(suite, "inverse/conformance/matrices", test_matrices, 4);
    add_case(suite, "inverse/conformance/network", test_network, 4);
    add_case(suite, "inverse/conformance/truth", test_truth, 4);
    add_case(suite, "inverse/conformance/interruption", test_interruption, 4);
    add_case(suite, "inverse/preparation", test_preparation, 2);
    add_case(suite, "inverse/refusal/indefinite", test_indefinite, 4);
    add_case(suite, "inverse/refusal/unknown", test_indefinite_unknown, 2);
    add_case(suite, "inverse/refusal/singular", test_singular, 4);
    add_case(suite, "inverse/refusal/arguments", test_arguments, 1);
    add_case(suite, "inverse/refusal/unconverged", test_unconverged, 2);
    add_case(suite, "inverse/refusal/exact-unconverged", test_exact_unconverged, 2);
    add_case(suite, "inverse/refusal/saddle", test_saddle, 2);
    add_case(suite, "inverse/refusal/theta", test_theta, 1);
    add_case(suite, "inverse/defaults", test_defaults, 2);
    add_case(suite, "inverse/eigen/policies", test_policies, 2);
    add_case(suite, "inverse/cg/iterations", test_cg_iterations, 1);
    add_case(suite, "inverse/extreme-sides", test_extreme_sides, 2);
    add_case(suite, "inverse/lissa/scale", test_lissa_scale, 1);
    add_case(suite, "inverse/lissa/batches", test_lissa_batches, 1);
    return suite;
}

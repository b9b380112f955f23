/* Numbers that know what they are: descriptions, bounds, pairs of files. */
#include <dirent.h>
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "files.h"
#include "linear.h"
#include "little_endian.h"
#include "scores.h"
#include "spectral.h"
#include "suites.h"

enum { N = 9, T = 4, MOST = 1 << 16 };

typedef struct fixture {
    problem *q, *other; /* training and test rows; the other's model is not used */
    infl_objective *test;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
} fixture;

static fixture fixture_create(infl_precision precision, infl_curvature_kind kind, double damping,
                              infl_inverse_method method, double tolerance, infl_decay_in_gradient decay) {
    fixture f;
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.precision = precision;
    options.decay = 0.05;
    options.n_rows = N;
    options.seed = 3;
    f.q = problem_create(&options);
    options.n_rows = T;
    options.seed = 4;
    f.other = problem_create(&options);
    assert_ok(infl_objective_create(&f.test, f.q->model, &f.q->loss, f.other->dataset, NULL));
    assert_ok(infl_curvature_create(&f.curvature, f.q->objective, kind, damping));
    infl_inverse_options inverse_options = INFL_INVERSE_OPTIONS_INIT;
    inverse_options.method = method;
    inverse_options.tolerance = tolerance;
    inverse_options.seed = UINT64_MAX - 5;
    assert_ok(infl_inverse_create(&f.inverse, f.curvature, &inverse_options));
    infl_influence_options influence_options = INFL_INFLUENCE_OPTIONS_INIT;
    influence_options.decay_in_gradient = decay;
    assert_ok(infl_influence_create(&f.influence, f.q->objective, f.inverse, &influence_options));
    return f;
}

static fixture plain_fixture(void) {
    return fixture_create(INFL_F64, INFL_GAUSS_NEWTON, 0.01, INFL_CG, 1e-6, INFL_ROW_DECAY_DEFAULT);
}

static void fixture_destroy(fixture *f) {
    infl_influence_destroy(f->influence);
    infl_inverse_destroy(f->inverse);
    infl_curvature_destroy(f->curvature);
    infl_objective_destroy(f->test);
    problem_destroy(f->other);
    problem_destroy(f->q);
}

static const size_t some_tests[] = {2, 0, 2}, some_rows[] = {8, 1, 1, 5, 0};

static int has_tests(int quantity) { return quantity <= INFL_QUANTITY_REMOVAL_LOSSES; }

static infl_scores *scores_of(const fixture *f, int quantity, int some) {
    infl_scores *scores;
    assert_ok(infl_scores_create(&scores, f->influence, (infl_quantity)quantity, has_tests(quantity) ? f->test : NULL,
                                 some ? some_tests : NULL, 3, some ? some_rows : NULL, 5));
    return scores;
}

static void assert_says(const char *word) {
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "not said: %s; but: %s", word, infl_last_error());
}

/* The numbers, reports and bounds are those of the functions of influence, and the description is of them. */
START_TEST(test_values) {
    for (int d = INFL_ROW_DECAY_DEFAULT; d <= INFL_ROW_DECAY_INCLUDED; d++)
        for (int quantity = INFL_QUANTITY_SCORES; quantity <= INFL_QUANTITY_NORMS; quantity++)
            for (int some = 0; some < 2; some++) {
                fixture f = fixture_create(INFL_F64, INFL_GAUSS_NEWTON, INFL_DAMPING_AUTO, INFL_CG, 1e-6,
                                           (infl_decay_in_gradient)d);
                infl_scores *scores = scores_of(&f, quantity, some);
                const size_t *tests = some ? some_tests : NULL, *rows = some ? some_rows : NULL;
                size_t t = some ? 3 : T, n = some ? 5 : N, solves = has_tests(quantity) ? t : n;
                double expected[T * N], bounds[T * N], found[T * N];
                infl_solve_report reports[N], report;
                int removal = quantity == INFL_QUANTITY_REMOVAL_LOSSES;
                if (quantity == INFL_QUANTITY_SCORES) {
                    assert_ok(infl_influence_scores(f.influence, f.test, tests, t, rows, n, expected, reports));
                    assert_ok(infl_influence_score_bounds(f.influence, reports, t, rows, n, bounds));
                } else if (removal) {
                    assert_ok(infl_influence_removal_losses(f.influence, f.test, tests, t, rows, n, expected, reports));
                    assert_ok(infl_influence_removal_bounds(f.influence, reports, t, rows, n, bounds));
                } else if (quantity == INFL_QUANTITY_SELF) {
                    assert_ok(infl_influence_self(f.influence, rows, n, expected, reports));
                } else {
                    assert_ok(infl_influence_norms(f.influence, rows, n, expected, reports));
                }
                size_t length = has_tests(quantity) ? t * n : n;
                assert_same_bits(infl_scores_values(scores), expected, length, "quantity %d", quantity);
                assert_ok(infl_scores_bounds(scores, found));
                if (has_tests(quantity))
                    assert_close(found, bounds, length, 1e-15, "quantity %d", quantity);
                for (size_t i = 0; i < solves; i++) {
                    assert_ok(infl_scores_report(scores, i, &report));
                    ck_assert_mem_eq(&report, &reports[i], sizeof report);
                }
                for (size_t i = 0; i < n; i++)
                    ck_assert_uint_eq(infl_scores_train_rows(scores)[i], some ? some_rows[i] : i);
                for (size_t i = 0; i < t && has_tests(quantity); i++)
                    ck_assert_uint_eq(infl_scores_test_rows(scores)[i], some ? some_tests[i] : i);
                infl_scores_info info;
                assert_ok(infl_scores_describe(scores, &info));
                int included = d == INFL_ROW_DECAY_INCLUDED || (d == INFL_ROW_DECAY_DEFAULT && removal);
                ck_assert_int_eq((int)info.quantity, quantity);
                ck_assert_uint_eq(info.n_test, has_tests(quantity) ? t : 0);
                ck_assert_uint_eq(info.n_train, n);
                ck_assert_int_eq(info.decay_in_gradient, included);
                ck_assert_double_eq(info.scale, removal                           ? (included ? 1.0 / (N - 1) : 1.0 / N)
                                                : quantity == INFL_QUANTITY_NORMS ? 1
                                                                                  : -1);
                ck_assert_int_eq(info.helpful_sign, removal ? 1 : quantity == INFL_QUANTITY_NORMS ? 0 : -1);
                ck_assert((strstr(info.formula, "μDθ") != NULL) == included);
                ck_assert((strstr(info.formula, "/ (n − 1)") != NULL) == (removal && included));
                ck_assert_uint_eq(info.n, N);
                ck_assert_uint_eq(info.p, f.q->p);
                ck_assert(info.decay == 0.05 && info.precision == INFL_F64 && info.stored == INFL_F64);
                ck_assert_int_eq(info.train_loss, INFL_SOFTMAX_CROSS_ENTROPY);
                ck_assert_int_eq(info.test_loss, has_tests(quantity) ? INFL_SOFTMAX_CROSS_ENTROPY : -1);
                ck_assert_int_eq(info.curvature_kind, INFL_GAUSS_NEWTON);
                ck_assert(info.damping == infl_curvature_damping(f.curvature) && info.damping_automatic == 1);
                ck_assert_int_eq(info.method, INFL_CG);
                ck_assert(info.tolerance == 1e-6 && info.seed == UINT64_MAX - 5);
                ck_assert_str_eq(info.library_version, INFL_VERSION_STRING);
                ck_assert(info.label == NULL && info.note == NULL && info.date == NULL);
                infl_scores_destroy(scores);
                fixture_destroy(&f);
            }
}
END_TEST

/* Against the reference's gradients, matrix and an exact solve, all in f64: bounds hold, in f32 as well. */
START_TEST(test_bounds) {
    for (int single = 0; single < 2; single++)
        for (int method = INFL_CHOLESKY; method <= INFL_CG; method++)
            for (int d = INFL_ROW_DECAY_EXCLUDED; d <= INFL_ROW_DECAY_INCLUDED; d++) {
                double tolerance = method == INFL_CG ? 1e-3 : 0;
                fixture f = fixture_create(single ? INFL_F32 : INFL_F64, INFL_GAUSS_NEWTON, 0.01,
                                           (infl_inverse_method)method, tolerance, (infl_decay_in_gradient)d);
                problem *q = f.q;
                size_t p = q->p;
                double *matrix = problem_room(q, p * p), *unit = problem_room(q, p), *theta = problem_room(q, p),
                       *g = problem_room(q, N * p), *x = problem_room(q, p), *test_gradient = problem_room(q, p);
                assert_ok(infl_model_get_parameters(q->model, theta));
                for (size_t i = 0; i < p; i++) {
                    unit[i] = 1;
                    reference_product(q, INFL_GAUSS_NEWTON, NULL, 0, unit, matrix + i * p);
                    unit[i] = 0;
                    matrix[i * p + i] += 0.01;
                }
                for (size_t i = 0; i < N; i++) {
                    reference_row(q, theta, i, NULL, NULL, g + i * p, NULL);
                    for (size_t j = 0; j < p && d == INFL_ROW_DECAY_INCLUDED; j++)
                        g[i * p + j] += 0.05 * q->mask[j] * theta[j];
                }
                for (int quantity = INFL_QUANTITY_SCORES; quantity <= INFL_QUANTITY_NORMS; quantity++) {
                    infl_scores *scores = scores_of(&f, quantity, 0);
                    double bounds[T * N], tightest = INFINITY;
                    infl_scores_info info;
                    assert_ok(infl_scores_describe(scores, &info));
                    assert_ok(infl_scores_bounds(scores, bounds));
                    const double *values = infl_scores_values(scores);
                    for (size_t t = 0; t < (has_tests(quantity) ? T : N); t++) {
                        if (has_tests(quantity))
                            reference_row(f.other, theta, t, NULL, NULL, test_gradient, NULL);
                        memcpy(x, has_tests(quantity) ? test_gradient : g + t * p, p * sizeof *x);
                        linear_solve(matrix, x, p);
                        for (size_t i = 0; i < (has_tests(quantity) ? N : 1); i++) {
                            size_t at = has_tests(quantity) ? t * N + i : t;
                            double truth = quantity == INFL_QUANTITY_NORMS
                                               ? sqrt(linear_dot(x, x, p))
                                               : info.scale * linear_dot(x, g + (has_tests(quantity) ? i : t) * p, p);
                            double off = fabs(values[at] - truth);
                            ck_assert_msg(off <= bounds[at], "single %d, method %d, quantity %d, (%zu, %zu): %g > %g",
                                          single, method, quantity, t, i, off, bounds[at]);
                            tightest = fmin(tightest, bounds[at] / off);
                            /* and they are what the formula says */
                            infl_solve_report r;
                            assert_ok(infl_scores_report(scores, t, &r));
                            const double *row = g + (has_tests(quantity) ? i : t) * p;
                            double u = 64 * (single ? FLT_EPSILON : DBL_EPSILON);
                            double norm = quantity == INFL_QUANTITY_NORMS ? 1 : sqrt(linear_dot(row, row, p));
                            double by_solve = u * (quantity == INFL_QUANTITY_NORMS ? 0 : r.solution_norm) +
                                              u * r.rhs_norm / r.lambda_floor + r.error_bound;
                            ck_assert_double_eq_tol(bounds[at] / (fabs(info.scale) * norm * by_solve), 1, 1e-3);
                        }
                    }
                    /* a solve short of the solution is what the bound is for: some number comes near it. (That of
                       conjugate gradients for gᵀx with b = g falls with the square of the residual.) */
                    if (method == INFL_CG && !single && quantity != INFL_QUANTITY_SELF)
                        ck_assert_msg(tightest < 300, "quantity %d: the tightest bound is %g errors", quantity,
                                      tightest);
                    infl_scores_destroy(scores);
                }
                fixture_destroy(&f);
            }
}
END_TEST

START_TEST(test_no_bounds) {
    fixture f = fixture_create(INFL_F64, INFL_HESSIAN, 4, INFL_CG, 1e-6, INFL_ROW_DECAY_DEFAULT);
    for (int quantity = INFL_QUANTITY_SCORES; quantity <= INFL_QUANTITY_NORMS; quantity++) {
        infl_scores *scores = scores_of(&f, quantity, 1);
        double bounds[15];
        assert_ok(infl_scores_bounds(scores, bounds));
        for (size_t i = 0; i < (has_tests(quantity) ? 15 : 5); i++)
            ck_assert(isnan(bounds[i]));
        infl_scores_destroy(scores);
    }
    fixture_destroy(&f);
}
END_TEST

/* Helpful means helpful, whatever the sign. */
START_TEST(test_top) {
    fixture f = plain_fixture();
    size_t rows[2][5], one[1];
    infl_scores *scores = scores_of(&f, INFL_QUANTITY_SCORES, 1);
    const double *values = infl_scores_values(scores);
    size_t best = 0;
    for (size_t i = 1; i < 5; i++)
        best = values[5 + i] < values[5 + best] ? i : best;
    assert_ok(infl_scores_top(scores, 1, INFL_HELPFUL, 1, one));
    ck_assert_uint_eq(one[0], some_rows[best]);
    infl_scores_destroy(scores);
    fixture_destroy(&f);
    f = fixture_create(INFL_F64, INFL_GAUSS_NEWTON, 0.01, INFL_CG, 1e-6, INFL_ROW_DECAY_EXCLUDED);
    for (int direction = INFL_HELPFUL; direction <= INFL_HARMFUL; direction++) {
        for (int removal = 0; removal < 2; removal++) {
            scores = scores_of(&f, removal, 1);
            assert_ok(infl_scores_top(scores, 2, (infl_direction)direction, 5, rows[removal]));
            infl_scores_destroy(scores);
        }
        ck_assert_mem_eq(rows[0], rows[1], sizeof rows[0]);
    }
    scores = scores_of(&f, INFL_QUANTITY_SELF, 1);
    assert_ok(infl_scores_top(scores, 0, INFL_HELPFUL, 5, rows[0]));
    fill_sentinel((double *)(void *)rows[1], 1);
    size_t kept = rows[1][0];
    assert_fails(INFL_E_ARGUMENT, infl_scores_top(scores, 1, INFL_HELPFUL, 5, rows[1]));
    assert_fails(INFL_E_ARGUMENT, infl_scores_top(scores, 0, INFL_HELPFUL, 6, rows[1]));
    assert_fails(INFL_E_ARGUMENT, infl_scores_top(scores, 0, (infl_direction)2, 5, rows[1]));
    infl_scores_destroy(scores);
    scores = scores_of(&f, INFL_QUANTITY_NORMS, 1);
    assert_fails(INFL_E_UNSUPPORTED, infl_scores_top(scores, 0, INFL_HELPFUL, 5, rows[1]));
    ck_assert_uint_eq(rows[1][0], kept);
    infl_scores_destroy(scores);
    fixture_destroy(&f);
}
END_TEST

/* ---- files */

typedef struct pair {
    char folder[256], path[300], npy[320], json[320];
} pair;

static pair new_pair(void) {
    pair here;
    const char *parent = getenv("TMPDIR");
    snprintf(here.folder, sizeof here.folder, "%s/infl-test-XXXXXX",
             parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(here.folder));
    snprintf(here.path, sizeof here.path, "%s/scores", here.folder);
    snprintf(here.npy, sizeof here.npy, "%s.npy", here.path);
    snprintf(here.json, sizeof here.json, "%s.json", here.path);
    return here;
}

static void end_pair(const pair *here) {
    unlink(here->npy);
    unlink(here->json);
    ck_assert_int_eq(rmdir(here->folder), 0); /* nothing else is left */
}

static size_t contents(const char *path, unsigned char *bytes) {
    temporary_file file;
    snprintf(file.path, sizeof file.path, "%s", path);
    return read_back(&file, bytes, MOST);
}

static void overwrite(const char *path, const unsigned char *bytes, size_t n) {
    FILE *stream = fopen(path, "wb");
    ck_assert_ptr_nonnull(stream);
    ck_assert_uint_eq(fwrite(bytes, 1, n, stream), n);
    ck_assert_int_eq(fclose(stream), 0);
}

static int same_number(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

#define ASSERT_SAME(field) ck_assert_msg(same_number((double)a.field, (double)b.field), #field " differs")

static void assert_same_scores(const infl_scores *one, const infl_scores *other) {
    infl_scores_info a, b;
    infl_solve_report x, y;
    assert_ok(infl_scores_describe(one, &a));
    assert_ok(infl_scores_describe(other, &b));
    ASSERT_SAME(quantity), ASSERT_SAME(n_test), ASSERT_SAME(n_train), ASSERT_SAME(scale);
    ASSERT_SAME(decay_in_gradient), ASSERT_SAME(helpful_sign), ASSERT_SAME(n), ASSERT_SAME(p), ASSERT_SAME(decay);
    ASSERT_SAME(precision), ASSERT_SAME(train_loss), ASSERT_SAME(test_loss), ASSERT_SAME(train_temperature);
    ASSERT_SAME(test_temperature), ASSERT_SAME(curvature_kind), ASSERT_SAME(damping), ASSERT_SAME(damping_automatic);
    ASSERT_SAME(method), ASSERT_SAME(eigen_policy), ASSERT_SAME(cutoff), ASSERT_SAME(tolerance);
    ASSERT_SAME(max_iterations), ASSERT_SAME(accept_unconverged), ASSERT_SAME(lissa_plain), ASSERT_SAME(lissa_scale);
    ASSERT_SAME(lissa_batch), ASSERT_SAME(lissa_repeats), ASSERT_SAME(lissa_check), ASSERT_SAME(cg_batch);
    ck_assert(a.seed == b.seed);
    ck_assert_str_eq(a.formula, b.formula);
    ck_assert_str_eq(a.library_version, b.library_version);
    size_t length = (a.n_test == 0 ? 1 : a.n_test) * a.n_train, solves = a.n_test == 0 ? a.n_train : a.n_test;
    assert_same_bits(infl_scores_train_rows(one), infl_scores_train_rows(other), a.n_train, "train rows");
    if (a.n_test != 0)
        assert_same_bits(infl_scores_test_rows(one), infl_scores_test_rows(other), a.n_test, "test rows");
    double bounds[2][T * N];
    assert_ok(infl_scores_bounds(one, bounds[0]));
    assert_ok(infl_scores_bounds(other, bounds[1]));
    for (size_t i = 0; i < length; i++) {
        double value = infl_scores_values(one)[i], stored = infl_scores_values(other)[i];
        if (b.stored == INFL_F32) {
            ck_assert_double_eq(stored, (float)value);
            ck_assert(bounds[1][i] >= bounds[0][i] + fabs(value - stored) || isnan(bounds[0][i]));
        } else {
            ck_assert_mem_eq(&stored, &value, sizeof value);
            ck_assert(same_number(bounds[0][i], bounds[1][i]));
        }
    }
    for (size_t i = 0; i < solves; i++) {
        assert_ok(infl_scores_report(one, i, &x));
        assert_ok(infl_scores_report(other, i, &y));
        const double *u = (const double *)(const void *)&x, *v = (const double *)(const void *)&y;
        for (size_t k = 0; k < 5; k++)
            ck_assert(same_number(u[k], v[k]));
        ck_assert(x.iterations == y.iterations && x.converged == y.converged);
        for (u = &x.scale, v = &y.scale; u < x.reserved; u++, v++)
            ck_assert(same_number(*u, *v));
    }
}

/* Through files and back nothing is lost, and the files are the same each time. */
START_TEST(test_round_trip) {
    static const struct {
        infl_precision precision;
        infl_curvature_kind kind;
        infl_inverse_method method;
        double damping;
    } cases[] = {{INFL_F64, INFL_GAUSS_NEWTON, INFL_CG, INFL_DAMPING_AUTO},
                 {INFL_F32, INFL_HESSIAN, INFL_CHOLESKY, 4},
                 {INFL_F64, INFL_FISHER, INFL_EIGEN, 1.0 / 3},
                 {INFL_F64, INFL_HESSIAN, INFL_LISSA, 4}};
    static unsigned char bytes[2][2][MOST];
    pair here = new_pair(), there = new_pair();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int quantity = INFL_QUANTITY_SCORES; quantity <= INFL_QUANTITY_NORMS; quantity++)
            for (int stored = INFL_F32; stored <= INFL_F64; stored++) {
                fixture f = fixture_create(cases[c].precision, cases[c].kind, cases[c].damping, cases[c].method,
                                           cases[c].method == INFL_LISSA ? 1e-2 : 0, INFL_ROW_DECAY_DEFAULT);
                infl_scores *scores = scores_of(&f, quantity, (int)c % 2), *loaded = NULL;
                infl_scores_save_options options = INFL_SCORES_SAVE_OPTIONS_INIT;
                infl_scores_info info;
                options.precision = stored;
                options.label = "a \"label\"";
                options.note = "Δℓ\n\\";
                if (c == 0)
                    options.date = "2001-02-03";
                assert_ok(infl_scores_save(scores, here.path, &options));
                assert_ok(infl_scores_load(&loaded, here.path));
                assert_same_scores(scores, loaded);
                assert_ok(infl_scores_describe(loaded, &info));
                ck_assert_str_eq(info.label, options.label);
                ck_assert_str_eq(info.note, options.note);
                ck_assert((info.date != NULL) == (c == 0));
                ck_assert_int_eq(info.stored, stored);
                assert_ok(infl_scores_check(loaded, f.q->objective, has_tests(quantity) ? f.test : NULL));
                infl_scores_destroy(scores);
                fixture_destroy(&f);
                options = (infl_scores_save_options)INFL_SCORES_SAVE_OPTIONS_INIT;
                options.precision = stored;
                assert_ok(infl_scores_save(loaded, there.path, &options)); /* label and all stay */
                infl_scores_destroy(loaded);
                for (int other = 0; other < 2; other++) {
                    const pair *at = other ? &there : &here;
                    memset(bytes[other], 0, sizeof bytes[other]);
                    ck_assert_uint_gt(contents(at->npy, bytes[other][0]), 128);
                    ck_assert_uint_lt(contents(at->json, bytes[other][1]), MOST);
                }
                ck_assert_mem_eq(bytes[0], bytes[1], sizeof bytes[0]);
            }
    end_pair(&here);
    end_pair(&there);
}
END_TEST

/* The caller's own risk, matrix and product: what can be said of them. */
START_TEST(test_callers_own) {
    linear_problem l = linear_create(1, N, 3, 0.1, 8);
    double theta[3] = {0.1, -0.2, 0.3}, matrix[9] = {2, 0, 0, 0, 3, 1, 0, 1, 4};
    counted_product product = {.matrix = matrix, .p = 3};
    pair here = new_pair();
    infl_objective *objective = linear_objective(&l, theta, 1);
    for (int of_product = 0; of_product < 2; of_product++) {
        infl_curvature *curvature;
        infl_inverse *inverse;
        infl_influence *influence;
        infl_scores *scores, *loaded;
        infl_scores_info info;
        if (of_product)
            assert_ok(infl_curvature_from_product(&curvature, counted_multiply, &product, 3, 0.5));
        else
            assert_ok(infl_curvature_from_matrix(&curvature, matrix, 3, 0.5));
        assert_ok(infl_inverse_create(&inverse, curvature, NULL));
        assert_ok(infl_influence_create(&influence, objective, inverse, NULL));
        assert_ok(infl_scores_create(&scores, influence, INFL_QUANTITY_SCORES, objective, some_tests, 3, some_rows, 5));
        assert_ok(infl_scores_save(scores, here.path, NULL));
        assert_ok(infl_scores_load(&loaded, here.path));
        assert_same_scores(scores, loaded);
        assert_ok(infl_scores_describe(loaded, &info));
        ck_assert_int_eq(info.curvature_kind, -1 - of_product);
        ck_assert_int_eq(info.train_loss, -1);
        infl_scores_destroy(scores);
        infl_scores_destroy(loaded);
        infl_influence_destroy(influence);
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
    }
    infl_objective_destroy(objective);
    linear_destroy(&l);
    end_pair(&here);
}
END_TEST

/* With any byte of either file changed it is refused, or it says the same. */
START_TEST(test_damage) {
    static unsigned char bytes[MOST], again[MOST];
    pair here = new_pair(), there = new_pair();
    fixture f = plain_fixture();
    infl_scores *scores = scores_of(&f, INFL_QUANTITY_REMOVAL_LOSSES, 1), *loaded;
    infl_scores_save_options options = INFL_SCORES_SAVE_OPTIONS_INIT;
    options.label = "x";
    assert_ok(infl_scores_save(scores, here.path, &options));
    for (int json = 0; json < 2; json++) {
        const char *path = json ? here.json : here.npy;
        size_t n = contents(path, bytes), refused = 0;
        for (size_t i = 0; i < n; i += json ? 3 : 1) {
            unsigned char kept = bytes[i];
            bytes[i] ^= (unsigned char)(1 << i % 7);
            overwrite(path, bytes, n);
            bytes[i] = kept;
            loaded = NULL;
            infl_status status = infl_scores_load(&loaded, here.path);
            if (status == INFL_OK) {
                assert_ok(infl_scores_save(loaded, there.path, NULL));
                ck_assert_uint_eq(contents(json ? there.json : there.npy, again), n);
                ck_assert_msg(memcmp(again, bytes, n) == 0, "byte %zu of %s changes what is read", i, path);
                infl_scores_destroy(loaded);
            } else {
                ck_assert_msg(status == INFL_E_FORMAT, "byte %zu: %s", i, infl_last_error());
                ck_assert_ptr_null(loaded);
                refused++;
            }
        }
        ck_assert_msg(refused > n / 4, "%zu of %zu were refused", refused, n);
        for (size_t cut = 0; cut < n - 1; cut += 1 + n / 50) { /* the last byte of the text is a line feed */
            overwrite(path, bytes, cut);
            ck_assert_int_eq(infl_scores_load(&loaded, here.path), INFL_E_FORMAT);
        }
        overwrite(path, bytes, n);
    }
    infl_scores_destroy(scores);
    fixture_destroy(&f);
    end_pair(&here);
    end_pair(&there);
}
END_TEST

/* An array beside the description of another is refused, whatever its shape. */
START_TEST(test_mismatch) {
    static unsigned char bytes[MOST];
    pair here = new_pair(), there = new_pair();
    fixture f = plain_fixture();
    infl_scores *loaded = NULL;
    for (int quantity = INFL_QUANTITY_REMOVAL_LOSSES; quantity <= INFL_QUANTITY_SELF; quantity++) {
        infl_scores *one = scores_of(&f, INFL_QUANTITY_SCORES, 1), *other = scores_of(&f, quantity, 1);
        assert_ok(infl_scores_save(one, here.path, NULL));
        assert_ok(infl_scores_save(other, there.path, NULL));
        size_t n = contents(there.npy, bytes);
        overwrite(here.npy, bytes, n);
        assert_fails(INFL_E_FORMAT, infl_scores_load(&loaded, here.path));
        assert_says(quantity == INFL_QUANTITY_SELF ? "has shape (5,)" : "is not the one that");
        infl_scores_destroy(one);
        infl_scores_destroy(other);
    }
    ck_assert_int_eq(unlink(here.npy), 0);
    assert_fails(INFL_E_IO, infl_scores_load(&loaded, here.path));
    assert_says(here.npy);
    ck_assert_int_eq(unlink(there.json), 0);
    assert_fails(INFL_E_IO, infl_scores_load(&loaded, there.path));
    assert_says(there.json);
    ck_assert_ptr_null(loaded);
    fixture_destroy(&f);
    end_pair(&here);
    end_pair(&there);
}
END_TEST

/* ---- manifests and arrays that are not what the library writes, with the right hashes */

/* A pair, and what its manifest says. */
static json_t *save_some(const pair *here, int quantity) {
    fixture f = plain_fixture();
    infl_scores *scores = scores_of(&f, quantity, 1);
    json_error_t error;
    assert_ok(infl_scores_save(scores, here->path, NULL));
    infl_scores_destroy(scores);
    fixture_destroy(&f);
    json_t *manifest = json_load_file(here->json, 0, &error);
    ck_assert_ptr_nonnull(manifest);
    return manifest;
}

static void put_text(const pair *here, const char *text) {
    overwrite(here->json, (const unsigned char *)text, strlen(text));
}

static void put_manifest(const pair *here, json_t *manifest, const char *hash) {
    char right[INFL_SCORES_HASH];
    json_object_del(manifest, "hash");
    assert_ok(infl_scores_hash_manifest(manifest, right));
    json_object_set_new(manifest, "hash", json_string(hash == NULL ? right : hash));
    char *text = json_dumps(manifest, 0);
    ck_assert_ptr_nonnull(text);
    put_text(here, text);
    free(text);
}

/* Nothing is read, and the sentence has these words and the file's path. */
static void assert_refused(const pair *here, const char *path, const char *words) {
    infl_scores *const mark = (infl_scores *)(void *)&words;
    infl_scores *loaded = mark;
    infl_status status = infl_scores_load(&loaded, here->path);
    ck_assert_msg(status == INFL_E_FORMAT && loaded == mark, "not refused: %s; but %s: %s", words,
                  infl_status_name(status), infl_last_error());
    assert_says(words);
    assert_says(path);
}

static void assert_accepted(const pair *here) {
    infl_scores *loaded;
    assert_ok(infl_scores_load(&loaded, here->path));
    infl_scores_destroy(loaded);
}

/* Of some of a network's parameters: the manifest says which, and what is of others is told apart by that first. */
START_TEST(test_some_parameters) {
    static const size_t some[] = {0, 1, 2, 5, 7, 8}, others[] = {0, 1, 2, 5, 7, 9};
    fixture f = plain_fixture();
    pair here = new_pair();
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *part, *part_test, *other, *fewer;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    infl_scores *scores, *loaded;
    options.n_parameters = sizeof some / sizeof *some;
    options.parameters = others;
    assert_ok(infl_objective_create(&other, f.q->model, &f.q->loss, f.q->dataset, &options));
    options.parameters = some;
    assert_ok(infl_objective_create(&part, f.q->model, &f.q->loss, f.q->dataset, &options));
    assert_ok(infl_objective_create(&part_test, f.q->model, &f.q->loss, f.other->dataset, &options));
    options.n_parameters--;
    assert_ok(infl_objective_create(&fewer, f.q->model, &f.q->loss, f.other->dataset, &options));
    assert_ok(infl_curvature_create(&curvature, part, INFL_GAUSS_NEWTON, 0.01));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_ok(infl_influence_create(&influence, part, inverse, NULL));
    assert_ok(infl_scores_create(&scores, influence, INFL_QUANTITY_SCORES, part_test, some_tests, 3, some_rows, 5));
    assert_ok(infl_scores_save(scores, here.path, NULL));
    assert_ok(infl_scores_load(&loaded, here.path));
    assert_same_scores(scores, loaded);
    json_t *manifest = json_load_file(here.json, 0, NULL), *expected = json_loads("[[0, 3], [5, 1], [7, 2]]", 0, NULL);
    ck_assert(json_equal(json_object_get(manifest, "parameters"), expected));
    for (int from_file = 0; from_file < 2; from_file++) {
        const infl_scores *of = from_file ? loaded : scores;
        assert_ok(infl_scores_check(of, part, part_test));
        assert_fails(INFL_E_ARGUMENT, infl_scores_check(of, f.q->objective, NULL));
        assert_says("of 6 parameters; the train objective has");
        assert_fails(INFL_E_ARGUMENT, infl_scores_check(of, part, fewer));
        assert_says("of 6 parameters; the test objective has 5");
        assert_fails(INFL_E_ARGUMENT, infl_scores_check(of, other, NULL));
        assert_says("of other parameters than the train objective");
        assert_fails(INFL_E_ARGUMENT, infl_scores_check(of, part_test, NULL));
        assert_says("not of this train objective, but of other data");
    }
    /* the last parameters there can be are read, and one more is not */
    for (int more = 0; more < 2; more++) {
        json_object_set_new(
            manifest, "parameters",
            json_loads(more ? "[[2, 5], [\"18446744073709551615\", 1]]" : "[[2, 5], [\"18446744073709551614\", 1]]", 0,
                       NULL));
        put_manifest(&here, manifest, NULL);
        if (more)
            assert_refused(&here, here.json, "\"parameters\" is missing or wrong");
        else
            assert_accepted(&here);
    }
    json_decref(manifest);
    json_decref(expected);
    infl_scores_destroy(scores);
    infl_scores_destroy(loaded);
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(part);
    infl_objective_destroy(part_test);
    infl_objective_destroy(other);
    infl_objective_destroy(fewer);
    fixture_destroy(&f);
    end_pair(&here);
}
END_TEST

/* One of its objects by name; "solves": the second solve. "": itself. */
static json_t *part_of(json_t *manifest, const char *name) {
    json_t *part = name[0] == '\0' ? manifest : json_object_get(manifest, name);
    part = json_is_array(part) ? json_array_get(part, 1) : part;
    ck_assert_ptr_nonnull(part);
    return part;
}

/* As sentences have it: "train.loss", "solves[].residual". */
static const char *full_name(const char *part, const char *key) {
    static char name[64];
    snprintf(name, sizeof name, "\"%s%s%s%s\"", part, strcmp(part, "solves") == 0 ? "[]" : "",
             part[0] == '\0' ? "" : ".", key);
    return name;
}

/* For people, and for who has no library. */
static int is_not_read(const char *key) {
    static const char *const keys[] = {"formula", "sign", "axes", "bounds", "null", "scale", "row", "bound"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return 1;
    return 0;
}

/* Every key there is, taken out. (The scale of a solve is LiSSA's.) */
START_TEST(test_missing) {
    static const char *const parts[] = {"", "train", "test", "curvature", "inverse", "solves"};
    pair here = new_pair();
    json_t *manifest = save_some(&here, INFL_QUANTITY_REMOVAL_LOSSES), *member;
    int n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *key;
        json_object_foreach(part_of(manifest, parts[i]), key, member) {
            json_t *altered = json_deep_copy(manifest);
            char words[128];
            json_object_del(part_of(altered, parts[i]), key);
            put_manifest(&here, altered, NULL);
            snprintf(words, sizeof words, "%s is missing or wrong", full_name(parts[i], key));
            if (strcmp(key, "hash") == 0 || (is_not_read(key) && (i < 5 || strcmp(key, "scale") != 0)))
                assert_accepted(&here); /* put_manifest has put the hash back */
            else
                assert_refused(&here, here.json, words);
            json_decref(altered);
            n++;
        }
    }
    ck_assert_int_gt(n, 60);
    json_decref(manifest);
    end_pair(&here);
}
END_TEST

#define WORD "a word that this version of the library knows"
#define WHOLE "[null, true, -1, 1.5, [], \"\", \"-1\", \"1 \", \"0x1\", \"18446744073709551616\"]", "a whole number"
#define FLAG "[null, 0, 1, \"true\", []]", "true or false"
#define REAL "[true, \"1\", \"nan\", [], {}]", "a number or null"
#define AMOUNT "[null, false, \"1\", -1, -1e-300, []]", "a number that is not negative"
#define TEXT "[true, 1, [], {}]", "a string or null"
#define HASH                                                                                                           \
    "[null, 7, \"\", \"0123456789abcdef0123456789abcde\", \"0123456789abcdef0123456789abcdef0\", "                     \
    "\"0123456789ABCDEF0123456789abcdef\", \"0123456789abcdef0123456789abcdef \", "                                    \
    "\"-123456789abcdef0123456789abcdef0\"]",                                                                          \
        "32 hexadecimal digits"
#define OBJECT "[null, [], [1], \"\", 0]", "an object"
#define FILLED "[null, [], {}, {\"0\": 0}, 1]", "an array that is not empty"
#define ROWS "[[0, 1, 2, 3, -1], [0, 1, 2, 3, 0.5], [0, \"x\"], [null], [[0]]]", "row indices"

/* Values of other types, and out of range. */
START_TEST(test_wrong_values) {
    static const struct {
        const char *part, *keys, *values;
        const char *expected; /* the whole sentence, where another key is found to be wrong */
    } table[] = {
        {"", "format", "[null, 1, \"libinfluence\", \"libinfluence scores \"]", "\"libinfluence scores\""},
        {"", "format_version", "[null, 0, 2, 1.0, \"1\", true]", "1, which this version of the library reads"},
        {"", "library_version", TEXT},
        {"", "library_version", "[null]", "a string"},
        {"", "label note date", TEXT},
        {"", "quantity", "[null, 1, \"\", \"Scores\", \"loss\"]", WORD},
        {"", "precision stored", "[null, 64, \"f16\", \"F64\"]", WORD},
        {"", "array_hash", HASH},
        {"", "n p", WHOLE},
        {"", "n", "[0, 1, 8]",
         "\"train_rows\" is missing or wrong; expected row indices"}, /* there is one with index 8 */
        {"", "parameters",
         "[0, true, \"\", {}, [], [0], [[]], [[0]], [[0, 1, 2]], [[0, 0]], [[0, \"x\"]], [[-1, 47]], [[0, 1]], [[0, "
         "48]], "
         "[[0, 30], [30, 21]], [[0, 51], [60, 0]], [[30, 21], [0, 30]], [[1, \"18446744073709551615\"], [3, 52]]]",
         "null, or [first, count] of ranges in order with p parameters"},
        {"", "decay", AMOUNT},
        {"", "decay_in_gradient", FLAG},
        {"", "train test curvature inverse", OBJECT},
        {"", "train_rows test_rows solves row_norms", FILLED},
        {"", "train_rows test_rows", ROWS},
        {"", "train_rows", "[[9, 0, 0, 0, 0], [\"9\"]]", "row indices"},
        {"", "test_rows", "[[\"18446744073709551615\"]]", "row indices"}, /* none can be there */
        {"", "test_rows", "[[0, 1], [0, 1, 2, 3]]",
         "\"solves\" is missing or wrong; expected as many as there are rows to solve for"},
        {"", "train_rows", "[[0], [0, 1, 2, 3, 4, 5]]",
         "\"row_norms\" is missing or wrong; expected as many as train_rows"},
        {"", "row_norms", "[[1], [1, 1, 1, 1, 1, 1]]", "as many as train_rows"},
        {"", "row_norms", "[[1, 1, null, 1, 1], [1, 1, 1, 1, \"1\"]]", "numbers"},
        {"", "solves", "[[1], [1, 1, 1, 1]]", "as many as there are rows to solve for"},
        {"", "solves", "[[1, 1, 1], [null, {}, {}], [[], [], []]]",
         "\"solves[].residual\" is missing or wrong; expected a number or null"},
        {"train", "loss", "[null, 0, \"Custom\", \"hinge\"]", WORD},
        {"train", "temperature", REAL},
        {"train", "model data", HASH},
        {"test", "loss", "[null, 0, \"\"]", WORD},
        {"test", "temperature", REAL},
        {"test", "model data", HASH},
        {"curvature", "kind", "[null, 0, \"newton\"]", WORD},
        {"curvature", "damping", AMOUNT},
        {"curvature", "damping_automatic", FLAG},
        {"curvature", "model data", HASH},
        {"inverse", "method", "[null, 0, \"lu\"]", WORD},
        {"inverse", "eigen_policy", "[null, 0, \"clipped\"]", WORD},
        {"inverse", "cutoff tolerance lissa_scale", AMOUNT},
        {"inverse", "max_iterations lissa_batch lissa_repeats lissa_check seed cg_batch", WHOLE},
        {"inverse", "accept_unconverged lissa_plain", FLAG},
        {"solves", "residual products damping lambda_min lambda_max scale batch deviation rhs_norm", REAL},
        {"solves", "solution_norm rounding lambda_floor error_bound", REAL},
        {"solves", "iterations", WHOLE},
        {"solves", "converged", FLAG},
    };
    pair here = new_pair();
    json_t *manifest = save_some(&here, INFL_QUANTITY_REMOVAL_LOSSES);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char keys[128], words[160];
        json_t *values = json_loads(table[i].values, 0, NULL), *value;
        ck_assert_ptr_nonnull(values);
        snprintf(keys, sizeof keys, "%s", table[i].keys);
        for (char *rest = NULL, *key = strtok_r(keys, " ", &rest); key != NULL; key = strtok_r(NULL, " ", &rest)) {
            size_t k;
            int whole = strstr(table[i].expected, "is missing or wrong") != NULL;
            snprintf(words, sizeof words, "%s%s%s", whole ? "" : full_name(table[i].part, key),
                     whole ? "" : " is missing or wrong; expected ", table[i].expected);
            json_array_foreach(values, k, value) {
                json_t *altered = json_deep_copy(manifest);
                ck_assert_int_eq(json_object_set(part_of(altered, table[i].part), key, value), 0);
                put_manifest(&here, altered, NULL);
                assert_refused(&here, here.json, words);
                json_decref(altered);
            }
        }
        json_decref(values);
    }
    json_decref(manifest);
    end_pair(&here);
}
END_TEST

/* Texts that are no manifest, and one that says two things that cannot both be. */
START_TEST(test_wrong_texts) {
    static const struct {
        const char *text, *says;
    } table[] = {
        {"", "byte 0: the file is not JSON"},
        {"7", "the file is not JSON"},
        {"{\"format\": \"libinfluence scores\"", "the file is not JSON"},
        {"{\"format\": \"libinfluence scores\", \"format\": \"libinfluence scores\"}", "duplicate object key"},
        {"{\"format\": \"libinfluence scores\"} {}", "end of file expected"},
        {"{\"format\": \"libinfluence scores\\u0000\"}", "the file is not JSON"},
        {"{\"format\": \"\xff\"}", "the file is not JSON"},
        {"{\"n\": 1e400}", "the file is not JSON"},
        {"{\"n\": 9223372036854775808}", "the file is not JSON"},
        {"{\"decay\": NaN}", "the file is not JSON"},
        {"[]", "\"format\" is missing or wrong"},
        {"{}", "\"format\" is missing or wrong"},
        {"{\"format\": \"libinfluence scores\"}", "\"format_version\" is missing or wrong"},
        {"{\"format\": \"libinfluence scores\", \"format_version\": 1}", "\"hash\" is missing or wrong"},
        {"{\"format\": \"libinfluence scores\", \"format_version\": 1, \"hash\": 0}", "\"hash\" is missing or wrong"},
    };
    pair here = new_pair();
    json_t *manifest = save_some(&here, INFL_QUANTITY_REMOVAL_LOSSES);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        put_text(&here, table[i].text);
        assert_refused(&here, here.json, table[i].says);
    }
    put_manifest(&here, manifest, "0123456789abcdef0123456789abcdef");
    assert_refused(&here, here.json, "\"hash\" is missing or wrong; expected another for this content");
    json_object_set_new(manifest, "array_hash", json_string("0123456789abcdef0123456789abcdef"));
    put_manifest(&here, manifest, NULL);
    assert_refused(&here, here.npy, "the array is not the one that");
    json_object_set_new(manifest, "n", json_integer(1));
    json_object_set_new(manifest, "train_rows", json_loads("[0, 0, 0, 0, 0]", 0, NULL));
    put_manifest(&here, manifest, NULL);
    assert_refused(&here, here.json, "\"n\" is missing or wrong; expected at least 2 rows");
    json_decref(manifest);
    end_pair(&here);
}
END_TEST

/* What another program may make of a manifest: keys that nobody knows, whole numbers for others, words for large ones. */
START_TEST(test_other_manifests) {
    pair here = new_pair();
    json_t *manifest = save_some(&here, INFL_QUANTITY_REMOVAL_LOSSES);
    infl_scores *loaded;
    infl_scores_info info;
    json_object_set_new(manifest, "unknown", json_loads("{\"x\": [1, 2.5, null, true, \"\"]}", 0, NULL));
    json_object_set_new(manifest, "decay", json_integer(0));
    json_object_set_new(manifest, "p", json_string("0018446744073709551615"));
    json_object_set_new(json_object_get(manifest, "inverse"), "seed", json_string("7"));
    json_object_set_new(json_object_get(manifest, "train"), "loss", json_string("custom"));
    json_object_set_new(json_object_get(manifest, "test"), "loss", json_string("smoothed_hinge"));
    json_object_set_new(json_object_get(manifest, "test"), "temperature", json_integer(2));
    put_manifest(&here, manifest, NULL);
    assert_ok(infl_scores_load(&loaded, here.path));
    assert_ok(infl_scores_describe(loaded, &info));
    ck_assert(info.decay == 0 && info.p == SIZE_MAX && info.seed == 7 && info.train_loss == -1);
    ck_assert(info.test_loss == INFL_SMOOTHED_HINGE && info.test_temperature == 2 && isnan(info.train_temperature));
    infl_scores_destroy(loaded);
    json_decref(manifest);
    end_pair(&here);
}
END_TEST

/* The array's file in NumPy's format, and its hash in the manifest. */
static void put_array(const pair *here, json_t *manifest, const char *descr, const char *order, const char *shape,
                      const void *numbers, size_t n) {
    unsigned char file[512] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    char *header = (char *)file + 10, text[INFL_SCORES_HASH];
    uint64_t digest[2];
    infl_hash *hash;
    int length = snprintf(header, 128, "{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }\n", descr, order, shape);
    infl_put_number(file + 8, (uint64_t)length, 2);
    memcpy(header + length, numbers, n);
    overwrite(here->npy, file, 10 + (size_t)length + n);
    assert_ok(infl_hash_begin(&hash));
    infl_hash_raw(hash, file, 10 + (size_t)length + n);
    infl_hash_end(hash, digest);
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)digest[1], (unsigned long long)digest[0]);
    json_object_set_new(manifest, "array_hash", json_string(text));
    put_manifest(here, manifest, NULL);
}

/* Arrays of 3×5 numbers, or of 5, as the manifest has them; of other types, orders, shapes; and not finite. */
START_TEST(test_wrong_arrays) {
    static const double numbers[18] = {1, -2, 0.5, 1e300}, infinite[18] = {0, 0, HUGE_VAL},
                        not_a_number[18] = {0, 0, 0, 0, 0, 0, 0, NAN};
    static const struct {
        const char *descr, *order, *shape;
        const void *numbers;
        size_t n;
        const char *says; /* NULL: it is accepted */
    } table[] = {
        {"<f8", "False", "3, 5", numbers, 120, NULL},
        {">f4", "False", "3, 5", numbers, 60, NULL},
        {"<f8", "True", "3, 5", numbers, 120, "has shape (3, 5) and type <f8"},
        {"<f8", "False", "5, 3", numbers, 120, "has shape (5, 3)"},
        {"<f8", "False", "2, 5", numbers, 80, "its description is of 3 test and 5 training rows"},
        {"<f8", "False", "3, 6", numbers, 144, "has shape (3, 6)"},
        {"<f8", "False", "15,", numbers, 120, "has shape (15,)"},
        {"<f8", "False", "5,", numbers, 40, "has shape (5,)"},
        {"<f8", "False", "1, 3, 5", numbers, 120, "has shape (1, 3, 5)"},
        {"<f8", "False", "3, 0", numbers, 0, "has shape (3, 0)"},
        {"<f8", "False", "", numbers, 8, "has shape ()"},
        {"<i8", "False", "3, 5", numbers, 120, "type <i8"},
        {"|b1", "False", "3, 5", numbers, 15, "type |b1"},
        {"<c8", "False", "3, 5", numbers, 120, "its descr is \"<c8\""},
        {"<f2", "False", "3, 5", numbers, 30, "its descr is \"<f2\""},
        {"<f8", "True", "1, 3, 5", numbers, 120, "3 dimensions in Fortran's order"},
        {"<f8", "False", "3, 5", numbers, 119, ""},
        {"<f8", "False", "3, 5", numbers, 121, ""},
        {"<f8", "False", "3, 5", infinite, 120, "number 2 is not finite"},
        {"<f8", "False", "3, 5", not_a_number, 120, "number 7 is not finite"},
    };
    pair here = new_pair();
    json_t *manifest = save_some(&here, INFL_QUANTITY_SCORES);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        put_array(&here, manifest, table[i].descr, table[i].order, table[i].shape, table[i].numbers, table[i].n);
        if (table[i].says == NULL)
            assert_accepted(&here);
        else
            assert_refused(&here, here.npy, table[i].says);
    }
    json_decref(manifest);
    manifest = save_some(&here, INFL_QUANTITY_NORMS);
    put_array(&here, manifest, "<f8", "False", "5,", numbers, 40);
    assert_accepted(&here);
    put_array(&here, manifest, "<f8", "False", "1, 5", numbers, 40);
    assert_refused(&here, here.npy, "has shape (1, 5) and type <f8; its description is of 0 test and 5 training rows");
    json_decref(manifest);
    end_pair(&here);
}
END_TEST

/* What cannot be written leaves what was there: neither a half nor a wrong pair, and no file beside. */
START_TEST(test_overwrite) {
    static unsigned char before[2][MOST], after[2][MOST];
    pair here = new_pair();
    fixture f = plain_fixture();
    infl_scores *one = scores_of(&f, INFL_QUANTITY_SCORES, 1), *other = scores_of(&f, INFL_QUANTITY_SELF, 0), *loaded;
    infl_scores_save_options options = INFL_SCORES_SAVE_OPTIONS_INIT;
    infl_scores_info info;
    assert_ok(infl_scores_save(one, here.path, NULL));
    size_t n[2] = {contents(here.npy, before[0]), contents(here.json, before[1])};
    const char **const texts[] = {&options.label, &options.note, &options.date};
    for (int i = 0; i < 3; i++) {
        *texts[i] = "\xff";
        assert_fails(INFL_E_ARGUMENT, infl_scores_save(other, here.path, &options));
        assert_says(i == 0 ? "label is not UTF-8" : i == 1 ? "note is not UTF-8" : "date is not UTF-8");
        *texts[i] = NULL;
    }
    options.precision = 2;
    assert_fails(INFL_E_ARGUMENT, infl_scores_save(other, here.path, &options));
    ck_assert_int_eq(unlink(here.json), 0);
    ck_assert_int_eq(mkdir(here.json, 0777), 0); /* a place that cannot be taken */
    assert_fails(INFL_E_IO, infl_scores_save(other, here.path, NULL));
    ck_assert_uint_eq(contents(here.npy, after[0]), n[0]);
    ck_assert_mem_eq(after[0], before[0], n[0]);
    ck_assert_int_eq(rmdir(here.json), 0);
    assert_fails(INFL_E_IO, infl_scores_save(other, "/nowhere/at/all", NULL));
    ck_assert_int_eq(symlink("/dev/null", here.json), 0); /* what takes everything and keeps nothing */
    assert_fails(INFL_E_IO, infl_scores_save(other, here.path, NULL));
    assert_says("what is there is not a regular file");
    assert_says(here.json);
    ck_assert_uint_eq(contents(here.npy, after[0]), n[0]);
    ck_assert_mem_eq(after[0], before[0], n[0]);
    ck_assert_int_eq(unlink(here.json), 0);
    overwrite(here.json, before[1], n[1]);
    assert_ok(infl_scores_load(&loaded, here.path));
    infl_scores_destroy(loaded);
    assert_ok(infl_scores_save(other, here.path, NULL));
    assert_ok(infl_scores_load(&loaded, here.path));
    assert_ok(infl_scores_describe(loaded, &info));
    ck_assert_int_eq(info.quantity, INFL_QUANTITY_SELF);
    infl_scores_destroy(loaded);
    infl_scores_destroy(one);
    infl_scores_destroy(other);
    fixture_destroy(&f);
    end_pair(&here);
}
END_TEST

/* Killed by an error between the moves, the old files are there again; nothing is left beside. */
START_TEST(test_place) {
    pair here = new_pair();
    static unsigned char found[MOST];
    for (int old = 0; old < 2; old++)
        for (int failing = 0; failing < 2; failing++) {
            infl_new_file files[2];
            if (old) {
                overwrite(here.npy, (const unsigned char *)"array", 5);
                overwrite(here.json, (const unsigned char *)"text", 4);
            }
            for (int i = 0; i < 2; i++) {
                assert_ok(infl_new_file_open(&files[i], i == 0 ? here.npy : here.json));
                assert_ok(infl_new_file_write(&files[i], "other", 3));
                assert_ok(infl_new_file_close(&files[i]));
            }
            char *end = files[failing].name + strlen(files[failing].name) - 1, name[400];
            snprintf(name, sizeof name, "%s", files[failing].name);
            *end = 'x'; /* a file that is not there cannot be moved */
            ck_assert_int_eq(infl_new_files_place(files, 2), INFL_E_IO);
            assert_says(failing == 0 ? here.npy : here.json);
            infl_new_file_end(&files[0]);
            infl_new_file_end(&files[1]);
            ck_assert_int_eq(unlink(name), 0);
            if (old) {
                ck_assert_uint_eq(contents(here.npy, found), 5);
                ck_assert_mem_eq(found, "array", 5);
                ck_assert_uint_eq(contents(here.json, found), 4);
                ck_assert_mem_eq(found, "text", 4);
            } else {
                ck_assert(access(here.npy, F_OK) != 0 && access(here.json, F_OK) != 0);
            }
        }
    end_pair(&here);
}
END_TEST

START_TEST(test_check) {
    fixture f = plain_fixture();
    infl_scores *scores = scores_of(&f, INFL_QUANTITY_SCORES, 1), *self = scores_of(&f, INFL_QUANTITY_SELF, 1);
    double *theta = problem_room(f.q, f.q->p);
    assert_ok(infl_scores_check(scores, f.q->objective, f.test));
    assert_ok(infl_scores_check(scores, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_scores_check(scores, f.test, NULL));
    assert_says("not of this train objective, but of other data");
    assert_fails(INFL_E_ARGUMENT, infl_scores_check(scores, f.q->objective, f.q->objective));
    assert_says("not of this test objective, but of other data");
    assert_fails(INFL_E_ARGUMENT, infl_scores_check(self, f.q->objective, f.test));
    assert_says("of training rows alone");
    assert_ok(infl_model_get_parameters(f.q->model, theta));
    theta[0] += 0.5;
    assert_ok(infl_model_set_parameters(f.q->model, theta));
    assert_fails(INFL_E_ARGUMENT, infl_scores_check(scores, f.q->objective, NULL));
    assert_says("but of another model");
    assert_fails(INFL_E_ARGUMENT, infl_scores_check(scores, NULL, f.test));
    infl_scores_destroy(scores);
    infl_scores_destroy(self);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_arguments) {
    fixture f = plain_fixture();
    infl_scores *mark = (infl_scores *)(void *)&f, *out = mark, *scores;
    infl_solve_report report;
    double bounds[1];
    size_t rows[1] = {99};
    assert_fails(INFL_E_ARGUMENT, infl_scores_create(NULL, f.influence, INFL_QUANTITY_SELF, NULL, NULL, 0, NULL, 0));
    assert_fails(INFL_E_ARGUMENT, infl_scores_create(&out, NULL, INFL_QUANTITY_SELF, NULL, NULL, 0, NULL, 0));
    assert_fails(INFL_E_ARGUMENT, infl_scores_create(&out, f.influence, (infl_quantity)4, NULL, NULL, 0, NULL, 0));
    assert_fails(INFL_E_ARGUMENT, infl_scores_create(&out, f.influence, INFL_QUANTITY_SCORES, NULL, NULL, 0, NULL, 0));
    assert_fails(INFL_E_ARGUMENT, infl_scores_create(&out, f.influence, INFL_QUANTITY_SELF, f.test, NULL, 0, NULL, 0));
    assert_fails(INFL_E_ARGUMENT, infl_scores_create(&out, f.influence, INFL_QUANTITY_SELF, NULL, NULL, 0, rows, 1));
    assert_fails(INFL_E_ARGUMENT,
                 infl_scores_create(&out, f.influence, INFL_QUANTITY_SCORES, f.test, rows, 1, NULL, 0));
    assert_fails(INFL_E_ARGUMENT, infl_influence_score_bounds(f.influence, &report, 0, NULL, 0, bounds));
    assert_fails(INFL_E_ARGUMENT, infl_influence_score_bounds(f.influence, NULL, 1, NULL, 0, bounds));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_bounds(f.influence, &report, 1, rows, 1, bounds));
    assert_fails(INFL_E_ARGUMENT, infl_influence_score_bounds(NULL, &report, 1, NULL, 0, bounds));
    assert_fails(INFL_E_ARGUMENT, infl_influence_score_bounds(f.influence, &report, 1, NULL, 0, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_bounds(NULL, &report, 1, NULL, 0, bounds));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_bounds(f.influence, NULL, 1, NULL, 0, bounds));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_bounds(f.influence, &report, 1, NULL, 0, NULL));
    ck_assert_ptr_eq(out, mark);
    scores = scores_of(&f, INFL_QUANTITY_SELF, 1);
    infl_scores_info info;
    assert_fails(INFL_E_ARGUMENT, infl_scores_describe(NULL, &info));
    assert_fails(INFL_E_ARGUMENT, infl_scores_describe(scores, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_scores_report(NULL, 0, &report));
    assert_fails(INFL_E_ARGUMENT, infl_scores_report(scores, 0, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_scores_bounds(NULL, bounds));
    assert_fails(INFL_E_ARGUMENT, infl_scores_top(NULL, 0, INFL_HELPFUL, 1, rows));
    assert_fails(INFL_E_ARGUMENT, infl_scores_top(scores, 0, INFL_HELPFUL, 1, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_scores_check(NULL, f.q->objective, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_scores_save(NULL, "/nowhere", NULL));
    assert_fails(INFL_E_ARGUMENT, infl_scores_load(NULL, "/nowhere"));
    assert_fails(INFL_E_ARGUMENT, infl_scores_report(scores, 5, &report));
    assert_fails(INFL_E_ARGUMENT, infl_scores_bounds(scores, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_scores_save(scores, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_scores_load(&out, NULL));
    ck_assert(infl_scores_values(NULL) == NULL && infl_scores_test_rows(NULL) == NULL);
    ck_assert(infl_scores_test_rows(scores) == NULL && infl_scores_train_rows(NULL) == NULL);
    infl_scores_destroy(scores);
    infl_scores_destroy(NULL);
    fixture_destroy(&f);
}
END_TEST

Suite *scores_suite(void);
Suite *scores_suite(void) {
    Suite *suite = suite_create("scores");
    add_case(suite, "scores/values", test_values, 1);
    add_case(suite, "scores/bounds", test_bounds, 1);
    add_case(suite, "scores/no-bounds", test_no_bounds, 1);
    add_case(suite, "scores/top", test_top, 1);
    add_case(suite, "scores/round-trip", test_round_trip, 1);
    add_case(suite, "scores/some-parameters", test_some_parameters, 1);
    add_case(suite, "scores/callers-own", test_callers_own, 1);
    add_case(suite, "scores/damage", test_damage, 1);
    add_case(suite, "scores/mismatch", test_mismatch, 1);
    add_case(suite, "scores/missing", test_missing, 1);
    add_case(suite, "scores/wrong-values", test_wrong_values, 1);
    add_case(suite, "scores/wrong-texts", test_wrong_texts, 1);
    add_case(suite, "scores/other-manifests", test_other_manifests, 1);
    add_case(suite, "scores/wrong-arrays", test_wrong_arrays, 1);
    add_case(suite, "scores/overwrite", test_overwrite, 1);
    add_case(suite, "scores/place", test_place, 1);
    add_case(suite, "scores/check", test_check, 1);
    add_case(suite, "scores/arguments", test_arguments, 1);
    return suite;
}

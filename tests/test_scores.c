/* Numbers that know what they are: descriptions, bounds, pairs of files. */
#include <dirent.h>
#include <float.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "files.h"
#include "linear.h"
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
    options.label = "\xff";
    assert_fails(INFL_E_ARGUMENT, infl_scores_save(other, here.path, &options));
    options.label = NULL;
    options.precision = 2;
    assert_fails(INFL_E_ARGUMENT, infl_scores_save(other, here.path, &options));
    ck_assert_int_eq(unlink(here.json), 0);
    ck_assert_int_eq(mkdir(here.json, 0777), 0); /* a place that cannot be taken */
    assert_fails(INFL_E_IO, infl_scores_save(other, here.path, NULL));
    ck_assert_uint_eq(contents(here.npy, after[0]), n[0]);
    ck_assert_mem_eq(after[0], before[0], n[0]);
    ck_assert_int_eq(rmdir(here.json), 0);
    assert_fails(INFL_E_IO, infl_scores_save(other, "/nowhere/at/all", NULL));
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
    ck_assert_ptr_eq(out, mark);
    scores = scores_of(&f, INFL_QUANTITY_SELF, 1);
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
    add_case(suite, "scores/callers-own", test_callers_own, 1);
    add_case(suite, "scores/damage", test_damage, 1);
    add_case(suite, "scores/mismatch", test_mismatch, 1);
    add_case(suite, "scores/overwrite", test_overwrite, 1);
    add_case(suite, "scores/place", test_place, 1);
    add_case(suite, "scores/check", test_check, 1);
    add_case(suite, "scores/arguments", test_arguments, 1);
    return suite;
}

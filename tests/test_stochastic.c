/* What estimates over some of the rows promise: LiSSA and CG over batches, Lanczos over samples, the automatic damping. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "curvature.h"
#include "memory.h"
#include "random.h"
#include "spectral.h"
#include "suites.h"

enum { ROWS = 1600, INPUTS = 8, CLASSES = 3, P = CLASSES * (INPUTS + 1), K = 3 };

/* Softmax regression on random rows: convex, so its Hessian with decay on every parameter is positive definite. */
typedef struct regression {
    infl_dataset *data;
    infl_model *model;
    infl_objective *objective;
    double sides[K * P]; /* gradients of three rows */
} regression;

static regression regression_create(size_t n, infl_precision precision, int threads) {
    regression s = {0};
    static const size_t units[] = {CLASSES};
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    double *features = spectral_normals(n * INPUTS, 5);
    int32_t *labels = calloc(n, sizeof *labels);
    ck_assert_ptr_nonnull(labels);
    for (size_t i = 0; i < n; i++) {
        features[i * INPUTS] *= 3; /* some conditioning */
        labels[i] = (int32_t)infl_random_below(9, 1, i, CLASSES);
    }
    spec.n_rows = n;
    spec.n_features = INPUTS;
    spec.features = features;
    spec.labels = labels;
    spec.n_classes = CLASSES;
    options.decay = 0.05;
    options.decay_scope = INFL_DECAY_ALL;
    options.threads = threads;
    assert_ok(infl_dataset_create(&s.data, &spec));
    assert_ok(infl_model_create_mlp(&s.model, precision, INPUTS, units, 1, INFL_TANH, INFL_INIT_GLOROT, 3));
    assert_ok(infl_objective_create(&s.objective, s.model, &loss, s.data, &options));
    ck_assert_uint_eq(infl_objective_parameters(s.objective), P);
    static const size_t rows[K] = {0, 7, 31};
    assert_ok(infl_objective_row_gradients(s.objective, rows, K, s.sides));
    free(features);
    free(labels);
    return s;
}

static void regression_destroy(regression *s) {
    infl_objective_destroy(s->objective);
    infl_model_destroy(s->model);
    infl_dataset_destroy(s->data);
}

/* ½ a_i θ_j² in row i, j = i mod p. The Hessian is diagonal, and a batch sees few rows of each element. */
typedef struct weights {
    size_t p;
    const double *a;
} weights;

static int weighted_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    const weights *w = context;
    for (size_t i = 0; i < n; i++)
        losses[i] = 0.5 * w->a[rows[i]] * theta[rows[i] % w->p] * theta[rows[i] % w->p];
    return 0;
}

static int weighted_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *gradients) {
    const weights *w = context;
    memset(gradients, 0, n * w->p * sizeof *gradients);
    for (size_t i = 0; i < n; i++)
        gradients[i * w->p + rows[i] % w->p] = w->a[rows[i]] * theta[rows[i] % w->p];
    return 0;
}

static int weighted_products(void *context, const double *theta, const size_t *rows, size_t n, const double *vectors,
                             size_t k, double *products) {
    const weights *w = context;
    (void)theta;
    memset(products, 0, k * w->p * sizeof *products);
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < n; i++)
            products[j * w->p + rows[i] % w->p] += w->a[rows[i]] * vectors[j * w->p + rows[i] % w->p];
    return 0;
}

static infl_objective *weighted_objective(weights *w, size_t n) {
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    infl_objective *objective;
    double *theta = spectral_normals(w->p, 2);
    custom.n_rows = n;
    custom.n_parameters = w->p;
    custom.context = w;
    custom.losses = weighted_losses;
    custom.row_gradients = weighted_gradients;
    custom.hessian_products = weighted_products;
    assert_ok(infl_objective_create_custom(&objective, &custom, theta, NULL));
    free(theta);
    return objective;
}

static infl_status create_and_solve(infl_curvature *curvature, const infl_inverse_options *options, const double *b,
                                    size_t k, double *x, infl_solve_report *reports) {
    infl_inverse *inverse = NULL;
    infl_status status = infl_inverse_create(&inverse, curvature, options);
    if (status == INFL_OK)
        status = infl_inverse_solve(inverse, b, k, x, reports);
    infl_inverse_destroy(inverse);
    return status;
}

static size_t steps_seen; /* of solves */

static int count_steps(void *context, const char *stage, size_t done, size_t total) {
    (void)context;
    ck_assert_uint_le(done, total);
    steps_seen += strcmp(stage, "solve") == 0;
    return 0;
}

static int stop_at_the_fifth(void *context, const char *stage, size_t done, size_t total) {
    return count_steps(context, stage, done, total) || steps_seen == 5;
}

static double error_of(const double *x, const double *truth, size_t n) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        difference += (x[i] - truth[i]) * (x[i] - truth[i]);
        norm += truth[i] * truth[i];
    }
    return sqrt(difference / norm);
}

/* ‖x − A⁻¹b‖ ≤ κ·residual·‖x‖, κ of the curvature as it is. */
static double condition_of(infl_curvature *curvature) {
    double values[P];
    assert_ok(infl_curvature_eigen(curvature, values, NULL));
    ck_assert_double_gt(values[0], 0);
    return values[P - 1] / values[0];
}

/* Refining reaches any tolerance over batches of any size, which the plain recursion does not in as many steps. */
START_TEST(test_refining) {
    regression s = regression_create(ROWS, INFL_F64, 1);
    infl_curvature *curvature;
    double truth[K * P], x[K * P], again[K * P];
    infl_solve_report reports[K];
    infl_inverse_options exact = INFL_INVERSE_OPTIONS_INIT, options = INFL_INVERSE_OPTIONS_INIT;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 0.01));
    double condition = condition_of(curvature);
    assert_ok(create_and_solve(curvature, &exact, s.sides, K, truth, NULL));
    options.method = INFL_LISSA;
    options.tolerance = 1e-9;
    static const size_t batches[] = {20, 100, 800};
    options.lissa_batch = batches[_i];
    assert_ok(create_and_solve(curvature, &options, s.sides, K, x, reports));
    for (size_t j = 0; j < K; j++) {
        double error = error_of(x + j * P, truth + j * P, P);
        ck_assert_msg(error <= condition * 1e-9, "batch %zu: an error of %g", batches[_i], error);
        ck_assert(reports[j].converged && reports[j].batch == (double)batches[_i] && reports[j].scale > 0);
        ck_assert(isnan(reports[j].deviation));
        /* each step is its share of the rows, and each look, every 50 steps or two passes, a product; one certifies */
        size_t check = 2 * (ROWS / batches[_i]) > 50 ? 2 * (ROWS / batches[_i]) : 50;
        double looks = (double)(reports[j].iterations / check);
        double products = (double)reports[j].iterations * (double)batches[_i] / ROWS + looks + 1;
        ck_assert_uint_eq(reports[j].iterations % check, 0);
        ck_assert_msg(fabs(reports[j].products - products) < 1e-9 * products, "%g products, not %g",
                      reports[j].products, products);
    }
    options.max_iterations = reports[0].iterations;
    options.lissa_plain = 1;
    options.accept_unconverged = 1;
    assert_ok(create_and_solve(curvature, &options, s.sides, 1, again, reports));
    ck_assert_msg(reports[0].residual > 1e-5, "plain over batches reaches %g", reports[0].residual);
    options.lissa_plain = 0;
    options.max_iterations = 0;
    assert_ok(create_and_solve(curvature, &options, s.sides, K, again, NULL));
    assert_same_bits(x, again, K * P, "the same seed");
    options.seed = 2;
    assert_ok(create_and_solve(curvature, &options, s.sides, K, again, NULL));
    ck_assert(memcmp(x, again, sizeof x) != 0);
    infl_curvature_destroy(curvature);
    regression_destroy(&s);
}
END_TEST

/* A step over batches drops what it gained nothing by: whatever happens, the answer is no worse than 0. */
START_TEST(test_depth) {
    regression s = regression_create(ROWS, INFL_F64, 1);
    infl_curvature *curvature;
    double x[P], last = 1;
    infl_solve_report report;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 0.01));
    options.method = INFL_LISSA;
    options.accept_unconverged = 1;
    options.tolerance = 1e-12;
    options.lissa_batch = 20;
    static const size_t depths[] = {1, 10, 100, 400};
    for (size_t i = 0; i < 4; i++) {
        options.max_iterations = depths[i];
        assert_ok(create_and_solve(curvature, &options, s.sides, 1, x, &report));
        ck_assert_msg(report.residual < last, "%zu steps leave %g", depths[i], report.residual);
        ck_assert_uint_eq(report.iterations, depths[i]);
        last = report.residual;
    }
    options.accept_unconverged = 0;
    ck_assert_int_eq(create_and_solve(curvature, &options, s.sides, 1, x, &report), INFL_E_UNCONVERGED);
    ck_assert_msg(strstr(infl_last_error(), "raise max_iterations") != NULL, "%s", infl_last_error());
    infl_curvature_destroy(curvature);
    regression_destroy(&s);
}
END_TEST

static double batch_taken(infl_curvature *curvature, const double *b, size_t asked) {
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    infl_solve_report report;
    double x[P];
    options.method = INFL_LISSA;
    options.lissa_batch = asked;
    assert_ok(create_and_solve(curvature, &options, b, 1, x, &report));
    ck_assert(report.converged);
    return report.batch;
}

/* A sixteenth of the rows, all of few, and all where the matrix is formed. */
START_TEST(test_automatic_batch) {
    static const struct { size_t n, batch; } cases[] = {{1600, 100}, {1024, 64}, {1023, 1023}, {40, 40}};
    regression s = regression_create(cases[_i].n, INFL_F64, 1);
    infl_curvature *curvature;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 0.01));
    ck_assert_double_eq(batch_taken(curvature, s.sides, 0), (double)cases[_i].batch);
    ck_assert_double_eq(batch_taken(curvature, s.sides, INFL_ALL_ROWS), (double)cases[_i].n);
    ck_assert_double_eq(batch_taken(curvature, s.sides, 30), 30);
    assert_ok(infl_curvature_form(curvature, NULL, NULL));
    ck_assert_double_eq(batch_taken(curvature, s.sides, 0), (double)cases[_i].n);
    infl_sample sample;
    assert_ok(infl_curvature_sample(curvature, 20, 1, &sample));
    ck_assert(sample.rows == NULL && sample.n == cases[_i].n);
    infl_curvature_destroy(curvature);
    regression_destroy(&s);
}
END_TEST

/* One row in twenty has nearly all the weight: the largest element of the diagonal Hessian over all n rows. */
static double uneven_weights(double *a, size_t n, double *diagonal, size_t elements) {
    double largest = 0;
    memset(diagonal, 0, elements * sizeof *diagonal);
    for (size_t i = 0; i < n; i++) {
        a[i] = infl_random_below(4, 1, i, 20) == 0 ? 20 : 0.1;
        diagonal[i % elements] += a[i] / (double)n;
    }
    for (size_t i = 0; i < elements; i++)
        largest = fmax(largest, diagonal[i]);
    return largest;
}

/*
 * With a scale that does for all rows but not for a batch's largest eigenvalue the
 * recursion runs away: a batch of the library's choice grows until it does not, one that was given is named.
 */
START_TEST(test_growth) {
    enum { N = 1600, ELEMENTS = 16 };
    double a[N], *b = spectral_normals(ELEMENTS, 6), x[ELEMENTS], diagonal[ELEMENTS];
    double largest = uneven_weights(a, N, diagonal, ELEMENTS);
    weights w = {ELEMENTS, a};
    infl_objective *objective = weighted_objective(&w, N);
    infl_curvature *curvature;
    infl_solve_report report;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_LISSA;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.01 * largest));
    options.lissa_scale = 1.1 * largest;
    assert_ok(create_and_solve(curvature, &options, b, 1, x, &report));
    ck_assert_msg(report.batch > N / 16, "a batch of %g", report.batch);
    for (size_t i = 0; i < ELEMENTS; i++) {
        double truth = b[i] / (diagonal[i] + 0.01 * largest);
        ck_assert_msg(fabs(x[i] - truth) <= 0.01 * sqrt(ELEMENTS) * 10 * fabs(truth) + 0.05, "%g, not %g", x[i], truth);
    }
    options.lissa_batch = N / 16;
    fill_sentinel(x, ELEMENTS);
    ck_assert_int_eq(create_and_solve(curvature, &options, b, 1, x, &report), INFL_E_DIVERGED);
    ck_assert(all_sentinel(x, ELEMENTS));
    ck_assert_msg(strstr(infl_last_error(), "or lissa_batch") != NULL, "%s", infl_last_error());
    options.accept_unconverged = 1; /* cut off after three looks: what gained nothing was dropped */
    options.lissa_check = 20;
    options.max_iterations = 60;
    assert_ok(create_and_solve(curvature, &options, b, 1, x, &report));
    ck_assert_msg(report.residual <= 1, "a residual of %g", report.residual);
    options.accept_unconverged = 0;
    options.lissa_check = options.max_iterations = 0;
    options.lissa_scale = 0; /* found over batches as well */
    assert_ok(create_and_solve(curvature, &options, b, 1, x, &report));
    ck_assert(report.batch == N / 16 && report.scale > 1.5 * largest);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    free(b);
}
END_TEST

/*
 * Products that overflow before the residual is looked at: of a scale that is far too small for all rows an error, of one
 * that is for batches alone only a reason for larger ones.
 */
START_TEST(test_overflow) {
    enum { N = 1600, ELEMENTS = 16 };
    double a[N], *b = spectral_normals(K * ELEMENTS, 6), x[K * ELEMENTS], diagonal[ELEMENTS];
    double largest = uneven_weights(a, N, diagonal, ELEMENTS);
    weights w = {ELEMENTS, a};
    infl_objective *objective = weighted_objective(&w, N);
    infl_curvature *curvature;
    infl_solve_report reports[K];
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.01 * largest));
    static const struct {
        double scale; /* of the largest eigenvalue */
        size_t batch, check;
        int plain;
    } cases[] = {
        {1e-10, 100, 50, 0}, {1e-10, 0, 50, 0}, {1e-10, 100, 50, 1}, {1e-10, INFL_ALL_ROWS, 50, 0},
        {3e-308, 100, 1, 0}, /* by the product of the look itself */
        {3e-308, 0, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        options.method = INFL_LISSA;
        options.lissa_scale = cases[i].scale * largest;
        options.lissa_batch = cases[i].batch;
        options.lissa_check = cases[i].check;
        options.lissa_plain = cases[i].plain;
        fill_sentinel(x, K * ELEMENTS);
        infl_status status = create_and_solve(curvature, &options, b, K, x, reports);
        ck_assert_msg(status == INFL_E_DIVERGED, "case %zu: %s", i, infl_status_name(status));
        ck_assert_msg(strstr(infl_last_error(), "raise lissa_scale") != NULL &&
                          strstr(infl_last_error(), "residual inf") != NULL,
                      "case %zu: %s", i, infl_last_error());
        ck_assert_msg((strstr(infl_last_error(), "or lissa_batch") != NULL) == (cases[i].batch == 100), "case %zu: %s",
                      i, infl_last_error());
        ck_assert(all_sentinel(x, K * ELEMENTS));
    }
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_LISSA;
    options.lissa_scale = 1.1 * largest;
    options.lissa_check = 4000; /* 1.2 to that power */
    options.max_iterations = 40000;
    assert_ok(create_and_solve(curvature, &options, b, K, x, reports));
    for (size_t j = 0; j < K; j++) {
        ck_assert_msg(reports[j].batch > N / 16, "a batch of %g", reports[j].batch);
        ck_assert(reports[j].converged);
    }
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    free(b);
}
END_TEST

/* A negative eigenvalue so small that no look is far worse than the best: once the batch has grown to all rows there is
 * no chance any more, and it is told instead of tried again. */
START_TEST(test_growth_indefinite) {
    enum { N = 1600, ELEMENTS = 16 };
    double a[N], *b = spectral_normals(ELEMENTS, 6), x[ELEMENTS];
    for (size_t i = 0; i < N; i++)
        a[i] = i % ELEMENTS == 0 ? -0.02 : 1;
    weights w = {ELEMENTS, a};
    infl_objective *objective = weighted_objective(&w, N);
    infl_curvature *curvature;
    infl_solve_report report;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_LISSA;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0));
    for (options.accept_unconverged = 0; options.accept_unconverged < 2; options.accept_unconverged++) {
        steps_seen = 0;
        options.progress = count_steps;
        ck_assert_int_eq(create_and_solve(curvature, &options, b, 1, x, &report), INFL_E_INDEFINITE);
        ck_assert_msg(strstr(infl_last_error(), "smallest eigenvalue is -0.00125") != NULL, "%s", infl_last_error());
        ck_assert_msg(steps_seen < 5000, "after %zu steps", steps_seen); /* the depth is 20,000 */
    }
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    free(b);
}
END_TEST

/* Over all rows a tolerance below rounding ends when nothing is gained any more, and not with the depth. */
START_TEST(test_growth_rounding) {
    regression s = regression_create(ROWS, INFL_F32, 1);
    infl_curvature *curvature;
    double x[P];
    infl_solve_report report;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_LISSA;
    options.tolerance = 1e-15;
    options.accept_unconverged = 1;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 1));
    assert_ok(create_and_solve(curvature, &options, s.sides, 1, x, &report));
    ck_assert_msg(report.residual < 1e-5 && report.iterations < 20000, "%g after %zu iterations", report.residual,
                  report.iterations);
    options.accept_unconverged = 0;
    ck_assert_int_eq(create_and_solve(curvature, &options, s.sides, 1, x, &report), INFL_E_UNCONVERGED);
    ck_assert_msg(strstr(infl_last_error(), "rounding is in the way") != NULL, "%s", infl_last_error());
    infl_curvature_destroy(curvature);
    regression_destroy(&s);
}
END_TEST

/* The scale covers ten random batches, whose largest eigenvalue may lie along a direction that all rows hardly bend in:
 * few rows of one element have all its weight. */
START_TEST(test_scale_of_batches) {
    enum { N = 3200, ELEMENTS = 16, BATCH = 128, PROBES = 10 };
    double *a = malloc(N * sizeof *a), *b = spectral_normals(ELEMENTS, 6), x[ELEMENTS];
    for (size_t i = 0; i < N; i++)
        a[i] = i % ELEMENTS == 0 ? 1.3 : i % ELEMENTS == 1 ? (i / ELEMENTS % 40 == 0 ? 40 : 0) : 0.01;
    weights w = {ELEMENTS, a};
    infl_objective *objective = weighted_objective(&w, N);
    infl_curvature *curvature;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_LISSA;
    options.lissa_batch = BATCH;
    options.max_iterations = 1;
    options.accept_unconverged = 1;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.001));
    for (options.seed = 1; options.seed <= 20; options.seed++) {
        infl_solve_report report;
        double largest = 0;
        for (size_t probe = 0; probe < PROBES; probe++) {
            double diagonal[ELEMENTS] = {0};
            for (size_t i = 0; i < BATCH; i++) {
                size_t row = (size_t)infl_random_below(options.seed, INFL_STREAM_LISSA | (UINT64_MAX << 8),
                                                       probe * BATCH + i, N);
                diagonal[row % ELEMENTS] += a[row] / BATCH;
            }
            for (size_t j = 0; j < ELEMENTS; j++)
                largest = fmax(largest, diagonal[j] + 0.001);
        }
        infl_status status = create_and_solve(curvature, &options, b, 1, x, &report);
        ck_assert(status == INFL_OK || status == INFL_E_DIVERGED);
        if (status == INFL_OK)
            ck_assert_msg(report.scale >= 1.1 * 0.99 * largest && report.scale <= 1.1 * 1.15 * largest,
                          "seed %d: a scale of %g for %g", (int)options.seed, report.scale, largest);
    }
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    free(a);
    free(b);
}
END_TEST

/* Where only rows bend that are not in the sample, the scale is found all the same. */
START_TEST(test_scale_of_few) {
    enum { N = 5000 };
    double *a = calloc(N, sizeof *a), b = 1, x;
    a[N - 1] = 2;
    weights w = {1, a};
    infl_objective *objective = weighted_objective(&w, N);
    infl_curvature *curvature;
    infl_solve_report report;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_LISSA;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0));
    assert_ok(create_and_solve(curvature, &options, &b, 1, &x, &report));
    ck_assert_double_eq_tol(x, N / 2.0, 1e-3 * N / 2.0);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    free(a);
}
END_TEST

/* Small batches of many rows: two passes are more steps than the depth has, and it looks ten times all the same. A
 * number of steps that nobody lives to see can still be watched and cancelled. */
START_TEST(test_looks) {
    enum { N = 6000, ELEMENTS = 6 };
    double *a = malloc(N * sizeof *a), *b = spectral_normals(ELEMENTS, 6), x[ELEMENTS];
    for (size_t i = 0; i < N; i++)
        a[i] = 0.5 + infl_random_uniform(4, 1, i);
    weights w = {ELEMENTS, a};
    infl_objective *objective = weighted_objective(&w, N);
    infl_curvature *curvature;
    infl_solve_report report;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_LISSA;
    options.lissa_batch = 5;
    options.max_iterations = 2000;
    options.accept_unconverged = 1;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.05));
    assert_ok(create_and_solve(curvature, &options, b, 1, x, &report));
    ck_assert_uint_eq(report.iterations % 200, 0);
    double steps = (double)report.iterations, products = steps * 5 / N + steps / 200 + 1;
    ck_assert_msg(fabs(report.products - products) <= 1e-9 * products, "%g products, not %g", report.products,
                  products);
    options.progress = stop_at_the_fifth;
    options.lissa_repeats = 2;
    static const size_t depths[] = {SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX};
    for (size_t i = 0; i < 3; i++) {
        options.max_iterations = depths[i];
        steps_seen = 0;
        ck_assert_int_eq(create_and_solve(curvature, &options, b, 1, x, &report), INFL_E_CANCELLED);
        ck_assert_uint_eq(steps_seen, 5);
    }
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    free(a);
    free(b);
}
END_TEST

/* The spread over repeats predicts the spread of their mean over seeds. */
START_TEST(test_deviation) {
    enum { SEEDS = 24, REPEATS = 8 };
    regression s = regression_create(ROWS, INFL_F64, 1);
    infl_curvature *curvature;
    double x[SEEDS][P], mean[P] = {0}, squares = 0, said = 0;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 0.01));
    options.method = INFL_LISSA;
    options.accept_unconverged = 1;
    options.lissa_plain = 1;
    options.lissa_batch = 40;
    options.lissa_repeats = REPEATS;
    options.max_iterations = 200;
    for (size_t i = 0; i < SEEDS; i++) {
        infl_solve_report report;
        options.seed = 100 + i;
        assert_ok(create_and_solve(curvature, &options, s.sides, 1, x[i], &report));
        ck_assert(report.deviation > 0 && report.iterations == REPEATS * 200);
        said += report.deviation / SEEDS;
        for (size_t j = 0; j < P; j++)
            mean[j] += x[i][j] / SEEDS;
    }
    double norm = 0;
    for (size_t j = 0; j < P; j++)
        norm += mean[j] * mean[j];
    for (size_t i = 0; i < SEEDS; i++)
        for (size_t j = 0; j < P; j++)
            squares += (x[i][j] - mean[j]) * (x[i][j] - mean[j]) / (SEEDS - 1);
    double seen = sqrt(squares / norm);
    /* 23 and 24 × 7 differences in some 20 directions: a few per cent each; the scale, found per seed, moves little */
    ck_assert_msg(fabs(said / seen - 1) < 0.3, "said %g, seen %g", said, seen);
    infl_curvature_destroy(curvature);
    regression_destroy(&s);
}
END_TEST

/* CG on 400 of 1,600 rows solves for all of them, and on ten; cut off it says what to raise. */
START_TEST(test_cg_batch) {
    regression s = regression_create(ROWS, INFL_F64, 1);
    infl_curvature *curvature;
    double truth[K * P], x[K * P];
    infl_solve_report reports[K];
    infl_inverse_options exact = INFL_INVERSE_OPTIONS_INIT, options = INFL_INVERSE_OPTIONS_INIT;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 0.01));
    double condition = condition_of(curvature);
    assert_ok(create_and_solve(curvature, &exact, s.sides, K, truth, NULL));
    options.method = INFL_CG;
    options.tolerance = 1e-8;
    options.cg_batch = 400;
    assert_ok(create_and_solve(curvature, &options, s.sides, K, x, reports));
    for (size_t j = 0; j < K; j++) {
        double error = error_of(x + j * P, truth + j * P, P);
        ck_assert_msg(error <= condition * 1e-8, "an error of %g", error);
        ck_assert(reports[j].batch == 400 && reports[j].converged);
        ck_assert_msg(reports[j].products < 0.6 * (double)reports[j].iterations + 2, "%g products in %zu iterations",
                      reports[j].products, reports[j].iterations);
    }
    options.cg_batch = ROWS + 5; /* all */
    assert_ok(create_and_solve(curvature, &options, s.sides, 1, x, reports));
    ck_assert_double_eq(reports[0].batch, ROWS);
    options.cg_batch = 10; /* little like all, and enough all the same */
    assert_ok(create_and_solve(curvature, &options, s.sides, 1, x, reports));
    ck_assert_msg(error_of(x, truth, P) <= condition * 1e-8, "%g", error_of(x, truth, P));
    options.max_iterations = 12;
    fill_sentinel(x, P);
    ck_assert_int_eq(create_and_solve(curvature, &options, s.sides, 1, x, reports), INFL_E_UNCONVERGED);
    ck_assert(all_sentinel(x, P));
    ck_assert_msg(strstr(infl_last_error(), "raise cg_batch") != NULL, "%s", infl_last_error());
    options.accept_unconverged = 1;
    for (size_t most = 1; most <= 12; most += 11) { /* the direction there is when they are used up is taken too */
        options.max_iterations = most;
        assert_ok(create_and_solve(curvature, &options, s.sides, 1, x, reports));
        ck_assert(!reports[0].converged && reports[0].iterations == most && reports[0].residual < 1);
    }
    infl_curvature_destroy(curvature);
    regression_destroy(&s);
}
END_TEST

/*
 * A row that bends a million times as much as the others is in no batch, and directions make residuals grow. What is
 * returned is the best x all the same, which is never worse than 0; and what is reported of the spectrum is of all rows.
 */
START_TEST(test_cg_batch_best) {
    enum { N = 1600, ELEMENTS = 16 };
    double a[N], *b = spectral_normals(ELEMENTS, 6), x[ELEMENTS], largest = 0.1;
    for (size_t i = 0; i < N; i++)
        a[i] = i == 800 ? 1e6 : 1;
    largest += (1e6 + (double)(N / ELEMENTS - 1)) / N;
    weights w = {ELEMENTS, a};
    infl_objective *objective = weighted_objective(&w, N);
    infl_curvature *curvature;
    infl_solve_report report;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_CG;
    options.cg_batch = 64;
    options.accept_unconverged = 1;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.1));
    for (size_t most = 1; most <= 40; most++) {
        options.max_iterations = most;
        assert_ok(create_and_solve(curvature, &options, b, 1, x, &report));
        ck_assert_msg(report.residual <= 1, "%zu iterations leave %g", most, report.residual);
        ck_assert(isnan(report.lambda_min) && report.lambda_max <= largest * (1 + 1e-9));
    }
    ck_assert(report.lambda_max > 0.5 * largest && report.rounding > 0);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    free(b);
}
END_TEST

/* One parameter: the second direction is a multiple of the first, and nothing is left of it. That is no curvature. */
START_TEST(test_cg_batch_one_parameter) {
    enum { N = 64 };
    double a[N], b = 0.7, x;
    for (uint64_t seed = 0; seed < 100; seed++) {
        weights w = {1, a};
        infl_curvature *curvature;
        infl_solve_report report;
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        for (size_t i = 0; i < N; i++)
            a[i] = 0.2 + infl_random_uniform(seed, 1, i);
        infl_objective *objective = weighted_objective(&w, N);
        options.method = INFL_CG;
        options.cg_batch = 20;
        options.tolerance = 1e-17;
        options.accept_unconverged = 1;
        assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.05));
        assert_ok(create_and_solve(curvature, &options, &b, 1, &x, &report));
        ck_assert_msg(report.residual <= 4 * DBL_EPSILON, "%g", report.residual);
        infl_curvature_destroy(curvature);
        infl_objective_destroy(objective);
    }
}
END_TEST

/* The defaults are for the precision: Gauss–Newton with the damping that the library finds is solved in f32 too. */
START_TEST(test_cg_default) {
    regression s = regression_create(ROWS, _i == 0 ? INFL_F32 : INFL_F64, 1);
    infl_curvature *curvature;
    double x[K * P];
    infl_solve_report reports[K];
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_CG;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_GAUSS_NEWTON, INFL_DAMPING_AUTO));
    for (size_t batch = 0; batch <= 400; batch += 400) {
        options.cg_batch = batch;
        assert_ok(create_and_solve(curvature, &options, s.sides, K, x, reports));
        for (size_t j = 0; j < K; j++)
            ck_assert_double_le(reports[j].residual, _i == 0 ? 1e-4 : 1e-10);
    }
    options.cg_batch = 0;
    options.tolerance = 1e-25; /* rounding ends it long before the budget does, and the sentence says so */
    ck_assert_int_eq(create_and_solve(curvature, &options, s.sides, K, x, reports), INFL_E_UNCONVERGED);
    ck_assert_msg(strstr(infl_last_error(), "rounding is in the way") != NULL, "%s", infl_last_error());
    options.tolerance = 0;
    options.max_iterations = 2;
    ck_assert_int_eq(create_and_solve(curvature, &options, s.sides, K, x, reports), INFL_E_UNCONVERGED);
    ck_assert_msg(strstr(infl_last_error(), "raise max_iterations") != NULL, "%s", infl_last_error());
    infl_curvature_destroy(curvature);
    regression_destroy(&s);
}
END_TEST

/* Half the rows bend the other way: all are positive definite, a batch need not be. */
START_TEST(test_cg_batch_indefinite) {
    enum { N = 1600, ELEMENTS = 16 };
    double a[N], *b = spectral_normals(ELEMENTS, 6), x[ELEMENTS];
    for (size_t i = 0; i < N; i++)
        a[i] = 1 + 10 * ((i / ELEMENTS) % 2 == 0 ? 1.0 : -1.0);
    weights w = {ELEMENTS, a};
    infl_objective *objective = weighted_objective(&w, N);
    infl_curvature *curvature;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_CG;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.1));
    assert_ok(create_and_solve(curvature, &options, b, 1, x, NULL));
    options.cg_batch = 64;
    ck_assert_int_eq(create_and_solve(curvature, &options, b, 1, x, NULL), INFL_E_INDEFINITE);
    const char *at = strstr(infl_last_error(), "a damping of ");
    double damping;
    ck_assert_msg(strstr(infl_last_error(), "cg_batch of 64 rows, raise that or") != NULL && at != NULL &&
                      sscanf(at, "a damping of %lf", &damping) == 1,
                  "%s", infl_last_error());
    options.accept_unconverged =
        1; /* with that damping the batch is definite; how well it stands for all is another matter */
    assert_ok(infl_curvature_set_damping(curvature, damping));
    assert_ok(create_and_solve(curvature, &options, b, 1, x, NULL));
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    free(b);
}
END_TEST

/* One row bends the other way, more than all others together: the batch that does not have it is definite. */
START_TEST(test_cg_batch_too_good) {
    enum { N = 1600, ELEMENTS = 16, BAD = 800 };
    double a[N], *b = spectral_normals(ELEMENTS, 6), x[ELEMENTS];
    for (size_t i = 0; i < N; i++)
        a[i] = i == BAD ? -1000 : 1;
    weights w = {ELEMENTS, a};
    infl_objective *objective = weighted_objective(&w, N);
    infl_curvature *curvature;
    infl_sample batch;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_CG;
    options.cg_batch = 64;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.1));
    assert_ok(infl_curvature_sample(curvature, options.cg_batch, options.seed, &batch));
    for (size_t i = 0; i < batch.n; i++)
        ck_assert_uint_ne(batch.rows[i], BAD);
    infl_release(batch.rows);
    fill_sentinel(x, ELEMENTS);
    ck_assert_int_eq(create_and_solve(curvature, &options, b, 1, x, NULL), INFL_E_INDEFINITE);
    ck_assert(all_sentinel(x, ELEMENTS));
    const char *at = strstr(infl_last_error(), "a damping of ");
    double damping;
    ck_assert_msg(strstr(infl_last_error(), "is not positive definite (CG met curvature -") != NULL && at != NULL &&
                      sscanf(at, "a damping of %lf", &damping) == 1,
                  "%s", infl_last_error());
    /* the smallest eigenvalue is (99 − 1000)/1600 */
    ck_assert_msg(damping > 901.0 / N && damping < 1.1 * 901 / N, "%s", infl_last_error());
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    free(b);
}
END_TEST

/* What is over random rows is a function of the seed, not of the threads. */
START_TEST(test_threads) {
    double first[2][K * P], damping[2];
    for (int threads = 1; threads <= 3; threads++) {
        regression s = regression_create(ROWS, _i == 0 ? INFL_F32 : INFL_F64, threads);
        infl_curvature *curvature;
        double x[K * P];
        assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, INFL_DAMPING_AUTO));
        assert_ok(infl_curvature_set_damping(curvature, infl_curvature_damping(curvature) + 0.01));
        if (threads == 1)
            damping[0] = infl_curvature_damping(curvature);
        damping[1] = infl_curvature_damping(curvature);
        assert_same_bits(&damping[1], &damping[0], 1, "damping on %d threads", threads);
        for (int i = 0; i < 2; i++) {
            infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
            options.method = i == 0 ? INFL_LISSA : INFL_CG;
            options.tolerance = 1e-3;
            options.cg_batch = 500;
            assert_ok(create_and_solve(curvature, &options, s.sides, K, x, NULL));
            if (threads == 1)
                memcpy(first[i], x, sizeof x);
            assert_same_bits(x, first[i], K * P, "method %d on %d threads", i, threads);
        }
        infl_curvature_destroy(curvature);
        regression_destroy(&s);
    }
}
END_TEST

/* The least λ with λmin + λ ≥ (m + λ)/500, m the largest magnitude. */
static double least_damping(const double *values, size_t p) {
    double magnitude = fmax(fabs(values[0]), fabs(values[p - 1]));
    return fmax(0, (magnitude / 500 - values[0]) / (1 - 1.0 / 500));
}

START_TEST(test_damping) {
    enum { N = 40 };
    static const double lowest[] = {-2, -1e-4, 0, 1e-4, 0.5, -30};
    double values[N], theta[P];
    values[0] = lowest[_i];
    for (size_t i = 1; i < N; i++)
        values[i] = 0.5 + 9.5 * (double)i / (N - 1);
    spectral a = spectral_create(values, N, 3);
    double expected = least_damping(values, N), magnitude = fmax(10, fabs(values[0])), found;
    infl_curvature *curvature = NULL;
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, N, INFL_DAMPING_AUTO));
    found = infl_curvature_damping(curvature);
    /* Lanczos stops at errors of a five-hundredth of the magnitude, which are added on the safe side */
    ck_assert_msg(found >= expected * (1 - 1e-12) && found <= expected + 4.1e-3 * magnitude, "%g for %g", found,
                  expected);
    ck_assert(lowest[_i] < 0.5 || found == 0);
    infl_inverse *inverse;
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    infl_inverse_destroy(inverse);
    assert_ok(infl_curvature_set_damping(curvature, 0.25));
    ck_assert_double_eq(infl_curvature_damping(curvature), 0.25);
    assert_ok(infl_curvature_set_damping(curvature, INFL_DAMPING_AUTO));
    ck_assert_double_eq(infl_curvature_damping(curvature), found);
    static const double wrong[] = {-0.5, NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 4; i++) {
        assert_fails(INFL_E_ARGUMENT, infl_curvature_set_damping(curvature, wrong[i]));
        ck_assert_msg(strstr(infl_last_error(), "INFL_DAMPING_AUTO") != NULL, "%s", infl_last_error());
        ck_assert_double_eq(infl_curvature_damping(curvature), found);
    }
    infl_curvature_destroy(curvature);

    /* a failure leaves the damping there was, and at the creation nothing */
    counted_product counted = {.matrix = a.matrix, .p = N, .fail_at = 3};
    assert_fails(INFL_E_CALLBACK,
                 infl_curvature_from_product(&curvature, counted_multiply, &counted, N, INFL_DAMPING_AUTO));
    assert_ok(infl_curvature_from_product(&curvature, counted_multiply, &counted, N, 0.5));
    counted.fail_at = counted.n_calls + 4;
    assert_fails(INFL_E_CALLBACK, infl_curvature_set_damping(curvature, INFL_DAMPING_AUTO));
    ck_assert_double_eq(infl_curvature_damping(curvature), 0.5);
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);

    /* of an objective, at the θ of the moment; formed or not */
    regression s = regression_create(300, INFL_F64, 1);
    double values_at[P], before;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, INFL_DAMPING_AUTO));
    before = infl_curvature_damping(curvature);
    assert_ok(infl_objective_get_parameters(s.objective, theta));
    for (size_t i = 0; i < P; i++)
        theta[i] *= 30; /* sure of its classes: flatter */
    assert_ok(infl_objective_set_parameters(s.objective, theta));
    ck_assert_double_eq(infl_curvature_damping(curvature), before);
    assert_ok(infl_curvature_set_damping(curvature, 0));
    assert_ok(infl_curvature_eigen(curvature, values_at, NULL));
    for (int formed = 0; formed < 2; formed++) {
        if (formed)
            assert_ok(infl_curvature_form(curvature, NULL, NULL));
        assert_ok(infl_curvature_set_damping(curvature, INFL_DAMPING_AUTO));
        expected = least_damping(values_at, P);
        found = infl_curvature_damping(curvature);
        ck_assert_msg(found >= expected && found <= expected + 4.1e-3 * values_at[P - 1], "%g for %g", found, expected);
    }
    infl_curvature_destroy(curvature);
    regression_destroy(&s);
}
END_TEST

/*
 * A network's spectrum: all but a few eigenvalues lie within a thousandth of the largest around 0, so a Ritz value there
 * has a small residual long before it is the smallest eigenvalue.
 */
START_TEST(test_damping_among_many) {
    enum { N = 500, LARGE = 20 };
    double values[N];
    values[0] = -0.28;
    for (size_t i = 1; i < N - LARGE; i++)
        values[i] = -0.02 + 0.07 * (double)i / N;
    for (size_t i = 0; i < LARGE; i++)
        values[N - LARGE + i] = 97 * pow(0.7, (double)(LARGE - 1 - i));
    spectral a = spectral_create(values, N, (uint64_t)_i);
    double expected = least_damping(values, N);
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, N, INFL_DAMPING_AUTO));
    double found = infl_curvature_damping(curvature);
    ck_assert_msg(found >= expected * (1 - 1e-9) && found <= 1.15 * expected, "%g for %g", found, expected);
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
}
END_TEST

/* diag(small ones, −ν, 1): the −ν is alone below them, and has a small part in Lanczos' first vectors. */
typedef struct outliers {
    size_t p;
    double low;
} outliers;

static int outlying(void *context, const double *vectors, size_t k, double *products) {
    const outliers *of = context;
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < of->p; i++)
            products[j * of->p + i] = vectors[j * of->p + i] * (i == of->p - 1   ? 1
                                                                : i == of->p - 2 ? -of->low
                                                                                 : 1e-4 * sin((double)i));
    return 0;
}

START_TEST(test_damping_outliers) {
    static const size_t sizes[] = {17, 139, 545, 2000, 20000};
    for (double low = 0.003; low < 0.1; low *= 1.3) {
        outliers of = {sizes[_i], low};
        infl_curvature *curvature;
        assert_ok(infl_curvature_from_product(&curvature, outlying, &of, of.p, INFL_DAMPING_AUTO));
        double found = infl_curvature_damping(curvature), least = (1.0 / 500 + low) / (1 - 1.0 / 500);
        ck_assert_msg(found >= least * (1 - 1e-9) && found <= 1.3 * least, "p %zu: %g for %g", of.p, found, least);
        infl_curvature_destroy(curvature);
    }
}
END_TEST

/* The numbers drawn are distinct, and each is as likely as another. */
START_TEST(test_choose) {
    enum { N = 50, COUNT = 20, DRAWS = 2000 };
    size_t all[N], hits[N] = {0}, firsts[N] = {0};
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        char seen[N] = {0};
        infl_random_choose(seed, INFL_STREAM_SAMPLE, N, COUNT, all);
        for (size_t i = 0; i < N; i++) {
            ck_assert(all[i] < N && !seen[all[i]]);
            seen[all[i]] = 1;
            hits[all[i]] += i < COUNT;
        }
        firsts[all[0]]++;
    }
    double of_hits = 0, of_firsts = 0;
    for (size_t i = 0; i < N; i++) {
        double share = (double)DRAWS * COUNT / N, first = (double)DRAWS / N;
        of_hits += ((double)hits[i] - share) * ((double)hits[i] - share) / (share * (1 - (double)COUNT / N));
        of_firsts += ((double)firsts[i] - first) * ((double)firsts[i] - first) / first;
    }
    /* χ² of 49 degrees: 49 ± 10; five deviations */
    ck_assert_msg(of_hits < 99 && of_hits > 15 && of_firsts < 99 && of_firsts > 15, "chi² %g and %g", of_hits,
                  of_firsts);
}
END_TEST

/* Over a sample Lanczos sees the curvature of those rows alone, as an objective over them has it. */
START_TEST(test_sample) {
    regression s = regression_create(ROWS, INFL_F64, 1);
    infl_curvature *curvature, *of_sample;
    infl_lanczos_options options = INFL_LANCZOS_OPTIONS_INIT;
    infl_sample sample;
    infl_dataset *subset;
    infl_objective *objective;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options decayed = INFL_OBJECTIVE_OPTIONS_INIT;
    double values[P], found[2], vectors[2 * P], residuals[2], all[2];
    decayed.decay = 0.05;
    decayed.decay_scope = INFL_DECAY_ALL;
    assert_ok(infl_curvature_create(&curvature, s.objective, INFL_HESSIAN, 0.02));
    options.sample = 60;
    options.seed = 11;
    assert_ok(infl_curvature_sample(curvature, 60, 11, &sample));
    ck_assert_uint_eq(sample.n, 60);
    assert_ok(infl_dataset_subset(&subset, s.data, sample.rows, sample.n));
    free(sample.rows);
    assert_ok(infl_objective_create(&objective, s.model, &loss, subset, &decayed));
    assert_ok(infl_curvature_create(&of_sample, objective, INFL_HESSIAN, 0.02));
    assert_ok(infl_curvature_eigen(of_sample, values, NULL));
    for (int largest = 0; largest < 2; largest++) {
        assert_ok(infl_curvature_lanczos(curvature, 2, largest, &options, found, vectors, residuals));
        for (size_t i = 0; i < 2; i++) {
            double value = values[largest ? P - 1 - i : i];
            ck_assert_msg(fabs(found[i] - value) <= 1e-7 * values[P - 1], "%g, not %g", found[i], value);
            ck_assert_msg(residuals[i] <= 1e-7 * values[P - 1], "a residual of %g", residuals[i]);
        }
        infl_lanczos_options full = INFL_LANCZOS_OPTIONS_INIT;
        assert_ok(infl_curvature_lanczos(curvature, 2, largest, &full, all, NULL, NULL));
        ck_assert(!largest || fabs(all[0] - found[0]) > 1e-4 * values[P - 1]); /* the smallest is the decay's in both */
        full.sample = ROWS;
        double again[2];
        assert_ok(infl_curvature_lanczos(curvature, 2, largest, &full, again, NULL, NULL));
        assert_same_bits(again, all, 2, "a sample of all rows");
    }
    infl_curvature_destroy(of_sample);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    infl_dataset_destroy(subset);
    regression_destroy(&s);
}
END_TEST

/*
 * Koh & Liang's CNN, a third as wide, on images with a bar for each of four classes: what the iterative methods
 * answer against the Cholesky factor of the exact Hessian, and the scores that follow.
 */
START_TEST(test_exact) {
    enum { N = 512, SIDE = 28, PIXELS = SIDE * SIDE, TESTS = 1 };
    static const struct {
        const char *name;
        infl_inverse_method method;
        double tolerance, within;
    } solvers[] = {{"LiSSA", INFL_LISSA, 3e-4, 0.05}, {"CG", INFL_CG, 1e-8, 1e-6}};
    infl_zoo_options zoo = INFL_ZOO_OPTIONS_INIT;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_train_options training = INFL_TRAIN_OPTIONS_INIT;
    double *pixels = spectral_normals((size_t)N * PIXELS, 12);
    int32_t *labels = calloc(N, sizeof *labels);
    for (size_t i = 0; i < N; i++) {
        labels[i] = (int32_t)infl_random_below(3, 1, i, 4);
        for (size_t j = 0; j < PIXELS; j++) {
            size_t at = labels[i] % 2 == 0 ? j / SIDE : j % SIDE, bar = labels[i] < 2 ? 8 : 18;
            pixels[i * PIXELS + j] = 0.3 * pixels[i * PIXELS + j] + (at >= bar && at < bar + 3 ? 0.5 : 0.0);
        }
    }
    spec.n_rows = N;
    spec.n_features = PIXELS;
    spec.features = pixels;
    spec.labels = labels;
    spec.n_classes = 4;
    zoo.n_classes = 4;
    zoo.width_factor = 0.3;
    options.decay = 1e-3;
    training.steps = 300;
    training.batch = 100;
    training.learning_rate = 0.01;
    infl_dataset *data;
    infl_model *model;
    infl_objective *objective;
    infl_curvature *curvature, *formed;
    infl_inverse *inverse;
    infl_influence *influence;
    assert_ok(infl_dataset_create(&data, &spec));
    assert_ok(infl_model_create_zoo(&model, INFL_ZOO_KL_CNN, &zoo, INFL_F64, 5));
    assert_ok(infl_objective_create(&objective, model, &loss, data, &options));
    assert_ok(infl_train(objective, &training, NULL));
    size_t p = infl_objective_parameters(objective);
    double *b = calloc(TESTS * p, sizeof *b), *x = calloc(TESTS * p, sizeof *x),
           *truth = calloc(TESTS * p, sizeof *truth);
    double *scores = calloc(TESTS * N, sizeof *scores), *exact = calloc(TESTS * N, sizeof *exact);
    static const size_t rows[TESTS] = {2};
    assert_ok(infl_objective_row_gradients(objective, rows, TESTS, b));
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, INFL_DAMPING_AUTO));
    assert_ok(infl_curvature_create(&formed, objective, INFL_HESSIAN, infl_curvature_damping(curvature)));
    assert_ok(infl_inverse_create(&inverse, formed, NULL));
    assert_ok(infl_inverse_solve(inverse, b, TESTS, truth, NULL));
    assert_ok(infl_influence_create(&influence, objective, inverse, NULL));
    assert_ok(infl_influence_scores(influence, objective, rows, TESTS, NULL, 0, exact, NULL));
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    for (size_t i = 0; i < sizeof solvers / sizeof solvers[0]; i++) {
        infl_inverse_options given = INFL_INVERSE_OPTIONS_INIT;
        given.method = solvers[i].method;
        given.tolerance = solvers[i].tolerance;
        given.lissa_batch = 32;
        assert_ok(infl_inverse_create(&inverse, curvature, &given));
        assert_ok(infl_inverse_solve(inverse, b, TESTS, x, NULL));
        assert_ok(infl_influence_create(&influence, objective, inverse, NULL));
        assert_ok(infl_influence_scores(influence, objective, rows, TESTS, NULL, 0, scores, NULL));
        for (size_t j = 0; j < TESTS; j++) {
            double error = error_of(x + j * p, truth + j * p, p), pearson;
            assert_ok(infl_pearson(scores + j * N, exact + j * N, N, &pearson));
            ck_assert_msg(error <= solvers[i].within, "%s, row %zu: an error of %g", solvers[i].name, rows[j], error);
            ck_assert_msg(pearson > 0.99, "%s, row %zu: scores correlate by %g", solvers[i].name, rows[j], pearson);
        }
        infl_influence_destroy(influence);
        infl_inverse_destroy(inverse);
    }
    free(b);
    free(x);
    free(truth);
    free(scores);
    free(exact);
    free(pixels);
    free(labels);
    infl_curvature_destroy(formed);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    infl_dataset_destroy(data);
}
END_TEST

/* Untrained, every network of the zoo has an indefinite Hessian: the defaults converge there. */
START_TEST(test_zoo) {
    enum { N = 12 };
    infl_zoo_network network = (infl_zoo_network)(_i / 2);
    int curvature_kind = _i % 2 == 0 ? INFL_HESSIAN : INFL_GAUSS_NEWTON;
    size_t side = network == INFL_ZOO_RESNET18 || network == INFL_ZOO_RESNET50 ? 8 : 32, features = side * side;
    infl_zoo_options zoo = INFL_ZOO_OPTIONS_INIT;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    double *pixels = spectral_normals(N * features, 8);
    int32_t labels[N];
    for (size_t i = 0; i < N; i++)
        labels[i] = (int32_t)(i % 3);
    spec.n_rows = N;
    spec.n_features = features;
    spec.features = pixels;
    spec.labels = labels;
    spec.n_classes = 3;
    zoo.channels = 1;
    zoo.height = zoo.width = side;
    zoo.n_classes = 3;
    zoo.width_factor = network == INFL_ZOO_VGG13 || network == INFL_ZOO_VGG14 ? 0.02 : 0.05;
    options.decay = 1e-3;
    infl_dataset *data;
    infl_model *model;
    infl_objective *objective;
    infl_curvature *curvature;
    assert_ok(infl_dataset_create(&data, &spec));
    assert_ok(infl_model_create_zoo(&model, network, &zoo, INFL_F32, 5));
    assert_ok(infl_objective_create(&objective, model, &loss, data, &options));
    assert_ok(infl_curvature_create(&curvature, objective, (infl_curvature_kind)curvature_kind, INFL_DAMPING_AUTO));
    size_t p = infl_objective_parameters(objective), row = 1;
    double *b = calloc(p, sizeof *b), *x = calloc(p, sizeof *x);
    assert_ok(infl_objective_row_gradients(objective, &row, 1, b));
    infl_inverse_options defaults = INFL_INVERSE_OPTIONS_INIT;
    infl_solve_report report;
    defaults.method = INFL_LISSA;
    infl_status status = create_and_solve(curvature, &defaults, b, 1, x, &report);
    ck_assert_msg(status == INFL_OK, "%s: %s", infl_zoo_network_name(network), infl_last_error());
    ck_assert_msg(report.converged && report.residual <= 1e-3, "%g", report.residual);
    free(b);
    free(x);
    free(pixels);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    infl_dataset_destroy(data);
}
END_TEST

Suite *stochastic_suite(void) {
    Suite *suite = suite_create("stochastic");
    add_case(suite, "stochastic/lissa/refining", test_refining, 3);
    add_case(suite, "stochastic/lissa/depth", test_depth, 1);
    add_case(suite, "stochastic/lissa/automatic-batch", test_automatic_batch, 4);
    add_case(suite, "stochastic/lissa/growth", test_growth, 1);
    add_case(suite, "stochastic/lissa/growth/indefinite", test_growth_indefinite, 1);
    add_case(suite, "stochastic/lissa/growth/rounding", test_growth_rounding, 1);
    add_case(suite, "stochastic/lissa/scale/batches", test_scale_of_batches, 1);
    add_case(suite, "stochastic/lissa/scale/few", test_scale_of_few, 1);
    add_case(suite, "stochastic/lissa/looks", test_looks, 1);
    add_case(suite, "stochastic/lissa/overflow", test_overflow, 1);
    add_case(suite, "stochastic/lissa/deviation", test_deviation, 1);
    add_case(suite, "stochastic/cg/batch", test_cg_batch, 1);
    add_case(suite, "stochastic/cg/best", test_cg_batch_best, 1);
    add_case(suite, "stochastic/cg/one-parameter", test_cg_batch_one_parameter, 1);
    add_case(suite, "stochastic/cg/default", test_cg_default, 2);
    add_case(suite, "stochastic/cg/indefinite", test_cg_batch_indefinite, 1);
    add_case(suite, "stochastic/cg/too-good", test_cg_batch_too_good, 1);
    add_case(suite, "stochastic/threads", test_threads, 2);
    add_case(suite, "stochastic/damping", test_damping, 6);
    add_case(suite, "stochastic/damping/outliers", test_damping_outliers, 5);
    add_case(suite, "stochastic/damping_among_many", test_damping_among_many, 4);
    add_case(suite, "stochastic/sample/choose", test_choose, 1);
    add_case(suite, "stochastic/sample/lanczos", test_sample, 1);
    tcase_set_tags(add_case(suite, "stochastic/zoo", test_zoo, 12), "long");
    TCase *exact = add_case(suite, "stochastic/exact", test_exact, 1);
    tcase_set_timeout(exact, 900); /* under sanitizers */
    tcase_set_tags(exact, "long");
    return suite;
}

/* Batch normalisation: both modes against naive loops and differences, the state and what has to go with it. */
#include <math.h>
#include <stdlib.h>

#include "reference.h"
#include "suites.h"
#include "train.h"

enum {
    CHANNELS = 3,
    PIXELS = 4,
    IMAGE = CHANNELS * PIXELS,
    UNITS = 5,
    OUTPUTS = 3,
    /* of the layers in turn, γ β or W b */
    FIRST_NORM = 0,
    INNER_NORM = FIRST_NORM + 2 * CHANNELS,
    FIRST_DENSE = INNER_NORM + 2 * CHANNELS,
    SECOND_NORM = FIRST_DENSE + UNITS * (IMAGE + 1),
    SECOND_DENSE = SECOND_NORM + 2 * UNITS,
    LAST_NORM = SECOND_DENSE + OUTPUTS * (UNITS + 1),
    PARAMETERS = LAST_NORM + 2 * OUTPUTS,
    STATE = 2 * (CHANNELS + CHANNELS + UNITS + OUTPUTS),
};
static const double EPSILON = 1e-3, MOMENTUM = 0.3;

/*
 * norm → tanh → norm → dense → h, tanh(norm(h) + h) → dense → norm: channels of several pixels and of one, on the input,
 * inside, on a node with two users, at the output.
 */
static infl_model *make_model(infl_precision precision) {
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_batch_norm norm = INFL_BATCH_NORM_INIT;
    norm.epsilon = EPSILON;
    norm.momentum = MOMENTUM;
    assert_ok(infl_builder_create_image(&builder, CHANNELS, 2, 2));
    infl_node node = infl_builder_batch_norm(builder, INFL_NODE_INPUT, &norm);
    node = infl_builder_batch_norm(builder, infl_builder_activation(builder, node, INFL_TANH), &norm);
    infl_node h = infl_builder_dense(builder, infl_builder_flatten(builder, node), UNITS, 1, INFL_INIT_LECUN);
    node = infl_builder_add(builder, infl_builder_batch_norm(builder, h, &norm), h);
    node = infl_builder_dense(builder, infl_builder_activation(builder, node, INFL_TANH), OUTPUTS, 1, INFL_INIT_LECUN);
    node = infl_builder_batch_norm(builder, node, &norm);
    assert_ok(infl_model_create(&model, builder, node, precision, 1));
    infl_builder_destroy(builder);
    ck_assert_uint_eq(infl_model_parameters(model), PARAMETERS);
    ck_assert_uint_eq(infl_model_state(model), STATE);
    return model;
}

/* Rows, a model with random parameters and state, and its objective. */
typedef struct setting {
    size_t n;
    double *x, theta[PARAMETERS], state[STATE];
    int32_t *labels;
    infl_dataset *dataset;
    infl_model *model;
    infl_objective *objective;
} setting;

static const double DECAY = 0.01;

static infl_objective *make_objective(const setting *s, infl_model *model, int threads, size_t budget) {
    infl_objective *objective = NULL;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = DECAY;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    options.threads = threads;
    options.memory_budget = budget;
    assert_ok(infl_objective_create(&objective, model, &loss, s->dataset, &options));
    return objective;
}

static setting *make_setting(size_t n, infl_precision precision) {
    setting *s = calloc(1, sizeof *s);
    uint64_t random = 17;
    s->n = n;
    s->x = malloc(n * IMAGE * sizeof *s->x);
    s->labels = malloc(n * sizeof *s->labels);
    /* a channel far from 0, against sums that cancel; numbers that f32 holds exactly */
    for (size_t i = 0; i < n * IMAGE; i++)
        s->x[i] = (float)(random_normal(&random) + (i / PIXELS % CHANNELS == 1 ? 30.0 : 0.5));
    for (size_t i = 0; i < n; i++)
        s->labels[i] = (int32_t)(i * i % OUTPUTS);
    for (size_t i = 0; i < PARAMETERS; i++)
        s->theta[i] = (float)(0.5 * random_normal(&random));
    for (size_t i = 0; i < STATE; i++)
        s->state[i] = (float)(0.5 + random_uniform(&random));
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = n;
    spec.n_features = IMAGE;
    spec.features = s->x;
    spec.labels = s->labels;
    spec.n_classes = OUTPUTS;
    assert_ok(infl_dataset_create(&s->dataset, &spec));
    s->model = make_model(precision);
    assert_ok(infl_model_set_parameters(s->model, s->theta));
    assert_ok(infl_model_set_state(s->model, s->state));
    s->objective = make_objective(s, s->model, 1, 0);
    return s;
}

static void destroy_setting(setting *s) {
    infl_objective_destroy(s->objective);
    infl_model_destroy(s->model);
    infl_dataset_destroy(s->dataset);
    free(s->x);
    free(s->labels);
    free(s);
}

/* Normalises n rows of channels × pixels numbers, by the state or, with `batch` (as the state, variances by 1/(m−1)), by
 * their own statistics, which are left there. */
static void naive_norm(double *x, size_t n, size_t channels, size_t pixels, const double *gamma, const double *state,
                       double *batch) {
    size_t m = n * pixels, width = channels * pixels;
    for (size_t c = 0; c < channels; c++) {
        double mean = state[c], variance = state[channels + c];
        if (batch != NULL) {
            mean = variance = 0.0;
            for (size_t i = 0; i < m; i++)
                mean += x[i / pixels * width + c * pixels + i % pixels] / (double)m;
            for (size_t i = 0; i < m; i++)
                variance += pow(x[i / pixels * width + c * pixels + i % pixels] - mean, 2.0) / (double)m;
            batch[c] = mean;
            batch[channels + c] = variance * (double)m / (double)(m - 1);
        }
        for (size_t i = 0; i < m; i++) {
            double *at = &x[i / pixels * width + c * pixels + i % pixels];
            *at = gamma[c] * (*at - mean) / sqrt(variance + EPSILON) + gamma[channels + c];
        }
    }
}

static void naive_dense(const double *x, size_t n, size_t inputs, size_t units, const double *w, double *y) {
    for (size_t i = 0; i < n; i++)
        for (size_t u = 0; u < units; u++) {
            y[i * units + u] = w[units * inputs + u];
            for (size_t j = 0; j < inputs; j++)
                y[i * units + u] += w[u * inputs + j] * x[i * inputs + j];
        }
}

/* Outputs of the given rows, n×OUTPUTS; with `batch` in training mode. */
static void naive_outputs(const setting *s, const size_t *rows, size_t n, const double *theta, double *outputs,
                          double *batch) {
    double *x = malloc(n * IMAGE * sizeof *x), *h = malloc(n * UNITS * sizeof *h), *v = malloc(n * UNITS * sizeof *v);
    for (size_t i = 0; i < n; i++)
        memcpy(x + i * IMAGE, s->x + (rows == NULL ? i : rows[i]) * IMAGE, IMAGE * sizeof *x);
    naive_norm(x, n, CHANNELS, PIXELS, theta + FIRST_NORM, s->state, batch);
    for (size_t i = 0; i < n * IMAGE; i++)
        x[i] = tanh(x[i]);
    naive_norm(x, n, CHANNELS, PIXELS, theta + INNER_NORM, s->state + 2 * CHANNELS,
               batch == NULL ? NULL : batch + 2 * CHANNELS);
    naive_dense(x, n, IMAGE, UNITS, theta + FIRST_DENSE, h);
    memcpy(v, h, n * UNITS * sizeof *v);
    naive_norm(v, n, UNITS, 1, theta + SECOND_NORM, s->state + 4 * CHANNELS,
               batch == NULL ? NULL : batch + 4 * CHANNELS);
    for (size_t i = 0; i < n * UNITS; i++)
        v[i] = tanh(v[i] + h[i]);
    naive_dense(v, n, UNITS, OUTPUTS, theta + SECOND_DENSE, outputs);
    naive_norm(outputs, n, OUTPUTS, 1, theta + LAST_NORM, s->state + STATE - 2 * OUTPUTS,
               batch == NULL ? NULL : batch + STATE - 2 * OUTPUTS);
    free(x);
    free(h);
    free(v);
}

/* The risk in training mode, with the decay of the weights. */
static double naive_risk(const setting *s, const size_t *rows, size_t n, const double *theta, double *batch) {
    double *outputs = malloc(n * OUTPUTS * sizeof *outputs), sum = 0.0, squares = 0.0;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    naive_outputs(s, rows, n, theta, outputs, batch);
    for (size_t i = 0; i < n; i++) {
        double value, target = s->labels[rows == NULL ? i : rows[i]];
        assert_ok(infl_loss_evaluate(&loss, outputs + i * OUTPUTS, OUTPUTS, &target, &value, NULL, NULL));
        sum += value;
    }
    for (size_t j = 0; j < UNITS * IMAGE; j++)
        squares += theta[FIRST_DENSE + j] * theta[FIRST_DENSE + j];
    for (size_t j = 0; j < OUTPUTS * UNITS; j++)
        squares += theta[SECOND_DENSE + j] * theta[SECOND_DENSE + j];
    free(outputs);
    return sum / (double)n + 0.5 * DECAY * squares;
}

/* By central differences at h and h/2, extrapolated: what is left is h⁴/480 of a fifth derivative, which is up to 1e8
 * where a batch of few rows has a small variance, and 1e-16/h: below 1e-9 and 1e-11. */
static void naive_gradient(const setting *s, const size_t *rows, size_t n, double *gradient) {
    double theta[PARAMETERS], batch[STATE];
    memcpy(theta, s->theta, sizeof theta);
    for (size_t j = 0; j < PARAMETERS; j++) {
        gradient[j] = 0.0;
        for (int i = 0; i < 2; i++) {
            double h = i == 0 ? 2e-4 : 1e-4, weight = i == 0 ? -1.0 / 3.0 : 4.0 / 3.0;
            theta[j] = s->theta[j] + h;
            double up = naive_risk(s, rows, n, theta, batch);
            theta[j] = s->theta[j] - h;
            gradient[j] += weight * (up - naive_risk(s, rows, n, theta, batch)) / (2.0 * h);
        }
        theta[j] = s->theta[j];
    }
}

static infl_train_options plain_descent(size_t steps, double rate) {
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.optimiser = INFL_SGD;
    options.steps = steps;
    options.learning_rate = rate;
    return options;
}

/* The gradient that training takes: θ − θ′ of one step with rate 1. */
static void step_gradient(setting *s, infl_objective *objective, double *gradient) {
    infl_train_options options = plain_descent(1, 1.0);
    double theta[PARAMETERS];
    assert_ok(infl_train(objective, &options, NULL));
    assert_ok(infl_objective_get_parameters(objective, theta));
    for (size_t j = 0; j < PARAMETERS; j++)
        gradient[j] = s->theta[j] - theta[j];
}

START_TEST(test_evaluation) {
    setting *s = make_setting(37, INFL_F64);
    double *got = malloc(s->n * OUTPUTS * sizeof *got), *expected = malloc(s->n * OUTPUTS * sizeof *expected);
    assert_ok(infl_model_predict(s->model, s->dataset, got));
    naive_outputs(s, NULL, s->n, s->theta, expected, NULL);
    assert_close(got, expected, s->n * OUTPUTS, 1e-13, "outputs");
    free(got);
    free(expected);
    destroy_setting(s);
}
END_TEST

/* The fewest, one chunk with padding, two chunks, ten of which the last has padding. */
static const size_t batches[] = {2, 17, 40, 600};

START_TEST(test_gradient) {
    setting *s = make_setting(batches[_i], INFL_F64);
    double expected[PARAMETERS], got[PARAMETERS], batch[STATE], state[STATE];
    naive_gradient(s, NULL, s->n, expected);
    naive_risk(s, NULL, s->n, s->theta, batch);
    step_gradient(s, s->objective, got);
    /* with two rows the deviations are ±, and the gradient is the small rest of large terms */
    assert_close(got, expected, PARAMETERS, s->n == 2 ? 1e-7 : 1e-9, "%zu rows", s->n);
    assert_ok(infl_model_get_state(s->model, state));
    for (size_t j = 0; j < STATE; j++)
        batch[j] = (1.0 - MOMENTUM) * s->state[j] + MOMENTUM * batch[j];
    assert_close(state, batch, STATE, 1e-14, "running statistics of %zu rows", s->n);
    destroy_setting(s);
}
END_TEST

/* f32 against f64: roundings of 6e-8 through nine layers, divided by deviations of 1. */
START_TEST(test_precision) {
    setting *s = make_setting(600, INFL_F64), *narrow = make_setting(600, INFL_F32);
    double gradient[PARAMETERS], of_narrow[PARAMETERS], state[STATE], state_of_narrow[STATE];
    step_gradient(s, s->objective, gradient);
    step_gradient(narrow, narrow->objective, of_narrow);
    assert_close(of_narrow, gradient, PARAMETERS, 1e-5, "gradient");
    assert_ok(infl_model_get_state(s->model, state));
    assert_ok(infl_model_get_state(narrow->model, state_of_narrow));
    assert_close(state_of_narrow, state, STATE, 1e-6, "state");
    destroy_setting(s);
    destroy_setting(narrow);
}
END_TEST

/*
 * Statistics in f32 of numbers far from 0: exact deviations from a mean that is rounded by up to 0.002, whose square is
 * taken off again. Their squares' sums round by 6e-8 a few times. A constant's variance is not negative.
 */
START_TEST(test_offset) {
    enum { N = 93, D = 64 };
    static float x[N * D];
    double y[N] = {0}, state[2 * D];
    uint64_t random = 3;
    for (size_t j = 0; j < 32; j++)
        x[j] = (float)random_uniform(&random);
    for (size_t i = 0; i < N * D; i++)
        x[i] = i % D < 32 ? x[i % D] : (float)(40000.0 + random_normal(&random));
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = N;
    spec.n_features = D;
    spec.features_f32 = x;
    spec.targets = y;
    spec.n_targets = 1;
    infl_dataset *dataset = NULL;
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_objective *objective = NULL;
    infl_loss loss = INFL_LOSS_INIT(INFL_SQUARED_ERROR);
    infl_batch_norm norm = INFL_BATCH_NORM_INIT;
    infl_train_options options = plain_descent(1, 0.1);
    norm.momentum = 1.0;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_builder_create(&builder, D));
    infl_node node = infl_builder_batch_norm(builder, INFL_NODE_INPUT, &norm);
    node = infl_builder_dense(builder, node, 1, 1, INFL_INIT_HE);
    assert_ok(infl_model_create(&model, builder, node, INFL_F32, 1));
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, NULL));
    assert_ok(infl_train(objective, &options, NULL));
    assert_ok(infl_model_get_state(model, state));
    for (size_t j = 0; j < D; j++) {
        double mean = 0.0, variance = 0.0;
        for (size_t i = 0; i < N; i++)
            mean += (double)x[i * D + j] / N;
        for (size_t i = 0; i < N; i++)
            variance += ((double)x[i * D + j] - mean) * ((double)x[i * D + j] - mean) / (N - 1);
        ck_assert_msg(fabs(state[j] - mean) <= 1e-10 * mean, "mean %zu is %.12g, not %.12g", j, state[j], mean);
        ck_assert_msg(fabs(state[D + j] - variance) <= 3e-7 * variance + 1e-20, "variance %zu is %.12g, not %.12g", j,
                      state[D + j], variance);
    }
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
    infl_dataset_destroy(dataset);
}
END_TEST

/* Batches, several epochs of them, the last one of an epoch smaller: training against a naive loop of the same steps. */
START_TEST(test_steps) {
    enum { STEPS = 7, BATCH = 45 };
    setting *s = make_setting(100, INFL_F64);
    infl_train_options options = plain_descent(STEPS, 0.1);
    infl_train_result result;
    double theta[PARAMETERS], state[STATE], batch[STATE], value;
    options.batch = BATCH;
    assert_ok(infl_train(s->objective, &options, &result));
    assert_ok(infl_model_get_parameters(s->model, theta));
    assert_ok(infl_model_get_state(s->model, state));
    assert_ok(infl_objective_evaluate(s->objective, &value, NULL));
    ck_assert(value == result.value); /* as the model predicts */

    /* the order of the rows, seen from outside: a linear model on unit vectors moves where a row is */
    size_t order[STEPS * BATCH], counts[STEPS], n_order = 0;
    double *units = calloc(s->n * s->n, sizeof *units), *zeros = calloc(s->n, sizeof *zeros);
    double *before = calloc(s->n, sizeof *before), *after = calloc(s->n, sizeof *after), ones[100];
    for (size_t i = 0; i < s->n; i++)
        units[i * s->n + i] = ones[i] = 1.0;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = spec.n_features = s->n;
    spec.features = units;
    spec.targets = ones;
    spec.n_targets = 1;
    infl_dataset *dataset = NULL;
    infl_builder *builder = NULL;
    infl_model *linear = NULL;
    infl_objective *objective = NULL;
    infl_loss squares = INFL_LOSS_INIT(INFL_SQUARED_ERROR);
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_builder_create(&builder, s->n));
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, 1, 0, INFL_INIT_HE);
    assert_ok(infl_model_create(&linear, builder, node, INFL_F64, 1));
    assert_ok(infl_objective_create(&objective, linear, &squares, dataset, NULL));
    for (size_t step = 0; step < STEPS; step++) {
        options.steps = step + 1;
        assert_ok(infl_objective_set_parameters(objective, zeros));
        assert_ok(infl_train(objective, &options, NULL));
        assert_ok(infl_objective_get_parameters(objective, after));
        counts[step] = 0;
        for (size_t i = 0; i < s->n; i++)
            if (after[i] != before[i]) {
                order[n_order++] = i;
                counts[step]++;
            }
        memcpy(before, after, s->n * sizeof *before);
    }

    const size_t *rows = order;
    for (size_t step = 0; step < STEPS; step++) {
        double gradient[PARAMETERS];
        ck_assert_uint_eq(counts[step], step % 3 == 2 ? 10 : BATCH);
        naive_gradient(s, rows, counts[step], gradient);
        naive_risk(s, rows, counts[step], s->theta, batch);
        for (size_t j = 0; j < PARAMETERS; j++)
            s->theta[j] -= 0.1 * gradient[j];
        for (size_t j = 0; j < STATE; j++)
            s->state[j] += MOMENTUM * (batch[j] - s->state[j]);
        rows += counts[step];
    }
    /* differences are good to 1e-10, and seven steps of 0.1 carry little of that on */
    assert_close(theta, s->theta, PARAMETERS, 1e-9, "theta");
    assert_close(state, s->state, STATE, 1e-9, "state");
    free(units);
    free(zeros);
    free(before);
    free(after);
    infl_objective_destroy(objective);
    infl_model_destroy(linear);
    infl_builder_destroy(builder);
    infl_dataset_destroy(dataset);
    destroy_setting(s);
}
END_TEST

/* A look at the gradient, which is of the model as it predicts, is no step's gradient. */
START_TEST(test_look) {
    setting *s = make_setting(40, INFL_F64), *looking = make_setting(40, INFL_F64);
    infl_train_options options = plain_descent(3, 0.5);
    double theta[PARAMETERS], with_looks[PARAMETERS];
    assert_ok(infl_train(s->objective, &options, NULL));
    options.gradient_tolerance = 1e-300;
    options.check_every = 1;
    assert_ok(infl_train(looking->objective, &options, NULL));
    assert_ok(infl_model_get_parameters(s->model, theta));
    assert_ok(infl_model_get_parameters(looking->model, with_looks));
    assert_same_bits(theta, with_looks, PARAMETERS, "looks");
    destroy_setting(s);
    destroy_setting(looking);
}
END_TEST

START_TEST(test_threads) {
    infl_train_options options = plain_descent(4, 0.1);
    double theta[4][PARAMETERS], state[4][STATE];
    options.batch = 350;
    for (int threads = 1; threads <= 3; threads++) {
        setting *s = make_setting(600, _i == 0 ? INFL_F32 : INFL_F64);
        infl_objective *objective = make_objective(s, s->model, threads, 0);
        assert_ok(infl_train(objective, &options, NULL));
        assert_ok(infl_model_get_parameters(s->model, theta[threads]));
        assert_ok(infl_model_get_state(s->model, state[threads]));
        assert_same_bits(theta[threads], theta[1], PARAMETERS, "%d threads", threads);
        assert_same_bits(state[threads], state[1], STATE, "%d threads", threads);
        infl_objective_destroy(objective);
        destroy_setting(s);
    }
}
END_TEST

/* The sentence names the least that does: one byte less does not, and it gives the same bits. */
START_TEST(test_budget) {
    setting *s = make_setting(600, INFL_F64);
    infl_train_options options = plain_descent(1, 1.0);
    double theta[PARAMETERS], tight[PARAMETERS];
    infl_objective *objective = make_objective(s, s->model, 3, 1000);
    assert_fails(INFL_E_BUDGET, infl_train(objective, &options, NULL));
    infl_objective_destroy(objective);
    const char *named = strstr(infl_last_error(), "at least ");
    ck_assert_ptr_nonnull(named);
    size_t least = (size_t)strtoull(named + strlen("at least "), NULL, 10);
    objective = make_objective(s, s->model, 3, least - 1);
    assert_fails(INFL_E_BUDGET, infl_train(objective, &options, NULL));
    infl_objective_destroy(objective);
    objective = make_objective(s, s->model, 3, least);
    assert_ok(infl_train(objective, &options, NULL));
    assert_ok(infl_model_get_parameters(s->model, tight));
    assert_ok(infl_model_set_parameters(s->model, s->theta));
    assert_ok(infl_train(s->objective, &options, NULL));
    assert_ok(infl_model_get_parameters(s->model, theta));
    assert_same_bits(tight, theta, PARAMETERS, "budget");
    infl_objective_destroy(objective);
    destroy_setting(s);
}
END_TEST

static int cancel(void *context, const char *stage, size_t done, size_t total) {
    (void)context, (void)stage, (void)total;
    return done >= 3;
}

START_TEST(test_restored) {
    setting *s = make_setting(40, INFL_F64);
    double theta[PARAMETERS], state[STATE];
    infl_train_options options = plain_descent(10, 0.1);
    options.progress = cancel;
    assert_fails(INFL_E_CANCELLED, infl_train(s->objective, &options, NULL));
    assert_ok(infl_model_get_parameters(s->model, theta));
    assert_ok(infl_model_get_state(s->model, state));
    assert_same_bits(theta, s->theta, PARAMETERS, "cancelled");
    assert_same_bits(state, s->state, STATE, "cancelled");
    options = plain_descent(10, 1e300);
    assert_fails(INFL_E_DIVERGED, infl_train(s->objective, &options, NULL));
    assert_ok(infl_model_get_parameters(s->model, theta));
    assert_ok(infl_model_get_state(s->model, state));
    assert_same_bits(theta, s->theta, PARAMETERS, "diverged");
    assert_same_bits(state, s->state, STATE, "diverged");
    destroy_setting(s);
}
END_TEST

/* One row has no variance where a channel has one number, and has one where it has four. */
START_TEST(test_single_row) {
    setting *s = make_setting(9, INFL_F64);
    infl_train_options options = plain_descent(2, 0.1); /* the batch of one row would be the third */
    double state[STATE];
    options.batch = 4;
    assert_ok(infl_train(s->objective, &options, NULL));
    assert_ok(infl_model_set_state(s->model, s->state));
    options.steps = 3;
    assert_fails(INFL_E_ARGUMENT, infl_train(s->objective, &options, NULL));
    options.batch = 1;
    assert_fails(INFL_E_ARGUMENT, infl_train(s->objective, &options, NULL));
    assert_ok(infl_model_get_state(s->model, state));
    assert_same_bits(state, s->state, STATE, "refused");
    options.batch = 3;
    assert_ok(infl_train(s->objective, &options, NULL));

    infl_builder *builder = NULL;
    infl_model *model = NULL;
    assert_ok(infl_builder_create_image(&builder, CHANNELS, 2, 2));
    infl_node node = infl_builder_batch_norm(builder, INFL_NODE_INPUT, NULL);
    node = infl_builder_dense(builder, node, OUTPUTS, 1, INFL_INIT_HE);
    assert_ok(infl_model_create(&model, builder, node, INFL_F64, 1));
    infl_builder_destroy(builder);
    infl_objective *objective = make_objective(s, model, 1, 0);
    options.batch = 1;
    assert_ok(infl_train(objective, &options, NULL));
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    destroy_setting(s);
}
END_TEST

/* With fixed statistics a step is down the gradient of the model as it predicts, of any number of rows, and the state
 * stays. */
START_TEST(test_fixed) {
    static const double rate = 0.2, momentum = 0.5;
    setting *s = make_setting(9, INFL_F64);
    infl_train_options options = plain_descent(4, rate);
    double theta[PARAMETERS], state[STATE], velocity[PARAMETERS] = {0}, gradient[PARAMETERS];
    options.momentum = momentum;
    options.fixed_statistics = 1;
    assert_ok(infl_train(s->objective, &options, NULL));
    assert_ok(infl_model_get_parameters(s->model, theta));
    assert_ok(infl_model_get_state(s->model, state));
    assert_same_bits(state, s->state, STATE, "state");
    for (size_t step = 0; step < options.steps; step++) {
        assert_ok(infl_model_set_parameters(s->model, s->theta));
        assert_ok(infl_objective_evaluate(s->objective, NULL, gradient));
        for (size_t j = 0; j < PARAMETERS; j++) {
            velocity[j] = momentum * velocity[j] + gradient[j];
            s->theta[j] -= rate * velocity[j];
        }
    }
    assert_close(theta, s->theta, PARAMETERS, 1e-14, "theta");

    options = plain_descent(5, rate);
    options.fixed_statistics = 1;
    options.batch = 4; /* the third has one row */
    assert_ok(infl_train(s->objective, &options, NULL));
    assert_ok(infl_model_get_state(s->model, state));
    assert_same_bits(state, s->state, STATE, "state");
    assert_ok(infl_model_get_parameters(s->model, theta));
    ck_assert(memcmp(theta, s->theta, sizeof theta) != 0);
    options.fixed_statistics = 2;
    assert_fails(INFL_E_ARGUMENT, infl_train(s->objective, &options, NULL));
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "fixed_statistics is 2"));
    destroy_setting(s);
}
END_TEST

/*
 * With dropout in the network as well a step is one of training still. A normalisation with fixed statistics is a dense
 * layer with the matrix diag(γ/√(variance + ε)) in its place, and the same numbers are dropped after it.
 */
START_TEST(test_fixed_dropout) {
    enum { D = UNITS, TWIN = D * D + D, OWN = 2 * D, LAST = OUTPUTS * (D + 1) };
    static const size_t counts[] = {2, 40, 600};
    size_t n = counts[_i];
    double *x = malloc(n * D * sizeof *x), theta[TWIN + LAST], twin_theta[TWIN + LAST], state[2 * D], after[2 * D];
    double got[OWN + LAST], twin_got[TWIN + LAST];
    int32_t *labels = malloc(n * sizeof *labels);
    uint64_t random = 5;
    for (size_t i = 0; i < n * D; i++)
        x[i] = random_normal(&random);
    for (size_t i = 0; i < n; i++)
        labels[i] = (int32_t)(i % OUTPUTS);
    for (size_t i = 0; i < OWN + LAST; i++)
        theta[i] = 0.5 * random_normal(&random);
    for (size_t i = 0; i < 2 * D; i++)
        state[i] = 0.5 + random_uniform(&random);
    memset(twin_theta, 0, sizeof twin_theta);
    for (size_t i = 0; i < D; i++) {
        double scale = 1.0 / sqrt(state[D + i] + EPSILON);
        twin_theta[i * D + i] = theta[i] * scale;
        twin_theta[D * D + i] = theta[D + i] - theta[i] * scale * state[i];
    }
    memcpy(twin_theta + TWIN, theta + OWN, LAST * sizeof *theta);
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = n;
    spec.n_features = D;
    spec.features = x;
    spec.labels = labels;
    spec.n_classes = OUTPUTS;
    setting s = {.n = n};
    assert_ok(infl_dataset_create(&s.dataset, &spec));
    for (int twin = 0; twin < 2; twin++)
        for (int threads = 1; threads <= 3; threads += 2) {
            infl_builder *builder = NULL;
            infl_model *model = NULL;
            infl_batch_norm norm = INFL_BATCH_NORM_INIT;
            infl_train_options options = plain_descent(1, 1.0);
            norm.epsilon = EPSILON;
            options.fixed_statistics = 1;
            assert_ok(infl_builder_create(&builder, D));
            infl_node node = twin ? infl_builder_dense(builder, INFL_NODE_INPUT, D, 1, INFL_INIT_HE)
                                  : infl_builder_batch_norm(builder, INFL_NODE_INPUT, &norm);
            node = infl_builder_dropout(builder, node, 0.4);
            node = infl_builder_dense(builder, node, OUTPUTS, 1, INFL_INIT_HE);
            assert_ok(infl_model_create(&model, builder, node, INFL_F64, 1));
            infl_builder_destroy(builder);
            assert_ok(infl_model_set_parameters(model, twin ? twin_theta : theta));
            if (!twin)
                assert_ok(infl_model_set_state(model, state));
            infl_objective *objective = NULL;
            infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
            infl_objective_options plain = INFL_OBJECTIVE_OPTIONS_INIT;
            plain.threads = threads;
            assert_ok(infl_objective_create(&objective, model, &loss, s.dataset, &plain));
            assert_ok(infl_train(objective, &options, NULL));
            double *to = twin ? twin_got : got, moved[TWIN + LAST];
            size_t p = infl_model_parameters(model);
            assert_ok(infl_model_get_parameters(model, moved));
            if (threads > 1)
                assert_same_bits(moved, to, p, "%d threads", threads);
            memcpy(to, moved, p * sizeof *to);
            if (!twin) {
                assert_ok(infl_model_get_state(model, after));
                assert_same_bits(after, state, 2 * D, "state");
            }
            infl_objective_destroy(objective);
            infl_model_destroy(model);
        }
    double expected[OWN + LAST], found[OWN + LAST];
    for (size_t i = 0; i < D; i++) {
        double scale = 1.0 / sqrt(state[D + i] + EPSILON), bias = twin_theta[D * D + i] - twin_got[D * D + i];
        expected[i] = scale * (twin_theta[i * D + i] - twin_got[i * D + i] - state[i] * bias);
        expected[D + i] = bias;
    }
    for (size_t i = 0; i < LAST; i++)
        expected[OWN + i] = twin_theta[TWIN + i] - twin_got[TWIN + i];
    for (size_t i = 0; i < OWN + LAST; i++)
        found[i] = theta[i] - got[i];
    assert_close(found, expected, OWN + LAST, 1e-14, "gradient");
    infl_dataset_destroy(s.dataset);
    free(x);
    free(labels);
}
END_TEST

START_TEST(test_state) {
    setting *s = make_setting(5, INFL_F32);
    double state[STATE], other[STATE], theta[PARAMETERS];
    static const struct {
        const char *name;
        size_t offset, length;
    } tensors[] = {{"batch_norm1.running_mean", 0, CHANNELS},
                   {"batch_norm1.running_variance", CHANNELS, CHANNELS},
                   {"batch_norm2.running_mean", 2 * CHANNELS, CHANNELS},
                   {"batch_norm2.running_variance", 3 * CHANNELS, CHANNELS},
                   {"batch_norm3.running_mean", 4 * CHANNELS, UNITS},
                   {"batch_norm3.running_variance", 4 * CHANNELS + UNITS, UNITS},
                   {"batch_norm4.running_mean", 4 * CHANNELS + 2 * UNITS, OUTPUTS},
                   {"batch_norm4.running_variance", STATE - OUTPUTS, OUTPUTS}};
    enum { N_TENSORS = sizeof tensors / sizeof tensors[0] };
    infl_tensor tensor;
    ck_assert_uint_eq(infl_model_state_tensors(s->model), N_TENSORS);
    for (size_t i = 0; i < N_TENSORS; i++) {
        assert_ok(infl_model_state_tensor(s->model, i, &tensor));
        ck_assert_str_eq(tensor.name, tensors[i].name);
        ck_assert_uint_eq(tensor.offset, tensors[i].offset);
        ck_assert_uint_eq(tensor.length, tensors[i].length);
        ck_assert_uint_eq(tensor.n_dims, 1);
        ck_assert_uint_eq(tensor.dims[0], tensors[i].length);
    }
    assert_fails(INFL_E_ARGUMENT, infl_model_state_tensor(s->model, N_TENSORS, &tensor));
    assert_fails(INFL_E_ARGUMENT, infl_model_state_tensor(NULL, 0, &tensor));
    assert_ok(infl_model_tensor(s->model, 0, &tensor));
    ck_assert_str_eq(tensor.name, "batch_norm1.weight");
    ck_assert_int_eq(tensor.is_weight, 0);

    /* numbers that f32 does not hold come back as they are */
    for (size_t i = 0; i < STATE; i++)
        state[i] = 0.1 * (double)(i + 1);
    assert_ok(infl_model_set_state(s->model, state));
    assert_ok(infl_model_get_state(s->model, other));
    assert_same_bits(other, state, STATE, "set and got");
    for (size_t i = 0; i < STATE; i++) {
        double kept = state[i];
        /* 3 means, 3 variances, 3, 3, 5, 5, 3, 3 */
        int is_variance = (i >= 3 && i < 6) || (i >= 9 && i < 12) || (i >= 17 && i < 22) || i >= 25;
        state[i] = NAN;
        assert_fails(INFL_E_NONFINITE, infl_model_set_state(s->model, state));
        state[i] = INFINITY;
        assert_fails(INFL_E_NONFINITE, infl_model_set_state(s->model, state));
        state[i] = -1e-9;
        if (is_variance)
            assert_fails(INFL_E_ARGUMENT, infl_model_set_state(s->model, state));
        state[i] = kept;
    }
    assert_ok(infl_model_get_state(s->model, other));
    assert_same_bits(other, state, STATE, "after errors");
    assert_fails(INFL_E_ARGUMENT, infl_model_set_state(s->model, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_model_get_state(NULL, other));

    infl_model *clone = NULL;
    assert_ok(infl_model_clone(&clone, s->model));
    assert_ok(infl_model_initialise(s->model, 1));
    assert_ok(infl_model_get_state(clone, other));
    assert_same_bits(other, state, STATE, "clone");
    infl_model_destroy(clone);
    assert_ok(infl_model_get_state(s->model, other));
    assert_ok(infl_model_get_parameters(s->model, theta));
    for (size_t i = 0; i < N_TENSORS; i++)
        for (size_t j = 0; j < tensors[i].length; j++)
            ck_assert(other[tensors[i].offset + j] == (double)(i % 2));
    for (size_t i = 0; i < infl_model_tensors(s->model); i++) {
        assert_ok(infl_model_tensor(s->model, i, &tensor));
        if (strncmp(tensor.name, "batch_norm", 10) == 0)
            for (size_t j = 0; j < tensor.length; j++)
                ck_assert(theta[tensor.offset + j] == (strstr(tensor.name, ".weight") != NULL));
    }
    ck_assert_uint_eq(infl_model_state(NULL), 0);
    ck_assert_uint_eq(infl_model_state_tensors(NULL), 0);
    destroy_setting(s);
}
END_TEST

START_TEST(test_builder) {
    infl_batch_norm norm = INFL_BATCH_NORM_INIT;
    ck_assert(norm.epsilon == 1e-5 && norm.momentum == 0.1);
    static const double wrong[][2] = {{0.0, 0.1},   {-1e-5, 0.1}, {INFINITY, 0.1}, {NAN, 0.1},
                                      {1e-5, -0.1}, {1e-5, 1.1},  {1e-5, NAN}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        infl_builder *builder = NULL;
        infl_model *model = NULL;
        assert_ok(infl_builder_create(&builder, 3));
        norm.epsilon = wrong[i][0];
        norm.momentum = wrong[i][1];
        ck_assert_int_eq(infl_builder_batch_norm(builder, INFL_NODE_INPUT, &norm), INFL_NODE_INVALID);
        ck_assert_int_eq(infl_model_create(&model, builder, 0, INFL_F64, 1), INFL_E_ARGUMENT);
        ck_assert_int_eq(strncmp(infl_last_error(), "infl_builder_batch_norm: ", 25), 0);
        infl_builder_destroy(builder);
    }
    ck_assert_int_eq(infl_builder_batch_norm(NULL, INFL_NODE_INPUT, NULL), INFL_NODE_INVALID);
}
END_TEST

/* The evaluation mode's derivatives on images: differences of gradients, and rows against sums. */
START_TEST(test_images) {
    setting *s = make_setting(19, INFL_F64);
    double v[PARAMETERS], moved[PARAMETERS], up[PARAMETERS], down[PARAMETERS], expected[PARAMETERS], got[PARAMETERS];
    uint64_t random = 5;
    for (size_t j = 0; j < PARAMETERS; j++)
        v[j] = random_normal(&random);
    for (size_t j = 0; j < PARAMETERS; j++)
        expected[j] = 0.0;
    for (int i = 0; i < 2; i++) {
        double h = i == 0 ? 1e-4 : 5e-5, weight = i == 0 ? -1.0 / 3.0 : 4.0 / 3.0;
        for (size_t j = 0; j < PARAMETERS; j++)
            moved[j] = s->theta[j] + h * v[j];
        assert_ok(infl_objective_set_parameters(s->objective, moved));
        assert_ok(infl_objective_evaluate(s->objective, NULL, up));
        for (size_t j = 0; j < PARAMETERS; j++)
            moved[j] = s->theta[j] - h * v[j];
        assert_ok(infl_objective_set_parameters(s->objective, moved));
        assert_ok(infl_objective_evaluate(s->objective, NULL, down));
        for (size_t j = 0; j < PARAMETERS; j++)
            expected[j] += weight * (up[j] - down[j]) / (2.0 * h);
    }
    assert_ok(infl_objective_set_parameters(s->objective, s->theta));
    assert_ok(infl_objective_product(s->objective, INFL_HESSIAN, v, 1, got));
    /* the first channel's deviations are of order 30: fifth derivatives of 30⁵ times h⁴/480 are 1e-11 */
    assert_close(got, expected, PARAMETERS, 1e-7, "Hessian product");

    double *rows = malloc(s->n * PARAMETERS * sizeof *rows), products[19], sums[19];
    assert_ok(infl_objective_row_gradients(s->objective, NULL, 0, rows));
    assert_ok(infl_objective_evaluate(s->objective, NULL, expected));
    assert_ok(infl_objective_row_products(s->objective, NULL, 0, v, 1, products));
    for (size_t j = 0; j < PARAMETERS; j++) {
        int weight = (j >= FIRST_DENSE && j < FIRST_DENSE + UNITS * IMAGE) ||
                     (j >= SECOND_DENSE && j < SECOND_DENSE + OUTPUTS * UNITS);
        got[j] = weight ? DECAY * s->theta[j] : 0.0;
        for (size_t i = 0; i < s->n; i++)
            got[j] += rows[i * PARAMETERS + j] / (double)s->n;
    }
    for (size_t i = 0; i < s->n; i++) {
        sums[i] = 0.0;
        for (size_t j = 0; j < PARAMETERS; j++)
            sums[i] += rows[i * PARAMETERS + j] * v[j];
    }
    assert_close(got, expected, PARAMETERS, 1e-13, "row gradients");
    assert_close(products, sums, s->n, 1e-12, "row products");
    free(rows);
    destroy_setting(s);
}
END_TEST

/* What was prepared at one state is not used at another. */
START_TEST(test_stale) {
    setting *s = make_setting(30, INFL_F64);
    infl_curvature *curvature = NULL;
    infl_inverse *inverse = NULL;
    infl_influence *influence = NULL;
    infl_model *clone = NULL;
    double scores[1], x[PARAMETERS], state[STATE];
    size_t row = 0;
    assert_ok(infl_curvature_create(&curvature, s->objective, INFL_GAUSS_NEWTON, 0.1));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_ok(infl_influence_create(&influence, s->objective, inverse, NULL));
    assert_ok(infl_inverse_solve(inverse, s->theta, 1, x, NULL));
    assert_ok(infl_model_clone(&clone, s->model));
    infl_objective *test = make_objective(s, clone, 1, 0);
    assert_ok(infl_influence_scores(influence, test, &row, 1, &row, 1, scores, NULL));
    for (size_t i = 0; i < STATE; i++) {
        memcpy(state, s->state, sizeof state);
        state[i] *= 1.0 + 1e-15;
        assert_ok(infl_model_set_state(clone, state));
        assert_fails(INFL_E_ARGUMENT, infl_influence_scores(influence, test, &row, 1, &row, 1, scores, NULL));
        assert_ok(infl_model_set_state(clone, s->state));
        assert_ok(infl_model_set_state(s->model, state));
        assert_fails(INFL_E_ARGUMENT, infl_inverse_solve(inverse, s->theta, 1, x, NULL));
        ck_assert_ptr_nonnull(strstr(infl_last_error(), "state"));
        assert_ok(infl_model_set_state(s->model, s->state));
    }
    assert_ok(infl_inverse_solve(inverse, s->theta, 1, x, NULL));
    infl_objective_destroy(test);
    infl_model_destroy(clone);
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    destroy_setting(s);
}
END_TEST

/* Leave-one-out retraining is training of a copy without the row, whose state goes with its θ, and changes neither. */
START_TEST(test_retraining) {
    setting *s = make_setting(33, INFL_F64);
    infl_train_options train = plain_descent(6, 0.2);
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    const size_t rows[] = {4, 20}, test_rows[] = {0, 7, 31};
    double changes[2 * PARAMETERS], loss_changes[3 * 2], theta[PARAMETERS], state[STATE], start_state[STATE];
    train.batch = 11;
    train.fixed_statistics = _i;
    options.train = &train;
    options.subtract_control = 0;
    for (size_t i = 0; i < STATE; i++)
        start_state[i] = 0.25;
    for (int from = 0; from < 2; from++) {
        options.start_state = from == 0 ? NULL : start_state;
        options.threads = 1 + from;
        output.parameter_changes = changes;
        output.loss_changes = loss_changes;
        assert_ok(infl_retrain_without(s->objective, rows, 2, s->objective, test_rows, 3, &options, &output));
        assert_ok(infl_model_get_parameters(s->model, theta));
        assert_ok(infl_model_get_state(s->model, state));
        assert_same_bits(theta, s->theta, PARAMETERS, "theta of the optimum");
        assert_same_bits(state, s->state, STATE, "state of the optimum");
        for (size_t i = 0; i < 2; i++) {
            infl_model *model = NULL;
            double before[3], after[3];
            assert_ok(infl_model_clone(&model, s->model));
            if (from == 1)
                assert_ok(infl_model_set_state(model, start_state));
            infl_objective *whole = make_objective(s, model, 1, 0), *without = NULL;
            assert_ok(infl_objective_losses(s->objective, test_rows, 3, before));
            assert_ok(infl_objective_without(&without, whole, &rows[i], 1));
            assert_ok(infl_train_in_batches_of(whole, without, &train, NULL));
            assert_ok(infl_objective_get_parameters(without, theta));
            size_t moved[3]; /* the test rows' places where the removed one is not */
            for (size_t j = 0; j < 3; j++)
                moved[j] = test_rows[j] - (test_rows[j] > rows[i]);
            assert_ok(infl_objective_losses(without, moved, 3, after));
            for (size_t j = 0; j < PARAMETERS; j++)
                theta[j] -= s->theta[j];
            assert_same_bits(changes + i * PARAMETERS, theta, PARAMETERS, "row %zu", rows[i]);
            for (size_t j = 0; j < 3; j++)
                ck_assert_msg(fabs(loss_changes[j * 2 + i] - (after[j] - before[j])) <= 1e-13 * (1.0 + fabs(after[j])),
                              "loss %zu without row %zu changes by %.17g, not %.17g", j, rows[i],
                              loss_changes[j * 2 + i], after[j] - before[j]);
            infl_objective_destroy(without);
            infl_objective_destroy(whole);
            infl_model_destroy(model);
        }
    }
    start_state[2] = NAN;
    assert_fails(INFL_E_NONFINITE, infl_retrain_without(s->objective, rows, 2, NULL, NULL, 0, &options, &output));
    destroy_setting(s);
}
END_TEST

/*
 * A batch of two that loses one has no variance: the step is not taken, and neither θ nor the state knows of it. Of 10
 * rows in batches of 4 that happens to the two of the third batch, and three steps then end as two do.
 */
START_TEST(test_retraining_skips) {
    setting *s = make_setting(10, INFL_F64);
    infl_train_options train = plain_descent(3, 0.2);
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    double changes[2][10 * PARAMETERS], losses[2][10 * 10];
    size_t same = 0;
    train.batch = 4;
    train.momentum = 0.5;
    options.train = &train;
    options.subtract_control = 0;
    for (int taken = 0; taken < 2; taken++) {
        train.steps = taken == 0 ? 3 : 2;
        output.parameter_changes = changes[taken];
        output.loss_changes = losses[taken];
        assert_ok(infl_retrain_without(s->objective, NULL, 0, s->objective, NULL, 0, &options, &output));
    }
    for (size_t i = 0; i < 10; i++) {
        int skipped = memcmp(changes[0] + i * PARAMETERS, changes[1] + i * PARAMETERS, sizeof(double[PARAMETERS])) == 0;
        for (size_t t = 0; t < 10; t++) /* the losses are measured with the state */
            ck_assert_int_eq(losses[0][t * 10 + i] == losses[1][t * 10 + i], skipped);
        same += (size_t)skipped;
    }
    ck_assert_uint_eq(same, 2);
    destroy_setting(s);
}
END_TEST

Suite *batch_norm_suite(void) {
    Suite *suite = suite_create("batch_norm");
    add_case(suite, "batch_norm/builder", test_builder, 1);
    add_case(suite, "batch_norm/state", test_state, 1);
    add_case(suite, "batch_norm/evaluation", test_evaluation, 1);
    add_case(suite, "batch_norm/images", test_images, 1);
    add_case(suite, "batch_norm/gradient", test_gradient, sizeof batches / sizeof batches[0]);
    add_case(suite, "batch_norm/precision", test_precision, 1);
    add_case(suite, "batch_norm/offset", test_offset, 1);
    add_case(suite, "batch_norm/steps", test_steps, 1);
    add_case(suite, "batch_norm/look", test_look, 1);
    add_case(suite, "batch_norm/threads", test_threads, 2);
    add_case(suite, "batch_norm/budget", test_budget, 1);
    add_case(suite, "batch_norm/restored", test_restored, 1);
    add_case(suite, "batch_norm/single-row", test_single_row, 1);
    add_case(suite, "batch_norm/fixed", test_fixed, 1);
    add_case(suite, "batch_norm/fixed/dropout", test_fixed_dropout, 3);
    add_case(suite, "batch_norm/stale", test_stale, 1);
    add_case(suite, "batch_norm/retraining", test_retraining, 2);
    add_case(suite, "batch_norm/retraining/skips", test_retraining_skips, 1);
    return suite;
}

#include "linear.h"
#include "suites.h"

/* What a callback of ours saw: the rows of each step's gradient, or how far the work came. */
typedef struct record {
    linear_problem *problem;
    size_t rows[512], starts[64], n_rows, n_calls;
    size_t cancel_at, last_done, last_total, fail_at;
} record;

static int record_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    record *r = context;
    if (r->fail_at > 0 && r->n_calls + 1 == r->fail_at)
        return 7;
    ck_assert_uint_lt(r->n_calls, 64);
    ck_assert_uint_le(r->n_rows + n, 512);
    r->starts[r->n_calls++] = r->n_rows;
    memcpy(r->rows + r->n_rows, rows, n * sizeof *rows);
    r->n_rows += n;
    return linear_row_gradients(r->problem, theta, rows, n, out);
}

static int record_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    return linear_losses(((record *)context)->problem, theta, rows, n, losses);
}

static infl_objective *recorded_objective(record *r, const double *theta) {
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = r->problem->n;
    custom.n_parameters = r->problem->d;
    custom.context = r;
    custom.losses = record_losses;
    custom.row_gradients = record_gradients;
    custom.decay_mask = r->problem->mask;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = r->problem->decay;
    options.threads = 1;
    infl_objective *objective;
    assert_ok(infl_objective_create_custom(&objective, &custom, theta, &options));
    return objective;
}

static int count_progress(void *context, const char *stage, size_t done, size_t total) {
    record *r = context;
    ck_assert(strcmp(stage, "train") == 0 || strcmp(stage, "polish") == 0);
    ck_assert_uint_ge(done, r->last_done);
    ck_assert_uint_le(done, total);
    r->last_done = done;
    r->last_total = total;
    return ++r->n_calls == r->cancel_at;
}

/* PyTorch's torch.optim.SGD and Adam for one parameter, as its documentation writes them. */
typedef struct scalar_optimiser {
    double buffer, m, v;
    size_t t;
} scalar_optimiser;

static double scalar_step(scalar_optimiser *s, const infl_train_options *o, double rate, double theta, double g) {
    s->t++;
    if (o->optimiser == INFL_SGD) {
        if (o->momentum == 0.0)
            return theta - rate * g;
        s->buffer = s->t > 1 ? o->momentum * s->buffer + g : g;
        return theta - rate * (o->nesterov ? g + o->momentum * s->buffer : s->buffer);
    }
    s->m = o->beta1 * s->m + (1 - o->beta1) * g;
    s->v = o->beta2 * s->v + (1 - o->beta2) * g * g;
    double m = s->m / (1 - pow(o->beta1, (double)s->t)), v = s->v / (1 - pow(o->beta2, (double)s->t));
    return theta - rate * m / (sqrt(v) + o->epsilon);
}

static const struct {
    const char *name;
    infl_optimiser optimiser;
    double momentum;
    int nesterov;
} optimisers[] = {
    {"plain", INFL_SGD, 0.0, 0},
    {"momentum", INFL_SGD, 0.8, 0},
    {"nesterov", INFL_SGD, 0.8, 1},
    {"adam", INFL_ADAM, 0.0, 0},
};

/* Rounding of 30 steps of size O(1) each on sums of 11 rows: 30·11·ε ≈ 1e-13. */
START_TEST(every_step_is_pytorchs) {
    linear_problem l = linear_create(1, 11, 4, 0.05, 3);
    double start[4] = {0.3, -0.2, 0.1, 0.7}, theta[4], found[4], gradient[4];
    static const size_t milestones[] = {4, 9}, checkpoints[] = {1, 2, 3, 30};
    for (size_t c = 0; c < 4; c++) {
        infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
        o.optimiser = optimisers[_i].optimiser;
        o.momentum = optimisers[_i].momentum;
        o.nesterov = optimisers[_i].nesterov;
        o.steps = checkpoints[c];
        o.learning_rate = 0.2;
        o.milestones = milestones;
        o.n_milestones = 2;
        o.decay_factor = 0.3;
        infl_objective *objective = linear_objective(&l, start, 1);
        infl_train_result result;
        assert_ok(infl_train(objective, &o, &result));
        assert_ok(infl_objective_get_parameters(objective, found));
        scalar_optimiser states[4] = {{0}};
        memcpy(theta, start, sizeof theta);
        for (size_t step = 0; step < o.steps; step++) {
            linear_risk(&l, theta, LINEAR_NO_ROW, gradient, NULL);
            double rate = step < 4 ? 0.2 : step < 9 ? 0.2 * 0.3 : 0.2 * 0.3 * 0.3;
            for (size_t j = 0; j < 4; j++)
                theta[j] = scalar_step(&states[j], &o, rate, theta[j], gradient[j]);
        }
        assert_close(found, theta, 4, 1e-13, "%s after %zu steps", optimisers[_i].name, o.steps);
        double value = linear_risk(&l, theta, LINEAR_NO_ROW, gradient, NULL);
        double norm = sqrt(linear_dot(gradient, gradient, 4));
        assert_close(&result.value, &value, 1, 1e-13, "%s", optimisers[_i].name);
        assert_close(&result.gradient_norm, &norm, 1, 1e-11, "%s", optimisers[_i].name);
        ck_assert_uint_eq(result.steps, o.steps);
        ck_assert_int_eq(result.reason, INFL_STOP_STEPS);
        infl_objective_destroy(objective);
    }
    linear_destroy(&l);
}
END_TEST

START_TEST(stops_at_the_tolerance_and_only_then) {
    linear_problem l = linear_create(1, 30, 3, 0.1, 5);
    double zero[3] = {0}, optimum[3];
    infl_objective *objective = linear_objective(&l, zero, 1);
    infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
    o.optimiser = INFL_SGD;
    o.learning_rate = 0.5;
    o.steps = 100000;
    o.gradient_tolerance = 1e-6;
    o.check_every = 7;
    infl_train_result result;
    assert_ok(infl_train(objective, &o, &result));
    ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
    ck_assert_uint_eq(result.steps % 7, 0);
    ck_assert_uint_gt(result.steps, 0);
    ck_assert_double_le(result.gradient_norm, 1e-6);
    /* seven steps earlier the tolerance was not reached */
    size_t steps = result.steps;
    assert_ok(infl_objective_set_parameters(objective, zero));
    o.steps = steps - 7;
    assert_ok(infl_train(objective, &o, &result));
    ck_assert_int_eq(result.reason, INFL_STOP_STEPS);
    ck_assert_double_gt(result.gradient_norm, 1e-6);
    /* at the optimum there is nothing to do, with batches either */
    linear_minimise(&l, LINEAR_NO_ROW, optimum);
    assert_ok(infl_objective_set_parameters(objective, optimum));
    for (o.batch = 0; o.batch <= 8; o.batch += 8) {
        assert_ok(infl_train(objective, &o, &result));
        ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
        ck_assert_uint_eq(result.steps, 0);
    }
    /* over all rows a look costs nothing: a gradient a step and one at the end */
    record r = {.problem = &l};
    infl_objective *recorded = recorded_objective(&r, zero);
    o.batch = 0;
    o.steps = 9;
    o.check_every = 1;
    assert_ok(infl_train(recorded, &o, NULL));
    ck_assert_uint_eq(r.n_calls, 10);
    infl_objective_destroy(recorded);
    /* the last step counts too */
    o.steps = 0;
    assert_ok(infl_train(objective, &o, &result));
    ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

/* Trains for `steps` batches of 4 and records the rows of each. The final evaluation over all rows is not kept. */
static void record_batches(record *r, infl_objective *objective, size_t steps, uint64_t seed) {
    infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
    o.steps = steps;
    o.batch = 4;
    o.seed = seed;
    r->n_rows = r->n_calls = 0;
    assert_ok(infl_train(objective, &o, NULL));
    r->n_rows = r->starts[steps];
}

START_TEST(batches_cover_each_epoch) {
    linear_problem l = linear_create(0, 10, 2, 0.0, 7);
    double theta[2] = {0};
    record r = {.problem = &l};
    infl_objective *objective = recorded_objective(&r, theta);
    record_batches(&r, objective, 6, 1);
    ck_assert_uint_eq(r.n_rows, 20);
    const size_t starts[] = {0, 4, 8, 10, 14, 18, 20};
    ck_assert_mem_eq(r.starts, starts, sizeof starts);
    for (size_t epoch = 0; epoch < 2; epoch++) {
        int seen[10] = {0};
        for (size_t i = 0; i < 10; i++)
            seen[r.rows[epoch * 10 + i]]++;
        for (size_t i = 0; i < 10; i++)
            ck_assert_int_eq(seen[i], 1);
    }
    ck_assert_mem_ne(r.rows, r.rows + 10, 10 * sizeof *r.rows);
    record again = {.problem = &l}, other = {.problem = &l};
    infl_objective *second = recorded_objective(&again, theta), *third = recorded_objective(&other, theta);
    record_batches(&again, second, 6, 1);
    record_batches(&other, third, 6, 2);
    ck_assert_mem_eq(again.rows, r.rows, 20 * sizeof *r.rows);
    ck_assert_mem_ne(other.rows, r.rows, 20 * sizeof *r.rows);
    infl_objective_destroy(objective);
    infl_objective_destroy(second);
    infl_objective_destroy(third);
    linear_destroy(&l);
}
END_TEST

START_TEST(removing_a_row_keeps_the_order) {
    linear_problem l = linear_create(0, 13, 2, 0.0, 7);
    double theta[2] = {0};
    record r = {.problem = &l};
    infl_objective *objective = recorded_objective(&r, theta), *without;
    record_batches(&r, objective, 12, 9); /* 3 epochs of 4 batches */
    size_t order[39], kept = 0, removed = 5;
    ck_assert_uint_eq(r.n_rows, 39);
    for (size_t i = 0; i < 39; i++)
        if (r.rows[i] != removed)
            order[kept++] = r.rows[i];
    assert_ok(infl_objective_without(&without, objective, &removed, 1));
    record_batches(&r, without, 9, 9); /* 3 epochs of 3 batches */
    ck_assert_uint_eq(r.n_rows, kept);
    ck_assert_mem_eq(r.rows, order, kept * sizeof *order);
    infl_objective_destroy(without);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

START_TEST(a_batch_is_the_mean_over_its_rows) {
    linear_problem l = linear_create(1, 10, 3, 0.2, 7);
    double start[3] = {0.1, 0.2, 0.3}, theta[3], found[3];
    record r = {.problem = &l};
    infl_objective *objective = recorded_objective(&r, start);
    infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
    o.optimiser = INFL_SGD;
    o.steps = 6;
    o.batch = 4;
    o.learning_rate = 0.1;
    assert_ok(infl_train(objective, &o, NULL));
    assert_ok(infl_objective_get_parameters(objective, found));
    memcpy(theta, start, sizeof theta);
    for (size_t step = 0; step < 6; step++) {
        double gradient[3], size = (double)(r.starts[step + 1] - r.starts[step]);
        for (size_t j = 0; j < 3; j++)
            gradient[j] = l.mask[j] ? l.decay * theta[j] : 0.0;
        for (size_t i = r.starts[step]; i < r.starts[step + 1]; i++)
            for (size_t j = 0; j < 3; j++)
                gradient[j] += linear_slope(&l, theta, r.rows[i]) * l.x[r.rows[i] * 3 + j] / size;
        for (size_t j = 0; j < 3; j++)
            theta[j] -= 0.1 * gradient[j];
    }
    assert_close(found, theta, 3, 1e-14, "six batches");
    /* a look at the gradient over all rows is no part of the step */
    assert_ok(infl_objective_set_parameters(objective, start));
    o.gradient_tolerance = 1e-12;
    o.check_every = 1;
    assert_ok(infl_train(objective, &o, NULL));
    assert_ok(infl_objective_get_parameters(objective, theta));
    ck_assert_mem_eq(theta, found, sizeof found);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

static const infl_train_result untouched = {.value = SENTINEL, .steps = 77};

START_TEST(divergence_leaves_theta) {
    linear_problem l = linear_create(0, 10, 3, 0.0, 7);
    double start[3] = {0.1, 0.2, 0.3}, found[3];
    infl_objective *objective = linear_objective(&l, start, 1);
    infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
    o.optimiser = INFL_SGD;
    o.learning_rate = 1e3;
    for (o.batch = 0; o.batch <= 3; o.batch += 3) {
        for (o.steps = 60; o.steps <= 1000; o.steps += 940) { /* R alone overflows, or θ too */
            infl_train_result result = untouched;
            assert_fails(INFL_E_DIVERGED, infl_train(objective, &o, &result));
            ck_assert_mem_eq(&result, &untouched, sizeof result);
            assert_ok(infl_objective_get_parameters(objective, found));
            ck_assert_mem_eq(found, start, sizeof start);
        }
    }
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

START_TEST(a_failing_callback_leaves_theta) {
    linear_problem l = linear_create(0, 10, 3, 0.0, 7);
    double start[3] = {0.1, 0.2, 0.3}, found[3];
    for (size_t fail_at = 1; fail_at <= 6; fail_at++) {
        record r = {.problem = &l, .fail_at = fail_at};
        infl_objective *objective = recorded_objective(&r, start);
        infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
        o.steps = 5;
        infl_train_result result = untouched;
        ck_assert_int_eq(infl_train(objective, &o, &result), INFL_E_CALLBACK);
        ck_assert_mem_eq(&result, &untouched, sizeof result);
        assert_ok(infl_objective_get_parameters(objective, found));
        ck_assert_mem_eq(found, start, sizeof start);
        infl_objective_destroy(objective);
    }
    linear_destroy(&l);
}
END_TEST

START_TEST(progress_and_cancelling) {
    linear_problem l = linear_create(1, 10, 3, 0.1, 7);
    double start[3] = {0.1, 0.2, 0.3}, found[3];
    infl_objective *objective = linear_objective(&l, start, 1);
    record r = {0};
    infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
    o.steps = 1234;
    o.progress = count_progress;
    o.progress_context = &r;
    assert_ok(infl_train(objective, &o, NULL));
    ck_assert_uint_ge(r.n_calls, 90);
    ck_assert_uint_le(r.n_calls, 110);
    ck_assert_uint_eq(r.last_done, 1234);
    ck_assert_uint_eq(r.last_total, 1234);
    size_t n_calls = r.n_calls;
    assert_ok(infl_objective_set_parameters(objective, start));
    for (size_t cancel_at = 1; cancel_at <= n_calls; cancel_at += n_calls / 2 - 1) {
        r = (record){.cancel_at = cancel_at};
        infl_train_result result = untouched;
        assert_fails(INFL_E_CANCELLED, infl_train(objective, &o, &result));
        ck_assert_uint_eq(r.n_calls, cancel_at);
        ck_assert_mem_eq(&result, &untouched, sizeof result);
        assert_ok(infl_objective_get_parameters(objective, found));
        ck_assert_mem_eq(found, start, sizeof start);
    }
    o.report_every = 500; /* after 500, 1,000 and at the end */
    r = (record){0};
    assert_ok(infl_train(objective, &o, NULL));
    ck_assert_uint_eq(r.n_calls, 3);
    assert_ok(infl_objective_set_parameters(objective, start));
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    polish.progress = count_progress;
    polish.progress_context = &r;
    r = (record){0};
    assert_ok(infl_polish(objective, &polish, NULL));
    ck_assert_uint_eq(r.last_done, polish.max_iterations);
    n_calls = r.n_calls;
    assert_ok(infl_objective_set_parameters(objective, start));
    for (size_t cancel_at = 1; cancel_at <= n_calls; cancel_at++) {
        r = (record){.cancel_at = cancel_at};
        infl_train_result result = untouched;
        assert_fails(INFL_E_CANCELLED, infl_polish(objective, &polish, &result));
        ck_assert_mem_eq(&result, &untouched, sizeof result);
        assert_ok(infl_objective_get_parameters(objective, found));
        ck_assert_mem_eq(found, start, sizeof start);
    }
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

static void assert_refused(infl_objective *objective, infl_train_options o, const char *word) {
    assert_fails(INFL_E_ARGUMENT, infl_train(objective, &o, NULL));
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "%s", infl_last_error());
}

#define REFUSED(field, given)                                                                                          \
    do {                                                                                                               \
        infl_train_options o = INFL_TRAIN_OPTIONS_INIT;                                                                \
        o.field = (given);                                                                                             \
        assert_refused(objective, o, #field);                                                                          \
    } while (0)

START_TEST(arguments) {
    linear_problem l = linear_create(1, 10, 3, 0.1, 7);
    double start[3] = {0.1, 0.2, 0.3}, found[3];
    infl_objective *objective = linear_objective(&l, start, 1);
    assert_fails(INFL_E_ARGUMENT, infl_train(NULL, NULL, NULL));
    REFUSED(optimiser, (infl_optimiser)2);
    REFUSED(learning_rate, 0.0);
    REFUSED(learning_rate, NAN);
    REFUSED(learning_rate, INFINITY);
    REFUSED(momentum, 1.0);
    REFUSED(momentum, -0.1);
    REFUSED(beta1, 1.0);
    REFUSED(beta2, NAN);
    REFUSED(epsilon, 0.0);
    REFUSED(decay_factor, -1.0);
    REFUSED(gradient_tolerance, -1e-9);
    REFUSED(gradient_tolerance, NAN);
    infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
    o.n_milestones = 2;
    assert_refused(objective, o, "milestones");
    o.milestones = (const size_t[]){5, 5};
    assert_refused(objective, o, "milestones");
    o = (infl_train_options)INFL_TRAIN_OPTIONS_INIT;
    o.size = 1;
    assert_refused(objective, o, "INIT");
    infl_polish_options p = INFL_POLISH_OPTIONS_INIT;
    p.gradient_tolerance = NAN;
    assert_fails(INFL_E_ARGUMENT, infl_polish(objective, &p, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_polish(NULL, NULL, NULL));
    assert_ok(infl_objective_get_parameters(objective, found));
    ck_assert_mem_eq(found, start, sizeof start);
    infl_objective_destroy(objective);
    record r = {.problem = &l}; /* has no product with the Hessian */
    objective = recorded_objective(&r, start);
    ck_assert_int_eq(infl_polish(objective, NULL, NULL), INFL_E_UNSUPPORTED);
    assert_ok(infl_objective_get_parameters(objective, found));
    ck_assert_mem_eq(found, start, sizeof start);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

/* ∇R ≤ 1e-12 and λmin(H) ≥ 0.01 put θ within 1e-10 of the optimum. */
START_TEST(polish_finds_the_optimum) {
    int logistic = _i;
    linear_problem l = linear_create(logistic, 40, 5, 0.05, 11);
    double start[5] = {3, -2, 1, 4, 2}, optimum[5], found[5];
    linear_minimise(&l, LINEAR_NO_ROW, optimum);
    infl_objective *objective = linear_objective(&l, start, 1);
    infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
    o.gradient_tolerance = 1e-12;
    infl_train_result result;
    assert_ok(infl_polish(objective, &o, &result));
    ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
    ck_assert_double_le(result.gradient_norm, 1e-12);
    ck_assert_uint_ge(result.steps, 1);
    ck_assert_uint_le(result.steps, logistic ? 12 : 7);
    assert_ok(infl_objective_get_parameters(objective, found));
    assert_close(found, optimum, 5, 1e-10, "polish");
    double value = linear_risk(&l, optimum, LINEAR_NO_ROW, NULL, NULL);
    assert_close(&result.value, &value, 1, 1e-14, "R");
    /* there already: not a bit changes */
    assert_ok(infl_polish(objective, &o, &result));
    ck_assert_uint_eq(result.steps, 0);
    double same[5];
    assert_ok(infl_objective_get_parameters(objective, same));
    ck_assert_mem_eq(same, found, sizeof same);
    /* with a tolerance that no arithmetic reaches it stops by itself, at rounding */
    o.gradient_tolerance = 0.0;
    assert_ok(infl_polish(objective, &o, &result));
    ck_assert(result.reason == INFL_STOP_STALLED || result.gradient_norm == 0.0);
    ck_assert_double_le(result.gradient_norm, 1e-14);
    ck_assert_uint_lt(result.steps, 12);
    /* the limit is no error */
    assert_ok(infl_objective_set_parameters(objective, start));
    o.max_iterations = 1;
    assert_ok(infl_polish(objective, &o, &result));
    ck_assert_int_eq(result.reason, INFL_STOP_STEPS);
    ck_assert_uint_eq(result.steps, 1);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

/* One "row" whose loss is a function of its own; the kind is the context. */
typedef enum shape { DOUBLE_WELL, SLOPE, HIGH, VALLEY, CLIFF, BOWL, NOISY } shape;

/* ±1e-9, another for every x, as rounding in low precision would have it */
static double noise(double x) {
    uint64_t state;
    memcpy(&state, &x, sizeof state);
    return 2e-9 * linear_uniform(&state) - 1e-9;
}

static double least_norm; /* of all gradients that NOISY gave */

static double bump(double x) { return x * x - 1.0; }

static int shape_losses(void *context, const double *t, const size_t *rows, size_t n, double *losses) {
    (void)rows;
    for (size_t i = 0; i < n; i++) {
        switch (*(shape *)context) {
        case DOUBLE_WELL:
            losses[i] = 0.25 * bump(t[0]) * bump(t[0]) + 0.5 * (t[1] - 2) * (t[1] - 2);
            break;
        case SLOPE:
            losses[i] = 3 * t[0] - t[1];
            break;
        case HIGH:
            losses[i] = 1e8 + 0.25 * pow(t[0], 4) + 0.5 * t[0] * t[0] + 50 * (t[1] - 2) * (t[1] - 2);
            break;
        case VALLEY:
            losses[i] = 100 * (t[1] - t[0] * t[0]) * (t[1] - t[0] * t[0]) + (1 - t[0]) * (1 - t[0]);
            break;
        case BOWL:
            losses[i] = 0.5 * t[0] * t[0] + t[1] * t[1];
            break;
        case NOISY:
            losses[i] = 1.0 + 0.5 * t[0] * t[0] + t[1] * t[1];
            break;
        case CLIFF:
            losses[i] = exp(t[0]) - t[0] + 0.5 * (t[1] - 2000) * (t[1] - 2000);
            break;
        }
    }
    return 0;
}

static int shape_gradients(void *context, const double *t, const size_t *rows, size_t n, double *out) {
    (void)rows;
    for (size_t i = 0; i < n; i++) {
        double *g = out + 2 * i;
        switch (*(shape *)context) {
        case DOUBLE_WELL:
            g[0] = t[0] * bump(t[0]), g[1] = t[1] - 2;
            break;
        case SLOPE:
            g[0] = 3, g[1] = -1;
            break;
        case HIGH:
            g[0] = t[0] * t[0] * t[0] + t[0], g[1] = 100 * (t[1] - 2);
            break;
        case BOWL:
            g[0] = t[0], g[1] = 2 * t[1];
            break;
        case NOISY:
            g[0] = t[0] + noise(t[0]), g[1] = 2 * t[1] + noise(t[1]);
            least_norm = fmin(least_norm, hypot(g[0], g[1]));
            break;
        case CLIFF:
            g[0] = expm1(t[0]), g[1] = t[1] - 2000;
            break;
        case VALLEY:
            g[0] = -400 * t[0] * (t[1] - t[0] * t[0]) - 2 * (1 - t[0]);
            g[1] = 200 * (t[1] - t[0] * t[0]);
            break;
        }
    }
    return 0;
}

static int shape_products(void *context, const double *t, const size_t *rows, size_t n, const double *v, size_t k,
                          double *out) {
    (void)rows;
    for (size_t j = 0; j < k; j++, v += 2, out += 2) {
        double a = 0, b = 0, c = 0;
        switch (*(shape *)context) {
        case DOUBLE_WELL:
            a = 3 * t[0] * t[0] - 1, c = 1;
            break;
        case SLOPE:
            break;
        case HIGH:
            a = 3 * t[0] * t[0] + 1, c = 100;
            break;
        case NOISY:
        case BOWL:
            a = 1, c = 2;
            break;
        case CLIFF:
            a = exp(t[0]), c = 1;
            break;
        case VALLEY:
            a = 1200 * t[0] * t[0] - 400 * t[1] + 2, b = -400 * t[0], c = 200;
            break;
        }
        out[0] = (double)n * (a * v[0] + b * v[1]);
        out[1] = (double)n * (b * v[0] + c * v[1]);
    }
    return 0;
}

static void polish_shape(shape kind, double a, double b, double tolerance, double theta[2], infl_train_result *result) {
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = 1;
    custom.n_parameters = 2;
    custom.context = &kind;
    custom.losses = shape_losses;
    custom.row_gradients = shape_gradients;
    custom.hessian_products = shape_products;
    theta[0] = a;
    theta[1] = b;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = 1;
    infl_objective *objective;
    assert_ok(infl_objective_create_custom(&objective, &custom, theta, &options));
    infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
    o.gradient_tolerance = tolerance;
    double before, value, gradient[2];
    assert_ok(infl_objective_evaluate(objective, &before, NULL));
    assert_ok(infl_polish(objective, &o, result));
    assert_ok(infl_objective_get_parameters(objective, theta));
    /* what is reported is of the θ left behind, and no worse than the start */
    assert_ok(infl_objective_evaluate(objective, &value, gradient));
    ck_assert_double_eq(result->value, value);
    double norm = hypot(gradient[0], gradient[1]);
    ck_assert_double_le(fabs(result->gradient_norm - norm), 1e-14 * norm);
    ck_assert_double_le(value, before);
    infl_objective_destroy(objective);
}

START_TEST(polish_leaves_a_saddle) {
    double theta[2];
    infl_train_result result;
    for (int sign = -1; sign <= 1; sign += 2) {
        polish_shape(DOUBLE_WELL, sign * 1e-7, 2.0, 1e-12, theta, &result);
        ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
        ck_assert_double_eq_tol(fabs(theta[0]), 1.0, 1e-11);
        ck_assert_double_eq_tol(theta[1], 2.0, 1e-11);
        ck_assert_uint_lt(result.steps, 16);
    }
    polish_shape(VALLEY, -1.2, 1.0, 1e-11, theta, &result); /* Rosenbrock's function from its usual start */
    ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
    ck_assert_double_eq_tol(theta[0], 1.0, 1e-9);
    ck_assert_double_eq_tol(theta[1], 1.0, 1e-9);
    ck_assert_uint_lt(result.steps, 45);
}
END_TEST

/* A quadratic is its own model, and the first radius ‖θ‖ reaches its minimum. */
START_TEST(polish_of_a_distant_quadratic) {
    double theta[2];
    infl_train_result result;
    polish_shape(BOWL, 0.0, 0.0, 1e-12, theta, &result);
    ck_assert_uint_eq(result.steps, 0);
    polish_shape(BOWL, 1e5, -1e5, 1e-12, theta, &result);
    ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
    ck_assert_uint_le(result.steps, 4);
}
END_TEST

/* Below the noise of the gradient nothing is to be had: it ends soon, and with about the best that it saw. */
START_TEST(polish_ends_in_noise) {
    double theta[2];
    infl_train_result result;
    for (int i = 1; i <= 20; i++) {
        least_norm = INFINITY;
        polish_shape(NOISY, 0.1 * i, 1.0, 1e-14, theta, &result);
        ck_assert_int_eq(result.reason, INFL_STOP_STALLED);
        ck_assert_msg(result.gradient_norm <= 1.5 * least_norm, "start %d: %g, but %g was seen", i,
                      result.gradient_norm, least_norm);
        ck_assert_msg(result.steps < 20, "start %d: %zu", i, result.steps);
    }
}
END_TEST

/* From −20 the model's minimum lies e²⁰ away and the first radius ends at 1980, where R is infinite. */
START_TEST(polish_steps_back_from_infinity) {
    double theta[2];
    infl_train_result result;
    polish_shape(CLIFF, -20.0, 2000.0, 1e-12, theta, &result);
    ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
    ck_assert_double_eq_tol(theta[0], 0.0, 1e-11);
    ck_assert_double_eq_tol(theta[1], 2000.0, 1e-11);
    ck_assert_double_eq_tol(result.value, 1.0, 1e-14);
}
END_TEST

START_TEST(polish_without_a_bottom_ends) {
    double theta[2];
    infl_train_result result;
    polish_shape(SLOPE, 0.0, 0.0, 1e-12, theta, &result);
    ck_assert_int_eq(result.reason, INFL_STOP_STEPS);
    ck_assert_uint_eq(result.steps, 200);
    ck_assert(isfinite(theta[0]) && isfinite(theta[1]) && isfinite(result.value));
    ck_assert_double_lt(result.value, -1e6);
}
END_TEST

/* ε·R = 1.5e-8 hides all changes of R below ‖∇R‖ ≈ 1e-4; the gradient has no such burden. */
START_TEST(polish_goes_on_where_the_value_is_blind) {
    double theta[2];
    infl_train_result result;
    polish_shape(HIGH, 0.9, 2.1, 1e-13, theta, &result);
    ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
    ck_assert_double_le(fabs(theta[0]), 1e-13);
    ck_assert_double_eq_tol(theta[1], 2.0, 1e-14);
}
END_TEST

START_TEST(polish_of_separable_rows_ends) {
    linear_problem l = linear_create(1, 20, 3, 0.0, 11);
    for (size_t i = 0; i < l.n; i++)
        l.y[i] = l.x[i * 3] > 0.0 ? 1.0 : -1.0;
    double theta[3] = {0};
    infl_objective *objective = linear_objective(&l, theta, 1);
    infl_train_result result;
    assert_ok(infl_polish(objective, NULL, &result));
    assert_ok(infl_objective_get_parameters(objective, theta));
    ck_assert(isfinite(theta[0]) && isfinite(theta[1]) && isfinite(theta[2]));
    ck_assert_double_lt(result.value, 1e-8);
    ck_assert_double_lt(result.gradient_norm, 1e-8);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

/*
 * A feature that is a combination of two others makes the Hessian singular; what θ has along its kernel is to stay, up
 * to what rounding leaks of the gradient into it: ε·‖∇R‖ of the start over the least curvature, times the steps.
 */
START_TEST(polish_keeps_out_of_the_kernel) {
    linear_problem l = linear_create(_i, 40, 4, 0.0, 11);
    const double kernel[4] = {0.3, 1.7, -1.0, 0.0};
    for (size_t i = 0; i < l.n; i++)
        l.x[i * 4 + 2] = 0.3 * l.x[i * 4] + 1.7 * l.x[i * 4 + 1];
    double start[4] = {2.0, -1.0, 0.3, 0.5}, theta[4];
    infl_objective *objective = linear_objective(&l, start, 1);
    infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
    infl_train_result result;
    const double tolerances[] = {1e-12, 0.0};
    for (size_t i = 0; i < 2; i++) {
        o.gradient_tolerance = tolerances[i];
        assert_ok(infl_polish(objective, &o, &result));
        ck_assert_double_le(result.gradient_norm, 1e-12);
        assert_ok(infl_objective_get_parameters(objective, theta));
        ck_assert_double_eq_tol(linear_dot(kernel, theta, 4), linear_dot(kernel, start, 4), 1e-9);
    }
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

static infl_objective *iris_objective(infl_model **model, infl_precision precision, infl_activation activation,
                                      size_t depth, uint64_t seed, double decay, int threads) {
    infl_dataset *raw, *dataset;
    assert_ok(infl_dataset_iris(&raw));
    assert_ok(infl_dataset_standardise(&dataset, raw, NULL));
    size_t units[3] = {5, 5, 5};
    units[depth] = 3;
    assert_ok(infl_model_create_mlp(model, precision, 4, units, depth + 1, activation, INFL_INIT_GLOROT, seed));
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = decay;
    options.threads = threads;
    infl_objective *objective;
    assert_ok(infl_objective_create(&objective, *model, &loss, dataset, &options));
    infl_dataset_destroy(dataset);
    infl_dataset_destroy(raw);
    return objective;
}

enum { IRIS_PARAMETERS = 4 * 5 + 5 + 5 * 3 + 3 };

START_TEST(networks_train_to_the_same_bits) {
    double first[IRIS_PARAMETERS], found[IRIS_PARAMETERS];
    const int threads[] = {1, 2, 5};
    for (size_t t = 0; t < 3; t++) {
        infl_model *model;
        infl_objective *objective = iris_objective(&model, (infl_precision)_i, INFL_TANH, 1, 3, 0.005, threads[t]);
        infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
        o.learning_rate = 0.02;
        o.steps = 300;
        o.batch = 32;
        infl_train_result result;
        assert_ok(infl_train(objective, &o, &result));
        ck_assert_double_lt(result.gradient_norm, 0.1);
        assert_ok(infl_polish(objective, NULL, &result));
        /* f32: outputs and gradients of rows carry 6e-8 of relative error, and ∇R is a mean of terms below 10 */
        ck_assert_double_le(result.gradient_norm, _i == INFL_F64 ? 1e-10 : 1e-5);
        ck_assert_uint_lt(result.steps, 100);
        assert_ok(infl_objective_get_parameters(objective, t == 0 ? first : found));
        if (t > 0)
            assert_same_bits(found, first, IRIS_PARAMETERS, "%d threads", threads[t]);
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
}
END_TEST

/* In single precision R is blind below 1e-7 of itself, and θ moves by whole units in the last place. */
START_TEST(polish_reaches_single_precision) {
    const infl_activation smooth[] = {INFL_TANH, INFL_SIGMOID, INFL_SOFTPLUS, INFL_GELU};
    infl_train_options o = INFL_TRAIN_OPTIONS_INIT;
    o.steps = 500;
    o.learning_rate = 0.01;
    for (size_t i = 0; i < 16; i++) {
        infl_model *model;
        infl_objective *objective = iris_objective(&model, INFL_F32, smooth[i % 4], 1 + i / 8, i / 4 % 2, 0.005, 1);
        infl_train_result result;
        assert_ok(infl_train(objective, &o, NULL));
        assert_ok(infl_polish(objective, NULL, &result));
        ck_assert_int_eq(result.reason, INFL_STOP_STALLED);
        ck_assert_msg(result.gradient_norm <= 1e-6, "network %zu: %g", i, result.gradient_norm);
        ck_assert_msg(result.steps < 60, "network %zu: %zu iterations", i, result.steps);
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
}
END_TEST

START_TEST(polish_of_a_network_without_decay_ends) {
    infl_model *model;
    infl_objective *objective = iris_objective(&model, (infl_precision)_i, INFL_TANH, 1, 3, 0.0, 1);
    infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
    o.max_iterations = 60;
    infl_train_result result;
    assert_ok(infl_polish(objective, &o, &result));
    ck_assert_double_lt(result.value, 0.06); /* log 3 at the start; linear softmax regression reaches 0.04 */
    infl_objective_destroy(objective);
    infl_model_destroy(model);
}
END_TEST

Suite *training_suite(void) {
    Suite *suite = suite_create("training");
    add_case(suite, "training/steps", every_step_is_pytorchs, 4);
    add_case(suite, "training/tolerance", stops_at_the_tolerance_and_only_then, 1);
    add_case(suite, "training/batches/epoch", batches_cover_each_epoch, 1);
    add_case(suite, "training/batches/removal", removing_a_row_keeps_the_order, 1);
    add_case(suite, "training/batches/mean", a_batch_is_the_mean_over_its_rows, 1);
    add_case(suite, "training/divergence", divergence_leaves_theta, 1);
    add_case(suite, "training/callback", a_failing_callback_leaves_theta, 1);
    add_case(suite, "training/progress", progress_and_cancelling, 1);
    add_case(suite, "training/arguments", arguments, 1);
    add_case(suite, "training/polish/optimum", polish_finds_the_optimum, 2);
    add_case(suite, "training/polish/saddle", polish_leaves_a_saddle, 1);
    add_case(suite, "training/polish/quadratic", polish_of_a_distant_quadratic, 1);
    add_case(suite, "training/polish/noise", polish_ends_in_noise, 1);
    add_case(suite, "training/polish/cliff", polish_steps_back_from_infinity, 1);
    add_case(suite, "training/polish/bottomless", polish_without_a_bottom_ends, 1);
    add_case(suite, "training/polish/blind-value", polish_goes_on_where_the_value_is_blind, 1);
    add_case(suite, "training/polish/separable", polish_of_separable_rows_ends, 1);
    add_case(suite, "training/polish/kernel", polish_keeps_out_of_the_kernel, 2);
    add_case(suite, "training/network/threads", networks_train_to_the_same_bits, 2);
    add_case(suite, "training/network/single", polish_reaches_single_precision, 1);
    add_case(suite, "training/network/no-decay", polish_of_a_network_without_decay_ends, 2);
    return suite;
}

#include <stdatomic.h>
#include <time.h>

#include "linear.h"
#include "suites.h"

enum { MAX_D = 8, MAX_N = 128 };

static const infl_train_result untouched = {.value = SENTINEL, .steps = 77};

/* θ of ridge regression without a row by Sherman & Morrison: A = XᵀX + (n−1)μD, A₋ᵢ = A − xxᵀ, b₋ᵢ = b − xy. */
static void ridge_without(const linear_problem *l, size_t row, double *theta) {
    size_t d = l->d;
    double a[MAX_D * MAX_D] = {0}, b[MAX_D] = {0}, ax[MAX_D];
    for (size_t j = 0; j < d; j++)
        a[j * d + j] = l->mask[j] ? l->decay * (double)(l->n - 1) : 0.0;
    for (size_t i = 0; i < l->n; i++) {
        for (size_t j = 0; j < d; j++) {
            b[j] += l->x[i * d + j] * l->y[i];
            for (size_t k = 0; k < d; k++)
                a[j * d + k] += l->x[i * d + j] * l->x[i * d + k];
        }
    }
    const double *x = l->x + row * d;
    for (size_t j = 0; j < d; j++)
        b[j] -= x[j] * l->y[row];
    memcpy(ax, x, d * sizeof *x);
    linear_solve(a, ax, d);
    memcpy(theta, b, d * sizeof *b);
    linear_solve(a, theta, d);
    double factor = linear_dot(x, theta, d) / (1.0 - linear_dot(x, ax, d));
    for (size_t j = 0; j < d; j++)
        theta[j] += factor * ax[j];
}

/* ∇R ≤ 1e-13 with λmin(H) ≥ 0.05 leaves θ wrong by less than 1e-11. */
START_TEST(ridge_without_each_row) {
    linear_problem l = linear_create(0, 30, 4, 0.1, 21), other = linear_create(0, 7, 4, 0.1, 22);
    double optimum[4], changes[30 * 4], losses[30 * 3], expected[30 * 4], expected_losses[30 * 3], drift[4], drifts[3];
    linear_minimise(&l, LINEAR_NO_ROW, optimum);
    size_t test_rows[] = {6, 0, 3};
    for (size_t i = 0; i < 30; i++) {
        double theta[4];
        ridge_without(&l, i, theta);
        for (size_t j = 0; j < 4; j++)
            expected[i * 4 + j] = theta[j] - optimum[j];
        for (size_t t = 0; t < 3; t++)
            expected_losses[t * 30 + i] =
                linear_loss(&other, theta, test_rows[t]) - linear_loss(&other, optimum, test_rows[t]);
    }
    double elsewhere[4] = {9, 9, 9, 9}, scratch[4] = {-1, 2, 0, 1}, after[4];
    infl_objective *train = linear_objective(&l, optimum, 2), *test = linear_objective(&other, elsewhere, 1);
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    polish.gradient_tolerance = 1e-13;
    infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
    sgd.steps = 20;
    infl_train_result results[30], control;
    double predicted[30 * 4], norms[30], cosines[30];
    for (size_t i = 0; i < 120; i++) /* Δθ with its first component doubled */
        predicted[i] = expected[i] * (i % 4 == 0 ? 2.0 : 1.0);
    for (int variant = 0; variant < 4; variant++) {
        infl_retrain_options o = INFL_RETRAIN_OPTIONS_INIT;
        o.polish = &polish;
        o.train = variant & 1 ? &sgd : NULL;
        o.start = variant & 2 ? scratch : NULL;
        o.subtract_control = variant != 3;
        o.predicted = predicted;
        infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
        out.parameter_changes = changes;
        out.norms = norms;
        out.cosines = cosines;
        out.loss_changes = losses;
        out.results = results;
        out.control_parameters = o.subtract_control ? drift : NULL;
        out.control_losses = o.subtract_control ? drifts : NULL;
        out.control_result = o.subtract_control ? &control : NULL;
        assert_ok(infl_retrain_without(train, NULL, 0, test, test_rows, 3, &o, &out));
        assert_close(changes, expected, 120, 1e-10, "parameters, variant %d", variant);
        assert_close(losses, expected_losses, 90, 1e-10, "losses, variant %d", variant);
        for (size_t i = 0; i < 30; i++) {
            const double *e = expected + 4 * i, *q = predicted + 4 * i;
            double norm = sqrt(linear_dot(e, e, 4));
            ck_assert_double_le(fabs(norms[i] - norm), 1e-10);
            /* an error of 1e-10 in a Δθ of this norm */
            ck_assert_double_le(fabs(cosines[i] - linear_dot(e, q, 4) / (norm * sqrt(linear_dot(q, q, 4)))),
                                4e-10 / norm);
            ck_assert_int_eq(results[i].reason, INFL_STOP_GRADIENT);
            ck_assert_double_le(results[i].gradient_norm, 1e-13);
        }
        for (size_t j = 0; j < 4 && o.subtract_control; j++)
            ck_assert_double_le(fabs(drift[j]), 1e-11);
    }
    /* the objectives keep their θ */
    assert_ok(infl_objective_get_parameters(train, after));
    ck_assert_mem_eq(after, optimum, sizeof after);
    assert_ok(infl_objective_get_parameters(test, after));
    ck_assert_mem_eq(after, elsewhere, sizeof after);
    infl_objective_destroy(train);
    infl_objective_destroy(test);
    linear_destroy(&l);
    linear_destroy(&other);
}
END_TEST

/* No training and no polishing asked for: polishing with its defaults, from the present θ, less the control. */
START_TEST(polishes_by_default) {
    linear_problem l = linear_create(1, 25, 4, 0.05, 5);
    double theta[4] = {0.5, 0.1, -0.3, 0.2}, changes[3][100], losses[3][50];
    infl_objective *train = linear_objective(&l, theta, 1);
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    infl_retrain_options unset = INFL_RETRAIN_OPTIONS_INIT, set = INFL_RETRAIN_OPTIONS_INIT;
    set.polish = &polish;
    const infl_retrain_options *options[] = {NULL, &unset, &set};
    const size_t test_rows[] = {4, 9};
    for (int i = 0; i < 3; i++) {
        infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
        out.parameter_changes = changes[i];
        out.loss_changes = losses[i];
        assert_ok(infl_retrain_without(train, NULL, 0, train, test_rows, 2, options[i], &out));
    }
    for (int i = 0; i < 2; i++) {
        assert_same_bits(changes[i], changes[2], 100, "options %d", i);
        assert_same_bits(losses[i], losses[2], 50, "options %d", i);
    }
    ck_assert_double_gt(fabs(changes[0][0]), 1e-6);
    infl_objective_destroy(train);
    linear_destroy(&l);
}
END_TEST

START_TEST(control_at_a_polished_optimum_is_zero) {
    linear_problem l = linear_create(1, 25, 4, 0.05, 5);
    double theta[4] = {0}, drift[4], drifts[25];
    infl_objective *train = linear_objective(&l, theta, 1);
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    assert_ok(infl_polish(train, &polish, NULL));
    infl_retrain_options o = INFL_RETRAIN_OPTIONS_INIT;
    o.polish = &polish;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    out.control_parameters = drift;
    out.control_losses = drifts;
    size_t row = 3;
    assert_ok(infl_retrain_without(train, &row, 1, train, NULL, 0, &o, &out));
    for (size_t j = 0; j < 4; j++)
        ck_assert_double_eq(drift[j], 0.0);
    for (size_t t = 0; t < 25; t++)
        ck_assert_double_eq(drifts[t], 0.0);
    infl_objective_destroy(train);
    linear_destroy(&l);
}
END_TEST

/* Short of the optimum a retraining drifts; everything must equal, to the bit, what the public pieces give by hand. */
START_TEST(equals_training_by_hand) {
    linear_problem l = linear_create(1, 25, 4, 0.05, 5);
    double start[4] = {0.5, 0.1, -0.3, 0.2}, optimum[4], control[4], without[4], base[5], after[5], control_after[5];
    double changes[8], losses[10], drift[4], drifts[5];
    size_t rows[] = {7, 3}, test_rows[] = {0, 3, 7, 11, 24};
    linear_minimise(&l, LINEAR_NO_ROW, optimum);
    infl_objective *train = linear_objective(&l, start, 1), *copy;
    infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
    sgd.steps = 40;
    sgd.learning_rate = 0.05;
    infl_retrain_options o = INFL_RETRAIN_OPTIONS_INIT;
    o.train = &sgd;
    o.threads = 2;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    out.parameter_changes = changes;
    out.loss_changes = losses;
    out.control_parameters = drift;
    out.control_losses = drifts;
    assert_ok(infl_objective_losses(train, test_rows, 5, base));
    assert_ok(infl_objective_without(&copy, train, NULL, 0));
    assert_ok(infl_train(copy, &sgd, NULL));
    assert_ok(infl_objective_get_parameters(copy, control));
    assert_ok(infl_objective_losses(copy, test_rows, 5, control_after));
    infl_objective_destroy(copy);
    for (int variant = 0; variant < 3; variant++) {
        /* from the present θ, or with the objective elsewhere, from there again */
        o.subtract_control = variant > 0;
        o.start = variant == 2 ? start : NULL;
        if (variant == 2) {
            assert_ok(infl_objective_set_parameters(train, optimum));
            assert_ok(infl_objective_losses(train, test_rows, 5, base));
        }
        out.control_parameters = o.subtract_control ? drift : NULL;
        out.control_losses = o.subtract_control ? drifts : NULL;
        assert_ok(infl_retrain_without(train, rows, 2, train, test_rows, 5, &o, &out));
        for (size_t i = 0; i < 2; i++) {
            assert_ok(infl_objective_without(&copy, train, &rows[i], 1));
            assert_ok(infl_objective_set_parameters(copy, start));
            assert_ok(infl_train(copy, &sgd, NULL));
            assert_ok(infl_objective_get_parameters(copy, without));
            infl_objective_destroy(copy);
            for (size_t j = 0; j < 4; j++)
                ck_assert_double_eq(changes[i * 4 + j], without[j] - (o.subtract_control ? control[j] : start[j]));
            assert_ok(infl_objective_without(&copy, train, NULL, 0));
            assert_ok(infl_objective_set_parameters(copy, without));
            assert_ok(infl_objective_losses(copy, test_rows, 5, after));
            infl_objective_destroy(copy);
            for (size_t t = 0; t < 5; t++)
                ck_assert_double_eq(losses[t * 2 + i], after[t] - (o.subtract_control ? control_after[t] : base[t]));
        }
        const double *from = variant == 2 ? optimum : start;
        for (size_t j = 0; j < 4 && o.subtract_control; j++)
            ck_assert_double_eq(drift[j], control[j] - from[j]);
        for (size_t t = 0; t < 5 && o.subtract_control; t++)
            ck_assert_double_eq(drifts[t], control_after[t] - base[t]);
    }
    ck_assert_double_gt(fabs(drift[0]), 1e-3);
    infl_objective_destroy(train);
    linear_destroy(&l);
}
END_TEST

/* The rows of each gradient that a training asked for. */
typedef struct record {
    linear_problem *problem;
    size_t rows[1024], starts[256], n_rows, n_calls;
} record;

static int record_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    record *r = context;
    ck_assert(r->n_calls < 255 && r->n_rows + n <= 1024);
    memcpy(r->rows + r->n_rows, rows, n * sizeof *rows);
    r->n_rows += n;
    r->starts[++r->n_calls] = r->n_rows;
    return linear_row_gradients(r->problem, theta, rows, n, out);
}

static int record_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    return linear_losses(((record *)context)->problem, theta, rows, n, losses);
}

/* One step of SGD with momentum 0.5 on the mean over these rows, and the decay. */
static void descend(const linear_problem *l, const size_t *rows, size_t n, double rate, double *velocity,
                    double *theta) {
    double gradient[4];
    for (size_t j = 0; j < 4; j++)
        gradient[j] = l->mask[j] ? l->decay * theta[j] : 0.0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < 4; j++)
            gradient[j] += linear_slope(l, theta, rows[i]) * l->x[rows[i] * 4 + j] / (double)n;
    for (size_t j = 0; j < 4; j++) {
        velocity[j] = 0.5 * velocity[j] + gradient[j];
        theta[j] -= rate * velocity[j];
    }
}

/*
 * The batches of a retraining are those of the control run less the row, in order; one that is empty then is a step
 * that counts (for the milestone) and does nothing. The numbers are those of SGD written out, to the rounding of 25
 * steps on sums of 10 rows.
 */
START_TEST(other_batches_stay) {
    static const size_t batches[] = {4, 3, 1, 9, 10, 0}; /* 10 = 4 + 4 + 2 = 3 + 3 + 3 + 1 = ... = 9 + 1 */
    static const size_t removed[] = {5, 2};
    enum { STEPS = 25 };
    linear_problem l = linear_create(1, 10, 4, 0.2, 7);
    double start[4] = {0.5, 0.1, -0.3, 0.2}, changes[8], drift[4];
    record *r = calloc(1, sizeof *r);
    ck_assert_ptr_nonnull(r);
    r->problem = &l;
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = l.n;
    custom.n_parameters = l.d;
    custom.context = r;
    custom.losses = record_losses;
    custom.row_gradients = record_gradients;
    custom.decay_mask = l.mask;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = l.decay;
    options.threads = 1;
    infl_objective *train;
    assert_ok(infl_objective_create_custom(&train, &custom, start, &options));
    size_t milestone = 11;
    infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
    sgd.optimiser = INFL_SGD;
    sgd.momentum = 0.5;
    sgd.steps = STEPS;
    sgd.learning_rate = 0.1;
    sgd.batch = batches[_i];
    sgd.milestones = &milestone;
    sgd.n_milestones = 1;
    infl_retrain_options o = INFL_RETRAIN_OPTIONS_INIT;
    o.train = &sgd;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    out.parameter_changes = changes;
    out.control_parameters = drift;
    assert_ok(infl_retrain_without(train, removed, 2, NULL, NULL, 0, &o, &out));
    size_t call = STEPS + 1, empty = 0; /* the control run's, and its gradient at the end */
    for (size_t i = 0; i < 2; i++) {
        double theta[4], velocity[4] = {0};
        memcpy(theta, start, sizeof theta);
        for (size_t step = 0; step < STEPS; step++) {
            size_t batch[10], n = 0;
            for (size_t j = r->starts[step]; j < r->starts[step + 1]; j++)
                if (r->rows[j] != removed[i])
                    batch[n++] = r->rows[j];
            empty += n == 0;
            if (n == 0)
                continue;
            ck_assert_uint_eq(r->starts[call + 1] - r->starts[call], n);
            ck_assert_mem_eq(r->rows + r->starts[call], batch, n * sizeof *batch);
            call++;
            descend(&l, batch, n, step < milestone ? 0.1 : 0.01, velocity, theta);
        }
        call++;
        for (size_t j = 0; j < 4; j++)
            ck_assert_double_le(fabs(changes[i * 4 + j] + drift[j] - (theta[j] - start[j])), 1e-14);
    }
    ck_assert_uint_eq(call, r->n_calls);
    ck_assert(batches[_i] == 1 ? empty == 4 || empty == 5 || empty == 6 : batches[_i] % 3 == 0 || empty == 0);
    infl_objective_destroy(train);
    linear_destroy(&l);
    free(r);
}
END_TEST

typedef struct watch {
    size_t calls, cancel_at, last_done, last_total;
} watch;

static int watch_progress(void *context, const char *stage, size_t done, size_t total) {
    watch *w = context;
    ck_assert_str_eq(stage, "retrain");
    ck_assert_uint_ge(done, w->last_done);
    w->last_done = done;
    w->last_total = total;
    return ++w->calls == w->cancel_at;
}

START_TEST(cancelling_changes_nothing) {
    linear_problem l = linear_create(1, 12, 4, 0.05, 5);
    double start[4] = {0.5, 0.1, -0.3, 0.2}, changes[48], losses[144], drift[4], after[4];
    infl_train_result results[12];
    infl_objective *train = linear_objective(&l, start, 1);
    infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
    sgd.steps = 2;
    watch w = {0};
    infl_retrain_options o = INFL_RETRAIN_OPTIONS_INIT;
    o.train = &sgd;
    o.threads = 2;
    o.progress = watch_progress;
    o.progress_context = &w;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    out.parameter_changes = changes;
    out.loss_changes = losses;
    out.control_parameters = drift;
    out.results = results;
    assert_ok(infl_retrain_without(train, NULL, 0, train, NULL, 0, &o, &out));
    ck_assert_uint_eq(w.last_done, 13);
    ck_assert_uint_eq(w.last_total, 13);
    size_t calls = w.calls;
    for (size_t cancel_at = 1; cancel_at <= calls; cancel_at++) {
        fill_sentinel(changes, 48);
        fill_sentinel(losses, 144);
        fill_sentinel(drift, 4);
        results[0] = untouched;
        w = (watch){.cancel_at = cancel_at};
        assert_fails(INFL_E_CANCELLED, infl_retrain_without(train, NULL, 0, train, NULL, 0, &o, &out));
        ck_assert_uint_eq(w.calls, cancel_at);
        ck_assert(all_sentinel(changes, 48) && all_sentinel(losses, 144) && all_sentinel(drift, 4));
        ck_assert_mem_eq(&results[0], &untouched, sizeof untouched);
        assert_ok(infl_objective_get_parameters(train, after));
        ck_assert_mem_eq(after, start, sizeof after);
    }
    infl_objective_destroy(train);
    linear_destroy(&l);
}
END_TEST

/* Fails for the training that lacks row 3 or row 8: for row 8 at once, and for row 3 when that has long been seen. */
static int treacherous_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    const linear_problem *l = context;
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += rows[i];
    size_t all = l->n * (l->n - 1) / 2;
    if (n + 1 == l->n && (all - sum == 3 || all - sum == 8)) {
        if (all - sum == 3)
            nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
        return 5;
    }
    return linear_row_gradients(context, theta, rows, n, out);
}

START_TEST(the_first_failing_row_is_named) {
    linear_problem l = linear_create(1, 12, 4, 0.05, 5);
    double start[4] = {0.5, 0.1, -0.3, 0.2}, changes[48], after[4];
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = l.n;
    custom.n_parameters = l.d;
    custom.context = &l;
    custom.losses = linear_losses;
    custom.row_gradients = treacherous_gradients;
    infl_objective *train;
    assert_ok(infl_objective_create_custom(&train, &custom, start, NULL));
    infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
    sgd.steps = 3;
    infl_retrain_options o = INFL_RETRAIN_OPTIONS_INIT;
    o.train = &sgd;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    out.parameter_changes = changes;
    fill_sentinel(changes, 48);
    for (o.threads = 1; o.threads <= 5; o.threads++) {
        assert_fails(INFL_E_CALLBACK, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &o, &out));
        ck_assert_msg(strstr(infl_last_error(), "row 3") != NULL, "%s", infl_last_error());
        ck_assert(all_sentinel(changes, 48));
    }
    assert_ok(infl_objective_get_parameters(train, after));
    ck_assert_mem_eq(after, start, sizeof after);
    infl_objective_destroy(train);
    linear_destroy(&l);
}
END_TEST

/* How many calls of a callback there are at the same time, and the most there ever were. */
typedef struct guarded {
    linear_problem *problem;
    atomic_int inside, most;
} guarded;

static int guarded_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    guarded *g = context;
    int now = atomic_fetch_add(&g->inside, 1) + 1;
    if (now > atomic_load(&g->most))
        atomic_store(&g->most, now);
    nanosleep(&(struct timespec){0, 200000}, NULL); /* long enough for others to come in */
    int code = linear_row_gradients(g->problem, theta, rows, n, out);
    atomic_fetch_sub(&g->inside, 1);
    return code;
}

static int guarded_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    return linear_losses(((guarded *)context)->problem, theta, rows, n, losses);
}

/* Callbacks may overlap unless the objective's threads is 1, and retraining's own threads change nothing in that. */
START_TEST(callbacks_of_one_thread_do_not_overlap) {
    linear_problem l = linear_create(1, 12, 4, 0.05, 5);
    guarded g = {.problem = &l};
    double start[4] = {0.5, 0.1, -0.3, 0.2}, changes[48];
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = l.n;
    custom.n_parameters = l.d;
    custom.context = &g;
    custom.losses = guarded_losses;
    custom.row_gradients = guarded_gradients;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = 1;
    infl_objective *train;
    assert_ok(infl_objective_create_custom(&train, &custom, start, &options));
    infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
    sgd.steps = 3;
    infl_retrain_options o = INFL_RETRAIN_OPTIONS_INIT;
    o.train = &sgd;
    o.threads = 4;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    out.parameter_changes = changes;
    assert_ok(infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &o, &out));
    ck_assert_int_eq(atomic_load(&g.most), 1);
    infl_objective_destroy(train);
    linear_destroy(&l);
}
END_TEST

START_TEST(arguments) {
    linear_problem l = linear_create(1, 12, 4, 0.05, 5), narrow = linear_create(1, 12, 3, 0.05, 5);
    linear_problem single = linear_create(1, 1, 4, 0.05, 5);
    double start[4] = {0.5, 0.1, -0.3, 0.2}, changes[48], losses[48], drift[4];
    infl_objective *train = linear_objective(&l, start, 1), *other = linear_objective(&narrow, start, 1);
    infl_objective *one = linear_objective(&single, start, 1);
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
    infl_retrain_options good = INFL_RETRAIN_OPTIONS_INIT, o;
    good.polish = &polish;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    out.parameter_changes = changes;
    fill_sentinel(changes, 48);
    size_t row = 12;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(NULL, NULL, 0, NULL, NULL, 0, &good, &out));
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &good, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, &row, 1, NULL, NULL, 0, &good, &out));
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, NULL, 0, train, &row, 1, &good, &out));
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, NULL, 0, other, NULL, 0, &good, &out));
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(one, NULL, 0, NULL, NULL, 0, &good, &out));
    o = good;
    o.threads = -1;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &o, &out));
    o = good;
    o.start = (const double[]){0, NAN, 0, 0};
    assert_fails(INFL_E_NONFINITE, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &o, &out));
    o = good;
    o.train = &sgd;
    sgd.learning_rate = -1.0;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &o, &out));
    polish.gradient_tolerance = -1.0;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &good, &out));
    polish.gradient_tolerance = 1e-10;
    out.loss_changes = losses;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &good, &out));
    out.loss_changes = NULL;
    out.cosines = losses;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &good, &out));
    o = good;
    o.predicted = (const double[48]){0, 0, INFINITY};
    assert_fails(INFL_E_NONFINITE, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &o, &out));
    out.cosines = NULL;
    out.control_parameters = drift;
    o = good;
    o.subtract_control = 0;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(train, NULL, 0, NULL, NULL, 0, &o, &out));
    ck_assert(all_sentinel(changes, 48));
    infl_objective_destroy(train);
    infl_objective_destroy(other);
    infl_objective_destroy(one);
    linear_destroy(&l);
    linear_destroy(&narrow);
    linear_destroy(&single);
}
END_TEST

/* A small network on Iris: the same bits for any number of threads, of retraining and of the objective. */
START_TEST(networks_retrain_to_the_same_bits) {
    enum { P = 4 * 3 + 3 + 3 * 3 + 3, M = 4, T = 6 };
    double changes[2][M * P], losses[2][M * T], drift[2][P];
    size_t rows[M] = {70, 0, 133, 149}, test_rows[T] = {1, 50, 77, 100, 133, 148}, units[] = {3, 3};
    infl_dataset *raw, *dataset;
    infl_model *model;
    infl_objective *objective;
    assert_ok(infl_dataset_iris(&raw));
    assert_ok(infl_dataset_standardise(&dataset, raw, NULL));
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = 0.01;
    infl_train_options adam = INFL_TRAIN_OPTIONS_INIT;
    adam.learning_rate = 0.02;
    adam.steps = 60;
    adam.batch = 40;
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    polish.max_iterations = 4;
    const int threads[] = {1, 2, 5};
    for (size_t t = 0; t < 3; t++) {
        size_t slot = t > 0;
        assert_ok(infl_model_create_mlp(&model, (infl_precision)_i, 4, units, 2, INFL_TANH, INFL_INIT_GLOROT, 3));
        options.threads = threads[2 - t];
        assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
        ck_assert_uint_eq(infl_objective_parameters(objective), P);
        infl_retrain_options o = INFL_RETRAIN_OPTIONS_INIT;
        o.train = &adam;
        o.polish = &polish;
        o.threads = threads[t];
        infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
        out.parameter_changes = changes[slot];
        out.loss_changes = losses[slot];
        out.control_parameters = drift[slot];
        assert_ok(infl_retrain_without(objective, rows, M, objective, test_rows, T, &o, &out));
        if (slot == 1) {
            assert_same_bits(changes[1], changes[0], M * P, "%d threads", threads[t]);
            assert_same_bits(losses[1], losses[0], M * T, "%d threads", threads[t]);
            assert_same_bits(drift[1], drift[0], P, "%d threads", threads[t]);
        }
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
    infl_dataset_destroy(dataset);
    infl_dataset_destroy(raw);
}
END_TEST

Suite *evaluation_suite(void) {
    Suite *suite = suite_create("evaluation");
    add_case(suite, "evaluation/ridge", ridge_without_each_row, 1);
    add_case(suite, "evaluation/default", polishes_by_default, 1);
    add_case(suite, "evaluation/control", control_at_a_polished_optimum_is_zero, 1);
    add_case(suite, "evaluation/by-hand", equals_training_by_hand, 1);
    add_case(suite, "evaluation/batches", other_batches_stay, 6);
    add_case(suite, "evaluation/cancelling", cancelling_changes_nothing, 1);
    add_case(suite, "evaluation/error", the_first_failing_row_is_named, 1);
    add_case(suite, "evaluation/callbacks", callbacks_of_one_thread_do_not_overlap, 1);
    add_case(suite, "evaluation/arguments", arguments, 1);
    add_case(suite, "evaluation/network/threads", networks_retrain_to_the_same_bits, 2);
    return suite;
}

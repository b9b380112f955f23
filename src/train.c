/* First-order training: SGD with momentum and Adam, over all rows or over batches. */
#include "train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dense.h"
#include "memory.h"
#include "network.h"
#include "objective.h"
#include "random.h"

typedef struct keyed_row {
    uint64_t key;
    size_t row;
} keyed_row;

/* A row of the parent's that the objective lacks. */
#define REMOVED SIZE_MAX

typedef struct training {
    infl_objective *objective;
    const infl_objective *parent; /* whose rows make the batches: the objective itself, or one that has more of them */
    infl_train_options options;
    size_t n, p;
    double *start, *theta, *gradient; /* p each */
    double *start_state;              /* of the model, beside θ */
    size_t least;                     /* rows that a step must have where layers are others in training; 0: none is */
    int apart;                        /* gradients of steps are not of R: such layers, or images that are changed */
    double *first, *second;           /* velocity, or Adam's moments; second only with Adam */
    keyed_row *epoch;                 /* the parent's rows in the order of an epoch; NULL: every step sees all rows */
    size_t *rows;                     /* the same as numbers of the objective's rows, or REMOVED */
    size_t n_epochs, taken;           /* epochs begun; rows taken of the present one */
} training;

infl_status infl_train_read_options(infl_train_options *options, const infl_train_options *given,
                                    const char *function) {
    *options = (infl_train_options)INFL_TRAIN_OPTIONS_INIT;
    INFL_TRY(infl_read_options(options, sizeof *options, given, function, "train options"));
    if (options->optimiser != INFL_SGD && options->optimiser != INFL_ADAM)
        return infl_fail(INFL_E_ARGUMENT, "%s: optimiser is %d; INFL_SGD or INFL_ADAM is expected", function,
                         (int)options->optimiser);
    if (!(options->learning_rate > 0.0 && isfinite(options->learning_rate)))
        return infl_fail(INFL_E_ARGUMENT, "%s: learning_rate is %g; a finite number > 0 is expected", function,
                         options->learning_rate);
    if (!(options->momentum >= 0.0 && options->momentum < 1.0))
        return infl_fail(INFL_E_ARGUMENT, "%s: momentum is %g; a number in [0, 1) is expected", function,
                         options->momentum);
    if (!(options->beta1 >= 0.0 && options->beta1 < 1.0) || !(options->beta2 >= 0.0 && options->beta2 < 1.0))
        return infl_fail(INFL_E_ARGUMENT, "%s: beta1 and beta2 are %g and %g; numbers in [0, 1) are expected", function,
                         options->beta1, options->beta2);
    if (!(options->epsilon > 0.0 && isfinite(options->epsilon)))
        return infl_fail(INFL_E_ARGUMENT, "%s: epsilon is %g; a finite number > 0 is expected", function,
                         options->epsilon);
    if (!(options->decay_factor > 0.0 && isfinite(options->decay_factor)))
        return infl_fail(INFL_E_ARGUMENT, "%s: decay_factor is %g; a finite number > 0 is expected", function,
                         options->decay_factor);
    if (!(options->gradient_tolerance >= 0.0 && isfinite(options->gradient_tolerance)))
        return infl_fail(INFL_E_ARGUMENT, "%s: gradient_tolerance is %g; a finite number >= 0 is expected", function,
                         options->gradient_tolerance);
    if (options->n_milestones > 0 && options->milestones == NULL)
        return infl_fail(INFL_E_ARGUMENT, "%s: milestones is NULL, but n_milestones is %zu", function,
                         options->n_milestones);
    for (size_t i = 1; i < options->n_milestones; i++)
        if (options->milestones[i] <= options->milestones[i - 1])
            return infl_fail(INFL_E_ARGUMENT, "%s: milestones[%zu] is %zu after %zu; ascending steps are expected",
                             function, i, options->milestones[i], options->milestones[i - 1]);
    if (options->flip != 0 && options->flip != 1)
        return infl_fail(INFL_E_ARGUMENT, "%s: flip is %d; 0 or 1 is expected", function, options->flip);
    if (options->fixed_statistics != 0 && options->fixed_statistics != 1)
        return infl_fail(INFL_E_ARGUMENT, "%s: fixed_statistics is %d; 0 or 1 is expected", function,
                         options->fixed_statistics);
    if (options->check_every == 0)
        options->check_every = 100;
    return INFL_OK;
}

static int compare_keys(const void *a, const void *b) {
    const keyed_row *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* Every row is placed by its own random key, so that removing one leaves the order of the others as it was. */
static void begin_epoch(training *t) {
    uint64_t stream = (uint64_t)INFL_STREAM_BATCHES | (uint64_t)t->n_epochs << 8;
    for (size_t i = 0, own = 0; i < t->parent->n_rows; i++) {
        size_t source = infl_objective_source_row(t->parent, i);
        int kept = own < t->n && infl_objective_source_row(t->objective, own) == source;
        t->epoch[i].key = infl_random_bits(t->options.seed, stream, source);
        t->epoch[i].row = kept ? own++ : REMOVED;
    }
    qsort(t->epoch, t->parent->n_rows, sizeof *t->epoch, compare_keys);
    for (size_t i = 0; i < t->parent->n_rows; i++)
        t->rows[i] = t->epoch[i].row;
    t->n_epochs++;
    t->taken = 0;
}

/* The next batch of the parent, less the rows that the objective lacks. */
static size_t take_batch(training *t, const size_t **rows) {
    size_t n = t->parent->n_rows, size = 0;
    if (t->n_epochs == 0 || t->taken == n)
        begin_epoch(t);
    size_t left = n - t->taken, length = t->options.batch < left ? t->options.batch : left;
    size_t *batch = t->rows + t->taken;
    for (size_t i = 0; i < length; i++)
        if (batch[i] != REMOVED)
            batch[size++] = batch[i];
    t->taken += length;
    *rows = batch;
    return size;
}

/* The gradient of a step: over all rows, or over the next batch. *idle: that has too few rows left for a step. */
static infl_status evaluate_step(training *t, size_t step, int *idle) {
    const size_t *rows = NULL;
    size_t size = t->epoch != NULL ? take_batch(t, &rows) : t->n;
    *idle = size == 0 || size < t->least;
    if (*idle)
        return INFL_OK;
    infl_training_step seen = {t->options.seed, step, t->options.crop, t->options.flip, t->options.fixed_statistics};
    if (t->apart)
        return infl_objective_training_gradient(t->objective, rows, size, &seen, t->gradient);
    return rows == NULL ? infl_objective_evaluate(t->objective, NULL, t->gradient)
                        : infl_objective_evaluate_rows(t->objective, rows, size, NULL, t->gradient);
}

/* v ← m v + g, θ ← θ − η (a g + b v): a, b = 0, 1, or with Nesterov's momentum 1, m. */
static void update_sgd(size_t p, double rate, double momentum, double a, double b, const double *restrict gradient,
                       double *restrict velocity, double *restrict theta) {
    for (size_t i = 0; i < p; i++) {
        velocity[i] = momentum * velocity[i] + gradient[i];
        theta[i] -= rate * (a * gradient[i] + b * velocity[i]);
    }
}

static void update_adam(size_t p, double rate, double beta1, double beta2, double correction, double epsilon,
                        const double *restrict gradient, double *restrict first, double *restrict second,
                        double *restrict theta) {
    for (size_t i = 0; i < p; i++) {
        first[i] = beta1 * first[i] + (1.0 - beta1) * gradient[i];
        second[i] = beta2 * second[i] + (1.0 - beta2) * gradient[i] * gradient[i];
        theta[i] -= rate * first[i] / (sqrt(second[i]) * correction + epsilon);
    }
}

/* The objective takes no theta and gives no risk or gradient that is not finite: in training it then ran away. */
static infl_status as_divergence(infl_status status, size_t steps, double learning_rate) {
    if (status != INFL_E_NONFINITE)
        return status;
    return infl_fail(INFL_E_DIVERGED,
                     "R or theta is not finite after %zu steps with learning_rate %g; a smaller one may do", steps,
                     learning_rate);
}

static infl_status report(const infl_train_options *options, size_t done) {
    return infl_report_progress(options->progress, options->progress_context, "train", done, options->steps);
}

static void update(training *t, double rate, double powers[2]) {
    const infl_train_options *o = &t->options;
    if (o->optimiser == INFL_SGD) {
        double a = o->nesterov ? 1.0 : 0.0, b = o->nesterov ? o->momentum : 1.0;
        update_sgd(t->p, rate, o->momentum, a, b, t->gradient, t->first, t->theta);
        return;
    }
    powers[0] *= o->beta1;
    powers[1] *= o->beta2;
    update_adam(t->p, rate / (1.0 - powers[0]), o->beta1, o->beta2, 1.0 / sqrt(1.0 - powers[1]), o->epsilon,
                t->gradient, t->first, t->second, t->theta);
}

static infl_status run(training *t, infl_train_result *result) {
    const infl_train_options *o = &t->options;
    double powers[2] = {1.0, 1.0}; /* β₁ᵗ, β₂ᵗ */
    double rate = o->learning_rate, value = 0.0;
    size_t step = 0, milestone = 0;
    size_t report_every = o->report_every > 0 ? o->report_every : o->steps < 100 ? 1 : o->steps / 100;
    infl_status status;
    for (; step < o->steps; step++) {
        int idle = 0, look = o->gradient_tolerance > 0.0 && step % o->check_every == 0;
        if (look) {
            if ((status = infl_objective_evaluate(t->objective, NULL, t->gradient)) != INFL_OK)
                return as_divergence(status, step, rate);
            if (infl_norm(t->gradient, t->p) <= o->gradient_tolerance)
                break;
        }
        /* over all rows the look has found the step's gradient already, unless that is another */
        if (!(look && t->epoch == NULL && !t->apart) && (status = evaluate_step(t, step, &idle)) != INFL_OK)
            return as_divergence(status, step, rate);
        for (; milestone < o->n_milestones && o->milestones[milestone] <= step; milestone++)
            rate *= o->decay_factor;
        if (!idle)
            update(t, rate, powers);
        if (!idle && (status = infl_objective_set_parameters(t->objective, t->theta)) != INFL_OK)
            return as_divergence(status, step + 1, rate);
        if ((step + 1) % report_every == 0 && step + 1 < o->steps)
            INFL_TRY(report(o, step + 1));
    }
    if ((status = infl_objective_evaluate(t->objective, &value, t->gradient)) != INFL_OK)
        return as_divergence(status, step, rate);
    double norm = infl_norm(t->gradient, t->p);
    INFL_TRY(report(o, o->steps));
    *result = (infl_train_result){.value = value, .gradient_norm = norm, .steps = step, .reason = INFL_STOP_STEPS};
    if (o->gradient_tolerance > 0.0 && norm <= o->gradient_tolerance)
        result->reason = INFL_STOP_GRADIENT;
    return INFL_OK;
}

static infl_status check_images(const training *t) {
    const infl_train_options *o = &t->options;
    return o->crop == 0 && !o->flip ? INFL_OK : t->objective->ops->check_images(t->objective->source, o->crop);
}

/* A mean over one number has no variance to divide by. */
static infl_status check_batches(const training *t) {
    size_t n = t->epoch != NULL ? t->parent->n_rows : t->n;
    size_t batch = t->epoch != NULL ? t->options.batch : n, last = n % batch == 0 ? batch : n % batch;
    int reached = t->options.steps >= (n + batch - 1) / batch;
    if (batch >= t->least && (last >= t->least || !reached))
        return INFL_OK;
    return infl_fail(INFL_E_ARGUMENT,
                     "of %zu rows in batches of %zu the last batch has %zu; batch normalisation needs %zu "
                     "rows in each: choose another batch",
                     n, batch, last, t->least);
}

infl_status infl_train_in_batches_of(const infl_objective *parent, infl_objective *objective,
                                     const infl_train_options *options, infl_train_result *result) {
    training t = {.objective = objective, .parent = parent, .n = objective->n_rows, .p = objective->n_parameters};
    INFL_TRY(infl_train_read_options(&t.options, options, "infl_train"));
    if (objective->ops->training_rows != NULL)
        t.least = objective->ops->training_rows(objective->source, t.options.fixed_statistics);
    t.apart = t.least > 0 || t.options.crop > 0 || t.options.flip;
    infl_train_result found = {0};
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(t.start, t.p);
    INFL_ALLOCATE_OR_OUT(t.theta, t.p);
    INFL_ALLOCATE_OR_OUT(t.gradient, t.p);
    INFL_ALLOCATE_OR_OUT(t.first, t.p);
    if (t.options.optimiser == INFL_ADAM)
        INFL_ALLOCATE_OR_OUT(t.second, t.p);
    if (t.options.batch > 0 && t.options.batch < parent->n_rows) {
        INFL_ALLOCATE_OR_OUT(t.epoch, parent->n_rows);
        INFL_ALLOCATE_OR_OUT(t.rows, parent->n_rows);
    }
    INFL_ALLOCATE_OR_OUT(t.start_state, infl_objective_state(objective));
    if ((status = check_images(&t)) != INFL_OK || (status = check_batches(&t)) != INFL_OK ||
        (status = infl_objective_get_parameters(objective, t.start)) != INFL_OK ||
        (status = infl_objective_get_state(objective, t.start_state)) != INFL_OK)
        goto out;
    memcpy(t.theta, t.start, t.p * sizeof *t.theta);
    if ((status = run(&t, &found)) != INFL_OK) {
        infl_objective_set_parameters(objective, t.start);
        infl_objective_set_state(objective, t.start_state);
    } else if (result != NULL)
        *result = found;
out:
    infl_release(t.start);
    infl_release(t.start_state);
    infl_release(t.theta);
    infl_release(t.gradient);
    infl_release(t.first);
    infl_release(t.second);
    infl_release(t.epoch);
    infl_release(t.rows);
    return infl_in_name_of("infl_train", status);
}

infl_status infl_train(infl_objective *objective, const infl_train_options *options, infl_train_result *result) {
    INFL_REQUIRE(objective);
    return infl_train_in_batches_of(objective, objective, options, result);
}

/* Leave-one-out ground truth: removes a row, retrains, compares; rows in parallel, each on one thread. */
#include <omp.h>
#include <string.h>

#include "dense.h"
#include "memory.h"
#include "objective.h"
#include "objective_sources.h"
#include "train.h"

typedef struct retraining {
    const infl_objective *train;
    const infl_objective *test; /* NULL: no losses */
    infl_train_options train_options;
    infl_polish_options polish_options;
    infl_retrain_options options;
    const size_t *rows, *test_rows;
    size_t m, t, p, n_state;
    size_t n_units;                /* m retrainings, and with subtract_control the control run before them */
    double *optimum, *base_losses; /* p, t: the present θ, and the test rows' losses there */
    double *state;                 /* n_state: the present state */
    double *parameters, *losses;   /* m×p, and then their changes; m×t: after each retraining; NULL: not needed */
    double *cosines;               /* m; NULL: not asked for */
    double *control_parameters, *control_losses; /* p, t */
    infl_train_result *results, control_result;  /* m, 1 */
    /* shared by the workers, under the lock */
    omp_lock_t lock;
    size_t done;
    int cancelled;
    infl_error_slot error;
} retraining;

/* The callback of the training inside: lets the caller cancel before the row is done. */
static int report(void *context, const char *stage, size_t done, size_t total) {
    (void)stage, (void)done, (void)total;
    retraining *r = context;
    omp_set_lock(&r->lock);
    if (!r->cancelled && r->options.progress != NULL)
        r->cancelled = r->options.progress(r->options.progress_context, "retrain", r->done, r->n_units) != 0;
    int cancelled = r->cancelled;
    omp_unset_lock(&r->lock);
    return cancelled;
}

static int is_control(const retraining *r, size_t unit) { return r->options.subtract_control && unit == 0; }

static size_t removed_row(const retraining *r, size_t unit) {
    size_t i = r->options.subtract_control ? unit - 1 : unit;
    return r->rows == NULL ? i : r->rows[i];
}

/* Puts an objective at θ and a state, which goes with it. */
static infl_status place(infl_objective *objective, const double *theta, const double *state) {
    INFL_TRY(infl_objective_set_parameters(objective, theta));
    return infl_objective_set_state(objective, state);
}

/* One retraining, into the temporaries of its unit. test: a copy of this thread's own, or NULL. */
static infl_status retrain_unit(retraining *r, size_t unit, infl_objective *test) {
    int control = is_control(r, unit);
    size_t i = r->options.subtract_control ? unit - 1 : unit, row = control ? 0 : removed_row(r, unit);
    infl_train_result result = {0};
    infl_objective *objective = NULL;
    double *theta = NULL, *state = NULL;
    const double *start = r->options.start != NULL ? r->options.start : r->optimum;
    const double *start_state = r->options.start_state != NULL ? r->options.start_state : r->state;
    infl_status status;
    INFL_ALLOCATE_OR_OUT(theta, r->p);
    INFL_ALLOCATE_OR_OUT(state, r->n_state);
    if ((status = infl_objective_copy(&objective, r->train, &row, control ? 0 : 1, 1)) != INFL_OK ||
        (status = place(objective, start, start_state)) != INFL_OK)
        goto out;
    if (r->options.train != NULL && (status = infl_train(objective, &r->train_options, &result)) != INFL_OK)
        goto out;
    size_t steps = result.steps;
    if (r->options.polish != NULL && (status = infl_polish(objective, &r->polish_options, &result)) != INFL_OK)
        goto out;
    if (r->options.train != NULL && r->options.polish != NULL)
        result.steps += steps;
    if ((status = infl_objective_get_parameters(objective, theta)) != INFL_OK ||
        (status = infl_objective_get_state(objective, state)) != INFL_OK)
        goto out;
    *(control ? &r->control_result : &r->results[i]) = result;
    if (control)
        memcpy(r->control_parameters, theta, r->p * sizeof *theta);
    else if (r->parameters != NULL)
        memcpy(r->parameters + i * r->p, theta, r->p * sizeof *theta);
    double *losses = control ? r->control_losses : r->losses == NULL ? NULL : r->losses + i * r->t;
    if (test == NULL || losses == NULL)
        goto out;
    if ((status = place(test, theta, state)) == INFL_OK)
        status = infl_objective_losses(test, r->test_rows, r->t, losses);
out:
    infl_objective_destroy(objective);
    infl_release(theta);
    infl_release(state);
    return status;
}

/* Puts the row that failed before the sentence. */
static infl_status name_unit(const retraining *r, size_t unit, infl_status status) {
    if (is_control(r, unit))
        return infl_fail(status, "infl_retrain_without: the control run: %s", infl_last_error());
    return infl_fail(status, "infl_retrain_without: without row %zu: %s", removed_row(r, unit), infl_last_error());
}

static void run_unit(retraining *r, size_t unit, infl_objective *test, infl_status ready) {
    /* a unit before the failing one still runs, so that the error is the same for any number of threads */
    omp_set_lock(&r->lock);
    int skip = r->cancelled || (r->error.status != INFL_OK && r->error.index < unit);
    omp_unset_lock(&r->lock);
    if (skip)
        return;
    infl_status status = ready != INFL_OK ? ready : retrain_unit(r, unit, test);
    if (status != INFL_OK)
        status = name_unit(r, unit, status);
    omp_set_lock(&r->lock);
    r->done += status == INFL_OK;
    infl_error_collect(&r->error, status, unit);
    omp_unset_lock(&r->lock);
    if (status == INFL_OK)
        report(r, NULL, 0, 0);
}

static infl_status run(retraining *r, int threads) {
    if ((size_t)threads > r->n_units)
        threads = (int)r->n_units;
    omp_init_lock(&r->lock);
#pragma omp parallel num_threads(threads)
    {
        infl_objective *test = NULL;
        infl_status ready = r->test == NULL ? INFL_OK : infl_objective_copy(&test, r->test, NULL, 0, 1);
#pragma omp for schedule(dynamic, 1)
        for (size_t unit = 0; unit < r->n_units; unit++)
            run_unit(r, unit, test, ready);
        infl_objective_destroy(test);
    }
    omp_destroy_lock(&r->lock);
    if (r->cancelled)
        return infl_fail(INFL_E_CANCELLED, "infl_retrain_without: cancelled by progress after %zu of %zu retrainings",
                         r->done, r->n_units);
    return infl_error_raise(&r->error);
}

/* The losses of the test rows at the optimum, from which the changes are counted. */
static infl_status measure_base(retraining *r) {
    infl_objective *test;
    INFL_TRY(infl_objective_copy(&test, r->test, NULL, 0, 1));
    infl_status status = place(test, r->optimum, r->state);
    if (status == INFL_OK)
        status = infl_objective_losses(test, r->test_rows, r->t, r->base_losses);
    infl_objective_destroy(test);
    return status;
}

/* to[i] = values[i] − reference for m rows of `width` numbers; to and values may be the same. */
static void write_changes(double *to, const double *values, const double *reference, size_t m, size_t width) {
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < width; j++)
            to[i * width + j] = values[i * width + j] - reference[j];
}

/* What is derived from the parameters, and may fail. */
static infl_status compare_parameters(retraining *r) {
    if (r->parameters == NULL)
        return INFL_OK;
    write_changes(r->parameters, r->parameters, r->options.subtract_control ? r->control_parameters : r->optimum, r->m,
                  r->p);
    for (size_t i = 0; r->cosines != NULL && i < r->m; i++)
        INFL_TRY(infl_cosine(r->parameters + i * r->p, r->options.predicted + i * r->p, r->p, &r->cosines[i]));
    return INFL_OK;
}

/* t×m, as predictions are, from the m×t of the workers. */
static void write_loss_changes(const retraining *r, const double *reference, double *to) {
    for (size_t j = 0; j < r->t; j++)
        for (size_t i = 0; i < r->m; i++)
            to[j * r->m + i] = r->losses[i * r->t + j] - reference[j];
}

static void write_output(const retraining *r, infl_retrain_output *out) {
    int control = r->options.subtract_control;
    if (out->parameter_changes != NULL)
        memcpy(out->parameter_changes, r->parameters, r->m * r->p * sizeof *out->parameter_changes);
    for (size_t i = 0; out->norms != NULL && i < r->m; i++)
        out->norms[i] = infl_norm(r->parameters + i * r->p, r->p);
    if (out->cosines != NULL)
        memcpy(out->cosines, r->cosines, r->m * sizeof *out->cosines);
    if (out->loss_changes != NULL)
        write_loss_changes(r, control ? r->control_losses : r->base_losses, out->loss_changes);
    if (out->results != NULL)
        memcpy(out->results, r->results, r->m * sizeof *out->results);
    if (out->control_parameters != NULL)
        write_changes(out->control_parameters, r->control_parameters, r->optimum, 1, r->p);
    if (out->control_losses != NULL)
        write_changes(out->control_losses, r->control_losses, r->base_losses, 1, r->t);
    if (out->control_result != NULL)
        *out->control_result = r->control_result;
}

static infl_status read_options(retraining *r, const infl_retrain_options *given, const char *function) {
    r->options = (infl_retrain_options)INFL_RETRAIN_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&r->options, sizeof r->options, given, function, "options"));
    if (r->options.start != NULL && !infl_all_finite(r->options.start, r->p))
        return infl_fail(INFL_E_NONFINITE, "%s: start has a number that is not finite", function);
    if (r->options.start_state != NULL && !infl_all_finite(r->options.start_state, r->n_state))
        return infl_fail(INFL_E_NONFINITE, "%s: start_state has a number that is not finite", function);
    INFL_TRY(infl_train_read_options(&r->train_options, r->options.train, function));
    INFL_TRY(infl_polish_read_options(&r->polish_options, r->options.polish, function));
    if (r->options.train == NULL && r->options.polish == NULL)
        r->options.polish = &r->polish_options; /* the defaults, just read */
    r->train_options.progress = r->polish_options.progress = report;
    r->train_options.progress_context = r->polish_options.progress_context = r;
    return INFL_OK;
}

static infl_status check_output(const retraining *r, const infl_retrain_output *out, const char *function) {
    if (r->test == NULL && (out->loss_changes != NULL || out->control_losses != NULL))
        return infl_fail(INFL_E_ARGUMENT, "%s: test is NULL, but output asks for loss changes", function);
    if (out->cosines != NULL && r->options.predicted == NULL)
        return infl_fail(INFL_E_ARGUMENT, "%s: output asks for cosines, but the options' predicted is NULL", function);
    if (out->cosines != NULL)
        INFL_TRY(infl_check_vectors(r->options.predicted, r->m, r->p, function, "predicted"));
    if (!r->options.subtract_control &&
        (out->control_parameters != NULL || out->control_losses != NULL || out->control_result != NULL))
        return infl_fail(INFL_E_ARGUMENT, "%s: output asks for the control run, but subtract_control is 0", function);
    return INFL_OK;
}

/* Copies of an objective of the caller's share his callbacks, which with one thread are promised never to overlap. */
static int one_caller_only(const infl_objective *objective) {
    return objective->ops == &infl_custom_source && objective->threads == 1;
}

infl_status infl_retrain_without(infl_objective *train, const size_t *rows, size_t n_rows, infl_objective *test,
                                 const size_t *test_rows, size_t n_test, const infl_retrain_options *options,
                                 infl_retrain_output *output) {
    INFL_REQUIRE(train);
    INFL_REQUIRE(output);
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    retraining r = {.train = train, .test = test, .rows = rows, .test_rows = test_rows, .p = train->n_parameters,
                    .n_state = infl_objective_state(train), .error = INFL_ERROR_SLOT_INIT};
    int threads;
    INFL_TRY(infl_read_options(&out, sizeof out, output, __func__, "output"));
    INFL_TRY(read_options(&r, options, __func__));
    INFL_TRY(infl_resolve_threads(r.options.threads, &threads, __func__));
    INFL_TRY(infl_objective_check_rows(train, rows, n_rows, &r.m, __func__));
    if (train->n_rows < 2)
        return infl_fail(INFL_E_ARGUMENT, "%s: train has one row; removing it leaves none", __func__);
    if (test != NULL) {
        INFL_TRY(infl_objective_check_rows(test, test_rows, n_test, &r.t, __func__));
        if (test->n_parameters != r.p)
            return infl_fail(INFL_E_ARGUMENT, "%s: test has %zu parameters, but train has %zu", __func__,
                             test->n_parameters, r.p);
        if (infl_objective_state(test) != r.n_state)
            return infl_fail(INFL_E_ARGUMENT, "%s: the state of test's model has %zu numbers, but train's has %zu",
                             __func__, infl_objective_state(test), r.n_state);
    }
    INFL_TRY(check_output(&r, &out, __func__));
    if (one_caller_only(train) || (test != NULL && one_caller_only(test)))
        threads = 1;
    if (out.loss_changes == NULL && out.control_losses == NULL)
        r.test = NULL;
    r.n_units = r.m + (r.options.subtract_control ? 1 : 0);
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(r.optimum, r.p);
    INFL_ALLOCATE_OR_OUT(r.state, r.n_state);
    INFL_ALLOCATE_OR_OUT(r.base_losses, r.t);
    INFL_ALLOCATE_OR_OUT(r.control_parameters, r.p);
    INFL_ALLOCATE_OR_OUT(r.control_losses, r.t);
    INFL_ALLOCATE_OR_OUT(r.results, r.m);
    if (out.cosines != NULL)
        INFL_ALLOCATE_OR_OUT(r.cosines, r.m);
    if (out.parameter_changes != NULL || out.norms != NULL || out.cosines != NULL)
        INFL_ALLOCATE_MATRIX_OR_OUT(r.parameters, r.m, r.p);
    if (out.loss_changes != NULL)
        INFL_ALLOCATE_MATRIX_OR_OUT(r.losses, r.m, r.t);
    if ((status = infl_objective_get_parameters(train, r.optimum)) != INFL_OK ||
        (status = infl_objective_get_state(train, r.state)) != INFL_OK)
        goto out;
    if (r.test != NULL && (status = measure_base(&r)) != INFL_OK)
        goto out;
    if ((status = run(&r, threads)) == INFL_OK && (status = compare_parameters(&r)) == INFL_OK)
        write_output(&r, &out);
out:
    infl_release(r.optimum);
    infl_release(r.state);
    infl_release(r.base_losses);
    infl_release(r.control_parameters);
    infl_release(r.control_losses);
    infl_release(r.results);
    infl_release(r.parameters);
    infl_release(r.losses);
    infl_release(r.cosines);
    return infl_in_name_of(__func__, status);
}

/* Leave-one-out ground truth: removes a row, retrains, compares; rows in parallel, each on one thread. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "dense.h"
#include "identity.h"
#include "inverse.h"
#include "journal.h"
#include "little_endian.h"
#include "memory.h"
#include "objective.h"
#include "objective_sources.h"
#include "parallel.h"
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
    double *control_parameters, *control_losses; /* p, t; NULL: not needed */
    infl_train_result *results, control_result;  /* m, 1 */
    unsigned char *finished;                     /* of each unit: it was taken from the journal */
    size_t resumed;                              /* how many were */
    infl_journal *journal;                       /* NULL: none */
    omp_lock_t journal_lock;
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

/* Where a unit's results go. */
typedef struct unit_results {
    infl_train_result *result;
    double *losses, *parameters; /* t, p; NULL: not needed */
} unit_results;

static unit_results results_of(retraining *r, size_t unit) {
    if (is_control(r, unit))
        return (unit_results){&r->control_result, r->control_losses, r->control_parameters};
    size_t i = r->options.subtract_control ? unit - 1 : unit;
    return (unit_results){&r->results[i], r->losses == NULL ? NULL : r->losses + i * r->t,
                          r->parameters == NULL ? NULL : r->parameters + i * r->p};
}

/*
 * A unit's record in the journal: CONTROL or the row, how it ended, and the losses and θ that are needed of it, in
 * numbers of 64 bits.
 */
#define CONTROL UINT64_MAX
enum { RECORD_NUMBERS = 9 };

static size_t record_numbers(const retraining *r, const unit_results *to) {
    return RECORD_NUMBERS + (to->losses == NULL ? 0 : r->t) + (to->parameters == NULL ? 0 : r->p);
}

static void get_doubles(double *numbers, const unsigned char *from, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = infl_get_number(from + 8 * i, 8);
        memcpy(numbers + i, &bits, sizeof bits);
    }
}

static void put_record(const retraining *r, uint64_t name, const unit_results *from, unsigned char *record) {
    const infl_train_result *result = from->result;
    infl_put_number(record, name, 8);
    infl_put_number(record + 8, result->steps, 8);
    infl_put_number(record + 16, (uint64_t)result->reason, 8);
    infl_put_number(record + 24, result->products, 8);
    infl_put_numbers(record + 32, &result->value, 1, 8);
    infl_put_numbers(record + 40, &result->gradient_norm, 1, 8);
    infl_put_numbers(record + 48, result->reserved, 3, 8);
    record += (size_t)8 * RECORD_NUMBERS;
    if (from->losses != NULL) {
        infl_put_numbers(record, from->losses, r->t, 8);
        record += 8 * r->t;
    }
    if (from->parameters != NULL)
        infl_put_numbers(record, from->parameters, r->p, 8);
}

static void get_record(const retraining *r, const unsigned char *record, const unit_results *to) {
    infl_train_result *result = to->result;
    result->steps = (size_t)infl_get_number(record + 8, 8);
    result->reason = (infl_stop_reason)infl_get_number(record + 16, 8);
    result->products = (size_t)infl_get_number(record + 24, 8);
    get_doubles(&result->value, record + 32, 1);
    get_doubles(&result->gradient_norm, record + 40, 1);
    get_doubles(result->reserved, record + 48, 3);
    record += (size_t)8 * RECORD_NUMBERS;
    if (to->losses != NULL) {
        get_doubles(to->losses, record, r->t);
        record += 8 * r->t;
    }
    if (to->parameters != NULL)
        get_doubles(to->parameters, record, r->p);
}

static infl_status record_unit(retraining *r, size_t unit) {
    unit_results results = results_of(r, unit);
    size_t n = record_numbers(r, &results);
    unsigned char *record = infl_allocate(n, 8);
    if (record == NULL)
        return INFL_E_MEMORY;
    put_record(r, is_control(r, unit) ? CONTROL : removed_row(r, unit), &results, record);
    omp_set_lock(&r->journal_lock);
    infl_status status = infl_journal_append(r->journal, record, 8 * n);
    omp_unset_lock(&r->journal_lock);
    infl_release(record);
    return status;
}

/* One retraining, into the temporaries of its unit. test: a copy of this thread's own, or NULL. */
static infl_status retrain_unit(retraining *r, size_t unit, infl_objective *test) {
    int control = is_control(r, unit);
    size_t row = control ? 0 : removed_row(r, unit);
    unit_results results = results_of(r, unit);
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
    if (r->options.train != NULL &&
        (status = infl_train_in_batches_of(r->train, objective, &r->train_options, &result)) != INFL_OK)
        goto out;
    size_t steps = result.steps;
    if (r->options.polish != NULL && (status = infl_polish(objective, &r->polish_options, &result)) != INFL_OK)
        goto out;
    if (r->options.train != NULL && r->options.polish != NULL)
        result.steps += steps;
    if ((status = infl_objective_get_parameters(objective, theta)) != INFL_OK ||
        (status = infl_objective_get_state(objective, state)) != INFL_OK)
        goto out;
    *results.result = result;
    if (results.parameters != NULL)
        memcpy(results.parameters, theta, r->p * sizeof *theta);
    if (results.losses == NULL)
        goto out;
    if ((status = place(test, theta, state)) == INFL_OK)
        status = infl_objective_losses(test, r->test_rows, r->t, results.losses);
out:
    infl_objective_destroy(objective);
    infl_release(theta);
    infl_release(state);
    return status;
}

/* Puts the row that failed before the sentence. */
static infl_status name_unit(const retraining *r, size_t unit, infl_status status) {
    if (is_control(r, unit))
        return infl_fail(status, "infl_retrain_without: the control run: %s", infl_error_cause());
    return infl_fail(status, "infl_retrain_without: without row %zu: %s", removed_row(r, unit), infl_error_cause());
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
    else if (r->journal != NULL && (status = record_unit(r, unit)) != INFL_OK)
        unit = 0; /* nothing more is worth its while */
    omp_set_lock(&r->lock);
    r->done += status == INFL_OK;
    infl_error_collect(&r->error, status, unit);
    omp_unset_lock(&r->lock);
    if (status == INFL_OK)
        report(r, NULL, 0, 0);
}

static infl_status run(retraining *r, int threads) {
    size_t left = r->n_units - r->resumed;
    if ((size_t)threads > left)
        threads = left > 0 ? (int)left : 1; /* NOLINT(clang-analyzer-deadcode.DeadStores): the pragma reads it */
    omp_init_lock(&r->lock);
    omp_init_lock(&r->journal_lock);
    r->done = r->resumed;
    if (r->resumed > 0)
        report(r, NULL, 0, 0);
#pragma omp parallel num_threads(threads) if (left > 0)
    {
        infl_objective *test = NULL;
        infl_status ready = r->test == NULL ? INFL_OK : infl_objective_copy(&test, r->test, NULL, 0, 1);
#pragma omp for schedule(dynamic, 1)
        for (size_t unit = 0; unit < r->n_units; unit++)
            if (!r->finished[unit])
                run_unit(r, unit, test, ready);
        infl_objective_destroy(test);
    }
    omp_destroy_lock(&r->lock);
    omp_destroy_lock(&r->journal_lock);
    if (r->cancelled)
        return infl_fail(INFL_E_CANCELLED, "infl_retrain_without: cancelled by progress after %zu of %zu retrainings",
                         r->done, r->n_units);
    return infl_error_raise(&r->error);
}

/* The losses of the test rows at the optimum, from which changes are counted; and, for a journal, what the test is. */
static infl_status measure_base(retraining *r, infl_identity *identity) {
    infl_objective *test;
    INFL_TRY(infl_objective_copy(&test, r->test, NULL, 0, 1));
    infl_status status = place(test, r->optimum, r->state);
    if (status == INFL_OK)
        status = infl_objective_losses(test, r->test_rows, r->t, r->base_losses);
    if (status == INFL_OK && r->options.journal != NULL)
        status = infl_objective_identity(test, identity);
    infl_objective_destroy(test);
    return status;
}

static void hash_identity(infl_hash *hash, const infl_identity *identity) {
    for (int i = 0; i < 2; i++) {
        infl_hash_number(hash, identity->model[i]);
        infl_hash_number(hash, identity->data[i]);
    }
}

static void hash_train_options(infl_hash *hash, const infl_train_options *o) {
    infl_hash_number(hash, (uint64_t)o->optimiser);
    infl_hash_number(hash, o->steps);
    infl_hash_number(hash, o->batch);
    infl_hash_double(hash, o->learning_rate);
    infl_hash_double(hash, o->momentum);
    infl_hash_number(hash, o->nesterov != 0);
    infl_hash_double(hash, o->beta1);
    infl_hash_double(hash, o->beta2);
    infl_hash_double(hash, o->epsilon);
    infl_hash_number(hash, o->n_milestones);
    for (size_t i = 0; i < o->n_milestones; i++)
        infl_hash_number(hash, o->milestones[i]);
    infl_hash_double(hash, o->decay_factor);
    infl_hash_double(hash, o->gradient_tolerance);
    infl_hash_number(hash, o->check_every);
    infl_hash_number(hash, o->seed);
    /* each of these was no choice once, and journals begun then have no word of it */
    if (o->crop != 0 || o->flip) {
        infl_hash_string(hash, "images");
        infl_hash_number(hash, o->crop);
        infl_hash_number(hash, o->flip != 0);
    }
    if (o->fixed_statistics)
        infl_hash_string(hash, "fixed statistics");
}

/* Three digits: a factor found in another process may be another by rounding. */
static void hash_roughly(infl_hash *hash, double number) {
    int exponent;
    double fraction = frexp(number, &exponent);
    infl_hash_double(hash, ldexp(rint(fraction * 1024), exponent));
}

/* How it was made, where, and what it makes of a vector. */
static infl_status hash_preconditioner(infl_hash *hash, const infl_inverse *inverse, size_t p) {
    double *vector = NULL, *image = NULL;
    infl_status status = INFL_OK;
    infl_hash_number(hash, inverse != NULL);
    if (inverse == NULL)
        return INFL_OK;
    INFL_ALLOCATE_OR_OUT(vector, p);
    INFL_ALLOCATE_OR_OUT(image, p);
    for (size_t i = 0; i < p; i++)
        vector[i] = i % 3 == 0 ? 1.0 : -0.5;
    if ((status = infl_inverse_apply(inverse, vector, 1, image)) != INFL_OK)
        goto out;
    infl_hash_string(hash, inverse->ops->name);
    infl_hash_number(hash, (uint64_t)inverse->options.eigen_policy);
    infl_hash_double(hash, inverse->options.cutoff);
    infl_hash_double(hash, inverse->damping);
    infl_hash_doubles(hash, inverse->point, inverse->point == NULL ? 0 : inverse->curvature->n_point);
    hash_roughly(hash, infl_norm(image, p));
    hash_roughly(hash, infl_dot(vector, image, p));
out:
    infl_release(vector);
    infl_release(image);
    return status;
}

/* R and ∇R to the bit, by which another machine's rounding and another custom objective are told. */
static infl_status hash_rounding(infl_hash *hash, infl_objective *train, size_t p) {
    double value, *gradient;
    INFL_ALLOCATE(gradient, p);
    infl_status status = infl_objective_evaluate(train, &value, gradient);
    if (status == INFL_OK) {
        infl_hash_double(hash, value);
        infl_hash_doubles(hash, gradient, p);
    }
    infl_release(gradient);
    return status;
}

/* Everything that determines the bits of the records, but for which rows they are of. */
static infl_status hash_configuration(const retraining *r, infl_objective *train, const infl_identity *test,
                                      infl_hash *hash) {
    const infl_retrain_options *o = &r->options;
    infl_identity identity;
    INFL_TRY(infl_objective_identity(train, &identity));
    infl_hash_string(hash, "infl_retrain_without " INFL_VERSION_STRING);
    hash_identity(hash, &identity);
    for (size_t i = 0; i < train->n_rows; i++) /* they seed the rows' places in batches, dropout's masks and crops */
        infl_hash_number(hash, infl_objective_source_row(train, i));
    INFL_TRY(hash_rounding(hash, train, r->p));
    infl_hash_doubles(hash, o->start != NULL ? o->start : r->optimum, r->p);
    infl_hash_doubles(hash, o->start_state != NULL ? o->start_state : r->state, r->n_state);
    infl_hash_number(hash, o->train != NULL);
    if (o->train != NULL)
        hash_train_options(hash, &r->train_options);
    infl_hash_number(hash, o->polish != NULL);
    if (o->polish != NULL) {
        infl_hash_double(hash, r->polish_options.gradient_tolerance);
        infl_hash_number(hash, r->polish_options.max_iterations);
        infl_hash_number(hash, r->polish_options.max_cg_iterations);
        INFL_TRY(hash_preconditioner(hash, r->polish_options.preconditioner, r->p));
    }
    infl_hash_number(hash, o->subtract_control != 0);
    infl_hash_number(hash, r->parameters != NULL);
    infl_hash_number(hash, r->control_parameters != NULL);
    infl_hash_number(hash, r->losses != NULL);
    infl_hash_number(hash, r->test != NULL);
    if (r->test != NULL) {
        hash_identity(hash, test);
        for (size_t i = 0; i < r->t; i++)
            infl_hash_number(hash, r->test_rows == NULL ? i : r->test_rows[i]);
    }
    return INFL_OK;
}

/* The units that remove each row: the first of a row, and the next after each of them; n_units: none. */
typedef struct unit_index {
    size_t *first, *next;
} unit_index;

static void index_units(const retraining *r, unit_index *units) {
    size_t begin = r->options.subtract_control ? 1 : 0;
    for (size_t row = 0; row < r->train->n_rows; row++)
        units->first[row] = r->n_units;
    for (size_t unit = r->n_units; unit-- > begin;) {
        size_t row = removed_row(r, unit);
        units->next[unit] = units->first[row];
        units->first[row] = unit;
    }
}

/* Whether it has a reason that there is, and numbers that are finite, as whatever a retraining ends with has. */
static int is_result(const unsigned char *record, size_t length) {
    if (infl_get_number(record + 16, 8) > INFL_STOP_STALLED)
        return 0;
    for (size_t at = 32; at < length; at += 8) {
        double number;
        get_doubles(&number, record + at, 1);
        if (!isfinite(number))
            return 0;
    }
    return 1;
}

static void take_record(retraining *r, const unsigned char *record, size_t unit) {
    unit_results to = results_of(r, unit);
    if (r->finished[unit])
        return;
    get_record(r, record, &to);
    r->finished[unit] = 1;
    r->resumed++;
}

/* Takes all records, those of rows that are not asked for this time aside. */
static infl_status read_records(retraining *r, const unit_index *units) {
    const unsigned char *record;
    size_t length;
    for (;;) {
        INFL_TRY(infl_journal_read(r->journal, &record, &length));
        if (record == NULL)
            return INFL_OK;
        uint64_t name = length < 8 ? 0 : infl_get_number(record, 8);
        if (!(name == CONTROL && r->options.subtract_control) && name >= r->train->n_rows)
            return infl_journal_refuse(r->journal, "a record of row %llu; there are rows 0 to %zu",
                                       (unsigned long long)name, r->train->n_rows - 1);
        unit_results any = results_of(r, name == CONTROL ? 0 : r->n_units - 1);
        if (length != 8 * record_numbers(r, &any))
            return infl_journal_refuse(r->journal, "a record of %zu bytes; %zu are expected", length,
                                       8 * record_numbers(r, &any));
        if (!is_result(record, length))
            return infl_journal_refuse(r->journal, "a record that is not of how a retraining ended: its reason is "
                                                   "unknown, or a number is not finite");
        if (name == CONTROL)
            take_record(r, record, 0);
        else
            for (size_t unit = units->first[name]; unit < r->n_units; unit = units->next[unit])
                take_record(r, record, unit);
    }
}

/* Opens the journal and takes what it has. */
static infl_status resume(retraining *r, infl_objective *train, const infl_identity *test, const char *function) {
    unit_index units = {NULL, NULL};
    infl_hash *hash = NULL;
    uint64_t configuration[2];
    infl_status status;
    INFL_ALLOCATE_OR_OUT(units.first, train->n_rows);
    INFL_ALLOCATE_OR_OUT(units.next, r->n_units);
    if ((status = infl_hash_begin(&hash)) != INFL_OK || (status = hash_configuration(r, train, test, hash)) != INFL_OK)
        goto out;
    infl_hash_end(hash, configuration);
    hash = NULL;
    index_units(r, &units);
    if ((status = infl_journal_open(&r->journal, function, r->options.journal, configuration)) == INFL_OK)
        status = read_records(r, &units);
out:
    infl_hash_release(hash);
    infl_release(units.first);
    infl_release(units.next);
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

/* The members of the output that are no arrays, which a caller's struct of an earlier version lacks. */
static void write_counts(const retraining *r, infl_retrain_output *output) {
    if (output->size >= offsetof(infl_retrain_output, resumed) + sizeof output->resumed)
        output->resumed = r->resumed;
    if (output->size >= offsetof(infl_retrain_output, dropped) + sizeof output->dropped)
        output->dropped = r->journal == NULL ? 0 : infl_journal_dropped(r->journal);
    if (output->size < offsetof(infl_retrain_output, unconverged) + sizeof output->unconverged)
        return;
    int polished = r->options.polish != NULL;
    output->unconverged = polished && r->options.subtract_control && r->control_result.reason != INFL_STOP_GRADIENT;
    for (size_t i = 0; polished && i < r->m; i++)
        output->unconverged += r->results[i].reason != INFL_STOP_GRADIENT;
}

static infl_status read_options(retraining *r, const infl_retrain_options *given, const char *function) {
    r->options = (infl_retrain_options)INFL_RETRAIN_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&r->options, sizeof r->options, given, function, "options"));
    if (r->options.start != NULL && !infl_all_finite(r->options.start, r->p))
        return infl_fail(INFL_E_NONFINITE, "%s: start has a number that is not finite", function);
    if (r->options.start_state != NULL && !infl_all_finite(r->options.start_state, r->n_state))
        return infl_fail(INFL_E_NONFINITE, "%s: start_state has a number that is not finite", function);
    INFL_TRY(infl_train_read_options(&r->train_options, r->options.train, function));
    INFL_TRY(infl_polish_read_options(&r->polish_options, r->options.polish, r->p, function));
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
    return infl_innermost_source(objective->ops, objective->source) == &infl_custom_source && objective->threads == 1;
}

infl_status infl_retrain_without(infl_objective *train, const size_t *rows, size_t n_rows, infl_objective *test,
                                 const size_t *test_rows, size_t n_test, const infl_retrain_options *options,
                                 infl_retrain_output *output) {
    INFL_REQUIRE(train);
    INFL_REQUIRE(output);
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    infl_identity test_identity = {{0}, {0}};
    retraining r = {.train = train,
                    .test = test,
                    .rows = rows,
                    .test_rows = test_rows,
                    .p = train->n_parameters,
                    .n_state = infl_objective_state(train),
                    .error = INFL_ERROR_SLOT_INIT};
    int threads;
    INFL_TRY(infl_read_options(&out, sizeof out, output, __func__, "output"));
    INFL_TRY(read_options(&r, options, __func__));
    INFL_TRY(infl_resolve_threads(r.options.threads, &threads, __func__));
    INFL_TRY(infl_objective_check_rows(train, rows, n_rows, &r.m, "rows", __func__));
    if (train->n_rows < 2)
        return infl_fail(INFL_E_ARGUMENT, "%s: train has one row; removing it leaves none", __func__);
    if (test != NULL) {
        INFL_TRY(infl_objective_check_rows(test, test_rows, n_test, &r.t, "test_rows", __func__));
        if (test->n_parameters != r.p)
            return infl_fail(INFL_E_ARGUMENT, "%s: test has %zu parameters, but train has %zu", __func__,
                             test->n_parameters, r.p);
        if (infl_objective_state(test) != r.n_state)
            return infl_fail(INFL_E_ARGUMENT, "%s: the state of test's model has %zu numbers, but train's has %zu",
                             __func__, infl_objective_state(test), r.n_state);
        INFL_TRY(infl_objective_check_others(train, test, __func__));
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
    INFL_ALLOCATE_OR_OUT(r.results, r.m);
    INFL_ALLOCATE_OR_OUT(r.finished, r.n_units);
    if (out.cosines != NULL)
        INFL_ALLOCATE_OR_OUT(r.cosines, r.m);
    if (out.parameter_changes != NULL || out.norms != NULL || out.cosines != NULL)
        INFL_ALLOCATE_MATRIX_OR_OUT(r.parameters, r.m, r.p);
    if (r.options.subtract_control && (r.parameters != NULL || out.control_parameters != NULL))
        INFL_ALLOCATE_OR_OUT(r.control_parameters, r.p);
    if (r.options.subtract_control && r.test != NULL)
        INFL_ALLOCATE_OR_OUT(r.control_losses, r.t);
    if (out.loss_changes != NULL)
        INFL_ALLOCATE_MATRIX_OR_OUT(r.losses, r.m, r.t);
    if ((status = infl_objective_get_parameters(train, r.optimum)) != INFL_OK ||
        (status = infl_objective_get_state(train, r.state)) != INFL_OK)
        goto out;
    if (r.test != NULL && (status = measure_base(&r, &test_identity)) != INFL_OK)
        goto out;
    if (r.options.journal != NULL && (status = resume(&r, train, &test_identity, __func__)) != INFL_OK)
        goto out;
    if ((status = run(&r, threads)) == INFL_OK && (status = compare_parameters(&r)) == INFL_OK) {
        write_output(&r, &out);
        write_counts(&r, output);
    }
out:
    infl_release(r.optimum);
    infl_release(r.state);
    infl_release(r.base_losses);
    infl_release(r.control_parameters);
    infl_release(r.control_losses);
    infl_release(r.results);
    infl_release(r.finished);
    infl_journal_close(r.journal);
    infl_release(r.parameters);
    infl_release(r.losses);
    infl_release(r.cosines);
    return infl_in_name_of(__func__, status);
}

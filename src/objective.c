/* Means, weight decay and subsets of rows on top of a source's sums. */
#include "objective.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "dense.h"
#include "memory.h"
#include "network.h"
#include "objective_sources.h"
#include "parallel.h"

infl_status infl_resolve_threads(int asked, int *threads, const char *function) {
    if (asked < 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: threads is %d; expected 0 (as many as there are) or more", function,
                         asked);
    *threads = asked > 0 ? asked : omp_get_max_threads();
    return INFL_OK;
}

static infl_status check_decay(double decay, const char *function) {
    if (!(decay >= 0.0) || !isfinite(decay))
        return infl_fail(INFL_E_ARGUMENT, "%s: decay is %g; expected a finite number ≥ 0", function, decay);
    return INFL_OK;
}

/* Indices of parameters for an objective on some of p; NULL: all. */
static infl_status check_parameters(const infl_objective_options *options, size_t p, const char *function) {
    const size_t *parameters = options->parameters;
    if ((parameters == NULL) != (options->n_parameters == 0))
        return infl_fail(INFL_E_ARGUMENT, "%s: parameters is %s, but n_parameters is %zu", function,
                         parameters == NULL ? "NULL (all parameters)" : "given", options->n_parameters);
    for (size_t i = 0; i < options->n_parameters; i++) {
        if (parameters[i] >= p)
            return infl_fail(INFL_E_ARGUMENT, "%s: parameters[%zu] is %zu; there are parameters 0 to %zu", function, i,
                             parameters[i], p - 1);
        if (i > 0 && parameters[i] <= parameters[i - 1])
            return infl_fail(INFL_E_ARGUMENT,
                             "%s: parameters[%zu] is %zu after %zu; strictly ascending indices are "
                             "expected",
                             function, i, parameters[i], parameters[i - 1]);
    }
    return INFL_OK;
}

/* An objective of all n rows of a source, which it owns from now on, also on failure. */
static infl_status create(infl_objective **out, const infl_source_ops *ops, void *source, size_t n, size_t p,
                          double decay, int threads) {
    infl_status status = INFL_OK;
    infl_objective *objective = infl_allocate(1, sizeof *objective);
    if (objective == NULL) {
        ops->destroy(source);
        return INFL_E_MEMORY;
    }
    *objective = (infl_objective){
        .ops = ops, .source = source, .n_rows = n, .n_parameters = p, .decay = decay, .threads = threads};
    INFL_ALLOCATE_OR_OUT(objective->rows, n);
    INFL_ALLOCATE_OR_OUT(objective->idle, INFL_IDLE);
    INFL_ALLOCATE_OR_OUT(objective->mask, p);
    for (size_t i = 0; i < n; i++)
        objective->rows[i] = i;
    *out = objective;
    objective = NULL;
out:
    infl_objective_destroy(objective);
    return status;
}

static void destroy_scratch(const infl_objective *objective, infl_scratch *scratch) {
    if (scratch == NULL)
        return;
    objective->ops->workspace_destroy(objective->source, scratch->workspace);
    infl_release(scratch->batch);
    infl_release(scratch->losses);
    infl_release(scratch->gradient);
    infl_release(scratch->theta);
    infl_release(scratch);
}

static infl_status create_scratch(const infl_objective *objective, infl_scratch **out) {
    infl_status status = INFL_OK;
    infl_scratch *scratch;
    INFL_ALLOCATE(scratch, 1);
    INFL_ALLOCATE_OR_OUT(scratch->batch, objective->n_rows);
    INFL_ALLOCATE_OR_OUT(scratch->losses, objective->n_rows);
    INFL_ALLOCATE_OR_OUT(scratch->gradient, objective->n_parameters);
    INFL_ALLOCATE_OR_OUT(scratch->theta, objective->n_parameters);
    if ((status = objective->ops->workspace_create(objective->source, &scratch->workspace)) != INFL_OK)
        goto out;
    *out = scratch;
    scratch = NULL;
out:
    destroy_scratch(objective, scratch);
    return status;
}

/* For the calling thread alone until it is handed back. */
static infl_status take_scratch(const infl_objective *objective, infl_scratch **out) {
    for (size_t i = 0; i < INFL_IDLE; i++)
        if ((*out = atomic_exchange(&objective->idle[i], NULL)) != NULL)
            return INFL_OK;
    return create_scratch(objective, out);
}

static void hand_back(const infl_objective *objective, infl_scratch *scratch) {
    for (size_t i = 0; i < INFL_IDLE; i++) {
        infl_scratch *none = NULL;
        if (atomic_compare_exchange_strong(&objective->idle[i], &none, scratch))
            return;
    }
    destroy_scratch(objective, scratch);
}

/* Makes the objective, new and of all parameters, one of those that the options name. */
static infl_status restrict_parameters(infl_objective *objective, const infl_objective_options *options) {
    void *source;
    if (options->parameters == NULL)
        return INFL_OK;
    INFL_TRY(infl_restricted_source_create(&source, objective->ops, objective->source, objective->n_parameters,
                                           options->parameters, options->n_parameters));
    for (size_t i = 0; i < options->n_parameters; i++)
        objective->mask[i] = objective->mask[options->parameters[i]];
    objective->ops = &infl_restricted_source;
    objective->source = source;
    objective->n_parameters = options->n_parameters;
    return INFL_OK;
}

/* Hands the new objective to the caller, of the parameters that the options name; destroys it on failure. */
static infl_status hand_out(infl_objective **out, infl_objective *objective, const infl_objective_options *options,
                            const char *function) {
    infl_status status = restrict_parameters(objective, options);
    if (status == INFL_OK)
        *out = objective;
    else
        infl_objective_destroy(objective);
    return infl_in_name_of(function, status);
}

static infl_status check_fit(const infl_model *model, const infl_loss *loss, const infl_dataset *dataset) {
    const char *function = "infl_objective_create";
    size_t outputs = infl_model_outputs(model), targets = infl_dataset_targets(dataset);
    if (infl_dataset_features(dataset) != infl_model_inputs(model))
        return infl_fail(INFL_E_ARGUMENT, "%s: the dataset has %zu features, the model %zu inputs", function,
                         infl_dataset_features(dataset), infl_model_inputs(model));
    int classes = infl_dataset_target_kind(dataset) == INFL_TARGET_CLASS;
    if (classes == (loss->kind == INFL_SQUARED_ERROR))
        return infl_fail(INFL_E_ARGUMENT, "%s: the dataset has %s targets, which this loss does not take", function,
                         classes ? "class" : "real");
    if (loss->kind == INFL_LOGISTIC || loss->kind == INFL_SMOOTHED_HINGE) {
        if (targets > 2 || outputs != 1)
            return infl_fail(INFL_E_ARGUMENT,
                             "%s: the dataset has %zu classes and the model %zu outputs; this loss "
                             "takes 2 classes and 1 output",
                             function, targets, outputs);
    } else if (classes ? targets > outputs : targets != outputs)
        return infl_fail(INFL_E_ARGUMENT, "%s: the dataset has %zu %s, the model %zu outputs", function, targets,
                         classes ? "classes" : "targets a row", outputs);
    return INFL_OK;
}

infl_status infl_objective_create(infl_objective **out, infl_model *model, const infl_loss *loss,
                                  const infl_dataset *dataset, const infl_objective_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(model);
    INFL_REQUIRE(loss);
    INFL_REQUIRE(dataset);
    infl_objective_options given = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_loss checked_loss;
    int threads = 1;
    INFL_TRY(infl_read_options(&given, sizeof given, options, __func__, "options"));
    INFL_TRY(infl_read_loss(&checked_loss, loss, __func__));
    INFL_TRY(check_fit(model, &checked_loss, dataset));
    INFL_TRY(check_decay(given.decay, __func__));
    INFL_TRY(infl_resolve_threads(given.threads, &threads, __func__));
    if (given.decay_scope != INFL_DECAY_ALL && given.decay_scope != INFL_DECAY_WEIGHTS)
        return infl_fail(INFL_E_ARGUMENT, "%s: decay_scope %d does not exist", __func__, (int)given.decay_scope);
    void *source;
    infl_objective *objective;
    size_t p = infl_model_parameters(model);
    INFL_TRY(check_parameters(&given, p, __func__));
    infl_status status = infl_network_source_create(&source, model, &checked_loss, dataset, threads,
                                                    given.memory_budget, given.keep_budget);
    if (status == INFL_OK)
        status = create(&objective, &infl_network_source, source, infl_dataset_rows(dataset), p, given.decay, threads);
    if (status != INFL_OK)
        return infl_in_name_of(__func__, status);
    for (size_t i = 0; i < infl_model_tensors(model); i++) {
        const infl_tensor *tensor = &model->tensors[i];
        memset(objective->mask + tensor->offset, given.decay_scope == INFL_DECAY_ALL || tensor->is_weight,
               tensor->length);
    }
    return hand_out(out, objective, &given, __func__);
}

infl_status infl_objective_create_custom(infl_objective **out, const infl_custom_objective *custom, const double *theta,
                                         const infl_objective_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(custom);
    INFL_REQUIRE(theta);
    infl_custom_objective calls = INFL_CUSTOM_OBJECTIVE_INIT;
    infl_objective_options given = INFL_OBJECTIVE_OPTIONS_INIT;
    int threads = 1;
    INFL_TRY(infl_read_options(&calls, sizeof calls, custom, __func__, "custom"));
    INFL_TRY(infl_read_options(&given, sizeof given, options, __func__, "options"));
    INFL_TRY(check_decay(given.decay, __func__));
    INFL_TRY(infl_resolve_threads(given.threads, &threads, __func__));
    if (calls.n_rows == 0 || calls.n_parameters == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: %zu rows and %zu parameters; expected at least one of each", __func__,
                         calls.n_rows, calls.n_parameters);
    if (calls.losses == NULL || calls.row_gradients == NULL)
        return infl_fail(INFL_E_ARGUMENT, "%s: the %s callback is NULL; it is required", __func__,
                         calls.losses == NULL ? "losses" : "row_gradients");
    INFL_TRY(check_parameters(&given, calls.n_parameters, __func__));
    INFL_TRY(infl_check_vectors(theta, 1, calls.n_parameters, __func__, "theta"));
    void *source;
    infl_objective *objective;
    infl_status status = infl_custom_source_create(&source, &calls, theta, given.memory_budget);
    if (status == INFL_OK)
        status =
            create(&objective, &infl_custom_source, source, calls.n_rows, calls.n_parameters, given.decay, threads);
    if (status != INFL_OK)
        return infl_in_name_of(__func__, status);
    for (size_t i = 0; i < calls.n_parameters; i++)
        objective->mask[i] = calls.decay_mask == NULL || calls.decay_mask[i] != 0;
    return hand_out(out, objective, &given, __func__);
}

infl_status infl_objective_copy(infl_objective **out, const infl_objective *objective, const size_t *rows,
                                size_t n_rows, int threads) {
    void *source;
    infl_objective *copy = NULL;
    unsigned char *removed = NULL;
    infl_status status = INFL_OK;
    size_t n = 0, left = objective->n_rows;
    INFL_ALLOCATE(removed, objective->n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        left -= !removed[rows[i]];
        removed[rows[i]] = 1;
    }
    if (left == 0) {
        status =
            infl_fail(INFL_E_ARGUMENT, "all %zu rows would be removed; at least one must remain", objective->n_rows);
        goto out;
    }
    if ((status = objective->ops->clone(objective->source, threads, &source)) != INFL_OK)
        goto out;
    if ((status = create(&copy, objective->ops, source, objective->n_rows, objective->n_parameters, objective->decay,
                         threads)) != INFL_OK)
        goto out;
    memcpy(copy->mask, objective->mask, objective->n_parameters);
    for (size_t i = 0; i < objective->n_rows; i++)
        if (!removed[i])
            copy->rows[n++] = objective->rows[i];
    copy->n_rows = n;
    *out = copy;
out:
    infl_release(removed);
    return status;
}

infl_status infl_objective_check_others(const infl_objective *train, const infl_objective *test, const char *function) {
    const size_t *parameters = infl_restricted_parameters(train->ops, train->source);
    const size_t *parameters_test = infl_restricted_parameters(test->ops, test->source);
    if (parameters == NULL || parameters_test == NULL)
        return INFL_OK;
    for (size_t i = 0; i < train->n_parameters; i++)
        if (parameters[i] != parameters_test[i])
            return infl_fail(INFL_E_ARGUMENT,
                             "%s: test is of other parameters than train (parameters[%zu] is %zu, and "
                             "%zu of train)",
                             function, i, parameters_test[i], parameters[i]);
    size_t n = infl_objective_others(train), n_test = infl_objective_others(test);
    if (n != n_test)
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: test's model has %zu parameters that test is not of, but train's has "
                         "%zu that train is not of",
                         function, n_test, n);
    double *others = NULL, *others_test = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(others, n);
    INFL_ALLOCATE_OR_OUT(others_test, n);
    if ((status = infl_objective_get_others(train, others)) != INFL_OK ||
        (status = infl_objective_get_others(test, others_test)) != INFL_OK)
        goto out;
    for (size_t i = 0; i < n && status == INFL_OK; i++)
        if (others[i] != others_test[i])
            status = infl_fail(INFL_E_ARGUMENT,
                               "%s: of the parameters that the objectives are not of, number %zu is "
                               "%g for test and %g for train; create both of the same parameters of one model",
                               function, i, others_test[i], others[i]);
out:
    infl_release(others);
    infl_release(others_test);
    return infl_in_name_of(function, status);
}

infl_status infl_objective_without(infl_objective **out, const infl_objective *objective, const size_t *rows,
                                   size_t n_rows) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(objective);
    if (n_rows > 0) {
        INFL_REQUIRE(rows);
        INFL_TRY(infl_objective_check_rows(objective, rows, n_rows, &n_rows, "rows", __func__));
    }
    return infl_in_name_of(__func__, infl_objective_copy(out, objective, rows, n_rows, objective->threads));
}

void infl_objective_destroy(infl_objective *objective) {
    if (objective == NULL)
        return;
    for (size_t i = 0; objective->idle != NULL && i < INFL_IDLE; i++)
        destroy_scratch(objective, objective->idle[i]);
    objective->ops->destroy(objective->source);
    infl_release(objective->idle);
    infl_release(objective->rows);
    infl_release(objective->mask);
    infl_release(objective);
}

size_t infl_objective_rows(const infl_objective *objective) { return objective == NULL ? 0 : objective->n_rows; }

size_t infl_objective_parameters(const infl_objective *objective) {
    return objective == NULL ? 0 : objective->n_parameters;
}

double infl_objective_decay(const infl_objective *objective) { return objective == NULL ? 0.0 : objective->decay; }

infl_status infl_objective_get_parameters(const infl_objective *objective, double *theta) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(theta);
    return infl_in_name_of(__func__, objective->ops->get_parameters(objective->source, theta));
}

infl_status infl_objective_set_parameters(infl_objective *objective, const double *theta) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(theta);
    INFL_TRY(infl_check_vectors(theta, 1, objective->n_parameters, __func__, "theta"));
    return infl_in_name_of(__func__, objective->ops->set_parameters(objective->source, theta));
}

infl_status infl_objective_memory(const infl_objective *objective, size_t k, size_t *bytes) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(bytes);
    if (k == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: k is 0; at least one vector is needed", __func__);
    infl_scratch *scratch;
    infl_status status = take_scratch(objective, &scratch);
    if (status == INFL_OK) {
        status = objective->ops->memory(objective->source, scratch->workspace, objective->n_rows, k, bytes);
        hand_back(objective, scratch);
    }
    return infl_in_name_of(__func__, status);
}

infl_status infl_objective_check_rows(const infl_objective *objective, const size_t *rows, size_t n_rows, size_t *n,
                                      const char *name, const char *function) {
    int first_word = (int)strcspn(name, "_");
    *n = rows == NULL ? objective->n_rows : n_rows;
    if (*n == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_%.*s is 0; at least one row is needed", function, first_word, name);
    for (size_t i = 0; rows != NULL && i < n_rows; i++)
        if (rows[i] >= objective->n_rows)
            return infl_fail(INFL_E_ARGUMENT, "%s: %s[%zu] is %zu; the objective has rows 0 to %zu", function, name, i,
                             rows[i], objective->n_rows - 1);
    return INFL_OK;
}

/* The rows of a call as the source counts them; release_rows frees what had to be allocated. */
static infl_status source_rows(const infl_objective *objective, const infl_scratch *scratch, const size_t *rows,
                               size_t n, const size_t **out) {
    *out = objective->rows;
    if (rows == NULL)
        return INFL_OK;
    size_t *mapped = scratch->batch;
    if (n > objective->n_rows)
        INFL_ALLOCATE(mapped, n);
    for (size_t i = 0; i < n; i++)
        mapped[i] = objective->rows[rows[i]];
    *out = mapped;
    return INFL_OK;
}

static void release_rows(const infl_objective *objective, const infl_scratch *scratch, const size_t *rows) {
    if (rows != objective->rows && rows != scratch->batch)
        infl_release((void *)rows);
}

/* Numbers of a vector from which threads share a pass over it. */
enum { LARGE = 1 << 18, SLICE = 1 << 15 };

static int all_finite(const infl_objective *objective, const double *result, size_t n) {
    int finite = 1;
    (void)objective; /* without OpenMP */
#pragma omp parallel for num_threads(objective->threads) if (n >= LARGE) reduction(&& : finite)
    for (size_t slice = 0; slice < (n + SLICE - 1) / SLICE; slice++)
        finite =
            finite && infl_all_finite(result + slice * SLICE, n - slice * SLICE < SLICE ? n - slice * SLICE : SLICE);
    return finite;
}

static void copy(const infl_objective *objective, double *to, const double *from, size_t n) {
    (void)objective;
#pragma omp parallel for num_threads(objective->threads) if (n >= LARGE)
    for (size_t slice = 0; slice < (n + SLICE - 1) / SLICE; slice++)
        memcpy(to + slice * SLICE, from + slice * SLICE,
               (n - slice * SLICE < SLICE ? n - slice * SLICE : SLICE) * sizeof *to);
}

static infl_status finite_result(const infl_objective *objective, const double *result, size_t n,
                                 const char *function) {
    if (all_finite(objective, result, n))
        return INFL_OK;
    return infl_fail(INFL_E_NONFINITE,
                     "%s: the result has NaN or infinity; parameters, features or vectors are too large", function);
}

/*
 * What every quantity has in common: checked rows, a scratch result that reaches the caller only when whole, and its
 * check. `fill` calls the source.
 */
typedef infl_status (*fill_fn)(const infl_objective *objective, void *workspace, const size_t *rows, size_t n,
                               const void *call, double *result);

static infl_status evaluate_into(const infl_objective *objective, const size_t *rows, size_t n_rows,
                                 size_t length_per_row, size_t length, fill_fn fill, const void *call, double *out,
                                 const char *function) {
    size_t n;
    const size_t *mapped = NULL;
    infl_scratch *scratch;
    INFL_TRY(infl_objective_check_rows(objective, rows, n_rows, &n, "rows", function));
    INFL_TRY(infl_in_name_of(function, take_scratch(objective, &scratch)));
    length += n * length_per_row;
    /* a vector has its place already */
    double *result = length <= objective->n_parameters ? scratch->gradient : infl_allocate(length, sizeof *result);
    infl_status status = result == NULL ? INFL_E_MEMORY : source_rows(objective, scratch, rows, n, &mapped);
    if (status == INFL_OK)
        status = fill(objective, scratch->workspace, mapped, n, call, result);
    if (status == INFL_OK)
        status = finite_result(objective, result, length, function);
    if (status == INFL_OK)
        copy(objective, out, result, length);
    if (result != scratch->gradient)
        infl_release(result);
    release_rows(objective, scratch, mapped);
    hand_back(objective, scratch);
    return infl_in_name_of(function, status);
}

typedef struct vector_call {
    const double *vectors;
    size_t k;
    infl_curvature_kind kind;
} vector_call;

static infl_status fill_losses(const infl_objective *objective, void *workspace, const size_t *rows, size_t n,
                               const void *call, double *result) {
    (void)call;
    return objective->ops->losses(objective->source, workspace, rows, n, result);
}

static infl_status fill_row_gradients(const infl_objective *objective, void *workspace, const size_t *rows, size_t n,
                                      const void *call, double *result) {
    (void)call;
    return objective->ops->row_gradients(objective->source, workspace, rows, n, result);
}

static infl_status fill_row_products(const infl_objective *objective, void *workspace, const size_t *rows, size_t n,
                                     const void *call, double *result) {
    const vector_call *given = call;
    return objective->ops->row_products(objective->source, workspace, rows, n, given->vectors, given->k, result);
}

static infl_status fill_weighted(const infl_objective *objective, void *workspace, const size_t *rows, size_t n,
                                 const void *call, double *result) {
    const vector_call *given = call;
    return objective->ops->weighted_gradients(objective->source, workspace, rows, n, given->vectors, given->k, result,
                                              NULL);
}

/* Sum → mean, plus μD v. */
static infl_status fill_products(const infl_objective *objective, void *workspace, const size_t *rows, size_t n,
                                 const void *call, double *result) {
    const vector_call *given = call;
    size_t p = objective->n_parameters;
    INFL_TRY(
        objective->ops->products(objective->source, workspace, given->kind, rows, n, given->vectors, given->k, result));
    for (size_t j = 0; j < given->k; j++) {
        const double *vector = given->vectors + j * p;
        double *product = result + j * p;
#pragma omp parallel for num_threads(objective->threads) if (p >= LARGE)
        for (size_t i = 0; i < p; i++)
            product[i] = product[i] / (double)n + (objective->mask[i] ? objective->decay * vector[i] : 0.0);
    }
    return INFL_OK;
}

infl_status infl_objective_losses(infl_objective *objective, const size_t *rows, size_t n_rows, double *losses) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(losses);
    return evaluate_into(objective, rows, n_rows, 1, 0, fill_losses, NULL, losses, __func__);
}

infl_status infl_objective_row_gradients(infl_objective *objective, const size_t *rows, size_t n_rows,
                                         double *gradients) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(gradients);
    return evaluate_into(objective, rows, n_rows, objective->n_parameters, 0, fill_row_gradients, NULL, gradients,
                         __func__);
}

static infl_status fill_row_norms(const infl_objective *objective, void *workspace, const size_t *rows, size_t n,
                                  const void *call, double *result) {
    (void)call;
    INFL_TRY(objective->ops->row_squares(objective->source, workspace, rows, n, result));
    for (size_t i = 0; i < n; i++)
        result[i] = sqrt(result[i]);
    return INFL_OK;
}

infl_status infl_objective_row_norms(infl_objective *objective, const size_t *rows, size_t n_rows, double *norms) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(norms);
    return evaluate_into(objective, rows, n_rows, 1, 0, fill_row_norms, NULL, norms, __func__);
}

infl_status infl_objective_stream_row_gradients(infl_objective *objective, const size_t *rows, size_t n_rows,
                                                size_t block, infl_row_gradients_fn take, void *context) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(take);
    static const size_t BLOCK_BYTES = (size_t)64 << 20;
    size_t n, p = objective->n_parameters, *mapped = NULL; /* our own: the callback may use the objective */
    double *gradients = NULL;
    infl_status status = INFL_OK;
    INFL_TRY(infl_objective_check_rows(objective, rows, n_rows, &n, "rows", __func__));
    if (block == 0)
        block = BLOCK_BYTES / sizeof(double) / p > 0 ? BLOCK_BYTES / sizeof(double) / p : 1;
    block = block < n ? block : n;
    INFL_ALLOCATE_OR_OUT(mapped, n);
    INFL_ALLOCATE_MATRIX_OR_OUT(gradients, block, p);
    for (size_t i = 0; i < n; i++)
        mapped[i] = objective->rows[rows == NULL ? i : rows[i]];
    for (size_t first = 0; first < n && status == INFL_OK; first += block) {
        size_t now = n - first < block ? n - first : block;
        infl_scratch *scratch;
        if ((status = take_scratch(objective, &scratch)) != INFL_OK)
            goto out;
        status = objective->ops->row_gradients(objective->source, scratch->workspace, mapped + first, now, gradients);
        hand_back(objective, scratch); /* which the callback may use */
        if (status == INFL_OK)
            status = finite_result(objective, gradients, now * p, __func__);
        if (status == INFL_OK && take(context, first, now, gradients) != 0)
            status = infl_fail(INFL_E_CANCELLED, "%s: the callback ended the work after %zu of %zu rows", __func__,
                               first + now, n);
    }
out:
    infl_release(gradients);
    infl_release(mapped);
    return infl_in_name_of(__func__, status);
}

infl_status infl_objective_row_products(infl_objective *objective, const size_t *rows, size_t n_rows,
                                        const double *vectors, size_t k, double *out) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(vectors);
    INFL_REQUIRE(out);
    INFL_TRY(infl_check_vectors(vectors, k, objective->n_parameters, __func__, "vectors"));
    vector_call call = {.vectors = vectors, .k = k};
    return evaluate_into(objective, rows, n_rows, k, 0, fill_row_products, &call, out, __func__);
}

infl_status infl_objective_weighted_gradients(infl_objective *objective, const size_t *rows, size_t n_rows,
                                              const double *weights, size_t k, double *out) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(weights);
    INFL_REQUIRE(out);
    size_t n;
    INFL_TRY(infl_objective_check_rows(objective, rows, n_rows, &n, "rows", __func__));
    INFL_TRY(infl_check_vectors(weights, k, n, __func__, "weights"));
    vector_call call = {.vectors = weights, .k = k};
    return evaluate_into(objective, rows, n_rows, 0, k * objective->n_parameters, fill_weighted, &call, out, __func__);
}

static infl_status check_kind(infl_curvature_kind kind, const char *function) {
    if (kind != INFL_HESSIAN && kind != INFL_GAUSS_NEWTON && kind != INFL_FISHER)
        return infl_fail(INFL_E_ARGUMENT, "%s: curvature kind %d does not exist", function, (int)kind);
    return INFL_OK;
}

static infl_status product_rows(infl_objective *objective, infl_curvature_kind kind, const size_t *rows, size_t n_rows,
                                const double *vectors, size_t k, double *out, const char *function) {
    INFL_TRY(check_kind(kind, function));
    if (k == 0 || !all_finite(objective, vectors, k * objective->n_parameters))
        INFL_TRY(infl_check_vectors(vectors, k, objective->n_parameters, function, "vectors"));
    vector_call call = {.vectors = vectors, .k = k, .kind = kind};
    return evaluate_into(objective, rows, n_rows, 0, k * objective->n_parameters, fill_products, &call, out, function);
}

infl_status infl_objective_product(infl_objective *objective, infl_curvature_kind kind, const double *vectors, size_t k,
                                   double *out) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(vectors);
    INFL_REQUIRE(out);
    return product_rows(objective, kind, NULL, 0, vectors, k, out, __func__);
}

infl_status infl_objective_product_rows(infl_objective *objective, infl_curvature_kind kind, const size_t *rows,
                                        size_t n_rows, const double *vectors, size_t k, double *out) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(vectors);
    INFL_REQUIRE(out);
    return product_rows(objective, kind, rows, n_rows, vectors, k, out, __func__);
}

/* From sums over n rows to means, plus the decay: of the loss, and of the gradient in the scratch, which goes to
 * `gradient`. Each may be NULL. */
static infl_status finish(const infl_objective *objective, infl_scratch *scratch, size_t n, double *loss,
                          double *gradient) {
    size_t p = objective->n_parameters;
    const double *theta = scratch->theta;
    double *sums = scratch->gradient, squares = 0.0, decay = objective->decay;
    if (decay > 0)
        INFL_TRY(objective->ops->get_parameters(objective->source, scratch->theta));
    if (loss != NULL) {
        for (size_t i = 0; i < p && decay > 0; i++)
            squares += objective->mask[i] ? theta[i] * theta[i] : 0.0;
        *loss = *loss / (double)n + 0.5 * decay * squares;
    }
    if (gradient != NULL) {
#pragma omp parallel for num_threads(objective->threads) if (p >= LARGE)
        for (size_t i = 0; i < p; i++)
            sums[i] = sums[i] / (double)n + (decay > 0 && objective->mask[i] ? decay * theta[i] : 0.0);
    }
    if ((loss != NULL && !isfinite(*loss)) || (gradient != NULL && !all_finite(objective, sums, p)))
        return infl_fail(INFL_E_NONFINITE,
                         "the risk or its gradient is NaN or infinite; parameters or features are too large");
    if (gradient != NULL)
        copy(objective, gradient, sums, p);
    return INFL_OK;
}

/* Of the given source rows; value and gradient may be NULL. */
static infl_status evaluate_in(const infl_objective *objective, infl_scratch *scratch, const size_t *rows, size_t n,
                               double *value, double *gradient) {
    const infl_source_ops *ops = objective->ops;
    double *losses = NULL, loss = 0.0;
    infl_status status = INFL_OK;
    if (value != NULL) {
        losses = scratch->losses;
        if (n > objective->n_rows)
            INFL_ALLOCATE(losses, n);
    }
    if (gradient != NULL)
        status =
            ops->weighted_gradients(objective->source, scratch->workspace, rows, n, NULL, 1, scratch->gradient, losses);
    else if (value != NULL)
        status = ops->losses(objective->source, scratch->workspace, rows, n, losses);
    for (size_t i = 0; status == INFL_OK && value != NULL && i < n; i++)
        loss += losses[i];
    if (losses != scratch->losses)
        infl_release(losses);
    if (status == INFL_OK)
        status = finish(objective, scratch, n, value == NULL ? NULL : &loss, gradient);
    if (status == INFL_OK && value != NULL)
        *value = loss;
    return status;
}

/* Of the given rows, or all. */
static infl_status evaluate(const infl_objective *objective, const size_t *rows, size_t n, double *value,
                            double *gradient) {
    const size_t *mapped;
    infl_scratch *scratch;
    INFL_TRY(take_scratch(objective, &scratch));
    infl_status status = source_rows(objective, scratch, rows, n, &mapped);
    if (status == INFL_OK) {
        status = evaluate_in(objective, scratch, mapped, n, value, gradient);
        release_rows(objective, scratch, mapped);
    }
    hand_back(objective, scratch);
    return status;
}

infl_status infl_objective_training_gradient(infl_objective *objective, const size_t *rows, size_t n,
                                             const struct infl_training_step *step, double *gradient) {
    const size_t *mapped;
    infl_scratch *scratch;
    INFL_TRY(take_scratch(objective, &scratch));
    infl_status status = source_rows(objective, scratch, rows, n, &mapped);
    if (status == INFL_OK) {
        status = objective->ops->training_gradient(objective->source, scratch->workspace, mapped, n, step,
                                                   scratch->gradient);
        release_rows(objective, scratch, mapped);
    }
    if (status == INFL_OK)
        status = finish(objective, scratch, n, NULL, gradient);
    hand_back(objective, scratch);
    return status;
}

infl_status infl_objective_evaluate(infl_objective *objective, double *value, double *gradient) {
    INFL_REQUIRE(objective);
    return infl_in_name_of(__func__, evaluate(objective, NULL, objective->n_rows, value, gradient));
}

infl_status infl_objective_evaluate_rows(infl_objective *objective, const size_t *rows, size_t n_rows, double *value,
                                         double *gradient) {
    INFL_REQUIRE(objective);
    size_t n;
    INFL_TRY(infl_objective_check_rows(objective, rows, n_rows, &n, "rows", __func__));
    return infl_in_name_of(__func__, evaluate(objective, rows, n, value, gradient));
}

static infl_status read_dense_options(infl_dense_options *options, const infl_dense_options *given,
                                      const char *function) {
    *options = (infl_dense_options)INFL_DENSE_OPTIONS_INIT;
    INFL_TRY(infl_read_options(options, sizeof *options, given, function, "dense options"));
    if (options->precision != -1 && options->precision != INFL_F32 && options->precision != INFL_F64)
        return infl_fail(INFL_E_ARGUMENT, "%s: precision is %d; expected INFL_F32, INFL_F64 or -1 (the model's)",
                         function, options->precision);
    return INFL_OK;
}

/* Products with the unit vectors; slabs of them bound the memory and leave enough work side by side. */
static infl_status dense_by_products(const infl_source_ops *ops, const void *source, void *workspace, size_t p,
                                     const infl_dense_call *call) {
    enum { SLAB = 128 };
    size_t q = call->q, most = infl_vectors_at_once(p, q), slab = most < SLAB ? most : SLAB;
    double *units = NULL, *products = NULL, *matrix = call->matrix;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX_OR_OUT(units, slab, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(products, slab, p);
    for (size_t first = 0; first < q; first += slab) {
        size_t k = q - first < slab ? q - first : slab;
        if ((status = infl_report_progress(call->progress, call->progress_context, "dense", first, q)) != INFL_OK)
            goto out;
        memset(units, 0, k * p * sizeof *units);
        for (size_t j = 0; j < k; j++)
            units[j * p + call->parameters[first + j]] = 1.0;
        status = ops->products(source, workspace, call->kind, call->rows, call->n, units, k, products);
        if (status != INFL_OK)
            goto out;
        for (size_t j = 0; j < k; j++)
            for (size_t i = 0; i < q; i++)
                matrix[(first + j) * q + i] = products[j * p + call->parameters[i]];
    }
    for (size_t i = 0; i < q; i++)
        for (size_t j = 0; j < i; j++)
            matrix[i * q + j] = matrix[j * q + i] = 0.5 * (matrix[i * q + j] + matrix[j * q + i]);
    status = infl_report_progress(call->progress, call->progress_context, "dense", q, q);
out:
    infl_release(units);
    infl_release(products);
    return status;
}

infl_status infl_source_dense(const infl_source_ops *ops, const void *source, void *workspace, size_t p,
                              const infl_dense_call *call) {
    return ops->dense != NULL ? ops->dense(source, workspace, call)
                              : dense_by_products(ops, source, workspace, p, call);
}

/* A source, and a workspace for it. */
typedef struct working_source {
    void *source, *workspace;
} working_source;

static void release_source(const infl_objective *objective, working_source *at) {
    if (at->source == NULL || at->source == objective->source)
        return;
    objective->ops->workspace_destroy(at->source, at->workspace);
    objective->ops->destroy(at->source);
}

/* The objective's source at a precision: itself, or a copy; release_source also on failure. */
static infl_status source_at(const infl_objective *objective, const infl_scratch *scratch, infl_precision precision,
                             working_source *out) {
    *out = (working_source){NULL, NULL};
    if (infl_objective_precision(objective) == precision) {
        *out = (working_source){objective->source, scratch->workspace};
        return INFL_OK;
    }
    if (infl_innermost_source(objective->ops, objective->source)->convert == NULL)
        return infl_fail(INFL_E_UNSUPPORTED, "an objective of the caller's own computes in f64; it has no f32");
    INFL_TRY(objective->ops->convert(objective->source, precision, objective->threads, &out->source));
    return objective->ops->workspace_create(out->source, &out->workspace);
}

/* From sums over rows to C = means + decay. */
static void add_decay(const infl_objective *objective, double *matrix) {
    size_t p = objective->n_parameters;
    for (size_t i = 0; i < p * p; i++)
        matrix[i] /= (double)objective->n_rows;
    for (size_t i = 0; i < p; i++)
        matrix[i * p + i] += objective->mask[i] ? objective->decay : 0.0;
}

/* Compares evenly spread columns of the matrix with products in f64. */
static infl_status check_columns(const infl_objective *objective, const infl_scratch *scratch, infl_curvature_kind kind,
                                 const double *matrix, size_t columns, infl_dense_report *report) {
    size_t p = objective->n_parameters;
    double *units = NULL, *products = NULL;
    working_source at;
    infl_status status;
    columns = columns < p ? columns : p;
    if ((status = source_at(objective, scratch, INFL_F64, &at)) != INFL_OK)
        goto out;
    INFL_ALLOCATE_MATRIX_OR_OUT(units, columns, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(products, columns, p);
    for (size_t j = 0; j < columns; j++)
        units[j * p + (2 * j + 1) * p / (2 * columns)] = 1.0;
    status = objective->ops->products(at.source, at.workspace, kind, objective->rows, objective->n_rows, units, columns,
                                      products);
    if (status != INFL_OK)
        goto out;
    for (size_t j = 0; j < columns; j++) {
        size_t column = (2 * j + 1) * p / (2 * columns);
        double *product = products + j * p;
        for (size_t i = 0; i < p; i++)
            product[i] /= (double)objective->n_rows;
        product[column] += objective->mask[column] ? objective->decay : 0.0;
        double norm = infl_norm(product, p);
        infl_axpy(-1, matrix + column * p, product, p);
        double apart = infl_norm(product, p), deviation = norm > 0 ? apart / norm : apart > 0 ? INFINITY : 0;
        report->deviation = deviation > report->deviation ? deviation : report->deviation;
    }
    report->checked = columns;
out:
    release_source(objective, &at);
    infl_release(units);
    infl_release(products);
    return status;
}

infl_status infl_objective_dense(infl_objective *objective, infl_curvature_kind kind, const infl_dense_options *options,
                                 double *matrix, infl_dense_report *report) {
    INFL_REQUIRE(objective);
    INFL_REQUIRE(matrix);
    INFL_TRY(check_kind(kind, __func__));
    enum { CHECKED_IN_SINGLE = 4 };
    size_t p = objective->n_parameters;
    infl_dense_options given;
    infl_dense_report found = {0};
    INFL_TRY(read_dense_options(&given, options, __func__));
    infl_precision precision =
        given.precision == -1 ? infl_objective_precision(objective) : (infl_precision)given.precision;
    size_t *parameters = NULL;
    double *dense = NULL;
    working_source at = {NULL, NULL};
    infl_scratch *scratch = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(parameters, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(dense, p, p);
    for (size_t i = 0; i < p; i++)
        parameters[i] = i;
    if ((status = take_scratch(objective, &scratch)) != INFL_OK ||
        (status = source_at(objective, scratch, precision, &at)) != INFL_OK)
        goto out;
    infl_dense_call call = {.kind = kind,
                            .rows = objective->rows,
                            .n = objective->n_rows,
                            .parameters = parameters,
                            .q = p,
                            .matrix = dense,
                            .progress = given.progress,
                            .progress_context = given.progress_context};
    if ((status = infl_source_dense(objective->ops, at.source, at.workspace, p, &call)) != INFL_OK)
        goto out;
    add_decay(objective, dense);
    if ((status = finite_result(objective, dense, p * p, __func__)) != INFL_OK)
        goto out;
    size_t columns = given.check_columns > 0 ? given.check_columns : precision == INFL_F32 ? CHECKED_IN_SINGLE : 0;
    if (columns > 0 && report != NULL &&
        (status = check_columns(objective, scratch, kind, dense, columns, &found)) != INFL_OK)
        goto out;
    copy(objective, matrix, dense, p * p);
    if (report != NULL)
        *report = found;
out:
    release_source(objective, &at);
    if (scratch != NULL)
        hand_back(objective, scratch);
    infl_release(parameters);
    infl_release(dense);
    return infl_in_name_of(__func__, status);
}

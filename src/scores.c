#include "scores.h"

#include <math.h>
#include <string.h>

#include "attribution.h"
#include "memory.h"
#include "objective_sources.h"

#define PLAIN ", g(z) = ∇ℓ(z)"
#define DECAYED ", g(z) = ∇ℓ(z) + μDθ"

const infl_quantity_kind infl_quantities[INFL_N_QUANTITIES] = {
    [INFL_QUANTITY_SCORES] = {"scores",
                              "negative: helpful (up-weighting the training row lowers the test row's loss)",
                              {"I(z, z_t) = −∇ℓ(z_t)ᵀ (C + λI)⁻¹ g(z)" PLAIN,
                               "I(z, z_t) = −∇ℓ(z_t)ᵀ (C + λI)⁻¹ g(z)" DECAYED},
                              1,
                              -1},
    [INFL_QUANTITY_REMOVAL_LOSSES] = {"removal_losses",
                                      "positive: helpful (removing the training row raises the test row's loss)",
                                      {"Δℓ(z_t) = ∇ℓ(z_t)ᵀ (C + λI)⁻¹ g(z) / n" PLAIN,
                                       "Δℓ(z_t) = ∇ℓ(z_t)ᵀ (C + λI)⁻¹ g(z) / (n − 1)" DECAYED},
                                      1,
                                      1},
    [INFL_QUANTITY_SELF] = {"self_influence",
                            "negative: the row lowers its own loss; the most negative are suspects for a wrong label",
                            {"I(z, z) = −g(z)ᵀ (C + λI)⁻¹ g(z)" PLAIN, "I(z, z) = −g(z)ᵀ (C + λI)⁻¹ g(z)" DECAYED},
                            0,
                            -1},
    [INFL_QUANTITY_NORMS] = {"norms",
                             "none: a norm",
                             {"‖I(z)‖₂, I(z) = −(C + λI)⁻¹ g(z)" PLAIN, "‖I(z)‖₂, I(z) = −(C + λI)⁻¹ g(z)" DECAYED},
                             0,
                             0},
};

void infl_scores_complete(infl_scores *scores) {
    infl_scores_info *info = &scores->info;
    const infl_quantity_kind *kind = &infl_quantities[info->quantity];
    double n = (double)info->n;
    info->formula = kind->formula[info->decay_in_gradient];
    info->helpful_sign = kind->helpful_sign;
    info->scale = info->quantity == INFL_QUANTITY_REMOVAL_LOSSES ? 1 / (info->decay_in_gradient ? n - 1 : n)
                  : info->quantity == INFL_QUANTITY_NORMS        ? 1
                                                                 : -1;
}

infl_status infl_scores_copy_string(char **out, const char *string) {
    *out = NULL;
    if (string == NULL)
        return INFL_OK;
    INFL_ALLOCATE(*out, strlen(string) + 1);
    strcpy(*out, string);
    return INFL_OK;
}

/* Of the loss, −1 where it is the caller's own. */
static infl_status describe_loss(const infl_objective *objective, int *kind, double *temperature) {
    infl_loss loss;
    *kind = -1;
    *temperature = NAN;
    if (objective == NULL || objective->ops->describe_loss == NULL)
        return INFL_OK;
    infl_status status = objective->ops->describe_loss(objective->source, &loss);
    if (status == INFL_E_UNSUPPORTED)
        return INFL_OK;
    *kind = (int)loss.kind;
    if (loss.kind == INFL_SMOOTHED_HINGE)
        *temperature = loss.temperature;
    return status;
}

static void describe_inverse(infl_scores_info *info, const infl_inverse_options *options) {
    info->method = options->method;
    info->eigen_policy = options->eigen_policy;
    info->cutoff = options->cutoff;
    info->tolerance = options->tolerance;
    info->max_iterations = options->max_iterations;
    info->accept_unconverged = options->accept_unconverged;
    info->lissa_plain = options->lissa_plain;
    info->lissa_scale = options->lissa_scale;
    info->lissa_batch = options->lissa_batch;
    info->lissa_repeats = options->lissa_repeats;
    info->lissa_check = options->lissa_check;
    info->cg_batch = options->cg_batch;
    info->seed = options->seed;
}

/* Which of the model's parameters the objective is of. */
static infl_status describe_parameters(const infl_objective *objective, size_t **ranges, size_t *n_ranges) {
    const size_t *parameters = infl_restricted_parameters(objective->ops, objective->source);
    size_t p = objective->n_parameters, n = 0;
    *ranges = NULL;
    *n_ranges = 0;
    if (parameters == NULL)
        return INFL_OK;
    for (size_t i = 0; i < p; i++)
        n += i == 0 || parameters[i] != parameters[i - 1] + 1;
    INFL_ALLOCATE_MATRIX(*ranges, n, 2);
    for (size_t i = 0; i < p; i++) {
        if (i == 0 || parameters[i] != parameters[i - 1] + 1)
            (*ranges)[2 * (*n_ranges)++] = parameters[i];
        (*ranges)[2 * *n_ranges - 1]++;
    }
    return INFL_OK;
}

/* All but the numbers. */
static infl_status describe(infl_scores *scores, const infl_influence *influence, infl_objective *test) {
    infl_scores_info *info = &scores->info;
    infl_objective *train = influence->train;
    const infl_inverse *inverse = influence->inverse;
    const infl_curvature *curvature = inverse->curvature;
    infl_decay_in_gradient otherwise =
        info->quantity == INFL_QUANTITY_REMOVAL_LOSSES ? INFL_ROW_DECAY_INCLUDED : INFL_ROW_DECAY_EXCLUDED;
    info->decay_in_gradient = infl_influence_includes_decay(influence, otherwise);
    info->n = influence->n;
    info->p = influence->p;
    info->decay = train->decay;
    info->precision = infl_objective_precision(train);
    info->damping = curvature->damping;
    info->damping_automatic = curvature->automatic;
    describe_inverse(info, &inverse->options);
    info->stored = INFL_F64;
    INFL_TRY(infl_scores_copy_string(&scores->library_version, INFL_VERSION_STRING));
    info->library_version = scores->library_version;
    infl_scores_complete(scores);
    INFL_TRY(describe_loss(train, &info->train_loss, &info->train_temperature));
    INFL_TRY(describe_loss(test, &info->test_loss, &info->test_temperature));
    INFL_TRY(describe_parameters(train, &scores->ranges, &scores->n_ranges));
    INFL_TRY(infl_objective_identity(train, &scores->train));
    if (test != NULL)
        INFL_TRY(infl_objective_identity(test, &scores->test));
    infl_saved saved;
    if (curvature->ops->describe == NULL) {
        info->curvature_kind = -2;
        return INFL_OK;
    }
    INFL_TRY(infl_curvature_describe(curvature, &saved));
    info->curvature_kind = saved.kind == INFL_SAVED_MATRIX ? -1 : saved.kind;
    scores->curvature = saved.identity;
    return INFL_OK;
}

/* A copy of the rows, written out where they are all. */
static infl_status copy_rows(size_t **out, const size_t *rows, size_t n) {
    INFL_ALLOCATE(*out, n);
    for (size_t i = 0; i < n; i++)
        (*out)[i] = rows == NULL ? i : rows[i];
    return INFL_OK;
}

static infl_status compute(infl_scores *scores, infl_influence *influence, infl_objective *test,
                           const size_t *test_rows, const size_t *train_rows) {
    const infl_scores_info *info = &scores->info;
    size_t t = info->n_test, n = info->n_train;
    switch (info->quantity) {
    case INFL_QUANTITY_SCORES:
        INFL_TRY(infl_influence_scores(influence, test, test_rows, t, train_rows, n, scores->values, scores->reports));
        break;
    case INFL_QUANTITY_REMOVAL_LOSSES:
        INFL_TRY(infl_influence_removal_losses(influence, test, test_rows, t, train_rows, n, scores->values,
                                               scores->reports));
        break;
    case INFL_QUANTITY_SELF:
        return infl_influence_self(influence, train_rows, n, scores->values, scores->reports);
    case INFL_QUANTITY_NORMS:
        return infl_influence_norms(influence, train_rows, n, scores->values, scores->reports);
    }
    INFL_ALLOCATE(scores->row_norms, n);
    return infl_influence_gradient_norms(influence, train_rows, n, info->decay_in_gradient, scores->row_norms);
}

infl_status infl_scores_create(infl_scores **out, infl_influence *influence, infl_quantity quantity,
                               infl_objective *test, const size_t *test_rows, size_t n_test, const size_t *train_rows,
                               size_t n_train) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(influence);
    if ((int)quantity < 0 || (int)quantity >= INFL_N_QUANTITIES)
        return infl_fail(INFL_E_ARGUMENT, "%s: quantity is %d; there are %d to %d", __func__, (int)quantity,
                         INFL_QUANTITY_SCORES, INFL_QUANTITY_NORMS);
    int has_tests = infl_quantities[quantity].has_tests;
    if (has_tests)
        INFL_REQUIRE(test);
    if (!has_tests && test != NULL)
        return infl_fail(INFL_E_ARGUMENT, "%s: a test is given, but %s are of training rows alone", __func__,
                         infl_quantities[quantity].name);
    size_t t = 0, n;
    if (has_tests)
        INFL_TRY(infl_objective_check_rows(test, test_rows, n_test, &t, "test_rows", __func__));
    INFL_TRY(infl_objective_check_rows(influence->train, train_rows, n_train, &n, "train_rows", __func__));
    infl_scores *scores;
    INFL_ALLOCATE_NAMED(scores, 1);
    infl_status status = INFL_OK;
    scores->info = (infl_scores_info){.quantity = quantity, .n_test = t, .n_train = n};
    scores->n_reports = has_tests ? t : n;
    INFL_ALLOCATE_OR_OUT(scores->reports, scores->n_reports);
    INFL_ALLOCATE_MATRIX_OR_OUT(scores->values, has_tests ? t : 1, n);
    if ((has_tests && (status = copy_rows(&scores->test_rows, test_rows, t)) != INFL_OK) ||
        (status = copy_rows(&scores->train_rows, train_rows, n)) != INFL_OK ||
        (status = describe(scores, influence, test)) != INFL_OK ||
        (status = compute(scores, influence, test, test_rows, train_rows)) != INFL_OK)
        goto out;
    *out = scores;
    scores = NULL;
out:
    infl_scores_destroy(scores);
    return infl_in_name_of(__func__, status);
}

void infl_scores_destroy(infl_scores *scores) {
    if (scores == NULL)
        return;
    infl_release((void *)scores->info.label);
    infl_release((void *)scores->info.note);
    infl_release((void *)scores->info.date);
    infl_release(scores->library_version);
    infl_release(scores->values);
    infl_release(scores->reports);
    infl_release(scores->row_norms);
    infl_release(scores->test_rows);
    infl_release(scores->train_rows);
    infl_release(scores->ranges);
    infl_release(scores);
}

infl_status infl_scores_describe(const infl_scores *scores, infl_scores_info *info) {
    INFL_REQUIRE(scores);
    INFL_REQUIRE(info);
    *info = scores->info;
    return INFL_OK;
}

const double *infl_scores_values(const infl_scores *scores) { return scores == NULL ? NULL : scores->values; }

const size_t *infl_scores_test_rows(const infl_scores *scores) { return scores == NULL ? NULL : scores->test_rows; }

const size_t *infl_scores_train_rows(const infl_scores *scores) { return scores == NULL ? NULL : scores->train_rows; }

infl_status infl_scores_report(const infl_scores *scores, size_t index, infl_solve_report *report) {
    INFL_REQUIRE(scores);
    INFL_REQUIRE(report);
    if (index >= scores->n_reports)
        return infl_fail(INFL_E_ARGUMENT, "%s: index is %zu; there are %zu solves", __func__, index, scores->n_reports);
    *report = scores->reports[index];
    return INFL_OK;
}

double infl_scores_bound_factor(const infl_scores *scores, size_t index) {
    const infl_scores_info *info = &scores->info;
    return fabs(info->scale) *
           infl_score_bound(&scores->reports[index], info->precision, info->quantity == INFL_QUANTITY_NORMS);
}

infl_status infl_scores_bounds(const infl_scores *scores, double *bounds) {
    INFL_REQUIRE(scores);
    INFL_REQUIRE(bounds);
    const infl_scores_info *info = &scores->info;
    size_t n = info->n_train;
    for (size_t t = 0; t < info->n_test; t++)
        for (size_t i = 0; i < n; i++)
            bounds[t * n + i] = scores->row_norms[i] * infl_scores_bound_factor(scores, t);
    for (size_t i = 0; i < n && info->n_test == 0; i++) {
        double norm = info->quantity == INFL_QUANTITY_SELF ? scores->reports[i].rhs_norm : 1;
        bounds[i] = norm * infl_scores_bound_factor(scores, i);
    }
    for (size_t i = 0; i < (info->n_test == 0 ? 1 : info->n_test) * n && info->stored == INFL_F32; i++)
        bounds[i] += fmax(0x1p-24 * fabs(scores->values[i]), 0x1p-150);
    return INFL_OK;
}

infl_status infl_scores_top(const infl_scores *scores, size_t test, infl_direction direction, size_t k, size_t *rows) {
    INFL_REQUIRE(scores);
    INFL_REQUIRE(rows);
    const infl_scores_info *info = &scores->info;
    size_t n = info->n_train, n_lines = info->n_test == 0 ? 1 : info->n_test;
    if (info->helpful_sign == 0)
        return infl_fail(INFL_E_UNSUPPORTED, "%s: the numbers are norms, which have no sign", __func__);
    if (direction != INFL_HELPFUL && direction != INFL_HARMFUL)
        return infl_fail(INFL_E_ARGUMENT, "%s: direction is %d; INFL_HELPFUL or INFL_HARMFUL is expected", __func__,
                         (int)direction);
    if (test >= n_lines)
        return infl_fail(INFL_E_ARGUMENT, "%s: test is %zu; expected less than %zu", __func__, test, n_lines);
    if (k < 1 || k > n)
        return infl_fail(INFL_E_ARGUMENT, "%s: k is %zu; 1 to n_train = %zu is expected", __func__, k, n);
    /* infl_influence_top takes the most negative as helpful */
    int same = info->helpful_sign < 0;
    infl_direction asked = (direction == INFL_HELPFUL) == same ? INFL_HELPFUL : INFL_HARMFUL;
    size_t *positions;
    INFL_ALLOCATE_NAMED(positions, k);
    infl_status status = infl_influence_top(scores->values + test * n, n, asked, k, positions);
    for (size_t i = 0; i < k && status == INFL_OK; i++)
        rows[i] = scores->train_rows[positions[i]];
    infl_release(positions);
    return infl_in_name_of(__func__, status);
}

/* First of all, since another part of the same model is no other model to who asks. */
static infl_status check_parameters(const infl_scores *scores, const infl_objective *objective, const char *name) {
    size_t *ranges, n_ranges, p = objective->n_parameters;
    if (p != scores->info.p)
        return infl_fail(INFL_E_ARGUMENT, "the scores are of %zu parameters; the %s has %zu", scores->info.p, name, p);
    INFL_TRY(describe_parameters(objective, &ranges, &n_ranges));
    int same = n_ranges == scores->n_ranges &&
               (n_ranges == 0 || memcmp(ranges, scores->ranges, 2 * n_ranges * sizeof *ranges) == 0);
    infl_release(ranges);
    if (!same)
        return infl_fail(INFL_E_ARGUMENT, "the scores are of other parameters than the %s", name);
    return INFL_OK;
}

static infl_status check_identity(const infl_scores *scores, const infl_identity *kept, infl_objective *objective,
                                  const char *name) {
    infl_identity now;
    INFL_TRY(check_parameters(scores, objective, name));
    INFL_TRY(infl_objective_identity(objective, &now));
    int other_model = memcmp(kept->model, now.model, sizeof now.model) != 0;
    int other_data = memcmp(kept->data, now.data, sizeof now.data) != 0;
    if (!other_model && !other_data)
        return INFL_OK;
    return infl_fail(INFL_E_ARGUMENT, "the scores are not of this %s, but of %s%s%s", name,
                     other_model ? "another model or another theta or state of it" : "",
                     other_model && other_data ? ", and " : "",
                     other_data ? "other data: other rows, targets, loss or decay" : "");
}

infl_status infl_scores_check(const infl_scores *scores, infl_objective *train, infl_objective *test) {
    INFL_REQUIRE(scores);
    infl_status status = INFL_OK;
    if (test != NULL && scores->info.n_test == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: a test is given, but %s are of training rows alone", __func__,
                         infl_quantities[scores->info.quantity].name);
    if (train != NULL)
        status = check_identity(scores, &scores->train, train, "train objective");
    if (status == INFL_OK && test != NULL)
        status = check_identity(scores, &scores->test, test, "test objective");
    return infl_in_name_of(__func__, status);
}

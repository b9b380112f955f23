/* Influence functions: solves with the inverse curvature, then products with the gradients of rows. */
#include <math.h>
#include <string.h>

#include "attribution.h"
#include "dense.h"
#include "memory.h"

infl_status infl_influence_create(infl_influence **out, infl_objective *train, infl_inverse *inverse,
                                  const infl_influence_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(train);
    INFL_REQUIRE(inverse);
    infl_influence_options o = INFL_INFLUENCE_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&o, sizeof o, options, __func__, "options"));
    if (o.decay_in_gradient != INFL_ROW_DECAY_DEFAULT && o.decay_in_gradient != INFL_ROW_DECAY_EXCLUDED &&
        o.decay_in_gradient != INFL_ROW_DECAY_INCLUDED)
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: decay_in_gradient is %d; INFL_ROW_DECAY_DEFAULT, _EXCLUDED or _INCLUDED is expected",
                         __func__, (int)o.decay_in_gradient);
    if (infl_inverse_size(inverse) != train->n_parameters)
        return infl_fail(INFL_E_ARGUMENT, "%s: inverse is of %zu parameters, but train has %zu", __func__,
                         infl_inverse_size(inverse), train->n_parameters);
    if (o.block == 0)
        o.block = 32;
    infl_influence *influence;
    INFL_ALLOCATE_NAMED(influence, 1);
    influence->train = train;
    influence->inverse = inverse;
    influence->options = o;
    influence->n = train->n_rows;
    influence->p = train->n_parameters;
    *out = influence;
    return INFL_OK;
}

void infl_influence_destroy(infl_influence *influence) { infl_release(influence); }

int infl_influence_includes_decay(const infl_influence *influence, infl_decay_in_gradient otherwise) {
    infl_decay_in_gradient asked = influence->options.decay_in_gradient;
    return (asked == INFL_ROW_DECAY_DEFAULT ? otherwise : asked) == INFL_ROW_DECAY_INCLUDED;
}

/* *pull: μDθ, p numbers, to be released also on failure. */
static infl_status decay_gradient(const infl_objective *objective, double **pull) {
    INFL_ALLOCATE(*pull, objective->n_parameters);
    INFL_TRY(infl_objective_get_parameters(objective, *pull));
    for (size_t i = 0; i < objective->n_parameters; i++)
        (*pull)[i] = objective->mask[i] ? objective->decay * (*pull)[i] : 0.0;
    return INFL_OK;
}

infl_status infl_influence_removal_scale(const infl_influence *influence, const char *function, double *scale) {
    double n = (double)influence->n;
    int included = infl_influence_includes_decay(influence, INFL_ROW_DECAY_INCLUDED);
    *scale = included ? 1.0 / (n - 1.0) : 1.0 / n;
    if (included && influence->n < 2)
        return infl_fail(INFL_E_ARGUMENT, "%s: train has one row; removing it leaves none", function);
    return INFL_OK;
}

/* What becomes of a block: solutions[j] = C⁻¹ gradients[j] for the rows first .. first+k-1; k×p each. */
typedef infl_status (*block_fn)(void *context, size_t first, size_t k, const double *gradients,
                                const double *solutions);

/* Solves for the gradients of an objective's rows, each plus `pull` (p numbers, or NULL), a block at a time. */
static infl_status solve_rows(const infl_influence *influence, infl_objective *objective, const size_t *rows,
                              size_t n_rows, const double *pull, block_fn use, void *context,
                              infl_solve_report *reports) {
    size_t p = influence->p, block = influence->options.block < n_rows ? influence->options.block : n_rows;
    double *gradients = NULL, *solutions = NULL;
    size_t *chosen = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(chosen, block);
    INFL_ALLOCATE_MATRIX_OR_OUT(gradients, block, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(solutions, block, p);
    for (size_t first = 0; first < n_rows; first += block) {
        size_t k = n_rows - first < block ? n_rows - first : block;
        for (size_t j = 0; j < k; j++)
            chosen[j] = rows == NULL ? first + j : rows[first + j];
        if ((status = infl_objective_row_gradients(objective, chosen, k, gradients)) != INFL_OK)
            goto out;
        for (size_t j = 0; pull != NULL && j < k; j++)
            infl_axpy(1.0, pull, gradients + j * p, p);
        infl_solve_names names = {objective == influence->train ? "training row" : "test row", chosen};
        if ((status = infl_inverse_solve_named(influence->inverse, names, gradients, k, solutions, reports + first)) !=
            INFL_OK)
            goto out;
        if ((status = use(context, first, k, gradients, solutions)) != INFL_OK)
            goto out;
    }
out:
    infl_release(chosen);
    infl_release(gradients);
    infl_release(solutions);
    return status;
}

/* A quantity on its way, kept aside until all has gone well. */
typedef struct attribution {
    const infl_influence *influence;
    double scale, *values; /* a row of `values` for each row solved for */
    /* of scores alone */
    const size_t *train_rows;
    size_t n_train;
    double *products;   /* n_train×block */
    const double *pull; /* p: μDθ, or NULL */
} attribution;

static infl_status keep_vectors(void *context, size_t first, size_t k, const double *gradients,
                                const double *solutions) {
    (void)gradients;
    const attribution *kept = context;
    size_t p = kept->influence->p;
    for (size_t i = 0; i < k * p; i++)
        kept->values[first * p + i] = kept->scale * solutions[i];
    return INFL_OK;
}

static infl_status keep_norms(void *context, size_t first, size_t k, const double *gradients, const double *solutions) {
    (void)gradients;
    const attribution *kept = context;
    size_t p = kept->influence->p;
    for (size_t j = 0; j < k; j++)
        kept->values[first + j] = infl_norm(solutions + j * p, p);
    return INFL_OK;
}

static infl_status keep_self(void *context, size_t first, size_t k, const double *gradients, const double *solutions) {
    const attribution *kept = context;
    size_t p = kept->influence->p;
    for (size_t j = 0; j < k; j++)
        kept->values[first + j] = kept->scale * infl_dot(gradients + j * p, solutions + j * p, p);
    return INFL_OK;
}

/* The solutions are of test rows: no gradient of a training row is formed. */
static infl_status keep_scores(void *context, size_t first, size_t k, const double *gradients,
                               const double *solutions) {
    (void)gradients;
    const attribution *kept = context;
    size_t p = kept->influence->p, n = kept->n_train;
    INFL_TRY(infl_objective_row_products(kept->influence->train, kept->train_rows, n, solutions, k, kept->products));
    for (size_t j = 0; j < k; j++) {
        double *scores = kept->values + (first + j) * n;
        double along_decay = kept->pull == NULL ? 0.0 : infl_dot(solutions + j * p, kept->pull, p);
        for (size_t i = 0; i < n; i++)
            scores[i] = kept->scale * (kept->products[i * k + j] + along_decay);
    }
    return INFL_OK;
}

/* A quantity of `width` numbers for each training row given. */
static infl_status per_row(infl_influence *influence, const size_t *rows, size_t n_rows, int with_decay, double scale,
                           block_fn use, size_t width, double *out, infl_solve_report *reports, const char *function) {
    attribution kept = {.influence = influence, .scale = scale};
    infl_solve_report *solved = NULL;
    double *pull = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX_OR_OUT(kept.values, n_rows, width);
    INFL_ALLOCATE_OR_OUT(solved, n_rows);
    if (with_decay && (status = decay_gradient(influence->train, &pull)) != INFL_OK)
        goto out;
    if ((status = solve_rows(influence, influence->train, rows, n_rows, pull, use, &kept, solved)) != INFL_OK)
        goto out;
    memcpy(out, kept.values, n_rows * width * sizeof *out);
    if (reports != NULL)
        memcpy(reports, solved, n_rows * sizeof *reports);
out:
    infl_release(kept.values);
    infl_release(solved);
    infl_release(pull);
    return infl_in_name_of(function, status);
}

infl_status infl_influence_parameters(infl_influence *influence, const size_t *rows, size_t n_rows, double *out,
                                      infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(out);
    size_t n;
    INFL_TRY(infl_objective_check_rows(influence->train, rows, n_rows, &n, "rows", __func__));
    return per_row(influence, rows, n, infl_influence_includes_decay(influence, INFL_ROW_DECAY_EXCLUDED), -1.0,
                   keep_vectors, influence->p, out, reports, __func__);
}

infl_status infl_influence_norms(infl_influence *influence, const size_t *rows, size_t n_rows, double *norms,
                                 infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(norms);
    size_t n;
    INFL_TRY(infl_objective_check_rows(influence->train, rows, n_rows, &n, "rows", __func__));
    return per_row(influence, rows, n, infl_influence_includes_decay(influence, INFL_ROW_DECAY_EXCLUDED), 1.0,
                   keep_norms, 1, norms, reports, __func__);
}

infl_status infl_influence_self(infl_influence *influence, const size_t *rows, size_t n_rows, double *scores,
                                infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(scores);
    size_t n;
    INFL_TRY(infl_objective_check_rows(influence->train, rows, n_rows, &n, "rows", __func__));
    return per_row(influence, rows, n, infl_influence_includes_decay(influence, INFL_ROW_DECAY_EXCLUDED), -1.0,
                   keep_self, 1, scores, reports, __func__);
}

infl_status infl_influence_removal_parameters(infl_influence *influence, const size_t *rows, size_t n_rows, double *out,
                                              infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(out);
    size_t n;
    double scale;
    INFL_TRY(infl_objective_check_rows(influence->train, rows, n_rows, &n, "rows", __func__));
    INFL_TRY(infl_influence_removal_scale(influence, __func__, &scale));
    return per_row(influence, rows, n, infl_influence_includes_decay(influence, INFL_ROW_DECAY_INCLUDED), scale,
                   keep_vectors, influence->p, out, reports, __func__);
}

/* The test objective must measure at the θ, the other parameters and the state of the train objective. */
static infl_status check_test(const infl_influence *influence, infl_objective *test, const char *function) {
    size_t p = influence->p, n_state = infl_objective_state(influence->train);
    if (test->n_parameters != p)
        return infl_fail(INFL_E_ARGUMENT, "%s: test has %zu parameters, but train has %zu", function,
                         test->n_parameters, p);
    if (infl_objective_state(test) != n_state)
        return infl_fail(INFL_E_ARGUMENT, "%s: the state of test's model has %zu numbers, but train's has %zu",
                         function, infl_objective_state(test), n_state);
    INFL_TRY(infl_objective_check_others(influence->train, test, function));
    double *theta = NULL, *theta_test = NULL, *state = NULL, *state_test = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(theta, p);
    INFL_ALLOCATE_OR_OUT(theta_test, p);
    INFL_ALLOCATE_OR_OUT(state, n_state);
    INFL_ALLOCATE_OR_OUT(state_test, n_state);
    if ((status = infl_objective_get_parameters(influence->train, theta)) != INFL_OK ||
        (status = infl_objective_get_parameters(test, theta_test)) != INFL_OK ||
        (status = infl_objective_get_state(influence->train, state)) != INFL_OK ||
        (status = infl_objective_get_state(test, state_test)) != INFL_OK)
        goto out;
    for (size_t i = 0; i < p; i++) {
        if (theta[i] != theta_test[i]) {
            status = infl_fail(INFL_E_ARGUMENT,
                               "%s: test is at another theta than train (parameter %zu: %g and %g, %.2g apart); create "
                               "both objectives on one model, or set its parameters with infl_objective_set_parameters",
                               function, i, theta_test[i], theta[i], fabs(theta_test[i] - theta[i]));
            goto out;
        }
    }
    for (size_t i = 0; i < n_state; i++) {
        if (state[i] != state_test[i]) {
            status = infl_fail(INFL_E_ARGUMENT,
                               "%s: test's model has another state than train's (number %zu: %g and %g); create both "
                               "objectives on one model, or set its state with infl_model_set_state",
                               function, i, state_test[i], state[i]);
            goto out;
        }
    }
out:
    infl_release(theta);
    infl_release(theta_test);
    infl_release(state);
    infl_release(state_test);
    return infl_in_name_of(function, status);
}

/* values[t][i] = scale · ∇ℓ(z_t)ᵀ C⁻¹ (∇ℓ_i + μDθ), by a solve a test row. */
static infl_status bilinear(infl_influence *influence, infl_objective *test, const size_t *test_rows, size_t n_test,
                            const size_t *train_rows, size_t n_train, int with_decay, double scale, double *values,
                            infl_solve_report *reports, const char *function) {
    size_t block = influence->options.block < n_test ? influence->options.block : n_test;
    attribution kept = {.influence = influence, .scale = scale, .train_rows = train_rows, .n_train = n_train};
    infl_solve_report *solved = NULL;
    double *pull = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX_OR_OUT(kept.values, n_test, n_train);
    INFL_ALLOCATE_MATRIX_OR_OUT(kept.products, n_train, block);
    INFL_ALLOCATE_OR_OUT(solved, n_test);
    if (with_decay && (status = decay_gradient(influence->train, &pull)) != INFL_OK)
        goto out;
    kept.pull = pull;
    if ((status = solve_rows(influence, test, test_rows, n_test, NULL, keep_scores, &kept, solved)) != INFL_OK)
        goto out;
    memcpy(values, kept.values, n_test * n_train * sizeof *values);
    if (reports != NULL)
        memcpy(reports, solved, n_test * sizeof *reports);
out:
    infl_release(kept.values);
    infl_release(kept.products);
    infl_release(solved);
    infl_release(pull);
    return infl_in_name_of(function, status);
}

infl_status infl_influence_scores(infl_influence *influence, infl_objective *test, const size_t *test_rows,
                                  size_t n_test, const size_t *train_rows, size_t n_train, double *scores,
                                  infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(test);
    INFL_REQUIRE(scores);
    size_t t, n;
    INFL_TRY(infl_objective_check_rows(test, test_rows, n_test, &t, "test_rows", __func__));
    INFL_TRY(infl_objective_check_rows(influence->train, train_rows, n_train, &n, "train_rows", __func__));
    INFL_TRY(check_test(influence, test, __func__));
    int with_decay = infl_influence_includes_decay(influence, INFL_ROW_DECAY_EXCLUDED);
    return bilinear(influence, test, test_rows, t, train_rows, n, with_decay, -1.0, scores, reports, __func__);
}

infl_status infl_influence_removal_losses(infl_influence *influence, infl_objective *test, const size_t *test_rows,
                                          size_t n_test, const size_t *train_rows, size_t n_train, double *changes,
                                          infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(test);
    INFL_REQUIRE(changes);
    size_t t, n;
    double scale;
    INFL_TRY(infl_objective_check_rows(test, test_rows, n_test, &t, "test_rows", __func__));
    INFL_TRY(infl_objective_check_rows(influence->train, train_rows, n_train, &n, "train_rows", __func__));
    INFL_TRY(check_test(influence, test, __func__));
    INFL_TRY(infl_influence_removal_scale(influence, __func__, &scale));
    int with_decay = infl_influence_includes_decay(influence, INFL_ROW_DECAY_INCLUDED);
    return bilinear(influence, test, test_rows, t, train_rows, n, with_decay, scale, changes, reports, __func__);
}

infl_status infl_influence_gradient_norms(const infl_influence *influence, const size_t *rows, size_t n, int with_decay,
                                          double *norms) {
    double *pull = NULL, *along = NULL, rounding = infl_rounding(infl_objective_precision(influence->train));
    infl_status status = infl_objective_row_norms(influence->train, rows, n, norms);
    if (status != INFL_OK || !with_decay)
        goto out;
    INFL_ALLOCATE_OR_OUT(along, n);
    if ((status = decay_gradient(influence->train, &pull)) != INFL_OK ||
        (status = infl_objective_row_products(influence->train, rows, n, pull, 1, along)) != INFL_OK)
        goto out;
    double length = infl_norm(pull, influence->p);
    for (size_t i = 0; i < n; i++) { /* ‖a + b‖² = ‖a‖² + 2a·b + ‖b‖², which may cancel */
        double sum = norms[i] + length;
        norms[i] = sqrt(fmax(0, norms[i] * norms[i] + 2 * along[i] + length * length) + 4 * rounding * sum * sum);
    }
out:
    for (size_t i = 0; i < n && status == INFL_OK; i++)
        norms[i] *= 1 + rounding;
    infl_release(pull);
    infl_release(along);
    return status;
}

double infl_score_bound(const infl_solve_report *report, infl_precision precision, int norms) {
    double rounding = infl_rounding(precision);
    return report->error_bound +
           rounding * (report->rhs_norm / report->lambda_floor + (norms ? 0 : report->solution_norm));
}

/* bounds[t][i] = scale · ‖g(z_i)‖ · (bound of the solve for t) */
static infl_status bound(infl_influence *influence, const infl_solve_report *reports, size_t n_test,
                         const size_t *train_rows, size_t n_train, int with_decay, double scale, double *bounds,
                         const char *function) {
    double *norms;
    size_t n;
    if (n_test == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_test is 0; expected the number of reports", function);
    INFL_TRY(infl_objective_check_rows(influence->train, train_rows, n_train, &n, "train_rows", function));
    norms = infl_allocate(n, sizeof *norms);
    infl_status status =
        norms == NULL ? INFL_E_MEMORY : infl_influence_gradient_norms(influence, train_rows, n, with_decay, norms);
    infl_precision precision = infl_objective_precision(influence->train);
    for (size_t t = 0; t < n_test && status == INFL_OK; t++)
        for (size_t i = 0; i < n; i++)
            bounds[t * n + i] = scale * norms[i] * infl_score_bound(&reports[t], precision, 0);
    infl_release(norms);
    return infl_in_name_of(function, status);
}

infl_status infl_influence_score_bounds(infl_influence *influence, const infl_solve_report *reports, size_t n_test,
                                        const size_t *train_rows, size_t n_train, double *bounds) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(reports);
    INFL_REQUIRE(bounds);
    int with_decay = infl_influence_includes_decay(influence, INFL_ROW_DECAY_EXCLUDED);
    return bound(influence, reports, n_test, train_rows, n_train, with_decay, 1, bounds, __func__);
}

infl_status infl_influence_removal_bounds(infl_influence *influence, const infl_solve_report *reports, size_t n_test,
                                          const size_t *train_rows, size_t n_train, double *bounds) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(reports);
    INFL_REQUIRE(bounds);
    double scale;
    INFL_TRY(infl_influence_removal_scale(influence, __func__, &scale));
    int with_decay = infl_influence_includes_decay(influence, INFL_ROW_DECAY_INCLUDED);
    return bound(influence, reports, n_test, train_rows, n_train, with_decay, scale, bounds, __func__);
}

/* Whether position a comes before b; a total order, as equal scores go by position. */
static int precedes(const double *scores, infl_direction direction, size_t a, size_t b) {
    if (scores[a] != scores[b])
        return (scores[a] < scores[b]) == (direction == INFL_HELPFUL);
    return a < b;
}

/* Lets the element at `at` sink in a heap of positions that has the last in order at its root. */
static void sift_down(const double *scores, infl_direction direction, size_t *heap, size_t at, size_t size) {
    for (size_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && precedes(scores, direction, heap[child], heap[child + 1]))
            child++;
        if (precedes(scores, direction, heap[child], heap[at]))
            return;
        size_t sinking = heap[at];
        heap[at] = heap[child];
        heap[child] = sinking;
    }
}

infl_status infl_influence_top(const double *scores, size_t n, infl_direction direction, size_t k, size_t *positions) {
    INFL_REQUIRE(scores);
    INFL_REQUIRE(positions);
    if (direction != INFL_HELPFUL && direction != INFL_HARMFUL)
        return infl_fail(INFL_E_ARGUMENT, "%s: direction is %d; INFL_HELPFUL or INFL_HARMFUL is expected", __func__,
                         (int)direction);
    if (k < 1 || k > n)
        return infl_fail(INFL_E_ARGUMENT, "%s: k is %zu; 1 to n = %zu is expected", __func__, k, n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(scores[i]))
            return infl_fail(INFL_E_NONFINITE, "%s: scores[%zu] is %g", __func__, i, scores[i]);
    /* the best k so far, the worst of them at the root: n log k steps and no memory but the result */
    for (size_t i = 0; i < k; i++)
        positions[i] = i;
    for (size_t i = k / 2; i-- > 0;)
        sift_down(scores, direction, positions, i, k);
    for (size_t i = k; i < n; i++) {
        if (precedes(scores, direction, i, positions[0])) {
            positions[0] = i;
            sift_down(scores, direction, positions, 0, k);
        }
    }
    for (size_t size = k; size-- > 1;) {
        size_t last = positions[0];
        positions[0] = positions[size];
        positions[size] = last;
        sift_down(scores, direction, positions, 0, size);
    }
    return INFL_OK;
}

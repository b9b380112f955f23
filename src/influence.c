/* Influence functions: solves with the inverse curvature, then products with the gradients of rows. */
#include <math.h>
#include <string.h>

#include "dense.h"
#include "inverse.h"
#include "memory.h"
#include "objective.h"

struct infl_influence {
    infl_objective *train; /* borrowed */
    infl_inverse *inverse; /* borrowed */
    infl_influence_options options;
    size_t n, p;
};

infl_status infl_influence_create(infl_influence **out, infl_objective *train, infl_inverse *inverse,
                                  const infl_influence_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(train);
    INFL_REQUIRE(inverse);
    infl_influence_options o = INFL_INFLUENCE_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&o, sizeof o, options, __func__, "options"));
    if (o.decay_in_gradient != INFL_DECAY_DEFAULT && o.decay_in_gradient != INFL_DECAY_EXCLUDED &&
        o.decay_in_gradient != INFL_DECAY_INCLUDED)
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: decay_in_gradient is %d; INFL_DECAY_DEFAULT, _EXCLUDED or _INCLUDED is expected",
                         __func__, (int)o.decay_in_gradient);
    if (infl_inverse_size(inverse) != train->n_parameters)
        return infl_fail(INFL_E_ARGUMENT, "%s: inverse is of %zu parameters, but train has %zu", __func__,
                         infl_inverse_size(inverse), train->n_parameters);
    if (o.block == 0)
        o.block = 32;
    infl_influence *influence;
    INFL_ALLOCATE(influence, 1);
    influence->train = train;
    influence->inverse = inverse;
    influence->options = o;
    influence->n = train->n_rows;
    influence->p = train->n_parameters;
    *out = influence;
    return INFL_OK;
}

void infl_influence_destroy(infl_influence *influence) { infl_release(influence); }

/* Whether the gradient of a training row includes the decay: as the options say, else the default of the quantity. */
static int includes_decay(const infl_influence *influence, infl_decay_in_gradient otherwise) {
    infl_decay_in_gradient asked = influence->options.decay_in_gradient;
    return (asked == INFL_DECAY_DEFAULT ? otherwise : asked) == INFL_DECAY_INCLUDED;
}

/* pull: μDθ, p numbers. */
static infl_status decay_gradient(const infl_objective *objective, double *pull) {
    INFL_TRY(infl_objective_get_parameters(objective, pull));
    for (size_t i = 0; i < objective->n_parameters; i++)
        pull[i] = objective->mask[i] ? objective->decay * pull[i] : 0.0;
    return INFL_OK;
}

/* Removing a row takes its share out of a mean over n rows, or leaves a mean over n−1. */
static infl_status removal_scale(const infl_influence *influence, const char *function, double *scale) {
    double n = (double)influence->n;
    int included = includes_decay(influence, INFL_DECAY_INCLUDED);
    *scale = included ? 1.0 / (n - 1.0) : 1.0 / n;
    if (included && influence->n < 2)
        return infl_fail(INFL_E_ARGUMENT, "%s: train has one row; removing it leaves none", function);
    return INFL_OK;
}

static size_t row_at(const size_t *rows, size_t i) { return rows == NULL ? i : rows[i]; }

/* The numbers of rows i .. i+k-1 of "rows, n_rows". */
static void rows_of_block(const size_t *rows, size_t first, size_t k, size_t *block) {
    for (size_t i = 0; i < k; i++)
        block[i] = row_at(rows, first + i);
}

/* rows×columns numbers; a row's bytes cannot overflow, as such rows exist. */
static infl_status new_matrix(double **out, size_t rows, size_t columns) {
    *out = infl_allocate(rows, columns * sizeof **out);
    return *out == NULL ? INFL_E_MEMORY : INFL_OK;
}

/* What becomes of a block: solutions[j] = C⁻¹ gradients[j] for the rows first .. first+k-1; k×p each. */
typedef void (*block_fn)(void *context, size_t first, size_t k, size_t p, const double *gradients,
                         const double *solutions);

/* Solves for the gradients of training rows, a block at a time. reports: of all rows, or NULL. */
static infl_status solve_rows(infl_influence *influence, const size_t *rows, size_t n_rows, int with_decay,
                              block_fn use, void *context, infl_solve_report *reports) {
    size_t p = influence->p, block = influence->options.block < n_rows ? influence->options.block : n_rows;
    double *gradients = NULL, *solutions = NULL, *pull = NULL;
    size_t *chosen = NULL;
    infl_status status;
    INFL_ALLOCATE_OR_OUT(chosen, block);
    INFL_ALLOCATE_OR_OUT(pull, p);
    if ((status = new_matrix(&gradients, block, p)) != INFL_OK ||
        (status = new_matrix(&solutions, block, p)) != INFL_OK)
        goto out;
    if (with_decay && (status = decay_gradient(influence->train, pull)) != INFL_OK)
        goto out;
    for (size_t first = 0; first < n_rows; first += block) {
        size_t k = n_rows - first < block ? n_rows - first : block;
        rows_of_block(rows, first, k, chosen);
        if ((status = infl_objective_row_gradients(influence->train, chosen, k, gradients)) != INFL_OK)
            goto out;
        for (size_t j = 0; with_decay && j < k; j++)
            infl_axpy(1.0, pull, gradients + j * p, p);
        if ((status = infl_inverse_solve(influence->inverse, gradients, k, solutions,
                                         reports == NULL ? NULL : reports + first)) != INFL_OK)
            goto out;
        use(context, first, k, p, gradients, solutions);
    }
    status = INFL_OK;
out:
    infl_release(chosen);
    infl_release(gradients);
    infl_release(solutions);
    infl_release(pull);
    return status;
}

/* What a quantity of one row needs of its block. */
typedef struct row_output {
    double scale, *values;
} row_output;

static void keep_vectors(void *context, size_t first, size_t k, size_t p, const double *gradients,
                         const double *solutions) {
    (void)gradients;
    row_output *out = context;
    for (size_t i = 0; i < k * p; i++)
        out->values[first * p + i] = out->scale * solutions[i];
}

static void keep_norms(void *context, size_t first, size_t k, size_t p, const double *gradients,
                       const double *solutions) {
    (void)gradients;
    row_output *out = context;
    for (size_t j = 0; j < k; j++)
        out->values[first + j] = infl_norm(solutions + j * p, p);
}

static void keep_self(void *context, size_t first, size_t k, size_t p, const double *gradients,
                      const double *solutions) {
    row_output *out = context;
    for (size_t j = 0; j < k; j++)
        out->values[first + j] = out->scale * infl_dot(gradients + j * p, solutions + j * p, p);
}

/* A quantity of `width` numbers a training row, in temporaries until all has gone well. */
static infl_status per_row(infl_influence *influence, const size_t *rows, size_t n_rows, int with_decay, double scale,
                           block_fn use, size_t width, double *out, infl_solve_report *reports) {
    row_output kept = {.scale = scale, .values = NULL};
    infl_solve_report *solved = NULL;
    infl_status status;
    if ((status = new_matrix(&kept.values, n_rows, width)) != INFL_OK)
        goto out;
    if (reports != NULL)
        INFL_ALLOCATE_OR_OUT(solved, n_rows);
    if ((status = solve_rows(influence, rows, n_rows, with_decay, use, &kept, solved)) != INFL_OK)
        goto out;
    memcpy(out, kept.values, n_rows * width * sizeof *out);
    if (reports != NULL)
        memcpy(reports, solved, n_rows * sizeof *reports);
out:
    infl_release(kept.values);
    infl_release(solved);
    return status;
}

infl_status infl_influence_parameters(infl_influence *influence, const size_t *rows, size_t n_rows, double *out,
                                      infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(out);
    size_t n;
    INFL_TRY(infl_objective_check_rows(influence->train, rows, n_rows, &n, __func__));
    return per_row(influence, rows, n, includes_decay(influence, INFL_DECAY_EXCLUDED), -1.0, keep_vectors,
                   influence->p, out, reports);
}

infl_status infl_influence_norms(infl_influence *influence, const size_t *rows, size_t n_rows, double *norms,
                                 infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(norms);
    size_t n;
    INFL_TRY(infl_objective_check_rows(influence->train, rows, n_rows, &n, __func__));
    return per_row(influence, rows, n, includes_decay(influence, INFL_DECAY_EXCLUDED), 1.0, keep_norms, 1, norms,
                   reports);
}

infl_status infl_influence_self(infl_influence *influence, const size_t *rows, size_t n_rows, double *scores,
                                infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(scores);
    size_t n;
    INFL_TRY(infl_objective_check_rows(influence->train, rows, n_rows, &n, __func__));
    return per_row(influence, rows, n, includes_decay(influence, INFL_DECAY_EXCLUDED), -1.0, keep_self, 1, scores,
                   reports);
}

infl_status infl_influence_removal_parameters(infl_influence *influence, const size_t *rows, size_t n_rows, double *out,
                                              infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(out);
    size_t n;
    double scale;
    INFL_TRY(infl_objective_check_rows(influence->train, rows, n_rows, &n, __func__));
    INFL_TRY(removal_scale(influence, __func__, &scale));
    return per_row(influence, rows, n, includes_decay(influence, INFL_DECAY_INCLUDED), scale, keep_vectors,
                   influence->p, out, reports);
}

/* The test objective must measure at the θ of the train objective. */
static infl_status check_test(const infl_influence *influence, infl_objective *test, const char *function) {
    size_t p = influence->p;
    if (test->n_parameters != p)
        return infl_fail(INFL_E_ARGUMENT, "%s: test has %zu parameters, but train has %zu", function,
                         test->n_parameters, p);
    double *theta = NULL, *theta_test = NULL;
    infl_status status;
    INFL_ALLOCATE_OR_OUT(theta, p);
    INFL_ALLOCATE_OR_OUT(theta_test, p);
    if ((status = infl_objective_get_parameters(influence->train, theta)) != INFL_OK ||
        (status = infl_objective_get_parameters(test, theta_test)) != INFL_OK)
        goto out;
    for (size_t i = 0; i < p; i++) {
        if (theta[i] != theta_test[i]) {
            status = infl_fail(INFL_E_ARGUMENT,
                               "%s: test is at another theta than train (parameter %zu: %.17g and %.17g)",
                               function, i, theta_test[i], theta[i]);
            goto out;
        }
    }
out:
    infl_release(theta);
    infl_release(theta_test);
    return status;
}

/* values[t][i] = scale · ∇ℓ(z_t)ᵀ C⁻¹ (∇ℓ_i + μDθ): a solve a test row, and no gradient of a training row formed. */
static infl_status bilinear(infl_influence *influence, infl_objective *test, const size_t *test_rows, size_t n_test,
                            const size_t *train_rows, size_t n_train, int with_decay, double scale, double *values,
                            infl_solve_report *reports) {
    size_t p = influence->p, block = influence->options.block < n_test ? influence->options.block : n_test;
    double *gradients = NULL, *solutions = NULL, *products = NULL, *pull = NULL, *kept = NULL;
    infl_solve_report *solved = NULL;
    size_t *chosen = NULL;
    infl_status status;
    INFL_ALLOCATE_OR_OUT(chosen, block);
    INFL_ALLOCATE_OR_OUT(pull, p);
    INFL_ALLOCATE_OR_OUT(solved, n_test);
    if ((status = new_matrix(&gradients, block, p)) != INFL_OK ||
        (status = new_matrix(&solutions, block, p)) != INFL_OK ||
        (status = new_matrix(&products, n_train, block)) != INFL_OK ||
        (status = new_matrix(&kept, n_test, n_train)) != INFL_OK)
        goto out;
    if (with_decay && (status = decay_gradient(influence->train, pull)) != INFL_OK)
        goto out;
    for (size_t first = 0; first < n_test; first += block) {
        size_t k = n_test - first < block ? n_test - first : block;
        rows_of_block(test_rows, first, k, chosen);
        if ((status = infl_objective_row_gradients(test, chosen, k, gradients)) != INFL_OK ||
            (status = infl_inverse_solve(influence->inverse, gradients, k, solutions, solved + first)) != INFL_OK ||
            (status = infl_objective_row_products(influence->train, train_rows, n_train, solutions, k, products)) !=
                INFL_OK)
            goto out;
        for (size_t j = 0; j < k; j++) {
            double *row = kept + (first + j) * n_train, along_decay = infl_dot(solutions + j * p, pull, p);
            for (size_t i = 0; i < n_train; i++)
                row[i] = scale * (products[i * k + j] + along_decay);
        }
    }
    memcpy(values, kept, n_test * n_train * sizeof *values);
    if (reports != NULL)
        memcpy(reports, solved, n_test * sizeof *reports);
    status = INFL_OK;
out:
    infl_release(chosen);
    infl_release(gradients);
    infl_release(solutions);
    infl_release(products);
    infl_release(pull);
    infl_release(kept);
    infl_release(solved);
    return status;
}

infl_status infl_influence_scores(infl_influence *influence, infl_objective *test, const size_t *test_rows,
                                  size_t n_test, const size_t *train_rows, size_t n_train, double *scores,
                                  infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(test);
    INFL_REQUIRE(scores);
    size_t t, n;
    INFL_TRY(infl_objective_check_rows(test, test_rows, n_test, &t, __func__));
    INFL_TRY(infl_objective_check_rows(influence->train, train_rows, n_train, &n, __func__));
    INFL_TRY(check_test(influence, test, __func__));
    return bilinear(influence, test, test_rows, t, train_rows, n, includes_decay(influence, INFL_DECAY_EXCLUDED), -1.0,
                    scores, reports);
}

infl_status infl_influence_removal_losses(infl_influence *influence, infl_objective *test, const size_t *test_rows,
                                          size_t n_test, const size_t *train_rows, size_t n_train, double *changes,
                                          infl_solve_report *reports) {
    INFL_REQUIRE(influence);
    INFL_REQUIRE(test);
    INFL_REQUIRE(changes);
    size_t t, n;
    double scale;
    INFL_TRY(infl_objective_check_rows(test, test_rows, n_test, &t, __func__));
    INFL_TRY(infl_objective_check_rows(influence->train, train_rows, n_train, &n, __func__));
    INFL_TRY(check_test(influence, test, __func__));
    INFL_TRY(removal_scale(influence, __func__, &scale));
    return bilinear(influence, test, test_rows, t, train_rows, n, includes_decay(influence, INFL_DECAY_INCLUDED), scale,
                    changes, reports);
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

/* Whether an objective's derivatives are those of its losses: compared with differences, on a copy with a θ of its own. */
#include <math.h>
#include <string.h>

#include "dense.h"
#include "memory.h"
#include "objective.h"
#include "random.h"

typedef struct comparison {
    const infl_source_ops *ops;
    void *source, *workspace; /* in f64 */
    size_t n, p;
    size_t *rows;        /* of the source; from n/2 on backwards once the whole has been looked at */
    const size_t *given; /* what the caller calls these rows; NULL: positions */
    double step, tolerance;
    double *theta, *moved; /* p */
    double *pair;          /* 2×p: directions u and v of unit length */
    double *products;      /* 2×p of all rows: C u and C v */
    double *parts;         /* 2×p: of the first and the second half, C u */
    double *plus, *minus;  /* max(n, p): losses or gradients at θ ± h u */
    double *losses;        /* 2×n: at θ, of all rows and of the halves */
    double *slopes;        /* 2×n: ∇ℓ_i·u and ∇ℓ_i·v */
    double *part_slopes;   /* n: ∇ℓ_i·u of the halves */
    infl_derivatives_report report;
} comparison;

static size_t row_name(const comparison *c, size_t position) {
    return c->given == NULL ? position : c->given[position];
}

static double relative(double difference, double scale) { return difference == 0.0 ? 0.0 : difference / scale; }

/* Larger than the tolerance, or no number. */
static int exceeds(const comparison *c, double error) { return !(error <= c->tolerance); }

static infl_status finite(const double *numbers, size_t n, const char *what) {
    if (!infl_all_finite(numbers, n))
        return infl_fail(INFL_E_NONFINITE, "%s have NaN or infinity", what);
    return INFL_OK;
}

/* θ + distance·direction becomes the source's θ. */
static infl_status move(comparison *c, double distance, const double *direction) {
    memcpy(c->moved, c->theta, c->p * sizeof *c->moved);
    infl_axpy(distance, direction, c->moved, c->p);
    return c->ops->set_parameters(c->source, c->moved);
}

/* (ℓ(θ + h d) − ℓ(θ − h d))/2h of n rows into c->plus; leaves θ moved. */
static infl_status loss_differences(comparison *c, const size_t *rows, size_t n, const double *direction) {
    INFL_TRY(move(c, c->step, direction));
    INFL_TRY(c->ops->losses(c->source, c->workspace, rows, n, c->plus));
    INFL_TRY(move(c, -c->step, direction));
    INFL_TRY(c->ops->losses(c->source, c->workspace, rows, n, c->minus));
    for (size_t i = 0; i < n; i++)
        c->plus[i] = (c->plus[i] - c->minus[i]) / (2 * c->step);
    return finite(c->plus, n, "differences of losses");
}

/* Halves the parameters and goes on with the half along which gradient and losses of the row differ more. */
static infl_status find_parameter(comparison *c, size_t position, size_t *parameter) {
    double *gradient, *direction = c->parts;
    infl_status status;
    size_t low = 0, high = c->p;
    INFL_ALLOCATE(gradient, c->p);
    status = c->ops->set_parameters(c->source, c->theta);
    if (status == INFL_OK)
        status = c->ops->row_gradients(c->source, c->workspace, c->rows + position, 1, gradient);
    while (status == INFL_OK && high - low > 1) {
        size_t middle = low + (high - low) / 2;
        double apart[2] = {0.0};
        for (int half = 0; half < 2 && status == INFL_OK; half++) {
            size_t from = half == 0 ? low : middle, to = half == 0 ? middle : high;
            memset(direction, 0, c->p * sizeof *direction);
            memcpy(direction + from, c->pair + from, (to - from) * sizeof *direction);
            status = loss_differences(c, c->rows + position, 1, direction);
            apart[half] = fabs(c->plus[0] - infl_dot(gradient, direction, c->p));
        }
        if (apart[0] >= apart[1])
            high = middle;
        else
            low = middle;
    }
    infl_release(gradient);
    *parameter = low;
    return status;
}

static infl_status compare_gradients(comparison *c) {
    double scale = 0.0, most = 0.0;
    size_t worst = 0;
    INFL_TRY(loss_differences(c, c->rows, c->n, c->pair));
    for (size_t i = 0; i < c->n; i++) {
        double apart = fabs(c->plus[i] - c->slopes[2 * i]);
        scale = fmax(scale, fmax(fabs(c->plus[i]), fabs(c->slopes[2 * i])));
        if (apart > most) {
            most = apart;
            worst = i;
        }
    }
    c->report.gradients = relative(most, scale);
    c->report.row = row_name(c, worst);
    if (!exceeds(c, c->report.gradients))
        return INFL_OK;
    size_t parameter;
    double slope = c->slopes[2 * worst], difference = c->plus[worst];
    INFL_TRY(find_parameter(c, worst, &parameter));
    return infl_fail(INFL_E_ARGUMENT,
                     "row %zu's gradient along a random direction is %g, but differences of its loss give %g; its "
                     "derivative by parameter %zu is wrong (relative difference %.3g, tolerance %g)",
                     c->report.row, slope, difference, parameter, c->report.gradients, c->tolerance);
}

static infl_status compare_hessian(comparison *c) {
    INFL_TRY(move(c, c->step, c->pair));
    INFL_TRY(c->ops->weighted_gradients(c->source, c->workspace, c->rows, c->n, NULL, 1, c->plus, NULL));
    INFL_TRY(move(c, -c->step, c->pair));
    INFL_TRY(c->ops->weighted_gradients(c->source, c->workspace, c->rows, c->n, NULL, 1, c->minus, NULL));
    size_t worst = 0;
    double most = 0.0, difference = 0.0;
    for (size_t i = 0; i < c->p; i++)
        c->plus[i] = (c->plus[i] - c->minus[i]) / (2 * c->step);
    INFL_TRY(finite(c->plus, c->p, "differences of gradients"));
    double scale = fmax(infl_norm(c->plus, c->p), infl_norm(c->products, c->p));
    for (size_t i = 0; i < c->p; i++) {
        c->minus[i] = c->plus[i] - c->products[i];
        if (fabs(c->minus[i]) > most) {
            most = fabs(c->minus[i]);
            difference = c->plus[i];
            worst = i;
        }
    }
    c->report.hessian = relative(infl_norm(c->minus, c->p), scale);
    if (exceeds(c, c->report.hessian))
        return infl_fail(
            INFL_E_ARGUMENT,
            "a product with the Hessian, summed over %zu rows, has %g at parameter %zu, but differences of "
            "gradients give %g (relative difference %.3g, tolerance %g)",
            c->n, c->products[worst], worst, difference, c->report.hessian, c->tolerance);
    return INFL_OK;
}

/* Products with both directions are in c->products. */
static infl_status compare_symmetry(comparison *c, const char *matrix) {
    double across = infl_dot(c->pair, c->products + c->p, c->p), back = infl_dot(c->pair + c->p, c->products, c->p);
    double scale = fmax(infl_norm(c->products, c->p), infl_norm(c->products + c->p, c->p));
    double error = relative(fabs(across - back), scale);
    c->report.symmetry = fmax(c->report.symmetry, error);
    if (exceeds(c, error))
        return infl_fail(INFL_E_ARGUMENT,
                         "the %s's products are not those of a symmetric matrix: u·Cv is %g, v·Cu is %g (relative "
                         "difference %.3g, tolerance %g)",
                         matrix, across, back, error, c->tolerance);
    return INFL_OK;
}

/* Row by row: what was asked of all rows, two vectors at once, and of their halves, the second backwards. */
static infl_status compare_rows(comparison *c, const double *whole, size_t stride, const double *halves,
                                const char *what) {
    double scale = 0.0, most = 0.0;
    size_t first = c->n / 2, worst = 0;
    for (size_t i = 0; i < c->n; i++)
        scale = fmax(scale, fabs(whole[i * stride]));
    for (size_t i = 0; i < c->n; i++) {
        double apart = fabs(whole[i * stride] - halves[i < first ? i : c->n - 1 - (i - first)]);
        if (apart > most) {
            most = apart;
            worst = i;
        }
    }
    double error = relative(most, fmax(scale, most));
    c->report.parts = fmax(c->report.parts, error);
    if (exceeds(c, error))
        return infl_fail(INFL_E_ARGUMENT,
                         "the %s of row %zu depends on which rows are asked for with it, or in which order (relative "
                         "difference %.3g, tolerance %g)",
                         what, row_name(c, worst), error, c->tolerance);
    return INFL_OK;
}

static infl_status compare_parts(comparison *c, infl_curvature_kind kind, const char *matrix) {
    size_t first = c->n / 2;
    if (first > 0)
        INFL_TRY(c->ops->products(c->source, c->workspace, kind, c->rows, first, c->pair, 1, c->parts));
    else
        memset(c->parts, 0, c->p * sizeof *c->parts);
    INFL_TRY(
        c->ops->products(c->source, c->workspace, kind, c->rows + first, c->n - first, c->pair, 1, c->parts + c->p));
    infl_axpy(1, c->parts + c->p, c->parts, c->p);
    double scale = fmax(infl_norm(c->parts, c->p), infl_norm(c->products, c->p));
    infl_axpy(-1, c->products, c->parts, c->p);
    double error = relative(infl_norm(c->parts, c->p), scale);
    c->report.parts = fmax(c->report.parts, error);
    if (exceeds(c, error))
        return infl_fail(
            INFL_E_ARGUMENT,
            "the %s's product, of two vectors at once over %zu rows, is not the sum of those of one vector "
            "over the rows' two halves (relative difference %.3g, tolerance %g); expected sums over rows, "
            "not means",
            matrix, c->n, error, c->tolerance);
    return INFL_OK;
}

static infl_status compare_products(comparison *c, infl_curvature_kind kind, const char *matrix) {
    if (c->ops->check_kind(c->source, kind) != INFL_OK)
        return INFL_OK; /* there are none to compare */
    INFL_TRY(c->ops->set_parameters(c->source, c->theta));
    INFL_TRY(c->ops->products(c->source, c->workspace, kind, c->rows, c->n, c->pair, 2, c->products));
    INFL_TRY(finite(c->products, 2 * c->p, "products"));
    INFL_TRY(compare_parts(c, kind, matrix));
    INFL_TRY(compare_symmetry(c, matrix));
    return kind == INFL_HESSIAN ? compare_hessian(c) : INFL_OK;
}

static infl_status compare(comparison *c) {
    size_t first = c->n / 2;
    INFL_TRY(c->ops->losses(c->source, c->workspace, c->rows, c->n, c->losses));
    INFL_TRY(finite(c->losses, c->n, "losses"));
    INFL_TRY(c->ops->row_products(c->source, c->workspace, c->rows, c->n, c->pair, 2, c->slopes));
    INFL_TRY(finite(c->slopes, 2 * c->n, "gradients"));
    INFL_TRY(compare_gradients(c));
    INFL_TRY(c->ops->set_parameters(c->source, c->theta));
    for (size_t i = first, j = c->n - 1; i < j; i++, j--) {
        size_t row = c->rows[i];
        c->rows[i] = c->rows[j];
        c->rows[j] = row;
    }
    for (size_t half = first == 0; half < 2; half++) {
        size_t at = half == 0 ? 0 : first, n = half == 0 ? first : c->n - first;
        INFL_TRY(c->ops->losses(c->source, c->workspace, c->rows + at, n, c->losses + c->n + at));
        INFL_TRY(c->ops->row_products(c->source, c->workspace, c->rows + at, n, c->pair, 1, c->part_slopes + at));
    }
    INFL_TRY(compare_rows(c, c->losses, 1, c->losses + c->n, "loss"));
    INFL_TRY(compare_rows(c, c->slopes, 2, c->part_slopes, "gradient"));
    INFL_TRY(compare_products(c, INFL_HESSIAN, "Hessian"));
    return compare_products(c, INFL_GAUSS_NEWTON, "Gauss–Newton matrix");
}

/* Two random directions of unit length, and a step by the length of θ. */
static void choose_directions(comparison *c, double step, uint64_t seed) {
    for (size_t i = 0; i < 2 * c->p; i++)
        c->pair[i] = infl_random_normal(seed, INFL_STREAM_START, i);
    for (size_t j = 0; j < 2; j++) {
        double norm = infl_norm(c->pair + j * c->p, c->p);
        for (size_t i = 0; i < c->p; i++)
            c->pair[j * c->p + i] /= norm;
    }
    c->step = step * fmax(1.0, infl_norm(c->theta, c->p));
}

/* A copy of the objective's source, in f64. */
static infl_status copy_source(void **source, const infl_objective *objective) {
    const infl_source_ops *ops = objective->ops;
    if (ops->precision == NULL || ops->precision(objective->source) == INFL_F64)
        return ops->clone(objective->source, objective->threads, source);
    return ops->convert(objective->source, INFL_F64, objective->threads, source);
}

infl_status infl_objective_check_derivatives(const infl_objective *objective, const size_t *rows, size_t n_rows,
                                             const infl_derivatives_options *options, infl_derivatives_report *report) {
    INFL_REQUIRE(objective);
    infl_derivatives_options given = INFL_DERIVATIVES_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&given, sizeof given, options, __func__, "options"));
    if (!(given.step > 0 && isfinite(given.step)) || !(given.tolerance >= 0))
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: step is %g and tolerance %g; expected a finite step > 0 and a tolerance "
                         "≥ 0",
                         __func__, given.step, given.tolerance);
    size_t n;
    INFL_TRY(infl_objective_check_rows(objective, rows, n_rows, &n, "rows", __func__));
    infl_status status = INFL_OK;
    size_t p = objective->n_parameters, longest = n > p ? n : p;
    comparison c = {.ops = objective->ops, .n = n, .p = p, .given = rows, .tolerance = given.tolerance};
    c.report.hessian = NAN;
    INFL_ALLOCATE_OR_OUT(c.rows, n);
    INFL_ALLOCATE_OR_OUT(c.theta, p);
    INFL_ALLOCATE_OR_OUT(c.moved, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(c.pair, 2, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(c.products, 2, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(c.parts, 2, p);
    INFL_ALLOCATE_OR_OUT(c.plus, longest);
    INFL_ALLOCATE_OR_OUT(c.minus, longest);
    INFL_ALLOCATE_MATRIX_OR_OUT(c.losses, 2, n);
    INFL_ALLOCATE_MATRIX_OR_OUT(c.slopes, 2, n);
    INFL_ALLOCATE_OR_OUT(c.part_slopes, n);
    for (size_t i = 0; i < n; i++)
        c.rows[i] = objective->rows[rows == NULL ? i : rows[i]];
    if ((status = copy_source(&c.source, objective)) != INFL_OK ||
        (status = c.ops->workspace_create(c.source, &c.workspace)) != INFL_OK ||
        (status = c.ops->get_parameters(c.source, c.theta)) != INFL_OK)
        goto out;
    choose_directions(&c, given.step, given.seed);
    status = compare(&c);
    if (status == INFL_OK && report != NULL)
        *report = c.report;
out:
    if (c.source != NULL) {
        c.ops->workspace_destroy(c.source, c.workspace);
        c.ops->destroy(c.source);
    }
    infl_release(c.part_slopes);
    infl_release(c.slopes);
    infl_release(c.losses);
    infl_release(c.minus);
    infl_release(c.plus);
    infl_release(c.parts);
    infl_release(c.products);
    infl_release(c.pair);
    infl_release(c.moved);
    infl_release(c.theta);
    infl_release(c.rows);
    return infl_in_name_of(__func__, status);
}

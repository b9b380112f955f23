/*
 * Newton–CG in a trust region: Steihaug 1983; Nocedal & Wright, algorithms 4.1 and 7.2. With a preconditioner: Conn,
 * Gould & Toint, Trust-Region Methods, algorithm 7.5.1.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "dense.h"
#include "inverse.h"
#include "memory.h"
#include "objective.h"
#include "train.h"

/* Changes of R below this part of R are judged by gradients: differences of R then lose their digits. */
#define VALUE_TRUSTED 1e-6
/* Accepted steps, or steps refused for rounding, that may pass without R or ‖∇R‖ improving. */
#define PATIENCE 6
#define PATIENCE_IN_NOISE 2 /* the same where ‖∇R‖ is no more than rounding may make of 0 */
#define LARGEST_RADIUS 1e100

typedef struct point {
    double *theta, *gradient; /* p each */
    double value, norm;       /* R, ‖∇R‖ */
} point;

typedef struct polishing {
    infl_objective *objective;
    infl_polish_options options;
    size_t p;
    double *start;                            /* θ at the call */
    point here, trial, best;                  /* best: the last point that was an improvement */
    double *step, *residual, *direction, *hd; /* of CG: s, ∇R + Hs, d, Hd */
    double *preconditioned;                   /* M⁻¹ residual; without a preconditioner the residual itself */
    double radius, rounding;                  /* rounding: FLT_EPSILON once the objective was seen to store floats */
    double noise; /* ‖∇R‖ that the rounding of θ may make of 0, as of the last step */
    /* products of CG's vectors in the norm of the trust region: Euclid's, or xᵀMy with a preconditioner M⁻¹ */
    double step_step, step_direction, direction_direction;
    size_t products;
} polishing;

infl_status infl_polish_read_options(infl_polish_options *options, const infl_polish_options *given, size_t p,
                                     const char *function) {
    *options = (infl_polish_options)INFL_POLISH_OPTIONS_INIT;
    INFL_TRY(infl_read_options(options, sizeof *options, given, function, "polish options"));
    if (!(options->gradient_tolerance >= 0.0 && isfinite(options->gradient_tolerance)))
        return infl_fail(INFL_E_ARGUMENT, "%s: gradient_tolerance is %g; a finite number >= 0 is expected", function,
                         options->gradient_tolerance);
    if (options->preconditioner == NULL)
        return INFL_OK;
    if (infl_inverse_size(options->preconditioner) != p)
        return infl_fail(INFL_E_ARGUMENT, "%s: preconditioner is of %zu parameters, but the objective has %zu",
                         function, infl_inverse_size(options->preconditioner), p);
    infl_status status = infl_inverse_check_definite(options->preconditioner);
    if (status == INFL_E_ARGUMENT)
        return infl_fail(status, "%s: preconditioner: %s", function, infl_error_cause());
    return status;
}

static infl_status evaluate(polishing *s, point *at) {
    INFL_TRY(infl_objective_evaluate(s->objective, &at->value, at->gradient));
    at->norm = infl_norm(at->gradient, s->p);
    return INFL_OK;
}

static void copy_point(point *to, const point *from, size_t p) {
    memcpy(to->theta, from->theta, p * sizeof *to->theta);
    memcpy(to->gradient, from->gradient, p * sizeof *to->gradient);
    to->value = from->value;
    to->norm = from->norm;
}

static void swap_points(point *a, point *b) {
    point kept = *a;
    *a = *b;
    *b = kept;
}

static infl_status precondition(polishing *s) {
    if (s->options.preconditioner == NULL)
        return INFL_OK;
    INFL_TRY(infl_inverse_apply(s->options.preconditioner, s->residual, 1, s->preconditioned));
    if (!infl_all_finite(s->preconditioned, s->p))
        return infl_fail(INFL_E_NONFINITE,
                         "the preconditioner's answer for a residual of norm %.3g has a NaN or an "
                         "infinity",
                         infl_norm(s->residual, s->p));
    return INFL_OK;
}

/* step += τ·direction up to the boundary ‖step‖ = radius, the residual along. */
static void to_boundary(polishing *s) {
    double room = fmax(s->radius * s->radius - s->step_step, 0.0);
    double root = sqrt(s->step_direction * s->step_direction + s->direction_direction * room);
    /* of the two forms of the root the one without cancellation */
    double tau = s->step_direction > 0.0 ? room / (s->step_direction + root)
                                         : (root - s->step_direction) / s->direction_direction;
    s->step_step = s->radius * s->radius;
    infl_axpy(tau, s->direction, s->step, s->p);
    infl_axpy(tau, s->hd, s->residual, s->p);
}

/* Of the first region: it reaches as far along the first direction as max(1, ‖θ‖) does. */
static double first_radius(const polishing *s, double rz) {
    double euclid = fmax(1.0, infl_norm(s->start, s->p));
    return s->options.preconditioner == NULL ? euclid : euclid * (sqrt(rz) / infl_norm(s->direction, s->p));
}

/* Minimises the quadratic model within the radius by CG. *at_boundary: the step ends on the region's edge. */
static infl_status find_step(polishing *s, int *at_boundary) {
    size_t p = s->p, most = s->options.max_cg_iterations;
    if (most == 0)
        most = 2 * p;
    /* Quadratic convergence, yet no more digits than keep CG out of the rounding of ∇R (ε‖H‖‖θ‖, as θ is rounded),
     * where a singular Hessian has steps of any length to offer, and each digit has its price and no worth. */
    double forcing = s->here.norm <= s->noise ? 0.1 : fmin(fmax(s->here.norm, 1e-3), 0.1);
    double target = fmax(forcing * s->here.norm, 0.1 * s->options.gradient_tolerance);
    memset(s->step, 0, p * sizeof *s->step);
    memcpy(s->residual, s->here.gradient, p * sizeof *s->residual);
    INFL_TRY(precondition(s));
    for (size_t i = 0; i < p; i++)
        s->direction[i] = -s->preconditioned[i];
    double rr = infl_dot(s->residual, s->residual, p), rz = infl_dot(s->residual, s->preconditioned, p);
    double length = infl_norm(s->here.theta, p), largest = 0.0;
    *at_boundary = 0;
    s->step_step = s->step_direction = 0.0;
    s->direction_direction = rz;
    if (!(rz > 0.0)) /* all of it is rounding */
        return INFL_OK;
    if (s->radius == 0.0)
        s->radius = first_radius(s, rz);
    for (size_t iteration = 0; iteration < most; iteration++) {
        INFL_TRY(infl_objective_product(s->objective, INFL_HESSIAN, s->direction, 1, s->hd));
        s->products++;
        double curvature = infl_dot(s->direction, s->hd, p), dd = infl_dot(s->direction, s->direction, p);
        if (s->options.preconditioner == NULL) {
            s->step_step = infl_dot(s->step, s->step, p);
            s->step_direction = infl_dot(s->step, s->direction, p);
            s->direction_direction = dd;
        }
        largest = fmax(largest, curvature / dd);
        s->noise = s->rounding * largest * length;
        if (iteration > 0 && sqrt(rr) <= DBL_EPSILON * largest * length)
            return INFL_OK;
        double alpha = rz / curvature;
        double step_step = s->step_step + alpha * (2.0 * s->step_direction + alpha * s->direction_direction);
        if (!(curvature > 0.0) || !(step_step < s->radius * s->radius)) {
            to_boundary(s);
            *at_boundary = 1;
            return INFL_OK;
        }
        infl_axpy(alpha, s->direction, s->step, p);
        infl_axpy(alpha, s->hd, s->residual, p);
        s->step_step = step_step;
        rr = infl_dot(s->residual, s->residual, p);
        if (sqrt(rr) <= target)
            return INFL_OK;
        INFL_TRY(precondition(s));
        double next = infl_dot(s->residual, s->preconditioned, p), beta = next / rz;
        if (!(next > 0.0))
            return INFL_OK;
        for (size_t i = 0; i < p; i++)
            s->direction[i] = -s->preconditioned[i] + beta * s->direction[i];
        /* the residual is orthogonal to the step and to the direction before */
        s->step_direction = beta * (s->step_direction + alpha * s->direction_direction);
        s->direction_direction = next + beta * beta * s->direction_direction;
        rz = next;
    }
    return INFL_OK;
}

/*
 * Goes to here + step and measures there. *ratio: actual over predicted reduction of R, −∞ where R is not finite;
 * *by_gradients: the reduction was too small a part of R for a difference of values, and −½(∇R + ∇R′)·s stands in
 * (exact for a quadratic; the idea is Hager & Zhang's approximate Wolfe condition, 2005).
 */
static infl_status try_step(polishing *s, double *ratio, int *by_gradients) {
    size_t p = s->p;
    double predicted = -0.5 * (infl_dot(s->here.gradient, s->step, p) + infl_dot(s->residual, s->step, p));
    *ratio = -INFINITY;
    *by_gradients = 0;
    for (size_t i = 0; i < p; i++)
        s->trial.theta[i] = s->here.theta[i] + s->step[i];
    infl_status status = infl_objective_set_parameters(s->objective, s->trial.theta);
    if (status == INFL_OK) {
        memcpy(s->direction, s->trial.theta, p * sizeof *s->direction);
        INFL_TRY(infl_objective_get_parameters(s->objective, s->trial.theta));
        if (memcmp(s->direction, s->trial.theta, p * sizeof *s->direction) != 0)
            s->rounding = FLT_EPSILON;
        status = evaluate(s, &s->trial);
    }
    if (status == INFL_E_NONFINITE)
        return INFL_OK;
    INFL_TRY(status);
    double actual = s->here.value - s->trial.value;
    if (fabs(actual) <= VALUE_TRUSTED * fabs(s->here.value)) {
        *by_gradients = 1;
        actual = -0.5 * (infl_dot(s->here.gradient, s->step, p) + infl_dot(s->trial.gradient, s->step, p));
    }
    if (predicted > 0.0)
        *ratio = actual / predicted;
    return INFL_OK;
}

/* Keeps the best point: the lower R, or where R cannot tell, the smaller gradient. True for a real improvement. */
static int improved(polishing *s) {
    double noise = 16.0 * s->rounding * fabs(s->best.value);
    if (s->here.value > s->best.value + noise)
        return 0;
    int clearly = s->here.value < s->best.value - noise || s->here.norm <= 0.5 * s->best.norm;
    if (clearly || s->here.norm < s->best.norm)
        copy_point(&s->best, &s->here, s->p);
    return clearly;
}

static infl_status report(const infl_polish_options *options, size_t done) {
    return infl_report_progress(options->progress, options->progress_context, "polish", done, options->max_iterations);
}

static infl_status run(polishing *s, infl_train_result *result) {
    const infl_polish_options *o = &s->options;
    memcpy(s->here.theta, s->start, s->p * sizeof *s->start);
    INFL_TRY(evaluate(s, &s->here));
    copy_point(&s->best, &s->here, s->p);
    size_t iteration = 0, idle = 0;
    infl_stop_reason reason = INFL_STOP_STEPS;
    while (s->here.norm > o->gradient_tolerance && iteration < o->max_iterations) {
        int at_boundary, by_gradients;
        double ratio;
        INFL_TRY(find_step(s, &at_boundary));
        INFL_TRY(try_step(s, &ratio, &by_gradients));
        iteration++;
        double moved = infl_norm(s->step, s->p);
        if (!(ratio >= 0.25))
            s->radius = 0.25 * (o->preconditioner == NULL ? moved : sqrt(s->step_step));
        else if (ratio > 0.75 && at_boundary)
            s->radius = fmin(2.0 * s->radius, LARGEST_RADIUS);
        if (ratio > 0.1) {
            swap_points(&s->here, &s->trial);
            idle = improved(s) ? 0 : idle + 1;
        } else {
            idle += by_gradients != 0;
            INFL_TRY(infl_objective_set_parameters(s->objective, s->here.theta));
        }
        size_t patience = s->here.norm <= s->noise ? PATIENCE_IN_NOISE : PATIENCE;
        if (idle >= patience || moved <= s->rounding * infl_norm(s->here.theta, s->p)) {
            reason = INFL_STOP_STALLED;
            break;
        }
        if (iteration < o->max_iterations)
            INFL_TRY(report(o, iteration));
    }
    if (s->here.norm <= o->gradient_tolerance)
        reason = INFL_STOP_GRADIENT;
    else
        swap_points(&s->here, &s->best);
    INFL_TRY(infl_objective_set_parameters(s->objective, s->here.theta));
    INFL_TRY(report(o, o->max_iterations));
    *result = (infl_train_result){.value = s->here.value,
                                  .gradient_norm = s->here.norm,
                                  .steps = iteration,
                                  .reason = reason,
                                  .products = s->products};
    return INFL_OK;
}

infl_status infl_polish(infl_objective *objective, const infl_polish_options *options, infl_train_result *result) {
    INFL_REQUIRE(objective);
    size_t p = objective->n_parameters;
    polishing s = {.objective = objective, .p = p, .rounding = DBL_EPSILON};
    INFL_TRY(infl_polish_read_options(&s.options, options, p, __func__));
    infl_train_result found = {0};
    point *points[] = {&s.here, &s.trial, &s.best};
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(s.start, p);
    for (size_t i = 0; i < 3; i++) {
        INFL_ALLOCATE_OR_OUT(points[i]->theta, p);
        INFL_ALLOCATE_OR_OUT(points[i]->gradient, p);
    }
    INFL_ALLOCATE_OR_OUT(s.step, p);
    INFL_ALLOCATE_OR_OUT(s.residual, p);
    INFL_ALLOCATE_OR_OUT(s.direction, p);
    INFL_ALLOCATE_OR_OUT(s.hd, p);
    if (s.options.preconditioner != NULL)
        INFL_ALLOCATE_OR_OUT(s.preconditioned, p);
    else
        s.preconditioned = s.residual;
    if ((status = infl_objective_get_parameters(objective, s.start)) != INFL_OK)
        goto out;
    if ((status = run(&s, &found)) != INFL_OK)
        infl_objective_set_parameters(objective, s.start);
    else if (result != NULL)
        *result = found;
out:
    infl_release(s.start);
    for (size_t i = 0; i < 3; i++) {
        infl_release(points[i]->theta);
        infl_release(points[i]->gradient);
    }
    infl_release(s.step);
    infl_release(s.residual);
    infl_release(s.direction);
    infl_release(s.hd);
    if (s.options.preconditioner != NULL)
        infl_release(s.preconditioned);
    return infl_in_name_of(__func__, status);
}

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dense.h"
#include "inverse.h"
#include "memory.h"

/* An exact method has no budget that could run out, but an answer this wrong is none: the operator is singular. */
#define EXACT_CONVERGED 1e-6
#define EXACT_USELESS 1e-3

/* Of the iterative methods. In f32 conjugate gradients level off between 1e-7 and 3e-5 at a condition of 500. LiSSA's is
 * what its depth reaches at the conditions that influence functions meet. */
#define CG_TOLERANCE_F64 1e-10
#define CG_TOLERANCE_F32 1e-4
#define LISSA_TOLERANCE 1e-3

static const infl_inverse_ops *const methods[] = {
    [INFL_CHOLESKY] = &infl_inverse_cholesky,
    [INFL_EIGEN] = &infl_inverse_eigen,
    [INFL_CG] = &infl_inverse_cg,
    [INFL_LISSA] = &infl_inverse_lissa,
};

static int is_exact(const infl_inverse *inverse) {
    return inverse->options.method == INFL_CHOLESKY || inverse->options.method == INFL_EIGEN;
}

/* CLIP, ABSOLUTE and PSEUDO answer for another matrix, deliberately. */
static int alters_matrix(const infl_inverse *inverse) {
    return inverse->options.method == INFL_EIGEN && inverse->options.eigen_policy != INFL_EIGEN_EXACT;
}

infl_status infl_inverse_progress(const infl_inverse *inverse, const char *stage, size_t done, size_t total) {
    return infl_report_progress(inverse->options.progress, inverse->options.progress_context, stage, done, total);
}

/* The next number above x > 0 with three digits. */
static double round_up(double x) {
    double unit = pow(10, floor(log10(x)) - 2);
    return ceil(x / unit) * unit;
}

infl_status infl_inverse_indefinite(const infl_inverse *inverse, const char *found, double lambda_min, double largest,
                                    double cutoff) {
    /* lambda_min + δ ≥ c (largest + δ), with c a little above the cutoff and above what rounding can tell from 0 */
    double c = cutoff + fmin(cutoff, (1 - cutoff) / 2) + 1e-8, damping = inverse->curvature->damping;
    if (c >= 1)
        return infl_fail(INFL_E_INDEFINITE,
                         "C + %g I %s: its smallest eigenvalue is %.3g, the largest magnitude %.3g, "
                         "and no eigenvalue is above a cutoff of %g of that; lower the cutoff",
                         damping, found, lambda_min, largest, cutoff);
    double lift = 1.1 * (c * largest - lambda_min) / (1 - c);
    return infl_fail(INFL_E_INDEFINITE,
                     "C + %g I %s: its smallest eigenvalue is %.6g, the largest magnitude %.6g; %sa "
                     "damping of %.3g or more would do",
                     damping, found, lambda_min, largest, lambda_min < 0 ? inverse->curvature->remedy : "",
                     round_up(lift > 0 ? damping + lift : fmax(1.1 * damping, 1e-8)));
}

infl_status infl_inverse_extreme(const infl_inverse *inverse, int largest, double *eigenvalue) {
    infl_lanczos_options options = INFL_LANCZOS_OPTIONS_INIT;
    options.tolerance = 1e-6;
    return infl_curvature_lanczos(inverse->curvature, 1, largest, &options, eigenvalue, NULL, NULL);
}

size_t infl_inverse_number(const infl_inverse *inverse, size_t j) {
    return inverse->names.numbers == NULL ? j : inverse->names.numbers[j];
}

infl_status infl_inverse_dense(infl_inverse *inverse, double **matrix) {
    size_t p = inverse->curvature->p;
    double *dense;
    INFL_ALLOCATE_MATRIX(dense, p, p);
    infl_status status = infl_curvature_fill_dense(inverse->curvature, inverse->options.progress,
                                                   inverse->options.progress_context, dense);
    inverse->passes = infl_curvature_passes(inverse->curvature);
    if (status == INFL_OK)
        *matrix = dense;
    else
        infl_release(dense);
    return status;
}

static infl_status check_options(const char *function, const infl_curvature *curvature,
                                 const infl_inverse_options *options) {
    if ((size_t)options->method >= sizeof methods / sizeof methods[0])
        return infl_fail(INFL_E_ARGUMENT, "%s: method is %d; there are %d to %d", function, (int)options->method,
                         INFL_CHOLESKY, INFL_LISSA);
    if ((size_t)options->eigen_policy > INFL_EIGEN_PSEUDO)
        return infl_fail(INFL_E_ARGUMENT, "%s: eigen_policy is %d; there are %d to %d", function,
                         (int)options->eigen_policy, INFL_EIGEN_EXACT, INFL_EIGEN_PSEUDO);
    if (!(options->cutoff >= 0) || isinf(options->cutoff))
        return infl_fail(INFL_E_ARGUMENT, "%s: cutoff is %g; it must be finite and not negative", function,
                         options->cutoff);
    if (!(options->tolerance >= 0) || isinf(options->tolerance))
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: tolerance is %g; it must be positive and finite, or 0 for the method's "
                         "default",
                         function, options->tolerance);
    if (!(options->lissa_scale >= 0) || isinf(options->lissa_scale))
        return infl_fail(INFL_E_ARGUMENT, "%s: lissa_scale is %g; it must be positive and finite, or 0 for automatic",
                         function, options->lissa_scale);
    if (options->lissa_repeats == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: lissa_repeats is 0; it must be at least 1", function);
    if (curvature->n_rows != 0 && options->lissa_batch > curvature->n_rows && options->lissa_batch != INFL_ALL_ROWS)
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: lissa_batch is %zu; there are %zu rows, and INFL_ALL_ROWS means all of "
                         "them",
                         function, options->lissa_batch, curvature->n_rows);
    if (options->lissa_plain != 0 && options->lissa_plain != 1)
        return infl_fail(INFL_E_ARGUMENT, "%s: lissa_plain is %d; 0 or 1 is expected", function, options->lissa_plain);
    return INFL_OK;
}

/* What was prepared is of θ, the model's state and the damping at that moment; the curvature is of those now. */
static infl_status check_point(const infl_inverse *inverse) {
    static const char since[] = "infl_inverse_create", remedy[] = "create the inverse again";
    if (inverse->damping != inverse->curvature->damping)
        return infl_fail(INFL_E_ARGUMENT, "the curvature's damping has changed since %s (%g, now %g); %s", since,
                         inverse->damping, inverse->curvature->damping, remedy);
    return infl_curvature_check_point(inverse->curvature, inverse->point, since, remedy);
}

/* An inverse with nothing prepared; it is to be destroyed also on failure. */
static infl_status begin(infl_inverse **out, infl_curvature *curvature, const infl_inverse_options *options) {
    infl_inverse *inverse;
    *out = NULL;
    INFL_ALLOCATE(inverse, 1);
    *inverse = (infl_inverse){.ops = methods[options->method],
                              .curvature = curvature,
                              .options = *options,
                              .damping = curvature->damping,
                              .floor = NAN,
                              .norm = NAN,
                              .passes = INFL_F64};
    if (options->tolerance == 0)
        inverse->options.tolerance = options->method == INFL_LISSA                  ? LISSA_TOLERANCE
                                     : infl_curvature_passes(curvature) == INFL_F32 ? CG_TOLERANCE_F32
                                                                                    : CG_TOLERANCE_F64;
    *out = inverse;
    return infl_curvature_read_point(curvature, &inverse->point);
}

infl_status infl_inverse_create(infl_inverse **out, infl_curvature *curvature, const infl_inverse_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(curvature);
    infl_inverse_options given = INFL_INVERSE_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&given, sizeof given, options, __func__, "options"));
    INFL_TRY(check_options(__func__, curvature, &given));
    infl_inverse *inverse;
    infl_status status = begin(&inverse, curvature, &given);
    if (status == INFL_OK)
        status = inverse->ops->prepare(inverse);
    if (status == INFL_E_MEMORY && (given.method == INFL_CHOLESKY || given.method == INFL_EIGEN))
        status = infl_fail(status,
                           "%s: %s; the exact methods need a dense matrix of %zu×%zu numbers, INFL_CG and "
                           "INFL_LISSA do not",
                           __func__, infl_error_cause(), curvature->p, curvature->p);
    if (status != INFL_OK) {
        infl_inverse_destroy(inverse);
        return infl_in_name_of(__func__, status);
    }
    *out = inverse;
    return INFL_OK;
}

infl_status infl_inverse_save(const infl_inverse *inverse, const char *path) {
    INFL_REQUIRE(inverse);
    INFL_REQUIRE(path);
    if (inverse->ops->save == NULL)
        return infl_fail(INFL_E_UNSUPPORTED,
                         "%s: %s prepares nothing that is worth a file; INFL_CHOLESKY and "
                         "INFL_EIGEN do",
                         __func__, inverse->ops->name);
    infl_saved saved;
    infl_status status = check_point(inverse);
    if (status == INFL_OK)
        status = infl_curvature_describe(inverse->curvature, &saved);
    if (status == INFL_OK) {
        saved.passes = (int)inverse->passes;
        status = inverse->ops->save(inverse, &saved, path);
    }
    return infl_in_name_of(__func__, status);
}

/* The options for a file: the given ones, which have to fit it, or its own. */
static infl_status loading_options(infl_inverse_options *options, const infl_inverse_options *given,
                                   const infl_curvature *curvature, const infl_safetensors *file,
                                   const infl_saved *saved) {
    const char *function = "infl_inverse_load";
    infl_inverse_method method = saved->content == INFL_SAVED_CHOLESKY ? INFL_CHOLESKY : INFL_EIGEN;
    *options = (infl_inverse_options)INFL_INVERSE_OPTIONS_INIT;
    if (saved->content == INFL_SAVED_CURVATURE)
        return infl_saved_wrong(file, "the file is of a curvature, not of an inverse");
    if (given == NULL) {
        options->method = method;
        options->eigen_policy = saved->policy;
        options->cutoff = saved->cutoff;
        return INFL_OK;
    }
    INFL_TRY(infl_read_options(options, sizeof *options, given, function, "options"));
    INFL_TRY(check_options(function, curvature, options));
    if (options->method != method)
        return infl_fail(INFL_E_ARGUMENT, "%s: method is %s; the file is by %s (%s)", function,
                         methods[options->method]->name, methods[method]->name, infl_safetensors_path(file));
    return INFL_OK;
}

infl_status infl_inverse_load(infl_inverse **out, infl_curvature *curvature, const char *path,
                              const infl_inverse_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(curvature);
    INFL_REQUIRE(path);
    infl_safetensors *file = NULL;
    infl_inverse *inverse = NULL;
    infl_inverse_options given;
    infl_saved saved, expected;
    infl_status status = infl_saved_open(&file, &saved, path);
    if (status == INFL_OK)
        status = loading_options(&given, options, curvature, file, &saved);
    if (status == INFL_OK)
        status = infl_curvature_describe(curvature, &expected);
    if (status == INFL_OK)
        status = infl_saved_check(file, &saved, &expected);
    if (status == INFL_OK)
        status = begin(&inverse, curvature, &given);
    if (status == INFL_OK) {
        inverse->passes = infl_saved_passes(&saved);
        status = inverse->ops->load(inverse, file, &saved);
    }
    infl_safetensors_close(file);
    if (status != INFL_OK) {
        infl_inverse_destroy(inverse);
        return infl_in_name_of(__func__, status);
    }
    *out = inverse;
    return INFL_OK;
}

void infl_inverse_destroy(infl_inverse *inverse) {
    if (inverse == NULL)
        return;
    inverse->ops->release(inverse->state);
    infl_release(inverse->point);
    infl_release(inverse);
}

size_t infl_inverse_size(const infl_inverse *inverse) { return inverse == NULL ? 0 : inverse->curvature->p; }

infl_status infl_inverse_apply(const infl_inverse *inverse, const double *x, size_t k, double *out) {
    infl_solve_report *reports;
    INFL_ALLOCATE(reports, k);
    infl_status status = inverse->ops->solve(inverse, x, k, out, reports);
    infl_release(reports);
    return status;
}

infl_status infl_inverse_check_definite(const infl_inverse *inverse) {
    const infl_inverse_options *options = &inverse->options;
    if (!is_exact(inverse))
        return infl_fail(INFL_E_ARGUMENT, "it is by %s; INFL_CHOLESKY or INFL_EIGEN is expected", inverse->ops->name);
    if (options->method == INFL_CHOLESKY || options->eigen_policy == INFL_EIGEN_CLIP ||
        options->eigen_policy == INFL_EIGEN_ABSOLUTE)
        return INFL_OK;
    size_t p = inverse->curvature->p;
    double *zero = NULL, *answer = NULL;
    infl_solve_report report = {0};
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(zero, p);
    INFL_ALLOCATE_OR_OUT(answer, p);
    if ((status = inverse->ops->solve(inverse, zero, 1, answer, &report)) != INFL_OK)
        goto out;
    double floor = options->cutoff * fmax(fabs(report.lambda_min), fabs(report.lambda_max));
    if (!(report.lambda_min > floor)) /* negative, or left out by INFL_EIGEN_PSEUDO */
        status = infl_fail(INFL_E_ARGUMENT,
                           "it is not positive definite: the smallest eigenvalue is %.6g and the "
                           "cutoff %.6g; INFL_EIGEN_CLIP or INFL_EIGEN_ABSOLUTE makes it so",
                           report.lambda_min, floor);
out:
    infl_release(zero);
    infl_release(answer);
    return status;
}

static void scale_by_power_of_two(const double *x, int exponent, double *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = ldexp(x[i], exponent);
}

/* e with ½ ≤ ‖x‖/2ᵉ < 1, also where ‖x‖ is too large for a double. scratch: n. */
static int norm_exponent(const double *x, size_t n, double *scratch) {
    int of_largest, of_rest;
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    frexp(largest, &of_largest);
    scale_by_power_of_two(x, -of_largest, scratch, n);
    frexp(infl_norm(scratch, n), &of_rest);
    return of_largest + of_rest;
}

/* ‖x − A⁻¹b‖ ≤ ‖b − Ax‖/floor, and ‖b − Ax‖ is at most what was measured plus what rounding may hide of it. */
static void bound_error(const infl_inverse *inverse, double rhs_norm, double solution_norm, infl_solve_report *report) {
    const infl_curvature *curvature = inverse->curvature;
    double seen = 2 * fmax(fabs(report->lambda_min), fabs(report->lambda_max)); /* fmax leaves out a NaN */
    double norm = isnan(inverse->norm) ? seen : inverse->norm;
    double floor = fmax(curvature->floor + curvature->damping, inverse->floor);
    double larger = solution_norm > 0 ? norm * solution_norm / rhs_norm : 0;
    report->rhs_norm = rhs_norm;
    report->solution_norm = solution_norm;
    report->rounding = rhs_norm > 0 ? infl_curvature_rounding(curvature) * (1 + larger) : 0;
    report->lambda_floor = floor > 0 ? floor : NAN;
    report->error_bound = rhs_norm * (report->residual + report->rounding) / report->lambda_floor;
}

/* Measures each answer with the full operator; images is workspace, k×p. */
static infl_status certify(const infl_inverse *inverse, const double *right_sides, size_t k, const double *solutions,
                           double *images, infl_solve_report *reports) {
    size_t p = inverse->curvature->p;
    double tolerance = is_exact(inverse) ? EXACT_CONVERGED : inverse->options.tolerance;
    INFL_TRY(infl_curvature_product_rows(inverse->curvature, NULL, 0, solutions, k, images));
    for (size_t j = 0; j < k; j++) {
        double norm = infl_norm(right_sides + j * p, p);
        for (size_t i = j * p; i < (j + 1) * p; i++)
            images[i] = right_sides[i] - images[i];
        reports[j].residual = norm > 0 ? infl_norm(images + j * p, p) / norm : 0;
        reports[j].products += 1;
        reports[j].damping = inverse->curvature->damping;
        reports[j].converged = reports[j].residual <= tolerance;
        bound_error(inverse, norm, infl_norm(solutions + j * p, p), &reports[j]);
    }
    return INFL_OK;
}

static infl_status check_convergence(const infl_inverse *inverse, const infl_solve_report *reports, size_t k) {
    if (inverse->options.accept_unconverged || alters_matrix(inverse))
        return INFL_OK;
    double limit = is_exact(inverse) ? EXACT_USELESS : inverse->options.tolerance;
    size_t failed = 0, worst = 0;
    for (size_t j = 0; j < k; j++) {
        failed += !(reports[j].residual <= limit);
        if (reports[j].residual > reports[worst].residual)
            worst = j;
    }
    if (failed == 0)
        return INFL_OK;
    if (inverse->ops->explain != NULL)
        INFL_TRY(inverse->ops->explain(inverse, worst, &reports[worst]));
    char others[96] = "", after[64] = "";
    if (failed > 1)
        snprintf(others, sizeof others, ", and %zu more of the %zu solved with it", failed - 1, k);
    if (!is_exact(inverse))
        snprintf(after, sizeof after, " after %zu iterations", reports[worst].iterations);
    int early = !is_exact(inverse) && reports[worst].iterations < inverse->ops->budget(inverse);
    return infl_fail(INFL_E_UNCONVERGED,
                     "%s left %s %zu unconverged%s: it has a relative residual of %.2g (limit %.2g)"
                     "%s; %s, or accept_unconverged",
                     inverse->ops->name, inverse->names.noun, infl_inverse_number(inverse, worst), others,
                     reports[worst].residual, limit, after,
                     is_exact(inverse) ? "the operator is too near singular for its precision: raise the damping"
                     : early           ? "more would not help, as rounding is in the way: raise the tolerance or the "
                                         "damping, or take a model in f64"
                                       : "raise max_iterations, the tolerance or the damping");
}

infl_status infl_inverse_solve(infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                               infl_solve_report *reports) {
    INFL_REQUIRE(inverse);
    INFL_REQUIRE(right_sides);
    INFL_REQUIRE(solutions);
    INFL_TRY(infl_check_vectors(right_sides, k, inverse->curvature->p, __func__, "right_sides"));
    infl_solve_names names = {"right-hand side", NULL};
    return infl_in_name_of(__func__, infl_inverse_solve_named(inverse, names, right_sides, k, solutions, reports));
}

infl_status infl_inverse_solve_named(const infl_inverse *of, infl_solve_names names, const double *right_sides,
                                     size_t k, double *solutions, infl_solve_report *reports) {
    infl_inverse named = *of; /* other threads may solve with it, and call their right-hand sides otherwise */
    const infl_inverse *inverse = &named;
    named.names = names;
    size_t p = inverse->curvature->p;
    INFL_TRY(check_point(inverse));

    double *scaled = NULL, *found = NULL, *images = NULL;
    infl_solve_report *measured = NULL;
    int *exponents = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(exponents, k);
    INFL_ALLOCATE_OR_OUT(measured, k);
    INFL_ALLOCATE_MATRIX_OR_OUT(scaled, k, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(found, k, p);
    /* norms between ½ and 1: no method has to think of overflow, and powers of two change no digit */
    for (size_t j = 0; j < k; j++) {
        exponents[j] = norm_exponent(right_sides + j * p, p, scaled + j * p);
        scale_by_power_of_two(right_sides + j * p, -exponents[j], scaled + j * p, p);
        measured[j].lambda_min = measured[j].lambda_max = NAN;
        measured[j].scale = measured[j].batch = measured[j].deviation = NAN;
    }
    /* the iterative methods count for themselves */
    if (is_exact(inverse) && (status = infl_inverse_progress(inverse, "solve", 0, k)) != INFL_OK)
        goto out;
    if ((status = inverse->ops->solve(inverse, scaled, k, found, measured)) != INFL_OK)
        goto out;
    for (size_t j = 0; j < k; j++)
        if (!infl_all_finite(found + j * p, p)) {
            status = infl_fail(INFL_E_NONFINITE, "the solution by %s for %s %zu has a NaN or an infinity",
                               inverse->ops->name, names.noun, infl_inverse_number(inverse, j));
            goto out;
        }
    INFL_ALLOCATE_MATRIX_OR_OUT(images, k, p);
    if ((status = certify(inverse, scaled, k, found, images, measured)) != INFL_OK)
        goto out;
    if ((status = check_convergence(inverse, measured, k)) != INFL_OK)
        goto out;
    if (is_exact(inverse) && (status = infl_inverse_progress(inverse, "solve", k, k)) != INFL_OK)
        goto out;
    for (size_t j = 0; j < k; j++) {
        scale_by_power_of_two(found + j * p, exponents[j], found + j * p, p);
        if (!infl_all_finite(found + j * p, p)) {
            status = infl_fail(INFL_E_NONFINITE,
                               "the solution for %s %zu is too large for a double; the right-hand "
                               "side has norm %.3g",
                               names.noun, infl_inverse_number(inverse, j), infl_norm(right_sides + j * p, p));
            goto out;
        }
        measured[j].rhs_norm = ldexp(measured[j].rhs_norm, exponents[j]);
        measured[j].solution_norm = ldexp(measured[j].solution_norm, exponents[j]);
        measured[j].error_bound = ldexp(measured[j].error_bound, exponents[j]);
    }
    memcpy(solutions, found, k * p * sizeof *solutions);
    if (reports != NULL)
        memcpy(reports, measured, k * sizeof *reports);
out:
    infl_release(scaled);
    infl_release(found);
    infl_release(images);
    infl_release(measured);
    infl_release(exponents);
    return status;
}

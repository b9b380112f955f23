#include "linear.h"
#include "suites.h"

/* Polishing with a prepared inverse; without one it is tested with training. */

/* A linear problem whose products with the Hessian are counted. */
typedef struct counted {
    linear_problem *problem;
    size_t products;
} counted;

static int counted_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    return linear_losses(((counted *)context)->problem, theta, rows, n, losses);
}

static int counted_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    return linear_row_gradients(((counted *)context)->problem, theta, rows, n, out);
}

static int counted_products(void *context, const double *theta, const size_t *rows, size_t n, const double *vectors,
                            size_t k, double *out) {
    ((counted *)context)->products += k;
    return linear_products(((counted *)context)->problem, theta, rows, n, vectors, k, out);
}

static infl_objective *counted_objective(counted *c, const double *theta) {
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = c->problem->n;
    custom.n_parameters = c->problem->d;
    custom.context = c;
    custom.losses = counted_losses;
    custom.row_gradients = counted_gradients;
    custom.hessian_products = counted_products;
    custom.decay_mask = c->problem->mask;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = c->problem->decay;
    options.threads = 1;
    infl_objective *objective;
    assert_ok(infl_objective_create_custom(&objective, &custom, theta, &options));
    return objective;
}

enum { D = 24, N = 90 };

/* Features of scales from 1 to 1/30, so that conjugate gradients without a preconditioner have work to do. */
static linear_problem scaled_problem(int logistic) {
    linear_problem l = linear_create(logistic, N, D, logistic ? 3e-3 : 1e-4, 17);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j + 1 < D; j++)
            l.x[i * D + j] *= pow(30.0, -(double)j / (D - 2));
    return l;
}

/* An upper bound of 1/λmin of R's Hessian at θ: the trace of its inverse. */
static double inverse_trace(const linear_problem *l, const double *theta, size_t without) {
    double hessian[D * D], gradient[D], trace = 0.0;
    linear_risk(l, theta, without, gradient, hessian);
    for (size_t i = 0; i < D; i++) {
        double unit[D] = {0};
        unit[i] = 1.0;
        linear_solve(hessian, unit, D);
        trace += unit[i];
    }
    return trace;
}

static infl_inverse *inverse_of(infl_curvature *curvature, infl_inverse_method method, infl_eigen_policy policy,
                                double cutoff) {
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = method;
    options.eigen_policy = policy;
    options.cutoff = cutoff;
    infl_inverse *inverse;
    assert_ok(infl_inverse_create(&inverse, curvature, &options));
    return inverse;
}

/*
 * A row's Hessian has rank one, so that M⁻¹ times the Hessian without it has one eigenvalue of its own, which takes an
 * iteration, and all others within a factor κ, where each one leaves (√κ − 1)/(√κ + 1) of the residual. A step asks for
 * 1e-3 at most. Ridge: κ = n/(n−1), one more is enough. Logistic regression: while the Hessian changes by less than
 * half on the way, three more are.
 */
START_TEST(an_inverse_serves_all_removals) {
    linear_problem l = scaled_problem(_i % 2);
    double optimum[D];
    linear_minimise(&l, LINEAR_NO_ROW, optimum);
    counted count = {.problem = &l};
    infl_objective *full = counted_objective(&count, optimum);
    infl_curvature *curvature;
    assert_ok(infl_curvature_create(&curvature, full, INFL_HESSIAN, 0.0));
    infl_inverse *inverse = inverse_of(curvature, _i / 2 ? INFL_EIGEN : INFL_CHOLESKY, INFL_EIGEN_EXACT, 1e-12);
    size_t plain_products = 0, products = 0;
    for (size_t row = 0; row < N; row += 11) {
        double plain[D], found[D], tolerance = 1e-12;
        infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
        o.gradient_tolerance = tolerance;
        for (int with = 0; with < 2; with++) {
            infl_objective *without;
            infl_train_result result;
            assert_ok(infl_objective_without(&without, full, &row, 1));
            o.preconditioner = with ? inverse : NULL;
            count.products = 0;
            assert_ok(infl_polish(without, &o, &result));
            ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
            ck_assert_uint_eq(result.products, count.products);
            if (with)
                ck_assert_msg(result.products <= (_i % 2 ? 4 : 2) * result.steps, "%zu products in %zu steps",
                              result.products, result.steps);
            *(with ? &products : &plain_products) += result.products;
            assert_ok(infl_objective_get_parameters(without, with ? found : plain));
            infl_objective_destroy(without);
        }
        /* ‖θ − θ*‖ ≤ ‖∇R‖/λmin for each of the two, the Hessian being that of θ* so near to it: within a factor of 2 */
        double limit = 4.0 * tolerance * inverse_trace(&l, plain, row), apart = 0.0;
        for (size_t j = 0; j < D; j++)
            apart = hypot(apart, found[j] - plain[j]);
        ck_assert_msg(apart <= limit, "row %zu: %g apart, at most %g", row, apart, limit);
    }
    ck_assert_msg(5 * products <= plain_products, "%zu products, plain %zu", products, plain_products);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(full);
    linear_destroy(&l);
}
END_TEST

/* R = ½ θᵀAθ − bᵀθ, one row. */
enum { Q = 6 };
typedef struct quadratic {
    double a[Q * Q], b[Q];
} quadratic;

static int quadratic_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    const quadratic *q = context;
    (void)rows, (void)n;
    losses[0] = -linear_dot(q->b, theta, Q);
    for (size_t i = 0; i < Q; i++)
        losses[0] += 0.5 * theta[i] * linear_dot(q->a + i * Q, theta, Q);
    return 0;
}

static int quadratic_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    const quadratic *q = context;
    (void)rows, (void)n;
    for (size_t i = 0; i < Q; i++)
        out[i] = linear_dot(q->a + i * Q, theta, Q) - q->b[i];
    return 0;
}

static int quadratic_products(void *context, const double *theta, const size_t *rows, size_t n, const double *vectors,
                              size_t k, double *out) {
    const quadratic *q = context;
    (void)theta, (void)rows, (void)n;
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < Q; i++)
            out[j * Q + i] = linear_dot(q->a + i * Q, vectors + j * Q, Q);
    return 0;
}

/* θ after some steps from 0, the products of all of them. */
static size_t polish_quadratic(quadratic *q, size_t steps, const infl_inverse *preconditioner, double *theta) {
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = 1;
    custom.n_parameters = Q;
    custom.context = q;
    custom.losses = quadratic_losses;
    custom.row_gradients = quadratic_gradients;
    custom.hessian_products = quadratic_products;
    const double zero[Q] = {0};
    infl_objective *objective;
    assert_ok(infl_objective_create_custom(&objective, &custom, zero, NULL));
    infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
    o.max_iterations = steps;
    o.preconditioner = preconditioner;
    infl_train_result result;
    assert_ok(infl_polish(objective, &o, &result));
    ck_assert_uint_eq(result.steps, steps);
    assert_ok(infl_objective_get_parameters(objective, theta));
    infl_objective_destroy(objective);
    return result.products;
}

/* x ← L⁻¹x, and x ← L⁻ᵀx */
static void solve_lower(const double *l, double *x) {
    for (size_t i = 0; i < Q; i++) {
        for (size_t j = 0; j < i; j++)
            x[i] -= l[i * Q + j] * x[j];
        x[i] /= l[i * Q + i];
    }
}

static void solve_upper(const double *l, double *x) {
    for (size_t i = Q; i-- > 0;) {
        for (size_t j = i + 1; j < Q; j++)
            x[i] -= l[j * Q + i] * x[j];
        x[i] /= l[i * Q + i];
    }
}

/*
 * Preconditioned steps for R(θ) are plain steps for R(L⁻ᵀφ), M = LLᵀ, as long as the radii are the same. They begin the
 * same at 0 where Mb = b, for the first direction is b, and each is doubled while the model, exact here, is cut off at
 * the edge. The minimum lies far outside and the directions of least curvature have little gradient, so that a step
 * takes several iterations to get there.
 */
START_TEST(the_region_is_of_the_preconditioners_norm) {
    int indefinite = _i;
    uint64_t seed = 5;
    quadratic q = {.b = {0}}, transformed = {.b = {0}};
    double l[Q * Q] = {0}, m[Q * Q];
    /* LLᵀb = b for b = (100, 0, …): no other entry in L's first row and column than 1 */
    q.b[0] = 100.0;
    for (size_t i = 0; i < Q; i++)
        for (size_t j = 0; j <= i; j++)
            l[i * Q + j] = i == 0   ? 1.0
                           : j == 0 ? 0.0
                           : i == j ? 0.5 + linear_uniform(&seed)
                                    : 0.4 * linear_normal(&seed);
    /* A: eigenvalues over some orders of magnitude, all coupled to b; or the least of them below 0 */
    double g[Q * Q];
    for (size_t i = 0; i < Q * Q; i++)
        g[i] = linear_normal(&seed) * pow(0.25, (double)(i % Q));
    for (size_t i = 0; i < Q; i++)
        for (size_t j = 0; j < Q; j++) {
            q.a[i * Q + j] = 200.0 * linear_dot(g + i * Q, g + j * Q, Q) - (indefinite && i == j ? 0.02 : 0.0);
            m[i * Q + j] = linear_dot(l + i * Q, l + j * Q, Q);
        }
    memcpy(transformed.b, q.b, sizeof q.b);
    solve_lower(l, transformed.b);
    memcpy(transformed.a, q.a, sizeof q.a); /* rows by L⁻¹, then columns */
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < Q; i++)
            solve_lower(l, transformed.a + i * Q);
        for (size_t i = 0; i < Q; i++)
            for (size_t j = 0; j < i; j++) {
                double kept = transformed.a[i * Q + j];
                transformed.a[i * Q + j] = transformed.a[j * Q + i];
                transformed.a[j * Q + i] = kept;
            }
    }
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, m, Q, 0.0));
    infl_inverse *inverse = inverse_of(curvature, INFL_CHOLESKY, INFL_EIGEN_EXACT, 0.0);
    double before[Q] = {0}, theta[Q], phi[Q], radius = 1.0;
    size_t products = 0;
    for (size_t steps = 1; steps <= 4; steps++, radius *= 2.0) {
        products = polish_quadratic(&q, steps, inverse, theta);
        ck_assert_uint_eq(products, polish_quadratic(&transformed, steps, NULL, phi));
        solve_upper(l, phi);
        /* recurrences and scalar products differ by rounding, 1e-16, times the conditions of A and M at worst */
        assert_close(theta, phi, Q, 1e-10, "%zu steps", steps);
        double square = 0.0, step[Q];
        for (size_t i = 0; i < Q; i++)
            step[i] = theta[i] - before[i];
        for (size_t i = 0; i < Q; i++)
            square += step[i] * linear_dot(m + i * Q, step, Q);
        ck_assert_msg(fabs(sqrt(square) - radius) <= 1e-10 * radius, "step %zu: %.17g", steps, sqrt(square));
        memcpy(before, theta, sizeof theta);
    }
    ck_assert_uint_ge(products, 8); /* two iterations a step */
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
}
END_TEST

enum { IRIS_PARAMETERS = 4 * 5 + 5 + 5 * 3 + 3 };

static infl_objective *iris_objective(infl_model **model, uint64_t seed, int threads) {
    infl_dataset *raw, *dataset;
    assert_ok(infl_dataset_iris(&raw));
    assert_ok(infl_dataset_standardise(&dataset, raw, NULL));
    const size_t units[2] = {5, 3};
    assert_ok(infl_model_create_mlp(model, INFL_F64, 4, units, 2, INFL_TANH, INFL_INIT_GLOROT, seed));
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = 0.005;
    options.threads = threads;
    infl_objective *objective;
    assert_ok(infl_objective_create(&objective, *model, &loss, dataset, &options));
    infl_dataset_destroy(dataset);
    infl_dataset_destroy(raw);
    return objective;
}

/*
 * A multiple of the identity changes nothing: neither the first region, nor the edge, nor what follows a refused step;
 * 16 is a power of two, so that only the lengths by recurrence are rounded otherwise, and 12 steps do not enlarge that
 * by more than 1e6.
 */
START_TEST(a_multiple_of_the_identity_changes_nothing) {
    double identity[IRIS_PARAMETERS * IRIS_PARAMETERS] = {0}, start[IRIS_PARAMETERS], plain[IRIS_PARAMETERS],
                                      found[IRIS_PARAMETERS];
    for (size_t i = 0; i < IRIS_PARAMETERS; i++)
        identity[i * (IRIS_PARAMETERS + 1)] = 16.0;
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, identity, IRIS_PARAMETERS, 0.0));
    infl_inverse *inverse = inverse_of(curvature, INFL_CHOLESKY, INFL_EIGEN_EXACT, 0.0);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        infl_model *model;
        infl_objective *objective = iris_objective(&model, seed, 1);
        infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
        assert_ok(infl_objective_get_parameters(objective, start));
        for (size_t i = 0; i < IRIS_PARAMETERS; i++)
            start[i] *= 3.0; /* far enough for steps that are refused */
        for (o.max_iterations = 1; o.max_iterations <= 12; o.max_iterations++) {
            infl_train_result with, without;
            assert_ok(infl_objective_set_parameters(objective, start));
            o.preconditioner = NULL;
            assert_ok(infl_polish(objective, &o, &without));
            assert_ok(infl_objective_get_parameters(objective, plain));
            assert_ok(infl_objective_set_parameters(objective, start));
            o.preconditioner = inverse;
            assert_ok(infl_polish(objective, &o, &with));
            assert_ok(infl_objective_get_parameters(objective, found));
            ck_assert_uint_eq(with.products, without.products);
            assert_close(found, plain, IRIS_PARAMETERS, 1e-9, "seed %d, %zu steps", (int)seed, o.max_iterations);
        }
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
}
END_TEST

/*
 * From a random start, where the Hessian is indefinite: with |H| of there as the preconditioner, and with a diagonal
 * that knows nothing of the problem. The trust region leads to a minimum in any case.
 */
START_TEST(a_poor_preconditioner_still_converges) {
    for (uint64_t seed = 1; seed <= 4; seed++) {
        infl_model *model;
        infl_objective *objective = iris_objective(&model, seed, 1);
        infl_curvature *curvature;
        double diagonal[IRIS_PARAMETERS * IRIS_PARAMETERS] = {0}, eigenvalues[IRIS_PARAMETERS], before;
        for (size_t i = 0; i < IRIS_PARAMETERS; i++)
            diagonal[i * (IRIS_PARAMETERS + 1)] = pow(10.0, (double)(i * 7 % 5) - 2.0);
        if (_i == 0)
            assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.0));
        else
            assert_ok(infl_curvature_from_matrix(&curvature, diagonal, IRIS_PARAMETERS, 0.0));
        infl_inverse *inverse = inverse_of(curvature, INFL_EIGEN, INFL_EIGEN_ABSOLUTE, 1e-3);
        assert_ok(infl_curvature_eigen(curvature, eigenvalues, NULL));
        ck_assert(_i == 1 || eigenvalues[0] < -0.01);
        assert_ok(infl_objective_evaluate(objective, &before, NULL));
        infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
        o.preconditioner = inverse;
        infl_train_result result;
        assert_ok(infl_polish(objective, &o, &result));
        ck_assert_msg(result.reason == INFL_STOP_GRADIENT, "seed %d: %g after %zu steps", (int)seed,
                      result.gradient_norm, result.steps);
        ck_assert_double_lt(result.value, 0.5 * before);
        infl_curvature *there;
        assert_ok(infl_curvature_create(&there, objective, INFL_HESSIAN, 0.0));
        assert_ok(infl_curvature_eigen(there, eigenvalues, NULL));
        ck_assert_double_gt(eigenvalues[0], 0.0);
        infl_curvature_destroy(there);
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
}
END_TEST

/* An optimum of a network, its inverse, and each of some removals on 1 and more threads. */
START_TEST(removals_share_an_inverse) {
    enum { ROWS = 12 };
    infl_model *model;
    infl_objective *objective = iris_objective(&model, 3, 2);
    infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
    o.gradient_tolerance = 1e-12;
    assert_ok(infl_polish(objective, &o, NULL));
    infl_curvature *curvature;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_HESSIAN, 0.0));
    infl_inverse *inverse =
        inverse_of(curvature, _i ? INFL_EIGEN : INFL_CHOLESKY, _i ? INFL_EIGEN_ABSOLUTE : INFL_EIGEN_EXACT, 1e-12);
    double eigenvalues[IRIS_PARAMETERS], plain[ROWS * IRIS_PARAMETERS], first[ROWS * IRIS_PARAMETERS],
        found[ROWS * IRIS_PARAMETERS];
    assert_ok(infl_curvature_eigen(curvature, eigenvalues, NULL));
    size_t rows[ROWS], products[2] = {0}, steps = 0;
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = 11 * i;
    for (int variant = 0; variant < 4; variant++) { /* plain, then 1, 2 and 5 threads */
        const int threads[] = {2, 1, 2, 5};
        infl_train_result results[ROWS];
        infl_retrain_options r = INFL_RETRAIN_OPTIONS_INIT;
        infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
        o.preconditioner = variant == 0 ? NULL : inverse;
        r.polish = &o;
        r.threads = threads[variant];
        out.parameter_changes = variant == 0 ? plain : variant == 1 ? first : found;
        out.results = results;
        assert_ok(infl_retrain_without(objective, rows, ROWS, NULL, NULL, 0, &r, &out));
        for (size_t i = 0; i < ROWS; i++) {
            ck_assert_int_eq(results[i].reason, INFL_STOP_GRADIENT);
            products[variant > 0] += variant < 2 ? results[i].products : 0;
            steps += variant == 1 ? results[i].steps : 0;
        }
        if (variant > 1)
            assert_same_bits(found, first, ROWS * IRIS_PARAMETERS, "%d threads", threads[variant]);
    }
    /* three classes: a row's Hessian in the outputs has rank 2, and that of its logits' curvature is small */
    ck_assert_msg(products[1] <= 4 * steps, "%zu products in %zu steps", products[1], steps);
    ck_assert_msg(3 * products[1] <= products[0], "%zu products, plain %zu", products[1], products[0]);
    double limit = 4.0 * o.gradient_tolerance / eigenvalues[0];
    for (size_t i = 0; i < ROWS * IRIS_PARAMETERS; i++)
        ck_assert_double_le(fabs(first[i] - plain[i]), limit);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    infl_model_destroy(model);
}
END_TEST

START_TEST(networks_polish_to_the_same_bits) {
    double first[IRIS_PARAMETERS], found[IRIS_PARAMETERS];
    const int threads[] = {1, 2, 5};
    for (size_t t = 0; t < 3; t++) {
        infl_model *model;
        infl_objective *objective = iris_objective(&model, 2, threads[t]);
        infl_curvature *curvature;
        assert_ok(infl_curvature_create(&curvature, objective, INFL_GAUSS_NEWTON, 0.1));
        infl_inverse *inverse = inverse_of(curvature, INFL_CHOLESKY, INFL_EIGEN_EXACT, 0.0);
        infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
        o.preconditioner = inverse; /* of the same objective, which moves away from where it was prepared */
        assert_ok(infl_polish(objective, &o, NULL));
        assert_ok(infl_objective_get_parameters(objective, t == 0 ? first : found));
        if (t > 0)
            assert_same_bits(found, first, IRIS_PARAMETERS, "%d threads", threads[t]);
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
}
END_TEST

/*
 * f32 cannot reach the default tolerance, as θ's rounding alone leaves ε‖H‖‖θ‖: it comes to about that and is then soon
 * done. What it spent on digits that are none is less than what f64 takes to a gradient of that size.
 */
START_TEST(single_precision_ends_in_its_rounding) {
    enum { ROWS = 200, FEATURES = 60, CLASSES = 5 };
    static double x[ROWS * FEATURES];
    int32_t labels[ROWS];
    uint64_t random = 5;
    for (size_t i = 0; i < ROWS; i++) {
        labels[i] = (int32_t)(i % CLASSES);
        for (size_t j = 0; j < FEATURES; j++)
            x[i * FEATURES + j] = random_normal(&random) * pow(10.0, -(double)j / FEATURES);
    }
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = ROWS;
    spec.n_features = FEATURES;
    spec.features = x;
    spec.labels = labels;
    infl_dataset *dataset;
    assert_ok(infl_dataset_create(&dataset, &spec));
    const size_t units[] = {CLASSES};
    const infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = 1e-3;
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    infl_train_result results[2];
    for (int f64 = 0; f64 < 2; f64++) {
        infl_model *model;
        infl_objective *objective;
        assert_ok(infl_model_create_mlp(&model, f64 ? INFL_F64 : INFL_F32, FEATURES, units, 1, INFL_TANH,
                                        INFL_INIT_GLOROT, 1));
        assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
        if (f64)
            polish.gradient_tolerance = results[0].gradient_norm;
        assert_ok(infl_polish(objective, &polish, &results[f64]));
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
    infl_dataset_destroy(dataset);
    const infl_train_result *single = &results[0], *twice = &results[1];
    ck_assert_int_eq(single->reason, INFL_STOP_STALLED);
    ck_assert_int_eq(twice->reason, INFL_STOP_GRADIENT);
    ck_assert_msg(single->gradient_norm < 1e-6, "%g", single->gradient_norm);
    ck_assert_msg((double)single->products < 2.0 * (double)twice->products, "%zu products, in f64 %zu",
                  single->products, twice->products);
}
END_TEST

static void assert_refused(infl_objective *objective, const infl_inverse *inverse, const char *word) {
    infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
    o.preconditioner = inverse;
    infl_train_result result = {.steps = 77};
    assert_fails(INFL_E_ARGUMENT, infl_polish(objective, &o, &result));
    ck_assert_msg(strstr(infl_last_error(), "preconditioner") != NULL, "%s", infl_last_error());
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "%s", infl_last_error());
    ck_assert_uint_eq(result.steps, 77);
    infl_retrain_options r = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    r.polish = &o;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(objective, NULL, 0, NULL, NULL, 0, &r, &out));
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "%s", infl_last_error());
}

START_TEST(arguments) {
    linear_problem l = linear_create(1, 10, 3, 0.1, 7);
    double start[3] = {0.1, 0.2, 0.3}, found[3];
    const double indefinite[9] = {2, 0, 0, 0, -1, 0, 0, 0, 3}, semidefinite[9] = {2, 0, 0, 0, 1e-9, 0, 0, 0, 3};
    const double definite[9] = {2, 0, 0, 0, 1, 0, 0, 0, 3}, smaller[4] = {1, 0, 0, 1};
    const struct {
        const double *matrix;
        size_t p;
        infl_inverse_method method;
        infl_eigen_policy policy;
        double cutoff;
        const char *word; /* of the sentence; NULL: it does */
    } cases[] = {
        {smaller, 2, INFL_CHOLESKY, INFL_EIGEN_EXACT, 0.0, "of 2 parameters"},
        {definite, 3, INFL_CG, INFL_EIGEN_EXACT, 0.0, "INFL_CHOLESKY or INFL_EIGEN"},
        {definite, 3, INFL_LISSA, INFL_EIGEN_EXACT, 0.0, "INFL_CHOLESKY or INFL_EIGEN"},
        {indefinite, 3, INFL_EIGEN, INFL_EIGEN_EXACT, 1e-6, "not positive definite"},
        {indefinite, 3, INFL_EIGEN, INFL_EIGEN_PSEUDO, 1e-6, "not positive definite"},
        {semidefinite, 3, INFL_EIGEN, INFL_EIGEN_PSEUDO, 1e-6, "not positive definite"},
        {semidefinite, 3, INFL_EIGEN, INFL_EIGEN_PSEUDO, 0.0, NULL},
        {definite, 3, INFL_EIGEN, INFL_EIGEN_EXACT, 1e-6, NULL},
        {indefinite, 3, INFL_EIGEN, INFL_EIGEN_CLIP, 1e-2, NULL},
        {indefinite, 3, INFL_EIGEN, INFL_EIGEN_ABSOLUTE, 0.0, NULL},
        {definite, 3, INFL_CHOLESKY, INFL_EIGEN_EXACT, 0.0, NULL},
    };
    infl_objective *objective = linear_objective(&l, start, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        infl_curvature *curvature;
        assert_ok(infl_curvature_from_matrix(&curvature, cases[i].matrix, cases[i].p, 0.0));
        infl_inverse *inverse = inverse_of(curvature, cases[i].method, cases[i].policy, cases[i].cutoff);
        assert_ok(infl_objective_set_parameters(objective, start));
        if (cases[i].word != NULL) {
            assert_refused(objective, inverse, cases[i].word);
            assert_ok(infl_objective_get_parameters(objective, found));
            ck_assert_mem_eq(found, start, sizeof start);
        } else {
            infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
            o.preconditioner = inverse;
            infl_train_result result;
            assert_ok(infl_polish(objective, &o, &result));
            ck_assert_msg(result.reason == INFL_STOP_GRADIENT, "case %zu: %g", i, result.gradient_norm);
        }
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
    }
    /* training spends no products */
    infl_train_options t = INFL_TRAIN_OPTIONS_INIT;
    t.steps = 3;
    infl_train_result result = {.products = 77};
    assert_ok(infl_train(objective, &t, &result));
    ck_assert_uint_eq(result.products, 0);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

Suite *polish_suite(void) {
    Suite *suite = suite_create("polish");
    add_case(suite, "polish/preconditioned/removals", an_inverse_serves_all_removals, 4);
    add_case(suite, "polish/preconditioned/region", the_region_is_of_the_preconditioners_norm, 2);
    add_case(suite, "polish/preconditioned/identity", a_multiple_of_the_identity_changes_nothing, 1);
    add_case(suite, "polish/preconditioned/poor", a_poor_preconditioner_still_converges, 2);
    add_case(suite, "polish/preconditioned/retraining", removals_share_an_inverse, 2);
    add_case(suite, "polish/preconditioned/threads", networks_polish_to_the_same_bits, 1);
    add_case(suite, "polish/preconditioned/arguments", arguments, 1);
    add_case(suite, "polish/f32", single_precision_ends_in_its_rounding, 1);
    return suite;
}

/* The bounds of solves: true, as tight as they may be, and none where there is none. */
#include <float.h>
#include <math.h>
#include <unistd.h>

#include "curvature.h"
#include "files.h"
#include "linear.h"
#include "spectral.h"
#include "suites.h"

/* ‖x − A⁻¹b‖ by an elimination of another program's, and the smallest magnitude of an eigenvalue by Jacobi's. */
static double distance(const double *matrix, const double *b, const double *x, size_t p) {
    double *truth = malloc(p * sizeof *truth), sum = 0;
    ck_assert_ptr_nonnull(truth);
    memcpy(truth, b, p * sizeof *truth);
    linear_solve(matrix, truth, p);
    for (size_t i = 0; i < p; i++)
        sum += (x[i] - truth[i]) * (x[i] - truth[i]);
    free(truth);
    return sqrt(sum);
}

static infl_inverse *inverse_of(infl_curvature *curvature, infl_inverse_method method, double tolerance) {
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    infl_inverse *inverse;
    options.method = method;
    options.tolerance = tolerance;
    options.accept_unconverged = 1;
    options.lissa_batch = INFL_ALL_ROWS;
    assert_ok(infl_inverse_create(&inverse, curvature, &options));
    return inverse;
}

/* C + λI by the reference in f64, p×p. */
static double *reference_matrix(problem *q, infl_curvature_kind kind, double damping) {
    size_t p = q->p;
    double *matrix = problem_room(q, p * p), *unit = problem_room(q, p);
    for (size_t i = 0; i < p; i++) {
        unit[i] = 1;
        reference_product(q, kind, NULL, 0, unit, matrix + i * p);
        unit[i] = 0;
        matrix[i * p + i] += damping;
    }
    return matrix;
}

/* The eigenvalues of it, ascending. */
static double *eigenvalues_of(problem *q, const double *matrix) {
    double *values = problem_room(q, q->p);
    infl_curvature *curvature;
    for (size_t i = 0; i < q->p; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_double_eq_tol(matrix[i * q->p + j], matrix[j * q->p + i], 1e-12);
    assert_ok(infl_curvature_from_matrix(&curvature, matrix, q->p, 0));
    assert_ok(infl_curvature_eigen(curvature, values, NULL));
    infl_curvature_destroy(curvature);
    return values;
}

/*
 * Networks of either precision, every kind and method, damped by much and by little: where there is a bound it holds
 * against the exact inverse, in f64, of the reference's matrix.
 */
START_TEST(test_networks) {
    static const double dampings[] = {3, 0.3, 0.01, 1e-4};
    int bounded[4][3] = {{0}};
    for (int single = 0; single < 2; single++)
        for (int decay = 0; decay < 3; decay++)
            for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++) {
                problem_options options = PROBLEM_OPTIONS_INIT;
                options.precision = single ? INFL_F32 : INFL_F64;
                options.decay = decay == 0 ? 0 : 0.05;
                options.decay_scope = decay == 1 ? INFL_DECAY_WEIGHTS : INFL_DECAY_ALL;
                options.n_rows = 9;
                options.seed = 11;
                problem *q = problem_create(&options);
                size_t p = q->p, k = 3;
                double *b = problem_normals(q, k * p, 5), *x = problem_room(q, k * p);
                for (size_t i = 0; i < p; i++) /* far from 1, where norms are scaled */
                    b[p + i] *= 1e-9, b[2 * p + i] *= 1e7;
                for (size_t d = 0; d < sizeof dampings / sizeof *dampings; d++) {
                    double damping = dampings[d];
                    double *matrix = reference_matrix(q, (infl_curvature_kind)kind, damping);
                    double *values = eigenvalues_of(q, matrix), least = INFINITY;
                    for (size_t i = 0; i < p; i++)
                        least = fmin(least, fabs(values[i]));
                    infl_curvature *curvature;
                    assert_ok(infl_curvature_create(&curvature, q->objective, (infl_curvature_kind)kind, damping));
                    for (int method = INFL_CHOLESKY; method <= INFL_LISSA; method++) {
                        if (values[0] < 0 && method != INFL_EIGEN)
                            continue;
                        infl_solve_report reports[3];
                        infl_inverse *inverse =
                            inverse_of(curvature, (infl_inverse_method)method, method == INFL_LISSA ? 1e-2 : 0);
                        assert_ok(infl_inverse_solve(inverse, b, k, x, reports));
                        infl_inverse_destroy(inverse);
                        for (size_t j = 0; j < k; j++) {
                            const infl_solve_report *r = &reports[j];
                            double far = distance(matrix, b + j * p, x + j * p, p);
                            const char *what = problem_name(q);
                            int theory = kind != INFL_HESSIAN, exact = method <= INFL_EIGEN;
                            double known = theory ? damping + (decay == 2 ? 0.05 : 0) : 0;
                            ck_assert_double_eq_tol(r->rhs_norm / sqrt(linear_dot(b + j * p, b + j * p, p)), 1, 1e-14);
                            ck_assert_double_eq_tol(r->solution_norm / sqrt(linear_dot(x + j * p, x + j * p, p)), 1,
                                                    1e-14);
                            if (theory)
                                ck_assert_msg(r->lambda_floor >= known, "%s, kind %d, method %d", what, kind, method);
                            if (!theory && !exact)
                                ck_assert_msg(isnan(r->lambda_floor) && isnan(r->error_bound), "method %d has a bound",
                                              method);
                            if (isnan(r->lambda_floor))
                                continue;
                            bounded[method][kind]++;
                            ck_assert_msg(r->lambda_floor <= least * (1 + 1e-9),
                                          "%s, kind %d, method %d: %.17g > %.17g", what, kind, method, r->lambda_floor,
                                          least);
                            /* as tight as promised, but for rounding's share in f32 */
                            double lost = (single ? 1e-5 : 1e-13) * 10 * (fabs(values[p - 1]) + fabs(values[0]));
                            if (exact)
                                ck_assert_msg(r->lambda_floor >= 0.6 * least - lost, "%s, kind %d, method %d: %g < %g",
                                              what, kind, method, r->lambda_floor, least);
                            ck_assert_msg(far <= r->error_bound, "%s, kind %d, method %d, damping %g: %.3g > %.3g",
                                          what, kind, method, damping, far, r->error_bound);
                            double rounding = single ? 1e-3 : 1e-11;
                            if (exact && r->lambda_floor > 0.005) /* a solve in f64 is good to rounding, and says so */
                                ck_assert_msg(r->error_bound <= rounding * r->solution_norm * (1 + 1 / r->lambda_floor),
                                              "%s, kind %d, method %d: %g of %g", what, kind, method, r->error_bound,
                                              r->solution_norm);
                        }
                    }
                    infl_curvature_destroy(curvature);
                }
                problem_destroy(q);
            }
    for (int method = INFL_CHOLESKY; method <= INFL_LISSA; method++)
        for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++)
            ck_assert_msg((bounded[method][kind] > 10) == (kind != INFL_HESSIAN || method <= INFL_EIGEN),
                          "method %d, kind %d: %d bounds", method, kind, bounded[method][kind]);
}
END_TEST

/* What was seen of rounding, that the allowance is one: products of f32 networks against the reference. */
START_TEST(test_allowance) {
    double worst = 0;
    for (int graph = REFERENCE_PLAIN; graph <= REFERENCE_NORMALISED; graph++)
        for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++)
            for (uint64_t seed = 1; seed <= 6; seed++) {
                problem_options options = PROBLEM_OPTIONS_INIT;
                options.graph = (reference_graph)graph;
                options.precision = INFL_F32;
                options.depth = 3;
                options.width = 6;
                options.n_rows = 20;
                options.seed = seed;
                problem *q = problem_create(&options);
                size_t p = q->p;
                double *matrix = reference_matrix(q, (infl_curvature_kind)kind, 0),
                       *v = problem_normals(q, 4 * p, seed), *out = problem_room(q, 4 * p);
                double norm = sqrt(linear_dot(matrix, matrix, p * p));
                infl_curvature *curvature;
                assert_ok(infl_curvature_create(&curvature, q->objective, (infl_curvature_kind)kind, 0));
                assert_ok(infl_curvature_product(curvature, v, 4, out));
                for (size_t j = 0; j < 4; j++) {
                    double off = 0;
                    for (size_t i = 0; i < p; i++) {
                        double e = out[j * p + i] - linear_dot(matrix + i * p, v + j * p, p);
                        off += e * e;
                    }
                    off = sqrt(off / linear_dot(v + j * p, v + j * p, p)) / norm;
                    worst = fmax(worst, off / infl_curvature_rounding(curvature));
                }
                infl_curvature_destroy(curvature);
                problem_destroy(q);
            }
    ck_assert_msg(worst < 0.1, "rounding takes %.3g of what is allowed for it", worst);
}
END_TEST

/* Spectra that are known: λmin as small as the bound from a factor can still tell from rounding, and none below it. */
START_TEST(test_spectra) {
    enum { P = 40 };
    static const double least[] = {1, 1e-3, 1e-7, 1e-10, 1e-13};
    for (size_t s = 0; s < sizeof least / sizeof *least; s++)
        for (int negative = 0; negative < 2; negative++) {
            double values[P], b[P], x[P];
            for (int i = 0; i < P; i++)
                values[i] = i == 0 ? least[s] : 1 + i % 7;
            if (negative)
                values[5] = -3;
            spectral known = spectral_create(values, P, 7 + s);
            const double *matrix = known.matrix;
            double *normals = spectral_normals(P, 3);
            memcpy(b, normals, sizeof b);
            infl_curvature *curvature;
            assert_ok(infl_curvature_from_matrix(&curvature, matrix, P, 0));
            for (int method = INFL_CHOLESKY; method <= INFL_LISSA; method++) {
                if (negative && method != INFL_EIGEN)
                    continue;
                if (method >= INFL_CG && least[s] < 1e-5)
                    continue;
                infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
                infl_inverse *inverse;
                infl_solve_report report;
                options.method = (infl_inverse_method)method;
                options.accept_unconverged = 1;
                options.cutoff = 0;
                infl_status status = infl_inverse_create(&inverse, curvature, &options);
                if (status == INFL_E_INDEFINITE && least[s] < 1e-11)
                    continue;
                assert_ok(status);
                assert_ok(infl_inverse_solve(inverse, b, 1, x, &report));
                if (method >= INFL_CG) {
                    ck_assert(isnan(report.lambda_floor) && isnan(report.error_bound));
                } else if (least[s] > 1e-11) {
                    ck_assert_msg(report.lambda_floor <= least[s] * (1 + 1e-3), "method %d: %g for %g", method,
                                  report.lambda_floor, least[s]);
                    ck_assert_msg(report.lambda_floor >= 0.6 * least[s] - 1e-11, "method %d: %g for %g", method,
                                  report.lambda_floor, least[s]);
                    if (least[s] > 1e-9)
                        ck_assert_double_le(distance(matrix, b, x, P), report.error_bound);
                } else {
                    ck_assert_msg(isnan(report.lambda_floor), "method %d: %g for %g", method, report.lambda_floor,
                                  least[s]);
                    ck_assert(isnan(report.error_bound));
                }
                infl_inverse_destroy(inverse);
            }
            infl_curvature_destroy(curvature);
            spectral_destroy(&known);
            free(normals);
        }
}
END_TEST

/* What a policy changed is within the bound too; b = 0 has the solution 0. */
START_TEST(test_policies) {
    enum { P = 12 };
    double values[P], b[P], x[P];
    for (int i = 0; i < P; i++)
        values[i] = i == 0 ? -0.5 : i == 1 ? 0.01 : 1 + i;
    spectral known = spectral_create(values, P, 2);
    const double *matrix = known.matrix;
    double *normals = spectral_normals(P, 3);
    infl_curvature *curvature;
    assert_ok(infl_curvature_from_matrix(&curvature, matrix, P, 0));
    for (int policy = INFL_EIGEN_EXACT; policy <= INFL_EIGEN_PSEUDO; policy++) {
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        infl_inverse *inverse;
        infl_solve_report report;
        options.method = INFL_EIGEN;
        options.eigen_policy = (infl_eigen_policy)policy;
        options.cutoff = policy == INFL_EIGEN_EXACT ? 1e-6 : 0.1;
        assert_ok(infl_inverse_create(&inverse, curvature, &options));
        memcpy(b, normals, sizeof b);
        assert_ok(infl_inverse_solve(inverse, b, 1, x, &report));
        double far = distance(matrix, b, x, P);
        ck_assert_double_eq_tol(report.lambda_floor, 0.01, 1e-10);
        ck_assert_double_le(far, report.error_bound);
        if (policy != INFL_EIGEN_EXACT)
            ck_assert(far > 0.1 && report.error_bound < 100 * far);
        memset(b, 0, sizeof b);
        assert_ok(infl_inverse_solve(inverse, b, 1, x, &report));
        ck_assert(report.rhs_norm == 0 && report.solution_norm == 0 && report.rounding == 0 && report.error_bound == 0);
        infl_inverse_destroy(inverse);
    }
    infl_curvature_destroy(curvature);
    spectral_destroy(&known);
    free(normals);
}
END_TEST

static int products(void *context, const double *vectors, size_t k, double *out) {
    for (size_t i = 0; i < 3 * k; i++)
        out[i] = *(double *)context * vectors[i];
    return 0;
}

/* Nothing is known of the caller's own Gauss–Newton products and operators; their Fisher is the library's. */
START_TEST(test_callers_own) {
    linear_problem l = linear_create(1, 9, 3, 0.1, 8);
    double theta[3] = {0.1, -0.2, 0.3}, b[3] = {1, 2, 3}, x[3], two = 2;
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    custom.n_rows = l.n;
    custom.n_parameters = l.d;
    custom.context = &l;
    custom.losses = linear_losses;
    custom.row_gradients = linear_row_gradients;
    custom.hessian_products = custom.gauss_newton_products = linear_products;
    options.decay = 0.25;
    infl_objective *objective;
    assert_ok(infl_objective_create_custom(&objective, &custom, theta, &options));
    for (int kind = INFL_HESSIAN; kind <= INFL_FISHER + 1; kind++) {
        infl_curvature *curvature;
        infl_solve_report report;
        if (kind <= INFL_FISHER)
            assert_ok(infl_curvature_create(&curvature, objective, (infl_curvature_kind)kind, 0.5));
        else
            assert_ok(infl_curvature_from_product(&curvature, products, &two, 3, 0.5));
        infl_inverse *inverse = inverse_of(curvature, INFL_CG, 0);
        assert_ok(infl_inverse_solve(inverse, b, 1, x, &report));
        if (kind == INFL_FISHER)
            ck_assert(report.lambda_floor == 0.75 && report.error_bound < 1e-8);
        else
            ck_assert(isnan(report.lambda_floor) && isnan(report.error_bound));
        infl_inverse_destroy(inverse);
        inverse = inverse_of(curvature, INFL_CHOLESKY, 0);
        assert_ok(infl_inverse_solve(inverse, b, 1, x, &report));
        ck_assert(report.lambda_floor > 0.25 && report.error_bound < 1e-10);
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
    }
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

/* Some of the parameters: theory holds of a submatrix; the decay counts where all of those are decayed. */
START_TEST(test_restricted) {
    for (int scope = INFL_DECAY_ALL; scope <= INFL_DECAY_WEIGHTS; scope++)
        for (int of_biases = 0; of_biases < 2; of_biases++) {
            problem_options options = PROBLEM_OPTIONS_INIT;
            options.n_rows = 9;
            problem *q = problem_create(&options);
            infl_tensor tensor;
            assert_ok(infl_model_tensor(q->model, infl_model_tensors(q->model) - 1 - !of_biases, &tensor));
            ck_assert_int_eq(tensor.is_weight, !of_biases);
            size_t parameters[64];
            ck_assert_uint_le(tensor.length, 64);
            for (size_t i = 0; i < tensor.length; i++)
                parameters[i] = tensor.offset + i;
            infl_objective_options given = INFL_OBJECTIVE_OPTIONS_INIT;
            given.decay = 0.2;
            given.decay_scope = (infl_decay_scope)scope;
            given.parameters = parameters;
            given.n_parameters = tensor.length;
            infl_objective *objective;
            infl_curvature *curvature;
            infl_solve_report report;
            double *b = problem_normals(q, tensor.length, 3);
            assert_ok(infl_objective_create(&objective, q->model, &q->loss, q->dataset, &given));
            assert_ok(infl_curvature_create(&curvature, objective, INFL_GAUSS_NEWTON, 0.1));
            infl_inverse *inverse = inverse_of(curvature, INFL_CG, 0);
            assert_ok(infl_inverse_solve(inverse, b, 1, b, &report));
            double expected = 0.1 + (scope == INFL_DECAY_ALL || !of_biases ? 0.2 : 0);
            ck_assert_double_eq_tol(report.lambda_floor, expected, 1e-15);
            infl_inverse_destroy(inverse);
            infl_curvature_destroy(curvature);
            infl_objective_destroy(objective);
            problem_destroy(q);
        }
}
END_TEST

/* A matrix formed in f32 is no better for being in memory or in a file, nor one in f64 worse. */
START_TEST(test_passes) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.decay = 0.1;
    options.precision = _i == 0 ? INFL_F64 : INFL_F32;
    temporary_file curvature_file = write_file("", 0, 0), inverse_file = write_file("", 0, 0);
    problem *q = problem_create(&options);
    double *b = problem_normals(q, q->p, 3), *x = problem_room(q, q->p);
    for (int precision = INFL_F32; precision <= INFL_F64; precision++)
        for (int method = INFL_CHOLESKY; method <= INFL_EIGEN; method++) {
            infl_dense_options dense = INFL_DENSE_OPTIONS_INIT;
            infl_curvature *curvature, *loaded;
            infl_inverse *inverse, *again;
            infl_solve_report report, other;
            dense.precision = precision;
            assert_ok(infl_curvature_create(&curvature, q->objective, INFL_GAUSS_NEWTON, 0.1));
            assert_ok(infl_curvature_form(curvature, &dense, NULL));
            ck_assert_int_eq(infl_curvature_passes(curvature), precision);
            assert_ok(infl_curvature_save(curvature, curvature_file.path));
            inverse = inverse_of(curvature, (infl_inverse_method)method, 0);
            assert_ok(infl_inverse_save(inverse, inverse_file.path));
            assert_ok(infl_inverse_solve(inverse, b, 1, x, &report));
            ck_assert(precision == INFL_F32 ? report.rounding > 1e-6 : report.rounding < 1e-11);
            assert_ok(infl_curvature_load(&loaded, q->objective, curvature_file.path, 0.1));
            assert_ok(infl_inverse_load(&again, loaded, inverse_file.path, NULL));
            assert_ok(infl_inverse_solve(again, b, 1, x, &other));
            ck_assert_mem_eq(&report, &other, sizeof report);
            infl_inverse_destroy(again);
            infl_curvature_destroy(loaded);
            infl_inverse_destroy(inverse);
            infl_curvature_destroy(curvature);
        }
    problem_destroy(q);
    ck_assert_int_eq(unlink(curvature_file.path), 0);
    ck_assert_int_eq(unlink(inverse_file.path), 0);
}
END_TEST

Suite *certificate_suite(void);
Suite *certificate_suite(void) {
    Suite *suite = suite_create("certificate");
    add_case(suite, "certificate/networks", test_networks, 1);
    tcase_set_tags(add_case(suite, "certificate/allowance", test_allowance, 1), "long");
    add_case(suite, "certificate/spectra", test_spectra, 1);
    add_case(suite, "certificate/policies", test_policies, 1);
    add_case(suite, "certificate/callers-own", test_callers_own, 1);
    add_case(suite, "certificate/restricted", test_restricted, 1);
    add_case(suite, "certificate/passes", test_passes, 2);
    return suite;
}

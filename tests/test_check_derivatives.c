/* infl_objective_check_derivatives: right derivatives pass, and each way in which callbacks go wrong is found. */
#include <math.h>

#include "reference.h"
#include "suites.h"

static problem *small_problem(infl_loss_kind loss, infl_precision precision) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.loss = loss;
    options.precision = precision;
    options.decay = 0.01;
    options.n_rows = 7;
    return problem_create(&options);
}

/* Differences err by their rounding, some 1e-16/1e-5, and their step's square. */
static void assert_right(const infl_derivatives_report *report) {
    ck_assert_msg(report->gradients > 0 && report->gradients < 1e-7, "gradients differ by %g", report->gradients);
    ck_assert_msg(report->hessian > 0 && report->hessian < 1e-7, "Hessian products differ by %g", report->hessian);
    ck_assert_msg(report->symmetry < 1e-12, "products are asymmetric by %g", report->symmetry);
    ck_assert_msg(report->parts < 1e-12, "parts differ by %g", report->parts);
}

/* The library's networks, in f64 whatever their precision; their θ stays. */
START_TEST(test_networks) {
    problem *q = small_problem((infl_loss_kind)(_i / 2), (infl_precision)(_i % 2));
    double *before = problem_room(q, q->p), *after = problem_room(q, q->p);
    infl_derivatives_report report;
    assert_ok(infl_objective_get_parameters(q->objective, before));
    assert_ok(infl_objective_check_derivatives(q->objective, NULL, 0, NULL, &report));
    assert_right(&report);
    assert_ok(infl_objective_check_derivatives(q->objective, (size_t[]){4, 1, 4}, 3, NULL, &report));
    assert_right(&report);
    ck_assert_uint_lt(report.row, 5);
    assert_ok(infl_objective_get_parameters(q->objective, after));
    assert_same_bits(after, before, q->p, "θ of %s", problem_name(q));

    infl_objective *some = NULL;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.parameters = (const size_t[]){0, 3, q->p - 1};
    options.n_parameters = 3;
    assert_ok(infl_objective_create(&some, q->model, &q->loss, q->dataset, &options));
    assert_ok(infl_objective_check_derivatives(some, NULL, 0, NULL, &report));
    assert_right(&report);
    infl_objective_destroy(some);
    problem_destroy(q);
}
END_TEST

typedef enum fault {
    NONE,
    GRADIENT_ENTRY,    /* one parameter's derivative, of one row  */
    GRADIENT_POSITION, /* row i of the objective taken for row i of the call */
    LOSS_NEIGHBOURS,   /* the loss of a row depends on how many are asked for */
    HESSIAN_ENTRY,
    HESSIAN_MEAN,
    HESSIAN_ASYMMETRIC,
    HESSIAN_ONE_VECTOR, /* the first for all */
    GAUSS_NEWTON_MEAN,
    GAUSS_NEWTON_ASYMMETRIC,
    LOSS_NAN,
    LOSS_FAILS,
    N_FAULTS
} fault;

enum { WRONG_ROW = 5, WRONG_PARAMETER = 11 };

typedef struct faulty {
    infl_custom_objective right;
    fault fault;
} faulty;

static int losses(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    faulty *f = context;
    int code = f->right.losses(f->right.context, theta, rows, n, out);
    if (f->fault == LOSS_NEIGHBOURS)
        for (size_t i = 0; i < n; i++)
            out[i] *= 1.0 + 1e-3 * (double)n;
    if (f->fault == LOSS_NAN)
        out[n - 1] = NAN;
    return f->fault == LOSS_FAILS ? 3 : code;
}

static int gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    faulty *f = context;
    size_t p = f->right.n_parameters;
    static const size_t positions[] = {0, 1, 2, 3, 4, 5, 6};
    int code =
        f->right.row_gradients(f->right.context, theta, f->fault == GRADIENT_POSITION ? positions : rows, n, out);
    for (size_t i = 0; i < n; i++) {
        if (f->fault == GRADIENT_ENTRY && rows[i] == WRONG_ROW)
            out[i * p + WRONG_PARAMETER] += 0.1;
        for (size_t j = 0; j < p && f->fault == LOSS_NEIGHBOURS; j++)
            out[i * p + j] *= 1.0 + 1e-3 * 7.0; /* right for all rows at once */
    }
    return code;
}

/* Twice the matrix' part above the diagonal would do the same. */
static void break_symmetry(const double *vector, double *product) { product[2] += 0.1 * vector[WRONG_PARAMETER]; }

static int hessian(void *context, const double *theta, const size_t *rows, size_t n, const double *vectors, size_t k,
                   double *out) {
    faulty *f = context;
    size_t p = f->right.n_parameters;
    int code = f->right.hessian_products(f->right.context, theta, rows, n, vectors, k, out);
    for (size_t j = 0; j < k; j++) {
        if (f->fault == HESSIAN_ENTRY)
            out[j * p + WRONG_PARAMETER] += 0.1 * (double)n * vectors[j * p + WRONG_PARAMETER];
        if (f->fault == HESSIAN_ASYMMETRIC)
            for (size_t i = 0; i < n; i++)
                break_symmetry(vectors + j * p, out + j * p);
        if (f->fault == HESSIAN_ONE_VECTOR)
            memcpy(out + j * p, out, p * sizeof *out);
    }
    for (size_t i = 0; i < k * p && f->fault == HESSIAN_MEAN; i++)
        out[i] /= (double)n;
    return code;
}

static int gauss_newton(void *context, const double *theta, const size_t *rows, size_t n, const double *vectors,
                        size_t k, double *out) {
    faulty *f = context;
    size_t p = f->right.n_parameters;
    int code = f->right.gauss_newton_products(f->right.context, theta, rows, n, vectors, k, out);
    for (size_t i = 0; i < k * p && f->fault == GAUSS_NEWTON_MEAN; i++)
        out[i] /= (double)n;
    for (size_t i = 0; i < n * k && f->fault == GAUSS_NEWTON_ASYMMETRIC; i++)
        break_symmetry(vectors + i % k * p, out + i % k * p);
    return code;
}

static infl_objective *faulty_objective(problem *q, faulty *f) {
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    infl_objective *objective = NULL;
    f->right = reference_custom(q, NULL);
    custom.n_rows = q->n;
    custom.n_parameters = q->p;
    custom.context = f;
    custom.losses = losses;
    custom.row_gradients = gradients;
    custom.hessian_products = hessian;
    custom.gauss_newton_products = gauss_newton;
    assert_ok(infl_objective_create_custom(&objective, &custom, q->theta, NULL));
    return objective;
}

/* What a fault leaves in the sentence, and in which number of the report. */
typedef struct trace {
    infl_status status;
    const char *sentence, *where;
    size_t number;
} trace;

#define NUMBER(name) offsetof(infl_derivatives_report, name)
static const trace traces[] = {
    [NONE] = {INFL_OK, "", "", NUMBER(gradients)},
    [GRADIENT_ENTRY] = {INFL_E_ARGUMENT, "row 5's gradient", "parameter 11 is wrong", NUMBER(gradients)},
    [GRADIENT_POSITION] = {INFL_E_ARGUMENT, "the gradient of row", "which rows are asked for", NUMBER(parts)},
    [LOSS_NEIGHBOURS] = {INFL_E_ARGUMENT, "the loss of row", "which rows are asked for", NUMBER(parts)},
    [HESSIAN_ENTRY] = {INFL_E_ARGUMENT, "Hessian, summed over 7 rows", "at parameter 11", NUMBER(hessian)},
    [HESSIAN_MEAN] = {INFL_E_ARGUMENT, "the Hessian's product", "not means", NUMBER(parts)},
    [HESSIAN_ASYMMETRIC] = {INFL_E_ARGUMENT, "the Hessian's products", "symmetric", NUMBER(symmetry)},
    [HESSIAN_ONE_VECTOR] = {INFL_E_ARGUMENT, "the Hessian's products", "symmetric", NUMBER(symmetry)},
    [GAUSS_NEWTON_MEAN] = {INFL_E_ARGUMENT, "the Gauss–Newton matrix's product", "not means", NUMBER(parts)},
    [GAUSS_NEWTON_ASYMMETRIC] = {INFL_E_ARGUMENT, "the Gauss–Newton matrix's products", "symmetric", NUMBER(symmetry)},
    [LOSS_NAN] = {INFL_E_NONFINITE, "losses have", "NaN", NUMBER(gradients)},
    [LOSS_FAILS] = {INFL_E_CALLBACK, "the losses callback", "returned 3", NUMBER(gradients)},
};

START_TEST(test_faults) {
    problem *q = small_problem(INFL_SOFTMAX_CROSS_ENTROPY, INFL_F64);
    faulty f = {.fault = (fault)_i};
    const trace *expected = &traces[_i];
    infl_objective *objective = faulty_objective(q, &f);
    infl_derivatives_report report = {.gradients = SENTINEL};
    ck_assert_uint_gt(q->p, WRONG_PARAMETER);
    if (expected->status == INFL_OK) {
        assert_ok(infl_objective_check_derivatives(objective, NULL, 0, NULL, &report));
        assert_right(&report);
    } else {
        assert_fails(expected->status, infl_objective_check_derivatives(objective, NULL, 0, NULL, &report));
        ck_assert_msg(strstr(infl_last_error(), expected->sentence) != NULL &&
                          strstr(infl_last_error(), expected->where) != NULL,
                      "fault %d: %s", _i, infl_last_error());
        ck_assert(all_sentinel(&report.gradients, 1));
    }
    if (expected->status == INFL_E_ARGUMENT) {
        infl_derivatives_options options = INFL_DERIVATIVES_OPTIONS_INIT;
        double found;
        options.tolerance = INFINITY;
        assert_ok(infl_objective_check_derivatives(objective, NULL, 0, &options, &report));
        memcpy(&found, (const char *)&report + expected->number, sizeof found);
        ck_assert_msg(found > 1e-4, "fault %d left %g", _i, found);
        if (_i == GRADIENT_ENTRY)
            ck_assert_uint_eq(report.row, WRONG_ROW);
    }
    infl_objective_destroy(objective);
    problem_destroy(q);
}
END_TEST

/* Rows are named as the caller names them, and rows that are right alone are so. */
START_TEST(test_rows) {
    problem *q = small_problem(INFL_SQUARED_ERROR, INFL_F64);
    faulty f = {.fault = GRADIENT_ENTRY};
    infl_objective *objective = faulty_objective(q, &f), *left = NULL;
    infl_derivatives_report report;
    assert_ok(infl_objective_check_derivatives(objective, (size_t[]){6, 0, 1}, 3, NULL, &report));
    assert_right(&report);
    assert_ok(infl_objective_check_derivatives(objective, (size_t[]){3}, 1, NULL, &report));
    ck_assert_uint_eq(report.row, 3);
    assert_ok(infl_objective_without(&left, objective, (size_t[]){0, 2}, 2)); /* row 5 is row 3 now */
    assert_fails(INFL_E_ARGUMENT, infl_objective_check_derivatives(left, (size_t[]){4, 3}, 2, NULL, &report));
    ck_assert_msg(strstr(infl_last_error(), "row 3's") != NULL, "%s", infl_last_error());
    infl_objective_destroy(left);
    infl_objective_destroy(objective);
    problem_destroy(q);
}
END_TEST

/* Products that are not there are not checked, and not a failure. */
START_TEST(test_without_products) {
    problem *q = small_problem(INFL_SOFTMAX_CROSS_ENTROPY, INFL_F64);
    infl_custom_objective custom = reference_custom(q, NULL);
    infl_objective *objective = NULL;
    infl_derivatives_report report;
    custom.hessian_products = custom.gauss_newton_products = NULL;
    assert_ok(infl_objective_create_custom(&objective, &custom, q->theta, NULL));
    assert_ok(infl_objective_check_derivatives(objective, NULL, 0, NULL, &report));
    ck_assert(report.gradients < 1e-7);
    ck_assert(isnan(report.hessian));
    ck_assert_double_eq(report.symmetry, 0.0);
    assert_ok(infl_objective_check_derivatives(objective, NULL, 0, NULL, NULL));
    infl_objective_destroy(objective);
    problem_destroy(q);
}
END_TEST

START_TEST(test_refusals) {
    problem *q = small_problem(INFL_SOFTMAX_CROSS_ENTROPY, INFL_F64);
    infl_derivatives_options options = INFL_DERIVATIVES_OPTIONS_INIT;
    assert_fails(INFL_E_ARGUMENT, infl_objective_check_derivatives(NULL, NULL, 0, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_check_derivatives(q->objective, (size_t[]){7}, 1, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_check_derivatives(q->objective, (size_t[]){0}, 0, NULL, NULL));
    static const double steps[] = {0.0, -1e-5, INFINITY, NAN};
    for (size_t i = 0; i < 4; i++) {
        options.step = steps[i];
        assert_fails(INFL_E_ARGUMENT, infl_objective_check_derivatives(q->objective, NULL, 0, &options, NULL));
    }
    options.step = 1e-5;
    options.tolerance = NAN;
    assert_fails(INFL_E_ARGUMENT, infl_objective_check_derivatives(q->objective, NULL, 0, &options, NULL));
    options.tolerance = -1.0;
    assert_fails(INFL_E_ARGUMENT, infl_objective_check_derivatives(q->objective, NULL, 0, &options, NULL));
    options.tolerance = 1e-5;
    options.size = 0;
    assert_fails(INFL_E_ARGUMENT, infl_objective_check_derivatives(q->objective, NULL, 0, &options, NULL));
    problem_destroy(q);
}
END_TEST

Suite *check_derivatives_suite(void) {
    Suite *suite = suite_create("check_derivatives");
    add_case(suite, "check_derivatives/networks", test_networks, 2 * (INFL_SMOOTHED_HINGE + 1));
    add_case(suite, "check_derivatives/faults", test_faults, N_FAULTS);
    add_case(suite, "check_derivatives/rows", test_rows, 1);
    add_case(suite, "check_derivatives/without-products", test_without_products, 1);
    add_case(suite, "check_derivatives/refusals", test_refusals, 1);
    return suite;
}

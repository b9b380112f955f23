/* The losses as functions of a row's outputs, against the hyper-dual of their definitions, and at the extremes. */
#include <float.h>
#include <math.h>

#include "reference.h"
#include "suites.h"

enum { MAX_OUTPUTS = 10 };

static const struct {
    infl_loss_kind kind;
    size_t n_outputs;
    double temperature;
} cases[] = {
    {INFL_SOFTMAX_CROSS_ENTROPY, 2, 1.0},  {INFL_SOFTMAX_CROSS_ENTROPY, 3, 1.0},
    {INFL_SOFTMAX_CROSS_ENTROPY, 10, 1.0}, {INFL_LOGISTIC, 1, 1.0},
    {INFL_SQUARED_ERROR, 1, 1.0},          {INFL_SQUARED_ERROR, 4, 1.0},
    {INFL_SMOOTHED_HINGE, 1, 1.0},         {INFL_SMOOTHED_HINGE, 1, 0.1},
    {INFL_SMOOTHED_HINGE, 1, 0.001},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static infl_loss loss_of(int i) {
    infl_loss loss = INFL_LOSS_INIT(cases[i].kind);
    loss.temperature = cases[i].temperature;
    return loss;
}

static void draw_target(infl_loss_kind kind, size_t n_outputs, uint64_t *state, double *target) {
    for (size_t c = 0; c < n_outputs; c++)
        target[c] = random_normal(state);
    if (kind != INFL_SQUARED_ERROR)
        target[0] = floor((kind == INFL_SOFTMAX_CROSS_ENTROPY ? (double)n_outputs : 2.0) * random_uniform(state));
}

static double largest(const double *x, size_t n) {
    double most = 0.0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

/*
 * Outputs of size up to 10 enter exponentials divided by τ: a relative error of 10/τ roundings. The Hessian of the
 * hinge is of size 1/τ itself.
 */
START_TEST(test_reference) {
    infl_loss loss = loss_of(_i);
    size_t c = cases[_i].n_outputs;
    double outputs[MAX_OUTPUTS], target[MAX_OUTPUTS];
    double value, gradient[MAX_OUTPUTS], hessian[MAX_OUTPUTS * MAX_OUTPUTS];
    double value_wanted, gradient_wanted[MAX_OUTPUTS], hessian_wanted[MAX_OUTPUTS * MAX_OUTPUTS];
    double tolerance = 40.0 / cases[_i].temperature * DBL_EPSILON;
    uint64_t state = 3;
    for (int draw = 0; draw < 300; draw++) {
        /* the hinge is only bent where s f is within some τ of 1 */
        for (size_t j = 0; j < c; j++)
            outputs[j] = 3.0 * random_normal(&state);
        draw_target(loss.kind, c, &state, target);
        if (loss.kind == INFL_SMOOTHED_HINGE)
            outputs[0] = (target[0] == 1.0 ? 1.0 : -1.0) * (1.0 - 3.0 * loss.temperature * random_normal(&state));
        assert_ok(infl_loss_evaluate(&loss, outputs, c, target, &value, gradient, hessian));
        reference_loss(&loss, outputs, c, target, &value_wanted, gradient_wanted, hessian_wanted);
        ck_assert_msg(fabs(value - value_wanted) <= tolerance * fmax(1.0, value_wanted), "value %.17g, not %.17g",
                      value, value_wanted);
        double scale = fmax(1.0, largest(gradient_wanted, c));
        for (size_t j = 0; j < c; j++)
            ck_assert_msg(fabs(gradient[j] - gradient_wanted[j]) <= tolerance * scale, "gradient %zu: %.17g, not %.17g",
                          j, gradient[j], gradient_wanted[j]);
        scale = fmax(1.0, largest(hessian_wanted, c * c));
        for (size_t j = 0; j < c * c; j++)
            ck_assert_msg(fabs(hessian[j] - hessian_wanted[j]) <= tolerance * scale, "Hessian %zu: %.17g, not %.17g", j,
                          hessian[j], hessian_wanted[j]);
    }
}
END_TEST

/* Finite everywhere, values not negative, gradients no longer than √2, Hessians positive semidefinite and symmetric. */
START_TEST(test_extremes) {
    static const double sizes[] = {0.0, 1e-300, 1.0, 30.0, 37.0, 88.0, 104.0, 700.0, 746.0, 1e3, 1e6};
    enum { N_SIZES = sizeof sizes / sizeof sizes[0] };
    infl_loss loss = loss_of(_i);
    size_t c = cases[_i].n_outputs;
    double outputs[MAX_OUTPUTS], target[MAX_OUTPUTS];
    double value, gradient[MAX_OUTPUTS], hessian[MAX_OUTPUTS * MAX_OUTPUTS];
    uint64_t state = 4;
    for (int draw = 0; draw < 3000; draw++) {
        for (size_t j = 0; j < c; j++)
            outputs[j] = sizes[(size_t)(random_uniform(&state) * N_SIZES)] * (random_uniform(&state) < 0.5 ? -1 : 1);
        draw_target(loss.kind, c, &state, target);
        assert_ok(infl_loss_evaluate(&loss, outputs, c, target, &value, gradient, hessian));
        ck_assert_msg(isfinite(value) && value >= 0.0, "value %g at %g", value, outputs[0]);
        for (size_t a = 0; a < c; a++) {
            ck_assert(isfinite(gradient[a]));
            if (loss.kind != INFL_SQUARED_ERROR)
                ck_assert_msg(fabs(gradient[a]) <= 1.0, "gradient %g at %g", gradient[a], outputs[a]);
            for (size_t b = 0; b < c; b++) {
                ck_assert(isfinite(hessian[a * c + b]));
                ck_assert(hessian[a * c + b] == hessian[b * c + a]);
            }
            ck_assert(hessian[a * c + a] >= 0.0);
        }
        for (int direction = 0; direction < 5; direction++) {
            double v[MAX_OUTPUTS], curvature = 0.0;
            for (size_t a = 0; a < c; a++)
                v[a] = random_normal(&state);
            for (size_t a = 0; a < c; a++)
                for (size_t b = 0; b < c; b++)
                    curvature += v[a] * hessian[a * c + b] * v[b];
            /* c² ≤ 100 terms, each of at most 3²/τ or so, with a rounding error each */
            ck_assert_msg(curvature >= -900.0 * DBL_EPSILON / loss.temperature, "curvature %g", curvature);
        }
    }
}
END_TEST

/* Where the answer is known without a computation. */
START_TEST(test_known) {
    double value, gradient[3], target;
    infl_loss softmax = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY), logistic = INFL_LOSS_INIT(INFL_LOGISTIC);
    infl_loss hinge = INFL_LOSS_INIT(INFL_SMOOTHED_HINGE);
    ck_assert(hinge.temperature > 0.0);
    for (double size = 700.0; size <= 1e6; size *= 10.0) {
        double far_apart[3] = {size, -size, 0.0};
        target = 1.0;
        assert_ok(infl_loss_evaluate(&softmax, far_apart, 3, &target, &value, gradient, NULL));
        ck_assert_double_eq(value, 2.0 * size);
        ck_assert_double_eq(gradient[0], 1.0);
        ck_assert_double_eq(gradient[1], -1.0);
        target = 0.0;
        assert_ok(infl_loss_evaluate(&softmax, far_apart, 3, &target, &value, gradient, NULL));
        ck_assert_double_le(value, 1e-300);
        assert_ok(infl_loss_evaluate(&logistic, far_apart, 1, &target, &value, gradient, NULL));
        ck_assert_double_eq(value, size); /* s = −1 for class 0 */
        ck_assert_double_eq(gradient[0], 1.0);
        target = 1.0;
        assert_ok(infl_loss_evaluate(&logistic, far_apart + 1, 1, &target, &value, gradient, NULL));
        ck_assert_double_eq(value, size);
        ck_assert_double_eq(gradient[0], -1.0);
        hinge.temperature = 1e-3;
        assert_ok(infl_loss_evaluate(&hinge, far_apart + 1, 1, &target, &value, gradient, NULL));
        ck_assert_double_eq_tol(value, 1.0 + size, 4.0 * DBL_EPSILON * size);
        ck_assert_double_eq(gradient[0], -1.0);
    }
    /* a confident logit's small loss is kept: log(1 + exp(−40)) */
    double f = 40.0;
    target = 1.0;
    assert_ok(infl_loss_evaluate(&logistic, &f, 1, &target, &value, gradient, NULL));
    ck_assert_double_eq_tol(value / exp(-40.0), 1.0, 1e-13);
    ck_assert_double_eq_tol(gradient[0] / -exp(-40.0), 1.0, 1e-13);
    /* and the hinge without its smoothing: within τ log 2 of max(0, 1 − s f), never below */
    uint64_t state = 6;
    for (int draw = 0; draw < 500; draw++) {
        hinge.temperature = 0.01;
        f = 2.0 * random_normal(&state);
        target = draw % 2;
        double plain = fmax(0.0, 1.0 - (draw % 2 == 1 ? f : -f));
        assert_ok(infl_loss_evaluate(&hinge, &f, 1, &target, &value, NULL, NULL));
        ck_assert(value >= plain * (1.0 - 4.0 * DBL_EPSILON) && value <= plain + 0.01 * log(2.0) + 1e-15);
    }
}
END_TEST

/* Each result alone is what all together are; the temperature is the hinge's alone. */
START_TEST(test_optional_results) {
    infl_loss loss = loss_of(_i);
    size_t c = cases[_i].n_outputs;
    double outputs[MAX_OUTPUTS], target[MAX_OUTPUTS];
    double value, gradient[MAX_OUTPUTS], hessian[MAX_OUTPUTS * MAX_OUTPUTS];
    double alone, gradient_alone[MAX_OUTPUTS], hessian_alone[MAX_OUTPUTS * MAX_OUTPUTS];
    uint64_t state = 8;
    for (size_t j = 0; j < c; j++)
        outputs[j] = random_normal(&state);
    draw_target(loss.kind, c, &state, target);
    assert_ok(infl_loss_evaluate(&loss, outputs, c, target, &value, gradient, hessian));
    assert_ok(infl_loss_evaluate(&loss, outputs, c, target, &alone, NULL, NULL));
    assert_ok(infl_loss_evaluate(&loss, outputs, c, target, NULL, gradient_alone, NULL));
    assert_ok(infl_loss_evaluate(&loss, outputs, c, target, NULL, NULL, hessian_alone));
    assert_same_bits(&alone, &value, 1, "value");
    assert_same_bits(gradient_alone, gradient, c, "gradient");
    assert_same_bits(hessian_alone, hessian, c * c, "Hessian");
    assert_ok(infl_loss_evaluate(&loss, outputs, c, target, NULL, NULL, NULL));
    if (loss.kind != INFL_SMOOTHED_HINGE) {
        loss.temperature = -1.0;
        assert_ok(infl_loss_evaluate(&loss, outputs, c, target, &alone, NULL, NULL));
        assert_same_bits(&alone, &value, 1, "temperature");
    }
}
END_TEST

static void refused(infl_status expected, const infl_loss *loss, const double *outputs, size_t c, const double *target,
                    const char *what) {
    double value = SENTINEL, gradient[MAX_OUTPUTS], hessian[MAX_OUTPUTS * MAX_OUTPUTS];
    fill_sentinel(gradient, MAX_OUTPUTS);
    fill_sentinel(hessian, MAX_OUTPUTS * MAX_OUTPUTS);
    infl_status status = infl_loss_evaluate(loss, outputs, c, target, &value, gradient, hessian);
    ck_assert_msg(status == expected, "%s: %s, not %s", what, infl_status_name(status), infl_status_name(expected));
    ck_assert_msg(strncmp(infl_last_error(), "infl_loss_evaluate", 18) == 0, "%s: %s", what, infl_last_error());
    ck_assert_msg(value == SENTINEL && all_sentinel(gradient, MAX_OUTPUTS) &&
                      all_sentinel(hessian, MAX_OUTPUTS * MAX_OUTPUTS),
                  "%s: outputs changed", what);
}

START_TEST(test_bad_input) {
    double outputs[3] = {1.0, -2.0, 0.5}, target[3] = {1.0, 0.0, 0.0};
    static const double not_classes[] = {-1.0, 3.0, 0.5, 1e300, NAN, INFINITY, -INFINITY};
    infl_loss softmax = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY), logistic = INFL_LOSS_INIT(INFL_LOGISTIC);
    infl_loss squared = INFL_LOSS_INIT(INFL_SQUARED_ERROR), hinge = INFL_LOSS_INIT(INFL_SMOOTHED_HINGE);
    refused(INFL_E_ARGUMENT, NULL, outputs, 3, target, "no loss");
    refused(INFL_E_ARGUMENT, &softmax, NULL, 3, target, "no outputs");
    refused(INFL_E_ARGUMENT, &softmax, outputs, 3, NULL, "no target");
    refused(INFL_E_ARGUMENT, &softmax, outputs, 0, target, "softmax of nothing");
    refused(INFL_E_ARGUMENT, &squared, outputs, 0, target, "error of nothing");
    refused(INFL_E_ARGUMENT, &logistic, outputs, 2, target, "logistic of two");
    refused(INFL_E_ARGUMENT, &logistic, outputs, 0, target, "logistic of nothing");
    refused(INFL_E_ARGUMENT, &hinge, outputs, 3, target, "hinge of three");
    for (size_t i = 0; i < sizeof not_classes / sizeof not_classes[0]; i++) {
        infl_status expected = isfinite(not_classes[i]) ? INFL_E_ARGUMENT : INFL_E_NONFINITE;
        double value = SENTINEL;
        infl_loss *losses[] = {&softmax, &logistic, &hinge};
        for (size_t l = 0; l < 3; l++) {
            size_t c = l == 0 ? 3 : 1;
            infl_status status = infl_loss_evaluate(losses[l], outputs, c, &not_classes[i], &value, NULL, NULL);
            ck_assert_msg(status == expected || status == INFL_E_ARGUMENT, "class %g: %s", not_classes[i],
                          infl_status_name(status));
            ck_assert(value == SENTINEL);
        }
    }
    double two = 2.0;
    refused(INFL_E_ARGUMENT, &logistic, outputs, 1, &two, "third of two classes");
    refused(INFL_E_ARGUMENT, &hinge, outputs, 1, &two, "third of two classes");
    static const double temperatures[] = {0.0, -1.0, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        hinge.temperature = temperatures[i];
        refused(INFL_E_ARGUMENT, &hinge, outputs, 1, target, "temperature");
    }
    hinge.temperature = 0.1;
    infl_loss unknown = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    unknown.kind = (infl_loss_kind)4;
    refused(INFL_E_ARGUMENT, &unknown, outputs, 3, target, "unknown kind");
    unknown.kind = (infl_loss_kind)-1;
    refused(INFL_E_ARGUMENT, &unknown, outputs, 3, target, "unknown kind");
    infl_loss sizeless = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    sizeless.size = 0;
    refused(INFL_E_ARGUMENT, &sizeless, outputs, 3, target, "size 0");
    double bad[3] = {1.0, NAN, 0.0};
    refused(INFL_E_NONFINITE, &softmax, bad, 3, target, "NaN output");
    refused(INFL_E_NONFINITE, &squared, bad, 3, target, "NaN output");
    refused(INFL_E_NONFINITE, &squared, outputs, 3, bad, "NaN target");
    bad[0] = INFINITY;
    refused(INFL_E_NONFINITE, &logistic, bad, 1, target, "infinite output");
}
END_TEST

Suite *loss_suite(void) {
    Suite *suite = suite_create("loss");
    add_case(suite, "loss/reference", test_reference, N_CASES);
    add_case(suite, "loss/extremes", test_extremes, N_CASES);
    add_case(suite, "loss/known", test_known, 1);
    add_case(suite, "loss/optional-results", test_optional_results, N_CASES);
    add_case(suite, "loss/bad-input", test_bad_input, 1);
    return suite;
}

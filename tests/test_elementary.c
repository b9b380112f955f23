/* The elementary functions as a network with one parameter shows them, y = φ(w x) with w = 1; and what overflows. */
#include <float.h>
#include <math.h>

#include "network.h"
#include "reference.h"
#include "suites.h"

static infl_dataset *column(const double *x, size_t n, size_t n_features) {
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_dataset *dataset = NULL;
    spec.n_rows = n;
    spec.n_features = n_features;
    spec.features = spec.targets = x;
    spec.n_targets = 1;
    assert_ok(infl_dataset_create(&dataset, &spec));
    return dataset;
}

/* dense layers of one unit, φ after the first, with these parameters */
static infl_model *chain(infl_precision precision, infl_activation activation, size_t n_inputs, size_t n_layers,
                         int bias, const double *theta) {
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    assert_ok(infl_builder_create(&builder, n_inputs));
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, 1, bias, INFL_INIT_HE);
    node = infl_builder_activation(builder, node, activation);
    for (size_t i = 1; i < n_layers; i++)
        node = infl_builder_dense(builder, node, 1, bias, INFL_INIT_HE);
    assert_ok(infl_model_create(&model, builder, node, precision, 1));
    assert_ok(infl_model_set_parameters(model, theta));
    infl_builder_destroy(builder);
    return model;
}

static void in_long_double(infl_activation activation, long double x, long double *phi, long double *slope) {
    long double e = expl(-fabsl(x)), lower = e / (1 + e), upper = 1 / (1 + e);
    switch (activation) {
    case INFL_TANH:
        *phi = tanhl(x);
        *slope = 4 * e * e / ((1 + e * e) * (1 + e * e));
        return;
    case INFL_SIGMOID:
        *phi = x < 0 ? lower : upper;
        *slope = lower * upper;
        return;
    case INFL_SOFTPLUS:
        *phi = fmaxl(x, 0) + log1pl(e);
        *slope = x < 0 ? lower : upper;
        return;
    default: { /* SELU */
        const long double scale = 1.0507009873554804934193349852946L, alpha = 1.6732632423543772848170429916717L;
        *phi = scale * (x > 0 ? x : alpha * expm1l(x));
        *slope = scale * (x > 0 ? 1 : alpha * e);
    }
    }
}

/*
 * Relative errors in φ and in x φ′(x), in the tails too: an elementary function errs by less than 4 ε, a second one that
 * is multiplied with it by as much, and a few roundings follow. Nothing is asked for near the smallest normal number.
 */
START_TEST(test_tails) {
    static const infl_activation activations[] = {INFL_TANH, INFL_SIGMOID, INFL_SOFTPLUS, INFL_SELU};
    enum { N = 4000 };
    static double x[N], y[N], slope[N];
    const double one = 1.0;
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        double epsilon = precision == INFL_F32 ? FLT_EPSILON : DBL_EPSILON;
        double least = precision == INFL_F32 ? 1e-34 : 1e-300, reach = precision == INFL_F32 ? 90.0 : 720.0;
        for (int i = 0; i < N; i++) /* every other one near zero */
            x[i] = (float)((i % 4 < 2 ? 1.0 : -1.0) * (i % 2 ? reach * i / N : pow(10.0, 9.0 * i / N - 8.0)));
        infl_dataset *dataset = column(x, N, 1);
        infl_model *model = chain((infl_precision)precision, activations[_i], 1, 1, 0, &one);
        assert_ok(infl_model_predict(model, dataset, y));
        assert_ok(infl_model_jvp(model, dataset, &one, 1, slope));
        for (int i = 0; i < N; i++) {
            long double phi, derivative;
            in_long_double(activations[_i], (long double)x[i], &phi, &derivative);
            derivative *= (long double)x[i];
            const long double truth[] = {phi, derivative}, found[] = {y[i], slope[i]};
            for (int j = 0; j < 2; j++) {
                double error = (double)fabsl(found[j] / truth[j] - 1) / epsilon;
                ck_assert_msg(error <= 10.0 || fabsl(truth[j]) < least, "%s at %.17g errs by %.3g epsilon",
                              j == 0 ? "φ" : "xφ'", x[i], error);
            }
        }
        infl_model_destroy(model);
        infl_dataset_destroy(dataset);
    }
}
END_TEST

/* Beyond float: the features themselves, and ∞ − ∞ in front of a ReLU, which must not turn NaN into 0. */
START_TEST(test_overflow) {
    const double x[] = {1e39, 1e39}, theta[] = {1.0, -1.0};
    double out[2];
    infl_dataset *dataset = column(x, 1, 2);
    infl_model *model = chain(INFL_F32, (infl_activation)_i, 2, 1, 0, theta);
    fill_sentinel(out, 2);
    assert_fails(INFL_E_NONFINITE, infl_model_predict(model, dataset, out));
    assert_fails(INFL_E_NONFINITE, infl_model_jvp(model, dataset, theta, 1, out));
    assert_fails(INFL_E_NONFINITE, infl_model_vjp(model, dataset, theta, 1, out));
    ck_assert(all_sentinel(out, 2));
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
}
END_TEST

/* What only a row of zeros would overflow is no error: rows that pad a chunk are no rows. */
START_TEST(test_padding) {
    /* at x = 0 the third layer is given 1e60 */
    const double x = 1.0, theta[] = {-1e30, 1e30, 1e30, 0.0, 1.0, 0.0}, one = 1.0;
    const double wanted[] = {1e30, 1e30, 0.0, 1.0, 0.0, 1.0};
    double out[6];
    infl_dataset *dataset = column(&x, 1, 1);
    infl_model *model = chain(INFL_F32, INFL_IDENTITY, 1, 3, 1, theta);
    assert_ok(infl_model_vjp(model, dataset, &one, 1, out));
    assert_close(out, wanted, 6, FLT_EPSILON, "at a row of 1");
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
}
END_TEST

/* A NaN anywhere in a window of max pooling is the largest: the loss of a broken network is not finite. */
START_TEST(test_pool_of_nan) {
    enum { WINDOW = 4 };
    for (size_t at = 0; at < WINDOW; at++) {
        /* channels of ±1e39·x in f32: ∞ − ∞ at one place, finite elsewhere */
        double x[WINDOW] = {0.1, 0.2, 0.3, 0.4}, out;
        x[at] = 1e20;
        infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
        int32_t label = 0;
        infl_builder *builder = NULL;
        infl_dataset *dataset = NULL;
        infl_model *model = NULL;
        infl_conv2d two = INFL_CONV2D_INIT, one = INFL_CONV2D_INIT;
        infl_pool2d pool = INFL_POOL2D_INIT;
        two.channels = 2;
        one.channels = 1;
        two.bias = one.bias = 0;
        pool.kernel[0] = 1;
        pool.kernel[1] = WINDOW;
        spec.n_rows = 1;
        spec.n_features = WINDOW;
        spec.features = x;
        spec.labels = &label;
        assert_ok(infl_dataset_create(&dataset, &spec));
        assert_ok(infl_builder_create_image(&builder, 1, 1, WINDOW));
        infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &two);
        node = infl_builder_max_pool2d(builder, infl_builder_conv2d(builder, node, &one), &pool);
        assert_ok(infl_model_create(&model, builder, node, INFL_F32, 1));
        const double theta[] = {1e30, 1e30, 1.0, -1.0};
        assert_ok(infl_model_set_parameters(model, theta));
        ck_assert_msg(infl_model_predict(model, dataset, &out) == INFL_E_NONFINITE, "NaN at %zu is lost", at);
        infl_model_destroy(model);
        infl_builder_destroy(builder);
        infl_dataset_destroy(dataset);
    }
}
END_TEST

START_TEST(test_loss_overflow) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SQUARED_ERROR);
    const double f = 1e200, target = 0.0;
    double out[3];
    fill_sentinel(out, 3);
    assert_fails(INFL_E_NONFINITE, infl_loss_evaluate(&loss, &f, 1, &target, out, out + 1, out + 2));
    ck_assert(all_sentinel(out, 3));
}
END_TEST

Suite *elementary_suite(void) {
    Suite *suite = suite_create("elementary");
    add_case(suite, "elementary/pool-of-nan", test_pool_of_nan, 1);
    add_case(suite, "elementary/tails", test_tails, 4);
    add_case(suite, "elementary/overflow", test_overflow, INFL_N_ACTIVATIONS);
    add_case(suite, "elementary/padding", test_padding, 1);
    add_case(suite, "elementary/loss-overflow", test_loss_overflow, 1);
    return suite;
}

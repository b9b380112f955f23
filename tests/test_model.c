/* Networks: building, parameters and their views, initialisers, outputs and their Jacobians. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "network.h"
#include "reference.h"
#include "suites.h"

static infl_model *mlp(infl_precision precision, uint64_t seed) {
    static const size_t units[] = {5, 4, 2};
    infl_model *model = NULL;
    assert_ok(infl_model_create_mlp(&model, precision, 3, units, 3, INFL_TANH, INFL_INIT_GLOROT, seed));
    return model;
}

/* Tensors tile [0, p): each begins where the one before it ends. */
static void check_tiling(const infl_model *model) {
    size_t end = 0;
    for (size_t i = 0; i < infl_model_tensors(model); i++) {
        infl_tensor tensor;
        assert_ok(infl_model_tensor(model, i, &tensor));
        ck_assert_uint_eq(tensor.offset, end);
        ck_assert_uint_gt(tensor.length, 0);
        size_t length = 1;
        ck_assert_uint_ge(tensor.n_dims, 1);
        ck_assert_uint_le(tensor.n_dims, 4);
        for (size_t a = 0; a < tensor.n_dims; a++)
            length *= tensor.dims[a];
        ck_assert_uint_eq(length, tensor.length);
        ck_assert_int_eq(tensor.is_weight, strstr(tensor.name, ".weight") != NULL);
        ck_assert_int_eq(!tensor.is_weight, strstr(tensor.name, ".bias") != NULL);
        end += tensor.length;
    }
    ck_assert_uint_eq(end, infl_model_parameters(model));
}

START_TEST(test_tensors) {
    static const char *const names[] = {"dense1.weight", "dense1.bias",   "dense2.weight",
                                        "dense2.bias",   "dense3.weight", "dense3.bias"};
    static const size_t dims[6][2] = {{5, 3}, {5, 0}, {4, 5}, {4, 0}, {2, 4}, {2, 0}};
    infl_model *model = mlp(INFL_F32, 1);
    ck_assert_uint_eq(infl_model_inputs(model), 3);
    ck_assert_uint_eq(infl_model_outputs(model), 2);
    ck_assert_uint_eq(infl_model_parameters(model), 15 + 5 + 20 + 4 + 8 + 2);
    ck_assert_int_eq(infl_model_precision(model), INFL_F32);
    ck_assert_uint_eq(infl_model_tensors(model), 6);
    check_tiling(model);
    for (size_t i = 0; i < 6; i++) {
        infl_tensor tensor;
        assert_ok(infl_model_tensor(model, i, &tensor));
        ck_assert_str_eq(tensor.name, names[i]);
        ck_assert_uint_eq(tensor.n_dims, dims[i][1] == 0 ? 1 : 2);
        for (size_t a = 0; a < tensor.n_dims; a++)
            ck_assert_uint_eq(tensor.dims[a], dims[i][a]);
    }
    infl_tensor untouched;
    memset(&untouched, 0x5a, sizeof untouched);
    infl_tensor before = untouched;
    assert_fails(INFL_E_ARGUMENT, infl_model_tensor(model, 6, &untouched));
    assert_fails(INFL_E_ARGUMENT, infl_model_tensor(model, SIZE_MAX, &untouched));
    assert_fails(INFL_E_ARGUMENT, infl_model_tensor(NULL, 0, &untouched));
    assert_fails(INFL_E_ARGUMENT, infl_model_tensor(model, 0, NULL));
    ck_assert_mem_eq(&untouched, &before, sizeof before);
    infl_model_destroy(model);
    infl_model_destroy(NULL);

    /* layers without bias and a branch that is left out */
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.graph = REFERENCE_TANGLED;
    problem *q = problem_create(&options);
    check_tiling(q->model);
    problem_destroy(q);
}
END_TEST

/* Moments of the 20,000 weights of a 200×100 layer, within five of their standard errors, and bounds. */
START_TEST(test_initialisers) {
    enum { FAN_IN = 100, FAN_OUT = 200, N = FAN_IN * FAN_OUT };
    /* of the normal cut at ±2: variance 1 − 4φ(2)/(2Φ(2) − 1); kurtosis from ∫x⁴ */
    static const double cut_variance = 0.7737413035499232;
    const struct {
        infl_initialiser initialiser;
        double variance, kurtosis, bound;
    } laws[] = {
        {INFL_INIT_GLOROT, 2.0 / (FAN_IN + FAN_OUT), 1.8, sqrt(6.0 / (FAN_IN + FAN_OUT))},
        {INFL_INIT_HE, 2.0 / FAN_IN, 3.0, INFINITY},
        {INFL_INIT_LECUN, 1.0 / FAN_IN, 3.0, INFINITY},
        {INFL_INIT_TRUNCATED_NORMAL, cut_variance / FAN_IN, 2.3655, 2.0 / sqrt(FAN_IN)},
        {INFL_INIT_TRUNCATED_NORMAL_2, 4.0 * cut_variance / FAN_IN, 2.3655, 4.0 / sqrt(FAN_IN)},
    };
    double *theta = malloc((N + FAN_OUT) * sizeof *theta);
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        infl_builder *builder = NULL;
        infl_model *model = NULL;
        assert_ok(infl_builder_create(&builder, FAN_IN));
        infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, FAN_OUT, 1, laws[_i].initialiser);
        assert_ok(infl_model_create(&model, builder, node, (infl_precision)precision, 11));
        assert_ok(infl_model_get_parameters(model, theta));
        double sums[5] = {0}, most = 0.0;
        for (size_t j = 0; j < N; j++) {
            double power = 1.0;
            for (int m = 1; m <= 4; m++)
                sums[m] += power *= theta[j];
            most = fmax(most, fabs(theta[j]));
        }
        double variance = sums[2] / N, kurtosis = sums[4] / N / (variance * variance);
        ck_assert_msg(fabs(sums[1] / N) <= 5.0 * sqrt(laws[_i].variance / N), "mean %g", sums[1] / N);
        /* var(s²)/σ⁴ = (kurtosis − 1)/N */
        ck_assert_msg(fabs(variance / laws[_i].variance - 1.0) <= 5.0 * sqrt((laws[_i].kurtosis - 1.0) / N),
                      "variance %g, not %g", variance, laws[_i].variance);
        ck_assert_msg(fabs(kurtosis - laws[_i].kurtosis) <= 5.0 * sqrt(24.0 / N), "kurtosis %g, not %g", kurtosis,
                      laws[_i].kurtosis);
        if (isfinite(laws[_i].bound))
            ck_assert_msg(most <= laws[_i].bound * (1.0 + FLT_EPSILON) && most > 0.99 * laws[_i].bound,
                          "bound %g, not %g", most, laws[_i].bound);
        else
            ck_assert_msg(most > 3.5 * sqrt(laws[_i].variance), "largest %g", most);
        for (size_t j = 0; j < FAN_OUT; j++)
            ck_assert(theta[N + j] == 0.0);
        /* neighbours in a row and in a column do not hang together */
        double row = 0.0, column = 0.0;
        for (size_t j = 0; j + FAN_IN < N; j++) {
            row += theta[j] * theta[j + 1];
            column += theta[j] * theta[j + FAN_IN];
        }
        ck_assert(fabs(row / N) <= 5.0 * variance / sqrt(N) && fabs(column / N) <= 5.0 * variance / sqrt(N));
        infl_model_destroy(model);
        infl_builder_destroy(builder);
    }
    free(theta);
}
END_TEST

START_TEST(test_seeds) {
    enum { P = 54 };
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        infl_model *a = mlp((infl_precision)precision, 5), *b = mlp((infl_precision)precision, 5);
        infl_model *c = mlp((infl_precision)precision, 6);
        double first[P], second[P], other[P];
        ck_assert_uint_eq(infl_model_parameters(a), P);
        assert_ok(infl_model_get_parameters(a, first));
        assert_ok(infl_model_get_parameters(b, second));
        assert_ok(infl_model_get_parameters(c, other));
        assert_same_bits(first, second, P, "same seed");
        size_t equal = 0;
        for (size_t j = 0; j < P; j++)
            equal += first[j] == other[j];
        ck_assert_uint_eq(equal, 5 + 4 + 2); /* the biases */
        ck_assert_msg(first[0] / sqrt(6.0 / 8.0) != first[20] / sqrt(6.0 / 9.0), "layers draw the same numbers");

        assert_ok(infl_model_initialise(c, 5));
        assert_ok(infl_model_get_parameters(c, other));
        assert_same_bits(first, other, P, "drawn anew");
        other[20] += 1.0;
        other[15] = 2.0;
        assert_ok(infl_model_set_parameters(c, other));
        assert_ok(infl_model_initialise(c, 5));
        assert_ok(infl_model_get_parameters(c, other));
        assert_same_bits(first, other, P, "drawn anew, biases too");
        infl_model_destroy(a);
        infl_model_destroy(b);
        infl_model_destroy(c);
    }
    assert_fails(INFL_E_ARGUMENT, infl_model_initialise(NULL, 1));
}
END_TEST

START_TEST(test_clone) {
    enum { P = 54 };
    infl_model *model = mlp(INFL_F64, 5), *clone = NULL;
    double theta[P], changed[P], got[P];
    assert_ok(infl_model_clone(&clone, model));
    assert_ok(infl_model_get_parameters(model, theta));
    assert_ok(infl_model_get_parameters(clone, got));
    assert_same_bits(theta, got, P, "clone");
    for (size_t j = 0; j < P; j++)
        changed[j] = (double)j;
    assert_ok(infl_model_set_parameters(model, changed));
    assert_ok(infl_model_get_parameters(clone, got));
    assert_same_bits(theta, got, P, "clone after the model changed");
    assert_ok(infl_model_set_parameters(model, theta));
    assert_ok(infl_model_set_parameters(clone, changed));
    assert_ok(infl_model_get_parameters(model, got));
    assert_same_bits(theta, got, P, "model after the clone changed");
    infl_model_destroy(model);
    infl_tensor tensor;
    assert_ok(infl_model_tensor(clone, 0, &tensor)); /* names are its own */
    ck_assert_str_eq(tensor.name, "dense1.weight");
    ck_assert_int_eq(infl_model_precision(clone), INFL_F64);
    assert_ok(infl_model_initialise(clone, 5));
    assert_ok(infl_model_get_parameters(clone, got));
    assert_same_bits(theta, got, P, "clone drawn anew");
    infl_model *untouched = clone;
    assert_fails(INFL_E_ARGUMENT, infl_model_clone(&untouched, NULL));
    ck_assert_ptr_eq(untouched, clone);
    assert_fails(INFL_E_ARGUMENT, infl_model_clone(NULL, clone));
    infl_model_destroy(clone);
}
END_TEST

/* Outputs, J·tangents and Jᵀ·cotangents, each against its definition by the reference's J, and against each other. */
static void check_jacobian(problem *q, size_t k, double tolerance) {
    size_t p = q->p, n = q->n, c = q->c;
    double *outputs = problem_room(q, n * c), *outputs_wanted = problem_room(q, n * c);
    double *jacobian = problem_room(q, c * p);
    double *tangents = problem_normals(q, k * p, 21), *cotangents = problem_normals(q, k * n * c, 22);
    double *forward = problem_room(q, k * n * c), *forward_wanted = problem_room(q, k * n * c);
    double *backward = problem_room(q, k * p), *backward_wanted = problem_room(q, k * p);
    for (size_t i = 0; i < n; i++) {
        reference_outputs(q, q->theta, i, outputs_wanted + i * c, jacobian);
        for (size_t b = 0; b < k; b++)
            for (size_t a = 0; a < c; a++)
                for (size_t j = 0; j < p; j++) {
                    forward_wanted[(b * n + i) * c + a] += jacobian[a * p + j] * tangents[b * p + j];
                    backward_wanted[b * p + j] += cotangents[(b * n + i) * c + a] * jacobian[a * p + j];
                }
    }
    assert_ok(infl_model_predict(q->model, q->dataset, outputs));
    assert_ok(infl_model_jvp(q->model, q->dataset, tangents, k, forward));
    assert_ok(infl_model_vjp(q->model, q->dataset, cotangents, k, backward));
    assert_close(outputs, outputs_wanted, n * c, tolerance, "%s", problem_name(q));
    assert_close(forward, forward_wanted, k * n * c, tolerance, "%s, k %zu", problem_name(q), k);
    assert_close(backward, backward_wanted, k * p, tolerance, "%s, k %zu", problem_name(q), k);
    for (size_t b = 0; b < k; b++) {
        double left = 0.0, right = 0.0, scale = 0.0;
        for (size_t j = 0; j < n * c; j++) {
            left += cotangents[b * n * c + j] * forward[b * n * c + j];
            scale += fabs(cotangents[b * n * c + j] * forward[b * n * c + j]);
        }
        for (size_t j = 0; j < p; j++)
            right += backward[b * p + j] * tangents[b * p + j];
        ck_assert_msg(fabs(left - right) <= tolerance * scale, "adjoint: %.17g and %.17g: %s", left, right,
                      problem_name(q));
    }
}

/* Tolerances as in test_derivatives.c: 100 roundings of the precision, amplified by no more than 100. */
START_TEST(test_jacobian) {
    static const size_t ks[] = {1, 2, 7};
    for (int precision = INFL_F32; precision <= INFL_F64; precision++)
        for (int graph = REFERENCE_PLAIN; graph <= REFERENCE_TANGLED; graph++)
            for (size_t i = 0; i < 3; i++) {
                problem_options options = PROBLEM_OPTIONS_INIT;
                options.graph = (reference_graph)graph;
                options.precision = (infl_precision)precision;
                options.activation = (infl_activation)_i;
                problem *q = problem_create(&options);
                check_jacobian(q, ks[i], precision == INFL_F32 ? 2e-5 : 1e-12);
                problem_destroy(q);
            }
}
END_TEST

START_TEST(test_jacobian_shapes) {
    static const struct {
        size_t features, width, rows, outputs;
    } shapes[] = {{1, 1, 1, 1}, {3, 1, 17, 2}, {3, 65, 17, 3}, {3, 5, 257, 3}, {17, 2, 16, 9}, {1, 4, 513, 1}};
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.n_features = shapes[_i].features;
    options.width = shapes[_i].width;
    options.n_rows = shapes[_i].rows;
    options.n_outputs = shapes[_i].outputs;
    options.loss = INFL_SQUARED_ERROR;
    options.depth = 1;
    problem *q = problem_create(&options);
    check_jacobian(q, 2, 1e-12);
    problem_destroy(q);
}
END_TEST

/*
 * An activation alone, y = φ(w x) with w = 1, from the smallest to the largest arguments: relative errors of a few
 * roundings of the value, or of the largest |φ| on the way where φ crosses zero or vanishes.
 */
START_TEST(test_activation_range) {
    enum { N = 2001 };
    double x[N], y[N], slope[N], one = 1.0;
    for (int i = 0; i < N; i++) {
        double t = (i - N / 2) / (double)(N / 2); /* −1 .. 1 */
        x[i] = (float)(t < 0 ? -1.0 : 1.0) * (float)(i % 2 ? 40.0 * fabs(t) : pow(10.0, 9.0 * fabs(t) - 6.0));
    }
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        double epsilon = precision == INFL_F32 ? FLT_EPSILON : DBL_EPSILON;
        infl_builder *builder = NULL;
        infl_model *model = NULL;
        infl_dataset *dataset = NULL;
        infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
        spec.n_rows = N;
        spec.n_features = 1;
        spec.features = x;
        spec.targets = x;
        spec.n_targets = 1;
        assert_ok(infl_dataset_create(&dataset, &spec));
        assert_ok(infl_builder_create(&builder, 1));
        infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, 1, 0, INFL_INIT_HE);
        node = infl_builder_activation(builder, node, (infl_activation)_i);
        assert_ok(infl_model_create(&model, builder, node, (infl_precision)precision, 1));
        assert_ok(infl_model_set_parameters(model, &one));
        assert_ok(infl_model_predict(model, dataset, y));
        assert_ok(infl_model_jvp(model, dataset, &one, 1, slope)); /* x φ'(x) */
        for (int i = 0; i < N; i++) {
            double v = x[i], phi = 0.0, derivative = 0.0;
            switch ((infl_activation)_i) {
            case INFL_IDENTITY:
                phi = v, derivative = 1.0;
                break;
            case INFL_TANH:
                phi = tanh(v), derivative = 1.0 / (cosh(fmin(fabs(v), 300.0)) * cosh(fmin(fabs(v), 300.0)));
                break;
            case INFL_SIGMOID:
                phi = 1.0 / (1.0 + exp(-v)), derivative = phi / (1.0 + exp(v));
                break;
            case INFL_RELU:
                phi = fmax(v, 0.0), derivative = v > 0.0;
                break;
            case INFL_SELU:
                phi = 1.0507009873554805 * (v > 0.0 ? v : 1.6732632423543772 * expm1(v));
                derivative = 1.0507009873554805 * (v > 0.0 ? 1.0 : 1.6732632423543772 * exp(v));
                break;
            case INFL_SOFTPLUS:
                phi = fmax(v, 0.0) + log1p(exp(-fabs(v))), derivative = 1.0 / (1.0 + exp(-v));
                break;
            case INFL_GELU:
                phi = 0.5 * v * erfc(-v / sqrt(2.0));
                derivative = 0.5 * erfc(-v / sqrt(2.0)) + v * exp(-0.5 * v * v) / sqrt(2.0 * acos(-1.0));
                break;
            }
            /* arguments beyond ±1 amplify a rounding by |x|: in tails that vanish, nothing smaller is asked for */
            double tail = (infl_activation)_i == INFL_GELU ? fmin(fabs(v), 1.0) : 0.0;
            double value_scale = fmax(fabs(phi), tail), slope_scale = fmax(fabs(v * derivative), fmin(fabs(v), 1.0));
            double tiny = precision == INFL_F32 ? 1e-36 : 1e-300;
            ck_assert_msg(fabs(y[i] - phi) <= 64.0 * epsilon * value_scale + tiny, "φ(%.9g) = %.17g, not %.17g, %s", v,
                          y[i], phi, precision == INFL_F32 ? "f32" : "f64");
            ck_assert_msg(fabs(slope[i] - v * derivative) <= 64.0 * epsilon * slope_scale + tiny,
                          "xφ'(%.9g) = %.17g, not %.17g, %s", v, slope[i], v * derivative,
                          precision == INFL_F32 ? "f32" : "f64");
        }
        infl_model_destroy(model);
        infl_builder_destroy(builder);
        infl_dataset_destroy(dataset);
    }
}
END_TEST

/* relu'(0) = 0 */
START_TEST(test_relu_at_zero) {
    double x = 0.0, w[2] = {1.0, 0.0}, tangent[2] = {0.0, 1.0}, out = 5.0;
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_dataset *dataset = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = spec.n_features = spec.n_targets = 1;
    spec.features = spec.targets = &x;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_builder_create(&builder, 1));
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, 1, 1, INFL_INIT_HE);
    assert_ok(infl_model_create(&model, builder, infl_builder_activation(builder, node, INFL_RELU), INFL_F64, 1));
    assert_ok(infl_model_set_parameters(model, w));
    assert_ok(infl_model_jvp(model, dataset, tangent, 1, &out));
    ck_assert_double_eq(out, 0.0);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
    infl_dataset_destroy(dataset);
}
END_TEST

/* A multilayer perceptron is what the builder makes of the same layers. */
START_TEST(test_mlp) {
    static const size_t units[] = {5, 4, 2};
    infl_builder *builder = NULL;
    infl_model *built = NULL, *model = mlp(INFL_F64, 9);
    infl_dataset *dataset = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    double theta[54], x[21], y[7] = {0}, a[14], b[14];
    uint64_t state = 1;
    for (int i = 0; i < 21; i++)
        x[i] = random_normal(&state);
    spec.n_rows = 7;
    spec.n_features = 3;
    spec.features = x;
    spec.targets = y;
    spec.n_targets = 1;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_builder_create(&builder, 3));
    infl_node node = INFL_NODE_INPUT;
    for (int i = 0; i < 3; i++) {
        node = infl_builder_dense(builder, node, units[i], 1, INFL_INIT_GLOROT);
        if (i < 2)
            node = infl_builder_activation(builder, node, INFL_TANH);
    }
    assert_ok(infl_model_create(&built, builder, node, INFL_F64, 1));
    assert_ok(infl_model_get_parameters(model, theta));
    assert_ok(infl_model_set_parameters(built, theta));
    assert_ok(infl_model_predict(model, dataset, a));
    assert_ok(infl_model_predict(built, dataset, b));
    assert_same_bits(a, b, 14, "the builder's");
    infl_model_destroy(built);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
    infl_dataset_destroy(dataset);

    model = NULL;
    infl_precision f64 = INFL_F64;
    static const size_t empty[] = {5, 0, 2};
    assert_fails(INFL_E_ARGUMENT, infl_model_create_mlp(NULL, f64, 3, units, 3, INFL_TANH, INFL_INIT_HE, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create_mlp(&model, f64, 3, NULL, 3, INFL_TANH, INFL_INIT_HE, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create_mlp(&model, f64, 3, units, 0, INFL_TANH, INFL_INIT_HE, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create_mlp(&model, f64, 0, units, 3, INFL_TANH, INFL_INIT_HE, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create_mlp(&model, f64, 3, empty, 3, INFL_TANH, INFL_INIT_HE, 1));
    infl_activation no_activation = (infl_activation)INFL_N_ACTIVATIONS;
    infl_initialiser no_initialiser = (infl_initialiser)(INFL_INIT_TRUNCATED_NORMAL_2 + 1);
    infl_precision no_precision = (infl_precision)2;
    assert_fails(INFL_E_ARGUMENT, infl_model_create_mlp(&model, f64, 3, units, 3, no_activation, INFL_INIT_HE, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create_mlp(&model, f64, 3, units, 3, INFL_TANH, no_initialiser, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create_mlp(&model, no_precision, 3, units, 3, INFL_TANH, INFL_INIT_HE, 1));
    ck_assert_ptr_null(model);
}
END_TEST

/* Layers that the output does not need are left out, and a builder makes any number of models. */
START_TEST(test_unreachable) {
    infl_builder *builder = NULL;
    infl_model *head = NULL, *trunk = NULL;
    assert_ok(infl_builder_create(&builder, 3));
    infl_node a = infl_builder_dense(builder, INFL_NODE_INPUT, 4, 1, INFL_INIT_HE);
    infl_node aside = infl_builder_dense(builder, a, 100, 1, INFL_INIT_HE);
    infl_node b = infl_builder_dense(builder, a, 2, 0, INFL_INIT_HE);
    assert_ok(infl_model_create(&head, builder, b, INFL_F64, 1));
    assert_ok(infl_model_create(&trunk, builder, aside, INFL_F64, 1));
    infl_builder_destroy(builder);
    ck_assert_uint_eq(infl_model_parameters(head), 16 + 8);
    ck_assert_uint_eq(infl_model_outputs(head), 2);
    ck_assert_uint_eq(infl_model_tensors(head), 3);
    check_tiling(head);
    ck_assert_uint_eq(infl_model_parameters(trunk), 16 + 500);
    ck_assert_uint_eq(infl_model_outputs(trunk), 100);
    check_tiling(trunk);
    infl_model_destroy(head);
    infl_model_destroy(trunk);
}
END_TEST

typedef infl_node (*wrong_call)(infl_builder *builder, infl_node dense4);

static infl_node no_units(infl_builder *builder, infl_node dense4) {
    return infl_builder_dense(builder, dense4, 0, 1, INFL_INIT_HE);
}
static infl_node no_such_node(infl_builder *builder, infl_node dense4) {
    return infl_builder_dense(builder, dense4 + 1, 3, 1, INFL_INIT_HE);
}
static infl_node negative_node(infl_builder *builder, infl_node dense4) {
    return infl_builder_dense(builder, -dense4 - 7, 3, 1, INFL_INIT_HE);
}
static infl_node no_such_initialiser(infl_builder *builder, infl_node dense4) {
    return infl_builder_dense(builder, dense4, 3, 1, (infl_initialiser)(INFL_INIT_TRUNCATED_NORMAL_2 + 1));
}
static infl_node activation_of_nothing(infl_builder *builder, infl_node dense4) {
    return infl_builder_activation(builder, dense4 + 100, INFL_TANH);
}
static infl_node no_such_activation(infl_builder *builder, infl_node dense4) {
    return infl_builder_activation(builder, dense4, (infl_activation)INFL_N_ACTIVATIONS);
}
static infl_node widths_differ(infl_builder *builder, infl_node dense4) {
    return infl_builder_add(builder, dense4, INFL_NODE_INPUT);
}
static infl_node second_missing(infl_builder *builder, infl_node dense4) {
    return infl_builder_add(builder, dense4, dense4 + 1);
}

START_TEST(test_builder_errors) {
    static const struct {
        wrong_call call;
        const char *name;
    } wrongs[] = {{no_units, "infl_builder_dense:"},
                  {no_such_node, "infl_builder_dense:"},
                  {negative_node, "infl_builder_dense:"},
                  {no_such_initialiser, "infl_builder_dense:"},
                  {activation_of_nothing, "infl_builder_activation:"},
                  {no_such_activation, "infl_builder_activation:"},
                  {widths_differ, "infl_builder_add:"},
                  {second_missing, "infl_builder_add:"}};
    char sentence[512];
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        infl_builder *builder = NULL;
        infl_model *model = NULL;
        assert_ok(infl_builder_create(&builder, 3));
        infl_node good = infl_builder_dense(builder, INFL_NODE_INPUT, 4, 1, INFL_INIT_HE);
        ck_assert_int_gt(good, 0);
        ck_assert_int_eq(wrongs[i].call(builder, good), INFL_NODE_INVALID);
        snprintf(sentence, sizeof sentence, "%s", infl_last_error());
        ck_assert_msg(strstr(sentence, wrongs[i].name) != NULL, "%zu: %s", i, sentence);
        /* all later calls fail, also good ones, and none replaces the first sentence */
        ck_assert_int_eq(infl_builder_dense(builder, good, 2, 1, INFL_INIT_HE), INFL_NODE_INVALID);
        ck_assert_int_eq(infl_builder_activation(builder, INFL_NODE_INVALID, INFL_TANH), INFL_NODE_INVALID);
        ck_assert_int_eq(infl_builder_add(builder, INFL_NODE_INVALID, good), INFL_NODE_INVALID);
        ck_assert_int_eq(infl_model_set_parameters(NULL, NULL), INFL_E_ARGUMENT);
        ck_assert_int_eq(infl_model_create(&model, builder, good, INFL_F64, 1), INFL_E_ARGUMENT);
        ck_assert_msg(strstr(infl_last_error(), wrongs[i].name) != NULL, "%s became %s", sentence, infl_last_error());
        ck_assert_msg(strstr(infl_last_error(), sentence) != NULL, "%s became %s", sentence, infl_last_error());
        ck_assert_ptr_null(model);
        infl_builder_destroy(builder);
    }
    infl_builder *builder = NULL, *untouched = NULL;
    infl_model *model = NULL;
    assert_fails(INFL_E_ARGUMENT, infl_builder_create(NULL, 3));
    assert_fails(INFL_E_ARGUMENT, infl_builder_create(&untouched, 0));
    ck_assert_ptr_null(untouched);
    infl_builder_destroy(NULL);
    ck_assert_int_eq(infl_builder_dense(NULL, INFL_NODE_INPUT, 3, 1, INFL_INIT_HE), INFL_NODE_INVALID);
    ck_assert_int_eq(infl_builder_activation(NULL, INFL_NODE_INPUT, INFL_TANH), INFL_NODE_INVALID);
    ck_assert_int_eq(infl_builder_add(NULL, INFL_NODE_INPUT, INFL_NODE_INPUT), INFL_NODE_INVALID);
    assert_ok(infl_builder_create(&builder, 3));
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, 2, 1, INFL_INIT_HE);
    assert_fails(INFL_E_ARGUMENT, infl_model_create(NULL, builder, node, INFL_F64, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create(&model, NULL, node, INFL_F64, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create(&model, builder, node + 1, INFL_F64, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create(&model, builder, INFL_NODE_INVALID, INFL_F64, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create(&model, builder, node, (infl_precision)2, 1));
    ck_assert_ptr_null(model);
    assert_ok(infl_model_create(&model, builder, node, INFL_F64, 1)); /* wrong arguments of create do not stick */
    infl_model_destroy(model);
    infl_builder_destroy(builder);
}
END_TEST

/* Sizes whose products do not fit: an error, whether the builder or the model's creation meets it. */
START_TEST(test_overflow) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 8, (SIZE_MAX >> 33) + 1};
    for (size_t i = 0; i < 4; i++) {
        infl_builder *builder = NULL;
        infl_model *model = NULL;
        assert_ok(infl_builder_create(&builder, (size_t)1 << 31));
        infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, sizes[i], 1, INFL_INIT_HE);
        if (node != INFL_NODE_INVALID) {
            node = infl_builder_dense(builder, node, sizes[i], 1, INFL_INIT_HE);
            infl_status status = infl_model_create(&model, builder, node, INFL_F64, 1);
            ck_assert_msg(status == INFL_E_MEMORY || status == INFL_E_ARGUMENT, "%s", infl_status_name(status));
        } else {
            ck_assert_int_ne(infl_model_create(&model, builder, INFL_NODE_INPUT, INFL_F64, 1), INFL_OK);
        }
        ck_assert_ptr_null(model);
        infl_builder_destroy(builder);
    }
}
END_TEST

START_TEST(test_parameters) {
    enum { P = 54 };
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        infl_model *model = mlp((infl_precision)precision, 3);
        double theta[P], before[P], after[P];
        for (size_t j = 0; j < P; j++)
            theta[j] = 0.1 * (double)j - 1.0;
        assert_ok(infl_model_set_parameters(model, theta));
        assert_ok(infl_model_get_parameters(model, before));
        for (size_t j = 0; j < P; j++)
            ck_assert(before[j] == (precision == INFL_F32 ? (double)(float)theta[j] : theta[j]));
        const double bad[] = {NAN, INFINITY, -INFINITY, 1e300};
        for (size_t b = 0; b < (precision == INFL_F32 ? 4u : 3u); b++)
            for (size_t at = 0; at < P; at += P - 1) {
                for (size_t j = 0; j < P; j++)
                    theta[j] = j == at ? bad[b] : 7.0;
                assert_fails(INFL_E_NONFINITE, infl_model_set_parameters(model, theta));
                assert_ok(infl_model_get_parameters(model, after));
                assert_same_bits(before, after, P, "after a refusal");
            }
        assert_fails(INFL_E_ARGUMENT, infl_model_set_parameters(model, NULL));
        assert_fails(INFL_E_ARGUMENT, infl_model_set_parameters(NULL, theta));
        assert_fails(INFL_E_ARGUMENT, infl_model_get_parameters(model, NULL));
        assert_fails(INFL_E_ARGUMENT, infl_model_get_parameters(NULL, theta));
        infl_model_destroy(model);
    }
}
END_TEST

START_TEST(test_bad_input) {
    problem_options options = PROBLEM_OPTIONS_INIT, wide = PROBLEM_OPTIONS_INIT;
    wide.n_features = 4;
    problem *q = problem_create(&options), *other = problem_create(&wide);
    size_t room = 4 * q->n * q->c + 4 * q->p;
    double *vectors = problem_room(q, room), *out = problem_room(q, room);
    fill_sentinel(out, room);
    assert_fails(INFL_E_ARGUMENT, infl_model_predict(NULL, q->dataset, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_predict(q->model, NULL, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_predict(q->model, q->dataset, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_model_predict(q->model, other->dataset, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_jvp(NULL, q->dataset, vectors, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_jvp(q->model, NULL, vectors, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_jvp(q->model, q->dataset, NULL, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_jvp(q->model, q->dataset, vectors, 1, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_model_jvp(q->model, q->dataset, vectors, 0, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_jvp(q->model, other->dataset, vectors, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_vjp(NULL, q->dataset, vectors, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_vjp(q->model, NULL, vectors, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_vjp(q->model, q->dataset, NULL, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_vjp(q->model, q->dataset, vectors, 1, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_model_vjp(q->model, q->dataset, vectors, 0, out));
    assert_fails(INFL_E_ARGUMENT, infl_model_vjp(q->model, other->dataset, vectors, 1, out));
    vectors[q->p - 1] = NAN;
    assert_fails(INFL_E_NONFINITE, infl_model_jvp(q->model, q->dataset, vectors, 1, out));
    vectors[q->p - 1] = 0.0;
    vectors[q->n * q->c - 1] = -INFINITY;
    assert_fails(INFL_E_NONFINITE, infl_model_vjp(q->model, q->dataset, vectors, 1, out));
    ck_assert(all_sentinel(out, room));
    problem_destroy(other);
    problem_destroy(q);
}
END_TEST

/* A linear model whose outputs are the row's features, so that the features say which class it finds. */
START_TEST(test_accuracy) {
    static const double features[] = {3, 1, 2, 0, 1, 0, 1, 1, 0, -1, -2, -0.5};
    static const double identity[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    static const int32_t labels[] = {0, 1, 1, 2};            /* right, right, wrong (of equals the first), right */
    static const double signs[] = {0.5, -0.5, 0.0, -0.0, 2}; /* class 1, 0, 0, 0, 1 */
    static const int32_t sign_labels[] = {1, 0, 0, 0, 0};
    const size_t units = 3, one = 1, rows[] = {0, 2, 2, 1, 0};
    double accuracy = -1.0;
    infl_builder *builder = NULL;
    infl_model *model = NULL, *single = NULL;
    infl_dataset *dataset = NULL, *view = NULL;
    assert_ok(infl_builder_create(&builder, 3));
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, units, 0, INFL_INIT_GLOROT);
    assert_ok(infl_model_create(&model, builder, node, INFL_F32, 1));
    infl_builder_destroy(builder);
    assert_ok(infl_model_set_parameters(model, identity));
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = 4;
    spec.n_features = 3;
    spec.features = features;
    spec.labels = labels;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_model_accuracy(model, dataset, &accuracy));
    ck_assert_double_eq(accuracy, 0.75);
    assert_ok(infl_dataset_subset(&view, dataset, rows, 5));
    assert_ok(infl_model_accuracy(model, view, &accuracy));
    ck_assert_double_eq(accuracy, 0.6);
    infl_dataset_destroy(view);
    infl_dataset_destroy(dataset);

    assert_ok(infl_model_create_mlp(&single, INFL_F64, 1, &one, 1, INFL_IDENTITY, INFL_INIT_HE, 1));
    assert_ok(infl_model_set_parameters(single, (const double[]){1.0, 0.0}));
    spec.n_rows = 5;
    spec.n_features = 1;
    spec.features = signs;
    spec.labels = sign_labels;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_model_accuracy(single, dataset, &accuracy));
    ck_assert_double_eq(accuracy, 0.8);

    accuracy = -1.0;
    assert_fails(INFL_E_ARGUMENT, infl_model_accuracy(NULL, dataset, &accuracy));
    assert_fails(INFL_E_ARGUMENT, infl_model_accuracy(single, NULL, &accuracy));
    assert_fails(INFL_E_ARGUMENT, infl_model_accuracy(single, dataset, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_model_accuracy(model, dataset, &accuracy)); /* 1 feature for 3 inputs */
    infl_dataset_destroy(dataset);
    spec.n_classes = 3;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_fails(INFL_E_ARGUMENT, infl_model_accuracy(single, dataset, &accuracy));
    infl_dataset_destroy(dataset);
    spec.labels = NULL;
    spec.targets = signs;
    spec.n_targets = 1;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_fails(INFL_E_ARGUMENT, infl_model_accuracy(single, dataset, &accuracy));
    infl_dataset_destroy(dataset);
    spec.n_features = 3;
    spec.n_rows = 4;
    spec.features = features;
    spec.labels = labels;
    spec.targets = NULL;
    spec.n_classes = 4;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_fails(INFL_E_ARGUMENT, infl_model_accuracy(model, dataset, &accuracy));
    ck_assert_double_eq(accuracy, -1.0);
    infl_dataset_destroy(dataset);
    infl_model_destroy(single);
    infl_model_destroy(model);
}
END_TEST

/* Windows and inputs so large that sizes would wrap are refused. */
START_TEST(test_windows_beyond_memory) {
    static const struct {
        size_t kernel, stride, padding;
    } wrongs[] = {{(size_t)1 << 32, 1, (size_t)1 << 31}, {1, SIZE_MAX, 0}, {1, SIZE_MAX - 2, 1}, {3, 1, SIZE_MAX / 8}};
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        infl_builder *builder = NULL;
        infl_conv2d conv = INFL_CONV2D_INIT;
        conv.channels = 1;
        for (int axis = 0; axis < 2; axis++) {
            conv.kernel[axis] = wrongs[i].kernel;
            conv.stride[axis] = wrongs[i].stride;
            conv.padding[axis] = wrongs[i].padding;
        }
        assert_ok(infl_builder_create_image(&builder, 1, 4, 4));
        ck_assert_msg(infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv) == INFL_NODE_INVALID, "window %zu", i);
        infl_builder_destroy(builder);
    }
    infl_builder *none = NULL;
    assert_fails(INFL_E_ARGUMENT, infl_builder_create(&none, SIZE_MAX));
    ck_assert_ptr_null(none);
}
END_TEST

/* What a node gives; after an error that sticks, that error. */
START_TEST(test_shapes) {
    infl_builder *builder = NULL;
    size_t channels = 7, height = 7, width = 7;
    infl_conv2d conv = INFL_CONV2D_INIT;
    conv.channels = 5;
    conv.kernel[0] = 3;
    conv.stride[1] = 2;
    assert_ok(infl_builder_create_image(&builder, 2, 9, 8));
    infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv);
    assert_ok(infl_builder_shape(builder, INFL_NODE_INPUT, &channels, NULL, &width));
    ck_assert(channels == 2 && height == 7 && width == 8);
    assert_ok(infl_builder_shape(builder, node, &channels, &height, &width));
    ck_assert(channels == 5 && height == 7 && width == 4);
    assert_fails(INFL_E_ARGUMENT, infl_builder_shape(builder, node + 1, &channels, &height, &width));
    assert_fails(INFL_E_ARGUMENT, infl_builder_shape(NULL, node, &channels, &height, &width));
    infl_builder_dense(builder, node, 0, 1, INFL_INIT_HE);
    ck_assert_int_eq(infl_builder_shape(builder, node, &channels, &height, &width), INFL_E_ARGUMENT);
    ck_assert_msg(strstr(infl_last_error(), "units is 0") != NULL, "%s", infl_last_error());
    ck_assert(channels == 5 && height == 7 && width == 4);
    infl_builder_destroy(builder);
}
END_TEST

Suite *model_suite(void) {
    Suite *suite = suite_create("model");
    add_case(suite, "model/shapes", test_shapes, 1);
    add_case(suite, "model/windows-beyond-memory", test_windows_beyond_memory, 1);
    add_case(suite, "model/tensors", test_tensors, 1);
    add_case(suite, "model/initialisers", test_initialisers, 5);
    add_case(suite, "model/seeds", test_seeds, 1);
    add_case(suite, "model/clone", test_clone, 1);
    add_case(suite, "model/jacobian", test_jacobian, INFL_N_ACTIVATIONS);
    add_case(suite, "model/jacobian/shapes", test_jacobian_shapes, 6);
    add_case(suite, "model/activation/range", test_activation_range, INFL_N_ACTIVATIONS);
    add_case(suite, "model/activation/relu-at-zero", test_relu_at_zero, 1);
    add_case(suite, "model/mlp", test_mlp, 1);
    add_case(suite, "model/unreachable", test_unreachable, 1);
    add_case(suite, "model/builder-errors", test_builder_errors, 1);
    add_case(suite, "model/overflow", test_overflow, 1);
    add_case(suite, "model/parameters", test_parameters, 1);
    add_case(suite, "model/bad-input", test_bad_input, 1);
    add_case(suite, "model/accuracy", test_accuracy, 1);
    return suite;
}

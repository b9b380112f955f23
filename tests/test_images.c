/* Convolution and pooling: values against naive loops over random shapes, derivatives against differences. */
#include <math.h>
#include <stdlib.h>

#include "reference.h"
#include "suites.h"

/* A reproducible number in (−1, 1). */
static double noise(size_t seed, size_t index) {
    uint64_t bits = (uint64_t)(seed + 1) * 0x9E3779B97F4A7C15u ^ (uint64_t)(index + 1) * 0xD1B54A32D192ED03u;
    bits = (bits ^ bits >> 29) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ bits >> 32) * 0x94D049BB133111EBu;
    return (double)(bits >> 11) * 0x1p-52 - 1.0;
}

static infl_dataset *random_images(size_t n, size_t width, size_t classes, size_t seed) {
    double *x = malloc(n * width * sizeof *x);
    int32_t *labels = malloc(n * sizeof *labels);
    infl_dataset *dataset = NULL;
    for (size_t i = 0; i < n * width; i++)
        x[i] = noise(seed, i);
    for (size_t i = 0; i < n; i++)
        labels[i] = (int32_t)(i % classes);
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = n;
    spec.n_features = width;
    spec.features = x;
    spec.labels = labels;
    spec.n_classes = classes;
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(x);
    free(labels);
    return dataset;
}

typedef struct window_case {
    size_t channels, height, width, units, kernel[2], stride[2], padding[2], groups;
} window_case;

static const window_case cases[] = {
    {1, 1, 1, 1, {1, 1}, {1, 1}, {0, 0}, 1}, {3, 7, 5, 4, {3, 3}, {1, 1}, {1, 1}, 1},
    {2, 6, 9, 9, {3, 2}, {2, 3}, {1, 0}, 1}, {6, 5, 5, 4, {1, 1}, {1, 1}, {0, 0}, 2},
    {4, 8, 6, 6, {5, 3}, {1, 2}, {2, 1}, 2}, {5, 4, 4, 5, {2, 4}, {2, 1}, {0, 2}, 5},
    {8, 9, 9, 17, {3, 3}, {2, 2}, {0, 0}, 1}, {2, 3, 3, 3, {7, 7}, {1, 1}, {3, 3}, 1},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static size_t extent(size_t in, size_t kernel, size_t stride, size_t padding) {
    return (in + 2 * padding - kernel) / stride + 1;
}

/* The pixel of a padded image, by the definition; 0 outside. */
static double pixel(const window_case *c, const double *x, size_t channel, size_t row, size_t column) {
    if (row < c->padding[0] || column < c->padding[1] || row - c->padding[0] >= c->height ||
        column - c->padding[1] >= c->width)
        return 0.0;
    return x[(channel * c->height + row - c->padding[0]) * c->width + column - c->padding[1]];
}

static infl_conv2d conv_of(const window_case *c) {
    infl_conv2d conv = INFL_CONV2D_INIT;
    conv.channels = c->units;
    conv.groups = c->groups;
    memcpy(conv.kernel, c->kernel, sizeof conv.kernel);
    memcpy(conv.stride, c->stride, sizeof conv.stride);
    memcpy(conv.padding, c->padding, sizeof conv.padding);
    return conv;
}

START_TEST(test_convolution) {
    const window_case *c = &cases[_i];
    enum { N = 19 };
    size_t in = c->channels * c->height * c->width, per_group = c->channels / c->groups, taps = c->kernel[0] * c->kernel[1];
    size_t rows = extent(c->height, c->kernel[0], c->stride[0], c->padding[0]);
    size_t columns = extent(c->width, c->kernel[1], c->stride[1], c->padding[1]), out = c->units * rows * columns;
    infl_conv2d conv = conv_of(c);
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    assert_ok(infl_builder_create_image(&builder, c->channels, c->height, c->width));
    infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv);
    assert_ok(infl_model_create(&model, builder, node, INFL_F64, 3));
    size_t p = infl_model_parameters(model);
    ck_assert_uint_eq(p, c->units * per_group * taps + c->units);
    ck_assert_uint_eq(infl_model_outputs(model), out);
    double *theta = malloc(p * sizeof *theta), *expected = malloc(N * out * sizeof *expected);
    double *got = malloc(N * out * sizeof *got), *x = malloc(in * sizeof *x);
    for (size_t i = 0; i < p; i++)
        theta[i] = noise(7, i);
    assert_ok(infl_model_set_parameters(model, theta));
    infl_dataset *dataset = random_images(N, in, 2, 11);
    for (size_t b = 0; b < N; b++) {
        assert_ok(infl_dataset_get(dataset, b, x, NULL));
        for (size_t o = 0; o < out; o++) {
            size_t unit = o / (rows * columns), i = o / columns % rows, j = o % columns;
            size_t group = unit / (c->units / c->groups);
            double sum = theta[c->units * per_group * taps + unit];
            for (size_t k = 0; k < per_group; k++)
                for (size_t u = 0; u < c->kernel[0]; u++)
                    for (size_t v = 0; v < c->kernel[1]; v++)
                        sum += theta[((unit * per_group + k) * c->kernel[0] + u) * c->kernel[1] + v] *
                               pixel(c, x, group * per_group + k, i * c->stride[0] + u, j * c->stride[1] + v);
            expected[b * out + o] = sum;
        }
    }
    assert_ok(infl_model_predict(model, dataset, got));
    /* sums of at most 99 products of numbers below 1 */
    for (size_t i = 0; i < N * out; i++)
        ck_assert_msg(fabs(got[i] - expected[i]) <= 99 * 1.2e-16 * 99, "output %zu: %.17g, not %.17g", i, got[i],
                      expected[i]);
    infl_dataset_destroy(dataset);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
    free(theta);
    free(expected);
    free(got);
    free(x);
}
END_TEST

/* Both pools of the cases whose padding a pool may have, behind a 1×1 convolution that is the identity. */
START_TEST(test_pools) {
    const window_case *c = &cases[_i];
    enum { N = 5 };
    if (c->padding[0] > c->kernel[0] / 2 || c->padding[1] > c->kernel[1] / 2)
        return;
    size_t in = c->channels * c->height * c->width, rows = extent(c->height, c->kernel[0], c->stride[0], c->padding[0]);
    size_t columns = extent(c->width, c->kernel[1], c->stride[1], c->padding[1]), out = c->channels * rows * columns;
    infl_dataset *dataset = random_images(N, in, 2, 12);
    double *got = malloc(N * out * sizeof *got), *x = malloc(in * sizeof *x);
    for (int largest = 0; largest < 2; largest++) {
        infl_conv2d identity = INFL_CONV2D_INIT;
        identity.channels = identity.groups = c->channels;
        identity.bias = 0;
        infl_pool2d pool = INFL_POOL2D_INIT;
        memcpy(pool.kernel, c->kernel, sizeof pool.kernel);
        memcpy(pool.stride, c->stride, sizeof pool.stride);
        memcpy(pool.padding, c->padding, sizeof pool.padding);
        infl_builder *builder = NULL;
        infl_model *model = NULL;
        assert_ok(infl_builder_create_image(&builder, c->channels, c->height, c->width));
        infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &identity);
        node = (largest ? infl_builder_max_pool2d : infl_builder_average_pool2d)(builder, node, &pool);
        assert_ok(infl_model_create(&model, builder, node, INFL_F64, 3));
        double ones[8];
        for (size_t i = 0; i < c->channels; i++)
            ones[i] = 1.0;
        assert_ok(infl_model_set_parameters(model, ones));
        assert_ok(infl_model_predict(model, dataset, got));
        for (size_t b = 0; b < N; b++) {
            assert_ok(infl_dataset_get(dataset, b, x, NULL));
            for (size_t o = 0; o < out; o++) {
                size_t channel = o / (rows * columns), i = o / columns % rows, j = o % columns;
                double best = -INFINITY, sum = 0.0;
                for (size_t u = 0; u < c->kernel[0]; u++)
                    for (size_t v = 0; v < c->kernel[1]; v++) {
                        double value = pixel(c, x, channel, i * c->stride[0] + u, j * c->stride[1] + v);
                        sum += value;
                        if (value != 0.0) /* padding; no pixel is exactly 0 */
                            best = fmax(best, value);
                    }
                double expected = largest ? best : sum / (double)(c->kernel[0] * c->kernel[1]);
                ck_assert_double_le(fabs(got[b * out + o] - expected), largest ? 0.0 : 49 * 1.2e-16);
            }
        }
        infl_model_destroy(model);
        infl_builder_destroy(builder);
    }
    infl_dataset_destroy(dataset);
    free(got);
    free(x);
}
END_TEST

/* Networks whose every layer has another one above and below it. */
static infl_model *network(int which, infl_precision precision) {
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_conv2d conv = INFL_CONV2D_INIT;
    infl_pool2d pool = INFL_POOL2D_INIT;
    assert_ok(infl_builder_create_image(&builder, 2, 7, 6));
    conv.channels = 4;
    conv.kernel[0] = conv.kernel[1] = 3;
    conv.padding[0] = conv.padding[1] = 1;
    infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv);
    node = infl_builder_activation(builder, node, INFL_TANH);
    if (which == 0) { /* strides, groups, dense on an image */
        conv.stride[0] = 2;
        conv.stride[1] = 3;
        conv.groups = 2;
        conv.channels = 6;
        node = infl_builder_activation(builder, infl_builder_conv2d(builder, node, &conv), INFL_SOFTPLUS);
    } else if (which == 1) { /* overlapping largest of a padded image, then a residual block */
        pool.kernel[0] = 3;
        pool.stride[0] = pool.stride[1] = 2;
        pool.padding[0] = 1;
        infl_node pooled = infl_builder_max_pool2d(builder, node, &pool);
        conv.bias = 0;
        node = infl_builder_activation(builder, infl_builder_conv2d(builder, pooled, &conv), INFL_TANH);
        node = infl_builder_add(builder, node, pooled);
    } else { /* averages, global too */
        pool.stride[0] = 1;
        node = infl_builder_average_pool2d(builder, node, &pool);
        node = infl_builder_activation(builder, infl_builder_conv2d(builder, node, &conv), INFL_TANH);
        node = infl_builder_global_average_pool(builder, node);
    }
    node = infl_builder_dense(builder, node, 3, 1, INFL_INIT_GLOROT);
    assert_ok(infl_model_create(&model, builder, node, precision, (uint64_t)which + 5));
    infl_builder_destroy(builder);
    return model;
}

enum { N_NETWORKS = 3 };

static infl_objective *objective_of(infl_model *model, const infl_dataset *dataset, int threads) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *objective = NULL;
    options.decay = 0.01;
    options.threads = threads;
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
    return objective;
}

static void step(infl_objective *objective, const double *theta, const double *v, double h, double *value,
                 double *gradient) {
    size_t p = infl_objective_parameters(objective);
    double *moved = malloc(p * sizeof *moved);
    for (size_t i = 0; i < p; i++)
        moved[i] = theta[i] + h * v[i];
    assert_ok(infl_objective_set_parameters(objective, moved));
    assert_ok(infl_objective_evaluate(objective, value, gradient));
    assert_ok(infl_objective_set_parameters(objective, theta));
    free(moved);
}

static double norm(const double *x, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

enum { N_ROWS = 21 };
static const double H = 1e-6; /* of the central differences */

/*
 * Kinks are excluded by rule: before the padded, overlapping pool of network 1 (its first layers alone are built here, the
 * start of θ being theirs) the two largest pixels of every window must differ by more than a step of H can move them
 * towards each other: a pixel is tanh of a sum of 18 inputs below 1 times weights that move by H, and a bias.
 */
static int far_from_ties(const infl_dataset *dataset, const double *theta) {
    enum { CHANNELS = 4, HEIGHT = 7, WIDTH = 6 };
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_conv2d conv = INFL_CONV2D_INIT;
    conv.channels = CHANNELS;
    conv.kernel[0] = conv.kernel[1] = 3;
    conv.padding[0] = conv.padding[1] = 1;
    assert_ok(infl_builder_create_image(&builder, 2, HEIGHT, WIDTH));
    infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv);
    node = infl_builder_activation(builder, node, INFL_TANH);
    assert_ok(infl_model_create(&model, builder, node, INFL_F64, 1));
    assert_ok(infl_model_set_parameters(model, theta));
    double *y = malloc(N_ROWS * CHANNELS * HEIGHT * WIDTH * sizeof *y), least = INFINITY;
    assert_ok(infl_model_predict(model, dataset, y));
    for (size_t image = 0; image < N_ROWS * CHANNELS; image++)
        for (size_t row = 0; row + 2 < HEIGHT + 2; row += 2)
            for (size_t column = 0; column + 1 < WIDTH; column += 2) {
                double first = -INFINITY, second = -INFINITY;
                for (size_t tap = 0; tap < 6; tap++) {
                    size_t i = row + tap / 2, j = column + tap % 2;
                    if (i < 1 || i > HEIGHT)
                        continue;
                    double v = y[(image * HEIGHT + i - 1) * WIDTH + j];
                    second = fmax(second, fmin(v, first));
                    first = fmax(first, v);
                }
                least = fmin(least, first - second);
            }
    free(y);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
    return least > 2 * 19 * H;
}

/* Central differences: an error of H² times a third derivative and of 1e-16/H·(a value of order 1), so 1e-10 or so. */
START_TEST(test_derivatives) {
    enum { K = 3 };
    infl_dataset *dataset = random_images(N_ROWS, 2 * 7 * 6, 3, 21);
    infl_model *model = network(_i, INFL_F64);
    infl_objective *objective = objective_of(model, dataset, 1);
    size_t p = infl_objective_parameters(objective);
    double *theta = malloc(p * sizeof *theta), *g = malloc(p * sizeof *g), *plus = malloc(p * sizeof *plus);
    double *minus = malloc(p * sizeof *minus), *v = malloc(K * p * sizeof *v), *hv = malloc(K * p * sizeof *hv);
    double *one = malloc(p * sizeof *one), value, up, down;
    assert_ok(infl_objective_get_parameters(objective, theta));
    size_t draw = 30;
    do {
        ck_assert_uint_lt(++draw, 50);
        for (size_t i = 0; i < p; i++)
            one[i] = theta[i] + 0.1 * noise(draw, i);
    } while (_i == 1 && !far_from_ties(dataset, one));
    memcpy(theta, one, p * sizeof *theta);
    assert_ok(infl_objective_set_parameters(objective, theta));
    assert_ok(infl_objective_evaluate(objective, &value, g));
    for (size_t i = 0; i < K * p; i++)
        v[i] = noise(41, i);
    assert_ok(infl_objective_product(objective, INFL_HESSIAN, v, K, hv));
    for (size_t j = 0; j < K; j++) {
        double along = 0.0, error = 0.0;
        step(objective, theta, v + j * p, H, &up, plus);
        step(objective, theta, v + j * p, -H, &down, minus);
        for (size_t i = 0; i < p; i++) {
            double difference = (plus[i] - minus[i]) / (2 * H) - hv[j * p + i];
            along += g[i] * v[j * p + i];
            error += difference * difference;
        }
        ck_assert_msg(fabs((up - down) / (2 * H) - along) <= 1e-6 * fabs(along), "gradient along %zu", j);
        ck_assert_msg(sqrt(error) <= 1e-6 * norm(hv + j * p, p), "Hv %zu: off by %g of %g", j, sqrt(error),
                      norm(hv + j * p, p));
        assert_ok(infl_objective_product(objective, INFL_HESSIAN, v + j * p, 1, one));
        for (size_t i = 0; i < p; i++)
            ck_assert_double_le(fabs(one[i] - hv[j * p + i]), 1e-13 * norm(one, p));
    }
    double uhv = 0.0, vhu = 0.0;
    for (size_t i = 0; i < p; i++) {
        uhv += v[i] * hv[p + i];
        vhu += v[p + i] * hv[i];
    }
    ck_assert_double_le(fabs(uhv - vhu), 1e-12 * norm(v, p) * norm(hv, p));
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
    free(theta);
    free(g);
    free(plus);
    free(minus);
    free(v);
    free(hv);
    free(one);
}
END_TEST

/* Row gradients, products with them and weighted sums agree; f32 follows f64; threads change no bit. */
START_TEST(test_rows_of_images) {
    enum { N = 150, K = 2 };
    infl_dataset *dataset = random_images(N, 2 * 7 * 6, 3, 22);
    infl_model *model = network(_i, INFL_F64), *single = network(_i, INFL_F32);
    infl_objective *objective = objective_of(model, dataset, 1), *f32 = objective_of(single, dataset, 1);
    infl_objective *threads = objective_of(model, dataset, 5);
    size_t p = infl_objective_parameters(objective);
    double *rows = malloc(N * p * sizeof *rows), *v = malloc(K * p * sizeof *v), *products = malloc(N * K * sizeof *v);
    double *weights = malloc(K * N * sizeof *weights), *sums = malloc(K * p * sizeof *sums);
    double *a = malloc(K * p * sizeof *a), *b = malloc(K * p * sizeof *b);
    for (size_t i = 0; i < K * p; i++)
        v[i] = noise(42, i);
    for (size_t i = 0; i < K * N; i++)
        weights[i] = noise(43, i);
    assert_ok(infl_objective_row_gradients(objective, NULL, 0, rows));
    assert_ok(infl_objective_row_products(objective, NULL, 0, v, K, products));
    assert_ok(infl_objective_weighted_gradients(objective, NULL, 0, weights, K, sums));
    for (size_t j = 0; j < K; j++) {
        for (size_t i = 0; i < N; i++) {
            double dot = 0.0;
            for (size_t l = 0; l < p; l++)
                dot += rows[i * p + l] * v[j * p + l];
            ck_assert_double_le(fabs(dot - products[i * K + j]), 1e-13 * norm(rows + i * p, p) * norm(v + j * p, p));
        }
        for (size_t l = 0; l < p; l++) {
            double sum = 0.0;
            for (size_t i = 0; i < N; i++)
                sum += weights[j * N + i] * rows[i * p + l];
            ck_assert_double_le(fabs(sum - sums[j * p + l]), 1e-12 * norm(sums + j * p, p));
        }
    }
    for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++) {
        assert_ok(infl_objective_product(objective, (infl_curvature_kind)kind, v, K, a));
        assert_ok(infl_objective_product(threads, (infl_curvature_kind)kind, v, K, b));
        ck_assert_int_eq(memcmp(a, b, K * p * sizeof *a), 0);
        assert_ok(infl_objective_product(f32, (infl_curvature_kind)kind, v, K, b));
        for (size_t i = 0; i < K * p; i++)
            ck_assert_double_le(fabs(a[i] - b[i]), 1e-4 * norm(a, K * p));
    }
    infl_objective_destroy(objective);
    infl_objective_destroy(threads);
    infl_objective_destroy(f32);
    infl_model_destroy(model);
    infl_model_destroy(single);
    infl_dataset_destroy(dataset);
    free(rows);
    free(v);
    free(products);
    free(weights);
    free(sums);
    free(a);
    free(b);
}
END_TEST

/* Koh & Liang's network for MNIST: five 3×3 convolutions without padding, every second with stride 2, a 1×1 convolution,
 * the mean over the image, a dense layer: 2,616 parameters. */
START_TEST(test_koh_liang) {
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_conv2d conv = INFL_CONV2D_INIT;
    assert_ok(infl_builder_create_image(&builder, 1, 28, 28));
    infl_node node = INFL_NODE_INPUT;
    for (int i = 0; i < 6; i++) {
        conv.channels = i < 5 ? 8 : 10;
        conv.kernel[0] = conv.kernel[1] = i < 5 ? 3 : 1;
        conv.stride[0] = conv.stride[1] = i == 1 || i == 3 ? 2 : 1;
        node = infl_builder_activation(builder, infl_builder_conv2d(builder, node, &conv), INFL_TANH);
    }
    node = infl_builder_dense(builder, infl_builder_global_average_pool(builder, node), 10, 1, INFL_INIT_LECUN);
    assert_ok(infl_model_create(&model, builder, node, INFL_F32, 1));
    ck_assert_uint_eq(infl_model_parameters(model), 2616);
    infl_tensor tensor;
    assert_ok(infl_model_tensor(model, 2, &tensor));
    ck_assert_str_eq(tensor.name, "conv2d2.weight");
    ck_assert_uint_eq(tensor.n_dims, 4);
    ck_assert(tensor.dims[0] == 8 && tensor.dims[1] == 8 && tensor.dims[2] == 3 && tensor.dims[3] == 3);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
}
END_TEST

/* Shapes that cannot be: each leaves a sentence that begins with the function's name. */
START_TEST(test_refused_images) {
    static const char *const parts[] = {"channels is 0", "options is NULL", "kernel 0",  "does not fit", "groups is 3",
                                        "at most half",  "does not fit",    "must be the same", "initialiser 9"};
    infl_builder *builder = NULL;
    assert_fails(INFL_E_ARGUMENT, infl_builder_create_image(NULL, 1, 2, 2));
    assert_fails(INFL_E_ARGUMENT, infl_builder_create_image(&builder, 1, 0, 2));
    assert_fails(INFL_E_ARGUMENT, infl_builder_create_image(&builder, SIZE_MAX / 4, 8, 8));
    ck_assert_ptr_null(builder);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        infl_model *model = NULL;
        infl_conv2d conv = INFL_CONV2D_INIT;
        infl_pool2d pool = INFL_POOL2D_INIT;
        conv.channels = i == 0 ? 0 : 4;
        conv.kernel[0] = i == 2 ? 0 : i == 3 ? 9 : 1;
        conv.groups = i == 4 ? 3 : 1;
        conv.initialiser = i == 8 ? (infl_initialiser)9 : INFL_INIT_HE;
        pool.padding[1] = i == 5 ? 2 : 0;
        pool.kernel[0] = i == 6 ? 7 : 2;
        assert_ok(infl_builder_create_image(&builder, 2, 4, 4));
        infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, i == 1 ? NULL : &conv);
        if (i == 5 || i == 6)
            node = infl_builder_max_pool2d(builder, node, &pool);
        if (i == 7)
            node = infl_builder_add(builder, node, INFL_NODE_INPUT);
        ck_assert_int_eq(node, INFL_NODE_INVALID);
        ck_assert_int_eq(infl_model_create(&model, builder, node, INFL_F64, 1), INFL_E_ARGUMENT);
        ck_assert_msg(strstr(infl_last_error(), parts[i]) != NULL, "no '%s' in: %s", parts[i], infl_last_error());
        ck_assert_msg(strncmp(infl_last_error(), "infl_builder_", 13) == 0, "%s", infl_last_error());
        infl_builder_destroy(builder);
        builder = NULL;
    }
}
END_TEST

Suite *images_suite(void) {
    Suite *suite = suite_create("images");
    add_case(suite, "images/convolution", test_convolution, N_CASES);
    add_case(suite, "images/pools", test_pools, N_CASES);
    add_case(suite, "images/derivatives", test_derivatives, N_NETWORKS);
    add_case(suite, "images/rows", test_rows_of_images, N_NETWORKS);
    add_case(suite, "images/koh-liang", test_koh_liang, 1);
    add_case(suite, "images/refused", test_refused_images, 1);
    return suite;
}

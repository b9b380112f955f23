/*
 * Networks on images as a whole: derivatives against differences, layers that share their input, the same bits however
 * the work is cut up. (What a single layer computes: test_products.c.)
 */
#include <math.h>
#include <stdlib.h>

#include "network.h"
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

static infl_objective *objective_of(infl_model *model, const infl_dataset *dataset, int threads, double decay) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *objective = NULL;
    options.decay = decay;
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
    infl_objective *objective = objective_of(model, dataset, 1, 0.01);
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
    infl_objective *objective = objective_of(model, dataset, 1, 0.01), *f32 = objective_of(single, dataset, 1, 0.01);
    infl_objective *threads = objective_of(model, dataset, 5, 0.01);
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

/*
 * A layer whose input has another user behind it adds its cotangent to what that one has left there. Its twin has
 * nothing to add to: what is shared stands there twice, with the same numbers, and both gradients together are the one
 * looked for.
 */
enum {
    DENSE_LAYER = INFL_N_ACTIVATIONS, /* those below are the activations */
    CONVOLUTION,
    SUM,
    MAX_POOL,
    AVERAGE_POOL,
    BATCH_NORM,
    DROPOUT,
    N_SHARING
};

static infl_node padded_convolution(infl_builder *builder, infl_node input) {
    infl_conv2d conv = INFL_CONV2D_INIT;
    conv.channels = 3;
    conv.kernel[0] = conv.kernel[1] = 3;
    conv.padding[0] = conv.padding[1] = 1;
    return infl_builder_conv2d(builder, input, &conv);
}

static infl_node sharing_layer(infl_builder *builder, int which, infl_node a, infl_node b) {
    infl_pool2d pool = INFL_POOL2D_INIT;
    for (int axis = 0; axis < 2; axis++) {
        pool.kernel[axis] = 3;
        pool.stride[axis] = pool.padding[axis] = 1;
    }
    switch (which) {
    case DENSE_LAYER:
        return infl_builder_dense(builder, a, 5, 1, INFL_INIT_GLOROT);
    case CONVOLUTION:
        return padded_convolution(builder, a);
    case SUM:
        return infl_builder_add(builder, a, b);
    case MAX_POOL:
        return infl_builder_max_pool2d(builder, a, &pool);
    case AVERAGE_POOL:
        return infl_builder_average_pool2d(builder, a, &pool);
    case BATCH_NORM:
        return infl_builder_batch_norm(builder, a, NULL);
    case DROPOUT:
        return infl_builder_dropout(builder, a, 0.4);
    default:
        return infl_builder_activation(builder, a, (infl_activation)which);
    }
}

/* own: parameters up to and including the layer. */
static infl_model *sharing(int which, int twin, infl_precision precision, size_t *own) {
    infl_builder *builder = NULL;
    infl_model *model = NULL, *part = NULL;
    assert_ok(infl_builder_create_image(&builder, 2, 4, 3));
    infl_node a = padded_convolution(builder, INFL_NODE_INPUT);
    infl_node b = which == SUM ? padded_convolution(builder, INFL_NODE_INPUT) : a;
    infl_node node = sharing_layer(builder, which, a, b);
    assert_ok(infl_model_create(&part, builder, node, precision, 1));
    *own = infl_model_parameters(part);
    if (twin) {
        a = padded_convolution(builder, INFL_NODE_INPUT);
        b = which == SUM ? padded_convolution(builder, INFL_NODE_INPUT) : a;
    }
    infl_node user =
        which == DENSE_LAYER ? infl_builder_dense(builder, a, 5, 1, INFL_INIT_GLOROT) : padded_convolution(builder, a);
    if (which == SUM)
        user = infl_builder_add(builder, user, padded_convolution(builder, b));
    node = infl_builder_dense(builder, infl_builder_add(builder, node, user), 3, 1, INFL_INIT_GLOROT);
    assert_ok(infl_model_create(&model, builder, node, precision, 1));
    infl_model_destroy(part);
    infl_builder_destroy(builder);
    return model;
}

/* Parameters of a model and of its twin, which has the first q again behind the first `own`. */
typedef struct twins {
    size_t p, q, own;
} twins;

static void spread(const twins *t, const double *of_model, double *of_twin) {
    memcpy(of_twin, of_model, t->own * sizeof *of_twin);
    memcpy(of_twin + t->own, of_model, t->q * sizeof *of_twin);
    memcpy(of_twin + t->own + t->q, of_model + t->own, (t->p - t->own) * sizeof *of_twin);
}

static void gather(const twins *t, const double *of_twin, double *of_model) {
    memcpy(of_model, of_twin, t->own * sizeof *of_model);
    memcpy(of_model + t->own, of_twin + t->own + t->q, (t->p - t->own) * sizeof *of_model);
    for (size_t i = 0; i < t->q; i++)
        of_model[i] += of_twin[t->own + i];
}

START_TEST(test_sharing) {
    enum { N = 19, VECTORS = 3 };
    infl_dataset *dataset = random_images(N, 2 * 4 * 3, 3, 51);
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        twins t;
        infl_model *models[2];
        infl_objective *objectives[2];
        for (int twin = 0; twin < 2; twin++) {
            models[twin] = sharing(_i, twin, (infl_precision)precision, &t.own);
            objectives[twin] = objective_of(models[twin], dataset, 1, 0.0);
        }
        t.p = infl_model_parameters(models[0]);
        t.q = infl_model_parameters(models[1]) - t.p;
        size_t both = t.p + t.q;
        double *theta = malloc(t.p * sizeof *theta), *v = malloc(VECTORS * t.p * sizeof *v);
        double *theta_twin = malloc(both * sizeof *v), *v_twin = malloc(VECTORS * both * sizeof *v);
        double *got = malloc(VECTORS * t.p * sizeof *got), *expected = malloc(VECTORS * t.p * sizeof *got);
        double *of_twin = malloc(VECTORS * both * sizeof *of_twin), *rows = malloc(N * t.p * sizeof *rows);
        double *rows_twin = malloc(N * both * sizeof *rows), weights[VECTORS * N], state[2][6];
        for (size_t i = 0; i < t.p; i++)
            theta[i] = (float)(0.5 * noise(52, i));
        for (size_t i = 0; i < VECTORS * t.p; i++)
            v[i] = (float)noise(53, i);
        for (size_t i = 0; i < VECTORS * N; i++)
            weights[i] = noise(54, i);
        spread(&t, theta, theta_twin);
        for (size_t j = 0; j < VECTORS; j++)
            spread(&t, v + j * t.p, v_twin + j * both);
        assert_ok(infl_model_set_parameters(models[0], theta));
        assert_ok(infl_model_set_parameters(models[1], theta_twin));
        for (int twin = 0; _i == BATCH_NORM && twin < 2; twin++)
            assert_ok(infl_model_set_state(models[twin], (double[]){0.3, -0.2, 0.1, 0.7, 1.5, 0.4}));
        /* sums of a few hundred numbers of mixed signs, far from their magnitudes' worst case */
        double tolerance = precision == INFL_F32 ? 1e-5 : 1e-14;

        assert_ok(infl_objective_evaluate(objectives[0], NULL, got));
        assert_ok(infl_objective_evaluate(objectives[1], NULL, of_twin));
        gather(&t, of_twin, expected);
        assert_close(got, expected, t.p, tolerance, "gradient");
        for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++) {
            assert_ok(infl_objective_product(objectives[0], (infl_curvature_kind)kind, v, VECTORS, got));
            assert_ok(infl_objective_product(objectives[1], (infl_curvature_kind)kind, v_twin, VECTORS, of_twin));
            for (size_t j = 0; j < VECTORS; j++) {
                gather(&t, of_twin + j * both, expected);
                assert_close(got + j * t.p, expected, t.p, tolerance, "curvature %d", kind);
            }
        }
        assert_ok(infl_objective_weighted_gradients(objectives[0], NULL, 0, weights, VECTORS, got));
        assert_ok(infl_objective_weighted_gradients(objectives[1], NULL, 0, weights, VECTORS, of_twin));
        for (size_t j = 0; j < VECTORS; j++) {
            gather(&t, of_twin + j * both, expected);
            assert_close(got + j * t.p, expected, t.p, tolerance, "weighted gradients");
        }
        assert_ok(infl_objective_row_gradients(objectives[0], NULL, 0, rows));
        assert_ok(infl_objective_row_gradients(objectives[1], NULL, 0, rows_twin));
        for (size_t row = 0; row < N; row++) {
            gather(&t, rows_twin + row * both, expected);
            assert_close(rows + row * t.p, expected, t.p, tolerance, "row %zu", row);
        }

        /* A step of 1 in training, where batch normalisation and dropout are others. */
        infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
        options.optimiser = INFL_SGD;
        options.steps = 1;
        options.learning_rate = 1.0;
        for (int twin = 0; twin < 2; twin++) {
            assert_ok(infl_train(objectives[twin], &options, NULL));
            assert_ok(infl_model_get_parameters(models[twin], twin ? of_twin : got));
            for (size_t i = 0; i < (twin ? both : t.p); i++)
                (twin ? of_twin : got)[i] -= (twin ? theta_twin : theta)[i];
            if (_i == BATCH_NORM)
                assert_ok(infl_model_get_state(models[twin], state[twin]));
        }
        gather(&t, of_twin, expected);
        /* the steps are as exact as θ, which is a few times as large */
        assert_close(got, expected, t.p, 10 * tolerance, "step");
        if (_i == BATCH_NORM)
            assert_same_bits(state[0], state[1], 6, "state");
        for (int twin = 0; twin < 2; twin++) {
            infl_objective_destroy(objectives[twin]);
            infl_model_destroy(models[twin]);
        }
        free(theta);
        free(v);
        free(theta_twin);
        free(v_twin);
        free(got);
        free(expected);
        free(of_twin);
        free(rows);
        free(rows_twin);
    }
    infl_dataset_destroy(dataset);
}
END_TEST

/* Everything that sums over chunks or vectors, one result behind the other. */
enum { N_CHUNKED = 70, CHUNKED_VECTORS = 5 };

static void collect(infl_objective *objective, const double *v, double *out) {
    const size_t p = infl_objective_parameters(objective), k = CHUNKED_VECTORS;
    assert_ok(infl_objective_evaluate(objective, NULL, out));
    out += p;
    for (int again = 0; again < 2; again++, out += p) /* the second time by what is kept of the first */
        assert_ok(infl_objective_product(objective, INFL_HESSIAN, v + (size_t)again * p, 1, out));
    for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++, out += k * p)
        assert_ok(infl_objective_product(objective, (infl_curvature_kind)kind, v, k, out));
    assert_ok(infl_objective_product(objective, INFL_HESSIAN, v, 1, out));
    out += p;
    assert_ok(infl_objective_weighted_gradients(objective, NULL, 0, v, k, out));
    out += k * p;
    assert_ok(infl_objective_row_products(objective, NULL, 0, v, k, out));
    assert_ok(infl_objective_row_norms(objective, NULL, 0, out + N_CHUNKED * k));
}

/* 70 rows in chunks of 32, 32 and 6. */
START_TEST(test_same_bits) {
    enum { N_WAYS = 9 };
    static const struct {
        int threads;
        double budget; /* of what one product needs on one thread; 0: no limit */
        int keep;
    } ways[N_WAYS] = {{1, 0, 0},    {1, 0, 1},    {2, 0, 0},   {2, 0, 1},  {3, 0, 1},
                      {1, 1.01, 1}, {3, 1.01, 0}, {2, 1.5, 1}, {3, 2.5, 1}};
    infl_dataset *dataset = random_images(N_CHUNKED, 2 * 9 * 9, 3, 61);
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_conv2d conv = INFL_CONV2D_INIT;
    infl_pool2d pool = INFL_POOL2D_INIT;
    assert_ok(infl_builder_create_image(&builder, 2, 9, 9));
    conv.channels = 16;
    conv.kernel[0] = conv.kernel[1] = 3;
    conv.padding[0] = conv.padding[1] = 1;
    infl_node node = infl_builder_activation(builder, infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv), INFL_TANH);
    infl_node pooled = infl_builder_max_pool2d(builder, node, &pool);
    node = infl_builder_activation(builder, infl_builder_conv2d(builder, pooled, &conv), INFL_SOFTPLUS);
    node = infl_builder_add(builder, infl_builder_batch_norm(builder, node, NULL), pooled);
    node = infl_builder_dense(builder, infl_builder_average_pool2d(builder, node, &pool), 3, 1, INFL_INIT_GLOROT);
    assert_ok(infl_model_create(&model, builder, node, _i == 0 ? INFL_F32 : INFL_F64, 9));
    infl_builder_destroy(builder);
    const size_t p = infl_model_parameters(model), k = CHUNKED_VECTORS, length = (4 + 4 * k) * p + N_CHUNKED * (k + 1);
    double *v = malloc(k * p * sizeof *v), *expected = malloc(length * sizeof *v), *got = malloc(length * sizeof *got);
    size_t least = 0;
    for (size_t i = 0; i < k * p; i++)
        v[i] = noise(62, i);
    for (size_t way = 0; way < N_WAYS; way++) {
        infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
        infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
        infl_objective *objective = NULL;
        options.threads = ways[way].threads;
        options.memory_budget = (size_t)(ways[way].budget * (double)least);
        if (!ways[way].keep)
            options.keep_budget = 0;
        assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
        if (way == 0)
            assert_ok(infl_objective_memory(objective, 1, &least));
        collect(objective, v, way == 0 ? expected : got);
        if (way > 0)
            assert_same_bits(got, expected, length, "%d threads, budget ×%g, keep %d", ways[way].threads,
                             ways[way].budget, ways[way].keep);
        infl_objective_destroy(objective);
    }
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
    free(v);
    free(expected);
    free(got);
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
    static const char *const parts[] = {"channels is 0", "options is NULL",  "kernel 0",
                                        "does not fit",  "groups is 3",      "at most half",
                                        "does not fit",  "must be the same", "initialiser 9"};
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
    add_case(suite, "images/derivatives", test_derivatives, N_NETWORKS);
    add_case(suite, "images/rows", test_rows_of_images, N_NETWORKS);
    add_case(suite, "images/sharing", test_sharing, N_SHARING);
    add_case(suite, "images/same-bits", test_same_bits, 2);
    add_case(suite, "images/koh-liang", test_koh_liang, 1);
    add_case(suite, "images/refused", test_refused_images, 1);
    return suite;
}

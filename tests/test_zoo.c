/* The zoo: parameters counted by hand, what is refused, and all derivatives of every network at a small size. */
#include <math.h>
#include <stdlib.h>

#include "network.h"
#include "reference.h"
#include "suites.h"

enum { N_NETWORKS = INFL_ZOO_RESNET50 + 1, N_ROWS = 3, N_CLASSES = 4 };

static size_t parameters_of(infl_zoo_network network, int batch_norm, double width_factor, infl_zoo_options options) {
    infl_model *model = NULL;
    options.batch_norm = batch_norm;
    options.width_factor = width_factor;
    assert_ok(infl_model_create_zoo(&model, network, &options, INFL_F32, 1));
    ck_assert_uint_eq(infl_model_outputs(model), options.n_classes);
    size_t p = infl_model_parameters(model);
    infl_model_destroy(model);
    return p;
}

/* The published numbers, 10 classes. Normalisation has two parameters a channel, and takes a ResNet's biases away. */
START_TEST(test_counts) {
    static const struct {
        size_t published, channels; /* normalised where the network has that */
    } counts[N_NETWORKS] = {
        [INFL_ZOO_KL_CNN] = {2616, 5 * 8 + 10},
        [INFL_ZOO_LENET5] = {62006, 6 + 16},
        [INFL_ZOO_VGG13] = {9416010 - 2 * 2944, 2 * (64 + 128 + 256 + 512 + 512)}, /* published with normalisation */
        [INFL_ZOO_VGG14] = {9416010 - 2 * 2944 + 512 * 512 * 9 + 512, 2 * (64 + 128 + 256 + 512 + 512) + 512},
        [INFL_ZOO_RESNET18] = {11173962, 64 + 4 * 64 + 5 * (128 + 256 + 512)},
        [INFL_ZOO_RESNET50] = {23520842,
                               64 + 6 * 64 + 4 * 256 + 8 * 128 + 5 * 512 + 12 * 256 + 7 * 1024 + 6 * 512 + 4 * 2048},
    };
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    infl_zoo_network network = (infl_zoo_network)_i;
    size_t published = counts[_i].published, channels = counts[_i].channels;
    int resnet = network == INFL_ZOO_RESNET18 || network == INFL_ZOO_RESNET50;
    ck_assert_uint_eq(parameters_of(network, -1, 1.0, options), published);
    if (resnet)
        ck_assert_uint_eq(parameters_of(network, 0, 1.0, options), published - 2 * channels + channels);
    else
        ck_assert_uint_eq(parameters_of(network, 1, 1.0, options), published + 2 * channels);
}
END_TEST

START_TEST(test_defaults) {
    static const size_t inputs[N_NETWORKS] = {28 * 28, 3072, 3072, 3072, 3072, 3072};
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    options.width_factor = 1e-3;
    for (int i = 0; i < N_NETWORKS; i++) {
        infl_model *model = NULL;
        assert_ok(infl_model_create_zoo(&model, (infl_zoo_network)i, &options, INFL_F32, 1));
        ck_assert_uint_eq(infl_model_inputs(model), inputs[i]);
        ck_assert_uint_eq(infl_model_outputs(model), 10);
        infl_model_destroy(model);
    }
    infl_model *model = NULL;
    assert_ok(infl_model_create_zoo(&model, INFL_ZOO_KL_CNN, NULL, INFL_F32, 1));
    ck_assert_uint_eq(infl_model_parameters(model), 2616);
    infl_model_destroy(model);
}
END_TEST

/* Other widths, images and classes, layer by layer. */
START_TEST(test_widths) {
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    /* 8 and 10 channels become 2 and 3 */
    ck_assert_uint_eq(parameters_of(INFL_ZOO_KL_CNN, 0, 0.25, options),
                      (9 + 1) * 2 + 4 * (2 * 9 + 1) * 2 + (2 + 1) * 3 + (3 + 1) * 10);
    /* 6, 16, 120 and 84 become 2, 4, 30 and 21 */
    ck_assert_uint_eq(parameters_of(INFL_ZOO_LENET5, 0, 0.25, options),
                      (3 * 25 + 1) * 2 + (2 * 25 + 1) * 4 + (100 + 1) * 30 + (30 + 1) * 21 + (21 + 1) * 10);
    /* one channel everywhere: 3×3 layers of 9 weights and a bias, 1×1 ones of 1 and a bias */
    ck_assert_uint_eq(parameters_of(INFL_ZOO_VGG13, 0, 1e-3, options), 28 + 9 * 10 + 20);
    ck_assert_uint_eq(parameters_of(INFL_ZOO_VGG14, 0, 1e-3, options), 28 + 10 * 10 + 20);
    ck_assert_uint_eq(parameters_of(INFL_ZOO_RESNET18, 0, 1e-3, options), 28 + 16 * 10 + 3 * 2 + 20);
    /* bottlenecks 1 → 1 → 1 → 4, then 4 → 1 → 1 → 4; shortcuts 1 → 4 and three times 4 → 4 */
    ck_assert_uint_eq(parameters_of(INFL_ZOO_RESNET50, 0, 1e-3, options),
                      28 + (2 + 10 + 8) + 15 * (5 + 10 + 8) + 8 + 3 * 20 + 50);
    /* twice the width: 16 and 20 channels */
    ck_assert_uint_eq(parameters_of(INFL_ZOO_KL_CNN, 0, 2.0, options),
                      (9 + 1) * 16 + 4 * (16 * 9 + 1) * 16 + (16 + 1) * 20 + (20 + 1) * 10);
    options.n_classes = 2;
    options.channels = 1;
    options.height = 28;
    options.width = 28; /* padded: 28, pooled 14, 10, pooled 5 */
    ck_assert_uint_eq(parameters_of(INFL_ZOO_LENET5, 0, 1.0, options),
                      26 * 6 + 151 * 16 + 401 * 120 + 121 * 84 + 85 * 2);
    options.width = 40; /* not padded: 36, pooled 18, 14, pooled 7 */
    ck_assert_uint_eq(parameters_of(INFL_ZOO_LENET5, 0, 1.0, options),
                      26 * 6 + 151 * 16 + (16 * 5 * 7 + 1) * 120 + 121 * 84 + 85 * 2);
    options.height = 70; /* the mean over what is left takes any size */
    ck_assert_uint_eq(parameters_of(INFL_ZOO_VGG13, 0, 1e-3, options), 10 + 9 * 10 + 4);
}
END_TEST

START_TEST(test_names) {
    static const char *const names[N_NETWORKS] = {"kl_cnn", "lenet5", "vgg13", "vgg14", "resnet18", "resnet50"};
    for (int i = 0; i < N_NETWORKS; i++)
        ck_assert_str_eq(infl_zoo_network_name((infl_zoo_network)i), names[i]);
    ck_assert_ptr_null(infl_zoo_network_name((infl_zoo_network)N_NETWORKS));
    ck_assert_ptr_null(infl_zoo_network_name((infl_zoo_network)-1));
}
END_TEST

static void assert_tensor(const infl_model *model, size_t index, const char *name, size_t n_dims, const size_t *dims) {
    infl_tensor tensor;
    assert_ok(infl_model_tensor(model, index, &tensor));
    ck_assert_str_eq(tensor.name, name);
    ck_assert_uint_eq(tensor.n_dims, n_dims);
    for (size_t i = 0; i < n_dims; i++)
        ck_assert_uint_eq(tensor.dims[i], dims[i]);
}

START_TEST(test_tensors) {
    infl_model *model = NULL;
    assert_ok(infl_model_create_zoo(&model, INFL_ZOO_RESNET18, NULL, INFL_F32, 1));
    ck_assert_uint_eq(infl_model_tensors(model), 20 * 3 + 2);
    assert_tensor(model, 0, "conv2d1.weight", 4, (size_t[]){64, 3, 3, 3});
    assert_tensor(model, 1, "batch_norm1.weight", 1, (size_t[]){64});
    assert_tensor(model, 2, "batch_norm1.bias", 1, (size_t[]){64});
    /* the first block of the second stage: two layers, then the shortcut */
    assert_tensor(model, 3 * 5, "conv2d6.weight", 4, (size_t[]){128, 64, 3, 3});
    assert_tensor(model, 3 * 7, "conv2d8.weight", 4, (size_t[]){128, 64, 1, 1});
    assert_tensor(model, 60, "dense1.weight", 2, (size_t[]){10, 512});
    assert_tensor(model, 61, "dense1.bias", 1, (size_t[]){10});
    infl_model_destroy(model);
}
END_TEST

/* What stands between the layers that have parameters. */
START_TEST(test_layers) {
    static const struct {
        infl_activation activation;
        size_t activations, max_pools, average_pools, adds;
    } expected[N_NETWORKS] = {{INFL_TANH, 6, 0, 1, 0},  {INFL_RELU, 4, 2, 0, 0},      {INFL_RELU, 10, 5, 1, 0},
                              {INFL_RELU, 11, 5, 1, 0}, {INFL_RELU, 1 + 16, 0, 1, 8}, {INFL_RELU, 1 + 48, 0, 1, 16}};
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    options.width_factor = 1e-3;
    options.batch_norm = 0;
    for (int i = 0; i < N_NETWORKS; i++) {
        size_t counts[INFL_LAYER_KINDS] = {0}, right = 0;
        infl_model *model = NULL;
        assert_ok(infl_model_create_zoo(&model, (infl_zoo_network)i, &options, INFL_F64, 1));
        for (size_t l = 0; l < model->network.n_layers; l++) {
            const infl_layer_spec *spec = &model->network.layers[l].spec;
            counts[spec->kind]++;
            right += spec->kind == INFL_LAYER_ACTIVATION && spec->activation == expected[i].activation;
        }
        ck_assert_uint_eq(counts[INFL_LAYER_ACTIVATION], expected[i].activations);
        ck_assert_uint_eq(right, expected[i].activations);
        ck_assert_uint_eq(counts[INFL_LAYER_MAX_POOL], expected[i].max_pools);
        ck_assert_uint_eq(counts[INFL_LAYER_AVERAGE_POOL], expected[i].average_pools);
        ck_assert_uint_eq(counts[INFL_LAYER_ADD], expected[i].adds);
        infl_model_destroy(model);
    }
}
END_TEST

/* Standard deviation of a tensor of the model, its mean being 0. */
static double deviation(const infl_model *model, size_t index) {
    infl_tensor tensor;
    double *theta = malloc(infl_model_parameters(model) * sizeof *theta), sum = 0.0;
    assert_ok(infl_model_tensor(model, index, &tensor));
    assert_ok(infl_model_get_parameters(model, theta));
    for (size_t i = 0; i < tensor.length; i++)
        sum += theta[tensor.offset + i] * theta[tensor.offset + i];
    free(theta);
    return sqrt(sum / (double)tensor.length);
}

/* As documented: with n numbers a deviation is known to 1/√(2n) of itself; five times that is allowed. */
START_TEST(test_initial_values) {
    static const struct {
        infl_zoo_network network;
        size_t tensor;
        double variance, n;
    } cases[] = {
        {INFL_ZOO_LENET5, 2, 2.0 / (6 * 25), 6 * 25 * 16},   {INFL_ZOO_LENET5, 4, 2.0 / 400, 400 * 120},
        {INFL_ZOO_LENET5, 6, 2.0 / 120, 120 * 84},           {INFL_ZOO_LENET5, 8, 1.0 / 84, 84 * 10},
        {INFL_ZOO_VGG13, 2, 2.0 / (64 * 9), 64 * 9 * 64},    {INFL_ZOO_VGG13, 20, 1.0 / 512, 5120},
        {INFL_ZOO_RESNET18, 3, 2.0 / (64 * 9), 64 * 9 * 64}, {INFL_ZOO_RESNET18, 60, 1.0 / 512, 5120},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        infl_model *model = NULL;
        assert_ok(infl_model_create_zoo(&model, cases[i].network, NULL, INFL_F32, 3));
        double expected = sqrt(cases[i].variance), got = deviation(model, cases[i].tensor);
        ck_assert_msg(fabs(got / expected - 1.0) <= 5.0 / sqrt(2.0 * cases[i].n), "case %zu: %g, not %g", i, got,
                      expected);
        infl_model_destroy(model);
    }
}
END_TEST

/* Every wrong option: refused by the model and by the builder, which stays refused. */
START_TEST(test_refused) {
    static const char *const parts[] = {"network 6",           "network -1",           "size 0",
                                        "n_classes is 0",      "batch_norm is 2",      "batch_norm is -2",
                                        "width_factor is 0",   "width_factor is -1",   "width_factor is nan",
                                        "width_factor is inf", "width_factor is 2e+06"};
    static const double factors[] = {0.0, -1.0, NAN, INFINITY, 2e6};
    infl_model *model = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
        infl_zoo_network network = i == 0 ? (infl_zoo_network)6 : i == 1 ? (infl_zoo_network)-1 : INFL_ZOO_LENET5;
        options.size = i == 2 ? 0 : options.size;
        options.n_classes = i == 3 ? 0 : 10;
        options.batch_norm = i == 4 ? 2 : i == 5 ? -2 : -1;
        options.width_factor = i >= 6 ? factors[i - 6] : 1.0;
        assert_fails(INFL_E_ARGUMENT, infl_model_create_zoo(&model, network, &options, INFL_F64, 1));
        ck_assert_msg(strstr(infl_last_error(), parts[i]) != NULL, "no '%s' in: %s", parts[i], infl_last_error());
        infl_builder *builder = NULL;
        assert_ok(infl_builder_create_image(&builder, 3, 32, 32));
        ck_assert_int_eq(infl_builder_zoo(builder, INFL_NODE_INPUT, network, &options), INFL_NODE_INVALID);
        ck_assert_msg(strncmp(infl_last_error(), "infl_builder_zoo: ", 18) == 0, "%s", infl_last_error());
        ck_assert_msg(strstr(infl_last_error(), parts[i]) != NULL, "no '%s' in: %s", parts[i], infl_last_error());
        infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, 2, 1, INFL_INIT_GLOROT);
        ck_assert_int_eq(node, INFL_NODE_INVALID);
        ck_assert_int_eq(infl_model_create(&model, builder, INFL_NODE_INPUT, INFL_F64, 1), INFL_E_ARGUMENT);
        infl_builder_destroy(builder);
    }
    assert_fails(INFL_E_ARGUMENT, infl_model_create_zoo(NULL, INFL_ZOO_LENET5, NULL, INFL_F64, 1));
    assert_fails(INFL_E_ARGUMENT, infl_model_create_zoo(&model, INFL_ZOO_LENET5, NULL, (infl_precision)7, 1));
    ck_assert_int_eq(infl_builder_zoo(NULL, INFL_NODE_INPUT, INFL_ZOO_LENET5, NULL), INFL_NODE_INVALID);
    ck_assert_msg(strncmp(infl_last_error(), "infl_builder_zoo: builder", 25) == 0, "%s", infl_last_error());
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT; /* images that memory does not hold */
    options.width = SIZE_MAX / 2;
    assert_fails(INFL_E_ARGUMENT, infl_model_create_zoo(&model, INFL_ZOO_RESNET18, &options, INFL_F64, 1));
    options.width = 0;
    options.width_factor = 1e6;
    ck_assert_int_ne(infl_model_create_zoo(&model, INFL_ZOO_VGG13, &options, INFL_F64, 1), INFL_OK);
    ck_assert_ptr_null(model);
}
END_TEST

/* Of the least size that an error names a network is made, of one pixel less it is not. */
START_TEST(test_small_images) {
    static const size_t least[N_NETWORKS] = {21, 12, 32, 32, 1, 1};
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    infl_model *model;
    char part[80];
    options.width_factor = 1e-3;
    options.width = options.height = least[_i];
    assert_ok(infl_model_create_zoo(&model, (infl_zoo_network)_i, &options, INFL_F64, 1));
    infl_model_destroy(model);
    for (int axis = 0; axis < 2 && least[_i] > 1; axis++) { /* 0 is the network's own size */
        options.width = axis == 0 ? least[_i] - 1 : 32;
        options.height = axis == 0 ? 32 : least[_i] - 1;
        assert_fails(INFL_E_ARGUMENT, infl_model_create_zoo(&model, (infl_zoo_network)_i, &options, INFL_F64, 1));
        snprintf(part, sizeof part, "takes images of %zu×%zu and larger ones", least[_i], least[_i]);
        ck_assert_msg(strstr(infl_last_error(), part) != NULL, "no '%s' in: %s", part, infl_last_error());
        infl_builder *builder;
        assert_ok(infl_builder_create_image(&builder, 3, options.height, options.width));
        ck_assert_int_eq(infl_builder_zoo(builder, INFL_NODE_INPUT, (infl_zoo_network)_i, &options), INFL_NODE_INVALID);
        ck_assert_msg(strstr(infl_last_error(), part) != NULL, "no '%s' in: %s", part, infl_last_error());
        infl_builder_destroy(builder);
    }
}
END_TEST

/* The same network by both ways; and between other layers. */
START_TEST(test_in_a_graph) {
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    infl_builder *builder = NULL;
    infl_model *model = NULL, *whole = NULL;
    assert_ok(infl_builder_create_image(&builder, 1, 28, 28));
    infl_node logits = infl_builder_zoo(builder, INFL_NODE_INPUT, INFL_ZOO_KL_CNN, &options);
    assert_ok(infl_model_create(&model, builder, logits, INFL_F64, 9));
    assert_ok(infl_model_create_zoo(&whole, INFL_ZOO_KL_CNN, NULL, INFL_F64, 9));
    double a[2616], b[2616];
    assert_ok(infl_model_get_parameters(model, a));
    assert_ok(infl_model_get_parameters(whole, b));
    assert_same_bits(a, b, 2616, "theta");
    infl_model_destroy(model);
    infl_model_destroy(whole);
    model = NULL;
    infl_node node = infl_builder_dense(builder, logits, 3, 0, INFL_INIT_GLOROT);
    assert_ok(infl_model_create(&model, builder, node, INFL_F64, 9));
    ck_assert_uint_eq(infl_model_parameters(model), 2616 + 30);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
    model = NULL;
    assert_ok(infl_builder_create_image(&builder, 5, 64, 64));
    infl_pool2d half = INFL_POOL2D_INIT;
    node = infl_builder_average_pool2d(builder, INFL_NODE_INPUT, &half);
    options.width_factor = 1e-3;
    node = infl_builder_zoo(builder, node, INFL_ZOO_VGG13, &options);
    assert_ok(infl_model_create(&model, builder, node, INFL_F64, 9));
    ck_assert_uint_eq(infl_model_parameters(model), 46 + 9 * 10 + 20);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
}
END_TEST

/* Each network as small as it goes, with an image that is not square where that fits. */
static const infl_zoo_options small[N_NETWORKS] = {
    [INFL_ZOO_KL_CNN] = {sizeof(infl_zoo_options), 2, 24, 23, N_CLASSES, 0, 0.5},
    [INFL_ZOO_LENET5] = {sizeof(infl_zoo_options), 3, 20, 16, N_CLASSES, 0, 0.5},
    [INFL_ZOO_VGG13] = {sizeof(infl_zoo_options), 3, 32, 33, N_CLASSES, 0, 1 / 32.0},
    [INFL_ZOO_VGG14] = {sizeof(infl_zoo_options), 1, 33, 32, N_CLASSES, 0, 1 / 32.0},
    [INFL_ZOO_RESNET18] = {sizeof(infl_zoo_options), 3, 9, 8, N_CLASSES, 0, 1 / 16.0},
    [INFL_ZOO_RESNET50] = {sizeof(infl_zoo_options), 2, 7, 9, N_CLASSES, 0, 1 / 32.0},
};

/* One of them with data; room for what is computed of it. */
typedef struct subject {
    infl_builder *builder;
    infl_node logits;
    infl_model *model;
    infl_dataset *dataset;
    infl_objective *objective;
    size_t p;
    double *theta;
} subject;

static infl_objective *objective_of(infl_model *model, const infl_dataset *dataset, int threads) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *objective = NULL;
    options.threads = threads;
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
    return objective;
}

static double *room(size_t n) {
    double *x = calloc(n, sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

static double *normals(size_t n, uint64_t seed) {
    double *x = room(n);
    for (size_t i = 0; i < n; i++)
        x[i] = random_normal(&seed);
    return x;
}

static double dot(const double *x, const double *y, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static subject subject_create(int which, infl_precision precision) {
    subject s = {0};
    infl_zoo_network network = (infl_zoo_network)(which / 2);
    infl_zoo_options options = small[network];
    options.batch_norm = which % 2;
    assert_ok(infl_builder_create_image(&s.builder, options.channels, options.height, options.width));
    s.logits = infl_builder_zoo(s.builder, INFL_NODE_INPUT, network, &options);
    assert_ok(infl_model_create(&s.model, s.builder, s.logits, precision, 1));
    s.p = infl_model_parameters(s.model);
    s.theta = room(s.p);
    double *x = normals(N_ROWS * infl_model_inputs(s.model), 17);
    int32_t labels[N_ROWS] = {2, 0, 3};
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = N_ROWS;
    spec.n_features = infl_model_inputs(s.model);
    spec.features = x;
    spec.labels = labels;
    spec.n_classes = N_CLASSES;
    for (size_t i = 0; i < N_ROWS * spec.n_features; i++)
        x[i] = (float)x[i];
    assert_ok(infl_dataset_create(&s.dataset, &spec));
    free(x);
    s.objective = objective_of(s.model, s.dataset, 1);
    return s;
}

static void subject_destroy(subject *s) {
    infl_objective_destroy(s->objective);
    infl_dataset_destroy(s->dataset);
    infl_model_destroy(s->model);
    infl_builder_destroy(s->builder);
    free(s->theta);
}

/*
 * A θ near the initial one of a seed, biases too, in numbers that float holds. Outputs of narrow deep networks and sums
 * of residual branches are large: smaller weights keep the loss of order 1.
 */
static void draw(subject *s, int which, uint64_t seed) {
    double shrink = which / 2 >= INFL_ZOO_VGG13 ? 0.7 : 1.0;
    assert_ok(infl_model_initialise(s->model, seed));
    assert_ok(infl_model_get_parameters(s->model, s->theta));
    for (size_t i = 0; i < s->p; i++)
        s->theta[i] = (float)(shrink * s->theta[i] + 0.05 * random_normal(&seed));
    assert_ok(infl_model_set_parameters(s->model, s->theta));
    size_t n = infl_model_state(s->model);
    double *state = room(n);
    for (size_t i = 0; i < n; i++)
        state[i] = 0.8 + 0.2 * random_uniform(&seed); /* means and variances alike */
    assert_ok(infl_model_set_state(s->model, state));
    free(state);
}

/* What a node computes of all rows: the network that ends there, with its share of θ and of the state. */
static double *values_of(const subject *s, int32_t node) {
    const infl_network *network = &s->model->network;
    unsigned char *needed = calloc((size_t)node + 1, 1);
    double *theta = room(s->p), *share = room(s->p), *values;
    double *state = room(network->n_state), *state_share = room(network->n_state);
    size_t n = 0, n_state = 0;
    infl_model *model = NULL;
    ck_assert_int_eq((int32_t)network->n_layers, s->logits + 1); /* so that nodes are layers */
    needed[node] = 1;
    for (int32_t i = node; i >= 0; i--)
        for (size_t j = 0; needed[i] && j < network->layers[i].n_inputs; j++)
            needed[network->layers[i].spec.inputs[j]] = 1;
    assert_ok(infl_model_get_parameters(s->model, theta));
    assert_ok(infl_model_get_state(s->model, state));
    for (int32_t i = 0; i <= node; i++) {
        const infl_layer *layer = &network->layers[i];
        if (!needed[i])
            continue;
        memcpy(share + n, theta + layer->offset, layer->parameters * sizeof *share);
        memcpy(state_share + n_state, state + layer->state_offset, layer->state * sizeof *state);
        n += layer->parameters;
        n_state += layer->state;
    }
    assert_ok(infl_model_create(&model, s->builder, node, infl_model_precision(s->model), 1));
    ck_assert_uint_eq(infl_model_parameters(model), n);
    ck_assert_uint_eq(infl_model_state(model), n_state);
    assert_ok(infl_model_set_parameters(model, share));
    assert_ok(infl_model_set_state(model, state_share));
    values = room(N_ROWS * infl_model_outputs(model));
    assert_ok(infl_model_predict(model, s->dataset, values));
    infl_model_destroy(model);
    free(needed);
    free(theta);
    free(share);
    free(state);
    free(state_share);
    return values;
}

/* Which tap of its window each output of an unpadded 2×2 pool is. */
static size_t pool_choices(const infl_layer *pool, const double *x, unsigned char *choice) {
    size_t n = 0, height = pool->in_shape[0].height, width = pool->in_shape[0].width;
    for (size_t image = 0; image < N_ROWS * pool->in_shape[0].channels; image++)
        for (size_t i = 0; i < pool->shape.height; i++)
            for (size_t j = 0; j < pool->shape.width; j++) {
                const double *corner = x + (image * height + 2 * i) * width + 2 * j;
                size_t best = 0;
                for (size_t tap = 1; tap < 4; tap++)
                    if (corner[tap / 2 * width + tap % 2] > corner[best / 2 * width + best % 2])
                        best = tap;
                choice[n++] = (unsigned char)best;
            }
    return n;
}

/* On which side of its kink every ReLU is, and which pixel every pool takes, at the model's θ; its length to *n. */
static unsigned char *pattern_of(const subject *s, size_t *n) {
    const infl_network *network = &s->model->network;
    unsigned char *pattern;
    *n = 0;
    for (size_t i = 0; i < network->n_layers; i++)
        *n += N_ROWS * network->layers[i].width;
    pattern = malloc(*n);
    ck_assert_ptr_nonnull(pattern);
    *n = 0;
    for (size_t i = 0; i < network->n_layers; i++) {
        const infl_layer *layer = &network->layers[i];
        int relu = layer->spec.kind == INFL_LAYER_ACTIVATION && layer->spec.activation == INFL_RELU;
        if (!relu && layer->spec.kind != INFL_LAYER_MAX_POOL)
            continue;
        double *x = values_of(s, layer->spec.inputs[0]);
        for (size_t j = 0; relu && j < N_ROWS * layer->width; j++)
            pattern[(*n)++] = x[j] > 0.0;
        if (!relu)
            *n += pool_choices(layer, x, pattern + *n);
        free(x);
    }
    return pattern;
}

static int same_pattern(const subject *a, const subject *b) {
    size_t n, m;
    unsigned char *x = pattern_of(a, &n), *y = pattern_of(b, &m);
    int same = n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

static void move(const subject *s, const double *v, double step) {
    double *moved = room(s->p);
    for (size_t i = 0; i < s->p; i++)
        moved[i] = s->theta[i] + step * v[i];
    assert_ok(infl_model_set_parameters(s->model, moved));
    free(moved);
}

/* The pattern at θ is that at θ + step·v. */
static int keeps_pattern(const subject *s, const double *v, double step) {
    size_t n;
    unsigned char *here = pattern_of(s, &n);
    move(s, v, step);
    unsigned char *there = pattern_of(s, &n);
    int same = memcmp(here, there, n) == 0;
    assert_ok(infl_model_set_parameters(s->model, s->theta));
    free(here);
    free(there);
    return same;
}

/*
 * Gradient and Hv against central differences along unit vectors. Kinks are excluded by rule: θ is redrawn until no
 * ReLU and no pool changes between θ − 2Hv and θ + 2Hv. Over such a step a pre-activation is linear to H² of itself, so
 * that within half of it none comes to its kink. What is left is an error of H² times a third derivative, and some
 * 1e-15/H = 1e-10 from rounding through up to 53 layers, beside slopes of order 0.01 and more: at most 1e-7 of them.
 */
static const double H = 1e-5;

START_TEST(test_differences) {
    enum { K = 2 };
    subject s = subject_create(_i, INFL_F64);
    size_t p = s.p;
    double *v = normals(K * p, 23), *hv = room(K * p), *g = room(p), *plus = room(p), *minus = room(p), up, down, value;
    for (size_t j = 0; j < K; j++) {
        double length = sqrt(dot(v + j * p, v + j * p, p));
        for (size_t i = 0; i < p; i++)
            v[j * p + i] /= length;
    }
    uint64_t seed = 0;
    do {
        ck_assert_uint_lt(++seed, 60);
        draw(&s, _i, seed);
    } while (!keeps_pattern(&s, v, 2 * H) || !keeps_pattern(&s, v, -2 * H) || !keeps_pattern(&s, v + p, 2 * H) ||
             !keeps_pattern(&s, v + p, -2 * H));
    if (_i / 2 != INFL_ZOO_KL_CNN) /* tanh has no kink; the others are seen to have some */
        ck_assert(!keeps_pattern(&s, v, 10.0));
    assert_ok(infl_objective_evaluate(s.objective, &value, g));
    assert_ok(infl_objective_product(s.objective, INFL_HESSIAN, v, K, hv));
    for (size_t j = 0; j < K; j++) {
        move(&s, v + j * p, H);
        assert_ok(infl_objective_evaluate(s.objective, &up, plus));
        move(&s, v + j * p, -H);
        assert_ok(infl_objective_evaluate(s.objective, &down, minus));
        double slope = (up - down) / (2 * H), along = dot(g, v + j * p, p);
        for (size_t i = 0; i < p; i++)
            plus[i] = (plus[i] - minus[i]) / (2 * H);
        ck_assert_msg(fabs(slope - along) <= 1e-7 * fabs(along), "gradient·v %.12g, not %.12g", along, slope);
        assert_close(hv + j * p, plus, p, 1e-7, "Hv %zu", j);
    }
    /* u·Hv = v·Hu, to the rounding of sums through up to 53 layers */
    double uhv = dot(v, hv + p, p), vhu = dot(v + p, hv, p);
    ck_assert_double_le(fabs(uhv - vhu), 1e-12 * sqrt(dot(hv, hv, K * p)));
    subject_destroy(&s);
    free(v);
    free(hv);
    free(g);
    free(plus);
    free(minus);
}
END_TEST

/* Rows add up, their products are theirs, threads change no bit; f32 follows f64 where no kink lies between them. */
START_TEST(test_agreement) {
    enum { K = 3 };
    subject s = subject_create(_i, INFL_F64), single = subject_create(_i, INFL_F32);
    size_t p = s.p;
    double *v = normals(K * p, 31), *rows = room(N_ROWS * p), *sum = room(p), *g = room(p), *hv = room(K * p);
    double *other = room(K * p), *products = room(N_ROWS * K), value, value_of_single, value_of_three;
    uint64_t seed = 100;
    do {
        ck_assert_uint_lt(++seed, 160);
        draw(&s, _i, seed);
        draw(&single, _i, seed);
    } while (!same_pattern(&s, &single));

    assert_ok(infl_objective_evaluate(s.objective, &value, g));
    assert_ok(infl_objective_row_gradients(s.objective, NULL, 0, rows));
    assert_ok(infl_objective_row_products(s.objective, NULL, 0, v, K, products));
    for (size_t j = 0; j < p; j++)
        for (size_t i = 0; i < N_ROWS; i++)
            sum[j] += rows[i * p + j] / N_ROWS;
    assert_close(sum, g, p, 1e-12, "sum of row gradients");
    for (size_t i = 0; i < N_ROWS; i++)
        for (size_t k = 0; k < K; k++)
            ck_assert_double_le(fabs(dot(rows + i * p, v + k * p, p) - products[i * K + k]),
                                1e-12 * sqrt(dot(rows + i * p, rows + i * p, p) * dot(v + k * p, v + k * p, p)));

    assert_ok(infl_objective_product(s.objective, INFL_HESSIAN, v, K, hv));
    infl_objective *three = objective_of(s.model, s.dataset, 3);
    assert_ok(infl_objective_evaluate(three, &value_of_three, sum));
    assert_ok(infl_objective_product(three, INFL_HESSIAN, v, K, other));
    assert_same_bits(&value_of_three, &value, 1, "value on 3 threads");
    assert_same_bits(sum, g, p, "gradient on 3 threads");
    assert_same_bits(other, hv, K * p, "Hv on 3 threads");
    infl_objective_destroy(three);

    /* a rounding of f32 is 6e-8; through up to 53 layers and back, 100 of them and their growth stay below */
    assert_ok(infl_objective_evaluate(single.objective, &value_of_single, sum));
    assert_ok(infl_objective_product(single.objective, INFL_HESSIAN, v, K, other));
    assert_close(&value_of_single, &value, 1, 1e-4, "value in f32");
    assert_close(sum, g, p, 1e-4, "gradient in f32");
    assert_close(other, hv, K * p, 1e-4, "Hv in f32");
    subject_destroy(&s);
    subject_destroy(&single);
    free(v);
    free(rows);
    free(sum);
    free(g);
    free(hv);
    free(other);
    free(products);
}
END_TEST

Suite *zoo_suite(void) {
    Suite *suite = suite_create("zoo");
    add_case(suite, "zoo/counts", test_counts, N_NETWORKS);
    add_case(suite, "zoo/defaults", test_defaults, 1);
    add_case(suite, "zoo/widths", test_widths, 1);
    add_case(suite, "zoo/names", test_names, 1);
    add_case(suite, "zoo/tensors", test_tensors, 1);
    add_case(suite, "zoo/layers", test_layers, 1);
    add_case(suite, "zoo/initial-values", test_initial_values, 1);
    add_case(suite, "zoo/refused", test_refused, 1);
    add_case(suite, "zoo/small-images", test_small_images, N_NETWORKS);
    add_case(suite, "zoo/in-a-graph", test_in_a_graph, 1);
    add_case(suite, "zoo/differences", test_differences, 2 * N_NETWORKS);
    add_case(suite, "zoo/agreement", test_agreement, 2 * N_NETWORKS);
    return suite;
}

/*
 * Structs that begin with their size, as programs built with other headers hand them over: shorter by fields that came
 * later, which then have their defaults, and longer by fields that are not known here, which may only be zero. Which
 * structs there are and which functions take them is read off the header (growth.inc): each pair has a case below.
 *
 * Every struct ends at a page that can be neither read nor written, and is itself read-only unless it is an output.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "files.h"
#include "influence.h"
#include "suites.h"

#define assert_ok(call) ck_assert_msg((call) == INFL_OK, "%s", infl_last_error())

#define TAKES(function, type)
#define GROWS(type, init) static const type init_of_##type = init;
#include "growth.inc"
#undef GROWS
static const struct {
    const char *type;
    const void *init;
    size_t size;
} structs[] = {
#define GROWS(type, init) {#type, &init_of_##type, sizeof(type)},
#include "growth.inc"
#undef GROWS
#undef TAKES
};
static const struct {
    const char *function, *type;
} pairs[] = {
#define GROWS(type, init)
#define TAKES(function, type) {#function, #type},
#include "growth.inc"
};
enum { N_STRUCTS = sizeof structs / sizeof structs[0], N_PAIRS = sizeof pairs / sizeof pairs[0] };

static char *page; /* the struct ends where it does, and the next page is out of bounds */
static size_t page_size;

/* ---- what a call did */

typedef struct outcome {
    infl_status status;
    char message[512];
    size_t n;
    double numbers[512];
} outcome;

static void record(outcome *o, const double *numbers, size_t n) {
    ck_assert_uint_le(o->n + n, sizeof o->numbers / sizeof o->numbers[0]);
    memcpy(o->numbers + o->n, numbers, n * sizeof *numbers);
    o->n += n;
}

static void record_one(outcome *o, double number) { record(o, &number, 1); }

/* Keeps a status and its sentence; whether it is INFL_OK. */
static int went_well(outcome *o, infl_status status) {
    o->status = status;
    snprintf(o->message, sizeof o->message, "%s", status == INFL_OK ? "" : infl_last_error());
    return status == INFL_OK;
}

static int same(const outcome *a, const outcome *b) {
    return a->status == b->status && strcmp(a->message, b->message) == 0 && a->n == b->n &&
           memcmp(a->numbers, b->numbers, a->n * sizeof *a->numbers) == 0;
}

static int counted;
static int count(void *context, const char *stage, size_t done, size_t total) {
    (void)stage, (void)done, (void)total;
    counted += context == &counted;
    return 0;
}

/* ---- something to work on: softmax regression of three classes on images of 2×2 pixels */

enum { N = 12, D = 4, C = 3, P = D * C + C };

static double features[N * D];
static int32_t labels[N];
static double targets[N];

typedef struct world {
    infl_dataset *dataset;
    infl_model *model;
    infl_objective *objective;
    infl_curvature *curvature;
} world;

static infl_model *regression(infl_precision precision) {
    infl_builder *builder;
    infl_model *model;
    assert_ok(infl_builder_create_image(&builder, 1, 2, 2));
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, C, 1, INFL_INIT_GLOROT);
    assert_ok(infl_model_create(&model, builder, node, precision, 1));
    infl_builder_destroy(builder);
    return model;
}

static void make_data(void) {
    for (size_t i = 0; i < N; i++) {
        labels[i] = (int32_t)(i % C);
        targets[i] = (double)(i * i % 7) - 3.0;
        for (size_t j = 0; j < D; j++)
            features[i * D + j] = (double)((i * 7 + j * 5 + i * j) % 11) / 5.0 - 1.0;
    }
}

static infl_dataset *rows(const double *real) {
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_dataset *dataset;
    spec.n_rows = N;
    spec.n_features = D;
    spec.features = features;
    spec.labels = real == NULL ? labels : NULL;
    spec.targets = real;
    spec.n_targets = real == NULL ? 0 : 1;
    assert_ok(infl_dataset_create(&dataset, &spec));
    return dataset;
}

static world create_world(void) {
    world w;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = 1;
    options.decay = 0.1;
    w.dataset = rows(NULL);
    w.model = regression(INFL_F64);
    assert_ok(infl_objective_create(&w.objective, w.model, &loss, w.dataset, &options));
    assert_ok(infl_curvature_create(&w.curvature, w.objective, INFL_HESSIAN, 0.01));
    return w;
}

static void destroy_world(world *w) {
    infl_curvature_destroy(w->curvature);
    infl_objective_destroy(w->objective);
    infl_model_destroy(w->model);
    infl_dataset_destroy(w->dataset);
}

static void record_model(outcome *o, const infl_model *model) {
    double theta[64], state[64];
    size_t p = infl_model_parameters(model);
    record_one(o, (double)p);
    record_one(o, (double)infl_model_inputs(model));
    record_one(o, (double)infl_model_outputs(model));
    record_one(o, (double)infl_model_state(model));
    if (p > sizeof theta / sizeof theta[0])
        return;
    assert_ok(infl_model_get_parameters(model, theta));
    assert_ok(infl_model_get_state(model, state));
    record(o, theta, p);
    record(o, state, infl_model_state(model));
}

static void record_dataset(outcome *o, const infl_dataset *dataset) {
    size_t n = infl_dataset_rows(dataset), d = infl_dataset_features(dataset);
    double row[8], target;
    record_one(o, (double)infl_dataset_targets(dataset));
    for (size_t i = 0; i < n && d <= 8; i++) {
        assert_ok(infl_dataset_get(dataset, i, row, &target));
        record(o, row, d);
        record_one(o, target);
    }
    record_one(o, (double)n);
    record_one(o, (double)d);
}

static void record_objective(outcome *o, infl_objective *objective) {
    double value, gradient[P], vector[P], product[P];
    size_t p = infl_objective_parameters(objective);
    for (size_t i = 0; i < p; i++)
        vector[i] = 1.0 + (double)i;
    if (!went_well(o, infl_objective_evaluate(objective, &value, gradient)))
        return;
    record_one(o, value);
    record(o, gradient, p);
    for (int kind = INFL_HESSIAN; kind <= INFL_GAUSS_NEWTON; kind++)
        if (went_well(o, infl_objective_product(objective, (infl_curvature_kind)kind, vector, 1, product)))
            record(o, product, p);
}

/* ---- one call of each function with each struct, its fields set to something else than their defaults */

static const infl_dataset_spec given_dataset_spec = {
    sizeof given_dataset_spec, N, D, features, NULL, labels, 5, NULL, 0, 1};

static void dataset_create(void *spec, outcome *o) {
    infl_dataset *dataset;
    if (went_well(o, infl_dataset_create(&dataset, spec))) {
        record_dataset(o, dataset);
        infl_dataset_destroy(dataset);
    }
}

static const int skipped[] = {1};
static const infl_csv_options given_csv_options = {
    sizeof given_csv_options, ';', 1, 0, INFL_TARGET_REAL, 2, INFL_F32, NULL, skipped, 1};

static temporary_file csv_file, images_file, labels_file, cifar_file;

static void dataset_from_csv(void *options, outcome *o) {
    infl_dataset *dataset;
    if (went_well(o, infl_dataset_from_csv(&dataset, csv_file.path, options))) {
        record_dataset(o, dataset);
        infl_dataset_destroy(dataset);
    }
}

static const infl_image_options given_image_options = {sizeof given_image_options, 0.3, 1.0, INFL_F64, 10, 1, 1};

static void record_images(outcome *o, infl_dataset *dataset) {
    static double row[3072];
    double target;
    record_dataset(o, dataset);
    for (size_t i = 0; i < infl_dataset_rows(dataset); i++) {
        assert_ok(infl_dataset_get(dataset, i, row, &target));
        record(o, row, 4);
        record_one(o, target);
    }
    infl_dataset_destroy(dataset);
}

static void dataset_from_idx(void *options, outcome *o) {
    infl_dataset *dataset;
    if (went_well(o, infl_dataset_from_idx(&dataset, images_file.path, labels_file.path, options)))
        record_images(o, dataset);
}

static void dataset_from_cifar10(void *options, outcome *o) {
    const char *path = cifar_file.path;
    infl_dataset *dataset;
    if (went_well(o, infl_dataset_from_cifar10(&dataset, &path, 1, options)))
        record_images(o, dataset);
}

/* three rows of two features, and real targets */
static const infl_npy_options given_npy_options = {sizeof given_npy_options, 0.3, 1.0, INFL_F32, INFL_TARGET_REAL, 5};

static temporary_file npy_file(const char *shape, const unsigned char *numbers, size_t n) {
    unsigned char bytes[160] = "\x93NUMPY\x01";
    bytes[8] = 118;
    memset(bytes + 10, ' ', 118);
    int length = snprintf((char *)bytes + 10, 118, "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }", shape);
    bytes[10 + length] = ' ';
    memcpy(bytes + 128, numbers, n);
    return write_file(bytes, 128 + n, 0);
}

static void dataset_from_npy(void *options, outcome *o) {
    infl_dataset *dataset;
    temporary_file x = npy_file("(3, 2)", (const unsigned char *)"\1\2\3\4\5\6", 6);
    temporary_file y = npy_file("(3,)", (const unsigned char *)"\0\2\1", 3);
    if (went_well(o, infl_dataset_from_npy(&dataset, x.path, y.path, options))) {
        record_dataset(o, dataset);
        infl_dataset_destroy(dataset);
    }
    unlink(x.path);
    unlink(y.path);
}

static const infl_conv2d given_conv2d = {sizeof given_conv2d, 4, {2, 1}, {1, 2}, {1, 0}, 2, 0, INFL_INIT_GLOROT};
static const infl_pool2d given_pool2d = {sizeof given_pool2d, {3, 2}, {1, 2}, {1, 1}};
static const infl_batch_norm given_batch_norm = {sizeof given_batch_norm, 0.5, 0.3};

/* The network that one layer makes, what it gives for some images, and its state after a step of training. */
static void build(outcome *o, size_t channels, infl_node (*layer)(infl_builder *, const void *), const void *options) {
    infl_builder *builder;
    infl_model *model;
    assert_ok(infl_builder_create_image(&builder, channels, 6, 4));
    infl_node node = layer(builder, options);
    node = infl_builder_dense(builder, infl_builder_global_average_pool(builder, node), 1, 0, INFL_INIT_GLOROT);
    int built = went_well(o, infl_model_create(&model, builder, node, INFL_F64, 1));
    infl_builder_destroy(builder);
    if (!built)
        return;
    enum { IMAGES = 3 };
    double pixels[IMAGES * 2 * 24], outputs[IMAGES];
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SQUARED_ERROR);
    infl_train_options steps = INFL_TRAIN_OPTIONS_INIT;
    infl_dataset *dataset;
    infl_objective *objective;
    for (size_t i = 0; i < sizeof pixels / sizeof pixels[0]; i++)
        pixels[i] = (double)(i * i % 23) / 10.0;
    spec.n_rows = IMAGES;
    spec.n_features = channels * 24;
    spec.features = pixels;
    spec.targets = targets;
    spec.n_targets = 1;
    steps.steps = 1;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_model_predict(model, dataset, outputs));
    record(o, outputs, IMAGES);
    record_model(o, model);
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, NULL));
    assert_ok(infl_train(objective, &steps, NULL));
    record_model(o, model);
    infl_objective_destroy(objective);
    infl_dataset_destroy(dataset);
    infl_model_destroy(model);
}

static infl_node conv2d(infl_builder *b, const void *options) {
    return infl_builder_conv2d(b, INFL_NODE_INPUT, options);
}
static infl_node largest(infl_builder *b, const void *options) {
    return infl_builder_max_pool2d(b, INFL_NODE_INPUT, options);
}
static infl_node average(infl_builder *b, const void *options) {
    return infl_builder_average_pool2d(b, INFL_NODE_INPUT, options);
}
static infl_node normalise(infl_builder *b, const void *options) {
    return infl_builder_batch_norm(b, INFL_NODE_INPUT, options);
}
static void builder_conv2d(void *options, outcome *o) { build(o, 2, conv2d, options); }
static void builder_max_pool2d(void *options, outcome *o) { build(o, 2, largest, options); }
static void builder_average_pool2d(void *options, outcome *o) { build(o, 2, average, options); }
static void builder_batch_norm(void *options, outcome *o) { build(o, 2, normalise, options); }

static const infl_zoo_options given_zoo_options = {sizeof given_zoo_options, 2, 40, 37, 4, 1, 0.5};

static void model_create_zoo(void *options, outcome *o) {
    infl_model *model;
    if (went_well(o, infl_model_create_zoo(&model, INFL_ZOO_LENET5, options, INFL_F32, 1))) {
        record_model(o, model);
        infl_model_destroy(model);
    }
}

static void builder_zoo(void *options, outcome *o) {
    infl_builder *builder;
    infl_model *model;
    assert_ok(infl_builder_create_image(&builder, 2, 40, 37));
    infl_node node = infl_builder_zoo(builder, INFL_NODE_INPUT, INFL_ZOO_LENET5, options);
    if (went_well(o, infl_model_create(&model, builder, node, INFL_F32, 1))) {
        record_model(o, model);
        infl_model_destroy(model);
    }
    infl_builder_destroy(builder);
}

/* the names of regression()'s weight and bias, less the prefix, and of nothing else */
static const char *const weight_names[] = {"w", "b"};
static const infl_weights_options given_weights_options = {
    sizeof given_weights_options, INFL_NAMES_TABLE, 0, weight_names, 2, "prefix.", 1};

static void hide_name(outcome *o, const temporary_file *file) { /* another at every call */
    char *path = strstr(o->message, file->path);
    if (path != NULL)
        memset(path, 'x', strlen(file->path));
}

static void record_file(outcome *o, const temporary_file *file) {
    unsigned char bytes[2048];
    size_t n = read_back(file, bytes, sizeof bytes);
    for (size_t i = 0; i < n; i += 8)
        record_one(o, bytes[i]);
}

static void model_write_weights(void *options, outcome *o) {
    infl_model *model = regression(INFL_F32);
    temporary_file file = write_file("", 0, 0);
    if (went_well(o, infl_model_write_weights(model, file.path, options)))
        record_file(o, &file);
    hide_name(o, &file);
    unlink(file.path);
    infl_model_destroy(model);
}

static void model_read_weights(void *options, outcome *o) {
    infl_model *model = regression(INFL_F32);
    temporary_file file = write_file("", 0, 0);
    assert_ok(infl_model_write_weights(model, file.path, &given_weights_options));
    assert_ok(infl_model_initialise(model, 2));
    if (went_well(o, infl_model_read_weights(model, file.path, options)))
        record_model(o, model);
    hide_name(o, &file);
    unlink(file.path);
    infl_model_destroy(model);
}

static const infl_loss given_loss = {sizeof given_loss, INFL_SMOOTHED_HINGE, 0.7};

static void loss_evaluate(void *loss, outcome *o) {
    double output = 0.3, target = 0.0, results[3];
    if (went_well(o, infl_loss_evaluate(loss, &output, 1, &target, &results[0], &results[1], &results[2])))
        record(o, results, 3);
}

static void loss_of_objective(void *loss, outcome *o) {
    size_t units[] = {1};
    double two_classes[] = {0, 1, 1};
    int32_t sides[N];
    infl_model *model;
    infl_dataset *dataset;
    infl_objective *objective;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    for (size_t i = 0; i < N; i++)
        sides[i] = (int32_t)two_classes[i % 3];
    spec.n_rows = N;
    spec.n_features = D;
    spec.features = features;
    spec.labels = sides;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_model_create_mlp(&model, INFL_F64, D, units, 1, INFL_TANH, INFL_INIT_GLOROT, 1));
    if (went_well(o, infl_objective_create(&objective, model, loss, dataset, NULL))) {
        record_objective(o, objective);
        infl_objective_destroy(objective);
    }
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
}

static const size_t some_parameters[] = {1, 4, 13};
static const infl_objective_options given_objective_options = {
    sizeof given_objective_options, 0.3, INFL_DECAY_WEIGHTS, 1, (size_t)1 << 27, 0, some_parameters, 3};

static void objective_create(void *options, outcome *o) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_dataset *dataset = rows(NULL);
    infl_model *model = regression(INFL_F64);
    infl_objective *objective;
    if (went_well(o, infl_objective_create(&objective, model, &loss, dataset, options))) {
        record_objective(o, objective);
        infl_objective_destroy(objective);
    }
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
}

/* ℓ_i = ½(x_i·θ − y_i)², scaled by the context */
static int square_losses(void *context, const double *theta, const size_t *which, size_t n, double *losses) {
    for (size_t i = 0; i < n; i++) {
        double residual = -targets[which[i]];
        for (size_t j = 0; j < D; j++)
            residual += features[which[i] * D + j] * theta[j];
        losses[i] = (context == NULL ? 1.0 : *(const double *)context) * residual * residual / 2.0;
    }
    return 0;
}

static int square_gradients(void *context, const double *theta, const size_t *which, size_t n, double *gradients) {
    for (size_t i = 0; i < n; i++) {
        double residual = -targets[which[i]];
        for (size_t j = 0; j < D; j++)
            residual += features[which[i] * D + j] * theta[j];
        for (size_t j = 0; j < D; j++)
            gradients[i * D + j] =
                (context == NULL ? 1.0 : *(const double *)context) * residual * features[which[i] * D + j];
    }
    return 0;
}

static int square_products(void *context, const double *theta, const size_t *which, size_t n, const double *vectors,
                           size_t k, double *products) {
    (void)theta;
    memset(products, 0, k * D * sizeof *products);
    for (size_t v = 0; v < k; v++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < D; j++)
                for (size_t l = 0; l < D; l++)
                    products[v * D + j] += (context == NULL ? 1.0 : *(const double *)context) *
                                           features[which[i] * D + j] * features[which[i] * D + l] * vectors[v * D + l];
    return 0;
}

static double scale = 3.0;
static const unsigned char mask[D] = {1, 0, 1, 0};
static const double custom_start[D] = {0.1, 0.2, 0.3, 0.4};
static const infl_custom_objective given_custom_objective = {sizeof given_custom_objective,
                                                             N,
                                                             D,
                                                             &scale,
                                                             square_losses,
                                                             square_gradients,
                                                             square_products,
                                                             square_products,
                                                             mask};

static void custom_of(const infl_custom_objective *custom, const infl_objective_options *options, outcome *o) {
    infl_objective *objective;
    if (went_well(o, infl_objective_create_custom(&objective, custom, custom_start, options))) {
        record_objective(o, objective);
        infl_objective_destroy(objective);
    }
}

static void custom_create(void *custom, outcome *o) {
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = 0.5;
    custom_of(custom, &options, o);
}

static const size_t some_of_four[] = {0, 2};
static const infl_objective_options given_custom_options = {
    sizeof given_custom_options, 0.3, INFL_DECAY_WEIGHTS, 1, (size_t)1 << 27, 0, some_of_four, 2};

static void custom_options(void *options, outcome *o) { custom_of(&given_custom_objective, options, o); }

static const infl_dense_options given_dense_options = {sizeof given_dense_options, INFL_F32, 2, count, &counted};

static void objective_dense(void *options, outcome *o) {
    world w = create_world();
    double matrix[P * P];
    infl_dense_report report;
    if (went_well(o, infl_objective_dense(w.objective, INFL_HESSIAN, options, matrix, &report))) {
        record(o, matrix, P * P);
        record_one(o, report.deviation);
        record_one(o, (double)report.checked);
        for (size_t i = 0; i < sizeof report.reserved / sizeof report.reserved[0]; i++)
            ck_assert(report.reserved[i] == 0.0);
    }
    destroy_world(&w);
}

static const infl_derivatives_options given_derivatives_options = {sizeof given_derivatives_options, 1e-4, 1e-3, 3};

static void objective_check_derivatives(void *options, outcome *o) {
    world w = create_world();
    infl_derivatives_report report;
    if (went_well(o, infl_objective_check_derivatives(w.objective, NULL, 0, options, &report))) {
        record_one(o, report.gradients);
        record_one(o, report.hessian);
        record_one(o, report.symmetry);
        record_one(o, report.parts);
        for (size_t i = 0; i < sizeof report.reserved / sizeof report.reserved[0]; i++)
            ck_assert(report.reserved[i] == 0.0);
    }
    destroy_world(&w);
}

static void curvature_form(void *options, outcome *o) {
    world w = create_world();
    double matrix[P * P];
    infl_dense_report report;
    if (went_well(o, infl_curvature_form(w.curvature, options, &report))) {
        assert_ok(infl_curvature_dense(w.curvature, matrix));
        record(o, matrix, P * P);
        record_one(o, report.deviation);
        record_one(o, (double)report.checked);
    }
    destroy_world(&w);
}

static const infl_lanczos_options given_lanczos_options = {sizeof given_lanczos_options, 12, 1e-2, 5, 7};

static void curvature_lanczos(void *options, outcome *o) {
    world w = create_world();
    double values[2], residuals[2];
    if (went_well(o, infl_curvature_lanczos(w.curvature, 2, 1, options, values, NULL, residuals))) {
        record(o, values, 2);
        record(o, residuals, 2);
    }
    destroy_world(&w);
}

static const infl_inverse_options given_inverse_options = {sizeof given_inverse_options,
                                                           INFL_LISSA,
                                                           INFL_EIGEN_CLIP,
                                                           0.5,
                                                           0.2,
                                                           40,
                                                           1,
                                                           3.0,
                                                           5,
                                                           2,
                                                           10,
                                                           7,
                                                           count,
                                                           &counted,
                                                           1,
                                                           0};

static void record_inverse(outcome *o, infl_inverse *inverse) {
    double side[P], solution[P];
    infl_solve_report report;
    for (size_t i = 0; i < P; i++)
        side[i] = 1.0 + (double)(i % 4);
    if (went_well(o, infl_inverse_solve(inverse, side, 1, solution, &report))) {
        record(o, solution, P);
        record_one(o, report.residual);
        record_one(o, (double)report.iterations);
        for (size_t i = 0; i < sizeof report.reserved / sizeof report.reserved[0]; i++)
            ck_assert(report.reserved[i] == 0.0);
    }
    infl_inverse_destroy(inverse);
}

static void inverse_create(void *options, outcome *o) {
    world w = create_world();
    infl_inverse *inverse;
    if (went_well(o, infl_inverse_create(&inverse, w.curvature, options)))
        record_inverse(o, inverse);
    destroy_world(&w);
}

static const infl_inverse_options given_cg_options = {
    sizeof given_cg_options, INFL_CG, INFL_EIGEN_CLIP, 0.5, 1e-3, 60, 1, 0.0, 0, 1, 0, 7, count, &counted, 0, 6};

static const infl_inverse_options given_loading_options = {sizeof given_loading_options,
                                                           INFL_EIGEN,
                                                           INFL_EIGEN_CLIP,
                                                           0.5,
                                                           0.2,
                                                           40,
                                                           1,
                                                           3.0,
                                                           5,
                                                           2,
                                                           10,
                                                           7,
                                                           count,
                                                           &counted,
                                                           1,
                                                           0};

static void inverse_load(void *options, outcome *o) {
    world w = create_world();
    infl_inverse *inverse;
    infl_inverse_options eigen = INFL_INVERSE_OPTIONS_INIT;
    temporary_file file = write_file("", 0, 0);
    eigen.method = INFL_EIGEN;
    assert_ok(infl_inverse_create(&inverse, w.curvature, &eigen));
    assert_ok(infl_inverse_save(inverse, file.path));
    infl_inverse_destroy(inverse);
    if (went_well(o, infl_inverse_load(&inverse, w.curvature, file.path, options)))
        record_inverse(o, inverse);
    char *path = strstr(o->message, file.path);
    if (path != NULL) /* another name at every call */
        memset(path, 'x', strlen(file.path));
    unlink(file.path);
    destroy_world(&w);
}

static const infl_influence_options given_influence_options = {sizeof given_influence_options, INFL_ROW_DECAY_INCLUDED,
                                                               3};

static void influence_create(void *options, outcome *o) {
    world w = create_world();
    infl_inverse *inverse;
    infl_influence *influence;
    double scores[N], changes[N * N];
    assert_ok(infl_inverse_create(&inverse, w.curvature, NULL));
    if (went_well(o, infl_influence_create(&influence, w.objective, inverse, options))) {
        assert_ok(infl_influence_self(influence, NULL, 0, scores, NULL));
        assert_ok(infl_influence_removal_losses(influence, w.objective, NULL, 0, NULL, 0, changes, NULL));
        record(o, scores, N);
        record(o, changes, N * N);
        infl_influence_destroy(influence);
    }
    infl_inverse_destroy(inverse);
    destroy_world(&w);
}

static const size_t milestones[] = {3, 9};
static const infl_train_options given_train_options = {sizeof given_train_options,
                                                       INFL_SGD,
                                                       20,
                                                       5,
                                                       0.2,
                                                       0.5,
                                                       1,
                                                       0.8,
                                                       0.99,
                                                       1e-3,
                                                       milestones,
                                                       2,
                                                       0.3,
                                                       1e-6,
                                                       4,
                                                       7,
                                                       count,
                                                       &counted,
                                                       6,
                                                       1,
                                                       1,
                                                       1};
static const infl_train_options given_adam_options = {sizeof given_adam_options,
                                                      INFL_ADAM,
                                                      20,
                                                      5,
                                                      0.2,
                                                      0.0,
                                                      0,
                                                      0.8,
                                                      0.99,
                                                      1e-3,
                                                      milestones,
                                                      2,
                                                      0.3,
                                                      1e-6,
                                                      4,
                                                      7,
                                                      count,
                                                      &counted,
                                                      6,
                                                      1,
                                                      1,
                                                      1};

static void record_result(outcome *o, const infl_train_result *result) {
    record_one(o, result->value);
    record_one(o, result->gradient_norm);
    record_one(o, (double)result->steps);
    record_one(o, (double)result->reason);
    record_one(o, (double)result->products);
    for (size_t i = 0; i < sizeof result->reserved / sizeof result->reserved[0]; i++)
        ck_assert(result->reserved[i] == 0.0);
}

static void train(void *options, outcome *o) {
    world w = create_world();
    infl_train_result result;
    if (went_well(o, infl_train(w.objective, options, &result))) {
        record_result(o, &result);
        record_model(o, w.model);
    }
    destroy_world(&w);
}

static const infl_polish_options given_polish_options = {
    sizeof given_polish_options, 1e-4, 3, 5, count, &counted, NULL};

static void polish(void *options, outcome *o) {
    world w = create_world();
    infl_train_result result;
    if (went_well(o, infl_polish(w.objective, options, &result))) {
        record_result(o, &result);
        record_model(o, w.model);
    }
    destroy_world(&w);
}

static const size_t removed[] = {2, 5};

static void retrain_by(const infl_retrain_options *options, outcome *o) {
    world w = create_world();
    double norms[2], cosines[2], losses[2 * N];
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    int is_predicted = options->size > offsetof(infl_retrain_options, predicted) && options->size < page_size &&
                       options->predicted != NULL;
    output.norms = norms;
    output.cosines = is_predicted ? cosines : NULL;
    output.loss_changes = losses;
    if (went_well(o, infl_retrain_without(w.objective, removed, 2, w.objective, NULL, 0, options, &output))) {
        record(o, norms, 2);
        record(o, losses, 2 * N);
        if (is_predicted)
            record(o, cosines, 2);
        record_one(o, (double)output.unconverged);
    }
    destroy_world(&w);
}

static void retrain_train(void *options, outcome *o) {
    infl_retrain_options retrain = INFL_RETRAIN_OPTIONS_INIT;
    retrain.train = options;
    retrain_by(&retrain, o);
}

static void retrain_polish(void *options, outcome *o) {
    infl_retrain_options retrain = INFL_RETRAIN_OPTIONS_INIT;
    retrain.polish = options;
    retrain_by(&retrain, o);
}

static const double start[P] = {0.1, 0.2, 0.3}, predicted[2 * P] = {1, 2, 3, [P] = 3, 2, 1};
static const infl_retrain_options given_retrain_options = {sizeof given_retrain_options,
                                                           &given_train_options,
                                                           &given_polish_options,
                                                           start,
                                                           predicted,
                                                           0,
                                                           1,
                                                           count,
                                                           &counted,
                                                           NULL,
                                                           NULL};

static void retrain_options(void *options, outcome *o) { retrain_by(options, o); }

static double out_changes[2 * P], out_norms[2], out_cosines[2], out_losses[2 * N], out_drift[P], out_control[N];
static infl_train_result out_results[2], out_result;
static const infl_retrain_output given_retrain_output = {sizeof given_retrain_output,
                                                         out_changes,
                                                         out_norms,
                                                         out_cosines,
                                                         out_losses,
                                                         out_results,
                                                         out_drift,
                                                         out_control,
                                                         &out_result,
                                                         77,
                                                         78,
                                                         79};

static void retrain_output(void *output, outcome *o) {
    world w = create_world();
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    size_t size;
    options.predicted = predicted;
    out_changes[0] = out_norms[0] = out_cosines[0] = out_losses[0] = out_drift[0] = out_control[0] = -77.0;
    memset(out_results, 0, sizeof out_results);
    memset(&out_result, 0, sizeof out_result);
    memcpy(&size, output, sizeof size);
    if (went_well(o, infl_retrain_without(w.objective, removed, 2, w.objective, NULL, 0, &options, output))) {
        size_t after;
        memcpy(&after, output, sizeof after);
        ck_assert_uint_eq(after, size);
        record(o, out_changes, 2 * P);
        record(o, out_norms, 2);
        record(o, out_cosines, 2);
        record(o, out_losses, 2 * N);
        record(o, out_drift, P);
        record(o, out_control, N);
        record_result(o, &out_results[1]);
        record_result(o, &out_result);
    }
    destroy_world(&w);
}

static const infl_scores_save_options given_save_options = {sizeof given_save_options, INFL_F32, "a", "b", "c"};

static void scores_save(void *options, outcome *o) {
    world w = create_world();
    infl_inverse *inverse;
    infl_influence *influence;
    infl_scores *scores, *loaded;
    infl_scores_info info;
    temporary_file place = write_file("", 0, 0);
    char npy[600], json[600];
    assert_ok(infl_inverse_create(&inverse, w.curvature, NULL));
    assert_ok(infl_influence_create(&influence, w.objective, inverse, NULL));
    assert_ok(infl_scores_create(&scores, influence, INFL_QUANTITY_SELF, NULL, NULL, 0, NULL, 0));
    if (went_well(o, infl_scores_save(scores, place.path, options))) {
        assert_ok(infl_scores_load(&loaded, place.path));
        assert_ok(infl_scores_describe(loaded, &info));
        record(o, infl_scores_values(loaded), N);
        record_one(o, info.stored);
        const char *const texts[] = {info.label, info.note, info.date};
        for (size_t i = 0; i < 3; i++)
            record_one(o, texts[i] == NULL ? -1 : texts[i][0]);
        for (size_t i = 0; i < sizeof info.reserved / sizeof info.reserved[0]; i++)
            ck_assert(info.reserved[i] == 0.0);
        infl_scores_destroy(loaded);
    }
    snprintf(npy, sizeof npy, "%s.npy", place.path);
    snprintf(json, sizeof json, "%s.json", place.path);
    unlink(npy);
    unlink(json);
    unlink(place.path);
    infl_scores_destroy(scores);
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    destroy_world(&w);
}

static const struct {
    const char *function, *type;
    const void *given;
    void (*call)(void *given, outcome *o);
    int written; /* by the call */
} cases[] = {
    {"infl_dataset_create", "infl_dataset_spec", &given_dataset_spec, dataset_create, 0},
    {"infl_dataset_from_csv", "infl_csv_options", &given_csv_options, dataset_from_csv, 0},
    {"infl_dataset_from_idx", "infl_image_options", &given_image_options, dataset_from_idx, 0},
    {"infl_dataset_from_cifar10", "infl_image_options", &given_image_options, dataset_from_cifar10, 0},
    {"infl_dataset_from_npy", "infl_npy_options", &given_npy_options, dataset_from_npy, 0},
    {"infl_builder_conv2d", "infl_conv2d", &given_conv2d, builder_conv2d, 0},
    {"infl_builder_max_pool2d", "infl_pool2d", &given_pool2d, builder_max_pool2d, 0},
    {"infl_builder_average_pool2d", "infl_pool2d", &given_pool2d, builder_average_pool2d, 0},
    {"infl_builder_batch_norm", "infl_batch_norm", &given_batch_norm, builder_batch_norm, 0},
    {"infl_model_create_zoo", "infl_zoo_options", &given_zoo_options, model_create_zoo, 0},
    {"infl_builder_zoo", "infl_zoo_options", &given_zoo_options, builder_zoo, 0},
    {"infl_model_read_weights", "infl_weights_options", &given_weights_options, model_read_weights, 0},
    {"infl_model_write_weights", "infl_weights_options", &given_weights_options, model_write_weights, 0},
    {"infl_loss_evaluate", "infl_loss", &given_loss, loss_evaluate, 0},
    {"infl_objective_create", "infl_loss", &given_loss, loss_of_objective, 0},
    {"infl_objective_create", "infl_objective_options", &given_objective_options, objective_create, 0},
    {"infl_objective_create_custom", "infl_custom_objective", &given_custom_objective, custom_create, 0},
    {"infl_objective_create_custom", "infl_objective_options", &given_custom_options, custom_options, 0},
    {"infl_objective_dense", "infl_dense_options", &given_dense_options, objective_dense, 0},
    {"infl_objective_check_derivatives", "infl_derivatives_options", &given_derivatives_options,
     objective_check_derivatives, 0},
    {"infl_curvature_form", "infl_dense_options", &given_dense_options, curvature_form, 0},
    {"infl_curvature_lanczos", "infl_lanczos_options", &given_lanczos_options, curvature_lanczos, 0},
    {"infl_inverse_create", "infl_inverse_options", &given_inverse_options, inverse_create, 0},
    {"infl_inverse_create", "infl_inverse_options", &given_cg_options, inverse_create, 0},
    {"infl_inverse_load", "infl_inverse_options", &given_loading_options, inverse_load, 0},
    {"infl_influence_create", "infl_influence_options", &given_influence_options, influence_create, 0},
    {"infl_scores_save", "infl_scores_save_options", &given_save_options, scores_save, 0},
    {"infl_train", "infl_train_options", &given_train_options, train, 0},
    {"infl_train", "infl_train_options", &given_adam_options, train, 0},
    {"infl_polish", "infl_polish_options", &given_polish_options, polish, 0},
    {"infl_retrain_without", "infl_train_options", &given_train_options, retrain_train, 0},
    {"infl_retrain_without", "infl_polish_options", &given_polish_options, retrain_polish, 0},
    {"infl_retrain_without", "infl_retrain_options", &given_retrain_options, retrain_options, 0},
    {"infl_retrain_without", "infl_retrain_output", &given_retrain_output, retrain_output, 1},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* ---- what each struct has to stand */

static void setup(void) {
    static const char text[] = "target;id;width;height\n1.5;7;2;3\n2.5;8;4;5\n-1;9;6;7\n";
    static const unsigned char image_bytes[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0,
                                                0, 2, 1, 2, 3, 4, 9, 8, 7, 6, 5, 5, 5, 0};
    static const unsigned char label_bytes[] = {0, 0, 8, 1, 0, 0, 0, 3, 1, 0, 2};
    static unsigned char records[3 * 3073];
    for (size_t i = 0; i < sizeof records; i++)
        records[i] = (unsigned char)(i % 3073 == 0 ? i % 10 : i % 251);
    make_data();
    csv_file = write_file(text, sizeof text - 1, 0);
    images_file = write_file(image_bytes, sizeof image_bytes, 0);
    labels_file = write_file(label_bytes, sizeof label_bytes, 0);
    cifar_file = write_file(records, sizeof records, 0);
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    page = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(page != MAP_FAILED);
    ck_assert_int_eq(mprotect(page + page_size, page_size, PROT_NONE), 0);
}

static void teardown(void) {
    munmap(page, 2 * page_size);
    unlink(csv_file.path);
    unlink(images_file.path);
    unlink(labels_file.path);
    unlink(cifar_file.path);
}

static size_t struct_of(int i) {
    for (size_t s = 0; s < N_STRUCTS; s++)
        if (strcmp(structs[s].type, cases[i].type) == 0)
            return s;
    ck_abort_msg("%s is no struct with a size", cases[i].type);
    return 0;
}

/* The call with these n bytes before the forbidden page, which say that they are `said`. */
static outcome call(int i, const void *bytes, size_t n, size_t said) {
    static outcome o;
    char *at = page + page_size - n;
    memset(&o, 0, sizeof o);
    counted = 0;
    ck_assert_int_eq(mprotect(page, page_size, PROT_READ | PROT_WRITE), 0);
    memset(page, 0x5a, page_size);
    memcpy(at, bytes, n);
    memcpy(at, &said, sizeof said);
    if (!cases[i].written)
        ck_assert_int_eq(mprotect(page, page_size, PROT_READ), 0);
    cases[i].call(at, &o);
    record_one(&o, counted);
    return o;
}

static int has(const outcome *o, const char *part) { return strstr(o->message, part) != NULL; }

START_TEST(all_have_a_case) {
    for (size_t s = 0; s < N_STRUCTS; s++) {
        int taken = 0;
        for (size_t j = 0; j < N_PAIRS; j++)
            taken |= strcmp(pairs[j].type, structs[s].type) == 0;
        ck_assert_msg(taken, "no function takes %s", structs[s].type);
    }
    for (size_t j = 0; j < N_PAIRS; j++) {
        int found = 0;
        for (size_t i = 0; i < N_CASES; i++)
            found |= strcmp(pairs[j].function, cases[i].function) == 0 && strcmp(pairs[j].type, cases[i].type) == 0;
        ck_assert_msg(found, "tests/test_growth.c has no case of %s with an %s", pairs[j].function, pairs[j].type);
    }
}
END_TEST

/* A struct that ends before a field is one in which that field and all later ones have their defaults. */
START_TEST(older) {
    size_t s = struct_of(_i), size = structs[s].size;
    char whole[1024];
    int differ = 0;
    outcome before;
    for (size_t n = sizeof(size_t); n <= size; n += sizeof(size_t)) {
        memcpy(whole, structs[s].init, size);
        memcpy(whole, cases[_i].given, n);
        outcome expected = call(_i, whole, size, size);
        outcome found = call(_i, whole, n, n);
        ck_assert_msg(same(&expected, &found), "%s with %zu of the %zu bytes of %s: %d \"%s\", expected %d \"%s\"",
                      cases[_i].function, n, size, cases[_i].type, (int)found.status, found.message,
                      (int)expected.status, expected.message);
        differ += n > sizeof(size_t) && !same(&before, &expected);
        before = expected;
    }
    ck_assert_msg(differ > 0, "%s: no field of %s made a difference", cases[_i].function, cases[_i].type);
    ck_assert_msg(before.status == INFL_OK, "%s: %s", cases[_i].function, before.message);
}
END_TEST

/* What a later version has appended is fine as long as it is zero. */
START_TEST(newer) {
    enum { MORE = 64 };
    size_t s = struct_of(_i), size = structs[s].size;
    char whole[1024 + MORE] = {0}, byte[32];
    memcpy(whole, cases[_i].given, size);
    outcome expected = call(_i, whole, size, size);
    outcome found = call(_i, whole, size + MORE, size + MORE);
    ck_assert_msg(same(&expected, &found), "%s: %s", cases[_i].function, found.message);
    if (cases[_i].written)
        for (size_t b = 0; b < MORE; b++)
            ck_assert_msg(page[page_size - MORE + b] == 0, "%s wrote beyond its %s", cases[_i].function,
                          cases[_i].type);
    for (size_t b = 0; b < MORE; b += b == 0 ? 7 : 8) {
        whole[size + b] = 1;
        found = call(_i, whole, size + MORE, size + MORE);
        snprintf(byte, sizeof byte, "byte %zu", size + b);
        ck_assert_msg(found.status == INFL_E_ARGUMENT && has(&found, byte) && has(&found, cases[_i].function),
                      "%s, %s: %d \"%s\"", cases[_i].function, byte, (int)found.status, found.message);
        whole[size + b] = 0;
    }
}
END_TEST

/* A size that no version of the struct can have: it was not initialised. Nothing but the size is read. */
START_TEST(uninitialised) {
    const size_t sizes[] = {0,       1, sizeof(size_t) - 1, sizeof(size_t) + 4, ((size_t)1 << 12) + 8, SIZE_MAX - 7,
                            SIZE_MAX};
    for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
        if (sizes[j] % sizeof(size_t) == 0 && sizes[j] == sizeof(size_t) + 4)
            continue; /* a whole struct where size_t has 4 bytes */
        outcome found = call(_i, &sizes[j], sizeof sizes[j], sizes[j]);
        ck_assert_msg(found.status == INFL_E_ARGUMENT && has(&found, "INIT") && has(&found, cases[_i].function),
                      "%s with size %zu: %d \"%s\"", cases[_i].function, sizes[j], (int)found.status, found.message);
    }
}
END_TEST

/* The counts are written where the caller's struct has them. */
START_TEST(output_counts) {
    world w = create_world();
    infl_retrain_output whole = INFL_RETRAIN_OUTPUT_INIT;
    const size_t ends[] = {offsetof(infl_retrain_output, resumed), offsetof(infl_retrain_output, dropped),
                           offsetof(infl_retrain_output, unconverged), sizeof whole};
    whole.resumed = whole.dropped = whole.unconverged = 77;
    for (size_t j = 0; j < sizeof ends / sizeof ends[0]; j++) {
        char *at = page + page_size - ends[j];
        memcpy(at, &whole, ends[j]);
        memcpy(at, &ends[j], sizeof ends[j]);
        assert_ok(
            infl_retrain_without(w.objective, removed, 2, NULL, NULL, 0, NULL, (infl_retrain_output *)(void *)at));
        for (size_t b = ends[0]; b < ends[j]; b += sizeof(size_t)) {
            size_t written;
            memcpy(&written, at + b, sizeof written);
            ck_assert_uint_eq(written, 0);
        }
    }
    destroy_world(&w);
}
END_TEST

static void add_growth_case(Suite *suite, const char *path, const TTest *test, int n) {
    TCase *tcase = tcase_create(path);
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test, 0, n);
    suite_add_tcase(suite, tcase);
}

Suite *growth_suite(void) {
    Suite *suite = suite_create("growth");
    add_growth_case(suite, "growth/all", all_have_a_case, 1);
    add_growth_case(suite, "growth/older", older, N_CASES);
    add_growth_case(suite, "growth/newer", newer, N_CASES);
    add_growth_case(suite, "growth/uninitialised", uninitialised, N_CASES);
    add_growth_case(suite, "growth/output", output_counts, 1);
    return suite;
}

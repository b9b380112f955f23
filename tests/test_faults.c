/*
 * Every allocation and every call on a file fails in turn, once and for good, in every public function: the status and
 * the sentence are right, outputs and files are as they were, nothing is leaked, and the same call again succeeds with
 * the same bits.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "faults.h"
#include "files.h"
#include "linear.h"
#include "suites.h"

/* ---- what the calls are given ----------------------------------------------------------------------------------- */

/* An objective of each source, and a network whose training takes a pass of its own. */
typedef enum source_kind { NETWORK, SINGLE, IMAGES, RESTRICTED, CUSTOM } source_kind;

/* How much of it there is, from left to right. */
typedef enum depth { NOTHING, DATA, OBJECTIVE, CURVATURE, INVERSE, INFLUENCE } depth;

enum { ROWS = 9, TEST_ROWS = 4, SIDE = 6, CLASSES = 3, LINEAR_SIZE = 4, PATH = 512 };

typedef struct world {
    source_kind source;
    infl_inverse_method method;
    infl_dataset *data, *test_data;
    infl_model *model;
    linear_problem linear;
    infl_objective *train, *test;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    infl_scores *scores;
    size_t p;
    double *vectors;       /* 2×p, each a different number */
    double *matrix;        /* p×p, symmetric and positive definite */
    char folder[PATH / 2]; /* of its own, to read from and write to */
} world;

/* What a call gives: all bytes are MARK before it, and so after a failure. */
typedef struct results {
    double numbers[1 << 13];
    size_t sizes[8];
    infl_solve_report reports[8];
    infl_train_result trained[8];
    infl_dense_report dense;
    infl_tensor tensor;
    infl_dataset *first, *second;
    infl_builder *builder;
    infl_model *model;
    infl_objective *objective;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    infl_scores *scores;
} results;
enum { MARK = 0xA5 };

typedef struct operation {
    const char *function;
    infl_status (*run)(world *w, results *r);
    void (*prepare)(world *w); /* what is done before, without faults; NULL: nothing */
    depth depth;
    source_kind source;
    infl_inverse_method method;
    const char *writes; /* the file in the folder that it makes; NULL: none */
    int appends;        /* to what is there, so that what one call wrote another goes on with */
} operation;

static const char *path_of(const world *w, const char *name) {
    static char path[4][PATH];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], PATH, "%s/%s", w->folder, name);
    return path[next];
}

static void put_file(const world *w, const char *name, const void *bytes, size_t n) {
    FILE *file = fopen(path_of(w, name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
}

static void put_packed(const world *w, const char *name, const void *bytes, size_t n) {
    gzFile file = gzopen(path_of(w, name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(gzwrite(file, bytes, (unsigned)n), (int)n);
    ck_assert_int_eq(gzclose(file), Z_OK);
}

static infl_dataset *make_data(source_kind source, size_t n) {
    double x[ROWS * SIDE * SIDE];
    int32_t labels[ROWS];
    uint64_t seed = n;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_dataset *data;
    spec.n_rows = n;
    spec.n_features = source == IMAGES ? SIDE * SIDE : 3;
    spec.features = x;
    spec.labels = labels;
    spec.n_classes = CLASSES;
    for (size_t i = 0; i < n * spec.n_features; i++)
        x[i] = linear_normal(&seed);
    for (size_t i = 0; i < n; i++)
        labels[i] = (int32_t)(i % CLASSES);
    assert_ok(infl_dataset_create(&data, &spec));
    return data;
}

/* Layers of all kinds, up to a vector of CLASSES. */
static infl_node all_layers(infl_builder *builder) {
    infl_conv2d conv = INFL_CONV2D_INIT;
    infl_pool2d pool = INFL_POOL2D_INIT;
    conv.channels = 2;
    conv.kernel[0] = conv.kernel[1] = 3;
    conv.padding[0] = conv.padding[1] = 1;
    infl_node a = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv);
    a = infl_builder_batch_norm(builder, a, NULL);
    infl_node b = infl_builder_activation(builder, a, INFL_TANH);
    a = infl_builder_max_pool2d(builder, infl_builder_add(builder, a, b), &pool);
    pool.kernel[0] = pool.kernel[1] = 1;
    a = infl_builder_average_pool2d(builder, a, &pool);
    b = infl_builder_global_average_pool(builder, a);
    a = infl_builder_dropout(builder, infl_builder_flatten(builder, a), 0.25);
    a = infl_builder_dense(builder, a, CLASSES, 1, INFL_INIT_GLOROT);
    return infl_builder_add(builder, a, infl_builder_dense(builder, b, CLASSES, 0, INFL_INIT_GLOROT));
}

static infl_model *make_model(source_kind source) {
    size_t units[] = {4, CLASSES};
    infl_model *model;
    if (source == IMAGES) {
        infl_builder *builder;
        assert_ok(infl_builder_create_image(&builder, 1, SIDE, SIDE));
        assert_ok(infl_model_create(&model, builder, all_layers(builder), INFL_F64, 1));
        infl_builder_destroy(builder);
    } else {
        infl_precision precision = source == SINGLE ? INFL_F32 : INFL_F64;
        assert_ok(infl_model_create_mlp(&model, precision, 3, units, 2, INFL_TANH, INFL_INIT_GLOROT, 1));
    }
    return model;
}

static infl_objective *make_objective(world *w, const infl_dataset *data, int threads) {
    static const size_t some[] = {0, 1, 2, 5, 17, 30};
    static const double theta[LINEAR_SIZE] = {0.1, -0.2, 0.3, 0.05};
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *objective;
    if (w->source == CUSTOM)
        return linear_objective(&w->linear, theta, threads);
    options.decay = 0.05;
    options.threads = threads;
    if (w->source == RESTRICTED) {
        options.parameters = some;
        options.n_parameters = sizeof some / sizeof *some;
    }
    assert_ok(infl_objective_create(&objective, w->model, &loss, data, &options));
    return objective;
}

static infl_inverse_options inverse_options(const world *w) {
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = w->method;
    options.eigen_policy = INFL_EIGEN_CLIP;
    options.accept_unconverged = 1;
    options.max_iterations = w->method == INFL_LISSA ? 150 : 0;
    options.lissa_repeats = 2;
    options.lissa_batch = w->source == CUSTOM ? INFL_ALL_ROWS : 0;
    return options;
}

static void make_arrays(world *w) {
    w->p = infl_objective_parameters(w->train);
    w->vectors = calloc(2 * w->p, sizeof *w->vectors);
    w->matrix = calloc(w->p * w->p, sizeof *w->matrix);
    ck_assert(w->vectors != NULL && w->matrix != NULL);
    for (size_t i = 0; i < 2 * w->p; i++)
        w->vectors[i] = cos(1.0 + (double)i);
    for (size_t i = 0; i < w->p; i++)
        for (size_t j = 0; j < w->p; j++)
            w->matrix[i * w->p + j] = (i == j ? 3.0 : 0.0) + w->vectors[i] * w->vectors[j];
}

static void make_folder(world *w) {
    const char *above = getenv("TMPDIR");
    snprintf(w->folder, sizeof w->folder, "%s/infl-faults-XXXXXX", above != NULL && above[0] != '\0' ? above : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(w->folder));
}

static world *make_world(const operation *o) {
    world *w = calloc(1, sizeof *w);
    ck_assert_ptr_nonnull(w);
    w->source = o->source;
    w->method = o->method;
    make_folder(w);
    if (o->depth >= DATA) {
        w->data = make_data(w->source, ROWS);
        w->test_data = make_data(w->source, TEST_ROWS);
        w->model = make_model(w->source);
        w->linear = linear_create(1, ROWS, LINEAR_SIZE, 0.1, 5);
    }
    if (o->depth >= OBJECTIVE) {
        w->train = make_objective(w, w->data, 2);
        w->test = make_objective(w, w->test_data, 2);
        make_arrays(w);
    }
    if (o->depth >= CURVATURE)
        assert_ok(infl_curvature_create(&w->curvature, w->train, w->source == CUSTOM ? INFL_HESSIAN : INFL_GAUSS_NEWTON,
                                        0.1));
    if (o->depth >= INVERSE) {
        infl_inverse_options options = inverse_options(w);
        assert_ok(infl_inverse_create(&w->inverse, w->curvature, &options));
    }
    if (o->depth >= INFLUENCE)
        assert_ok(infl_influence_create(&w->influence, w->train, w->inverse, NULL));
    if (o->prepare != NULL)
        o->prepare(w);
    return w;
}

/* Takes what is in the folder along. */
static void clear_folder(const world *w) {
    DIR *folder = opendir(w->folder);
    ck_assert_ptr_nonnull(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
            unlink(path_of(w, entry->d_name));
    closedir(folder);
}

static void destroy_world(world *w) {
    clear_folder(w);
    rmdir(w->folder);
    infl_scores_destroy(w->scores);
    infl_influence_destroy(w->influence);
    infl_inverse_destroy(w->inverse);
    infl_curvature_destroy(w->curvature);
    infl_objective_destroy(w->train);
    infl_objective_destroy(w->test);
    infl_model_destroy(w->model);
    infl_dataset_destroy(w->data);
    infl_dataset_destroy(w->test_data);
    linear_destroy(&w->linear);
    free(w->vectors);
    free(w->matrix);
    free(w);
}

/* ---- the calls -------------------------------------------------------------------------------------------------- */

#define OPERATION(name) static infl_status name(world *w, results *r)
#define UNUSED (void)w, (void)r
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        infl_status status_of_call_ = (call);                                                                          \
        if (status_of_call_ != INFL_OK)                                                                                \
            return status_of_call_;                                                                                    \
    } while (0)

static const size_t two_rows[] = {4, 1}, three_rows[] = {2, 0, 2};

OPERATION(dataset_create) {
    double x[] = {1, 2, 3, 4}, y[] = {0.5, -0.5};
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    UNUSED;
    spec.n_rows = spec.n_features = 2;
    spec.features = x;
    spec.targets = y;
    spec.n_targets = 1;
    return infl_dataset_create(&r->first, &spec);
}
OPERATION(dataset_create_borrowed) {
    static const float x[] = {1, 2, 3, 4};
    static const int32_t labels[] = {0, 1};
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    UNUSED;
    spec.n_rows = spec.n_features = 2;
    spec.features_f32 = x;
    spec.labels = labels;
    spec.borrow = 1;
    return infl_dataset_create(&r->first, &spec);
}
static void put_csv(world *w) {
    static const char text[] = "x,y,name\n1,2,ant\n3,4,bee\n5,6,ant\n\"7\",8,\"c,\"\"at\"\n";
    put_file(w, "data.csv", text, sizeof text - 1);
}
OPERATION(dataset_from_csv) { return infl_dataset_from_csv(&r->first, path_of(w, "data.csv"), NULL); }
static void put_long_csv(world *w) { /* more than a buffer, and arrays that grow */
    enum { LINES = 9000, LINE = 12 };
    static char text[LINES * LINE + 1];
    for (size_t i = 0; i < LINES; i++)
        snprintf(text + i * LINE, LINE + 1, "%03zu.5,%05zu\n", i % 999, i);
    put_file(w, "data.csv", text, LINES * LINE);
}
static void put_quoted_csv(world *w) { /* a field longer than a buffer, so that a read fails inside of it */
    enum { NAME = 70000 };
    static char text[NAME + 16];
    memset(text, 'a', sizeof text);
    memcpy(text, "1,\"", 3);
    memcpy(text + 3 + NAME, "\"\n2,b\n", 6);
    put_file(w, "data.csv", text, 3 + NAME + 6);
}
OPERATION(dataset_from_csv_real) {
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    options.target = INFL_TARGET_REAL;
    return infl_dataset_from_csv(&r->first, path_of(w, "data.csv"), &options);
}
static void put_classes(world *w) {
    put_csv(w);
    assert_ok(infl_dataset_from_csv(&w->data, path_of(w, "data.csv"), NULL));
    put_file(w, "data.csv", "1,9,bee\n2,9,bee\n", 16);
}
OPERATION(dataset_from_csv_known) {
    int skipped = 1;
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    options.classes = w->data;
    options.skip_columns = &skipped;
    options.n_skip_columns = 1;
    return infl_dataset_from_csv(&r->first, path_of(w, "data.csv"), &options);
}
OPERATION(dataset_iris) {
    UNUSED;
    return infl_dataset_iris(&r->first);
}
static void put_idx(world *w) {
    unsigned char images[16 + 3 * 4] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7};
    unsigned char labels[8 + 3] = {0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 0};
    put_packed(w, "images.gz", images, sizeof images);
    put_file(w, "labels", labels, sizeof labels);
}
OPERATION(dataset_from_idx) {
    return infl_dataset_from_idx(&r->first, path_of(w, "images.gz"), path_of(w, "labels"), NULL);
}
/* A file of bytes in NumPy's format. */
static void put_npy(const world *w, const char *name, const char *shape, const char *numbers, size_t n) {
    char bytes[160] = "\x93NUMPY\x01";
    bytes[8] = 118;
    memset(bytes + 10, ' ', 118);
    int length = snprintf(bytes + 10, 118, "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }", shape);
    bytes[10 + length] = ' ';
    memcpy(bytes + 128, numbers, n);
    put_file(w, name, bytes, 128 + n);
}
static void put_arrays(world *w) {
    put_npy(w, "x.npy", "(3, 2)", "\1\2\3\4\5\6", 6);
    put_npy(w, "y.npy", "(3,)", "\0\2\1", 3);
}
OPERATION(dataset_from_npy) { return infl_dataset_from_npy(&r->first, path_of(w, "x.npy"), path_of(w, "y.npy"), NULL); }
OPERATION(dataset_from_npy_real) {
    infl_npy_options options = INFL_NPY_OPTIONS_INIT;
    options.precision = INFL_F64;
    options.target = INFL_TARGET_REAL;
    return infl_dataset_from_npy(&r->first, path_of(w, "x.npy"), path_of(w, "y.npy"), &options);
}
static void put_cifar10(world *w) {
    static const unsigned char records[2][2 * 3073] = {{3, 1, 2, 3}, {7, 9, 9, 9}};
    put_file(w, "one", records[0], sizeof records[0]);
    put_packed(w, "two.gz", records[1], sizeof records[1]);
}
OPERATION(dataset_from_cifar10) {
    const char *paths[] = {path_of(w, "one"), path_of(w, "two.gz")};
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.precision = INFL_F64;
    return infl_dataset_from_cifar10(&r->first, paths, 2, &options);
}
OPERATION(dataset_relabel) {
    static const int32_t labels[] = {0, 2};
    return infl_dataset_relabel(&r->first, w->data, two_rows, 2, labels);
}
OPERATION(dataset_subset) { return infl_dataset_subset(&r->first, w->data, three_rows, 3); }
OPERATION(dataset_without) { return infl_dataset_without(&r->first, w->data, two_rows, 2); }
OPERATION(dataset_split) { return infl_dataset_split(&r->first, &r->second, w->data, 0.6, 1, 1); }
OPERATION(dataset_standardise) { return infl_dataset_standardise(&r->first, w->test_data, w->data); }
OPERATION(dataset_measure_channels) { return infl_dataset_measure_channels(w->data, 3, r->numbers, r->numbers + 3); }
OPERATION(dataset_normalise_channels) {
    static const double mean[] = {1, 2, 3}, deviation[] = {1, 0, 2};
    return infl_dataset_normalise_channels(&r->first, w->data, 3, mean, deviation);
}
OPERATION(dataset_get) { return infl_dataset_get(w->data, 3, r->numbers, r->numbers + 3); }
OPERATION(dataset_source_row) { return infl_dataset_source_row(w->data, 3, r->sizes); }
OPERATION(builder_create) {
    UNUSED;
    return infl_builder_create(&r->builder, 3);
}
OPERATION(builder_create_image) {
    UNUSED;
    return infl_builder_create_image(&r->builder, 1, SIDE, SIDE);
}
/* A layer's failure shows in infl_model_create. */
OPERATION(builder_layers) {
    infl_builder *builder;
    UNUSED;
    TRY(infl_builder_create_image(&builder, 1, SIDE, SIDE));
    infl_status status = infl_model_create(&r->model, builder, all_layers(builder), INFL_F64, 1);
    infl_builder_destroy(builder);
    return status;
}
OPERATION(builder_zoo) {
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    infl_builder *builder;
    UNUSED;
    options.width_factor = 0.02;
    TRY(infl_builder_create_image(&builder, 3, 32, 32));
    infl_node output = infl_builder_zoo(builder, INFL_NODE_INPUT, INFL_ZOO_RESNET18, &options);
    infl_status status = infl_model_create(&r->model, builder, output, INFL_F32, 1);
    infl_builder_destroy(builder);
    return status;
}
OPERATION(builder_shape) {
    infl_builder *builder;
    UNUSED;
    TRY(infl_builder_create_image(&builder, 1, SIDE, SIDE));
    infl_status status = infl_builder_shape(builder, INFL_NODE_INPUT, r->sizes, r->sizes + 1, r->sizes + 2);
    infl_builder_destroy(builder);
    return status;
}
OPERATION(model_create_mlp) {
    size_t units[] = {4, 3};
    UNUSED;
    return infl_model_create_mlp(&r->model, INFL_F32, 3, units, 2, INFL_GELU, INFL_INIT_HE, 1);
}
OPERATION(model_create_zoo) {
    UNUSED;
    return infl_model_create_zoo(&r->model, INFL_ZOO_KL_CNN, NULL, INFL_F32, 1);
}
OPERATION(model_clone) { return infl_model_clone(&r->model, w->model); }
OPERATION(model_convert) { return infl_model_convert(&r->model, w->model, INFL_F32); }
OPERATION(model_initialise) {
    UNUSED;
    return infl_model_initialise(w->model, 7);
}
OPERATION(model_get_parameters) { return infl_model_get_parameters(w->model, r->numbers); }
OPERATION(model_set_parameters) {
    UNUSED;
    return infl_model_set_parameters(w->model, w->vectors);
}
OPERATION(model_tensor) { return infl_model_tensor(w->model, 0, &r->tensor); }
OPERATION(model_get_state) { return infl_model_get_state(w->model, r->numbers); }
OPERATION(model_set_state) {
    static const double state[] = {0.5, 0.25, 2, 4};
    UNUSED;
    return infl_model_set_state(w->model, state);
}
OPERATION(model_state_tensor) { return infl_model_state_tensor(w->model, 0, &r->tensor); }
OPERATION(model_predict) { return infl_model_predict(w->model, w->data, r->numbers); }
OPERATION(model_accuracy) { return infl_model_accuracy(w->model, w->data, r->numbers); }
OPERATION(model_jvp) { return infl_model_jvp(w->model, w->data, w->vectors, 2, r->numbers); }
OPERATION(model_vjp) {
    double cotangents[2 * ROWS * CLASSES];
    for (size_t i = 0; i < sizeof cotangents / sizeof *cotangents; i++)
        cotangents[i] = sin((double)i);
    return infl_model_vjp(w->model, w->data, cotangents, 2, r->numbers);
}
OPERATION(loss_evaluate) {
    static const double outputs[] = {1, 2, 3}, target = 1;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    UNUSED;
    return infl_loss_evaluate(&loss, outputs, 3, &target, r->numbers, r->numbers + 1, r->numbers + 4);
}
OPERATION(objective_create) {
    static const size_t some[] = {1, 3, 4};
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.parameters = w->source == RESTRICTED ? some : NULL;
    options.n_parameters = w->source == RESTRICTED ? 3 : 0;
    return infl_objective_create(&r->objective, w->model, &loss, w->data, &options);
}
OPERATION(objective_create_custom) {
    static const double theta[LINEAR_SIZE] = {1, 2, 3, 4};
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = ROWS;
    custom.n_parameters = LINEAR_SIZE;
    custom.context = &w->linear;
    custom.losses = linear_losses;
    custom.row_gradients = linear_row_gradients;
    custom.decay_mask = w->linear.mask;
    return infl_objective_create_custom(&r->objective, &custom, theta, NULL);
}
OPERATION(objective_without) { return infl_objective_without(&r->objective, w->train, two_rows, 2); }
OPERATION(objective_get_parameters) { return infl_objective_get_parameters(w->train, r->numbers); }
OPERATION(objective_set_parameters) {
    UNUSED;
    return infl_objective_set_parameters(w->train, w->vectors);
}
OPERATION(objective_memory) { return infl_objective_memory(w->train, 3, r->sizes); }
OPERATION(objective_evaluate) { return infl_objective_evaluate(w->train, r->numbers, r->numbers + 1); }
OPERATION(objective_evaluate_rows) {
    return infl_objective_evaluate_rows(w->train, three_rows, 3, r->numbers, r->numbers + 1);
}
OPERATION(objective_losses) { return infl_objective_losses(w->train, NULL, 0, r->numbers); }
OPERATION(objective_row_gradients) { return infl_objective_row_gradients(w->train, NULL, 0, r->numbers); }
static int add_up(void *context, size_t first, size_t n, const double *gradients) {
    double *sum = context;
    *sum += (double)(first + n) * gradients[0];
    return 0;
}
OPERATION(objective_stream_row_gradients) {
    double sum = 0;
    TRY(infl_objective_stream_row_gradients(w->train, NULL, 0, 2, add_up, &sum));
    r->numbers[0] = sum;
    return INFL_OK;
}
OPERATION(objective_row_norms) { return infl_objective_row_norms(w->train, NULL, 0, r->numbers); }
OPERATION(objective_row_products) {
    return infl_objective_row_products(w->train, three_rows, 3, w->vectors, 2, r->numbers);
}
OPERATION(objective_weighted_gradients) {
    static const double weights[] = {1, 2, 3, 4, 5, 6};
    return infl_objective_weighted_gradients(w->train, three_rows, 3, weights, 2, r->numbers);
}
static infl_curvature_kind kind_of(const world *w) { return w->source == CUSTOM ? INFL_HESSIAN : INFL_GAUSS_NEWTON; }
OPERATION(objective_product) { return infl_objective_product(w->train, INFL_HESSIAN, w->vectors, 2, r->numbers); }
static void multiply(world *w) { /* the second product at a θ keeps values */
    double products[2 * 256];
    ck_assert_uint_le(w->p, 256);
    assert_ok(infl_objective_product(w->train, INFL_HESSIAN, w->vectors, 2, products));
}
OPERATION(objective_product_rows) {
    return infl_objective_product_rows(w->train, INFL_FISHER, three_rows, 3, w->vectors, 2, r->numbers);
}
OPERATION(objective_dense) {
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    options.check_columns = 2;
    return infl_objective_dense(w->train, INFL_HESSIAN, &options, r->numbers, &r->dense);
}
OPERATION(objective_dense_gauss_newton) {
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    options.precision = INFL_F32;
    return infl_objective_dense(w->train, INFL_GAUSS_NEWTON, &options, r->numbers, &r->dense);
}
OPERATION(curvature_create) { return infl_curvature_create(&r->curvature, w->train, kind_of(w), INFL_DAMPING_AUTO); }
OPERATION(curvature_from_matrix) { return infl_curvature_from_matrix(&r->curvature, w->matrix, w->p, 0.5); }
static int double_it(void *context, const double *vectors, size_t k, double *products) {
    const size_t *p = context;
    for (size_t i = 0; i < k * *p; i++)
        products[i] = 2 * vectors[i];
    return 0;
}
OPERATION(curvature_from_product) { return infl_curvature_from_product(&r->curvature, double_it, &w->p, w->p, 0.5); }
OPERATION(curvature_product) { return infl_curvature_product(w->curvature, w->vectors, 2, r->numbers); }
OPERATION(curvature_dense) { return infl_curvature_dense(w->curvature, r->numbers); }
OPERATION(curvature_set_damping) {
    UNUSED;
    return infl_curvature_set_damping(w->curvature, INFL_DAMPING_AUTO);
}
OPERATION(curvature_form) { return infl_curvature_form(w->curvature, NULL, &r->dense); }
static void form(world *w) { assert_ok(infl_curvature_form(w->curvature, NULL, NULL)); }
static void put_earlier(world *w) { put_file(w, "saved", "earlier", 7); }
static void form_beside_earlier(world *w) {
    form(w);
    put_earlier(w);
}
OPERATION(model_save) {
    UNUSED;
    return infl_model_save(w->model, path_of(w, "saved"));
}
static void save_model(world *w) { assert_ok(infl_model_save(w->model, path_of(w, "model"))); }
OPERATION(model_load) { return infl_model_load(&r->model, path_of(w, "model")); }
OPERATION(model_write_weights) {
    UNUSED;
    return infl_model_write_weights(w->model, path_of(w, "saved"), NULL);
}
static void write_weights(world *w) { assert_ok(infl_model_write_weights(w->model, path_of(w, "weights"), NULL)); }
OPERATION(model_read_weights) {
    UNUSED;
    return infl_model_read_weights(w->model, path_of(w, "weights"), NULL);
}
OPERATION(curvature_save) {
    UNUSED;
    return infl_curvature_save(w->curvature, path_of(w, "saved"));
}
static void save_curvature(world *w) {
    form(w);
    assert_ok(infl_curvature_save(w->curvature, path_of(w, "curvature")));
}
OPERATION(curvature_load) { return infl_curvature_load(&r->curvature, w->train, path_of(w, "curvature"), 0.5); }
OPERATION(curvature_eigen) { return infl_curvature_eigen(w->curvature, r->numbers, r->numbers + w->p); }
OPERATION(curvature_lanczos) {
    infl_lanczos_options options = INFL_LANCZOS_OPTIONS_INIT;
    options.sample = 5;
    return infl_curvature_lanczos(w->curvature, 2, 1, &options, r->numbers, r->numbers + 2, r->numbers + 2 + 2 * w->p);
}
OPERATION(inverse_create) {
    infl_inverse_options options = inverse_options(w);
    return infl_inverse_create(&r->inverse, w->curvature, &options);
}
OPERATION(inverse_save) {
    UNUSED;
    return infl_inverse_save(w->inverse, path_of(w, "saved"));
}
static void save_inverse(world *w) { assert_ok(infl_inverse_save(w->inverse, path_of(w, "inverse"))); }
OPERATION(inverse_load) { return infl_inverse_load(&r->inverse, w->curvature, path_of(w, "inverse"), NULL); }
OPERATION(inverse_solve) { return infl_inverse_solve(w->inverse, w->vectors, 2, r->numbers, r->reports); }
OPERATION(inverse_solve_batch) {
    infl_inverse_options options = inverse_options(w);
    infl_inverse *inverse;
    options.cg_batch = 6;
    TRY(infl_inverse_create(&inverse, w->curvature, &options));
    infl_status status = infl_inverse_solve(inverse, w->vectors, 2, r->numbers, r->reports);
    infl_inverse_destroy(inverse);
    return status;
}
OPERATION(influence_create) { return infl_influence_create(&r->influence, w->train, w->inverse, NULL); }
OPERATION(influence_parameters) {
    return infl_influence_parameters(w->influence, three_rows, 3, r->numbers, r->reports);
}
OPERATION(influence_norms) { return infl_influence_norms(w->influence, three_rows, 3, r->numbers, r->reports); }
OPERATION(influence_scores) {
    return infl_influence_scores(w->influence, w->test, three_rows, 3, NULL, 0, r->numbers, r->reports);
}
OPERATION(influence_self) { return infl_influence_self(w->influence, three_rows, 3, r->numbers, r->reports); }
OPERATION(influence_removal_parameters) {
    return infl_influence_removal_parameters(w->influence, three_rows, 3, r->numbers, r->reports);
}
OPERATION(influence_removal_losses) {
    return infl_influence_removal_losses(w->influence, w->test, three_rows, 3, NULL, 0, r->numbers, r->reports);
}
static const infl_solve_report some_reports[2] = {
    {.rhs_norm = 1, .solution_norm = 2, .lambda_floor = 0.5, .error_bound = 0.25},
    {.rhs_norm = 3, .solution_norm = 4, .lambda_floor = 0.5, .error_bound = 0.125}};
OPERATION(influence_score_bounds) {
    return infl_influence_score_bounds(w->influence, some_reports, 2, three_rows, 3, r->numbers);
}
OPERATION(influence_removal_bounds) {
    return infl_influence_removal_bounds(w->influence, some_reports, 2, NULL, 0, r->numbers);
}
OPERATION(scores_create) {
    return infl_scores_create(&r->scores, w->influence, INFL_QUANTITY_REMOVAL_LOSSES, w->test, three_rows, 3, NULL, 0);
}
OPERATION(scores_create_self) {
    return infl_scores_create(&r->scores, w->influence, INFL_QUANTITY_SELF, NULL, NULL, 0, three_rows, 3);
}
static void make_scores(world *w) {
    assert_ok(infl_scores_create(&w->scores, w->influence, INFL_QUANTITY_SCORES, w->test, three_rows, 3, NULL, 0));
}
OPERATION(scores_describe) {
    infl_scores_info info;
    TRY(infl_scores_describe(w->scores, &info));
    r->numbers[0] = info.damping;
    return INFL_OK;
}
OPERATION(scores_report) { return infl_scores_report(w->scores, 1, r->reports); }
OPERATION(scores_bounds) { return infl_scores_bounds(w->scores, r->numbers); }
OPERATION(scores_top) { return infl_scores_top(w->scores, 1, INFL_HARMFUL, 3, r->sizes); }
OPERATION(scores_check) {
    UNUSED;
    return infl_scores_check(w->scores, w->train, w->test);
}
OPERATION(scores_save) {
    infl_scores_save_options options = INFL_SCORES_SAVE_OPTIONS_INIT;
    UNUSED;
    options.precision = INFL_F32;
    options.label = "a";
    return infl_scores_save(w->scores, path_of(w, "saved"), &options);
}
static void make_scores_beside_earlier(world *w) {
    make_scores(w);
    put_file(w, "saved.npy", "earlier", 7);
    put_file(w, "saved.json", "before", 6);
}
static void save_scores(world *w) {
    make_scores(w);
    assert_ok(infl_scores_save(w->scores, path_of(w, "scores"), NULL));
}
OPERATION(scores_load) { return infl_scores_load(&r->scores, path_of(w, "scores")); }
OPERATION(influence_top) {
    static const double scores[] = {3, 1, 2, 5, 4};
    UNUSED;
    return infl_influence_top(scores, 5, INFL_HELPFUL, 3, r->sizes);
}
OPERATION(train) {
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.steps = 5;
    options.batch = 4;
    options.gradient_tolerance = 1e-12;
    options.check_every = 2;
    if (w->source == IMAGES) {
        options.crop = 1;
        options.flip = 1;
        options.batch = 3;
    }
    return infl_train(w->train, &options, r->trained);
}
OPERATION(train_sgd) {
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.optimiser = INFL_SGD;
    options.momentum = 0.5;
    options.steps = 3;
    return infl_train(w->train, &options, r->trained);
}
OPERATION(polish) {
    infl_polish_options options = INFL_POLISH_OPTIONS_INIT;
    options.max_iterations = 3;
    options.preconditioner = w->inverse;
    return infl_polish(w->train, &options, r->trained);
}
static infl_status retrain(world *w, results *r, const char *journal, int threads) {
    infl_train_options train_options = INFL_TRAIN_OPTIONS_INIT;
    infl_polish_options polish_options = INFL_POLISH_OPTIONS_INIT;
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    train_options.steps = 2;
    polish_options.max_iterations = 1;
    options.train = &train_options;
    options.polish = w->source == IMAGES ? NULL : &polish_options;
    options.predicted = w->vectors;
    options.journal = journal;
    options.threads = threads;
    output.parameter_changes = r->numbers;
    output.norms = r->numbers + 2 * w->p;
    output.cosines = output.norms + 2;
    output.loss_changes = output.cosines + 2;
    output.control_parameters = output.loss_changes + 6;
    output.control_losses = output.control_parameters + w->p;
    output.results = r->trained;
    output.control_result = r->trained + 2;
    TRY(infl_retrain_without(w->train, two_rows, 2, w->test, three_rows, 3, &options, &output));
    r->sizes[0] = output.unconverged;
    return INFL_OK;
}
OPERATION(retrain_without) { return retrain(w, r, NULL, 1); }
OPERATION(retrain_without_threads) { return retrain(w, r, NULL, 2); }
OPERATION(retrain_without_journal) { return retrain(w, r, path_of(w, "journal"), 1); }
static void begin_journal(world *w) {
    results *r = malloc(sizeof *r);
    ck_assert_ptr_nonnull(r);
    assert_ok(retrain(w, r, path_of(w, "journal"), 1));
    free(r);
    ck_assert_int_eq(truncate(path_of(w, "journal"), 700), 0); /* within the second record of three */
}
static const double five[] = {1, 4, 2, 2, 8}, other_five[] = {2, 1, 5, 5, 3};
OPERATION(objective_check_derivatives) {
    infl_derivatives_options options = INFL_DERIVATIVES_OPTIONS_INIT;
    options.tolerance = INFINITY;
    return infl_objective_check_derivatives(w->train, two_rows, 2, &options, (infl_derivatives_report *)r->numbers);
}
OPERATION(pearson) {
    UNUSED;
    return infl_pearson(five, other_five, 5, r->numbers);
}
OPERATION(spearman) {
    UNUSED;
    return infl_spearman(five, other_five, 5, r->numbers);
}
OPERATION(kendall) {
    UNUSED;
    return infl_kendall(five, other_five, 5, r->numbers);
}
OPERATION(norms) {
    UNUSED;
    return infl_norms(five, 2, 2, r->numbers);
}
OPERATION(cosine) {
    UNUSED;
    return infl_cosine(five, other_five, 5, r->numbers);
}

#define CALL(name, ...)                                                                                                \
    { .function = "infl_" #name, .run = name, __VA_ARGS__ }
#define CALL_AS(name, function_, ...)                                                                                  \
    { .function = "infl_" #function_, .run = name, __VA_ARGS__ }
#define OF_EACH_SOURCE(name, ...)                                                                                      \
    CALL(name, __VA_ARGS__, .source = NETWORK), CALL(name, __VA_ARGS__, .source = SINGLE),                             \
        CALL(name, __VA_ARGS__, .source = IMAGES), CALL(name, __VA_ARGS__, .source = RESTRICTED),                      \
        CALL(name, __VA_ARGS__, .source = CUSTOM)
#define BY_EACH_METHOD(name, ...)                                                                                      \
    CALL(name, __VA_ARGS__, .method = INFL_CHOLESKY), CALL(name, __VA_ARGS__, .method = INFL_EIGEN),                   \
        CALL(name, __VA_ARGS__, .method = INFL_CG), CALL(name, __VA_ARGS__, .method = INFL_LISSA)

static const operation operations[] = {
    CALL(dataset_create, .depth = NOTHING),
    CALL_AS(dataset_create_borrowed, dataset_create, .depth = NOTHING),
    CALL(dataset_from_csv, .prepare = put_csv),
    CALL(dataset_from_csv, .prepare = put_quoted_csv),
    CALL_AS(dataset_from_csv_real, dataset_from_csv, .prepare = put_long_csv),
    CALL_AS(dataset_from_csv_known, dataset_from_csv, .prepare = put_classes),
    CALL(dataset_iris, .depth = NOTHING),
    CALL(dataset_from_idx, .prepare = put_idx),
    CALL(dataset_from_cifar10, .prepare = put_cifar10),
    CALL(dataset_from_npy, .prepare = put_arrays),
    CALL_AS(dataset_from_npy_real, dataset_from_npy, .prepare = put_arrays),
    CALL(dataset_relabel, .depth = DATA),
    CALL(dataset_subset, .depth = DATA),
    CALL(dataset_without, .depth = DATA),
    CALL(dataset_split, .depth = DATA),
    CALL(dataset_standardise, .depth = DATA),
    CALL(dataset_measure_channels, .depth = DATA),
    CALL(dataset_normalise_channels, .depth = DATA),
    CALL(dataset_get, .depth = DATA),
    CALL(dataset_source_row, .depth = DATA),
    CALL(builder_create, .depth = NOTHING),
    CALL(builder_create_image, .depth = NOTHING),
    CALL_AS(builder_layers, builder_dense, .depth = NOTHING),
    CALL_AS(builder_layers, builder_conv2d, .depth = NOTHING),
    CALL_AS(builder_layers, builder_max_pool2d, .depth = NOTHING),
    CALL_AS(builder_layers, builder_average_pool2d, .depth = NOTHING),
    CALL_AS(builder_layers, builder_global_average_pool, .depth = NOTHING),
    CALL_AS(builder_layers, builder_activation, .depth = NOTHING),
    CALL_AS(builder_layers, builder_add, .depth = NOTHING),
    CALL_AS(builder_layers, builder_batch_norm, .depth = NOTHING),
    CALL_AS(builder_layers, builder_dropout, .depth = NOTHING),
    CALL_AS(builder_layers, builder_flatten, .depth = NOTHING),
    CALL_AS(builder_layers, model_create, .depth = NOTHING),
    CALL(builder_zoo, .depth = NOTHING),
    CALL(builder_shape, .depth = NOTHING),
    CALL(model_create_mlp, .depth = NOTHING),
    CALL(model_create_zoo, .depth = NOTHING),
    CALL(model_clone, .depth = DATA),
    CALL(model_clone, .depth = DATA, .source = IMAGES),
    CALL(model_convert, .depth = DATA),
    CALL(model_convert, .depth = DATA, .source = IMAGES),
    CALL(model_initialise, .depth = DATA, .source = IMAGES),
    CALL(model_get_parameters, .depth = DATA),
    CALL(model_set_parameters, .depth = OBJECTIVE),
    CALL(model_tensor, .depth = DATA),
    CALL(model_get_state, .depth = DATA, .source = IMAGES),
    CALL(model_set_state, .depth = DATA, .source = IMAGES),
    CALL(model_state_tensor, .depth = DATA, .source = IMAGES),
    CALL(model_predict, .depth = DATA),
    CALL(model_accuracy, .depth = DATA),
    CALL(model_jvp, .depth = OBJECTIVE),
    CALL(model_jvp, .depth = OBJECTIVE, .source = SINGLE),
    CALL(model_vjp, .depth = DATA),
    CALL(loss_evaluate, .depth = NOTHING),
    CALL(objective_create, .depth = DATA),
    CALL(objective_create, .depth = DATA, .source = RESTRICTED),
    CALL(objective_create_custom, .depth = DATA),
    OF_EACH_SOURCE(objective_without, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_get_parameters, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_set_parameters, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_memory, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_evaluate, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_evaluate_rows, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_losses, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_row_gradients, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_stream_row_gradients, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_row_norms, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_row_products, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_weighted_gradients, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_product, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_product, .depth = OBJECTIVE, .prepare = multiply),
    OF_EACH_SOURCE(objective_product_rows, .depth = OBJECTIVE),
    OF_EACH_SOURCE(objective_dense, .depth = OBJECTIVE),
    CALL_AS(objective_dense_gauss_newton, objective_dense, .depth = OBJECTIVE),
    CALL_AS(objective_dense_gauss_newton, objective_dense, .depth = OBJECTIVE, .source = IMAGES),
    CALL_AS(objective_dense_gauss_newton, objective_dense, .depth = OBJECTIVE, .source = RESTRICTED),
    OF_EACH_SOURCE(curvature_create, .depth = OBJECTIVE),
    CALL(curvature_from_matrix, .depth = OBJECTIVE),
    CALL(curvature_from_product, .depth = OBJECTIVE),
    OF_EACH_SOURCE(curvature_product, .depth = CURVATURE),
    CALL(curvature_product, .depth = CURVATURE, .prepare = form),
    CALL(curvature_dense, .depth = CURVATURE),
    CALL(curvature_set_damping, .depth = CURVATURE),
    OF_EACH_SOURCE(curvature_form, .depth = CURVATURE),
    CALL(model_save, .depth = DATA, .source = IMAGES, .prepare = put_earlier, .writes = "saved"),
    CALL(model_load, .depth = DATA, .source = IMAGES, .prepare = save_model),
    CALL(model_write_weights, .depth = DATA, .source = IMAGES, .prepare = put_earlier, .writes = "saved"),
    CALL(model_read_weights, .depth = DATA, .source = IMAGES, .prepare = write_weights),
    CALL(curvature_save, .depth = CURVATURE, .prepare = form_beside_earlier, .writes = "saved"),
    OF_EACH_SOURCE(curvature_load, .depth = CURVATURE, .prepare = save_curvature),
    CALL(curvature_eigen, .depth = CURVATURE),
    CALL(curvature_lanczos, .depth = CURVATURE),
    BY_EACH_METHOD(inverse_create, .depth = CURVATURE),
    CALL(inverse_save, .depth = INVERSE, .prepare = put_earlier, .writes = "saved"),
    CALL(inverse_save, .depth = INVERSE, .prepare = put_earlier, .method = INFL_EIGEN, .writes = "saved"),
    CALL(inverse_load, .depth = INVERSE, .prepare = save_inverse),
    CALL(inverse_load, .depth = INVERSE, .prepare = save_inverse, .method = INFL_EIGEN),
    BY_EACH_METHOD(inverse_solve, .depth = INVERSE),
    CALL_AS(inverse_solve_batch, inverse_solve, .depth = CURVATURE, .method = INFL_CG),
    CALL(influence_create, .depth = INVERSE),
    CALL(influence_parameters, .depth = INFLUENCE),
    CALL(influence_norms, .depth = INFLUENCE),
    CALL(influence_scores, .depth = INFLUENCE),
    CALL(influence_self, .depth = INFLUENCE),
    CALL(influence_removal_parameters, .depth = INFLUENCE),
    CALL(influence_removal_losses, .depth = INFLUENCE),
    CALL(influence_score_bounds, .depth = INFLUENCE),
    CALL(influence_removal_bounds, .depth = INFLUENCE),
    CALL(influence_top, .depth = NOTHING),
    CALL(scores_create, .depth = INFLUENCE),
    CALL(scores_create, .depth = INFLUENCE, .source = CUSTOM),
    CALL_AS(scores_create_self, scores_create, .depth = INFLUENCE),
    CALL(scores_describe, .depth = INFLUENCE, .prepare = make_scores),
    CALL(scores_report, .depth = INFLUENCE, .prepare = make_scores),
    CALL(scores_bounds, .depth = INFLUENCE, .prepare = make_scores),
    CALL(scores_top, .depth = INFLUENCE, .prepare = make_scores),
    CALL(scores_check, .depth = INFLUENCE, .prepare = make_scores),
    CALL(scores_save, .depth = INFLUENCE, .prepare = make_scores, .writes = "saved.npy"),
    CALL(scores_save, .depth = INFLUENCE, .prepare = make_scores_beside_earlier, .writes = "saved.npy"),
    CALL(scores_load, .depth = INFLUENCE, .prepare = save_scores),
    OF_EACH_SOURCE(train, .depth = OBJECTIVE),
    CALL_AS(train_sgd, train, .depth = OBJECTIVE),
    CALL(polish, .depth = OBJECTIVE),
    CALL(polish, .depth = INVERSE, .method = INFL_EIGEN),
    OF_EACH_SOURCE(retrain_without, .depth = OBJECTIVE),
    CALL_AS(retrain_without_threads, retrain_without, .depth = OBJECTIVE),
    CALL_AS(retrain_without_journal, retrain_without, .depth = OBJECTIVE, .writes = "journal", .appends = 1),
    CALL_AS(retrain_without_journal, retrain_without, .depth = OBJECTIVE, .prepare = begin_journal, .writes = "journal",
            .appends = 1),
    OF_EACH_SOURCE(objective_check_derivatives, .depth = OBJECTIVE),
    CALL(pearson, .depth = NOTHING),
    CALL(spearman, .depth = NOTHING),
    CALL(kendall, .depth = NOTHING),
    CALL(norms, .depth = NOTHING),
    CALL(cosine, .depth = NOTHING),
};
enum { N_OPERATIONS = sizeof operations / sizeof *operations };

static const char *const functions[] = {
#define FUNCTION(name) #name,
#include "functions.inc"
#undef FUNCTION
};

START_TEST(test_complete) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        int listed = 0;
        for (size_t j = 0; j < N_OPERATIONS; j++)
            listed |= strcmp(operations[j].function, functions[i]) == 0;
        ck_assert_msg(listed, "%s is not among the operations of tests/test_faults.c", functions[i]);
    }
}
END_TEST

/* ---- what they leave -------------------------------------------------------------------------------------------- */

/* Numbers, compared by their bits. They lie still: what the tests themselves allocate would be watched. */
typedef struct record {
    size_t n;
    double x[1 << 18];
} record;

static void put(record *to, const double *x, size_t n) {
    if (n > sizeof to->x / sizeof *to->x - to->n) /* ck_assert writes to Check each time */
        ck_abort_msg("a record is full");
    memcpy(to->x + to->n, x, n * sizeof *x);
    to->n += n;
}

static void put_number(record *to, double x) { put(to, &x, 1); }

static void put_bytes(record *to, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        put_number(to, ((const unsigned char *)bytes)[i]);
}

static int same(const record *a, const record *b) {
    return a->n == b->n && memcmp(a->x, b->x, a->n * sizeof *a->x) == 0;
}

static int is_marked(const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)bytes)[i] != MARK)
            return 0;
    return 1;
}

static void put_dataset(record *to, const infl_dataset *dataset) {
    size_t features = infl_dataset_features(dataset), targets = infl_dataset_targets(dataset), source;
    double *row = malloc((features + targets) * sizeof *row);
    ck_assert_ptr_nonnull(row);
    for (size_t i = 0; i < infl_dataset_rows(dataset); i++) {
        int real = infl_dataset_target_kind(dataset) == INFL_TARGET_REAL;
        assert_ok(infl_dataset_get(dataset, i, row, row + features));
        assert_ok(infl_dataset_source_row(dataset, i, &source));
        put(to, row, features + (real ? targets : 1));
        put_number(to, (double)source);
    }
    for (size_t i = 0; infl_dataset_class_name(dataset, i) != NULL; i++)
        put_bytes(to, infl_dataset_class_name(dataset, i), strlen(infl_dataset_class_name(dataset, i)));
    free(row);
}

static void put_model(record *to, const infl_model *model) {
    size_t p = infl_model_parameters(model), state = infl_model_state(model);
    double *numbers = malloc((p + state + 1) * sizeof *numbers);
    ck_assert_ptr_nonnull(numbers);
    assert_ok(infl_model_get_parameters(model, numbers));
    assert_ok(infl_model_get_state(model, numbers + p));
    put(to, numbers, p + state);
    free(numbers);
}

static void put_objective(record *to, infl_objective *objective) {
    double *numbers = malloc((1 + infl_objective_parameters(objective)) * sizeof *numbers);
    ck_assert_ptr_nonnull(numbers);
    assert_ok(infl_objective_evaluate(objective, numbers, numbers + 1));
    put(to, numbers, 1 + infl_objective_parameters(objective));
    free(numbers);
}

static void put_report(record *to, const infl_solve_report *report) {
    double numbers[] = {report->residual,   report->products,           report->damping,    report->lambda_min,
                        report->lambda_max, (double)report->iterations, report->converged,  report->scale,
                        report->batch,      report->deviation,          report->rhs_norm,   report->solution_norm,
                        report->rounding,   report->lambda_floor,       report->error_bound};
    put(to, numbers, sizeof numbers / sizeof *numbers);
}

/* Operators are known by what they do with vectors. */
static void put_operators(record *to, const world *w, const results *r) {
    double *out = malloc(2 * 4096 * sizeof *out);
    infl_solve_report reports[2];
    ck_assert_ptr_nonnull(out);
    if (!is_marked(&r->curvature, sizeof r->curvature)) {
        assert_ok(infl_curvature_product(r->curvature, w->vectors, 2, out));
        put(to, out, 2 * w->p);
        put_number(to, infl_curvature_damping(r->curvature));
        infl_curvature_destroy(r->curvature);
    }
    if (!is_marked(&r->inverse, sizeof r->inverse)) {
        assert_ok(infl_inverse_solve(r->inverse, w->vectors, 2, out, reports));
        put(to, out, 2 * w->p);
        put_report(to, &reports[0]);
        put_report(to, &reports[1]);
        infl_inverse_destroy(r->inverse);
    }
    if (!is_marked(&r->influence, sizeof r->influence)) {
        assert_ok(infl_influence_self(r->influence, NULL, 0, out, NULL));
        put(to, out, ROWS);
        infl_influence_destroy(r->influence);
    }
    free(out);
}

/* What a call gave; handles are destroyed. */
static void take_results(record *to, const world *w, const results *r) {
    put(to, r->numbers, sizeof r->numbers / sizeof *r->numbers);
    put_bytes(to, r->sizes, sizeof r->sizes);
    for (size_t i = 0; i < sizeof r->reports / sizeof *r->reports; i++)
        put_report(to, &r->reports[i]);
    for (size_t i = 0; i < sizeof r->trained / sizeof *r->trained; i++) {
        put(to, &r->trained[i].value, 1);
        put(to, &r->trained[i].gradient_norm, 1);
        put_bytes(to, &r->trained[i].steps, sizeof r->trained[i].steps);
        put_bytes(to, &r->trained[i].reason, sizeof r->trained[i].reason);
        put_bytes(to, &r->trained[i].products, sizeof r->trained[i].products);
    }
    put_bytes(to, &r->dense.checked, sizeof r->dense.checked);
    put(to, &r->dense.deviation, 1);
    if (!is_marked(&r->tensor, sizeof r->tensor))
        put_bytes(to, r->tensor.name, strlen(r->tensor.name));
    put_bytes(to, &r->tensor.length, sizeof r->tensor.length);
    for (int i = 0; i < 2; i++) {
        infl_dataset *dataset = i == 0 ? r->first : r->second;
        if (is_marked(&dataset, sizeof dataset))
            continue;
        put_dataset(to, dataset);
        infl_dataset_destroy(dataset);
    }
    if (!is_marked(&r->builder, sizeof r->builder)) {
        size_t shape[3];
        assert_ok(infl_builder_shape(r->builder, INFL_NODE_INPUT, &shape[0], &shape[1], &shape[2]));
        put_bytes(to, shape, sizeof shape);
        infl_builder_destroy(r->builder);
    }
    put_operators(to, w, r);
    if (!is_marked(&r->scores, sizeof r->scores)) {
        infl_scores_info info;
        double bounds[3 * ROWS];
        assert_ok(infl_scores_describe(r->scores, &info));
        assert_ok(infl_scores_bounds(r->scores, bounds));
        size_t n = (info.n_test == 0 ? 1 : info.n_test) * info.n_train;
        put(to, infl_scores_values(r->scores), n);
        put(to, bounds, n);
        put_bytes(to, info.formula, strlen(info.formula));
        infl_scores_destroy(r->scores);
    }
    if (!is_marked(&r->objective, sizeof r->objective)) {
        put_objective(to, r->objective);
        infl_objective_destroy(r->objective);
    }
    if (!is_marked(&r->model, sizeof r->model)) {
        put_model(to, r->model);
        infl_model_destroy(r->model);
    }
}

/* What handles have that a call may change. */
static void take_state(record *to, const world *w) {
    if (w->model != NULL)
        put_model(to, w->model);
    if (w->curvature != NULL)
        put_number(to, infl_curvature_damping(w->curvature));
    if (w->train == NULL)
        return;
    double *theta = malloc(w->p * sizeof *theta);
    ck_assert_ptr_nonnull(theta);
    assert_ok(infl_objective_get_parameters(w->train, theta));
    put(to, theta, w->p);
    free(theta);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Names and contents of all files in the folder, but for the contents of the one file. */
static void take_files(record *to, const world *w, const char *but) {
    char *names[16];
    size_t n = 0;
    DIR *folder = opendir(w->folder);
    ck_assert_ptr_nonnull(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            ck_assert_uint_lt(n, 16);
            names[n++] = strdup(entry->d_name);
        }
    closedir(folder);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        int whole = but == NULL || strcmp(but, names[i]) != 0;
        FILE *file = fopen(path_of(w, names[i]), "rb");
        ck_assert_ptr_nonnull(file);
        if (whole)
            put_bytes(to, names[i], strlen(names[i]));
        for (int c; whole && (c = getc(file)) != EOF;)
            put_number(to, c);
        fclose(file);
        free(names[i]);
    }
}

/* ---- the faults ------------------------------------------------------------------------------------------------- */

static const char *describe(const operation *o, fault_kind kind, size_t k, int lasting) {
    static const char *const sources[] = {"network", "f32", "images", "restricted", "custom"};
    static const char *const kinds[] = {"allocation", "call on a file", "write (short)"};
    static char text[256];
    snprintf(text, sizeof text, "%s (number %zu; %s, method %d): %s %zu%s, by %s", o->function,
             (size_t)(o - operations), sources[o->source], (int)o->method, kinds[kind], k,
             lasting ? " and all later" : "", fault_caller());
    return text;
}

static void check_failure(const world *w, infl_status status, fault_kind kind, const char *what) {
    const char *sentence = infl_last_error();
    ck_assert_msg(status == (kind == FAULT_ALLOCATION ? INFL_E_MEMORY : INFL_E_IO), "%s: %s: %s", what,
                  infl_status_name(status), sentence);
    ck_assert_msg(is_in_the_name_of(sentence, NULL), "%s left the sentence: %s", what, sentence);
    if (kind != FAULT_ALLOCATION)
        ck_assert_msg(strstr(sentence, w->folder) != NULL, "%s: no path in: %s", what, sentence);
}

/* What OpenMP's runtime makes for the process when it is first used is no leak of a call's. */
static void start_openmp(void) {
#ifdef _OPENMP
    int threads = 0;
#pragma omp parallel num_threads(2) reduction(+ : threads)
    threads++;
    ck_assert_int_ge(threads, 1);
#endif
}

/* One call with a fault, and where it fails the same call again; what that gives. How many calls could have failed. */
static size_t call_with(const operation *o, fault_kind kind, size_t k, int lasting, results *r, record *given) {
    static record before, after;
    char left[128];
    const char *own = o->appends ? o->writes : NULL;
    given->n = before.n = after.n = 0;
    start_openmp();
    blocks_watch();
    world *w = make_world(o);
    take_state(&before, w);
    take_files(&before, w, own);
    memset(r, MARK, sizeof *r);
    fault_arm(kind, k, lasting);
    infl_status status = o->run(w, r);
    size_t calls = fault_disarm();
    const char *what = describe(o, kind, k, lasting);
    ck_assert_msg(status == INFL_OK || calls >= k, "%s, which never came: %s", what, infl_last_error());
    if (status != INFL_OK) {
        check_failure(w, status, kind, what);
        ck_assert_msg(is_marked(r, sizeof *r), "%s changed an output", what);
        take_state(&after, w);
        take_files(&after, w, own);
        ck_assert_msg(same(&before, &after), "%s changed what it was given or left a file", what);
        status = o->run(w, r);
        ck_assert_msg(status == INFL_OK, "%s, and the call after it: %s", what, infl_last_error());
    }
    take_results(given, w, r);
    take_state(given, w);
    take_files(given, w, NULL);
    destroy_world(w);
    size_t n_left = blocks_left(left, sizeof left);
    ck_assert_msg(n_left == 0, "%s left %zu blocks, the first of %s", what, n_left, left);
    return calls;
}

/*
 * Jansson's reader does not notice where the buffer that holds a token cannot grow, and then reads past it or aborts
 * (2.14, lex_save in load.c). Growing to 128 bytes for a long string shows the place.
 */
static void spare_jansson(void) {
    char text[] = "[\"..................................................................................\"]";
    fault_spare(128);
    json_t *value = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(value);
    json_decref(value);
    ck_assert(fault_spared());
}

static void fail_each(const operation *o, fault_kind kind, int lasting) {
    static record expected, given;
    spare_jansson();
    results *r = malloc(sizeof *r);
    ck_assert_ptr_nonnull(r);
    call_with(o, kind, 0, 0, r, &expected);
    for (size_t k = 1;; k++) {
        size_t calls = call_with(o, kind, k, lasting, r, &given);
        ck_assert_msg(same(&expected, &given), "%s: other bits", describe(o, kind, k, lasting));
        if (calls < k)
            break;
    }
    free(r);
}

/* The faults are not only armed but strike, under sanitizers and valgrind as well; and what is left is noticed. */
START_TEST(test_hooks) {
    char left[128];
    blocks_watch();
    void *volatile block = malloc(10); /* cppcheck-suppress unusedAllocatedMemory */
    fault_arm(FAULT_ALLOCATION, 2, 0);
    void *volatile one = malloc(10), *volatile two = calloc(10, 1), *volatile three = aligned_alloc(64, 64);
    ck_assert_uint_eq(fault_disarm(), 3);
    ck_assert(one != NULL && two == NULL && three != NULL);
    free(three);
    free(one);
    ck_assert_uint_eq(blocks_left(left, sizeof left), 1);
    free(block);
    fault_arm(FAULT_FILE, 1, 1);
    FILE *file = fopen("/dev/null", "rb");
    int moved = rename("/nowhere", "/nowhere"), error = errno;
    ck_assert_uint_eq(fault_disarm(), 2);
    ck_assert(file == NULL && moved != 0 && error == EIO);
}
END_TEST

START_TEST(test_memory) { fail_each(&operations[_i], FAULT_ALLOCATION, 0); }
END_TEST
START_TEST(test_no_memory) { fail_each(&operations[_i], FAULT_ALLOCATION, 1); }
END_TEST
START_TEST(test_file) { fail_each(&operations[_i], FAULT_FILE, 0); }
END_TEST
START_TEST(test_no_file) { fail_each(&operations[_i], FAULT_FILE, 1); }
END_TEST
START_TEST(test_short) { fail_each(&operations[_i], FAULT_SHORT, 0); }
END_TEST
START_TEST(test_full) { fail_each(&operations[_i], FAULT_SHORT, 1); }
END_TEST

/* Places where no file can be: an error with the place in it, and nothing is touched. */
START_TEST(test_places) {
    static const char *const places[] = {"a folder that is not there", "a file as a folder", "a folder as the file",
                                         "a folder of the kernel's", "a long path that is not there"};
    const operation *o = &operations[_i];
    results *r = malloc(sizeof *r);
    char folder[sizeof((world *)NULL)->folder];
    ck_assert_ptr_nonnull(r);
    for (int place = 0; place < 5 && o->writes != NULL; place++) {
        world *w = make_world(o);
        memcpy(folder, w->folder, sizeof folder);
        clear_folder(w);
        put_file(w, "file", "earlier", 7);
        const char *below = path_of(w, place == 0 ? "none" : "file");
        if (place == 2)
            ck_assert_int_eq(mkdir(path_of(w, o->writes), 0700), 0);
        else if (place == 4)
            memset(w->folder + strlen(w->folder), 'x', sizeof w->folder - strlen(w->folder) - 1);
        else
            snprintf(w->folder, sizeof w->folder, "%s", place == 3 ? "/proc/self" : below);
        memset(r, MARK, sizeof *r);
        infl_status status = o->run(w, r);
        const char *sentence = infl_last_error();
        ck_assert_msg(status == INFL_E_IO, "%s, %s: %s: %s", o->function, places[place], infl_status_name(status),
                      sentence);
        ck_assert_msg(strncmp(sentence, o->function, strlen(o->function)) == 0 &&
                          strstr(sentence, path_of(w, o->writes)) != NULL,
                      "%s, %s: %s", o->function, places[place], sentence);
        ck_assert_msg(is_marked(r, sizeof *r), "%s, %s: an output was changed", o->function, places[place]);
        memcpy(w->folder, folder, sizeof folder);
        if (place == 2)
            ck_assert_int_eq(rmdir(path_of(w, o->writes)), 0);
        struct stat found;
        ck_assert(stat(path_of(w, "file"), &found) == 0 && found.st_size == 7);
        unlink(path_of(w, "file"));
        ck_assert_msg(rmdir(w->folder) == 0, "%s, %s: a file was left", o->function, places[place]);
        ck_assert_int_eq(mkdir(w->folder, 0700), 0);
        destroy_world(w);
    }
    free(r);
}
END_TEST

/* A pipe whose reader goes away is an error, and not the end of the process; signals are as before. */
START_TEST(test_pipe) {
    enum { P = 200 }; /* more bytes than a pipe holds */
    static const operation nothing = {.function = "infl_inverse_save", .depth = NOTHING};
    world *w = make_world(&nothing);
    double *matrix = calloc(P * P, sizeof *matrix);
    infl_curvature *curvature;
    infl_inverse *inverse;
    int ended;
    sigset_t signals;
    ck_assert_ptr_nonnull(matrix);
    for (size_t i = 0; i < P; i++)
        matrix[i * P + i] = 1.0 + (double)i;
    assert_ok(infl_curvature_from_matrix(&curvature, matrix, P, 0.0));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    ck_assert_int_eq(mkfifo(path_of(w, "pipe"), 0600), 0);
    pid_t reader = fork();
    ck_assert_int_ge(reader, 0);
    if (reader == 0) {
        char byte;
        _exit(read(open(path_of(w, "pipe"), O_RDONLY), &byte, 1) != 1);
    }
    assert_fails(INFL_E_IO, infl_inverse_save(inverse, path_of(w, "pipe")));
    ck_assert_int_eq(waitpid(reader, &ended, 0), reader);
    ck_assert_int_eq(ended, 0);
    ck_assert(sigpending(&signals) == 0 && !sigismember(&signals, SIGPIPE));
    ck_assert(pthread_sigmask(SIG_BLOCK, NULL, &signals) == 0 && !sigismember(&signals, SIGPIPE));
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    free(matrix);
    destroy_world(w);
}
END_TEST

Suite *faults_suite(void) {
    Suite *suite = suite_create("faults");
    add_case(suite, "faults/complete", test_complete, 1);
    add_case(suite, "faults/hooks", test_hooks, 1);
    add_case(suite, "faults/memory/once", test_memory, N_OPERATIONS);
    add_case(suite, "faults/memory/lasting", test_no_memory, N_OPERATIONS);
    add_case(suite, "faults/file/once", test_file, N_OPERATIONS);
    add_case(suite, "faults/file/lasting", test_no_file, N_OPERATIONS);
    add_case(suite, "faults/file/short", test_short, N_OPERATIONS);
    add_case(suite, "faults/file/full", test_full, N_OPERATIONS);
    add_case(suite, "faults/file/places", test_places, N_OPERATIONS);
    add_case(suite, "faults/file/pipe", test_pipe, 1);
    return suite;
}

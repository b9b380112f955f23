/* Weights by name: files that PyTorch wrote, round trips under every kind of name, and all that is refused. */
#include <float.h>
#include <math.h>

#include "files.h"
#include "network.h"
#include "reference.h"
#include "safetensors.h"
#include "suites.h"

enum { N_NETWORKS = INFL_ZOO_RESNET50 + 1, N_ROWS = 3, MOST = 512 };

static temporary_file empty_file(void) { return write_file("", 0, 0); }

static void assert_says(const char *word) {
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "%s: not said by: %s", word, infl_last_error());
}

static double *room(size_t n) {
    double *x = calloc(n == 0 ? 1 : n, sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

/* θ, then the state; to be freed */
static double *numbers_of(const infl_model *model) {
    double *x = room(infl_model_parameters(model) + infl_model_state(model));
    assert_ok(infl_model_get_parameters(model, x));
    assert_ok(infl_model_get_state(model, x + infl_model_parameters(model)));
    return x;
}

static size_t count_of(const infl_model *model) { return infl_model_parameters(model) + infl_model_state(model); }

static void assert_same_numbers(const infl_model *a, const infl_model *b, const char *name) {
    double *x = numbers_of(a), *y = numbers_of(b);
    ck_assert_uint_eq(count_of(a), count_of(b));
    assert_same_bits(x, y, count_of(a), "%s", name);
    free(x);
    free(y);
}

/* A state that is not the first. */
static void scatter(infl_model *model, uint64_t seed) {
    size_t s = infl_model_state(model);
    double *state = room(s);
    for (size_t i = 0; i < s; i++)
        state[i] = 0.5 + random_uniform(&seed);
    assert_ok(infl_model_set_state(model, state));
    free(state);
}

static infl_model *zoo_model(infl_zoo_network network, infl_precision precision, int batch_norm, uint64_t seed) {
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    infl_model *model;
    options.n_classes = 4;
    options.width_factor = 1.0 / 32;
    options.batch_norm = batch_norm;
    assert_ok(infl_model_create_zoo(&model, network, &options, precision, seed));
    scatter(model, seed);
    return model;
}

static infl_weights_options by(infl_weight_names names, int network) {
    infl_weights_options options = INFL_WEIGHTS_OPTIONS_INIT;
    options.names = names;
    options.network = network;
    return options;
}

/* ---- files of PyTorch's, made by tests/oracle/fixtures.py */

static const struct {
    infl_zoo_network network;
    size_t channels, height, width, classes;
    int batch_norm;
    double width_factor;
    const char *prefix, *dtype;
    const char *tensor; /* that is in the file */
} fixtures[] = {
    {INFL_ZOO_KL_CNN, 1, 28, 28, 10, 0, 1.0, NULL, "F32", "10.weight"},
    {INFL_ZOO_LENET5, 1, 28, 28, 10, 1, 1.0 / 4, "module.", "BF16", "module.fc1.weight"},
    {INFL_ZOO_VGG13, 3, 32, 32, 5, 0, 1.0 / 32, NULL, "F16", "classifier.bias"},
    {INFL_ZOO_RESNET18, 3, 16, 12, 5, 1, 1.0 / 32, NULL, "F32", "layer2.0.downsample.1.running_var"},
};
enum { N_FIXTURES = sizeof fixtures / sizeof *fixtures };

static void data_file(char *path, size_t size, const char *name) {
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, size, "%.*sdata/%s.safetensors", slash == NULL ? 0 : (int)(slash - __FILE__ + 1), __FILE__, name);
}

static infl_model *fixture_model(int i, infl_precision precision) {
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    infl_model *model;
    options.channels = fixtures[i].channels;
    options.height = fixtures[i].height;
    options.width = fixtures[i].width;
    options.n_classes = fixtures[i].classes;
    options.batch_norm = fixtures[i].batch_norm;
    options.width_factor = fixtures[i].width_factor;
    assert_ok(infl_model_create_zoo(&model, fixtures[i].network, &options, precision, 1));
    return model;
}

static infl_dataset *fixture_data(int i) {
    static const double scales[N_ROWS] = {1, -2, 4};
    size_t d = fixtures[i].channels * fixtures[i].height * fixtures[i].width;
    double *x = room(N_ROWS * d);
    int32_t labels[N_ROWS] = {0};
    for (size_t j = 0; j < N_ROWS * d; j++)
        x[j] = ((double)((j * 7919 + 13) % 1009) / 1009 - 0.5) * scales[j / d];
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = N_ROWS;
    spec.n_features = d;
    spec.features = x;
    spec.labels = labels;
    infl_dataset *dataset;
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(x);
    return dataset;
}

/* The logits are PyTorch's to rounding: in f64 some hundred ulp after sums of at most a hundred terms a layer, and in f32
 * as many of its. */
START_TEST(test_pytorch) {
    char path[512];
    const char *name = infl_zoo_network_name(fixtures[_i].network);
    infl_safetensors *open;
    double truth[N_ROWS * 16], outputs[N_ROWS * 16];
    size_t n = N_ROWS * fixtures[_i].classes;
    data_file(path, sizeof path, "logits");
    assert_ok(infl_safetensors_open(&open, path));
    ck_assert(infl_safetensors_find(open, name) != NULL && infl_safetensors_find(open, name)->length == n);
    assert_ok(infl_safetensors_read(open, infl_safetensors_find(open, name), truth));
    infl_safetensors_close(open);
    data_file(path, sizeof path, name);
    assert_ok(infl_safetensors_open(&open, path));
    ck_assert_ptr_nonnull(infl_safetensors_find(open, fixtures[_i].tensor));
    ck_assert_str_eq(infl_safetensors_find(open, fixtures[_i].tensor)->type_name, fixtures[_i].dtype);
    infl_safetensors_close(open);
    infl_weights_options options = by(INFL_NAMES_ZOO, (int)fixtures[_i].network);
    options.prefix = fixtures[_i].prefix;
    infl_dataset *dataset = fixture_data(_i);
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        infl_model *model = fixture_model(_i, (infl_precision)precision);
        assert_ok(infl_model_predict(model, dataset, outputs));
        ck_assert(relative_error(outputs, truth, n) > 0.1);
        assert_ok(infl_model_read_weights(model, path, &options));
        assert_ok(infl_model_predict(model, dataset, outputs));
        assert_close(outputs, truth, n, precision == INFL_F64 ? 500 * DBL_EPSILON : 500 * (double)FLT_EPSILON, "%s, %d",
                     name, precision);
        infl_model_destroy(model);
    }
    infl_dataset_destroy(dataset);
}
END_TEST

/* ---- round trips */

/* Out and back in by the same names, into a model that was another: the same bits. */
static void round_trip(const infl_model *model, infl_model *other, const infl_weights_options *options,
                       const char *name) {
    temporary_file file = empty_file();
    assert_ok(infl_model_write_weights(model, file.path, options));
    assert_ok(infl_model_read_weights(other, file.path, options));
    assert_same_numbers(model, other, name);
    ck_assert_int_eq(unlink(file.path), 0);
}

START_TEST(test_round_trip) {
    infl_zoo_network network = (infl_zoo_network)_i;
    const char *name = infl_zoo_network_name(network);
    for (int precision = INFL_F32; precision <= INFL_F64; precision++)
        for (int batch_norm = 0; batch_norm < 2; batch_norm++)
            for (int names = INFL_NAMES_OWN; names <= INFL_NAMES_SEQUENTIAL; names++)
                for (int prefixed = 0; prefixed < 2; prefixed++) {
                    infl_model *model = zoo_model(network, (infl_precision)precision, batch_norm, 1);
                    infl_model *other = zoo_model(network, (infl_precision)precision, batch_norm, 2);
                    infl_weights_options options = by((infl_weight_names)names, _i);
                    options.prefix = prefixed ? "model.module." : "";
                    round_trip(model, other, names == INFL_NAMES_OWN && !prefixed ? NULL : &options, name);
                    infl_model_destroy(model);
                    infl_model_destroy(other);
                }
}
END_TEST

/* Between precisions: f32 into f64 is exact, and back again. */
START_TEST(test_precisions) {
    temporary_file file = empty_file();
    infl_model *single = zoo_model(INFL_ZOO_LENET5, INFL_F32, 1, 1), *wide = zoo_model(INFL_ZOO_LENET5, INFL_F64, 1, 2);
    infl_model *again = zoo_model(INFL_ZOO_LENET5, INFL_F32, 1, 3);
    assert_ok(infl_model_write_weights(single, file.path, NULL));
    assert_ok(infl_model_read_weights(wide, file.path, NULL));
    assert_same_numbers(single, wide, "f32 into f64");
    assert_ok(infl_model_write_weights(wide, file.path, NULL));
    assert_ok(infl_model_read_weights(again, file.path, NULL));
    assert_same_numbers(single, again, "and back");
    infl_model_destroy(single);
    infl_model_destroy(wide);
    infl_model_destroy(again);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* A whole model's file has its own names too. */
START_TEST(test_whole_model) {
    temporary_file file = empty_file();
    infl_model *model = zoo_model(INFL_ZOO_RESNET18, INFL_F64, 1, 1),
               *other = zoo_model(INFL_ZOO_RESNET18, INFL_F64, 1, 2);
    assert_ok(infl_model_save(model, file.path));
    assert_ok(infl_model_read_weights(other, file.path, NULL));
    assert_same_numbers(model, other, "saved whole");
    infl_model_destroy(model);
    infl_model_destroy(other);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* ---- names */

/* The names in a file, in its order, which is the model's. */
static void assert_names(const infl_model *model, const infl_weights_options *options, const char *const *names,
                         size_t n) {
    temporary_file file = empty_file();
    infl_safetensors *open;
    assert_ok(infl_model_write_weights(model, file.path, options));
    assert_ok(infl_safetensors_open(&open, file.path));
    ck_assert_str_eq(infl_safetensors_metadata(open, "format"), "pt");
    ck_assert_uint_eq(infl_safetensors_count(open), infl_model_tensors(model) + infl_model_state_tensors(model));
    for (size_t i = 0; i < n; i++)
        ck_assert_str_eq(infl_safetensors_tensor(open, i)->name, names[i]);
    infl_safetensors_close(open);
    ck_assert_int_eq(unlink(file.path), 0);
}

/* Those of the other networks, and that they are torchvision's, PyTorch itself has to say (make oracle). */
START_TEST(test_names) {
    static const char *const lenet[] = {
        "conv1.weight", "conv1.bias", "bn1.weight",       "bn1.bias",        "conv2.weight",     "conv2.bias",
        "bn2.weight",   "bn2.bias",   "fc1.weight",       "fc1.bias",        "fc2.weight",       "fc2.bias",
        "fc3.weight",   "fc3.bias",   "bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var"};
    static const char *const places[] = {"p.0.weight", "p.0.bias",   "p.1.weight", "p.1.bias",  "p.4.weight",
                                         "p.4.bias",   "p.5.weight", "p.5.bias",   "p.9.weight"};
    static const char *const resnet[] = {"conv1.weight",          "bn1.weight",          "bn1.bias",
                                         "layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer1.0.bn1.bias",
                                         "layer1.0.conv2.weight"};
    static const char *const blocks[] = {"0.weight", "2.body.0.weight", "2.body.2.weight", "2.body.4.weight",
                                         "2.shortcut.0.weight"};
    infl_model *model = zoo_model(INFL_ZOO_LENET5, INFL_F32, 1, 1);
    infl_weights_options options = by(INFL_NAMES_ZOO, INFL_ZOO_LENET5);
    assert_names(model, &options, lenet, sizeof lenet / sizeof *lenet);
    options = by(INFL_NAMES_SEQUENTIAL, INFL_ZOO_LENET5);
    options.prefix = "p.";
    assert_names(model, &options, places, sizeof places / sizeof *places);
    infl_model_destroy(model);
    model = zoo_model(INFL_ZOO_RESNET18, INFL_F32, 1, 1);
    options = by(INFL_NAMES_ZOO, INFL_ZOO_RESNET18);
    assert_names(model, &options, resnet, sizeof resnet / sizeof *resnet);
    infl_model_destroy(model);
    model = zoo_model(INFL_ZOO_RESNET50, INFL_F32, 0, 1);
    options = by(INFL_NAMES_SEQUENTIAL, INFL_ZOO_RESNET50);
    temporary_file file = empty_file();
    infl_safetensors *open;
    assert_ok(infl_model_write_weights(model, file.path, &options));
    assert_ok(infl_safetensors_open(&open, file.path));
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        ck_assert_msg(infl_safetensors_find(open, blocks[i]) != NULL, "%s", blocks[i]);
    infl_safetensors_close(open);
    ck_assert_int_eq(unlink(file.path), 0);
    infl_model_destroy(model);
}
END_TEST

/* A chain has the same places whether the zoo says them or the graph. */
START_TEST(test_chains) {
    for (int network = INFL_ZOO_KL_CNN; network <= INFL_ZOO_VGG14; network++)
        for (int batch_norm = 0; batch_norm < 2; batch_norm++) {
            temporary_file file = empty_file();
            infl_model *model = zoo_model((infl_zoo_network)network, INFL_F32, batch_norm, 1);
            infl_model *other = zoo_model((infl_zoo_network)network, INFL_F32, batch_norm, 2);
            infl_weights_options chain = by(INFL_NAMES_SEQUENTIAL, -1), zoo = by(INFL_NAMES_SEQUENTIAL, network);
            assert_ok(infl_model_write_weights(model, file.path, &chain));
            assert_ok(infl_model_read_weights(other, file.path, &zoo));
            assert_same_numbers(model, other, infl_zoo_network_name((infl_zoo_network)network));
            infl_model_destroy(model);
            infl_model_destroy(other);
            ck_assert_int_eq(unlink(file.path), 0);
        }
    static const char *const mlp[] = {"0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"};
    static const char *const flat[] = {"2.weight", "2.bias", "4.weight", "4.bias", "2.running_mean", "2.running_var"};
    static const size_t units[] = {4, 3, 2};
    infl_model *model;
    infl_weights_options options = by(INFL_NAMES_SEQUENTIAL, -1);
    assert_ok(infl_model_create_mlp(&model, INFL_F64, 5, units, 3, INFL_TANH, INFL_INIT_HE, 1));
    assert_names(model, &options, mlp, 6);
    infl_model_destroy(model);
    /* pool, flatten, normalise each number, drop, dense */
    infl_builder *b;
    assert_ok(infl_builder_create_image(&b, 1, 4, 4));
    infl_node x = infl_builder_flatten(b, infl_builder_max_pool2d(b, INFL_NODE_INPUT, NULL));
    x = infl_builder_dropout(b, infl_builder_batch_norm(b, x, NULL), 0.5);
    assert_ok(infl_model_create(&model, b, infl_builder_dense(b, x, 2, 1, INFL_INIT_HE), INFL_F64, 1));
    assert_names(model, &options, flat, 6);
    infl_model_destroy(model);
    infl_builder_destroy(b);
}
END_TEST

/* A model's tensors for a file of our own making, under other names; the names' prefix is replaced where it is. */
typedef struct listing {
    infl_file_array arrays[MOST];
    char names[MOST][64];
    size_t n;
    double *numbers;
} listing;

static listing *list(const infl_model *model, const infl_weights_options *options, const char *const *replace,
                     size_t n_replace) {
    listing *l = calloc(1, sizeof *l);
    ck_assert_ptr_nonnull(l);
    temporary_file file = empty_file();
    infl_safetensors *open;
    size_t at = 0;
    assert_ok(infl_model_write_weights(model, file.path, options));
    assert_ok(infl_safetensors_open(&open, file.path));
    l->n = infl_safetensors_count(open);
    ck_assert_uint_le(l->n + 2, MOST);
    l->numbers = room(count_of(model));
    for (size_t i = 0; i < l->n; i++) {
        const infl_file_tensor *tensor = infl_safetensors_tensor(open, i);
        snprintf(l->names[i], sizeof l->names[i], "%s", tensor->name);
        for (size_t j = 0; j < n_replace; j++) {
            const char *found = strstr(tensor->name, replace[2 * j]);
            if (found != NULL)
                snprintf(l->names[i], sizeof l->names[i], "%.*s%s%s", (int)(found - tensor->name), tensor->name,
                         replace[2 * j + 1], found + strlen(replace[2 * j]));
        }
        l->arrays[i] = (infl_file_array){
            .name = l->names[i], .type = INFL_NUMBER_F64, .n_dims = tensor->n_dims, .numbers = l->numbers + at};
        memcpy(l->arrays[i].dims, tensor->dims, sizeof tensor->dims);
        assert_ok(infl_safetensors_read(open, tensor, l->numbers + at));
        at += tensor->length;
    }
    infl_safetensors_close(open);
    ck_assert_int_eq(unlink(file.path), 0);
    return l;
}

static void unlist(listing *l) {
    free(l->numbers);
    free(l);
}

static infl_status read_listing(infl_model *model, const listing *l, const infl_weights_options *options) {
    temporary_file file = empty_file();
    assert_ok(infl_safetensors_write(file.path, NULL, 0, l->arrays, l->n));
    infl_status status = infl_model_read_weights(model, file.path, options);
    ck_assert_msg(status == INFL_OK || (strstr(infl_last_error(), file.path) != NULL &&
                                        strncmp(infl_last_error(), "infl_model_read_weights: ", 25) == 0),
                  "%s", infl_last_error());
    ck_assert_int_eq(unlink(file.path), 0);
    return status;
}

/* The other names that are met: each alone, all together, and both at once. */
START_TEST(test_aliases) {
    static const char *const aliases[][4] = {{"downsample", "shortcut", "fc", "linear"},
                                             {"classifier", "classifier.0"}};
    static const infl_zoo_network networks[] = {INFL_ZOO_RESNET18, INFL_ZOO_RESNET50, INFL_ZOO_VGG13, INFL_ZOO_VGG14};
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        infl_model *model = zoo_model(networks[i], INFL_F64, 1, 1), *other = zoo_model(networks[i], INFL_F64, 1, 2);
        infl_weights_options options = by(INFL_NAMES_ZOO, (int)networks[i]);
        for (size_t first = 0; first < (i < 2 ? 2 : 1); first++)
            for (size_t n = 1; first + n <= (i < 2 ? 2 : 1); n++) {
                listing *l = list(model, &options, aliases[i / 2] + 2 * first, n);
                assert_ok(infl_model_initialise(other, 9));
                assert_ok(read_listing(other, l, &options));
                assert_same_numbers(model, other, "aliases");
                unlist(l);
            }
        listing *l = list(model, &options, NULL, 0);
        l->arrays[l->n] = l->arrays[infl_model_tensors(model) - 1]; /* the last layer's bias a second time */
        l->arrays[l->n++].name = i < 2 ? "linear.bias" : "classifier.0.bias";
        ck_assert_int_eq(read_listing(other, l, &options), INFL_E_ARGUMENT);
        assert_says("the file has both");
        assert_says("dense1.bias");
        unlist(l);
        infl_model_destroy(model);
        infl_model_destroy(other);
    }
}
END_TEST

/* The caller's own names, some tensors left as they are. */
START_TEST(test_table) {
    static const size_t units[] = {3, 2};
    infl_model *model, *other;
    assert_ok(infl_model_create_mlp(&model, INFL_F64, 4, units, 2, INFL_TANH, INFL_INIT_HE, 1));
    assert_ok(infl_model_create_mlp(&other, INFL_F64, 4, units, 2, INFL_TANH, INFL_INIT_HE, 2));
    static const char *const all[] = {"body/w", "\u03b8 \"b\"", "head/w", "head/b"};
    const char *const some[] = {"body/w", "\u03b8 \"b\"", NULL, NULL};
    infl_weights_options options = by(INFL_NAMES_TABLE, -1);
    temporary_file file = empty_file();
    options.table = all;
    options.n_table = 4;
    options.prefix = "net/";
    round_trip(model, other, &options, "table");
    assert_ok(infl_model_write_weights(model, file.path, &options));
    double *before, *after, *theta = numbers_of(model);
    assert_ok(infl_model_initialise(other, 5));
    before = numbers_of(other);
    options.table = some;
    assert_fails(INFL_E_ARGUMENT, infl_model_read_weights(other, file.path, &options));
    assert_says("net/head/");
    options.ignore_unknown = 1;
    assert_ok(infl_model_read_weights(other, file.path, &options));
    after = numbers_of(other);
    assert_same_bits(after, theta, 15, "the body is the file's");
    assert_same_bits(after + 15, before + 15, 8, "the head is as before");
    assert_ok(infl_model_write_weights(model, file.path, &options));
    infl_safetensors *open;
    assert_ok(infl_safetensors_open(&open, file.path));
    ck_assert_uint_eq(infl_safetensors_count(open), 2);
    infl_safetensors_close(open);
    /* one tensor of a file for two of the model's: read, but not written */
    const char *const tied[] = {"w", "b", "v", "b"};
    static const size_t square[] = {4, 4};
    infl_model *twice;
    assert_ok(infl_model_create_mlp(&twice, INFL_F64, 4, square, 2, INFL_TANH, INFL_INIT_HE, 2));
    options = by(INFL_NAMES_TABLE, -1);
    options.table = (const char *const[]){"w", "b", "v", "c"};
    options.n_table = 4;
    assert_ok(infl_model_write_weights(twice, file.path, &options));
    options.table = tied;
    options.ignore_unknown = 1;
    assert_ok(infl_model_read_weights(twice, file.path, &options));
    assert_fails(INFL_E_ARGUMENT, infl_model_write_weights(twice, file.path, &options));
    assert_says("both dense1.bias and dense2.bias \"b\"");
    static const char *const bad[][4] = {
        {"w", "b", "v", ""}, {"__metadata__", "b", "v", "c"}, {NULL, NULL, NULL, NULL}, {"w", "b", "v", "\xff"}};
    static const char *const words[] = {"no tensor of a file can be", "no tensor of a file can be", "has no name",
                                        "UTF-8"};
    for (size_t i = 0; i < 4; i++) {
        options.table = bad[i];
        assert_fails(INFL_E_ARGUMENT, infl_model_write_weights(twice, file.path, &options));
        assert_says(words[i]);
    }
    options.n_table = 3;
    assert_fails(INFL_E_ARGUMENT, infl_model_write_weights(twice, file.path, &options));
    assert_says("3 names; the model has 4 tensors");
    options.table = NULL;
    assert_fails(INFL_E_ARGUMENT, infl_model_read_weights(twice, file.path, &options));
    infl_model_destroy(model);
    infl_model_destroy(other);
    infl_model_destroy(twice);
    free(before);
    free(after);
    free(theta);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* ---- what is refused */

/* All that can be wrong with a tensor: said with its name, and the model is as before, bit by bit. */
START_TEST(test_tensors) {
    infl_weights_options options = by(INFL_NAMES_ZOO, INFL_ZOO_LENET5);
    infl_model *model = zoo_model(INFL_ZOO_LENET5, INFL_F32, 1, 1), *other = zoo_model(INFL_ZOO_LENET5, INFL_F32, 1, 2);
    double *before = numbers_of(other);
    static const int64_t count[1] = {7};
    static const float single[1] = {0.5f};
    static const struct {
        infl_status status;
        const char *words[2];
    } cases[] = {
        {INFL_OK, {"", ""}},
        {INFL_E_ARGUMENT, {"no tensor \"fc3.bias\"", "the model's dense3.bias"}},
        {INFL_E_ARGUMENT, {"no tensor \"bn2.running_var\"", "the model's batch_norm2.running_variance"}},
        {INFL_E_ARGUMENT, {"tensor \"fc4.weight\" of the file is none of the model's", "ignore_unknown"}},
        {INFL_E_ARGUMENT, {"tensor \"fc1.weight\": its shape is ", "dense1.weight is 4×25"}},
        {INFL_E_ARGUMENT, {"tensor \"conv1.bias\": its shape is 1×1; ", "conv2d1.bias is 1"}},
        {INFL_E_ARGUMENT, {"tensor \"conv1.bias\": its shape is a single number", "conv2d1.bias is 1"}},
        {INFL_E_NONFINITE, {"tensor \"fc3.bias\": its number 2 is nan", "f32"}},
        {INFL_E_NONFINITE, {"tensor \"fc3.bias\": its number 3 is -inf", "f32"}},
        {INFL_E_NONFINITE, {"tensor \"fc3.bias\": its number 0 is 1e+39", "f32"}},
        {INFL_E_NONFINITE, {"tensor \"bn2.running_mean\": its number 0 is inf", "f64"}},
        {INFL_E_FORMAT, {"tensor \"bn2.running_var\": its number 0 is -1e-30", "not negative"}},
        {INFL_E_UNSUPPORTED, {"tensor \"conv1.bias\": its dtype is I64", "expected F64, F32, F16 or BF16"}},
        {INFL_OK, {"", ""}},
        {INFL_OK, {"", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        listing *l = list(model, &options, NULL, 0);
        infl_file_array *last = &l->arrays[13], *mean = &l->arrays[16], *variance = &l->arrays[17];
        double *bias = l->numbers + infl_model_parameters(model) - 4;
        ck_assert_str_eq(last->name, "fc3.bias");
        ck_assert_str_eq(variance->name, "bn2.running_var");
        ck_assert(last->numbers == bias && mean->dims[0] == 1 && variance->dims[0] == 1);
        double *state = l->numbers + infl_model_parameters(model);
        options.ignore_unknown = 0;
        if (i == 1)
            last->name = "fc3.bias ";
        else if (i == 2)
            l->n--;
        else if (i == 3)
            l->arrays[l->n++] = (infl_file_array){"fc4.weight", INFL_NUMBER_F32, 1, {1}, single};
        else if (i == 4)
            l->arrays[8].dims[0] = 25, l->arrays[8].dims[1] = 4;
        else if (i == 5)
            l->arrays[1].n_dims = 2, l->arrays[1].dims[1] = 1;
        else if (i == 6)
            l->arrays[1].n_dims = 0;
        else if (i == 7)
            bias[2] = NAN;
        else if (i == 8)
            bias[3] = -INFINITY;
        else if (i == 9)
            bias[0] = 1e39;
        else if (i == 10)
            state[2] = INFINITY;
        else if (i == 11)
            state[3] = -1e-30;
        else if (i == 12)
            l->arrays[1].type = INFL_NUMBER_I64, l->arrays[1].numbers = count;
        else if (i == 13) /* PyTorch's counters are nobody's */
            l->arrays[l->n++] = (infl_file_array){"bn1.num_batches_tracked", INFL_NUMBER_I64, 0, {0}, count};
        else if (i == 14) {
            l->arrays[l->n++] = (infl_file_array){"fc4.weight", INFL_NUMBER_F32, 1, {1}, single};
            options.ignore_unknown = 1;
        }
        /* where state lies: mean and variance of the first, then of the second */
        ck_assert(mean->numbers == state + 2 && variance->numbers == state + 3);
        infl_status status = read_listing(other, l, &options);
        ck_assert_msg(status == cases[i].status, "%zu: %s: %s", i, infl_status_name(status), infl_last_error());
        if (status != INFL_OK) {
            double *after = numbers_of(other);
            assert_says(cases[i].words[0]);
            assert_says(cases[i].words[1]);
            assert_same_bits(after, before, count_of(other), "case %zu", i);
            free(after);
        } else {
            assert_same_numbers(model, other, "good");
            assert_ok(infl_model_set_parameters(other, before));
            assert_ok(infl_model_set_state(other, before + infl_model_parameters(other)));
        }
        unlist(l);
    }
    /* what f64 can take */
    infl_model *wide = zoo_model(INFL_ZOO_LENET5, INFL_F64, 1, 2);
    listing *l = list(model, &options, NULL, 0);
    l->numbers[infl_model_parameters(model) - 1] = 1e39;
    assert_ok(read_listing(wide, l, &options));
    unlist(l);
    infl_model_destroy(wide);
    infl_model_destroy(model);
    infl_model_destroy(other);
    free(before);
}
END_TEST

/* What was prepared at the θ of before is told that it is another now, and what an objective kept of it is forgotten. */
START_TEST(test_stale) {
    char path[512];
    infl_weights_options zoo = by(INFL_NAMES_ZOO, INFL_ZOO_KL_CNN);
    infl_model *model = fixture_model(0, INFL_F64);
    infl_dataset *dataset = fixture_data(0);
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective *objective, *fresh;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    size_t p = infl_model_parameters(model);
    double *v = numbers_of(model), *out = room(p), *truth = room(p);
    options.method = INFL_CG;
    options.accept_unconverged = 1;
    options.max_iterations = 1;
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, NULL));
    assert_ok(infl_curvature_create(&curvature, objective, INFL_GAUSS_NEWTON, 1));
    assert_ok(infl_inverse_create(&inverse, curvature, &options));
    assert_ok(infl_inverse_solve(inverse, v, 1, out, NULL));
    for (int i = 0; i < 3; i++)
        assert_ok(infl_objective_product(objective, INFL_HESSIAN, v, 1, out));
    data_file(path, sizeof path, "kl_cnn");
    assert_ok(infl_model_read_weights(model, path, &zoo));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_solve(inverse, v, 1, out, NULL));
    assert_says("theta has changed");
    assert_ok(infl_objective_create(&fresh, model, &loss, dataset, NULL));
    assert_ok(infl_objective_product(objective, INFL_HESSIAN, v, 1, out));
    assert_ok(infl_objective_product(fresh, INFL_HESSIAN, v, 1, truth));
    assert_same_bits(out, truth, p, "after reading");
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    infl_objective_destroy(fresh);
    infl_dataset_destroy(dataset);
    infl_model_destroy(model);
    free(v);
    free(out);
    free(truth);
}
END_TEST

START_TEST(test_options) {
    char path[512];
    infl_model *model = fixture_model(0, INFL_F32), *lenet = fixture_model(1, INFL_F32);
    double *before = numbers_of(model);
    infl_weights_options zoo = by(INFL_NAMES_ZOO, INFL_ZOO_KL_CNN), bad;
    data_file(path, sizeof path, "kl_cnn");
    assert_fails(INFL_E_ARGUMENT, infl_model_read_weights(NULL, path, &zoo));
    assert_fails(INFL_E_ARGUMENT, infl_model_read_weights(model, NULL, &zoo));
    assert_fails(INFL_E_ARGUMENT, infl_model_write_weights(NULL, path, &zoo));
    assert_fails(INFL_E_ARGUMENT, infl_model_write_weights(model, NULL, &zoo));
    assert_fails(INFL_E_ARGUMENT, infl_model_read_weights(model, path, NULL));
    assert_says("no tensor \"conv2d1.weight\"");
    for (int i = 0; i < 7; i++) {
        static const char *const words[] = {"size 0",          "names are 4",    "network is -1",
                                            "network is 6",    "ignore_unknown", "no lenet5: its layer 2",
                                            "no nn.Sequential"};
        bad = zoo;
        if (i == 0)
            bad.size = 0;
        else if (i == 1)
            bad.names = (infl_weight_names)4;
        else if (i == 2)
            bad.network = -1;
        else if (i == 3)
            bad.network = 6;
        else if (i == 4)
            bad.ignore_unknown = 2;
        else if (i == 5)
            bad.network = INFL_ZOO_LENET5;
        else
            bad = by(INFL_NAMES_SEQUENTIAL, -1);
        infl_model *of = i < 6 ? model : zoo_model(INFL_ZOO_RESNET18, INFL_F32, 1, 1);
        assert_fails(INFL_E_ARGUMENT, infl_model_read_weights(of, path, &bad));
        assert_says(words[i]);
        assert_fails(INFL_E_ARGUMENT, infl_model_write_weights(of, "/none/such", &bad));
        assert_says(words[i]);
        if (i == 6)
            infl_model_destroy(of);
    }
    /* the other way round: fewer layers, more layers, others in a file */
    assert_fails(INFL_E_ARGUMENT, infl_model_read_weights(lenet, path, &zoo));
    assert_says("no kl_cnn");
    bad = by(INFL_NAMES_SEQUENTIAL, -1);
    assert_fails(INFL_E_ARGUMENT, infl_model_read_weights(lenet, path, &bad));
    assert_says("tensor \"0.weight\": its shape is 8×1×3×3; the model's conv2d1.weight is 2×1×5×5");
    bad = zoo;
    bad.prefix = "module.";
    assert_fails(INFL_E_ARGUMENT, infl_model_read_weights(model, path, &bad));
    assert_says("no tensor \"module.0.weight\"");
    assert_fails(INFL_E_IO, infl_model_read_weights(model, "/none/such", &zoo));
    assert_fails(INFL_E_IO, infl_model_write_weights(model, "/none/such", &zoo));
    double *after = numbers_of(model);
    assert_same_bits(after, before, count_of(model), "after all that");
    free(before);
    free(after);
    infl_model_destroy(model);
    infl_model_destroy(lenet);
}
END_TEST

/* A network of fewer layers of the right kinds is none either. */
START_TEST(test_short) {
    infl_builder *b;
    infl_model *model;
    infl_conv2d conv = INFL_CONV2D_INIT;
    conv.channels = 2;
    assert_ok(infl_builder_create_image(&b, 1, 4, 4));
    infl_node x = infl_builder_conv2d(b, infl_builder_conv2d(b, INFL_NODE_INPUT, &conv), &conv);
    assert_ok(infl_model_create(&model, b, x, INFL_F32, 1));
    infl_weights_options options = by(INFL_NAMES_ZOO, INFL_ZOO_LENET5);
    assert_fails(INFL_E_ARGUMENT, infl_model_write_weights(model, "/none/such", &options));
    assert_says("it has 2 layers with parameters, expected 5");
    infl_model_destroy(model);
    infl_builder_destroy(b);
}
END_TEST

/* A real file cut anywhere, and every byte of its header another: read or refused, and never half of it taken. */
START_TEST(test_damaged) {
    static unsigned char bytes[1 << 16];
    temporary_file whole;
    infl_weights_options options = by(INFL_NAMES_ZOO, INFL_ZOO_KL_CNN);
    data_file(whole.path, sizeof whole.path, "kl_cnn");
    size_t n = read_back(&whole, bytes, sizeof bytes), refused = 0, tried = 0, header = 8 + bytes[0] + 256u * bytes[1];
    ck_assert(n > header && header < 2000);
    infl_model *model = fixture_model(0, INFL_F32);
    double *before = numbers_of(model);
    for (size_t length = 0; length < n; length += length < header ? 7 : 997) {
        temporary_file file = write_file(bytes, length, 0);
        assert_fails(INFL_E_FORMAT, infl_model_read_weights(model, file.path, &options));
        ck_assert_int_eq(unlink(file.path), 0);
    }
    for (size_t at = 0; at < header; at++)
        for (unsigned mask = 1; mask < 256; mask *= 4) {
            bytes[at] ^= (unsigned char)mask;
            temporary_file file = write_file(bytes, n, 0);
            infl_status status = infl_model_read_weights(model, file.path, &options);
            bytes[at] ^= (unsigned char)mask;
            ck_assert_int_eq(unlink(file.path), 0);
            tried++;
            refused += status != INFL_OK;
            ck_assert_msg(status == INFL_OK || status == INFL_E_FORMAT || status == INFL_E_ARGUMENT ||
                              status == INFL_E_UNSUPPORTED || status == INFL_E_NONFINITE,
                          "byte %zu: %s", at, infl_last_error());
            double *after = numbers_of(model);
            if (status != INFL_OK)
                assert_same_bits(after, before, count_of(model), "byte %zu", at);
            else
                assert_ok(infl_model_set_parameters(model, before));
            free(after);
        }
    ck_assert_uint_gt(refused, tried / 10 * 9);
    infl_model_destroy(model);
    free(before);
}
END_TEST

Suite *weights_suite(void);
Suite *weights_suite(void) {
    Suite *suite = suite_create("weights");
    add_case(suite, "weights/pytorch", test_pytorch, N_FIXTURES);
    add_case(suite, "weights/round-trip", test_round_trip, N_NETWORKS);
    add_case(suite, "weights/precisions", test_precisions, 1);
    add_case(suite, "weights/whole-model", test_whole_model, 1);
    add_case(suite, "weights/names", test_names, 1);
    add_case(suite, "weights/chains", test_chains, 1);
    add_case(suite, "weights/aliases", test_aliases, 1);
    add_case(suite, "weights/table", test_table, 1);
    add_case(suite, "weights/tensors", test_tensors, 1);
    add_case(suite, "weights/stale", test_stale, 1);
    add_case(suite, "weights/options", test_options, 1);
    add_case(suite, "weights/short", test_short, 1);
    add_case(suite, "weights/damaged", test_damaged, 1);
    return suite;
}

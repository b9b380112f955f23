/* Models in files: what comes back is the same model, and what is damaged or forged does not come back. */
#include <math.h>

#include "files.h"
#include "hash.h"
#include "metadata.h"
#include "network.h"
#include "reference.h"
#include "suites.h"

enum { N_NETWORKS = INFL_ZOO_RESNET50 + 1, N_ROWS = 3, N_CLASSES = 4 };

static temporary_file empty_file(void) { return write_file("", 0, 0); }

static void assert_says(const char *word) {
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "%s: not said by: %s", word, infl_last_error());
}

static double *room(size_t n) {
    double *x = calloc(n == 0 ? 1 : n, sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

/* Numbers of its own for every parameter and every statistic, variances above 0. */
static void scatter(infl_model *model, uint64_t seed) {
    size_t p = infl_model_parameters(model), s = infl_model_state(model);
    double *theta = room(p), *state = room(s);
    assert_ok(infl_model_get_parameters(model, theta));
    for (size_t i = 0; i < p; i++)
        theta[i] += 0.1 * random_normal(&seed);
    for (size_t i = 0; i < s; i++)
        state[i] = 0.5 + random_uniform(&seed);
    assert_ok(infl_model_set_parameters(model, theta));
    assert_ok(infl_model_set_state(model, state));
    free(theta);
    free(state);
}

static infl_dataset *data_for(const infl_model *model, uint64_t seed) {
    size_t d = infl_model_inputs(model);
    double *x = room(N_ROWS * d);
    int32_t labels[N_ROWS] = {0};
    labels[1] = infl_model_outputs(model) > 1;
    for (size_t i = 0; i < N_ROWS * d; i++)
        x[i] = random_normal(&seed);
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = N_ROWS;
    spec.n_features = d;
    spec.features = x;
    spec.labels = labels;
    spec.n_classes = infl_model_outputs(model);
    infl_dataset *dataset;
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(x);
    return dataset;
}

static infl_objective *objective_of(infl_model *model, const infl_dataset *dataset) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective *objective;
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, NULL));
    return objective;
}

static void hash_of(const infl_model *model, uint64_t out[2]) {
    infl_hash *hash;
    assert_ok(infl_hash_begin(&hash));
    assert_ok(infl_model_hash(model, hash));
    infl_hash_end(hash, out);
}

/* Everything that can be asked of two models gives the same bits. */
static void assert_same_model(infl_model *a, infl_model *b, const char *name) {
    size_t p = infl_model_parameters(a), s = infl_model_state(a), c = infl_model_outputs(a);
    ck_assert_uint_eq(infl_model_parameters(b), p);
    ck_assert_uint_eq(infl_model_state(b), s);
    ck_assert_uint_eq(infl_model_inputs(b), infl_model_inputs(a));
    ck_assert_int_eq(infl_model_precision(b), infl_model_precision(a));
    ck_assert_uint_eq(infl_model_tensors(b), infl_model_tensors(a));
    double *x = room(p + s), *y = room(p + s), outputs[2][N_ROWS * 16];
    infl_model *of[2] = {a, b};
    double *numbers[2] = {x, y};
    uint64_t hashes[2][2];
    infl_dataset *dataset = data_for(a, 7);
    ck_assert_uint_le(c, 16);
    for (int i = 0; i < 2; i++) {
        hash_of(of[i], hashes[i]);
        assert_ok(infl_model_get_parameters(of[i], numbers[i]));
        assert_ok(infl_model_get_state(of[i], numbers[i] + p));
        assert_ok(infl_model_predict(of[i], dataset, outputs[i]));
    }
    ck_assert_msg(memcmp(hashes[0], hashes[1], sizeof hashes[0]) == 0, "%s", name);
    assert_same_bits(x, y, p + s, "%s", name);
    assert_same_bits(outputs[0], outputs[1], N_ROWS * c, "%s", name);
    for (int i = 0; i < 2; i++) {
        infl_objective *objective = objective_of(of[i], dataset);
        assert_ok(infl_objective_evaluate(objective, NULL, numbers[i]));
        infl_objective_destroy(objective);
    }
    assert_same_bits(x, y, p, "gradients, %s", name);
    for (int i = 0; i < 2; i++) { /* drawn anew they are the same as well: the initialisers are kept */
        assert_ok(infl_model_initialise(of[i], 5));
        assert_ok(infl_model_get_parameters(of[i], numbers[i]));
    }
    assert_same_bits(x, y, p, "initial, %s", name);
    infl_dataset_destroy(dataset);
    free(x);
    free(y);
}

/* Saves, loads, compares, and saves again: the files are the same, byte by byte. The model is drawn anew. */
static void round_trip(infl_model *model, const char *name) {
    temporary_file file = empty_file(), again = empty_file();
    infl_model *loaded = NULL;
    scatter(model, 3);
    assert_ok(infl_model_save(model, file.path));
    assert_ok(infl_model_load(&loaded, file.path));
    assert_ok(infl_model_save(loaded, again.path));
    size_t enough = 1 << 24, n;
    unsigned char *bytes = malloc(2 * enough);
    ck_assert_ptr_nonnull(bytes);
    n = read_back(&file, bytes, enough);
    ck_assert_uint_lt(n, enough);
    ck_assert_msg(read_back(&again, bytes + enough, enough) == n && memcmp(bytes, bytes + enough, n) == 0, "%s", name);
    assert_same_model(model, loaded, name);
    free(bytes);
    infl_model_destroy(loaded);
    ck_assert_int_eq(unlink(file.path), 0);
    ck_assert_int_eq(unlink(again.path), 0);
}

START_TEST(test_zoo) {
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    options.n_classes = N_CLASSES;
    options.width_factor = 1.0 / 32;
    for (int precision = INFL_F32; precision <= INFL_F64; precision++)
        for (options.batch_norm = 0; options.batch_norm < 2; options.batch_norm++) {
            infl_model *model;
            assert_ok(infl_model_create_zoo(&model, (infl_zoo_network)_i, &options, (infl_precision)precision, 1));
            round_trip(model, infl_zoo_network_name((infl_zoo_network)_i));
            infl_model_destroy(model);
        }
}
END_TEST

/* Other graphs: several inputs of a layer, nodes used more than once, every kind and option, as the tests have them. */
START_TEST(test_graphs) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.graph = (reference_graph)_i;
    for (int activation = 0; activation < (int)INFL_N_ACTIVATIONS; activation++)
        for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
            options.activation = (infl_activation)activation;
            options.precision = (infl_precision)precision;
            problem *q = problem_create(&options);
            round_trip(q->model, problem_name(q));
            problem_destroy(q);
        }
}
END_TEST

/* Options that are not the defaults, none of them twice the same; `variant` leaves one flattening out. */
static infl_model *odd_model(int variant) {
    infl_builder *b;
    infl_model *model;
    infl_conv2d conv = INFL_CONV2D_INIT, plain = INFL_CONV2D_INIT;
    infl_pool2d pool = {sizeof pool, {3, 2}, {2, 1}, {1, 0}}, whole = {sizeof whole, {2, 3}, {0, 0}, {1, 1}};
    infl_batch_norm norm = {sizeof norm, 0.1, 1.0 / 3}, other = {sizeof other, 1e-300, 0.0};
    conv.channels = 6;
    conv.kernel[0] = 2, conv.kernel[1] = 3;
    conv.stride[0] = 1, conv.stride[1] = 2;
    conv.padding[0] = 1, conv.padding[1] = 2;
    conv.groups = 2;
    conv.bias = 0;
    conv.initialiser = INFL_INIT_TRUNCATED_NORMAL_2;
    plain.channels = 3;
    plain.initialiser = INFL_INIT_LECUN;
    assert_ok(infl_builder_create_image(&b, 2, 8, 9));
    infl_node x = infl_builder_conv2d(b, INFL_NODE_INPUT, &conv);
    infl_builder_dense(b, x, 5, 1, INFL_INIT_HE); /* leads nowhere */
    x = infl_builder_batch_norm(b, x, &norm);
    x = infl_builder_max_pool2d(b, x, &pool);
    x = infl_builder_dropout(b, x, 0.7);
    infl_node y = infl_builder_conv2d(b, x, &plain);
    y = infl_builder_average_pool2d(b, y, &whole);
    if (variant == 0)
        y = infl_builder_flatten(b, y);
    y = infl_builder_batch_norm(b, y, &other); /* of each number; of each channel */
    x = infl_builder_global_average_pool(b, x);
    x = infl_builder_dense(b, x, 4, 0, INFL_INIT_TRUNCATED_NORMAL);
    y = infl_builder_dense(b, infl_builder_flatten(b, y), 4, 1, INFL_INIT_GLOROT);
    y = infl_builder_add(b, infl_builder_activation(b, y, INFL_GELU), x);
    assert_ok(infl_model_create(&model, b, infl_builder_flatten(b, y), INFL_F64, 1));
    infl_builder_destroy(b);
    return model;
}

START_TEST(test_options) {
    infl_model *model = odd_model(_i), *other = odd_model(!_i);
    ck_assert(infl_model_parameters(model) != infl_model_parameters(other));
    round_trip(model, "odd");
    infl_model_destroy(model);
    infl_model_destroy(other);
}
END_TEST

/* What was kept for a model is of the loaded one. */
START_TEST(test_belongings) {
    temporary_file file = empty_file(), matrix = empty_file(), factor = empty_file();
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    options.n_classes = N_CLASSES;
    options.width_factor = 1.0 / 8;
    options.batch_norm = 1;
    infl_model *model, *loaded;
    assert_ok(infl_model_create_zoo(&model, INFL_ZOO_KL_CNN, &options, (infl_precision)_i, 1));
    scatter(model, 2);
    infl_dataset *dataset = data_for(model, 1);
    infl_objective *objective = objective_of(model, dataset);
    infl_curvature *curvature, *kept = NULL;
    infl_inverse *inverse, *prepared = NULL;
    assert_ok(infl_curvature_create(&curvature, objective, INFL_GAUSS_NEWTON, 0.5));
    assert_ok(infl_curvature_form(curvature, NULL, NULL));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_ok(infl_curvature_save(curvature, matrix.path));
    assert_ok(infl_inverse_save(inverse, factor.path));
    assert_ok(infl_model_save(model, file.path));
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    assert_ok(infl_model_load(&loaded, file.path));
    objective = objective_of(loaded, dataset);
    assert_ok(infl_curvature_load(&kept, objective, matrix.path, 0.5));
    assert_ok(infl_inverse_load(&prepared, kept, factor.path, NULL));
    infl_safetensors *open, *of;
    assert_ok(infl_safetensors_open(&open, file.path));
    assert_ok(infl_safetensors_open(&of, matrix.path));
    ck_assert_str_eq(infl_safetensors_metadata(open, "model"), infl_safetensors_metadata(of, "model"));
    ck_assert_str_eq(infl_safetensors_metadata(open, "content"), "model");
    ck_assert_str_eq(infl_safetensors_metadata(open, "precision"), _i == INFL_F32 ? "f32" : "f64");
    const infl_file_tensor *tensor = infl_safetensors_find(open, "conv2d1.weight");
    ck_assert(tensor != NULL && tensor->type == (_i == INFL_F32 ? INFL_NUMBER_F32 : INFL_NUMBER_F64));
    tensor = infl_safetensors_find(open, "batch_norm1.running_variance");
    ck_assert(tensor != NULL && tensor->type == INFL_NUMBER_F64);
    infl_safetensors_close(open);
    infl_safetensors_close(of);
    infl_inverse_destroy(prepared);
    infl_curvature_destroy(kept);
    kept = NULL;
    scatter(loaded, 9);
    assert_fails(INFL_E_ARGUMENT, infl_curvature_load(&kept, objective, matrix.path, 0.5));
    infl_objective_destroy(objective);
    infl_model_destroy(loaded);
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
    ck_assert_int_eq(unlink(file.path), 0);
    ck_assert_int_eq(unlink(matrix.path), 0);
    ck_assert_int_eq(unlink(factor.path), 0);
}
END_TEST

/* The bytes of a small model with a state. */
static size_t small_file(unsigned char *bytes, size_t size) {
    infl_builder *b;
    infl_model *model;
    temporary_file file = empty_file();
    assert_ok(infl_builder_create(&b, 2));
    infl_node x = infl_builder_batch_norm(b, INFL_NODE_INPUT, NULL);
    assert_ok(infl_model_create(&model, b, infl_builder_dense(b, x, 1, 1, INFL_INIT_HE), INFL_F32, 1));
    assert_ok(infl_model_save(model, file.path));
    size_t n = read_back(&file, bytes, size);
    infl_model_destroy(model);
    infl_builder_destroy(b);
    ck_assert_int_eq(unlink(file.path), 0);
    return n;
}

static infl_status load_bytes(infl_model **out, const unsigned char *bytes, size_t n) {
    temporary_file file = write_file(bytes, n, 0);
    infl_status status = infl_model_load(out, file.path);
    ck_assert_msg(status == INFL_OK || strstr(infl_last_error(), file.path) != NULL, "%s", infl_last_error());
    ck_assert_msg(status == INFL_OK || strncmp(infl_last_error(), "infl_model_load: ", 17) == 0, "%s",
                  infl_last_error());
    ck_assert_int_eq(unlink(file.path), 0);
    return status;
}

START_TEST(test_truncated) {
    unsigned char bytes[2048];
    size_t n = small_file(bytes, sizeof bytes);
    infl_model *model = NULL;
    for (size_t length = 0; length < n; length++)
        ck_assert_msg(load_bytes(&model, bytes, length) == INFL_E_FORMAT && model == NULL, "%zu of %zu: %s", length, n,
                      infl_last_error());
    assert_ok(load_bytes(&model, bytes, n));
    infl_model_destroy(model);
}
END_TEST

/* Every bit of the file turned: either it is found, or it was one that says nothing (a word about the version). */
START_TEST(test_flipped) {
    unsigned char bytes[2048];
    size_t n = small_file(bytes, sizeof bytes), harmless = 0;
    uint64_t truth[2], found[2];
    infl_model *model = NULL;
    assert_ok(load_bytes(&model, bytes, n));
    hash_of(model, truth);
    infl_model_destroy(model);
    for (size_t at = 0; at < n; at++)
        for (int bit = 0; bit < 8; bit++) {
            model = NULL;
            bytes[at] ^= (unsigned char)(1 << bit);
            infl_status status = load_bytes(&model, bytes, n);
            ck_assert_msg(status == INFL_OK || (status == INFL_E_FORMAT && model == NULL), "byte %zu, bit %d: %s: %s",
                          at, bit, infl_status_name(status), infl_last_error());
            if (status == INFL_OK) {
                harmless++;
                hash_of(model, found);
                ck_assert_msg(memcmp(found, truth, sizeof found) == 0, "byte %zu, bit %d", at, bit);
                infl_model_destroy(model);
            }
            bytes[at] ^= (unsigned char)(1 << bit);
        }
    ck_assert_uint_le(harmless, 8 * strlen("\"library_version\":\"" INFL_VERSION_STRING "\"") + 16);
}
END_TEST

/* A file made with care by somebody else, its hashes right. The tensors: "dense1.weight" and "dense1.bias", as given. */
static temporary_file forge(const char *content, const char *precision, const char *graph,
                            const infl_file_array *arrays, size_t n_arrays, const infl_model *model) {
    temporary_file file = empty_file();
    uint64_t identity[2] = {1, 2}, check[2];
    infl_metadata metadata;
    infl_hash *hash;
    if (model != NULL)
        hash_of(model, identity);
    assert_ok(infl_hash_begin(&hash));
    infl_hash_string(hash, content);
    infl_hash_string(hash, precision);
    infl_hash_string(hash, graph);
    infl_hash_number(hash, identity[0]);
    infl_hash_number(hash, identity[1]);
    infl_hash_end(hash, check);
    infl_metadata_begin(&metadata, content);
    infl_metadata_add_string(&metadata, "precision", precision);
    infl_metadata_add_string(&metadata, "graph", graph);
    infl_metadata_add_hash(&metadata, "model", identity);
    infl_metadata_add_hash(&metadata, "hash", check);
    assert_ok(infl_safetensors_write(file.path, metadata.strings, metadata.n, arrays, n_arrays));
    return file;
}

#define INPUT(shape) "{\"layers\":[{\"kind\":\"input\",\"inputs\":[],\"shape\":" shape "}"
#define LAYERS INPUT("[2,1,1]") ","
#define DENSE(inputs, units)                                                                                           \
    "{\"kind\":\"dense\",\"inputs\":" inputs ",\"units\":" units ",\"bias\":true,\"initialiser\":\"he\"}"
#define GOOD LAYERS DENSE("[0]", "1") "]}"
#define CONV(rest)                                                                                                     \
    INPUT("[2,4,4]") ",{\"kind\":\"conv2d\",\"inputs\":[0]," rest ",\"bias\":true,\"initialiser\":\"he\"}]}"
#define POOL(rest) INPUT("[2,4,4]") ",{\"kind\":\"max_pool2d\",\"inputs\":[0]," rest "}," DENSE("[1]", "1") "]}"
#define ONE(rest) LAYERS "{" rest "}," DENSE("[1]", "1") "]}"

static const struct {
    const char *graph, *word;
} graphs[] = {
    {"", "not JSON"},
    {"{", "not JSON"},
    {"[]", "array of layers"},
    {"{}", "array of layers"},
    {"{\"layers\":[]}", "array of layers"},
    {"{\"layers\":{}}", "array of layers"},
    {LAYERS DENSE("[0]", "1") "],\"more\":1}", "array of layers"},
    {LAYERS DENSE("[0]", "1") "],\"layers\":[]}", "not JSON"},
    {"{\"layers\":[7]}", "layer 0 of the graph: \"kind\""},
    {"{\"layers\":[" DENSE("[0]", "1") "]}", "layer 0 of the graph: \"kind\""},
    {INPUT("[2,1,1]") "]}", "no parameter"},
    {INPUT("[0,1,1]") "," DENSE("[0]", "1") "]}", "0×1×1"},
    {INPUT("[2,1]") "," DENSE("[0]", "1") "]}", "an array of 3 whole numbers"},
    {INPUT("[2,1,1,1]") "," DENSE("[0]", "1") "]}", "an array of 3 whole numbers"},
    {INPUT("[2,-1,1]") "," DENSE("[0]", "1") "]}", "an array of 3 whole numbers"},
    {INPUT("[2,1.0,1]") "," DENSE("[0]", "1") "]}", "an array of 3 whole numbers"},
    {INPUT("[2,4611686018427387904,4]") "," DENSE("[0]", "1") "]}", "no more than memory"},
    {INPUT("[9223372036854775807,1,1]") "," DENSE("[0]", "1") "]}", "no more than memory"},
    {"{\"layers\":[{\"kind\":\"input\",\"inputs\":[0],\"shape\":[2,1,1]}," DENSE("[0]", "1") "]}", "array of 0"},
    {"{\"layers\":[{\"kind\":\"input\",\"shape\":[2,1,1]}," DENSE("[0]", "1") "]}", "array of 0"},
    {LAYERS "{\"kind\":\"input\",\"inputs\":[],\"shape\":[2,1,1]}," DENSE("[1]", "1") "]}", "one input"},
    {LAYERS DENSE("[1]", "1") "]}", "layers before it"},
    {LAYERS DENSE("[2]", "1") "]}", "layers before it"},
    {LAYERS DENSE("[4294967296]", "1") "]}", "layers before it"},
    {LAYERS DENSE("[-1]", "1") "]}", "an array of 1 whole numbers"},
    {LAYERS DENSE("[]", "1") "]}", "an array of 1 whole numbers"},
    {LAYERS DENSE("0", "1") "]}", "an array of 1 whole numbers"},
    {LAYERS DENSE("[0,0]", "1") "]}", "an array of 1 whole numbers"},
    {LAYERS DENSE("[0]", "0") "]}", "units is 0"},
    {LAYERS DENSE("[0]", "-1") "]}", "\"units\" is not a whole number"},
    {LAYERS DENSE("[0]", "1.5") "]}", "\"units\" is not a whole number"},
    {LAYERS DENSE("[0]", "\"1\"") "]}", "\"units\" is not a whole number"},
    {LAYERS DENSE("[0]", "99999999999999999999") "]}", "not JSON"},
    {LAYERS DENSE("[0]", "9223372036854775807") "]}", "more parameters than memory can hold"},
    {LAYERS DENSE("[0]", "2") "]}", "6 parameters and a state of 0; there are 3 numbers"},
    {LAYERS DENSE("[0]", "1000000000000") "]}", "there are 3 numbers"},
    {LAYERS DENSE("[0]", "1,\"units2\":7") "]}", "fields that no such layer has"},
    {LAYERS "{\"kind\":\"dense\",\"inputs\":[0],\"units\":1,\"initialiser\":\"he\"}]}",
     "\"bias\" is not true or false"},
    {LAYERS "{\"kind\":\"dense\",\"inputs\":[0],\"units\":1,\"bias\":1,\"initialiser\":\"he\"}]}",
     "\"bias\" is not true or false"},
    {LAYERS "{\"kind\":\"dense\",\"inputs\":[0],\"units\":1,\"bias\":true,\"initialiser\":\"she\"}]}", "a word"},
    {LAYERS "{\"kind\":\"dense\",\"inputs\":[0],\"units\":1,\"bias\":true,\"initialiser\":2}]}", "a word"},
    {LAYERS "{\"kind\":\"dense\",\"inputs\":[0],\"units\":1,\"bias\":false,\"initialiser\":\"he\"}]}", "2 parameters"},
    {ONE("\"kind\":\"dance\",\"inputs\":[0]"), "\"kind\" is not a word"},
    {ONE("\"inputs\":[0]"), "\"kind\" is not a word"},
    {ONE("\"kind\":\"activation\",\"inputs\":[0],\"activation\":\"cosh\""), "\"activation\" is not a word"},
    {ONE("\"kind\":\"activation\",\"inputs\":[0],\"activation\":[]"), "\"activation\" is not a word"},
    {ONE("\"kind\":\"dropout\",\"inputs\":[0],\"rate\":1"), "rate is 1"},
    {ONE("\"kind\":\"dropout\",\"inputs\":[0],\"rate\":-0.5"), "rate is -0.5"},
    {ONE("\"kind\":\"dropout\",\"inputs\":[0],\"rate\":\"0.5\""), "\"rate\" is not a number"},
    {ONE("\"kind\":\"batch_norm\",\"inputs\":[0],\"epsilon\":0,\"momentum\":0.1"), "epsilon is 0"},
    {ONE("\"kind\":\"batch_norm\",\"inputs\":[0],\"epsilon\":1e999,\"momentum\":0.1"), "not JSON"},
    {ONE("\"kind\":\"batch_norm\",\"inputs\":[0],\"epsilon\":1,\"momentum\":1.5"), "momentum is 1.5"},
    {ONE("\"kind\":\"batch_norm\",\"inputs\":[0],\"epsilon\":1,\"momentum\":0.1"), "7 parameters and a state of 4"},
    {ONE("\"kind\":\"add\",\"inputs\":[0]"), "an array of 2 whole numbers"},
    {LAYERS DENSE("[0]", "1") "," DENSE("[0]", "2") ",{\"kind\":\"add\",\"inputs\":[1,2]}]}", "must be the same"},
    {ONE("\"kind\":\"flatten\",\"inputs\":[0],\"units\":1"), "fields that no such layer has"},
    {CONV("\"channels\":0,\"groups\":1,\"kernel\":[1,1],\"stride\":[1,1],\"padding\":[0,0]"), "channels is 0"},
    {CONV("\"channels\":1,\"groups\":0,\"kernel\":[1,1],\"stride\":[1,1],\"padding\":[0,0]"), "groups is 0"},
    {CONV("\"channels\":3,\"groups\":2,\"kernel\":[1,1],\"stride\":[1,1],\"padding\":[0,0]"), "groups is 2"},
    {CONV("\"channels\":1,\"groups\":1,\"kernel\":[5,1],\"stride\":[1,1],\"padding\":[0,0]"), "does not fit"},
    {CONV("\"channels\":1,\"groups\":1,\"kernel\":[0,1],\"stride\":[1,1],\"padding\":[0,0]"), "kernel 0"},
    {CONV("\"channels\":1,\"groups\":1,\"kernel\":[1,1],\"stride\":[0,1],\"padding\":[0,0]"), "stride 0"},
    {CONV("\"channels\":1,\"groups\":1,\"kernel\":[1,1],\"stride\":[1,1],\"padding\":[9223372036854775807,0]"),
     "more than memory can hold"},
    {CONV("\"channels\":1,\"groups\":1,\"kernel\":[1,1],\"stride\":[1,1],\"padding\":[0,4611686018427387903]"),
     "more than memory can hold"},
    {CONV("\"channels\":9223372036854775807,\"groups\":1,\"kernel\":[1,1],\"stride\":[1,1],\"padding\":[0,0]"),
     "more parameters than memory can hold"},
    {CONV("\"channels\":1,\"groups\":1,\"kernel\":[1],\"stride\":[1,1],\"padding\":[0,0]"), "an array of 2"},
    {CONV("\"channels\":1,\"groups\":1,\"kernel\":[1,1],\"padding\":[0,0]"), "\"stride\" is not an array of 2"},
    {POOL("\"kernel\":[2,2],\"stride\":[0,2],\"padding\":[0,0]"), "\"stride\" is not an array of 2"},
    {POOL("\"kernel\":[2,2],\"stride\":[2,2],\"padding\":[2,0]"), "half the kernel"},
};

static const float numbers[3] = {1, 2, 3};
static const infl_file_array tensors[] = {{"dense1.weight", INFL_NUMBER_F32, 2, {1, 2}, numbers},
                                          {"dense1.bias", INFL_NUMBER_F32, 1, {1}, numbers + 2}};

START_TEST(test_forged_graphs) {
    infl_model *model = NULL;
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        temporary_file file = forge("model", "f32", graphs[i].graph, tensors, 2, NULL);
        infl_status status = infl_model_load(&model, file.path);
        ck_assert_msg(status == INFL_E_FORMAT && model == NULL, "%s: %s: %s", graphs[i].graph, infl_status_name(status),
                      infl_last_error());
        ck_assert_msg(strstr(infl_last_error(), graphs[i].word) != NULL && strstr(infl_last_error(), file.path) != NULL,
                      "%s, not %s: %s", graphs[i].graph, graphs[i].word, infl_last_error());
        ck_assert_int_eq(unlink(file.path), 0);
    }
}
END_TEST

/* A graph as long as it is untrue costs what the file costs, and so does one so deep that recursion would not end well. */
START_TEST(test_long) {
    enum { LONG = 1 << 20 };
    infl_model *model = NULL;
    char *graph = malloc(2 * LONG);
    ck_assert_ptr_nonnull(graph);
    size_t n = (size_t)sprintf(graph, "%s", LAYERS);
    while (n < LONG)
        n += (size_t)sprintf(graph + n, "{\"kind\":\"flatten\",\"inputs\":[0]},");
    sprintf(graph + n, "%s", DENSE("[0]", "1") "]}");
    /* none of them is needed: the model is there, and its hash is not */
    temporary_file file = forge("model", "f32", graph, tensors, 2, NULL);
    assert_fails(INFL_E_FORMAT, infl_model_load(&model, file.path));
    assert_says("damaged");
    ck_assert_int_eq(unlink(file.path), 0);
    n = (size_t)sprintf(graph, "{\"layers\":");
    memset(graph + n, '[', LONG);
    graph[n + LONG] = '\0';
    file = forge("model", "f32", graph, tensors, 2, NULL);
    assert_fails(INFL_E_FORMAT, infl_model_load(&model, file.path));
    assert_says("not JSON");
    ck_assert_ptr_null(model);
    ck_assert_int_eq(unlink(file.path), 0);
    free(graph);
}
END_TEST

/* The right graph and hashes, but other tensors; with numbers that no model has. */
START_TEST(test_forged_tensors) {
    infl_builder *b;
    infl_model *model, *loaded = NULL;
    float many[3] = {1, 2, 3};
    double doubles[3] = {1, 2, 3};
    assert_ok(infl_builder_create(&b, 2));
    assert_ok(infl_model_create(&model, b, infl_builder_dense(b, 0, 1, 1, INFL_INIT_HE), INFL_F32, 1));
    assert_ok(infl_model_set_parameters(model, doubles));
    infl_file_array arrays[3] = {tensors[0], tensors[1], {"more", INFL_NUMBER_F32, 1, {0}, many}};
    static const char *const words[] = {"",
                                        "no tensor \"dense1.bias\"",
                                        "\"dense1.weight\": its type or shape",
                                        "\"dense1.weight\": its type or shape",
                                        "\"dense1.weight\": its type or shape",
                                        "the file has 3 tensors, its graph 2",
                                        "there are 2 numbers",
                                        "\"precision\" is \"f16\"",
                                        "\"content\" is \"modes\"",
                                        "type or shape",
                                        "damaged"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        arrays[0] = tensors[0];
        arrays[1] = tensors[1];
        if (i == 1)
            arrays[1].name = "dense2.bias";
        else if (i == 2)
            arrays[0].dims[0] = 2, arrays[0].dims[1] = 1;
        else if (i == 3)
            arrays[0].n_dims = 1, arrays[0].dims[0] = 2;
        else if (i == 4)
            arrays[0].type = INFL_NUMBER_F64, arrays[0].numbers = doubles;
        else if (i == 10)
            arrays[1].numbers = many;
        temporary_file file = forge(i == 8 ? "modes" : "model",
                                    i == 7   ? "f16"
                                    : i == 9 ? "f64"
                                             : "f32",
                                    GOOD, arrays,
                                    i == 5   ? 3
                                    : i == 6 ? 1
                                             : 2,
                                    model);
        infl_status status = infl_model_load(&loaded, file.path);
        ck_assert_msg(status == (i == 0 ? INFL_OK : INFL_E_FORMAT), "%zu: %s: %s", i, infl_status_name(status),
                      infl_last_error());
        if (i == 0) {
            assert_same_model(model, loaded, "forged");
            assert_ok(infl_model_set_parameters(model, doubles));
            infl_model_destroy(loaded);
            loaded = NULL;
        } else {
            assert_says(words[i]);
            ck_assert_ptr_null(loaded);
        }
        ck_assert_int_eq(unlink(file.path), 0);
    }
    many[0] = NAN;
    ((float *)model->theta)[0] = NAN; /* which the library does not let anybody do */
    arrays[0] = tensors[0];
    arrays[0].numbers = many;
    arrays[1] = tensors[1];
    temporary_file file = forge("model", "f32", GOOD, arrays, 2, model);
    assert_fails(INFL_E_FORMAT, infl_model_load(&loaded, file.path));
    assert_says("theta[0] is nan");
    ck_assert_ptr_null(loaded);
    ck_assert_int_eq(unlink(file.path), 0);
    infl_model_destroy(model);
    infl_builder_destroy(b);
}
END_TEST

START_TEST(test_negative_variance) {
    infl_builder *b;
    infl_model *model, *loaded = NULL;
    temporary_file file = empty_file();
    assert_ok(infl_builder_create(&b, 2));
    assert_ok(infl_model_create(&model, b, infl_builder_batch_norm(b, 0, NULL), INFL_F64, 1));
    model->network.state[3] = -1;
    assert_ok(infl_model_save(model, file.path));
    assert_fails(INFL_E_FORMAT, infl_model_load(&loaded, file.path));
    assert_says("variance is not negative");
    ck_assert_ptr_null(loaded);
    infl_model_destroy(model);
    infl_builder_destroy(b);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

START_TEST(test_refused) {
    infl_model *model = odd_model(0), *loaded = NULL;
    temporary_file file = empty_file();
    assert_fails(INFL_E_ARGUMENT, infl_model_save(NULL, file.path));
    assert_fails(INFL_E_ARGUMENT, infl_model_save(model, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_model_load(NULL, file.path));
    assert_fails(INFL_E_ARGUMENT, infl_model_load(&loaded, NULL));
    assert_fails(INFL_E_IO, infl_model_save(model, "/none/such"));
    assert_fails(INFL_E_IO, infl_model_load(&loaded, "/none/such"));
    assert_fails(INFL_E_IO, infl_model_load(&loaded, "/dev/null"));
    assert_fails(INFL_E_FORMAT, infl_model_load(&loaded, file.path));
    /* a file of something else: */
    const infl_file_string pt = {"format", "pt"};
    assert_ok(infl_safetensors_write(file.path, &pt, 1, tensors, 2));
    assert_fails(INFL_E_FORMAT, infl_model_load(&loaded, file.path));
    assert_says("\"format\" is \"pt\"; expected \"libinfluence\"");
    ck_assert_ptr_null(loaded);
    ck_assert_int_eq(unlink(file.path), 0);
    infl_model_destroy(model);
}
END_TEST

Suite *model_file_suite(void);
Suite *model_file_suite(void) {
    Suite *suite = suite_create("model_file");
    add_case(suite, "model_file/zoo", test_zoo, N_NETWORKS);
    add_case(suite, "model_file/graphs", test_graphs, REFERENCE_NORMALISED + 1);
    add_case(suite, "model_file/options", test_options, 2);
    add_case(suite, "model_file/belongings", test_belongings, 2);
    add_case(suite, "model_file/truncated", test_truncated, 1);
    add_case(suite, "model_file/flipped", test_flipped, 1);
    add_case(suite, "model_file/forged-graphs", test_forged_graphs, 1);
    add_case(suite, "model_file/forged-tensors", test_forged_tensors, 1);
    add_case(suite, "model_file/negative-variance", test_negative_variance, 1);
    add_case(suite, "model_file/long", test_long, 1);
    add_case(suite, "model_file/refused", test_refused, 1);
    return suite;
}

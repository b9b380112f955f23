/* infl_model_load. The input is the file; or what begins with { is a graph, of which a file is made. */
/* for its hashes, which a file must have right before the rest of it is looked at */
#include "model_file.c" /* NOLINT(bugprone-suspicious-include) */

#include <math.h>
#include <stdio.h>

#include "fuzz.h"

enum { LARGEST = 4096 };

/* A model whose passes take no time. */
static int is_small(const infl_model *model) {
    size_t numbers = 0;
    for (size_t i = 0; i < model->network.n_layers; i++) {
        const infl_layer *layer = &model->network.layers[i];
        size_t width = layer->shape.channels * layer->shape.height * layer->shape.width;
        const size_t *kernel = layer->spec.window.kernel;
        size_t taps = layer->spec.kind == INFL_LAYER_DENSE ? layer->in_width[0]
                      : kernel[0] == 0                     ? 1
                                                           : kernel[0] * kernel[1];
        if (width > LARGEST || taps > LARGEST)
            return 0;
        numbers += width * taps;
    }
    return numbers < 64 * LARGEST;
}

static void check_prediction(const infl_model *model) {
    size_t d = infl_model_inputs(model), c = infl_model_outputs(model);
    double *x = calloc(d, sizeof *x), *outputs = calloc(c, sizeof *outputs), target = 0;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_dataset *dataset;
    FUZZ_CHECK(x != NULL && outputs != NULL);
    for (size_t i = 0; i < d; i++)
        x[i] = 0.5 * (double)(i % 3);
    spec.n_rows = spec.n_targets = 1;
    spec.n_features = d;
    spec.features = x;
    spec.targets = &target;
    FUZZ_OK(infl_dataset_create(&dataset, &spec));
    infl_status status = infl_model_predict(model, dataset, outputs);
    if (fuzz_succeeded(status, FUZZ_MAY(INFL_E_NONFINITE), "infl_model_predict", fuzz_untouched))
        for (size_t i = 0; i < c; i++)
            FUZZ_CHECK(isfinite(outputs[i]));
    infl_dataset_destroy(dataset);
    free(outputs);
    free(x);
}

static void check_numbers(const infl_model *model) {
    size_t p = infl_model_parameters(model), s = infl_model_state(model);
    double *theta = malloc(p * sizeof *theta), *state = malloc((s + 1) * sizeof *state);
    FUZZ_CHECK(theta != NULL && state != NULL && p > 0);
    FUZZ_OK(infl_model_get_parameters(model, theta));
    FUZZ_OK(infl_model_get_state(model, state));
    for (size_t i = 0; i < p; i++)
        FUZZ_CHECK(isfinite(theta[i]));
    for (size_t i = 0; i < s; i++)
        FUZZ_CHECK(isfinite(state[i]));
    free(theta);
    free(state);
}

/* Saved, loaded and saved again it is the same file. */
static void check_saved(const infl_model *model, size_t n) {
    size_t room = 4 * n + (1 << 16);
    unsigned char *first = malloc(room), *second = malloc(room);
    infl_model *again;
    FUZZ_CHECK(first != NULL && second != NULL);
    FUZZ_OK(infl_model_save(model, fuzz_path(1)));
    FUZZ_OK(infl_model_load(&again, fuzz_path(1)));
    FUZZ_OK(infl_model_save(again, fuzz_path(2)));
    infl_model_destroy(again);
    size_t length = fuzz_read(1, first, room);
    FUZZ_CHECK(length < room && fuzz_read(2, second, room) == length && memcmp(first, second, length) == 0);
    free(first);
    free(second);
}

/* A blank model of the file's graph, if that is one with few enough numbers. */
static infl_model *blank_of(const infl_safetensors *file, const char *graph, infl_precision precision) {
    infl_builder *builder;
    infl_model *model = NULL;
    size_t n_layers, parameters, state, numbers = SIZE_MAX;
    if (read_graph(file, graph, &builder, &n_layers) != INFL_OK)
        return NULL;
    infl_node output = (infl_node)(n_layers - 1);
    infl_status status = infl_model_create_blank(&model, builder, output, precision, &numbers);
    FUZZ_CHECK(status != INFL_OK);
    if (sscanf(infl_last_error(), "the graph has %zu parameters and a state of %zu;", &parameters, &state) == 2 &&
        parameters < LARGEST && state < LARGEST)
        FUZZ_OK(infl_model_create_blank(&model, builder, output, precision, NULL));
    infl_builder_destroy(builder);
    return model;
}

static int put_hashes(infl_metadata *metadata, const char *precision, const char *graph, const uint64_t identity[2]) {
    uint64_t all[2];
    if (hash_strings(precision, graph, identity, all) != INFL_OK)
        return 0;
    infl_metadata_add_hash(metadata, "model", identity);
    infl_metadata_add_hash(metadata, "hash", all);
    return 1;
}

/* A file of the graph with the right hashes, and the tensors of its model if it has one; its length, 0: there is none. */
static size_t write_graph(const char *graph, unsigned char *file, size_t room) {
    static const char *const keys[] = {"graph", "model", "hash"};
    infl_metadata metadata;
    infl_safetensors *opened;
    uint64_t identity[2] = {0, 0};
    infl_metadata_begin(&metadata, CONTENT);
    infl_metadata_add_string(&metadata, "precision", precisions[INFL_F64]);
    infl_metadata_add_string(&metadata, "graph", graph);
    FUZZ_CHECK(put_hashes(&metadata, precisions[INFL_F64], graph, identity));
    if (infl_safetensors_write(fuzz_path(1), metadata.strings, metadata.n, NULL, 0) != INFL_OK)
        return 0; /* it is no UTF-8 */
    size_t n = fuzz_read(1, file, room);
    FUZZ_OK(infl_safetensors_open(&opened, fuzz_path(1)));
    infl_model *model = blank_of(opened, graph, INFL_F64);
    infl_safetensors_close(opened);
    if (model == NULL)
        return n;
    FUZZ_OK(infl_model_initialise(model, 1));
    FUZZ_OK(infl_model_save(model, fuzz_path(1)));
    FUZZ_OK(hash_model(model, identity));
    infl_model_destroy(model);
    metadata.n = 0;
    FUZZ_CHECK(put_hashes(&metadata, precisions[INFL_F64], graph, identity));
    const char *const values[] = {graph, metadata.strings[0].value, metadata.strings[1].value};
    return fuzz_put_metadata(file, fuzz_read(1, file, room), room, keys, values, 3);
}

static void check_file(const char *path, size_t n) {
    infl_model *model = fuzz_untouched;
    fuzz_limit_memory(1024 * n + (1 << 18));
    infl_status status = infl_model_load(&model, path);
    fuzz_check_memory();
    if (!fuzz_succeeded(status, FUZZ_MAY(INFL_E_FORMAT), "infl_model_load", model))
        return;
    check_numbers(model);
    check_saved(model, n);
    if (is_small(model))
        check_prediction(model);
    infl_model_destroy(model);
}

FUZZ_TARGET(model) {
    if (n == 0 || bytes[0] != '{') {
        check_file(fuzz_write(0, bytes, n), n);
        return;
    }
    size_t room = 256 * n + 64 * LARGEST;
    char *graph = malloc(n + 1);
    unsigned char *file = malloc(room);
    FUZZ_CHECK(graph != NULL && file != NULL);
    memcpy(graph, bytes, n);
    graph[n] = '\0';
    size_t length = write_graph(graph, file, room);
    FUZZ_CHECK(length < room);
    if (length > 0)
        check_file(fuzz_write(0, file, length), length);
    free(file);
    free(graph);
}

/* The hash of the file's numbers, if its graph is a model with such tensors; else what the file says. */
static void identify(infl_safetensors *file, const char *graph, infl_precision precision, uint64_t identity[2]) {
    infl_model *model = blank_of(file, graph, precision);
    (void)infl_metadata_hash(file, "model", identity);
    if (model == NULL)
        return;
    (void)read_numbers(file, model, identity); /* puts them in, whatever the identity */
    FUZZ_OK(hash_model(model, identity));
    infl_model_destroy(model);
}

FUZZ_REPAIR(model) {
    static const char *const keys[] = {"model", "hash"};
    uint64_t identity[2] = {0, 0};
    infl_safetensors *file;
    infl_metadata metadata = {.n = 0};
    int precision = INFL_F64;
    if (n == 0 || bytes[0] == '{' || infl_safetensors_open(&file, fuzz_write(3, bytes, n)) != INFL_OK)
        return n;
    const char *graph = infl_safetensors_metadata(file, "graph");
    (void)infl_metadata_word(file, "precision", precisions, N_PRECISIONS, &precision);
    if (graph != NULL && precision < N_PRECISIONS) {
        identify(file, graph, (infl_precision)precision, identity);
        FUZZ_CHECK(put_hashes(&metadata, precisions[precision], graph, identity));
        const char *const values[] = {metadata.strings[0].value, metadata.strings[1].value};
        n = fuzz_put_metadata(bytes, n, room, keys, values, 2);
    }
    infl_safetensors_close(file);
    return n;
}

/*
 * A model in a file of the safetensors format: its tensors by their names, and in the strings beside them its graph, as
 * JSON, from which the builder makes the model again. Nothing that the file says is taken without the builder's checks.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "memory.h"
#include "metadata.h"
#include "network.h"

#define CONTENT "model"

static const char *const precisions[] = {[INFL_F32] = "f32", [INFL_F64] = "f64"};
static const char *const activations[] = {
    [INFL_IDENTITY] = "identity", [INFL_TANH] = "tanh",         [INFL_SIGMOID] = "sigmoid", [INFL_RELU] = "relu",
    [INFL_SELU] = "selu",         [INFL_SOFTPLUS] = "softplus", [INFL_GELU] = "gelu"};
static const char *const initialisers[] = {[INFL_INIT_GLOROT] = "glorot",
                                           [INFL_INIT_HE] = "he",
                                           [INFL_INIT_LECUN] = "lecun",
                                           [INFL_INIT_TRUNCATED_NORMAL] = "truncated_normal",
                                           [INFL_INIT_TRUNCATED_NORMAL_2] = "truncated_normal_2"};
enum {
    N_PRECISIONS = sizeof precisions / sizeof *precisions,
    N_ACTIVATIONS = sizeof activations / sizeof *activations,
    N_INITIALISERS = sizeof initialisers / sizeof *initialisers
};
_Static_assert((int)N_ACTIVATIONS == (int)INFL_N_ACTIVATIONS, "a name for each activation");

/* The names of all kinds of layers. */
static void name_kinds(const char *names[INFL_LAYER_KINDS]) {
    for (int kind = 0; kind < INFL_LAYER_KINDS; kind++)
        names[kind] = infl_engine_select(INFL_F64)->kinds[kind]->name;
}

/* ---- writing */

static json_t *whole(size_t number) { return json_integer((json_int_t)number); }

static json_t *pair(const size_t numbers[2]) {
    return json_pack("[I,I]", (json_int_t)numbers[0], (json_int_t)numbers[1]);
}

/* A layer with what its kind is built from. `inputs` is taken; NULL: there is no memory. */
static json_t *describe(const infl_layer *layer, const char *kind, json_t *inputs) {
    const infl_layer_spec *spec = &layer->spec;
    json_t *object = json_pack("{s:s,s:o}", "kind", kind, "inputs", inputs);
    int failed = object == NULL;
#define PUT(key, value) failed |= json_object_set_new(object, key, value)
    switch (spec->kind) {
    case INFL_LAYER_INPUT:
        PUT("shape", json_pack("[I,I,I]", (json_int_t)layer->shape.channels, (json_int_t)layer->shape.height,
                               (json_int_t)layer->shape.width));
        break;
    case INFL_LAYER_DENSE:
        PUT("units", whole(spec->units));
        break;
    case INFL_LAYER_CONV2D:
        PUT("channels", whole(spec->units));
        PUT("groups", whole(spec->groups));
        break;
    case INFL_LAYER_ACTIVATION:
        PUT("activation", json_string(activations[spec->activation]));
        break;
    case INFL_LAYER_BATCH_NORM:
        PUT("epsilon", json_real(spec->epsilon));
        PUT("momentum", json_real(spec->momentum));
        break;
    case INFL_LAYER_DROPOUT:
        PUT("rate", json_real(spec->rate));
        break;
    }
    if (spec->kind == INFL_LAYER_CONV2D || spec->kind == INFL_LAYER_MAX_POOL || spec->kind == INFL_LAYER_AVERAGE_POOL) {
        PUT("kernel", pair(spec->window.kernel));
        PUT("stride", pair(spec->window.stride));
        PUT("padding", pair(spec->window.padding));
    }
    if (spec->kind == INFL_LAYER_DENSE || spec->kind == INFL_LAYER_CONV2D) {
        PUT("bias", json_boolean(spec->bias));
        PUT("initialiser", json_string(initialisers[spec->initialiser]));
    }
#undef PUT
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static int same_shape(infl_shape a, infl_shape b) {
    return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

/*
 * The graph as text, to be freed; NULL: there is no memory. A model's graph leaves out what only flattens: it is where
 * a layer's input is not of the shape of the node that it comes from.
 */
static char *describe_graph(const infl_network *network) {
    const char *kinds[INFL_LAYER_KINDS];
    json_t *layers = json_array(), *graph = json_pack("{s:O}", "layers", layers);
    size_t *number = infl_allocate(network->n_layers, sizeof *number); /* of each node in the text */
    int failed = number == NULL || graph == NULL;
    char *text = NULL;
    name_kinds(kinds);
    for (size_t i = 0; i < network->n_layers && !failed; i++) {
        const infl_layer *layer = &network->layers[i];
        json_t *inputs = json_array();
        for (size_t j = 0; j < layer->n_inputs; j++) {
            const infl_layer *from = &network->layers[layer->spec.inputs[j]];
            size_t node = number[from->index];
            if (!same_shape(from->shape, layer->in_shape[j])) {
                infl_layer flatten = {.spec = {.kind = INFL_LAYER_FLATTEN}};
                failed |= json_array_append_new(
                    layers, describe(&flatten, kinds[INFL_LAYER_FLATTEN], json_pack("[I]", (json_int_t)node)));
                node = json_array_size(layers) - 1;
            }
            failed |= json_array_append_new(inputs, whole(node));
        }
        number[i] = json_array_size(layers);
        failed |= json_array_append_new(layers, describe(layer, kinds[layer->spec.kind], inputs));
    }
    if (!failed)
        text = json_dumps(graph, JSON_COMPACT);
    infl_release(number);
    json_decref(layers);
    json_decref(graph);
    return text;
}

/* Of all that is said beside the tensors; the model's own hash has them. */
static infl_status hash_strings(const char *precision, const char *graph, const uint64_t model[2], uint64_t out[2]) {
    infl_hash *hash;
    INFL_TRY(infl_hash_begin(&hash));
    infl_hash_string(hash, CONTENT);
    infl_hash_string(hash, precision);
    infl_hash_string(hash, graph);
    infl_hash_number(hash, model[0]);
    infl_hash_number(hash, model[1]);
    infl_hash_end(hash, out);
    return INFL_OK;
}

static infl_status hash_model(const infl_model *model, uint64_t out[2]) {
    infl_hash *hash;
    INFL_TRY(infl_hash_begin(&hash));
    infl_status status = infl_model_hash(model, hash);
    if (status != INFL_OK)
        infl_hash_release(hash);
    else
        infl_hash_end(hash, out);
    return status;
}

static infl_file_array array_of(const infl_tensor *tensor, infl_number_type type, const void *numbers) {
    infl_file_array array = {.name = tensor->name, .type = type, .n_dims = tensor->n_dims, .numbers = numbers};
    memcpy(array.dims, tensor->dims, sizeof tensor->dims);
    return array;
}

infl_status infl_model_save(const infl_model *model, const char *path) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(path);
    infl_precision precision = model->engine->precision;
    infl_metadata metadata;
    infl_file_array *arrays = NULL;
    uint64_t identity[2], check[2];
    size_t n = 0;
    infl_status status = INFL_OK;
    char *graph = describe_graph(&model->network);
    if (graph == NULL) {
        status = infl_fail(INFL_E_MEMORY, "there is no memory for the model's graph");
        goto out;
    }
    if ((status = hash_model(model, identity)) != INFL_OK ||
        (status = hash_strings(precisions[precision], graph, identity, check)) != INFL_OK)
        goto out;
    infl_metadata_begin(&metadata, CONTENT);
    infl_metadata_add_string(&metadata, "precision", precisions[precision]);
    infl_metadata_add_string(&metadata, "graph", graph);
    infl_metadata_add_hash(&metadata, "model", identity);
    infl_metadata_add_hash(&metadata, "hash", check);
    INFL_ALLOCATE_OR_OUT(arrays, model->n_tensors + model->n_state_tensors);
    for (size_t i = 0; i < model->n_tensors; i++)
        arrays[n++] = array_of(&model->tensors[i], precision == INFL_F32 ? INFL_NUMBER_F32 : INFL_NUMBER_F64,
                               (const char *)model->theta + model->tensors[i].offset * model->engine->real_size);
    for (size_t i = 0; i < model->n_state_tensors; i++)
        arrays[n++] =
            array_of(&model->state_tensors[i], INFL_NUMBER_F64, model->network.state + model->state_tensors[i].offset);
    status = infl_safetensors_write(path, metadata.strings, metadata.n, arrays, n);
out:
    infl_release(arrays);
    free(graph);
    return infl_in_name_of(__func__, status);
}

/* ---- reading */

/* The layer of the text that is being read. */
typedef struct reader {
    const infl_safetensors *file;
    infl_builder *builder;
    json_t *layer;
    size_t index; /* of the layer, and of its node */
    size_t taken; /* fields that were read */
} reader;

static infl_status wrong(const reader *r, const char *key, const char *expected) {
    return infl_fail(INFL_E_FORMAT, "layer %zu of the graph: \"%s\" is not %s (%s)", r->index, key, expected,
                     infl_safetensors_path(r->file));
}

static const json_t *take(reader *r, const char *key) {
    const json_t *value = json_object_get(r->layer, key);
    r->taken += value != NULL;
    return value;
}

static int read_size(const json_t *value, size_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uintmax_t)json_integer_value(value) > SIZE_MAX)
        return 0;
    *out = (size_t)json_integer_value(value);
    return 1;
}

static infl_status take_size(reader *r, const char *key, size_t *out) {
    return read_size(take(r, key), out) ? INFL_OK : wrong(r, key, "a whole number from 0 on");
}

static infl_status take_sizes(reader *r, const char *key, size_t *out, size_t n) {
    const json_t *array = take(r, key);
    int good = json_is_array(array) && json_array_size(array) == n;
    char expected[64];
    for (size_t i = 0; good && i < n; i++)
        good = read_size(json_array_get(array, i), &out[i]);
    snprintf(expected, sizeof expected, "an array of %zu whole numbers from 0 on", n);
    return good ? INFL_OK : wrong(r, key, expected);
}

static infl_status take_word(reader *r, const char *key, const char *const *words, size_t n, int *index) {
    const char *word = json_string_value(take(r, key));
    for (*index = 0; word != NULL && (size_t)*index < n; ++*index)
        if (strcmp(word, words[*index]) == 0)
            return INFL_OK;
    return wrong(r, key, "a word that this version of the library knows");
}

static infl_status take_double(reader *r, const char *key, double *out) {
    const json_t *value = take(r, key);
    *out = json_number_value(value);
    return json_is_number(value) ? INFL_OK : wrong(r, key, "a number");
}

static infl_status take_flag(reader *r, const char *key, int *out) {
    const json_t *value = take(r, key);
    *out = json_is_true(value);
    return json_is_boolean(value) ? INFL_OK : wrong(r, key, "true or false");
}

static infl_status take_window(reader *r, size_t kernel[2], size_t stride[2], size_t padding[2]) {
    INFL_TRY(take_sizes(r, "kernel", kernel, 2));
    INFL_TRY(take_sizes(r, "stride", stride, 2));
    return take_sizes(r, "padding", padding, 2);
}

/* What the builder just said, in the file's name. */
static infl_status refused(const reader *r, infl_status status) {
    if (status == INFL_E_MEMORY)
        return status;
    return infl_fail(INFL_E_FORMAT, "layer %zu of the graph: %s (%s)", r->index, infl_error_cause(),
                     infl_safetensors_path(r->file));
}

static infl_status read_input(reader *r) {
    const char *const kind = infl_engine_select(INFL_F64)->kinds[INFL_LAYER_INPUT]->name;
    size_t shape[3];
    int index;
    INFL_TRY(take_word(r, "kind", &kind, 1, &index));
    INFL_TRY(take_sizes(r, "inputs", NULL, 0));
    INFL_TRY(take_sizes(r, "shape", shape, 3));
    infl_status status = infl_builder_create_image(&r->builder, shape[0], shape[1], shape[2]);
    return status == INFL_OK ? INFL_OK : refused(r, status);
}

/* Appends the layer, whatever its kind: each is one node of the builder. */
static infl_status append(reader *r, int kind, const infl_node *inputs) {
    infl_conv2d conv = INFL_CONV2D_INIT;
    infl_pool2d pool = INFL_POOL2D_INIT;
    infl_batch_norm norm = INFL_BATCH_NORM_INIT;
    size_t units = 0;
    double rate = 0.0;
    int bias = 0, word = 0;
    switch (kind) {
    case INFL_LAYER_DENSE:
        INFL_TRY(take_size(r, "units", &units));
        INFL_TRY(take_flag(r, "bias", &bias));
        INFL_TRY(take_word(r, "initialiser", initialisers, N_INITIALISERS, &word));
        infl_builder_dense(r->builder, inputs[0], units, bias, (infl_initialiser)word);
        break;
    case INFL_LAYER_CONV2D:
        INFL_TRY(take_size(r, "channels", &conv.channels));
        INFL_TRY(take_size(r, "groups", &conv.groups));
        INFL_TRY(take_window(r, conv.kernel, conv.stride, conv.padding));
        INFL_TRY(take_flag(r, "bias", &conv.bias));
        INFL_TRY(take_word(r, "initialiser", initialisers, N_INITIALISERS, &word));
        conv.initialiser = (infl_initialiser)word;
        infl_builder_conv2d(r->builder, inputs[0], &conv);
        break;
    case INFL_LAYER_MAX_POOL:
    case INFL_LAYER_AVERAGE_POOL:
        INFL_TRY(take_window(r, pool.kernel, pool.stride, pool.padding));
        if (pool.stride[0] == 0 || pool.stride[1] == 0) /* which the builder takes as the kernel's */
            return wrong(r, "stride", "an array of 2 whole numbers from 1 on");
        (kind == INFL_LAYER_MAX_POOL ? infl_builder_max_pool2d : infl_builder_average_pool2d)(r->builder, inputs[0],
                                                                                              &pool);
        break;
    case INFL_LAYER_ACTIVATION:
        INFL_TRY(take_word(r, "activation", activations, N_ACTIVATIONS, &word));
        infl_builder_activation(r->builder, inputs[0], (infl_activation)word);
        break;
    case INFL_LAYER_ADD:
        infl_builder_add(r->builder, inputs[0], inputs[1]);
        break;
    case INFL_LAYER_BATCH_NORM:
        INFL_TRY(take_double(r, "epsilon", &norm.epsilon));
        INFL_TRY(take_double(r, "momentum", &norm.momentum));
        infl_builder_batch_norm(r->builder, inputs[0], &norm);
        break;
    case INFL_LAYER_DROPOUT:
        INFL_TRY(take_double(r, "rate", &rate));
        infl_builder_dropout(r->builder, inputs[0], rate);
        break;
    case INFL_LAYER_FLATTEN:
        infl_builder_flatten(r->builder, inputs[0]);
        break;
    default:
        return wrong(r, "kind", "that of a layer with an input: the graph has one input, its first");
    }
    infl_status status = infl_builder_shape(r->builder, INFL_NODE_INPUT, NULL, NULL, NULL);
    return status == INFL_OK ? INFL_OK : refused(r, status);
}

static infl_status read_layer(reader *r) {
    const infl_engine *engine = infl_engine_select(INFL_F64);
    const char *kinds[INFL_LAYER_KINDS];
    size_t numbers[INFL_MAX_INPUTS] = {0};
    infl_node inputs[INFL_MAX_INPUTS] = {0};
    int kind;
    name_kinds(kinds);
    r->taken = 0;
    if (r->index == 0) {
        INFL_TRY(read_input(r));
    } else {
        INFL_TRY(take_word(r, "kind", kinds, INFL_LAYER_KINDS, &kind));
        INFL_TRY(take_sizes(r, "inputs", numbers, engine->kinds[kind]->n_inputs));
        for (size_t i = 0; i < INFL_MAX_INPUTS; i++) {
            if (numbers[i] >= r->index)
                return wrong(r, "inputs", "of layers before it");
            inputs[i] = (infl_node)numbers[i];
        }
        INFL_TRY(append(r, kind, inputs));
    }
    if (r->taken != json_object_size(r->layer))
        return infl_fail(INFL_E_FORMAT, "layer %zu of the graph has fields that no such layer has (%s)", r->index,
                         infl_safetensors_path(r->file));
    return INFL_OK;
}

/* The graph as a builder, whose last node is the output. */
static infl_status read_graph(const infl_safetensors *file, const char *text, infl_builder **out, size_t *n_layers) {
    const char *path = infl_safetensors_path(file);
    reader r = {.file = file};
    json_error_t error;
    infl_status status = INFL_OK;
    errno = 0; /* without memory Jansson may complain of a text that it cut, or take it */
    json_t *graph = json_loads(text, JSON_REJECT_DUPLICATES, &error), *layers = json_object_get(graph, "layers");
    if (errno == ENOMEM)
        status = infl_fail(INFL_E_MEMORY, "there is no memory for the graph of %s", path);
    else if (graph == NULL)
        status = infl_fail(INFL_E_FORMAT, "the graph is not JSON: %s (%s)", error.text, path);
    else if (json_array_size(layers) == 0 || json_array_size(layers) > INT32_MAX || json_object_size(graph) != 1)
        status = infl_fail(INFL_E_FORMAT, "the graph is not an object with an array of layers (%s)", path);
    for (; status == INFL_OK && r.index < json_array_size(layers); r.index++) {
        r.layer = json_array_get(layers, r.index);
        status = read_layer(&r);
    }
    json_decref(graph);
    if (status != INFL_OK) {
        infl_builder_destroy(r.builder);
        return status;
    }
    *out = r.builder;
    *n_layers = r.index;
    return INFL_OK;
}

/* The numbers of a tensor of the model, which must be in the file in this type and shape. */
static infl_status read_tensor(infl_safetensors *file, const infl_tensor *tensor, infl_number_type type, double *out) {
    const infl_file_tensor *found = infl_safetensors_find(file, tensor->name);
    const char *path = infl_safetensors_path(file);
    if (found == NULL)
        return infl_fail(INFL_E_FORMAT, "the file has no tensor \"%s\" (%s)", tensor->name, path);
    if (found->type != type || found->n_dims != tensor->n_dims ||
        memcmp(found->dims, tensor->dims, tensor->n_dims * sizeof *tensor->dims) != 0)
        return infl_fail(INFL_E_FORMAT, "tensor \"%s\": its type or shape is not that of the graph's (%s)",
                         tensor->name, path);
    return infl_safetensors_read(file, found, out + tensor->offset);
}

/* θ and state, as they were when the file was written. */
static infl_status read_numbers(infl_safetensors *file, infl_model *model, const uint64_t identity[2]) {
    infl_number_type type = model->engine->precision == INFL_F32 ? INFL_NUMBER_F32 : INFL_NUMBER_F64;
    const char *path = infl_safetensors_path(file);
    double *theta = NULL, *state = NULL;
    uint64_t found[2];
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(theta, model->network.n_parameters);
    INFL_ALLOCATE_OR_OUT(state, model->network.n_state);
    for (size_t i = 0; i < model->n_tensors && status == INFL_OK; i++)
        status = read_tensor(file, &model->tensors[i], type, theta);
    for (size_t i = 0; i < model->n_state_tensors && status == INFL_OK; i++)
        status = read_tensor(file, &model->state_tensors[i], INFL_NUMBER_F64, state);
    if (status != INFL_OK)
        goto out;
    model->engine->from_double(model->theta, theta, model->network.n_parameters);
    memcpy(model->network.state, state, model->network.n_state * sizeof *state);
    if ((status = hash_model(model, found)) != INFL_OK)
        goto out;
    if (memcmp(found, identity, sizeof found) != 0) {
        status = infl_fail(INFL_E_FORMAT,
                           "the graph and its numbers are not those that were written; the file is damaged "
                           "(%s)",
                           path);
        goto out;
    }
    status = infl_model_set_parameters(model, theta); /* whether they can be any model's */
    if (status == INFL_OK)
        status = infl_model_set_state(model, state);
    if (status != INFL_OK)
        status = infl_fail(INFL_E_FORMAT, "%s (%s)", infl_error_cause(), path);
out:
    infl_release(theta);
    infl_release(state);
    return status;
}

/* All but the tensors' numbers. */
static infl_status read_strings(const infl_safetensors *file, int *precision, const char **graph,
                                uint64_t identity[2]) {
    static const char *const content = CONTENT;
    uint64_t stated[2], found[2];
    int index;
    INFL_TRY(infl_metadata_word(file, "content", &content, 1, &index));
    INFL_TRY(infl_metadata_word(file, "precision", precisions, N_PRECISIONS, precision));
    INFL_TRY(infl_metadata_hash(file, "model", identity));
    INFL_TRY(infl_metadata_hash(file, "hash", stated));
    *graph = infl_safetensors_metadata(file, "graph");
    if (*graph == NULL)
        return infl_metadata_wrong(file, "graph", "the layers in JSON");
    INFL_TRY(hash_strings(precisions[*precision], *graph, identity, found));
    if (memcmp(stated, found, sizeof found) != 0)
        return infl_metadata_wrong(file, "hash", "another for this __metadata__, so the file is damaged");
    return INFL_OK;
}

static infl_status load(infl_model **out, infl_safetensors *file) {
    const char *path = infl_safetensors_path(file), *graph;
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    uint64_t identity[2];
    size_t n_layers = 0, numbers = 0, n_tensors = infl_safetensors_count(file);
    int precision;
    infl_status status = read_strings(file, &precision, &graph, identity);
    if (status != INFL_OK || (status = read_graph(file, graph, &builder, &n_layers)) != INFL_OK)
        goto out;
    for (size_t i = 0; i < n_tensors; i++) /* each takes a byte of the file at least */
        numbers += infl_safetensors_tensor(file, i)->length;
    status = infl_model_create_blank(&model, builder, (infl_node)(n_layers - 1), (infl_precision)precision, &numbers);
    if (status == INFL_E_ARGUMENT)
        status = infl_fail(INFL_E_FORMAT, "%s (%s)", infl_error_cause(), path);
    if (status == INFL_OK && model->n_tensors + model->n_state_tensors != n_tensors)
        status = infl_fail(INFL_E_FORMAT, "the file has %zu tensors, its graph %zu (%s)", n_tensors,
                           model->n_tensors + model->n_state_tensors, path);
    if (status != INFL_OK || (status = read_numbers(file, model, identity)) != INFL_OK)
        goto out;
    *out = model;
    model = NULL;
out:
    infl_builder_destroy(builder);
    infl_model_destroy(model);
    return status;
}

infl_status infl_model_load(infl_model **out, const char *path) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(path);
    infl_safetensors *file;
    INFL_TRY(infl_in_name_of(__func__, infl_metadata_open(&file, path)));
    infl_status status = load(out, file);
    infl_safetensors_close(file);
    return infl_in_name_of(__func__, status);
}

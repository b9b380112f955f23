/* The graph of a model: building, checking and pruning it, and the parameters that belong to it. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "chunks.h"
#include "dense.h"
#include "memory.h"
#include "network.h"
#include "parallel.h"
#include "random.h"

struct infl_builder {
    infl_layer *layers; /* specs and widths; offsets come with the model */
    size_t n_layers, capacity;
    infl_error_slot error; /* the first one sticks */
};

static const infl_layer_kind *kind_of(const infl_layer *layer) {
    return infl_engine_select(INFL_F64)->kinds[layer->spec.kind];
}

static infl_status create_builder(infl_builder **out, infl_shape shape) {
    infl_builder *builder;
    INFL_ALLOCATE(builder, 1);
    builder->capacity = 16;
    builder->layers = infl_allocate(builder->capacity, sizeof *builder->layers);
    if (builder->layers == NULL) {
        infl_release(builder);
        return INFL_E_MEMORY;
    }
    builder->layers[0] = (infl_layer){
        .spec = {.kind = INFL_LAYER_INPUT, .inputs = {-1, -1}}, .shape = shape, .width = infl_shape_size(shape)};
    builder->n_layers = 1;
    *out = builder;
    return INFL_OK;
}

infl_status infl_builder_create(infl_builder **out, size_t n_inputs) {
    INFL_REQUIRE(out);
    if (n_inputs == 0)
        return infl_fail(INFL_E_ARGUMENT, "infl_builder_create: n_inputs is 0; a network needs at least one input");
    if (!infl_shape_fits((infl_shape){n_inputs, 1, 1}))
        return infl_fail(INFL_E_ARGUMENT, "infl_builder_create: n_inputs is %zu, more than memory can hold", n_inputs);
    return infl_in_name_of(__func__, create_builder(out, (infl_shape){n_inputs, 1, 1}));
}

infl_status infl_builder_create_image(infl_builder **out, size_t channels, size_t height, size_t width) {
    INFL_REQUIRE(out);
    infl_shape shape = {channels, height, width};
    if (channels == 0 || height == 0 || width == 0 || !infl_shape_fits(shape))
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: %zu×%zu×%zu inputs; expected at least one of each, and no more than memory", __func__,
                         channels, height, width);
    return infl_in_name_of(__func__, create_builder(out, shape));
}

void infl_builder_destroy(infl_builder *builder) {
    if (builder == NULL)
        return;
    infl_release(builder->layers);
    infl_release(builder);
}

static infl_status append(infl_builder *builder, const infl_layer_spec *spec) {
    infl_layer layer = {.spec = *spec};
    const infl_layer_kind *kind = kind_of(&layer);
    layer.n_inputs = kind->n_inputs;
    for (size_t i = 0; i < layer.n_inputs; i++) {
        if (spec->inputs[i] < 0 || (size_t)spec->inputs[i] >= builder->n_layers)
            return infl_fail(INFL_E_ARGUMENT, "node %d does not exist; there are 0 to %zu", (int)spec->inputs[i],
                             builder->n_layers - 1);
        layer.in_shape[i] = builder->layers[spec->inputs[i]].shape;
        layer.in_width[i] = builder->layers[spec->inputs[i]].width;
    }
    INFL_TRY(kind->shape(&layer));
    if (!infl_shape_fits(layer.shape))
        return infl_fail(INFL_E_ARGUMENT, "%zu×%zu×%zu outputs are more than memory can hold", layer.shape.channels,
                         layer.shape.height, layer.shape.width);
    layer.width = infl_shape_size(layer.shape);
    if (builder->n_layers == builder->capacity) {
        infl_layer *more;
        INFL_ALLOCATE(more, 2 * builder->capacity);
        memcpy(more, builder->layers, builder->n_layers * sizeof *more);
        infl_release(builder->layers);
        builder->layers = more;
        builder->capacity *= 2;
    }
    builder->layers[builder->n_layers++] = layer;
    return INFL_OK;
}

/* Appends unless an error sticks; `checked` is the outcome of the caller's own checks. */
static infl_node append_node(infl_builder *builder, infl_status checked, const infl_layer_spec *spec,
                             const char *function) {
    if (builder == NULL) {
        infl_fail(INFL_E_ARGUMENT, "%s: builder is NULL", function);
        return INFL_NODE_INVALID;
    }
    if (builder->error.status != INFL_OK)
        return INFL_NODE_INVALID;
    infl_status status = checked != INFL_OK ? checked : infl_in_name_of(function, append(builder, spec));
    infl_error_collect(&builder->error, status, 0);
    return status == INFL_OK ? (infl_node)(builder->n_layers - 1) : INFL_NODE_INVALID;
}

infl_node infl_builder_dense(infl_builder *builder, infl_node input, size_t units, int bias,
                             infl_initialiser initialiser) {
    infl_status checked = INFL_OK;
    if (units == 0)
        checked = infl_fail(INFL_E_ARGUMENT, "infl_builder_dense: units is 0; a layer needs at least one");
    else if ((int)initialiser < 0 || initialiser > INFL_INIT_TRUNCATED_NORMAL_2)
        checked = infl_fail(INFL_E_ARGUMENT, "infl_builder_dense: initialiser %d does not exist", (int)initialiser);
    infl_layer_spec spec = {
        .kind = INFL_LAYER_DENSE, .inputs = {input, -1}, .units = units, .bias = bias != 0, .initialiser = initialiser};
    return append_node(builder, checked, &spec, "infl_builder_dense");
}

infl_node infl_builder_activation(infl_builder *builder, infl_node input, infl_activation activation) {
    infl_status checked = INFL_OK;
    if ((int)activation < 0 || (int)activation >= (int)INFL_N_ACTIVATIONS)
        checked = infl_fail(INFL_E_ARGUMENT, "infl_builder_activation: activation %d does not exist", (int)activation);
    infl_layer_spec spec = {.kind = INFL_LAYER_ACTIVATION, .inputs = {input, -1}, .activation = activation};
    return append_node(builder, checked, &spec, "infl_builder_activation");
}

infl_node infl_builder_add(infl_builder *builder, infl_node a, infl_node b) {
    infl_layer_spec spec = {.kind = INFL_LAYER_ADD, .inputs = {a, b}};
    return append_node(builder, INFL_OK, &spec, "infl_builder_add");
}

infl_node infl_builder_batch_norm(infl_builder *builder, infl_node input, const infl_batch_norm *options) {
    infl_batch_norm norm = INFL_BATCH_NORM_INIT;
    infl_status checked = infl_read_options(&norm, sizeof norm, options, "infl_builder_batch_norm", "options");
    if (checked == INFL_OK && !(norm.epsilon > 0.0 && isfinite(norm.epsilon)))
        checked = infl_fail(INFL_E_ARGUMENT, "infl_builder_batch_norm: epsilon is %g; a finite number > 0 is expected",
                            norm.epsilon);
    if (checked == INFL_OK && !(norm.momentum >= 0.0 && norm.momentum <= 1.0))
        checked = infl_fail(INFL_E_ARGUMENT, "infl_builder_batch_norm: momentum is %g; a number in [0, 1] is expected",
                            norm.momentum);
    infl_layer_spec spec = {
        .kind = INFL_LAYER_BATCH_NORM, .inputs = {input, -1}, .epsilon = norm.epsilon, .momentum = norm.momentum};
    return append_node(builder, checked, &spec, "infl_builder_batch_norm");
}

infl_node infl_builder_dropout(infl_builder *builder, infl_node input, double rate) {
    infl_status checked = INFL_OK;
    if (!(rate >= 0.0 && rate < 1.0))
        checked = infl_fail(INFL_E_ARGUMENT, "infl_builder_dropout: rate is %g; a number in [0, 1) is expected", rate);
    infl_layer_spec spec = {.kind = INFL_LAYER_DROPOUT, .inputs = {input, -1}, .rate = rate};
    return append_node(builder, checked, &spec, "infl_builder_dropout");
}

infl_node infl_builder_flatten(infl_builder *builder, infl_node input) {
    infl_layer_spec spec = {.kind = INFL_LAYER_FLATTEN, .inputs = {input, -1}};
    return append_node(builder, INFL_OK, &spec, "infl_builder_flatten");
}

static infl_window window_of(const size_t kernel[2], const size_t stride[2], const size_t padding[2]) {
    infl_window window;
    memcpy(window.kernel, kernel, sizeof window.kernel);
    memcpy(window.stride, stride, sizeof window.stride);
    memcpy(window.padding, padding, sizeof window.padding);
    return window;
}

infl_node infl_builder_conv2d(infl_builder *builder, infl_node input, const infl_conv2d *options) {
    infl_conv2d conv = INFL_CONV2D_INIT;
    infl_status checked =
        options == NULL ? infl_fail(INFL_E_ARGUMENT, "infl_builder_conv2d: options is NULL") : INFL_OK;
    if (checked == INFL_OK)
        checked = infl_read_options(&conv, sizeof conv, options, "infl_builder_conv2d", "options");
    if (checked == INFL_OK && conv.channels == 0)
        checked = infl_fail(INFL_E_ARGUMENT, "infl_builder_conv2d: channels is 0; a layer needs at least one");
    if (checked == INFL_OK && ((int)conv.initialiser < 0 || conv.initialiser > INFL_INIT_TRUNCATED_NORMAL_2))
        checked =
            infl_fail(INFL_E_ARGUMENT, "infl_builder_conv2d: initialiser %d does not exist", (int)conv.initialiser);
    infl_layer_spec spec = {.kind = INFL_LAYER_CONV2D,
                            .inputs = {input, -1},
                            .units = conv.channels,
                            .window = window_of(conv.kernel, conv.stride, conv.padding),
                            .groups = conv.groups,
                            .bias = conv.bias != 0,
                            .initialiser = conv.initialiser};
    return append_node(builder, checked, &spec, "infl_builder_conv2d");
}

static infl_node append_pool(infl_builder *builder, infl_node input, const infl_pool2d *options, int kind,
                             const char *function) {
    infl_pool2d pool = INFL_POOL2D_INIT;
    infl_status checked = infl_read_options(&pool, sizeof pool, options, function, "options");
    for (int axis = 0; axis < 2; axis++)
        if (pool.stride[axis] == 0)
            pool.stride[axis] = pool.kernel[axis];
    infl_layer_spec spec = {
        .kind = kind, .inputs = {input, -1}, .window = window_of(pool.kernel, pool.stride, pool.padding)};
    return append_node(builder, checked, &spec, function);
}

infl_node infl_builder_max_pool2d(infl_builder *builder, infl_node input, const infl_pool2d *options) {
    return append_pool(builder, input, options, INFL_LAYER_MAX_POOL, "infl_builder_max_pool2d");
}

infl_node infl_builder_average_pool2d(infl_builder *builder, infl_node input, const infl_pool2d *options) {
    return append_pool(builder, input, options, INFL_LAYER_AVERAGE_POOL, "infl_builder_average_pool2d");
}

infl_node infl_builder_global_average_pool(infl_builder *builder, infl_node input) {
    infl_pool2d whole = INFL_POOL2D_INIT;
    if (builder != NULL && input >= 0 && (size_t)input < builder->n_layers) {
        whole.kernel[0] = builder->layers[input].shape.height;
        whole.kernel[1] = builder->layers[input].shape.width;
    }
    return append_pool(builder, input, &whole, INFL_LAYER_AVERAGE_POOL, "infl_builder_global_average_pool");
}

infl_node infl_builder_refuse(infl_builder *builder, infl_status status) {
    infl_error_collect(&builder->error, status, 0);
    return INFL_NODE_INVALID;
}

infl_status infl_builder_shape(const infl_builder *builder, infl_node node, size_t *channels, size_t *height,
                               size_t *width) {
    INFL_REQUIRE(builder);
    INFL_TRY(infl_error_raise(&builder->error));
    if (node < 0 || (size_t)node >= builder->n_layers)
        return infl_fail(INFL_E_ARGUMENT, "%s: node %d does not exist; there are 0 to %zu", __func__, (int)node,
                         builder->n_layers - 1);
    infl_shape shape = builder->layers[node].shape;
    if (channels != NULL)
        *channels = shape.channels;
    if (height != NULL)
        *height = shape.height;
    if (width != NULL)
        *width = shape.width;
    return INFL_OK;
}

/* The layers that `output` needs, renumbered, with what depends on the whole graph. */
static infl_status prune(infl_network *network, const infl_builder *builder, infl_node output) {
    size_t n = (size_t)output + 1;
    infl_status status = INFL_OK;
    int32_t *number = NULL; /* of each of the builder's nodes: −1 not needed, else its new place */
    infl_layer *layers = NULL;
    INFL_ALLOCATE_OR_OUT(number, n);
    INFL_ALLOCATE_OR_OUT(layers, n);
    for (size_t i = 0; i < n; i++)
        number[i] = -1;
    number[output] = 0;
    for (size_t i = n; i-- > 0;)
        for (size_t j = 0; number[i] >= 0 && j < builder->layers[i].n_inputs; j++)
            number[builder->layers[i].spec.inputs[j]] = 0;
    for (size_t i = 0; i < n; i++) {
        if (number[i] < 0)
            continue;
        if (builder->layers[i].spec.kind == INFL_LAYER_FLATTEN) {
            number[i] = number[builder->layers[i].spec.inputs[0]];
            continue;
        }
        infl_layer *layer = &layers[network->n_layers];
        *layer = builder->layers[i];
        layer->index = network->n_layers++;
        number[i] = (int32_t)layer->index;
        layer->varying = layer->parameters > 0;
        layer->offset = network->n_parameters;
        layer->state_offset = network->n_state;
        network->n_state += layer->state; /* no more than parameters */
        if (layer->parameters > SIZE_MAX / 64 - network->n_parameters) {
            status = infl_fail(INFL_E_ARGUMENT, "more parameters than memory can hold");
            goto out;
        }
        network->n_parameters += layer->parameters;
        for (size_t j = 0; j < layer->n_inputs; j++) {
            layer->spec.inputs[j] = number[layer->spec.inputs[j]];
            layer->varying |= layers[layer->spec.inputs[j]].varying;
        }
    }
    /* backward meets the last user of a node first */
    for (size_t i = 0; i < n; i++)
        number[i] = 0;
    for (size_t i = network->n_layers; i-- > 0;)
        for (size_t j = 0; j < layers[i].n_inputs; j++)
            layers[i].first_use[j] = number[layers[i].spec.inputs[j]]++ == 0;
    network->n_inputs = layers[0].width;
    network->n_outputs = layers[network->n_layers - 1].width;
    network->layers = layers;
    layers = NULL;
out:
    infl_release(number);
    infl_release(layers);
    return status;
}

static infl_status name_tensor(infl_tensor *to, const char *kind, size_t number, const infl_layer_tensor *described,
                               size_t offset) {
    char name[64], *owned;
    snprintf(name, sizeof name, "%s%zu.%s", kind, number, described->name);
    INFL_ALLOCATE(owned, strlen(name) + 1);
    strcpy(owned, name);
    *to = (infl_tensor){.name = owned,
                        .offset = offset + described->offset,
                        .length = described->length,
                        .n_dims = described->n_dims,
                        .is_weight = described->is_weight};
    memcpy(to->dims, described->dims, sizeof to->dims);
    return INFL_OK;
}

/* The named views of θ and of the state: layers of a kind are numbered from 1. */
static infl_status name_tensors(infl_model *model) {
    size_t counts[INFL_LAYER_KINDS] = {0};
    INFL_ALLOCATE(model->tensors, model->network.n_layers * INFL_MAX_TENSORS);
    INFL_ALLOCATE(model->state_tensors, model->network.n_layers * INFL_MAX_TENSORS);
    for (size_t i = 0; i < model->network.n_layers; i++) {
        const infl_layer *layer = &model->network.layers[i];
        const infl_layer_kind *kind = kind_of(layer);
        infl_layer_tensor described[INFL_MAX_TENSORS];
        size_t number = ++counts[layer->spec.kind], n = kind->tensors == NULL ? 0 : kind->tensors(layer, described);
        for (size_t j = 0; j < n; j++) {
            INFL_TRY(name_tensor(&model->tensors[model->n_tensors], kind->name, number, &described[j], layer->offset));
            model->n_tensors++;
        }
        n = kind->states == NULL ? 0 : kind->states(layer, described);
        for (size_t j = 0; j < n; j++) {
            INFL_TRY(name_tensor(&model->state_tensors[model->n_state_tensors], kind->name, number, &described[j],
                                 layer->state_offset));
            model->n_state_tensors++;
        }
    }
    return INFL_OK;
}

static double draw(infl_initialiser initialiser, const infl_layer_tensor *tensor, uint64_t seed, uint64_t stream,
                   size_t index) {
    double in = (double)tensor->fan_in, out = (double)tensor->fan_out, value;
    switch (initialiser) {
    case INFL_INIT_GLOROT:
        return sqrt(6.0 / (in + out)) * (2.0 * infl_random_uniform(seed, stream, index) - 1.0);
    case INFL_INIT_HE:
        return sqrt(2.0 / in) * infl_random_normal(seed, stream, index);
    case INFL_INIT_LECUN:
        return sqrt(1.0 / in) * infl_random_normal(seed, stream, index);
    default: /* truncated normal, by redrawing */
        for (uint64_t attempt = 0;; attempt++) {
            value = infl_random_normal(seed, stream, index | attempt << 48);
            if (fabs(value) <= 2.0)
                return (initialiser == INFL_INIT_TRUNCATED_NORMAL_2 ? 2.0 : 1.0) * sqrt(1.0 / in) * value;
        }
    }
}

static void initialise(infl_model *model, uint64_t seed) {
    uint64_t number = 0;
    model->version++;
    for (size_t i = 0; i < model->network.n_layers; i++) {
        const infl_layer *layer = &model->network.layers[i];
        const infl_layer_kind *kind = kind_of(layer);
        infl_layer_tensor tensors[INFL_MAX_TENSORS];
        size_t n = kind->tensors == NULL ? 0 : kind->tensors(layer, tensors);
        for (size_t j = 0; j < n; j++) {
            uint64_t stream = INFL_STREAM_PARAMETERS | ++number << 8;
            for (size_t e = 0; e < tensors[j].length; e++) {
                double value = tensors[j].is_weight ? draw(layer->spec.initialiser, &tensors[j], seed, stream, e)
                                                    : tensors[j].start;
                size_t at = layer->offset + tensors[j].offset + e;
                model->engine->from_double((char *)model->theta + at * model->engine->real_size, &value, 1);
            }
        }
        n = kind->states == NULL ? 0 : kind->states(layer, tensors);
        for (size_t j = 0; j < n; j++)
            for (size_t e = 0; e < tensors[j].length; e++)
                model->network.state[layer->state_offset + tensors[j].offset + e] = tensors[j].start;
    }
}

/* Room for θ and the state, with their tensors. */
static infl_status hold_numbers(infl_model *model) {
    model->theta = infl_allocate(model->network.n_parameters, model->engine->real_size);
    if (model->theta == NULL)
        return INFL_E_MEMORY;
    INFL_ALLOCATE(model->network.state, model->network.n_state);
    return name_tensors(model);
}

infl_status infl_model_create_blank(infl_model **out, const infl_builder *builder, infl_node output,
                                    infl_precision precision, const size_t *numbers) {
    infl_model *model;
    INFL_ALLOCATE(model, 1);
    infl_status status = prune(&model->network, builder, output);
    if (status != INFL_OK)
        goto out;
    const infl_network *network = &model->network;
    if (network->n_parameters == 0) {
        status = infl_fail(INFL_E_ARGUMENT, "output node %d depends on no parameter", (int)output);
        goto out;
    }
    if (numbers != NULL && network->n_parameters + network->n_state != *numbers) {
        status = infl_fail(INFL_E_ARGUMENT, "the graph has %zu parameters and a state of %zu; there are %zu numbers",
                           network->n_parameters, network->n_state, *numbers);
        goto out;
    }
    model->engine = infl_engine_select(precision);
    if ((status = hold_numbers(model)) != INFL_OK)
        goto out;
    *out = model;
    model = NULL;
out:
    infl_model_destroy(model);
    return status;
}

infl_status infl_model_create(infl_model **out, const infl_builder *builder, infl_node output, infl_precision precision,
                              uint64_t seed) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(builder);
    INFL_TRY(infl_error_raise(&builder->error));
    if (output < 0 || (size_t)output >= builder->n_layers)
        return infl_fail(INFL_E_ARGUMENT, "infl_model_create: output node %d does not exist; there are 0 to %zu",
                         (int)output, builder->n_layers - 1);
    if (precision != INFL_F32 && precision != INFL_F64)
        return infl_fail(INFL_E_ARGUMENT, "infl_model_create: precision %d does not exist", (int)precision);
    infl_model *model;
    INFL_TRY(infl_in_name_of(__func__, infl_model_create_blank(&model, builder, output, precision, NULL)));
    initialise(model, seed);
    *out = model;
    return INFL_OK;
}

infl_status infl_model_create_mlp(infl_model **out, infl_precision precision, size_t n_inputs, const size_t *units,
                                  size_t n_layers, infl_activation activation, infl_initialiser initialiser,
                                  uint64_t seed) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(units);
    if (n_layers == 0)
        return infl_fail(INFL_E_ARGUMENT, "infl_model_create_mlp: n_layers is 0; a network needs at least one layer");
    infl_builder *builder;
    INFL_TRY(infl_in_name_of(__func__, infl_builder_create(&builder, n_inputs)));
    infl_node node = INFL_NODE_INPUT;
    for (size_t i = 0; i < n_layers; i++) {
        node = infl_builder_dense(builder, node, units[i], 1, initialiser);
        if (i + 1 < n_layers)
            node = infl_builder_activation(builder, node, activation);
    }
    infl_status status = infl_model_create(out, builder, node, precision, seed);
    infl_builder_destroy(builder);
    return infl_in_name_of(__func__, status);
}

/* The same graph, numbers and state for an engine. */
static infl_status copy_model(infl_model **out, const infl_model *model, const infl_engine *engine) {
    infl_model *clone;
    double *theta = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE(clone, 1);
    clone->engine = engine;
    clone->network = model->network;
    clone->network.layers = NULL;
    clone->network.state = NULL;
    INFL_ALLOCATE_OR_OUT(clone->network.layers, model->network.n_layers);
    memcpy(clone->network.layers, model->network.layers, model->network.n_layers * sizeof *model->network.layers);
    if ((status = hold_numbers(clone)) != INFL_OK)
        goto out;
    memcpy(clone->network.state, model->network.state, model->network.n_state * sizeof *model->network.state);
    if (engine == model->engine)
        memcpy(clone->theta, model->theta, model->network.n_parameters * engine->real_size);
    else {
        INFL_ALLOCATE_OR_OUT(theta, model->network.n_parameters);
        model->engine->to_double(theta, model->theta, model->network.n_parameters);
        if ((status = infl_model_set_parameters(clone, theta)) != INFL_OK)
            goto out;
    }
    *out = clone;
    clone = NULL;
out:
    infl_release(theta);
    infl_model_destroy(clone);
    return status;
}

infl_status infl_model_clone(infl_model **out, const infl_model *model) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(model);
    return infl_in_name_of(__func__, copy_model(out, model, model->engine));
}

infl_status infl_model_convert(infl_model **out, const infl_model *model, infl_precision precision) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(model);
    if (precision != INFL_F32 && precision != INFL_F64)
        return infl_fail(INFL_E_ARGUMENT, "%s: precision is %d; expected INFL_F32 or INFL_F64", __func__,
                         (int)precision);
    return infl_in_name_of(__func__, copy_model(out, model, infl_engine_select(precision)));
}

void infl_model_destroy(infl_model *model) {
    if (model == NULL)
        return;
    for (size_t i = 0; i < model->n_tensors; i++)
        infl_release((void *)model->tensors[i].name);
    for (size_t i = 0; i < model->n_state_tensors; i++)
        infl_release((void *)model->state_tensors[i].name);
    infl_release(model->tensors);
    infl_release(model->state_tensors);
    infl_release(model->theta);
    infl_release(model->network.state);
    infl_release(model->network.layers);
    infl_release(model);
}

infl_status infl_model_initialise(infl_model *model, uint64_t seed) {
    INFL_REQUIRE(model);
    initialise(model, seed);
    return INFL_OK;
}

size_t infl_model_inputs(const infl_model *model) { return model == NULL ? 0 : model->network.n_inputs; }

size_t infl_model_outputs(const infl_model *model) { return model == NULL ? 0 : model->network.n_outputs; }

size_t infl_model_parameters(const infl_model *model) { return model == NULL ? 0 : model->network.n_parameters; }

infl_precision infl_model_precision(const infl_model *model) {
    return model == NULL ? INFL_F64 : model->engine->precision;
}

size_t infl_model_tensors(const infl_model *model) { return model == NULL ? 0 : model->n_tensors; }

infl_status infl_model_tensor(const infl_model *model, size_t index, infl_tensor *out) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(out);
    if (index >= model->n_tensors)
        return infl_fail(INFL_E_ARGUMENT, "infl_model_tensor: index %zu, but the model has %zu tensors", index,
                         model->n_tensors);
    *out = model->tensors[index];
    return INFL_OK;
}

infl_status infl_model_get_parameters(const infl_model *model, double *theta) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(theta);
    model->engine->to_double(theta, model->theta, model->network.n_parameters);
    return INFL_OK;
}

infl_status infl_model_set_parameters(infl_model *model, const double *theta) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(theta);
    double limit = model->engine->precision == INFL_F32 ? (double)FLT_MAX : DBL_MAX;
    int finite = 1;
    for (size_t i = 0; i < model->network.n_parameters; i++)
        finite &= fabs(theta[i]) <= limit;
    for (size_t i = 0; !finite && i < model->network.n_parameters; i++)
        if (!(fabs(theta[i]) <= limit))
            return infl_fail(INFL_E_NONFINITE, "infl_model_set_parameters: theta[%zu] is %g, not finite in %s", i,
                             theta[i], model->engine->precision == INFL_F32 ? "f32" : "f64");
    model->engine->from_double(model->theta, theta, model->network.n_parameters);
    model->version++;
    return INFL_OK;
}

size_t infl_model_state(const infl_model *model) { return model == NULL ? 0 : model->network.n_state; }

size_t infl_model_state_tensors(const infl_model *model) { return model == NULL ? 0 : model->n_state_tensors; }

infl_status infl_model_state_tensor(const infl_model *model, size_t index, infl_tensor *out) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(out);
    if (index >= model->n_state_tensors)
        return infl_fail(INFL_E_ARGUMENT, "infl_model_state_tensor: index %zu, but the model's state has %zu tensors",
                         index, model->n_state_tensors);
    *out = model->state_tensors[index];
    return INFL_OK;
}

infl_status infl_model_get_state(const infl_model *model, double *state) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(state);
    memcpy(state, model->network.state, model->network.n_state * sizeof *state);
    return INFL_OK;
}

infl_status infl_model_set_state(infl_model *model, const double *state) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(state);
    for (size_t i = 0; i < model->network.n_layers; i++) {
        const infl_layer *layer = &model->network.layers[i];
        for (size_t j = 0; j < layer->state; j++) {
            size_t at = layer->state_offset + j;
            if (!isfinite(state[at]))
                return infl_fail(INFL_E_NONFINITE, "infl_model_set_state: state[%zu] is %g, not finite", at, state[at]);
            if (j >= layer->state / 2 && state[at] < 0.0) /* means, then variances */
                return infl_fail(INFL_E_ARGUMENT, "infl_model_set_state: state[%zu] is %g; a variance is not negative",
                                 at, state[at]);
        }
    }
    memcpy(model->network.state, state, model->network.n_state * sizeof *state);
    model->version++;
    return INFL_OK;
}

infl_status infl_model_hash(const infl_model *model, infl_hash *hash) {
    const infl_network *network = &model->network;
    double *theta;
    INFL_ALLOCATE(theta, network->n_parameters);
    infl_status status = infl_model_get_parameters(model, theta);
    infl_hash_string(hash, model->engine->precision == INFL_F32 ? "network f32" : "network f64");
    infl_hash_number(hash, network->n_layers);
    for (size_t i = 0; i < network->n_layers; i++) {
        const infl_layer_spec *spec = &network->layers[i].spec;
        infl_shape shape = network->layers[i].shape;
        const infl_window *window = &spec->window;
        uint64_t numbers[] = {shape.channels,
                              shape.height,
                              shape.width,
                              spec->units,
                              window->kernel[0],
                              window->kernel[1],
                              window->stride[0],
                              window->stride[1],
                              window->padding[0],
                              window->padding[1],
                              spec->groups,
                              spec->bias != 0,
                              (uint64_t)spec->activation};
        double options[] = {spec->epsilon, spec->momentum, spec->rate};
        infl_hash_string(hash, model->engine->kinds[spec->kind]->name);
        for (size_t j = 0; j < network->layers[i].n_inputs; j++)
            infl_hash_number(hash, (uint64_t)spec->inputs[j]);
        for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++)
            infl_hash_number(hash, numbers[j]);
        infl_hash_doubles(hash, options, sizeof options / sizeof *options);
    }
    infl_hash_doubles(hash, theta, network->n_parameters);
    infl_hash_doubles(hash, network->state, network->n_state);
    infl_release(theta);
    return status;
}

static infl_status check_inputs(const infl_model *model, const infl_dataset *dataset, const char *function) {
    if (infl_dataset_features(dataset) != model->network.n_inputs)
        return infl_fail(INFL_E_ARGUMENT, "%s: the dataset has %zu features, the model %zu inputs", function,
                         infl_dataset_features(dataset), model->network.n_inputs);
    return INFL_OK;
}

/* predict, jvp and vjp: all rows of a dataset through the model, without a loss; a result of `length` numbers. */
static infl_status over_dataset(const infl_model *model, const infl_dataset *dataset, infl_chunk_work work,
                                const double *input, size_t k, double *out, size_t length, const char *function) {
    infl_chunks chunks = {.model = model, .dataset = dataset, .threads = omp_get_max_threads()};
    infl_status status = INFL_OK;
    size_t n = infl_dataset_rows(dataset), *rows = NULL;
    double *result = NULL;
    INFL_ALLOCATE_OR_OUT(rows, n);
    INFL_ALLOCATE_OR_OUT(result, length);
    for (size_t i = 0; i < n; i++)
        rows[i] = i;
    status = infl_chunks_run(
        &chunks, &(infl_chunk_job){.work = work, .rows = rows, .n = n, .input = input, .k = k, .output = result});
    if (status == INFL_OK && !infl_all_finite(result, length))
        status = infl_fail(INFL_E_NONFINITE, "the result has NaN or infinity: parameters, features or vectors are too "
                                             "large");
    if (status == INFL_OK)
        memcpy(out, result, length * sizeof *out);
out:
    infl_chunks_release(&chunks);
    infl_release(result);
    infl_release(rows);
    return infl_in_name_of(function, status);
}

infl_status infl_model_predict(const infl_model *model, const infl_dataset *dataset, double *outputs) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(dataset);
    INFL_REQUIRE(outputs);
    INFL_TRY(check_inputs(model, dataset, __func__));
    return over_dataset(model, dataset, INFL_WORK_OUTPUTS, NULL, 0, outputs,
                        infl_dataset_rows(dataset) * model->network.n_outputs, __func__);
}

/* The class that the outputs of a row say. */
static size_t predicted_class(const double *outputs, size_t n_outputs) {
    size_t largest = 0;
    if (n_outputs == 1)
        return outputs[0] > 0.0;
    for (size_t c = 1; c < n_outputs; c++)
        if (outputs[c] > outputs[largest])
            largest = c;
    return largest;
}

infl_status infl_model_accuracy(const infl_model *model, const infl_dataset *dataset, double *accuracy) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(dataset);
    INFL_REQUIRE(accuracy);
    INFL_TRY(check_inputs(model, dataset, __func__));
    size_t n = infl_dataset_rows(dataset), n_outputs = model->network.n_outputs, right = 0;
    size_t n_classes = infl_dataset_targets(dataset);
    if (infl_dataset_target_kind(dataset) != INFL_TARGET_CLASS)
        return infl_fail(INFL_E_ARGUMENT, "%s: the dataset has real targets; expected classes", __func__);
    if (n_classes > (n_outputs == 1 ? 2 : n_outputs))
        return infl_fail(INFL_E_ARGUMENT, "%s: the dataset has %zu classes, the model %zu outputs", __func__, n_classes,
                         n_outputs);
    double *outputs;
    INFL_ALLOCATE_MATRIX_NAMED(outputs, n, n_outputs);
    infl_status status = over_dataset(model, dataset, INFL_WORK_OUTPUTS, NULL, 0, outputs, n * n_outputs, __func__);
    for (size_t i = 0; status == INFL_OK && i < n; i++) {
        int32_t label = dataset->storage->labels[infl_dataset_storage_row(dataset, i)];
        right += predicted_class(outputs + i * n_outputs, n_outputs) == (size_t)label;
    }
    infl_release(outputs);
    if (status == INFL_OK)
        *accuracy = (double)right / (double)n;
    return status;
}

infl_status infl_model_jvp(const infl_model *model, const infl_dataset *dataset, const double *tangents, size_t k,
                           double *out) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(dataset);
    INFL_REQUIRE(tangents);
    INFL_REQUIRE(out);
    INFL_TRY(check_inputs(model, dataset, __func__));
    INFL_TRY(infl_check_vectors(tangents, k, model->network.n_parameters, __func__, "tangents"));
    return over_dataset(model, dataset, INFL_WORK_OUTPUT_TANGENTS, tangents, k, out,
                        k * infl_dataset_rows(dataset) * model->network.n_outputs, __func__);
}

infl_status infl_model_vjp(const infl_model *model, const infl_dataset *dataset, const double *cotangents, size_t k,
                           double *out) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(dataset);
    INFL_REQUIRE(cotangents);
    INFL_REQUIRE(out);
    INFL_TRY(check_inputs(model, dataset, __func__));
    INFL_TRY(infl_check_vectors(cotangents, k, infl_dataset_rows(dataset) * model->network.n_outputs, __func__,
                                "cotangents"));
    return over_dataset(model, dataset, INFL_WORK_COTANGENTS, cotangents, k, out, k * model->network.n_parameters,
                        __func__);
}

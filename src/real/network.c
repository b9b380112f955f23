/* A chunk of rows through the graph, forwards and backwards, values and tangents. */
#include "../network.h"

#include <math.h>

#include "../memory.h"
#include "../plan.h"
#include "../random.h"
#include "kernels.h"
#include "layer.h"
#include "loss.h"

typedef struct node_arrays {
    infl_slots value, cotangent;
    real *aux;
} node_arrays;

struct infl_workspace {
    const infl_network *network;
    size_t rows, valid; /* of the chunk loaded: padded, and real */
    node_arrays *nodes;
    real *arrays; /* of the nodes */
    real *targets, *curvature;
    real *gradients;     /* slots × the largest layer's parameters */
    real *row_gradients; /* some units' parameters × B, or NULL */
    real *row_products;  /* vectors × B */
    real *tangents;      /* vectors × the largest layer's parameters */
    void *scratch;
};

static const infl_layer_kind layer_input = {.name = "input"};

/* Arrays of a row's numbers lie in one order at any shape: the model takes the node before it instead. */
static infl_status flat_shape(infl_layer *layer) {
    layer->shape = (infl_shape){layer->in_width[0], 1, 1};
    return INFL_OK;
}

static const infl_layer_kind layer_flatten = {.name = "flatten", .n_inputs = 1, .shape = flat_shape};

static const infl_layer_kind *const kinds[INFL_LAYER_KINDS] = {
    [INFL_LAYER_INPUT] = &layer_input,
    [INFL_LAYER_DENSE] = &INFL_REAL(layer_dense),
    [INFL_LAYER_ACTIVATION] = &INFL_REAL(layer_activation),
    [INFL_LAYER_ADD] = &INFL_REAL(layer_add),
    [INFL_LAYER_CONV2D] = &INFL_REAL(layer_conv2d),
    [INFL_LAYER_MAX_POOL] = &INFL_REAL(layer_max_pool),
    [INFL_LAYER_AVERAGE_POOL] = &INFL_REAL(layer_average_pool),
    [INFL_LAYER_BATCH_NORM] = &INFL_REAL(layer_batch_norm),
    [INFL_LAYER_DROPOUT] = &INFL_REAL(layer_dropout),
    [INFL_LAYER_FLATTEN] = &layer_flatten,
};

/* Hands out aligned pieces of a block; with base NULL it only counts. Sizes that overflow stick near SIZE_MAX. */
typedef struct arena {
    char *base;
    size_t used;
} arena;

static void *take(arena *from, size_t a, size_t b, size_t c, size_t size) {
    const size_t limit = SIZE_MAX / 2, factors[] = {a, b, c};
    size_t bytes = size;
    for (int i = 0; i < 3; i++)
        bytes = factors[i] != 0 && bytes > limit / factors[i] ? limit : bytes * factors[i];
    size_t at = from->used;
    from->used = bytes >= limit - 64 - at ? limit - 64 : (at + bytes + 63) / 64 * 64;
    return from->base == NULL ? NULL : from->base + at;
}

static void lay_out(arena *from, infl_workspace *w, const infl_network *network, const infl_plan *plan) {
    size_t rows = plan->pass.rows;
    *w = (infl_workspace){.network = network};
    w->nodes = take(from, 1, 1, network->n_layers, sizeof *w->nodes);
    real *arrays = take(from, plan->numbers, 1, rows, sizeof(real));
    if (plan->kept == 0) {
        w->targets = take(from, network->n_outputs, 1, rows, sizeof(real));
        w->curvature = take(from, network->n_outputs, 1, rows, sizeof(real));
    }
    w->arrays = arrays;
    if (!plan->borrows)
        w->gradients = take(from, plan->pass.gradients, 1, plan->gradient, sizeof(real));
    if (plan->pass.row_gradients)
        w->row_gradients = take(from, plan->row_gradient, 1, rows, sizeof(real));
    w->row_products = take(from, plan->pass.products, 1, rows, sizeof(real));
    w->tangents = take(from, plan->pass.converted, 1, plan->gradient, sizeof(real));
    if (!plan->borrows)
        w->scratch = take(from, plan->scratch, 1, 1, 1);
}

static size_t workspace_bytes(const infl_network *network, const infl_plan *plan) {
    arena counter = {NULL, 0};
    take(&counter, 1, 1, 1, sizeof(infl_workspace));
    infl_workspace counted;
    lay_out(&counter, &counted, network, plan);
    return counter.used;
}

/* Where a place of the plan is, in chunks of that many rows. */
static real *array_at(const infl_workspace *w, infl_place place, real *kept, size_t rows) {
    return (place.kept ? kept : w->arrays) + place.at * rows;
}

static void place_arrays(infl_workspace *w, const infl_plan *plan, real *kept) {
    size_t rows = plan->pass.rows;
    for (size_t i = 0; i < w->network->n_layers; i++)
        w->nodes[i] = (node_arrays){.value = {array_at(w, plan->node[i].value, kept, rows),
                                              array_at(w, plan->node[i].value_tangents, kept, rows)},
                                    .cotangent = {array_at(w, plan->node[i].cotangent, kept, rows),
                                                  array_at(w, plan->node[i].cotangent_tangents, kept, rows)},
                                    .aux = array_at(w, plan->node[i].aux, kept, rows)};
}

static void workspace_init(infl_workspace *w, const infl_network *network, const infl_plan *plan) {
    arena block = {(char *)w, 0};
    take(&block, 1, 1, 1, sizeof *w);
    lay_out(&block, w, network, plan);
    if (plan->kept == 0)
        place_arrays(w, plan, NULL);
}

/* What is kept of a chunk: its arrays, and what the loss has of it. */
static real *lay_out_kept(arena *from, infl_workspace *w, const infl_network *network, const infl_plan *plan) {
    size_t rows = plan->pass.rows;
    w->targets = take(from, network->n_outputs, 1, rows, sizeof(real));
    w->curvature = take(from, network->n_outputs, 1, rows, sizeof(real));
    return take(from, plan->kept, 1, rows, sizeof(real));
}

static size_t kept_bytes(const infl_network *network, const infl_plan *plan) {
    arena counter = {NULL, 0};
    infl_workspace counted;
    lay_out_kept(&counter, &counted, network, plan);
    return plan->kept == 0 ? 0 : counter.used;
}

static void attach(infl_workspace *w, const infl_plan *plan, void *kept, size_t n) {
    arena block = {kept, 0};
    place_arrays(w, plan, lay_out_kept(&block, w, w->network, plan));
    w->rows = infl_pad_rows(n);
    w->valid = n;
}

static node_arrays *output_node(const infl_workspace *w) { return &w->nodes[w->network->n_layers - 1]; }

/* a few features at a time, so that what is written stays in the first-level cache */
#define GATHER(type)                                                                                                   \
    for (size_t from = 0; from < width; from += FEATURES_AT_ONCE)                                                      \
        for (size_t b = 0; b < n; b++) {                                                                               \
            size_t stored = infl_dataset_storage_row(dataset, rows[b]);                                                \
            const type *row = (const type *)storage->features + stored * width;                                        \
            for (size_t j = from; j < width && j < from + FEATURES_AT_ONCE; j++)                                       \
                x[j * padded + b] = (real)row[j];                                                                      \
        }

enum { FEATURES_AT_ONCE = 128 };

static void gather_rows(real *x, size_t padded, const infl_dataset *dataset, const size_t *rows, size_t n) {
    const infl_storage *storage = dataset->storage;
    size_t width = storage->n_features;
    if (storage->precision == INFL_F32)
        GATHER(float)
    else
        GATHER(double)
}

/* How a step sees an image: pixel (y, x) is the stored (y + down − crop, x + right − crop), 0 outside; mirrored then. */
typedef struct placement {
    size_t down, right;
    int mirrored;
} placement;

static placement place_image(const infl_training_step *step, size_t row) {
    uint64_t stream = (uint64_t)INFL_STREAM_IMAGES | step->number << 8, index = 3 * (uint64_t)row;
    uint64_t places = 2 * (uint64_t)step->crop + 1;
    return (placement){.down = (size_t)infl_random_below(step->seed, stream, index, places),
                       .right = (size_t)infl_random_below(step->seed, stream, index + 1, places),
                       .mirrored = step->flip && infl_random_below(step->seed, stream, index + 2, 2) == 1};
}

static real feature(const infl_storage *storage, size_t at) {
    return storage->precision == INFL_F32 ? (real)((const float *)storage->features)[at]
                                          : (real)((const double *)storage->features)[at];
}

/* a line of pixels at a time, of as many rows as lie in a cache line */
static void gather_images(real *x, size_t padded, const infl_dataset *dataset, const size_t *rows, size_t n,
                          infl_shape shape, const infl_training_step *step) {
    const infl_storage *storage = dataset->storage;
    placement seen[INFL_ROW_PADDING];
    for (size_t first = 0; first < n; first += INFL_ROW_PADDING) {
        size_t count = n - first < INFL_ROW_PADDING ? n - first : INFL_ROW_PADDING;
        for (size_t b = 0; b < count; b++)
            seen[b] = place_image(step, rows[first + b]);
        for (size_t line = 0; line < shape.channels * shape.height; line++) {
            size_t top = line % shape.height;
            for (size_t b = 0; b < count; b++) {
                /* what lies before the image wraps round to beyond it */
                size_t from = top + seen[b].down - step->crop;
                size_t row = infl_dataset_storage_row(dataset, rows[first + b]);
                size_t stored = row * storage->n_features + (line - top + from) * shape.width;
                real *to = x + line * shape.width * padded + first + b;
                for (size_t i = 0; i < shape.width; i++) {
                    size_t column = i + seen[b].right - step->crop;
                    int inside = from < shape.height && column < shape.width;
                    to[(seen[b].mirrored ? shape.width - 1 - i : i) * padded] =
                        inside ? feature(storage, stored + column) : 0;
                }
            }
        }
    }
}

/* step NULL: images are as they are */
static void load_rows(infl_workspace *w, const infl_dataset *dataset, const size_t *rows, size_t n,
                      const infl_training_step *step) {
    const infl_storage *storage = dataset->storage;
    size_t padded = infl_pad_rows(n), width = storage->n_features;
    real *x = w->nodes[0].value.value;
    w->rows = padded;
    w->valid = n;
    if (step != NULL && (step->crop > 0 || step->flip))
        gather_images(x, padded, dataset, rows, n, w->network->layers[0].shape, step);
    else
        gather_rows(x, padded, dataset, rows, n);
    /* padding repeats the last row: it overflows only where a row does, and times a cotangent of zero leaves no NaN */
    for (size_t j = 0; j < width; j++)
        for (size_t b = n; b < padded; b++)
            x[j * padded + b] = x[j * padded + n - 1];
    size_t targets = storage->labels != NULL ? 1 : storage->n_targets;
    if (targets > w->network->n_outputs)
        return; /* predicting only: the targets are for another network */
    for (size_t b = 0; b < padded; b++) {
        size_t row = b < n ? infl_dataset_storage_row(dataset, rows[b]) : 0;
        for (size_t j = 0; j < targets; j++)
            w->targets[j * padded + b] = b >= n                    ? 0
                                         : storage->labels != NULL ? (real)storage->labels[row]
                                                                   : (real)storage->targets[row * targets + j];
    }
}

static void load_chunk(infl_workspace *w, const infl_dataset *dataset, const size_t *rows, size_t n) {
    load_rows(w, dataset, rows, n, NULL);
}

static void from_double(void *to, const double *from, size_t n) {
    for (size_t i = 0; i < n; i++)
        ((real *)to)[i] = (real)from[i];
}

static void to_double(double *to, const void *from, size_t n) {
    for (size_t i = 0; i < n; i++)
        to[i] = (double)((const real *)from)[i];
}

/* Whether a layer's output has tangents. */
static int carries(const infl_workspace *w, const infl_point *at, size_t index) {
    return at->basis == NULL ? w->network->layers[index].varying : at->basis->reached[index];
}

/* What forward, backward and row gradients of one layer have in common. */
static infl_layer_call layer_call(const infl_workspace *w, size_t index, const infl_point *at) {
    const infl_layer *layer = &w->network->layers[index];
    infl_layer_call call = {
        .layer = layer,
        .rows = w->rows,
        .valid = w->valid,
        .theta = (const real *)at->theta + layer->offset,
        .tangents = at->tangents == NULL ? NULL : (const real *)at->tangents + layer->offset,
        .stride = w->network->n_parameters,
        .training = at->training,
        .y = w->nodes[index].value,
        .dy = w->nodes[index].cotangent,
        .aux = w->nodes[index].aux,
        .scratch = w->scratch,
    };
    if (layer->state > 0)
        call.state = (at->training != NULL ? at->training->state : w->network->state) + layer->state_offset;
    for (size_t i = 0; i < layer->n_inputs; i++) {
        size_t input = (size_t)layer->spec.inputs[i];
        call.x[i] = w->nodes[input].value;
        call.varying[i] = carries(w, at, input);
        if (w->network->layers[input].varying && (at->basis == NULL || input >= at->basis->layer))
            call.dx[i] = w->nodes[input].cotangent;
        call.accumulate[i] = !layer->first_use[i];
    }
    return call;
}

/* The layer's part of the tangents of slots 1 .. last−1, where they come as doubles. */
static void convert_tangents(const infl_workspace *w, const infl_point *at, size_t last, infl_layer_call *call) {
    if (at->vectors == NULL || call->layer->parameters == 0)
        return;
    call->tangents = w->tangents;
    call->stride = call->layer->parameters;
    for (size_t s = 1; s < last; s++)
        from_double(w->tangents + (s - 1) * call->stride,
                    at->vectors + (s - 1) * w->network->n_parameters + call->layer->offset, call->stride);
}

static void forward(infl_workspace *w, const infl_point *at, size_t first, size_t last) {
    for (size_t i = 1; i < w->network->n_layers; i++) {
        infl_layer_call call = layer_call(w, i, at);
        call.first = first;
        call.last = carries(w, at, i) || last == 0 ? last : 1;
        if (call.first >= call.last)
            continue;
        const infl_layer_kind *kind = kinds[call.layer->spec.kind];
        if (at->basis != NULL && i == at->basis->layer) {
            call.parameters = at->basis->parameters;
            kind->unit_tangents(&call);
            continue;
        }
        convert_tangents(w, at, call.last, &call);
        kind->forward(&call);
    }
}

static void forward_layers(infl_workspace *w, const infl_point *at, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        infl_layer_call call = layer_call(w, i, at);
        call.last = 1;
        kinds[call.layer->spec.kind]->forward(&call);
    }
}

static void measure(infl_workspace *w, const infl_point *at, size_t layer, int backward) {
    infl_layer_call call = layer_call(w, layer, at);
    kinds[call.layer->spec.kind]->measure(&call, backward);
}

static void lend(infl_workspace *w, void *scratch) { w->scratch = scratch; }

static void add_to_double(double *restrict to, const void *from, size_t n) {
    const real *restrict numbers = from;
    for (size_t i = 0; i < n; i++)
        to[i] += (double)numbers[i];
}

static void outputs(const infl_workspace *w, size_t slot, double *out) {
    const node_arrays *node = output_node(w);
    size_t width = w->network->n_outputs;
    for (size_t b = 0; b < w->valid; b++)
        for (size_t j = 0; j < width; j++)
            out[b * width + j] = (double)infl_slot(node->value, slot, width * w->rows)[j * w->rows + b];
}

static infl_loss_call loss_call(const infl_workspace *w, const infl_loss *loss) {
    const node_arrays *node = output_node(w);
    return (infl_loss_call){.outputs = w->network->n_outputs,
                            .rows = w->rows,
                            .valid = w->valid,
                            .temperature = (real)loss->temperature,
                            .f = node->value,
                            .targets = w->targets,
                            .cotangent = node->cotangent,
                            .curvature = w->curvature};
}

static void evaluate_loss(infl_workspace *w, const infl_loss *loss, double *losses) {
    infl_loss_call call = loss_call(w, loss);
    call.losses = losses;
    INFL_REAL(loss_function)(loss->kind)->evaluate(&call);
}

/* Σ_j ∇_f ℓ_j ẏ_j of one tangent, for each row of the chunk */
static void directional(const infl_workspace *w, size_t slot, real *restrict out) {
    const node_arrays *node = output_node(w);
    memset(out, 0, w->rows * sizeof *out);
    for (size_t j = 0; j < w->network->n_outputs; j++) {
        const real *restrict g = node->cotangent.value + j * w->rows;
        const real *restrict f = infl_slot(node->value, slot, w->network->n_outputs * w->rows) + j * w->rows;
        for (size_t b = 0; b < w->rows; b++)
            out[b] += g[b] * f[b];
    }
}

/* Slot s of the cotangent ← factor[row]·slot 0. */
static void scale_cotangent(infl_workspace *w, size_t slot, const real *restrict factor) {
    const node_arrays *node = output_node(w);
    for (size_t j = 0; j < w->network->n_outputs; j++) {
        const real *g = node->cotangent.value + j * w->rows;
        real *to = infl_slot(node->cotangent, slot, w->network->n_outputs * w->rows) + j * w->rows;
        for (size_t b = 0; b < w->rows; b++)
            to[b] = factor[b] * g[b];
    }
}

static void seed_curvature(infl_workspace *w, const infl_loss *loss, infl_seed_kind kind, size_t k) {
    if (kind == INFL_SEED_CURVATURE) {
        infl_loss_call call = loss_call(w, loss);
        INFL_REAL(loss_function)(loss->kind)->product(&call, k);
        return;
    }
    for (size_t s = 1; s <= k; s++) {
        directional(w, s, w->curvature);
        scale_cotangent(w, s, w->curvature);
    }
}

static void seed_factor(infl_workspace *w, const infl_loss *loss, size_t column) {
    infl_loss_call call = loss_call(w, loss);
    INFL_REAL(loss_function)(loss->kind)->factor(&call, column);
}

static void seed_weights(infl_workspace *w, const double *weights, size_t stride, size_t k) {
    /* slot 0, which is what is scaled, comes last */
    for (size_t s = k; s-- > 0;) {
        for (size_t b = 0; b < w->rows; b++)
            w->curvature[b] = b < w->valid ? (real)weights[s * stride + b] : 0;
        scale_cotangent(w, s, w->curvature);
    }
}

static void seed_cotangents(infl_workspace *w, const double *cotangents, size_t stride, size_t k) {
    const node_arrays *node = output_node(w);
    size_t width = w->network->n_outputs;
    for (size_t s = 0; s < k; s++)
        for (size_t j = 0; j < width; j++)
            for (size_t b = 0; b < w->rows; b++)
                infl_slot(node->cotangent, s, width * w->rows)[j * w->rows + b] =
                    b < w->valid ? (real)cotangents[(s * stride + b) * width + j] : 0;
}

static void backward(infl_workspace *w, const infl_point *at, infl_backward_mode mode, size_t first, size_t last,
                     const infl_gradient_sink *sink) {
    size_t lowest = at->basis == NULL ? 1 : at->basis->layer;
    for (size_t i = w->network->n_layers; i-- > lowest;) {
        const infl_layer *layer = &w->network->layers[i];
        if (!layer->varying)
            continue;
        int wanted = layer->parameters > 0 && (at->basis == NULL || at->basis->wanted[i]);
        infl_layer_call call = layer_call(w, i, at);
        call.first = first;
        call.last = last;
        call.mode = mode;
        if (mode == INFL_BACKWARD_SECOND)
            convert_tangents(w, at, last, &call);
        call.first_gradient = sink->first;
        call.gradient = wanted ? w->gradients : NULL;
        kinds[layer->spec.kind]->backward(&call);
        if (wanted)
            sink->take(sink, layer, w->gradients, last - sink->first);
    }
}

static void backward_layers(infl_workspace *w, const infl_point *at, size_t from, size_t to, void *gradients) {
    for (size_t i = to; i-- > from;) {
        const infl_layer *layer = &w->network->layers[i];
        if (!layer->varying)
            continue;
        infl_layer_call call = layer_call(w, i, at);
        call.last = 1;
        call.mode = INFL_BACKWARD_FIRST;
        call.gradient =
            layer->parameters > 0 ? (real *)gradients + (layer->offset - w->network->layers[from].offset) : NULL;
        kinds[layer->spec.kind]->backward(&call);
    }
}

/* Takes gradients of single rows as they are formed: of `length` parameters from `offset` on, × B. */
typedef struct row_sink {
    void (*take)(const infl_workspace *w, const struct row_sink *sink, size_t offset, size_t length,
                 const real *values);
    const infl_point *at;
    double *out;
    real *gathered;
    const size_t *column;
    size_t stride, k;
} row_sink;

static void each_row_gradient(infl_workspace *w, const infl_point *at, const row_sink *sink) {
    size_t lowest = at->basis == NULL ? 1 : at->basis->layer;
    for (size_t i = w->network->n_layers; i-- > lowest;) {
        const infl_layer *layer = &w->network->layers[i];
        const infl_layer_kind *kind = kinds[layer->spec.kind];
        if (!layer->varying)
            continue;
        infl_layer_call call = layer_call(w, i, at);
        call.last = 1;
        call.mode = INFL_BACKWARD_FIRST;
        kind->backward(&call);
        if (layer->parameters == 0 || (at->basis != NULL && !at->basis->wanted[i]))
            continue;
        infl_layer_tensor tensors[INFL_MAX_TENSORS];
        size_t n_tensors = kind->tensors(layer, tensors), all, at_once = infl_plan_units(layer, kind, &all);
        call.gradient = w->row_gradients;
        for (call.unit = 0; call.unit < all; call.unit += call.units) {
            call.units = all - call.unit < at_once ? all - call.unit : at_once;
            kind->row_gradients(&call);
            const real *values = w->row_gradients;
            for (size_t t = 0; t < n_tensors; t++) {
                size_t share = tensors[t].length / all, length = share * call.units;
                sink->take(w, sink, layer->offset + tensors[t].offset + call.unit * share, length, values);
                values += length * w->rows;
            }
        }
    }
}

static void take_gradients(const infl_workspace *w, const row_sink *sink, size_t offset, size_t length,
                           const real *values) {
    for (size_t b = 0; b < w->valid; b++)
        for (size_t j = 0; j < length; j++)
            sink->out[b * sink->stride + offset + j] = (double)values[j * w->rows + b];
}

static void row_gradients(infl_workspace *w, const infl_point *at, double *out, size_t stride) {
    row_sink sink = {.take = take_gradients, .at = at, .out = out, .stride = stride};
    each_row_gradient(w, at, &sink);
}

static void take_gathered(const infl_workspace *w, const row_sink *sink, size_t offset, size_t length,
                          const real *values) {
    for (size_t j = 0; j < length; j++) {
        size_t column = sink->column[offset + j];
        for (size_t b = 0; column != SIZE_MAX && b < w->rows; b++)
            sink->gathered[b * sink->stride + column] = values[j * w->rows + b];
    }
}

static void gather_row_gradients(infl_workspace *w, const infl_point *at, const size_t *column, void *gradients,
                                 size_t stride) {
    row_sink sink = {.take = take_gathered, .at = at, .gathered = gradients, .column = column, .stride = stride};
    each_row_gradient(w, at, &sink);
}

static void gram(const void *rows, size_t l, size_t stride, size_t first, size_t m, size_t from, size_t n, void *out) {
    const real *z = rows;
    INFL_REAL(multiply)(m, n, l, z + first, 1, stride, z + from, stride, out, n, 0);
}

static void take_products(const infl_workspace *w, const row_sink *sink, size_t offset, size_t length,
                          const real *values) {
    INFL_REAL(multiply)
    (sink->k, w->rows, length, (const real *)sink->at->tangents + offset, w->network->n_parameters, 1, values, w->rows,
     w->row_products, w->rows, 0);
    for (size_t b = 0; b < w->valid; b++)
        for (size_t s = 0; s < sink->k; s++)
            sink->out[b * sink->stride + s] += (double)w->row_products[s * w->rows + b];
}

static void row_products(infl_workspace *w, const infl_point *at, size_t k, double *out, size_t stride) {
    row_sink sink = {.take = take_products, .at = at, .out = out, .stride = stride, .k = k};
    for (size_t b = 0; b < w->valid; b++)
        memset(out + b * stride, 0, k * sizeof *out);
    each_row_gradient(w, at, &sink);
}

static void take_squares(const infl_workspace *w, const row_sink *sink, size_t offset, size_t length,
                         const real *values) {
    (void)offset;
    for (size_t j = 0; j < length; j++)
        for (size_t b = 0; b < w->valid; b++)
            sink->out[b] += (double)values[j * w->rows + b] * (double)values[j * w->rows + b];
}

static void row_norms(infl_workspace *w, const infl_point *at, double *squares) {
    row_sink sink = {.take = take_squares, .at = at, .out = squares};
    memset(squares, 0, w->valid * sizeof *squares);
    each_row_gradient(w, at, &sink);
}

static infl_status loss_of_row(const infl_loss *loss, const double *f, size_t n, const double *target, double *value,
                               double *gradient_out, double *hessian) {
    /* a chunk of one row whose tangents are the unit vectors of the outputs */
    enum { ROWS = INFL_ROW_PADDING };
    size_t slots = hessian == NULL ? 1 : 1 + n, targets = loss->kind == INFL_SQUARED_ERROR ? n : 1;
    arena block = {NULL, 0};
    real *arrays[4] = {NULL};
    for (int pass = 0; pass < 2; pass++) { /* count, then hand out */
        arrays[0] = take(&block, n, slots, ROWS, sizeof(real));
        arrays[1] = take(&block, n, slots, ROWS, sizeof(real));
        arrays[2] = take(&block, n, 1, ROWS, sizeof(real));
        arrays[3] = take(&block, targets, 1, ROWS, sizeof(real));
        if (pass == 0) {
            block.base = infl_allocate(block.used, 1);
            block.used = 0;
            if (block.base == NULL)
                return INFL_E_MEMORY;
        }
    }
    double loss_value;
    infl_loss_call call = {.outputs = n,
                           .rows = ROWS,
                           .valid = 1,
                           .temperature = (real)loss->temperature,
                           .f = {arrays[0], arrays[0] + n * ROWS},
                           .cotangent = {arrays[1], arrays[1] + n * ROWS},
                           .curvature = arrays[2],
                           .targets = arrays[3],
                           .losses = &loss_value};
    for (size_t j = 0; j < n; j++) {
        arrays[0][j * ROWS] = (real)f[j];
        if (hessian != NULL)
            arrays[0][((1 + j) * n + j) * ROWS] = 1;
    }
    for (size_t j = 0; j < targets; j++)
        arrays[3][j * ROWS] = (real)target[j];
    INFL_REAL(loss_function)(loss->kind)->evaluate(&call);
    if (hessian != NULL)
        INFL_REAL(loss_function)(loss->kind)->product(&call, n);
    int finite = isfinite(loss_value);
    for (size_t i = 0; i < n * slots * ROWS; i++)
        finite &= isfinite(arrays[1][i]) != 0;
    if (!finite) {
        infl_release(block.base);
        return infl_fail(INFL_E_NONFINITE,
                         "the loss or a derivative of it is NaN or infinite; the outputs are too large");
    }
    if (value != NULL)
        *value = loss_value;
    for (size_t j = 0; gradient_out != NULL && j < n; j++)
        gradient_out[j] = (double)arrays[1][j * ROWS];
    for (size_t i = 0; hessian != NULL && i < n; i++)
        for (size_t j = 0; j < n; j++)
            hessian[i * n + j] = (double)arrays[1][((1 + j) * n + i) * ROWS];
    infl_release(block.base);
    return INFL_OK;
}

extern const infl_engine INFL_REAL(engine);
const infl_engine INFL_REAL(engine) = {
    .precision = sizeof(real) == sizeof(float) ? INFL_F32 : INFL_F64,
    .real_size = sizeof(real),
    .kinds = kinds,
    .from_double = from_double,
    .to_double = to_double,
    .padded_rows = infl_pad_rows,
    .workspace_bytes = workspace_bytes,
    .workspace_init = workspace_init,
    .kept_bytes = kept_bytes,
    .attach = attach,
    .load = load_chunk,
    .load_for_step = load_rows,
    .forward = forward,
    .forward_layers = forward_layers,
    .measure = measure,
    .backward_layers = backward_layers,
    .lend = lend,
    .add_to_double = add_to_double,
    .outputs = outputs,
    .loss = evaluate_loss,
    .seed_curvature = seed_curvature,
    .seed_weights = seed_weights,
    .seed_cotangents = seed_cotangents,
    .backward = backward,
    .row_gradients = row_gradients,
    .row_products = row_products,
    .row_norms = row_norms,
    .seed_factor = seed_factor,
    .gather_row_gradients = gather_row_gradients,
    .gram = gram,
    .loss_of_row = loss_of_row,
};

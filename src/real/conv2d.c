/*
 * Convolution (cross-correlation, as everywhere in this field), weights output channels × input channels of a group ×
 * kernel rows × kernel columns.
 */
#include "convolve.h"
#include "kernels.h"
#include "layer.h"

static infl_status shape(infl_layer *layer) {
    const infl_layer_spec *spec = &layer->spec;
    infl_shape in = layer->in_shape[0];
    layer->shape.channels = spec->units;
    INFL_TRY(infl_window_shape(&spec->window, in, &layer->shape));
    if (spec->groups == 0 || in.channels % spec->groups != 0 || spec->units % spec->groups != 0)
        return infl_fail(INFL_E_ARGUMENT, "groups is %zu; it must divide the %zu input and the %zu output channels",
                         spec->groups, in.channels, spec->units);
    size_t taps = spec->window.kernel[0] * spec->window.kernel[1];
    if (spec->units > SIZE_MAX / sizeof(double) / (in.channels * taps + 1))
        return infl_fail(INFL_E_ARGUMENT, "%zu channels on %zu have more parameters than memory can hold", spec->units,
                         in.channels);
    layer->parameters = spec->units * (in.channels / spec->groups) * taps + (spec->bias ? spec->units : 0);
    layer->keeps_input = layer->keeps_cotangent = 1;
    return INFL_OK;
}

static size_t tensors(const infl_layer *layer, infl_layer_tensor *tensors) {
    const size_t *kernel = layer->spec.window.kernel;
    size_t units = layer->spec.units, inputs = layer->in_shape[0].channels / layer->spec.groups;
    size_t taps = kernel[0] * kernel[1], weights = units * inputs * taps;
    tensors[0] = (infl_layer_tensor){.name = "weight",
                                     .length = weights,
                                     .n_dims = 4,
                                     .dims = {units, inputs, kernel[0], kernel[1]},
                                     .fan_in = inputs * taps,
                                     .fan_out = units / layer->spec.groups * taps,
                                     .is_weight = 1};
    if (!layer->spec.bias)
        return 1;
    tensors[1] = (infl_layer_tensor){.name = "bias",
                                     .offset = weights,
                                     .length = units,
                                     .n_dims = 1,
                                     .dims = {units},
                                     .fan_in = inputs * taps,
                                     .fan_out = units};
    return 2;
}

enum {
    CHANNELS_AT_ONCE = 8,                /* as many as the kernels take at once */
    TRANSPOSED_AT_ONCE = 2 * INFL_LANES, /* input channels */
    GATHERED_NUMBERS = 1 << 16,          /* weights of some input channels, gathered for the transposed product */
};

/* The numbers of a layer and of a call that all passes need. */
typedef struct geometry {
    size_t groups, inputs, units; /* channels of a group */
    size_t taps, weights;         /* of a kernel; of an output channel */
    size_t x_slot, y_slot;        /* from a slot to the next */
    size_t x_channel, y_channel;  /* from a channel to the next */
} geometry;

static geometry geometry_of(const infl_layer *layer, size_t rows) {
    const infl_layer_spec *spec = &layer->spec;
    infl_shape in = layer->in_shape[0], out = layer->shape;
    geometry g = {.groups = spec->groups,
                  .inputs = in.channels / spec->groups,
                  .units = out.channels / spec->groups,
                  .taps = spec->window.kernel[0] * spec->window.kernel[1],
                  .x_slot = layer->in_width[0] * rows,
                  .y_slot = layer->width * rows};
    g.weights = g.inputs * g.taps;
    g.x_channel = in.height * in.width * rows;
    g.y_channel = out.height * out.width * rows;
    return g;
}

/* A call's scratch memory. */
typedef struct scratch {
    size_t *weight_tap, *x_tap;       /* taps × input channels each: the lists of products and of sums */
    real *gathered;                   /* terms × units × some input channels × taps */
    real *transposed[INFL_MAX_TERMS]; /* input pixels × B × TRANSPOSED_AT_ONCE */
    real *outer;                      /* taps × CHANNELS_AT_ONCE × TRANSPOSED_AT_ONCE */
} scratch;

/* The input channels whose weights are gathered at once. */
static size_t channels_at_once(const geometry *g) {
    size_t channels = GATHERED_NUMBERS / (g->units * g->taps) / CHANNELS_AT_ONCE * CHANNELS_AT_ONCE;
    channels = channels < CHANNELS_AT_ONCE ? CHANNELS_AT_ONCE : channels;
    return channels < g->inputs ? channels : g->inputs;
}

/* Many channels: their gradient is summed channel by channel of the vector registers, else row by row. */
static int many_channels(const geometry *g) { return g->inputs >= INFL_LANES; }

static size_t lay_out(scratch *s, const infl_layer *layer, size_t rows, void *memory) {
    geometry g = geometry_of(layer, rows);
    size_t used = 0, width = many_channels(&g) ? TRANSPOSED_AT_ONCE : 0;
    size_t lists = g.weights * sizeof(size_t), gathered = INFL_MAX_TERMS * g.units * channels_at_once(&g) * g.taps;
    size_t transposed = layer->in_shape[0].height * layer->in_shape[0].width * rows * width;
    size_t outer = g.taps * CHANNELS_AT_ONCE * width;
    char *base = memory;
#define PIECE(pointer, bytes)                                                                                          \
    do {                                                                                                               \
        if (base != NULL)                                                                                              \
            (pointer) = (void *)(base + used);                                                                         \
        used += ((bytes) + 63) / 64 * 64;                                                                              \
    } while (0)
    PIECE(s->weight_tap, lists);
    PIECE(s->x_tap, lists);
    PIECE(s->gathered, gathered * sizeof(real));
    for (size_t term = 0; term < INFL_MAX_TERMS; term++)
        PIECE(s->transposed[term], transposed * sizeof(real));
    PIECE(s->outer, outer * sizeof(real));
#undef PIECE
    return used;
}

static size_t scratch_bytes(const infl_layer *layer, size_t rows) {
    scratch counted;
    return lay_out(&counted, layer, rows, NULL);
}

/* Positions along an axis that the same taps lead to: first, first + step, ... The first tap is read at `from`, at the next
 * position `advance` further on; the tap after it one further on, or one back. */
typedef struct segment {
    size_t first, step, count;
    size_t tap, tap_step, taps;
    size_t from, advance;
    int backwards;
} segment;

/* The segment that begins at the number-th output position. */
static segment outputs_from(const infl_layer *layer, int axis, size_t number, size_t in, size_t out) {
    const infl_window *window = &layer->spec.window;
    size_t stride = window->stride[axis], padding = window->padding[axis], kernel = window->kernel[axis];
    segment found = {.first = number, .step = 1, .tap_step = 1, .advance = stride};
    for (size_t position = number; position < out; position++) {
        size_t at = position * stride, tap = at < padding ? padding - at : 0;
        size_t end = at >= in + padding ? 0 : in + padding - at < kernel ? in + padding - at : kernel;
        size_t taps = end > tap ? end - tap : 0;
        if (position > number && (tap != found.tap || taps != found.taps))
            break;
        if (position == number) {
            found.tap = tap;
            found.taps = taps;
            found.from = at + tap - padding;
        }
        found.count++;
    }
    return found;
}

/* The same for input positions and the outputs that look at them, a remainder by the stride after the other. */
static segment inputs_from(const infl_layer *layer, int axis, size_t number, size_t in, size_t out) {
    const infl_window *window = &layer->spec.window;
    size_t stride = window->stride[axis], padding = window->padding[axis], kernel = window->kernel[axis], begin = 0;
    while (number >= (in - begin + stride - 1) / stride)
        number -= (in - begin++ + stride - 1) / stride;
    segment found = {
        .first = begin + number * stride, .step = stride, .tap_step = stride, .advance = 1, .backwards = 1};
    for (size_t position = found.first; position < in; position += stride) {
        size_t nearest = (position + padding) / stride, tap = (position + padding) % stride;
        size_t skip = nearest >= out ? nearest - out + 1 : 0;
        size_t end = tap >= kernel ? 0 : (kernel - 1 - tap) / stride + 1;
        end = end > nearest + 1 ? nearest + 1 : end;
        size_t taps = end > skip ? end - skip : 0;
        if (position > found.first && (tap + skip * stride != found.tap || taps != found.taps))
            break;
        if (position == found.first) {
            found.tap = tap + skip * stride;
            found.taps = taps;
            found.from = nearest - (taps > 0 ? skip : nearest);
        }
        found.count++;
    }
    return found;
}

/* The product with the weights for all pixels of y (transposed: of an input's cotangent), rectangle by rectangle. */
static void product_of_image(const infl_layer_call *c, infl_tap_product *product, const scratch *memory,
                             int transposed) {
    infl_shape in = c->layer->in_shape[0], out = c->layer->shape;
    const size_t kernel_columns = c->layer->spec.window.kernel[1];
    const size_t x_width = transposed ? out.width : in.width, y_width = transposed ? in.width : out.width;
    const size_t heights = transposed ? in.height : out.height;
    real *y = product->y;
    product->weight_tap = memory->weight_tap;
    product->x_tap = memory->x_tap;
    for (size_t i = 0; i < heights;) {
        segment down = (transposed ? inputs_from : outputs_from)(c->layer, 0, i, in.height, out.height);
        for (size_t j = 0; j < y_width;) {
            segment across = (transposed ? inputs_from : outputs_from)(c->layer, 1, j, in.width, out.width);
            product->n_taps = down.taps * across.taps;
            for (size_t t = 0; t < product->n_taps; t++) {
                size_t t0 = t / across.taps, t1 = t % across.taps;
                size_t row = down.backwards ? down.from - t0 : down.from + t0;
                size_t column = across.backwards ? across.from - t1 : across.from + t1;
                memory->weight_tap[t] =
                    (down.tap + t0 * down.tap_step) * kernel_columns + across.tap + t1 * across.tap_step;
                memory->x_tap[t] = (row * x_width + column) * c->rows;
            }
            product->pixels = (infl_pixels){.count = {down.count, across.count},
                                            .x_step = {down.advance * x_width * c->rows, across.advance * c->rows},
                                            .y_step = {down.step * y_width * c->rows, across.step * c->rows}};
            product->y = y + (down.first * y_width + across.first) * c->rows;
            INFL_REAL(tap_product)(product);
            j += across.count;
        }
        i += down.count;
    }
}

/* ẏ = W ẋ + V x + ḃ for each slot */
static void forward(const infl_layer_call *c) {
    geometry g = geometry_of(c->layer, c->rows);
    scratch memory;
    lay_out(&memory, c->layer, c->rows, c->scratch);
    for (size_t s = c->first; s < c->last; s++)
        for (size_t group = 0; group < g.groups; group++) {
            const real *v = s == 0 ? c->theta : c->tangents == NULL ? NULL : c->tangents + (s - 1) * c->stride;
            size_t begin = group * g.units * g.weights, x = group * g.inputs * g.x_channel;
            infl_tap_product product = {.m = g.units,
                                        .depth = g.inputs,
                                        .weight_m = g.weights,
                                        .weight_depth = g.taps,
                                        .x_channel = g.x_channel,
                                        .y_channel = g.y_channel,
                                        .rows = c->rows,
                                        .y = infl_slot(c->y, s, g.y_slot) + group * g.units * g.y_channel};
            if (v != NULL) {
                product.weights[0] = v + begin;
                product.x[product.n_terms++] = c->x[0].value + x;
            }
            if (s > 0 && c->varying[0]) {
                product.weights[product.n_terms] = c->theta + begin;
                product.x[product.n_terms++] = infl_slot(c->x[0], s, g.x_slot) + x;
            }
            if (c->layer->spec.bias && v != NULL)
                product.bias = v + g.groups * g.units * g.weights + group * g.units;
            product_of_image(c, &product, &memory, 0);
        }
}

/* dx_s = Wᵀ dy_s (+ V_sᵀ dy_0 in the second order) */
static void backward_input(const infl_layer_call *c, const geometry *g, const scratch *memory, size_t s) {
    const real *weights[INFL_MAX_TERMS] = {c->theta},
               *dy[INFL_MAX_TERMS] = {infl_slot(c->dy, s, g->y_slot), c->dy.value};
    size_t n_terms = c->mode == INFL_BACKWARD_SECOND && s > 0 && c->tangents != NULL ? 2 : 1;
    size_t at_once = channels_at_once(g);
    if (n_terms == 2)
        weights[1] = c->tangents + (s - 1) * c->stride;
    for (size_t group = 0; group < g->groups; group++)
        for (size_t first = 0; first < g->inputs; first += at_once) {
            size_t m = g->inputs - first < at_once ? g->inputs - first : at_once, length = m * g->taps;
            infl_tap_product product = {.m = m,
                                        .depth = g->units,
                                        .weight_m = g->taps,
                                        .weight_depth = length,
                                        .x_channel = g->y_channel,
                                        .y_channel = g->x_channel,
                                        .rows = c->rows,
                                        .n_terms = n_terms,
                                        .accumulate = c->accumulate[0],
                                        .y = infl_slot(c->dx[0], s, g->x_slot) +
                                             (group * g->inputs + first) * g->x_channel};
            for (size_t term = 0; term < n_terms; term++) {
                /* the weights of these channels stand far apart, and are used for every pixel */
                /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): a call has memory */
                real *gathered = memory->gathered + term * g->units * at_once * g->taps;
                for (size_t k = 0; k < g->units; k++)
                    memcpy(gathered + k * length, weights[term] + (group * g->units + k) * g->weights + first * g->taps,
                           length * sizeof(real));
                product.weights[term] = gathered;
                product.x[term] = dy[term] + group * g->units * g->y_channel;
            }
            product_of_image(c, &product, memory, 1);
        }
}

/* The pixels that a tap leads to: a rectangle of outputs, and where its first one and the one it reads lie. */
static infl_pixels pixels_of_tap(const infl_layer_call *c, size_t tap, size_t x_pixel, size_t *x, size_t *y) {
    const infl_window *window = &c->layer->spec.window;
    infl_shape in = c->layer->in_shape[0], out = c->layer->shape;
    size_t at[2] = {tap / window->kernel[1], tap % window->kernel[1]}, from[2], to[2];
    infl_window_range(window, 0, at[0], in.height, out.height, &from[0], &to[0]);
    infl_window_range(window, 1, at[1], in.width, out.width, &from[1], &to[1]);
    infl_pixels pixels = {.x_step = {window->stride[0] * in.width * x_pixel, window->stride[1] * x_pixel},
                          .y_step = {out.width * c->rows, c->rows}};
    *x = *y = 0;
    if (from[0] >= to[0] || from[1] >= to[1])
        return pixels;
    pixels.count[0] = to[0] - from[0];
    pixels.count[1] = to[1] - from[1];
    *y = (from[0] * out.width + from[1]) * c->rows;
    *x = ((from[0] * window->stride[0] + at[0] - window->padding[0]) * in.width + from[1] * window->stride[1] + at[1] -
          window->padding[1]) *
         x_pixel;
    return pixels;
}

/* A weight leads from one input channel to one output channel. */
static void unit_tangents(const infl_layer_call *c) {
    geometry g = geometry_of(c->layer, c->rows);
    size_t bias = g.groups * g.units * g.weights;
    for (size_t s = c->first; s < c->last; s++) {
        size_t parameter = c->parameters[s - 1], unit = parameter < bias ? parameter / g.weights : parameter - bias;
        real *y = infl_slot(c->y, s, g.y_slot), *to = y + unit * g.y_channel;
        memset(y, 0, g.y_slot * sizeof *y);
        if (parameter >= bias) {
            for (size_t i = 0; i < g.y_channel; i++)
                to[i] = 1;
            continue;
        }
        size_t input = parameter % g.weights / g.taps, x_at, y_at;
        infl_pixels pixels = pixels_of_tap(c, parameter % g.taps, c->rows, &x_at, &y_at);
        const real *from = c->x[0].value + (unit / g.units * g.inputs + input) * g.x_channel + x_at;
        for (size_t i = 0; i < pixels.count[0]; i++)
            for (size_t j = 0; j < pixels.count[1]; j++)
                memcpy(to + y_at + i * pixels.y_step[0] + j * pixels.y_step[1],
                       from + i * pixels.x_step[0] + j * pixels.x_step[1], c->rows * sizeof *to);
    }
}

typedef void (*sum_pixels)(const infl_pixel_sums *sums);

/* Gradients of the weights of m output channels of a group from `first` on; sums->x and y are the group's. */
static void sum_over_pixels(const infl_layer_call *c, const geometry *g, const scratch *memory, infl_pixel_sums *sums,
                            sum_pixels sum) {
    const infl_window *window = &c->layer->spec.window;
    const real *x[INFL_MAX_TERMS], *y[INFL_MAX_TERMS];
    memcpy(x, sums->x, sizeof x);
    memcpy(y, sums->y, sizeof y);
    sums->x_entry = memory->x_tap; /* NOLINT(clang-analyzer-core.uninitialized.Assign): a call has memory */
    sums->to_entry = memory->weight_tap;
    sums->n_entries = 0;
    /* without padding all taps have the same outputs, so their sums may go together; else those of a tap's channels */
    int together = window->padding[0] == 0 && window->padding[1] == 0;
    for (size_t tap = 0; tap < g->taps; tap++) {
        size_t x_at, y_at;
        sums->pixels = pixels_of_tap(c, tap, c->rows, &x_at, &y_at);
        for (size_t i = 0; i < g->inputs; i++) {
            memory->x_tap[sums->n_entries] = x_at + i * g->x_channel;
            memory->weight_tap[sums->n_entries++] = i * g->taps + tap;
        }
        if (together && tap + 1 < g->taps)
            continue;
        for (size_t term = 0; term < sums->n_terms; term++)
            sums->y[term] = y[term] + y_at;
        sum(sums);
        sums->n_entries = 0;
    }
}

/* The same for many channels, a few of which are transposed at a time; x, dy and `to` are the group's. */
static void sum_over_channels(const infl_layer_call *c, const geometry *g, const scratch *memory, size_t n_terms,
                              const real *const *x, const real *const *dy, real *to) {
    size_t pixels = c->layer->in_shape[0].height * c->layer->in_shape[0].width;
    for (size_t channel = 0; channel < g->inputs; channel += TRANSPOSED_AT_ONCE) {
        size_t channels = g->inputs - channel < TRANSPOSED_AT_ONCE ? g->inputs - channel : TRANSPOSED_AT_ONCE;
        size_t padded = infl_pad_channels(channels);
        for (size_t term = 0; term < n_terms; term++)
            INFL_REAL(transpose_channels)
        (x[term] + channel * g->x_channel, channels, pixels, c->rows, memory->transposed[term]);
        for (size_t first = 0; first < g->units; first += CHANNELS_AT_ONCE) {
            size_t m = g->units - first < CHANNELS_AT_ONCE ? g->units - first : CHANNELS_AT_ONCE;
            for (size_t tap = 0; tap < g->taps; tap++) {
                size_t x_at, y_at;
                infl_outer_sums sums = {.m = m,
                                        .y_channel = g->y_channel,
                                        .channels = channels,
                                        .rows = c->rows,
                                        .n_terms = n_terms,
                                        .to = memory->outer + tap * CHANNELS_AT_ONCE * padded};
                sums.pixels = pixels_of_tap(c, tap, c->rows * padded, &x_at, &y_at);
                for (size_t term = 0; term < n_terms; term++) {
                    sums.x[term] = memory->transposed[term] + x_at;
                    sums.y[term] = dy[term] + first * g->y_channel + y_at;
                }
                INFL_REAL(outer_sums)(&sums);
            }
            for (size_t k = 0; k < m; k++)
                for (size_t i = 0; i < channels; i++)
                    for (size_t tap = 0; tap < g->taps; tap++)
                        to[(first + k) * g->weights + (channel + i) * g->taps + tap] =
                            memory->outer[(tap * CHANNELS_AT_ONCE + k) * padded + i];
        }
    }
}

/* ∂W_s = δ_s x_0ᵀ (+ δ_0 x_sᵀ in the second order): sums over pixels and rows */
static void backward_weights(const infl_layer_call *c, const geometry *g, const scratch *memory, size_t s,
                             real *gradient) {
    size_t n_terms = c->mode == INFL_BACKWARD_SECOND && s > 0 && c->varying[0] ? 2 : 1;
    for (size_t group = 0; group < g->groups; group++) {
        const real *x[INFL_MAX_TERMS] = {NULL}, *dy[INFL_MAX_TERMS] = {NULL};
        for (size_t term = 0; term < n_terms; term++) {
            x[term] = infl_slot(c->x[0], term == 0 ? 0 : s, g->x_slot) + group * g->inputs * g->x_channel;
            dy[term] = infl_slot(c->dy, term == 0 ? s : 0, g->y_slot) + group * g->units * g->y_channel;
        }
        real *to = gradient + group * g->units * g->weights;
        if (many_channels(g)) {
            sum_over_channels(c, g, memory, n_terms, x, dy, to);
            continue;
        }
        /* a few output channels at once, which then stay in the cache for all taps */
        for (size_t first = 0; first < g->units; first += CHANNELS_AT_ONCE) {
            infl_pixel_sums sums = {.m = g->units - first < CHANNELS_AT_ONCE ? g->units - first : CHANNELS_AT_ONCE,
                                    .y_channel = g->y_channel,
                                    .rows = c->rows,
                                    .n_terms = n_terms,
                                    .to_m = g->weights,
                                    .to = to + first * g->weights};
            for (size_t term = 0; term < n_terms; term++) {
                sums.x[term] = x[term];
                sums.y[term] = dy[term] + first * g->y_channel;
            }
            sum_over_pixels(c, g, memory, &sums, INFL_REAL(pixel_sums));
        }
    }
}

static void backward(const infl_layer_call *c) {
    geometry g = geometry_of(c->layer, c->rows);
    scratch memory;
    lay_out(&memory, c->layer, c->rows, c->scratch);
    size_t bias = g.groups * g.units * g.weights;
    for (size_t s = c->first; s < c->last; s++) {
        if (c->dx[0].value != NULL)
            backward_input(c, &g, &memory, s);
        if (c->gradient == NULL || s < c->first_gradient)
            continue;
        real *gradient = c->gradient + (s - c->first_gradient) * c->layer->parameters;
        backward_weights(c, &g, &memory, s, gradient);
        for (size_t i = 0; c->layer->spec.bias && i < g.groups * g.units; i++)
            gradient[bias + i] = INFL_REAL(sum)(infl_slot(c->dy, s, g.y_slot) + i * g.y_channel, g.y_channel);
    }
}

static void row_gradients(const infl_layer_call *c) {
    geometry g = geometry_of(c->layer, c->rows);
    scratch memory;
    lay_out(&memory, c->layer, c->rows, c->scratch);
    real *bias = c->gradient + c->units * g.weights * c->rows;
    for (size_t unit = c->unit; unit < c->unit + c->units;) {
        size_t group = unit / g.units, left = c->unit + c->units - unit;
        size_t m = (group + 1) * g.units - unit < left ? (group + 1) * g.units - unit : left;
        infl_pixel_sums sums = {.m = m,
                                .y_channel = g.y_channel,
                                .rows = c->rows,
                                .n_terms = 1,
                                .x = {c->x[0].value + group * g.inputs * g.x_channel},
                                .y = {c->dy.value + unit * g.y_channel},
                                .to_m = g.weights * c->rows,
                                .to = c->gradient + (unit - c->unit) * g.weights * c->rows};
        sum_over_pixels(c, &g, &memory, &sums, INFL_REAL(pixel_sums_of_rows));
        unit += m;
    }
    for (size_t i = 0; c->layer->spec.bias && i < c->units; i++) {
        real *restrict out = bias + i * c->rows;
        const real *restrict dy = c->dy.value + (c->unit + i) * g.y_channel;
        memset(out, 0, c->rows * sizeof *out);
        for (size_t pixel = 0; pixel < g.y_channel; pixel += c->rows)
            for (size_t b = 0; b < c->rows; b++)
                out[b] += dy[pixel + b];
    }
}

const infl_layer_kind INFL_REAL(layer_conv2d) = {.name = "conv2d",
                                                 .n_inputs = 1,
                                                 .shape = shape,
                                                 .tensors = tensors,
                                                 .forward = forward,
                                                 .backward = backward,
                                                 .unit_tangents = unit_tangents,
                                                 .row_gradients = row_gradients,
                                                 .scratch = scratch_bytes};

/*
 * Convolution (cross-correlation, as everywhere in this field), weights output channels × input channels of a group ×
 * kernel rows × kernel columns. Rows of the chunk stand innermost, so a tap of the kernel is a small product
 * W_tap·x straight out of the image: nothing is unfolded, and taps that fall on padding are left out.
 */
#include "kernels.h"
#include "layer.h"

#define multiply INFL_REAL(multiply_direct)

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
    return INFL_OK;
}

static size_t tensors(const infl_layer *layer, infl_layer_tensor *tensors) {
    const size_t *kernel = layer->spec.window.kernel;
    size_t units = layer->spec.units, inputs = layer->in_shape[0].channels / layer->spec.groups;
    size_t taps = kernel[0] * kernel[1], weights = units * inputs * taps;
    tensors[0] = (infl_layer_tensor){.name = "weight", .length = weights, .n_dims = 4,
                                     .dims = {units, inputs, kernel[0], kernel[1]}, .fan_in = inputs * taps,
                                     .fan_out = units / layer->spec.groups * taps, .is_weight = 1};
    if (!layer->spec.bias)
        return 1;
    tensors[1] = (infl_layer_tensor){.name = "bias", .offset = weights, .length = units, .n_dims = 1, .dims = {units},
                                     .fan_in = inputs * taps, .fan_out = units};
    return 2;
}

/* The numbers of a layer and of a call that all passes need. */
typedef struct geometry {
    size_t groups, inputs, units; /* channels of a group */
    size_t taps, weights;         /* of a kernel; of an output channel */
    size_t x_pixel, y_pixel;      /* from a pixel to the next: S×B numbers */
    size_t x_channel, y_channel;  /* from a channel to the next */
} geometry;

static geometry geometry_of(const infl_layer_call *c) {
    const infl_layer_spec *spec = &c->layer->spec;
    infl_shape in = c->layer->in_shape[0], out = c->layer->shape;
    geometry g = {.groups = spec->groups, .inputs = in.channels / spec->groups, .units = out.channels / spec->groups,
                  .taps = spec->window.kernel[0] * spec->window.kernel[1], .x_pixel = c->x_slots[0] * c->rows,
                  .y_pixel = c->slots * c->rows};
    g.weights = g.inputs * g.taps;
    g.x_channel = in.height * in.width * g.x_pixel;
    g.y_channel = out.height * out.width * g.y_pixel;
    return g;
}

/* Where a tap meets the image in one row of output pixels: pixels first .. last−1, whose inputs begin at `input` and
 * stand `stride` pixels apart. */
typedef struct tap_run {
    size_t tap, output, input, count, stride;
} tap_run;

typedef void (*visit_run)(const infl_layer_call *c, const geometry *g, size_t group, const tap_run *run, size_t slot);

static void each_run(const infl_layer_call *c, const geometry *g, size_t slot, visit_run visit) {
    const infl_window *window = &c->layer->spec.window;
    infl_shape in = c->layer->in_shape[0], out = c->layer->shape;
    for (size_t group = 0; group < g->groups; group++)
        for (size_t tap = 0; tap < g->taps; tap++)
            for (size_t y = 0; y < out.height; y++) {
                size_t row = tap / window->kernel[1], column = tap % window->kernel[1], from, to;
                size_t in_row = y * window->stride[0] + row; /* in the padded image */
                if (in_row < window->padding[0] || in_row >= window->padding[0] + in.height)
                    continue;
                infl_window_range(window, 1, column, in.width, out.width, &from, &to);
                if (from >= to)
                    continue;
                tap_run run = {.tap = tap, .output = y * out.width + from, .count = to - from,
                               .stride = window->stride[1],
                               .input = (in_row - window->padding[0]) * in.width + from * window->stride[1] + column -
                                        window->padding[1]};
                visit(c, g, group, &run, slot);
            }
}

/* y ← y + W x over the call's slots. */
static void add_product(const infl_layer_call *c, const geometry *g, size_t group, const tap_run *run, size_t slot) {
    (void)slot;
    size_t first = c->first, last = c->x_slots[0] > 1 ? c->last : 1, n = (last - first) * c->rows, count = run->count;
    const real *w = c->theta + group * g->units * g->weights + run->tap;
    const real *x = c->x[0] + group * g->inputs * g->x_channel + run->input * g->x_pixel + first * c->rows;
    real *y = c->y + group * g->units * g->y_channel + run->output * g->y_pixel + first * c->rows;
    if (run->stride == 1 && n == g->x_pixel && n == g->y_pixel) { /* the pixels of the run are contiguous */
        n *= count;
        count = 1;
    }
    for (size_t i = 0; i < count; i++)
        multiply(g->units, n, g->inputs, w, g->weights, g->taps, x + i * run->stride * g->x_pixel, g->x_channel,
                 y + i * g->y_pixel, g->y_channel, 1);
}

/* y_s ← y_s + V_s x_0 */
static void add_tangent_product(const infl_layer_call *c, const geometry *g, size_t group, const tap_run *run,
                                size_t slot) {
    const real *v = c->tangents + (slot - 1) * c->stride + group * g->units * g->weights + run->tap;
    const real *x = c->x[0] + group * g->inputs * g->x_channel + run->input * g->x_pixel;
    real *y = c->y + group * g->units * g->y_channel + run->output * g->y_pixel + slot * c->rows;
    for (size_t i = 0; i < run->count; i++)
        multiply(g->units, c->rows, g->inputs, v, g->weights, g->taps, x + i * run->stride * g->x_pixel, g->x_channel,
                 y + i * g->y_pixel, g->y_channel, 1);
}

static void forward(const infl_layer_call *c) {
    geometry g = geometry_of(c);
    size_t pixels = c->layer->shape.height * c->layer->shape.width, bias = g.groups * g.units * g.weights;
    for (size_t channel = 0; channel < c->layer->shape.channels; channel++)
        for (size_t pixel = 0; pixel < pixels; pixel++)
            for (size_t s = c->first; s < c->last; s++) {
                const real *values = s == 0 ? c->theta : c->tangents + (s - 1) * c->stride;
                real start = c->layer->spec.bias ? values[bias + channel] : 0;
                real *restrict y = c->y + channel * g.y_channel + pixel * g.y_pixel + s * c->rows;
                for (size_t b = 0; b < c->rows; b++)
                    y[b] = start;
            }
    if (c->first == 0 || c->x_slots[0] > 1)
        each_run(c, &g, 0, add_product);
    for (size_t s = c->first > 1 ? c->first : 1; s < c->last; s++)
        each_run(c, &g, s, add_tangent_product);
}

/* dx ← dx + Wᵀ dy over the call's slots. */
static void add_transposed(const infl_layer_call *c, const geometry *g, size_t group, const tap_run *run, size_t slot) {
    (void)slot;
    size_t n = (c->last - c->first) * c->rows, count = run->count;
    const real *w = c->theta + group * g->units * g->weights + run->tap;
    const real *dy = c->dy + group * g->units * g->y_channel + run->output * g->y_pixel + c->first * c->rows;
    real *dx = c->dx[0] + group * g->inputs * g->x_channel + run->input * g->x_pixel + c->first * c->rows;
    if (run->stride == 1 && n == g->x_pixel && n == g->y_pixel) {
        n *= count;
        count = 1;
    }
    for (size_t i = 0; i < count; i++)
        multiply(g->inputs, n, g->units, w, g->taps, g->weights, dy + i * g->y_pixel, g->y_channel,
                 dx + i * run->stride * g->x_pixel, g->x_channel, 1);
}

/* dx_s ← dx_s + V_sᵀ dy_0 */
static void add_tangent_transposed(const infl_layer_call *c, const geometry *g, size_t group, const tap_run *run,
                                   size_t slot) {
    const real *v = c->tangents + (slot - 1) * c->stride + group * g->units * g->weights + run->tap;
    const real *dy = c->dy + group * g->units * g->y_channel + run->output * g->y_pixel;
    real *dx = c->dx[0] + group * g->inputs * g->x_channel + run->input * g->x_pixel + slot * c->rows;
    for (size_t i = 0; i < run->count; i++)
        multiply(g->inputs, c->rows, g->units, v, g->taps, g->weights, dy + i * g->y_pixel, g->y_channel,
                 dx + i * run->stride * g->x_pixel, g->x_channel, 1);
}

/* ∂W_s ← ∂W_s + δ_s x_0ᵀ (+ δ_0 x_sᵀ in the second order) */
static void add_gradient(const infl_layer_call *c, const geometry *g, size_t group, const tap_run *run, size_t slot) {
    const real *dy = c->dy + group * g->units * g->y_channel + run->output * g->y_pixel;
    const real *x = c->x[0] + group * g->inputs * g->x_channel + run->input * g->x_pixel;
    real *gradient = c->gradient + slot * c->stride + group * g->units * g->weights + run->tap;
    infl_runs runs = {.count = run->count, .a_step = g->y_pixel, .b_step = run->stride * g->x_pixel,
                      .c_column = g->taps};
    INFL_REAL(multiply_runs)(g->units, c->rows, g->inputs, dy + slot * c->rows, g->y_channel, x, g->x_channel, gradient,
                             g->weights, &runs, 1);
    if (c->mode == INFL_BACKWARD_SECOND && slot > 0 && c->x_slots[0] > 1)
        INFL_REAL(multiply_runs)(g->units, c->rows, g->inputs, dy, g->y_channel, x + slot * c->rows, g->x_channel,
                                 gradient, g->weights, &runs, 1);
}

static void backward(const infl_layer_call *c) {
    geometry g = geometry_of(c);
    size_t pixels = c->layer->shape.height * c->layer->shape.width, bias = g.groups * g.units * g.weights;
    for (size_t s = c->first; c->gradient != NULL && s < c->last; s++) {
        real *gradient = c->gradient + s * c->stride;
        memset(gradient, 0, c->layer->parameters * sizeof *gradient);
        each_run(c, &g, s, add_gradient);
        for (size_t i = 0; c->layer->spec.bias && i < c->layer->shape.channels; i++)
            for (size_t pixel = 0; pixel < pixels; pixel++)
                gradient[bias + i] +=
                    INFL_REAL(sum)(c->dy + i * g.y_channel + pixel * g.y_pixel + s * c->rows, c->rows);
    }
    if (c->dx[0] == NULL)
        return;
    for (size_t i = 0; !c->accumulate[0] && i < c->layer->in_width[0]; i++)
        memset(c->dx[0] + i * g.x_pixel + c->first * c->rows, 0, (c->last - c->first) * c->rows * sizeof(real));
    each_run(c, &g, 0, add_transposed);
    for (size_t s = c->first > 1 ? c->first : 1; c->mode == INFL_BACKWARD_SECOND && s < c->last; s++)
        each_run(c, &g, s, add_tangent_transposed);
}

static void add_row_gradient(const infl_layer_call *c, const geometry *g, size_t group, const tap_run *run,
                             size_t slot) {
    (void)slot;
    for (size_t i = 0; i < g->units; i++)
        for (size_t j = 0; j < g->inputs; j++) {
            size_t unit = group * g->units + i;
            real *restrict out = c->gradient + (unit * g->weights + j * g->taps + run->tap) * c->rows;
            const real *dy = c->dy + unit * g->y_channel + run->output * g->y_pixel;
            const real *x = c->x[0] + (group * g->inputs + j) * g->x_channel + run->input * g->x_pixel;
            for (size_t pixel = 0; pixel < run->count; pixel++)
                for (size_t b = 0; b < c->rows; b++)
                    out[b] += dy[pixel * g->y_pixel + b] * x[pixel * run->stride * g->x_pixel + b];
        }
}

static void row_gradients(const infl_layer_call *c) {
    geometry g = geometry_of(c);
    size_t pixels = c->layer->shape.height * c->layer->shape.width, bias = g.groups * g.units * g.weights;
    memset(c->gradient, 0, c->layer->parameters * c->rows * sizeof(real));
    each_run(c, &g, 0, add_row_gradient);
    for (size_t i = 0; c->layer->spec.bias && i < c->layer->shape.channels; i++)
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            real *restrict out = c->gradient + (bias + i) * c->rows;
            const real *restrict dy = c->dy + i * g.y_channel + pixel * g.y_pixel;
            for (size_t b = 0; b < c->rows; b++)
                out[b] += dy[b];
        }
}

const infl_layer_kind INFL_REAL(layer_conv2d) = {"conv2d", 1, shape, tensors, forward, backward, row_gradients};

/*
 * Pooling windows over each channel. The largest: forward keeps which tap it was (the first of equals), and tangents and
 * cotangents follow it; taps on padding never win. The average: over the whole kernel, padding counting as 0.
 */
#include "layer.h"

static infl_status shape(infl_layer *layer) {
    const infl_window *window = &layer->spec.window;
    for (int axis = 0; axis < 2; axis++)
        if (window->padding[axis] > window->kernel[axis] / 2)
            return infl_fail(INFL_E_ARGUMENT, "padding is %zu; expected at most half the kernel of %zu",
                             window->padding[axis], window->kernel[axis]);
    layer->shape.channels = layer->in_shape[0].channels;
    return infl_window_shape(window, layer->in_shape[0], &layer->shape);
}

static infl_status shape_of_largest(infl_layer *layer) {
    INFL_TRY(shape(layer));
    layer->aux = infl_shape_size(layer->shape);
    return INFL_OK;
}

/* One output pixel of one channel, and the input pixel under a tap. */
typedef void (*visit_tap)(const infl_layer_call *c, size_t output, size_t input, size_t tap, int first);

static void each_tap(const infl_layer_call *c, visit_tap visit) {
    const infl_window *window = &c->layer->spec.window;
    infl_shape in = c->layer->in_shape[0], out = c->layer->shape;
    for (size_t output = 0; output < c->layer->width; output++) {
        size_t channel = output / (out.height * out.width), y = output / out.width % out.height, x = output % out.width;
        int first = 1;
        for (size_t tap = 0; tap < window->kernel[0] * window->kernel[1]; tap++) {
            /* in the padded image */
            size_t row = y * window->stride[0] + tap / window->kernel[1];
            size_t column = x * window->stride[1] + tap % window->kernel[1];
            if (row < window->padding[0] || row >= window->padding[0] + in.height || column < window->padding[1] ||
                column >= window->padding[1] + in.width)
                continue;
            size_t input = (channel * in.height + row - window->padding[0]) * in.width + column - window->padding[1];
            visit(c, output, input, tap, first);
            first = 0;
        }
    }
}

static const real *input_pixel(const infl_layer_call *c, size_t slot, size_t pixel) {
    return c->x[0] + (slot * c->layer->in_width[0] + pixel) * c->rows;
}

static real *output_pixel(const infl_layer_call *c, real *array, size_t slot, size_t pixel) {
    return array + (slot * c->layer->width + pixel) * c->rows;
}

static real *input_cotangent(const infl_layer_call *c, size_t slot, size_t pixel) {
    return c->dx[0] + (slot * c->layer->in_width[0] + pixel) * c->rows;
}

/* dx of the call's slots ← 0 unless it is added to */
static void clear(const infl_layer_call *c) {
    if (!c->accumulate[0])
        memset(input_cotangent(c, c->first, 0), 0,
               (c->last - c->first) * c->layer->in_width[0] * c->rows * sizeof(real));
}

static void take_largest(const infl_layer_call *c, size_t output, size_t input, size_t tap, int first) {
    real *restrict which = c->aux + output * c->rows;
    const real *restrict x = input_pixel(c, 0, input);
    real *restrict y = output_pixel(c, c->y, 0, output);
    for (size_t b = 0; b < c->rows; b++) {
        int larger = first || !(x[b] <= y[b]); /* NaN wins */
        which[b] = larger ? (real)tap : which[b];
        y[b] = larger ? x[b] : y[b];
    }
}

static void follow_largest(const infl_layer_call *c, size_t output, size_t input, size_t tap, int first) {
    (void)first;
    const real *restrict which = c->aux + output * c->rows;
    for (size_t s = c->first > 1 ? c->first : 1; s < c->last; s++) {
        const real *restrict x = input_pixel(c, s, input);
        real *restrict y = output_pixel(c, c->y, s, output);
        for (size_t b = 0; b < c->rows; b++)
            y[b] = which[b] == (real)tap ? x[b] : y[b];
    }
}

static void forward_largest(const infl_layer_call *c) {
    if (c->first == 0)
        each_tap(c, take_largest);
    if (c->last > 1)
        each_tap(c, follow_largest);
}

static void return_largest(const infl_layer_call *c, size_t output, size_t input, size_t tap, int first) {
    (void)first;
    const real *restrict which = c->aux + output * c->rows;
    for (size_t s = c->first; s < c->last; s++) {
        const real *restrict dy = output_pixel(c, (real *)c->dy, s, output);
        real *restrict dx = input_cotangent(c, s, input);
        for (size_t b = 0; b < c->rows; b++)
            dx[b] += which[b] == (real)tap ? dy[b] : 0;
    }
}

static void backward_largest(const infl_layer_call *c) {
    if (c->dx[0] == NULL)
        return;
    clear(c);
    each_tap(c, return_largest);
}

static real share(const infl_layer_call *c) {
    return 1 / (real)(c->layer->spec.window.kernel[0] * c->layer->spec.window.kernel[1]);
}

static void add_share(const infl_layer_call *c, size_t output, size_t input, size_t tap, int first) {
    (void)tap;
    real part = share(c);
    for (size_t s = c->first; s < c->last; s++) {
        const real *restrict x = input_pixel(c, s, input);
        real *restrict y = output_pixel(c, c->y, s, output);
        for (size_t b = 0; b < c->rows; b++)
            y[b] = (first ? 0 : y[b]) + part * x[b];
    }
}

static void forward_average(const infl_layer_call *c) { each_tap(c, add_share); }

static void return_share(const infl_layer_call *c, size_t output, size_t input, size_t tap, int first) {
    (void)tap, (void)first;
    real part = share(c);
    for (size_t s = c->first; s < c->last; s++) {
        const real *restrict dy = output_pixel(c, (real *)c->dy, s, output);
        real *restrict dx = input_cotangent(c, s, input);
        for (size_t b = 0; b < c->rows; b++)
            dx[b] += part * dy[b];
    }
}

static void backward_average(const infl_layer_call *c) {
    if (c->dx[0] == NULL)
        return;
    clear(c);
    each_tap(c, return_share);
}

const infl_layer_kind INFL_REAL(layer_max_pool) = {"max_pool2d", 1, shape_of_largest, NULL, forward_largest,
                                                   backward_largest, NULL, NULL};
const infl_layer_kind INFL_REAL(layer_average_pool) = {"average_pool2d", 1, shape, NULL, forward_average,
                                                       backward_average, NULL, NULL};

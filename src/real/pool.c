/*
 * Pooling windows over each channel. The largest: forward keeps which tap it was (the first of equals), and tangents and
 * cotangents follow it; taps on padding never win. The average: over the whole kernel, padding counting as 0.
 */
#include "layer.h"
#include "vector.h"

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

/* An output pixel and what its window covers of the image: a rectangle of input pixels, whose first has the number `tap`. */
typedef struct window_place {
    size_t output, input, rows, columns, tap;
} window_place;

typedef void (*visit_window)(const infl_layer_call *c, const window_place *place);

/* What of the kernel meets the image at a position along an axis. */
static size_t covered(const infl_layer_call *c, int axis, size_t position, size_t pixels, size_t *tap, size_t *input) {
    const infl_window *window = &c->layer->spec.window;
    size_t at = position * window->stride[axis], padding = window->padding[axis], end = at + window->kernel[axis];
    *tap = at < padding ? padding - at : 0;
    *input = at + *tap - padding;
    end = end < pixels + padding ? end : pixels + padding; /* in the padded image */
    return end > at + *tap ? end - at - *tap : 0;
}

static void each_window(const infl_layer_call *c, visit_window visit) {
    infl_shape in = c->layer->in_shape[0], out = c->layer->shape;
    size_t columns = c->layer->spec.window.kernel[1];
    for (size_t y = 0; y < out.height; y++)
        for (size_t x = 0; x < out.width; x++) {
            size_t tap[2], input[2];
            window_place place = {.rows = covered(c, 0, y, in.height, &tap[0], &input[0]),
                                  .columns = covered(c, 1, x, in.width, &tap[1], &input[1])};
            place.tap = tap[0] * columns + tap[1];
            for (size_t channel = 0; channel < out.channels; channel++) {
                place.output = (channel * out.height + y) * out.width + x;
                place.input = (channel * in.height + input[0]) * in.width + input[1];
                visit(c, &place);
            }
        }
}

/* The taps of a place one after another: `pixel` its input pixel, `tap` its number. */
/* NOLINTBEGIN(bugprone-macro-parentheses): names that it declares */
#define EACH_TAP(c, place, pixel, tap)                                                                                 \
    for (size_t i_ = 0; i_ < (place)->rows; i_++)                                                                      \
        for (size_t pixel = (place)->input + i_ * (c)->layer->in_shape[0].width,                                       \
                    tap = (place)->tap + i_ * (c)->layer->spec.window.kernel[1], end_ = pixel + (place)->columns;      \
             pixel < end_; pixel++, tap++)
/* NOLINTEND(bugprone-macro-parentheses) */

static const real *input_pixel(const infl_layer_call *c, size_t slot, size_t pixel) {
    return infl_slot(c->x[0], slot, c->layer->in_width[0] * c->rows) + pixel * c->rows;
}

static real *output_pixel(const infl_layer_call *c, infl_slots array, size_t slot, size_t pixel) {
    return infl_slot(array, slot, c->layer->width * c->rows) + pixel * c->rows;
}

static real *input_cotangent(const infl_layer_call *c, size_t slot, size_t pixel) {
    return infl_slot(c->dx[0], slot, c->layer->in_width[0] * c->rows) + pixel * c->rows;
}

/* dx of the call's slots ← 0 unless it is added to */
static void clear(const infl_layer_call *c) {
    for (size_t s = c->first; !c->accumulate[0] && s < c->last; s++)
        memset(input_cotangent(c, s, 0), 0, c->layer->in_width[0] * c->rows * sizeof(real));
}

static void take_largest(const infl_layer_call *c, const window_place *place) {
    for (size_t b = 0; b < c->rows; b += INFL_LANES) {
        vector best = load(input_pixel(c, 0, place->input) + b), which = broadcast((real)place->tap);
        EACH_TAP(c, place, pixel, tap) {
            vector x = load(input_pixel(c, 0, pixel) + b);
            /* NOLINTNEXTLINE(misc-redundant-expression): NaN is not */
            lanes larger = (lanes) ~(x <= best) & (lanes)(best == best); /* NaN wins, and stays */
            best = choose(larger, x, best);
            which = choose(larger, broadcast((real)tap), which);
        }
        store(output_pixel(c, c->y, 0, place->output) + b, best);
        store(c->aux + place->output * c->rows + b, which);
    }
}

static void follow_largest(const infl_layer_call *c, const window_place *place) {
    for (size_t s = c->first > 1 ? c->first : 1; s < c->last; s++)
        for (size_t b = 0; b < c->rows; b += INFL_LANES) {
            vector which = load(c->aux + place->output * c->rows + b), y = {0};
            EACH_TAP(c, place, pixel, tap) {
                lanes here = (lanes)(which == broadcast((real)tap));
                y = choose(here, load(input_pixel(c, s, pixel) + b), y);
            }
            store(output_pixel(c, c->y, s, place->output) + b, y);
        }
}

static void forward_largest(const infl_layer_call *c) {
    if (c->first == 0)
        each_window(c, take_largest);
    if (c->last > 1)
        each_window(c, follow_largest);
}

static void return_largest(const infl_layer_call *c, const window_place *place) {
    for (size_t s = c->first; s < c->last; s++)
        for (size_t b = 0; b < c->rows; b += INFL_LANES) {
            vector which = load(c->aux + place->output * c->rows + b);
            vector dy = load(output_pixel(c, c->dy, s, place->output) + b);
            EACH_TAP(c, place, pixel, tap) {
                lanes here = (lanes)(which == broadcast((real)tap));
                real *dx = input_cotangent(c, s, pixel) + b;
                store(dx, load(dx) + choose(here, dy, (vector){0}));
            }
        }
}

static void backward_largest(const infl_layer_call *c) {
    if (c->dx[0].value == NULL)
        return;
    clear(c);
    each_window(c, return_largest);
}

static vector share(const infl_layer_call *c) {
    return broadcast(1 / (real)(c->layer->spec.window.kernel[0] * c->layer->spec.window.kernel[1]));
}

static void take_mean(const infl_layer_call *c, const window_place *place) {
    for (size_t s = c->first; s < c->last; s++)
        for (size_t b = 0; b < c->rows; b += INFL_LANES) {
            vector sum = {0};
            EACH_TAP(c, place, pixel, tap)
            sum += load(input_pixel(c, s, pixel) + b);
            store(output_pixel(c, c->y, s, place->output) + b, share(c) * sum);
        }
}

static void forward_average(const infl_layer_call *c) { each_window(c, take_mean); }

static void return_share(const infl_layer_call *c, const window_place *place) {
    for (size_t s = c->first; s < c->last; s++)
        for (size_t b = 0; b < c->rows; b += INFL_LANES) {
            vector part = share(c) * load(output_pixel(c, c->dy, s, place->output) + b);
            EACH_TAP(c, place, pixel, tap) {
                real *dx = input_cotangent(c, s, pixel) + b;
                store(dx, load(dx) + part);
            }
        }
}

static void backward_average(const infl_layer_call *c) {
    if (c->dx[0].value == NULL)
        return;
    clear(c);
    each_window(c, return_share);
}

const infl_layer_kind INFL_REAL(layer_max_pool) = {.name = "max_pool2d",
                                                   .n_inputs = 1,
                                                   .shape = shape_of_largest,
                                                   .forward = forward_largest,
                                                   .backward = backward_largest};
const infl_layer_kind INFL_REAL(layer_average_pool) = {
    .name = "average_pool2d", .n_inputs = 1, .shape = shape, .forward = forward_average, .backward = backward_average};

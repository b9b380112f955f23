/*
 * Batch normalisation (Ioffe & Szegedy 2015): y = γ x̂ + β, x̂ = (x − mean)/√(variance + ε), per channel. The statistics
 * are the running ones, constants, except in training: there they are the batch's own, and backward goes through them.
 */
#include <math.h>

#include "layer.h"
#include "vector.h"

static infl_status shape(infl_layer *layer) {
    layer->shape = layer->in_shape[0];
    layer->parameters = layer->state = 2 * layer->shape.channels;
    layer->keeps_input = layer->keeps_cotangent = 1;
    return INFL_OK;
}

static size_t tensors(const infl_layer *layer, infl_layer_tensor *tensors) {
    size_t channels = layer->shape.channels;
    tensors[0] = (infl_layer_tensor){.name = "weight", .length = channels, .n_dims = 1, .dims = {channels}, .start = 1};
    tensors[1] =
        (infl_layer_tensor){.name = "bias", .offset = channels, .length = channels, .n_dims = 1, .dims = {channels}};
    return 2;
}

static size_t states(const infl_layer *layer, infl_layer_tensor *tensors) {
    size_t channels = layer->shape.channels;
    tensors[0] = (infl_layer_tensor){.name = "running_mean", .length = channels, .n_dims = 1, .dims = {channels}};
    tensors[1] = (infl_layer_tensor){.name = "running_variance",
                                     .offset = channels,
                                     .length = channels,
                                     .n_dims = 1,
                                     .dims = {channels},
                                     .start = 1};
    return 2;
}

/* A channel of a call: its numbers lie together, `length` of them in each slot, `stride` from one slot to the next. */
typedef struct channel {
    size_t length, stride, at;
    real mean, inverse; /* 1/√(variance + ε) */
} channel;

static channel channel_of(const infl_layer_call *c, size_t number) {
    size_t channels = c->layer->shape.channels, stride = c->layer->width * c->rows;
    double variance = c->state[channels + number];
    return (channel){.length = stride / channels,
                     .stride = stride,
                     .at = stride / channels * number,
                     .mean = (real)c->state[number],
                     .inverse = (real)(1 / sqrt(variance + c->layer->spec.epsilon))};
}

/* *sum += Σ u and *moment += Σ u (x − mean), u NULL: x − mean in its place. Blocks are summed in the vectors' lanes. */
static void add_moments(const real *u, const real *x, real mean, size_t n, double *sum, double *moment) {
    enum { BLOCK = 2048 };
    for (size_t from = 0; from < n; from += BLOCK) {
        size_t to = n - from < BLOCK ? n : from + BLOCK, i = from;
        vector sums = {0}, moments = {0};
        for (; i + INFL_LANES <= to; i += INFL_LANES) {
            vector deviation = load(x + i) - mean, factor = u == NULL ? deviation : load(u + i);
            sums += factor;
            moments += factor * deviation;
        }
        *sum += (double)lanes_sum(sums);
        *moment += (double)lanes_sum(moments);
        for (; i < to; i++) {
            real deviation = x[i] - mean, factor = u == NULL ? deviation : u[i];
            *sum += (double)factor;
            *moment += (double)factor * (double)deviation;
        }
    }
}

static void forward(const infl_layer_call *c) {
    size_t channels = c->layer->shape.channels;
    for (size_t s = c->first; s < c->last; s++)
        for (size_t number = 0; number < channels; number++) {
            channel of = channel_of(c, number);
            const real *restrict x = c->x[0].value + of.at, *restrict x_dot = infl_slot(c->x[0], s, of.stride) + of.at;
            real *restrict y = infl_slot(c->y, s, of.stride) + of.at;
            const real *v = s == 0 ? c->theta : c->tangents == NULL ? NULL : c->tangents + (s - 1) * c->stride;
            real slope = c->theta[number] * of.inverse, factor = v == NULL ? 0 : v[number] * of.inverse;
            real shift = v == NULL ? 0 : v[channels + number];
            if (s > 0 && c->varying[0])
                for (size_t i = 0; i < of.length; i++)
                    y[i] = slope * x_dot[i] + factor * (x[i] - of.mean) + shift;
            else
                for (size_t i = 0; i < of.length; i++)
                    y[i] = factor * (x[i] - of.mean) + shift;
        }
}

static void unit_tangents(const infl_layer_call *c) {
    size_t channels = c->layer->shape.channels;
    for (size_t s = c->first; s < c->last; s++) {
        size_t parameter = c->parameters[s - 1];
        channel of = channel_of(c, parameter % channels);
        real *y = infl_slot(c->y, s, of.stride);
        memset(y, 0, of.stride * sizeof *y);
        for (size_t i = of.at; i < of.at + of.length; i++)
            y[i] = parameter < channels ? of.inverse * (c->x[0].value[i] - of.mean) : 1;
    }
}

/* Mean and Σ(x − mean)² of the chunk's real rows; or Σ dy and Σ dy x̂. */
static void measure(const infl_layer_call *c, int backward) {
    size_t channels = c->layer->shape.channels;
    double *out = c->training->measured + c->layer->state_offset;
    for (size_t number = 0; number < channels; number++) {
        channel of = channel_of(c, number);
        const real *x = c->x[0].value + of.at;
        double sum = 0, moment = 0;
        if (backward) { /* the cotangents of padding are 0 */
            add_moments(c->dy.value + of.at, x, of.mean, of.length, &sum, &moment);
            out[number] = sum;
            out[channels + number] = moment * (double)of.inverse;
            continue;
        }
        size_t runs = c->valid == c->rows ? 1 : of.length / c->rows, run = c->valid == c->rows ? of.length : c->valid;
        double count = (double)runs * (double)run, unused = 0;
        for (size_t i = 0; i < runs; i++)
            add_moments(NULL, x + i * c->rows, 0, run, &sum, &unused);
        real near = (real)(sum / count);
        sum = 0;
        for (size_t i = 0; i < runs; i++)
            add_moments(NULL, x + i * c->rows, near, run, &sum, &moment);
        out[number] = (double)near + sum / count;
        double squares = moment - sum * sum / count;
        out[channels + number] = squares < 0 ? 0 : squares; /* by rounding; NaN stays */
    }
}

/* dx = γ/√(variance + ε) (dy − Σdy/m − x̂ Σ(dy x̂)/m), with the sums over the batch's m numbers of the channel */
static void backward_in_training(const infl_layer_call *c) {
    size_t channels = c->layer->shape.channels;
    const double *own = c->training->measured + c->layer->state_offset;
    const double *totals = c->training->totals + c->layer->state_offset;
    for (size_t number = 0; number < channels; number++) {
        channel of = channel_of(c, number);
        if (c->gradient != NULL) {
            c->gradient[number] = (real)own[channels + number];
            c->gradient[channels + number] = (real)own[number];
        }
        if (c->dx[0].value == NULL)
            continue;
        const real *restrict x = c->x[0].value + of.at, *restrict dy = c->dy.value + of.at;
        real *restrict dx = c->dx[0].value + of.at;
        size_t pixels = of.length / c->rows;
        double m = c->training->rows * (double)pixels;
        real slope = c->theta[number] * of.inverse, mean_dy = (real)(totals[number] / m);
        real factor = of.inverse * (real)(totals[channels + number] / m);
#define CORRECTED (slope * (dy[i] - mean_dy - factor * (x[i] - of.mean)))
        if (c->accumulate[0])
            for (size_t i = 0; i < of.length; i++)
                dx[i] += CORRECTED;
        else
            for (size_t i = 0; i < of.length; i++)
                dx[i] = CORRECTED;
#undef CORRECTED
        for (size_t i = 0; c->valid < c->rows && i < of.length; i += c->rows)
            memset(dx + i + c->valid, 0, (c->rows - c->valid) * sizeof *dx);
    }
}

static void backward(const infl_layer_call *c) {
    size_t channels = c->layer->shape.channels;
    if (c->training != NULL && !c->training->fixed_statistics) {
        backward_in_training(c);
        return;
    }
    for (size_t s = c->first; s < c->last; s++)
        for (size_t number = 0; number < channels; number++) {
            channel of = channel_of(c, number);
            int tangent = c->mode == INFL_BACKWARD_SECOND && s > 0;
            const real *restrict dy0 = c->dy.value + of.at, *restrict dy = infl_slot(c->dy, s, of.stride) + of.at;
            const real *x = c->x[0].value + of.at;
            if (c->gradient != NULL && s >= c->first_gradient) {
                real *gradient = c->gradient + (s - c->first_gradient) * c->layer->parameters;
                double sum = 0, moment = 0, unused = 0;
                add_moments(dy, x, of.mean, of.length, &sum, &moment);
                if (tangent && c->varying[0])
                    add_moments(dy0, infl_slot(c->x[0], s, of.stride) + of.at, 0, of.length, &unused, &moment);
                gradient[number] = (real)moment * of.inverse;
                gradient[channels + number] = (real)sum;
            }
            if (c->dx[0].value == NULL)
                continue;
            real *restrict dx = infl_slot(c->dx[0], s, of.stride) + of.at;
            real slope = c->theta[number] * of.inverse;
            int moves = tangent && c->tangents != NULL;
            real slope_dot = moves ? c->tangents[(s - 1) * c->stride + number] * of.inverse : 0;
#define EACH(cotangent)                                                                                                \
    if (c->accumulate[0])                                                                                              \
        for (size_t i = 0; i < of.length; i++)                                                                         \
            dx[i] += (cotangent);                                                                                      \
    else                                                                                                               \
        for (size_t i = 0; i < of.length; i++)                                                                         \
        dx[i] = (cotangent)
            if (tangent) {
                EACH(slope * dy[i] + slope_dot * dy0[i]);
            } else {
                EACH(slope * dy[i]);
            }
#undef EACH
        }
}

static void row_gradients(const infl_layer_call *c) {
    size_t rows = c->rows;
    for (size_t unit = 0; unit < c->units; unit++) {
        channel of = channel_of(c, c->unit + unit);
        real *restrict weight = c->gradient + unit * rows, *restrict bias = weight + c->units * rows;
        memset(weight, 0, rows * sizeof *weight);
        memset(bias, 0, rows * sizeof *bias);
        for (size_t i = 0; i < of.length; i += rows) {
            const real *restrict x = c->x[0].value + of.at + i, *restrict dy = c->dy.value + of.at + i;
            for (size_t b = 0; b < rows; b++) {
                weight[b] += dy[b] * (x[b] - of.mean) * of.inverse;
                bias[b] += dy[b];
            }
        }
    }
}

const infl_layer_kind INFL_REAL(layer_batch_norm) = {.name = "batch_norm",
                                                     .n_inputs = 1,
                                                     .shape = shape,
                                                     .tensors = tensors,
                                                     .forward = forward,
                                                     .backward = backward,
                                                     .unit_tangents = unit_tangents,
                                                     .row_gradients = row_gradients,
                                                     .states = states,
                                                     .measure = measure,
                                                     .acts_in_training = 1};

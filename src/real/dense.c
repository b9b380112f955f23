/* y = W x + b, W units × inputs. */
#include "convolve.h"
#include "kernels.h"
#include "layer.h"

#define multiply INFL_REAL(multiply)

static infl_status shape(infl_layer *layer) {
    size_t inputs = layer->in_width[0], units = layer->spec.units;
    if (units > SIZE_MAX / sizeof(double) / (inputs + 1))
        return infl_fail(INFL_E_ARGUMENT, "%zu units on %zu inputs have more parameters than memory can hold", units,
                         inputs);
    layer->shape = (infl_shape){units, 1, 1};
    layer->parameters = units * inputs + (layer->spec.bias ? units : 0);
    layer->keeps_input = layer->keeps_cotangent = 1;
    return INFL_OK;
}

static size_t tensors(const infl_layer *layer, infl_layer_tensor *tensors) {
    size_t inputs = layer->in_width[0], units = layer->width;
    tensors[0] = (infl_layer_tensor){.name = "weight",
                                     .length = units * inputs,
                                     .n_dims = 2,
                                     .dims = {units, inputs},
                                     .fan_in = inputs,
                                     .fan_out = units,
                                     .is_weight = 1};
    if (!layer->spec.bias)
        return 1;
    tensors[1] = (infl_layer_tensor){.name = "bias",
                                     .offset = units * inputs,
                                     .length = units,
                                     .n_dims = 1,
                                     .dims = {units},
                                     .fan_in = inputs,
                                     .fan_out = units};
    return 2;
}

static void add_bias(const infl_layer_call *c, const real *bias, real *y) {
    for (size_t i = 0; i < c->layer->width; i++)
        for (size_t b = 0; b < c->rows; b++)
            y[i * c->rows + b] += bias[i];
}

/* ẏ = W ẋ + V x + ḃ for each slot */
static void forward(const infl_layer_call *c) {
    size_t units = c->layer->width, inputs = c->layer->in_width[0], rows = c->rows, bias = units * inputs;
    for (size_t s = c->first; s < c->last; s++) {
        real *y = infl_slot(c->y, s, units * rows);
        int two = s > 0 && c->varying[0];
        if (two)
            multiply(units, rows, inputs, c->theta, inputs, 1, infl_slot(c->x[0], s, inputs * rows), rows, y, rows, 0);
        if (s > 0 && c->tangents == NULL)
            continue;
        const real *v = s == 0 ? c->theta : c->tangents + (s - 1) * c->stride;
        multiply(units, rows, inputs, v, inputs, 1, c->x[0].value, rows, y, rows, two);
        if (c->layer->spec.bias)
            add_bias(c, v + bias, y);
    }
}

static void unit_tangents(const infl_layer_call *c) {
    size_t units = c->layer->width, inputs = c->layer->in_width[0], rows = c->rows;
    for (size_t s = c->first; s < c->last; s++) {
        size_t parameter = c->parameters[s - 1], bias = units * inputs;
        real *y = infl_slot(c->y, s, units * rows);
        memset(y, 0, units * rows * sizeof *y);
        if (parameter < bias)
            memcpy(y + parameter / inputs * rows, c->x[0].value + parameter % inputs * rows, rows * sizeof *y);
        for (size_t b = 0; parameter >= bias && b < rows; b++)
            y[(parameter - bias) * rows + b] = 1;
    }
}

enum { UNITS_AT_ONCE = 8 };

/* Many inputs: the gradient is summed input by input of the vector registers, else row by row. */
static int many_inputs(size_t inputs) { return inputs >= INFL_LANES; }

/* The inputs of two terms transposed, and the gradients of some units. */
static size_t scratch_bytes(const infl_layer *layer, size_t rows) {
    size_t inputs = layer->in_width[0];
    return many_inputs(inputs) ? (INFL_MAX_TERMS * rows + UNITS_AT_ONCE) * infl_pad_channels(inputs) * sizeof(real) : 0;
}

/* ∂W_s = δ_s x_0ᵀ (+ δ_0 x_sᵀ in the second order) */
static void backward_weights(const infl_layer_call *c, size_t s, real *gradient) {
    size_t units = c->layer->width, inputs = c->layer->in_width[0], rows = c->rows, padded = infl_pad_channels(inputs);
    size_t n_terms = c->mode == INFL_BACKWARD_SECOND && s > 0 && c->varying[0] ? 2 : 1;
    const real *x[INFL_MAX_TERMS] = {c->x[0].value, infl_slot(c->x[0], s, inputs * rows)};
    const real *dy[INFL_MAX_TERMS] = {infl_slot(c->dy, s, units * rows), c->dy.value};
    if (!many_inputs(inputs)) {
        size_t entries[INFL_LANES], columns[INFL_LANES];
        for (size_t j = 0; j < inputs; j++) {
            entries[j] = j * rows;
            columns[j] = j;
        }
        infl_pixel_sums sums = {.m = units,
                                .y_channel = rows,
                                .rows = rows,
                                .n_terms = n_terms,
                                .x = {x[0], x[1]},
                                .y = {dy[0], dy[1]},
                                .pixels = {.count = {1, 1}},
                                .n_entries = inputs,
                                .x_entry = entries,
                                .to_entry = columns,
                                .to_m = inputs,
                                .to = gradient};
        INFL_REAL(pixel_sums)(&sums);
        return;
    }
    real *transposed = c->scratch, *outer = transposed + INFL_MAX_TERMS * rows * padded;
    infl_outer_sums sums = {.y_channel = rows,
                            .channels = inputs,
                            .rows = rows,
                            .n_terms = n_terms,
                            .pixels = {.count = {1, 1}},
                            .to = outer};
    for (size_t term = 0; term < n_terms; term++) {
        sums.x[term] = transposed + term * rows * padded;
        INFL_REAL(transpose_channels)(x[term], inputs, 1, rows, transposed + term * rows * padded);
    }
    for (size_t unit = 0; unit < units; unit += sums.m) {
        sums.m = units - unit < UNITS_AT_ONCE ? units - unit : UNITS_AT_ONCE;
        for (size_t term = 0; term < n_terms; term++)
            sums.y[term] = dy[term] + unit * rows;
        INFL_REAL(outer_sums)(&sums);
        for (size_t i = 0; i < sums.m; i++)
            memcpy(gradient + (unit + i) * inputs, outer + i * padded, inputs * sizeof *gradient);
    }
}

static void backward(const infl_layer_call *c) {
    size_t units = c->layer->width, inputs = c->layer->in_width[0], rows = c->rows, bias = units * inputs;
    for (size_t s = c->first; s < c->last; s++) {
        const real *dy = infl_slot(c->dy, s, units * rows);
        int tangent = c->mode == INFL_BACKWARD_SECOND && s > 0 && c->tangents != NULL;
        if (c->gradient != NULL && s >= c->first_gradient) {
            real *gradient = c->gradient + (s - c->first_gradient) * c->layer->parameters;
            backward_weights(c, s, gradient);
            for (size_t i = 0; c->layer->spec.bias && i < units; i++)
                gradient[bias + i] = INFL_REAL(sum)(dy + i * rows, rows);
        }
        if (c->dx[0].value == NULL)
            continue;
        real *dx = infl_slot(c->dx[0], s, inputs * rows);
        multiply(inputs, rows, units, c->theta, 1, inputs, dy, rows, dx, rows, c->accumulate[0]);
        if (tangent)
            multiply(inputs, rows, units, c->tangents + (s - 1) * c->stride, 1, inputs, c->dy.value, rows, dx, rows, 1);
    }
}

static void row_gradients(const infl_layer_call *c) {
    size_t inputs = c->layer->in_width[0], rows = c->rows;
    real *bias = c->gradient + c->units * inputs * rows;
    for (size_t i = 0; i < c->units; i++) {
        const real *restrict dy = c->dy.value + (c->unit + i) * rows;
        for (size_t j = 0; j < inputs; j++) {
            const real *restrict x = c->x[0].value + j * rows;
            real *restrict out = c->gradient + (i * inputs + j) * rows;
            for (size_t b = 0; b < rows; b++)
                out[b] = dy[b] * x[b];
        }
        if (c->layer->spec.bias)
            memcpy(bias + i * rows, dy, rows * sizeof *dy);
    }
}

const infl_layer_kind INFL_REAL(layer_dense) = {.name = "dense",
                                                .n_inputs = 1,
                                                .shape = shape,
                                                .tensors = tensors,
                                                .forward = forward,
                                                .backward = backward,
                                                .unit_tangents = unit_tangents,
                                                .row_gradients = row_gradients,
                                                .scratch = scratch_bytes};

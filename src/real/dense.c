/* y = W x + b, W units × inputs. */
#include "kernels.h"
#include "layer.h"

#define multiply INFL_REAL(multiply)
#define multiply_transposed INFL_REAL(multiply_transposed)

static infl_status shape(infl_layer *layer) {
    size_t inputs = layer->in_width[0], units = layer->spec.units;
    if (units > SIZE_MAX / sizeof(double) / (inputs + 1))
        return infl_fail(INFL_E_ARGUMENT, "%zu units on %zu inputs have more parameters than memory can hold", units,
                         inputs);
    layer->shape = (infl_shape){units, 1, 1};
    layer->parameters = units * inputs + (layer->spec.bias ? units : 0);
    return INFL_OK;
}

static size_t tensors(const infl_layer *layer, infl_layer_tensor *tensors) {
    size_t inputs = layer->in_width[0], units = layer->width;
    tensors[0] = (infl_layer_tensor){.name = "weight", .length = units * inputs, .n_dims = 2, .dims = {units, inputs},
                                     .fan_in = inputs, .fan_out = units, .is_weight = 1};
    if (!layer->spec.bias)
        return 1;
    tensors[1] = (infl_layer_tensor){.name = "bias", .offset = units * inputs, .length = units, .n_dims = 1,
                                     .dims = {units}, .fan_in = inputs, .fan_out = units};
    return 2;
}

static void add_bias(const infl_layer_call *c, const real *bias, size_t slot) {
    for (size_t i = 0; i < c->layer->width; i++) {
        real *y = c->y + (i * c->slots + slot) * c->rows;
        for (size_t b = 0; b < c->rows; b++)
            y[b] += bias[i];
    }
}

static void forward(const infl_layer_call *c) {
    size_t units = c->layer->width, inputs = c->layer->in_width[0], rows = c->rows;
    size_t x_row = c->x_slots[0] * rows, y_row = c->slots * rows, bias = units * inputs;
    int varying = c->x_slots[0] > 1;
    /* W·[x ẋ₁ … ẋ_k] in one product where the input has tangents */
    size_t last = varying ? c->last : c->first == 0 ? 1 : 0;
    if (last > c->first)
        multiply(units, (last - c->first) * rows, inputs, c->theta, inputs, 1, c->x[0] + c->first * rows, x_row,
                 c->y + c->first * rows, y_row, 0);
    if (c->first == 0 && c->layer->spec.bias)
        add_bias(c, c->theta + bias, 0);
    for (size_t s = c->first > 1 ? c->first : 1; s < c->last; s++) {
        const real *tangent = c->tangents + (s - 1) * c->stride;
        multiply(units, rows, inputs, tangent, inputs, 1, c->x[0], x_row, c->y + s * rows, y_row, varying);
        if (c->layer->spec.bias)
            add_bias(c, tangent + bias, s);
    }
}

static void backward(const infl_layer_call *c) {
    size_t units = c->layer->width, inputs = c->layer->in_width[0], rows = c->rows;
    size_t x_row = c->x_slots[0] * rows, y_row = c->slots * rows, bias = units * inputs;
    int second = c->mode == INFL_BACKWARD_SECOND;
    for (size_t s = c->first; c->gradient != NULL && s < c->last; s++) {
        real *gradient = c->gradient + s * c->stride;
        multiply_transposed(units, rows, inputs, c->dy + s * rows, y_row, c->x[0], x_row, gradient, inputs, 0);
        if (second && s > 0 && c->x_slots[0] > 1)
            multiply_transposed(units, rows, inputs, c->dy, y_row, c->x[0] + s * rows, x_row, gradient, inputs, 1);
        if (c->layer->spec.bias)
            for (size_t i = 0; i < units; i++)
                gradient[bias + i] = INFL_REAL(sum)(c->dy + i * y_row + s * rows, rows);
    }
    if (c->dx[0] == NULL)
        return;
    multiply(inputs, (c->last - c->first) * rows, units, c->theta, 1, inputs, c->dy + c->first * rows, y_row,
             c->dx[0] + c->first * rows, x_row, c->accumulate[0]);
    if (second)
        for (size_t s = c->first > 1 ? c->first : 1; s < c->last; s++)
            multiply(inputs, rows, units, c->tangents + (s - 1) * c->stride, 1, inputs, c->dy, y_row,
                     c->dx[0] + s * rows, x_row, 1);
}

static void row_gradients(const infl_layer_call *c) {
    size_t units = c->layer->width, inputs = c->layer->in_width[0], rows = c->rows;
    real *weight = c->gradient, *bias = c->gradient + units * inputs * rows;
    for (size_t i = 0; i < units; i++) {
        const real *dy = c->dy + i * c->slots * rows;
        for (size_t j = 0; j < inputs; j++) {
            const real *x = c->x[0] + j * c->x_slots[0] * rows;
            real *out = weight + (i * inputs + j) * rows;
            for (size_t b = 0; b < rows; b++)
                out[b] = dy[b] * x[b];
        }
        if (c->layer->spec.bias)
            memcpy(bias + i * rows, dy, rows * sizeof *dy);
    }
}

const infl_layer_kind INFL_REAL(layer_dense) = {"dense", 1, shape, tensors, forward, backward, row_gradients};

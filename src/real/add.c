/* y = a + b. An input that depends on no parameter has no tangents to add. */
#include "layer.h"

static infl_status shape(infl_layer *layer) {
    infl_shape a = layer->in_shape[0], b = layer->in_shape[1];
    if (a.channels != b.channels || a.height != b.height || a.width != b.width)
        return infl_fail(INFL_E_ARGUMENT, "a has %zu×%zu×%zu outputs and b has %zu×%zu×%zu; they must be the same",
                         a.channels, a.height, a.width, b.channels, b.height, b.width);
    layer->shape = a;
    return INFL_OK;
}

static void forward(const infl_layer_call *c) {
    for (size_t i = 0; i < c->layer->width; i++)
        for (size_t s = c->first; s < c->last; s++) {
            real *restrict y = c->y + (i * c->slots + s) * c->rows;
            memset(y, 0, c->rows * sizeof *y);
            for (size_t input = 0; input < 2; input++) {
                if (s >= c->x_slots[input])
                    continue;
                const real *restrict x = c->x[input] + (i * c->x_slots[input] + s) * c->rows;
                for (size_t b = 0; b < c->rows; b++)
                    y[b] += x[b];
            }
        }
}

static void backward(const infl_layer_call *c) {
    for (size_t input = 0; input < 2; input++) {
        if (c->dx[input] == NULL)
            continue;
        for (size_t i = 0; i < c->layer->width; i++)
            for (size_t s = c->first; s < c->last; s++) {
                const real *restrict dy = c->dy + (i * c->slots + s) * c->rows;
                real *restrict dx = c->dx[input] + (i * c->slots + s) * c->rows;
                if (c->accumulate[input])
                    for (size_t b = 0; b < c->rows; b++)
                        dx[b] += dy[b];
                else
                    memcpy(dx, dy, c->rows * sizeof *dx);
            }
    }
}

const infl_layer_kind INFL_REAL(layer_add) = {"add", 2, shape, NULL, forward, backward, NULL};

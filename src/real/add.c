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
    size_t length = c->layer->width * c->rows;
    for (size_t s = c->first; s < c->last; s++) {
        real *restrict y = infl_slot(c->y, s, length);
        int begun = 0;
        for (size_t input = 0; input < 2; input++) {
            if (s > 0 && !c->varying[input])
                continue;
            const real *restrict x = infl_slot(c->x[input], s, length);
            for (size_t i = 0; i < length; i++)
                y[i] = begun ? y[i] + x[i] : x[i];
            begun = 1;
        }
    }
}

static void backward(const infl_layer_call *c) {
    size_t length = c->layer->width * c->rows;
    for (size_t input = 0; input < 2; input++)
        for (size_t s = c->first; c->dx[input].value != NULL && s < c->last; s++) {
            const real *restrict dy = infl_slot(c->dy, s, length);
            real *restrict dx = infl_slot(c->dx[input], s, length);
            if (c->accumulate[input])
                for (size_t i = 0; i < length; i++)
                    dx[i] += dy[i];
            else
                memcpy(dx, dy, length * sizeof *dx);
        }
}

const infl_layer_kind INFL_REAL(layer_add) = {
    .name = "add", .n_inputs = 2, .shape = shape, .forward = forward, .backward = backward};

/*
 * Dropout (Srivastava et al. 2014), scaled while training: y = x·mask/(1 − rate), and the identity elsewhere. An element's
 * mask is a function of (seed, step, layer, source row, place in the row), so no other row nor thread has a part in it.
 */
#include "../random.h"
#include "layer.h"

static infl_status shape(infl_layer *layer) {
    layer->shape = layer->in_shape[0];
    return INFL_OK;
}

/* y = x·mask/(1 − rate) for one place in the rows; forwards and backwards alike */
static void drop(const infl_layer_call *c, size_t place, const real *x, real *y, int accumulate) {
    const infl_training *training = c->training;
    double rate = c->layer->spec.rate;
    real scale = (real)(1 / (1 - rate));
    uint64_t stream = (uint64_t)INFL_STREAM_DROPOUT | (uint64_t)c->layer->index << 8 | training->step << 24;
    for (size_t b = 0; b < c->rows; b++) {
        /* padding repeats the last row, here as well */
        uint64_t row = (uint64_t)training->source_rows[b < c->valid ? b : c->valid - 1];
        int kept = infl_random_uniform(training->seed, stream, row * c->layer->width + place) >= rate;
        real value = kept ? scale * x[b] : 0;
        y[b] = accumulate ? y[b] + value : value;
    }
}

static void forward(const infl_layer_call *c) {
    size_t width = c->layer->width, length = width * c->rows;
    for (size_t i = 0; c->training != NULL && i < width; i++)
        drop(c, i, c->x[0].value + i * c->rows, c->y.value + i * c->rows, 0);
    for (size_t s = c->first; c->training == NULL && s < c->last; s++)
        memcpy(infl_slot(c->y, s, length), infl_slot(c->x[0], s, length), length * sizeof(real));
}

static void backward(const infl_layer_call *c) {
    size_t width = c->layer->width, length = width * c->rows;
    if (c->dx[0].value == NULL)
        return;
    for (size_t i = 0; c->training != NULL && i < width; i++)
        drop(c, i, c->dy.value + i * c->rows, c->dx[0].value + i * c->rows, c->accumulate[0]);
    for (size_t s = c->first; c->training == NULL && s < c->last; s++) {
        const real *restrict dy = infl_slot(c->dy, s, length);
        real *restrict dx = infl_slot(c->dx[0], s, length);
        if (c->accumulate[0])
            for (size_t i = 0; i < length; i++)
                dx[i] += dy[i];
        else
            memcpy(dx, dy, length * sizeof *dx);
    }
}

const infl_layer_kind INFL_REAL(layer_dropout) = {
    .name = "dropout", .n_inputs = 1, .shape = shape, .forward = forward, .backward = backward, .acts_in_training = 1};

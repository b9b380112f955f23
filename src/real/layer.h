/* What a layer's functions are called with. */
#ifndef INFL_LAYER_H
#define INFL_LAYER_H

#include "../network.h"
#include "real.h"

/* A call on one chunk. Arrays as in network.h; those of a layer's parameters begin at the layer. */
typedef struct infl_layer_call {
    const infl_layer *layer;
    size_t rows, valid; /* B, padded; those that are no padding */
    size_t first, last; /* slots to compute */
    void *scratch;      /* as much as the kind asks for, aligned */
    const real *theta;
    const real *tangents; /* slot s ≥ 1: tangents + (s−1)·stride; NULL: the layer's own parameters have none */
    size_t stride;        /* from one tangent to the next */
    const double *state;  /* layer->state numbers: running statistics, in training the batch's */
    const infl_training *training; /* NULL: evaluation */
    infl_slots x[INFL_MAX_INPUTS];
    const size_t *parameters;     /* unit_tangents only: of slot s ≥ 1 parameters[s−1] */
    int varying[INFL_MAX_INPUTS]; /* whether the input has tangents */
    infl_slots y;
    real *aux; /* layer->aux×B */
    /* backward only */
    infl_backward_mode mode;
    infl_slots dy;
    infl_slots dx[INFL_MAX_INPUTS];  /* value NULL: not wanted */
    int accumulate[INFL_MAX_INPUTS]; /* add to dx instead of overwriting it */
    size_t first_gradient;           /* of which slots the gradient is wanted: these .. last−1 */
    real *gradient;                  /* slot s: gradient + (s − first_gradient)·parameters, overwritten; NULL: not
                                         wanted */
    size_t unit, units;              /* row_gradients: of these entries of every tensor's first dimension; gradient is
                                         then tensor after tensor, each (its share of units)×B */
} infl_layer_call;

extern const infl_layer_kind INFL_REAL(layer_dense), INFL_REAL(layer_activation), INFL_REAL(layer_add),
    INFL_REAL(layer_conv2d), INFL_REAL(layer_max_pool), INFL_REAL(layer_average_pool), INFL_REAL(layer_batch_norm),
    INFL_REAL(layer_dropout);

#endif

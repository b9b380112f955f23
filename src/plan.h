/*
 * Where the arrays of a pass through a network lie in its workspace: arrays that are never alive at the same time share
 * memory. An array's place and size are counted in numbers a row of the chunk.
 */
#ifndef INFL_PLAN_H
#define INFL_PLAN_H

#include "network.h"

/* What is asked of a pass. */
typedef struct infl_pass {
    size_t rows;       /* at most, in a chunk */
    size_t values;     /* slots at most: 1 + k with tangents */
    size_t cotangents; /* likewise; 0: no backward pass follows */
    size_t gradients;  /* slots of which the gradient is asked for */
    int keep;          /* what passes of other tangents need of slot 0 is kept, apart from the workspace */
    int row_gradients; /* gradients of single rows are asked for */
    size_t products;   /* and their products with so many vectors */
    size_t converted;  /* tangents that are converted layer by layer */
} infl_pass;

/* Where an array begins, in the workspace or in what is kept. */
typedef struct infl_place {
    size_t at;
    int kept;
} infl_place;

typedef struct infl_plan {
    infl_pass pass;
    size_t numbers;      /* of all arrays together, a row */
    size_t gradient;     /* parameters of the largest layer */
    size_t row_gradient; /* of those units of a layer that are formed at once */
    size_t scratch;      /* bytes, for the kernels */
    int borrows;         /* workspaces have no scratch and no room for gradients of their own: they are lent some */
    size_t kept;         /* numbers a row of what is kept */
    struct {
        infl_place value, value_tangents, cotangent, cotangent_tangents, aux;
    } node[];
} infl_plan;

infl_status infl_plan_create(infl_plan **out, const infl_network *network, const infl_engine *engine,
                             const infl_pass *pass);
void infl_plan_destroy(infl_plan *plan);

/* The units of a layer whose gradients of single rows are formed at once; every tensor's first dimension is the units. */
size_t infl_plan_units(const infl_layer *layer, const infl_layer_kind *kind, size_t *all_units);

#endif

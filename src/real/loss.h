/*
 * Losses of a chunk as functions of the network's C outputs. `curvature` is what a loss keeps for products with its
 * Hessian, C×B; rows of padding have targets, cotangents and curvature of zero effect.
 */
#ifndef INFL_REAL_LOSS_H
#define INFL_REAL_LOSS_H

#include "../error.h"
#include "real.h"

typedef struct infl_loss_call {
    size_t outputs; /* C */
    size_t rows;    /* B, padded */
    size_t valid;   /* rows that count */
    real temperature;
    infl_slots f;         /* C×B a slot */
    const real *targets;  /* class losses: B class indices; else C×B */
    infl_slots cotangent; /* likewise */
    real *curvature;      /* C×B */
    double *losses;       /* `valid` numbers, or NULL */
} infl_loss_call;

typedef struct infl_loss_function {
    /* slot 0 of the cotangent, curvature, and losses when asked for */
    void (*evaluate)(const infl_loss_call *call);
    /* slots 1..k of the cotangent ← (∇²_f ℓ) times slots 1..k of f */
    void (*product)(const infl_loss_call *call, size_t k);
    /* slot 0 of the cotangent ← column `column` of L, L·Lᵀ = ∇²_f ℓ; after evaluate, columns in any order */
    void (*factor)(const infl_loss_call *call, size_t column);
} infl_loss_function;

const infl_loss_function *INFL_REAL(loss_function)(infl_loss_kind kind);

#endif

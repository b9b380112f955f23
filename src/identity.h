/* What numbers depend on, as 128-bit hashes: whether something kept belongs to an objective is decided by these. */
#ifndef INFL_IDENTITY_H
#define INFL_IDENTITY_H

#include "hash.h"

typedef struct infl_identity {
    uint64_t model[2]; /* graph, precision, θ, state */
    uint64_t data[2];  /* rows in order, targets, loss, decay */
} infl_identity;

/*
 * The same for objectives whose numbers are the same: in another process or by other arrays, views or files, with any
 * threads, budgets and instruction set. Of a custom objective's data its losses are what is known.
 */
infl_status infl_objective_identity(infl_objective *objective, infl_identity *out);

#endif

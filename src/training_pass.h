/*
 * Rows through a network as training sees them, where layers need the batch as a whole: all its chunks are resident, and
 * go forwards and backwards together from one such layer to the next. What they measure of the batch, and the gradient,
 * is merged in the order of the chunks, which do not depend on the number of threads.
 */
#ifndef INFL_TRAINING_PASS_H
#define INFL_TRAINING_PASS_H

#include "network.h"
#include "plan.h"

typedef struct infl_training_pass {
    infl_model *model;           /* borrowed */
    const infl_dataset *dataset; /* borrowed */
    infl_loss loss;
    int threads;
    size_t budget; /* bytes; 0: no limit */
    /* kept from step to step */
    infl_plan *plan;
    void *memory;
    size_t bytes;
    size_t chunks; /* workspaces laid out */
} infl_training_pass;

/* The rows that a batch must have where a layer acts otherwise in training; 0: none does. With fixed statistics those
 * that have some do not. */
size_t infl_training_least_rows(const infl_model *model, int fixed_statistics);

/* Σ ∇ℓ_i over the n rows to gradient (p), and the batch's share to the model's running statistics. step: of the
 * random numbers. */
infl_status infl_training_pass_run(infl_training_pass *pass, const size_t *rows, size_t n,
                                   const infl_training_step *step, double *gradient);
void infl_training_pass_release(infl_training_pass *pass);

#endif

/* Options of training, checked once for training itself and for retraining. */
#ifndef INFL_TRAIN_H
#define INFL_TRAIN_H

#include "error.h"

/* The defaults overwritten by what is given (NULL: nothing), checked; `function` begins the sentence of an error. */
infl_status infl_train_read_options(infl_train_options *options, const infl_train_options *given, const char *function);
/* p: of the objective to be polished, which a preconditioner must fit */
infl_status infl_polish_read_options(infl_polish_options *options, const infl_polish_options *given, size_t p,
                                     const char *function);

/*
 * infl_train in the batches of another objective, `parent`, of the same source, of whose rows the objective's are some,
 * in order: each batch is one of the parent's less the rows that the objective lacks. A step whose batch has no row
 * left, or fewer than batch normalisation needs, is counted but not taken: θ, the state and the optimiser's memory
 * stay.
 */
infl_status infl_train_in_batches_of(const infl_objective *parent, infl_objective *objective,
                                     const infl_train_options *options, infl_train_result *result);

#endif

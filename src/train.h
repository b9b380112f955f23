/* Options of training, checked once for training itself and for retraining. */
#ifndef INFL_TRAIN_H
#define INFL_TRAIN_H

#include "error.h"

/* The defaults overwritten by what is given (NULL: nothing), checked; `function` begins the sentence of an error. */
infl_status infl_train_read_options(infl_train_options *options, const infl_train_options *given,
                                    const char *function);
infl_status infl_polish_read_options(infl_polish_options *options, const infl_polish_options *given,
                                     const char *function);

#endif

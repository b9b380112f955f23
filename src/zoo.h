/* What the networks of the zoo are called in PyTorch, module by module. */
#ifndef INFL_ZOO_H
#define INFL_ZOO_H

#include "error.h"

enum { INFL_MODULE_NAMES = 2, INFL_MODULE_NAME_BYTES = 96 };

/* A layer with parameters. */
typedef struct infl_module {
    int kind;                                              /* of layer */
    char names[INFL_MODULE_NAMES][INFL_MODULE_NAME_BYTES]; /* the usual one, and one that is met as well or "" */
    char place[INFL_MODULE_NAME_BYTES];                    /* in an nn.Sequential of all modules */
} infl_module;

/* Those of a network in the order of θ, to be released. batch_norm as in infl_zoo_options. */
infl_status infl_zoo_modules(infl_module **out, size_t *n, infl_zoo_network network, int batch_norm);

#endif

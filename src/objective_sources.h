/* Where an objective's sums over rows come from: a network, or the caller's callbacks. */
#ifndef INFL_OBJECTIVE_SOURCES_H
#define INFL_OBJECTIVE_SOURCES_H

#include "objective.h"

extern const infl_source_ops infl_network_source, infl_custom_source;

/* The arguments have been checked to fit each other. */
infl_status infl_network_source_create(void **out, infl_model *model, const infl_loss *loss, const infl_dataset *dataset,
                                       int threads, size_t budget, size_t keep_budget);
infl_status infl_custom_source_create(void **out, const infl_custom_objective *custom, const double *theta,
                                      size_t budget);

#endif

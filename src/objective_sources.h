/* Where an objective's sums over rows come from: a network, or the caller's callbacks; or either as a function of some
 * of its parameters. */
#ifndef INFL_OBJECTIVE_SOURCES_H
#define INFL_OBJECTIVE_SOURCES_H

#include "objective.h"

extern const infl_source_ops infl_network_source, infl_custom_source, infl_restricted_source;

/* The arguments have been checked to fit each other. */
infl_status infl_network_source_create(void **out, infl_model *model, const infl_loss *loss,
                                       const infl_dataset *dataset, int threads, size_t budget, size_t keep_budget);
infl_status infl_custom_source_create(void **out, const infl_custom_objective *custom, const double *theta,
                                      size_t budget);
/* Of q of the inner source's p parameters, ascending; owns the inner source, unless it fails. */
infl_status infl_restricted_source_create(void **out, const infl_source_ops *ops, void *inner, size_t p,
                                          const size_t *parameters, size_t q);

/* Of n whole vectors of p numbers, how many are held at once where two arrays of them have 64 MiB: at least one. p > 0 */
static inline size_t infl_vectors_at_once(size_t p, size_t n) {
    size_t most = ((size_t)32 << 20) / sizeof(double) / p; /* NOLINT(clang-analyzer-core.DivideZero) */
    return most == 0 ? 1 : most < n ? most : n;
}

/* Where the numbers come from in the end: the ops of a restricted source's inner one, else the source's own. */
const infl_source_ops *infl_innermost_source(const infl_source_ops *ops, const void *source);

/* Which parameters of its inner source a restricted one is of; NULL: the source is not restricted. */
const size_t *infl_restricted_parameters(const infl_source_ops *ops, const void *source);

#endif

/* What score files see of influence functions. */
#ifndef INFL_ATTRIBUTION_H
#define INFL_ATTRIBUTION_H

#include "inverse.h"
#include "objective.h"

struct infl_influence {
    infl_objective *train; /* borrowed */
    infl_inverse *inverse; /* borrowed */
    infl_influence_options options;
    size_t n, p;
};

/* Whether the gradient g(z) of a training row includes the decay: as the options say, else as the quantity has it. */
int infl_influence_includes_decay(const infl_influence *influence, infl_decay_in_gradient otherwise);

/* Removing a row takes its share out of a mean over n rows, or leaves a mean over n−1. */
infl_status infl_influence_removal_scale(const infl_influence *influence, const char *function, double *scale);

/* ‖g(z)‖ of each row, from above by what rounding may have done to it. */
infl_status infl_influence_gradient_norms(const infl_influence *influence, const size_t *rows, size_t n, int with_decay,
                                          double *norms);

/*
 * How far gᵀx is from gᵀ(C + λI)⁻¹b at most, for a g with ‖g‖ = 1: by the solve, and by gradients and dot products in
 * the given precision. norms: of x − (C + λI)⁻¹b itself, where b alone was computed.
 */
double infl_score_bound(const infl_solve_report *report, infl_precision precision, int norms);

#endif

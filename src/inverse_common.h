/* What the methods share: how they report progress and how they refuse an operator. */
#ifndef INFL_INVERSE_COMMON_H
#define INFL_INVERSE_COMMON_H

#include "inverse.h"

/* INFL_E_CANCELLED when the callback (if there is one) asks for it. */
infl_status infl_inverse_progress(const infl_inverse *inverse, const char *stage, size_t done, size_t total);

/*
 * INFL_E_INDEFINITE, with a sentence that says what was found and which damping would do: the one that lifts
 * lambda_min, the smallest eigenvalue of C + λI, above cutoff × largest, the largest magnitude.
 */
infl_status infl_inverse_indefinite(const infl_inverse *inverse, const char *function, const char *found,
                                    double lambda_min, double largest, double cutoff);

#endif

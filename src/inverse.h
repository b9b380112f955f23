/* The seam of the inverses: prepare once, solve for k right-hand sides, report. */
#ifndef INFL_INVERSE_H
#define INFL_INVERSE_H

#include "curvature.h"

typedef struct infl_inverse_ops {
    const char *name;
    infl_status (*prepare)(infl_inverse *inverse); /* sets inverse->state */
    void (*release)(void *state);                  /* NULL-safe */
    /*
     * Fills solutions (k×p, apart from right_sides) and of each report iterations, products, lambda_min and
     * lambda_max where known. residual, damping and converged are inverse.c's: it measures them with the full operator.
     */
    infl_status (*solve)(infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                         infl_solve_report *reports);
} infl_inverse_ops;

struct infl_inverse {
    const infl_inverse_ops *ops;
    infl_curvature *curvature; /* borrowed */
    infl_inverse_options options;
    void *state;
};

/* INFL_E_CANCELLED when the caller's callback (if there is one) asks for it. */
infl_status infl_inverse_progress(const infl_inverse *inverse, const char *stage, size_t done, size_t total);

/*
 * INFL_E_INDEFINITE, with a sentence that says what was found and which damping would do: the one that lifts
 * lambda_min, the smallest eigenvalue of C + λI, above cutoff × largest, the largest magnitude.
 */
infl_status infl_inverse_indefinite(const infl_inverse *inverse, const char *found, double lambda_min, double largest,
                                    double cutoff);

/* The dense C + λI, to be released; progress and cancelling are the inverse's. */
infl_status infl_inverse_dense(const infl_inverse *inverse, double **matrix);

extern const infl_inverse_ops infl_inverse_cholesky, infl_inverse_eigen, infl_inverse_cg, infl_inverse_lissa;

#endif

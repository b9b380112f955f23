/* The seam of the inverses: prepare once, solve for k right-hand sides, report. */
#ifndef INFL_INVERSE_H
#define INFL_INVERSE_H

#include "curvature.h"

typedef struct infl_inverse_ops {
    const char *name;
    infl_status (*prepare)(infl_inverse *inverse); /* sets inverse->state */
    /* what was prepared in a file, and from one (as prepare); NULL where there is nothing worth keeping */
    infl_status (*save)(const infl_inverse *inverse, infl_saved *saved, const char *path);
    infl_status (*load)(infl_inverse *inverse, infl_safetensors *file, const infl_saved *saved);
    void (*release)(void *state); /* NULL-safe */
    /*
     * Only reads what was prepared: any number of threads may solve at once. Fills solutions (k×p, apart from
     * right_sides) and of each report iterations, products, lambda_min and lambda_max where known. residual, damping and
     * converged are inverse.c's: it measures them with the full operator.
     */
    infl_status (*solve)(const infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                         infl_solve_report *reports);
    size_t (*budget)(const infl_inverse *inverse); /* iterations of a solve at most; NULL: it does not iterate */
    /* Why right-hand side j did not converge: an error that says it, or INFL_OK where that is not known; or NULL. */
    infl_status (*explain)(const infl_inverse *inverse, size_t j, const infl_solve_report *report);
} infl_inverse_ops;

/* What sentences call the right-hand sides of a solve. */
typedef struct infl_solve_names {
    const char *noun;
    const size_t *numbers; /* one for each; NULL: their positions */
} infl_solve_names;

struct infl_inverse {
    const infl_inverse_ops *ops;
    infl_curvature *curvature; /* borrowed */
    infl_inverse_options options;
    void *state;
    double *point;  /* θ, state of the objective when this was prepared; NULL: the curvature depends on none */
    double damping; /* likewise */
    /* for the certificates; prepare's and load's to set where they know better than NAN, NAN and F64 */
    double floor;           /* what no eigenvalue of C + λI is below in magnitude */
    double norm;            /* ‖C + λI‖_F at most; NAN: twice what a solve saw of the spectrum stands for it */
    infl_precision passes;  /* that the matrix which was prepared comes from */
    infl_solve_names names; /* in the copy of this struct that a solve works with */
};

/* infl_inverse_solve, its right-hand sides called so. */
infl_status infl_inverse_solve_named(const infl_inverse *of, infl_solve_names names, const double *right_sides,
                                     size_t k, double *solutions, infl_solve_report *reports);

/*
 * out[j] = the prepared factor's answer for x_j, k×p each and apart: no certificate, no look at the curvature or its
 * objective, whatever θ has become. Of the exact methods; safe on several threads at once.
 */
infl_status infl_inverse_apply(const infl_inverse *inverse, const double *x, size_t k, double *out);

/* INFL_E_ARGUMENT, saying why, unless infl_inverse_apply is for it and its matrix is positive definite. */
infl_status infl_inverse_check_definite(const infl_inverse *inverse);

/* The number of a right-hand side in sentences. */
size_t infl_inverse_number(const infl_inverse *inverse, size_t j);

/* INFL_E_CANCELLED when the caller's callback (if there is one) asks for it. */
infl_status infl_inverse_progress(const infl_inverse *inverse, const char *stage, size_t done, size_t total);

/*
 * INFL_E_INDEFINITE, with a sentence that says what was found and which damping would do: the one that lifts
 * lambda_min, the smallest eigenvalue of C + λI, above cutoff × largest, the largest magnitude.
 */
infl_status infl_inverse_indefinite(const infl_inverse *inverse, const char *found, double lambda_min, double largest,
                                    double cutoff);

/* An extreme eigenvalue of C + λI by Lanczos, for such a sentence. */
infl_status infl_inverse_extreme(const infl_inverse *inverse, int largest, double *eigenvalue);

/* The dense C + λI, to be released; progress and cancelling are the inverse's. Sets inverse->passes. */
infl_status infl_inverse_dense(infl_inverse *inverse, double **matrix);

extern const infl_inverse_ops infl_inverse_cholesky, infl_inverse_eigen, infl_inverse_cg, infl_inverse_lissa;

#endif

/* Operators A = C + λI, and what the inverses see of them. */
#ifndef INFL_CURVATURE_H
#define INFL_CURVATURE_H

#include "saved.h"

typedef struct infl_curvature_ops {
    void (*destroy)(void *self);
    /* out[j] = C v_j; rows (n of them) asks for the stochastic estimate over those rows, NULL for all */
    infl_status (*product)(void *self, const size_t *rows, size_t n, const double *vectors, size_t k, double *out);
    /* C, exactly symmetric, with progress in columns (stage "dense"); NULL: by p products */
    infl_status (*dense)(void *self, infl_progress_fn progress, void *context, double *matrix);
    infl_status (*form)(void *self, const infl_dense_options *options, double *matrix, infl_dense_report *report);
    infl_status (*point)(const void *self, double *point); /* θ and state that C depends on; NULL: on none */
    /* kind, n and identity for a file; NULL: nothing of it can be kept */
    infl_status (*describe)(const void *self, infl_saved *saved);
} infl_curvature_ops;

struct infl_curvature {
    const infl_curvature_ops *ops;
    void *self;
    size_t p;
    size_t n_point;  /* numbers that C depends on: θ, parameters that are constants, the model's state if it has one */
    size_t n_others; /* of them: parameters that are constants */
    size_t n_rows;   /* rows that a stochastic estimate may draw from; 0 where there are none (a plain matrix) */
    int threads;     /* for products with the formed matrix */
    double *formed, *formed_point; /* C, and the θ and state it is of; NULL: it was not formed */
    double damping;
    int automatic;                /* the damping was found, not given */
    double floor;                 /* what no eigenvalue of C is below, from theory; NaN where nothing is known */
    infl_precision passes;        /* that products are computed in, */
    infl_precision formed_passes; /* and that the formed matrix was */
    const char *remedy;           /* what a sentence about an indefinite C advises before a damping; "": nothing */
};

/* (C_S + λI) v_j with C_S over the given rows only. rows NULL: all. */
infl_status infl_curvature_product_rows(infl_curvature *curvature, const size_t *rows, size_t n, const double *vectors,
                                        size_t k, double *out);

/* Random rows that stand for all; rows NULL: all of them. */
typedef struct infl_sample {
    size_t *rows; /* owned */
    size_t n;     /* how many there are; of all rows n too */
} infl_sample;

/* `count` of the rows, without replacement; all where that is 0, there are no more, or products with all are cheaper. */
infl_status infl_curvature_sample(const infl_curvature *curvature, size_t count, uint64_t seed, infl_sample *out);

/* Rows of the samples that spectra are estimated over. */
#define INFL_SPECTRUM_ROWS ((size_t)1000)

/* The ends of a spectrum, and how far an eigenvalue may be from each: ‖Av − θv‖ of the Ritz pair. */
typedef struct infl_extremes {
    double low, high, low_error, high_error;
} infl_extremes;

/*
 * How well the ends are to be known. tolerance: both errors, relative to the largest magnitude. The smallest eigenvalue is
 * mostly a thousandth of that or less, among many others: with floor > 0 its error is to be within a tenth of itself or of
 * floor × the largest magnitude, whichever is more, and it has to have moved less in the last quarter of the products, of
 * which there are no fewer than 30, as a Ritz value may pause at an eigenvalue that is not the smallest.
 */
typedef struct infl_extremes_goal {
    double tolerance, floor;
    size_t most; /* products; the goal may be missed then, and the errors say so */
} infl_extremes_goal;

/*
 * Of C_S + λI by Lanczos, S the sample. Progress as stage "prepare".
 */
infl_status infl_curvature_extremes(infl_curvature *curvature, const infl_sample *sample, uint64_t seed,
                                    const infl_extremes_goal *goal, infl_progress_fn progress, void *context,
                                    infl_extremes *out);

/* How far a number computed by passes in this precision may be off, relative to the sizes of what it is made from. */
double infl_rounding(infl_precision passes);
/* The passes that C, as a matrix or in products, comes from now. */
infl_precision infl_curvature_passes(const infl_curvature *curvature);
/* ‖computed (C + λI)x − (C + λI)x‖ over ‖C + λI‖_F ‖x‖, at most. */
double infl_curvature_rounding(const infl_curvature *curvature);

/* θ and state, to be released also on failure; NULL where C depends on none. */
infl_status infl_curvature_read_point(const infl_curvature *curvature, double **point);
/* INFL_E_ARGUMENT where they are others by now: "theta has changed since <since> (...); <remedy>". */
infl_status infl_curvature_check_point(const infl_curvature *curvature, const double *point, const char *since,
                                       const char *remedy);

/* kind, damping, n, p and identity, for a file of something made of the curvature as it is now. INFL_E_UNSUPPORTED. */
infl_status infl_curvature_describe(const infl_curvature *curvature, infl_saved *saved);

/* infl_curvature_dense, its columns reported as stage "dense"; a failure may leave part of an answer in matrix. */
infl_status infl_curvature_fill_dense(infl_curvature *curvature, infl_progress_fn progress, void *context,
                                      double *matrix);

#endif

/* Operators A = C + λI, and what the inverses see of them. */
#ifndef INFL_CURVATURE_H
#define INFL_CURVATURE_H

#include "error.h"

typedef struct infl_curvature_ops {
    void (*destroy)(void *self);
    /* out[j] = C v_j; rows (n of them) asks for the stochastic estimate over those rows, NULL for all */
    infl_status (*product)(void *self, const size_t *rows, size_t n, const double *vectors, size_t k, double *out);
    infl_status (*dense)(void *self, double *matrix); /* C, exactly symmetric; NULL: by p products */
    infl_status (*point)(const void *self, double *point); /* θ and state that C depends on; NULL: on none */
} infl_curvature_ops;

struct infl_curvature {
    const infl_curvature_ops *ops;
    void *self;
    size_t p;
    size_t n_point; /* numbers that C depends on: θ, and the state of a model that has one */
    size_t n_rows; /* rows that a stochastic estimate may draw from; 0 where there are none (a plain matrix) */
    double damping;
    const char *remedy; /* what a sentence about an indefinite C advises before a damping; "": nothing */
};

/* (C_S + λI) v_j with C_S over the given rows only. rows NULL: all. */
infl_status infl_curvature_product_rows(infl_curvature *curvature, const size_t *rows, size_t n, const double *vectors,
                                        size_t k, double *out);

/* infl_curvature_dense, its columns reported as stage "prepare"; a failure may leave part of an answer in matrix. */
infl_status infl_curvature_fill_dense(infl_curvature *curvature, infl_progress_fn progress, void *context,
                                      double *matrix);

#endif

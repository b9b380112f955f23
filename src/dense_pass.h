/*
 * The dense curvature of a network, summed over rows, chunk by chunk.
 *
 * The Hessian: unit vectors of one layer's parameters after another go through the network as tangents. What lies
 * before the layer has no tangents, and the matrix is symmetric, so each such pass begins at its layer and gives the
 * rows from there on; the value pass of a chunk serves all of them.
 *
 * Gauss–Newton and empirical Fisher are sums of squares, Σ_i J_iᵀ L_i L_iᵀ J_i with LLᵀ = ∇²_f ℓ (C columns) or with
 * L = ∇_f ℓ (one): the rows L_iᵀ J_i of a chunk are gathered, and the matrix gets their Gram matrix.
 */
#ifndef INFL_DENSE_PASS_H
#define INFL_DENSE_PASS_H

#include "network.h"

typedef struct infl_dense_job {
    const infl_model *model;
    const infl_dataset *dataset;
    infl_loss loss;
    infl_curvature_kind kind;
    const size_t *rows; /* n of the dataset */
    size_t n;
    const size_t *parameters; /* q, ascending: whose rows and columns */
    size_t q;
    int threads;
    size_t budget;             /* bytes of workspace, the matrix not counted; 0: no limit */
    double *matrix;            /* q×q, zeros at first */
    infl_progress_fn progress; /* stage "dense", in columns */
    void *progress_context;
} infl_dense_job;

/* Exactly symmetric. Sums are in double precision, in the order of the chunks. */
infl_status infl_dense_pass_run(const infl_dense_job *job);

#endif

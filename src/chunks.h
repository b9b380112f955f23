/*
 * Rows through a network, chunk by chunk: the parallel loop, its workspace and the order of its sums, once for all
 * quantities that a network can give.
 *
 * The rows are cut into chunks, whose sums are added in their order, a layer at a time; the k vectors are cut into blocks.
 * Chunks do not depend on the number of threads, which only share the work out; what blocks and threads depend on, the
 * memory budget, changes no bit of the results.
 */
#ifndef INFL_CHUNKS_H
#define INFL_CHUNKS_H

#include <stdatomic.h>

#include "network.h"
#include "plan.h"

typedef enum infl_chunk_work {
    INFL_WORK_OUTPUTS,            /* output n×C                                                        */
    INFL_WORK_OUTPUT_TANGENTS,    /* input k×p; output k×n×C                                           */
    INFL_WORK_COTANGENTS,         /* input k×n×C; output k×p, a sum over rows                          */
    INFL_WORK_LOSSES,             /* output n                                                          */
    INFL_WORK_ROW_GRADIENTS,      /* output n×p                                                        */
    INFL_WORK_ROW_NORMS,          /* output n: squares                                                 */
    INFL_WORK_ROW_PRODUCTS,       /* input k×p; output n×k                                             */
    INFL_WORK_WEIGHTED_GRADIENTS, /* input k×n weights or NULL (k = 1, ones); output k×p; losses too    */
    INFL_WORK_HESSIAN,            /* input k×p; output k×p, sums over rows                             */
    INFL_WORK_GAUSS_NEWTON,
    INFL_WORK_FISHER,
} infl_chunk_work;

typedef struct infl_chunk_job {
    infl_chunk_work work;
    const size_t *rows; /* of the dataset */
    size_t n;
    const double *input;
    size_t k;
    double *output;
    double *losses;                 /* n, or NULL */
    const infl_training_step *step; /* sums of gradients: whose images these are; NULL: as they are stored */
} infl_chunk_job;

/* How a job is cut up, and the memory it takes: workspaces, tangents, turns. */
typedef struct infl_schedule {
    infl_chunk_work work;
    size_t n, k;
    size_t chunk_rows, n_chunks;
    size_t block, blocks; /* vectors in one pass */
    size_t slab;          /* vectors whose tangents are converted at the same time */
    size_t threads;
    infl_pass pass;
    int keep;         /* values of all chunks for the next run */
    size_t kept;      /* bytes of a chunk's values, where they lie apart from the workspace */
    size_t workspace; /* bytes of a thread */
    size_t each;      /* the same with a chunk's values where every thread has its own */
    size_t tangent;   /* bytes for one vector; 0 where the input itself serves */
    int by_layer;     /* tangents are converted by the workspaces */
    size_t turns;     /* bytes */
    size_t shared;    /* bytes that all threads share, with one block's tangents */
    size_t bytes;     /* without the values of all chunks */
} infl_schedule;

typedef struct infl_chunks {
    const infl_model *model;     /* borrowed */
    const infl_dataset *dataset; /* borrowed */
    infl_loss loss;
    int threads;
    size_t budget;      /* bytes; 0: no limit */
    size_t keep_budget; /* bytes for values of all chunks, kept for products with other vectors at the same θ */
    /* kept from run to run, laid out as long as runs are alike */
    infl_schedule schedule;
    int kept_wish; /* that the schedule was asked for */
    void *memory;
    size_t bytes;
    infl_plan *plan;
    infl_pass asked;  /* of the plan */
    size_t workspace; /* bytes that it takes */
    size_t laid_out;  /* workspaces by it */
    /* the last product with a curvature, and values of all chunks where it was not the first of its kind */
    size_t *seen, n_seen; /* its rows */
    infl_chunk_work seen_work;
    uint64_t seen_version; /* of the model */
    void *kept;
    size_t kept_bytes;
    int kept_stands; /* it is filled */
} infl_chunks;

/*
 * A function of the network alone, so that sums over rows are grouped in one way only: as many rows as keep the largest
 * array in the second-level cache, within reason for matrix products; at least whole vectors.
 */
size_t infl_chunk_rows(const infl_network *network);

/* Threads add to the same sums in the order of the chunks: the chunk whose turn it is. */
typedef atomic_size_t infl_turn;
/* Waits until it is the chunk's turn; 0: it was called off. cancelled may be NULL. */
int infl_turn_await(const infl_turn *turn, size_t chunk, const atomic_int *cancelled);
void infl_turn_pass(infl_turn *turn, size_t chunk);

infl_status infl_chunks_run(infl_chunks *chunks, const infl_chunk_job *job);
/* The bytes that such a run takes. */
infl_status infl_chunks_memory(infl_chunks *chunks, const infl_chunk_job *job, size_t *bytes);
void infl_chunks_release(infl_chunks *chunks);

#endif

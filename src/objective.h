/*
 * The seam between networks (or the caller's own functions) and everything right of them: sums over rows of a loss and
 * of its derivatives at the θ of the source. Means, decay and the subset of rows are added by objective.c, once.
 */
#ifndef INFL_OBJECTIVE_H
#define INFL_OBJECTIVE_H

#include "error.h"
#include "identity.h"

struct infl_training_step; /* network.h */

/* A dense matrix, or the part of it for some parameters, that is asked for. */
typedef struct infl_dense_call {
    infl_curvature_kind kind;
    const size_t *rows; /* n of the source */
    size_t n;
    const size_t *parameters; /* q, ascending */
    size_t q;
    double *matrix;            /* q×q, zeros at first; exactly symmetric */
    infl_progress_fn progress; /* stage "dense", in columns */
    void *progress_context;
} infl_dense_call;

/*
 * Outputs are scratch until success. rows: n indices of source rows, never NULL, n ≥ 1, all in range. Where self is const
 * nothing of the source changes (of its model in training_gradient the state), so that any number of threads may be in
 * such functions, each with a workspace of its own.
 */
typedef struct infl_source_ops {
    void (*destroy)(void *self);
    /* what a computation writes to beside its output, kept from one to the next; *workspace NULL: nothing */
    infl_status (*workspace_create)(const void *self, void **workspace);
    void (*workspace_destroy)(const void *self, void *workspace); /* before the source */
    /* an independent copy with its own θ that will run on the given number of threads */
    infl_status (*clone)(const void *self, int threads, void **out);
    /* what derivatives are computed in, and such a copy in another precision; NULL: always f64 */
    infl_precision (*precision)(const void *self);
    infl_status (*convert)(const void *self, infl_precision precision, int threads, void **out);
    infl_status (*get_parameters)(const void *self, double *theta);
    infl_status (*set_parameters)(void *self, const double *theta);
    /* numbers of a state beside θ, which is got and set likewise; NULL: there is none */
    size_t (*state_size)(const void *self);
    infl_status (*get_state)(const void *self, double *state);
    infl_status (*set_state)(void *self, const double *state);
    /* parameters that are constants here, on which the numbers depend all the same; NULL: there are none */
    size_t (*others_size)(const void *self);
    infl_status (*get_others)(const void *self, double *others);
    /* losses: n */
    infl_status (*losses)(const void *self, void *workspace, const size_t *rows, size_t n, double *losses);
    /* gradients: n×p */
    infl_status (*row_gradients)(const void *self, void *workspace, const size_t *rows, size_t n, double *gradients);
    /* squares: n, ‖∇ℓ_i‖² */
    infl_status (*row_squares)(const void *self, void *workspace, const size_t *rows, size_t n, double *squares);
    /* out: n×k, ∇ℓ_i·v_j */
    infl_status (*row_products)(const void *self, void *workspace, const size_t *rows, size_t n, const double *vectors,
                                size_t k, double *out);
    /* out: k×p, Σ_i w_ji ∇ℓ_i; weights k×n, or NULL for k = 1 and all ones. losses: n, or NULL */
    infl_status (*weighted_gradients)(const void *self, void *workspace, const size_t *rows, size_t n,
                                      const double *weights, size_t k, double *out, double *losses);
    /* the rows that a step must have where training is a mode of its own; 0, or NULL: it is not */
    size_t (*training_rows)(const void *self, int fixed_statistics);
    /* out: p, Σ_i ∇ℓ_i in that mode, of images as the step sees them; the state follows the batch. Any network can */
    infl_status (*training_gradient)(const void *self, void *workspace, const size_t *rows, size_t n,
                                     const struct infl_training_step *step, double *out);
    /* fails where rows are no images, or none of which `crop` pixels can be cut off */
    infl_status (*check_images)(const void *self, size_t crop);
    /* out: k×p, Σ_i C_i v_j */
    infl_status (*products)(const void *self, void *workspace, infl_curvature_kind kind, const size_t *rows, size_t n,
                            const double *vectors, size_t k, double *out);
    /* Σ_i C_i as a dense matrix; NULL: by products */
    infl_status (*dense)(const void *self, void *workspace, const infl_dense_call *call);
    /* INFL_E_UNSUPPORTED where the source has no products of this kind */
    infl_status (*check_kind)(const void *self, infl_curvature_kind kind);
    /* bytes of workspace for products with k vectors over n rows */
    infl_status (*memory)(const void *self, void *workspace, size_t n, size_t k, size_t *bytes);
    /* the loss of a row; NULL, or INFL_E_UNSUPPORTED: the caller's own */
    infl_status (*describe_loss)(const void *self, infl_loss *loss);
    /* adds to the hashes what the sums over these rows depend on, n rows in order: model is of θ and the state too */
    infl_status (*identify)(const void *self, const size_t *rows, size_t n, infl_hash *model, infl_hash *data);
} infl_source_ops;

/* What one call writes to beside its output, kept for the next, so that a training step allocates nothing. */
typedef struct infl_scratch {
    void *workspace;                   /* of the source */
    size_t *batch;                     /* n */
    double *losses, *gradient, *theta; /* n, p, p */
} infl_scratch;

enum { INFL_IDLE = 16 };

struct infl_objective {
    const infl_source_ops *ops;
    void *source; /* owned */
    size_t n_rows, n_parameters;
    size_t *rows; /* n source rows, owned */
    /* INFL_IDLE places for what no call is using: a call takes it out or makes another, and so has it for itself without
     * a lock, whatever a callback asks for meanwhile. NULL: none. Owned */
    infl_scratch *_Atomic *idle;
    double decay;
    unsigned char *mask; /* p bytes, D; owned */
    int threads;         /* at least 1 */
};

/* infl_objective_without, to run on `threads` threads (leave-one-out retraining: 1, as it is parallel over rows). */
infl_status infl_objective_copy(infl_objective **out, const infl_objective *objective, const size_t *rows,
                                size_t n_rows, int threads);

/* The dense matrix by the source's own way, or else by products with unit vectors; p: the source's parameters. */
infl_status infl_source_dense(const infl_source_ops *ops, const void *source, void *workspace, size_t p,
                              const infl_dense_call *call);

/* The row's number in the source, the same in every objective derived from one: what seeds a row's random numbers. */
static inline size_t infl_objective_source_row(const infl_objective *objective, size_t row) {
    return objective->rows[row];
}

/* The state beside θ, which the objective's model has: as many numbers, got and set. */
static inline size_t infl_objective_state(const infl_objective *objective) {
    return objective->ops->state_size == NULL ? 0 : objective->ops->state_size(objective->source);
}
static inline infl_status infl_objective_get_state(const infl_objective *objective, double *state) {
    return infl_objective_state(objective) == 0 ? INFL_OK : objective->ops->get_state(objective->source, state);
}
static inline infl_status infl_objective_set_state(infl_objective *objective, const double *state) {
    return infl_objective_state(objective) == 0 ? INFL_OK : objective->ops->set_state(objective->source, state);
}

/* What derivatives are computed in. */
static inline infl_precision infl_objective_precision(const infl_objective *objective) {
    return objective->ops->precision == NULL ? INFL_F64 : objective->ops->precision(objective->source);
}

/* What the model has beside θ where the objective is of some of its parameters: the others. */
static inline size_t infl_objective_others(const infl_objective *objective) {
    return objective->ops->others_size == NULL ? 0 : objective->ops->others_size(objective->source);
}
static inline infl_status infl_objective_get_others(const infl_objective *objective, double *others) {
    return infl_objective_others(objective) == 0 ? INFL_OK : objective->ops->get_others(objective->source, others);
}

/*
 * INFL_E_ARGUMENT where both are of some parameters, as many, and either those or the others differ. (One may be of a
 * risk of the caller's own in the same parameters, of which nothing more is known.)
 */
infl_status infl_objective_check_others(const infl_objective *train, const infl_objective *test, const char *function);

/* Checks "rows, n_rows" ("test_rows, n_test" ...) of a public function: *n becomes the number of rows, and NULL passes. */
infl_status infl_objective_check_rows(const infl_objective *objective, const size_t *rows, size_t n_rows, size_t *n,
                                      const char *name, const char *function);

/* ∇R of the given rows (NULL: all n) as training sees them in this step: where ops->training_rows is not 0, or where
 * images are changed and ops->check_images passes. */
infl_status infl_objective_training_gradient(infl_objective *objective, const size_t *rows, size_t n,
                                             const struct infl_training_step *step, double *gradient);

/* 0 → what OpenMP offers; negative → INFL_E_ARGUMENT. */
infl_status infl_resolve_threads(int asked, int *threads, const char *function);

#endif

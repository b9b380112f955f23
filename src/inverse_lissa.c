/*
 * h ← b + h − (C_S + λI)h/s converges to s(C + λI)⁻¹b where all eigenvalues lie in (0, 2s). λ is the true damping and
 * appears once; the recursions in the literature that write (1−d)h − Hh/s solve with λ = s·d.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dense.h"
#include "inverse.h"
#include "memory.h"
#include "random.h"

#define DEFAULT_DEPTH ((size_t)20000)      /* over all rows: it ends when it has converged */
#define DEFAULT_BATCH_DEPTH ((size_t)5000) /* over batches it may never */
#define DEFAULT_CHECK ((size_t)50)
#define SCALE_MARGIN 1.1
#define POWER_STEPS 200
#define PROBES 10      /* batches whose largest eigenvalue is looked at */
#define PROBE_STEPS 10 /* from the dominant direction of all rows */
#define PROBE_STREAM (INFL_STREAM_LISSA | (UINT64_MAX << 8)) /* of a repeat that never runs */

/* A residual of this many times b: x = 0 would be a far better answer. The same growth from the best one seen. */
#define RUNAWAY 10.0

/* Ends a little below the tolerance: the certificate's product may round otherwise than ours. */
#define MARGIN 0.9

typedef struct lissa_state {
    double scale;
    size_t batch; /* rows a batch; 0: all rows, no sampling */
} lissa_state;

/* The rows of batch number `index` of a stream, drawn with replacement. */
static void draw(const infl_inverse *inverse, uint64_t stream, size_t index, size_t *rows) {
    const lissa_state *self = inverse->state;
    for (size_t i = 0; i < self->batch; i++)
        rows[i] = (size_t)infl_random_below(inverse->options.seed, stream, (uint64_t)index * self->batch + i,
                                            inverse->curvature->n_rows);
}

/* Power iteration from the unit vector v, which is left at the direction found: ‖Av‖ grows towards max|e|. */
static infl_status power_iteration(infl_inverse *inverse, const size_t *rows, size_t n, int steps, double *v,
                                   double *image, double *largest) {
    size_t p = inverse->curvature->p;
    *largest = 0;
    for (int step = 0; step < steps; step++) {
        INFL_TRY(infl_inverse_progress(inverse, "prepare", (size_t)step, (size_t)steps));
        INFL_TRY(infl_curvature_product_rows(inverse->curvature, rows, n, v, 1, image));
        double norm = infl_norm(image, p);
        if (norm == 0)
            return INFL_OK;
        for (size_t i = 0; i < p; i++)
            v[i] = image[i] / norm;
        int settled = norm - *largest <= 1e-4 * norm;
        *largest = fmax(*largest, norm);
        if (settled)
            return INFL_OK;
    }
    return INFL_OK;
}

/*
 * s = 1.1 × the largest |eigenvalue| of all rows, and of ten random batches: a batch with a larger one would expand h
 * along that direction. (The mean over batches is what counts in the end, so ten stand well for the others.)
 */
static infl_status find_scale(infl_inverse *inverse) {
    lissa_state *self = inverse->state;
    size_t p = inverse->curvature->p;
    double *v = NULL, *dominant = NULL, *image = NULL, largest, of_batch;
    size_t *rows = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(v, p);
    INFL_ALLOCATE_OR_OUT(dominant, p);
    INFL_ALLOCATE_OR_OUT(image, p);
    INFL_ALLOCATE_OR_OUT(rows, self->batch);
    for (size_t i = 0; i < p; i++)
        dominant[i] = infl_random_normal(inverse->options.seed, INFL_STREAM_START, i);
    double norm = infl_norm(dominant, p);
    for (size_t i = 0; i < p; i++)
        dominant[i] /= norm;
    if ((status = power_iteration(inverse, NULL, 0, POWER_STEPS, dominant, image, &largest)) != INFL_OK)
        goto out;
    if (largest == 0) {
        status = infl_inverse_indefinite(inverse, "is zero", 0, 0, 0);
        goto out;
    }
    for (size_t probe = 0; self->batch > 0 && probe < PROBES; probe++) {
        draw(inverse, PROBE_STREAM, probe, rows);
        memcpy(v, dominant, p * sizeof *v);
        if ((status = power_iteration(inverse, rows, self->batch, PROBE_STEPS, v, image, &of_batch)) != INFL_OK)
            goto out;
        largest = fmax(largest, of_batch);
    }
    self->scale = SCALE_MARGIN * largest;
out:
    infl_release(v);
    infl_release(dominant);
    infl_release(image);
    infl_release(rows);
    return status;
}

static infl_status prepare(infl_inverse *inverse) {
    lissa_state *self;
    INFL_ALLOCATE(self, 1);
    inverse->state = self;
    /* an operator without rows is its own estimate */
    self->batch = inverse->curvature->n_rows == 0 ? 0 : inverse->options.lissa_batch;
    self->scale = inverse->options.lissa_scale;
    return self->scale > 0 ? INFL_OK : find_scale(inverse);
}

/* One right-hand side that still runs; the active ones stand in order, each with its row of h. */
typedef struct column {
    size_t index;
    double norm; /* ‖b‖ */
    double best; /* the smallest relative residual seen; its h stands in `best` of the recursion */
    int done;
} column;

typedef struct recursion {
    infl_inverse *inverse;
    const lissa_state *state;
    const double *right_sides;
    infl_solve_report *reports;
    size_t p, k, active, depth, check, repeats;
    double *h, *images; /* active×p */
    double *best;       /* k×p */
    size_t *rows;       /* of the batch */
    column *columns;    /* active */
} recursion;

static size_t depth_of(const infl_inverse *inverse) {
    const lissa_state *state = inverse->state;
    if (inverse->options.max_iterations != 0)
        return inverse->options.max_iterations;
    return state->batch > 0 ? DEFAULT_BATCH_DEPTH : DEFAULT_DEPTH;
}

/*
 * When the series does not converge: INFL_E_INDEFINITE where the operator is why, INFL_OK where it is not or where
 * Lanczos cannot tell. The damping in the sentence does within this depth: (1 − λmin/s)^depth ≤ tolerance.
 */
static infl_status check_definite(const infl_inverse *inverse, const char *saw, size_t j) {
    const lissa_state *state = inverse->state;
    double lambda_min, lambda_max;
    infl_status status = infl_inverse_extreme(inverse, 0, &lambda_min);
    if (status == INFL_OK && lambda_min < 0)
        status = infl_inverse_extreme(inverse, 1, &lambda_max);
    if (status == INFL_E_UNCONVERGED || status == INFL_E_MEMORY)
        return INFL_OK;
    if (status != INFL_OK || lambda_min >= 0)
        return status;
    double largest = fmax(fabs(lambda_min), fabs(lambda_max));
    double least = -expm1(log(MARGIN * inverse->options.tolerance) / (double)depth_of(inverse)); /* of λmin/s */
    double cutoff = fmin(0.95, fmax(state->scale / largest * least, 0));
    char found[128];
    snprintf(found, sizeof found, "is not positive definite (LiSSA %s at %s %zu)", saw, inverse->names.noun,
             infl_inverse_number(inverse, j));
    return infl_inverse_indefinite(inverse, found, lambda_min, largest, cutoff);
}

static infl_status explain(const infl_inverse *inverse, size_t j) {
    return check_definite(inverse, "used up its iterations", j);
}

static infl_status diverged(const recursion *self, size_t slot, size_t repeat, size_t iteration, const char *saw,
                            double residual) {
    const infl_inverse *inverse = self->inverse;
    const infl_inverse_options *options = &inverse->options;
    const column *c = &self->columns[slot];
    INFL_TRY(check_definite(inverse, saw, c->index));
    double growth = infl_norm(self->h + slot * self->p, self->p) / c->norm;
    return infl_fail(INFL_E_DIVERGED, "LiSSA %s at iteration %zu of repeat %zu, %s %zu: relative residual %.3g, "
                     "|h|/|b| %.3g, scale %.6g%s, damping %g; %s%s", saw, iteration, repeat, inverse->names.noun,
                     infl_inverse_number(inverse, c->index), residual, growth, self->state->scale,
                     options->lissa_scale > 0 ? " (given)" : "", inverse->curvature->damping,
                     options->lissa_scale > 0 ? "raise lissa_scale (0 finds one) or the damping"
                                              : "raise lissa_scale or the damping",
                     self->state->batch > 0 ? ", or lissa_batch" : "");
}

/* Looks at the relative residual of h in this slot: keeps the best, ends the column or the solve. */
static infl_status look(recursion *self, size_t slot, size_t repeat, size_t iteration, double residual) {
    column *c = &self->columns[slot];
    size_t p = self->p;
    /* over all rows the residual of a definite operator never grows; over batches it only stays bounded */
    double limit = self->state->batch == 0 && c->best < 1 ? RUNAWAY * fmax(c->best, 1e-12) : RUNAWAY;
    if (!(residual <= limit))
        return diverged(self, slot, repeat, iteration, "diverged", residual);
    if (residual < c->best) {
        c->best = residual;
        memcpy(self->best + c->index * p, self->h + slot * p, p * sizeof *self->h);
    }
    c->done = residual <= MARGIN * self->inverse->options.tolerance;
    return INFL_OK;
}

/* The image Ah of this slot becomes b − Ah/s: what the recursion adds to h, and the residual of x = h/s. */
static double *bracket(recursion *self, size_t slot) {
    size_t p = self->p;
    const double *b = self->right_sides + self->columns[slot].index * p;
    double *image = self->images + slot * p;
    for (size_t i = 0; i < p; i++)
        image[i] = b[i] - image[i] / self->state->scale;
    return image;
}

static infl_status product(recursion *self, const size_t *rows, size_t n, size_t repeat, size_t iteration) {
    infl_status status = infl_curvature_product_rows(self->inverse->curvature, rows, n, self->h, self->active,
                                                     self->images);
    if (status == INFL_E_NONFINITE)
        for (size_t slot = 0; slot < self->active; slot++)
            if (!(infl_norm(self->h + slot * self->p, self->p) < 1e30)) /* where the products of f32 overflow */
                return diverged(self, slot, repeat, iteration, "overflowed", INFINITY);
    return status;
}

static infl_status step(recursion *self, size_t repeat, size_t iteration) {
    const lissa_state *state = self->state;
    size_t p = self->p, n_rows = self->inverse->curvature->n_rows;
    int looking = iteration % self->check == 0 || iteration == self->depth;
    if (state->batch > 0)
        draw(self->inverse, INFL_STREAM_LISSA | (uint64_t)repeat << 8, iteration - 1, self->rows);
    INFL_TRY(product(self, state->batch > 0 ? self->rows : NULL, state->batch, repeat, iteration));
    for (size_t slot = 0; slot < self->active; slot++) {
        const column *c = &self->columns[slot];
        infl_solve_report *report = &self->reports[c->index];
        report->iterations++;
        report->products += state->batch > 0 ? (double)state->batch / (double)n_rows : 1;
        const double *image = bracket(self, slot);
        if (state->batch == 0 && looking)
            INFL_TRY(look(self, slot, repeat, iteration, infl_norm(image, p) / c->norm));
        infl_axpy(1, image, self->h + slot * p, p);
    }
    if (state->batch == 0 || !looking)
        return INFL_OK;
    INFL_TRY(product(self, NULL, 0, repeat, iteration));
    for (size_t slot = 0; slot < self->active; slot++) {
        const column *c = &self->columns[slot];
        self->reports[c->index].products += 1;
        INFL_TRY(look(self, slot, repeat, iteration, infl_norm(bracket(self, slot), p) / c->norm));
    }
    return INFL_OK;
}

static void retire(recursion *self) {
    size_t kept = 0, p = self->p;
    for (size_t slot = 0; slot < self->active; slot++) {
        if (self->columns[slot].done)
            continue;
        if (kept != slot) {
            self->columns[kept] = self->columns[slot];
            memcpy(self->h + kept * p, self->h + slot * p, p * sizeof *self->h);
        }
        kept++;
    }
    self->active = kept;
}

static void start(recursion *self) {
    size_t p = self->p;
    self->active = 0;
    for (size_t j = 0; j < self->k; j++) {
        double norm = infl_norm(self->right_sides + j * p, p);
        if (norm == 0)
            continue;
        self->columns[self->active] = (column){.index = j, .norm = norm, .best = INFINITY};
        memcpy(self->h + self->active * p, self->right_sides + j * p, p * sizeof *self->h);
        self->active++;
    }
}

static infl_status solve(infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                         infl_solve_report *reports) {
    const infl_inverse_options *options = &inverse->options;
    const lissa_state *state = inverse->state;
    size_t p = inverse->curvature->p;
    recursion self = {.inverse = inverse,
                      .state = state,
                      .right_sides = right_sides,
                      .reports = reports,
                      .p = p,
                      .k = k,
                      .depth = depth_of(inverse),
                      .check = options->lissa_check != 0 ? options->lissa_check : DEFAULT_CHECK,
                      .repeats = state->batch > 0 ? options->lissa_repeats : 1}; /* without chance all are the same */
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX_OR_OUT(self.h, k, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(self.images, k, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(self.best, k, p);
    INFL_ALLOCATE_OR_OUT(self.rows, state->batch);
    INFL_ALLOCATE_OR_OUT(self.columns, k);
    memset(solutions, 0, k * p * sizeof *solutions);
    size_t total = self.repeats * self.depth;
    for (size_t repeat = 0; repeat < self.repeats; repeat++) {
        start(&self);
        for (size_t iteration = 1; iteration <= self.depth && self.active > 0; iteration++) {
            size_t done = repeat * self.depth + iteration - 1;
            if ((status = infl_inverse_progress(inverse, "solve", done, total)) != INFL_OK)
                goto out;
            if ((status = step(&self, repeat, iteration)) != INFL_OK)
                goto out;
            retire(&self);
        }
        infl_axpy(1 / (state->scale * (double)self.repeats), self.best, solutions, k * p);
    }
    status = infl_inverse_progress(inverse, "solve", total, total);
out:
    infl_release(self.h);
    infl_release(self.images);
    infl_release(self.best);
    infl_release(self.rows);
    infl_release(self.columns);
    return status;
}

const infl_inverse_ops infl_inverse_lissa = {.name = "LiSSA", .prepare = prepare, .release = infl_release,
                                             .solve = solve, .explain = explain};

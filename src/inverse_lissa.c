/*
 * h ← b + h − (C_S + λI)h/s converges to s(C + λI)⁻¹b where all eigenvalues lie in (0, 2s). λ is the true damping and
 * appears once; the recursions in the literature that write (1−d)h − Hh/s solve with λ = s·d.
 *
 * Over batches the noise of C_S h never ends, as h does not go to 0. Refining, the recursion begins anew at each look,
 * for the residual over all rows: what then is noisy is a correction, which goes to 0. Written for h as a whole that is
 * h ← h + b − Ah̃/s − A_S(h − h̃)/s, the control variate of Johnson & Zhang (NeurIPS 2013).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dense.h"
#include "inverse.h"
#include "memory.h"
#include "random.h"

#define DEFAULT_DEPTH ((size_t)20000)      /* it ends when it has converged */
#define DEFAULT_PLAIN_DEPTH ((size_t)5000) /* plain over batches it may never */
#define DEFAULT_CHECK ((size_t)50)
#define LEAST_LOOKS ((size_t)10) /* in a depth that has so many times DEFAULT_CHECK */
#define BATCH_SHARE ((size_t)16) /* of the rows in a batch of our choice, */
#define LEAST_BATCH ((size_t)64) /* which is of no fewer: all rows then cost little more */
#define SCALE_MARGIN 1.1
static const infl_extremes_goal scale_goal = {0.01, 0, 100};
#define PROBES 10 /* batches whose largest eigenvalue is looked at, */
static const infl_extremes_goal probe_goal = {0.1, 0, 10};
#define PROBE_STREAM (INFL_STREAM_LISSA | (UINT64_MAX << 8)) /* of a repeat that never runs */

/* A residual of this many times b: x = 0 would be a far better answer. The same growth from the best one seen. */
#define RUNAWAY 10.0

/* Looks in a row, refining over batches of a given size, at which the residual was no smaller. */
#define MOST_FAILURES 5

/* Ends a little below the tolerance: the certificate's product may round otherwise than ours. */
#define MARGIN 0.9

typedef struct lissa_state {
    double scale;
    size_t batch; /* rows a batch at first; 0: all rows, no sampling */
    int grows;    /* it is of our choice */
    int refines;
} lissa_state;

/* The rows of batch number `index` of a stream, drawn with replacement. */
static void draw(const infl_inverse *inverse, uint64_t stream, size_t index, size_t batch, size_t *rows) {
    for (size_t i = 0; i < batch; i++)
        rows[i] = (size_t)infl_random_below(inverse->options.seed, stream, (uint64_t)index * batch + i,
                                            inverse->curvature->n_rows);
}

/* The search for the scale: products over the sample, at most as many as are reported, and probes. */
typedef struct search {
    const infl_inverse *inverse;
    size_t total;
} search;

static int on_product(void *context, const char *stage, size_t done, size_t most) {
    const search *of = context;
    (void)most;
    return infl_inverse_progress(of->inverse, stage, done, of->total) != INFL_OK;
}

/* The largest |eigenvalue| of C + λI over the rows, or a little more. `of` NULL: without a report. */
static infl_status find_largest(infl_inverse *inverse, const infl_sample *rows, uint64_t seed,
                                const infl_extremes_goal *goal, search *of, double *largest) {
    infl_extremes ends;
    INFL_TRY(infl_curvature_extremes(inverse->curvature, rows, seed, goal, of == NULL ? NULL : on_product, of, &ends));
    *largest = fmax(fabs(ends.low) + ends.low_error, fabs(ends.high) + ends.high_error);
    return INFL_OK;
}

/*
 * s = 1.1 × the largest |eigenvalue| of the sample, and of ten random batches: a batch with a larger one would expand h
 * along that direction. (The mean over batches is what counts in the end, so ten stand well for the others.)
 */
static infl_status find_scale(infl_inverse *inverse) {
    lissa_state *self = inverse->state;
    const infl_inverse_options *options = &inverse->options;
    size_t most = scale_goal.most < inverse->curvature->p ? scale_goal.most : inverse->curvature->p;
    search of = {inverse, most + PROBES};
    double largest;
    size_t *rows = NULL;
    infl_sample sample;
    infl_status status = infl_curvature_sample(inverse->curvature, INFL_SPECTRUM_ROWS, options->seed, &sample);
    if (status != INFL_OK)
        return status;
    INFL_ALLOCATE_OR_OUT(rows, self->batch);
    if ((status = find_largest(inverse, &sample, options->seed, &scale_goal, &of, &largest)) != INFL_OK)
        goto out;
    if (largest == 0 && sample.rows != NULL) { /* the rows that bend are others */
        infl_release(sample.rows);
        sample = (infl_sample){NULL, inverse->curvature->n_rows};
        if ((status = find_largest(inverse, &sample, options->seed, &scale_goal, &of, &largest)) != INFL_OK)
            goto out;
    }
    if (largest == 0) {
        status = infl_inverse_indefinite(inverse, "is zero", 0, 0, 0);
        goto out;
    }
    for (size_t probe = 0; self->batch > 0 && probe < PROBES; probe++) {
        infl_sample batch = {rows, self->batch};
        double of_batch;
        if ((status = infl_inverse_progress(inverse, "prepare", most + probe, of.total)) != INFL_OK)
            goto out;
        draw(inverse, PROBE_STREAM, probe, self->batch, rows);
        if ((status = find_largest(inverse, &batch, options->seed + 1 + probe, &probe_goal, NULL, &of_batch)) !=
            INFL_OK)
            goto out;
        largest = fmax(largest, of_batch);
    }
    self->scale = SCALE_MARGIN * largest;
    status = infl_inverse_progress(inverse, "prepare", of.total, of.total);
out:
    infl_release(rows);
    infl_release(sample.rows);
    return status;
}

static infl_status prepare(infl_inverse *inverse) {
    const infl_curvature *curvature = inverse->curvature;
    const infl_inverse_options *options = &inverse->options;
    lissa_state *self;
    INFL_ALLOCATE(self, 1);
    inverse->state = self;
    size_t n = curvature->n_rows, ours = n / BATCH_SHARE;
    /* products with a formed matrix cost less than any batch, and an operator without rows is its own estimate */
    self->grows = options->lissa_batch == 0 && curvature->formed == NULL && ours >= LEAST_BATCH;
    if (self->grows)
        self->batch = ours;
    else if (n > 0 && options->lissa_batch != INFL_ALL_ROWS)
        self->batch = options->lissa_batch;
    self->refines = self->batch > 0 && !options->lissa_plain;
    self->scale = options->lissa_scale;
    if (self->scale == 0)
        INFL_TRY(find_scale(inverse));
    inverse->norm = 2 * self->scale; /* it would run away else */
    return INFL_OK;
}

/* One right-hand side that still runs; the active ones stand in order, each with its row of h. */
typedef struct column {
    size_t index;
    double norm; /* ‖b‖ */
    double best; /* the smallest relative residual seen; its h stands in answers */
    int failures;
    int done;
} column;

typedef struct recursion {
    const infl_inverse *inverse;
    const lissa_state *state;
    infl_solve_report *reports;
    size_t p, k, active, depth, check, repeats;
    size_t batch;       /* rows; 0: all */
    int noisy;          /* at this look some residual was no smaller */
    double *h, *images; /* active×p */
    double *sides;      /* k×p: b; refining, the residual at the last look */
    double *answers;    /* k×p: the best h; refining, the sum of the accepted ones */
    size_t *rows;       /* of the batch */
    column *columns;    /* active */
} recursion;

static size_t depth_of(const infl_inverse *inverse) {
    const lissa_state *state = inverse->state;
    size_t asked = inverse->options.max_iterations, most = SIZE_MAX / 2 / inverse->options.lissa_repeats;
    size_t depth = asked != 0 ? asked : state->batch > 0 && !state->refines ? DEFAULT_PLAIN_DEPTH : DEFAULT_DEPTH;
    return depth < most ? depth : most; /* the product with the repeats fits, which nobody lives to see */
}

static size_t check_of(const infl_inverse *inverse) {
    const lissa_state *state = inverse->state;
    if (inverse->options.lissa_check != 0)
        return inverse->options.lissa_check;
    size_t passes = state->refines ? 2 * (inverse->curvature->n_rows / state->batch) : 0;
    size_t most = depth_of(inverse) / LEAST_LOOKS, check = passes < most ? passes : most;
    return check > DEFAULT_CHECK ? check : DEFAULT_CHECK;
}

/*
 * When the series does not converge: INFL_E_INDEFINITE where the operator is why, INFL_OK where it is not or where
 * Lanczos cannot tell. The damping in the sentence does within this depth: (1 − λmin/s)^depth ≤ tolerance.
 */
static infl_status check_definite(const infl_inverse *inverse, const char *saw, size_t j) {
    const lissa_state *state = inverse->state;
    double lambda_min, lambda_max;
    infl_status status = infl_inverse_extreme(inverse, 0, &lambda_min);
    if (status == INFL_OK && !(lambda_min < 0))
        return INFL_OK;
    if (status == INFL_OK)
        status = infl_inverse_extreme(inverse, 1, &lambda_max);
    if (status == INFL_E_UNCONVERGED || status == INFL_E_MEMORY)
        return INFL_OK;
    if (status != INFL_OK)
        return status;
    double largest = fmax(fabs(lambda_min), fabs(lambda_max));
    double least = -expm1(log(MARGIN * inverse->options.tolerance) / (double)depth_of(inverse)); /* of λmin/s */
    double cutoff = fmin(0.95, fmax(state->scale / largest * least, 0));
    char found[128];
    snprintf(found, sizeof found, "is not positive definite (LiSSA %s at %s %zu)", saw, inverse->names.noun,
             infl_inverse_number(inverse, j));
    return infl_inverse_indefinite(inverse, found, lambda_min, largest, cutoff);
}

static size_t budget(const infl_inverse *inverse) {
    const lissa_state *state = inverse->state;
    return depth_of(inverse) * (state->batch > 0 ? inverse->options.lissa_repeats : 1);
}

static infl_status explain(const infl_inverse *inverse, size_t j, const infl_solve_report *report) {
    (void)report;
    return check_definite(inverse, "used up its iterations", j);
}

static infl_status diverged(const recursion *self, size_t slot, size_t repeat, size_t iteration, const char *saw,
                            double residual) {
    const infl_inverse *inverse = self->inverse;
    const infl_inverse_options *options = &inverse->options;
    const column *c = &self->columns[slot];
    INFL_TRY(check_definite(inverse, saw, c->index));
    double growth = infl_norm(self->h + slot * self->p, self->p) / c->norm;
    return infl_fail(INFL_E_DIVERGED,
                     "LiSSA %s at iteration %zu of repeat %zu, %s %zu: relative residual %.3g, "
                     "|h|/|b| %.3g, scale %.6g%s, damping %g; %s%s",
                     saw, iteration, repeat, inverse->names.noun, infl_inverse_number(inverse, c->index), residual,
                     growth, self->state->scale, options->lissa_scale > 0 ? " (given)" : "",
                     inverse->curvature->damping,
                     options->lissa_scale > 0 ? "raise lissa_scale (0 finds one) or the damping"
                                              : "raise lissa_scale or the damping",
                     self->batch > 0 ? ", or lissa_batch" : "");
}

/* Looks at the relative residual of h in this slot: keeps the best, ends the column or the solve. */
static infl_status look(recursion *self, size_t slot, size_t repeat, size_t iteration, double residual) {
    column *c = &self->columns[slot];
    size_t p = self->p;
    /* over all rows the residual of a definite operator never grows; over batches it only stays bounded */
    double limit = self->batch == 0 && c->best < 1 ? RUNAWAY * fmax(c->best, 1e-12) : RUNAWAY;
    if (!(residual <= limit))
        return diverged(self, slot, repeat, iteration, "diverged", residual);
    if (residual < c->best) {
        c->best = residual;
        memcpy(self->answers + c->index * p, self->h + slot * p, p * sizeof *self->h);
    }
    c->done = residual <= MARGIN * self->inverse->options.tolerance;
    return INFL_OK;
}

/* Begins anew in this slot: the first step of the recursion from 0. */
static void restart(recursion *self, size_t slot) {
    memcpy(self->h + slot * self->p, self->sides + self->columns[slot].index * self->p, self->p * sizeof *self->h);
}

/*
 * Refining, with the residual that h leaves and its relative norm: it becomes the right-hand side where it is smaller.
 * Else h is dropped, and where chance may be why, other batches are tried.
 */
static infl_status refine(recursion *self, size_t slot, size_t repeat, size_t iteration, const double *left,
                          double residual) {
    column *c = &self->columns[slot];
    size_t p = self->p;
    if (residual < c->best) {
        c->best = residual;
        c->failures = 0;
        infl_axpy(1, self->h + slot * p, self->answers + c->index * p, p);
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): it is NULL where the residual is infinite */
        memcpy(self->sides + c->index * p, left, p * sizeof *left);
    } else {
        self->noisy = 1;
        c->failures++;
        int last =
            self->batch == 0 ? !(residual <= RUNAWAY * c->best) : !self->state->grows && c->failures == MOST_FAILURES;
        if (last)
            return diverged(self, slot, repeat, iteration, "diverged", residual);
        if (self->batch == 0) { /* without chance it would be the same again: the operator is why, or rounding */
            INFL_TRY(check_definite(self->inverse, "gained nothing over all rows", c->index));
            c->done = 1;
        }
    }
    restart(self, slot);
    c->done = c->done || c->best <= MARGIN * self->inverse->options.tolerance;
    return INFL_OK;
}

/* The image Ah of this slot becomes b − Ah/s: what the recursion adds to h, and the residual of x = h/s. */
static double *bracket(recursion *self, size_t slot) {
    size_t p = self->p;
    const double *b = self->sides + self->columns[slot].index * p;
    double *image = self->images + slot * p;
    for (size_t i = 0; i < p; i++)
        image[i] = b[i] - image[i] / self->state->scale;
    return image;
}

/* *overflowed: the products of some slot did, and there are none. */
static infl_status product(recursion *self, const size_t *rows, size_t n, size_t *overflowed) {
    infl_status status =
        infl_curvature_product_rows(self->inverse->curvature, rows, n, self->h, self->active, self->images);
    *overflowed = SIZE_MAX;
    if (status == INFL_E_NONFINITE)
        for (size_t slot = 0; slot < self->active; slot++)
            if (!(infl_norm(self->h + slot * self->p, self->p) < 1e30)) { /* where the products of f32 overflow */
                *overflowed = slot;
                return INFL_OK;
            }
    return status;
}

/* Refining, chance may be why; the slots have no use for the others' h either. */
static infl_status overflow(recursion *self, size_t slot, size_t repeat, size_t iteration) {
    if (!self->state->refines)
        return diverged(self, slot, repeat, iteration, "overflowed", INFINITY);
    for (slot = 0; slot < self->active; slot++)
        INFL_TRY(refine(self, slot, repeat, iteration, NULL, INFINITY));
    return INFL_OK;
}

static infl_status look_at_all(recursion *self, size_t repeat, size_t iteration) {
    size_t overflowed, p = self->p;
    INFL_TRY(product(self, NULL, 0, &overflowed));
    if (overflowed != SIZE_MAX)
        return overflow(self, overflowed, repeat, iteration);
    for (size_t slot = 0; slot < self->active; slot++) {
        const column *c = &self->columns[slot];
        self->reports[c->index].products += 1;
        const double *left = bracket(self, slot);
        double residual = infl_norm(left, p) / c->norm;
        INFL_TRY(self->state->refines ? refine(self, slot, repeat, iteration, left, residual)
                                      : look(self, slot, repeat, iteration, residual));
    }
    return INFL_OK;
}

static infl_status step(recursion *self, size_t repeat, size_t iteration) {
    size_t overflowed, p = self->p, n_rows = self->inverse->curvature->n_rows;
    int looking = iteration % self->check == 0 || iteration == self->depth;
    /* where each step sees all rows, its residual is that of the h before it */
    int known = self->batch == 0 && !self->state->refines;
    if (self->batch > 0)
        draw(self->inverse, INFL_STREAM_LISSA | (uint64_t)repeat << 8, iteration - 1, self->batch, self->rows);
    INFL_TRY(product(self, self->batch > 0 ? self->rows : NULL, self->batch, &overflowed));
    if (overflowed != SIZE_MAX)
        return overflow(self, overflowed, repeat, iteration);
    for (size_t slot = 0; slot < self->active; slot++) {
        const column *c = &self->columns[slot];
        infl_solve_report *report = &self->reports[c->index];
        report->iterations++;
        report->products += self->batch > 0 ? (double)self->batch / (double)n_rows : 1;
        const double *image = bracket(self, slot);
        if (known && looking)
            INFL_TRY(look(self, slot, repeat, iteration, infl_norm(image, p) / c->norm));
        infl_axpy(1, image, self->h + slot * p, p);
    }
    return known || !looking ? INFL_OK : look_at_all(self, repeat, iteration);
}

/* After a look that found too much noise. */
static void grow(recursion *self) {
    if (self->noisy && self->state->grows && self->batch > 0)
        self->batch = 4 * self->batch > self->inverse->curvature->n_rows ? 0 : 2 * self->batch;
    self->noisy = 0;
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

static void start(recursion *self, const double *right_sides) {
    size_t p = self->p;
    memcpy(self->sides, right_sides, self->k * p * sizeof *right_sides);
    memset(self->answers, 0, self->k * p * sizeof *self->answers);
    self->active = 0;
    for (size_t j = 0; j < self->k; j++) {
        double norm = infl_norm(right_sides + j * p, p);
        if (norm == 0)
            continue;
        /* refining, h = 0 with the residual b is what there is */
        self->columns[self->active] = (column){.index = j, .norm = norm, .best = self->state->refines ? 1 : INFINITY};
        restart(self, self->active++);
    }
}

/* The answers of one more repeat; spread: k sums of ‖x − mean‖² (Welford 1962). */
static void add_repeat(const recursion *self, size_t repeat, double *mean, double *spread) {
    for (size_t j = 0; j < self->k; j++)
        for (size_t i = j * self->p; i < (j + 1) * self->p; i++) {
            double x = self->answers[i] / self->state->scale, off = x - mean[i];
            mean[i] += off / (double)(repeat + 1);
            spread[j] += off * (x - mean[i]);
        }
}

static void report(const recursion *self, const double *solutions, const double *spread) {
    double n = (double)self->repeats, rows = (double)self->inverse->curvature->n_rows;
    for (size_t j = 0; j < self->k; j++) {
        double norm = infl_norm(solutions + j * self->p, self->p);
        self->reports[j].scale = self->state->scale;
        self->reports[j].batch = rows == 0 ? NAN : self->batch > 0 ? (double)self->batch : rows;
        if (self->repeats > 1)
            self->reports[j].deviation = norm > 0 ? sqrt(spread[j] / (n * (n - 1))) / norm : 0;
    }
}

static infl_status solve(const infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                         infl_solve_report *reports) {
    const infl_inverse_options *options = &inverse->options;
    const lissa_state *state = inverse->state;
    size_t p = inverse->curvature->p;
    recursion self = {.inverse = inverse,
                      .state = state,
                      .reports = reports,
                      .p = p,
                      .k = k,
                      .depth = depth_of(inverse),
                      .check = check_of(inverse),
                      .batch = state->batch,
                      .repeats = state->batch > 0 ? options->lissa_repeats : 1}; /* without chance all are the same */
    double *spread = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX_OR_OUT(self.h, k, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(self.images, k, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(self.sides, k, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(self.answers, k, p);
    INFL_ALLOCATE_OR_OUT(self.rows, state->grows ? inverse->curvature->n_rows : state->batch);
    INFL_ALLOCATE_OR_OUT(self.columns, k);
    INFL_ALLOCATE_OR_OUT(spread, k);
    memset(solutions, 0, k * p * sizeof *solutions);
    size_t total = self.repeats * self.depth;
    for (size_t repeat = 0; repeat < self.repeats; repeat++) {
        start(&self, right_sides);
        for (size_t iteration = 1; iteration <= self.depth && self.active > 0; iteration++) {
            size_t done = repeat * self.depth + iteration - 1;
            if ((status = infl_inverse_progress(inverse, "solve", done, total)) != INFL_OK)
                goto out;
            if ((status = step(&self, repeat, iteration)) != INFL_OK)
                goto out;
            grow(&self);
            retire(&self);
        }
        add_repeat(&self, repeat, solutions, spread);
    }
    report(&self, solutions, spread);
    status = infl_inverse_progress(inverse, "solve", total, total);
out:
    infl_release(self.h);
    infl_release(self.images);
    infl_release(self.sides);
    infl_release(self.answers);
    infl_release(self.rows);
    infl_release(self.columns);
    infl_release(spread);
    return status;
}

const infl_inverse_ops infl_inverse_lissa = {
    .name = "LiSSA", .prepare = prepare, .release = infl_release, .solve = solve, .budget = budget, .explain = explain};

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dense.h"
#include "inverse.h"
#include "memory.h"

/* Coefficients kept a right-hand side, for the eigenvalue estimates: the extremes are there long before. */
#define MOST_COEFFICIENTS ((size_t)1000)

/* The recurrence stops a little below the tolerance: the certificate's product may round otherwise than ours. */
#define MARGIN 0.9

/* Over a batch: how far its system is solved for a direction. */
#define CYCLE 0.1

/* One right-hand side that still runs. The active ones stand in order, each with its row of `directions`. */
typedef struct column {
    size_t index;         /* of the right-hand side */
    double target;        /* for ‖b − Ax‖ */
    double pause;         /* the ‖r‖ of the recurrence at which that is measured, or a direction is ready */
    double square;        /* ‖r‖² by the recurrence */
    double best;          /* of the x in solutions: ‖r‖, or ‖b − Ax‖ where that is what was measured last */
    double verified;      /* the smallest ‖b − Ax‖ measured */
    double largest;       /* ‖Ad‖/‖d‖ ≤ ‖A‖; over a batch: of its system */
    double outer_largest; /* over a batch: of all rows */
    double *diagonal, *beside;    /* the Lanczos matrix that the coefficients of CG stand for */
    double last_alpha, last_beta; /* 0 at the beginning */
    double outer_curvature;       /* over a batch: dᵀAd of the direction before; 0 at the beginning */
    size_t n_coefficients;
    int first_cycle, done;
} column;

typedef struct conjugate_gradients {
    const infl_inverse *inverse;
    const infl_sample *batch; /* rows NULL: all rows */
    const double *right_sides;
    double *solutions;
    infl_solve_report *reports;
    size_t p, k, active, max_iterations, most_coefficients;
    double *x, *r;                            /* k×p, a row for each right-hand side; over a batch: of its system */
    double *residuals, *outer, *outer_images; /* k×p, over a batch: b − Ax, the direction before and its product, */
    double *iterates;                         /* and x */
    double *directions, *images;              /* active×p: d and Ad */
    double *coefficients;                     /* k × 2·most */
    column *columns;                          /* active */
} conjugate_gradients;

static infl_status prepare(infl_inverse *inverse) {
    infl_sample *batch;
    INFL_ALLOCATE(batch, 1);
    inverse->state = batch;
    return infl_curvature_sample(inverse->curvature, inverse->options.cg_batch, inverse->options.seed, batch);
}

static void release(void *state) {
    infl_sample *batch = state;
    if (batch != NULL)
        infl_release(batch->rows);
    infl_release(batch);
}

static double pause_at(const conjugate_gradients *self, double target, double residual) {
    return self->batch->rows == NULL ? target : CYCLE * residual;
}

static void start(conjugate_gradients *self, size_t j) {
    size_t p = self->p;
    const double *b = self->right_sides + j * p;
    double norm = infl_norm(b, p);
    memset(self->solutions + j * p, 0, p * sizeof *self->solutions);
    if (norm == 0)
        return;
    double *coefficients = self->coefficients + 2 * j * self->most_coefficients;
    double target = MARGIN * self->inverse->options.tolerance * norm;
    self->columns[self->active] = (column){.index = j,
                                           .target = target,
                                           .pause = pause_at(self, target, norm),
                                           .square = norm * norm,
                                           .best = norm,
                                           .verified = norm,
                                           .diagonal = coefficients,
                                           .beside = coefficients + self->most_coefficients,
                                           .first_cycle = 1};
    memcpy(self->r + j * p, b, p * sizeof *b);
    if (self->batch->rows != NULL)
        memcpy(self->residuals + j * p, b, p * sizeof *b);
    memcpy(self->directions + self->active * p, b, p * sizeof *b);
    self->active++;
}

/* T of Lanczos from the coefficients of CG: Saad, Iterative Methods for Sparse Linear Systems (2003), 6.7.3. */
static void record(const conjugate_gradients *self, column *c, double alpha, double beta) {
    if (c->first_cycle && c->n_coefficients < self->most_coefficients) {
        c->diagonal[c->n_coefficients] = 1 / alpha + (c->last_alpha > 0 ? c->last_beta / c->last_alpha : 0);
        c->beside[c->n_coefficients] = sqrt(beta) / alpha;
        c->n_coefficients++;
    }
    c->last_alpha = alpha;
    c->last_beta = beta;
}

/*
 * CG met dᵀAd ≤ 0. That direction's Rayleigh quotient lies anywhere above λmin, so Lanczos looks for λmin itself: the
 * damping in the sentence must do.
 */
static infl_status refuse(const conjugate_gradients *self, const column *c, int over_batch, double quotient) {
    const infl_inverse *inverse = self->inverse;
    const char *noun = inverse->names.noun;
    size_t number = infl_inverse_number(inverse, c->index), iteration = self->reports[c->index].iterations;
    double lambda_min, lambda_max;
    infl_status status;
    if (over_batch) {
        infl_extremes ends;
        const infl_extremes_goal goal = {1e-3, 1e-3, 100};
        INFL_TRY(
            infl_curvature_extremes(inverse->curvature, self->batch, inverse->options.seed, &goal, NULL, NULL, &ends));
        char found[160];
        snprintf(found, sizeof found,
                 "is not positive definite over a cg_batch of %zu rows, raise that or the damping "
                 "(CG met curvature %.6g at iteration %zu of %s %zu)",
                 self->batch->n, quotient, iteration, noun, number);
        return infl_inverse_indefinite(inverse, found, fmin(ends.low - ends.low_error, quotient),
                                       fmax(fabs(ends.low), fabs(ends.high)), 1e-3);
    }
    status = infl_inverse_extreme(inverse, 0, &lambda_min);
    if (status == INFL_E_UNCONVERGED || status == INFL_E_MEMORY)
        return infl_fail(INFL_E_INDEFINITE,
                         "C + %g I is not positive definite: CG met a direction of curvature %.6g at "
                         "iteration %zu of %s %zu, and the smallest eigenvalue is lower still; %sraise the damping by "
                         "more than that",
                         inverse->curvature->damping, quotient, iteration, noun, number, inverse->curvature->remedy);
    if (status == INFL_OK)
        status = infl_inverse_extreme(inverse, 1, &lambda_max);
    if (status == INFL_E_UNCONVERGED || status == INFL_E_MEMORY) {
        lambda_max = fmax(c->largest, c->outer_largest);
        status = INFL_OK;
    }
    if (status != INFL_OK)
        return status;
    /* with less, ‖b − Ax‖ ≤ tolerance·‖b‖ could be out of reach of rounding: ε‖A‖‖x‖ */
    double cutoff = fmin(0.1, 100 * DBL_EPSILON / inverse->options.tolerance);
    char found[128];
    snprintf(found, sizeof found, "is not positive definite (CG met curvature %.6g at iteration %zu of %s %zu)",
             quotient, iteration, noun, number);
    return infl_inverse_indefinite(inverse, found, fmin(lambda_min, quotient), fmax(fabs(lambda_min), lambda_max),
                                   cutoff);
}

/* One iteration of the column in the given slot, its Ad being known. */
static infl_status advance(conjugate_gradients *self, size_t slot) {
    size_t p = self->p;
    column *c = &self->columns[slot];
    infl_solve_report *report = &self->reports[c->index];
    double *x = self->x + c->index * p, *r = self->r + c->index * p;
    double *d = self->directions + slot * p, *image = self->images + slot * p;
    report->iterations++;
    report->products +=
        self->batch->rows == NULL ? 1 : (double)self->batch->n / (double)self->inverse->curvature->n_rows;
    double square = infl_dot(d, d, p), curvature = infl_dot(d, image, p);
    c->largest = fmax(c->largest, infl_norm(image, p) / sqrt(square));
    if (!(curvature > 4 * DBL_EPSILON * c->largest * square))
        return refuse(self, c, self->batch->rows != NULL, curvature / square);
    double alpha = c->square / curvature;
    infl_axpy(alpha, d, x, p);
    infl_axpy(-alpha, image, r, p);
    double next = infl_dot(r, r, p), beta = next / c->square;
    record(self, c, alpha, beta);
    c->square = next;
    if (c->first_cycle && self->batch->rows == NULL && sqrt(next) < c->best) {
        c->best = sqrt(next);
        memcpy(self->solutions + c->index * p, x, p * sizeof *x);
    }
    for (size_t i = 0; i < p; i++)
        d[i] = r[i] + beta * d[i];
    c->done = report->iterations >= self->max_iterations;
    return INFL_OK;
}

/* r = b − Ax over all rows, and its norm; image is workspace, p. */
static infl_status measure(conjugate_gradients *self, const column *c, const double *x, double *image, double *r,
                           double *norm) {
    size_t p = self->p;
    const double *b = self->right_sides + c->index * p;
    INFL_TRY(infl_curvature_product_rows(self->inverse->curvature, NULL, 0, x, 1, image));
    self->reports[c->index].products += 1;
    for (size_t i = 0; i < p; i++)
        r[i] = b[i] - image[i];
    *norm = infl_norm(r, p);
    return INFL_OK;
}

/* The recurrence has reached the target, and ‖b − Ax‖ is this: it ends where that has too, or gained less than a factor
 * of two, as no more is to be had. x is kept where it is the best. */
static void judge(conjugate_gradients *self, column *c, const double *x, double norm) {
    double *solution = self->solutions + c->index * self->p;
    c->done = c->done || norm <= c->target || norm > 0.5 * c->verified;
    if (norm < c->verified)
        memcpy(solution, x, self->p * sizeof *x);
    else if (c->first_cycle)
        memset(solution, 0, self->p * sizeof *solution); /* the recurrence has put there what is worse */
    c->verified = fmin(norm, c->verified);
    c->best = c->verified;
}

/*
 * The recurrence's r has reached the target; b − Ax may have stayed behind, by rounding. Then CG begins anew from the
 * true residual, which refines x.
 */
static infl_status verify(conjugate_gradients *self, size_t slot) {
    size_t p = self->p;
    column *c = &self->columns[slot];
    double *x = self->x + c->index * p, *r = self->r + c->index * p, norm;
    INFL_TRY(measure(self, c, x, self->images + slot * p, r, &norm));
    judge(self, c, x, norm);
    memcpy(self->directions + slot * p, r, p * sizeof *r);
    c->square = norm * norm;
    c->first_cycle = 0;
    return INFL_OK;
}

/*
 * The batch's system with the residual over all rows is solved: that is a direction for conjugate gradients over all
 * rows, which so has the batch's operator as a preconditioner, if not quite the same each time (flexible CG, Notay 2000:
 * the direction is made conjugate to the one before).
 */
static infl_status go_along(conjugate_gradients *self, size_t slot) {
    size_t p = self->p;
    column *c = &self->columns[slot];
    double *d = self->x + c->index * p, *image = self->images + slot * p, *residual = self->residuals + c->index * p;
    double *before = self->outer + c->index * p, *image_before = self->outer_images + c->index * p;
    double *x = self->iterates + c->index * p;
    INFL_TRY(infl_curvature_product_rows(self->inverse->curvature, NULL, 0, d, 1, image));
    self->reports[c->index].products += 1;
    double whole = infl_norm(d, p);
    if (c->outer_curvature > 0) {
        double beta = -infl_dot(image_before, d, p) / c->outer_curvature;
        infl_axpy(beta, before, d, p);
        infl_axpy(beta, image_before, image, p);
    }
    double square = infl_dot(d, d, p), curvature = infl_dot(d, image, p);
    if (sqrt(square) <=
        64 * DBL_EPSILON * whole) { /* along the one before: the residual, orthogonal to that, is rounding */
        c->done = 1;
        return INFL_OK;
    }
    c->outer_largest = fmax(c->outer_largest, infl_norm(image, p) / sqrt(square));
    if (!(curvature > 4 * DBL_EPSILON * c->outer_largest * square))
        return refuse(self, c, 0, curvature / square);
    double alpha = infl_dot(d, residual, p) / curvature;
    infl_axpy(alpha, d, x, p);
    infl_axpy(-alpha, image, residual, p);
    memcpy(before, d, p * sizeof *d);
    memcpy(image_before, image, p * sizeof *image);
    c->outer_curvature = curvature;

    double norm = infl_norm(residual, p);
    if (norm <= c->target) {
        INFL_TRY(measure(self, c, x, image, residual, &norm));
        judge(self, c, x, norm);
        c->outer_curvature = 0;
    } else if (norm < c->best) {
        c->best = norm;
        memcpy(self->solutions + c->index * p, x, p * sizeof *x);
    }
    memset(d, 0, p * sizeof *d);
    memcpy(self->r + c->index * p, residual, p * sizeof *residual);
    memcpy(self->directions + slot * p, residual, p * sizeof *residual);
    c->square = norm * norm;
    c->pause = pause_at(self, c->target, norm);
    c->first_cycle = 0;
    return INFL_OK;
}

static infl_status estimate_spectrum(const column *c, infl_solve_report *report) {
    size_t n = c->n_coefficients;
    if (c->outer_largest > 0) /* the coefficients are of the batch */
        report->lambda_max = c->outer_largest;
    if (n == 0 || c->outer_largest > 0)
        return INFL_OK;
    INFL_TRY(infl_tridiagonal_eigen(c->diagonal, c->beside, n, NULL));
    report->lambda_min = c->diagonal[0];
    report->lambda_max = c->diagonal[n - 1];
    return INFL_OK;
}

/* Takes the columns that are done out of the block. */
static infl_status retire(conjugate_gradients *self) {
    size_t kept = 0, p = self->p;
    for (size_t slot = 0; slot < self->active; slot++) {
        if (self->columns[slot].done) {
            INFL_TRY(estimate_spectrum(&self->columns[slot], &self->reports[self->columns[slot].index]));
            continue;
        }
        if (kept != slot) {
            self->columns[kept] = self->columns[slot];
            memcpy(self->directions + kept * p, self->directions + slot * p, p * sizeof *self->directions);
        }
        kept++;
    }
    self->active = kept;
    return INFL_OK;
}

static infl_status iterate(conjugate_gradients *self) {
    int batched = self->batch->rows != NULL;
    while (self->active > 0) {
        INFL_TRY(infl_inverse_progress(self->inverse, "solve", self->k - self->active, self->k));
        INFL_TRY(infl_curvature_product_rows(self->inverse->curvature, self->batch->rows, self->batch->n,
                                             self->directions, self->active, self->images));
        for (size_t slot = 0; slot < self->active; slot++) {
            const column *c = &self->columns[slot];
            INFL_TRY(advance(self, slot));
            if (sqrt(c->square) <= c->pause || (batched && c->done))
                INFL_TRY(batched ? go_along(self, slot) : verify(self, slot));
        }
        INFL_TRY(retire(self));
    }
    return infl_inverse_progress(self->inverse, "solve", self->k, self->k);
}

static size_t budget(const infl_inverse *inverse) {
    return inverse->options.max_iterations != 0 ? inverse->options.max_iterations : 10 * inverse->curvature->p;
}

static infl_status solve(const infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                         infl_solve_report *reports) {
    size_t p = inverse->curvature->p;
    conjugate_gradients self = {.inverse = inverse,
                                .batch = inverse->state,
                                .right_sides = right_sides,
                                .solutions = solutions,
                                .reports = reports,
                                .p = p,
                                .k = k,
                                .max_iterations = budget(inverse)};
    self.most_coefficients = self.max_iterations < MOST_COEFFICIENTS ? self.max_iterations : MOST_COEFFICIENTS;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_MATRIX_OR_OUT(self.x, k, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(self.r, k, p);
    if (self.batch->rows != NULL) {
        INFL_ALLOCATE_MATRIX_OR_OUT(self.residuals, k, p);
        INFL_ALLOCATE_MATRIX_OR_OUT(self.outer, k, p);
        INFL_ALLOCATE_MATRIX_OR_OUT(self.outer_images, k, p);
        INFL_ALLOCATE_MATRIX_OR_OUT(self.iterates, k, p);
    }
    INFL_ALLOCATE_MATRIX_OR_OUT(self.directions, k, p);
    INFL_ALLOCATE_MATRIX_OR_OUT(self.images, k, p);
    INFL_ALLOCATE_OR_OUT(self.columns, k);
    INFL_ALLOCATE_MATRIX_OR_OUT(self.coefficients, k, 2 * self.most_coefficients);
    for (size_t j = 0; j < k; j++) {
        start(&self, j);
        reports[j].batch = inverse->curvature->n_rows == 0 ? NAN : (double)self.batch->n;
    }
    status = iterate(&self);
out:
    infl_release(self.x);
    infl_release(self.r);
    infl_release(self.residuals);
    infl_release(self.outer);
    infl_release(self.outer_images);
    infl_release(self.iterates);
    infl_release(self.directions);
    infl_release(self.images);
    infl_release(self.columns);
    infl_release(self.coefficients);
    return status;
}

static infl_status explain(const infl_inverse *inverse, size_t j, const infl_solve_report *report) {
    const infl_sample *batch = inverse->state;
    if (batch->rows == NULL || report->iterations < budget(inverse))
        return INFL_OK;
    return infl_fail(INFL_E_UNCONVERGED,
                     "CG over a cg_batch of %zu of %zu rows left %s %zu unconverged; raise cg_batch, "
                     "max_iterations, the tolerance or the damping, or accept_unconverged",
                     batch->n, inverse->curvature->n_rows, inverse->names.noun, infl_inverse_number(inverse, j));
}

const infl_inverse_ops infl_inverse_cg = {
    .name = "CG", .prepare = prepare, .release = release, .solve = solve, .budget = budget, .explain = explain};

#include "loss.h"

#include <math.h>

#include "math.h"

#define ROW(array, output, slot) ((array) + ((output) * c->slots + (slot)) * c->rows)

static void cross_entropy(const infl_loss_call *c) {
    /* curvature: the probabilities p, so ∇ℓ = p − onehot(y); row by row the largest logit is subtracted first */
    real *restrict total = ROW(c->cotangent, 0, 0); /* scratch until its own turn, which comes last */
    for (size_t b = 0; b < c->rows; b += INFL_ROW_PADDING) {
        real largest[INFL_ROW_PADDING], sum[INFL_ROW_PADDING] = {0};
        for (size_t i = 0; i < INFL_ROW_PADDING; i++)
            largest[i] = ROW(c->f, 0, 0)[b + i];
        for (size_t j = 1; j < c->outputs; j++) {
            const real *restrict f = ROW(c->f, j, 0) + b;
            for (size_t i = 0; i < INFL_ROW_PADDING; i++)
                largest[i] = f[i] > largest[i] ? f[i] : largest[i];
        }
        for (size_t j = 0; j < c->outputs; j++) {
            const real *restrict f = ROW(c->f, j, 0) + b;
            real *restrict p = c->curvature + j * c->rows + b;
            for (size_t i = 0; i < INFL_ROW_PADDING; i++) {
                p[i] = infl_exp(f[i] - largest[i]);
                sum[i] += p[i];
            }
        }
        for (size_t i = 0; c->losses != NULL && i < INFL_ROW_PADDING && b + i < c->valid; i++) {
            size_t label = (size_t)c->targets[b + i];
            c->losses[b + i] = (double)(largest[i] - ROW(c->f, label, 0)[b + i]) + log((double)sum[i]);
        }
        for (size_t i = 0; i < INFL_ROW_PADDING; i++)
            total[b + i] = b + i < c->valid ? 1 / sum[i] : 0;
    }
    for (size_t j = c->outputs; j-- > 0;) {
        real *restrict p = c->curvature + j * c->rows;
        for (size_t b = 0; b < c->rows; b++)
            p[b] *= total[b];
    }
    for (size_t j = 0; j < c->outputs; j++) {
        const real *restrict p = c->curvature + j * c->rows;
        real *restrict g = ROW(c->cotangent, j, 0);
        for (size_t b = 0; b < c->rows; b++)
            g[b] = p[b] - (c->targets[b] == (real)j ? 1 : 0);
    }
    for (size_t j = 0; j < c->outputs; j++)
        for (size_t b = c->valid; b < c->rows; b++)
            ROW(c->cotangent, j, 0)[b] = 0;
}

static void cross_entropy_product(const infl_loss_call *c, size_t k) {
    /* diag(p) − p pᵀ */
    for (size_t s = 1; s <= k; s++)
        for (size_t b = 0; b < c->rows; b += INFL_ROW_PADDING) {
            real mean[INFL_ROW_PADDING] = {0};
            for (size_t j = 0; j < c->outputs; j++) {
                const real *restrict p = c->curvature + j * c->rows + b, *restrict f = ROW(c->f, j, s) + b;
                for (size_t i = 0; i < INFL_ROW_PADDING; i++)
                    mean[i] += p[i] * f[i];
            }
            for (size_t j = 0; j < c->outputs; j++) {
                const real *restrict p = c->curvature + j * c->rows + b, *restrict f = ROW(c->f, j, s) + b;
                real *restrict g = ROW(c->cotangent, j, s) + b;
                for (size_t i = 0; i < INFL_ROW_PADDING; i++)
                    g[i] = p[i] * (f[i] - mean[i]);
            }
        }
}

/* Losses whose Hessian in the outputs is diagonal. */
static void diagonal_product(const infl_loss_call *c, size_t k) {
    for (size_t j = 0; j < c->outputs; j++)
        for (size_t s = 1; s <= k; s++) {
            const real *restrict curvature = c->curvature + j * c->rows, *restrict f = ROW(c->f, j, s);
            real *restrict g = ROW(c->cotangent, j, s);
            for (size_t b = 0; b < c->rows; b++)
                g[b] = curvature[b] * f[b];
        }
}

/* τ log(1 + exp((margin − s f)/τ)), s = ±1: the logistic loss is margin 0, τ = 1 */
static void soft_margin(const infl_loss_call *c, real margin, real temperature) {
    const real *restrict f = c->f;
    real *restrict g = c->cotangent, *restrict h = c->curvature;
    for (size_t b = 0; b < c->rows; b++) {
        real sign = c->targets[b] > 0 ? 1 : -1, count = b < c->valid ? 1 : 0;
        real u = (margin - sign * f[b]) / temperature, slope = infl_sigmoid(u);
        g[b] = -count * sign * slope;
        h[b] = count * slope * infl_sigmoid(-u) / temperature;
    }
    for (size_t b = 0; c->losses != NULL && b < c->valid; b++) {
        real sign = c->targets[b] > 0 ? 1 : -1;
        c->losses[b] = (double)(temperature * infl_softplus((margin - sign * f[b]) / temperature));
    }
}

static void logistic(const infl_loss_call *c) { soft_margin(c, 0, 1); }

static void smoothed_hinge(const infl_loss_call *c) { soft_margin(c, 1, c->temperature); }

static void squared_error(const infl_loss_call *c) {
    for (size_t b = 0; c->losses != NULL && b < c->valid; b++)
        c->losses[b] = 0;
    for (size_t j = 0; j < c->outputs; j++) {
        const real *restrict f = ROW(c->f, j, 0), *restrict y = c->targets + j * c->rows;
        real *restrict g = ROW(c->cotangent, j, 0), *restrict h = c->curvature + j * c->rows;
        for (size_t b = 0; b < c->rows; b++) {
            g[b] = b < c->valid ? f[b] - y[b] : 0;
            h[b] = b < c->valid ? 1 : 0;
        }
        for (size_t b = 0; c->losses != NULL && b < c->valid; b++)
            c->losses[b] += 0.5 * (double)g[b] * (double)g[b];
    }
}

const infl_loss_function *INFL_REAL(loss_function)(infl_loss_kind kind) {
    static const infl_loss_function functions[] = {
        [INFL_SOFTMAX_CROSS_ENTROPY] = {cross_entropy, cross_entropy_product},
        [INFL_LOGISTIC] = {logistic, diagonal_product},
        [INFL_SQUARED_ERROR] = {squared_error, diagonal_product},
        [INFL_SMOOTHED_HINGE] = {smoothed_hinge, diagonal_product},
    };
    return &functions[kind];
}

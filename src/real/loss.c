#include "loss.h"

#include <math.h>

#include "../network.h"
#include "math.h"

#define ROW(array, output, slot) (infl_slot(array, slot, c->outputs * c->rows) + (output)*c->rows)

static void cross_entropy(const infl_loss_call *c) {
    /*
     * curvature: the probabilities p, so ∇ℓ = p − onehot(y). The label's component is formed as −Σ_{j≠y} p_j and the
     * loss of a row that is right as log(1 + Σ_{j≠y} exp(f_j − f_y)): p_y − 1 and log p_y would cancel there.
     */
    for (size_t b = 0; b < c->rows; b += INFL_ROW_PADDING) {
        real largest[INFL_ROW_PADDING], label[INFL_ROW_PADDING] = {0}, others[INFL_ROW_PADDING] = {0};
        real scale[INFL_ROW_PADDING];
        const real *restrict y = c->targets + b;
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
                label[i] += y[i] == (real)j ? p[i] : 0;
                others[i] += y[i] == (real)j ? 0 : p[i];
            }
        }
        for (size_t i = 0; c->losses != NULL && i < INFL_ROW_PADDING && b + i < c->valid; i++) {
            double to_largest = (double)(largest[i] - ROW(c->f, (size_t)y[i], 0)[b + i]);
            c->losses[b + i] =
                to_largest > 0 ? to_largest + log((double)others[i] + (double)label[i]) : log1p((double)others[i]);
        }
        for (size_t i = 0; i < INFL_ROW_PADDING; i++)
            scale[i] = b + i < c->valid ? 1 / (label[i] + others[i]) : 0;
        for (size_t j = 0; j < c->outputs; j++) {
            real *restrict p = c->curvature + j * c->rows + b, *restrict g = ROW(c->cotangent, j, 0) + b;
            for (size_t i = 0; i < INFL_ROW_PADDING; i++) {
                p[i] *= scale[i];
                g[i] = y[i] == (real)j ? -others[i] * scale[i] : p[i];
            }
        }
    }
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

static void cross_entropy_factor(const infl_loss_call *c, size_t column) {
    /* (diag(p) − p pᵀ) = Σ_c l_c l_cᵀ, l_c = √p_c (e_c − p); 1 − p_c is summed as elsewhere */
    const real *restrict own = c->curvature + column * c->rows;
    real *restrict others = ROW(c->cotangent, column, 0);
    memset(others, 0, c->rows * sizeof *others);
    for (size_t j = 0; j < c->outputs; j++) {
        const real *restrict p = c->curvature + j * c->rows;
        real *restrict g = ROW(c->cotangent, j, 0);
        for (size_t b = 0; j != column && b < c->rows; b++) {
            g[b] = -(real)sqrt(own[b]) * p[b];
            others[b] += p[b];
        }
    }
    for (size_t b = 0; b < c->rows; b++)
        others[b] *= (real)sqrt(own[b]);
}

/* Losses whose Hessian in the outputs is diagonal. */
static void diagonal_factor(const infl_loss_call *c, size_t column) {
    memset(ROW(c->cotangent, 0, 0), 0, c->outputs * c->rows * sizeof(real));
    for (size_t b = 0; b < c->rows; b++)
        ROW(c->cotangent, column, 0)[b] = (real)sqrt(c->curvature[column * c->rows + b]);
}

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
    const real *restrict f = c->f.value;
    real *restrict g = c->cotangent.value, *restrict h = c->curvature;
    for (size_t b = 0; b < c->rows; b++) {
        real sign = c->targets[b] > 0 ? 1 : -1, count = b < c->valid ? 1 : 0;
        real u = (margin - sign * f[b]) / temperature, complement, slope = infl_sigmoid(u, &complement);
        g[b] = -count * sign * slope;
        h[b] = count * slope * complement / temperature;
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
        [INFL_SOFTMAX_CROSS_ENTROPY] = {cross_entropy, cross_entropy_product, cross_entropy_factor},
        [INFL_LOGISTIC] = {logistic, diagonal_product, diagonal_factor},
        [INFL_SQUARED_ERROR] = {squared_error, diagonal_product, diagonal_factor},
        [INFL_SMOOTHED_HINGE] = {smoothed_hinge, diagonal_product, diagonal_factor},
    };
    _Static_assert(sizeof functions / sizeof functions[0] == INFL_N_LOSSES, "one entry for each loss");
    return &functions[kind];
}

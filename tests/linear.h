/*
 * Ridge and logistic regression written out by hand: as custom objectives for the library, and beside it everything
 * that has a closed form or a Newton iteration with Gaussian elimination. Nothing here calls the library for numbers.
 */
#ifndef INFL_TESTS_LINEAR_H
#define INFL_TESTS_LINEAR_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"

enum { LINEAR_NO_ROW = 1 << 30 };

/* ℓ_i = ½(x_iᵀθ − y_i)², or log(1 + exp(−y_i x_iᵀθ)) with y_i = ±1. The last feature is 1, its weight not decayed. */
typedef struct linear_problem {
    int logistic;
    size_t n, d;
    double decay;
    double *x, *y; /* n×d, n */
    unsigned char *mask;
} linear_problem;

static inline double linear_uniform(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u; /* SplitMix64 */
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static inline double linear_normal(uint64_t *state) {
    double u = linear_uniform(state), v = linear_uniform(state);
    return sqrt(-2.0 * log(1.0 - u)) * cos(6.283185307179586 * v);
}

static inline linear_problem linear_create(int logistic, size_t n, size_t d, double decay, uint64_t seed) {
    linear_problem l = {.logistic = logistic, .n = n, .d = d, .decay = decay};
    l.x = calloc(n * d, sizeof *l.x);
    l.y = calloc(n, sizeof *l.y);
    l.mask = calloc(d, 1);
    ck_assert(l.x != NULL && l.y != NULL && l.mask != NULL);
    for (size_t i = 0; i < n; i++) {
        double f = 0.0;
        for (size_t j = 0; j < d; j++) {
            l.x[i * d + j] = j + 1 == d ? 1.0 : linear_normal(&seed);
            f += l.x[i * d + j] * cos(1.0 + 2.0 * (double)j);
        }
        f += linear_normal(&seed);
        l.y[i] = logistic ? (f > 0.0 ? 1.0 : -1.0) : f;
    }
    for (size_t j = 0; j < d; j++)
        l.mask[j] = j + 1 < d;
    return l;
}

static inline void linear_destroy(linear_problem *l) {
    free(l->x);
    free(l->y);
    free(l->mask);
}

static inline double linear_dot(const double *x, const double *y, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static inline double linear_output(const linear_problem *l, const double *theta, size_t row) {
    return linear_dot(l->x + row * l->d, theta, l->d);
}

/* ℓ, ℓ′ and ℓ″ in the output f = xᵀθ. */
static inline double linear_loss(const linear_problem *l, const double *theta, size_t row) {
    double f = linear_output(l, theta, row), y = l->y[row];
    if (!l->logistic)
        return 0.5 * (f - y) * (f - y);
    return y * f > 0.0 ? log1p(exp(-y * f)) : -y * f + log1p(exp(y * f));
}

static inline double linear_slope(const linear_problem *l, const double *theta, size_t row) {
    double f = linear_output(l, theta, row), y = l->y[row];
    return l->logistic ? -y / (1.0 + exp(y * f)) : f - y;
}

static inline double linear_bend(const linear_problem *l, const double *theta, size_t row) {
    double s = 1.0 / (1.0 + exp(linear_output(l, theta, row)));
    return l->logistic ? s * (1.0 - s) : 1.0;
}

static inline int linear_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    const linear_problem *l = context;
    for (size_t i = 0; i < n; i++)
        losses[i] = linear_loss(l, theta, rows[i]);
    return 0;
}

static inline int linear_row_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    const linear_problem *l = context;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < l->d; j++)
            out[i * l->d + j] = linear_slope(l, theta, rows[i]) * l->x[rows[i] * l->d + j];
    return 0;
}

static inline int linear_products(void *context, const double *theta, const size_t *rows, size_t n,
                                  const double *vectors, size_t k, double *out) {
    const linear_problem *l = context;
    size_t d = l->d;
    memset(out, 0, k * d * sizeof *out);
    for (size_t v = 0; v < k; v++) {
        for (size_t i = 0; i < n; i++) {
            const double *x = l->x + rows[i] * d;
            double along = linear_bend(l, theta, rows[i]) * linear_dot(x, vectors + v * d, d);
            for (size_t j = 0; j < d; j++)
                out[v * d + j] += along * x[j];
        }
    }
    return 0;
}

static inline infl_objective *linear_objective(linear_problem *l, const double *theta, int threads) {
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = l->n;
    custom.n_parameters = l->d;
    custom.context = l;
    custom.losses = linear_losses;
    custom.row_gradients = linear_row_gradients;
    custom.hessian_products = linear_products;
    custom.decay_mask = l->mask;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = l->decay;
    options.threads = threads;
    infl_objective *objective;
    assert_ok(infl_objective_create_custom(&objective, &custom, theta, &options));
    return objective;
}

/* matrix·x = b by Gaussian elimination with partial pivoting; b becomes x. */
static inline void linear_solve(const double *matrix, double *b, size_t p) {
    double *a = malloc(p * p * sizeof *a);
    ck_assert(a != NULL);
    memcpy(a, matrix, p * p * sizeof *a);
    for (size_t c = 0; c < p; c++) {
        size_t pivot = c;
        for (size_t r = c + 1; r < p; r++)
            if (fabs(a[r * p + c]) > fabs(a[pivot * p + c]))
                pivot = r;
        for (size_t j = 0; j < p; j++) {
            double kept = a[c * p + j];
            a[c * p + j] = a[pivot * p + j];
            a[pivot * p + j] = kept;
        }
        double kept = b[c];
        b[c] = b[pivot];
        b[pivot] = kept;
        for (size_t r = c + 1; r < p; r++) {
            double factor = a[r * p + c] / a[c * p + c];
            for (size_t j = c; j < p; j++)
                a[r * p + j] -= factor * a[c * p + j];
            b[r] -= factor * b[c];
        }
    }
    for (size_t r = p; r-- > 0;) {
        for (size_t j = r + 1; j < p; j++)
            b[r] -= a[r * p + j] * b[j];
        b[r] /= a[r * p + r];
    }
    free(a);
}

/* R, ∇R and ∇²R over all rows but one (LINEAR_NO_ROW: all); outputs may be NULL. */
static inline double linear_risk(const linear_problem *l, const double *theta, size_t without, double *gradient,
                                 double *hessian) {
    size_t d = l->d;
    double value = 0.0, m = (double)(without < l->n ? l->n - 1 : l->n);
    for (size_t j = 0; j < d; j++) {
        double decay = l->mask[j] ? l->decay : 0.0;
        value += 0.5 * decay * theta[j] * theta[j];
        if (gradient != NULL)
            gradient[j] = decay * theta[j];
        for (size_t k = 0; hessian != NULL && k < d; k++)
            hessian[j * d + k] = j == k ? decay : 0.0;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (i == without)
            continue;
        const double *x = l->x + i * d;
        double slope = linear_slope(l, theta, i), bend = linear_bend(l, theta, i);
        value += linear_loss(l, theta, i) / m;
        for (size_t j = 0; j < d; j++) {
            if (gradient != NULL)
                gradient[j] += slope * x[j] / m;
            for (size_t k = 0; hessian != NULL && k < d; k++)
                hessian[j * d + k] += bend * x[j] * x[k] / m;
        }
    }
    return value;
}

/* θ* to rounding by 40 Newton steps from 0, halved while R rises. */
static inline void linear_minimise(const linear_problem *l, size_t without, double *theta) {
    size_t d = l->d;
    double *step = malloc(3 * d * sizeof *step), *hessian = malloc(d * d * sizeof *hessian);
    ck_assert(step != NULL && hessian != NULL);
    double *next = step + d;
    memset(theta, 0, d * sizeof *theta);
    for (int iteration = 0; iteration < 40; iteration++) {
        double value = linear_risk(l, theta, without, step, hessian);
        linear_solve(hessian, step, d);
        for (double length = 1.0; length > 1e-3; length *= 0.5) {
            for (size_t j = 0; j < d; j++)
                next[j] = theta[j] - length * step[j];
            if (linear_risk(l, next, without, NULL, NULL) <= value + 1e-14 * fabs(value))
                break;
        }
        memcpy(theta, next, d * sizeof *theta);
    }
    free(step);
    free(hessian);
}

/* The same data as a dataset for a dense layer with bias: the features but the last, which is 1. */
static inline infl_dataset *linear_dataset(const linear_problem *l) {
    size_t d = l->d - 1;
    double *features = malloc(l->n * d * sizeof *features);
    int32_t *labels = malloc(l->n * sizeof *labels);
    ck_assert(features != NULL && labels != NULL);
    for (size_t i = 0; i < l->n; i++) {
        memcpy(features + i * d, l->x + i * l->d, d * sizeof *features);
        labels[i] = l->y[i] > 0.0;
    }
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = l->n;
    spec.n_features = d;
    spec.features = features;
    if (l->logistic) {
        spec.labels = labels;
        spec.n_classes = 2;
    } else {
        spec.targets = l->y;
        spec.n_targets = 1;
    }
    infl_dataset *dataset;
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(features);
    free(labels);
    return dataset;
}

/* A dense layer of one unit with bias, whose θ is laid out as the problem's. */
static inline infl_model *linear_model(const linear_problem *l, infl_precision precision, const double *theta) {
    size_t units = 1;
    infl_model *model;
    assert_ok(infl_model_create_mlp(&model, precision, l->d - 1, &units, 1, INFL_IDENTITY, INFL_INIT_GLOROT, 1));
    assert_ok(infl_model_set_parameters(model, theta));
    return model;
}

static inline infl_objective *linear_network(const linear_problem *l, infl_model *model, const infl_dataset *dataset,
                                             int threads) {
    infl_loss loss = INFL_LOSS_INIT(l->logistic ? INFL_LOGISTIC : INFL_SQUARED_ERROR);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = l->decay;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    options.threads = threads;
    infl_objective *objective;
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
    return objective;
}

#endif

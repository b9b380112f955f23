/*
 * Symmetric matrices made from their spectrum, A = QΛQᵀ with Q a product of three Householder reflections, in long
 * double: f(A)b = Qf(Λ)Qᵀb is known for every f, without any decomposition.
 */
#ifndef INFL_TESTS_SPECTRAL_H
#define INFL_TESTS_SPECTRAL_H

#include <math.h>
#include <stdlib.h>

#include "reference.h"

typedef struct spectral {
    size_t p;
    double *values; /* p, as given */
    long double *q; /* p×p, the eigenvectors as columns */
    double *matrix; /* p×p, exactly symmetric */
} spectral;

static inline spectral spectral_create(const double *values, size_t p, uint64_t seed) {
    spectral s = {.p = p};
    s.values = calloc(p, sizeof *s.values);
    s.q = calloc(p * p, sizeof *s.q);
    s.matrix = calloc(p * p, sizeof *s.matrix);
    long double *u = calloc(p, sizeof *u);
    ck_assert(s.values != NULL && s.q != NULL && s.matrix != NULL && u != NULL);
    for (size_t i = 0; i < p; i++) {
        s.values[i] = values[i];
        s.q[i * p + i] = 1;
    }
    for (int reflection = 0; reflection < 3 && seed != 0; reflection++) { /* seed 0: a diagonal matrix */
        long double square = 0;
        for (size_t i = 0; i < p; i++) {
            u[i] = random_normal(&seed);
            square += u[i] * u[i];
        }
        for (size_t j = 0; j < p; j++) {
            long double dot = 0;
            for (size_t i = 0; i < p; i++)
                dot += u[i] * s.q[i * p + j];
            for (size_t i = 0; i < p; i++)
                s.q[i * p + j] -= 2 * dot / square * u[i];
        }
    }
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j <= i; j++) {
            long double sum = 0;
            for (size_t l = 0; l < p; l++)
                sum += s.q[i * p + l] * values[l] * s.q[j * p + l];
            s.matrix[i * p + j] = s.matrix[j * p + i] = (double)sum;
        }
    free(u);
    return s;
}

static inline void spectral_destroy(spectral *s) {
    free(s->values);
    free(s->q);
    free(s->matrix);
}

/* out = Q f Qᵀ b, f the p numbers that stand for the eigenvalues. out may be b. */
static inline void spectral_apply(const spectral *s, const long double *f, const double *b, double *out) {
    size_t p = s->p;
    long double *c = calloc(p, sizeof *c);
    for (size_t l = 0; l < p; l++) {
        for (size_t i = 0; i < p; i++)
            c[l] += s->q[i * p + l] * b[i];
        c[l] *= f[l];
    }
    for (size_t i = 0; i < p; i++) {
        long double sum = 0;
        for (size_t l = 0; l < p; l++)
            sum += s->q[i * p + l] * c[l];
        out[i] = (double)sum;
    }
    free(c);
}

/* p eigenvalues from smallest to largest, evenly spaced in the logarithm. */
static inline void spectral_geometric(double *values, size_t p, double smallest, double largest) {
    for (size_t i = 0; i < p; i++)
        values[i] = p == 1 ? largest : smallest * pow(largest / smallest, (double)i / (double)(p - 1));
}

/* A matrix as the caller's own product; counts what is asked of it. */
typedef struct counted_product {
    const double *matrix;
    size_t p;
    size_t n_calls, n_vectors;
    size_t fail_at; /* the call that returns 3; 0: none */
    size_t nan_at;  /* the call that answers with a NaN; 0: none */
} counted_product;

static inline int counted_multiply(void *context, const double *vectors, size_t k, double *products) {
    counted_product *c = context;
    c->n_calls++;
    c->n_vectors += k;
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < c->p; i++) {
            double sum = 0;
            for (size_t l = 0; l < c->p; l++)
                sum += c->matrix[i * c->p + l] * vectors[j * c->p + l];
            products[j * c->p + i] = sum;
        }
    if (c->n_calls == c->nan_at)
        products[k * c->p - 1] = NAN;
    return c->n_calls == c->fail_at ? 3 : 0;
}

static inline double *spectral_normals(size_t n, uint64_t seed) {
    double *x = calloc(n, sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++)
        x[i] = random_normal(&seed);
    return x;
}

#endif

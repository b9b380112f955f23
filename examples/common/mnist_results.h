/* What the study of small MNIST measures of a network, and the tables and pictures made of it. */
#ifndef EXAMPLES_MNIST_RESULTS_H
#define EXAMPLES_MNIST_RESULTS_H

#include <stddef.h>

#include "mnist_settings.h"

enum { MAX_PATH = 4096 };

#define MEASURES(X)                                                                                                    \
    X(lambda_min)                                                                                                      \
    X(lambda_max)                                                                                                      \
    X(lambda_positive)                                                                                                 \
    X(negative)                                                                                                        \
    X(null)                                                                                                            \
    X(gradient_norm_trained)                                                                                           \
    X(gradient_norm_polished)                                                                                          \
    X(gradient_norm)                                                                                                   \
    X(polish_rounds)                                                                                                   \
    X(train_loss)                                                                                                      \
    X(train_accuracy)                                                                                                  \
    X(test_loss)                                                                                                       \
    X(test_accuracy)                                                                                                   \
    X(damping)                                                                                                         \
    X(rows_removed)                                                                                                    \
    X(rest_rows)                                                                                                       \
    X(rest_gradient_norm)
#define MEASURE_ENUM(name) MEASURE_##name,
enum { MEASURES(MEASURE_ENUM) N_MEASURES };

enum { GROUP_TOP, GROUP_BAND, N_GROUPS };
/*
 * Of each removed row; predicted is with damping; retrained is the change as it is, of which the control's is to be
 * subtracted.
 */
enum { COLUMN_ROW, COLUMN_PREDICTED, COLUMN_UNDAMPED, COLUMN_RETRAINED, COLUMN_REST, N_COLUMNS };
enum { METHOD_CG, METHOD_LISSA, METHOD_UNDAMPED, N_METHODS };
/* Of each inverse beside the exact one. */
enum {
    INVERSE_STATUS,
    INVERSE_DAMPING,
    INVERSE_RESIDUAL,
    INVERSE_PRODUCTS,
    INVERSE_EXACT,
    INVERSE_TRUTH,
    INVERSE_REST,
    N_INVERSE
};
enum { POINT_ROW, POINT_LOSS, POINT_CONTROL, N_POINT };

typedef struct group {
    size_t n; /* rows; 0: not measured */
    double *column[N_COLUMNS];
} group;

typedef struct point {
    double *about; /* N_POINT */
    group groups[N_GROUPS];
    double *inverses[N_METHODS]; /* N_INVERSE each; NULL where they are not asked for */
} point;

/* A decay and a seed. All results are in one array, so that it can be kept. */
typedef struct network {
    double decay;
    size_t seed;
    int detailed; /* one of 3a and 3b */
    int polished;
    int finished;
    char folder[MAX_PATH];
    size_t n_numbers;
    double *numbers, *measures;
    point points[MAX_POINTS];
} network;

/* An unmeasured network; its folder has the fingerprint of the settings. 0, or -1: no memory, or too long a path. */
int network_create(network *w, const settings *s, unsigned long long fingerprint, double decay, size_t seed);

/* Retrained less the control, of the rows of a group. To be freed; NULL: no memory. */
double *network_truth(const point *at, const group *rows);

/* All tables of the finished networks and the scripts of the pictures. Non-zero after a sentence on stderr. */
int results_write(const settings *s, const network *all, size_t n);

/* Draws the pictures where gnuplot is. Non-zero after a sentence on stderr. */
int results_draw(const settings *s);

/* Removes what an earlier run left of tables and pictures. */
int results_remove(const settings *s);

#endif

/* What the study of Table 1 measures of a network, and the tables and pictures made of it. */
#ifndef EXAMPLES_CIFAR_RESULTS_H
#define EXAMPLES_CIFAR_RESULTS_H

#include <stddef.h>

#include "cifar_settings.h"

enum { CIFAR_PATH = 4096, CIFAR_CAUSE = 512 };

#define MEASURES(X)                                                                                                    \
    X(rows)                                                                                                            \
    X(parameters)                                                                                                      \
    X(train_loss)                                                                                                      \
    X(train_accuracy)                                                                                                  \
    X(test_loss)                                                                                                       \
    X(test_accuracy)                                                                                                   \
    X(gradient_norm)                                                                                                   \
    X(rows_removed)                                                                                                    \
    X(training_seconds)                                                                                                \
    X(retraining_seconds)
/* Of a curvature and the two solves with it; the eigenvalues are without damping, and of a sample of rows. */
#define SOLVES(X)                                                                                                      \
    X(lambda_min)                                                                                                      \
    X(lambda_max)                                                                                                      \
    X(damping)                                                                                                         \
    X(residual_a)                                                                                                      \
    X(residual_b)                                                                                                      \
    X(iterations)                                                                                                      \
    X(products)                                                                                                        \
    X(scale)                                                                                                           \
    X(batch)                                                                                                           \
    X(seconds)
#define MEASURE_ENUM(name) MEASURE_##name,
#define SOLVE_ENUM(name) SOLVE_##name,
enum { MEASURES(MEASURE_ENUM) N_MEASURES };
enum { SOLVES(SOLVE_ENUM) SOLVE_STATUS, N_SOLVE };

enum { POINT_A, POINT_B, N_POINTS };           /* highest test loss; median */
enum { ABOUT_ROW, ABOUT_LOSS, ABOUT_CONTROL }; /* the last for each retraining seed */
/* Of a removed row: by the curvatures, in the order of infl_curvature_kind; changes less the control's, by seed. */
enum { COLUMN_ROW, COLUMN_HESSIAN, COLUMN_GAUSS_NEWTON, COLUMN_RETRAINED };
enum { N_CURVATURES = 2 };

typedef struct point {
    double *about;
    double *column[COLUMN_RETRAINED + MAX_RETRAIN_SEEDS];
} point;

/* A dataset, an architecture, a decay and a seed. All results are in one array, so that it can be kept. */
typedef struct network {
    size_t data, network, seed;
    double decay;
    int finished;
    char folder[CIFAR_PATH];
    char cause[N_CURVATURES][CIFAR_CAUSE]; /* the library's sentence where the status is no success */
    size_t n_numbers;
    double *numbers, *measures, *solves[N_CURVATURES];
    point points[N_POINTS];
} network;

extern const char *const cifar_data_names[N_DATA];
extern const char *const cifar_curvature_names[N_CURVATURES];

/* An unmeasured network; its folder has the fingerprint of the settings. 0, or -1: no memory, or too long a path. */
int cifar_network_create(network *w, const settings *s, unsigned long long fingerprint, size_t data, size_t which,
                         double decay, size_t seed);

/* All tables of the finished networks and the scripts of the pictures. Non-zero after a sentence on stderr. */
int cifar_results_write(const settings *s, const network *all, size_t n);

/* Draws the pictures where gnuplot is. Non-zero after a sentence on stderr. */
int cifar_results_draw(const settings *s, const network *all, size_t n);

/* Removes what an earlier run left of tables and pictures. */
int cifar_results_remove(const settings *s);

#endif

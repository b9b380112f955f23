/* The settings of the study of Table 1, and its options. */
#ifndef EXAMPLES_CIFAR_SETTINGS_H
#define EXAMPLES_CIFAR_SETTINGS_H

#include <stddef.h>

#include "arguments.h"

enum { CIFAR_QUICK, CIFAR_SMALL, CIFAR_PAPER, CIFAR_PRESETS };
#define CIFAR_PRESET_NAMES "quick|small|paper"
enum { DATA_MNIST, DATA_CIFAR10, N_DATA, DATA_BOTH = N_DATA };
enum { N_NETWORKS = 6 }; /* of the zoo, in its order */
enum { SOLVER_LISSA, SOLVER_CG };
enum { SELECT_MAGNITUDE, SELECT_SIGNED };
enum { FIXED_NEVER, FIXED_RETRAINING, FIXED_SETTLED };
enum { CIFAR_OPTIONS = 48, MAX_RETRAIN_SEEDS = 16 };

typedef struct settings {
    int help, version, resume, anew, plots;
    size_t preset, threads;
    const char *out, *data;
    size_t dataset;
    unsigned networks; /* bit 0: all; bit 1 + i: the zoo's i */
    argument_reals decays;
    size_t seeds, first_seed;
    double width;
    size_t rows, test_rows;
    size_t steps, batch, crop, fixed_statistics, precision;
    int flip;
    double rate, momentum;
    size_t curvature, solver, solver_batch, solver_steps, spectrum_rows;
    int both_curvatures;
    double solver_tolerance, damping;
    size_t top, select;
    double retrain_percent, retrain_rate;
    size_t retrain_seeds;
    size_t resamples;
} settings;

void cifar_settings_default(settings *s, size_t preset);

/* Fills the table of options over s, CIFAR_OPTIONS at most; how many there are. */
size_t cifar_settings_table(settings *s, argument *table);

/* Training steps of a network of the zoo: the option's, or where it is 0 the preset's. */
size_t cifar_steps(const settings *s, size_t network);

#endif

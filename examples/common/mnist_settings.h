/* The settings of the study of small MNIST, and its options. */
#ifndef EXAMPLES_MNIST_SETTINGS_H
#define EXAMPLES_MNIST_SETTINGS_H

#include <stddef.h>

#include "arguments.h"

enum { MNIST_SPLIT = 55000, MAX_POINTS = 16, MNIST_OPTIONS = 48 };
enum { MNIST_QUICK, MNIST_SMALL, MNIST_PAPER, MNIST_PRESETS };
enum { MNIST_MAGNITUDE, MNIST_SIGNED };

typedef struct settings {
    int help, version, resume, anew, plots;
    size_t preset, threads;
    const char *out, *data;
    argument_reals decays, sweep;
    double width;
    size_t seeds, first_seed, rows;
    size_t steps, batch, precision;
    double learning_rate;
    double polish_from;
    double polish_tolerance;
    size_t polish_rounds, polish_steps, polish_products;
    double damping;
    size_t test_points, top, sweep_top, band, band_points, select;
    double percentile;
    size_t retrain_steps;
    double retrain_rate;
    size_t rest_rows;
    int inverses;
    size_t cg_steps, lissa_steps;
    size_t resamples;
} settings;

void mnist_settings_default(settings *s, size_t preset);

/* Fills the table of options over s, MNIST_OPTIONS at most; how many there are. */
size_t mnist_settings_table(settings *s, argument *table);

#endif

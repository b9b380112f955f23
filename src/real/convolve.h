/*
 * The products of a convolution. Rows of the chunk stand innermost, so an image is an array of pixels of B rows each, and
 * every position of the kernel (a tap) is a small matrix product straight out of the image: nothing is unfolded, and taps
 * that fall on padding are left out.
 */
#ifndef INFL_CONVOLVE_H
#define INFL_CONVOLVE_H

#include "real.h"

/* A product may be the sum of two, as the R-operator has them: W ẋ + V x. */
enum { INFL_MAX_TERMS = 2 };

/* A rectangle of pixels, rows × columns, of two images: what lies between neighbours of a column and of a row, in each. */
typedef struct infl_pixels {
    size_t count[2], x_step[2], y_step[2];
} infl_pixels;

/* y(m, pixel) = start + Σ_terms Σ_depth Σ_taps weights(m, d, tap)·x(d, pixel + tap), for pixels that have all those taps. */
typedef struct infl_tap_product {
    size_t m, depth;
    size_t weight_m, weight_depth; /* strides of the weights */
    size_t x_channel, y_channel;   /* from a channel of an image to the next */
    size_t rows;                   /* B */
    size_t n_terms;
    const real *weights[INFL_MAX_TERMS], *x[INFL_MAX_TERMS];
    const real *bias; /* m numbers to start from; NULL: zeros */
    int accumulate;   /* to start from y */
    real *y;
    infl_pixels pixels;
    size_t n_taps;
    const size_t *weight_tap, *x_tap; /* where each tap lies, in the weights and at the first pixel of x */
} infl_tap_product;

void INFL_REAL(tap_product)(const infl_tap_product *product);

/* Sums over pixels of y(m, pixel)·x(entry, pixel), the products of rows kept apart: what gradients of weights are. */
typedef struct infl_pixel_sums {
    size_t m, y_channel;
    size_t rows;
    size_t n_terms;
    const real *x[INFL_MAX_TERMS], *y[INFL_MAX_TERMS];
    infl_pixels pixels;
    size_t n_entries;
    const size_t *x_entry, *to_entry; /* where each entry's first pixel lies in x, and its result in `to` */
    size_t to_m;
    real *to;
} infl_pixel_sums;

/* to(m, entry) ← the sum over the rows as well */
void INFL_REAL(pixel_sums)(const infl_pixel_sums *sums);
/* to(m, entry, row): B numbers each */
void INFL_REAL(pixel_sums_of_rows)(const infl_pixel_sums *sums);

/*
 * The same sums over pixels and rows for many channels of x: to(m, c) for c < channels, with x transposed beforehand to
 * pixels × B × padded channels. x_step and x are in that array.
 */
typedef struct infl_outer_sums {
    size_t m, y_channel, channels;
    size_t rows;
    size_t n_terms;
    const real *x[INFL_MAX_TERMS], *y[INFL_MAX_TERMS];
    infl_pixels pixels;
    real *to; /* m × padded channels */
} infl_outer_sums;

void INFL_REAL(outer_sums)(const infl_outer_sums *sums);

/* x (channels × pixels × B) → pixels × B × padded channels, with zeros where the padding is */
void INFL_REAL(transpose_channels)(const real *x, size_t channels, size_t pixels, size_t rows, real *to);

static inline size_t infl_pad_channels(size_t channels) {
    return (channels + INFL_LANES - 1) / INFL_LANES * INFL_LANES;
}

#endif

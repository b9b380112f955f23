#include "convolve.h"

#include "vector.h"

/* Accumulators of a tile, what they are multiplied with and one broadcast must fit the vector registers: 32 with AVX-512,
 * else 16. */
#if INFL_VECTOR_BYTES == 64
enum { TILE_M = 8, TILE_PIXELS = 3, NARROW_M = 6, NARROW_PIXELS = 4 };
#else
enum { TILE_M = 4, TILE_PIXELS = 3, NARROW_M = 2, NARROW_PIXELS = 4 };
#endif

/* What may be expected to stay in the second-level cache while something else streams through it. */
enum { CACHED_BYTES = 512 << 10 };

/* The tile of m outputs × `vectors` vectors of pixels, these x_step and y_step apart. */
__attribute__((always_inline)) static inline void tap_tile(const infl_tap_product *p, size_t m, size_t vectors,
                                                           size_t first, size_t x_at, size_t x_step, size_t y_at,
                                                           size_t y_step) {
    vector sum[TILE_M][NARROW_PIXELS];
    real *y = p->y + first * p->y_channel + y_at;
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++)
            sum[i][v] = p->accumulate     ? load(y + i * p->y_channel + v * y_step)
                        : p->bias != NULL ? broadcast(p->bias[first + i])
                                          : (vector){0};
    const size_t n_taps = p->n_taps, weight_m = p->weight_m;
    for (size_t term = 0; term < p->n_terms; term++) {
        const real *x = p->x[term] + x_at, *weights = p->weights[term] + first * weight_m;
        for (size_t d = 0; d < p->depth; d++, x += p->x_channel, weights += p->weight_depth)
            for (size_t t = 0; t < n_taps; t++) {
                const real *xt = x + p->x_tap[t], *w = weights + p->weight_tap[t];
                vector right[NARROW_PIXELS];
#pragma GCC unroll 4
                for (size_t v = 0; v < vectors; v++)
                    right[v] = load(xt + v * x_step);
#pragma GCC unroll 8
                for (size_t i = 0; i < m; i++) {
                    vector left = broadcast(w[i * weight_m]);
#pragma GCC unroll 4
                    for (size_t v = 0; v < vectors; v++)
                        sum[i][v] += left * right[v];
                }
            }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++)
            store(y + i * p->y_channel + v * y_step, sum[i][v]);
}

/* m outputs at a run of vectors. */
__attribute__((always_inline)) static inline void tap_run(const infl_tap_product *p, size_t m, size_t wide,
                                                          size_t first, size_t n, size_t x_at, size_t x_step,
                                                          size_t y_at, size_t y_step) {
    for (; n >= wide; n -= wide, x_at += wide * x_step, y_at += wide * y_step)
        tap_tile(p, m, wide, first, x_at, x_step, y_at, y_step);
    if (n >= 2) {
        tap_tile(p, m, 2, first, x_at, x_step, y_at, y_step);
        n -= 2, x_at += 2 * x_step, y_at += 2 * y_step;
    }
    if (n > 0)
        tap_tile(p, m, 1, first, x_at, x_step, y_at, y_step);
}

static void tap_runs(const infl_tap_product *p, size_t first, size_t m, size_t n, size_t x_at, size_t x_step,
                     size_t y_at, size_t y_step) {
#define RUN(M, WIDE)                                                                                                   \
    case M:                                                                                                            \
        tap_run(p, M, WIDE, first, n, x_at, x_step, y_at, y_step);                                                     \
        break;
    switch (m) {
        RUN(1, NARROW_PIXELS)
        RUN(2, NARROW_PIXELS)
#if INFL_VECTOR_BYTES == 64
        RUN(3, NARROW_PIXELS)
        RUN(4, NARROW_PIXELS)
        RUN(5, NARROW_PIXELS)
        RUN(6, NARROW_PIXELS)
        RUN(7, TILE_PIXELS)
        RUN(8, TILE_PIXELS)
#else
        RUN(3, TILE_PIXELS)
        RUN(4, TILE_PIXELS)
#endif
    }
#undef RUN
}

/* A line of pixels along an axis for m outputs. */
static void tap_line(const infl_tap_product *p, size_t first, size_t axis, size_t x_at, size_t y_at) {
    size_t m = p->m - first < TILE_M ? p->m - first : TILE_M, vectors = p->rows / INFL_LANES;
    size_t n = p->pixels.count[axis], x_step = p->pixels.x_step[axis], y_step = p->pixels.y_step[axis];
    if (x_step == p->rows && y_step == p->rows) /* contiguous */
        tap_runs(p, first, m, n * vectors, x_at, INFL_LANES, y_at, INFL_LANES);
    else if (vectors == 1)
        tap_runs(p, first, m, n, x_at, x_step, y_at, y_step);
    else
        for (size_t i = 0; i < n; i++)
            tap_runs(p, first, m, vectors, x_at + i * x_step, INFL_LANES, y_at + i * y_step, INFL_LANES);
}

void INFL_REAL(tap_product)(const infl_tap_product *p) {
    /* vectors of neighbouring pixels go together, along the longer side */
    size_t along = p->pixels.count[0] > p->pixels.count[1] ? 0 : 1, across = 1 - along, lines = p->pixels.count[across];
    /* either the image is read once for each tile of outputs, or the weights once for each line */
    size_t image = p->depth * p->x_channel * sizeof(real), weights = p->m * p->depth * p->n_taps * sizeof(real);
    int image_stays = image <= CACHED_BYTES || p->m / TILE_M * image <= lines * weights;
    size_t outer = image_stays ? (p->m + TILE_M - 1) / TILE_M : lines;
    size_t inner = image_stays ? lines : (p->m + TILE_M - 1) / TILE_M;
    for (size_t i = 0; i < outer; i++)
        for (size_t j = 0; j < inner; j++) {
            size_t first = (image_stays ? i : j) * TILE_M, line = image_stays ? j : i;
            tap_line(p, first, along, line * p->pixels.x_step[across], line * p->pixels.y_step[across]);
        }
}

/* rows_apart: one vector of each pixel's rows, `row` the first; else all of them. */
__attribute__((always_inline)) static inline void sums_tile(const infl_pixel_sums *p, size_t m, size_t entries,
                                                            size_t first, size_t entry, int rows_apart, size_t row) {
    vector sum[TILE_M][TILE_PIXELS];
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t e = 0; e < entries; e++)
            sum[i][e] = (vector){0};
    const size_t y_channel = p->y_channel, last = rows_apart ? row + INFL_LANES : p->rows;
    size_t at[TILE_PIXELS];
    for (size_t e = 0; e < entries; e++)
        at[e] = p->x_entry[entry + e];
    for (size_t term = 0; term < p->n_terms; term++)
        for (size_t j = 0; j < p->pixels.count[0]; j++) {
            const real *x = p->x[term] + j * p->pixels.x_step[0];
            const real *y = p->y[term] + first * y_channel + j * p->pixels.y_step[0];
            for (size_t i = 0; i < p->pixels.count[1]; i++, x += p->pixels.x_step[1], y += p->pixels.y_step[1])
                for (size_t b = row; b < last; b += INFL_LANES) {
                    vector right[TILE_PIXELS];
#pragma GCC unroll 3
                    for (size_t e = 0; e < entries; e++)
                        right[e] = load(x + at[e] + b);
#pragma GCC unroll 8
                    for (size_t k = 0; k < m; k++) {
                        vector left = load(y + k * y_channel + b);
#pragma GCC unroll 3
                        for (size_t e = 0; e < entries; e++)
                            sum[k][e] += left * right[e];
                    }
                }
        }
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t e = 0; e < entries; e++) {
            real *to = p->to + (first + i) * p->to_m;
            if (rows_apart)
                store(to + p->to_entry[entry + e] * p->rows + row, sum[i][e]);
            else
                to[p->to_entry[entry + e]] = lanes_sum(sum[i][e]);
        }
}

__attribute__((always_inline)) static inline void sums_strip(const infl_pixel_sums *p, size_t m, size_t first,
                                                             int rows_apart, size_t row) {
    size_t entry = 0;
    for (; entry + TILE_PIXELS <= p->n_entries; entry += TILE_PIXELS)
        sums_tile(p, m, TILE_PIXELS, first, entry, rows_apart, row);
    if (entry + 2 <= p->n_entries) {
        sums_tile(p, m, 2, first, entry, rows_apart, row);
        entry += 2;
    }
    if (entry < p->n_entries)
        sums_tile(p, m, 1, first, entry, rows_apart, row);
}

__attribute__((always_inline)) static inline void all_sums(const infl_pixel_sums *p, int rows_apart, size_t row) {
    for (size_t first = 0; first < p->m; first += TILE_M) {
#define STRIP(M)                                                                                                       \
    case M:                                                                                                            \
        sums_strip(p, M, first, rows_apart, row);                                                                      \
        break;
        switch (p->m - first < TILE_M ? p->m - first : TILE_M) {
            STRIP(1)
            STRIP(2)
            STRIP(3)
            STRIP(4)
#if INFL_VECTOR_BYTES == 64
            STRIP(5)
            STRIP(6)
            STRIP(7)
            STRIP(8)
#endif
        }
#undef STRIP
    }
}

void INFL_REAL(pixel_sums)(const infl_pixel_sums *sums) { all_sums(sums, 0, 0); }

void INFL_REAL(pixel_sums_of_rows)(const infl_pixel_sums *sums) {
    for (size_t row = 0; row < sums->rows; row += INFL_LANES)
        all_sums(sums, 1, row);
}

__attribute__((always_inline)) static inline void outer_tile(const infl_outer_sums *p, size_t m, size_t vectors,
                                                             size_t first, size_t channel) {
    const size_t padded = infl_pad_channels(p->channels), y_channel = p->y_channel;
    vector sum[TILE_M][TILE_PIXELS];
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t v = 0; v < vectors; v++)
            sum[i][v] = (vector){0};
    for (size_t term = 0; term < p->n_terms; term++)
        for (size_t j = 0; j < p->pixels.count[0]; j++) {
            const real *x_row = p->x[term] + channel + j * p->pixels.x_step[0];
            const real *y_row = p->y[term] + first * y_channel + j * p->pixels.y_step[0];
            for (size_t i = 0; i < p->pixels.count[1];
                 i++, x_row += p->pixels.x_step[1], y_row += p->pixels.y_step[1]) {
                const real *x = x_row;
                for (const real *y = y_row, *end = y_row + p->rows; y < end; y++, x += padded) {
                    vector right[TILE_PIXELS];
#pragma GCC unroll 3
                    for (size_t v = 0; v < vectors; v++)
                        right[v] = load(x + v * INFL_LANES);
#pragma GCC unroll 8
                    for (size_t k = 0; k < m; k++) {
                        vector left = broadcast(y[k * y_channel]);
#pragma GCC unroll 3
                        for (size_t v = 0; v < vectors; v++)
                            sum[k][v] += left * right[v];
                    }
                }
            }
        }
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t v = 0; v < vectors; v++)
            store(p->to + (first + i) * padded + channel + v * INFL_LANES, sum[i][v]);
}

void INFL_REAL(outer_sums)(const infl_outer_sums *sums) {
    size_t padded = infl_pad_channels(sums->channels);
    for (size_t first = 0; first < sums->m; first += TILE_M) {
        size_t m = sums->m - first < TILE_M ? sums->m - first : TILE_M, vectors;
        for (size_t channel = 0; channel < padded; channel += vectors * INFL_LANES) {
            vectors = (padded - channel) / INFL_LANES;
            /* four are two and two rather than three and one */
            vectors = vectors >= TILE_PIXELS && vectors != 4 ? TILE_PIXELS : vectors > 2 ? 2 : vectors;
#define TILE(M)                                                                                                        \
    case M:                                                                                                            \
        if (vectors == 3)                                                                                              \
            outer_tile(sums, M, 3, first, channel);                                                                    \
        else if (vectors == 2)                                                                                         \
            outer_tile(sums, M, 2, first, channel);                                                                    \
        else                                                                                                           \
            outer_tile(sums, M, 1, first, channel);                                                                    \
        break;
            switch (m) {
                TILE(1)
                TILE(2)
                TILE(3)
                TILE(4)
#if INFL_VECTOR_BYTES == 64
                TILE(5)
                TILE(6)
                TILE(7)
                TILE(8)
#endif
            }
#undef TILE
        }
    }
}

/* A square of LANES vectors, x_step numbers from one to the next, transposed; only `present` of them are there. Interleaving
 * the first half of the vectors with the second, log2 LANES times, is a transposition. */
static void transpose_square(const real *x, size_t x_step, size_t present, real *to, size_t to_step) {
    vector row[INFL_LANES], mixed[INFL_LANES];
    for (size_t i = 0; i < INFL_LANES; i++)
        row[i] = i < present ? load(x + i * x_step) : (vector){0};
#pragma GCC unroll 4
    for (size_t round = 1; round < INFL_LANES; round *= 2) {
#pragma GCC unroll 8
        for (size_t i = 0; i < INFL_LANES / 2; i++) {
            mixed[2 * i] = interleave_lower(row[i], row[i + INFL_LANES / 2]);
            mixed[2 * i + 1] = interleave_upper(row[i], row[i + INFL_LANES / 2]);
        }
#pragma GCC unroll 16
        for (size_t i = 0; i < INFL_LANES; i++)
            row[i] = mixed[i];
    }
    for (size_t i = 0; i < INFL_LANES; i++)
        store(to + i * to_step, row[i]);
}

void INFL_REAL(transpose_channels)(const real *x, size_t channels, size_t pixels, size_t rows, real *to) {
    size_t padded = infl_pad_channels(channels);
    for (size_t channel = 0; channel < padded; channel += INFL_LANES) {
        size_t present = channels - channel < INFL_LANES ? channels - channel : INFL_LANES;
        for (size_t i = 0; i < pixels * rows; i += INFL_LANES)
            transpose_square(x + channel * pixels * rows + i, pixels * rows, present, to + i * padded + channel,
                             padded);
    }
}

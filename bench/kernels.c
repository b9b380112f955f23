/*
 * The passes of a convolution alone, on one thread in f32: GFLOP/s of the multiply-adds that are left when taps on padding
 * are skipped, for the shapes that the zoo has. Each is the best of a few repeats of about a tenth of a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INFL_REAL_F32
#define INFL_ISA base /* the engine's functions are called through its table */
#include "real/layer.h"

enum { ROWS = 16, REPEATS = 5 };

typedef struct shape {
    size_t inputs, outputs, image, kernel, stride, padding;
} shape;

static const shape shapes[] = {
    {3, 6, 32, 5, 1, 0},    {6, 16, 14, 5, 1, 0},   {8, 8, 26, 3, 2, 0},     {8, 8, 12, 3, 1, 0},
    {3, 64, 32, 3, 1, 1},   {64, 64, 32, 3, 1, 1},  {128, 128, 16, 3, 1, 1}, {256, 256, 8, 3, 1, 1},
    {512, 512, 4, 3, 1, 1}, {512, 512, 2, 3, 1, 1}, {16, 16, 32, 3, 1, 1},   {32, 32, 16, 3, 1, 1},
    {64, 64, 8, 3, 1, 1},   {128, 128, 4, 3, 1, 1}, {64, 128, 32, 3, 2, 1},  {64, 128, 32, 1, 2, 0},
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *numbers(size_t n) {
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
    if (x == NULL)
        exit(1);
    for (size_t i = 0; i < n; i++)
        x[i] = 0.01f;
    return x;
}

static double rate(void (*pass)(const infl_layer_call *), const infl_layer_call *call, double flops) {
    double best = 0.0;
    int n = (int)(2e10 / flops) + 1;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = now();
        for (int i = 0; i < n; i++)
            pass(call);
        double found = n * flops / (now() - start);
        best = found > best ? found : best;
    }
    return best * 1e-9;
}

int main(void) {
    const infl_layer_kind *kind = infl_engine_select(INFL_F32)->kinds[INFL_LAYER_CONV2D];
    printf("%-28s%10s%10s%10s   GFLOP/s\n", "convolution", "forward", "input", "weights");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const shape *s = &shapes[i];
        infl_layer layer = {.n_inputs = 1,
                            .in_shape = {{s->inputs, s->image, s->image}},
                            .in_width = {s->inputs * s->image * s->image}};
        layer.spec =
            (infl_layer_spec){.units = s->outputs,
                              .groups = 1,
                              .window = {{s->kernel, s->kernel}, {s->stride, s->stride}, {s->padding, s->padding}}};
        if (kind->shape(&layer) != INFL_OK)
            return 1;
        layer.width = infl_shape_size(layer.shape);
        double taps = 0.0; /* along an axis, over all positions */
        for (size_t tap = 0; tap < s->kernel; tap++) {
            size_t from, to;
            infl_window_range(&layer.spec.window, 0, tap, s->image, layer.shape.height, &from, &to);
            taps += (double)(to - from);
        }
        double flops = 2.0 * taps * taps * (double)(s->inputs * s->outputs * ROWS);
        float *x = numbers(layer.in_width[0] * ROWS), *dx = numbers(layer.in_width[0] * ROWS);
        float *y = numbers(layer.width * ROWS), *theta = numbers(layer.parameters),
              *gradient = numbers(layer.parameters);
        void *scratch = numbers(kind->scratch(&layer, ROWS) / sizeof(float));
        infl_layer_call forward = {.layer = &layer,
                                   .rows = ROWS,
                                   .valid = ROWS,
                                   .last = 1,
                                   .scratch = scratch,
                                   .theta = theta,
                                   .x = {{x, NULL}},
                                   .y = {y, NULL},
                                   .dy = {y, NULL}};
        infl_layer_call input = forward, weights = forward;
        input.dx[0].value = dx;
        weights.gradient = gradient;
        char name[64];
        snprintf(name, sizeof name, "%zu to %zu, %zu×%zu, %zu×%zu/%zu", s->inputs, s->outputs, s->image, s->image,
                 s->kernel, s->kernel, s->stride);
        printf("%-30s%10.0f%10.0f%10.0f\n", name, rate(kind->forward, &forward, flops),
               rate(kind->backward, &input, flops), rate(kind->backward, &weights, flops));
        free(x);
        free(dx);
        free(y);
        free(theta);
        free(gradient);
        free(scratch);
    }
    return 0;
}

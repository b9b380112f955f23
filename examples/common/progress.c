#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct progress {
    double total, done;
    struct timespec start;
    double drawn_at; /* seconds after the start */
    int terminal;
};

static double seconds_since(const struct timespec *start) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

progress *progress_begin(double total) {
    progress *bar = malloc(sizeof *bar);
    if (bar == NULL)
        return NULL;
    bar->total = total;
    bar->done = 0.0;
    bar->drawn_at = -1.0;
    bar->terminal = isatty(STDERR_FILENO);
    clock_gettime(CLOCK_MONOTONIC, &bar->start);
    return bar;
}

static void print_duration(double seconds) {
    unsigned long whole = (unsigned long)(seconds + 0.5);
    if (whole >= 3600) {
        fprintf(stderr, "%lu h %02lu min", whole / 3600, whole / 60 % 60);
    } else if (whole >= 60) {
        fprintf(stderr, "%lu min %02lu s", whole / 60, whole % 60);
    } else {
        fprintf(stderr, "%lu s", whole);
    }
}

static void draw(progress *bar) {
    enum { WIDTH = 40 };
    double elapsed = seconds_since(&bar->start);
    double fraction = bar->total > 0.0 ? bar->done / bar->total : 1.0;
    char cells[WIDTH + 1];
    if (fraction > 1.0)
        fraction = 1.0;
    for (int i = 0; i < WIDTH; i++) {
        cells[i] = i < (int)(fraction * WIDTH) ? '#' : '.';
    }
    cells[WIDTH] = '\0';
    fprintf(stderr, "\r\033[K[%s] %3d %%  ", cells, (int)(100.0 * fraction));
    if (fraction > 0.0 && elapsed > 1.0) {
        print_duration(elapsed * (1.0 - fraction) / fraction);
        fprintf(stderr, " left");
    }
    fflush(stderr);
    bar->drawn_at = elapsed;
}

void progress_advance(progress *bar, double units) {
    if (bar == NULL)
        return;
#ifdef _OPENMP
#pragma omp critical(progress)
#endif
    {
        bar->done += units;
        if (bar->terminal && seconds_since(&bar->start) > bar->drawn_at + 0.1)
            draw(bar);
    }
}

void progress_skip(progress *bar, double units) {
    if (bar == NULL)
        return;
#ifdef _OPENMP
#pragma omp critical(progress)
#endif
    bar->total -= units;
}

void progress_line(progress *bar, int also_above, const char *format, ...) {
    int terminal = bar != NULL && bar->terminal;
    va_list arguments;
    if (terminal && !also_above)
        return;
    va_start(arguments, format);
#ifdef _OPENMP
#pragma omp critical(progress)
#endif
    {
        if (terminal)
            fprintf(stderr, "\r\033[K");
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
        if (terminal)
            draw(bar);
    }
    va_end(arguments);
}

void progress_end(progress *bar) {
    if (bar != NULL && bar->terminal)
        fprintf(stderr, "\r\033[K");
    free(bar);
}

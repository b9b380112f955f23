#include "stages.h"

#include <string.h>
#include <time.h>

#include "interrupt.h"

void stage_begin(stages *s, double seconds) {
    s->seconds = seconds;
    s->advanced = 0.0;
    s->begun = 0;
}

void stage_end(stages *s) { progress_advance(s->bar, s->seconds - s->advanced); }

int stage_progress(void *context, const char *stage, size_t done, size_t total) {
    stages *s = context;
    double seconds = total > 0 ? s->seconds * (double)done / (double)total : 0.0;
    if (!s->begun && strcmp(stage, "retrain") == 0) { /* what is done at the first word is from an earlier run */
        progress_skip(s->bar, seconds);
        s->advanced = seconds;
    }
    s->begun = 1;
    if (seconds > s->advanced) {
        progress_advance(s->bar, seconds - s->advanced);
        s->advanced = seconds;
    }
    return interrupt_requested() != 0;
}

double seconds_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

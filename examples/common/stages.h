/* A bar of seconds, as estimated, over work that is done in stages whose progress the library reports. */
#ifndef EXAMPLES_STAGES_H
#define EXAMPLES_STAGES_H

#include <stddef.h>

#include "progress.h"

typedef struct stages {
    progress *bar;
    double seconds, advanced; /* of the present stage: estimated, and how many of them the bar has */
    int begun;                /* the present stage has told of progress */
} stages;

void stage_begin(stages *s, double seconds);
void stage_end(stages *s);

/* The library's progress callback, its context the stages. Cancels after an interrupt. */
int stage_progress(void *context, const char *stage, size_t done, size_t total);

/* Of a clock that only goes forwards. */
double seconds_now(void);

#endif

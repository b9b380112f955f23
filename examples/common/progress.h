/* A bar with the time left, on stderr when that is a terminal; otherwise only the lines. */
#ifndef EXAMPLES_PROGRESS_H
#define EXAMPLES_PROGRESS_H

#include <stddef.h>

typedef struct progress progress;

/* total: units of work to do. NULL when memory is short: all functions take that and show no bar. */
progress *progress_begin(double total);

/* Adds finished units. From any thread. */
void progress_advance(progress *bar, double units);

/* Takes units off the total: work that an earlier run has done tells nothing of the time left. From any thread. */
void progress_skip(progress *bar, double units);

/* Prints a line, which a terminal shows above the bar; with also_above 0 only where there is no bar. From any thread. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void progress_line(progress *bar, int also_above, const char *format, ...);

/* Wipes the bar and frees it. */
void progress_end(progress *bar);

#endif

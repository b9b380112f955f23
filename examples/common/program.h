/* What the studies share from the command line to the exit status. */
#ifndef EXAMPLES_PROGRAM_H
#define EXAMPLES_PROGRAM_H

#include <influence.h>

#include <stddef.h>

#include "arguments.h"

enum { EXIT_USAGE = 2, EXIT_SIGNAL = 128 };

struct settings; /* each program has its own */

typedef struct program {
    const char *name;
    const char *about, *files; /* what --help says before the options, and after them */
    const argument *table;     /* its options, whose targets are in the settings */
    size_t n_options;
    struct settings *settings;
    void (*set_default)(struct settings *settings, size_t preset);
    const size_t *preset; /* among the settings, as the two below */
    const int *help, *version;
} program;

/*
 * Sees to it that the first three descriptors are taken: a file that is opened would get the number of one that is closed,
 * and then what is printed. For main to call first, where program_begin does not.
 */
void program_hold_streams(void);

/* Sees stdout to its end. 0, or -1 after a sentence on stderr. */
int program_finish_stdout(const char *name);

/*
 * Reads the command line into the settings, over the defaults of the preset that it names, or else of `preset`. Non-zero:
 * there is nothing more to do, and *result is the program's exit status.
 */
int program_begin(const program *p, size_t preset, int argc, char **argv, int *result);

/* The folder of --data, or else of INFLUENCE_DATA. 0, or -1 after a sentence on stderr. */
int program_find_data(const char *name, const char **folder);

/* 0: as many threads as OpenMP offers. */
int program_threads(size_t asked);

/* A library call's failure, on stderr. */
void program_say_failure(const char *name, infl_status status);

/* The exit status of a run that failed or not, and may have been interrupted, which is then said. */
int program_end(const char *name, int failed);

#endif

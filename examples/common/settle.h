/* Whose results a folder holds: settings.txt there begins with the fingerprint of what they depend on. */
#ifndef EXAMPLES_SETTLE_H
#define EXAMPLES_SETTLE_H

#include <stddef.h>

#include "arguments.h"

typedef struct settlement {
    const char *program, *folder;
    int resume, anew; /* what was asked for; an earlier run's folder needs one of them */
    unsigned long long fingerprint;
    int earlier; /* set: there was a run of this program in the folder */
} settlement;

/*
 * Writes settings.txt with the table's options. 0, or -1 after a sentence on stderr: there is an earlier run with no
 * word of what to do with it, or, to be resumed, one of another fingerprint.
 */
int settle_folder(settlement *here, const argument *table, size_t n);

#endif

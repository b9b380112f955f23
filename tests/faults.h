/*
 * Faults on purpose: the k-th allocation, or call on a file, fails that the library makes, or a library that it calls.
 * The test program has its own malloc, open, write and so on, which are those of the C library until a fault is armed.
 */
#ifndef INFL_TESTS_FAULTS_H
#define INFL_TESTS_FAULTS_H

#include <stddef.h>

typedef enum fault_kind {
    FAULT_ALLOCATION, /* by the library, Jansson, zlib, xxHash, stdio, LAPACKE and LAPACK: no memory            */
    FAULT_FILE,       /* open, read, write, fsync, rename, close and their kin: EIO, and nothing has been done  */
    FAULT_SHORT       /* a write writes one byte, and all calls after it fail as with FAULT_FILE: a disk is full */
} fault_kind;

/* From now on the call of this kind that is number k, counted from 1, fails; `lasting`: all calls after it as well. */
void fault_arm(fault_kind kind, size_t k, int lasting);

/* No call fails any more; how many of the kind there were since fault_arm. */
size_t fault_disarm(void);

/* Who made the last call that failed, such as "libjansson"; "" when none did. */
const char *fault_caller(void);

/* The next allocation of so many bytes shows a place in the code whose allocations never fail from then on. */
void fault_spare(size_t size);
int fault_spared(void); /* whether there was one */

/* Blocks allocated by the same callers from here on are counted. */
void blocks_watch(void);

/* How many of them have not been freed; counting ends. The caller and size of the first go to `text`. */
size_t blocks_left(char *text, size_t size);

#endif

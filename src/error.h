/* Failing: every error leaves a sentence behind, and one macro passes it on. */
#ifndef INFL_ERROR_H
#define INFL_ERROR_H

#include "influence.h"

enum { INFL_MESSAGE_BYTES = 512 }; /* of a sentence; a longer one is cut */

/* Records the sentence for infl_last_error() and returns status. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3), cold))
#endif
infl_status
infl_fail(infl_status status, const char *format, ...);

/* The last sentence without the function's name, if it begins with one. */
const char *infl_error_cause(void);

/* A failure deep inside, said in the name of the public function that was called, in place of another's. */
infl_status infl_in_name_of(const char *function, infl_status status);

#ifdef __clang_analyzer__ /* which does not see into error.c: both return the status that they are given */
#define infl_fail(status, ...) (infl_fail(status, __VA_ARGS__), (status))
#define infl_in_name_of(function, status) ((void)(function), (status))
#endif

/* Passes a failure on. Where something must be freed first: `if ((status = f()) != INFL_OK) goto out;`. */
#define INFL_TRY(call)                                                                                                 \
    do {                                                                                                               \
        infl_status status_of_call_ = (call);                                                                          \
        if (status_of_call_ != INFL_OK)                                                                                \
            return status_of_call_;                                                                                    \
    } while (0)

/* A pointer argument of a public function that must not be NULL. */
#define INFL_REQUIRE(pointer)                                                                                          \
    do {                                                                                                               \
        if ((pointer) == NULL)                                                                                         \
            return infl_fail(INFL_E_ARGUMENT, "%s: %s is NULL", __func__, #pointer);                                   \
    } while (0)

/* What errno means, in a text of the caller's, which is returned. */
enum { INFL_ERRNO_BYTES = 128 };
const char *infl_errno_text(int error, char text[INFL_ERRNO_BYTES]);

/* What errno says of a call on a file: INFL_E_MEMORY, or INFL_E_IO. */
infl_status infl_errno_status(int error);

/* INFL_E_BUDGET: the budget of a call is less than the least that would do, both in bytes. */
infl_status infl_refuse_budget(size_t budget, size_t least);

/* Tells a progress callback (NULL: nobody) how far a stage came, unless it is empty; INFL_E_CANCELLED when it says so. */
infl_status infl_report_progress(infl_progress_fn progress, void *context, const char *stage, size_t done,
                                 size_t total);

/*
 * Reads an options struct of any version of the header: `known` bytes of defaults stand in `options` and are
 * overwritten by what the caller's struct (its size in its first member) has. given may be NULL. A larger struct, of a
 * later header, is accepted if all that is not known here is zero.
 */
infl_status infl_read_options(void *options, size_t known, const void *given, const char *function, const char *name);

/*
 * An error set on a worker thread reaches the caller's thread: the first failing worker (in the order of the work, so
 * that it is the same for any number of threads) is kept with its sentence.
 */
typedef struct infl_error_slot {
    infl_status status;
    size_t index;
    char message[INFL_MESSAGE_BYTES];
} infl_error_slot;
#define INFL_ERROR_SLOT_INIT                                                                                           \
    {                                                                                                                  \
        INFL_OK, 0, { 0 }                                                                                              \
    }
void infl_error_collect(infl_error_slot *slot, infl_status status, size_t index); /* call inside a critical section */
infl_status infl_error_raise(const infl_error_slot *slot);

#endif

/* The one place where memory comes from and goes to. */
#ifndef INFL_MEMORY_H
#define INFL_MEMORY_H

#include <stddef.h>

#include "error.h"

#define INFL_ALIGNMENT ((size_t)64)

/* count objects of size bytes, zeroed, aligned to 64 bytes; NULL with an error recorded (INFL_E_MEMORY) when there is
 * no such memory or count·size overflows. count 0 gives a valid pointer. */
void *infl_allocate(size_t count, size_t size);
/* The same for rows×columns objects. */
void *infl_allocate_matrix(size_t rows, size_t columns, size_t size);
void infl_release(void *memory); /* NULL is fine */

/* Fails with INFL_E_MEMORY, the sentence being infl_allocate's. */
#define INFL_ALLOCATE(pointer, count)                                                                                  \
    do {                                                                                                               \
        (pointer) = infl_allocate((count), sizeof *(pointer));                                                         \
        if ((pointer) == NULL)                                                                                         \
            return INFL_E_MEMORY;                                                                                      \
    } while (0)

#define INFL_ALLOCATE_MATRIX(pointer, rows, columns)                                                                   \
    do {                                                                                                               \
        (pointer) = infl_allocate_matrix((rows), (columns), sizeof *(pointer));                                        \
        if ((pointer) == NULL)                                                                                         \
            return INFL_E_MEMORY;                                                                                      \
    } while (0)

/* The same in a public function that has nothing else to say in its own name. */
#define INFL_ALLOCATE_NAMED(pointer, count)                                                                            \
    do {                                                                                                               \
        (pointer) = infl_allocate((count), sizeof *(pointer));                                                         \
        if ((pointer) == NULL)                                                                                         \
            return infl_in_name_of(__func__, INFL_E_MEMORY);                                                           \
    } while (0)
#define INFL_ALLOCATE_MATRIX_NAMED(pointer, rows, columns)                                                             \
    do {                                                                                                               \
        (pointer) = infl_allocate_matrix((rows), (columns), sizeof *(pointer));                                        \
        if ((pointer) == NULL)                                                                                         \
            return infl_in_name_of(__func__, INFL_E_MEMORY);                                                           \
    } while (0)

/* The same in a function with `infl_status status` and a label `out` that frees. */
#define INFL_ALLOCATE_OR_OUT(pointer, count)                                                                           \
    do {                                                                                                               \
        (pointer) = infl_allocate((count), sizeof *(pointer));                                                         \
        if ((pointer) == NULL) {                                                                                       \
            status = INFL_E_MEMORY;                                                                                    \
            goto out;                                                                                                  \
        }                                                                                                              \
    } while (0)
#define INFL_ALLOCATE_MATRIX_OR_OUT(pointer, rows, columns)                                                            \
    do {                                                                                                               \
        (pointer) = infl_allocate_matrix((rows), (columns), sizeof *(pointer));                                        \
        if ((pointer) == NULL) {                                                                                       \
            status = INFL_E_MEMORY;                                                                                    \
            goto out;                                                                                                  \
        }                                                                                                              \
    } while (0)

#endif

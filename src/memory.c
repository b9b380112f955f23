#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *infl_allocate(size_t count, size_t size) {
    if (size != 0 && count > (SIZE_MAX - INFL_ALIGNMENT) / size) {
        infl_fail(INFL_E_MEMORY, "%zu objects of %zu bytes are more than can be addressed", count, size);
        return NULL;
    }
    size_t bytes = (count * size + INFL_ALIGNMENT - 1) / INFL_ALIGNMENT * INFL_ALIGNMENT;
    if (bytes == 0)
        bytes = INFL_ALIGNMENT;
    void *memory = aligned_alloc(INFL_ALIGNMENT, bytes);
    if (memory == NULL) {
        infl_fail(INFL_E_MEMORY, "%zu bytes of memory are not to be had", bytes);
        return NULL;
    }
    return memset(memory, 0, bytes);
}

void *infl_allocate_matrix(size_t rows, size_t columns, size_t size) {
    if (columns != 0 && rows > SIZE_MAX / columns) {
        infl_fail(INFL_E_MEMORY, "%zu×%zu objects of %zu bytes are more than can be addressed", rows, columns, size);
        return NULL;
    }
    return infl_allocate(rows * columns, size);
}

void infl_release(void *memory) { free(memory); }

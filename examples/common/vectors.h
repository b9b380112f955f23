/* Vectors of numbers kept in a folder from one run to the next, to the last bit: a hexadecimal number a line. */
#ifndef EXAMPLES_VECTORS_H
#define EXAMPLES_VECTORS_H

#include <stddef.h>

/* Writes folder/name, complete or not at all. 0, or -1 after a sentence on stderr. */
int vector_write(const char *folder, const char *name, const double *values, size_t n);

/* Reads n numbers. 0; 1: there is no such file; -1 after a sentence on stderr: it holds something else. */
int vector_read(const char *folder, const char *name, double *values, size_t n);

#endif

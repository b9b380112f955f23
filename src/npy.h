/*
 * Arrays in NumPy's .npy format, versions 1.0 to 3.0: a magic string, the length of a header, the header (the literal
 * of a Python dictionary with type, order and shape), then the numbers.
 */
#ifndef INFL_NPY_H
#define INFL_NPY_H

#include "error.h"
#include "hash.h"

typedef enum infl_npy_kind { INFL_NPY_BOOL, INFL_NPY_SIGNED, INFL_NPY_UNSIGNED, INFL_NPY_FLOAT } infl_npy_kind;

typedef struct infl_npy infl_npy;

/* What an open file has; its strings and dims are the file's. */
typedef struct infl_npy_array {
    const char *descr; /* "<f8" */
    infl_npy_kind kind;
    size_t size; /* bytes of a number */
    size_t n_dims;
    const size_t *dims;
    size_t length;     /* numbers */
    int columns_first; /* Fortran's order, of two dimensions */
} infl_npy_array;

/*
 * Opens a file, which nobody has to trust: its header is read and checked, also that the numbers end with the file.
 * hash, where it is not NULL, is given all bytes of the file as they are read. INFL_E_IO; INFL_E_FORMAT: what is wrong, and
 * where; INFL_E_UNSUPPORTED: numbers that are not of a type above, more than two dimensions in Fortran's order.
 */
infl_status infl_npy_open(infl_npy **out, const char *path, infl_hash *hash);
void infl_npy_close(infl_npy *file); /* NULL is fine */

const infl_npy_array *infl_npy_describe(const infl_npy *file);
/* The shape as Python writes it, "(60000, 28, 28)", cut where it is longer than the text. */
enum { INFL_NPY_SHAPE_TEXT = 96 };
const char *infl_npy_shape_text(const infl_npy_array *array, char text[INFL_NPY_SHAPE_TEXT]);

/* The next n numbers in the order of the file; whole ones beyond 2^53 are rounded. */
infl_status infl_npy_read(infl_npy *file, size_t n, double *out);
/* Where number k of the file stands in the array, rows first. */
size_t infl_npy_place(const infl_npy_array *array, size_t k);

struct infl_new_file;

/*
 * Writes rows×columns numbers (columns 0: a vector of `rows`) as little-endian f4 or f8 in a file that is open to be
 * written, not closed yet; hash as above. INFL_E_NONFINITE: a number is too large for f4.
 */
infl_status infl_npy_write(struct infl_new_file *file, infl_precision precision, size_t rows, size_t columns,
                           const double *numbers, infl_hash *hash);

#endif

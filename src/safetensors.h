/*
 * Files in the safetensors format: the length of a header in 8 bytes, the header in JSON with strings about the file
 * and name, type, shape and place of each tensor, then the tensors' bytes, all little-endian.
 */
#ifndef INFL_SAFETENSORS_H
#define INFL_SAFETENSORS_H

#include "error.h"

enum { INFL_TENSOR_DIMS = 8 };

/* Types of numbers. F16 and BF16 (the upper half of F32) are only read. Of OTHER only the size is known, so that a file
 * may have tensors that are not read. */
typedef enum infl_number_type {
    INFL_NUMBER_F64,
    INFL_NUMBER_F32,
    INFL_NUMBER_I64,
    INFL_NUMBER_U8,
    INFL_NUMBER_F16,
    INFL_NUMBER_BF16,
    INFL_NUMBER_OTHER
} infl_number_type;

/* A tensor of an open file; its strings are the file's. */
typedef struct infl_file_tensor {
    const char *name;
    infl_number_type type;
    const char *type_name; /* "F64", "BF16", ... */
    size_t n_dims, dims[INFL_TENSOR_DIMS];
    size_t length;     /* numbers */
    size_t begin, end; /* bytes of the data */
} infl_file_tensor;

typedef struct infl_safetensors infl_safetensors;

/*
 * Opens a file, which nobody has to trust: all but the tensors' bytes is read and checked, also that the tensors fill
 * the file without gaps. INFL_E_IO; INFL_E_FORMAT: what is wrong, and how; INFL_E_UNSUPPORTED: more dimensions than
 * above.
 */
infl_status infl_safetensors_open(infl_safetensors **out, const char *path);
void infl_safetensors_close(infl_safetensors *file); /* NULL is fine */

const char *infl_safetensors_path(const infl_safetensors *file);
/* A string about the file; NULL where there is none of that name. */
const char *infl_safetensors_metadata(const infl_safetensors *file, const char *key);
/* The tensors in the order in which they lie in the file. */
size_t infl_safetensors_count(const infl_safetensors *file);
const infl_file_tensor *infl_safetensors_tensor(const infl_safetensors *file, size_t index);
const infl_file_tensor *infl_safetensors_find(const infl_safetensors *file, const char *name); /* NULL: there is none */

/* Its numbers; those of I64 beyond 2^53 are rounded. INFL_E_UNSUPPORTED: they are of INFL_NUMBER_OTHER. Out is scratch
 * until success. */
infl_status infl_safetensors_read(infl_safetensors *file, const infl_file_tensor *tensor, double *out);

/* A string and a tensor of a file to be written. */
typedef struct infl_file_string {
    const char *key, *value;
} infl_file_string;
typedef struct infl_file_array {
    const char *name;
    infl_number_type type;
    size_t n_dims, dims[INFL_TENSOR_DIMS];
    const void *numbers; /* double, float, int64_t or unsigned char */
} infl_file_array;

/*
 * Writes a file beside its place and then moves it there: afterwards the whole of it is at path, or what was there
 * before. (What is no file, such as a pipe, is written to straight away.) INFL_E_IO; INFL_E_ARGUMENT: a name is not
 * UTF-8.
 */
infl_status infl_safetensors_write(const char *path, const infl_file_string *strings, size_t n_strings,
                                   const infl_file_array *arrays, size_t n_arrays);

#endif

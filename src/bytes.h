/* Files of bytes, plain or gzip, and datasets of the images in them. */
#ifndef INFL_BYTES_H
#define INFL_BYTES_H

#include "error.h"

enum { INFL_BYTES_PIECE = 1 << 16 }; /* bytes read at once */

typedef struct infl_byte_file {
    const char *function; /* the public one that was called */
    const char *path;
    void *stream;
    size_t offset; /* of the byte to come, in the unpacked file */
} infl_byte_file;

infl_status infl_bytes_open(infl_byte_file *file, const char *function, const char *path);
void infl_bytes_close(infl_byte_file *file); /* one that is not open is fine */

/* An array that grows with what is read, so that no file gets more memory by what it claims to hold. */
typedef struct infl_byte_array {
    unsigned char *bytes; /* to be released */
    size_t n, capacity;
} infl_byte_array;

/* Appends the next n bytes; *got is fewer only where the file ends. */
infl_status infl_bytes_read(infl_byte_file *file, infl_byte_array *array, size_t n, size_t *got);

/* An error at a place in the unpacked file. */
#if defined(__GNUC__)
__attribute__((format(printf, 4, 5), cold))
#endif
infl_status
infl_bytes_fail(const infl_byte_file *file, infl_status status, size_t offset, const char *format, ...);

/* n images of n_features bytes with a label each, the next one a stride further. */
typedef struct infl_byte_images {
    const unsigned char *pixels, *labels;
    size_t pixel_stride, label_stride;
    size_t n, n_features, n_classes;
} infl_byte_images;

infl_status infl_image_read_options(infl_image_options *options, const infl_image_options *given, const char *function);

/* Sets options->count where it is "all"; INFL_E_ARGUMENT where there are not as many of the n images. */
infl_status infl_image_resolve_range(infl_image_options *options, size_t n, const char *function, const char *path);

infl_status infl_image_dataset(infl_dataset **out, const infl_byte_images *images, const infl_image_options *options);

#endif

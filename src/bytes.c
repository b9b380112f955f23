#include "bytes.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "dataset.h"
#include "memory.h"

infl_status infl_bytes_fail(const infl_byte_file *file, infl_status status, size_t offset, const char *format, ...) {
    char what[INFL_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return infl_fail(status, "%s: byte %zu: %s (%s)", file->function, offset, what, file->path);
}

infl_status infl_bytes_open(infl_byte_file *file, const char *function, const char *path) {
    file->function = function;
    file->path = path;
    file->offset = 0;
    errno = 0;
    file->stream = gzopen(path, "rb");
    if (file->stream == NULL) {
        char reason[INFL_ERRNO_BYTES];
        int error = errno;
        if (error == 0 || error == ENOMEM)
            return infl_fail(INFL_E_MEMORY, "%s: there is no memory to open the file (%s)", function, path);
        return infl_fail(INFL_E_IO, "%s: the file cannot be opened: %s (%s)", function, infl_errno_text(error, reason),
                         path);
    }
    gzbuffer(file->stream, INFL_BYTES_PIECE);
    return INFL_OK;
}

void infl_bytes_close(infl_byte_file *file) {
    if (file->stream != NULL)
        gzclose_r(file->stream);
    file->stream = NULL;
}

/* Why less came than was asked for: INFL_OK where the file just ended. */
static infl_status explain_end(const infl_byte_file *file) {
    int error;
    const char *reason = gzerror(file->stream, &error);
    if (error == Z_OK) {
        /* where its buffer was just full, zlib takes a file cut short for a whole one, unless it is asked again */
        unsigned char byte;
        gzclearerr(file->stream);
        (void)gzread(file->stream, &byte, 1);
        reason = gzerror(file->stream, &error);
    }
    size_t length = strlen(file->path);
    if (error == Z_OK || error == Z_STREAM_END)
        return INFL_OK;
    if (error == Z_MEM_ERROR)
        return infl_bytes_fail(file, INFL_E_MEMORY, file->offset, "there is no memory to read on");
    if (strncmp(reason, file->path, length) == 0 && strncmp(reason + length, ": ", 2) == 0)
        reason += length + 2;
    return infl_bytes_fail(file, INFL_E_IO, file->offset,
                           error == Z_ERRNO ? "the file cannot be read: %s" : "the gzip data is damaged: %s", reason);
}

static infl_status reserve(infl_byte_array *array, size_t more) {
    if (more <= array->capacity - array->n)
        return INFL_OK;
    size_t capacity = array->n + more > 2 * array->capacity ? array->n + more : 2 * array->capacity;
    unsigned char *grown;
    INFL_ALLOCATE(grown, capacity);
    if (array->n != 0)
        memcpy(grown, array->bytes, array->n);
    infl_release(array->bytes);
    array->bytes = grown;
    array->capacity = capacity;
    return INFL_OK;
}

infl_status infl_bytes_read(infl_byte_file *file, infl_byte_array *array, size_t n, size_t *got) {
    for (*got = 0; *got < n;) {
        size_t piece = n - *got < INFL_BYTES_PIECE ? n - *got : INFL_BYTES_PIECE;
        INFL_TRY(reserve(array, piece));
        int read = gzread(file->stream, array->bytes + array->n, (unsigned)piece);
        if (read > 0) {
            array->n += (size_t)read;
            file->offset += (size_t)read;
            *got += (size_t)read;
        }
        if (read < 0 || (size_t)read < piece)
            return explain_end(file);
    }
    return INFL_OK;
}

infl_status infl_image_read_options(infl_image_options *options, const infl_image_options *given,
                                    const char *function) {
    *options = (infl_image_options)INFL_IMAGE_OPTIONS_INIT;
    INFL_TRY(infl_read_options(options, sizeof *options, given, function, "options"));
    if (options->precision != INFL_F32 && options->precision != INFL_F64)
        return infl_fail(INFL_E_ARGUMENT, "%s: precision is %d; expected INFL_F32 or INFL_F64", function,
                         (int)options->precision);
    double first = options->offset, last = 255.0 * options->scale + options->offset;
    if (options->precision == INFL_F32) {
        first = (float)first;
        last = (float)last;
    }
    if (!isfinite(options->scale) || !isfinite(first) || !isfinite(last))
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: scale is %g and offset %g; expected that the bytes 0 to 255 become "
                         "finite numbers of the precision",
                         function, options->scale, options->offset);
    return INFL_OK;
}

infl_status infl_image_resolve_range(infl_image_options *options, size_t n, const char *function, const char *path) {
    if (options->first >= n)
        return infl_fail(INFL_E_ARGUMENT, "%s: first is %zu; expected less than the number of images, %zu (%s)",
                         function, options->first, n, path);
    if (options->count > n - options->first)
        return infl_fail(INFL_E_ARGUMENT, "%s: count is %zu; expected at most the images from %zu on, %zu (%s)",
                         function, options->count, options->first, n - options->first, path);
    if (options->count == 0)
        options->count = n - options->first;
    return INFL_OK;
}

static void convert(float *f32, double *f64, const infl_byte_images *images, const infl_image_options *options) {
    double value[256];
    for (size_t b = 0; b < 256; b++)
        value[b] = (double)b * options->scale + options->offset;
    for (size_t i = 0; i < images->n; i++) {
        const unsigned char *pixels = images->pixels + i * images->pixel_stride;
        size_t begin = i * images->n_features;
        for (size_t j = 0; f32 != NULL && j < images->n_features; j++)
            f32[begin + j] = (float)value[pixels[j]];
        for (size_t j = 0; f64 != NULL && j < images->n_features; j++)
            f64[begin + j] = value[pixels[j]];
    }
}

infl_status infl_image_dataset(infl_dataset **out, const infl_byte_images *images, const infl_image_options *options) {
    infl_status status = INFL_OK;
    float *f32 = NULL;
    double *f64 = NULL;
    int32_t *labels = NULL;
    INFL_ALLOCATE_OR_OUT(labels, images->n);
    if (options->precision == INFL_F32)
        INFL_ALLOCATE_MATRIX_OR_OUT(f32, images->n, images->n_features);
    else
        INFL_ALLOCATE_MATRIX_OR_OUT(f64, images->n, images->n_features);
    convert(f32, f64, images, options);
    for (size_t i = 0; i < images->n; i++)
        labels[i] = images->labels[i * images->label_stride];
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = images->n;
    spec.n_features = images->n_features;
    spec.features = f64;
    spec.features_f32 = f32;
    spec.labels = labels;
    spec.n_classes = images->n_classes;
    spec.borrow = 1;
    infl_dataset *dataset;
    if ((status = infl_dataset_create(&dataset, &spec)) != INFL_OK)
        goto out;
    dataset->storage->owned = 1; /* handed over rather than copied: a large set is in memory once */
    labels = NULL;
    f32 = NULL;
    f64 = NULL;
    *out = dataset;
out:
    infl_release(labels);
    infl_release(f32);
    infl_release(f64);
    return status;
}

/*
 * infl_dataset_from_idx, beside which stands how its header describes the format. The first 6 bytes are options: 1 for
 * images to be packed, 2 for labels, 4 for f64, and from bit 3 on which numbers bytes become; n_classes; first; count;
 * 2 for the length of the labels. Then these, then the images. Files that are not packed here may be so already.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "fuzz.h"

static const char function[] = "infl_dataset_from_idx";
static const double scales[] = {1.0 / 255.0, 1, 0, -3, 1e306, 1e308, NAN, 1e37}, offsets[] = {0, 0, 5, 1, 0, 0, 0, 0};

static size_t word(const unsigned char *bytes) {
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

/* What is in a file, packed or not, to be freed; NULL where it is damaged. Where its buffer was just full, zlib takes a
 * file that is cut short for a whole one, unless it is asked again. */
static unsigned char *unpack(int slot, size_t room, fuzz_input *out) {
    gzFile file = gzopen(fuzz_path(slot), "rb");
    unsigned char *bytes = malloc(room);
    FUZZ_CHECK(file != NULL && bytes != NULL);
    int n = gzread(file, bytes, (unsigned)room), error;
    FUZZ_CHECK(n < (int)room);
    (void)gzerror(file, &error);
    if (error == Z_OK) {
        unsigned char byte;
        gzclearerr(file);
        (void)gzread(file, &byte, 1);
        (void)gzerror(file, &error);
    }
    gzclose(file);
    *out = (fuzz_input){bytes, n < 0 ? 0 : (size_t)n};
    if (error == Z_OK)
        return bytes;
    free(bytes);
    return NULL;
}

/* Whether labels 0 .. C−1 are all there, or less than C where that is given; *n_classes becomes C. */
static int classes_are_right(const unsigned char *labels, size_t n, size_t *n_classes) {
    size_t found[256] = {0}, largest = 0;
    for (size_t i = 0; i < n; i++) {
        found[labels[i]] = 1;
        largest = labels[i] > largest ? labels[i] : largest;
    }
    if (*n_classes != 0)
        return largest < *n_classes;
    for (size_t c = 0; c < largest; c++)
        if (!found[c])
            return 0;
    *n_classes = largest + 1;
    return 1;
}

/* What the reader should say: INFL_OK, E_FORMAT or E_ARGUMENT. */
static infl_status expected_of(const fuzz_input *images, const fuzz_input *labels, const infl_image_options *options,
                               size_t *n_classes) {
    if (images->n < 16 || labels->n < 8 || word(images->bytes) != 0x803 || word(labels->bytes) != 0x801)
        return INFL_E_FORMAT;
    size_t n = word(images->bytes + 4), height = word(images->bytes + 8), width = word(images->bytes + 12);
    if (n == 0 || height == 0 || width == 0 || word(labels->bytes + 4) != n)
        return INFL_E_FORMAT;
    if ((long double)n * height * width > (long double)SIZE_MAX / sizeof(double))
        return INFL_E_FORMAT;
    if (options->first >= n || options->count > n - options->first)
        return INFL_E_ARGUMENT;
    *n_classes = options->n_classes;
    if (labels->n != 8 + n || images->n != 16 + n * height * width)
        return INFL_E_FORMAT;
    return classes_are_right(labels->bytes + 8, n, n_classes) ? INFL_OK : INFL_E_FORMAT;
}

static void check_content(const infl_dataset *dataset, const fuzz_input *images, const fuzz_input *labels,
                          const infl_image_options *options) {
    size_t n = word(images->bytes + 4), d = (images->n - 16) / n;
    size_t count = options->count == 0 ? n - options->first : options->count;
    double *x = malloc(d * sizeof *x), y;
    FUZZ_CHECK(x != NULL);
    FUZZ_CHECK(infl_dataset_rows(dataset) == count && infl_dataset_features(dataset) == d);
    for (size_t i = 0; i < count; i++) {
        size_t row = options->first + i;
        FUZZ_OK(infl_dataset_get(dataset, i, x, &y));
        FUZZ_CHECK(y == labels->bytes[8 + row]);
        for (size_t j = 0; j < d; j++) {
            double value = images->bytes[16 + row * d + j] * options->scale + options->offset;
            FUZZ_CHECK(x[j] == (options->precision == INFL_F32 ? (float)value : value));
        }
    }
    free(x);
}

/* Whether the bytes 0 to 255 become finite numbers. */
static int is_finite(const infl_image_options *options) {
    double last = 255 * options->scale + options->offset;
    return isfinite(options->precision == INFL_F32 ? (float)last : last);
}

static void check_answer(infl_status status, const infl_dataset *dataset, size_t room,
                         const infl_image_options *options) {
    fuzz_input images, labels;
    unsigned char *of_images = unpack(0, room, &images), *of_labels = unpack(1, room, &labels);
    size_t n_classes = 0;
    if (!is_finite(options)) {
        FUZZ_CHECK(status == INFL_E_ARGUMENT);
    } else if (of_images == NULL || of_labels == NULL) {
        FUZZ_CHECK(status != INFL_OK);
    } else {
        FUZZ_CHECK(status == expected_of(&images, &labels, options, &n_classes));
        if (status == INFL_OK) {
            check_content(dataset, &images, &labels, options);
            FUZZ_CHECK(infl_dataset_targets(dataset) == n_classes);
        }
    }
    free(of_images);
    free(of_labels);
}

FUZZ_TARGET(idx) {
    fuzz_input images = {bytes, n};
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    int bits = fuzz_byte(&images);
    options.precision = (bits & 4) != 0 ? INFL_F64 : INFL_F32;
    options.scale = scales[bits >> 3 & 7];
    options.offset = offsets[bits >> 3 & 7];
    options.n_classes = fuzz_byte(&images);
    options.first = fuzz_byte(&images);
    options.count = fuzz_byte(&images);
    size_t length = fuzz_number(&images), room = 1032 * n + 64; /* what deflate packs at most */
    fuzz_input labels = fuzz_bytes(&images, length);
    const char *images_path = ((bits & 1) != 0 ? fuzz_write_packed : fuzz_write)(0, images.bytes, images.n);
    const char *labels_path = ((bits & 2) != 0 ? fuzz_write_packed : fuzz_write)(1, labels.bytes, labels.n);
    infl_dataset *dataset = fuzz_untouched;
    unsigned may = FUZZ_MAY(INFL_E_ARGUMENT) | FUZZ_MAY(INFL_E_FORMAT) | FUZZ_MAY(INFL_E_IO);
    fuzz_limit_memory(16 * room + (1 << 20)); /* a byte becomes 8; buffers of 64 KiB, twice as many for unpacking */
    infl_status status = infl_dataset_from_idx(&dataset, images_path, labels_path, &options);
    fuzz_check_memory();
    int succeeded = fuzz_succeeded(status, may, function, dataset);
    check_answer(status, dataset, room, &options);
    if (!succeeded)
        return;
    fuzz_check_dataset(dataset);
    infl_dataset_destroy(dataset);
}

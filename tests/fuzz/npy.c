/*
 * infl_dataset_from_npy. The first 4 bytes are options: bits 0 to 2 which numbers features become, 8 for real targets,
 * and above these precision + 1; n_classes; 2 for the length of the file of targets. Then this, then that of features.
 */
#include "npy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "fuzz.h"

static const char function[] = "infl_dataset_from_npy";
static const double scales[] = {1, 1.0 / 255.0, 0, -3, 1e300, 1, NAN, 1e-310}, offsets[] = {0, 0, 5, 1, 0, 1e308, 0, 0};

static uint64_t bits_of(const unsigned char *bytes, size_t size, int big_endian) {
    uint64_t bits = 0;
    for (size_t i = 0; i < size; i++)
        bits = bits << 8 | bytes[big_endian ? i : size - 1 - i];
    return bits;
}

static double number_of(const infl_npy_array *array, const unsigned char *bytes) {
    uint64_t bits = bits_of(bytes, array->size, array->descr[0] == '>');
    uint32_t half = (uint32_t)bits;
    double number;
    float single;
    memcpy(&number, &bits, sizeof number);
    memcpy(&single, &half, sizeof single);
    switch (array->kind) {
    case INFL_NPY_FLOAT:
        return array->size == 4 ? (double)single : number;
    case INFL_NPY_SIGNED:
        return array->size == 1   ? (double)(int8_t)bits
               : array->size == 2 ? (double)(int16_t)bits
               : array->size == 4 ? (double)(int32_t)bits
                                  : (double)(int64_t)bits;
    case INFL_NPY_UNSIGNED:
        return (double)bits;
    default:
        return bits != 0;
    }
}

/* Row i, column j of the numbers at the end of a file, which the array is of. */
static double number_at(const infl_npy_array *array, const fuzz_input *file, size_t i, size_t j) {
    size_t rows = array->dims[0], columns = array->length / rows;
    size_t k = array->columns_first ? j * rows + i : i * columns + j;
    return number_of(array, file->bytes + file->n - (array->length - k) * array->size);
}

static void check_content(const infl_dataset *dataset, const fuzz_input *x, const fuzz_input *y,
                          const infl_npy_options *options) {
    infl_npy *features, *targets;
    FUZZ_OK(infl_npy_open(&features, fuzz_path(0), NULL));
    FUZZ_OK(infl_npy_open(&targets, fuzz_path(1), NULL));
    const infl_npy_array *a = infl_npy_describe(features), *b = infl_npy_describe(targets);
    size_t n = infl_dataset_rows(dataset), d = infl_dataset_features(dataset), t = b->length / n;
    double *row = malloc(d * sizeof *row), *target = malloc(t * sizeof *target);
    FUZZ_CHECK(row != NULL && target != NULL && a->dims[0] == n && b->dims[0] == n && a->length == n * d);
    FUZZ_CHECK(options->target == INFL_TARGET_CLASS ? t == 1 : t == infl_dataset_targets(dataset));
    for (size_t i = 0; i < n; i++) {
        FUZZ_OK(infl_dataset_get(dataset, i, row, target));
        for (size_t j = 0; j < d; j++) {
            double value = options->scale * number_at(a, x, i, j) + options->offset;
            FUZZ_CHECK(row[j] == value || row[j] == (float)value);
        }
        for (size_t j = 0; j < t; j++)
            FUZZ_CHECK(target[j] == number_at(b, y, i, j));
    }
    free(row);
    free(target);
    infl_npy_close(features);
    infl_npy_close(targets);
}

static void write_array(int slot, size_t rows, size_t columns, const double *numbers) {
    infl_new_file file = {0};
    FUZZ_OK(infl_new_file_open(&file, fuzz_path(slot)));
    FUZZ_OK(infl_npy_write(&file, INFL_F64, rows, columns, numbers, NULL));
    FUZZ_OK(infl_new_file_close(&file));
    FUZZ_OK(infl_new_files_place(&file, 1));
    infl_new_file_end(&file);
}

/* Written and read again it is the same, but that classes are no integers then. */
static void check_written(const infl_dataset *dataset, const infl_npy_options *given) {
    size_t n = infl_dataset_rows(dataset), d = infl_dataset_features(dataset);
    size_t t = given->target == INFL_TARGET_CLASS ? 1 : infl_dataset_targets(dataset);
    double *x = malloc(n * d * sizeof *x), *y = malloc(n * t * sizeof *y), *row = malloc((d + t) * sizeof *row);
    infl_npy_options options = INFL_NPY_OPTIONS_INIT;
    infl_dataset *again;
    FUZZ_CHECK(x != NULL && y != NULL && row != NULL);
    for (size_t i = 0; i < n; i++)
        FUZZ_OK(infl_dataset_get(dataset, i, x + i * d, y + i * t));
    write_array(2, n, d, x);
    write_array(3, n, t, y);
    options.target = INFL_TARGET_REAL;
    FUZZ_OK(infl_dataset_from_npy(&again, fuzz_path(2), fuzz_path(3), &options));
    FUZZ_CHECK(infl_dataset_rows(again) == n && infl_dataset_features(again) == d && infl_dataset_targets(again) == t);
    for (size_t i = 0; i < n; i++) {
        FUZZ_OK(infl_dataset_get(again, i, row, row + d));
        for (size_t j = 0; j < d; j++)
            FUZZ_CHECK(row[j] == x[i * d + j]); /* numbers, not bits: 1 · -0 + 0 is 0 */
        for (size_t j = 0; j < t; j++)
            FUZZ_CHECK(row[d + j] == y[i * t + j]);
    }
    infl_dataset_destroy(again);
    free(x);
    free(y);
    free(row);
}

FUZZ_TARGET(npy) {
    fuzz_input features = {bytes, n};
    infl_npy_options options = INFL_NPY_OPTIONS_INIT;
    int bits = fuzz_byte(&features);
    options.scale = scales[bits & 7];
    options.offset = offsets[bits & 7];
    options.target = (bits & 8) != 0 ? INFL_TARGET_REAL : INFL_TARGET_CLASS;
    options.precision = (bits >> 4) - 1;
    options.n_classes = fuzz_byte(&features);
    size_t length = fuzz_number(&features);
    fuzz_input targets = fuzz_bytes(&features, length);
    infl_dataset *dataset = fuzz_untouched;
    unsigned may =
        FUZZ_MAY(INFL_E_ARGUMENT) | FUZZ_MAY(INFL_E_FORMAT) | FUZZ_MAY(INFL_E_UNSUPPORTED) | FUZZ_MAY(INFL_E_NONFINITE);
    const char *features_path = fuzz_write(0, features.bytes, features.n);
    const char *targets_path = fuzz_write(1, targets.bytes, targets.n);
    fuzz_limit_memory(256 * n + (1 << 19));
    infl_status status = infl_dataset_from_npy(&dataset, features_path, targets_path, &options);
    fuzz_check_memory();
    if (!fuzz_succeeded(status, may, function, dataset))
        return;
    fuzz_check_dataset(dataset);
    FUZZ_CHECK(options.target == INFL_TARGET_REAL || options.n_classes == 0 ||
               infl_dataset_targets(dataset) == options.n_classes);
    check_content(dataset, &features, &targets, &options);
    check_written(dataset, &options);
    infl_dataset_destroy(dataset);
}

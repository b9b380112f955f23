/*
 * infl_dataset_from_cifar10, beside which stands how its header describes the format. The first 6 bytes are options: 1
 * for files to be packed, 2 for f64; n_classes; first; count; 2 for the length of the first of two files (0: there is
 * one). Then what the files have, in runs: 2 bytes for a length, a byte with which it begins and from which it counts.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { RECORD = 1 + 3 * 32 * 32, LARGEST = 40 * RECORD };

static const char function[] = "infl_dataset_from_cifar10";

typedef struct content {
    unsigned char bytes[LARGEST];
    size_t n;
} content;

static void unfold(fuzz_input *runs, content *out) {
    out->n = 0;
    while (runs->n > 0) {
        size_t length = fuzz_number(runs);
        unsigned char byte = fuzz_byte(runs);
        for (size_t i = 0; i < length && out->n < LARGEST; i++)
            out->bytes[out->n++] = (unsigned char)(byte + i);
    }
}

static int is_file(const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i += RECORD)
        if (bytes[i] > 9)
            return 0;
    return n > 0 && n % RECORD == 0;
}

static void check_content(const infl_dataset *dataset, const content *c, const infl_image_options *options) {
    size_t all = c->n / RECORD, count = options->count == 0 ? all - options->first : options->count;
    double x[RECORD - 1], y;
    FUZZ_CHECK(infl_dataset_rows(dataset) == count && infl_dataset_features(dataset) == RECORD - 1);
    FUZZ_CHECK(infl_dataset_targets(dataset) == 10 && strcmp(infl_dataset_class_name(dataset, 9), "truck") == 0);
    for (size_t i = 0; i < count; i++) {
        const unsigned char *record = c->bytes + (options->first + i) * RECORD;
        FUZZ_OK(infl_dataset_get(dataset, i, x, &y));
        FUZZ_CHECK(y == record[0]);
        for (size_t j = 0; j < RECORD - 1; j++)
            FUZZ_CHECK(x[j] == record[1 + j]);
    }
}

FUZZ_TARGET(cifar) {
    static content c;
    fuzz_input runs = {bytes, n};
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    int bits = fuzz_byte(&runs);
    options.scale = 1;
    options.precision = (bits & 2) != 0 ? INFL_F64 : INFL_F32;
    options.n_classes = fuzz_byte(&runs);
    options.first = fuzz_byte(&runs);
    options.count = fuzz_byte(&runs);
    size_t first = fuzz_number(&runs);
    unfold(&runs, &c);
    first = first < c.n ? first : 0;
    const char *(*put)(int, const void *, size_t) = (bits & 1) != 0 ? fuzz_write_packed : fuzz_write;
    const char *paths[2];
    size_t n_paths = 0;
    if (first > 0)
        paths[n_paths++] = put(0, c.bytes, first);
    paths[n_paths++] = put(1, c.bytes + first, c.n - first);
    infl_dataset *dataset = fuzz_untouched;
    fuzz_limit_memory(16 * c.n + (1 << 20));
    infl_status status = infl_dataset_from_cifar10(&dataset, paths, n_paths, &options);
    fuzz_check_memory();
    int succeeded = fuzz_succeeded(status, FUZZ_MAY(INFL_E_ARGUMENT) | FUZZ_MAY(INFL_E_FORMAT), function, dataset);
    size_t all = c.n / RECORD;
    if (options.n_classes != 0 && options.n_classes != 10)
        FUZZ_CHECK(status == INFL_E_ARGUMENT);
    else if ((first > 0 && !is_file(c.bytes, first)) || !is_file(c.bytes + first, c.n - first))
        FUZZ_CHECK(status == INFL_E_FORMAT);
    else if (options.first >= all || options.count > all - options.first)
        FUZZ_CHECK(status == INFL_E_ARGUMENT);
    else
        FUZZ_CHECK(status == INFL_OK);
    if (!succeeded)
        return;
    check_content(dataset, &c, &options);
    infl_dataset_destroy(dataset);
}

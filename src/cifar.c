#include "bytes.h"
#include "dataset.h"
#include "memory.h"

enum { PIXELS = 3 * 32 * 32, RECORD = 1 + PIXELS, CLASSES = 10 };

static const char *const class_names[CLASSES] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                 "dog",      "frog",       "horse", "ship", "truck"};

/* Appends the file's records that are wanted; *n counts all, over the files so far. */
static infl_status read_file(infl_byte_file *file, infl_byte_array *records, size_t *n,
                             const infl_image_options *options) {
    for (size_t number = 0;; number++, ++*n) {
        size_t got;
        INFL_TRY(infl_bytes_read(file, records, RECORD, &got));
        if (got == 0 && number > 0)
            return INFL_OK;
        if (got < RECORD)
            return infl_bytes_fail(file, INFL_E_FORMAT, file->offset,
                                   "the file ends in record %zu; expected %d bytes "
                                   "a record, found %zu",
                                   number, RECORD, got);
        int label = records->bytes[records->n - RECORD];
        if (label >= CLASSES)
            return infl_bytes_fail(file, INFL_E_FORMAT, file->offset - RECORD,
                                   "the label of record %zu is %d; "
                                   "expected 0 to 9",
                                   number, label);
        if (*n < options->first || (options->count != 0 && *n - options->first >= options->count))
            records->n -= RECORD;
    }
}

static infl_status read_files(infl_dataset **out, infl_byte_array *records, const char *const *paths, size_t n_paths,
                              infl_image_options *options, const char *function) {
    size_t n = 0;
    for (size_t i = 0; i < n_paths; i++) {
        infl_byte_file file;
        INFL_TRY(infl_bytes_open(&file, function, paths[i]));
        infl_status status = read_file(&file, records, &n, options);
        infl_bytes_close(&file);
        INFL_TRY(status);
    }
    INFL_TRY(infl_image_resolve_range(options, n, function, n_paths == 1 ? paths[0] : "all files"));
    infl_byte_images images = {
        .pixels = records->bytes + 1,
        .labels = records->bytes,
        .pixel_stride = RECORD,
        .label_stride = RECORD,
        .n = options->count,
        .n_features = PIXELS,
        .n_classes = CLASSES,
    };
    infl_dataset *dataset;
    INFL_TRY(infl_image_dataset(&dataset, &images, options));
    infl_status status = infl_dataset_name_classes(dataset, class_names, CLASSES);
    if (status == INFL_OK)
        *out = dataset;
    else
        infl_dataset_destroy(dataset);
    return status;
}

infl_status infl_dataset_from_cifar10(infl_dataset **out, const char *const *paths, size_t n_paths,
                                      const infl_image_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(paths);
    if (n_paths == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_paths is 0; expected at least one file", __func__);
    for (size_t i = 0; i < n_paths; i++)
        if (paths[i] == NULL)
            return infl_fail(INFL_E_ARGUMENT, "%s: paths[%zu] is NULL", __func__, i);
    infl_image_options own;
    INFL_TRY(infl_image_read_options(&own, options, __func__));
    if (own.n_classes != 0 && own.n_classes != CLASSES)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_classes is %zu; expected 0 or 10", __func__, own.n_classes);
    infl_byte_array records = {0};
    infl_status status = read_files(out, &records, paths, n_paths, &own, __func__);
    infl_release(records.bytes);
    return infl_in_name_of(__func__, status);
}

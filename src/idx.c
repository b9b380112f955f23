#include "bytes.h"
#include "memory.h"

enum { MAX_DIMENSIONS = 3, MAX_LABELS = 256 };

/* One of the two files. Its magic number is two zeros, the type (8: unsigned bytes) and the number of dimensions. */
typedef struct idx_file {
    infl_byte_file file;
    const char *dimension_names[MAX_DIMENSIONS]; /* the first is what the records are */
    size_t n_dimensions;
    uint32_t dimensions[MAX_DIMENSIONS];
    size_t n, record; /* records, and bytes of each */
    infl_byte_array bytes;
} idx_file;

static uint32_t read_word(const unsigned char *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static infl_status read_header(idx_file *idx) {
    const infl_byte_file *file = &idx->file;
    size_t got, length = 4 * (1 + idx->n_dimensions);
    uint32_t magic = 0x00000800 + (uint32_t)idx->n_dimensions;
    INFL_TRY(infl_bytes_read(&idx->file, &idx->bytes, length, &got));
    const unsigned char *bytes = idx->bytes.bytes;
    if (got >= 4 && read_word(bytes) != magic)
        return infl_bytes_fail(file, INFL_E_FORMAT, 0, "the magic number is 0x%08lx; expected 0x%08lx, of %s",
                               (unsigned long)read_word(bytes), (unsigned long)magic, idx->dimension_names[0]);
    if (got < length)
        return infl_bytes_fail(file, INFL_E_FORMAT, got, "the file ends; expected a header of %zu bytes", length);
    for (size_t i = 0; i < idx->n_dimensions; i++) {
        idx->dimensions[i] = read_word(bytes + 4 * (i + 1));
        if (idx->dimensions[i] == 0)
            return infl_bytes_fail(file, INFL_E_FORMAT, 4 * (i + 1), "the number of %s is 0; expected at least 1",
                                   idx->dimension_names[i]);
    }
    idx->n = idx->dimensions[0];
    idx->record = 1;
    size_t left = SIZE_MAX / sizeof(double) / idx->n;
    for (size_t i = 1; i < idx->n_dimensions; i++) {
        if (idx->dimensions[i] > left / idx->record)
            return infl_bytes_fail(file, INFL_E_FORMAT, 4 * (i + 1),
                                   "%zu images of %lu %s each are more than can "
                                   "be addressed; expected fewer",
                                   idx->n, (unsigned long)idx->dimensions[i], idx->dimension_names[i]);
        idx->record *= idx->dimensions[i];
    }
    idx->bytes.n = 0;
    return INFL_OK;
}

/* The next n records, kept or not. */
static infl_status read_records(idx_file *idx, size_t n, int keep) {
    size_t length = n * idx->record, kept = idx->bytes.n, got;
    for (size_t done = 0; done < length; done += got) {
        size_t piece = keep || length - done < INFL_BYTES_PIECE ? length - done : INFL_BYTES_PIECE;
        INFL_TRY(infl_bytes_read(&idx->file, &idx->bytes, piece, &got));
        if (!keep)
            idx->bytes.n = kept;
        if (got < piece)
            return infl_bytes_fail(&idx->file, INFL_E_FORMAT, idx->file.offset,
                                   "the file ends; expected %zu bytes "
                                   "for %zu %s",
                                   4 * (1 + idx->n_dimensions) + idx->n * idx->record, idx->n, idx->dimension_names[0]);
    }
    return INFL_OK;
}

static infl_status read_end(idx_file *idx) {
    size_t end = idx->file.offset, kept = idx->bytes.n, got;
    INFL_TRY(infl_bytes_read(&idx->file, &idx->bytes, 1, &got));
    idx->bytes.n = kept;
    if (got != 0)
        return infl_bytes_fail(&idx->file, INFL_E_FORMAT, end, "the file goes on; expected its end after %zu %s",
                               idx->n, idx->dimension_names[0]);
    return INFL_OK;
}

/* All labels are looked at, so that which records are taken does not change the number of classes. */
static infl_status check_classes(const idx_file *labels, size_t *n_classes) {
    size_t header = 4 * (1 + labels->n_dimensions), largest_at = 0;
    const unsigned char *bytes = labels->bytes.bytes;
    unsigned char found[MAX_LABELS] = {0};
    for (size_t i = 0; i < labels->n; i++) {
        if (*n_classes != 0 && bytes[i] >= *n_classes)
            return infl_bytes_fail(&labels->file, INFL_E_FORMAT, header + i,
                                   "the label is %d; expected less than the "
                                   "%zu classes of n_classes",
                                   bytes[i], *n_classes);
        found[bytes[i]] = 1;
        if (bytes[i] > bytes[largest_at])
            largest_at = i;
    }
    if (*n_classes != 0)
        return INFL_OK;
    for (size_t c = 0; c < bytes[largest_at]; c++)
        if (!found[c])
            return infl_bytes_fail(&labels->file, INFL_E_FORMAT, header + largest_at,
                                   "the largest label is %d, but no "
                                   "record has class %zu; set n_classes if that is meant",
                                   bytes[largest_at], c);
    *n_classes = (size_t)bytes[largest_at] + 1;
    return INFL_OK;
}

static infl_status read_both(infl_dataset **out, idx_file *images, idx_file *labels, infl_image_options *options) {
    const char *function = images->file.function;
    INFL_TRY(read_header(images));
    INFL_TRY(read_header(labels));
    if (images->n != labels->n)
        return infl_bytes_fail(&labels->file, INFL_E_FORMAT, 4,
                               "there are %zu labels; expected as many as the images, "
                               "%zu (%s)",
                               labels->n, images->n, images->file.path);
    INFL_TRY(infl_image_resolve_range(options, images->n, function, images->file.path));
    INFL_TRY(read_records(labels, labels->n, 1));
    INFL_TRY(read_end(labels));
    INFL_TRY(check_classes(labels, &options->n_classes));
    INFL_TRY(read_records(images, options->first, 0));
    INFL_TRY(read_records(images, options->count, 1));
    INFL_TRY(read_records(images, images->n - options->first - options->count, 0));
    INFL_TRY(read_end(images));
    infl_byte_images taken = {
        .pixels = images->bytes.bytes,
        .labels = labels->bytes.bytes + options->first,
        .pixel_stride = images->record,
        .label_stride = 1,
        .n = options->count,
        .n_features = images->record,
        .n_classes = options->n_classes,
    };
    return infl_image_dataset(out, &taken, options);
}

infl_status infl_dataset_from_idx(infl_dataset **out, const char *images_path, const char *labels_path,
                                  const infl_image_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(images_path);
    INFL_REQUIRE(labels_path);
    infl_image_options own;
    INFL_TRY(infl_image_read_options(&own, options, __func__));
    idx_file images = {.dimension_names = {"images", "rows", "columns"}, .n_dimensions = 3};
    idx_file labels = {.dimension_names = {"labels"}, .n_dimensions = 1};
    infl_status status = infl_bytes_open(&images.file, __func__, images_path);
    if (status == INFL_OK)
        status = infl_bytes_open(&labels.file, __func__, labels_path);
    if (status == INFL_OK)
        status = read_both(out, &images, &labels, &own);
    infl_bytes_close(&images.file);
    infl_bytes_close(&labels.file);
    infl_release(images.bytes.bytes);
    infl_release(labels.bytes.bytes);
    return infl_in_name_of(__func__, status);
}

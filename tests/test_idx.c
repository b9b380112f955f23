#include <check.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "dataset.h"
#include "files.h"
#include "influence.h"
#include "random.h"
#include "suites.h"

#define assert_ok(call) ck_assert_msg((call) == INFL_OK, "%s", infl_last_error())

/* What *out holds before a call that must not touch it; never dereferenced. */
static infl_dataset *const untouched = (infl_dataset *)(void *)&(char){0};

enum { IMAGES_HEADER = 16, LABELS_HEADER = 8 };

/* The bytes of a pair of files: n images of height×width, and labels that run through n_classes. */
typedef struct idx_pair {
    size_t n, pixels, images_length, labels_length;
    unsigned char *images, *labels;
} idx_pair;

static void put_word(unsigned char *bytes, uint32_t word) {
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(word >> (24 - 8 * i));
}

static idx_pair make_pair(size_t n, size_t height, size_t width, size_t n_classes) {
    idx_pair pair = {.n = n, .pixels = height * width};
    pair.images_length = IMAGES_HEADER + n * pair.pixels;
    pair.labels_length = LABELS_HEADER + n;
    pair.images = malloc(pair.images_length);
    pair.labels = malloc(pair.labels_length);
    put_word(pair.images, 0x00000803);
    put_word(pair.images + 4, (uint32_t)n);
    put_word(pair.images + 8, (uint32_t)height);
    put_word(pair.images + 12, (uint32_t)width);
    put_word(pair.labels, 0x00000801);
    put_word(pair.labels + 4, (uint32_t)n);
    for (size_t i = 0; i < n * pair.pixels; i++)
        pair.images[IMAGES_HEADER + i] = (unsigned char)infl_random_below(1, 60, i, 256);
    for (size_t i = 0; i < n; i++)
        pair.labels[LABELS_HEADER + i] = (unsigned char)(i % n_classes);
    return pair;
}

static void free_pair(idx_pair *pair) {
    free(pair->images);
    free(pair->labels);
}

static infl_status read_bytes(infl_dataset **out, const void *images, size_t n_images, const void *labels,
                              size_t n_labels, int packed, const infl_image_options *options) {
    temporary_file images_file = write_file(images, n_images, packed & 1);
    temporary_file labels_file = write_file(labels, n_labels, packed & 2);
    infl_status status = infl_dataset_from_idx(out, images_file.path, labels_file.path, options);
    if (status != INFL_OK)
        ck_assert_msg(strncmp(infl_last_error(), "infl_dataset_from_idx: ", 23) == 0, "%s", infl_last_error());
    if (status == INFL_E_FORMAT || status == INFL_E_IO)
        ck_assert_msg(strstr(infl_last_error(), images_file.path) != NULL ||
                          strstr(infl_last_error(), labels_file.path) != NULL,
                      "%s", infl_last_error());
    unlink(images_file.path);
    unlink(labels_file.path);
    return status;
}

static infl_status read_pair(infl_dataset **out, const idx_pair *pair, int packed, const infl_image_options *options) {
    return read_bytes(out, pair->images, pair->images_length, pair->labels, pair->labels_length, packed, options);
}

static void assert_fails(const idx_pair *pair, const infl_image_options *options, infl_status expected,
                         const char *part) {
    infl_dataset *out = untouched;
    ck_assert_msg(read_pair(&out, pair, 0, options) == expected, "%s: %s", part, infl_last_error());
    ck_assert_msg(strstr(infl_last_error(), part) != NULL, "no '%s' in: %s", part, infl_last_error());
    ck_assert_ptr_eq(out, untouched);
}

/* The dataset has the pair's images from `first` on. */
static void check_rows(const infl_dataset *dataset, const idx_pair *pair, size_t first, size_t n, double scale,
                       double offset, infl_precision precision) {
    ck_assert_uint_eq(infl_dataset_rows(dataset), n);
    ck_assert_uint_eq(infl_dataset_features(dataset), pair->pixels);
    ck_assert_int_eq(dataset->storage->precision, precision);
    double *features = malloc(pair->pixels * sizeof *features), label;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *pixels = pair->images + IMAGES_HEADER + (first + i) * pair->pixels;
        assert_ok(infl_dataset_get(dataset, i, features, &label));
        ck_assert_double_eq(label, pair->labels[LABELS_HEADER + first + i]);
        for (size_t j = 0; j < pair->pixels; j++) {
            double expected = pixels[j] * scale + offset;
            ck_assert_double_eq(features[j], precision == INFL_F32 ? (double)(float)expected : expected);
        }
    }
    free(features);
}

START_TEST(values_and_labels) {
    static const double scales[][2] = {{1.0 / 255.0, 0.0}, {1.0, 0.0}, {-0.25, 3.0}, {0.0, -1.5}};
    idx_pair pair = make_pair(12, 9, 7, 3);
    for (int packed = 0; packed < 4; packed++)
        for (int precision = INFL_F32; precision <= INFL_F64; precision++)
            for (size_t k = 0; k < sizeof scales / sizeof scales[0]; k++) {
                infl_dataset *dataset = NULL;
                infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
                options.precision = (infl_precision)precision;
                options.scale = scales[k][0];
                options.offset = scales[k][1];
                assert_ok(read_pair(&dataset, &pair, packed, &options));
                check_rows(dataset, &pair, 0, 12, scales[k][0], scales[k][1], (infl_precision)precision);
                ck_assert_uint_eq(infl_dataset_targets(dataset), 3);
                ck_assert_int_eq(infl_dataset_target_kind(dataset), INFL_TARGET_CLASS);
                ck_assert_ptr_null(infl_dataset_class_name(dataset, 0));
                infl_dataset_destroy(dataset);
            }
    free_pair(&pair);
}
END_TEST

/* By default a byte b becomes the single precision number nearest to b/255. */
START_TEST(default_scale) {
    idx_pair pair = make_pair(1, 1, 256, 1);
    double features[256];
    infl_dataset *dataset = NULL;
    for (size_t b = 0; b < 256; b++)
        pair.images[IMAGES_HEADER + b] = (unsigned char)b;
    assert_ok(read_pair(&dataset, &pair, 0, NULL));
    ck_assert_int_eq(dataset->storage->precision, INFL_F32);
    assert_ok(infl_dataset_get(dataset, 0, features, NULL));
    for (size_t b = 0; b < 256; b++)
        ck_assert_double_eq(features[b], (float)((double)b / 255.0));
    infl_dataset_destroy(dataset);
    free_pair(&pair);
}
END_TEST

START_TEST(ranges) {
    idx_pair pair = make_pair(6, 2, 3, 6);
    for (size_t first = 0; first <= 6; first++)
        for (size_t count = 0; count <= 7; count++) {
            infl_dataset *dataset = untouched;
            infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
            options.first = first;
            options.count = count;
            infl_status status = read_pair(&dataset, &pair, 0, &options);
            ck_assert_int_eq(status, first < 6 && first + count <= 6 ? INFL_OK : INFL_E_ARGUMENT);
            if (status != INFL_OK) {
                ck_assert_ptr_eq(dataset, untouched);
                ck_assert_ptr_nonnull(strstr(infl_last_error(), first == 6 ? "first is 6" : "count is "));
                continue;
            }
            check_rows(dataset, &pair, first, count == 0 ? 6 - first : count, 1.0 / 255.0, 0.0, INFL_F32);
            ck_assert_uint_eq(infl_dataset_targets(dataset), 6); /* of the file, whichever images are taken */
            infl_dataset_destroy(dataset);
        }
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.first = 1;
    options.count = SIZE_MAX;
    assert_fails(&pair, &options, INFL_E_ARGUMENT, "count is ");
    options.first = SIZE_MAX;
    assert_fails(&pair, &options, INFL_E_ARGUMENT, "first is ");
    free_pair(&pair);
}
END_TEST

/* Images and ranges that do not keep to the pieces in which a file is read. */
START_TEST(across_pieces) {
    idx_pair pair = make_pair(5, 301, 257, 5);
    for (size_t first = 0; first < 5; first++) {
        infl_dataset *dataset = NULL;
        infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
        options.first = first;
        options.count = first < 4 ? 2 : 1;
        assert_ok(read_pair(&dataset, &pair, first % 2 ? 3 : 0, &options));
        check_rows(dataset, &pair, first, options.count, 1.0 / 255.0, 0.0, INFL_F32);
        infl_dataset_destroy(dataset);
    }
    free_pair(&pair);
}
END_TEST

START_TEST(classes) {
    idx_pair pair = make_pair(4, 1, 2, 4);
    infl_dataset *dataset = NULL;
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.n_classes = 1000;
    assert_ok(read_pair(&dataset, &pair, 0, &options));
    ck_assert_uint_eq(infl_dataset_targets(dataset), 1000);
    infl_dataset_destroy(dataset);
    options.n_classes = 3;
    assert_fails(&pair, &options, INFL_E_FORMAT, "byte 11: the label is 3; expected less than the 3 classes");
    pair.labels[LABELS_HEADER + 1] = 255;
    assert_fails(&pair, NULL, INFL_E_FORMAT, "byte 9: the largest label is 255, but no record has class 1");
    options.n_classes = 256;
    assert_ok(read_pair(&dataset, &pair, 0, &options));
    infl_dataset_destroy(dataset);
    memset(pair.labels + LABELS_HEADER, 1, 4);
    assert_fails(&pair, NULL, INFL_E_FORMAT, "byte 8: the largest label is 1, but no record has class 0");
    free_pair(&pair);
}
END_TEST

/* Every file that lacks some of its end, or has one byte more, unpacked. */
START_TEST(wrong_lengths) {
    idx_pair pair = make_pair(3, 2, 2, 3);
    char part[96];
    for (size_t length = 0; length < pair.images_length; length++) {
        idx_pair cut = pair;
        cut.images_length = length;
        snprintf(part, sizeof part, "byte %zu: the file ends; expected %s", length,
                 length < IMAGES_HEADER ? "a header of 16 bytes" : "28 bytes for 3 images");
        assert_fails(&cut, NULL, INFL_E_FORMAT, part);
        infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
        options.count = 1; /* not even where all that is wanted is there */
        assert_fails(&cut, &options, INFL_E_FORMAT, part);
    }
    for (size_t length = 0; length < pair.labels_length; length++) {
        idx_pair cut = pair;
        cut.labels_length = length;
        snprintf(part, sizeof part, "byte %zu: the file ends; expected %s", length,
                 length < LABELS_HEADER ? "a header of 8 bytes" : "11 bytes for 3 labels");
        assert_fails(&cut, NULL, INFL_E_FORMAT, part);
    }
    unsigned char longer[29] = {0};
    idx_pair more = pair;
    memcpy(longer, pair.images, 28);
    more.images = longer;
    more.images_length = 29;
    assert_fails(&more, NULL, INFL_E_FORMAT, "byte 28: the file goes on; expected its end after 3 images");
    more = pair;
    memcpy(longer, pair.labels, 11);
    more.labels = longer;
    more.labels_length = 12;
    assert_fails(&more, NULL, INFL_E_FORMAT, "byte 11: the file goes on; expected its end after 3 labels");
    free_pair(&pair);
}
END_TEST

static void fails_with_word(const idx_pair *pair, int of_labels, size_t offset, uint32_t word, const char *part) {
    unsigned char *at = (of_labels ? pair->labels : pair->images) + offset, kept[4];
    memcpy(kept, at, 4);
    put_word(at, word);
    assert_fails(pair, NULL, INFL_E_FORMAT, part);
    memcpy(at, kept, 4);
}

/*
 * Where a header claims more than the file has, the missing data is what is wrong: asking for the memory first would
 * give INFL_E_MEMORY for these terabytes.
 */
START_TEST(wrong_headers) {
    idx_pair pair = make_pair(3, 2, 2, 3);
    fails_with_word(&pair, 0, 0, 0x00000801, "byte 0: the magic number is 0x00000801; expected 0x00000803");
    fails_with_word(&pair, 0, 0, 0x00000804, "expected 0x00000803");
    fails_with_word(&pair, 0, 0, 0x00000d03, "expected 0x00000803"); /* of floats */
    fails_with_word(&pair, 0, 0, 0x03080000, "expected 0x00000803"); /* the other way round */
    fails_with_word(&pair, 1, 0, 0x00000803, "byte 0: the magic number is 0x00000803; expected 0x00000801");
    fails_with_word(&pair, 0, 4, 0, "byte 4: the number of images is 0");
    fails_with_word(&pair, 0, 8, 0, "byte 8: the number of rows is 0");
    fails_with_word(&pair, 0, 12, 0, "byte 12: the number of columns is 0");
    fails_with_word(&pair, 1, 4, 0, "byte 4: the number of labels is 0");
    fails_with_word(&pair, 0, 4, 2, "byte 4: there are 3 labels; expected as many as the images, 2");
    fails_with_word(&pair, 1, 4, UINT32_MAX, "byte 4: there are 4294967295 labels");
    fails_with_word(&pair, 0, 8, 3, "byte 28: the file ends; expected 34 bytes");
    fails_with_word(&pair, 0, 8, 1, "byte 22: the file goes on");
    fails_with_word(&pair, 0, 8, UINT32_MAX, "byte 28: the file ends");
    put_word(pair.images + 8, UINT32_MAX);
    fails_with_word(&pair, 0, 12, UINT32_MAX,
                    "byte 12: 3 images of 4294967295 columns each are more than can be addressed");
    put_word(pair.images + 8, 1u << 12);
    put_word(pair.images + 12, 1u << 12);
    put_word(pair.labels + 4, 1u << 22);
    fails_with_word(&pair, 0, 4, 1u << 22, "byte 11: the file ends; expected 4194312 bytes");
    free_pair(&pair);
}
END_TEST

/* Labels that are there, and images that are not: 2^16 of 2^14 × 2^14. */
START_TEST(hostile_images) {
    idx_pair pair = make_pair(1u << 16, 1, 1, 10);
    put_word(pair.images + 8, 1u << 14);
    put_word(pair.images + 12, 1u << 14);
    assert_fails(&pair, NULL, INFL_E_FORMAT, "byte 65552: the file ends; expected 17592186044432 bytes");
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.first = 60000;
    assert_fails(&pair, &options, INFL_E_FORMAT, "byte 65552: the file ends");
    free_pair(&pair);
}
END_TEST

/* A gzip file that is cut short, or has one bit wrong, is refused, or the bit was one that nothing depends on. */
START_TEST(damaged_gzip) {
    idx_pair pair = make_pair(3, 5, 5, 3);
    unsigned char packed[512];
    temporary_file whole = write_file(pair.images, pair.images_length, 1);
    temporary_file labels = write_file(pair.labels, pair.labels_length, 0);
    size_t n = read_back(&whole, packed, sizeof packed);
    unlink(whole.path);
    for (size_t length = 0; length < n; length++) {
        temporary_file cut = write_file(packed, length, 0);
        infl_dataset *out = untouched;
        /* a gzip file is known by its first two bytes */
        ck_assert_int_eq(infl_dataset_from_idx(&out, cut.path, labels.path, NULL),
                         length < 2 ? INFL_E_FORMAT : INFL_E_IO);
        ck_assert_ptr_eq(out, untouched);
        ck_assert_ptr_nonnull(strstr(infl_last_error(), cut.path));
        if (length >= 2)
            ck_assert_ptr_nonnull(strstr(infl_last_error(), ": the gzip data is damaged: unexpected end of file ("));
        unlink(cut.path);
    }
    size_t refused = 0;
    for (size_t bit = 0; bit < 8 * n; bit++) {
        packed[bit / 8] ^= (unsigned char)(1u << bit % 8);
        temporary_file damaged = write_file(packed, n, 0);
        packed[bit / 8] ^= (unsigned char)(1u << bit % 8);
        infl_dataset *out = untouched;
        infl_status status = infl_dataset_from_idx(&out, damaged.path, labels.path, NULL);
        unlink(damaged.path);
        if (status == INFL_OK) {
            check_rows(out, &pair, 0, 3, 1.0 / 255.0, 0.0, INFL_F32);
            infl_dataset_destroy(out);
            continue;
        }
        ck_assert_msg(status == INFL_E_IO || status == INFL_E_FORMAT, "%s", infl_last_error());
        ck_assert_ptr_eq(out, untouched);
        refused++;
    }
    ck_assert_uint_ge(refused, 8 * (n - 10)); /* the ten bytes of the header have a time and a system */
    unlink(labels.path);
    free_pair(&pair);
}
END_TEST

START_TEST(not_a_file) {
    idx_pair pair = make_pair(3, 2, 2, 3);
    temporary_file images = write_file(pair.images, pair.images_length, 0);
    temporary_file labels = write_file(pair.labels, pair.labels_length, 1);
    infl_dataset *out = untouched;
    ck_assert_int_eq(infl_dataset_from_idx(&out, "/nonexistent/images", labels.path, NULL), INFL_E_IO);
    ck_assert_str_eq(infl_last_error(), "infl_dataset_from_idx: the file cannot be opened: No such file or directory "
                                        "(/nonexistent/images)");
    ck_assert_int_eq(infl_dataset_from_idx(&out, images.path, "/nonexistent/labels", NULL), INFL_E_IO);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "(/nonexistent/labels)"));
    ck_assert_int_eq(infl_dataset_from_idx(&out, "/", labels.path, NULL), INFL_E_IO);
    ck_assert_str_eq(infl_last_error(), "infl_dataset_from_idx: byte 0: the file cannot be read: Is a directory (/)");
    ck_assert_int_eq(infl_dataset_from_idx(&out, labels.path, images.path, NULL), INFL_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "of images"));
    ck_assert_ptr_eq(out, untouched);
    unlink(images.path);
    unlink(labels.path);
    free_pair(&pair);
}
END_TEST

START_TEST(arguments) {
    idx_pair pair = make_pair(3, 2, 2, 3);
    infl_dataset *out = untouched;
    ck_assert_int_eq(infl_dataset_from_idx(NULL, "a", "b", NULL), INFL_E_ARGUMENT);
    ck_assert_int_eq(infl_dataset_from_idx(&out, NULL, "b", NULL), INFL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "images_path"));
    ck_assert_int_eq(infl_dataset_from_idx(&out, "a", NULL, NULL), INFL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "labels_path"));
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.precision = (infl_precision)2;
    assert_fails(&pair, &options, INFL_E_ARGUMENT, "precision is 2");
    static const double wrong[][2] = {{NAN, 0.0},  {1.0, NAN},  {INFINITY, 0.0}, {1.0, -INFINITY},
                                      {2e36, 0.0}, {0.0, 1e39}, {-4e36, 1e39},   {-1e36, -1e38}};
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        options = (infl_image_options)INFL_IMAGE_OPTIONS_INIT;
        options.scale = wrong[k][0];
        options.offset = wrong[k][1];
        assert_fails(&pair, &options, INFL_E_ARGUMENT, "scale is ");
    }
    options.precision = INFL_F64; /* which has room for the last of them */
    assert_ok(read_pair(&out, &pair, 0, &options));
    infl_dataset_destroy(out);
    options.scale = DBL_MAX;
    assert_fails(&pair, &options, INFL_E_ARGUMENT, "scale is ");
    options = (infl_image_options)INFL_IMAGE_OPTIONS_INIT;
    options.size = 1;
    assert_fails(&pair, &options, INFL_E_ARGUMENT, "size 1");
    options.size = offsetof(infl_image_options, precision); /* an older header's: the rest is the default */
    options.precision = INFL_F64;
    assert_ok(read_pair(&out, &pair, 0, &options));
    ck_assert_int_eq(out->storage->precision, INFL_F32);
    infl_dataset_destroy(out);
    free_pair(&pair);
}
END_TEST

/* With more and more memory to be had, each allocation fails at some time. Only in a process of the test's own. */
START_TEST(no_memory) {
    const char *fork = getenv("CK_FORK");
    size_t pages;
    FILE *statistics = fopen("/proc/self/statm", "r");
    if (statistics == NULL)
        return;
    int known = fscanf(statistics, "%zu", &pages);
    fclose(statistics);
    if (known != 1 || (fork != NULL && strcmp(fork, "no") == 0))
        return;
    idx_pair pair = make_pair(2000, 40, 50, 10);
    temporary_file images = write_file(pair.images, pair.images_length, 0);
    temporary_file labels = write_file(pair.labels, pair.labels_length, 0);
    free_pair(&pair);
    size_t refused = 0, used = pages * (size_t)sysconf(_SC_PAGESIZE);
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    for (size_t room = 0; room <= 32; room++) {
        infl_dataset *out = untouched;
        limit.rlim_cur = used + (room << 20);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
        infl_status status = infl_dataset_from_idx(&out, images.path, labels.path, NULL);
        limit.rlim_cur = limit.rlim_max;
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
        if (status == INFL_OK) {
            infl_dataset_destroy(out);
            continue;
        }
        ck_assert_msg(status == INFL_E_MEMORY, "%s", infl_last_error());
        ck_assert_msg(strncmp(infl_last_error(), "infl_dataset_from_idx: ", 23) == 0, "%s", infl_last_error());
        ck_assert_ptr_eq(out, untouched);
        refused++;
    }
    /* 4 MB of bytes are kept while 16 MB of features are made of them, and once more while the array of bytes grows */
    ck_assert_uint_ge(refused, 8);
    ck_assert_uint_lt(refused, 33);
    unlink(images.path);
    unlink(labels.path);
}
END_TEST

/* The moments of the training set that everyone knows are 0.1307 and 0.3081. */
START_TEST(mnist) {
    char images[1024], labels[1024];
    if (!data_path(images, sizeof images, "mnist/train-images-idx3-ubyte.gz") ||
        !data_path(labels, sizeof labels, "mnist/train-labels-idx1-ubyte.gz"))
        return;
    static const double first_labels[] = {5, 0, 4, 1, 9, 2, 1, 3, 1, 4};
    infl_dataset *dataset = NULL;
    double mean, deviation, label;
    assert_ok(infl_dataset_from_idx(&dataset, images, labels, NULL));
    ck_assert_uint_eq(infl_dataset_rows(dataset), 60000);
    ck_assert_uint_eq(infl_dataset_features(dataset), 784);
    ck_assert_uint_eq(infl_dataset_targets(dataset), 10);
    for (size_t i = 0; i < 10; i++) {
        assert_ok(infl_dataset_get(dataset, i, NULL, &label));
        ck_assert_double_eq(label, first_labels[i]);
    }
    assert_ok(infl_dataset_measure_channels(dataset, 1, &mean, &deviation));
    ck_assert_double_eq_tol(mean, 0.1307, 5e-5);
    ck_assert_double_eq_tol(deviation, 0.3081, 5e-5);
    infl_dataset_destroy(dataset);
}
END_TEST

Suite *idx_suite(void) {
    Suite *suite = suite_create("idx");
    add_case(suite, "idx/values", values_and_labels, 1);
    add_case(suite, "idx/values/default-scale", default_scale, 1);
    add_case(suite, "idx/range", ranges, 1);
    add_case(suite, "idx/across-pieces", across_pieces, 1);
    add_case(suite, "idx/classes", classes, 1);
    add_case(suite, "idx/malformed/lengths", wrong_lengths, 1);
    add_case(suite, "idx/malformed/headers", wrong_headers, 1);
    add_case(suite, "idx/malformed/hostile", hostile_images, 1);
    add_case(suite, "idx/malformed/gzip", damaged_gzip, 1);
    add_case(suite, "idx/not-a-file", not_a_file, 1);
    add_case(suite, "idx/arguments", arguments, 1);
    add_case(suite, "idx/no-memory", no_memory, 1);
    add_case(suite, "idx/mnist", mnist, 1);
    return suite;
}

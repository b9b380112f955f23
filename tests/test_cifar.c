#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataset.h"
#include "files.h"
#include "influence.h"
#include "random.h"
#include "suites.h"

#define assert_ok(call) ck_assert_msg((call) == INFL_OK, "%s", infl_last_error())

/* What *out holds before a call that must not touch it; never dereferenced. */
static infl_dataset *const untouched = (infl_dataset *)(void *)&(char){0};

enum { RECORD = 3073, MAX_RECORDS = 30, MAX_FILES = 3 };

/* Some records, to be dealt out to files. */
static unsigned char records[MAX_RECORDS * RECORD];

static void make_records(void) {
    for (size_t i = 0; i < sizeof records; i++)
        records[i] = (unsigned char)infl_random_below(2, 61, i, i % RECORD == 0 ? 10 : 256);
}

/* Reads n_files files of so many bytes each, one after the other out of `bytes`; packed: a bit for each. */
static infl_status read_parts(infl_dataset **out, const unsigned char *bytes, const size_t *lengths, size_t n_files,
                              unsigned packed, const infl_image_options *options) {
    temporary_file files[MAX_FILES];
    const char *paths[MAX_FILES] = {NULL};
    for (size_t i = 0; i < n_files; bytes += lengths[i++]) {
        files[i] = write_file(bytes, lengths[i], (packed >> i & 1) != 0);
        paths[i] = files[i].path;
    }
    infl_status status = infl_dataset_from_cifar10(out, paths, n_files, options);
    int named = 0;
    for (size_t i = 0; i < n_files; i++) {
        named |= status != INFL_OK && strstr(infl_last_error(), paths[i]) != NULL;
        unlink(paths[i]);
    }
    if (status != INFL_OK)
        ck_assert_msg(strncmp(infl_last_error(), "infl_dataset_from_cifar10: ", 27) == 0, "%s", infl_last_error());
    if (status == INFL_E_FORMAT || status == INFL_E_IO)
        ck_assert_msg(named, "%s", infl_last_error());
    return status;
}

static void assert_fails(const unsigned char *bytes, const size_t *lengths, size_t n_files,
                         const infl_image_options *options, infl_status expected, const char *part) {
    infl_dataset *out = untouched;
    ck_assert_msg(read_parts(&out, bytes, lengths, n_files, 0, options) == expected, "%s: %s", part, infl_last_error());
    ck_assert_msg(strstr(infl_last_error(), part) != NULL, "no '%s' in: %s", part, infl_last_error());
    ck_assert_ptr_eq(out, untouched);
}

/* The dataset has the n records from number `first` on. */
static void check_records(const infl_dataset *dataset, size_t first, size_t n) {
    static const char *const names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                        "dog",      "frog",       "horse", "ship", "truck"};
    double features[RECORD - 1], label;
    ck_assert_uint_eq(infl_dataset_rows(dataset), n);
    ck_assert_uint_eq(infl_dataset_features(dataset), RECORD - 1);
    ck_assert_uint_eq(infl_dataset_targets(dataset), 10);
    for (size_t c = 0; c < 10; c++)
        ck_assert_str_eq(infl_dataset_class_name(dataset, c), names[c]);
    ck_assert_ptr_null(infl_dataset_class_name(dataset, 10));
    for (size_t i = 0; i < n; i++) {
        const unsigned char *record = records + (first + i) * RECORD;
        assert_ok(infl_dataset_get(dataset, i, features, &label));
        ck_assert_double_eq(label, record[0]);
        for (size_t j = 0; j < RECORD - 1; j++)
            ck_assert_double_eq(features[j], record[1 + j]);
    }
}

static infl_image_options bytes_as_they_are(infl_precision precision) {
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.scale = 1.0;
    options.precision = precision;
    return options;
}

START_TEST(one_set_of_several_files) {
    static const size_t lengths[][MAX_FILES] = {
        {30 * RECORD, 0, 0}, {RECORD, 29 * RECORD, 0}, {22 * RECORD, 7 * RECORD, RECORD}};
    make_records();
    for (size_t k = 0; k < 3; k++)
        for (unsigned packed = 0; packed < 8; packed++) {
            infl_dataset *dataset = NULL;
            infl_image_options options = bytes_as_they_are(packed == 0 ? INFL_F64 : INFL_F32);
            options.n_classes = packed == 1 ? 10 : 0;
            assert_ok(read_parts(&dataset, records, lengths[k], k + 1, packed, &options));
            check_records(dataset, 0, MAX_RECORDS);
            ck_assert_int_eq(dataset->storage->precision, options.precision);
            infl_dataset_destroy(dataset);
        }
    infl_dataset *dataset = NULL;
    double features[RECORD - 1];
    assert_ok(read_parts(&dataset, records, lengths[0], 1, 1, NULL));
    ck_assert_int_eq(dataset->storage->precision, INFL_F32);
    assert_ok(infl_dataset_get(dataset, 29, features, NULL));
    for (size_t j = 0; j < RECORD - 1; j++)
        ck_assert_double_eq(features[j], (float)(records[29 * RECORD + 1 + j] / 255.0));
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(ranges_over_files) {
    static const size_t lengths[] = {2 * RECORD, RECORD, 3 * RECORD};
    make_records();
    for (size_t first = 0; first <= 6; first++)
        for (size_t count = 0; count <= 7; count++) {
            infl_dataset *dataset = untouched;
            infl_image_options options = bytes_as_they_are(INFL_F32);
            options.first = first;
            options.count = count;
            infl_status status = read_parts(&dataset, records, lengths, 3, 0, &options);
            ck_assert_int_eq(status, first < 6 && first + count <= 6 ? INFL_OK : INFL_E_ARGUMENT);
            if (status == INFL_OK) {
                check_records(dataset, first, count == 0 ? 6 - first : count);
                infl_dataset_destroy(dataset);
            } else {
                ck_assert_ptr_eq(dataset, untouched);
                ck_assert_ptr_nonnull(strstr(infl_last_error(), first == 6 ? "first is 6" : "count is "));
            }
        }
    infl_image_options options = bytes_as_they_are(INFL_F32);
    options.first = 1;
    options.count = SIZE_MAX;
    assert_fails(records, lengths, 3, &options, INFL_E_ARGUMENT, "count is ");
}
END_TEST

START_TEST(malformed) {
    static const size_t whole[] = {2 * RECORD, RECORD, 3 * RECORD};
    static const size_t cuts[] = {1, 2, RECORD - 1, RECORD + 1, 2 * RECORD - 1};
    char part[128];
    make_records();
    for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++) {
        size_t lengths[] = {RECORD, cuts[k], RECORD};
        snprintf(part, sizeof part, "byte %zu: the file ends in record %zu; expected 3073 bytes a record, found %zu",
                 cuts[k], cuts[k] / RECORD, cuts[k] % RECORD);
        assert_fails(records, lengths, 2, NULL, INFL_E_FORMAT, part);
    }
    assert_fails(records, (const size_t[]){RECORD, 0}, 2, NULL, INFL_E_FORMAT, "byte 0: the file ends in record 0");
    /* in the third file, whether the record is wanted or not */
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    for (size_t record = 3; record < 6; record++)
        for (int label = 10; label < 256; label += 49) {
            unsigned char kept = records[record * RECORD];
            records[record * RECORD] = (unsigned char)label;
            snprintf(part, sizeof part, "byte %zu: the label of record %zu is %d; expected 0 to 9",
                     (record - 3) * RECORD, record - 3, label);
            options.count = label % 2 ? 0 : 2;
            assert_fails(records, whole, 3, &options, INFL_E_FORMAT, part);
            records[record * RECORD] = kept;
        }
    /* a gzip file that is cut short */
    unsigned char packed[4 * RECORD];
    temporary_file file = write_file(records, 2 * RECORD, 1);
    size_t n = read_back(&file, packed, sizeof packed);
    unlink(file.path);
    assert_fails(packed, (const size_t[]){n - 1}, 1, NULL, INFL_E_IO, "the gzip data is damaged");
    assert_fails(packed, (const size_t[]){n / 2}, 1, NULL, INFL_E_IO, "the gzip data is damaged");
}
END_TEST

START_TEST(arguments) {
    const char *none = "/nonexistent/data_batch_1.bin", *paths[] = {none, NULL};
    infl_dataset *out = untouched;
    make_records();
    ck_assert_int_eq(infl_dataset_from_cifar10(NULL, paths, 1, NULL), INFL_E_ARGUMENT);
    ck_assert_int_eq(infl_dataset_from_cifar10(&out, NULL, 1, NULL), INFL_E_ARGUMENT);
    ck_assert_int_eq(infl_dataset_from_cifar10(&out, paths, 0, NULL), INFL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "n_paths is 0"));
    ck_assert_int_eq(infl_dataset_from_cifar10(&out, paths, 2, NULL), INFL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "paths[1] is NULL"));
    ck_assert_int_eq(infl_dataset_from_cifar10(&out, paths, 1, NULL), INFL_E_IO);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), none));
    ck_assert_ptr_eq(out, untouched);
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.n_classes = 9;
    assert_fails(records, (const size_t[]){RECORD}, 1, &options, INFL_E_ARGUMENT, "n_classes is 9; expected 0 or 10");
    options.n_classes = 0;
    options.scale = 1e38;
    assert_fails(records, (const size_t[]){RECORD}, 1, &options, INFL_E_ARGUMENT, "scale is 1e+38");
}
END_TEST

/* Of real batches: every class is there, and the channels' means are near the published 0.4914, 0.4822 and 0.4465. */
START_TEST(cifar10) {
    static const double means[] = {0.4914, 0.4822, 0.4465}, deviations[] = {0.2470, 0.2435, 0.2616};
    char path[1024];
    const char *paths[] = {path};
    if (!data_path(path, sizeof path, "cifar10/data_batch_1.bin"))
        return;
    infl_dataset *dataset = NULL, *normal = NULL;
    double mean[3], deviation[3];
    assert_ok(infl_dataset_from_cifar10(&dataset, paths, 1, NULL));
    assert_ok(infl_dataset_measure_channels(dataset, 3, mean, deviation));
    /* an image's mean varies by about 0.15 from one to the next, that of a thousand by 0.005: 0.02 is four times that */
    for (size_t c = 0; c < 3; c++) {
        ck_assert_double_eq_tol(mean[c], means[c], 0.02);
        ck_assert_double_eq_tol(deviation[c], deviations[c], 0.02);
    }
    assert_ok(infl_dataset_normalise_channels(&normal, dataset, 3, mean, deviation));
    ck_assert_str_eq(infl_dataset_class_name(normal, 6), "frog");
    infl_dataset_destroy(normal);
    infl_dataset_destroy(dataset);
}
END_TEST

Suite *cifar_suite(void) {
    Suite *suite = suite_create("cifar");
    add_case(suite, "cifar/files", one_set_of_several_files, 1);
    add_case(suite, "cifar/range", ranges_over_files, 1);
    add_case(suite, "cifar/malformed", malformed, 1);
    add_case(suite, "cifar/arguments", arguments, 1);
    add_case(suite, "cifar/cifar10", cifar10, 1);
    return suite;
}

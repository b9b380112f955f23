#include <check.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"
#include "influence.h"
#include "random.h"
#include "suites.h"

/* Fails as expected, with a sentence that begins with the function's name and has `part` in it. */
#define assert_fails(call, expected, part)                                                                             \
    do {                                                                                                               \
        static const char called_[] = #call;                                                                           \
        ck_assert_int_eq((call), (expected));                                                                          \
        ck_assert_msg(strncmp(infl_last_error(), called_, strcspn(called_, "(")) == 0, "%s: %s", called_,              \
                      infl_last_error());                                                                              \
        ck_assert_msg(strstr(infl_last_error(), (part)) != NULL, "%s: no '%s' in: %s", called_, (part),                \
                      infl_last_error());                                                                              \
    } while (0)

#define assert_ok(call) ck_assert_msg((call) == INFL_OK, "%s", infl_last_error())

/* What *out holds before a call that must not touch it; never dereferenced. */
static infl_dataset *const untouched = (infl_dataset *)(void *)&(char){0};

static const double small_features[8] = {1.0, 2.5, -3.0, 4.0, 5.0, 6.0, 7.0, 8.0};
static const int32_t small_labels[4] = {0, 2, 1, 2};

static infl_dataset_spec small_spec(void) {
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = 4;
    spec.n_features = 2;
    spec.features = small_features;
    spec.labels = small_labels;
    return spec;
}

/* Rows with features (i, 1000·i) and label i mod n_classes. */
static infl_dataset *numbered(size_t n, size_t n_classes) {
    double *features = malloc(2 * n * sizeof *features);
    int32_t *labels = malloc(n * sizeof *labels);
    for (size_t i = 0; i < n; i++) {
        features[2 * i] = (double)i;
        features[2 * i + 1] = 1000.0 * (double)i;
        labels[i] = (int32_t)(i % n_classes);
    }
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = n;
    spec.n_features = 2;
    spec.features = features;
    spec.labels = labels;
    infl_dataset *dataset = NULL;
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(features);
    free(labels);
    return dataset;
}

static size_t source_of(const infl_dataset *dataset, size_t row) {
    size_t source = SIZE_MAX;
    double features[2];
    assert_ok(infl_dataset_source_row(dataset, row, &source));
    assert_ok(infl_dataset_get(dataset, row, features, NULL));
    ck_assert_double_eq(features[0], (double)source); /* the data and the number agree in datasets from numbered() */
    return source;
}

START_TEST(create_copies) {
    double features[8];
    int32_t labels[4];
    memcpy(features, small_features, sizeof features);
    memcpy(labels, small_labels, sizeof labels);
    infl_dataset_spec spec = small_spec();
    spec.features = features;
    spec.labels = labels;
    infl_dataset *dataset = NULL;
    assert_ok(infl_dataset_create(&dataset, &spec));
    memset(features, 0, sizeof features);
    memset(labels, 0, sizeof labels);
    ck_assert_uint_eq(infl_dataset_rows(dataset), 4);
    ck_assert_uint_eq(infl_dataset_features(dataset), 2);
    ck_assert_uint_eq(infl_dataset_targets(dataset), 3); /* the largest label + 1 */
    ck_assert_int_eq(infl_dataset_target_kind(dataset), INFL_TARGET_CLASS);
    ck_assert_ptr_null(infl_dataset_class_name(dataset, 0));
    for (size_t i = 0; i < 4; i++) {
        double row[2], target;
        assert_ok(infl_dataset_get(dataset, i, row, &target));
        ck_assert_double_eq(row[0], small_features[2 * i]);
        ck_assert_double_eq(row[1], small_features[2 * i + 1]);
        ck_assert_double_eq(target, small_labels[i]);
    }
    assert_ok(infl_dataset_get(dataset, 0, NULL, NULL));
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(create_borrows) {
    double features[8];
    memcpy(features, small_features, sizeof features);
    infl_dataset_spec spec = small_spec();
    spec.features = features;
    spec.borrow = 1;
    spec.n_classes = 7;
    infl_dataset *dataset = NULL, *view = NULL;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_dataset_subset(&view, dataset, (size_t[]){3}, 1));
    infl_dataset_destroy(dataset);
    ck_assert_uint_eq(infl_dataset_targets(view), 7);
    features[6] = 70.0; /* seen through the view: nothing was copied */
    double row[2];
    assert_ok(infl_dataset_get(view, 0, row, NULL));
    ck_assert_double_eq(row[0], 70.0);
    infl_dataset_destroy(view);
}
END_TEST

START_TEST(create_single_precision) {
    const float features[4] = {0.1f, 1e-45f, FLT_MAX, -2.0f};
    const double targets[4] = {1.0, 2.0, 3.0, -4.5};
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = 2;
    spec.n_features = 2;
    spec.features_f32 = features;
    spec.targets = targets;
    spec.n_targets = 2;
    spec.n_classes = 1; /* ignored with targets */
    infl_dataset *dataset = NULL;
    assert_ok(infl_dataset_create(&dataset, &spec));
    ck_assert_int_eq(dataset->storage->precision, INFL_F32);
    ck_assert_int_eq(infl_dataset_target_kind(dataset), INFL_TARGET_REAL);
    ck_assert_uint_eq(infl_dataset_targets(dataset), 2);
    for (size_t i = 0; i < 2; i++) {
        double row[2], target[2];
        assert_ok(infl_dataset_get(dataset, i, row, target));
        for (size_t j = 0; j < 2; j++) {
            ck_assert_double_eq(row[j], (double)features[2 * i + j]);
            ck_assert_double_eq(target[j], targets[2 * i + j]);
        }
    }
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(create_refuses) {
    infl_dataset *out = untouched;
    infl_dataset_spec spec = small_spec();
    assert_fails(infl_dataset_create(NULL, &spec), INFL_E_ARGUMENT, "out");
    assert_fails(infl_dataset_create(&out, NULL), INFL_E_ARGUMENT, "spec");
    spec.size = 0;
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "size");
    spec = small_spec();
    spec.n_rows = 0;
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "0 rows");
    spec = small_spec();
    spec.n_features = 0;
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "0 features");
    spec = small_spec();
    spec.features = NULL;
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "neither features nor features_f32");
    spec = small_spec();
    spec.features_f32 = (const float[8]){0.0f};
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "both features and features_f32");
    spec = small_spec();
    spec.labels = NULL;
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "neither labels nor targets");
    spec = small_spec();
    spec.targets = small_features;
    spec.n_targets = 1;
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "both");
    spec.labels = NULL;
    spec.n_targets = 0;
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "n_targets");
    spec = small_spec();
    spec.n_classes = 2;
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "labels[1] is 2");
    spec.n_classes = 0;
    spec.labels = (const int32_t[]){0, 1, 2, -1};
    assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "labels[3] is -1");
    /* shapes whose products overflow are found before anything is read */
    for (int borrow = 0; borrow <= 1; borrow++) {
        spec = small_spec();
        spec.borrow = borrow;
        spec.n_rows = SIZE_MAX / 2 + 1;
        assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "addressed");
        spec = small_spec();
        spec.labels = NULL;
        spec.targets = small_features;
        spec.n_targets = SIZE_MAX / 16;
        spec.borrow = borrow;
        assert_fails(infl_dataset_create(&out, &spec), INFL_E_ARGUMENT, "addressed");
    }
    ck_assert_ptr_eq(out, untouched);
}
END_TEST

START_TEST(create_refuses_empty_classes) {
    static const struct {
        int32_t labels[4];
        const char *part;
    } cases[] = {{{1, 2, 3, 1}, "class 0 of 4"},       {{0, 1, 3, 3}, "class 2 of 4"},
                 {{3, 2, 0, 4}, "class 1 of 5"},       {{4, 1, 2, 3}, "class 0 of 5"},
                 {{0, 1, 2, 9000}, "class 3 of 9001"}, {{INT32_MAX, 0, 0, 0}, "class 1 of 2147483648"}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        infl_dataset *dataset = untouched;
        infl_dataset_spec spec = small_spec();
        spec.labels = cases[k].labels;
        assert_fails(infl_dataset_create(&dataset, &spec), INFL_E_ARGUMENT, cases[k].part);
        ck_assert_ptr_eq(dataset, untouched);
        if (k == 5)
            continue;
        spec.n_classes = 9001; /* said to be meant */
        assert_ok(infl_dataset_create(&dataset, &spec));
        ck_assert_uint_eq(infl_dataset_targets(dataset), 9001);
        infl_dataset_destroy(dataset);
    }
}
END_TEST

START_TEST(create_refuses_nonfinite) {
    infl_dataset *out = untouched;
    const double bad[3] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t k = 0; k < 3; k++) {
        double features[8], targets[4] = {1.0, 2.0, 3.0, 4.0};
        float singles[8];
        memcpy(features, small_features, sizeof features);
        features[5] = bad[k];
        for (size_t i = 0; i < 8; i++)
            singles[i] = (float)features[i];
        infl_dataset_spec spec = small_spec();
        spec.features = features;
        assert_fails(infl_dataset_create(&out, &spec), INFL_E_NONFINITE, "row 2, column 1");
        spec.features = NULL;
        spec.features_f32 = singles;
        assert_fails(infl_dataset_create(&out, &spec), INFL_E_NONFINITE, "row 2, column 1");
        spec = small_spec();
        spec.n_rows = 2;
        spec.labels = NULL;
        spec.targets = targets;
        spec.n_targets = 2;
        targets[2] = bad[k];
        assert_fails(infl_dataset_create(&out, &spec), INFL_E_NONFINITE, "target in row 1, column 0");
    }
    ck_assert_ptr_eq(out, untouched);
}
END_TEST

START_TEST(iris_is_fishers) {
    /* means and standard deviations (1/(n−1)) by class as printed in textbooks, to 3 and 4 decimals */
    static const double means[3][4] = {
        {5.006, 3.428, 1.462, 0.246}, {5.936, 2.770, 4.260, 1.326}, {6.588, 2.974, 5.552, 2.026}};
    static const double deviations[3][4] = {
        {0.3525, 0.3791, 0.1737, 0.1054}, {0.5162, 0.3138, 0.4699, 0.1978}, {0.6359, 0.3225, 0.5519, 0.2747}};
    static const char *const names[3] = {"setosa", "versicolor", "virginica"};
    static const struct {
        size_t row;
        double features[4];
    } known[] = {{0, {5.1, 3.5, 1.4, 0.2}},  {34, {4.9, 3.1, 1.5, 0.2}}, /* the UCI copy has 0.1 */
                 {37, {4.9, 3.6, 1.4, 0.1}},                             /* the UCI copy has 3.1 and 1.5 */
                 {50, {7.0, 3.2, 4.7, 1.4}}, {131, {7.9, 3.8, 6.4, 2.0}}, {149, {5.9, 3.0, 5.1, 1.8}}};
    infl_dataset *iris = NULL;
    assert_ok(infl_dataset_iris(&iris));
    ck_assert_uint_eq(infl_dataset_rows(iris), 150);
    ck_assert_uint_eq(infl_dataset_features(iris), 4);
    ck_assert_uint_eq(infl_dataset_targets(iris), 3);
    ck_assert_int_eq(infl_dataset_target_kind(iris), INFL_TARGET_CLASS);
    ck_assert_int_eq(iris->storage->precision, INFL_F64);
    for (size_t c = 0; c < 3; c++) {
        double sum[4] = {0}, squares[4] = {0};
        for (size_t i = 50 * c; i < 50 * (c + 1); i++) {
            double features[4], target;
            assert_ok(infl_dataset_get(iris, i, features, &target));
            ck_assert_double_eq(target, (double)c);
            for (size_t j = 0; j < 4; j++) {
                sum[j] += features[j];
                squares[j] += features[j] * features[j];
            }
        }
        for (size_t j = 0; j < 4; j++) {
            ck_assert_double_eq_tol(sum[j] / 50.0, means[c][j], 1e-12); /* the means have three decimals exactly */
            ck_assert_double_eq_tol(sqrt((squares[j] - sum[j] * sum[j] / 50.0) / 49.0), deviations[c][j], 5.1e-5);
        }
        ck_assert_str_eq(infl_dataset_class_name(iris, c), names[c]);
    }
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        double features[4];
        assert_ok(infl_dataset_get(iris, known[k].row, features, NULL));
        for (size_t j = 0; j < 4; j++)
            ck_assert_double_eq(features[j], known[k].features[j]);
    }
    infl_dataset_destroy(iris);
    assert_fails(infl_dataset_iris(NULL), INFL_E_ARGUMENT, "out");
}
END_TEST

START_TEST(views_compose) {
    infl_dataset *all = numbered(10, 3), *odd = NULL, *view = NULL, *same = NULL;
    assert_ok(infl_dataset_subset(&odd, all, (size_t[]){9, 7, 5, 3, 1}, 5));
    assert_ok(infl_dataset_subset(&view, odd, (size_t[]){4, 0, 0, 2}, 4)); /* rows 1, 9, 9, 5 */
    ck_assert_ptr_eq(view->storage, all->storage);
    assert_ok(infl_dataset_subset(&same, view, NULL, 77)); /* all rows */
    infl_dataset_destroy(odd);
    infl_dataset_destroy(all); /* in any order */
    const size_t expected[4] = {1, 9, 9, 5};
    ck_assert_uint_eq(infl_dataset_rows(view), 4);
    ck_assert_uint_eq(infl_dataset_rows(same), 4);
    for (size_t i = 0; i < 4; i++) {
        double target;
        assert_ok(infl_dataset_get(view, i, NULL, &target));
        ck_assert_double_eq(target, (double)(expected[i] % 3));
        ck_assert_uint_eq(source_of(view, i), expected[i]);
        ck_assert_uint_eq(source_of(same, i), expected[i]);
    }
    ck_assert_uint_eq(infl_dataset_targets(view), 3); /* the classes of the parent, met here or not */
    infl_dataset_destroy(view);
    ck_assert_uint_eq(source_of(same, 3), 5);
    infl_dataset_destroy(same);
}
END_TEST

START_TEST(reference_outlives) {
    infl_dataset *all = numbered(6, 2), *view = NULL, *kept_all = NULL, *kept_view = NULL;
    assert_ok(infl_dataset_subset(&view, all, (size_t[]){5, 2}, 2));
    assert_ok(infl_dataset_reference(&kept_all, all));
    assert_ok(infl_dataset_reference(&kept_view, view));
    infl_dataset_destroy(all);
    infl_dataset_destroy(view);
    ck_assert_uint_eq(infl_dataset_rows(kept_all), 6);
    ck_assert_uint_eq(source_of(kept_all, 4), 4);
    ck_assert_uint_eq(infl_dataset_rows(kept_view), 2);
    ck_assert_uint_eq(source_of(kept_view, 0), 5);
    infl_dataset_destroy(kept_all);
    ck_assert_uint_eq(source_of(kept_view, 1), 2);
    infl_dataset_destroy(kept_view);
}
END_TEST

START_TEST(without_leaves_the_rest) {
    infl_dataset *all = numbered(7, 2), *view = NULL, *rest = NULL;
    for (size_t removed = 0; removed < 7; removed++) {
        assert_ok(infl_dataset_without(&rest, all, &removed, 1));
        ck_assert_uint_eq(infl_dataset_rows(rest), 6);
        for (size_t i = 0; i < 6; i++)
            ck_assert_uint_eq(source_of(rest, i), i + (i >= removed));
        infl_dataset_destroy(rest);
    }
    assert_ok(infl_dataset_subset(&view, all, (size_t[]){6, 6, 4, 0}, 4));
    assert_ok(infl_dataset_without(&rest, view, (size_t[]){3, 0, 3}, 3)); /* positions; a repeat is harmless */
    ck_assert_uint_eq(infl_dataset_rows(rest), 2);
    ck_assert_uint_eq(source_of(rest, 0), 6);
    ck_assert_uint_eq(source_of(rest, 1), 4);
    infl_dataset_destroy(rest);
    assert_ok(infl_dataset_without(&rest, view, (size_t[]){0}, 0)); /* nothing removed */
    ck_assert_uint_eq(infl_dataset_rows(rest), 4);
    infl_dataset_destroy(rest);
    infl_dataset_destroy(view);
    infl_dataset_destroy(all);
}
END_TEST

START_TEST(views_refuse) {
    infl_dataset *all = numbered(3, 3), *out = untouched;
    const size_t rows[3] = {0, 2, 3}, every[4] = {0, 1, 2, 1};
    assert_fails(infl_dataset_subset(NULL, all, rows, 2), INFL_E_ARGUMENT, "out");
    assert_fails(infl_dataset_subset(&out, NULL, rows, 2), INFL_E_ARGUMENT, "dataset");
    assert_fails(infl_dataset_subset(&out, all, rows, 0), INFL_E_ARGUMENT, "n_rows");
    assert_fails(infl_dataset_subset(&out, all, rows, 3), INFL_E_ARGUMENT, "rows[2] is 3");
    assert_fails(infl_dataset_without(NULL, all, rows, 1), INFL_E_ARGUMENT, "out");
    assert_fails(infl_dataset_without(&out, NULL, rows, 1), INFL_E_ARGUMENT, "dataset");
    assert_fails(infl_dataset_without(&out, all, NULL, 1), INFL_E_ARGUMENT, "rows");
    assert_fails(infl_dataset_without(&out, all, rows, 3), INFL_E_ARGUMENT, "rows[2] is 3");
    assert_fails(infl_dataset_without(&out, all, every, 4), INFL_E_ARGUMENT, "remain");
    ck_assert_ptr_eq(out, untouched);
    double value = 5.0;
    size_t source = 5;
    assert_fails(infl_dataset_get(NULL, 0, &value, &value), INFL_E_ARGUMENT, "dataset");
    assert_fails(infl_dataset_get(all, 3, &value, &value), INFL_E_ARGUMENT, "row is 3");
    assert_fails(infl_dataset_source_row(NULL, 0, &source), INFL_E_ARGUMENT, "dataset");
    assert_fails(infl_dataset_source_row(all, 0, NULL), INFL_E_ARGUMENT, "source_row");
    assert_fails(infl_dataset_source_row(all, SIZE_MAX, &source), INFL_E_ARGUMENT, "row is");
    ck_assert_double_eq(value, 5.0);
    ck_assert_uint_eq(source, 5);
    infl_dataset_destroy(all);
    infl_dataset_destroy(NULL);
    ck_assert_uint_eq(infl_dataset_rows(NULL), 0);
    ck_assert_uint_eq(infl_dataset_features(NULL), 0);
    ck_assert_uint_eq(infl_dataset_targets(NULL), 0);
    ck_assert_int_eq(infl_dataset_target_kind(NULL), INFL_TARGET_CLASS);
    ck_assert_ptr_null(infl_dataset_class_name(NULL, 0));
}
END_TEST

/* Every row is in exactly one part, each part in order; marks[source row] tells which were in the first. */
static void check_partition(const infl_dataset *first, const infl_dataset *second, size_t n, unsigned char *marks) {
    ck_assert_uint_eq(infl_dataset_rows(first) + infl_dataset_rows(second), n);
    memset(marks, 0, n);
    for (size_t i = 0; i < infl_dataset_rows(first); i++) {
        ck_assert(i == 0 || source_of(first, i - 1) < source_of(first, i));
        marks[source_of(first, i)] = 1;
    }
    for (size_t i = 0; i < infl_dataset_rows(second); i++) {
        ck_assert(i == 0 || source_of(second, i - 1) < source_of(second, i));
        ck_assert_int_eq(marks[source_of(second, i)], 0);
    }
}

/* Labels change in the new dataset alone; features, names and source rows stay, also when the parent is gone. */
START_TEST(relabel_changes_labels_alone) {
    static const char *const names[] = {"a", "b", "c"};
    infl_dataset *all = numbered(9, 3), *view = NULL, *changed = NULL, *again = NULL;
    double row[2], before, after;
    assert_ok(infl_dataset_name_classes(all, names, 3));
    assert_ok(infl_dataset_subset(&view, all, (size_t[]){8, 2, 5, 0}, 4)); /* labels 2, 2, 2, 0 */
    infl_dataset_destroy(all);
    assert_ok(infl_dataset_relabel(&changed, view, (size_t[]){1, 3, 1}, 3, (int32_t[]){0, 2, 1}));
    static const double expected[] = {2, 1, 2, 2}, first[] = {2, 2, 2, 0};
    for (size_t i = 0; i < 4; i++) {
        assert_ok(infl_dataset_get(view, i, NULL, &before));
        assert_ok(infl_dataset_get(changed, i, row, &after));
        ck_assert_double_eq(before, first[i]);
        ck_assert_double_eq(after, expected[i]);
        ck_assert_uint_eq(source_of(changed, i), source_of(view, i));
    }
    ck_assert_ptr_eq(changed->storage->features, view->storage->features);
    infl_dataset_destroy(view);
    ck_assert_str_eq(infl_dataset_class_name(changed, 2), "c");
    ck_assert_uint_eq(infl_dataset_targets(changed), 3);
    assert_ok(infl_dataset_relabel(&again, changed, NULL, 0, (int32_t[]){0, 0, 1, 1}));
    infl_dataset_destroy(changed);
    for (size_t i = 0; i < 4; i++) {
        assert_ok(infl_dataset_get(again, i, row, &after));
        ck_assert_double_eq(row[1], 1000.0 * row[0]);
        ck_assert_double_eq(after, i / 2);
    }
    infl_dataset_destroy(again);
}
END_TEST

/* A row that stands there twice is one row; the arrays of one that borrows are not written to. */
START_TEST(relabel_of_repeats_and_borrowed) {
    infl_dataset_spec spec = small_spec();
    spec.borrow = 1;
    infl_dataset *dataset = NULL, *twice = NULL, *changed = NULL;
    double label;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_dataset_subset(&twice, dataset, (size_t[]){1, 0, 1}, 3));
    assert_ok(infl_dataset_relabel(&changed, twice, (size_t[]){2}, 1, (int32_t[]){0}));
    infl_dataset_destroy(dataset);
    infl_dataset_destroy(twice);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(infl_dataset_get(changed, i, NULL, &label));
        ck_assert_double_eq(label, 0.0);
    }
    ck_assert_int_eq(small_labels[1], 2);
    infl_dataset_destroy(changed);
}
END_TEST

static void *destroy_dataset(void *dataset) {
    infl_dataset_destroy(dataset);
    return NULL;
}

/* Labels changed again and again: each set has its own and the features of the first, and all go with the last, on the
 * stack of one. */
START_TEST(relabel_many_times) {
    enum { TIMES = 20000, STACK = 128 << 10 };
    infl_dataset *dataset = numbered(2, 2);
    double row[2], label;
    for (int i = 0; i < TIMES; i++) {
        infl_dataset *before = dataset;
        assert_ok(infl_dataset_relabel(&dataset, before, NULL, 0, (int32_t[]){i / 2 % 2, 1 - i / 2 % 2}));
        infl_dataset_destroy(before);
    }
    assert_ok(infl_dataset_get(dataset, 1, row, &label));
    ck_assert(row[0] == 1 && row[1] == 1000 && label == 0); /* TIMES / 2 − 1 is odd */
    pthread_attr_t small;
    pthread_t thread;
    ck_assert_int_eq(pthread_attr_init(&small), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&small, STACK), 0);
    ck_assert_int_eq(pthread_create(&thread, &small, destroy_dataset, dataset), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(pthread_attr_destroy(&small), 0);
}
END_TEST

START_TEST(relabel_refuses) {
    infl_dataset *dataset = numbered(4, 2), *out = untouched, *real = NULL;
    const size_t rows[] = {0, 3};
    const int32_t labels[] = {1, 1, 0, 0};
    assert_fails(infl_dataset_relabel(NULL, dataset, rows, 2, labels), INFL_E_ARGUMENT, "out is NULL");
    assert_fails(infl_dataset_relabel(&out, NULL, rows, 2, labels), INFL_E_ARGUMENT, "dataset is NULL");
    assert_fails(infl_dataset_relabel(&out, dataset, rows, 2, NULL), INFL_E_ARGUMENT, "labels is NULL");
    assert_fails(infl_dataset_relabel(&out, dataset, (size_t[]){0, 4}, 2, labels), INFL_E_ARGUMENT, "rows[1] is 4");
    assert_fails(infl_dataset_relabel(&out, dataset, rows, 2, (int32_t[]){0, 2}), INFL_E_ARGUMENT, "labels[1] is 2");
    assert_fails(infl_dataset_relabel(&out, dataset, NULL, 0, (int32_t[]){0, 0, -1, 0}), INFL_E_ARGUMENT,
                 "labels[2] is -1");
    infl_dataset_spec spec = small_spec();
    spec.labels = NULL;
    spec.targets = small_features;
    spec.n_targets = 2;
    assert_ok(infl_dataset_create(&real, &spec));
    assert_fails(infl_dataset_relabel(&out, real, rows, 2, labels), INFL_E_ARGUMENT, "real numbers");
    ck_assert_ptr_eq(out, untouched);
    infl_dataset_destroy(real);
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(split_takes_smallest_keys) {
    enum { N = 41 };
    infl_dataset *all = numbered(N, 3), *first = NULL, *second = NULL;
    for (uint64_t seed = 0; seed < 20; seed++)
        for (int stratify = 0; stratify <= 1; stratify++) {
            const double fraction = 0.3;
            unsigned char in_first[N];
            assert_ok(infl_dataset_split(&first, &second, all, fraction, stratify, seed));
            check_partition(first, second, N, in_first);
            for (size_t i = 0; i < N; i++) {
                /* by counting instead of sorting */
                size_t peers = 0, before = 0;
                for (size_t k = 0; k < N; k++) {
                    if (stratify && k % 3 != i % 3)
                        continue;
                    uint64_t mine = infl_random_bits(seed, INFL_STREAM_SPLIT, i);
                    uint64_t other = infl_random_bits(seed, INFL_STREAM_SPLIT, k);
                    peers++;
                    before += other < mine || (other == mine && k < i);
                }
                ck_assert_int_eq(in_first[i], (double)before < floor(fraction * (double)peers + 0.5));
            }
            infl_dataset_destroy(first);
            infl_dataset_destroy(second);
        }
    infl_dataset_destroy(all);
}
END_TEST

START_TEST(split_is_uniform) {
    enum { N = 12, SEEDS = 2000 };
    infl_dataset *all = numbered(N, 2), *first = NULL, *second = NULL;
    unsigned char marks[N];
    size_t counts[N] = {0}, both = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        assert_ok(infl_dataset_split(&first, &second, all, 0.25, 0, seed));
        ck_assert_uint_eq(infl_dataset_rows(first), 3);
        check_partition(first, second, N, marks);
        for (size_t i = 0; i < N; i++)
            counts[i] += marks[i];
        both += marks[4] && marks[5];
        infl_dataset_destroy(first);
        infl_dataset_destroy(second);
    }
    /* binomial, p = 1/4, and for a pair p = 3/12·2/11: five standard deviations */
    for (size_t i = 0; i < N; i++)
        ck_assert_double_eq_tol((double)counts[i], SEEDS * 0.25, 5.0 * sqrt(SEEDS * 0.25 * 0.75));
    ck_assert_double_eq_tol((double)both, SEEDS / 22.0, 5.0 * sqrt(SEEDS / 22.0 * 21.0 / 22.0));
    infl_dataset_destroy(all);
}
END_TEST

START_TEST(split_of_a_view) {
    infl_dataset *iris = NULL, *view = NULL, *first = NULL, *second = NULL;
    assert_ok(infl_dataset_iris(&iris));
    size_t rows[75];
    for (size_t i = 0; i < 75; i++)
        rows[i] = i < 10 ? i : i + 60; /* 10 of class 0, 30 of class 1, 35 of class 2 */
    assert_ok(infl_dataset_subset(&view, iris, rows, 75));
    assert_ok(infl_dataset_split(&first, &second, view, 0.3, 1, 7));
    size_t counts[3] = {0};
    for (size_t i = 0; i < infl_dataset_rows(first); i++) {
        double target;
        assert_ok(infl_dataset_get(first, i, NULL, &target));
        counts[(size_t)target]++;
    }
    ck_assert_uint_eq(counts[0], 3);
    ck_assert_uint_eq(counts[1], 9);
    ck_assert_uint_eq(counts[2], 11); /* 10.5 rounded away from zero */
    ck_assert_uint_eq(infl_dataset_rows(second), 75 - 23);
    infl_dataset_destroy(first);
    infl_dataset_destroy(second);
    infl_dataset_destroy(view);
    infl_dataset_destroy(iris);
}
END_TEST

START_TEST(split_refuses) {
    infl_dataset *all = numbered(5, 5), *real = NULL, *first = untouched, *second = untouched;
    infl_dataset_spec spec = small_spec();
    spec.labels = NULL;
    spec.targets = small_features;
    spec.n_targets = 1;
    assert_ok(infl_dataset_create(&real, &spec));
    assert_fails(infl_dataset_split(NULL, &second, all, 0.5, 0, 1), INFL_E_ARGUMENT, "first");
    assert_fails(infl_dataset_split(&first, NULL, all, 0.5, 0, 1), INFL_E_ARGUMENT, "second");
    assert_fails(infl_dataset_split(&first, &first, all, 0.5, 0, 1), INFL_E_ARGUMENT, "same");
    assert_fails(infl_dataset_split(&first, &second, NULL, 0.5, 0, 1), INFL_E_ARGUMENT, "dataset");
    const double bad[] = {0.0, 1.0, -0.5, 1.5, (double)NAN, (double)INFINITY};
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        assert_fails(infl_dataset_split(&first, &second, all, bad[k], 0, 1), INFL_E_ARGUMENT, "fraction");
    assert_fails(infl_dataset_split(&first, &second, all, 0.05, 0, 1), INFL_E_ARGUMENT, "first part");
    assert_fails(infl_dataset_split(&first, &second, all, 0.95, 0, 1), INFL_E_ARGUMENT, "second part");
    assert_fails(infl_dataset_split(&first, &second, all, 0.4, 1, 1), INFL_E_ARGUMENT, "first part"); /* 1 a class */
    assert_fails(infl_dataset_split(&first, &second, real, 0.5, 1, 1), INFL_E_ARGUMENT, "stratify");
    ck_assert_ptr_eq(first, untouched);
    ck_assert_ptr_eq(second, untouched);
    infl_dataset_destroy(real);
    infl_dataset_destroy(all);
}
END_TEST

/* Mean and variance (1/n) of a feature in long double. */
static void moments(const infl_dataset *dataset, size_t column, double *mean, double *variance) {
    size_t n = infl_dataset_rows(dataset);
    double features[8];
    long double sum = 0.0L, squares = 0.0L;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n; i++) {
            assert_ok(infl_dataset_get(dataset, i, features, NULL));
            long double value = (long double)features[column];
            if (pass == 0)
                sum += value / (long double)n;
            else
                squares += (value - sum) * (value - sum) / (long double)n;
        }
    *mean = (double)sum;
    *variance = (double)squares;
}

START_TEST(standardise_gives_mean_0_variance_1) {
    infl_dataset *iris = NULL, *result = NULL;
    assert_ok(infl_dataset_iris(&iris));
    assert_ok(infl_dataset_standardise(&result, iris, NULL));
    ck_assert(result->storage != iris->storage);
    for (size_t j = 0; j < 4; j++) {
        double mean, variance;
        moments(result, j, &mean, &variance);
        /* the sums of 150 terms below 4 lose at most 150 units in the last place */
        ck_assert_double_eq_tol(mean, 0.0, 4 * 150 * DBL_EPSILON);
        ck_assert_double_eq_tol(variance, 1.0, 4 * 150 * DBL_EPSILON);
    }
    ck_assert_str_eq(infl_dataset_class_name(result, 2), "virginica");
    infl_dataset_destroy(iris);
    double target;
    assert_ok(infl_dataset_get(result, 120, NULL, &target));
    ck_assert_double_eq(target, 2.0);
    ck_assert_str_eq(infl_dataset_class_name(result, 1), "versicolor"); /* its own copy */
    infl_dataset_destroy(result);
}
END_TEST

START_TEST(standardise_by_reference) {
    infl_dataset *iris = NULL, *train = NULL, *test = NULL, *result = NULL;
    assert_ok(infl_dataset_iris(&iris));
    assert_ok(infl_dataset_split(&train, &test, iris, 0.8, 1, 3));
    assert_ok(infl_dataset_standardise(&result, test, train));
    ck_assert_uint_eq(infl_dataset_rows(result), 30);
    for (size_t j = 0; j < 4; j++) {
        double mean, variance;
        moments(train, j, &mean, &variance);
        for (size_t i = 0; i < 30; i++) {
            double before[4], after[4], target_before, target_after;
            assert_ok(infl_dataset_get(test, i, before, &target_before));
            assert_ok(infl_dataset_get(result, i, after, &target_after));
            ck_assert_double_eq_tol(after[j], (before[j] - mean) / sqrt(variance), 4 * 120 * DBL_EPSILON);
            ck_assert_double_eq(target_after, target_before);
        }
    }
    infl_dataset_destroy(result);
    infl_dataset_destroy(test);
    infl_dataset_destroy(train);
    infl_dataset_destroy(iris);
}
END_TEST

START_TEST(standardise_hard_columns) {
    enum { N = 1000, D = 5 };
    static double features[N * D], targets[2 * N];
    for (size_t i = 0; i < N; i++) {
        double step = (double)(i % 2) * 2.0 - 1.0; /* mean 0, variance 1 */
        features[i * D] = 0.1;                     /* constant: the rounded mean is not 0.1 */
        features[i * D + 1] = 1e15 + step;
        features[i * D + 2] = 1e-300 * step;
        features[i * D + 3] = 1e300 * step;
        features[i * D + 4] = 3.0 + 2.0 * step;
        targets[2 * i] = (double)i;
        targets[2 * i + 1] = -(double)i;
    }
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = N;
    spec.n_features = D;
    spec.features = features;
    spec.targets = targets;
    spec.n_targets = 2;
    infl_dataset *dataset = NULL, *result = NULL;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_dataset_standardise(&result, dataset, NULL));
    for (size_t i = 0; i < N; i++) {
        double row[D], target[2];
        assert_ok(infl_dataset_get(result, i, row, target));
        ck_assert_double_eq(row[0], 0.0);
        for (size_t j = 1; j < D; j++)
            ck_assert_double_eq_tol(row[j], (double)(i % 2) * 2.0 - 1.0, N * DBL_EPSILON);
        ck_assert_double_eq(target[0], (double)i);
        ck_assert_double_eq(target[1], -(double)i);
    }
    infl_dataset_destroy(result);
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(standardise_keeps_precision) {
    const float features[4] = {1e8f, 1e8f + 16.0f, 1e8f + 32.0f, 1e8f + 16.0f}; /* deviation √128 */
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = 4;
    spec.n_features = 1;
    spec.features_f32 = features;
    spec.labels = small_labels;
    infl_dataset *dataset = NULL, *result = NULL;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_dataset_standardise(&result, dataset, NULL));
    ck_assert_int_eq(result->storage->precision, INFL_F32);
    const double expected[4] = {-16.0, 0.0, 16.0, 0.0};
    for (size_t i = 0; i < 4; i++) {
        double value;
        assert_ok(infl_dataset_get(result, i, &value, NULL));
        ck_assert_double_eq(value, (double)(float)(expected[i] / sqrt(128.0)));
    }
    infl_dataset_destroy(result);
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(standardise_compares_class_names) {
    static const char *const orders[3][2] = {{"cat", "dog"}, {"dog", "cat"}, {"cat", NULL}};
    infl_dataset *named[3], *nameless = numbered(4, 2), *result = NULL;
    for (size_t k = 0; k < 3; k++) {
        named[k] = numbered(4, 2);
        assert_ok(infl_dataset_name_classes(named[k], orders[k], 2));
    }
    for (size_t k = 0; k < 3; k++) {
        infl_dataset *out = untouched;
        for (size_t other = 0; other < 3; other++)
            if (other != k)
                assert_fails(infl_dataset_standardise(&out, named[k], named[other]), INFL_E_ARGUMENT,
                             k + other == 2 ? "class 1" : "class 0");
        ck_assert_ptr_eq(out, untouched);
        infl_dataset *references[3] = {NULL, named[k], nameless};
        for (size_t r = 0; r < 3; r++) {
            assert_ok(infl_dataset_standardise(&result, named[k], references[r]));
            ck_assert_str_eq(infl_dataset_class_name(result, 0), orders[k][0]);
            infl_dataset_destroy(result);
        }
    }
    /* of the same names in the same order, but kept twice */
    infl_dataset *twin = numbered(4, 2);
    assert_ok(infl_dataset_name_classes(twin, orders[0], 2));
    assert_ok(infl_dataset_standardise(&result, named[0], twin));
    infl_dataset_destroy(result);
    infl_dataset_destroy(twin);
    infl_dataset_destroy(nameless);
    for (size_t k = 0; k < 3; k++)
        infl_dataset_destroy(named[k]);
}
END_TEST

START_TEST(standardise_refuses) {
    infl_dataset *small = numbered(4, 2), *iris = NULL, *wide = NULL, *narrow = NULL, *out = untouched;
    assert_ok(infl_dataset_iris(&iris));
    assert_fails(infl_dataset_standardise(NULL, small, NULL), INFL_E_ARGUMENT, "out");
    assert_fails(infl_dataset_standardise(&out, NULL, small), INFL_E_ARGUMENT, "dataset");
    assert_fails(infl_dataset_standardise(&out, small, iris), INFL_E_ARGUMENT, "4 features");
    /* a span beyond the largest double, and a quotient beyond it */
    infl_dataset_spec spec = small_spec();
    spec.n_features = 1;
    spec.features = (const double[]){-DBL_MAX, DBL_MAX, 0.0, 1.0};
    assert_ok(infl_dataset_create(&wide, &spec));
    assert_fails(infl_dataset_standardise(&out, wide, NULL), INFL_E_NONFINITE, "row 0, column 0");
    spec.features = (const double[]){1e-200, 2e-200, 3e-200, 4e-200};
    assert_ok(infl_dataset_create(&narrow, &spec));
    assert_fails(infl_dataset_standardise(&out, wide, narrow), INFL_E_NONFINITE, "column 0");
    ck_assert_ptr_eq(out, untouched);
    infl_dataset_destroy(narrow);
    infl_dataset_destroy(wide);
    infl_dataset_destroy(iris);
    infl_dataset_destroy(small);
}
END_TEST

/* n rows of channels × run features, each channel with its own centre and spread. */
static infl_dataset *images(size_t n, size_t channels, size_t run, infl_precision precision) {
    size_t d = channels * run;
    double *f64 = malloc(n * d * sizeof *f64);
    float *f32 = malloc(n * d * sizeof *f32);
    int32_t *labels = calloc(n, sizeof *labels);
    for (size_t i = 0; i < n * d; i++) {
        size_t c = i % d / run;
        f64[i] = 1000.0 * (double)c + pow(10.0, (double)c) * infl_random_normal(5, 62, i);
        f32[i] = (float)f64[i];
    }
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = n;
    spec.n_features = d;
    spec.features = precision == INFL_F64 ? f64 : NULL;
    spec.features_f32 = precision == INFL_F32 ? f32 : NULL;
    spec.labels = labels;
    infl_dataset *dataset = NULL;
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(f64);
    free(f32);
    free(labels);
    return dataset;
}

/* Against sums over the values one by one, of a view as well; and a channel a feature is infl_dataset_standardise. */
START_TEST(channels_measured) {
    enum { N = 7, CHANNELS = 3, RUN = 4, D = CHANNELS * RUN };
    static const size_t rows[] = {5, 0, 0, 3};
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        infl_dataset *whole = images(N, CHANNELS, RUN, (infl_precision)precision), *view = NULL;
        assert_ok(infl_dataset_subset(&view, whole, rows, 4));
        for (int of_view = 0; of_view < 2; of_view++) {
            infl_dataset *dataset = of_view ? view : whole;
            size_t n = infl_dataset_rows(dataset);
            double x[N][D], mean[CHANNELS], deviation[CHANNELS];
            for (size_t i = 0; i < n; i++)
                assert_ok(infl_dataset_get(dataset, i, x[i], NULL));
            assert_ok(infl_dataset_measure_channels(dataset, CHANNELS, mean, deviation));
            for (size_t c = 0; c < CHANNELS; c++) {
                double sum = 0.0, squares = 0.0, count = (double)(n * RUN);
                for (size_t i = 0; i < n; i++)
                    for (size_t j = c * RUN; j < (c + 1) * RUN; j++)
                        sum += x[i][j];
                for (size_t i = 0; i < n; i++)
                    for (size_t j = c * RUN; j < (c + 1) * RUN; j++)
                        squares += pow(x[i][j] - sum / count, 2.0);
                /* some thirty additions of numbers of this size on either side */
                ck_assert_double_eq_tol(mean[c], sum / count, 100.0 * DBL_EPSILON * fabs(sum / count) + 1e-15);
                ck_assert_double_eq_tol(deviation[c], sqrt(squares / count), 1e-12 * deviation[c]);
            }
        }
        double mean[D], deviation[D], a[D], b[D];
        infl_dataset *one = NULL, *other = NULL;
        assert_ok(infl_dataset_measure_channels(view, D, mean, deviation));
        assert_ok(infl_dataset_normalise_channels(&one, whole, D, mean, deviation));
        assert_ok(infl_dataset_standardise(&other, whole, view));
        for (size_t i = 0; i < N; i++) {
            assert_ok(infl_dataset_get(one, i, a, NULL));
            assert_ok(infl_dataset_get(other, i, b, NULL));
            for (size_t j = 0; j < D; j++)
                ck_assert_double_eq(a[j], b[j]);
        }
        infl_dataset_destroy(one);
        infl_dataset_destroy(other);
        infl_dataset_destroy(view);
        infl_dataset_destroy(whole);
    }
}
END_TEST

START_TEST(channels_normalised) {
    enum { CHANNELS = 3, RUN = 2, D = CHANNELS * RUN };
    static const double mean[CHANNELS] = {0.5, 1000.25, -7.0}, deviation[CHANNELS] = {2.0, 0.0, 0.125};
    static const size_t rows[] = {4, 2};
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        infl_dataset *whole = images(5, CHANNELS, RUN, (infl_precision)precision), *view = NULL, *normal = NULL;
        assert_ok(infl_dataset_subset(&view, whole, rows, 2));
        assert_ok(infl_dataset_normalise_channels(&normal, view, CHANNELS, mean, deviation));
        ck_assert_int_eq(normal->storage->precision, precision);
        ck_assert_uint_eq(infl_dataset_rows(normal), 2);
        for (size_t i = 0; i < 2; i++) {
            double before[D], after[D];
            size_t source;
            assert_ok(infl_dataset_get(whole, rows[i], before, NULL));
            assert_ok(infl_dataset_get(normal, i, after, NULL));
            assert_ok(infl_dataset_source_row(normal, i, &source));
            ck_assert_uint_eq(source, i);
            for (size_t j = 0; j < D; j++) {
                size_t c = j / RUN;
                double expected = (before[j] - mean[c]) / (c == 1 ? 1.0 : deviation[c]);
                ck_assert_double_eq(after[j], precision == INFL_F32 ? (double)(float)expected : expected);
            }
        }
        infl_dataset_destroy(normal);
        infl_dataset_destroy(view);
        infl_dataset_destroy(whole);
    }
}
END_TEST

START_TEST(channels_refuse) {
    infl_dataset *dataset = images(3, 2, 3, INFL_F64), *out = untouched, *wide = NULL;
    double mean[2] = {-1.0, -1.0}, deviation[2] = {-1.0, -1.0};
    assert_fails(infl_dataset_measure_channels(NULL, 2, mean, deviation), INFL_E_ARGUMENT, "dataset");
    assert_fails(infl_dataset_measure_channels(dataset, 2, NULL, deviation), INFL_E_ARGUMENT, "mean");
    assert_fails(infl_dataset_measure_channels(dataset, 2, mean, NULL), INFL_E_ARGUMENT, "deviation");
    assert_fails(infl_dataset_measure_channels(dataset, 0, mean, deviation), INFL_E_ARGUMENT, "channels is 0");
    assert_fails(infl_dataset_measure_channels(dataset, 4, mean, deviation), INFL_E_ARGUMENT, "the dataset's 6");
    infl_dataset_spec spec = small_spec();
    spec.features = (const double[]){0.0, -DBL_MAX, 0.0, DBL_MAX, 0.0, 0.0, 0.0, 1.0};
    assert_ok(infl_dataset_create(&wide, &spec));
    assert_fails(infl_dataset_measure_channels(wide, 2, mean, deviation), INFL_E_NONFINITE, "channel 1");
    for (size_t c = 0; c < 2; c++)
        ck_assert(mean[c] == -1.0 && deviation[c] == -1.0);
    assert_fails(infl_dataset_normalise_channels(NULL, dataset, 2, mean, mean), INFL_E_ARGUMENT, "out");
    assert_fails(infl_dataset_normalise_channels(&out, NULL, 2, mean, mean), INFL_E_ARGUMENT, "dataset");
    assert_fails(infl_dataset_normalise_channels(&out, dataset, 2, NULL, mean), INFL_E_ARGUMENT, "mean");
    assert_fails(infl_dataset_normalise_channels(&out, dataset, 2, mean, NULL), INFL_E_ARGUMENT, "deviation");
    assert_fails(infl_dataset_normalise_channels(&out, dataset, 5, mean, mean), INFL_E_ARGUMENT, "channels is 5");
    deviation[0] = 0.0;
    assert_fails(infl_dataset_normalise_channels(&out, dataset, 2, mean, deviation), INFL_E_ARGUMENT, "deviation[1]");
    deviation[1] = INFINITY;
    assert_fails(infl_dataset_normalise_channels(&out, dataset, 2, mean, deviation), INFL_E_NONFINITE, "deviation[1]");
    deviation[1] = 1.0;
    mean[0] = NAN;
    assert_fails(infl_dataset_normalise_channels(&out, dataset, 2, mean, deviation), INFL_E_NONFINITE, "mean[0]");
    mean[0] = 1.0;
    deviation[1] = 1e-320;
    assert_fails(infl_dataset_normalise_channels(&out, dataset, 2, mean, deviation), INFL_E_NONFINITE,
                 "row 0, column 3");
    ck_assert_ptr_eq(out, untouched);
    infl_dataset_destroy(wide);
    infl_dataset_destroy(dataset);
}
END_TEST

Suite *dataset_suite(void) {
    Suite *suite = suite_create("dataset");
    add_case(suite, "dataset/create/copies", create_copies, 1);
    add_case(suite, "dataset/create/borrows", create_borrows, 1);
    add_case(suite, "dataset/create/single-precision", create_single_precision, 1);
    add_case(suite, "dataset/create/refuses", create_refuses, 1);
    add_case(suite, "dataset/create/empty-classes", create_refuses_empty_classes, 1);
    add_case(suite, "dataset/create/nonfinite", create_refuses_nonfinite, 1);
    add_case(suite, "dataset/iris", iris_is_fishers, 1);
    add_case(suite, "dataset/views/compose", views_compose, 1);
    add_case(suite, "dataset/views/reference", reference_outlives, 1);
    add_case(suite, "dataset/views/without", without_leaves_the_rest, 1);
    add_case(suite, "dataset/views/refuse", views_refuse, 1);
    add_case(suite, "dataset/relabel/labels-alone", relabel_changes_labels_alone, 1);
    add_case(suite, "dataset/relabel/repeats", relabel_of_repeats_and_borrowed, 1);
    add_case(suite, "dataset/relabel/many-times", relabel_many_times, 1);
    add_case(suite, "dataset/relabel/refuses", relabel_refuses, 1);
    add_case(suite, "dataset/split/smallest-keys", split_takes_smallest_keys, 1);
    add_case(suite, "dataset/split/uniform", split_is_uniform, 1);
    add_case(suite, "dataset/split/stratified-view", split_of_a_view, 1);
    add_case(suite, "dataset/split/refuses", split_refuses, 1);
    add_case(suite, "dataset/standardise/moments", standardise_gives_mean_0_variance_1, 1);
    add_case(suite, "dataset/standardise/reference", standardise_by_reference, 1);
    add_case(suite, "dataset/standardise/hard-columns", standardise_hard_columns, 1);
    add_case(suite, "dataset/standardise/single-precision", standardise_keeps_precision, 1);
    add_case(suite, "dataset/standardise/class-names", standardise_compares_class_names, 1);
    add_case(suite, "dataset/standardise/refuses", standardise_refuses, 1);
    add_case(suite, "dataset/channels/measured", channels_measured, 1);
    add_case(suite, "dataset/channels/normalised", channels_normalised, 1);
    add_case(suite, "dataset/channels/refuse", channels_refuse, 1);
    return suite;
}

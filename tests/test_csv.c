#include <check.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset.h"
#include "influence.h"
#include "random.h"
#include "suites.h"

#define assert_ok(call) ck_assert_msg((call) == INFL_OK, "%s", infl_last_error())

/* What *out holds before a call that must not touch it; never dereferenced. */
static infl_dataset *const untouched = (infl_dataset *)(void *)&(char){0};

static char path[512]; /* of the file made last */

static void make_path(void) {
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/infl-csv-XXXXXX", folder != NULL && folder[0] != '\0' ? folder : "/tmp");
}

static infl_status read_bytes(infl_dataset **out, const char *bytes, size_t n, const infl_csv_options *options) {
    make_path();
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    FILE *file = fdopen(descriptor, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
    infl_status status = infl_dataset_from_csv(out, path, options);
    unlink(path);
    return status;
}

static infl_status read_text(infl_dataset **out, const char *text, const infl_csv_options *options) {
    return read_bytes(out, text, strlen(text), options);
}

static void assert_fails(infl_dataset **out, const char *text, const infl_csv_options *options, infl_status expected,
                         const char *part) {
    ck_assert_int_eq(read_text(out, text, options), expected);
    ck_assert_msg(strstr(infl_last_error(), part) != NULL, "no '%s' in: %s", part, infl_last_error());
    ck_assert_msg(strncmp(infl_last_error(), "infl_dataset_from_csv: ", 23) == 0, "%s", infl_last_error());
}

static infl_csv_options real_options(void) {
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    options.target = INFL_TARGET_REAL;
    return options;
}

/* The rows of a dataset of d features and one target, n×(d+1), the target last. */
static void check_rows(infl_dataset *dataset, size_t n, size_t d, const double *expected) {
    ck_assert_uint_eq(infl_dataset_rows(dataset), n);
    ck_assert_uint_eq(infl_dataset_features(dataset), d);
    double *features = malloc(d * sizeof *features), target;
    for (size_t i = 0; i < n; i++) {
        assert_ok(infl_dataset_get(dataset, i, features, &target));
        for (size_t j = 0; j < d; j++)
            ck_assert_double_eq(features[j], expected[i * (d + 1) + j]);
        ck_assert_double_eq(target, expected[i * (d + 1) + d]);
    }
    free(features);
}

START_TEST(shapes_of_the_same_table) {
    static const double expected[6] = {1.0, -2.5, 0.0, 3e2, 0.25, 1.0};
    static const char *const texts[] = {
        "1,-2.5,0\n3e2,.25,1\n",
        "1,-2.5,0\n3e2,.25,1",       /* no line end at the end */
        "1,-2.5,0\r\n3e2,.25,1\r\n", /* RFC 4180 */
        "1,-2.5,0\r\n3e2,.25,1\r",
        "1,-2.5,0\r3e2,.25,1\r",             /* CR alone */
        "\357\273\2771,-2.5,0\n3e2,.25,1\n", /* byte order mark */
        "\357\273\277\"1\",-2.5,0\n3e2,.25,1\n",
        "\n\n1,-2.5,0\n\r\n \t \n3e2,.25,1\n\n\n",             /* blank lines */
        "a,b,c\n1,-2.5,0\n3e2,.25,1\n",                        /* header */
        "1,b,0\n1,-2.5,0\n3e2,.25,1\n",                        /* one field that is no number makes a header */
        "\"a,\"\"\n\",b,c\n\"1\",\"-2.5\",\"0\"\n3e2,.25,1\n", /* quotes */
        " 1,-2.5\t, 0\n3e2 , .25,1 \n",                        /* blanks around numbers */
        "+1.,-25E-1,0.0\n30.0e+1,25e-02,1e0\n",
        "\"\",b,c\n1,-2.5,-0\n300,0.250,01\n",
    };
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++)
        for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
            infl_dataset *dataset = NULL;
            infl_csv_options options = INFL_CSV_OPTIONS_INIT;
            options.precision = (infl_precision)precision;
            ck_assert_msg(read_text(&dataset, texts[k], &options) == INFL_OK, "%zu: %s", k, infl_last_error());
            check_rows(dataset, 2, 2, expected);
            ck_assert_int_eq(infl_dataset_target_kind(dataset), INFL_TARGET_CLASS);
            ck_assert_uint_eq(infl_dataset_targets(dataset), 2);
            ck_assert_ptr_null(infl_dataset_class_name(dataset, 0));
            ck_assert_int_eq((int)dataset->storage->precision, precision);
            infl_dataset_destroy(dataset);
        }
    infl_dataset *dataset = NULL;
    assert_ok(read_text(&dataset, texts[0], NULL)); /* NULL: the defaults */
    check_rows(dataset, 2, 2, expected);
    ck_assert_int_eq(dataset->storage->precision, INFL_F64);
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(every_option) {
    infl_dataset *dataset = NULL;
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    options.delimiter = ';';
    options.target_column = 1;
    options.n_classes = 9;
    assert_ok(read_text(&dataset, "1;4;2\n3;0;5\n", &options));
    check_rows(dataset, 2, 2, (const double[]){1, 2, 4, 3, 5, 0});
    ck_assert_uint_eq(infl_dataset_targets(dataset), 9);
    infl_dataset_destroy(dataset);

    options = real_options();
    options.header = 1; /* though it looks like data */
    options.target_column = 0;
    options.delimiter = '\t';
    assert_ok(read_text(&dataset, "1\t2\n-0.5\t7\n", &options));
    check_rows(dataset, 1, 1, (const double[]){7, -0.5});
    ck_assert_int_eq(infl_dataset_target_kind(dataset), INFL_TARGET_REAL);
    ck_assert_uint_eq(infl_dataset_targets(dataset), 1);
    infl_dataset_destroy(dataset);

    options = real_options();
    options.header = 0;
    options.delimiter = ' ';
    assert_ok(read_text(&dataset, "1 2\n3 4\n", &options));
    check_rows(dataset, 2, 1, (const double[]){1, 2, 3, 4});
    infl_dataset_destroy(dataset);

    /* the header's word in the target column alone does not make a header: it is the first class */
    options = (infl_csv_options)INFL_CSV_OPTIONS_INIT;
    assert_ok(read_text(&dataset, "1,cat\n2,dog\n", &options));
    ck_assert_uint_eq(infl_dataset_rows(dataset), 2);
    infl_dataset_destroy(dataset);

    /* an options struct of an older header: only its size, delimiter and header */
    options.size = offsetof(infl_csv_options, target_column);
    options.delimiter = '|';
    options.target = INFL_TARGET_REAL; /* beyond what the older struct has */
    assert_ok(read_text(&dataset, "1|0\n3|1\n", &options));
    ck_assert_int_eq(infl_dataset_target_kind(dataset), INFL_TARGET_CLASS);
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(class_names) {
    infl_dataset *dataset = NULL, *view = NULL;
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    assert_ok(read_text(&dataset, "x,species\n1,virginica\n2,\"a \"\"b\"\", c\"\n3,\"virginica\t\"\n4, \t virginica \n",
                        &options));
    check_rows(dataset, 4, 1, (const double[]){1, 0, 2, 1, 3, 0, 4, 0}); /* blanks around a name are no part of it */
    ck_assert_uint_eq(infl_dataset_targets(dataset), 2);
    assert_ok(infl_dataset_subset(&view, dataset, (const size_t[]){1}, 1));
    infl_dataset_destroy(dataset);
    ck_assert_str_eq(infl_dataset_class_name(view, 0), "virginica");
    ck_assert_str_eq(infl_dataset_class_name(view, 1), "a \"b\", c");
    ck_assert_ptr_null(infl_dataset_class_name(view, 2));
    infl_dataset_destroy(view);

    options.n_classes = 4; /* more classes than names */
    assert_ok(read_text(&dataset, "1,no\n2,yes\n", &options));
    ck_assert_uint_eq(infl_dataset_targets(dataset), 4);
    ck_assert_str_eq(infl_dataset_class_name(dataset, 1), "yes");
    ck_assert_ptr_null(infl_dataset_class_name(dataset, 2));
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(classes_of_another_dataset) {
    infl_dataset *train = NULL, *test = NULL, *out = untouched;
    assert_ok(read_text(&train, "1,cat\n2,dog\n3,bird\n", NULL));
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    options.classes = train;
    assert_ok(read_text(&test, "x,species\n5,dog\n6, bird\n7,dog\n", &options));
    check_rows(test, 3, 1, (const double[]){5, 1, 6, 2, 7, 1});
    ck_assert_uint_eq(infl_dataset_targets(test), 3);
    for (size_t c = 0; c < 3; c++)
        ck_assert_str_eq(infl_dataset_class_name(test, c), infl_dataset_class_name(train, c));
    infl_dataset_destroy(test);
    options.n_classes = 3; /* said twice */
    assert_ok(read_text(&test, "5,dog\n", &options));
    infl_dataset_destroy(train); /* nothing of it is kept */
    ck_assert_str_eq(infl_dataset_class_name(test, 2), "bird");
    options.n_classes = 0;
    options.classes = test;
    assert_fails(&out, "5,dog\n6,fish\n", &options, INFL_E_FORMAT,
                 "line 2, column 2: 'fish' is none of the classes that options->classes has: 'cat', 'dog', 'bird' (");
    assert_fails(&out, "5,1\n", &options, INFL_E_FORMAT,
                 "line 1, column 2: '1' is a class index, but options->classes asks for a class name");
    options.n_classes = 2;
    assert_fails(&out, "5,dog\n", &options, INFL_E_ARGUMENT, "n_classes is 2, but classes has 3");
    options.n_classes = 0;
    options.target = INFL_TARGET_REAL;
    assert_fails(&out, "5,1\n", &options, INFL_E_ARGUMENT, "classes is given, but target asks for real");
    infl_dataset_destroy(test);

    /* without names: their number; and a class need not have a row */
    options = (infl_csv_options)INFL_CSV_OPTIONS_INIT;
    assert_ok(read_text(&train, "1,0\n2,3\n3,1\n4,2\n", &options));
    options.classes = train;
    assert_ok(read_text(&test, "5,2\n", &options));
    ck_assert_uint_eq(infl_dataset_targets(test), 4);
    ck_assert_ptr_null(infl_dataset_class_name(test, 0));
    infl_dataset_destroy(test);
    assert_fails(&out, "5,2\n6,4\n", &options, INFL_E_FORMAT,
                 "line 2, column 2: '4' would be class 4, but the number of classes in options->classes is 4");
    assert_fails(&out, "5,dog\n", &options, INFL_E_FORMAT,
                 "'dog' is a class name, but options->classes asks for a class index");
    infl_dataset_destroy(train);

    options = real_options();
    assert_ok(read_text(&train, "1,0.5\n", &options));
    options = (infl_csv_options)INFL_CSV_OPTIONS_INIT;
    options.classes = train;
    assert_fails(&out, "1,0\n", &options, INFL_E_ARGUMENT, "classes is given, but its targets are real");
    infl_dataset_destroy(train);

    /* names that fill the sentence are cut */
    char text[4096], *end = text;
    for (int i = 0; i < 100; i++)
        end += sprintf(end, "%d,class-%d\n", i, i);
    assert_ok(read_text(&train, text, NULL));
    options.classes = train;
    assert_fails(&out, "1,x\n", &options, INFL_E_FORMAT, "'class-0', 'class-1', ");
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "', ... ("));
    infl_dataset_destroy(train);
    memset(text, 'n', 200);
    memcpy(text, "1,", 2);
    memcpy(text + 200, "\n2,m\n", 6);
    assert_ok(read_text(&train, text, NULL));
    options.classes = train;
    assert_fails(&out, "1,x\n", &options, INFL_E_FORMAT, "the classes that options->classes has: ... (");
    infl_dataset_destroy(train);
    ck_assert_ptr_eq(out, untouched);
}
END_TEST

START_TEST(empty_classes) {
    infl_dataset *dataset = untouched;
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    assert_fails(&dataset, "x,y\n5,1\n6,3\n7,2\n8,3\n", &options, INFL_E_FORMAT,
                 "line 3, column 2: the largest class is 3, but no row has class 0 of 4; set n_classes");
    assert_fails(&dataset, "5,0\n6,1\n7,9000\n", &options, INFL_E_FORMAT,
                 "line 3, column 2: the largest class is 9000, but no row has class 2 of 9001; set n_classes");
    assert_fails(&dataset, "5,2147483647\n", &options, INFL_E_FORMAT, "INFL_TARGET_REAL");
    ck_assert_ptr_eq(dataset, untouched);
    options.n_classes = 4;
    assert_ok(read_text(&dataset, "5,1\n6,3\n7,2\n", &options));
    ck_assert_uint_eq(infl_dataset_targets(dataset), 4);
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(skipped_columns) {
    infl_dataset *dataset = NULL;
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    /* what stands in the columns does not make the first line a header */
    options.skip_columns = (const int[]){0, 2, 0};
    options.n_skip_columns = 3;
    assert_ok(read_text(&dataset, "r1,1,,2,cat\nr2,3,nan,4,dog\n", &options));
    check_rows(dataset, 2, 2, (const double[]){1, 2, 0, 3, 4, 1});
    infl_dataset_destroy(dataset);
    options.precision = INFL_F32;
    options.target_column = 0;
    options.skip_columns = (const int[]){-1};
    options.n_skip_columns = 1;
    assert_ok(read_text(&dataset, "y,a,b,name\n1,1.5,2,\"x,y\"\n0,-4,1e3,z\n", &options));
    check_rows(dataset, 2, 2, (const double[]){1.5, 2, 1, -4, 1e3, 0});
    ck_assert_int_eq(dataset->storage->precision, INFL_F32);
    infl_dataset_destroy(dataset);

    dataset = untouched;
    options = (infl_csv_options)INFL_CSV_OPTIONS_INIT;
    options.n_skip_columns = 1;
    assert_fails(&dataset, "1,2,0\n", &options, INFL_E_ARGUMENT, "skip_columns is NULL");
    options.skip_columns = (const int[]){0, 1};
    options.n_skip_columns = 2;
    assert_fails(&dataset, "1,2,0\n", &options, INFL_E_ARGUMENT, "no feature of the 3 columns");
    options.skip_columns = (const int[]){0, 3};
    assert_fails(&dataset, "1,2,0\n", &options, INFL_E_ARGUMENT, "skip_columns[1] is 3; expected less than the 3");
    options.skip_columns = (const int[]){0, -2};
    assert_fails(&dataset, "1,2,0\n", &options, INFL_E_ARGUMENT, "skip_columns[1] is -2; expected a column");
    options.skip_columns = (const int[]){0, -1};
    assert_fails(&dataset, "1,2,0\n", &options, INFL_E_ARGUMENT, "skip_columns[1] is -1, which is the target");
    options.target_column = 0;
    assert_fails(&dataset, "1,2,0\n", &options, INFL_E_ARGUMENT, "skip_columns[0] is 0, which is the target");
    /* the line still has as many fields */
    options.target_column = 1;
    options.n_skip_columns = 1;
    assert_fails(&dataset, "1,0,2\n1,0\n", &options, INFL_E_FORMAT, "line 2, column 3");
    ck_assert_ptr_eq(dataset, untouched);
}
END_TEST

START_TEST(sentences_say_what_was_assumed) {
    infl_dataset *out = untouched;
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    assert_fails(&out, "x,y,z\nu,1,0\n", &options, INFL_E_FORMAT,
                 "line 2, column 1: 'u' is not a number (the target is column 3, the last; see target_column");
    assert_fails(&out, "1;2;0\n", &options, INFL_E_FORMAT, "(the delimiter is ',')");
    assert_fails(&out, "1,0\n2;1\n", &options, INFL_E_FORMAT, "found 1 (the delimiter is ',')");
    assert_fails(&out, "1,2.5\n", &options, INFL_E_FORMAT,
                 "'2.5' is not a class index, a whole number from 0 (INFL_TARGET_REAL, or another target_column?)");
    options.target_column = 0;
    assert_fails(&out, "0,1,2\n0,1,u\n", &options, INFL_E_FORMAT, "(the target is column 1; see target_column");
    static const struct {
        char delimiter;
        const char *part;
    } names[] = {{'\t', "is a tab)"}, {' ', "is a space)"}, {';', "is ';')"}, {'\1', "is character 1)"}};
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        options.delimiter = names[k].delimiter;
        assert_fails(&out, "1,0\n", &options, INFL_E_FORMAT, names[k].part);
    }
    ck_assert_ptr_eq(out, untouched);
}
END_TEST

START_TEST(many_class_names) {
    enum { CLASSES = 3000, ROWS = 2 * CLASSES };
    char *text = malloc(ROWS * 32), *end = text;
    for (int i = 0; i < ROWS; i++)
        end += sprintf(end, "%d,class-%d\n", i, (i * 7) % CLASSES); /* 7 and 3000 have no common factor */
    infl_dataset *dataset = NULL;
    assert_ok(read_text(&dataset, text, NULL));
    ck_assert_uint_eq(infl_dataset_targets(dataset), CLASSES);
    for (int i = 0; i < ROWS; i++) {
        double target;
        char expected[32];
        assert_ok(infl_dataset_get(dataset, (size_t)i, NULL, &target));
        ck_assert_double_eq(target, (double)(i % CLASSES)); /* in the order of appearance */
        snprintf(expected, sizeof expected, "class-%d", (i * 7) % CLASSES);
        ck_assert_str_eq(infl_dataset_class_name(dataset, (size_t)target), expected);
    }
    infl_dataset_destroy(dataset);
    free(text);
}
END_TEST

/* A file whose interesting part stands across the end of whatever buffer the reader uses. */
START_TEST(across_buffers) {
    enum { PAD = 1 << 17 };
    char *text = malloc(PAD + 64);
    for (size_t buffer = 1 << 12; buffer <= 1 << 16; buffer *= 2)
        for (size_t before = 0; before < 12; before++) {
            memset(text, '0', buffer);
            strcpy(text + buffer - before, "1,2\r\n\"3\",\"4\"\r\n5,x\r\n");
            infl_dataset *dataset = NULL;
            infl_csv_options options = real_options();
            ck_assert_int_eq(read_text(&dataset, text, &options), INFL_E_FORMAT);
            ck_assert_msg(strstr(infl_last_error(), "line 3, column 2") != NULL, "%s", infl_last_error());
            strstr(text, "x")[0] = '6';
            assert_ok(read_text(&dataset, text, &options));
            check_rows(dataset, 3, 1, (const double[]){1, 2, 3, 4, 5, 6});
            infl_dataset_destroy(dataset);
        }
    free(text);
}
END_TEST

START_TEST(long_lines) {
    enum { COLUMNS = 30000, ROWS = 3 };
    char *text = malloc(ROWS * COLUMNS * 8), *end = text;
    double *expected = malloc(ROWS * COLUMNS * sizeof *expected);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        int value = (i % COLUMNS == COLUMNS - 1) ? i / COLUMNS : i % 9973;
        end += sprintf(end, "%d%c", value, i % COLUMNS == COLUMNS - 1 ? '\n' : ',');
        expected[i] = value;
    }
    infl_dataset *dataset = NULL;
    assert_ok(read_text(&dataset, text, NULL));
    check_rows(dataset, ROWS, COLUMNS - 1, expected);
    infl_dataset_destroy(dataset);
    free(expected);
    free(text);
}
END_TEST

static void check_round_trip(void) {
    enum { N = 500 };
    char *text = malloc(N * 64), *end = text;
    double expected[2 * N];
    /* doubles of every magnitude, written by scaling bits; the "C" locale's printf is not at hand in every locale */
    for (uint64_t i = 0; i < N; i++) {
        uint64_t bits = infl_random_bits(1, 77, i);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            value = 0.1;
        expected[2 * i] = value;
        expected[2 * i + 1] = 1.5;
        char digits[40];
        snprintf(digits, sizeof digits, "%.17g", value);
        for (char *c = digits; *c != '\0'; c++)
            if (*c == ',')
                *c = '.';
        end += sprintf(end, "%s,1.%s\n", digits, "5");
    }
    infl_csv_options options = real_options();
    infl_dataset *dataset = NULL;
    assert_ok(read_text(&dataset, text, &options));
    check_rows(dataset, N, 1, expected);
    infl_dataset_destroy(dataset);
    free(text);
}

START_TEST(numbers_are_exact) { check_round_trip(); }
END_TEST

START_TEST(locale_is_restored) {
    locale_t own = newlocale(LC_ALL_MASK, "POSIX", (locale_t)0), before = uselocale(own);
    infl_dataset *dataset = NULL;
    infl_csv_options options = real_options();
    assert_ok(read_text(&dataset, "1,2\n", &options));
    ck_assert(uselocale((locale_t)0) == own);
    infl_dataset_destroy(dataset);
    dataset = untouched;
    ck_assert_int_eq(read_text(&dataset, "1,x\n", &options), INFL_E_FORMAT);
    ck_assert_int_eq(infl_dataset_from_csv(&dataset, "", NULL), INFL_E_IO);
    ck_assert(uselocale((locale_t)0) == own);
    uselocale(before);
    freelocale(own);
}
END_TEST

START_TEST(any_locale) {
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE",
                                        "fr_FR.UTF-8", "fr_FR.utf8", "tr_TR.UTF-8"};
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        if (setlocale(LC_ALL, names[k]) == NULL) /* nothing to test where it is not installed */
            continue;
        check_round_trip();
        infl_dataset *dataset = untouched;
        infl_csv_options options = real_options();
        ck_assert_int_eq(read_text(&dataset, "1;1,5\n", &options), INFL_E_FORMAT); /* the other way round */
        options.delimiter = ';';
        ck_assert_int_eq(read_text(&dataset, "1;1,5\n", &options), INFL_E_FORMAT);
        ck_assert_int_eq(read_text(&dataset, "1;INF\n", &options), INFL_E_NONFINITE);
    }
    ck_assert_ptr_nonnull(setlocale(LC_ALL, "C"));
}
END_TEST

START_TEST(malformed) {
    static const struct {
        const char *text;
        infl_target_kind target;
        infl_status status;
        const char *place, *part;
    } cases[] = {
        {"", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 1, column 1", "no rows"},
        {"\xEF\xBB\xBF", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 1, column 1", "no rows"},
        {"\n \r\n\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 4", "no rows"},
        {"a,b,c\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2", "no rows"},
        {"1\n2\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 1, column 2", "missing"},
        /* another number of fields */
        {"1,2,0\n3,4\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 3", "expected 3 fields"},
        {"1,2,0\n3,4,1\n5,", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 3, column 3", "found 2"},
        {"1,2,0\n\n\n3,4,1,9,9\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 4, column 4", "found 5"},
        {"1,2,0,\n3,4,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 1, column 4", "empty"},
        {"x,y\n1,0,0\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 3", "one field too many"},
        {"1,0\n\"\"\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "missing"},
        /* quotes */
        {"1,0\n2,\"1\n3,0\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "never closed"},
        {"1,0\n2,\"", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "never closed"},
        {"1,0\n2,\"1\"\"", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "never closed"},
        {"1,0\n2,\"1\"1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "behind the closing quote"},
        {"1,0\n2,1\"1\"\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "inside a field"},
        {"1,\"a\nb\"\n\"\nx\",c\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 3, column 1", "not a number"},
        /* numbers */
        {"1,0\nx,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "'x' is not a number"},
        {"1,0\n1.5x,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n1 5,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n0x1p3,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n0x10,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n1e,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n1e+,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n.,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n-,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n--1,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n1.2.3,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n1d3,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0\n,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "empty"},
        {"1,0\n  ,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "empty"},
        {"1,0\ninfinite,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 1", "not a number"},
        {"1,0.5\n2,x\n", INFL_TARGET_REAL, INFL_E_FORMAT, "line 2, column 2", "not a number"},
        {"1,0.5\n2,\n", INFL_TARGET_REAL, INFL_E_FORMAT, "line 2, column 2", "empty"},
        /* not finite; and the first line is no header for it */
        {"nan,0\n1,1\n", INFL_TARGET_CLASS, INFL_E_NONFINITE, "line 1, column 1", "'nan'"},
        {"1,0\n NaN ,1\n", INFL_TARGET_CLASS, INFL_E_NONFINITE, "line 2, column 1", "finite"},
        {"1,0\nnan(0x7),1\n", INFL_TARGET_CLASS, INFL_E_NONFINITE, "line 2, column 1", "finite"},
        {"1,0\n-inf,1\n", INFL_TARGET_CLASS, INFL_E_NONFINITE, "line 2, column 1", "finite"},
        {"1,0\n+Infinity,1\n", INFL_TARGET_CLASS, INFL_E_NONFINITE, "line 2, column 1", "finite"},
        {"1,0\n1e309,1\n", INFL_TARGET_CLASS, INFL_E_NONFINITE, "line 2, column 1", "finite"},
        {"1,2\n1,-inf\n", INFL_TARGET_REAL, INFL_E_NONFINITE, "line 2, column 2", "finite"},
        {"1,2\n1,nan\n", INFL_TARGET_CLASS, INFL_E_NONFINITE, "line 2, column 2", "'nan'"},
        /* classes */
        {"1,0\n2,-1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "whole number"},
        {"1,0\n2,0.5\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "whole number"},
        {"1,2147483648\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 1, column 2", "whole number"},
        {"1,0\n2,cat\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "'cat' is a class name"},
        {"1,cat\n2,dog\n\n3,1\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 4, column 2", "'1' is a class index"},
        {"1,cat\n2,\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "empty"},
        {"1,cat\n2,\"\"\n", INFL_TARGET_CLASS, INFL_E_FORMAT, "line 2, column 2", "empty"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        infl_dataset *out = untouched;
        infl_csv_options options = INFL_CSV_OPTIONS_INIT;
        options.target = cases[k].target;
        infl_status status = read_text(&out, cases[k].text, &options);
        ck_assert_msg(status == cases[k].status, "case %zu '%s': %s, %s", k, cases[k].text, infl_status_name(status),
                      infl_last_error());
        ck_assert_ptr_eq(out, untouched);
        const char *message = infl_last_error();
        ck_assert_msg(strncmp(message, "infl_dataset_from_csv: ", 23) == 0 && strstr(message, cases[k].place) != NULL &&
                          strstr(message, cases[k].part) != NULL && strstr(message, path) != NULL,
                      "case %zu '%s': %s", k, cases[k].text, message);
    }
}
END_TEST

START_TEST(malformed_by_option) {
    infl_dataset *out = untouched;
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    options.header = 0;
    ck_assert_int_eq(read_text(&out, "a,b\n1,0\n", &options), INFL_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "line 1, column 1"));
    options.header = -1;
    options.n_classes = 2;
    ck_assert_int_eq(read_text(&out, "1,0\n1,2\n", &options), INFL_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "line 2, column 2"));
    ck_assert_int_eq(read_text(&out, "1,a\n1,b\n1,a\n1,c\n", &options), INFL_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "line 4, column 2"));
    options.n_classes = 0;
    options.precision = INFL_F32;
    ck_assert_int_eq(read_text(&out, "1e38,0\n1e39,0\n", &options), INFL_E_NONFINITE);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "line 2, column 1"));
    options.target_column = 2;
    ck_assert_int_eq(read_text(&out, "1,0\n", &options), INFL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "target_column is 2"));
    ck_assert_ptr_eq(out, untouched);
}
END_TEST

START_TEST(nul_bytes) {
    static const struct {
        const char bytes[16];
        size_t n;
    } cases[] = {{"1,0\n2\0,1\n", 9}, {"1,0\n\"2\0\",1\n", 11}, {"1,0\n\0", 5}, {"1,0\n2\0", 6}};
    for (size_t k = 0; k < 4; k++) {
        infl_dataset *out = untouched;
        ck_assert_int_eq(read_bytes(&out, cases[k].bytes, cases[k].n, NULL), INFL_E_FORMAT);
        ck_assert_ptr_nonnull(strstr(infl_last_error(), "line 2, column 1"));
        ck_assert_ptr_nonnull(strstr(infl_last_error(), "NUL"));
        ck_assert_ptr_eq(out, untouched);
    }
}
END_TEST

START_TEST(not_a_file) {
    infl_dataset *out = untouched;
    make_path();
    ck_assert_int_eq(infl_dataset_from_csv(&out, path, NULL), INFL_E_IO); /* no such file */
    ck_assert_ptr_nonnull(strstr(infl_last_error(), path));
    ck_assert_ptr_nonnull(mkdtemp(path));
    ck_assert_int_eq(infl_dataset_from_csv(&out, path, NULL), INFL_E_IO); /* a folder */
    rmdir(path);
    make_path();
    int descriptor = mkstemp(path);
    ck_assert_int_eq((int)write(descriptor, "1,0\n", 4), 4);
    close(descriptor);
    chmod(path, 0);
    if (access(path, R_OK) != 0) /* root may read it all the same */
        ck_assert_int_eq(infl_dataset_from_csv(&out, path, NULL), INFL_E_IO);
    unlink(path);
    ck_assert_int_eq(infl_dataset_from_csv(&out, "", NULL), INFL_E_IO);
    ck_assert_ptr_eq(out, untouched);
}
END_TEST

static void check_argument(const infl_csv_options *options, const char *part) {
    infl_dataset *out = untouched;
    ck_assert_int_eq(read_text(&out, "1,0\n", options), INFL_E_ARGUMENT);
    ck_assert_msg(strncmp(infl_last_error(), "infl_dataset_from_csv: ", 23) == 0, "%s", infl_last_error());
    ck_assert_msg(strstr(infl_last_error(), part) != NULL, "no '%s' in: %s", part, infl_last_error());
    ck_assert_ptr_eq(out, untouched);
}

START_TEST(arguments) {
    infl_dataset *out = untouched;
    ck_assert_int_eq(infl_dataset_from_csv(NULL, "x", NULL), INFL_E_ARGUMENT);
    ck_assert_int_eq(infl_dataset_from_csv(&out, NULL, NULL), INFL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "path"));
    ck_assert_ptr_eq(out, untouched);
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    options.size = 3;
    check_argument(&options, "size");
    for (const char *c = "\"\r\n+-.e7";; c++) { /* and NUL, at its end */
        options = (infl_csv_options)INFL_CSV_OPTIONS_INIT;
        options.delimiter = *c;
        check_argument(&options, "delimiter");
        if (*c == '\0')
            break;
    }
    options = (infl_csv_options)INFL_CSV_OPTIONS_INIT;
    options.header = 2;
    check_argument(&options, "header");
    options.header = -2;
    check_argument(&options, "header");
    options = (infl_csv_options)INFL_CSV_OPTIONS_INIT;
    options.target_column = -2;
    check_argument(&options, "target_column");
    options = (infl_csv_options)INFL_CSV_OPTIONS_INIT;
    options.target = (infl_target_kind)2;
    check_argument(&options, "target");
    options = (infl_csv_options)INFL_CSV_OPTIONS_INIT;
    options.precision = (infl_precision)2;
    check_argument(&options, "precision");
}
END_TEST

/* Random edits of a good file: each is read or refused, with a sentence; a sanitiser sees to the rest. */
START_TEST(random_edits) {
    static const char good[] = "\"a\",b,c\r\n1.5,-2e3,cat\n\n3,4,\"d\"\"og\"\n5,6,cat\n";
    static const char bytes[] = "\",\n\r1.e-x \0\xEF";
    for (uint64_t seed = 0; seed < 1000; seed++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        for (uint64_t edit = 0; edit < 1 + seed % 4; edit++)
            text[infl_random_below(seed, 50, edit, sizeof good - 1)] =
                bytes[infl_random_below(seed, 51, edit, sizeof bytes - 1)];
        infl_dataset *out = untouched;
        size_t length = sizeof good - 1 - (size_t)infl_random_below(seed, 52, 0, 10);
        infl_status status = read_bytes(&out, text, length, NULL);
        if (status == INFL_OK) {
            infl_dataset_destroy(out);
        } else {
            ck_assert(status == INFL_E_FORMAT || status == INFL_E_NONFINITE);
            ck_assert_ptr_nonnull(strstr(infl_last_error(), "line "));
            ck_assert_ptr_eq(out, untouched);
        }
    }
}
END_TEST

Suite *csv_suite(void) {
    Suite *suite = suite_create("csv");
    add_case(suite, "csv/same-table", shapes_of_the_same_table, 1);
    add_case(suite, "csv/options", every_option, 1);
    add_case(suite, "csv/class-names", class_names, 1);
    add_case(suite, "csv/class-names/many", many_class_names, 1);
    add_case(suite, "csv/classes", classes_of_another_dataset, 1);
    add_case(suite, "csv/empty-classes", empty_classes, 1);
    add_case(suite, "csv/skipped-columns", skipped_columns, 1);
    add_case(suite, "csv/sentences", sentences_say_what_was_assumed, 1);
    add_case(suite, "csv/across-buffers", across_buffers, 1);
    add_case(suite, "csv/long-lines", long_lines, 1);
    add_case(suite, "csv/numbers", numbers_are_exact, 1);
    add_case(suite, "csv/locale", any_locale, 1);
    add_case(suite, "csv/locale/restored", locale_is_restored, 1);
    add_case(suite, "csv/malformed", malformed, 1);
    add_case(suite, "csv/malformed/by-option", malformed_by_option, 1);
    add_case(suite, "csv/malformed/nul", nul_bytes, 1);
    add_case(suite, "csv/malformed/random-edits", random_edits, 1);
    add_case(suite, "csv/not-a-file", not_a_file, 1);
    add_case(suite, "csv/arguments", arguments, 1);
    return suite;
}

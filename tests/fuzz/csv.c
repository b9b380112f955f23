/*
 * infl_dataset_from_csv. The first 7 bytes are options, the rest is the file: the delimiter; what classes is (0 none,
 * 1 with names, 2 without, 3 real targets, 4 with long names); bits: header + 1, 4 for a real target, 8 for f32, 16 for
 * no skip_columns and 32 for one, 64 for NULL, 128 for a precision that there is not; then target_column, n_classes and
 * two skip_columns, where '0' stands for 0 and '/' for −1.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { KINDS = 5 };

static const char function[] = "infl_dataset_from_csv";

static infl_dataset *make_classes(int kind) {
    static const char names[] = "1,the first of two classes of which one has a name that is long enough to be cut off\n"
                                "2,the second of them which has a long name as well but one that is never shown\n";
    static const double zero[2];
    static const int32_t labels[2] = {0, 2};
    infl_dataset *dataset = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = 2;
    spec.n_features = spec.n_targets = 1;
    spec.features = zero;
    spec.n_classes = 3;
    if (kind == 2)
        spec.labels = labels;
    else
        spec.targets = zero;
    if (kind == 1)
        FUZZ_OK(infl_dataset_iris(&dataset));
    else if (kind == 4)
        FUZZ_OK(infl_dataset_from_csv(&dataset, fuzz_write(0, names, sizeof names - 1), NULL));
    else if (kind != 0)
        FUZZ_OK(infl_dataset_create(&dataset, &spec));
    return dataset;
}

static const infl_dataset *classes_of(int kind) {
    static infl_dataset *datasets[KINDS]; /* to the end */
    if (datasets[kind] == NULL)
        datasets[kind] = make_classes(kind);
    return datasets[kind];
}

typedef struct answer {
    infl_status status;
    infl_dataset *dataset;
    char sentence[512];
} answer;

static answer read_csv(const void *bytes, size_t n, const infl_csv_options *options) {
    answer a = {.dataset = fuzz_untouched};
    unsigned may = FUZZ_MAY(INFL_E_ARGUMENT) | FUZZ_MAY(INFL_E_FORMAT) | FUZZ_MAY(INFL_E_NONFINITE);
    locale_t before = uselocale((locale_t)0);
    const char *path = fuzz_write(0, bytes, n);
    fuzz_limit_memory(256 * n + (1 << 18));
    a.status = infl_dataset_from_csv(&a.dataset, path, options);
    fuzz_check_memory();
    FUZZ_CHECK(uselocale((locale_t)0) == before);
    if (!fuzz_succeeded(a.status, may, function, a.dataset)) {
        a.dataset = NULL;
        snprintf(a.sentence, sizeof a.sentence, "%s", infl_last_error());
    }
    return a;
}

/* A byte order mark, and other line ends, change nothing. */
static void check_line_ends(const fuzz_input *file, const infl_csv_options *options, const answer *expected) {
    char *text = malloc(2 * file->n + 3);
    size_t n = 0;
    FUZZ_CHECK(text != NULL);
    if (file->n < 3 || memcmp(file->bytes, "\xEF\xBB\xBF", 3) != 0) {
        memcpy(text, "\xEF\xBB\xBF", 3);
        n = 3;
    }
    for (size_t i = 0; i < file->n; i++) {
        char byte = (char)file->bytes[i];
        int end = byte == '\r' || byte == '\n';
        if (byte == '\n' && i > 0 && file->bytes[i - 1] == '\r')
            continue;
        if (end)
            text[n++] = '\r';
        text[n++] = end ? '\n' : byte;
    }
    answer found = read_csv(text, n, options);
    FUZZ_CHECK(found.status == expected->status);
    FUZZ_CHECK(strcmp(found.sentence, expected->sentence) == 0);
    if (found.status == INFL_OK)
        fuzz_check_same(found.dataset, expected->dataset);
    infl_dataset_destroy(found.dataset);
    free(text);
}

static void put_quoted(FILE *to, const char *text) {
    fputc('"', to);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', to);
        fputc(*text, to);
    }
    fputs("\"\n", to);
}

/* Written and read again it is the same. */
static void check_written(const infl_dataset *dataset, const infl_csv_options *given) {
    size_t n = infl_dataset_rows(dataset), d = infl_dataset_features(dataset), length;
    char *text;
    double *x = malloc(d * sizeof *x), y;
    FILE *to = open_memstream(&text, &length);
    FUZZ_CHECK(x != NULL && to != NULL);
    for (size_t i = 0; i < n; i++) {
        FUZZ_OK(infl_dataset_get(dataset, i, x, &y));
        for (size_t j = 0; j < d; j++)
            fprintf(to, "%.17g,", x[j]);
        const char *name = given->target == INFL_TARGET_CLASS ? infl_dataset_class_name(dataset, (size_t)y) : NULL;
        if (name != NULL)
            put_quoted(to, name);
        else
            fprintf(to, "%.17g\n", y);
    }
    FUZZ_CHECK(fclose(to) == 0);
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    options.header = 0;
    options.target = given->target;
    options.precision = given->precision;
    options.classes = given->target == INFL_TARGET_CLASS ? dataset : NULL;
    answer again = read_csv(text, length, &options);
    FUZZ_CHECK(again.status == INFL_OK);
    fuzz_check_same(again.dataset, dataset);
    infl_dataset_destroy(again.dataset);
    free(text);
    free(x);
}

FUZZ_TARGET(csv) {
    fuzz_input file = {bytes, n};
    infl_csv_options options = INFL_CSV_OPTIONS_INIT;
    options.delimiter = (char)fuzz_byte(&file);
    options.classes = classes_of(fuzz_byte(&file) % KINDS);
    int bits = fuzz_byte(&file);
    options.header = (bits & 3) - 1;
    options.target = (bits & 4) != 0 ? INFL_TARGET_REAL : INFL_TARGET_CLASS;
    options.precision = (bits & 128) != 0 ? (infl_precision)2 : (bits & 8) != 0 ? INFL_F32 : INFL_F64;
    /* NOLINTNEXTLINE(bugprone-signed-char-misuse,cert-str34-c): negative ones as well */
    options.target_column = (signed char)(fuzz_byte(&file) - '0');
    options.n_classes = (unsigned char)(fuzz_byte(&file) - '0');
    int skip[] = {(signed char)(fuzz_byte(&file) - '0'), (signed char)(fuzz_byte(&file) - '0')};
    options.skip_columns = (bits & 64) != 0 ? NULL : skip;
    options.n_skip_columns = (bits & 16) != 0 ? 0 : (bits & 32) != 0 ? 1 : 2;
    answer found = read_csv(file.bytes, file.n, &options);
    if (found.status == INFL_OK) {
        fuzz_check_dataset(found.dataset);
        FUZZ_CHECK(infl_dataset_target_kind(found.dataset) == options.target);
        FUZZ_CHECK(options.target == INFL_TARGET_REAL || options.n_classes == 0 ||
                   infl_dataset_targets(found.dataset) == options.n_classes);
        FUZZ_CHECK(options.classes == NULL ||
                   infl_dataset_targets(found.dataset) == infl_dataset_targets(options.classes));
        check_written(found.dataset, &options);
    }
    check_line_ends(&file, &options, &found);
    infl_dataset_destroy(found.dataset);
}

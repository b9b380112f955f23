/* Datasets from arrays in NumPy's .npy format. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "dataset.h"
#include "memory.h"
#include "npy.h"

enum { BLOCK = 4096 }; /* numbers read at once */

/* One of the two files, read into arrays of its own: rows×columns numbers. */
typedef struct npy_table {
    const char *path;
    infl_npy *file;
    const infl_npy_array *array; /* the file's */
    size_t rows, columns;
    /* the one that is asked for; owned */
    float *f32;
    double *f64;
    int32_t *labels;
} npy_table;

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4), cold))
#endif
static infl_status
fail_in(const npy_table *table, infl_status status, const char *format, ...) {
    char what[INFL_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return infl_fail(status, "%s (%s)", what, table->path);
}

static infl_status read_options(infl_npy_options *options, const infl_npy_options *given, const char *function) {
    *options = (infl_npy_options)INFL_NPY_OPTIONS_INIT;
    INFL_TRY(infl_read_options(options, sizeof *options, given, function, "options"));
    if (options->precision != INFL_F32 && options->precision != INFL_F64 && options->precision != -1)
        return infl_fail(INFL_E_ARGUMENT, "%s: precision is %d; expected INFL_F32, INFL_F64 or -1", function,
                         options->precision);
    if (!isfinite(options->scale) || !isfinite(options->offset))
        return infl_fail(INFL_E_ARGUMENT, "%s: scale is %g and offset %g; expected finite numbers", function,
                         options->scale, options->offset);
    if (options->target != INFL_TARGET_CLASS && options->target != INFL_TARGET_REAL)
        return infl_fail(INFL_E_ARGUMENT, "%s: target is %d; expected INFL_TARGET_CLASS or INFL_TARGET_REAL", function,
                         (int)options->target);
    if (options->n_classes > (size_t)INT32_MAX)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_classes is %zu; expected at most %ld", function, options->n_classes,
                         (long)INT32_MAX);
    return INFL_OK;
}

static infl_status open_table(npy_table *table, const char *path, size_t least_dims, size_t most_dims,
                              const char *expected) {
    char shape[INFL_NPY_SHAPE_TEXT];
    table->path = path;
    INFL_TRY(infl_npy_open(&table->file, path, NULL));
    const infl_npy_array *array = table->array = infl_npy_describe(table->file);
    if (array->n_dims < least_dims || array->n_dims > most_dims || array->length == 0)
        return fail_in(table, INFL_E_FORMAT, "the array has shape %s; expected %s", infl_npy_shape_text(array, shape),
                       expected);
    table->rows = array->dims[0];
    table->columns = array->length / table->rows;
    return INFL_OK;
}

/* Number k of the file as a label, at its place in the array. */
static infl_status take_label(npy_table *table, size_t row, double value, const infl_npy_options *options) {
    double limit = options->n_classes != 0 ? (double)options->n_classes : (double)INT32_MAX;
    if (value < 0 || value >= limit)
        return fail_in(table, INFL_E_FORMAT, "row %zu: the class index is %.0f; expected 0 or more, and less than %.0f",
                       row, value, limit);
    table->labels[row] = (int32_t)value;
    return INFL_OK;
}

static infl_status take_number(npy_table *table, const char *what, size_t place, double value) {
    double stored = table->f32 != NULL ? (float)value : value;
    if (!isfinite(stored))
        return fail_in(table, INFL_E_NONFINITE, "row %zu, column %zu: the %s is %g; expected a finite number%s",
                       place / table->columns, place % table->columns, what, value,
                       isfinite(value) ? " of single precision" : "");
    if (table->f32 != NULL)
        table->f32[place] = (float)value;
    else
        table->f64[place] = value;
    return INFL_OK;
}

/* All numbers into the array that is there. */
static infl_status read_table(npy_table *table, const char *what, double scale, double offset,
                              const infl_npy_options *options) {
    size_t n = table->array->length;
    double *block;
    INFL_ALLOCATE(block, BLOCK);
    infl_status status = INFL_OK;
    for (size_t first = 0; first < n && status == INFL_OK; first += BLOCK) {
        size_t now = n - first < BLOCK ? n - first : BLOCK;
        status = infl_npy_read(table->file, now, block);
        for (size_t i = 0; i < now && status == INFL_OK; i++) {
            size_t place = infl_npy_place(table->array, first + i);
            status = table->labels != NULL ? take_label(table, place, block[i], options)
                                           : take_number(table, what, place, scale * block[i] + offset);
        }
    }
    infl_release(block);
    return status;
}

static infl_status read_features(npy_table *table, const char *path, const infl_npy_options *options) {
    INFL_TRY(open_table(table, path, 2, SIZE_MAX, "(n, d) or (n, ...), with at least one row and one feature"));
    const infl_npy_array *array = table->array;
    size_t exact = array->kind == INFL_NPY_FLOAT ? 4 : 2;
    if (options->precision == INFL_F32 || (options->precision == -1 && array->size <= exact))
        INFL_ALLOCATE_MATRIX(table->f32, table->rows, table->columns);
    else
        INFL_ALLOCATE_MATRIX(table->f64, table->rows, table->columns);
    return read_table(table, "feature", options->scale, options->offset, options);
}

static infl_status check_classes(const npy_table *table, size_t *n_classes) {
    size_t largest = 0, empty;
    for (size_t i = 0; i < table->rows; i++)
        if ((size_t)table->labels[i] > largest)
            largest = (size_t)table->labels[i];
    if (*n_classes != 0)
        return INFL_OK;
    INFL_TRY(infl_dataset_empty_class(&empty, table->labels, table->rows, largest + 1));
    if (empty <= largest)
        return fail_in(table, INFL_E_FORMAT,
                       "the largest class is %zu, but no row has class %zu; set n_classes if that is meant, or "
                       "INFL_TARGET_REAL",
                       largest, empty);
    *n_classes = largest + 1;
    return INFL_OK;
}

static infl_status read_targets(npy_table *table, const char *path, const npy_table *features,
                                infl_npy_options *options) {
    int classes = options->target == INFL_TARGET_CLASS;
    char shape[INFL_NPY_SHAPE_TEXT];
    INFL_TRY(open_table(table, path, 1, classes ? 1 : 2, classes ? "(n,), of class indices" : "(n,) or (n, t)"));
    if (table->rows != features->rows)
        return fail_in(table, INFL_E_FORMAT, "the array has shape %s; expected as many rows as the features, %zu (%s)",
                       infl_npy_shape_text(table->array, shape), features->rows, features->path);
    if (classes && table->array->kind == INFL_NPY_FLOAT)
        return fail_in(table, INFL_E_FORMAT,
                       "its numbers are of type %s; expected integers, as class indices, or INFL_TARGET_REAL",
                       table->array->descr);
    if (classes)
        INFL_ALLOCATE(table->labels, table->rows);
    else
        INFL_ALLOCATE_MATRIX(table->f64, table->rows, table->columns);
    INFL_TRY(read_table(table, "target", 1, 0, options));
    return classes ? check_classes(table, &options->n_classes) : INFL_OK;
}

static infl_status create(infl_dataset **out, npy_table *features, npy_table *targets,
                          const infl_npy_options *options) {
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_dataset *dataset;
    spec.n_rows = features->rows;
    spec.n_features = features->columns;
    spec.features = features->f64;
    spec.features_f32 = features->f32;
    spec.labels = targets->labels;
    spec.n_classes = options->n_classes;
    spec.targets = targets->f64;
    spec.n_targets = targets->columns;
    spec.borrow = 1;
    INFL_TRY(infl_dataset_create(&dataset, &spec));
    dataset->storage->owned = 1; /* handed over rather than copied: a large set is in memory once */
    features->f32 = NULL;
    features->f64 = targets->f64 = NULL;
    targets->labels = NULL;
    *out = dataset;
    return INFL_OK;
}

static void close_table(npy_table *table) {
    infl_npy_close(table->file);
    infl_release(table->f32);
    infl_release(table->f64);
    infl_release(table->labels);
}

infl_status infl_dataset_from_npy(infl_dataset **out, const char *features_path, const char *targets_path,
                                  const infl_npy_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(features_path);
    INFL_REQUIRE(targets_path);
    infl_npy_options own;
    INFL_TRY(read_options(&own, options, __func__));
    npy_table features = {.path = features_path}, targets = {.path = targets_path};
    infl_status status = read_features(&features, features_path, &own);
    if (status == INFL_OK)
        status = read_targets(&targets, targets_path, &features, &own);
    if (status == INFL_OK)
        status = create(out, &features, &targets, &own);
    close_table(&features);
    close_table(&targets);
    return infl_in_name_of(__func__, status);
}

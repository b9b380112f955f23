#include "dataset.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "random.h"

static size_t precision_size(infl_precision precision) {
    return precision == INFL_F32 ? sizeof(float) : sizeof(double);
}

static double number_at(const void *numbers, infl_precision precision, size_t index) {
    return precision == INFL_F32 ? (double)((const float *)numbers)[index] : ((const double *)numbers)[index];
}

static double feature(const infl_dataset *dataset, size_t row, size_t column) {
    const infl_storage *storage = dataset->storage;
    return number_at(storage->features, storage->precision,
                     infl_dataset_storage_row(dataset, row) * storage->n_features + column);
}

static void release_storage(infl_storage *storage) {
    /* a loop, as labels may have been changed any number of times */
    while (storage != NULL && atomic_fetch_sub_explicit(&storage->references, 1, memory_order_acq_rel) == 1) {
        infl_storage *lender = storage->lender;
        if (storage->owned) {
            if (lender == NULL)
                infl_release((void *)storage->features);
            infl_release((void *)storage->labels);
            infl_release((void *)storage->targets);
        }
        for (size_t c = 0; storage->class_names != NULL && c < storage->n_targets; c++)
            infl_release(storage->class_names[c]);
        infl_release(storage->class_names);
        infl_release(storage);
        storage = lender;
    }
}

void infl_dataset_destroy(infl_dataset *dataset) {
    if (dataset == NULL)
        return;
    release_storage(dataset->storage);
    infl_release((void *)dataset->rows);
    infl_release(dataset);
}

/* What the spec's features are, of either type. */
static const void *spec_features(const infl_dataset_spec *spec) {
    return spec->features_f32 != NULL ? (const void *)spec->features_f32 : spec->features;
}

static infl_precision spec_precision(const infl_dataset_spec *spec) {
    return spec->features_f32 != NULL ? INFL_F32 : INFL_F64;
}

/* A dataset over a new storage of the spec's shape: over the spec's arrays if it borrows, else over zeroed ones. */
static infl_status create_storage(infl_dataset **out, const infl_dataset_spec *spec, infl_precision precision) {
    infl_status status = INFL_OK;
    infl_dataset *dataset;
    INFL_ALLOCATE(dataset, 1);
    infl_storage *storage;
    INFL_ALLOCATE_OR_OUT(storage, 1);
    dataset->storage = storage;
    dataset->n_rows = spec->n_rows;
    atomic_init(&storage->references, 1);
    storage->n_rows = spec->n_rows;
    storage->n_features = spec->n_features;
    storage->n_targets = spec->labels != NULL ? spec->n_classes : spec->n_targets;
    storage->precision = precision;
    storage->owned = !spec->borrow;
    if (spec->borrow) {
        storage->features = spec_features(spec);
        storage->labels = spec->labels;
        storage->targets = spec->targets;
    } else {
        storage->features = infl_allocate(spec->n_rows * spec->n_features, precision_size(precision));
        if (storage->features == NULL) {
            status = INFL_E_MEMORY;
            goto out;
        }
        if (spec->labels != NULL)
            INFL_ALLOCATE_OR_OUT(storage->labels, spec->n_rows);
        else
            INFL_ALLOCATE_OR_OUT(storage->targets, spec->n_rows * spec->n_targets);
    }
    *out = dataset;
out:
    if (status != INFL_OK)
        infl_dataset_destroy(dataset);
    return status;
}

static infl_status check_size(size_t rows, size_t columns, const char *name) {
    if (rows > SIZE_MAX / sizeof(double) / columns)
        return infl_fail(INFL_E_ARGUMENT, "infl_dataset_create: %zu rows of %zu %s are more than can be addressed",
                         rows, columns, name);
    return INFL_OK;
}

infl_status infl_dataset_empty_class(size_t *empty, const int32_t *labels, size_t n, size_t n_classes) {
    /* n labels have at most n classes, so that one of the first n + 1 is empty where there are more */
    size_t candidates = n_classes <= n ? n_classes : n + 1, first = 0;
    unsigned char *found;
    INFL_ALLOCATE(found, candidates);
    for (size_t i = 0; i < n; i++)
        if ((size_t)labels[i] < candidates)
            found[labels[i]] = 1;
    while (first < candidates && found[first])
        first++;
    infl_release(found);
    *empty = first < candidates ? first : n_classes;
    return INFL_OK;
}

/* Checks the arrays, and sets spec->n_classes where it is to be found out. */
static infl_status check_contents(infl_dataset_spec *spec) {
    for (size_t i = 0; i < spec->n_rows * spec->n_features; i++) {
        double value = number_at(spec_features(spec), spec_precision(spec), i);
        if (!isfinite(value))
            return infl_fail(INFL_E_NONFINITE,
                             "infl_dataset_create: the feature in row %zu, column %zu is %f; "
                             "expected a finite number",
                             i / spec->n_features, i % spec->n_features, value);
    }
    if (spec->targets != NULL) {
        for (size_t i = 0; i < spec->n_rows * spec->n_targets; i++)
            if (!isfinite(spec->targets[i]))
                return infl_fail(INFL_E_NONFINITE,
                                 "infl_dataset_create: the target in row %zu, column %zu is %f; "
                                 "expected a finite number",
                                 i / spec->n_targets, i % spec->n_targets, spec->targets[i]);
        return INFL_OK;
    }
    size_t largest = 0;
    for (size_t i = 0; i < spec->n_rows; i++) {
        int32_t label = spec->labels[i];
        if (label < 0)
            return infl_fail(INFL_E_ARGUMENT, "infl_dataset_create: labels[%zu] is %ld; expected a class index from 0",
                             i, (long)label);
        if (spec->n_classes != 0 && (size_t)label >= spec->n_classes)
            return infl_fail(INFL_E_ARGUMENT,
                             "infl_dataset_create: labels[%zu] is %ld; expected less than the %zu "
                             "classes of n_classes",
                             i, (long)label, spec->n_classes);
        if ((size_t)label > largest)
            largest = (size_t)label;
    }
    if (spec->n_classes == 0) {
        size_t empty;
        INFL_TRY(infl_dataset_empty_class(&empty, spec->labels, spec->n_rows, largest + 1));
        if (empty <= largest)
            return infl_fail(INFL_E_ARGUMENT,
                             "infl_dataset_create: no row has class %zu of %zu, the largest label + "
                             "1; set n_classes if that is meant, or give targets",
                             empty, largest + 1);
        spec->n_classes = largest + 1;
    }
    return INFL_OK;
}

infl_status infl_dataset_create(infl_dataset **out, const infl_dataset_spec *spec) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(spec);
    infl_dataset_spec own = INFL_DATASET_SPEC_INIT;
    INFL_TRY(infl_read_options(&own, sizeof own, spec, __func__, "spec"));
    if (own.n_rows == 0 || own.n_features == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: %zu rows of %zu features; expected at least one of each", __func__,
                         own.n_rows, own.n_features);
    if ((own.features == NULL) == (own.features_f32 == NULL))
        return infl_fail(INFL_E_ARGUMENT, "%s: %s given; expected exactly one of them", __func__,
                         own.features == NULL ? "neither features nor features_f32 is"
                                              : "both features and features_f32 are");
    if ((own.labels == NULL) == (own.targets == NULL))
        return infl_fail(INFL_E_ARGUMENT, "%s: %s given; expected exactly one of them", __func__,
                         own.labels == NULL ? "neither labels nor targets are" : "both labels and targets are");
    if (own.targets != NULL && own.n_targets == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_targets is 0; expected the number of targets a row", __func__);
    INFL_TRY(check_size(own.n_rows, own.n_features, "features"));
    if (own.targets != NULL)
        INFL_TRY(check_size(own.n_rows, own.n_targets, "targets"));
    INFL_TRY(infl_in_name_of(__func__, check_contents(&own)));
    infl_dataset *dataset;
    INFL_TRY(infl_in_name_of(__func__, create_storage(&dataset, &own, spec_precision(&own))));
    if (!own.borrow) {
        infl_storage *storage = dataset->storage;
        memcpy((void *)storage->features, spec_features(&own),
               own.n_rows * own.n_features * precision_size(storage->precision));
        if (own.labels != NULL)
            memcpy((void *)storage->labels, own.labels, own.n_rows * sizeof *own.labels);
        else
            memcpy((void *)storage->targets, own.targets, own.n_rows * own.n_targets * sizeof *own.targets);
    }
    *out = dataset;
    return INFL_OK;
}

infl_status infl_dataset_name_classes(infl_dataset *dataset, const char *const *names, size_t n) {
    infl_storage *storage = dataset->storage;
    INFL_ALLOCATE(storage->class_names, storage->n_targets);
    for (size_t c = 0; c < n; c++)
        if (names[c] != NULL) {
            INFL_ALLOCATE(storage->class_names[c], strlen(names[c]) + 1);
            strcpy(storage->class_names[c], names[c]);
        }
    return INFL_OK;
}

/* A view of n_rows rows of the parent's storage; *rows, where asked for, is the storage's rows, to be filled. */
static infl_status create_view(infl_dataset **out, const infl_dataset *parent, size_t n_rows, size_t **rows) {
    infl_dataset *view;
    INFL_ALLOCATE(view, 1);
    if (rows != NULL) {
        *rows = infl_allocate(n_rows, sizeof **rows);
        if (*rows == NULL) {
            infl_release(view);
            return INFL_E_MEMORY;
        }
        view->rows = *rows;
    }
    view->n_rows = n_rows;
    view->storage = parent->storage;
    atomic_fetch_add_explicit(&view->storage->references, 1, memory_order_relaxed);
    *out = view;
    return INFL_OK;
}

infl_status infl_dataset_reference(infl_dataset **out, const infl_dataset *dataset) {
    if (dataset->rows == NULL)
        return create_view(out, dataset, dataset->n_rows, NULL);
    size_t *rows;
    INFL_TRY(create_view(out, dataset, dataset->n_rows, &rows));
    memcpy(rows, dataset->rows, dataset->n_rows * sizeof *rows);
    return INFL_OK;
}

static infl_status check_rows(const infl_dataset *dataset, const size_t *rows, size_t n_rows, const char *function) {
    for (size_t i = 0; i < n_rows; i++)
        if (rows[i] >= dataset->n_rows)
            return infl_fail(INFL_E_ARGUMENT, "%s: rows[%zu] is %zu; expected less than the %zu rows of the dataset",
                             function, i, rows[i], dataset->n_rows);
    return INFL_OK;
}

infl_status infl_dataset_subset(infl_dataset **out, const infl_dataset *dataset, const size_t *rows, size_t n_rows) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(dataset);
    if (rows == NULL)
        return infl_in_name_of(__func__, infl_dataset_reference(out, dataset));
    if (n_rows == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_rows is 0; expected at least one row", __func__);
    INFL_TRY(check_rows(dataset, rows, n_rows, __func__));
    size_t *own;
    infl_dataset *view;
    INFL_TRY(infl_in_name_of(__func__, create_view(&view, dataset, n_rows, &own)));
    for (size_t i = 0; i < n_rows; i++)
        own[i] = infl_dataset_storage_row(dataset, rows[i]);
    *out = view;
    return INFL_OK;
}

/* The n_marked rows of the dataset whose mark is the given one, in order. */
static infl_status create_marked(infl_dataset **out, const infl_dataset *dataset, const unsigned char *marks,
                                 unsigned char mark, size_t n_marked) {
    size_t *rows, n = 0;
    INFL_TRY(create_view(out, dataset, n_marked, &rows));
    for (size_t row = 0; row < dataset->n_rows; row++)
        if (marks[row] == mark)
            rows[n++] = infl_dataset_storage_row(dataset, row);
    return INFL_OK;
}

infl_status infl_dataset_without(infl_dataset **out, const infl_dataset *dataset, const size_t *rows, size_t n_rows) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(dataset);
    if (rows == NULL)
        return infl_fail(INFL_E_ARGUMENT, "%s: rows is NULL, which names all rows; at least one must remain", __func__);
    INFL_TRY(check_rows(dataset, rows, n_rows, __func__));
    unsigned char *removed;
    INFL_ALLOCATE_NAMED(removed, dataset->n_rows);
    size_t n_left = dataset->n_rows;
    for (size_t i = 0; i < n_rows; i++) {
        n_left -= !removed[rows[i]]; /* a row named twice is removed once */
        removed[rows[i]] = 1;
    }
    infl_status status;
    if (n_left == 0)
        status = infl_fail(INFL_E_ARGUMENT, "%s: all %zu rows are removed; at least one must remain", __func__,
                           dataset->n_rows);
    else
        status = create_marked(out, dataset, removed, 0, n_left);
    infl_release(removed);
    return infl_in_name_of(__func__, status);
}

/* A storage with the features of the dataset's, lent, and its labels copied; *out is a view of the dataset's rows. */
static infl_status create_relabelled(infl_dataset **out, const infl_dataset *dataset, int32_t **labels) {
    infl_status status = INFL_OK;
    infl_dataset *view;
    infl_storage *parent = dataset->storage, *storage;
    INFL_TRY(infl_dataset_reference(&view, dataset));
    INFL_ALLOCATE_OR_OUT(storage, 1);
    *storage = (infl_storage){.n_rows = parent->n_rows,
                              .n_features = parent->n_features,
                              .n_targets = parent->n_targets,
                              .precision = parent->precision,
                              .features = parent->features,
                              .owned = 1,
                              .lender = parent};
    atomic_init(&storage->references, 1);
    view->storage = storage; /* the view's reference to the parent is the storage's from here on */
    INFL_ALLOCATE_OR_OUT(*labels, parent->n_rows);
    storage->labels = *labels;
    memcpy(*labels, parent->labels, parent->n_rows * sizeof **labels);
    if (parent->class_names != NULL)
        status = infl_dataset_name_classes(view, (const char *const *)parent->class_names, parent->n_targets);
out:
    if (status == INFL_OK)
        *out = view;
    else
        infl_dataset_destroy(view);
    return status;
}

infl_status infl_dataset_relabel(infl_dataset **out, const infl_dataset *dataset, const size_t *rows, size_t n_rows,
                                 const int32_t *labels) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(dataset);
    INFL_REQUIRE(labels);
    if (dataset->storage->labels == NULL)
        return infl_fail(INFL_E_ARGUMENT, "%s: the dataset's targets are real numbers, not classes", __func__);
    if (rows == NULL)
        n_rows = dataset->n_rows;
    else
        INFL_TRY(check_rows(dataset, rows, n_rows, __func__));
    for (size_t i = 0; i < n_rows; i++)
        if (labels[i] < 0 || (size_t)labels[i] >= dataset->storage->n_targets)
            return infl_fail(INFL_E_ARGUMENT, "%s: labels[%zu] is %ld; the dataset has classes 0 to %zu", __func__, i,
                             (long)labels[i], dataset->storage->n_targets - 1);
    int32_t *own;
    infl_dataset *view;
    infl_status status = create_relabelled(&view, dataset, &own);
    if (status != INFL_OK)
        return infl_in_name_of(__func__, status);
    for (size_t i = 0; i < n_rows; i++)
        own[infl_dataset_storage_row(dataset, rows == NULL ? i : rows[i])] = labels[i];
    *out = view;
    return INFL_OK;
}

typedef struct split_key {
    int32_t group; /* the class where stratified */
    uint64_t bits;
    size_t row;
} split_key;

static int compare_keys(const void *left, const void *right) {
    const split_key *a = left, *b = right;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->bits != b->bits)
        return a->bits < b->bits ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

infl_status infl_dataset_split(infl_dataset **first, infl_dataset **second, const infl_dataset *dataset,
                               double fraction, int stratify, uint64_t seed) {
    INFL_REQUIRE(first);
    INFL_REQUIRE(second);
    INFL_REQUIRE(dataset);
    if (first == second)
        return infl_fail(INFL_E_ARGUMENT, "%s: first and second are the same pointer; expected two", __func__);
    if (!(fraction > 0.0 && fraction < 1.0))
        return infl_fail(INFL_E_ARGUMENT, "%s: fraction is %g; expected more than 0 and less than 1", __func__,
                         fraction);
    const int32_t *labels = dataset->storage->labels;
    if (stratify && labels == NULL)
        return infl_fail(INFL_E_ARGUMENT, "%s: stratify is set, but the targets are real numbers, not classes",
                         __func__);
    infl_status status = INFL_OK;
    size_t n = dataset->n_rows, n_first = 0;
    unsigned char *in_first = NULL;
    infl_dataset *parts[2] = {NULL, NULL};
    split_key *keys;
    INFL_ALLOCATE_NAMED(keys, n);
    INFL_ALLOCATE_OR_OUT(in_first, n);
    for (size_t row = 0; row < n; row++) {
        keys[row].group = stratify ? labels[infl_dataset_storage_row(dataset, row)] : 0;
        keys[row].bits = infl_random_bits(seed, INFL_STREAM_SPLIT, row);
        keys[row].row = row;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && keys[end].group == keys[begin].group; end++)
            continue;
        size_t taken = (size_t)round(fraction * (double)(end - begin));
        for (size_t i = begin; i < begin + taken; i++)
            in_first[keys[i].row] = 1;
        n_first += taken;
    }
    if (n_first == 0 || n_first == n) {
        status = infl_fail(INFL_E_ARGUMENT, "%s: fraction %g of %zu rows leaves the %s part empty", __func__, fraction,
                           n, n_first == 0 ? "first" : "second");
        goto out;
    }
    if ((status = create_marked(&parts[0], dataset, in_first, 1, n_first)) != INFL_OK)
        goto out;
    if ((status = create_marked(&parts[1], dataset, in_first, 0, n - n_first)) != INFL_OK)
        goto out;
    *first = parts[0];
    *second = parts[1];
out:
    if (status != INFL_OK)
        infl_dataset_destroy(parts[0]);
    infl_release(in_first);
    infl_release(keys);
    return infl_in_name_of(__func__, status);
}

/*
 * Mean and standard deviation (0 for a constant one) of each channel, a run of d/channels features. Sums are of
 * distances from the minimum, and of squares in units of the range, so that neither large offsets nor extreme units
 * lose digits; and row by row, so that many features do not lose them either.
 */
static infl_status measure(const infl_dataset *dataset, size_t channels, double *mean, double *deviation) {
    size_t n = dataset->n_rows, run = dataset->storage->n_features / channels;
    double *minimum, *range, count = (double)n * (double)run;
    INFL_ALLOCATE(minimum, 2 * channels);
    range = minimum + channels;
    for (size_t c = 0; c < channels; c++) {
        minimum[c] = range[c] = feature(dataset, 0, c * run);
        mean[c] = deviation[c] = 0.0;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < channels; c++)
            for (size_t j = c * run; j < (c + 1) * run; j++) {
                double value = feature(dataset, i, j);
                minimum[c] = value < minimum[c] ? value : minimum[c];
                range[c] = value > range[c] ? value : range[c];
            }
    for (size_t c = 0; c < channels; c++)
        range[c] -= minimum[c];
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < channels; c++) {
            double sum = 0.0;
            for (size_t j = c * run; j < (c + 1) * run; j++)
                sum += feature(dataset, i, j) - minimum[c];
            mean[c] += sum;
        }
    for (size_t c = 0; c < channels; c++)
        mean[c] = minimum[c] + mean[c] / count;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < channels; c++) {
            double sum = 0.0;
            for (size_t j = c * run; range[c] > 0.0 && j < (c + 1) * run; j++) {
                double difference = (feature(dataset, i, j) - mean[c]) / range[c];
                sum += difference * difference;
            }
            deviation[c] += sum;
        }
    for (size_t c = 0; c < channels; c++)
        deviation[c] = range[c] * sqrt(deviation[c] / count);
    infl_release(minimum);
    return INFL_OK;
}

/* A first dataset with (x − mean) / deviation for x, which is only centred where the deviation is 0. */
static infl_status normalise(infl_dataset **out, const infl_dataset *dataset, size_t channels, const double *mean,
                             const double *deviation, const char *function) {
    const infl_storage *source = dataset->storage;
    size_t n = dataset->n_rows, d = source->n_features, t = source->n_targets, run = d / channels;
    infl_dataset *result = NULL;
    infl_dataset_spec shape = INFL_DATASET_SPEC_INIT;
    shape.n_rows = n;
    shape.n_features = d;
    shape.labels = source->labels;
    shape.n_classes = shape.n_targets = t;
    INFL_TRY(create_storage(&result, &shape, source->precision));
    infl_status status = INFL_OK;
    if (source->class_names != NULL &&
        (status = infl_dataset_name_classes(result, (const char *const *)source->class_names, t)) != INFL_OK)
        goto out;
    void *features = (void *)result->storage->features;
    int32_t *labels = (int32_t *)result->storage->labels;
    double *targets = (double *)result->storage->targets;
    for (size_t i = 0; i < n; i++) {
        size_t source_row = infl_dataset_storage_row(dataset, i);
        for (size_t j = 0, c = 0; j < d; j++) {
            c += j == (c + 1) * run;
            double value = (feature(dataset, i, j) - mean[c]) / (deviation[c] > 0.0 ? deviation[c] : 1.0);
            if (source->precision == INFL_F32)
                ((float *)features)[i * d + j] = (float)value;
            else
                ((double *)features)[i * d + j] = value;
            if (!isfinite(feature(result, i, j))) {
                status = infl_fail(INFL_E_NONFINITE,
                                   "%s: the feature in row %zu, column %zu overflows: mean %g, "
                                   "standard deviation %g",
                                   function, i, j, mean[c], deviation[c]);
                goto out;
            }
        }
        if (labels != NULL)
            labels[i] = source->labels[source_row];
        else
            memcpy(targets + i * t, source->targets + source_row * t, t * sizeof *targets);
    }
    *out = result;
out:
    if (status != INFL_OK)
        infl_dataset_destroy(result);
    return status;
}

/* Datasets that both name their classes have to number them alike. */
static infl_status check_same_names(const infl_dataset *dataset, const infl_dataset *reference, const char *function) {
    size_t ours = dataset->storage->n_targets, theirs = reference->storage->n_targets;
    if (dataset->storage->class_names == NULL || reference->storage->class_names == NULL)
        return INFL_OK;
    for (size_t c = 0; c < ours || c < theirs; c++) {
        const char *name = infl_dataset_class_name(dataset, c), *expected = infl_dataset_class_name(reference, c);
        name = name == NULL ? "" : name; /* which is no name of a class */
        expected = expected == NULL ? "" : expected;
        if (strcmp(name, expected) != 0)
            return infl_fail(INFL_E_ARGUMENT,
                             "%s: class %zu is '%.40s' in dataset, but '%.40s' in reference; expected "
                             "the same classes (read one file with the other's dataset as classes)",
                             function, c, name, expected);
    }
    return INFL_OK;
}

infl_status infl_dataset_standardise(infl_dataset **out, const infl_dataset *dataset, const infl_dataset *reference) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(dataset);
    if (reference == NULL)
        reference = dataset;
    size_t d = dataset->storage->n_features;
    if (reference->storage->n_features != d)
        return infl_fail(INFL_E_ARGUMENT, "%s: reference has %zu features; expected the dataset's %zu", __func__,
                         reference->storage->n_features, d);
    INFL_TRY(check_same_names(dataset, reference, __func__));
    double *mean, *deviation;
    INFL_ALLOCATE_NAMED(mean, 2 * d);
    deviation = mean + d;
    infl_status status = measure(reference, d, mean, deviation);
    if (status == INFL_OK)
        status = normalise(out, dataset, d, mean, deviation, __func__);
    infl_release(mean);
    return infl_in_name_of(__func__, status);
}

static infl_status check_channels(const infl_dataset *dataset, size_t channels, const char *function) {
    if (channels == 0 || dataset->storage->n_features % channels != 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: channels is %zu; expected a divisor of the dataset's %zu features",
                         function, channels, dataset->storage->n_features);
    return INFL_OK;
}

infl_status infl_dataset_measure_channels(const infl_dataset *dataset, size_t channels, double *mean,
                                          double *deviation) {
    INFL_REQUIRE(dataset);
    INFL_REQUIRE(mean);
    INFL_REQUIRE(deviation);
    INFL_TRY(check_channels(dataset, channels, __func__));
    double *found;
    INFL_ALLOCATE_NAMED(found, 2 * channels);
    infl_status status = measure(dataset, channels, found, found + channels);
    for (size_t c = 0; status == INFL_OK && c < channels; c++)
        if (!isfinite(found[c]) || !isfinite(found[channels + c]))
            status = infl_fail(INFL_E_NONFINITE, "%s: the mean or deviation of channel %zu overflows", __func__, c);
    if (status == INFL_OK) {
        memcpy(mean, found, channels * sizeof *mean);
        memcpy(deviation, found + channels, channels * sizeof *deviation);
    }
    infl_release(found);
    return infl_in_name_of(__func__, status);
}

infl_status infl_dataset_normalise_channels(infl_dataset **out, const infl_dataset *dataset, size_t channels,
                                            const double *mean, const double *deviation) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(dataset);
    INFL_REQUIRE(mean);
    INFL_REQUIRE(deviation);
    INFL_TRY(check_channels(dataset, channels, __func__));
    for (size_t c = 0; c < channels; c++) {
        if (!isfinite(mean[c]) || !isfinite(deviation[c]))
            return infl_fail(INFL_E_NONFINITE, "%s: mean[%zu] is %g and deviation[%zu] %g; expected finite numbers",
                             __func__, c, mean[c], c, deviation[c]);
        if (deviation[c] < 0.0)
            return infl_fail(INFL_E_ARGUMENT, "%s: deviation[%zu] is %g; expected at least 0", __func__, c,
                             deviation[c]);
    }
    return infl_in_name_of(__func__, normalise(out, dataset, channels, mean, deviation, __func__));
}

size_t infl_dataset_rows(const infl_dataset *dataset) { return dataset == NULL ? 0 : dataset->n_rows; }

size_t infl_dataset_features(const infl_dataset *dataset) { return dataset == NULL ? 0 : dataset->storage->n_features; }

size_t infl_dataset_targets(const infl_dataset *dataset) { return dataset == NULL ? 0 : dataset->storage->n_targets; }

infl_target_kind infl_dataset_target_kind(const infl_dataset *dataset) {
    return dataset == NULL || dataset->storage->labels != NULL ? INFL_TARGET_CLASS : INFL_TARGET_REAL;
}

const char *infl_dataset_class_name(const infl_dataset *dataset, size_t class_index) {
    if (dataset == NULL || dataset->storage->class_names == NULL || class_index >= dataset->storage->n_targets)
        return NULL;
    return dataset->storage->class_names[class_index];
}

static infl_status check_row(const infl_dataset *dataset, size_t row, const char *function) {
    if (row >= dataset->n_rows)
        return infl_fail(INFL_E_ARGUMENT, "%s: row is %zu; expected less than the %zu rows of the dataset", function,
                         row, dataset->n_rows);
    return INFL_OK;
}

infl_status infl_dataset_get(const infl_dataset *dataset, size_t row, double *features, double *target) {
    INFL_REQUIRE(dataset);
    INFL_TRY(check_row(dataset, row, __func__));
    const infl_storage *storage = dataset->storage;
    size_t storage_row = infl_dataset_storage_row(dataset, row);
    for (size_t j = 0; features != NULL && j < storage->n_features; j++)
        features[j] = feature(dataset, row, j);
    if (target != NULL && storage->labels != NULL)
        *target = storage->labels[storage_row];
    else if (target != NULL)
        memcpy(target, storage->targets + storage_row * storage->n_targets, storage->n_targets * sizeof *target);
    return INFL_OK;
}

infl_status infl_dataset_source_row(const infl_dataset *dataset, size_t row, size_t *source_row) {
    INFL_REQUIRE(dataset);
    INFL_REQUIRE(source_row);
    INFL_TRY(check_row(dataset, row, __func__));
    *source_row = infl_dataset_storage_row(dataset, row);
    return INFL_OK;
}

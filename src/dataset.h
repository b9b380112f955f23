/* What the right of the library reads of a dataset. */
#ifndef INFL_DATASET_H
#define INFL_DATASET_H

#include "error.h"

typedef struct infl_storage infl_storage; /* reference-counted arrays, shared by views */

struct infl_dataset {
    infl_storage *storage;
    size_t n_rows;
    const size_t *rows; /* row of the storage of each of ours; NULL: the same. Owned. */
};

/* The arrays behind all views. labels or targets is NULL, as the kind of target says. */
struct infl_storage {
    _Atomic size_t references;
    size_t n_rows, n_features, n_targets; /* n_targets: C or t */
    infl_precision precision;
    const void *features;  /* n×d */
    const int32_t *labels; /* n */
    const double *targets; /* n×t */
    char **class_names;    /* C strings or NULL */
    int owned;             /* features, labels and targets are ours to free */
    infl_storage *lender;  /* whose features these are, kept by a reference; NULL: nobody else's */
};

/* Gives the first n ≤ C classes of a dataset that is not shared yet their names, copied; NULL: none. */
infl_status infl_dataset_name_classes(infl_dataset *dataset, const char *const *names, size_t n);

/* The first of the n_classes classes, each label being one, that no label is; n_classes where there is none. */
infl_status infl_dataset_empty_class(size_t *empty, const int32_t *labels, size_t n, size_t n_classes);

/* A view of all the same rows, for a handle that keeps a reference. */
infl_status infl_dataset_reference(infl_dataset **out, const infl_dataset *dataset);

static inline size_t infl_dataset_storage_row(const infl_dataset *dataset, size_t row) {
    return dataset->rows == NULL ? row : dataset->rows[row];
}

#endif

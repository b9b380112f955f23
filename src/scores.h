/* Scores with their description: computed by scores.c, kept in files by scores_file.c. */
#ifndef INFL_SCORES_H
#define INFL_SCORES_H

#include "identity.h"

struct infl_scores {
    infl_scores_info info; /* its label, note and date are owned */
    double *values;        /* n_test×n_train, or n_train */
    infl_solve_report *reports;
    size_t n_reports;   /* n_test, or n_train of a vector */
    double *row_norms;  /* n_train: ‖g(z)‖; NULL of a vector */
    size_t *test_rows;  /* n_test; NULL of a vector */
    size_t *train_rows; /* n_train */
    size_t *ranges;     /* of the model's parameters, n_ranges×2: first and count of each, ascending; NULL: all */
    size_t n_ranges;
    infl_identity train, test, curvature;
    char *library_version; /* owned */
};

/* A quantity: how it is called, and whether it has tests. */
typedef struct infl_quantity_kind {
    const char *name, *sign;
    const char *formula[2]; /* without and with the decay in g(z) */
    int has_tests, helpful_sign;
} infl_quantity_kind;
enum { INFL_N_QUANTITIES = INFL_QUANTITY_NORMS + 1 };
extern const infl_quantity_kind infl_quantities[INFL_N_QUANTITIES];

/* With all that depends on quantity, n and decay_in_gradient: scale, helpful_sign, formula. */
void infl_scores_complete(infl_scores *scores);

/* ‖g‖-free factor of the bound of numbers that belong to report `index`, |scale| included. */
double infl_scores_bound_factor(const infl_scores *scores, size_t index);

/* What a manifest, a json_t without its "hash", has to have as that; its text. */
enum { INFL_SCORES_HASH = 33 };
struct json_t;
infl_status infl_scores_hash_manifest(struct json_t *manifest, char text[INFL_SCORES_HASH]);

/* A copy of a string, to be released; NULL stays NULL. */
infl_status infl_scores_copy_string(char **out, const char *string);

#endif

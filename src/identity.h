/* What numbers depend on, as 128-bit hashes: whether something kept belongs to an objective is decided by these. */
#ifndef INFL_IDENTITY_H
#define INFL_IDENTITY_H

#include "error.h"

/*
 * A hash (XXH3) of a sequence of pieces. Each goes in with its type and length, so that other pieces with the same
 * bytes in a row give another hash, and little-endian, so that machines agree.
 */
typedef struct infl_hash infl_hash;
infl_status infl_hash_begin(infl_hash **out);
void infl_hash_bytes(infl_hash *hash, const void *bytes, size_t n);
void infl_hash_string(infl_hash *hash, const char *string);
void infl_hash_number(infl_hash *hash, uint64_t number);
void infl_hash_double(infl_hash *hash, double number);
void infl_hash_doubles(infl_hash *hash, const double *numbers, size_t n); /* by their bits: −0 is not 0 */
void infl_hash_floats(infl_hash *hash, const float *numbers, size_t n);
void infl_hash_end(infl_hash *hash, uint64_t out[2]); /* releases it */
void infl_hash_release(infl_hash *hash);              /* of no more interest; NULL is fine */

typedef struct infl_identity {
    uint64_t model[2]; /* graph, precision, θ, state */
    uint64_t data[2];  /* rows in order, targets, loss, decay */
} infl_identity;

/*
 * The same for objectives whose numbers are the same: in another process or by other arrays, views or files, with any
 * threads, budgets and instruction set. Of a custom objective's data its losses are what is known.
 */
infl_status infl_objective_identity(infl_objective *objective, infl_identity *out);

#endif

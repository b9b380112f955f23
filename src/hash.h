/* 128-bit hashes: what is kept in files, and what its numbers depend on. */
#ifndef INFL_HASH_H
#define INFL_HASH_H

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
/* Bytes as they are: what nothing but this was given is the XXH3 (128) of them all, as other programs compute it. */
void infl_hash_raw(infl_hash *hash, const void *bytes, size_t n);
void infl_hash_end(infl_hash *hash, uint64_t out[2]); /* releases it */
void infl_hash_release(infl_hash *hash);              /* of no more interest; NULL is fine */

#endif

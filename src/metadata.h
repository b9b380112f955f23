/* What files of ours say about themselves: strings beside the tensors, by which they are known and trusted. */
#ifndef INFL_METADATA_H
#define INFL_METADATA_H

#include "safetensors.h"

enum { INFL_METADATA_STRINGS = 16, INFL_METADATA_TEXT = 48 };

/* Strings for a file; the values live here, but for those given as strings, which are borrowed. */
typedef struct infl_metadata {
    infl_file_string strings[INFL_METADATA_STRINGS];
    char values[INFL_METADATA_STRINGS][INFL_METADATA_TEXT];
    size_t n;
} infl_metadata;

/* Begins with the format, its version, the library's, and what the file is of. */
void infl_metadata_begin(infl_metadata *metadata, const char *content);
void infl_metadata_add_string(infl_metadata *metadata, const char *key, const char *value);
void infl_metadata_add_size(infl_metadata *metadata, const char *key, size_t value);
void infl_metadata_add_double(infl_metadata *metadata, const char *key, double value); /* value ≥ 0, exactly */
void infl_metadata_add_hash(infl_metadata *metadata, const char *key, const uint64_t hash[2]);

/* Opens a file. INFL_E_IO; INFL_E_FORMAT: it is malformed, or not of this format and version. */
infl_status infl_metadata_open(infl_safetensors **out, const char *path);
/* Of an open file. INFL_E_FORMAT: a value is missing or no such thing. */
infl_status infl_metadata_word(const infl_safetensors *file, const char *key, const char *const *words, size_t n,
                               int *index);
infl_status infl_metadata_size(const infl_safetensors *file, const char *key, size_t *out);
infl_status infl_metadata_double(const infl_safetensors *file, const char *key, double *out);
infl_status infl_metadata_hash(const infl_safetensors *file, const char *key, uint64_t out[2]);

/* INFL_E_FORMAT: what is there, and what is expected. */
infl_status infl_metadata_wrong(const infl_safetensors *file, const char *key, const char *expected);

#endif

#include "metadata.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "libinfluence"
#define FORMAT_VERSION "1" /* another as soon as a file of before cannot be read in the same way */

static char *append(infl_metadata *metadata, const char *key) {
    char *value = metadata->values[metadata->n];
    infl_metadata_add_string(metadata, key, value);
    return value;
}

void infl_metadata_begin(infl_metadata *metadata, const char *content) {
    metadata->n = 0;
    infl_metadata_add_string(metadata, "format", FORMAT);
    infl_metadata_add_string(metadata, "format_version", FORMAT_VERSION);
    infl_metadata_add_string(metadata, "library_version", INFL_VERSION_STRING);
    infl_metadata_add_string(metadata, "content", content);
}

void infl_metadata_add_string(infl_metadata *metadata, const char *key, const char *value) {
    metadata->strings[metadata->n++] = (infl_file_string){key, value};
}

void infl_metadata_add_size(infl_metadata *metadata, const char *key, size_t value) {
    snprintf(append(metadata, key), INFL_METADATA_TEXT, "%zu", value);
}

/* A hexadecimal floating constant without a point, which would be the locale's. */
void infl_metadata_add_double(infl_metadata *metadata, const char *key, double value) {
    int exponent;
    double fraction = frexp(value, &exponent);
    snprintf(append(metadata, key), INFL_METADATA_TEXT, "0x%" PRIx64 "p%d", (uint64_t)ldexp(fraction, 53),
             value == 0 ? 0 : exponent - 53);
}

void infl_metadata_add_hash(infl_metadata *metadata, const char *key, const uint64_t hash[2]) {
    snprintf(append(metadata, key), INFL_METADATA_TEXT, "%016" PRIx64 "%016" PRIx64, hash[1], hash[0]);
}

infl_status infl_metadata_wrong(const infl_safetensors *file, const char *key, const char *expected) {
    const char *found = infl_safetensors_metadata(file, key);
    if (found == NULL)
        return infl_fail(INFL_E_FORMAT, "__metadata__ has no \"%s\"; expected %s (%s)", key, expected,
                         infl_safetensors_path(file));
    return infl_fail(INFL_E_FORMAT, "__metadata__: \"%s\" is \"%.60s\"; expected %s (%s)", key, found, expected,
                     infl_safetensors_path(file));
}

/* The value as text, "" where there is none: no field's value is empty. */
static const char *text_of(const infl_safetensors *file, const char *key) {
    const char *found = infl_safetensors_metadata(file, key);
    return found == NULL ? "" : found;
}

static infl_status check_format(const infl_safetensors *file) {
    if (strcmp(text_of(file, "format"), FORMAT) != 0)
        return infl_metadata_wrong(file, "format", "\"" FORMAT "\"");
    if (strcmp(text_of(file, "format_version"), FORMAT_VERSION) != 0)
        return infl_metadata_wrong(file, "format_version",
                                   "\"" FORMAT_VERSION "\", which this version of the library reads");
    return INFL_OK;
}

infl_status infl_metadata_open(infl_safetensors **out, const char *path) {
    infl_safetensors *file;
    infl_status status = infl_safetensors_open(&file, path);
    if (status == INFL_E_UNSUPPORTED) /* which nothing that was written here is */
        return infl_fail(INFL_E_FORMAT, "%s", infl_last_error());
    INFL_TRY(status);
    if ((status = check_format(file)) != INFL_OK)
        infl_safetensors_close(file);
    else
        *out = file;
    return status;
}

infl_status infl_metadata_word(const infl_safetensors *file, const char *key, const char *const *words, size_t n,
                               int *index) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text_of(file, key), words[i]) == 0) {
            *index = (int)i;
            return INFL_OK;
        }
    }
    return infl_metadata_wrong(file, key, "a word that this version of the library knows");
}

infl_status infl_metadata_size(const infl_safetensors *file, const char *key, size_t *out) {
    const char *text = text_of(file, key);
    char *end;
    errno = 0;
    uintmax_t value = strtoumax(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > SIZE_MAX)
        return infl_metadata_wrong(file, key, "a whole number");
    *out = (size_t)value;
    return INFL_OK;
}

infl_status infl_metadata_double(const infl_safetensors *file, const char *key, double *out) {
    const char *text = text_of(file, key), *expected = "a hexadecimal number ≥ 0, such as 0x1p-7";
    char *end;
    errno = 0;
    uintmax_t digits = strtoumax(text, &end, 16);
    if (strncmp(text, "0x", 2) != 0 || *end != 'p' || errno != 0 || digits > UINT64_C(1) << 53)
        return infl_metadata_wrong(file, key, expected);
    const char *power = end + 1;
    long exponent = strtol(power, &end, 10);
    if (end == power || *end != '\0' || exponent < -1200 || exponent > 1200 ||
        isinf(ldexp((double)digits, (int)exponent)))
        return infl_metadata_wrong(file, key, expected);
    *out = ldexp((double)digits, (int)exponent);
    return INFL_OK;
}

infl_status infl_metadata_hash(const infl_safetensors *file, const char *key, uint64_t out[2]) {
    const char *text = text_of(file, key);
    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
        return infl_metadata_wrong(file, key, "32 hexadecimal digits");
    char half[17] = {0};
    for (int i = 0; i < 2; i++) {
        memcpy(half, text + (size_t)16 * i, 16);
        out[1 - i] = (uint64_t)strtoumax(half, NULL, 16);
    }
    return INFL_OK;
}

#include "saved.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define FORMAT "libinfluence"
#define FORMAT_VERSION "1" /* another as soon as a file of before cannot be read in the same way */

enum { TEXT = 48, STRINGS = 16 };

static const char *const kinds[] = {"hessian", "gauss_newton", "fisher", "matrix"};
static const char *const policies[] = {"exact", "clip", "absolute", "pseudo"};
static const struct {
    const char *name;
    size_t n_arrays;
    struct {
        const char *name, *hash;
        size_t n_dims;
    } arrays[INFL_SAVED_ARRAYS];
} contents[] = {
    [INFL_SAVED_CURVATURE] = {"curvature", 1, {{"matrix", "matrix_hash", 2}}},
    [INFL_SAVED_CHOLESKY] = {"cholesky", 1, {{"factor", "factor_hash", 2}}},
    [INFL_SAVED_EIGEN] = {"eigen", 2, {{"values", "values_hash", 1}, {"vectors", "vectors_hash", 2}}},
};

static size_t length_of(const infl_saved *saved, size_t index) {
    return contents[saved->content].arrays[index].n_dims == 1 ? saved->p : saved->p * saved->p;
}

static infl_status hash_array(const double *array, size_t length, uint64_t out[2]) {
    infl_hash *hash;
    INFL_TRY(infl_hash_begin(&hash));
    infl_hash_doubles(hash, array, length);
    infl_hash_end(hash, out);
    return INFL_OK;
}

/* Of all that is said beside the arrays. */
static infl_status hash_saved(const infl_saved *saved, uint64_t out[2]) {
    uint64_t numbers[] = {(uint64_t)saved->content,
                          (uint64_t)saved->kind,
                          (uint64_t)saved->policy,
                          saved->n,
                          saved->p,
                          saved->identity.model[0],
                          saved->identity.model[1],
                          saved->identity.data[0],
                          saved->identity.data[1]};
    infl_hash *hash;
    INFL_TRY(infl_hash_begin(&hash));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        infl_hash_number(hash, numbers[i]);
    infl_hash_double(hash, saved->damping);
    infl_hash_double(hash, saved->cutoff);
    for (size_t i = 0; i < contents[saved->content].n_arrays; i++) {
        infl_hash_number(hash, saved->arrays[i][0]);
        infl_hash_number(hash, saved->arrays[i][1]);
    }
    infl_hash_end(hash, out);
    return INFL_OK;
}

/* Strings for the file, whose values live here. */
typedef struct string_list {
    infl_file_string strings[STRINGS];
    char values[STRINGS][TEXT];
    size_t n;
} string_list;

static char *append(string_list *list, const char *key) {
    char *value = list->values[list->n];
    list->strings[list->n++] = (infl_file_string){key, value};
    return value;
}

static void append_string(string_list *list, const char *key, const char *value) {
    snprintf(append(list, key), TEXT, "%s", value);
}

static void append_size(string_list *list, const char *key, size_t value) {
    snprintf(append(list, key), TEXT, "%zu", value);
}

/* A hexadecimal floating constant without a point, which would be the locale's. */
static void append_double(string_list *list, const char *key, double value) {
    int exponent;
    double fraction = frexp(value, &exponent);
    snprintf(append(list, key), TEXT, "0x%" PRIx64 "p%d", (uint64_t)ldexp(fraction, 53),
             value == 0 ? 0 : exponent - 53);
}

static void append_hash(string_list *list, const char *key, const uint64_t hash[2]) {
    snprintf(append(list, key), TEXT, "%016" PRIx64 "%016" PRIx64, hash[1], hash[0]);
}

infl_status infl_saved_write(const char *path, const infl_saved *given, const double *const *arrays) {
    infl_saved saved = *given;
    infl_file_array files[INFL_SAVED_ARRAYS];
    uint64_t check[2];
    size_t n_arrays = contents[saved.content].n_arrays;
    for (size_t i = 0; i < n_arrays; i++) {
        INFL_TRY(hash_array(arrays[i], length_of(&saved, i), saved.arrays[i]));
        files[i] = (infl_file_array){contents[saved.content].arrays[i].name,
                                     INFL_NUMBER_F64,
                                     contents[saved.content].arrays[i].n_dims,
                                     {saved.p, saved.p},
                                     arrays[i]};
    }
    INFL_TRY(hash_saved(&saved, check));
    string_list list = {.n = 0};
    append_string(&list, "format", FORMAT);
    append_string(&list, "format_version", FORMAT_VERSION);
    append_string(&list, "library_version", INFL_VERSION_STRING);
    append_string(&list, "content", contents[saved.content].name);
    append_string(&list, "kind", kinds[saved.kind]);
    append_double(&list, "damping", saved.damping);
    if (saved.content == INFL_SAVED_EIGEN) {
        append_string(&list, "eigen_policy", policies[saved.policy]);
        append_double(&list, "cutoff", saved.cutoff);
    }
    append_size(&list, "n", saved.n);
    append_size(&list, "p", saved.p);
    append_hash(&list, "model", saved.identity.model);
    append_hash(&list, "data", saved.identity.data);
    for (size_t i = 0; i < n_arrays; i++)
        append_hash(&list, contents[saved.content].arrays[i].hash, saved.arrays[i]);
    append_hash(&list, "hash", check);
    return infl_safetensors_write(path, list.strings, list.n, files, n_arrays);
}

infl_status infl_saved_wrong(const infl_safetensors *file, const char *what) {
    return infl_fail(INFL_E_FORMAT, "%s (%s)", what, infl_safetensors_path(file));
}

static infl_status bad_string(const infl_safetensors *file, const char *key, const char *expected) {
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

static infl_status read_name(const infl_safetensors *file, const char *key, const char *const *names, int n,
                             int *index) {
    for (*index = 0; *index < n; ++*index)
        if (strcmp(text_of(file, key), names[*index]) == 0)
            return INFL_OK;
    return bad_string(file, key, "a word that this version of the library knows");
}

static infl_status read_size(const infl_safetensors *file, const char *key, size_t *out) {
    const char *text = text_of(file, key);
    char *end;
    errno = 0;
    uintmax_t value = strtoumax(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > SIZE_MAX)
        return bad_string(file, key, "a whole number");
    *out = (size_t)value;
    return INFL_OK;
}

static infl_status read_double(const infl_safetensors *file, const char *key, double *out) {
    const char *text = text_of(file, key), *expected = "a hexadecimal number ≥ 0, such as 0x1p-7";
    char *end;
    errno = 0;
    uintmax_t digits = strtoumax(text, &end, 16);
    if (strncmp(text, "0x", 2) != 0 || *end != 'p' || errno != 0 || digits > UINT64_C(1) << 53)
        return bad_string(file, key, expected);
    const char *power = end + 1;
    long exponent = strtol(power, &end, 10);
    if (end == power || *end != '\0' || exponent < -1200 || exponent > 1200 ||
        isinf(ldexp((double)digits, (int)exponent)))
        return bad_string(file, key, expected);
    *out = ldexp((double)digits, (int)exponent);
    return INFL_OK;
}

static infl_status read_hash(const infl_safetensors *file, const char *key, uint64_t out[2]) {
    const char *text = text_of(file, key);
    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
        return bad_string(file, key, "32 hexadecimal digits");
    char half[17] = {0};
    for (int i = 0; i < 2; i++) {
        memcpy(half, text + 16 * i, 16);
        out[1 - i] = (uint64_t)strtoumax(half, NULL, 16);
    }
    return INFL_OK;
}

static infl_status read_strings(const infl_safetensors *file, infl_saved *saved) {
    const char *names[sizeof contents / sizeof *contents];
    int index;
    uint64_t stated[2], found[2];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        names[i] = contents[i].name;
    if (strcmp(text_of(file, "format"), FORMAT) != 0)
        return bad_string(file, "format", "\"" FORMAT "\"");
    if (strcmp(text_of(file, "format_version"), FORMAT_VERSION) != 0)
        return bad_string(file, "format_version", "\"" FORMAT_VERSION "\", which this version of the library reads");
    INFL_TRY(read_name(file, "content", names, sizeof names / sizeof *names, &index));
    saved->content = (infl_saved_content)index;
    INFL_TRY(read_name(file, "kind", kinds, sizeof kinds / sizeof *kinds, &saved->kind));
    INFL_TRY(read_double(file, "damping", &saved->damping));
    if (saved->content == INFL_SAVED_EIGEN) {
        INFL_TRY(read_name(file, "eigen_policy", policies, sizeof policies / sizeof *policies, &index));
        saved->policy = (infl_eigen_policy)index;
        INFL_TRY(read_double(file, "cutoff", &saved->cutoff));
    }
    INFL_TRY(read_size(file, "n", &saved->n));
    INFL_TRY(read_size(file, "p", &saved->p));
    INFL_TRY(read_hash(file, "model", saved->identity.model));
    INFL_TRY(read_hash(file, "data", saved->identity.data));
    for (size_t i = 0; i < contents[saved->content].n_arrays; i++)
        INFL_TRY(read_hash(file, contents[saved->content].arrays[i].hash, saved->arrays[i]));
    INFL_TRY(read_hash(file, "hash", stated));
    INFL_TRY(hash_saved(saved, found));
    if (memcmp(stated, found, sizeof found) != 0)
        return bad_string(file, "hash", "another for this __metadata__, so the file is damaged");
    return INFL_OK;
}

infl_status infl_saved_open(infl_safetensors **out, infl_saved *saved, const char *path) {
    infl_safetensors *file;
    *saved = (infl_saved){.content = INFL_SAVED_CURVATURE};
    INFL_TRY(infl_safetensors_open(&file, path));
    infl_status status = read_strings(file, saved);
    if (status != INFL_OK)
        infl_safetensors_close(file);
    else
        *out = file;
    return status;
}

infl_status infl_saved_check(const infl_safetensors *file, const infl_saved *saved, const infl_saved *expected) {
    const char *path = infl_safetensors_path(file);
    if (saved->kind != expected->kind)
        return infl_fail(INFL_E_ARGUMENT, "the file is of a curvature of kind %s, the one given of kind %s (%s)",
                         kinds[saved->kind], kinds[expected->kind], path);
    if (saved->p != expected->p)
        return infl_fail(INFL_E_ARGUMENT, "the file is of %zu parameters; there are %zu here (%s)", saved->p,
                         expected->p, path);
    if (saved->n != expected->n)
        return infl_fail(INFL_E_ARGUMENT, "the file is of other data: %zu rows; there are %zu here (%s)", saved->n,
                         expected->n, path);
    const infl_identity *theirs = &saved->identity, *ours = &expected->identity;
    int other_model = memcmp(theirs->model, ours->model, sizeof ours->model) != 0;
    int other_data = memcmp(theirs->data, ours->data, sizeof ours->data) != 0;
    if (saved->kind == INFL_SAVED_MATRIX && other_model)
        return infl_fail(INFL_E_ARGUMENT, "the file is of another matrix (%s)", path);
    if (other_model || other_data)
        return infl_fail(INFL_E_ARGUMENT, "the file is of %s%s%s (%s)",
                         other_model ? "another model or another theta or state of it" : "",
                         other_model && other_data ? ", and " : "",
                         other_data ? "other data: other rows, targets, loss or decay" : "", path);
    if (saved->content != INFL_SAVED_CURVATURE && saved->damping != expected->damping)
        return infl_fail(INFL_E_ARGUMENT, "the file is of a damping of %.17g, the curvature has %.17g (%s)",
                         saved->damping, expected->damping, path);
    return INFL_OK;
}

infl_status infl_saved_read(infl_safetensors *file, const infl_saved *saved, int index, double *out) {
    const char *name = contents[saved->content].arrays[index].name, *path = infl_safetensors_path(file);
    size_t n_dims = contents[saved->content].arrays[index].n_dims;
    const infl_file_tensor *tensor = infl_safetensors_find(file, name);
    if (tensor == NULL)
        return infl_fail(INFL_E_FORMAT, "the file has no tensor \"%s\" (%s)", name, path);
    if (tensor->type != INFL_NUMBER_F64 || tensor->n_dims != n_dims || tensor->dims[0] != saved->p ||
        (n_dims == 2 && tensor->dims[1] != saved->p))
        return infl_fail(INFL_E_FORMAT, "tensor \"%s\" is not of F64 and of %zu%s%.0zu numbers (%s)", name, saved->p,
                         n_dims == 2 ? "×" : "", n_dims == 2 ? saved->p : 0, path);
    uint64_t found[2];
    INFL_TRY(infl_safetensors_read(file, tensor, out));
    INFL_TRY(hash_array(out, tensor->length, found));
    if (memcmp(found, saved->arrays[index], sizeof found) != 0)
        return infl_fail(INFL_E_FORMAT,
                         "tensor \"%s\": its numbers are not those that were written; the file is "
                         "damaged (%s)",
                         name, path);
    return INFL_OK;
}

/* Scores in files: the numbers in NumPy's format, and beside them a description in JSON. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attribution.h"
#include "file.h"
#include "memory.h"
#include "npy.h"
#include "scores.h"

#define FORMAT "libinfluence scores"
#define FORMAT_VERSION 1 /* another as soon as a file of before cannot be read in the same way */

static const char *const precisions[] = {"f32", "f64"};
static const char *const losses[] = {"softmax_cross_entropy", "logistic", "squared_error", "smoothed_hinge"};
static const char *const kinds[] = {"hessian", "gauss_newton", "fisher"};
static const char *const methods[] = {"cholesky", "eigen", "cg", "lissa"};
static const char *const policies[] = {"exact", "clip", "absolute", "pseudo"};

/* Fields of structs that are written and read alike. */
typedef enum field_type { REAL, AMOUNT, SIZE, SEED, FLAG } field_type; /* an amount is known, and not negative */
typedef struct field {
    const char *key;
    field_type type;
    size_t offset;
} field;

#define OF(type, key, of)                                                                                              \
    { #key, of, offsetof(type, key) }
static const field info_fields[] = {OF(infl_scores_info, n, SIZE), OF(infl_scores_info, p, SIZE),
                                    OF(infl_scores_info, decay, AMOUNT)};
static const field option_fields[] = {
    OF(infl_scores_info, cutoff, AMOUNT),       OF(infl_scores_info, tolerance, AMOUNT),
    OF(infl_scores_info, max_iterations, SIZE), OF(infl_scores_info, accept_unconverged, FLAG),
    OF(infl_scores_info, lissa_scale, AMOUNT),  OF(infl_scores_info, lissa_batch, SIZE),
    OF(infl_scores_info, lissa_repeats, SIZE),  OF(infl_scores_info, lissa_check, SIZE),
    OF(infl_scores_info, seed, SEED),           OF(infl_scores_info, lissa_plain, FLAG),
    OF(infl_scores_info, cg_batch, SIZE)};
static const field report_fields[] = {
    OF(infl_solve_report, residual, REAL),   OF(infl_solve_report, converged, FLAG),
    OF(infl_solve_report, iterations, SIZE), OF(infl_solve_report, products, REAL),
    OF(infl_solve_report, damping, REAL),    OF(infl_solve_report, lambda_min, REAL),
    OF(infl_solve_report, lambda_max, REAL), OF(infl_solve_report, scale, REAL),
    OF(infl_solve_report, batch, REAL),      OF(infl_solve_report, deviation, REAL),
    OF(infl_solve_report, rhs_norm, REAL),   OF(infl_solve_report, solution_norm, REAL),
    OF(infl_solve_report, rounding, REAL),   OF(infl_solve_report, lambda_floor, REAL),
    OF(infl_solve_report, error_bound, REAL)};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- hashes */

/* Of all values in their order: what a program that knows JSON reads and writes again keeps it. */
/* NOLINTNEXTLINE(misc-no-recursion): Jansson reads no deeper than 2048 */
static void hash_json(infl_hash *hash, json_t *value) {
    const char *key;
    json_t *member;
    infl_hash_number(hash, (uint64_t)json_typeof(value));
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        infl_hash_number(hash, json_object_size(value));
        json_object_foreach(value, key, member) {
            infl_hash_string(hash, key);
            hash_json(hash, member);
        }
        break;
    case JSON_ARRAY:
        infl_hash_number(hash, json_array_size(value));
        for (size_t i = 0; i < json_array_size(value); i++)
            hash_json(hash, json_array_get(value, i));
        break;
    case JSON_STRING:
        infl_hash_bytes(hash, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        infl_hash_number(hash, (uint64_t)json_integer_value(value));
        break;
    case JSON_REAL:
        infl_hash_double(hash, json_real_value(value));
        break;
    default:
        break;
    }
}

static void hash_text(const uint64_t hash[2], char text[INFL_SCORES_HASH]) {
    snprintf(text, INFL_SCORES_HASH, "%016" PRIx64 "%016" PRIx64, hash[1], hash[0]);
}

infl_status infl_scores_hash_manifest(json_t *manifest, char text[INFL_SCORES_HASH]) {
    infl_hash *hash;
    uint64_t digest[2];
    INFL_TRY(infl_hash_begin(&hash));
    hash_json(hash, manifest);
    infl_hash_end(hash, digest);
    hash_text(digest, text);
    return INFL_OK;
}

/* ---- writing */

/* An object that is being filled; out of memory, or what is no UTF-8, shows at the end. */
typedef struct writer {
    json_t *object;
    int failed;
} writer;

static void put(writer *w, const char *key, json_t *value) { w->failed |= json_object_set_new(w->object, key, value); }

static void put_string(writer *w, const char *key, const char *text) {
    put(w, key, text == NULL ? json_null() : json_string(text));
}

static json_t *real(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* Beyond what integers of JSON's readers hold: in words. */
static json_t *whole(uint64_t number) {
    char text[24];
    if (number <= INT64_MAX)
        return json_integer((json_int_t)number);
    snprintf(text, sizeof text, "%" PRIu64, number);
    return json_string(text);
}

static void put_hash(writer *w, const char *key, const uint64_t hash[2]) {
    char text[INFL_SCORES_HASH];
    hash_text(hash, text);
    put_string(w, key, text);
}

static void put_fields(writer *w, const void *of, const field *fields, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const void *at = (const char *)of + fields[i].offset;
        double x;
        size_t size;
        uint64_t seed;
        int flag;
        switch (fields[i].type) {
        case REAL:
        case AMOUNT:
            memcpy(&x, at, sizeof x);
            put(w, fields[i].key, real(x));
            break;
        case SIZE:
            memcpy(&size, at, sizeof size);
            put(w, fields[i].key, whole(size));
            break;
        case SEED:
            memcpy(&seed, at, sizeof seed);
            put(w, fields[i].key, whole(seed));
            break;
        case FLAG:
            memcpy(&flag, at, sizeof flag);
            put(w, fields[i].key, json_boolean(flag != 0));
            break;
        }
    }
}

/* A finished object as a member; the parent fails with it. */
static void put_object(writer *w, const char *key, writer *member) {
    w->failed |= member->failed;
    put(w, key, member->object);
    member->object = NULL;
}

static void put_objective(writer *w, const char *key, int loss, double temperature, const infl_identity *identity) {
    writer m = {json_object(), 0};
    put_string(&m, "loss", loss < 0 ? "custom" : losses[loss]);
    put(&m, "temperature", real(temperature));
    put_hash(&m, "model", identity->model);
    put_hash(&m, "data", identity->data);
    put_object(w, key, &m);
}

static void put_curvature(writer *w, const infl_scores *scores) {
    const infl_scores_info *info = &scores->info;
    writer m = {json_object(), 0};
    put_string(&m, "kind",
               info->curvature_kind >= 0    ? kinds[info->curvature_kind]
               : info->curvature_kind == -1 ? "matrix"
                                            : "product");
    put(&m, "damping", real(info->damping));
    put(&m, "damping_automatic", json_boolean(info->damping_automatic));
    put_hash(&m, "model", scores->curvature.model);
    put_hash(&m, "data", scores->curvature.data);
    put_object(w, "curvature", &m);
}

static void put_solves(writer *w, const infl_scores *scores) {
    json_t *solves = json_array();
    const size_t *rows = scores->info.n_test == 0 ? scores->train_rows : scores->test_rows;
    for (size_t i = 0; i < scores->n_reports; i++) {
        writer m = {json_object(), 0};
        put(&m, "row", whole(rows[i]));
        put_fields(&m, &scores->reports[i], report_fields, COUNT(report_fields));
        put(&m, "bound", real(infl_scores_bound_factor(scores, i)));
        w->failed |= m.failed | json_array_append_new(solves, m.object);
    }
    put(w, "solves", solves);
}

static void put_numbers(writer *w, const char *key, const size_t *sizes, const double *reals, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) /* of one of the two */
        /* cppcheck-suppress nullPointer */
        w->failed |= json_array_append_new(array, sizes != NULL ? whole(sizes[i]) : real(reals[i]));
    put(w, key, array);
}

/* [first, count] each. */
static void put_ranges(writer *w, const infl_scores *scores) {
    json_t *ranges = scores->ranges == NULL ? json_null() : json_array();
    for (size_t i = 0; i < scores->n_ranges; i++) {
        json_t *range = json_array();
        w->failed |= json_array_append_new(range, whole(scores->ranges[2 * i]));
        w->failed |= json_array_append_new(range, whole(scores->ranges[2 * i + 1]));
        w->failed |= json_array_append_new(ranges, range);
    }
    put(w, "parameters", ranges);
}

static infl_status no_memory(void) {
    return infl_fail(INFL_E_MEMORY, "there is no memory for the description of the scores");
}

/* Its text, to be released; NULL: there is no memory. (json_dumps loses what its own buffer has no room for.) */
static char *dump(const json_t *manifest, size_t *length) {
    static const size_t flags = JSON_INDENT(1);
    *length = json_dumpb(manifest, NULL, 0, flags);
    char *text = *length > 0 ? infl_allocate(*length + 1, 1) : NULL;
    if (text != NULL && json_dumpb(manifest, text, *length, flags) != *length) {
        infl_release(text);
        text = NULL;
    }
    if (text != NULL)
        text[(*length)++] = '\n';
    return text;
}

/* The whole manifest as text, to be released. */
static infl_status make_manifest(const infl_scores *scores, infl_precision stored, const char *array_hash,
                                 const char *label, const char *note, const char *date, char **text, size_t *length) {
    const infl_scores_info *info = &scores->info;
    const infl_quantity_kind *quantity = &infl_quantities[info->quantity];
    char hash[INFL_SCORES_HASH];
    writer w = {json_object(), 0}, options = {json_object(), 0};
    put_string(&w, "format", FORMAT);
    put(&w, "format_version", json_integer(FORMAT_VERSION));
    put_string(&w, "library_version", info->library_version);
    put_string(&w, "label", label);
    put_string(&w, "note", note);
    put_string(&w, "date", date);
    put_string(&w, "quantity", quantity->name);
    put_string(&w, "formula", info->formula);
    put_string(&w, "sign", quantity->sign);
    put_string(&w, "axes", info->n_test == 0 ? "train" : "test, train");
    put_string(&w, "bounds",
               info->quantity == INFL_QUANTITY_SELF    ? "solves[i].bound * solves[i].rhs_norm"
               : info->quantity == INFL_QUANTITY_NORMS ? "solves[i].bound"
                                                       : "solves[t].bound * row_norms[i]");
    put_string(&w, "null", "not known, or not defined (NaN)");
    put(&w, "scale", real(info->scale));
    put(&w, "decay_in_gradient", json_boolean(info->decay_in_gradient));
    put_string(&w, "stored", precisions[stored]);
    put_string(&w, "array_hash", array_hash);
    put_fields(&w, info, info_fields, COUNT(info_fields));
    put_ranges(&w, scores);
    put_string(&w, "precision", precisions[info->precision]);
    put_objective(&w, "train", info->train_loss, info->train_temperature, &scores->train);
    if (info->n_test == 0)
        put(&w, "test", json_null());
    else
        put_objective(&w, "test", info->test_loss, info->test_temperature, &scores->test);
    put_curvature(&w, scores);
    put_string(&options, "method", methods[info->method]);
    put_string(&options, "eigen_policy", policies[info->eigen_policy]);
    put_fields(&options, info, option_fields, COUNT(option_fields));
    put_object(&w, "inverse", &options);
    put_solves(&w, scores);
    if (info->n_test != 0) {
        put_numbers(&w, "test_rows", scores->test_rows, NULL, info->n_test);
        put_numbers(&w, "row_norms", NULL, scores->row_norms, info->n_train);
    }
    put_numbers(&w, "train_rows", scores->train_rows, NULL, info->n_train);
    infl_status status = INFL_OK;
    *text = NULL;
    if (!w.failed && (status = infl_scores_hash_manifest(w.object, hash)) == INFL_OK) {
        put_string(&w, "hash", hash);
        if (!w.failed)
            *text = dump(w.object, length);
    }
    json_decref(w.object);
    return status == INFL_OK && *text == NULL ? no_memory() : status;
}

/* <path><ending>, to be released. */
static infl_status path_of(char **out, const char *path, const char *ending) {
    INFL_ALLOCATE(*out, strlen(path) + strlen(ending) + 1);
    strcpy(*out, path);
    strcat(*out, ending);
    return INFL_OK;
}

/* A new file, which cannot be a pipe: it has to be set aside and moved. */
static infl_status open_regular(infl_new_file *file, const char *path) {
    INFL_TRY(infl_new_file_open(file, path));
    if (file->name == NULL)
        return infl_fail(INFL_E_IO, "the file cannot be written: what is there is not a regular file (%s)", path);
    return INFL_OK;
}

static infl_status write_array(infl_new_file *file, const infl_scores *scores, infl_precision precision,
                               char text[INFL_SCORES_HASH]) {
    const infl_scores_info *info = &scores->info;
    infl_hash *hash;
    uint64_t digest[2];
    INFL_TRY(infl_hash_begin(&hash));
    infl_status status = infl_npy_write(file, precision, info->n_test == 0 ? info->n_train : info->n_test,
                                        info->n_test == 0 ? 0 : info->n_train, scores->values, hash);
    infl_hash_end(hash, digest);
    hash_text(digest, text);
    return status == INFL_OK ? infl_new_file_close(file) : status;
}

static infl_status check_text(const char *text, const char *name) {
    errno = 0;
    json_t *string = text == NULL ? json_null() : json_string(text);
    if (string == NULL && errno == ENOMEM)
        return infl_in_name_of("infl_scores_save", no_memory());
    if (string == NULL)
        return infl_fail(INFL_E_ARGUMENT, "infl_scores_save: %s is not UTF-8", name);
    json_decref(string);
    return INFL_OK;
}

infl_status infl_scores_save(const infl_scores *scores, const char *path, const infl_scores_save_options *options) {
    INFL_REQUIRE(scores);
    INFL_REQUIRE(path);
    infl_scores_save_options o = INFL_SCORES_SAVE_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&o, sizeof o, options, __func__, "options"));
    if (o.precision != INFL_F32 && o.precision != INFL_F64)
        return infl_fail(INFL_E_ARGUMENT, "%s: precision is %d; expected INFL_F32 or INFL_F64", __func__, o.precision);
    INFL_TRY(check_text(o.label, "label"));
    INFL_TRY(check_text(o.note, "note"));
    INFL_TRY(check_text(o.date, "date"));
    const infl_scores_info *info = &scores->info;
    infl_precision stored = o.precision == INFL_F32 ? INFL_F32 : info->stored;
    infl_new_file files[2] = {{.path = NULL}, {.path = NULL}};
    char *npy = NULL, *json = NULL, *text = NULL, hash[INFL_SCORES_HASH];
    size_t length = 0;
    infl_status status = path_of(&npy, path, ".npy");
    if (status == INFL_OK)
        status = path_of(&json, path, ".json");
    if (status == INFL_OK)
        status = open_regular(&files[0], npy);
    if (status == INFL_OK)
        status = write_array(&files[0], scores, (infl_precision)o.precision, hash);
    if (status == INFL_OK)
        status =
            make_manifest(scores, stored, hash, o.label != NULL ? o.label : info->label,
                          o.note != NULL ? o.note : info->note, o.date != NULL ? o.date : info->date, &text, &length);
    if (status == INFL_OK)
        status = open_regular(&files[1], json);
    if (status == INFL_OK)
        status = infl_new_file_write(&files[1], text, length);
    if (status == INFL_OK)
        status = infl_new_file_close(&files[1]);
    if (status == INFL_OK)
        status = infl_new_files_place(files, 2);
    infl_new_file_end(&files[0]);
    infl_new_file_end(&files[1]);
    infl_release(text);
    infl_release(npy);
    infl_release(json);
    return infl_in_name_of(__func__, status);
}

/* ---- reading */

/* An object of a manifest that is being read, which nobody has to trust. */
typedef struct reader {
    const char *path, *name; /* of the file; of the object in sentences, "inverse." */
    const json_t *object;
} reader;

static infl_status bad(const reader *r, const char *key, const char *expected) {
    return infl_fail(INFL_E_FORMAT, "\"%s%s\" is missing or wrong; expected %s (%s)", r->name, key, expected, r->path);
}

static int read_whole(const json_t *value, uint64_t *out) {
    const char *text = json_string_value(value);
    char *end;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return 1;
    }
    if (text == NULL || strspn(text, "0123456789") != strlen(text))
        return 0;
    errno = 0;
    *out = strtoumax(text, &end, 10);
    return end != text && errno == 0;
}

static infl_status get_size(const reader *r, const char *key, size_t *out) {
    uint64_t number;
    if (!read_whole(json_object_get(r->object, key), &number) || number > SIZE_MAX)
        return bad(r, key, "a whole number");
    *out = (size_t)number;
    return INFL_OK;
}

static infl_status get_real(const reader *r, const char *key, double *out) {
    const json_t *value = json_object_get(r->object, key);
    if (!json_is_null(value) && !json_is_number(value))
        return bad(r, key, "a number or null");
    *out = json_is_null(value) ? NAN : json_number_value(value);
    return INFL_OK;
}

static infl_status get_amount(const reader *r, const char *key, double *out) {
    const json_t *value = json_object_get(r->object, key);
    if (!json_is_number(value) || json_number_value(value) < 0)
        return bad(r, key, "a number that is not negative");
    *out = json_number_value(value);
    return INFL_OK;
}

static infl_status get_flag(const reader *r, const char *key, int *out) {
    const json_t *value = json_object_get(r->object, key);
    if (!json_is_boolean(value))
        return bad(r, key, "true or false");
    *out = json_is_true(value);
    return INFL_OK;
}

static infl_status get_word(const reader *r, const char *key, const char *const *words, size_t n, int *out) {
    const char *text = json_string_value(json_object_get(r->object, key));
    for (size_t i = 0; i < n && text != NULL; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = (int)i;
            return INFL_OK;
        }
    return bad(r, key, "a word that this version of the library knows");
}

static infl_status get_text(const reader *r, const char *key, const char **out) {
    const json_t *value = json_object_get(r->object, key);
    if (!json_is_null(value) && !json_is_string(value))
        return bad(r, key, "a string or null");
    return infl_scores_copy_string((char **)out, json_string_value(value));
}

static infl_status get_hash(const reader *r, const char *key, uint64_t out[2]) {
    const char *text = json_string_value(json_object_get(r->object, key));
    char half[17] = {0};
    if (text == NULL || strlen(text) != INFL_SCORES_HASH - 1 ||
        strspn(text, "0123456789abcdef") != INFL_SCORES_HASH - 1)
        return bad(r, key, "32 hexadecimal digits");
    for (int i = 0; i < 2; i++) {
        memcpy(half, text + (size_t)16 * i, 16);
        out[1 - i] = (uint64_t)strtoumax(half, NULL, 16);
    }
    return INFL_OK;
}

static infl_status get_fields(const reader *r, void *to, const field *fields, size_t n) {
    for (size_t i = 0; i < n; i++) {
        void *at = (char *)to + fields[i].offset;
        double x = 0;
        size_t size = 0;
        uint64_t seed = 0;
        int flag = 0;
        switch (fields[i].type) {
        case REAL:
            INFL_TRY(get_real(r, fields[i].key, &x));
            memcpy(at, &x, sizeof x);
            break;
        case AMOUNT:
            INFL_TRY(get_amount(r, fields[i].key, &x));
            memcpy(at, &x, sizeof x);
            break;
        case SIZE:
            INFL_TRY(get_size(r, fields[i].key, &size));
            memcpy(at, &size, sizeof size);
            break;
        case SEED:
            if (!read_whole(json_object_get(r->object, fields[i].key), &seed))
                return bad(r, fields[i].key, "a whole number");
            memcpy(at, &seed, sizeof seed);
            break;
        case FLAG:
            INFL_TRY(get_flag(r, fields[i].key, &flag));
            memcpy(at, &flag, sizeof flag);
            break;
        }
    }
    return INFL_OK;
}

static infl_status get_object(const reader *r, const char *key, const char *name, reader *out) {
    *out = (reader){r->path, name, json_object_get(r->object, key)};
    return json_is_object(out->object) ? INFL_OK : bad(r, key, "an object");
}

static infl_status get_array(const reader *r, const char *key, const json_t **out) {
    *out = json_object_get(r->object, key);
    return json_is_array(*out) && json_array_size(*out) > 0 ? INFL_OK : bad(r, key, "an array that is not empty");
}

/* Row indices; of an objective whose rows are known, within them. */
static infl_status get_rows(const reader *r, const char *key, size_t limit, size_t **rows, size_t *n) {
    const json_t *array;
    uint64_t row;
    INFL_TRY(get_array(r, key, &array));
    *n = json_array_size(array);
    INFL_ALLOCATE(*rows, *n);
    for (size_t i = 0; i < *n; i++) {
        if (!read_whole(json_array_get(array, i), &row) || row >= limit)
            return bad(r, key, "row indices");
        (*rows)[i] = (size_t)row;
    }
    return INFL_OK;
}

/* Which of the model's parameters the p are: null for all, or ranges of them. */
static infl_status get_ranges(const reader *r, infl_scores *scores) {
    static const char *const expected = "null, or [first, count] of ranges in order with p parameters";
    const json_t *array = json_object_get(r->object, "parameters");
    size_t end = 0, total = 0, n = json_array_size(array);
    if (json_is_null(array))
        return INFL_OK;
    if (n == 0)
        return bad(r, "parameters", expected);
    INFL_ALLOCATE_MATRIX(scores->ranges, n, 2);
    scores->n_ranges = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *range = json_array_get(array, i);
        uint64_t first, count;
        if (json_array_size(range) != 2 || !read_whole(json_array_get(range, 0), &first) ||
            !read_whole(json_array_get(range, 1), &count) || count == 0 || first > SIZE_MAX ||
            count > SIZE_MAX - first || (i > 0 && first <= end))
            return bad(r, "parameters", expected);
        scores->ranges[2 * i] = (size_t)first;
        scores->ranges[2 * i + 1] = (size_t)count;
        end = (size_t)(first + count);
        total += (size_t)count;
    }
    return total == scores->info.p ? INFL_OK : bad(r, "parameters", expected);
}

static infl_status get_objective(const reader *manifest, const char *key, const char *name, int *loss,
                                 double *temperature, infl_identity *identity) {
    reader r;
    INFL_TRY(get_object(manifest, key, name, &r));
    const char *text = json_string_value(json_object_get(r.object, "loss"));
    *loss = -1;
    if (text == NULL || strcmp(text, "custom") != 0)
        INFL_TRY(get_word(&r, "loss", losses, COUNT(losses), loss));
    INFL_TRY(get_real(&r, "temperature", temperature));
    INFL_TRY(get_hash(&r, "model", identity->model));
    return get_hash(&r, "data", identity->data);
}

static infl_status get_curvature(const reader *manifest, infl_scores *scores) {
    infl_scores_info *info = &scores->info;
    reader r;
    INFL_TRY(get_object(manifest, "curvature", "curvature.", &r));
    const char *text = json_string_value(json_object_get(r.object, "kind"));
    if (text != NULL && strcmp(text, "matrix") == 0)
        info->curvature_kind = -1;
    else if (text != NULL && strcmp(text, "product") == 0)
        info->curvature_kind = -2;
    else
        INFL_TRY(get_word(&r, "kind", kinds, COUNT(kinds), &info->curvature_kind));
    INFL_TRY(get_amount(&r, "damping", &info->damping));
    INFL_TRY(get_flag(&r, "damping_automatic", &info->damping_automatic));
    INFL_TRY(get_hash(&r, "model", scores->curvature.model));
    return get_hash(&r, "data", scores->curvature.data);
}

static infl_status get_inverse(const reader *manifest, infl_scores_info *info) {
    reader r;
    int method, policy;
    INFL_TRY(get_object(manifest, "inverse", "inverse.", &r));
    INFL_TRY(get_word(&r, "method", methods, COUNT(methods), &method));
    INFL_TRY(get_word(&r, "eigen_policy", policies, COUNT(policies), &policy));
    info->method = (infl_inverse_method)method;
    info->eigen_policy = (infl_eigen_policy)policy;
    return get_fields(&r, info, option_fields, COUNT(option_fields));
}

static infl_status get_solves(const reader *manifest, infl_scores *scores) {
    const json_t *solves;
    INFL_TRY(get_array(manifest, "solves", &solves));
    if (json_array_size(solves) != scores->n_reports)
        return bad(manifest, "solves", "as many as there are rows to solve for");
    INFL_ALLOCATE(scores->reports, scores->n_reports);
    for (size_t i = 0; i < scores->n_reports; i++) {
        reader r = {manifest->path, "solves[].", json_array_get(solves, i)};
        INFL_TRY(get_fields(&r, &scores->reports[i], report_fields, COUNT(report_fields)));
    }
    return INFL_OK;
}

static infl_status get_row_norms(const reader *manifest, infl_scores *scores) {
    const json_t *norms;
    INFL_TRY(get_array(manifest, "row_norms", &norms));
    if (json_array_size(norms) != scores->info.n_train)
        return bad(manifest, "row_norms", "as many as train_rows");
    INFL_ALLOCATE(scores->row_norms, scores->info.n_train);
    for (size_t i = 0; i < scores->info.n_train; i++) {
        if (!json_is_number(json_array_get(norms, i)))
            return bad(manifest, "row_norms", "numbers");
        scores->row_norms[i] = json_number_value(json_array_get(norms, i));
    }
    return INFL_OK;
}

static infl_status get_quantity(const reader *manifest, infl_quantity *out) {
    const char *names[INFL_N_QUANTITIES];
    int quantity;
    for (int i = 0; i < INFL_N_QUANTITIES; i++)
        names[i] = infl_quantities[i].name;
    INFL_TRY(get_word(manifest, "quantity", names, INFL_N_QUANTITIES, &quantity));
    *out = (infl_quantity)quantity;
    return INFL_OK;
}

static infl_status get_all(const reader *manifest, infl_scores *scores) {
    infl_scores_info *info = &scores->info;
    int precision, stored;
    INFL_TRY(get_quantity(manifest, &info->quantity));
    INFL_TRY(get_fields(manifest, info, info_fields, COUNT(info_fields)));
    INFL_TRY(get_ranges(manifest, scores));
    INFL_TRY(get_rows(manifest, "train_rows", info->n, &scores->train_rows, &info->n_train));
    int has_tests = infl_quantities[info->quantity].has_tests;
    if (has_tests)
        INFL_TRY(get_rows(manifest, "test_rows", SIZE_MAX, &scores->test_rows, &info->n_test));
    scores->n_reports = has_tests ? info->n_test : info->n_train;
    INFL_TRY(get_text(manifest, "library_version", (const char **)&scores->library_version));
    if (scores->library_version == NULL)
        return bad(manifest, "library_version", "a string");
    info->library_version = scores->library_version;
    INFL_TRY(get_text(manifest, "label", &info->label));
    INFL_TRY(get_text(manifest, "note", &info->note));
    INFL_TRY(get_text(manifest, "date", &info->date));
    INFL_TRY(get_flag(manifest, "decay_in_gradient", &info->decay_in_gradient));
    if (info->quantity == INFL_QUANTITY_REMOVAL_LOSSES && info->decay_in_gradient && info->n < 2)
        return bad(manifest, "n", "at least 2 rows, of which one can be removed");
    INFL_TRY(get_word(manifest, "precision", precisions, COUNT(precisions), &precision));
    INFL_TRY(get_word(manifest, "stored", precisions, COUNT(precisions), &stored));
    info->precision = (infl_precision)precision;
    info->stored = (infl_precision)stored;
    INFL_TRY(get_objective(manifest, "train", "train.", &info->train_loss, &info->train_temperature, &scores->train));
    info->test_loss = -1;
    info->test_temperature = NAN;
    if (has_tests)
        INFL_TRY(get_objective(manifest, "test", "test.", &info->test_loss, &info->test_temperature, &scores->test));
    INFL_TRY(get_curvature(manifest, scores));
    INFL_TRY(get_inverse(manifest, info));
    INFL_TRY(get_solves(manifest, scores));
    if (has_tests)
        INFL_TRY(get_row_norms(manifest, scores));
    infl_scores_complete(scores);
    return INFL_OK;
}

/* The manifest without its hash, which was checked; to be released also on failure. */
static infl_status read_manifest(json_t **out, const char *path) {
    FILE *stream = NULL;
    size_t size = 0;
    char *text = NULL, expected[INFL_SCORES_HASH];
    json_error_t error;
    infl_status status = infl_file_open(&stream, &size, path);
    if (status != INFL_OK)
        goto out;
    INFL_ALLOCATE_OR_OUT(text, size);
    if ((status = infl_file_read(stream, path, text, size)) != INFL_OK)
        goto out;
    errno = 0; /* without memory Jansson may complain of a text that it cut, or take it */
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (errno == ENOMEM)
        status = no_memory();
    else if (*out == NULL)
        status = infl_fail(INFL_E_FORMAT, "byte %d: the file is not JSON: %s (%s)", error.position, error.text, path);
out:
    if (stream != NULL)
        fclose(stream);
    infl_release(text);
    INFL_TRY(status);
    reader r = {path, "", *out};
    const char *format = json_string_value(json_object_get(*out, "format"));
    if (format == NULL || strcmp(format, FORMAT) != 0)
        return bad(&r, "format", "\"" FORMAT "\"");
    if (json_integer_value(json_object_get(*out, "format_version")) != FORMAT_VERSION)
        return bad(&r, "format_version", "1, which this version of the library reads");
    json_t *stated = json_incref(json_object_get(*out, "hash"));
    json_object_del(*out, "hash");
    status = infl_scores_hash_manifest(*out, expected);
    if (status == INFL_OK && (!json_is_string(stated) || strcmp(json_string_value(stated), expected) != 0))
        status = bad(&r, "hash", "another for this content, so the file is damaged");
    json_decref(stated);
    return status;
}

/* The numbers, with the hash of the whole file. */
static infl_status read_array(infl_scores *scores, const char *path, infl_hash *hash) {
    const infl_scores_info *info = &scores->info;
    infl_npy *file;
    char shape[INFL_NPY_SHAPE_TEXT];
    infl_status status = infl_npy_open(&file, path, hash);
    if (status != INFL_OK) /* another kind of array is none of scores */
        return status == INFL_E_UNSUPPORTED ? INFL_E_FORMAT : status;
    const infl_npy_array *array = infl_npy_describe(file);
    size_t n_dims = info->n_test == 0 ? 1 : 2;
    int fits = array->n_dims == n_dims && array->dims[n_dims - 1] == info->n_train && !array->columns_first &&
               array->kind == INFL_NPY_FLOAT && (n_dims == 1 || array->dims[0] == info->n_test);
    if (!fits) {
        status = infl_fail(INFL_E_FORMAT,
                           "the array has shape %s and type %s; its description is of %zu test and %zu "
                           "training rows (%s)",
                           infl_npy_shape_text(array, shape), array->descr, info->n_test, info->n_train, path);
        goto out;
    }
    INFL_ALLOCATE_OR_OUT(scores->values, array->length);
    status = infl_npy_read(file, array->length, scores->values);
    for (size_t i = 0; i < array->length && status == INFL_OK; i++)
        if (!isfinite(scores->values[i]))
            status = infl_fail(INFL_E_FORMAT, "number %zu is not finite (%s)", i, path);
out:
    infl_npy_close(file);
    return status;
}

static infl_status read_pair(infl_scores *scores, const char *json, const char *npy) {
    json_t *manifest = NULL;
    infl_hash *hash;
    uint64_t stated[2], found[2];
    infl_status status = read_manifest(&manifest, json);
    reader r = {json, "", manifest};
    if (status == INFL_OK)
        status = get_hash(&r, "array_hash", stated);
    if (status == INFL_OK)
        status = get_all(&r, scores);
    json_decref(manifest);
    INFL_TRY(status);
    INFL_TRY(infl_hash_begin(&hash));
    status = read_array(scores, npy, hash);
    infl_hash_end(hash, found);
    if (status == INFL_OK && memcmp(stated, found, sizeof found) != 0)
        status = infl_fail(INFL_E_FORMAT, "the array is not the one that %s describes, or is damaged (%s)", json, npy);
    return status;
}

infl_status infl_scores_load(infl_scores **out, const char *path) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(path);
    infl_scores *scores = NULL;
    char *npy = NULL, *json = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(scores, 1);
    if ((status = path_of(&npy, path, ".npy")) != INFL_OK || (status = path_of(&json, path, ".json")) != INFL_OK ||
        (status = read_pair(scores, json, npy)) != INFL_OK)
        goto out;
    *out = scores;
    scores = NULL;
out:
    infl_scores_destroy(scores);
    infl_release(npy);
    infl_release(json);
    return infl_in_name_of(__func__, status);
}

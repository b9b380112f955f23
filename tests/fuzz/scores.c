/*
 * infl_scores_load. The input is the manifest, behind it a byte 0 and the file of the array: a pair as it is. Or a byte 1:
 * hashes are put right. Or nothing: then an array that fits is made as well.
 */
/* for its words, its array, and the hashes that must be right before the rest is looked at */
#include "scores_file.c" /* NOLINT(bugprone-suspicious-include) */

#include "fuzz.h"

enum { LARGEST = 4096 }; /* numbers of an array that is made */

/* ---- hashes */

static json_t *parse(fuzz_input manifest) { return json_loadb((const char *)manifest.bytes, manifest.n, 0, NULL); }

static void hash_array(fuzz_input array, char text[INFL_SCORES_HASH]) {
    infl_hash *hash;
    uint64_t digest[2];
    FUZZ_OK(infl_hash_begin(&hash));
    infl_hash_raw(hash, array.bytes, array.n);
    infl_hash_end(hash, digest);
    hash_text(digest, text);
}

static void put_hashes(json_t *manifest, fuzz_input array) {
    char hash[INFL_SCORES_HASH];
    hash_array(array, hash);
    json_object_set_new(manifest, "array_hash", json_string(hash));
    json_object_del(manifest, "hash");
    FUZZ_OK(infl_scores_hash_manifest(manifest, hash));
    json_object_set_new(manifest, "hash", json_string(hash));
}

/* A manifest's text with the right hashes, to be freed; NULL: it is no object. */
static char *mend(fuzz_input manifest, fuzz_input array) {
    json_t *object = parse(manifest);
    char *text = NULL;
    if (json_is_object(object)) {
        put_hashes(object, array);
        text = json_dumps(object, JSON_COMPACT);
        FUZZ_CHECK(text != NULL);
    }
    json_decref(object);
    return text;
}

static void check_hashes(fuzz_input manifest, fuzz_input array) {
    json_t *is = parse(manifest), *right = parse(manifest);
    FUZZ_CHECK(json_is_object(right));
    put_hashes(right, array);
    FUZZ_CHECK(json_equal(is, right));
    json_decref(is);
    json_decref(right);
}

/* ---- what was read */

static void check_rows(const size_t *rows, size_t n, size_t limit) {
    FUZZ_CHECK(rows != NULL && n > 0);
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(rows[i] < limit);
}

static void check_ranking(const infl_scores *scores, const infl_scores_info *info) {
    size_t *rows = malloc(info->n_train * sizeof *rows), last = info->n_test == 0 ? 0 : info->n_test - 1;
    FUZZ_CHECK(rows != NULL);
    infl_status status = infl_scores_top(scores, last, INFL_HELPFUL, info->n_train, rows);
    FUZZ_CHECK(status == (info->quantity == INFL_QUANTITY_NORMS ? INFL_E_UNSUPPORTED : INFL_OK));
    if (status == INFL_OK)
        check_rows(rows, info->n_train, info->n);
    free(rows);
}

static void check_description(const infl_scores *scores) {
    infl_scores_info info;
    infl_solve_report report;
    FUZZ_OK(infl_scores_describe(scores, &info));
    FUZZ_CHECK((int)info.quantity >= 0 && (int)info.quantity < INFL_N_QUANTITIES);
    FUZZ_CHECK((info.n_test > 0) == infl_quantities[info.quantity].has_tests);
    FUZZ_CHECK(isfinite(info.scale) && info.scale != 0 && info.formula != NULL && info.library_version != NULL);
    FUZZ_CHECK(isfinite(info.decay) && info.decay >= 0 && isfinite(info.damping));
    check_rows(infl_scores_train_rows(scores), info.n_train, info.n);
    if (info.n_test > 0)
        check_rows(infl_scores_test_rows(scores), info.n_test, SIZE_MAX);
    size_t n_lines = info.n_test == 0 ? 1 : info.n_test;
    double *bounds = malloc(n_lines * info.n_train * sizeof *bounds);
    FUZZ_CHECK(bounds != NULL);
    for (size_t i = 0; i < n_lines * info.n_train; i++)
        FUZZ_CHECK(isfinite(infl_scores_values(scores)[i]));
    FUZZ_OK(infl_scores_bounds(scores, bounds));
    free(bounds);
    size_t solves = info.n_test == 0 ? info.n_train : info.n_test;
    for (size_t i = 0; i <= solves; i++)
        FUZZ_CHECK(infl_scores_report(scores, i, &report) == (i < solves ? INFL_OK : INFL_E_ARGUMENT));
    check_ranking(scores, &info);
    (void)fuzz_succeeded(infl_scores_check(scores, fuzz_objective(), NULL), FUZZ_MAY(INFL_E_ARGUMENT),
                         "infl_scores_check", fuzz_untouched);
}

/* They are those of the array. */
static void check_values(const infl_scores *scores) {
    infl_scores_info info;
    infl_npy *file;
    FUZZ_OK(infl_scores_describe(scores, &info));
    FUZZ_OK(infl_npy_open(&file, fuzz_path(FUZZ_NPY), NULL));
    const infl_npy_array *array = infl_npy_describe(file);
    FUZZ_CHECK(array->length == (info.n_test == 0 ? 1 : info.n_test) * info.n_train);
    FUZZ_CHECK(array->n_dims == 1 + (info.n_test > 0) && array->dims[array->n_dims - 1] == info.n_train);
    for (size_t k = 0; k < array->length; k++) {
        double number = 0;
        FUZZ_OK(infl_npy_read(file, 1, &number));
        FUZZ_CHECK(memcmp(&number, &infl_scores_values(scores)[infl_npy_place(array, k)], sizeof number) == 0);
    }
    infl_npy_close(file);
}

/* ---- written again */

/* What follows from the rest: no reader looks at it. */
static int is_derived(const char *key, const json_t *value) {
    static const char *const keys[] = {"formula", "sign", "axes",  "bounds",     "null",
                                       "scale",   "row",  "bound", "array_hash", "hash"};
    for (size_t i = 0; i < COUNT(keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return 1;
    return json_is_null(value) && strcmp(key, "test") == 0;
}

/* Whether what was written says what was read, a number perhaps in another way. */
/* NOLINTNEXTLINE(misc-no-recursion): what is written is flat */
static int same_value(json_t *is, json_t *was) {
    uint64_t whole[2];
    const char *key;
    json_t *member;
    size_t i;
    if (read_whole(is, &whole[0]) && read_whole(was, &whole[1]))
        return whole[0] == whole[1];
    if (json_is_number(is) && json_is_number(was))
        return json_number_value(is) == json_number_value(was);
    json_object_foreach(is, key, member) {
        if (!is_derived(key, member) && !same_value(member, json_object_get(was, key)))
            return 0;
    }
    json_array_foreach(is, i, member) {
        if (!same_value(member, json_array_get(was, i)))
            return 0;
    }
    if (json_is_object(is))
        return json_is_object(was);
    return json_is_array(is) ? json_array_size(is) == json_array_size(was) : json_equal(is, was);
}

/* What stands at a slot, its bytes to be freed. */
static fuzz_input read_file(int slot, size_t room) {
    unsigned char *bytes = malloc(room);
    FUZZ_CHECK(bytes != NULL);
    fuzz_input file = {bytes, fuzz_read(slot, bytes, room)};
    FUZZ_CHECK(file.n < room);
    return file;
}

static void check_same_files(int kind, size_t room) {
    fuzz_input files[] = {read_file(kind + 1, room), read_file(kind + 2, room)};
    FUZZ_CHECK(files[0].n == files[1].n && memcmp(files[0].bytes, files[1].bytes, files[0].n) == 0);
    for (int i = 0; i < 2; i++)
        free((void *)files[i].bytes);
}

static void check_same_description(fuzz_input manifest, size_t room) {
    fuzz_input written = read_file(FUZZ_JSON + 1, room);
    json_t *is = parse(written), *was = parse(manifest);
    FUZZ_CHECK(is != NULL && same_value(is, was));
    json_decref(is);
    json_decref(was);
    free((void *)written.bytes);
}

/* It says the same, has the same numbers, and the second time it is the same pair of files. */
static void check_saved(const infl_scores *scores, fuzz_input manifest, fuzz_input array) {
    size_t room = 16 * (manifest.n + array.n) + (1 << 16);
    infl_scores_info info;
    infl_scores *again;
    FUZZ_OK(infl_scores_save(scores, fuzz_path(1), NULL));
    check_same_description(manifest, room);
    FUZZ_OK(infl_scores_load(&again, fuzz_path(1)));
    FUZZ_OK(infl_scores_describe(scores, &info));
    size_t length = (info.n_test == 0 ? 1 : info.n_test) * info.n_train;
    FUZZ_CHECK(memcmp(infl_scores_values(scores), infl_scores_values(again), length * sizeof(double)) == 0);
    FUZZ_OK(infl_scores_save(again, fuzz_path(2), NULL));
    infl_scores_destroy(again);
    check_same_files(FUZZ_NPY, room);
    check_same_files(FUZZ_JSON, room);
}

static void check_pair(fuzz_input manifest, fuzz_input array) {
    infl_scores *scores = fuzz_untouched;
    (void)fuzz_write(FUZZ_JSON, manifest.bytes, manifest.n);
    (void)fuzz_write(FUZZ_NPY, array.bytes, array.n);
    fuzz_limit_memory(256 * (manifest.n + array.n) + (1 << 18));
    infl_status status = infl_scores_load(&scores, fuzz_path(0));
    fuzz_check_memory();
    if (!fuzz_succeeded(status, FUZZ_MAY(INFL_E_FORMAT), "infl_scores_load", scores))
        return;
    check_hashes(manifest, array);
    check_description(scores);
    check_values(scores);
    check_saved(scores, manifest, array);
    infl_scores_destroy(scores);
}

/* ---- inputs */

/* One that fits the manifest, if that is of few enough numbers. */
static fuzz_input make_array(fuzz_input manifest) {
    static unsigned char bytes[8 * LARGEST + 256];
    static double numbers[LARGEST];
    json_t *object = parse(manifest);
    const reader r = {"", "", object};
    infl_scores scores = {.values = numbers};
    infl_scores_info *info = &scores.info;
    infl_new_file file;
    char hash[INFL_SCORES_HASH];
    const char *stored = json_string_value(json_object_get(object, "stored"));
    infl_precision precision = stored != NULL && strcmp(stored, "f32") == 0 ? INFL_F32 : INFL_F64;
    for (size_t i = 0; i < LARGEST; i++)
        numbers[i] = 0.25 * (double)i - 3;
    info->n_train = json_array_size(json_object_get(object, "train_rows"));
    if (get_quantity(&r, &info->quantity) == INFL_OK && infl_quantities[info->quantity].has_tests)
        info->n_test = json_array_size(json_object_get(object, "test_rows"));
    if (info->n_train == 0 || info->n_train > LARGEST / (info->n_test == 0 ? 1 : info->n_test))
        info->n_train = info->n_test = 1;
    json_decref(object);
    FUZZ_OK(infl_new_file_open(&file, fuzz_path(FUZZ_NPY)));
    FUZZ_OK(write_array(&file, &scores, precision, hash));
    FUZZ_OK(infl_new_files_place(&file, 1));
    infl_new_file_end(&file);
    return (fuzz_input){bytes, fuzz_read(FUZZ_NPY, bytes, sizeof bytes)};
}

static int is_control(unsigned char byte) { return byte < 2; } /* which no text of JSON has */

FUZZ_TARGET(scores) {
    size_t length = 0;
    while (length < n && !is_control(bytes[length]))
        length++;
    fuzz_input manifest = {bytes, length}, array;
    array = length == n ? make_array(manifest) : (fuzz_input){bytes + length + 1, n - length - 1};
    if (length < n && bytes[length] == 0) {
        check_pair(manifest, array);
        return;
    }
    char *text = mend(manifest, array);
    if (text != NULL)
        check_pair((fuzz_input){(const unsigned char *)text, strlen(text)}, array);
    free(text);
}

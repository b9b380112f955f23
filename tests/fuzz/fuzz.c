#include "fuzz.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "little_endian.h"

enum { PATHS = FUZZ_JSON + FUZZ_SLOTS, FOLDER = 256 };

static const char *input_name;
static char untouched;
void *const fuzz_untouched = &untouched;

void fuzz_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s\n", input_name == NULL ? "" : "; input ", input_name == NULL ? "" : input_name);
    abort();
}

/* The descriptor that would be opened next: another one when one has leaked. */
static int next_descriptor(void) {
    int descriptor = open("/dev/null", O_RDONLY);
    FUZZ_CHECK(descriptor >= 0);
    close(descriptor);
    return descriptor;
}

void fuzz_run(fuzz_target *target, const unsigned char *bytes, size_t n, const char *name) {
    input_name = name;
    int before = next_descriptor();
    target(bytes, n);
    FUZZ_CHECK(next_descriptor() == before);
}

#ifdef FUZZ_LIBFUZZER
int LLVMFuzzerInitialize(int *n, char ***arguments) {
    (void)n;
    (void)arguments;
    json_object_seed(1); /* else Jansson's hashes differ from run to run, and with them what an input reaches */
    return 0;
}
#endif

/* UTF-8 without control characters, whatever of a file it quotes. */
static int is_line_of_text(const char *sentence) {
    json_t *string = json_string(sentence);
    int is_text = string != NULL;
    json_decref(string);
    for (; *sentence != '\0'; sentence++)
        is_text = is_text && (unsigned char)*sentence >= ' ' && *sentence != 127;
    return is_text;
}

int fuzz_succeeded(infl_status status, unsigned may, const char *function, const void *out) {
    if (status == INFL_OK)
        return 1;
    size_t length = strlen(function);
    const char *sentence = infl_last_error();
    if ((FUZZ_MAY(status) & may) == 0)
        fuzz_fail(__FILE__, __LINE__, "%s gave %s, which is not documented: %s", function, infl_status_name(status),
                  sentence);
    FUZZ_CHECK(strncmp(sentence, function, length) == 0 && strlen(sentence) > length + 2);
    FUZZ_CHECK(length == 0 || strncmp(sentence + length, ": ", 2) == 0);
    FUZZ_CHECK(is_line_of_text(sentence) && strncmp(sentence + length, ": infl_", 7) != 0);
    FUZZ_CHECK(out == fuzz_untouched);
    return 0;
}

/* ---- memory */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_HOOKS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAVE_HOOKS 1
#endif

#ifdef HAVE_HOOKS
extern int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *, size_t),
                                                     void (*released)(const volatile void *));
extern size_t __sanitizer_get_allocated_size(const volatile void *memory);

static _Atomic size_t in_use, peak;
static size_t limit_in_use;

static void allocated(const volatile void *memory, size_t bytes) {
    (void)memory;
    size_t now = atomic_fetch_add(&in_use, bytes) + bytes;
    if (now > peak)
        peak = now;
}

static void released(const volatile void *memory) {
    if (memory != NULL)
        atomic_fetch_sub(&in_use, __sanitizer_get_allocated_size(memory));
}

void fuzz_limit_memory(size_t limit) {
    static int installed;
    if (!installed)
        installed = __sanitizer_install_malloc_and_free_hooks(allocated, released);
    in_use = SIZE_MAX / 2; /* what is released may be of before */
    peak = SIZE_MAX / 2;
    limit_in_use = limit + SIZE_MAX / 2;
}

void fuzz_check_memory(void) {
    if (peak > limit_in_use)
        fuzz_fail(__FILE__, __LINE__, "%zu bytes of memory beyond the limit of %zu", peak - limit_in_use,
                  limit_in_use - SIZE_MAX / 2);
}
#else
void fuzz_limit_memory(size_t limit) { (void)limit; }
void fuzz_check_memory(void) {}
#endif

/* ---- inputs */

fuzz_input fuzz_bytes(fuzz_input *input, size_t length) {
    fuzz_input taken = {input->bytes, length < input->n ? length : input->n};
    input->bytes += taken.n;
    input->n -= taken.n;
    return taken;
}

unsigned char fuzz_byte(fuzz_input *input) {
    fuzz_input taken = fuzz_bytes(input, 1);
    return taken.n == 0 ? 0 : taken.bytes[0];
}

size_t fuzz_number(fuzz_input *input) {
    size_t low = fuzz_byte(input);
    return low | (size_t)fuzz_byte(input) << 8;
}

/* ---- files */

static char folder[FOLDER], paths[PATHS][FOLDER + 8];

static void remove_folder(void) {
    for (int slot = 0; slot < PATHS; slot++)
        unlink(paths[slot]);
    rmdir(folder); /* FUZZ_FOLDER too: it is empty then, or stays */
}

/* FUZZ_FOLDER, or one of this program's own: in memory where there is a file system in it. */
static void make_folder(void) {
    static const char *const endings[] = {"", ".npy", ".json"};
    const char *parent = getenv("TMPDIR"), *given = getenv("FUZZ_FOLDER");
    if (parent == NULL || parent[0] == '\0')
        parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, given == NULL ? "%s/infl-fuzz-XXXXXX" : "%s", given == NULL ? parent : given);
    FUZZ_CHECK(given != NULL || mkdtemp(folder) != NULL);
    for (int slot = 0; slot < PATHS; slot++)
        snprintf(paths[slot], sizeof paths[slot], "%s/%d%s", folder, slot % FUZZ_SLOTS, endings[slot / FUZZ_SLOTS]);
    atexit(remove_folder);
}

const char *fuzz_path(int slot) {
    if (folder[0] == '\0')
        make_folder();
    return paths[slot];
}

const char *fuzz_write(int slot, const void *bytes, size_t n) {
    const char *path = fuzz_path(slot);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    FUZZ_CHECK(descriptor >= 0 && write(descriptor, bytes, n) == (ssize_t)n && close(descriptor) == 0);
    return path;
}

const char *fuzz_write_packed(int slot, const void *bytes, size_t n) {
    const char *path = fuzz_path(slot);
    gzFile file = gzopen(path, "wb1");
    FUZZ_CHECK(file != NULL && (n == 0 || gzwrite(file, bytes, (unsigned)n) == (int)n) && gzclose(file) == Z_OK);
    return path;
}

size_t fuzz_read(int slot, unsigned char *bytes, size_t room) {
    int descriptor = open(fuzz_path(slot), O_RDONLY);
    ssize_t n = descriptor < 0 ? -1 : read(descriptor, bytes, room);
    FUZZ_CHECK(n >= 0 && close(descriptor) == 0);
    return (size_t)n;
}

size_t fuzz_put_metadata(unsigned char *bytes, size_t n, size_t room, const char *const *keys,
                         const char *const *values, size_t n_strings) {
    uint64_t length = n < 8 ? UINT64_MAX : infl_get_number(bytes, 8);
    json_t *header = n < 8 || length > n - 8 ? NULL : json_loadb((char *)bytes + 8, (size_t)length, 0, NULL);
    json_t *metadata = json_object_get(header, "__metadata__");
    for (size_t i = 0; i < n_strings && json_is_object(metadata); i++)
        if (values[i] != NULL)
            json_object_set_new(metadata, keys[i], json_string(values[i]));
    char *text = header == NULL ? NULL : json_dumps(header, JSON_COMPACT);
    json_decref(header);
    size_t now = text == NULL ? 0 : strlen(text), data = text == NULL ? 0 : n - 8 - (size_t)length;
    if (text != NULL && 8 + now + data <= room) {
        memmove(bytes + 8 + now, bytes + n - data, data);
        memcpy(bytes + 8, text, now);
        infl_put_number(bytes, now, 8);
        n = 8 + now + data;
    }
    free(text);
    return n;
}

/* ---- data */

static double *row_of(const infl_dataset *dataset, size_t row, double **targets) {
    size_t d = infl_dataset_features(dataset);
    double *numbers = malloc((d + infl_dataset_targets(dataset)) * sizeof *numbers);
    FUZZ_CHECK(numbers != NULL);
    *targets = numbers + d;
    FUZZ_OK(infl_dataset_get(dataset, row, numbers, *targets));
    return numbers;
}

static size_t numbers_of_target(const infl_dataset *dataset) {
    return infl_dataset_target_kind(dataset) == INFL_TARGET_CLASS ? 1 : infl_dataset_targets(dataset);
}

void fuzz_check_dataset(const infl_dataset *dataset) {
    size_t n = infl_dataset_rows(dataset), d = infl_dataset_features(dataset), t = infl_dataset_targets(dataset);
    FUZZ_CHECK(n > 0 && d > 0 && t > 0);
    for (size_t i = 0; i < n; i++) {
        double *targets, *row = row_of(dataset, i, &targets);
        for (size_t j = 0; j < d + numbers_of_target(dataset); j++)
            FUZZ_CHECK(isfinite(row[j]));
        if (infl_dataset_target_kind(dataset) == INFL_TARGET_CLASS)
            FUZZ_CHECK(targets[0] >= 0 && targets[0] < (double)t && targets[0] == floor(targets[0]));
        free(row);
    }
    double last[1];
    FUZZ_CHECK(infl_dataset_get(dataset, n, NULL, last) == INFL_E_ARGUMENT);
}

static int same_text(const char *a, const char *b) { return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0); }

void fuzz_check_same(const infl_dataset *a, const infl_dataset *b) {
    size_t n = infl_dataset_rows(a), d = infl_dataset_features(a), t = infl_dataset_targets(a);
    FUZZ_CHECK(infl_dataset_rows(b) == n && infl_dataset_features(b) == d && infl_dataset_targets(b) == t);
    FUZZ_CHECK(infl_dataset_target_kind(a) == infl_dataset_target_kind(b));
    for (size_t i = 0; i < n; i++) {
        double *targets, *row = row_of(a, i, &targets), *other = row_of(b, i, &targets);
        FUZZ_CHECK(memcmp(row, other, (d + numbers_of_target(a)) * sizeof *row) == 0);
        free(row);
        free(other);
    }
    for (size_t c = 0; infl_dataset_target_kind(a) == INFL_TARGET_CLASS && c < t && c < 64; c++)
        FUZZ_CHECK(same_text(infl_dataset_class_name(a, c), infl_dataset_class_name(b, c)));
}

infl_objective *fuzz_objective(void) {
    static infl_objective *objective;
    static infl_dataset *dataset;
    static infl_model *model;
    static const double features[] = {1, 0.5, -0.25, 1, 0.5, -2, 0.125, 0.75}, targets[] = {1, -1, 0.5, 0};
    static const double theta[] = {0.5, -0.25, 0.125};
    static const size_t units = 1;
    if (objective != NULL)
        return objective;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = 4;
    spec.n_features = 2;
    spec.features = features;
    spec.targets = targets;
    spec.n_targets = 1;
    FUZZ_OK(infl_dataset_create(&dataset, &spec));
    FUZZ_OK(infl_model_create_mlp(&model, INFL_F64, 2, &units, 1, INFL_IDENTITY, INFL_INIT_GLOROT, 1));
    FUZZ_OK(infl_model_set_parameters(model, theta));
    infl_loss loss = INFL_LOSS_INIT(INFL_SQUARED_ERROR);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = 0.125;
    options.threads = 1;
    FUZZ_OK(infl_objective_create(&objective, model, &loss, dataset, &options));
    return objective;
}

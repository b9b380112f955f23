/*
 * What the fuzz targets share. tests/fuzz/<name>.c is the target of a reader: FUZZ_TARGET(name) gets an input's n
 * bytes, makes options and files of them, reads these with the library, and checks what it promises of any bytes. The
 * programs of `make fuzz` are a target each, with libFuzzer; the suite `fuzz` of the tests runs every target on the
 * inputs of tests/fuzz/corpus/<name>.
 */
#ifndef INFL_TESTS_FUZZ_H
#define INFL_TESTS_FUZZ_H

#include <influence.h>
#include <stddef.h>
#include <stdint.h>

typedef void fuzz_target(const unsigned char *bytes, size_t n);
typedef size_t fuzz_repair(unsigned char *bytes, size_t n, size_t room);

/* Runs a target and looks for descriptors left open; name: of the input's file, for the message of a failure, or NULL. */
void fuzz_run(fuzz_target *target, const unsigned char *bytes, size_t n, const char *name);

#ifdef FUZZ_LIBFUZZER
int LLVMFuzzerInitialize(int *n, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n, size_t room); /* libFuzzer's */
#define FUZZ_TARGET(name)                                                                                              \
    fuzz_target fuzz_##name;                                                                                           \
    int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {                                                       \
        fuzz_run(fuzz_##name, bytes, n, NULL);                                                                         \
        return 0;                                                                                                      \
    }                                                                                                                  \
    void fuzz_##name(const unsigned char *bytes, size_t n)
/* Two in three inputs get checksums that are right, so that what stands behind them is looked at as well. */
#define FUZZ_REPAIR(name)                                                                                              \
    fuzz_repair fuzz_##name##_repair;                                                                                  \
    size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t room, unsigned seed) {                             \
        n = LLVMFuzzerMutate(bytes, n, room);                                                                          \
        return seed % 3 == 0 ? n : fuzz_##name##_repair(bytes, n, room);                                               \
    }                                                                                                                  \
    size_t fuzz_##name##_repair(unsigned char *bytes, size_t n, size_t room)
#else
#define FUZZ_TARGET(name)                                                                                              \
    fuzz_target fuzz_##name;                                                                                           \
    void fuzz_##name(const unsigned char *bytes, size_t n)
/* Puts checksums right in place and gives the new length, at most room; the bytes stay where nothing can be repaired. */
#define FUZZ_REPAIR(name)                                                                                              \
    fuzz_repair fuzz_##name##_repair;                                                                                  \
    size_t fuzz_##name##_repair(unsigned char *bytes, size_t n, size_t room)
#endif

/* A promise; where it is broken the program says so and aborts, which is what libFuzzer looks for. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4), noreturn, cold))
#endif
void
fuzz_fail(const char *file, int line, const char *format, ...);
#define FUZZ_CHECK(condition)                                                                                          \
    ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, "not so: %s; last error: %s", #condition, infl_last_error()))
#define FUZZ_OK(call)                                                                                                  \
    ((call) == INFL_OK ? (void)0 : fuzz_fail(__FILE__, __LINE__, "%s failed: %s", #call, infl_last_error()))

#define FUZZ_MAY(status) (1u << (status))
/*
 * Whether the call succeeded. A failure has to be one of those that may be (FUZZ_MAY(...) | ...), to have left a
 * sentence that begins with the function's name ("" of an internal one) and no other, and is a line of text, and to have left alone the
 * pointer at out.
 */
int fuzz_succeeded(infl_status status, unsigned may, const char *function, const void *out);
extern void *const fuzz_untouched; /* what out points to before the call */

/* From here on: at most so many bytes of memory may be in use at once; looked at with the address sanitizer alone. */
void fuzz_limit_memory(size_t limit);
void fuzz_check_memory(void);

/* ---- inputs */

typedef struct fuzz_input {
    const unsigned char *bytes;
    size_t n;
} fuzz_input;

unsigned char fuzz_byte(fuzz_input *input);              /* the next one, which is used up; 0 at the end */
size_t fuzz_number(fuzz_input *input);                   /* of two bytes, little-endian */
fuzz_input fuzz_bytes(fuzz_input *input, size_t length); /* the next ones, fewer at the end */

/* ---- files: slots 0, 1, ... of a folder of this program's own; slot + FUZZ_NPY is the path of a slot with .npy behind it */

enum { FUZZ_SLOTS = 4, FUZZ_NPY = FUZZ_SLOTS, FUZZ_JSON = 2 * FUZZ_SLOTS };

const char *fuzz_path(int slot);
const char *fuzz_write(int slot, const void *bytes, size_t n);        /* the path */
const char *fuzz_write_packed(int slot, const void *bytes, size_t n); /* by gzip */
size_t fuzz_read(int slot, unsigned char *bytes, size_t room);        /* the file's length, at most room */

/*
 * Puts strings into the __metadata__ of a safetensors file in place, where the values are not NULL; the new length, at
 * most room, or n where the file has no such header.
 */
size_t fuzz_put_metadata(unsigned char *bytes, size_t n, size_t room, const char *const *keys,
                         const char *const *values, size_t n_strings);

/* ---- data */

/* Shapes that are possible, numbers that are finite, labels that are classes. */
void fuzz_check_dataset(const infl_dataset *dataset);
void fuzz_check_same(const infl_dataset *a, const infl_dataset *b);

/* A linear unit of three parameters on four rows with decay, always the same; kept to the end. */
infl_objective *fuzz_objective(void);

#endif

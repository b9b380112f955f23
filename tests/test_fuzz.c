/*
 * The fuzz targets (tests/fuzz) on the inputs that are kept: seeds, and what once broke something. Each tests/fuzz/
 * <name>.c has its inputs in tests/fuzz/corpus/<name>; FUZZ_CORPUS names another folder than tests/fuzz/corpus.
 */
#include <dirent.h>

#include "files.h"
#include "fuzz/fuzz.h"
#include "suites.h"

#define FUZZ(name) extern fuzz_target fuzz_##name;
#include "fuzz.inc"
#undef FUZZ

static const struct {
    const char *name;
    fuzz_target *target;
} targets[] = {
#define FUZZ(name) {#name, fuzz_##name},
#include "fuzz.inc"
#undef FUZZ
};

static void run_file(fuzz_target *target, const char *path) {
    FILE *stream = fopen(path, "rb");
    ck_assert_msg(stream != NULL, "%s cannot be opened", path);
    ck_assert_int_eq(fseek(stream, 0, SEEK_END), 0);
    size_t n = (size_t)ftell(stream);
    rewind(stream);
    unsigned char *bytes = malloc(n + !n); /* as long as the input, so that a sanitizer sees what reads on */
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, n, stream), n);
    ck_assert_int_eq(fclose(stream), 0);
    fuzz_run(target, bytes, n, path);
    free(bytes);
}

START_TEST(test_corpus) {
    const char *corpus = getenv("FUZZ_CORPUS");
    char folder[512], path[1024];
    snprintf(folder, sizeof folder, "%s/%s", corpus == NULL ? "tests/fuzz/corpus" : corpus, targets[_i].name);
    DIR *entries = opendir(folder);
    ck_assert_msg(entries != NULL, "%s cannot be opened; the tests run in the folder of the Makefile", folder);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        run_file(targets[_i].target, path);
        n++;
    }
    ck_assert_int_eq(closedir(entries), 0);
    ck_assert_int_gt(n, 0);
}
END_TEST

Suite *fuzz_suite(void) {
    Suite *suite = suite_create("fuzz");
    add_case(suite, "fuzz/corpus", test_corpus, sizeof targets / sizeof targets[0]);
    return suite;
}

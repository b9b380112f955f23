/* Small files for the tests of readers, plain and gzip. */
#ifndef INFL_TESTS_FILES_H
#define INFL_TESTS_FILES_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

typedef struct temporary_file {
    char path[512];
} temporary_file;

/* A new file with these n bytes, packed where asked for. */
static inline temporary_file write_file(const void *bytes, size_t n, int packed) {
    temporary_file file;
    const char *folder = getenv("TMPDIR");
    snprintf(file.path, sizeof file.path, "%s/infl-test-XXXXXX", folder != NULL && folder[0] != '\0' ? folder : "/tmp");
    int descriptor = mkstemp(file.path);
    ck_assert_int_ge(descriptor, 0);
    gzFile stream = gzdopen(descriptor, packed ? "wb" : "wbT");
    ck_assert_ptr_nonnull(stream);
    ck_assert_uint_eq(n == 0 ? 0 : (size_t)gzwrite(stream, bytes, (unsigned)n), n);
    ck_assert_int_eq(gzclose(stream), Z_OK);
    return file;
}

/* The file's own bytes, at most `room` of them; how many there are. */
static inline size_t read_back(const temporary_file *file, unsigned char *bytes, size_t room) {
    FILE *stream = fopen(file->path, "rb");
    ck_assert_ptr_nonnull(stream);
    size_t n = fread(bytes, 1, room, stream);
    ck_assert_int_eq(fclose(stream), 0);
    return n;
}

/* folder/name in the folder of data sets; 0 where nobody says which that is, and there is nothing to test. */
static inline int data_path(char *path, size_t size, const char *name) {
    const char *folder = getenv("INFLUENCE_DATA");
    if (folder == NULL || folder[0] == '\0')
        return 0;
    snprintf(path, size, "%s/%s", folder, name);
    return access(path, R_OK) == 0;
}

#endif

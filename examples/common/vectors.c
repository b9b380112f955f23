#include "vectors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

int vector_write(const char *folder, const char *name, const double *values, size_t n) {
    output out;
    if (output_open(&out, folder, name) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        fprintf(out.file, "%a\n", values[i]);
    }
    return output_close(&out);
}

int vector_read(const char *folder, const char *name, double *values, size_t n) {
    char line[64], *end;
    size_t lines = 0;
    char *path = output_path(folder, name);
    FILE *file = path == NULL ? NULL : fopen(path, "r");
    if (file == NULL) {
        int absent = path != NULL && errno == ENOENT;
        if (!absent)
            fprintf(stderr, "cannot read %s/%s: %s\n", folder, name, strerror(errno));
        free(path);
        return absent ? 1 : -1;
    }
    for (; fgets(line, sizeof line, file) != NULL; lines++) {
        double value = strtod(line, &end);
        if (lines == n || end == line || *end != '\n')
            break;
        values[lines] = value;
    }
    int complete = lines == n && feof(file);
    if (!complete)
        fprintf(stderr, "cannot use %s: expected %zu numbers, found something else at line %zu\n", path, n, lines + 1);
    fclose(file);
    free(path);
    return complete ? 0 : -1;
}

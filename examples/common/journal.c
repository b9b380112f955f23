#include "journal.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

static const char *const file_name = "journal.csv";

struct journal {
    FILE *file;
};

/* Splits at commas, in place. The number of fields; 0 where memory is short. *fields is to be freed. */
static size_t split(char *line, char ***fields) {
    size_t n = 1;
    for (const char *c = line; *c != '\0'; c++) {
        n += *c == ',';
    }
    *fields = malloc(n * sizeof **fields);
    if (*fields == NULL)
        return 0;
    for (size_t i = 0; i < n; i++) {
        (*fields)[i] = line;
        line += strcspn(line, ",");
        *line++ = '\0';
    }
    return n;
}

/* Copies the lines that the reader takes. 0, or -1 with errno. */
static int copy_lines(FILE *from, FILE *to, journal_reader read, void *context) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    int failed = 0;
    errno = 0;
    while (!failed && (length = getline(&line, &capacity, from)) > 0) {
        char **fields = NULL;
        if (line[length - 1] != '\n')
            continue;
        line[length - 1] = '\0';
        char *copy = strdup(line);
        size_t n = copy != NULL ? split(copy, &fields) : 0;
        failed = n == 0;
        if (n > 1 && strcmp(fields[n - 1], "end") == 0 && read(context, fields, n - 1) == 0)
            fprintf(to, "%s\n", line);
        free(fields);
        free(copy);
    }
    failed |= !feof(from);
    free(line);
    return failed ? -1 : 0;
}

journal *journal_open(const char *folder, int resume, journal_reader read, void *context) {
    output fresh;
    char *path = output_path(folder, file_name);
    journal *record = malloc(sizeof *record);
    if (path == NULL || record == NULL) {
        warnx("no memory for the journal");
        goto fail;
    }
    FILE *old = resume ? fopen(path, "r") : NULL;
    if (resume && old == NULL && errno != ENOENT) {
        warn("cannot read %s", path);
        goto fail;
    }
    int opened = output_open(&fresh, folder, file_name), copied = 0;
    if (old != NULL) {
        if (opened == 0 && (copied = copy_lines(old, fresh.file, read, context)) != 0) {
            warn("cannot read %s", path);
            output_drop(&fresh);
        }
        fclose(old);
    }
    if (opened != 0 || copied != 0 || output_close(&fresh) != 0)
        goto fail;
    record->file = fopen(path, "a");
    if (record->file == NULL) {
        warn("cannot write %s", path);
        goto fail;
    }
    free(path);
    return record;

fail:
    free(path);
    free(record);
    return NULL;
}

int journal_append(journal *record, const char *line) {
    int failed;
#ifdef _OPENMP
#pragma omp critical(journal)
#endif
    {
        failed = fprintf(record->file, "%s,end\n", line) < 0;
        failed |= fflush(record->file) != 0;
        fsync(fileno(record->file)); /* where the file system cannot, the line is as safe as it gets */
        if (failed)
            warn("cannot write %s", file_name);
    }
    return failed ? -1 : 0;
}

void journal_close(journal *record) {
    if (record == NULL)
        return;
    fclose(record->file);
    free(record);
}

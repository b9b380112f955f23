/* Files: opened to be read with suspicion, or written beside their place and then moved there. */
#ifndef INFL_FILE_H
#define INFL_FILE_H

#include <stdio.h>

#include "error.h"

/* INFL_E_IO: "<what>: <what errno means> (<path>)". */
infl_status infl_file_fail(const char *path, const char *what, int error);

/* Opens a regular file, and says how many bytes it has. INFL_E_IO. *stream is to be closed also on failure. */
infl_status infl_file_open(FILE **stream, size_t *size, const char *path);

/* The next n bytes. INFL_E_IO; INFL_E_FORMAT: there are fewer. */
infl_status infl_file_read(FILE *stream, const char *path, void *bytes, size_t n);

/* A file on its way: beside its place until it is whole. What is no file, such as a pipe, is written to straight away. */
typedef struct infl_new_file {
    const char *path; /* borrowed */
    char *name;       /* of what stands beside; NULL: written straight away, or moved already */
    int descriptor;   /* −1: closed */
} infl_new_file;

infl_status infl_new_file_open(infl_new_file *file, const char *path);
infl_status infl_new_file_write(infl_new_file *file, const void *bytes, size_t n);
/* All that was written is on disk. */
infl_status infl_new_file_close(infl_new_file *file);
/* Moves closed files to their places. Afterwards all are there, or what was there before. Killed in between, there is
 * never a later one of them without the ones before it that it was written with. */
infl_status infl_new_files_place(infl_new_file *files, size_t n);
/* Always the last; removes what was not moved. One that was never opened, all zeros, is fine. */
void infl_new_file_end(infl_new_file *file);

#endif

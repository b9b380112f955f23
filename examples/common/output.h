/* Files that are there complete or not at all: written under another name, then renamed. */
#ifndef EXAMPLES_OUTPUT_H
#define EXAMPLES_OUTPUT_H

#include <stdio.h>

typedef struct output {
    FILE *file; /* to write to; NULL when output_open failed */
    char *path, *temporary;
} output;

/* Makes the folder and those above it. 0, or -1 after a sentence on stderr. */
int output_make_folder(const char *folder);

/* folder/name, to be freed; NULL when memory is short. */
char *output_path(const char *folder, const char *name);

/* Opens folder/name.part for writing. 0, or -1 after a sentence on stderr. */
int output_open(output *out, const char *folder, const char *name);

/* Removes what was written. */
void output_drop(output *out);

/* Renames to folder/name when everything was written. 0, or -1 after a sentence on stderr and nothing left behind. */
int output_close(output *out);

/* Removes folder/name if it is there. 0, or -1 after a sentence on stderr. */
int output_remove(const char *folder, const char *name);

/* Removes all files at or below folder/name, and the folders there. 0, also where there are none; or -1 after a sentence. */
int output_remove_all(const char *folder, const char *name);

/* A number of a CSV file: %.10g, and nothing for NaN. */
void output_number(FILE *file, double value);

#endif

/*
 * What a long run has finished, one line a part, so that an interrupted run continues: folder/journal.csv. A line that
 * lacks its last field, "end", was cut off and is left out on reading.
 */
#ifndef EXAMPLES_JOURNAL_H
#define EXAMPLES_JOURNAL_H

#include <stddef.h>

typedef struct journal journal;

/* Takes the fields of a line, without "end". Non-zero: not wanted, the line is left out of the journal. */
typedef int (*journal_reader)(void *context, char **fields, size_t n_fields);

/*
 * Opens folder/journal.csv; with resume the lines there go to the reader first and those it takes are kept, else it
 * starts empty. NULL after a sentence on stderr.
 */
journal *journal_open(const char *folder, int resume, journal_reader read, void *context);

/* Appends a line (without "end") and sees it to the disk. 0, or -1 after a sentence on stderr. From any thread. */
int journal_append(journal *record, const char *line);

void journal_close(journal *record);

#endif

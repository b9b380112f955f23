/*
 * A file to which records are appended and that survives being killed: a record is on disk whole when it counts, and
 * what a kill or a loss of power leaves of one is found and cut off when the file is opened again.
 *
 * Layout, all numbers of 64 bits, little-endian. The head: magic "infl-jnl", version of the layout, configuration (2
 * numbers), checksum of what stands before it. A record: length of its payload, checksum of the payload, checksum of
 * (configuration, byte of the file where the record begins, those two); then the payload. Checksums are XXH3.
 */
#ifndef INFL_JOURNAL_H
#define INFL_JOURNAL_H

#include "error.h"

typedef struct infl_journal infl_journal;

/*
 * Opens the journal of a configuration (a hash of everything that its records depend on), or creates it, and locks it
 * until it is closed. INFL_E_ARGUMENT: it is of another configuration; INFL_E_FORMAT: it is no journal, or its head is
 * damaged; INFL_E_IO: it cannot be opened or written, or is open already. The file is untouched then. A head that was
 * cut short is written anew. function begins the sentences; function and path are borrowed.
 */
infl_status infl_journal_open(infl_journal **out, const char *function, const char *path,
                              const uint64_t configuration[2]);
void infl_journal_close(infl_journal *journal); /* NULL is fine */

/*
 * The next record of those that were there; *payload, valid until the next call, is NULL after the last. A torn last
 * record is then cut off. INFL_E_FORMAT, with the byte: a record before the last is damaged; the file is untouched.
 */
infl_status infl_journal_read(infl_journal *journal, const unsigned char **payload, size_t *length);

/* INFL_E_FORMAT: the record just read is not what its writer would have written, "a record of ...". */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3), cold))
#endif
infl_status
infl_journal_refuse(const infl_journal *journal, const char *format, ...);

/*
 * Appends a record, once all that were there have been read; when this returns INFL_OK it is on disk. INFL_E_IO: it
 * could not be written, and what was written of it has been cut off again where that was possible.
 */
infl_status infl_journal_append(infl_journal *journal, const void *payload, size_t length);

/* Bytes that were cut off: of the torn last record, or of a head cut short. */
size_t infl_journal_dropped(const infl_journal *journal);

#endif

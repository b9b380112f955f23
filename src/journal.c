#if defined(__APPLE__)
#define _DARWIN_C_SOURCE /* flock */
#endif
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "little_endian.h"
#include "memory.h"

enum {
    VERSION = 1,
    HEAD = 40,        /* bytes before the first record */
    RECORD_HEAD = 24, /* bytes before a record's payload */
    PIECE = 1 << 16   /* bytes looked through at once */
};

static const char magic[8] = {'i', 'n', 'f', 'l', '-', 'j', 'n', 'l'};

struct infl_journal {
    const char *function, *path; /* borrowed */
    int descriptor;
    uint64_t configuration[2];
    uint64_t size;        /* of the file */
    uint64_t record, end; /* where the record last read begins; where the next one will */
    size_t dropped;
    int failed;           /* something is left of a record that could not be written */
    unsigned char *bytes; /* of one record */
    size_t capacity;
};

static infl_status fail_io(const infl_journal *journal, const char *what, int error) {
    char reason[INFL_ERRNO_BYTES];
    return infl_fail(infl_errno_status(error), "%s: the journal cannot be %s: %s (%s)", journal->function, what,
                     infl_errno_text(error, reason), journal->path);
}

static infl_status fail_format(const infl_journal *journal, uint64_t byte, const char *what) {
    return infl_fail(INFL_E_FORMAT, "%s: byte %llu: %s (%s)", journal->function, (unsigned long long)byte, what,
                     journal->path);
}

infl_status infl_journal_refuse(const infl_journal *journal, const char *format, ...) {
    char what[INFL_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return fail_format(journal, journal->record, what);
}

static infl_status read_at(const infl_journal *journal, uint64_t at, unsigned char *bytes, size_t n) {
    for (size_t got = 0; got < n;) {
        ssize_t now = pread(journal->descriptor, bytes + got, n - got, (off_t)(at + got));
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return fail_io(journal, "read", now < 0 ? errno : EIO);
        got += (size_t)now;
    }
    return INFL_OK;
}

/* Puts bytes on disk; 0, or errno. One call of pwrite unless that stops short. */
static int write_at(const infl_journal *journal, uint64_t at, const unsigned char *bytes, size_t n) {
    for (size_t put = 0; put < n;) {
        ssize_t now = pwrite(journal->descriptor, bytes + put, n - put, (off_t)(at + put));
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return now < 0 ? errno : EIO;
        put += (size_t)now;
    }
#if defined(_POSIX_SYNCHRONIZED_IO) && _POSIX_SYNCHRONIZED_IO > 0
    return fdatasync(journal->descriptor) == 0 ? 0 : errno;
#else
    return fsync(journal->descriptor) == 0 ? 0 : errno;
#endif
}

static int cut_off(infl_journal *journal, uint64_t from) {
    if (ftruncate(journal->descriptor, (off_t)from) != 0 || fsync(journal->descriptor) != 0)
        return errno;
    journal->size = from;
    return 0;
}

/* Room for n bytes; a record of none has a place as well. */
static infl_status reserve(infl_journal *journal, size_t n) {
    if (journal->bytes != NULL && n <= journal->capacity)
        return INFL_OK;
    infl_release(journal->bytes);
    journal->bytes = NULL;
    INFL_ALLOCATE(journal->bytes, n);
    journal->capacity = n;
    return INFL_OK;
}

static void make_head(const infl_journal *journal, unsigned char *head) {
    memcpy(head, magic, sizeof magic);
    infl_put_number(head + 8, VERSION, 8);
    infl_put_number(head + 16, journal->configuration[0], 8);
    infl_put_number(head + 24, journal->configuration[1], 8);
    infl_put_number(head + 32, XXH3_64bits(head, 32), 8);
}

static uint64_t record_checksum(const infl_journal *journal, uint64_t at, const unsigned char *record) {
    unsigned char bytes[40];
    infl_put_number(bytes, journal->configuration[0], 8);
    infl_put_number(bytes + 8, journal->configuration[1], 8);
    infl_put_number(bytes + 16, at, 8);
    memcpy(bytes + 24, record, 16);
    return XXH3_64bits(bytes, sizeof bytes);
}

static int is_record_head(const infl_journal *journal, uint64_t at, const unsigned char *record) {
    int possible = infl_get_number(record, 8) >> 48 == 0; /* few bytes are, and a checksum takes its time */
    return possible && infl_get_number(record + 16, 8) == record_checksum(journal, at, record);
}

/* A new file's name is on disk when its folder is. */
static int sync_folder(const infl_journal *journal) {
    const char *slash = strrchr(journal->path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - journal->path) + 1;
    char *folder = infl_allocate(length + 2, 1);
    if (folder == NULL)
        return ENOMEM;
    memcpy(folder, journal->path, length);
    if (length == 0)
        folder[0] = '.';
    int descriptor = open(folder, O_RDONLY | O_CLOEXEC);
    /* some file systems know no such thing, and a folder may be writable that is not readable */
    int error = descriptor < 0 || fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno;
    if (descriptor >= 0)
        close(descriptor);
    infl_release(folder);
    return error;
}

/* Whether n ≤ HEAD bytes are what a kill or a loss of power leaves of a head while the file is created. */
static int is_torn_head(const unsigned char *found, const unsigned char *expected, size_t n) {
    static const unsigned char zero[HEAD];
    return (n < HEAD && memcmp(found, expected, n < 16 ? n : 16) == 0) || memcmp(found, zero, n) == 0;
}

static infl_status begin(infl_journal *journal) {
    unsigned char found[HEAD], expected[HEAD];
    size_t n = journal->size < HEAD ? (size_t)journal->size : HEAD;
    make_head(journal, expected);
    INFL_TRY(read_at(journal, 0, found, n));
    journal->record = journal->end = HEAD;
    if (journal->size <= HEAD && is_torn_head(found, expected, n)) {
        int error = cut_off(journal, 0);
        if (error == 0)
            error = write_at(journal, 0, expected, HEAD);
        if (error == 0)
            error = sync_folder(journal);
        if (error != 0)
            return fail_io(journal, "written", error);
        journal->size = HEAD;
        journal->dropped = n;
        return INFL_OK;
    }
    if (n < sizeof magic || memcmp(found, magic, sizeof magic) != 0)
        return fail_format(journal, 0, "the file is not a journal of this library");
    if (n < 16 || infl_get_number(found + 8, 8) != VERSION)
        return fail_format(journal, 8, "the journal's layout is of a version that this library cannot read");
    if (n < HEAD || infl_get_number(found + 32, 8) != XXH3_64bits(found, 32))
        return fail_format(journal, 32, "the journal's head is damaged: its checksum is wrong");
    if (memcmp(found, expected, HEAD) != 0)
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: the journal is of another configuration; give another path or remove "
                         "the file (%s)",
                         journal->function, journal->path);
    return INFL_OK;
}

static infl_status open_locked(infl_journal *journal) {
    journal->descriptor = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (journal->descriptor < 0)
        return fail_io(journal, "opened", errno);
    struct stat found;
    if (fstat(journal->descriptor, &found) != 0)
        return fail_io(journal, "opened", errno);
    if (!S_ISREG(found.st_mode))
        return infl_fail(INFL_E_IO, "%s: the journal is not a regular file (%s)", journal->function, journal->path);
    if (flock(journal->descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return fail_io(journal, "locked", errno);
        return infl_fail(INFL_E_IO, "%s: the journal is in use by another process or call (%s)", journal->function,
                         journal->path);
    }
    if (fstat(journal->descriptor, &found) != 0) /* as it is now that nobody else writes */
        return fail_io(journal, "opened", errno);
    journal->size = (uint64_t)found.st_size;
    return begin(journal);
}

infl_status infl_journal_open(infl_journal **out, const char *function, const char *path,
                              const uint64_t configuration[2]) {
    infl_journal *journal;
    INFL_ALLOCATE(journal, 1);
    *journal = (infl_journal){
        .function = function, .path = path, .descriptor = -1, .configuration = {configuration[0], configuration[1]}};
    infl_status status = open_locked(journal);
    if (status == INFL_OK)
        *out = journal;
    else
        infl_journal_close(journal);
    return status;
}

void infl_journal_close(infl_journal *journal) {
    if (journal == NULL)
        return;
    if (journal->descriptor >= 0)
        close(journal->descriptor);
    infl_release(journal->bytes);
    infl_release(journal);
}

size_t infl_journal_dropped(const infl_journal *journal) { return journal->dropped; }

/* Whether a record begins anywhere after the byte `at`. */
static infl_status find_record(infl_journal *journal, uint64_t at, int *found) {
    *found = 0;
    INFL_TRY(reserve(journal, PIECE));
    for (uint64_t first = at + 1; journal->size - first >= RECORD_HEAD; first += PIECE - RECORD_HEAD + 1) {
        uint64_t left = journal->size - first;
        size_t n = left < PIECE ? (size_t)left : PIECE;
        INFL_TRY(read_at(journal, first, journal->bytes, n));
        for (size_t i = 0; i + RECORD_HEAD <= n; i++) {
            *found = is_record_head(journal, first + i, journal->bytes + i);
            if (*found)
                return INFL_OK;
        }
        if (n == left)
            return INFL_OK;
    }
    return INFL_OK;
}

/*
 * Reads the record at `end`; *whole = 0: what stands there is the rest of one that was being written. A record with
 * more behind it was whole once: each is on disk before the next is begun.
 */
static infl_status read_record(infl_journal *journal, size_t *length, int *whole) {
    unsigned char head[RECORD_HEAD];
    uint64_t left = journal->size - journal->end;
    int more = 0;
    *whole = 0;
    if (left < RECORD_HEAD)
        return INFL_OK;
    INFL_TRY(read_at(journal, journal->end, head, RECORD_HEAD));
    if (!is_record_head(journal, journal->end, head)) {
        INFL_TRY(find_record(journal, journal->end, &more));
        if (more)
            return fail_format(journal, journal->end, "the head of a record is damaged, and others follow");
        return INFL_OK;
    }
    uint64_t n = infl_get_number(head, 8);
    if (n > left - RECORD_HEAD || n > SIZE_MAX)
        return INFL_OK;
    INFL_TRY(reserve(journal, (size_t)n));
    INFL_TRY(read_at(journal, journal->end + RECORD_HEAD, journal->bytes, (size_t)n));
    *length = (size_t)n;
    *whole = XXH3_64bits(journal->bytes, (size_t)n) == infl_get_number(head + 8, 8);
    if (!*whole && n < left - RECORD_HEAD)
        return fail_format(journal, journal->end, "a record is damaged, its checksum is wrong, and others follow");
    return INFL_OK;
}

infl_status infl_journal_read(infl_journal *journal, const unsigned char **payload, size_t *length) {
    int whole;
    *payload = NULL;
    *length = 0;
    if (journal->end == journal->size)
        return INFL_OK;
    INFL_TRY(read_record(journal, length, &whole));
    if (whole) {
        journal->record = journal->end;
        journal->end += RECORD_HEAD + *length;
        *payload = journal->bytes;
        return INFL_OK;
    }
    *length = 0;
    size_t torn = (size_t)(journal->size - journal->end);
    int error = cut_off(journal, journal->end);
    if (error != 0)
        return fail_io(journal, "shortened", error);
    journal->dropped += torn;
    return INFL_OK;
}

infl_status infl_journal_append(infl_journal *journal, const void *payload, size_t length) {
    if (journal->failed)
        return infl_fail(INFL_E_IO, "%s: the journal cannot be written any more: a record was not cut off (%s)",
                         journal->function, journal->path);
    if (length > SIZE_MAX - RECORD_HEAD)
        return infl_fail(INFL_E_MEMORY, "%s: a record of %zu bytes is more than can be addressed", journal->function,
                         length);
    INFL_TRY(reserve(journal, RECORD_HEAD + length));
    unsigned char *record = journal->bytes;
    infl_put_number(record, length, 8);
    infl_put_number(record + 8, XXH3_64bits(payload, length), 8);
    infl_put_number(record + 16, record_checksum(journal, journal->end, record), 8);
    if (length > 0)
        memcpy(record + RECORD_HEAD, payload, length);
    int error = write_at(journal, journal->end, record, RECORD_HEAD + length);
    if (error != 0) {
        journal->failed = cut_off(journal, journal->end) != 0;
        return fail_io(journal, "written", error);
    }
    journal->end += RECORD_HEAD + length;
    journal->size = journal->end;
    return INFL_OK;
}

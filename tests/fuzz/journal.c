/* The journal: infl_journal_open, _read and _append. The input is the file. */
#include "journal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fuzz.h"
#include "little_endian.h"

enum { HEAD = 40, RECORD_HEAD = 24 }; /* as src/journal.h has them */

static const uint64_t configuration[2] = {1, 2};

static infl_journal *open_journal(const char *path) {
    infl_journal *journal = fuzz_untouched;
    unsigned may = FUZZ_MAY(INFL_E_ARGUMENT) | FUZZ_MAY(INFL_E_FORMAT);
    infl_status status = infl_journal_open(&journal, "journal", path, configuration);
    return fuzz_succeeded(status, may, "journal", journal) ? journal : NULL;
}

/* The file is the input's first n bytes. */
static void check_file(const unsigned char *bytes, size_t n, unsigned char *room, size_t size) {
    FUZZ_CHECK(fuzz_read(0, room, size) == n && memcmp(room, bytes, n) == 0);
}

/* Whether there is a record's head, by its checksum. */
static int is_head(const unsigned char *bytes, size_t n, size_t at) {
    unsigned char head[40];
    if (n < RECORD_HEAD || at > n - RECORD_HEAD)
        return 0;
    infl_put_number(head, configuration[0], 8);
    infl_put_number(head + 8, configuration[1], 8);
    infl_put_number(head + 16, at, 8);
    memcpy(head + 24, bytes + at, 16);
    return infl_get_number(bytes + at + 16, 8) == XXH3_64bits(head, sizeof head);
}

/* What was cut off is the rest of one record: no other stands behind it, as far as it reaches by its head. */
static void check_torn(const unsigned char *bytes, size_t n, size_t at) {
    if (is_head(bytes, n, at)) {
        FUZZ_CHECK(infl_get_number(bytes + at, 8) >= n - at - RECORD_HEAD);
        return;
    }
    for (size_t i = at + 1; i < n; i++)
        FUZZ_CHECK(!is_head(bytes, n, i));
}

/* Reads all records, which have to stand in the bytes one behind the other; where they end, or 0 for a failure. */
static size_t read_all(infl_journal *journal, const unsigned char *bytes, size_t n, size_t *count) {
    const unsigned char *payload;
    size_t length, at = HEAD;
    for (*count = 0;; ++*count) {
        infl_status status = infl_journal_read(journal, &payload, &length);
        if (!fuzz_succeeded(status, FUZZ_MAY(INFL_E_FORMAT), "journal", fuzz_untouched))
            return 0;
        if (payload == NULL)
            return at;
        FUZZ_CHECK(n - at >= RECORD_HEAD && n - at - RECORD_HEAD >= length);
        FUZZ_CHECK(memcmp(payload, bytes + at + RECORD_HEAD, length) == 0);
        at += RECORD_HEAD + length;
    }
}

static void check_journal(infl_journal *journal, const unsigned char *bytes, size_t n, unsigned char *now,
                          size_t room) {
    static const char more[] = "one more";
    const unsigned char *payload;
    size_t length, count, again;
    int fresh = infl_journal_dropped(journal) == n; /* of a head cut short nothing is kept */
    size_t end = read_all(journal, bytes, fresh ? HEAD : n, &count);
    if (end == 0) {
        infl_journal_close(journal);
        check_file(bytes, n, now, room);
        return;
    }
    FUZZ_CHECK(infl_journal_dropped(journal) == (fresh ? n : n - end));
    if (!fresh) {
        check_file(bytes, end, now, room);
        check_torn(bytes, n, end);
    }
    FUZZ_OK(infl_journal_append(journal, more, sizeof more));
    infl_journal_close(journal);
    size_t longer = fuzz_read(0, now, room);
    FUZZ_CHECK(longer == end + RECORD_HEAD + sizeof more);
    journal = open_journal(fuzz_path(0));
    FUZZ_CHECK(journal != NULL && infl_journal_dropped(journal) == 0);
    FUZZ_CHECK(read_all(journal, now, longer, &again) == longer && again == count + 1);
    FUZZ_OK(infl_journal_read(journal, &payload, &length));
    FUZZ_CHECK(payload == NULL);
    infl_journal_close(journal);
}

FUZZ_TARGET(journal) {
    size_t room = n + HEAD + 2 * RECORD_HEAD;
    unsigned char *now = malloc(room);
    FUZZ_CHECK(now != NULL);
    fuzz_limit_memory(4 * n + (1 << 18)); /* a damaged head is searched behind in pieces of 64 KiB */
    infl_journal *journal = open_journal(fuzz_write(0, bytes, n));
    if (journal == NULL)
        check_file(bytes, n, now, room);
    else
        check_journal(journal, bytes, n, now, room);
    fuzz_check_memory();
    free(now);
}

/* The same payloads, in so far as lengths stand before them, as the library writes them. */
FUZZ_REPAIR(journal) {
    infl_journal *journal = NULL;
    const unsigned char *payload;
    size_t length, at = HEAD;
    (void)fuzz_write(1, "", 0);
    FUZZ_OK(infl_journal_open(&journal, "repair", fuzz_path(1), configuration));
    FUZZ_OK(infl_journal_read(journal, &payload, &length));
    while (n > at && n - at >= RECORD_HEAD) {
        size_t left = n - at - RECORD_HEAD, stated = (size_t)infl_get_number(bytes + at, 8);
        length = stated <= left ? stated : left;
        FUZZ_OK(infl_journal_append(journal, bytes + at + RECORD_HEAD, length));
        at += RECORD_HEAD + length;
    }
    infl_journal_close(journal);
    size_t right = fuzz_read(1, bytes, at < room ? at : room);
    return n > right ? n : right; /* what is no record stays at the end */
}

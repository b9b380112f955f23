/* The journal: whatever was cut off, killed or added, a resumed retraining has the bits of an undisturbed one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "files.h"
#include "journal.h"
#include "linear.h"
#include "little_endian.h"
#include "suites.h"

extern char **environ;

enum { HEAD = 40, RECORD_HEAD = 24 }; /* as src/journal.h has them */

/* ---- files */

/* Memory where there is a file system in it: thousands of synchronisations with a disk take their time. */
static temporary_file scratch(void) {
    temporary_file file = {"/dev/shm/infl-test-XXXXXX"};
    int descriptor = getenv("TMPDIR") == NULL ? mkstemp(file.path) : -1;
    if (descriptor < 0)
        return write_file("", 0, 0);
    ck_assert_int_eq(close(descriptor), 0);
    return file;
}

typedef struct content {
    unsigned char bytes[1 << 16];
    size_t n;
} content;

static content *content_of(const temporary_file *file) {
    content *c = calloc(1, sizeof *c);
    ck_assert_ptr_nonnull(c);
    c->n = read_back(file, c->bytes, sizeof c->bytes);
    ck_assert_uint_lt(c->n, sizeof c->bytes);
    return c;
}

static void put_content(const temporary_file *file, const unsigned char *bytes, size_t n) {
    FILE *stream = fopen(file->path, "wb");
    ck_assert_ptr_nonnull(stream);
    ck_assert_uint_eq(fwrite(bytes, 1, n, stream), n);
    ck_assert_int_eq(fclose(stream), 0);
}

static size_t size_of(const char *path) {
    struct stat found;
    return stat(path, &found) == 0 ? (size_t)found.st_size : 0;
}

#define assert_content(file, expected, length)                                                                         \
    do {                                                                                                               \
        content *found_ = content_of(file);                                                                            \
        ck_assert_uint_eq(found_->n, (length));                                                                        \
        ck_assert_mem_eq(found_->bytes, (expected), (length));                                                         \
        free(found_);                                                                                                  \
    } while (0)

#define assert_says(text) ck_assert_msg(strstr(infl_last_error(), (text)) != NULL, "%s", infl_last_error())

/* The descriptor that would be opened next: another one when one has leaked. */
static int next_descriptor(void) {
    int descriptor = dup(0);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
    return descriptor;
}

/* ---- a small problem: two rows of six are removed, so three records of one length */

enum { SMALL_N = 6, SMALL_D = 3, SMALL_M = 2, SMALL_T = 2, SMALL_RECORD = RECORD_HEAD + 8 * (9 + SMALL_T + SMALL_D) };

typedef struct small {
    linear_problem problem;
    infl_objective *objective;
    infl_train_options sgd;
    infl_retrain_options options;
    double changes[4 * SMALL_D], losses[SMALL_T * 4];
    infl_train_result results[4], control;
    infl_retrain_output output;
} small;

static const size_t small_rows[SMALL_M] = {1, 4}, small_tests[SMALL_T] = {0, 3};

static small *small_create(const char *journal) {
    static const double start[SMALL_D] = {0.5, 0.1, -0.3};
    small *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    s->problem = linear_create(1, SMALL_N, SMALL_D, 0.05, 5);
    s->objective = linear_objective(&s->problem, start, 1);
    s->sgd = (infl_train_options)INFL_TRAIN_OPTIONS_INIT;
    s->sgd.steps = 3;
    s->sgd.batch = 2;
    s->options = (infl_retrain_options)INFL_RETRAIN_OPTIONS_INIT;
    s->options.train = &s->sgd;
    s->options.threads = 1;
    s->options.journal = journal;
    s->output = (infl_retrain_output)INFL_RETRAIN_OUTPUT_INIT;
    s->output.parameter_changes = s->changes;
    s->output.loss_changes = s->losses;
    s->output.results = s->results;
    s->output.control_result = &s->control;
    return s;
}

static void small_destroy(small *s) {
    infl_objective_destroy(s->objective);
    linear_destroy(&s->problem);
    free(s);
}

static infl_status small_retrain(small *s, const size_t *rows, size_t m) {
    fill_sentinel(s->changes, 4 * SMALL_D);
    fill_sentinel(s->losses, SMALL_T * 4);
    s->output.resumed = s->output.dropped = s->output.unconverged = 77;
    return infl_retrain_without(s->objective, rows, m, s->objective, small_tests, SMALL_T, &s->options, &s->output);
}
static infl_status small_run(small *s) { return small_retrain(s, small_rows, SMALL_M); }

static int same_result(const infl_train_result *a, const infl_train_result *b) {
    return a->value == b->value && a->gradient_norm == b->gradient_norm && a->steps == b->steps &&
           a->reason == b->reason && a->products == b->products;
}

static void assert_same_small(const small *a, const small *b, const char *what, size_t at) {
    assert_same_bits(a->changes, b->changes, 4 * SMALL_D, "%s %zu", what, at);
    assert_same_bits(a->losses, b->losses, SMALL_T * 4, "%s %zu", what, at);
    for (size_t i = 0; i < SMALL_M; i++)
        ck_assert_msg(same_result(&a->results[i], &b->results[i]), "%s %zu", what, at);
    ck_assert_msg(same_result(&a->control, &b->control), "%s %zu", what, at);
}

/* Fails as expected, and leaves the outputs alone. */
static void assert_small_fails(infl_status expected, small *s) {
    infl_status status = small_run(s);
    ck_assert_msg(status == expected, "%s, not %s", infl_status_name(status), infl_status_name(expected));
    assert_says("infl_retrain_without: ");
    ck_assert(all_sentinel(s->changes, 4 * SMALL_D) && all_sentinel(s->losses, SMALL_T * 4));
    ck_assert_uint_eq(s->output.resumed, 77);
    ck_assert_uint_eq(s->output.dropped, 77);
    ck_assert_uint_eq(s->output.unconverged, 77);
}

/* Retrainings that were polished and did not come to rest are counted, the control run as well, from the journal too. */
START_TEST(what_is_not_at_rest_is_counted) {
    static const size_t most[] = {1, 200}, expected[] = {3, 0};
    temporary_file file = scratch();
    small *s = small_create(NULL);
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    assert_ok(small_run(s));
    ck_assert_uint_eq(s->output.unconverged, 0); /* nothing was polished */
    s->options.polish = &polish;
    s->options.journal = file.path;
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(remove(file.path), 0);
        polish.max_iterations = most[i];
        for (size_t resumed = 0; resumed < 6; resumed += 3) {
            assert_ok(small_run(s));
            ck_assert_uint_eq(s->output.resumed, resumed);
            ck_assert_uint_eq(s->output.unconverged, expected[i]);
        }
    }
    s->options.subtract_control = 0;
    s->options.journal = NULL;
    s->output.control_result = NULL;
    polish.max_iterations = 1;
    assert_ok(small_run(s));
    ck_assert_uint_eq(s->output.unconverged, 2);
    small_destroy(s);
    remove(file.path);
}
END_TEST

/* Without a journal, with a new one, and with all that is in it. */
START_TEST(a_journal_changes_no_bit) {
    temporary_file file = scratch();
    small *plain = small_create(NULL), *kept = small_create(file.path);
    int next = next_descriptor();
    assert_ok(small_run(plain));
    ck_assert_uint_eq(plain->output.resumed, 0);
    ck_assert_uint_eq(plain->output.dropped, 0);
    ck_assert_int_eq(remove(file.path), 0);
    for (size_t resumed = 0; resumed < 9; resumed += 3) {
        kept->options.threads = 1 + (int)resumed / 3;
        assert_ok(small_run(kept));
        assert_same_small(kept, plain, "resumed", resumed);
        ck_assert_uint_eq(kept->output.resumed, resumed < 3 ? 0 : 3);
        ck_assert_uint_eq(kept->output.dropped, 0);
        content *c = content_of(&file);
        ck_assert_uint_eq(c->n, HEAD + 3 * SMALL_RECORD);
        free(c);
    }
    /* the struct of a caller that knows of no journal ends before the counts */
    kept->output.size = offsetof(infl_retrain_output, resumed);
    assert_ok(small_run(kept));
    ck_assert_uint_eq(kept->output.resumed, 77);
    ck_assert_uint_eq(kept->output.dropped, 77);
    ck_assert_uint_eq(kept->output.unconverged, 77);
    ck_assert_int_eq(next_descriptor(), next);
    small_destroy(plain);
    small_destroy(kept);
    remove(file.path);
}
END_TEST

/* What a kill or a loss of power leaves: any beginning of the file, or one with zeros where the rest never arrived. */
START_TEST(every_beginning_is_resumed) {
    temporary_file file = scratch();
    small *plain = small_create(NULL), *kept = small_create(file.path);
    assert_ok(small_run(plain));
    assert_ok(small_run(kept));
    content *whole = content_of(&file);
    ck_assert_uint_eq(whole->n, HEAD + 3 * SMALL_RECORD);
    for (size_t n = 0; n <= whole->n; n++) {
        put_content(&file, whole->bytes, n);
        assert_ok(small_run(kept));
        assert_same_small(kept, plain, "a journal of bytes:", n);
        ck_assert_uint_eq(kept->output.resumed, n < HEAD ? 0 : (n - HEAD) / SMALL_RECORD);
        ck_assert_uint_eq(kept->output.dropped, n < HEAD ? n : (n - HEAD) % SMALL_RECORD);
        assert_content(&file, whole->bytes, whole->n);
    }
    for (size_t n = 0; n <= whole->n; n += n == 0 ? HEAD + 2 * SMALL_RECORD : 1) {
        content *zeroed = content_of(&file);
        size_t length = n == 0 ? HEAD : whole->n;
        memset(zeroed->bytes + n, 0, length - n);
        int torn = memcmp(zeroed->bytes, whole->bytes, length) != 0;
        put_content(&file, zeroed->bytes, length);
        assert_ok(small_run(kept));
        assert_same_small(kept, plain, "zeros from byte", n);
        ck_assert_uint_eq(kept->output.dropped, n == 0 ? HEAD : torn ? SMALL_RECORD : 0);
        assert_content(&file, whole->bytes, whole->n);
        free(zeroed);
    }
    free(whole);
    small_destroy(plain);
    small_destroy(kept);
    remove(file.path);
}
END_TEST

START_TEST(a_flipped_bit_is_found) {
    temporary_file file = scratch();
    small *plain = small_create(NULL), *kept = small_create(file.path);
    assert_ok(small_run(plain));
    assert_ok(small_run(kept));
    content *whole = content_of(&file);
    int next = next_descriptor();
    size_t last = HEAD + 2 * SMALL_RECORD;
    for (size_t i = 0; i < whole->n; i++) {
        char place[32];
        whole->bytes[i] ^= (unsigned char)(1u << i % 8);
        put_content(&file, whole->bytes, whole->n);
        if (i < last) {
            size_t byte = i < 8 ? 0 : i < 16 ? 8 : i < HEAD ? 32 : HEAD + (i - HEAD) / SMALL_RECORD * SMALL_RECORD;
            snprintf(place, sizeof place, ": byte %zu: ", byte);
            assert_small_fails(INFL_E_FORMAT, kept);
            assert_says(place);
            assert_says(file.path);
            assert_content(&file, whole->bytes, whole->n);
            whole->bytes[i] ^= (unsigned char)(1u << i % 8);
        } else {
            assert_ok(small_run(kept));
            assert_same_small(kept, plain, "flipped in byte", i);
            ck_assert_uint_eq(kept->output.resumed, 2);
            ck_assert_uint_eq(kept->output.dropped, SMALL_RECORD);
            whole->bytes[i] ^= (unsigned char)(1u << i % 8);
            assert_content(&file, whole->bytes, whole->n);
        }
    }
    ck_assert_int_eq(next_descriptor(), next);
    free(whole);
    small_destroy(plain);
    small_destroy(kept);
    remove(file.path);
}
END_TEST

/* Files that are something else, short or long, are left as they are. */
START_TEST(other_files_are_refused) {
    static const char *const others[] = {"a", "infl-jnk", "infl-jnl\2\0\0\0\0\0\0\0",
                                         "sepal,petal,species\n1.0,2.0,a\n",
                                         "infl-jnl\1\0\0\0\0\0\0\0 and something that is longer than a head has bytes"};
    static const size_t lengths[] = {1, 8, 16, 30, 68};
    temporary_file file = scratch();
    small *kept = small_create(file.path);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        put_content(&file, (const unsigned char *)others[i], lengths[i]);
        assert_small_fails(INFL_E_FORMAT, kept);
        assert_says(file.path);
        assert_content(&file, others[i], lengths[i]);
    }
    small_destroy(kept);
    remove(file.path);
}
END_TEST

/* A record with the right checksums of what no retraining ends with: a reason that is none, numbers that are none. */
START_TEST(impossible_results_are_refused) {
    enum { NUMBERS = (SMALL_RECORD - RECORD_HEAD) / 8 };
    static const struct {
        int number;
        uint64_t bits;
    } impossible[] = {{2, 3}, {4, UINT64_C(0x7ff0000000000000)}, {NUMBERS - 1, UINT64_C(0x7ff8000000000000)}};
    temporary_file file = scratch();
    small *kept = small_create(file.path);
    assert_ok(small_run(kept));
    content *whole = content_of(&file);
    for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        unsigned char record[8 * NUMBERS];
        const unsigned char *payload;
        infl_journal *journal;
        size_t length;
        uint64_t configuration[2] = {infl_get_number(whole->bytes + 16, 8), infl_get_number(whole->bytes + 24, 8)};
        memcpy(record, whole->bytes + whole->n - sizeof record, sizeof record);
        infl_put_number(record + 8 * impossible[i].number, impossible[i].bits, 8);
        put_content(&file, whole->bytes, whole->n - SMALL_RECORD);
        assert_ok(infl_journal_open(&journal, "test", file.path, configuration));
        do
            assert_ok(infl_journal_read(journal, &payload, &length));
        while (payload != NULL);
        assert_ok(infl_journal_append(journal, record, sizeof record));
        infl_journal_close(journal);
        assert_small_fails(INFL_E_FORMAT, kept);
        assert_says("not of how a retraining ended");
        ck_assert_uint_eq(size_of(file.path), whole->n);
    }
    free(whole);
    small_destroy(kept);
    remove(file.path);
}
END_TEST

START_TEST(rows_are_added_later) {
    temporary_file file = scratch();
    small *plain = small_create(NULL), *kept = small_create(file.path);
    const size_t more[4] = {4, 0, 1, 4}, fewer[1] = {0};
    assert_ok(small_run(kept));
    assert_ok(small_retrain(plain, more, 4));
    kept->options.threads = 2;
    assert_ok(small_retrain(kept, more, 4));
    ck_assert_uint_eq(kept->output.resumed, 4); /* the control run, row 1, and row 4 twice */
    assert_same_bits(kept->changes, plain->changes, 4 * SMALL_D, "more rows");
    assert_same_bits(kept->losses, plain->losses, SMALL_T * 4, "more rows");
    assert_ok(small_retrain(plain, fewer, 1));
    assert_ok(small_retrain(kept, fewer, 1));
    ck_assert_uint_eq(kept->output.resumed, 2);
    assert_same_bits(kept->changes, plain->changes, SMALL_D, "one row");
    assert_same_bits(kept->losses, plain->losses, SMALL_T, "one row");
    content *c = content_of(&file);
    ck_assert_uint_eq(c->n, HEAD + 4 * SMALL_RECORD);
    free(c);
    small_destroy(plain);
    small_destroy(kept);
    remove(file.path);
}
END_TEST

typedef struct watch {
    size_t calls, first, last, total, cancel_at;
} watch;

static int watch_progress(void *context, const char *stage, size_t done, size_t total) {
    watch *w = context;
    ck_assert_str_eq(stage, "retrain");
    if (w->calls++ == 0)
        w->first = done;
    ck_assert_uint_ge(done, w->last);
    w->last = done;
    w->total = total;
    return w->calls == w->cancel_at;
}

/* What was done when progress cancelled is kept, and counts as done in the next call; so down to nothing to do. */
START_TEST(progress_begins_with_what_is_there) {
    temporary_file file = scratch();
    small *plain = small_create(NULL), *kept = small_create(file.path);
    watch w = {.cancel_at = 5}; /* 3 steps, so 3 calls a training and one after it */
    assert_ok(small_run(plain));
    kept->options.progress = watch_progress;
    kept->options.progress_context = &w;
    assert_small_fails(INFL_E_CANCELLED, kept);
    ck_assert_uint_eq(w.last, 1);
    w = (watch){.cancel_at = 1};
    assert_small_fails(INFL_E_CANCELLED, kept);
    ck_assert_uint_eq(w.first, 1);
    for (size_t resumed = 1; resumed <= 3; resumed += 2) {
        w = (watch){0};
        assert_ok(small_run(kept));
        ck_assert_uint_eq(kept->output.resumed, resumed);
        ck_assert_uint_eq(w.first, resumed);
        ck_assert_uint_eq(w.last, 3);
        ck_assert_uint_eq(w.total, 3);
        assert_same_small(kept, plain, "resumed", resumed);
    }
    small_destroy(plain);
    small_destroy(kept);
    remove(file.path);
}
END_TEST

START_TEST(one_call_at_a_time) {
    temporary_file file = scratch();
    small *kept = small_create(file.path);
    const uint64_t configuration[2] = {1, 2};
    infl_journal *journal = NULL;
    assert_ok(infl_journal_open(&journal, "test", file.path, configuration));
    assert_small_fails(INFL_E_IO, kept);
    assert_says("in use");
    assert_says(file.path);
    infl_journal_close(journal);
    assert_small_fails(INFL_E_ARGUMENT, kept); /* of another configuration now, but free */
    ck_assert_int_eq(remove(file.path), 0);
    assert_ok(small_run(kept));
    small_destroy(kept);
    remove(file.path);
}
END_TEST

START_TEST(places_that_cannot_be_written) {
    static const char *const places[] = {"/nowhere/at/all.journal", "/", "/dev/full"};
    small *s = small_create(NULL);
    int next = next_descriptor();
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        s->options.journal = places[i];
        assert_small_fails(INFL_E_IO, s);
        assert_says(places[i]);
    }
    assert_says("not a regular file");
    ck_assert_int_eq(next_descriptor(), next);
    small_destroy(s);
}
END_TEST

/* A name without a folder is of the working folder, which keeps the new name. */
START_TEST(a_name_alone) {
    temporary_file folder = write_file("", 0, 0);
    small *s = small_create("a-name-alone.journal");
    int before = open(".", O_RDONLY | O_CLOEXEC);
    ck_assert(before >= 0 && unlink(folder.path) == 0 && mkdir(folder.path, 0700) == 0 && chdir(folder.path) == 0);
    assert_ok(small_run(s));
    ck_assert_uint_eq(s->output.resumed, 0);
    assert_ok(small_run(s));
    ck_assert_uint_eq(s->output.resumed, SMALL_M + 1);
    ck_assert_uint_eq(size_of(s->options.journal), HEAD + (SMALL_M + 1) * SMALL_RECORD);
    ck_assert(unlink(s->options.journal) == 0 && fchdir(before) == 0 && close(before) == 0);
    ck_assert_int_eq(rmdir(folder.path), 0);
    small_destroy(s);
}
END_TEST

/* A custom objective's gradients are known by what they give: these lack the last bit of what the others have. */
static int rounded_gradients(void *context, const double *theta, const size_t *which, size_t n, double *out) {
    int code = linear_row_gradients(context, theta, which, n, out);
    for (size_t i = 0; i < n * SMALL_D; i++)
        out[i] = nextafter(out[i], 0.0);
    return code;
}

START_TEST(other_rounding_is_another_configuration) {
    temporary_file file = scratch();
    small *kept = small_create(file.path);
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    double theta[SMALL_D];
    assert_ok(small_run(kept));
    assert_ok(infl_objective_get_parameters(kept->objective, theta));
    infl_objective_destroy(kept->objective);
    custom.n_rows = SMALL_N;
    custom.n_parameters = SMALL_D;
    custom.context = &kept->problem;
    custom.losses = linear_losses;
    custom.row_gradients = rounded_gradients;
    custom.decay_mask = kept->problem.mask;
    options.decay = kept->problem.decay;
    assert_ok(infl_objective_create_custom(&kept->objective, &custom, theta, &options));
    assert_small_fails(INFL_E_ARGUMENT, kept);
    small_destroy(kept);
    remove(file.path);
}
END_TEST

/* The file may not grow beyond any of these lengths: whole records stay, and with room the rest is done. */
START_TEST(a_full_disk_keeps_what_was_written) {
    temporary_file file = scratch();
    small *plain = small_create(NULL), *kept = small_create(file.path);
    struct rlimit before;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, handler;
    assert_ok(small_run(plain));
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(sigaction(SIGXFSZ, &ignore, &handler), 0);
    for (size_t room = 0; room < HEAD + 3 * SMALL_RECORD; room += 17) {
        struct rlimit limit = {room, before.rlim_max};
        put_content(&file, (const unsigned char *)"", 0);
        kept->options.threads = 1 + (int)(room % 2);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_small_fails(INFL_E_IO, kept);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_says(file.path);
        content *c = content_of(&file);
        ck_assert_uint_eq(c->n, room < HEAD ? c->n : HEAD + (room - HEAD) / SMALL_RECORD * SMALL_RECORD);
        free(c);
        assert_ok(small_run(kept));
        assert_same_small(kept, plain, "room", room);
        ck_assert_uint_eq(kept->output.resumed, room < HEAD ? 0 : (room - HEAD) / SMALL_RECORD);
        ck_assert_uint_eq(kept->output.dropped, room < HEAD ? kept->output.dropped : 0);
    }
    ck_assert_int_eq(sigaction(SIGXFSZ, &handler, NULL), 0);
    small_destroy(plain);
    small_destroy(kept);
    remove(file.path);
}
END_TEST

/* ---- the file alone */

START_TEST(records_of_any_length) {
    temporary_file file = scratch();
    const uint64_t configuration[2] = {3, 4};
    const size_t lengths[] = {0, 1, 7, 8, 1000, 200000, 0, 65536};
    enum { RECORDS = sizeof lengths / sizeof lengths[0] };
    unsigned char *bytes = malloc(200000 + RECORDS);
    const unsigned char *payload;
    size_t length;
    infl_journal *journal = NULL;
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < 200000 + RECORDS; i++)
        bytes[i] = (unsigned char)(i * i >> 3);
    for (size_t there = 0; there <= RECORDS; there++) {
        assert_ok(infl_journal_open(&journal, "test", file.path, configuration));
        for (size_t i = 0; i < there; i++) {
            assert_ok(infl_journal_read(journal, &payload, &length));
            ck_assert_ptr_nonnull(payload);
            ck_assert_uint_eq(length, lengths[i]);
            ck_assert(memcmp(payload, bytes + i, length) == 0);
        }
        for (int again = 0; again < 2; again++) {
            assert_ok(infl_journal_read(journal, &payload, &length));
            ck_assert_ptr_null(payload);
            ck_assert_uint_eq(length, 0);
        }
        if (there < RECORDS)
            assert_ok(infl_journal_append(journal, bytes + there, lengths[there]));
        infl_journal_close(journal);
    }
    free(bytes);
    remove(file.path);
}
END_TEST

/* A record that holds a journal's bytes is one record; one that stands elsewhere or comes from another file is none. */
START_TEST(a_record_belongs_to_its_place) {
    temporary_file file = scratch(), other = scratch();
    const uint64_t configuration[2] = {3, 4}, another[2] = {3, 5};
    const unsigned char *payload;
    size_t length;
    infl_journal *journal = NULL;
    for (int of = 0; of < 2; of++) {
        assert_ok(infl_journal_open(&journal, "test", of ? other.path : file.path, of ? another : configuration));
        for (int i = 0; i < 3; i++)
            assert_ok(infl_journal_append(journal, &"abc"[i], 1));
        infl_journal_close(journal);
    }
    content *whole = content_of(&file), *foreign = content_of(&other);
    const size_t record = RECORD_HEAD + 1;
    for (int from = 0; from < 2; from++) { /* the second record replaced by the first, or by the other file's second */
        content moved = *whole;
        memcpy(moved.bytes + HEAD + record, from == 0 ? whole->bytes + HEAD : foreign->bytes + HEAD + record, record);
        put_content(&file, moved.bytes, moved.n);
        assert_ok(infl_journal_open(&journal, "test", file.path, configuration));
        assert_ok(infl_journal_read(journal, &payload, &length));
        ck_assert_int_eq(infl_journal_read(journal, &payload, &length), INFL_E_FORMAT);
        assert_says("test: byte 65: ");
        infl_journal_close(journal);
    }
    /* what is torn is no damage, be it full of things that look like records */
    put_content(&file, whole->bytes, HEAD);
    assert_ok(infl_journal_open(&journal, "test", file.path, configuration));
    assert_ok(infl_journal_append(journal, whole->bytes, whole->n));
    infl_journal_close(journal);
    content *nested = content_of(&file);
    put_content(&file, nested->bytes, nested->n - 1);
    assert_ok(infl_journal_open(&journal, "test", file.path, configuration));
    assert_ok(infl_journal_read(journal, &payload, &length));
    ck_assert_ptr_null(payload);
    ck_assert_uint_eq(infl_journal_dropped(journal), RECORD_HEAD + whole->n - 1);
    infl_journal_close(journal);
    /* and gone: a shorter record in its place has nothing behind it */
    assert_ok(infl_journal_open(&journal, "test", file.path, configuration));
    assert_ok(infl_journal_append(journal, "d", 1));
    infl_journal_close(journal);
    ck_assert_uint_eq(size_of(file.path), HEAD + record);
    free(nested);
    free(foreign);
    free(whole);
    remove(file.path);
    remove(other.path);
}
END_TEST

/* Damage is told from a torn end also where what follows is far away, or is torn itself. */
START_TEST(damage_before_a_long_record) {
    temporary_file file = scratch();
    const uint64_t configuration[2] = {3, 4};
    const unsigned char *payload;
    size_t length;
    infl_journal *journal = NULL;
    unsigned char *bytes = calloc(300000, 1);
    ck_assert_ptr_nonnull(bytes);
    for (int torn = 0; torn < 2; torn++) {
        remove(file.path);
        assert_ok(infl_journal_open(&journal, "test", file.path, configuration));
        /* the next head lies across a piece */
        assert_ok(infl_journal_append(journal, bytes, 65536 - RECORD_HEAD - 10));
        assert_ok(infl_journal_append(journal, bytes, 200000));
        infl_journal_close(journal);
        int descriptor = open(file.path, O_RDWR);
        ck_assert_int_ge(descriptor, 0);
        ck_assert_int_eq(pwrite(descriptor, "\xff", 1, HEAD + 16), 1);
        if (torn)
            ck_assert_int_eq(ftruncate(descriptor, 65536 + HEAD + 100), 0);
        ck_assert_int_eq(close(descriptor), 0);
        assert_ok(infl_journal_open(&journal, "test", file.path, configuration));
        ck_assert_int_eq(infl_journal_read(journal, &payload, &length), INFL_E_FORMAT);
        assert_says("test: byte 40: ");
        infl_journal_close(journal);
    }
    free(bytes);
    remove(file.path);
}
END_TEST

/* ---- a network with a state */

enum { N = 24, D = 3, C = 3, UNITS = 4, P = UNITS * (D + 1) + 2 * UNITS + C * (UNITS + 1), M = 8, T = 5 };

typedef struct study {
    double x[N * D];
    int32_t labels[N];
    infl_dataset *dataset;
    infl_model *model;
    infl_loss loss;
    infl_objective_options objective_options;
    infl_objective *train, *test;
    size_t milestones[2], test_rows[T];
    infl_train_options adam;
    infl_polish_options polish;
    infl_retrain_options options;
    infl_curvature *curvature;
    infl_inverse *inverse;
    double predicted[M * P], start[P], state[2 * UNITS];
    infl_activation activation;
    infl_batch_norm norm;
    int want_parameters, want_drift, want_losses;
} study;

typedef struct outcome {
    double changes[M * P], norms[M], cosines[M], losses[T * M], drift[P], drifts[T];
    infl_train_result results[M], control;
    size_t resumed, dropped;
} outcome;

static const size_t rows[M] = {3, 0, 21, 8, 15, 23, 1, 10};

/* 0 where anything fails, which a process of its own can say too. */
static int study_objectives(study *s) {
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = N;
    spec.n_features = D;
    spec.features = s->x;
    spec.labels = s->labels;
    spec.n_classes = C;
    infl_objective_destroy(s->test);
    infl_objective_destroy(s->train);
    infl_dataset_destroy(s->dataset);
    s->test = s->train = NULL;
    s->dataset = NULL;
    return infl_dataset_create(&s->dataset, &spec) == INFL_OK &&
           infl_objective_create(&s->train, s->model, &s->loss, s->dataset, &s->objective_options) == INFL_OK &&
           infl_objective_without(&s->test, s->train, NULL, 0) == INFL_OK;
}

static int study_network(study *s) {
    infl_builder *builder = NULL;
    infl_model *before = s->model;
    int fine = infl_builder_create(&builder, D) == INFL_OK;
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, UNITS, 1, INFL_INIT_LECUN);
    node = infl_builder_activation(builder, infl_builder_batch_norm(builder, node, &s->norm), s->activation);
    node = infl_builder_dense(builder, node, C, 1, INFL_INIT_LECUN);
    fine = fine && infl_model_create(&s->model, builder, node, INFL_F64, 1) == INFL_OK && study_objectives(s);
    infl_builder_destroy(builder);
    infl_model_destroy(before);
    return fine;
}

static int study_create(study *s, size_t steps) {
    uint64_t seed = 11;
    *s = (study){.loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY),
                 .objective_options = INFL_OBJECTIVE_OPTIONS_INIT,
                 .milestones = {steps / 2, steps - 1},
                 .test_rows = {2, 3, 9, 16, 22},
                 .adam = INFL_TRAIN_OPTIONS_INIT,
                 .polish = INFL_POLISH_OPTIONS_INIT,
                 .options = INFL_RETRAIN_OPTIONS_INIT,
                 .activation = INFL_TANH,
                 .norm = INFL_BATCH_NORM_INIT,
                 .want_parameters = 1,
                 .want_drift = 1,
                 .want_losses = 1};
    for (size_t i = 0; i < N; i++) {
        s->labels[i] = (int32_t)(i % C);
        for (size_t j = 0; j < D; j++)
            s->x[i * D + j] = linear_normal(&seed) + (i % C == j);
    }
    for (size_t i = 0; i < M * P; i++)
        s->predicted[i] = linear_normal(&seed);
    s->objective_options.decay = 0.01;
    s->objective_options.threads = 1;
    s->adam.steps = steps;
    s->adam.batch = 8;
    s->adam.learning_rate = 0.01;
    s->adam.milestones = s->milestones;
    s->adam.n_milestones = 2;
    s->polish.max_iterations = 3;
    s->polish.gradient_tolerance = 0.2; /* within reach: a reason to stop that is not 0 */
    s->options.train = &s->adam;
    s->options.polish = &s->polish;
    s->options.predicted = s->predicted;
    s->options.threads = 1;
    return study_network(s) && infl_model_get_parameters(s->model, s->start) == INFL_OK &&
           infl_model_get_state(s->model, s->state) == INFL_OK;
}

static void study_destroy(study *s) {
    infl_inverse_destroy(s->inverse);
    infl_curvature_destroy(s->curvature);
    infl_objective_destroy(s->test);
    infl_objective_destroy(s->train);
    infl_model_destroy(s->model);
    infl_dataset_destroy(s->dataset);
}

static infl_status study_run(study *s, outcome *o) {
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    *o = (outcome){.resumed = 77, .dropped = 77};
    if (s->want_parameters) {
        output.parameter_changes = o->changes;
        output.norms = o->norms;
        output.cosines = o->cosines;
    }
    output.loss_changes = s->want_losses ? o->losses : NULL;
    output.results = o->results;
    if (s->options.subtract_control) {
        output.control_parameters = s->want_drift ? o->drift : NULL;
        output.control_losses = o->drifts;
        output.control_result = &o->control;
    }
    infl_status status = infl_retrain_without(s->train, rows, M, s->test, s->test_rows, T, &s->options, &output);
    if (status == INFL_OK) {
        o->resumed = output.resumed;
        o->dropped = output.dropped;
    }
    return status;
}

static void assert_same_outcome(const outcome *a, const outcome *b) {
    assert_same_bits(a->changes, b->changes, M * P, "changes");
    assert_same_bits(a->norms, b->norms, M, "norms");
    assert_same_bits(a->cosines, b->cosines, M, "cosines");
    assert_same_bits(a->losses, b->losses, T * M, "losses");
    assert_same_bits(a->drift, b->drift, P, "drift");
    assert_same_bits(a->drifts, b->drifts, T, "drifts");
    for (size_t i = 0; i < M; i++)
        ck_assert(same_result(&a->results[i], &b->results[i]));
    ck_assert(same_result(&a->control, &b->control));
}

/* Another configuration in one respect, whose name it returns; NULL: there are no more. */
static const char *alter(study *s, int respect) {
    infl_curvature_kind kind = INFL_GAUSS_NEWTON;
    double damping = 0.1;
    switch (respect) {
    case 0:
        s->x[70] *= 1.0 + 1e-15;
        ck_assert(study_objectives(s));
        return "a feature";
    case 1:
        s->labels[5] = 0;
        ck_assert(study_objectives(s));
        return "a label";
    case 2:
        s->objective_options.decay = 0.02;
        ck_assert(study_objectives(s));
        return "decay";
    case 3:
        s->objective_options.decay_scope = INFL_DECAY_WEIGHTS;
        ck_assert(study_objectives(s));
        return "decay's scope";
    case 4:
        s->start[7] += 1e-15;
        assert_ok(infl_model_set_parameters(s->model, s->start));
        return "theta";
    case 5:
        s->state[1] += 1e-15;
        assert_ok(infl_model_set_state(s->model, s->state));
        return "the state";
    case 6:
        s->start[P - 1] += 1e-15;
        s->options.start = s->start;
        return "start";
    case 7:
        s->state[2 * UNITS - 1] *= 1.0 + 1e-15;
        s->options.start_state = s->state;
        return "start_state";
    case 8:
        s->adam.optimiser = INFL_SGD;
        return "optimiser";
    case 9:
        s->adam.steps++;
        return "steps";
    case 10:
        s->adam.batch = 12;
        return "batch";
    case 11:
        s->adam.learning_rate *= 1.0 + 1e-15;
        return "learning_rate";
    case 12:
        s->adam.momentum = 0.5;
        return "momentum";
    case 13:
        s->adam.nesterov = 1;
        return "nesterov";
    case 14:
        s->adam.beta1 = 0.8;
        return "beta1";
    case 15:
        s->adam.beta2 = 0.99;
        return "beta2";
    case 16:
        s->adam.epsilon = 1e-7;
        return "epsilon";
    case 17:
        s->milestones[0]++;
        return "a milestone";
    case 18:
        s->adam.n_milestones--;
        return "the number of milestones";
    case 19:
        s->adam.decay_factor = 0.2;
        return "decay_factor";
    case 20:
        s->adam.gradient_tolerance = 1e-9;
        return "the training's gradient_tolerance";
    case 21:
        s->adam.check_every = 7;
        return "check_every";
    case 22:
        s->adam.seed++;
        return "seed";
    case 23:
        s->options.train = NULL;
        return "no training";
    case 24:
        s->polish.gradient_tolerance = 1e-9;
        return "the polishing's gradient_tolerance";
    case 25:
        s->polish.max_iterations++;
        return "max_iterations";
    case 26:
        s->polish.max_cg_iterations = 5;
        return "max_cg_iterations";
    case 27:
        s->options.polish = NULL;
        return "no polishing";
    case 28:
        s->options.subtract_control = 0;
        return "subtract_control";
    case 29:
        s->test_rows[4] = 7;
        return "a test row";
    case 30:
        s->test_rows[0] = 3;
        s->test_rows[1] = 2;
        return "the order of the test rows";
    case 31:
        s->want_parameters = s->want_drift = 0;
        return "no theta";
    case 32: { /* the test alone lacks a row behind those that are asked for */
        infl_objective *test = NULL;
        const size_t row = N - 1;
        assert_ok(infl_objective_without(&test, s->train, &row, 1));
        infl_objective_destroy(s->test);
        s->test = test;
        return "test";
    }
    case 33:
    case 34:
    case 35:
        break; /* a preconditioner */
    case 36:
        s->want_parameters = 0;
        return "no theta but the control run's";
    case 37:
        s->want_losses = 0;
        return "no losses but the control run's";
    case 38:
        s->activation = INFL_GELU;
        ck_assert(study_network(s));
        return "the graph";
    case 39: /* acts in training only */
        s->norm.momentum *= 0.5;
        ck_assert(study_network(s));
        return "a layer's option";
    default:
        return NULL;
    }
    if (respect == 34)
        damping = 0.2;
    if (respect == 35)
        kind = INFL_FISHER;
    infl_inverse_options cholesky = INFL_INVERSE_OPTIONS_INIT;
    cholesky.method = INFL_CHOLESKY;
    assert_ok(infl_curvature_create(&s->curvature, s->train, kind, damping));
    assert_ok(infl_inverse_create(&s->inverse, s->curvature, &cholesky));
    s->polish.preconditioner = s->inverse;
    return respect == 33 ? "a preconditioner" : respect == 34 ? "its damping" : "its kind";
}

/* Two that differ in anything share no file; the same one made anew, all that does not matter changed, does. */
START_TEST(another_configuration_is_refused) {
    temporary_file file = scratch(), with = scratch();
    study *s = malloc(sizeof *s);
    outcome *first = malloc(sizeof *first), *o = malloc(sizeof *o);
    ck_assert(s != NULL && first != NULL && o != NULL);
    ck_assert(study_create(s, 20));
    s->options.journal = file.path;
    assert_ok(study_run(s, first));
    ck_assert(alter(s, 33) != NULL);
    s->options.journal = with.path;
    assert_ok(study_run(s, o));
    study_destroy(s);
    for (int respect = 0;; respect++) {
        ck_assert(study_create(s, 20));
        const temporary_file *of = respect == 34 || respect == 35 ? &with : &file;
        s->options.journal = of->path;
        content *before = content_of(of);
        const char *name = alter(s, respect);
        infl_status status = name == NULL ? INFL_E_ARGUMENT : study_run(s, o);
        ck_assert_msg(status == INFL_E_ARGUMENT, "%s: %s", name, infl_last_error());
        if (name != NULL) {
            ck_assert_msg(strstr(infl_last_error(), "another configuration") != NULL, "%s: %s", name,
                          infl_last_error());
            assert_says("infl_retrain_without: ");
            assert_says(s->options.journal);
        }
        assert_content(of, before->bytes, before->n);
        free(before);
        study_destroy(s);
        if (name == NULL)
            break;
    }
    for (int preconditioned = 0; preconditioned < 2; preconditioned++) {
        ck_assert(study_create(s, 20));
        if (preconditioned)
            ck_assert(alter(s, 33) != NULL);
        s->options.journal = preconditioned ? with.path : file.path;
        watch w = {0};
        s->options.progress = watch_progress;
        s->options.progress_context = &w;
        s->options.threads = 2;
        s->options.start = s->start;
        s->options.start_state = s->state;
        s->adam.report_every = 3;
        s->adam.progress_context = &w;
        s->polish.progress_context = &w;
        s->objective_options.threads = 2;
        s->objective_options.memory_budget = 1 << 20;
        /* the test's own θ plays no part */
        double elsewhere[P] = {0.5};
        assert_ok(infl_objective_set_parameters(s->test, elsewhere));
        assert_ok(study_run(s, o));
        ck_assert_uint_eq(o->resumed, M + 1);
        if (!preconditioned)
            assert_same_outcome(o, first);
        study_destroy(s);
    }
    free(s);
    free(first);
    free(o);
    remove(file.path);
    remove(with.path);
}
END_TEST

/* The same rows counted otherwise by the source come in other batches. */
START_TEST(rows_of_another_number_are_another_configuration) {
    temporary_file file = scratch();
    study *s = malloc(sizeof *s);
    outcome *o = malloc(sizeof *o);
    ck_assert(s != NULL && o != NULL && study_create(s, 20));
    const size_t none[1] = {0};
    infl_dataset *dataset = NULL;
    infl_objective *numbered = NULL, *anew = NULL;
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    output.results = o->results;
    s->options.journal = file.path;
    assert_ok(infl_objective_without(&numbered, s->train, none, 1));
    assert_ok(infl_dataset_without(&dataset, s->dataset, none, 1));
    assert_ok(infl_objective_create(&anew, s->model, &s->loss, dataset, &s->objective_options));
    /* a last batch of 7 rows loses one */
    assert_ok(infl_retrain_without(numbered, rows, 2, NULL, NULL, 0, &s->options, &output));
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(anew, rows, 2, NULL, NULL, 0, &s->options, &output));
    assert_ok(infl_retrain_without(numbered, rows, 2, NULL, NULL, 0, &s->options, &output));
    ck_assert_uint_eq(output.resumed, 3);
    infl_objective_destroy(numbered);
    infl_objective_destroy(anew);
    infl_dataset_destroy(dataset);
    study_destroy(s);
    free(s);
    free(o);
    remove(file.path);
}
END_TEST

/* ---- killed */

/* About 120 ms in all, of which 25 are the start of the process. */
enum { STEPS = 600, KILLS = 20 };

int retrain_with_journal(const char *path, int threads, const char *output) {
    static study s;
    static outcome o;
    int fine = study_create(&s, STEPS);
    s.options.journal = path[0] == '\0' ? NULL : path;
    s.options.threads = threads;
    fine = fine && study_run(&s, &o) == INFL_OK;
    if (!fine)
        fprintf(stderr, "run_tests: %s\n", infl_last_error());
    study_destroy(&s);
    FILE *stream = fine ? fopen(output, "wb") : NULL;
    fine = stream != NULL && fwrite(&o, sizeof o, 1, stream) == 1;
    return stream != NULL && fclose(stream) == 0 && fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

static pid_t spawn(const char *path, int threads, const temporary_file *output) {
    char count[16];
    pid_t process = 0;
    snprintf(count, sizeof count, "%d", threads);
    char *arguments[] = {(char *)test_program, "--retrain", (char *)path, count, (char *)output->path, NULL};
    ck_assert_int_eq(posix_spawnp(&process, test_program, NULL, NULL, arguments, environ), 0);
    return process;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits until the process ends by itself, or kills it after so many seconds or when the file has grown so often. */
static int ended_before_kill(pid_t process, const char *path, double seconds, int growths) {
    double begin = now();
    size_t size = size_of(path);
    int status;
    for (;;) {
        pid_t ended = waitpid(process, &status, WNOHANG);
        ck_assert_int_ge(ended, 0);
        if (ended == process) {
            ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the retraining process ended with %x",
                          status);
            return 1;
        }
        if (size_of(path) > size) {
            size = size_of(path);
            growths--;
        }
        if (now() - begin >= seconds || growths == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    ck_assert_int_eq(kill(process, SIGKILL), 0);
    ck_assert_int_eq(waitpid(process, &status, 0), process);
    return WIFEXITED(status);
}

static void read_outcome(const temporary_file *output, outcome *o) {
    ck_assert_uint_eq(read_back(output, (unsigned char *)o, sizeof *o), sizeof *o);
}

/*
 * A process that retrains is killed at random moments, some of them while it writes, until it comes to its end, and so
 * again. The moments are seeded; what they meet is the machine's. All that is compared comes from such processes: this
 * one may be emulated, and rounds otherwise then.
 */
START_TEST(killed_and_resumed) {
    temporary_file file = write_file("", 0, 0), output = write_file("", 0, 0);
    outcome *undisturbed = malloc(sizeof *undisturbed), *o = malloc(sizeof *o);
    ck_assert(undisturbed != NULL && o != NULL);
    ck_assert(ended_before_kill(spawn("", 1, &output), file.path, 1e9, -1));
    read_outcome(&output, undisturbed);
    ck_assert_uint_eq(undisturbed->resumed, 0);
    ck_assert_int_eq(undisturbed->results[0].reason, INFL_STOP_GRADIENT);
    uint64_t seed = 5 + (uint64_t)_i;
    double begin = now();
    ck_assert(ended_before_kill(spawn(file.path, 1 + _i, &output), file.path, 1e9, -1));
    double duration = now() - begin;
    size_t whole = size_of(file.path), record = (whole - HEAD) / (M + 1), kept = 0, between = 0;
    ck_assert_int_eq(remove(file.path), 0);
    for (int kills = 0, ended = 0; kills < KILLS || !ended;) {
        int by_time = kills % 2 == 0 && kills < KILLS;
        double seconds = by_time ? 0.5 * duration * linear_uniform(&seed) : 1e9;
        int growths = by_time || kills >= KILLS ? -1 : 1 + (int)(3.0 * linear_uniform(&seed));
        ended = ended_before_kill(spawn(file.path, 1 + _i, &output), file.path, seconds, growths);
        size_t size = size_of(file.path);
        /* no record is lost, torn ones aside */
        ck_assert(ended ? size == whole : kept < HEAD || (size - HEAD) / record >= (kept - HEAD) / record);
        kills += !ended;
        between += size > HEAD && size < whole;
        if (ended) {
            read_outcome(&output, o);
            assert_same_outcome(o, undisturbed);
            ck_assert_uint_eq(o->resumed, kept < HEAD ? 0 : (kept - HEAD) / record);
            ck_assert_int_eq(remove(file.path), 0);
        }
        kept = ended ? 0 : size;
    }
    ck_assert_uint_ge(between, 5);
    free(undisturbed);
    free(o);
    remove(output.path);
}
END_TEST

Suite *journal_suite(void) {
    Suite *suite = suite_create("journal");
    add_case(suite, "journal/unconverged", what_is_not_at_rest_is_counted, 1);
    add_case(suite, "journal/bits", a_journal_changes_no_bit, 1);
    add_case(suite, "journal/beginnings", every_beginning_is_resumed, 1);
    add_case(suite, "journal/flipped", a_flipped_bit_is_found, 1);
    add_case(suite, "journal/others", other_files_are_refused, 1);
    add_case(suite, "journal/impossible", impossible_results_are_refused, 1);
    add_case(suite, "journal/rows", rows_are_added_later, 1);
    add_case(suite, "journal/progress", progress_begins_with_what_is_there, 1);
    add_case(suite, "journal/lock", one_call_at_a_time, 1);
    add_case(suite, "journal/places", places_that_cannot_be_written, 1);
    add_case(suite, "journal/name-alone", a_name_alone, 1);
    add_case(suite, "journal/rounding", other_rounding_is_another_configuration, 1);
    add_case(suite, "journal/full", a_full_disk_keeps_what_was_written, 1);
    add_case(suite, "journal/records", records_of_any_length, 1);
    add_case(suite, "journal/moved", a_record_belongs_to_its_place, 1);
    add_case(suite, "journal/damage", damage_before_a_long_record, 1);
    add_case(suite, "journal/configuration", another_configuration_is_refused, 1);
    add_case(suite, "journal/configuration/rows", rows_of_another_number_are_another_configuration, 1);
    add_case(suite, "journal/killed", killed_and_resumed, 2);
    return suite;
}

#include <check.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "influence.h"
#include "memory.h"
#include "suites.h"

/* The same struct in an older, the present and a later header. */
typedef struct options_old {
    size_t size;
    double tolerance;
} options_old;

typedef struct options_known {
    size_t size;
    double tolerance;
    double damping;
} options_known;

typedef struct options_future {
    size_t size;
    double tolerance;
    double damping;
    double novelty;
} options_future;

static const options_known defaults = {sizeof(options_known), 1.0, 2.0};

START_TEST(options_of_any_age) {
    options_known read = defaults;
    ck_assert_int_eq(infl_read_options(&read, sizeof read, NULL, "infl_f", "options"), INFL_OK);
    ck_assert(read.size == sizeof read && read.tolerance == 1.0 && read.damping == 2.0);

    const options_old old = {sizeof old, 10.0};
    ck_assert_int_eq(infl_read_options(&read, sizeof read, &old, "infl_f", "options"), INFL_OK);
    ck_assert(read.size == sizeof read && read.tolerance == 10.0 && read.damping == 2.0); /* the rest by default */

    const options_known same = {sizeof same, 11.0, 12.0};
    read = defaults;
    ck_assert_int_eq(infl_read_options(&read, sizeof read, &same, "infl_f", "options"), INFL_OK);
    ck_assert(read.size == sizeof read && read.tolerance == 11.0 && read.damping == 12.0);

    const options_future future = {sizeof future, 21.0, 22.0, 0.0}; /* what is unknown here is not used */
    read = defaults;
    ck_assert_int_eq(infl_read_options(&read, sizeof read, &future, "infl_f", "options"), INFL_OK);
    ck_assert(read.size == sizeof read && read.tolerance == 21.0 && read.damping == 22.0);
}
END_TEST

START_TEST(options_refused) {
    options_known read = defaults;
    const options_future future = {sizeof future, 21.0, 22.0, 0.5};
    ck_assert_int_eq(infl_read_options(&read, sizeof read, &future, "infl_f", "their_options"), INFL_E_ARGUMENT);
    ck_assert(strncmp(infl_last_error(), "infl_f: ", 8) == 0);
    ck_assert(strstr(infl_last_error(), "their_options") != NULL);
    ck_assert(strstr(infl_last_error(), infl_version()) != NULL);
    const size_t sizes[] = {0, 1, sizeof(size_t) - 1, (size_t)1 << 17, SIZE_MAX}; /* not initialised */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const options_known given = {sizes[i], 3.0, 4.0};
        ck_assert_int_eq(infl_read_options(&read, sizeof read, &given, "infl_f", "options"), INFL_E_ARGUMENT);
        ck_assert(strstr(infl_last_error(), "size") != NULL);
    }
    ck_assert(memcmp(&read, &defaults, sizeof read) == 0);
}
END_TEST

START_TEST(status_names) {
    static const char *const names[] = {"INFL_OK",           "INFL_E_ARGUMENT",    "INFL_E_MEMORY",
                                        "INFL_E_IO",         "INFL_E_FORMAT",      "INFL_E_NONFINITE",
                                        "INFL_E_INDEFINITE", "INFL_E_DIVERGED",    "INFL_E_UNCONVERGED",
                                        "INFL_E_CANCELLED",  "INFL_E_UNSUPPORTED", "INFL_E_BUDGET",
                                        "INFL_E_CALLBACK"};
    for (int status = 0; status < 13; status++) /* pinned values */
        ck_assert_str_eq(infl_status_name((infl_status)status), names[status]);
    ck_assert_str_eq(infl_status_name(INFL_E_CALLBACK), "INFL_E_CALLBACK");
    ck_assert_ptr_nonnull(infl_status_name((infl_status)13));
    ck_assert_ptr_nonnull(infl_status_name((infl_status)-1));
    ck_assert_int_ne(strncmp(infl_status_name((infl_status)-1), "INFL_", 5), 0);
}
END_TEST

START_TEST(version) {
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", INFL_VERSION_MAJOR, INFL_VERSION_MINOR, INFL_VERSION_PATCH);
    ck_assert_str_eq(infl_version(), expected);
    ck_assert_int_eq(infl_version_number(), INFL_VERSION_NUMBER);
    ck_assert_int_eq(infl_version_number(), /* ordered as versions are, minor and patch below 100 */
                     (INFL_VERSION_MAJOR * 100 + INFL_VERSION_MINOR) * 100 + INFL_VERSION_PATCH);
    ck_assert_int_lt(INFL_VERSION_MINOR, 100);
    ck_assert_int_lt(INFL_VERSION_PATCH, 100);
}
END_TEST

START_TEST(message) {
    ck_assert_int_eq(infl_fail(INFL_E_BUDGET, "infl_f: budget is %d", 3), INFL_E_BUDGET);
    ck_assert_str_eq(infl_last_error(), "infl_f: budget is 3");
    infl_fail(INFL_E_IO, "infl_g: %s", infl_last_error()); /* may quote the one before */
    ck_assert_str_eq(infl_last_error(), "infl_g: infl_f: budget is 3");
    char lengthy[2000];
    memset(lengthy, 'x', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    infl_fail(INFL_E_IO, "%s", lengthy);
    ck_assert_uint_gt(strlen(infl_last_error()), 200);
    ck_assert_uint_lt(strlen(infl_last_error()), 2000);
}
END_TEST

/* What is quoted may be anything: letters of 1 to 4 bytes stay, all else is "?", byte by byte. */
START_TEST(message_is_text) {
    static const char *const quoted[][2] = {
        {"\xC3\xA9 \xE2\x88\x87\xF0\x9D\x95\xAA~\xC2\xA0\xEF\xBF\xBD\xF4\x8F\xBF\xBF", NULL},
        {"\x1B[2J\a\n\t\x7F", "?[2J????"},
        {"\xC2\x9B[m", "??[m"},       /* a control character of 2 bytes */
        {"\xC3(\xA9", "?(?"},         /* one that ends early, one that only goes on */
        {"\xC0\xAF\xC1\xBF", "????"}, /* longer than they need be */
        {"\xE0\x9F\xBF\xF0\x8F\xBF\xBF", "???????"},
        {"\xED\xA0\x80\xED\xBF\xBF", "??????"},                     /* halves of pairs */
        {"\xF4\x90\x80\x80\xF8\x88\x80\x80\x80\xFF", "??????????"}, /* beyond the last */
        {"\xE2\x88", "??"},
    };
    for (size_t i = 0; i < sizeof quoted / sizeof quoted[0]; i++) {
        infl_fail(INFL_E_IO, "%s", quoted[i][0]);
        ck_assert_str_eq(infl_last_error(), quoted[i][quoted[i][1] != NULL]);
    }
    for (size_t length = 0; length < 4; length++) { /* cut within a letter */
        char lengthy[2000];
        for (size_t i = 0; i + 3 < sizeof lengthy; i += 3)
            memcpy(lengthy + i, "\xE2\x88\x87", 4);
        infl_fail(INFL_E_IO, "%s%s", &"xxx"[3 - length % 4], lengthy);
        size_t last = strlen(infl_last_error()) - 1;
        while (last > 0 && infl_last_error()[last] == '?')
            last--;
        ck_assert_uint_lt(strlen(infl_last_error()) - 1 - last, 3);
        ck_assert_int_eq((unsigned char)infl_last_error()[last], 0x87);
    }
}
END_TEST

typedef struct worker {
    int number;
    int begins_empty, keeps_its_own;
    infl_error_slot *slot;
} worker;

static void *fail_often(void *argument) {
    worker *self = argument;
    char expected[32];
    self->begins_empty = infl_last_error()[0] == '\0';
    self->keeps_its_own = 1;
    for (int i = 0; i < 200; i++) {
        infl_fail(INFL_E_IO, "worker %d, %d", self->number, i);
        snprintf(expected, sizeof expected, "worker %d, %d", self->number, i);
        self->keeps_its_own &= strcmp(infl_last_error(), expected) == 0;
    }
    return NULL;
}

START_TEST(message_is_of_the_thread) {
    enum { WORKERS = 4 };
    pthread_t threads[WORKERS];
    worker workers[WORKERS];
    infl_fail(INFL_E_IO, "the main thread's");
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){i, 0, 0, NULL};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fail_often, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(workers[i].begins_empty);
        ck_assert(workers[i].keeps_its_own);
    }
    ck_assert_str_eq(infl_last_error(), "the main thread's");
}
END_TEST

static void *collect(void *argument) {
    worker *self = argument;
    infl_fail(INFL_E_DIVERGED, "of index %d", self->number);
    infl_error_collect(self->slot, INFL_E_DIVERGED, (size_t)self->number);
    return NULL;
}

START_TEST(first_in_order_of_work_is_raised) {
    infl_error_slot slot = INFL_ERROR_SLOT_INIT;
    ck_assert_int_eq(infl_error_raise(&slot), INFL_OK);
    const int numbers[] = {5, 3, 8, 4}; /* one after another, as in a critical section */
    for (size_t i = 0; i < 4; i++) {
        pthread_t thread;
        worker self = {numbers[i], 0, 0, &slot};
        ck_assert_int_eq(pthread_create(&thread, NULL, collect, &self), 0);
        pthread_join(thread, NULL);
    }
    infl_error_collect(&slot, INFL_OK, 0); /* success is no error, however early */
    ck_assert_int_eq(infl_error_raise(&slot), INFL_E_DIVERGED);
    ck_assert_str_eq(infl_last_error(), "of index 3");
    ck_assert_uint_eq(slot.index, 3);
}
END_TEST

/* The sentence begins with the public function that was called, and with no other. */
START_TEST(sentences_are_in_the_name_of_the_call) {
    static const char *const before[] = {"too far", "infl_solve: too far", "infl_solve_rows: too far"};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        infl_fail(INFL_E_DIVERGED, "%s", before[i]);
        ck_assert_int_eq(infl_in_name_of("infl_solve", INFL_E_DIVERGED), INFL_E_DIVERGED);
        ck_assert_str_eq(infl_last_error(), "infl_solve: too far");
    }
    infl_in_name_of("infl_other", INFL_OK);
    ck_assert_str_eq(infl_last_error(), "infl_solve: too far");
    static const char *const no_name[] = {"infl_solve", "infl_solve failed: ", "step 3: infl_solve: too far", ": ", ""};
    for (size_t i = 0; i < sizeof no_name / sizeof *no_name; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "infl_f: %s", no_name[i]);
        infl_fail(INFL_E_DIVERGED, "%s", no_name[i]);
        infl_in_name_of("infl_f", INFL_E_DIVERGED);
        ck_assert_str_eq(infl_last_error(), expected);
    }
}
END_TEST

static int stop_at_2(void *context, const char *stage, size_t done, size_t total) {
    *(size_t *)context += 1;
    ck_assert(strcmp(stage, "solve") == 0 && total == 5);
    return done == 2;
}

START_TEST(progress_cancels) {
    size_t n_calls = 0;
    ck_assert_int_eq(infl_report_progress(NULL, NULL, "solve", 2, 5), INFL_OK);
    ck_assert_int_eq(infl_report_progress(stop_at_2, &n_calls, "solve", 0, 0), INFL_OK); /* nothing to do: no call */
    ck_assert_int_eq(infl_report_progress(stop_at_2, &n_calls, "solve", 1, 5), INFL_OK);
    ck_assert_int_eq(infl_report_progress(stop_at_2, &n_calls, "solve", 2, 5), INFL_E_CANCELLED);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "\"solve\" at 2 of 5"));
    ck_assert_uint_eq(n_calls, 2);
}
END_TEST

START_TEST(sizes_that_overflow_are_refused) {
    const size_t half = (size_t)1 << (sizeof(size_t) * 4);
    ck_assert_ptr_null(infl_allocate(SIZE_MAX / 8 + 1, 8));
    ck_assert_ptr_null(infl_allocate_matrix(half, half, 1)); /* wraps round to 0 */
    ck_assert_ptr_null(infl_allocate_matrix(half, half / 8, 8));
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "more than can be addressed"));
    void *empty = infl_allocate_matrix(0, half, 8);
    ck_assert_ptr_nonnull(empty);
    infl_release(empty);
}
END_TEST

Suite *error_suite(void) {
    Suite *suite = suite_create("error");
    add_case(suite, "error/message", message, 1);
    add_case(suite, "error/message/text", message_is_text, 1);
    add_case(suite, "error/options/any-age", options_of_any_age, 1);
    add_case(suite, "error/options/refused", options_refused, 1);
    add_case(suite, "error/status-names", status_names, 1);
    add_case(suite, "error/version", version, 1);
    add_case(suite, "error/threads", message_is_of_the_thread, 1);
    add_case(suite, "error/slot", first_in_order_of_work_is_raised, 1);
    add_case(suite, "error/name", sentences_are_in_the_name_of_the_call, 1);
    add_case(suite, "error/progress", progress_cancels, 1);
    add_case(suite, "error/memory", sizes_that_overflow_are_refused, 1);
    return suite;
}

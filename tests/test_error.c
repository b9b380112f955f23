#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "influence.h"

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
    static const char *const names[] = {
        "INFL_OK",           "INFL_E_ARGUMENT",   "INFL_E_MEMORY",   "INFL_E_IO",          "INFL_E_FORMAT",
        "INFL_E_NONFINITE",  "INFL_E_INDEFINITE", "INFL_E_DIVERGED", "INFL_E_UNCONVERGED", "INFL_E_CANCELLED",
        "INFL_E_UNSUPPORTED", "INFL_E_BUDGET",    "INFL_E_CALLBACK"};
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

static void add(Suite *suite, const char *path, const TTest *test) {
    TCase *tests = tcase_create(path);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test);
    suite_add_tcase(suite, tests);
}

Suite *error_suite(void);

Suite *error_suite(void) {
    Suite *suite = suite_create("error");
    add(suite, "error/message", message);
    add(suite, "error/options/any-age", options_of_any_age);
    add(suite, "error/options/refused", options_refused);
    add(suite, "error/status-names", status_names);
    add(suite, "error/version", version);
    add(suite, "error/threads", message_is_of_the_thread);
    add(suite, "error/slot", first_in_order_of_work_is_raised);
    return suite;
}

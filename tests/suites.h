/* The suite of each tests/test_<module>.c: adding that file is enough (the Makefile makes suites.inc from the names). */
#ifndef INFL_SUITES_H
#define INFL_SUITES_H

#include <check.h>

#define SUITE(module) Suite *module##_suite(void);
#include "suites.inc"
#undef SUITE

/* How this program was called; and what it does as "run_tests --retrain PATH THREADS OUTPUT", to be killed. */
extern const char *test_program;
int retrain_with_journal(const char *path, int threads, const char *output);

/*
 * A test case named by its path, its test run for _i = 0 .. n−1; the timeout allows for sanitizers and valgrind. A case
 * with the tag "long" computes for many seconds what others reach as well, and is left out where the coverage is
 * measured.
 */
static inline TCase *add_case(Suite *suite, const char *path, const TTest *test, int n) {
    TCase *tcase = tcase_create(path);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test, 0, n);
    suite_add_tcase(suite, tcase);
    return tcase;
}

#endif

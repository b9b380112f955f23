/* The suite of each tests/test_<module>.c: adding that file is enough (the Makefile makes suites.inc from the names). */
#ifndef INFL_SUITES_H
#define INFL_SUITES_H

#include <check.h>

#define SUITE(module) Suite *module##_suite(void);
#include "suites.inc"
#undef SUITE

#endif

/*
 * Runs the suites: run_tests [MODULE | PATH], where PATH is the name of one test case, such as inverse/cg/residual.
 * Check's environment variables (CK_RUN_SUITE, CK_RUN_CASE, CK_FORK, ...) work as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites.h"

static const struct {
    const char *module;
    Suite *(*suite)(void);
} suites[] = {
#define SUITE(module) {#module, module##_suite},
#include "suites.inc"
#undef SUITE
};

const char *test_program;

int main(int argc, char **argv) {
    test_program = argv[0];
    if (argc == 5 && strcmp(argv[1], "--retrain") == 0)
        return retrain_with_journal(argv[2], atoi(argv[3]), argv[4]);
    const char *asked = argc > 1 ? argv[1] : NULL;
    const char *path = asked != NULL && strchr(asked, '/') != NULL ? asked : NULL;
    SRunner *runner = NULL;
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        if (asked != NULL && path == NULL && strcmp(asked, suites[i].module) != 0)
            continue;
        if (runner == NULL)
            runner = srunner_create(suites[i].suite());
        else
            srunner_add_suite(runner, suites[i].suite());
    }
    if (runner == NULL) {
        fprintf(stderr, "run_tests: there is no suite %s\n", asked);
        return EXIT_FAILURE;
    }
    if (path != NULL)
        srunner_run(runner, NULL, path, CK_ENV);
    else
        srunner_run_all(runner, CK_ENV);
    int run = srunner_ntests_run(runner);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (run == 0)
        fprintf(stderr, "run_tests: nothing to run: no test case is named %s\n", path != NULL ? path : "so");
    return run > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

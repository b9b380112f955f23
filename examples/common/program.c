#include "program.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "interrupt.h"

static void print_help(const program *p) {
    printf("Usage: %s [options]\n%s\nOptions [default]:\n", p->name, p->about);
    arguments_print_help(stdout, p->table, p->n_options);
    printf("\n%s", p->files);
}

void program_hold_streams(void) {
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
        if (fcntl(descriptor, F_GETFD) < 0)
            open("/dev/null", O_RDONLY); /* what is written to it fails, and is noticed */
    }
}

int program_finish_stdout(const char *name) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    fprintf(stderr, "%s: not all that was printed could be written\n", name);
    return -1;
}

int program_begin(const program *p, size_t preset, int argc, char **argv, int *result) {
    program_hold_streams();
    p->set_default(p->settings, preset);
    *result = EXIT_USAGE;
    if (arguments_parse(p->name, argc, argv, p->table, p->n_options) != 0)
        return 1;
    preset = *p->preset; /* wherever it stands on the line, the other options change what it says */
    p->set_default(p->settings, preset);
    arguments_parse(p->name, argc, argv, p->table, p->n_options);
    int version = *p->version, help = *p->help;
    if (version) {
        printf("%s %s\n", p->name, infl_version());
    } else if (help) {
        p->set_default(p->settings, preset);
        print_help(p);
    }
    if (!version && !help)
        return 0;
    *result = program_finish_stdout(p->name) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    return 1;
}

int program_find_data(const char *name, const char **folder) {
    const char *from_environment = getenv("INFLUENCE_DATA");
    if ((*folder)[0] == '\0' && from_environment != NULL)
        *folder = from_environment;
    if ((*folder)[0] != '\0')
        return 0;
    fprintf(stderr, "%s: there is no folder to read from; name one by --data or INFLUENCE_DATA\n", name);
    return -1;
}

int program_threads(size_t asked) {
#ifdef _OPENMP
    return asked == 0 ? omp_get_max_threads() : (int)asked;
#else
    (void)asked;
    return 1;
#endif
}

void program_say_failure(const char *name, infl_status status) {
    fprintf(stderr, "%s: %s: %s\n", name, infl_status_name(status),
            status == INFL_E_MEMORY ? "no memory" : infl_last_error());
}

int program_end(const char *name, int failed) {
    failed |= program_finish_stdout(name);
    if (!interrupt_requested())
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
    fprintf(stderr, "%s: stopped; --resume continues with the same settings\n", name);
    return EXIT_SIGNAL + interrupt_requested();
}

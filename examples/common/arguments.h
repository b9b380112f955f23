/* Command lines: one table says what options there are; parsing, --help and the record of settings all follow it. */
#ifndef EXAMPLES_ARGUMENTS_H
#define EXAMPLES_ARGUMENTS_H

#include <stddef.h>
#include <stdio.h>

typedef enum argument_kind {
    ARGUMENT_FLAG,   /* int: --name sets it to 1                                    */
    ARGUMENT_SWITCH, /* int: --name sets it to 1, --no-name to 0                    */
    ARGUMENT_SIZE,   /* size_t, within low .. high                                  */
    ARGUMENT_REAL,   /* double, within low .. high                                  */
    ARGUMENT_TEXT,   /* const char *, any text but the empty one                    */
    ARGUMENT_CHOICE, /* size_t: the index of one of the choices                     */
    ARGUMENT_SET,    /* unsigned: one bit for each of the choices, "a,c"            */
    ARGUMENT_LIST,   /* argument_list: "1-4,8", each within low .. high, no repeats */
    ARGUMENT_REALS   /* argument_reals: "0.001,0", likewise                         */
} argument_kind;

#define ARGUMENT_LIST_LENGTH 64
typedef struct argument_list {
    size_t values[ARGUMENT_LIST_LENGTH];
    size_t n;
} argument_list;

typedef struct argument_reals {
    double values[ARGUMENT_LIST_LENGTH];
    size_t n;
} argument_reals;

enum { ARGUMENT_LATER = 2 };

typedef struct argument {
    const char *name; /* without the dashes */
    argument_kind kind;
    void *target;        /* holds the default */
    const char *choices; /* "tanh|relu|selu" */
    double low, high;
    int matters; /* 1: results depend on it. ARGUMENT_LATER, of a choice: likewise, and the
                    first one is what was done before there was a choice */
    const char *help;
} argument;

/* Reads argv into the targets. 0, or -1 after a sentence on stderr that names the option. */
int arguments_parse(const char *program, int argc, char **argv, const argument *table, size_t n);

int arguments_contain(const argument_reals *list, double value);

/* The present value of an option, as one would type it. */
void arguments_print_value(FILE *file, const argument *option);

/* "name = value" of all options but --help and --version, a line each. */
void arguments_print_all(FILE *file, const argument *table, size_t n);

/* One paragraph an option with its present value as the default. */
void arguments_print_help(FILE *file, const argument *table, size_t n);

/* A fingerprint of a context (a library's version, say) and the present values of all options that matter. Those that
 * came later leave it as it was before where they stand at their first choice. */
unsigned long long arguments_fingerprint(const argument *table, size_t n, const char *context);

/* Copies choice number `index` of "a|b|c" into name. */
void arguments_choice_name(const char *choices, size_t index, char *name, size_t size);

#endif

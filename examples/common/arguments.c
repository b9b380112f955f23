#include "arguments.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void arguments_choice_name(const char *choices, size_t index, char *name, size_t size) {
    while (index-- > 0) {
        choices = strchr(choices, '|') + 1;
    }
    snprintf(name, size, "%.*s", (int)strcspn(choices, "|"), choices);
}

/* The index of the first `length` characters of text among the choices; -1 where they are none of them. */
static int choice_index(const char *choices, const char *text, size_t length) {
    for (int index = 0; *choices != '\0'; index++) {
        size_t width = strcspn(choices, "|");
        if (width == length && strncmp(choices, text, length) == 0)
            return index;
        choices += width + (choices[width] == '|');
    }
    return -1;
}

static int parse_size(const char *text, const char *end, const argument *option, size_t *value) {
    char *stop;
    if (*text < '0' || *text > '9')
        return -1;
    errno = 0;
    unsigned long long number = strtoull(text, &stop, 10);
    if (errno != 0 || stop != end || (double)number < option->low || (double)number > option->high || number > SIZE_MAX)
        return -1;
    *value = (size_t)number;
    return 0;
}

static int parse_real(const char *text, const argument *option, double *value) {
    char *stop;
    double number = strtod(text, &stop);
    if (stop == text || *stop != '\0' || !isfinite(number) || number < option->low || number > option->high)
        return -1;
    *value = number;
    return 0;
}

static int parse_set(const char *text, const argument *option, unsigned *set) {
    unsigned found = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        int index = choice_index(option->choices, text, length);
        if (index < 0)
            return -1;
        found |= 1u << index;
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    *set = found;
    return 0;
}

static int parse_list(const char *text, const argument *option, argument_list *list) {
    argument_list found = {{0}, 0};
    for (;;) {
        const char *end = text + strcspn(text, ",");
        const char *dash = memchr(text, '-', (size_t)(end - text));
        size_t first, last;
        if (parse_size(text, dash != NULL ? dash : end, option, &first) != 0)
            return -1;
        last = first;
        if (dash != NULL && (parse_size(dash + 1, end, option, &last) != 0 || last < first))
            return -1;
        for (size_t value = first; value <= last; value++) {
            for (size_t i = 0; i < found.n; i++) {
                if (found.values[i] == value)
                    return -1;
            }
            if (found.n == ARGUMENT_LIST_LENGTH)
                return -1;
            found.values[found.n++] = value;
        }
        if (*end == '\0')
            break;
        text = end + 1;
    }
    *list = found;
    return 0;
}

static int parse_reals(const char *text, const argument *option, argument_reals *list) {
    argument_reals found = {{0}, 0};
    char field[64];
    for (;;) {
        size_t length = strcspn(text, ",");
        if (length >= sizeof field || found.n == ARGUMENT_LIST_LENGTH)
            return -1;
        memcpy(field, text, length);
        field[length] = '\0';
        double value;
        if (parse_real(field, option, &value) != 0)
            return -1;
        for (size_t i = 0; i < found.n; i++) {
            if (found.values[i] == value)
                return -1;
        }
        found.values[found.n++] = value;
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    *list = found;
    return 0;
}

static void print_expected(FILE *file, const argument *option) {
    switch (option->kind) {
    case ARGUMENT_SIZE:
        fprintf(file, "a whole number from %.15g to %.15g", option->low, option->high);
        break;
    case ARGUMENT_REAL:
        fprintf(file, "a number from %g to %g", option->low, option->high);
        break;
    case ARGUMENT_TEXT:
        fprintf(file, "some text");
        break;
    case ARGUMENT_CHOICE:
        fprintf(file, "one of %s", option->choices);
        break;
    case ARGUMENT_SET:
        fprintf(file, "some of %s, with commas between them", option->choices);
        break;
    case ARGUMENT_LIST:
        fprintf(file, "at most %d different whole numbers from %g to %g, such as 1-4,8", ARGUMENT_LIST_LENGTH,
                option->low, option->high);
        break;
    case ARGUMENT_REALS:
        fprintf(file, "at most %d different numbers from %g to %g, such as 0.001,0", ARGUMENT_LIST_LENGTH, option->low,
                option->high);
        break;
    case ARGUMENT_FLAG:
    case ARGUMENT_SWITCH:
        break;
    }
}

static int parse_value(const argument *option, const char *text) {
    int index;
    switch (option->kind) {
    case ARGUMENT_SIZE:
        return parse_size(text, text + strlen(text), option, option->target);
    case ARGUMENT_REAL:
        return parse_real(text, option, option->target);
    case ARGUMENT_TEXT:
        *(const char **)option->target = text;
        return *text == '\0' ? -1 : 0;
    case ARGUMENT_CHOICE:
        index = choice_index(option->choices, text, strlen(text));
        if (index >= 0)
            *(size_t *)option->target = (size_t)index;
        return index < 0 ? -1 : 0;
    case ARGUMENT_SET:
        return parse_set(text, option, option->target);
    case ARGUMENT_LIST:
        return parse_list(text, option, option->target);
    case ARGUMENT_REALS:
        return parse_reals(text, option, option->target);
    case ARGUMENT_FLAG:
    case ARGUMENT_SWITCH:
        break;
    }
    return -1;
}

static int takes_value(const argument *option) {
    return option->kind != ARGUMENT_FLAG && option->kind != ARGUMENT_SWITCH;
}

static const argument *find_option(const argument *table, size_t n, const char *name, size_t length) {
    for (size_t i = 0; i < n; i++) {
        if (strlen(table[i].name) == length && strncmp(table[i].name, name, length) == 0)
            return &table[i];
    }
    return NULL;
}

int arguments_parse(const char *program, int argc, char **argv, const argument *table, size_t n) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i] + 2;
        if (strncmp(argv[i], "--", 2) != 0) {
            fprintf(stderr, "%s: %s is not an option; --help lists them\n", program, argv[i]);
            return -1;
        }
        size_t length = strcspn(name, "=");
        const char *value = name[length] == '=' ? name + length + 1 : NULL;
        const argument *option = find_option(table, n, name, length);
        int on = 1;
        if (option == NULL && length > 3 && strncmp(name, "no-", 3) == 0) {
            option = find_option(table, n, name + 3, length - 3);
            on = 0;
            if (option != NULL && option->kind != ARGUMENT_SWITCH)
                option = NULL;
        }
        if (option == NULL) {
            fprintf(stderr, "%s: --%.*s is not an option; --help lists them\n", program, (int)length, name);
            return -1;
        }
        if (!takes_value(option)) {
            if (value != NULL) {
                fprintf(stderr, "%s: --%.*s takes no value, found %s\n", program, (int)length, name, value);
                return -1;
            }
            *(int *)option->target = on;
            continue;
        }
        if (value == NULL && i + 1 < argc)
            value = argv[++i];
        if (value == NULL || parse_value(option, value) != 0) {
            fprintf(stderr, "%s: --%s expects ", program, option->name);
            print_expected(stderr, option);
            if (value == NULL) {
                fprintf(stderr, ", found nothing\n");
            } else {
                fprintf(stderr, ", found \"%s\"\n", value);
            }
            return -1;
        }
    }
    return 0;
}

int arguments_contain(const argument_reals *list, double value) {
    for (size_t i = 0; i < list->n; i++) {
        if (list->values[i] == value)
            return 1;
    }
    return 0;
}

void arguments_print_value(FILE *file, const argument *option) {
    char name[64];
    const argument_list *list = option->target;
    const argument_reals *reals = option->target;
    const char *comma = "";
    switch (option->kind) {
    case ARGUMENT_FLAG:
    case ARGUMENT_SWITCH:
        fprintf(file, "%s", *(int *)option->target ? "on" : "off");
        break;
    case ARGUMENT_SIZE:
        fprintf(file, "%zu", *(size_t *)option->target);
        break;
    case ARGUMENT_REAL:
        fprintf(file, "%.15g", *(double *)option->target);
        break;
    case ARGUMENT_TEXT:
        fprintf(file, "%s", *(const char **)option->target);
        break;
    case ARGUMENT_CHOICE:
        arguments_choice_name(option->choices, *(size_t *)option->target, name, sizeof name);
        fprintf(file, "%s", name);
        break;
    case ARGUMENT_SET:
        for (size_t i = 0; i < 8 * sizeof(unsigned); i++) {
            if (*(unsigned *)option->target >> i & 1u) {
                arguments_choice_name(option->choices, i, name, sizeof name);
                fprintf(file, "%s%s", comma, name);
                comma = ",";
            }
        }
        break;
    case ARGUMENT_LIST:
        for (size_t i = 0; i < list->n; i++) {
            fprintf(file, "%s%zu", i == 0 ? "" : ",", list->values[i]);
        }
        break;
    case ARGUMENT_REALS:
        for (size_t i = 0; i < reals->n; i++) {
            fprintf(file, "%s%.15g", i == 0 ? "" : ",", reals->values[i]);
        }
        break;
    }
}

void arguments_print_all(FILE *file, const argument *table, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, "help") == 0 || strcmp(table[i].name, "version") == 0)
            continue;
        fprintf(file, "%s = ", table[i].name);
        arguments_print_value(file, &table[i]);
        fputc('\n', file);
    }
}

void arguments_print_help(FILE *file, const argument *table, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const argument *option = &table[i];
        fprintf(file, "  --%s%s", option->kind == ARGUMENT_SWITCH ? "[no-]" : "", option->name);
        if (option->kind == ARGUMENT_CHOICE) {
            fprintf(file, " %s", option->choices);
        } else if (takes_value(option)) {
            fprintf(file, " %s",
                    option->kind == ARGUMENT_TEXT   ? "TEXT"
                    : option->kind == ARGUMENT_REAL ? "X"
                    : option->kind == ARGUMENT_SIZE ? "N"
                                                    : "LIST");
        }
        fprintf(file, "\n        %s", option->help);
        if (option->kind != ARGUMENT_FLAG) {
            fprintf(file, " [");
            arguments_print_value(file, option);
            fprintf(file, "]");
        }
        fprintf(file, "\n");
    }
}

/* FNV-1a, continued. */
static uint64_t fingerprint_bytes(uint64_t hash, const void *bytes, size_t length) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

unsigned long long arguments_fingerprint(const argument *table, size_t n, const char *context) {
    uint64_t hash = fingerprint_bytes(UINT64_C(0xcbf29ce484222325), context, strlen(context) + 1);
    for (size_t i = 0; i < n; i++) {
        const argument *option = &table[i];
        if (!option->matters || (option->matters == ARGUMENT_LATER && *(const size_t *)option->target == 0))
            continue;
        hash = fingerprint_bytes(hash, option->name, strlen(option->name) + 1);
        switch (option->kind) {
        case ARGUMENT_FLAG:
        case ARGUMENT_SWITCH:
            hash = fingerprint_bytes(hash, option->target, sizeof(int));
            break;
        case ARGUMENT_SIZE:
        case ARGUMENT_CHOICE:
            hash = fingerprint_bytes(hash, option->target, sizeof(size_t));
            break;
        case ARGUMENT_REAL:
            hash = fingerprint_bytes(hash, option->target, sizeof(double));
            break;
        case ARGUMENT_TEXT:
            hash = fingerprint_bytes(hash, *(const char **)option->target, strlen(*(const char **)option->target));
            break;
        case ARGUMENT_SET:
            hash = fingerprint_bytes(hash, option->target, sizeof(unsigned));
            break;
        case ARGUMENT_LIST:
            hash = fingerprint_bytes(hash, option->target, sizeof(argument_list));
            break;
        case ARGUMENT_REALS:
            hash = fingerprint_bytes(hash, option->target, sizeof(argument_reals));
            break;
        }
    }
    return hash;
}

#include "settle.h"

#include <influence.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

/* The value that settings.txt has of a name, into value; 0 where it has none. */
static int value_there(FILE *file, const char *name, char *value, size_t size) {
    char line[1024];
    size_t length = strlen(name);
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, length) != 0 || strncmp(line + length, " = ", 3) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(value, size, "%s", line + length + 3);
        return 1;
    }
    return 0;
}

static int value_here(const argument *option, char *value, size_t size) {
    char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);
    if (stream == NULL)
        return 0;
    arguments_print_value(stream, option);
    int failed = fclose(stream) != 0;
    if (!failed)
        snprintf(value, size, "%s", text);
    free(text);
    return !failed;
}

/* Which options that matter had other values in that run. */
static void say_differences(FILE *file, const argument *table, size_t n) {
    char there[256], here[256];
    const char *between = " (";
    for (size_t i = 0; i < n; i++) {
        int known = value_there(file, table[i].name, there, sizeof there);
        if (!table[i].matters || !value_here(&table[i], here, sizeof here) || (known && strcmp(there, here) == 0))
            continue;
        fprintf(stderr, "%s%s was %s, is %s", between, table[i].name, known ? there : "no option", here);
        between = "; ";
    }
    if (value_there(file, "library", there, sizeof there) && strcmp(there, infl_version()) != 0) {
        fprintf(stderr, "%sthe library was %s, is %s", between, there, infl_version());
        between = "; ";
    }
    fprintf(stderr, "%s", between[0] == ';' ? ")" : "");
}

int settle_folder(settlement *here, const argument *table, size_t n) {
    char line[64] = "", ours[64], program[64];
    output out;
    if (here->anew && here->resume) {
        fprintf(stderr, "%s: --anew and --resume exclude each other\n", here->program);
        return -1;
    }
    snprintf(ours, sizeof ours, "fingerprint = %016llx\n", here->fingerprint);
    char *path = output_path(here->folder, "settings.txt");
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    free(path);
    here->earlier =
        file != NULL && value_there(file, "example", program, sizeof program) && strcmp(program, here->program) == 0;
    if (file != NULL && here->anew) {
        fclose(file);
        file = NULL;
    }
    if (file != NULL && !here->resume) {
        fclose(file);
        fprintf(stderr,
                "%s: %s holds an earlier run: --resume goes on with it, --anew removes it, or take another "
                "folder\n",
                here->program, here->folder);
        return -1;
    }
    if (file != NULL) {
        rewind(file);
        int other = fgets(line, sizeof line, file) == NULL || strcmp(line, ours) != 0;
        if (other) {
            fprintf(stderr, "%s: %s is of a run with other settings or another version", here->program, here->folder);
            say_differences(file, table, n);
            fprintf(stderr, "; take another folder, or --anew instead of --resume\n");
        }
        fclose(file);
        if (other)
            return -1;
    }
    if (output_open(&out, here->folder, "settings.txt") != 0)
        return -1;
    fprintf(out.file, "%slibrary = %s\nexample = %s\n", ours, infl_version(), here->program);
    arguments_print_all(out.file, table, n);
    return output_close(&out);
}

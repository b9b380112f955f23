#include "settle.h"

#include <influence.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

int settle_folder(const settlement *here, const argument *table, size_t n) {
    char line[64] = "", ours[64];
    output out;
    if (here->anew && here->resume) {
        fprintf(stderr, "%s: --anew and --resume exclude each other\n", here->program);
        return -1;
    }
    snprintf(ours, sizeof ours, "fingerprint = %016llx\n", here->fingerprint);
    char *path = output_path(here->folder, "settings.txt");
    FILE *file = path != NULL && !here->anew ? fopen(path, "r") : NULL;
    free(path);
    if (file != NULL && !here->resume) {
        fclose(file);
        fprintf(stderr,
                "%s: %s holds an earlier run: --resume goes on with it, --anew removes it, or take another "
                "folder\n",
                here->program, here->folder);
        return -1;
    }
    if (file != NULL) {
        int other = fgets(line, sizeof line, file) == NULL || strcmp(line, ours) != 0;
        fclose(file);
        if (other) {
            fprintf(stderr,
                    "%s: %s is of a run with other settings or another version; take another folder, or "
                    "--anew instead of --resume\n",
                    here->program, here->folder);
            return -1;
        }
    }
    if (output_open(&out, here->folder, "settings.txt") != 0)
        return -1;
    fprintf(out.file, "%slibrary = %s\nexample = %s\n", ours, infl_version(), here->program);
    arguments_print_all(out.file, table, n);
    return output_close(&out);
}

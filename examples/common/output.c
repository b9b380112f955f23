#define _XOPEN_SOURCE 700 /* nftw; NOLINT(bugprone-reserved-identifier) */

#include "output.h"

#include <err.h>
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *output_path(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path != NULL)
        snprintf(path, size, "%s/%s", folder, name);
    return path;
}

int output_make_folder(const char *folder) {
    struct stat status;
    char *path = output_path(folder, ""); /* ends in a slash, so that the whole path is one of the prefixes below */
    int made = 0;
    if (path == NULL) {
        warnx("no memory for the name of the folder %s", folder);
        return -1;
    }
    for (char *slash = strchr(path + 1, '/'); slash != NULL && made == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            made = -1;
        *slash = '/';
    }
    if (made == 0 && stat(path, &status) != 0)
        made = -1;
    if (made != 0)
        warn("cannot make the folder %s", folder);
    free(path);
    return made;
}

int output_open(output *out, const char *folder, const char *name) {
    size_t size;
    struct stat status;
    out->file = NULL;
    out->temporary = NULL;
    out->path = output_path(folder, name);
    /* renaming would put a file in the place of a device or a folder */
    if (out->path != NULL && stat(out->path, &status) == 0 && !S_ISREG(status.st_mode)) {
        warnx("cannot write %s: it is no regular file", out->path);
        free(out->path);
        return -1;
    }
    if (out->path != NULL) {
        size = strlen(out->path) + sizeof ".part";
        out->temporary = malloc(size);
        if (out->temporary != NULL) {
            snprintf(out->temporary, size, "%s.part", out->path);
            out->file = fopen(out->temporary, "w");
        }
    }
    if (out->file == NULL) {
        warn("cannot write %s/%s", folder, name);
        free(out->path);
        free(out->temporary);
        return -1;
    }
    return 0;
}

void output_drop(output *out) {
    fclose(out->file);
    unlink(out->temporary);
    free(out->path);
    free(out->temporary);
    out->file = NULL;
}

int output_close(output *out) {
    int failed = ferror(out->file);
    failed |= fclose(out->file) != 0;
    failed = failed || rename(out->temporary, out->path) != 0;
    if (failed) {
        warn("cannot write %s", out->path);
        unlink(out->temporary);
    }
    free(out->path);
    free(out->temporary);
    out->file = NULL;
    return failed ? -1 : 0;
}

int output_remove(const char *folder, const char *name) {
    char *path = output_path(folder, name);
    int failed = path == NULL || (unlink(path) != 0 && errno != ENOENT);
    if (failed)
        warn("cannot remove %s/%s", folder, name);
    free(path);
    return failed ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at) {
    (void)status;
    (void)at;
    return type == FTW_DP ? rmdir(path) : unlink(path);
}

int output_remove_all(const char *folder, const char *name) {
    enum { DESCRIPTORS = 8 };
    char *path = output_path(folder, name);
    int failed = path == NULL || (nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT);
    if (failed)
        warn("cannot remove %s/%s", folder, name);
    free(path);
    return failed ? -1 : 0;
}

void output_number(FILE *file, double value) {
    if (!isnan(value))
        fprintf(file, "%.10g", value);
}

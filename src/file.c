#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"
#include "pipe.h"

infl_status infl_file_fail(const char *path, const char *what, int error) {
    char reason[INFL_ERRNO_BYTES];
    return infl_fail(infl_errno_status(error), "%s: %s (%s)", what, infl_errno_text(error, reason), path);
}

infl_status infl_file_open(FILE **stream, size_t *size, const char *path) {
    struct stat status;
    *stream = fopen(path, "rb");
    if (*stream == NULL || fstat(fileno(*stream), &status) != 0)
        return infl_file_fail(path, "the file cannot be opened", errno);
    if (S_ISDIR(status.st_mode))
        return infl_file_fail(path, "the file cannot be opened", EISDIR);
    if (!S_ISREG(status.st_mode))
        return infl_fail(INFL_E_IO, "the file cannot be opened: it is not a regular file (%s)", path);
    if ((uintmax_t)status.st_size > SIZE_MAX)
        return infl_file_fail(path, "the file cannot be opened", EFBIG);
    *size = (size_t)status.st_size;
    return INFL_OK;
}

infl_status infl_file_read(FILE *stream, const char *path, void *bytes, size_t n) {
    errno = 0;
    if (fread(bytes, 1, n, stream) == n)
        return INFL_OK;
    if (ferror(stream) || errno != 0)
        return infl_file_fail(path, "the file cannot be read", errno);
    return infl_fail(INFL_E_FORMAT, "the file has become shorter since it was opened (%s)", path);
}

/* A new file in path's folder; its name is to be released. −1 with errno; −2: there is no memory. */
static int open_beside(const char *path, char **name) {
    const char *slash = strrchr(path, '/');
    size_t room = strlen(path) + 64;
    int folder = slash == NULL ? 0 : (int)(slash - path + 1), descriptor = -1;
    *name = infl_allocate(room, 1);
    if (*name == NULL)
        return -2;
    for (int attempt = 0; attempt < 1000; attempt++) {
        snprintf(*name, room, "%.*s.infl-%ld-%d.tmp", folder, path, (long)getpid(), attempt);
        descriptor = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            break;
    }
    return descriptor;
}

infl_status infl_new_file_open(infl_new_file *file, const char *path) {
    struct stat there;
    int straight = stat(path, &there) == 0 && !S_ISREG(there.st_mode);
    *file = (infl_new_file){.path = path, .descriptor = -1};
    file->descriptor = straight ? open(path, O_WRONLY | O_CLOEXEC) : open_beside(path, &file->name);
    if (file->descriptor >= 0)
        return INFL_OK;
    int error = errno, no_memory = file->descriptor == -2;
    infl_release(file->name); /* there is no such file */
    *file = (infl_new_file){.path = path, .descriptor = -1};
    return no_memory ? INFL_E_MEMORY : infl_file_fail(path, "the file cannot be created", error);
}

infl_status infl_new_file_write(infl_new_file *file, const void *bytes, size_t n) {
    const char *from = bytes;
    while (n > 0) {
        ssize_t written = infl_write(file->descriptor, from, n);
        if (written < 0 && errno != EINTR)
            return infl_file_fail(file->path, "the file cannot be written", errno);
        if (written > 0) {
            from += written;
            n -= (size_t)written;
        }
    }
    return INFL_OK;
}

infl_status infl_new_file_close(infl_new_file *file) {
    int error = file->name != NULL && fsync(file->descriptor) != 0 ? errno : 0;
    if (close(file->descriptor) != 0 && error == 0)
        error = errno;
    file->descriptor = -1;
    return error == 0 ? INFL_OK : infl_file_fail(file->path, "the file cannot be written", error);
}

static infl_status move(const char *from, const char *to, const char *path) {
    return rename(from, to) == 0 ? INFL_OK : infl_file_fail(path, "the file cannot be written", errno);
}

/* Moves what is at path aside, under a new name that is to be released; NULL where nothing is. */
static infl_status set_aside(const char *path, char **aside) {
    char *name;
    *aside = NULL;
    if (access(path, F_OK) != 0)
        return INFL_OK;
    int descriptor = open_beside(path, &name), no_memory = descriptor == -2;
    infl_status status = no_memory ? INFL_E_MEMORY : INFL_OK;
    if (descriptor < 0 && !no_memory)
        status = infl_file_fail(path, "the file cannot be written", errno);
    if (descriptor >= 0) {
        if (close(descriptor) != 0)
            status = infl_file_fail(path, "the file cannot be written", errno);
        if (status == INFL_OK)
            status = move(path, name, path);
        if (status != INFL_OK)
            unlink(name);
    }
    if (status == INFL_OK)
        *aside = name;
    else
        infl_release(name);
    return status;
}

/* By whatever the file system still does; where that is nothing, it stays beside. */
static void put_back(const char *aside, const char *path) {
    if (rename(aside, path) != 0 && link(aside, path) == 0)
        unlink(aside);
}

infl_status infl_new_files_place(infl_new_file *files, size_t n) {
    enum { MOST = 2 };
    char *aside[MOST] = {NULL};
    size_t placed = 0;
    infl_status status = INFL_OK;
    if (n > 1) /* one alone takes its place in one step; of several the last goes first and comes last */
        for (size_t i = n; i-- > 0 && status == INFL_OK;)
            status = set_aside(files[i].path, &aside[i]);
    for (; placed < n && status == INFL_OK; placed += status == INFL_OK)
        if (files[placed].name != NULL)
            status = move(files[placed].name, files[placed].path, files[placed].path);
    for (size_t i = placed; i-- > 0 && status != INFL_OK && n > 1;)
        unlink(files[i].path);
    for (size_t i = 0; i < n; i++) {
        if (status == INFL_OK) {
            infl_release(files[i].name);
            files[i].name = NULL;
        }
        if (aside[i] == NULL)
            continue;
        if (status == INFL_OK)
            unlink(aside[i]);
        else
            put_back(aside[i], files[i].path);
    }
    for (size_t i = 0; i < MOST; i++)
        infl_release(aside[i]);
    return status;
}

void infl_new_file_end(infl_new_file *file) {
    if (file->path == NULL)
        return;
    if (file->descriptor >= 0)
        close(file->descriptor);
    if (file->name != NULL)
        unlink(file->name);
    infl_release(file->name);
    *file = (infl_new_file){.path = NULL};
}

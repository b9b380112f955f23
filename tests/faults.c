/*
 * malloc and the calls on files of the whole process: every library's come here, as the program's names go before those
 * of shared libraries. Compiled without sanitizers, which allocate before they are ready for code of theirs.
 */
#define _GNU_SOURCE
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the real functions ----------------------------------------------------------------------------------------- */

#define MEMORY_FUNCTIONS(X)                                                                                            \
    X(void *, malloc, (size_t))                                                                                        \
    X(void *, calloc, (size_t, size_t))                                                                                \
    X(void *, realloc, (void *, size_t))                                                                               \
    X(void *, aligned_alloc, (size_t, size_t))                                                                         \
    X(int, posix_memalign, (void **, size_t, size_t))                                                                  \
    X(void, free, (void *))
#define FILE_FUNCTIONS(X)                                                                                              \
    X(int, open, (const char *, int, ...))                                                                             \
    X(int, close, (int))                                                                                               \
    X(int, fstat, (int, struct stat *))                                                                                \
    X(ssize_t, read, (int, void *, size_t))                                                                            \
    X(ssize_t, pread, (int, void *, size_t, off_t))                                                                    \
    X(ssize_t, write, (int, const void *, size_t))                                                                     \
    X(ssize_t, pwrite, (int, const void *, size_t, off_t))                                                             \
    X(int, fsync, (int))                                                                                               \
    X(int, fdatasync, (int))                                                                                           \
    X(int, ftruncate, (int, off_t))                                                                                    \
    X(int, flock, (int, int))                                                                                          \
    X(int, rename, (const char *, const char *))                                                                       \
    X(FILE *, fopen, (const char *, const char *))                                                                     \
    X(size_t, fread, (void *, size_t, size_t, FILE *))                                                                 \
    X(int, fseeko, (FILE *, off_t, int))

/* A sanitizer's own come first: linked into the program they are not the next library's. */
#define DECLARE(type, name, arguments) extern type __interceptor_##name arguments __attribute__((weak));
MEMORY_FUNCTIONS(DECLARE)
#undef DECLARE

static struct {
#define MEMBER(type, name, arguments) type(*name) arguments; /* NOLINT(bugprone-macro-parentheses): a declaration */
    MEMORY_FUNCTIONS(MEMBER)
    FILE_FUNCTIONS(MEMBER)
#undef MEMBER
    int found, finding;
} real;

static void find(void *function, const char *name) {
    void *address = dlsym(RTLD_NEXT, name);
    memcpy(function, &address, sizeof address); /* ISO C casts no object pointer to one of a function */
}

/* Called by the loader's first allocation, before there are threads. */
static void find_all(void) {
    if (real.found || real.finding)
        return;
    real.finding = 1;
#define FIND(type, name, arguments) find(&real.name, #name);
    MEMORY_FUNCTIONS(FIND)
    FILE_FUNCTIONS(FIND)
#undef FIND
#define FIND(type, name, arguments)                                                                                    \
    if (__interceptor_##name != NULL)                                                                                  \
        real.name = __interceptor_##name;
    MEMORY_FUNCTIONS(FIND)
#undef FIND
    real.found = 1;
    real.finding = 0;
}

/* What dlsym itself may allocate meanwhile. */
static struct {
    _Alignas(64) char bytes[4096];
    size_t used;
} first;

static void *first_block(size_t size) {
    size_t at = first.used;
    first.used += (size + 63) / 64 * 64;
    return first.used <= sizeof first.bytes ? first.bytes + at : NULL;
}

static int is_first_block(const void *block) {
    return (const char *)block >= first.bytes && (const char *)block < first.bytes + sizeof first.bytes;
}

/*
 * What the loader keeps for as long as a library is loaded is pointed to from memory of its own, where the leak sanitizer
 * does not look; and that the loader allocated it does not show where malloc is this one.
 */
/* NOLINTBEGIN(bugprone-reserved-identifier): the sanitizer's name */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:ld-linux"; }
/* NOLINTEND(bugprone-reserved-identifier) */

/* ---- whose calls fail ------------------------------------------------------------------------------------------- */

/*
 * The program, which has the library in it, and what it calls. Not BLIS, which aborts without memory for its packed
 * blocks, nor OpenMP's runtime and the loader, which sets up its threads: they end the process.
 */
static const char *const callers[] = {"libjansson.", "libz.", "libxxhash.", "liblapacke.", "liblapack.",
#if !(defined(__clang__) && defined(_OPENMP)) /* LLVM's OpenMP has libc allocate for it, and ends the process as well */
                                      "libc."
#endif
};
enum { N_CALLERS = sizeof callers / sizeof *callers, MOST_RANGES = 64 };

static struct {
    uintptr_t begin, end;
    const char *name;
} ranges[MOST_RANGES];
static size_t n_ranges;

static int add_ranges(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    int *objects = context;
    const char *slash = strrchr(object->dlpi_name, '/'), *name = (*objects)++ == 0 ? "the program" : NULL;
    for (size_t i = 0; i < N_CALLERS && slash != NULL; i++)
        if (strncmp(slash + 1, callers[i], strlen(callers[i])) == 0)
            name = callers[i];
    for (int i = 0; i < object->dlpi_phnum && name != NULL && n_ranges < MOST_RANGES; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
            continue;
        ranges[n_ranges].begin = (uintptr_t)(object->dlpi_addr + segment->p_vaddr);
        ranges[n_ranges].end = ranges[n_ranges].begin + segment->p_memsz;
        ranges[n_ranges++].name = name;
    }
    return 0;
}

static void find_callers(void) {
    int objects = 0;
    if (n_ranges == 0)
        dl_iterate_phdr(add_ranges, &objects);
}

static const char *name_caller(const void *address) {
    for (size_t i = 0; i < n_ranges; i++)
        if ((uintptr_t)address >= ranges[i].begin && (uintptr_t)address < ranges[i].end)
            return ranges[i].name;
    return NULL;
}

/* ---- faults ----------------------------------------------------------------------------------------------------- */

static struct {
    fault_kind kind;
    size_t k;
    int lasting;
    atomic_int armed;
    atomic_size_t calls;
    _Atomic(const char *) failed;
    atomic_size_t spared_size; /* 0: none is awaited */
    const void *spared;
} fault;

void fault_arm(fault_kind kind, size_t k, int lasting) {
    find_callers();
    fault.kind = kind;
    fault.k = k;
    fault.lasting = lasting;
    atomic_store(&fault.calls, 0);
    atomic_store(&fault.failed, "");
    atomic_store(&fault.armed, 1);
}

size_t fault_disarm(void) {
    atomic_store(&fault.armed, 0);
    return atomic_load(&fault.calls);
}

const char *fault_caller(void) { return atomic_load(&fault.failed); }

void fault_spare(size_t size) {
    find_callers();
    fault.spared = NULL;
    atomic_store(&fault.spared_size, size);
}

int fault_spared(void) { return fault.spared != NULL; }

/* Counts a call, which fails where this is 1: the k-th, and 2: a later one. */
static int strikes(fault_kind kind, const void *address) {
    if (!atomic_load_explicit(&fault.armed, memory_order_acquire) || fault.kind != kind)
        return 0;
    const char *caller = name_caller(address);
    if (caller == NULL)
        return 0;
    size_t call = atomic_fetch_add(&fault.calls, 1) + 1;
    if (call < fault.k || (call > fault.k && !fault.lasting))
        return 0;
    atomic_store(&fault.failed, caller);
    return call == fault.k ? 1 : 2;
}

#define CALLER __builtin_return_address(0)

/* ---- blocks ----------------------------------------------------------------------------------------------------- */

enum { SLOTS = 1 << 13 };

static struct {
    atomic_int watched;
    atomic_flag lock;
    size_t n;
    struct {
        void *address;
        size_t size;
        const char *caller;
    } slots[SLOTS];
} blocks = {.lock = ATOMIC_FLAG_INIT};

static void lock(void) {
    while (atomic_flag_test_and_set_explicit(&blocks.lock, memory_order_acquire))
        ;
}

static void unlock(void) { atomic_flag_clear_explicit(&blocks.lock, memory_order_release); }

static size_t home(const void *block) { return (size_t)(((uintptr_t)block >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 51); }

static void *note(void *block, size_t size, const void *address) {
    if (block == NULL || !atomic_load_explicit(&blocks.watched, memory_order_acquire))
        return block;
    const char *caller = name_caller(address);
    if (caller == NULL)
        return block;
    lock();
    size_t i = home(block);
    while (blocks.slots[i].address != NULL)
        i = (i + 1) % SLOTS;
    blocks.slots[i].address = block;
    blocks.slots[i].size = size;
    blocks.slots[i].caller = caller;
    if (++blocks.n > SLOTS / 2)
        abort(); /* a test with that many blocks is not what this is for */
    unlock();
    return block;
}

static void forget(void *block) {
    if (block == NULL || !atomic_load_explicit(&blocks.watched, memory_order_acquire))
        return;
    lock();
    size_t i = home(block);
    while (blocks.slots[i].address != NULL && blocks.slots[i].address != block)
        i = (i + 1) % SLOTS;
    if (blocks.slots[i].address != NULL) {
        blocks.n--;
        for (size_t next = (i + 1) % SLOTS; blocks.slots[next].address != NULL; next = (next + 1) % SLOTS) {
            /* what may not stand before its home stays */
            if ((next - home(blocks.slots[next].address)) % SLOTS < (next - i) % SLOTS)
                continue;
            blocks.slots[i] = blocks.slots[next];
            i = next;
        }
        blocks.slots[i].address = NULL;
    }
    unlock();
}

void blocks_watch(void) {
    find_callers();
    atomic_store(&blocks.watched, 1);
}

size_t blocks_left(char *text, size_t size) {
    atomic_store(&blocks.watched, 0);
    text[0] = '\0';
    for (size_t i = 0; i < SLOTS && text[0] == '\0'; i++)
        if (blocks.slots[i].address != NULL)
            snprintf(text, size, "%zu bytes by %s", blocks.slots[i].size, blocks.slots[i].caller);
    size_t left = blocks.n;
    if (left > 0)
        memset(blocks.slots, 0, sizeof blocks.slots);
    blocks.n = 0;
    return left;
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static int no_memory(size_t size, const void *caller) {
    find_all();
    if (size != 0 && atomic_load_explicit(&fault.spared_size, memory_order_relaxed) == size) {
        fault.spared = caller;
        atomic_store(&fault.spared_size, 0);
    }
    if (caller == fault.spared || !strikes(FAULT_ALLOCATION, caller))
        return 0;
    errno = ENOMEM;
    return 1;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the system's headers use reserved names */

void *malloc(size_t size) {
    if (no_memory(size, CALLER))
        return NULL;
    return real.found ? note(real.malloc(size), size, CALLER) : first_block(size);
}

void *calloc(size_t count, size_t size) {
    if (no_memory(count * size, CALLER))
        return NULL;
    return real.found ? note(real.calloc(count, size), count * size, CALLER) : first_block(count * size);
}

void *realloc(void *block, size_t size) {
    if (no_memory(size, CALLER))
        return NULL;
    if (is_first_block(block)) {
        size_t most = (size_t)(first.bytes + sizeof first.bytes - (char *)block);
        void *moved = real.malloc(size);
        return moved == NULL ? NULL : memcpy(moved, block, size < most ? size : most);
    }
    forget(block);
    void *moved = real.realloc(block, size);
    if (moved == NULL && size > 0)
        note(block, size, CALLER); /* it is still there */
    return note(moved, size, CALLER);
}

void *aligned_alloc(size_t alignment, size_t size) {
    if (no_memory(size, CALLER))
        return NULL;
    return note(real.aligned_alloc(alignment, size), size, CALLER);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    if (no_memory(size, CALLER))
        return ENOMEM;
    int error = real.posix_memalign(out, alignment, size);
    if (error == 0)
        note(*out, size, CALLER);
    return error;
}

void free(void *block) {
    if (is_first_block(block))
        return;
    forget(block);
    real.free(block);
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static int broken(const void *caller) {
    find_all();
    if (!strikes(FAULT_FILE, caller))
        return 0;
    errno = EIO;
    return 1;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    return broken(CALLER) ? -1 : real.open(path, flags, mode);
}

/* The descriptor is closed in either case, as it is where Linux reports an error. */
int close(int descriptor) {
    int error = broken(CALLER), closed = real.close(descriptor);
    if (error)
        errno = EIO;
    return error ? -1 : closed;
}

int fstat(int descriptor, struct stat *out) { return broken(CALLER) ? -1 : real.fstat(descriptor, out); }

ssize_t read(int descriptor, void *bytes, size_t n) { return broken(CALLER) ? -1 : real.read(descriptor, bytes, n); }

ssize_t pread(int descriptor, void *bytes, size_t n, off_t at) {
    return broken(CALLER) ? -1 : real.pread(descriptor, bytes, n, at);
}

/* How many of n bytes a write may write; −1: none. */
static ssize_t room(size_t n, const void *caller) {
    if (broken(caller))
        return -1;
    int strike = strikes(FAULT_SHORT, caller);
    errno = ENOSPC;
    return strike == 2 ? -1 : (ssize_t)(strike == 1 ? (n + 1) / 2 : n);
}

ssize_t write(int descriptor, const void *bytes, size_t n) {
    ssize_t now = room(n, CALLER);
    return now < 0 ? -1 : real.write(descriptor, bytes, (size_t)now);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t n, off_t at) {
    ssize_t now = room(n, CALLER);
    return now < 0 ? -1 : real.pwrite(descriptor, bytes, (size_t)now, at);
}

int fsync(int descriptor) { return broken(CALLER) ? -1 : real.fsync(descriptor); }

int fdatasync(int descriptor) { return broken(CALLER) ? -1 : real.fdatasync(descriptor); }

int ftruncate(int descriptor, off_t size) { return broken(CALLER) ? -1 : real.ftruncate(descriptor, size); }

int flock(int descriptor, int operation) { return broken(CALLER) ? -1 : real.flock(descriptor, operation); }

int rename(const char *from, const char *to) { return broken(CALLER) ? -1 : real.rename(from, to); }

FILE *fopen(const char *path, const char *mode) { return broken(CALLER) ? NULL : real.fopen(path, mode); }

/* The stream itself has to know of the error: from here on its descriptor is one of a folder, which cannot be read. */
size_t fread(void *bytes, size_t size, size_t n, FILE *stream) {
    if (broken(CALLER)) {
        int folder = real.open("/", O_RDONLY);
        dup2(folder, fileno(stream));
        real.close(folder);
    }
    return real.fread(bytes, size, n, stream);
}

int fseeko(FILE *stream, off_t at, int whence) { return broken(CALLER) ? -1 : real.fseeko(stream, at, whence); }

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

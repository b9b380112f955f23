#include "pipe.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static int is_pending(void) {
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

ssize_t infl_write(int descriptor, const void *bytes, size_t n) {
    sigset_t pipe, before;
    int earlier = is_pending(), number; /* the caller's own signal, which is none of ours */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    ssize_t written = write(descriptor, bytes, n);
    int error = errno;
    if (!earlier && is_pending()) /* also where some bytes were taken before the reader went */
        sigwait(&pipe, &number);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}

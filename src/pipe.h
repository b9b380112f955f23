/* Writing where the other end may be gone. */
#ifndef INFL_PIPE_H
#define INFL_PIPE_H

#include <stddef.h>
#include <sys/types.h>

/* write(2); but a pipe that nobody reads any more is the error EPIPE alone, and no signal that ends the process. */
ssize_t infl_write(int descriptor, const void *bytes, size_t n);

#endif

/* A failure deep inside, said in the name of the public function that was called. */
#ifndef INFL_BLAME_H
#define INFL_BLAME_H

#include <string.h>

#include "error.h"

static inline infl_status infl_in_name_of(const char *function, infl_status status) {
    if (status == INFL_OK || strncmp(infl_last_error(), function, strlen(function)) == 0)
        return status;
    return infl_fail(status, "%s: %s", function, infl_last_error());
}

#endif

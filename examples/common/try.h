/* Forwards what the library's functions return, in functions that return infl_status themselves. */
#ifndef EXAMPLES_TRY_H
#define EXAMPLES_TRY_H

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        infl_status status_of_call_ = (call);                                                                          \
        if (status_of_call_ != INFL_OK)                                                                                \
            return status_of_call_;                                                                                    \
    } while (0)

#endif

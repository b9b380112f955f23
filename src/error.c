#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef infl_fail /* for the analyzer they are macros */
#undef infl_in_name_of

static _Thread_local char last_error[INFL_MESSAGE_BYTES];

const char *infl_last_error(void) { return last_error; }

const char *infl_version(void) { return INFL_VERSION_STRING; }

int infl_version_number(void) { return INFL_VERSION_NUMBER; }

const char *infl_status_name(infl_status status) {
    static const char *const names[] = {
        "INFL_OK",           "INFL_E_ARGUMENT",    "INFL_E_MEMORY",
        "INFL_E_IO",         "INFL_E_FORMAT",      "INFL_E_NONFINITE",
        "INFL_E_INDEFINITE", "INFL_E_DIVERGED",    "INFL_E_UNCONVERGED",
        "INFL_E_CANCELLED",  "INFL_E_UNSUPPORTED", "INFL_E_BUDGET",
        "INFL_E_CALLBACK",
    };
    size_t index = (size_t)status;
    return index < sizeof names / sizeof names[0] ? names[index] : "an unknown status";
}

/* Bytes of the letter in UTF-8 that begins here; 0: of none, or of a control character. */
static size_t letter_bytes(const char *text) {
    static const uint32_t mark[] = {0, 0, 0xc0, 0xe0, 0xf0};        /* of a first byte, of 1 to 4 */
    static const uint32_t least[] = {0, ' ', 0xa0, 0x800, 0x10000}; /* 0x80 to 0x9f are control characters too */
    const unsigned char *bytes = (const unsigned char *)text;
    size_t n = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    uint32_t letter = bytes[0] - mark[n];
    for (size_t i = 1; i < n; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        letter = letter << 6 | (bytes[i] & 0x3f);
    }
    int surrogate = letter >= 0xd800 && letter < 0xe000;
    return letter < least[n] || letter == 127 || surrogate || letter > 0x10ffff ? 0 : n;
}

infl_status infl_fail(infl_status status, const char *format, ...) {
    /* formatted aside first: an argument may be the last message itself */
    char message[sizeof last_error];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    /* it may quote a file or its name, and may be shown on a terminal */
    for (size_t i = 0, n; message[i] != '\0'; i += n > 0 ? n : 1)
        if ((n = letter_bytes(message + i)) == 0)
            message[i] = '?';
    memcpy(last_error, message, sizeof message);
    return status;
}

const char *infl_errno_text(int error, char text[INFL_ERRNO_BYTES]) {
    if (strerror_r(error, text, INFL_ERRNO_BYTES) != 0)
        snprintf(text, INFL_ERRNO_BYTES, "error %d", error);
    return text;
}

infl_status infl_errno_status(int error) { return error == ENOMEM ? INFL_E_MEMORY : INFL_E_IO; }

infl_status infl_refuse_budget(size_t budget, size_t least) {
    return infl_fail(INFL_E_BUDGET, "a memory budget of %zu bytes is too small: this needs at least %zu", budget,
                     least);
}

const char *infl_error_cause(void) {
    size_t length = strspn(last_error, "abcdefghijklmnopqrstuvwxyz0123456789_");
    int is_name = strncmp(last_error, "infl_", 5) == 0 && strncmp(last_error + length, ": ", 2) == 0;
    return is_name ? last_error + length + 2 : last_error;
}

infl_status infl_in_name_of(const char *function, infl_status status) {
    return status == INFL_OK ? INFL_OK : infl_fail(status, "%s: %s", function, infl_error_cause());
}

infl_status infl_report_progress(infl_progress_fn progress, void *context, const char *stage, size_t done,
                                 size_t total) {
    if (progress == NULL || total == 0 || progress(context, stage, done, total) == 0)
        return INFL_OK;
    return infl_fail(INFL_E_CANCELLED, "the progress callback cancelled stage \"%s\" at %zu of %zu", stage, done,
                     total);
}

infl_status infl_read_options(void *options, size_t known, const void *given, const char *function, const char *name) {
    if (given == NULL)
        return INFL_OK;
    size_t size;
    memcpy(&size, given, sizeof size);
    /* every version of such a struct has whole words, of which the size is the first */
    if (size < sizeof size || size % sizeof size != 0 || size > 1u << 12)
        return infl_fail(INFL_E_ARGUMENT, "%s: %s has size %zu; initialise it with its INIT macro", function, name,
                         size);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)given)[i] != 0)
            return infl_fail(INFL_E_ARGUMENT, "%s: %s uses a field (byte %zu) that version %s does not know", function,
                             name, i, INFL_VERSION_STRING);
    memcpy(options, given, size < known ? size : known);
    memcpy(options, &known, sizeof known);
    return INFL_OK;
}

void infl_error_collect(infl_error_slot *slot, infl_status status, size_t index) {
    if (status == INFL_OK || (slot->status != INFL_OK && slot->index <= index))
        return;
    slot->status = status;
    slot->index = index;
    memcpy(slot->message, last_error, sizeof slot->message);
}

infl_status infl_error_raise(const infl_error_slot *slot) {
    if (slot->status != INFL_OK)
        memcpy(last_error, slot->message, sizeof last_error);
    return slot->status;
}

/*
 * infl_retrain_without with a journal whose records have any payload. The first byte is options: 1 for the control run,
 * 2 for losses, 4 for θ. Then the records: 2 bytes for a length, and a payload.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "journal.h"
#include "little_endian.h"

enum { P = 3, N = 4, M = 2, T = 2 };

static const char function[] = "infl_retrain_without";
static const size_t removed[M] = {2, 0}, tests[T] = {1, 3};

typedef struct outputs {
    double changes[M * P], losses[T * M];
    infl_train_result results[M], control_result;
} outputs;

static infl_status retrain(int bits, outputs *to, infl_retrain_output *output) {
    infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_objective *objective = fuzz_objective();
    sgd.optimiser = INFL_SGD;
    sgd.steps = 1;
    options.train = &sgd;
    options.subtract_control = bits & 1;
    options.threads = 1;
    options.journal = fuzz_path(0);
    *output = (infl_retrain_output)INFL_RETRAIN_OUTPUT_INIT;
    memset(to, 7, sizeof *to);
    output->results = to->results;
    if ((bits & 1) != 0)
        output->control_result = &to->control_result;
    if ((bits & 2) != 0)
        output->loss_changes = to->losses;
    if ((bits & 4) != 0)
        output->parameter_changes = to->changes;
    return infl_retrain_without(objective, removed, M, (bits & 2) != 0 ? objective : NULL, tests, T, &options, output);
}

static void get_configuration(int bits, uint64_t configuration[2]) {
    static uint64_t known[8][2];
    static unsigned char head[8][40];
    outputs to;
    infl_retrain_output output;
    if (head[bits][0] == 0) {
        (void)fuzz_write(0, "", 0);
        FUZZ_OK(retrain(bits, &to, &output));
        FUZZ_CHECK(fuzz_read(0, head[bits], sizeof head[bits]) == sizeof head[bits]);
        known[bits][0] = infl_get_number(head[bits] + 16, 8);
        known[bits][1] = infl_get_number(head[bits] + 24, 8);
    }
    memcpy(configuration, known[bits], sizeof known[bits]);
}

static void write_journal(fuzz_input *records, const uint64_t configuration[2]) {
    infl_journal *journal;
    const unsigned char *payload;
    size_t length;
    FUZZ_OK(infl_journal_open(&journal, function, fuzz_write(0, "", 0), configuration));
    FUZZ_OK(infl_journal_read(journal, &payload, &length));
    while (records->n > 0) {
        length = fuzz_number(records);
        fuzz_input record = fuzz_bytes(records, length);
        FUZZ_OK(infl_journal_append(journal, record.bytes, record.n));
    }
    infl_journal_close(journal);
}

static void check_result(const infl_train_result *result) {
    FUZZ_CHECK(isfinite(result->value) && isfinite(result->gradient_norm));
    FUZZ_CHECK(result->reason >= INFL_STOP_STEPS && result->reason <= INFL_STOP_STALLED);
}

static int same_result(const infl_train_result *a, const infl_train_result *b) {
    return a->value == b->value && a->gradient_norm == b->gradient_norm && a->steps == b->steps &&
           a->reason == b->reason && a->products == b->products;
}

/* To the bit, but for what stands between the members of a struct. */
static int same(const outputs *a, const outputs *b) {
    for (int i = 0; i < M; i++)
        if (!same_result(&a->results[i], &b->results[i]))
            return 0;
    return memcmp(a->changes, b->changes, sizeof a->changes) == 0 &&
           memcmp(a->losses, b->losses, sizeof a->losses) == 0 && same_result(&a->control_result, &b->control_result);
}

FUZZ_TARGET(retrain) {
    fuzz_input records = {bytes, n};
    static unsigned char before[1 << 20], after[1 << 20];
    outputs first, second, untouched;
    infl_retrain_output output;
    uint64_t configuration[2];
    int bits = fuzz_byte(&records) & 7;
    if (n > sizeof before / 32) /* an empty record takes 2 bytes here, and 24 there */
        return;
    get_configuration(bits, configuration);
    write_journal(&records, configuration);
    size_t length = fuzz_read(0, before, sizeof before);
    fuzz_limit_memory(4 * n + (1 << 20));
    infl_status status = retrain(bits, &first, &output);
    fuzz_check_memory();
    if (!fuzz_succeeded(status, FUZZ_MAY(INFL_E_FORMAT), function, fuzz_untouched)) {
        memset(&untouched, 7, sizeof untouched);
        FUZZ_CHECK(memcmp(&first, &untouched, sizeof first) == 0);
        FUZZ_CHECK(fuzz_read(0, after, sizeof after) == length && memcmp(before, after, length) == 0);
        return;
    }
    size_t units = M + (bits & 1), resumed = output.resumed;
    FUZZ_CHECK(resumed <= units && output.dropped == 0);
    for (int i = 0; i < M; i++)
        check_result(&first.results[i]);
    if ((bits & 1) != 0)
        check_result(&first.control_result);
    /* what was there is kept, the rest is appended, and the second time all is there */
    size_t longer = fuzz_read(0, after, sizeof after);
    FUZZ_CHECK(longer >= length && memcmp(before, after, length) == 0);
    FUZZ_OK(retrain(bits, &second, &output));
    FUZZ_CHECK(output.resumed == units && same(&first, &second));
    FUZZ_CHECK(fuzz_read(0, before, sizeof before) == longer);
}

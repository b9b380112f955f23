/*
 * infl_model_read_weights and infl_model_write_weights. The first byte is options: bits 0 and 1 whose names, 4 for f32, 8
 * for ignore_unknown, 16 for a prefix; the rest is the file.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { PARAMETERS = 4 + 2 + 2 + 2 + 18 + 3, STATE = 4, TENSORS = 8 };

typedef struct numbers {
    double theta[PARAMETERS], state[STATE];
} numbers;

/* A convolution, batch normalisation and a dense layer. */
static infl_model *make_model(infl_precision precision) {
    infl_builder *builder;
    infl_model *model;
    infl_conv2d conv = INFL_CONV2D_INIT;
    conv.channels = 2;
    conv.kernel[1] = 2;
    FUZZ_OK(infl_builder_create_image(&builder, 1, 3, 2));
    infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv);
    node = infl_builder_batch_norm(builder, node, NULL);
    node = infl_builder_activation(builder, node, INFL_RELU);
    node = infl_builder_dense(builder, node, 3, 1, INFL_INIT_HE);
    FUZZ_OK(infl_model_create(&model, builder, node, precision, 1));
    infl_builder_destroy(builder);
    FUZZ_CHECK(infl_model_parameters(model) == PARAMETERS && infl_model_state(model) == STATE);
    return model;
}

static void get(const infl_model *model, numbers *out) {
    FUZZ_OK(infl_model_get_parameters(model, out->theta));
    FUZZ_OK(infl_model_get_state(model, out->state));
}

static infl_model *model_of(infl_precision precision, numbers *initial) {
    static infl_model *models[2];
    static numbers numbers_of[2];
    int i = precision == INFL_F64;
    if (models[i] == NULL) {
        models[i] = make_model(precision);
        get(models[i], &numbers_of[i]);
    }
    *initial = numbers_of[i];
    FUZZ_OK(infl_model_set_parameters(models[i], initial->theta));
    FUZZ_OK(infl_model_set_state(models[i], initial->state));
    return models[i];
}

FUZZ_TARGET(weights) {
    static const infl_weight_names names[] = {INFL_NAMES_OWN, INFL_NAMES_SEQUENTIAL, INFL_NAMES_TABLE, INFL_NAMES_ZOO};
    static const char *const table[TENSORS] = {"w", NULL, "g", "b", "dense.w", "dense.b", "m", "v"};
    fuzz_input file = {bytes, n};
    int bits = fuzz_byte(&file);
    infl_weights_options options = INFL_WEIGHTS_OPTIONS_INIT;
    numbers before, after, again;
    infl_model *model = model_of((bits & 4) != 0 ? INFL_F32 : INFL_F64, &before);
    unsigned may =
        FUZZ_MAY(INFL_E_ARGUMENT) | FUZZ_MAY(INFL_E_UNSUPPORTED) | FUZZ_MAY(INFL_E_NONFINITE) | FUZZ_MAY(INFL_E_FORMAT);
    options.names = names[bits & 3];
    options.network = options.names == INFL_NAMES_ZOO ? (int)INFL_ZOO_LENET5 : -1;
    options.ignore_unknown = (bits & 8) != 0;
    options.prefix = (bits & 16) != 0 ? "module." : NULL;
    options.table = table;
    options.n_table = TENSORS;
    const char *path = fuzz_write(0, file.bytes, file.n);
    fuzz_limit_memory(256 * n + (1 << 18));
    infl_status status = infl_model_read_weights(model, path, &options);
    fuzz_check_memory();
    int succeeded = fuzz_succeeded(status, may, "infl_model_read_weights", fuzz_untouched);
    get(model, &after);
    if (!succeeded) {
        FUZZ_CHECK(memcmp(&before, &after, sizeof before) == 0);
        return;
    }
    for (int i = 0; i < PARAMETERS; i++)
        FUZZ_CHECK(isfinite(after.theta[i]));
    for (int i = 0; i < STATE; i++)
        FUZZ_CHECK((i < STATE / 2 || after.state[i] >= 0) && isfinite(after.state[i]));
    FUZZ_OK(infl_model_write_weights(model, fuzz_path(1), &options));
    (void)model_of((bits & 4) != 0 ? INFL_F32 : INFL_F64, &before);
    FUZZ_OK(infl_model_read_weights(model, fuzz_path(1), &options));
    get(model, &again);
    FUZZ_CHECK(memcmp(&after, &again, sizeof after) == 0);
}

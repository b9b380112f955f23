/*
 * The library's side of the comparison with PyTorch:
 *
 *   ours FOLDER NETWORK CHANNELS HEIGHT WIDTH CLASSES WIDTH_FACTOR BATCH_NORM ROWS SEED
 *
 * makes a network of the zoo and data, and writes both and what the library computes of them, all in f64, into FOLDER.
 * With two arguments more, FILE and zoo or sequential, it reads such a network's weights by these names from the file
 * instead, and writes the outputs of the same data, and the weights again by the same names, as written.safetensors.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "influence.h"

static void check(infl_status status) {
    if (status == INFL_OK)
        return;
    fprintf(stderr, "oracle: %s: %s\n", infl_status_name(status), infl_last_error());
    exit(1);
}

static double *room(size_t n) {
    double *x = calloc(n, sizeof *x);
    if (x == NULL)
        exit(1);
    return x;
}

/* n numbers between −1 and 1 (SplitMix64) */
static double *noise(size_t n, uint64_t state) {
    double *x = room(n);
    for (size_t i = 0; i < n; i++) {
        uint64_t z = state += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        x[i] = (double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1.0;
    }
    return x;
}

/* An array of rows × columns doubles in NumPy's format, version 1: the header fills 128 bytes. */
static void save(const char *folder, const char *name, const double *x, size_t rows, size_t columns) {
    char path[4096], header[128], shape[96];
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    int n =
        snprintf(shape, sizeof shape, "{'descr': '<f8', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(header + 10, shape, (size_t)n);
    header[127] = '\n';
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(header, sizeof header, 1, file) != 1 ||
        fwrite(x, sizeof *x, rows * columns, file) != rows * columns || fclose(file) != 0) {
        fprintf(stderr, "oracle: %s could not be written\n", path);
        exit(1);
    }
}

static infl_zoo_network network_named(const char *name) {
    int network = 0;
    while (infl_zoo_network_name((infl_zoo_network)network) != NULL &&
           strcmp(infl_zoo_network_name((infl_zoo_network)network), name) != 0)
        network++;
    return (infl_zoo_network)network;
}

static size_t number(const char *text) { return (size_t)strtoull(text, NULL, 10); }

/* Into the folder: what the network in a file gives for the data, and the file as the library writes it. */
static void through_file(infl_model *model, const infl_dataset *dataset, const char *folder, const char *path,
                         const char *network, const char *names) {
    char written[4096];
    infl_weights_options options = INFL_WEIGHTS_OPTIONS_INIT;
    size_t n = infl_dataset_rows(dataset), c = infl_model_outputs(model);
    double *outputs = room(n * c);
    options.names = names[0] == 'z' ? INFL_NAMES_ZOO : INFL_NAMES_SEQUENTIAL;
    options.network = (int)network_named(network);
    check(infl_model_read_weights(model, path, &options));
    check(infl_model_predict(model, dataset, outputs));
    save(folder, "outputs", outputs, n, c);
    snprintf(written, sizeof written, "%s/written.safetensors", folder);
    check(infl_model_write_weights(model, written, &options));
    free(outputs);
}

int main(int argc, char **argv) {
    if (argc != 11 && argc != 13) {
        fprintf(stderr, "usage: ours FOLDER NETWORK CHANNELS HEIGHT WIDTH CLASSES WIDTH_FACTOR BATCH_NORM ROWS SEED "
                        "[FILE zoo|sequential]\n");
        return 2;
    }
    const char *folder = argv[1];
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    options.channels = number(argv[3]);
    options.height = number(argv[4]);
    options.width = number(argv[5]);
    options.n_classes = number(argv[6]);
    options.width_factor = strtod(argv[7], NULL);
    options.batch_norm = argv[8][0] == '1';
    size_t n = number(argv[9]);
    uint64_t seed = number(argv[10]);
    infl_model *model;
    check(infl_model_create_zoo(&model, network_named(argv[2]), &options, INFL_F64, seed));
    size_t p = infl_model_parameters(model), d = infl_model_inputs(model), c = options.n_classes;

    double *x = noise(n * d, seed + 2), *classes = room(n);
    int32_t *labels = malloc(n * sizeof *labels);
    if (labels == NULL)
        return 1;
    for (size_t i = 0; i < n; i++) {
        labels[i] = (int32_t)((3 * i + 1) % c);
        classes[i] = labels[i];
    }
    infl_dataset *dataset;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = n;
    spec.n_features = d;
    spec.features = x;
    spec.labels = labels;
    spec.n_classes = c;
    check(infl_dataset_create(&dataset, &spec));
    if (argc == 13) {
        through_file(model, dataset, folder, argv[11], argv[2], argv[12]);
        infl_dataset_destroy(dataset);
        infl_model_destroy(model);
        free(x);
        free(labels);
        free(classes);
        return 0;
    }

    /* biases, scales and shifts of their own too */
    double *theta = room(p), *wiggle = noise(p, seed + 1), *v = noise(p, seed + 3);
    check(infl_model_get_parameters(model, theta));
    for (size_t i = 0; i < p; i++)
        theta[i] += 0.1 * wiggle[i];
    /* running means around 0, variances around 1 */
    size_t n_state = infl_model_state(model);
    double *state = room(n_state), *spread = noise(n_state, seed + 4);
    for (size_t t = 0; t < infl_model_state_tensors(model); t++) {
        infl_tensor tensor;
        check(infl_model_state_tensor(model, t, &tensor));
        int variance = strstr(tensor.name, "variance") != NULL;
        for (size_t i = tensor.offset; i < tensor.offset + tensor.length; i++)
            state[i] = variance ? 1.0 + 0.5 * spread[i] : 0.3 * spread[i];
    }
    check(infl_model_set_state(model, state));

    infl_objective *objective;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    check(infl_objective_create(&objective, model, &loss, dataset, NULL));

    double value, *outputs = room(n * c), *gradient = room(p), *product = room(p), *rows = room(n * p);
    /* deep networks that normalise nothing grow: smaller weights, until the loss is not at an end of its range */
    double largest;
    do {
        check(infl_model_set_parameters(model, theta));
        check(infl_model_predict(model, dataset, outputs));
        largest = 0.0;
        for (size_t i = 0; i < n * c; i++)
            largest = fmax(largest, fabs(outputs[i]));
        for (size_t i = 0; largest > 4.0 && i < p; i++)
            theta[i] *= 0.95;
    } while (largest > 4.0);
    check(infl_objective_evaluate(objective, &value, gradient));
    check(infl_objective_product(objective, INFL_HESSIAN, v, 1, product));
    check(infl_objective_row_gradients(objective, NULL, 0, rows));
    save(folder, "theta", theta, 1, p);
    save(folder, "state", state, 1, n_state);
    save(folder, "features", x, n, d);
    save(folder, "classes", classes, 1, n);
    save(folder, "vector", v, 1, p);
    save(folder, "outputs", outputs, n, c);
    save(folder, "loss", &value, 1, 1);
    save(folder, "gradient", gradient, 1, p);
    save(folder, "product", product, 1, p);
    save(folder, "row_gradients", rows, n, p);
    infl_objective_destroy(objective);
    infl_dataset_destroy(dataset);
    infl_model_destroy(model);
    free(theta);
    free(wiggle);
    free(state);
    free(spread);
    free(x);
    free(v);
    free(labels);
    free(classes);
    free(outputs);
    free(gradient);
    free(product);
    free(rows);
    return 0;
}

/*
 * Trains a network of the zoo on MNIST or CIFAR-10 by SGD and tells, epoch by epoch, the loss on the training rows and
 * the accuracy on the test rows.
 */
#include <influence.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/arguments.h"
#include "common/cifar10.h"
#include "common/interrupt.h"
#include "common/mnist.h"
#include "common/output.h"
#include "common/program.h"
#include "common/progress.h"
#include "common/try.h"

enum { MAX_PATH = 4096 };

/* ---- settings --------------------------------------------------------------------------------------------------- */

enum { DATA_MNIST, DATA_CIFAR10 };
enum { SCHEDULE_CONSTANT, SCHEDULE_STEP };
enum { BATCH_NORM_PUBLISHED, BATCH_NORM_OFF, BATCH_NORM_ON };

typedef struct settings {
    int help, version, flip;
    size_t preset, network, dataset, rows, batch_norm, epochs, batch, crop, schedule, seed, precision, threads;
    const char *data, *out;
    double width, rate, momentum, decay;
} settings;

static const settings defaults = {.network = INFL_ZOO_LENET5,
                                  .width = 1.0,
                                  .epochs = 5,
                                  .batch = 100,
                                  .seed = 1,
                                  .rate = 0.02,
                                  .momentum = 0.9,
                                  .decay = 5e-4,
                                  .data = "",
                                  .out = "train.csv"};

enum { MAX_NAMES = 512 };

/* The zoo's names as the choices of an option: "kl_cnn|lenet5|...". */
static void list_networks(char *names) {
    const char *name;
    size_t length = 0;
    names[0] = '\0';
    for (int i = 0; (name = infl_zoo_network_name((infl_zoo_network)i)) != NULL && length < MAX_NAMES; i++) {
        length += (size_t)snprintf(names + length, MAX_NAMES - length, "%s%s", i == 0 ? "" : "|", name);
    }
}

enum { MAX_OPTIONS = 20 };

/* Fills the table of options over s; how many there are. */
static size_t settings_table(settings *s, const char *networks, argument *table) {
    const argument options[] = {
        {"network", ARGUMENT_CHOICE, &s->network, networks, 0, 0, 1, "what to train"},
        {"dataset", ARGUMENT_CHOICE, &s->dataset, "mnist|cifar10", 0, 0, 1, "what to train on"},
        {"data", ARGUMENT_TEXT, &s->data, NULL, 0, 0, 0,
         "folder with mnist/train-images-idx3-ubyte.gz ..., cifar10/data_batch_1.bin ...; default: INFLUENCE_DATA"},
        {"rows", ARGUMENT_SIZE, &s->rows, NULL, 0, 60000, 1, "training rows, the first ones; 0: all"},
        {"width", ARGUMENT_REAL, &s->width, NULL, 1e-3, 1e3, 1, "all channels and hidden units times this"},
        {"batch-norm", ARGUMENT_CHOICE, &s->batch_norm, "published|off|on", 0, 0, 1,
         "after every convolution; published: in ResNets alone"},
        {"epochs", ARGUMENT_SIZE, &s->epochs, NULL, 1, 1e6, 1, "passes over the training rows"},
        {"batch", ARGUMENT_SIZE, &s->batch, NULL, 1, 60000, 1, "rows a step"},
        {"crop", ARGUMENT_SIZE, &s->crop, NULL, 0, 31, 1, "images are shifted at random by up to this many pixels"},
        {"flip", ARGUMENT_FLAG, &s->flip, NULL, 0, 0, 0, "images are mirrored left to right at random"},
        {"rate", ARGUMENT_REAL, &s->rate, NULL, 1e-12, 100, 1, "of learning"},
        {"schedule", ARGUMENT_CHOICE, &s->schedule, "constant|step", 0, 0, 1,
         "step: a tenth of the rate after 60 % of the steps, and again after 85 %"},
        {"momentum", ARGUMENT_REAL, &s->momentum, NULL, 0, 0.9999, 1, "of SGD"},
        {"decay", ARGUMENT_REAL, &s->decay, NULL, 0, 1e3, 1, "weight decay, of weights but not biases"},
        {"seed", ARGUMENT_SIZE, &s->seed, NULL, 0, 1e9, 1, "of the first parameters, the batches and changed images"},
        {"precision", ARGUMENT_CHOICE, &s->precision, "f32|f64", 0, 0, 1, "of the network"},
        {"threads", ARGUMENT_SIZE, &s->threads, NULL, 0, 4096, 0,
         "0: as many as OpenMP offers. Results do not depend on it"},
        {"out", ARGUMENT_TEXT, &s->out, NULL, 0, 0, 0, "the CSV file of what is told"},
        {"help", ARGUMENT_FLAG, &s->help, NULL, 0, 0, 0, "this text"},
        {"version", ARGUMENT_FLAG, &s->version, NULL, 0, 0, 0, "the library's version"},
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof options[0];
}

/* ---- data ------------------------------------------------------------------------------------------------------- */

typedef struct image_shape {
    size_t channels, height, width;
} image_shape;

static const image_shape shapes[] = {[DATA_MNIST] = {1, 28, 28}, [DATA_CIFAR10] = {3, 32, 32}};

/* The training rows, or the test rows. */
static infl_status read_rows(infl_dataset **out, const settings *s, int training) {
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.precision = (infl_precision)s->precision;
    options.count = training ? s->rows : 0;
    if (s->dataset == DATA_MNIST)
        return mnist_read(out, s->data, training ? "train" : "t10k", &options);
    return cifar10_read(out, s->data, training, &options);
}

/* Every channel gets mean 0 and deviation 1 over the training rows; the test rows follow by the same numbers. */
static infl_status normalise(infl_dataset **train, infl_dataset **test, size_t channels) {
    infl_dataset **both[] = {train, test};
    double mean[3], deviation[3];
    TRY(infl_dataset_measure_channels(*train, channels, mean, deviation));
    for (size_t i = 0; i < 2; i++) {
        infl_dataset *raw = *both[i];
        TRY(infl_dataset_normalise_channels(both[i], raw, channels, mean, deviation));
        infl_dataset_destroy(raw);
    }
    return INFL_OK;
}

/* ---- training --------------------------------------------------------------------------------------------------- */

typedef struct run {
    const settings *s;
    infl_dataset *train, *test;
    infl_model *model;
    infl_objective *objective; /* what is minimised                            */
    infl_objective *loss;      /* the same without decay, to be told           */
    size_t epoch_steps;        /* steps an epoch                               */
    size_t advanced;           /* steps of the bar                             */
    struct timespec start;
    progress *bar;
    output csv;
} run;

static double seconds_since(const struct timespec *start) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

static infl_status tell(run *r, size_t step) {
    double loss, accuracy, epoch = (double)step / (double)r->epoch_steps;
    TRY(infl_objective_evaluate(r->loss, &loss, NULL));
    TRY(infl_model_accuracy(r->model, r->test, &accuracy));
    double seconds = seconds_since(&r->start);
    progress_line(r->bar, 1, "epoch %6.2f   train loss %.5f   test accuracy %.4f   %7.1f s", epoch, loss, accuracy,
                  seconds);
    fprintf(r->csv.file, "%zu,", step);
    output_number(r->csv.file, epoch);
    fputc(',', r->csv.file);
    output_number(r->csv.file, loss);
    fputc(',', r->csv.file);
    output_number(r->csv.file, accuracy);
    fprintf(r->csv.file, ",%.1f\n", seconds);
    return INFL_OK;
}

/* Called after each epoch. */
static int on_progress(void *context, const char *stage, size_t done, size_t total) {
    run *r = context;
    (void)stage;
    (void)total;
    progress_advance(r->bar, (double)(done - r->advanced));
    r->advanced = done;
    if (tell(r, done) != INFL_OK) {
        progress_line(r->bar, 1, "train: %s", infl_last_error());
        return 1;
    }
    return interrupt_requested() != 0;
}

static infl_status make_model(run *r) {
    static const int batch_norm[] = {[BATCH_NORM_PUBLISHED] = -1, [BATCH_NORM_OFF] = 0, [BATCH_NORM_ON] = 1};
    const settings *s = r->s;
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    options.channels = shapes[s->dataset].channels;
    options.height = shapes[s->dataset].height;
    options.width = shapes[s->dataset].width;
    options.n_classes = infl_dataset_targets(r->train);
    options.batch_norm = batch_norm[s->batch_norm];
    options.width_factor = s->width;
    return infl_model_create_zoo(&r->model, (infl_zoo_network)s->network, &options, (infl_precision)s->precision,
                                 s->seed);
}

static infl_status make_objectives(run *r) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = (int)r->s->threads;
    TRY(infl_objective_create(&r->loss, r->model, &loss, r->train, &options));
    options.decay = r->s->decay;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    return infl_objective_create(&r->objective, r->model, &loss, r->train, &options);
}

static infl_status train(run *r) {
    const settings *s = r->s;
    size_t n = infl_dataset_rows(r->train), batch = s->batch < n ? s->batch : n;
    r->epoch_steps = (n + batch - 1) / batch;
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.optimiser = INFL_SGD;
    options.steps = s->epochs * r->epoch_steps;
    options.batch = batch;
    options.learning_rate = s->rate;
    const size_t drops[] = {options.steps * 60 / 100, options.steps * 85 / 100};
    if (s->schedule == SCHEDULE_STEP && drops[0] < drops[1]) {
        options.milestones = drops;
        options.n_milestones = 2;
    }
    options.momentum = s->momentum;
    options.seed = s->seed;
    options.crop = s->crop;
    options.flip = s->flip;
    options.progress = on_progress;
    options.progress_context = r;
    options.report_every = r->epoch_steps;
    printf("%zu training rows, %zu test rows, %zu parameters, %zu steps\n", n, infl_dataset_rows(r->test),
           infl_model_parameters(r->model), options.steps);
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &r->start);
    r->bar = progress_begin((double)options.steps);
    infl_status status = tell(r, 0);
    if (status == INFL_OK)
        status = infl_train(r->objective, &options, NULL);
    progress_end(r->bar);
    return status;
}

/* ---- the program ------------------------------------------------------------------------------------------------ */

static const char about[] =
    "Trains a network of the zoo on MNIST or CIFAR-10 by SGD. Images get mean 0 and deviation 1 in each\n"
    "channel over the training rows.\n";

static const char statuses[] =
    "Exit status: 0 done, 1 failed, 2 an option is wrong or the data is not there, 130 interrupted.\n";

/* There is one preset. */
static void set_default(settings *s, size_t preset) {
    *s = defaults;
    s->preset = preset;
}

/* Opens the CSV file, in a folder that is made where it is not there. */
static int open_csv(output *csv, const char *path) {
    char folder[MAX_PATH] = ".";
    const char *slash = strrchr(path, '/');
    if (slash != NULL)
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (output_make_folder(folder) != 0 || output_open(csv, folder, slash == NULL ? path : slash + 1) != 0)
        return -1;
    fprintf(csv->file, "step,epoch,train_loss,test_accuracy,seconds\n");
    return 0;
}

static int run_all(run *r) {
    infl_status status = read_rows(&r->train, r->s, 1);
    if (status == INFL_OK)
        status = read_rows(&r->test, r->s, 0);
    if (status != INFL_OK) {
        fprintf(stderr, "train: %s\n", infl_last_error());
        return status == INFL_E_IO || status == INFL_E_ARGUMENT ? EXIT_USAGE : EXIT_FAILURE;
    }
    status = normalise(&r->train, &r->test, shapes[r->s->dataset].channels);
    if (status == INFL_OK)
        status = make_model(r);
    if (status == INFL_OK)
        status = make_objectives(r);
    int unwritten = 0;
    if (status == INFL_OK) {
        if (open_csv(&r->csv, r->s->out) != 0)
            return EXIT_FAILURE;
        status = train(r);
        unwritten = output_close(&r->csv);
    }
    if (interrupt_requested())
        return EXIT_SIGNAL + interrupt_requested();
    if (status != INFL_OK)
        fprintf(stderr, "train: %s\n", infl_last_error());
    return status != INFL_OK || unwritten != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    settings s;
    char networks[MAX_NAMES];
    argument table[MAX_OPTIONS];
    int result;
    list_networks(networks);
    size_t n = settings_table(&s, networks, table);
    const program p = {"train", about, statuses, table, n, &s, set_default, &s.preset, &s.help, &s.version};
    if (program_begin(&p, 0, argc, argv, &result))
        return result;
    if (program_find_data("train", &s.data) != 0)
        return EXIT_USAGE;
    interrupt_install();
    run r = {.s = &s};
    result = run_all(&r);
    infl_objective_destroy(r.objective);
    infl_objective_destroy(r.loss);
    infl_model_destroy(r.model);
    infl_dataset_destroy(r.train);
    infl_dataset_destroy(r.test);
    return program_finish_stdout("train") != 0 && result == 0 ? EXIT_FAILURE : result;
}

#include "cifar_settings.h"

#include <influence.h>

#include <string.h>

/* By the zoo's order: kl_cnn, lenet5, vgg13, vgg14, resnet18, resnet50. */
static const size_t steps[CIFAR_PRESETS][N_NETWORKS] = {
    [CIFAR_QUICK] = {300, 150, 60, 60, 30, 30},
    [CIFAR_SMALL] = {4000, 2000, 1000, 1000, 600, 300},
    [CIFAR_PAPER] = {100000, 60000, 60000, 60000, 60000, 60000},
};

void cifar_settings_default(settings *s, size_t preset) {
    static const settings presets[CIFAR_PRESETS] = {
        [CIFAR_QUICK] = {.width = 0.05,
                         .networks = 1u << 1 | 1u << 2 | 1u << 5,
                         .rows = 150,
                         .test_rows = 100,
                         .batch = 50,
                         .solver_steps = 60,
                         .both_curvatures = 1,
                         .spectrum_rows = 50,
                         .top = 6,
                         .retrain_seeds = 2},
        [CIFAR_SMALL] = {.width = 0.25,
                         .networks = 1,
                         .rows = 2000,
                         .test_rows = 1000,
                         .batch = 100,
                         .solver_steps = 400,
                         .spectrum_rows = 200,
                         .top = 40,
                         .retrain_seeds = 1},
        [CIFAR_PAPER] = {.width = 1.0,
                         .networks = 1,
                         .batch = 128,
                         .solver_steps = 10000,
                         .spectrum_rows = 1000,
                         .top = 40,
                         .retrain_seeds = 1},
    };
    *s = presets[preset];
    s->preset = preset;
    s->plots = 1;
    s->out = "cifar-results";
    s->data = "";
    s->dataset = DATA_BOTH;
    s->decays = (argument_reals){{1e-3, 0}, 2};
    s->seeds = s->first_seed = 1;
    s->precision = INFL_F32;
    s->rate = 0.02;
    s->momentum = 0.9;
    s->solver_tolerance = 1e-2;
    s->damping = -1.0;
    s->retrain_percent = 6.0;
    s->retrain_rate = 1.0;
    s->resamples = 2000;
}

size_t cifar_steps(const settings *s, size_t network) { return s->steps > 0 ? s->steps : steps[s->preset][network]; }

size_t cifar_settings_table(settings *s, argument *table) {
    const argument options[] = {
        {"preset", ARGUMENT_CHOICE, &s->preset, CIFAR_PRESET_NAMES, 0, 0, 1,
         "defaults: quick (a minute, to see that it runs), small (three to four hours on 2 cores), paper (full"
         "\n        sizes: weeks)"},
        {"out", ARGUMENT_TEXT, &s->out, NULL, 0, 0, 0, "folder of the results"},
        {"data", ARGUMENT_TEXT, &s->data, NULL, 0, 0, 0,
         "folder with mnist/train-images-idx3-ubyte.gz ..., cifar10/data_batch_1.bin ...; default: INFLUENCE_DATA"},
        {"dataset", ARGUMENT_CHOICE, &s->dataset, "mnist|cifar10|both", 0, 0, 0, "what to train on"},
        {"arch", ARGUMENT_SET, &s->networks, "all|kl_cnn|lenet5|vgg13|vgg14|resnet18|resnet50", 0, 0, 0,
         "the networks, with commas between them"},
        {"decays", ARGUMENT_REALS, &s->decays, NULL, 0, 1e3, 0, "weight decays, of weights but not biases"},
        {"seeds", ARGUMENT_SIZE, &s->seeds, NULL, 1, 1000, 0, "seeds; each has its rows and its first parameters"},
        {"first-seed", ARGUMENT_SIZE, &s->first_seed, NULL, 0, 1e9, 0, "the first of them; the others follow it"},
        {"width", ARGUMENT_REAL, &s->width, NULL, 0.01, 10, 1, "all channels of VGGs and ResNets times this"},
        {"rows", ARGUMENT_SIZE, &s->rows, NULL, 0, 60000, 1,
         "training rows, drawn by the seed; 0, or more than there are: all"},
        {"test-rows", ARGUMENT_SIZE, &s->test_rows, NULL, 0, 10000, 1,
         "test images, the first ones; 0, or more than there are: all"},
        {"steps", ARGUMENT_SIZE, &s->steps, NULL, 0, 1e9, 1,
         "of SGD; 0: as many as the preset has for the network, in small 4,000 (kl_cnn), 2,000 (lenet5), 1,000 (VGGs),"
         "\n        600 (resnet18), 300 (resnet50)"},
        {"batch", ARGUMENT_SIZE, &s->batch, NULL, 1, 60000, 1, "rows a step"},
        {"rate", ARGUMENT_REAL, &s->rate, NULL, 1e-9, 100, 1,
         "of learning, a tenth of it after 60 % of the steps, a hundredth after 85 %"},
        {"momentum", ARGUMENT_REAL, &s->momentum, NULL, 0, 0.9999, 1, "of SGD"},
        {"crop", ARGUMENT_SIZE, &s->crop, NULL, 0, 27, 1,
         "training images, also in retraining, are shifted by up to so many pixels"},
        {"flip", ARGUMENT_FLAG, &s->flip, NULL, 0, 0, 1, "and mirrored with probability 1/2"},
        {"fixed-statistics", ARGUMENT_CHOICE, &s->fixed_statistics, "never|retraining|settled", 0, 0, ARGUMENT_LATER,
         "where ResNets are normalised by their running statistics, as in predictions, and not by the batch's:"
         "\n        nowhere, in retraining, or also in the last 40 % of the training's steps"},
        {"precision", ARGUMENT_CHOICE, &s->precision, "f32|f64", 0, 0, 1, "of the network"},
        {"curvature", ARGUMENT_CHOICE, &s->curvature, "hessian|gauss_newton", 0, 0, 1,
         "of the predictions that rows are chosen by"},
        {"both-curvatures", ARGUMENT_SWITCH, &s->both_curvatures, NULL, 0, 0, 0,
         "also predict for the same rows by the other one"},
        {"damping", ARGUMENT_REAL, &s->damping, NULL, -1, 1e6, 1,
         "λ; -1: the least that lifts the smallest eigenvalue to a five-hundredth of the largest"},
        {"solver", ARGUMENT_CHOICE, &s->solver, "lissa|cg", 0, 0, 1, "the stochastic estimate, or conjugate gradients"},
        {"solver-batch", ARGUMENT_SIZE, &s->solver_batch, NULL, 0, 60000, 1,
         "rows of a step; 0: a sixteenth (lissa) or all of them (cg)"},
        {"solver-steps", ARGUMENT_SIZE, &s->solver_steps, NULL, 1, 1e9, 1,
         "at most; what is there then is taken, and its residual told"},
        {"solver-tolerance", ARGUMENT_REAL, &s->solver_tolerance, NULL, 1e-12, 1, 1, "of the residual"},
        {"spectrum-rows", ARGUMENT_SIZE, &s->spectrum_rows, NULL, 0, 60000, 1,
         "of which the extreme eigenvalues are told beside the results; 0: they are not"},
        {"top", ARGUMENT_SIZE, &s->top, NULL, 3, 10000, 1,
         "most influential rows on a test image to remove, one at a time"},
        {"select", ARGUMENT_CHOICE, &s->select, "magnitude|signed", 0, 0, 1,
         "most influential: the largest predictions by magnitude, or the most positive ones (the most helpful rows)"},
        {"retrain-percent", ARGUMENT_REAL, &s->retrain_percent, NULL, 0.01, 1000, 1,
         "steps of the retraining from the optimum without a row, of those of the training; at least a pass over the "
         "rows"},
        {"retrain-rate", ARGUMENT_REAL, &s->retrain_rate, NULL, 1e-6, 10, 1,
         "their learning rate, as a fraction of the training's first"},
        {"retrain-seeds", ARGUMENT_SIZE, &s->retrain_seeds, NULL, 1, MAX_RETRAIN_SEEDS, 0,
         "orders of batches that a row's retraining is repeated with"},
        {"resamples", ARGUMENT_SIZE, &s->resamples, NULL, 100, 1e7, 0, "of the bootstrap over rows"},
        {"threads", ARGUMENT_SIZE, &s->threads, NULL, 0, 4096, 0,
         "0: as many as OpenMP offers. Results do not depend on it"},
        {"resume", ARGUMENT_FLAG, &s->resume, NULL, 0, 0, 0,
         "go on with what the folder has of a run with the same settings; datasets, networks, decays, seeds, seeds of"
         "\n        retraining and the other curvature may be added. Tables and pictures are of what is asked for; "
         "what else"
         "\n        the folder has is kept, and comes back when it is asked for"},
        {"anew", ARGUMENT_FLAG, &s->anew, NULL, 0, 0, 0,
         "remove what the folder has of an earlier run, and begin again"},
        {"plots", ARGUMENT_SWITCH, &s->plots, NULL, 0, 0, 0, "draw the pictures with gnuplot"},
        {"help", ARGUMENT_FLAG, &s->help, NULL, 0, 0, 0, "this text"},
        {"version", ARGUMENT_FLAG, &s->version, NULL, 0, 0, 0, "the library's version"},
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof options[0];
}

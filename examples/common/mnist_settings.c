#include "mnist_settings.h"

#include <influence.h>

#include <string.h>

/*
 * Small has a larger learning rate than the paper for its fewer steps: that comes nearer to an optimum, from which Newton's
 * method goes on. Its retraining's rate times steps is the paper's, 0.03: no parameter moves further under Adam.
 */
void mnist_settings_default(settings *s, size_t preset) {
    static const settings presets[MNIST_PRESETS] = {
        [MNIST_QUICK] = {.width = 0.3,
                         .rows = 300,
                         .steps = 4000,
                         .batch = 100,
                         .learning_rate = 1e-2,
                         .polish_rounds = 4,
                         .polish_steps = 60,
                         .retrain_steps = 300,
                         .retrain_rate = 1e-4,
                         .test_points = 1,
                         .top = 10,
                         .sweep_top = 10,
                         .band = 10,
                         .rest_rows = 10,
                         .cg_steps = 500,
                         .lissa_steps = 200,
                         .sweep = {{0, 1e-3}, 2}},
        [MNIST_SMALL] = {.width = 1.0,
                         .rows = 5500,
                         .steps = 20000,
                         .batch = 500,
                         .learning_rate = 1e-2,
                         .polish_rounds = 40,
                         .polish_steps = 150,
                         .retrain_steps = 600,
                         .retrain_rate = 5e-5,
                         .test_points = 3,
                         .top = 100,
                         .sweep_top = 40,
                         .band = 100,
                         .rest_rows = 25,
                         .cg_steps = 5000,
                         .lissa_steps = 5000,
                         .sweep = {{0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3}, 6}},
        [MNIST_PAPER] = {.width = 1.0,
                         .rows = 5500,
                         .steps = 500000,
                         .batch = 500,
                         .learning_rate = 1e-4,
                         .polish_rounds = 40,
                         .polish_steps = 150,
                         .retrain_steps = 30000,
                         .retrain_rate = 1e-6,
                         .test_points = 3,
                         .top = 100,
                         .sweep_top = 100,
                         .band = 100,
                         .rest_rows = 100,
                         .sweep = {{0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2}, 7}},
    };
    *s = presets[preset];
    s->preset = preset;
    s->plots = 1;
    s->out = "mnist-results";
    s->data = "";
    s->decays = (argument_reals){{1e-3, 0}, 2};
    s->seeds = s->first_seed = 1;
    s->precision = INFL_F32;
    s->polish_tolerance = 1e-8;
    s->polish_products = preset == MNIST_QUICK ? 100 : 60;
    s->polish_from = 1e-3;
    s->damping = 1e-2;
    s->band_points = 1;
    s->percentile = 30.0;
    s->inverses = 1;
    s->resamples = 2000;
}

size_t mnist_settings_table(settings *s, argument *table) {
    const argument options[] = {
        {"preset", ARGUMENT_CHOICE, &s->preset, "quick|small|paper", 0, 0, 0,
         "defaults: quick (half a minute, to see that it runs), small (an hour or two on 2 cores), paper (its steps:"
         "\n        days)"},
        {"out", ARGUMENT_TEXT, &s->out, NULL, 0, 0, 0, "folder of the results"},
        {"data", ARGUMENT_TEXT, &s->data, NULL, 0, 0, 0,
         "folder with mnist/train-images-idx3-ubyte.gz ...; default: INFLUENCE_DATA"},
        {"decays", ARGUMENT_REALS, &s->decays, NULL, 0, 1e3, 1,
         "weight decays of panels 3a and 3b, of weights but not biases"},
        {"sweep", ARGUMENT_REALS, &s->sweep, NULL, 0, 1e3, 1, "weight decays of panel 3c"},
        {"width", ARGUMENT_REAL, &s->width, NULL, 0.1, 10, 1, "all channels of the network times this"},
        {"seeds", ARGUMENT_SIZE, &s->seeds, NULL, 1, 1000, 0, "seeds; each has its rows and its first parameters"},
        {"first-seed", ARGUMENT_SIZE, &s->first_seed, NULL, 0, 1e9, 0, "the first of them; the others follow it"},
        {"rows", ARGUMENT_SIZE, &s->rows, NULL, 100, MNIST_SPLIT - 1, 1,
         "training rows, drawn from the first 55,000 images"},
        {"steps", ARGUMENT_SIZE, &s->steps, NULL, 1, 1e9, 1, "Adam steps of the training"},
        {"batch", ARGUMENT_SIZE, &s->batch, NULL, 1, MNIST_SPLIT, 1, "rows a step"},
        {"learning-rate", ARGUMENT_REAL, &s->learning_rate, NULL, 1e-12, 10, 1,
         "of Adam; a tenth of it after 60 % of the steps, a hundredth after 85 %"},
        {"precision", ARGUMENT_CHOICE, &s->precision, "f32|f64", 0, 0, 1,
         "of the training and Adam's retraining; all else is in f64"},
        {"polish-tolerance", ARGUMENT_REAL, &s->polish_tolerance, NULL, 1e-15, 1, 1,
         "norm of the gradient that Newton's method is to reach"},
        {"polish-rounds", ARGUMENT_SIZE, &s->polish_rounds, NULL, 0, 1000, 1,
         "Hessians formed on the way, to precondition it; 0: no polishing"},
        {"polish-steps", ARGUMENT_SIZE, &s->polish_steps, NULL, 1, 1000, 1, "Newton steps a round at most"},
        {"polish-products", ARGUMENT_SIZE, &s->polish_products, NULL, 0, 1e6, 1,
         "products with the Hessian a Newton step at most; 0: twice the parameters"},
        {"polish-from", ARGUMENT_REAL, &s->polish_from, NULL, 0, 1e3, 1,
         "the least decay that is polished: with less there may be no optimum to reach, or a far one"},
        {"damping", ARGUMENT_REAL, &s->damping, NULL, 0, 1e6, 1,
         "λ of the predictions; 2, 5, 10, ... times it where H + λI is not positive definite else"},
        {"test-points", ARGUMENT_SIZE, &s->test_points, NULL, 1, MAX_POINTS, 1, "test images, of highest loss"},
        {"top", ARGUMENT_SIZE, &s->top, NULL, 3, MNIST_SPLIT, 1,
         "most influential rows on the first test image to remove, one at a time (3a)"},
        {"sweep-top", ARGUMENT_SIZE, &s->sweep_top, NULL, 3, MNIST_SPLIT, 1,
         "how many of them in panel 3c, and for the other test images"},
        {"band", ARGUMENT_SIZE, &s->band, NULL, 3, MNIST_SPLIT, 1, "rows to remove around the percentile (3b)"},
        {"band-points", ARGUMENT_SIZE, &s->band_points, NULL, 0, MAX_POINTS, 1, "of how many of the test images"},
        {"percentile", ARGUMENT_REAL, &s->percentile, NULL, 0, 100, 1, "of the predictions' magnitudes, of panel 3b"},
        {"select", ARGUMENT_CHOICE, &s->select, "magnitude|signed", 0, 0, 1,
         "most influential: the largest predictions by magnitude, or the most positive ones (the most helpful rows)"},
        {"retrain-steps", ARGUMENT_SIZE, &s->retrain_steps, NULL, 1, 1e9, 1, "Adam steps after the removal of a row"},
        {"retrain-rate", ARGUMENT_REAL, &s->retrain_rate, NULL, 1e-12, 10, 1, "their learning rate"},
        {"rest-rows", ARGUMENT_SIZE, &s->rest_rows, NULL, 0, MNIST_SPLIT, 1,
         "of how many rows of 3a also the truth at rest, where the optimum is polished"},
        {"inverses", ARGUMENT_SWITCH, &s->inverses, NULL, 0, 0, 1,
         "also conjugate gradients, the stochastic estimate and the undamped inverse, at the decays of 3a"},
        {"cg-steps", ARGUMENT_SIZE, &s->cg_steps, NULL, 0, 1e9, 1,
         "of conjugate gradients at most; 0: ten a parameter"},
        {"lissa-steps", ARGUMENT_SIZE, &s->lissa_steps, NULL, 0, 1e9, 1, "of the stochastic estimate; 0: 20,000"},
        {"resamples", ARGUMENT_SIZE, &s->resamples, NULL, 100, 1e7, 1, "of the bootstrap over rows"},
        {"threads", ARGUMENT_SIZE, &s->threads, NULL, 0, 4096, 0,
         "0: as many as OpenMP offers. Results do not depend on it"},
        {"resume", ARGUMENT_FLAG, &s->resume, NULL, 0, 0, 0,
         "go on with what the folder has of a run with the same settings"},
        {"anew", ARGUMENT_FLAG, &s->anew, NULL, 0, 0, 0,
         "remove what the folder has of an earlier run, and begin again"},
        {"plots", ARGUMENT_SWITCH, &s->plots, NULL, 0, 0, 0, "draw the panels with gnuplot"},
        {"help", ARGUMENT_FLAG, &s->help, NULL, 0, 0, 0, "this text"},
        {"version", ARGUMENT_FLAG, &s->version, NULL, 0, 0, 0, "the library's version"},
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof options[0];
}

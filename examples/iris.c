/*
 * Figures 1 and 2 of "Influence Functions in Deep Learning Are Fragile" (Basu, Pope & Feizi, ICLR 2021): fully connected
 * networks on Iris, trained, and the influence function's predictions for the removal of single rows compared with
 * retraining. One configuration is a network (depth or width) and a seed; configurations run side by side, their results
 * are gathered in a fixed order.
 */
#include <influence.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/arguments.h"
#include "common/interrupt.h"
#include "common/journal.h"
#include "common/output.h"
#include "common/plot.h"
#include "common/program.h"
#include "common/progress.h"
#include "common/statistics.h"
#include "common/try.h"

/* ---- settings --------------------------------------------------------------------------------------------------- */

enum { PRESET_QUICK, PRESET_DEMO, PRESET_PAPER };
enum { SELECT_LOSS, SELECT_INFLUENCE };
enum { ROWS_TRAIN, ROWS_ALL };
enum { GRADIENT_EXCLUDED, GRADIENT_INCLUDED };
enum { FIGURE_1A, FIGURE_1B, FIGURE_1C, FIGURE_1D, FIGURE_2A, FIGURE_2B, FIGURE_2C, N_FIGURES };
static const char *const figure_names[N_FIGURES] = {"1a", "1b", "1c", "1d", "2a", "2b", "2c"};

typedef struct settings {
    int help, version, resume, plots;
    size_t preset, threads;
    const char *out;
    unsigned figures;
    argument_list depths, widths;
    size_t seeds, first_seed;
    size_t units, activation, initialiser;
    size_t rows;
    double train_fraction;
    int standardise;
    double decay, damping, learning_rate;
    size_t steps, retrain_steps;
    size_t select, decay_in_gradient;
    double fraction;
    int control, polish;
    size_t lissa_steps, lissa_batch, lissa_repeats;
    double lissa_scale;
} settings;

/*
 * What the paper does not tell is set to what comes nearest to its figures. The eigenvalues of Fig. 2b, which no
 * retraining touches, choose the inputs and the activation: unscaled features with ReLU give 32 at one layer to 930 at
 * eight, where standardised ones stay below 60.
 */
static void settings_default(settings *s, size_t preset) {
    static const argument_list depths[] = {
        {{1, 2, 5}, 3}, {{1, 2, 3, 4, 5, 6, 7, 8}, 8}, {{1, 2, 3, 4, 5, 6, 7, 8}, 8}};
    static const argument_list widths[] = {{{8}, 1}, {{8, 14, 20, 30, 40, 50}, 6}, {{8, 14, 20, 30, 40, 50}, 6}};
    static const size_t seeds[] = {1, 3, 10};
    static const size_t steps[] = {500, 60000, 60000};
    static const size_t retrain_steps[] = {100, 7500, 7500};
    memset(s, 0, sizeof *s);
    s->preset = preset;
    s->depths = depths[preset];
    s->widths = widths[preset];
    s->seeds = seeds[preset];
    s->steps = steps[preset];
    s->retrain_steps = retrain_steps[preset];
    s->plots = 1;
    s->out = "iris-results";
    s->figures = (1u << N_FIGURES) - 1;
    s->first_seed = 1;
    s->units = 5;
    s->activation = INFL_RELU;
    s->initialiser = INFL_INIT_HE;
    s->rows = ROWS_TRAIN;
    s->train_fraction = 0.8;
    s->standardise = 0;
    s->decay = 0.005;
    s->damping = 0.001;
    s->learning_rate = 1e-3;
    s->select = SELECT_LOSS;
    s->decay_in_gradient = GRADIENT_EXCLUDED;
    s->fraction = 0.166;
    s->control = 1;
    s->lissa_steps = 5000;
    s->lissa_batch = 10;
    s->lissa_repeats = 1;
}

enum { MAX_OPTIONS = 40 };

/* Fills the table of options over s; how many there are. */
static size_t settings_table(settings *s, argument *table) {
    const argument options[] = {
        {"preset", ARGUMENT_CHOICE, &s->preset, "quick|demo|paper", 0, 0, 0,
         "defaults: quick (a second, to see that it runs), demo (about a minute), paper (its settings, 10 seeds)"},
        {"out", ARGUMENT_TEXT, &s->out, NULL, 0, 0, 0, "folder of the results"},
        {"figures", ARGUMENT_SET, &s->figures, "1a|1b|1c|1d|2a|2b|2c", 0, 0, 0, "panels to make"},
        {"depths", ARGUMENT_LIST, &s->depths, NULL, 1, 32, 0, "hidden layers, of the depth sweep (1c, 2a, 2b, 2c)"},
        {"widths", ARGUMENT_LIST, &s->widths, NULL, 1, 1000, 0,
         "units of the one hidden layer, of the width sweep (1d)"},
        {"units", ARGUMENT_SIZE, &s->units, NULL, 1, 1000, 1, "units a hidden layer, of the depth sweep"},
        {"seeds", ARGUMENT_SIZE, &s->seeds, NULL, 1, 10000, 0, "seeds; each has its split and its first parameters"},
        {"first-seed", ARGUMENT_SIZE, &s->first_seed, NULL, 0, 1e9, 0, "the first of them; the others follow it"},
        {"activation", ARGUMENT_CHOICE, &s->activation, "identity|tanh|sigmoid|relu|selu|softplus|gelu", 0, 0, 1,
         "after each hidden layer (the paper does not tell)"},
        {"initialiser", ARGUMENT_CHOICE, &s->initialiser, "glorot|he|lecun|truncated-normal", 0, 0, 1,
         "of the weights (the paper does not tell)"},
        {"rows", ARGUMENT_CHOICE, &s->rows, "train|all", 0, 0, 1,
         "train: on a stratified split, the test point among the rows left out; all: on all 150 rows, the test point"
         "\n        among them"},
        {"train-fraction", ARGUMENT_REAL, &s->train_fraction, NULL, 0.1, 0.95, 1, "of the rows, with --rows train"},
        {"standardise", ARGUMENT_SWITCH, &s->standardise, NULL, 0, 0, 1,
         "features to mean 0 and deviation 1 over the training rows"},
        {"decay", ARGUMENT_REAL, &s->decay, NULL, 0, 1e3, 1,
         "weight decay of all parameters; Fig. 1b is always without"},
        {"damping", ARGUMENT_REAL, &s->damping, NULL, 0, 1e6, 1,
         "added to the Hessian where it is not positive definite, or there is no decay"},
        {"steps", ARGUMENT_SIZE, &s->steps, NULL, 1, 1e9, 1, "Adam steps of the training, on all rows"},
        {"retrain-steps", ARGUMENT_SIZE, &s->retrain_steps, NULL, 1, 1e9, 1, "Adam steps after the removal of a row"},
        {"learning-rate", ARGUMENT_REAL, &s->learning_rate, NULL, 1e-12, 10, 1, "of Adam"},
        {"select", ARGUMENT_CHOICE, &s->select, "loss|influence", 0, 0, 1,
         "rows to remove: of the highest training loss, or of the largest |influence| on the test point"},
        {"fraction", ARGUMENT_REAL, &s->fraction, NULL, 0.15, 1, 1, "of the training rows to remove, one at a time"},
        {"decay-in-gradient", ARGUMENT_CHOICE, &s->decay_in_gradient, "excluded|included", 0, 0, 1,
         "whether a removed row's gradient has its share of the decay (the paper's formula: excluded)"},
        {"control", ARGUMENT_SWITCH, &s->control, NULL, 0, 0, 1,
         "subtract the retraining with nothing removed; without, the figures show the drift as well"},
        {"polish", ARGUMENT_FLAG, &s->polish, NULL, 0, 0, 1,
         "also with optimum and retraining taken to their end by Newton's method (columns *_polished of controls.csv)"},
        {"lissa-steps", ARGUMENT_SIZE, &s->lissa_steps, NULL, 1, 1e9, 1, "of the stochastic estimate's recursion (2a)"},
        {"lissa-batch", ARGUMENT_SIZE, &s->lissa_batch, NULL, 0, 150, 1, "rows a step; 0: all"},
        {"lissa-repeats", ARGUMENT_SIZE, &s->lissa_repeats, NULL, 1, 10000, 1, "recursions averaged"},
        {"lissa-scale", ARGUMENT_REAL, &s->lissa_scale, NULL, 0, 1e9, 1, "0: found from the spectrum"},
        {"threads", ARGUMENT_SIZE, &s->threads, NULL, 0, 4096, 0,
         "configurations at a time; 0: as many as OpenMP offers. Results do not depend on it"},
        {"resume", ARGUMENT_FLAG, &s->resume, NULL, 0, 0, 0,
         "take what journal.csv in the folder has from runs with the same settings"},
        {"plots", ARGUMENT_SWITCH, &s->plots, NULL, 0, 0, 0, "draw the panels with gnuplot"},
        {"help", ARGUMENT_FLAG, &s->help, NULL, 0, 0, 0, "this text"},
        {"version", ARGUMENT_FLAG, &s->version, NULL, 0, 0, 0, "the library's version"},
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof options[0];
}

/* ---- one configuration ------------------------------------------------------------------------------------------ */

typedef enum sweep { SWEEP_DEPTH, SWEEP_WIDTH, SWEEP_NO_DECAY, N_SWEEPS } sweep;
static const char *const sweep_names[N_SWEEPS] = {"depth", "width", "no-decay"};

/* What is measured of a configuration; NaN where it is not. */
#define MEASURES(X)                                                                                                    \
    X(parameters)                                                                                                      \
    X(train_rows)                                                                                                      \
    X(rows_removed)                                                                                                    \
    X(test_row)                                                                                                        \
    X(spearman_raw)                                                                                                    \
    X(pearson_raw)                                                                                                     \
    X(spearman_control)                                                                                                \
    X(pearson_control)                                                                                                 \
    X(spearman_norm_raw)                                                                                               \
    X(spearman_norm_control)                                                                                           \
    X(gradient_norm)                                                                                                   \
    X(objective)                                                                                                       \
    X(train_loss)                                                                                                      \
    X(test_loss)                                                                                                       \
    X(lambda_min)                                                                                                      \
    X(lambda_max)                                                                                                      \
    X(damping)                                                                                                         \
    X(drift_norm)                                                                                                      \
    X(drift_loss)                                                                                                      \
    X(solve_residual)                                                                                                  \
    X(spearman_lissa)                                                                                                  \
    X(lissa_residual)                                                                                                  \
    X(lissa_steps)                                                                                                     \
    X(spearman_polished)                                                                                               \
    X(pearson_polished)                                                                                                \
    X(spearman_norm_polished)                                                                                          \
    X(spearman_truths)                                                                                                 \
    X(spearman_adam_polished)                                                                                          \
    X(gradient_norm_polished)                                                                                          \
    X(gradient_jump_polished)                                                                                          \
    X(retrain_gradient_norm_polished)                                                                                  \
    X(lambda_min_polished)                                                                                             \
    X(damping_polished)
#define MEASURE_ENUM(name) MEASURE_##name,
#define MEASURE_NAME(name) #name,
enum { MEASURES(MEASURE_ENUM) N_MEASURES };
static const char *const measure_names[N_MEASURES] = {MEASURES(MEASURE_NAME)};

/* What is measured of each removed row. */
#define ROW_MEASURES(X)                                                                                                \
    X(train_row)                                                                                                       \
    X(train_loss)                                                                                                      \
    X(influence_norm)                                                                                                  \
    X(retrain_norm_raw)                                                                                                \
    X(retrain_norm_control)                                                                                            \
    X(predicted_loss_change)                                                                                           \
    X(lissa_loss_change)                                                                                               \
    X(retrain_loss_change_raw)                                                                                         \
    X(retrain_loss_change_control)                                                                                     \
    X(predicted_loss_change_polished)                                                                                  \
    X(retrain_loss_change_polished)                                                                                    \
    X(influence_norm_polished)                                                                                         \
    X(retrain_norm_polished)
#define ROW_ENUM(name) ROW_##name,
enum { ROW_MEASURES(ROW_ENUM) N_ROW_MEASURES };
static const char *const row_measure_names[N_ROW_MEASURES] = {ROW_MEASURES(MEASURE_NAME)};

/* In rows.csv the first of these is column 4, after sweep, x and seed. */
enum { ROW_COLUMN = 4 };

typedef struct configuration {
    sweep swept;
    size_t x, seed; /* hidden layers or units */
    double work;    /* units of progress      */
    int finished;
    double measures[N_MEASURES];
    size_t n_removed;
    double *removed; /* n_removed×N_ROW_MEASURES */
} configuration;

/* Everything a configuration needs while it is being measured. Zero-initialised; study_clear frees all. */
typedef struct study {
    const settings *s;
    configuration *c;
    int threads;
    progress *bar;
    double advanced;                      /* units of the bar so far */
    infl_dataset *train_rows, *test_rows; /* as they are; know their rows of Iris */
    infl_dataset *train_data, *test_data; /* as the network sees them             */
    infl_model *model;
    infl_objective *train, *test;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    size_t n, p, m; /* training rows, parameters, rows to remove */
    double decay;
    size_t test_row;
    size_t *rows;                   /* m */
    double *scratch;                /* p, n or n_test numbers, whichever is most */
    double *parameters;             /* m×p */
    infl_train_result *results;     /* m */
    double *column[N_ROW_MEASURES]; /* m each */
} study;

static void study_clear(study *t) {
    infl_influence_destroy(t->influence);
    infl_inverse_destroy(t->inverse);
    infl_curvature_destroy(t->curvature);
    infl_objective_destroy(t->test);
    infl_objective_destroy(t->train);
    infl_model_destroy(t->model);
    infl_dataset_destroy(t->test_data);
    infl_dataset_destroy(t->train_data);
    infl_dataset_destroy(t->test_rows);
    infl_dataset_destroy(t->train_rows);
    free(t->rows);
    free(t->scratch);
    free(t->parameters);
    free(t->results);
    for (size_t i = 0; i < N_ROW_MEASURES; i++) {
        free(t->column[i]);
    }
}

/* The share of a stage in a configuration's work, in Adam steps; Newton's and LiSSA's are small beside them. */
static double stage_steps(const settings *s, size_t m, const char *stage) {
    if (strcmp(stage, "train") == 0)
        return (double)s->steps;
    if (strcmp(stage, "retrain") == 0)
        return (double)s->retrain_steps * (double)(m + (s->control ? 1 : 0));
    return 0.0;
}

static size_t rows_to_remove(const settings *s, size_t n) {
    size_t m = (size_t)(s->fraction * (double)n + 0.5);
    return m < 2 ? 2 : m;
}

static size_t training_rows(const settings *s) {
    return s->rows == ROWS_ALL ? 150 : (size_t)(s->train_fraction * 150.0 + 0.5);
}

/* Units of progress a step: a pass through the layers costs about this many parameters by itself. */
static double work_of_step(const settings *s, const configuration *c) {
    double layers = c->swept == SWEEP_DEPTH ? (double)c->x : 1.0;
    double width = c->swept == SWEEP_WIDTH ? (double)c->x : (double)s->units;
    return 40.0 * (layers + 1.0) + 5.0 * width + (layers - 1.0) * (width + 1.0) * width + 3.0 * (width + 1.0);
}

static double work_of(const settings *s, const configuration *c) {
    size_t m = rows_to_remove(s, training_rows(s));
    return work_of_step(s, c) * (stage_steps(s, m, "train") + stage_steps(s, m, "retrain"));
}

static int on_progress(void *context, const char *stage, size_t done, size_t total) {
    study *t = context;
    double stage_work = work_of_step(t->s, t->c) * stage_steps(t->s, t->m, stage);
    double before = strcmp(stage, "retrain") == 0 ? work_of_step(t->s, t->c) * stage_steps(t->s, t->m, "train") : 0.0;
    if (stage_work > 0.0 && total > 0) {
        double now = before + stage_work * (double)done / (double)total;
        progress_advance(t->bar, now - t->advanced);
        t->advanced = now;
    }
    return interrupt_requested() != 0;
}

static infl_status make_data(study *t) {
    const settings *s = t->s;
    infl_dataset *iris = NULL;
    TRY(infl_dataset_iris(&iris));
    infl_status status;
    if (s->rows == ROWS_ALL) {
        size_t rows[150];
        for (size_t i = 0; i < 150; i++) {
            rows[i] = i;
        }
        status = infl_dataset_subset(&t->train_rows, iris, rows, 150);
        if (status == INFL_OK)
            status = infl_dataset_subset(&t->test_rows, iris, rows, 150);
    } else {
        status = infl_dataset_split(&t->train_rows, &t->test_rows, iris, s->train_fraction, 1, t->c->seed);
    }
    infl_dataset_destroy(iris);
    TRY(status);
    if (!s->standardise)
        return INFL_OK;
    TRY(infl_dataset_standardise(&t->train_data, t->train_rows, t->train_rows));
    return infl_dataset_standardise(&t->test_data, t->test_rows, t->train_rows);
}

static infl_status make_model(study *t) {
    const settings *s = t->s;
    const configuration *c = t->c;
    const infl_dataset *train_data = t->train_data != NULL ? t->train_data : t->train_rows;
    const infl_dataset *test_data = t->test_data != NULL ? t->test_data : t->test_rows;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    size_t units[33], layers = c->swept == SWEEP_DEPTH ? c->x : 1;
    for (size_t i = 0; i < layers; i++) {
        units[i] = c->swept == SWEEP_WIDTH ? c->x : s->units;
    }
    units[layers] = 3;
    TRY(infl_model_create_mlp(&t->model, INFL_F64, infl_dataset_features(train_data), units, layers + 1,
                              (infl_activation)s->activation, (infl_initialiser)s->initialiser, c->seed));
    options.threads = t->threads;
    TRY(infl_objective_create(&t->test, t->model, &loss, test_data, &options));
    t->decay = c->swept == SWEEP_NO_DECAY ? 0.0 : s->decay;
    options.decay = t->decay;
    TRY(infl_objective_create(&t->train, t->model, &loss, train_data, &options));
    t->n = infl_objective_rows(t->train);
    t->p = infl_objective_parameters(t->train);
    t->m = rows_to_remove(s, t->n);
    return INFL_OK;
}

static infl_status make_arrays(study *t) {
    size_t n_test = infl_objective_rows(t->test);
    size_t most = t->p > t->n ? t->p : t->n;
    t->rows = malloc(t->m * sizeof *t->rows);
    t->scratch = malloc((most > n_test ? most : n_test) * sizeof *t->scratch);
    t->parameters = malloc(t->m * t->p * sizeof *t->parameters);
    t->results = malloc(t->m * sizeof *t->results);
    int complete = t->rows != NULL && t->scratch != NULL && t->parameters != NULL && t->results != NULL;
    for (size_t i = 0; i < N_ROW_MEASURES; i++) {
        t->column[i] = malloc(t->m * sizeof *t->column[i]);
        complete = complete && t->column[i] != NULL;
        for (size_t row = 0; complete && row < t->m; row++) {
            t->column[i][row] = NAN;
        }
    }
    return complete ? INFL_OK : INFL_E_MEMORY;
}

static infl_train_options adam(const settings *s, size_t steps) {
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.optimiser = INFL_ADAM;
    options.learning_rate = s->learning_rate;
    options.steps = steps;
    return options;
}

static infl_status train_network(study *t) {
    double *measures = t->c->measures;
    infl_train_options options = adam(t->s, t->s->steps);
    infl_train_result result;
    double sum = 0.0;
    size_t source_row;
    options.progress = on_progress;
    options.progress_context = t;
    TRY(infl_train(t->train, &options, &result));
    TRY(infl_objective_losses(t->train, NULL, 0, t->scratch));
    for (size_t i = 0; i < t->n; i++) {
        sum += t->scratch[i];
    }
    measures[MEASURE_train_loss] = sum / (double)t->n;
    TRY(infl_objective_losses(t->test, NULL, 0, t->scratch));
    TRY(infl_influence_top(t->scratch, infl_objective_rows(t->test), INFL_HARMFUL, 1, &t->test_row));
    TRY(infl_dataset_source_row(t->test_rows, t->test_row, &source_row));
    measures[MEASURE_parameters] = (double)t->p;
    measures[MEASURE_train_rows] = (double)t->n;
    measures[MEASURE_rows_removed] = (double)t->m;
    measures[MEASURE_test_row] = (double)source_row;
    measures[MEASURE_test_loss] = t->scratch[t->test_row];
    measures[MEASURE_objective] = result.value;
    measures[MEASURE_gradient_norm] = result.gradient_norm;
    return INFL_OK;
}

/*
 * The Hessian at the present θ with the least damping that the study allows: none where there is decay and the matrix
 * is positive definite, else the setting's, on top of what lifts the smallest eigenvalue to 0.
 */
static infl_status make_curvature(study *t, double *lambda_min, double *lambda_max, double *damping) {
    infl_curvature_destroy(t->curvature);
    t->curvature = NULL;
    TRY(infl_curvature_create(&t->curvature, t->train, INFL_HESSIAN, 0.0));
    TRY(infl_curvature_eigen(t->curvature, t->scratch, NULL));
    *lambda_min = t->scratch[0];
    *lambda_max = t->scratch[t->p - 1];
    *damping = 0.0;
    if (t->decay > 0.0 && *lambda_min > 1e-12 * *lambda_max)
        return INFL_OK;
    *damping = t->s->damping + fmax(0.0, -*lambda_min);
    infl_curvature_destroy(t->curvature);
    t->curvature = NULL;
    return infl_curvature_create(&t->curvature, t->train, INFL_HESSIAN, *damping);
}

static infl_status make_influence(study *t, const infl_inverse_options *inverse, infl_decay_in_gradient decay) {
    infl_influence_options options = INFL_INFLUENCE_OPTIONS_INIT;
    infl_influence_destroy(t->influence);
    t->influence = NULL;
    infl_inverse_destroy(t->inverse);
    t->inverse = NULL;
    options.decay_in_gradient = decay;
    TRY(infl_inverse_create(&t->inverse, t->curvature, inverse));
    return infl_influence_create(&t->influence, t->train, t->inverse, &options);
}

static infl_status select_rows(study *t) {
    if (t->s->select == SELECT_LOSS) {
        TRY(infl_objective_losses(t->train, NULL, 0, t->scratch));
    } else {
        TRY(infl_influence_scores(t->influence, t->test, &t->test_row, 1, NULL, 0, t->scratch, NULL));
        for (size_t i = 0; i < t->n; i++) {
            t->scratch[i] = fabs(t->scratch[i]);
        }
    }
    TRY(infl_influence_top(t->scratch, t->n, INFL_HARMFUL, t->m, t->rows));
    for (size_t i = 0; i < t->m; i++) {
        size_t source_row;
        TRY(infl_dataset_source_row(t->train_rows, t->rows[i], &source_row));
        t->column[ROW_train_row][i] = (double)source_row;
    }
    return infl_objective_losses(t->train, t->rows, t->m, t->column[ROW_train_loss]);
}

static infl_decay_in_gradient chosen_decay(const study *t) {
    return t->s->decay_in_gradient == GRADIENT_EXCLUDED ? INFL_ROW_DECAY_EXCLUDED : INFL_ROW_DECAY_INCLUDED;
}

static infl_status predict_exactly(study *t) {
    double *measures = t->c->measures;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    infl_solve_report report;
    TRY(make_curvature(t, &measures[MEASURE_lambda_min], &measures[MEASURE_lambda_max], &measures[MEASURE_damping]));
    TRY(make_influence(t, &options, chosen_decay(t)));
    TRY(select_rows(t));
    TRY(infl_influence_removal_parameters(t->influence, t->rows, t->m, t->parameters, NULL));
    TRY(infl_norms(t->parameters, t->m, t->p, t->column[ROW_influence_norm]));
    TRY(infl_influence_removal_losses(t->influence, t->test, &t->test_row, 1, t->rows, t->m,
                                      t->column[ROW_predicted_loss_change], &report));
    measures[MEASURE_solve_residual] = report.residual;
    return INFL_OK;
}

/* The stochastic estimate with the same Hessian. One that runs away is no failure of the study: it stays NaN. */
static infl_status predict_stochastically(study *t) {
    double *measures = t->c->measures;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    infl_solve_report report;
    options.method = INFL_LISSA;
    options.max_iterations = t->s->lissa_steps;
    options.lissa_batch = t->s->lissa_batch;
    options.lissa_plain = 1;
    options.lissa_repeats = t->s->lissa_repeats;
    options.lissa_scale = t->s->lissa_scale;
    options.tolerance = 1e-6;
    options.accept_unconverged = 1;
    options.seed = t->c->seed;
    options.progress = on_progress;
    options.progress_context = t;
    infl_status status = make_influence(t, &options, chosen_decay(t));
    if (status == INFL_OK)
        status = infl_influence_removal_losses(t->influence, t->test, &t->test_row, 1, t->rows, t->m,
                                               t->column[ROW_lissa_loss_change], &report);
    if (status == INFL_E_DIVERGED || status == INFL_E_INDEFINITE)
        return INFL_OK;
    TRY(status);
    measures[MEASURE_lissa_residual] = report.residual;
    measures[MEASURE_lissa_steps] = (double)report.iterations;
    return INFL_OK;
}

static infl_status retrain_network(study *t) {
    double *measures = t->c->measures, drift_loss = 0.0;
    infl_train_options train = adam(t->s, t->s->retrain_steps);
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output changes = INFL_RETRAIN_OUTPUT_INIT;
    double *losses = t->column[ROW_retrain_loss_change_raw];
    options.train = &train;
    options.subtract_control = t->s->control;
    options.threads = t->threads;
    options.progress = on_progress;
    options.progress_context = t;
    changes.parameter_changes = t->parameters;
    changes.loss_changes = losses;
    if (t->s->control) {
        changes.control_parameters = t->scratch;
        changes.control_losses = &drift_loss;
    }
    TRY(infl_retrain_without(t->train, t->rows, t->m, t->test, &t->test_row, 1, &options, &changes));
    if (t->s->control) {
        TRY(infl_norms(t->scratch, 1, t->p, &measures[MEASURE_drift_norm]));
        measures[MEASURE_drift_loss] = drift_loss;
        TRY(infl_norms(t->parameters, t->m, t->p, t->column[ROW_retrain_norm_control]));
        for (size_t i = 0; i < t->m; i++) {
            t->column[ROW_retrain_loss_change_control][i] = losses[i];
            losses[i] += drift_loss;
            for (size_t j = 0; j < t->p; j++) {
                t->parameters[i * t->p + j] += t->scratch[j];
            }
        }
    }
    TRY(infl_norms(t->parameters, t->m, t->p, t->column[ROW_retrain_norm_raw]));
    return INFL_OK;
}

/* Of two columns of the removed rows; NaN where either is unknown or constant. */
static infl_status correlate(const study *t, int x, int y, double *spearman, double *pearson) {
    if (isnan(t->column[x][0]) || isnan(t->column[y][0]))
        return INFL_OK;
    TRY(infl_spearman(t->column[x], t->column[y], t->m, spearman));
    return pearson != NULL ? infl_pearson(t->column[x], t->column[y], t->m, pearson) : INFL_OK;
}

static infl_status correlate_all(study *t) {
    double *measures = t->c->measures;
    int loss = t->s->control ? ROW_retrain_loss_change_control : ROW_retrain_loss_change_raw;
    TRY(correlate(t, ROW_predicted_loss_change, ROW_retrain_loss_change_raw, &measures[MEASURE_spearman_raw],
                  &measures[MEASURE_pearson_raw]));
    TRY(correlate(t, ROW_predicted_loss_change, ROW_retrain_loss_change_control, &measures[MEASURE_spearman_control],
                  &measures[MEASURE_pearson_control]));
    TRY(correlate(t, ROW_influence_norm, ROW_retrain_norm_raw, &measures[MEASURE_spearman_norm_raw], NULL));
    TRY(correlate(t, ROW_influence_norm, ROW_retrain_norm_control, &measures[MEASURE_spearman_norm_control], NULL));
    return correlate(t, ROW_lissa_loss_change, loss, &measures[MEASURE_spearman_lissa], NULL);
}

/*
 * ‖∇R(θ + d) − ∇R(θ)‖ / ‖∇R(θ)‖ for a step d of 1e-6 down the gradient. Where R is smooth this is at most λmax·1e-6/‖∇R‖;
 * at a minimum on a kink ∇R turns round within the step, and it is 1 or more.
 */
static infl_status measure_jump(study *t, double norm) {
    enum { STEP_INVERSE = 1000000 };
    double *theta = malloc(3 * t->p * sizeof *theta), difference = 0.0;
    if (theta == NULL)
        return INFL_E_MEMORY;
    double *gradient = theta + t->p, *beyond = gradient + t->p;
    infl_status status = infl_objective_get_parameters(t->train, theta);
    if (status == INFL_OK)
        status = infl_objective_evaluate(t->train, NULL, gradient);
    for (size_t i = 0; i < t->p; i++) {
        theta[i] -= gradient[i] / norm / STEP_INVERSE;
    }
    if (status == INFL_OK)
        status = infl_objective_set_parameters(t->train, theta);
    if (status == INFL_OK)
        status = infl_objective_evaluate(t->train, NULL, beyond);
    for (size_t i = 0; status == INFL_OK && i < t->p; i++) {
        theta[i] += gradient[i] / norm / STEP_INVERSE;
        difference += (beyond[i] - gradient[i]) * (beyond[i] - gradient[i]);
    }
    if (status == INFL_OK)
        status = infl_objective_set_parameters(t->train, theta);
    t->c->measures[MEASURE_gradient_jump_polished] = sqrt(difference) / norm;
    free(theta);
    return status;
}

/*
 * The same rows and test point where the theory asks for it: optimum and retrained optima to ‖∇R‖ ≤ 1e-10, and the row's
 * share of the decay removed with it. Also how far the two ground truths agree (spearman_truths), and how well the
 * prediction made where Adam stopped does against the polished one (spearman_adam_polished). Moves θ.
 */
static infl_status compare_polished(study *t) {
    double *measures = t->c->measures, lambda_max, worst = 0.0;
    int truth = t->s->control ? ROW_retrain_loss_change_control : ROW_retrain_loss_change_raw;
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    infl_train_result result;
    infl_inverse_options inverse = INFL_INVERSE_OPTIONS_INIT;
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output changes = INFL_RETRAIN_OUTPUT_INIT;
    polish.progress = on_progress;
    polish.progress_context = t;
    TRY(infl_polish(t->train, &polish, &result));
    measures[MEASURE_gradient_norm_polished] = result.gradient_norm;
    TRY(make_curvature(t, &measures[MEASURE_lambda_min_polished], &lambda_max, &measures[MEASURE_damping_polished]));
    TRY(make_influence(t, &inverse, INFL_ROW_DECAY_INCLUDED));
    TRY(infl_influence_removal_losses(t->influence, t->test, &t->test_row, 1, t->rows, t->m,
                                      t->column[ROW_predicted_loss_change_polished], NULL));
    TRY(infl_influence_removal_parameters(t->influence, t->rows, t->m, t->parameters, NULL));
    TRY(infl_norms(t->parameters, t->m, t->p, t->column[ROW_influence_norm_polished]));
    polish.progress = NULL;
    options.polish = &polish;
    options.subtract_control = 0;
    options.threads = t->threads;
    options.progress = on_progress;
    options.progress_context = t;
    changes.parameter_changes = t->parameters;
    changes.loss_changes = t->column[ROW_retrain_loss_change_polished];
    changes.results = t->results;
    TRY(infl_retrain_without(t->train, t->rows, t->m, t->test, &t->test_row, 1, &options, &changes));
    TRY(measure_jump(t, result.gradient_norm)); /* last, as it leaves θ rounded */
    TRY(infl_norms(t->parameters, t->m, t->p, t->column[ROW_retrain_norm_polished]));
    for (size_t i = 0; i < t->m; i++) {
        worst = fmax(worst, t->results[i].gradient_norm);
    }
    measures[MEASURE_retrain_gradient_norm_polished] = worst;
    TRY(correlate(t, ROW_predicted_loss_change_polished, ROW_retrain_loss_change_polished,
                  &measures[MEASURE_spearman_polished], &measures[MEASURE_pearson_polished]));
    TRY(correlate(t, truth, ROW_retrain_loss_change_polished, &measures[MEASURE_spearman_truths], NULL));
    TRY(correlate(t, ROW_predicted_loss_change, ROW_retrain_loss_change_polished,
                  &measures[MEASURE_spearman_adam_polished], NULL));
    return correlate(t, ROW_influence_norm_polished, ROW_retrain_norm_polished,
                     &measures[MEASURE_spearman_norm_polished], NULL);
}

static infl_status keep_rows(const study *t) {
    double *removed = malloc(t->m * N_ROW_MEASURES * sizeof *removed);
    if (removed == NULL)
        return INFL_E_MEMORY;
    for (size_t i = 0; i < t->m; i++) {
        for (size_t j = 0; j < N_ROW_MEASURES; j++) {
            removed[i * N_ROW_MEASURES + j] = t->column[j][i];
        }
    }
    t->c->removed = removed;
    t->c->n_removed = t->m;
    return INFL_OK;
}

static infl_status study_run(study *t) {
    for (size_t i = 0; i < N_MEASURES; i++) {
        t->c->measures[i] = NAN;
    }
    TRY(make_data(t));
    TRY(make_model(t));
    TRY(make_arrays(t));
    TRY(train_network(t));
    TRY(predict_exactly(t));
    if (t->c->swept == SWEEP_DEPTH)
        TRY(predict_stochastically(t));
    TRY(retrain_network(t));
    TRY(correlate_all(t));
    if (t->s->polish && t->decay > 0.0) /* without decay the optimum of separable data is at infinity */
        TRY(compare_polished(t));
    TRY(keep_rows(t));
    t->c->finished = 1;
    return INFL_OK;
}

/* ---- all configurations ----------------------------------------------------------------------------------------- */

typedef struct plan {
    const settings *s;
    unsigned long long fingerprint;
    configuration *all; /* by sweep, x, seed */
    size_t n;
} plan;

static int wants(const settings *s, unsigned figure) { return (s->figures >> figure & 1u) != 0; }

static int contains(const argument_list *list, size_t value) {
    for (size_t i = 0; i < list->n; i++) {
        if (list->values[i] == value)
            return 1;
    }
    return 0;
}

static void plan_add(plan *p, sweep swept, size_t x) {
    for (size_t i = 0; i < p->s->seeds; i++) {
        configuration *c = &p->all[p->n++];
        memset(c, 0, sizeof *c);
        c->swept = swept;
        c->x = x;
        c->seed = p->s->first_seed + i;
        c->work = work_of(p->s, c);
    }
}

/* The configurations that the wanted figures need. Non-zero: no memory. */
static int plan_make(plan *p, const settings *s) {
    int deep = wants(s, FIGURE_1C) || wants(s, FIGURE_2A) || wants(s, FIGURE_2B) || wants(s, FIGURE_2C);
    p->s = s;
    p->n = 0;
    p->all = malloc((s->depths.n + s->widths.n + 2) * s->seeds * sizeof *p->all);
    if (p->all == NULL)
        return -1;
    if (wants(s, FIGURE_1A) && !(deep && contains(&s->depths, 1)))
        plan_add(p, SWEEP_DEPTH, 1);
    for (size_t i = 0; deep && i < s->depths.n; i++) {
        plan_add(p, SWEEP_DEPTH, s->depths.values[i]);
    }
    for (size_t i = 0; wants(s, FIGURE_1D) && i < s->widths.n; i++) {
        plan_add(p, SWEEP_WIDTH, s->widths.values[i]);
    }
    if (wants(s, FIGURE_1B))
        plan_add(p, SWEEP_NO_DECAY, 1);
    return 0;
}

static configuration *plan_find(const plan *p, sweep swept, size_t x, size_t seed) {
    for (size_t i = 0; i < p->n; i++) {
        configuration *c = &p->all[i];
        if (c->swept == swept && c->x == x && c->seed == seed)
            return c;
    }
    return NULL;
}

enum { JOURNAL_HEAD = 5 }; /* fingerprint, sweep, x, seed, rows removed */

static char *journal_line(const plan *p, const configuration *c) {
    size_t numbers = N_MEASURES + c->n_removed * N_ROW_MEASURES, size = 128 + numbers * 26;
    char *line = malloc(size);
    if (line == NULL)
        return NULL;
    size_t length = (size_t)snprintf(line, size, "%016llx,%s,%zu,%zu,%zu", p->fingerprint, sweep_names[c->swept], c->x,
                                     c->seed, c->n_removed);
    for (size_t i = 0; i < numbers; i++) {
        double value = i < N_MEASURES ? c->measures[i] : c->removed[i - N_MEASURES];
        length += (size_t)snprintf(line + length, size - length, ",%.17g", value);
    }
    return line;
}

/* Takes a configuration from the journal. A line of another run is left where it is. */
static int journal_take(void *context, char **fields, size_t n_fields) {
    plan *p = context;
    char *end;
    size_t swept = 0;
    if (n_fields < JOURNAL_HEAD + N_MEASURES)
        return -1;
    unsigned long long fingerprint = strtoull(fields[0], &end, 16);
    while (swept < N_SWEEPS && strcmp(fields[1], sweep_names[swept]) != 0) {
        swept++;
    }
    size_t x = strtoull(fields[2], NULL, 10), seed = strtoull(fields[3], NULL, 10);
    size_t n_removed = strtoull(fields[4], NULL, 10);
    if (*end != '\0' || swept == N_SWEEPS || n_removed > n_fields ||
        n_fields != JOURNAL_HEAD + N_MEASURES + n_removed * N_ROW_MEASURES)
        return fingerprint == p->fingerprint ? -1 : 0;
    configuration *c = fingerprint == p->fingerprint ? plan_find(p, (sweep)swept, x, seed) : NULL;
    if (c == NULL || c->finished)
        return 0;
    double *removed = malloc((n_removed + 1) * N_ROW_MEASURES * sizeof *removed);
    if (removed == NULL)
        return -1;
    for (size_t i = 0; i < n_fields - JOURNAL_HEAD; i++) {
        double value = strtod(fields[JOURNAL_HEAD + i], &end);
        if (end == fields[JOURNAL_HEAD + i] || *end != '\0') {
            free(removed);
            return -1;
        }
        if (i < N_MEASURES) {
            c->measures[i] = value;
        } else {
            removed[i - N_MEASURES] = value;
        }
    }
    c->removed = removed;
    c->n_removed = n_removed;
    c->finished = 1;
    return 0;
}

static double measure_of(const settings *s, const configuration *c, int control, int raw) {
    return c->measures[s->control ? control : raw];
}

static void report_finished(const settings *s, const configuration *c, progress *bar, double seconds) {
    progress_line(bar, 0, "%s %zu, seed %zu: Spearman %.3f, of the norms %.3f, top eigenvalue %.3g (%.1f s)",
                  sweep_names[c->swept], c->x, c->seed,
                  measure_of(s, c, MEASURE_spearman_control, MEASURE_spearman_raw),
                  measure_of(s, c, MEASURE_spearman_norm_control, MEASURE_spearman_norm_raw),
                  c->measures[MEASURE_lambda_max], seconds);
}

/* Runs one configuration and journals it. Non-zero: it failed. */
static int run_one(const plan *p, configuration *c, int threads, progress *bar, journal *record) {
    struct timespec from, to;
    study t;
    if (interrupt_requested())
        return 0;
    memset(&t, 0, sizeof t);
    t.s = p->s;
    t.c = c;
    t.threads = threads;
    t.bar = bar;
    clock_gettime(CLOCK_MONOTONIC, &from);
    infl_status status = study_run(&t);
    clock_gettime(CLOCK_MONOTONIC, &to);
    int failed = status != INFL_OK && !(status == INFL_E_CANCELLED && interrupt_requested());
    if (failed)
        progress_line(bar, 1, "iris: %s %zu, seed %zu failed: %s: %s", sweep_names[c->swept], c->x, c->seed,
                      infl_status_name(status), status == INFL_E_MEMORY ? "no memory" : infl_last_error());
    study_clear(&t);
    if (status != INFL_OK)
        return failed;
    progress_advance(bar, c->work - t.advanced);
    report_finished(p->s, c, bar, (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec));
    char *line = journal_line(p, c);
    failed = line == NULL || journal_append(record, line) != 0;
    free(line);
    return failed;
}

static int by_falling_work(const void *a, const void *b) {
    const configuration *x = *(configuration *const *)a, *y = *(configuration *const *)b;
    if (x->work != y->work)
        return x->work < y->work ? 1 : -1;
    return x < y ? -1 : x > y;
}

/* Runs what is not finished, the longest first. How many failed; -1: no memory. */
static int run_all(plan *p, journal *record) {
    configuration **open = malloc((p->n + 1) * sizeof *open);
    size_t n = 0;
    double work = 0.0;
    int failures = 0;
    if (open == NULL)
        return -1;
    for (size_t i = 0; i < p->n; i++) {
        if (!p->all[i].finished) {
            open[n++] = &p->all[i];
            work += p->all[i].work;
        }
    }
    qsort(open, n, sizeof *open, by_falling_work);
    progress *bar = progress_begin(work);
#ifdef _OPENMP
    int threads = program_threads(p->s->threads);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (n > 1) reduction(+ : failures)
#else
    int threads = 1;
#endif
    for (size_t i = 0; i < n; i++) {
        failures += run_one(p, open[i], n > 1 ? 1 : threads, bar, record) != 0;
    }
    progress_end(bar);
    free(open);
    return failures;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

/* The paper's numbers: Figure 2 as read off its plots, of Figure 1 those that are told. */
typedef struct published {
    const char *series;
    size_t x;
    double value;
} published;
static const published paper[] = {
    {"1a", 1, 0.97},       {"1b", 1, 0.508},      {"1b-raw", 1, 0.508},  {"1d", 8, 0.82},       {"1d", 50, 0.56},
    {"2a-exact", 1, .969}, {"2a-exact", 2, .903}, {"2a-exact", 3, .865}, {"2a-exact", 4, .635}, {"2a-exact", 5, .578},
    {"2a-lissa", 1, .937}, {"2a-lissa", 2, .892}, {"2a-lissa", 3, .805}, {"2a-lissa", 4, .489}, {"2a-lissa", 5, .426},
    {"2b", 1, 55},         {"2b", 2, 88},         {"2b", 3, 170},        {"2b", 4, 302},        {"2b", 5, 473},
    {"2b", 6, 709},        {"2b", 7, 1143},       {"2b", 8, 1648},       {"2c", 1, .994},       {"2c", 2, .992},
    {"2c", 3, .982},       {"2c", 4, .928},       {"2c", 5, .60},        {"2c", 6, .70},        {"2c", 7, .36},
    {"2c", 8, .09},
};
enum { N_PAPER = sizeof paper / sizeof paper[0] };

static double paper_value(const char *series, size_t x) {
    for (size_t i = 0; i < N_PAPER; i++) {
        if (strcmp(paper[i].series, series) == 0 && paper[i].x == x)
            return paper[i].value;
    }
    return NAN;
}

/* A series of a figure: one number a configuration. */
typedef struct series {
    const char *name;
    unsigned figure;
    sweep swept;
    int control, raw; /* the measure, with and without the control subtracted */
} series;
enum { SERIES_1A, SERIES_1B, SERIES_1B_RAW };
static const series all_series[] = {
    {"1a", FIGURE_1A, SWEEP_DEPTH, MEASURE_spearman_norm_control, MEASURE_spearman_norm_raw},
    {"1b", FIGURE_1B, SWEEP_NO_DECAY, MEASURE_spearman_norm_control, MEASURE_spearman_norm_raw},
    {"1b-raw", FIGURE_1B, SWEEP_NO_DECAY, MEASURE_spearman_norm_raw, MEASURE_spearman_norm_raw},
    {"1c", FIGURE_1C, SWEEP_DEPTH, MEASURE_spearman_control, MEASURE_spearman_raw},
    {"1d", FIGURE_1D, SWEEP_WIDTH, MEASURE_spearman_control, MEASURE_spearman_raw},
    {"2a-exact", FIGURE_2A, SWEEP_DEPTH, MEASURE_spearman_control, MEASURE_spearman_raw},
    {"2a-lissa", FIGURE_2A, SWEEP_DEPTH, MEASURE_spearman_lissa, MEASURE_spearman_lissa},
    {"2b", FIGURE_2B, SWEEP_DEPTH, MEASURE_lambda_max, MEASURE_lambda_max},
    {"2c", FIGURE_2C, SWEEP_DEPTH, MEASURE_spearman_norm_control, MEASURE_spearman_norm_raw},
};
enum { N_SERIES = sizeof all_series / sizeof all_series[0] };

/* The x of a series: one hidden layer for 1a and 1b, the sweep's for the others. */
static argument_list series_x(const settings *s, const series *row) {
    argument_list one = {{1}, 1};
    if (row->figure == FIGURE_1A || row->figure == FIGURE_1B)
        return one;
    return row->swept == SWEEP_WIDTH ? s->widths : s->depths;
}

/* Whether all configurations of a figure are finished. */
static int is_complete(const plan *p, unsigned figure) {
    for (size_t i = 0; i < N_SERIES; i++) {
        if (all_series[i].figure != figure)
            continue;
        argument_list x = series_x(p->s, &all_series[i]);
        for (size_t j = 0; j < x.n; j++) {
            for (size_t k = 0; k < p->s->seeds; k++) {
                const configuration *c = plan_find(p, all_series[i].swept, x.values[j], p->s->first_seed + k);
                if (c == NULL || !c->finished)
                    return 0;
            }
        }
    }
    return wants(p->s, figure);
}

/* Whether a series is to be told: its figure is complete, and it is not another one under a second name. */
static int is_told(const plan *p, const series *row) {
    return is_complete(p, row->figure) && (p->s->control || row != &all_series[SERIES_1B_RAW]);
}

/* Mean and deviation over the seeds. values: as many as there are seeds. */
static statistics over_seeds(const plan *p, const series *row, size_t x, double *values) {
    for (size_t k = 0; k < p->s->seeds; k++) {
        values[k] = measure_of(p->s, plan_find(p, row->swept, x, p->s->first_seed + k), row->control, row->raw);
    }
    return statistics_of(values, p->s->seeds);
}

static int write_summary(const plan *p, double *values) {
    output out;
    if (output_open(&out, p->s->out, "summary.csv") != 0)
        return -1;
    fprintf(out.file, "figure,x,paper,ours_mean,ours_sd\n");
    for (size_t i = 0; i < N_SERIES; i++) {
        const series *row = &all_series[i];
        argument_list x = series_x(p->s, row);
        for (size_t j = 0; j < x.n && is_told(p, row); j++) {
            statistics ours = over_seeds(p, row, x.values[j], values);
            fprintf(out.file, "%s,%zu,", row->name, x.values[j]);
            output_number(out.file, paper_value(row->name, x.values[j]));
            fputc(',', out.file);
            output_number(out.file, ours.mean);
            fputc(',', out.file);
            output_number(out.file, ours.deviation);
            fputc('\n', out.file);
        }
    }
    return output_close(&out);
}

static void print_table(const plan *p, double *values) {
    printf("%-9s %3s %9s   %s\n", "figure", "x", "paper", "ours (mean ± deviation over the seeds)");
    for (size_t i = 0; i < N_SERIES; i++) {
        const series *row = &all_series[i];
        argument_list x = series_x(p->s, row);
        const char *format = row->figure == FIGURE_2B ? "%9.4g" : "%9.3f";
        for (size_t j = 0; j < x.n && is_told(p, row); j++) {
            double known = paper_value(row->name, x.values[j]);
            statistics ours = over_seeds(p, row, x.values[j], values);
            printf("%-9s %3zu ", row->name, x.values[j]);
            if (isnan(known)) {
                printf("%9s", "");
            } else {
                printf(format, known);
            }
            printf("   ");
            if (ours.n > 0) {
                printf(format, ours.mean);
            } else {
                printf("%9s", "none");
            }
            if (ours.n > 1)
                printf(row->figure == FIGURE_2B ? " ± %.2g" : " ± %.3f", ours.deviation);
            if (ours.n < p->s->seeds)
                printf("  (%zu of %zu seeds)", ours.n, p->s->seeds);
            printf("\n");
        }
    }
}

/* fig1a.csv, fig1b.csv: the removed rows of one network. */
static int write_norms(const plan *p, const char *name, sweep swept) {
    output out;
    if (output_open(&out, p->s->out, name) != 0)
        return -1;
    fprintf(out.file, "seed,train_row,influence_norm,retrain_norm\n");
    for (size_t k = 0; k < p->s->seeds; k++) {
        const configuration *c = plan_find(p, swept, 1, p->s->first_seed + k);
        for (size_t i = 0; i < c->n_removed; i++) {
            const double *row = c->removed + i * N_ROW_MEASURES;
            fprintf(out.file, "%zu,%.0f,", c->seed, row[ROW_train_row]);
            output_number(out.file, row[ROW_influence_norm]);
            fputc(',', out.file);
            output_number(out.file, row[p->s->control ? ROW_retrain_norm_control : ROW_retrain_norm_raw]);
            fputc('\n', out.file);
        }
    }
    return output_close(&out);
}

/* fig1c.csv ... fig2c.csv: one or two measures of each configuration of a sweep. second: -1 for none. */
static int write_sweep(const plan *p, const char *name, const char *header, sweep swept, const int first[2],
                       const int second[2]) {
    const argument_list *x = swept == SWEEP_WIDTH ? &p->s->widths : &p->s->depths;
    output out;
    if (output_open(&out, p->s->out, name) != 0)
        return -1;
    fprintf(out.file, "%s\n", header);
    for (size_t j = 0; j < x->n; j++) {
        for (size_t k = 0; k < p->s->seeds; k++) {
            const configuration *c = plan_find(p, swept, x->values[j], p->s->first_seed + k);
            fprintf(out.file, "%zu,%zu,", c->x, c->seed);
            output_number(out.file, measure_of(p->s, c, first[0], first[1]));
            if (second != NULL) {
                fputc(',', out.file);
                output_number(out.file, measure_of(p->s, c, second[0], second[1]));
            }
            fputc('\n', out.file);
        }
    }
    return output_close(&out);
}

static int write_figure(const plan *p, unsigned figure) {
    static const int spearman[] = {MEASURE_spearman_control, MEASURE_spearman_raw};
    static const int pearson[] = {MEASURE_pearson_control, MEASURE_pearson_raw};
    static const int lissa[] = {MEASURE_spearman_lissa, MEASURE_spearman_lissa};
    static const int eigenvalue[] = {MEASURE_lambda_max, MEASURE_lambda_max};
    static const int norm[] = {MEASURE_spearman_norm_control, MEASURE_spearman_norm_raw};
    switch (figure) {
    case FIGURE_1A:
        return write_norms(p, "fig1a.csv", SWEEP_DEPTH);
    case FIGURE_1B:
        return write_norms(p, "fig1b.csv", SWEEP_NO_DECAY);
    case FIGURE_1C:
        return write_sweep(p, "fig1c.csv", "depth,seed,spearman,pearson", SWEEP_DEPTH, spearman, pearson);
    case FIGURE_1D:
        return write_sweep(p, "fig1d.csv", "width,seed,spearman,pearson", SWEEP_WIDTH, spearman, pearson);
    case FIGURE_2A:
        return write_sweep(p, "fig2a.csv", "depth,seed,spearman_exact,spearman_lissa", SWEEP_DEPTH, spearman, lissa);
    case FIGURE_2B:
        return write_sweep(p, "fig2b.csv", "depth,seed,top_eigenvalue", SWEEP_DEPTH, eigenvalue, NULL);
    default:
        return write_sweep(p, "fig2c.csv", "depth,seed,spearman_norm", SWEEP_DEPTH, norm, NULL);
    }
}

/* controls.csv: all that was measured of the finished configurations. */
static int write_controls(const plan *p) {
    output out;
    if (output_open(&out, p->s->out, "controls.csv") != 0)
        return -1;
    fprintf(out.file, "sweep,x,seed,select");
    for (size_t i = 0; i < N_MEASURES; i++) {
        fprintf(out.file, ",%s", measure_names[i]);
    }
    fputc('\n', out.file);
    for (size_t i = 0; i < p->n; i++) {
        const configuration *c = &p->all[i];
        if (!c->finished)
            continue;
        fprintf(out.file, "%s,%zu,%zu,%s", sweep_names[c->swept], c->x, c->seed,
                p->s->select == SELECT_LOSS ? "loss" : "influence");
        for (size_t j = 0; j < N_MEASURES; j++) {
            fputc(',', out.file);
            output_number(out.file, c->measures[j]);
        }
        fputc('\n', out.file);
    }
    return output_close(&out);
}

/* rows.csv: all that was measured of the removed rows. */
static int write_rows(const plan *p) {
    output out;
    if (output_open(&out, p->s->out, "rows.csv") != 0)
        return -1;
    fprintf(out.file, "sweep,x,seed");
    for (size_t i = 0; i < N_ROW_MEASURES; i++) {
        fprintf(out.file, ",%s", row_measure_names[i]);
    }
    fputc('\n', out.file);
    for (size_t i = 0; i < p->n; i++) {
        const configuration *c = &p->all[i];
        for (size_t row = 0; c->finished && row < c->n_removed; row++) {
            fprintf(out.file, "%s,%zu,%zu", sweep_names[c->swept], c->x, c->seed);
            for (size_t j = 0; j < N_ROW_MEASURES; j++) {
                fputc(',', out.file);
                output_number(out.file, c->removed[row * N_ROW_MEASURES + j]);
            }
            fputc('\n', out.file);
        }
    }
    return output_close(&out);
}

static int write_paper(const settings *s) {
    output out;
    if (output_open(&out, s->out, "paper.csv") != 0)
        return -1;
    fprintf(out.file, "figure,x,value\n");
    for (size_t i = 0; i < N_PAPER; i++) {
        fprintf(out.file, "%s,%zu,%.10g\n", paper[i].series, paper[i].x, paper[i].value);
    }
    return output_close(&out);
}

static int write_settings(const settings *s, const argument *table, size_t n) {
    output out;
    if (output_open(&out, s->out, "settings.txt") != 0)
        return -1;
    fprintf(out.file, "library = %s\nexample = iris\n", infl_version());
    arguments_print_all(out.file, table, n);
    return output_close(&out);
}

/* ---- pictures --------------------------------------------------------------------------------------------------- */

/* A series of the paper's numbers, and one of ours with error bars where there is more than one seed. */
static plot_series paper_series(const char *label, const char *key, int colour) {
    plot_series line = {label, "paper.csv", key, 2, 3, 0, 0, 0.0, colour, 1, 1};
    return line;
}

static plot_series our_series(const settings *s, const char *label, const char *key, int colour, double shift) {
    plot_series line = {label, "summary.csv", key, 2, 4, s->seeds > 1 ? 5 : 0, 0, shift, colour, 0, 1};
    return line;
}

/* "0.92 ± 0.13" */
static void print_statistics(char *text, size_t size, statistics ours) {
    if (ours.n > 1) {
        snprintf(text, size, "%.2f ± %.2f", ours.mean, ours.deviation);
    } else {
        snprintf(text, size, "%.2f", ours.mean);
    }
}

/* 1a: the norms of the removed rows. */
static int write_plot_1a(const plan *p, double *values) {
    const plot_series points = {"one removed row", "fig1a.csv", NULL, 4, 3, 0, 0, 0.0, 0, 0, 0};
    char ours[64], note[128];
    print_statistics(ours, sizeof ours, over_seeds(p, &all_series[SERIES_1A], 1, values));
    snprintf(note, sizeof note, "Spearman %s (paper %.2f)", ours, paper_value("1a", 1));
    const plot panel = {
        .name = "fig1a",
        .title = "(1a) Change of parameters, with weight decay",
        .x_label = "‖Δθ‖ after retraining without the row",
        .y_label = "‖Δθ‖ by the influence function",
        .note = note,
        .x_log = 1,
        .y_log = 1,
        .key_place = "top left",
        .identity = 1,
        .series = &points,
        .n_series = 1,
    };
    return plot_write(p->s->out, &panel);
}

/* 1b: the same without decay, where training never rests: with its drift subtracted, and as retrained. */
static int write_plot_1b(const plan *p, double *values) {
    char subtracted[64], raw[64], labels[2][128];
    print_statistics(subtracted, sizeof subtracted, over_seeds(p, &all_series[SERIES_1B], 1, values));
    print_statistics(raw, sizeof raw, over_seeds(p, &all_series[SERIES_1B_RAW], 1, values));
    snprintf(labels[0], sizeof labels[0], "drift subtracted: Spearman %s", subtracted);
    snprintf(labels[1], sizeof labels[1], "as retrained: Spearman %s (paper %.2f)", raw, paper_value("1b", 1));
    const plot_series points[] = {
        {labels[1], "rows.csv", sweep_names[SWEEP_NO_DECAY], ROW_COLUMN + ROW_retrain_norm_raw,
         ROW_COLUMN + ROW_influence_norm, 0, 0, 0.0, 1, 1, 0},
        {labels[0], "fig1b.csv", NULL, 4, 3, 0, 0, 0.0, 0, 0, 0},
    };
    const plot panel = {
        .name = "fig1b",
        .title = "(1b) Change of parameters, without weight decay",
        .x_label = "‖Δθ‖ after retraining without the row",
        .y_label = "‖Δθ‖ by the influence function",
        .x_log = 1,
        .y_log = 1,
        .key_place = "tmargin center vertical maxrows 3",
        .identity = 1,
        .series = points,
        .n_series = p->s->control ? 2 : 1,
    };
    return plot_write(p->s->out, &panel);
}

static void set_x_range(plot *panel, const argument_list *x) {
    double low = (double)x->values[0], high = low;
    for (size_t i = 1; i < x->n; i++) {
        low = fmin(low, (double)x->values[i]);
        high = fmax(high, (double)x->values[i]);
    }
    double margin = fmax(0.5, 0.07 * (high - low));
    panel->x_low = low - margin;
    panel->x_high = high + margin;
    panel->x_step = high - low <= 10.0 ? 1.0 : 0.0; /* no numbers between whole ones */
}

/* Whole decades around the eigenvalues: an error bar that reaches below 0 must not take the axis with it. */
static void set_decades(plot *panel, const plan *p, double *values) {
    const argument_list *x = &p->s->depths;
    double low = INFINITY, high = 0.0;
    for (size_t i = 0; i < N_SERIES; i++) {
        for (size_t j = 0; all_series[i].figure == FIGURE_2B && j < x->n; j++) {
            statistics ours = over_seeds(p, &all_series[i], x->values[j], values);
            double known = paper_value(all_series[i].name, x->values[j]);
            low = fmin(low, fmin(ours.mean, known)); /* fmin and fmax pass over NaN */
            high = fmax(high, fmax(ours.n > 1 ? ours.mean + ours.deviation : ours.mean, known));
        }
    }
    if (low > 0.0 && high < INFINITY) {
        panel->y_low = pow(10.0, floor(log10(low)));
        panel->y_high = pow(10.0, floor(log10(high)) + 1.0);
    }
}

/* The others: a correlation, or the largest eigenvalue, against depth or width. */
static int write_sweep_plot(const plan *p, unsigned figure, double *values) {
    const settings *s = p->s;
    char x_label[64];
    plot_series lines[4];
    plot panel = {
        .x_label = x_label,
        .y_label = "Spearman correlation",
        .y_low = -0.3,
        .y_high = 1.1,
        .key_place = "bottom left",
        .series = lines,
        .n_series = 2,
    };
    snprintf(x_label, sizeof x_label, "hidden layers of %zu units", s->units);
    set_x_range(&panel, figure == FIGURE_1D ? &s->widths : &s->depths);
    switch (figure) {
    case FIGURE_1C:
        panel.name = "fig1c";
        panel.title = "(1c) Change of test loss, against depth";
        lines[0] = paper_series("paper (its Fig. 2a, exact)", "2a-exact", 1);
        lines[1] = our_series(s, "here", "1c", 0, 0.0);
        break;
    case FIGURE_1D:
        panel.name = "fig1d";
        panel.title = "(1d) Change of test loss, against width";
        snprintf(x_label, sizeof x_label, "units of the one hidden layer");
        lines[0] = paper_series("paper (its two ends)", "1d", 1);
        lines[1] = our_series(s, "here", "1d", 0, 0.0);
        break;
    case FIGURE_2A:
        panel.name = "fig2a";
        panel.title = "(2a) Exact and stochastic inverse of the Hessian";
        lines[0] = paper_series("paper, exact", "2a-exact", 0);
        lines[1] = paper_series("paper, stochastic", "2a-lissa", 1);
        lines[2] = our_series(s, "here, exact", "2a-exact", 0, -0.05);
        lines[3] = our_series(s, "here, stochastic", "2a-lissa", 1, 0.05);
        panel.n_series = 4;
        break;
    case FIGURE_2B:
        panel.name = "fig2b";
        panel.title = "(2b) Largest eigenvalue of the Hessian";
        panel.y_label = "λ_{max}";
        panel.y_log = 1;
        panel.y_low = panel.y_high = 0.0;
        set_decades(&panel, p, values);
        panel.key_place = "top left";
        lines[0] = paper_series("paper", "2b", 1);
        lines[1] = our_series(s, "here", "2b", 0, 0.0);
        break;
    default:
        panel.name = "fig2c";
        panel.title = "(2c) Norm of the change of parameters";
        lines[0] = paper_series("paper", "2c", 1);
        lines[1] = our_series(s, "here", "2c", 0, 0.0);
        break;
    }
    return plot_write(s->out, &panel);
}

static int write_plot(const plan *p, unsigned figure, double *values) {
    switch (figure) {
    case FIGURE_1A:
        return write_plot_1a(p, values);
    case FIGURE_1B:
        return write_plot_1b(p, values);
    default:
        return write_sweep_plot(p, figure, values);
    }
}

static int draw_figures(const plan *p) {
    char name[16];
    for (unsigned figure = 0; figure < N_FIGURES; figure++) {
        if (!is_complete(p, figure) || interrupt_requested())
            continue;
        snprintf(name, sizeof name, "fig%s", figure_names[figure]);
        plot_status status = plot_draw(p->s->out, name);
        if (status == PLOT_NO_GNUPLOT) {
            fprintf(stderr, "iris: gnuplot is not installed, so there are no pictures; the CSV files are complete\n");
            return 0;
        }
        if (status == PLOT_FAILED && !interrupt_requested())
            return -1;
    }
    return 0;
}

/* Everything that the finished configurations give. Non-zero: something could not be written. */
static int write_results(const plan *p) {
    int failed = 0;
    double *values = malloc(p->s->seeds * sizeof *values);
    if (values == NULL)
        return -1;
    failed |= write_controls(p);
    failed |= write_rows(p);
    failed |= write_paper(p->s);
    failed |= write_summary(p, values);
    for (unsigned figure = 0; figure < N_FIGURES; figure++) {
        if (!is_complete(p, figure))
            continue;
        failed |= write_figure(p, figure);
        failed |= write_plot(p, figure, values);
    }
    if (p->s->plots && !failed)
        failed |= draw_figures(p);
    print_table(p, values);
    free(values);
    return failed;
}

/* ---- the program ------------------------------------------------------------------------------------------------ */

static const char about[] =
    "Figures 1 and 2 of \"Influence Functions in Deep Learning Are Fragile\" on Iris: how well the influence\n"
    "function predicts what retraining without a row does, against depth, width and weight decay.\n";

static const char files[] =
    "The folder gets fig1a.csv ... fig2c.csv with their .gp, .png and .svg, summary.csv (paper and here),\n"
    "controls.csv and rows.csv (all that was measured), paper.csv, settings.txt and journal.csv.\n"
    "Exit status: 0 done, 1 failed, 2 an option is wrong, 130 interrupted.\n";

/* Removes what an earlier run left of the wanted figures, so that none stands beside other settings. */
static int remove_old_figures(const settings *s) {
    static const char *const extensions[] = {"csv", "gp", "png", "svg"};
    char name[32];
    for (unsigned figure = 0; figure < N_FIGURES; figure++) {
        for (size_t i = 0; wants(s, figure) && i < sizeof extensions / sizeof extensions[0]; i++) {
            snprintf(name, sizeof name, "fig%s.%s", figure_names[figure], extensions[i]);
            if (output_remove(s->out, name) != 0)
                return -1;
        }
    }
    return 0;
}

static int run(const settings *s, const argument *table, size_t n_options) {
    plan p;
    int result = EXIT_FAILURE;
    journal *record = NULL;
    p.fingerprint = arguments_fingerprint(table, n_options, infl_version());
    if (plan_make(&p, s) != 0) {
        fprintf(stderr, "iris: no memory\n");
        return EXIT_FAILURE;
    }
    if (output_make_folder(s->out) == 0 && remove_old_figures(s) == 0 && write_settings(s, table, n_options) == 0)
        record = journal_open(s->out, s->resume, journal_take, &p);
    if (record != NULL) {
        int failures = run_all(&p, record);
        int unwritten = write_results(&p);
        result = program_end("iris", failures != 0 || unwritten != 0);
    }
    journal_close(record);
    for (size_t i = 0; i < p.n; i++) {
        free(p.all[i].removed);
    }
    free(p.all);
    return result;
}

int main(int argc, char **argv) {
    settings s;
    argument table[MAX_OPTIONS];
    size_t n = settings_table(&s, table);
    const program p = {"iris", about, files, table, n, &s, settings_default, &s.preset, &s.help, &s.version};
    int result;
    if (program_begin(&p, PRESET_DEMO, argc, argv, &result))
        return result;
    interrupt_install();
    return run(&s, table, n);
}

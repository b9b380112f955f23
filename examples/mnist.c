/*
 * Figure 3 of "Influence Functions in Deep Learning Are Fragile" (Basu, Pope & Feizi, ICLR 2021): Koh & Liang's CNN on
 * a tenth of MNIST, with and without weight decay, and the influence function's predictions for the removal of single
 * rows compared with two ground truths: Adam's steps from the optimum, as in the paper, and Newton's method to the new
 * optimum. A network is a decay and a seed; networks run one after the other, and all that takes long is kept in the
 * folder.
 */
#include <influence.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "common/interrupt.h"
#include "common/mnist.h"
#include "common/mnist_results.h"
#include "common/mnist_settings.h"
#include "common/output.h"
#include "common/program.h"
#include "common/settle.h"
#include "common/stages.h"
#include "common/statistics.h"
#include "common/try.h"
#include "common/vectors.h"

/* An optimum is one where the gradient's norm is no more than this and the Hessian positive definite. */
static const double REST = 1e-5;
/* Newton's method goes on in double precision from a gradient of this norm on. */
static const double NEAR = 1e-4;
/* For a row's removal, where the inverse at the optimum is a near-exact preconditioner. */
enum { REST_STEPS = 40, REST_PRODUCTS = 100 };

/* Of the largest eigenvalue: what is rounding of 0, and a damping beyond it. */
static const double NULL_RANGE = 1e-11, NULL_DAMPING = 1e-9;

/* ---- one network ------------------------------------------------------------------------------------------------ */

/* For the value pass that products of a polish share. */
static const size_t KEPT_BYTES = (size_t)3 << 30;

/* Of polished.txt: θ, and then these. */
enum { POLISHED_NORM, POLISHED_ROUNDS, POLISHED_NEAR, POLISHED_DONE, N_POLISHED };

/* What all networks share, and what the present one needs while it is measured. */
typedef struct study {
    const settings *s;
    int threads;
    infl_dataset *split, *test_rows; /* the 55,000; the 10,000 */
    network *all;                    /* by seed, then decays, then the sweep's others */
    size_t n_networks;
    stages stages;
    double train_step, retrain_step, gradient; /* seconds of a step on all threads, one on one, and all rows in f64 */
    /* of the present network */
    network *w;
    size_t n, p;
    infl_dataset *rows;
    infl_model *fast, *model; /* for the training, and in f64 for all else */
    infl_objective *train, *test;
    double *theta, *polished; /* p; the same and how far polishing came, p + N_POLISHED */
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    size_t test_points[MAX_POINTS];
    double *predicted, *other;  /* test points × n: by the exact inverse, and by another */
    size_t *order;              /* n */
    size_t *removed, n_removed; /* rows to remove                                               */
    size_t *place;              /* where each of the n rows stands among them; SIZE_MAX: it does not */
} study;

static void clear_curvature(study *t) {
    infl_influence_destroy(t->influence);
    infl_inverse_destroy(t->inverse);
    infl_curvature_destroy(t->curvature);
    t->influence = NULL;
    t->inverse = NULL;
    t->curvature = NULL;
}

static void clear_network(study *t) {
    clear_curvature(t);
    infl_objective_destroy(t->test);
    infl_objective_destroy(t->train);
    infl_model_destroy(t->model);
    infl_model_destroy(t->fast);
    infl_dataset_destroy(t->rows);
    t->test = t->train = NULL;
    t->model = t->fast = NULL;
    t->rows = NULL;
    free(t->theta);
    free(t->polished);
    free(t->predicted);
    free(t->other);
    free(t->order);
    free(t->removed);
    free(t->place);
    t->theta = t->polished = t->predicted = t->other = NULL;
    t->order = t->removed = t->place = NULL;
}

/* Estimates in seconds, from the measured steps. */
static double training_work(const study *t) { return (double)t->s->steps * t->train_step; }

static double hessian_work(const study *t) { return 0.15 * (double)t->p * t->gradient; }

static double polish_work(const study *t, const network *w) {
    size_t rounds = t->s->polish_rounds;
    return w->polished ? 2.0 * (double)rounds * hessian_work(t) : 0.0;
}

static double retraining_work(const study *t, size_t rows) {
    return (double)rows * (double)t->s->retrain_steps * t->retrain_step / (double)t->threads;
}

static double rest_work(const study *t, const network *w) {
    return w->detailed && w->polished ? 150.0 * (double)t->s->rest_rows * t->gradient : 0.0;
}

static double inverses_work(const study *t, const network *w) {
    return w->detailed && t->s->inverses ? 60.0 * (double)t->p * (double)t->p / 7e6 : 0.0;
}

/* Rows that a network is likely to have removed: most influential ones are shared by test images in part. */
static size_t likely_rows(const study *t, const network *w) {
    size_t n = 0;
    for (size_t i = 0; i < t->s->test_points; i++) {
        n += w->points[i].groups[GROUP_TOP].n + w->points[i].groups[GROUP_BAND].n;
    }
    return n < t->s->rows ? n : t->s->rows;
}

static double network_work(const study *t, const network *w) {
    size_t rows = likely_rows(t, w);
    return training_work(t) + polish_work(t, w) + hessian_work(t) + retraining_work(t, rows) + rest_work(t, w) +
           inverses_work(t, w);
}

static infl_status make_rows(study *t) {
    infl_dataset *others = NULL;
    TRY(infl_dataset_split(&t->rows, &others, t->split, (double)t->s->rows / MNIST_SPLIT, 0, t->w->seed));
    infl_dataset_destroy(others);
    t->n = infl_dataset_rows(t->rows);
    return INFL_OK;
}

static infl_objective_options objective_options(const study *t, double decay) {
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = t->threads;
    options.decay = decay;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    return options;
}

/* What a model minimises, and the loss of the test images. */
static infl_status make_objectives(const study *t, infl_model *model, infl_objective **train, infl_objective **test) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options undecayed = objective_options(t, 0.0), decayed = objective_options(t, t->w->decay);
    TRY(infl_objective_create(train, model, &loss, t->rows, &decayed));
    return infl_objective_create(test, model, &loss, t->test_rows, &undecayed);
}

static infl_status make_models(study *t) {
    infl_zoo_options zoo = INFL_ZOO_OPTIONS_INIT;
    zoo.width_factor = t->s->width;
    TRY(infl_model_create_zoo(&t->fast, INFL_ZOO_KL_CNN, &zoo, (infl_precision)t->s->precision, t->w->seed));
    TRY(infl_model_convert(&t->model, t->fast, INFL_F64));
    TRY(make_objectives(t, t->model, &t->train, &t->test));
    t->p = infl_model_parameters(t->model);
    return INFL_OK;
}

static infl_status make_arrays(study *t) {
    size_t points = t->s->test_points;
    t->theta = malloc(t->p * sizeof *t->theta);
    t->polished = malloc((t->p + N_POLISHED) * sizeof *t->polished);
    t->predicted = malloc(points * t->n * sizeof *t->predicted);
    t->other = malloc(points * t->n * sizeof *t->other);
    t->order = malloc(t->n * sizeof *t->order);
    t->removed = malloc(t->n * sizeof *t->removed);
    t->place = malloc(t->n * sizeof *t->place);
    return t->theta != NULL && t->polished != NULL && t->predicted != NULL && t->other != NULL && t->order != NULL &&
                   t->removed != NULL && t->place != NULL
               ? INFL_OK
               : INFL_E_MEMORY;
}

/* Whether the folder has this file of an earlier run; what it holds is then in values. */
static infl_status recall(const study *t, const char *name, double *values, size_t n, int *found) {
    int status = vector_read(t->w->folder, name, values, n);
    *found = status == 0;
    return status < 0 ? INFL_E_IO : INFL_OK;
}

static infl_status keep(const study *t, const char *name, const double *values, size_t n) {
    return vector_write(t->w->folder, name, values, n) == 0 ? INFL_OK : INFL_E_IO;
}

/* Adam from the first parameters, in the precision asked for; θ then goes to the model that all else uses. */
static infl_status train_network(study *t) {
    const settings *s = t->s;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options objective = objective_options(t, t->w->decay);
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    const size_t drops[] = {s->steps * 60 / 100, s->steps * 85 / 100};
    infl_objective *train = NULL;
    int found;
    TRY(recall(t, "trained.txt", t->theta, t->p, &found));
    if (found) {
        progress_skip(t->stages.bar, training_work(t));
        return infl_model_set_parameters(t->model, t->theta);
    }
    options.steps = s->steps;
    options.batch = s->batch < t->n ? s->batch : t->n;
    options.learning_rate = s->learning_rate;
    options.milestones = drops;
    options.n_milestones = drops[0] < drops[1] ? 2 : 0;
    options.seed = t->w->seed;
    options.progress = stage_progress;
    options.progress_context = &t->stages;
    stage_begin(&t->stages, training_work(t));
    TRY(infl_objective_create(&train, t->fast, &loss, t->rows, &objective));
    infl_status status = infl_train(train, &options, NULL);
    infl_objective_destroy(train);
    TRY(status);
    stage_end(&t->stages);
    TRY(infl_model_get_parameters(t->fast, t->theta));
    TRY(keep(t, "trained.txt", t->theta, t->p));
    return infl_model_set_parameters(t->model, t->theta);
}

static infl_status gradient_norm(study *t, double *norm) {
    TRY(infl_objective_evaluate(t->train, NULL, t->theta));
    return infl_norms(t->theta, 1, t->p, norm);
}

/* The Hessian at the present θ, without damping. */
static infl_status form_hessian(study *t, int precision) {
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    options.precision = precision;
    options.progress = stage_progress;
    options.progress_context = &t->stages;
    clear_curvature(t);
    TRY(infl_curvature_create(&t->curvature, t->train, INFL_HESSIAN, 0.0));
    return infl_curvature_form(t->curvature, &options, NULL);
}

static infl_status make_inverse(study *t, const infl_inverse_options *options) {
    infl_influence_destroy(t->influence);
    t->influence = NULL;
    infl_inverse_destroy(t->inverse);
    t->inverse = NULL;
    return infl_inverse_create(&t->inverse, t->curvature, options);
}

/*
 * Newton steps on one Hessian, far from the optimum in single precision. H + μI preconditions their conjugate gradients
 * and is the norm of their trust region; μ is what lifts the smallest eigenvalue above 0 by half its size.
 */
static infl_status polish_round(study *t, double *at) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options objective = objective_options(t, t->w->decay);
    infl_polish_options options = INFL_POLISH_OPTIONS_INIT;
    infl_train_result result;
    infl_objective *train;
    int near = at[POLISHED_NEAR] != 0.0;
    infl_model *model = near ? t->model : t->fast;
    options.gradient_tolerance = near ? t->s->polish_tolerance : NEAR;
    options.max_iterations = t->s->polish_steps;
    options.max_cg_iterations = t->s->polish_products;
    options.progress = stage_progress;
    options.progress_context = &t->stages;
    TRY(form_hessian(t, INFL_F32));
    TRY(infl_curvature_eigen(t->curvature, t->theta, NULL));
    TRY(infl_curvature_set_damping(t->curvature, fmax(-1.5 * t->theta[0], 1e-5 * t->theta[t->p - 1])));
    TRY(make_inverse(t, NULL));
    options.preconditioner = t->inverse;
    objective.keep_budget = KEPT_BYTES;
    TRY(infl_model_set_parameters(model, t->polished));
    TRY(infl_objective_create(&train, model, &loss, t->rows, &objective));
    infl_status status = infl_polish(train, &options, &result);
    infl_objective_destroy(train);
    TRY(status);
    TRY(infl_model_get_parameters(model, t->polished));
    TRY(infl_model_set_parameters(t->model, t->polished));
    double before = at[POLISHED_NORM];
    at[POLISHED_NORM] = result.gradient_norm;
    at[POLISHED_ROUNDS] += 1.0;
    at[POLISHED_DONE] = near && (result.reason == INFL_STOP_GRADIENT ||
                                 (result.reason == INFL_STOP_STALLED && !(result.gradient_norm < before)));
    at[POLISHED_NEAR] = near || result.reason != INFL_STOP_STEPS;
    progress_line(
        t->stages.bar, 1,
        "decay %g: round %.0f of Newton's method (%s): %zu steps, %zu products, R %.7g, its gradient's norm %.2e",
        t->w->decay, at[POLISHED_ROUNDS], near ? "f64" : "f32", result.steps, result.products, result.value,
        result.gradient_norm);
    return INFL_OK;
}

/* Newton's method to the optimum, where it comes to one; else θ stays as Adam left it, which is nearer to rest. */
static infl_status polish_network(study *t) {
    double *measures = t->w->measures, *at = t->polished + t->p, work = polish_work(t, t->w);
    size_t rounds = t->s->polish_rounds;
    int found;
    TRY(gradient_norm(t, &measures[MEASURE_gradient_norm_trained]));
    measures[MEASURE_gradient_norm] = measures[MEASURE_gradient_norm_trained];
    if (!t->w->polished || rounds == 0)
        return INFL_OK;
    TRY(recall(t, "polished.txt", t->polished, t->p + N_POLISHED, &found));
    if (found) {
        TRY(infl_model_set_parameters(t->model, t->polished));
    } else {
        at[POLISHED_NORM] = measures[MEASURE_gradient_norm];
        at[POLISHED_ROUNDS] = at[POLISHED_DONE] = at[POLISHED_NEAR] = 0.0;
        TRY(infl_model_get_parameters(t->model, t->polished));
    }
    while (at[POLISHED_DONE] == 0.0 && at[POLISHED_ROUNDS] < (double)rounds) {
        stage_begin(&t->stages, work / (double)rounds);
        TRY(polish_round(t, at));
        TRY(keep(t, "polished.txt", t->polished, t->p + N_POLISHED));
        stage_end(&t->stages);
        work -= t->stages.seconds;
    }
    progress_skip(t->stages.bar, work);
    measures[MEASURE_polish_rounds] = at[POLISHED_ROUNDS];
    measures[MEASURE_gradient_norm_polished] = at[POLISHED_NORM];
    if (at[POLISHED_NORM] > REST) {
        TRY(recall(t, "trained.txt", t->theta, t->p, &found));
        return infl_model_set_parameters(t->model, t->theta);
    }
    measures[MEASURE_gradient_norm] = at[POLISHED_NORM];
    return INFL_OK;
}

static infl_status mean_loss(infl_objective *objective, double *values, double *mean) {
    size_t n = infl_objective_rows(objective);
    double sum = 0.0;
    TRY(infl_objective_losses(objective, NULL, 0, values));
    for (size_t i = 0; i < n; i++) {
        sum += values[i];
    }
    *mean = sum / (double)n;
    return INFL_OK;
}

/* Losses and accuracies at the optimum; the test images of highest loss. */
static infl_status choose_test_points(study *t) {
    double *measures = t->w->measures, *losses = malloc(infl_dataset_rows(t->test_rows) * sizeof *losses);
    if (losses == NULL)
        return INFL_E_MEMORY;
    infl_status status = infl_model_accuracy(t->model, t->rows, &measures[MEASURE_train_accuracy]);
    if (status == INFL_OK)
        status = infl_model_accuracy(t->model, t->test_rows, &measures[MEASURE_test_accuracy]);
    if (status == INFL_OK)
        status = mean_loss(t->train, t->predicted, &measures[MEASURE_train_loss]);
    if (status == INFL_OK)
        status = mean_loss(t->test, losses, &measures[MEASURE_test_loss]);
    if (status == INFL_OK)
        status = infl_influence_top(losses, infl_dataset_rows(t->test_rows), INFL_HARMFUL, t->s->test_points,
                                    t->test_points);
    for (size_t i = 0; status == INFL_OK && i < t->s->test_points; i++) {
        t->w->points[i].about[POINT_ROW] = (double)t->test_points[i];
        t->w->points[i].about[POINT_LOSS] = losses[t->test_points[i]];
    }
    free(losses);
    return status;
}

/*
 * Adding a number to all biases of the last layer changes no prediction, so H has an eigenvalue of 0, whose direction no
 * gradient has a part in: where all others are positive, a damping just beyond rounding is none.
 */
static double least_damping(const study *t) { return NULL_DAMPING * t->w->measures[MEASURE_lambda_max]; }

/* The setting's, or the first of 2, 5, 10, ... times it that makes H + λI positive definite. */
static double choose_damping(const study *t) {
    static const double factors[] = {1.0, 2.0, 5.0};
    double least = least_damping(t), base = fmax(t->s->damping, least), damping = base;
    for (size_t i = 0; !(t->w->measures[MEASURE_lambda_min] + damping >= least); i++) {
        damping = base * factors[i % 3];
        base *= i % 3 == 2 ? 10.0 : 1.0;
    }
    return damping;
}

/* By the inverse that these options make: test points × n. */
static infl_status predict(study *t, const infl_inverse_options *options, double *predicted,
                           infl_solve_report *reports) {
    TRY(make_inverse(t, options));
    TRY(infl_influence_create(&t->influence, t->train, t->inverse, NULL));
    return infl_influence_removal_losses(t->influence, t->test, t->test_points, t->s->test_points, NULL, 0, predicted,
                                         reports);
}

/* The Hessian of all that follows, kept in the folder. */
static infl_status take_hessian(study *t) {
    char *path = output_path(t->w->folder, "hessian.safetensors");
    FILE *file = path == NULL ? NULL : fopen(path, "rb");
    infl_status status = path == NULL ? INFL_E_MEMORY : INFL_OK;
    clear_curvature(t);
    if (file != NULL) {
        fclose(file);
        progress_skip(t->stages.bar, hessian_work(t));
        status = infl_curvature_load(&t->curvature, t->train, path, 0.0);
    } else if (status == INFL_OK) {
        stage_begin(&t->stages, hessian_work(t));
        status = form_hessian(t, INFL_F64);
        stage_end(&t->stages);
        if (status == INFL_OK)
            status = infl_curvature_save(t->curvature, path);
    }
    free(path);
    return status;
}

static infl_status predict_exactly(study *t) {
    double *measures = t->w->measures, *values = t->theta;
    TRY(take_hessian(t));
    TRY(infl_curvature_eigen(t->curvature, values, NULL));
    double low = values[0], high = values[t->p - 1];
    size_t below = 0, positive;
    while (below < t->p && values[below] < -NULL_RANGE * high) {
        below++;
    }
    for (positive = below; positive < t->p - 1 && values[positive] <= NULL_RANGE * high;) {
        positive++;
    }
    measures[MEASURE_lambda_min] = low;
    measures[MEASURE_lambda_max] = high;
    measures[MEASURE_negative] = (double)below;
    measures[MEASURE_null] = (double)(positive - below);
    measures[MEASURE_lambda_positive] = values[positive];
    double damping = measures[MEASURE_damping] = choose_damping(t);
    if (damping > t->s->damping)
        progress_line(t->stages.bar, 1, "decay %g: the smallest eigenvalue is %.3g, so the damping is %g", t->w->decay,
                      low, damping);
    TRY(infl_curvature_set_damping(t->curvature, damping));
    return predict(t, NULL, t->predicted, NULL);
}

/* The first rows of `order` become a group, and are to be removed. */
static void take_group(study *t, group *rows, const size_t *order, const double *predicted) {
    for (size_t i = 0; i < rows->n; i++) {
        size_t row = order[i];
        rows->column[COLUMN_ROW][i] = (double)row;
        rows->column[COLUMN_PREDICTED][i] = predicted[row];
        if (t->place[row] == SIZE_MAX) {
            t->place[row] = t->n_removed;
            t->removed[t->n_removed++] = row;
        }
    }
}

static infl_status choose_rows(study *t) {
    const settings *s = t->s;
    t->n_removed = 0;
    for (size_t i = 0; i < t->n; i++) {
        t->place[i] = SIZE_MAX;
    }
    for (size_t i = 0; i < s->test_points; i++) {
        const double *predicted = t->predicted + i * t->n;
        point *at = &t->w->points[i];
        group *band = &at->groups[GROUP_BAND];
        if (s->select == MNIST_SIGNED) {
            TRY(infl_influence_top(predicted, t->n, INFL_HARMFUL, t->n, t->order));
            take_group(t, &at->groups[GROUP_TOP], t->order, predicted);
        }
        for (size_t j = 0; j < t->n; j++) {
            t->other[j] = fabs(predicted[j]);
        }
        TRY(infl_influence_top(t->other, t->n, INFL_HARMFUL, t->n, t->order));
        if (s->select == MNIST_MAGNITUDE)
            take_group(t, &at->groups[GROUP_TOP], t->order, predicted);
        double middle = (1.0 - s->percentile / 100.0) * (double)t->n - 0.5 * (double)band->n;
        double last = (double)(t->n - band->n);
        take_group(t, band, t->order + (size_t)fmin(fmax(middle, 0.0), last), predicted);
    }
    t->w->measures[MEASURE_rows_removed] = (double)t->n_removed;
    return INFL_OK;
}

/* Whether θ is an optimum. */
static int rested(const study *t) {
    return t->w->measures[MEASURE_gradient_norm] <= REST && t->w->measures[MEASURE_negative] == 0.0;
}

/* Of the chosen rows, without damping, at an optimum. */
static infl_status predict_undamped(study *t) {
    if (!rested(t))
        return INFL_OK;
    TRY(infl_curvature_set_damping(t->curvature, least_damping(t)));
    TRY(predict(t, NULL, t->other, NULL));
    for (size_t i = 0; i < t->s->test_points; i++) {
        for (size_t j = 0; j < N_GROUPS; j++) {
            group *rows = &t->w->points[i].groups[j];
            for (size_t k = 0; k < rows->n; k++) {
                rows->column[COLUMN_UNDAMPED][k] = t->other[i * t->n + (size_t)rows->column[COLUMN_ROW][k]];
            }
        }
    }
    return INFL_OK;
}

/* Retrains without each of the first m chosen rows; the changes of the test losses go to a column of the groups. */
static infl_status retrain(study *t, infl_objective *train, size_t m, infl_retrain_options *options, int column,
                           const char *journal, double *controls, infl_train_result *results) {
    size_t points = t->s->test_points;
    infl_retrain_output changes = INFL_RETRAIN_OUTPUT_INIT;
    double *losses = malloc(points * m * sizeof *losses);
    char *path = output_path(t->w->folder, journal);
    infl_status status = losses != NULL && path != NULL ? INFL_OK : INFL_E_MEMORY;
    options->journal = path;
    options->threads = t->threads;
    options->progress = stage_progress;
    options->progress_context = &t->stages;
    changes.loss_changes = losses;
    changes.control_losses = controls;
    changes.results = results;
    if (status == INFL_OK)
        status = infl_retrain_without(train, t->removed, m, t->test, t->test_points, points, options, &changes);
    for (size_t i = 0; status == INFL_OK && i < points; i++) {
        for (size_t j = 0; j < N_GROUPS; j++) {
            group *rows = &t->w->points[i].groups[j];
            for (size_t k = 0; k < rows->n; k++) {
                size_t at = t->place[(size_t)rows->column[COLUMN_ROW][k]];
                if (at < m)
                    rows->column[column][k] = losses[i * m + at];
            }
        }
    }
    if (status == INFL_OK && changes.resumed > 0)
        progress_line(t->stages.bar, 1, "%s: %zu retrainings of an earlier run%s", path, changes.resumed,
                      changes.dropped > 0 ? ", a last one was cut off" : "");
    free(losses);
    free(path);
    return status;
}

/* The paper's ground truth: Adam's steps from the optimum, in the training's precision. */
static infl_status retrain_by_adam(study *t) {
    const settings *s = t->s;
    infl_train_options train = INFL_TRAIN_OPTIONS_INIT;
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options objective = objective_options(t, t->w->decay);
    infl_objective *fast = NULL;
    double controls[MAX_POINTS];
    train.steps = s->retrain_steps;
    train.batch = s->batch < t->n ? s->batch : t->n;
    train.learning_rate = s->retrain_rate;
    train.seed = t->w->seed;
    options.train = &train;
    stage_begin(&t->stages, retraining_work(t, t->n_removed));
    progress_skip(t->stages.bar, retraining_work(t, likely_rows(t, t->w)) - t->stages.seconds);
    TRY(infl_model_get_parameters(t->model, t->theta));
    TRY(infl_model_set_parameters(t->fast, t->theta));
    TRY(infl_objective_create(&fast, t->fast, &loss, t->rows, &objective));
    infl_status status = retrain(t, fast, t->n_removed, &options, COLUMN_RETRAINED, "adam.journal", controls, NULL);
    infl_objective_destroy(fast);
    TRY(status);
    stage_end(&t->stages);
    for (size_t i = 0; i < s->test_points; i++) {
        point *at = &t->w->points[i];
        at->about[POINT_CONTROL] = controls[i];
        for (size_t j = 0; j < N_GROUPS; j++) {
            for (size_t k = 0; k < at->groups[j].n; k++) {
                at->groups[j].column[COLUMN_RETRAINED][k] += controls[i];
            }
        }
    }
    return INFL_OK;
}

/* Rows whose removal did not lead to an optimum within the limits have no truth at rest. */
static void leave_restless(study *t, size_t m, const infl_train_result *results) {
    double *measures = t->w->measures;
    measures[MEASURE_rest_rows] = measures[MEASURE_rest_gradient_norm] = 0.0;
    for (size_t i = 0; i < m; i++) {
        measures[MEASURE_rest_rows] += results[i].gradient_norm <= REST ? 1.0 : 0.0;
        measures[MEASURE_rest_gradient_norm] = fmax(measures[MEASURE_rest_gradient_norm], results[i].gradient_norm);
    }
    for (size_t i = 0; i < t->s->test_points; i++) {
        for (size_t j = 0; j < N_GROUPS; j++) {
            group *rows = &t->w->points[i].groups[j];
            for (size_t k = 0; k < rows->n; k++) {
                size_t at = t->place[(size_t)rows->column[COLUMN_ROW][k]];
                if (at < m && !(results[at].gradient_norm <= REST))
                    rows->column[COLUMN_REST][k] = NAN;
            }
        }
    }
}

/*
 * Where θ is an optimum: the optimum without the row, by Newton's method. The first rows removed are the most influential
 * ones on the first test image. The undamped inverse is the preconditioner.
 */
static infl_status retrain_to_rest(study *t) {
    size_t m = t->s->rest_rows < t->n_removed ? t->s->rest_rows : t->n_removed;
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    double controls[MAX_POINTS];
    if (!t->w->detailed || !t->w->polished || m == 0)
        return INFL_OK;
    if (!rested(t)) {
        progress_skip(t->stages.bar, rest_work(t, t->w));
        return INFL_OK;
    }
    polish.max_iterations = REST_STEPS;
    polish.max_cg_iterations = REST_PRODUCTS;
    polish.gradient_tolerance = t->s->polish_tolerance;
    polish.preconditioner = t->inverse;
    options.polish = &polish;
    stage_begin(&t->stages, rest_work(t, t->w));
    infl_train_result *results = malloc(m * sizeof *results);
    if (results == NULL)
        return INFL_E_MEMORY;
    infl_status status = retrain(t, t->train, m, &options, COLUMN_REST, "rest.journal", controls, results);
    if (status == INFL_OK)
        leave_restless(t, m, results);
    free(results);
    stage_end(&t->stages);
    return status;
}

static infl_status correlate_inverse(study *t, size_t method, size_t i, infl_status status,
                                     const infl_solve_report *report) {
    point *at = &t->w->points[i];
    const group *rows = &at->groups[GROUP_TOP];
    double *into = at->inverses[method];
    into[INVERSE_STATUS] = (double)status;
    into[INVERSE_DAMPING] = infl_curvature_damping(t->curvature);
    if (status != INFL_OK)
        return INFL_OK;
    into[INVERSE_RESIDUAL] = report->residual;
    into[INVERSE_PRODUCTS] = report->products;
    TRY(infl_pearson(t->other + i * t->n, t->predicted + i * t->n, t->n, &into[INVERSE_EXACT]));
    double *truth = network_truth(at, rows), *predicted = malloc((rows->n + 1) * sizeof *predicted);
    if (truth == NULL || predicted == NULL) {
        free(truth);
        free(predicted);
        return INFL_E_MEMORY;
    }
    for (size_t j = 0; j < rows->n; j++) {
        predicted[j] = t->other[i * t->n + (size_t)rows->column[COLUMN_ROW][j]];
    }
    status = infl_pearson(predicted, truth, rows->n, &into[INVERSE_TRUTH]);
    size_t at_rest = 0;
    for (size_t j = 0; j < rows->n; j++) {
        if (isnan(rows->column[COLUMN_REST][j]))
            continue;
        predicted[at_rest] = predicted[j];
        truth[at_rest++] = rows->column[COLUMN_REST][j];
    }
    if (status == INFL_OK && at_rest > 2)
        status = infl_pearson(predicted, truth, at_rest, &into[INVERSE_REST]);
    free(truth);
    free(predicted);
    return status;
}

/* Other inverses of the same Hessian. One that fails is no failure of the study: its status is a result. */
static infl_status compare_inverses(study *t) {
    if (!t->w->detailed || !t->s->inverses)
        return INFL_OK;
    stage_begin(&t->stages, inverses_work(t, t->w));
    for (size_t method = 0; method < N_METHODS; method++) {
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        infl_solve_report reports[MAX_POINTS] = {{0}};
        options.accept_unconverged = 1;
        options.progress = stage_progress;
        options.progress_context = &t->stages;
        options.method = method == METHOD_CG ? INFL_CG : method == METHOD_LISSA ? INFL_LISSA : INFL_CHOLESKY;
        options.max_iterations = method == METHOD_CG ? t->s->cg_steps : t->s->lissa_steps;
        double damping = method == METHOD_UNDAMPED ? least_damping(t) : t->w->measures[MEASURE_damping];
        TRY(infl_curvature_set_damping(t->curvature, damping));
        infl_status status = predict(t, &options, t->other, reports);
        if (status != INFL_OK && status != INFL_E_INDEFINITE && status != INFL_E_DIVERGED &&
            status != INFL_E_UNCONVERGED)
            return status;
        for (size_t i = 0; i < t->s->test_points; i++) {
            TRY(correlate_inverse(t, method, i, status, &reports[i]));
        }
    }
    stage_end(&t->stages);
    return INFL_OK;
}

/* Rows as their number among MNIST's training images. */
static infl_status name_rows(study *t) {
    for (size_t i = 0; i < t->s->test_points; i++) {
        for (size_t j = 0; j < N_GROUPS; j++) {
            group *rows = &t->w->points[i].groups[j];
            for (size_t k = 0; k < rows->n; k++) {
                size_t source;
                TRY(infl_dataset_source_row(t->rows, (size_t)rows->column[COLUMN_ROW][k], &source));
                rows->column[COLUMN_ROW][k] = (double)source;
            }
        }
    }
    return INFL_OK;
}

static infl_status measure_network(study *t) {
    network *w = t->w;
    int found;
    TRY(recall(t, "results.txt", w->numbers, w->n_numbers, &found));
    if (found) {
        progress_skip(t->stages.bar, network_work(t, w));
        w->finished = 1;
        return INFL_OK;
    }
    TRY(make_rows(t));
    TRY(make_models(t));
    TRY(make_arrays(t));
    TRY(train_network(t));
    TRY(polish_network(t));
    TRY(choose_test_points(t));
    TRY(predict_exactly(t));
    TRY(choose_rows(t));
    TRY(retrain_by_adam(t));
    TRY(predict_undamped(t));
    TRY(retrain_to_rest(t));
    TRY(compare_inverses(t));
    TRY(name_rows(t));
    TRY(keep(t, "results.txt", w->numbers, w->n_numbers));
    w->finished = 1;
    return w->detailed || output_remove(w->folder, "hessian.safetensors") == 0 ? INFL_OK : INFL_E_IO;
}

/* ---- all networks ----------------------------------------------------------------------------------------------- */

/* The networks, by seed: the decays of 3a and 3b, then the others of the sweep. Non-zero: no memory. */
static int make_networks(study *t, unsigned long long fingerprint) {
    const settings *s = t->s;
    t->all = malloc((s->decays.n + s->sweep.n) * s->seeds * sizeof *t->all);
    for (size_t i = 0; t->all != NULL && i < s->seeds; i++) {
        for (size_t j = 0; j < s->decays.n + s->sweep.n; j++) {
            double decay = j < s->decays.n ? s->decays.values[j] : s->sweep.values[j - s->decays.n];
            if (j >= s->decays.n && arguments_contain(&s->decays, decay))
                continue;
            if (network_create(&t->all[t->n_networks++], s, fingerprint, decay, s->first_seed + i) != 0)
                return -1;
        }
    }
    return t->all == NULL ? -1 : 0;
}

static infl_status read_data(study *t) {
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.n_classes = 10;
    options.count = MNIST_SPLIT;
    TRY(mnist_read(&t->split, t->s->data, "train", &options));
    options.count = 0;
    return mnist_read(&t->test_rows, t->s->data, "t10k", &options);
}

/* Seconds of a gradient of a batch, the better of two. */
static infl_status time_gradient(infl_objective *objective, const size_t *rows, size_t n_rows, double *gradient,
                                 double *seconds) {
    *seconds = INFINITY;
    for (int i = 0; i < 3; i++) {
        double start = seconds_now();
        TRY(infl_objective_evaluate_rows(objective, rows, n_rows, NULL, gradient));
        if (i > 0)
            *seconds = fmin(*seconds, seconds_now() - start);
    }
    return INFL_OK;
}

/* Times a few steps of a first network. */
static infl_status time_steps(study *t) {
    size_t batch = t->s->batch < t->s->rows ? t->s->batch : t->s->rows;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = objective_options(t, 0.0);
    infl_model *model = NULL;
    infl_objective *fast = NULL, *single = NULL;
    t->w = &t->all[0];
    TRY(make_rows(t));
    TRY(make_models(t));
    TRY(make_arrays(t));
    for (size_t i = 0; i < batch; i++) {
        t->order[i] = i;
    }
    infl_status status = infl_objective_create(&fast, t->fast, &loss, t->rows, &options);
    options.threads = 1;
    if (status == INFL_OK)
        status = infl_objective_create(&single, t->fast, &loss, t->rows, &options);
    if (status == INFL_OK)
        status = time_gradient(fast, t->order, batch, t->theta, &t->train_step);
    if (status == INFL_OK)
        status = time_gradient(single, t->order, batch, t->theta, &t->retrain_step);
    if (status == INFL_OK)
        status = time_gradient(t->train, NULL, 0, t->theta, &t->gradient);
    infl_objective_destroy(single);
    infl_objective_destroy(fast);
    infl_model_destroy(model);
    return status;
}

/* Runs what is not finished. */
static infl_status run_all(study *t) {
    double seconds = 0.0;
    TRY(time_steps(t));
    for (size_t i = 0; i < t->n_networks; i++) {
        seconds += network_work(t, &t->all[i]);
    }
    fprintf(stderr,
            "mnist: %zu networks of %zu parameters on %zu rows: about %.0f min on %d threads, at %.1f ms a step "
            "of training and %.1f ms of retraining\n",
            t->n_networks, t->p, t->n, seconds / 60.0, t->threads, 1e3 * t->train_step, 1e3 * t->retrain_step);
    clear_network(t);
    t->stages.bar = progress_begin(seconds);
    infl_status status = INFL_OK;
    for (size_t i = 0; i < t->n_networks && status == INFL_OK && !interrupt_requested(); i++) {
        double start = seconds_now();
        t->w = &t->all[i];
        status = output_make_folder(t->w->folder) == 0 ? measure_network(t) : INFL_E_IO;
        clear_network(t);
        if (status == INFL_OK)
            progress_line(t->stages.bar, 1, "decay %g, seed %zu: finished (%.0f s)", t->w->decay, t->w->seed,
                          seconds_now() - start);
    }
    progress_end(t->stages.bar);
    return status;
}

/* ---- the program ------------------------------------------------------------------------------------------------ */

static const char about[] =
    "Figure 3 of \"Influence Functions in Deep Learning Are Fragile\" on a tenth of MNIST: how well the\n"
    "influence function predicts what retraining without a row does, with and without weight decay.\n";

static const char files[] =
    "The folder gets fig3a.csv, fig3b.csv and fig3c.csv with their .gp, .png and .svg, eigenvalues.csv,\n"
    "inverses.csv, summary.csv (paper and here), points.csv (of the pictures), settings.txt, and what --resume\n"
    "needs under networks/.\n"
    "Exit status: 0 done, 1 failed, 2 an option is wrong or the data is not there, 130 interrupted.\n";

/* Begins anew: what earlier networks left would be of other settings. */
static int remove_kept(const study *t) {
    static const char *const names[] = {"trained.txt",  "polished.txt", "hessian.safetensors",
                                        "adam.journal", "rest.journal", "results.txt"};
    for (size_t i = 0; i < t->n_networks; i++) {
        for (size_t j = 0; j < sizeof names / sizeof names[0]; j++) {
            if (output_remove(t->all[i].folder, names[j]) != 0)
                return -1;
        }
    }
    return 0;
}

static int run(const settings *s, const argument *table, size_t n_options) {
    study t = {.s = s, .threads = program_threads(s->threads)};
    int result = EXIT_FAILURE;
    settlement here = {"mnist", s->out, s->resume, s->anew, arguments_fingerprint(table, n_options, infl_version()), 0};
    if (make_networks(&t, here.fingerprint) != 0) {
        fprintf(stderr, "mnist: no memory\n");
        goto out;
    }
    infl_status status = read_data(&t);
    if (status != INFL_OK) {
        fprintf(stderr, "mnist: %s\n", status == INFL_E_MEMORY ? "no memory" : infl_last_error());
        result = status == INFL_E_IO ? EXIT_USAGE : EXIT_FAILURE;
        goto out;
    }
    if (output_make_folder(s->out) != 0)
        goto out;
    if (settle_folder(&here, table, n_options) != 0) {
        result = EXIT_USAGE;
        goto out;
    }
    if (results_remove(s) != 0 || (s->anew && remove_kept(&t) != 0))
        goto out;
    status = run_all(&t);
    int failed = status != INFL_OK && !(status == INFL_E_CANCELLED && interrupt_requested());
    if (failed)
        program_say_failure("mnist", status);
    failed |= results_write(s, t.all, t.n_networks);
    if (s->plots && !failed && !interrupt_requested())
        failed |= results_draw(s);
    result = program_end("mnist", failed);
out:
    clear_network(&t);
    infl_dataset_destroy(t.test_rows);
    infl_dataset_destroy(t.split);
    for (size_t i = 0; i < t.n_networks; i++) {
        free(t.all[i].numbers);
    }
    free(t.all);
    return result;
}

int main(int argc, char **argv) {
    settings s;
    argument table[MNIST_OPTIONS];
    size_t n = mnist_settings_table(&s, table);
    const program p = {"mnist", about, files, table, n, &s, mnist_settings_default, &s.preset, &s.help, &s.version};
    int result;
    if (program_begin(&p, MNIST_SMALL, argc, argv, &result))
        return result;
    if (program_find_data("mnist", &s.data) != 0)
        return EXIT_USAGE;
    if (s.top + s.band > s.rows || s.sweep_top > s.top || s.band_points > s.test_points) {
        fprintf(stderr, "mnist: top + band may not be more than rows, sweep-top not more than top, band-points not "
                        "more than test-points\n");
        return EXIT_USAGE;
    }
    interrupt_install();
    return run(&s, table, n);
}

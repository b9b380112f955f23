/*
 * Table 1 of "Influence Functions in Deep Learning Are Fragile" (Basu, Pope & Feizi, ICLR 2021): six architectures on
 * MNIST and CIFAR-10, with and without weight decay. For the test images of highest and of median loss the influence
 * function's predictions for the removal of the most influential rows are compared with short retrainings from the
 * optimum. A network is a dataset, an architecture, a decay and a seed; networks run one after the other, and all that
 * takes long is kept in the folder.
 */
#include <influence.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "common/cifar10.h"
#include "common/cifar_results.h"
#include "common/cifar_settings.h"
#include "common/interrupt.h"
#include "common/mnist.h"
#include "common/output.h"
#include "common/program.h"
#include "common/settle.h"
#include "common/stages.h"
#include "common/try.h"
#include "common/vectors.h"

enum { N_CLASSES = 10, VGG_SIDE = 32 }; /* the least image that VGGs take */

/* Seconds of a step on all threads and on one, and of a product with two vectors over a row. */
typedef struct timing {
    double train_step, retrain_step, product;
} timing;

/* What all networks share, and what the present one needs while it is measured. */
typedef struct study {
    const settings *s;
    int threads;
    infl_dataset *images[N_DATA], *test_images[N_DATA];
    network *all; /* by seed, dataset, architecture, decay */
    size_t n_networks;
    timing times[N_DATA][N_NETWORKS];
    stages stages;
    /* of the present network */
    network *w;
    int said; /* why it failed is on stderr already */
    size_t n, p, n_state;
    infl_dataset *drawn, *rows, *test_rows; /* as they are in the files; as the network sees them */
    infl_model *model;
    infl_objective *train, *test;
    size_t test_points[N_POINTS];
    double *trained;                    /* θ, the state, and the seconds that training took */
    double *scratch;                    /* p, then n, then one for each test row                             */
    double *predicted[N_CURVATURES];    /* points × n, and N_SOLVE numbers                                   */
    size_t *order, *removed, n_removed; /* rows to remove                                                    */
    size_t *place;                      /* of each of the n rows among them; SIZE_MAX: it is not removed     */
    size_t *chosen;                     /* points × top: the place of each                                   */
} study;

/* ---- progress and estimates ------------------------------------------------------------------------------------- */

static size_t batch_of(const study *t, size_t n) { return t->s->batch < n ? t->s->batch : n; }

static size_t rows_of(const study *t, const network *w) {
    size_t all = infl_dataset_rows(t->images[w->data]);
    return t->s->rows > 0 && t->s->rows < all ? t->s->rows : all;
}

/* At least one pass: a row that no batch would have had is not missed. */
static size_t retrain_steps(const study *t, const network *w) {
    size_t n = rows_of(t, w), batch = batch_of(t, n), pass = (n + batch - 1) / batch;
    size_t steps = (size_t)ceil(t->s->retrain_percent / 100.0 * (double)cifar_steps(t->s, w->network));
    return steps > pass ? steps : pass;
}

static const timing *times_of(const study *t, const network *w) { return &t->times[w->data][w->network]; }

static double training_work(const study *t, const network *w) {
    return (double)cifar_steps(t->s, w->network) * times_of(t, w)->train_step;
}

/*
 * Some 50 products of one vector, at 0.6 of the cost of two, find the damping, 20 over 1,000 rows the estimate's scale;
 * then steps, and looks at residuals.
 */
static double solve_work(const study *t, const network *w) {
    const settings *s = t->s;
    double n = (double)rows_of(t, w), product = times_of(t, w)->product;
    double damping = s->damping < 0.0 ? 50.0 * 0.6 * n : 0.0;
    double scale = s->solver == SOLVER_LISSA ? 20.0 * 0.6 * fmin(n, 1000.0) : 0.0;
    double whole = s->solver == SOLVER_LISSA ? n / 16.0 : n;
    double batch = s->solver_batch > 0 && (double)s->solver_batch < n ? (double)s->solver_batch : whole;
    double looks = batch < n ? 1.3 : 1.0;
    return product * (damping + scale + 40.0 * (double)s->spectrum_rows + looks * (double)s->solver_steps * batch);
}

/* Influential rows are shared by the test images in part, so fewer may be retrained without. */
static size_t likely_rows(const study *t, const network *w) {
    size_t n = rows_of(t, w), both = N_POINTS * t->s->top;
    return both < n ? both : n;
}

/* Of one retraining seed, the control run included. */
static double retraining_work(const study *t, const network *w, size_t rows) {
    return (double)(rows + 1) * (double)retrain_steps(t, w) * times_of(t, w)->retrain_step / (double)t->threads;
}

static double network_work(const study *t, const network *w) {
    return training_work(t, w) + (t->s->both_curvatures ? 2.0 : 1.0) * solve_work(t, w) +
           (double)t->s->retrain_seeds * retraining_work(t, w, likely_rows(t, w));
}

/* ---- one network ------------------------------------------------------------------------------------------------ */

static void clear_network(study *t) {
    infl_objective_destroy(t->test);
    infl_objective_destroy(t->train);
    infl_model_destroy(t->model);
    infl_dataset_destroy(t->test_rows);
    infl_dataset_destroy(t->rows);
    infl_dataset_destroy(t->drawn);
    t->test = t->train = NULL;
    t->model = NULL;
    t->test_rows = t->rows = t->drawn = NULL;
    for (size_t i = 0; i < N_CURVATURES; i++) {
        free(t->predicted[i]);
        t->predicted[i] = NULL;
    }
    free(t->trained);
    free(t->scratch);
    free(t->order);
    free(t->removed);
    free(t->place);
    free(t->chosen);
    t->trained = t->scratch = NULL;
    t->order = t->removed = t->place = t->chosen = NULL;
}

/* Digits of 28×28 with two pixels of background on each side, for VGGs. */
static infl_status pad(infl_dataset **dataset) {
    enum { SIDE = 28, EDGE = (VGG_SIDE - SIDE) / 2 };
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_dataset *padded = NULL;
    size_t n = infl_dataset_rows(*dataset);
    double image[SIDE * SIDE], target;
    float *features = calloc(n * VGG_SIDE * VGG_SIDE, sizeof *features);
    int32_t *labels = malloc(n * sizeof *labels);
    infl_status status = features != NULL && labels != NULL ? INFL_OK : INFL_E_MEMORY;
    for (size_t i = 0; status == INFL_OK && i < n; i++) {
        status = infl_dataset_get(*dataset, i, image, &target);
        labels[i] = (int32_t)target;
        for (size_t j = 0; j < (size_t)SIDE * SIDE; j++) {
            features[(i * VGG_SIDE + j / SIDE + EDGE) * VGG_SIDE + j % SIDE + EDGE] = (float)image[j];
        }
    }
    spec.n_rows = n;
    spec.n_features = (size_t)VGG_SIDE * VGG_SIDE;
    spec.features_f32 = features;
    spec.labels = labels;
    spec.n_classes = N_CLASSES;
    if (status == INFL_OK)
        status = infl_dataset_create(&padded, &spec);
    free(features);
    free(labels);
    if (status == INFL_OK) {
        infl_dataset_destroy(*dataset);
        *dataset = padded;
    }
    return status;
}

static int is_vgg(const network *w) { return w->network == INFL_ZOO_VGG13 || w->network == INFL_ZOO_VGG14; }

static size_t channels_of(const network *w) { return w->data == DATA_MNIST ? 1 : 3; }

/* Every channel gets mean 0 and deviation 1 over the training rows; the test rows follow by the same numbers. */
static infl_status normalise(study *t) {
    infl_dataset **both[] = {&t->rows, &t->test_rows};
    double mean[3], deviation[3];
    TRY(infl_dataset_measure_channels(t->rows, channels_of(t->w), mean, deviation));
    for (size_t i = 0; i < 2; i++) {
        infl_dataset *raw = *both[i];
        TRY(infl_dataset_normalise_channels(both[i], raw, channels_of(t->w), mean, deviation));
        infl_dataset_destroy(raw);
    }
    return INFL_OK;
}

static infl_status make_rows(study *t) {
    infl_dataset *images = t->images[t->w->data], *others = NULL;
    size_t n = infl_dataset_rows(images), none = 0;
    t->n = rows_of(t, t->w);
    if (t->n == n) {
        TRY(infl_dataset_without(&t->drawn, images, &none, 0));
    } else {
        TRY(infl_dataset_split(&t->drawn, &others, images, (double)t->n / (double)n, 0, t->w->seed));
        infl_dataset_destroy(others);
    }
    TRY(infl_dataset_without(&t->rows, t->drawn, &none, 0));
    TRY(infl_dataset_without(&t->test_rows, t->test_images[t->w->data], &none, 0));
    if (is_vgg(t->w) && t->w->data == DATA_MNIST) {
        TRY(pad(&t->rows));
        TRY(pad(&t->test_rows));
    }
    return normalise(t);
}

static infl_status make_objective(const study *t, infl_dataset *rows, double decay, int threads, infl_objective **out) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = threads;
    options.decay = decay;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    return infl_objective_create(out, t->model, &loss, rows, &options);
}

static infl_status make_model(study *t) {
    infl_zoo_options zoo = INFL_ZOO_OPTIONS_INIT;
    zoo.channels = channels_of(t->w);
    zoo.height = zoo.width = t->w->data == DATA_CIFAR10 || is_vgg(t->w) ? 32 : 28;
    if (t->w->network >= INFL_ZOO_VGG13)
        zoo.width_factor = t->s->width;
    TRY(infl_model_create_zoo(&t->model, (infl_zoo_network)t->w->network, &zoo, (infl_precision)t->s->precision,
                              t->w->seed));
    TRY(make_objective(t, t->rows, t->w->decay, t->threads, &t->train));
    TRY(make_objective(t, t->test_rows, 0.0, t->threads, &t->test));
    t->p = infl_model_parameters(t->model);
    t->n_state = infl_model_state(t->model);
    return INFL_OK;
}

static infl_status make_arrays(study *t) {
    size_t m = infl_dataset_rows(t->test_rows);
    t->trained = malloc((t->p + t->n_state + 1) * sizeof *t->trained);
    t->scratch = malloc((t->p + t->n + m) * sizeof *t->scratch);
    t->order = malloc((t->n > m ? t->n : m) * sizeof *t->order);
    t->removed = malloc(t->n * sizeof *t->removed);
    t->place = malloc(t->n * sizeof *t->place);
    t->chosen = malloc(N_POINTS * t->s->top * sizeof *t->chosen);
    for (size_t i = 0; i < N_CURVATURES; i++) {
        t->predicted[i] = malloc((N_POINTS * t->n + N_SOLVE) * sizeof *t->predicted[i]);
        if (t->predicted[i] == NULL)
            return INFL_E_MEMORY;
    }
    return t->trained != NULL && t->scratch != NULL && t->order != NULL && t->removed != NULL && t->place != NULL &&
                   t->chosen != NULL
               ? INFL_OK
               : INFL_E_MEMORY;
}

/* Whether the folder has this file of an earlier run; what it holds is then in values. */
static infl_status recall(study *t, const char *name, double *values, size_t n, int *found) {
    int status = vector_read(t->w->folder, name, values, n);
    *found = status == 0;
    t->said |= status < 0;
    return status < 0 ? INFL_E_IO : INFL_OK;
}

static infl_status keep(study *t, const char *name, const double *values, size_t n) {
    int failed = vector_write(t->w->folder, name, values, n) != 0;
    t->said |= failed;
    return failed ? INFL_E_IO : INFL_OK;
}

/* What training and retraining have in common. */
static infl_train_options train_options(const study *t) {
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.optimiser = INFL_SGD;
    options.batch = batch_of(t, t->n);
    options.momentum = t->s->momentum;
    options.crop = t->s->crop;
    options.flip = t->s->flip;
    return options;
}

static infl_status descend(study *t, const infl_train_options *options) {
    double share = (double)options->steps / (double)cifar_steps(t->s, t->w->network);
    stage_begin(&t->stages, share * training_work(t, t->w));
    infl_status status = infl_train(t->train, options, NULL);
    stage_end(&t->stages);
    return status;
}

/* The rate drops after 60 % and 85 % of the steps. From the first drop on statistics may be fixed, where there are some:
 * a training of its own, whose momentum begins at 0 and whose batches come in another order. */
static infl_status take_steps(study *t) {
    size_t steps = cifar_steps(t->s, t->w->network), n_drops;
    const size_t drops[] = {steps * 60 / 100, steps * 85 / 100}, later[] = {drops[1] - drops[0]};
    infl_train_options options = train_options(t);
    n_drops = drops[0] < drops[1] ? 2 : 0;
    options.learning_rate = t->s->rate;
    options.seed = t->w->seed;
    options.progress = stage_progress;
    options.progress_context = &t->stages;
    if (t->s->fixed_statistics != FIXED_SETTLED || t->n_state == 0) {
        options.steps = steps;
        options.milestones = drops;
        options.n_milestones = n_drops;
        return descend(t, &options);
    }
    options.steps = drops[0];
    TRY(descend(t, &options));
    options.steps = steps - drops[0];
    options.learning_rate *= options.decay_factor;
    options.milestones = later;
    options.n_milestones = n_drops / 2;
    options.seed = t->w->seed | (uint64_t)1 << 63;
    options.fixed_statistics = 1;
    return descend(t, &options);
}

static infl_status train_network(study *t) {
    size_t n = t->p + t->n_state;
    double *seconds = &t->w->measures[MEASURE_training_seconds];
    int found;
    TRY(recall(t, "trained.txt", t->trained, n + 1, &found));
    if (found) {
        progress_skip(t->stages.bar, training_work(t, t->w));
        *seconds = t->trained[n];
        TRY(infl_model_set_parameters(t->model, t->trained));
        return infl_model_set_state(t->model, t->trained + t->p);
    }
    double start = seconds_now();
    TRY(take_steps(t));
    *seconds = t->trained[n] = seconds_now() - start;
    TRY(infl_model_get_parameters(t->model, t->trained));
    TRY(infl_model_get_state(t->model, t->trained + t->p));
    return keep(t, "trained.txt", t->trained, n + 1);
}

/* Losses and accuracies at the optimum; the test images of highest and of median loss. */
static infl_status look_at_network(study *t) {
    double *measures = t->w->measures, *losses = t->scratch + t->p + t->n;
    size_t m = infl_dataset_rows(t->test_rows);
    measures[MEASURE_rows] = (double)t->n;
    measures[MEASURE_parameters] = (double)t->p;
    TRY(infl_objective_evaluate(t->train, NULL, t->scratch));
    TRY(infl_norms(t->scratch, 1, t->p, &measures[MEASURE_gradient_norm]));
    TRY(infl_objective_losses(t->train, NULL, 0, t->scratch + t->p));
    measures[MEASURE_train_loss] = 0.0;
    for (size_t i = 0; i < t->n; i++) {
        measures[MEASURE_train_loss] += t->scratch[t->p + i] / (double)t->n;
    }
    TRY(infl_objective_evaluate(t->test, &measures[MEASURE_test_loss], NULL));
    TRY(infl_model_accuracy(t->model, t->rows, &measures[MEASURE_train_accuracy]));
    TRY(infl_model_accuracy(t->model, t->test_rows, &measures[MEASURE_test_accuracy]));
    TRY(infl_objective_losses(t->test, NULL, 0, losses));
    TRY(infl_influence_top(losses, m, INFL_HARMFUL, m, t->order));
    for (size_t i = 0; i < N_POINTS; i++) {
        t->test_points[i] = t->order[i == POINT_A ? 0 : m / 2];
        t->w->points[i].about[ABOUT_ROW] = (double)t->test_points[i];
        t->w->points[i].about[ABOUT_LOSS] = losses[t->test_points[i]];
    }
    return INFL_OK;
}

/* The extreme eigenvalues over a sample of the rows, without damping; NaN where Lanczos did not converge. */
static infl_status look_at_spectrum(study *t, infl_curvature *curvature, double *solve) {
    infl_lanczos_options options = INFL_LANCZOS_OPTIONS_INIT;
    options.sample = t->s->spectrum_rows;
    options.tolerance = 1e-4;
    options.max_iterations = t->p < 150 ? t->p : 150;
    for (int largest = 0; largest < 2 && t->s->spectrum_rows > 0; largest++) {
        double *value = &solve[largest ? SOLVE_lambda_max : SOLVE_lambda_min];
        infl_status status = infl_curvature_lanczos(curvature, 1, largest, &options, value, NULL, NULL);
        if (status != INFL_OK && status != INFL_E_UNCONVERGED)
            return status;
        *value -= infl_curvature_damping(curvature);
    }
    return INFL_OK;
}

/* Predicted changes of both test losses by the removal of each row, by one solve. */
static infl_status solve(study *t, infl_curvature *curvature, double *predicted, double *into) {
    const settings *s = t->s;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    infl_solve_report reports[N_POINTS];
    infl_inverse *inverse = NULL;
    infl_influence *influence = NULL;
    options.method = s->solver == SOLVER_LISSA ? INFL_LISSA : INFL_CG;
    options.tolerance = s->solver_tolerance;
    options.max_iterations = s->solver_steps;
    options.accept_unconverged = 1;
    options.lissa_batch = options.cg_batch = s->solver_batch < t->n ? s->solver_batch : INFL_ALL_ROWS;
    options.seed = t->w->seed;
    options.progress = stage_progress;
    options.progress_context = &t->stages;
    infl_status status = infl_inverse_create(&inverse, curvature, &options);
    if (status == INFL_OK)
        status = infl_influence_create(&influence, t->train, inverse, NULL);
    if (status == INFL_OK)
        status =
            infl_influence_removal_losses(influence, t->test, t->test_points, N_POINTS, NULL, 0, predicted, reports);
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    TRY(status);
    into[SOLVE_residual_a] = reports[POINT_A].residual;
    into[SOLVE_residual_b] = reports[POINT_B].residual;
    into[SOLVE_iterations] =
        (double)(reports[0].iterations > reports[1].iterations ? reports[0].iterations : reports[1].iterations);
    into[SOLVE_products] = reports[0].products + reports[1].products;
    into[SOLVE_scale] = reports[0].scale;
    into[SOLVE_batch] = reports[0].batch;
    return INFL_OK;
}

static infl_status predict(study *t, size_t kind) {
    double *into = t->w->solves[kind], *predicted = t->predicted[kind];
    size_t n = N_POINTS * t->n;
    infl_curvature *curvature = NULL;
    char name[64];
    int found;
    snprintf(name, sizeof name, "predicted-%s.txt", cifar_curvature_names[kind]);
    TRY(recall(t, name, predicted, n + N_SOLVE, &found));
    if (found) {
        progress_skip(t->stages.bar, solve_work(t, t->w));
        memcpy(into, predicted + n, N_SOLVE * sizeof *into);
        return INFL_OK;
    }
    stage_begin(&t->stages, solve_work(t, t->w));
    double start = seconds_now();
    infl_status status = infl_curvature_create(&curvature, t->train, (infl_curvature_kind)kind, t->s->damping);
    if (status == INFL_OK) {
        into[SOLVE_damping] = infl_curvature_damping(curvature);
        status = look_at_spectrum(t, curvature, into);
    }
    if (status == INFL_OK)
        status = solve(t, curvature, predicted, into);
    infl_curvature_destroy(curvature);
    into[SOLVE_seconds] = seconds_now() - start;
    stage_end(&t->stages);
    TRY(status);
    into[SOLVE_STATUS] = (double)INFL_OK;
    memcpy(predicted + n, into, N_SOLVE * sizeof *into);
    return keep(t, name, predicted, n + N_SOLVE);
}

/* A computation that ran away is a result: its status and the library's sentence. */
static int is_result(infl_status status) {
    return status == INFL_E_INDEFINITE || status == INFL_E_DIVERGED || status == INFL_E_UNCONVERGED ||
           status == INFL_E_NONFINITE;
}

static void name_cause(size_t kind, char *name, size_t size) {
    snprintf(name, size, "cause-%s.txt", cifar_curvature_names[kind]);
}

static infl_status keep_cause(study *t, size_t kind, infl_status failure) {
    char *cause = t->w->cause[kind], name[64];
    output out;
    t->w->solves[kind][SOLVE_STATUS] = (double)failure;
    snprintf(cause, CIFAR_CAUSE, "%s", infl_last_error());
    for (char *c = cause; *c != '\0'; c++) {
        if (*c == '"' || *c == '\n')
            *c = '\''; /* a field of a table */
    }
    progress_line(t->stages.bar, 1, "%s: %s", t->w->folder, cause);
    name_cause(kind, name, sizeof name);
    int failed = output_open(&out, t->w->folder, name) != 0;
    if (!failed) {
        fprintf(out.file, "%s\n", cause);
        failed = output_close(&out) != 0;
    }
    t->said |= failed;
    return failed ? INFL_E_IO : INFL_OK;
}

static infl_status recall_cause(study *t, size_t kind) {
    char name[64];
    name_cause(kind, name, sizeof name);
    char *path = output_path(t->w->folder, name);
    FILE *file = path == NULL ? NULL : fopen(path, "r");
    free(path);
    int complete = file != NULL && fgets(t->w->cause[kind], CIFAR_CAUSE, file) != NULL;
    if (file != NULL)
        fclose(file);
    t->w->cause[kind][strcspn(t->w->cause[kind], "\n")] = '\0';
    if (!complete)
        fprintf(stderr, "cifar: cannot read %s/%s\n", t->w->folder, name);
    t->said |= !complete;
    return complete ? INFL_OK : INFL_E_IO;
}

/* The other curvature's predictions. That they fail takes nothing from the rest. */
static infl_status predict_otherwise(study *t) {
    size_t kind = t->s->curvature == INFL_HESSIAN ? INFL_GAUSS_NEWTON : INFL_HESSIAN;
    if (!t->s->both_curvatures)
        return INFL_OK;
    infl_status status = predict(t, kind);
    return is_result(status) ? keep_cause(t, kind, status) : status;
}

/* The most influential rows of each point, which are to be removed. */
static infl_status choose_rows(study *t) {
    const settings *s = t->s;
    size_t *place = t->place;
    t->n_removed = 0;
    for (size_t i = 0; i < t->n; i++) {
        place[i] = SIZE_MAX;
    }
    for (size_t i = 0; i < N_POINTS; i++) {
        double **column = t->w->points[i].column, *keys = t->scratch + t->p;
        for (size_t j = 0; j < t->n; j++) {
            double predicted = t->predicted[s->curvature][i * t->n + j];
            keys[j] = s->select == SELECT_SIGNED ? predicted : fabs(predicted);
        }
        TRY(infl_influence_top(keys, t->n, INFL_HARMFUL, s->top, t->order));
        for (size_t j = 0; j < s->top; j++) {
            size_t row = t->order[j], source;
            TRY(infl_dataset_source_row(t->drawn, row, &source));
            column[COLUMN_ROW][j] = (double)source;
            for (size_t kind = 0; kind < N_CURVATURES; kind++) {
                if (t->w->solves[kind][SOLVE_STATUS] == (double)INFL_OK)
                    column[COLUMN_HESSIAN + kind][j] = t->predicted[kind][i * t->n + row];
            }
            if (place[row] == SIZE_MAX) {
                place[row] = t->n_removed;
                t->removed[t->n_removed++] = row;
            }
            t->chosen[i * s->top + j] = place[row];
        }
    }
    t->w->measures[MEASURE_rows_removed] = (double)t->n_removed;
    return INFL_OK;
}

/* From the optimum without each of the chosen rows, with the batches of one seed; `resumed` grows by what was kept. */
static infl_status retrain(study *t, size_t seed, size_t *resumed) {
    infl_train_options train = train_options(t);
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output changes = INFL_RETRAIN_OUTPUT_INIT;
    double controls[N_POINTS], *losses = malloc(N_POINTS * t->n_removed * sizeof *losses);
    char name[64];
    snprintf(name, sizeof name, "retrain-%zu.journal", seed);
    char *path = output_path(t->w->folder, name);
    train.steps = retrain_steps(t, t->w);
    train.learning_rate = t->s->retrain_rate * t->s->rate;
    train.seed = (uint64_t)seed << 32 | t->w->seed;
    train.fixed_statistics = t->s->fixed_statistics != FIXED_NEVER;
    options.train = &train;
    options.journal = path;
    options.threads = t->threads;
    options.progress = stage_progress;
    options.progress_context = &t->stages;
    changes.loss_changes = losses;
    changes.control_losses = controls;
    stage_begin(&t->stages, retraining_work(t, t->w, t->n_removed));
    progress_skip(t->stages.bar, retraining_work(t, t->w, likely_rows(t, t->w)) - t->stages.seconds);
    infl_status status = losses != NULL && path != NULL ? INFL_OK : INFL_E_MEMORY;
    if (status == INFL_OK)
        status = infl_retrain_without(t->train, t->removed, t->n_removed, t->test, t->test_points, N_POINTS, &options,
                                      &changes);
    for (size_t i = 0; status == INFL_OK && i < N_POINTS; i++) {
        point *at = &t->w->points[i];
        at->about[ABOUT_CONTROL + seed] = controls[i];
        for (size_t j = 0; j < t->s->top; j++) {
            at->column[COLUMN_RETRAINED + seed][j] = losses[i * t->n_removed + t->chosen[i * t->s->top + j]];
        }
    }
    *resumed += changes.resumed;
    stage_end(&t->stages);
    free(losses);
    free(path);
    return status;
}

/* All that may run away. */
static infl_status compare(study *t) {
    size_t resumed = 0;
    TRY(train_network(t));
    TRY(look_at_network(t));
    TRY(predict(t, t->s->curvature));
    TRY(predict_otherwise(t));
    TRY(choose_rows(t));
    double start = seconds_now();
    for (size_t seed = 0; seed < t->s->retrain_seeds; seed++) {
        TRY(retrain(t, seed, &resumed));
    }
    if (resumed == 0)
        t->w->measures[MEASURE_retraining_seconds] = seconds_now() - start;
    return INFL_OK;
}

static void name_results(const study *t, char *name, size_t size) {
    snprintf(name, size, "results-%zu%s.txt", t->s->retrain_seeds, t->s->both_curvatures ? "-both" : "");
}

/* What the folder has of a finished network. */
static infl_status recall_network(study *t) {
    network *w = t->w;
    char name[64];
    name_results(t, name, sizeof name);
    TRY(recall(t, name, w->numbers, w->n_numbers, &w->finished));
    for (size_t kind = 0; w->finished && kind < N_CURVATURES; kind++) {
        double status = w->solves[kind][SOLVE_STATUS]; /* NaN: it was not asked for */
        if (!isnan(status) && is_result((infl_status)status))
            TRY(recall_cause(t, kind));
    }
    return INFL_OK;
}

static infl_status measure_network(study *t) {
    char name[64];
    TRY(make_rows(t));
    TRY(make_model(t));
    TRY(make_arrays(t));
    infl_status status = compare(t);
    if (is_result(status))
        status = keep_cause(t, t->s->curvature, status);
    TRY(status);
    name_results(t, name, sizeof name);
    TRY(keep(t, name, t->w->numbers, t->w->n_numbers));
    t->w->finished = 1;
    return INFL_OK;
}

/* ---- all networks ----------------------------------------------------------------------------------------------- */

static int wants_data(const settings *s, size_t data) { return s->dataset == DATA_BOTH || s->dataset == data; }

/* Non-zero: no memory. */
static int make_networks(study *t, unsigned long long fingerprint) {
    const settings *s = t->s;
    t->all = malloc(s->seeds * N_DATA * N_NETWORKS * s->decays.n * sizeof *t->all);
    for (size_t i = 0; t->all != NULL && i < s->seeds * N_DATA * N_NETWORKS * s->decays.n; i++) {
        size_t decay = i % s->decays.n, which = i / s->decays.n % N_NETWORKS;
        size_t data = i / s->decays.n / N_NETWORKS % N_DATA, seed = i / s->decays.n / N_NETWORKS / N_DATA;
        if (!wants_data(s, data) || !(s->networks & (1u | 2u << which)))
            continue;
        if (cifar_network_create(&t->all[t->n_networks++], s, fingerprint, data, which, s->decays.values[decay],
                                 s->first_seed + seed) != 0)
            return -1;
    }
    return t->all == NULL ? -1 : 0;
}

/* The first `count` images, or all where there are no more; count 0: all. */
static infl_status read_images(const settings *s, size_t data, int training, size_t count, infl_dataset **out) {
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    infl_dataset *all;
    options.n_classes = N_CLASSES;
    options.precision = (infl_precision)s->precision;
    TRY(data == DATA_MNIST ? mnist_read(&all, s->data, training ? "train" : "t10k", &options)
                           : cifar10_read(&all, s->data, training, &options));
    if (count == 0 || count >= infl_dataset_rows(all)) {
        *out = all;
        return INFL_OK;
    }
    size_t *rows = malloc(count * sizeof *rows);
    for (size_t i = 0; rows != NULL && i < count; i++) {
        rows[i] = i;
    }
    infl_status status = rows == NULL ? INFL_E_MEMORY : infl_dataset_subset(out, all, rows, count);
    free(rows);
    infl_dataset_destroy(all);
    return status;
}

static infl_status read_data(study *t) {
    for (size_t data = 0; data < N_DATA; data++) {
        if (!wants_data(t->s, data))
            continue;
        TRY(read_images(t->s, data, 1, 0, &t->images[data]));
        TRY(read_images(t->s, data, 0, t->s->test_rows, &t->test_images[data]));
    }
    return INFL_OK;
}

/* Seconds of the gradient of a batch, the better of two after a first one. */
static infl_status time_gradient(study *t, int threads, size_t batch, double *seconds) {
    infl_objective *objective;
    TRY(make_objective(t, t->rows, 0.0, threads, &objective));
    infl_status status = INFL_OK;
    *seconds = INFINITY;
    for (int i = 0; status == INFL_OK && i < 3; i++) {
        double start = seconds_now();
        status = infl_objective_evaluate_rows(objective, t->order, batch, NULL, t->scratch);
        if (i > 0)
            *seconds = fmin(*seconds, seconds_now() - start);
    }
    infl_objective_destroy(objective);
    return status;
}

/* Of an architecture on a dataset. */
static infl_status time_network(study *t) {
    timing *times = &t->times[t->w->data][t->w->network];
    TRY(make_rows(t));
    TRY(make_model(t));
    TRY(make_arrays(t));
    size_t batch = batch_of(t, t->n);
    for (size_t i = 0; i < batch; i++) {
        t->order[i] = i;
    }
    TRY(time_gradient(t, t->threads, batch, &times->train_step));
    TRY(time_gradient(t, 1, batch, &times->retrain_step));
    double *vectors = calloc((size_t)2 * N_POINTS * t->p, sizeof *vectors);
    if (vectors == NULL)
        return INFL_E_MEMORY;
    vectors[0] = vectors[t->p] = 1.0;
    infl_status status = INFL_OK;
    times->product = INFINITY;
    for (int i = 0; status == INFL_OK && i < 2; i++) { /* the first one makes its plan */
        double start = seconds_now();
        status = infl_objective_product_rows(t->train, INFL_HESSIAN, t->order, batch, vectors, N_POINTS,
                                             vectors + N_POINTS * t->p);
        times->product = fmin(times->product, (seconds_now() - start) / (double)batch);
    }
    free(vectors);
    return status;
}

static const char *title_of(const network *w, char *title, size_t size) {
    snprintf(title, size, "%s, %s, decay %g, seed %zu", cifar_data_names[w->data],
             infl_zoo_network_name((infl_zoo_network)w->network), w->decay, w->seed);
    return title;
}

static infl_status time_all(study *t) {
    double total = 0.0;
    size_t left = 0;
    for (size_t i = 0; i < t->n_networks; i++) {
        t->w = &t->all[i];
        if (t->w->finished)
            continue;
        left++;
        if (times_of(t, t->w)->train_step == 0.0) {
            infl_status status = time_network(t);
            const timing *times = times_of(t, t->w);
            if (status == INFL_OK)
                fprintf(stderr,
                        "cifar: %s, %s: %zu parameters; %zu steps of training at %.1f ms, of a retraining %zu "
                        "at %.1f ms; about %.1f min\n",
                        cifar_data_names[t->w->data], infl_zoo_network_name((infl_zoo_network)t->w->network), t->p,
                        cifar_steps(t->s, t->w->network), 1e3 * times->train_step, retrain_steps(t, t->w),
                        1e3 * times->retrain_step, network_work(t, t->w) / 60.0);
            clear_network(t);
            TRY(status);
        }
        total += network_work(t, t->w);
    }
    fprintf(stderr, "cifar: networks: %zu, finished in the folder: %zu", t->n_networks, t->n_networks - left);
    if (left > 0)
        fprintf(stderr, "; the others take about %.0f min on %d threads, less what it has of them", total / 60.0,
                t->threads);
    fprintf(stderr, "\n");
    t->stages.bar = progress_begin(total);
    return INFL_OK;
}

/* Runs what is not finished. */
static infl_status run_all(study *t) {
    infl_status status = INFL_OK;
    char title[128];
    for (size_t i = 0; i < t->n_networks && status == INFL_OK; i++) {
        t->w = &t->all[i];
        status = recall_network(t);
    }
    if (status == INFL_OK)
        status = time_all(t);
    for (size_t i = 0; i < t->n_networks && status == INFL_OK && !interrupt_requested(); i++) {
        double start = seconds_now();
        t->w = &t->all[i];
        if (t->w->finished)
            continue;
        t->said = output_make_folder(t->w->folder) != 0;
        status = t->said ? INFL_E_IO : measure_network(t);
        clear_network(t);
        if (status == INFL_OK)
            progress_line(t->stages.bar, 1, "%s: finished (%.0f s)", title_of(t->w, title, sizeof title),
                          seconds_now() - start);
    }
    progress_end(t->stages.bar);
    return status;
}

/* ---- the program ------------------------------------------------------------------------------------------------ */

static const char about[] =
    "Table 1 of \"Influence Functions in Deep Learning Are Fragile\": how well the influence function predicts\n"
    "what retraining without a row does, for six architectures on MNIST and CIFAR-10.\n";

static const char files[] =
    "The folder gets table1.csv, table1.md, networks.csv, the scatter data of each cell under cells/,\n"
    "table1-mnist and table1-cifar10 as .gp, .png and .svg, settings.txt, and what --resume needs under\n"
    "networks/.\n"
    "Exit status: 0 done, 1 failed, 2 an option is wrong or the data is not there, 130 interrupted.\n";

/* The datasets that were read, as numbers that a file keeps: rows, and 32 bits twice of a hash of all they hold. */
enum { IMAGES_NUMBERS = 4 };

static infl_status describe_images(const study *t, size_t data, double numbers[IMAGES_NUMBERS]) {
    const infl_dataset *const both[] = {t->images[data], t->test_images[data]};
    size_t n_features = infl_dataset_features(both[0]);
    double *image = malloc((n_features + 1) * sizeof *image);
    uint64_t hash = UINT64_C(0xcbf29ce484222325), word; /* FNV-1a, of whole numbers at once */
    infl_status status = image == NULL ? INFL_E_MEMORY : INFL_OK;
    for (size_t i = 0; status == INFL_OK && i < 2; i++) {
        size_t n = infl_dataset_rows(both[i]);
        numbers[i] = (double)n;
        for (size_t row = 0; status == INFL_OK && row < n; row++) {
            status = infl_dataset_get(both[i], row, image, &image[n_features]);
            for (size_t j = 0; status == INFL_OK && j <= n_features; j++) {
                memcpy(&word, &image[j], sizeof word);
                hash = (hash ^ word ^ word >> 32) * UINT64_C(0x100000001b3);
            }
        }
    }
    numbers[2] = (double)(hash >> 32);
    numbers[3] = (double)(hash & UINT32_MAX);
    free(image);
    return status;
}

/* That the images are those of the earlier run, where there was one. 0, or the exit status after a sentence. */
static int check_images(const study *t) {
    double here[IMAGES_NUMBERS], there[IMAGES_NUMBERS];
    char name[64];
    for (size_t data = 0; data < N_DATA; data++) {
        if (!wants_data(t->s, data))
            continue;
        infl_status status = describe_images(t, data, here);
        if (status != INFL_OK) {
            program_say_failure("cifar", status);
            return EXIT_FAILURE;
        }
        snprintf(name, sizeof name, "images-%s.txt", cifar_data_names[data]);
        int found = t->s->anew ? 1 : vector_read(t->s->out, name, there, IMAGES_NUMBERS);
        if (found < 0 || (found > 0 && vector_write(t->s->out, name, here, IMAGES_NUMBERS) != 0))
            return EXIT_FAILURE;
        int same = 1;
        for (size_t i = 0; found == 0 && i < IMAGES_NUMBERS; i++) {
            same &= here[i] == there[i];
        }
        if (!same) {
            fprintf(stderr,
                    "cifar: %s is of other images of %s: %.0f for training and %.0f for tests, and these are %.0f and "
                    "%.0f%s; take another folder\n",
                    t->s->out, cifar_data_names[data], there[0], there[1], here[0], here[1],
                    here[0] == there[0] && here[1] == there[1] ? ", but not the same" : "");
            return EXIT_USAGE;
        }
    }
    return 0;
}

static int run(const settings *s, const argument *table, size_t n_options) {
    study t = {.s = s, .threads = program_threads(s->threads)};
    int result = EXIT_FAILURE;
    settlement here = {"cifar", s->out, s->resume, s->anew, arguments_fingerprint(table, n_options, infl_version()), 0};
    if (make_networks(&t, here.fingerprint) != 0) {
        fprintf(stderr, "cifar: there is no memory, or --out is too long a path\n");
        goto out;
    }
    infl_status status = read_data(&t);
    if (status != INFL_OK) {
        fprintf(stderr, "cifar: %s\n", status == INFL_E_MEMORY ? "no memory" : infl_last_error());
        result = status == INFL_E_IO ? EXIT_USAGE : EXIT_FAILURE;
        goto out;
    }
    for (size_t i = 0; i < t.n_networks; i++) {
        if (s->top > rows_of(&t, &t.all[i])) {
            fprintf(stderr, "cifar: --top is %zu; there are %zu training rows of %s\n", s->top, rows_of(&t, &t.all[i]),
                    cifar_data_names[t.all[i].data]);
            result = EXIT_USAGE;
            goto out;
        }
    }
    if (output_make_folder(s->out) != 0)
        goto out;
    if (settle_folder(&here, table, n_options) != 0) {
        result = EXIT_USAGE;
        goto out;
    }
    if (here.earlier && s->anew &&
        (cifar_results_remove(s) != 0 || output_remove_all(s->out, "cells") != 0 ||
         output_remove_all(s->out, "networks") != 0))
        goto out;
    if ((result = check_images(&t)) != 0)
        goto out;
    status = run_all(&t);
    int failed = status != INFL_OK && !(status == INFL_E_CANCELLED && interrupt_requested());
    if (failed && !t.said)
        program_say_failure("cifar", status);
    failed |= cifar_results_write(s, t.all, t.n_networks);
    if (s->plots && !failed && !interrupt_requested())
        failed |= cifar_results_draw(s, t.all, t.n_networks);
    result = program_end("cifar", failed);
out:
    clear_network(&t);
    for (size_t i = 0; i < N_DATA; i++) {
        infl_dataset_destroy(t.images[i]);
        infl_dataset_destroy(t.test_images[i]);
    }
    for (size_t i = 0; i < t.n_networks; i++) {
        free(t.all[i].numbers);
    }
    free(t.all);
    return result;
}

int main(int argc, char **argv) {
    settings s;
    argument table[CIFAR_OPTIONS];
    size_t n = cifar_settings_table(&s, table);
    const program p = {"cifar", about, files, table, n, &s, cifar_settings_default, &s.preset, &s.help, &s.version};
    int result;
    if (program_begin(&p, CIFAR_SMALL, argc, argv, &result))
        return result;
    if (program_find_data("cifar", &s.data) != 0)
        return EXIT_USAGE;
    if (s.damping < 0.0 && s.damping != INFL_DAMPING_AUTO) {
        fprintf(stderr, "cifar: damping expects -1, or a number that is not negative\n");
        return EXIT_USAGE;
    }
    interrupt_install();
    return run(&s, table, n);
}

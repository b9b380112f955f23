/*
 * Every inverse against the exact one where that can be had: Koh & Liang's CNN (2,616 parameters) on 5,500 digits, decay
 * 0.001, its Hessian with the damping that the library finds. For the gradients of eight test rows: the error of the
 * solution, the residual, the correlation of its scores over all rows with the exact ones. Asks of LiSSA with its default
 * options an error of at most 5 %, of conjugate gradients at a tolerance of 1e-8 of at most 1e-6, and of each a
 * correlation above 0.99; exit status 1 where one misses it.
 *
 * usage: solvers, with the digits under $INFLUENCE_DATA/mnist; some minutes
 */
#include <influence.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mnist.h"
#include "common/stages.h"
#include "common/try.h"

enum { ROWS = 5500, TEST_ROWS = 8, STEPS = 5000 };

typedef struct problem {
    infl_dataset *all, *rows, *rest, *test_rows;
    infl_model *model;
    infl_objective *objective, *test;
    infl_curvature *hessian;
    size_t p;
    double *sides, *exact, *found; /* TEST_ROWS × p */
    double *exact_scores, *scores; /* ROWS × TEST_ROWS */
    double *column[2];             /* ROWS */
} problem;

typedef struct contender {
    const char *name;
    infl_inverse_method method;
    double tolerance; /* 0: the default */
    size_t cg_batch;
    double limit; /* of the error; infinite where nothing is asked */
} contender;

static const contender contenders[] = {
    {"LiSSA, default options", INFL_LISSA, 0.0, 0, 0.05},
    {"LiSSA, tolerance 1e-4", INFL_LISSA, 1e-4, 0, INFINITY},
    {"conjugate gradients, tolerance 1e-8", INFL_CG, 1e-8, 0, 1e-6},
    {"conjugate gradients over 1,000 rows, 1e-8", INFL_CG, 1e-8, 1000, 1e-6},
};

/* A network in f32, trained, and the same in f64. */
static infl_status make_model(problem *q, const infl_loss *loss, const infl_objective_options *options) {
    infl_train_options train = INFL_TRAIN_OPTIONS_INIT;
    infl_model *single;
    infl_objective *objective = NULL;
    train.steps = STEPS;
    train.batch = 500;
    TRY(infl_model_create_zoo(&single, INFL_ZOO_KL_CNN, NULL, INFL_F32, 1));
    infl_status status = infl_objective_create(&objective, single, loss, q->rows, options);
    if (status == INFL_OK)
        status = infl_train(objective, &train, NULL);
    if (status == INFL_OK)
        status = infl_model_convert(&q->model, single, INFL_F64);
    infl_objective_destroy(objective);
    infl_model_destroy(single);
    return status;
}

static infl_status make_problem(problem *q, const char *folder) {
    infl_image_options images = INFL_IMAGE_OPTIONS_INIT;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT, plain = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    images.n_classes = 10;
    options.decay = 0.001;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    TRY(mnist_read(&q->all, folder, "train", &images));
    TRY(infl_dataset_split(&q->rows, &q->rest, q->all, (double)ROWS / (double)infl_dataset_rows(q->all), 0, 1));
    images.count = TEST_ROWS;
    TRY(mnist_read(&q->test_rows, folder, "t10k", &images));
    TRY(make_model(q, &loss, &options));
    TRY(infl_objective_create(&q->objective, q->model, &loss, q->rows, &options));
    TRY(infl_objective_create(&q->test, q->model, &loss, q->test_rows, &plain));
    TRY(infl_curvature_create(&q->hessian, q->objective, INFL_HESSIAN, INFL_DAMPING_AUTO));
    q->p = infl_objective_parameters(q->objective);
    q->sides = malloc(TEST_ROWS * q->p * sizeof *q->sides);
    q->exact = malloc(TEST_ROWS * q->p * sizeof *q->exact);
    q->found = malloc(TEST_ROWS * q->p * sizeof *q->found);
    q->exact_scores = malloc((size_t)ROWS * TEST_ROWS * sizeof *q->exact_scores);
    q->scores = malloc((size_t)ROWS * TEST_ROWS * sizeof *q->scores);
    q->column[0] = malloc(ROWS * sizeof *q->column[0]);
    q->column[1] = malloc(ROWS * sizeof *q->column[1]);
    if (q->sides == NULL || q->exact == NULL || q->found == NULL || q->exact_scores == NULL || q->scores == NULL ||
        q->column[0] == NULL || q->column[1] == NULL)
        return INFL_E_MEMORY;
    return infl_objective_row_gradients(q->test, NULL, 0, q->sides);
}

static infl_status solve(problem *q, const infl_inverse_options *options, double *solutions, double *scores,
                         infl_solve_report *reports) {
    infl_inverse *inverse;
    TRY(infl_inverse_create(&inverse, q->hessian, options));
    infl_status status = infl_inverse_solve(inverse, q->sides, TEST_ROWS, solutions, reports);
    infl_inverse_destroy(inverse);
    TRY(status);
    return infl_objective_row_products(q->objective, NULL, 0, solutions, TEST_ROWS, scores);
}

/* The largest error of a solution, relative to its norm, and the least correlation of its scores with the exact ones. */
static infl_status compare(const problem *q, double *error, double *correlation) {
    *error = 0.0;
    *correlation = 1.0;
    for (size_t j = 0; j < TEST_ROWS; j++) {
        double square = 0.0, whole = 0.0, pearson;
        for (size_t i = j * q->p; i < (j + 1) * q->p; i++) {
            square += (q->found[i] - q->exact[i]) * (q->found[i] - q->exact[i]);
            whole += q->exact[i] * q->exact[i];
        }
        *error = fmax(*error, sqrt(square / whole));
        for (size_t i = 0; i < ROWS; i++) {
            q->column[0][i] = q->exact_scores[i * TEST_ROWS + j];
            q->column[1][i] = q->scores[i * TEST_ROWS + j];
        }
        TRY(infl_pearson(q->column[0], q->column[1], ROWS, &pearson));
        *correlation = fmin(*correlation, pearson);
    }
    return INFL_OK;
}

static infl_status compare_all(problem *q, int *missed) {
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    infl_solve_report reports[TEST_ROWS];
    TRY(infl_curvature_form(q->hessian, NULL, NULL));
    double start = seconds_now();
    TRY(solve(q, &options, q->exact, q->exact_scores, reports));
    printf("%zu parameters, %d rows, %d right-hand sides; damping %.4g; the exact solution: residual %.1e, %.1f s of a "
           "matrix that is there\n\n",
           q->p, ROWS, TEST_ROWS, infl_curvature_damping(q->hessian), reports[0].residual, seconds_now() - start);
    /* the others know no matrix */
    double damping = infl_curvature_damping(q->hessian);
    infl_curvature_destroy(q->hessian);
    TRY(infl_curvature_create(&q->hessian, q->objective, INFL_HESSIAN, damping));
    printf("%-44s%10s%10s%14s%10s%10s%8s\n", "", "error", "residual", "1 − Pearson", "products", "steps", "s");
    for (size_t i = 0; i < sizeof contenders / sizeof contenders[0]; i++) {
        const contender *c = &contenders[i];
        double error, correlation, residual = 0.0, products = 0.0;
        size_t steps = 0;
        options = (infl_inverse_options)INFL_INVERSE_OPTIONS_INIT;
        options.method = c->method;
        options.tolerance = c->tolerance;
        options.cg_batch = c->cg_batch;
        start = seconds_now();
        TRY(solve(q, &options, q->found, q->scores, reports));
        double seconds = seconds_now() - start;
        TRY(compare(q, &error, &correlation));
        for (size_t j = 0; j < TEST_ROWS; j++) {
            residual = fmax(residual, reports[j].residual);
            products += reports[j].products;
            steps = reports[j].iterations > steps ? reports[j].iterations : steps;
        }
        int misses = error > c->limit || correlation <= 0.99;
        printf("%-44s%10.1e%10.1e%12.1e%10.0f%10zu%8.1f%s\n", c->name, error, residual, 1.0 - correlation, products,
               steps, seconds, misses ? "  missed" : "");
        fflush(stdout);
        *missed |= misses;
    }
    return INFL_OK;
}

int main(void) {
    problem q = {0};
    int missed = 0;
    const char *folder = getenv("INFLUENCE_DATA");
    if (folder == NULL) {
        printf("solvers: skipped; INFLUENCE_DATA names no folder\n");
        return EXIT_SUCCESS;
    }
    infl_status status = make_problem(&q, folder);
    if (status == INFL_OK)
        status = compare_all(&q, &missed);
    if (status != INFL_OK)
        fprintf(stderr, "solvers: %s: %s\n", infl_status_name(status), infl_last_error());
    free(q.sides);
    free(q.exact);
    free(q.found);
    free(q.exact_scores);
    free(q.scores);
    free(q.column[0]);
    free(q.column[1]);
    infl_curvature_destroy(q.hessian);
    infl_objective_destroy(q.test);
    infl_objective_destroy(q.objective);
    infl_model_destroy(q.model);
    infl_dataset_destroy(q.test_rows);
    infl_dataset_destroy(q.rest);
    infl_dataset_destroy(q.rows);
    infl_dataset_destroy(q.all);
    return status != INFL_OK || missed;
}

/*
 * The library's side of the benchmark: reads the name of a piece of work a line from standard input, does it for about
 * half a second and answers with the median seconds of one unit. bench/run interleaves this with the peer's side.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "influence.h"

static void check(infl_status status) {
    if (status == INFL_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", infl_status_name(status), infl_last_error());
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* n rows of Iris, standardised, the classes in turn. */
static infl_dataset *iris(size_t n) {
    infl_dataset *raw, *standard, *subset;
    size_t rows[150];
    check(infl_dataset_iris(&raw));
    check(infl_dataset_standardise(&standard, raw, NULL));
    for (size_t i = 0; i < n; i++)
        rows[i] = i % 3 * 50 + i / 3;
    check(infl_dataset_subset(&subset, standard, rows, n));
    infl_dataset_destroy(raw);
    infl_dataset_destroy(standard);
    return subset;
}

typedef struct problem {
    infl_dataset *dataset;
    infl_model *model;
    infl_objective *objective;
} problem;

static problem make_problem(size_t n, size_t width, size_t depth, infl_precision precision, int threads) {
    problem p = {.dataset = iris(n)};
    size_t units[16];
    for (size_t i = 0; i < depth; i++)
        units[i] = width;
    units[depth] = 3;
    check(infl_model_create_mlp(&p.model, precision, 4, units, depth + 1, INFL_TANH, INFL_INIT_GLOROT, 1));
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = 0.005;
    options.threads = threads;
    check(infl_objective_create(&p.objective, p.model, &loss, p.dataset, &options));
    return p;
}

static void free_problem(problem *p) {
    infl_objective_destroy(p->objective);
    infl_model_destroy(p->model);
    infl_dataset_destroy(p->dataset);
}

/* An Adam step of the depth-5 Iris network, all 150 rows, f32, one thread. */
static double adam_step_iris5(void) {
    problem p = make_problem(150, 5, 5, INFL_F32, 1);
    infl_train_options train = INFL_TRAIN_OPTIONS_INIT;
    train.steps = 20000;
    double start = now();
    check(infl_train(p.objective, &train, NULL));
    double seconds = (now() - start) / (double)train.steps;
    free_problem(&p);
    return seconds;
}

static double hessian_mlp50(int threads) {
    enum { REPEATS = 40 };
    problem p = make_problem(120, 50, 1, INFL_F64, threads);
    size_t n = infl_objective_parameters(p.objective);
    double *matrix = malloc(n * n * sizeof *matrix);
    if (matrix == NULL)
        exit(1);
    check(infl_objective_dense(p.objective, INFL_HESSIAN, matrix));
    double start = now();
    for (int i = 0; i < REPEATS; i++)
        check(infl_objective_dense(p.objective, INFL_HESSIAN, matrix));
    double seconds = (now() - start) / REPEATS;
    free(matrix);
    free_problem(&p);
    return seconds;
}

/* Leave-one-out retraining of 16 rows, 1,000 Adam steps each, depth 5, f64. */
static double loo(int threads) {
    problem p = make_problem(120, 5, 5, INFL_F64, 1);
    size_t rows[16];
    for (size_t i = 0; i < 16; i++)
        rows[i] = i * 7;
    infl_train_options train = INFL_TRAIN_OPTIONS_INIT;
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    infl_train_result results[16];
    train.steps = 1000;
    options.train = &train;
    options.subtract_control = 0;
    options.threads = threads;
    output.results = results;
    double start = now();
    check(infl_retrain_without(p.objective, rows, 16, NULL, NULL, 0, &options, &output));
    double seconds = now() - start;
    free_problem(&p);
    return seconds;
}

int main(void) {
    char name[128];
    while (fgets(name, sizeof name, stdin) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        double seconds = strcmp(name, "adam_step_iris5") == 0           ? adam_step_iris5()
                         : strcmp(name, "hessian_mlp50") == 0           ? hessian_mlp50(2)
                         : strcmp(name, "hessian_mlp50_1thread") == 0   ? hessian_mlp50(1)
                         : strcmp(name, "loo_threads") == 0             ? loo(2)
                         : strcmp(name, "loo_threads_peer") == 0        ? loo(1)
                                                                        : -1.0;
        printf("%.9g\n", seconds);
        fflush(stdout);
    }
    return 0;
}

/*
 * The library's side of the benchmark: reads the name of a piece of work a line from standard input, does it for half a
 * second or more and answers with the seconds of one unit (hvp_over_grad_*: a ratio of two). bench/run interleaves this
 * with the peer's side. `ours --memory NAME` does one unit and prints the kilobytes that the process had before it and
 * the most that it has had since.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <blis.h>

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
    check(infl_objective_dense(p.objective, INFL_HESSIAN, NULL, matrix, NULL));
    double start = now();
    for (int i = 0; i < REPEATS; i++)
        check(infl_objective_dense(p.objective, INFL_HESSIAN, NULL, matrix, NULL));
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

/* A network of the zoo at a random θ with random images; f32, two threads, no decay. */
typedef struct image_problem {
    const char *name;
    infl_zoo_network network;
    double width_factor;
    size_t rows;
    infl_dataset *dataset;
    infl_model *model;
    infl_objective *objective; /* keeps nothing from one product to the next */
    double *result; /* 8·p, or rows × 8 */
} image_problem;

enum { VECTORS = 8 }; /* of the products with row gradients */

static image_problem image_problems[] = {
    {.name = "klcnn", .network = INFL_ZOO_KL_CNN, .width_factor = 1.0, .rows = 5500},
    {.name = "lenet", .network = INFL_ZOO_LENET5, .width_factor = 1.0, .rows = 128},
    {.name = "resnet18w16", .network = INFL_ZOO_RESNET18, .width_factor = 0.25, .rows = 64},
    {.name = "resnet18", .network = INFL_ZOO_RESNET18, .width_factor = 1.0, .rows = 32},
    {.name = "vgg13", .network = INFL_ZOO_VGG13, .width_factor = 1.0, .rows = 32},
};

static double *noise(size_t n, uint64_t state) {
    double *x = malloc(n * sizeof *x);
    if (x == NULL)
        exit(1);
    for (size_t i = 0; i < n; i++) {
        uint64_t z = state += 0x9E3779B97F4A7C15u; /* SplitMix64, a sum of four for something like a normal number */
        x[i] = 0.0;
        for (int part = 0; part < 4; part++) {
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
            z = (z ^ z >> 27) * 0x94D049BB133111EBu;
            x[i] += 1.7320508 * ((double)(z >> 11) * 0x1p-53 - 0.5);
        }
    }
    return x;
}

static void release_images(image_problem *q) {
    infl_objective_destroy(q->objective);
    infl_model_destroy(q->model);
    infl_dataset_destroy(q->dataset);
    free(q->result);
    q->objective = NULL;
}

static infl_objective *objective_of(const image_problem *q, size_t keep_budget) {
    infl_objective *objective;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = 2;
    options.keep_budget = keep_budget;
    check(infl_objective_create(&objective, q->model, &loss, q->dataset, &options));
    return objective;
}

/* The named problem, made; all others are released. */
static image_problem *images(const char *name) {
    image_problem *q = NULL;
    for (size_t i = 0; i < sizeof image_problems / sizeof image_problems[0]; i++) {
        if (strcmp(image_problems[i].name, name) == 0)
            q = &image_problems[i];
        else if (image_problems[i].objective != NULL)
            release_images(&image_problems[i]);
    }
    if (q == NULL || q->objective != NULL)
        return q;
    infl_zoo_options zoo = INFL_ZOO_OPTIONS_INIT;
    zoo.width_factor = q->width_factor;
    check(infl_model_create_zoo(&q->model, q->network, &zoo, INFL_F32, 1));
    size_t p = infl_model_parameters(q->model);
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = q->rows;
    spec.n_features = infl_model_inputs(q->model);
    double *x = noise(q->rows * spec.n_features, 1);
    float *features = malloc(q->rows * spec.n_features * sizeof *features);
    int32_t *labels = malloc(q->rows * sizeof *labels);
    q->result = malloc(VECTORS * (p > q->rows ? p : q->rows) * sizeof *q->result);
    if (features == NULL || labels == NULL || q->result == NULL)
        exit(1);
    for (size_t i = 0; i < q->rows * spec.n_features; i++)
        features[i] = (float)x[i];
    for (size_t i = 0; i < q->rows; i++)
        labels[i] = (int32_t)(i % 10);
    spec.features_f32 = features;
    spec.labels = labels;
    spec.n_classes = 10;
    check(infl_dataset_create(&q->dataset, &spec));
    q->objective = objective_of(q, 0);
    free(x);
    free(features);
    free(labels);
    return q;
}

typedef void (*unit)(image_problem *q, const double *vectors);

static void gradient(image_problem *q, const double *vectors) {
    double value;
    (void)vectors;
    check(infl_objective_evaluate(q->objective, &value, q->result));
}

static void hessian_product(image_problem *q, const double *vectors) {
    check(infl_objective_product(q->objective, INFL_HESSIAN, vectors, 1, q->result));
}

static void row_products(image_problem *q, const double *vectors) {
    check(infl_objective_row_products(q->objective, NULL, 0, vectors, VECTORS, q->result));
}

/* The dense Hessian, passes in the given precision; its sums are in f64. */
static double dense_hessian(image_problem *q, infl_precision precision) {
    size_t p = infl_objective_parameters(q->objective);
    double *matrix = malloc(p * p * sizeof *matrix);
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    options.precision = precision;
    if (matrix == NULL)
        exit(1);
    double start = now();
    check(infl_objective_dense(q->objective, INFL_HESSIAN, &options, matrix, NULL));
    double seconds = now() - start;
    free(matrix);
    return seconds;
}

/* Seconds of one unit. */
static double time_unit(unit work, image_problem *q, const double *vectors) {
    double total = 0.0;
    int n = 0;
    work(q, vectors); /* makes the workspace */
    while (total < 0.5 && n < 1000) {
        double start = now();
        work(q, vectors);
        total += now() - start;
        n++;
    }
    return total / n;
}

static const char *after(const char *prefix, const char *name) {
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 ? name + length : "";
}

/* Negative where there is no such work. */
static double image_work(const char *name) {
    image_problem *q;
    double seconds = -1.0, *vectors = NULL;
    if (strcmp(name, "hessian_klcnn_f32") == 0) {
        seconds = dense_hessian(images("klcnn"), INFL_F32);
    } else if (strcmp(name, "hessian_klcnn_f64") == 0) {
        seconds = dense_hessian(images("klcnn"), INFL_F64);
    } else if ((q = images(after("hvp_over_grad_", name))) != NULL) {
        vectors = noise(infl_objective_parameters(q->objective), 2);
        double alone = time_unit(gradient, q, vectors);
        image_problem keeping = *q; /* the value pass, from the second product on */
        keeping.objective = objective_of(q, (size_t)2 << 30);
        hessian_product(&keeping, vectors);
        seconds = time_unit(hessian_product, &keeping, vectors) / alone;
        infl_objective_destroy(keeping.objective);
    } else if ((q = images(after("grad_", name))) != NULL) {
        seconds = time_unit(gradient, q, vectors);
    } else if ((q = images(after("hvp_", name))) != NULL) {
        vectors = noise(infl_objective_parameters(q->objective), 2);
        seconds = time_unit(hessian_product, q, vectors);
    } else if ((q = images(after("pegdot_", name))) != NULL) {
        vectors = noise(VECTORS * infl_objective_parameters(q->objective), 2);
        seconds = time_unit(row_products, q, vectors);
    }
    free(vectors);
    return seconds;
}

/* BLIS on two threads: 2000×2000×2000, f32. */
static double gemm_peak(void) {
    enum { N = 2000, REPEATS = 10 };
    float *matrices = calloc((size_t)3 * N * N, sizeof *matrices), one = 1.0f, zero = 0.0f;
    if (matrices == NULL)
        exit(1);
    for (size_t i = 0; i < (size_t)2 * N * N; i++)
        matrices[i] = (float)(i % 17) - 8.0f;
    rntm_t threads;
    bli_rntm_init(&threads);
    bli_rntm_set_num_threads(2, &threads);
    double start = 0.0;
    for (int i = 0; i <= REPEATS; i++) {
        if (i == 1) /* the first warms up */
            start = now();
        bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, N, N, N, &one, matrices, N, 1, matrices + N * N, N, 1, &zero,
                     matrices + 2 * N * N, N, 1, NULL, &threads);
    }
    double seconds = (now() - start) / REPEATS;
    free(matrices);
    return seconds;
}

/* Kilobytes in memory now. */
static long resident(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*s %ld", &pages) != 1)
        exit(1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int memory_of(const char *name) {
    int dense = strcmp(name, "mem_hessian_klcnn") == 0;
    image_problem *q = images(dense ? "klcnn" : after("mem_hvp_", name));
    if (q == NULL)
        return 1;
    double *vectors = noise(infl_objective_parameters(q->objective), 2);
    memset(q->result, 0, infl_objective_parameters(q->objective) * sizeof *q->result);
    long before = resident();
    if (dense)
        dense_hessian(q, INFL_F64);
    else
        hessian_product(q, vectors);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld %ld\n", before, usage.ru_maxrss);
    free(vectors);
    release_images(q);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--memory") == 0)
        return memory_of(argv[2]);
    char name[128];
    while (fgets(name, sizeof name, stdin) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        double seconds = strcmp(name, "adam_step_iris5") == 0           ? adam_step_iris5()
                         : strcmp(name, "hessian_mlp50") == 0           ? hessian_mlp50(2)
                         : strcmp(name, "hessian_mlp50_1thread") == 0   ? hessian_mlp50(1)
                         : strcmp(name, "loo_threads") == 0             ? loo(2)
                         : strcmp(name, "loo_threads_peer") == 0        ? loo(1)
                         : strcmp(name, "gemm_peak") == 0               ? gemm_peak()
                                                                        : image_work(name);
        printf("%.9g\n", seconds);
        fflush(stdout);
    }
    return 0;
}

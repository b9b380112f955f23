/*
 * The library's side of the benchmark: reads the name of a piece of work a line from standard input, does it for half a
 * second or more and answers with the seconds of one unit (hvp_over_grad_*: a ratio of two). bench/run interleaves this
 * with the peer's side. `ours FOLDER --memory NAME` does one unit and prints the kilobytes that the process had before
 * it and the most that it has had since.
 *
 * Some problems both sides have in common, numbers included: `ours FOLDER --prepare NAME ROWS` makes one, of so many
 * rows at most (0: all), and leaves it in the folder.
 */
#include <math.h>
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

static const char *folder; /* of shared problems */

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL)
        exit(1);
    return memory;
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
    double *matrix = allocate(n * n * sizeof *matrix);
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

/*
 * What the sides have in common, a file of the folder: this head, θ, the vectors (k×p), numbers that the peer compares
 * its own with, all of these f64, then the labels (int32) and the features (f32).
 */
typedef struct shared_head {
    double rows, features, parameters, vectors, compared;
    double decay, damping, scale, batch; /* of LiSSA: of weights; λ, s, rows in S,                             */
    double steps, tolerance;             /* per right-hand side on average; ours, that error is ≤ MOST_ERROR     */
    double error, plain_error; /* the largest ‖x − exact‖/‖exact‖: ours, the plain recursion's         */
} shared_head;

/* A network of the zoo; f32, two threads. At a random θ with random images, no decay; or shared, as it was prepared. */
typedef struct image_problem {
    const char *name;
    infl_zoo_network network;
    double width_factor;
    size_t rows;
    size_t shared_vectors; /* 0: it is not shared */
    double decay;
    infl_dataset *dataset;
    infl_model *model;
    infl_objective *objective; /* keeps nothing from one product to the next; shared: with the default options */
    double *result;            /* 8·p, or rows × 8 */
    shared_head head;
    double *vectors;
    float *features; /* these two are lent to the dataset */
    int32_t *labels;
} image_problem;

enum { VECTORS = 8, SIDES = 4 };       /* of the products with row gradients; that LiSSA solves for */
enum { COMPARED_ROWS = 64 };           /* whose products the sides compare */
static const double MOST_ERROR = 0.05; /* of LiSSA's solutions */

static image_problem image_problems[] = {
    {.name = "klcnn", .network = INFL_ZOO_KL_CNN, .width_factor = 1.0, .rows = 5500},
    {.name = "lenet", .network = INFL_ZOO_LENET5, .width_factor = 1.0, .rows = 128},
    {.name = "resnet18w16", .network = INFL_ZOO_RESNET18, .width_factor = 0.25, .rows = 64},
    {.name = "resnet18", .network = INFL_ZOO_RESNET18, .width_factor = 1.0, .rows = 32},
    {.name = "vgg13", .network = INFL_ZOO_VGG13, .width_factor = 1.0, .rows = 32},
    {.name = "lissa_klcnn",
     .network = INFL_ZOO_KL_CNN,
     .width_factor = 1.0,
     .rows = 5500,
     .shared_vectors = SIDES,
     .decay = 0.001},
    {.name = "scores_lenet", .network = INFL_ZOO_LENET5, .width_factor = 1.0, .rows = 5000, .shared_vectors = VECTORS},
    {.name = "scores_resnet18w16",
     .network = INFL_ZOO_RESNET18,
     .width_factor = 0.25,
     .rows = 5000,
     .shared_vectors = VECTORS},
};
#define N_PROBLEMS (sizeof image_problems / sizeof image_problems[0])

static double *noise(size_t n, uint64_t state) {
    double *x = allocate(n * sizeof *x);
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
    free(q->vectors);
    free(q->features);
    free(q->labels);
    q->objective = NULL;
    q->result = q->vectors = NULL;
    q->features = NULL;
    q->labels = NULL;
}

static infl_objective_options image_options(const image_problem *q) {
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = 2;
    options.decay = q->decay;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    return options;
}

static infl_objective *create_objective(infl_model *model, const infl_dataset *dataset,
                                        const infl_objective_options *options) {
    infl_objective *objective;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    check(infl_objective_create(&objective, model, &loss, dataset, options));
    return objective;
}

static infl_objective *objective_of(const image_problem *q, size_t keep_budget) {
    infl_objective_options options = image_options(q);
    options.keep_budget = keep_budget;
    return create_objective(q->model, q->dataset, &options);
}

static infl_model *zoo_model(const image_problem *q) {
    infl_model *model;
    infl_zoo_options zoo = INFL_ZOO_OPTIONS_INIT;
    zoo.width_factor = q->width_factor;
    check(infl_model_create_zoo(&model, q->network, &zoo, INFL_F32, 1));
    return model;
}

static infl_dataset *random_images(size_t rows, size_t n_features) {
    infl_dataset *dataset;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = rows;
    spec.n_features = n_features;
    double *x = noise(rows * n_features, 1);
    float *features = allocate(rows * n_features * sizeof *features);
    int32_t *labels = allocate(rows * sizeof *labels);
    for (size_t i = 0; i < rows * n_features; i++)
        features[i] = (float)x[i];
    for (size_t i = 0; i < rows; i++)
        labels[i] = (int32_t)(i % 10);
    spec.features_f32 = features;
    spec.labels = labels;
    spec.n_classes = 10;
    check(infl_dataset_create(&dataset, &spec));
    free(x);
    free(features);
    free(labels);
    return dataset;
}

static FILE *open_shared(const image_problem *q, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, q->name);
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        fprintf(stderr, "bench: %s cannot be opened; --prepare makes it\n", path);
        exit(1);
    }
    return file;
}

static void get(FILE *file, void *array, size_t bytes) {
    if (fread(array, 1, bytes, file) != bytes) {
        fprintf(stderr, "bench: a shared problem is cut short\n");
        exit(1);
    }
}

/* The arrays are read to where they stay, so that the process has not been larger than it is before the work. */
static void read_shared(image_problem *q) {
    FILE *file = open_shared(q, "rb");
    shared_head *head = &q->head;
    get(file, head, sizeof *head);
    size_t n = (size_t)head->rows, d = (size_t)head->features, p = (size_t)head->parameters, k = q->shared_vectors;
    double *theta = allocate(p * sizeof *theta);
    int32_t *labels = allocate(n * sizeof *labels);
    q->vectors = allocate(k * p * sizeof *q->vectors);
    q->features = allocate(n * d * sizeof *q->features);
    get(file, theta, p * sizeof *theta);
    get(file, q->vectors, k * p * sizeof *q->vectors);
    if (fseek(file, (long)((size_t)head->compared * sizeof(double)), SEEK_CUR) != 0)
        exit(1);
    get(file, labels, n * sizeof *labels);
    get(file, q->features, n * d * sizeof *q->features);
    fclose(file);
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = n;
    spec.n_features = d;
    spec.features_f32 = q->features;
    spec.labels = q->labels = labels;
    spec.n_classes = 10;
    spec.borrow = 1;
    check(infl_dataset_create(&q->dataset, &spec));
    check(infl_model_set_parameters(q->model, theta));
    infl_objective_options options = image_options(q);
    q->objective = create_objective(q->model, q->dataset, &options);
    free(theta);
}

/* NULL where there is none. */
static image_problem *named(const char *name) {
    for (size_t i = 0; i < N_PROBLEMS; i++)
        if (strcmp(image_problems[i].name, name) == 0)
            return &image_problems[i];
    return NULL;
}

/* The named problem, made; all others are released. */
static image_problem *images(const char *name) {
    image_problem *q = named(name);
    for (size_t i = 0; i < N_PROBLEMS; i++)
        if (&image_problems[i] != q && image_problems[i].objective != NULL)
            release_images(&image_problems[i]);
    if (q == NULL || q->objective != NULL)
        return q;
    q->model = zoo_model(q);
    if (q->shared_vectors > 0) {
        read_shared(q);
    } else {
        q->dataset = random_images(q->rows, infl_model_inputs(q->model));
        q->objective = objective_of(q, 0);
    }
    size_t p = infl_model_parameters(q->model), n = infl_dataset_rows(q->dataset);
    q->result = allocate(VECTORS * (p > n ? p : n) * sizeof *q->result);
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
    double *matrix = allocate(p * p * sizeof *matrix);
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    options.precision = precision;
    double start = now();
    check(infl_objective_dense(q->objective, INFL_HESSIAN, &options, matrix, NULL));
    double seconds = now() - start;
    free(matrix);
    return seconds;
}

/* The default ones but for the tolerance: the scale is found as well. */
static infl_inverse_options lissa_options(const shared_head *head) {
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = INFL_LISSA;
    options.tolerance = head->tolerance;
    return options;
}

/* The literature's recursion with the same scale, batch and number of steps, wherever it then is. */
static infl_inverse_options plain_options(const shared_head *head) {
    infl_inverse_options options = lissa_options(head);
    options.lissa_plain = options.accept_unconverged = 1;
    options.lissa_scale = head->scale;
    options.lissa_batch = (size_t)head->batch;
    options.max_iterations = options.lissa_check = (size_t)head->steps;
    return options;
}

static void solve(image_problem *q, const infl_inverse_options *options, double *solutions,
                  infl_solve_report *reports) {
    infl_curvature *curvature;
    infl_inverse *inverse;
    check(infl_curvature_create(&curvature, q->objective, INFL_HESSIAN, q->head.damping));
    check(infl_inverse_create(&inverse, curvature, options));
    check(infl_inverse_solve(inverse, q->vectors, SIDES, solutions, reports));
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
}

static double time_lissa(image_problem *q) {
    infl_inverse_options options = lissa_options(&q->head);
    double start = now();
    solve(q, &options, q->result, NULL);
    return now() - start;
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
    if (strcmp(name, "lissa_klcnn_error") == 0) {
        seconds = images("lissa_klcnn")->head.error;
    } else if (strcmp(name, "lissa_klcnn_error_peer") == 0) {
        seconds = images("lissa_klcnn")->head.plain_error;
    } else if (strcmp(name, "lissa_klcnn") == 0) {
        seconds = time_lissa(images(name));
    } else if (after("scores_", name)[0] != '\0' && (q = images(name)) != NULL) {
        seconds = time_unit(row_products, q, q->vectors);
    } else if (strcmp(name, "hessian_klcnn_f32") == 0) {
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
        bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, N, N, N, &one, matrices, N, 1, matrices + (size_t)N * N, N,
                     1, &zero, matrices + (size_t)2 * N * N, N, 1, NULL, &threads);
    }
    double seconds = (now() - start) / REPEATS;
    free(matrices);
    return seconds;
}

/* Kilobytes in memory now. */
static long resident(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*s %ld", &pages) != 1) /* NOLINT(cert-err34-c): the kernel's numbers */
        exit(1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int memory_of(const char *name) {
    int dense = strcmp(name, "mem_hessian_klcnn") == 0, scaled = strcmp(name, "mem_lissa_klcnn_scaled") == 0;
    image_problem *q = images(dense ? "klcnn" : scaled ? "lissa_klcnn" : after("mem_hvp_", name));
    if (q == NULL && (q = images(after("mem_", name))) == NULL)
        return 1;
    size_t p = infl_objective_parameters(q->objective), n = infl_objective_rows(q->objective);
    double *vectors = noise(p, 2);
    memset(q->result, 0, VECTORS * (p > n ? p : n) * sizeof *q->result);
    long before = resident();
    infl_inverse_options options = lissa_options(&q->head);
    if (scaled)
        options.lissa_scale = q->head.scale;
    if (dense)
        dense_hessian(q, INFL_F64);
    else if (q->head.steps > 0)
        solve(q, &options, q->result, NULL);
    else if (q->vectors != NULL)
        row_products(q, q->vectors);
    else
        hessian_product(q, vectors);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld %ld\n", before, usage.ru_maxrss);
    free(vectors);
    release_images(q);
    return 0;
}

/* The first images of MNIST where INFLUENCE_DATA has it, else NULL. */
static infl_dataset *digits(size_t rows) {
    char images_path[4096], labels_path[4096];
    infl_dataset *dataset = NULL;
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    const char *data = getenv("INFLUENCE_DATA");
    if (data == NULL)
        return NULL;
    snprintf(images_path, sizeof images_path, "%s/mnist/train-images-idx3-ubyte.gz", data);
    snprintf(labels_path, sizeof labels_path, "%s/mnist/train-labels-idx1-ubyte.gz", data);
    options.n_classes = 10;
    options.count = rows;
    return infl_dataset_from_idx(&dataset, images_path, labels_path, &options) == INFL_OK ? dataset : NULL;
}

static double largest_error(const double *x, const double *exact, size_t p) {
    double largest = 0.0;
    for (size_t j = 0; j < SIDES; j++) {
        double off = 0.0, size = 0.0;
        for (size_t i = j * p; i < (j + 1) * p; i++) {
            off += (x[i] - exact[i]) * (x[i] - exact[i]);
            size += exact[i] * exact[i];
        }
        largest = fmax(largest, sqrt(off / size));
    }
    return largest;
}

/* (C + λI)⁻¹ by Cholesky's factorisation, passes in f64. */
static void solve_exactly(const image_problem *q, double damping, double *solutions) {
    infl_model *model;
    infl_curvature *curvature;
    infl_inverse *inverse;
    check(infl_model_convert(&model, q->model, INFL_F64));
    infl_objective_options options = image_options(q);
    infl_objective *objective = create_objective(model, q->dataset, &options);
    check(infl_curvature_create(&curvature, objective, INFL_HESSIAN, damping));
    check(infl_inverse_create(&inverse, curvature, NULL));
    check(infl_inverse_solve(inverse, q->vectors, SIDES, solutions, NULL));
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    infl_model_destroy(model);
}

/* θ, right-hand sides, λ and the tolerance that does; returns (C_S + λI)b of the first rows for the peer to compare. */
static double *prepare_lissa(image_problem *q, size_t p, const size_t *compared_rows, size_t n_compared) {
    shared_head *head = &q->head;
    infl_train_options train = INFL_TRAIN_OPTIONS_INIT;
    size_t half = 1000;
    train.steps = 2 * half;
    train.batch = 500;
    train.learning_rate = 1e-2;
    train.milestones = &half;
    train.n_milestones = 1;
    check(infl_train(q->objective, &train, NULL));
    infl_curvature *curvature;
    check(infl_curvature_create(&curvature, q->objective, INFL_HESSIAN, INFL_DAMPING_AUTO));
    head->damping = infl_curvature_damping(curvature);
    infl_curvature_destroy(curvature);
    q->vectors = allocate(SIDES * p * sizeof *q->vectors);
    check(infl_objective_row_gradients(q->objective, compared_rows, SIDES, q->vectors));

    double *exact = allocate(SIDES * p * sizeof *exact), *x = allocate(SIDES * p * sizeof *x);
    infl_solve_report reports[SIDES];
    solve_exactly(q, head->damping, exact);
    head->tolerance = 0.04;
    do {
        head->tolerance /= 2.0;
        infl_inverse_options options = lissa_options(head);
        solve(q, &options, x, reports);
        head->error = largest_error(x, exact, p);
    } while (head->error > MOST_ERROR);
    size_t steps = 0;
    for (size_t j = 0; j < SIDES; j++)
        steps += reports[j].iterations;
    head->steps = floor((double)steps / SIDES);
    head->scale = reports[0].scale;
    head->batch = reports[0].batch;
    infl_inverse_options plain = plain_options(head);
    solve(q, &plain, x, NULL);
    head->plain_error = largest_error(x, exact, p);

    double *products = exact;
    check(infl_objective_product_rows(q->objective, INFL_HESSIAN, compared_rows, n_compared, q->vectors, SIDES,
                                      products));
    for (size_t i = 0; i < SIDES * p; i++)
        products[i] += head->damping * q->vectors[i];
    head->compared = (double)(SIDES * p);
    free(x);
    return products;
}

/* Random vectors; returns the first rows' products with them. */
static double *prepare_scores(image_problem *q, size_t p, const size_t *compared_rows, size_t n_compared) {
    double *products = allocate(n_compared * VECTORS * sizeof *products);
    q->vectors = noise(VECTORS * p, 2);
    check(infl_objective_row_products(q->objective, compared_rows, n_compared, q->vectors, VECTORS, products));
    q->head.compared = (double)(n_compared * VECTORS);
    return products;
}

static void put(FILE *file, const void *array, size_t bytes) {
    if (fwrite(array, 1, bytes, file) != bytes)
        exit(1);
}

static void write_shared(const image_problem *q, const double *theta, const double *compared) {
    FILE *file = open_shared(q, "wb");
    size_t n = (size_t)q->head.rows, d = (size_t)q->head.features, p = (size_t)q->head.parameters;
    double *row = allocate(d * sizeof *row), target;
    float *features = allocate(d * sizeof *features);
    put(file, &q->head, sizeof q->head);
    put(file, theta, p * sizeof *theta);
    put(file, q->vectors, q->shared_vectors * p * sizeof *q->vectors);
    put(file, compared, (size_t)q->head.compared * sizeof *compared);
    for (size_t i = 0; i < n; i++) {
        check(infl_dataset_get(q->dataset, i, NULL, &target));
        int32_t label = (int32_t)target;
        put(file, &label, sizeof label);
    }
    for (size_t i = 0; i < n; i++) {
        check(infl_dataset_get(q->dataset, i, row, NULL));
        for (size_t j = 0; j < d; j++)
            features[j] = (float)row[j];
        put(file, features, d * sizeof *features);
    }
    if (fclose(file) != 0)
        exit(1);
    free(row);
    free(features);
}

/* Makes a shared problem and says what it is. */
static int prepare(const char *name, size_t most_rows) {
    image_problem *q = named(name);
    if (q == NULL || q->shared_vectors == 0)
        return 1;
    int solves = strcmp(name, "lissa_klcnn") == 0;
    size_t rows = most_rows > 0 && most_rows < q->rows ? most_rows : q->rows, compared_rows[COMPARED_ROWS];
    q->model = zoo_model(q);
    q->dataset = solves ? digits(rows) : NULL;
    int real = q->dataset != NULL;
    if (!real)
        q->dataset = random_images(rows, infl_model_inputs(q->model));
    infl_objective_options options = image_options(q);
    q->objective = create_objective(q->model, q->dataset, &options);
    size_t p = infl_model_parameters(q->model), n_compared = rows < COMPARED_ROWS ? rows : COMPARED_ROWS;
    for (size_t i = 0; i < n_compared; i++)
        compared_rows[i] = i;
    shared_head *head = &q->head;
    head->rows = (double)rows;
    head->features = (double)infl_model_inputs(q->model);
    head->parameters = (double)p;
    head->vectors = (double)q->shared_vectors;
    head->decay = q->decay;
    double *compared = (solves ? prepare_lissa : prepare_scores)(q, p, compared_rows, n_compared);
    double *theta = allocate(p * sizeof *theta);
    check(infl_objective_get_parameters(q->objective, theta));
    write_shared(q, theta, compared);
    printf("%zu %s images", rows, real ? "MNIST" : "random");
    if (solves)
        printf(", lambda %.4g, scale %.4g, batches of %.0f, %.0f steps a right-hand side of %d, tolerance %g, "
               "error %.2g (plain recursion %.2g)",
               head->damping, head->scale, head->batch, head->steps, SIDES, head->tolerance, head->error,
               head->plain_error);
    printf("\n");
    free(theta);
    free(compared);
    release_images(q);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: ours FOLDER [--memory NAME | --prepare NAME ROWS]\n");
        return 2;
    }
    folder = argv[1];
    if (argc == 4 && strcmp(argv[2], "--memory") == 0)
        return memory_of(argv[3]);
    if (argc == 5 && strcmp(argv[2], "--prepare") == 0)
        return prepare(argv[3], (size_t)strtoull(argv[4], NULL, 10));
    char name[128];
    while (fgets(name, sizeof name, stdin) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        double seconds = strcmp(name, "adam_step_iris5") == 0         ? adam_step_iris5()
                         : strcmp(name, "hessian_mlp50") == 0         ? hessian_mlp50(2)
                         : strcmp(name, "hessian_mlp50_1thread") == 0 ? hessian_mlp50(1)
                         : strcmp(name, "loo_threads") == 0           ? loo(2)
                         : strcmp(name, "loo_threads_peer") == 0      ? loo(1)
                         : strcmp(name, "gemm_peak") == 0             ? gemm_peak()
                                                                      : image_work(name);
        printf("%.9g\n", seconds);
        fflush(stdout);
    }
    return 0;
}

/*
 * Threads of the caller's on the same handles. Each question is a few calls of the library with an answer in numbers; it
 * is asked on one thread first, and then of all threads at once, whose answers must have the same bits. (`make
 * check-threads` runs this under the thread sanitizer.)
 */
#include <pthread.h>
#include <stdatomic.h>

#include "files.h"
#include "linear.h"
#include "suites.h"

enum { N_THREADS = 4, MOST_THREADS = 24, ROUNDS = 2, K = 3, N_TEST = 7, ROOM = 40000 };

/* The ways to solve: the last two over batches of rows. */
enum { CHOLESKY, EIGEN, CG, LISSA_ALL, CG_BATCH, LISSA, N_INVERSES };

/* What all threads share. */
typedef struct shared {
    problem *q;
    linear_problem l; /* of a custom objective */
    infl_model *model;
    infl_dataset *data;
    infl_objective *train, *test;
    infl_curvature *curvature, *formed;
    infl_inverse *inverses[N_INVERSES], *of_formed;
    infl_influence *influences[N_INVERSES];
    infl_curvature_kind kind;
    size_t n, p;
    double *vectors, *weights, *losses; /* K×p; K×n; n: those of train */
    atomic_int wrong;                   /* answers to callbacks */
} shared;

/* The answer goes to out, *length numbers of it. `thread` plays no part in it, only in the names of files. */
typedef infl_status (*question)(shared *s, unsigned thread, double *out, size_t *length);

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        infl_status status_of_call_ = (call);                                                                          \
        if (status_of_call_ != INFL_OK)                                                                                \
            return status_of_call_;                                                                                    \
    } while (0)

static infl_status ask_model(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    if (s->model == NULL)
        return INFL_OK;
    size_t c = infl_model_outputs(s->model), p = infl_model_parameters(s->model), n = s->n;
    double *at = out;
    infl_model *clone;
    TRY(infl_model_predict(s->model, s->data, at));
    at += n * c;
    TRY(infl_model_accuracy(s->model, s->data, at++));
    TRY(infl_model_get_parameters(s->model, at));
    TRY(infl_model_jvp(s->model, s->data, at, 1, at + p));
    at += p + n * c;
    TRY(infl_model_vjp(s->model, s->data, out, 1, at));
    at += p;
    TRY(infl_model_get_state(s->model, at));
    at += infl_model_state(s->model);
    TRY(infl_model_convert(&clone, s->model, INFL_F32));
    infl_status status = infl_model_predict(clone, s->data, at);
    infl_model_destroy(clone);
    *length = (size_t)(at - out) + n * c;
    return status;
}

static infl_status ask_dataset(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    if (s->data == NULL)
        return INFL_OK;
    const size_t rows[] = {5, 2, 2, 9};
    size_t d = infl_dataset_features(s->data);
    const int32_t labels[] = {0, 1};
    infl_dataset *views[6] = {NULL};
    infl_status status = infl_dataset_subset(&views[0], s->data, rows, 4);
    if (status == INFL_OK)
        status = infl_dataset_without(&views[1], s->data, rows, 4);
    if (status == INFL_OK)
        status = infl_dataset_split(&views[2], &views[3], s->data, 0.3, 1, 7);
    if (status == INFL_OK)
        status = infl_dataset_standardise(&views[4], s->data, views[1]);
    if (status == INFL_OK)
        status = infl_dataset_relabel(&views[5], s->data, (const size_t[]){3, 8}, 2, labels);
    for (int i = 0; i < 6 && status == INFL_OK; i++)
        status = infl_dataset_get(views[i], 3, out + (size_t)i * (d + 1), out + (size_t)i * (d + 1) + d);
    *length = 6 * (d + 1);
    for (int i = 0; i < 6; i++)
        infl_dataset_destroy(views[i]);
    return status;
}

static infl_status ask_objective(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    const size_t rows[] = {3, 1, 4, 1, 5, 9, 2, 6};
    size_t n = s->n, p = s->p, bytes;
    double *at = out;
    TRY(infl_objective_get_parameters(s->train, at));
    at += p;
    TRY(infl_objective_evaluate(s->train, at, at + 1));
    at += 1 + p;
    TRY(infl_objective_evaluate_rows(s->train, rows, 8, at, at + 1));
    at += 1 + p;
    TRY(infl_objective_losses(s->train, NULL, 0, at));
    at += n;
    TRY(infl_objective_row_norms(s->train, NULL, 0, at));
    at += n;
    TRY(infl_objective_row_products(s->train, NULL, 0, s->vectors, K, at));
    at += n * K;
    TRY(infl_objective_weighted_gradients(s->train, NULL, 0, s->weights, K, at));
    at += K * p;
    TRY(infl_objective_row_gradients(s->train, NULL, 0, at));
    at += n * p;
    TRY(infl_objective_memory(s->train, K, &bytes));
    *at++ = (double)bytes;
    *length = (size_t)(at - out);
    return INFL_OK;
}

static infl_status ask_products(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    const size_t rows[] = {8, 6, 7, 5, 3, 0, 9};
    size_t p = s->p;
    double *at = out;
    for (int i = 0; i < 3; i++) { /* values are kept from the second product over all rows on */
        TRY(infl_objective_product(s->train, s->kind, s->vectors, K, at));
        TRY(infl_objective_product(s->train, INFL_FISHER, s->vectors, 1, at + K * p));
        TRY(infl_objective_product_rows(s->train, s->kind, rows, 7, s->vectors, K, at + K * p + p));
        at += (2 * K + 1) * p;
    }
    *length = (size_t)(at - out);
    return INFL_OK;
}

static infl_status ask_dense(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    infl_dense_report report;
    options.check_columns = 2;
    TRY(infl_objective_dense(s->train, s->kind, &options, out, &report));
    TRY(infl_objective_dense(s->train, INFL_FISHER, NULL, out + s->p * s->p, NULL));
    out[2 * s->p * s->p] = report.deviation;
    *length = 2 * s->p * s->p + 1;
    return INFL_OK;
}

/* What a block of rows gives, put together with what the objective says meanwhile. */
typedef struct stream {
    shared *s;
    double *at;
} stream;

static int take(void *context, size_t first, size_t n, const double *gradients) {
    stream *to = context;
    shared *s = to->s;
    double *norms = to->at;
    if (infl_objective_row_norms(s->train, NULL, 0, norms) != INFL_OK ||
        infl_objective_product(s->train, s->kind, gradients, 1, norms + n) != INFL_OK)
        return 1;
    memmove(norms, norms + first, n * sizeof *norms);
    if (infl_objective_product(s->train, s->kind, gradients, 1, norms + n) != INFL_OK)
        return 1;
    memcpy(norms + n + s->p, gradients, n * s->p * sizeof *gradients);
    to->at += n + s->p + n * s->p;
    return 0;
}

static infl_status ask_stream(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    stream to = {s, out};
    TRY(infl_objective_stream_row_gradients(s->train, NULL, 0, 64, take, &to));
    *length = (size_t)(to.at - out);
    return INFL_OK;
}

static infl_status ask_derivatives(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    const size_t rows[] = {7, 2, 9, 4};
    infl_derivatives_report report;
    TRY(infl_objective_check_derivatives(s->train, rows, 4, NULL, &report));
    const double numbers[] = {report.gradients, (double)report.row, report.hessian, report.symmetry, report.parts};
    memcpy(out, numbers, sizeof numbers);
    *length = sizeof numbers / sizeof numbers[0];
    return INFL_OK;
}

static infl_status ask_copies(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    const size_t removed[] = {1, 17};
    infl_objective *without;
    TRY(infl_objective_without(&without, s->train, removed, 2));
    infl_status status = infl_objective_evaluate(without, out, out + 1);
    infl_objective_destroy(without);
    *length = 1 + s->p;
    return status;
}

static infl_status ask_curvature(infl_curvature *curvature, const shared *s, double *out, size_t *length) {
    size_t p = s->p;
    double *at = out;
    infl_lanczos_options options = INFL_LANCZOS_OPTIONS_INIT;
    options.tolerance = 1e-4;
    TRY(infl_curvature_product(curvature, s->vectors, K, at));
    at += K * p;
    TRY(infl_curvature_dense(curvature, at));
    at += p * p;
    TRY(infl_curvature_eigen(curvature, at, at + p));
    at += p + p * p;
    TRY(infl_curvature_lanczos(curvature, 2, 1, &options, at, at + 2, at + 2 + 2 * p));
    at += 2 + 2 * p + 2;
    *length = (size_t)(at - out);
    return INFL_OK;
}

static infl_status ask_operator(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    return ask_curvature(s->curvature, s, out, length);
}

static infl_status ask_formed(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    TRY(ask_curvature(s->formed, s, out, length));
    TRY(infl_inverse_solve(s->of_formed, s->vectors, K, out + *length, NULL));
    *length += K * s->p;
    return INFL_OK;
}

/* Numbers that a report has, NaN or not. */
static double *put_reports(const infl_solve_report *reports, size_t k, double *out) {
    for (size_t j = 0; j < k; j++) {
        const infl_solve_report *r = &reports[j];
        const double numbers[] = {r->residual,           r->products,          r->damping, r->lambda_min, r->lambda_max,
                                  (double)r->iterations, (double)r->converged, r->scale,   r->batch,      r->deviation};
        memcpy(out, numbers, sizeof numbers);
        out += sizeof numbers / sizeof numbers[0];
    }
    return out;
}

static infl_status ask_inverses(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    infl_solve_report reports[K];
    double *at = out;
    for (int i = 0; i < N_INVERSES; i++) {
        TRY(infl_inverse_solve(s->inverses[i], s->vectors, K, at, reports));
        at = put_reports(reports, K, at + K * s->p);
    }
    *length = (size_t)(at - out);
    return INFL_OK;
}

static infl_status ask_influence(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    const size_t rows[] = {11, 0, 7, 3, 12}, test_rows[] = {1, 2, 3, 5, 8, 13, 21};
    infl_solve_report reports[N_TEST];
    double *at = out;
    for (int i = 0; i <= CG; i++) {
        infl_influence *influence = s->influences[i];
        TRY(infl_influence_parameters(influence, rows, 5, at, NULL));
        at += 5 * s->p;
        TRY(infl_influence_norms(influence, rows, 5, at, NULL));
        TRY(infl_influence_self(influence, rows, 5, at + 5, NULL));
        TRY(infl_influence_removal_parameters(influence, rows, 2, at + 10, NULL));
        at += 10 + 2 * s->p;
        TRY(infl_influence_scores(influence, s->test, test_rows, N_TEST, NULL, 0, at, reports));
        at = put_reports(reports, N_TEST, at + N_TEST * s->n);
        TRY(infl_influence_removal_losses(influence, s->test, test_rows, N_TEST, rows, 5, at, NULL));
        at += N_TEST * 5;
    }
    *length = (size_t)(at - out);
    return INFL_OK;
}

static void name_file(char path[512], const char *what, unsigned thread) {
    const char *folder = getenv("TMPDIR");
    snprintf(path, 512, "%s/infl-threads-%ld-%s-%u", folder != NULL && folder[0] != '\0' ? folder : "/tmp",
             (long)getpid(), what, thread);
}

static infl_status ask_model_files(shared *s, unsigned thread, double *out, size_t *length) {
    if (s->model == NULL)
        return INFL_OK;
    char path[512], weights[512];
    infl_model *loaded = NULL;
    name_file(path, "model", thread);
    name_file(weights, "weights", thread);
    infl_status status = infl_model_save(s->model, path);
    if (status == INFL_OK)
        status = infl_model_write_weights(s->model, weights, NULL);
    if (status == INFL_OK)
        status = infl_model_load(&loaded, path);
    if (status == INFL_OK)
        status = infl_model_initialise(loaded, 9);
    if (status == INFL_OK)
        status = infl_model_read_weights(loaded, weights, NULL);
    if (status == INFL_OK)
        status = infl_model_predict(loaded, s->data, out);
    *length = s->n * infl_model_outputs(s->model);
    infl_model_destroy(loaded);
    unlink(path);
    unlink(weights);
    return status;
}

/* All threads write the same file as well, which is whole at any time. */
static infl_status ask_files(shared *s, unsigned thread, double *out, size_t *length) {
    char own[512], common[512], curvature_path[512];
    infl_inverse *loaded[2] = {NULL};
    infl_curvature *curvature = NULL;
    size_t numbers = K * s->p;
    name_file(own, "own", thread);
    name_file(common, "common", 0);
    name_file(curvature_path, "curvature", thread);
    infl_status status = infl_inverse_save(s->inverses[CHOLESKY], own);
    if (status == INFL_OK)
        status = infl_inverse_save(s->inverses[EIGEN], common);
    if (status == INFL_OK)
        status = infl_curvature_save(s->formed, curvature_path);
    if (status == INFL_OK)
        status = infl_inverse_load(&loaded[0], s->curvature, own, NULL);
    if (status == INFL_OK)
        status = infl_inverse_load(&loaded[1], s->curvature, common, NULL);
    if (status == INFL_OK)
        status = infl_curvature_load(&curvature, s->train, curvature_path, 0.1);
    for (int i = 0; i < 2 && status == INFL_OK; i++)
        status = infl_inverse_solve(loaded[i], s->vectors, K, out + (size_t)i * numbers, NULL);
    if (status == INFL_OK)
        status = infl_curvature_product(curvature, s->vectors, K, out + 2 * numbers);
    *length = 3 * numbers;
    infl_curvature_destroy(curvature);
    infl_inverse_destroy(loaded[0]);
    infl_inverse_destroy(loaded[1]);
    unlink(own);
    unlink(curvature_path);
    return status;
}

/* Retraining works with copies: the objectives are only read. So is a preconditioner. */
static infl_status ask_retraining(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    const size_t rows[] = {4, 11}, test_rows[] = {0, 6};
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    polish.max_iterations = 2;
    polish.preconditioner = s->inverses[CHOLESKY];
    options.polish = &polish;
    options.threads = 1;
    output.parameter_changes = out;
    output.loss_changes = out + 2 * s->p;
    TRY(infl_retrain_without(s->train, rows, 2, s->test, test_rows, 2, &options, &output));
    *length = 2 * s->p + 4;
    return INFL_OK;
}

/* A callback of a solve looks at the objective that is being worked on. */
static int look(void *context, const char *stage, size_t done, size_t total) {
    (void)stage, (void)done, (void)total;
    shared *s = context;
    double *losses = malloc(s->n * sizeof *losses);
    int right = losses != NULL && infl_objective_losses(s->train, NULL, 0, losses) == INFL_OK &&
                memcmp(losses, s->losses, s->n * sizeof *losses) == 0;
    free(losses);
    if (!right)
        atomic_store(&s->wrong, 1);
    return !right;
}

static infl_status ask_with_progress(shared *s, unsigned thread, double *out, size_t *length) {
    (void)thread;
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    infl_inverse_options inverse_options = INFL_INVERSE_OPTIONS_INIT;
    infl_inverse *inverse;
    options.progress = inverse_options.progress = look;
    options.progress_context = inverse_options.progress_context = s;
    TRY(infl_objective_dense(s->train, s->kind, &options, out, NULL));
    inverse_options.method = INFL_CG;
    inverse_options.tolerance = 1e-5;
    TRY(infl_inverse_create(&inverse, s->curvature, &inverse_options));
    infl_status status = infl_inverse_solve(inverse, s->vectors, K, out + s->p * s->p, NULL);
    infl_inverse_destroy(inverse);
    *length = s->p * s->p + K * s->p;
    return status;
}

static const struct {
    const char *name;
    question ask;
} questions[] = {
    {"model", ask_model},
    {"dataset", ask_dataset},
    {"objective", ask_objective},
    {"products", ask_products},
    {"dense", ask_dense},
    {"stream", ask_stream},
    {"derivatives", ask_derivatives},
    {"copies", ask_copies},
    {"operator", ask_operator},
    {"formed", ask_formed},
    {"inverses", ask_inverses},
    {"influence", ask_influence},
    {"model files", ask_model_files},
    {"files", ask_files},
    {"retraining", ask_retraining},
    {"progress", ask_with_progress},
};
enum { N_QUESTIONS = sizeof questions / sizeof questions[0] };

typedef enum variant {
    DOUBLE,
    SINGLE_ON_TWO, /* each call on two threads of OpenMP */
    NORMALISED,    /* a model with a state */
    RESTRICTED,    /* an objective of some parameters, with decay */
    BUDGETED,
    CUSTOM,
    N_VARIANTS
} variant;

static infl_objective *network_objective(problem *q, variant kind) {
    static const size_t parameters[] = {0, 2, 3, 7, 8, 20, 21, 22, 23, 24, 25, 26, 30, 31, 40};
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *objective;
    options.decay = 0.01;
    options.threads = kind == SINGLE_ON_TWO ? 2 : 1;
    if (kind == BUDGETED) {
        size_t bytes;
        assert_ok(infl_objective_memory(q->objective, 1, &bytes));
        options.memory_budget = 8 * bytes;
    }
    if (kind == RESTRICTED) {
        options.parameters = parameters;
        options.n_parameters = sizeof parameters / sizeof parameters[0];
    }
    assert_ok(infl_objective_create(&objective, q->model, &q->loss, q->dataset, &options));
    return objective;
}

static double *normals(size_t n, uint64_t seed) {
    double *x = malloc(n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++)
        x[i] = random_normal(&seed);
    return x;
}

static void create_inverse(shared *s, int which) {
    static const infl_inverse_method methods[] = {INFL_CHOLESKY, INFL_EIGEN, INFL_CG, INFL_LISSA, INFL_CG, INFL_LISSA};
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = methods[which];
    options.cg_batch = which == CG_BATCH ? s->n / 2 : 0;
    options.lissa_batch = which == LISSA_ALL ? INFL_ALL_ROWS : which == LISSA ? s->n / 2 : 0;
    options.tolerance = which == CG ? 1e-5 : 1e-3;
    options.progress = look;
    options.progress_context = s;
    assert_ok(infl_inverse_create(&s->inverses[which], s->curvature, &options));
    assert_ok(infl_influence_create(&s->influences[which], s->train, s->inverses[which], NULL));
}

static shared *shared_create(variant kind) {
    shared *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    if (kind == CUSTOM) {
        double theta[6] = {0.1, -0.2, 0.3, 0.1, 0.2, -0.1};
        s->l = linear_create(1, 300, 6, 0.01, 5);
        s->kind = INFL_HESSIAN;
        s->train = linear_objective(&s->l, theta, 1);
        s->test = linear_objective(&s->l, theta, 1);
    } else {
        problem_options options = PROBLEM_OPTIONS_INIT;
        options.n_rows = 300; /* more than a chunk */
        options.precision = kind == SINGLE_ON_TWO ? INFL_F32 : INFL_F64;
        options.graph = kind == NORMALISED ? REFERENCE_NORMALISED : REFERENCE_PLAIN;
        s->q = problem_create(&options);
        s->model = s->q->model;
        s->data = s->q->dataset;
        s->kind = INFL_GAUSS_NEWTON;
        s->train = network_objective(s->q, kind);
        s->test = network_objective(s->q, kind);
    }
    s->n = infl_objective_rows(s->train);
    s->p = infl_objective_parameters(s->train);
    s->vectors = normals(K * s->p, 3);
    s->weights = normals(K * s->n, 4);
    s->losses = normals(s->n, 5);
    assert_ok(infl_objective_losses(s->train, NULL, 0, s->losses));
    assert_ok(infl_curvature_create(&s->curvature, s->train, s->kind, 0.1));
    assert_ok(infl_curvature_create(&s->formed, s->train, s->kind, 0.1));
    assert_ok(infl_curvature_form(s->formed, NULL, NULL));
    assert_ok(infl_inverse_create(&s->of_formed, s->formed, NULL));
    for (int i = 0; i < N_INVERSES; i++)
        create_inverse(s, i);
    return s;
}

static void shared_destroy(shared *s, variant kind) {
    for (int i = 0; i < N_INVERSES; i++) {
        infl_influence_destroy(s->influences[i]);
        infl_inverse_destroy(s->inverses[i]);
    }
    infl_inverse_destroy(s->of_formed);
    infl_curvature_destroy(s->formed);
    infl_curvature_destroy(s->curvature);
    infl_objective_destroy(s->test);
    infl_objective_destroy(s->train);
    free(s->vectors);
    free(s->weights);
    free(s->losses);
    if (kind == CUSTOM)
        linear_destroy(&s->l);
    else
        problem_destroy(s->q);
    free(s);
}

/* Where all threads wait for the last; a pthread_barrier_t, which not all systems have. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    unsigned n, waiting, times;
} gate;

static void pass(gate *g) {
    pthread_mutex_lock(&g->lock);
    unsigned times = g->times;
    if (++g->waiting == g->n) {
        g->waiting = 0;
        g->times++;
        pthread_cond_broadcast(&g->opened);
    }
    while (g->times == times)
        pthread_cond_wait(&g->opened, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

/* Check's assertions are for its own thread: the others bring a sentence, or an empty one. */
typedef struct worker {
    pthread_t thread;
    unsigned number;
    gate *start;
    void *context;
    char complaint[512];
} worker;

static void run_workers_of(unsigned n, void *(*work)(void *), void *context) {
    worker workers[MOST_THREADS];
    gate start = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER, .n = n};
    ck_assert_uint_le(n, MOST_THREADS);
    for (unsigned i = 0; i < n; i++) {
        workers[i] = (worker){.number = i, .start = &start, .context = context};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
    for (unsigned i = 0; i < n; i++)
        ck_assert_msg(workers[i].complaint[0] == '\0', "thread %u: %s", i, workers[i].complaint);
}

static void run_workers(void *(*work)(void *), void *context) { run_workers_of(N_THREADS, work, context); }

typedef struct questionnaire {
    shared *s;
    double *answers[N_QUESTIONS];
    size_t lengths[N_QUESTIONS];
} questionnaire;

/* All questions, each thread beginning with another. */
static void *answer(void *argument) {
    worker *w = argument;
    const questionnaire *all = w->context;
    double *out = malloc(ROOM * sizeof *out);
    pass(w->start);
    for (unsigned i = 0; i < ROUNDS * N_QUESTIONS && out != NULL && w->complaint[0] == '\0'; i++) {
        unsigned which = (i + w->number * N_QUESTIONS / N_THREADS) % N_QUESTIONS;
        size_t length = 0;
        infl_status status = questions[which].ask(all->s, w->number, out, &length);
        if (status != INFL_OK)
            snprintf(w->complaint, sizeof w->complaint, "%s: %.400s", questions[which].name, infl_last_error());
        else if (length != all->lengths[which] || memcmp(out, all->answers[which], length * sizeof *out) != 0)
            snprintf(w->complaint, sizeof w->complaint, "%s: the answer is another than on one thread",
                     questions[which].name);
    }
    free(out);
    return NULL;
}

START_TEST(test_shared) {
    shared *s = shared_create((variant)_i);
    questionnaire all = {.s = s};
    for (int i = 0; i < N_QUESTIONS; i++) {
        all.answers[i] = malloc(ROOM * sizeof *all.answers[i]);
        ck_assert_ptr_nonnull(all.answers[i]);
        assert_ok(questions[i].ask(s, 0, all.answers[i], &all.lengths[i]));
        ck_assert_uint_le(all.lengths[i], ROOM);
    }
    run_workers(answer, &all);
    ck_assert_int_eq(atomic_load(&s->wrong), 0);
    char common[512];
    name_file(common, "common", 0);
    unlink(common);
    for (int i = 0; i < N_QUESTIONS; i++)
        free(all.answers[i]);
    shared_destroy(s, (variant)_i);
}
END_TEST

/* All questions of one kind at the same time: nothing else between them. */
static void *answer_one(void *argument) {
    worker *w = argument;
    const questionnaire *all = w->context;
    double *out = malloc(ROOM * sizeof *out);
    for (int which = 0; which < N_QUESTIONS; which++) {
        size_t length = 0;
        pass(w->start);
        if (out == NULL)
            continue; /* the others wait for all */
        infl_status status = questions[which].ask(all->s, w->number, out, &length);
        if (status != INFL_OK)
            snprintf(w->complaint, sizeof w->complaint, "%s: %.400s", questions[which].name, infl_last_error());
        else
            memcpy(all->answers[which] + w->number * ROOM, out, length * sizeof *out);
    }
    free(out);
    return NULL;
}

/* Nothing has been asked on one thread before: what is made at the first call is made by several threads at once. */
START_TEST(test_first_use) {
    shared *s = shared_create((variant)_i);
    questionnaire all = {.s = s};
    double *out = malloc(ROOM * sizeof *out);
    ck_assert_ptr_nonnull(out);
    for (int i = 0; i < N_QUESTIONS; i++) {
        all.answers[i] = malloc(N_THREADS * ROOM * sizeof *all.answers[i]);
        ck_assert_ptr_nonnull(all.answers[i]);
    }
    run_workers(answer_one, &all);
    for (int i = 0; i < N_QUESTIONS; i++) {
        size_t length = 0;
        assert_ok(questions[i].ask(s, 0, out, &length));
        for (size_t j = 0; j < N_THREADS; j++)
            assert_same_bits(all.answers[i] + j * ROOM, out, length, "%s, thread %zu", questions[i].name, j);
        free(all.answers[i]);
    }
    free(out);
    char common[512];
    name_file(common, "common", 0);
    unlink(common);
    shared_destroy(s, (variant)_i);
}
END_TEST

/* ---- handles of their own, of one dataset */

enum { OWN = 400 };

static infl_status work_alone(infl_dataset *data, unsigned number, double out[OWN]) {
    size_t units[] = {4, 3}, rows[] = {number, 20 + number};
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options objective_options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_train_options train = INFL_TRAIN_OPTIONS_INIT;
    infl_retrain_options retrain = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    infl_train_result result;
    infl_model *model = NULL;
    infl_dataset *part = NULL;
    infl_objective *objective = NULL;
    infl_curvature *curvature = NULL;
    infl_inverse *inverse = NULL, *loaded = NULL;
    infl_influence *influence = NULL;
    char path[512], journal[512];
    name_file(path, "factor", number);
    name_file(journal, "journal", number);
    objective_options.decay = 0.01;
    objective_options.threads = 2;
    train.steps = 30;
    train.batch = 16;
    train.learning_rate = 0.02;
    train.seed = number;
    retrain.threads = 2;
    retrain.journal = journal;
    output.parameter_changes = out + 100;
    infl_status status = infl_dataset_without(&part, data, rows, 2);
    if (status == INFL_OK)
        status = infl_model_create_mlp(&model, number % 2 == 0 ? INFL_F64 : INFL_F32, 4, units, 2, INFL_TANH,
                                       INFL_INIT_GLOROT, number);
    if (status == INFL_OK)
        status = infl_objective_create(&objective, model, &loss, part, &objective_options);
    if (status == INFL_OK)
        status = infl_train(objective, &train, &result);
    if (status == INFL_OK)
        status = infl_polish(objective, NULL, &result);
    if (status == INFL_OK)
        status = infl_objective_get_parameters(objective, out);
    if (status == INFL_OK)
        status = infl_curvature_create(&curvature, objective, INFL_GAUSS_NEWTON, INFL_DAMPING_AUTO);
    if (status == INFL_OK)
        status = infl_inverse_create(&inverse, curvature, NULL);
    if (status == INFL_OK)
        status = infl_inverse_save(inverse, path);
    if (status == INFL_OK)
        status = infl_inverse_load(&loaded, curvature, path, NULL);
    if (status == INFL_OK)
        status = infl_influence_create(&influence, objective, loaded, NULL);
    if (status == INFL_OK)
        status = infl_influence_self(influence, NULL, 0, out + 200, NULL);
    if (status == INFL_OK)
        status = infl_retrain_without(objective, rows, 2, NULL, NULL, 0, &retrain, &output);
    if (status == INFL_OK)
        status = infl_model_initialise(model, number + 1);
    infl_influence_destroy(influence);
    infl_inverse_destroy(loaded);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    infl_dataset_destroy(part);
    unlink(path);
    unlink(journal);
    return status;
}

typedef struct own_handles {
    infl_dataset *data;
    double results[N_THREADS][OWN];
} own_handles;

static void *work_beside(void *argument) {
    worker *w = argument;
    own_handles *own = w->context;
    pass(w->start);
    if (work_alone(own->data, w->number, own->results[w->number]) != INFL_OK)
        snprintf(w->complaint, sizeof w->complaint, "%.400s", infl_last_error());
    return NULL;
}

START_TEST(test_own_handles) {
    static own_handles own;
    double alone[OWN];
    assert_ok(infl_dataset_iris(&own.data));
    run_workers(work_beside, &own);
    for (unsigned i = 0; i < N_THREADS; i++) {
        memset(alone, 0, sizeof alone);
        assert_ok(work_alone(own.data, i, alone));
        assert_same_bits(own.results[i], alone, OWN, "thread %u", i);
    }
    infl_dataset_destroy(own.data);
}
END_TEST

/* ---- sentences of errors */

/* A failure of this thread leaves this thread's sentence, whatever fails on the others meanwhile. */
static void *fail_often(void *argument) {
    worker *w = argument;
    shared *s = w->context;
    double *numbers = calloc(s->p, sizeof *numbers);
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    infl_inverse *inverse = NULL;
    options.method = INFL_CG;
    options.max_iterations = 1;
    options.tolerance = 1e-12;
    int right = numbers != NULL && infl_last_error()[0] == '\0';
    right = right && infl_inverse_create(&inverse, s->curvature, &options) == INFL_OK;
    infl_influence *influence = NULL;
    right = right && infl_influence_create(&influence, s->train, inverse, NULL) == INFL_OK;
    pass(w->start);
    for (size_t i = 0; i < 50 && right; i++) {
        char row[64], named[64];
        size_t wrong = 1000 + 100 * w->number + i, good = 10 * w->number + i % 10;
        snprintf(row, sizeof row, "rows[0] is %zu;", wrong);
        snprintf(named, sizeof named, "training row %zu ", good);
        right = infl_objective_losses(s->train, &wrong, 1, numbers) == INFL_E_ARGUMENT &&
                strstr(infl_last_error(), row) != NULL &&
                infl_influence_norms(influence, &good, 1, numbers, NULL) == INFL_E_UNCONVERGED &&
                strstr(infl_last_error(), named) != NULL;
    }
    if (!right)
        snprintf(w->complaint, sizeof w->complaint, "the sentence is: %.400s", infl_last_error());
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    free(numbers);
    return NULL;
}

/* Of one inverse, whose solves call their right-hand sides by their own names. */
static void *name_rows(void *argument) {
    worker *w = argument;
    shared *s = w->context;
    double *numbers = calloc(s->p, sizeof *numbers);
    int right = numbers != NULL;
    pass(w->start);
    for (size_t i = 0; i < 50 && right; i++) {
        char named[64];
        size_t row = 10 * w->number + i % 10;
        snprintf(named, sizeof named, w->number == 0 ? "right-hand side 0 " : "training row %zu ", row);
        infl_status status = w->number == 0 ? infl_inverse_solve(s->inverses[CG], s->vectors, 1, numbers, NULL)
                                            : infl_influence_norms(s->influences[CG], &row, 1, numbers, NULL);
        right = status == INFL_E_UNCONVERGED && strstr(infl_last_error(), named) != NULL;
    }
    if (!right)
        snprintf(w->complaint, sizeof w->complaint, "the sentence is: %.400s", infl_last_error());
    free(numbers);
    return NULL;
}

START_TEST(test_errors) {
    shared *s = shared_create(DOUBLE);
    if (_i == 0) {
        assert_fails(INFL_E_ARGUMENT, infl_model_predict(NULL, s->data, s->losses)); /* nothing to the others */
        run_workers(fail_often, s);
        ck_assert_ptr_nonnull(strstr(infl_last_error(), "infl_model_predict"));
    } else {
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        options.method = INFL_CG;
        options.max_iterations = 1;
        options.tolerance = 1e-12;
        infl_influence_destroy(s->influences[CG]);
        infl_inverse_destroy(s->inverses[CG]);
        assert_ok(infl_inverse_create(&s->inverses[CG], s->curvature, &options));
        assert_ok(infl_influence_create(&s->influences[CG], s->train, s->inverses[CG], NULL));
        run_workers(name_rows, s);
    }
    shared_destroy(s, DOUBLE);
}
END_TEST

/* ---- more callers than an objective keeps workspaces for */

static void *measure(void *argument) {
    worker *w = argument;
    shared *s = w->context;
    double *losses = malloc(s->n * sizeof *losses);
    pass(w->start);
    for (int i = 0; i < 10 && w->complaint[0] == '\0'; i++)
        if (losses == NULL || infl_objective_losses(s->train, NULL, 0, losses) != INFL_OK ||
            memcmp(losses, s->losses, s->n * sizeof *losses) != 0)
            snprintf(w->complaint, sizeof w->complaint, "other losses, or %.400s", infl_last_error());
    free(losses);
    return NULL;
}

START_TEST(test_many) {
    shared *s = shared_create((variant)_i);
    run_workers_of(MOST_THREADS, measure, s);
    shared_destroy(s, (variant)_i);
}
END_TEST

/* ---- callbacks that ask the objective that asks them */

typedef struct asking {
    linear_problem *l;
    infl_objective *self;
    int depth, wrong;
    double *expected; /* n losses */
} asking;

/* Looks at its own objective first, unless that is why it was called. */
static int asking_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    asking *a = context;
    if (a->self != NULL && a->depth == 0) {
        double *all = malloc(a->l->n * sizeof *all), own[8];
        const size_t backwards[] = {3, 2, 1, 0};
        a->depth++;
        a->wrong |= all == NULL || infl_objective_losses(a->self, NULL, 0, all) != INFL_OK ||
                    memcmp(all, a->expected, a->l->n * sizeof *all) != 0 ||
                    infl_objective_evaluate_rows(a->self, backwards, 4, NULL, own) != INFL_OK ||
                    infl_objective_get_parameters(a->self, own) != INFL_OK ||
                    memcmp(own, theta, a->l->d * sizeof *own) != 0;
        a->depth--;
        free(all);
    }
    return linear_losses(a->l, theta, rows, n, losses);
}

static int asking_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *gradients) {
    return linear_row_gradients(((asking *)context)->l, theta, rows, n, gradients);
}

START_TEST(test_callbacks) {
    const double theta[6] = {0.1, -0.2, 0.3, 0.1, 0.2, -0.1};
    const size_t rows[] = {7, 5, 3, 11, 2};
    linear_problem l = linear_create(1, 40, 6, 0.01, 5);
    infl_objective *plain = linear_objective(&l, theta, 1);
    double losses[40], value, gradient[6], expected_value, expected_gradient[6];
    asking a = {.l = &l, .expected = losses};
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = l.decay;
    custom.n_rows = l.n;
    custom.n_parameters = l.d;
    custom.context = &a;
    custom.losses = asking_losses;
    custom.row_gradients = asking_gradients;
    custom.decay_mask = l.mask;
    assert_ok(infl_objective_losses(plain, NULL, 0, losses));
    assert_ok(infl_objective_evaluate_rows(plain, rows, 5, &expected_value, expected_gradient));
    assert_ok(infl_objective_create_custom(&a.self, &custom, theta, &options));
    for (int i = 0; i < 2; i++) { /* the second time with what the first has left */
        assert_ok(infl_objective_evaluate_rows(a.self, rows, 5, &value, gradient));
        ck_assert_int_eq(a.wrong, 0);
        assert_same_bits(&value, &expected_value, 1, "R, %d", i);
        assert_same_bits(gradient, expected_gradient, 6, "its gradient, %d", i);
    }
    infl_objective_destroy(a.self);
    infl_objective_destroy(plain);
    linear_destroy(&l);
}
END_TEST

Suite *threads_suite(void) {
    Suite *suite = suite_create("threads");
    add_case(suite, "threads/shared", test_shared, N_VARIANTS);
    add_case(suite, "threads/first_use", test_first_use, N_VARIANTS);
    add_case(suite, "threads/own_handles", test_own_handles, 1);
    add_case(suite, "threads/errors", test_errors, 2);
    add_case(suite, "threads/many", test_many, N_VARIANTS);
    add_case(suite, "threads/callbacks", test_callbacks, 1);
    return suite;
}

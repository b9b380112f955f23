/* Dense curvature by tangents of one layer after another and by Gram matrices, against products with unit vectors. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reference.h"
#include "suites.h"

enum { N_KINDS = INFL_FISHER + 1, N_NETWORKS = INFL_ZOO_RESNET50 + 1 };

static void *numbers(size_t n, size_t size) {
    void *memory = calloc(n, size);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* All columns as products, which share only the layers' code with dense matrices. */
static double *columns_of(infl_objective *objective, infl_curvature_kind kind) {
    size_t p = infl_objective_parameters(objective);
    double *units = numbers(p * p, sizeof *units), *columns = numbers(p * p, sizeof *columns);
    for (size_t j = 0; j < p; j++)
        units[j * p + j] = 1;
    assert_ok(infl_objective_product(objective, kind, units, p, columns));
    free(units);
    return columns;
}

/* tolerance: of the largest element */
static void assert_dense(infl_objective *objective, infl_curvature_kind kind, double tolerance, const char *name) {
    size_t p = infl_objective_parameters(objective);
    double *columns = columns_of(objective, kind), *dense = numbers(p * p, sizeof *dense), largest = 0, apart = 0;
    assert_ok(infl_objective_dense(objective, kind, NULL, dense, NULL));
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < p; j++) {
            ck_assert_msg(dense[i * p + j] == dense[j * p + i], "%s, kind %d: (%zu, %zu) is not symmetric", name,
                          (int)kind, i, j);
            largest = fmax(largest, fabs(columns[i * p + j]));
            apart = fmax(apart, fabs(columns[i * p + j] - dense[i * p + j]));
        }
    ck_assert(largest > 0);
    ck_assert_msg(apart <= tolerance * largest, "%s, kind %d: elements differ by %g of the largest", name, (int)kind,
                  apart / largest);
    free(columns);
    free(dense);
}

typedef struct network_case {
    infl_dataset *dataset;
    infl_model *model;
    infl_objective *objective;
} network_case;

/* Images of noise; weights as drawn, and where there is normalisation, statistics that are not those of a new model. */
static network_case create_case(infl_zoo_network network, double width_factor, int batch_norm, size_t n_rows,
                                infl_precision precision) {
    network_case c;
    infl_zoo_options zoo = INFL_ZOO_OPTIONS_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    zoo.width_factor = width_factor;
    zoo.batch_norm = batch_norm;
    zoo.n_classes = 3;
    assert_ok(infl_model_create_zoo(&c.model, network, &zoo, precision, 5));
    uint64_t seed = 7;
    size_t p = infl_model_parameters(c.model), n_state = infl_model_state(c.model);
    double *theta = numbers(p, sizeof *theta), *state = numbers(n_state, sizeof *state);
    assert_ok(infl_model_get_parameters(c.model, theta));
    for (size_t i = 0; i < p; i++)
        theta[i] += 0.1 * random_normal(&seed); /* biases are 0 else */
    assert_ok(infl_model_set_parameters(c.model, theta));
    for (size_t i = 0; i < n_state; i++)
        state[i] = 0.5 + random_uniform(&seed);
    assert_ok(infl_model_set_state(c.model, state));
    size_t d = infl_model_inputs(c.model);
    double *features = numbers(n_rows * d, sizeof *features);
    int32_t *labels = numbers(n_rows, sizeof *labels);
    for (size_t i = 0; i < n_rows * d; i++)
        features[i] = random_normal(&seed);
    for (size_t i = 0; i < n_rows; i++)
        labels[i] = (int32_t)(i % 3);
    spec.n_rows = n_rows;
    spec.n_features = d;
    spec.features = features;
    spec.labels = labels;
    spec.n_classes = 3;
    assert_ok(infl_dataset_create(&c.dataset, &spec));
    options.decay = 0.01;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    options.threads = 2;
    assert_ok(infl_objective_create(&c.objective, c.model, &loss, c.dataset, &options));
    free(theta);
    free(state);
    free(features);
    free(labels);
    return c;
}

static void destroy_case(network_case *c) {
    infl_objective_destroy(c->objective);
    infl_model_destroy(c->model);
    infl_dataset_destroy(c->dataset);
}

/*
 * Every network of the zoo, normalised and not, on two chunks of rows and a part of one. Both ways add the same numbers
 * in other orders: some 10⁵ roundings of 10⁻¹⁶ in the worst case.
 */
START_TEST(test_zoo) {
    infl_zoo_network network = (infl_zoo_network)(_i / 2 % N_NETWORKS);
    double width = network == INFL_ZOO_KL_CNN ? 0.25 : network == INFL_ZOO_LENET5 ? 0.1 : 1e-3;
    network_case c = create_case(network, width, _i % 2, 35, INFL_F64);
    for (int kind = 0; kind < N_KINDS; kind++)
        assert_dense(c.objective, (infl_curvature_kind)kind, 1e-10, infl_zoo_network_name(network));
    destroy_case(&c);
}
END_TEST

/* Every loss on graphs with branches, on more rows than a chunk has. */
START_TEST(test_graphs) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.graph = (reference_graph)(_i % 4);
    options.loss = (infl_loss_kind)(_i / 4);
    options.n_rows = 300;
    options.decay = 0.02;
    options.threads = 3;
    problem *q = problem_create(&options);
    for (int kind = 0; kind < N_KINDS; kind++)
        assert_dense(q->objective, (infl_curvature_kind)kind, 1e-12, problem_name(q));
    problem_destroy(q);
}
END_TEST

/* The same bits on any number of threads and under any budget that is enough, with one chunk and with many. */
START_TEST(test_bits) {
    static const size_t rows[] = {10, 75};
    for (int kind = 0; kind < N_KINDS; kind++)
        for (size_t precision = 0; precision < 2; precision++) {
            network_case c = create_case(INFL_ZOO_KL_CNN, 0.25, 1, rows[_i], (infl_precision)precision);
            infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
            size_t p = infl_objective_parameters(c.objective), least = 1;
            double *first = numbers(p * p, sizeof *first), *again = numbers(p * p, sizeof *again);
            for (int threads = 1; threads <= 6; threads++) {
                infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
                infl_objective *objective;
                options.threads = threads < 6 ? threads : 2;
                options.memory_budget = threads < 6 ? 0 : least;
                assert_ok(infl_objective_create(&objective, c.model, &loss, c.dataset, &options));
                infl_status status = infl_objective_dense(objective, (infl_curvature_kind)kind, NULL,
                                                          threads == 1 ? first : again, NULL);
                if (threads == 6 && least == 1) { /* the sentence tells what would do; that much then does */
                    const char *told = strstr(infl_last_error(), "at least ");
                    ck_assert_int_eq(status, INFL_E_BUDGET);
                    ck_assert_ptr_nonnull(told);
                    least = strtoul(told + 9, NULL, 10);
                    memset(again, 0, p * p * sizeof *again);
                    threads--;
                } else {
                    assert_ok(status);
                    ck_assert_msg(threads == 1 || memcmp(first, again, p * p * sizeof *first) == 0,
                                  "kind %d, run %d differs", kind, threads);
                }
                infl_objective_destroy(objective);
            }
            free(first);
            free(again);
            destroy_case(&c);
        }
}
END_TEST

/* In single precision: near the matrix in double, and the report says how near. */
START_TEST(test_single) {
    network_case c = create_case(INFL_ZOO_KL_CNN, 0.25, 0, 40, INFL_F64);
    infl_curvature_kind kind = (infl_curvature_kind)_i;
    size_t p = infl_objective_parameters(c.objective);
    double *exact = numbers(p * p, sizeof *exact), *single = numbers(p * p, sizeof *single), deviation = 0;
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    infl_dense_report report;
    options.check_columns = 1;
    assert_ok(infl_objective_dense(c.objective, kind, &options, exact, &report));
    ck_assert_uint_eq(report.checked, 1);
    ck_assert(report.deviation <= 1e-13);
    options.precision = INFL_F32;
    options.check_columns = 2 * p; /* more than there are: all */
    assert_ok(infl_objective_dense(c.objective, kind, &options, single, &report));
    ck_assert_uint_eq(report.checked, p);
    for (size_t j = 0; j < p; j++) {
        double apart = 0, norm = 0;
        for (size_t i = 0; i < p; i++) {
            apart += pow(single[j * p + i] - exact[j * p + i], 2);
            norm += pow(exact[j * p + i], 2);
        }
        deviation = fmax(deviation, sqrt(apart / norm));
    }
    /* f32 has 6e-8, and sums of some hundred terms cancel in places */
    ck_assert(deviation > 1e-9 && deviation < 1e-4);
    ck_assert_msg(fabs(report.deviation - deviation) <= 1e-3 * deviation, "reported %g, found %g", report.deviation,
                  deviation);
    options.check_columns = 0;
    assert_ok(infl_objective_dense(c.objective, kind, &options, single, &report));
    ck_assert_uint_eq(report.checked, 4);
    ck_assert(report.deviation > 0 && report.deviation <= deviation * 1.001);
    options.precision = -1;
    assert_ok(infl_objective_dense(c.objective, kind, &options, single, &report));
    ck_assert_uint_eq(report.checked, 0);
    ck_assert(memcmp(exact, single, p * p * sizeof *exact) == 0);
    destroy_case(&c);

    /* and the other way round: a model in f32, whose θ is then also the f64 one's */
    c = create_case(INFL_ZOO_KL_CNN, 0.25, 0, 40, INFL_F32);
    options.precision = INFL_F64;
    options.check_columns = 3;
    assert_ok(infl_objective_dense(c.objective, kind, &options, single, &report));
    ck_assert_uint_eq(report.checked, 3);
    ck_assert(report.deviation <= 1e-13);
    free(exact);
    free(single);
    destroy_case(&c);
}
END_TEST

typedef struct listener {
    size_t calls, last, total, cancel_at;
    int wrong, slow;
} listener;

static int listen(void *context, const char *stage, size_t done, size_t total) {
    listener *l = context;
    if (l->slow) /* then threads queue up to report */
        nanosleep(&(struct timespec){0, 20000}, NULL);
    l->wrong |= strcmp(stage, "dense") != 0 || done > total || (l->calls > 0 && done < l->last);
    l->last = done;
    l->total = total;
    return ++l->calls == l->cancel_at;
}

/* Progress goes up to the number of columns; cancelled at any call, nothing is changed. */
START_TEST(test_progress) {
    network_case c = create_case(INFL_ZOO_KL_CNN, 0.25, 0, 75, INFL_F32);
    size_t p = infl_objective_parameters(c.objective), calls;
    infl_curvature_kind kind = (infl_curvature_kind)_i;
    double *matrix = numbers(p * p, sizeof *matrix);
    listener all = {0};
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    infl_dense_report report = {77, 3.0, {0}};
    options.progress = listen;
    options.progress_context = &all;
    options.check_columns = 1;
    for (size_t i = 0; i < p * p; i++)
        matrix[i] = 3;
    calls = 4;
    for (size_t at = 1; at <= calls; at++) {
        listener one = {.cancel_at = at};
        options.progress_context = &one;
        assert_fails(INFL_E_CANCELLED, infl_objective_dense(c.objective, kind, &options, matrix, &report));
        ck_assert(!one.wrong);
        ck_assert_uint_eq(report.checked, 77);
        for (size_t i = 0; i < p * p; i++)
            ck_assert(matrix[i] == 3);
    }
    options.progress_context = &all;
    assert_ok(infl_objective_dense(c.objective, kind, &options, matrix, &report));
    ck_assert(!all.wrong);
    ck_assert(all.calls >= calls);
    ck_assert_uint_eq(all.last, p);
    ck_assert_uint_eq(all.total, p);

    infl_objective_options threads = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective *objective;
    listener slow = {.slow = 1};
    threads.threads = 4;
    options.progress_context = &slow;
    assert_ok(infl_objective_create(&objective, c.model, &loss, c.dataset, &threads));
    assert_ok(infl_objective_dense(objective, kind, &options, matrix, NULL));
    ck_assert(!slow.wrong);
    infl_objective_destroy(objective);
    free(matrix);
    destroy_case(&c);
}
END_TEST

START_TEST(test_refused) {
    network_case c = create_case(INFL_ZOO_KL_CNN, 1e-3, 0, 4, INFL_F64);
    size_t p = infl_objective_parameters(c.objective);
    double *matrix = numbers(p * p, sizeof *matrix);
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    options.precision = 2;
    assert_fails(INFL_E_ARGUMENT, infl_objective_dense(c.objective, INFL_HESSIAN, &options, matrix, NULL));
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "precision is 2"));
    options.precision = -1;
    options.size = 3;
    assert_fails(INFL_E_ARGUMENT, infl_objective_dense(c.objective, INFL_HESSIAN, &options, matrix, NULL));
    for (size_t i = 0; i < p * p; i++)
        ck_assert(matrix[i] == 0);
    free(matrix);
    destroy_case(&c);
}
END_TEST

/* A model at another precision has the same graph, values and state, rounded once. */
START_TEST(test_convert) {
    network_case c = create_case(INFL_ZOO_RESNET18, 1e-3, 1, 4, INFL_F64);
    size_t p = infl_model_parameters(c.model), n_state = infl_model_state(c.model);
    double *theta = numbers(p, sizeof *theta), *got = numbers(p, sizeof *got);
    double *state = numbers(n_state, sizeof *state), *got_state = numbers(n_state, sizeof *got_state);
    infl_model *single = NULL, *back = NULL;
    assert_ok(infl_model_get_parameters(c.model, theta));
    assert_ok(infl_model_get_state(c.model, state));
    assert_ok(infl_model_convert(&single, c.model, INFL_F32));
    ck_assert_int_eq(infl_model_precision(single), INFL_F32);
    assert_ok(infl_model_get_parameters(single, got));
    for (size_t i = 0; i < p; i++)
        ck_assert(got[i] == (double)(float)theta[i]);
    assert_ok(infl_model_convert(&back, single, INFL_F64));
    ck_assert_int_eq(infl_model_precision(back), INFL_F64);
    assert_ok(infl_model_get_parameters(back, got));
    for (size_t i = 0; i < p; i++)
        ck_assert(got[i] == (double)(float)theta[i]);
    assert_ok(infl_model_get_state(back, got_state));
    ck_assert(memcmp(state, got_state, n_state * sizeof *state) == 0);
    infl_model_destroy(back);
    theta[1] = 1e300;
    assert_ok(infl_model_set_parameters(c.model, theta));
    back = NULL;
    assert_fails(INFL_E_NONFINITE, infl_model_convert(&back, c.model, INFL_F32));
    assert_fails(INFL_E_ARGUMENT, infl_model_convert(&back, c.model, (infl_precision)2));
    assert_fails(INFL_E_ARGUMENT, infl_model_convert(NULL, c.model, INFL_F32));
    assert_fails(INFL_E_ARGUMENT, infl_model_convert(&back, NULL, INFL_F32));
    ck_assert_ptr_null(back);
    infl_model_destroy(single);
    free(theta);
    free(got);
    free(state);
    free(got_state);
    destroy_case(&c);
}
END_TEST

Suite *hessian_suite(void) {
    Suite *suite = suite_create("hessian");
    tcase_set_tags(add_case(suite, "hessian/zoo", test_zoo, 2 * N_NETWORKS), "long");
    add_case(suite, "hessian/graphs", test_graphs, 16);
    add_case(suite, "hessian/bits", test_bits, 2);
    add_case(suite, "hessian/single", test_single, N_KINDS);
    add_case(suite, "hessian/progress", test_progress, N_KINDS);
    add_case(suite, "hessian/refused", test_refused, 1);
    add_case(suite, "hessian/convert", test_convert, 1);
    return suite;
}

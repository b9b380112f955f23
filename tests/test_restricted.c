/* Objectives of some of a model's parameters. */
#include <stdatomic.h>
#include <time.h>

#include "identity.h"
#include "linear.h"
#include "objective.h"
#include "suites.h"

enum { K = 5 };

static const reference_graph graphs[] = {REFERENCE_PLAIN, REFERENCE_TANGLED, REFERENCE_NORMALISED};

static problem *graph_problem(size_t graph, infl_precision precision, size_t n_rows) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.graph = graphs[graph];
    options.n_rows = n_rows;
    options.precision = precision;
    options.decay = 0.03;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    options.threads = 2;
    return problem_create(&options);
}

/* Every parameter whose number leaves no remainder of 3, or else the last third, as a last layer would be. */
static size_t choose(size_t p, int scattered, size_t *parameters) {
    size_t q = 0;
    for (size_t i = 0; i < p; i++)
        if (scattered ? i % 3 != 0 : i >= 2 * p / 3)
            parameters[q++] = i;
    return q;
}

static infl_objective *restricted_objective(problem *q, const size_t *parameters, size_t n_parameters, int threads) {
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = q->options.decay;
    options.decay_scope = q->options.decay_scope;
    options.threads = threads;
    options.parameters = parameters;
    options.n_parameters = n_parameters;
    infl_objective *objective;
    assert_ok(infl_objective_create(&objective, q->model, &q->loss, q->dataset, &options));
    return objective;
}

/* The same of the reference as a risk of the caller's own, which has its own θ. */
static infl_objective *custom_objective(problem *q, const size_t *parameters, size_t n_parameters) {
    unsigned char *mask = (unsigned char *)problem_room(q, q->p);
    for (size_t i = 0; i < q->p; i++)
        mask[i] = q->mask[i] != 0;
    infl_custom_objective custom = reference_custom(q, mask);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = q->options.decay;
    options.threads = 1;
    options.parameters = parameters;
    options.n_parameters = n_parameters;
    infl_objective *objective;
    assert_ok(infl_objective_create_custom(&objective, &custom, q->theta, &options));
    return objective;
}

static void gather(const double *whole, size_t k, size_t p, const size_t *parameters, size_t q, double *out) {
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < q; i++)
            out[j * q + i] = whole[j * p + parameters[i]];
}

static void scatter(const double *vectors, size_t k, size_t p, const size_t *parameters, size_t q, double *whole) {
    memset(whole, 0, k * p * sizeof *whole);
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < q; i++)
            whole[j * p + parameters[i]] = vectors[j * q + i];
}

typedef struct stream {
    double *out;
    size_t p;
} stream;

static int take_block(void *context, size_t first, size_t n, const double *gradients) {
    stream *to = context;
    memcpy(to->out + first * to->p, gradients, n * to->p * sizeof *gradients);
    return 0;
}

/* Every quantity over n rows is the gathered one of the full objective: to the bit where only a place to go changed. */
static void compare(problem *on, infl_objective *full, infl_objective *part, const size_t *parameters, size_t q,
                    const size_t *rows, size_t n) {
    size_t p = on->p;
    double *expected = problem_room(on, n * p + K * p + p * p), *found = problem_room(on, n * p + K * p + p * p);
    double *gathered = problem_room(on, n * p + K * p + p * p), *vectors = problem_normals(on, K * q, 5);
    double *whole = problem_room(on, K * p), *weights = problem_normals(on, K * n, 6), values[2];
    ck_assert_uint_eq(infl_objective_parameters(part), q);
    ck_assert_uint_eq(infl_objective_rows(part), infl_objective_rows(full));
    scatter(vectors, K, p, parameters, q, whole);

    assert_ok(infl_objective_get_parameters(full, expected));
    assert_ok(infl_objective_get_parameters(part, found));
    gather(expected, 1, p, parameters, q, gathered);
    assert_same_bits(found, gathered, q, "theta");

    /* R has the decay of its own parameters; the rest is the mean loss */
    double decay = 0.0, others = 0.0;
    for (size_t i = 0, at = 0; i < p; i++) {
        double term = 0.5 * on->options.decay * on->mask[i] * expected[i] * expected[i];
        int own = at < q && parameters[at] == i;
        at += (size_t)own;
        *(own ? &decay : &others) += term;
    }
    assert_ok(infl_objective_evaluate_rows(full, rows, n, &values[0], expected));
    assert_ok(infl_objective_evaluate_rows(part, rows, n, &values[1], found));
    values[0] -= others;
    ck_assert_double_gt(decay, 1e-6);
    ck_assert_double_gt(others, 1e-6);
    assert_close(&values[1], &values[0], 1, 1e-14, "R"); /* the same sums, the decay's in another order */
    gather(expected, 1, p, parameters, q, gathered);
    assert_same_bits(found, gathered, q, "gradient");

    assert_ok(infl_objective_losses(full, rows, n, expected));
    assert_ok(infl_objective_losses(part, rows, n, found));
    assert_same_bits(found, expected, n, "losses");

    assert_ok(infl_objective_row_gradients(full, rows, n, expected));
    assert_ok(infl_objective_row_gradients(part, rows, n, found));
    gather(expected, n, p, parameters, q, gathered);
    assert_same_bits(found, gathered, n * q, "row gradients");
    stream to = {found, q};
    fill_sentinel(found, n * q);
    assert_ok(infl_objective_stream_row_gradients(part, rows, n, 7, take_block, &to));
    assert_same_bits(found, gathered, n * q, "row gradients in blocks");

    assert_ok(infl_objective_row_norms(part, rows, n, found));
    for (size_t i = 0; i < n; i++)
        expected[i] = sqrt(linear_dot(gathered + i * q, gathered + i * q, q));
    assert_close(found, expected, n, 1e-14, "row norms"); /* q·ε, sums in another order */

    assert_ok(infl_objective_row_products(full, rows, n, whole, K, expected));
    assert_ok(infl_objective_row_products(part, rows, n, vectors, K, found));
    assert_same_bits(found, expected, n * K, "row products");

    assert_ok(infl_objective_weighted_gradients(full, rows, n, weights, K, expected));
    assert_ok(infl_objective_weighted_gradients(part, rows, n, weights, K, found));
    gather(expected, K, p, parameters, q, gathered);
    assert_same_bits(found, gathered, K * q, "weighted gradients");

    for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++) {
        assert_ok(infl_objective_product_rows(full, (infl_curvature_kind)kind, rows, n, whole, K, expected));
        assert_ok(infl_objective_product_rows(part, (infl_curvature_kind)kind, rows, n, vectors, K, found));
        gather(expected, K, p, parameters, q, gathered);
        assert_same_bits(found, gathered, K * q, "product %d", kind);

        infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
        infl_dense_report report;
        options.check_columns = 3;
        assert_ok(infl_objective_dense(full, (infl_curvature_kind)kind, NULL, expected, NULL));
        assert_ok(infl_objective_dense(part, (infl_curvature_kind)kind, &options, found, &report));
        for (size_t i = 0; i < q; i++)
            gather(expected + parameters[i] * p, 1, p, parameters, q, gathered + i * q);
        /* entries are sums over rows of products along the layers; those of fewer columns may group them otherwise */
        double unit = part->ops->precision(part->source) == INFL_F32 ? 1e-5 : 1e-13;
        assert_close(found, gathered, q * q, unit, "dense %d", kind);
        for (size_t i = 0; i < q; i++)
            for (size_t j = 0; j < i; j++)
                ck_assert_double_eq(found[i * q + j], found[j * q + i]);
        ck_assert_uint_eq(report.checked, 3);
        ck_assert_double_le(report.deviation, unit);
        if (full->ops->convert == NULL)
            continue;
        options.precision = INFL_F32 + INFL_F64 - (int)on->options.precision; /* the other */
        assert_ok(infl_objective_dense(part, (infl_curvature_kind)kind, &options, expected, NULL));
        assert_close(expected, gathered, q * q, 1e-5, "dense %d converted", kind);
        ck_assert_mem_ne(expected, found, q * q * sizeof *found);
    }
}

/* _i: graph and precision, on some rows, and again without a row, where the restriction is to stay. */
START_TEST(every_quantity_is_the_gathered_one) {
    problem *q = graph_problem((size_t)_i / 2, (infl_precision)(_i % 2), 400); /* rows of two chunks */
    size_t *parameters = (size_t *)problem_room(q, q->p), rows[50], removed = 17;
    for (size_t i = 0; i < 50; i++)
        rows[i] = i * 7 % q->n;
    for (int scattered = 0; scattered < 2; scattered++) {
        size_t n = choose(q->p, scattered, parameters);
        infl_objective *part = restricted_objective(q, parameters, n, 2), *full_without, *part_without;
        size_t *kept = (size_t *)problem_room(q, n);
        memcpy(kept, parameters, n * sizeof *kept);
        memset(parameters, 0xff, n * sizeof *parameters); /* the objective has a copy */
        compare(q, q->objective, part, kept, n, rows, 50);
        assert_ok(infl_objective_without(&full_without, q->objective, &removed, 1));
        assert_ok(infl_objective_without(&part_without, part, &removed, 1));
        compare(q, full_without, part_without, kept, n, rows, 50);
        infl_objective_destroy(part_without);
        infl_objective_destroy(full_without);
        infl_objective_destroy(part);
    }
    problem_destroy(q);
}
END_TEST

START_TEST(so_is_that_of_a_risk_of_the_callers_own) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.decay = 0.03;
    problem *q = problem_create(&options);
    size_t *parameters = (size_t *)problem_room(q, q->p), rows[5] = {3, 0, 4, 4, 1};
    for (int scattered = 0; scattered < 2; scattered++) {
        size_t n = choose(q->p, scattered, parameters), first = 2;
        infl_objective *full = custom_objective(q, NULL, 0), *part = custom_objective(q, parameters, n), *without;
        compare(q, full, part, parameters, n, rows, 5);
        assert_ok(infl_objective_without(&without, part, &first, 1));
        infl_objective *full_without;
        assert_ok(infl_objective_without(&full_without, full, &first, 1));
        compare(q, full_without, without, parameters, n, rows, 5);
        infl_dense_options dense = INFL_DENSE_OPTIONS_INIT;
        dense.precision = INFL_F32;
        double *matrix = problem_room(q, n * n);
        assert_fails(INFL_E_UNSUPPORTED, infl_objective_dense(part, INFL_HESSIAN, &dense, matrix, NULL));
        infl_objective_destroy(full_without);
        infl_objective_destroy(without);
        infl_objective_destroy(part);
        infl_objective_destroy(full);
    }
    problem_destroy(q);
}
END_TEST

/* More numbers than are held at once: an array of 32 MiB has 6 whole vectors of this network. */
START_TEST(blocks_change_nothing) {
    enum { INPUTS = 600, UNITS = 1000, ROWS = 30, VECTORS = 15 };
    double *features = calloc(ROWS * INPUTS, sizeof *features);
    int32_t labels[ROWS];
    uint64_t seed = 3;
    ck_assert(features != NULL);
    for (size_t i = 0; i < ROWS * INPUTS; i++)
        features[i] = linear_normal(&seed);
    for (size_t i = 0; i < ROWS; i++)
        labels[i] = (int32_t)(i % 3);
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = ROWS;
    spec.n_features = INPUTS;
    spec.features = features;
    spec.labels = labels;
    infl_dataset *dataset;
    infl_model *model;
    infl_objective *full, *part;
    const size_t units[2] = {UNITS, 3};
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(features);
    assert_ok(infl_model_create_mlp(&model, INFL_F32, INPUTS, units, 2, INFL_TANH, INFL_INIT_LECUN, 1));
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    assert_ok(infl_objective_create(&full, model, &loss, dataset, NULL));
    size_t p = infl_model_parameters(model), parameters[5] = {7, p / 2, p - 3004, p - 2, p - 1};
    ck_assert_uint_lt(((size_t)32 << 20) / sizeof(double) / p, VECTORS);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.parameters = parameters;
    options.n_parameters = 5;
    assert_ok(infl_objective_create(&part, model, &loss, dataset, &options));
    double gradients[ROWS * 5], norms[ROWS], vectors[VECTORS * 5], products[ROWS * VECTORS], images[VECTORS * 5],
        weights[VECTORS * ROWS], sums[VECTORS * 5];
    double *whole = malloc(p * sizeof *whole), *image = malloc(p * sizeof *image);
    ck_assert(whole != NULL && image != NULL);
    for (size_t i = 0; i < VECTORS * 5; i++)
        vectors[i] = linear_normal(&seed);
    for (size_t i = 0; i < VECTORS * ROWS; i++)
        weights[i] = linear_normal(&seed);
    assert_ok(infl_objective_row_gradients(part, NULL, 0, gradients));
    assert_ok(infl_objective_row_norms(part, NULL, 0, norms));
    assert_ok(infl_objective_row_products(part, NULL, 0, vectors, VECTORS, products));
    assert_ok(infl_objective_product(part, INFL_HESSIAN, vectors, VECTORS, images));
    assert_ok(infl_objective_weighted_gradients(part, NULL, 0, weights, VECTORS, sums));
    for (size_t i = 0; i < ROWS; i++) {
        double gathered[5], norm;
        assert_ok(infl_objective_row_gradients(full, &i, 1, image));
        gather(image, 1, p, parameters, 5, gathered);
        assert_same_bits(gradients + 5 * i, gathered, 5, "row %zu", i);
        norm = sqrt(linear_dot(gathered, gathered, 5));
        assert_close(&norms[i], &norm, 1, 1e-15, "row %zu", i);
    }
    for (size_t j = 0; j < VECTORS; j++) {
        double gathered[5], along[ROWS], column[ROWS];
        scatter(vectors + 5 * j, 1, p, parameters, 5, whole);
        assert_ok(infl_objective_product(full, INFL_HESSIAN, whole, 1, image));
        gather(image, 1, p, parameters, 5, gathered);
        assert_same_bits(images + 5 * j, gathered, 5, "product %zu", j);
        assert_ok(infl_objective_row_products(full, NULL, 0, whole, 1, along));
        for (size_t i = 0; i < ROWS; i++)
            column[i] = products[i * VECTORS + j];
        assert_close(column, along, ROWS, 1e-5, "row products %zu", j);
        assert_ok(infl_objective_weighted_gradients(full, NULL, 0, weights + j * ROWS, 1, image));
        gather(image, 1, p, parameters, 5, gathered);
        assert_same_bits(sums + 5 * j, gathered, 5, "weighted %zu", j);
    }
    free(whole);
    free(image);
    infl_objective_destroy(part);
    infl_objective_destroy(full);
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
}
END_TEST

/* A risk ½‖θ‖² of very many parameters, of which few are asked for: how many whole vectors it gets at once. */
enum { WIDE = 600000, FEW = 40 };

static int wide_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    (void)context, (void)rows;
    for (size_t i = 0; i < n; i++)
        losses[i] = 0.5 * linear_dot(theta, theta, WIDE);
    return 0;
}

static int wide_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    (void)context, (void)rows;
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * WIDE, theta, WIDE * sizeof *out);
    return 0;
}

static int wide_products(void *context, const double *theta, const size_t *rows, size_t n, const double *vectors,
                         size_t k, double *out) {
    size_t *most = context;
    (void)theta, (void)rows, (void)n;
    *most = k > *most ? k : *most;
    memcpy(out, vectors, k * WIDE * sizeof *out);
    return 0;
}

START_TEST(whole_vectors_are_bounded) {
    size_t most = 0, parameters[FEW];
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *objective;
    double *theta = calloc(WIDE, sizeof *theta), *matrix = calloc(FEW * FEW, sizeof *matrix);
    double *vectors = calloc(FEW * FEW, sizeof *vectors);
    ck_assert(theta != NULL && matrix != NULL && vectors != NULL);
    for (size_t i = 0; i < FEW; i++)
        parameters[i] = 1 + i * (WIDE / FEW);
    custom.n_rows = 1;
    custom.n_parameters = WIDE;
    custom.context = &most;
    custom.losses = wide_losses;
    custom.row_gradients = wide_gradients;
    custom.hessian_products = wide_products;
    options.parameters = parameters;
    options.n_parameters = FEW;
    options.threads = 1;
    assert_ok(infl_objective_create_custom(&objective, &custom, theta, &options));
    assert_ok(infl_objective_dense(objective, INFL_HESSIAN, NULL, matrix, NULL));
    for (size_t i = 0; i < FEW; i++)
        for (size_t j = 0; j < FEW; j++)
            ck_assert_double_eq(matrix[i * FEW + j], i == j ? 1.0 : 0.0);
    /* arguments and results together, as the header says */
    ck_assert_uint_gt(most, 1);
    ck_assert_uint_le(most * WIDE * 2 * sizeof(double), (size_t)64 << 20);
    most = 0;
    assert_ok(infl_objective_product(objective, INFL_HESSIAN, matrix, FEW, vectors));
    assert_same_bits(vectors, matrix, FEW * FEW, "products");
    ck_assert_uint_le(most * WIDE * 2 * sizeof(double), (size_t)64 << 20);
    free(theta);
    free(matrix);
    free(vectors);
    infl_objective_destroy(objective);
}
END_TEST

/* Whatever moves θ leaves the others' bits, and moves its own as the full objective's gradient says. */
START_TEST(training_leaves_the_others) {
    problem *q = graph_problem((size_t)_i / 2, (infl_precision)(_i % 2), 60);
    size_t *parameters = (size_t *)problem_room(q, q->p), n = choose(q->p, 0, parameters);
    size_t s = infl_model_state(q->model);
    double *before = problem_room(q, q->p), *after = problem_room(q, q->p), *gradient = problem_room(q, q->p);
    double *state = problem_room(q, s), *state_after = problem_room(q, s);
    infl_objective *part = restricted_objective(q, parameters, n, 2);
    infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
    infl_train_result result;
    assert_ok(infl_model_get_parameters(q->model, before));
    assert_ok(infl_model_get_state(q->model, state));
    if (s == 0) { /* else a step is on the batch's own statistics */
        sgd.optimiser = INFL_SGD;
        sgd.steps = 1;
        sgd.learning_rate = 0.25;
        assert_ok(infl_objective_evaluate(q->objective, NULL, gradient));
        assert_ok(infl_train(part, &sgd, NULL));
        assert_ok(infl_model_get_parameters(q->model, after));
        for (size_t i = 0; i < n; i++) {
            double expected = before[parameters[i]] - 0.25 * gradient[parameters[i]];
            if (q->options.precision == INFL_F32)
                expected = (float)expected;
            ck_assert_double_eq(after[parameters[i]], expected);
        }
    }
    sgd = (infl_train_options)INFL_TRAIN_OPTIONS_INIT;
    sgd.steps = 40;
    sgd.batch = 32;
    infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
    o.gradient_tolerance = 1e-8;
    for (int polish = 0; polish < 2; polish++) {
        if (polish)
            assert_ok(infl_polish(part, &o, &result));
        else
            assert_ok(infl_train(part, &sgd, &result));
        assert_ok(infl_model_get_parameters(q->model, after));
        size_t moved = 0;
        for (size_t i = 0; i < n; i++)
            moved += after[parameters[i]] != before[parameters[i]];
        ck_assert_msg(4 * moved >= 3 * n, "%zu of %zu moved", moved, n);
        assert_same_bits(after, before, parameters[0], "the others, polish %d", polish); /* they come first */
    }
    /* polishing has come to rest: of the full gradient its own part is gone, and only that */
    if (q->options.precision == INFL_F64) {
        double *own = problem_room(q, n);
        ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
        assert_ok(infl_objective_evaluate(q->objective, NULL, gradient));
        gather(gradient, 1, q->p, parameters, n, own);
        ck_assert_double_le(sqrt(linear_dot(own, own, n)), 1.0001e-8);
        ck_assert_double_gt(sqrt(linear_dot(gradient, gradient, q->p)), 1e-4);
    }
    assert_ok(infl_model_get_state(q->model, state_after));
    ck_assert(s == 0 || memcmp(state, state_after, s * sizeof *state) != 0); /* it follows training */
    infl_objective_destroy(part);
    problem_destroy(q);
}
END_TEST

enum { INPUTS = 4, HIDDEN = 3, D = HIDDEN + 1, LARGEST = 120 };

/* A network whose last layer is logistic regression on what the hidden layer gives, and that regression by hand. */
typedef struct last_layer {
    infl_model *model;
    infl_dataset *dataset;
    infl_objective *objective;
    linear_problem linear;
} last_layer;

static last_layer last_layer_create(size_t copies) {
    linear_problem raw = linear_create(1, LARGEST / 4, INPUTS + 1, 0.0, 31);
    last_layer to;
    infl_dataset *once = linear_dataset(&raw);
    size_t rows[LARGEST], n = copies * raw.n;
    for (size_t i = 0; i < n; i++)
        rows[i] = i % raw.n;
    assert_ok(infl_dataset_subset(&to.dataset, once, rows, n));
    infl_dataset_destroy(once);
    const size_t units[2] = {HIDDEN, 1};
    assert_ok(infl_model_create_mlp(&to.model, INFL_F64, INPUTS, units, 2, INFL_TANH, INFL_INIT_GLOROT, 4));
    infl_tensor w, b, last_w, last_b;
    assert_ok(infl_model_tensor(to.model, 0, &w));
    assert_ok(infl_model_tensor(to.model, 1, &b));
    assert_ok(infl_model_tensor(to.model, 2, &last_w));
    assert_ok(infl_model_tensor(to.model, 3, &last_b));
    ck_assert_uint_eq(last_w.offset + last_w.length, last_b.offset);
    double theta[INPUTS * HIDDEN + HIDDEN + D];
    assert_ok(infl_model_get_parameters(to.model, theta));
    to.linear = linear_create(1, n, D, 0.05, 1);
    for (size_t i = 0; i < n; i++) {
        const double *x = raw.x + rows[i] * raw.d;
        for (size_t j = 0; j < HIDDEN; j++)
            to.linear.x[i * D + j] = tanh(linear_dot(theta + w.offset + j * INPUTS, x, INPUTS) + theta[b.offset + j]);
        to.linear.x[i * D + HIDDEN] = 1.0;
        to.linear.y[i] = raw.y[rows[i]];
    }
    linear_destroy(&raw);
    size_t parameters[D];
    for (size_t j = 0; j < D; j++)
        parameters[j] = last_w.offset + j;
    infl_loss loss = INFL_LOSS_INIT(INFL_LOGISTIC);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = to.linear.decay;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    options.parameters = parameters;
    options.n_parameters = D;
    assert_ok(infl_objective_create(&to.objective, to.model, &loss, to.dataset, &options));
    return to;
}

static void last_layer_destroy(last_layer *to) {
    infl_objective_destroy(to->objective);
    infl_model_destroy(to->model);
    infl_dataset_destroy(to->dataset);
    linear_destroy(&to->linear);
}

/*
 * Row 7 of n goes: the true Δθ is that of the regression, found by hand; retraining gives it within 2·tolerance/λmin;
 * the prediction is one Newton step of the hand's, and wrong by a part of second order, which this returns: ‖error‖.
 */
static double removal_error(size_t copies) {
    last_layer of = last_layer_create(copies);
    size_t row = 7;
    double optimum[D], without[D], found[D], hessian[D * D], gradient[D], step[D], predicted[D], change[D], error = 0.0;
    linear_minimise(&of.linear, LINEAR_NO_ROW, optimum);
    linear_minimise(&of.linear, row, without);
    infl_polish_options o = INFL_POLISH_OPTIONS_INIT;
    o.gradient_tolerance = 1e-13;
    assert_ok(infl_polish(of.objective, &o, NULL));
    assert_ok(infl_objective_get_parameters(of.objective, found));
    assert_close(found, optimum, D, 1e-10, "the optimum"); /* λmin > 0.01 */
    linear_risk(&of.linear, optimum, LINEAR_NO_ROW, gradient, hessian);
    ck_assert_double_gt(hessian[0], 0.01);

    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    assert_ok(infl_curvature_create(&curvature, of.objective, INFL_HESSIAN, 0.0));
    ck_assert_uint_eq(infl_curvature_size(curvature), D);
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_ok(infl_influence_create(&influence, of.objective, inverse, NULL));
    assert_ok(infl_influence_removal_parameters(influence, &row, 1, predicted, NULL));
    /* (∇ℓ + μDθ)/(n−1) = −∇R without the row, by hand */
    linear_risk(&of.linear, optimum, row, step, NULL);
    linear_solve(hessian, step, D);
    for (size_t j = 0; j < D; j++)
        step[j] = -step[j];
    assert_close(predicted, step, D, 1e-8, "the prediction"); /* ∇R is a difference of sums of order 1, Δθ of 1/n */

    /* and in the losses of the same objective as a test set: to first order the products with Δθ */
    double losses[LARGEST], retrained[LARGEST], predicted_losses[LARGEST];
    assert_ok(infl_influence_removal_losses(influence, of.objective, NULL, 0, &row, 1, predicted_losses, NULL));
    infl_retrain_options r = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    infl_train_result result;
    o.preconditioner = inverse;
    r.polish = &o;
    out.parameter_changes = change;
    out.loss_changes = retrained;
    out.results = &result;
    assert_ok(infl_retrain_without(of.objective, &row, 1, of.objective, NULL, 0, &r, &out));
    for (size_t j = 0; j < D; j++) {
        step[j] = without[j] - optimum[j];
        error = hypot(error, predicted[j] - step[j]);
    }
    assert_close(change, step, D, 1e-8, "the retraining");
    for (size_t i = 0; i < of.linear.n; i++)
        losses[i] = linear_loss(&of.linear, without, i) - linear_loss(&of.linear, optimum, i);
    assert_close(retrained, losses, of.linear.n, 1e-8, "the losses");
    for (size_t i = 0; i < of.linear.n; i++)
        losses[i] = linear_slope(&of.linear, optimum, i) * linear_dot(of.linear.x + i * D, predicted, D);
    assert_close(predicted_losses, losses, of.linear.n, 1e-8, "the predicted losses");
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    last_layer_destroy(&of);
    return error / sqrt(linear_dot(step, step, D));
}

/* Every row twice, or four times: one is a half or a quarter of what it was, and the part that is wrong likewise. */
START_TEST(influence_of_the_last_layer) {
    double once = removal_error(1), twice = removal_error(2), four_times = removal_error(4);
    ck_assert_msg(once < 0.5 && once > 1e-4, "%g", once);
    ck_assert_msg(fabs(once / twice - 2.0) < 0.5, "%g, then %g", once, twice);
    ck_assert_msg(fabs(twice / four_times - 2.0) < 0.25, "%g, then %g", twice, four_times);
}
END_TEST

/* Scores of some parameters say of which loss they are, as those of all do. */
START_TEST(scores_are_described) {
    for (int hinge = 0; hinge < 3; hinge++) { /* 2: of the caller's own */
        problem_options options = PROBLEM_OPTIONS_INIT;
        options.loss = hinge == 1 ? INFL_SMOOTHED_HINGE : INFL_SOFTMAX_CROSS_ENTROPY;
        options.decay = 0.03;
        problem *q = problem_create(&options);
        size_t *parameters = (size_t *)problem_room(q, q->p), n = choose(q->p, 1, parameters);
        infl_objective *part =
            hinge == 2 ? custom_objective(q, parameters, n) : restricted_objective(q, parameters, n, 1);
        infl_curvature *curvature;
        infl_inverse *inverse;
        infl_influence *influence;
        infl_scores *scores;
        infl_scores_info info;
        assert_ok(infl_curvature_create(&curvature, part, INFL_GAUSS_NEWTON, 0.1));
        assert_ok(infl_inverse_create(&inverse, curvature, NULL));
        assert_ok(infl_influence_create(&influence, part, inverse, NULL));
        assert_ok(infl_scores_create(&scores, influence, INFL_QUANTITY_SCORES, part, NULL, 0, NULL, 0));
        assert_ok(infl_scores_describe(scores, &info));
        int loss = hinge == 2 ? -1 : (int)options.loss;
        ck_assert(info.train_loss == loss && info.test_loss == loss);
        ck_assert(hinge == 1
                      ? info.train_temperature == q->loss.temperature && info.test_temperature == q->loss.temperature
                      : isnan(info.train_temperature) && isnan(info.test_temperature));
        ck_assert(info.p == n && info.n == q->n && info.decay == 0.03);
        infl_scores_destroy(scores);
        infl_influence_destroy(influence);
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
        infl_objective_destroy(part);
        problem_destroy(q);
    }
}
END_TEST

/* Retraining begins at the state that it is told, and leaves the model's own: as that of a model which has that one. */
START_TEST(retraining_has_a_state) {
    problem *q = graph_problem(2, INFL_F64, 30);
    size_t *parameters = (size_t *)problem_room(q, q->p), n = choose(q->p, 0, parameters), rows[2] = {4, 17};
    double *state = problem_room(q, q->n_state), *other = problem_room(q, q->n_state),
           *found = problem_room(q, q->n_state);
    double *changes = problem_room(q, 3 * 2 * n);
    infl_model *clone, *model = q->model;
    assert_ok(infl_model_get_state(model, state));
    for (size_t i = 0; i < q->n_state; i++)
        other[i] = state[i] * 1.5 + 0.1;
    assert_ok(infl_model_clone(&clone, model));
    assert_ok(infl_model_set_state(clone, other));
    infl_objective *part = restricted_objective(q, parameters, n, 1), *of_clone;
    q->model = clone;
    of_clone = restricted_objective(q, parameters, n, 1);
    q->model = model;
    for (int i = 0; i < 3; i++) { /* at the other state, with the model's own, of a model that has the other */
        infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
        infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
        infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
        polish.gradient_tolerance = 1e-8;
        options.polish = &polish;
        options.start_state = i == 0 ? other : NULL;
        options.subtract_control = 0;
        output.parameter_changes = changes + (size_t)i * 2 * n;
        assert_ok(infl_retrain_without(i == 2 ? of_clone : part, rows, 2, NULL, NULL, 0, &options, &output));
    }
    assert_same_bits(changes, changes + 4 * n, 2 * n, "at another state");
    ck_assert_mem_ne(changes, changes + 2 * n, 2 * n * sizeof *changes);
    assert_ok(infl_model_get_state(model, found));
    assert_same_bits(found, state, q->n_state, "the model's own");
    infl_objective_destroy(part);
    infl_objective_destroy(of_clone);
    infl_model_destroy(clone);
    problem_destroy(q);
}
END_TEST

/* A risk of one caller at a time stays so where its copies are retrained on several threads. */
typedef struct solitary {
    linear_problem *problem;
    atomic_int inside, overlaps;
} solitary;

static void enter(solitary *s) {
    if (atomic_fetch_add(&s->inside, 1) > 0)
        atomic_fetch_add(&s->overlaps, 1);
    nanosleep(&(struct timespec){0, 20000}, NULL); /* long enough to be met here */
}

static int solitary_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    solitary *s = context;
    enter(s);
    linear_losses(s->problem, theta, rows, n, losses);
    atomic_fetch_sub(&s->inside, 1);
    return 0;
}

static int solitary_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    solitary *s = context;
    enter(s);
    linear_row_gradients(s->problem, theta, rows, n, out);
    atomic_fetch_sub(&s->inside, 1);
    return 0;
}

static int solitary_products(void *context, const double *theta, const size_t *rows, size_t n, const double *vectors,
                             size_t k, double *out) {
    solitary *s = context;
    enter(s);
    linear_products(s->problem, theta, rows, n, vectors, k, out);
    atomic_fetch_sub(&s->inside, 1);
    return 0;
}

START_TEST(one_caller_stays_one) {
    linear_problem l = linear_create(1, 60, 6, 0.05, 3);
    solitary context = {.problem = &l};
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = l.n;
    custom.n_parameters = l.d;
    custom.context = &context;
    custom.losses = solitary_losses;
    custom.row_gradients = solitary_gradients;
    custom.hessian_products = solitary_products;
    const size_t parameters[3] = {0, 2, 5};
    double start[6] = {0}, changes[60 * 3];
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = 1;
    options.decay = 0.05;
    options.parameters = parameters;
    options.n_parameters = 3;
    infl_objective *objective;
    assert_ok(infl_objective_create_custom(&objective, &custom, start, &options));
    infl_retrain_options r = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    r.threads = 4;
    out.parameter_changes = changes;
    assert_ok(infl_retrain_without(objective, NULL, 0, NULL, NULL, 0, &r, &out));
    ck_assert_int_eq(atomic_load(&context.overlaps), 0);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

/* What is kept for one choice of parameters is of no other. */
START_TEST(identities_differ) {
    problem *q = graph_problem(0, INFL_F64, 20);
    const size_t first[2] = {0, 3}, other[2] = {0, 4}, more[3] = {0, 3, 4};
    infl_objective *objectives[] = {restricted_objective(q, NULL, 0, 1), restricted_objective(q, first, 2, 1),
                                    restricted_objective(q, other, 2, 1), restricted_objective(q, more, 3, 1),
                                    restricted_objective(q, first, 2, 2)};
    infl_identity identities[5];
    for (size_t i = 0; i < 5; i++)
        assert_ok(infl_objective_identity(objectives[i], &identities[i]));
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_msg((memcmp(identities[i].model, identities[j].model, sizeof identities[i].model) == 0) ==
                              (i == 4 && j == 1),
                          "%zu and %zu", i, j);
    for (size_t i = 0; i < 5; i++)
        infl_objective_destroy(objectives[i]);
    problem_destroy(q);
}
END_TEST

/* A test objective is of the train objective's parameters, and the parameters beside these are the same. */
START_TEST(a_test_set_has_the_same_others) {
    problem *q = graph_problem(0, INFL_F64, 20);
    size_t p = q->p, parameters[2] = {0, p - 1}, others[2] = {1, p - 1}, row = 3;
    double *theta = problem_room(q, p), *moved = problem_room(q, p), scores[20], changes[20];
    assert_ok(infl_model_get_parameters(q->model, theta));
    theta[1] = theta[0]; /* so that θ of both choices is the same */
    assert_ok(infl_model_set_parameters(q->model, theta));
    memcpy(moved, theta, p * sizeof *moved);
    moved[p - 2] += 0.5;
    infl_model *clone;
    assert_ok(infl_model_clone(&clone, q->model));
    assert_ok(infl_model_set_parameters(clone, moved));
    infl_objective *part = restricted_objective(q, parameters, 2, 1), *tests[3];
    infl_model *model = q->model;
    tests[0] = restricted_objective(q, parameters, 2, 1);
    tests[1] = restricted_objective(q, others, 2, 1);
    q->model = clone;
    tests[2] = restricted_objective(q, parameters, 2, 1);
    q->model = model;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    assert_ok(infl_curvature_create(&curvature, part, INFL_GAUSS_NEWTON, 0.1));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_ok(infl_influence_create(&influence, part, inverse, NULL));
    for (size_t i = 0; i < 3; i++) {
        infl_retrain_options r = INFL_RETRAIN_OPTIONS_INIT;
        infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
        infl_status expected = i == 0 ? INFL_OK : INFL_E_ARGUMENT, status;
        out.loss_changes = changes;
        fill_sentinel(scores, 20);
        fill_sentinel(changes, 20);
        status = infl_influence_scores(influence, tests[i], NULL, 0, &row, 1, scores, NULL);
        ck_assert_msg(status == expected, "test %zu: %s", i, infl_status_name(status));
        ck_assert(i != 1 || strstr(infl_last_error(), "parameters[0] is 1, and 0 of train") != NULL);
        ck_assert(i != 2 || strstr(infl_last_error(), "parameters that the objectives are not of") != NULL);
        status = infl_retrain_without(part, &row, 1, tests[i], NULL, 0, &r, &out);
        ck_assert_msg(status == expected, "test %zu: %s", i, infl_status_name(status));
        ck_assert((scores[0] == SENTINEL) == (i > 0) && (changes[0] == SENTINEL) == (i > 0));
        infl_objective_destroy(tests[i]);
    }
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(part);
    infl_model_destroy(clone);
    problem_destroy(q);
}
END_TEST

START_TEST(arguments) {
    problem *q = graph_problem(0, INFL_F64, 20);
    size_t p = q->p, far[2] = {1, p}, falling[3] = {2, 5, 4}, twice[3] = {0, 6, 6}, fine[2] = {0, p - 1};
    char beyond[64];
    snprintf(beyond, sizeof beyond, "parameters[1] is %zu; there are parameters 0 to %zu", p, p - 1);
    const struct {
        const size_t *parameters;
        size_t n;
        const char *words; /* NULL: nothing is wrong */
    } cases[] = {
        {far, 2, beyond},
        {falling, 3, "parameters[2] is 4 after 5"},
        {twice, 3, "parameters[2] is 6 after 6"},
        {NULL, 3, "n_parameters is 3"},
        {fine, 0, "n_parameters is 0"},
        {fine, 2, NULL},
        {NULL, 0, NULL},
    };
    infl_custom_objective custom = reference_custom(q, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
        options.parameters = cases[i].parameters;
        options.n_parameters = cases[i].n;
        for (int own = 0; own < 2; own++) {
            infl_objective *objective = NULL;
            infl_status status = own ? infl_objective_create_custom(&objective, &custom, q->theta, &options)
                                     : infl_objective_create(&objective, q->model, &q->loss, q->dataset, &options);
            ck_assert_msg(status == (cases[i].words == NULL ? INFL_OK : INFL_E_ARGUMENT), "case %zu", i);
            ck_assert((objective == NULL) == (cases[i].words != NULL));
            if (cases[i].words != NULL) {
                const char *name = own ? "infl_objective_create_custom:" : "infl_objective_create:";
                ck_assert_msg(strncmp(infl_last_error(), name, strlen(name)) == 0, "%s", infl_last_error());
                ck_assert_msg(strstr(infl_last_error(), cases[i].words) != NULL, "%s", infl_last_error());
            }
            infl_objective_destroy(objective);
        }
    }
    /* what a risk of the caller's own cannot do, and vectors of another length elsewhere */
    custom.hessian_products = NULL;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.parameters = fine;
    options.n_parameters = 2;
    infl_objective *part;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    double theta[2] = {0.5, NAN}, bytes[2] = {SENTINEL, SENTINEL};
    assert_ok(infl_objective_create_custom(&part, &custom, q->theta, &options));
    assert_fails(INFL_E_UNSUPPORTED, infl_curvature_create(&curvature, part, INFL_HESSIAN, 0.0));
    assert_fails(INFL_E_UNSUPPORTED, infl_objective_product(part, INFL_HESSIAN, q->theta, 1, bytes));
    assert_fails(INFL_E_NONFINITE, infl_objective_set_parameters(part, theta));
    ck_assert_double_eq(bytes[0], SENTINEL);
    infl_objective_destroy(part);
    part = restricted_objective(q, fine, 2, 1);
    assert_ok(infl_curvature_create(&curvature, part, INFL_GAUSS_NEWTON, 0.1));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_create(&influence, q->objective, inverse, NULL));
    assert_ok(infl_influence_create(&influence, part, inverse, NULL));
    double *scores = problem_room(q, q->n * q->n);
    assert_fails(INFL_E_ARGUMENT, infl_influence_scores(influence, q->objective, NULL, 0, NULL, 0, scores, NULL));
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    /* a parameter that is not of θ has moved: the inverse is stale */
    double *moved = problem_room(q, p), solution[2];
    assert_ok(infl_curvature_create(&curvature, part, INFL_GAUSS_NEWTON, 0.1));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_ok(infl_inverse_solve(inverse, bytes, 1, solution, NULL));
    memcpy(moved, q->theta, p * sizeof *moved);
    moved[p - 2] += 1.0;
    assert_ok(infl_model_set_parameters(q->model, moved));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_solve(inverse, bytes, 1, solution, NULL));
    ck_assert_msg(strstr(infl_last_error(), "a parameter beside theta has changed") != NULL, "%s", infl_last_error());
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    /* the numbers of whole vectors are counted with the workspace of the model's own */
    size_t of_part, of_full;
    assert_ok(infl_objective_memory(part, 3, &of_part));
    infl_objective *full = restricted_objective(q, NULL, 0, 1);
    assert_ok(infl_objective_memory(full, 3, &of_full));
    ck_assert_uint_eq(of_part, of_full + 2 * 3 * p * sizeof(double));
    infl_objective_destroy(full);
    infl_objective_destroy(part);
    problem_destroy(q);
}
END_TEST

Suite *restricted_suite(void) {
    Suite *suite = suite_create("restricted");
    add_case(suite, "restricted/quantities", every_quantity_is_the_gathered_one, 6);
    add_case(suite, "restricted/custom", so_is_that_of_a_risk_of_the_callers_own, 1);
    add_case(suite, "restricted/blocks", blocks_change_nothing, 1);
    add_case(suite, "restricted/memory", whole_vectors_are_bounded, 1);
    add_case(suite, "restricted/training", training_leaves_the_others, 6);
    add_case(suite, "restricted/influence", influence_of_the_last_layer, 1);
    add_case(suite, "restricted/scores", scores_are_described, 1);
    add_case(suite, "restricted/state", retraining_has_a_state, 1);
    add_case(suite, "restricted/one-caller", one_caller_stays_one, 1);
    add_case(suite, "restricted/identity", identities_differ, 1);
    add_case(suite, "restricted/others", a_test_set_has_the_same_others, 1);
    add_case(suite, "restricted/arguments", arguments, 1);
    return suite;
}

/* Dropout: its masks, seen in the gradients of training's steps, and what has no part in them. Flattening. */
#include <math.h>
#include <stdlib.h>

#include "reference.h"
#include "suites.h"

/*
 * W·drop(x) from W = 0 with x = 1 and the targets the unit vectors, ½‖f − y‖²: the first step of gradient descent with
 * rate 1 puts n rows' masks over n (1 − rate) into the rows of W.
 */
typedef struct masks {
    size_t n, d;
    infl_dataset *dataset;
    infl_model *model;
    infl_objective *objective;
    double *theta; /* n×d */
} masks;

static masks *make_masks(size_t n, size_t d, double rate, int twice, infl_precision precision, int threads) {
    masks *m = calloc(1, sizeof *m);
    infl_builder *builder = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SQUARED_ERROR);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    double *x = malloc(n * d * sizeof *x), *y = calloc(n * n, sizeof *y);
    m->n = n;
    m->d = d;
    m->theta = calloc(n * d, sizeof *m->theta);
    for (size_t i = 0; i < n * d; i++)
        x[i] = 1.0;
    for (size_t i = 0; i < n; i++)
        y[i * n + i] = 1.0;
    spec.n_rows = spec.n_targets = n;
    spec.n_features = d;
    spec.features = x;
    spec.targets = y;
    assert_ok(infl_dataset_create(&m->dataset, &spec));
    assert_ok(infl_builder_create(&builder, d));
    infl_node node = infl_builder_dropout(builder, INFL_NODE_INPUT, rate);
    if (twice)
        node = infl_builder_dropout(builder, node, rate);
    node = infl_builder_dense(builder, node, n, 0, INFL_INIT_HE);
    assert_ok(infl_model_create(&m->model, builder, node, precision, 1));
    infl_builder_destroy(builder);
    options.threads = threads;
    assert_ok(infl_objective_create(&m->objective, m->model, &loss, m->dataset, &options));
    free(x);
    free(y);
    return m;
}

static void destroy_masks(masks *m) {
    infl_objective_destroy(m->objective);
    infl_model_destroy(m->model);
    infl_dataset_destroy(m->dataset);
    free(m->theta);
    free(m);
}

static infl_train_options descent(size_t steps, uint64_t seed) {
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.optimiser = INFL_SGD;
    options.learning_rate = 1.0;
    options.steps = steps;
    options.seed = seed;
    return options;
}

/* θ after so many steps from 0 */
static void run(masks *m, infl_objective *objective, size_t steps, uint64_t seed) {
    infl_train_options options = descent(steps, seed);
    double *zeros = calloc(m->n * m->d, sizeof *zeros);
    assert_ok(infl_objective_set_parameters(objective, zeros));
    assert_ok(infl_train(objective, &options, NULL));
    assert_ok(infl_objective_get_parameters(objective, m->theta));
    free(zeros);
}

static size_t count_kept(const double *theta, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        kept += theta[i] != 0.0;
    return kept;
}

/* How many of two masks agree. */
static size_t count_same(const double *a, const double *b, size_t n) {
    size_t same = 0;
    for (size_t i = 0; i < n; i++)
        same += (a[i] != 0.0) == (b[i] != 0.0);
    return same;
}

static void assert_share(size_t found, size_t n, double share, const char *what) {
    double deviation = sqrt((double)n * share * (1.0 - share)); /* binomial */
    ck_assert_msg(fabs((double)found - (double)n * share) <= 5.0 * deviation + 1e-9,
                  "%s: %zu of %zu, expected %.0f ± %.0f", what, found, n, (double)n * share, deviation);
}

START_TEST(test_rate) {
    static const double rates[] = {0.1, 0.5, 0.9};
    enum { N = 40, D = 500 };
    double rate = rates[_i];
    masks *m = make_masks(N, D, rate, 0, INFL_F64, 1);
    run(m, m->objective, 1, 3);
    assert_share(count_kept(m->theta, N * D), N * D, 1.0 - rate, "kept");
    for (size_t i = 0; i < N * D; i++)
        ck_assert_msg(m->theta[i] == 0.0 || fabs(m->theta[i] * N * (1.0 - rate) - 1.0) <= 1e-15, "kept as %.17g",
                      m->theta[i] * N);
    destroy_masks(m);
    /* another layer has other masks */
    m = make_masks(N, D, rate, 1, INFL_F64, 1);
    run(m, m->objective, 1, 3);
    assert_share(count_kept(m->theta, N * D), N * D, (1.0 - rate) * (1.0 - rate), "kept by two layers");
    destroy_masks(m);
}
END_TEST

/* Rows, places, seeds and steps have masks of their own: half of them agree. */
START_TEST(test_independence) {
    enum { N = 40, D = 500 };
    masks *m = make_masks(N, D, 0.5, 0, INFL_F64, 1);
    double *first = malloc(N * D * sizeof *first), *moves = malloc(N * D * sizeof *moves);
    run(m, m->objective, 1, 3);
    memcpy(first, m->theta, N * D * sizeof *first);
    assert_share(count_same(first, first + D, (N - 1) * D), (N - 1) * D, 0.5, "rows");
    assert_share(count_same(first, first + 1, N * D - 1), N * D - 1, 0.5, "places");
    run(m, m->objective, 1, 4);
    assert_share(count_same(first, m->theta, N * D), N * D, 0.5, "seeds");
    run(m, m->objective, 1, 3);
    assert_same_bits(m->theta, first, N * D, "the same seed");
    /* the second step moves W by (y_i − W drop(x_i)) drop(x_i)ᵀ/n: the only row of a batch shows its mask in all of them */
    size_t all[N];
    for (size_t i = 0; i < N; i++)
        all[i] = i;
    infl_objective *one = NULL;
    assert_ok(infl_objective_without(&one, m->objective, all + 1, N - 1));
    run(m, one, 1, 3);
    memcpy(first, m->theta, D * sizeof *first);
    run(m, one, 2, 3);
    for (size_t j = 0; j < D; j++)
        moves[j] = m->theta[j] - first[j];
    ck_assert_uint_gt(count_kept(moves, D), 0);
    assert_share(count_same(first, moves, D), D, 0.5, "steps");
    infl_objective_destroy(one);
    free(first);
    free(moves);
    destroy_masks(m);
}
END_TEST

/* A row that is removed takes no part in the others' masks. */
START_TEST(test_removal) {
    enum { N = 40, D = 50 };
    masks *m = make_masks(N, D, 0.5, 0, INFL_F64, 1);
    double *whole = malloc(N * D * sizeof *whole);
    const size_t removed[] = {0, 17};
    infl_objective *without = NULL;
    run(m, m->objective, 1, 3);
    memcpy(whole, m->theta, N * D * sizeof *whole);
    assert_ok(infl_objective_without(&without, m->objective, removed, 2));
    run(m, without, 1, 3);
    for (size_t i = 0; i < N; i++) {
        size_t kept = count_kept(m->theta + i * D, D);
        if (i == 0 || i == 17)
            ck_assert_uint_eq(kept, 0);
        else
            ck_assert_msg(count_same(m->theta + i * D, whole + i * D, D) == D, "row %zu has another mask", i);
    }
    infl_objective_destroy(without);

    /* in batches as well: an epoch moves each of the other rows' part of W, and no other */
    size_t first[10];
    for (size_t i = 0; i < 10; i++)
        first[i] = i;
    assert_ok(infl_objective_without(&without, m->objective, first, 10));
    infl_train_options options = descent(6, 3);
    double *zeros = calloc(N * D, sizeof *zeros);
    options.batch = 5;
    assert_ok(infl_objective_set_parameters(without, zeros));
    assert_ok(infl_train(without, &options, NULL));
    assert_ok(infl_objective_get_parameters(without, m->theta));
    for (size_t i = 0; i < N; i++)
        ck_assert_int_eq(count_kept(m->theta + i * D, D) > 0, i >= 10);
    infl_objective_destroy(without);
    free(zeros);
    free(whole);
    destroy_masks(m);
}
END_TEST

START_TEST(test_threads) {
    enum { N = 150, D = 20 };
    double *first = malloc(N * D * sizeof *first);
    for (int threads = 1; threads <= 3; threads++) {
        masks *m = make_masks(N, D, 0.3, 1, _i == 0 ? INFL_F32 : INFL_F64, threads);
        run(m, m->objective, 3, 5);
        if (threads == 1)
            memcpy(first, m->theta, N * D * sizeof *first);
        assert_same_bits(m->theta, first, N * D, "%d threads", threads);
        destroy_masks(m);
    }
    free(first);
}
END_TEST

/* tanh(dense) → drop → dense, and the sum of that and of what was dropped from: one row's gradients must agree on a mask. */
START_TEST(test_backward) {
    enum { D = 3, H = 30, C = 2, P = H * (D + 1) + C * (H + 1) };
    const double rate = 0.4, x[D] = {0.3, -1.0, 2.0}, y[C] = {3.0, -2.0};
    for (int residual = 0; residual < 2; residual++) {
        infl_builder *builder = NULL;
        infl_model *model = NULL;
        infl_dataset *dataset = NULL;
        infl_objective *objective = NULL;
        infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
        infl_loss loss = INFL_LOSS_INIT(INFL_SQUARED_ERROR);
        infl_train_options options = descent(1, 8);
        double theta[P], gradient[P];
        spec.n_rows = 1;
        spec.n_features = D;
        spec.features = x;
        spec.targets = y;
        spec.n_targets = C;
        assert_ok(infl_dataset_create(&dataset, &spec));
        assert_ok(infl_builder_create(&builder, D));
        infl_node h = infl_builder_activation(builder, infl_builder_dense(builder, INFL_NODE_INPUT, H, 1, INFL_INIT_HE),
                                              INFL_TANH);
        infl_node dropped = infl_builder_dropout(builder, h, rate);
        if (residual)
            dropped = infl_builder_add(builder, dropped, h);
        infl_node node = infl_builder_dense(builder, dropped, C, 1, INFL_INIT_HE);
        assert_ok(infl_model_create(&model, builder, node, INFL_F64, 2));
        assert_ok(infl_objective_create(&objective, model, &loss, dataset, NULL));
        assert_ok(infl_model_get_parameters(model, theta));
        assert_ok(infl_train(objective, &options, NULL));
        assert_ok(infl_model_get_parameters(model, gradient));
        for (size_t j = 0; j < P; j++)
            gradient[j] = theta[j] - gradient[j];
        const double *second = theta + H * (D + 1), *second_gradient = gradient + H * (D + 1);
        const double *delta = second_gradient + C * H; /* f − y: the bias's gradient */
        size_t kept = 0;
        for (size_t j = 0; j < H; j++) {
            double z = theta[H * D + j], back = 0.0;
            for (size_t i = 0; i < D; i++)
                z += theta[j * D + i] * x[i];
            double factor = second_gradient[j] / (delta[0] * tanh(z)) - residual;
            for (size_t c = 0; c < C; c++)
                back += second[c * H + j] * delta[c];
            back *= (factor + residual) * (1.0 - tanh(z) * tanh(z));
            kept += factor > 0.5;
            double wanted = factor > 0.5 ? 1.0 / (1.0 - rate) : 0.0;
            ck_assert_msg(fabs(factor - wanted) <= 1e-11, "a factor of %.17g", factor);
            ck_assert_msg(fabs(gradient[H * D + j] - back) <= 1e-11 * (1.0 + fabs(back)), "unit %zu: %.17g, not %.17g",
                          j, gradient[H * D + j], back);
        }
        assert_share(kept, H, 1.0 - rate, "kept");
        infl_objective_destroy(objective);
        infl_dataset_destroy(dataset);
        infl_model_destroy(model);
        infl_builder_destroy(builder);
    }
}
END_TEST

/* Everywhere but in training, and at rate 0 there as well, dropout is not there. Batches are one chunk, so that sums of
 * the two kinds of passes are the same to the last bits. */
START_TEST(test_identity) {
    enum { N = 30, D = 6, C = 3 };
    infl_builder *builder = NULL;
    infl_model *models[3];
    infl_objective *objectives[3];
    infl_dataset *dataset = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    double x[N * D], theta[3][64], outputs[3][N * C], products[3][64], v[64];
    int32_t labels[N];
    uint64_t random = 4;
    for (size_t i = 0; i < N * D; i++)
        x[i] = random_normal(&random);
    for (size_t i = 0; i < 64; i++)
        v[i] = random_normal(&random);
    for (size_t i = 0; i < N; i++)
        labels[i] = (int32_t)(i % C);
    spec.n_rows = N;
    spec.n_features = D;
    spec.features = x;
    spec.labels = labels;
    assert_ok(infl_dataset_create(&dataset, &spec));
    for (int i = 0; i < 3; i++) { /* none, one that drops, one of rate 0 */
        assert_ok(infl_builder_create(&builder, D));
        infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, 5, 1, INFL_INIT_HE);
        node = infl_builder_activation(builder, node, INFL_TANH);
        if (i > 0)
            node = infl_builder_dropout(builder, node, i == 1 ? 0.5 : 0.0);
        node = infl_builder_dense(builder, node, C, 1, INFL_INIT_HE);
        assert_ok(infl_model_create(&models[i], builder, node, INFL_F64, 2));
        infl_builder_destroy(builder);
        assert_ok(infl_objective_create(&objectives[i], models[i], &loss, dataset, NULL));
        assert_ok(infl_model_predict(models[i], dataset, outputs[i]));
        assert_ok(infl_objective_product(objectives[i], INFL_HESSIAN, v, 1, products[i]));
        assert_same_bits(outputs[i], outputs[0], N * C, "outputs");
        assert_same_bits(products[i], products[0], infl_model_parameters(models[0]), "Hessian products");
        infl_train_options options = descent(5, 2);
        options.learning_rate = 0.1;
        assert_ok(infl_train(objectives[i], &options, NULL));
        assert_ok(infl_model_get_parameters(models[i], theta[i]));
    }
    size_t p = infl_model_parameters(models[0]);
    assert_close(theta[2], theta[0], p, 1e-14, "rate 0");
    ck_assert(relative_error(theta[1], theta[0], p) > 1e-3);
    for (int i = 0; i < 3; i++) {
        infl_objective_destroy(objectives[i]);
        infl_model_destroy(models[i]);
    }
    infl_dataset_destroy(dataset);
}
END_TEST

START_TEST(test_builder) {
    static const double wrong[] = {-0.1, 1.0, 1.5, NAN, INFINITY};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        infl_builder *builder = NULL;
        infl_model *model = NULL;
        assert_ok(infl_builder_create(&builder, 3));
        ck_assert_int_eq(infl_builder_dropout(builder, INFL_NODE_INPUT, wrong[i]), INFL_NODE_INVALID);
        ck_assert_int_eq(infl_model_create(&model, builder, 0, INFL_F64, 1), INFL_E_ARGUMENT);
        ck_assert_int_eq(strncmp(infl_last_error(), "infl_builder_dropout: ", 22), 0);
        infl_builder_destroy(builder);
    }
    ck_assert_int_eq(infl_builder_dropout(NULL, INFL_NODE_INPUT, 0.5), INFL_NODE_INVALID);
    ck_assert_int_eq(infl_builder_flatten(NULL, INFL_NODE_INPUT), INFL_NODE_INVALID);
}
END_TEST

/* A flattened node is the node itself in the shape of a vector: inputs, inner nodes and the output, twice as well. */
START_TEST(test_flatten) {
    enum { N = 5, C = 2, PIXELS = 6, IMAGE = C * PIXELS };
    infl_builder *builder = NULL;
    infl_model *with = NULL, *without = NULL;
    infl_dataset *dataset = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    double x[N * IMAGE], outputs[2][N * IMAGE];
    int32_t labels[N] = {0};
    uint64_t random = 4;
    for (size_t i = 0; i < N * IMAGE; i++)
        x[i] = random_normal(&random);
    spec.n_rows = N;
    spec.n_features = IMAGE;
    spec.features = x;
    spec.labels = labels;
    assert_ok(infl_dataset_create(&dataset, &spec));
    infl_conv2d conv = INFL_CONV2D_INIT;
    conv.channels = C;
    for (int flat = 0; flat < 2; flat++) {
        assert_ok(infl_builder_create_image(&builder, C, 2, 3));
        infl_node image = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv), node = image;
        if (flat)
            node = infl_builder_flatten(builder, infl_builder_flatten(builder, node));
        node = infl_builder_dense(builder, node, IMAGE, 1, INFL_INIT_HE);
        if (flat) {
            /* shapes: an image and a vector are not added, two vectors are */
            infl_node input = infl_builder_flatten(builder, INFL_NODE_INPUT);
            ck_assert_int_ne(infl_builder_add(builder, node, input), INFL_NODE_INVALID);
            node = infl_builder_flatten(builder, node);
        }
        assert_ok(infl_model_create(flat ? &with : &without, builder, node, INFL_F64, 2));
        ck_assert_int_eq(infl_builder_add(builder, node, image), INFL_NODE_INVALID);
        infl_builder_destroy(builder);
        infl_model *model = flat ? with : without;
        ck_assert_uint_eq(infl_model_outputs(model), IMAGE);
        assert_ok(infl_model_predict(model, dataset, outputs[flat]));
    }
    ck_assert_uint_eq(infl_model_parameters(with), infl_model_parameters(without));
    assert_same_bits(outputs[1], outputs[0], N * IMAGE, "flattened");
    infl_model_destroy(with);
    infl_model_destroy(without);
    /* per channel: 2 of an image, 12 of a vector */
    assert_ok(infl_builder_create_image(&builder, C, 2, 3));
    infl_node node = infl_builder_batch_norm(builder, infl_builder_flatten(builder, INFL_NODE_INPUT), NULL);
    assert_ok(infl_model_create(&with, builder, node, INFL_F64, 2));
    ck_assert_uint_eq(infl_model_state(with), 2 * IMAGE);
    infl_builder_destroy(builder);
    infl_model_destroy(with);
    infl_dataset_destroy(dataset);
}
END_TEST

Suite *dropout_suite(void) {
    Suite *suite = suite_create("dropout");
    add_case(suite, "dropout/builder", test_builder, 1);
    add_case(suite, "dropout/rate", test_rate, 3);
    add_case(suite, "dropout/independence", test_independence, 1);
    add_case(suite, "dropout/removal", test_removal, 1);
    add_case(suite, "dropout/threads", test_threads, 2);
    add_case(suite, "dropout/backward", test_backward, 1);
    add_case(suite, "dropout/identity", test_identity, 1);
    add_case(suite, "dropout/flatten", test_flatten, 1);
    return suite;
}

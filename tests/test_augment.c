/*
 * Images shifted and mirrored in training: against steps on images that the test changes itself, by the same random
 * numbers; and, without knowing these, what is seen in the gradients of a linear network.
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "files.h"
#include "linear.h"
#include "random.h"
#include "reference.h"
#include "suites.h"

enum { CHANNELS = 2, HEIGHT = 5, WIDTH = 4, PIXELS = HEIGHT * WIDTH, IMAGE = CHANNELS * PIXELS, CLASSES = 3 };
enum { MAX_CROP = WIDTH - 1 };

typedef struct placement {
    size_t down, right;
    int mirrored;
} placement;

/* Padded by `crop` zeros on each side, cut out from (down, right) on, and then mirrored. */
static void place(const double *image, size_t crop, placement at, double *out) {
    double padded[HEIGHT + 2 * MAX_CROP][WIDTH + 2 * MAX_CROP];
    for (size_t c = 0; c < CHANNELS; c++) {
        memset(padded, 0, sizeof padded);
        for (size_t y = 0; y < HEIGHT; y++)
            for (size_t x = 0; x < WIDTH; x++)
                padded[y + crop][x + crop] = image[c * PIXELS + y * WIDTH + x];
        for (size_t y = 0; y < HEIGHT; y++)
            for (size_t x = 0; x < WIDTH; x++)
                out[c * PIXELS + y * WIDTH + x] = padded[y + at.down][(at.mirrored ? WIDTH - 1 - x : x) + at.right];
    }
}

/* The random numbers as docs/math.md says them. */
static placement draw_placement(uint64_t seed, uint64_t step, size_t row, size_t crop, int flip) {
    uint64_t stream = (uint64_t)INFL_STREAM_IMAGES | step << 8;
    return (placement){.down = infl_random_below(seed, stream, 3 * row, 2 * crop + 1),
                       .right = infl_random_below(seed, stream, 3 * row + 1, 2 * crop + 1),
                       .mirrored = flip && infl_random_below(seed, stream, 3 * row + 2, 2)};
}

/* n images, numbers between 1 and 2 that single precision has */
static double *draw_images(size_t n) {
    double *x = malloc(n * IMAGE * sizeof *x);
    uint64_t random = 11;
    for (size_t i = 0; i < n * IMAGE; i++)
        x[i] = (double)(float)(1.0 + random_uniform(&random));
    return x;
}

/* Labels are the same from the last row on backwards. */
static infl_dataset *store(const double *x, size_t n, infl_precision stored) {
    infl_dataset *dataset = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    float *narrow = malloc(n * IMAGE * sizeof *narrow);
    int32_t *labels = malloc(n * sizeof *labels);
    for (size_t i = 0; i < n * IMAGE; i++)
        narrow[i] = (float)x[i];
    for (size_t i = 0; i < n; i++)
        labels[i] = (int32_t)(i * (n - 1 - i) % CLASSES);
    spec.n_rows = n;
    spec.n_features = IMAGE;
    spec.features = stored == INFL_F64 ? x : NULL;
    spec.features_f32 = stored == INFL_F32 ? narrow : NULL;
    spec.labels = labels;
    spec.n_classes = CLASSES;
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(narrow);
    free(labels);
    return dataset;
}

/* The images as rows that are seen in the given steps; steps NULL: all in step `step`. */
static infl_dataset *store_seen(const double *x, size_t n, infl_precision stored, const infl_train_options *o,
                                const size_t *steps, size_t step) {
    double *seen = malloc(n * IMAGE * sizeof *seen);
    for (size_t i = 0; i < n; i++)
        place(x + i * IMAGE, o->crop, draw_placement(o->seed, steps == NULL ? step : steps[i], i, o->crop, o->flip),
              seen + i * IMAGE);
    infl_dataset *dataset = store(seen, n, stored);
    free(seen);
    return dataset;
}

enum { PLAIN, NORMALISED, DROPPED };

static infl_model *make_model(int kind, infl_precision precision) {
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_conv2d conv = INFL_CONV2D_INIT;
    conv.channels = 3;
    conv.kernel[0] = conv.kernel[1] = 3;
    conv.padding[0] = conv.padding[1] = 1;
    assert_ok(infl_builder_create_image(&builder, CHANNELS, HEIGHT, WIDTH));
    infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv);
    if (kind == NORMALISED)
        node = infl_builder_batch_norm(builder, node, NULL);
    node = infl_builder_activation(builder, node, INFL_TANH);
    if (kind == DROPPED)
        node = infl_builder_dropout(builder, node, 0.3);
    node = infl_builder_dense(builder, node, CLASSES, 1, INFL_INIT_HE);
    assert_ok(infl_model_create(&model, builder, node, precision, 5));
    infl_builder_destroy(builder);
    return model;
}

static infl_objective *make_objective(infl_model *model, const infl_dataset *dataset, int threads) {
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *objective = NULL;
    options.decay = 0.01;
    options.threads = threads;
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
    return objective;
}

static infl_train_options descent(size_t steps, size_t crop, int flip) {
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.optimiser = INFL_SGD;
    options.learning_rate = 0.1;
    options.steps = steps;
    options.seed = 7;
    options.crop = crop;
    options.flip = flip;
    return options;
}

enum { MAX_NUMBERS = 400 };

/* θ and the state behind it; how many numbers */
static size_t numbers_of(const infl_model *model, double *numbers) {
    size_t p = infl_model_parameters(model), n = p + infl_model_state(model);
    ck_assert_uint_le(n, MAX_NUMBERS);
    assert_ok(infl_model_get_parameters(model, numbers));
    if (n > p)
        assert_ok(infl_model_get_state(model, numbers + p));
    return n;
}

static const struct {
    size_t crop;
    int flip;
} choices[] = {{0, 1}, {1, 0}, {2, 1}, {MAX_CROP, 0}};
enum { N_CHOICES = sizeof choices / sizeof choices[0] };

/*
 * Gradient descent without momentum remembers θ and the state alone: each step is one on a dataset of images changed by
 * the test. Those are the same numbers in the same chunks, so the same bits. Only the first step is compared of Adam,
 * of dropout, as a call's first step has the number 0, and in single precision, which rounds θ between calls alone.
 */
START_TEST(test_steps) {
    enum { N = 37 };
    int kind = _i / 4;
    infl_precision precision = _i % 2 == 0 ? INFL_F64 : INFL_F32, stored = _i / 2 % 2 == 0 ? INFL_F64 : INFL_F32;
    double *x = draw_images(N), got[MAX_NUMBERS], expected[MAX_NUMBERS];
    for (size_t i = 0; i < N_CHOICES; i++)
        for (int adam = 0; adam < 2; adam++) {
            int once = adam || kind == DROPPED || precision == INFL_F32;
            infl_train_options options = descent(once ? 1 : 3, choices[i].crop, choices[i].flip);
            infl_train_options one = descent(1, 0, 0);
            options.optimiser = one.optimiser = adam ? INFL_ADAM : INFL_SGD;
            infl_model *model = make_model(kind, precision), *other = make_model(kind, precision);
            infl_dataset *dataset = store(x, N, stored);
            infl_objective *objective = make_objective(model, dataset, 2);
            assert_ok(infl_train(objective, &options, NULL));
            size_t n = numbers_of(model, got);
            infl_objective_destroy(objective);
            for (size_t step = 0; step < options.steps; step++) {
                infl_dataset *seen = store_seen(x, N, stored, &options, NULL, step);
                infl_objective *changed = make_objective(other, seen, 2);
                assert_ok(infl_train(changed, &one, NULL));
                infl_objective_destroy(changed);
                infl_dataset_destroy(seen);
            }
            numbers_of(other, expected);
            assert_same_bits(got, expected, n, "crop %zu, flip %d, adam %d", options.crop, options.flip, adam);
            /* the images matter */
            objective = make_objective(other, dataset, 2);
            infl_model *start = make_model(kind, precision);
            double theta[MAX_NUMBERS];
            numbers_of(start, theta);
            assert_ok(infl_objective_set_parameters(objective, theta));
            one.steps = options.steps;
            assert_ok(infl_train(objective, &one, NULL));
            numbers_of(other, expected);
            ck_assert(relative_error(got, expected, infl_model_parameters(other)) > 1e-6);
            infl_objective_destroy(objective);
            infl_dataset_destroy(dataset);
            infl_model_destroy(start);
            infl_model_destroy(model);
            infl_model_destroy(other);
        }
    free(x);
}
END_TEST

/* The step in which each row is seen in the first epoch: rows are ordered by keys of their own. */
static void order_epoch(size_t n, size_t batch, uint64_t seed, size_t *steps) {
    for (size_t i = 0; i < n; i++) {
        size_t rank = 0;
        for (size_t j = 0; j < n; j++)
            rank += infl_random_bits(seed, INFL_STREAM_BATCHES, j) < infl_random_bits(seed, INFL_STREAM_BATCHES, i);
        steps[i] = rank / batch;
    }
}

/*
 * An epoch in batches, and retraining without a row, which must change nobody else's image: as on images that were
 * changed before, each by its own step. The rows are those of a view, whose numbers count, not the storage's.
 */
START_TEST(test_removal) {
    enum { N = 33, BATCH = 6, STEPS = (N + BATCH - 1) / BATCH, M = 4 };
    const size_t removed[M] = {0, 9, 10, 32};
    size_t reversed[N], steps[N];
    double *x = draw_images(N), *back = malloc(N * IMAGE * sizeof *back);
    double *changes[2], losses[2][N * M];
    infl_model *model = make_model(_i, INFL_F64);
    size_t p = infl_model_parameters(model);
    for (size_t i = 0; i < N; i++) {
        reversed[i] = N - 1 - i;
        memcpy(back + reversed[i] * IMAGE, x + i * IMAGE, IMAGE * sizeof *x);
    }
    infl_train_options train = descent(STEPS, 1, 1);
    train.batch = BATCH;
    train.momentum = 0.5;
    order_epoch(N, BATCH, train.seed, steps);
    infl_dataset *storage = store(back, N, INFL_F32), *view = NULL, *plain = store(x, N, INFL_F32);
    assert_ok(infl_dataset_subset(&view, storage, reversed, N));
    infl_dataset *seen = store_seen(x, N, INFL_F32, &train, steps, 0);
    for (int changed = 0; changed < 2; changed++) {
        infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
        infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
        double theta[MAX_NUMBERS];
        infl_model *own = NULL;
        assert_ok(infl_model_clone(&own, model));
        infl_objective *objective = make_objective(own, changed ? seen : view, 2);
        infl_objective *test = make_objective(own, plain, 2);
        changes[changed] = malloc((M + 1) * p * sizeof **changes);
        train.crop = changed ? 0 : 1;
        train.flip = !changed;
        options.train = &train;
        options.threads = 1 + changed;
        output.parameter_changes = changes[changed];
        output.control_parameters = changes[changed] + M * p;
        output.loss_changes = losses[changed];
        assert_ok(infl_retrain_without(objective, removed, M, test, NULL, 0, &options, &output));
        /* all rows once more, by training alone: the control run */
        assert_ok(infl_model_get_parameters(own, theta));
        assert_ok(infl_train(objective, &train, NULL));
        double trained[MAX_NUMBERS];
        assert_ok(infl_model_get_parameters(own, trained));
        for (size_t j = 0; j < p; j++)
            trained[j] -= theta[j];
        assert_same_bits(trained, changes[changed] + M * p, p, "the control run");
        infl_objective_destroy(test);
        infl_objective_destroy(objective);
        infl_model_destroy(own);
    }
    assert_same_bits(changes[0], changes[1], (M + 1) * p, "kind %d", _i);
    assert_same_bits(losses[0], losses[1], N * M, "kind %d", _i);
    free(changes[0]);
    free(changes[1]);
    infl_dataset_destroy(seen);
    infl_dataset_destroy(view);
    infl_dataset_destroy(plain);
    infl_dataset_destroy(storage);
    infl_model_destroy(model);
    free(x);
    free(back);
}
END_TEST

/* Objectives without some rows, and of some parameters, see the same images. */
START_TEST(test_derived) {
    enum { N = 30, Q = 20 };
    const size_t rows[] = {3, 0, 17};
    size_t parameters[Q];
    double *x = draw_images(N), theta[2][2][MAX_NUMBERS];
    infl_train_options train = descent(1, 2, 1);
    infl_dataset *datasets[] = {store(x, N, INFL_F64), store_seen(x, N, INFL_F64, &train, NULL, 0)};
    for (size_t i = 0; i < Q; i++)
        parameters[i] = 30 + 4 * i;
    for (int changed = 0; changed < 2; changed++) {
        infl_model *model = make_model(_i, INFL_F64);
        infl_objective *whole = make_objective(model, datasets[changed], 2), *without = NULL, *some = NULL;
        infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
        infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
        options.parameters = parameters;
        options.n_parameters = Q;
        train.crop = changed ? 0 : 2;
        train.flip = !changed;
        assert_ok(infl_objective_without(&without, whole, rows, 3));
        assert_ok(infl_train(without, &train, NULL));
        assert_ok(infl_objective_get_parameters(without, theta[changed][0]));
        assert_ok(infl_objective_create(&some, model, &loss, datasets[changed], &options));
        assert_ok(infl_train(some, &train, NULL));
        assert_ok(infl_model_get_parameters(model, theta[changed][1]));
        if (changed) {
            size_t p = infl_model_parameters(model);
            assert_same_bits(theta[0][0], theta[1][0], p, "without rows");
            assert_same_bits(theta[0][1], theta[1][1], p, "some parameters");
        }
        infl_objective_destroy(some);
        infl_objective_destroy(without);
        infl_objective_destroy(whole);
        infl_model_destroy(model);
    }
    infl_dataset_destroy(datasets[0]);
    infl_dataset_destroy(datasets[1]);
    free(x);
}
END_TEST

/*
 * What a step sees, without a word of its random numbers: W·x from W = 0 with the targets the unit vectors, ½‖f − y‖²,
 * moves row i of W by rate/n times the image seen of row i. In the second step outputs are no longer 0, which makes a
 * part of rate·‖x‖² of that: with a rate of 1e-9 some 1e-7.
 */
enum { SEEN = 600 };

static void read_placements(infl_objective *objective, const double *x, const infl_train_options *train,
                            size_t *cells) {
    const size_t p = (size_t)SEEN * IMAGE;
    double *theta[3];
    infl_train_options options = *train;
    for (size_t steps = 0; steps < 3; steps++) {
        theta[steps] = calloc(p, sizeof **theta);
        assert_ok(infl_objective_set_parameters(objective, theta[0]));
        options.steps = steps;
        assert_ok(infl_train(objective, &options, NULL));
        assert_ok(infl_objective_get_parameters(objective, theta[steps]));
    }
    for (size_t step = 0; step < 2; step++)
        for (size_t i = 0; i < SEEN; i++) {
            double image[IMAGE], candidate[IMAGE];
            size_t cell = 0, found = 0, places = 2 * train->crop + 1;
            for (size_t j = 0; j < IMAGE; j++)
                image[j] = (theta[step + 1][i * IMAGE + j] - theta[step][i * IMAGE + j]) * SEEN / train->learning_rate;
            for (int mirrored = 0; mirrored <= train->flip; mirrored++)
                for (size_t place_ = 0; place_ < places * places; place_++, cell++) {
                    placement at = {place_ / places, place_ % places, mirrored};
                    place(x + i * IMAGE, train->crop, at, candidate);
                    if (relative_error(image, candidate, IMAGE) <= 1e-5) {
                        cells[step * SEEN + i] = cell;
                        found++;
                    }
                }
            ck_assert_msg(found == 1, "row %zu in step %zu has been seen in %zu of the possible ways", i, step, found);
        }
    for (size_t steps = 0; steps < 3; steps++)
        free(theta[steps]);
}

/* How often the two agree: a binomial's mean, and 5 deviations of it. */
static void assert_independent(const size_t *a, const size_t *b, size_t n, size_t n_cells, const char *what) {
    double share = 1.0 / (double)n_cells, mean = (double)n * share, deviation = sqrt(mean * (1.0 - share));
    size_t same = 0;
    for (size_t i = 0; i < n; i++)
        same += a[i] == b[i];
    ck_assert_msg(fabs((double)same - mean) <= 5.0 * deviation, "%s: %zu of %zu agree, expected %.0f ± %.0f", what,
                  same, n, mean, deviation);
}

START_TEST(test_placements) {
    enum { ALL = 4 * SEEN, MAX_CELLS = 50 };
    static const struct {
        size_t crop;
        int flip;
    } asked[] = {{0, 1}, {1, 1}, {2, 0}, {2, 1}};
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_dataset *dataset = NULL;
    infl_objective *objective = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    infl_loss loss = INFL_LOSS_INIT(INFL_SQUARED_ERROR);
    double *x = draw_images(SEEN), *y = calloc((size_t)SEEN * SEEN, sizeof *y);
    size_t *cells = calloc(ALL, sizeof *cells), counts[MAX_CELLS] = {0};
    for (size_t i = 0; i < SEEN; i++)
        y[i * SEEN + i] = 1.0;
    spec.n_rows = spec.n_targets = SEEN;
    spec.n_features = IMAGE;
    spec.features = x;
    spec.targets = y;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_builder_create_image(&builder, CHANNELS, HEIGHT, WIDTH));
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, SEEN, 0, INFL_INIT_HE);
    assert_ok(infl_model_create(&model, builder, node, INFL_F64, 1));
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, NULL));
    infl_train_options train = descent(0, asked[_i].crop, asked[_i].flip);
    train.learning_rate = 1e-9;
    for (size_t i = 0; i < 2; i++) {
        train.seed = 3 + i;
        read_placements(objective, x, &train, cells + i * 2 * SEEN);
    }
    size_t n_cells = (2 * train.crop + 1) * (2 * train.crop + 1) * (train.flip ? 2 : 1);
    double expected = (double)ALL / (double)n_cells, square = 0.0, freedom = (double)n_cells - 1.0;
    for (size_t i = 0; i < ALL; i++)
        counts[cells[i]]++;
    for (size_t i = 0; i < n_cells; i++)
        square += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    /* χ² has this mean and the deviation √(2·freedom); it is beyond 6 of these by chance once in 10⁴, with one degree of
     * freedom once in 500 */
    ck_assert_msg(square <= freedom + 6.0 * sqrt(2.0 * freedom), "χ² of %.1f with %.0f degrees of freedom", square,
                  freedom);
    assert_independent(cells, cells + 1, ALL - 1, n_cells, "rows");
    assert_independent(cells, cells + SEEN, SEEN, n_cells, "steps");
    assert_independent(cells, cells + 2 * SEEN, 2 * SEEN, n_cells, "seeds");
    infl_objective_destroy(objective);
    infl_dataset_destroy(dataset);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
    free(x);
    free(y);
    free(cells);
}
END_TEST

START_TEST(test_threads) {
    enum { N = 700 };
    double *x = draw_images(N), first[MAX_NUMBERS], theta[MAX_NUMBERS];
    infl_dataset *dataset = store(x, N, INFL_F32);
    infl_train_options train = descent(4, 2, 1);
    train.batch = 400;
    for (int threads = 1; threads <= 3; threads++) {
        infl_model *model = make_model(_i / 2, _i % 2 == 0 ? INFL_F32 : INFL_F64);
        infl_objective *objective = make_objective(model, dataset, threads);
        assert_ok(infl_train(objective, &train, NULL));
        size_t n = numbers_of(model, theta);
        if (threads == 1)
            memcpy(first, theta, n * sizeof *first);
        assert_same_bits(theta, first, n, "%d threads", threads);
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
    infl_dataset_destroy(dataset);
    free(x);
}
END_TEST

/* Without crop and flip steps are as where these are not known: with options that end before them, and by ∇R itself. */
START_TEST(test_off) {
    enum { N = 50 };
    double *x = draw_images(N), theta[2][MAX_NUMBERS];
    infl_dataset *dataset = store(x, N, INFL_F64);
    size_t n = 0;
    for (int shorter = 0; shorter < 2; shorter++) {
        infl_model *model = make_model(_i, INFL_F64);
        infl_objective *objective = make_objective(model, dataset, 2);
        infl_train_options train = descent(5, 0, 0);
        train.batch = 20;
        if (shorter) {
            train.size = offsetof(infl_train_options, crop);
            train.crop = 1;
            train.flip = 1;
        }
        assert_ok(infl_train(objective, &train, NULL));
        n = numbers_of(model, theta[shorter]);
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
    assert_same_bits(theta[0], theta[1], n, "kind %d", _i);
    if (_i == PLAIN) {
        infl_model *model = make_model(PLAIN, INFL_F64);
        infl_objective *objective = make_objective(model, dataset, 2);
        infl_train_options train = descent(1, 0, 0);
        double gradient[MAX_NUMBERS];
        numbers_of(model, theta[0]);
        assert_ok(infl_objective_evaluate(objective, NULL, gradient));
        assert_ok(infl_train(objective, &train, NULL));
        numbers_of(model, theta[1]);
        for (size_t j = 0; j < n; j++)
            theta[0][j] -= train.learning_rate * gradient[j];
        assert_close(theta[1], theta[0], n, 1e-15, "a step"); /* one rounding may be contracted */
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
    infl_dataset_destroy(dataset);
    free(x);
}
END_TEST

/* What is reported, and what training stops at, are of the images as they are; and looking changes no step. */
START_TEST(test_report) {
    enum { N = 40 };
    double *x = draw_images(N), theta[MAX_NUMBERS], looked[MAX_NUMBERS], gradient[MAX_NUMBERS], value, square = 0.0;
    infl_dataset *dataset = store(x, N, INFL_F64);
    infl_model *model = make_model(PLAIN, INFL_F64), *other = make_model(PLAIN, INFL_F64);
    infl_objective *objective = make_objective(model, dataset, 2), *second = make_objective(other, dataset, 2);
    infl_train_options train = descent(6, 1, 1);
    infl_train_result result = {0};
    size_t p = infl_model_parameters(model);
    assert_ok(infl_train(objective, &train, &result));
    assert_ok(infl_objective_evaluate(objective, &value, gradient));
    for (size_t j = 0; j < p; j++)
        square += gradient[j] * gradient[j];
    ck_assert_double_eq(result.value, value);
    ck_assert_double_eq_tol(result.gradient_norm, sqrt(square), 1e-13 * sqrt(square)); /* p·eps, generously */
    numbers_of(model, theta);
    train.gradient_tolerance = 1e-100;
    train.check_every = 1;
    assert_ok(infl_train(second, &train, NULL));
    numbers_of(other, looked);
    assert_same_bits(looked, theta, p, "with looks at the gradient");
    train.gradient_tolerance = result.gradient_norm * (1.0 + 1e-9);
    assert_ok(infl_train(second, &train, &result));
    ck_assert_uint_eq(result.steps, 0);
    ck_assert_int_eq(result.reason, INFL_STOP_GRADIENT);
    infl_objective_destroy(objective);
    infl_objective_destroy(second);
    infl_model_destroy(model);
    infl_model_destroy(other);
    infl_dataset_destroy(dataset);
    free(x);
}
END_TEST

/* A journal is of one crop, one flip, and of the batch's statistics or fixed ones. */
START_TEST(test_journal) {
    enum { N = 12, M = 2 };
    const size_t removed[M] = {1, 7};
    temporary_file file = write_file("", 0, 0);
    double *x = draw_images(N), norms[M];
    infl_dataset *dataset = store(x, N, INFL_F64);
    infl_model *model = make_model(PLAIN, INFL_F64);
    infl_objective *objective = make_objective(model, dataset, 1);
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    infl_train_options train = descent(3, 1, _i);
    options.train = &train;
    options.journal = file.path;
    output.norms = norms;
    ck_assert_int_eq(remove(file.path), 0);
    assert_ok(infl_retrain_without(objective, removed, M, NULL, NULL, 0, &options, &output));
    ck_assert_uint_eq(output.resumed, 0);
    train.crop = 2;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(objective, removed, M, NULL, NULL, 0, &options, &output));
    train.crop = 0;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(objective, removed, M, NULL, NULL, 0, &options, &output));
    train.crop = 1;
    train.flip = !_i;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(objective, removed, M, NULL, NULL, 0, &options, &output));
    train.flip = _i;
    train.fixed_statistics = 1;
    assert_fails(INFL_E_ARGUMENT, infl_retrain_without(objective, removed, M, NULL, NULL, 0, &options, &output));
    train.fixed_statistics = 0;
    assert_ok(infl_retrain_without(objective, removed, M, NULL, NULL, 0, &options, &output));
    ck_assert_uint_eq(output.resumed, M + 1);
    remove(file.path);
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
    free(x);
}
END_TEST

/* Refused, with a sentence that has the word, by training and by retraining; θ and the result are as before. */
static void assert_refused(infl_objective *objective, infl_status expected, size_t crop, int flip, const char *word) {
    infl_train_options train = descent(2, crop, flip);
    infl_train_result result = {.value = SENTINEL, .steps = 77};
    infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
    infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
    double before[MAX_NUMBERS], after[MAX_NUMBERS];
    const size_t row = 0;
    options.train = &train;
    assert_ok(infl_objective_get_parameters(objective, before));
    assert_fails(expected, infl_train(objective, &train, &result));
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "%s", infl_last_error());
    ck_assert(result.value == SENTINEL && result.steps == 77);
    assert_fails(expected, infl_retrain_without(objective, &row, 1, NULL, NULL, 0, &options, &output));
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "%s", infl_last_error());
    assert_ok(infl_objective_get_parameters(objective, after));
    assert_same_bits(after, before, infl_objective_parameters(objective), "theta");
}

/* A network on vectors, or on images of other shapes. */
static void assert_shape_refused(size_t channels, size_t height, size_t width, size_t crop, int flip,
                                 const char *word) {
    enum { N = 4 };
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_dataset *dataset = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    double *x = draw_images(N);
    const int32_t labels[N] = {0, 1, 2, 0};
    spec.n_rows = N;
    spec.n_features = channels * height * width;
    spec.features = x;
    spec.labels = labels;
    assert_ok(infl_dataset_create(&dataset, &spec));
    if (height == 1 && width == 1)
        assert_ok(infl_builder_create(&builder, channels));
    else
        assert_ok(infl_builder_create_image(&builder, channels, height, width));
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, CLASSES, 1, INFL_INIT_HE);
    assert_ok(infl_model_create(&model, builder, node, INFL_F64, 1));
    infl_objective *objective = make_objective(model, dataset, 1);
    assert_refused(objective, INFL_E_ARGUMENT, crop, flip, word);
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    infl_builder_destroy(builder);
    infl_dataset_destroy(dataset);
    free(x);
}

START_TEST(test_refusals) {
    assert_shape_refused(7, 1, 1, 1, 0, "vector");
    assert_shape_refused(7, 1, 1, 0, 1, "vector");
    assert_shape_refused(2, 4, 5, 4, 0, "crop is 4");
    assert_shape_refused(2, 5, 4, 4, 0, "crop is 4");
    assert_shape_refused(2, 5, 4, SIZE_MAX, 1, "crop is");
    assert_shape_refused(2, 5, 1, 1, 0, "crop is 1");
    assert_shape_refused(2, 5, 4, 1, 2, "flip is 2");
    assert_shape_refused(2, 5, 4, 0, -1, "flip is -1");

    static const double start[3] = {0.5, 0.1, -0.3};
    linear_problem linear = linear_create(1, 6, 3, 0.05, 5);
    infl_objective *objective = linear_objective(&linear, start, 1);
    assert_refused(objective, INFL_E_UNSUPPORTED, 1, 0, "custom");
    assert_refused(objective, INFL_E_UNSUPPORTED, 0, 1, "custom");
    infl_objective_destroy(objective);
    linear_destroy(&linear);
}
END_TEST

Suite *augment_suite(void) {
    Suite *suite = suite_create("augment");
    add_case(suite, "augment/steps", test_steps, 12);
    add_case(suite, "augment/removal", test_removal, 3);
    add_case(suite, "augment/derived", test_derived, 3);
    add_case(suite, "augment/placements", test_placements, 4);
    add_case(suite, "augment/threads", test_threads, 6);
    add_case(suite, "augment/off", test_off, 3);
    add_case(suite, "augment/report", test_report, 1);
    add_case(suite, "augment/journal", test_journal, 2);
    add_case(suite, "augment/refusals", test_refusals, 1);
    return suite;
}

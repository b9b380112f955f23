#include <math.h>
#include <xxhash.h>

#include "identity.h"
#include "linear.h"
#include "suites.h"

static int same(const uint64_t a[2], const uint64_t b[2]) { return a[0] == b[0] && a[1] == b[1]; }

static infl_identity identity_of(infl_objective *objective) {
    infl_identity identity;
    assert_ok(infl_objective_identity(objective, &identity));
    return identity;
}

/* The bytes that should go into the hash, written down one by one. */
typedef struct written {
    unsigned char bytes[1 << 15];
    size_t n;
} written;

static void write_number(written *w, uint64_t number, int bytes) {
    for (int i = 0; i < bytes; i++)
        w->bytes[w->n++] = (unsigned char)(number >> (8 * i) & 255);
}

static void write_piece(written *w, char type, uint64_t n) {
    w->bytes[w->n++] = (unsigned char)type;
    write_number(w, n, 8);
}

START_TEST(test_pieces) {
    enum { N = 1300 }; /* more than are converted at once */
    static double doubles[N];
    static float floats[N];
    static written w;
    uint64_t out[2];
    infl_hash *hash;
    w.n = 0;
    assert_ok(infl_hash_begin(&hash));
    infl_hash_string(hash, "abc");
    write_piece(&w, 'b', 3);
    memcpy(w.bytes + w.n, "abc", 3);
    w.n += 3;
    infl_hash_bytes(hash, NULL, 0);
    write_piece(&w, 'b', 0);
    infl_hash_number(hash, 0x0102030405060708u);
    write_piece(&w, 'n', 0x0102030405060708u);
    infl_hash_double(hash, 1.5); /* 0x3FF8000000000000 */
    write_piece(&w, 'd', 1);
    write_number(&w, 0x3FF8000000000000u, 8);
    infl_hash_doubles(hash, doubles, N); /* of zeros but the last: −2 */
    doubles[N - 1] = -2;
    infl_hash_doubles(hash, doubles, N);
    for (int twice = 0; twice < 2; twice++) {
        write_piece(&w, 'd', N);
        for (int i = 0; i < N; i++)
            write_number(&w, twice && i == N - 1 ? 0xC000000000000000u : 0, 8);
    }
    floats[600] = 1;
    infl_hash_floats(hash, floats, N);
    write_piece(&w, 'f', N);
    for (int i = 0; i < N; i++)
        write_number(&w, i == 600 ? 0x3F800000u : 0, 4);
    infl_hash_end(hash, out);
    XXH128_hash_t truth = XXH3_128bits(w.bytes, w.n);
    ck_assert(out[0] == truth.low64 && out[1] == truth.high64);
    assert_ok(infl_hash_begin(&hash));
    infl_hash_release(hash);
    infl_hash_release(NULL);
}
END_TEST

/* What an objective is made of; each field of another value makes another identity. */
typedef struct recipe {
    infl_precision precision, stored;
    infl_activation activation;
    infl_loss_kind loss;
    double temperature, decay, epsilon, momentum, rate;
    infl_decay_scope scope;
    size_t channels, kernel, stride, padding, groups;
    int bias, pool, skip;
    double nudge_theta, nudge_state, nudge_feature, nudge_target;
    size_t classes, labels_from, rows;
    int threads;
    size_t budget;
} recipe;
static const recipe PLAIN = {INFL_F64,  INFL_F64,
                             INFL_TANH, INFL_SOFTMAX_CROSS_ENTROPY,
                             0.3,       0.1,
                             1e-5,      0.1,
                             0.25,      INFL_DECAY_ALL,
                             2,         2,
                             1,         1,
                             1,         1,
                             0,         0,
                             0,         0,
                             0,         0,
                             3,         0,
                             7,         1,
                             0};

typedef struct cooked {
    infl_model *model;
    infl_dataset *dataset;
    infl_objective *objective;
} cooked;

static infl_dataset *cook_dataset(const recipe *r) {
    enum { N = 8, D = 32 };
    double features[N * D], targets[N * 3];
    float singles[N * D];
    int32_t labels[N];
    uint64_t seed = 5;
    for (int i = 0; i < N * D; i++)
        singles[i] = (float)(features[i] = (float)random_normal(&seed)); /* the same numbers in both precisions */
    for (int i = 0; i < N; i++)
        labels[i] = (int32_t)((size_t)i + r->labels_from) % 2;
    for (int i = 0; i < N * 3; i++)
        targets[i] = random_normal(&seed);
    features[2 * D + 3] += r->nudge_feature;
    targets[4] += r->nudge_target;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = r->rows;
    spec.n_features = D;
    spec.features = r->stored == INFL_F64 ? features : NULL;
    spec.features_f32 = r->stored == INFL_F64 ? NULL : singles;
    if (r->loss == INFL_SQUARED_ERROR) {
        spec.targets = targets;
        spec.n_targets = 3;
    } else {
        spec.labels = labels;
        spec.n_classes = r->classes;
    }
    infl_dataset *dataset;
    assert_ok(infl_dataset_create(&dataset, &spec));
    return dataset;
}

static infl_model *cook_model(const recipe *r) {
    infl_builder *builder;
    infl_conv2d conv = INFL_CONV2D_INIT;
    infl_batch_norm norm = INFL_BATCH_NORM_INIT;
    infl_model *model;
    conv.channels = r->channels;
    conv.kernel[0] = conv.kernel[1] = r->kernel;
    conv.stride[1] = r->stride;
    conv.padding[0] = conv.padding[1] = r->padding;
    conv.groups = r->groups;
    conv.bias = r->bias;
    norm.epsilon = r->epsilon;
    norm.momentum = r->momentum;
    int outputs = r->loss == INFL_SOFTMAX_CROSS_ENTROPY || r->loss == INFL_SQUARED_ERROR ? 3 : 1;
    assert_ok(infl_builder_create_image(&builder, 2, 4, 4));
    infl_node node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv), before;
    node = infl_builder_activation(builder, infl_builder_batch_norm(builder, node, &norm), r->activation);
    before = node;
    node = r->pool ? infl_builder_max_pool2d(builder, node, NULL) : infl_builder_average_pool2d(builder, node, NULL);
    node = infl_builder_dense(builder, infl_builder_dropout(builder, node, r->rate), 4, 1, INFL_INIT_GLOROT);
    if (r->skip)
        node = infl_builder_add(builder, node, infl_builder_dense(builder, before, 4, 0, INFL_INIT_GLOROT));
    node = infl_builder_dense(builder, node, (size_t)outputs, 1, INFL_INIT_GLOROT);
    assert_ok(infl_model_create(&model, builder, node, r->precision, 3));
    infl_builder_destroy(builder);
    size_t p = infl_model_parameters(model), n_state = infl_model_state(model);
    double *theta = calloc(p + n_state, sizeof *theta), *state = theta + p;
    ck_assert_ptr_nonnull(theta);
    assert_ok(infl_model_get_state(model, state));
    for (size_t i = 0; i < p; i++)
        theta[i] = (float)sin(1.0 + (double)i);
    theta[p - 1] += r->nudge_theta;
    state[n_state - 1] += r->nudge_state;
    assert_ok(infl_model_set_parameters(model, theta));
    assert_ok(infl_model_set_state(model, state));
    free(theta);
    return model;
}

static cooked cook(const recipe *r) {
    cooked c = {cook_model(r), cook_dataset(r), NULL};
    infl_loss loss = INFL_LOSS_INIT(r->loss);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    loss.temperature = r->temperature;
    options.decay = r->decay;
    options.decay_scope = r->scope;
    options.threads = r->threads;
    options.memory_budget = r->budget;
    assert_ok(infl_objective_create(&c.objective, c.model, &loss, c.dataset, &options));
    return c;
}

static void throw_away(cooked *c) {
    infl_objective_destroy(c->objective);
    infl_model_destroy(c->model);
    infl_dataset_destroy(c->dataset);
}

static infl_identity identity_by(const recipe *r) {
    cooked c = cook(r);
    infl_identity identity = identity_of(c.objective);
    throw_away(&c);
    return identity;
}

enum { OF_NONE = 0, OF_MODEL = 1, OF_DATA = 2 };

/* `base` and base with another field: which of the hashes change. */
#define CHANGES(which, base, ...)                                                                                      \
    do {                                                                                                               \
        recipe other_ = base;                                                                                          \
        other_.__VA_ARGS__;                                                                                            \
        infl_identity a_ = identity_by(&base), b_ = identity_by(&other_);                                              \
        ck_assert_msg(!same(a_.model, b_.model) == !!((which)&OF_MODEL), "%s: model", #__VA_ARGS__);                   \
        ck_assert_msg(!same(a_.data, b_.data) == !!((which)&OF_DATA), "%s: data", #__VA_ARGS__);                       \
    } while (0)

START_TEST(test_model) {
    recipe base = PLAIN; /* the decay's mask, which has another length with other layers, is of the data */
    base.decay = 0;
    CHANGES(OF_MODEL, base, precision = INFL_F32);
    CHANGES(OF_MODEL, base, activation = INFL_SOFTPLUS);
    CHANGES(OF_MODEL, base, epsilon = 1.1e-5);
    CHANGES(OF_MODEL, base, momentum = 0.11);
    CHANGES(OF_MODEL, base, rate = 0.26);
    CHANGES(OF_MODEL, base, channels = 4);
    CHANGES(OF_MODEL, base, kernel = 3);
    CHANGES(OF_MODEL, base, stride = 2);
    CHANGES(OF_MODEL, base, padding = 0);
    CHANGES(OF_MODEL, base, groups = 2);
    CHANGES(OF_MODEL, base, bias = 0);
    CHANGES(OF_MODEL, base, pool = 1); /* no parameter of which changes */
    CHANGES(OF_MODEL, base, skip = 1);
    CHANGES(OF_MODEL, base, nudge_theta = 0x1p-50);
    CHANGES(OF_MODEL, base, nudge_state = 0x1p-50);
    recipe stride = base;
    stride.stride = 3;
    CHANGES(OF_MODEL, stride, stride = 4); /* of the same shape */
    recipe single = base;
    single.precision = INFL_F32;
    CHANGES(OF_NONE, single, nudge_theta = 0x1p-50); /* lost in the model's precision */
}
END_TEST

START_TEST(test_data) {
    CHANGES(OF_DATA, PLAIN, stored = INFL_F32);
    CHANGES(OF_DATA, PLAIN, nudge_feature = 0x1p-50);
    CHANGES(OF_DATA, PLAIN, labels_from = 1);
    CHANGES(OF_DATA, PLAIN, rows = 6);
    CHANGES(OF_DATA, PLAIN, classes = 2);
    CHANGES(OF_DATA, PLAIN, decay = 0);
    CHANGES(OF_DATA, PLAIN, decay = 0.1 + 0x1p-50);
    CHANGES(OF_DATA, PLAIN, scope = INFL_DECAY_WEIGHTS);
    CHANGES(OF_NONE, PLAIN, temperature = 0.4);
    recipe free_of_decay = PLAIN, hinge = PLAIN, squares = PLAIN;
    free_of_decay.decay = 0;
    CHANGES(OF_NONE, free_of_decay, scope = INFL_DECAY_WEIGHTS);
    hinge.loss = INFL_SMOOTHED_HINGE;
    hinge.classes = 2;
    CHANGES(OF_DATA, hinge, loss = INFL_LOGISTIC);
    CHANGES(OF_DATA, hinge, temperature = 0.4);
    squares.loss = INFL_SQUARED_ERROR;
    CHANGES(OF_DATA, squares, nudge_target = 0x1p-50);
}
END_TEST

/* Nothing changes that no number depends on. */
START_TEST(test_same) {
    CHANGES(OF_NONE, PLAIN, rows = 7);
    CHANGES(OF_NONE, PLAIN, threads = 2);
    CHANGES(OF_NONE, PLAIN, budget = 1 << 24);
    cooked c = cook(&PLAIN);
    infl_identity plain = identity_of(c.objective), other;
    double value;
    assert_ok(infl_objective_evaluate(c.objective, &value, NULL));
    other = identity_of(c.objective);
    ck_assert(memcmp(&plain, &other, sizeof plain) == 0);
    infl_objective *copy;
    assert_ok(infl_objective_without(&copy, c.objective, NULL, 0));
    other = identity_of(copy);
    ck_assert(memcmp(&plain, &other, sizeof plain) == 0);
    infl_objective_destroy(copy);
    throw_away(&c);
}
END_TEST

/* A view is its rows in its order, however it came about. */
START_TEST(test_views) {
    static const size_t first_five[] = {0, 1, 2, 3, 4}, turned[] = {1, 0, 2, 3, 4}, rest[] = {5, 6};
    static const size_t twice[] = {0, 1, 2, 3, 3};
    recipe short_recipe = PLAIN;
    short_recipe.rows = 5;
    infl_identity truth = identity_by(&short_recipe);
    cooked c = cook(&PLAIN);
    infl_loss loss = INFL_LOSS_INIT(PLAIN.loss);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = PLAIN.decay;
    const size_t *views[] = {first_five, turned, twice};
    for (int i = 0; i < 3; i++) {
        infl_dataset *view;
        infl_objective *objective;
        assert_ok(infl_dataset_subset(&view, c.dataset, views[i], 5));
        assert_ok(infl_objective_create(&objective, c.model, &loss, view, &options));
        infl_identity identity = identity_of(objective);
        ck_assert(same(identity.model, truth.model));
        ck_assert_int_eq(same(identity.data, truth.data), i == 0);
        infl_objective_destroy(objective);
        infl_dataset_destroy(view);
    }
    infl_objective *without;
    assert_ok(infl_objective_without(&without, c.objective, rest, 2));
    infl_identity identity = identity_of(without);
    ck_assert(memcmp(&identity, &truth, sizeof truth) == 0);
    infl_objective_destroy(without);
    throw_away(&c);
}
END_TEST

START_TEST(test_custom) {
    linear_problem l = linear_create(1, 9, 3, 0.1, 8);
    double theta[3] = {0.1, -0.2, 0.3};
    infl_objective *objective = linear_objective(&l, theta, 1), *other = linear_objective(&l, theta, 2);
    infl_identity truth = identity_of(objective), found = identity_of(other);
    ck_assert(memcmp(&found, &truth, sizeof truth) == 0);
    infl_objective_destroy(other);
    size_t removed = 4;
    assert_ok(infl_objective_without(&other, objective, &removed, 1));
    found = identity_of(other);
    ck_assert(same(found.model, truth.model) && !same(found.data, truth.data));
    infl_objective_destroy(other);
    l.x[5] += 1e-9;
    found = identity_of(objective);
    ck_assert(same(found.model, truth.model) && !same(found.data, truth.data));
    l.x[5] -= 1e-9;
    l.mask[0] = 0; /* was copied by the first */
    other = linear_objective(&l, theta, 1);
    found = identity_of(other);
    ck_assert(same(found.model, truth.model) && !same(found.data, truth.data));
    infl_objective_destroy(other);
    theta[2] += 1e-15;
    assert_ok(infl_objective_set_parameters(objective, theta));
    found = identity_of(objective);
    ck_assert(!same(found.model, truth.model));
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

static int failing_losses(void *context, const double *theta, const size_t *rows, size_t n, double *losses) {
    (void)context, (void)theta, (void)rows, (void)n, (void)losses;
    return 7;
}

START_TEST(test_failing_callback) {
    linear_problem l = linear_create(1, 9, 3, 0.1, 8);
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    double theta[3] = {0.1, -0.2, 0.3};
    custom.n_rows = l.n;
    custom.n_parameters = l.d;
    custom.losses = failing_losses;
    custom.row_gradients = linear_row_gradients;
    infl_objective *objective;
    infl_identity untouched = {{1, 2}, {3, 4}}, identity = untouched;
    assert_ok(infl_objective_create_custom(&objective, &custom, theta, NULL));
    ck_assert_int_eq(infl_objective_identity(objective, &identity), INFL_E_CALLBACK);
    ck_assert(memcmp(&identity, &untouched, sizeof identity) == 0);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

Suite *identity_suite(void);
Suite *identity_suite(void) {
    Suite *suite = suite_create("identity");
    add_case(suite, "identity/pieces", test_pieces, 1);
    add_case(suite, "identity/model", test_model, 1);
    add_case(suite, "identity/data", test_data, 1);
    add_case(suite, "identity/same", test_same, 1);
    add_case(suite, "identity/views", test_views, 1);
    add_case(suite, "identity/custom", test_custom, 1);
    add_case(suite, "identity/failing-callback", test_failing_callback, 1);
    return suite;
}

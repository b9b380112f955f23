/* Objectives: the same bits however they are run, budgets, risks of the caller's own, rows removed, wrong arguments. */
#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "chunks.h"
#include "reference.h"
#include "spectral.h"
#include "suites.h"

enum { N_KINDS = INFL_FISHER + 1, K = 16 };

/* What an objective can be asked for, each into one array. */
typedef enum quantity {
    EVALUATION,
    LOSSES,
    ROW_GRADIENTS,
    STREAMED,
    ROW_NORMS,
    ROW_PRODUCTS,
    WEIGHTED,
    PRODUCTS_IN_TURN,
    PRODUCT_HESSIAN,
    PRODUCT_GAUSS_NEWTON,
    PRODUCT_FISHER,
    DENSE_HESSIAN,
    DENSE_GAUSS_NEWTON,
    DENSE_FISHER,
    N_QUANTITIES
} quantity;

static size_t quantity_size(quantity which, size_t n, size_t p) {
    switch (which) {
    case EVALUATION:
        return 1 + p;
    case LOSSES:
    case ROW_NORMS:
        return n;
    case ROW_GRADIENTS:
    case STREAMED:
        return n * p;
    case PRODUCTS_IN_TURN:
        return 3 * p;
    case ROW_PRODUCTS:
        return n * K;
    case WEIGHTED:
    case PRODUCT_HESSIAN:
    case PRODUCT_GAUSS_NEWTON:
    case PRODUCT_FISHER:
        return K * p;
    default:
        return p * p;
    }
}

/* Blocks of streamed gradients, as they come. */
typedef struct stream {
    double *out;
    size_t p, next;
} stream;

static int take_block(void *context, size_t first, size_t n, const double *gradients) {
    stream *to = context;
    ck_assert_uint_eq(first, to->next);
    ck_assert(n >= 1 && n <= 7);
    memcpy(to->out + first * to->p, gradients, n * to->p * sizeof *gradients);
    to->next += n;
    return 0;
}

/* vectors: K×p; weights: K×n */
static infl_status ask(infl_objective *objective, quantity which, const double *vectors, const double *weights,
                       double *out) {
    switch (which) {
    case EVALUATION:
        return infl_objective_evaluate(objective, out, out + 1);
    case LOSSES:
        return infl_objective_losses(objective, NULL, 0, out);
    case ROW_GRADIENTS:
        return infl_objective_row_gradients(objective, NULL, 0, out);
    case STREAMED: {
        stream to = {out, infl_objective_parameters(objective), 0};
        return infl_objective_stream_row_gradients(objective, NULL, 0, 7, take_block, &to);
    }
    case ROW_NORMS:
        return infl_objective_row_norms(objective, NULL, 0, out);
    case PRODUCTS_IN_TURN: { /* the second fills what is kept, the third uses it */
        size_t p = infl_objective_parameters(objective);
        infl_status status = INFL_OK;
        for (size_t j = 0; j < 3 && status == INFL_OK; j++)
            status = infl_objective_product(objective, INFL_HESSIAN, vectors + j * p, 1, out + j * p);
        return status;
    }
    case ROW_PRODUCTS:
        return infl_objective_row_products(objective, NULL, 0, vectors, K, out);
    case WEIGHTED:
        return infl_objective_weighted_gradients(objective, NULL, 0, weights, K, out);
    case PRODUCT_HESSIAN:
    case PRODUCT_GAUSS_NEWTON:
    case PRODUCT_FISHER:
        return infl_objective_product(objective, (infl_curvature_kind)(which - PRODUCT_HESSIAN), vectors, K, out);
    default:
        return infl_objective_dense(objective, (infl_curvature_kind)(which - DENSE_HESSIAN), NULL, out, NULL);
    }
}

/* The ask failed with that status, and its sentence begins with the name of the function that was asked. */
static void assert_refused(infl_status status, infl_status expected, quantity which) {
    static const char *const names[] = {"evaluate",
                                        "losses",
                                        "row_gradients",
                                        "stream_row_gradients",
                                        "row_norms",
                                        "row_products",
                                        "weighted_gradients",
                                        "product",
                                        "product",
                                        "product",
                                        "product",
                                        "dense",
                                        "dense",
                                        "dense"};
    char name[64];
    snprintf(name, sizeof name, "infl_objective_%s:", names[which]);
    ck_assert_msg(status == expected, "%s %s, not %s", name, infl_status_name(status), infl_status_name(expected));
    ck_assert_msg(strncmp(infl_last_error(), name, strlen(name)) == 0, "%s left the sentence: %s", name,
                  infl_last_error());
}

static problem *large_problem(infl_precision precision) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.graph = REFERENCE_TANGLED;
    options.n_rows = 2500; /* more chunks than there are sums side by side */
    options.width = 4;
    options.activation = INFL_SOFTPLUS;
    options.decay = 0.01;
    options.precision = precision;
    return problem_create(&options);
}

/* The same bits for 1, 2 and 5 threads, and again. */
START_TEST(test_threads) {
    static const int threads[] = {1, 2, 5, 1, 0};
    problem *q = large_problem((infl_precision)_i);
    double *vectors = problem_normals(q, K * q->p, 1), *weights = problem_normals(q, K * q->n, 2);
    double *first[N_QUANTITIES];
    for (size_t t = 0; t < 5; t++) {
        infl_objective *objective = problem_objective(q, threads[t], 0);
        for (int i = 0; i < N_QUANTITIES; i++) {
            size_t size = quantity_size((quantity)i, q->n, q->p);
            double *out = problem_room(q, size);
            assert_ok(ask(objective, (quantity)i, vectors, weights, out));
            if (t == 0)
                first[i] = out;
            else
                assert_same_bits(out, first[i], size, "quantity %d, %d threads", i, threads[t]);
        }
        infl_objective_destroy(objective);
    }
    problem_destroy(q);
}
END_TEST

/* The largest whole number of a sentence. */
static size_t number_in(const char *sentence) {
    size_t most = 0;
    while (*sentence != '\0') {
        char *end;
        if (!isdigit((unsigned char)*sentence)) {
            sentence++;
            continue;
        }
        size_t number = (size_t)strtoull(sentence, &end, 10);
        most = number > most ? number : most;
        sentence = end;
    }
    return most;
}

/* Asks an objective with this budget. */
static infl_status ask_within(problem *q, size_t budget, int threads, quantity which, const double *vectors,
                              const double *weights, double *out) {
    infl_objective *objective = NULL;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = q->options.decay;
    options.memory_budget = budget;
    options.threads = threads;
    assert_ok(infl_objective_create(&objective, q->model, &q->loss, q->dataset, &options));
    infl_status status = ask(objective, which, vectors, weights, out);
    infl_objective_destroy(objective);
    return status;
}

/*
 * A budget too small is refused with a sentence that names the least that would do; that does, with the same bits as
 * any other, and one byte less does not.
 */
START_TEST(test_budget) {
    problem *q = large_problem((infl_precision)(_i % 2));
    int threads = _i / 2 + 1;
    double *vectors = problem_normals(q, K * q->p, 1), *weights = problem_normals(q, K * q->n, 2);
    for (int i = 0; i < N_QUANTITIES; i++) {
        quantity which = (quantity)i;
        size_t size = quantity_size(which, q->n, q->p), least = 1;
        double *unlimited = problem_room(q, size), *out = problem_room(q, size);
        assert_ok(ask_within(q, 0, threads, which, vectors, weights, unlimited));
        fill_sentinel(out, size);
        for (int refusals = 0;; refusals++) {
            infl_status status = ask_within(q, least, threads, which, vectors, weights, out);
            if (status == INFL_OK)
                break;
            assert_refused(status, INFL_E_BUDGET, which);
            ck_assert(all_sentinel(out, size));
            size_t named = number_in(infl_last_error());
            ck_assert_msg(named > least, "a budget of %zu: %s", least, infl_last_error());
            ck_assert_msg(refusals < 1, "the named budget does not do: %s", infl_last_error());
            least = named;
        }
        ck_assert_msg(least > 1, "quantity %d takes no memory", i);
        assert_same_bits(out, unlimited, size, "quantity %d at the least budget", i);
        assert_refused(ask_within(q, least - 1, threads, which, vectors, weights, out), INFL_E_BUDGET, which);
        for (size_t budget = least + least / 3; budget < 20 * least; budget *= 2) {
            assert_ok(ask_within(q, budget, threads, which, vectors, weights, out));
            assert_same_bits(out, unlimited, size, "quantity %d within %zu bytes", i, budget);
        }
    }
    problem_destroy(q);
}
END_TEST

/* The library's own workspace for a risk of the caller's keeps to the budget as well. */
START_TEST(test_custom_budget) {
    static const quantity summed[] = {EVALUATION, ROW_PRODUCTS, WEIGHTED, PRODUCT_FISHER};
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.n_rows = 40;
    problem *q = problem_create(&options);
    infl_custom_objective custom = reference_custom(q, NULL);
    double *vectors = problem_normals(q, K * q->p, 1), *weights = problem_normals(q, K * q->n, 2);
    for (size_t s = 0; s < sizeof summed / sizeof summed[0]; s++) {
        size_t size = quantity_size(summed[s], q->n, q->p), budget = 1;
        double *unlimited = problem_room(q, size), *out = problem_room(q, size);
        fill_sentinel(out, size);
        for (int pass = 0; pass < 3; pass++) {
            infl_objective *objective = NULL;
            infl_objective_options objective_options = INFL_OBJECTIVE_OPTIONS_INIT;
            objective_options.memory_budget = pass == 0 ? 0 : budget;
            assert_ok(infl_objective_create_custom(&objective, &custom, q->theta, &objective_options));
            infl_status status = ask(objective, summed[s], vectors, weights, pass == 0 ? unlimited : out);
            if (pass == 1) {
                assert_refused(status, INFL_E_BUDGET, summed[s]);
                ck_assert(all_sentinel(out, size));
                budget = number_in(infl_last_error());
            } else {
                ck_assert_msg(status == INFL_OK, "%s", infl_last_error());
            }
            if (pass == 2) {
                size_t bytes = 0;
                assert_ok(infl_objective_memory(objective, 1, &bytes));
                ck_assert_uint_le(bytes, budget);
                assert_same_bits(out, unlimited, size, "quantity %d within %zu bytes", (int)summed[s], budget);
            }
            infl_objective_destroy(objective);
        }
    }
    problem_destroy(q);
}
END_TEST

START_TEST(test_memory) {
    problem *q = large_problem(INFL_F64);
    size_t kept = 0, one = 0, many = 0, within = 0, untouched = 77;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *keeping_nothing = NULL;
    options.keep_budget = 0;
    assert_ok(infl_objective_create(&keeping_nothing, q->model, &q->loss, q->dataset, &options));
    assert_ok(infl_objective_memory(q->objective, 1, &kept));
    assert_ok(infl_objective_memory(keeping_nothing, 1, &one));
    assert_ok(infl_objective_memory(keeping_nothing, 64, &many));
    infl_objective_destroy(keeping_nothing);
    ck_assert_uint_gt(kept, one);
    ck_assert_uint_gt(one, 0);
    ck_assert_uint_gt(many, one);
    infl_objective *bounded = problem_objective(q, 1, (one + many) / 2);
    assert_ok(infl_objective_memory(bounded, 64, &within));
    ck_assert_uint_le(within, (one + many) / 2);
    double *vectors = problem_normals(q, 64 * q->p, 1);
    assert_ok(infl_objective_product(bounded, INFL_HESSIAN, vectors, 64, problem_room(q, 64 * q->p)));
    assert_fails(INFL_E_ARGUMENT, infl_objective_memory(NULL, 1, &untouched));
    assert_fails(INFL_E_ARGUMENT, infl_objective_memory(q->objective, 0, &untouched));
    assert_fails(INFL_E_ARGUMENT, infl_objective_memory(q->objective, 1, NULL));
    ck_assert_uint_eq(untouched, 77);
    infl_objective_destroy(bounded);
    problem_destroy(q);
}
END_TEST

/*
 * The reference's network given through callbacks is the built-in one, to the rounding of two implementations (as in
 * test_derivatives.c).
 */
START_TEST(test_custom) {
    for (int graph = REFERENCE_PLAIN; graph <= REFERENCE_TANGLED; graph++) {
        problem_options options = PROBLEM_OPTIONS_INIT;
        options.graph = (reference_graph)graph;
        options.loss = (infl_loss_kind)_i;
        options.decay = 0.2;
        options.decay_scope = INFL_DECAY_WEIGHTS;
        problem *q = problem_create(&options);
        size_t p = q->p, n = q->n;
        unsigned char *mask = calloc(p, 1);
        for (size_t j = 0; j < p; j++)
            mask[j] = q->mask[j] != 0.0;
        infl_custom_objective custom = reference_custom(q, mask);
        infl_objective_options objective_options = INFL_OBJECTIVE_OPTIONS_INIT;
        infl_objective *objective = NULL;
        objective_options.decay = 0.2;
        objective_options.threads = 2;
        assert_ok(infl_objective_create_custom(&objective, &custom, q->theta, &objective_options));
        memset(mask, 0xff, p); /* copied */
        free(mask);
        ck_assert_uint_eq(infl_objective_rows(objective), n);
        ck_assert_uint_eq(infl_objective_parameters(objective), p);
        ck_assert(infl_objective_decay(objective) == 0.2);
        double *vectors = problem_normals(q, K * p, 1), *weights = problem_normals(q, K * n, 2);
        for (int moved = 0; moved < 2; moved++) {
            for (int i = 0; i < N_QUANTITIES; i++) {
                size_t size = quantity_size((quantity)i, n, p);
                double *got = problem_room(q, size), *expected = problem_room(q, size);
                assert_ok(ask(objective, (quantity)i, vectors, weights, got));
                assert_ok(ask(q->objective, (quantity)i, vectors, weights, expected));
                assert_close(got, expected, size, 1e-12, "quantity %d, %s", i, problem_name(q));
            }
            size_t rows[] = {4, 1, 4};
            double value, expected_value, *got = problem_room(q, p), *expected = problem_room(q, p);
            assert_ok(infl_objective_evaluate_rows(objective, rows, 3, &value, got));
            assert_ok(infl_objective_evaluate_rows(q->objective, rows, 3, &expected_value, expected));
            assert_close(&value, &expected_value, 1, 1e-12, "rows");
            assert_close(got, expected, p, 1e-12, "rows");
            for (int kind = 0; kind < N_KINDS; kind++) {
                assert_ok(infl_objective_product_rows(objective, (infl_curvature_kind)kind, rows, 3, vectors, 1, got));
                assert_ok(infl_objective_product_rows(q->objective, (infl_curvature_kind)kind, rows, 3, vectors, 1,
                                                      expected));
                assert_close(got, expected, p, 1e-12, "rows, kind %d", kind);
            }
            for (size_t j = 0; j < p; j++)
                got[j] = q->theta[j] * 0.9 + 0.01;
            assert_ok(infl_objective_set_parameters(objective, got));
            assert_ok(infl_objective_set_parameters(q->objective, got));
            assert_ok(infl_objective_get_parameters(objective, expected));
            assert_same_bits(got, expected, p, "own parameters");
        }
        size_t removed[] = {2};
        infl_objective *without = NULL, *builtin = NULL;
        assert_ok(infl_objective_without(&without, objective, removed, 1));
        assert_ok(infl_objective_without(&builtin, q->objective, removed, 1));
        double *got = problem_room(q, K * p), *expected = problem_room(q, K * p);
        assert_ok(infl_objective_product(without, INFL_HESSIAN, vectors, K, got));
        assert_ok(infl_objective_product(builtin, INFL_HESSIAN, vectors, K, expected));
        assert_close(got, expected, K * p, 1e-12, "without a row");
        infl_objective_destroy(without);
        infl_objective_destroy(builtin);
        infl_objective_destroy(objective);
        problem_destroy(q);
    }
}
END_TEST

static int failing_losses(void *context, const double *theta, const size_t *rows, size_t n_rows, double *losses) {
    (void)context, (void)theta, (void)rows, (void)n_rows, (void)losses;
    return 4711;
}
static int failing_gradients(void *context, const double *theta, const size_t *rows, size_t n_rows, double *out) {
    (void)context, (void)theta, (void)rows, (void)n_rows, (void)out;
    return -4712;
}
static int failing_products(void *context, const double *theta, const size_t *rows, size_t n_rows,
                            const double *vectors, size_t k, double *out) {
    (void)context, (void)theta, (void)rows, (void)n_rows, (void)vectors, (void)k, (void)out;
    return 4713;
}
static int nan_losses(void *context, const double *theta, const size_t *rows, size_t n_rows, double *losses) {
    (void)context, (void)theta, (void)rows;
    for (size_t i = 0; i < n_rows; i++)
        losses[i] = NAN;
    return 0;
}

START_TEST(test_custom_errors) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    problem *q = problem_create(&options);
    size_t p = q->p, n = q->n;
    infl_custom_objective good = reference_custom(q, NULL), custom = good;
    infl_objective *objective = NULL;
    double *vectors = problem_normals(q, K * p, 1), *weights = problem_normals(q, K * n, 2);
    double *out = problem_room(q, n * p + p * p + K * (n + p));
    size_t room = n * p + p * p + K * (n + p);
    fill_sentinel(out, room);

    /* a code of the caller's own reaches him */
    custom.losses = failing_losses;
    custom.row_gradients = failing_gradients;
    custom.hessian_products = custom.gauss_newton_products = failing_products;
    assert_ok(infl_objective_create_custom(&objective, &custom, q->theta, NULL));
    for (int i = 0; i < N_QUANTITIES; i++) {
        infl_status status = ask(objective, (quantity)i, vectors, weights, out);
        assert_refused(status, INFL_E_CALLBACK, (quantity)i);
        ck_assert_msg(strstr(infl_last_error(), "471") != NULL, "quantity %d: %s", i, infl_last_error());
        ck_assert_msg(all_sentinel(out, room), "quantity %d changed its output", i);
    }
    infl_objective_destroy(objective);

    /* what is missing is said to be */
    custom = good;
    custom.hessian_products = NULL;
    custom.gauss_newton_products = NULL;
    assert_ok(infl_objective_create_custom(&objective, &custom, q->theta, NULL));
    static const quantity missing[] = {PRODUCT_HESSIAN, PRODUCT_GAUSS_NEWTON, DENSE_HESSIAN, DENSE_GAUSS_NEWTON};
    for (size_t i = 0; i < 4; i++) {
        infl_status status = ask(objective, missing[i], vectors, weights, out);
        assert_refused(status, INFL_E_UNSUPPORTED, missing[i]);
        ck_assert(all_sentinel(out, room));
    }
    assert_ok(ask(objective, PRODUCT_FISHER, vectors, weights, out)); /* from gradients alone */
    assert_ok(ask(objective, WEIGHTED, vectors, weights, out));
    assert_ok(ask(objective, ROW_PRODUCTS, vectors, weights, out));
    infl_objective_destroy(objective);

    custom = good;
    custom.losses = nan_losses;
    fill_sentinel(out, room);
    assert_ok(infl_objective_create_custom(&objective, &custom, q->theta, NULL));
    ck_assert_int_eq(infl_objective_evaluate(objective, out, out + 1), INFL_E_NONFINITE);
    ck_assert(all_sentinel(out, room));
    infl_objective_destroy(objective);

    objective = NULL;
    assert_fails(INFL_E_ARGUMENT, infl_objective_create_custom(NULL, &good, q->theta, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_create_custom(&objective, NULL, q->theta, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_create_custom(&objective, &good, NULL, NULL));
    custom = good;
    custom.losses = NULL;
    assert_fails(INFL_E_ARGUMENT, infl_objective_create_custom(&objective, &custom, q->theta, NULL));
    custom = good;
    custom.row_gradients = NULL;
    assert_fails(INFL_E_ARGUMENT, infl_objective_create_custom(&objective, &custom, q->theta, NULL));
    custom = good;
    custom.n_rows = 0;
    assert_fails(INFL_E_ARGUMENT, infl_objective_create_custom(&objective, &custom, q->theta, NULL));
    custom = good;
    custom.n_parameters = 0;
    assert_fails(INFL_E_ARGUMENT, infl_objective_create_custom(&objective, &custom, q->theta, NULL));
    infl_objective_options bad = INFL_OBJECTIVE_OPTIONS_INIT;
    bad.decay = -1.0;
    assert_fails(INFL_E_ARGUMENT, infl_objective_create_custom(&objective, &good, q->theta, &bad));
    vectors[p - 1] = NAN;
    assert_fails(INFL_E_NONFINITE, infl_objective_create_custom(&objective, &good, vectors, NULL));
    ck_assert_ptr_null(objective);
    problem_destroy(q);
}
END_TEST

/* Without rows: what an objective on the dataset without them is, with a θ of its own. */
START_TEST(test_without) {
    static const size_t removals[][2] = {{0, 0}, {11, 11}, {3, 7}, {0, 11}};
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.graph = REFERENCE_TANGLED;
    options.n_rows = 12;
    options.decay = 0.3;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    problem *q = problem_create(&options);
    size_t p = q->p;
    double *vectors = problem_normals(q, K * p, 1), *weights = problem_normals(q, K * q->n, 2);
    double *moved = problem_room(q, p), *theta = problem_room(q, p);
    for (size_t j = 0; j < p; j++)
        moved[j] = 0.5 * q->theta[j] + 0.1;
    for (size_t r = 0; r < sizeof removals / sizeof removals[0]; r++) {
        size_t removed = removals[r][0] == removals[r][1] ? 1 : 2;
        infl_dataset *rest = NULL;
        infl_model *model = NULL;
        infl_objective *without = NULL, *fresh = NULL;
        infl_objective_options objective_options = INFL_OBJECTIVE_OPTIONS_INIT;
        objective_options.decay = 0.3;
        objective_options.decay_scope = INFL_DECAY_WEIGHTS;
        assert_ok(infl_dataset_without(&rest, q->dataset, removals[r], removed));
        assert_ok(infl_model_clone(&model, q->model));
        assert_ok(infl_objective_create(&fresh, model, &q->loss, rest, &objective_options));
        assert_ok(infl_objective_without(&without, q->objective, removals[r], removed));
        ck_assert_uint_eq(infl_objective_rows(without), q->n - removed);
        ck_assert_uint_eq(infl_objective_parameters(without), p);
        ck_assert(infl_objective_decay(without) == 0.3);
        for (int i = 0; i < N_QUANTITIES; i++) {
            size_t size = quantity_size((quantity)i, q->n - removed, p);
            double *got = problem_room(q, size), *expected = problem_room(q, size);
            assert_ok(ask(without, (quantity)i, vectors, weights, got));
            assert_ok(ask(fresh, (quantity)i, vectors, weights, expected));
            assert_close(got, expected, size, 1e-13, "quantity %d", i);
        }
        /* θ here, there, and of the model */
        assert_ok(infl_objective_set_parameters(without, moved));
        assert_ok(infl_model_get_parameters(q->model, theta));
        assert_same_bits(theta, q->theta, p, "the model's");
        assert_ok(infl_objective_get_parameters(q->objective, theta));
        assert_same_bits(theta, q->theta, p, "the objective's");
        assert_ok(infl_objective_get_parameters(without, theta));
        assert_same_bits(theta, moved, p, "the copy's");
        /* a row removed from what is left, counted there */
        infl_objective *twice = NULL;
        size_t again[] = {1};
        infl_dataset *less = NULL;
        infl_objective *less_fresh = NULL;
        double value, expected_value;
        assert_ok(infl_objective_without(&twice, without, again, 1));
        assert_ok(infl_objective_get_parameters(twice, theta));
        assert_same_bits(theta, moved, p, "the copy's copy's");
        assert_ok(infl_dataset_without(&less, rest, again, 1));
        assert_ok(infl_model_set_parameters(model, moved));
        assert_ok(infl_objective_create(&less_fresh, model, &q->loss, less, &objective_options));
        assert_ok(infl_objective_evaluate(twice, &value, NULL));
        assert_ok(infl_objective_evaluate(less_fresh, &expected_value, NULL));
        assert_close(&value, &expected_value, 1, 1e-13, "removed twice");
        infl_objective_destroy(less_fresh);
        infl_objective_destroy(twice);
        infl_objective_destroy(without);
        infl_objective_destroy(fresh);
        infl_dataset_destroy(less);
        infl_dataset_destroy(rest);
        infl_model_destroy(model);
    }
    /* a row named twice is removed once */
    infl_objective *copy = NULL;
    size_t doubled[] = {3, 3};
    assert_ok(infl_objective_without(&copy, q->objective, doubled, 2));
    ck_assert_uint_eq(infl_objective_rows(copy), q->n - 1);
    infl_objective_destroy(copy);
    copy = NULL;
    double *a = problem_room(q, 1 + p), *b = problem_room(q, 1 + p);
    assert_ok(infl_objective_without(&copy, q->objective, NULL, 0));
    ck_assert_uint_eq(infl_objective_rows(copy), q->n);
    assert_ok(infl_objective_evaluate(copy, a, a + 1));
    assert_ok(infl_objective_evaluate(q->objective, b, b + 1));
    assert_same_bits(a, b, 1 + p, "a copy");
    infl_objective_destroy(copy);
    copy = NULL;
    size_t all[12], out_of_range[] = {12};
    for (size_t i = 0; i < 12; i++)
        all[i] = i;
    assert_fails(INFL_E_ARGUMENT, infl_objective_without(&copy, q->objective, all, 12));
    assert_fails(INFL_E_ARGUMENT, infl_objective_without(&copy, q->objective, out_of_range, 1));
    assert_fails(INFL_E_ARGUMENT, infl_objective_without(&copy, q->objective, NULL, 1));
    assert_fails(INFL_E_ARGUMENT, infl_objective_without(&copy, NULL, all, 1));
    assert_fails(INFL_E_ARGUMENT, infl_objective_without(NULL, q->objective, all, 1));
    ck_assert_ptr_null(copy);
    infl_objective_destroy(NULL);
    problem_destroy(q);
}
END_TEST

/* Objectives on one model see one θ; an objective outlives the dataset's handle. */
START_TEST(test_sharing) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    problem *q = problem_create(&options);
    infl_objective *second = problem_objective(q, 1, 0);
    double *moved = problem_normals(q, q->p, 3), *theta = problem_room(q, q->p), first_value, second_value;
    infl_dataset_destroy(q->dataset);
    q->dataset = NULL;
    assert_ok(infl_objective_set_parameters(second, moved));
    assert_ok(infl_model_get_parameters(q->model, theta));
    assert_same_bits(theta, moved, q->p, "the model's");
    assert_ok(infl_objective_evaluate(q->objective, &first_value, NULL));
    assert_ok(infl_objective_evaluate(second, &second_value, NULL));
    assert_same_bits(&first_value, &second_value, 1, "value");
    memcpy(q->theta, moved, q->p * sizeof *moved);
    reference_risk(q, NULL, 0, &first_value, NULL);
    assert_close(&second_value, &first_value, 1, 1e-12, "value at the new parameters");
    infl_objective_destroy(second);
    problem_destroy(q);
}
END_TEST

static infl_dataset *reals(size_t n, size_t d, size_t t) {
    infl_dataset *dataset = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    double *numbers = calloc(n * (d > t ? d : t), sizeof *numbers);
    spec.n_rows = n;
    spec.n_features = d;
    spec.features = numbers;
    spec.targets = numbers;
    spec.n_targets = t;
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(numbers);
    return dataset;
}

static infl_dataset *classes(size_t n, size_t d, size_t n_classes) {
    infl_dataset *dataset = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    double *numbers = calloc(n * d, sizeof *numbers);
    int32_t *labels = calloc(n, sizeof *labels);
    labels[0] = (int32_t)n_classes - 1;
    spec.n_rows = n;
    spec.n_features = d;
    spec.features = numbers;
    spec.labels = labels;
    spec.n_classes = n_classes;
    assert_ok(infl_dataset_create(&dataset, &spec));
    free(labels);
    free(numbers);
    return dataset;
}

/* Every way in which model, loss and dataset do not fit each other. */
START_TEST(test_misfits) {
    const size_t one[] = {1}, three[] = {3};
    infl_model *single = NULL, *triple = NULL;
    assert_ok(infl_model_create_mlp(&single, INFL_F64, 2, one, 1, INFL_TANH, INFL_INIT_HE, 1));
    assert_ok(infl_model_create_mlp(&triple, INFL_F64, 2, three, 1, INFL_TANH, INFL_INIT_HE, 1));
    infl_loss softmax = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY), logistic = INFL_LOSS_INIT(INFL_LOGISTIC);
    infl_loss squared = INFL_LOSS_INIT(INFL_SQUARED_ERROR), hinge = INFL_LOSS_INIT(INFL_SMOOTHED_HINGE);
    infl_loss unknown = INFL_LOSS_INIT((infl_loss_kind)9), cold = INFL_LOSS_INIT(INFL_SMOOTHED_HINGE);
    infl_loss nan_temperature = INFL_LOSS_INIT(INFL_SMOOTHED_HINGE);
    cold.temperature = 0.0;
    nan_temperature.temperature = NAN;
    infl_dataset *class2 = classes(5, 2, 2), *class3 = classes(5, 2, 3), *class4 = classes(5, 2, 4);
    infl_dataset *wide = classes(5, 4, 3), *real1 = reals(5, 2, 1), *real3 = reals(5, 2, 3);
    const struct {
        infl_model *model;
        const infl_loss *loss;
        const infl_dataset *dataset;
        int fits;
    } cases[] = {
        {triple, &softmax, class3, 1},  {single, &logistic, class2, 1},
        {single, &hinge, class2, 1},    {triple, &squared, real3, 1},
        {single, &squared, real1, 1},   {triple, &softmax, wide, 0}, /* features and inputs        */
        {triple, &softmax, class4, 0},                               /* labels beyond the outputs  */
        {single, &softmax, class2, 0},  {triple, &softmax, real3, 0},
        {single, &logistic, class3, 0}, {triple, &logistic, class2, 0},
        {single, &logistic, real1, 0},  {single, &hinge, class3, 0},
        {triple, &hinge, class2, 0},    {single, &hinge, real1, 0},
        {triple, &squared, real1, 0},   {single, &squared, real3, 0},
        {triple, &squared, class3, 0},  {triple, &unknown, class3, 0},
        {single, &cold, class2, 0},     {single, &nan_temperature, class2, 0},
        {NULL, &softmax, class3, 0},    {triple, NULL, class3, 0},
        {triple, &softmax, NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        infl_objective *objective = NULL;
        infl_status status = infl_objective_create(&objective, cases[i].model, cases[i].loss, cases[i].dataset, NULL);
        ck_assert_msg(status == (cases[i].fits ? INFL_OK : INFL_E_ARGUMENT), "case %zu: %s", i,
                      infl_status_name(status));
        ck_assert((objective != NULL) == cases[i].fits);
        if (!cases[i].fits)
            ck_assert_msg(strncmp(infl_last_error(), "infl_objective_create:", 22) == 0, "case %zu: %s", i,
                          infl_last_error());
        infl_objective_destroy(objective);
    }
    infl_objective *objective = NULL;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    static const double decays[] = {-1e-9, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 4; i++) {
        options.decay = decays[i];
        assert_fails(INFL_E_ARGUMENT, infl_objective_create(&objective, triple, &softmax, class3, &options));
    }
    options.decay = 0.0;
    options.decay_scope = (infl_decay_scope)2;
    assert_fails(INFL_E_ARGUMENT, infl_objective_create(&objective, triple, &softmax, class3, &options));
    options.decay_scope = INFL_DECAY_ALL;
    options.threads = -1;
    assert_fails(INFL_E_ARGUMENT, infl_objective_create(&objective, triple, &softmax, class3, &options));
    options.threads = 0;
    options.size = 0;
    assert_fails(INFL_E_ARGUMENT, infl_objective_create(&objective, triple, &softmax, class3, &options));
    assert_fails(INFL_E_ARGUMENT, infl_objective_create(NULL, triple, &softmax, class3, NULL));
    ck_assert_ptr_null(objective);
    infl_dataset *datasets[] = {class2, class3, class4, wide, real1, real3};
    for (size_t i = 0; i < 6; i++)
        infl_dataset_destroy(datasets[i]);
    infl_model_destroy(single);
    infl_model_destroy(triple);
}
END_TEST

/* Wrong arguments of everything that an objective is asked, each leaving its output as it was. */
START_TEST(test_bad_input) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    problem *q = problem_create(&options);
    infl_objective *o = q->objective;
    size_t p = q->p, n = q->n, room = n * p + p * p + 8;
    size_t rows[] = {0, 1}, beyond[] = {0, n}, far_beyond[] = {SIZE_MAX, 0};
    double *v = problem_normals(q, 2 * p, 1), *out = problem_room(q, room), value = SENTINEL;
    double *nan = problem_normals(q, 2 * p, 1), *theta = problem_room(q, p);
    infl_curvature_kind h = INFL_HESSIAN;
    nan[2 * p - 1] = NAN;
    fill_sentinel(out, room);

    assert_fails(INFL_E_ARGUMENT, infl_objective_evaluate(NULL, &value, out));
    assert_ok(infl_objective_evaluate(o, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_evaluate_rows(NULL, rows, 2, &value, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_evaluate_rows(o, rows, 0, &value, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_evaluate_rows(o, beyond, 2, &value, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_evaluate_rows(o, far_beyond, 2, &value, out));

    assert_fails(INFL_E_ARGUMENT, infl_objective_losses(NULL, rows, 2, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_losses(o, rows, 2, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_losses(o, beyond, 2, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_losses(o, rows, 0, out));

    assert_fails(INFL_E_ARGUMENT, infl_objective_row_gradients(NULL, rows, 2, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_row_gradients(o, rows, 2, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_row_gradients(o, beyond, 2, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_row_gradients(o, rows, 0, out));

    assert_fails(INFL_E_ARGUMENT, infl_objective_row_products(NULL, rows, 2, v, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_row_products(o, rows, 2, NULL, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_row_products(o, rows, 2, v, 0, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_row_products(o, rows, 2, v, 1, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_row_products(o, far_beyond, 1, v, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_row_products(o, rows, 0, v, 1, out));
    assert_fails(INFL_E_NONFINITE, infl_objective_row_products(o, rows, 2, nan, 2, out));

    assert_fails(INFL_E_ARGUMENT, infl_objective_weighted_gradients(NULL, rows, 2, v, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_weighted_gradients(o, rows, 2, NULL, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_weighted_gradients(o, rows, 2, v, 0, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_weighted_gradients(o, rows, 2, v, 1, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_weighted_gradients(o, beyond, 2, v, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_weighted_gradients(o, rows, 0, v, 1, out));
    assert_fails(INFL_E_NONFINITE, infl_objective_weighted_gradients(o, rows, 2, nan + 2 * p - 2, 1, out));

    for (int kind = 0; kind < N_KINDS; kind++) {
        infl_curvature_kind c = (infl_curvature_kind)kind;
        assert_fails(INFL_E_ARGUMENT, infl_objective_product(NULL, c, v, 1, out));
        assert_fails(INFL_E_ARGUMENT, infl_objective_product(o, c, NULL, 1, out));
        assert_fails(INFL_E_ARGUMENT, infl_objective_product(o, c, v, 0, out));
        assert_fails(INFL_E_ARGUMENT, infl_objective_product(o, c, v, 1, NULL));
        assert_fails(INFL_E_NONFINITE, infl_objective_product(o, c, nan, 2, out));
        assert_fails(INFL_E_ARGUMENT, infl_objective_product_rows(o, c, beyond, 2, v, 1, out));
        assert_fails(INFL_E_ARGUMENT, infl_objective_product_rows(o, c, rows, 0, v, 1, out));
        assert_fails(INFL_E_NONFINITE, infl_objective_product_rows(o, c, rows, 1, nan, 2, out));
        assert_fails(INFL_E_ARGUMENT, infl_objective_dense(NULL, c, NULL, out, NULL));
        assert_fails(INFL_E_ARGUMENT, infl_objective_dense(o, c, NULL, NULL, NULL));
    }
    assert_fails(INFL_E_ARGUMENT, infl_objective_product_rows(NULL, h, rows, 2, v, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_product(o, (infl_curvature_kind)3, v, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_product(o, (infl_curvature_kind)-1, v, 1, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_dense(o, (infl_curvature_kind)3, NULL, out, NULL));

    assert_fails(INFL_E_ARGUMENT, infl_objective_set_parameters(NULL, v));
    assert_fails(INFL_E_ARGUMENT, infl_objective_set_parameters(o, NULL));
    assert_fails(INFL_E_NONFINITE, infl_objective_set_parameters(o, nan + p));
    assert_fails(INFL_E_ARGUMENT, infl_objective_get_parameters(NULL, out));
    assert_fails(INFL_E_ARGUMENT, infl_objective_get_parameters(o, NULL));
    assert_ok(infl_objective_get_parameters(o, theta));
    assert_same_bits(theta, q->theta, p, "parameters after refusals");
    ck_assert(value == SENTINEL);
    ck_assert(all_sentinel(out, room));
    problem_destroy(q);
}
END_TEST

/* A network that overflows: an error and no output, not a number that is none. */
START_TEST(test_nonfinite_results) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.precision = (infl_precision)_i;
    options.loss = INFL_SQUARED_ERROR;
    options.activation = INFL_IDENTITY;
    problem *q = problem_create(&options);
    size_t p = q->p, n = q->n;
    double *theta = problem_room(q, p), *v = problem_normals(q, K * p, 1), *weights = problem_normals(q, K * n, 2);
    for (size_t j = 0; j < p; j++)
        theta[j] = _i == INFL_F32 ? 1e30 : 1e200;
    assert_ok(infl_objective_set_parameters(q->objective, theta));
    for (int i = 0; i < N_QUANTITIES; i++) {
        size_t size = quantity_size((quantity)i, n, p);
        double *out = problem_room(q, size);
        fill_sentinel(out, size);
        infl_status status = ask(q->objective, (quantity)i, v, weights, out);
        assert_refused(status, INFL_E_NONFINITE, (quantity)i);
        ck_assert_msg(all_sentinel(out, size), "quantity %d", i);
    }
    if (_i == INFL_F32) {
        double *before = problem_room(q, p), *after = problem_room(q, p);
        assert_ok(infl_objective_get_parameters(q->objective, before));
        for (size_t j = 0; j < p; j++)
            theta[j] = j == 1 ? 1e300 : 1.0;
        assert_fails(INFL_E_NONFINITE, infl_objective_set_parameters(q->objective, theta));
        assert_ok(infl_objective_get_parameters(q->objective, after));
        assert_same_bits(before, after, p, "parameters beyond float");
    }
    problem_destroy(q);
}
END_TEST

/* Products that use what one before has kept are those of an objective that keeps nothing, to the bit: another vector,
 * curvature, set of rows, and θ, by whichever way it changes. */
START_TEST(test_kept) {
    problem *q = large_problem((infl_precision)_i);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    infl_objective *objective[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        options.keep_budget = i == 0 ? 0 : (size_t)1 << 30;
        assert_ok(infl_objective_create(&objective[i], q->model, &q->loss, q->dataset, &options));
    }
    size_t kept = 0, plain = 0, p = q->p, rows[] = {5, 700, 3, 3, 1999}, others[] = {5, 700, 3, 4, 1999};
    assert_ok(infl_objective_memory(objective[0], 1, &plain));
    assert_ok(infl_objective_memory(objective[1], 1, &kept));
    ck_assert_uint_gt(kept, plain);
    double *vectors = problem_normals(q, 3 * p, 1), *theta = problem_normals(q, p, 5);
    for (int step = 0; step < 9; step++) {
        if (step == 5)
            assert_ok(infl_objective_set_parameters(objective[0], theta));
        if (step == 6)
            assert_ok(infl_model_initialise(q->model, 99));
        if (step == 7)
            assert_ok(infl_model_set_parameters(q->model, q->theta));
        infl_curvature_kind kind = step == 0 ? INFL_GAUSS_NEWTON : step == 2 ? INFL_FISHER : INFL_HESSIAN;
        const size_t *of = step == 3 ? rows : step == 4 ? others : NULL;
        for (size_t repeat = 0; repeat < 3; repeat++) { /* the second fills what is kept, the third uses it */
            double *out[2] = {problem_room(q, p), problem_room(q, p)}, value;
            const double *v = vectors + repeat * p;
            for (int i = 0; i < 2; i++) {
                if (of != NULL)
                    assert_ok(infl_objective_product_rows(objective[i], kind, of, 5, v, 1, out[i]));
                else
                    assert_ok(infl_objective_product(objective[i], kind, v, 1, out[i]));
                if (step == 8) /* something else in between */
                    assert_ok(infl_objective_evaluate(objective[i], &value, NULL));
            }
            assert_same_bits(out[0], out[1], p, "step %d, repeat %zu", step, repeat);
        }
    }
    for (int i = 0; i < 2; i++)
        infl_objective_destroy(objective[i]);
    problem_destroy(q);
}
END_TEST

/* Norms and streamed gradients are those of the matrix; a callback that returns non-zero ends the work. */
static int stop_at_second(void *context, size_t first, size_t n, const double *gradients) {
    (void)n, (void)gradients;
    return ++*(int *)context == 2 && first > 0;
}

START_TEST(test_rows_in_blocks) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.graph = REFERENCE_TANGLED;
    options.n_rows = 50;
    problem *q = problem_create(&options);
    size_t p = q->p, rows[] = {49, 0, 7, 7, 20, 21, 22, 48, 1}, n = sizeof rows / sizeof rows[0];
    double *matrix = problem_room(q, n * p), *streamed = problem_room(q, n * p), *norms = problem_room(q, n);
    stream to = {streamed, p, 0};
    int calls = 0;
    assert_ok(infl_objective_row_gradients(q->objective, rows, n, matrix));
    assert_ok(infl_objective_stream_row_gradients(q->objective, rows, n, 4, take_block, &to));
    ck_assert_uint_eq(to.next, n);
    assert_same_bits(streamed, matrix, n * p, "streamed gradients");
    assert_ok(infl_objective_row_norms(q->objective, rows, n, norms));
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t j = 0; j < p; j++)
            square += matrix[i * p + j] * matrix[i * p + j];
        /* p squares, each rounded once more than here */
        ck_assert_double_eq_tol(norms[i], sqrt(square), (double)p * DBL_EPSILON * sqrt(square));
    }
    assert_fails(INFL_E_CANCELLED,
                 infl_objective_stream_row_gradients(q->objective, rows, n, 4, stop_at_second, &calls));
    ck_assert_int_eq(calls, 2);
    assert_fails(INFL_E_ARGUMENT, infl_objective_stream_row_gradients(q->objective, rows, n, 4, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_objective_row_norms(q->objective, rows, n, NULL));
    problem_destroy(q);
}
END_TEST

/* Above four million parameters tangents are converted to f32 layer by layer: the same products as in f64. */
START_TEST(test_large_tangents) {
    enum { INPUTS = 12, WIDE = 2048, ROWS = 20, VECTORS = 2 };
    static const size_t units[] = {WIDE, WIDE, 3};
    double *features = spectral_normals(ROWS * INPUTS, 1), *out[2] = {NULL, NULL}, *vectors = NULL;
    int32_t labels[ROWS];
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % 3;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = ROWS;
    spec.n_features = INPUTS;
    spec.features = features;
    spec.labels = labels;
    infl_dataset *dataset = NULL;
    assert_ok(infl_dataset_create(&dataset, &spec));
    size_t p = 0;
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        infl_model *model = NULL;
        infl_objective *objective = NULL;
        infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
        infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
        options.threads = 2;
        assert_ok(
            infl_model_create_mlp(&model, (infl_precision)precision, INPUTS, units, 3, INFL_TANH, INFL_INIT_GLOROT, 1));
        p = infl_model_parameters(model);
        ck_assert_uint_gt(p, 4u << 20);
        assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
        vectors = vectors != NULL ? vectors : spectral_normals(VECTORS * p, 2);
        out[precision] = malloc(VECTORS * p * sizeof *out[precision]);
        assert_ok(infl_objective_product(objective, INFL_HESSIAN, vectors, VECTORS, out[precision]));
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
    for (size_t k = 0; k < VECTORS; k++) {
        double apart = 0, norm = 0;
        for (size_t j = k * p; j < (k + 1) * p; j++) {
            apart += (out[0][j] - out[1][j]) * (out[0][j] - out[1][j]);
            norm += out[1][j] * out[1][j];
        }
        /* sums of 2,048 products round to √2048·ε of their size, over three layers there and back, twice */
        ck_assert_double_le(sqrt(apart / norm), 12 * sqrt(2048) * FLT_EPSILON);
    }
    free(features);
    free(vectors);
    free(out[0]);
    free(out[1]);
    infl_dataset_destroy(dataset);
}
END_TEST

/* A callback that asks the objective for something else does not change the rows that follow. */
typedef struct asking {
    infl_objective *objective;
    stream to;
} asking;

static int ask_within_stream(void *context, size_t first, size_t n, const double *gradients) {
    asking *a = context;
    const size_t others[] = {0, 0};
    double losses[2];
    assert_ok(infl_objective_losses(a->objective, others, 2, losses));
    return take_block(&a->to, first, n, gradients);
}

START_TEST(test_stream_callback) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.n_rows = 20;
    problem *q = problem_create(&options);
    size_t rows[] = {19, 18, 17, 16, 15};
    double *matrix = problem_room(q, 5 * q->p), *streamed = problem_room(q, 5 * q->p);
    asking a = {q->objective, {streamed, q->p, 0}};
    assert_ok(infl_objective_row_gradients(q->objective, rows, 5, matrix));
    assert_ok(infl_objective_stream_row_gradients(q->objective, rows, 5, 1, ask_within_stream, &a));
    assert_same_bits(streamed, matrix, 5 * q->p, "streamed gradients");
    problem_destroy(q);
}
END_TEST

/* What one call leaves behind counts against the budget of the next: whatever was asked before, no more is held. */
START_TEST(test_budget_over_calls) {
    problem *q = large_problem(INFL_F32);
    size_t p = q->p, n = q->n;
    size_t *rows = calloc(n, sizeof *rows);
    double *vectors = problem_normals(q, K * p, 1), *out = problem_room(q, (K * p > n * K ? K * p : n * K));
    for (size_t i = 0; i < n; i++)
        rows[i] = i;
    infl_chunks chunks = {
        .model = q->model, .dataset = q->dataset, .loss = q->loss, .threads = 3, .keep_budget = (size_t)1 << 30};
    infl_chunk_job one = {.work = INFL_WORK_HESSIAN, .rows = rows, .n = n, .input = vectors, .k = 1, .output = out};
    infl_chunk_job many = one, products = one;
    many.k = K;
    products.work = INFL_WORK_ROW_PRODUCTS;
    products.k = K;
    const infl_chunk_job *jobs[] = {&one, &one, &one, &products, &one, &one, &many, &one, &one, &products};
    assert_ok(infl_chunks_memory(&chunks, &one, &chunks.budget)); /* what one product takes that keeps its values */
    size_t kept = 0;
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        assert_ok(infl_chunks_run(&chunks, jobs[i]));
        ck_assert_msg(chunks.bytes + chunks.kept_bytes <= chunks.budget,
                      "after job %zu %zu and %zu bytes are held of %zu", i, chunks.bytes, chunks.kept_bytes,
                      chunks.budget);
        kept = chunks.kept_bytes > kept ? chunks.kept_bytes : kept;
    }
    ck_assert_uint_gt(kept, 0);
    infl_chunks_release(&chunks);
    free(rows);
    problem_destroy(q);
}
END_TEST

Suite *objective_suite(void) {
    Suite *suite = suite_create("objective");
    add_case(suite, "objective/threads", test_threads, 2);
    add_case(suite, "objective/budget", test_budget, 4);
    add_case(suite, "objective/budget-over-calls", test_budget_over_calls, 1);
    add_case(suite, "objective/memory", test_memory, 1);
    add_case(suite, "objective/kept", test_kept, 2);
    add_case(suite, "objective/large-tangents", test_large_tangents, 1);
    add_case(suite, "objective/stream-callback", test_stream_callback, 1);
    add_case(suite, "objective/rows-in-blocks", test_rows_in_blocks, 1);
    add_case(suite, "objective/custom", test_custom, INFL_SMOOTHED_HINGE + 1);
    add_case(suite, "objective/custom/errors", test_custom_errors, 1);
    add_case(suite, "objective/custom/budget", test_custom_budget, 1);
    add_case(suite, "objective/without", test_without, 1);
    add_case(suite, "objective/sharing", test_sharing, 1);
    add_case(suite, "objective/misfits", test_misfits, 1);
    add_case(suite, "objective/bad-input", test_bad_input, 1);
    add_case(suite, "objective/nonfinite-results", test_nonfinite_results, 2);
    return suite;
}

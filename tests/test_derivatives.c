/* Every derivative of every network: against finite differences, against hyper-dual numbers, against each other. */
#include <math.h>

#include "network.h"
#include "reference.h"
#include "suites.h"

enum { N_KINDS = INFL_FISHER + 1 };

/*
 * Two orders of summing a few hundred products through at most nine layers: the condition of such sums is below 100 for
 * these problems, so that some 100 roundings of 1.1e-16 stay well below this; a wrong term is of order 1.
 */
static const double exact = 1e-12;

static const char *const kind_names[] = {"Hessian", "Gauss-Newton", "Fisher"};

/* Calls check with a problem for each loss × graph × depth. */
static void each_problem(int activation, infl_precision precision, void (*check)(problem *)) {
    for (int loss = 0; loss < INFL_N_LOSSES; loss++) {
        for (int graph = REFERENCE_PLAIN; graph <= REFERENCE_NORMALISED; graph++) {
            for (size_t depth = 0; depth <= (graph == REFERENCE_TANGLED ? 0u : 3u); depth++) {
                problem_options options = PROBLEM_OPTIONS_INIT;
                options.graph = (reference_graph)graph;
                options.depth = depth;
                options.activation = (infl_activation)activation;
                options.loss = (infl_loss_kind)loss;
                options.precision = precision;
                options.decay = 0.03;
                options.decay_scope = depth % 2 == 0 ? INFL_DECAY_ALL : INFL_DECAY_WEIGHTS;
                options.seed = 100 * (uint64_t)loss + 10 * (uint64_t)graph + depth + 1;
                problem *q = problem_create(&options);
                check(q);
                problem_destroy(q);
            }
        }
    }
}

static void normalise(double *v, size_t n) {
    double norm = 0.0;
    for (size_t j = 0; j < n; j++)
        norm = hypot(norm, v[j]);
    for (size_t j = 0; j < n; j++)
        v[j] /= norm;
}

static double dot(const double *x, const double *y, size_t n) {
    double sum = 0.0;
    for (size_t j = 0; j < n; j++)
        sum += x[j] * y[j];
    return sum;
}

/* The comparison itself: it has to see a sign, one sign among many, and a number that is none. */

START_TEST(test_comparison) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    problem *q = problem_create(&options);
    double *v = problem_normals(q, q->p, 7), *h = problem_room(q, q->p), *wrong = problem_room(q, q->p);
    reference_product(q, INFL_HESSIAN, NULL, 0, v, h);
    ck_assert(relative_error(h, h, q->p) == 0.0);
    for (size_t j = 0; j < q->p; j++)
        wrong[j] = -h[j];
    ck_assert(relative_error(wrong, h, q->p) > 1.9);
    for (size_t flipped = 0; flipped < q->p; flipped++) {
        for (size_t j = 0; j < q->p; j++)
            wrong[j] = j == flipped ? -h[j] : h[j];
        ck_assert_msg(relative_error(wrong, h, q->p) > 1e-6, "a flipped sign of element %zu passes", flipped);
    }
    for (size_t j = 0; j < q->p; j++)
        wrong[j] = j == q->p / 2 ? NAN : h[j];
    ck_assert(isinf(relative_error(wrong, h, q->p)));
    ck_assert(isinf(relative_error(h, wrong, q->p)));
    for (size_t j = 0; j < q->p; j++)
        wrong[j] = 0.0;
    ck_assert(relative_error(wrong, h, q->p) == 1.0);
    ck_assert(relative_error(h, wrong, q->p) > 0.0);

    /* the term of the second derivatives of the network alone: what is missing when it is dropped or has its sign
     * flipped is far above every tolerance here */
    double *g = problem_room(q, q->p);
    reference_product(q, INFL_GAUSS_NEWTON, NULL, 0, v, g);
    ck_assert(relative_error(g, h, q->p) > 1e-3);
    for (size_t j = 0; j < q->p; j++)
        wrong[j] = 2.0 * g[j] - h[j];
    ck_assert(relative_error(wrong, h, q->p) > 1e-3);
    problem_destroy(q);
}
END_TEST

/* A unit vector along which a step of reach meets no kink; redrawn until it is so. */
static double *direction(problem *q, uint64_t seed, double reach) {
    for (uint64_t i = 0; i < 100; i++) {
        double *v = problem_normals(q, q->p, seed + 1000 * i);
        normalise(v, q->p);
        if (reference_margin(q, q->theta, v) > reach)
            return v;
    }
    ck_abort_msg("every direction meets a kink: %s", problem_name(q));
    return NULL;
}

/* R and ∇R at θ + step·v */
static void evaluate_at(problem *q, const double *v, double step, double *value, double *gradient) {
    double *moved = problem_room(q, q->p);
    for (size_t j = 0; j < q->p; j++)
        moved[j] = q->theta[j] + step * v[j];
    assert_ok(infl_objective_set_parameters(q->objective, moved));
    assert_ok(infl_objective_evaluate(q->objective, value, gradient));
    assert_ok(infl_objective_set_parameters(q->objective, q->theta));
}

/*
 * Central differences at h and h/2, extrapolated: (4D(h/2) − D(h))/3. The rest is h⁴/480 times a fifth derivative,
 * which for these networks and τ = 0.3 is below 1e5: 1e-13; rounding is 1e-16·R/h ≈ 1e-12. The bound is 1e-6.
 */
static const double step = 2e-4;

static void check_differences(problem *q) {
    size_t p = q->p;
    double *gradient = problem_room(q, p), *product = problem_room(q, p), *difference = problem_room(q, p);
    double *plus = problem_room(q, p), *minus = problem_room(q, p);
    assert_ok(infl_objective_evaluate(q->objective, NULL, gradient));
    for (uint64_t seed = 1; seed <= 2; seed++) {
        double *v = direction(q, seed, 4.0 * step), slope = 0.0;
        for (size_t j = 0; j < p; j++)
            difference[j] = 0.0;
        for (int i = 0; i < 2; i++) {
            double h = i == 0 ? step : step / 2.0, weight = i == 0 ? -1.0 / 3.0 : 4.0 / 3.0, up, down;
            evaluate_at(q, v, h, &up, plus);
            evaluate_at(q, v, -h, &down, minus);
            slope += weight * (up - down) / (2.0 * h);
            for (size_t j = 0; j < p; j++)
                difference[j] += weight * (plus[j] - minus[j]) / (2.0 * h);
        }
        double along = dot(gradient, v, p);
        ck_assert_msg(fabs(along - slope) <= 1e-6 * sqrt(dot(gradient, gradient, p)), "gradient·v %.15g, not %.15g: %s",
                      along, slope, problem_name(q));
        assert_ok(infl_objective_product(q->objective, INFL_HESSIAN, v, 1, product));
        assert_close(product, difference, p, 1e-6, "%s", problem_name(q));
    }
}

START_TEST(test_differences) { each_problem(_i, INFL_F64, check_differences); }
END_TEST

static void check_hyperdual(problem *q) {
    size_t p = q->p;
    double value, expected_value, *got = problem_room(q, p), *expected = problem_room(q, p);
    assert_ok(infl_objective_evaluate(q->objective, &value, got));
    reference_risk(q, NULL, 0, &expected_value, expected);
    assert_close(&value, &expected_value, 1, exact, "%s", problem_name(q));
    assert_close(got, expected, p, exact, "%s", problem_name(q));
    double *v = problem_normals(q, p, 3);
    for (int kind = 0; kind < N_KINDS; kind++) {
        assert_ok(infl_objective_product(q->objective, (infl_curvature_kind)kind, v, 1, got));
        reference_product(q, (infl_curvature_kind)kind, NULL, 0, v, expected);
        assert_close(got, expected, p, exact, "%s, %s", kind_names[kind], problem_name(q));
    }
}

START_TEST(test_hyperdual) { each_problem(_i, INFL_F64, check_hyperdual); }
END_TEST

/* Losses, gradients of rows, their products with vectors and their weighted sums. */
static void check_rows(problem *q) {
    enum { K = 3 };
    size_t p = q->p, n = q->n;
    double *vectors = problem_normals(q, K * p, 5), *weights = problem_normals(q, K * n, 6);
    double *losses = problem_room(q, n), *losses_wanted = problem_room(q, n);
    double *gradients = problem_room(q, n * p), *gradients_wanted = problem_room(q, n * p);
    double *products = problem_room(q, n * K), *products_wanted = problem_room(q, n * K);
    double *weighted = problem_room(q, K * p), *weighted_wanted = problem_room(q, K * p);
    for (size_t i = 0; i < n; i++) {
        reference_row(q, q->theta, i, NULL, &losses_wanted[i], gradients_wanted + i * p, NULL);
        for (size_t b = 0; b < K; b++) {
            products_wanted[i * K + b] = dot(gradients_wanted + i * p, vectors + b * p, p);
            for (size_t j = 0; j < p; j++)
                weighted_wanted[b * p + j] += weights[b * n + i] * gradients_wanted[i * p + j];
        }
    }
    assert_ok(infl_objective_losses(q->objective, NULL, 0, losses));
    assert_ok(infl_objective_row_gradients(q->objective, NULL, 0, gradients));
    assert_ok(infl_objective_row_products(q->objective, NULL, 0, vectors, K, products));
    assert_ok(infl_objective_weighted_gradients(q->objective, NULL, 0, weights, K, weighted));
    assert_close(losses, losses_wanted, n, exact, "%s", problem_name(q));
    assert_close(gradients, gradients_wanted, n * p, exact, "%s", problem_name(q));
    assert_close(products, products_wanted, n * K, exact, "%s", problem_name(q));
    assert_close(weighted, weighted_wanted, K * p, exact, "%s", problem_name(q));

    /* Σ_i ∇ℓ_i + nμDθ = n∇R */
    double *mean = problem_room(q, p), *sum = problem_room(q, p);
    assert_ok(infl_objective_evaluate(q->objective, NULL, mean));
    for (size_t j = 0; j < p; j++) {
        sum[j] = q->options.decay * q->mask[j] * q->theta[j];
        for (size_t i = 0; i < n; i++)
            sum[j] += gradients[i * p + j] / (double)n;
    }
    assert_close(sum, mean, p, exact, "%s", problem_name(q));
}

START_TEST(test_rows) { each_problem(_i, INFL_F64, check_rows); }
END_TEST

/* The algebra of the products: symmetric, linear, the dense matrix's. */
static void check_algebra(problem *q) {
    size_t p = q->p;
    double *u = problem_normals(q, p, 8), *v = problem_normals(q, p, 9), *w = problem_room(q, p);
    double *cu = problem_room(q, p), *cv = problem_room(q, p), *cw = problem_room(q, p), *sum = problem_room(q, p);
    double *unit = problem_room(q, p * p), *columns = problem_room(q, p * p), *dense = problem_room(q, p * p);
    for (size_t j = 0; j < p; j++) {
        w[j] = 2.0 * u[j] - 3.0 * v[j];
        unit[j * p + j] = 1.0;
    }
    for (int i = 0; i < N_KINDS; i++) {
        infl_curvature_kind kind = (infl_curvature_kind)i;
        assert_ok(infl_objective_product(q->objective, kind, u, 1, cu));
        assert_ok(infl_objective_product(q->objective, kind, v, 1, cv));
        assert_ok(infl_objective_product(q->objective, kind, w, 1, cw));
        double scale = sqrt(dot(u, u, p) * dot(cv, cv, p)) + sqrt(dot(v, v, p) * dot(cu, cu, p));
        ck_assert_msg(fabs(dot(u, cv, p) - dot(v, cu, p)) <= 1e-12 * scale, "not symmetric: %s, %s", kind_names[i],
                      problem_name(q));
        for (size_t j = 0; j < p; j++)
            sum[j] = 2.0 * cu[j] - 3.0 * cv[j];
        assert_close(cw, sum, p, exact, "%s, %s", kind_names[i], problem_name(q));
        if (kind != INFL_HESSIAN)
            ck_assert_msg(dot(u, cu, p) >= 0.0 && dot(v, cv, p) >= 0.0, "negative curvature: %s, %s", kind_names[i],
                          problem_name(q));

        assert_ok(infl_objective_dense(q->objective, kind, NULL, dense, NULL));
        assert_ok(infl_objective_product(q->objective, kind, unit, p, columns));
        assert_close(dense, columns, p * p, exact, "%s, %s", kind_names[i], problem_name(q));
        for (size_t a = 0; a < p; a++)
            for (size_t b = 0; b < a; b++)
                ck_assert_msg(dense[a * p + b] == dense[b * p + a], "element %zu, %zu: %s, %s", a, b, kind_names[i],
                              problem_name(q));
        for (size_t j = 0; j < p; j++)
            sum[j] = dot(dense + j * p, v, p);
        assert_close(sum, cv, p, exact, "%s, %s", kind_names[i], problem_name(q));
    }
}

START_TEST(test_algebra) { each_problem(_i, INFL_F64, check_algebra); }
END_TEST

/* Everything of an objective in one array. */
static size_t quantities_size(const problem *q) {
    return 1 + q->p + 2 * q->n + q->n * q->p + 2 * q->n + 2 * q->p + N_KINDS * (2 * q->p + q->p * q->p);
}

static double *quantities(problem *q, double **ends) {
    size_t p = q->p, n = q->n, e = 0;
    double *out = problem_room(q, quantities_size(q)), *at = out;
    double *vectors = problem_normals(q, 2 * p, 10), *weights = problem_normals(q, 2 * n, 11);
    assert_ok(infl_objective_evaluate(q->objective, at, at + 1));
    ends[e++] = at += 1;
    ends[e++] = at += p;
    assert_ok(infl_objective_losses(q->objective, NULL, 0, at));
    ends[e++] = at += n;
    assert_ok(infl_objective_row_gradients(q->objective, NULL, 0, at));
    ends[e++] = at += n * p;
    assert_ok(infl_objective_row_products(q->objective, NULL, 0, vectors, 2, at));
    ends[e++] = at += 2 * n;
    assert_ok(infl_objective_weighted_gradients(q->objective, NULL, 0, weights, 2, at));
    ends[e++] = at += 2 * p;
    for (int kind = 0; kind < N_KINDS; kind++) {
        assert_ok(infl_objective_product(q->objective, (infl_curvature_kind)kind, vectors, 2, at));
        ends[e++] = at += 2 * p;
        assert_ok(infl_objective_dense(q->objective, (infl_curvature_kind)kind, NULL, at, NULL));
        ends[e++] = at += p * p;
    }
    return out;
}

/*
 * In f32 a rounding is 6e-8; the same 100 of them give some 1e-5 at worst. Both see the same θ and features, numbers
 * that float holds.
 */
static void check_precision(problem *q) {
    enum { ENDS = 6 + 2 * N_KINDS };
    double *ends[ENDS], *twin_ends[ENDS];
    problem_options options = q->options;
    options.precision = INFL_F32;
    problem *twin = problem_create(&options);
    double *got = quantities(twin, twin_ends), *expected = quantities(q, ends);
    for (int e = 0; e < ENDS; e++) {
        assert_close(got, expected, (size_t)(ends[e] - expected), 1e-4, "quantity %d, %s", e, problem_name(q));
        got = twin_ends[e];
        expected = ends[e];
    }
    problem_destroy(twin);
}

START_TEST(test_precision) { each_problem(_i, INFL_F64, check_precision); }
END_TEST

/* Widths and numbers of rows that fill no vector register, no chunk, or just more than one. */
START_TEST(test_shapes) {
    static const struct {
        size_t features, width, rows, outputs, depth;
    } shapes[] = {{1, 1, 1, 1, 1},   {3, 1, 17, 2, 2},   {3, 5, 1, 3, 2},  {3, 65, 17, 3, 1}, {3, 5, 257, 3, 1},
                  {17, 2, 16, 9, 1}, {2, 15, 33, 17, 1}, {65, 1, 3, 2, 1}, {1, 4, 513, 2, 1}, {5, 16, 8, 1, 2}};
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.n_features = shapes[_i].features;
    options.width = shapes[_i].width;
    options.n_rows = shapes[_i].rows;
    options.n_outputs = shapes[_i].outputs;
    options.depth = shapes[_i].depth;
    for (int loss = 0; loss < INFL_N_LOSSES; loss += 2) {
        for (int graph = REFERENCE_PLAIN; graph <= REFERENCE_RESIDUAL; graph++) {
            options.loss = (infl_loss_kind)loss;
            options.graph = (reference_graph)graph;
            /* softmax needs two outputs; the reference takes p² operations a row */
            if ((loss == INFL_SOFTMAX_CROSS_ENTROPY && options.n_outputs == 1) ||
                (graph == REFERENCE_RESIDUAL && options.width > 16))
                continue;
            problem *q = problem_create(&options);
            check_hyperdual(q);
            if (q->n * q->p < 3000)
                check_rows(q);
            problem_destroy(q);
        }
    }
}
END_TEST

/* A block of k vectors is k vectors: one at a time gives the same to rounding. */
START_TEST(test_blocks) {
    static const size_t sizes[] = {1, 2, 3, 7, 16, 33};
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.graph = REFERENCE_TANGLED;
    options.n_rows = 37;
    options.decay = 0.1;
    options.activation = INFL_GELU;
    for (int precision = INFL_F32; precision <= INFL_F64; precision++) {
        options.precision = (infl_precision)precision;
        double tolerance = precision == INFL_F32 ? 1e-5 : exact;
        problem *q = problem_create(&options);
        size_t p = q->p, n = q->n;
        double *vectors = problem_normals(q, 33 * p, 12), *weights = problem_normals(q, 33 * n, 13);
        double *block = problem_room(q, 33 * p), *single = problem_room(q, 33 * p);
        double *row_block = problem_room(q, 33 * n), *row_single = problem_room(q, 33 * n);
        double *column = problem_room(q, n);
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            size_t k = sizes[s];
            for (int kind = 0; kind < N_KINDS; kind++) {
                assert_ok(infl_objective_product(q->objective, (infl_curvature_kind)kind, vectors, k, block));
                for (size_t b = 0; b < k; b++)
                    assert_ok(infl_objective_product(q->objective, (infl_curvature_kind)kind, vectors + b * p, 1,
                                                     single + b * p));
                for (size_t b = 0; b < k; b++)
                    assert_close(block + b * p, single + b * p, p, tolerance, "%zu of %zu, %s", b, k, kind_names[kind]);
            }
            assert_ok(infl_objective_weighted_gradients(q->objective, NULL, 0, weights, k, block));
            assert_ok(infl_objective_row_products(q->objective, NULL, 0, vectors, k, row_block));
            for (size_t b = 0; b < k; b++) {
                assert_ok(infl_objective_weighted_gradients(q->objective, NULL, 0, weights + b * n, 1, single));
                assert_close(block + b * p, single, p, tolerance, "%zu of %zu", b, k);
                assert_ok(infl_objective_row_products(q->objective, NULL, 0, vectors + b * p, 1, column));
                for (size_t i = 0; i < n; i++)
                    row_single[i * k + b] = column[i];
            }
            assert_close(row_block, row_single, k * n, tolerance, "%zu", k);
        }
        problem_destroy(q);
    }
}
END_TEST

/* Parts of the rows add up to the whole; the order of the rows, and repeats, do as they say. */
START_TEST(test_batches) {
    enum { N_CUTS = 7 };
    static const size_t cuts[2][N_CUTS] = {{0, 1, 17, 18, 200, 256, 257}, {0, 1, 129, 600, 1200, 1800, 2500}};
    const size_t *cut = cuts[_i];
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.n_rows = cut[N_CUTS - 1];
    options.width = _i == 0 ? 65 : 3;
    options.activation = INFL_SELU;
    options.margin = 0.0;
    problem *q = problem_create(&options);
    size_t p = q->p, n = q->n, order[3 * 2500];
    double value, part_value, sum_value = 0.0;
    double *v = problem_normals(q, p, 14), *whole = problem_room(q, p), *part = problem_room(q, p);
    double *sum = problem_room(q, p), *products = problem_room(q, p), *product_sum = problem_room(q, p);
    double *weights = problem_room(q, n), *losses = problem_room(q, n), *shuffled = problem_room(q, n);
    uint64_t state = 5;
    for (size_t i = 0; i < n; i++) {
        size_t j = (size_t)(random_uniform(&state) * (double)(i + 1));
        order[i] = order[j];
        order[j] = i;
        weights[i] = 1.0 / (double)n;
    }
    assert_ok(infl_objective_evaluate(q->objective, &value, whole));
    for (size_t c = 0; c + 1 < N_CUTS; c++) {
        size_t first = cut[c], rows = cut[c + 1] - first;
        double share = (double)rows / (double)n;
        assert_ok(infl_objective_evaluate_rows(q->objective, order + first, rows, &part_value, part));
        sum_value += share * part_value;
        for (size_t j = 0; j < p; j++)
            sum[j] += share * part[j];
    }
    assert_close(&sum_value, &value, 1, exact, "value");
    assert_close(sum, whole, p, exact, "gradient");
    for (int kind = 0; kind < N_KINDS; kind++) {
        assert_ok(infl_objective_product(q->objective, (infl_curvature_kind)kind, v, 1, products));
        memset(product_sum, 0, p * sizeof *product_sum);
        for (size_t c = 0; c + 1 < N_CUTS; c++) {
            size_t first = cut[c], rows = cut[c + 1] - first;
            assert_ok(
                infl_objective_product_rows(q->objective, (infl_curvature_kind)kind, order + first, rows, v, 1, part));
            for (size_t j = 0; j < p; j++)
                product_sum[j] += (double)rows / (double)n * part[j];
        }
        assert_close(product_sum, products, p, exact, "%s", kind_names[kind]);
    }
    assert_ok(infl_objective_weighted_gradients(q->objective, order, n, weights, 1, part));
    assert_close(part, whole, p, exact, "weighted");

    assert_ok(infl_objective_losses(q->objective, NULL, 0, losses));
    assert_ok(infl_objective_losses(q->objective, order, n, shuffled));
    for (size_t i = 0; i < n; i++)
        assert_close(&shuffled[i], &losses[order[i]], 1, exact, "row %zu", i);
    double *gradients = problem_room(q, 3 * p), *one = problem_room(q, p);
    size_t repeated[] = {n - 1, 4, n - 1};
    assert_ok(infl_objective_row_gradients(q->objective, repeated, 3, gradients));
    for (size_t i = 0; i < 3; i++) {
        assert_ok(infl_objective_row_gradients(q->objective, &repeated[i], 1, one));
        assert_close(gradients + i * p, one, p, exact, "repeated row %zu", i);
    }
    /* a row twice counts twice */
    assert_ok(infl_objective_evaluate_rows(q->objective, repeated, 3, &part_value, part));
    for (size_t j = 0; j < p; j++)
        sum[j] = (gradients[j] + gradients[p + j] + gradients[2 * p + j]) / 3.0;
    assert_close(part, sum, p, exact, "repeated");
    double expected = (2.0 * losses[n - 1] + losses[4]) / 3.0;
    assert_close(&part_value, &expected, 1, exact, "repeated");
    /* and a batch may be larger than the data */
    memcpy(order + n, order, n * sizeof *order);
    memcpy(order + 2 * n, order, n * sizeof *order);
    assert_ok(infl_objective_evaluate_rows(q->objective, order, 3 * n, &part_value, part));
    assert_close(&part_value, &value, 1, exact, "three times all rows");
    assert_close(part, whole, p, exact, "three times all rows");
    problem_destroy(q);
}
END_TEST

/* With decay alone different, values, gradients and products differ by μ/2‖Dθ‖², μDθ and μDv, and rows not at all. */
START_TEST(test_decay) {
    for (int scope = INFL_DECAY_ALL; scope <= INFL_DECAY_WEIGHTS; scope++) {
        problem_options options = PROBLEM_OPTIONS_INIT;
        options.graph = REFERENCE_TANGLED;
        options.decay_scope = (infl_decay_scope)scope;
        problem *without = problem_create(&options);
        options.decay = 0.7;
        problem *with = problem_create(&options);
        size_t p = with->p;
        double value, plain_value, squares = 0.0, *v = problem_normals(with, p, 15);
        double *got = problem_room(with, p * p), *plain = problem_room(with, p * p);
        assert_ok(infl_objective_evaluate(with->objective, &value, got));
        assert_ok(infl_objective_evaluate(without->objective, &plain_value, plain));
        for (size_t j = 0; j < p; j++) {
            squares += with->mask[j] * with->theta[j] * with->theta[j];
            plain[j] += 0.7 * with->mask[j] * with->theta[j];
        }
        plain_value += 0.35 * squares;
        assert_close(&value, &plain_value, 1, exact, "value, scope %d", scope);
        assert_close(got, plain, p, exact, "gradient, scope %d", scope);
        for (int i = 0; i < N_KINDS; i++) {
            infl_curvature_kind kind = (infl_curvature_kind)i;
            assert_ok(infl_objective_product(with->objective, kind, v, 1, got));
            assert_ok(infl_objective_product(without->objective, kind, v, 1, plain));
            for (size_t j = 0; j < p; j++)
                plain[j] += 0.7 * with->mask[j] * v[j];
            assert_close(got, plain, p, exact, "%s, scope %d", kind_names[i], scope);
            assert_ok(infl_objective_dense(with->objective, kind, NULL, got, NULL));
            assert_ok(infl_objective_dense(without->objective, kind, NULL, plain, NULL));
            for (size_t j = 0; j < p; j++)
                plain[j * p + j] += 0.7 * with->mask[j];
            assert_close(got, plain, p * p, exact, "dense %s, scope %d", kind_names[i], scope);
        }
        double *losses = problem_room(with, with->n), *plain_losses = problem_room(with, with->n);
        assert_ok(infl_objective_losses(with->objective, NULL, 0, losses));
        assert_ok(infl_objective_losses(without->objective, NULL, 0, plain_losses));
        assert_same_bits(losses, plain_losses, with->n, "losses");
        assert_ok(infl_objective_row_gradients(with->objective, NULL, 0, got));
        assert_ok(infl_objective_row_gradients(without->objective, NULL, 0, plain));
        assert_same_bits(got, plain, with->n * p, "row gradients");
        problem_destroy(with);
        problem_destroy(without);
    }
}
END_TEST

/* Where the loss is linear in its curvature: at zero residuals the Hessian of the squared error is Gauss–Newton's. */
START_TEST(test_zero_residual) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.loss = INFL_SQUARED_ERROR;
    problem *q = problem_create(&options);
    size_t p = q->p;
    infl_dataset *fitted = NULL;
    infl_objective *objective = NULL;
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    double *outputs = problem_room(q, q->n * q->c), *v = problem_normals(q, p, 16);
    double *hessian = problem_room(q, p), *gauss_newton = problem_room(q, p), *plain = problem_room(q, p);
    assert_ok(infl_model_predict(q->model, q->dataset, outputs));
    spec.n_rows = q->n;
    spec.n_features = q->d;
    spec.features = q->features;
    spec.targets = outputs;
    spec.n_targets = q->c;
    assert_ok(infl_dataset_create(&fitted, &spec));
    assert_ok(infl_objective_create(&objective, q->model, &q->loss, fitted, NULL));
    assert_ok(infl_objective_product(objective, INFL_HESSIAN, v, 1, hessian));
    assert_ok(infl_objective_product(objective, INFL_GAUSS_NEWTON, v, 1, gauss_newton));
    assert_ok(infl_objective_product(q->objective, INFL_HESSIAN, v, 1, plain));
    assert_close(hessian, gauss_newton, p, exact, "zero residuals");
    ck_assert(relative_error(plain, gauss_newton, p) > 1e-2);
    infl_objective_destroy(objective);
    infl_dataset_destroy(fitted);
    problem_destroy(q);
}
END_TEST

Suite *derivatives_suite(void) {
    Suite *suite = suite_create("derivatives");
    add_case(suite, "derivatives/comparison", test_comparison, 1);
    add_case(suite, "derivatives/finite-differences", test_differences, INFL_N_ACTIVATIONS);
    add_case(suite, "derivatives/hyperdual", test_hyperdual, INFL_N_ACTIVATIONS);
    add_case(suite, "derivatives/rows", test_rows, INFL_N_ACTIVATIONS);
    add_case(suite, "derivatives/algebra", test_algebra, INFL_N_ACTIVATIONS);
    add_case(suite, "derivatives/precision", test_precision, INFL_N_ACTIVATIONS);
    add_case(suite, "derivatives/shapes", test_shapes, 10);
    add_case(suite, "derivatives/blocks", test_blocks, 1);
    add_case(suite, "derivatives/batches", test_batches, 2);
    add_case(suite, "derivatives/decay", test_decay, 1);
    add_case(suite, "derivatives/zero-residual", test_zero_residual, 1);
    return suite;
}

#include "linear.h"
#include "suites.h"

enum { N = 40, D = 5, T = 9 };

static const infl_decay_in_gradient decays[] = {INFL_ROW_DECAY_DEFAULT, INFL_ROW_DECAY_EXCLUDED,
                                                INFL_ROW_DECAY_INCLUDED};

typedef struct fixture {
    linear_problem l, test_l;
    double theta[D], hessian[D * D];
    infl_dataset *data, *test_data;
    infl_model *model;
    infl_objective *train, *test;
    infl_curvature *curvature;
    infl_inverse *inverse;
    double gradients[N * D], test_gradients[T * D], pull[D]; /* ∇ℓ_i, ∇ℓ(z_t), μDθ, written out by hand */
} fixture;

/* Even kinds are custom objectives, odd ones a network of one dense layer; 0, 1 ridge and 2, 3 logistic regression. */
static fixture *fixture_create(int kind, int threads) {
    fixture *f = calloc(1, sizeof *f);
    ck_assert_ptr_nonnull(f);
    int logistic = kind >= 2;
    f->l = linear_create(logistic, N, D, 0.05, 31);
    f->test_l = linear_create(logistic, T, D, 0.9, 32); /* another decay, which must play no part */
    linear_minimise(&f->l, LINEAR_NO_ROW, f->theta);
    linear_risk(&f->l, f->theta, LINEAR_NO_ROW, NULL, f->hessian);
    if (kind % 2 == 0) {
        f->train = linear_objective(&f->l, f->theta, threads);
        f->test = linear_objective(&f->test_l, f->theta, threads);
    } else {
        f->data = linear_dataset(&f->l);
        f->test_data = linear_dataset(&f->test_l);
        f->model = linear_model(&f->l, INFL_F64, f->theta);
        f->train = linear_network(&f->l, f->model, f->data, threads);
        f->test = linear_network(&f->test_l, f->model, f->test_data, threads);
    }
    assert_ok(infl_curvature_create(&f->curvature, f->train, INFL_HESSIAN, 0.0));
    assert_ok(infl_inverse_create(&f->inverse, f->curvature, NULL));
    for (size_t j = 0; j < D; j++)
        f->pull[j] = f->l.mask[j] ? f->l.decay * f->theta[j] : 0.0;
    for (size_t i = 0; i < N; i++)
        linear_row_gradients(&f->l, f->theta, &i, 1, f->gradients + i * D);
    for (size_t t = 0; t < T; t++)
        linear_row_gradients(&f->test_l, f->theta, &t, 1, f->test_gradients + t * D);
    return f;
}

static void fixture_destroy(fixture *f) {
    infl_inverse_destroy(f->inverse);
    infl_curvature_destroy(f->curvature);
    infl_objective_destroy(f->train);
    infl_objective_destroy(f->test);
    infl_model_destroy(f->model);
    infl_dataset_destroy(f->data);
    infl_dataset_destroy(f->test_data);
    linear_destroy(&f->l);
    linear_destroy(&f->test_l);
    free(f);
}

/* gradient = ∇ℓ_i, with μDθ where included; solution = C⁻¹ gradient. */
static void by_hand(const fixture *f, size_t row, int included, double *gradient, double *solution) {
    for (size_t j = 0; j < D; j++)
        gradient[j] = solution[j] = f->gradients[row * D + j] + (included ? f->pull[j] : 0.0);
    linear_solve(f->hessian, solution, D);
}

static const double *test_gradient(const fixture *f, const size_t *test_rows, size_t t) {
    return f->test_gradients + (test_rows == NULL ? t : test_rows[t]) * D;
}

static void assert_reports(const infl_solve_report *reports, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(reports[i].converged, 1);
        ck_assert_double_le(reports[i].residual, 1e-12);
        ck_assert_double_eq(reports[i].damping, 0.0);
    }
}

/* cond(C) ≤ 1e3: two solvers agree to 1e-13; the tolerance has room for a sum of 40 rows in another order. */
static void check_closed_forms(int kind, infl_decay_in_gradient decay, size_t block, const size_t *rows, size_t n,
                               const size_t *test_rows, size_t n_test) {
    const double tolerance = 1e-11;
    fixture *f = fixture_create(kind, 1);
    infl_influence_options o = INFL_INFLUENCE_OPTIONS_INIT;
    o.decay_in_gradient = decay;
    o.block = block;
    infl_influence *influence;
    assert_ok(infl_influence_create(&influence, f->train, f->inverse, &o));
    int in_scores = decay == INFL_ROW_DECAY_INCLUDED, in_removal = decay != INFL_ROW_DECAY_EXCLUDED;
    double scale = in_removal ? 1.0 / (N - 1) : 1.0 / N;
    static double parameters[N * D], norms[N], self[N], removal[N * D], scores[T * N], losses[T * N];
    for (size_t i = 0; i < n; i++) {
        double g[D], x[D];
        size_t row = rows == NULL ? i : rows[i];
        by_hand(f, row, in_scores, g, x);
        norms[i] = sqrt(linear_dot(x, x, D));
        self[i] = -linear_dot(g, x, D);
        for (size_t j = 0; j < D; j++)
            parameters[i * D + j] = -x[j];
        for (size_t t = 0; t < n_test; t++)
            scores[t * n + i] = -linear_dot(test_gradient(f, test_rows, t), x, D);
        by_hand(f, row, in_removal, g, x);
        for (size_t j = 0; j < D; j++)
            removal[i * D + j] = scale * x[j];
        for (size_t t = 0; t < n_test; t++)
            losses[t * n + i] = scale * linear_dot(test_gradient(f, test_rows, t), x, D);
    }
    static double out[T * N > N * D ? T * N : N * D];
    infl_solve_report reports[N];
    assert_ok(infl_influence_parameters(influence, rows, n, out, reports));
    assert_close(out, parameters, n * D, tolerance, "kind %d, block %zu, decay %d", kind, block, (int)decay);
    assert_reports(reports, n);
    assert_ok(infl_influence_norms(influence, rows, n, out, reports));
    assert_close(out, norms, n, tolerance, "kind %d, block %zu, decay %d", kind, block, (int)decay);
    assert_reports(reports, n);
    assert_ok(infl_influence_self(influence, rows, n, out, reports));
    assert_close(out, self, n, tolerance, "kind %d, block %zu, decay %d", kind, block, (int)decay);
    assert_reports(reports, n);
    assert_ok(infl_influence_removal_parameters(influence, rows, n, out, reports));
    assert_close(out, removal, n * D, tolerance, "kind %d, block %zu, decay %d", kind, block, (int)decay);
    assert_reports(reports, n);
    assert_ok(infl_influence_scores(influence, f->test, test_rows, n_test, rows, n, out, reports));
    assert_close(out, scores, n_test * n, tolerance, "kind %d, block %zu, decay %d", kind, block, (int)decay);
    assert_reports(reports, n_test);
    assert_ok(infl_influence_removal_losses(influence, f->test, test_rows, n_test, rows, n, out, reports));
    assert_close(out, losses, n_test * n, tolerance, "kind %d, block %zu, decay %d", kind, block, (int)decay);
    assert_reports(reports, n_test);
    infl_influence_destroy(influence);
    fixture_destroy(f);
}

START_TEST(closed_forms) {
    const size_t rows[] = {39, 0, 7, 7, 21, 5, 30}, test_rows[] = {8, 2, 2, 0, 5};
    for (size_t d = 0; d < 3; d++) {
        for (size_t block = 0; block <= 4; block += 2)
            check_closed_forms(_i, decays[d], block, rows, 7, test_rows, 5);
        check_closed_forms(_i, decays[d], 0, NULL, N, NULL, T);
        check_closed_forms(_i, decays[d], 1, NULL, N, NULL, T);
    }
}
END_TEST

START_TEST(signs_and_scales) {
    fixture *f = fixture_create(_i, 1);
    infl_influence_options o = INFL_INFLUENCE_OPTIONS_INIT;
    o.decay_in_gradient = INFL_ROW_DECAY_EXCLUDED;
    infl_influence *influence;
    assert_ok(infl_influence_create(&influence, f->train, f->inverse, &o));
    double scores[T * N], losses[T * N], self[N];
    assert_ok(infl_influence_scores(influence, f->test, NULL, 0, NULL, 0, scores, NULL));
    assert_ok(infl_influence_removal_losses(influence, f->test, NULL, 0, NULL, 0, losses, NULL));
    for (size_t i = 0; i < T * N; i++)
        scores[i] /= -(double)N;
    assert_close(losses, scores, T * N, 1e-15, "removal = -I/n");
    assert_ok(infl_influence_self(influence, NULL, 0, self, NULL));
    for (size_t i = 0; i < N; i++)
        ck_assert_double_lt(self[i], 0.0);
    /* a row is helpful to itself: without it, its loss rises */
    assert_ok(infl_influence_removal_losses(influence, f->train, &(size_t){4}, 1, &(size_t){4}, 1, losses, NULL));
    ck_assert_double_gt(losses[0], 0.0);
    infl_influence_destroy(influence);
    fixture_destroy(f);
}
END_TEST

/* A removal is 1/(1 − h) of its prediction to next order, h the leverage of the row, p/n = 0.025 on the average before
 * decay: the slope is a little over 1. */
START_TEST(predictions_match_retraining) {
    enum { M = 120, P = 3, K = 12 };
    linear_problem l = linear_create(1, M, P, 0.2, 41), other = linear_create(1, K, P, 0.0, 42);
    double theta[P] = {0}, predicted[K * M], retrained[K * M], predicted_theta[M * P], retrained_theta[M * P];
    infl_objective *train = linear_objective(&l, theta, 1), *test;
    infl_polish_options polish = INFL_POLISH_OPTIONS_INIT;
    polish.gradient_tolerance = 1e-12;
    assert_ok(infl_polish(train, &polish, NULL));
    assert_ok(infl_objective_get_parameters(train, theta));
    test = linear_objective(&other, theta, 1);
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    assert_ok(infl_curvature_create(&curvature, train, INFL_HESSIAN, 0.0));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_ok(infl_influence_create(&influence, train, inverse, NULL));
    assert_ok(infl_influence_removal_losses(influence, test, NULL, 0, NULL, 0, predicted, NULL));
    assert_ok(infl_influence_removal_parameters(influence, NULL, 0, predicted_theta, NULL));
    infl_retrain_options o = INFL_RETRAIN_OPTIONS_INIT;
    o.polish = &polish;
    infl_retrain_output out = INFL_RETRAIN_OUTPUT_INIT;
    out.loss_changes = retrained;
    out.parameter_changes = retrained_theta;
    assert_ok(infl_retrain_without(train, NULL, 0, test, NULL, 0, &o, &out));
    for (size_t t = 0; t <= K; t++) { /* the changes of each test row's loss; then those of θ */
        double xx = 0, xy = 0, yy = 0, mx = 0, my = 0;
        size_t n = t < K ? M : M * P;
        for (int pass = 0; pass < 2; pass++) {
            for (size_t i = 0; i < n; i++) {
                double x = t < K ? predicted[t * M + i] : predicted_theta[i];
                double y = t < K ? retrained[t * M + i] : retrained_theta[i];
                if (pass == 0) {
                    mx += x / (double)n;
                    my += y / (double)n;
                } else {
                    xx += (x - mx) * (x - mx);
                    xy += (x - mx) * (y - my);
                    yy += (y - my) * (y - my);
                }
            }
        }
        ck_assert_msg(xy / sqrt(xx * yy) > 0.999, "test row %zu: correlation %.6f", t, xy / sqrt(xx * yy));
        ck_assert_msg(fabs(xy / xx - 1.0) < 0.02, "test row %zu: slope %.4f", t, xy / xx);
    }
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(train);
    infl_objective_destroy(test);
    linear_destroy(&l);
    linear_destroy(&other);
}
END_TEST

static const double *sorted_scores;
static int sorted_sign;

static int by_score(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    double difference = sorted_sign * (sorted_scores[x] - sorted_scores[y]);
    return difference < 0 ? -1 : difference > 0 ? 1 : x < y ? -1 : x > y;
}

START_TEST(top_is_the_head_of_a_stable_sort) {
    enum { MOST = 67 };
    double scores[MOST];
    size_t sorted[MOST], found[MOST];
    uint64_t state = 5;
    for (size_t n = 1; n <= MOST; n += 3) {
        for (size_t i = 0; i < n; i++) {
            scores[i] = floor(8.0 * linear_uniform(&state)) - 4.0; /* many ties */
            sorted[i] = i;
        }
        for (int direction = 0; direction < 2; direction++) {
            sorted_scores = scores;
            sorted_sign = direction == INFL_HELPFUL ? 1 : -1;
            qsort(sorted, n, sizeof *sorted, by_score);
            for (size_t k = 1; k <= n; k++) {
                assert_ok(infl_influence_top(scores, n, (infl_direction)direction, k, found));
                ck_assert_mem_eq(found, sorted, k * sizeof *found);
            }
        }
    }
    const double three[] = {0.5, -2.0, 1.0};
    assert_ok(infl_influence_top(three, 3, INFL_HELPFUL, 1, found));
    ck_assert_uint_eq(found[0], 1);
    assert_ok(infl_influence_top(three, 3, INFL_HARMFUL, 1, found));
    ck_assert_uint_eq(found[0], 2);
    found[0] = 99;
    assert_fails(INFL_E_ARGUMENT, infl_influence_top(three, 3, INFL_HARMFUL, 0, found));
    assert_fails(INFL_E_ARGUMENT, infl_influence_top(three, 3, INFL_HARMFUL, 4, found));
    assert_fails(INFL_E_ARGUMENT, infl_influence_top(three, 3, (infl_direction)2, 1, found));
    assert_fails(INFL_E_ARGUMENT, infl_influence_top(NULL, 3, INFL_HARMFUL, 1, found));
    assert_fails(INFL_E_ARGUMENT, infl_influence_top(three, 3, INFL_HARMFUL, 1, NULL));
    assert_fails(INFL_E_NONFINITE, infl_influence_top((const double[]){1.0, NAN}, 2, INFL_HARMFUL, 1, found));
    ck_assert_uint_eq(found[0], 99);
}
END_TEST

START_TEST(arguments_and_failures_change_nothing) {
    fixture *f = fixture_create(2, 1);
    linear_problem narrow = linear_create(1, 5, D - 1, 0.1, 3), single = linear_create(1, 1, D, 0.1, 3);
    infl_objective *other = linear_objective(&narrow, f->theta, 1), *one = linear_objective(&single, f->theta, 1);
    infl_influence *influence = NULL, *alone;
    infl_influence_options o = INFL_INFLUENCE_OPTIONS_INIT;
    assert_fails(INFL_E_ARGUMENT, infl_influence_create(NULL, f->train, f->inverse, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_create(&influence, NULL, f->inverse, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_create(&influence, f->train, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_create(&influence, other, f->inverse, NULL));
    o.decay_in_gradient = (infl_decay_in_gradient)3;
    assert_fails(INFL_E_ARGUMENT, infl_influence_create(&influence, f->train, f->inverse, &o));
    ck_assert_ptr_null(influence);
    infl_influence_destroy(NULL);
    assert_ok(infl_influence_create(&influence, f->train, f->inverse, NULL));
    double out[T * N];
    size_t row = N;
    infl_solve_report reports[N], mark = {.residual = SENTINEL};
    reports[0] = mark;
    fill_sentinel(out, T * N);
    assert_fails(INFL_E_ARGUMENT, infl_influence_parameters(NULL, NULL, 0, out, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_parameters(influence, NULL, 0, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_parameters(influence, &row, 1, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_norms(NULL, NULL, 0, out, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_norms(influence, &row, 1, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_self(influence, NULL, 0, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_self(influence, &row, 1, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_parameters(influence, &row, 1, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_scores(influence, NULL, NULL, 0, NULL, 0, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_scores(influence, f->test, NULL, 0, &row, 1, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_losses(influence, f->test, NULL, 0, &row, 1, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_norms(influence, NULL, 0, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_self(NULL, NULL, 0, out, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_parameters(NULL, NULL, 0, out, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_parameters(influence, NULL, 0, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_scores(NULL, f->test, NULL, 0, NULL, 0, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_scores(influence, f->test, NULL, 0, NULL, 0, NULL, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_losses(NULL, f->test, NULL, 0, NULL, 0, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_losses(influence, NULL, NULL, 0, NULL, 0, out, reports));
    row = T;
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_losses(influence, f->test, &row, 1, NULL, 0, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_scores(influence, f->test, &row, 1, NULL, 0, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_scores(influence, other, NULL, 0, NULL, 0, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_losses(influence, other, NULL, 0, NULL, 0, out, reports));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_losses(influence, f->test, NULL, 0, NULL, 0, NULL, reports));
    /* a test objective somewhere else */
    double moved[D];
    memcpy(moved, f->theta, sizeof moved);
    moved[2] += 1e-12;
    assert_ok(infl_objective_set_parameters(f->test, moved));
    assert_fails(INFL_E_ARGUMENT, infl_influence_scores(influence, f->test, NULL, 0, NULL, 0, out, reports));
    const char *said = infl_last_error();
    ck_assert_msg(strstr(said, "parameter 2: ") != NULL && strstr(said, "1e-12 apart") != NULL &&
                      strstr(said, "infl_objective_set_parameters") != NULL,
                  "%s", said);
    assert_ok(infl_objective_set_parameters(f->test, f->theta));
    /* both somewhere else than the inverse */
    assert_ok(infl_objective_set_parameters(f->train, moved));
    assert_fails(INFL_E_ARGUMENT, infl_influence_self(influence, NULL, 0, out, reports));
    ck_assert_msg(strncmp(infl_last_error(), "infl_influence_self: ", 21) == 0 &&
                      strstr(infl_last_error(), "create the inverse again") != NULL,
                  "%s", infl_last_error());
    assert_ok(infl_objective_set_parameters(f->train, f->theta));
    /* one row cannot be left out of one, but can be weighed less */
    assert_ok(infl_influence_create(&alone, one, f->inverse, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_parameters(alone, NULL, 0, out, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_influence_removal_losses(alone, f->test, NULL, 0, NULL, 0, out, NULL));
    infl_influence_destroy(alone);
    /* a solve that fails */
    infl_inverse_options cg = INFL_INVERSE_OPTIONS_INIT;
    cg.method = INFL_CG;
    cg.tolerance = 1e-12;
    cg.max_iterations = 1;
    infl_inverse *short_of;
    assert_ok(infl_inverse_create(&short_of, f->curvature, &cg));
    assert_ok(infl_influence_create(&alone, f->train, short_of, NULL));
    ck_assert_int_eq(infl_influence_scores(alone, f->test, NULL, 0, NULL, 0, out, reports), INFL_E_UNCONVERGED);
    ck_assert_int_eq(infl_influence_parameters(alone, NULL, 0, out, reports), INFL_E_UNCONVERGED);
    infl_influence_destroy(alone);
    infl_inverse_destroy(short_of);
    ck_assert(all_sentinel(out, T * N));
    ck_assert_mem_eq(&reports[0], &mark, sizeof mark);
    infl_influence_destroy(influence);
    infl_objective_destroy(other);
    infl_objective_destroy(one);
    linear_destroy(&narrow);
    linear_destroy(&single);
    fixture_destroy(f);
}
END_TEST

/* The identity for so many vectors, and then another matrix: what was prepared is wrong from there on. */
typedef struct fickle {
    size_t good, seen;
} fickle;

static int fickle_product(void *context, const double *vectors, size_t k, double *products) {
    fickle *f = context;
    double factor = f->seen < f->good ? 1.0 : 1.5;
    f->seen += k;
    for (size_t i = 0; i < k * D; i++)
        products[i] = factor * vectors[i];
    return 0;
}

/* A solve that does not converge names the caller's row, whichever block it was in. */
START_TEST(unconverged_rows_are_named) {
    fixture *f = fixture_create(2, 1);
    const infl_inverse_method methods[] = {INFL_CG, INFL_LISSA};
    for (int i = 0; i < 2; i++) {
        infl_inverse_options few = INFL_INVERSE_OPTIONS_INIT;
        few.method = methods[i];
        few.max_iterations = 1;
        infl_influence_options o = INFL_INFLUENCE_OPTIONS_INIT;
        o.block = 2;
        infl_inverse *inverse;
        infl_influence *influence;
        infl_solve_report reports[5];
        double norms[5];
        assert_ok(infl_inverse_create(&inverse, f->curvature, &few));
        assert_ok(infl_influence_create(&influence, f->train, inverse, &o));
        const size_t rows[] = {33, 31}, test_rows[] = {7, 5};
        for (size_t first = 0; first < 2; first++) {
            char training[32], test[32];
            snprintf(training, sizeof training, "training row %zu ", rows[first]);
            snprintf(test, sizeof test, "test row %zu ", test_rows[first]);
            assert_fails(INFL_E_UNCONVERGED, infl_influence_norms(influence, rows + first, 1, norms, reports));
            ck_assert_msg(strstr(infl_last_error(), training) != NULL, "%s", infl_last_error());
            assert_fails(INFL_E_UNCONVERGED,
                         infl_influence_scores(influence, f->test, test_rows + first, 1, rows, 2, norms, reports));
            ck_assert_msg(strstr(infl_last_error(), test) != NULL, "%s", infl_last_error());
        }
        infl_influence_destroy(influence);
        infl_inverse_destroy(inverse);
    }
    for (size_t block = 1; block <= 2; block++) { /* the last of three rows, in the third block or the second */
        fickle until = {.good = D + 2};           /* a dense matrix and two certificates */
        infl_influence_options o = INFL_INFLUENCE_OPTIONS_INIT;
        o.block = block;
        infl_curvature *curvature;
        infl_inverse *inverse;
        infl_influence *influence;
        double norms[3];
        assert_ok(infl_curvature_from_product(&curvature, fickle_product, &until, D, 0.0));
        assert_ok(infl_inverse_create(&inverse, curvature, NULL));
        assert_ok(infl_influence_create(&influence, f->train, inverse, &o));
        assert_fails(INFL_E_UNCONVERGED, infl_influence_norms(influence, (const size_t[]){33, 31, 30}, 3, norms, NULL));
        ck_assert_msg(strstr(infl_last_error(), "training row 30 ") != NULL, "%s", infl_last_error());
        infl_influence_destroy(influence);
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
    }
    fixture_destroy(f);
}
END_TEST

/* A network on Iris: every quantity has the same bits for any number of threads. */
START_TEST(networks_score_to_the_same_bits) {
    enum { ROWS = 150, TEST = 5, P = 4 * 3 + 3 + 3 * 3 + 3 };
    static double scores[2][TEST * ROWS], losses[2][TEST * ROWS], removal[2][ROWS * P];
    size_t test_rows[TEST] = {0, 70, 77, 120, 133}, units[] = {3, 3};
    infl_dataset *dataset;
    assert_ok(infl_dataset_iris(&dataset));
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    const int threads[] = {1, 2, 5};
    for (size_t t = 0; t < 3; t++) {
        size_t slot = t > 0;
        infl_model *model;
        infl_objective *objective;
        infl_curvature *curvature;
        infl_inverse *inverse;
        infl_influence *influence;
        infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
        options.decay = 0.01;
        options.threads = threads[t];
        assert_ok(infl_model_create_mlp(&model, (infl_precision)_i, 4, units, 2, INFL_TANH, INFL_INIT_GLOROT, 3));
        assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
        assert_ok(infl_curvature_create(&curvature, objective, INFL_GAUSS_NEWTON, 0.1));
        assert_ok(infl_inverse_create(&inverse, curvature, NULL));
        assert_ok(infl_influence_create(&influence, objective, inverse, NULL));
        assert_ok(infl_influence_scores(influence, objective, test_rows, TEST, NULL, 0, scores[slot], NULL));
        assert_ok(infl_influence_removal_losses(influence, objective, test_rows, TEST, NULL, 0, losses[slot], NULL));
        assert_ok(infl_influence_removal_parameters(influence, NULL, 0, removal[slot], NULL));
        if (slot == 1) {
            assert_same_bits(scores[1], scores[0], TEST * ROWS, "%d threads", threads[t]);
            assert_same_bits(losses[1], losses[0], TEST * ROWS, "%d threads", threads[t]);
            assert_same_bits(removal[1], removal[0], ROWS * P, "%d threads", threads[t]);
        }
        infl_influence_destroy(influence);
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
        infl_objective_destroy(objective);
        infl_model_destroy(model);
    }
    infl_dataset_destroy(dataset);
}
END_TEST

/* As many parameters, but eight of them of a normalisation, which has a state; or of a dense layer, which has none. */
static infl_model *two_layers(int normalised) {
    infl_builder *builder;
    infl_model *model;
    assert_ok(infl_builder_create(&builder, 4));
    infl_node node = infl_builder_dense(builder, INFL_NODE_INPUT, 2, 0, INFL_INIT_LECUN);
    node = normalised ? infl_builder_batch_norm(builder, node, NULL)
                      : infl_builder_dense(builder, node, 2, 0, INFL_INIT_LECUN);
    assert_ok(
        infl_model_create(&model, builder, infl_builder_dense(builder, node, 3, 1, INFL_INIT_LECUN), INFL_F64, 3));
    infl_builder_destroy(builder);
    return model;
}

/* A test objective whose model has no state, or another one than the train objective's, is refused, and says which. */
START_TEST(states_must_be_the_same) {
    infl_dataset *iris;
    infl_model *models[3] = {two_layers(1), two_layers(0), NULL};
    infl_objective *objectives[3];
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    static const char *const says[2][3] = {{NULL, "the state of test's model has 0 numbers, but train's has 4",
                                            "test's model has another state than train's"},
                                           {NULL, "the state of test's model has 0 numbers, but train's has 4", NULL}};
    double state[4], scores[150], changes[150];
    size_t row = 7;
    assert_ok(infl_model_clone(&models[2], models[0]));
    assert_ok(infl_model_get_state(models[2], state));
    state[1] += 0.5;
    assert_ok(infl_model_set_state(models[2], state));
    ck_assert_uint_eq(infl_model_parameters(models[0]), infl_model_parameters(models[1]));
    assert_ok(infl_dataset_iris(&iris));
    for (int i = 0; i < 3; i++)
        assert_ok(infl_objective_create(&objectives[i], models[i], &loss, iris, NULL));
    assert_ok(infl_curvature_create(&curvature, objectives[0], INFL_GAUSS_NEWTON, 0.1));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_ok(infl_influence_create(&influence, objectives[0], inverse, NULL));
    for (int i = 0; i < 3; i++) {
        infl_retrain_options options = INFL_RETRAIN_OPTIONS_INIT;
        infl_retrain_output output = INFL_RETRAIN_OUTPUT_INIT;
        infl_train_options sgd = INFL_TRAIN_OPTIONS_INIT;
        sgd.steps = 1;
        options.train = &sgd;
        output.loss_changes = changes;
        for (int retrained = 0; retrained < 2; retrained++) {
            double *out = retrained ? changes : scores;
            fill_sentinel(out, 150);
            infl_status status =
                retrained ? infl_retrain_without(objectives[0], &row, 1, objectives[i], NULL, 0, &options, &output)
                          : infl_influence_scores(influence, objectives[i], NULL, 0, &row, 1, out, NULL);
            const char *expected = says[retrained][i];
            ck_assert_msg(status == (expected == NULL ? INFL_OK : INFL_E_ARGUMENT), "%d, %d: %s", i, retrained,
                          infl_status_name(status));
            ck_assert_msg(expected == NULL || strstr(infl_last_error(), expected) != NULL, "%s", infl_last_error());
            ck_assert_int_eq(all_sentinel(out, 150), expected != NULL);
        }
    }
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    for (int i = 0; i < 3; i++) {
        infl_objective_destroy(objectives[i]);
        infl_model_destroy(models[i]);
    }
    infl_dataset_destroy(iris);
}
END_TEST

Suite *influence_suite(void) {
    Suite *suite = suite_create("influence");
    add_case(suite, "influence/closed-forms", closed_forms, 4);
    add_case(suite, "influence/signs", signs_and_scales, 4);
    add_case(suite, "influence/retraining", predictions_match_retraining, 1);
    add_case(suite, "influence/top", top_is_the_head_of_a_stable_sort, 1);
    add_case(suite, "influence/arguments", arguments_and_failures_change_nothing, 1);
    add_case(suite, "influence/states", states_must_be_the_same, 1);
    add_case(suite, "influence/unconverged", unconverged_rows_are_named, 1);
    add_case(suite, "influence/network/threads", networks_score_to_the_same_bits, 2);
    return suite;
}

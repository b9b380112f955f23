#include <float.h>
#include <math.h>

#include "files.h"
#include "curvature.h"
#include "linear.h"
#include "spectral.h"
#include "suites.h"

static temporary_file empty_file(void) { return write_file("", 0, 0); }

static infl_curvature *curvature_of(infl_objective *objective, infl_curvature_kind kind, double damping) {
    infl_curvature *curvature;
    assert_ok(infl_curvature_create(&curvature, objective, kind, damping));
    return curvature;
}

static infl_curvature *formed_of(infl_objective *objective, infl_curvature_kind kind, double damping) {
    infl_curvature *curvature = curvature_of(objective, kind, damping);
    assert_ok(infl_curvature_form(curvature, NULL, NULL));
    return curvature;
}

/* p×p numbers, to be freed */
static double *dense_of(infl_curvature *curvature) {
    size_t p = infl_curvature_size(curvature);
    double *dense = malloc(p * p * sizeof *dense);
    ck_assert_ptr_nonnull(dense);
    assert_ok(infl_curvature_dense(curvature, dense));
    return dense;
}

static void assert_says(const char *word) {
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "%s: not said by: %s", word, infl_last_error());
}

/* The formed matrix is what infl_objective_dense gives, and the products are its. */
START_TEST(test_formed) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.decay = 0.1;
    options.precision = _i == 0 ? INFL_F64 : INFL_F32;
    problem *q = problem_create(&options);
    size_t p = q->p;
    double *matrix = problem_room(q, p * p), *out = problem_room(q, 3 * p), *v = problem_normals(q, 3 * p, 2);
    for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++) {
        infl_dense_options dense_options = INFL_DENSE_OPTIONS_INIT;
        infl_dense_report report = {.checked = 77};
        infl_curvature *curvature = curvature_of(q->objective, (infl_curvature_kind)kind, 0.5);
        dense_options.check_columns = 2;
        dense_options.precision = INFL_F64;
        assert_ok(infl_curvature_form(curvature, &dense_options, &report));
        ck_assert_uint_eq(report.checked, 2);
        assert_ok(infl_objective_dense(q->objective, (infl_curvature_kind)kind, &dense_options, matrix, NULL));
        for (size_t i = 0; i < p; i++)
            matrix[i * p + i] += 0.5;
        double *formed = dense_of(curvature);
        assert_same_bits(formed, matrix, p * p, "kind %d", kind);
        free(formed);
        assert_ok(infl_curvature_product(curvature, v, 3, out));
        for (size_t j = 0; j < 3; j++) {
            double truth[512];
            ck_assert_uint_le(p, 512);
            for (size_t i = 0; i < p; i++)
                truth[i] = linear_dot(matrix + i * p, v + j * p, p);
            /* a dot product of p terms and λv: p + 2 roundings each of ‖C‖‖v‖, of which ‖Cv‖ is a part */
            assert_close(out + j * p, truth, p, 64 * (double)(p + 2) * DBL_EPSILON, "kind %d", kind);
        }
        infl_curvature_destroy(curvature);
    }
    problem_destroy(q);
}
END_TEST

/* The same bits for any number of vectors at once and of threads, with a matrix that is multiplied in parallel. */
START_TEST(test_bits) {
    linear_problem l = linear_create(1, 4, 600, 0.1, 8);
    double *theta = calloc(600, sizeof *theta), *v = spectral_normals(5 * 600, 1), *out = calloc(5 * 600, sizeof *out),
           *other = calloc(5 * 600, sizeof *other);
    ck_assert(theta != NULL && out != NULL && other != NULL);
    for (int threads = 1; threads <= 3; threads++) {
        infl_objective *objective = linear_objective(&l, theta, threads);
        infl_curvature *curvature = formed_of(objective, INFL_HESSIAN, 0.25);
        if (threads == 1)
            assert_ok(infl_curvature_product(curvature, v, 5, out));
        assert_ok(infl_curvature_product(curvature, v, 5, other));
        assert_same_bits(other, out, 5 * 600, "%d threads", threads);
        for (size_t j = 0; j < 5; j++) {
            assert_ok(infl_curvature_product(curvature, v + j * 600, 1, other));
            assert_same_bits(other, out + j * 600, 600, "vector %zu, %d threads", j, threads);
        }
        infl_curvature_destroy(curvature);
        infl_objective_destroy(objective);
    }
    free(theta);
    free(v);
    free(out);
    free(other);
    linear_destroy(&l);
}
END_TEST

/* Not a call gets through with a matrix of before; back at the old θ it is right again. */
START_TEST(test_stale) {
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.graph = REFERENCE_NORMALISED;
    problem *q = problem_create(&options);
    size_t p = q->p;
    double *theta = problem_room(q, p), *state = problem_room(q, q->n_state), *v = problem_normals(q, p, 1),
           *out = problem_room(q, p), *before = problem_room(q, p), *matrix = problem_room(q, p * p);
    infl_curvature *curvature = formed_of(q->objective, INFL_GAUSS_NEWTON, 0.5);
    temporary_file file = empty_file();
    infl_inverse *inverse = NULL;
    assert_ok(infl_curvature_product(curvature, v, 1, before));
    for (int of_state = 0; of_state < 2; of_state++) {
        assert_ok(infl_model_get_parameters(q->model, theta));
        assert_ok(infl_model_get_state(q->model, state));
        double *number = of_state ? &state[q->n_state - 1] : &theta[p - 1], kept = *number;
        *number += 0.25;
        assert_ok(infl_model_set_parameters(q->model, theta));
        assert_ok(infl_model_set_state(q->model, state));
        fill_sentinel(out, p);
        assert_fails(INFL_E_ARGUMENT, infl_curvature_product(curvature, v, 1, out));
        assert_says(of_state ? "the model's state has changed" : "theta has changed");
        assert_fails(INFL_E_ARGUMENT, infl_curvature_eigen(curvature, out, NULL));
        assert_fails(INFL_E_ARGUMENT, infl_curvature_dense(curvature, matrix));
        assert_fails(INFL_E_ARGUMENT, infl_curvature_lanczos(curvature, 1, 1, NULL, out, NULL, NULL));
        assert_fails(INFL_E_ARGUMENT, infl_inverse_create(&inverse, curvature, NULL));
        assert_fails(INFL_E_ARGUMENT, infl_curvature_save(curvature, file.path));
        ck_assert(all_sentinel(out, p) && inverse == NULL);
        *number = kept;
        assert_ok(infl_model_set_parameters(q->model, theta));
        assert_ok(infl_model_set_state(q->model, state));
        assert_ok(infl_curvature_product(curvature, v, 1, out));
        assert_same_bits(out, before, p, "of state: %d", of_state);
    }
    theta[0] += 0.5;
    assert_ok(infl_model_set_parameters(q->model, theta));
    assert_ok(infl_curvature_form(curvature, NULL, NULL));
    assert_ok(infl_curvature_product(curvature, v, 1, out));
    ck_assert(relative_error(out, before, p) > 1e-6);
    infl_curvature *plain = curvature_of(q->objective, INFL_GAUSS_NEWTON, 0.5);
    assert_ok(infl_curvature_product(plain, v, 1, before));
    assert_close(out, before, p, 64 * (double)(p + 2) * DBL_EPSILON, "formed again");
    infl_curvature_destroy(plain);
    infl_curvature_destroy(curvature);
    ck_assert_int_eq(unlink(file.path), 0);
    problem_destroy(q);
}
END_TEST

static int cancel(void *context, const char *stage, size_t done, size_t total) {
    (void)done, (void)total;
    ck_assert_str_eq(stage, "dense");
    return --*(int *)context == 0;
}

/* A failed formation leaves what was formed before. */
START_TEST(test_cancelled) {
    linear_problem l = linear_create(1, 9, 3, 0.1, 8);
    double theta[3] = {0.1, -0.2, 0.3}, v[3] = {1, 2, 3}, before[3], out[3];
    infl_objective *objective = linear_objective(&l, theta, 1);
    infl_curvature *curvature = curvature_of(objective, INFL_HESSIAN, 0);
    infl_dense_options options = INFL_DENSE_OPTIONS_INIT;
    infl_dense_report report = {.checked = 77};
    int calls = 1;
    options.progress = cancel;
    options.progress_context = &calls;
    assert_fails(INFL_E_CANCELLED, infl_curvature_form(curvature, &options, &report));
    ck_assert_uint_eq(report.checked, 77);
    assert_fails(INFL_E_ARGUMENT, infl_curvature_save(curvature, "/dev/null"));
    assert_ok(infl_curvature_form(curvature, NULL, NULL));
    assert_ok(infl_curvature_product(curvature, v, 1, before));
    calls = 1;
    theta[0] = 0.5;
    assert_ok(infl_objective_set_parameters(objective, theta));
    assert_fails(INFL_E_CANCELLED, infl_curvature_form(curvature, &options, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_product(curvature, v, 1, out)); /* of the θ before */
    theta[0] = 0.1;
    assert_ok(infl_objective_set_parameters(objective, theta));
    assert_ok(infl_curvature_product(curvature, v, 1, out));
    assert_same_bits(out, before, 3, "after a failure");
    calls = 0; /* on to the end; an inverse is told of the same stage */
    assert_ok(infl_curvature_form(curvature, &options, NULL));
    ck_assert_int_le(calls, -2);
    infl_curvature_destroy(curvature);
    infl_inverse_options inverse_options = INFL_INVERSE_OPTIONS_INIT;
    infl_inverse *inverse = NULL;
    inverse_options.progress = cancel;
    inverse_options.progress_context = &calls;
    curvature = curvature_of(objective, INFL_HESSIAN, 0);
    calls = 0;
    assert_ok(infl_inverse_create(&inverse, curvature, &inverse_options));
    ck_assert_int_le(calls, -2);
    infl_inverse_destroy(inverse);
    inverse = NULL;
    calls = 2;
    assert_fails(INFL_E_CANCELLED, infl_inverse_create(&inverse, curvature, &inverse_options));
    ck_assert_ptr_null(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

/* An estimate over some rows is the objective's, whatever was formed. */
START_TEST(test_estimates) {
    linear_problem l = linear_create(1, 9, 3, 0.1, 8);
    double theta[3] = {0.1, -0.2, 0.3}, v[3] = {1, 2, 3}, out[3], truth[3];
    static const size_t rows[2] = {7, 2};
    infl_objective *objective = linear_objective(&l, theta, 1);
    infl_curvature *curvature = formed_of(objective, INFL_HESSIAN, 0.5);
    assert_ok(infl_curvature_product_rows(curvature, rows, 2, v, 1, out));
    assert_ok(infl_objective_product_rows(objective, INFL_HESSIAN, rows, 2, v, 1, truth));
    for (int i = 0; i < 3; i++)
        truth[i] += 0.5 * v[i];
    assert_same_bits(out, truth, 3, "two rows");
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

START_TEST(test_damping) {
    linear_problem l = linear_create(1, 9, 3, 0.1, 8);
    double theta[3] = {0.1, -0.2, 0.3}, v[3] = {1, 2, 3}, out[3], truth[3];
    infl_objective *objective = linear_objective(&l, theta, 1);
    for (int formed = 0; formed < 2; formed++) {
        infl_curvature *curvature = curvature_of(objective, INFL_HESSIAN, 0.5), *other;
        if (formed)
            assert_ok(infl_curvature_form(curvature, NULL, NULL));
        for (int method = INFL_CHOLESKY; method <= INFL_LISSA; method++) {
            infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
            options.method = (infl_inverse_method)method;
            infl_inverse *inverse;
            assert_ok(infl_inverse_create(&inverse, curvature, &options));
            assert_ok(infl_curvature_set_damping(curvature, 0.75));
            ck_assert(infl_curvature_damping(curvature) == 0.75);
            assert_fails(INFL_E_ARGUMENT, infl_inverse_solve(inverse, v, 1, out, NULL));
            assert_says("damping has changed since infl_inverse_create (0.5, now 0.75)");
            assert_ok(infl_curvature_set_damping(curvature, 0.5));
            assert_ok(infl_inverse_solve(inverse, v, 1, out, NULL));
            infl_inverse_destroy(inverse);
        }
        assert_ok(infl_curvature_set_damping(curvature, 0));
        assert_ok(infl_curvature_product(curvature, v, 1, out));
        other = curvature_of(objective, INFL_HESSIAN, 0);
        assert_ok(infl_curvature_product(other, v, 1, truth));
        assert_close(out, truth, 3, 64 * 5 * DBL_EPSILON, "formed: %d", formed);
        infl_curvature_destroy(other);
        assert_fails(INFL_E_ARGUMENT, infl_curvature_set_damping(curvature, -2));
        assert_fails(INFL_E_ARGUMENT, infl_curvature_set_damping(curvature, NAN));
        assert_fails(INFL_E_ARGUMENT, infl_curvature_set_damping(curvature, INFINITY));
        ck_assert(infl_curvature_damping(curvature) == 0);
        infl_curvature_destroy(curvature);
    }
    assert_fails(INFL_E_ARGUMENT, infl_curvature_set_damping(NULL, 1));
    infl_objective_destroy(objective);
    linear_destroy(&l);
}
END_TEST

/* Into a file and out of it, as another process would: with a model, data set and objective of the same content. */
START_TEST(test_curvature_round_trip) {
    temporary_file file = empty_file();
    for (int kind = INFL_HESSIAN; kind <= INFL_FISHER; kind++)
        for (int single = 0; single < 2; single++) {
            problem_options options = PROBLEM_OPTIONS_INIT;
            options.decay = 0.1;
            options.precision = single ? INFL_F32 : INFL_F64;
            problem *q = problem_create(&options);
            infl_curvature *saved = formed_of(q->objective, (infl_curvature_kind)kind, 0.5), *loaded = NULL;
            double *truth = dense_of(saved);
            assert_ok(infl_curvature_save(saved, file.path));
            infl_curvature_destroy(saved);
            problem_destroy(q);
            options.threads = 2;
            options.memory_budget = 1 << 24;
            q = problem_create(&options);
            assert_ok(infl_curvature_load(&loaded, q->objective, file.path, 0.5));
            double *found = dense_of(loaded);
            assert_same_bits(found, truth, q->p * q->p, "kind %d, single %d", kind, single);
            assert_ok(infl_curvature_set_damping(loaded, 0));
            assert_ok(infl_curvature_save(loaded, file.path)); /* and once more, over itself */
            infl_curvature_destroy(loaded);
            assert_ok(infl_curvature_load(&loaded, q->objective, file.path, 0.5));
            double *again = dense_of(loaded);
            assert_same_bits(again, truth, q->p * q->p, "kind %d, single %d", kind, single);
            free(truth);
            free(found);
            free(again);
            infl_curvature_destroy(loaded);
            problem_destroy(q);
        }
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

static infl_inverse_options exact_options(int eigen) {
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    options.method = eigen ? INFL_EIGEN : INFL_CHOLESKY;
    options.eigen_policy = eigen ? INFL_EIGEN_ABSOLUTE : INFL_EIGEN_EXACT;
    options.cutoff = 1e-3;
    return options;
}

START_TEST(test_inverse_round_trip) {
    temporary_file file = empty_file();
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.decay = 0.1;
    for (int formed = 0; formed < 2; formed++) {
        problem *q = problem_create(&options);
        size_t p = q->p, k = 3;
        double *b = problem_normals(q, k * p, 4), *truth = problem_room(q, k * p), *out = problem_room(q, k * p);
        infl_curvature *curvature = curvature_of(q->objective, INFL_GAUSS_NEWTON, 0.5);
        infl_inverse_options given = exact_options(_i);
        infl_inverse *inverse, *loaded = NULL;
        infl_solve_report report, expected;
        assert_ok(infl_inverse_create(&inverse, curvature, &given));
        assert_ok(infl_inverse_save(inverse, file.path));
        if (formed) /* which curvature it is does not matter, as long as it is the same */
            assert_ok(infl_curvature_form(curvature, NULL, NULL));
        assert_ok(infl_inverse_solve(inverse, b, k, truth, NULL));
        assert_ok(infl_inverse_solve(inverse, b, 1, out, &expected));
        for (int own = 0; own < 2; own++) {
            assert_ok(infl_inverse_load(&loaded, curvature, file.path, own ? NULL : &given));
            assert_ok(infl_inverse_solve(loaded, b, 1, out, &report));
            ck_assert(report.residual == expected.residual && report.converged == expected.converged);
            assert_ok(infl_inverse_solve(loaded, b, k, out, NULL));
            assert_same_bits(out, truth, k * p, "eigen %d, formed %d, own %d", _i, formed, own);
            assert_ok(infl_inverse_save(loaded, file.path));
            infl_inverse_destroy(loaded);
        }
        infl_inverse_destroy(inverse);
        infl_curvature_destroy(curvature);
        problem_destroy(q);
    }
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* Policy and cutoff are of the loading: they are applied to the eigenvalues of the file. */
START_TEST(test_policies) {
    static const double values[5] = {-2, 1e-9, 0.5, 1, 2};
    static const infl_eigen_policy policies[] = {INFL_EIGEN_CLIP, INFL_EIGEN_ABSOLUTE, INFL_EIGEN_PSEUDO};
    double *b = spectral_normals(5, 1), truth[5], out[5];
    spectral a = spectral_create(values, 5, 3);
    infl_curvature *curvature;
    infl_inverse *saved, *loaded = NULL, *created;
    infl_inverse_options options = exact_options(1);
    temporary_file file = empty_file();
    assert_ok(infl_curvature_from_matrix(&curvature, a.matrix, 5, 0));
    assert_ok(infl_inverse_create(&saved, curvature, &options));
    assert_ok(infl_inverse_save(saved, file.path));
    assert_ok(infl_inverse_solve(saved, b, 1, truth, NULL));
    assert_ok(infl_inverse_load(&loaded, curvature, file.path, NULL)); /* the file's own: −2 and 1e-9 show both */
    assert_ok(infl_inverse_solve(loaded, b, 1, out, NULL));
    assert_same_bits(out, truth, 5, "as in the file");
    infl_inverse_destroy(loaded);
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        options.eigen_policy = policies[i];
        options.cutoff = 0.1;
        assert_ok(infl_inverse_create(&created, curvature, &options));
        assert_ok(infl_inverse_load(&loaded, curvature, file.path, &options));
        assert_ok(infl_inverse_solve(created, b, 1, truth, NULL));
        assert_ok(infl_inverse_solve(loaded, b, 1, out, NULL));
        assert_same_bits(out, truth, 5, "policy %d", (int)policies[i]);
        infl_inverse_destroy(created);
        infl_inverse_destroy(loaded);
    }
    loaded = NULL;
    options.eigen_policy = INFL_EIGEN_EXACT;
    assert_fails(INFL_E_INDEFINITE, infl_inverse_load(&loaded, curvature, file.path, &options));
    options.eigen_policy = (infl_eigen_policy)7;
    assert_fails(INFL_E_ARGUMENT, infl_inverse_load(&loaded, curvature, file.path, &options));
    ck_assert_ptr_null(loaded);
    infl_inverse_destroy(saved);
    infl_curvature_destroy(curvature);
    spectral_destroy(&a);
    free(b);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* Another of anything is refused, in words that say of what. */
START_TEST(test_others) {
    temporary_file matrix = empty_file(), factor = empty_file();
    problem_options options = PROBLEM_OPTIONS_INIT;
    options.decay = 0.1;
    options.loss = INFL_SMOOTHED_HINGE;
    problem *q = problem_create(&options);
    infl_curvature *curvature = formed_of(q->objective, INFL_GAUSS_NEWTON, 0.5), *other = NULL;
    infl_inverse *inverse, *loaded = NULL;
    assert_ok(infl_curvature_save(curvature, matrix.path));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_ok(infl_inverse_save(inverse, factor.path));
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    double theta[512];
    ck_assert_uint_le(q->p, 512);
    assert_ok(infl_model_get_parameters(q->model, theta));
    static const size_t one = 3, turned[] = {1, 0, 2, 3, 4, 5};
    static const char *const words[] = {"another model", "other data: 5 rows|other data: 6 rows",
                                        "other data",    "other data",
                                        "other data",    "other data",
                                        "another model", "another model",
                                        "another model"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        infl_objective *objective = NULL;
        infl_dataset *dataset = NULL;
        infl_model *model = NULL;
        infl_loss loss = q->loss;
        infl_objective_options o = INFL_OBJECTIVE_OPTIONS_INIT;
        o.decay = options.decay;
        if (i == 0) {
            theta[0] += 1e-15;
            assert_ok(infl_model_set_parameters(q->model, theta));
        } else if (i == 1) {
            assert_ok(infl_objective_without(&objective, q->objective, &one, 1));
        } else if (i == 2) {
            assert_ok(infl_dataset_subset(&dataset, q->dataset, turned, 6));
        } else if (i == 3) {
            o.decay = 0.2;
        } else if (i == 4) {
            loss.kind = INFL_LOGISTIC;
        } else if (i == 5) {
            loss.temperature *= 2;
        } else if (i == 6) {
            theta[q->p - 1] += 1e-15;
            assert_ok(infl_model_clone(&model, q->model));
            assert_ok(infl_model_set_parameters(model, theta));
        } else if (i == 7) {
            size_t units[] = {4, 4, 1};
            assert_ok(infl_model_create_mlp(&model, INFL_F64, q->d, units, 3, INFL_SOFTPLUS, INFL_INIT_GLOROT, 1));
            ck_assert_uint_eq(infl_model_parameters(model), q->p);
            assert_ok(infl_model_set_parameters(model, theta));
        } else {
            assert_ok(infl_model_convert(&model, q->model, INFL_F32));
        }
        if (objective == NULL)
            assert_ok(infl_objective_create(&objective, model == NULL ? q->model : model, &loss,
                                            dataset == NULL ? q->dataset : dataset, &o));
        assert_fails(INFL_E_ARGUMENT, infl_curvature_load(&other, objective, matrix.path, 0.5));
        assert_says(i == 1 ? "other data: 6 rows; there are 5 here" : words[i]);
        ck_assert_msg((strstr(infl_last_error(), "model") != NULL) == (strcmp(words[i], "another model") == 0) &&
                          (strstr(infl_last_error(), "data") != NULL) == (strcmp(words[i], "another model") != 0),
                      "%zu: %s", i, infl_last_error());
        ck_assert_ptr_null(other);
        infl_curvature *now = curvature_of(objective, INFL_GAUSS_NEWTON, 0.5);
        assert_fails(INFL_E_ARGUMENT, infl_inverse_load(&loaded, now, factor.path, NULL));
        ck_assert_ptr_null(loaded);
        infl_curvature_destroy(now);
        infl_objective_destroy(objective);
        infl_model_destroy(model);
        infl_dataset_destroy(dataset);
        if (i == 0) {
            theta[0] -= 1e-15; /* not always the bits of before: */
            problem *fresh = problem_create(&options);
            assert_ok(infl_model_get_parameters(fresh->model, theta));
            assert_ok(infl_model_set_parameters(q->model, theta));
            problem_destroy(fresh);
        }
    }
    problem_options wider = options;
    wider.width++;
    problem *w = problem_create(&wider);
    assert_fails(INFL_E_ARGUMENT, infl_curvature_load(&other, w->objective, matrix.path, 0.5));
    assert_says("parameters");
    problem_destroy(w);
    /* what the inverse alone depends on */
    infl_curvature *now = curvature_of(q->objective, INFL_HESSIAN, 0.5);
    assert_fails(INFL_E_ARGUMENT, infl_inverse_load(&loaded, now, factor.path, NULL));
    assert_says("gauss_newton");
    infl_curvature_destroy(now);
    now = curvature_of(q->objective, INFL_GAUSS_NEWTON, 0.25);
    assert_fails(INFL_E_ARGUMENT, infl_inverse_load(&loaded, now, factor.path, NULL));
    assert_says("damping");
    assert_ok(infl_curvature_set_damping(now, 0.5));
    infl_inverse_options given = exact_options(1);
    assert_fails(INFL_E_ARGUMENT, infl_inverse_load(&loaded, now, factor.path, &given));
    assert_says("method");
    assert_ok(infl_inverse_load(&loaded, now, factor.path, NULL));
    infl_inverse_destroy(loaded);
    loaded = NULL;
    /* a file of one thing is not one of another */
    assert_fails(INFL_E_FORMAT, infl_inverse_load(&loaded, now, matrix.path, NULL));
    assert_fails(INFL_E_FORMAT, infl_curvature_load(&other, q->objective, factor.path, 0.5));
    assert_fails(INFL_E_IO, infl_curvature_load(&other, q->objective, "/dev/null", 0.5));
    assert_fails(INFL_E_IO, infl_inverse_load(&loaded, now, "/none/such", NULL));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_load(&other, q->objective, matrix.path, -2));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_load(&other, q->objective, NULL, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_load(&other, NULL, matrix.path, 0));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_load(NULL, q->objective, matrix.path, 0));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_load(NULL, now, factor.path, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_load(&loaded, NULL, factor.path, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_load(&loaded, now, NULL, NULL));
    ck_assert(loaded == NULL && other == NULL);
    infl_curvature_destroy(now);
    problem_destroy(q);
    ck_assert_int_eq(unlink(matrix.path), 0);
    ck_assert_int_eq(unlink(factor.path), 0);
}
END_TEST

/* Of the caller's own risk the losses are what is known of the data. */
START_TEST(test_custom) {
    linear_problem l = linear_create(1, 9, 3, 0.1, 8);
    double theta[3] = {0.1, -0.2, 0.3};
    infl_objective *objective = linear_objective(&l, theta, 1);
    infl_curvature *curvature = formed_of(objective, INFL_HESSIAN, 0), *loaded = NULL;
    temporary_file file = empty_file();
    double *truth = dense_of(curvature);
    assert_ok(infl_curvature_save(curvature, file.path));
    assert_ok(infl_curvature_load(&loaded, objective, file.path, 0));
    double *found = dense_of(loaded);
    assert_same_bits(found, truth, 9, "custom");
    infl_curvature_destroy(loaded);
    loaded = NULL;
    l.x[4] += 0.01;
    assert_fails(INFL_E_ARGUMENT, infl_curvature_load(&loaded, objective, file.path, 0));
    assert_says("data");
    l.x[4] -= 0.01;
    theta[0] = 0.2;
    assert_ok(infl_objective_set_parameters(objective, theta));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_load(&loaded, objective, file.path, 0));
    assert_says("model");
    ck_assert_ptr_null(loaded);
    free(truth);
    free(found);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(objective);
    linear_destroy(&l);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

static int no_product(void *context, const double *vectors, size_t k, double *products) {
    (void)context;
    memcpy(products, vectors, k * 2 * sizeof *products);
    return 0;
}

/* A matrix of the caller's own is known by its numbers; a product of his own is not known at all. */
START_TEST(test_matrices) {
    double matrix[4] = {2, 1, 1, 3}, v[2] = {1, 2};
    infl_curvature *curvature, *other, *product;
    infl_inverse *inverse, *loaded = NULL;
    temporary_file file = empty_file();
    assert_ok(infl_curvature_from_matrix(&curvature, matrix, 2, 0.5));
    assert_fails(INFL_E_UNSUPPORTED, infl_curvature_form(curvature, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_save(curvature, file.path));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_form(NULL, NULL, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_save(NULL, file.path));
    assert_fails(INFL_E_ARGUMENT, infl_curvature_save(curvature, NULL));
    assert_ok(infl_inverse_create(&inverse, curvature, NULL));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_save(NULL, file.path));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_save(inverse, NULL));
    assert_ok(infl_inverse_save(inverse, file.path));
    assert_ok(infl_inverse_load(&loaded, curvature, file.path, NULL));
    assert_ok(infl_inverse_solve(loaded, v, 1, v, NULL));
    infl_inverse_destroy(loaded);
    loaded = NULL;
    assert_ok(infl_curvature_set_damping(curvature, 0.25));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_save(inverse, file.path));
    infl_inverse_destroy(inverse);
    matrix[0] = 2.5;
    assert_ok(infl_curvature_from_matrix(&other, matrix, 2, 0.5));
    assert_fails(INFL_E_ARGUMENT, infl_inverse_load(&loaded, other, file.path, NULL));
    assert_says("another matrix");
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    for (int method = INFL_CG; method <= INFL_LISSA; method++) {
        options.method = (infl_inverse_method)method;
        assert_ok(infl_inverse_create(&inverse, other, &options));
        assert_fails(INFL_E_UNSUPPORTED, infl_inverse_save(inverse, file.path));
        infl_inverse_destroy(inverse);
    }
    assert_ok(infl_curvature_from_product(&product, no_product, NULL, 2, 0));
    assert_fails(INFL_E_UNSUPPORTED, infl_curvature_form(product, NULL, NULL));
    assert_ok(infl_inverse_create(&inverse, product, NULL));
    assert_fails(INFL_E_UNSUPPORTED, infl_inverse_save(inverse, file.path));
    assert_fails(INFL_E_UNSUPPORTED, infl_inverse_load(&loaded, product, file.path, NULL));
    ck_assert_ptr_null(loaded);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(product);
    infl_curvature_destroy(other);
    infl_curvature_destroy(curvature);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* An objective with two parameters, and a file of its matrix (0), its factor (1) or its eigenvectors (2). */
typedef struct small {
    linear_problem l;
    infl_objective *objective;
    infl_curvature *curvature;
    temporary_file file;
    unsigned char bytes[2048];
    size_t n;
} small;

static void small_create(small *s, int content) {
    static const double theta[2] = {0.1, -0.2};
    *s = (small){.l = linear_create(1, 5, 2, 0.1, 8), .file = empty_file()};
    infl_inverse *inverse;
    s->objective = linear_objective(&s->l, theta, 1);
    s->curvature = formed_of(s->objective, INFL_HESSIAN, 0.5);
    infl_inverse_options options = exact_options(content == 2);
    assert_ok(infl_inverse_create(&inverse, s->curvature, &options));
    if (content == 0)
        assert_ok(infl_curvature_save(s->curvature, s->file.path));
    else
        assert_ok(infl_inverse_save(inverse, s->file.path));
    infl_inverse_destroy(inverse);
    s->n = read_back(&s->file, s->bytes, sizeof s->bytes);
}

static void small_destroy(small *s) {
    infl_curvature_destroy(s->curvature);
    infl_objective_destroy(s->objective);
    linear_destroy(&s->l);
    ck_assert_int_eq(unlink(s->file.path), 0);
}

/* Loads n bytes instead of the file and puts what they do to a vector into `out`. */
static infl_status small_load(const small *s, int content, size_t n, double *out) {
    static const double b[2] = {1, 2};
    temporary_file file = write_file(s->bytes, n, 0);
    infl_curvature *curvature = NULL;
    infl_inverse *inverse = NULL;
    infl_status status = content == 0 ? infl_curvature_load(&curvature, s->objective, file.path, 0.5)
                                      : infl_inverse_load(&inverse, s->curvature, file.path, NULL);
    if (status == INFL_OK && content == 0)
        assert_ok(infl_curvature_product(curvature, b, 1, out));
    else if (status == INFL_OK)
        assert_ok(infl_inverse_solve(inverse, b, 1, out, NULL));
    else
        ck_assert(curvature == NULL && inverse == NULL);
    infl_curvature_destroy(curvature);
    infl_inverse_destroy(inverse);
    ck_assert_int_eq(unlink(file.path), 0);
    return status;
}

START_TEST(test_truncated) {
    small s;
    small_create(&s, _i);
    double out[2];
    for (size_t n = 0; n < s.n; n++)
        ck_assert_msg(small_load(&s, _i, n, out) == INFL_E_FORMAT, "%zu of %zu: %s", n, s.n, infl_last_error());
    assert_ok(small_load(&s, _i, s.n, out));
    small_destroy(&s);
}
END_TEST

/* Every bit of the file turned: either it is found, or it was one that says nothing (a word about the version). */
START_TEST(test_flipped) {
    small s;
    small_create(&s, _i);
    double truth[2], out[2];
    size_t harmless = 0;
    assert_ok(small_load(&s, _i, s.n, truth));
    for (size_t at = 0; at < s.n; at++)
        for (int bit = 0; bit < 8; bit++) {
            s.bytes[at] ^= (unsigned char)(1 << bit);
            infl_status status = small_load(&s, _i, s.n, out);
            ck_assert_msg(status == INFL_OK || status == INFL_E_FORMAT, "byte %zu, bit %d: %s: %s", at, bit,
                          infl_status_name(status), infl_last_error());
            if (status == INFL_OK) {
                harmless++;
                assert_same_bits(out, truth, 2, "byte %zu, bit %d", at, bit);
            }
            s.bytes[at] ^= (unsigned char)(1 << bit);
        }
    ck_assert_uint_le(harmless, 8 * strlen("\"library_version\":\"" INFL_VERSION_STRING "\"") + 16);
    small_destroy(&s);
}
END_TEST

/* Replaces the first such string by another of the same length. */
static void replace(small *s, const char *from, const char *to) {
    size_t length = strlen(from);
    for (size_t at = 0; at + length <= s->n; at++)
        if (memcmp(s->bytes + at, from, length) == 0) {
            memcpy(s->bytes + at, to, length);
            return;
        }
    ck_abort_msg("there is no %s", from);
}

START_TEST(test_words) {
    static const struct {
        const char *from, *to, *word;
    } cases[] = {
        {"libinfluence", "libinfluencx", "libinfluencx"},
        {"\"format_version\":\"1\"", "\"format_version\":\"2\"", "this version of the library reads"},
        {"\"content\":\"c", "\"content\":\"x", "content"},
        {"\"kind\":\"hessian\"", "\"kind\":\"hessiax\"", "kind"},
        {"\"kind\":\"hessian\"", "\"kixd\":\"hessian\"", "no \"kind\""},
        {"\"damping\":\"0x", "\"damping\":\"1x", "damping"},
        {"\"n\":\"5\"", "\"n\":\"4\"", "damaged"},
        {"\"n\":\"5\"", "\"n\":\" \"", "whole number"},
        {"\"matrix\":{", "\"matrxx\":{", "no tensor \"matrix\""},
        {"\"matrix_hash\":\"", "\"matrix_hasx\":\"", "matrix_hash"},
        {"F64", "I64", "not of F64"},
        {"[2,2]", "[4,1]", "not of F64"},
    };
    double out[2];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        small s;
        small_create(&s, 0);
        replace(&s, cases[i].from, cases[i].to);
        ck_assert_int_eq(small_load(&s, 0, s.n, out), INFL_E_FORMAT);
        assert_says(cases[i].word);
        small_destroy(&s);
    }
}
END_TEST

/* Made with care by somebody else, hashes and all, but wrong. */
START_TEST(test_forged) {
    static const double lopsided[4] = {1, 2, 3, 4}, nan[4] = {1, NAN, NAN, 1}, diagonal[4] = {1, 0, 2, 0},
                        falling[2] = {2, 1}, unit[4] = {1, 0, 0, 1}, infinite[4] = {1, 0, 0, INFINITY};
    for (int i = 0; i < 6; i++) {
        int content = i < 2 ? 0 : i < 4 ? 1 : 2;
        small s;
        small_create(&s, content);
        double out[2], good[2] = {1, 2};
        const double *arrays[][2] = {{lopsided, NULL}, {nan, NULL},     {diagonal, NULL},
                                     {infinite, NULL}, {falling, unit}, {good, nan}};
        infl_saved saved;
        assert_ok(infl_curvature_describe(s.curvature, &saved));
        saved.content = (infl_saved_content)content;
        assert_ok(infl_saved_write(s.file.path, &saved, arrays[i]));
        s.n = read_back(&s.file, s.bytes, sizeof s.bytes);
        ck_assert_msg(small_load(&s, content, s.n, out) == INFL_E_FORMAT, "%d: %s", i, infl_last_error());
        assert_says("finite");
        small_destroy(&s);
    }
}
END_TEST

/* What is written about the numbers: hexadecimal, without rounding, and the same in every locale. */
START_TEST(test_metadata) {
    static const double dampings[] = {0, 0.5, 0.1, 1e-300, DBL_TRUE_MIN, 12345.678, DBL_MAX};
    temporary_file file = empty_file();
    static const double unit[1] = {1};
    for (size_t i = 0; i < sizeof dampings / sizeof *dampings; i++) {
        infl_saved saved = {.content = INFL_SAVED_CHOLESKY,
                            .kind = INFL_FISHER,
                            .damping = dampings[i],
                            .n = 7,
                            .p = 1,
                            .identity = {{1, 2}, {3, 0xfedcba9876543210u}}},
                   found;
        infl_safetensors *open;
        assert_ok(infl_saved_write(file.path, &saved, (const double *const[]){unit}));
        assert_ok(infl_saved_open(&open, &found, file.path));
        ck_assert(found.damping == dampings[i]);
        ck_assert(strtod(infl_safetensors_metadata(open, "damping"), NULL) == dampings[i]);
        ck_assert(found.kind == INFL_FISHER && found.content == INFL_SAVED_CHOLESKY && found.n == 7 && found.p == 1);
        ck_assert(memcmp(&found.identity, &saved.identity, sizeof saved.identity) == 0);
        ck_assert_str_eq(infl_safetensors_metadata(open, "model"), "00000000000000020000000000000001");
        ck_assert_str_eq(infl_safetensors_metadata(open, "data"), "fedcba98765432100000000000000003");
        ck_assert_str_eq(infl_safetensors_metadata(open, "format"), "libinfluence");
        ck_assert_str_eq(infl_safetensors_metadata(open, "format_version"), "1");
        ck_assert_str_eq(infl_safetensors_metadata(open, "library_version"), infl_version());
        ck_assert_str_eq(infl_safetensors_metadata(open, "kind"), "fisher");
        ck_assert_str_eq(infl_safetensors_metadata(open, "content"), "cholesky");
        ck_assert_str_eq(infl_safetensors_metadata(open, "n"), "7");
        infl_safetensors_close(open);
    }
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* The factor is one: LLᵀ = C + λI, and nothing stands above the diagonal. */
START_TEST(test_arrays) {
    for (int content = 1; content < 3; content++) {
        small s;
        small_create(&s, content);
        double dense[4], got[4], values[2], back[4] = {0};
        infl_safetensors *open;
        assert_ok(infl_curvature_dense(s.curvature, dense));
        assert_ok(infl_safetensors_open(&open, s.file.path));
        assert_ok(infl_safetensors_read(open, infl_safetensors_find(open, content == 1 ? "factor" : "vectors"), got));
        if (content == 2)
            assert_ok(infl_safetensors_read(open, infl_safetensors_find(open, "values"), values));
        else
            ck_assert(got[1] == 0);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++)
                for (int k = 0; k < 2; k++)
                    back[2 * i + j] +=
                        content == 1 ? got[2 * i + k] * got[2 * j + k] : values[k] * got[2 * k + i] * got[2 * k + j];
        assert_close(back, dense, 4, 32 * DBL_EPSILON, "content %d", content); /* a few roundings of O(1) numbers */
        infl_safetensors_close(open);
        small_destroy(&s);
    }
}
END_TEST

Suite *persistence_suite(void);
Suite *persistence_suite(void) {
    Suite *suite = suite_create("persistence");
    add_case(suite, "persistence/formed", test_formed, 2);
    add_case(suite, "persistence/bits", test_bits, 1);
    add_case(suite, "persistence/stale", test_stale, 1);
    add_case(suite, "persistence/cancelled", test_cancelled, 1);
    add_case(suite, "persistence/estimates", test_estimates, 1);
    add_case(suite, "persistence/damping", test_damping, 1);
    add_case(suite, "persistence/curvature-round-trip", test_curvature_round_trip, 1);
    add_case(suite, "persistence/inverse-round-trip", test_inverse_round_trip, 2);
    add_case(suite, "persistence/policies", test_policies, 1);
    add_case(suite, "persistence/others", test_others, 1);
    add_case(suite, "persistence/custom", test_custom, 1);
    add_case(suite, "persistence/matrices", test_matrices, 1);
    add_case(suite, "persistence/truncated", test_truncated, 3);
    add_case(suite, "persistence/flipped", test_flipped, 3);
    add_case(suite, "persistence/words", test_words, 1);
    add_case(suite, "persistence/forged", test_forged, 1);
    add_case(suite, "persistence/metadata", test_metadata, 1);
    add_case(suite, "persistence/arrays", test_arrays, 1);
    return suite;
}

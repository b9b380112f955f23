/* Saved curvatures and inverses: infl_curvature_load and infl_inverse_load. The input is the file. */
#include "saved.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { P = 3 }; /* of fuzz_objective */

#define DAMPING 0.25

static const double matrix[P * P] = {2, 0.5, 0, 0.5, 1, -0.25, 0, -0.25, 3};

static infl_curvature *curvature_of(int kind) {
    static infl_curvature *curvatures[INFL_SAVED_MATRIX + 1];
    infl_curvature **c = &curvatures[kind];
    if (*c == NULL && kind == INFL_SAVED_MATRIX)
        FUZZ_OK(infl_curvature_from_matrix(c, matrix, P, DAMPING));
    else if (*c == NULL)
        FUZZ_OK(infl_curvature_create(c, fuzz_objective(), (infl_curvature_kind)kind, DAMPING));
    return *c;
}

static int all_finite(const double *numbers, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(numbers[i]))
            return 0;
    return 1;
}

/* The same file from what was read, but for what no reader looks at. */
static void check_saved_again(infl_status saved) {
    static const char *const keys[] = {"content", "kind", "n", "p", "model", "data"};
    infl_safetensors *files[2];
    FUZZ_CHECK(saved == INFL_OK);
    for (int i = 0; i < 2; i++)
        FUZZ_OK(infl_safetensors_open(&files[i], fuzz_path(i)));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        FUZZ_CHECK(strcmp(infl_safetensors_metadata(files[0], keys[i]), infl_safetensors_metadata(files[1], keys[i])) ==
                   0);
    for (size_t i = 0; i < infl_safetensors_count(files[1]); i++) {
        double numbers[2][P * P] = {{0}};
        const infl_file_tensor *is = infl_safetensors_tensor(files[1], i);
        const infl_file_tensor *was = infl_safetensors_find(files[0], is->name);
        FUZZ_CHECK(was != NULL && was->length == is->length && is->length <= P * P);
        FUZZ_OK(infl_safetensors_read(files[0], was, numbers[0]));
        FUZZ_OK(infl_safetensors_read(files[1], is, numbers[1]));
        if (strcmp(is->name, "factor") == 0) /* of which the upper triangle is not read */
            numbers[0][1] = numbers[0][2] = numbers[0][5] = 0;
        FUZZ_CHECK(memcmp(numbers[0], numbers[1], sizeof numbers[0]) == 0);
    }
    for (int i = 0; i < 2; i++)
        infl_safetensors_close(files[i]);
}

static unsigned load_curvature(const char *path, size_t n) {
    infl_curvature *curvature = fuzz_untouched;
    unsigned may = FUZZ_MAY(INFL_E_ARGUMENT) | FUZZ_MAY(INFL_E_FORMAT);
    double dense[P * P], again[P * P];
    fuzz_limit_memory(256 * n + (1 << 18));
    infl_status status = infl_curvature_load(&curvature, fuzz_objective(), path, DAMPING);
    fuzz_check_memory();
    if (!fuzz_succeeded(status, may, "infl_curvature_load", curvature))
        return FUZZ_MAY(status);
    FUZZ_OK(infl_curvature_dense(curvature, dense));
    FUZZ_CHECK(all_finite(dense, P * P));
    for (int i = 0; i < P; i++)
        for (int j = 0; j < P; j++)
            FUZZ_CHECK(dense[i * P + j] == dense[j * P + i]);
    check_saved_again(infl_curvature_save(curvature, fuzz_path(1)));
    infl_curvature_destroy(curvature);
    FUZZ_OK(infl_curvature_load(&curvature, fuzz_objective(), fuzz_path(1), DAMPING));
    FUZZ_OK(infl_curvature_dense(curvature, again));
    FUZZ_CHECK(memcmp(dense, again, sizeof dense) == 0);
    infl_curvature_destroy(curvature);
    return FUZZ_MAY(INFL_OK);
}

/* BLIS keeps the memory that it packs into when it is first used. */
static void start_blis(void) {
    static int started;
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    for (; started < 2; started++) {
        infl_inverse *inverse;
        options.method = started == 0 ? INFL_CHOLESKY : INFL_EIGEN;
        FUZZ_OK(infl_inverse_create(&inverse, curvature_of(INFL_SAVED_MATRIX), &options));
        infl_inverse_destroy(inverse);
    }
}

static void load_inverse(const char *path, size_t n, int kind, const infl_inverse_options *options) {
    infl_inverse *inverse = fuzz_untouched;
    unsigned may = FUZZ_MAY(INFL_E_ARGUMENT) | FUZZ_MAY(INFL_E_FORMAT) | FUZZ_MAY(INFL_E_INDEFINITE);
    double x[P] = {7, 7, 7}, b[P] = {1, -1, 0.5};
    infl_curvature *curvature = curvature_of(kind);
    start_blis();
    fuzz_limit_memory(256 * n + (1 << 18));
    infl_status status = infl_inverse_load(&inverse, curvature, path, options);
    fuzz_check_memory();
    if (!fuzz_succeeded(status, may, "infl_inverse_load", inverse))
        return;
    FUZZ_CHECK(infl_inverse_size(inverse) == P);
    status = infl_inverse_solve(inverse, b, 1, x, NULL);
    if (fuzz_succeeded(status, FUZZ_MAY(INFL_E_NONFINITE) | FUZZ_MAY(INFL_E_UNCONVERGED), "infl_inverse_solve",
                       fuzz_untouched))
        FUZZ_CHECK(all_finite(x, P)); /* a factor of another matrix has a residual, which is looked at */
    else
        FUZZ_CHECK(x[0] == 7 && x[1] == 7 && x[2] == 7);
    check_saved_again(infl_inverse_save(inverse, fuzz_path(1)));
    infl_inverse_destroy(inverse);
    infl_inverse_options method = INFL_INVERSE_OPTIONS_INIT;
    method.method = INFL_LISSA;
    inverse = fuzz_untouched;
    FUZZ_CHECK(infl_inverse_load(&inverse, curvature, path, &method) == INFL_E_ARGUMENT && inverse == fuzz_untouched);
}

FUZZ_TARGET(saved) {
    const char *path = fuzz_write(0, bytes, n);
    unsigned as_curvature = load_curvature(path, n);
    infl_inverse_options clip = INFL_INVERSE_OPTIONS_INIT;
    clip.method = INFL_EIGEN;
    clip.eigen_policy = INFL_EIGEN_CLIP;
    for (int kind = 0; kind <= INFL_SAVED_MATRIX; kind++)
        load_inverse(path, n, kind, kind == INFL_GAUSS_NEWTON ? &clip : NULL);
    infl_inverse *inverse = fuzz_untouched;
    FUZZ_CHECK(infl_inverse_load(&inverse, curvature_of(0), path, NULL) != INFL_OK || as_curvature != 1);
    if (inverse != fuzz_untouched)
        infl_inverse_destroy(inverse);
}

/* What the library would write of the same metadata and numbers; NULL where that cannot be. */
static infl_safetensors *write_right(infl_safetensors *file, infl_saved *saved) {
    static const char *const names[][INFL_SAVED_ARRAYS] = {{"matrix"}, {"factor"}, {"values", "vectors"}};
    double numbers[INFL_SAVED_ARRAYS][P * P] = {{0}};
    const double *arrays[INFL_SAVED_ARRAYS] = {numbers[0], numbers[1]};
    infl_safetensors *right = NULL;
    if (saved->p > P)
        return NULL;
    for (int i = 0; i < INFL_SAVED_ARRAYS && names[saved->content][i] != NULL; i++) {
        const infl_file_tensor *tensor = infl_safetensors_find(file, names[saved->content][i]);
        if (tensor != NULL && tensor->length <= P * P)
            (void)infl_safetensors_read(file, tensor, numbers[i]); /* else zeros do */
    }
    if (infl_saved_write(fuzz_path(3), saved, arrays) == INFL_OK)
        (void)infl_safetensors_open(&right, fuzz_path(3));
    return right;
}

FUZZ_REPAIR(saved) {
    static const char *const keys[] = {"matrix_hash", "factor_hash", "values_hash", "vectors_hash", "hash"};
    const char *values[sizeof keys / sizeof *keys];
    infl_safetensors *file = NULL, *unused = NULL, *right;
    infl_saved saved;
    const char *path = fuzz_write(2, bytes, n);
    if (infl_safetensors_open(&file, path) != INFL_OK)
        return n;
    (void)infl_saved_open(&unused, &saved, path); /* fills in saved up to what is wrong */
    infl_safetensors_close(unused);
    right = write_right(file, &saved);
    infl_safetensors_close(file);
    if (right == NULL)
        return n;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        values[i] = infl_safetensors_metadata(right, keys[i]);
    n = fuzz_put_metadata(bytes, n, room, keys, values, sizeof keys / sizeof *keys);
    infl_safetensors_close(right);
    return n;
}

#include <float.h>
#include <math.h>

#include "dense.h"
#include "inverse.h"
#include "memory.h"

typedef struct eigen_state {
    double *values;     /* p, ascending */
    double *vectors;    /* p×p, one a row */
    double *reciprocal; /* p: what each coefficient is multiplied by */
} eigen_state;

static void release(void *state) {
    eigen_state *self = state;
    if (self == NULL)
        return;
    infl_release(self->values);
    infl_release(self->vectors);
    infl_release(self->reciprocal);
    infl_release(self);
}

/* What stands for the eigenvalue e; 0: its direction is left out (PSEUDO). */
static double treated(infl_eigen_policy policy, double e, double floor) {
    switch (policy) {
    case INFL_EIGEN_CLIP:
        return fmax(e, floor);
    case INFL_EIGEN_ABSOLUTE:
        return fmax(fabs(e), floor);
    case INFL_EIGEN_PSEUDO:
        return fabs(e) <= floor ? 0 : e;
    case INFL_EIGEN_EXACT:
        break;
    }
    return e;
}

/* Of the computed eigenvalues the least magnitude, less what rounding may have done to the matrix and to them. */
static void certify(infl_inverse *inverse, const eigen_state *self) {
    size_t p = inverse->curvature->p;
    double least = INFINITY;
    for (size_t i = 0; i < p; i++)
        least = fmin(least, fabs(self->values[i]));
    inverse->norm = infl_norm(self->values, p);
    inverse->floor = least - inverse->norm * (infl_rounding(inverse->passes) + 4 * (double)p * DBL_EPSILON);
}

/* The policy on the eigenvalues. */
static infl_status treat(infl_inverse *inverse, eigen_state *self) {
    const infl_inverse_options *options = &inverse->options;
    size_t p = inverse->curvature->p;
    double lambda_min = self->values[0], largest = fmax(fabs(lambda_min), fabs(self->values[p - 1]));
    double floor = options->cutoff * largest;
    for (size_t i = 0; i < p; i++) {
        double e = treated(options->eigen_policy, self->values[i], floor);
        /* EXACT: as documented. The others: a cutoff of 0 leaves nothing to divide by */
        if (options->eigen_policy == INFL_EIGEN_EXACT ? fabs(e) <= floor
                                                      : options->eigen_policy != INFL_EIGEN_PSEUDO && e <= 0)
            return infl_inverse_indefinite(inverse, "is singular", lambda_min, largest, options->cutoff);
        self->reciprocal[i] = e == 0 ? 0 : 1 / e;
    }
    certify(inverse, self);
    return INFL_OK;
}

/* The state with room for all but the vectors. */
static infl_status begin(infl_inverse *inverse, eigen_state **out) {
    size_t p = inverse->curvature->p;
    eigen_state *self;
    INFL_ALLOCATE(self, 1);
    inverse->state = *out = self;
    INFL_ALLOCATE(self->values, p);
    INFL_ALLOCATE(self->reciprocal, p);
    return INFL_OK;
}

static infl_status prepare(infl_inverse *inverse) {
    eigen_state *self;
    INFL_TRY(begin(inverse, &self));
    INFL_TRY(infl_inverse_dense(inverse, &self->vectors));
    INFL_TRY(infl_symmetric_eigen(self->vectors, inverse->curvature->p, 1, self->values));
    return treat(inverse, self);
}

static infl_status save(const infl_inverse *inverse, infl_saved *saved, const char *path) {
    const eigen_state *self = inverse->state;
    saved->content = INFL_SAVED_EIGEN;
    saved->policy = inverse->options.eigen_policy;
    saved->cutoff = inverse->options.cutoff;
    return infl_saved_write(path, saved, (const double *const[]){self->values, self->vectors});
}

static infl_status load(infl_inverse *inverse, infl_safetensors *file, const infl_saved *saved) {
    size_t p = saved->p;
    eigen_state *self;
    INFL_TRY(begin(inverse, &self));
    INFL_ALLOCATE_MATRIX(self->vectors, p, p);
    INFL_TRY(infl_saved_read(file, saved, 0, self->values));
    INFL_TRY(infl_saved_read(file, saved, 1, self->vectors));
    int ascending = infl_all_finite(self->values, p) && infl_all_finite(self->vectors, p * p);
    for (size_t i = 1; i < p; i++)
        ascending = ascending && self->values[i - 1] <= self->values[i];
    if (!ascending)
        return infl_saved_wrong(file, "tensors \"values\" and \"vectors\": they are not finite, or values do not "
                                      "ascend");
    return treat(inverse, self);
}

static infl_status solve(const infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                         infl_solve_report *reports) {
    const eigen_state *self = inverse->state;
    size_t p = inverse->curvature->p;
    double *coefficients;
    INFL_ALLOCATE_MATRIX(coefficients, k, p);
    infl_gemm(k, p, p, 1, right_sides, p, 1, self->vectors, 1, p, 0, coefficients, p, 1);
    for (size_t j = 0; j < k; j++) {
        for (size_t i = 0; i < p; i++)
            coefficients[j * p + i] *= self->reciprocal[i];
        reports[j].lambda_min = self->values[0];
        reports[j].lambda_max = self->values[p - 1];
    }
    infl_gemm(k, p, p, 1, coefficients, p, 1, self->vectors, p, 1, 0, solutions, p, 1);
    infl_release(coefficients);
    return INFL_OK;
}

const infl_inverse_ops infl_inverse_eigen = {
    .name = "Eigendecomposition", .prepare = prepare, .save = save, .load = load, .release = release, .solve = solve};

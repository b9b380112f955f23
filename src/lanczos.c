#include <float.h>
#include <math.h>
#include <string.h>

#include "curvature.h"
#include "dense.h"
#include "memory.h"
#include "random.h"

#define MOST_BY_DEFAULT ((size_t)300)

/* The basis grows by a vector a product, T is its projection of the operator: αs on the diagonal, βs beside it. */
typedef struct lanczos {
    infl_curvature *curvature;
    infl_sample sample; /* borrowed */
    size_t p, most, steps;
    double **basis; /* most + 1 pointers to p numbers, orthonormal */
    double *alpha;  /* most */
    double *beta;   /* most; beta[j] couples basis[j] and basis[j+1]; 0 where a new start was needed */
    double scale;   /* the largest row sum of T seen: about ‖A‖ */
    uint64_t seed, draws;
} lanczos;

/* Removes from w what it has of the first n basis vectors. Twice is enough (Parlett 1998, 6.9). */
static void orthogonalise(const lanczos *self, size_t n, double *w) {
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n; i++)
            infl_axpy(-infl_dot(self->basis[i], w, self->p), self->basis[i], w, self->p);
}

/* A random unit vector orthogonal to the first n < p basis vectors. */
static void random_direction(lanczos *self, size_t n, double *w) {
    double norm, before;
    do {
        for (size_t i = 0; i < self->p; i++)
            w[i] = infl_random_normal(self->seed, INFL_STREAM_START, self->draws++);
        before = infl_norm(w, self->p);
        orthogonalise(self, n, w);
        norm = infl_norm(w, self->p);
    } while (!(norm > 1e-6 * before)); /* else it is mostly rounding: the chance is below 1e-6 a draw */
    for (size_t i = 0; i < self->p; i++)
        w[i] /= norm;
    orthogonalise(self, n, w);
    norm = infl_norm(w, self->p);
    for (size_t i = 0; i < self->p; i++)
        w[i] /= norm;
}

/* One product: a column of T, and the next basis vector unless the basis is complete. */
static infl_status step(lanczos *self) {
    size_t j = self->steps, p = self->p;
    double *w;
    INFL_ALLOCATE(w, p);
    self->basis[j + 1] = w;
    INFL_TRY(infl_curvature_product_rows(self->curvature, self->sample.rows, self->sample.n, self->basis[j], 1, w));
    self->alpha[j] = infl_dot(self->basis[j], w, p);
    infl_axpy(-self->alpha[j], self->basis[j], w, p);
    if (j > 0)
        infl_axpy(-self->beta[j - 1], self->basis[j - 1], w, p);
    orthogonalise(self, j + 1, w);
    double norm = infl_norm(w, p);
    self->scale = fmax(self->scale, fabs(self->alpha[j]) + (j > 0 ? self->beta[j - 1] : 0) + norm);
    self->steps = j + 1;
    /* what rounding leaves of a vector inside the span: the basis is invariant, and only a new start leads out of it */
    if (norm <= 8 * DBL_EPSILON * sqrt((double)p) * self->scale || self->steps == p) {
        self->beta[j] = 0;
        if (self->steps < p)
            random_direction(self, self->steps, w);
        return INFL_OK;
    }
    self->beta[j] = norm;
    for (size_t i = 0; i < p; i++)
        w[i] /= norm;
    return INFL_OK;
}

/* The Ritz values (ascending) of T and its eigenvectors, one a row. */
static infl_status ritz(const lanczos *self, double *values, double *vectors) {
    double *off_diagonal;
    INFL_ALLOCATE(off_diagonal, self->steps);
    memcpy(values, self->alpha, self->steps * sizeof *values);
    memcpy(off_diagonal, self->beta, self->steps * sizeof *off_diagonal);
    infl_status status = infl_tridiagonal_eigen(values, off_diagonal, self->steps, vectors);
    infl_release(off_diagonal);
    return status;
}

/* With the first vector of the basis; to be released also on failure. */
static infl_status begin(lanczos *self) {
    INFL_ALLOCATE(self->basis, self->most + 1);
    INFL_ALLOCATE(self->alpha, self->most);
    INFL_ALLOCATE(self->beta, self->most);
    INFL_ALLOCATE(self->basis[0], self->p);
    random_direction(self, 0, self->basis[0]);
    return INFL_OK;
}

static void end(lanczos *self) {
    for (size_t j = 0; self->basis != NULL && j <= self->most; j++)
        infl_release(self->basis[j]);
    infl_release(self->basis);
    infl_release(self->alpha);
    infl_release(self->beta);
}

/* out = Σ coefficients[j] basis[j]; there are some as soon as there was a step, which the analyzer does not see */
static void ritz_vector(const lanczos *self, const double *coefficients, double *out) {
    memset(out, 0, self->p * sizeof *out);
    for (size_t j = 0; j < self->steps; j++)
        infl_axpy(coefficients[j], self->basis[j], out, self->p); /* NOLINT(clang-analyzer-core.NullDereference) */
}

static size_t wanted(const lanczos *self, size_t i, int largest) { return largest ? self->steps - 1 - i : i; }

/* How many of the first k wanted Ritz pairs have converged, and the worst residual among them, relative to max|θ|. */
static size_t count_converged(const lanczos *self, const double *values, const double *vectors, size_t k, int largest,
                              double tolerance, double *worst) {
    size_t m = self->steps, converged = 0;
    double magnitude = fmax(fabs(values[0]), fabs(values[m - 1]));
    *worst = 0;
    for (size_t i = 0; i < k && i < m; i++) {
        /* A·(Ritz vector) leaves the basis only through its last vector */
        double residual = fabs(self->beta[m - 1] * vectors[wanted(self, i, largest) * m + m - 1]);
        converged += residual <= tolerance * magnitude;
        if (magnitude > 0)
            *worst = fmax(*worst, residual / magnitude);
    }
    return converged;
}

infl_status infl_curvature_lanczos(infl_curvature *curvature, size_t k, int largest,
                                   const infl_lanczos_options *options, double *eigenvalues, double *eigenvectors,
                                   double *residuals) {
    INFL_REQUIRE(curvature);
    INFL_REQUIRE(eigenvalues);
    infl_lanczos_options given = INFL_LANCZOS_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&given, sizeof given, options, __func__, "options"));
    size_t p = curvature->p;
    if (k == 0 || k > p)
        return infl_fail(INFL_E_ARGUMENT, "%s: k is %zu; there are 1 to %zu eigenvalues to ask for", __func__, k, p);
    if (!(given.tolerance > 0) || isinf(given.tolerance))
        return infl_fail(INFL_E_ARGUMENT, "%s: tolerance is %g; it must be positive and finite", __func__,
                         given.tolerance);
    size_t most = given.max_iterations != 0 ? given.max_iterations : MOST_BY_DEFAULT;
    if (most > p)
        most = p;
    if (most < k)
        return infl_fail(INFL_E_ARGUMENT,
                         "%s: %zu eigenvalues need at least as many iterations; max_iterations %zu "
                         "allows %zu",
                         __func__, k, given.max_iterations, most);

    lanczos self = {.curvature = curvature, .p = p, .most = most, .seed = given.seed};
    double *values = NULL, *vectors = NULL, *found = NULL, *images = NULL;
    size_t converged = 0;
    double worst = 0;
    infl_status status = INFL_OK;
    if ((status = infl_curvature_sample(curvature, given.sample, given.seed, &self.sample)) != INFL_OK ||
        (status = begin(&self)) != INFL_OK)
        goto out;
    INFL_ALLOCATE_OR_OUT(values, most);
    for (size_t look = k; converged < k && self.steps < most;) {
        if ((status = step(&self)) != INFL_OK)
            goto out;
        if (self.steps < look && self.steps < most)
            continue;
        size_t m = self.steps;
        look = m + 1 + m / 10; /* an eigendecomposition of T at every step would cost more than the steps */
        infl_release(vectors);
        INFL_ALLOCATE_MATRIX_OR_OUT(vectors, m, m);
        if ((status = ritz(&self, values, vectors)) != INFL_OK)
            goto out;
        converged = count_converged(&self, values, vectors, k, largest, given.tolerance, &worst);
    }
    if (converged < k) {
        status = infl_fail(INFL_E_UNCONVERGED,
                           "%s: %zu of %zu eigenvalues converged in %zu products; the worst relative "
                           "residual is %.2g, the tolerance %.2g; raise max_iterations or the tolerance",
                           __func__, converged, k, self.steps, worst, given.tolerance);
        goto out;
    }
    if (eigenvectors != NULL || residuals != NULL) {
        size_t m = self.steps;
        INFL_ALLOCATE_MATRIX_OR_OUT(found, k, p);
        for (size_t i = 0; i < k; i++)
            ritz_vector(&self, vectors + wanted(&self, i, largest) * m, found + i * p);
        if (residuals != NULL) {
            INFL_ALLOCATE_MATRIX_OR_OUT(images, k, p);
            if ((status = infl_curvature_product_rows(curvature, self.sample.rows, self.sample.n, found, k, images)) !=
                INFL_OK)
                goto out;
        }
    }
    for (size_t i = 0; i < k; i++) {
        eigenvalues[i] = values[wanted(&self, i, largest)];
        if (residuals != NULL) {
            infl_axpy(-eigenvalues[i], found + i * p, images + i * p, p);
            residuals[i] = infl_norm(images + i * p, p);
        }
    }
    if (eigenvectors != NULL)
        memcpy(eigenvectors, found, k * p * sizeof *eigenvectors);
out:
    end(&self);
    infl_release(self.sample.rows);
    infl_release(values);
    infl_release(vectors);
    infl_release(found);
    infl_release(images);
    return infl_in_name_of(__func__, status);
}

/* Products before the low end may be said to stand still, and to look back over: an eigenvalue that is alone below many
 * has a small part in the first vectors, whose Ritz pairs are then good ones of others. */
enum { LEAST_FOR_LOW = 30, LEAST_BACK = 10 };

/* before: the smallest Ritz value a quarter of the products ago. */
static int reached(const infl_extremes_goal *goal, const infl_extremes *ends, double before, int complete) {
    double magnitude = fmax(fabs(ends->low), fabs(ends->high));
    if (fmax(ends->low_error, ends->high_error) > goal->tolerance * magnitude)
        return 0;
    double accuracy = 0.1 * fmax(fabs(ends->low), goal->floor * magnitude);
    return goal->floor == 0 || complete || (ends->low_error <= accuracy && before - ends->low <= accuracy);
}

infl_status infl_curvature_extremes(infl_curvature *curvature, const infl_sample *sample, uint64_t seed,
                                    const infl_extremes_goal *goal, infl_progress_fn progress, void *context,
                                    infl_extremes *out) {
    size_t p = curvature->p, most = p < goal->most ? p : goal->most;
    infl_extremes ends = {0, 0, INFINITY, INFINITY};
    lanczos self = {.curvature = curvature, .sample = *sample, .p = p, .most = most, .seed = seed};
    double *values = NULL, *vectors = NULL, *lows = NULL; /* the smallest Ritz value after each product */
    infl_status status = begin(&self);
    if (status != INFL_OK)
        goto out;
    INFL_ALLOCATE_OR_OUT(values, most);
    INFL_ALLOCATE_OR_OUT(lows, most);
    for (size_t look = 1, met = 0; self.steps < most && !met;) {
        if ((status = infl_report_progress(progress, context, "prepare", self.steps, most)) != INFL_OK ||
            (status = step(&self)) != INFL_OK)
            goto out;
        size_t m = self.steps;
        lows[m - 1] = m > 1 ? lows[m - 2] : INFINITY;
        if (m < look && m < most)
            continue;
        look = m + 1 + m / 10;
        infl_release(vectors);
        INFL_ALLOCATE_MATRIX_OR_OUT(vectors, m, m);
        if ((status = ritz(&self, values, vectors)) != INFL_OK)
            goto out;
        lows[m - 1] = values[0];
        ends = (infl_extremes){values[0], values[m - 1], fabs(self.beta[m - 1] * vectors[m - 1]),
                               fabs(self.beta[m - 1] * vectors[m * m - 1])};
        size_t back = m / 4 > LEAST_BACK ? m / 4 : LEAST_BACK;
        met = (size_t)reached(goal, &ends, m >= LEAST_FOR_LOW ? lows[m - 1 - back] : INFINITY, m == p);
    }
    *out = ends;
out:
    end(&self);
    infl_release(values);
    infl_release(vectors);
    infl_release(lows);
    return status;
}

/*
 * A model that the library knows nothing of: a logistic regression with its own data and its own derivatives, behind the
 * callbacks of infl_custom_objective. Everything right of the objective works on it: training, polishing, inverses,
 * influence, retraining. It tells which of two iris species a flower is, predicts what leaving each flower out does to
 * the loss of one, leaves each out, and compares.
 */
#include <influence.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        infl_status status_of_call_ = (call);                                                                          \
        if (status_of_call_ != INFL_OK)                                                                                \
            return status_of_call_;                                                                                    \
    } while (0)

enum { ROWS = 100, FEATURES = 5 }; /* four measurements and a constant 1, so that θ has a bias */

/* ---- the model: nothing in this part knows of the library ------------------------------------------------------- */

typedef struct flowers {
    double x[ROWS][FEATURES];
    double sign[ROWS]; /* +1: virginica, −1: versicolor */
} flowers;

/* s·x·θ: how clearly the row is on its side */
static double margin(const flowers *data, size_t row, const double *theta) {
    double sum = 0.0;
    for (size_t j = 0; j < FEATURES; j++)
        sum += data->x[row][j] * theta[j];
    return data->sign[row] * sum;
}

/* the model's probability of the other species; stable for margins of any size */
static double doubt(double m) { return m >= 0 ? exp(-m) / (1 + exp(-m)) : 1 / (1 + exp(m)); }

/*
 * ---- the callbacks: they get the context, θ, and which rows, by their indices 0 .. ROWS−1, in any order
 *
 * Results are of single rows, or sums over the given ones, never means: dividing by n and the weight decay are the
 * library's. The data is only read, so that threads may call at the same time. Non-zero would end the call with
 * INFL_E_CALLBACK, and leave everything as it was.
 */

static int losses(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    for (size_t i = 0; i < n; i++) {
        double m = margin(context, rows[i], theta);
        out[i] = m >= 0 ? log1p(exp(-m)) : log1p(exp(m)) - m; /* log(1 + exp(−m)) */
    }
    return 0;
}

static int row_gradients(void *context, const double *theta, const size_t *rows, size_t n, double *out) {
    const flowers *data = context;
    for (size_t i = 0; i < n; i++) {
        double factor = -data->sign[rows[i]] * doubt(margin(data, rows[i], theta));
        for (size_t j = 0; j < FEATURES; j++)
            out[i * FEATURES + j] = factor * data->x[rows[i]][j];
    }
    return 0;
}

/* Σ_i q_i (1 − q_i) x_i (x_i·v), for each of the k vectors v: the Hessian itself is never formed */
static int hessian_products(void *context, const double *theta, const size_t *rows, size_t n, const double *vectors,
                            size_t k, double *out) {
    const flowers *data = context;
    for (size_t a = 0; a < k * FEATURES; a++)
        out[a] = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double *x = data->x[rows[i]];
        double q = doubt(margin(data, rows[i], theta));
        for (size_t a = 0; a < k; a++) {
            double along = 0.0;
            for (size_t j = 0; j < FEATURES; j++)
                along += x[j] * vectors[a * FEATURES + j];
            for (size_t j = 0; j < FEATURES; j++)
                out[a * FEATURES + j] += q * (1 - q) * along * x[j];
        }
    }
    return 0;
}

/* ---- the data: copied out of the library's Iris, where a program would have its own ------------------------------ */

static infl_status read_flowers(flowers *data) {
    static const double centre[] = {6.3, 2.9, 4.9, 1.7}; /* cm; training is easier around 0 */
    infl_dataset *iris;
    infl_status status = infl_dataset_iris(&iris);
    if (status != INFL_OK)
        return status;
    for (size_t i = 0; i < ROWS && status == INFL_OK; i++) { /* rows 50 .. 149: versicolor, virginica */
        double species;
        status = infl_dataset_get(iris, 50 + i, data->x[i], &species);
        for (size_t j = 0; j < FEATURES - 1; j++)
            data->x[i][j] -= centre[j];
        data->x[i][FEATURES - 1] = 1.0;
        data->sign[i] = species == 2.0 ? 1.0 : -1.0;
    }
    infl_dataset_destroy(iris);
    return status;
}

/* ---- influence -------------------------------------------------------------------------------------------------- */

typedef struct handles {
    infl_objective *risk;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
} handles;

static void destroy_inverse(handles *h) { /* what borrows goes first */
    infl_influence_destroy(h->influence);
    infl_inverse_destroy(h->inverse);
    h->influence = NULL;
    h->inverse = NULL;
}

/* What leaving each row out does to the loss of `test`, predicted by one inverse or another. */
static infl_status predict(handles *h, infl_inverse_method method, size_t test, double *changes) {
    infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
    infl_solve_report report;
    options.method = method;
    destroy_inverse(h);
    TRY(infl_inverse_create(&h->inverse, h->curvature, &options));
    TRY(infl_influence_create(&h->influence, h->risk, h->inverse, NULL));
    TRY(infl_influence_removal_losses(h->influence, h->risk, &test, 1, NULL, 0, changes, &report));
    printf("%s: residual %.1e\n", method == INFL_CG ? "conjugate gradients" : "Cholesky", report.residual);
    return INFL_OK;
}

static infl_status run(handles *h, flowers *data) {
    TRY(read_flowers(data));
    infl_custom_objective model = INFL_CUSTOM_OBJECTIVE_INIT;
    model.n_rows = ROWS;
    model.n_parameters = FEATURES;
    model.context = data; /* borrowed: outlives the objective */
    model.losses = losses;
    model.row_gradients = row_gradients;
    model.hessian_products = hessian_products;
    model.gauss_newton_products = hessian_products; /* the same matrix where the outputs are linear in θ */
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = 0.01;
    const double start[FEATURES] = {0.0};
    TRY(infl_objective_create_custom(&h->risk, &model, start, &options));

    /* first of all: are these the derivatives of those losses? A failure would name the row and the parameter */
    infl_derivatives_report derivatives;
    TRY(infl_objective_check_derivatives(h->risk, NULL, 0, NULL, &derivatives));
    printf("derivatives against differences: gradients to %.1e, Hessian products to %.1e\n", derivatives.gradients,
           derivatives.hessian);

    infl_train_options train = INFL_TRAIN_OPTIONS_INIT; /* Adam, all rows a step */
    infl_train_result trained, polished;
    train.steps = 200;
    train.learning_rate = 0.05;
    TRY(infl_train(h->risk, &train, &trained));
    TRY(infl_polish(h->risk, NULL, &polished)); /* influence is of an optimum: ∇R = 0 as far as f64 goes */
    printf("trained: R %.4f, |grad R| %.1e; polished: R %.4f, |grad R| %.1e\n", trained.value, trained.gradient_norm,
           polished.value, polished.gradient_norm);

    /* the flower that the model likes least */
    double loss[ROWS], by_cg[ROWS], by_cholesky[ROWS], measured[ROWS];
    size_t test = 0;
    TRY(infl_objective_losses(h->risk, NULL, 0, loss));
    for (size_t i = 1; i < ROWS; i++)
        test = loss[i] > loss[test] ? i : test;
    printf("row %zu has the highest loss, %.3f\n", test, loss[test]);

    TRY(infl_curvature_create(&h->curvature, h->risk, INFL_HESSIAN, 0.0)); /* convex, with decay: no damping needed */
    TRY(predict(h, INFL_CG, test, by_cg));
    TRY(predict(h, INFL_CHOLESKY, test, by_cholesky));
    double apart = 0.0, largest = 0.0;
    for (size_t i = 0; i < ROWS; i++) {
        apart = fmax(apart, fabs(by_cg[i] - by_cholesky[i]));
        largest = fmax(largest, fabs(by_cholesky[i]));
    }
    printf("their predictions differ by %.1e of the largest\n", apart / largest);

    /* the truth: 100 times, one row fewer, polished from the optimum */
    infl_retrain_output truth = INFL_RETRAIN_OUTPUT_INIT;
    double pearson, spearman;
    truth.loss_changes = measured;
    TRY(infl_retrain_without(h->risk, NULL, 0, h->risk, &test, 1, NULL, &truth));
    TRY(infl_pearson(by_cholesky, measured, ROWS, &pearson));
    TRY(infl_spearman(by_cholesky, measured, ROWS, &spearman));
    printf("predicted against retrained, %d rows: Pearson %.3f, Spearman %.3f; not at rest: %zu\n", ROWS, pearson,
           spearman, truth.unconverged);
    return INFL_OK;
}

int main(void) {
    static flowers data;
    handles h = {NULL, NULL, NULL, NULL};
    infl_status status = run(&h, &data);
    if (status != INFL_OK)
        fprintf(stderr, "own_model: %s\n", infl_last_error());
    destroy_inverse(&h);
    infl_curvature_destroy(h.curvature);
    infl_objective_destroy(h.risk);
    return status == INFL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

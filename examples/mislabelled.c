/* Flips the labels of eight Iris rows, then finds them: the rows that push hardest on their own prediction. */
#include <influence.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call) if ((call) != INFL_OK) return fprintf(stderr, "%s\n", infl_last_error()), 1

int main(void) {
    infl_dataset *iris, *rows; infl_model *model; infl_objective *risk;
    infl_curvature *curvature; infl_inverse *inverse; infl_influence *influence;
    double x[150][4], y, self[150];
    int32_t labels[150];
    size_t suspects[15], units[] = {8, 3};

    TRY(infl_dataset_iris(&iris));
    for (int i = 0; i < 150; i++) { /* every 19th row gets the next class */
        TRY(infl_dataset_get(iris, i, x[i], &y));
        labels[i] = i % 19 == 7 ? ((int)y + 1) % 3 : (int)y;
    }
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = 150; spec.n_features = 4; spec.features = x[0]; spec.labels = labels;
    TRY(infl_dataset_create(&rows, &spec));
    TRY(infl_model_create_mlp(&model, INFL_F64, 4, units, 2, INFL_TANH, INFL_INIT_GLOROT, 1));
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = 0.005;
    TRY(infl_objective_create(&risk, model, &loss, rows, &options));
    TRY(infl_polish(risk, NULL, NULL)); /* Newton–CG down to the optimum */

    TRY(infl_curvature_create(&curvature, risk, INFL_GAUSS_NEWTON, 0.001));
    TRY(infl_inverse_create(&inverse, curvature, NULL)); /* Cholesky */
    TRY(infl_influence_create(&influence, risk, inverse, NULL));
    TRY(infl_influence_self(influence, NULL, 0, self, NULL));
    TRY(infl_influence_top(self, 150, INFL_HELPFUL, 15, suspects)); /* most negative first */
    for (int i = 0; i < 15; i++)
        printf("row %3zu  label %d  self-influence %7.3f%s\n", suspects[i], labels[suspects[i]], self[suspects[i]],
               suspects[i] % 19 == 7 ? "  <- flipped" : "");

    infl_influence_destroy(influence); infl_inverse_destroy(inverse); infl_curvature_destroy(curvature);
    infl_objective_destroy(risk); infl_model_destroy(model); infl_dataset_destroy(rows); infl_dataset_destroy(iris);
    return 0;
}

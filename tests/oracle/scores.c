/*
 * The library's side of the comparison with NumPy:
 *
 *   scores FEATURES TARGETS PATH
 *
 * reads a data set from NumPy's files, and writes to PATH.npy and PATH.json the scores of its rows for one another in
 * softmax regression at θ = 0, with the Gauss–Newton matrix, a decay of 0.1 and a damping of 0.01.
 */
#include <stdio.h>
#include <stdlib.h>

#include "influence.h"

static void check(infl_status status) {
    if (status == INFL_OK)
        return;
    fprintf(stderr, "oracle: %s: %s\n", infl_status_name(status), infl_last_error());
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: scores FEATURES TARGETS PATH\n");
        return 2;
    }
    infl_dataset *rows;
    infl_model *model;
    infl_objective *risk;
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    infl_scores *scores;
    check(infl_dataset_from_npy(&rows, argv[1], argv[2], NULL));
    size_t classes = infl_dataset_targets(rows);
    check(infl_model_create_mlp(&model, INFL_F64, infl_dataset_features(rows), &classes, 1, INFL_IDENTITY,
                                INFL_INIT_GLOROT, 1));
    double *theta = calloc(infl_model_parameters(model), sizeof *theta);
    if (theta == NULL)
        return 1;
    check(infl_model_set_parameters(model, theta));
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = 0.1;
    check(infl_objective_create(&risk, model, &loss, rows, &options));
    check(infl_curvature_create(&curvature, risk, INFL_GAUSS_NEWTON, 0.01));
    check(infl_inverse_create(&inverse, curvature, NULL));
    check(infl_influence_create(&influence, risk, inverse, NULL));
    check(infl_scores_create(&scores, influence, INFL_QUANTITY_SCORES, risk, NULL, 0, NULL, 0));
    check(infl_scores_save(scores, argv[3], NULL));
    infl_scores_destroy(scores);
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
    infl_objective_destroy(risk);
    infl_model_destroy(model);
    infl_dataset_destroy(rows);
    free(theta);
    return 0;
}

/* What a user's first program does: data, a network, one step of training. Prints the library's version. */
#include <influence.h>
#include <stdio.h>

int main(void) {
    const size_t units[] = {5, 3};
    infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.steps = 1;
    infl_dataset *iris = NULL;
    infl_model *model = NULL;
    infl_objective *objective = NULL;
    infl_train_result result;
    if (infl_version_number() < INFL_VERSION_NUMBER) { /* the library may be newer than the header, not older */
        fprintf(stderr, "built for %s, but running with %s\n", INFL_VERSION_STRING, infl_version());
        return 1;
    }
    int failed = infl_dataset_iris(&iris) != INFL_OK ||
                 infl_model_create_mlp(&model, INFL_F32, 4, units, 2, INFL_TANH, INFL_INIT_GLOROT, 1) != INFL_OK ||
                 infl_objective_create(&objective, model, &loss, iris, NULL) != INFL_OK ||
                 infl_train(objective, &options, &result) != INFL_OK || result.steps != 1;
    if (failed)
        fprintf(stderr, "%s\n", infl_last_error());
    else
        printf("%s\n", infl_version());
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    infl_dataset_destroy(iris);
    return failed;
}

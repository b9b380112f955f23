/* Losses as the caller sees them: checked options, and one row at a time through the engine. */
#include <math.h>

#include "dense.h"
#include "network.h"

infl_status infl_read_loss(infl_loss *loss, const infl_loss *given, const char *function) {
    *loss = (infl_loss)INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    INFL_TRY(infl_read_options(loss, sizeof *loss, given, function, "loss"));
    if ((int)loss->kind < 0 || (int)loss->kind >= (int)INFL_N_LOSSES)
        return infl_fail(INFL_E_ARGUMENT, "%s: loss kind %d does not exist", function, (int)loss->kind);
    if (loss->kind == INFL_SMOOTHED_HINGE && (!(loss->temperature > 0.0) || !isfinite(loss->temperature)))
        return infl_fail(INFL_E_ARGUMENT, "%s: the temperature is %g; expected a finite number > 0", function,
                         loss->temperature);
    return INFL_OK;
}

static infl_status check_target(const infl_loss *loss, size_t n_outputs, const double *target) {
    const char *function = "infl_loss_evaluate";
    if (loss->kind == INFL_SQUARED_ERROR)
        return infl_check_vectors(target, 1, n_outputs, function, "target");
    int margin = loss->kind == INFL_LOGISTIC || loss->kind == INFL_SMOOTHED_HINGE;
    if (margin && n_outputs != 1)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_outputs is %zu; this loss takes 1 output", function, n_outputs);
    size_t classes = margin ? 2 : n_outputs;
    if (!(target[0] >= 0.0) || target[0] >= (double)classes || target[0] != floor(target[0]))
        return infl_fail(INFL_E_ARGUMENT, "%s: target is %g; expected a class index 0 to %zu", function, target[0],
                         classes - 1);
    return INFL_OK;
}

infl_status infl_loss_evaluate(const infl_loss *loss, const double *outputs, size_t n_outputs, const double *target,
                               double *value, double *gradient, double *hessian) {
    INFL_REQUIRE(loss);
    INFL_REQUIRE(outputs);
    INFL_REQUIRE(target);
    infl_loss checked;
    INFL_TRY(infl_read_loss(&checked, loss, __func__));
    if (n_outputs == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_outputs is 0; expected at least 1", __func__);
    INFL_TRY(infl_check_vectors(outputs, 1, n_outputs, __func__, "outputs"));
    INFL_TRY(check_target(&checked, n_outputs, target));
    return infl_in_name_of(__func__, infl_engine_select(INFL_F64)->loss_of_row(&checked, outputs, n_outputs, target,
                                                                               value, gradient, hessian));
}

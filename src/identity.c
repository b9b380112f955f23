#include "identity.h"

#include "objective.h"

infl_status infl_objective_identity(infl_objective *objective, infl_identity *out) {
    infl_hash *model = NULL, *data = NULL;
    infl_status status = infl_hash_begin(&model);
    if (status == INFL_OK)
        status = infl_hash_begin(&data);
    if (status == INFL_OK)
        status = objective->ops->identify(objective->source, objective->rows, objective->n_rows, model, data);
    if (status != INFL_OK) {
        infl_hash_release(model);
        infl_hash_release(data);
        return status;
    }
    infl_hash_double(data, objective->decay);
    if (objective->decay > 0)
        infl_hash_bytes(data, objective->mask, objective->n_parameters);
    infl_hash_end(model, out->model);
    infl_hash_end(data, out->data);
    return INFL_OK;
}

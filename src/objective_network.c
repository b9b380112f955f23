/* The objective's sums over rows for a model, a loss and a dataset. */
#include "chunks.h"
#include "dense_pass.h"
#include "memory.h"
#include "objective.h"
#include "objective_sources.h"
#include "training_pass.h"

typedef struct network_source {
    infl_model *model;     /* borrowed, unless owned is set */
    infl_dataset *dataset; /* a reference of our own */
    infl_loss loss;
    int owned, threads;
    size_t budget, keep_budget; /* of a workspace */
} network_source;

typedef struct network_workspace {
    infl_chunks chunks;
    infl_training_pass training;
} network_workspace;

static infl_status workspace_create(const void *self, void **out) {
    const network_source *source = self;
    network_workspace *workspace;
    INFL_ALLOCATE(workspace, 1);
    workspace->chunks = (infl_chunks){.model = source->model,
                                      .dataset = source->dataset,
                                      .loss = source->loss,
                                      .threads = source->threads,
                                      .budget = source->budget,
                                      .keep_budget = source->keep_budget};
    workspace->training = (infl_training_pass){.model = source->model,
                                               .dataset = source->dataset,
                                               .loss = source->loss,
                                               .threads = source->threads,
                                               .budget = source->budget};
    *out = workspace;
    return INFL_OK;
}

static void workspace_destroy(const void *self, void *memory) {
    (void)self;
    network_workspace *workspace = memory;
    if (workspace == NULL)
        return;
    infl_chunks_release(&workspace->chunks);
    infl_training_pass_release(&workspace->training);
    infl_release(workspace);
}

static void destroy(void *self) {
    network_source *source = self;
    if (source == NULL)
        return;
    infl_dataset_destroy(source->dataset);
    if (source->owned)
        infl_model_destroy(source->model);
    infl_release(source);
}

infl_status infl_network_source_create(void **out, infl_model *model, const infl_loss *loss,
                                       const infl_dataset *dataset, int threads, size_t budget, size_t keep_budget) {
    network_source *source;
    INFL_ALLOCATE(source, 1);
    infl_status status = infl_dataset_reference(&source->dataset, dataset);
    if (status != INFL_OK) {
        infl_release(source);
        return status;
    }
    source->model = model;
    source->loss = *loss;
    source->threads = threads;
    source->budget = budget;
    source->keep_budget = keep_budget;
    *out = source;
    return INFL_OK;
}

static infl_precision precision(const void *self) {
    return infl_model_precision(((const network_source *)self)->model);
}

static infl_status convert(const void *self, infl_precision to, int threads, void **out) {
    const network_source *source = self;
    infl_model *model;
    INFL_TRY(infl_model_convert(&model, source->model, to));
    void *copy;
    infl_status status = infl_network_source_create(&copy, model, &source->loss, source->dataset, threads,
                                                    source->budget, source->keep_budget);
    if (status != INFL_OK) {
        infl_model_destroy(model);
        return status;
    }
    ((network_source *)copy)->owned = 1;
    *out = copy;
    return INFL_OK;
}

static infl_status clone(const void *self, int threads, void **out) {
    return convert(self, precision(self), threads, out);
}

static infl_status get_parameters(const void *self, double *theta) {
    return infl_model_get_parameters(((const network_source *)self)->model, theta);
}

static infl_status set_parameters(void *self, const double *theta) {
    return infl_model_set_parameters(((network_source *)self)->model, theta);
}

static size_t state_size(const void *self) { return infl_model_state(((const network_source *)self)->model); }

static infl_status get_state(const void *self, double *state) {
    return infl_model_get_state(((const network_source *)self)->model, state);
}

static infl_status set_state(void *self, const double *state) {
    return infl_model_set_state(((network_source *)self)->model, state);
}

static size_t training_rows(const void *self, int fixed_statistics) {
    return infl_training_least_rows(((const network_source *)self)->model, fixed_statistics);
}

static infl_status run_job(network_workspace *workspace, const infl_chunk_job *job) {
    if (workspace->training.budget > 0) /* the budget is for one of them at a time */
        infl_training_pass_release(&workspace->training);
    return infl_chunks_run(&workspace->chunks, job);
}

/* By chunks one after another where no layer has to see the batch as a whole. */
static infl_status training_gradient(const void *self, void *memory, const size_t *rows, size_t n,
                                     const infl_training_step *step, double *out) {
    network_workspace *workspace = memory;
    infl_chunk_job job = {
        .work = INFL_WORK_WEIGHTED_GRADIENTS, .rows = rows, .n = n, .k = 1, .output = out, .step = step};
    if (training_rows(self, step->fixed_statistics) == 0)
        return run_job(workspace, &job);
    if (workspace->chunks.budget > 0)
        infl_chunks_release(&workspace->chunks);
    return infl_training_pass_run(&workspace->training, rows, n, step, out);
}

static infl_status check_images(const void *self, size_t crop) {
    const infl_model *model = ((const network_source *)self)->model;
    infl_shape image = model->network.layers[0].shape;
    if (image.height * image.width == 1)
        return infl_fail(INFL_E_ARGUMENT,
                         "crop and flip are of images; the model's input is a vector of %zu numbers "
                         "(infl_builder_create_image makes a network on images)",
                         image.channels);
    if (crop >= image.height || crop >= image.width)
        return infl_fail(INFL_E_ARGUMENT,
                         "crop is %zu; less than the images' height and width, %zu and %zu, is expected", crop,
                         image.height, image.width);
    return INFL_OK;
}

static infl_status run(void *workspace, infl_chunk_work work, const size_t *rows, size_t n, const double *input,
                       size_t k, double *output, double *losses) {
    infl_chunk_job job = {
        .work = work, .rows = rows, .n = n, .input = input, .k = k, .output = output, .losses = losses};
    return run_job(workspace, &job);
}

static infl_status losses(const void *self, void *workspace, const size_t *rows, size_t n, double *out) {
    (void)self;
    return run(workspace, INFL_WORK_LOSSES, rows, n, NULL, 0, out, NULL);
}

static infl_status row_gradients(const void *self, void *workspace, const size_t *rows, size_t n, double *gradients) {
    (void)self;
    return run(workspace, INFL_WORK_ROW_GRADIENTS, rows, n, NULL, 0, gradients, NULL);
}

static infl_status row_squares(const void *self, void *workspace, const size_t *rows, size_t n, double *squares) {
    (void)self;
    return run(workspace, INFL_WORK_ROW_NORMS, rows, n, NULL, 0, squares, NULL);
}

static infl_status row_products(const void *self, void *workspace, const size_t *rows, size_t n, const double *vectors,
                                size_t k, double *out) {
    (void)self;
    return run(workspace, INFL_WORK_ROW_PRODUCTS, rows, n, vectors, k, out, NULL);
}

static infl_status weighted_gradients(const void *self, void *workspace, const size_t *rows, size_t n,
                                      const double *weights, size_t k, double *out, double *row_losses) {
    (void)self;
    return run(workspace, INFL_WORK_WEIGHTED_GRADIENTS, rows, n, weights, k, out, row_losses);
}

static infl_chunk_work work_of(infl_curvature_kind kind) {
    return kind == INFL_HESSIAN        ? INFL_WORK_HESSIAN
           : kind == INFL_GAUSS_NEWTON ? INFL_WORK_GAUSS_NEWTON
                                       : INFL_WORK_FISHER;
}

static infl_status products(const void *self, void *workspace, infl_curvature_kind kind, const size_t *rows, size_t n,
                            const double *vectors, size_t k, double *out) {
    (void)self;
    return run(workspace, work_of(kind), rows, n, vectors, k, out, NULL);
}

static infl_status dense(const void *self, void *memory, const infl_dense_call *call) {
    const network_source *source = self;
    network_workspace *workspace = memory;
    infl_dense_job job = {.model = source->model,
                          .dataset = source->dataset,
                          .loss = source->loss,
                          .kind = call->kind,
                          .rows = call->rows,
                          .n = call->n,
                          .parameters = call->parameters,
                          .q = call->q,
                          .threads = source->threads,
                          .budget = source->budget,
                          .matrix = call->matrix,
                          .progress = call->progress,
                          .progress_context = call->progress_context};
    if (source->budget > 0) { /* the budget is for one of them at a time */
        infl_chunks_release(&workspace->chunks);
        infl_training_pass_release(&workspace->training);
    }
    return infl_dense_pass_run(&job);
}

static infl_status check_kind(const void *self, infl_curvature_kind kind) {
    (void)self, (void)kind;
    return INFL_OK;
}

static infl_status memory(const void *self, void *workspace, size_t n, size_t k, size_t *bytes) {
    (void)self;
    infl_chunk_job job = {.work = INFL_WORK_HESSIAN, .n = n, .k = k};
    return infl_chunks_memory(&((network_workspace *)workspace)->chunks, &job, bytes);
}

static void hash_rows(infl_hash *hash, const infl_dataset *dataset, const size_t *rows, size_t n) {
    const infl_storage *storage = dataset->storage;
    size_t d = storage->n_features, t = storage->n_targets;
    infl_hash_string(hash, storage->labels != NULL ? "classes" : "targets");
    infl_hash_number(hash, t);
    infl_hash_number(hash, n);
    for (size_t i = 0; i < n; i++) {
        size_t row = infl_dataset_storage_row(dataset, rows[i]);
        if (storage->precision == INFL_F32)
            infl_hash_floats(hash, (const float *)storage->features + row * d, d);
        else
            infl_hash_doubles(hash, (const double *)storage->features + row * d, d);
        if (storage->labels != NULL)
            infl_hash_number(hash, (uint64_t)storage->labels[row]);
        else
            infl_hash_doubles(hash, storage->targets + row * t, t);
    }
}

static infl_status describe_loss(const void *self, infl_loss *loss) {
    *loss = ((const network_source *)self)->loss;
    return INFL_OK;
}

static infl_status identify(const void *self, const size_t *rows, size_t n, infl_hash *model, infl_hash *data) {
    const network_source *source = self;
    const infl_loss *loss = &source->loss;
    INFL_TRY(infl_model_hash(source->model, model));
    hash_rows(data, source->dataset, rows, n);
    infl_hash_number(data, (uint64_t)loss->kind);
    if (loss->kind == INFL_SMOOTHED_HINGE)
        infl_hash_double(data, loss->temperature);
    return INFL_OK;
}

const infl_source_ops infl_network_source = {
    .destroy = destroy,
    .workspace_create = workspace_create,
    .workspace_destroy = workspace_destroy,
    .clone = clone,
    .precision = precision,
    .convert = convert,
    .get_parameters = get_parameters,
    .set_parameters = set_parameters,
    .state_size = state_size,
    .get_state = get_state,
    .set_state = set_state,
    .training_rows = training_rows,
    .training_gradient = training_gradient,
    .check_images = check_images,
    .losses = losses,
    .row_gradients = row_gradients,
    .row_squares = row_squares,
    .row_products = row_products,
    .weighted_gradients = weighted_gradients,
    .products = products,
    .dense = dense,
    .check_kind = check_kind,
    .memory = memory,
    .describe_loss = describe_loss,
    .identify = identify,
};

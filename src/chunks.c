#include "chunks.h"

#include <omp.h>
#include <string.h>

#include "dense.h"
#include "memory.h"

enum {
    ACCUMULATORS = 8,     /* sums over rows that may run side by side */
    TANGENTS_AT_ONCE = 8, /* measured best for small networks: more leave the cache, fewer share less */
};
/* Accumulators of a block of vectors stay below this unless one vector needs more. */
static const size_t ACCUMULATOR_BYTES = (size_t)256 << 20;

/*
 * A function of the network alone, so that sums over rows are grouped in one way only: as many rows as keep one pass over
 * all layers in the second-level cache, within reason for matrix products.
 */
static size_t chunk_rows(const infl_network *network) {
    size_t width = 1, rows = 256;
    for (size_t i = 0; i < network->n_layers; i++)
        width += network->layers[i].width;
    while (rows > 64 && rows * width > 32768)
        rows /= 2;
    return rows;
}

static int is_sum(infl_chunk_work work) {
    return work == INFL_WORK_COTANGENTS || work >= INFL_WORK_WEIGHTED_GRADIENTS;
}

/* How a job is cut up. */
typedef struct chunk_plan {
    size_t chunk_rows, n_chunks;
    size_t groups;     /* of chunks: accumulators of a sum, else the chunks themselves */
    size_t block;      /* vectors in one pass */
    size_t slab;       /* vectors whose accumulators exist at the same time */
    size_t threads;
    int row_gradients;
    size_t workspace;  /* bytes of a thread */
    size_t accumulator; /* bytes for one vector, all groups; 0 where the output itself serves */
    size_t bytes;
} chunk_plan;

static infl_status make_plan(const infl_chunks *chunks, const infl_chunk_job *job, chunk_plan *out) {
    const infl_network *network = &chunks->model->network;
    const infl_engine *engine = chunks->model->engine;
    size_t k = job->k > 0 ? job->k : 1, p = network->n_parameters;
    chunk_plan plan = {.chunk_rows = chunk_rows(network),
                       .row_gradients = job->work == INFL_WORK_ROW_GRADIENTS};
    if (plan.chunk_rows > job->n)
        plan.chunk_rows = job->n;
    plan.n_chunks = (job->n + plan.chunk_rows - 1) / plan.chunk_rows;
    plan.groups = is_sum(job->work) && plan.n_chunks > ACCUMULATORS ? ACCUMULATORS : plan.n_chunks;
    plan.accumulator = is_sum(job->work) && plan.groups > 1 ? plan.groups * p * sizeof(double) : 0;

    size_t least = engine->workspace_bytes(network, plan.chunk_rows, 1, plan.row_gradients) + plan.accumulator;
    size_t limit = chunks->budget > 0 ? chunks->budget : SIZE_MAX;
    if (limit < least)
        return infl_fail(INFL_E_BUDGET, "a memory budget of %zu bytes is too small: this needs at least %zu", limit,
                         least);
    /* no more vectors at once than give every thread something to do */
    plan.block = TANGENTS_AT_ONCE;
    if (plan.block > k)
        plan.block = k;
    while (plan.block > 1 && plan.groups * ((k + plan.block - 1) / plan.block) < (size_t)chunks->threads)
        plan.block--;
    do
        plan.workspace = engine->workspace_bytes(network, plan.chunk_rows, plan.block, plan.row_gradients);
    while (plan.workspace + plan.block * plan.accumulator > limit && plan.block-- > 1);
    size_t tasks = plan.groups * ((k + plan.block - 1) / plan.block);
    plan.threads = (limit - plan.block * plan.accumulator) / plan.workspace;
    if (plan.threads > (size_t)chunks->threads)
        plan.threads = (size_t)chunks->threads;
    if (plan.threads > tasks)
        plan.threads = tasks;
    plan.slab = k;
    if (plan.accumulator > 0) {
        size_t room = limit - plan.threads * plan.workspace;
        room = room < ACCUMULATOR_BYTES ? room : ACCUMULATOR_BYTES;
        plan.slab = room / plan.accumulator < plan.block ? plan.block : room / plan.accumulator;
        plan.slab = plan.slab < k ? plan.slab / plan.block * plan.block : k;
    }
    plan.bytes = plan.threads * plan.workspace + plan.slab * plan.accumulator;
    *out = plan;
    return INFL_OK;
}

infl_status infl_chunks_memory(const infl_chunks *chunks, const infl_chunk_job *job, size_t *bytes) {
    chunk_plan plan;
    INFL_TRY(make_plan(chunks, job, &plan));
    *bytes = plan.bytes;
    return INFL_OK;
}

void infl_chunks_release(infl_chunks *chunks) {
    infl_release(chunks->memory);
    chunks->memory = NULL;
    chunks->bytes = 0;
    chunks->layout.threads = 0;
}

static infl_workspace *workspace_of(const infl_chunks *chunks, const chunk_plan *plan, size_t thread) {
    return (infl_workspace *)((char *)chunks->memory + thread * plan->workspace);
}

/* Memory for the plan, with a workspace for each thread. */
static infl_status prepare(infl_chunks *chunks, const chunk_plan *plan) {
    if (chunks->bytes < plan->bytes) {
        infl_chunks_release(chunks);
        chunks->memory = infl_allocate(plan->bytes, 1);
        if (chunks->memory == NULL)
            return INFL_E_MEMORY;
        chunks->bytes = plan->bytes;
    }
    if (chunks->layout.threads == plan->threads && chunks->layout.rows == plan->chunk_rows &&
        chunks->layout.block == plan->block && chunks->layout.row_gradients == plan->row_gradients)
        return INFL_OK;
    for (size_t i = 0; i < plan->threads; i++)
        chunks->model->engine->workspace_init(workspace_of(chunks, plan, i), &chunks->model->network, plan->chunk_rows,
                                              plan->block, plan->row_gradients);
    chunks->layout.threads = plan->threads;
    chunks->layout.rows = plan->chunk_rows;
    chunks->layout.block = plan->block;
    chunks->layout.row_gradients = plan->row_gradients;
    return INFL_OK;
}

/*
 * One chunk, vectors first .. first+k−1: leaves per-row results in the output, or sums over the chunk's rows in the
 * gradients of the workspace's slots; returns the slot of the first of them. kept: the workspace has just done this chunk
 * with other vectors, as many, and its value pass stands.
 */
static size_t run_chunk(const infl_chunks *chunks, const infl_chunk_job *job, infl_workspace *w, size_t at, size_t n,
                        size_t first, size_t k, int kept) {
    const infl_engine *engine = chunks->model->engine;
    const void *theta = chunks->model->theta;
    size_t outputs = chunks->model->network.n_outputs;
    if (!kept)
        engine->load(w, chunks->dataset, job->rows + at, n);
    double *losses = job->losses == NULL || first > 0 ? NULL : job->losses + at;
    switch (job->work) {
    case INFL_WORK_OUTPUTS:
        engine->forward(w, theta, 1, 0, 1);
        engine->outputs(w, 0, job->output + at * outputs);
        return 0;
    case INFL_WORK_OUTPUT_TANGENTS:
        engine->forward(w, theta, 1 + k, 0, 1 + k);
        for (size_t j = 0; j < k; j++)
            engine->outputs(w, 1 + j, job->output + ((first + j) * job->n + at) * outputs);
        return 0;
    case INFL_WORK_COTANGENTS:
        engine->forward(w, theta, k, 0, 1);
        engine->seed_cotangents(w, job->input + (first * job->n + at) * outputs, job->n, k);
        engine->backward(w, theta, INFL_BACKWARD_FIRST, 0, k);
        return 0;
    case INFL_WORK_LOSSES:
        engine->forward(w, theta, 1, 0, 1);
        engine->loss(w, &chunks->loss, job->output + at);
        return 0;
    case INFL_WORK_ROW_GRADIENTS:
        engine->forward(w, theta, 1, 0, 1);
        engine->loss(w, &chunks->loss, losses);
        engine->row_gradients(w, theta, job->output + at * chunks->model->network.n_parameters);
        return 0;
    case INFL_WORK_ROW_PRODUCTS:
        engine->forward(w, theta, 1 + k, 0, 1 + k);
        engine->loss(w, &chunks->loss, losses);
        engine->row_products(w, k, job->output + at * job->k + first, job->k);
        return 0;
    case INFL_WORK_WEIGHTED_GRADIENTS:
        engine->forward(w, theta, k, 0, 1);
        engine->loss(w, &chunks->loss, losses);
        if (job->input != NULL)
            engine->seed_weights(w, job->input + first * job->n + at, job->n, k);
        engine->backward(w, theta, INFL_BACKWARD_FIRST, 0, k);
        return 0;
    case INFL_WORK_HESSIAN:
    case INFL_WORK_GAUSS_NEWTON:
    case INFL_WORK_FISHER:
        engine->forward(w, theta, 1 + k, kept ? 1 : 0, 1 + k);
        if (!kept)
            engine->loss(w, &chunks->loss, losses);
        engine->seed_curvature(w, &chunks->loss,
                               job->work == INFL_WORK_FISHER ? INFL_SEED_FISHER : INFL_SEED_CURVATURE, k);
        if (job->work == INFL_WORK_HESSIAN)
            engine->backward(w, theta, INFL_BACKWARD_SECOND, kept ? 1 : 0, 1 + k);
        else
            engine->backward(w, theta, INFL_BACKWARD_FIRST, 1, 1 + k);
        return 1;
    }
    return 0;
}

/* A block of vectors over the chunks of one group, in order; sums go to `sums` (k×p). */
static void run_task(const infl_chunks *chunks, const infl_chunk_job *job, const chunk_plan *plan, infl_workspace *w,
                     size_t group, size_t first, size_t k, int kept, double *sums) {
    const infl_engine *engine = chunks->model->engine;
    size_t p = chunks->model->network.n_parameters;
    int tangents = job->work == INFL_WORK_OUTPUT_TANGENTS || job->work == INFL_WORK_ROW_PRODUCTS ||
                   job->work >= INFL_WORK_HESSIAN;
    if (tangents)
        engine->load_tangents(w, job->input + first * p, k);
    for (size_t chunk = group; chunk < plan->n_chunks; chunk += plan->groups) {
        size_t at = chunk * plan->chunk_rows, n = job->n - at < plan->chunk_rows ? job->n - at : plan->chunk_rows;
        size_t slot = run_chunk(chunks, job, w, at, n, first, k, kept);
        for (size_t j = 0; is_sum(job->work) && j < k; j++)
            (chunk == group ? engine->to_double : engine->add_to_double)(sums + j * p, engine->gradient(w, slot + j), p);
    }
}

infl_status infl_chunks_run(infl_chunks *chunks, const infl_chunk_job *job) {
    chunk_plan plan;
    INFL_TRY(make_plan(chunks, job, &plan));
    INFL_TRY(prepare(chunks, &plan));
    size_t k = job->k > 0 ? job->k : 1, p = chunks->model->network.n_parameters;
    double *accumulators = (double *)((char *)chunks->memory + plan.threads * plan.workspace);
    for (size_t slab = 0; slab < k; slab += plan.slab) {
        size_t slab_k = k - slab < plan.slab ? k - slab : plan.slab;
        size_t blocks = (slab_k + plan.block - 1) / plan.block, tasks = blocks * plan.groups;
#pragma omp parallel num_threads((int)plan.threads) if (plan.threads > 1 && tasks > 1)
        {
            infl_workspace *w = workspace_of(chunks, &plan, (size_t)omp_get_thread_num());
            size_t last_group = SIZE_MAX, last_k = 0; /* what w holds */
            /* the blocks of a group one after another, so that a group of one chunk keeps its value pass */
#pragma omp for schedule(dynamic)
            for (size_t task = 0; task < tasks; task++) {
                size_t group = task / blocks, in_slab = task % blocks * plan.block;
                size_t block_k = slab_k - in_slab < plan.block ? slab_k - in_slab : plan.block;
                double *sums = !is_sum(job->work)    ? NULL
                               : plan.accumulator == 0 ? job->output + (slab + in_slab) * p
                                                       : accumulators + (group * slab_k + in_slab) * p;
                int kept = job->work >= INFL_WORK_HESSIAN && plan.n_chunks == plan.groups && last_group == group &&
                           last_k == block_k;
                run_task(chunks, job, &plan, w, group, slab + in_slab, block_k, kept, sums);
                last_group = group;
                last_k = block_k;
            }
        }
        if (plan.accumulator == 0)
            continue;
        memcpy(job->output + slab * p, accumulators, slab_k * p * sizeof(double));
        for (size_t group = 1; group < plan.groups; group++)
            infl_axpy(1.0, accumulators + group * slab_k * p, job->output + slab * p, slab_k * p);
    }
    return INFL_OK;
}

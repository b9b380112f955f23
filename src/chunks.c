#include "chunks.h"

#include <omp.h>
#include <string.h>

#include "dense.h"
#include "memory.h"

enum {
    GROUPS = 16,          /* of chunks whose sums may run side by side */
    TANGENTS_AT_ONCE = 8, /* measured best for small networks: more leave the cache, fewer share less */
    PRODUCTS_AT_ONCE = 64, /* vectors that a row's gradient is multiplied with */
};
/* Tangents in the engine's precision stay below this unless one block needs more. */
static const size_t TANGENT_BYTES = (size_t)256 << 20;

/*
 * A function of the network alone, so that sums over rows are grouped in one way only: as many rows as keep the largest
 * array in the second-level cache, within reason for matrix products; at least whole vectors.
 */
static size_t chunk_rows(const infl_network *network) {
    size_t width = 1, rows = 256;
    for (size_t i = 0; i < network->n_layers; i++)
        width = network->layers[i].width > width ? network->layers[i].width : width;
    while (rows > 16 && rows * width > 65536)
        rows /= 2;
    return rows;
}

static int is_sum(infl_chunk_work work) {
    return work == INFL_WORK_COTANGENTS || work >= INFL_WORK_WEIGHTED_GRADIENTS;
}

static int has_tangents(infl_chunk_work work) {
    return work == INFL_WORK_OUTPUT_TANGENTS || work == INFL_WORK_ROW_PRODUCTS || work >= INFL_WORK_HESSIAN;
}

/* How a job is cut up, and the memory it takes: workspaces, accumulators of the threads, tangents. */
typedef struct schedule {
    size_t chunk_rows, n_chunks;
    size_t groups;      /* of chunks: summed one after another; where nothing is summed, the chunks themselves */
    size_t block;       /* vectors in one pass */
    size_t slab;        /* vectors whose tangents are converted at the same time */
    size_t threads;
    infl_pass pass;
    size_t workspace;   /* bytes of a thread */
    size_t accumulator; /* bytes of a thread for one vector; 0 where the output itself serves */
    size_t tangent;     /* bytes for one vector; 0 where the input itself serves */
    size_t bytes;
} schedule;

static infl_pass pass_of(const infl_chunk_job *job, size_t rows, size_t block, int keep) {
    infl_pass pass = {.rows = rows, .values = 1, .keep = keep};
    switch (job->work) {
    case INFL_WORK_OUTPUTS:
    case INFL_WORK_LOSSES:
        break;
    case INFL_WORK_OUTPUT_TANGENTS:
        pass.values = 1 + block;
        break;
    case INFL_WORK_COTANGENTS:
    case INFL_WORK_WEIGHTED_GRADIENTS:
        pass.cotangents = block;
        break;
    case INFL_WORK_ROW_GRADIENTS:
    case INFL_WORK_ROW_NORMS:
    case INFL_WORK_ROW_PRODUCTS:
        pass.cotangents = pass.row_gradients = 1;
        pass.products = job->work == INFL_WORK_ROW_PRODUCTS ? block : 0;
        break;
    case INFL_WORK_HESSIAN:
    case INFL_WORK_GAUSS_NEWTON:
    case INFL_WORK_FISHER:
        pass.values = pass.cotangents = 1 + block;
        break;
    }
    return pass;
}

/* The plan for the pass, kept from run to run as long as runs are alike. */
static infl_status plan_pass(infl_chunks *chunks, const infl_pass *pass, size_t *workspace) {
    const infl_model *model = chunks->model;
    if (chunks->plan == NULL || memcmp(&chunks->asked, pass, sizeof *pass) != 0) {
        infl_plan *plan;
        INFL_TRY(infl_plan_create(&plan, &model->network, model->engine, pass));
        infl_plan_destroy(chunks->plan);
        chunks->plan = plan;
        chunks->asked = *pass;
        chunks->workspace = model->engine->workspace_bytes(&model->network, plan);
        chunks->laid_out = 0;
    }
    *workspace = chunks->workspace;
    return INFL_OK;
}

static infl_status make_schedule(infl_chunks *chunks, const infl_chunk_job *job, schedule *out) {
    const infl_network *network = &chunks->model->network;
    const infl_engine *engine = chunks->model->engine;
    size_t k = job->k > 0 ? job->k : 1, p = network->n_parameters, blocks;
    schedule s = {.chunk_rows = chunk_rows(network)};
    if (s.chunk_rows > job->n)
        s.chunk_rows = job->n;
    s.n_chunks = (job->n + s.chunk_rows - 1) / s.chunk_rows;
    s.groups = is_sum(job->work) && s.n_chunks > GROUPS ? GROUPS : s.n_chunks;
    s.accumulator = is_sum(job->work) && s.groups > 1 ? p * sizeof(double) : 0;
    s.tangent = has_tangents(job->work) && engine->precision != INFL_F64 ? p * engine->real_size : 0;
    s.block = job->work == INFL_WORK_ROW_PRODUCTS ? PRODUCTS_AT_ONCE : TANGENTS_AT_ONCE;
    if (s.block > k)
        s.block = k;
    /* no more vectors at once than give every thread something to do */
    while (s.block > 1 && s.groups * ((k + s.block - 1) / s.block) < (size_t)chunks->threads)
        s.block--;
    size_t limit = chunks->budget > 0 ? chunks->budget : SIZE_MAX, each;
    for (;;) {
        blocks = (k + s.block - 1) / s.block;
        s.pass = pass_of(job, s.chunk_rows, s.block, blocks > 1 && s.n_chunks == s.groups &&
                                                         job->work >= INFL_WORK_HESSIAN);
        INFL_TRY(plan_pass(chunks, &s.pass, &s.workspace));
        each = s.workspace + s.block * s.accumulator;
        if (s.block * s.tangent <= limit && each <= limit - s.block * s.tangent)
            break;
        if (s.block == 1)
            return infl_fail(INFL_E_BUDGET, "a memory budget of %zu bytes is too small: this needs at least %zu", limit,
                             each + s.tangent);
        s.block--;
    }
    s.threads = (limit - s.block * s.tangent) / each;
    if (s.threads > (size_t)chunks->threads)
        s.threads = (size_t)chunks->threads;
    if (s.threads > s.groups * blocks)
        s.threads = s.groups * blocks;
    s.slab = k;
    if (s.tangent > 0) {
        size_t room = limit - s.threads * each;
        room = (room < TANGENT_BYTES ? room : TANGENT_BYTES) / (s.block * s.tangent);
        s.slab = (room > 0 ? room : 1) * s.block;
        s.slab = s.slab < k ? s.slab : k;
    }
    s.bytes = s.threads * each + s.slab * s.tangent;
    *out = s;
    return INFL_OK;
}

infl_status infl_chunks_memory(infl_chunks *chunks, const infl_chunk_job *job, size_t *bytes) {
    schedule s;
    INFL_TRY(make_schedule(chunks, job, &s));
    *bytes = s.bytes;
    return INFL_OK;
}

void infl_chunks_release(infl_chunks *chunks) {
    infl_release(chunks->memory);
    infl_plan_destroy(chunks->plan);
    chunks->memory = NULL;
    chunks->plan = NULL;
    chunks->bytes = 0;
    chunks->laid_out = 0;
}

static infl_workspace *workspace_of(const infl_chunks *chunks, const schedule *s, size_t thread) {
    return (infl_workspace *)((char *)chunks->memory + thread * s->workspace);
}

/* Memory for the schedule, with a workspace for each thread. */
static infl_status prepare(infl_chunks *chunks, const schedule *s) {
    if (chunks->bytes < s->bytes) {
        infl_release(chunks->memory);
        chunks->bytes = chunks->laid_out = 0;
        chunks->memory = infl_allocate(s->bytes, 1);
        if (chunks->memory == NULL)
            return INFL_E_MEMORY;
        chunks->bytes = s->bytes;
    }
    /* accumulators and tangents lie behind the workspaces: fewer of these leave room that others have written to */
    if (chunks->laid_out != s->threads)
        for (size_t i = 0; i < s->threads; i++)
            chunks->model->engine->workspace_init(workspace_of(chunks, s, i), &chunks->model->network, chunks->plan);
    chunks->laid_out = s->threads;
    return INFL_OK;
}

/*
 * One chunk, vectors first .. first+k−1: leaves per-row results in the output, or adds sums over the chunk's rows to `sums`.
 * kept: the workspace has just done this chunk with other vectors, as many, and its value pass stands.
 */
static void run_chunk(const infl_chunks *chunks, const infl_chunk_job *job, infl_workspace *w, const infl_point *at,
                      size_t row, size_t n, size_t first, size_t k, int kept, infl_gradient_sums *sums) {
    const infl_engine *engine = chunks->model->engine;
    size_t outputs = chunks->model->network.n_outputs, p = chunks->model->network.n_parameters;
    if (!kept)
        engine->load(w, chunks->dataset, job->rows + row, n);
    double *losses = job->losses == NULL || first > 0 ? NULL : job->losses + row;
    int second = job->work == INFL_WORK_HESSIAN;
    switch (job->work) {
    case INFL_WORK_OUTPUTS:
        engine->forward(w, at, 0, 1);
        engine->outputs(w, 0, job->output + row * outputs);
        break;
    case INFL_WORK_OUTPUT_TANGENTS:
        engine->forward(w, at, 0, 1 + k);
        for (size_t j = 0; j < k; j++)
            engine->outputs(w, 1 + j, job->output + ((first + j) * job->n + row) * outputs);
        break;
    case INFL_WORK_COTANGENTS:
        engine->forward(w, at, 0, 1);
        engine->seed_cotangents(w, job->input + (first * job->n + row) * outputs, job->n, k);
        engine->backward(w, at, INFL_BACKWARD_FIRST, 0, k, sums);
        break;
    case INFL_WORK_LOSSES:
        engine->forward(w, at, 0, 1);
        engine->loss(w, &chunks->loss, job->output + row);
        break;
    case INFL_WORK_ROW_GRADIENTS:
    case INFL_WORK_ROW_NORMS:
    case INFL_WORK_ROW_PRODUCTS:
        engine->forward(w, at, 0, 1);
        engine->loss(w, &chunks->loss, losses);
        if (job->work == INFL_WORK_ROW_GRADIENTS)
            engine->row_gradients(w, at, job->output + row * p, p);
        else if (job->work == INFL_WORK_ROW_NORMS)
            engine->row_norms(w, at, job->output + row);
        else
            engine->row_products(w, at, k, job->output + row * job->k + first, job->k);
        break;
    case INFL_WORK_WEIGHTED_GRADIENTS:
        engine->forward(w, at, 0, 1);
        engine->loss(w, &chunks->loss, losses);
        if (job->input != NULL)
            engine->seed_weights(w, job->input + first * job->n + row, job->n, k);
        engine->backward(w, at, INFL_BACKWARD_FIRST, 0, k, sums);
        break;
    case INFL_WORK_HESSIAN:
    case INFL_WORK_GAUSS_NEWTON:
    case INFL_WORK_FISHER:
        engine->forward(w, at, kept ? 1 : 0, 1 + k);
        if (!kept)
            engine->loss(w, &chunks->loss, losses);
        engine->seed_curvature(w, &chunks->loss,
                               job->work == INFL_WORK_FISHER ? INFL_SEED_FISHER : INFL_SEED_CURVATURE, k);
        sums->first = 1;
        engine->backward(w, at, second ? INFL_BACKWARD_SECOND : INFL_BACKWARD_FIRST, second && !kept ? 0 : 1, 1 + k,
                         sums);
        break;
    }
}

/* A block of vectors over the chunks of one group, in order; sums go to `sums` (k×p). */
static void run_task(const infl_chunks *chunks, const infl_chunk_job *job, const schedule *s, infl_workspace *w,
                     const infl_point *at, size_t group, size_t first, size_t k, int kept, double *sums) {
    for (size_t chunk = group; chunk < s->n_chunks; chunk += s->groups) {
        size_t row = chunk * s->chunk_rows, n = job->n - row < s->chunk_rows ? job->n - row : s->chunk_rows;
        infl_gradient_sums to = {.sums = sums, .add = chunk != group};
        run_chunk(chunks, job, w, at, row, n, first, k, kept, &to);
    }
}

infl_status infl_chunks_run(infl_chunks *chunks, const infl_chunk_job *job) {
    schedule s;
    INFL_TRY(make_schedule(chunks, job, &s));
    INFL_TRY(prepare(chunks, &s));
    const infl_engine *engine = chunks->model->engine;
    size_t k = job->k > 0 ? job->k : 1, p = chunks->model->network.n_parameters;
    char *accumulators = (char *)chunks->memory + s.threads * s.workspace;
    char *converted = accumulators + s.threads * s.block * s.accumulator;
    for (size_t slab = 0; slab < k; slab += s.slab) {
        size_t slab_k = k - slab < s.slab ? k - slab : s.slab;
        size_t blocks = (slab_k + s.block - 1) / s.block, tasks = blocks * s.groups;
#pragma omp parallel num_threads((int)s.threads) if (s.threads > 1)
        {
            size_t thread = (size_t)omp_get_thread_num();
            infl_workspace *w = workspace_of(chunks, &s, thread);
            double *own = (double *)(accumulators + thread * s.block * s.accumulator);
            size_t last_group = SIZE_MAX, last_k = 0; /* what w holds */
            if (s.tangent > 0) {
#pragma omp for schedule(static)
                for (size_t part = 0; part < slab_k * s.threads; part++) {
                    size_t at = part * p / s.threads, end = (part + 1) * p / s.threads;
                    engine->from_double(converted + at * engine->real_size, job->input + slab * p + at, end - at);
                }
            }
            /* the blocks of a group one after another, so that a group of one chunk keeps its value pass */
#pragma omp for schedule(dynamic) ordered
            for (size_t task = 0; task < tasks; task++) {
                size_t group = task / blocks, in_slab = task % blocks * s.block, first = slab + in_slab;
                size_t block_k = slab_k - in_slab < s.block ? slab_k - in_slab : s.block;
                infl_point at = {.theta = chunks->model->theta};
                if (has_tangents(job->work))
                    at.tangents = s.tangent > 0 ? (const void *)(converted + in_slab * s.tangent)
                                                : (const void *)(job->input + first * p);
                double *sums = s.accumulator > 0 ? own : is_sum(job->work) ? job->output + first * p : NULL;
                int kept = s.pass.keep && last_group == group && last_k == block_k;
                run_task(chunks, job, &s, w, &at, group, first, block_k, kept, sums);
                last_group = group;
                last_k = block_k;
                /* sums of groups are added in the order of the groups */
#pragma omp ordered
                if (s.accumulator > 0) {
                    if (group == 0)
                        memcpy(job->output + first * p, own, block_k * p * sizeof(double));
                    else
                        infl_axpy(1.0, own, job->output + first * p, block_k * p);
                }
            }
        }
    }
    return INFL_OK;
}

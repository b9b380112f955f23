#include "chunks.h"

#include <sched.h>
#include <string.h>

#include "memory.h"
#include "parallel.h"

enum {
    TANGENTS_AT_ONCE = 8,  /* measured best for small networks: more leave the cache, fewer share less */
    PRODUCTS_AT_ONCE = 64, /* vectors that a row's gradient is multiplied with */
};
/* Tangents in the engine's precision stay below this unless one block needs more; where one is larger than the second,
 * threads convert it layer by layer instead, each time that they come to the layer. */
static const size_t TANGENT_BYTES = (size_t)256 << 20, LARGE_TANGENT_BYTES = (size_t)16 << 20;

size_t infl_chunk_rows(const infl_network *network) {
    size_t width = 1, rows = 256;
    for (size_t i = 0; i < network->n_layers; i++)
        width = network->layers[i].width > width ? network->layers[i].width : width;
    while (rows > 16 && rows * width > 65536)
        rows /= 2;
    return rows;
}

static int is_sum(infl_chunk_work work) { return work == INFL_WORK_COTANGENTS || work >= INFL_WORK_WEIGHTED_GRADIENTS; }

static int has_tangents(infl_chunk_work work) {
    return work == INFL_WORK_OUTPUT_TANGENTS || work == INFL_WORK_ROW_PRODUCTS || work >= INFL_WORK_HESSIAN;
}

static int is_curvature(infl_chunk_work work) { return work >= INFL_WORK_HESSIAN; }

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
        pass.cotangents = pass.gradients = block;
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
        pass.gradients = block;
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

/* The plan and the bytes of a schedule's pass, and whether they are within the limit with one thread. */
static infl_status plan_block(infl_chunks *chunks, const infl_chunk_job *job, infl_schedule *s, size_t limit,
                              int *fits) {
    const infl_network *network = &chunks->model->network;
    s->pass = pass_of(job, s->chunk_rows, s->block, is_curvature(job->work) && (s->keep || s->n_chunks == 1));
    s->pass.converted = s->by_layer ? s->block : 0;
    INFL_TRY(plan_pass(chunks, &s->pass, &s->workspace));
    s->kept = chunks->model->engine->kept_bytes(network, chunks->plan);
    s->shared = s->block * s->tangent + s->turns;
    /* values of all chunks, or of one chunk for each thread */
    s->each = s->workspace + (s->keep ? 0 : s->kept);
    if (s->keep && s->kept <= limit / s->n_chunks)
        s->shared += s->n_chunks * s->kept;
    *fits = s->shared <= limit && s->each <= limit - s->shared &&
            !(s->keep && s->kept > (chunks->keep_budget < limit ? chunks->keep_budget : limit) / s->n_chunks);
    return INFL_OK;
}

/* keep: values of all chunks are worth keeping, if there is room. */
static infl_status make_schedule(infl_chunks *chunks, const infl_chunk_job *job, int keep, infl_schedule *out) {
    const infl_network *network = &chunks->model->network;
    const infl_engine *engine = chunks->model->engine;
    size_t k = job->k > 0 ? job->k : 1, p = network->n_parameters;
    size_t limit = chunks->budget > 0 ? chunks->budget : SIZE_MAX;
    infl_schedule s = {.work = job->work, .n = job->n, .k = k, .chunk_rows = infl_chunk_rows(network)};
    if (s.chunk_rows > job->n)
        s.chunk_rows = job->n;
    s.n_chunks = (job->n + s.chunk_rows - 1) / s.chunk_rows;
    s.tangent = has_tangents(job->work) && engine->precision != INFL_F64 ? p * engine->real_size : 0;
    s.by_layer = s.tangent >= LARGE_TANGENT_BYTES && job->work != INFL_WORK_ROW_PRODUCTS;
    if (s.by_layer)
        s.tangent = 0;
    s.block = job->work == INFL_WORK_ROW_PRODUCTS ? PRODUCTS_AT_ONCE : TANGENTS_AT_ONCE;
    if (s.block > k)
        s.block = k;
    /* no more vectors at once than give every thread something to do */
    while (s.block > 1 && s.n_chunks * ((k + s.block - 1) / s.block) < (size_t)chunks->threads)
        s.block--;
    s.keep = keep && s.block == k;
    for (int fits = 0;;) {
        s.blocks = (k + s.block - 1) / s.block;
        s.turns = is_sum(job->work) && s.n_chunks > 1 ? s.blocks * network->n_layers * sizeof(infl_turn) : 0;
        INFL_TRY(plan_block(chunks, job, &s, limit, &fits));
        if (fits)
            break;
        if (!s.keep && s.block == 1)
            return infl_refuse_budget(limit, s.each + s.shared);
        s.block -= !s.keep;
        s.keep = 0;
    }
    s.threads = (limit - s.shared) / s.each;
    if (s.threads > (size_t)chunks->threads)
        s.threads = (size_t)chunks->threads;
    if (s.threads > s.n_chunks * s.blocks)
        s.threads = s.n_chunks * s.blocks;
    s.slab = k;
    if (s.tangent > 0) {
        size_t room = limit - s.shared - s.threads * s.each;
        room = (room < TANGENT_BYTES ? room : TANGENT_BYTES) / (s.block * s.tangent) + 1;
        s.slab = room > k / s.block ? k : room * s.block;
    }
    s.bytes = s.threads * s.each + s.slab * s.tangent + s.turns;
    *out = s;
    return INFL_OK;
}

/* The schedule of the run before serves as long as runs are alike. */
static infl_status schedule_of(infl_chunks *chunks, const infl_chunk_job *job, int keep, infl_schedule *out) {
    infl_schedule *last = &chunks->schedule;
    size_t k = job->k > 0 ? job->k : 1;
    if (chunks->plan == NULL || last->work != job->work || last->n != job->n || last->k != k ||
        chunks->kept_wish != keep) {
        last->n = 0; /* none, where this fails */
        INFL_TRY(make_schedule(chunks, job, keep, last));
    }
    chunks->kept_wish = keep;
    *out = *last;
    return INFL_OK;
}

infl_status infl_chunks_memory(infl_chunks *chunks, const infl_chunk_job *job, size_t *bytes) {
    infl_schedule s;
    INFL_TRY(schedule_of(chunks, job, is_curvature(job->work), &s));
    *bytes = s.bytes + (s.keep ? s.n_chunks * s.kept : 0);
    return INFL_OK;
}

static void release_kept(infl_chunks *chunks) {
    infl_release(chunks->kept);
    chunks->kept = NULL;
    chunks->kept_bytes = 0;
    chunks->kept_stands = 0;
}

static void release_memory(infl_chunks *chunks) {
    infl_release(chunks->memory);
    chunks->memory = NULL;
    chunks->bytes = chunks->laid_out = 0;
}

void infl_chunks_release(infl_chunks *chunks) {
    release_memory(chunks);
    release_kept(chunks);
    infl_plan_destroy(chunks->plan);
    infl_release(chunks->seen);
    chunks->plan = NULL;
    chunks->seen = NULL;
    chunks->n_seen = 0;
}

static infl_workspace *workspace_of(const infl_chunks *chunks, const infl_schedule *s, size_t thread) {
    return (infl_workspace *)((char *)chunks->memory + thread * s->workspace);
}

/* Memory for the schedule, with a workspace for each thread. Under a budget nothing of earlier runs stays beside it. */
static infl_status prepare(infl_chunks *chunks, const infl_schedule *s) {
    size_t kept = s->keep ? s->n_chunks * s->kept : 0;
    if (kept == 0 && chunks->budget > 0)
        release_kept(chunks);
    if (chunks->bytes < s->bytes || (chunks->budget > 0 && chunks->bytes > chunks->budget - kept)) {
        release_memory(chunks);
        chunks->memory = infl_allocate(s->bytes, 1);
        if (chunks->memory == NULL)
            return INFL_E_MEMORY;
        chunks->bytes = s->bytes;
    }
    /* what lies behind the workspaces is written to: fewer of them than now have been laid out there */
    if (chunks->laid_out != s->threads)
        for (size_t i = 0; i < s->threads; i++)
            chunks->model->engine->workspace_init(workspace_of(chunks, s, i), &chunks->model->network, chunks->plan);
    chunks->laid_out = s->threads;
    if (kept > 0 && chunks->kept_bytes < kept) {
        release_kept(chunks);
        chunks->kept = infl_allocate(kept, 1);
        if (chunks->kept == NULL)
            return INFL_E_MEMORY;
        chunks->kept_bytes = kept;
    }
    return INFL_OK;
}

/*
 * Whether the job before was a product of the same kind over the same rows at the same θ, all of them: values are kept from
 * the second such product on, so that estimates over samples and batches pay nothing for it, and take no such memory.
 */
static infl_status look_back(infl_chunks *chunks, const infl_chunk_job *job, int *again) {
    *again = 0;
    if (!is_curvature(job->work) || chunks->keep_budget == 0)
        return INFL_OK;
    if (job->n < infl_dataset_rows(chunks->dataset)) {
        chunks->n_seen = 0;
        return INFL_OK;
    }
    *again = chunks->n_seen == job->n && chunks->seen_work == job->work &&
             chunks->seen_version == chunks->model->version &&
             memcmp(chunks->seen, job->rows, job->n * sizeof *job->rows) == 0;
    if (*again)
        return INFL_OK;
    if (chunks->n_seen != job->n) {
        infl_release(chunks->seen);
        chunks->n_seen = 0;
        INFL_ALLOCATE(chunks->seen, job->n);
        chunks->n_seen = job->n;
    }
    memcpy(chunks->seen, job->rows, job->n * sizeof *job->rows);
    chunks->seen_work = job->work;
    chunks->seen_version = chunks->model->version;
    return INFL_OK;
}

/* Adds gradients of a chunk to the sums when it is the chunk's turn: for each layer, in the order of the chunks. */
typedef struct turn_sink {
    infl_gradient_sink base;
    const infl_model *model;
    double *sums; /* k×p */
    size_t chunk;
    infl_turn *turns; /* of each layer; NULL: there is only one chunk */
} turn_sink;

int infl_turn_await(const infl_turn *turn, size_t chunk, const atomic_int *cancelled) {
    enum { SPINS = 4096 };
    for (size_t spins = 0; atomic_load_explicit(turn, memory_order_acquire) != chunk; spins++) {
        if (cancelled != NULL && atomic_load_explicit(cancelled, memory_order_relaxed))
            return 0;
        if (spins >= SPINS)
            sched_yield();
    }
    return 1;
}

void infl_turn_pass(infl_turn *turn, size_t chunk) { atomic_store_explicit(turn, chunk + 1, memory_order_release); }

static void take_in_turn(const infl_gradient_sink *base, const infl_layer *layer, const void *gradients, size_t slots) {
    const turn_sink *sink = (const turn_sink *)base;
    const infl_engine *engine = sink->model->engine;
    infl_turn *turn = sink->turns == NULL ? NULL : &sink->turns[layer->index];
    if (turn != NULL)
        infl_turn_await(turn, sink->chunk, NULL);
    for (size_t j = 0; j < slots; j++) {
        double *sums = sink->sums + j * sink->model->network.n_parameters + layer->offset;
        const void *from = (const char *)gradients + j * layer->parameters * engine->real_size;
        (sink->chunk == 0 ? engine->to_double : engine->add_to_double)(sums, from, layer->parameters);
    }
    if (turn != NULL)
        infl_turn_pass(turn, sink->chunk);
}

/*
 * One chunk, vectors first .. first+k−1: leaves per-row results in the output, or gives sums over the chunk's rows to the
 * sink. kept: the workspace, or what it is attached to, has the chunk's value pass.
 */
static void run_chunk(const infl_chunks *chunks, const infl_chunk_job *job, infl_workspace *w, const infl_point *at,
                      size_t row, size_t n, size_t first, size_t k, int kept, infl_gradient_sink *sink) {
    const infl_engine *engine = chunks->model->engine;
    size_t outputs = chunks->model->network.n_outputs, p = chunks->model->network.n_parameters;
    if (!kept)
        engine->load_for_step(w, chunks->dataset, job->rows + row, n, job->step);
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
        engine->backward(w, at, INFL_BACKWARD_FIRST, 0, k, sink);
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
        engine->backward(w, at, INFL_BACKWARD_FIRST, 0, k, sink);
        break;
    case INFL_WORK_HESSIAN:
    case INFL_WORK_GAUSS_NEWTON:
    case INFL_WORK_FISHER:
        engine->forward(w, at, kept ? 1 : 0, 1 + k);
        if (!kept)
            engine->loss(w, &chunks->loss, losses);
        engine->seed_curvature(w, &chunks->loss, job->work == INFL_WORK_FISHER ? INFL_SEED_FISHER : INFL_SEED_CURVATURE,
                               k);
        sink->first = 1;
        engine->backward(w, at, second ? INFL_BACKWARD_SECOND : INFL_BACKWARD_FIRST, second && !kept ? 0 : 1, 1 + k,
                         sink);
        break;
    }
}

/* The parts of the memory that all threads share. */
typedef struct shared_memory {
    char *values; /* of one chunk a thread, where they lie apart from the workspaces */
    char *tangents;
    infl_turn *turns;
    atomic_size_t next;
} shared_memory;

/* Chunk after chunk of one block of vectors after another, as the threads come to take them. */
static void run_tasks(const infl_chunks *chunks, const infl_chunk_job *job, const infl_schedule *s,
                      shared_memory *memory, size_t slab, size_t slab_k, int stand) {
    const infl_engine *engine = chunks->model->engine;
    size_t p = chunks->model->network.n_parameters, thread = (size_t)omp_get_thread_num();
    size_t blocks = (slab_k + s->block - 1) / s->block, done = 0;
    infl_workspace *w = workspace_of(chunks, s, thread);
    for (size_t task; (task = atomic_fetch_add(&memory->next, 1)) < blocks * s->n_chunks;) {
        size_t block = task / s->n_chunks, chunk = task % s->n_chunks, first = block * s->block;
        size_t k = slab_k - first < s->block ? slab_k - first : s->block, row = chunk * s->chunk_rows;
        size_t n = job->n - row < s->chunk_rows ? job->n - row : s->chunk_rows;
        infl_point at = {.theta = chunks->model->theta};
        if (s->by_layer)
            at.vectors = job->input + (slab + first) * p;
        else if (s->tangent > 0)
            at.tangents = memory->tangents + first * s->tangent;
        else if (has_tangents(job->work))
            at.tangents = job->input + (slab + first) * p;
        int kept = s->keep ? stand : s->kept > 0 && done > 0; /* one chunk only */
        if (s->keep)
            engine->attach(w, chunks->plan, (char *)chunks->kept + chunk * s->kept, n);
        else if (s->kept > 0)
            engine->attach(w, chunks->plan, memory->values + thread * s->kept, n);
        turn_sink sink = {.base.take = take_in_turn, .model = chunks->model, .chunk = chunk};
        if (is_sum(job->work))
            sink.sums = job->output + (slab + first) * p;
        if (s->turns > 0)
            sink.turns = memory->turns + (slab / s->block + block) * chunks->model->network.n_layers;
        run_chunk(chunks, job, w, &at, row, n, slab + first, k, kept, &sink.base);
        done++;
    }
}

infl_status infl_chunks_run(infl_chunks *chunks, const infl_chunk_job *job) {
    infl_schedule s;
    int again;
    INFL_TRY(look_back(chunks, job, &again));
    INFL_TRY(schedule_of(chunks, job, again, &s));
    INFL_TRY(prepare(chunks, &s));
    int stand = s.keep && chunks->kept_stands;
    if (is_curvature(job->work))
        chunks->kept_stands = s.keep;
    const infl_engine *engine = chunks->model->engine;
    size_t k = job->k > 0 ? job->k : 1, p = chunks->model->network.n_parameters;
    shared_memory memory = {.values = (char *)chunks->memory + s.threads * s.workspace};
    memory.turns = (infl_turn *)(memory.values + (s.keep ? 0 : s.threads * s.kept));
    memory.tangents = (char *)memory.turns + s.turns;
    if (s.turns > 0)
        memset(memory.turns, 0, s.turns);
    for (size_t slab = 0; slab < k; slab += s.slab) {
        size_t slab_k = k - slab < s.slab ? k - slab : s.slab;
        atomic_store(&memory.next, 0);
#pragma omp parallel num_threads((int)s.threads) if (s.threads > 1)
        {
            if (s.tangent > 0) {
#pragma omp for schedule(static)
                for (size_t part = 0; part < slab_k * s.threads; part++) {
                    size_t at = part * p / s.threads, end = (part + 1) * p / s.threads;
                    engine->from_double(memory.tangents + at * engine->real_size, job->input + slab * p + at, end - at);
                }
            }
            run_tasks(chunks, job, &s, &memory, slab, slab_k, stand);
        }
    }
    return INFL_OK;
}

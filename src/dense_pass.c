#include "dense_pass.h"

#include <string.h>

#include "chunks.h"
#include "memory.h"
#include "parallel.h"
#include "plan.h"

enum {
    TANGENTS_AT_ONCE = 4, /* little is shared between more of them, and they take memory */
    GRAM_ROWS = 64,       /* of the Gram matrix; GRAM_ROWS × GRAM_COLUMNS of it are formed at a time */
    GRAM_COLUMNS = 512,
};

/* Some columns of the matrix, of one layer where they are tangents. */
typedef struct block {
    size_t layer, first, k;
} block;

typedef struct dense_pass dense_pass;

/* How a matrix is formed: what a chunk prepares once, and what each block of columns adds then. */
typedef struct way {
    infl_status (*cut)(dense_pass *d, size_t limit);
    void (*prepare)(const dense_pass *d, infl_workspace *w, char *own, size_t chunk);
    void (*run)(dense_pass *d, infl_workspace *w, char *own, size_t chunk, const block *of);
} way;

struct dense_pass {
    const way *way;
    const infl_dense_job *job;
    const infl_network *network;
    const infl_engine *engine;
    size_t chunk_rows, n_chunks;
    size_t parts; /* tasks a chunk: each has its own value pass and every parts-th block */
    size_t threads;
    infl_plan *plan;
    size_t workspace, own; /* bytes of a thread, for the network and beside it */
    size_t kept;           /* bytes of own that hold the value pass of a chunk, for all its backward passes */
    block *blocks;
    size_t n_blocks;
    size_t factor, stride;  /* rows of the Gram matrix's factor that a data row has, and numbers from one to the next */
    size_t *column;         /* p: each parameter's column; SIZE_MAX: none */
    infl_basis gathered;    /* the layers that have columns, down to the lowest */
    size_t *begin;          /* n_layers + 1: the first column of each layer */
    size_t *within;         /* q: each parameter's place in its layer */
    unsigned char *wanted;  /* n_layers: whether the layer has columns */
    unsigned char *reached; /* n_layers × n_layers: [i][j], whether layer j depends on layer i's parameters */
    char *memory;
    infl_turn *turns; /* n_blocks × n_layers */
    atomic_size_t next;
    atomic_int cancelled;
    omp_lock_t lock; /* of progress, and of what it counts: */
    size_t done;     /* columns of each chunk, all together */
};

static infl_status find_columns(dense_pass *d) {
    const infl_dense_job *job = d->job;
    size_t n_layers = d->network->n_layers;
    INFL_ALLOCATE(d->begin, n_layers + 1);
    INFL_ALLOCATE(d->within, job->q);
    INFL_ALLOCATE(d->wanted, n_layers);
    INFL_ALLOCATE_MATRIX(d->reached, n_layers, n_layers);
    for (size_t i = 0, column = 0; i < n_layers; i++) {
        const infl_layer *layer = &d->network->layers[i];
        d->begin[i] = column;
        for (; column < job->q && job->parameters[column] < layer->offset + layer->parameters; column++)
            d->within[column] = job->parameters[column] - layer->offset;
        d->begin[i + 1] = column;
        d->wanted[i] = column > d->begin[i];
        unsigned char *reached = d->reached + i * n_layers;
        reached[i] = 1;
        for (size_t j = i + 1; j < n_layers; j++)
            for (size_t input = 0; input < d->network->layers[j].n_inputs; input++)
                reached[j] |= reached[d->network->layers[j].spec.inputs[input]];
    }
    return INFL_OK;
}

static infl_status make_plan(dense_pass *d, infl_pass pass) {
    infl_plan_destroy(d->plan);
    d->plan = NULL;
    INFL_TRY(infl_plan_create(&d->plan, d->network, d->engine, &pass));
    d->workspace = d->engine->workspace_bytes(d->network, d->plan);
    return INFL_OK;
}

/* Blocks of at most k tangents of a layer each. */
static infl_status cut_tangents(dense_pass *d, size_t limit) {
    size_t k = TANGENTS_AT_ONCE;
    for (;; k--) {
        infl_pass pass = {.rows = d->chunk_rows, .values = 1 + k, .cotangents = 1 + k, .gradients = k, .keep = 1};
        INFL_TRY(make_plan(d, pass));
        d->own = d->kept = d->engine->kept_bytes(d->network, d->plan);
        if (d->workspace + d->own <= limit)
            break;
        if (k == 1)
            return infl_refuse_budget(limit, d->workspace + d->own);
    }
    INFL_ALLOCATE(d->blocks, d->job->q);
    for (size_t i = 0; i < d->network->n_layers; i++)
        for (size_t first = d->begin[i]; first < d->begin[i + 1]; first += k) {
            size_t left = d->begin[i + 1] - first;
            d->blocks[d->n_blocks++] = (block){i, first, left < k ? left : k};
        }
    return INFL_OK;
}

/* Numbers of the Gram matrix's factor for a chunk. */
static size_t factor_numbers(const dense_pass *d) {
    return d->factor * d->engine->padded_rows(d->chunk_rows) * d->stride;
}

static infl_status cut_gram(dense_pass *d, size_t limit) {
    const infl_dense_job *job = d->job;
    INFL_TRY(
        make_plan(d, (infl_pass){.rows = d->chunk_rows, .values = 1, .cotangents = 1, .keep = 1, .row_gradients = 1}));
    d->kept = d->engine->kept_bytes(d->network, d->plan);
    d->factor = job->kind == INFL_FISHER ? 1 : d->network->n_outputs;
    d->stride = d->engine->padded_rows(job->q);
    if (d->stride > SIZE_MAX / sizeof(double) / 2 / d->factor / d->engine->padded_rows(d->chunk_rows))
        return infl_refuse_budget(limit, SIZE_MAX);
    d->own = d->kept + (factor_numbers(d) + (size_t)GRAM_ROWS * GRAM_COLUMNS) * d->engine->real_size;
    if (d->workspace + d->own > limit)
        return infl_refuse_budget(limit, d->workspace + d->own);
    INFL_ALLOCATE(d->blocks, job->q);
    for (size_t first = 0; first < job->q; first += GRAM_ROWS)
        d->blocks[d->n_blocks++] = (block){0, first, job->q - first < GRAM_ROWS ? job->q - first : GRAM_ROWS};
    INFL_ALLOCATE(d->column, d->network->n_parameters);
    for (size_t i = 0; i < d->network->n_parameters; i++)
        d->column[i] = SIZE_MAX;
    for (size_t i = 0; i < job->q; i++)
        d->column[job->parameters[i]] = i;
    size_t lowest = 1;
    while (!d->wanted[lowest])
        lowest++;
    d->gathered = (infl_basis){.layer = lowest, .reached = d->reached, .wanted = d->wanted};
    return INFL_OK;
}

/* How the work is cut up. Chunks decide how sums are grouped; the rest changes no bit. */
static infl_status cut(dense_pass *d) {
    const infl_dense_job *job = d->job;
    size_t limit = job->budget > 0 ? job->budget : SIZE_MAX;
    d->chunk_rows = infl_chunk_rows(d->network);
    if (d->chunk_rows > job->n)
        d->chunk_rows = job->n;
    d->n_chunks = (job->n + d->chunk_rows - 1) / d->chunk_rows;
    INFL_TRY(d->way->cut(d, limit));
    /* enough tasks that no thread is long without one at the end */
    enum { TASKS_A_THREAD = 4 };
    size_t threads = (size_t)job->threads, tasks = TASKS_A_THREAD * threads, each = d->workspace + d->own;
    d->parts = threads == 1 || d->n_chunks >= tasks ? 1 : (tasks + d->n_chunks - 1) / d->n_chunks;
    d->parts = d->parts < d->n_blocks ? d->parts : d->n_blocks;
    d->threads = limit / each < threads ? limit / each : threads;
    d->threads = d->threads < d->n_chunks * d->parts ? d->threads : d->n_chunks * d->parts;
    return INFL_OK;
}

static infl_status hold(dense_pass *d) {
    INFL_ALLOCATE_MATRIX(d->memory, d->threads, d->workspace + d->own);
    INFL_ALLOCATE_MATRIX(d->turns, d->n_blocks, d->network->n_layers);
    return INFL_OK;
}

/* Adds a block's gradients to the rows of the matrix that its columns are, when it is the chunk's turn. */
typedef struct column_sink {
    infl_gradient_sink base;
    dense_pass *pass;
    const block *of;
    size_t chunk;
} column_sink;

/* matrix row += the numbers of the layer that are asked for, a run of neighbours at a time. */
static void add_wanted(const dense_pass *d, const infl_layer *layer, const char *numbers, double *row) {
    size_t end = d->begin[layer->index + 1];
    for (size_t column = d->begin[layer->index], run; column < end; column += run) {
        size_t at = d->within[column];
        for (run = 1; column + run < end && d->within[column + run] == at + run; run++)
            ;
        d->engine->add_to_double(row + column, numbers + at * d->engine->real_size, run);
    }
}

static void take_columns(const infl_gradient_sink *base, const infl_layer *layer, const void *gradients, size_t slots) {
    const column_sink *sink = (const column_sink *)base;
    dense_pass *d = sink->pass;
    infl_turn *turn = &d->turns[(size_t)(sink->of - d->blocks) * d->network->n_layers + layer->index];
    if (!infl_turn_await(turn, sink->chunk, &d->cancelled))
        return;
    for (size_t j = 0; j < slots; j++)
        add_wanted(d, layer, (const char *)gradients + j * layer->parameters * d->engine->real_size,
                   d->job->matrix + (sink->of->first + j) * d->job->q);
    infl_turn_pass(turn, sink->chunk);
}

static void take_nothing(const infl_gradient_sink *base, const infl_layer *layer, const void *gradients, size_t slots) {
    (void)base, (void)layer, (void)gradients, (void)slots;
}

static size_t rows_of(const dense_pass *d, size_t chunk) {
    size_t left = d->job->n - chunk * d->chunk_rows;
    return left < d->chunk_rows ? left : d->chunk_rows;
}

/* The network's values and the gradient's cotangents: what all tangents start from. */
static void prepare_tangents(const dense_pass *d, infl_workspace *w, char *own, size_t chunk) {
    const infl_dense_job *job = d->job;
    size_t n = rows_of(d, chunk);
    infl_point at = {.theta = job->model->theta};
    infl_gradient_sink nowhere = {take_nothing, 1};
    d->engine->attach(w, d->plan, own, n);
    d->engine->load(w, job->dataset, job->rows + chunk * d->chunk_rows, n);
    d->engine->forward(w, &at, 0, 1);
    d->engine->loss(w, &job->loss, NULL);
    d->engine->backward(w, &at, INFL_BACKWARD_FIRST, 0, 1, &nowhere);
}

static void run_tangents(dense_pass *d, infl_workspace *w, char *own, size_t chunk, const block *of) {
    (void)own;
    infl_basis basis = {.layer = of->layer,
                        .parameters = d->within + of->first,
                        .reached = d->reached + of->layer * d->network->n_layers,
                        .wanted = d->wanted};
    infl_point at = {.theta = d->job->model->theta, .basis = &basis};
    column_sink sink = {.base = {take_columns, 1}, .pass = d, .of = of, .chunk = chunk};
    d->engine->forward(w, &at, 1, 1 + of->k);
    d->engine->seed_curvature(w, &d->job->loss, INFL_SEED_CURVATURE, of->k);
    d->engine->backward(w, &at, INFL_BACKWARD_SECOND, 1, 1 + of->k, &sink.base);
}

/* The rows L_iᵀ J_i of a chunk. */
static void prepare_gram(const dense_pass *d, infl_workspace *w, char *own, size_t chunk) {
    const infl_dense_job *job = d->job;
    size_t n = rows_of(d, chunk), bytes = d->engine->padded_rows(n) * d->stride * d->engine->real_size;
    infl_point value = {.theta = job->model->theta}, at = {.theta = job->model->theta, .basis = &d->gathered};
    d->engine->attach(w, d->plan, own, n);
    d->engine->load(w, job->dataset, job->rows + chunk * d->chunk_rows, n);
    d->engine->forward(w, &value, 0, 1);
    d->engine->loss(w, &job->loss, NULL);
    for (size_t i = 0; i < d->factor; i++) {
        if (job->kind != INFL_FISHER)
            d->engine->seed_factor(w, &job->loss, i);
        d->engine->gather_row_gradients(w, &at, d->column, own + d->kept + i * bytes, d->stride);
    }
}

static void run_gram(dense_pass *d, infl_workspace *w, char *own, size_t chunk, const block *of) {
    (void)w;
    const infl_engine *engine = d->engine;
    size_t q = d->job->q, padding = engine->padded_rows(1), depth = d->factor * engine->padded_rows(rows_of(d, chunk));
    const char *factor = own + d->kept;
    char *panel = own + d->kept + factor_numbers(d) * engine->real_size;
    infl_turn *turn = &d->turns[of - d->blocks];
    for (size_t from = of->first / padding * padding; from < q; from += GRAM_COLUMNS) {
        size_t left = d->stride - from, n = left < GRAM_COLUMNS ? left : GRAM_COLUMNS;
        size_t wanted = from + n < q ? n : q - from;
        engine->gram(factor, depth, d->stride, of->first, of->k, from, n, panel);
        if (!infl_turn_await(turn, chunk, &d->cancelled))
            return;
        for (size_t i = 0; i < of->k; i++)
            engine->add_to_double(d->job->matrix + (of->first + i) * q + from, panel + i * n * engine->real_size,
                                  wanted);
    }
    infl_turn_pass(turn, chunk);
}

static const way by_tangents = {cut_tangents, prepare_tangents, run_tangents};
static const way by_gram = {cut_gram, prepare_gram, run_gram};

/* Columns are done when all chunks have added to them: so many of q as the part of the work that is. */
static void report(dense_pass *d, size_t columns) {
    const infl_dense_job *job = d->job;
    if (job->progress == NULL)
        return;
    omp_set_lock(&d->lock); /* around the count as well, so that no call says less than the one before */
    size_t before = d->done / d->n_chunks, now = (d->done += columns) / d->n_chunks;
    if (now > before && now < job->q && !atomic_load(&d->cancelled) &&
        job->progress(job->progress_context, "dense", now, job->q) != 0)
        atomic_store(&d->cancelled, 1);
    omp_unset_lock(&d->lock);
}

static void run_tasks(dense_pass *d, size_t thread) {
    infl_workspace *w = (infl_workspace *)(d->memory + thread * (d->workspace + d->own));
    char *own = (char *)w + d->workspace;
    d->engine->workspace_init(w, d->network, d->plan);
    for (size_t task; (task = atomic_fetch_add(&d->next, 1)) < d->n_chunks * d->parts;) {
        size_t chunk = task / d->parts;
        d->way->prepare(d, w, own, chunk);
        for (size_t i = task % d->parts; i < d->n_blocks && !atomic_load(&d->cancelled); i += d->parts) {
            d->way->run(d, w, own, chunk, &d->blocks[i]);
            report(d, d->blocks[i].k);
        }
    }
}

/*
 * Within a layer both (i, j) and (j, i) were summed as tangents, within a block both of the Gram matrix: they become
 * their mean. Of all others only the upper one was.
 */
static void complete(const dense_pass *d) {
    size_t q = d->job->q;
    double *matrix = d->job->matrix;
    for (size_t b = 0; b < d->n_blocks; b++) {
        const block *of = &d->blocks[b];
        size_t begin = d->way == &by_tangents ? d->begin[of->layer] : of->first;
        for (size_t i = of->first; i < of->first + of->k; i++) {
            for (size_t j = 0; j < begin; j++)
                matrix[i * q + j] = matrix[j * q + i];
            for (size_t j = begin; j < i; j++)
                matrix[i * q + j] = matrix[j * q + i] = 0.5 * (matrix[i * q + j] + matrix[j * q + i]);
        }
    }
}

infl_status infl_dense_pass_run(const infl_dense_job *job) {
    dense_pass d = {.job = job,
                    .network = &job->model->network,
                    .engine = job->model->engine,
                    .way = job->kind == INFL_HESSIAN ? &by_tangents : &by_gram};
    infl_status status;
    omp_init_lock(&d.lock);
    if ((status = find_columns(&d)) != INFL_OK || (status = cut(&d)) != INFL_OK || (status = hold(&d)) != INFL_OK ||
        (status = infl_report_progress(job->progress, job->progress_context, "dense", 0, job->q)) != INFL_OK)
        goto out;
#pragma omp parallel num_threads((int)d.threads) if (d.threads > 1)
    run_tasks(&d, (size_t)omp_get_thread_num());
    if (atomic_load(&d.cancelled)) {
        status = infl_fail(INFL_E_CANCELLED, "cancelled by the progress callback");
        goto out;
    }
    complete(&d);
    status = infl_report_progress(job->progress, job->progress_context, "dense", job->q, job->q);
out:
    omp_destroy_lock(&d.lock);
    infl_plan_destroy(d.plan);
    infl_release(d.blocks);
    infl_release(d.begin);
    infl_release(d.within);
    infl_release(d.wanted);
    infl_release(d.column);
    infl_release(d.reached);
    infl_release(d.memory);
    infl_release(d.turns);
    return status;
}

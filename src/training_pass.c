#include "training_pass.h"

#include <string.h>

#include "memory.h"
#include "parallel.h"

/*
 * A function of the network and the batch alone: few enough rows that the largest array stays near the second-level
 * cache and that threads have chunks to share, enough for the matrix products.
 */
static size_t chunk_rows(const infl_network *network, size_t n) {
    enum { MOST = 256, LEAST = 16, LEAST_TO_SHARE = 32, SHARES = 8, NUMBERS = 65536 };
    size_t width = 1, rows = MOST;
    for (size_t i = 0; i < network->n_layers; i++)
        width = network->layers[i].width > width ? network->layers[i].width : width;
    while ((rows > LEAST && rows * width > NUMBERS) || (rows > LEAST_TO_SHARE && rows * SHARES > n))
        rows /= 2;
    return rows < n ? rows : n;
}

/* The first layer from `from` on that measures the batch; n_layers where there is none. */
static size_t next_measured(const infl_network *network, int fixed, size_t from) {
    while (from < network->n_layers && (fixed || network->layers[from].state == 0))
        from++;
    return from;
}

/* The last one before `before`; 0, the input, where there is none. */
static size_t previous_measured(const infl_network *network, int fixed, size_t before) {
    size_t layer = before - 1;
    while (layer > 0 && (fixed || network->layers[layer].state == 0))
        layer--;
    return layer;
}

/* Where θ of the layers before `layer` ends. */
static size_t parameters_before(const infl_network *network, size_t layer) {
    return layer < network->n_layers ? network->layers[layer].offset : network->n_parameters;
}

/* Parameters of the largest part that goes backwards at once: down to a measured layer, from below the next one. */
static size_t largest_part(const infl_network *network, int fixed) {
    size_t largest = 0, to = network->n_layers, measured = previous_measured(network, fixed, to);
    for (;;) {
        size_t length = parameters_before(network, to) - parameters_before(network, measured + 1);
        largest = length > largest ? length : largest;
        if (measured == 0)
            return largest;
        to = measured + 1;
        measured = previous_measured(network, fixed, measured);
    }
}

size_t infl_training_least_rows(const infl_model *model, int fixed_statistics) {
    size_t least = 0;
    for (size_t i = 1; i < model->network.n_layers; i++) {
        const infl_layer *layer = &model->network.layers[i];
        const infl_layer_kind *kind = model->engine->kinds[layer->spec.kind];
        if (!kind->acts_in_training || (fixed_statistics && layer->state > 0))
            continue;
        /* one number has no variance */
        size_t needs = layer->state > 0 && layer->shape.height * layer->shape.width == 1 ? 2 : 1;
        least = needs > least ? needs : least;
    }
    return least;
}

/* A batch cut into chunks, and what its parts take. */
typedef struct batch {
    infl_training_pass *pass;
    const infl_network *network;
    const infl_engine *engine;
    const size_t *rows;
    size_t n, chunk_rows, chunks, threads;
    const infl_training_step *step;
    size_t workspace, scratch, part; /* bytes: of a chunk; of a thread for the kernels, and for gradients */
    double *state, *totals;          /* n_state each */
    double *measured;                /* n_state of each chunk */
    char *of_threads, *of_chunks;
    double *gradient;
} batch;

static size_t align(size_t bytes) { return (bytes + INFL_ALIGNMENT - 1) / INFL_ALIGNMENT * INFL_ALIGNMENT; }

static size_t statistics_bytes(const batch *b) { return align((2 + b->chunks) * b->network->n_state * sizeof(double)); }

/* Cuts the batch up, within the budget. */
static infl_status cut(batch *b) {
    infl_training_pass *pass = b->pass;
    b->chunk_rows = chunk_rows(b->network, b->n);
    b->chunks = (b->n + b->chunk_rows - 1) / b->chunk_rows;
    if (pass->plan == NULL || pass->plan->pass.rows != b->engine->padded_rows(b->chunk_rows)) {
        infl_pass asked = {.rows = b->chunk_rows, .values = 1, .cotangents = 1};
        infl_plan *plan;
        INFL_TRY(infl_plan_create(&plan, b->network, b->engine, &asked));
        plan->borrows = 1;
        infl_plan_destroy(pass->plan);
        pass->plan = plan;
        pass->chunks = 0;
    }
    b->workspace = b->engine->workspace_bytes(b->network, pass->plan);
    b->scratch = align(pass->plan->scratch);
    b->part = align(largest_part(b->network, b->step->fixed_statistics) * b->engine->real_size);
    size_t limit = pass->budget > 0 ? pass->budget : SIZE_MAX, each = b->scratch + b->part;
    size_t resident =
        b->workspace > (SIZE_MAX / 2) / b->chunks ? SIZE_MAX / 2 : statistics_bytes(b) + b->chunks * b->workspace;
    if (resident > limit || each > limit - resident)
        return infl_fail(INFL_E_BUDGET,
                         "a memory budget of %zu bytes is too small: training on %zu rows at once needs at "
                         "least %zu",
                         limit, b->n, resident + each);
    b->threads = (size_t)pass->threads < b->chunks ? (size_t)pass->threads : b->chunks;
    if (each > 0 && b->threads > (limit - resident) / each)
        b->threads = (limit - resident) / each;
    return INFL_OK;
}

/* Memory: statistics, workspaces, what threads have. */
static infl_status hold(batch *b) {
    infl_training_pass *pass = b->pass;
    size_t bytes = statistics_bytes(b) + b->chunks * b->workspace + b->threads * (b->scratch + b->part);
    if (pass->bytes < bytes) {
        infl_release(pass->memory);
        pass->bytes = pass->chunks = 0;
        pass->memory = infl_allocate(bytes, 1);
        if (pass->memory == NULL)
            return INFL_E_MEMORY;
        pass->bytes = bytes;
    }
    b->state = pass->memory;
    b->totals = b->state + b->network->n_state;
    b->measured = b->totals + b->network->n_state;
    b->of_chunks = (char *)pass->memory + statistics_bytes(b);
    b->of_threads = b->of_chunks + b->chunks * b->workspace;
    if (pass->chunks != b->chunks)
        for (size_t i = 0; i < b->chunks; i++)
            b->engine->workspace_init((infl_workspace *)(b->of_chunks + i * b->workspace), b->network, pass->plan);
    pass->chunks = b->chunks;
    return INFL_OK;
}

static size_t rows_of(const batch *b, size_t chunk) {
    size_t left = b->n - chunk * b->chunk_rows;
    return left < b->chunk_rows ? left : b->chunk_rows;
}

/* Numbers of one channel in so many rows. */
static double numbers_of(const infl_layer *layer, size_t rows) {
    return (double)rows * (double)(layer->shape.height * layer->shape.width);
}

/* A chunk's own view of the batch, in the hands of a thread. */
typedef struct chunk {
    infl_workspace *workspace;
    char *gradients; /* of the thread */
    infl_training training;
    infl_point at;
} chunk;

static void take_chunk(chunk *c, const batch *b, size_t number, size_t thread) {
    char *own = b->of_threads + thread * (b->scratch + b->part);
    c->workspace = (infl_workspace *)(b->of_chunks + number * b->workspace);
    c->gradients = own + b->scratch;
    c->training = (infl_training){.rows = (double)b->n,
                                  .state = b->state,
                                  .totals = b->totals,
                                  .measured = b->measured + number * b->network->n_state,
                                  .fixed_statistics = b->step->fixed_statistics,
                                  .seed = b->step->seed,
                                  .step = b->step->number,
                                  .source_rows = b->rows + number * b->chunk_rows};
    c->at = (infl_point){.theta = b->pass->model->theta, .training = &c->training};
    b->engine->lend(c->workspace, own);
}

/* Mean and variance of the batch from means and Σ(x − mean)² of its chunks (Chan, Golub & LeVeque 1983). */
static void merge_moments(const batch *b, size_t index) {
    const infl_layer *layer = &b->network->layers[index];
    size_t channels = layer->state / 2;
    for (size_t i = 0; i < channels; i++) {
        double count = 0, mean = 0, squares = 0;
        for (size_t j = 0; j < b->chunks; j++) {
            const double *own = b->measured + j * b->network->n_state + layer->state_offset;
            double more = numbers_of(layer, rows_of(b, j)), apart = own[i] - mean, share = more / (count + more);
            squares += own[channels + i] + apart * apart * count * share;
            mean += apart * share;
            count += more;
        }
        b->state[layer->state_offset + i] = mean;
        b->state[layer->state_offset + channels + i] = squares / count;
    }
}

static void add_sums(const batch *b, size_t index) {
    const infl_layer *layer = &b->network->layers[index];
    for (size_t i = layer->state_offset; i < layer->state_offset + layer->state; i++) {
        b->totals[i] = 0;
        for (size_t j = 0; j < b->chunks; j++)
            b->totals[i] += b->measured[j * b->network->n_state + i];
    }
}

/* The layers from .. to−1 of all chunks, the rows loaded where that begins with the input; and then what layer `to` has
 * to know of the batch, or the loss. */
static void go_forward(const batch *b, size_t from, size_t to, size_t thread) {
    int ends = to == b->network->n_layers;
#pragma omp for schedule(static, 1)
    for (size_t i = 0; i < b->chunks; i++) {
        chunk c;
        take_chunk(&c, b, i, thread);
        if (from == 0)
            b->engine->load_for_step(c.workspace, b->pass->dataset, c.training.source_rows, rows_of(b, i), b->step);
        b->engine->forward_layers(c.workspace, &c.at, from == 0 ? 1 : from, to);
        if (ends)
            b->engine->loss(c.workspace, &b->pass->loss, NULL);
        else
            b->engine->measure(c.workspace, &c.at, to, 0);
    }
#pragma omp single
    if (!ends)
        merge_moments(b, to);
}

/* The layers to−1 .. from of all chunks, and then what layer from−1 has to know of the batch. */
static void go_back(const batch *b, size_t from, size_t to, size_t thread) {
    size_t offset = parameters_before(b->network, from), length = parameters_before(b->network, to) - offset;
#pragma omp for schedule(static, 1) ordered
    for (size_t i = 0; i < b->chunks; i++) {
        chunk c;
        take_chunk(&c, b, i, thread);
        b->engine->backward_layers(c.workspace, &c.at, from, to, c.gradients);
        if (from > 1)
            b->engine->measure(c.workspace, &c.at, from - 1, 1);
#pragma omp ordered
        b->engine->add_to_double(b->gradient + offset, c.gradients, length);
    }
#pragma omp single
    if (from > 1)
        add_sums(b, from - 1);
}

static void run_batch(const batch *b) {
    size_t n_layers = b->network->n_layers;
    int fixed = b->step->fixed_statistics;
    memset(b->gradient, 0, b->network->n_parameters * sizeof *b->gradient);
#pragma omp parallel num_threads((int)b->threads) if (b->threads > 1)
    {
        size_t thread = (size_t)omp_get_thread_num();
        for (size_t from = 0, to = next_measured(b->network, fixed, 1);;
             from = to, to = next_measured(b->network, fixed, to + 1)) {
            go_forward(b, from, to, thread);
            if (to == n_layers)
                break;
        }
        for (size_t to = n_layers, measured = previous_measured(b->network, fixed, to);;
             to = measured + 1, measured = previous_measured(b->network, fixed, measured)) {
            go_back(b, measured + 1, to, thread);
            if (measured == 0)
                break;
        }
    }
}

/* running ← (1 − momentum)·running + momentum·batch, the variance by 1/(m − 1); NaN and infinity are refused */
static infl_status follow_statistics(const batch *b) {
    const double *running = b->network->state;
    for (size_t i = 1; i < b->network->n_layers; i++) {
        const infl_layer *layer = &b->network->layers[i];
        double momentum = layer->spec.momentum, m = numbers_of(layer, b->n);
        for (size_t j = 0; j < layer->state; j++) {
            size_t at = layer->state_offset + j;
            double statistic = j < layer->state / 2 ? b->state[at] : b->state[at] * m / (m - 1);
            b->state[at] = (1 - momentum) * running[at] + momentum * statistic;
        }
    }
    return infl_model_set_state(b->pass->model, b->state);
}

infl_status infl_training_pass_run(infl_training_pass *pass, const size_t *rows, size_t n,
                                   const infl_training_step *step, double *gradient) {
    batch b = {.pass = pass,
               .network = &pass->model->network,
               .engine = pass->model->engine,
               .rows = rows,
               .n = n,
               .step = step,
               .gradient = gradient};
    INFL_TRY(cut(&b));
    INFL_TRY(hold(&b));
    if (step->fixed_statistics)
        memcpy(b.state, b.network->state, b.network->n_state * sizeof *b.state);
    run_batch(&b);
    return step->fixed_statistics ? INFL_OK : follow_statistics(&b);
}

void infl_training_pass_release(infl_training_pass *pass) {
    infl_release(pass->memory);
    infl_plan_destroy(pass->plan);
    pass->memory = NULL;
    pass->plan = NULL;
    pass->bytes = pass->chunks = 0;
}

/* Lifetimes of a pass's arrays, and places for them. */
#include "plan.h"

#include <stdlib.h>

#include "memory.h"

/* An array that is alive from one step of the pass to another: forward of layer i is step i, the loss step L, backward
 * of layer i step 2L − i. */
typedef struct span {
    size_t from, to, size;
    infl_place *place;
} span;

typedef struct lifetimes {
    span *spans;
    size_t n, kept;
} lifetimes;

static void add_span(lifetimes *all, size_t from, size_t to, size_t size, int keep, infl_place *place) {
    *place = (infl_place){.at = keep ? all->kept : 0, .kept = keep};
    if (keep)
        all->kept += size;
    else if (size > 0)
        all->spans[all->n++] = (span){from, to, size, place};
}

static void find_lifetimes(lifetimes *all, infl_plan *plan, const infl_network *network) {
    const infl_pass *pass = &plan->pass;
    size_t n = network->n_layers;
    for (size_t i = 0; i < n; i++) {
        const infl_layer *layer = &network->layers[i];
        int backward = pass->cotangents > 0 && layer->varying, last = i + 1 == n;
        size_t value_to = last ? n : i, cotangent_from = n, back = 2 * n - i;
        for (size_t user = n; user-- > i + 1;)
            for (size_t j = 0; j < network->layers[user].n_inputs; j++) {
                const infl_layer *other = &network->layers[user];
                if ((size_t)other->spec.inputs[j] != i)
                    continue;
                int again = pass->cotangents > 0 && other->varying;
                size_t to = again && other->keeps_input ? 2 * n - user : user;
                value_to = to > value_to ? to : value_to;
                if (again && cotangent_from == n)
                    cotangent_from = 2 * n - user;
            }
        if (backward && layer->keeps_output && value_to < back)
            value_to = back;
        /* what tangents need of values going forward, they need going back as well */
        int keep_value = pass->keep && (i == 0 || last || value_to > n);
        int keep_cotangent = pass->keep && (layer->keeps_cotangent || last);
        size_t tangents = layer->varying && pass->values > 1 ? pass->values - 1 : 0;
        add_span(all, i, value_to, layer->width, keep_value, &plan->node[i].value);
        add_span(all, i, value_to, layer->width * tangents, 0, &plan->node[i].value_tangents);
        add_span(all, i, backward ? back : i, layer->aux, pass->keep, &plan->node[i].aux);
        /* the loss writes a cotangent even where nothing is passed back */
        if (backward || last) {
            size_t more = pass->cotangents > 1 ? pass->cotangents - 1 : 0, to = backward ? back : n;
            add_span(all, cotangent_from, to, layer->width, keep_cotangent, &plan->node[i].cotangent);
            add_span(all, cotangent_from, to, layer->width * more, 0, &plan->node[i].cotangent_tangents);
        }
    }
}

static int compare_sizes(const void *a, const void *b) {
    const span *x = a, *y = b;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->from != y->from ? (x->from < y->from ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

/* The largest first, each at the lowest place where no array alive at the same time lies. Returns the numbers used. */
static size_t place(lifetimes *all) {
    size_t used = 0;
    qsort(all->spans, all->n, sizeof *all->spans, compare_sizes);
    for (size_t i = 0; i < all->n; i++) {
        span *one = &all->spans[i];
        size_t at = 0;
        for (int moved = 1; moved;) {
            moved = 0;
            for (size_t j = 0; j < i; j++) {
                const span *other = &all->spans[j];
                if (other->from <= one->to && one->from <= other->to && other->place->at < at + one->size &&
                    at < other->place->at + other->size) {
                    at = other->place->at + other->size;
                    moved = 1;
                }
            }
        }
        one->place->at = at;
        used = at + one->size > used ? at + one->size : used;
    }
    return used;
}

infl_status infl_plan_create(infl_plan **out, const infl_network *network, const infl_engine *engine,
                             const infl_pass *pass) {
    size_t n = network->n_layers;
    infl_plan *plan = infl_allocate(1, sizeof *plan + n * sizeof plan->node[0]);
    lifetimes all = {.spans = infl_allocate(5 * n, sizeof *all.spans)};
    if (plan == NULL || all.spans == NULL) {
        infl_release(plan);
        infl_release(all.spans);
        return INFL_E_MEMORY;
    }
    plan->pass = *pass;
    plan->pass.rows = engine->padded_rows(pass->rows);
    find_lifetimes(&all, plan, network);
    plan->numbers = place(&all);
    plan->kept = all.kept;
    for (size_t i = 0; i < n; i++) {
        const infl_layer *layer = &network->layers[i];
        const infl_layer_kind *kind = engine->kinds[layer->spec.kind];
        size_t scratch = kind->scratch == NULL ? 0 : kind->scratch(layer, plan->pass.rows);
        plan->scratch = scratch > plan->scratch ? scratch : plan->scratch;
        plan->gradient = layer->parameters > plan->gradient ? layer->parameters : plan->gradient;
        if (layer->parameters > 0) {
            size_t entries, units = infl_plan_units(layer, kind, &entries),
                            length = layer->parameters / entries * units;
            plan->row_gradient = length > plan->row_gradient ? length : plan->row_gradient;
        }
    }
    infl_release(all.spans);
    *out = plan;
    return INFL_OK;
}

size_t infl_plan_units(const infl_layer *layer, const infl_layer_kind *kind, size_t *all_units) {
    /* as many as the kernels take at once, and more where they are small; what is formed stays in the cache */
    enum { LEAST = 8, NUMBERS = 8192 };
    infl_layer_tensor tensors[INFL_MAX_TENSORS];
    kind->tensors(layer, tensors);
    size_t all = tensors[0].dims[0], units = NUMBERS / (layer->parameters / all);
    *all_units = all;
    units = units < LEAST ? LEAST : units;
    return units < all ? units : all;
}

void infl_plan_destroy(infl_plan *plan) { infl_release(plan); }

/* θ and state out of and into files of tensors by names: the model's own, PyTorch's, or the caller's. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "network.h"
#include "safetensors.h"
#include "zoo.h"

/* A tensor of the model, and what it is called in the file. */
typedef struct entry {
    const infl_tensor *tensor;
    int of_state;
    char *names[INFL_MODULE_NAMES]; /* NULL: it has no such name */
} entry;

typedef struct weights {
    const infl_model *model;
    infl_weights_options options;
    entry *entries; /* of θ, then of the state */
    size_t n;
} weights;

static void release(weights *w) {
    for (size_t i = 0; w->entries != NULL && i < w->n; i++)
        for (size_t j = 0; j < INFL_MODULE_NAMES; j++)
            infl_release(w->entries[i].names[j]);
    infl_release(w->entries);
}

/* An entry's next name: the prefix, then module.leaf, or the leaf alone where there is no module. */
static infl_status add_name(const weights *w, entry *of, const char *module, const char *leaf) {
    const char *prefix = w->options.prefix == NULL ? "" : w->options.prefix, *dot = module == NULL ? "" : ".";
    size_t room = strlen(prefix) + strlen(leaf) + (module == NULL ? 0 : strlen(module)) + 2;
    char **name = of->names[0] == NULL ? &of->names[0] : &of->names[1];
    INFL_ALLOCATE(*name, room);
    snprintf(*name, room, "%s%s%s%s", prefix, module == NULL ? "" : module, dot, leaf);
    return INFL_OK;
}

/* "weight" of "dense1.weight", as PyTorch says it. */
static const char *leaf_of(const infl_tensor *tensor) {
    const char *leaf = strrchr(tensor->name, '.') + 1;
    return strcmp(leaf, "running_variance") == 0 ? "running_var" : leaf;
}

/* Each layer with parameters is one of the modules, in order. */
static infl_status name_by_modules(weights *w, const infl_module *modules, size_t n_modules, const char *whose) {
    const infl_model *model = w->model;
    const infl_layer_kind *const *kinds = model->engine->kinds;
    int by_place = w->options.names == INFL_NAMES_SEQUENTIAL;
    size_t at = 0;
    for (size_t i = 0, next[2] = {0, model->n_tensors}; i < model->network.n_layers; i++) {
        const infl_layer *layer = &model->network.layers[i];
        const infl_layer_kind *kind = kinds[layer->spec.kind];
        infl_layer_tensor described[INFL_MAX_TENSORS];
        if (kind->tensors == NULL)
            continue;
        if (at == n_modules || modules[at].kind != layer->spec.kind)
            return infl_fail(INFL_E_ARGUMENT, "the model is no %s: its layer %zu with parameters is %s, expected %s",
                             whose, at, kind->name, at == n_modules ? "none" : kinds[modules[at].kind]->name);
        const size_t counts[2] = {kind->tensors(layer, described),
                                  kind->states == NULL ? 0 : kind->states(layer, described)};
        for (int of_state = 0; of_state < 2; of_state++)
            for (size_t j = 0; j < counts[of_state]; j++) {
                entry *of = &w->entries[next[of_state]++];
                const char *leaf = leaf_of(of->tensor);
                if (by_place)
                    INFL_TRY(add_name(w, of, modules[at].place, leaf));
                for (size_t k = 0; !by_place && k < INFL_MODULE_NAMES && modules[at].names[k][0] != '\0'; k++)
                    INFL_TRY(add_name(w, of, modules[at].names[k], leaf));
            }
        at++;
    }
    if (at < n_modules)
        return infl_fail(INFL_E_ARGUMENT, "the model is no %s: it has %zu layers with parameters, expected %zu", whose,
                         at, n_modules);
    return INFL_OK;
}

static infl_status name_by_zoo(weights *w) {
    infl_zoo_network network = (infl_zoo_network)w->options.network;
    const infl_network *graph = &w->model->network;
    const char *whose = infl_zoo_network_name(network);
    infl_module *modules;
    size_t n;
    int batch_norm = 0;
    if (whose == NULL)
        return infl_fail(INFL_E_ARGUMENT, "the options' network is %d, which does not exist", w->options.network);
    for (size_t i = 0; i < graph->n_layers; i++)
        batch_norm |= graph->layers[i].spec.kind == INFL_LAYER_BATCH_NORM;
    INFL_TRY(infl_zoo_modules(&modules, &n, network, batch_norm));
    infl_status status = name_by_modules(w, modules, n, whose);
    infl_release(modules);
    return status;
}

/* Layers one after another: each has its place, and so has the nn.Flatten before the first that sees images as vectors. */
static infl_status name_by_chain(weights *w) {
    const infl_network *graph = &w->model->network;
    infl_module *modules;
    size_t n = 0, place = 0;
    int on_images = graph->layers[0].shape.height * graph->layers[0].shape.width > 1;
    infl_status status = INFL_OK;
    INFL_ALLOCATE(modules, graph->n_layers);
    for (size_t i = 1; i < graph->n_layers && status == INFL_OK; i++) {
        const infl_layer *layer = &graph->layers[i];
        if (layer->n_inputs != 1 || layer->spec.inputs[0] != (int32_t)(i - 1))
            status = infl_fail(INFL_E_ARGUMENT, "the model is no nn.Sequential: its layers do not follow one another, "
                                                "and the options name no network of the zoo");
        infl_shape in = layer->in_shape[0], before = graph->layers[i - 1].shape;
        int flattened = in.channels != before.channels || in.height != before.height || in.width != before.width;
        if (on_images && (layer->spec.kind == INFL_LAYER_DENSE || flattened)) {
            on_images = 0;
            place++;
        }
        if (w->model->engine->kinds[layer->spec.kind]->tensors != NULL) {
            modules[n].kind = layer->spec.kind;
            snprintf(modules[n++].place, sizeof modules->place, "%zu", place);
        }
        place++;
    }
    if (status == INFL_OK)
        status = name_by_modules(w, modules, n, "nn.Sequential");
    infl_release(modules);
    return status;
}

static infl_status name_by_table(weights *w) {
    if (w->options.table == NULL || w->options.n_table != w->n)
        return infl_fail(INFL_E_ARGUMENT, "the options' table has %zu names; the model has %zu tensors",
                         w->options.table == NULL ? 0 : w->options.n_table, w->n);
    for (size_t i = 0; i < w->n; i++)
        if (w->options.table[i] != NULL)
            INFL_TRY(add_name(w, &w->entries[i], NULL, w->options.table[i]));
    return INFL_OK;
}

static infl_status begin(weights *w, const infl_model *model, const infl_weights_options *options,
                         const char *function) {
    *w = (weights){.model = model, .options = INFL_WEIGHTS_OPTIONS_INIT};
    INFL_TRY(infl_read_options(&w->options, sizeof w->options, options, function, "options"));
    size_t n = model->n_tensors + model->n_state_tensors;
    INFL_ALLOCATE(w->entries, n);
    w->n = n;
    for (size_t i = 0; i < n; i++) {
        w->entries[i].of_state = i >= model->n_tensors;
        w->entries[i].tensor = i < model->n_tensors ? &model->tensors[i] : &model->state_tensors[i - model->n_tensors];
    }
    if (w->options.ignore_unknown != 0 && w->options.ignore_unknown != 1)
        return infl_fail(INFL_E_ARGUMENT, "the options' ignore_unknown is %d; expected 0 or 1",
                         w->options.ignore_unknown);
    switch (w->options.names) {
    case INFL_NAMES_OWN:
        for (size_t i = 0; i < n; i++)
            INFL_TRY(add_name(w, &w->entries[i], NULL, w->entries[i].tensor->name));
        return INFL_OK;
    case INFL_NAMES_ZOO:
        return name_by_zoo(w);
    case INFL_NAMES_SEQUENTIAL:
        return w->options.network == -1 ? name_by_chain(w) : name_by_zoo(w);
    case INFL_NAMES_TABLE:
        return name_by_table(w);
    default:
        return infl_fail(INFL_E_ARGUMENT, "the options' names are %d, which do not exist", (int)w->options.names);
    }
}

/* "64×3×3×3" */
static const char *shape_text(char *text, size_t size, const size_t *dims, size_t n_dims) {
    size_t length = 0;
    snprintf(text, size, "a single number");
    for (size_t i = 0; i < n_dims && length < size; i++)
        length += (size_t)snprintf(text + length, size - length, "%s%zu", i == 0 ? "" : "×", dims[i]);
    return text;
}

/* The tensor of the file that an entry is. */
static infl_status find(const entry *of, const infl_safetensors *file, const infl_file_tensor **out) {
    const char *path = infl_safetensors_path(file), *other = of->names[1];
    const infl_tensor *tensor = of->tensor;
    const infl_file_tensor *found = infl_safetensors_find(file, of->names[0]),
                           *second = other == NULL ? NULL : infl_safetensors_find(file, other);
    if (found != NULL && second != NULL)
        return infl_fail(INFL_E_ARGUMENT, "the file has both \"%.80s\" and \"%.80s\", which are the model's %s (%s)",
                         found->name, other, tensor->name, path);
    if (found == NULL && second == NULL)
        return infl_fail(INFL_E_ARGUMENT, "the file has no tensor \"%.80s\"%s%.80s%s, the model's %s (%s)",
                         of->names[0], other == NULL ? "" : " or \"", other == NULL ? "" : other,
                         other == NULL ? "" : "\"", tensor->name, path);
    found = found == NULL ? second : found;
    if (found->n_dims != tensor->n_dims ||
        memcmp(found->dims, tensor->dims, tensor->n_dims * sizeof *tensor->dims) != 0) {
        char theirs[128], ours[128];
        return infl_fail(INFL_E_ARGUMENT, "tensor \"%.80s\": its shape is %s; the model's %s is %s (%s)", found->name,
                         shape_text(theirs, sizeof theirs, found->dims, found->n_dims), tensor->name,
                         shape_text(ours, sizeof ours, tensor->dims, tensor->n_dims), path);
    }
    if (found->type != INFL_NUMBER_F64 && found->type != INFL_NUMBER_F32 && found->type != INFL_NUMBER_F16 &&
        found->type != INFL_NUMBER_BF16)
        return infl_fail(INFL_E_UNSUPPORTED, "tensor \"%.80s\": its dtype is %s; expected F64, F32, F16 or BF16 (%s)",
                         found->name, found->type_name, path);
    *out = found;
    return INFL_OK;
}

static int is_counter(const char *name) {
    static const char suffix[] = "num_batches_tracked";
    size_t length = strlen(name), end = sizeof suffix - 1;
    return length >= end && strcmp(name + length - end, suffix) == 0 &&
           (length == end || name[length - end - 1] == '.');
}

/* The tensor of each entry, NULL where it is not in the file; there are no others in the file. */
static infl_status match(const weights *w, const infl_safetensors *file, const infl_file_tensor **found) {
    size_t n_tensors = infl_safetensors_count(file), unknown = n_tensors, others = 0;
    unsigned char *known;
    infl_status status = INFL_OK;
    INFL_ALLOCATE(known, n_tensors);
    for (size_t i = 0; i < w->n && status == INFL_OK; i++)
        if (w->entries[i].names[0] != NULL && (status = find(&w->entries[i], file, &found[i])) == INFL_OK)
            known[found[i] - infl_safetensors_tensor(file, 0)] = 1;
    for (size_t i = n_tensors; i-- > 0 && status == INFL_OK && !w->options.ignore_unknown;)
        if (!known[i] && !is_counter(infl_safetensors_tensor(file, i)->name)) {
            unknown = i;
            others++;
        }
    if (status == INFL_OK && others > 0)
        status = infl_fail(INFL_E_ARGUMENT,
                           "tensor \"%.80s\" of the file is none of the model's%s (ignore_unknown would allow it) (%s)",
                           infl_safetensors_tensor(file, unknown)->name, others > 1 ? ", nor are others" : "",
                           infl_safetensors_path(file));
    infl_release(known);
    return status;
}

/* Whether the numbers that were read can be the model's. */
static infl_status check_numbers(const weights *w, const entry *of, const infl_file_tensor *found, const double *x,
                                 const char *path) {
    int single = !of->of_state && w->model->engine->precision == INFL_F32;
    int variance = of->of_state && strcmp(leaf_of(of->tensor), "running_var") == 0;
    double limit = single ? (double)FLT_MAX : DBL_MAX;
    for (size_t i = 0; i < of->tensor->length; i++) {
        if (!(fabs(x[i]) <= limit))
            return infl_fail(INFL_E_NONFINITE, "tensor \"%.80s\": its number %zu is %g, not finite in %s (%s)",
                             found->name, i, x[i], single ? "f32" : "f64", path);
        if (variance && x[i] < 0.0)
            return infl_fail(INFL_E_FORMAT, "tensor \"%.80s\": its number %zu is %g; a variance is not negative (%s)",
                             found->name, i, x[i], path);
    }
    return INFL_OK;
}

static infl_status read_all(const weights *w, infl_safetensors *file, infl_model *model) {
    double *theta = NULL, *state = NULL;
    const infl_file_tensor **found = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(found, w->n);
    if ((status = match(w, file, found)) != INFL_OK)
        goto out;
    INFL_ALLOCATE_OR_OUT(theta, model->network.n_parameters);
    INFL_ALLOCATE_OR_OUT(state, model->network.n_state);
    model->engine->to_double(theta, model->theta, model->network.n_parameters);
    memcpy(state, model->network.state, model->network.n_state * sizeof *state);
    for (size_t i = 0; i < w->n; i++) {
        const entry *of = &w->entries[i];
        double *to = (of->of_state ? state : theta) + of->tensor->offset;
        if (found[i] != NULL && ((status = infl_safetensors_read(file, found[i], to)) != INFL_OK ||
                                 (status = check_numbers(w, of, found[i], to, infl_safetensors_path(file))) != INFL_OK))
            goto out;
    }
    model->engine->from_double(model->theta, theta, model->network.n_parameters);
    memcpy(model->network.state, state, model->network.n_state * sizeof *state);
    model->version++;
out:
    infl_release(theta);
    infl_release(state);
    infl_release(found);
    return status;
}

infl_status infl_model_read_weights(infl_model *model, const char *path, const infl_weights_options *options) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(path);
    weights w;
    infl_safetensors *file = NULL;
    infl_status status = begin(&w, model, options, __func__);
    if (status == INFL_OK)
        status = infl_safetensors_open(&file, path);
    if (status == INFL_OK)
        status = read_all(&w, file, model);
    infl_safetensors_close(file);
    release(&w);
    return infl_in_name_of(__func__, status);
}

/* The caller's names: each is one that a file can have, and only once. */
static infl_status check_unique(const weights *w) {
    size_t named = 0;
    for (size_t i = 0; i < w->n; i++) {
        const char *name = w->entries[i].names[0];
        named += name != NULL;
        if (name != NULL && (name[0] == '\0' || strcmp(name, "__metadata__") == 0))
            return infl_fail(INFL_E_ARGUMENT, "the options' table calls %s \"%s\", which no tensor of a file can be",
                             w->entries[i].tensor->name, name);
        for (size_t j = 0; name != NULL && j < i; j++)
            if (w->entries[j].names[0] != NULL && strcmp(w->entries[j].names[0], name) == 0)
                return infl_fail(INFL_E_ARGUMENT, "the options' table calls both %s and %s \"%.80s\"",
                                 w->entries[j].tensor->name, w->entries[i].tensor->name, name);
    }
    if (named == 0)
        return infl_fail(INFL_E_ARGUMENT, "the options' table has no name; there would be nothing in the file");
    return INFL_OK;
}

static infl_status write_all(const weights *w, const char *path) {
    static const infl_file_string format = {"format", "pt"}; /* without which some readers refuse it */
    const infl_model *model = w->model;
    infl_number_type type = model->engine->precision == INFL_F32 ? INFL_NUMBER_F32 : INFL_NUMBER_F64;
    infl_file_array *arrays;
    size_t n = 0;
    if (w->options.names == INFL_NAMES_TABLE)
        INFL_TRY(check_unique(w));
    INFL_ALLOCATE(arrays, w->n);
    for (size_t i = 0; i < w->n; i++) {
        const entry *of = &w->entries[i];
        const void *numbers = of->of_state ? (const void *)(model->network.state + of->tensor->offset)
                                           : (const char *)model->theta + of->tensor->offset * model->engine->real_size;
        infl_file_array array = {.name = of->names[0],
                                 .type = of->of_state ? INFL_NUMBER_F64 : type,
                                 .n_dims = of->tensor->n_dims,
                                 .numbers = numbers};
        memcpy(array.dims, of->tensor->dims, sizeof of->tensor->dims);
        if (array.name != NULL)
            arrays[n++] = array;
    }
    infl_status status = infl_safetensors_write(path, &format, 1, arrays, n);
    infl_release(arrays);
    return status;
}

infl_status infl_model_write_weights(const infl_model *model, const char *path, const infl_weights_options *options) {
    INFL_REQUIRE(model);
    INFL_REQUIRE(path);
    weights w;
    infl_status status = begin(&w, model, options, __func__);
    if (status == INFL_OK)
        status = write_all(&w, path);
    release(&w);
    return infl_in_name_of(__func__, status);
}

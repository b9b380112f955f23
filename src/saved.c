#include "saved.h"

#include <string.h>

#include "metadata.h"

static const char *const kinds[] = {"hessian", "gauss_newton", "fisher", "matrix"};
static const char *const passes[] = {"f32", "f64"};
static const char *const policies[] = {"exact", "clip", "absolute", "pseudo"};
static const struct {
    const char *name;
    size_t n_arrays;
    struct {
        const char *name, *hash;
        size_t n_dims;
    } arrays[INFL_SAVED_ARRAYS];
} contents[] = {
    [INFL_SAVED_CURVATURE] = {"curvature", 1, {{"matrix", "matrix_hash", 2}}},
    [INFL_SAVED_CHOLESKY] = {"cholesky", 1, {{"factor", "factor_hash", 2}}},
    [INFL_SAVED_EIGEN] = {"eigen", 2, {{"values", "values_hash", 1}, {"vectors", "vectors_hash", 2}}},
};

static size_t length_of(const infl_saved *saved, size_t index) {
    return contents[saved->content].arrays[index].n_dims == 1 ? saved->p : saved->p * saved->p;
}

static infl_status hash_array(const double *array, size_t length, uint64_t out[2]) {
    infl_hash *hash;
    INFL_TRY(infl_hash_begin(&hash));
    infl_hash_doubles(hash, array, length);
    infl_hash_end(hash, out);
    return INFL_OK;
}

/* Of all that is said beside the arrays. */
static infl_status hash_saved(const infl_saved *saved, uint64_t out[2]) {
    uint64_t numbers[] = {(uint64_t)saved->content,
                          (uint64_t)saved->kind,
                          (uint64_t)saved->policy,
                          saved->n,
                          saved->p,
                          saved->identity.model[0],
                          saved->identity.model[1],
                          saved->identity.data[0],
                          saved->identity.data[1]};
    infl_hash *hash;
    INFL_TRY(infl_hash_begin(&hash));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        infl_hash_number(hash, numbers[i]);
    if (saved->passes != -1)
        infl_hash_number(hash, (uint64_t)saved->passes);
    infl_hash_double(hash, saved->damping);
    infl_hash_double(hash, saved->cutoff);
    for (size_t i = 0; i < contents[saved->content].n_arrays; i++) {
        infl_hash_number(hash, saved->arrays[i][0]);
        infl_hash_number(hash, saved->arrays[i][1]);
    }
    infl_hash_end(hash, out);
    return INFL_OK;
}

infl_status infl_saved_write(const char *path, const infl_saved *given, const double *const *arrays) {
    infl_saved saved = *given;
    infl_file_array files[INFL_SAVED_ARRAYS];
    uint64_t check[2];
    size_t n_arrays = contents[saved.content].n_arrays;
    for (size_t i = 0; i < n_arrays; i++) {
        INFL_TRY(hash_array(arrays[i], length_of(&saved, i), saved.arrays[i]));
        files[i] = (infl_file_array){contents[saved.content].arrays[i].name,
                                     INFL_NUMBER_F64,
                                     contents[saved.content].arrays[i].n_dims,
                                     {saved.p, saved.p},
                                     arrays[i]};
    }
    INFL_TRY(hash_saved(&saved, check));
    infl_metadata list;
    infl_metadata_begin(&list, contents[saved.content].name);
    infl_metadata_add_string(&list, "kind", kinds[saved.kind]);
    if (saved.passes != -1)
        infl_metadata_add_string(&list, "passes", passes[saved.passes]);
    infl_metadata_add_double(&list, "damping", saved.damping);
    if (saved.content == INFL_SAVED_EIGEN) {
        infl_metadata_add_string(&list, "eigen_policy", policies[saved.policy]);
        infl_metadata_add_double(&list, "cutoff", saved.cutoff);
    }
    infl_metadata_add_size(&list, "n", saved.n);
    infl_metadata_add_size(&list, "p", saved.p);
    infl_metadata_add_hash(&list, "model", saved.identity.model);
    infl_metadata_add_hash(&list, "data", saved.identity.data);
    for (size_t i = 0; i < n_arrays; i++)
        infl_metadata_add_hash(&list, contents[saved.content].arrays[i].hash, saved.arrays[i]);
    infl_metadata_add_hash(&list, "hash", check);
    return infl_safetensors_write(path, list.strings, list.n, files, n_arrays);
}

infl_status infl_saved_wrong(const infl_safetensors *file, const char *what) {
    return infl_fail(INFL_E_FORMAT, "%s (%s)", what, infl_safetensors_path(file));
}

static infl_status read_strings(const infl_safetensors *file, infl_saved *saved) {
    const char *names[sizeof contents / sizeof *contents];
    int index;
    uint64_t stated[2], found[2];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        names[i] = contents[i].name;
    INFL_TRY(infl_metadata_word(file, "content", names, sizeof names / sizeof *names, &index));
    saved->content = (infl_saved_content)index;
    INFL_TRY(infl_metadata_word(file, "kind", kinds, sizeof kinds / sizeof *kinds, &saved->kind));
    saved->passes = -1;
    if (infl_safetensors_metadata(file, "passes") != NULL)
        INFL_TRY(infl_metadata_word(file, "passes", passes, sizeof passes / sizeof *passes, &saved->passes));
    INFL_TRY(infl_metadata_double(file, "damping", &saved->damping));
    if (saved->content == INFL_SAVED_EIGEN) {
        INFL_TRY(infl_metadata_word(file, "eigen_policy", policies, sizeof policies / sizeof *policies, &index));
        saved->policy = (infl_eigen_policy)index;
        INFL_TRY(infl_metadata_double(file, "cutoff", &saved->cutoff));
    }
    INFL_TRY(infl_metadata_size(file, "n", &saved->n));
    INFL_TRY(infl_metadata_size(file, "p", &saved->p));
    INFL_TRY(infl_metadata_hash(file, "model", saved->identity.model));
    INFL_TRY(infl_metadata_hash(file, "data", saved->identity.data));
    for (size_t i = 0; i < contents[saved->content].n_arrays; i++)
        INFL_TRY(infl_metadata_hash(file, contents[saved->content].arrays[i].hash, saved->arrays[i]));
    INFL_TRY(infl_metadata_hash(file, "hash", stated));
    INFL_TRY(hash_saved(saved, found));
    if (memcmp(stated, found, sizeof found) != 0)
        return infl_metadata_wrong(file, "hash", "another for this __metadata__, so the file is damaged");
    return INFL_OK;
}

infl_status infl_saved_open(infl_safetensors **out, infl_saved *saved, const char *path) {
    infl_safetensors *file;
    *saved = (infl_saved){.content = INFL_SAVED_CURVATURE};
    INFL_TRY(infl_metadata_open(&file, path));
    infl_status status = read_strings(file, saved);
    if (status != INFL_OK)
        infl_safetensors_close(file);
    else
        *out = file;
    return status;
}

infl_status infl_saved_check(const infl_safetensors *file, const infl_saved *saved, const infl_saved *expected) {
    const char *path = infl_safetensors_path(file);
    if (saved->kind != expected->kind)
        return infl_fail(INFL_E_ARGUMENT, "the file is of a curvature of kind %s, the one given of kind %s (%s)",
                         kinds[saved->kind], kinds[expected->kind], path);
    if (saved->p != expected->p)
        return infl_fail(INFL_E_ARGUMENT, "the file is of %zu parameters; there are %zu here (%s)", saved->p,
                         expected->p, path);
    if (saved->n != expected->n)
        return infl_fail(INFL_E_ARGUMENT, "the file is of other data: %zu rows; there are %zu here (%s)", saved->n,
                         expected->n, path);
    const infl_identity *theirs = &saved->identity, *ours = &expected->identity;
    int other_model = memcmp(theirs->model, ours->model, sizeof ours->model) != 0;
    int other_data = memcmp(theirs->data, ours->data, sizeof ours->data) != 0;
    if (saved->kind == INFL_SAVED_MATRIX && other_model)
        return infl_fail(INFL_E_ARGUMENT, "the file is of another matrix (%s)", path);
    if (other_model || other_data)
        return infl_fail(INFL_E_ARGUMENT, "the file is of %s%s%s (%s)",
                         other_model ? "another model or another theta or state of it" : "",
                         other_model && other_data ? ", and " : "",
                         other_data ? "other data: other rows, targets, loss or decay" : "", path);
    if (saved->content != INFL_SAVED_CURVATURE && saved->damping != expected->damping)
        return infl_fail(INFL_E_ARGUMENT, "the file is of a damping of %.17g, the curvature has %.17g (%s)",
                         saved->damping, expected->damping, path);
    return INFL_OK;
}

infl_precision infl_saved_passes(const infl_saved *saved) { return saved->passes == INFL_F64 ? INFL_F64 : INFL_F32; }

infl_status infl_saved_read(infl_safetensors *file, const infl_saved *saved, int index, double *out) {
    const char *name = contents[saved->content].arrays[index].name, *path = infl_safetensors_path(file);
    size_t n_dims = contents[saved->content].arrays[index].n_dims;
    const infl_file_tensor *tensor = infl_safetensors_find(file, name);
    if (tensor == NULL)
        return infl_fail(INFL_E_FORMAT, "the file has no tensor \"%s\" (%s)", name, path);
    if (tensor->type != INFL_NUMBER_F64 || tensor->n_dims != n_dims || tensor->dims[0] != saved->p ||
        (n_dims == 2 && tensor->dims[1] != saved->p))
        return infl_fail(INFL_E_FORMAT, "tensor \"%s\" is not of F64 and of %zu%s%.0zu numbers (%s)", name, saved->p,
                         n_dims == 2 ? "×" : "", n_dims == 2 ? saved->p : 0, path);
    uint64_t found[2];
    INFL_TRY(infl_safetensors_read(file, tensor, out));
    INFL_TRY(hash_array(out, tensor->length, found));
    if (memcmp(found, saved->arrays[index], sizeof found) != 0)
        return infl_fail(INFL_E_FORMAT,
                         "tensor \"%s\": its numbers are not those that were written; the file is "
                         "damaged (%s)",
                         name, path);
    return INFL_OK;
}

/* Writes inputs for the fuzz targets that are the library's own files, or not text: seeds FOLDER, of the targets' folders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "fuzz.h"
#include "journal.h"
#include "little_endian.h"
#include "saved.h"

static const char *corpus;

static const char *seed_path(const char *target, const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", corpus, target, name);
    return path;
}

static void put(const char *target, const char *name, const void *bytes, size_t n) {
    FILE *stream = fopen(seed_path(target, name), "wb");
    FUZZ_CHECK(stream != NULL && fwrite(bytes, 1, n, stream) == n && fclose(stream) == 0);
}

/* ---- saved: each content and kind, of the problem that the target has */

static const double damping = 0.25, matrix[] = {2, 0.5, 0, 0.5, 1, -0.25, 0, -0.25, 3};

static void put_inverses(infl_curvature *curvature, const char *kind) {
    static const infl_inverse_method methods[] = {INFL_CHOLESKY, INFL_EIGEN, INFL_EIGEN};
    static const char *const names[] = {"cholesky", "eigen", "clip"};
    char name[64];
    for (int i = 0; i < 3; i++) {
        infl_inverse_options options = INFL_INVERSE_OPTIONS_INIT;
        infl_inverse *inverse;
        options.method = methods[i];
        options.eigen_policy = i == 2 ? INFL_EIGEN_CLIP : INFL_EIGEN_EXACT;
        FUZZ_OK(infl_inverse_create(&inverse, curvature, &options));
        snprintf(name, sizeof name, "%s-%s", kind, names[i]);
        FUZZ_OK(infl_inverse_save(inverse, seed_path("saved", name)));
        infl_inverse_destroy(inverse);
    }
}

static void put_curvature(infl_objective *objective, infl_curvature_kind kind, const char *name) {
    infl_curvature *curvature;
    FUZZ_OK(infl_curvature_create(&curvature, objective, kind, damping));
    FUZZ_OK(infl_curvature_form(curvature, NULL, NULL));
    FUZZ_OK(infl_curvature_save(curvature, seed_path("saved", name)));
    put_inverses(curvature, name);
    infl_curvature_destroy(curvature);
}

static void put_matrix(const double *numbers, size_t p, const char *name) {
    infl_curvature *curvature;
    FUZZ_OK(infl_curvature_from_matrix(&curvature, numbers, p, damping));
    put_inverses(curvature, name);
    infl_curvature_destroy(curvature);
}

/* All is right but what they are of. */
static void put_others(void) {
    static const double theta[] = {1, 2, 3}, other[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    static const size_t row = 1;
    infl_objective *objective = fuzz_objective(), *without;
    double before[3];
    FUZZ_OK(infl_objective_get_parameters(objective, before));
    FUZZ_OK(infl_objective_set_parameters(objective, theta));
    put_curvature(objective, INFL_HESSIAN, "other-theta");
    FUZZ_OK(infl_objective_set_parameters(objective, before));
    FUZZ_OK(infl_objective_without(&without, objective, &row, 1));
    put_curvature(without, INFL_FISHER, "other-rows");
    infl_objective_destroy(without);
    put_matrix(other, 3, "other-matrix");
    put_matrix(other, 1, "other-size");
}

/* The same with another text in its header, as long as what stands there and the spaces behind it. */
static void put_altered(const char *from, const char *name, const char *was, const char *is) {
    unsigned char file[4096];
    FILE *stream = fopen(seed_path("saved", from), "rb");
    FUZZ_CHECK(stream != NULL);
    size_t n = fread(file, 1, sizeof file, stream), length = strlen(was);
    FUZZ_CHECK(fclose(stream) == 0 && strlen(is) == length);
    for (size_t at = 0; at + length <= n; at++)
        if (memcmp(file + at, was, length) == 0)
            memcpy(file + at, is, length);
    put("saved", name, file, n);
}

/* Whose solutions are finite, but not their product with the Hessian. */
static void put_tiny_factor(void) {
    infl_safetensors *file;
    infl_saved saved;
    double factor[9];
    const double *const arrays[] = {factor};
    FUZZ_OK(infl_saved_open(&file, &saved, seed_path("saved", "hessian-cholesky")));
    FUZZ_OK(infl_saved_read(file, &saved, 0, factor));
    infl_safetensors_close(file);
    for (int i = 0; i < 9; i++)
        factor[i] *= 0x1p-512;
    FUZZ_OK(infl_saved_write(seed_path("saved", "hessian-cholesky-tiny"), &saved, arrays));
}

static void put_saved(void) {
    put_curvature(fuzz_objective(), INFL_HESSIAN, "hessian");
    put_tiny_factor();
    put_curvature(fuzz_objective(), INFL_GAUSS_NEWTON, "gauss-newton");
    put_curvature(fuzz_objective(), INFL_FISHER, "fisher");
    put_matrix(matrix, 3, "matrix");
    put_others();
    put_altered("hessian", "hessian-flat", "[3,3]", "[9  ]");
    put_altered("hessian", "hessian-i64", "\"F64\"", "\"I64\"");
    put_altered("hessian", "hessian-unnamed", "{\"matrix\"", "{\"Matrix\"");
    put_altered("hessian", "hessian-version", "\"format_version\":\"1\"", "\"format_version\":\"2\"");
    put_altered("fisher-eigen", "fisher-eigen-damaged", "\"damping\":\"0x1", "\"damping\":\"0x3");
}

/* ---- safetensors: a tensor of each type that is written, of other types, and of none */

static void put_safetensors(void) {
    static const double f64[] = {1, -0.5, 1e300, 0, 2, 3};
    static const float f32[] = {1, -2};
    static const int64_t i64[] = {-1, INT64_MAX};
    static const unsigned char u8[] = {0, 255, 7};
    static const infl_file_string strings[] = {{"format", "pt"}, {"a", "\"\\ \xC3\xA9"}};
    static const infl_file_array arrays[] = {
        {"w", INFL_NUMBER_F64, 2, {2, 3}, f64},    {"b", INFL_NUMBER_F32, 1, {2}, f32},
        {"i", INFL_NUMBER_I64, 3, {1, 2, 1}, i64}, {"u", INFL_NUMBER_U8, 1, {3}, u8},
        {"scalar", INFL_NUMBER_F64, 0, {0}, f64},  {"empty", INFL_NUMBER_F32, 2, {0, 5}, f32}};
    static const char *const by_hand[] = {
        "{}",
        "{\"x\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}abcd",
        "{\"x\":{\"dtype\":\"U64\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,8]}}abcdefgh",
        "{\"b\":{\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[1,2]},\"a\":{\"dtype\":\"BOOL\",\"shape\":[],"
        "\"data_offsets\":[0,1]}}ab",
        "{\"x\":{\"dtype\":\"F64\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[0,4294967296,4294967296,4294967296],\"data_offsets\":[0,0]},\"y\":{"
        "\"dtype\":\"I16\",\"shape\":[0],\"data_offsets\":[0,0]}}",
        "{\"__metadata__\":{\"a\":\"\\ud83d\\ude00\",\"format\":7}}",
        "{\"__metadata__\":{},\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"dtype\":\"I8\"}}a",
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1e0]}}a",
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"y\":{\"dtype\":\"U8\",\"shape\":[1],"
        "\"data_offsets\":[2,3]}}abc",
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}abc",
        "{\"__metadata__\":[]}",
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"y\":{\"dtype\":\"U8\",\"shape\":[1],"
        "\"data_offsets\":[2,3]}}abc",
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,4]}}abcd",
        "{\"x\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}\1\1\2<\3|\4\xfe",
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,9]}}ab",
        "{\"x\":[[[{\"\":{\"\":null}}]]]}",
    };
    FUZZ_OK(infl_safetensors_write(seed_path("safetensors", "types"), strings, 2, arrays, 6));
    for (size_t i = 0; i < sizeof by_hand / sizeof *by_hand; i++) {
        unsigned char file[512];
        size_t n = strlen(by_hand[i]);
        char name[32];
        infl_put_number(file, (size_t)(strrchr(by_hand[i], '}') + 1 - by_hand[i]), 8);
        memcpy(file + 8, by_hand[i], n);
        snprintf(name, sizeof name, "by-hand-%zu", i);
        put("safetensors", name, file, 8 + n);
        if (strstr(by_hand[i], "[1,1,1,1,1,1,1,1,1]") != NULL)
            for (int j = 0; j < 2; j++)
                put(j == 0 ? "saved" : "model", "dimensions", file, 8 + n);
    }
}

/* ---- model: layers of each kind */

static void put_model(const char *name, infl_builder *builder, infl_node output, infl_precision precision) {
    infl_model *model;
    FUZZ_OK(infl_model_create(&model, builder, output, precision, 1));
    FUZZ_OK(infl_model_save(model, seed_path("model", name)));
    infl_model_destroy(model);
    infl_builder_destroy(builder);
}

static void put_models(void) {
    infl_builder *builder;
    infl_node node;
    FUZZ_OK(infl_builder_create(&builder, 2));
    node = infl_builder_dense(builder, INFL_NODE_INPUT, 2, 1, INFL_INIT_HE);
    node = infl_builder_activation(builder, node, INFL_SOFTPLUS);
    node = infl_builder_add(builder, node, INFL_NODE_INPUT);
    node = infl_builder_dropout(builder, node, 0.5);
    put_model("vectors", builder, infl_builder_dense(builder, node, 1, 0, INFL_INIT_GLOROT), INFL_F64);
    for (int average = 0; average < 2; average++) {
        infl_conv2d conv = INFL_CONV2D_INIT;
        infl_pool2d pool = INFL_POOL2D_INIT;
        conv.channels = 2;
        conv.kernel[0] = conv.kernel[1] = 2;
        conv.padding[0] = 1;
        FUZZ_OK(infl_builder_create_image(&builder, 2, 4, 3));
        node = infl_builder_conv2d(builder, INFL_NODE_INPUT, &conv);
        node = infl_builder_batch_norm(builder, node, NULL);
        node =
            average ? infl_builder_average_pool2d(builder, node, &pool) : infl_builder_max_pool2d(builder, node, &pool);
        node = average ? infl_builder_flatten(builder, node) : infl_builder_global_average_pool(builder, node);
        put_model(average ? "average" : "maximum", builder, infl_builder_dense(builder, node, 2, 1, INFL_INIT_LECUN),
                  average ? INFL_F64 : INFL_F32);
    }
    FUZZ_OK(infl_builder_create(&builder, 1));
    put_model("smallest", builder, infl_builder_dense(builder, INFL_NODE_INPUT, 1, 0, INFL_INIT_HE), INFL_F32);
}

/* ---- weights: of the model that the target has, under names of each kind */

static void put_weights(const char *name, int bits, const char *const *names, infl_number_type type) {
    static const size_t dims[][4] = {{2, 1, 1, 2}, {2}, {2}, {2}, {3, 6}, {3}, {2}, {2}},
                        n_dims[] = {4, 1, 1, 1, 2, 1, 1, 1};
    double numbers[18];
    float singles[18];
    infl_file_array arrays[8];
    unsigned char input[4096] = {(unsigned char)bits};
    size_t n = 0;
    for (int i = 0; i < 18; i++)
        singles[i] = (float)(numbers[i] = 0.5 + i);
    for (int i = 0; i < 8; i++) {
        if (names[i] == NULL)
            continue;
        arrays[n] =
            (infl_file_array){names[i], type, n_dims[i], {0}, type == INFL_NUMBER_F32 ? (void *)singles : numbers};
        memcpy(arrays[n++].dims, dims[i], sizeof dims[i]);
    }
    FUZZ_OK(infl_safetensors_write(fuzz_path(0), NULL, 0, arrays, n));
    put("weights", name, input, 1 + fuzz_read(0, input + 1, sizeof input - 1));
}

static void put_all_weights(void) {
    static const char *const own[] = {
        "conv2d1.weight", "conv2d1.bias", "batch_norm1.weight",       "batch_norm1.bias",
        "dense1.weight",  "dense1.bias",  "batch_norm1.running_mean", "batch_norm1.running_variance"};
    static const char *const places[] = {"0.weight", "0.bias", "1.weight",       "1.bias",
                                         "4.weight", "4.bias", "1.running_mean", "1.running_var"};
    static const char *const table[] = {"w", NULL, "g", "b", "dense.w", "dense.b", "m", "v"};
    static const char *const prefixed[] = {"module.w",       NULL,       "module.g", "module.b", "module.dense.w",
                                           "module.dense.b", "module.m", "module.v"};
    static const char *const none[8] = {NULL};
    static const char *const more[] = {"w", "more", "g", "b", "dense.w", "dense.b", "m", "v"};
    put_weights("own", 0, own, INFL_NUMBER_F64);
    put_weights("own-f32", 4, own, INFL_NUMBER_F32);
    put_weights("sequential", 1, places, INFL_NUMBER_F32);
    put_weights("table", 2, table, INFL_NUMBER_F64);
    put_weights("prefix", 18, prefixed, INFL_NUMBER_F64);
    put_weights("more", 2, more, INFL_NUMBER_F64);
    put_weights("more-ignored", 10, more, INFL_NUMBER_F64);
    put_weights("none", 0, none, INFL_NUMBER_F64);
    put_weights("other-network", 3, own, INFL_NUMBER_F64);
    put_weights("integers", 0, own, INFL_NUMBER_I64);
}

/* ---- npy: options, and a pair of files; by hand, as NumPy writes them */

static size_t put_array(unsigned char *to, int version, const char *header, const void *numbers, size_t n) {
    size_t length = strlen(header), length_bytes = version == 1 ? 2 : 4;
    memcpy(to, "\x93NUMPY", 6);
    to[6] = (unsigned char)version;
    to[7] = 0;
    infl_put_number(to + 8, length, length_bytes);
    memcpy(to + 8 + length_bytes, header, length);
    memcpy(to + 8 + length_bytes + length, numbers, n);
    return 8 + length_bytes + length + n;
}

static void put_npy(const char *name, const char *options, const char *x, size_t n_x, const char *y, size_t n_y) {
    static const unsigned char numbers[] = {0, 0, 1, 2, 0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 240, 63,
                                            1, 0, 0, 0, 0, 0, 0,   0,  2, 0, 0, 0,  0, 0, 0,   0};
    unsigned char input[1024], *targets = input + 4;
    size_t length = put_array(targets, 1, y, numbers, n_y);
    memcpy(input, options, 2);
    infl_put_number(input + 2, length, 2);
    put("npy", name, input,
        4 + length + put_array(targets + length, name[0] == 'v' ? name[1] - '0' : 1, x, numbers, n_x));
}

static void put_arrays(void) {
#define NPY(type, order, shape) "{'descr': '" type "', 'fortran_order': " order ", 'shape': (" shape "), }\n"
    static const char two[] = NPY("|u1", "False", "2,"), doubles[] = NPY("<f8", "False", "2,");
    put_npy("bytes", "\0\0", NPY("|u1", "False", "2, 3, 1"), 6, two, 2);
    put_npy("f4", "\x18\0", NPY("<f4", "False", "2, 2"), 16, doubles, 16);
    put_npy("f8-columns", "\x08\0", NPY("<f8", "True", "2, 2"), 32, doubles, 16);
    put_npy("big", "\x21\0", NPY(">f4", "False", "2, 2"), 16, NPY(">i2", "False", "2,"), 4);
    put_npy("bool", "\x12\5", NPY("|b1", "False", "2, 2"), 4, NPY("<u4", "False", "2,"), 8);
    put_npy("v2", "\x0b\0", NPY("<i8", "False", "2, 2"), 32, NPY("<i4", "False", "2, 1"), 8);
    put_npy("v3", "\x0c\0", NPY("<i2", "False", "2, 2"), 8, NPY("<u8", "False", "2,"), 16);
    put_npy("python-2", "\0\0", "{'descr': '|i1', 'fortran_order': False, 'shape': (2L, 2L)}", 4, two, 2);
    put_npy("columns-of-three", "\0\0", NPY("|i1", "True", "2, 1, 1"), 2, two, 2);
    put_npy("other-rows", "\0\0", NPY("|i1", "False", "3, 1"), 3, two, 2);
    put_npy("one-dimension", "\0\0", NPY("|i1", "False", "3,"), 3, two, 2);
    put_npy("empty", "\0\0", NPY("|i1", "False", "2, 0"), 0, two, 2);
    put_npy("too-large", "\0\0", NPY("<f8", "False", "4294967296, 4294967296"), 0, two, 2);
    put_npy("float-classes", "\0\0", NPY("|i1", "False", "2, 1"), 2, doubles, 16);
    put_npy("missing-class", "\0\0", NPY("|i1", "False", "2, 1"), 2, NPY("|u1", "False", "1, 2"), 2);
    put_npy("negative-class", "\0\0", NPY("|i1", "False", "1, 1"), 1, NPY("<i8", "False", "1,"), 8);
    put_npy("complex", "\0\0", NPY("<c8", "False", "2, 1"), 16, two, 2);
    put_npy("structured", "\0\0", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1)}", 4, two, 2);
    put_npy("brackets", "\0\0", "{'descr': ((((((((('<f4')))))))))", 4, two, 2);
    put_npy("no-tuple", "\0\0", "{'descr': '|i1', 'fortran_order': False, 'shape': (2)}", 2, two, 2);
    put_npy("commas", "\0\0", "{'descr': '|i1', 'fortran_order': False, 'shape': (2,,1)}", 2, two, 2);
    put_npy("no-value", "\0\0", "{'descr': '|i1', 'fortran_order': False, 'shape': (,)}", 2, two, 2);
    put_npy("words", "\0\0", "{'descr': None, 'fortran_order': true, 'shape': (2, 1)}", 2, two, 2);
    put_npy("no-end", "\0\0", "{'descr': '|i1", 2, two, 2);
    put_npy("not-closed", "\0\0", "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 1), ", 2, two, 2);
    put_npy("other-bracket", "\0\0", "{'descr': '|i1', 'shape': (2, 1]}", 2, two, 2);
    put_npy("escape", "\0\0", "{'descr': '\\x41'}", 2, two, 2);
    put_npy("more", "\0\0", "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 1), 'more': 1}", 2, two, 2);
    put_npy("no-dictionary", "\0\0", "(1, 2)", 2, two, 2);
    put_npy("dimension", "\0\0", "{'descr': '|i1', 'fortran_order': False, 'shape': (None, 1)}", 2, two, 2);
    put_npy("v4", "\0\0", NPY("|i1", "False", "2, 1"), 2, two, 2);
    put_npy("precision", "\x40\0", NPY("|i1", "False", "2, 1"), 2, two, 2);
    put_npy("scale", "\6\0", NPY("|i1", "False", "2, 1"), 2, two, 2);
    put_npy("overflow", "\x1c\0", NPY("<f4", "False", "2, 2"), 16, doubles, 16);
    put_npy("underflow", "\x17\0", NPY("|i1", "False", "2, 4"), 8, two, 2); /* -128 · 1e-310 is -0 in f32 */
#undef NPY
}

/* ---- journal: of the target's configuration; some records, and what damage makes of them */

static void put_journals(void) {
    static const uint64_t configuration[] = {1, 2, 3};
    static const char payload[] = "a payload of some length";
    static const size_t cuts[] = {0, 7, 20, 39, 40, 50, 64, 80, 100};
    unsigned char file[512];
    const unsigned char *nothing;
    infl_journal *journal;
    size_t n;
    char name[32];
    FUZZ_OK(infl_journal_open(&journal, "seeds", fuzz_write(0, "", 0), configuration));
    FUZZ_OK(infl_journal_read(journal, &nothing, &n));
    for (size_t i = 0; i < 4; i++)
        FUZZ_OK(infl_journal_append(journal, payload, i == 2 ? 0 : i == 3 ? 1 : sizeof payload));
    infl_journal_close(journal);
    n = fuzz_read(0, file, sizeof file);
    put("journal", "four", file, n);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        snprintf(name, sizeof name, "cut-%zu", cuts[i]);
        put("journal", name, file, cuts[i]);
    }
    for (size_t at = 8; at < n; at += 24) { /* heads and payloads in turn */
        file[at] ^= 0x20;
        snprintf(name, sizeof name, "damaged-%zu", at);
        put("journal", name, file, n);
        file[at] ^= 0x20;
    }
    memset(file, 0, 40);
    put("journal", "zeros", file, 40);
    FUZZ_OK(infl_journal_open(&journal, "seeds", fuzz_write(0, "", 0), configuration + 1));
    infl_journal_close(journal);
    put("journal", "other-configuration", file, fuzz_read(0, file, sizeof file));
}

/* ---- retrain: records as they are written, and ones that nobody would write */

enum { RESULT = 9, P = 3, T = 2, LONGEST = 8 * (RESULT + T + P) };

static size_t put_record(unsigned char *to, int bits, uint64_t name, double value, uint64_t reason) {
    uint64_t numbers[RESULT + T + P] = {name, 1, reason, 2};
    size_t n = RESULT + ((bits & 2) != 0 ? T : 0) + ((bits & 4) != 0 ? P : 0);
    for (size_t i = 4; i < n; i++)
        memcpy(&numbers[i], &value, 8);
    infl_put_number(to, 8 * n, 2);
    infl_put_numbers(to + 2, numbers, n, 8);
    return 2 + 8 * n;
}

static void put_retrainings(void) {
    unsigned char input[1 + 8 * (2 + LONGEST)];
    char name[32];
    for (int bits = 0; bits < 8; bits++) {
        size_t n = 1;
        input[0] = (unsigned char)bits;
        if ((bits & 1) != 0)
            n += put_record(input + n, bits, UINT64_MAX, 0.5, 0);
        n += put_record(input + n, bits, 2, 0.25, 1);
        snprintf(name, sizeof name, "some-%d", bits);
        put("retrain", name, input, n);
        n += put_record(input + n, bits, 3, 1, 2);
        n += put_record(input + n, bits, 0, 1.5, 2);
        n += put_record(input + n, bits, 0, 7, 0);
        snprintf(name, sizeof name, "all-%d", bits);
        put("retrain", name, input, n);
    }
    input[0] = 7;
    put("retrain", "other-row", input, 1 + put_record(input + 1, 7, 4, 0.5, 0));
    put("retrain", "other-length", input, 1 + put_record(input + 1, 3, 1, 0.5, 0));
    put("retrain", "other-reason", input, 1 + put_record(input + 1, 7, 2, 0.5, 77));
    put("retrain", "infinite", input, 1 + put_record(input + 1, 7, 2, 1e308 * 10, 0));
    put("retrain", "overflowing", input, 1 + put_record(input + 1, 7, 2, -1.7e308, 0));
    memset(input, 0, sizeof input);
    put("retrain", "empty-records", input, 9);
}

/* ---- idx: options, and a pair of files */

static void put_idx(const char *name, const char *options, const unsigned char *labels, size_t n_labels,
                    const unsigned char *images, size_t n_images) {
    unsigned char input[4096];
    memcpy(input, options, 4);
    infl_put_number(input + 4, n_labels, 2);
    memcpy(input + 6, labels, n_labels);
    memcpy(input + 6 + n_labels, images, n_images);
    put("idx", name, input, 6 + n_labels + n_images);
}

static size_t packed(const unsigned char *bytes, size_t n, unsigned char *to, size_t room) {
    (void)fuzz_write_packed(0, bytes, n);
    return fuzz_read(0, to, room);
}

static void put_images(void) {
    enum { N = 5, PIXELS = 6 };
    unsigned char labels[8 + N] = {0, 0, 8, 1, 0, 0, 0, N, 2, 0, 1, 1, 0};
    unsigned char images[16 + N * PIXELS] = {0, 0, 8, 3, 0, 0, 0, N, 0, 0, 0, 2, 0, 0, 0, 3};
    unsigned char small_labels[128], small_images[128];
    for (size_t i = 16; i < sizeof images; i++)
        images[i] = (unsigned char)(9 * i);
    unsigned char long_labels[sizeof labels + 1] = {0}, long_images[sizeof images + 1] = {0};
    memcpy(long_labels, labels, sizeof labels);
    memcpy(long_images, images, sizeof images);
    put_idx("plain", "\0\0\0\0", labels, sizeof labels, images, sizeof images);
    put_idx("packed", "\3\0\0\0", labels, sizeof labels, images, sizeof images);
    put_idx("f64", "\6\3\1\2", labels, sizeof labels, images, sizeof images);
    put_idx("first", "\x1d\0\2\0", labels, sizeof labels, images, sizeof images);
    put_idx("too-many", "\0\0\1\5", labels, sizeof labels, images, sizeof images);
    put_idx("beyond-classes", "\0\2\0\0", labels, sizeof labels, images, sizeof images);
    put_idx("overflow-f32", "\x20\0\0\0", labels, sizeof labels, images, sizeof images);
    put_idx("overflow-f64", "\x2c\0\0\0", labels, sizeof labels, images, sizeof images);
    put_idx("not-a-number", "\x30\0\0\0", labels, sizeof labels, images, sizeof images);
    put_idx("short-images", "\0\0\0\0", labels, sizeof labels, images, sizeof images - 1);
    put_idx("short-labels", "\0\0\0\0", labels, sizeof labels - 1, images, sizeof images);
    put_idx("long-images", "\0\0\0\0", labels, sizeof labels, long_images, sizeof long_images);
    put_idx("long-labels", "\0\0\0\0", long_labels, sizeof long_labels, images, sizeof images);
    put_idx("short-head", "\0\0\0\0", labels, sizeof labels, images, 14);
    size_t n_labels = packed(labels, sizeof labels, small_labels, sizeof small_labels);
    size_t n_images = packed(images, sizeof images, small_images, sizeof small_images);
    put_idx("gzip", "\0\0\0\0", small_labels, n_labels, small_images, n_images);
    put_idx("gzip-images", "\0\0\0\0", labels, sizeof labels, small_images, n_images);
    put_idx("gzip-cut", "\0\0\0\0", small_labels, n_labels, small_images, n_images - 9);
    small_images[n_images - 8] ^= 1;
    put_idx("gzip-damaged", "\0\0\0\0", small_labels, n_labels, small_images, n_images);
    labels[8] = 3;
    put_idx("missing-class", "\0\0\0\0", labels, sizeof labels, images, sizeof images);
    memset(images + 4, 0xff, 12);
    memset(labels + 4, 0xff, 4);
    put_idx("too-large", "\0\0\0\0", labels, sizeof labels, images, sizeof images);
    memset(images + 8, 0, 8);
    images[11] = images[15] = 1;
    put_idx("large", "\0\0\0\0", labels, sizeof labels, images, sizeof images);
}

/* One image that fills the buffer of whoever unpacks it, so that the checksum behind it is read last; and it is wrong. */
static void put_large_image(void) {
    enum { BUFFER = 1 << 17 };
    static unsigned char images[BUFFER] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0xff, 0xf0};
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 1, 0};
    unsigned char small[2048];
    size_t n = packed(images, sizeof images, small, sizeof small);
    FUZZ_CHECK(n < sizeof small);
    put_idx("gzip-large", "\0\0\0\0", labels, sizeof labels, small, n);
    small[n - 8] ^= 1;
    put_idx("gzip-large-damaged", "\0\0\0\0", labels, sizeof labels, small, n);
}

/* Cut before the checksum, where zlib's default buffer is full and the rest of the last repetition is still to come. */
static void put_cut_image(void) {
    enum { BUFFER = 1 << 14, REST = 143 };
    static unsigned char images[BUFFER + REST] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0x40, REST - 16};
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 1, 0};
    unsigned char small[256];
    put_idx("gzip-cut-in-repetition", "\0\0\0\0", labels, sizeof labels, small,
            packed(images, sizeof images, small, sizeof small) - 9);
}

/* ---- cifar: options, and runs of bytes */

static void put_cifar(const char *name, const char *options, size_t first, const size_t (*runs)[2], size_t n_runs) {
    unsigned char input[128];
    memcpy(input, options, 4);
    infl_put_number(input + 4, first, 2);
    for (size_t i = 0; i < n_runs; i++) {
        infl_put_number(input + 6 + 3 * i, runs[i][0], 2);
        input[8 + 3 * i] = (unsigned char)runs[i][1];
    }
    put("cifar", name, input, 6 + 3 * n_runs);
}

static void put_records(void) {
    static const size_t good[][2] = {{3073, 0}, {3073, 9}, {3073, 4}}, bad[][2] = {{3073, 0}, {3073, 10}};
    static const size_t cut[][2] = {{3073, 1}, {100, 2}};
    put_cifar("one", "\0\0\0\0", 0, good, 1);
    put_cifar("three", "\0\12\0\0", 0, good, 3);
    put_cifar("packed", "\3\0\0\0", 3073, good, 3);
    put_cifar("two-files", "\2\0\1\1", 6146, good, 3);
    put_cifar("cut-between", "\0\0\0\0", 3000, good, 2);
    put_cifar("other-label", "\0\0\0\0", 0, bad, 2);
    put_cifar("cut", "\0\0\0\0", 0, cut, 2);
    put_cifar("empty", "\0\0\0\0", 0, good, 0);
    put_cifar("other-classes", "\0\11\0\0", 0, good, 1);
    put_cifar("too-many", "\0\0\2\2", 0, good, 3);
    put_cifar("none-left", "\0\0\3\0", 0, good, 3);
}

/* ---- scores: each quantity, as a pair and as a manifest alone; and manifests that say something else */

/* With one text for another, which it has. */
static void put_manifest(const char *name, const char *manifest, const char *was, const char *is) {
    unsigned char altered[8192];
    const char *at = strstr(manifest, was);
    FUZZ_CHECK(at != NULL && strlen(manifest) + strlen(is) < sizeof altered);
    size_t before = (size_t)(at - manifest), n = strlen(is);
    memcpy(altered, manifest, before);
    memcpy(altered + before, is, n);
    at += strlen(was);
    memcpy(altered + before + n, at, strlen(at));
    put("scores", name, altered, before + n + strlen(at));
}

static void put_altered_manifests(const char *manifest) {
    static const char *const table[][3] = {
        {"format", "libinfluence scores", "libinfluence score"},
        {"format-version", "\"format_version\": 1", "\"format_version\": 2"},
        {"no-version", "\"library_version\": \"", "\"library_version\": null, \"more\": \""},
        {"quantity", "removal_losses", "removal"},
        {"one-row", "\"n\": 4", "\"n\": 1"},
        {"negative", "\"n\": 4", "\"n\": -4"},
        {"in-words", "\"p\": 3", "\"p\": \"18446744073709551615\""},
        {"too-large", "\"p\": 3", "\"p\": \"18446744073709551616\""},
        {"parameters", "\"parameters\": null", "\"parameters\": [[0, 1], [4, 2]]"},
        {"parameters-more", "\"parameters\": null", "\"parameters\": [[0, 1], [4, 3]]"},
        {"parameters-back", "\"parameters\": null", "\"parameters\": [[4, 2], [4, 1]]"},
        {"no-decay", "\"decay\": 0.125", "\"decay\": null"},
        {"negative-decay", "\"decay\": 0.125", "\"decay\": -0.125"},
        {"no-damping", "\"damping\": 0.25", "\"damping\": null"},
        {"no-flag", "\"decay_in_gradient\": true", "\"decay_in_gradient\": 1"},
        {"stored", "\"stored\": \"f64\"", "\"stored\": \"f32\""},
        {"loss", "\"loss\": \"squared_error\"", "\"loss\": \"custom\""},
        {"label", "\"label\": \"a label\"", "\"label\": \"\\ud834\\udd1e \\u0007\""},
        {"matrix", "\"kind\": \"gauss_newton\"", "\"kind\": \"matrix\""},
        {"product", "\"kind\": \"gauss_newton\"", "\"kind\": \"product\""},
        {"no-inverse", "\"inverse\": {", "\"inverse\": [], \"more\": {"},
        {"no-solves", "\"solves\": [", "\"solves\": [], \"more\": ["},
        {"norms-null", "\"row_norms\": [\n", "\"row_norms\": [null, 1], \"more\": [\n"},
        {"norms-more", "\"row_norms\": [", "\"row_norms\": [1, "},
        {"solves-more", "}\n ],\n \"test_rows\"", "}, {}\n ],\n \"test_rows\""},
        {"note", "\"note\": null", "\"note\": \"a note\""},
        {"rows-more", "\"train_rows\": [", "\"train_rows\": [1, "},
        {"no-rows", "\"train_rows\": [", "\"train_rows\": [], \"more\": ["},
        {"row-beyond", "\"train_rows\": [\n  3", "\"train_rows\": [\n  4"},
        {"nested", "\"null\": ", "\"more\": [[[{\"\": {\"\": null}}]]], \"null\": "},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        put_manifest(table[i][0], manifest, table[i][1], table[i][2]);
}

/* It does not have this hash. */
static void put_damaged_manifest(unsigned char *input, size_t n) {
    char *label = strstr((char *)input, "a label");
    *label ^= ' ';
    put("scores", "damaged-pair", input, n);
    *label ^= ' ';
}

/* Pairs whose array is not what the manifest says, as they are; and with that array's hash. */
static void put_array_of(const char *name, unsigned char *input, size_t n_manifest, const char *type, const char *order,
                         const char *shape, const void *numbers, size_t n) {
    char header[128], path[64];
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }\n", type, order, shape);
    size_t length = n_manifest + 1 + put_array(input + n_manifest + 1, 1, header, numbers, n);
    for (int mended = 0; mended < 2; mended++) {
        input[n_manifest] = (unsigned char)mended;
        snprintf(path, sizeof path, "array-%s%s", name, mended ? "-mended" : "");
        put("scores", path, input, length);
    }
}

static void put_other_arrays(unsigned char *input, size_t n_manifest) {
    static const double numbers[] = {0.5, -1, 2, 1e300, 0, 0}, infinite[] = {0.5, -1, 2, 1e300 * 1e300};
    put_array_of("other", input, n_manifest, "<f8", "False", "2, 2", numbers, 32);
    put_array_of("short", input, n_manifest, "<f8", "False", "2, 2", numbers, 31);
    put_array_of("f4", input, n_manifest, ">f4", "False", "2, 2", numbers, 16);
    put_array_of("integers", input, n_manifest, "<i8", "False", "2, 2", numbers, 32);
    put_array_of("complex", input, n_manifest, "<c8", "False", "2, 2", numbers, 32);
    put_array_of("columns", input, n_manifest, "<f8", "True", "2, 2", numbers, 32);
    put_array_of("infinite", input, n_manifest, "<f8", "False", "2, 2", infinite, 32);
    put_array_of("vector", input, n_manifest, "<f8", "False", "4,", numbers, 32);
    put_array_of("rows", input, n_manifest, "<f8", "False", "3, 2", numbers, 48);
    put_array_of("row-columns", input, n_manifest, "<f8", "False", "2, 1", numbers, 16);
    put_array_of("cube", input, n_manifest, "<f8", "False", "1, 2, 2", numbers, 32);
    put_array_of("empty", input, n_manifest, "<f8", "False", "0, 2", numbers, 0);
    put("scores", "array-none", input, n_manifest);
}

static void put_scores(void) {
    static const size_t rows[] = {3, 0}, tests[] = {1, 2};
    static const char *const names[] = {"scores", "removal-losses", "self", "norms"};
    infl_objective *objective = fuzz_objective();
    infl_curvature *curvature;
    infl_inverse *inverse;
    infl_influence *influence;
    FUZZ_OK(infl_curvature_create(&curvature, objective, INFL_GAUSS_NEWTON, damping));
    FUZZ_OK(infl_inverse_create(&inverse, curvature, NULL));
    FUZZ_OK(infl_influence_create(&influence, objective, inverse, NULL));
    for (int quantity = INFL_QUANTITY_SCORES; quantity <= INFL_QUANTITY_NORMS; quantity++) {
        unsigned char input[8192];
        char name[32];
        infl_scores_save_options options = INFL_SCORES_SAVE_OPTIONS_INIT;
        infl_scores *scores;
        int has_tests = quantity <= INFL_QUANTITY_REMOVAL_LOSSES;
        FUZZ_OK(infl_scores_create(&scores, influence, (infl_quantity)quantity, has_tests ? objective : NULL,
                                   has_tests ? tests : NULL, 2, rows, 2));
        options.label = "a label";
        options.precision = quantity == INFL_QUANTITY_SELF ? INFL_F32 : INFL_F64;
        FUZZ_OK(infl_scores_save(scores, fuzz_path(0), &options));
        infl_scores_destroy(scores);
        size_t n = fuzz_read(FUZZ_JSON, input, sizeof input / 2);
        input[n] = 0;
        put("scores", names[quantity], input, n);
        if (quantity == INFL_QUANTITY_REMOVAL_LOSSES)
            put_altered_manifests((const char *)input);
        n++;
        snprintf(name, sizeof name, "%s-pair", names[quantity]);
        n += fuzz_read(FUZZ_NPY, input + n, sizeof input - n);
        put("scores", name, input, n);
        if (quantity == INFL_QUANTITY_SELF)
            put_damaged_manifest(input, n);
        if (quantity == INFL_QUANTITY_SCORES)
            put_other_arrays(input, strlen((const char *)input));
    }
    infl_influence_destroy(influence);
    infl_inverse_destroy(inverse);
    infl_curvature_destroy(curvature);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: seeds FOLDER\n");
        return EXIT_FAILURE;
    }
    corpus = argv[1];
    put_saved();
    put_scores();
    put_safetensors();
    put_models();
    put_all_weights();
    put_arrays();
    put_journals();
    put_retrainings();
    put_images();
    put_large_image();
    put_cut_image();
    put_records();
    return EXIT_SUCCESS;
}

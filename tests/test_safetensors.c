#include <dirent.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "files.h"
#include "reference.h"
#include "safetensors.h"
#include "suites.h"

/* A file with this header, its length stated right, and n_bytes zeros of data. */
static temporary_file with_header(const char *header, size_t n_bytes) {
    size_t length = strlen(header);
    unsigned char *bytes = calloc(8 + length + n_bytes, 1);
    ck_assert_ptr_nonnull(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> (8 * i) & 255);
    memcpy(bytes + 8, header, length);
    temporary_file file = write_file(bytes, 8 + length + n_bytes, 0);
    free(bytes);
    return file;
}

static void make_folder(temporary_file *folder) {
    const char *parent = getenv("TMPDIR");
    snprintf(folder->path, sizeof folder->path, "%s/infl-test-XXXXXX",
             parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder->path));
}

static size_t entries_of(const char *path) {
    size_t n = 0;
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    ck_assert_int_eq(closedir(folder), 0);
    return n;
}

/* folder/name; the returned string is the caller's until the next call */
static const char *inside(const temporary_file *folder, const char *name) {
    static char path[sizeof folder->path + 64];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    return path;
}

START_TEST(test_bytes) {
    static const double doubles[2] = {1.5, -2};
    static const float floats[1] = {-0.5f};
    static const int64_t whole[1] = {-3};
    static const unsigned char small[3] = {0, 1, 255};
    const infl_file_string strings[] = {{"a", "b \"c\" \u00e9"}};
    const infl_file_array arrays[] = {{"matrix", INFL_NUMBER_F64, 2, {1, 2}, doubles},
                                      {"single", INFL_NUMBER_F32, 0, {0}, floats},
                                      {"whole", INFL_NUMBER_I64, 1, {1}, whole},
                                      {"small", INFL_NUMBER_U8, 1, {3}, small},
                                      {"none", INFL_NUMBER_F64, 2, {3, 0}, doubles}};
    static const char header[] = "{\"__metadata__\":{\"a\":\"b \\\"c\\\" \u00e9\"},"
                                 "\"matrix\":{\"dtype\":\"F64\",\"shape\":[1,2],\"data_offsets\":[0,16]},"
                                 "\"single\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[16,20]},"
                                 "\"whole\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[20,28]},"
                                 "\"small\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[28,31]},"
                                 "\"none\":{\"dtype\":\"F64\",\"shape\":[3,0],\"data_offsets\":[31,31]}}";
    static const unsigned char data[] = {0, 0, 0, 0,    0,    0,    0xF8, 0x3F, 0,    0,    0,    0,    0, 0, 0,  0xC0,
                                         0, 0, 0, 0xBF, 0xFD, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, 255};
    size_t length = (strlen(header) + 7) / 8 * 8;
    unsigned char bytes[1024];
    temporary_file folder;
    make_folder(&folder);
    const char *path = inside(&folder, "file");
    temporary_file file;
    snprintf(file.path, sizeof file.path, "%.500s", path);
    assert_ok(infl_safetensors_write(path, strings, 1, arrays, 5));
    ck_assert_uint_eq(entries_of(folder.path), 1);
    size_t n = read_back(&file, bytes, sizeof bytes);
    ck_assert_uint_eq(n, 8 + length + sizeof data);
    ck_assert(bytes[0] == (length & 255) && bytes[1] == length >> 8 && bytes[2] == 0 && bytes[7] == 0);
    ck_assert(memcmp(bytes + 8, header, strlen(header)) == 0);
    for (size_t i = strlen(header); i < length; i++)
        ck_assert_int_eq(bytes[8 + i], ' ');
    ck_assert(memcmp(bytes + 8 + length, data, sizeof data) == 0);
    assert_ok(infl_safetensors_write(path, NULL, 0, NULL, 0)); /* over it */
    ck_assert_uint_eq(read_back(&file, bytes, sizeof bytes), 16);
    ck_assert(memcmp(bytes + 8, "{}      ", 8) == 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder.path), 0);
}
END_TEST

/* What is written is what is read, bit for bit, also in more than one piece. */
START_TEST(test_round_trip) {
    enum { MANY = 20000, BYTES = 70000 };
    static const double special[] = {0.0, -0.0, INFINITY, -INFINITY, DBL_MIN, DBL_TRUE_MIN, DBL_MAX, -1.0 / 3.0};
    static double many[MANY], got[BYTES];
    static float singles[MANY];
    static int64_t whole[MANY];
    static unsigned char small[BYTES];
    uint64_t seed = 3;
    for (int i = 0; i < MANY; i++) {
        many[i] = random_normal(&seed);
        singles[i] = (float)random_normal(&seed);
        whole[i] = (int64_t)(1e12 * random_normal(&seed));
    }
    for (int i = 0; i < BYTES; i++)
        small[i] = (unsigned char)(i * 7 + i / 256);
    const infl_file_array arrays[] = {{"special", INFL_NUMBER_F64, 1, {8}, special},
                                      {"many", INFL_NUMBER_F64, 3, {2, MANY / 4, 2}, many},
                                      {"singles", INFL_NUMBER_F32, 2, {MANY / 2, 2}, singles},
                                      {"small", INFL_NUMBER_U8, 1, {BYTES}, small},
                                      {"whole", INFL_NUMBER_I64, 1, {MANY}, whole}};
    const infl_file_string strings[] = {{"first", "1"}, {"second", ""}};
    temporary_file file = write_file("", 0, 0);
    infl_safetensors *open;
    assert_ok(infl_safetensors_write(file.path, strings, 2, arrays, 5));
    assert_ok(infl_safetensors_open(&open, file.path));
    ck_assert_str_eq(infl_safetensors_path(open), file.path);
    ck_assert_str_eq(infl_safetensors_metadata(open, "first"), "1");
    ck_assert_str_eq(infl_safetensors_metadata(open, "second"), "");
    ck_assert_ptr_null(infl_safetensors_metadata(open, "third"));
    ck_assert_ptr_null(infl_safetensors_find(open, "third"));
    ck_assert_uint_eq(infl_safetensors_count(open), 5);
    for (size_t i = 5; i-- > 0;) { /* in any order */
        const infl_file_tensor *tensor = infl_safetensors_find(open, arrays[i].name);
        ck_assert_ptr_eq(tensor, infl_safetensors_tensor(open, i));
        ck_assert_uint_eq(tensor->n_dims, arrays[i].n_dims);
        ck_assert(memcmp(tensor->dims, arrays[i].dims, tensor->n_dims * sizeof(size_t)) == 0);
        assert_ok(infl_safetensors_read(open, tensor, got));
        if (i < 2)
            assert_same_bits(got, (const double *)arrays[i].numbers, tensor->length, "%s", tensor->name);
        for (size_t j = 0; i >= 2 && j < tensor->length; j++)
            ck_assert(got[j] == (i == 2 ? singles[j] : i == 3 ? (double)small[j] : (double)whole[j]));
    }
    infl_safetensors_close(open);
    infl_safetensors_close(NULL);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* Files of others: spaces, names in any language, an order of their own, types that cannot be read, fields of later. */
START_TEST(test_others) {
    temporary_file file =
        with_header("{ \"b\" : {\"shape\":[2],\"data_offsets\":[ 4, 8],\"dtype\":\"I16\",\"later\":null},\n"
                    " \"\\u00e9\\ud83d\\ude00\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]} ,"
                    " \"c\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[8,9]}}   ",
                    9);
    infl_safetensors *open;
    double out[2] = {3, 3};
    assert_ok(infl_safetensors_open(&open, file.path));
    ck_assert_uint_eq(infl_safetensors_count(open), 3);
    ck_assert_str_eq(infl_safetensors_tensor(open, 0)->name, "\u00e9\U0001F600");
    ck_assert_str_eq(infl_safetensors_tensor(open, 1)->type_name, "I16");
    ck_assert_ptr_null(infl_safetensors_metadata(open, "a"));
    assert_ok(infl_safetensors_read(open, infl_safetensors_tensor(open, 0), out));
    ck_assert(out[0] == 0 && out[1] == 3);
    for (size_t i = 1; i < 3; i++)
        ck_assert_int_eq(infl_safetensors_read(open, infl_safetensors_tensor(open, i), out), INFL_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "BOOL"));
    infl_safetensors_close(open);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* All numbers of 16 bits there are, against their definition: equal steps, twice as large from one exponent to the next. */
START_TEST(test_halves) {
    enum { N = 1 << 16, HEADER = 256 };
    static unsigned char bytes[8 + HEADER + 4 * N];
    static double half[N], brain[N];
    int length = snprintf((char *)bytes + 8, HEADER,
                          "{\"half\":{\"dtype\":\"F16\",\"shape\":[%d],\"data_offsets\":[0,%d]},\"brain\":{\"dtype\":"
                          "\"BF16\",\"shape\":[%d],\"data_offsets\":[%d,%d]}}",
                          N, 2 * N, N, 2 * N, 4 * N);
    bytes[0] = (unsigned char)length;
    for (int i = 0; i < 2 * N; i++) {
        bytes[8 + length + 2 * i] = (unsigned char)(i & 255);
        bytes[8 + length + 2 * i + 1] = (unsigned char)(i >> 8 & 255);
    }
    temporary_file file = write_file(bytes, 8 + (size_t)length + 4 * (size_t)N, 0);
    infl_safetensors *open;
    assert_ok(infl_safetensors_open(&open, file.path));
    assert_ok(infl_safetensors_read(open, infl_safetensors_find(open, "half"), half));
    assert_ok(infl_safetensors_read(open, infl_safetensors_find(open, "brain"), brain));
    infl_safetensors_close(open);
    ck_assert_int_eq(unlink(file.path), 0);
    ck_assert(half[0] == 0 && !signbit(half[0]) && half[0x3c00] == 1 && half[0x7bff] == 65504);
    ck_assert(isinf(half[0x7c00]) && half[0x7c00] > 0);
    for (int i = 1; i < 0x7c00; i++) {
        int exponent = (i - 1) >> 10;
        ck_assert_msg(half[i] - half[i - 1] == ldexp(1, (exponent > 1 ? exponent : 1) - 25), "%x", (unsigned)i);
    }
    for (int i = 0x7c01; i < 0x8000; i++)
        ck_assert(isnan(half[i]) && isnan(half[i + 0x8000]));
    for (int i = 0; i <= 0x7c00; i++)
        ck_assert(half[i + 0x8000] == -half[i] && signbit(half[i + 0x8000]));
    for (int i = 0; i < N; i++) {
        uint32_t bits = (uint32_t)i << 16;
        float single;
        memcpy(&single, &bits, sizeof single);
        ck_assert_msg(isnan(single) ? isnan(brain[i]) : brain[i] == single, "%x", (unsigned)i);
    }
}
END_TEST

/* Each with a word that its sentence must have; there are 8 bytes of data. */
static const struct {
    const char *header, *word;
} malformed[] = {
    {"", "does not begin"},
    {" {}", "does not begin"},
    {"[]", "does not begin"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}", "JSON"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}x", "JSON"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},\"a\":{}}", "JSON"},
    {"{\"\\u0000\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", "JSON"},
    {"{\"\xff\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", "JSON"},
    {"{}", "end at byte 0"},
    {"{\"__metadata__\":[],\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", "not an object"},
    {"{\"__metadata__\":{\"k\":1},\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", "not a string"},
    {"{\"a\":7}", "not an object"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,8]}}", "dtype"},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,8]}}", "dtype"},
    {"{\"a\":{\"dtype\":\"F65\",\"shape\":[1],\"data_offsets\":[0,8]}}", "F65"},
    {"{\"a\":{\"dtype\":\"F64\",\"data_offsets\":[0,8]}}", "shape"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":1,\"data_offsets\":[0,8]}}", "shape"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[-1],\"data_offsets\":[0,8]}}", "dimension 0"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1,1.0],\"data_offsets\":[0,8]}}", "dimension 1"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", "addressed"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693953],\"data_offsets\":[0,8]}}", "addressed"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}", "JSON"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1]}}", "data_offsets"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0]}}", "data_offsets"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8,8]}}", "data_offsets"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[-8,0]}}", "data_offsets"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[8,0]}}", "8 and 0"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[1,9]}}", "8 bytes of data"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,8]}}", "take 16"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "begins at byte 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "end at byte 4"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
     "begins at byte 0"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[5,8]}}",
     "begins at byte 5"},
};

START_TEST(test_malformed) {
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        infl_safetensors *open = NULL;
        temporary_file file = with_header(malformed[i].header, 8);
        infl_status status = infl_safetensors_open(&open, file.path);
        ck_assert_msg(status == INFL_E_FORMAT, "%s: %s", malformed[i].header, infl_status_name(status));
        ck_assert_msg(strstr(infl_last_error(), malformed[i].word) != NULL &&
                          strstr(infl_last_error(), file.path) != NULL,
                      "%s: %s", malformed[i].header, infl_last_error());
        ck_assert_ptr_null(open);
        ck_assert_int_eq(unlink(file.path), 0);
    }
    infl_safetensors *open = NULL;
    temporary_file file =
        with_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1);
    ck_assert_int_eq(infl_safetensors_open(&open, file.path), INFL_E_UNSUPPORTED);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* A header that claims to be longer than the file gets no memory. */
START_TEST(test_long) {
    static const uint64_t lengths[] = {3, 1000, 100000000, (uint64_t)1 << 40, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char bytes[10] = "........{}";
        for (int j = 0; j < 8; j++)
            bytes[j] = (unsigned char)(lengths[i] >> (8 * j) & 255);
        infl_safetensors *open = NULL;
        temporary_file file = write_file(bytes, sizeof bytes, 0);
        ck_assert_int_eq(infl_safetensors_open(&open, file.path), INFL_E_FORMAT);
        ck_assert_ptr_nonnull(strstr(infl_last_error(), "the header's length"));
        ck_assert_int_eq(unlink(file.path), 0);
    }
}
END_TEST

/* A header so deep that reading it by recursion would not end well. */
START_TEST(test_deep) {
    enum { DEPTH = 1 << 20 };
    char *header = malloc(DEPTH + 16);
    ck_assert_ptr_nonnull(header);
    strcpy(header, "{\"a\":");
    memset(header + 5, '[', DEPTH);
    header[5 + DEPTH] = '\0';
    temporary_file file = with_header(header, 0);
    infl_safetensors *open = NULL;
    ck_assert_int_eq(infl_safetensors_open(&open, file.path), INFL_E_FORMAT);
    ck_assert_int_eq(unlink(file.path), 0);
    free(header);
}
END_TEST

static const unsigned char numbers_of_sample[7] = {1, 2, 3, 4, 5, 6, 7};

static size_t sample(unsigned char *bytes, size_t room) {
    static const double matrix[4] = {1, 2, 2, 3};
    const infl_file_string strings[] = {{"key", "value"}};
    const infl_file_array arrays[] = {{"matrix", INFL_NUMBER_F64, 2, {2, 2}, matrix},
                                      {"bytes", INFL_NUMBER_U8, 1, {7}, numbers_of_sample}};
    temporary_file file = write_file("", 0, 0);
    assert_ok(infl_safetensors_write(file.path, strings, 1, arrays, 2));
    size_t n = read_back(&file, bytes, room);
    ck_assert_int_eq(unlink(file.path), 0);
    return n;
}

/* Opens and reads all of it; what was wrong. */
static infl_status read_all(const char *path) {
    infl_safetensors *open;
    infl_status status = infl_safetensors_open(&open, path);
    if (status != INFL_OK)
        return status;
    for (size_t i = 0; status == INFL_OK && i < infl_safetensors_count(open); i++) {
        const infl_file_tensor *tensor = infl_safetensors_tensor(open, i);
        double *out = malloc(tensor->length * sizeof *out + 1);
        ck_assert_ptr_nonnull(out);
        status = infl_safetensors_read(open, tensor, out);
        free(out);
    }
    infl_safetensors_close(open);
    return status;
}

START_TEST(test_truncated) {
    unsigned char bytes[1024];
    size_t n = sample(bytes, sizeof bytes);
    for (size_t length = 0; length <= n; length++) {
        temporary_file file = write_file(bytes, length, 0);
        infl_status status = read_all(file.path);
        ck_assert_msg(status == (length == n ? INFL_OK : INFL_E_FORMAT), "%zu of %zu: %s", length, n,
                      infl_status_name(status));
        ck_assert_int_eq(unlink(file.path), 0);
    }
    bytes[n] = 0; /* and one byte more */
    temporary_file file = write_file(bytes, n + 1, 0);
    ck_assert_int_eq(read_all(file.path), INFL_E_FORMAT);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

/* Any byte of the header another: read as something else or refused, but with no accident. */
START_TEST(test_flipped) {
    unsigned char bytes[1024];
    size_t n = sample(bytes, sizeof bytes), refused = 0, tried = 0;
    for (size_t at = 0; at < n - sizeof numbers_of_sample - 32; at++)
        for (unsigned mask = 1; mask < 256; mask = mask < 128 ? 2 * mask : mask + 127) {
            bytes[at] ^= (unsigned char)mask;
            temporary_file file = write_file(bytes, n, 0);
            infl_status status = read_all(file.path);
            ck_assert_msg(status == INFL_OK || status == INFL_E_FORMAT || status == INFL_E_UNSUPPORTED, "byte %zu: %s",
                          at, infl_last_error());
            refused += status == INFL_E_FORMAT;
            tried++;
            ck_assert_int_eq(unlink(file.path), 0);
            bytes[at] ^= (unsigned char)mask;
        }
    ck_assert_uint_gt(refused, tried / 2);
}
END_TEST

/* A file that becomes shorter while it is open. */
START_TEST(test_shrinking) {
    unsigned char bytes[1024];
    size_t n = sample(bytes, sizeof bytes);
    temporary_file file = write_file(bytes, n, 0);
    infl_safetensors *open;
    double out[7];
    assert_ok(infl_safetensors_open(&open, file.path));
    ck_assert_int_eq(truncate(file.path, (off_t)n - 1), 0);
    assert_ok(infl_safetensors_read(open, infl_safetensors_find(open, "matrix"), out));
    ck_assert_int_eq(infl_safetensors_read(open, infl_safetensors_find(open, "bytes"), out), INFL_E_FORMAT);
    infl_safetensors_close(open);
    ck_assert_int_eq(unlink(file.path), 0);
}
END_TEST

static void assert_io(infl_status status, const char *path, const char *reason) {
    ck_assert_msg(status == INFL_E_IO, "%s: %s", infl_status_name(status), infl_last_error());
    ck_assert_msg(strstr(infl_last_error(), path) != NULL && strstr(infl_last_error(), reason) != NULL, "%s, not %s",
                  infl_last_error(), reason);
}

START_TEST(test_io) {
    static const double number[1] = {1};
    const infl_file_array array = {"a", INFL_NUMBER_F64, 1, {1}, number};
    infl_safetensors *open = NULL;
    temporary_file folder, file = write_file("", 0, 0), through;
    make_folder(&folder);
    const char *path = inside(&folder, "none");
    assert_io(infl_safetensors_open(&open, path), path, "No such file");
    assert_io(infl_safetensors_open(&open, folder.path), folder.path, "directory");
    assert_io(infl_safetensors_open(&open, "/dev/null"), "/dev/null", "regular");
    snprintf(through.path, sizeof through.path, "%.400s/file", file.path);
    assert_io(infl_safetensors_open(&open, through.path), through.path, "Not a directory");
    ck_assert_ptr_null(open);
    assert_io(infl_safetensors_write(through.path, NULL, 0, &array, 1), through.path, "Not a directory");
    path = inside(&folder, "none/file");
    assert_io(infl_safetensors_write(path, NULL, 0, &array, 1), path, "No such file");
    assert_io(infl_safetensors_write(folder.path, NULL, 0, &array, 1), folder.path, "directory");
    assert_io(infl_safetensors_write("", NULL, 0, &array, 1), "()", "No such file");
    const infl_file_array foreign = {"\xff", INFL_NUMBER_F64, 1, {1}, number};
    ck_assert_int_eq(infl_safetensors_write(inside(&folder, "file"), NULL, 0, &foreign, 1), INFL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(infl_last_error(), "UTF-8"));
    if (access("/dev/full", W_OK) == 0)
        assert_io(infl_safetensors_write("/dev/full", NULL, 0, &array, 1), "/dev/full", "No space");
    ck_assert_uint_eq(entries_of(folder.path), 0);
    ck_assert_int_eq(unlink(file.path), 0);
    ck_assert_int_eq(rmdir(folder.path), 0);
}
END_TEST

/* A disk that is full after so many bytes: what was there before stays, and nothing else. */
START_TEST(test_full) {
    enum { N = 20000 };
    static const double numbers[N] = {0};
    const infl_file_array array = {"a", INFL_NUMBER_F64, 1, {N}, numbers};
    static const rlim_t limits[] = {0, 5, 50, 1000, 65600, 100000};
    temporary_file folder, file;
    make_folder(&folder);
    snprintf(file.path, sizeof file.path, "%.400s/file", folder.path);
    struct rlimit before, limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (int there = 0; there < 2; there++) {
            if (there) {
                FILE *stream = fopen(file.path, "wb");
                ck_assert(stream != NULL && fputs("before", stream) >= 0 && fclose(stream) == 0);
            }
            void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
            limit = before;
            limit.rlim_cur = limits[i];
            ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
            infl_status status = infl_safetensors_write(file.path, NULL, 0, &array, 1);
            ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
            ck_assert(signal(SIGXFSZ, handler) != SIG_ERR);
            assert_io(status, file.path, "too large");
            ck_assert_uint_eq(entries_of(folder.path), (size_t)there);
            if (there) {
                unsigned char bytes[16];
                ck_assert(read_back(&file, bytes, sizeof bytes) == 6 && memcmp(bytes, "before", 6) == 0);
                ck_assert_int_eq(unlink(file.path), 0);
            }
        }
    ck_assert_int_eq(rmdir(folder.path), 0);
}
END_TEST

/* Names that are taken, by a process of before with the same number say, are left alone; and a new file is for all. */
START_TEST(test_taken) {
    temporary_file folder, taken;
    make_folder(&folder);
    snprintf(taken.path, sizeof taken.path, "%.400s/.infl-%ld-0.tmp", folder.path, (long)getpid());
    FILE *stream = fopen(taken.path, "wb");
    ck_assert(stream != NULL && fclose(stream) == 0);
    const char *path = inside(&folder, "file");
    mode_t mask = umask(022);
    assert_ok(infl_safetensors_write(path, NULL, 0, NULL, 0));
    umask(mask);
    struct stat status;
    ck_assert(stat(path, &status) == 0 && (status.st_mode & 0777) == 0644);
    ck_assert_uint_eq(entries_of(folder.path), 2);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(unlink(taken.path), 0);
    ck_assert_int_eq(rmdir(folder.path), 0);
}
END_TEST

Suite *safetensors_suite(void);
Suite *safetensors_suite(void) {
    Suite *suite = suite_create("safetensors");
    add_case(suite, "safetensors/bytes", test_bytes, 1);
    add_case(suite, "safetensors/round-trip", test_round_trip, 1);
    add_case(suite, "safetensors/others", test_others, 1);
    add_case(suite, "safetensors/halves", test_halves, 1);
    add_case(suite, "safetensors/malformed", test_malformed, 1);
    add_case(suite, "safetensors/long", test_long, 1);
    add_case(suite, "safetensors/deep", test_deep, 1);
    add_case(suite, "safetensors/truncated", test_truncated, 1);
    add_case(suite, "safetensors/flipped", test_flipped, 1);
    add_case(suite, "safetensors/shrinking", test_shrinking, 1);
    add_case(suite, "safetensors/io", test_io, 1);
    add_case(suite, "safetensors/full", test_full, 1);
    add_case(suite, "safetensors/taken", test_taken, 1);
    return suite;
}

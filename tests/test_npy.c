#include "npy.h"

#include <float.h>
#include <math.h>
#include <stdint.h>

#include "dataset.h"
#include "file.h"
#include "files.h"
#include "little_endian.h"
#include "random.h"
#include "reference.h"
#include "suites.h"

static infl_dataset *const untouched = (infl_dataset *)(void *)&(char){0};

enum { ROOM = 4096 };

/* The bytes of a file with this header as it is and these bytes of numbers. */
typedef struct npy_bytes {
    unsigned char bytes[ROOM];
    size_t n;
} npy_bytes;

static npy_bytes file_bytes(int major, const char *header, const void *numbers, size_t n) {
    npy_bytes file = {.n = 8};
    size_t length = strlen(header), length_bytes = major == 1 ? 2 : 4;
    memcpy(file.bytes, "\x93NUMPY", 6);
    file.bytes[6] = (unsigned char)major;
    for (size_t i = 0; i < length_bytes; i++)
        file.bytes[file.n++] = (unsigned char)(length >> 8 * i & 255);
    ck_assert_uint_le(file.n + length + n, ROOM);
    memcpy(file.bytes + file.n, header, length);
    if (n > 0)
        memcpy(file.bytes + file.n + length, numbers, n);
    file.n += length + n;
    return file;
}

static npy_bytes array_bytes(const char *descr, const char *shape, int fortran, const void *numbers, size_t n) {
    char header[256];
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }   \n", descr,
             fortran ? "True" : "False", shape);
    return file_bytes(1, header, numbers, n);
}

static temporary_file put(const npy_bytes *file) { return write_file(file->bytes, file->n, 0); }

static void assert_says(const char *word) {
    ck_assert_msg(strstr(infl_last_error(), word) != NULL, "not said: %s; but: %s", word, infl_last_error());
}

/* n numbers of one of the types, by arithmetic on their values: the machine's byte order plays no part. */
static void encode(const char *descr, const double *values, size_t n, unsigned char *out) {
    size_t size = (size_t)(descr[2] - '0');
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        if (descr[1] == 'f' && size == 4) {
            float single = (float)values[i];
            uint32_t half;
            memcpy(&half, &single, 4);
            bits = half;
        } else if (descr[1] == 'f') {
            memcpy(&bits, &values[i], 8);
        } else {
            bits = values[i] < 0 ? (uint64_t)(int64_t)values[i] : (uint64_t)values[i];
        }
        for (size_t b = 0; b < size; b++)
            out[i * size + (descr[0] == '>' ? size - 1 - b : b)] = (unsigned char)(bits >> 8 * b & 255);
    }
}

START_TEST(test_types) {
    static const struct {
        const char *descr;
        double values[6];
    } cases[] = {
        {"<f8", {0, -0.1, 1e300, -DBL_MIN, INFINITY, 3}},
        {">f8", {0, -0.1, 1e300, -DBL_MIN, -INFINITY, 3}},
        {"<f4", {0, -0.5, 0x1p-140, FLT_MAX, 3, -7}},
        {">f4", {0, -0.5, 0x1p-140, FLT_MAX, 3, -7}},
        {"|i1", {0, -1, -128, 127, 5, -6}},
        {"<i2", {0, -1, -32768, 32767, 258, -259}},
        {">i2", {0, -1, -32768, 32767, 258, -259}},
        {"<i4", {0, -1, -2147483648.0, 2147483647, 66051, -5}},
        {">i4", {0, -1, -2147483648.0, 2147483647, 66051, -5}},
        {"<i8", {0, -1, -0x1p63, 0x1p53, 72623859790382856.0, -6}},
        {">i8", {0, -1, -0x1p63, 0x1p53, 72623859790382856.0, -6}},
        {"|u1", {0, 1, 128, 127, 255, 6}},
        {"<u1", {0, 1, 128, 127, 255, 6}},
        {"<u2", {0, 1, 32768, 65535, 258, 6}},
        {">u2", {0, 1, 32768, 65535, 258, 6}},
        {"<u4", {0, 1, 2147483648.0, 4294967295.0, 66051, 5}},
        {">u4", {0, 1, 2147483648.0, 4294967295.0, 66051, 5}},
        {"<u8", {0, 1, 0x1p63, 0x1p53, 72623859790382856.0, 6}},
        {">u8", {0, 1, 0x1p63, 0x1p53, 72623859790382856.0, 6}},
        {"|b1", {0, 1, 1, 0, 1, 0}},
    };
    for (int version = 1; version <= 3; version++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            unsigned char numbers[48];
            char header[128];
            double out[6];
            size_t size = (size_t)(cases[i].descr[2] - '0');
            encode(cases[i].descr, cases[i].values, 6, numbers);
            snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (1, 6), }\n",
                     cases[i].descr);
            npy_bytes bytes = file_bytes(version, header, numbers, 6 * size);
            temporary_file file = put(&bytes);
            infl_npy *npy;
            assert_ok(infl_npy_open(&npy, file.path, NULL));
            const infl_npy_array *array = infl_npy_describe(npy);
            ck_assert_uint_eq(array->n_dims, 2);
            ck_assert_uint_eq(array->length, 6);
            ck_assert_str_eq(array->descr, cases[i].descr);
            assert_ok(infl_npy_read(npy, 2, out));
            assert_ok(infl_npy_read(npy, 4, out + 2));
            ck_assert_int_eq(infl_npy_read(npy, 1, out), INFL_E_FORMAT);
            for (int j = 0; j < 6; j++)
                ck_assert_msg(out[j] == cases[i].values[j], "%s: %.17g for %.17g", cases[i].descr, out[j],
                              cases[i].values[j]);
            infl_npy_close(npy);
            ck_assert_int_eq(unlink(file.path), 0);
        }
}
END_TEST

/* Whole numbers beyond 2^53 are rounded as a conversion of C rounds them: once. */
START_TEST(test_large_integers) {
    enum { HERE = 64 };
    int64_t values[HERE] = {INT64_MIN, INT64_MIN + 1, INT64_MAX, -(INT64_C(1) << 54) - 3, (INT64_C(1) << 54) + 3};
    uint64_t state = 1;
    for (int i = 5; i < HERE; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407; /* Knuth's */
        values[i] = (i % 2 != 0 ? -1 : 1) * (int64_t)(state >> (1 + i % 10));
    }
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        unsigned char numbers[8 * HERE];
        double out[HERE];
        infl_npy *npy;
        infl_put_numbers(numbers, values, HERE, 8);
        npy_bytes bytes = array_bytes(is_signed ? "<i8" : "<u8", "(64,)", 0, numbers, sizeof numbers);
        temporary_file file = put(&bytes);
        assert_ok(infl_npy_open(&npy, file.path, NULL));
        assert_ok(infl_npy_read(npy, HERE, out));
        for (int i = 0; i < HERE; i++) {
            double expected = is_signed ? (double)values[i] : (double)(uint64_t)values[i];
            ck_assert_msg(out[i] == expected, "number %d: %.17g for %.17g", i, out[i], expected);
        }
        infl_npy_close(npy);
        ck_assert_int_eq(unlink(file.path), 0);
    }
}
END_TEST

/* Shapes as Python may write them, and what stands where. */
START_TEST(test_headers) {
    static const struct {
        const char *header, *shape;
        size_t length;
    } good[] = {
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (), }", "()", 1},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }", "(4,)", 4},
        {"{\"shape\":(2,3),\t\"descr\":\"|u1\",\n\"fortran_order\":True}", "(2, 3)", 6},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (4L,), }", "(4,)", 4},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2L, 1, 1, 1, 1, 1, 1, 1, 3,), }",
         "(1, 2, 1, 1, 1, 1, 1, 1, 1, 3)", 6},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 5), }", "(0, 5)", 0},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775807, 0, 9), }",
         "(9223372036854775807, 0, 9)", SIZE_MAX},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        npy_bytes bytes = file_bytes(1, good[i].header, "abcdefg", good[i].length == SIZE_MAX ? 0 : good[i].length);
        temporary_file file = put(&bytes);
        char text[INFL_NPY_SHAPE_TEXT];
        infl_npy *npy = NULL;
        infl_status status = infl_npy_open(&npy, file.path, NULL);
        if (good[i].length == SIZE_MAX) { /* none, of a shape that could not be addressed were it not for the 0 */
            ck_assert_int_eq(status, INFL_E_FORMAT);
            assert_says("can be addressed");
        } else {
            assert_ok(status);
            ck_assert_uint_eq(infl_npy_describe(npy)->length, good[i].length);
            ck_assert_str_eq(infl_npy_shape_text(infl_npy_describe(npy), text), good[i].shape);
        }
        infl_npy_close(npy);
        ck_assert_int_eq(unlink(file.path), 0);
    }
}
END_TEST

START_TEST(test_bad_headers) {
    static const struct {
        const char *header, *word;
        infl_status status;
    } bad[] = {
        {"", "not the literal", INFL_E_FORMAT},
        {"{", "ends within a bracket", INFL_E_FORMAT},
        {"[1]", "not a dictionary", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1)}", "a comma", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (,)}", "a value", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,,)}", "a value", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1 2,)}", "not the literal", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1L2,)}", "not the literal", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (01,)}", "not the literal", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", "has - there", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1.0,)}", "has . there", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1]}", "the bracket that closes", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': ('1',)}", "dimension 0", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': 1}", "no shape that is a tuple", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False}", "no shape", INFL_E_FORMAT},
        {"{'descr': '<f8', 'shape': (1,)}", "no fortran_order", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}", "no fortran_order", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': false, 'shape': (1,)}", "has f there", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': Falsehood, 'shape': (1,)}", "True, False", INFL_E_FORMAT},
        {"{'fortran_order': False, 'shape': (1,)}", "no descr", INFL_E_FORMAT},
        {"{'descr': None, 'fortran_order': False, 'shape': (1,)}", "no descr", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'more': 1}", "4 entries", INFL_E_FORMAT},
        {"{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "duplicate", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} x", "has x there", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}{}", "not the literal", INFL_E_FORMAT},
        {"{'descr': '<f\\x38', 'fortran_order': False, 'shape': (1,)}", "without escapes", INFL_E_FORMAT},
        {"{'descr': '<f8", "has no end", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': ((((((((1,),),),),),),),)}", "fewer brackets",
         INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551616,)}", "not the literal",
         INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,)}", "can be addressed",
         INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "can be addressed",
         INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}", "take 8000000000000", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", "take 16", INFL_E_FORMAT},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (0,)}", "take 0", INFL_E_FORMAT},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (4,)}", "\"<f2\"", INFL_E_UNSUPPORTED},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "\"<c8\"", INFL_E_UNSUPPORTED},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "\"|O\"", INFL_E_UNSUPPORTED},
        {"{'descr': '|f8', 'fortran_order': False, 'shape': (1,)}", "\"|f8\"", INFL_E_UNSUPPORTED},
        {"{'descr': '', 'fortran_order': False, 'shape': (1,)}", "descr is \"\"", INFL_E_UNSUPPORTED},
        {"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", "structured", INFL_E_UNSUPPORTED},
        {"{'descr': '<f8', 'fortran_order': True, 'shape': (1, 1, 1)}", "Fortran", INFL_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        npy_bytes bytes = file_bytes(1 + (int)(i % 3), bad[i].header, "\0\0\0\0\0\0\0\0", 8);
        temporary_file file = put(&bytes);
        infl_npy *npy = (infl_npy *)(void *)untouched;
        infl_status status = infl_npy_open(&npy, file.path, NULL);
        ck_assert_msg(status == bad[i].status, "%s: %s: %s", bad[i].header, infl_status_name(status),
                      infl_last_error());
        assert_says(bad[i].word);
        assert_says(file.path);
        ck_assert_ptr_eq(npy, (infl_npy *)(void *)untouched);
        ck_assert_int_eq(unlink(file.path), 0);
    }
}
END_TEST

static void assert_bad_file(const unsigned char *bytes, size_t n, infl_status expected, const char *word) {
    temporary_file file = write_file(bytes, n, 0);
    infl_npy *npy;
    ck_assert_int_eq(infl_npy_open(&npy, file.path, NULL), expected);
    assert_says(word);
    ck_assert_int_eq(unlink(file.path), 0);
}

/* Cut anywhere, or longer, it is refused; with any byte changed it is read or refused, but nothing worse. */
START_TEST(test_damage) {
    static const double numbers[3] = {1.5, -2, 0.25};
    npy_bytes bytes = array_bytes("<f8", "(3,)", 0, numbers, sizeof numbers);
    for (size_t n = 0; n < bytes.n; n++)
        assert_bad_file(bytes.bytes, n, INFL_E_FORMAT, "");
    assert_bad_file(bytes.bytes, bytes.n + 1, INFL_E_FORMAT, "25 bytes after its header");
    for (int major = 0; major < 256; major++) {
        npy_bytes other = bytes;
        other.bytes[6] = (unsigned char)major;
        if (major < 1 || major > 3)
            assert_bad_file(other.bytes, other.n, INFL_E_FORMAT, "version");
    }
    bytes.bytes[7] = 1;
    assert_bad_file(bytes.bytes, bytes.n, INFL_E_FORMAT, "version is 1.1");
    bytes.bytes[7] = 0;
    for (size_t i = 0; i < 3000; i++) {
        npy_bytes other = bytes;
        for (size_t change = 0; change < 1 + i % 3; change++)
            other.bytes[infl_random_below(3, 1, 8 * i + 2 * change, other.n)] =
                (unsigned char)infl_random_below(3, 1, 8 * i + 2 * change + 1, 256);
        temporary_file file = put(&other);
        infl_npy *npy;
        double out[3];
        infl_status status = infl_npy_open(&npy, file.path, NULL);
        if (status == INFL_OK) {
            ck_assert_uint_le(infl_npy_describe(npy)->length, 24);
            if (infl_npy_describe(npy)->length <= 3)
                assert_ok(infl_npy_read(npy, infl_npy_describe(npy)->length, out));
            infl_npy_close(npy);
        } else {
            ck_assert(status == INFL_E_FORMAT || status == INFL_E_UNSUPPORTED);
        }
        ck_assert_int_eq(unlink(file.path), 0);
    }
}
END_TEST

START_TEST(test_no_file) {
    infl_npy *npy;
    ck_assert_int_eq(infl_npy_open(&npy, "/nowhere/at/all.npy", NULL), INFL_E_IO);
    assert_says("/nowhere/at/all.npy");
    ck_assert_int_eq(infl_npy_open(&npy, "/tmp", NULL), INFL_E_IO);
    ck_assert_int_eq(infl_npy_open(&npy, "/dev/null", NULL), INFL_E_IO);
    assert_says("regular");
}
END_TEST

/* What numpy.save writes of arange(6.).reshape(2, 3) and of arange(3, dtype='f4'), to the byte. */
START_TEST(test_written) {
    static const double numbers[6] = {0, 1, 2, 3, 4, 5};
    static const char heads[2][129] = {
        "\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }",
        "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"};
    for (int single = 0; single < 2; single++) {
        temporary_file place = write_file("", 0, 0);
        infl_new_file file;
        infl_hash *hash, *again;
        uint64_t written[2], read[2];
        unsigned char expected[256], found[256];
        size_t text = 10 + strlen(heads[single] + 10), length = single ? 3 : 6, size = single ? 4 : 8;
        memset(expected, ' ', 128);
        memcpy(expected, heads[single], text);
        expected[127] = '\n';
        encode(single ? "<f4" : "<f8", numbers, length, expected + 128);
        assert_ok(infl_hash_begin(&hash));
        assert_ok(infl_new_file_open(&file, place.path));
        assert_ok(infl_npy_write(&file, single ? INFL_F32 : INFL_F64, single ? 3 : 2, single ? 0 : 3, numbers, hash));
        assert_ok(infl_new_file_close(&file));
        ck_assert_uint_eq(read_back(&place, found, sizeof found), 0); /* not there yet */
        assert_ok(infl_new_files_place(&file, 1));
        infl_new_file_end(&file);
        infl_hash_end(hash, written);
        ck_assert_uint_eq(read_back(&place, found, sizeof found), 128 + length * size);
        ck_assert_mem_eq(found, expected, 128 + length * size);
        infl_npy *npy;
        double out[6];
        assert_ok(infl_hash_begin(&again));
        assert_ok(infl_npy_open(&npy, place.path, again));
        assert_ok(infl_npy_read(npy, length, out));
        assert_same_bits(out, numbers, length, "single %d", single);
        infl_npy_close(npy);
        infl_hash_end(again, read);
        ck_assert_mem_eq(read, written, sizeof read);
        ck_assert_int_eq(unlink(place.path), 0);
    }
}
END_TEST

START_TEST(test_too_large) {
    static const double numbers[2] = {1, 1e39};
    temporary_file place = write_file("before", 6, 0);
    unsigned char found[8];
    infl_new_file file;
    assert_ok(infl_new_file_open(&file, place.path));
    ck_assert_int_eq(infl_npy_write(&file, INFL_F32, 2, 0, numbers, NULL), INFL_E_NONFINITE);
    assert_says("number 1, 1e+39");
    infl_new_file_end(&file);
    ck_assert_uint_eq(read_back(&place, found, sizeof found), 6); /* what was there before still is */
    ck_assert_int_eq(unlink(place.path), 0);
}
END_TEST

static infl_status read_dataset(infl_dataset **out, const npy_bytes *features, const npy_bytes *targets,
                                const infl_npy_options *options) {
    temporary_file a = put(features), b = put(targets);
    infl_status status = infl_dataset_from_npy(out, a.path, b.path, options);
    if (status != INFL_OK)
        assert_says("infl_dataset_from_npy: ");
    if (status != INFL_OK && status != INFL_E_ARGUMENT)
        ck_assert_msg(strstr(infl_last_error(), a.path) != NULL || strstr(infl_last_error(), b.path) != NULL, "%s",
                      infl_last_error());
    ck_assert_int_eq(unlink(a.path), 0);
    ck_assert_int_eq(unlink(b.path), 0);
    return status;
}

/* Every number is where it belongs, at the precision that its type asks for or the options do. */
START_TEST(test_dataset) {
    static const struct {
        const char *descr, *shape;
        int fortran;
        infl_precision own;
    } cases[] = {{"<f4", "(3, 4)", 0, INFL_F32},    {">f8", "(3, 4)", 0, INFL_F64},   {"<f8", "(3, 4)", 1, INFL_F64},
                 {"|u1", "(3, 2, 2)", 0, INFL_F32}, {"|b1", "(3, 4)", 0, INFL_F32},   {"<i2", "(3, 4)", 1, INFL_F32},
                 {"<i4", "(3, 4)", 0, INFL_F64},    {"<u8", "(3, 1, 4)", 0, INFL_F64}};
    static const double labels[3] = {1, 0, 2}, reals[6] = {0.5, -1, 2, 1e10, -3, 7};
    unsigned char numbers[96], targets[48];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int precision = -1; precision <= INFL_F64; precision++)
            for (int target = 0; target < 4; target++) {
                size_t size = (size_t)(cases[i].descr[2] - '0');
                double values[12], in_file[12], features[4], found[2];
                for (size_t k = 0; k < 12; k++) {
                    values[k] = cases[i].descr[1] == 'b' ? (double)(k % 3 == 0) : (double)k + (size == 8 ? 0 : 0.0);
                    if (cases[i].descr[1] == 'f')
                        values[k] -= 3.25;
                }
                for (size_t k = 0; k < 12; k++) /* in_file in the file's order */
                    in_file[k] = cases[i].fortran ? values[k % 3 * 4 + k / 3] : values[k];
                encode(cases[i].descr, in_file, 12, numbers);
                npy_bytes a = array_bytes(cases[i].descr, cases[i].shape, cases[i].fortran, numbers, 12 * size), b;
                if (target < 2) {
                    encode(target == 0 ? "<i8" : "|u1", labels, 3, targets);
                    b = array_bytes(target == 0 ? "<i8" : "|u1", "(3,)", 0, targets, target == 0 ? 24 : 3);
                } else {
                    encode("<f8", reals, 6, targets);
                    b = array_bytes("<f8", target == 2 ? "(3,)" : "(3, 2)", 0, targets, target == 2 ? 24 : 48);
                }
                infl_npy_options options = INFL_NPY_OPTIONS_INIT;
                options.precision = precision;
                options.scale = i % 2 == 0 ? 1 : 0.1;
                options.offset = i % 2 == 0 ? 0 : -0.7;
                options.target = target < 2 ? INFL_TARGET_CLASS : INFL_TARGET_REAL;
                infl_dataset *dataset;
                assert_ok(read_dataset(&dataset, &a, &b, &options));
                infl_precision expected = precision == -1 ? cases[i].own : (infl_precision)precision;
                ck_assert_int_eq(dataset->storage->precision, expected);
                ck_assert_uint_eq(infl_dataset_rows(dataset), 3);
                ck_assert_uint_eq(infl_dataset_features(dataset), 4);
                ck_assert_uint_eq(infl_dataset_targets(dataset), target == 2 ? 1 : target == 3 ? 2 : 3);
                for (size_t row = 0; row < 3; row++) {
                    assert_ok(infl_dataset_get(dataset, row, features, found));
                    for (size_t k = 0; k < 4; k++) {
                        double value = options.scale * values[row * 4 + k] + options.offset;
                        ck_assert_msg(features[k] == (expected == INFL_F32 ? (double)(float)value : value),
                                      "%s, row %zu, column %zu: %g", cases[i].descr, row, k, features[k]);
                    }
                    if (target < 2)
                        ck_assert(found[0] == labels[row]);
                    else if (target == 2)
                        ck_assert(found[0] == reals[row]);
                    else
                        ck_assert(found[0] == reals[2 * row] && found[1] == reals[2 * row + 1]);
                }
                infl_dataset_destroy(dataset);
            }
}
END_TEST

START_TEST(test_dataset_errors) {
    double values[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    unsigned char numbers[64];
    static const struct {
        const char *features, *shape, *targets, *target_shape;
        double labels[4];
        size_t n_classes;
        infl_status status;
        const char *word;
    } cases[] = {
        {"<f8", "(8,)", "|u1", "(4,)", {0, 1, 0, 1}, 0, INFL_E_FORMAT, "(8,); expected (n, d)"},
        {"<f8", "()", "|u1", "(4,)", {0, 1, 0, 1}, 0, INFL_E_FORMAT, "(); expected (n, d)"},
        {"<f8", "(0, 2)", "|u1", "(4,)", {0, 1, 0, 1}, 0, INFL_E_FORMAT, "(0, 2); expected (n, d)"},
        {"<f8", "(4, 2)", "|u1", "(4, 1)", {0, 1, 0, 1}, 0, INFL_E_FORMAT, "(4, 1); expected (n,)"},
        {"<f8", "(4, 2)", "|u1", "(3,)", {0, 1, 0}, 0, INFL_E_FORMAT, "as many rows as the features, 4"},
        {"<f8", "(4, 2)", "<f8", "(4,)", {0, 1, 0, 1}, 0, INFL_E_FORMAT, "of type <f8; expected integers"},
        {"<f8", "(4, 2)", "|i1", "(4,)", {0, 1, -1, 1}, 0, INFL_E_FORMAT, "row 2: the class index is -1"},
        {"<f8", "(4, 2)", "<i8", "(4,)", {0, 1, 0, 2147483647.0}, 0, INFL_E_FORMAT, "row 3: the class index is 2147"},
        {"<f8", "(4, 2)", "|u1", "(4,)", {0, 1, 3, 1}, 0, INFL_E_FORMAT, "largest class is 3, but no row has class 2"},
        {"<f8", "(4, 2)", "|u1", "(4,)", {0, 1, 3, 1}, 3, INFL_E_FORMAT, "less than 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char labels[32];
        infl_npy_options options = INFL_NPY_OPTIONS_INIT;
        infl_dataset *out = untouched;
        size_t n = strcmp(cases[i].shape, "()") == 0 ? 1 : cases[i].shape[1] == '0' ? 0 : 8;
        size_t n_targets = (size_t)(cases[i].target_shape[1] - '0');
        encode(cases[i].features, values, 8, numbers);
        encode(cases[i].targets, cases[i].labels, 4, labels);
        npy_bytes a = array_bytes(cases[i].features, cases[i].shape, 0, numbers, 8 * n);
        npy_bytes b = array_bytes(cases[i].targets, cases[i].target_shape, 0, labels,
                                  n_targets * (size_t)(cases[i].targets[2] - '0'));
        options.n_classes = cases[i].n_classes;
        ck_assert_int_eq(read_dataset(&out, &a, &b, &options), cases[i].status);
        assert_says(cases[i].word);
        ck_assert_ptr_eq(out, untouched);
    }
    static const double good[4] = {0, 1, 0, 1};
    unsigned char labels[4];
    encode("|u1", good, 4, labels);
    npy_bytes b = array_bytes("|u1", "(4,)", 0, labels, 4);
    for (int fortran = 0; fortran < 2; fortran++) {
        infl_dataset *out = untouched;
        infl_npy_options options = INFL_NPY_OPTIONS_INIT;
        values[5] = NAN;
        encode("<f8", values, 8, numbers);
        npy_bytes a = array_bytes("<f8", "(4, 2)", fortran, numbers, 64);
        ck_assert_int_eq(read_dataset(&out, &a, &b, NULL), INFL_E_NONFINITE);
        assert_says(fortran ? "row 1, column 1: the feature is nan" : "row 2, column 1: the feature is nan");
        values[5] = 1e39;
        encode("<f8", values, 8, numbers);
        a = array_bytes("<f8", "(4, 2)", fortran, numbers, 64);
        options.precision = INFL_F32;
        ck_assert_int_eq(read_dataset(&out, &a, &b, &options), INFL_E_NONFINITE);
        assert_says("of single precision");
        options.scale = INFINITY;
        ck_assert_int_eq(read_dataset(&out, &a, &b, &options), INFL_E_ARGUMENT);
        options.scale = 1;
        options.precision = 2;
        ck_assert_int_eq(read_dataset(&out, &a, &b, &options), INFL_E_ARGUMENT);
        options.precision = -1;
        options.target = (infl_target_kind)2;
        ck_assert_int_eq(read_dataset(&out, &a, &b, &options), INFL_E_ARGUMENT);
        ck_assert_ptr_eq(out, untouched);
    }
    infl_dataset *out = untouched;
    assert_fails(INFL_E_ARGUMENT, infl_dataset_from_npy(NULL, "a", "b", NULL));
    assert_fails(INFL_E_ARGUMENT, infl_dataset_from_npy(&out, NULL, "b", NULL));
    assert_fails(INFL_E_ARGUMENT, infl_dataset_from_npy(&out, "a", NULL, NULL));
    assert_fails(INFL_E_IO, infl_dataset_from_npy(&out, "/nowhere/a.npy", "b", NULL));
    ck_assert_ptr_eq(out, untouched);
}
END_TEST

Suite *npy_suite(void);
Suite *npy_suite(void) {
    Suite *suite = suite_create("npy");
    add_case(suite, "npy/types", test_types, 1);
    add_case(suite, "npy/large-integers", test_large_integers, 1);
    add_case(suite, "npy/headers", test_headers, 1);
    add_case(suite, "npy/bad-headers", test_bad_headers, 1);
    add_case(suite, "npy/damage", test_damage, 1);
    add_case(suite, "npy/no-file", test_no_file, 1);
    add_case(suite, "npy/written", test_written, 1);
    add_case(suite, "npy/too-large", test_too_large, 1);
    add_case(suite, "npy/dataset", test_dataset, 1);
    add_case(suite, "npy/dataset/errors", test_dataset_errors, 1);
    return suite;
}

/* infl_safetensors_open, _read and _write. The input is the file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "little_endian.h"
#include "safetensors.h"

enum { MANY = 64 };

static const char *const keys[] = {"format", "a"};

static infl_safetensors *open_file(const char *path, size_t n) {
    infl_safetensors *file = fuzz_untouched;
    unsigned may = FUZZ_MAY(INFL_E_FORMAT) | FUZZ_MAY(INFL_E_UNSUPPORTED);
    /* an object of JSON takes some hundred bytes, and "":{}, of the file's */
    fuzz_limit_memory(256 * n + (1 << 18));
    infl_status status = infl_safetensors_open(&file, path);
    fuzz_check_memory();
    return fuzz_succeeded(status, may, "", file) ? file : NULL;
}

/* Bytes of a number of a type that is written; 0: of others, which are for the reader to know. */
static size_t size_of(infl_number_type type) {
    return type == INFL_NUMBER_F64 || type == INFL_NUMBER_I64 ? 8
           : type == INFL_NUMBER_F32                          ? 4
                                                              : type == INFL_NUMBER_U8;
}

static double half_number(uint32_t bits) {
    int exponent = bits >> 10 & 31, negative = bits >> 15 != 0;
    double fraction = bits & 1023;
    double number = exponent == 0   ? ldexp(fraction, -24)
                    : exponent < 31 ? ldexp(1024 + fraction, exponent - 25)
                    : fraction == 0 ? (double)INFINITY
                                    : (double)NAN;
    return negative ? -number : number;
}

static double upper_half_number(uint32_t bits) {
    float single;
    bits <<= 16;
    memcpy(&single, &bits, sizeof single);
    return single;
}

/* The numbers of a tensor are those of the file's bytes. */
static void check_numbers(infl_safetensors *file, const infl_file_tensor *tensor, const unsigned char *bytes) {
    double *numbers = malloc(tensor->length * sizeof *numbers + 1);
    size_t size = tensor->length == 0 ? 0 : (tensor->end - tensor->begin) / tensor->length;
    FUZZ_CHECK(numbers != NULL);
    infl_status status = infl_safetensors_read(file, tensor, numbers);
    FUZZ_CHECK(status == (tensor->type == INFL_NUMBER_OTHER ? INFL_E_UNSUPPORTED : INFL_OK));
    for (size_t i = 0; i < tensor->length && status == INFL_OK; i++) {
        uint64_t bits = infl_get_number(bytes + i * size, size);
        uint32_t half = (uint32_t)bits;
        float single;
        double number = (double)bits;
        memcpy(&single, &half, sizeof single);
        if (tensor->type == INFL_NUMBER_F64)
            memcpy(&number, &bits, sizeof number);
        else if (tensor->type == INFL_NUMBER_F16)
            number = half_number(half);
        else if (tensor->type == INFL_NUMBER_BF16)
            number = upper_half_number(half);
        else if (tensor->type == INFL_NUMBER_F32)
            number = single;
        else if (tensor->type == INFL_NUMBER_I64)
            number = (double)(int64_t)bits;
        FUZZ_CHECK(number == numbers[i] || (number != number && numbers[i] != numbers[i]));
    }
    free(numbers);
}

static void check_tensors(infl_safetensors *file, const unsigned char *bytes, size_t n) {
    size_t at = 0, data = 8 + (size_t)infl_get_number(bytes, 8);
    for (size_t i = 0; i < infl_safetensors_count(file); i++) {
        const infl_file_tensor *tensor = infl_safetensors_tensor(file, i);
        size_t length = 1;
        for (size_t j = 0; j < tensor->n_dims; j++)
            length *= tensor->dims[j];
        FUZZ_CHECK(tensor->length == length && tensor->begin == at && tensor->end >= at);
        FUZZ_CHECK(infl_safetensors_find(file, tensor->name) == tensor);
        FUZZ_CHECK(tensor->end <= n - data);
        size_t size = size_of(tensor->type), bytes_of_it = tensor->end - tensor->begin;
        FUZZ_CHECK(size > 0 ? bytes_of_it == length * size : length == 0 || bytes_of_it % length == 0);
        check_numbers(file, tensor, bytes + data + tensor->begin);
        at = tensor->end;
    }
    FUZZ_CHECK(at == n - data);
}

/* What can be written of it, written and read again, is the same. */
static void check_written(infl_safetensors *file, const unsigned char *bytes) {
    const unsigned char *data = bytes + 8 + infl_get_number(bytes, 8);
    infl_file_array arrays[MANY];
    infl_file_string strings[2];
    size_t n_arrays = 0, n_strings = 0, room = 0;
    for (size_t i = 0; i < infl_safetensors_count(file) && n_arrays < MANY; i++) {
        const infl_file_tensor *tensor = infl_safetensors_tensor(file, i);
        infl_file_array *array = &arrays[n_arrays];
        if (size_of(tensor->type) == 0) /* of a type that is only read, or not that */
            continue;
        *array = (infl_file_array){tensor->name, tensor->type, tensor->n_dims, {0}, data + tensor->begin};
        memcpy(array->dims, tensor->dims, sizeof array->dims);
        room += tensor->end - tensor->begin;
        n_arrays++;
    }
    for (int i = 0; i < 2; i++) {
        const char *value = infl_safetensors_metadata(file, keys[i]);
        if (value != NULL)
            strings[n_strings++] = (infl_file_string){keys[i], value};
    }
    FUZZ_OK(infl_safetensors_write(fuzz_path(1), strings, n_strings, arrays, n_arrays));
    infl_safetensors *again = open_file(fuzz_path(1), 4096 + room + 1024 * n_arrays);
    FUZZ_CHECK(again != NULL && infl_safetensors_count(again) == n_arrays);
    double *numbers = malloc(room * sizeof *numbers + 1), *others = malloc(room * sizeof *others + 1);
    FUZZ_CHECK(numbers != NULL && others != NULL);
    for (size_t i = 0; i < n_arrays; i++) {
        const infl_file_tensor *was = infl_safetensors_find(file, arrays[i].name);
        const infl_file_tensor *is = infl_safetensors_find(again, arrays[i].name);
        FUZZ_CHECK(is != NULL && is->type == was->type && is->n_dims == was->n_dims && is->length == was->length);
        FUZZ_CHECK(memcmp(is->dims, was->dims, sizeof is->dims) == 0);
        FUZZ_OK(infl_safetensors_read(file, was, numbers));
        FUZZ_OK(infl_safetensors_read(again, is, others));
        FUZZ_CHECK(memcmp(numbers, others, was->length * sizeof *numbers) == 0);
    }
    for (size_t i = 0; i < n_strings; i++)
        FUZZ_CHECK(strcmp(infl_safetensors_metadata(again, strings[i].key), strings[i].value) == 0);
    free(numbers);
    free(others);
    infl_safetensors_close(again);
}

FUZZ_TARGET(safetensors) {
    infl_safetensors *file = open_file(fuzz_write(0, bytes, n), n);
    if (file == NULL)
        return;
    check_tensors(file, bytes, n);
    check_written(file, bytes);
    infl_safetensors_close(file);
}

/* The header's length is that of the first object. */
FUZZ_REPAIR(safetensors) {
    int depth = 0, quoted = 0;
    (void)room;
    for (size_t i = 8; i < n; i++) {
        if (quoted && bytes[i] == '\\')
            i++;
        else if (bytes[i] == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += (bytes[i] == '{') - (bytes[i] == '}');
        if (i >= n || depth == 0) {
            if (i < n)
                infl_put_number(bytes, i + 1 - 8, 8);
            break;
        }
    }
    return n;
}

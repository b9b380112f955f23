#include "safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "little_endian.h"
#include "memory.h"

/* Longer headers are refused, as other readers do. */
#define LONGEST_HEADER ((size_t)100000000)

enum { BLOCK = 1 << 16 }; /* bytes read, converted and written at once */

static const struct {
    const char *name;
    size_t size;
    infl_number_type type;
} number_types[] = {
    {"F64", 8, INFL_NUMBER_F64},       {"F32", 4, INFL_NUMBER_F32},   {"I64", 8, INFL_NUMBER_I64},
    {"U8", 1, INFL_NUMBER_U8},         {"F16", 2, INFL_NUMBER_F16},   {"BF16", 2, INFL_NUMBER_BF16},
    {"BOOL", 1, INFL_NUMBER_OTHER},    {"I8", 1, INFL_NUMBER_OTHER},  {"F8_E5M2", 1, INFL_NUMBER_OTHER},
    {"F8_E4M3", 1, INFL_NUMBER_OTHER}, {"I16", 2, INFL_NUMBER_OTHER}, {"U16", 2, INFL_NUMBER_OTHER},
    {"I32", 4, INFL_NUMBER_OTHER},     {"U32", 4, INFL_NUMBER_OTHER}, {"U64", 8, INFL_NUMBER_OTHER},
};
enum { N_NUMBER_TYPES = sizeof number_types / sizeof number_types[0] };

struct infl_safetensors {
    char *path;
    FILE *stream;
    json_t *header;
    size_t data, n_bytes; /* where the tensors begin, and how much they have */
    infl_file_tensor *tensors;
    size_t n_tensors;
};

static size_t size_of(infl_number_type type) { return number_types[type].size; } /* not of OTHER */

static infl_status no_memory(const char *path) {
    return infl_fail(INFL_E_MEMORY, "there is no memory for the header of %s", path);
}

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4), cold))
#endif
static infl_status
wrong(const infl_safetensors *file, const char *tensor, const char *format, ...) {
    char what[INFL_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (tensor == NULL)
        return infl_fail(INFL_E_FORMAT, "%s (%s)", what, file->path);
    return infl_fail(INFL_E_FORMAT, "tensor \"%.80s\": %s (%s)", tensor, what, file->path);
}

/* The next n bytes. */
static infl_status read_bytes(infl_safetensors *file, void *bytes, size_t n) {
    errno = 0;
    if (fread(bytes, 1, n, file->stream) == n)
        return INFL_OK;
    if (ferror(file->stream))
        return infl_file_fail(file->path, "the file cannot be read", errno);
    return wrong(file, NULL, "the file ends before its tensors do; it has become shorter since it was opened");
}

static infl_status read_header(infl_safetensors *file) {
    unsigned char length_bytes[8];
    size_t size = 0;
    INFL_TRY(infl_file_open(&file->stream, &size, file->path));
    if (size < sizeof length_bytes)
        return wrong(file, NULL, "the file has %zu bytes; expected 8 with the length of a header, and the header",
                     size);
    INFL_TRY(read_bytes(file, length_bytes, sizeof length_bytes));
    uint64_t stated = infl_get_number(length_bytes, 8);
    if (stated > size - 8 || stated > LONGEST_HEADER)
        return wrong(file, NULL,
                     "byte 0: the header's length is %llu; the file has %zu bytes after it, and a header "
                     "at most %zu",
                     (unsigned long long)stated, size - 8, LONGEST_HEADER);
    size_t length = (size_t)stated;
    char *text;
    INFL_ALLOCATE(text, length + 1);
    infl_status status = read_bytes(file, text, length);
    if (status == INFL_OK && text[0] != '{')
        status =
            wrong(file, NULL, "byte 8: the header does not begin with {, but with byte %u", (unsigned char)text[0]);
    if (status == INFL_OK) {
        json_error_t error;
        errno = 0; /* without memory Jansson may complain of a text that it cut, or take it */
        file->header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
        if (errno == ENOMEM)
            status = no_memory(file->path);
        else if (file->header == NULL)
            status = wrong(file, NULL, "byte %d: the header is not JSON: %s", 8 + error.position, error.text);
    }
    infl_release(text);
    file->data = 8 + length;
    file->n_bytes = size - file->data;
    return status;
}

static infl_status check_metadata(const infl_safetensors *file, json_t *metadata) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return wrong(file, NULL, "__metadata__ is not an object; expected one of strings");
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return wrong(
        file, NULL, "__metadata__: \"%.80s\" is not a string", key);
    return INFL_OK;
}

/* A whole number from 0 to SIZE_MAX. */
static int read_size(const json_t *value, size_t *size) {
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uintmax_t)json_integer_value(value) > SIZE_MAX)
        return 0;
    *size = (size_t)json_integer_value(value);
    return 1;
}

static infl_status read_type(const infl_safetensors *file, const json_t *entry, infl_file_tensor *tensor,
                             size_t *size) {
    const char *stated = json_string_value(json_object_get(entry, "dtype"));
    if (stated == NULL)
        return wrong(file, tensor->name, "it has no dtype; expected a string");
    for (size_t i = 0; i < N_NUMBER_TYPES; i++)
        if (strcmp(number_types[i].name, stated) == 0) {
            tensor->type = number_types[i].type;
            tensor->type_name = number_types[i].name;
            *size = number_types[i].size;
            return INFL_OK;
        }
    return wrong(file, tensor->name, "its dtype is \"%.40s\"; expected F64, F32 or another of the format's", stated);
}

static infl_status read_shape(const infl_safetensors *file, const json_t *entry, infl_file_tensor *tensor,
                              size_t *bytes) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return wrong(file, tensor->name, "it has no shape; expected an array of whole numbers");
    tensor->n_dims = json_array_size(shape);
    if (tensor->n_dims > INFL_TENSOR_DIMS)
        return infl_fail(INFL_E_UNSUPPORTED, "tensor \"%.80s\": it has %zu dimensions; at most %d are supported (%s)",
                         tensor->name, tensor->n_dims, INFL_TENSOR_DIMS, file->path);
    tensor->length = 1;
    for (size_t i = 0; i < tensor->n_dims; i++) {
        if (!read_size(json_array_get(shape, i), &tensor->dims[i]))
            return wrong(file, tensor->name, "dimension %zu of its shape is not a whole number from 0 on", i);
        size_t dim = tensor->dims[i];
        if (dim != 0 && *bytes > SIZE_MAX / dim)
            return wrong(file, tensor->name, "its shape has more numbers than can be addressed");
        *bytes *= dim;
        tensor->length *= dim;
    }
    return INFL_OK;
}

static infl_status read_tensor(const infl_safetensors *file, const char *name, const json_t *entry,
                               infl_file_tensor *tensor) {
    size_t bytes = 0;
    *tensor = (infl_file_tensor){.name = name};
    if (!json_is_object(entry))
        return wrong(file, name, "its entry is not an object; expected one with dtype, shape and data_offsets");
    INFL_TRY(read_type(file, entry, tensor, &bytes));
    INFL_TRY(read_shape(file, entry, tensor, &bytes));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &tensor->begin) ||
        !read_size(json_array_get(offsets, 1), &tensor->end))
        return wrong(file, name, "its data_offsets are not two whole numbers from 0 on");
    if (tensor->begin > tensor->end || tensor->end > file->n_bytes)
        return wrong(file, name, "its data_offsets are %zu and %zu; the file has %zu bytes of data", tensor->begin,
                     tensor->end, file->n_bytes);
    if (tensor->end - tensor->begin != bytes)
        return wrong(file, name, "its data_offsets %zu and %zu are %zu bytes apart; its shape and dtype %s take %zu",
                     tensor->begin, tensor->end, tensor->end - tensor->begin, tensor->type_name, bytes);
    return INFL_OK;
}

static int by_place(const void *a, const void *b) {
    const infl_file_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end != y->end ? (x->end < y->end ? -1 : 1) : strcmp(x->name, y->name);
}

/* Each begins where the one before ends, and the last ends with the file. */
static infl_status check_places(const infl_safetensors *file) {
    size_t at = 0;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const infl_file_tensor *tensor = &file->tensors[i];
        if (tensor->begin != at)
            return wrong(file, tensor->name,
                         "it begins at byte %zu of the data; expected at %zu, where the tensors "
                         "before end",
                         tensor->begin, at);
        at = tensor->end;
    }
    if (at != file->n_bytes)
        return wrong(file, NULL, "the tensors end at byte %zu of the data, but the file has %zu", at, file->n_bytes);
    return INFL_OK;
}

static infl_status read_tensors(infl_safetensors *file) {
    const char *name;
    json_t *entry;
    INFL_ALLOCATE(file->tensors, json_object_size(file->header));
    json_object_foreach(file->header, name, entry) {
        if (strcmp(name, "__metadata__") == 0)
            INFL_TRY(check_metadata(file, entry));
        else
            INFL_TRY(read_tensor(file, name, entry, &file->tensors[file->n_tensors++]));
    }
    qsort(file->tensors, file->n_tensors, sizeof *file->tensors, by_place);
    return check_places(file);
}

infl_status infl_safetensors_open(infl_safetensors **out, const char *path) {
    infl_safetensors *file;
    INFL_ALLOCATE(file, 1);
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(file->path, strlen(path) + 1);
    strcpy(file->path, path);
    if ((status = read_header(file)) != INFL_OK || (status = read_tensors(file)) != INFL_OK)
        goto out;
    *out = file;
    file = NULL;
out:
    infl_safetensors_close(file);
    return status;
}

void infl_safetensors_close(infl_safetensors *file) {
    if (file == NULL)
        return;
    if (file->stream != NULL)
        fclose(file->stream);
    json_decref(file->header);
    infl_release(file->tensors);
    infl_release(file->path);
    infl_release(file);
}

const char *infl_safetensors_path(const infl_safetensors *file) { return file->path; }

const char *infl_safetensors_metadata(const infl_safetensors *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

size_t infl_safetensors_count(const infl_safetensors *file) { return file->n_tensors; }

const infl_file_tensor *infl_safetensors_tensor(const infl_safetensors *file, size_t index) {
    return &file->tensors[index];
}

const infl_file_tensor *infl_safetensors_find(const infl_safetensors *file, const char *name) {
    for (size_t i = 0; i < file->n_tensors; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

static void decode(infl_number_type type, const unsigned char *bytes, size_t n, double *out) {
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = infl_get_number(bytes + i * size_of(type), size_of(type));
        uint32_t low = (uint32_t)bits;
        int64_t whole;
        float single;
        switch (type) {
        case INFL_NUMBER_F64:
            memcpy(&out[i], &bits, sizeof out[i]);
            break;
        case INFL_NUMBER_F16:
            out[i] = infl_half(bits);
            break;
        case INFL_NUMBER_BF16:
            low <<= 16; /* fallthrough */
        case INFL_NUMBER_F32:
            memcpy(&single, &low, sizeof single);
            out[i] = single;
            break;
        case INFL_NUMBER_I64:
            memcpy(&whole, &bits, sizeof whole);
            out[i] = (double)whole;
            break;
        default:
            out[i] = (double)bits;
        }
    }
}

infl_status infl_safetensors_read(infl_safetensors *file, const infl_file_tensor *tensor, double *out) {
    if (tensor->type == INFL_NUMBER_OTHER)
        return infl_fail(INFL_E_UNSUPPORTED,
                         "tensor \"%.80s\": its dtype is %s; F64, F32, F16, BF16, I64 and U8 can be read (%s)",
                         tensor->name, tensor->type_name, file->path);
    unsigned char *block;
    INFL_ALLOCATE(block, BLOCK);
    infl_status status = INFL_OK;
    if (fseeko(file->stream, (off_t)(file->data + tensor->begin), SEEK_SET) != 0)
        status = infl_file_fail(file->path, "the file cannot be read", errno);
    size_t size = size_of(tensor->type), numbers = BLOCK / size;
    for (size_t first = 0; first < tensor->length && status == INFL_OK; first += numbers) {
        size_t n = tensor->length - first < numbers ? tensor->length - first : numbers;
        status = read_bytes(file, block, n * size);
        if (status == INFL_OK)
            decode(tensor->type, block, n, out + first);
    }
    infl_release(block);
    return status;
}

static size_t length_of(const infl_file_array *array) {
    size_t length = 1;
    for (size_t i = 0; i < array->n_dims; i++)
        length *= array->dims[i];
    return length;
}

/* Names come from callers; what else there is in a header we have made. */
static infl_status check_names(const infl_file_array *arrays, size_t n_arrays, const char *path) {
    for (size_t i = 0; i < n_arrays; i++) {
        errno = 0;
        json_t *text = json_string(arrays[i].name);
        if (text == NULL && errno == ENOMEM)
            return no_memory(path);
        if (text == NULL)
            return infl_fail(INFL_E_ARGUMENT, "the name of tensor %zu is not UTF-8 (%s)", i, path);
        json_decref(text);
    }
    return INFL_OK;
}

/* The header as it will be written, padded, to be released; NULL: there is no memory. */
static char *make_header(const infl_file_string *strings, size_t n_strings, const infl_file_array *arrays,
                         size_t n_arrays, size_t *length) {
    json_t *header = json_object(), *metadata = json_object();
    char *text = NULL;
    size_t at = 0, size = 0;
    int failed = 0;
    for (size_t i = 0; i < n_strings; i++)
        failed |= json_object_set_new(metadata, strings[i].key, json_string(strings[i].value));
    if (n_strings > 0)
        failed |= json_object_set(header, "__metadata__", metadata);
    for (size_t i = 0; i < n_arrays; i++) {
        json_t *shape = json_array();
        size_t end = at + length_of(&arrays[i]) * size_of(arrays[i].type);
        for (size_t j = 0; j < arrays[i].n_dims; j++)
            failed |= json_array_append_new(shape, json_integer((json_int_t)arrays[i].dims[j]));
        failed |= json_object_set_new(header, arrays[i].name,
                                      json_pack("{s:s,s:o,s:[I,I]}", "dtype", number_types[arrays[i].type].name,
                                                "shape", shape, "data_offsets", (json_int_t)at, (json_int_t)end));
        at = end;
    }
    if (!failed)
        size = json_dumpb(header, NULL, 0, JSON_COMPACT); /* json_dumps loses what its own buffer has no room for */
    *length = (size + 7) / 8 * 8;
    if (size > 0)
        text = infl_allocate(*length, 1);
    if (text != NULL) {
        memset(text, ' ', *length);
        if (json_dumpb(header, text, size, JSON_COMPACT) != size) {
            infl_release(text);
            text = NULL;
        }
    }
    json_decref(metadata);
    json_decref(header);
    return text;
}

static infl_status write_all(infl_new_file *file, const char *header, size_t length, const infl_file_array *arrays,
                             size_t n_arrays, unsigned char *block) {
    infl_put_number(block, length, 8);
    INFL_TRY(infl_new_file_write(file, block, 8));
    INFL_TRY(infl_new_file_write(file, header, length));
    for (size_t i = 0; i < n_arrays; i++) {
        size_t size = size_of(arrays[i].type), numbers = BLOCK / size, count = length_of(&arrays[i]);
        for (size_t first = 0; first < count; first += numbers) {
            size_t n = count - first < numbers ? count - first : numbers;
            infl_put_numbers(block, (const char *)arrays[i].numbers + first * size, n, size);
            INFL_TRY(infl_new_file_write(file, block, n * size));
        }
    }
    return infl_new_file_close(file);
}

infl_status infl_safetensors_write(const char *path, const infl_file_string *strings, size_t n_strings,
                                   const infl_file_array *arrays, size_t n_arrays) {
    infl_new_file file = {.path = NULL};
    char *header = NULL;
    unsigned char *block = NULL;
    size_t length = 0;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(block, BLOCK);
    if ((status = check_names(arrays, n_arrays, path)) != INFL_OK)
        goto out;
    header = make_header(strings, n_strings, arrays, n_arrays, &length);
    if (header == NULL) {
        status = no_memory(path);
        goto out;
    }
    if ((status = infl_new_file_open(&file, path)) == INFL_OK &&
        (status = write_all(&file, header, length, arrays, n_arrays, block)) == INFL_OK)
        status = infl_new_files_place(&file, 1);
out:
    infl_new_file_end(&file);
    infl_release(header);
    infl_release(block);
    return status;
}

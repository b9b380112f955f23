#include "npy.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "little_endian.h"
#include "memory.h"

enum {
    MAGIC = 6,
    PREFIX = 12,    /* the longest before a header: magic, version, length */
    ALIGNED = 64,   /* numbers begin at a multiple of this, as NumPy has it */
    DEPTH = 8,      /* brackets in brackets */
    BLOCK = 1 << 16 /* bytes read, converted and written at once */
};
#define LONGEST_HEADER ((size_t)1 << 20) /* NumPy's own have some hundred bytes */

static const unsigned char magic[MAGIC] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

struct infl_npy {
    char *path;
    FILE *stream;
    infl_hash *hash; /* borrowed */
    json_t *header;
    size_t *dims;
    size_t left; /* bytes of numbers that are still to be read */
    int big_endian;
    unsigned char *block;
    infl_npy_array array;
};

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3), cold))
#endif
static infl_status
wrong(const infl_npy *file, const char *format, ...) {
    char what[INFL_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return infl_fail(INFL_E_FORMAT, "%s (%s)", what, file->path);
}

static infl_status read_bytes(infl_npy *file, void *bytes, size_t n) {
    INFL_TRY(infl_file_read(file->stream, file->path, bytes, n));
    if (file->hash != NULL)
        infl_hash_raw(file->hash, bytes, n);
    return INFL_OK;
}

/* A Python literal on its way to JSON. What is not understood is refused; what the values are is Jansson's to say. */
typedef struct translation {
    const infl_npy *file;
    const char *from;
    size_t n, at;  /* bytes of `from`, and of them read */
    size_t offset; /* of `from` in the file */
    char *to;      /* n */
    size_t written;
    struct {
        char open;
        size_t commas, values;
    } stack[DEPTH];
    size_t depth;
    size_t comma; /* of the output where a comma stands that nothing has followed yet; SIZE_MAX: none does */
} translation;

static infl_status unexpected(const translation *t, const char *expected) {
    unsigned char byte = (unsigned char)t->from[t->at];
    char found[8];
    snprintf(found, sizeof found, byte > 32 && byte < 127 ? "%c" : "0x%02x", byte);
    return wrong(t->file, "byte %zu: the header has %s there; expected %s", t->offset + t->at, found, expected);
}

static void put(translation *t, char byte) { t->to[t->written++] = byte; }

/* A value begins. */
static void count_value(translation *t) {
    t->comma = SIZE_MAX;
    if (t->depth > 0)
        t->stack[t->depth - 1].values++;
}

static infl_status translate_string(translation *t) {
    char quote = t->from[t->at++];
    count_value(t);
    put(t, '"');
    for (; t->at < t->n && t->from[t->at] != quote; t->at++) {
        unsigned char byte = (unsigned char)t->from[t->at];
        if (byte < 32 || byte == '"' || byte == '\\')
            return unexpected(t, "a string without escapes and quotes");
        put(t, (char)byte);
    }
    if (t->at == t->n)
        return wrong(t->file, "byte %zu: a string of the header has no end", t->offset + t->n);
    t->at++;
    put(t, '"');
    return INFL_OK;
}

static int is_letter(char byte) { return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z'); }

static infl_status translate_word(translation *t) {
    static const char *const words[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"}};
    size_t length = 0;
    while (t->at + length < t->n && is_letter(t->from[t->at + length]))
        length++;
    count_value(t);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (length == strlen(words[i][0]) && memcmp(t->from + t->at, words[i][0], length) == 0) {
            for (const char *c = words[i][1]; *c != '\0'; c++)
                put(t, *c);
            t->at += length;
            return INFL_OK;
        }
    return unexpected(t, "True, False, None, a string, a number or a bracket");
}

static infl_status translate_number(translation *t) {
    count_value(t);
    while (t->at < t->n && t->from[t->at] >= '0' && t->from[t->at] <= '9')
        put(t, t->from[t->at++]);
    if (t->at < t->n && t->from[t->at] == 'L') { /* of Python 2 */
        t->at++;
        put(t, ' ');
    }
    return INFL_OK;
}

static infl_status open_bracket(translation *t, char byte) {
    count_value(t);
    if (t->depth == DEPTH)
        return unexpected(t, "fewer brackets in brackets");
    t->stack[t->depth].open = byte;
    t->stack[t->depth].commas = t->stack[t->depth].values = 0;
    t->depth++;
    put(t, byte == '(' ? '[' : byte);
    t->at++;
    return INFL_OK;
}

static infl_status close_bracket(translation *t, char byte) {
    char open = byte == ')' ? '(' : byte == ']' ? '[' : '{';
    if (t->depth == 0 || t->stack[t->depth - 1].open != open)
        return unexpected(t, "the bracket that closes the one before");
    t->depth--;
    if (open == '(' && t->stack[t->depth].values == 1 && t->stack[t->depth].commas == 0)
        return unexpected(t, "a comma: (3,) is a tuple, (3) is not");
    if (t->comma != SIZE_MAX && t->stack[t->depth].values == 0)
        return unexpected(t, "a value before the comma");
    if (t->comma != SIZE_MAX) /* Python's last comma */
        t->to[t->comma] = ' ';
    t->comma = SIZE_MAX;
    put(t, byte == ')' ? ']' : byte);
    t->at++;
    return INFL_OK;
}

static infl_status translate_token(translation *t) {
    char byte = t->from[t->at];
    switch (byte) {
    case ' ':
    case '\t':
    case '\n':
        byte = ' ';
        break;
    case '\'':
    case '"':
        return translate_string(t);
    case '(':
    case '[':
    case '{':
        return open_bracket(t, byte);
    case ')':
    case ']':
    case '}':
        return close_bracket(t, byte);
    case ',':
        if (t->depth == 0 || t->comma != SIZE_MAX)
            return unexpected(t, "a value");
        t->stack[t->depth - 1].commas++;
        t->comma = t->written;
        break;
    case ':':
        break;
    default:
        return byte >= '0' && byte <= '9' ? translate_number(t) : translate_word(t);
    }
    put(t, byte);
    t->at++;
    return INFL_OK;
}

/* Nothing becomes longer, and what blanks part stays apart. */
static infl_status translate(infl_npy *file, const char *text, size_t n, size_t offset) {
    translation t = {.file = file, .from = text, .n = n, .offset = offset, .comma = SIZE_MAX};
    INFL_ALLOCATE(t.to, n + 1);
    infl_status status = INFL_OK;
    while (t.at < n && status == INFL_OK)
        status = translate_token(&t);
    if (status == INFL_OK && t.depth > 0)
        status = wrong(file, "byte %zu: the header ends within a bracket", offset + n);
    if (status == INFL_OK) {
        json_error_t error;
        errno = 0; /* without memory Jansson may complain of a text that it cut, or take it */
        file->header = json_loadb(t.to, t.written, JSON_REJECT_DUPLICATES, &error);
        if (errno == ENOMEM)
            status = infl_fail(INFL_E_MEMORY, "there is no memory for the header of %s", file->path);
        else if (file->header == NULL)
            status = wrong(file, "byte %zu: the header is not the literal of a dictionary: %s", offset, error.text);
    }
    infl_release(t.to);
    return status;
}

static infl_status read_header(infl_npy *file, size_t *size) {
    unsigned char prefix[PREFIX];
    char *text;
    if (*size < MAGIC + 4)
        return wrong(file, "the file has %zu bytes; expected NumPy's magic string, a version and a header", *size);
    INFL_TRY(read_bytes(file, prefix, MAGIC + 2));
    if (memcmp(prefix, magic, MAGIC) != 0)
        return wrong(file, "byte 0: the file does not begin with NumPy's magic string, \\x93NUMPY");
    unsigned major = prefix[MAGIC], minor = prefix[MAGIC + 1];
    if (major < 1 || major > 3 || minor != 0)
        return wrong(file, "byte %d: the format's version is %u.%u; expected 1.0, 2.0 or 3.0", MAGIC, major, minor);
    size_t length_bytes = major == 1 ? 2 : 4, before = MAGIC + 2 + length_bytes;
    if (*size < before)
        return wrong(file, "the file has %zu bytes; expected the length of a header to end at byte %zu", *size, before);
    INFL_TRY(read_bytes(file, prefix, length_bytes));
    size_t length = (size_t)infl_get_number(prefix, length_bytes);
    if (length > *size - before || length > LONGEST_HEADER)
        return wrong(file,
                     "byte %d: the header's length is %zu; the file has %zu bytes after it, and a header at most "
                     "%zu",
                     MAGIC + 2, length, *size - before, LONGEST_HEADER);
    INFL_ALLOCATE(text, length);
    infl_status status = read_bytes(file, text, length);
    if (status == INFL_OK)
        status = translate(file, text, length, before);
    infl_release(text);
    *size -= before + length;
    return status;
}

static infl_status read_type(infl_npy *file) {
    infl_npy_array *array = &file->array;
    const json_t *descr = json_object_get(file->header, "descr");
    const char *text = json_string_value(descr);
    if (descr == NULL || !(json_is_string(descr) || json_is_array(descr)))
        return wrong(file, "the header has no descr that is a string");
    if (text == NULL)
        return infl_fail(INFL_E_UNSUPPORTED, "its numbers are of a structured type; expected one number each (%s)",
                         file->path);
    static const struct {
        const char *name;
        infl_npy_kind kind;
        size_t size;
    } types[] = {{"f4", INFL_NPY_FLOAT, 4},    {"f8", INFL_NPY_FLOAT, 8},    {"b1", INFL_NPY_BOOL, 1},
                 {"i1", INFL_NPY_SIGNED, 1},   {"i2", INFL_NPY_SIGNED, 2},   {"i4", INFL_NPY_SIGNED, 4},
                 {"i8", INFL_NPY_SIGNED, 8},   {"u1", INFL_NPY_UNSIGNED, 1}, {"u2", INFL_NPY_UNSIGNED, 2},
                 {"u4", INFL_NPY_UNSIGNED, 4}, {"u8", INFL_NPY_UNSIGNED, 8}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (text[0] != '\0' && strcmp(text + 1, types[i].name) == 0 &&
            (text[0] == '<' || text[0] == '>' || (text[0] == '|' && types[i].size == 1))) {
            array->descr = text;
            array->kind = types[i].kind;
            array->size = types[i].size;
            file->big_endian = text[0] == '>';
            return INFL_OK;
        }
    return infl_fail(INFL_E_UNSUPPORTED,
                     "its descr is \"%.40s\"; expected f4, f8, i1 to i8, u1 to u8 or b1 after < or > (or | for one "
                     "byte) (%s)",
                     text, file->path);
}

static infl_status read_shape(infl_npy *file) {
    infl_npy_array *array = &file->array;
    const json_t *shape = json_object_get(file->header, "shape"),
                 *order = json_object_get(file->header, "fortran_order");
    if (!json_is_array(shape))
        return wrong(file, "the header has no shape that is a tuple");
    if (!json_is_boolean(order))
        return wrong(file, "the header has no fortran_order that is True or False");
    array->n_dims = json_array_size(shape);
    INFL_ALLOCATE(file->dims, array->n_dims);
    array->dims = file->dims;
    array->length = 1;
    int empty = 0;
    size_t product = array->size; /* of the dimensions but for those that are 0, in bytes */
    for (size_t i = 0; i < array->n_dims; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0 || (uintmax_t)json_integer_value(dim) > SIZE_MAX)
            return wrong(file, "dimension %zu of the shape is not a whole number from 0 on", i);
        file->dims[i] = (size_t)json_integer_value(dim);
        empty = empty || file->dims[i] == 0;
        if (file->dims[i] != 0 && product > SIZE_MAX / file->dims[i])
            return wrong(file, "its shape has more numbers than can be addressed");
        product *= file->dims[i] != 0 ? file->dims[i] : 1;
    }
    array->length = empty ? 0 : product / array->size;
    array->columns_first = json_is_true(order) && array->n_dims >= 2;
    if (array->columns_first && array->n_dims > 2)
        return infl_fail(INFL_E_UNSUPPORTED,
                         "the array has %zu dimensions in Fortran's order; expected C's order, or two dimensions (%s)",
                         array->n_dims, file->path);
    return INFL_OK;
}

static infl_status check_header(infl_npy *file, size_t bytes) {
    char shape[INFL_NPY_SHAPE_TEXT];
    if (!json_is_object(file->header))
        return wrong(file, "the header is not a dictionary");
    INFL_TRY(read_type(file));
    INFL_TRY(read_shape(file));
    if (json_object_size(file->header) != 3)
        return wrong(file, "the header has %zu entries; expected descr, fortran_order and shape alone",
                     json_object_size(file->header));
    file->left = file->array.length * file->array.size;
    if (bytes != file->left)
        return wrong(file, "the file has %zu bytes after its header; %s numbers of %s take %zu", bytes,
                     infl_npy_shape_text(&file->array, shape), file->array.descr, file->left);
    return INFL_OK;
}

infl_status infl_npy_open(infl_npy **out, const char *path, infl_hash *hash) {
    infl_npy *file;
    size_t size = 0;
    INFL_ALLOCATE(file, 1);
    infl_status status = INFL_OK;
    file->hash = hash;
    INFL_ALLOCATE_OR_OUT(file->path, strlen(path) + 1);
    strcpy(file->path, path);
    INFL_ALLOCATE_OR_OUT(file->block, BLOCK);
    if ((status = infl_file_open(&file->stream, &size, path)) != INFL_OK ||
        (status = read_header(file, &size)) != INFL_OK || (status = check_header(file, size)) != INFL_OK)
        goto out;
    *out = file;
    file = NULL;
out:
    infl_npy_close(file);
    return status;
}

void infl_npy_close(infl_npy *file) {
    if (file == NULL)
        return;
    if (file->stream != NULL)
        fclose(file->stream);
    json_decref(file->header);
    infl_release(file->dims);
    infl_release(file->block);
    infl_release(file->path);
    infl_release(file);
}

const infl_npy_array *infl_npy_describe(const infl_npy *file) { return &file->array; }

const char *infl_npy_shape_text(const infl_npy_array *array, char text[INFL_NPY_SHAPE_TEXT]) {
    size_t at = 1;
    strcpy(text, "(");
    for (size_t i = 0; i < array->n_dims && at < INFL_NPY_SHAPE_TEXT; i++)
        at += (size_t)snprintf(text + at, INFL_NPY_SHAPE_TEXT - at, i == 0 ? "%zu" : ", %zu", array->dims[i]);
    if (at < INFL_NPY_SHAPE_TEXT)
        snprintf(text + at, INFL_NPY_SHAPE_TEXT - at, array->n_dims == 1 ? ",)" : ")");
    return text;
}

static double decode(infl_npy_kind kind, const unsigned char *bytes, size_t size, int big_endian) {
    unsigned char turned[8];
    for (size_t i = 0; i < size && big_endian; i++)
        turned[i] = bytes[size - 1 - i];
    uint64_t bits = infl_get_number(big_endian ? turned : bytes, size);
    if (kind == INFL_NPY_FLOAT && size == 4) {
        uint32_t low = (uint32_t)bits;
        float single;
        memcpy(&single, &low, sizeof single);
        return single;
    }
    if (kind == INFL_NPY_FLOAT) {
        double number;
        memcpy(&number, &bits, sizeof number);
        return number;
    }
    if (kind == INFL_NPY_BOOL)
        return bits != 0;
    if (kind == INFL_NPY_SIGNED && bits >> (8 * size - 1) != 0) {
        uint64_t all = size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
        return -(double)(all - bits + 1); /* two's complement; rounded once */
    }
    return (double)bits;
}

infl_status infl_npy_read(infl_npy *file, size_t n, double *out) {
    size_t size = file->array.size, numbers = BLOCK / size;
    if (n > file->left / size)
        return wrong(file, "%zu more numbers are asked for; there are %zu", n, file->left / size);
    for (size_t first = 0; first < n; first += numbers) {
        size_t now = n - first < numbers ? n - first : numbers;
        INFL_TRY(read_bytes(file, file->block, now * size));
        file->left -= now * size;
        for (size_t i = 0; i < now; i++)
            out[first + i] = decode(file->array.kind, file->block + i * size, size, file->big_endian);
    }
    return INFL_OK;
}

size_t infl_npy_place(const infl_npy_array *array, size_t k) {
    if (!array->columns_first)
        return k;
    size_t rows = array->dims[0], columns = array->dims[1];
    return k % rows * columns + k / rows;
}

static infl_status write_bytes(infl_new_file *file, const void *bytes, size_t n, infl_hash *hash) {
    if (hash != NULL)
        infl_hash_raw(hash, bytes, n);
    return infl_new_file_write(file, bytes, n);
}

/* As NumPy writes it itself, to the byte. */
static infl_status write_header(infl_new_file *file, infl_precision precision, size_t rows, size_t columns,
                                infl_hash *hash) {
    char header[4 * ALIGNED], shape[64];
    unsigned char *const prefix = (unsigned char *)header;
    if (columns == 0)
        snprintf(shape, sizeof shape, "(%zu,)", rows);
    else
        snprintf(shape, sizeof shape, "(%zu, %zu)", rows, columns);
    size_t before = MAGIC + 4, length;
    memset(header, ' ', sizeof header);
    memcpy(prefix, magic, MAGIC);
    prefix[MAGIC] = 1;
    prefix[MAGIC + 1] = 0;
    length = before + (size_t)snprintf(header + before, sizeof header - before,
                                       "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                                       precision == INFL_F32 ? "<f4" : "<f8", shape);
    header[length] = ' ';
    size_t whole = (length + 1 + ALIGNED - 1) / ALIGNED * ALIGNED;
    header[whole - 1] = '\n';
    infl_put_number(prefix + MAGIC + 2, whole - before, 2);
    return write_bytes(file, header, whole, hash);
}

infl_status infl_npy_write(infl_new_file *file, infl_precision precision, size_t rows, size_t columns,
                           const double *numbers, infl_hash *hash) {
    size_t size = precision == INFL_F32 ? 4 : 8, block = BLOCK / 8, n = columns == 0 ? rows : rows * columns;
    unsigned char *bytes = NULL;
    float *singles = NULL;
    infl_status status = INFL_OK;
    INFL_ALLOCATE_OR_OUT(bytes, BLOCK);
    INFL_ALLOCATE_OR_OUT(singles, block);
    if ((status = write_header(file, precision, rows, columns, hash)) != INFL_OK)
        goto out;
    for (size_t first = 0; first < n; first += block) {
        size_t now = n - first < block ? n - first : block;
        for (size_t i = 0; i < now && size == 4; i++) {
            singles[i] = (float)numbers[first + i];
            if (!isfinite(singles[i])) {
                status = infl_fail(INFL_E_NONFINITE, "number %zu, %g, is too large for f4 (%s)", first + i,
                                   numbers[first + i], file->path);
                goto out;
            }
        }
        infl_put_numbers(bytes, size == 4 ? (const void *)singles : numbers + first, now, size);
        if ((status = write_bytes(file, bytes, now * size, hash)) != INFL_OK)
            goto out;
    }
out:
    infl_release(bytes);
    infl_release(singles);
    return status;
}

#include "dataset.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "memory.h"

enum { BUFFER_SIZE = 1 << 16 };

typedef struct csv_field {
    size_t start; /* in the record's text */
    size_t line;
} csv_field;

/* The file, and its present record: a line, or several where a quoted field has line ends in it. */
typedef struct csv_reader {
    FILE *file;
    const char *path;
    unsigned char delimiter;
    unsigned char *buffer;
    size_t position, filled;
    int after_return; /* the byte before was a carriage return: a line feed now belongs to it */
    int read_error;   /* errno of a failed read */
    size_t line;      /* of the byte to come, from 1 */
    char *text;       /* the fields, each with a NUL behind it */
    size_t text_length, text_capacity;
    csv_field *fields;
    size_t n_fields, fields_capacity;
} csv_reader;

typedef enum target_form { TARGET_UNKNOWN, TARGET_INDEX, TARGET_NAME } target_form;

/* What has been read so far. */
typedef struct csv_table {
    size_t n_columns, target_column, n_features, n_rows;
    unsigned char *skipped; /* of each column */
    void *features;         /* of the precision asked for */
    size_t features_capacity;
    double *targets;
    size_t targets_capacity;
    int32_t *labels;
    size_t labels_capacity;
    int32_t largest_label;
    size_t largest_line; /* where it first stands */
    target_form form;
    char **names; /* in the order of their first appearance */
    size_t n_names, names_capacity;
    size_t *slots; /* hash table of the names: 1 + index, or 0 */
    size_t n_slots;
} csv_table;

typedef enum number_form { NOT_A_NUMBER, NUMBER, NONFINITE } number_form;

/* An error at a place in the file: line and column (which field), both counted from 1. */
#if defined(__GNUC__)
__attribute__((format(printf, 5, 6), cold))
#endif
static infl_status
fail_at(const csv_reader *reader, infl_status status, size_t line, size_t column, const char *format, ...) {
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return infl_fail(status, "infl_dataset_from_csv: line %zu, column %zu: %s (%s)", line, column, what, reader->path);
}

static infl_status fail_io(const csv_reader *reader, const char *verb, int error) {
    char reason[INFL_ERRNO_BYTES];
    return infl_fail(infl_errno_status(error), "infl_dataset_from_csv: the file cannot be %s: %s (%s)", verb,
                     infl_errno_text(error, reason), reader->path);
}

typedef struct delimiter_name {
    char text[24];
} delimiter_name;

static delimiter_name name_delimiter(const csv_reader *reader) {
    delimiter_name name = {"a tab"};
    if (reader->delimiter > ' ' && reader->delimiter < 127)
        snprintf(name.text, sizeof name.text, "'%c'", reader->delimiter);
    else if (reader->delimiter == ' ')
        strcpy(name.text, "a space");
    else if (reader->delimiter != '\t')
        snprintf(name.text, sizeof name.text, "character %d", reader->delimiter);
    return name;
}

/* The array, moved where it must grow to hold `needed` elements, of which `used` are kept; NULL: no memory for that. */
static void *grow(void *array, size_t *capacity, size_t used, size_t needed, size_t size) {
    if (needed <= *capacity)
        return array;
    size_t larger = needed > 2 * *capacity ? needed : 2 * *capacity;
    if (larger < 64)
        larger = 64;
    void *grown = infl_allocate(larger, size);
    if (grown == NULL)
        return NULL;
    if (used != 0)
        memcpy(grown, array, used * size);
    infl_release(array);
    *capacity = larger;
    return grown;
}

#define GROW(array, capacity, used, needed)                                                                            \
    do {                                                                                                               \
        void *grown_ = grow((array), &(capacity), (used), (needed), sizeof *(array));                                  \
        if (grown_ == NULL)                                                                                            \
            return INFL_E_MEMORY;                                                                                      \
        (array) = grown_;                                                                                              \
    } while (0)

/* The next byte without regard to line ends, or EOF; a failed read is EOF with read_error set. */
static int next_raw(csv_reader *reader) {
    if (reader->position == reader->filled) {
        if (reader->read_error != 0)
            return EOF;
        reader->position = 0;
        reader->filled = fread(reader->buffer, 1, BUFFER_SIZE, reader->file);
        if (ferror(reader->file))
            reader->read_error = errno != 0 ? errno : EIO;
        if (reader->filled == 0)
            return EOF;
    }
    return reader->buffer[reader->position++];
}

/* The next byte, every line end (CR LF, LF or CR) being one '\n', or EOF. */
static int next_byte(csv_reader *reader) {
    int byte = next_raw(reader);
    if (byte == '\n' && reader->after_return)
        byte = next_raw(reader);
    reader->after_return = byte == '\r';
    if (byte == '\r')
        byte = '\n';
    if (byte == '\n')
        reader->line++;
    return byte;
}

static void skip_byte_order_mark(csv_reader *reader) {
    if (next_raw(reader) == EOF)
        return;
    reader->position = 0;
    if (reader->filled >= 3 && memcmp(reader->buffer, "\xEF\xBB\xBF", 3) == 0)
        reader->position = 3;
}

static infl_status append(csv_reader *reader, char byte) {
    GROW(reader->text, reader->text_capacity, reader->text_length, reader->text_length + 1);
    reader->text[reader->text_length++] = byte;
    return INFL_OK;
}

/* Reads one field and the byte that ends it: the delimiter, '\n' or EOF. */
static infl_status read_field(csv_reader *reader, int *terminator, int *quoted) {
    GROW(reader->fields, reader->fields_capacity, reader->n_fields, reader->n_fields + 1);
    csv_field *field = &reader->fields[reader->n_fields++];
    field->start = reader->text_length;
    field->line = reader->line;
    size_t column = reader->n_fields, line = reader->line;
    int byte = next_byte(reader);
    *quoted = byte == '"';
    if (*quoted) {
        for (;;) {
            line = reader->line;
            byte = next_byte(reader);
            if (byte == '"' && (byte = next_byte(reader)) != '"')
                break;
            if (byte == EOF) {
                if (reader->read_error != 0)
                    return fail_io(reader, "read", reader->read_error);
                return fail_at(reader, INFL_E_FORMAT, field->line, column, "the quote is never closed");
            }
            if (byte == '\0')
                return fail_at(reader, INFL_E_FORMAT, line, column, "there is a NUL byte");
            INFL_TRY(append(reader, (char)byte));
        }
        if (byte != reader->delimiter && byte != '\n' && byte != EOF)
            return fail_at(reader, INFL_E_FORMAT, line, column, "something stands behind the closing quote");
    } else {
        for (; byte != reader->delimiter && byte != '\n' && byte != EOF; byte = next_byte(reader)) {
            if (byte == '"')
                return fail_at(reader, INFL_E_FORMAT, line, column, "a quote stands inside a field that is not quoted");
            if (byte == '\0')
                return fail_at(reader, INFL_E_FORMAT, line, column, "there is a NUL byte");
            INFL_TRY(append(reader, (char)byte));
        }
    }
    if (byte == EOF && reader->read_error != 0)
        return fail_io(reader, "read", reader->read_error);
    *terminator = byte;
    return append(reader, '\0');
}

static int is_empty(const char *text) { return text[strspn(text, " \t")] == '\0'; }

/* Reads the next record that is not a blank line; *found = 0 at the end of the file. */
static infl_status read_record(csv_reader *reader, int *found) {
    int terminator = EOF, quoted = 0;
    do {
        reader->n_fields = reader->text_length = 0;
        do
            INFL_TRY(read_field(reader, &terminator, &quoted));
        while (terminator == reader->delimiter);
        *found = reader->n_fields > 1 || quoted || !is_empty(reader->text);
    } while (!*found && terminator != EOF);
    return INFL_OK;
}

static const char *skip_digits(const char *text) { return text + strspn(text, "0123456789"); }

/*
 * A decimal number, blanks around it allowed. The grammar is checked here, as strtod would also take hexadecimal
 * numbers and leave trailing text; the "C" locale is in force, so strtod knows no other decimal point.
 */
static number_form read_number(const char *text, double *value) {
    text += strspn(text, " \t");
    const char *unsigned_text = text + (*text == '+' || *text == '-');
    if (strncasecmp(unsigned_text, "nan", 3) == 0 || strncasecmp(unsigned_text, "inf", 3) == 0) {
        const char *rest = unsigned_text + (strncasecmp(unsigned_text, "infinity", 8) == 0 ? 8 : 3);
        return *rest == '(' || is_empty(rest) ? NONFINITE : NOT_A_NUMBER;
    }
    const char *end = skip_digits(unsigned_text);
    size_t digits = (size_t)(end - unsigned_text);
    if (*end == '.') {
        const char *fraction = end + 1;
        end = skip_digits(fraction);
        digits += (size_t)(end - fraction);
    }
    if (digits == 0)
        return NOT_A_NUMBER;
    if (*end == 'e' || *end == 'E') {
        const char *exponent = end + 1 + (end[1] == '+' || end[1] == '-');
        end = skip_digits(exponent);
        if (end == exponent)
            return NOT_A_NUMBER;
    }
    if (!is_empty(end))
        return NOT_A_NUMBER;
    *value = strtod(text, NULL);
    return isfinite(*value) ? NUMBER : NONFINITE;
}

static char *field_text(const csv_reader *reader, size_t column) { return reader->text + reader->fields[column].start; }

static infl_status require_number(const csv_reader *reader, const csv_table *table, size_t column, double *value) {
    const char *text = field_text(reader, column);
    size_t line = reader->fields[column].line;
    switch (read_number(text, value)) {
    case NUMBER:
        return INFL_OK;
    case NONFINITE:
        return fail_at(reader, INFL_E_NONFINITE, line, column + 1, "'%.40s' is not a finite number", text);
    default:
        if (is_empty(text))
            return fail_at(reader, INFL_E_FORMAT, line, column + 1, "the field is empty; expected a number");
        return fail_at(reader, INFL_E_FORMAT, line, column + 1,
                       "'%.40s' is not a number (the target is column %zu%s; see target_column and skip_columns)", text,
                       table->target_column + 1, table->target_column + 1 == table->n_columns ? ", the last" : "");
    }
}

/* Where the name stands in the hash table, or where it would be put. */
static size_t find_slot(const csv_table *table, const char *name) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t slot = (size_t)(hash ^ hash >> 32) & (table->n_slots - 1);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a slot in use has a name */
    while (table->slots[slot] != 0 && strcmp(table->names[table->slots[slot] - 1], name) != 0)
        slot = (slot + 1) & (table->n_slots - 1);
    return slot;
}

/* The index of the name, which gets the next one where it is new. */
static infl_status find_name(csv_table *table, const char *name, size_t *index) {
    if (2 * (table->n_names + 1) > table->n_slots) {
        size_t larger = table->n_slots == 0 ? 64 : 2 * table->n_slots, *slots;
        INFL_ALLOCATE(slots, larger);
        infl_release(table->slots);
        table->slots = slots;
        table->n_slots = larger;
        for (size_t i = 0; i < table->n_names; i++)
            table->slots[find_slot(table, table->names[i])] = i + 1;
    }
    size_t slot = find_slot(table, name);
    if (table->slots[slot] == 0) {
        GROW(table->names, table->names_capacity, table->n_names, table->n_names + 1);
        char *copy;
        INFL_ALLOCATE(copy, strlen(name) + 1);
        strcpy(copy, name);
        table->names[table->n_names++] = copy;
        table->slots[slot] = table->n_names;
    }
    *index = table->slots[slot] - 1;
    return INFL_OK;
}

/* The index of a name that must be there already. */
static infl_status find_known_name(const csv_reader *reader, const csv_table *table, const char *name, size_t *index) {
    enum { ELLIPSIS = 6 };
    size_t slot = find_slot(table, name), length = 0;
    if (table->slots[slot] != 0) {
        *index = table->slots[slot] - 1;
        return INFL_OK;
    }
    char known[128];
    for (size_t i = 0; i < table->n_names; i++) {
        size_t room = sizeof known - ELLIPSIS - length;
        int written = snprintf(known + length, room, "%s'%s'", i == 0 ? "" : ", ", table->names[i]);
        if (written < 0 || (size_t)written >= room) {
            strcpy(known + length, i == 0 ? "..." : ", ...");
            break;
        }
        length += (size_t)written;
    }
    return fail_at(reader, INFL_E_FORMAT, reader->fields[table->target_column].line, table->target_column + 1,
                   "'%.40s' is none of the classes that options->classes has: %s", name, known);
}

static char *trim(char *text) {
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    text[length] = '\0';
    return text;
}

/* The class of the present record; the first record decides whether classes are indices or names. */
static infl_status read_class(const csv_reader *reader, csv_table *table, const infl_csv_options *options,
                              int32_t *label) {
    static const char *const forms[] = {"", "a class index", "a class name"};
    size_t n_classes = options->n_classes;
    size_t column = table->target_column + 1, line = reader->fields[table->target_column].line;
    size_t index = 0;
    const char *text = trim(field_text(reader, table->target_column));
    double value = 0.0;
    number_form number = read_number(text, &value);
    if (number == NONFINITE)
        return fail_at(reader, INFL_E_NONFINITE, line, column, "'%.40s' is neither a class index nor a name", text);
    if (is_empty(text))
        return fail_at(reader, INFL_E_FORMAT, line, column, "the field is empty; expected a class");
    target_form form = number == NUMBER ? TARGET_INDEX : TARGET_NAME;
    if (table->form == TARGET_UNKNOWN)
        table->form = form;
    if (table->form != form)
        return fail_at(reader, INFL_E_FORMAT, line, column, "'%.40s' is %s, but %s %s there", text, forms[form],
                       options->classes != NULL ? "options->classes asks for" : "the lines before have",
                       forms[table->form]);
    if (form == TARGET_NAME && options->classes != NULL)
        INFL_TRY(find_known_name(reader, table, text, &index));
    else if (form == TARGET_NAME)
        INFL_TRY(find_name(table, text, &index));
    else if (value < 0.0 || value != floor(value) || value > INT32_MAX)
        return fail_at(reader, INFL_E_FORMAT, line, column,
                       "'%.40s' is not a class index, a whole number from 0 "
                       "(INFL_TARGET_REAL, or another target_column?)",
                       text);
    else
        index = (size_t)value;
    if (n_classes != 0 && index >= n_classes)
        return fail_at(reader, INFL_E_FORMAT, line, column, "'%.40s' would be class %zu, but %s %zu", text, index,
                       options->classes != NULL ? "the number of classes in options->classes is" : "n_classes is",
                       n_classes);
    *label = (int32_t)index;
    if (*label > table->largest_label || table->largest_line == 0) {
        table->largest_label = *label;
        table->largest_line = line;
    }
    return INFL_OK;
}

static infl_status store_record(const csv_reader *reader, csv_table *table, const infl_csv_options *options) {
    size_t row = table->n_rows, n_features = table->n_features, used = row * n_features;
    size_t last_line = reader->fields[reader->n_fields - 1].line;
    if (reader->n_fields < table->n_columns)
        return fail_at(reader, INFL_E_FORMAT, last_line, reader->n_fields + 1,
                       "the field is missing; expected %zu fields as in the first line, found %zu (the delimiter is "
                       "%s)",
                       table->n_columns, reader->n_fields, name_delimiter(reader).text);
    if (reader->n_fields > table->n_columns)
        return fail_at(reader, INFL_E_FORMAT, reader->fields[table->n_columns].line, table->n_columns + 1,
                       "one field too many; expected %zu fields as in the first line, found %zu", table->n_columns,
                       reader->n_fields);
    size_t size = options->precision == INFL_F32 ? sizeof(float) : sizeof(double);
    void *features = grow(table->features, &table->features_capacity, used, used + n_features, size);
    if (features == NULL)
        return INFL_E_MEMORY;
    table->features = features;
    for (size_t column = 0, next = used; column < table->n_columns; column++) {
        if (column == table->target_column || table->skipped[column])
            continue;
        double value = 0;
        INFL_TRY(require_number(reader, table, column, &value));
        if (options->precision == INFL_F32) {
            ((float *)features)[next] = (float)value;
            if (!isfinite(((float *)features)[next]))
                return fail_at(reader, INFL_E_NONFINITE, reader->fields[column].line, column + 1,
                               "'%.40s' is too large for single precision", field_text(reader, column));
        } else {
            ((double *)features)[next] = value;
        }
        next++;
    }
    if (options->target == INFL_TARGET_REAL) {
        GROW(table->targets, table->targets_capacity, row, row + 1);
        INFL_TRY(require_number(reader, table, table->target_column, &table->targets[row]));
    } else {
        GROW(table->labels, table->labels_capacity, row, row + 1);
        INFL_TRY(read_class(reader, table, options, &table->labels[row]));
    }
    table->n_rows++;
    return INFL_OK;
}

static infl_status read_skipped(const csv_reader *reader, csv_table *table, const infl_csv_options *options) {
    INFL_ALLOCATE(table->skipped, table->n_columns);
    table->n_features = table->n_columns - 1;
    for (size_t i = 0; i < options->n_skip_columns; i++) {
        int given = options->skip_columns[i];
        size_t column = given < 0 ? table->n_columns - 1 : (size_t)given;
        if (column >= table->n_columns)
            return infl_fail(INFL_E_ARGUMENT,
                             "infl_dataset_from_csv: skip_columns[%zu] is %d; expected less than the "
                             "%zu columns of the file (%s)",
                             i, given, table->n_columns, reader->path);
        if (column == table->target_column)
            return infl_fail(INFL_E_ARGUMENT,
                             "infl_dataset_from_csv: skip_columns[%zu] is %d, which is the target "
                             "column (%s)",
                             i, given, reader->path);
        table->n_features -= !table->skipped[column]; /* a column named twice is left out once */
        table->skipped[column] = 1;
    }
    if (table->n_features == 0)
        return infl_fail(INFL_E_ARGUMENT,
                         "infl_dataset_from_csv: skip_columns leaves no feature of the %zu columns of "
                         "the file (%s)",
                         table->n_columns, reader->path);
    return INFL_OK;
}

/* Whether the first record is a header; and the number of columns, which is the target, and which are left out. */
static infl_status read_shape(const csv_reader *reader, csv_table *table, const infl_csv_options *options,
                              int *header) {
    table->n_columns = reader->n_fields;
    if (table->n_columns < 2)
        return fail_at(reader, INFL_E_FORMAT, reader->fields[0].line, 2,
                       "the field is missing; expected a feature and a target at least (the delimiter is %s)",
                       name_delimiter(reader).text);
    table->target_column = options->target_column < 0 ? table->n_columns - 1 : (size_t)options->target_column;
    if (table->target_column >= table->n_columns)
        return infl_fail(INFL_E_ARGUMENT,
                         "infl_dataset_from_csv: target_column is %zu; expected less than the %zu "
                         "columns of the file (%s)",
                         table->target_column, table->n_columns, reader->path);
    INFL_TRY(read_skipped(reader, table, options));
    *header = options->header == 1;
    for (size_t column = 0; options->header < 0 && column < table->n_columns; column++) {
        double value;
        if (column != table->target_column && !table->skipped[column] &&
            read_number(field_text(reader, column), &value) == NOT_A_NUMBER)
            *header = 1;
    }
    return INFL_OK;
}

/* The classes of another dataset are known before the first record. */
static infl_status take_classes(csv_table *table, const infl_dataset *classes) {
    const char *name;
    size_t index;
    table->form = infl_dataset_class_name(classes, 0) != NULL ? TARGET_NAME : TARGET_INDEX;
    for (size_t c = 0; (name = infl_dataset_class_name(classes, c)) != NULL; c++)
        INFL_TRY(find_name(table, name, &index));
    return INFL_OK;
}

/* Where nobody said how many classes there are, one without a row is more likely a mistake: labels from 1, say. */
static infl_status check_every_class(const csv_reader *reader, const csv_table *table) {
    size_t empty, n_classes = (size_t)table->largest_label + 1;
    INFL_TRY(infl_dataset_empty_class(&empty, table->labels, table->n_rows, n_classes));
    if (empty < n_classes)
        return fail_at(reader, INFL_E_FORMAT, table->largest_line, table->target_column + 1,
                       "the largest class is %ld, but no row has class %zu of %zu; set n_classes if that is meant, or "
                       "INFL_TARGET_REAL",
                       (long)table->largest_label, empty, n_classes);
    return INFL_OK;
}

static infl_status read_table(csv_reader *reader, csv_table *table, const infl_csv_options *options) {
    int found, header = 0;
    skip_byte_order_mark(reader);
    INFL_TRY(read_record(reader, &found));
    if (found) {
        INFL_TRY(read_shape(reader, table, options, &header));
        if (header)
            INFL_TRY(read_record(reader, &found));
    }
    while (found) {
        INFL_TRY(store_record(reader, table, options));
        INFL_TRY(read_record(reader, &found));
    }
    if (table->n_rows == 0)
        return infl_fail(INFL_E_FORMAT,
                         "infl_dataset_from_csv: the file has no rows: it ends in line %zu, column 1 "
                         "(%s)",
                         reader->line, reader->path);
    if (table->form == TARGET_INDEX && options->n_classes == 0)
        INFL_TRY(check_every_class(reader, table));
    return INFL_OK;
}

static infl_status create_from_table(infl_dataset **out, const csv_table *table, const infl_csv_options *options) {
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = table->n_rows;
    spec.n_features = table->n_features;
    if (options->precision == INFL_F32)
        spec.features_f32 = table->features;
    else
        spec.features = table->features;
    spec.labels = table->labels;
    spec.n_classes = options->n_classes;
    spec.targets = table->targets;
    spec.n_targets = 1;
    infl_dataset *dataset;
    INFL_TRY(infl_dataset_create(&dataset, &spec));
    infl_status status = INFL_OK;
    if (table->n_names != 0)
        status = infl_dataset_name_classes(dataset, (const char *const *)table->names, table->n_names);
    if (status == INFL_OK)
        *out = dataset;
    else
        infl_dataset_destroy(dataset);
    return status;
}

static infl_status check_options(const infl_csv_options *options) {
    if (options->delimiter == '\0' || strchr("\"\r\n+-.0123456789eE", options->delimiter) != NULL)
        return infl_fail(INFL_E_ARGUMENT,
                         "infl_dataset_from_csv: delimiter is character %d; expected one that is no "
                         "part of a number, quote or line end",
                         options->delimiter);
    if (options->header < -1 || options->header > 1)
        return infl_fail(INFL_E_ARGUMENT, "infl_dataset_from_csv: header is %d; expected -1, 0 or 1", options->header);
    if (options->target_column < -1)
        return infl_fail(INFL_E_ARGUMENT, "infl_dataset_from_csv: target_column is %d; expected a column from 0, or -1",
                         options->target_column);
    if (options->target != INFL_TARGET_CLASS && options->target != INFL_TARGET_REAL)
        return infl_fail(INFL_E_ARGUMENT,
                         "infl_dataset_from_csv: target is %d; expected INFL_TARGET_CLASS or "
                         "INFL_TARGET_REAL",
                         (int)options->target);
    if (options->precision != INFL_F32 && options->precision != INFL_F64)
        return infl_fail(INFL_E_ARGUMENT, "infl_dataset_from_csv: precision is %d; expected INFL_F32 or INFL_F64",
                         (int)options->precision);
    if (options->n_skip_columns != 0 && options->skip_columns == NULL)
        return infl_fail(INFL_E_ARGUMENT, "infl_dataset_from_csv: skip_columns is NULL, but n_skip_columns is %zu",
                         options->n_skip_columns);
    for (size_t i = 0; i < options->n_skip_columns; i++)
        if (options->skip_columns[i] < -1)
            return infl_fail(INFL_E_ARGUMENT,
                             "infl_dataset_from_csv: skip_columns[%zu] is %d; expected a column from "
                             "0, or -1",
                             i, options->skip_columns[i]);
    if (options->classes == NULL)
        return INFL_OK;
    if (options->target != INFL_TARGET_CLASS || infl_dataset_target_kind(options->classes) != INFL_TARGET_CLASS)
        return infl_fail(INFL_E_ARGUMENT,
                         "infl_dataset_from_csv: classes is given, but %s real numbers; expected "
                         "classes",
                         options->target != INFL_TARGET_CLASS ? "target asks for" : "its targets are");
    if (options->n_classes != 0 && options->n_classes != infl_dataset_targets(options->classes))
        return infl_fail(INFL_E_ARGUMENT,
                         "infl_dataset_from_csv: n_classes is %zu, but classes has %zu; expected 0 or "
                         "the same",
                         options->n_classes, infl_dataset_targets(options->classes));
    return INFL_OK;
}

infl_status infl_dataset_from_csv(infl_dataset **out, const char *path, const infl_csv_options *options) {
    INFL_REQUIRE(out);
    INFL_REQUIRE(path);
    infl_csv_options own = INFL_CSV_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&own, sizeof own, options, __func__, "options"));
    INFL_TRY(check_options(&own));
    infl_status status = INFL_OK;
    csv_table table = {0};
    csv_reader reader = {0};
    if (own.classes != NULL)
        own.n_classes = infl_dataset_targets(own.classes);
    reader.path = path;
    reader.delimiter = (unsigned char)own.delimiter;
    reader.line = 1;
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0)
        return infl_fail(INFL_E_MEMORY, "%s: there is no memory for the \"C\" locale", __func__);
    locale_t callers_locale = uselocale(c_locale);
    INFL_ALLOCATE_OR_OUT(reader.buffer, BUFFER_SIZE);
    reader.file = fopen(path, "rb");
    if (reader.file == NULL) {
        status = fail_io(&reader, "opened", errno);
        goto out;
    }
    if (own.classes != NULL && (status = take_classes(&table, own.classes)) != INFL_OK)
        goto out;
    if ((status = read_table(&reader, &table, &own)) != INFL_OK)
        goto out;
    status = create_from_table(out, &table, &own);
out:
    if (reader.file != NULL)
        fclose(reader.file);
    infl_release(reader.buffer);
    infl_release(reader.text);
    infl_release(reader.fields);
    infl_release(table.skipped);
    infl_release(table.features);
    infl_release(table.targets);
    infl_release(table.labels);
    for (size_t i = 0; i < table.n_names; i++)
        infl_release(table.names[i]);
    infl_release(table.names);
    infl_release(table.slots);
    uselocale(callers_locale);
    freelocale(c_locale);
    return infl_in_name_of(__func__, status);
}

/* Names and types of the code that is compiled once for each precision and instruction set. */
#ifndef INFL_REAL_H
#define INFL_REAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(INFL_REAL_F32)
typedef float real;
typedef uint32_t real_bits;
#define INFL_REAL_BYTES 4
#define INFL_PRECISION_NAME f32
#elif defined(INFL_REAL_F64)
typedef double real;
typedef uint64_t real_bits;
#define INFL_REAL_BYTES 8
#define INFL_PRECISION_NAME f64
#else
#error "compile with INFL_REAL_F32 or INFL_REAL_F64"
#endif

#define INFL_PASTE_(a, b, c) infl_##a##_##b##_##c
#define INFL_PASTE(a, b, c) INFL_PASTE_(a, b, c)
/* infl_name_f32_avx2 and so on */
#define INFL_REAL(name) INFL_PASTE(name, INFL_PRECISION_NAME, INFL_ISA)

#if defined(__AVX512F__)
#define INFL_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define INFL_VECTOR_BYTES 32
#else
#define INFL_VECTOR_BYTES 16
#endif
enum { INFL_LANES = INFL_VECTOR_BYTES / sizeof(real) };

/* Rows of a chunk are padded to a multiple of this: whole vectors for every precision and instruction set. */
enum { INFL_ROW_PADDING = 16 };

/* lies over arrays of real */
typedef real vector __attribute__((vector_size(INFL_VECTOR_BYTES), may_alias));

/* The slots of an array: slot 0, and behind `tangents` the slots from 1 on. */
typedef struct infl_slots {
    real *value, *tangents;
} infl_slots;

/* Slot s of an array of so many numbers a slot. */
static inline real *infl_slot(infl_slots array, size_t s, size_t length) {
    return s == 0 ? array.value : array.tangents + (s - 1) * length;
}

static inline size_t infl_pad_rows(size_t rows) {
    return (rows + INFL_ROW_PADDING - 1) / INFL_ROW_PADDING * INFL_ROW_PADDING;
}

#endif

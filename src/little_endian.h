/* Numbers in files and hashes: little-endian, whatever the machine's order. */
#ifndef INFL_LITTLE_ENDIAN_H
#define INFL_LITTLE_ENDIAN_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The lowest `size` bytes of a number, size ≤ 8. */
static inline void infl_put_number(unsigned char *to, uint64_t number, size_t size) {
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)(number >> 8 * i);
}

static inline uint64_t infl_get_number(const unsigned char *from, size_t size) {
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number |= (uint64_t)from[i] << 8 * i;
    return number;
}

/* n numbers of the machine's, of 1, 4 or 8 bytes each, by their bits. */
static inline void infl_put_numbers(unsigned char *to, const void *numbers, size_t n, size_t size) {
    const unsigned char *from = numbers;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = 0;
        uint32_t half;
        if (size == sizeof bits) {
            memcpy(&bits, from + i * size, sizeof bits);
        } else if (size == sizeof half) {
            memcpy(&half, from + i * size, sizeof half);
            bits = half;
        } else {
            bits = from[i];
        }
        infl_put_number(to + i * size, bits, size);
    }
}

/* A number of IEEE 754's binary16 by its bits. */
static inline double infl_half(uint64_t bits) {
    int exponent = (int)(bits >> 10 & 31);
    double fraction = (double)(bits & 1023);
    double magnitude = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                       : exponent == 0 ? ldexp(fraction, -24)
                                       : ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 & 1 ? -magnitude : magnitude;
}

#endif

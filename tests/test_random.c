#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "random.h"
#include "suites.h"

START_TEST(known_answers) {
    /* Philox4x32-10 of the Random123 distribution; key: the seed, counter: index and stream, low words first */
    ck_assert(infl_random_bits(0, 0, 0) == 0xe169c58d6627e8d5u);
    ck_assert(infl_random_bits(UINT64_MAX, UINT64_MAX, UINT64_MAX) == 0x41c83b0e408f276du);
    ck_assert(infl_random_bits(0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u) == 0x94fdccebd16cfe09u);
    /* the other two words show in the normal numbers */
    static const struct {
        uint64_t seed, stream, index, first, second;
    } cases[] = {
        {0, 0, 0, 0xe169c58d6627e8d5u, 0x9b00dbd8bc57ac4cu},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, 0x41c83b0e408f276du, 0x6d5451fda20bc7c6u},
        {0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u, 0x94fdccebd16cfe09u, 0x24126ea15001e420u}};
    for (size_t i = 0; i < 3; i++) {
        double a = ldexp((double)cases[i].first, -64), b = ldexp((double)cases[i].second, -64);
        double expected = sqrt(-2.0 * log(a)) * cos(2.0 * acos(-1.0) * b);
        /* 52 of 64 bits are used: 2⁻⁵³ in each uniform number, a factor below 100 in the formula */
        ck_assert_double_eq_tol(infl_random_normal(cases[i].seed, cases[i].stream, cases[i].index), expected, 1e-13);
        ck_assert_double_eq_tol(infl_random_uniform(cases[i].seed, cases[i].stream, cases[i].index), a, 0x1p-52);
    }
}
END_TEST

START_TEST(order_of_draws) {
    enum { N = 257 };
    uint64_t forward[N];
    double normal[N];
    for (uint64_t i = 0; i < N; i++) {
        forward[i] = infl_random_bits(5, 9, i);
        normal[i] = infl_random_normal(5, 9, i);
    }
    for (uint64_t i = N; i-- > 0;) {
        infl_random_bits(5, 10, i); /* another stream draws in between */
        ck_assert(infl_random_normal(5, 9, i) == normal[i]);
        ck_assert(infl_random_bits(5, 9, i) == forward[i]);
    }
}
END_TEST

START_TEST(streams_differ) {
    /* every bit of seed, stream and index counts */
    uint64_t base = infl_random_bits(1, 2, 3);
    for (int bit = 0; bit < 64; bit++) {
        uint64_t flip = (uint64_t)1 << bit;
        ck_assert(infl_random_bits(1 ^ flip, 2, 3) != base);
        ck_assert(infl_random_bits(1, 2 ^ flip, 3) != base);
        ck_assert(infl_random_bits(1, 2, 3 ^ flip) != base);
    }
    ck_assert(infl_random_bits(1, 2, 3) != infl_random_bits(2, 1, 3));
    ck_assert(infl_random_bits(1, 2, 3) != infl_random_bits(1, 3, 2));
}
END_TEST

/* Moments of n independent numbers: each within five of its standard errors. */
START_TEST(moments) {
    enum { N = 100000 };
    double sum[2] = {0}, squares[2] = {0}, fourths = 0.0, thirds = 0.0, lag[2] = {0}, across = 0.0, last[2] = {0};
    for (uint64_t i = 0; i < N; i++) {
        double value[2] = {infl_random_uniform(11, 3, i), infl_random_normal(12, 3, i)};
        ck_assert(value[0] > 0.0 && value[0] < 1.0);
        value[0] = (value[0] - 0.5) * sqrt(12.0);
        across += value[1] * infl_random_normal(12, 4, i); /* neighbouring streams */
        for (int k = 0; k < 2; k++) {
            sum[k] += value[k];
            squares[k] += value[k] * value[k];
            lag[k] += value[k] * last[k];
            last[k] = value[k];
        }
        thirds += pow(value[1], 3);
        fourths += pow(value[1], 4);
    }
    double error = 1.0 / sqrt((double)N);
    for (int k = 0; k < 2; k++) {
        ck_assert_double_eq_tol(sum[k] / N, 0.0, 5.0 * error);
        ck_assert_double_eq_tol(squares[k] / N, 1.0, 5.0 * error * sqrt(k == 0 ? 0.8 : 2.0)); /* E v⁴ − 1 */
        ck_assert_double_eq_tol(lag[k] / N, 0.0, 5.0 * error);
    }
    ck_assert_double_eq_tol(across / N, 0.0, 5.0 * error);
    ck_assert_double_eq_tol(thirds / N, 0.0, 5.0 * error * sqrt(15.0));
    ck_assert_double_eq_tol(fourths / N, 3.0, 5.0 * error * sqrt(96.0));
}
END_TEST

START_TEST(below_is_unbiased) {
    enum { N = 30000 };
    for (uint64_t bound = 1; bound <= 12; bound++) {
        size_t counts[12] = {0};
        for (uint64_t i = 0; i < N; i++) {
            uint64_t drawn = infl_random_below(21, bound, i, bound);
            ck_assert(drawn < bound);
            counts[drawn]++;
        }
        double chi_squared = 0.0, expected = (double)N / (double)bound;
        for (size_t k = 0; k < bound; k++)
            chi_squared += ((double)counts[k] - expected) * ((double)counts[k] - expected) / expected;
        double freedom = (double)(bound - 1);
        ck_assert(chi_squared <= freedom + 5.0 * sqrt(2.0 * freedom));
    }
}
END_TEST

START_TEST(below_is_the_high_half) {
    /* floor(bits·bound/2⁶⁴) by schoolbook long multiplication, bit by bit */
    static const uint64_t bounds[] = {1, 2, 3, 10, 0xFFFFFFFFu, 0x100000000u, 0x100000001u, UINT64_MAX - 1, UINT64_MAX};
    for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++)
        for (uint64_t i = 0; i < 200; i++) {
            uint64_t bits = infl_random_bits(31, 1, i), high = 0, low = 0;
            for (int bit = 63; bit >= 0; bit--) {
                high = high << 1 | low >> 63;
                low <<= 1;
                if (bits >> bit & 1) {
                    low += bounds[b];
                    high += low < bounds[b];
                }
            }
            ck_assert(infl_random_below(31, 1, i, bounds[b]) == high);
        }
}
END_TEST

Suite *random_suite(void) {
    Suite *suite = suite_create("random");
    add_case(suite, "random/known-answers", known_answers, 1);
    add_case(suite, "random/order-of-draws", order_of_draws, 1);
    add_case(suite, "random/streams", streams_differ, 1);
    add_case(suite, "random/moments", moments, 1);
    add_case(suite, "random/below/unbiased", below_is_unbiased, 1);
    add_case(suite, "random/below/high-half", below_is_the_high_half, 1);
    return suite;
}

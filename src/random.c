#include "random.h"

#include <math.h>

static void philox(uint32_t counter[4], uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * counter[0], b = (uint64_t)0xCD9E8D57u * counter[2];
        uint32_t c0 = (uint32_t)(b >> 32) ^ counter[1] ^ key0, c2 = (uint32_t)(a >> 32) ^ counter[3] ^ key1;
        counter[0] = c0;
        counter[1] = (uint32_t)b;
        counter[2] = c2;
        counter[3] = (uint32_t)a;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

static void draw(uint64_t seed, uint64_t stream, uint64_t index, uint64_t out[2]) {
    uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
    philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32));
    out[0] = (uint64_t)counter[1] << 32 | counter[0];
    out[1] = (uint64_t)counter[3] << 32 | counter[2];
}

static double unit(uint64_t bits) { return ((double)(bits >> 12) + 0.5) * 0x1p-52; }

uint64_t infl_random_bits(uint64_t seed, uint64_t stream, uint64_t index) {
    uint64_t bits[2];
    draw(seed, stream, index, bits);
    return bits[0];
}

double infl_random_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
    return unit(infl_random_bits(seed, stream, index));
}

double infl_random_normal(uint64_t seed, uint64_t stream, uint64_t index) {
    /* Box & Muller: both uniforms from one draw */
    uint64_t bits[2];
    draw(seed, stream, index, bits);
    return sqrt(-2.0 * log(unit(bits[0]))) * cos(6.283185307179586476925286766559 * unit(bits[1]));
}

uint64_t infl_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t bound) {
    /* the high half of bits × bound, in 32-bit limbs */
    uint64_t bits = infl_random_bits(seed, stream, index);
    uint64_t low = (bits & 0xFFFFFFFFu) * (bound & 0xFFFFFFFFu);
    uint64_t middle1 = (bits >> 32) * (bound & 0xFFFFFFFFu) + (low >> 32);
    uint64_t middle2 = (bits & 0xFFFFFFFFu) * (bound >> 32) + (middle1 & 0xFFFFFFFFu);
    return (bits >> 32) * (bound >> 32) + (middle1 >> 32) + (middle2 >> 32);
}

void infl_random_choose(uint64_t seed, uint64_t stream, size_t n, size_t count, size_t *all) {
    for (size_t i = 0; i < n; i++)
        all[i] = i;
    for (size_t i = 0; i < count; i++) { /* Fisher & Yates, as far as needed */
        size_t other = i + (size_t)infl_random_below(seed, stream, i, n - i), drawn = all[other];
        all[other] = all[i];
        all[i] = drawn;
    }
}

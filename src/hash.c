#include "hash.h"

#include <string.h>
#include <xxhash.h>

#include "little_endian.h"
#include "memory.h"

enum { BLOCK = 512 }; /* numbers converted at once */

struct infl_hash {
    XXH3_state_t *state;
    unsigned char block[8 * BLOCK];
};

infl_status infl_hash_begin(infl_hash **out) {
    infl_hash *hash;
    INFL_ALLOCATE(hash, 1);
    hash->state = XXH3_createState();
    if (hash->state == NULL) {
        infl_release(hash);
        return infl_fail(INFL_E_MEMORY, "there is no memory for the state of a hash");
    }
    XXH3_128bits_reset(hash->state);
    *out = hash;
    return INFL_OK;
}

void infl_hash_release(infl_hash *hash) {
    if (hash == NULL)
        return;
    XXH3_freeState(hash->state);
    infl_release(hash);
}

void infl_hash_end(infl_hash *hash, uint64_t out[2]) {
    XXH128_hash_t digest = XXH3_128bits_digest(hash->state);
    out[0] = digest.low64;
    out[1] = digest.high64;
    infl_hash_release(hash);
}

/* What begins each piece. */
static void begin(infl_hash *hash, char type, uint64_t n) {
    unsigned char bytes[9] = {(unsigned char)type};
    infl_put_number(bytes + 1, n, 8);
    XXH3_128bits_update(hash->state, bytes, sizeof bytes);
}

void infl_hash_bytes(infl_hash *hash, const void *bytes, size_t n) {
    begin(hash, 'b', n);
    if (n > 0)
        XXH3_128bits_update(hash->state, bytes, n);
}

void infl_hash_raw(infl_hash *hash, const void *bytes, size_t n) { XXH3_128bits_update(hash->state, bytes, n); }

void infl_hash_string(infl_hash *hash, const char *string) { infl_hash_bytes(hash, string, strlen(string)); }

void infl_hash_number(infl_hash *hash, uint64_t number) { begin(hash, 'n', number); }

static void hash_numbers(infl_hash *hash, char type, const void *numbers, size_t n, size_t size) {
    begin(hash, type, n);
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t now = n - first < BLOCK ? n - first : BLOCK;
        infl_put_numbers(hash->block, (const char *)numbers + first * size, now, size);
        XXH3_128bits_update(hash->state, hash->block, now * size);
    }
}

void infl_hash_double(infl_hash *hash, double number) { infl_hash_doubles(hash, &number, 1); }

void infl_hash_doubles(infl_hash *hash, const double *numbers, size_t n) { hash_numbers(hash, 'd', numbers, n, 8); }

void infl_hash_floats(infl_hash *hash, const float *numbers, size_t n) { hash_numbers(hash, 'f', numbers, n, 4); }

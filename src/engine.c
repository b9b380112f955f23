/* Which of the engines that src/real was compiled into runs on this machine. */
#include "network.h"

#define DECLARE(isa) extern const infl_engine infl_engine_f32_##isa, infl_engine_f64_##isa;
DECLARE(base)
#if defined(INFL_HAVE_AVX2)
DECLARE(avx2)
#endif
#if defined(INFL_HAVE_AVX512)
DECLARE(avx512)
#endif

const infl_engine *infl_engine_select(infl_precision precision) {
    int f32 = precision == INFL_F32;
#if defined(INFL_HAVE_AVX512)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma"))
        return f32 ? &infl_engine_f32_avx512 : &infl_engine_f64_avx512;
#endif
#if defined(INFL_HAVE_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return f32 ? &infl_engine_f32_avx2 : &infl_engine_f64_avx2;
#endif
    return f32 ? &infl_engine_f32_base : &infl_engine_f64_base;
}

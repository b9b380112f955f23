/* OpenMP, or where the compiler has none one thread: pragmas are then without effect, and these stand in. */
#ifndef INFL_PARALLEL_H
#define INFL_PARALLEL_H

#ifdef _OPENMP
#include <omp.h>
#else

#pragma GCC diagnostic ignored "-Wunknown-pragmas"

static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
static inline void omp_set_num_threads(int threads) { (void)threads; }

typedef char omp_lock_t; /* of the threads of one parallel region, which is one */
static inline void omp_init_lock(omp_lock_t *lock) { *lock = 0; }
static inline void omp_destroy_lock(omp_lock_t *lock) { (void)lock; }
static inline void omp_set_lock(omp_lock_t *lock) { (void)lock; }
static inline void omp_unset_lock(omp_lock_t *lock) { (void)lock; }

#endif

#endif

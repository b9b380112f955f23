/* Dense results in files: of which objective they are, and whether they are what was written. */
#ifndef INFL_SAVED_H
#define INFL_SAVED_H

#include "identity.h"
#include "safetensors.h"

typedef enum infl_saved_content { INFL_SAVED_CURVATURE, INFL_SAVED_CHOLESKY, INFL_SAVED_EIGEN } infl_saved_content;

/* Of what kind of curvature: one of an objective (infl_curvature_kind), or of a matrix. */
enum { INFL_SAVED_MATRIX = INFL_FISHER + 1 };

enum { INFL_SAVED_ARRAYS = 2 };

typedef struct infl_saved {
    infl_saved_content content;
    int kind;
    double damping;           /* the arrays are of C + this·I */
    int passes;               /* the infl_precision of the passes that they come from; −1: the file does not say */
    infl_eigen_policy policy; /* of EIGEN, with its cutoff */
    double cutoff;
    size_t n, p; /* rows (of a matrix: 0), parameters */
    infl_identity identity;
    uint64_t arrays[INFL_SAVED_ARRAYS][2]; /* the hash of each; infl_saved_write's */
} infl_saved;

/* The arrays, in f64 and named by the content: "matrix" (p×p); "factor" (p×p); "values" (p) and "vectors" (p×p). */
infl_status infl_saved_write(const char *path, const infl_saved *given, const double *const *arrays);

/* Opens and reads all but the arrays. INFL_E_FORMAT: it is no such file, damaged, or of an unknown format version. */
infl_status infl_saved_open(infl_safetensors **out, infl_saved *saved, const char *path);
/* INFL_E_ARGUMENT unless n, p and the identity, the kind and (content other than CURVATURE) the damping are these. */
infl_status infl_saved_check(const infl_safetensors *file, const infl_saved *saved, const infl_saved *expected);
/* As an allowance for rounding has it: f32 where the file does not say. */
infl_precision infl_saved_passes(const infl_saved *saved);
/* Array `index`, its hash checked. */
infl_status infl_saved_read(infl_safetensors *file, const infl_saved *saved, int index, double *out);

/* INFL_E_FORMAT, with the file's path, for what no damage explains. */
infl_status infl_saved_wrong(const infl_safetensors *file, const char *what);

#endif

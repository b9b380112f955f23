/* Elementwise y = φ(x). Forward keeps φ′(x), and φ″(x) when there are tangents. */
#include <math.h>

#include "layer.h"
#include "math.h"

#if defined(INFL_REAL_F32)
#define normal_erfc erfcf
#else
#define normal_erfc erfc
#endif

static const real SELU_SCALE = (real)1.0507009873554804934193349852946, SELU_ALPHA = (real)1.6732632423543772848170429916717;

static infl_status shape(infl_layer *layer) {
    layer->shape = layer->in_shape[0];
    layer->aux = 2 * layer->in_width[0];
    return INFL_OK;
}

/* Each loop computes y, first = φ′ and second = φ″ of n elements. */
#define ACTIVATION(name, ...)                                                                                          \
    static void name(const real *restrict x, real *restrict y, real *restrict first, real *restrict second, size_t n) { \
        for (size_t i = 0; i < n; i++) {                                                                               \
            real v = x[i];                                                                                             \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

ACTIVATION(identity, y[i] = v; first[i] = 1; second[i] = 0;)
ACTIVATION(hyperbolic_tangent, real slope, t = infl_tanh(v, &slope); y[i] = t; first[i] = slope;
           second[i] = -2 * t * slope;)
ACTIVATION(sigmoid, real complement, s = infl_sigmoid(v, &complement), slope = s * complement; y[i] = s;
           first[i] = slope; second[i] = slope * (complement - s);)
/* the comparison lets NaN through */
ACTIVATION(relu, y[i] = v < 0 ? 0 : v; first[i] = v > 0 ? 1 : 0; second[i] = 0;)
ACTIVATION(selu, real e, m = infl_expm1(v > 0 ? 0 : v, &e), tail = SELU_SCALE * SELU_ALPHA * e;
           y[i] = v > 0 ? SELU_SCALE * v : SELU_SCALE * SELU_ALPHA * m; first[i] = v > 0 ? SELU_SCALE : tail;
           second[i] = v > 0 ? 0 : tail;)
ACTIVATION(softplus, real complement, s = infl_sigmoid(v, &complement); y[i] = infl_softplus(v); first[i] = s;
           second[i] = s * complement;)
/* the density is 0 to the last bit long before |v| = 40; the bound keeps v² finite */
ACTIVATION(gelu, real u = v > 40 ? 40 : v < -40 ? -40 : v;
           real cdf = (real)0.5 * normal_erfc(u * (real)-0.70710678118654752440);
           real density = (real)0.39894228040143267794 * infl_exp((real)-0.5 * u * u); y[i] = v * cdf;
           first[i] = cdf + u * density; second[i] = density * (2 - u * u);)

static void forward(const infl_layer_call *c) {
    static void (*const functions[])(const real *, real *, real *, real *, size_t) = {
        [INFL_IDENTITY] = identity, [INFL_TANH] = hyperbolic_tangent, [INFL_SIGMOID] = sigmoid, [INFL_RELU] = relu,
        [INFL_SELU] = selu,         [INFL_SOFTPLUS] = softplus,       [INFL_GELU] = gelu,
    };
    _Static_assert(sizeof functions / sizeof functions[0] == INFL_N_ACTIVATIONS, "one function for each activation");
    size_t width = c->layer->width, rows = c->rows;
    real *first = c->aux, *second = c->aux + width * rows;
    if (c->first == 0) {
        /* without tangents the array is one run of numbers */
        size_t runs = c->slots == 1 && c->x_slots[0] == 1 ? 1 : width, length = width / runs * rows;
        for (size_t i = 0; i < runs; i++)
            functions[c->layer->spec.activation](c->x[0] + i * c->x_slots[0] * rows, c->y + i * c->slots * rows,
                                                 first + i * length, second + i * length, length);
    }
    if (c->x_slots[0] == 1)
        return;
    for (size_t i = 0; i < width; i++)
        for (size_t s = c->first > 1 ? c->first : 1; s < c->last; s++) {
            const real *restrict x = c->x[0] + (i * c->slots + s) * rows, *restrict slope = first + i * rows;
            real *restrict y = c->y + (i * c->slots + s) * rows;
            for (size_t b = 0; b < rows; b++)
                y[b] = slope[b] * x[b];
        }
}

static void backward(const infl_layer_call *c) {
    if (c->dx[0] == NULL)
        return;
    size_t width = c->layer->width, rows = c->rows;
    for (size_t i = 0; i < width; i++) {
        const real *restrict first = c->aux + i * rows, *restrict second = c->aux + (width + i) * rows;
        const real *restrict dy0 = c->dy + i * c->slots * rows;
        for (size_t s = c->first; s < c->last; s++) {
            size_t at = (i * c->slots + s) * rows;
            const real *restrict dy = c->dy + at, *restrict x = c->x[0] + at;
            real *restrict dx = c->dx[0] + at;
            int tangent = c->mode == INFL_BACKWARD_SECOND && s > 0;
            if (c->accumulate[0])
                for (size_t b = 0; b < rows; b++)
                    dx[b] += first[b] * dy[b] + (tangent ? second[b] * x[b] * dy0[b] : 0);
            else
                for (size_t b = 0; b < rows; b++)
                    dx[b] = first[b] * dy[b] + (tangent ? second[b] * x[b] * dy0[b] : 0);
        }
    }
}

const infl_layer_kind INFL_REAL(layer_activation) = {"activation", 1, shape, NULL, forward, backward, NULL};

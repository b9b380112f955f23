/* Elementwise y = φ(x). Forward keeps φ′(x) and φ″(x); those of a piecewise linear φ are read off y instead. */
#include <math.h>

#include "layer.h"
#include "math.h"

#if defined(INFL_REAL_F32)
#define normal_erfc erfcf
#else
#define normal_erfc erfc
#endif

static const real SELU_SCALE = (real)1.0507009873554804934193349852946,
                  SELU_ALPHA = (real)1.6732632423543772848170429916717;

static infl_status shape(infl_layer *layer) {
    layer->shape = layer->in_shape[0];
    layer->keeps_output = layer->spec.activation == INFL_RELU;
    layer->keeps_input = !layer->keeps_output && layer->spec.activation != INFL_IDENTITY;
    layer->keeps_cotangent = layer->keeps_input;
    layer->aux = layer->keeps_input ? 2 * layer->in_width[0] : 0;
    return INFL_OK;
}

/* Each loop computes y, first = φ′ and second = φ″ of n elements. */
#define ACTIVATION(name, ...)                                                                                          \
    static void name(const real *restrict x, real *restrict y, real *restrict first, real *restrict second,            \
                     size_t n) {                                                                                       \
        for (size_t i = 0; i < n; i++) {                                                                               \
            real v = x[i];                                                                                             \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

ACTIVATION(hyperbolic_tangent, real slope, t = infl_tanh(v, &slope); y[i] = t; first[i] = slope;
           second[i] = -2 * t * slope;)
ACTIVATION(sigmoid, real complement, s = infl_sigmoid(v, &complement), slope = s * complement; y[i] = s;
           first[i] = slope; second[i] = slope * (complement - s);)
ACTIVATION(selu, real e, m = infl_expm1(v > 0 ? 0 : v, &e), tail = SELU_SCALE * SELU_ALPHA * e;
           y[i] = v > 0 ? SELU_SCALE * v : SELU_SCALE * SELU_ALPHA * m; first[i] = v > 0 ? SELU_SCALE : tail;
           second[i] = v > 0 ? 0 : tail;)
ACTIVATION(softplus, real complement, s = infl_sigmoid(v, &complement); y[i] = infl_softplus(v); first[i] = s;
           second[i] = s * complement;)
/* the density is 0 to the last bit long before |v| = 40; the bound keeps v² finite */
ACTIVATION(gelu, real u = v > 40    ? 40
                          : v < -40 ? -40
                                    : v;
           real cdf = (real)0.5 * normal_erfc(u * (real)-0.70710678118654752440);
           real density = (real)0.39894228040143267794 * infl_exp((real)-0.5 * u * u); y[i] = v * cdf;
           first[i] = cdf + u * density; second[i] = density * (2 - u * u);)

static void forward(const infl_layer_call *c) {
    /* NULL: piecewise linear */
    static void (*const functions[])(const real *, real *, real *, real *, size_t) = {
        [INFL_IDENTITY] = NULL, [INFL_TANH] = hyperbolic_tangent, [INFL_SIGMOID] = sigmoid, [INFL_RELU] = NULL,
        [INFL_SELU] = selu,     [INFL_SOFTPLUS] = softplus,       [INFL_GELU] = gelu,
    };
    _Static_assert(sizeof functions / sizeof functions[0] == INFL_N_ACTIVATIONS, "one function for each activation");
    size_t n = c->layer->width * c->rows;
    const real *restrict slope = c->aux, *restrict value = c->y.value;
    infl_activation activation = c->layer->spec.activation;
    for (size_t s = c->first; s < c->last; s++) {
        const real *restrict x = infl_slot(c->x[0], s, n);
        real *restrict y = infl_slot(c->y, s, n);
        if (activation == INFL_IDENTITY)
            memcpy(y, x, n * sizeof *y);
        else if (activation == INFL_RELU && s == 0)
            for (size_t i = 0; i < n; i++)
                y[i] = x[i] < 0 ? 0 : x[i]; /* the comparison lets NaN through */
        else if (activation == INFL_RELU)
            for (size_t i = 0; i < n; i++)
                y[i] = value[i] <= 0 ? 0 : x[i]; /* here as well */
        else if (s == 0)
            functions[activation](x, y, c->aux, c->aux + n, n);
        else
            for (size_t i = 0; i < n; i++)
                y[i] = slope[i] * x[i];
    }
}

static void backward(const infl_layer_call *c) {
    if (c->dx[0].value == NULL)
        return;
    size_t n = c->layer->width * c->rows;
    const real *restrict first = c->aux, *restrict second = c->aux + n, *restrict value = c->y.value;
    const real *restrict dy0 = c->dy.value;
    infl_activation activation = c->layer->spec.activation;
    for (size_t s = c->first; s < c->last; s++) {
        const real *restrict dy = infl_slot(c->dy, s, n), *restrict x = infl_slot(c->x[0], s, n);
        real *restrict dx = infl_slot(c->dx[0], s, n);
#define EACH(slope)                                                                                                    \
    if (c->accumulate[0])                                                                                              \
        for (size_t i = 0; i < n; i++)                                                                                 \
            dx[i] += (slope);                                                                                          \
    else                                                                                                               \
        for (size_t i = 0; i < n; i++)                                                                                 \
        dx[i] = (slope)
        if (activation == INFL_IDENTITY) {
            EACH(dy[i]);
        } else if (activation == INFL_RELU) {
            EACH((value[i] <= 0 ? 0 : dy[i]));
        } else if (c->mode == INFL_BACKWARD_SECOND && s > 0 && c->varying[0]) {
            EACH(first[i] * dy[i] + second[i] * x[i] * dy0[i]);
        } else {
            EACH(first[i] * dy[i]);
        }
#undef EACH
    }
}

const infl_layer_kind INFL_REAL(layer_activation) = {
    .name = "activation", .n_inputs = 1, .shape = shape, .forward = forward, .backward = backward};

/*
 * An independent, naive implementation of everything that the library computes of a network: scalar programs in
 * hyper-dual numbers (Fike & Alonso, AIAA 2011-886), which give value, gradient and Hessian entries exactly, without a
 * formula for any derivative but those of exp, log(1+x), erf and 1/x. Nothing here calls the library for numbers.
 *
 * A "problem" is a network with a loss and data, once for the library and once for the reference.
 */
#ifndef INFL_TESTS_REFERENCE_H
#define INFL_TESTS_REFERENCE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "influence.h"

/* value + first·ε₁ + second·ε₂ + mixed·ε₁ε₂, ε₁² = ε₂² = 0 */
typedef struct hyperdual {
    double value, first, second, mixed;
} hyperdual;

typedef enum reference_graph {
    REFERENCE_PLAIN = 0,     /* dense and activation in turn, a dense layer at the end                               */
    REFERENCE_RESIDUAL = 1,  /* each hidden layer is added to what it was given; two heads are added at depth 0       */
    REFERENCE_TANGLED = 2,   /* layers without parameters before the first that has some, a node used three times, a
                               node added to itself, layers without bias, an activation at the output, a branch that
                               leads nowhere; depth is not used                                                     */
    REFERENCE_NORMALISED = 3 /* as plain, each dense layer followed by batch normalisation, as is the input; dropout and
                                flattening, which do nothing here, before the last layer                             */
} reference_graph;

typedef struct problem_options {
    reference_graph graph;
    size_t depth, width, n_features, n_rows;
    size_t n_outputs; /* of softmax and squared error; the others have one */
    infl_activation activation;
    infl_loss_kind loss;
    double temperature;
    infl_precision precision;
    double decay;
    infl_decay_scope decay_scope;
    int threads;
    size_t memory_budget;
    double margin; /* data and parameters are redrawn until no pre-activation is nearer to a kink */
    uint64_t seed;
} problem_options;
#define PROBLEM_OPTIONS_INIT                                                                                           \
    {                                                                                                                  \
        REFERENCE_PLAIN, 2, 4, 3, 6, 3, INFL_TANH, INFL_SOFTMAX_CROSS_ENTROPY, 0.3, INFL_F64, 0.0, INFL_DECAY_ALL, 1,  \
            0, 2e-3, 1                                                                                                 \
    }

enum { REFERENCE_MAX_NODES = 32 };

typedef enum reference_layer {
    REFERENCE_INPUT,
    REFERENCE_DENSE,
    REFERENCE_ACTIVATION,
    REFERENCE_ADD,
    REFERENCE_BATCH_NORM
} reference_layer;

typedef struct reference_node {
    reference_layer layer;
    int a, b;         /* what it is computed from */
    size_t width;     /* numbers it has            */
    size_t start;     /* of its numbers among all nodes' */
    size_t parameter; /* dense: of its W in θ; b follows; batch norm: γ, β */
    int bias;
    infl_activation activation;
    size_t state; /* batch norm: of its means in the state; variances follow */
} reference_node;

typedef struct problem {
    problem_options options;
    infl_loss loss;
    reference_node nodes[REFERENCE_MAX_NODES];
    int n_nodes;
    size_t n, d, c, p; /* rows, features, outputs, parameters */
    size_t n_values;   /* numbers of all nodes */
    size_t n_targets;  /* numbers in a row's target: 1 or t */
    double *features;  /* n×d */
    double *targets;   /* n×n_targets, class indices as numbers */
    double *theta;     /* p */
    double *mask;      /* p, 1 where decayed */
    double *state;     /* n_state: means and variances */
    size_t n_state;
    struct room *rooms;
    infl_model *model;
    infl_dataset *dataset;
    infl_objective *objective;
} problem;

/* Fails the test where the library fails. */
problem *problem_create(const problem_options *options);
void problem_destroy(problem *q);
/* n zeroed numbers that live as long as the problem */
double *problem_room(problem *q, size_t n);
/* n standard normal numbers, another sequence for every seed */
double *problem_normals(problem *q, size_t n, uint64_t seed);
/* what the problem is, in a few words; valid until the next call */
const char *problem_name(const problem *q);
/* another objective on the problem's model and data; destroyed by the caller */
infl_objective *problem_objective(problem *q, int threads, size_t memory_budget);

double random_uniform(uint64_t *state); /* in (0, 1) */
double random_normal(uint64_t *state);

/* The loss of one row as a function of its outputs. hessian: C×C. Results may be NULL. */
void reference_loss(const infl_loss *loss, const double *outputs, size_t n_outputs, const double *target, double *value,
                    double *gradient, double *hessian);
/*
 * How far the kinks are: the smallest |z| of all rows' pre-activations z at a kink, or with v the smallest |z/ż|, ż the
 * derivative along v: how far θ can move along v, to first order, before one is met. Infinite where there is none.
 */
double reference_margin(const problem *q, const double *theta, const double *v);
/* f(x_row): outputs C; jacobian C×p or NULL */
void reference_outputs(const problem *q, const double *theta, size_t row, double *outputs, double *jacobian);
/* ℓ_row, its gradient and ∇²ℓ_row·v (p each). Results may be NULL. */
void reference_row(const problem *q, const double *theta, size_t row, const double *v, double *value, double *gradient,
                   double *product);
/* R and ∇R at the problem's θ over rows (NULL: all), decay included */
void reference_risk(const problem *q, const size_t *rows, size_t n_rows, double *value, double *gradient);
/* C v over rows (NULL: all), decay included */
void reference_product(const problem *q, infl_curvature_kind kind, const size_t *rows, size_t n_rows, const double *v,
                       double *out);

/* The problem's reference as a risk of the caller's own: its context is the problem. */
infl_custom_objective reference_custom(problem *q, const unsigned char *mask);

/* ‖x − y‖ / ‖y‖ (‖x‖ where y = 0); infinite as soon as a number is not finite. */
double relative_error(const double *x, const double *y, size_t n);

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        infl_status status_ = (call);                                                                                  \
        ck_assert_msg(status_ == INFL_OK, "%s: %s: %s", #call, infl_status_name(status_), infl_last_error());          \
    } while (0)

/* Whether a sentence begins with the name of a public function, of this call unless that is NULL, and of no other. */
int is_in_the_name_of(const char *sentence, const char *call);

/* The call fails as expected, and its sentence begins with its name. */
#define assert_fails(expected, call)                                                                                   \
    do {                                                                                                               \
        infl_status status_ = (call);                                                                                  \
        ck_assert_msg(status_ == (expected), "%s gave %s, not %s", #call, infl_status_name(status_), #expected);       \
        ck_assert_msg(is_in_the_name_of(infl_last_error(), #call), "%s left the sentence: %s", #call,                  \
                      infl_last_error());                                                                              \
    } while (0)

#define assert_close(x, y, n, tolerance, ...)                                                                          \
    do {                                                                                                               \
        double error_ = relative_error((x), (y), (n));                                                                 \
        char context_[256];                                                                                            \
        snprintf(context_, sizeof context_, __VA_ARGS__);                                                              \
        ck_assert_msg(error_ <= (tolerance), "%s and %s differ by %.3g > %.3g: %s", #x, #y, error_,                    \
                      (double)(tolerance), context_);                                                                  \
    } while (0)

#define assert_same_bits(x, y, n, ...)                                                                                 \
    do {                                                                                                               \
        char context_[256];                                                                                            \
        snprintf(context_, sizeof context_, __VA_ARGS__);                                                              \
        ck_assert_msg(memcmp((x), (y), (n) * sizeof *(x)) == 0, "%s and %s differ in bits: %s", #x, #y, context_);     \
    } while (0)

/* A mark that no computation leaves, and the check that it is still everywhere. */
#define SENTINEL (-7.25e-301)
void fill_sentinel(double *x, size_t n);
int all_sentinel(const double *x, size_t n);

#endif

/*
 * The products of dense layers, convolutions and pools, against plain loops. A chain of them is multilinear, and all
 * that the library computes of it follows from one list a layer: which weight meets which input pixel in which output
 * pixel. Numbers are small integers. Where the sum of the terms' magnitudes fits the mantissa, every order of summation
 * is exact, and results must be equal; beyond that (and with averages) each rounding may cost its unit of that sum.
 */
#include <math.h>
#include <stdlib.h>

#include "reference.h"
#include "suites.h"

enum { K = 2, MAX_LAYERS = 3 };

typedef enum layer_kind { CONVOLUTION, DENSE, AVERAGE, LARGEST } layer_kind;

typedef struct layer {
    layer_kind kind;
    size_t channels, height, width; /* of the input; dense: n × 1 × 1 */
    size_t units, groups;
    size_t kernel[2], stride[2], padding[2];
    int bias;
} layer;

/* y(output) += weight · x(input). A bias meets the pixel behind the last one, which is 1. */
typedef struct term {
    uint32_t weight, input, output;
} term;

typedef struct map {
    layer layer;
    size_t height, width, inputs, outputs; /* of the output; numbers a row */
    size_t parameters, offset;
    size_t n_terms, terms_of_output;
    term *terms;
    size_t *winner; /* largest: the term that each output of each row is */
} map;

typedef struct chain {
    map maps[MAX_LAYERS];
    size_t n, rows, parameters, inputs, outputs;
    double roundings; /* at most, one after another, from a number to a result */
    int integers;
} chain;

static double *zeros(size_t n) {
    double *x = calloc(n > 0 ? n : 1, sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

static size_t draw(uint64_t *state, size_t least, size_t most) {
    return least + (size_t)(random_uniform(state) * (double)(most - least + 1));
}

static size_t positions(const layer *l, int axis) {
    size_t in = (axis == 0 ? l->height : l->width) + 2 * l->padding[axis];
    return (in - l->kernel[axis]) / l->stride[axis] + 1;
}

static void add_term(map *m, size_t weight, size_t input, size_t output) {
    m->terms[m->n_terms++] = (term){(uint32_t)weight, (uint32_t)input, (uint32_t)output};
}

static void map_layer(map *m, const layer *l, size_t offset) {
    int pool = l->kind == AVERAGE || l->kind == LARGEST;
    size_t groups = pool ? l->channels : l->groups, per_group = l->channels / groups, units = pool ? groups : l->units;
    size_t taps = l->kernel[0] * l->kernel[1], weights = pool ? 0 : units * per_group * taps;
    *m = (map){.layer = *l, .height = positions(l, 0), .width = positions(l, 1), .offset = offset};
    m->inputs = l->channels * l->height * l->width;
    m->outputs = units * m->height * m->width;
    m->parameters = weights + (!pool && l->bias ? units : 0);
    m->terms_of_output = per_group * taps + 1;
    m->terms = malloc(m->outputs * m->terms_of_output * sizeof *m->terms);
    ck_assert_ptr_nonnull(m->terms);
    for (size_t output = 0; output < m->outputs; output++) {
        size_t unit = output / (m->height * m->width), i = output / m->width % m->height, j = output % m->width;
        for (size_t k = 0; k < per_group; k++)
            for (size_t u = 0; u < l->kernel[0]; u++)
                for (size_t v = 0; v < l->kernel[1]; v++) {
                    size_t channel = unit / (units / groups) * per_group + k;
                    /* beyond the image these wrap around, to something large */
                    size_t row = i * l->stride[0] + u - l->padding[0], column = j * l->stride[1] + v - l->padding[1];
                    if (row < l->height && column < l->width)
                        add_term(m, (unit * per_group + k) * taps + u * l->kernel[1] + v,
                                 (channel * l->height + row) * l->width + column, output);
                }
        if (m->parameters > weights)
            add_term(m, weights + unit, m->inputs, output);
    }
}

static void make_chain(chain *c, const layer *layers, size_t n, size_t rows) {
    *c = (chain){.n = n, .rows = rows, .integers = 1};
    size_t pixels = 0;
    for (size_t i = 0; i < n; i++) {
        map *m = &c->maps[i];
        map_layer(m, &layers[i], c->parameters);
        m->winner = calloc(m->outputs * rows, sizeof *m->winner);
        ck_assert_ptr_nonnull(m->winner);
        c->parameters += m->parameters;
        c->integers &= m->layer.kind != AVERAGE;
        size_t terms_of_input = layers[i].kernel[0] * layers[i].kernel[1];
        if (m->parameters > 0)
            terms_of_input *= layers[i].units / layers[i].groups;
        c->roundings += (double)(m->terms_of_output + terms_of_input + 2);
        pixels = m->height * m->width > pixels ? m->height * m->width : pixels;
    }
    c->inputs = c->maps[0].inputs;
    c->outputs = c->maps[n - 1].outputs;
    /* these loops round as well, in double precision */
    c->roundings = 2 * (c->roundings + (double)(pixels * rows));
}

static void release_chain(chain *c) {
    for (size_t i = 0; i < c->n; i++) {
        free(c->maps[i].terms);
        free(c->maps[i].winner);
    }
}

/* In these loops arrays are numbers × rows, an input's with the last pixel. */

static double coefficient(const map *m, const double *weights, const term *t) {
    return m->layer.kind == AVERAGE   ? 1.0 / (double)(m->layer.kernel[0] * m->layer.kernel[1])
           : m->layer.kind == LARGEST ? 1.0
                                      : weights[m->offset + t->weight];
}

/* y += W x */
static void apply(const chain *c, const map *m, const double *weights, const double *x, double *y) {
    for (size_t i = 0; i < m->n_terms; i++) {
        const term *t = &m->terms[i];
        const double w = coefficient(m, weights, t), *from = x + t->input * c->rows;
        double *to = y + t->output * c->rows;
        const size_t *winner = m->winner + t->output * c->rows;
        if (m->layer.kind != LARGEST)
            for (size_t b = 0; b < c->rows; b++)
                to[b] += w * from[b];
        else
            for (size_t b = 0; b < c->rows; b++)
                to[b] += winner[b] == i ? from[b] : 0.0;
    }
}

/* dx += Wᵀ dy */
static void apply_transposed(const chain *c, const map *m, const double *weights, const double *dy, double *dx) {
    for (size_t i = 0; i < m->n_terms; i++) {
        const term *t = &m->terms[i];
        const double w = coefficient(m, weights, t), *from = dy + t->output * c->rows;
        double *to = dx + t->input * c->rows;
        const size_t *winner = m->winner + t->output * c->rows;
        for (size_t b = 0; b < c->rows; b++)
            to[b] += m->layer.kind != LARGEST || winner[b] == i ? w * from[b] : 0.0;
    }
}

/* Σ over pixels of dy x for each row: parameters × rows */
static void add_outer(const chain *c, const map *m, const double *dy, const double *x, double *rows) {
    for (size_t i = 0; m->parameters > 0 && i < m->n_terms; i++) {
        const term *t = &m->terms[i];
        const double *y = dy + t->output * c->rows, *from = x + t->input * c->rows;
        double *to = rows + (m->offset + t->weight) * c->rows;
        for (size_t b = 0; b < c->rows; b++)
            to[b] += y[b] * from[b];
    }
}

/* The first of the largest of each window. */
static void find_winners(const chain *c, map *m, const double *x) {
    for (size_t i = 0; i < m->n_terms; i++)
        for (size_t b = 0; b < c->rows; b++) {
            const term *t = &m->terms[i];
            size_t *winner = &m->winner[t->output * c->rows + b];
            int first = i == 0 || t[-1].output != t->output;
            if (first || x[t->input * c->rows + b] > x[m->terms[*winner].input * c->rows + b])
                *winner = i;
        }
}

typedef struct numbers {
    double *theta, *v;   /* p, K×p */
    double *x, *targets; /* inputs, outputs × rows */
} numbers;

/* Of ½‖f − targets‖² of each row; sums over the rows, not means. */
typedef struct results {
    double *outputs, *tangents;     /* outputs × rows; k of them */
    double *rows;                   /* p × rows: gradients */
    double *hessian, *gauss_newton; /* k×p */
} results;

static void sum_rows(const chain *c, const double *rows, double *sums) {
    for (size_t i = 0; i < c->parameters; i++)
        for (size_t b = 0; b < c->rows; b++)
            sums[i] += rows[i * c->rows + b];
}

/* find: the largest are looked for anew */
static void compute(chain *c, const numbers *given, size_t k, int find, results *out) {
    size_t p = c->parameters, n = c->rows, n_outputs = c->outputs * n;
    double *value[MAX_LAYERS + 1], *tangent[MAX_LAYERS + 1], *cotangent[MAX_LAYERS + 1], *second[MAX_LAYERS + 1];
    double *first[MAX_LAYERS + 1], *rows = zeros(p * n);
    *out = (results){zeros(n_outputs), zeros(k * n_outputs), zeros(p * n), zeros(k * p), zeros(k * p)};
    for (size_t l = 0; l <= c->n; l++) {
        size_t width = (l == 0 ? c->inputs : c->maps[l - 1].outputs) + 1;
        value[l] = zeros(width * n);
        tangent[l] = zeros(width * n);
        cotangent[l] = zeros(width * n);
        second[l] = zeros(width * n);
        first[l] = zeros(width * n);
        if (l == 0)
            memcpy(value[l], given->x, c->inputs * n * sizeof *value[l]);
        if (l > 0 && find && c->maps[l - 1].layer.kind == LARGEST)
            find_winners(c, &c->maps[l - 1], value[l - 1]);
        if (l > 0)
            apply(c, &c->maps[l - 1], given->theta, value[l - 1], value[l]);
        for (size_t b = 0; b < n; b++)
            value[l][(width - 1) * n + b] = 1.0;
    }
    memcpy(out->outputs, value[c->n], n_outputs * sizeof *out->outputs);
    for (size_t i = 0; i < n_outputs; i++)
        cotangent[c->n][i] = value[c->n][i] - given->targets[i];
    for (size_t l = c->n; l-- > 0;) {
        add_outer(c, &c->maps[l], cotangent[l + 1], value[l], out->rows);
        apply_transposed(c, &c->maps[l], given->theta, cotangent[l + 1], cotangent[l]);
    }
    for (size_t j = 0; j < k; j++) {
        const double *v = given->v + j * p;
        for (size_t l = 0; l < c->n; l++) {
            const map *m = &c->maps[l];
            memset(tangent[l + 1], 0, (m->outputs + 1) * n * sizeof *tangent[l + 1]);
            apply(c, m, given->theta, tangent[l], tangent[l + 1]);
            if (m->parameters > 0)
                apply(c, m, v, value[l], tangent[l + 1]);
        }
        memcpy(out->tangents + j * n_outputs, tangent[c->n], n_outputs * sizeof *out->tangents);
        memcpy(second[c->n], tangent[c->n], n_outputs * sizeof *out->tangents);
        memcpy(first[c->n], tangent[c->n], n_outputs * sizeof *out->tangents);
        for (int gauss_newton = 0; gauss_newton < 2; gauss_newton++) {
            memset(rows, 0, p * n * sizeof *rows);
            for (size_t l = c->n; l-- > 0;) {
                const map *m = &c->maps[l];
                double **dy = gauss_newton ? first : second;
                memset(dy[l], 0, (m->inputs + 1) * n * sizeof *dy[l]);
                apply_transposed(c, m, given->theta, dy[l + 1], dy[l]);
                add_outer(c, m, dy[l + 1], value[l], rows);
                if (!gauss_newton && m->parameters > 0) {
                    apply_transposed(c, m, v, cotangent[l + 1], dy[l]);
                    add_outer(c, m, cotangent[l + 1], tangent[l], rows);
                }
            }
            sum_rows(c, rows, (gauss_newton ? out->gauss_newton : out->hessian) + j * p);
        }
    }
    for (size_t l = 0; l <= c->n; l++) {
        free(value[l]);
        free(tangent[l]);
        free(cotangent[l]);
        free(second[l]);
        free(first[l]);
    }
    free(rows);
}

static void release_results(results *r) {
    free(r->outputs);
    free(r->tangents);
    free(r->rows);
    free(r->hessian);
    free(r->gauss_newton);
}

static infl_model *model_of(const chain *c, infl_precision precision) {
    infl_builder *builder = NULL;
    infl_model *model = NULL;
    infl_node node = INFL_NODE_INPUT;
    assert_ok(infl_builder_create_image(&builder, c->maps[0].layer.channels, c->maps[0].layer.height,
                                        c->maps[0].layer.width));
    for (size_t i = 0; i < c->n; i++) {
        const layer *l = &c->maps[i].layer;
        infl_conv2d conv = INFL_CONV2D_INIT;
        infl_pool2d pool = INFL_POOL2D_INIT;
        conv.channels = l->units;
        conv.groups = l->groups;
        conv.bias = l->bias;
        for (int axis = 0; axis < 2; axis++) {
            conv.kernel[axis] = pool.kernel[axis] = l->kernel[axis];
            conv.stride[axis] = pool.stride[axis] = l->stride[axis];
            conv.padding[axis] = pool.padding[axis] = l->padding[axis];
        }
        node = l->kind == CONVOLUTION ? infl_builder_conv2d(builder, node, &conv)
               : l->kind == DENSE     ? infl_builder_dense(builder, node, l->units, l->bias, INFL_INIT_GLOROT)
               : l->kind == AVERAGE   ? infl_builder_average_pool2d(builder, node, &pool)
                                      : infl_builder_max_pool2d(builder, node, &pool);
    }
    assert_ok(infl_model_create(&model, builder, node, precision, 1));
    infl_builder_destroy(builder);
    ck_assert_uint_eq(infl_model_parameters(model), c->parameters);
    ck_assert_uint_eq(infl_model_outputs(model), c->outputs);
    return model;
}

static double *rows_outermost(const double *x, size_t width, size_t rows) {
    double *to = zeros(width * rows);
    for (size_t i = 0; i < width; i++)
        for (size_t b = 0; b < rows; b++)
            to[b * width + i] = x[i * rows + b];
    return to;
}

/* Only failures are spoken of to Check, which notes every assertion down. */
static void expect(const chain *c, infl_precision precision, const char *what, size_t index, double got,
                   double expected, double magnitude, double roundings) {
    double unit = precision == INFL_F32 ? 0x1p-24 : 0x1p-53;
    double allowed = c->integers && magnitude < 1 / unit ? 0.0 : roundings * unit * magnitude;
    if (fabs(got - expected) <= allowed)
        return;
    char text[512];
    int at = 0;
    for (size_t i = 0; i < c->n; i++) {
        static const char *const names[] = {"convolution", "dense", "average", "largest"};
        const layer *l = &c->maps[i].layer;
        at += snprintf(text + at, sizeof text - (size_t)at,
                       "; %s %zu×%zu×%zu to %zu, kernel %zu×%zu, stride %zu×%zu, padding %zu×%zu, groups %zu, bias %d",
                       names[l->kind], l->channels, l->height, l->width, l->units, l->kernel[0], l->kernel[1],
                       l->stride[0], l->stride[1], l->padding[0], l->padding[1], l->groups, l->bias);
    }
    ck_abort_msg("%s %zu is %.17g, not %.17g ± %.2g in f%d, %zu rows%s", what, index, got, expected, allowed,
                 precision == INFL_F32 ? 32 : 64, c->rows, text);
}

static void compare(const chain *c, infl_precision precision, const numbers *given, const results *expected,
                    const results *magnitude) {
    size_t p = c->parameters, n = c->rows, n_outputs = c->outputs * n;
    infl_model *model = model_of(c, precision);
    infl_dataset *dataset = NULL;
    infl_objective *objective = NULL;
    double *x = rows_outermost(given->x, c->inputs, n), *targets = rows_outermost(given->targets, c->outputs, n);
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    spec.n_rows = n;
    spec.n_features = c->inputs;
    spec.features = x;
    spec.targets = targets;
    spec.n_targets = c->outputs;
    assert_ok(infl_dataset_create(&dataset, &spec));
    assert_ok(infl_model_set_parameters(model, given->theta));
    infl_loss loss = INFL_LOSS_INIT(INFL_SQUARED_ERROR);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.threads = 1;
    assert_ok(infl_objective_create(&objective, model, &loss, dataset, &options));
    double *got = zeros(K * n_outputs), *rows = zeros(n * p), *vectors = zeros(K * p), *few = zeros(K * n);
    double *weights = zeros(K * n);

    assert_ok(infl_model_predict(model, dataset, got));
    for (size_t i = 0; i < n_outputs; i++)
        expect(c, precision, "output", i, got[i % n * c->outputs + i / n], expected->outputs[i], magnitude->outputs[i],
               c->roundings);
    assert_ok(infl_model_jvp(model, dataset, given->v, K, got));
    for (size_t j = 0; j < K; j++)
        for (size_t i = 0; i < n_outputs; i++)
            expect(c, precision, "tangent", i, got[j * n_outputs + i % n * c->outputs + i / n],
                   expected->tangents[j * n_outputs + i], magnitude->tangents[i], c->roundings);

    assert_ok(infl_objective_evaluate(objective, NULL, vectors));
    assert_ok(infl_objective_row_gradients(objective, NULL, 0, rows));
    for (size_t i = 0; i < p; i++) {
        double sum = 0.0, size = 0.0;
        for (size_t b = 0; b < n; b++) {
            expect(c, precision, "row gradient", i, rows[b * p + i], expected->rows[i * n + b],
                   magnitude->rows[i * n + b], c->roundings);
            sum += expected->rows[i * n + b];
            size += magnitude->rows[i * n + b];
        }
        expect(c, precision, "gradient", i, vectors[i], sum / (double)n, size, c->roundings / (double)n);
    }

    assert_ok(infl_objective_row_products(objective, NULL, 0, given->v, K, few));
    for (size_t b = 0; b < n; b++)
        for (size_t j = 0; j < K; j++) {
            double sum = 0.0, size = 0.0;
            for (size_t i = 0; i < p; i++) {
                sum += expected->rows[i * n + b] * given->v[j * p + i];
                size += magnitude->rows[i * n + b];
            }
            expect(c, precision, "row product", b, few[b * K + j], sum, size, c->roundings + (double)p);
        }
    assert_ok(infl_objective_row_norms(objective, NULL, 0, few));
    for (size_t b = 0; b < n; b++) {
        double sum = 0.0, size = 0.0;
        for (size_t i = 0; i < p; i++) {
            sum += expected->rows[i * n + b] * expected->rows[i * n + b];
            size += magnitude->rows[i * n + b] * magnitude->rows[i * n + b];
        }
        expect(c, precision, "row norm", b, few[b], sqrt(sum), sqrt(size), c->roundings + (double)p);
    }

    for (size_t i = 0; i < K * n; i++)
        weights[i] = i % 3 == 0 ? -2.0 : 1.0;
    assert_ok(infl_objective_weighted_gradients(objective, NULL, 0, weights, K, vectors));
    for (size_t j = 0; j < K; j++)
        for (size_t i = 0; i < p; i++) {
            double sum = 0.0, size = 0.0;
            for (size_t b = 0; b < n; b++) {
                sum += weights[j * n + b] * expected->rows[i * n + b];
                size += fabs(weights[j * n + b]) * magnitude->rows[i * n + b];
            }
            expect(c, precision, "weighted gradient", i, vectors[j * p + i], sum, size, c->roundings);
        }

    for (int kind = INFL_HESSIAN; kind <= INFL_GAUSS_NEWTON; kind++) {
        const double *right = kind == INFL_HESSIAN ? expected->hessian : expected->gauss_newton;
        const double *size = kind == INFL_HESSIAN ? magnitude->hessian : magnitude->gauss_newton;
        for (int one = 0; one < 2; one++) { /* all vectors at once, then one by one */
            for (size_t j = 0; j < K; j += one ? 1 : K)
                assert_ok(infl_objective_product(objective, (infl_curvature_kind)kind, given->v + j * p, one ? 1 : K,
                                                 vectors + j * p));
            for (size_t i = 0; i < K * p; i++)
                expect(c, precision, kind == INFL_HESSIAN ? "Hessian product" : "Gauss-Newton product", i, vectors[i],
                       right[i] / (double)n, size[i % p], c->roundings / (double)n);
        }
    }
    infl_objective_destroy(objective);
    infl_model_destroy(model);
    infl_dataset_destroy(dataset);
    free(x);
    free(targets);
    free(got);
    free(rows);
    free(vectors);
    free(few);
    free(weights);
}

static double *integers(uint64_t *state, size_t n, size_t most) {
    double *x = zeros(n);
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)draw(state, 1, most);
        if (random_uniform(state) < 0.5)
            x[i] = -x[i];
    }
    return x;
}

static double *with_sign(const double *x, size_t n, double sign) {
    double *to = zeros(n);
    for (size_t i = 0; i < n; i++)
        to[i] = sign * fabs(x[i]);
    return to;
}

/* The chain in both precisions against the loops. Tangents are ±1, so all have the same magnitudes. */
static void check_chain(const layer *layers, size_t n, size_t rows, uint64_t *state) {
    chain c;
    results expected, magnitude;
    make_chain(&c, layers, n, rows);
    size_t p = c.parameters;
    numbers given;
    given.theta = integers(state, p, 2);
    given.v = integers(state, K * p, 1);
    given.x = integers(state, c.inputs * rows, 2);
    given.targets = integers(state, c.outputs * rows, 2);
    /* no two terms cancel in these: sums of magnitudes */
    numbers sizes = {with_sign(given.theta, p, 1.0), with_sign(given.v, p, 1.0),
                     with_sign(given.x, c.inputs * rows, 1.0), with_sign(given.targets, c.outputs * rows, -1.0)};
    compute(&c, &given, K, 1, &expected);
    compute(&c, &sizes, 1, 0, &magnitude);
    compare(&c, INFL_F64, &given, &expected, &magnitude);
    compare(&c, INFL_F32, &given, &expected, &magnitude);
    release_results(&expected);
    release_results(&magnitude);
    for (int i = 0; i < 2; i++) {
        numbers *all = i == 0 ? &given : &sizes;
        free(all->theta);
        free(all->v);
        free(all->x);
        free(all->targets);
    }
    release_chain(&c);
}

/* Shapes as they come, so many multiplications at most. */
enum { MOST_TERMS = 100000 };

static size_t least_extent(const layer *l, int axis) {
    return l->kernel[axis] > 2 * l->padding[axis] ? l->kernel[axis] - 2 * l->padding[axis] : 1;
}

static void draw_window(uint64_t *state, layer *l) {
    int pool = l->kind == AVERAGE || l->kind == LARGEST;
    for (int axis = 0; axis < 2; axis++) {
        l->kernel[axis] = draw(state, 1, 5);
        l->stride[axis] = draw(state, 1, 3);
        l->padding[axis] = draw(state, 0, pool ? l->kernel[axis] / 2 : l->kernel[axis]);
        size_t *extent = axis == 0 ? &l->height : &l->width;
        *extent = draw(state, 1, 9);
        if (*extent < least_extent(l, axis))
            *extent = least_extent(l, axis);
    }
}

/* Halves one after another of the image's sides and the rows until the layer is small enough. */
static void shrink(uint64_t *state, layer *l, size_t *rows) {
    size_t weights = l->units * (l->channels / l->groups) * l->kernel[0] * l->kernel[1], left = 100;
    while (weights * positions(l, 0) * positions(l, 1) * *rows > MOST_TERMS && left-- > 0) {
        size_t which = draw(state, 0, 2);
        size_t *one = which == 0 ? &l->height : which == 1 ? &l->width : rows;
        size_t least = which == 2 ? 1 : least_extent(l, (int)which);
        *one = *one / 2 > least ? *one / 2 : least;
    }
}

/* A layer of the shape that the next one wants; its own gradient shows what comes through from there. */
static layer pointwise(uint64_t *state, const layer *next) {
    size_t channels = draw(state, 1, 3);
    return (layer){CONVOLUTION, channels, next->height, next->width, next->channels, 1, {1, 1}, {1, 1}, {0, 0}, 1};
}

static layer dense_layer(uint64_t *state, size_t inputs, size_t units) {
    return (layer){DENSE, inputs, 1, 1, units, 1, {1, 1}, {1, 1}, {0, 0}, random_uniform(state) < 0.5};
}

enum { SHAPES_AT_ONCE = 10, CONVOLUTIONS = 12, DENSES = 5, POOLS = 4 }; /* so many times that many shapes */

START_TEST(test_convolutions) {
    uint64_t state = 1000 + (uint64_t)_i;
    for (int shape = 0; shape < SHAPES_AT_ONCE; shape++) {
        layer layers[2] = {[1] = {.kind = CONVOLUTION, .bias = random_uniform(&state) < 0.5}}, *l = &layers[1];
        size_t rows = draw(&state, 1, 40), grouped = draw(&state, 0, 3);
        l->groups = grouped < 2 ? 1 : grouped == 2 ? draw(&state, 2, 4) : draw(&state, 2, 20);
        l->channels = l->groups * (grouped == 3 ? 1 : draw(&state, 1, 40 / l->groups));
        l->units = l->groups * draw(&state, 1, grouped == 3 ? 2 : 40 / l->groups);
        draw_window(&state, l);
        shrink(&state, l, &rows);
        layers[0] = pointwise(&state, l);
        size_t n = draw(&state, 0, 2) > 0 ? 2 : 1; /* also on what has no tangents */
        check_chain(layers + 2 - n, n, rows, &state);
    }
}
END_TEST

START_TEST(test_dense_layers) {
    uint64_t state = 2000 + (uint64_t)_i;
    for (int shape = 0; shape < SHAPES_AT_ONCE; shape++) {
        size_t before = draw(&state, 1, 70), inputs = draw(&state, 1, 70), units = draw(&state, 1, 70);
        size_t rows = draw(&state, 1, 40);
        layer layers[2];
        if (inputs % 6 == 0) /* on an image */
            layers[0] = pointwise(&state, &(layer){.channels = inputs / 6, .height = 2, .width = 3});
        else
            layers[0] = dense_layer(&state, before, inputs);
        layers[1] = dense_layer(&state, inputs, units);
        check_chain(layers, 2, rows, &state);
    }
}
END_TEST

/* Windows that overlap, are padded, leave pixels out; with ties, as numbers are whole. */
START_TEST(test_pools) {
    uint64_t state = 3000 + (uint64_t)_i;
    for (int shape = 0; shape < SHAPES_AT_ONCE; shape++) {
        layer layers[3] = {[1] = {.kind = shape % 2 == 0 ? AVERAGE : LARGEST, .channels = draw(&state, 1, 10)}};
        draw_window(&state, &layers[1]);
        layer pooled = {
            .channels = layers[1].channels, .height = positions(&layers[1], 0), .width = positions(&layers[1], 1)};
        layers[0] = pointwise(&state, &layers[1]);
        layers[2] = pointwise(&state, &pooled);
        layers[2].channels = pooled.channels;
        layers[2].units = draw(&state, 1, 3);
        size_t first = draw(&state, 0, 1), last = first == 1 ? 3 : draw(&state, 2, 3);
        check_chain(layers + first, last - first, draw(&state, 1, 40), &state);
    }
}
END_TEST

/* What random shapes do not come to. */
static const struct {
    layer layer;
    size_t rows;
} large[] = {
    /* an image beyond the cache: with few weights line after line, with many the outputs one tile after another */
    {{CONVOLUTION, 32, 17, 17, 9, 1, {3, 3}, {1, 1}, {1, 1}, 1}, 1},
    {{CONVOLUTION, 58, 12, 12, 9, 1, {7, 7}, {1, 1}, {0, 0}, 1}, 1},
    /* weights of 64 of the 70 channels, and of 8 of the 19, are gathered at once */
    {{CONVOLUTION, 70, 2, 2, 40, 1, {5, 5}, {1, 1}, {2, 2}, 1}, 17},
    {{CONVOLUTION, 19, 2, 2, 330, 1, {5, 5}, {1, 1}, {2, 2}, 0}, 1},
    /* gradients of rows are formed 75 units and 62 units at once, which ends within a group */
    {{CONVOLUTION, 36, 2, 2, 120, 3, {3, 3}, {1, 1}, {1, 1}, 1}, 3},
    {{DENSE, 130, 1, 1, 200, 1, {1, 1}, {1, 1}, {0, 0}, 1}, 17},
    /* chunks of 16 rows */
    {{CONVOLUTION, 3, 11, 11, 20, 1, {3, 3}, {1, 2}, {1, 1}, 1}, 17},
    {{CONVOLUTION, 18, 11, 11, 3, 1, {3, 2}, {2, 1}, {0, 1}, 1}, 35},
    {{LARGEST, 17, 11, 12, 17, 1, {3, 3}, {2, 2}, {1, 1}, 0}, 17},
    {{AVERAGE, 17, 11, 12, 17, 1, {3, 3}, {2, 1}, {1, 0}, 0}, 33},
    /* windows wider than the image */
    {{CONVOLUTION, 2, 3, 3, 3, 1, {7, 7}, {1, 1}, {3, 3}, 1}, 5},
    {{LARGEST, 2, 3, 2, 2, 1, {7, 5}, {1, 2}, {3, 2}, 0}, 16},
};
enum { N_LARGE = sizeof large / sizeof large[0] };

START_TEST(test_large) {
    uint64_t state = 4000 + (uint64_t)_i;
    layer layers[2] = {pointwise(&state, &large[_i].layer), large[_i].layer};
    check_chain(layers, 2, large[_i].rows, &state);
}
END_TEST

Suite *products_suite(void) {
    Suite *suite = suite_create("products");
    add_case(suite, "products/convolution", test_convolutions, CONVOLUTIONS);
    add_case(suite, "products/dense", test_dense_layers, DENSES);
    add_case(suite, "products/pools", test_pools, POOLS);
    add_case(suite, "products/large", test_large, N_LARGE);
    return suite;
}

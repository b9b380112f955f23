#include "reference.h"

#include <math.h>
#include <stdlib.h>

struct room {
    struct room *next;
    double numbers[];
};

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count == 0 ? 1 : count, size);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* Numbers: splitmix64 (Steele, Lea & Flood 2014) and Box & Muller, no stream of the library's. */

static uint64_t random_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double random_uniform(uint64_t *state) { return ((double)(random_next(state) >> 12) + 0.5) / 4503599627370496.0; }

double random_normal(uint64_t *state) {
    double radius = sqrt(-2.0 * log(random_uniform(state)));
    return radius * cos(6.283185307179586 * random_uniform(state));
}

static hyperdual constant(double value) { return (hyperdual){value, 0.0, 0.0, 0.0}; }

static hyperdual plus(hyperdual x, hyperdual y) {
    return (hyperdual){x.value + y.value, x.first + y.first, x.second + y.second, x.mixed + y.mixed};
}

static hyperdual times(hyperdual x, hyperdual y) {
    return (hyperdual){x.value * y.value, x.first * y.value + x.value * y.first,
                       x.second * y.value + x.value * y.second,
                       x.mixed * y.value + x.first * y.second + x.second * y.first + x.value * y.mixed};
}

static hyperdual scaled(double factor, hyperdual x) {
    return (hyperdual){factor * x.value, factor * x.first, factor * x.second, factor * x.mixed};
}

static hyperdual minus(hyperdual x, hyperdual y) { return plus(x, scaled(-1.0, y)); }

/* f(x) from f, f' and f'' at its value */
static hyperdual applied(hyperdual x, double f, double f1, double f2) {
    return (hyperdual){f, f1 * x.first, f1 * x.second, f1 * x.mixed + f2 * x.first * x.second};
}

static hyperdual exponential(hyperdual x) {
    double e = exp(x.value);
    return applied(x, e, e, e);
}

static hyperdual logarithm_1p(hyperdual x) {
    double r = 1.0 / (1.0 + x.value);
    return applied(x, log1p(x.value), r, -r * r);
}

static hyperdual reciprocal(hyperdual x) {
    double r = 1.0 / x.value;
    return applied(x, r, -r * r, 2.0 * r * r * r);
}

static hyperdual error_function(hyperdual x) {
    double slope = 1.1283791670955126 * exp(-x.value * x.value); /* 2/√π */
    return applied(x, erf(x.value), slope, -2.0 * x.value * slope);
}

static hyperdual softplus(hyperdual x) { /* max(x, 0) + log(1 + exp(−|x|)) */
    return x.value > 0.0 ? plus(x, logarithm_1p(exponential(scaled(-1.0, x)))) : logarithm_1p(exponential(x));
}

static hyperdual sigmoid(hyperdual x) { return reciprocal(plus(constant(1.0), exponential(scaled(-1.0, x)))); }

static hyperdual activated(infl_activation activation, hyperdual x) {
    const double selu_scale = 1.0507009873554804934193349852946, selu_alpha = 1.6732632423543772848170429916717;
    switch (activation) {
    case INFL_IDENTITY:
        return x;
    case INFL_TANH:
        return minus(scaled(2.0, sigmoid(scaled(2.0, x))), constant(1.0));
    case INFL_SIGMOID:
        return sigmoid(x);
    case INFL_RELU:
        return x.value > 0.0 ? x : constant(0.0);
    case INFL_SELU:
        return x.value > 0.0 ? scaled(selu_scale, x)
                             : scaled(selu_scale * selu_alpha, minus(exponential(x), constant(1.0)));
    case INFL_SOFTPLUS:
        return softplus(x);
    case INFL_GELU:
        return times(scaled(0.5, x), plus(constant(1.0), error_function(scaled(0.70710678118654752, x))));
    }
    ck_abort_msg("no such activation");
    return x;
}

static int has_kink(infl_activation activation) { return activation == INFL_RELU || activation == INFL_SELU; }

static hyperdual lost(const infl_loss *loss, const hyperdual *outputs, size_t n_outputs, const double *target) {
    hyperdual sum = constant(0.0);
    double sign = target[0] == 1.0 ? 1.0 : -1.0;
    switch (loss->kind) {
    case INFL_SOFTMAX_CROSS_ENTROPY: { /* log Σ_c exp(f_c − f_m) + f_m − f_y, f_m the largest */
        size_t largest = 0;
        for (size_t c = 1; c < n_outputs; c++)
            if (outputs[c].value > outputs[largest].value)
                largest = c;
        for (size_t c = 0; c < n_outputs; c++)
            if (c != largest)
                sum = plus(sum, exponential(minus(outputs[c], outputs[largest])));
        return plus(logarithm_1p(sum), minus(outputs[largest], outputs[(size_t)target[0]]));
    }
    case INFL_LOGISTIC:
        return softplus(scaled(-sign, outputs[0]));
    case INFL_SQUARED_ERROR:
        for (size_t c = 0; c < n_outputs; c++) {
            hyperdual residual = minus(outputs[c], constant(target[c]));
            sum = plus(sum, scaled(0.5, times(residual, residual)));
        }
        return sum;
    case INFL_SMOOTHED_HINGE: {
        hyperdual shortfall = minus(constant(1.0), scaled(sign, outputs[0]));
        return scaled(loss->temperature, softplus(scaled(1.0 / loss->temperature, shortfall)));
    }
    }
    ck_abort_msg("no such loss");
    return sum;
}

/* Fills the numbers of all nodes; those of the last node are the outputs. */
static void forward(const problem *q, const hyperdual *theta, const double *x, hyperdual *values) {
    for (int i = 0; i < q->n_nodes; i++) {
        const reference_node *node = &q->nodes[i];
        const hyperdual *a = values + q->nodes[node->a].start, *b = values + q->nodes[node->b].start;
        size_t inputs = q->nodes[node->a].width;
        for (size_t u = 0; u < node->width; u++) {
            hyperdual y = constant(0.0);
            switch (node->layer) {
            case REFERENCE_INPUT:
                y = constant(x[u]);
                break;
            case REFERENCE_DENSE:
                for (size_t j = 0; j < inputs; j++)
                    y = plus(y, times(theta[node->parameter + u * inputs + j], a[j]));
                if (node->bias)
                    y = plus(y, theta[node->parameter + node->width * inputs + u]);
                break;
            case REFERENCE_ACTIVATION:
                y = activated(node->activation, a[u]);
                break;
            case REFERENCE_ADD:
                y = plus(a[u], b[u]);
                break;
            case REFERENCE_BATCH_NORM: {
                double mean = q->state[node->state + u], variance = q->state[node->state + node->width + u];
                hyperdual normal = scaled(1.0 / sqrt(variance + 1e-5), minus(a[u], constant(mean)));
                y = plus(times(theta[node->parameter + u], normal), theta[node->parameter + node->width + u]);
                break;
            }
            }
            values[node->start + u] = y;
        }
    }
}

static hyperdual *lifted(const double *theta, size_t p) {
    hyperdual *lift = allocate(p, sizeof *lift);
    for (size_t j = 0; j < p; j++)
        lift[j].value = theta[j];
    return lift;
}

void reference_loss(const infl_loss *loss, const double *outputs, size_t n_outputs, const double *target, double *value,
                    double *gradient, double *hessian) {
    hyperdual *f = lifted(outputs, n_outputs);
    for (size_t a = 0; a < n_outputs; a++) {
        for (size_t b = 0; b < n_outputs; b++) {
            f[a].first = 1.0;
            f[b].second = 1.0;
            hyperdual y = lost(loss, f, n_outputs, target);
            f[a].first = 0.0;
            f[b].second = 0.0;
            if (value != NULL)
                *value = y.value;
            if (gradient != NULL)
                gradient[a] = y.first;
            if (hessian != NULL)
                hessian[a * n_outputs + b] = y.mixed;
        }
    }
    free(f);
}

double reference_margin(const problem *q, const double *theta, const double *v) {
    double margin = INFINITY;
    hyperdual *lift = lifted(theta, q->p), *values = allocate(q->n_values, sizeof *values);
    for (size_t j = 0; v != NULL && j < q->p; j++)
        lift[j].first = v[j];
    for (size_t row = 0; row < q->n; row++) {
        forward(q, lift, q->features + row * q->d, values);
        for (int i = 0; i < q->n_nodes; i++) {
            const reference_node *node = &q->nodes[i];
            const hyperdual *z = values + q->nodes[node->a].start;
            if (node->layer == REFERENCE_ACTIVATION && has_kink(node->activation))
                for (size_t u = 0; u < node->width; u++)
                    margin = fmin(margin, fabs(z[u].value) / (v == NULL ? 1.0 : fabs(z[u].first)));
        }
    }
    free(values);
    free(lift);
    return margin;
}

void reference_outputs(const problem *q, const double *theta, size_t row, double *outputs, double *jacobian) {
    hyperdual *lift = lifted(theta, q->p), *values = allocate(q->n_values, sizeof *values);
    const hyperdual *f = values + q->nodes[q->n_nodes - 1].start;
    for (size_t j = 0; j < (jacobian == NULL ? 1 : q->p); j++) {
        lift[j].first = 1.0;
        forward(q, lift, q->features + row * q->d, values);
        lift[j].first = 0.0;
        for (size_t c = 0; c < q->c; c++) {
            outputs[c] = f[c].value;
            if (jacobian != NULL)
                jacobian[c * q->p + j] = f[c].first;
        }
    }
    free(values);
    free(lift);
}

void reference_row(const problem *q, const double *theta, size_t row, const double *v, double *value, double *gradient,
                   double *product) {
    hyperdual *lift = lifted(theta, q->p), *values = allocate(q->n_values, sizeof *values);
    for (size_t j = 0; v != NULL && j < q->p; j++)
        lift[j].second = v[j];
    for (size_t j = 0; j < (gradient == NULL && product == NULL ? 1 : q->p); j++) {
        lift[j].first = 1.0;
        forward(q, lift, q->features + row * q->d, values);
        lift[j].first = 0.0;
        hyperdual y = lost(&q->loss, values + q->nodes[q->n_nodes - 1].start, q->c, q->targets + row * q->n_targets);
        if (value != NULL)
            *value = y.value;
        if (gradient != NULL)
            gradient[j] = y.first;
        if (product != NULL)
            product[j] = y.mixed;
    }
    free(values);
    free(lift);
}

void reference_risk(const problem *q, const size_t *rows, size_t n_rows, double *value, double *gradient) {
    size_t n = rows == NULL ? q->n : n_rows;
    double sum = 0.0, squares = 0.0, *g = allocate(q->p, sizeof *g), *total = allocate(q->p, sizeof *total);
    for (size_t i = 0; i < n; i++) {
        double loss = 0.0;
        reference_row(q, q->theta, rows == NULL ? i : rows[i], NULL, &loss, gradient == NULL ? NULL : g, NULL);
        sum += loss;
        for (size_t j = 0; j < q->p; j++)
            total[j] += g[j];
    }
    for (size_t j = 0; j < q->p; j++) {
        squares += q->mask[j] * q->theta[j] * q->theta[j];
        if (gradient != NULL)
            gradient[j] = total[j] / (double)n + q->options.decay * q->mask[j] * q->theta[j];
    }
    if (value != NULL)
        *value = sum / (double)n + 0.5 * q->options.decay * squares;
    free(total);
    free(g);
}

/* J^T (∇²_f ℓ) J v of one row, by its definition */
static void gauss_newton_row(const problem *q, const double *theta, size_t row, const double *v, double *product) {
    double *outputs = allocate(q->c, sizeof *outputs), *jacobian = allocate(q->c * q->p, sizeof *jacobian);
    double *hessian = allocate(q->c * q->c, sizeof *hessian), *tangent = allocate(q->c, sizeof *tangent);
    reference_outputs(q, theta, row, outputs, jacobian);
    reference_loss(&q->loss, outputs, q->c, q->targets + row * q->n_targets, NULL, NULL, hessian);
    for (size_t c = 0; c < q->c; c++)
        for (size_t j = 0; j < q->p; j++)
            tangent[c] += jacobian[c * q->p + j] * v[j];
    for (size_t j = 0; j < q->p; j++) {
        product[j] = 0.0;
        for (size_t a = 0; a < q->c; a++)
            for (size_t b = 0; b < q->c; b++)
                product[j] += jacobian[a * q->p + j] * hessian[a * q->c + b] * tangent[b];
    }
    free(tangent);
    free(hessian);
    free(jacobian);
    free(outputs);
}

void reference_product(const problem *q, infl_curvature_kind kind, const size_t *rows, size_t n_rows, const double *v,
                       double *out) {
    size_t n = rows == NULL ? q->n : n_rows;
    double *term = allocate(q->p, sizeof *term), *sum = allocate(q->p, sizeof *sum);
    for (size_t i = 0; i < n; i++) {
        size_t row = rows == NULL ? i : rows[i];
        double along = 0.0;
        switch (kind) {
        case INFL_HESSIAN:
            reference_row(q, q->theta, row, v, NULL, NULL, term);
            break;
        case INFL_GAUSS_NEWTON:
            gauss_newton_row(q, q->theta, row, v, term);
            break;
        case INFL_FISHER:
            reference_row(q, q->theta, row, NULL, NULL, term, NULL);
            for (size_t j = 0; j < q->p; j++)
                along += term[j] * v[j];
            for (size_t j = 0; j < q->p; j++)
                term[j] *= along;
            break;
        }
        for (size_t j = 0; j < q->p; j++)
            sum[j] += term[j];
    }
    for (size_t j = 0; j < q->p; j++)
        out[j] = sum[j] / (double)n + q->options.decay * q->mask[j] * v[j];
    free(sum);
    free(term);
}

static int custom_losses(void *context, const double *theta, const size_t *rows, size_t n_rows, double *losses) {
    for (size_t i = 0; i < n_rows; i++)
        reference_row(context, theta, rows[i], NULL, &losses[i], NULL, NULL);
    return 0;
}

static int custom_gradients(void *context, const double *theta, const size_t *rows, size_t n_rows, double *gradients) {
    const problem *q = context;
    for (size_t i = 0; i < n_rows; i++)
        reference_row(q, theta, rows[i], NULL, NULL, gradients + i * q->p, NULL);
    return 0;
}

static int custom_products(const problem *q, int hessian, const double *theta, const size_t *rows, size_t n_rows,
                           const double *vectors, size_t k, double *products) {
    double *term = allocate(q->p, sizeof *term);
    for (size_t b = 0; b < k; b++) {
        for (size_t j = 0; j < q->p; j++)
            products[b * q->p + j] = 0.0;
        for (size_t i = 0; i < n_rows; i++) {
            if (hessian)
                reference_row(q, theta, rows[i], vectors + b * q->p, NULL, NULL, term);
            else
                gauss_newton_row(q, theta, rows[i], vectors + b * q->p, term);
            for (size_t j = 0; j < q->p; j++)
                products[b * q->p + j] += term[j];
        }
    }
    free(term);
    return 0;
}

static int custom_hessian(void *context, const double *theta, const size_t *rows, size_t n_rows, const double *vectors,
                          size_t k, double *products) {
    return custom_products(context, 1, theta, rows, n_rows, vectors, k, products);
}

static int custom_gauss_newton(void *context, const double *theta, const size_t *rows, size_t n_rows,
                               const double *vectors, size_t k, double *products) {
    return custom_products(context, 0, theta, rows, n_rows, vectors, k, products);
}

infl_custom_objective reference_custom(problem *q, const unsigned char *mask) {
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = q->n;
    custom.n_parameters = q->p;
    custom.context = q;
    custom.losses = custom_losses;
    custom.row_gradients = custom_gradients;
    custom.hessian_products = custom_hessian;
    custom.gauss_newton_products = custom_gauss_newton;
    custom.decay_mask = mask;
    return custom;
}

/* Building: each node in the library's graph and in the reference's. */

typedef struct twin {
    problem *q;
    infl_builder *builder;
    infl_node handles[REFERENCE_MAX_NODES];
} twin;

static int append(twin *t, reference_node node, infl_node handle) {
    problem *q = t->q;
    ck_assert_int_lt(q->n_nodes, REFERENCE_MAX_NODES);
    ck_assert_msg(handle != INFL_NODE_INVALID, "node %d: %s", q->n_nodes, infl_last_error());
    node.start = q->n_values;
    q->n_values += node.width;
    q->nodes[q->n_nodes] = node;
    t->handles[q->n_nodes] = handle;
    return q->n_nodes++;
}

static int dense(twin *t, int a, size_t units, int bias) {
    problem *q = t->q;
    reference_node node = {REFERENCE_DENSE, a, a, units, 0, q->p, bias, INFL_IDENTITY, 0};
    q->p += units * (q->nodes[a].width + (bias ? 1 : 0));
    return append(t, node, infl_builder_dense(t->builder, t->handles[a], units, bias, INFL_INIT_LECUN));
}

static int activation(twin *t, int a) {
    infl_activation which = t->q->options.activation;
    reference_node node = {REFERENCE_ACTIVATION, a, a, t->q->nodes[a].width, 0, 0, 0, which, 0};
    return append(t, node, infl_builder_activation(t->builder, t->handles[a], which));
}

static int add(twin *t, int a, int b) {
    reference_node node = {REFERENCE_ADD, a, b, t->q->nodes[a].width, 0, 0, 0, INFL_IDENTITY, 0};
    return append(t, node, infl_builder_add(t->builder, t->handles[a], t->handles[b]));
}

static int batch_norm(twin *t, int a) {
    problem *q = t->q;
    size_t width = q->nodes[a].width;
    reference_node node = {REFERENCE_BATCH_NORM, a, a, width, 0, q->p, 0, INFL_IDENTITY, q->n_state};
    q->p += 2 * width;
    q->n_state += 2 * width;
    return append(t, node, infl_builder_batch_norm(t->builder, t->handles[a], NULL));
}

/* The library's node alone moves on. */
static int with_identities(twin *t, int a) {
    infl_node dropped = infl_builder_dropout(t->builder, t->handles[a], 0.5);
    t->handles[a] = infl_builder_flatten(t->builder, dropped);
    return a;
}

static int build(twin *t) {
    const problem_options *o = &t->q->options;
    reference_node input = {REFERENCE_INPUT, 0, 0, t->q->d, 0, 0, 0, INFL_IDENTITY, 0};
    int h = append(t, input, INFL_NODE_INPUT);
    switch (o->graph) {
    case REFERENCE_PLAIN:
        for (size_t i = 0; i < o->depth; i++)
            h = activation(t, dense(t, h, o->width, 1));
        return dense(t, h, t->q->c, 1);
    case REFERENCE_RESIDUAL:
        if (o->depth == 0) {
            int left = dense(t, h, t->q->c, 1), right = dense(t, h, t->q->c, 0);
            return add(t, left, right);
        }
        h = dense(t, h, o->width, 1);
        for (size_t i = 0; i < o->depth; i++)
            h = add(t, h, activation(t, dense(t, h, o->width, 1)));
        return dense(t, h, t->q->c, 1);
    case REFERENCE_TANGLED: {
        int frozen = activation(t, add(t, h, h));
        int mixed = add(t, frozen, dense(t, h, t->q->d, 1));
        int first = activation(t, dense(t, mixed, o->width, 0));
        infl_node dead = infl_builder_dense(t->builder, t->handles[first], 2, 1, INFL_INIT_HE);
        ck_assert_int_ne(infl_builder_activation(t->builder, dead, INFL_TANH), INFL_NODE_INVALID);
        int second = add(t, dense(t, add(t, first, first), o->width, 1), first);
        int third = activation(t, add(t, second, dense(t, first, o->width, 0)));
        int head = dense(t, third, t->q->c, 1), skip = dense(t, frozen, t->q->c, 0);
        return activation(t, add(t, head, skip));
    }
    case REFERENCE_NORMALISED:
        h = batch_norm(t, h);
        for (size_t i = 0; i < o->depth; i++)
            h = activation(t, batch_norm(t, dense(t, h, o->width, 1)));
        return dense(t, with_identities(t, h), t->q->c, 1);
    }
    ck_abort_msg("no such graph");
    return h;
}

double *problem_room(problem *q, size_t n) {
    struct room *room = allocate(1, sizeof *room + n * sizeof(double));
    room->next = q->rooms;
    q->rooms = room;
    return room->numbers;
}

double *problem_normals(problem *q, size_t n, uint64_t seed) {
    double *x = problem_room(q, n);
    uint64_t state = seed * 0x2545f4914f6cdd1du + 99;
    for (size_t j = 0; j < n; j++)
        x[j] = random_normal(&state);
    return x;
}

/* Numbers that float holds exactly, so that both precisions see the same problem. */
static void draw(problem *q, uint64_t *state) {
    for (size_t i = 0; i < q->n * q->d; i++)
        q->features[i] = (float)random_normal(state);
    for (size_t i = 0; i < q->n * q->n_targets; i++) {
        double classes = q->loss.kind == INFL_SOFTMAX_CROSS_ENTROPY ? (double)q->c : 2.0;
        q->targets[i] =
            q->loss.kind == INFL_SQUARED_ERROR ? (float)random_normal(state) : floor(classes * random_uniform(state));
    }
    for (int i = 0; i < q->n_nodes; i++) {
        const reference_node *node = &q->nodes[i];
        for (size_t j = 0; node->layer == REFERENCE_BATCH_NORM && j < 2 * node->width; j++) {
            int first = j < node->width;
            q->theta[node->parameter + j] = (float)((first ? 1.0 : 0.0) + 0.3 * random_normal(state));
            q->mask[node->parameter + j] = q->options.decay_scope == INFL_DECAY_ALL;
            q->state[node->state + j] = (float)(first ? 0.3 * random_normal(state) : 0.5 + random_uniform(state));
        }
        if (node->layer != REFERENCE_DENSE)
            continue;
        size_t inputs = q->nodes[node->a].width, weights = inputs * node->width;
        for (size_t j = 0; j < weights + (node->bias ? node->width : 0); j++) {
            double spread = j < weights ? 1.0 / sqrt((double)inputs) : 0.3;
            q->theta[node->parameter + j] = (float)(spread * random_normal(state));
            q->mask[node->parameter + j] = q->options.decay_scope == INFL_DECAY_ALL || j < weights ? 1.0 : 0.0;
        }
    }
}

const char *problem_name(const problem *q) {
    static const char *const losses[] = {"softmax", "logistic", "squared error", "smoothed hinge"};
    static const char *const activations[] = {"identity", "tanh", "sigmoid", "relu", "selu", "softplus", "gelu"};
    static const char *const graphs[] = {"plain", "residual", "tangled", "normalised"};
    static char name[128];
    const problem_options *o = &q->options;
    snprintf(name, sizeof name, "%s %s %s, depth %zu, %zu rows, width %zu, %s", losses[o->loss],
             activations[o->activation], graphs[o->graph], o->depth, q->n, o->width,
             o->precision == INFL_F32 ? "f32" : "f64");
    return name;
}

infl_objective *problem_objective(problem *q, int threads, size_t memory_budget) {
    infl_objective *objective = NULL;
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = q->options.decay;
    options.decay_scope = q->options.decay_scope;
    options.threads = threads;
    options.memory_budget = memory_budget;
    assert_ok(infl_objective_create(&objective, q->model, &q->loss, q->dataset, &options));
    return objective;
}

problem *problem_create(const problem_options *options) {
    problem *q = allocate(1, sizeof *q);
    twin t = {q, NULL, {0}};
    infl_loss loss = INFL_LOSS_INIT(options->loss);
    infl_dataset_spec spec = INFL_DATASET_SPEC_INIT;
    uint64_t state = options->seed * 0x9e3779b97f4a7c15u + 1;
    int reals = options->loss == INFL_SQUARED_ERROR;

    q->options = *options;
    q->loss = loss;
    q->loss.temperature = options->temperature;
    q->n = options->n_rows;
    q->d = options->n_features;
    q->c = reals || options->loss == INFL_SOFTMAX_CROSS_ENTROPY ? options->n_outputs : 1;
    q->n_targets = reals ? q->c : 1;
    assert_ok(infl_builder_create(&t.builder, q->d));
    infl_node output = t.handles[build(&t)];
    assert_ok(infl_model_create(&q->model, t.builder, output, options->precision, options->seed));
    infl_builder_destroy(t.builder);
    ck_assert_uint_eq(infl_model_parameters(q->model), q->p);
    ck_assert_uint_eq(infl_model_state(q->model), q->n_state);

    q->features = problem_room(q, q->n * q->d);
    q->targets = problem_room(q, q->n * q->n_targets);
    q->theta = problem_room(q, q->p);
    q->mask = problem_room(q, q->p);
    q->state = problem_room(q, q->n_state);
    int draws = 0;
    do {
        ck_assert_msg(draws++ < 1000, "no draw keeps away from the kinks");
        draw(q, &state);
    } while (reference_margin(q, q->theta, NULL) < options->margin);
    assert_ok(infl_model_set_parameters(q->model, q->theta));
    assert_ok(infl_model_set_state(q->model, q->state));

    int32_t *labels = allocate(q->n, sizeof *labels);
    for (size_t i = 0; i < q->n; i++)
        labels[i] = (int32_t)q->targets[i * q->n_targets];
    spec.n_rows = q->n;
    spec.n_features = q->d;
    spec.features = q->features;
    spec.labels = reals ? NULL : labels;
    spec.n_classes = options->loss == INFL_SOFTMAX_CROSS_ENTROPY ? q->c : 2;
    spec.targets = reals ? q->targets : NULL;
    spec.n_targets = q->c;
    assert_ok(infl_dataset_create(&q->dataset, &spec));
    free(labels);
    q->objective = problem_objective(q, options->threads, options->memory_budget);
    return q;
}

void problem_destroy(problem *q) {
    infl_objective_destroy(q->objective);
    infl_dataset_destroy(q->dataset);
    infl_model_destroy(q->model);
    while (q->rooms != NULL) {
        struct room *next = q->rooms->next;
        free(q->rooms);
        q->rooms = next;
    }
    free(q);
}

int is_in_the_name_of(const char *sentence, const char *call) {
    size_t length = strcspn(sentence, ":");
    if (strncmp(sentence, "infl_", 5) != 0 || strncmp(sentence + length, ": ", 2) != 0)
        return 0;
    if (call != NULL && (strcspn(call, "(") != length || strncmp(sentence, call, length) != 0))
        return 0;
    for (const char *name = sentence + length; (name = strstr(name, ": infl_")) != NULL;) {
        name += 2;
        if (name[strcspn(name, ": ")] == ':')
            return 0;
    }
    return 1;
}

double relative_error(const double *x, const double *y, size_t n) {
    double difference = 0.0, size = 0.0, own = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i]))
            return INFINITY;
        difference = hypot(difference, x[i] - y[i]);
        size = hypot(size, y[i]);
        own = hypot(own, x[i]);
    }
    return size > 0.0 ? difference / size : own;
}

void fill_sentinel(double *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = SENTINEL;
}

int all_sentinel(const double *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (x[i] != SENTINEL)
            return 0;
    return 1;
}

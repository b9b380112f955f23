/*
 * The graph of a network and the engine that runs it: what models and objectives know of the code in src/real, which is
 * compiled once for each precision and instruction set.
 *
 * Buffers. The rows of a chunk stand innermost, so that they fill vector registers in every layer, narrow ones too, and
 * per-row results need no sums. A chunk of B rows with k tangents has S = 1 + k slots: slot 0 holds values (or
 * cotangents), slot s ≥ 1 what belongs to tangent s. An array of width F is S×F×B, with slot 0 apart from the others; a
 * node that depends on no parameter has slot 0 alone.
 */
#ifndef INFL_NETWORK_H
#define INFL_NETWORK_H

#include "dataset.h"
#include "error.h"
#include "hash.h"

enum { INFL_MAX_INPUTS = 2, INFL_MAX_TENSORS = 2 };

/* How many there are: all checks, tables and tests count by these. */
enum { INFL_N_ACTIVATIONS = INFL_GELU + 1, INFL_N_LOSSES = INFL_SMOOTHED_HINGE + 1 };

enum {
    INFL_LAYER_INPUT = 0,
    INFL_LAYER_DENSE,
    INFL_LAYER_ACTIVATION,
    INFL_LAYER_ADD,
    INFL_LAYER_CONV2D,
    INFL_LAYER_MAX_POOL,
    INFL_LAYER_AVERAGE_POOL,
    INFL_LAYER_BATCH_NORM,
    INFL_LAYER_DROPOUT,
    INFL_LAYER_FLATTEN, /* in builders only: a model's graph has none */
    INFL_LAYER_KINDS
};

/* A node's outputs of a row: channels × height × width numbers; vectors are n × 1 × 1. */
typedef struct infl_shape {
    size_t channels, height, width;
} infl_shape;

/* A window that slides over an image: rows, columns. */
typedef struct infl_window {
    size_t kernel[2], stride[2], padding[2];
} infl_window;

static inline size_t infl_shape_size(infl_shape shape) { return shape.channels * shape.height * shape.width; }

/* Whether the product of the three can be counted, with room for the arrays of a chunk. */
int infl_shape_fits(infl_shape shape);

/* Height and width of the output; INFL_E_ARGUMENT where the kernel does not fit the padded image. */
infl_status infl_window_shape(const infl_window *window, infl_shape in, infl_shape *out);

/* The output positions along an axis, from .. to−1, whose tap `tap` meets the image of `in` pixels. */
void infl_window_range(const infl_window *window, int axis, size_t tap, size_t in, size_t out, size_t *from,
                       size_t *to);

/* What the builder asks for. */
typedef struct infl_layer_spec {
    int kind;                        /* index into the engine's table of kinds */
    int32_t inputs[INFL_MAX_INPUTS]; /* nodes; -1: none */
    size_t units;                    /* dense: outputs; conv2d: output channels */
    infl_window window;              /* conv2d and pools */
    size_t groups;                   /* conv2d */
    int bias;
    infl_initialiser initialiser;
    infl_activation activation;
    double epsilon, momentum; /* batch norm */
    double rate;              /* dropout */
} infl_layer_spec;

/* A tensor of a layer's parameters or state, as its kind describes it; offset within the layer. */
typedef struct infl_layer_tensor {
    const char *name; /* "weight", "bias" */
    size_t offset, length, n_dims, dims[4];
    size_t fan_in, fan_out;
    int is_weight; /* drawn by the initialiser */
    double start;  /* what the others begin with */
} infl_layer_tensor;

/* A node of the finished graph; nodes stand in an order in which inputs come first. Node 0 is the input. */
typedef struct infl_layer {
    infl_layer_spec spec; /* with inputs renumbered */
    size_t n_inputs;
    infl_shape in_shape[INFL_MAX_INPUTS];
    size_t in_width[INFL_MAX_INPUTS]; /* numbers a row, of the inputs and of the output */
    infl_shape shape;
    size_t width;
    size_t aux;                    /* numbers a row that forward keeps for backward */
    int keeps_input, keeps_output; /* whether backward reads the values and tangents of the inputs, of the output */
    int keeps_cotangent;           /* whether backward of a tangent reads slot 0 of the output's cotangent */
    size_t parameters;             /* how many; at offset of θ */
    size_t offset;
    size_t state; /* numbers of its state; at state_offset of the model's */
    size_t state_offset;
    size_t index;                   /* of the node */
    int varying;                    /* depends on parameters, so has tangents and cotangents */
    int first_use[INFL_MAX_INPUTS]; /* backward reaches this input's node here first: overwrite its cotangent */
} infl_layer;

struct infl_layer_call; /* src/real/layer.h */

/* A kind of layer: one const table in one file of src/real, and one line in the list of network.c there. */
typedef struct infl_layer_kind {
    const char *name;
    size_t n_inputs;
    /* checks the inputs' shapes; sets the layer's shape, aux, parameters and what backward keeps (width: the caller) */
    infl_status (*shape)(infl_layer *layer);
    /* the tensors of its parameters, at most INFL_MAX_TENSORS; returns how many. NULL: it has no parameters */
    size_t (*tensors)(const infl_layer *layer, infl_layer_tensor *tensors);
    void (*forward)(const struct infl_layer_call *call);
    void (*backward)(const struct infl_layer_call *call);
    /* in place of forward for tangents that are unit vectors of the layer's parameters, slots ≥ 1; NULL likewise */
    void (*unit_tangents)(const struct infl_layer_call *call);
    /* the gradient of some parameters for each row, from slot 0; NULL where there are none */
    void (*row_gradients)(const struct infl_layer_call *call);
    /* bytes of scratch memory that a call on so many rows takes; NULL: none */
    size_t (*scratch)(const infl_layer *layer, size_t rows);
    /* the tensors of its state, at most INFL_MAX_TENSORS; returns how many. NULL: it has none */
    size_t (*states)(const infl_layer *layer, infl_layer_tensor *tensors);
    /* in training, of a chunk before forward (or backward): what it must know of the batch as a whole. With state only */
    void (*measure)(const struct infl_layer_call *call, int backward);
    int acts_in_training; /* forward and backward are others in training */
} infl_layer_kind;

typedef struct infl_network {
    size_t n_layers;
    infl_layer *layers;
    size_t n_parameters, n_inputs, n_outputs;
    size_t n_state;
    double *state; /* running statistics, in f64 at every precision */
} infl_network;

/* Memory of one thread for one chunk at a time. */
typedef struct infl_workspace infl_workspace;

typedef enum infl_backward_mode {
    INFL_BACKWARD_FIRST, /* each slot is a cotangent of its own; result: its product with the Jacobian */
    INFL_BACKWARD_SECOND /* slot 0 the gradient's cotangent, the others its tangents: the R-operator */
} infl_backward_mode;

/* How the cotangents of the slots 1..k come from the loss. */
typedef enum infl_seed_kind {
    INFL_SEED_CURVATURE, /* (∇²_f ℓ) ẏ: Hessian and Gauss–Newton */
    INFL_SEED_FISHER,    /* (∇_f ℓ · ẏ) ∇_f ℓ */
} infl_seed_kind;

/* A step of training, and what it makes of its images: a function of (seed, number, row) alone. */
typedef struct infl_training_step {
    uint64_t seed, number;
    size_t crop;          /* shifted by up to so many pixels */
    int flip;             /* mirrored, with probability 1/2 */
    int fixed_statistics; /* the running statistics are the batch's */
} infl_training_step;

/* What a chunk has to know in training: of the batch that it is part of, and of its own rows. */
typedef struct infl_training {
    double rows;          /* of the batch */
    const double *state;  /* the batch's own statistics, laid out as the model's state */
    const double *totals; /* backward: sums over the batch, likewise */
    double *measured;     /* of the chunk: what `measure` of the layers finds, likewise */
    int fixed_statistics; /* state is no function of the batch, and nothing is measured */
    uint64_t seed, step;
    const size_t *source_rows; /* of the rows loaded */
} infl_training;

/* Tangents that are unit vectors of one layer's parameters: only what depends on that layer has tangents, and nothing
 * before it is passed back to. */
typedef struct infl_basis {
    size_t layer;
    const size_t *parameters;     /* of the slots 1, 2, ...: within the layer */
    const unsigned char *reached; /* of each layer: whether it depends on these parameters */
    const unsigned char *wanted;  /* of each layer: whether its gradient is asked for */
} infl_basis;

/* Where a network is differentiated and along what: arrays of the engine's precision. */
typedef struct infl_point {
    const void *theta;       /* p */
    const void *tangents;    /* k×p, or NULL */
    const double *vectors;   /* the tangents before they are converted, which is then done layer by layer; or NULL */
    const infl_basis *basis; /* in place of tangents; or NULL */
    const infl_training *training; /* NULL: evaluation */
} infl_point;

/* Where gradients go: the parameters of one layer after another, in the order in which backward comes to them; of the
 * slots first .. first+slots−1, slots × layer->parameters numbers of the engine's precision. */
typedef struct infl_gradient_sink {
    void (*take)(const struct infl_gradient_sink *sink, const infl_layer *layer, const void *gradients, size_t slots);
    size_t first;
} infl_gradient_sink;

struct infl_plan; /* plan.h */

/* One chunk through the network. Pointers of type void are arrays of the engine's precision. */
typedef struct infl_engine {
    infl_precision precision;
    size_t real_size;
    const infl_layer_kind *const *kinds; /* INFL_LAYER_KINDS of them */

    void (*from_double)(void *to, const double *from, size_t n);
    void (*to_double)(double *to, const void *from, size_t n);

    size_t (*padded_rows)(size_t rows); /* whole vectors */
    /* bytes of a workspace for the plan; and one laid out at the start of that many bytes. The plan is kept */
    size_t (*workspace_bytes)(const infl_network *network, const struct infl_plan *plan);
    void (*workspace_init)(infl_workspace *workspace, const infl_network *network, const struct infl_plan *plan);
    /* where the plan keeps a chunk's values apart from the workspace: bytes of that, and turning the workspace to it, with
     * the n rows that are or will be loaded there */
    size_t (*kept_bytes)(const infl_network *network, const struct infl_plan *plan);
    void (*attach)(infl_workspace *workspace, const struct infl_plan *plan, void *kept, size_t n);

    /* loads rows of the dataset: features, and targets as the loss reads them */
    void (*load)(infl_workspace *workspace, const infl_dataset *dataset, const size_t *rows, size_t n);
    /* the same, images as the step sees them; step NULL: as they are stored */
    void (*load_for_step)(infl_workspace *workspace, const infl_dataset *dataset, const size_t *rows, size_t n,
                          const infl_training_step *step);
    /* computes the slots first .. last−1: values are slot 0. first 1: the values (and slot 0 of the cotangents) of the
     * pass before are kept, which had the same chunk */
    void (*forward)(infl_workspace *workspace, const infl_point *at, size_t first, size_t last);
    /* in training, slot 0 of the layers from .. to−1 in turn; what `layer` measures of the chunk, before forward or backward
     * of it; and backward from layer to−1 down to `from`: gradients is overwritten by θ's part of these layers */
    void (*forward_layers)(infl_workspace *workspace, const infl_point *at, size_t from, size_t to);
    void (*measure)(infl_workspace *workspace, const infl_point *at, size_t layer, int backward);
    void (*backward_layers)(infl_workspace *workspace, const infl_point *at, size_t from, size_t to, void *gradients);
    /* scratch memory for a workspace whose plan has none; and to[i] += from[i] */
    void (*lend)(infl_workspace *workspace, void *scratch);
    void (*add_to_double)(double *to, const void *from, size_t n);
    /* outputs of a slot, n×C */
    void (*outputs)(const infl_workspace *workspace, size_t slot, double *outputs);
    /* slot 0 of the output's cotangent ← ∇_f ℓ; losses: n numbers, or NULL */
    void (*loss)(infl_workspace *workspace, const infl_loss *loss, double *losses);
    /* slots 1..k of the output's cotangent from the loss's curvature and the output's tangents; after loss */
    void (*seed_curvature)(infl_workspace *workspace, const infl_loss *loss, infl_seed_kind kind, size_t k);
    /* slots 0..k−1 of the output's cotangent: slot s ← weights[s·stride + row]·∇_f ℓ; after loss */
    void (*seed_weights)(infl_workspace *workspace, const double *weights, size_t stride, size_t k);
    /* slots 0..k−1 of the output's cotangent from k×stride×C numbers, `stride` rows apart */
    void (*seed_cotangents)(infl_workspace *workspace, const double *cotangents, size_t stride, size_t k);
    /* from the output's cotangent to the parameters, slots first .. last−1 */
    void (*backward)(infl_workspace *workspace, const infl_point *at, infl_backward_mode mode, size_t first,
                     size_t last, const infl_gradient_sink *sink);
    /* from slot 0 of the output's cotangent to each row's gradient: n×p numbers, stride apart; or only its products with
     * the k tangents (n×k), or its squared norm (n). The gradients themselves are formed a few units of a layer at a time */
    void (*row_gradients)(infl_workspace *workspace, const infl_point *at, double *gradients, size_t stride);
    void (*row_products)(infl_workspace *workspace, const infl_point *at, size_t k, double *products, size_t stride);
    void (*row_norms)(infl_workspace *workspace, const infl_point *at, double *squares);
    /* slot 0 of the output's cotangent ← a column of L, L·Lᵀ = ∇²_f ℓ of each row; after loss */
    void (*seed_factor)(infl_workspace *workspace, const infl_loss *loss, size_t column);
    /* row gradients as they are: of row b parameter j at gradients[b·stride + column[j]], unless that is SIZE_MAX; of
     * the layers that the point's basis wants */
    void (*gather_row_gradients)(infl_workspace *workspace, const infl_point *at, const size_t *column, void *gradients,
                                 size_t stride);
    /* out[i·n + j] ← Σ_l rows[l·stride + first + i]·rows[l·stride + from + j], i < m, j < n; n, `from` and the stride
     * are multiples of padded_rows(1) */
    void (*gram)(const void *rows, size_t l, size_t stride, size_t first, size_t m, size_t from, size_t n, void *out);

    /* value (1), gradient (C) and Hessian (C×C) of one row's loss in its outputs; each may be NULL */
    infl_status (*loss_of_row)(const infl_loss *loss, const double *outputs, size_t n_outputs, const double *target,
                               double *value, double *gradient, double *hessian);
} infl_engine;

/* Makes the builder fail with the error just left, unless an earlier one sticks. */
infl_node infl_builder_refuse(infl_builder *builder, infl_status status);

/* The engine for this precision and the machine that runs this. */
const infl_engine *infl_engine_select(infl_precision precision);

/* A loss given from outside: defaults, options of other sizes, checks. */
infl_status infl_read_loss(infl_loss *loss, const infl_loss *given, const char *function);

struct infl_model {
    const infl_engine *engine;
    infl_network network;
    void *theta;          /* p numbers in the engine's precision */
    uint64_t version;     /* another after every change of θ or the state */
    infl_tensor *tensors; /* names owned */
    size_t n_tensors;
    infl_tensor *state_tensors; /* of the network's state, likewise */
    size_t n_state_tensors;
};

/* A model whose θ and state are zeros. numbers: how many they have to be together, looked at before there is memory for
 * them (INFL_E_ARGUMENT); NULL: any. The node is one of the builder's, which has not failed. */
infl_status infl_model_create_blank(infl_model **out, const infl_builder *builder, infl_node output,
                                    infl_precision precision, const size_t *numbers);

/* Of all that a model's numbers depend on: graph, precision, θ, state. */
infl_status infl_model_hash(const infl_model *model, infl_hash *hash);

#endif

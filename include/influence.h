/*
 * libinfluence: which training examples made a neural network behave as it does.
 *
 *   dataset ─┐
 *   model ───┼─► objective ─► curvature ─► inverse ─► influence ─► evaluation
 *   loss ────┘
 *
 * Sections stand in the order in which data flows. Conventions, stated once:
 *
 * Symbols     n rows, d features, C outputs or classes, p parameters, θ parameters (one flat vector of p),
 *             λ damping, k right-hand sides or tangents, R the empirical risk, ℓ the loss of one row.
 * Matrices    are row-major and dense; "k×p" is k rows of p contiguous numbers.
 * Ownership   infl_x_create*(infl_x **out, ...) gives a handle that infl_x_destroy(x) frees; destroying NULL does
 *             nothing. Arrays passed in are read during the call and not kept, unless "borrowed" is said. A handle
 *             built on other handles borrows them: destroy it first. (Datasets are the exception: views share the
 *             storage by reference count, in any order.)
 * Errors      every function that can fail returns infl_status. Unless INFL_OK is returned no output argument has
 *             been changed, and infl_last_error() has a sentence: which argument, what was found, what was expected.
 *             A NULL handle or required pointer is INFL_E_ARGUMENT. The library never prints, exits, aborts or reads
 *             the environment.
 * Options     structs begin with their size and are initialised by their INIT macro: infl_x o = INFL_X_INIT. A NULL
 *             pointer to options means the defaults, where there are any (a convolution has none). Fields only get
 *             appended, and results have room for more, reserved and 0 (docs/abi.md).
 * Rows        "rows, n_rows" names rows by index; rows == NULL means all rows in order, and n_rows is then ignored.
 *             Where the result has one entry a row, all rows means as many as the objective has.
 * Threads     Any number of the caller's threads may use the same handles at once, as long as none changes them. What
 *             changes a handle: infl_x_destroy; appending to an infl_builder; infl_model_initialise,
 *             _set_parameters, _set_state and _read_weights; infl_objective_set_parameters, infl_train and infl_polish
 *             (the objective and its model); infl_curvature_form and _set_damping. Meanwhile no other thread may use that handle, what
 *             is built on it, or another objective on that model; views of a dataset are handles of their own. All
 *             other functions only read, infl_retrain_without among them: several threads may solve with one inverse,
 *             ask one objective, predict with one model. A callback may use what another thread might at that moment.
 *             Results have the same bits on any number of threads, the caller's or OpenMP's, of which each call has its
 *             own: many callers at once are served best by objectives with threads = 1. Where other programs keep the
 *             processors busy, OMP_WAIT_POLICY=passive in the environment keeps waiting threads from spinning.
 * Formulas    docs/math.md writes every sign and scale down; [KL17] is Koh & Liang, ICML 2017 (arXiv:1703.04730),
 *             [P94] Pearlmutter, Neural Computation 6(1) 1994, [ABH17] Agarwal, Bullins & Hazan, JMLR 18 2017.
 */
#ifndef INFLUENCE_H
#define INFLUENCE_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header; infl_version() is the library's. */
#define INFL_VERSION_MAJOR 0
#define INFL_VERSION_MINOR 1
#define INFL_VERSION_PATCH 0
#define INFL_VERSION_STRING "0.1.0"

/* One number that grows with the version, for comparisons: #if INFL_VERSION_NUMBER >= 200 is "0.2.0 or later". */
#define INFL_VERSION_NUMBER (INFL_VERSION_MAJOR * 10000 + INFL_VERSION_MINOR * 100 + INFL_VERSION_PATCH)

#if defined(_WIN32)
#define INFL_API
#elif defined(__GNUC__)
#define INFL_API __attribute__((visibility("default")))
#else
#define INFL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ================================================================================================ basics ======= */

/* Values are pinned: they never change, new ones are appended. */
typedef enum infl_status {
    INFL_OK = 0,             /* done                                                                                  */
    INFL_E_ARGUMENT = 1,     /* an argument is NULL, out of range, or does not fit another                            */
    INFL_E_MEMORY = 2,       /* an allocation failed                                                                  */
    INFL_E_IO = 3,           /* a file could not be opened, read or written                                           */
    INFL_E_FORMAT = 4,       /* a file's content is malformed or truncated                                            */
    INFL_E_NONFINITE = 5,    /* NaN or infinity in data, parameters or a result                                       */
    INFL_E_INDEFINITE = 6,   /* a method for positive definite matrices met one that is not                           */
    INFL_E_DIVERGED = 7,     /* an iteration ran away                                                                 */
    INFL_E_UNCONVERGED = 8,  /* an iteration used up its budget short of its tolerance                                */
    INFL_E_CANCELLED = 9,    /* the progress callback asked to stop                                                   */
    INFL_E_UNSUPPORTED = 10, /* this combination does not exist (a custom objective without the callback needed, ...) */
    INFL_E_BUDGET = 11,      /* the memory budget is smaller than the least that would do                             */
    INFL_E_CALLBACK = 12     /* a callback of the caller's returned non-zero                                          */
} infl_status;

/* The name of a status, "INFL_E_ARGUMENT" and so on; never NULL. */
INFL_API const char *infl_status_name(infl_status status);

/*
 * The sentence that the last failing call of this thread left; "" when none has failed. Valid until the next call. It is
 * a line of UTF-8: where it quotes a file or a path, "?" stands for control characters and for what is no text.
 */
INFL_API const char *infl_last_error(void);

/* The version of the library at run time, INFL_VERSION_STRING at its compilation. */
INFL_API const char *infl_version(void);

/* The same as a number: INFL_VERSION_NUMBER at the library's compilation. */
INFL_API int infl_version_number(void);

/* What a network computes in, or features are stored in. */
typedef enum infl_precision {
    INFL_F32 = 0, /* float  */
    INFL_F64 = 1  /* double */
} infl_precision;

/*
 * Progress of long work: done of total units of a stage ("train", "polish", "retrain", "dense", "prepare" or "solve").
 * Calls of one piece of work never overlap, but may come from any thread; those of work on several of the caller's
 * threads, such as solves with one inverse, do. A non-zero return cancels: the work ends with INFL_E_CANCELLED and no
 * output changed. context is the progress_context beside the callback in the options.
 */
typedef int (*infl_progress_fn)(void *context, const char *stage, size_t done, size_t total);

/* =============================================================================================== dataset ======= */

/* n rows of d features with a target each. Immutable; views of it share its storage. */
typedef struct infl_dataset infl_dataset;

/* What a row's target is. */
typedef enum infl_target_kind {
    INFL_TARGET_CLASS = 0, /* an index 0 .. C-1 a row      */
    INFL_TARGET_REAL = 1   /* a vector of t real numbers a row */
} infl_target_kind;

typedef struct infl_dataset_spec {
    size_t size;
    size_t n_rows, n_features; /* n rows of d                                                                  */
    const double *features;    /* n×d, stored in double precision; or NULL when features_f32 is given        */
    const float *features_f32; /* n×d, stored in single precision; or NULL when features is given            */
    const int32_t *labels;     /* n class indices, or NULL when targets are given                            */
    size_t n_classes;          /* C with labels (0: the largest label + 1, each class having a row); ignored
                                  with targets                                                               */
    const double *targets;     /* n×t real targets, or NULL when labels are given                            */
    size_t n_targets;          /* t                                                                          */
    int borrow;                /* 0: everything is copied; 1: the arrays outlive the dataset and views       */
} infl_dataset_spec;
#define INFL_DATASET_SPEC_INIT {sizeof(infl_dataset_spec), 0, 0, NULL, NULL, NULL, 0, NULL, 0, 0}

/*
 * A dataset from arrays. Exactly one of features and features_f32, and exactly one of labels and targets, is given.
 * INFL_E_ARGUMENT: n or d is 0, a label is negative or ≥ C, or n_classes is 0 and some class below the largest label
 * has no row (labels 1, 2, 3 for instance); INFL_E_NONFINITE: a feature or target is NaN or infinite (the message
 * names row and column).
 */
INFL_API infl_status infl_dataset_create(infl_dataset **out, const infl_dataset_spec *spec);

typedef struct infl_csv_options {
    size_t size;
    char delimiter;           /* ','                                                                            */
    int header;               /* 1: the first line is a header; 0: it is data; -1: it is a header when one of its
                                 fields, the target's and skipped ones aside, is not a number                   */
    int target_column;        /* counted from 0; -1: the last                                                   */
    infl_target_kind target;  /* class indices (or class names, numbered in the order of their first appearance:
                                 give a second file classes = the dataset of the first, or the same name may get
                                 another number), or one real number                                            */
    size_t n_classes;         /* 0: the largest label + 1, each class having a row; or the number of names      */
    infl_precision precision; /* of the features as stored                                                      */
    const infl_dataset *classes; /* a dataset whose classes these are, their numbers, names and count, such as
                                    the training rows when test rows are read; NULL: the file's own. Read during
                                    the call only                                                            */
    const int *skip_columns;  /* columns to leave out, such as an id: counted from 0 over all fields of a line;
                                 -1: the last. What stands in them is not looked at                             */
    size_t n_skip_columns;    /* how many; 0 with NULL                                                         */
} infl_csv_options;
#define INFL_CSV_OPTIONS_INIT {sizeof(infl_csv_options), ',', -1, -1, INFL_TARGET_CLASS, 0, INFL_F64, NULL, NULL, 0}

/*
 * A dataset from a CSV file (RFC 4180 quoting; blank lines are skipped; a UTF-8 byte order mark is allowed). Blanks
 * around a number or a class name are no part of it. INFL_E_IO; INFL_E_ARGUMENT: the file has no target_column, or a
 * skipped column is not there, is the target or leaves no feature, or classes has no classes or other than n_classes;
 * INFL_E_FORMAT with line and column: a field that is not a number, a line with another number of fields, an unclosed
 * quote, a class index that is negative, not whole or beyond n_classes, a class of index below the largest that no row
 * has (unless n_classes or classes is given), a class that classes does not have, no rows; INFL_E_NONFINITE with line
 * and column.
 */
INFL_API infl_status infl_dataset_from_csv(infl_dataset **out, const char *path, const infl_csv_options *options);

/*
 * Fisher's Iris: 150 rows, 4 features (sepal length and width, petal length and width, cm), 3 classes of 50 in order
 * (setosa, versicolor, virginica). The values of Fisher (1936), as in R's datasets::iris; the UCI copy differs in the
 * rows numbered 34 and 37 here.
 */
INFL_API infl_status infl_dataset_iris(infl_dataset **out);

typedef struct infl_image_options {
    size_t size;
    double scale, offset;     /* a byte b becomes scale·b + offset                                               */
    infl_precision precision; /* of the features as stored                                                       */
    size_t n_classes;         /* 0: the largest label of the file + 1, each class having a row; CIFAR-10: 0 or 10 */
    size_t first, count;      /* the images to take, counted over all files; count 0: all from first on          */
} infl_image_options;
#define INFL_IMAGE_OPTIONS_INIT {sizeof(infl_image_options), 1.0 / 255.0, 0.0, INFL_F32, 0, 0, 0}

/*
 * Images and class labels from a pair of IDX files of unsigned bytes, as MNIST has them: rows of 1 × height × width
 * numbers. Each file may be plain or gzip, and is read and checked to its end, whichever images are taken. INFL_E_IO: a
 * file cannot be opened or read, or its gzip data is damaged or cut short; INFL_E_FORMAT, with the byte of the unpacked
 * file: a wrong magic number, a dimension that is 0, a file that ends early or goes on, numbers of images and labels
 * that differ, a label beyond n_classes, a class of index below the largest that no label of the file is (unless
 * n_classes is given); INFL_E_ARGUMENT: fewer images than first and count ask for, or bytes that would not become
 * finite numbers.
 */
INFL_API infl_status infl_dataset_from_idx(infl_dataset **out, const char *images_path, const char *labels_path,
                                           const infl_image_options *options);

/*
 * CIFAR-10 from n_paths files of its binary version, one after the other: rows of 3 × 32 × 32 numbers (red, green,
 * blue), 10 classes with their names, any number of records a file. Errors as above; INFL_E_FORMAT, with record and
 * byte: a file that is empty or ends within a record, a label above 9.
 */
INFL_API infl_status infl_dataset_from_cifar10(infl_dataset **out, const char *const *paths, size_t n_paths,
                                               const infl_image_options *options);

typedef struct infl_npy_options {
    size_t size;
    double scale, offset;    /* a feature x becomes scale·x + offset; images of bytes: 1/255 and 0                    */
    int precision;           /* INFL_F32 or INFL_F64, of the features as stored; -1: f32 where the file's type fits into
                                it (f4, integers of up to 2 bytes, bool), else f64                                    */
    infl_target_kind target; /* class indices, or real targets                                                        */
    size_t n_classes;        /* 0: the largest index + 1, each class having a row                                     */
} infl_npy_options;
#define INFL_NPY_OPTIONS_INIT {sizeof(infl_npy_options), 1.0, 0.0, -1, INFL_TARGET_CLASS, 0}

/*
 * A dataset from two arrays in NumPy's .npy format (numpy.save; versions 1.0 to 3.0, either byte order): features of
 * shape (n, ...), n rows of the product of the others, rows first or, of two dimensions, in Fortran's order too; and
 * targets, integers of shape (n,) as class indices, or with INFL_TARGET_REAL any numbers of shape (n,) or (n, t). f4,
 * f8, i1 to i8, u1 to u8 and bool are read. INFL_E_IO; INFL_E_FORMAT, with the file, what was found and what was expected:
 * it is no .npy file or damaged, is longer or shorter than its shape says, or has another shape than above; a class
 * index that is negative or beyond n_classes, a class below the largest that no row has (unless n_classes is given);
 * INFL_E_UNSUPPORTED: numbers of another type; INFL_E_NONFINITE, with row and column: NaN or an infinity, also of what
 * scale and offset make of a number; INFL_E_ARGUMENT.
 */
INFL_API infl_status infl_dataset_from_npy(infl_dataset **out, const char *features_path, const char *targets_path,
                                           const infl_npy_options *options);

/* The given rows, in the given order (repeats allowed), without copying the data. n_rows ≥ 1. */
INFL_API infl_status infl_dataset_subset(infl_dataset **out, const infl_dataset *dataset, const size_t *rows,
                                         size_t n_rows);

/* All rows but the given ones (leave-one-out: one), in order, without copying. At least one row must remain. */
INFL_API infl_status infl_dataset_without(infl_dataset **out, const infl_dataset *dataset, const size_t *rows,
                                          size_t n_rows);

/*
 * All rows, the given ones with other labels (classes of the dataset's): labels[i] is of rows[i], or with rows NULL of
 * row i. Features are shared, not copied, and source rows stay what they were. A row that the
 * dataset has more than once changes everywhere, and of several labels given to one row the last holds.
 * INFL_E_ARGUMENT: the targets are real numbers; a row or a label is not there.
 */
INFL_API infl_status infl_dataset_relabel(infl_dataset **out, const infl_dataset *dataset, const size_t *rows,
                                          size_t n_rows, const int32_t *labels);

/*
 * A seeded random split: round(fraction·n) rows in *first, the others in *second, each in the parent's order; with
 * stratify (class targets only) the same for each class in turn. 0 < fraction < 1, and neither part may be empty.
 */
INFL_API infl_status infl_dataset_split(infl_dataset **first, infl_dataset **second, const infl_dataset *dataset,
                                        double fraction, int stratify, uint64_t seed);

/*
 * A copy in which every feature has had the reference's mean subtracted and been divided by the reference's standard
 * deviation (1/n; a feature constant in the reference is only centred). reference: usually the training rows; NULL:
 * the dataset itself. Same d required. The copy is a first dataset: source rows count within it (its rows are in the
 * dataset's order, so that tells which rows of a file they were). INFL_E_ARGUMENT: both
 * have class names, but not the same in the same order (see classes of infl_csv_options); INFL_E_NONFINITE: a result
 * overflows.
 */
INFL_API infl_status infl_dataset_standardise(infl_dataset **out, const infl_dataset *dataset,
                                              const infl_dataset *reference);

/*
 * For images, whose features are `channels` runs of d/channels each (MNIST: 1, CIFAR-10: 3; channels divides d): mean
 * and standard deviation (1/n; 0 for a constant channel) of each channel over all rows, `channels` numbers each.
 * INFL_E_NONFINITE: one of them overflows.
 */
INFL_API infl_status infl_dataset_measure_channels(const infl_dataset *dataset, size_t channels, double *mean,
                                                   double *deviation);

/*
 * A copy, of the same precision, in which every feature has had its channel's mean subtracted and been divided by its
 * channel's deviation (0: it is only centred): as measured, of the training rows for test rows too, or as published.
 * The copy is a first dataset, as above. INFL_E_ARGUMENT: a deviation is negative; INFL_E_NONFINITE: mean, deviation or
 * a result is not finite.
 */
INFL_API infl_status infl_dataset_normalise_channels(infl_dataset **out, const infl_dataset *dataset, size_t channels,
                                                     const double *mean, const double *deviation);

INFL_API void infl_dataset_destroy(infl_dataset *dataset);

/* Shape and target kind; 0 (and INFL_TARGET_CLASS) for NULL. n_targets: C for classes, t for real targets. */
INFL_API size_t infl_dataset_rows(const infl_dataset *dataset);
INFL_API size_t infl_dataset_features(const infl_dataset *dataset);
INFL_API size_t infl_dataset_targets(const infl_dataset *dataset);
INFL_API infl_target_kind infl_dataset_target_kind(const infl_dataset *dataset);

/* The name of a class (of Iris, CIFAR-10, or a CSV file with names); NULL where there is none. Owned by the dataset. */
INFL_API const char *infl_dataset_class_name(const infl_dataset *dataset, size_t class_index);

/* One row: its d features, and its class index or its t targets. Either output may be NULL. */
INFL_API infl_status infl_dataset_get(const infl_dataset *dataset, size_t row, double *features, double *target);

/* The row of the dataset first created that a view's row stands for. */
INFL_API infl_status infl_dataset_source_row(const infl_dataset *dataset, size_t row, size_t *source_row);

/* ================================================================================================= model ======= */

/* A differentiable network: an acyclic graph of layers with one flat vector of p parameters. */
typedef struct infl_model infl_model;

/* Collects the layers of a graph. */
typedef struct infl_builder infl_builder;

/* A node of the graph under construction: 0 is the input, INFL_NODE_INVALID the mark of an earlier error. */
typedef int32_t infl_node;
#define INFL_NODE_INPUT ((infl_node)0)
#define INFL_NODE_INVALID ((infl_node)-1)

/* φ of an activation layer. */
typedef enum infl_activation {
    INFL_IDENTITY = 0, /* x                                                                                       */
    INFL_TANH = 1,     /* tanh x                                                                                  */
    INFL_SIGMOID = 2,  /* 1/(1 + exp(−x))                                                                         */
    INFL_RELU = 3,     /* max(x, 0); derivative 0 at 0                                                            */
    INFL_SELU = 4,     /* Klambauer et al. 2017                                                                   */
    INFL_SOFTPLUS = 5, /* log(1 + exp x)                                                                          */
    INFL_GELU = 6      /* x·Φ(x) with the exact normal distribution function, Hendrycks & Gimpel 2016             */
} infl_activation;

/* How weights are drawn; biases begin at 0. */
typedef enum infl_initialiser {
    INFL_INIT_GLOROT = 0,          /* uniform ±√(6/(fan_in+fan_out)); Glorot & Bengio 2010        */
    INFL_INIT_HE = 1,              /* normal, variance 2/fan_in; He et al. 2015                   */
    INFL_INIT_LECUN = 2,           /* normal, variance 1/fan_in; LeCun et al. 1998                */
    INFL_INIT_TRUNCATED_NORMAL = 3, /* normal cut at ±2 sd, sd before the cut 1/√fan_in; [KL17]   */
    INFL_INIT_TRUNCATED_NORMAL_2 = 4 /* likewise, sd 2/√fan_in: [KL17]'s convolutions              */
} infl_initialiser;

/*
 * Building a graph. Each call appends a layer and returns its node. The first error sticks: it makes this and all later
 * calls return INFL_NODE_INVALID, and infl_model_create reports it; so a network needs one check, at its end.
 */
INFL_API infl_status infl_builder_create(infl_builder **out, size_t n_inputs);
INFL_API void infl_builder_destroy(infl_builder *builder);

/* y = W x + b: W is units × inputs, drawn by the initialiser; b (when bias is non-zero) starts at 0. */
INFL_API infl_node infl_builder_dense(infl_builder *builder, infl_node input, size_t units, int bias,
                                      infl_initialiser initialiser);

/* For networks on images: rows of the dataset are channels × height × width numbers, a row of an image innermost. */
INFL_API infl_status infl_builder_create_image(infl_builder **out, size_t channels, size_t height, size_t width);

typedef struct infl_conv2d {
    size_t size;
    size_t channels;      /* of the output                                                             */
    size_t kernel[2];     /* rows, columns                                                             */
    size_t stride[2];     /* likewise                                                                  */
    size_t padding[2];    /* zeros on each side: above and below, left and right                       */
    size_t groups;        /* divides input and output channels; each group sees its own input channels */
    int bias;             /* 1: one an output channel, which begins at 0; 0: none                      */
    infl_initialiser initialiser; /* of the weights                                                    */
} infl_conv2d;
#define INFL_CONV2D_INIT {sizeof(infl_conv2d), 0, {1, 1}, {1, 1}, {0, 0}, 1, 1, INFL_INIT_HE}

/*
 * Convolution (cross-correlation) of an image node: weights channels × (input channels / groups) × kernel rows ×
 * columns. The output is channels × (⌊(height + 2·padding − kernel)/stride⌋ + 1) × (the same across). A dense layer on
 * an image sees it flattened, channels outermost.
 */
INFL_API infl_node infl_builder_conv2d(infl_builder *builder, infl_node input, const infl_conv2d *options);

typedef struct infl_pool2d {
    size_t size;
    size_t kernel[2];  /* rows, columns                          */
    size_t stride[2];  /* 0: as the kernel                       */
    size_t padding[2]; /* on each side; at most half the kernel  */
} infl_pool2d;
#define INFL_POOL2D_INIT {sizeof(infl_pool2d), {2, 2}, {0, 0}, {0, 0}}

/* The largest of each window (padding never wins; of equals the first, which gets the derivative). */
INFL_API infl_node infl_builder_max_pool2d(infl_builder *builder, infl_node input, const infl_pool2d *options);

/* The mean over each whole window, padding counting as 0. */
INFL_API infl_node infl_builder_average_pool2d(infl_builder *builder, infl_node input, const infl_pool2d *options);

/* The mean over each channel: channels × 1 × 1. */
INFL_API infl_node infl_builder_global_average_pool(infl_builder *builder, infl_node input);

/* What a node gives for a row: channels × height × width numbers (a vector: n × 1 × 1). Each output may be NULL. */
INFL_API infl_status infl_builder_shape(const infl_builder *builder, infl_node node, size_t *channels, size_t *height,
                                        size_t *width);

/* Elementwise y = φ(x). */
INFL_API infl_node infl_builder_activation(infl_builder *builder, infl_node input, infl_activation activation);

/* y = a + b, of the same width (a residual connection). */
INFL_API infl_node infl_builder_add(infl_builder *builder, infl_node a, infl_node b);

typedef struct infl_batch_norm {
    size_t size;
    double epsilon;  /* ε > 0                                                                                      */
    double momentum; /* in [0, 1]: running statistics ← (1 − momentum)·running + momentum·batch                    */
} infl_batch_norm;
#define INFL_BATCH_NORM_INIT {sizeof(infl_batch_norm), 1e-5, 0.1}

/*
 * Batch normalisation (Ioffe & Szegedy 2015), for each channel y = γ (x − mean)/√(variance + ε) + β; γ ("weight", which
 * starts at 1, but is no weight for INFL_DECAY_WEIGHTS) and β ("bias", 0) are parameters. In infl_train's steps mean
 * and variance (1/m over the m numbers of the batch: rows × height × width) are the batch's, and running statistics
 * (the variance by 1/(m−1), as in PyTorch) follow them. Everywhere else, in predictions, risks, gradients, curvature,
 * influence and polishing, the running statistics are constants, and the layer an affine map. They are the model's
 * state: infl_model_state. options NULL: the defaults.
 */
INFL_API infl_node infl_builder_batch_norm(infl_builder *builder, infl_node input, const infl_batch_norm *options);

/*
 * Dropout (Srivastava et al. 2014): in infl_train's steps each number is 0 with probability rate, and else divided by
 * 1 − rate; everywhere else y = x. 0 ≤ rate < 1. What is dropped of a row is decided by the training's seed, the step,
 * the layer and the row's number in the objective's dataset alone: infl_objective_without another row changes nothing.
 */
INFL_API infl_node infl_builder_dropout(infl_builder *builder, infl_node input, double rate);

/* An image as a vector of channels·height·width numbers, channels outermost, rows next: no work and no memory. */
INFL_API infl_node infl_builder_flatten(infl_builder *builder, infl_node input);

/*
 * The network that computes `output` from the input; layers that `output` does not need are left out. Parameters are
 * drawn from the seed. The builder stays usable (and must still be destroyed).
 */
INFL_API infl_status infl_model_create(infl_model **out, const infl_builder *builder, infl_node output,
                                       infl_precision precision, uint64_t seed);

/*
 * A multilayer perceptron: dense layers of units[0..n_layers-1] with biases, the activation after each but the last.
 */
INFL_API infl_status infl_model_create_mlp(infl_model **out, infl_precision precision, size_t n_inputs,
                                           const size_t *units, size_t n_layers, infl_activation activation,
                                           infl_initialiser initialiser, uint64_t seed);

/* A model of its own with the same graph, precision, parameter values and state. */
INFL_API infl_status infl_model_clone(infl_model **out, const infl_model *model);

/*
 * Likewise, computing at the given precision: to train in single precision and polish in double, say.
 * INFL_E_NONFINITE: a parameter is too large for f32.
 */
INFL_API infl_status infl_model_convert(infl_model **out, const infl_model *model, infl_precision precision);

/*
 * The whole model in a file of the safetensors format: every tensor of θ (f32 or f64, as the model's precision) and of
 * the state (f64) under its name (below), and in __metadata__ the graph in JSON. The file appears whole or not at all.
 * INFL_E_IO.
 */
INFL_API infl_status infl_model_save(const infl_model *model, const char *path);

/*
 * The model in such a file: the same bits of predictions and derivatives, and what infl_curvature_save and
 * infl_inverse_save have kept for the one belongs to the other. INFL_E_IO; INFL_E_FORMAT: it is no such file, or is
 * damaged (hashes of graph, θ and state are in it); whatever it says, nothing is built that the builder would refuse.
 */
INFL_API infl_status infl_model_load(infl_model **out, const char *path);
INFL_API void infl_model_destroy(infl_model *model);

/* Draws all parameters anew from the seed, as at creation; the state begins anew as well. */
INFL_API infl_status infl_model_initialise(infl_model *model, uint64_t seed);

/* Numbers of inputs, of outputs and of parameters, and the precision; 0 (and INFL_F64) for NULL. */
INFL_API size_t infl_model_inputs(const infl_model *model);
INFL_API size_t infl_model_outputs(const infl_model *model);
INFL_API size_t infl_model_parameters(const infl_model *model); /* p */
INFL_API infl_precision infl_model_precision(const infl_model *model);

/*
 * θ, p numbers, out of and into the model; with batch normalisation the model is these and its state (below).
 * INFL_E_NONFINITE: a value is NaN or infinite (in the model's precision).
 */
INFL_API infl_status infl_model_get_parameters(const infl_model *model, double *theta);
INFL_API infl_status infl_model_set_parameters(infl_model *model, const double *theta);

/* One named tensor of θ: elements offset .. offset+length-1, row-major. */
typedef struct infl_tensor {
    const char *name;      /* "dense1.weight", "dense1.bias", ...: layers of a kind are numbered from 1; the model's */
    size_t offset, length; /* in θ, or in the state                                                                  */
    size_t n_dims;         /* 1 to 4                                                                                 */
    size_t dims[4];        /* the first n_dims of them; their product is length                                      */
    int is_weight;         /* 1: decayed under INFL_DECAY_WEIGHTS; 0: a bias, or of batch normalisation              */
    size_t reserved[4];    /* 0                                                                                      */
} infl_tensor;

/* How many tensors θ has, and each, in the order of θ. */
INFL_API size_t infl_model_tensors(const infl_model *model);
INFL_API infl_status infl_model_tensor(const infl_model *model, size_t index, infl_tensor *out);

/*
 * The state: numbers that belong to the model but are not fitted, kept in double precision: means (at first 0) and
 * variances (1) of batch normalisation. infl_train moves them with θ; objectives on one model share them.
 */
INFL_API size_t infl_model_state(const infl_model *model); /* how many numbers; 0 without batch normalisation */
INFL_API infl_status infl_model_get_state(const infl_model *model, double *state);
/* INFL_E_NONFINITE: a number is NaN or infinite; INFL_E_ARGUMENT: a variance is negative. */
INFL_API infl_status infl_model_set_state(infl_model *model, const double *state);

/* The tensors of the state, as above: "batch_norm1.running_mean", "batch_norm1.running_variance", ... */
INFL_API size_t infl_model_state_tensors(const infl_model *model);
INFL_API infl_status infl_model_state_tensor(const infl_model *model, size_t index, infl_tensor *out);

/* What the tensors of a model are called in a file of weights. */
typedef enum infl_weight_names {
    INFL_NAMES_OWN = 0,        /* as the model has them: "conv2d1.weight", "batch_norm1.running_mean", ...         */
    INFL_NAMES_ZOO = 1,        /* as PyTorch's models of the zoo's networks commonly have them: "conv1.weight",
                                  "bn1.running_var", ...; KL_CNN: as INFL_NAMES_SEQUENTIAL; LENET5: conv1, conv2
                                  (bn1, bn2), fc1, fc2, fc3; VGGs: features.0, ..., classifier; ResNets: conv1, bn1,
                                  layer1.0.conv1, ..., layer2.0.downsample.0, ..., fc (torchvision). Also read:
                                  classifier.0 for classifier, shortcut for downsample, linear for fc              */
    INFL_NAMES_SEQUENTIAL = 2, /* places in an nn.Sequential of all layers: "0.weight", "2.weight", ...; every layer
                                  has one, also the nn.Flatten before the first dense layer of a network on images; a
                                  ResNet's block is one, with Sequentials "body" and "shortcut" in it:
                                  "3.body.0.weight"                                                                */
    INFL_NAMES_TABLE = 3       /* the caller's                                                                     */
} infl_weight_names;

typedef struct infl_weights_options {
    size_t size;
    infl_weight_names names;  /* whose names these are                                                              */
    int network;              /* the infl_zoo_network that the model is of: of INFL_NAMES_ZOO; of SEQUENTIAL, where -1
                                 is any model whose every layer follows the one before                              */
    const char *const *table; /* of INFL_NAMES_TABLE: the file's name for each tensor of infl_model_tensor, then for
                                 each of infl_model_state_tensor; NULL: it is not in the file, and stays as it is    */
    size_t n_table;           /* how many: all tensors of θ and state                                              */
    const char *prefix;       /* what all these names have before them in the file, such as "module."; NULL: nothing */
    int ignore_unknown;       /* reading, 1: the file may have other tensors as well; 0: INFL_E_ARGUMENT            */
} infl_weights_options;
#define INFL_WEIGHTS_OPTIONS_INIT {sizeof(infl_weights_options), INFL_NAMES_OWN, -1, NULL, 0, NULL, 0}

/*
 * θ and state from a file of the safetensors format by the tensors' names, such as a PyTorch state_dict that PyTorch's
 * package safetensors wrote: weights of dense layers and convolutions lie there as here. Numbers may be F64, F32, F16 or
 * BF16, whatever the model's precision; num_batches_tracked is passed over. ε of batch normalisation is in no such file,
 * and stays. On any error the model is as before. INFL_E_ARGUMENT, naming the tensor: it is not in the file, it is there
 * under two names, it has another shape, or the model has no such tensor; or the model is not of the network that the
 * options name. INFL_E_UNSUPPORTED: numbers of another type; INFL_E_NONFINITE: a number is NaN or infinite, or too large
 * for f32 (which tensor, and which of its numbers); INFL_E_FORMAT: the file is malformed, or a variance negative;
 * INFL_E_IO.
 */
INFL_API infl_status infl_model_read_weights(infl_model *model, const char *path, const infl_weights_options *options);

/*
 * The other way: θ in the model's precision and the state in f64 (load_state_dict converts), for load_file of the same
 * package. The file appears whole or not at all. INFL_E_ARGUMENT: as above, or the table has a name twice, one that is
 * empty or no UTF-8, or none; INFL_E_IO.
 */
INFL_API infl_status infl_model_write_weights(const infl_model *model, const char *path,
                                              const infl_weights_options *options);

/*
 * outputs: n×C raw network outputs (logits) for all n rows; like the functions below on as many threads as OpenMP
 * offers.
 */
INFL_API infl_status infl_model_predict(const infl_model *model, const infl_dataset *dataset, double *outputs);

/*
 * The fraction of rows whose class the model finds: the index of the largest output, of equals the first; with one
 * output, class 1 where it is above 0, else class 0. INFL_E_ARGUMENT: real targets, or more classes than outputs (with
 * one output: than 2).
 */
INFL_API infl_status infl_model_accuracy(const infl_model *model, const infl_dataset *dataset, double *accuracy);

/* Jacobian of the outputs times k tangents: out is k×n×C, out[j][i][c] = ∇_θ f_c(x_i) · tangents[j]; tangents k×p. */
INFL_API infl_status infl_model_jvp(const infl_model *model, const infl_dataset *dataset, const double *tangents,
                                    size_t k, double *out);

/* Transposed Jacobian times k cotangents: out is k×p, out[j] = Σ_i Σ_c cotangents[j][i][c] ∇_θ f_c(x_i). */
INFL_API infl_status infl_model_vjp(const infl_model *model, const infl_dataset *dataset, const double *cotangents,
                                    size_t k, double *out);

/* =================================================================================================== zoo ======= */

/* Networks from the literature. Values are pinned. Each ends in a dense layer that gives the logits. */
typedef enum infl_zoo_network {
    INFL_ZOO_KL_CNN = 0,   /* [KL17]: 3×3 convolutions to 8 channels with strides 1, 2, 1, 2, 1, then 1×1 to 10, all
                              unpadded, tanh after each; the mean over each channel                                */
    INFL_ZOO_LENET5 = 1,   /* LeCun et al. 1998 in today's form: 5×5 convolutions to 6 and 16 channels, after each ReLU
                              and 2×2 max pooling, dense layers of 120 and 84 with ReLU. An axis of under 32 pixels is
                              first padded by 2 on each side (28×28 digits)                                        */
    INFL_ZOO_VGG13 = 2,    /* configuration B of Simonyan & Zisserman 2015, padded 3×3 convolutions with ReLU, 2×2 max
                              pooling after each block; for small images: the mean over each channel, one dense layer */
    INFL_ZOO_VGG14 = 3,    /* VGG13 with a third convolution in its last block                                     */
    INFL_ZOO_RESNET18 = 4, /* He et al. 2016 for small images: the first convolution is 3×3 with stride 1, and no pool
                              follows it; 1×1 convolutions where a shortcut changes its shape                      */
    INFL_ZOO_RESNET50 = 5  /* likewise, of bottleneck blocks (stride in the 3×3 convolution)                       */
} infl_zoo_network;

typedef struct infl_zoo_options {
    size_t size;
    size_t channels, height, width; /* of the image; 0: the network's own, 1×28×28 for KL_CNN, 3×32×32 else     */
    size_t n_classes;    /* outputs                                                                             */
    int batch_norm;      /* after every convolution, before its activation: 1 or 0; -1: as published, ResNets
                            alone have it. Convolutions have biases, also before it as VGGs are commonly counted,
                            except in ResNets with it                                                            */
    double width_factor; /* all channels and hidden units times this, rounded, at least 1                       */
} infl_zoo_options;
#define INFL_ZOO_OPTIONS_INIT {sizeof(infl_zoo_options), 0, 0, 0, 10, -1, 1.0}

/*
 * A network of the zoo. Convolutions and hidden dense layers are drawn by INFL_INIT_HE, the last layer by
 * INFL_INIT_LECUN; KL_CNN's by INFL_INIT_TRUNCATED_NORMAL_2, its last by INFL_INIT_TRUNCATED_NORMAL. INFL_E_ARGUMENT:
 * an image too small for its strides and pools (VGGs: under 32 pixels).
 */
INFL_API infl_status infl_model_create_zoo(infl_model **out, infl_zoo_network network, const infl_zoo_options *options,
                                           infl_precision precision, uint64_t seed);

/*
 * The same appended to a graph: the layers from `input`, an image node, to the logits, whose node is returned. The
 * image is the node's; the options' channels, height and width are not used.
 */
INFL_API infl_node infl_builder_zoo(infl_builder *builder, infl_node input, infl_zoo_network network,
                                    const infl_zoo_options *options);

/* "kl_cnn", "lenet5", "vgg13", "vgg14", "resnet18", "resnet50"; NULL beyond the last. */
INFL_API const char *infl_zoo_network_name(infl_zoo_network network);

/* ================================================================================================== loss ======= */

/* Losses of one row, as a function of the outputs f. */
typedef enum infl_loss_kind {
    INFL_SOFTMAX_CROSS_ENTROPY = 0, /* classes; C outputs: −log softmax(f)_y                                       */
    INFL_LOGISTIC = 1,              /* 2 classes; 1 output: log(1 + exp(−s f)), s = ±1 for class 1, 0               */
    INFL_SQUARED_ERROR = 2,         /* real targets, t outputs: ½‖f − y‖²                                           */
    INFL_SMOOTHED_HINGE = 3         /* 2 classes; 1 output: τ log(1 + exp((1 − s f)/τ)), τ the temperature; [KL17]  */
} infl_loss_kind;

typedef struct infl_loss {
    size_t size;
    infl_loss_kind kind; /* which loss */
    double temperature; /* τ > 0, of the smoothed hinge; ignored by the others */
} infl_loss;
#define INFL_LOSS_INIT(kind) {sizeof(infl_loss), (kind), 0.1}

/*
 * The loss of one row as a function of its C outputs: value (1), gradient (C) and Hessian (C×C) in the outputs. target:
 * the class index, or t numbers. Any of the three results may be NULL.
 */
INFL_API infl_status infl_loss_evaluate(const infl_loss *loss, const double *outputs, size_t n_outputs,
                                        const double *target, double *value, double *gradient, double *hessian);

/* ============================================================================================= objective ======= */

/*
 * The empirical risk R(θ) = (1/n) Σ_i ℓ_i(θ) + (μ/2) ‖Dθ‖², with μ the weight decay and D the 0/1 mask of decayed
 * parameters. Everything further right sees a network only through this.
 */
typedef struct infl_objective infl_objective;

/* Which parameters are decayed, D. */
typedef enum infl_decay_scope {
    INFL_DECAY_ALL = 0,    /* all                              */
    INFL_DECAY_WEIGHTS = 1 /* those of tensors with is_weight */
} infl_decay_scope;

typedef struct infl_objective_options {
    size_t size;
    double decay;                 /* μ ≥ 0                                                                         */
    infl_decay_scope decay_scope; /* D: all parameters, or weights only (tensors with is_weight)                   */
    int threads;                  /* 0: as many as OpenMP offers                                                   */
    size_t memory_budget;         /* bytes of workspace; 0: no limit. Smaller means fewer tangents at once and
                                     slower; never other bits for the same problem. Calls on several of the caller's
                                     threads at once have a workspace each, and up to 16 are kept for later calls   */
    size_t keep_budget;           /* bytes of it that may hold the value pass of curvature products, from the second
                                     over all rows at the same θ on (conjugate gradients): the next ones then cost 2
                                     gradients instead of 8/3. Used where all rows fit in; 0: never                  */
    const size_t *parameters;     /* the parameters that the objective is a function of: indices into the model's θ,
                                     strictly ascending, copied, such as the ranges of the last layer's tensors
                                     (infl_model_tensor); NULL: all                                                  */
    size_t n_parameters;          /* how many; 0 with NULL                                                          */
} infl_objective_options;
#define INFL_OBJECTIVE_OPTIONS_INIT                                                                                    \
    {sizeof(infl_objective_options), 0.0, INFL_DECAY_ALL, 0, 0, 256u << 20, NULL, 0}

/*
 * The risk of a model on a dataset. Borrows the model: θ is the model's, read at every call and written by
 * infl_objective_set_parameters and training, and objectives on one model see the same θ. Keeps a reference to the
 * dataset. INFL_E_ARGUMENT: features and inputs, or targets and outputs, do not fit each other and the loss; μ < 0; a
 * parameter is not there or not above the one before it.
 *
 * With parameters named in the options, θ and p are those alone wherever this objective goes: gradients, products,
 * curvature, training, polishing, influence, retraining, and copies of it. The others stay as the model has them, and
 * R has the decay of the named ones only. (The state of batch normalisation still follows training.) A test objective
 * of the same parameters goes with it: INFL_E_ARGUMENT where those that it is not of are others. Whole vectors of the
 * model take up to 64 MiB, or the two that are needed at least, on top of the memory budget.
 */
INFL_API infl_status infl_objective_create(infl_objective **out, infl_model *model, const infl_loss *loss,
                                           const infl_dataset *dataset, const infl_objective_options *options);

/*
 * A risk of the caller's own (examples/own_model.c). The callbacks get θ (p numbers: the objective's, not the caller's)
 * and indices of rows below n_rows, in any order, some of them, some more than once. They write every number asked for,
 * and return 0, or a code that ends the call with INFL_E_CALLBACK. What they give is of ℓ_i alone, of single rows or
 * summed over the given ones: the mean over rows, weight decay and damping are the library's.
 *
 * The calling thread calls them, so that several do at the same time where they use the objective, or copies of it, at
 * the same time; and infl_retrain_without on several threads, each with its own θ and all with one context: the
 * objective's threads = 1 keeps that to one.
 *
 * losses and row_gradients are required, and do for infl_train and INFL_FISHER. hessian_products NULL: INFL_HESSIAN,
 * infl_polish and polished retraining are INFL_E_UNSUPPORTED; gauss_newton_products NULL: INFL_GAUSS_NEWTON is. (Where
 * outputs are linear in θ the two are the same, and one function does for both.) Sums over rows ask for the gradients of
 * up to 256 rows at once, dense matrices for p products. Check the callbacks by infl_objective_check_derivatives first.
 */
typedef struct infl_custom_objective {
    size_t size;
    size_t n_rows, n_parameters; /* n rows, p parameters              */
    void *context;               /* the callbacks' first argument    */
    /* losses: n_rows numbers ℓ_i(θ) */
    int (*losses)(void *context, const double *theta, const size_t *rows, size_t n_rows, double *losses);
    /* gradients: n_rows×p, ∇ℓ_i(θ) each */
    int (*row_gradients)(void *context, const double *theta, const size_t *rows, size_t n_rows, double *gradients);
    /* products: k×p, Σ_i ∇²ℓ_i(θ) v_j for the k rows v_j of vectors (k×p), summed over the given rows, no decay */
    int (*hessian_products)(void *context, const double *theta, const size_t *rows, size_t n_rows,
                            const double *vectors, size_t k, double *products);
    /* the same with the generalised Gauss–Newton matrix */
    int (*gauss_newton_products)(void *context, const double *theta, const size_t *rows, size_t n_rows,
                                 const double *vectors, size_t k, double *products);
    const unsigned char *decay_mask; /* p bytes, D, copied; NULL: all ones */
} infl_custom_objective;
#define INFL_CUSTOM_OBJECTIVE_INIT {sizeof(infl_custom_objective), 0, 0, NULL, NULL, NULL, NULL, NULL, NULL}

/* theta: the starting θ, p numbers, copied. Of the options, decay_scope is not used (decay_mask says it). */
INFL_API infl_status infl_objective_create_custom(infl_objective **out, const infl_custom_objective *custom,
                                                  const double *theta, const infl_objective_options *options);

/*
 * The same risk over all rows but the given ones, with a θ of its own that starts at the present value (for a built-in
 * objective: with its own clone of the model). n_rows may be 0: an independent copy.
 */
INFL_API infl_status infl_objective_without(infl_objective **out, const infl_objective *objective, const size_t *rows,
                                            size_t n_rows);
INFL_API void infl_objective_destroy(infl_objective *objective);

INFL_API size_t infl_objective_rows(const infl_objective *objective);       /* n */
INFL_API size_t infl_objective_parameters(const infl_objective *objective); /* p */
INFL_API double infl_objective_decay(const infl_objective *objective);      /* μ */

/* θ, p numbers, out of and into the objective. INFL_E_NONFINITE: a value is NaN or infinite. */
INFL_API infl_status infl_objective_get_parameters(const infl_objective *objective, double *theta);
INFL_API infl_status infl_objective_set_parameters(infl_objective *objective, const double *theta);

/* Bytes of workspace that products with k vectors at once take, under the objective's budget (training has its own). */
INFL_API infl_status infl_objective_memory(const infl_objective *objective, size_t k, size_t *bytes);

/* R(θ) and ∇R(θ) (p numbers), decay included. Either output may be NULL. */
INFL_API infl_status infl_objective_evaluate(infl_objective *objective, double *value, double *gradient);

/* The same over a batch: mean loss of the given rows plus the whole decay term. n_rows ≥ 1. */
INFL_API infl_status infl_objective_evaluate_rows(infl_objective *objective, const size_t *rows, size_t n_rows,
                                                  double *value, double *gradient);

/* ℓ_i of each given row (no decay): n_rows numbers. */
INFL_API infl_status infl_objective_losses(infl_objective *objective, const size_t *rows, size_t n_rows,
                                           double *losses);

/*
 * ∇ℓ_i of each given row (no decay): n_rows×p. Takes as much memory again while it works, on top of the memory budget;
 * infl_objective_stream_row_gradients does not.
 */
INFL_API infl_status infl_objective_row_gradients(infl_objective *objective, const size_t *rows, size_t n_rows,
                                                  double *gradients);

/*
 * The same a block of rows after another: gradients (n×p) of the n rows at the positions first .. first+n−1 of the
 * given ones, in order; valid during the call, which comes from the calling thread. It may use the objective, but not
 * change θ. A non-zero return ends the work with INFL_E_CANCELLED.
 */
typedef int (*infl_row_gradients_fn)(void *context, size_t first, size_t n, const double *gradients);

/* block: rows at once, block×p numbers on top of the memory budget; 0: as many as fit in 64 MiB, at least one. */
INFL_API infl_status infl_objective_stream_row_gradients(infl_objective *objective, const size_t *rows, size_t n_rows,
                                                         size_t block, infl_row_gradients_fn take, void *context);

/* ‖∇ℓ_i‖₂ of each given row (no decay), without forming a whole gradient: n_rows numbers. */
INFL_API infl_status infl_objective_row_norms(infl_objective *objective, const size_t *rows, size_t n_rows,
                                              double *norms);

/*
 * Products with the Jacobian of the losses, without forming a whole gradient: out is n_rows×k, out[i][j] = ∇ℓ_i · v_j,
 * for the k rows v_j of vectors (k×p). Costs about one gradient of all rows and k·p multiplications a row.
 */
INFL_API infl_status infl_objective_row_products(infl_objective *objective, const size_t *rows, size_t n_rows,
                                                 const double *vectors, size_t k, double *out);

/* The transpose: out is k×p, out[j] = Σ_i weights[j][i] ∇ℓ_i, weights k×n_rows. */
INFL_API infl_status infl_objective_weighted_gradients(infl_objective *objective, const size_t *rows, size_t n_rows,
                                                       const double *weights, size_t k, double *out);

/* The curvature of R, C. */
typedef enum infl_curvature_kind {
    INFL_HESSIAN = 0,      /* (1/n) Σ ∇²ℓ_i + μD                  by the R-operator, [P94]                          */
    INFL_GAUSS_NEWTON = 1, /* (1/n) Σ J_iᵀ (∇²_f ℓ) J_i + μD      Schraudolph 2002; for softmax cross-entropy,
                              logistic and squared error also the true Fisher information                            */
    INFL_FISHER = 2        /* (1/n) Σ ∇ℓ_i ∇ℓ_iᵀ + μD             the empirical Fisher                              */
} infl_curvature_kind;

/*
 * out[j] = C v_j for the k rows of vectors (k×p), C the curvature of R, decay included. vectors and out may not
 * overlap. infl_objective_product_rows: over the given rows only (a stochastic estimate), decay included.
 */
INFL_API infl_status infl_objective_product(infl_objective *objective, infl_curvature_kind kind,
                                            const double *vectors, size_t k, double *out);
INFL_API infl_status infl_objective_product_rows(infl_objective *objective, infl_curvature_kind kind,
                                                 const size_t *rows, size_t n_rows, const double *vectors, size_t k,
                                                 double *out);

typedef struct infl_dense_options {
    size_t size;
    int precision;         /* INFL_F32 or INFL_F64, of the passes through the network, whatever the model's; -1: the
                              model's. Sums over chunks of rows are f64 in any case                              */
    size_t check_columns;  /* columns, evenly spread, that are also computed as products in f64, for the report's
                              deviation, where there is a report; 0: 4 where passes are in f32, else none        */
    infl_progress_fn progress; /* stage "dense", in columns of the matrix                                        */
    void *progress_context;
} infl_dense_options;
#define INFL_DENSE_OPTIONS_INIT {sizeof(infl_dense_options), -1, 0, NULL, NULL}

/* What forming a dense matrix did. */
typedef struct infl_dense_report {
    size_t checked;   /* columns that were                                                                        */
    double deviation; /* the largest ‖C e_j − column j‖₂ / ‖C e_j‖₂ of them, C e_j in f64; 0 where none was checked */
    double reserved[4];
} infl_dense_report;

/*
 * The dense p×p matrix C, exactly symmetric. report may be NULL. INFL_E_UNSUPPORTED: f32 of a custom objective, or it
 * lacks the callback of this kind.
 */
INFL_API infl_status infl_objective_dense(infl_objective *objective, infl_curvature_kind kind,
                                          const infl_dense_options *options, double *matrix,
                                          infl_dense_report *report);

typedef struct infl_derivatives_options {
    size_t size;
    double step;      /* differences are between θ ± h·u, u a random direction of length 1, h = step·max(1, ‖θ‖₂)   */
    double tolerance; /* relative differences above it are an error; INFINITY: none is, the report has them        */
    uint64_t seed;    /* of the directions                                                                         */
} infl_derivatives_options;
#define INFL_DERIVATIVES_OPTIONS_INIT {sizeof(infl_derivatives_options), 1e-5, 1e-5, 1}

/* Largest relative differences found. */
typedef struct infl_derivatives_report {
    double gradients; /* of ∇ℓ_i·u, and the differences of ℓ_i, over the rows                                      */
    size_t row;       /* the row where these are furthest apart                                                    */
    double hessian;   /* of Σ ∇²ℓ_i u, and the differences of Σ ∇ℓ_i; NaN where there are no such products         */
    double symmetry;  /* of u·Cv and v·Cu, C the Hessian and the Gauss–Newton matrix, v a second random direction  */
    double parts;     /* of what is asked for all rows (products: with two vectors at once), and for each half     */
    double reserved[4];
} infl_derivatives_report;

/*
 * Whether gradients and products are those of the losses, at the present θ over the given rows: the first test of
 * callbacks of one's own. Checked are each row's gradient and the sum's Hessian product along u by central differences,
 * products with Hessian and Gauss–Newton matrix for symmetry, and whether losses, gradients and products over all rows
 * are those of two halves, the second backwards: so that averages for sums, or rows taken for positions, are found too
 * (two rows or more, best not the first ones in order). Some ten gradients of the rows; on a copy, in f64. report may be
 * NULL. INFL_E_ARGUMENT: a difference above the tolerance, the sentence saying which, and the row and the parameter
 * where it is largest. Right derivatives differ by some 1e-9; by more where callbacks compute in single precision (a
 * step of 1e-3 and a tolerance of 1e-2 then do), at a kink, or where gradients are nearly 0.
 */
INFL_API infl_status infl_objective_check_derivatives(const infl_objective *objective, const size_t *rows,
                                                      size_t n_rows, const infl_derivatives_options *options,
                                                      infl_derivatives_report *report);

/* ============================================================================================= curvature ======= */

/* A symmetric p×p operator A = C + λI; λ is the true damping, never scaled. */
typedef struct infl_curvature infl_curvature;

/*
 * As a damping: the least λ that lifts the smallest eigenvalue of C + λI to a five-hundredth of the largest, 0 where C's is
 * above that. It is found at once, at the present θ, by Lanczos, some 30 to 300 products; infl_curvature_damping says it,
 * and after a change of θ infl_curvature_set_damping finds another.
 */
#define INFL_DAMPING_AUTO (-1.0)

/*
 * Of an objective (borrowed), at the θ it has whenever the operator is used. λ ≥ 0, or INFL_DAMPING_AUTO.
 * INFL_E_UNSUPPORTED: a custom objective lacks the callback of this kind.
 */
INFL_API infl_status infl_curvature_create(infl_curvature **out, infl_objective *objective, infl_curvature_kind kind,
                                           double damping);

/* Of a symmetric p×p matrix (copied; INFL_E_ARGUMENT where |a_ij − a_ji| > 1e-10·max|a|). */
INFL_API infl_status infl_curvature_from_matrix(infl_curvature **out, const double *matrix, size_t p, double damping);

/*
 * Of the caller's own product: products (k×p) from vectors (k×p), without damping; 0 or a code (INFL_E_CALLBACK). It is
 * called on the threads that use the curvature.
 */
typedef int (*infl_product_fn)(void *context, const double *vectors, size_t k, double *products);
INFL_API infl_status infl_curvature_from_product(infl_curvature **out, infl_product_fn product, void *context, size_t p,
                                                 double damping);
INFL_API void infl_curvature_destroy(infl_curvature *curvature);

INFL_API size_t infl_curvature_size(const infl_curvature *curvature); /* p */
INFL_API double infl_curvature_damping(const infl_curvature *curvature); /* λ, also where it was found (0 for NULL) */

/* out[j] = (C + λI) v_j; k×p each, not overlapping. */
INFL_API infl_status infl_curvature_product(infl_curvature *curvature, const double *vectors, size_t k, double *out);

/* The dense p×p matrix C + λI, exactly symmetric. */
INFL_API infl_status infl_curvature_dense(infl_curvature *curvature, double *matrix);

/* λ from now on. An inverse is of the λ it was created with, and gives INFL_E_ARGUMENT until that is set again. */
INFL_API infl_status infl_curvature_set_damping(infl_curvature *curvature, double damping);

/*
 * Forms C as a dense matrix, by infl_objective_dense with these options (NULL: the defaults), and keeps it: products,
 * inverses, eigenvalues and infl_curvature_dense then use the matrix, p² multiplications a product whatever n. After a
 * change of θ or of the model's state they give INFL_E_ARGUMENT until it is formed again. Stochastic estimates over
 * some rows still come from the objective. report may be NULL. INFL_E_UNSUPPORTED: the curvature is not of an
 * objective.
 */
INFL_API infl_status infl_curvature_form(infl_curvature *curvature, const infl_dense_options *options,
                                         infl_dense_report *report);

/*
 * The formed matrix (C, without λ) in a file of the safetensors format, which other programs read as well: float64,
 * row-major, named "matrix". The file appears whole or not at all. INFL_E_ARGUMENT: nothing is formed, or θ or the
 * state has changed since; INFL_E_IO.
 */
INFL_API infl_status infl_curvature_save(const infl_curvature *curvature, const char *path);

/*
 * The curvature of an objective (borrowed), of the kind that the file says, with the file's matrix as if it had just
 * been formed. The file has hashes of what its numbers depend on. INFL_E_ARGUMENT, saying which differs: the model
 * (graph, precision, θ, state) or the data (rows and their order, targets, loss, decay) is another than the file's; of
 * a custom objective's data the losses at θ decide. INFL_E_IO; INFL_E_FORMAT: it is no such file, or is damaged.
 */
INFL_API infl_status infl_curvature_load(infl_curvature **out, infl_objective *objective, const char *path,
                                         double damping);

/*
 * All p eigenvalues of C + λI in ascending order, from the dense matrix by LAPACK; eigenvectors: p×p, one a row, or
 * NULL.
 */
INFL_API infl_status infl_curvature_eigen(infl_curvature *curvature, double *eigenvalues, double *eigenvectors);

typedef struct infl_lanczos_options {
    size_t size;
    size_t max_iterations; /* products at most; 0: p, but no more than 300 (Krylov basis: iterations × p numbers)  */
    double tolerance;      /* a Ritz pair has converged when ‖Av − θv‖ ≤ tolerance·max|θ|                          */
    uint64_t seed;         /* of the random start vector, and of the sample                                       */
    size_t sample;         /* rows, drawn at random without replacement, that stand for all; 0, ≥ n, or a curvature
                              without rows: all                                                                   */
} infl_lanczos_options;
#define INFL_LANCZOS_OPTIONS_INIT {sizeof(infl_lanczos_options), 0, 1e-8, 1, 0}

/*
 * The k largest eigenvalues of C + λI in descending order (largest = 1) or the k smallest in ascending order
 * (largest = 0), matrix-free by Lanczos with full reorthogonalisation (Parlett 1998). eigenvectors: k×p or NULL;
 * residuals: k numbers ‖Av − θv‖, measured with k more products, or NULL. A multiple eigenvalue is found at least once:
 * where one is, its other copies may be left out of the k, and the next eigenvalues stand in their places.
 * INFL_E_UNCONVERGED when the budget ran out (the message says how far it came).
 */
INFL_API infl_status infl_curvature_lanczos(infl_curvature *curvature, size_t k, int largest,
                                            const infl_lanczos_options *options, double *eigenvalues,
                                            double *eigenvectors, double *residuals);

/* =============================================================================================== inverse ======= */

/* x = (C + λI)⁻¹ b for many b, prepared once. Borrows the curvature. */
typedef struct infl_inverse infl_inverse;

/* How systems with C + λI are solved. */
typedef enum infl_inverse_method {
    INFL_CHOLESKY = 0, /* exact; INFL_E_INDEFINITE (with λmin and a damping that would do) unless positive definite */
    INFL_EIGEN = 1,    /* exact by eigendecomposition, eigenvalues treated as eigen_policy says                    */
    INFL_CG = 2,       /* conjugate gradients; INFL_E_INDEFINITE on meeting negative curvature                     */
    INFL_LISSA = 3     /* stochastic Neumann series [ABH17]: h ← b + h − (C_S + λI)h/s over random batches S, with
                          the noise of the batches taken out (see lissa_plain); INFL_E_INDEFINITE or
                          INFL_E_DIVERGED where it runs away                                                        */
} infl_inverse_method;

/* What INFL_EIGEN takes for 1/e, e an eigenvalue of C + λI. */
typedef enum infl_eigen_policy {
    INFL_EIGEN_EXACT = 0,    /* 1/e; INFL_E_INDEFINITE where |e| ≤ cutoff·max|e|: the matrix is singular           */
    INFL_EIGEN_CLIP = 1,     /* 1/max(e, cutoff·max|e|)                                                            */
    INFL_EIGEN_ABSOLUTE = 2, /* 1/max(|e|, cutoff·max|e|)                                                          */
    INFL_EIGEN_PSEUDO = 3    /* 1/e, but 0 where |e| ≤ cutoff·max|e|                                               */
} infl_eigen_policy;

typedef struct infl_inverse_options {
    size_t size;
    infl_inverse_method method;     /* how                                                                     */
    infl_eigen_policy eigen_policy; /* of INFL_EIGEN                                                           */
    double cutoff;           /* of the eigenvalue policies, relative to max|e|; ≥ 0                                */
    double tolerance;        /* CG, LiSSA: converged when ‖b − (C+λI)x‖ ≤ tolerance·‖b‖. 0: CG 1e-10, or 1e-4 where C
                                is computed in f32, whose rounding allows some 1e-7·λmax/λmin; LiSSA 1e-3. Exact
                                methods do not use it                                                          */
    size_t max_iterations;   /* CG: 0 means 10·p; LiSSA: the depth of a repeat, 0 means 20000, plain over batches
                                5000                                                                           */
    int accept_unconverged;  /* 0: INFL_E_UNCONVERGED when the budget runs out or rounding ends it (exact methods: when
                                that left a residual above 1e-3); 1: the best iterate, with converged = 0 in its
                                report                                                                         */
    double lissa_scale;      /* s > λmax(C_S + λI)/2; 0: 1.1 × the largest magnitude of an eigenvalue, by Lanczos over
                                1,000 random rows, and of ten random batches where they have larger ones           */
    size_t lissa_batch;      /* rows in S, ≤ n, or INFL_ALL_ROWS (deterministic). 0: a sixteenth of the rows, and but
                                for lissa_plain twice as many whenever a look finds nothing gained, or all where that
                                is less than 64 or the curvature's matrix is formed. A curvature without rows uses
                                itself                                                                         */
    size_t lissa_repeats;    /* independent recursions, averaged; ≥ 1. From 2 on their spread is reported. Over all
                                rows they would be the same, and there is one                                  */
    size_t lissa_check;      /* iterations between two looks at divergence and at the residual over all rows; 0: 50,
                                or, but for lissa_plain, two passes over the rows where that is more, up to a tenth of
                                max_iterations                                                                 */
    uint64_t seed;           /* of the random rows                                                                 */
    infl_progress_fn progress; /* stages "dense" (exact methods; not of a matrix that is there already) or "prepare"
                                (LiSSA's scale), then "solve"                                                  */
    void *progress_context;
    int lissa_plain;         /* 0: batches only say how A = C + λI acts on what h has moved since the last look, where
                                it was averaged and its product with all of A is known: h ← h + b − Ah̃/s −
                                A_S(h − h̃)/s (Johnson & Zhang 2013). The noise falls with the residual. 1: [ABH17]'s
                                own recursion; its residual levels off near 0.01 to 0.1, so ask for 0.1, and for less
                                with larger batches and more repeats                                               */
    size_t cg_batch;         /* CG: rows, drawn once, whose system conjugate gradients solve for each direction over all
                                rows (flexible CG, Notay, SIAM J. Sci. Comput. 22(4) 2000): the more they are like
                                all, the fewer products with all. max_iterations counts those over the batch. 0 or
                                ≥ n: all rows                                                                      */
} infl_inverse_options;
#define INFL_INVERSE_OPTIONS_INIT                                                                                      \
    {sizeof(infl_inverse_options), INFL_CHOLESKY, INFL_EIGEN_EXACT, 1e-12, 0.0, 0, 0, 0.0, 0, 1, 0, 1, NULL, NULL, 0, 0}

/* As lissa_batch: every step over all rows. */
#define INFL_ALL_ROWS SIZE_MAX

/* What a solve did; the certificate of its answer. On an error no report is filled: accept_unconverged shows them. */
typedef struct infl_solve_report {
    double residual;   /* ‖b − (C+λI)x‖ / ‖b‖, with the full operator, recomputed at the end; 0 for b = 0.
                          With CLIP, ABSOLUTE and PSEUDO: against C+λI itself, so it shows what the policy changed */
    double products;   /* products with C spent on this right-hand side; a batch counts as its share of the rows.
                          Preparation (a dense matrix: p) is not included                                          */
    double damping;    /* λ                                                                                        */
    double lambda_min; /* smallest eigenvalue of C+λI: exact for EIGEN; of the Krylov space for CG; NaN where not
                          known, as with cg_batch                                                                  */
    double lambda_max; /* largest; with cg_batch the largest ‖(C+λI)d‖/‖d‖ of its directions                       */
    size_t iterations; /* of CG and LiSSA                                                                          */
    int converged;     /* 1: residual within the tolerance (exact methods: ≤ 1e-6)                                  */
    double scale;      /* LiSSA's s, else NaN                                                                      */
    double batch;      /* rows in a batch at the end (n: all), LiSSA's and CG's; else NaN                          */
    double deviation;  /* LiSSA with several repeats: standard error of their mean x over ‖x‖, else NaN. All recursions were
                          stopped by one tolerance, so it says what chance did, not how far x is from the solution  */
    double rhs_norm;      /* ‖b‖                                                                                    */
    double solution_norm; /* ‖x‖                                                                                    */
    double rounding;      /* what rounding may hide of the residual, over ‖b‖: (64ε + (p+4)ε′)(1 + ‖C+λI‖‖x‖/‖b‖), ε that
                             of the precision C is computed in, ε′ of f64; NaN where ‖C+λI‖ is not known            */
    double lambda_floor;  /* no eigenvalue of C+λI has a smaller magnitude; NaN where nothing is known. See below   */
    double error_bound;   /* ‖x − (C+λI)⁻¹b‖₂ is at most this: ‖b‖·(residual + rounding)/lambda_floor, or NaN        */
    double reserved[4];    /* 0                                                                                      */
} infl_solve_report;

/*
 * lambda_floor is known from theory where C is of a network and Gauss–Newton, or Fisher, positive semidefinite but for
 * the decay: λ, or λ + μ where all parameters are decayed; from the eigenvalues with INFL_EIGEN; and from the factor
 * with INFL_CHOLESKY, by inverse iteration on 16 random vectors, which gives at least some 0.6 of λmin, and more than
 * λmin with a probability below 10⁻¹². The last two are less what rounding may have done to the matrix. With conjugate
 * gradients or LiSSA on a Hessian nothing is known: their eigenvalues are of a subspace, and λmin is anywhere below.
 *
 * error_bound is about C as it is in exact arithmetic at the model's θ, so that it covers the solve and the rounding of
 * C's products (docs/math.md has the derivation, and what in it is proven and what an allowance). It says nothing of
 * what C and its damping are taken for: linearisation, damping and the choice of the curvature are outside of it. With
 * INFL_EIGEN_CLIP, ABSOLUTE and PSEUDO it is the distance from (C+λI)⁻¹b itself, as the residual is.
 */

/*
 * Prepares (factorises; finds LiSSA's scale). The inverse, by whichever method, is of the θ that the curvature's
 * objective has at this moment, of its model's state (and other parameters, where the objective is of some) and of the
 * damping: where one has changed since, infl_inverse_solve and all that uses it give INFL_E_ARGUMENT; create the
 * inverse again.
 *
 * Each solution's residual, an exact method's too, takes a product with the curvature, over all rows: for more than a
 * few right-hand sides of a small p (self-influence of all rows) call infl_curvature_form first, and it is one with the
 * matrix.
 */
INFL_API infl_status infl_inverse_create(infl_inverse **out, infl_curvature *curvature,
                                         const infl_inverse_options *options);
INFL_API void infl_inverse_destroy(infl_inverse *inverse);
INFL_API size_t infl_inverse_size(const infl_inverse *inverse); /* p */

/*
 * What was prepared, in a file as infl_curvature_save writes it: "factor" (p×p, lower triangular, L with LLᵀ = C + λI)
 * of INFL_CHOLESKY; "values" (p) and "vectors" (p×p, one a row) of INFL_EIGEN. INFL_E_UNSUPPORTED: another method, or
 * a curvature by infl_curvature_from_product; INFL_E_ARGUMENT: θ, the state or the damping has changed; INFL_E_IO.
 */
INFL_API infl_status infl_inverse_save(const infl_inverse *inverse, const char *path);

/*
 * The inverse in a file, of a curvature (borrowed) of the same kind, damping, model and data, or of the same matrix;
 * else INFL_E_ARGUMENT, saying which differs. options: NULL for the file's method, policy and cutoff; or the file's
 * method, with any policy and cutoff for its eigenvalues. INFL_E_IO, INFL_E_FORMAT as infl_curvature_load;
 * INFL_E_INDEFINITE as infl_inverse_create.
 */
INFL_API infl_status infl_inverse_load(infl_inverse **out, infl_curvature *curvature, const char *path,
                                       const infl_inverse_options *options);

/* solutions[j] = (C+λI)⁻¹ right_sides[j], k×p each, which may be the same array; reports: k, or NULL. */
INFL_API infl_status infl_inverse_solve(infl_inverse *inverse, const double *right_sides, size_t k, double *solutions,
                                        infl_solve_report *reports);

/* ============================================================================================= influence ======= */

/*
 * Influence at an optimum θ* of R. Up-weighting row z by ε moves the optimum by ε·I(z), I(z) = −C⁻¹∇ℓ(z), and the
 * loss of z_t under the test objective by ε·I(z, z_t), I(z, z_t) = −∇ℓ(z_t)ᵀ C⁻¹ ∇ℓ(z) [KL17]. Negative scores:
 * helpful rows.
 */
typedef struct infl_influence infl_influence;

/* Whether the row's gradient includes its share of the decay, ∇ℓ_i + μDθ. */
typedef enum infl_decay_in_gradient {
    INFL_ROW_DECAY_DEFAULT = 0,  /* excluded from I(z), I(z,z_t) and self-influence; included in removal predictions */
    INFL_ROW_DECAY_EXCLUDED = 1, /* removal: Δθ = C⁻¹∇ℓ_i / n             (= −I(z)/n)                              */
    INFL_ROW_DECAY_INCLUDED = 2  /* removal: Δθ = C⁻¹(∇ℓ_i + μDθ) / (n−1): exact to first order for the mean over
                                    n−1 rows with the same μ                                                       */
} infl_decay_in_gradient;

typedef struct infl_influence_options {
    size_t size;
    infl_decay_in_gradient decay_in_gradient; /* of each row */
    size_t block; /* right-hand sides solved at once; 0: 32 */
} infl_influence_options;
#define INFL_INFLUENCE_OPTIONS_INIT {sizeof(infl_influence_options), INFL_ROW_DECAY_DEFAULT, 0}

/*
 * train: the objective whose rows are attributed; inverse: of its curvature (same p). Both borrowed. Nothing checks
 * that θ is an optimum: look at ‖∇R‖ first (the result of infl_train or infl_polish).
 */
INFL_API infl_status infl_influence_create(infl_influence **out, infl_objective *train, infl_inverse *inverse,
                                           const infl_influence_options *options);
INFL_API void infl_influence_destroy(infl_influence *influence);

/* I(z) for each given training row: out is n_rows×p. reports: n_rows or NULL. */
INFL_API infl_status infl_influence_parameters(infl_influence *influence, const size_t *rows, size_t n_rows,
                                               double *out, infl_solve_report *reports);

/* ‖I(z)‖₂ for each given row: n_rows numbers. */
INFL_API infl_status infl_influence_norms(infl_influence *influence, const size_t *rows, size_t n_rows, double *norms,
                                          infl_solve_report *reports);

/*
 * I(z, z_t): scores is n_test×n_train (rows NULL: all). test: an objective at the same θ (another dataset, another
 * loss if wished; its decay plays no part); INFL_E_ARGUMENT where its θ or state, or a parameter beside θ where the
 * objectives are of some, is another. One solve a test row; reports: n_test or NULL.
 */
INFL_API infl_status infl_influence_scores(infl_influence *influence, infl_objective *test, const size_t *test_rows,
                                           size_t n_test, const size_t *train_rows, size_t n_train, double *scores,
                                           infl_solve_report *reports);

/*
 * I(z, z) for each given training row (≤ 0 for positive definite C). The rows with the most negative ones, first in the
 * order of INFL_HELPFUL, are the suspects for a wrong label: the others speak against them.
 */
INFL_API infl_status infl_influence_self(infl_influence *influence, const size_t *rows, size_t n_rows, double *scores,
                                         infl_solve_report *reports);

/* Predicted Δθ when a row is removed and R is minimised again: out is n_rows×p. */
INFL_API infl_status infl_influence_removal_parameters(infl_influence *influence, const size_t *rows, size_t n_rows,
                                                       double *out, infl_solve_report *reports);

/*
 * Predicted change of each test row's loss when a training row is removed: changes is n_test×n_train; positive: the row
 * was helpful. EXCLUDED: −I/n.
 */
INFL_API infl_status infl_influence_removal_losses(infl_influence *influence, infl_objective *test,
                                                   const size_t *test_rows, size_t n_test, const size_t *train_rows,
                                                   size_t n_train, double *changes, infl_solve_report *reports);

/*
 * How far the numbers of infl_influence_scores and infl_influence_removal_losses may be from those of exact arithmetic
 * and an exact inverse: bounds is n_test×n_train, ‖g_i‖·(error_bound + 64ε(‖x‖ + ‖b‖/lambda_floor)) times 1, 1/n or
 * 1/(n−1), from the reports that the call gave, with the same influence, at the same θ and for the same rows, g_i the
 * row's gradient with or without the decay as there. NaN where a report has no bound. For infl_solve_report says what a
 * bound is about; the test objective is taken to be of the train objective's precision.
 */
INFL_API infl_status infl_influence_score_bounds(infl_influence *influence, const infl_solve_report *reports,
                                                 size_t n_test, const size_t *train_rows, size_t n_train,
                                                 double *bounds);
INFL_API infl_status infl_influence_removal_bounds(infl_influence *influence, const infl_solve_report *reports,
                                                   size_t n_test, const size_t *train_rows, size_t n_train,
                                                   double *bounds);

/* Which end of the scores. */
typedef enum infl_direction {
    INFL_HELPFUL = 0, /* most negative I(z, z_t) first: up-weighting them lowers the test loss */
    INFL_HARMFUL = 1  /* most positive first                                                   */
} infl_direction;

/*
 * Positions of the k most helpful or harmful of n scores, best first; ties by position. 1 ≤ k ≤ n. Of the scores of
 * infl_influence_self INFL_HELPFUL gives the suspects for a wrong label. Changes by removal have the other sign: of these
 * it gives the rows whose removal lowers the loss most.
 */
INFL_API infl_status infl_influence_top(const double *scores, size_t n, infl_direction direction, size_t k,
                                        size_t *positions);

/* ================================================================================================ scores ======= */

/* Numbers that know what they are: a quantity with all that it was computed from, in memory and in files. */
typedef struct infl_scores infl_scores;

/* Values are pinned. */
typedef enum infl_quantity {
    INFL_QUANTITY_SCORES = 0,         /* I(z, z_t), test × train: infl_influence_scores                             */
    INFL_QUANTITY_REMOVAL_LOSSES = 1, /* test × train: infl_influence_removal_losses                                */
    INFL_QUANTITY_SELF = 2,           /* I(z, z), a vector: infl_influence_self                                     */
    INFL_QUANTITY_NORMS = 3           /* ‖I(z)‖, a vector: infl_influence_norms                                     */
} infl_quantity;

/*
 * Computes a quantity for the given rows, by the function named above, and keeps it with its description; influence
 * and objectives are not needed afterwards. Vectors have no test: it is NULL, and test_rows and n_test are not used.
 */
INFL_API infl_status infl_scores_create(infl_scores **out, infl_influence *influence, infl_quantity quantity,
                                        infl_objective *test, const size_t *test_rows, size_t n_test,
                                        const size_t *train_rows, size_t n_train);
INFL_API void infl_scores_destroy(infl_scores *scores);

/* What the numbers are. Strings are the handle's. */
typedef struct infl_scores_info {
    infl_quantity quantity;    /* the quantity */
    size_t n_test, n_train;    /* the shape; n_test 0: a vector of n_train                                          */
    double scale;              /* of g(z_t)ᵀ(C+λI)⁻¹g(z): −1; of removal 1/n or 1/(n−1); of norms 1                 */
    int decay_in_gradient;     /* 1: g(z) = ∇ℓ(z) + μDθ of the training rows; 0: ∇ℓ(z)                              */
    int helpful_sign;          /* of a helpful row's number: −1 (scores), 1 (removal); 0: the sign says nothing      */
    size_t n, p;               /* rows of the train objective, parameters                                           */
    double decay;              /* μ                                                                                 */
    infl_precision precision;  /* of the train objective's derivatives                                              */
    int train_loss, test_loss; /* infl_loss_kind; −1: the caller's own, or no test                                  */
    double train_temperature, test_temperature; /* of the smoothed hinge, else NaN                                  */
    int curvature_kind;        /* infl_curvature_kind; −1: of a matrix; −2: of the caller's own product             */
    double damping;            /* λ                                                                                 */
    int damping_automatic;     /* 1: INFL_DAMPING_AUTO found it                                                     */
    /* infl_inverse_options: the method, and what it was told, tolerance resolved */
    infl_inverse_method method;
    infl_eigen_policy eigen_policy;/* of INFL_EIGEN */
    double cutoff, tolerance;  /* of its eigenvalues; of the residual */
    size_t max_iterations;     /* at most, as asked for */
    int accept_unconverged;    /* as asked for */
    int lissa_plain;           /* as asked for */
    double lissa_scale;        /* as asked for; 0: found */
    size_t lissa_batch, lissa_repeats, lissa_check, cg_batch;/* as asked for */
    uint64_t seed;             /* of the random rows */
    infl_precision stored;     /* INFL_F32: the numbers were in a file as f4, and are rounded to it                 */
    const char *formula;       /* "I(z, z_t) = −∇ℓ(z_t)ᵀ (C + λI)⁻¹ g(z), g(z) = ∇ℓ(z)"                             */
    const char *library_version; /* that computed them                                                              */
    const char *label, *note, *date; /* the caller's, as given to infl_scores_save; NULL: none                      */
    double reserved[8];        /* 0                                                                                 */
} infl_scores_info;
/* Fills info; INFL_E_ARGUMENT for NULL. */
INFL_API infl_status infl_scores_describe(const infl_scores *scores, infl_scores_info *info);

/* n_test×n_train numbers, or n_train; the handle's. NULL for NULL. */
INFL_API const double *infl_scores_values(const infl_scores *scores);

/* The objectives' rows that they are of: n_test and n_train numbers; the handle's. NULL for NULL, or without a test. */
INFL_API const size_t *infl_scores_test_rows(const infl_scores *scores);
INFL_API const size_t *infl_scores_train_rows(const infl_scores *scores);

/* The solve for test row number `index`, or of a vector for training row number `index`. */
INFL_API infl_status infl_scores_report(const infl_scores *scores, size_t index, infl_solve_report *report);

/*
 * How far each number may be off, as infl_influence_score_bounds and _removal_bounds, of the shape of the values; of
 * those from a file of f4 with its rounding. NaN where a report has no bound.
 */
INFL_API infl_status infl_scores_bounds(const infl_scores *scores, double *bounds);

/*
 * The k training rows (their indices in the objective) that helped or harmed test row number `test` most, whatever the
 * sign of the quantity; best first, ties in the order of the rows. Of a vector by INFL_QUANTITY_SELF `test` is 0, and
 * INFL_HELPFUL gives the suspects for a wrong label. INFL_E_UNSUPPORTED: norms, which have no sign.
 */
INFL_API infl_status infl_scores_top(const infl_scores *scores, size_t test, infl_direction direction, size_t k,
                                     size_t *rows);

typedef struct infl_scores_save_options {
    size_t size;
    int precision;     /* INFL_F64: f8; INFL_F32: f4                                                                */
    const char *label; /* a name, in UTF-8, for whoever reads the file; NULL: what the handle has                   */
    const char *note;  /* a remark, likewise                                                                        */
    const char *date;  /* likewise                                                                                  */
} infl_scores_save_options;
#define INFL_SCORES_SAVE_OPTIONS_INIT {sizeof(infl_scores_save_options), INFL_F64, NULL, NULL, NULL}

/*
 * The numbers as <path>.npy, which numpy.load opens, and all that is known of them as <path>.json: its keys say what
 * the handle's accessors do, with the identities of model and data, which of the model's parameters the p are (null: all;
 * or [first, count] of ranges of θ, infl_model_tensor has the names), and the XXH3 (128 bits) of the .npy file. null
 * stands for what is not known or not defined. The same bits for the same problem. Both files appear whole or not at
 * all: what was there before is set aside first, so that no array ever stands beside the description of another.
 * INFL_E_IO; INFL_E_NONFINITE: a number is too large for f4; INFL_E_ARGUMENT: a string is not UTF-8.
 */
INFL_API infl_status infl_scores_save(const infl_scores *scores, const char *path,
                                      const infl_scores_save_options *options);

/*
 * The pair of files at <path>, checked against each other. INFL_E_IO; INFL_E_FORMAT: one is malformed, damaged or cut
 * short, has another version, or they do not belong together.
 */
INFL_API infl_status infl_scores_load(infl_scores **out, const char *path);

/*
 * Whether the numbers are of these objectives, as they are now; either may be NULL. INFL_E_ARGUMENT, saying which
 * differs: the parameters (their number, or which), the model (graph, precision, θ, state) or the data (rows and their
 * order, targets, loss, decay), of train or of test; or a test is given, and there is none.
 */
INFL_API infl_status infl_scores_check(const infl_scores *scores, infl_objective *train, infl_objective *test);

/* ============================================================================================== training ======= */

/* A step of training: g the gradient of the batch, η the learning rate, m the momentum. */
typedef enum infl_optimiser {
    INFL_SGD = 0, /* v ← m v + g, θ ← θ − η v; Nesterov: θ ← θ − η (g + m v)   (as PyTorch; Sutskever et al. 2013) */
    INFL_ADAM = 1 /* Kingma & Ba 2015, bias-corrected; decay is part of the gradient (L2)                         */
} infl_optimiser;

/* Why training or polishing ended. */
typedef enum infl_stop_reason {
    INFL_STOP_STEPS = 0,    /* all steps done                                        */
    INFL_STOP_GRADIENT = 1, /* ‖∇R‖ reached the tolerance                            */
    INFL_STOP_STALLED = 2   /* polish: no step lowers R any more at this precision   */
} infl_stop_reason;

typedef struct infl_train_options {
    size_t size;
    infl_optimiser optimiser;   /* what a step is                                                                  */
    size_t steps;               /* at most                                                                         */
    size_t batch;               /* rows a step, drawn without replacement epoch by epoch; 0 or ≥ n: all rows       */
    double learning_rate;       /* η > 0                                                                           */
    double momentum;            /* SGD: m in [0, 1)                                                                */
    int nesterov;               /* 1: Nesterov's step, of SGD                                                      */
    double beta1, beta2, epsilon; /* Adam                                                                          */
    const size_t *milestones;   /* steps (ascending) at which the learning rate is multiplied by decay_factor      */
    size_t n_milestones;        /* how many; 0 with NULL                                                           */
    double decay_factor;        /* > 0                                                                             */
    double gradient_tolerance;  /* > 0: stop when ‖∇R‖ (all rows) ≤ this, looked at every check_every steps        */
    size_t check_every;         /* 0: 100                                                                          */
    uint64_t seed;              /* of the batches' order, of dropout, and of crop and flip                         */
    infl_progress_fn progress;  /* stage "train", in steps. During a call the model has the θ and state of the steps
                                   done, for predictions or another objective's losses; it must not be changed     */
    void *progress_context;
    size_t report_every;        /* steps between two calls of progress; 0: a hundredth of them                     */
    size_t crop;                /* > 0, of a network on images: each is shifted in both directions by up to so many
                                   pixels, at random (padded by so many zeros on each side and cut back to its size;
                                   after infl_dataset_normalise_channels 0 is the channel's mean)                  */
    int flip;                   /* 1: and mirrored left to right, with probability 1/2                             */
    int fixed_statistics;       /* 1: batch normalisation takes the running statistics in steps too, and leaves them as
                                   they are; 0: the batch's                                                        */
} infl_train_options;
#define INFL_TRAIN_OPTIONS_INIT                                                                                        \
    {sizeof(infl_train_options), INFL_ADAM, 1000, 0, 1e-3, 0.0, 0, 0.9, 0.999, 1e-8, NULL, 0, 0.1, 0.0, 0, 1, NULL,    \
     NULL, 0, 0, 0, 0}

/* Where training or polishing came to. */
typedef struct infl_train_result {
    double value;         /* R(θ) at the end                  */
    double gradient_norm; /* ‖∇R(θ)‖₂ at the end, over all rows */
    size_t steps;         /* steps (polish: iterations) done  */
    infl_stop_reason reason; /* why it ended          */
    size_t products;      /* products with the Hessian that polishing spent; 0 of training */
    double reserved[3];
} infl_train_result;

/*
 * Minimises the objective from its present θ; θ is written back at the end. result may be NULL. INFL_E_DIVERGED when
 * R or θ stops being finite, and then, as on any error, θ is as before.
 *
 * A model with batch normalisation or dropout takes its steps in training mode: on the batch's own statistics, which
 * move the model's state (an error restores that too), and with dropped numbers. What is reported of R and ∇R, and
 * gradient_tolerance, are of the model as it predicts. All rows of a batch are held in memory at once: INFL_E_BUDGET
 * where the objective's budget is less. INFL_E_ARGUMENT: the last batch of an epoch would have one row, and a
 * normalised channel of one pixel then has no variance; another batch avoids it.
 *
 * So a step of batch normalisation does not descend R, and ∇R need not vanish where training ends. With fixed_statistics
 * it does: steps are of the model as it predicts (but for dropout), the state stays, and a batch may have any number of
 * rows. Influence is that of R: the last part of a training with fixed statistics brings a network to an optimum of it,
 * and retraining with them (infl_retrain_without) compares like with like.
 *
 * With crop or flip a step sees its images shifted and mirrored by a function of (seed, step, row): so removing a row
 * (infl_retrain_without) changes no other row's image. The dataset stays as it is, and what is reported of R and ∇R,
 * and gradient_tolerance, are of the images as they are. INFL_E_ARGUMENT: the model's input is no image (see
 * infl_builder_create_image) or one of a single pixel, crop is not less than its height and width, or flip is neither
 * 0 nor 1; INFL_E_UNSUPPORTED: the objective is a custom one.
 */
INFL_API infl_status infl_train(infl_objective *objective, const infl_train_options *options,
                                infl_train_result *result);

typedef struct infl_polish_options {
    size_t size;
    double gradient_tolerance; /* stop when ‖∇R‖ ≤ this                                                            */
    size_t max_iterations;     /* Newton steps at most                                                             */
    size_t max_cg_iterations;  /* a step; 0: 2·p                                                                   */
    infl_progress_fn progress; /* stage "polish"                                                                   */
    void *progress_context;
    const infl_inverse *preconditioner; /* for conjugate gradients; NULL: none. Borrowed, and only read: polishes on any
                                  number of threads may share it                                                   */
} infl_polish_options;
#define INFL_POLISH_OPTIONS_INIT {sizeof(infl_polish_options), 1e-10, 200, 0, NULL, NULL, NULL}

/*
 * Newton–CG in a trust region (Steihaug 1983; Nocedal & Wright, algorithm 7.2) on all rows: from near an optimum to
 * ‖∇R‖ ≤ gradient_tolerance. The result says how far it came; reaching the iteration limit is no error. Far from an optimum
 * train first, and then polish in rounds of some 100 steps, each with the Cholesky inverse of the Hessian of the moment,
 * damped by a little more than its most negative eigenvalue, as preconditioner (examples/mnist.c does).
 *
 * The default tolerance is for f64. In f32 the rounding of θ alone leaves a ‖∇R‖ of up to ε‖H‖‖θ‖ (10⁻⁸ to 10⁻⁴ or so),
 * where it ends with INFL_STOP_STALLED; for more, polish what infl_model_convert makes of the model. A step takes up to 2·p
 * products, each a pass over all rows through the whole network, also where the objective is of a part of its parameters.
 *
 * With a preconditioner M⁻¹ the trust region is of its norm, √(s·Ms) (Conn, Gould & Toint, algorithm 7.5.1), and the
 * nearer M is to the Hessian, the fewer products a step takes. It may be of any objective with as many parameters, at
 * any θ: one inverse at an optimum serves all removals of a row from there, also through infl_retrain_without. A step
 * then takes one to three products, more where the removal moves θ far, and plain conjugate gradients up to p.
 * INFL_E_ARGUMENT: it is of another p, or neither by INFL_CHOLESKY nor by INFL_EIGEN with what is positive definite
 * (INFL_EIGEN_CLIP and INFL_EIGEN_ABSOLUTE always are; undecayed biases under softmax make the Hessian singular, and
 * those two serve there).
 */
INFL_API infl_status infl_polish(infl_objective *objective, const infl_polish_options *options,
                                 infl_train_result *result);

/* ============================================================================================ evaluation ======= */

typedef struct infl_retrain_options {
    size_t size;
    const infl_train_options *train;   /* how to retrain; NULL: no optimiser steps (polish only). Its progress is
                                          not called: `progress` below is                                          */
    const infl_polish_options *polish; /* afterwards, likewise; NULL: none, but its defaults where train is NULL too */
    const double *start;               /* p numbers to start from ("from scratch": the initial θ); NULL: the
                                          objective's present θ ("from the optimum")                               */
    const double *predicted;           /* m×p predicted Δθ (infl_influence_removal_parameters), for the output's
                                          cosines; else NULL                                                       */
    int subtract_control;              /* 1: the same retraining with nothing removed is run too, and subtracted   */
    int threads;                       /* over rows; 0: as many as OpenMP offers                                   */
    infl_progress_fn progress;         /* stage "retrain", in rows (the control run counts as one)                  */
    void *progress_context;
    const double *start_state;         /* a state of the model to start from, likewise (infl_model_state numbers); NULL:
                                          the present one                                                           */
    const char *journal;               /* path of a file that keeps each finished retraining, so that a call that was
                                          killed can be made again and goes on where it was (see below); NULL: none */
} infl_retrain_options;
#define INFL_RETRAIN_OPTIONS_INIT {sizeof(infl_retrain_options), NULL, NULL, NULL, NULL, 1, 0, NULL, NULL, NULL, NULL}

/* Arrays of the caller's to fill; each may be NULL. m: the number of rows removed in turn, t: of test rows. */
typedef struct infl_retrain_output {
    size_t size;
    double *parameter_changes;  /* m×p: Δθ = θ after retraining without the row − (control's θ, or the optimum's)   */
    double *norms;              /* m: ‖Δθ‖₂                                                                        */
    double *cosines;            /* m: cosine of Δθ and the row of the options' predicted; NaN where one is 0        */
    double *loss_changes;       /* t×m, the shape of infl_influence_removal_losses: each test row's loss after − (the
                                   control's, or the optimum's)                                                    */
    infl_train_result *results; /* m: how each retraining ended                                                    */
    double *control_parameters; /* p: θ after the control run − the optimum's: the drift. Needs subtract_control    */
    double *control_losses;     /* t: each test row's loss after the control run − the optimum's                   */
    infl_train_result *control_result; /* 1                                                                        */
    /* written by the call: */
    size_t resumed;             /* retrainings taken from the journal, the control run included                    */
    size_t dropped;             /* bytes of a torn last record that were cut off the journal                       */
    size_t unconverged;         /* polished retrainings, the control run included, whose ‖∇R‖ is still above the
                                   tolerance: results say which. Removing an influential row may move θ far, and what
                                   did not come to rest is no ground truth                                         */
} infl_retrain_output;
#define INFL_RETRAIN_OUTPUT_INIT {sizeof(infl_retrain_output), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0}

/*
 * Leave-one-out ground truth: for each given row of the train objective, removes it, retrains, and compares. The
 * objectives keep their θ and state. test may be NULL (then no losses); it measures at its own loss, without decay.
 * Each retraining's state goes with its θ where losses are measured. options NULL: polish with its defaults from the
 * present θ, less the control.
 *
 * Batches are those of the control run, less the removed row: the batch that had it has one row fewer, all others are
 * the same rows (infl_train on an objective without the row would shift all later ones). A step whose batch has no row
 * left, or fewer than batch normalisation needs, is counted but not taken: θ, the state and the optimiser's memory
 * stay.
 *
 * With a journal each retraining is on disk when progress says that it is done. Killed at any moment, the same call
 * again takes from the file what is there, retrains the rest and ends with the same bits as one that was not
 * disturbed, on any number of threads; resumed rows count as done for progress from the start. The file keeps how each
 * retraining ended, losses of the test rows where they are asked for, and θ (p numbers each) where parameter_changes,
 * norms, cosines or control_parameters are. Other rows in another order may be asked for: those that are there are not
 * retrained. All else that determines the bits must be the same, else INFL_E_ARGUMENT: train (rows, θ, state), start,
 * training and polishing, subtract_control, test and its rows, what is kept, the library's version, and how the
 * machine rounds. INFL_E_FORMAT, with path and byte: the file is no journal, or is damaged before its last record (a
 * torn last one is cut off). INFL_E_IO: it cannot be opened, read or written, or another call or process has it; what
 * is in it stays.
 */
INFL_API infl_status infl_retrain_without(infl_objective *train, const size_t *rows, size_t n_rows,
                                          infl_objective *test, const size_t *test_rows, size_t n_test,
                                          const infl_retrain_options *options, infl_retrain_output *output);

/*
 * Correlation of x and y, n ≥ 2 numbers each: Pearson's r, Spearman's ρ (ties get their average rank), Kendall's τ-b.
 * NaN where x or y is constant (no correlation is defined). INFL_E_NONFINITE: an element is NaN or infinite.
 */
INFL_API infl_status infl_pearson(const double *x, const double *y, size_t n, double *r);
INFL_API infl_status infl_spearman(const double *x, const double *y, size_t n, double *rho);
INFL_API infl_status infl_kendall(const double *x, const double *y, size_t n, double *tau);

/* ‖vectors[i]‖₂ of n vectors of `length` ≥ 1 numbers each (n×length), n ≥ 1. INFL_E_NONFINITE as above. */
INFL_API infl_status infl_norms(const double *vectors, size_t n, size_t length, double *norms);

/* Cosine of the angle between two vectors of n ≥ 1 numbers; NaN where one is zero. INFL_E_NONFINITE as above. */
INFL_API infl_status infl_cosine(const double *x, const double *y, size_t n, double *cosine);

#ifdef __cplusplus
}
#endif

#endif

/* Networks from the literature, written on the builder alone, with the names that their layers have in PyTorch. */
#include "zoo.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "network.h"

/* A graph that grows by one of the networks; options with the network's own defaults filled in. */
typedef struct zoo {
    infl_builder *builder;
    infl_zoo_network network;
    infl_zoo_options options;
    infl_module *modules; /* to be filled; NULL: they are only counted */
    size_t n_modules;
    char prefix[INFL_MODULE_NAME_BYTES / 2]; /* of names: "layer1.0." */
    char block[INFL_MODULE_NAME_BYTES / 2];  /* of places: "3.body." */
    size_t place;                            /* of the next module in its nn.Sequential */
} zoo;

/* What a convolution and its normalisation are called, in the words of `name`. */
typedef struct names {
    const char *convolution, *norm;
} names;

static const struct {
    const char *name;
    size_t least; /* height and width of images */
} networks[] = {{"kl_cnn", 21}, {"lenet5", 12}, {"vgg13", 32}, {"vgg14", 32}, {"resnet18", 1}, {"resnet50", 1}};

enum { N_NETWORKS = sizeof networks / sizeof networks[0] };

const char *infl_zoo_network_name(infl_zoo_network network) {
    return (int)network < 0 || (int)network >= (int)N_NETWORKS ? NULL : networks[network].name;
}

static int is_resnet(infl_zoo_network network) { return network == INFL_ZOO_RESNET18 || network == INFL_ZOO_RESNET50; }

static infl_status read_options(zoo *z, infl_builder *builder, infl_zoo_network network, const infl_zoo_options *given,
                                const char *function) {
    if (infl_zoo_network_name(network) == NULL)
        return infl_fail(INFL_E_ARGUMENT, "%s: network %d does not exist", function, (int)network);
    infl_zoo_options o = INFL_ZOO_OPTIONS_INIT;
    INFL_TRY(infl_read_options(&o, sizeof o, given, function, "options"));
    if (o.n_classes == 0)
        return infl_fail(INFL_E_ARGUMENT, "%s: n_classes is 0; a network needs at least one output", function);
    if (o.batch_norm < -1 || o.batch_norm > 1)
        return infl_fail(INFL_E_ARGUMENT, "%s: batch_norm is %d; expected -1, 0 or 1", function, o.batch_norm);
    if (!(o.width_factor > 0.0 && o.width_factor <= 1e6))
        return infl_fail(INFL_E_ARGUMENT, "%s: width_factor is %g; expected above 0 and at most 1e6", function,
                         o.width_factor);
    size_t side = network == INFL_ZOO_KL_CNN ? 28 : 32;
    if (o.channels == 0)
        o.channels = network == INFL_ZOO_KL_CNN ? 1 : 3;
    if (o.height == 0)
        o.height = side;
    if (o.width == 0)
        o.width = side;
    if (o.batch_norm < 0)
        o.batch_norm = is_resnet(network);
    *z = (zoo){.builder = builder, .network = network, .options = o};
    return INFL_OK;
}

static size_t scaled(const zoo *z, size_t channels) {
    double wide = floor((double)channels * z->options.width_factor + 0.5);
    return wide < 1.0 ? 1 : (size_t)wide;
}

/*
 * The next module is a layer with parameters, called so: after the prefix, with | between two names and # for its place in
 * the nn.Sequential.
 */
static void name(zoo *z, int kind, const char *words) {
    if (z->modules != NULL) {
        infl_module *module = &z->modules[z->n_modules];
        char place[24];
        snprintf(place, sizeof place, "%zu", z->place);
        *module = (infl_module){.kind = kind};
        snprintf(module->place, sizeof module->place, "%s%s", z->block, place);
        for (size_t i = 0; i < INFL_MODULE_NAMES && *words != '\0'; i++) {
            size_t length = strcspn(words, "|"), plain = strcspn(words, "|#");
            snprintf(module->names[i], sizeof module->names[i], "%s%.*s%s", z->prefix, (int)plain, words,
                     plain < length ? place : "");
            words += length + (words[length] == '|');
        }
    }
    z->n_modules++;
    z->place++;
}

static infl_node activate(zoo *z, infl_node x, infl_activation activation) {
    z->place++;
    return infl_builder_activation(z->builder, x, activation);
}

/* A square convolution, its normalisation, its activation (INFL_IDENTITY: none). */
static infl_node convolution(zoo *z, infl_node x, names called, size_t channels, size_t kernel, size_t stride,
                             const size_t padding[2], infl_activation activation) {
    infl_conv2d conv = INFL_CONV2D_INIT;
    conv.channels = channels;
    conv.bias = !(is_resnet(z->network) && z->options.batch_norm);
    conv.initialiser = z->network == INFL_ZOO_KL_CNN ? INFL_INIT_TRUNCATED_NORMAL_2 : INFL_INIT_HE;
    for (int axis = 0; axis < 2; axis++) {
        conv.kernel[axis] = kernel;
        conv.stride[axis] = stride;
        conv.padding[axis] = padding[axis];
    }
    x = infl_builder_conv2d(z->builder, x, &conv);
    name(z, INFL_LAYER_CONV2D, called.convolution);
    if (z->options.batch_norm) {
        x = infl_builder_batch_norm(z->builder, x, NULL);
        name(z, INFL_LAYER_BATCH_NORM, called.norm);
    }
    return activation == INFL_IDENTITY ? x : activate(z, x, activation);
}

static const size_t none[2] = {0, 0}, one[2] = {1, 1};

static infl_node max_pool(zoo *z, infl_node x) {
    infl_pool2d pool = INFL_POOL2D_INIT;
    z->place++;
    return infl_builder_max_pool2d(z->builder, x, &pool);
}

static infl_node dense(zoo *z, infl_node x, const char *called, size_t units, infl_initialiser initialiser) {
    x = infl_builder_dense(z->builder, x, units, 1, initialiser);
    name(z, INFL_LAYER_DENSE, called);
    return x;
}

/* The mean over each channel and the last layer. */
static infl_node average_head(zoo *z, infl_node x, const char *called, infl_initialiser initialiser) {
    x = infl_builder_global_average_pool(z->builder, x);
    z->place += 2; /* and an nn.Flatten */
    return dense(z, x, called, z->options.n_classes, initialiser);
}

static infl_node koh_liang(zoo *z, infl_node x) {
    static const names places = {"#", "#"};
    for (size_t i = 0; i < 5; i++)
        x = convolution(z, x, places, scaled(z, 8), 3, i % 2 == 1 ? 2 : 1, none, INFL_TANH);
    x = convolution(z, x, places, scaled(z, 10), 1, 1, none, INFL_TANH);
    return average_head(z, x, "#", INFL_INIT_TRUNCATED_NORMAL);
}

static infl_node lenet(zoo *z, infl_node x) {
    static const names first = {"conv1", "bn1"}, second = {"conv2", "bn2"};
    /* LeCun's images of digits were 28×28 in a frame of 32×32 */
    size_t frame[2] = {z->options.height < 32 ? 2 : 0, z->options.width < 32 ? 2 : 0};
    x = max_pool(z, convolution(z, x, first, scaled(z, 6), 5, 1, frame, INFL_RELU));
    x = max_pool(z, convolution(z, x, second, scaled(z, 16), 5, 1, none, INFL_RELU));
    z->place++; /* an nn.Flatten */
    x = activate(z, dense(z, x, "fc1", scaled(z, 120), INFL_INIT_HE), INFL_RELU);
    x = activate(z, dense(z, x, "fc2", scaled(z, 84), INFL_INIT_HE), INFL_RELU);
    return dense(z, x, "fc3", z->options.n_classes, INFL_INIT_LECUN);
}

static infl_node vgg(zoo *z, infl_node x) {
    static const size_t channels[] = {64, 128, 256, 512, 512};
    static const names features = {"features.#", "features.#"};
    for (size_t block = 0; block < 5; block++) {
        size_t n = z->network == INFL_ZOO_VGG14 && block == 4 ? 3 : 2;
        for (size_t i = 0; i < n; i++)
            x = convolution(z, x, features, scaled(z, channels[block]), 3, 1, one, INFL_RELU);
        x = max_pool(z, x);
    }
    return average_head(z, x, "classifier|classifier.0", INFL_INIT_LECUN);
}

/* A part of a block is an nn.Sequential of its own. */
static void enter(zoo *z, size_t block, const char *part) {
    snprintf(z->block, sizeof z->block, "%zu.%s.", block, part);
    z->place = 0;
}

/* Of `in` channels; the shortcut is a 1×1 convolution where the shape changes. */
static infl_node residual_block(zoo *z, infl_node x, size_t in, size_t channels, size_t stride, size_t *out) {
    static const names first = {"conv1", "bn1"}, second = {"conv2", "bn2"}, third = {"conv3", "bn3"},
                       changed = {"downsample.0|shortcut.0", "downsample.1|shortcut.1"};
    infl_node y, shortcut = x;
    size_t place = z->place;
    enter(z, place, "body");
    if (z->network == INFL_ZOO_RESNET18) {
        *out = channels;
        y = convolution(z, x, first, channels, 3, stride, one, INFL_RELU);
        y = convolution(z, y, second, channels, 3, 1, one, INFL_IDENTITY);
    } else {
        *out = 4 * channels;
        y = convolution(z, x, first, channels, 1, 1, none, INFL_RELU);
        y = convolution(z, y, second, channels, 3, stride, one, INFL_RELU);
        y = convolution(z, y, third, *out, 1, 1, none, INFL_IDENTITY);
    }
    enter(z, place, "shortcut");
    if (stride != 1 || in != *out)
        shortcut = convolution(z, x, changed, *out, 1, stride, none, INFL_IDENTITY);
    z->block[0] = '\0';
    z->place = place + 1;
    return infl_builder_activation(z->builder, infl_builder_add(z->builder, y, shortcut), INFL_RELU);
}

static infl_node resnet(zoo *z, infl_node x) {
    static const size_t blocks[2][4] = {{2, 2, 2, 2}, {3, 4, 6, 3}};
    static const names first = {"conv1", "bn1"};
    size_t in = scaled(z, 64);
    x = convolution(z, x, first, in, 3, 1, one, INFL_RELU);
    for (size_t stage = 0; stage < 4; stage++)
        for (size_t i = 0; i < blocks[z->network == INFL_ZOO_RESNET50][stage]; i++) {
            snprintf(z->prefix, sizeof z->prefix, "layer%zu.%zu.", stage + 1, i);
            x = residual_block(z, x, in, scaled(z, (size_t)64 << stage), stage > 0 && i == 0 ? 2 : 1, &in);
        }
    z->prefix[0] = '\0';
    return average_head(z, x, "fc|linear", INFL_INIT_LECUN);
}

static infl_node append(zoo *z, infl_node x) {
    switch (z->network) {
    case INFL_ZOO_KL_CNN:
        return koh_liang(z, x);
    case INFL_ZOO_LENET5:
        return lenet(z, x);
    case INFL_ZOO_VGG13:
    case INFL_ZOO_VGG14:
        return vgg(z, x);
    default:
        return resnet(z, x);
    }
}

static infl_status check_size(const zoo *z, const char *function) {
    size_t least = networks[z->network].least;
    if (z->options.height >= least && z->options.width >= least)
        return INFL_OK;
    return infl_fail(INFL_E_ARGUMENT, "%s: %s takes images of %zu×%zu and larger ones, found %zu×%zu", function,
                     networks[z->network].name, least, least, z->options.height, z->options.width);
}

infl_node infl_builder_zoo(infl_builder *builder, infl_node input, infl_zoo_network network,
                           const infl_zoo_options *options) {
    zoo z;
    if (builder == NULL) {
        infl_fail(INFL_E_ARGUMENT, "%s: builder is NULL", __func__);
        return INFL_NODE_INVALID;
    }
    infl_status status = read_options(&z, builder, network, options, __func__);
    if (status == INFL_OK)
        status = infl_in_name_of(
            __func__, infl_builder_shape(builder, input, &z.options.channels, &z.options.height, &z.options.width));
    if (status == INFL_OK)
        status = check_size(&z, __func__);
    return status == INFL_OK ? append(&z, input) : infl_builder_refuse(builder, status);
}

/* By a layer, not by what else a model needs. */
static int builder_has_failed(const infl_builder *builder) {
    return infl_builder_shape(builder, INFL_NODE_INPUT, NULL, NULL, NULL) != INFL_OK;
}

infl_status infl_model_create_zoo(infl_model **out, infl_zoo_network network, const infl_zoo_options *options,
                                  infl_precision precision, uint64_t seed) {
    INFL_REQUIRE(out);
    zoo z;
    infl_builder *builder;
    INFL_TRY(read_options(&z, NULL, network, options, __func__));
    INFL_TRY(check_size(&z, __func__));
    INFL_TRY(infl_in_name_of(
        __func__, infl_builder_create_image(&builder, z.options.channels, z.options.height, z.options.width)));
    z.builder = builder;
    infl_status status = infl_model_create(out, builder, append(&z, INFL_NODE_INPUT), precision, seed);
    if (status == INFL_E_ARGUMENT && builder_has_failed(builder))
        status = infl_fail(status, "%s: %s does not fit images of %zu×%zu×%zu: %s", __func__, networks[network].name,
                           z.options.channels, z.options.height, z.options.width, infl_error_cause());
    infl_builder_destroy(builder);
    return infl_in_name_of(__func__, status);
}

infl_status infl_zoo_modules(infl_module **out, size_t *n, infl_zoo_network network, int batch_norm) {
    infl_zoo_options options = INFL_ZOO_OPTIONS_INIT;
    infl_module *modules = NULL;
    zoo z;
    options.batch_norm = batch_norm;
    for (int counted = 0; counted < 2; counted++) {
        infl_builder *builder;
        INFL_TRY(read_options(&z, NULL, network, &options, __func__));
        if (counted)
            INFL_ALLOCATE(modules, *n);
        infl_status status = infl_builder_create_image(&builder, z.options.channels, z.options.height, z.options.width);
        if (status != INFL_OK) {
            infl_release(modules);
            return status;
        }
        z.builder = builder;
        z.modules = modules;
        append(&z, INFL_NODE_INPUT);
        infl_builder_destroy(builder);
        *n = z.n_modules;
    }
    *out = modules;
    return INFL_OK;
}

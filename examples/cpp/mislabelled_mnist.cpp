// Gives some MNIST digits a wrong label, trains a network on them, ranks the rows by self-influence, and tells how many of
// the wrong labels stand at the top: what one would look through by eye. Beside it what costs less, the loss alone.
#include "handles.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct settings {
    std::string folder;
    std::size_t rows = 4000, epochs = 10, seed = 1;
    double wrong = 0.05; // of all rows
    infl_zoo_network network = INFL_ZOO_LENET5;
    double decay = 5e-4, damping = 1e-3;
};

const char *const usage = "usage: mislabelled_mnist [options], with MNIST's files in FOLDER/mnist\n"
                          "  --data FOLDER      default: the environment's INFLUENCE_DATA\n"
                          "  --network NAME     lenet5 (default), kl_cnn, or another of the zoo for such images\n"
                          "  --rows N           training images, the first ones [4000]\n"
                          "  --wrong FRACTION   of them get a wrong label [0.05]\n"
                          "  --epochs N         of training [10]\n"
                          "  --decay MU         weight decay, of weights but not biases [0.0005]\n"
                          "  --damping LAMBDA   of the Gauss-Newton matrix [0.001]\n"
                          "  --seed N           of labels, first parameters and batches [1]\n";

struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

double number(const std::string &name, const std::string &text, double low, double high) {
    std::size_t read = 0;
    double value = 0;
    try {
        value = std::stod(text, &read);
    } catch (const std::logic_error &) {
        read = 0;
    }
    if (read == 0 || read != text.size() || !(value >= low && value <= high))
        throw usage_error(name + " is '" + text + "'; expected a number from " + std::to_string(low) + " to " +
                          std::to_string(high));
    return value;
}

std::size_t whole(const std::string &name, const std::string &text, double low, double high) {
    double value = number(name, text, low, high);
    if (value != static_cast<double>(static_cast<std::size_t>(value)))
        throw usage_error(name + " is '" + text + "'; expected a whole number");
    return static_cast<std::size_t>(value);
}

infl_zoo_network network_named(const std::string &name) {
    for (int i = 0; infl_zoo_network_name(static_cast<infl_zoo_network>(i)) != nullptr; i++)
        if (name == infl_zoo_network_name(static_cast<infl_zoo_network>(i)))
            return static_cast<infl_zoo_network>(i);
    throw usage_error("--network " + name + " is not in the zoo");
}

settings parse(int argc, char **argv) {
    settings s;
    if (const char *folder = std::getenv("INFLUENCE_DATA"))
        s.folder = folder;
    for (int i = 1; i < argc; i += 2) {
        const std::string name = argv[i];
        if (i + 1 == argc)
            throw usage_error(name + " has no value, or is no option");
        const std::string value = argv[i + 1];
        if (name == "--data")
            s.folder = value;
        else if (name == "--network")
            s.network = network_named(value);
        else if (name == "--rows")
            s.rows = whole(name, value, 100, 60000);
        else if (name == "--wrong")
            s.wrong = number(name, value, 0.001, 0.5);
        else if (name == "--epochs")
            s.epochs = whole(name, value, 1, 1000);
        else if (name == "--decay")
            s.decay = number(name, value, 0, 1);
        else if (name == "--damping")
            s.damping = number(name, value, 0, 1e3);
        else if (name == "--seed")
            s.seed = whole(name, value, 0, 1e9);
        else
            throw usage_error("there is no option " + name);
    }
    if (s.folder.empty())
        throw usage_error("there is no folder to read from; name one by --data or INFLUENCE_DATA");
    return s;
}

// ---- data -------------------------------------------------------------------------------------------------------

infl::owner<infl_dataset> read_digits(const settings &s) {
    infl_image_options options = INFL_IMAGE_OPTIONS_INIT;
    options.count = s.rows;
    const std::string images = s.folder + "/mnist/train-images-idx3-ubyte.gz";
    const std::string labels = s.folder + "/mnist/train-labels-idx1-ubyte.gz";
    auto raw = infl::make(infl_dataset_from_idx, images.c_str(), labels.c_str(), &options);
    double mean, deviation;
    infl::check(infl_dataset_measure_channels(raw.get(), 1, &mean, &deviation));
    return infl::make(infl_dataset_normalise_channels, raw.get(), 1, &mean, &deviation);
}

// Another label for some rows, drawn by the seed; the engine's numbers are the same everywhere, distributions' are not.
infl::owner<infl_dataset> mislabel(const infl_dataset *digits, const settings &s, std::vector<char> &wrong) {
    std::mt19937_64 random(s.seed);
    std::vector<std::size_t> rows;
    std::vector<std::int32_t> labels;
    const std::size_t n = infl_dataset_rows(digits), classes = infl_dataset_targets(digits);
    const std::size_t wanted = static_cast<std::size_t>(s.wrong * static_cast<double>(n) + 0.5);
    wrong.assign(n, 0);
    while (rows.size() < wanted) {
        const std::size_t row = random() % n;
        if (wrong[row])
            continue;
        double label;
        infl::check(infl_dataset_get(digits, row, nullptr, &label));
        wrong[row] = 1;
        rows.push_back(row);
        labels.push_back(
            static_cast<std::int32_t>((static_cast<std::size_t>(label) + 1 + random() % (classes - 1)) % classes));
    }
    return infl::make(infl_dataset_relabel, digits, rows.data(), rows.size(), labels.data());
}

// ---- network ----------------------------------------------------------------------------------------------------

infl_train_options training(const settings &s, std::size_t (&drops)[2]) {
    infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
    options.optimiser = INFL_SGD;
    options.momentum = 0.9;
    options.learning_rate = s.network == INFL_ZOO_KL_CNN ? 0.1 : 0.02;
    options.batch = 100;
    options.steps = s.epochs * ((s.rows + options.batch - 1) / options.batch);
    options.seed = s.seed;
    drops[0] = options.steps * 60 / 100;
    drops[1] = options.steps * 85 / 100;
    if (drops[0] < drops[1]) {
        options.milestones = drops;
        options.n_milestones = 2;
    }
    return options;
}

// What the matrix is of: all parameters where it is small enough to be factorised in a moment, else the last layer's.
std::vector<std::size_t> parameters_of_interest(const infl_model *model) {
    const std::size_t p = infl_model_parameters(model), tensors = infl_model_tensors(model);
    std::size_t first = 0;
    if (p > 5000) {
        infl_tensor weight; // the last two tensors are the last layer's weight and bias
        infl::check(infl_model_tensor(model, tensors - 2, &weight));
        first = weight.offset;
    }
    std::vector<std::size_t> parameters;
    for (std::size_t i = first; i < p; i++)
        parameters.push_back(i);
    return parameters;
}

// ---- ranking ----------------------------------------------------------------------------------------------------

// A line of the table: of the wrong labels, how many the rows of least score hold.
void tell(const char *name, const std::vector<double> &scores, const std::vector<char> &wrong) {
    const std::size_t n = scores.size();
    std::vector<std::size_t> order(n);
    std::size_t total = 0;
    infl::check(infl_influence_top(scores.data(), n, INFL_HELPFUL, n, order.data()));
    for (char flipped : wrong)
        total += static_cast<std::size_t>(flipped);
    std::printf("%-16s", name);
    for (double part : {0.05, 0.10, 0.15}) {
        const std::size_t looked_at = static_cast<std::size_t>(part * static_cast<double>(n) + 0.5);
        std::size_t found = 0;
        for (std::size_t i = 0; i < looked_at; i++)
            found += static_cast<std::size_t>(wrong[order[i]]);
        std::printf(" %6.1f %%", 100.0 * static_cast<double>(found) / static_cast<double>(total));
    }
    std::printf("\n");
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void run(const settings &s) {
    std::vector<char> wrong;
    auto digits = read_digits(s);
    auto rows = mislabel(digits.get(), s, wrong);
    const std::size_t n = infl_dataset_rows(rows.get());

    infl_zoo_options zoo = INFL_ZOO_OPTIONS_INIT;
    zoo.channels = 1;
    zoo.height = zoo.width = 28;
    auto model = infl::make(infl_model_create_zoo, s.network, &zoo, INFL_F32, s.seed);
    const infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
    infl_objective_options options = INFL_OBJECTIVE_OPTIONS_INIT;
    options.decay = s.decay;
    options.decay_scope = INFL_DECAY_WEIGHTS;
    auto risk = infl::make(infl_objective_create, model.get(), &loss, rows.get(), &options);

    std::size_t drops[2];
    const infl_train_options train = training(s, drops);
    infl_train_result trained;
    double given, truth, start = seconds();
    infl::check(infl_train(risk.get(), &train, &trained));
    infl::check(infl_model_accuracy(model.get(), rows.get(), &given));
    infl::check(infl_model_accuracy(model.get(), digits.get(), &truth));
    std::printf(
        "%zu rows; %s, trained in %.0f s: R %.3f, |grad R| %.3f; finds %.1f %% of the labels given, %.1f %% of the "
        "right ones\n",
        n, infl_zoo_network_name(s.network), seconds() - start, trained.value, trained.gradient_norm, 100 * given,
        100 * truth);

    const std::vector<std::size_t> parameters = parameters_of_interest(model.get());
    options.parameters = parameters.data();
    options.n_parameters = parameters.size();
    auto part = infl::make(infl_objective_create, model.get(), &loss, rows.get(), &options);
    start = seconds();
    auto curvature = infl::make(infl_curvature_create, part.get(), INFL_GAUSS_NEWTON, s.damping);
    // kept as a matrix: each of the n solves is certified by a product, which would else be one over all rows
    infl::check(infl_curvature_form(curvature.get(), nullptr, nullptr));
    auto inverse = infl::make(infl_inverse_create, curvature.get(), nullptr);
    auto influence = infl::make(infl_influence_create, part.get(), inverse.get(), nullptr);
    std::vector<double> self(n), losses(n), norms(n);
    infl::check(infl_influence_self(influence.get(), nullptr, 0, self.data(), nullptr));
    std::printf("self-influence by %zu parameters in %.0f s\n\n", parameters.size(), seconds() - start);

    infl::check(infl_objective_losses(part.get(), nullptr, 0, losses.data()));
    infl::check(infl_objective_row_norms(part.get(), nullptr, 0, norms.data()));
    for (std::size_t i = 0; i < n; i++) {
        losses[i] = -losses[i]; // most suspicious first, as self-influence has it
        norms[i] = -norms[i];
    }
    std::printf("rows looked at       5 %%     10 %%     15 %%\n");
    tell("self-influence", self, wrong);
    tell("loss", losses, wrong);
    tell("gradient norm", norms, wrong);
}

} // namespace

int main(int argc, char **argv) {
    try {
        if (argc == 2 && (std::strcmp(argv[1], "--help") == 0)) {
            std::fputs(usage, stdout);
            return 0;
        }
        run(parse(argc, argv));
    } catch (const usage_error &error) {
        std::fprintf(stderr, "mislabelled_mnist: %s\n%s", error.what(), usage);
        return 2;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "mislabelled_mnist: %s\n", error.what());
        return 1;
    }
}

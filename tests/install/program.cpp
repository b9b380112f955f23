// The same as program.c, with handles owned the C++ way.
#include <influence.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

namespace {

void check(infl_status status) {
    if (status != INFL_OK)
        throw std::runtime_error(infl_last_error());
}

template <class T, void (*destroy)(T *)> struct destroyer {
    void operator()(T *handle) const { destroy(handle); }
};
using dataset = std::unique_ptr<infl_dataset, destroyer<infl_dataset, infl_dataset_destroy>>;
using model = std::unique_ptr<infl_model, destroyer<infl_model, infl_model_destroy>>;
using objective = std::unique_ptr<infl_objective, destroyer<infl_objective, infl_objective_destroy>>;

} // namespace

int main() {
    try {
        infl_dataset *data = nullptr;
        check(infl_dataset_iris(&data));
        dataset iris(data);

        const size_t units[] = {5, 3};
        infl_model *network = nullptr;
        check(infl_model_create_mlp(&network, INFL_F64, 4, units, 2, INFL_TANH, INFL_INIT_GLOROT, 1));
        model mlp(network);

        infl_loss loss = INFL_LOSS_INIT(INFL_SOFTMAX_CROSS_ENTROPY);
        infl_objective *risk = nullptr;
        check(infl_objective_create(&risk, mlp.get(), &loss, iris.get(), nullptr));
        objective training(risk);

        infl_train_options options = INFL_TRAIN_OPTIONS_INIT;
        options.steps = 1;
        check(infl_train(training.get(), &options, nullptr));
        std::printf("%s\n", infl_version());
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}

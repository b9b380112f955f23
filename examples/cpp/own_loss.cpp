// A loss that the library does not have, written as C++ lambdas: a line is fitted to points some of which are far off,
// by the pseudo-Huber loss, and each point is asked how far it moves the line. Then one of the lambdas throws.
#include "handles.hpp"

#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <vector>

namespace {

// A risk row by row. Lambdas may capture what they like, and threads may call them at the same time.
struct row_functions {
    std::function<double(const double *theta, std::size_t row)> loss;
    std::function<void(const double *theta, std::size_t row, double *gradient)> gradient;
    std::function<void(const double *theta, std::size_t row, const double *v, double *sum)> add_hessian_product;
    std::size_t n_rows, n_parameters;
};

// The library is C: an exception must not pass through it. Non-zero becomes INFL_E_CALLBACK there, and infl::error here.
template <class Work> int guarded(Work work) noexcept {
    try {
        work();
        return 0;
    } catch (...) {
        return 1;
    }
}

// The functions are borrowed: they outlive the objective. Lambdas without captures are functions to C.
infl_custom_objective callbacks(row_functions &functions) {
    infl_custom_objective custom = INFL_CUSTOM_OBJECTIVE_INIT;
    custom.n_rows = functions.n_rows;
    custom.n_parameters = functions.n_parameters;
    custom.context = &functions;
    custom.losses = [](void *context, const double *theta, const std::size_t *rows, std::size_t n, double *losses) {
        const auto &f = *static_cast<row_functions *>(context);
        return guarded([&] {
            for (std::size_t i = 0; i < n; i++)
                losses[i] = f.loss(theta, rows[i]);
        });
    };
    custom.row_gradients = [](void *context, const double *theta, const std::size_t *rows, std::size_t n,
                              double *gradients) {
        const auto &f = *static_cast<row_functions *>(context);
        return guarded([&] {
            for (std::size_t i = 0; i < n; i++)
                f.gradient(theta, rows[i], gradients + i * f.n_parameters);
        });
    };
    custom.hessian_products = [](void *context, const double *theta, const std::size_t *rows, std::size_t n,
                                 const double *vectors, std::size_t k, double *products) {
        const auto &f = *static_cast<row_functions *>(context);
        return guarded([&] {
            for (std::size_t j = 0; j < k * f.n_parameters; j++)
                products[j] = 0.0;
            for (std::size_t i = 0; i < n; i++)
                for (std::size_t j = 0; j < k; j++)
                    f.add_hessian_product(theta, rows[i], vectors + j * f.n_parameters, products + j * f.n_parameters);
        });
    };
    return custom;
}

// y = 1 + 2x with noise of 0.2; every tenth point is far above.
void make_points(std::vector<double> &x, std::vector<double> &y) {
    std::mt19937 random(1);
    auto uniform = [&random] { return (random() + 0.5) / 4294967296.0; }; // the same on every system
    for (std::size_t i = 0; i < x.size(); i++) {
        x[i] = 2 * uniform() - 1;
        y[i] = 1 + 2 * x[i] + 0.2 * std::sqrt(-2 * std::log(uniform())) * std::cos(6.283185307179586 * uniform());
        if (i % 10 == 3)
            y[i] += 3;
    }
}

void run() {
    std::vector<double> x(60), y(60);
    make_points(x, y);

    // ℓ = √(1 + r²) − 1 of the residual r = θ₀ + θ₁x − y: a square near 0, a straight line far off
    auto residual = [&x, &y](const double *theta, std::size_t row) { return theta[0] + theta[1] * x[row] - y[row]; };
    row_functions line;
    line.n_rows = x.size();
    line.n_parameters = 2;
    line.loss = [&](const double *theta, std::size_t row) { return std::hypot(1.0, residual(theta, row)) - 1; };
    line.gradient = [&](const double *theta, std::size_t row, double *gradient) {
        double r = residual(theta, row), slope = r / std::hypot(1.0, r);
        gradient[0] = slope;
        gradient[1] = slope * x[row];
    };
    line.add_hessian_product = [&](const double *theta, std::size_t row, const double *v, double *sum) {
        double along = std::pow(std::hypot(1.0, residual(theta, row)), -3) * (v[0] + v[1] * x[row]);
        sum[0] += along;
        sum[1] += along * x[row];
    };

    const infl_custom_objective custom = callbacks(line);
    const double start[] = {0, 0};
    auto risk = infl::make(infl_objective_create_custom, &custom, start, nullptr);
    infl::check(infl_objective_check_derivatives(risk.get(), nullptr, 0, nullptr, nullptr));
    infl_train_result polished;
    infl::check(infl_polish(risk.get(), nullptr, &polished));
    double theta[2];
    infl::check(infl_objective_get_parameters(risk.get(), theta));
    std::printf("y = %.3f + %.3f x, |grad R| %.1e\n", theta[0], theta[1], polished.gradient_norm);

    auto curvature = infl::make(infl_curvature_create, risk.get(), INFL_HESSIAN, 0.0);
    auto inverse = infl::make(infl_inverse_create, curvature.get(), nullptr);
    auto influence = infl::make(infl_influence_create, risk.get(), inverse.get(), nullptr);

    // what removing each point does to the line, predicted and measured
    const std::size_t n = x.size();
    std::vector<double> predicted(2 * n), measured(2 * n), self(n);
    infl::check(infl_influence_removal_parameters(influence.get(), nullptr, 0, predicted.data(), nullptr));
    infl_retrain_output truth = INFL_RETRAIN_OUTPUT_INIT;
    truth.parameter_changes = measured.data();
    infl::check(infl_retrain_without(risk.get(), nullptr, 0, nullptr, nullptr, 0, nullptr, &truth));
    double pearson;
    infl::check(infl_pearson(predicted.data(), measured.data(), 2 * n, &pearson));
    std::printf("changes of the line, predicted against refitted: Pearson %.3f\n", pearson);

    infl::check(infl_influence_self(influence.get(), nullptr, 0, self.data(), nullptr));
    std::vector<std::size_t> top(6);
    infl::check(infl_influence_top(self.data(), n, INFL_HELPFUL, top.size(), top.data()));
    std::printf("points that speak most for themselves:");
    for (auto row : top)
        std::printf(" %zu%s", row, row % 10 == 3 ? "*" : "");
    std::printf("  (*: far off)\n");

    line.loss = [](const double *, std::size_t) -> double { throw std::domain_error("no such point"); };
    try {
        infl::check(infl_objective_losses(risk.get(), nullptr, 0, self.data()));
    } catch (const infl::error &error) {
        std::printf("%s: %s\n", infl_status_name(error.status()), error.what());
    }
}

} // namespace

int main() {
    try {
        run();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "own_loss: %s\n", error.what());
        return 1;
    }
}

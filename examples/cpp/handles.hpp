// The library from C++17: handles that destroy themselves, and errors as exceptions. Copy it into your own program.
//
//     auto iris = infl::make(infl_dataset_iris);
//     auto risk = infl::make(infl_objective_create, model.get(), &loss, iris.get(), nullptr);
//     infl::check(infl_polish(risk.get(), nullptr, nullptr));
//
// A handle borrows those it was made of. Locals are destroyed in the reverse order of their declaration, which is the
// order that asks for; members of a class are as well.
#ifndef EXAMPLES_HANDLES_HPP
#define EXAMPLES_HANDLES_HPP

#include <influence.h>

#include <memory>
#include <stdexcept>
#include <utility>

namespace infl {

// What a function of the library returned, with its sentence.
class error : public std::runtime_error {
  public:
    explicit error(infl_status status) : std::runtime_error(infl_last_error()), status_(status) {}
    infl_status status() const noexcept { return status_; }

  private:
    infl_status status_;
};

inline void check(infl_status status) {
    if (status != INFL_OK)
        throw error(status);
}

struct destroyer {
    void operator()(infl_dataset *handle) const noexcept { infl_dataset_destroy(handle); }
    void operator()(infl_builder *handle) const noexcept { infl_builder_destroy(handle); }
    void operator()(infl_model *handle) const noexcept { infl_model_destroy(handle); }
    void operator()(infl_objective *handle) const noexcept { infl_objective_destroy(handle); }
    void operator()(infl_curvature *handle) const noexcept { infl_curvature_destroy(handle); }
    void operator()(infl_inverse *handle) const noexcept { infl_inverse_destroy(handle); }
    void operator()(infl_influence *handle) const noexcept { infl_influence_destroy(handle); }
    void operator()(infl_scores *handle) const noexcept { infl_scores_destroy(handle); }
};
template <class T> using owner = std::unique_ptr<T, destroyer>;

// Any infl_x_create(infl_x **out, ...) with the arguments after out; its own function types convert them.
template <class T, class... Parameters, class... Arguments>
owner<T> make(infl_status (*create)(T **, Parameters...), Arguments &&...arguments) {
    T *handle = nullptr;
    check(create(&handle, std::forward<Arguments>(arguments)...));
    return owner<T>(handle);
}

} // namespace infl

#endif

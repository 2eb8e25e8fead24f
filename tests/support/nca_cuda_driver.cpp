// Runs every Meta-NCA kernel on small populations, for builds with a sanitizer. Prints how many passes ran and fails on
// a NaN in a result.
#include "cuda_driver.h"
#include "nca/cuda/api.h"

using namespace driver;
using namespace zoo::nca;
using cuda::Dtype;

namespace {

struct Case {
  int64_t rows, columns;  // of the padded layers
  std::vector<int32_t> units;
  int64_t layers, channels, signals;
  std::vector<int> hidden;
  bool norm, mean;
};

Rule rule_of(const Case& c) {
  Rule rule{static_cast<int>(c.hidden.size()) + 1, {}, Hidden::silu, Change::tanh, 0.5, c.mean, c.norm, 1e-5};
  int* width = rule.widths;
  *width++ = static_cast<int>(3 * c.channels + c.signals);
  for (int hidden : c.hidden) *width++ = hidden;
  *width = static_cast<int>(c.channels);
  return rule;
}

void run(const Case& c, int epochs) {
  const int64_t networks = static_cast<int64_t>(c.units.size()) / (c.layers + 1);
  const std::unique_ptr<int32_t[]> units(new int32_t[c.units.size()]);
  std::copy(c.units.begin(), c.units.end(), units.get());
  const Population p{networks, c.layers, c.rows, c.columns, c.channels, c.signals, units.get()};
  const Rule rule = rule_of(c);
  const size_t weights = static_cast<size_t>(p.weights()), states = weights * c.channels, signals = weights * c.signals;
  Tensor given(states), perceived(signals), parameters(rule.parameters()), out(states), grad_out(states);
  Tensor grad_states(states), grad_signals(signals), grad_parameters(rule.parameters());
  const std::unique_ptr<bool[]> fire_mask(new bool[epochs * weights]);
  for (size_t i = 0; i < epochs * weights; ++i) fire_mask[i] = i % 3 != 0;
  const Evolution<void> evolution{.population = p,
                                  .rule = rule,
                                  .epochs = epochs,
                                  .parameters = parameters.random(0.5f),
                                  .signals = perceived.random(1),
                                  .fire_mask = fire_mask.get()};
  const Tensor saved(epochs * states);
  {
    const Memory workspace(cuda::forward_workspace_bytes(Dtype::float32, p));
    const ForwardArgs<void> inference{.state = given.random(1), .out = out, .saved = nullptr};
    expect_ok(cuda::forward(Dtype::float32, evolution, inference, workspace, nullptr));
    out.check("states in inference");
    const ForwardArgs<void> training{.state = given, .out = out, .saved = saved};
    expect_ok(cuda::forward(Dtype::float32, evolution, training, workspace, nullptr));
    out.check("states in training");
  }
  const Memory workspace(cuda::backward_workspace_bytes(Dtype::float32, p, rule));
  const BackwardArgs<void> backward{.saved = saved,
                                    .grad_out = grad_out.random(1),
                                    .grad_state = grad_states,
                                    .grad_signals = grad_signals,
                                    .grad_parameters = grad_parameters};
  expect_ok(cuda::backward(Dtype::float32, evolution, backward, workspace, nullptr));
  grad_states.check("gradient of the states");
  grad_signals.check("gradient of the signals");
  grad_parameters.check("gradient of the parameters");
}

}  // namespace

int main() {
  const Case cases[] = {
      {4, 3, {4, 3}, 1, 2, 0, {3}, false, true},
      {1, 1, {1, 1}, 1, 1, 0, {}, false, true},
      {5, 5, {4, 5, 3, 2, 3, 0}, 2, 3, 2, {5, 4}, true, false},
      {9, 17, {9, 17}, 1, 1, 1, {40}, true, true},    // several chunks of weights, a group for each
      {17, 16, {17, 16}, 1, 1, 0, {}, false, false},  // layers too large for one launch
  };
  for (const Case& c : cases) {
    for (int epochs : {1, 3}) run(c, epochs);
  }
  printf("%d passes ran\n", passes);
}

// C entry points of csrc/nca/cuda/api.h for ctypes. Those that compute return an error line, empty when all is well;
// the text lives until the next call.
#include "nca/cuda/api.h"

using zoo::nca::Evolution;
using zoo::nca::Population;
using zoo::nca::Rule;
using zoo::nca::cuda::Dtype;

namespace {

const char* keep(std::string line) {
  static std::string last;
  last = std::move(line);
  return last.c_str();
}

// inputs: signals, fire_mask, parameters.
Evolution<void> evolution(const Population* population, const Rule* rule, int epochs, const void* const* inputs) {
  return {.population = *population,
          .rule = *rule,
          .epochs = epochs,
          .parameters = inputs[2],
          .signals = inputs[0],
          .fire_mask = static_cast<const bool*>(inputs[1])};
}

}  // namespace

extern "C" {

size_t population_bytes() { return sizeof(Population); }
size_t rule_bytes() { return sizeof(Rule); }

size_t forward_workspace_bytes(int dtype, const Population* population) {
  return zoo::nca::cuda::forward_workspace_bytes(Dtype(dtype), *population);
}

size_t backward_workspace_bytes(int dtype, const Population* population, const Rule* rule) {
  return zoo::nca::cuda::backward_workspace_bytes(Dtype(dtype), *population, *rule);
}

const char* forward(int dtype, const Population* population, const Rule* rule, int epochs, const void* const* inputs,
                    const void* state, void* out, void* saved, void* workspace) {
  return keep(zoo::nca::cuda::forward(Dtype(dtype), evolution(population, rule, epochs, inputs),
                                      {.state = state, .out = out, .saved = saved}, workspace, nullptr));
}

const char* backward(int dtype, const Population* population, const Rule* rule, int epochs, const void* const* inputs,
                     const void* saved, const void* grad_out, void* const* grads, void* workspace) {
  return keep(zoo::nca::cuda::backward(Dtype(dtype), evolution(population, rule, epochs, inputs),
                                       {.saved = saved,
                                        .grad_out = grad_out,
                                        .grad_state = grads[0],
                                        .grad_signals = grads[1],
                                        .grad_parameters = grads[2]},
                                       workspace, nullptr));
}

}  // extern "C"

// C entry points of csrc/nca/cuda/api.h for ctypes. Those that compute return an error line, empty when all is well; the
// text lives until the next call.
#include "nca/cuda/api.h"

using zoo::nca::Population;
using zoo::nca::Rule;
using zoo::nca::cuda::Dtype;
using zoo::nca::cuda::Grads;
using zoo::nca::cuda::Inputs;

namespace {

const char* keep(std::string line) {
  static std::string last;
  last = std::move(line);
  return last.c_str();
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

const char* forward(int dtype, const Population* population, const Rule* rule, int epochs, const Inputs* inputs,
                    const void* states, void* out, void* kept, void* workspace) {
  return keep(zoo::nca::cuda::forward(Dtype(dtype), *population, *rule, epochs, *inputs, states, out, kept, workspace,
                                      nullptr));
}

const char* backward(int dtype, const Population* population, const Rule* rule, int epochs, const Inputs* inputs,
                     const void* kept, const void* grad_out, const Grads* grads, void* workspace) {
  return keep(zoo::nca::cuda::backward(Dtype(dtype), *population, *rule, epochs, *inputs, kept, grad_out, *grads,
                                       workspace, nullptr));
}

}  // extern "C"

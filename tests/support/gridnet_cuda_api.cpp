// C entry points of csrc/gridnet/cuda/api.h for ctypes. Each returns an error line, empty if nothing is wrong, which is
// valid until the next call.
#include "gridnet/cuda/api.h"

using namespace zoo::gridnet;
using zoo::gridnet::cuda::Dtype;

namespace {

const char* keep(std::string line) {
  static std::string last;
  last = std::move(line);
  return last.c_str();
}

}  // namespace

extern "C" {

// Kernels that were launched since the last call.
uint64_t launches() { return shim::launches.exchange(0); }

size_t step_config_bytes() { return sizeof(StepConfig); }
size_t evolve_config_bytes() { return sizeof(EvolveConfig); }

size_t saved_bytes(int dtype, const EvolveConfig* config) { return cuda::saved_bytes(Dtype(dtype), *config); }

size_t forward_workspace_bytes(int dtype, const EvolveConfig* config, bool training) {
  return cuda::forward_workspace_bytes(Dtype(dtype), *config, training);
}

size_t backward_workspace_bytes(int dtype, const EvolveConfig* config) {
  return cuda::backward_workspace_bytes(Dtype(dtype), *config);
}

const char* evolve_forward(int dtype, const EvolveConfig* config, const Inputs<void>* inputs, void* out, void* saved,
                           void* workspace) {
  const ForwardArgs<void> args{.inputs = *inputs, .out = out, .saved = saved};
  return keep(cuda::evolve_forward(Dtype(dtype), *config, args, workspace, nullptr));
}

const char* evolve_backward(int dtype, const EvolveConfig* config, const Inputs<void>* inputs, const void* saved,
                            const void* grad_out, const Grads<void>* grads, void* workspace) {
  const BackwardArgs<void> args{.inputs = *inputs, .saved = saved, .grad_out = grad_out, .grads = *grads};
  return keep(cuda::evolve_backward(Dtype(dtype), *config, args, workspace, nullptr));
}

}  // extern "C"

// C entry points of csrc/gridnet/cuda/api.h for ctypes. Each returns an error line, empty when all is well; the text
// lives until the next call.
#include "gridnet/cuda/api.h"

using namespace zoo::gridnet;
using zoo::gridnet::cuda::Dtype;

namespace {

const char* keep(std::string line) {
  static std::string last;
  last = std::move(line);
  return last.c_str();
}

StepInputs<void> step_inputs(const void* const* p) { return {p[0], p[1], p[2], p[3]}; }
StepGrads<void> step_grads(void* const* p) { return {p[0], p[1], p[2], p[3], p[4]}; }
cuda::EvolveInputs evolve_inputs(const void* const* p) { return {step_inputs(p), p[4], p[5]}; }
cuda::EvolveGrads evolve_grads(void* const* p) { return {step_grads(p), p[5], p[6]}; }

}  // namespace

extern "C" {

size_t step_config_bytes() { return sizeof(StepConfig); }
size_t evolve_config_bytes() { return sizeof(cuda::EvolveConfig); }

const char* step_forward(int dtype, const StepConfig* config, const void* const* inputs, void* out) {
  return keep(cuda::step_forward(Dtype(dtype), *config, step_inputs(inputs), out, nullptr));
}

size_t step_backward_workspace_bytes(int dtype, const StepConfig* config) {
  return cuda::step_backward_workspace_bytes(Dtype(dtype), *config);
}

const char* step_backward(int dtype, const StepConfig* config, const void* const* inputs, void* const* grads,
                          void* workspace) {
  return keep(cuda::step_backward(Dtype(dtype), *config, step_inputs(inputs), step_grads(grads), workspace, nullptr));
}

size_t evolve_saved_bytes(int dtype, const cuda::EvolveConfig* config) {
  return cuda::evolve_saved_bytes(Dtype(dtype), *config);
}

size_t evolve_forward_workspace_bytes(int dtype, const cuda::EvolveConfig* config, bool training) {
  return cuda::evolve_forward_workspace_bytes(Dtype(dtype), *config, training);
}

size_t evolve_backward_workspace_bytes(int dtype, const cuda::EvolveConfig* config) {
  return cuda::evolve_backward_workspace_bytes(Dtype(dtype), *config);
}

const char* evolve_forward(int dtype, const cuda::EvolveConfig* config, const void* const* inputs, void* out,
                           void* saved, void* workspace) {
  return keep(cuda::evolve_forward(Dtype(dtype), *config, evolve_inputs(inputs), out, saved, workspace, nullptr));
}

const char* evolve_backward(int dtype, const cuda::EvolveConfig* config, const void* const* inputs, const void* saved,
                            void* const* grads, void* workspace) {
  return keep(cuda::evolve_backward(Dtype(dtype), *config, evolve_inputs(inputs), saved, evolve_grads(grads), workspace,
                                    nullptr));
}

}  // extern "C"

// The CUDA side of gridnet, as the bindings see it: plain C++, no CUDA headers.
//
// Every pointer is device memory on the current device and every tensor is contiguous; the caller allocates all of
// it, workspaces included, and guards the device. Work is queued on `stream` (a cudaStream_t) and not waited for.
// A function returns an empty string, or one line that says what is wrong; launches are checked.
// Results do not depend on timing: no atomics, and the order of every sum follows from the shapes alone.
#pragma once
#include <cstddef>
#include <string>

#include "core/cuda/dtype.h"
#include "gridnet/problem.h"

namespace zoo::gridnet::cuda {

using zoo::cuda::Dtype;

// out [batch, m, n, k].
std::string step_forward(Dtype dtype, const StepConfig& config, const StepInputs<void>& inputs, void* out,
                         void* stream);

size_t step_backward_workspace_bytes(Dtype dtype, const StepConfig& config);
std::string step_backward(Dtype dtype, const StepConfig& config, const StepInputs<void>& inputs,
                          const StepGrads<void>& grads, void* workspace, void* stream);

// The whole network: outer_steps times h <- norm(step(h)), or h <- h + (step(norm(h)) - norm(h)) with outer_residual.
struct EvolveConfig {
  StepConfig step;
  int outer_steps;       // at least 1
  bool separate_params;  // step parameters have a leading axis: outer_steps sets, else one
  bool outer_residual;
  double norm_eps;
  // Training keeps the state of every `segment`-th outer step and backward recomputes those between; 1 keeps all.
  int segment;
};

struct EvolveInputs {
  StepInputs<void> step;  // weight [S, 27, (2,) m, n, k], bias [S, (2,) m, n, k], residual_scale [S, m, n, k]; x
  const void* norm_weight;
  const void* norm_bias;  // [m, n, k]
};

struct EvolveGrads {
  StepGrads<void> step;
  void* norm_weight;
  void* norm_bias;
};

// What training keeps between forward and backward.
size_t evolve_saved_bytes(Dtype dtype, const EvolveConfig& config);
size_t evolve_forward_workspace_bytes(Dtype dtype, const EvolveConfig& config, bool training);
size_t evolve_backward_workspace_bytes(Dtype dtype, const EvolveConfig& config);

// `saved` is null in inference.
std::string evolve_forward(Dtype dtype, const EvolveConfig& config, const EvolveInputs& inputs, void* out, void* saved,
                           void* workspace, void* stream);
std::string evolve_backward(Dtype dtype, const EvolveConfig& config, const EvolveInputs& inputs, const void* saved,
                            const EvolveGrads& grads, void* workspace, void* stream);

}  // namespace zoo::gridnet::cuda

// Python's way to the CUDA kernels; part of bindings.cpp, compiled only when they are. Addresses are device memory.
#pragma once
#include <nanobind/nanobind.h>

#include <array>
#include <stdexcept>

#include "gridnet/cuda.h"

namespace zoo::gridnet::cuda_binding {

using Addresses = std::array<uintptr_t, 6>;  // weight, bias, residual_scale, norm_weight, norm_bias, x

inline void* at(uintptr_t address) { return reinterpret_cast<void*>(address); }

inline void check(const std::string& error) {
  if (!error.empty()) throw std::runtime_error(error);
}

inline cuda::EvolveConfig evolve_config(const EvolveConfig& c) {
  return {c.step, c.outer_steps, c.separate, c.outer_residual, c.norm_eps, c.segment};
}

inline StepInputs<void> step_inputs(const Addresses& a) { return {at(a[0]), at(a[1]), at(a[2]), at(a[5])}; }

inline size_t saved_bytes(const EvolveConfig& c, int dtype) {
  return c.norm ? cuda::evolve_saved_bytes(cuda::Dtype(dtype), evolve_config(c)) : 0;
}

inline size_t forward_workspace_bytes(const EvolveConfig& c, int dtype, bool training) {
  return c.norm ? cuda::evolve_forward_workspace_bytes(cuda::Dtype(dtype), evolve_config(c), training) : 0;
}

inline size_t backward_workspace_bytes(const EvolveConfig& c, int dtype) {
  return c.norm ? cuda::evolve_backward_workspace_bytes(cuda::Dtype(dtype), evolve_config(c))
                : cuda::step_backward_workspace_bytes(cuda::Dtype(dtype), c.step);
}

inline void forward(const EvolveConfig& c, int dtype, const Addresses& inputs, uintptr_t out, uintptr_t saved,
                    uintptr_t workspace, uintptr_t stream) {
  nanobind::gil_scoped_release release;
  const StepInputs<void> step = step_inputs(inputs);
  if (!c.norm) return check(cuda::step_forward(cuda::Dtype(dtype), c.step, step, at(out), at(stream)));
  check(cuda::evolve_forward(cuda::Dtype(dtype), evolve_config(c), {step, at(inputs[3]), at(inputs[4])}, at(out), at(saved),
                             at(workspace), at(stream)));
}

inline void backward(const EvolveConfig& c, int dtype, const Addresses& inputs, uintptr_t saved, uintptr_t grad_out,
                     const Addresses& grads, uintptr_t workspace, uintptr_t stream) {
  nanobind::gil_scoped_release release;
  const StepInputs<void> step = step_inputs(inputs);
  const StepGrads<void> step_grads{at(grad_out), at(grads[0]), at(grads[1]), at(grads[2]), at(grads[5])};
  if (!c.norm)
    return check(cuda::step_backward(cuda::Dtype(dtype), c.step, step, step_grads, at(workspace), at(stream)));
  check(cuda::evolve_backward(cuda::Dtype(dtype), evolve_config(c), {step, at(inputs[3]), at(inputs[4])}, at(saved),
                              {step_grads, at(grads[3]), at(grads[4])}, at(workspace), at(stream)));
}

inline void bind(nanobind::module_& m) {
  m.def("cuda_saved_bytes", &saved_bytes);
  m.def("cuda_forward_workspace_bytes", &forward_workspace_bytes);
  m.def("cuda_backward_workspace_bytes", &backward_workspace_bytes);
  m.def("cuda_forward", &forward);
  m.def("cuda_backward", &backward);
}

}  // namespace zoo::gridnet::cuda_binding

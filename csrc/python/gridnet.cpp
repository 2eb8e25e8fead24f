#include "python/gridnet.h"

#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <array>
#include <string>
#include <tuple>

#include "gridnet/api.h"
#include "python/address.h"
#ifdef ZOO_CUDA
#include "gridnet/cuda/api.h"
#endif

namespace zoo::python {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using namespace zoo::gridnet;

using Addresses = std::array<uintptr_t, 6>;  // weight, bias, residual_scale, norm_weight, norm_bias, x

EvolveConfig make_config(std::tuple<int64_t, int64_t, int64_t> grid, int64_t batch, int64_t block, int inner_steps,
                         bool gated, bool normalize, double eps, int activation, int outer_steps, bool separate,
                         bool norm, bool outer_residual, double norm_eps, int segment) {
  const auto [m, n, k] = grid;
  const StepConfig step{{m, n, k}, batch,     block, inner_steps,
                        gated,     normalize, eps,   static_cast<Activation>(activation)};
  return {step, outer_steps, separate, norm, outer_residual, norm_eps, segment};
}

template <class T>
Inputs<T> inputs_at(const Addresses& a) {
  return {pointer<const T>(a[0]), pointer<const T>(a[1]), pointer<const T>(a[2]),
          pointer<const T>(a[3]), pointer<const T>(a[4]), pointer<const T>(a[5])};
}

template <class T>
void forward(const EvolveConfig& config, const Addresses& inputs, uintptr_t out, uintptr_t kept, int threads) {
  nb::gil_scoped_release release;
  evolve_forward<T>(config, inputs_at<T>(inputs), pointer<T>(out), pointer<T>(kept), threads);
}

template <class T>
void backward(const EvolveConfig& config, const Addresses& inputs, uintptr_t kept, uintptr_t grad_out,
              const Addresses& grads, int threads) {
  nb::gil_scoped_release release;
  evolve_backward<T>(config, inputs_at<T>(inputs), pointer<const T>(kept), pointer<const T>(grad_out),
                     {pointer<T>(grads[0]), pointer<T>(grads[1]), pointer<T>(grads[2]), pointer<T>(grads[3]),
                      pointer<T>(grads[4]), pointer<T>(grads[5])},
                     threads);
}

template <class T>
void bind_dtype(nb::module_& m, const std::string& dtype) {
  m.def(("kept_size_" + dtype).c_str(), &kept_size<T>, "config"_a, "threads"_a);
  m.def(("forward_" + dtype).c_str(), &forward<T>, "config"_a, "inputs"_a, "out"_a, "kept"_a, "threads"_a);
  m.def(("backward_" + dtype).c_str(), &backward<T>, "config"_a, "inputs"_a, "kept"_a, "grad_out"_a, "grads"_a,
        "threads"_a);
}

#ifdef ZOO_CUDA
gridnet::cuda::EvolveConfig evolve_config(const EvolveConfig& c) {
  return {c.step, c.outer_steps, c.separate, c.outer_residual, c.norm_eps, c.segment};
}

StepInputs<void> step_inputs(const Addresses& a) {
  return {pointer<void>(a[0]), pointer<void>(a[1]), pointer<void>(a[2]), pointer<void>(a[5])};
}

size_t cuda_saved_bytes(const EvolveConfig& c, int dtype) {
  return c.norm ? gridnet::cuda::evolve_saved_bytes(gridnet::cuda::Dtype(dtype), evolve_config(c)) : 0;
}

size_t cuda_forward_workspace_bytes(const EvolveConfig& c, int dtype, bool training) {
  return c.norm ? gridnet::cuda::evolve_forward_workspace_bytes(gridnet::cuda::Dtype(dtype), evolve_config(c), training)
                : 0;
}

size_t cuda_backward_workspace_bytes(const EvolveConfig& c, int dtype) {
  return c.norm ? gridnet::cuda::evolve_backward_workspace_bytes(gridnet::cuda::Dtype(dtype), evolve_config(c))
                : gridnet::cuda::step_backward_workspace_bytes(gridnet::cuda::Dtype(dtype), c.step);
}

void cuda_forward(const EvolveConfig& c, int dtype, const Addresses& inputs, uintptr_t out, uintptr_t saved,
                  uintptr_t workspace, uintptr_t stream) {
  nb::gil_scoped_release release;
  const StepInputs<void> step = step_inputs(inputs);
  if (!c.norm)
    return raise_error(gridnet::cuda::step_forward(gridnet::cuda::Dtype(dtype), c.step, step, pointer<void>(out),
                                                   pointer<void>(stream)));
  raise_error(gridnet::cuda::evolve_forward(
      gridnet::cuda::Dtype(dtype), evolve_config(c), {step, pointer<void>(inputs[3]), pointer<void>(inputs[4])},
      pointer<void>(out), pointer<void>(saved), pointer<void>(workspace), pointer<void>(stream)));
}

void cuda_backward(const EvolveConfig& c, int dtype, const Addresses& inputs, uintptr_t saved, uintptr_t grad_out,
                   const Addresses& grads, uintptr_t workspace, uintptr_t stream) {
  nb::gil_scoped_release release;
  const StepInputs<void> step = step_inputs(inputs);
  const StepGrads<void> step_grads{pointer<void>(grad_out), pointer<void>(grads[0]), pointer<void>(grads[1]),
                                   pointer<void>(grads[2]), pointer<void>(grads[5])};
  if (!c.norm)
    return raise_error(gridnet::cuda::step_backward(gridnet::cuda::Dtype(dtype), c.step, step, step_grads,
                                                    pointer<void>(workspace), pointer<void>(stream)));
  raise_error(gridnet::cuda::evolve_backward(
      gridnet::cuda::Dtype(dtype), evolve_config(c), {step, pointer<void>(inputs[3]), pointer<void>(inputs[4])},
      pointer<void>(saved), {step_grads, pointer<void>(grads[3]), pointer<void>(grads[4])}, pointer<void>(workspace),
      pointer<void>(stream)));
}

void bind_cuda(nb::module_& m) {
  m.def("cuda_saved_bytes", &cuda_saved_bytes);
  m.def("cuda_forward_workspace_bytes", &cuda_forward_workspace_bytes);
  m.def("cuda_backward_workspace_bytes", &cuda_backward_workspace_bytes);
  m.def("cuda_forward", &cuda_forward);
  m.def("cuda_backward", &cuda_backward);
}
#endif

}  // namespace

void bind_gridnet(nb::module_& m) {
  nb::class_<EvolveConfig>(m, "EvolveConfig")
      .def(nb::new_(&make_config), nb::kw_only(), "grid"_a, "batch"_a, "block"_a, "inner_steps"_a, "gated"_a,
           "normalize"_a, "eps"_a, "activation"_a, "outer_steps"_a, "separate"_a, "norm"_a, "outer_residual"_a,
           "norm_eps"_a, "segment"_a);
  bind_dtype<float>(m, "float");
  bind_dtype<double>(m, "double");
#ifdef ZOO_CUDA
  bind_cuda(m);
#endif
}

}  // namespace zoo::python

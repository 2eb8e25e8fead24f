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

// The arguments are Python's keywords, one per option.
EvolveConfig make_config(std::tuple<int64_t, int64_t, int64_t> grid, int64_t batch, int64_t block, int inner_steps,
                         bool gated, bool normalize, double eps, int activation, int outer_steps, bool separate,
                         bool norm, bool outer_residual, double norm_eps, int recompute) {
  const auto [m, n, k] = grid;
  return {.step = {.shape = {m, n, k},
                   .batch = batch,
                   .block = block,
                   .inner_steps = inner_steps,
                   .gated = gated,
                   .normalize = normalize,
                   .eps = eps,
                   .activation = static_cast<Activation>(activation)},
          .outer_steps = outer_steps,
          .separate = separate,
          .norm = norm,
          .outer_residual = outer_residual,
          .norm_eps = norm_eps,
          .recompute = recompute};
}

template <class T>
Inputs<T> inputs_at(const Addresses& a) {
  return {.weight = pointer<const T>(a[0]),
          .bias = pointer<const T>(a[1]),
          .residual_scale = pointer<const T>(a[2]),
          .norm_weight = pointer<const T>(a[3]),
          .norm_bias = pointer<const T>(a[4]),
          .x = pointer<const T>(a[5])};
}

template <class T>
Grads<T> grads_at(const Addresses& a) {
  return {.weight = pointer<T>(a[0]),
          .bias = pointer<T>(a[1]),
          .residual_scale = pointer<T>(a[2]),
          .norm_weight = pointer<T>(a[3]),
          .norm_bias = pointer<T>(a[4]),
          .x = pointer<T>(a[5])};
}

template <class T>
ForwardArgs<T> forward_args(const Addresses& inputs, uintptr_t out, uintptr_t saved, int64_t saved_size = 0) {
  return {.inputs = inputs_at<T>(inputs), .out = pointer<T>(out), .saved = pointer<T>(saved), .saved_size = saved_size};
}

template <class T>
BackwardArgs<T> backward_args(const Addresses& inputs, uintptr_t saved, uintptr_t grad_out, const Addresses& grads,
                              int64_t saved_size = 0) {
  return {.inputs = inputs_at<T>(inputs),
          .saved = pointer<const T>(saved),
          .grad_out = pointer<const T>(grad_out),
          .grads = grads_at<T>(grads),
          .saved_size = saved_size};
}

template <class T>
void forward(const EvolveConfig& config, const Addresses& inputs, uintptr_t out, uintptr_t saved, int64_t saved_size,
             int threads) {
  nb::gil_scoped_release release;
  evolve_forward(config, forward_args<T>(inputs, out, saved, saved_size), threads);
}

template <class T>
void backward(const EvolveConfig& config, const Addresses& inputs, uintptr_t saved, int64_t saved_size,
              uintptr_t grad_out, const Addresses& grads, int threads) {
  nb::gil_scoped_release release;
  evolve_backward(config, backward_args<T>(inputs, saved, grad_out, grads, saved_size), threads);
}

template <class T>
void bind_dtype(nb::module_& m, const std::string& dtype) {
  m.def(("saved_size_" + dtype).c_str(), &saved_size<T>, "config"_a, "threads"_a);
  m.def(("forward_" + dtype).c_str(), &forward<T>, "config"_a, "inputs"_a, "out"_a, "saved"_a, "saved_size"_a,
        "threads"_a);
  m.def(("backward_" + dtype).c_str(), &backward<T>, "config"_a, "inputs"_a, "saved"_a, "saved_size"_a, "grad_out"_a,
        "grads"_a, "threads"_a);
}

#ifdef ZOO_CUDA
using gridnet::cuda::Dtype;

void cuda_forward(const EvolveConfig& config, int dtype, const Addresses& inputs, uintptr_t out, uintptr_t saved,
                  uintptr_t workspace, uintptr_t stream) {
  nb::gil_scoped_release release;
  raise_error(gridnet::cuda::evolve_forward(Dtype(dtype), config, forward_args<void>(inputs, out, saved),
                                            pointer<void>(workspace), pointer<void>(stream)));
}

void cuda_backward(const EvolveConfig& config, int dtype, const Addresses& inputs, uintptr_t saved, uintptr_t grad_out,
                   const Addresses& grads, uintptr_t workspace, uintptr_t stream) {
  nb::gil_scoped_release release;
  raise_error(gridnet::cuda::evolve_backward(Dtype(dtype), config, backward_args<void>(inputs, saved, grad_out, grads),
                                             pointer<void>(workspace), pointer<void>(stream)));
}

void bind_cuda(nb::module_& m) {
  m.def("cuda_saved_bytes",
        [](const EvolveConfig& config, int dtype) { return gridnet::cuda::saved_bytes(Dtype(dtype), config); });
  m.def("cuda_forward_workspace_bytes", [](const EvolveConfig& config, int dtype, bool training) {
    return gridnet::cuda::forward_workspace_bytes(Dtype(dtype), config, training);
  });
  m.def("cuda_backward_workspace_bytes", [](const EvolveConfig& config, int dtype) {
    return gridnet::cuda::backward_workspace_bytes(Dtype(dtype), config);
  });
  m.def("cuda_forward", &cuda_forward);
  m.def("cuda_backward", &cuda_backward);
}
#endif

}  // namespace

void bind_gridnet(nb::module_& m) {
  nb::class_<EvolveConfig>(m, "EvolveConfig")
      .def(nb::new_(&make_config), nb::kw_only(), "grid"_a, "batch"_a, "block"_a, "inner_steps"_a, "gated"_a,
           "normalize"_a, "eps"_a, "activation"_a, "outer_steps"_a, "separate"_a, "norm"_a, "outer_residual"_a,
           "norm_eps"_a, "recompute"_a);
  bind_dtype<float>(m, "float");
  bind_dtype<double>(m, "double");
#ifdef ZOO_CUDA
  bind_cuda(m);
#endif
}

}  // namespace zoo::python

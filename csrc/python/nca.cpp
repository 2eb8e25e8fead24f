#include "python/nca.h"

#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "nca/api.h"
#include "python/address.h"
#ifdef ZOO_CUDA
#include "nca/cuda/api.h"
#endif

namespace zoo::python {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using namespace zoo::nca;

// An Evolution without its tensors.
struct Config {
  Population population;
  Rule rule;
  int64_t epochs;
};

// shape: networks, layers, rows, columns, channels, signals.
Config make_config(const std::array<int64_t, 6>& shape, int64_t epochs, const std::vector<int>& widths, int hidden,
                   int change, double scale, bool mean, bool norm, double norm_eps) {
  if (widths.size() < 2 || widths.size() > kMostWidths) {
    throw std::invalid_argument("the rule has " + std::to_string(widths.size()) + " widths, allowed: 2 to " +
                                std::to_string(kMostWidths));
  }
  Rule rule = {static_cast<int>(widths.size()) - 1, {}, Hidden(hidden), Change(change), scale, mean, norm, norm_eps};
  for (size_t i = 0; i < widths.size(); ++i) rule.widths[i] = widths[i];
  return {{shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], nullptr}, rule, epochs};
}

using Addresses = std::array<uintptr_t, 4>;      // units, parameters, signals, fire_mask
using GradAddresses = std::array<uintptr_t, 3>;  // of state, signals, parameters

template <class T>
Evolution<T> evolution_at(const Config& config, const Addresses& a) {
  Population population = config.population;
  population.units = pointer<const int32_t>(a[0]);
  return {.population = population,
          .rule = config.rule,
          .epochs = config.epochs,
          .parameters = pointer<const T>(a[1]),
          .signals = pointer<const T>(a[2]),
          .fire_mask = pointer<const bool>(a[3])};
}

template <class T>
ForwardArgs<T> forward_args(uintptr_t state, uintptr_t out, uintptr_t saved) {
  return {.state = pointer<const T>(state), .out = pointer<T>(out), .saved = pointer<T>(saved)};
}

template <class T>
BackwardArgs<T> backward_args(uintptr_t saved, uintptr_t grad_out, const GradAddresses& grads) {
  return {.saved = pointer<const T>(saved),
          .grad_out = pointer<const T>(grad_out),
          .grad_state = pointer<T>(grads[0]),
          .grad_signals = pointer<T>(grads[1]),
          .grad_parameters = pointer<T>(grads[2])};
}

template <class T>
void forward_at(const Config& config, const Addresses& inputs, uintptr_t state, uintptr_t out, uintptr_t saved,
                int threads) {
  nb::gil_scoped_release release;
  forward(evolution_at<T>(config, inputs), forward_args<T>(state, out, saved), threads);
}

template <class T>
void backward_at(const Config& config, const Addresses& inputs, uintptr_t saved, uintptr_t grad_out,
                 const GradAddresses& grads, int threads) {
  nb::gil_scoped_release release;
  backward(evolution_at<T>(config, inputs), backward_args<T>(saved, grad_out, grads), threads);
}

template <class T>
void bind_dtype(nb::module_& m, const std::string& dtype) {
  m.def(("nca_forward_" + dtype).c_str(), &forward_at<T>, "config"_a, "inputs"_a, "state"_a, "out"_a, "saved"_a,
        "threads"_a);
  m.def(("nca_backward_" + dtype).c_str(), &backward_at<T>, "config"_a, "inputs"_a, "saved"_a, "grad_out"_a, "grads"_a,
        "threads"_a);
}

#ifdef ZOO_CUDA
using nca::cuda::Dtype;

void cuda_forward(const Config& config, int dtype, const Addresses& inputs, uintptr_t state, uintptr_t out,
                  uintptr_t saved, uintptr_t workspace, uintptr_t stream) {
  nb::gil_scoped_release release;
  raise_error(nca::cuda::forward(Dtype(dtype), evolution_at<void>(config, inputs),
                                 forward_args<void>(state, out, saved), pointer<void>(workspace),
                                 pointer<void>(stream)));
}

void cuda_backward(const Config& config, int dtype, const Addresses& inputs, uintptr_t saved, uintptr_t grad_out,
                   const GradAddresses& grads, uintptr_t workspace, uintptr_t stream) {
  nb::gil_scoped_release release;
  raise_error(nca::cuda::backward(Dtype(dtype), evolution_at<void>(config, inputs),
                                  backward_args<void>(saved, grad_out, grads), pointer<void>(workspace),
                                  pointer<void>(stream)));
}

void bind_cuda(nb::module_& m) {
  m.def("cuda_nca_forward_workspace_bytes", [](const Config& config, int dtype) {
    return nca::cuda::forward_workspace_bytes(Dtype(dtype), config.population);
  });
  m.def("cuda_nca_backward_workspace_bytes", [](const Config& config, int dtype) {
    return nca::cuda::backward_workspace_bytes(Dtype(dtype), config.population, config.rule);
  });
  m.def("cuda_nca_forward", &cuda_forward);
  m.def("cuda_nca_backward", &cuda_backward);
}
#endif

}  // namespace

void bind_nca(nb::module_& m) {
  nb::class_<Config>(m, "NcaConfig")
      .def(nb::new_(&make_config), nb::kw_only(), "shape"_a, "epochs"_a, "widths"_a, "hidden"_a, "change"_a, "scale"_a,
           "mean"_a, "norm"_a, "norm_eps"_a);
  m.def(
      "nca_saved_size", [](const Config& config) { return saved_size(config.population, config.epochs); }, "config"_a);
  bind_dtype<float>(m, "float");
  bind_dtype<double>(m, "double");
#ifdef ZOO_CUDA
  bind_cuda(m);
#endif
}

}  // namespace zoo::python

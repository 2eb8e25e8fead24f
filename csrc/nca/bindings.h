// Python's way to the evolution of task networks; part of bindings.cpp. Addresses are those of checked, contiguous
// tensors; 0 stands for one that is absent.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu.h"
#ifdef ZOO_CUDA
#include "cuda.h"
#endif

namespace zoo::nca::binding {

// What is the same for both directions but the tensors' numbers.
struct Config {
  Population population;
  Rule rule;
  int64_t epochs;
};

// shape: networks, layers, rows, columns, channels, signals.
inline Config make_config(const std::array<int64_t, 6>& shape, int64_t epochs, const std::vector<int>& widths, int hidden,
                          int change, double scale, bool mean, bool norm, double norm_eps) {
  if (widths.size() < 2 || widths.size() > kMostWidths) {
    throw std::invalid_argument("the rule has " + std::to_string(widths.size()) + " widths, allowed: 2 to " +
                                std::to_string(kMostWidths));
  }
  Rule rule = {static_cast<int>(widths.size()) - 1, {}, Hidden(hidden), Change(change), scale, mean, norm, norm_eps};
  for (size_t i = 0; i < widths.size(); ++i) rule.widths[i] = widths[i];
  return {{shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], nullptr}, rule, epochs};
}

template <class T>
T* address(uintptr_t at) {
  return reinterpret_cast<T*>(at);
}

// units, parameters, signals, fires
using Addresses = std::array<uintptr_t, 4>;

template <class T>
Evolution<T> evolution_at(const Config& config, const Addresses& a) {
  Population population = config.population;
  population.units = address<const int32_t>(a[0]);
  return {population, config.rule, config.epochs, address<const T>(a[1]), address<const T>(a[2]), address<const bool>(a[3])};
}

template <class T>
void forward_at(const Config& config, const Addresses& given, uintptr_t state, uintptr_t out, uintptr_t kept, int threads) {
  nanobind::gil_scoped_release release;
  forward<T>(evolution_at<T>(config, given), address<const T>(state), address<T>(out), address<T>(kept), threads);
}

// grads: of state, signals, parameters
template <class T>
void backward_at(const Config& config, const Addresses& given, uintptr_t kept, uintptr_t grad_out,
                 const std::array<uintptr_t, 3>& grads, int threads) {
  nanobind::gil_scoped_release release;
  backward<T>(evolution_at<T>(config, given), address<const T>(kept), address<const T>(grad_out),
              {address<T>(grads[0]), address<T>(grads[1]), address<T>(grads[2])}, threads);
}

template <class T>
void bind_dtype(nanobind::module_& m, const std::string& dtype) {
  using namespace nanobind::literals;
  m.def(("nca_forward_" + dtype).c_str(), &forward_at<T>, "config"_a, "given"_a, "state"_a, "out"_a, "kept"_a, "threads"_a);
  m.def(("nca_backward_" + dtype).c_str(), &backward_at<T>, "config"_a, "given"_a, "kept"_a, "grad_out"_a, "grads"_a,
        "threads"_a);
}

#ifdef ZOO_CUDA
inline void check(const std::string& error) {
  if (!error.empty()) throw std::runtime_error(error);
}

inline Population population_at(const Config& config, const Addresses& a) {
  Population population = config.population;
  population.units = address<const int32_t>(a[0]);
  return population;
}

inline cuda::Inputs inputs_at(const Addresses& a) {
  return {address<const void>(a[2]), address<const bool>(a[3]), address<const void>(a[1])};
}

inline void cuda_forward(const Config& config, int dtype, const Addresses& given, uintptr_t state, uintptr_t out,
                         uintptr_t kept, uintptr_t workspace, uintptr_t stream) {
  nanobind::gil_scoped_release release;
  check(cuda::forward(cuda::Dtype(dtype), population_at(config, given), config.rule, static_cast<int>(config.epochs),
                      inputs_at(given), address<const void>(state), address<void>(out), address<void>(kept),
                      address<void>(workspace), address<void>(stream)));
}

inline void cuda_backward(const Config& config, int dtype, const Addresses& given, uintptr_t kept, uintptr_t grad_out,
                          const std::array<uintptr_t, 3>& grads, uintptr_t workspace, uintptr_t stream) {
  nanobind::gil_scoped_release release;
  check(cuda::backward(cuda::Dtype(dtype), population_at(config, given), config.rule, static_cast<int>(config.epochs),
                       inputs_at(given), address<const void>(kept), address<const void>(grad_out),
                       {address<void>(grads[0]), address<void>(grads[1]), address<void>(grads[2])},
                       address<void>(workspace), address<void>(stream)));
}

inline void bind_cuda(nanobind::module_& m) {
  m.def("cuda_nca_forward_workspace_bytes", [](const Config& config, int dtype) {
    return cuda::forward_workspace_bytes(cuda::Dtype(dtype), config.population);
  });
  m.def("cuda_nca_backward_workspace_bytes", [](const Config& config, int dtype) {
    return cuda::backward_workspace_bytes(cuda::Dtype(dtype), config.population, config.rule);
  });
  m.def("cuda_nca_forward", &cuda_forward);
  m.def("cuda_nca_backward", &cuda_backward);
}
#endif

inline void bind(nanobind::module_& m) {
  using namespace nanobind::literals;
  nanobind::class_<Config>(m, "NcaConfig")
      .def(nanobind::new_(&make_config), nanobind::kw_only(), "shape"_a, "epochs"_a, "widths"_a, "hidden"_a, "change"_a,
           "scale"_a, "mean"_a, "norm"_a, "norm_eps"_a);
  m.def("nca_kept_size", [](const Config& config) { return kept_size(config.population, config.epochs); }, "config"_a);
  bind_dtype<float>(m, "float");
  bind_dtype<double>(m, "double");
#ifdef ZOO_CUDA
  bind_cuda(m);
#endif
}

}  // namespace zoo::nca::binding

// Python's way to the sparse kernels; part of bindings.cpp. Addresses are those of checked, contiguous tensors.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>

#include <array>
#include <stdexcept>
#include <string>

#include "cpu.h"
#ifdef ZOO_CUDA
#include "cuda.h"
#endif

namespace zoo::sparse::binding {

// row_starts, columns, column_starts, rows, order
using Addresses = std::array<uintptr_t, 5>;

inline Pattern pattern_at(const std::array<int64_t, 3>& shape, const Addresses& a) {
  const auto at = [&](int i) { return reinterpret_cast<const int32_t*>(a[i]); };
  return {shape[0], shape[1], shape[2], at(0), at(1), at(2), at(3), at(4)};
}

template <class T>
void forward_at(const std::array<int64_t, 3>& shape, const Addresses& pattern, uintptr_t values, uintptr_t x, int64_t batch,
                uintptr_t y, int threads) {
  nanobind::gil_scoped_release release;
  forward<T>(pattern_at(shape, pattern), reinterpret_cast<const T*>(values), reinterpret_cast<const T*>(x), batch,
             reinterpret_cast<T*>(y), threads);
}

template <class T>
void backward_at(const std::array<int64_t, 3>& shape, const Addresses& pattern, uintptr_t values, uintptr_t x,
                 uintptr_t grad_y, int64_t batch, uintptr_t grad_values, uintptr_t grad_x, int threads) {
  nanobind::gil_scoped_release release;
  backward<T>(pattern_at(shape, pattern), reinterpret_cast<const T*>(values), reinterpret_cast<const T*>(x),
              reinterpret_cast<const T*>(grad_y), batch, reinterpret_cast<T*>(grad_values),
              reinterpret_cast<T*>(grad_x), threads);
}

template <class T>
void bind_dtype(nanobind::module_& m, const std::string& dtype) {
  using namespace nanobind::literals;
  m.def(("sparse_forward_" + dtype).c_str(), &forward_at<T>, "shape"_a, "pattern"_a, "values"_a, "x"_a, "batch"_a, "y"_a,
        "threads"_a);
  m.def(("sparse_backward_" + dtype).c_str(), &backward_at<T>, "shape"_a, "pattern"_a, "values"_a, "x"_a, "grad_y"_a,
        "batch"_a, "grad_values"_a, "grad_x"_a, "threads"_a);
}

#ifdef ZOO_CUDA
inline void* at(uintptr_t address) { return reinterpret_cast<void*>(address); }

inline void check(const std::string& error) {
  if (!error.empty()) throw std::runtime_error(error);
}

inline void bind_cuda(nanobind::module_& m) {
  using Shape = std::array<int64_t, 3>;
  m.def("cuda_sparse_workspace_bytes", [](const Shape& shape, int dtype, int64_t batch) {
    return cuda::workspace_bytes(cuda::Dtype(dtype), pattern_at(shape, {}), batch);
  });
  m.def("cuda_sparse_forward", [](const Shape& shape, const Addresses& pattern, int dtype, uintptr_t values, uintptr_t x,
                                  int64_t batch, uintptr_t y, uintptr_t workspace, uintptr_t stream) {
    nanobind::gil_scoped_release release;
    check(cuda::forward(cuda::Dtype(dtype), pattern_at(shape, pattern), at(values), at(x), batch, at(y), at(workspace),
                        at(stream)));
  });
  m.def("cuda_sparse_backward", [](const Shape& shape, const Addresses& pattern, int dtype, uintptr_t values, uintptr_t x,
                                   uintptr_t grad_y, int64_t batch, uintptr_t grad_values, uintptr_t grad_x,
                                   uintptr_t workspace, uintptr_t stream) {
    nanobind::gil_scoped_release release;
    check(cuda::backward(cuda::Dtype(dtype), pattern_at(shape, pattern), at(values), at(x), at(grad_y), batch,
                         at(grad_values), at(grad_x), at(workspace), at(stream)));
  });
}
#endif

inline void bind(nanobind::module_& m) {
  bind_dtype<float>(m, "float");
  bind_dtype<double>(m, "double");
#ifdef ZOO_CUDA
  bind_cuda(m);
#endif
}

}  // namespace zoo::sparse::binding

#include "python/sparse.h"

#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

#include <array>
#include <string>

#include "python/address.h"
#include "sparse/api.h"
#ifdef ZOO_CUDA
#include "sparse/cuda/api.h"
#endif

namespace zoo::python {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using namespace zoo::sparse;

using Shape = std::array<int64_t, 3>;        // rows, columns, entries
using Addresses = std::array<uintptr_t, 5>;  // row_starts, columns, column_starts, rows, order

Pattern pattern_at(const Shape& shape, const Addresses& a) {
  const auto at = [&](int i) { return pointer<const int32_t>(a[i]); };
  return {shape[0], shape[1], shape[2], at(0), at(1), at(2), at(3), at(4)};
}

template <class T>
ForwardArgs<T> forward_args(int64_t batch, uintptr_t values, uintptr_t x, uintptr_t y) {
  return {.batch = batch, .values = pointer<const T>(values), .x = pointer<const T>(x), .y = pointer<T>(y)};
}

template <class T>
BackwardArgs<T> backward_args(int64_t batch, uintptr_t values, uintptr_t x, uintptr_t grad_y, uintptr_t grad_values,
                              uintptr_t grad_x) {
  return {.batch = batch,
          .values = pointer<const T>(values),
          .x = pointer<const T>(x),
          .grad_y = pointer<const T>(grad_y),
          .grad_values = pointer<T>(grad_values),
          .grad_x = pointer<T>(grad_x)};
}

template <class T>
void forward_at(const Shape& shape, const Addresses& pattern, uintptr_t values, uintptr_t x, int64_t batch, uintptr_t y,
                int threads) {
  nb::gil_scoped_release release;
  forward(pattern_at(shape, pattern), forward_args<T>(batch, values, x, y), threads);
}

template <class T>
void backward_at(const Shape& shape, const Addresses& pattern, uintptr_t values, uintptr_t x, uintptr_t grad_y,
                 int64_t batch, uintptr_t grad_values, uintptr_t grad_x, int threads) {
  nb::gil_scoped_release release;
  backward(pattern_at(shape, pattern), backward_args<T>(batch, values, x, grad_y, grad_values, grad_x), threads);
}

template <class T>
void bind_dtype(nb::module_& m, const std::string& dtype) {
  m.def(("sparse_forward_" + dtype).c_str(), &forward_at<T>, "shape"_a, "pattern"_a, "values"_a, "x"_a, "batch"_a,
        "y"_a, "threads"_a);
  m.def(("sparse_backward_" + dtype).c_str(), &backward_at<T>, "shape"_a, "pattern"_a, "values"_a, "x"_a, "grad_y"_a,
        "batch"_a, "grad_values"_a, "grad_x"_a, "threads"_a);
}

#ifdef ZOO_CUDA
void bind_cuda(nb::module_& m) {
  using sparse::cuda::Dtype;
  m.def("cuda_sparse_workspace_bytes", [](const Shape& shape, int dtype, int64_t batch) {
    return sparse::cuda::workspace_bytes(Dtype(dtype), pattern_at(shape, {}), batch);
  });
  m.def("cuda_sparse_forward", [](const Shape& shape, const Addresses& pattern, int dtype, uintptr_t values,
                                  uintptr_t x, int64_t batch, uintptr_t y, uintptr_t workspace, uintptr_t stream) {
    nb::gil_scoped_release release;
    raise_error(sparse::cuda::forward(Dtype(dtype), pattern_at(shape, pattern), forward_args<void>(batch, values, x, y),
                                      pointer<void>(workspace), pointer<void>(stream)));
  });
  m.def("cuda_sparse_backward",
        [](const Shape& shape, const Addresses& pattern, int dtype, uintptr_t values, uintptr_t x, uintptr_t grad_y,
           int64_t batch, uintptr_t grad_values, uintptr_t grad_x, uintptr_t workspace, uintptr_t stream) {
          nb::gil_scoped_release release;
          raise_error(sparse::cuda::backward(Dtype(dtype), pattern_at(shape, pattern),
                                             backward_args<void>(batch, values, x, grad_y, grad_values, grad_x),
                                             pointer<void>(workspace), pointer<void>(stream)));
        });
}
#endif

}  // namespace

void bind_sparse(nb::module_& m) {
  m.def(
      "sparse_check",
      [](const Shape& shape, const Addresses& pattern) { check_consistent(pattern_at(shape, pattern)); }, "shape"_a,
      "pattern"_a);
  bind_dtype<float>(m, "float");
  bind_dtype<double>(m, "double");
#ifdef ZOO_CUDA
  bind_cuda(m);
#endif
}

}  // namespace zoo::python

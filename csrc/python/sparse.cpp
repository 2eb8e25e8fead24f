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

// row_starts, columns, column_starts, rows, order
using Addresses = std::array<uintptr_t, 5>;

Pattern pattern_at(const std::array<int64_t, 3>& shape, const Addresses& a) {
  const auto at = [&](int i) { return pointer<const int32_t>(a[i]); };
  return {shape[0], shape[1], shape[2], at(0), at(1), at(2), at(3), at(4)};
}

template <class T>
void forward_at(const std::array<int64_t, 3>& shape, const Addresses& pattern, uintptr_t values, uintptr_t x,
                int64_t batch, uintptr_t y, int threads) {
  nb::gil_scoped_release release;
  forward<T>(pattern_at(shape, pattern), pointer<const T>(values), pointer<const T>(x), batch, pointer<T>(y), threads);
}

template <class T>
void backward_at(const std::array<int64_t, 3>& shape, const Addresses& pattern, uintptr_t values, uintptr_t x,
                 uintptr_t grad_y, int64_t batch, uintptr_t grad_values, uintptr_t grad_x, int threads) {
  nb::gil_scoped_release release;
  backward<T>(pattern_at(shape, pattern), pointer<const T>(values), pointer<const T>(x), pointer<const T>(grad_y),
              batch, pointer<T>(grad_values), pointer<T>(grad_x), threads);
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
  using Shape = std::array<int64_t, 3>;
  m.def("cuda_sparse_workspace_bytes", [](const Shape& shape, int dtype, int64_t batch) {
    return sparse::cuda::workspace_bytes(sparse::cuda::Dtype(dtype), pattern_at(shape, {}), batch);
  });
  m.def("cuda_sparse_forward", [](const Shape& shape, const Addresses& pattern, int dtype, uintptr_t values,
                                  uintptr_t x, int64_t batch, uintptr_t y, uintptr_t workspace, uintptr_t stream) {
    nb::gil_scoped_release release;
    raise_error(sparse::cuda::forward(sparse::cuda::Dtype(dtype), pattern_at(shape, pattern), pointer<void>(values),
                                      pointer<void>(x), batch, pointer<void>(y), pointer<void>(workspace),
                                      pointer<void>(stream)));
  });
  m.def("cuda_sparse_backward", [](const Shape& shape, const Addresses& pattern, int dtype, uintptr_t values,
                                   uintptr_t x, uintptr_t grad_y, int64_t batch, uintptr_t grad_values,
                                   uintptr_t grad_x, uintptr_t workspace, uintptr_t stream) {
    nb::gil_scoped_release release;
    raise_error(sparse::cuda::backward(sparse::cuda::Dtype(dtype), pattern_at(shape, pattern), pointer<void>(values),
                                       pointer<void>(x), pointer<void>(grad_y), batch, pointer<void>(grad_values),
                                       pointer<void>(grad_x), pointer<void>(workspace), pointer<void>(stream)));
  });
}
#endif

}  // namespace

void bind_sparse(nb::module_& m) {
  bind_dtype<float>(m, "float");
  bind_dtype<double>(m, "double");
#ifdef ZOO_CUDA
  bind_cuda(m);
#endif
}

}  // namespace zoo::python

#include "python/dense.h"

#include <nanobind/stl/array.h>

#include <array>

#include "dense/api.h"
#include "python/address.h"

namespace zoo::python {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using namespace zoo::dense;

using Shape = std::array<int64_t, 3>;  // rows, then the numbers of a row in x and in y, or members and classes

void linear_at(const Shape& shape, uintptr_t weight, uintptr_t bias, uintptr_t x, uintptr_t y, int threads) {
  nb::gil_scoped_release release;
  linear({shape[1], shape[2], pointer<const float>(weight), pointer<const float>(bias)}, pointer<const float>(x),
         shape[0], pointer<float>(y), threads);
}

void layer_norm_at(int64_t rows, int64_t n, uintptr_t weight, uintptr_t bias, double eps, uintptr_t x, uintptr_t y,
                   int threads) {
  nb::gil_scoped_release release;
  layer_norm({n, pointer<const float>(weight), pointer<const float>(bias), eps}, pointer<const float>(x), rows,
             pointer<float>(y), threads);
}

void apply_at(int function, int64_t n, uintptr_t x, uintptr_t y, int threads) {
  nb::gil_scoped_release release;
  apply(static_cast<Function>(function), pointer<const float>(x), n, pointer<float>(y), threads);
}

void mix_at(const Shape& shape, uintptr_t weights, uintptr_t logits, uintptr_t y, int threads) {
  nb::gil_scoped_release release;
  mix({shape[1], shape[2], pointer<const float>(weights)}, pointer<const float>(logits), shape[0], pointer<float>(y),
      threads);
}

}  // namespace

void bind_dense(nb::module_& m) {
  m.def("linear", &linear_at, "shape"_a, "weight"_a, "bias"_a, "x"_a, "y"_a, "threads"_a);
  m.def("layer_norm", &layer_norm_at, "rows"_a, "n"_a, "weight"_a, "bias"_a, "eps"_a, "x"_a, "y"_a, "threads"_a);
  m.def("apply", &apply_at, "function"_a, "n"_a, "x"_a, "y"_a, "threads"_a);
  m.def("mix", &mix_at, "shape"_a, "weights"_a, "logits"_a, "y"_a, "threads"_a);
}

}  // namespace zoo::python

#include "python/sparse_network.h"

#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

#include <array>
#include <string>

#include "python/address.h"
#include "sparse_network/api.h"

namespace zoo::python {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using namespace zoo::sparse_network;

using Shape = std::array<int64_t, 7>;        // inputs, used, computed, outputs, weights, biases, edges
using Addresses = std::array<uintptr_t, 4>;  // columns, starts, sources, slots

Network network_at(const Shape& shape, const Addresses& a, int function) {
  const auto at = [&](int i) { return pointer<const int32_t>(a[i]); };
  return {shape[0],
          shape[1],
          shape[2],
          shape[3],
          shape[4],
          shape[5],
          at(0),
          at(1),
          at(2),
          at(3),
          dense::Function(function)};
}

template <class T>
void forward_at(const Shape& shape, const Addresses& network, int function, int64_t batch, uintptr_t x,
                uintptr_t weight, uintptr_t bias, uintptr_t saved, uintptr_t y, int threads) {
  nb::gil_scoped_release release;
  forward<T>(network_at(shape, network, function), shape[6],
             {.batch = batch,
              .x = pointer<const T>(x),
              .weight = pointer<const T>(weight),
              .bias = pointer<const T>(bias),
              .saved = pointer<T>(saved),
              .y = pointer<T>(y)},
             threads);
}

template <class T>
void backward_at(const Shape& shape, const Addresses& network, int function, int64_t batch, uintptr_t weight,
                 uintptr_t saved, uintptr_t grad_y, uintptr_t grad_weight, uintptr_t grad_bias, uintptr_t grad_x,
                 int threads) {
  nb::gil_scoped_release release;
  backward<T>(network_at(shape, network, function), shape[6],
              {.batch = batch,
               .weight = pointer<const T>(weight),
               .saved = pointer<const T>(saved),
               .grad_y = pointer<const T>(grad_y),
               .grad_weight = pointer<T>(grad_weight),
               .grad_bias = pointer<T>(grad_bias),
               .grad_x = pointer<T>(grad_x)},
              threads);
}

template <class T>
void bind_dtype(nb::module_& m, const std::string& dtype) {
  m.def(("sparse_network_forward_" + dtype).c_str(), &forward_at<T>, "shape"_a, "network"_a, "function"_a, "batch"_a,
        "x"_a, "weight"_a, "bias"_a, "saved"_a, "y"_a, "threads"_a);
  m.def(("sparse_network_backward_" + dtype).c_str(), &backward_at<T>, "shape"_a, "network"_a, "function"_a, "batch"_a,
        "weight"_a, "saved"_a, "grad_y"_a, "grad_weight"_a, "grad_bias"_a, "grad_x"_a, "threads"_a);
}

}  // namespace

void bind_sparse_network(nb::module_& m) {
  m.attr("sparse_network_tile") = kTile;
  m.def(
      "sparse_network_check",
      [](const Shape& shape, const Addresses& network) { check(network_at(shape, network, 0), shape[6]); }, "shape"_a,
      "network"_a);
  bind_dtype<float>(m, "float");
  bind_dtype<double>(m, "double");
}

}  // namespace zoo::python

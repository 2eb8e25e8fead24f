// The only file that knows Python. Pointers come as integers (a DLPack tensor costs ten times as much per call);
// zoo/kernels checks shape, dtype, device and layout before any of them is taken.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "gridnet/cpu.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace zoo::gridnet;

namespace {

template <class T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

StepConfig make_config(std::tuple<int64_t, int64_t, int64_t> grid, int64_t batch, int64_t block, int inner_steps,
                       bool gated, bool normalize, double eps, int activation) {
  const auto [m, n, k] = grid;
  return {{m, n, k}, batch, block, inner_steps, gated, normalize, eps, static_cast<Activation>(activation)};
}

template <class T>
void forward(const StepConfig& c, uintptr_t weight, uintptr_t bias, uintptr_t scale, uintptr_t x, uintptr_t out,
             int threads) {
  nb::gil_scoped_release release;
  step_forward<T>(c, {pointer<const T>(weight), pointer<const T>(bias), pointer<const T>(scale), pointer<const T>(x)},
                  pointer<T>(out), threads);
}

template <class T>
void backward(const StepConfig& c, uintptr_t weight, uintptr_t bias, uintptr_t scale, uintptr_t x, uintptr_t grad_out,
              uintptr_t grad_weight, uintptr_t grad_bias, uintptr_t grad_scale, uintptr_t grad_x, int threads) {
  nb::gil_scoped_release release;
  step_backward<T>(c, {pointer<const T>(weight), pointer<const T>(bias), pointer<const T>(scale), pointer<const T>(x)},
                   {pointer<const T>(grad_out), pointer<T>(grad_weight), pointer<T>(grad_bias), pointer<T>(grad_scale),
                    pointer<T>(grad_x)},
                   threads);
}

}  // namespace

NB_MODULE(_kernels, m) {
  nb::class_<StepConfig>(m, "StepConfig")
      .def(nb::new_(&make_config), "grid"_a, "batch"_a, "block"_a, "inner_steps"_a, "gated"_a, "normalize"_a, "eps"_a,
           "activation"_a);
  m.def("usable_isas", &usable_isas);
  m.def("current_isa", &current_isa);
  m.def("set_isa", &set_isa, "name"_a);
  m.def("step_forward_float", &forward<float>);
  m.def("step_forward_double", &forward<double>);
  m.def("step_backward_float", &backward<float>);
  m.def("step_backward_double", &backward<double>);
  m.attr("cuda_built") = false;
}

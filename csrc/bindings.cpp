// The only file (with bindings_cuda.h) that knows Python. Tensors come as addresses (a DLPack tensor costs ten times as much per call):
// zoo/kernels checks shape, dtype, device and layout before any of them is taken. 0 stands for a tensor that is absent.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <tuple>

#include "gridnet/cpu.h"
#include "nca/bindings.h"
#include "sparse/bindings.h"
#include "workspace.h"
#ifdef ZOO_CUDA
#include "bindings_cuda.h"
#endif

namespace nb = nanobind;
using namespace nb::literals;
using namespace zoo::gridnet;

namespace {

using Addresses = std::array<uintptr_t, 6>;  // weight, bias, residual_scale, norm_weight, norm_bias, x

EvolveConfig make_config(std::tuple<int64_t, int64_t, int64_t> grid, int64_t batch, int64_t block, int inner_steps,
                         bool gated, bool normalize, double eps, int activation, int outer_steps, bool separate, bool norm,
                         bool outer_residual, double norm_eps, int segment) {
  const auto [m, n, k] = grid;
  const StepConfig step{{m, n, k}, batch, block, inner_steps, gated, normalize, eps, static_cast<Activation>(activation)};
  return {step, outer_steps, separate, norm, outer_residual, norm_eps, segment};
}

template <class T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
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

int64_t multiply_adds(int64_t rounds, int threads) {
  nb::gil_scoped_release release;
  return run_multiply_adds(rounds, threads);
}

void triad(uintptr_t out, uintptr_t a, uintptr_t b, int64_t n, int threads) {
  nb::gil_scoped_release release;
  run_triad(pointer<float>(out), pointer<const float>(a), pointer<const float>(b), n, threads);
}

template <class T>
void bind(nb::module_& m, const std::string& dtype) {
  m.def(("kept_size_" + dtype).c_str(), &kept_size<T>, "config"_a, "threads"_a);
  m.def(("forward_" + dtype).c_str(), &forward<T>, "config"_a, "inputs"_a, "out"_a, "kept"_a, "threads"_a);
  m.def(("backward_" + dtype).c_str(), &backward<T>, "config"_a, "inputs"_a, "kept"_a, "grad_out"_a, "grads"_a, "threads"_a);
}

}  // namespace

NB_MODULE(_kernels, m) {
  nb::class_<EvolveConfig>(m, "EvolveConfig")
      .def(nb::new_(&make_config), nb::kw_only(), "grid"_a, "batch"_a, "block"_a, "inner_steps"_a, "gated"_a, "normalize"_a,
           "eps"_a, "activation"_a, "outer_steps"_a, "separate"_a, "norm"_a, "outer_residual"_a, "norm_eps"_a, "segment"_a);
  bind<float>(m, "float");
  bind<double>(m, "double");
  zoo::sparse::binding::bind(m);
  zoo::nca::binding::bind(m);
  m.def("usable_isas", &usable_isas);
  m.def("current_isa", &current_isa);
  m.def("set_isa", &set_isa, "name"_a);
  m.def("multiply_adds", &multiply_adds, "rounds"_a, "threads"_a);
  m.def("triad", &triad, "out"_a, "a"_a, "b"_a, "n"_a, "threads"_a);
  m.def("keep_freed_memory", &zoo::keep_freed_memory);
#ifdef ZOO_CUDA
  m.attr("cuda_built") = true;
  cuda_binding::bind(m);
#else
  m.attr("cuda_built") = false;
#endif
}

// The compiled module `sdk._kernels`. The files of this folder are the only ones that know Python.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "core/dispatch.h"
#include "core/peak.h"
#include "core/workspace.h"
#include "python/address.h"
#include "python/dense.h"
#include "python/gridnet.h"
#include "python/images.h"
#include "python/models.h"
#include "python/nca.h"
#include "python/sparse.h"
#include "python/sparse_network.h"

namespace zoo::python {
namespace {

int64_t multiply_adds(int64_t rounds, int threads) {
  nanobind::gil_scoped_release release;
  return run_multiply_adds(rounds, threads);
}

void triad(uintptr_t out, uintptr_t a, uintptr_t b, int64_t n, int threads) {
  nanobind::gil_scoped_release release;
  run_triad(pointer<float>(out), pointer<const float>(a), pointer<const float>(b), n, threads);
}

void bind_core(nanobind::module_& m) {
  using namespace nanobind::literals;
  m.def("usable_isas", &usable_isas);
  m.def("current_isa", &current_isa);
  m.def("set_isa", &set_isa, "name"_a);
  m.def("multiply_adds", &multiply_adds, "rounds"_a, "threads"_a);
  m.def("triad", &triad, "out"_a, "a"_a, "b"_a, "n"_a, "threads"_a);
  m.def("keep_freed_memory", &keep_freed_memory);
}

}  // namespace
}  // namespace zoo::python

NB_MODULE(_kernels, m) {
  m.attr("bindings") = ZOO_BINDINGS;  // the sha256 of this folder's sources, from CMakeLists.txt
#ifdef ZOO_CUDA
  m.attr("cuda_built") = true;
#else
  m.attr("cuda_built") = false;
#endif
  zoo::python::bind_core(m);
  zoo::python::bind_dense(m);
  zoo::python::bind_gridnet(m);
  zoo::python::bind_images(m);
  zoo::python::bind_nca(m);
  zoo::python::bind_sparse(m);
  zoo::python::bind_sparse_network(m);
  zoo::python::bind_models(m);  // after the ops, whose types it takes
}

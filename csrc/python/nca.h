// Entry points of Meta-NCA's evolution for Python, on the CPU and, if they are compiled, on CUDA.
#pragma once
#include <nanobind/nanobind.h>

namespace zoo::python {

void bind_nca(nanobind::module_& m);

}  // namespace zoo::python

// Entry points of the sparse linear layer for Python, on the CPU and, if they are compiled, on CUDA.
#pragma once
#include <nanobind/nanobind.h>

namespace zoo::python {

void bind_sparse(nanobind::module_& m);

}  // namespace zoo::python

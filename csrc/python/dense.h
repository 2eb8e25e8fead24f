// Entry points of the dense computations for Python.
#pragma once
#include <nanobind/nanobind.h>

namespace zoo::python {

void bind_dense(nanobind::module_& m);

}  // namespace zoo::python

// Entry points of the network of units for Python.
#pragma once
#include <nanobind/nanobind.h>

namespace zoo::python {

void bind_sparse_network(nanobind::module_& m);

}  // namespace zoo::python

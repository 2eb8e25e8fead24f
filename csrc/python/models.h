// Whole networks for Python.
#pragma once
#include <nanobind/nanobind.h>

namespace zoo::python {

void bind_models(nanobind::module_& m);

}  // namespace zoo::python

// Entry point of batches of training images for Python.
#pragma once
#include <nanobind/nanobind.h>

namespace zoo::python {

void bind_images(nanobind::module_& m);

}  // namespace zoo::python

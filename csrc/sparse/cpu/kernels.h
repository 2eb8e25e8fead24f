// The table of kernels that each instruction set's build of kernels.cpp fills.
#pragma once
#include "core/dispatch.h"
#include "core/workspace.h"
#include "sparse/pattern.h"

namespace zoo::sparse {

template <class T>
struct Kernels {
  void (*forward)(const Pattern&, const T* values, const T* x, int64_t batch, T* y, Workspace&, int threads);
  void (*backward)(const Pattern&, const T* values, const T* x, const T* grad_y, int64_t batch, T* grad_values,
                   T* grad_x, Workspace&, int threads);
};

struct IsaKernels {
  Kernels<float> of_float;
  Kernels<double> of_double;
};

}  // namespace zoo::sparse

ZOO_DECLARE_KERNELS(sparse::IsaKernels, kSparseKernels)

// The table of kernels that each instruction set's build of kernels.cpp defines.
#pragma once
#include "core/dispatch.h"
#include "core/workspace.h"
#include "sparse/args.h"
#include "sparse/pattern.h"

namespace zoo::sparse {

template <class T>
struct Kernels {
  void (*forward)(const Pattern&, const ForwardArgs<T>&, Workspace&, int threads);
  void (*backward)(const Pattern&, const BackwardArgs<T>&, Workspace&, int threads);
};

struct IsaKernels {
  Kernels<float> of_float;
  Kernels<double> of_double;
};

}  // namespace zoo::sparse

ZOO_DECLARE_KERNELS(sparse::IsaKernels, kSparseKernels)

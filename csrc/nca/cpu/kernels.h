// The table of kernels that each instruction set's build of kernels.cpp defines.
#pragma once
#include "core/dispatch.h"
#include "core/workspace.h"
#include "nca/problem.h"

namespace zoo::nca {

template <class T>
struct Kernels {
  void (*forward)(const Evolution<T>&, const ForwardArgs<T>&, Workspace&, int threads);
  void (*backward)(const Evolution<T>&, const BackwardArgs<T>&, Workspace&, int threads);
};

struct IsaKernels {
  Kernels<float> of_float;
  Kernels<double> of_double;
};

// The most lanes of any instruction set. Saved rows are read a vector at a time, so the last read may run past the last
// row by this much.
constexpr int kMostLanes = 16;

}  // namespace zoo::nca

ZOO_DECLARE_KERNELS(nca::IsaKernels, kNcaKernels)

// The table of kernels that each instruction set's build of kernels.cpp fills.
#pragma once
#include "core/dispatch.h"
#include "core/workspace.h"
#include "nca/api.h"

namespace zoo::nca {

template <class T>
struct Kernels {
  void (*forward)(const Evolution<T>&, const T* state, T* out, T* kept, Workspace&, int threads);
  void (*backward)(const Evolution<T>&, const T* kept, const T* grad_out, const Grads<T>&, Workspace&, int threads);
};

struct IsaKernels {
  Kernels<float> of_float;
  Kernels<double> of_double;
};

constexpr int kMostLanes = 16;  // of any instruction set: kept rows are read a vector at a time, beyond the last one

}  // namespace zoo::nca

ZOO_DECLARE_KERNELS(nca::IsaKernels, kNcaKernels)

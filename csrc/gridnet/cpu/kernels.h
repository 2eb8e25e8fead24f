// The table of kernels that each instruction set's build of kernels.cpp fills.
#pragma once
#include "core/dispatch.h"
#include "core/workspace.h"
#include "gridnet/problem.h"

namespace zoo::gridnet {

template <class T>
struct Kernels {
  int64_t (*saved_size)(const EvolveConfig&, int threads);
  Layout (*layout_of)(const EvolveConfig&, int threads);
  int64_t (*prepared_size)(const EvolveConfig&, Layout);
  void (*prepare)(const EvolveConfig&, const Inputs<T>&, Layout, Workspace&, T* prepared);
  void (*forward)(const EvolveConfig&, const ForwardArgs<T>&, Workspace&, int threads);
  bool (*backward)(const EvolveConfig&, const BackwardArgs<T>&, Workspace&, int threads);
};

struct IsaKernels {
  Kernels<float> of_float;
  Kernels<double> of_double;
};

}  // namespace zoo::gridnet

ZOO_DECLARE_KERNELS(gridnet::IsaKernels, kGridnetKernels)

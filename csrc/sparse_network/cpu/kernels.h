// The table of kernels that each instruction set's build of kernels.cpp defines.
#pragma once
#include "core/dispatch.h"
#include "core/workspace.h"
#include "sparse_network/problem.h"

namespace zoo::sparse_network {

template <class T>
struct Kernels {
  void (*forward)(const Network&, const ForwardArgs<T>&, int threads);
  void (*backward)(const Network&, const BackwardArgs<T>&, Workspace&, int threads);
};

struct IsaKernels {
  Kernels<float> of_float;
  Kernels<double> of_double;
};

}  // namespace zoo::sparse_network

ZOO_DECLARE_KERNELS(sparse_network::IsaKernels, kSparseNetworkKernels)

// The table of kernels that each instruction set's build of cpu_isa.cpp fills.
#pragma once
#include "../workspace.h"
#include "shape.h"

namespace zoo::gridnet {

template <class T>
struct Kernels {
  int64_t (*kept_size)(const EvolveConfig&, int threads);
  void (*forward)(const EvolveConfig&, const Inputs<T>&, T* out, T* kept, Workspace&, int threads);
  bool (*backward)(const EvolveConfig&, const Inputs<T>&, const T* kept, const T* grad_out, const Grads<T>&, Workspace&,
                   int threads);
};

struct IsaKernels {
  Kernels<float> of_float;
  Kernels<double> of_double;
  int64_t flops_per_round;  // of multiply_add; both are in peak.h
  float (*multiply_add)(int64_t rounds);
  void (*triad)(float* out, const float* a, const float* b, int64_t begin, int64_t end);
};

}  // namespace zoo::gridnet

namespace zoo::baseline { extern const gridnet::IsaKernels kKernels; }
namespace zoo::avx2 { extern const gridnet::IsaKernels kKernels; }
namespace zoo::avx512 { extern const gridnet::IsaKernels kKernels; }

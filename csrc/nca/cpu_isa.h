// The table of kernels that each instruction set's build of cpu_isa.cpp fills.
#pragma once
#include "../workspace.h"
#include "cpu.h"

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

namespace zoo::baseline { extern const nca::IsaKernels kNcaKernels; }
namespace zoo::avx2 { extern const nca::IsaKernels kNcaKernels; }
namespace zoo::avx512 { extern const nca::IsaKernels kNcaKernels; }

// The table of kernels that each instruction set's build of cpu_isa.cpp fills.
#pragma once
#include "../workspace.h"
#include "shape.h"

namespace zoo::gridnet {

struct Kernels {
  void (*step_forward_float)(const StepConfig&, const StepInputs<float>&, float*, Workspace&, int threads);
  void (*step_forward_double)(const StepConfig&, const StepInputs<double>&, double*, Workspace&, int threads);
  void (*step_backward_float)(const StepConfig&, const StepInputs<float>&, const StepGrads<float>&, Workspace&, int threads);
  void (*step_backward_double)(const StepConfig&, const StepInputs<double>&, const StepGrads<double>&, Workspace&,
                               int threads);
};

}  // namespace zoo::gridnet

namespace zoo::baseline { extern const gridnet::Kernels kKernels; }
namespace zoo::avx2 { extern const gridnet::Kernels kKernels; }
namespace zoo::avx512 { extern const gridnet::Kernels kKernels; }

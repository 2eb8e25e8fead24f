// Compiled once per instruction set (CMakeLists.txt): picks the tile width and instantiates the kernels.
#include "cpu_blocks_backward.h"  // first: brings simd.h before cell.h

#include "cpu_isa.h"

namespace zoo::ZOO_ISA {
namespace {

// How many vectors of samples go side by side. Wider tiles use each loaded weight more often; a tile wider than the
// batch computes lanes nobody asked for. The factors are measured costs per vector.
template <class T>
int vectors_per_tile(int64_t batch) {
  const int64_t vectors = (batch + kLanes<T> - 1) / kLanes<T>;
  constexpr int widest = ZOO_VECTOR_BYTES == 64 ? 4 : 2;
  int best = 1;
  double best_cost = 1e300;
  for (int nv = 1; nv <= widest; nv *= 2) {
    const double factor = nv == 1 ? 1.5 : nv == 2 ? 1.1 : 1.0;
    const double cost = static_cast<double>((vectors + nv - 1) / nv * nv) * factor;
    if (cost < best_cost) {
      best = nv;
      best_cost = cost;
    }
  }
  return best;
}

template <class T, int NV>
void forward(const StepConfig& c, const StepInputs<T>& in, T* out, Workspace& workspace, int threads) {
  if (c.blocks_matter()) step_forward_blocks<T, NV>(c, in, out, workspace, threads);
  else step_forward_whole<T, NV>(c, in, out, workspace, threads);
}

template <class T, int NV>
void backward(const StepConfig& c, const StepInputs<T>& in, const StepGrads<T>& g, Workspace& workspace, int threads) {
  if (c.blocks_matter()) step_backward_blocks<T, NV>(c, in, g, workspace, threads);
  else step_backward_whole<T, NV>(c, in, g, workspace, threads);
}

}  // namespace

template <class T>
void step_forward(const StepConfig& c, const StepInputs<T>& in, T* out, Workspace& workspace, int threads) {
  switch (vectors_per_tile<T>(c.batch)) {
    case 1: return forward<T, 1>(c, in, out, workspace, threads);
    case 2: return forward<T, 2>(c, in, out, workspace, threads);
#if ZOO_VECTOR_BYTES == 64
    default: return forward<T, 4>(c, in, out, workspace, threads);
#endif
  }
}

template <class T>
void step_backward(const StepConfig& c, const StepInputs<T>& in, const StepGrads<T>& g, Workspace& workspace, int threads) {
  switch (vectors_per_tile<T>(c.batch)) {
    case 1: return backward<T, 1>(c, in, g, workspace, threads);
    case 2: return backward<T, 2>(c, in, g, workspace, threads);
#if ZOO_VECTOR_BYTES == 64
    default: return backward<T, 4>(c, in, g, workspace, threads);
#endif
  }
}

const gridnet::Kernels kKernels = {step_forward<float>, step_forward<double>, step_backward<float>, step_backward<double>};

}  // namespace zoo::ZOO_ISA

// Compiled once per instruction set (CMakeLists.txt): picks the tile width and instantiates the kernels.
#include "sparse/cpu/kernels.h"

#include "sparse/cpu/tiles.h"

namespace zoo::ZOO_ISA {
namespace {

// Calls f.template operator()<NV>() with the widest tile that the batch fills.
template <class T, class F>
void with_width(int64_t batch, F f) {
  if (batch > 2 * kLanes<T>) return f.template operator()<4>();
  if (batch > kLanes<T>) return f.template operator()<2>();
  return f.template operator()<1>();
}

template <class T>
void run_forward(const Pattern& p, const T* values, const T* x, int64_t batch, T* y, Workspace& workspace,
                 int threads) {
  with_width<T>(batch, [&]<int NV>() { forward<T, NV>(p, values, x, batch, y, workspace, threads); });
}

template <class T>
void run_backward(const Pattern& p, const T* values, const T* x, const T* grad_y, int64_t batch, T* grad_values,
                  T* grad_x, Workspace& workspace, int threads) {
  with_width<T>(
      batch, [&]<int NV>() { backward<T, NV>(p, values, x, grad_y, batch, grad_values, grad_x, workspace, threads); });
}

}  // namespace

const sparse::IsaKernels kSparseKernels = {{run_forward<float>, run_backward<float>},
                                           {run_forward<double>, run_backward<double>}};

}  // namespace zoo::ZOO_ISA

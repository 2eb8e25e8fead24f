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
void run_forward(const Pattern& p, const ForwardArgs<T>& args, Workspace& workspace, int threads) {
  with_width<T>(args.batch, [&]<int NV>() { forward<T, NV>(p, args, workspace, threads); });
}

template <class T>
void run_backward(const Pattern& p, const BackwardArgs<T>& args, Workspace& workspace, int threads) {
  with_width<T>(args.batch, [&]<int NV>() { backward<T, NV>(p, args, workspace, threads); });
}

}  // namespace

const sparse::IsaKernels kSparseKernels = {
    .of_float = {.forward = run_forward<float>, .backward = run_backward<float>},
    .of_double = ZOO_DOUBLES_OF(kSparseKernels, {.forward = run_forward<double>, .backward = run_backward<double>}),
};

}  // namespace zoo::ZOO_ISA

// The entry points of gridnet/api.h: one call at a time, with the kernels of the instruction set in use.
#include "gridnet/api.h"

#include <stdexcept>

#include "core/call.h"
#include "core/thread_pool.h"
#include "gridnet/cpu/kernels.h"

namespace zoo::gridnet {
namespace {

constexpr IsaTables<IsaKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kGridnetKernels);

PerProcess<CallState> calls;

template <class T>
const Kernels<T>& kernels() {
  if constexpr (sizeof(T) == sizeof(float)) return kernels_in_use(kTables).of_float;
  else return kernels_in_use(kTables).of_double;
}

}  // namespace

template <class T>
int64_t saved_size(const EvolveConfig& config, int threads) {
  return kernels<T>().saved_size(config, clamp_threads(threads));
}

template <class T>
Layout layout_of(const EvolveConfig& config, int threads) {
  return kernels<T>().layout_of(config, clamp_threads(threads));
}

template <class T>
int64_t prepared_size(const EvolveConfig& config, Layout layout) {
  return kernels<T>().prepared_size(config, layout);
}

template <class T>
void prepare(const EvolveConfig& config, const Inputs<T>& inputs, Layout layout, T* prepared) {
  take_turn(calls, [&](Workspace& workspace) { kernels<T>().prepare(config, inputs, layout, workspace, prepared); });
}

template <class T>
void evolve_forward(const EvolveConfig& config, const ForwardArgs<T>& args, int threads) {
  const Kernels<T>& isa = kernels<T>();
  threads = clamp_threads(threads);
  if (args.saved) {
    if (args.saved_size != isa.saved_size(config, threads))
      throw std::invalid_argument("another thread changed the instruction set during the call; set it before");
    prefer_huge_pages(args.saved, args.saved_size * sizeof(T));
  }
  take_turn(calls, [&](Workspace& workspace) { isa.forward(config, args, workspace, threads); });
}

template <class T>
void evolve_backward(const EvolveConfig& config, const BackwardArgs<T>& args, int threads) {
  const bool done = take_turn(calls, [&](Workspace& workspace) {
    return kernels<T>().backward(config, args, workspace, clamp_threads(threads));
  });
  if (!done) {
    throw std::invalid_argument(
        "saved does not hold what this call's forward pass saves: the forward pass ran with another instruction set, "
        "or with other arguments; set the instruction set before the forward pass");
  }
}

template int64_t saved_size<float>(const EvolveConfig&, int);
template int64_t saved_size<double>(const EvolveConfig&, int);
template Layout layout_of<float>(const EvolveConfig&, int);
template int64_t prepared_size<float>(const EvolveConfig&, Layout);
template void prepare<float>(const EvolveConfig&, const Inputs<float>&, Layout, float*);
template void evolve_forward<float>(const EvolveConfig&, const ForwardArgs<float>&, int);
template void evolve_forward<double>(const EvolveConfig&, const ForwardArgs<double>&, int);
template void evolve_backward<float>(const EvolveConfig&, const BackwardArgs<float>&, int);
template void evolve_backward<double>(const EvolveConfig&, const BackwardArgs<double>&, int);

}  // namespace zoo::gridnet

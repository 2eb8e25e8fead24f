// The entry points of gridnet/api.h: one call at a time, with the kernels of the instruction set in use.
#include "gridnet/api.h"

#include <mutex>
#include <stdexcept>

#include "core/thread_pool.h"
#include "gridnet/cpu/kernels.h"

namespace zoo::gridnet {
namespace {

constexpr IsaTables<IsaKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kGridnetKernels);

// Calls share the workspace, so they take turns.
std::mutex call_mutex;
Workspace workspace;

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
void evolve_forward(const EvolveConfig& config, const ForwardArgs<T>& args, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  const Kernels<T>& isa = kernels<T>();
  if (args.saved) prefer_huge_pages(args.saved, isa.saved_size(config, clamp_threads(threads)) * sizeof(T));
  isa.forward(config, args, workspace, clamp_threads(threads));
}

template <class T>
void evolve_backward(const EvolveConfig& config, const BackwardArgs<T>& args, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  if (!kernels<T>().backward(config, args, workspace, clamp_threads(threads)))
    throw std::invalid_argument("the forward pass ran with another instruction set; set it before the forward pass");
}

template int64_t saved_size<float>(const EvolveConfig&, int);
template int64_t saved_size<double>(const EvolveConfig&, int);
template void evolve_forward<float>(const EvolveConfig&, const ForwardArgs<float>&, int);
template void evolve_forward<double>(const EvolveConfig&, const ForwardArgs<double>&, int);
template void evolve_backward<float>(const EvolveConfig&, const BackwardArgs<float>&, int);
template void evolve_backward<double>(const EvolveConfig&, const BackwardArgs<double>&, int);

}  // namespace zoo::gridnet

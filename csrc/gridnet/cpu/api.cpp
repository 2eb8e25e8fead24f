#include "gridnet/api.h"

#include <mutex>
#include <stdexcept>

#include "core/thread_pool.h"
#include "gridnet/cpu/kernels.h"

namespace zoo::gridnet {
namespace {

constexpr IsaTables<IsaKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kGridnetKernels);

// One call at a time: calls share the workspace.
std::mutex call_mutex;
Workspace workspace;

template <class T>
const Kernels<T>& kernels() {
  if constexpr (sizeof(T) == sizeof(float)) return kernels_in_use(kTables).of_float;
  else return kernels_in_use(kTables).of_double;
}

}  // namespace

template <class T>
int64_t kept_size(const EvolveConfig& c, int threads) {
  return kernels<T>().kept_size(c, clamp_threads(threads));
}

template <class T>
void evolve_forward(const EvolveConfig& c, const Inputs<T>& in, T* out, T* kept, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  const Kernels<T>& isa = kernels<T>();
  if (kept) prefer_huge_pages(kept, isa.kept_size(c, clamp_threads(threads)) * sizeof(T));
  isa.forward(c, in, out, kept, workspace, clamp_threads(threads));
}

template <class T>
void evolve_backward(const EvolveConfig& c, const Inputs<T>& in, const T* kept, const T* grad_out,
                     const Grads<T>& grads, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  if (!kernels<T>().backward(c, in, kept, grad_out, grads, workspace, clamp_threads(threads)))
    throw std::invalid_argument("the forward pass ran with another instruction set; set it before the forward pass");
}

template int64_t kept_size<float>(const EvolveConfig&, int);
template int64_t kept_size<double>(const EvolveConfig&, int);
template void evolve_forward<float>(const EvolveConfig&, const Inputs<float>&, float*, float*, int);
template void evolve_forward<double>(const EvolveConfig&, const Inputs<double>&, double*, double*, int);
template void evolve_backward<float>(const EvolveConfig&, const Inputs<float>&, const float*, const float*,
                                     const Grads<float>&, int);
template void evolve_backward<double>(const EvolveConfig&, const Inputs<double>&, const double*, const double*,
                                      const Grads<double>&, int);

}  // namespace zoo::gridnet

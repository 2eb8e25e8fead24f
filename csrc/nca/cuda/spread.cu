// Adds up the shares of the gradients of the states before the first epoch.
#include "nca/cuda/layers.cuh"

namespace zoo::nca::cuda {
namespace {

template <class T>
__global__ void spread_gradients_kernel(Population p, Shares<T> shares) {
  const int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (index >= weight_count(p) * p.channels) return;
  const int64_t weight = index / p.channels;
  const Layer layer(p, weight / p.columns / p.rows);
  const int i = static_cast<int>(weight / p.columns % p.rows), j = static_cast<int>(weight % p.columns);
  if (i >= layer.inputs || j >= layer.outputs) return;
  shares.own[index] = spread_gradient(p, shares, Place(p, layer, i, j), static_cast<int>(index % p.channels));
}

}  // namespace

template <class T>
std::string spread_gradients(const Population& p, const Shares<T>& shares, void* stream) {
  constexpr int kSpreadThreads = 256;
  const dim3 ctas(static_cast<unsigned>(ceil_div(weight_count(p) * p.channels, kSpreadThreads)));
  return launch("spread_gradients", spread_gradients_kernel<T>, ctas, kSpreadThreads, 0, stream, p, shares);
}

template std::string spread_gradients(const Population&, const Shares<float>&, void*);
template std::string spread_gradients(const Population&, const Shares<double>&, void*);

}  // namespace zoo::nca::cuda

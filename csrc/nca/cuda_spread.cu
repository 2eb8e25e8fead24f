// The ends of a gradient's way: shares put together after the last epoch, and what does not exist passed on.
#include "cuda_layers.cuh"

namespace zoo::nca::cuda {
namespace {

constexpr int kThreads = 256;

// A weight's number with the padding, taken apart.
struct Padded {
  int64_t layer;
  int i, j;

  __device__ Padded(const Population& p, int64_t weight)
      : layer(weight / p.columns / p.rows),
        i(static_cast<int>(weight / p.columns % p.rows)),
        j(static_cast<int>(weight % p.columns)) {}
};

template <class T>
__global__ void spread_gradients_kernel(Population p, Shares<T> shares) {
  const int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (index >= weight_count(p) * p.channels) return;
  const Padded where(p, index / p.channels);
  const Layer layer(p, where.layer);
  if (where.i >= layer.inputs || where.j >= layer.outputs) return;
  const Place at(p, layer, where.i, where.j);
  shares.own[index] = spread_gradient(p, shares, at, static_cast<int>(index % p.channels));
}

template <class T>
__global__ void pass_on_kernel(Population p, const T* from, T* to, T* zero) {
  const int64_t weight = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (weight >= weight_count(p)) return;
  const Padded where(p, weight);
  const Layer layer(p, where.layer);
  if (where.i < layer.inputs && where.j < layer.outputs) return;
  for (int64_t c = weight * p.channels; c < (weight + 1) * p.channels; ++c) to[c] = from[c];
  if (!zero) return;
  for (int64_t s = weight * p.signals; s < (weight + 1) * p.signals; ++s) zero[s] = 0;
}

}  // namespace

template <class T>
std::string spread_gradients(const Population& p, const Shares<T>& shares, void* stream) {
  const dim3 ctas(static_cast<unsigned>(ceil_div(weight_count(p) * p.channels, kThreads)));
  return launch("spread_gradients", spread_gradients_kernel<T>, ctas, kThreads, 0, stream, p, shares);
}

template <class T>
std::string pass_on(const Population& p, const T* from, T* to, T* zero, void* stream) {
  const dim3 ctas(static_cast<unsigned>(ceil_div(weight_count(p), kThreads)));
  return launch("pass_on", pass_on_kernel<T>, ctas, kThreads, 0, stream, p, from, to, zero);
}

template std::string spread_gradients(const Population&, const Shares<float>&, void*);
template std::string spread_gradients(const Population&, const Shares<double>&, void*);
template std::string pass_on(const Population&, const float*, float*, float*, void*);
template std::string pass_on(const Population&, const double*, double*, double*, void*);

}  // namespace zoo::nca::cuda

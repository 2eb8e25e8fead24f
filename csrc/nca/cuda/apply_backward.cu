// The gradients of one epoch. A CTA goes through several chunks of weights.
#include "nca/cuda/apply_backward.cuh"

namespace zoo::nca::cuda {
namespace {

constexpr int64_t kMostCtas = 512;  // each with its own partial sums

template <class T>
__global__ void apply_rule_backward_kernel(Population p, const __grid_constant__ Rule rule,
                                           const __grid_constant__ BackwardTask<T> task,
                                           const T* __restrict__ parameters, int64_t chunks) {
  DYNSHARED(T, shared);
  T* const partial = task.partial + blockIdx.x * parameter_count(rule);
  for (int64_t number = blockIdx.x; number < layer_count(p) * chunks; number += gridDim.x) {
    const Chunk chunk(p, number, chunks);
    if (chunk.count == 0) continue;
    __syncthreads();  // no thread still reads the previous chunk
    backward_chunk(p, rule, task, parameters, chunk, shared, partial);
  }
}

}  // namespace

int backward_ctas(const Population& p) {
  return static_cast<int>(std::clamp<int64_t>(layer_count(p) * chunks_per_layer(p), 1, kMostCtas));
}

template <class T>
std::string apply_rule_backward(const Population& p, const Rule& rule, const BackwardTask<T>& task, void* stream) {
  const size_t shared = backward_elements(rule) * sizeof(T);
  const std::string error = check_shared(apply_rule_backward_kernel<T>, rule, shared);
  if (!error.empty()) return error;
  return launch("apply_rule_backward", apply_rule_backward_kernel<T>, dim3(backward_ctas(p)), kThreads, shared, stream,
                p, rule, task, task.view.parameters, chunks_per_layer(p));
}

template std::string apply_rule_backward(const Population&, const Rule&, const BackwardTask<float>&, void*);
template std::string apply_rule_backward(const Population&, const Rule&, const BackwardTask<double>&, void*);

}  // namespace zoo::nca::cuda

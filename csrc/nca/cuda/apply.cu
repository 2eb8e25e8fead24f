// One epoch: the rule applied to every weight that exists and fires.
#include "nca/cuda/apply.cuh"

namespace zoo::nca::cuda {
namespace {

template <class T>
__global__ void apply_rule_kernel(Population p, const __grid_constant__ Rule rule, View<T> view,
                                  const T* __restrict__ parameters, T* out, int64_t chunks) {
  DYNSHARED(T, shared);
  const Chunk chunk(p, blockIdx.x, chunks);
  if (chunk.count > 0) apply_chunk(p, rule, view, parameters, chunk, shared, out);
}

}  // namespace

template <class T>
std::string apply_rule(const Population& p, const Rule& rule, const View<T>& view, T* out, void* stream) {
  const size_t shared = apply_elements(rule) * sizeof(T);
  const std::string error = check_shared(apply_rule_kernel<T>, rule, shared);
  if (!error.empty()) return error;
  const int64_t chunks = chunks_per_layer(p);
  const dim3 ctas(static_cast<unsigned>(layer_count(p) * chunks));
  return launch("apply_rule", apply_rule_kernel<T>, ctas, kThreads, shared, stream, p, rule, view, view.parameters, out,
                chunks);
}

template std::string apply_rule(const Population&, const Rule&, const View<float>&, float*, void*);
template std::string apply_rule(const Population&, const Rule&, const View<double>&, double*, void*);

}  // namespace zoo::nca::cuda

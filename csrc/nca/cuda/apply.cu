// One epoch: the rule applied to every weight that exists and fires.
#include "nca/cuda/mlp.cuh"

namespace zoo::nca::cuda {
namespace {

// Layers alternate between two sets of rows in shared memory; the features are in set 0. Returns the rows that set
// `turn` needs.
ZOO_HD int rows_of_turn(const Rule& rule, int turn) {
  int rows = 0;
  for (int i = turn; i < rule.layers; i += 2)
    if (rule.widths[i] > rows) rows = rule.widths[i];
  return rows;
}

template <class T>
__global__ void apply_rule_kernel(Population p, const __grid_constant__ Rule rule, View<T> view,
                                  const T* __restrict__ parameters, T* out, int64_t chunks) {
  DYNSHARED(T, shared);
  const Chunk chunk(p, blockIdx.x, chunks);
  if (chunk.count == 0) return;
  const LaneWeight weight(p, chunk, view.fire_mask);
  const bool fires = weight.fires;
  const int channels = static_cast<int>(p.channels);
  const T* const own = view.states + weight.at.weight * channels;
  T* const changed = out + weight.at.weight * channels;
  if (weight.exists && !fires && changed != own)
    for (int c = part_of_thread(); c < channels; c += kParts) changed[c] = own[c];
  Column<T> in{shared + lane_of_thread(), kWeights}, other = in.from(rows_of_turn(rule, 0));
  if (fires) perceive(p, rule, view, weight, in);
  __syncthreads();
  if (rule.norm) normalise(rule, fires, parameters, in, [](int, T) {});
  for (int l = 0; l + 1 < rule.layers; ++l) {
    if (fires)
      sum_layer(MlpLayer(rule, l), parameters, in,
                [&](int unit, T sum) { other[unit] = activate_with_slope(rule.hidden, sum).value; });
    __syncthreads();
    const Column<T> done = in;
    in = other;
    other = done;
  }
  if (!fires) return;
  const T scale = static_cast<T>(rule.scale);
  sum_layer(MlpLayer(rule, rule.layers - 1), parameters, in, [&](int channel, T sum) {
    changed[channel] = own[channel] + change_with_slope(rule.change, sum).value * scale;
  });
}

}  // namespace

template <class T>
std::string apply_rule(const Population& p, const Rule& rule, const View<T>& view, T* out, void* stream) {
  const size_t shared = (rows_of_turn(rule, 0) + rows_of_turn(rule, 1)) * kWeights * sizeof(T);
  const std::string error = check_shared(rule, shared);
  if (!error.empty()) return error;
  const int64_t chunks = chunks_per_layer(p);
  const dim3 ctas(static_cast<unsigned>(layer_count(p) * chunks));
  return launch("apply_rule", apply_rule_kernel<T>, ctas, kThreads, shared, stream, p, rule, view, view.parameters, out,
                chunks);
}

template std::string apply_rule(const Population&, const Rule&, const View<float>&, float*, void*);
template std::string apply_rule(const Population&, const Rule&, const View<double>&, double*, void*);

}  // namespace zoo::nca::cuda

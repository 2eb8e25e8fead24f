// One epoch: the rule applied to every weight that exists and fires, a thread per weight.
#include "cuda_mlp.cuh"

namespace zoo::nca::cuda {
namespace {

// Rows of shared memory for the activations of every other layer, the features' turn being 0: two sets take turns.
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
  const int lane = threadIdx.x, stride = blockDim.x;
  const Chunk chunk(p, blockIdx.x, chunks, stride);
  if (lane >= chunk.count) return;
  const Place at = chunk.place(p, lane);
  const int channels = static_cast<int>(p.channels);
  const T* const own = view.states + at.weight * channels;
  T* const changed = out + at.weight * channels;
  if (!view.fires[at.weight]) {
    if (changed != own)
      for (int c = 0; c < channels; ++c) changed[c] = own[c];
    return;
  }
  Column<T> in{shared + lane, stride}, other = in.from(rows_of_turn(rule, 0));
  perceive(p, rule, view, chunk.layer, at, in);
  if (rule.norm) {
    const int count = rule.widths[0];
    const Stats<T> stats = norm_stats(rule, in);
    for (int i = 0; i < count; ++i) in[i] = (in[i] - stats.mean) * stats.rstd * parameters[i] + parameters[count + i];
  }
  for (int l = 0; l + 1 < rule.layers; ++l) {
    sum_layer(MlpLayer(rule, l), parameters, in,
              [&](int unit, T sum) { other[unit] = activate_with_slope(rule.hidden, sum).value; });
    const Column<T> done = in;
    in = other;
    other = done;
  }
  const T scale = static_cast<T>(rule.scale);
  sum_layer(MlpLayer(rule, rule.layers - 1), parameters, in, [&](int channel, T sum) {
    changed[channel] = own[channel] + change_with_slope(rule.change, sum).value * scale;
  });
}

}  // namespace

template <class T>
std::string apply_rule(const Population& p, const Rule& rule, const View<T>& view, T* out, void* stream) {
  const int rows = rows_of_turn(rule, 0) + rows_of_turn(rule, 1), threads = threads_for<T>(rows);
  const size_t shared = rows * sizeof(T) * threads;
  const std::string error = check_shared(rule, shared);
  if (!error.empty()) return error;
  const int64_t chunks = chunks_per_layer(p, threads);
  const dim3 ctas(static_cast<unsigned>(layer_count(p) * chunks));
  return launch("apply_rule", apply_rule_kernel<T>, ctas, threads, shared, stream, p, rule, view, view.parameters, out,
                chunks);
}

template std::string apply_rule(const Population&, const Rule&, const View<float>&, float*, void*);
template std::string apply_rule(const Population&, const Rule&, const View<double>&, double*, void*);

}  // namespace zoo::nca::cuda

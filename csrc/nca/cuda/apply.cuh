// The rule applied to every weight of a chunk that fires.
#pragma once
#include "nca/cuda/mlp.cuh"

namespace zoo::nca::cuda {

// Layers alternate between two sets of rows in shared memory; the features are in set 0. Returns the rows that set
// `turn` needs.
ZOO_HD int rows_of_turn(const Rule& rule, int turn) {
  int rows = 0;
  for (int i = turn; i < rule.layers; i += 2)
    if (rule.widths[i] > rows) rows = rule.widths[i];
  return rows;
}

// Elements of shared memory that a group needs.
ZOO_HD size_t apply_elements(const Rule& rule) {
  return static_cast<size_t>(rows_of_turn(rule, 0) + rows_of_turn(rule, 1)) * kWeights;
}

// Writes the states of the chunk's weights after the epoch to `out`, with the group's `shared` memory. All threads of
// the CTA must call it, each group with a chunk of its own, which may be empty.
template <class T>
__device__ void apply_chunk(const Population& p, const Rule& rule, const View<T>& view,
                            const T* __restrict__ parameters, const Chunk& chunk, T* shared, T* out) {
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

}  // namespace zoo::nca::cuda

// The inner steps of one block, forward.
#pragma once
#include "gridnet/cpu/sample_lanes/box.h"
#include "gridnet/cpu/sample_lanes/step.h"
#include "gridnet/cpu/sample_lanes/update.h"

namespace zoo::ZOO_ISA {

// Numbers in the packed weights of one block, [channel][z][y][x][27].
ZOO_INLINE int64_t block_weight_size(const StepConfig& c) {
  return c.channels() * c.block * c.block * c.block * kNeighbours;
}

// Packs the weights of one block's cells from torch's [27, channel, m, n, k].
template <class T>
void pack_block_weights(const StepConfig& c, const T* weight, BlockOrigin o, T* out) {
  const int64_t channels = c.channels(), cells = c.shape.cells(), b = c.block;
  for (int64_t channel = 0; channel < channels; ++channel)
    for (int64_t row = 0; row < b * b; ++row, out += b * kNeighbours) {
      const T* from = weight + channel * cells + c.shape.index(o.z + row / b, o.y + row % b, o.x);
      for (int i = 0; i < kNeighbours; ++i)
        for (int64_t x = 0; x < b; ++x) out[x * kNeighbours + i] = from[i * channels * cells + x];
    }
}

// One thread's scratch memory for a block. Backward saves the inputs and pre-activations of every inner step; raw
// boxes, which are standardised into inputs, are needed for one step at a time. Rows of pre-activations have two
// entries of padding before and after, which the gradients of box rows read.
template <class T, int W>
struct BlockScratch {
  static constexpr int64_t kPadding = 2;
  int64_t block, side, saved_steps;
  int channels;
  bool normalize;
  T* data;

  BlockScratch(const StepConfig& c, bool backward, T* memory)
      : block(c.block),
        side(c.block + 2),
        saved_steps(backward ? c.inner_steps : 1),
        channels(c.channels()),
        normalize(c.normalize),
        data(memory) {}

  ZOO_INLINE int64_t box_size() const { return side * side * side * W; }
  ZOO_INLINE int64_t pre_row_size() const { return (block + 2 * kPadding) * W; }
  ZOO_INLINE int64_t pre_size() const { return block * block * pre_row_size(); }
  ZOO_INLINE int64_t step_size() const { return box_size() + pre_size() * channels + W; }
  ZOO_INLINE int64_t size() const { return saved_steps * step_size() + (normalize ? box_size() : 0); }
  ZOO_INLINE Box<T, W> inputs(int64_t s) const { return {data + s * step_size(), side}; }
  ZOO_INLINE Box<T, W> raw(int64_t s) const { return normalize ? inputs(saved_steps) : inputs(s); }
  ZOO_INLINE T* std(int64_t s) const { return inputs(s).data + box_size() + channels * pre_size(); }
  // The first cell of row z * block + y.
  ZOO_INLINE T* pre(int64_t s, int channel, int64_t row) const {
    return inputs(s).data + box_size() + channel * pre_size() + row * pre_row_size() + kPadding * W;
  }
  void clear_padding() const {
    for (int64_t s = 0; s < saved_steps; ++s)
      for (int64_t row = 0; row < channels * block * block; ++row) {
        std::memset(pre(s, 0, row) - kPadding * W, 0, kPadding * W * sizeof(T));
        std::memset(pre(s, 0, row) + block * W, 0, kPadding * W * sizeof(T));
      }
  }
};

// One block of one tile. s is the place of an inner step in the scratch memory.
template <class T, int NV>
struct Block {
  static constexpr int W = NV * kLanes<T>;
  const StepConfig& config;
  const Parameters<T>& parameters;
  const BlockScratch<T, W>& scratch;
  const int64_t index;

  const BlockOrigin origin = block_origin(config, index);
  const int64_t b = config.block, side = scratch.side, cells = config.shape.cells();
  const T* const weight = parameters.weight + index * block_weight_size(config);

  // The grid index of the first cell of row z * block + y.
  ZOO_INLINE int64_t cell(int64_t row) const {
    return config.shape.index(origin.z + row / b, origin.y + row % b, origin.x);
  }

  // First half of an inner step: from raw(s), whose statistics are `moments`, to the pre-activations.
  void sum(int64_t s, const BoxMoments<T, NV>& moments) const {
    const Box<T, W> raw = scratch.raw(s), inputs = scratch.inputs(s);
    if (!config.normalize) {
      for (int64_t z = 0; z < b; ++z) sum_plane(s, inputs, z);
      return;
    }
    const BoxNormaliser<T, NV> normaliser(moments, config.eps, scratch.std(s));
    for (int64_t z = 0; z < side; ++z) {  // a plane is summed while the planes around it are in the L1 cache
      normaliser.apply(raw.row(z, 0), side * side, inputs.row(z, 0));
      if (z >= 2) sum_plane(s, inputs, z - 2);
    }
  }

  // Second half: writes row z * block + y after the step. `out` may be where raw(s) has the row.
  void update_row(int64_t s, int64_t row, T* out, Moments<T, NV>* moments) const {
    const RowUpdate<T, NV> update{.view = {},
                                  .values = scratch.pre(s, 0, row),
                                  .gates = config.gated ? scratch.pre(s, 1, row) : nullptr,
                                  .scale = config.gated ? nullptr : parameters.scale + cell(row),
                                  .x = scratch.raw(s).core_row(row / b, row % b),
                                  .n = b,
                                  .out = out,
                                  .moments = moments};
    if (config.gated) update_gated_row<T, NV>(config.activation, update);
    else zoo::ZOO_ISA::update_row<T, NV>(config.activation, update);
  }

  // From raw(s) to raw(next), which has the shell already, and its statistics.
  void update(int64_t s, int64_t next, BoxMoments<T, NV>& moments) const {
    const Box<T, W> after = scratch.raw(next);
    moments.core.clear();
    for (int64_t row = 0; row < b * b; ++row)
      update_row(s, row, after.core_row(row / b, row % b), config.normalize ? &moments.core : nullptr);
  }

 private:
  void sum_plane(int64_t s, const Box<T, W>& inputs, int64_t z) const {
    for (int64_t y = 0; y < b; ++y) {
      const int64_t row = z * b + y;
      const RowNeighbours<T> near = rows_in_box(inputs, z + 1, y + 1);
      for (int i = 0; i < scratch.channels; ++i)
        sum_neighbours<T, NV, false>(near, weight + (i * b * b + row) * b * kNeighbours,
                                     parameters.bias + i * cells + cell(row), b, scratch.pre(s, i, row));
    }
  }
};

}  // namespace zoo::ZOO_ISA

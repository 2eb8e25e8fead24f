// The gridnet step on the CPU when blocks matter (inner steps on a stale shell, or block normalisation). A block with
// its shell is a "box" of side block + 2; every box is worked on alone, in cache.
#pragma once
#include "gridnet/cpu/sample_lanes/stencil.h"

namespace zoo::ZOO_ISA {

// A box of (side)^3 entries of W lanes.
template <class T, int W>
struct Box {
  T* data;
  int64_t side;

  ZOO_INLINE int64_t size() const { return side * side * side * W; }
  ZOO_INLINE T* row(int64_t z, int64_t y) const { return data + (z * side + y) * side * W; }
  // Of the block's own cells.
  ZOO_INLINE T* core_row(int64_t z, int64_t y) const { return row(z + 1, y + 1) + W; }
};

// Where a block sits in the grid.
struct BlockOrigin {
  int64_t z, y, x;
};

ZOO_INLINE BlockOrigin block_origin(const StepConfig& c, int64_t index) {
  const int64_t across = c.shape.k / c.block, down = c.shape.n / c.block;
  return {index / (across * down) * c.block, index / across % down * c.block, index % across * c.block};
}

ZOO_INLINE int64_t block_weight_size(const StepConfig& c) {
  return (c.gated ? 2 : 1) * c.block * c.block * c.block * kNeighbours;
}

ZOO_INLINE int64_t block_transposed_size(const StepConfig& c) {
  return (c.gated ? 2 : 1) * (c.block + 2) * (c.block + 2) * (c.block + 2) * kNeighbours;
}

// Statistics of a box: while a block steps, only its core changes.
template <class T, int NV>
struct BoxMoments {
  Moments<T, NV> shell, core;

  // Takes in row (z, y) of a box.
  void add_row(const Box<T, NV * kLanes<T>>& box, int64_t z, int64_t y) {
    constexpr int64_t W = NV * kLanes<T>;
    const int64_t last = box.side - 1;
    const T* row = box.row(z, y);
    if (z == 0 || z == last || y == 0 || y == last) return shell.add_row(row, box.side);
    shell.add_row(row, 2, last * W);
    core.add_row(row + W, last - 1);
  }
};

// The block's cells and shell out of the grid's lanes, normalised unless norm is null; zeros outside the grid. moments,
// unless null, become those of the box.
template <class T, int NV>
void read_box(const LaneGrid<T, NV * kLanes<T>>& grid, const Norm<T, NV>* norm, BlockOrigin o,
              const Box<T, NV * kLanes<T>>& box, BoxMoments<T, NV>* moments) {
  constexpr int W = NV * kLanes<T>;
  if (moments) {
    moments->shell.clear();
    moments->core.clear();
  }
  for (int64_t z = 0; z < box.side; ++z)
    for (int64_t y = 0; y < box.side; ++y) {
      T* row = box.row(z, y);
      const int64_t gz = o.z + z - 1, gy = o.y + y - 1;
      if (gz < 0 || gz >= grid.shape.m || gy < 0 || gy >= grid.shape.n) {
        std::memset(row, 0, box.side * W * sizeof(T));
      } else if (!norm) {
        // The grid's own padding supplies the zeros before and after a row.
        const T* from = grid.row(gz * grid.shape.n + gy) + (o.x - 1) * W;
        for (int64_t i = 0; i < box.side * W; i += kLanes<T>) store(row + i, load(from + i));
      } else {
        const int64_t first = o.x > 0 ? 0 : 1, last = o.x + box.side - 2 < grid.shape.k ? box.side : box.side - 1;
        const T* from = grid.row(gz * grid.shape.n + gy) + (o.x - 1 + first) * W;
        if (first > 0) std::memset(row, 0, W * sizeof(T));
        norm_row<T, NV>(*norm, from, grid.shape.index(gz, gy, o.x + first - 1), last - first, row + first * W);
        if (last < box.side) std::memset(row + last * W, 0, W * sizeof(T));
      }
      if (moments) moments->add_row(box, z, y);
    }
}

template <class T, int W>
ZOO_INLINE RowNeighbours<T> rows_in_box(const Box<T, W>& box, int64_t z, int64_t y) {
  RowNeighbours<T> out;
  for (int q = 0; q < 9; ++q) out.row[q] = box.row(z + q / 3 - 1, y + q % 3 - 1);
  return out;
}

// What standardises a box, per lane: (v - mean) * inverse, with inverse = 1 / (population standard deviation + eps).
template <class T, int NV>
struct BoxStats {
  static constexpr int L = kLanes<T>, W = NV * L;
  Vec<T> mean[NV], inverse[NV];

  // Leaves the standard deviations in `std`.
  BoxStats(const BoxMoments<T, NV>& moments, double eps, T* std) {
    Moments<T, NV> all = moments.shell;
    all.add(moments.core);
    for (int v = 0; v < NV; ++v) {
      mean[v] = load(all.mean + v * L);
      const Vec<T> deviation = deviation_of<T>(load(all.squares + v * L) / splat(all.count), mean[v]);
      inverse[v] = 1 / (deviation + static_cast<T>(eps));
      store(std + v * L, deviation);
    }
  }

  void apply(const T* x, int64_t n, T* out) const {
    for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) store(out + k * W + v * L, (load(x + k * W + v * L) - mean[v]) * inverse[v]);
  }
};

// One thread's scratch for the blocks, carved out of one buffer. For the backward pass every inner step keeps its own
// inputs and pre-activations; of a box that is standardised the raw values are needed for one step only. Rows of
// pre-activations have two entries of padding before and after, which the gradients of box rows read.
template <class T, int W>
struct BlockScratch {
  static constexpr int64_t kPadding = 2;
  int64_t block, side, kept;
  int channels;
  bool normalize;
  T* data;

  ZOO_INLINE int64_t box_size() const { return side * side * side * W; }
  ZOO_INLINE int64_t pre_row_size() const { return (block + 2 * kPadding) * W; }
  ZOO_INLINE int64_t pre_size() const { return block * block * pre_row_size(); }
  ZOO_INLINE int64_t step_size() const { return box_size() + pre_size() * channels + W; }
  ZOO_INLINE int64_t size() const { return kept * step_size() + (normalize ? box_size() : 0); }
  ZOO_INLINE Box<T, W> inputs(int64_t s) const { return {data + s * step_size(), side}; }
  ZOO_INLINE Box<T, W> raw(int64_t s) const { return normalize ? inputs(kept) : inputs(s); }
  ZOO_INLINE T* std(int64_t s) const { return inputs(s).data + box_size() + channels * pre_size(); }
  // First cell of row z * block + y.
  ZOO_INLINE T* pre(int64_t s, int channel, int64_t row) const {
    return inputs(s).data + box_size() + channel * pre_size() + row * pre_row_size() + kPadding * W;
  }
  void clear_padding() const {
    for (int64_t s = 0; s < kept; ++s)
      for (int64_t row = 0; row < channels * block * block; ++row) {
        std::memset(pre(s, 0, row) - kPadding * W, 0, kPadding * W * sizeof(T));
        std::memset(pre(s, 0, row) + block * W, 0, kPadding * W * sizeof(T));
      }
  }
};

// Weights of one block's cells, [channel][z][y][x][27], out of torch's [27, channel, m, n, k].
template <class T>
void pack_block_weights(const StepConfig& c, const T* weight, BlockOrigin o, T* out) {
  const int64_t channels = c.gated ? 2 : 1, cells = c.shape.cells(), b = c.block;
  for (int64_t channel = 0; channel < channels; ++channel)
    for (int64_t row = 0; row < b * b; ++row, out += b * kNeighbours) {
      const T* from = weight + channel * cells + c.shape.index(o.z + row / b, o.y + row % b, o.x);
      for (int i = 0; i < kNeighbours; ++i)
        for (int64_t x = 0; x < b; ++x) out[x * kNeighbours + i] = from[i * channels * cells + x];
    }
}

// First half of inner step s: raw(s), whose statistics are `moments`, to pre-activations.
template <class T, int NV>
void block_sums(const StepConfig& c, const Parameters<T>& p, const T* weight, BlockOrigin o,
                const BlockScratch<T, NV * kLanes<T>>& scratch, int64_t s, const BoxMoments<T, NV>& moments) {
  constexpr int W = NV * kLanes<T>;
  const int64_t b = c.block, side = scratch.side, cells = c.shape.cells();
  const Box<T, W> raw = scratch.raw(s), inputs = scratch.inputs(s);
  const auto weigh_plane = [&](int64_t z) {
    for (int64_t y = 0; y < b; ++y) {
      const int64_t row = z * b + y, cell = c.shape.index(o.z + z, o.y + y, o.x);
      const RowNeighbours<T> near = rows_in_box(inputs, z + 1, y + 1);
      for (int i = 0; i < scratch.channels; ++i)
        weigh_row<T, NV, false>(near, weight + (i * b * b + row) * b * kNeighbours, p.bias + i * cells + cell, b,
                                scratch.pre(s, i, row));
    }
  };
  if (!c.normalize) {
    for (int64_t z = 0; z < b; ++z) weigh_plane(z);
    return;
  }
  const BoxStats<T, NV> stats(moments, c.eps, scratch.std(s));
  for (int64_t z = 0; z < side; ++z) {  // weighed while the planes around are in the nearest cache
    stats.apply(raw.row(z, 0), side * side, inputs.row(z, 0));
    if (z >= 2) weigh_plane(z - 2);
  }
}

// Second half: row z * block + y of the block's cells after inner step s. out may be where raw(s) has the row.
template <class T, int NV>
void update_block_row(const StepConfig& c, const Parameters<T>& p, BlockOrigin o,
                      const BlockScratch<T, NV * kLanes<T>>& scratch, int64_t s, int64_t row, T* out,
                      Moments<T, NV>* moments) {
  const int64_t b = c.block, z = row / b, y = row % b;
  const T *x = scratch.raw(s).core_row(z, y), *sums = scratch.pre(s, 0, row);
  if (c.gated) update_gated_row<T, NV>(c.activation, {}, sums, scratch.pre(s, 1, row), x, b, out, moments);
  else update_row<T, NV>(c.activation, {}, sums, p.scale + c.shape.index(o.z + z, o.y + y, o.x), x, b, out, moments);
}

// raw(s) to raw(next), whose shell is there already, and its statistics.
template <class T, int NV>
void update_block(const StepConfig& c, const Parameters<T>& p, BlockOrigin o,
                  const BlockScratch<T, NV * kLanes<T>>& scratch, int64_t s, int64_t next, BoxMoments<T, NV>& moments) {
  const Box<T, NV * kLanes<T>> after = scratch.raw(next);
  moments.core.clear();
  for (int64_t row = 0; row < c.block * c.block; ++row)
    update_block_row<T, NV>(c, p, o, scratch, s, row, after.core_row(row / c.block, row % c.block),
                            c.normalize ? &moments.core : nullptr);
}

}  // namespace zoo::ZOO_ISA

// The gridnet step on the CPU when blocks matter (inner steps on a stale shell, or block normalisation). A block with
// its shell is a "box" of side block + 2; every box is worked on alone, in cache.
#pragma once
#include "cpu_stencil.h"

namespace zoo::ZOO_ISA {

// A box of (side)^3 entries of W lanes.
template <class T, int W>
struct Box {
  T* data;
  int64_t side;

  ZOO_INLINE int64_t size() const { return side * side * side * W; }
  ZOO_INLINE T* row(int64_t z, int64_t y) const { return data + (z * side + y) * side * W; }
};

// Where a block sits in the grid.
struct BlockOrigin {
  int64_t z, y, x;
};

ZOO_INLINE int64_t count_blocks(const StepConfig& c) {
  return (c.shape.m / c.block) * (c.shape.n / c.block) * (c.shape.k / c.block);
}

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

// The block's cells and shell out of the grid's lanes, normalised unless norm is null; zeros outside the grid.
template <class T, int NV>
void read_box(const LaneGrid<T, NV * kLanes<T>>& grid, const Norm<T, NV>* norm, BlockOrigin o,
              const Box<T, NV * kLanes<T>>& box) {
  constexpr int W = NV * kLanes<T>;
  for (int64_t z = 0; z < box.side; ++z)
    for (int64_t y = 0; y < box.side; ++y) {
      T* row = box.row(z, y);
      const int64_t gz = o.z + z - 1, gy = o.y + y - 1;
      const bool inside = gz >= 0 && gz < grid.shape.m && gy >= 0 && gy < grid.shape.n;
      // The grid's own padding supplies the zeros before and after a row.
      const T* from = inside ? grid.row(gz * grid.shape.n + gy) + (o.x - 1) * W : nullptr;
      for (int64_t i = 0; i < box.side * W; i += kLanes<T>) store(row + i, inside ? load(from + i) : Vec<T>{});
      if (!inside || !norm) continue;
      const int64_t first = o.x > 0 ? 0 : 1, last = o.x + box.side - 2 < grid.shape.k ? box.side : box.side - 1;
      norm_row<T, NV>(*norm, row + first * W, grid.shape.index(gz, gy, o.x + first - 1), last - first, row + first * W);
    }
}

template <class T, int W>
ZOO_INLINE RowNeighbours<T> rows_in_box(const Box<T, W>& box, int64_t z, int64_t y) {
  RowNeighbours<T> out;
  for (int q = 0; q < 9; ++q) out.row[q] = box.row(z + q / 3 - 1, y + q % 3 - 1);
  return out;
}

// Mean and population standard deviation of each lane over a box; then (v - mean) / (std + eps).
template <class T, int NV>
void standardise_box(const Box<T, NV * kLanes<T>>& box, double eps, const Box<T, NV * kLanes<T>>& out, T* std_out) {
  constexpr int L = kLanes<T>, W = NV * L;
  const int64_t entries = box.side * box.side * box.side;
  const T each = T(1) / static_cast<T>(entries);
  for (int lane = 0; lane < W; lane += L) {
    Vec<T> sum{}, squares{};
    for (int64_t i = 0; i < entries; ++i) sum += load(box.data + i * W + lane);
    const Vec<T> mean = sum * each;
    for (int64_t i = 0; i < entries; ++i) {
      const Vec<T> d = load(box.data + i * W + lane) - mean;
      squares += d * d;
    }
    const Vec<T> std = sqrt_of(squares * each), inverse = 1 / (std + static_cast<T>(eps));
    for (int64_t i = 0; i < entries; ++i)
      store(out.data + i * W + lane, (load(box.data + i * W + lane) - mean) * inverse);
    store(std_out + lane, std);
  }
}

// Gradient of the standardised values -> gradient of the raw ones, in place; z are the standardised values.
template <class T, int NV>
void standardise_box_backward(const Box<T, NV * kLanes<T>>& z, const T* std_in, double eps,
                              const Box<T, NV * kLanes<T>>& grad) {
  constexpr int L = kLanes<T>, W = NV * L;
  const int64_t entries = z.side * z.side * z.side;
  const T each = T(1) / static_cast<T>(entries);
  for (int lane = 0; lane < W; lane += L) {
    Vec<T> sum{}, dot{};
    for (int64_t i = 0; i < entries; ++i) {
      const Vec<T> g = load(grad.data + i * W + lane);
      sum += g;
      dot += g * load(z.data + i * W + lane);
    }
    const Vec<T> std = load(std_in + lane), inverse = 1 / (std + static_cast<T>(eps));
    // d std / dv = (v - mean) / (n std), taken as 0 where std is 0, as torch does.
    const Vec<T> through_std = std > 0 ? dot * each / std : Vec<T>{};
    const Vec<T> mean = sum * each;
    for (int64_t i = 0; i < entries; ++i) {
      T* g = grad.data + i * W + lane;
      store(g, (load(g) - mean) * inverse - through_std * load(z.data + i * W + lane));
    }
  }
}

// One thread's scratch for the blocks, carved out of one buffer. For the backward pass every inner step keeps its own
// inputs (raw and, when normalising, standardised) and pre-activations.
template <class T, int W>
struct BlockScratch {
  int64_t block, side, kept;
  int channels;
  bool normalize;
  T* data;

  ZOO_INLINE int64_t box_size() const { return side * side * side * W; }
  ZOO_INLINE int64_t core_size() const { return block * block * block * W; }
  ZOO_INLINE int64_t step_size() const { return box_size() * (normalize ? 2 : 1) + core_size() * channels + W; }
  ZOO_INLINE int64_t size() const { return kept * step_size(); }
  ZOO_INLINE Box<T, W> raw(int64_t s) const { return {data + s * step_size(), side}; }
  ZOO_INLINE Box<T, W> inputs(int64_t s) const { return {raw(s).data + (normalize ? box_size() : 0), side}; }
  ZOO_INLINE T* pre(int64_t s, int channel) const { return inputs(s).data + box_size() + channel * core_size(); }
  ZOO_INLINE T* std(int64_t s) const { return pre(s, channels); }
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

// Runs inner step s: reads raw(s), leaves pre-activations in pre(s, .) and, unless null, the box after it in `next`.
template <class T, int NV>
void block_inner_step(const StepConfig& c, const Parameters<T>& p, const T* weight, BlockOrigin o,
                      const BlockScratch<T, NV * kLanes<T>>& scratch, int64_t s, T* next) {
  constexpr int W = NV * kLanes<T>;
  const int64_t b = c.block, cells = c.shape.cells();
  const Box<T, W> raw = scratch.raw(s), inputs = scratch.inputs(s), after{next, scratch.side};
  if (c.normalize) standardise_box<T, NV>(raw, c.eps, inputs, scratch.std(s));
  for (int64_t z = 0; z < b; ++z)
    for (int64_t y = 0; y < b; ++y) {
      const int64_t local = (z * b + y) * b, cell = c.shape.index(o.z + z, o.y + y, o.x);
      const RowNeighbours<T> near = rows_in_box(inputs, z + 1, y + 1);
      for (int i = 0; i < scratch.channels; ++i)
        weigh_row<T, NV, false>(near, weight + (i * b * b * b + local) * kNeighbours, p.bias + i * cells + cell, b,
                                scratch.pre(s, i) + local * W);
    }
  if (!next) return;
  if (next != raw.data) std::memcpy(after.data, raw.data, raw.size() * sizeof(T));
  for (int64_t z = 0; z < b; ++z)
    for (int64_t y = 0; y < b; ++y) {
      const int64_t local = (z * b + y) * b * W;
      T* row = after.row(z + 1, y + 1) + W;
      if (c.gated)
        update_gated_row<T, NV>(c.activation, {}, scratch.pre(s, 0) + local, scratch.pre(s, 1) + local, row, b, row, nullptr);
      else
        update_row<T, NV>(c.activation, {}, scratch.pre(s, 0) + local, p.scale + c.shape.index(o.z + z, o.y + y, o.x), row, b,
                          row, nullptr);
    }
}

}  // namespace zoo::ZOO_ISA

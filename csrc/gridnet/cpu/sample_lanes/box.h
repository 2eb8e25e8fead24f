// A block with its one-cell shell, a "box", as a small grid of its own that stays in the cache.
#pragma once
#include "gridnet/cpu/sample_lanes/rows.h"
#include "gridnet/cpu/sample_lanes/standardise.h"

namespace zoo::ZOO_ISA {

// A box of side^3 entries of W lanes.
template <class T, int W>
struct Box {
  T* data;
  int64_t side;

  ZOO_INLINE int64_t size() const { return side * side * side * W; }
  ZOO_INLINE T* row(int64_t z, int64_t y) const { return data + (z * side + y) * side * W; }
  // Row (z, y) of the block's own cells, its core.
  ZOO_INLINE T* core_row(int64_t z, int64_t y) const { return row(z + 1, y + 1) + W; }
};

// The first cell of a block.
struct BlockOrigin {
  int64_t z, y, x;
};

ZOO_INLINE BlockOrigin block_origin(const StepConfig& c, int64_t block) {
  const int64_t across = c.shape.k / c.block, down = c.shape.n / c.block;
  return {block / (across * down) * c.block, block / across % down * c.block, block % across * c.block};
}

// The statistics of a box, shell and core apart: while a block steps, only its core changes.
template <class T, int NV>
struct BoxMoments {
  Moments<T, NV> shell, core;

  void clear() {
    shell.clear();
    core.clear();
  }
  // Adds row (z, y) of the box.
  void add_row(const Box<T, NV * kLanes<T>>& box, int64_t z, int64_t y) {
    constexpr int64_t W = NV * kLanes<T>;
    const int64_t last = box.side - 1;
    const T* row = box.row(z, y);
    if (z == 0 || z == last || y == 0 || y == last) return shell.add_row(row, box.side);
    shell.add_row(row, 2, last * W);
    core.add_row(row + W, last - 1);
  }
};

// Standardises a box, per lane: (v - mean) * inverse, where inverse = 1 / (population standard deviation + eps).
template <class T, int NV>
struct BoxNormaliser {
  static constexpr int L = kLanes<T>, W = NV * L;
  Vec<T> mean[NV], inverse[NV];

  // Writes the standard deviations to `std` [W].
  BoxNormaliser(const BoxMoments<T, NV>& moments, double eps, T* std) {
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

// Row (z, y) of the box at `o`, read through `norm` unless that is null; zeros outside the grid.
template <class T, int NV>
void read_box_row(const LaneGrid<T, NV * kLanes<T>>& grid, const Norm<T, NV>* norm, BlockOrigin o,
                  const Box<T, NV * kLanes<T>>& box, int64_t z, int64_t y) {
  constexpr int W = NV * kLanes<T>;
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
}

// Reads the box at `o`. `moments`, unless null, becomes its statistics.
template <class T, int NV>
void read_box(const LaneGrid<T, NV * kLanes<T>>& grid, const Norm<T, NV>* norm, BlockOrigin o,
              const Box<T, NV * kLanes<T>>& box, BoxMoments<T, NV>* moments) {
  if (moments) moments->clear();
  for (int64_t z = 0; z < box.side; ++z)
    for (int64_t y = 0; y < box.side; ++y) {
      read_box_row<T, NV>(grid, norm, o, box, z, y);
      if (moments) moments->add_row(box, z, y);
    }
}

template <class T, int W>
ZOO_INLINE RowNeighbours<T> rows_in_box(const Box<T, W>& box, int64_t z, int64_t y) {
  RowNeighbours<T> out;
  for (int q = 0; q < 9; ++q) out.row[q] = box.row(z + q / 3 - 1, y + q % 3 - 1);
  return out;
}

template <class T, int W>
void copy_shell(const Box<T, W>& from, const Box<T, W>& to) {
  const int64_t last = from.side - 1;
  for (int64_t z = 0; z <= last; ++z)
    for (int64_t y = 0; y <= last; ++y) {
      const bool core = z > 0 && z < last && y > 0 && y < last;
      std::memcpy(to.row(z, y), from.row(z, y), (core ? 1 : from.side) * W * sizeof(T));
      if (core) std::memcpy(to.row(z, y) + last * W, from.row(z, y) + last * W, W * sizeof(T));
    }
}

}  // namespace zoo::ZOO_ISA

// The layout of samples in lanes, and transposes between it and torch's [batch, cells].
#pragma once
#include "core/transpose.h"
#include "gridnet/cpu/common.h"

namespace zoo::ZOO_ISA {

// The grid of a tile of W samples, [cell][W]. Rows along x are stored with `pad` entries before and after (0 or 1).
// When the passes that write and read a grid follow each other closely, only its last `held` rows are in memory, row r
// in slot r % held.
template <class T, int W>
struct LaneGrid {
  T* data;
  Shape shape;
  int pad;
  int64_t held = 0;  // 0: every row

  ZOO_INLINE int64_t row_entries() const { return shape.k + 2 * pad; }
  ZOO_INLINE int64_t size() const { return (held ? held : shape.rows()) * row_entries() * W; }
  ZOO_INLINE int64_t slot(int64_t r) const { return held ? r % held : r; }
  ZOO_INLINE T* in_slot(int64_t s) const { return data + (s * row_entries() + pad) * W; }
  // The first cell of row r = z * n + y.
  ZOO_INLINE T* row(int64_t r) const { return in_slot(slot(r)); }
  // The cell with flat index c, which does not count padding.
  ZOO_INLINE T* cell(int64_t c) const { return row(c / shape.k) + c % shape.k * W; }

  ZOO_INLINE void clear_padding(int64_t r) const {
    for (int i = 0; i < pad * W; ++i) {
      row(r)[i - pad * W] = 0;
      row(r)[shape.k * W + i] = 0;
    }
  }
};

// Walks over consecutive cells of a grid without a division for each.
template <class T, int W>
struct CellCursor {
  T* entry;
  int64_t column;
  const LaneGrid<T, W>& grid;

  ZOO_INLINE CellCursor(const LaneGrid<T, W>& of, int64_t c) : entry(of.cell(c)), column(c % of.shape.k), grid(of) {}
  ZOO_INLINE T* next() {
    T* current = entry;
    entry += W;
    if (++column == grid.shape.k) {
      column = 0;
      entry += 2 * grid.pad * W;
    }
    return current;
  }
};

// Cells that move between layouts at a time. On torch's side they come from many streams (samples, or the weights of
// the 27 taps), often a power of two apart, so that they compete for few cache sets. A run of each stream is therefore
// copied to one place before it is transposed.
constexpr int64_t kCellsPerMove = 256;
template <class T>
constexpr int64_t kRun = kCellsPerMove + 64 / static_cast<int64_t>(sizeof(T));

// Moves the cells [begin, end) of samples [count, cells] into lanes; lanes past `count` become 0.
template <class T, int W>
void samples_to_lanes(const T* samples, int64_t count, int64_t begin, int64_t end, const LaneGrid<T, W>& out) {
  constexpr int L = kLanes<T>;
  const int64_t cells = out.shape.cells();
  alignas(64) T runs[L][kRun<T>];
  T* entries[kCellsPerMove];
  for (int64_t start = begin; start < end; start += kCellsPerMove) {
    const int64_t moved = start + kCellsPerMove < end ? kCellsPerMove : end - start;
    CellCursor<T, W> cursor(out, start);
    for (int64_t i = 0; i < moved; ++i) entries[i] = cursor.next();
    for (int lane = 0; lane < W; lane += L) {
      const T* from = samples + lane * cells + start;
      for (int l = 0; l < L; ++l) {
        if (lane + l + 1 < count) prefetch_run(from + (l + 1) * cells, moved);
        if (lane + l < count) std::memcpy(runs[l], from + l * cells, moved * sizeof(T));
        else std::memset(runs[l], 0, moved * sizeof(T));
      }
      int64_t c = 0;
      for (; c + L <= moved; c += L) {
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) v[i] = load(runs[i] + c);
        transpose<T>(v);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store(entries[c + i] + lane, v[i]);
      }
      for (; c < moved; ++c)
        for (int l = 0; l < L; ++l) entries[c][lane + l] = runs[l][c];
    }
  }
}

// Moves the cells [begin, end) from lanes into samples [count, cells].
template <class T, int W>
void lanes_to_samples(const LaneGrid<T, W>& lanes, int64_t count, int64_t begin, int64_t end, T* samples) {
  constexpr int L = kLanes<T>;
  const int64_t cells = lanes.shape.cells();
  const T* entries[kCellsPerMove];
  for (int64_t start = begin; start < end; start += kCellsPerMove) {
    const int64_t moved = start + kCellsPerMove < end ? kCellsPerMove : end - start;
    CellCursor<T, W> cursor(lanes, start);
    for (int64_t i = 0; i < moved; ++i) entries[i] = cursor.next();
    for (int lane = 0; lane < W; lane += L) {
      T* to = samples + lane * cells + start;
      int64_t c = 0;
      for (; c + L <= moved && lane + L <= count; c += L) {
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) v[i] = load(entries[c + i] + lane);
        transpose<T>(v);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store_unaligned(to + i * cells + c, v[i]);
      }
      for (; c < moved; ++c)
        for (int l = 0; l < L && lane + l < count; ++l) to[l * cells + c] = entries[c][lane + l];
    }
  }
}

}  // namespace zoo::ZOO_ISA

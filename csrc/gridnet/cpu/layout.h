// Moving between torch's layouts and the kernels' own: samples [B, cells] <-> lanes [tile][cell][W], and weights
// [27, cells] <-> packed [cell][27]. Everything goes through L x L transposes in registers.
#pragma once
#include "core/simd.h"
#include "core/thread_pool.h"
#include "core/transpose.h"
#include "gridnet/problem.h"

namespace zoo::ZOO_ISA {

using gridnet::kNeighbours;
using gridnet::Shape;

// One tile: W samples in lanes. Rows along x are stored with `pad` entries before and after (0 or 1). Of a grid that is
// written and read in passes close behind one another, only the last `held` rows are in memory, row r in slot r % held.
template <class T, int W>
struct LaneGrid {
  T* data;
  Shape shape;
  int pad;
  int64_t held = 0;  // 0: all of them

  ZOO_INLINE int64_t row_entries() const { return shape.k + 2 * pad; }
  ZOO_INLINE int64_t size() const { return (held ? held : shape.rows()) * row_entries() * W; }
  ZOO_INLINE int64_t slot(int64_t r) const { return held ? r % held : r; }
  ZOO_INLINE T* in_slot(int64_t s) const { return data + (s * row_entries() + pad) * W; }
  // First cell of row r = z * n + y; entry of the flat cell index c, which counts no padding.
  ZOO_INLINE T* row(int64_t r) const { return in_slot(slot(r)); }
  ZOO_INLINE T* cell(int64_t c) const { return row(c / shape.k) + c % shape.k * W; }

  ZOO_INLINE void clear_padding(int64_t r) const {
    for (int i = 0; i < pad * W; ++i) {
      row(r)[i - pad * W] = 0;
      row(r)[shape.k * W + i] = 0;
    }
  }
};

// Addresses of consecutive cells of a tile, without a division for each.
template <class T, int W>
struct CellCursor {
  T* entry;
  int64_t column;
  const LaneGrid<T, W>& grid;

  ZOO_INLINE CellCursor(const LaneGrid<T, W>& of, int64_t c) : entry(of.cell(c)), column(c % of.shape.k), grid(of) {}
  ZOO_INLINE T* next() {
    T* now = entry;
    entry += W;
    if (++column == grid.shape.k) {
      column = 0;
      entry += 2 * grid.pad * W;
    }
    return now;
  }
};

// Cells that are moved between layouts at a time. Torch's side of it is many streams (samples, or the neighbours'
// weights) that often lie a power of two apart, where they share few places of the caches: a run of each is copied
// close together before it is transposed.
constexpr int64_t kCellsPerMove = 256;
template <class T>
constexpr int64_t kRun = kCellsPerMove + 64 / static_cast<int64_t>(sizeof(T));

template <class T>
ZOO_INLINE void prefetch_run(const T* p, int64_t n) {
  for (int64_t i = 0; i < n; i += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(p + i);
}

// Samples [count, cells] -> lanes for the cells [begin, end); lanes past `count` become 0.
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

// Lanes -> samples [count, cells] for the cells [begin, end).
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

// A run of cells of each of the 27 taps.
template <class T>
struct TapRuns {
  alignas(64) T tap[kNeighbours][kRun<T>];

  // First tap of the group of L that holds taps [i, i + L): the last group overlaps the one before.
  static ZOO_INLINE int group(int i) { return i + kLanes<T> <= kNeighbours ? i : kNeighbours - kLanes<T>; }

  // The first n cells -> packed [n][27].
  void pack(int64_t n, T* packed) const {
    constexpr int L = kLanes<T>;
    int64_t c = 0;
    for (; c + L <= n; c += L)
      for (int i = 0; i < kNeighbours; i += L) {
        const int first = group(i);
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int l = 0; l < L; ++l) v[l] = load(tap[first + l] + c);
        transpose<T>(v);
#pragma GCC unroll 16
        for (int l = 0; l < L; ++l) store_unaligned(packed + (c + l) * kNeighbours + first, v[l]);
      }
    for (; c < n; ++c)
      for (int i = 0; i < kNeighbours; ++i) packed[c * kNeighbours + i] = tap[i][c];
  }

  void unpack(int64_t n, const T* packed) {
    constexpr int L = kLanes<T>;
    int64_t c = 0;
    for (; c + L <= n; c += L)
      for (int i = 0; i < kNeighbours; i += L) {
        const int first = group(i);
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int l = 0; l < L; ++l) v[l] = load_unaligned(packed + (c + l) * kNeighbours + first);
        transpose<T>(v);
#pragma GCC unroll 16
        for (int l = 0; l < L; ++l) store(tap[first + l] + c, v[l]);
      }
    for (; c < n; ++c)
      for (int i = 0; i < kNeighbours; ++i) tap[i][c] = packed[c * kNeighbours + i];
  }
};

// Calls f(first, n) for runs of at most kCellsPerMove that cover the cells [begin, end).
template <class F>
ZOO_INLINE void for_runs(int64_t begin, int64_t end, F f) {
  for (int64_t c = begin; c < end; c += kCellsPerMove) f(c, end - c < kCellsPerMove ? end - c : kCellsPerMove);
}

// weight [27, stride...] of one channel -> packed [cell][27] for the cells [begin, end).
template <class T>
void pack_weight(const T* weight, int64_t tap_stride, int64_t begin, int64_t end, T* packed) {
  TapRuns<T> runs;
  for_runs(begin, end, [&](int64_t first, int64_t n) {
    for (int i = 0; i < kNeighbours; ++i) {
      if (i + 1 < kNeighbours) prefetch_run(weight + (i + 1) * tap_stride + first, n);
      std::memcpy(runs.tap[i], weight + i * tap_stride + first, n * sizeof(T));
    }
    runs.pack(n, packed + first * kNeighbours);
  });
}

// As pack_weight, but cell c gets, for each neighbour, the weight with which that neighbour reads c: 0 outside the
// grid.
template <class T>
void pack_weight_transposed(const T* weight, int64_t tap_stride, Shape shape, int64_t begin, int64_t end, T* packed) {
  const int64_t cells = shape.cells();
  TapRuns<T> runs;
  for_runs(begin, end, [&](int64_t first, int64_t n) {
    for (int i = 0; i < kNeighbours; ++i) {
      const T* tap = weight + (kNeighbours - 1 - i) * tap_stride;
      const int64_t from = first + shape.index(i / 9 - 1, i / 3 % 3 - 1, i % 3 - 1);
      const int64_t before = from < 0 ? (-from < n ? -from : n) : 0;
      const int64_t behind = from + n > cells ? (from + n - cells < n ? from + n - cells : n) : 0;
      if (i + 1 < kNeighbours) prefetch_run(tap - tap_stride + from + before, n - before);
      std::memset(runs.tap[i], 0, n * sizeof(T));
      if (before + behind < n)
        std::memcpy(runs.tap[i] + before, tap + from + before, (n - before - behind) * sizeof(T));
    }
    runs.pack(n, packed + first * kNeighbours);
  });
}

// A LayerNorm's weight and bias folded into a step's weights, for the rows [first, last): packed[c][i] = weight[i][c] *
// norm_weight[neighbour i of c], 0 outside the grid, with the sums that FoldedSums (cpu_update.h) needs.
template <class T>
void pack_folded(const T* weight, int64_t tap_stride, const T* bias, const T* norm_weight, const T* norm_bias,
                 Shape shape, int64_t first, int64_t last, T* packed, T* weight_sum, T* bias_sum) {
  const int64_t k = shape.k;
  TapRuns<T> runs;
  for_runs(first * k, last * k, [&](int64_t start, int64_t n) {
    std::memset(weight_sum + start, 0, n * sizeof(T));
    if (bias) std::memcpy(bias_sum + start, bias + start, n * sizeof(T));
    else std::memset(bias_sum + start, 0, n * sizeof(T));
    for (int i = 0; i < kNeighbours; ++i) {
      const T* w = weight + i * tap_stride;
      if (i + 1 < kNeighbours) prefetch_run(w + tap_stride + start, n);
      std::memset(runs.tap[i], 0, n * sizeof(T));
      for (int64_t c = start; c < start + n;) {  // the part of a row
        const int64_t r = c / k, left = (r + 1) * k - c, count = start + n - c < left ? start + n - c : left;
        const int64_t z = r / shape.n + i / 9 - 1, y = r % shape.n + i / 3 % 3 - 1, dx = i % 3 - 1;
        if (z >= 0 && z < shape.m && y >= 0 && y < shape.n) {
          const int64_t from = dx < 0 && c == r * k ? c + 1 : c,
                        to = dx > 0 && count == left ? c + count - 1 : c + count;
          const T *norms = norm_weight + shape.index(z, y, dx) - r * k,
                  *biases = norm_bias + shape.index(z, y, dx) - r * k;
          T* out = runs.tap[i] - start;
          for (int64_t at = from; at < to; ++at) {
            out[at] = w[at] * norms[at];
            weight_sum[at] += out[at];
            bias_sum[at] += w[at] * biases[at];
          }
        }
        c += count;
      }
    }
    runs.pack(n, packed + start * kNeighbours);
  });
}

// packed [cell][27] -> weight [27, stride...] for the cells [begin, end).
template <class T>
void unpack_weight(const T* packed, int64_t tap_stride, int64_t begin, int64_t end, T* weight) {
  TapRuns<T> runs;
  for_runs(begin, end, [&](int64_t first, int64_t n) {
    runs.unpack(n, packed + first * kNeighbours);
    for (int i = 0; i < kNeighbours; ++i) std::memcpy(weight + i * tap_stride + first, runs.tap[i], n * sizeof(T));
  });
}

}  // namespace zoo::ZOO_ISA

// Weights as the kernels read them: torch's [27, cells] packed into [cell][27] through transposes in registers.
#pragma once
#include "gridnet/cpu/sample_lanes/lane_grid.h"

namespace zoo::ZOO_ISA {

// A run of cells for each of the 27 taps.
template <class T>
struct TapRuns {
  alignas(64) T tap[kNeighbours][kRun<T>];

  // The first tap of the group of L taps that starts at tap i. The last group overlaps the one before it.
  static ZOO_INLINE int group(int i) { return i + kLanes<T> <= kNeighbours ? i : kNeighbours - kLanes<T>; }

  // Writes the first n cells as packed [n][27].
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

  // Reads the first n cells from packed [n][27].
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

// Weights of one channel as torch stores them: tap i of cell c at data[i * tap_stride + c].
template <class T>
struct TorchTaps {
  T* data;
  int64_t tap_stride;

  ZOO_INLINE T* tap(int i) const { return data + i * tap_stride; }
};

// Packs torch's taps into [cell][27] for the cells [begin, end).
template <class T>
void pack_weight(const TorchTaps<const T>& weight, int64_t begin, int64_t end, T* packed) {
  TapRuns<T> runs;
  for_runs(begin, end, [&](int64_t first, int64_t n) {
    for (int i = 0; i < kNeighbours; ++i) {
      if (i + 1 < kNeighbours) prefetch_run(weight.tap(i + 1) + first, n);
      std::memcpy(runs.tap[i], weight.tap(i) + first, n * sizeof(T));
    }
    runs.pack(n, packed + first * kNeighbours);
  });
}

// Like pack_weight, but cell c gets, for each neighbour, the weight with which that neighbour reads c; 0 outside the
// grid.
template <class T>
void pack_weight_transposed(const TorchTaps<const T>& weight, Shape shape, int64_t begin, int64_t end, T* packed) {
  const int64_t cells = shape.cells();
  TapRuns<T> runs;
  for_runs(begin, end, [&](int64_t first, int64_t n) {
    for (int i = 0; i < kNeighbours; ++i) {
      const T* tap = weight.tap(kNeighbours - 1 - i);
      const int64_t from = first + shape.index(i / 9 - 1, i / 3 % 3 - 1, i % 3 - 1);
      const int64_t before = from < 0 ? (-from < n ? -from : n) : 0;
      const int64_t after = from + n > cells ? (from + n - cells < n ? from + n - cells : n) : 0;
      if (i + 1 < kNeighbours) prefetch_run(tap - weight.tap_stride + from + before, n - before);
      std::memset(runs.tap[i], 0, n * sizeof(T));
      if (before + after < n) std::memcpy(runs.tap[i] + before, tap + from + before, (n - before - after) * sizeof(T));
    }
    runs.pack(n, packed + first * kNeighbours);
  });
}

// A LayerNorm's weight and bias folded into the weights of one channel. See FoldedSums (row_view.h) for the sums.
template <class T>
struct Folding {
  TorchTaps<const T> weight;
  const T* bias;  // [cells], or null for 0
  const T* norm_weight;
  const T* norm_bias;
  T* packed;      // [cell][27]: weight[i][c] * norm_weight[neighbour i of c], 0 outside the grid
  T* weight_sum;  // [cells]
  T* bias_sum;    // [cells]
};

// Adds tap i's part of the cells [start, start + n) to the sums, and leaves the folded weights in `folded` [n].
template <class T>
void fold_tap(const Folding<T>& to, Shape shape, int i, int64_t start, int64_t n, T* folded) {
  const int64_t k = shape.k;
  const T* w = to.weight.tap(i);
  std::memset(folded, 0, n * sizeof(T));
  for (int64_t c = start; c < start + n;) {  // one part of a row at a time
    const int64_t r = c / k, left = (r + 1) * k - c, count = start + n - c < left ? start + n - c : left;
    const int64_t z = r / shape.n + i / 9 - 1, y = r % shape.n + i / 3 % 3 - 1, dx = i % 3 - 1;
    if (z >= 0 && z < shape.m && y >= 0 && y < shape.n) {
      const int64_t first = dx < 0 && c == r * k ? c + 1 : c, end = dx > 0 && count == left ? c + count - 1 : c + count;
      const T *norms = to.norm_weight + shape.index(z, y, dx) - r * k,
              *biases = to.norm_bias + shape.index(z, y, dx) - r * k;
      T* out = folded - start;
      for (int64_t at = first; at < end; ++at) {
        out[at] = w[at] * norms[at];
        to.weight_sum[at] += out[at];
        to.bias_sum[at] += w[at] * biases[at];
      }
    }
    c += count;
  }
}

// Folds the rows [first, last).
template <class T>
void pack_folded(const Folding<T>& to, Shape shape, int64_t first, int64_t last) {
  TapRuns<T> runs;
  for_runs(first * shape.k, last * shape.k, [&](int64_t start, int64_t n) {
    std::memset(to.weight_sum + start, 0, n * sizeof(T));
    if (to.bias) std::memcpy(to.bias_sum + start, to.bias + start, n * sizeof(T));
    else std::memset(to.bias_sum + start, 0, n * sizeof(T));
    for (int i = 0; i < kNeighbours; ++i) {
      if (i + 1 < kNeighbours) prefetch_run(to.weight.tap(i + 1) + start, n);
      fold_tap(to, shape, i, start, n, runs.tap[i]);
    }
    runs.pack(n, to.packed + start * kNeighbours);
  });
}

// Unpacks [cell][27] into torch's taps for the cells [begin, end).
template <class T>
void unpack_weight(const T* packed, int64_t begin, int64_t end, const TorchTaps<T>& weight) {
  TapRuns<T> runs;
  for_runs(begin, end, [&](int64_t first, int64_t n) {
    runs.unpack(n, packed + first * kNeighbours);
    for (int i = 0; i < kNeighbours; ++i) std::memcpy(weight.tap(i) + first, runs.tap[i], n * sizeof(T));
  });
}

// total[c] = sum_i weight[i][c] over all 27 taps, for the cells [begin, end).
template <class T>
void add_up_taps(const TorchTaps<const T>& weight, int64_t begin, int64_t end, T* total) {
  std::memcpy(total + begin, weight.data + begin, (end - begin) * sizeof(T));
  for (int i = 1; i < kNeighbours; ++i)
    for (int64_t c = begin; c < end; ++c) total[c] += weight.tap(i)[c];
}

}  // namespace zoo::ZOO_ISA

// LayerNorm over the whole grid with samples in lanes: every lane has statistics of its own. Rows are added one at a
// time while they are in the cache; each team member has partial results, which every member combines in the same
// order. Grids are stored as the steps write them and normalised when they are read.
#pragma once
#include "core/simd.h"
#include "core/thread_pool.h"

namespace zoo::ZOO_ISA {

// Count, mean and sum of squared deviations per lane, merged as in Chan et al. (1979), without cancellation.
template <class T, int NV>
struct Moments {
  static constexpr int L = kLanes<T>, W = NV * L;
  alignas(64) T mean[W];
  alignas(64) T squares[W];
  T count;

  void clear() {
    count = 0;
    for (int i = 0; i < W; ++i) mean[i] = squares[i] = 0;
  }

  void merge(T other_count, int lane, Vec<T> other_mean, Vec<T> other_squares) {
    const T total = count + other_count;
    const Vec<T> delta = other_mean - load(mean + lane);
    store(mean + lane, load(mean + lane) + delta * (other_count / total));
    store(squares + lane, load(squares + lane) + other_squares + delta * delta * (count * other_count / total));
  }

  // A row's sums for one vector of lanes. Deviations are taken from a pivot near the row's mean, which needs one pass
  // and avoids cancellation.
  struct Row {
    Vec<T> pivot, sum{}, squares{};
    ZOO_INLINE void add(Vec<T> x) {
      const Vec<T> d = x - pivot;
      sum += d;
      squares += d * d;
    }
  };
  ZOO_INLINE void add(int lane, const Row& row, int64_t n) {
    const Vec<T> offset = row.sum * (T(1) / static_cast<T>(n));
    merge(static_cast<T>(n), lane, row.pivot + offset, row.squares - row.sum * offset);
  }

  // Adds n entries, `stride` apart. The mean so far is a good pivot for the next row; the first row computes its own.
  void add_row(const T* row, int64_t n, int64_t stride = W) {
    for (int lane = 0; lane < W; lane += L) {
      Row sums{load(mean + lane)};
      if (count == 0) {
        for (int64_t k = 0; k < n; ++k) sums.pivot += load(row + k * stride + lane);
        sums.pivot *= T(1) / static_cast<T>(n);
      }
      for (int64_t k = 0; k < n; ++k) sums.add(load(row + k * stride + lane));
      add(lane, sums, n);
    }
    count += static_cast<T>(n);
  }

  void add(const Moments& other) {
    if (other.count == 0) return;
    for (int lane = 0; lane < W; lane += L)
      merge(other.count, lane, load(other.mean + lane), load(other.squares + lane));
    count += other.count;
  }
};

// Standardises each lane: z = x * inverse + shift, where inverse = 1 / sqrt(variance + eps), shift = -mean * inverse.
template <class T, int NV>
struct NormStats {
  static constexpr int W = NV * kLanes<T>, kSize = 2 * W;
  T* inverse;
  T* shift;

  explicit NormStats(T* data) : inverse(data), shift(data + W) {}

  // Computes them from `count` partial results.
  void set(const Moments<T, NV>* partials, int count, double eps) const {
    Moments<T, NV> all;
    all.clear();
    for (int i = 0; i < count; ++i) all.add(partials[i]);
    for (int lane = 0; lane < W; lane += kLanes<T>) {
      const Vec<T> variance = load(all.squares + lane) / splat(all.count);
      const Vec<T> scale = splat(T(1)) / sqrt_of(variance + static_cast<T>(eps));
      store(inverse + lane, scale);
      store(shift + lane, -load(all.mean + lane) * scale);
    }
  }

  ZOO_INLINE Vec<T> standardised(const T* x, int lane) const {
    return load(x + lane) * load(inverse + lane) + load(shift + lane);
  }
};

// A LayerNorm applied while a grid is read: statistics per lane, weight and bias per cell.
template <class T, int NV>
struct Norm {
  NormStats<T, NV> stats;
  const T* weight;  // [cells]
  const T* bias;

  ZOO_INLINE Vec<T> apply(const T* x, int lane, int64_t cell) const {
    return stats.standardised(x, lane) * weight[cell] + bias[cell];
  }
};

// out = norm(x) for the n cells from `cell` on.
template <class T, int NV>
void norm_row(const Norm<T, NV>& norm, const T* x, int64_t cell, int64_t n, T* out) {
  constexpr int W = NV * kLanes<T>;
  for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
    for (int i = 0; i < W; i += kLanes<T>) store(out + k * W + i, norm.apply(x + k * W, i, cell + k));
}

// The sums that LayerNorm's backward pass needs, per lane: over the cells, of grad * weight, and of grad * weight *
// standardised x.
template <class T, int NV>
struct NormSums {
  static constexpr int W = NV * kLanes<T>;
  alignas(64) T plain[W];
  alignas(64) T weighted[W];

  void clear() {
    for (int i = 0; i < W; ++i) plain[i] = weighted[i] = 0;
  }
  void add(const NormSums& other) {
    for (int i = 0; i < W; ++i) {
      plain[i] += other.plain[i];
      weighted[i] += other.weighted[i];
    }
  }
};

// Gradients of a LayerNorm's parameters, [cells].
template <class T>
struct NormGrads {
  T* weight;
  T* bias;
};

// n cells of a row from `cell` on: their values x and the gradient of norm(x).
template <class T>
struct NormRow {
  const T* x;
  T* grad;
  int64_t cell, n;
};

// First half of a row's backward pass: adds to `sums` and to the gradients of the norm's weight and bias.
template <class T, int NV>
void add_norm_row_sums(const Norm<T, NV>& norm, const NormRow<T>& row, NormSums<T, NV>& sums, const NormGrads<T>& to) {
  constexpr int L = kLanes<T>, W = NV * L;
  Vec<T> weight_sums[L], bias_sums[L], plain[NV], weighted[NV];
  for (int v = 0; v < NV; ++v) {
    plain[v] = load(sums.plain + v * L);
    weighted[v] = load(sums.weighted + v * L);
  }
  for (int64_t first = 0; first < row.n; first += L) {
    const int64_t count = row.n - first < L ? row.n - first : L;
    for (int64_t c = 0; c < count; ++c) {
      const int64_t k = first + c;
      const Vec<T> weight = splat(norm.weight[row.cell + k]);
      Vec<T> weight_sum{}, bias_sum{};
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const int64_t at = k * W + v * L;
        const Vec<T> g = load(row.grad + at), gz = g * norm.stats.standardised(row.x + k * W, v * L);
        weight_sum += gz;
        bias_sum += g;
        plain[v] += g * weight;
        weighted[v] += gz * weight;
      }
      weight_sums[c] = weight_sum;
      bias_sums[c] = bias_sum;
    }
    add_sums<T>(weight_sums, count, to.weight + row.cell + first);
    add_sums<T>(bias_sums, count, to.bias + row.cell + first);
  }
  for (int v = 0; v < NV; ++v) {
    store(sums.plain + v * L, plain[v]);
    store(sums.weighted + v * L, weighted[v]);
  }
}

// Second half: grad becomes the gradient of x, inverse * (grad * weight - mean(grad * weight) - z * mean(grad * weight
// * z)) over `cells` cells, plus `added` unless that is null.
template <class T, int NV>
void norm_row_backward(const Norm<T, NV>& norm, const NormSums<T, NV>& sums, int64_t cells, const NormRow<T>& row,
                       const T* added) {
  constexpr int W = NV * kLanes<T>;
  const T inverse_cells = T(1) / static_cast<T>(cells);
  for (int64_t k = 0; k < row.n; ++k)
#pragma GCC unroll 4
    for (int i = 0; i < W; i += kLanes<T>) {
      const int64_t at = k * W + i;
      const Vec<T> z = norm.stats.standardised(row.x + k * W, i);
      const Vec<T> means = (load(sums.plain + i) + z * load(sums.weighted + i)) * inverse_cells;
      const Vec<T> result = (load(row.grad + at) * norm.weight[row.cell + k] - means) * load(norm.stats.inverse + i);
      store(row.grad + at, added ? result + load(added + at) : result);
    }
}

}  // namespace zoo::ZOO_ISA

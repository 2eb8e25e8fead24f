// LayerNorm over the whole grid, in lane layout: each lane is a sample with statistics of its own. Rows are folded in
// one at a time while they are hot, every team member keeps partial results, and all members combine them in order.
// Grids are stored as the steps leave them, and normalised when they are read.
#pragma once
#include "core/simd.h"
#include "core/thread_pool.h"

namespace zoo::ZOO_ISA {

// Count, mean and sum of squared deviations per lane (merged after Chan et al.: no cancellation).
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

  // What a row adds to one vector of lanes. Deviations are taken from a pivot near the row's mean: one pass, and no
  // cancellation.
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

  // n entries, `stride` apart. The mean so far is a good pivot for the next row; the first row brings its own.
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

// What standardises each lane: z = x * inverse + shift, with inverse = 1 / sqrt(variance + eps), shift = -mean *
// inverse.
template <class T, int NV>
struct NormStats {
  static constexpr int W = NV * kLanes<T>, kSize = 2 * W;
  T* inverse;
  T* shift;

  explicit NormStats(T* data) : inverse(data), shift(data + W) {}

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

// A LayerNorm that is applied while a grid is read: statistics per lane, weight and bias per cell.
template <class T, int NV>
struct Norm {
  NormStats<T, NV> stats;
  const T* weight;  // [cells]
  const T* bias;

  ZOO_INLINE Vec<T> apply(const T* x, int lane, int64_t cell) const {
    return stats.standardised(x, lane) * weight[cell] + bias[cell];
  }
  ZOO_INLINE Norm from(int64_t cell) const { return {stats, weight + cell, bias + cell}; }
};

// out = norm(x) for n cells from `cell`.
template <class T, int NV>
void norm_row(const Norm<T, NV>& norm, const T* x, int64_t cell, int64_t n, T* out) {
  constexpr int W = NV * kLanes<T>;
  for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
    for (int i = 0; i < W; i += kLanes<T>) store(out + k * W + i, norm.apply(x + k * W, i, cell + k));
}

// Sums over the cells of grad * weight and grad * weight * standardised x, per lane: what LayerNorm's backward needs.
template <class T, int NV>
struct NormSums {
  static constexpr int W = NV * kLanes<T>;
  alignas(64) T plain[W];
  alignas(64) T weighed[W];

  void clear() {
    for (int i = 0; i < W; ++i) plain[i] = weighed[i] = 0;
  }
  void add(const NormSums& other) {
    for (int i = 0; i < W; ++i) {
      plain[i] += other.plain[i];
      weighed[i] += other.weighed[i];
    }
  }
};

// First half of the backward pass of a row x: folds it into `sums` and adds to the gradients of the norm's weight and
// bias. grad is the gradient of norm(x).
template <class T, int NV>
void norm_row_sums(const Norm<T, NV>& norm, const T* grad, const T* x, int64_t cell, int64_t n, NormSums<T, NV>& sums,
                   T* grad_weight, T* grad_bias) {
  constexpr int L = kLanes<T>, W = NV * L;
  Vec<T> weight_sums[L], bias_sums[L], plain[NV], weighed[NV];
  for (int v = 0; v < NV; ++v) {
    plain[v] = load(sums.plain + v * L);
    weighed[v] = load(sums.weighed + v * L);
  }
  for (int64_t first = 0; first < n; first += L) {
    const int64_t count = n - first < L ? n - first : L;
    for (int64_t c = 0; c < count; ++c) {
      const int64_t k = first + c;
      const Vec<T> weight = splat(norm.weight[cell + k]);
      Vec<T> weight_sum{}, bias_sum{};
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const int64_t at = k * W + v * L;
        const Vec<T> g = load(grad + at), gz = g * norm.stats.standardised(x + k * W, v * L);
        weight_sum += gz;
        bias_sum += g;
        plain[v] += g * weight;
        weighed[v] += gz * weight;
      }
      weight_sums[c] = weight_sum;
      bias_sums[c] = bias_sum;
    }
    add_sums<T>(weight_sums, count, grad_weight + cell + first);
    add_sums<T>(bias_sums, count, grad_bias + cell + first);
  }
  for (int v = 0; v < NV; ++v) {
    store(sums.plain + v * L, plain[v]);
    store(sums.weighed + v * L, weighed[v]);
  }
}

// Second half: grad becomes the gradient of x, inverse * (grad * weight - mean(...) - z * mean(...)), plus `add` when
// given.
template <class T, int NV>
void norm_row_backward(const Norm<T, NV>& norm, const NormSums<T, NV>& sums, int64_t cells, const T* x, int64_t cell,
                       const T* add, int64_t n, T* grad) {
  constexpr int W = NV * kLanes<T>;
  const T each = T(1) / static_cast<T>(cells);
  for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
    for (int i = 0; i < W; i += kLanes<T>) {
      const int64_t at = k * W + i;
      const Vec<T> z = norm.stats.standardised(x + k * W, i);
      const Vec<T> means = (load(sums.plain + i) + z * load(sums.weighed + i)) * each;
      const Vec<T> result = (load(grad + at) * norm.weight[cell + k] - means) * load(norm.stats.inverse + i);
      store(grad + at, add ? result + load(add + at) : result);
    }
}

}  // namespace zoo::ZOO_ISA

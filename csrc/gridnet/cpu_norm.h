// LayerNorm over the whole grid, in lane layout: each lane is a sample with statistics of its own. Rows are folded in
// one at a time while they are hot, every team member keeps partial results, and all members combine them in order.
#pragma once
#include "../parallel.h"
#include "../simd.h"

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

  void add_row(const T* row, int64_t n) {
    const T each = T(1) / static_cast<T>(n);
    for (int lane = 0; lane < W; lane += L) {
      Vec<T> sum{}, deviations{};
      for (int64_t k = 0; k < n; ++k) sum += load(row + k * W + lane);
      const Vec<T> row_mean = sum * each;
      for (int64_t k = 0; k < n; ++k) {
        const Vec<T> d = load(row + k * W + lane) - row_mean;
        deviations += d * d;
      }
      merge(static_cast<T>(n), lane, row_mean, deviations);
    }
    count += static_cast<T>(n);
  }

  void add(const Moments& other) {
    if (other.count == 0) return;
    for (int lane = 0; lane < W; lane += L) merge(other.count, lane, load(other.mean + lane), load(other.squares + lane));
    count += other.count;
  }
};

// mean and 1 / sqrt(variance + eps) of each lane.
template <class T, int NV>
struct NormStats {
  static constexpr int W = NV * kLanes<T>;
  T* mean;
  T* inverse;

  explicit NormStats(T* data) : mean(data), inverse(data + W) {}

  void set(const Moments<T, NV>* partials, int count, double eps) const {
    Moments<T, NV> all;
    all.clear();
    for (int i = 0; i < count; ++i) all.add(partials[i]);
    for (int lane = 0; lane < W; lane += kLanes<T>) {
      store(mean + lane, load(all.mean + lane));
      const Vec<T> variance = load(all.squares + lane) / splat(all.count);
      store(inverse + lane, splat(T(1)) / sqrt_of(variance + static_cast<T>(eps)));
    }
  }

  Vec<T> standardised(const T* x, int lane) const { return (load(x + lane) - load(mean + lane)) * load(inverse + lane); }
};

// out = standardised x * weight + bias for n cells.
template <class T, int NV>
void norm_row(const NormStats<T, NV>& stats, const T* x, const T* weight, const T* bias, int64_t n, T* out) {
  constexpr int W = NV * kLanes<T>;
  for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
    for (int i = 0; i < W; i += kLanes<T>)
      store(out + k * W + i, stats.standardised(x + k * W, i) * weight[k] + bias[k]);
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

// First half of the backward pass of a row: folds it into `sums` and adds to the gradients of weight and bias, [n].
// z are the standardised values.
template <class T, int NV>
void norm_row_sums(const T* grad, const T* z, const T* weight, int64_t n, NormSums<T, NV>& sums, T* grad_weight, T* grad_bias) {
  constexpr int W = NV * kLanes<T>;
  for (int64_t k = 0; k < n; ++k) {
    Vec<T> weight_sum{}, bias_sum{};
#pragma GCC unroll 4
    for (int i = 0; i < W; i += kLanes<T>) {
      const Vec<T> g = load(grad + k * W + i), gz = g * load(z + k * W + i);
      weight_sum += gz;
      bias_sum += g;
      store(sums.plain + i, load(sums.plain + i) + g * weight[k]);
      store(sums.weighed + i, load(sums.weighed + i) + gz * weight[k]);
    }
    grad_weight[k] += sum_lanes<T>(weight_sum);
    grad_bias[k] += sum_lanes<T>(bias_sum);
  }
}

// Second half: the gradient of the row's inputs, out = inverse * (grad * weight - mean(...) - z * mean(...)), plus `add`
// when given.
template <class T, int NV>
void norm_row_backward(const NormStats<T, NV>& stats, const NormSums<T, NV>& sums, int64_t cells, const T* grad, const T* z,
                       const T* weight, const T* add, int64_t n, T* out) {
  constexpr int W = NV * kLanes<T>;
  const T each = T(1) / static_cast<T>(cells);
  for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
    for (int i = 0; i < W; i += kLanes<T>) {
      const int64_t at = k * W + i;
      const Vec<T> centred = load(grad + at) * weight[k] - (load(sums.plain + i) + load(z + at) * load(sums.weighed + i)) * each;
      const Vec<T> result = centred * load(stats.inverse + i);
      store(out + at, add ? result + load(add + at) : result);
    }
}

}  // namespace zoo::ZOO_ISA

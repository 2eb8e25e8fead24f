// How a step reads a row of cells and its sums over neighbours: as stored, through a LayerNorm, standardised by block.
#pragma once
#include "gridnet/cpu/sample_lanes/norm.h"

namespace zoo::ZOO_ISA {

// Turns a row of sums over a grid that is not normalised into sums over its LayerNorm. With the norm's weight folded
// into the weights, w'_i = w_i * (the norm's weight at i), sum_i w_i norm(x_i) = inverse * sum_i w'_i x_i + shift *
// weight + bias.
template <class T>
struct FoldedSums {
  const T* weight;  // [n], sum_i w'_i
  const T* bias;    // [n], the cell's bias + sum_i w_i * (the norm's bias at i)
};

// C consecutive cells are processed together, as packs of C * NV vectors.
template <int NV>
constexpr int kCellsAtOnce = ZOO_VECTOR_BYTES == 64 ? 4 / NV : 2 / NV;

// A pack for C cells: from [C][W] entries, from one W-lane entry for all cells, or from one number per cell.
template <class T, int NV, int C>
ZOO_INLINE Pack<T, C * NV> entries(const T* p) {
  Pack<T, C * NV> out;
  for (int i = 0; i < C * NV; ++i) out.v[i] = load(p + i * kLanes<T>);
  return out;
}
template <class T, int NV, int C>
ZOO_INLINE Pack<T, C * NV> lanes(const T* p) {
  Pack<T, C * NV> out;
  for (int i = 0; i < C * NV; ++i) out.v[i] = load(p + i % NV * kLanes<T>);
  return out;
}
template <class T, int NV, int C>
ZOO_INLINE Pack<T, C * NV> numbers(const T* p) {
  Pack<T, C * NV> out;
  for (int i = 0; i < C * NV; ++i) out.v[i] = splat(p[i / NV]);
  return out;
}
template <class T, int P>
ZOO_INLINE void store(T* p, Pack<T, P> x) {
  for (int i = 0; i < P; ++i) store(p + i * kLanes<T>, x.v[i]);
}

// Turns the sums over a row's part in one block into sums over the standardised box, (sum - mean * total) * spread +
// bias: the factor of each term, per lane. With a LayerNorm, `sum` is FoldedSums' and has three terms of its own.
template <class T, int NV>
struct BoxedSums {
  Vec<T> of_sum[NV], of_weight[NV], of_bias[NV], of_total[NV];
  const T* total;  // the cells' sums of weights, from the part's first cell on
  const T* bias;
};

// How a step reads a row, or a part of one. Without `norm` and `boxed` the sums are final.
template <class T, int NV>
struct RowView {
  static constexpr int W = NV * kLanes<T>;
  const Norm<T, NV>* norm;                  // null: the grid is read as it is
  int64_t cell;                             // the first cell
  FoldedSums<T> folded[2];                  // of value and gate, with `norm`
  const BoxedSums<T, NV>* boxed = nullptr;  // null: no standardised boxes

  // Cells k to k + C of the row x.
  template <bool Normed, int C>
  ZOO_INLINE Pack<T, C * NV> input(const T* x, int64_t k) const {
    const auto raw = entries<T, NV, C>(x + k * W);
    if constexpr (!Normed) return raw;
    const auto z = raw * lanes<T, NV, C>(norm->stats.inverse) + lanes<T, NV, C>(norm->stats.shift);
    return z * numbers<T, NV, C>(norm->weight + cell + k) + numbers<T, NV, C>(norm->bias + cell + k);
  }

  // Their final sums, given the sums over what is stored.
  template <bool Normed, bool Boxed, int C>
  ZOO_INLINE Pack<T, C * NV> sum(int channel, const T* sums, int64_t k) const {
    const auto raw = entries<T, NV, C>(sums + k * W);
    const FoldedSums<T>& f = folded[channel];
    if constexpr (Boxed) {
      const auto of_cells = [](const Vec<T>* v) ZOO_INLINE_LAMBDA {
        Pack<T, C * NV> out;
        for (int i = 0; i < C * NV; ++i) out.v[i] = v[i % NV];
        return out;
      };
      const auto sum =
          raw * of_cells(boxed->of_sum) +
          (of_cells(boxed->of_total) * numbers<T, NV, C>(boxed->total + k) + numbers<T, NV, C>(boxed->bias + k));
      if constexpr (!Normed) return sum;
      return sum + (of_cells(boxed->of_weight) * numbers<T, NV, C>(f.weight + k) +
                    of_cells(boxed->of_bias) * numbers<T, NV, C>(f.bias + k));
    }
    if constexpr (!Normed) return raw;
    return raw * lanes<T, NV, C>(norm->stats.inverse) +
           (lanes<T, NV, C>(norm->stats.shift) * numbers<T, NV, C>(f.weight + k) + numbers<T, NV, C>(f.bias + k));
  }
};

}  // namespace zoo::ZOO_ISA

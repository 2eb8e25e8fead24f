// The backward pass of the update of a row of cells (update.h).
#pragma once
#include "gridnet/cpu/common.h"
#include "gridnet/cpu/sample_lanes/row_view.h"

namespace zoo::ZOO_ISA {

// Sums over the NV vectors of each of C cells.
template <class T, int NV, int C>
ZOO_INLINE void sum_cells(Pack<T, C * NV> x, Vec<T>* out) {
  for (int c = 0; c < C; ++c) {
    out[c] = x.v[c * NV];
    for (int v = 1; v < NV; ++v) out[c] += x.v[c * NV + v];
  }
}

// Calls cells<C>(k, first, second) for all n cells of a row. It writes two vectors for each cell; the sums over their
// lanes are added to totals[0] and totals[1], [n] each.
template <class T, int NV, class Cells>
ZOO_INLINE void sum_row(int64_t n, T* const (&totals)[2], Cells cells) {
  constexpr int L = kLanes<T>, C = kCellsAtOnce<NV>;
  Vec<T> first[L], second[L];
  for (int64_t start = 0; start < n; start += L) {
    const int64_t count = n - start < L ? n - start : L;
    int64_t c = 0;
    for (; c + C <= count; c += C) cells.template operator()<C>(start + c, first + c, second + c);
    if constexpr (C > 1)
      for (; c < count; ++c) cells.template operator()<1>(start + c, first + c, second + c);
    add_sums<T>(first, count, totals[0] + start);
    add_sums<T>(second, count, totals[1] + start);
  }
}

// The gradient that arrives at a row of a step's output: the gradient of the output itself, or of its LayerNorm. In the
// second case the output is recomputed rather than loaded: `base` plus the step's change.
template <class T, int NV>
struct IncomingRow {
  static constexpr int W = NV * kLanes<T>;
  const Norm<T, NV>* norm = nullptr;  // null: the gradient of the output itself, as all below but `carried`
  const NormSums<T, NV>* sums = nullptr;
  T inverse_cells = 0;       // 1 / cells of the grid
  int64_t cell = 0;          // the row's first cell
  const T* base = nullptr;   // [n][W]
  const T* added = nullptr;  // [n][W], a gradient that bypasses the output's LayerNorm; or null
  T* carried = nullptr;      // [n][W], receives a copy of the gradient unless null; may be `added`

  // Returns the gradient of cells k to k + C and stores it in `grad`, which holds the gradient that arrived. `change`
  // is what the step added to `base`.
  template <int C>
  ZOO_INLINE Pack<T, C * NV> gradient(T* grad, Pack<T, C * NV> change, int64_t k) const {
    auto g = entries<T, NV, C>(grad + k * W);
    if (norm) {
      const auto inverse = lanes<T, NV, C>(norm->stats.inverse);
      const auto z = (entries<T, NV, C>(base + k * W) + change) * inverse + lanes<T, NV, C>(norm->stats.shift);
      const auto means = (lanes<T, NV, C>(sums->plain) + z * lanes<T, NV, C>(sums->weighted)) * inverse_cells;
      g = (g * numbers<T, NV, C>(norm->weight + cell + k) - means) * inverse;
      if (added) g = g + entries<T, NV, C>(added + k * W);
      store(grad + k * W, g);
    }
    if (carried) store(carried + k * W, g);
    return g;
  }
};

// A row of n cells whose gradient arrives in `grad`. `value` and `gate` hold the pre-activations (the final sums) and
// become their gradients.
template <class T, int NV>
struct RowUpdateBackward {
  IncomingRow<T, NV> incoming;
  int64_t n;
  const T* scale;        // [n]; plain steps only
  const T* x;            // [n][W]; gated steps only
  T* grad;               // [n][W]; becomes the gradient that reaches x directly
  T* value;              // [n][W]
  T* gate;               // [n][W]; gated steps only
  T* grad_scale;         // [n], added to, as both below; plain steps only
  T* grad_bias;          // [n]
  T* grad_bias_of_gate;  // [n]; gated steps only
};

template <class T, int NV>
void update_row_backward(Activation a, const RowUpdateBackward<T, NV>& row) {
  constexpr int W = NV * kLanes<T>;
  const IncomingRow<T, NV>& incoming = row.incoming;
  T *grad = row.grad, *pre = row.value;
  const T* scale = row.scale;
  with_activation(a, [&]<Activation A>() {
    sum_row<T, NV>(row.n, {row.grad_scale, row.grad_bias},
                   [&]<int C>(int64_t k, Vec<T>* scale_sums, Vec<T>* bias_sums) ZOO_INLINE_LAMBDA {
                     const auto act = activate_with_slope<A>(entries<T, NV, C>(pre + k * W));
                     const auto scales = numbers<T, NV, C>(scale + k);
                     const auto g = incoming.template gradient<C>(grad, scales * act.value, k),
                                g_pre = g * act.slope * scales;
                     store(pre + k * W, g_pre);
                     sum_cells<T, NV, C>(g * act.value, scale_sums);
                     sum_cells<T, NV, C>(g_pre, bias_sums);
                   });
  });
}

template <class T, int NV>
void update_gated_row_backward(Activation a, const RowUpdateBackward<T, NV>& row) {
  constexpr int W = NV * kLanes<T>;
  const IncomingRow<T, NV>& incoming = row.incoming;
  T *grad = row.grad, *value = row.value, *gate = row.gate;
  const T* x = row.x;
  with_activation(a, [&]<Activation A>() {
    sum_row<T, NV>(row.n, {row.grad_bias, row.grad_bias_of_gate},
                   [&]<int C>(int64_t k, Vec<T>* value_sums, Vec<T>* gate_sums) ZOO_INLINE_LAMBDA {
                     const auto act = activate_with_slope<A>(entries<T, NV, C>(value + k * W));
                     const auto s = sigmoid(entries<T, NV, C>(gate + k * W)), open = T(1) - s;
                     const auto towards = act.value - entries<T, NV, C>(x + k * W);
                     const auto g = incoming.template gradient<C>(grad, open * towards, k);
                     const auto through_value = g * open, g_value = through_value * act.slope,
                                g_gate = -(through_value * s * towards);
                     store(grad + k * W, g * s);
                     store(value + k * W, g_value);
                     store(gate + k * W, g_gate);
                     sum_cells<T, NV, C>(g_value, value_sums);
                     sum_cells<T, NV, C>(g_gate, gate_sums);
                   });
  });
}

}  // namespace zoo::ZOO_ISA

// What becomes of a cell once its neighbours are summed, forward and backward, one row of cells at a time.
#pragma once
#include "core/math.h"
#include "gridnet/cpu/norm.h"
#include "gridnet/problem.h"

namespace zoo::ZOO_ISA {

// Calls f.template operator()<A>() with the activation as a template argument.
template <class F>
ZOO_INLINE void with_activation(Activation a, F f) {
  switch (a) {
    case Activation::silu: return f.template operator()<Activation::silu>();
    case Activation::relu: return f.template operator()<Activation::relu>();
    case Activation::leaky_relu: return f.template operator()<Activation::leaky_relu>();
    case Activation::tanh: return f.template operator()<Activation::tanh>();
  }
}

// How a row of sums over a grid yet to be normalised becomes the sums over the normalised grid. With the norm's weight
// folded into the weights, sum_i w_i norm(x_i) = inverse * sum_i w'_i x_i + shift * weight_sum + bias_sum.
template <class T>
struct FoldedSums {
  const T* weight;  // [n], sum_i w'_i
  const T* bias;    // [n], the cell's bias + sum_i w_i * (the norm's bias at i)
};

// C consecutive cells are worked on together, as packs of C * NV vectors.
template <int NV>
constexpr int kCellsAtOnce = ZOO_VECTOR_BYTES == 64 ? 4 / NV : 2 / NV;

// Of C cells: their entries, the same lanes for each, or one number for each.
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
// Sums over the NV vectors of each of C cells.
template <class T, int NV, int C>
ZOO_INLINE void sum_cells(Pack<T, C * NV> x, Vec<T>* out) {
  for (int c = 0; c < C; ++c) {
    out[c] = x.v[c * NV];
    for (int v = 1; v < NV; ++v) out[c] += x.v[c * NV + v];
  }
}

// How the sums over a part of a row in one block become those over its standardised box, (sum - mean * total) * spread
// + bias: what of each lane goes with a sum, with what FoldedSums has of a cell, and with its total; total and bias are
// the part's.
template <class T, int NV>
struct BoxedSums {
  Vec<T> of_sum[NV], of_weight[NV], of_bias[NV], of_total[NV];
  const T* total;
  const T* bias;
};

// How a step reads a row, or a part of one: `norm` is null for a grid that is read as it is. The sums are then final,
// unless there is `boxed`.
template <class T, int NV>
struct RowView {
  static constexpr int W = NV * kLanes<T>;
  const Norm<T, NV>* norm;
  int64_t cell;             // the first cell
  FoldedSums<T> folded[2];  // value and gate
  const BoxedSums<T, NV>* boxed = nullptr;

  // Cells k to k + C of the row x, and of the sums over neighbours.
  template <bool Normed, int C>
  ZOO_INLINE Pack<T, C * NV> input(const T* x, int64_t k) const {
    const auto raw = entries<T, NV, C>(x + k * W);
    if constexpr (!Normed) return raw;
    const auto z = raw * lanes<T, NV, C>(norm->stats.inverse) + lanes<T, NV, C>(norm->stats.shift);
    return z * numbers<T, NV, C>(norm->weight + cell + k) + numbers<T, NV, C>(norm->bias + cell + k);
  }
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

// Writes a row of n cells, out[k] to out[k + C] = cells<C>(k), and folds it into `moments` unless that is null.
template <class T, int NV, class Cells>
ZOO_INLINE void write_row(int64_t n, T* out, Moments<T, NV>* moments, Cells cells) {
  constexpr int L = kLanes<T>, W = NV * L, C = kCellsAtOnce<NV>;
  typename Moments<T, NV>::Row sums[C * NV];
  const bool measured = moments && moments->count > 0;
  for (int i = 0; i < C * NV; ++i) sums[i].pivot = measured ? load(moments->mean + i % NV * L) : Vec<T>{};
  int64_t k = 0;
  for (; k + C <= n; k += C) {
    const Pack<T, C * NV> x = cells.template operator()<C>(k);
    store(out + k * W, x);
    for (int i = 0; i < C * NV; ++i) sums[i].add(x.v[i]);
  }
  if constexpr (C > 1)
    for (; k < n; ++k) {
      const Pack<T, NV> x = cells.template operator()<1>(k);
      store(out + k * W, x);
      for (int i = 0; i < NV; ++i) sums[i].add(x.v[i]);
    }
  if (!moments) return;
  if (!measured) return moments->add_row(out, n);
  for (int v = 0; v < NV; ++v) {
    for (int i = NV + v; i < C * NV; i += NV) {
      sums[v].sum += sums[i].sum;
      sums[v].squares += sums[i].squares;
    }
    moments->add(v * L, sums[v], n);
  }
  moments->count += static_cast<T>(n);
}

// Calls f.template operator()<A, Normed>() for the activation and the view.
template <class T, int NV, class F>
ZOO_INLINE void with_update(Activation a, const RowView<T, NV>& view, F f) {
  with_activation(a, [&]<Activation A>() {
    if (view.norm) f.template operator()<A, true>();
    else f.template operator()<A, false>();
  });
}

// out = z + scale * act(sum), z being the row x as the view shows it; n cells. x and out may be the same row.
template <class T, int NV>
void update_row(Activation a, const RowView<T, NV>& view, const T* sums, const T* scale, const T* x, int64_t n, T* out,
                Moments<T, NV>* moments) {
  with_update(a, view, [&]<Activation A, bool Normed>() {
    const auto write = [&]<bool Boxed>() ZOO_INLINE_LAMBDA {
      write_row<T, NV>(n, out, moments, [&]<int C>(int64_t k) ZOO_INLINE_LAMBDA {
        const auto act = activate<A>(view.template sum<Normed, Boxed, C>(0, sums, k));
        return view.template input<Normed, C>(x, k) + numbers<T, NV, C>(scale + k) * act;
      });
    };
    if (view.boxed) write.template operator()<true>();
    else write.template operator()<false>();
  });
}

// out = g * z + (1 - g) * act(value), g = sigmoid(gate).
template <class T, int NV>
void update_gated_row(Activation a, const RowView<T, NV>& view, const T* values, const T* gates, const T* x, int64_t n,
                      T* out, Moments<T, NV>* moments) {
  with_update(a, view, [&]<Activation A, bool Normed>() {
    write_row<T, NV>(n, out, moments, [&]<int C>(int64_t k) ZOO_INLINE_LAMBDA {
      const auto value = activate<A>(view.template sum<Normed, false, C>(0, values, k));
      const auto gate = sigmoid(view.template sum<Normed, false, C>(1, gates, k));
      return value + gate * (view.template input<Normed, C>(x, k) - value);
    });
  });
}

// Calls cells<C>(k, first, second) for all n cells of a row; it gives two vectors for each cell, of which the sums over
// their lanes are added to totals[0] and totals[1], [n] each.
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

// How the gradient of a row of a step's output comes in: as it is, or as that of the output's LayerNorm. The output is
// then computed once more rather than fetched: `base` plus what the step changed.
template <class T, int NV>
struct IncomingRow {
  static constexpr int W = NV * kLanes<T>;
  const Norm<T, NV>* norm = nullptr;  // null: as it is
  const NormSums<T, NV>* sums = nullptr;
  T each = 0;                // 1 / cells of the grid
  int64_t cell = 0;          // the row's first cell
  const T* base = nullptr;   // [n][W]
  const T* added = nullptr;  // [n][W], null: nothing; a gradient that reaches the output past its LayerNorm
  T* carried = nullptr;      // [n][W], null: not wanted; becomes the gradient, and may be `added`

  // The gradient at cells k to k + C, given what of it is there and the step's change; it is left in `grad`.
  template <int C>
  ZOO_INLINE Pack<T, C * NV> gradient(T* grad, Pack<T, C * NV> change, int64_t k) const {
    auto g = entries<T, NV, C>(grad + k * W);
    if (norm) {
      const auto inverse = lanes<T, NV, C>(norm->stats.inverse);
      const auto z = (entries<T, NV, C>(base + k * W) + change) * inverse + lanes<T, NV, C>(norm->stats.shift);
      const auto means = (lanes<T, NV, C>(sums->plain) + z * lanes<T, NV, C>(sums->weighed)) * each;
      g = (g * numbers<T, NV, C>(norm->weight + cell + k) - means) * inverse;
      if (added) g = g + entries<T, NV, C>(added + k * W);
      store(grad + k * W, g);
    }
    if (carried) store(carried + k * W, g);
    return g;
  }
};

// Backward of update_row on final sums: `pre` becomes the gradient of the sums; adds to the gradients of scale and
// bias, [n] each.
template <class T, int NV>
void update_row_backward(Activation a, const IncomingRow<T, NV>& incoming, T* grad, const T* scale, int64_t n, T* pre,
                         T* grad_scale, T* grad_bias) {
  constexpr int W = NV * kLanes<T>;
  with_activation(a, [&]<Activation A>() {
    sum_row<T, NV>(
        n, {grad_scale, grad_bias}, [&]<int C>(int64_t k, Vec<T>* scale_sums, Vec<T>* bias_sums) ZOO_INLINE_LAMBDA {
          const auto act = activate_with_slope<A>(entries<T, NV, C>(pre + k * W));
          const auto scales = numbers<T, NV, C>(scale + k);
          const auto g = incoming.template gradient<C>(grad, scales * act.value, k), g_pre = g * act.slope * scales;
          store(pre + k * W, g_pre);
          sum_cells<T, NV, C>(g * act.value, scale_sums);
          sum_cells<T, NV, C>(g_pre, bias_sums);
        });
  });
}

// Backward of update_gated_row: value and gate become their gradients, grad the gradient that reaches x past both.
template <class T, int NV>
void update_gated_row_backward(Activation a, const IncomingRow<T, NV>& incoming, T* grad, const T* x, int64_t n,
                               T* value, T* gate, T* grad_bias_value, T* grad_bias_gate) {
  constexpr int W = NV * kLanes<T>;
  with_activation(a, [&]<Activation A>() {
    sum_row<T, NV>(n, {grad_bias_value, grad_bias_gate},
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

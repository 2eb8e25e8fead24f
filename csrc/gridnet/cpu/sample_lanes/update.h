// The update of a row of cells, given their sums over neighbours.
#pragma once
#include "gridnet/cpu/common.h"
#include "gridnet/cpu/sample_lanes/row_view.h"

namespace zoo::ZOO_ISA {

// Writes a row of n cells, out[k] to out[k + C] = cells<C>(k), and adds it to `moments` unless that is null.
template <class T, int NV, class Cells>
ZOO_INLINE void write_row(int64_t n, T* out, Moments<T, NV>* moments, Cells cells) {
  constexpr int L = kLanes<T>, W = NV * L, C = kCellsAtOnce<NV>;
  typename Moments<T, NV>::Row sums[C * NV];
  const bool has_pivot = moments && moments->count > 0;
  for (int i = 0; i < C * NV; ++i) sums[i].pivot = has_pivot ? load(moments->mean + i % NV * L) : Vec<T>{};
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
  if (!has_pivot) return moments->add_row(out, n);
  for (int v = 0; v < NV; ++v) {
    for (int i = NV + v; i < C * NV; i += NV) {
      sums[v].sum += sums[i].sum;
      sums[v].squares += sums[i].squares;
    }
    moments->add(v * L, sums[v], n);
  }
  moments->count += static_cast<T>(n);
}

// A row of n cells to update. x and out may be the same row.
template <class T, int NV>
struct RowUpdate {
  RowView<T, NV> view;
  const T* values;  // [n][W], the sums of the value channel
  const T* gates;   // [n][W], the sums of the gate channel; gated steps only
  const T* scale;   // [n]; plain steps only
  const T* x;       // [n][W]
  int64_t n;
  T* out;                   // [n][W]
  Moments<T, NV>* moments;  // takes in the new row; or null
};

// Calls f.template operator()<A, Normed>() for the activation and the view.
template <class T, int NV, class F>
ZOO_INLINE void with_update(Activation a, const RowView<T, NV>& view, F f) {
  with_activation(a, [&]<Activation A>() {
    if (view.norm) f.template operator()<A, true>();
    else f.template operator()<A, false>();
  });
}

// out = z + scale * act(sum), where z is the row x as the view reads it.
template <class T, int NV>
void update_row(Activation a, const RowUpdate<T, NV>& row) {
  const RowView<T, NV>& view = row.view;
  const T *sums = row.values, *scale = row.scale, *x = row.x;
  with_update(a, view, [&]<Activation A, bool Normed>() {
    const auto write = [&]<bool Boxed>() ZOO_INLINE_LAMBDA {
      write_row<T, NV>(row.n, row.out, row.moments, [&]<int C>(int64_t k) ZOO_INLINE_LAMBDA {
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
void update_gated_row(Activation a, const RowUpdate<T, NV>& row) {
  const RowView<T, NV>& view = row.view;
  const T *values = row.values, *gates = row.gates, *x = row.x;
  with_update(a, view, [&]<Activation A, bool Normed>() {
    write_row<T, NV>(row.n, row.out, row.moments, [&]<int C>(int64_t k) ZOO_INLINE_LAMBDA {
      const auto value = activate<A>(view.template sum<Normed, false, C>(0, values, k));
      const auto gate = sigmoid(view.template sum<Normed, false, C>(1, gates, k));
      return value + gate * (view.template input<Normed, C>(x, k) - value);
    });
  });
}

}  // namespace zoo::ZOO_ISA

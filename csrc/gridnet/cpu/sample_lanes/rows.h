// Sums over the 27 neighbours and their weight gradients, one row of cells (along x) at a time.
//
// W = NV * kLanes<T> samples lie side by side in SIMD lanes, [cell][W]. A weight is one broadcast, a neighbour is one
// aligned load, and odd grids or blocks need no special case. A row of n cells is stored as n + 2 entries: the first
// and the last are its neighbours in x, or zeros.
#pragma once
#include "gridnet/cpu/common.h"

namespace zoo::ZOO_ISA {

// The nine rows (dz, dy) around a row, itself included; null for a row of zeros.
template <class T>
struct RowNeighbours {
  const T* row[9];
};

// acc[r] += sum_i weight[k + r][i] * in_i for R consecutive cells: every loaded neighbour serves up to three of them.
template <class T, int NV, int R>
ZOO_INLINE void accumulate_neighbours(const RowNeighbours<T>& in, const T* weight, int64_t k, Vec<T> (&acc)[R][NV]) {
  constexpr int W = NV * kLanes<T>;
  for (int q = 0; q < 9; ++q) {
    if (!in.row[q]) continue;
    const T* entry = pinned(in.row[q] + k * W);
    const T* w = pinned(weight + k * kNeighbours + q * 3);
#pragma GCC unroll 8
    for (int j = 0; j < R + 2; ++j) {
      Vec<T> x[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) x[v] = in_register<T>(load(entry + j * W + v * kLanes<T>));
#pragma GCC unroll 3
      for (int dx = 0; dx < 3; ++dx) {
        const int r = j - dx;
        if (r < 0 || r >= R) continue;
        const Vec<T> wr = splat(w[r * kNeighbours + dx]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) acc[r][v] += wr * x[v];
      }
    }
  }
}

template <class T, int NV, int R, bool Add>
ZOO_INLINE void sum_neighbours_chunk(const RowNeighbours<T>& in, const T* weight, const T* bias, int64_t k, T* out) {
  constexpr int W = NV * kLanes<T>;
  Vec<T> acc[R][NV];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      if constexpr (Add) acc[r][v] = load(out + (k + r) * W + v * kLanes<T>);
      else acc[r][v] = bias ? splat(bias[k + r]) : Vec<T>{};
    }
  accumulate_neighbours<T, NV, R>(in, weight, k, acc);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) store(out + (k + r) * W + v * kLanes<T>, acc[r][v]);
}

// out[k] = bias[k] + sum_i weight[k][i] * in_i for the n cells of a row, or with Add out[k] += the sum. weight is
// packed [n][27], bias is [n] or null for 0, out is [n][W].
template <class T, int NV, bool Add>
void sum_neighbours(const RowNeighbours<T>& in, const T* weight, const T* bias, int64_t n, T* out) {
  int64_t k = 0;
  for (; k + 4 <= n; k += 4) sum_neighbours_chunk<T, NV, 4, Add>(in, weight, bias, k, out);
  for (; k < n; ++k) sum_neighbours_chunk<T, NV, 1, Add>(in, weight, bias, k, out);
}

// One term of a row's weight gradient: the row's inputs and the gradient of its pre-activations.
template <class T>
struct RowGradient {
  RowNeighbours<T> in;
  const T* grad_pre;  // [n][W]
};

// The 27 taps in groups of L. The last group ends with the last tap, so its first lanes repeat taps of the group
// before.
template <class T>
constexpr int kTapGroups = (kNeighbours + kLanes<T> - 1) / kLanes<T>;
template <class T>
constexpr int kRepeated = kTapGroups<T> * kLanes<T> - kNeighbours;

// to[i] += the sum over the lanes of sums[i], for the 27 taps. The last group of `sums` starts with kRepeated vectors
// of zeros.
template <class T>
ZOO_INLINE void add_tap_sums(const Vec<T>* sums, T* to) {
  constexpr int L = kLanes<T>, G = kTapGroups<T>;
  Vec<T> totals[G];
#pragma GCC unroll 16
  for (int g = 0; g < G; ++g)
    totals[g] = sum_each<T>(sums + g * L) + load_unaligned(to + (g + 1 < G ? g * L : kNeighbours - L));
  store_unaligned(to + kNeighbours - L, totals[G - 1]);  // first: the store below overwrites its repeated lanes
#pragma GCC unroll 16
  for (int g = 0; g + 1 < G; ++g) store_unaligned(to + g * L, totals[g]);
}

template <class T, int NV, int R>
ZOO_INLINE void add_weight_gradient_cells(const RowGradient<T>* terms, int64_t count, int64_t k, T* grad_weight) {
  constexpr int L = kLanes<T>, W = NV * L, kLast = (kTapGroups<T> - 1) * L;
  alignas(64) Vec<T> sums[R][kTapGroups<T> * L];
  for (int r = 0; r < R; ++r)
    for (int i = 0; i < kRepeated<T>; ++i) sums[r][kLast + i] = Vec<T>{};
  for (int plane = 0; plane < 3; ++plane) {
    Vec<T> acc[R][9] = {};
    for (int64_t t = 0; t < count; ++t) {
      const T* const* rows = terms[t].in.row + plane * 3;
      if (!rows[0] && !rows[1] && !rows[2]) continue;
#pragma GCC unroll 1
      for (int i = 0; i < W; i += L) {
        Vec<T> g[R];
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r) g[r] = load(terms[t].grad_pre + (k + r) * W + i);
#pragma GCC unroll 3
        for (int q = 0; q < 3; ++q) {
          if (!rows[q]) continue;
          const T* entry = pinned(rows[q] + k * W + i);
#pragma GCC unroll 4
          for (int j = 0; j < R + 2; ++j) {
            const Vec<T> x = load(entry + j * W);
#pragma GCC unroll 3
            for (int dx = 0; dx < 3; ++dx) {
              const int r = j - dx;
              if (r >= 0 && r < R) acc[r][q * 3 + dx] += g[r] * x;
            }
          }
        }
      }
    }
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 9
      for (int i = 0; i < 9; ++i) sums[r][plane * 9 + i + (plane * 9 + i >= kLast ? kRepeated<T> : 0)] = acc[r][i];
  }
  for (int r = 0; r < R; ++r) add_tap_sums<T>(sums[r], grad_weight + (k + r) * kNeighbours);
}

// grad_weight[k][i] += sum over terms and samples of grad_pre[k] * in_i; grad_weight is packed [n][27].
template <class T, int NV>
void add_weight_gradient(const RowGradient<T>* terms, int64_t count, int64_t n, T* grad_weight) {
  constexpr int R = ZOO_VECTOR_BYTES == 64 ? 2 : 1;  // 9 * R sums fit the registers
  int64_t k = 0;
  for (; k + R <= n; k += R) add_weight_gradient_cells<T, NV, R>(terms, count, k, grad_weight);
  for (; k < n; ++k) add_weight_gradient_cells<T, NV, 1>(terms, count, k, grad_weight);
}

}  // namespace zoo::ZOO_ISA

// The sparse kernels on one instruction set. Samples are SIMD lanes: a tile holds `lanes` samples of every unit, unit
// by unit, so that an entry of the matrix is one broadcast and one aligned load, whatever its row and column.
#pragma once
#include <algorithm>

#include "core/simd.h"
#include "core/thread_pool.h"
#include "core/workspace.h"
#include "sparse/pattern.h"

namespace zoo::ZOO_ISA {

using sparse::Pattern;

// Samples that are moved together between rows and tiles: few enough streams for the cache's associativity.
constexpr int kMoved = 8;

template <class T, int NV>
struct Tile {
  static constexpr int kWidth = NV * kLanes<T>;

  // tile[u * kWidth + l] = x[l * units + u] for the n samples and the units with entries; 0 in lanes without a sample.
  static void pack(const T* x, int64_t units, int64_t n, const int32_t* starts, T* tile) {
    for (int64_t first = 0; first < kWidth; first += std::min(kMoved, kWidth)) {
      const T* const rows = x + first * units;
      const int64_t present = std::clamp<int64_t>(n - first, 0, kMoved);
      for (int64_t u = 0; u < units; ++u) {
        if (starts[u] == starts[u + 1]) continue;
        T* const out = tile + u * kWidth + first;
        const int moved = std::min(kMoved, kWidth);
        for (int i = 0; i < moved; ++i) out[i] = i < present ? rows[i * units + u] : T(0);
      }
    }
  }

  // x[l * units + u] = tile[u * kWidth + l] for the n samples; 0 for units without entries.
  static void unpack(const T* tile, int64_t units, int64_t n, const int32_t* starts, T* x) {
    for (int64_t first = 0; first < n; first += kMoved) {
      T* const rows = x + first * units;
      const int64_t present = std::min<int64_t>(n - first, kMoved);
      for (int64_t u = 0; u < units; ++u) {
        const bool empty = starts[u] == starts[u + 1];
        for (int64_t i = 0; i < present; ++i) rows[i * units + u] = empty ? T(0) : tile[u * kWidth + first + i];
      }
    }
  }

  // out[u] = the sum over u's entries of value times in[index], for all units with entries. `order` says where an
  // entry's value lies, null for in order.
  static void multiply(int64_t units, const int32_t* starts, const int32_t* index, const int32_t* order,
                       const T* values, const T* in, T* out) {
    for (int64_t u = 0; u < units; ++u) {
      if (starts[u] == starts[u + 1]) continue;
      Vec<T> sums[NV] = {};
      for (int32_t e = starts[u]; e < starts[u + 1]; ++e) {
        const Vec<T> value = splat(values[order ? order[e] : e]);
        const T* const source = in + int64_t{index[e]} * kWidth;
        for (int v = 0; v < NV; ++v) sums[v] += value * load(source + v * kLanes<T>);
      }
      for (int v = 0; v < NV; ++v) store(out + u * kWidth + v * kLanes<T>, sums[v]);
    }
  }

  // grads[e] += the sum over the lanes of grad_out[row] times x[column].
  static void add_value_grads(const Pattern& p, const T* x, const T* grad_out, T* grads) {
    for (int64_t r = 0; r < p.rows; ++r) {
      const T* const g = grad_out + r * kWidth;
      int32_t e = p.row_starts[r];
      const int32_t end = p.row_starts[r + 1];
      for (; e + kLanes<T> <= end; e += kLanes<T>) {
        Vec<T> products[kLanes<T>];
        for (int i = 0; i < kLanes<T>; ++i) products[i] = product(g, x + int64_t{p.column_of[e + i]} * kWidth);
        const Vec<T> sums = sum_each<T>(products);
        for (int i = 0; i < kLanes<T>; ++i) grads[e + i] += sums[i];
      }
      for (; e < end; ++e) {
        const Vec<T> last = product(g, x + int64_t{p.column_of[e]} * kWidth);
        for (int i = 0; i < kLanes<T>; ++i) grads[e] += last[i];
      }
    }
  }

  static ZOO_INLINE Vec<T> product(const T* a, const T* b) {
    Vec<T> sum = load(a) * load(b);
    for (int v = 1; v < NV; ++v) sum += load(a + v * kLanes<T>) * load(b + v * kLanes<T>);
    return sum;
  }
};

// y [batch, rows] = x [batch, columns] W^T.
template <class T, int NV>
void forward(const Pattern& p, const T* values, const T* x, int64_t batch, T* y, Workspace& workspace, int threads) {
  constexpr int kWidth = Tile<T, NV>::kWidth;
  const int64_t tiles = (batch + kWidth - 1) / kWidth;
  threads = static_cast<int>(std::min<int64_t>(threads, tiles));
  T* const inputs = workspace.get<T>(0, threads * p.columns * kWidth);
  T* const outputs = workspace.get<T>(1, threads * p.rows * kWidth);
  auto body = [&](const Team& team) {
    T* const in = inputs + team.rank * p.columns * kWidth;
    T* const out = outputs + team.rank * p.rows * kWidth;
    for (int64_t tile = team.begin(tiles); tile < team.end(tiles); ++tile) {
      const int64_t first = tile * kWidth, n = std::min<int64_t>(kWidth, batch - first);
      Tile<T, NV>::pack(x + first * p.columns, p.columns, n, p.column_starts, in);
      Tile<T, NV>::multiply(p.rows, p.row_starts, p.column_of, nullptr, values, in, out);
      Tile<T, NV>::unpack(out, p.rows, n, p.row_starts, y + first * p.rows);
    }
  };
  parallel(threads, body);
}

// grad_values [entries] and, unless it is null, grad_x [batch, columns], from grad_y [batch, rows].
template <class T, int NV>
void backward(const Pattern& p, const T* values, const T* x, const T* grad_y, int64_t batch, T* grad_values, T* grad_x,
              Workspace& workspace, int threads) {
  constexpr int kWidth = Tile<T, NV>::kWidth;
  const int64_t tiles = (batch + kWidth - 1) / kWidth;
  threads = static_cast<int>(std::min<int64_t>(threads, tiles));
  T* const inputs = workspace.get<T>(0, threads * p.columns * kWidth);
  T* const outputs = workspace.get<T>(1, threads * p.rows * kWidth);
  T* const parts = workspace.get<T>(2, threads * p.entries);
  auto body = [&](const Team& team) {
    T* const in = inputs + team.rank * p.columns * kWidth;
    T* const out = outputs + team.rank * p.rows * kWidth;
    T* const part = parts + team.rank * p.entries;
    std::fill(part, part + p.entries, T(0));
    for (int64_t tile = team.begin(tiles); tile < team.end(tiles); ++tile) {
      const int64_t first = tile * kWidth, n = std::min<int64_t>(kWidth, batch - first);
      Tile<T, NV>::pack(grad_y + first * p.rows, p.rows, n, p.row_starts, out);
      Tile<T, NV>::pack(x + first * p.columns, p.columns, n, p.column_starts, in);
      Tile<T, NV>::add_value_grads(p, in, out, part);
      if (!grad_x) continue;
      Tile<T, NV>::multiply(p.columns, p.column_starts, p.row_of, p.order, values, out, in);
      Tile<T, NV>::unpack(in, p.columns, n, p.column_starts, grad_x + first * p.columns);
    }
    team.barrier();
    for (int64_t e = team.begin(p.entries); e < team.end(p.entries); ++e) {
      T sum = 0;
      for (int rank = 0; rank < team.size; ++rank) sum += parts[rank * p.entries + e];
      grad_values[e] = sum;
    }
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

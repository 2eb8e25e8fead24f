// The sparse kernels on one instruction set, with samples in the SIMD lanes: a tile holds kWidth samples of every unit
// (row or column of the matrix), unit by unit. An entry of the matrix is then one broadcast and one aligned load,
// whatever its row and column.
#pragma once
#include <algorithm>

#include "core/simd.h"
#include "core/thread_pool.h"
#include "core/workspace.h"
#include "sparse/args.h"
#include "sparse/pattern.h"

namespace zoo::ZOO_ISA {

using sparse::BackwardArgs;
using sparse::ForwardArgs;
using sparse::Lines;
using sparse::Pattern;

// Samples that are moved together between tensors and tiles: few enough streams for the cache's associativity.
constexpr int kMoved = 8;

// NV vectors of samples.
template <class T, int NV>
struct Tile {
  static constexpr int kWidth = NV * kLanes<T>;

  // tile[u * kWidth + l] = x[l * units + u] for n samples and the units with entries; 0 in lanes without a sample.
  static void pack(Lines units, const T* x, int64_t n, T* tile) {
    for (int64_t first = 0; first < kWidth; first += std::min(kMoved, kWidth)) {
      const T* const samples = x + first * units.count;
      const int64_t present = std::clamp<int64_t>(n - first, 0, kMoved);
      for (int64_t u = 0; u < units.count; ++u) {
        if (units.empty(u)) continue;
        T* const out = tile + u * kWidth + first;
        const int moved = std::min(kMoved, kWidth);
        for (int i = 0; i < moved; ++i) out[i] = i < present ? samples[i * units.count + u] : T(0);
      }
    }
  }

  // x[l * units + u] = tile[u * kWidth + l] for n samples; 0 for units without entries.
  static void unpack(Lines units, const T* tile, int64_t n, T* x) {
    for (int64_t first = 0; first < n; first += kMoved) {
      T* const samples = x + first * units.count;
      const int64_t present = std::min<int64_t>(n - first, kMoved);
      for (int64_t u = 0; u < units.count; ++u) {
        const bool empty = units.empty(u);
        for (int64_t i = 0; i < present; ++i)
          samples[i * units.count + u] = empty ? T(0) : tile[u * kWidth + first + i];
      }
    }
  }

  // out[u] = the sum over the entries of unit u of value times in[index], for all units with entries.
  static void multiply(Lines units, const T* values, const T* in, T* out) {
    for (int64_t u = 0; u < units.count; ++u) {
      if (units.empty(u)) continue;
      Vec<T> sums[NV] = {};
      for (int32_t e = units.starts[u]; e < units.starts[u + 1]; ++e) {
        const Vec<T> value = splat(values[units.order ? units.order[e] : e]);
        const T* const source = in + int64_t{units.index[e]} * kWidth;
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

// Scratch memory: per thread, one tile of columns, one of rows and, in a backward pass, partial sums.
template <class T>
struct Tiles {
  T* columns;      // [threads, columns, width]
  T* rows;         // [threads, rows, width]
  T* value_grads;  // [threads, entries]
};

template <class T, int NV>
Tiles<T> tiles_in(Workspace& workspace, const Pattern& p, int threads, bool backward) {
  return workspace.lay_out([&](Arena& arena) {
    return Tiles<T>{.columns = arena.take<T>(threads * p.columns * Tile<T, NV>::kWidth),
                    .rows = arena.take<T>(threads * p.rows * Tile<T, NV>::kWidth),
                    .value_grads = arena.take<T>(backward ? threads * p.entries : 0)};
  });
}

// y [batch, rows] = x [batch, columns] W^T.
template <class T, int NV>
void forward(const Pattern& p, const ForwardArgs<T>& args, Workspace& workspace, int threads) {
  using Tile = ZOO_ISA::Tile<T, NV>;
  const int64_t batch = args.batch, count = (batch + Tile::kWidth - 1) / Tile::kWidth;
  threads = static_cast<int>(std::min<int64_t>(threads, count));
  const Tiles<T> tiles = tiles_in<T, NV>(workspace, p, threads, false);
  hand_out(threads, count, [&](int64_t tile, int rank) {
    T* const in = tiles.columns + rank * p.columns * Tile::kWidth;
    T* const out = tiles.rows + rank * p.rows * Tile::kWidth;
    const int64_t first = tile * Tile::kWidth, n = std::min<int64_t>(Tile::kWidth, batch - first);
    Tile::pack(p.by_column(), args.x + first * p.columns, n, in);
    Tile::multiply(p.by_row(), args.values, in, out);
    Tile::unpack(p.by_row(), out, n, args.y + first * p.rows);
  });
}

// grad_values [entries] and, unless it is null, grad_x [batch, columns], from grad_y [batch, rows].
template <class T, int NV>
void backward(const Pattern& p, const BackwardArgs<T>& args, Workspace& workspace, int threads) {
  using Tile = ZOO_ISA::Tile<T, NV>;
  const int64_t batch = args.batch, count = (batch + Tile::kWidth - 1) / Tile::kWidth;
  threads = static_cast<int>(std::min<int64_t>(threads, count));
  const Tiles<T> tiles = tiles_in<T, NV>(workspace, p, threads, true);
  auto body = [&](const Team& team) {
    T* const in = tiles.columns + team.rank * p.columns * Tile::kWidth;
    T* const out = tiles.rows + team.rank * p.rows * Tile::kWidth;
    T* const part = tiles.value_grads + team.rank * p.entries;
    std::fill(part, part + p.entries, T(0));
    for (int64_t tile = team.begin(count); tile < team.end(count); ++tile) {
      const int64_t first = tile * Tile::kWidth, n = std::min<int64_t>(Tile::kWidth, batch - first);
      Tile::pack(p.by_row(), args.grad_y + first * p.rows, n, out);
      Tile::pack(p.by_column(), args.x + first * p.columns, n, in);
      Tile::add_value_grads(p, in, out, part);
      if (!args.grad_x) continue;
      Tile::multiply(p.by_column(), args.values, out, in);
      Tile::unpack(p.by_column(), in, n, args.grad_x + first * p.columns);
    }
    team.barrier();
    for (int64_t e = team.begin(p.entries); e < team.end(p.entries); ++e) {
      T sum = 0;
      for (int rank = 0; rank < team.size; ++rank) sum += tiles.value_grads[rank * p.entries + e];
      args.grad_values[e] = sum;
    }
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

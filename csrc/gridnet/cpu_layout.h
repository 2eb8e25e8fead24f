// Moving between torch's layouts and the kernels' own: samples [B, cells] <-> lanes [tile][cell][W], and weights
// [27, cells] <-> packed [cell][27]. Everything goes through L x L transposes in registers.
#pragma once
#include "../parallel.h"
#include "../simd.h"
#include "shape.h"

namespace zoo::ZOO_ISA {

using gridnet::kNeighbours;
using gridnet::Shape;

template <class T>
ZOO_INLINE Vec<T> load_unaligned(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
ZOO_INLINE void store_unaligned(T* p, Vec<T> v) {
  std::memcpy(p, &v, sizeof v);
}

template <class T, int D, int... L>
ZOO_INLINE void swap_pair(Vec<T>& a, Vec<T>& b, std::integer_sequence<int, L...>) {
  constexpr int n = kLanes<T>;
  const Vec<T> lo = __builtin_shufflevector(a, b, ((L & D) ? n + L - D : L)...);
  b = __builtin_shufflevector(a, b, ((L & D) ? n + L : L + D)...);
  a = lo;
}

// Transposes the L x L matrix whose rows are v[0..L).
template <class T, int D = 1>
ZOO_INLINE void transpose(Vec<T>* v) {
  if constexpr (D < kLanes<T>) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i)
      if (!(i & D)) swap_pair<T, D>(v[i], v[i + D], std::make_integer_sequence<int, kLanes<T>>());
    transpose<T, 2 * D>(v);
  }
}

// One tile: W samples in lanes. Rows along x are stored with `pad` entries before and after (0 or 1).
template <class T, int W>
struct LaneGrid {
  T* data;
  Shape shape;
  int pad;

  ZOO_INLINE int64_t row_entries() const { return shape.k + 2 * pad; }
  ZOO_INLINE int64_t size() const { return shape.rows() * row_entries() * W; }
  // First cell of row r = z * n + y; entry of the flat cell index c, which counts no padding.
  ZOO_INLINE T* row(int64_t r) const { return data + (r * row_entries() + pad) * W; }
  ZOO_INLINE T* cell(int64_t c) const { return row(c / shape.k) + c % shape.k * W; }

  ZOO_INLINE void clear_padding(int64_t r) const {
    for (int i = 0; i < pad * W; ++i) {
      row(r)[i - pad * W] = 0;
      row(r)[shape.k * W + i] = 0;
    }
  }
};

// Addresses of consecutive cells of a tile, without a division for each.
template <class T, int W>
struct CellCursor {
  T* entry;
  int64_t column;
  const LaneGrid<T, W>& grid;

  ZOO_INLINE CellCursor(const LaneGrid<T, W>& of, int64_t c) : entry(of.cell(c)), column(c % of.shape.k), grid(of) {}
  ZOO_INLINE T* next() {
    T* now = entry;
    entry += W;
    if (++column == grid.shape.k) {
      column = 0;
      entry += 2 * grid.pad * W;
    }
    return now;
  }
};

// Cells that are moved for one group of L samples before the next group: some cache lines of each sample in a row
// keep the hardware prefetcher going, and the lanes they go to still fit the L1 cache.
constexpr int64_t kCellsPerMove = 64;

// Samples [count, cells] -> lanes for the cells [begin, end); lanes past `count` become 0.
template <class T, int W>
void samples_to_lanes(const T* samples, int64_t count, int64_t begin, int64_t end, const LaneGrid<T, W>& out) {
  constexpr int L = kLanes<T>;
  const int64_t cells = out.shape.cells();
  T* entries[kCellsPerMove];
  for (int64_t start = begin; start < end; start += kCellsPerMove) {
    const int64_t moved = start + kCellsPerMove < end ? kCellsPerMove : end - start;
    CellCursor<T, W> cursor(out, start);
    for (int64_t i = 0; i < moved; ++i) entries[i] = cursor.next();
    for (int lane = 0; lane < W; lane += L) {
      const T* from = samples + lane * cells + start;
      int64_t c = 0;
      for (; c + L <= moved && lane + L <= count; c += L) {
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) v[i] = load_unaligned(from + i * cells + c);
        transpose<T>(v);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store(entries[c + i] + lane, v[i]);
      }
      for (; c < moved; ++c)
        for (int l = 0; l < L; ++l) entries[c][lane + l] = lane + l < count ? from[l * cells + c] : T(0);
    }
  }
}

// Lanes -> samples [count, cells] for the cells [begin, end).
template <class T, int W>
void lanes_to_samples(const LaneGrid<T, W>& lanes, int64_t count, int64_t begin, int64_t end, T* samples) {
  constexpr int L = kLanes<T>;
  const int64_t cells = lanes.shape.cells();
  const T* entries[kCellsPerMove];
  for (int64_t start = begin; start < end; start += kCellsPerMove) {
    const int64_t moved = start + kCellsPerMove < end ? kCellsPerMove : end - start;
    CellCursor<T, W> cursor(lanes, start);
    for (int64_t i = 0; i < moved; ++i) entries[i] = cursor.next();
    for (int lane = 0; lane < W; lane += L) {
      T* to = samples + lane * cells + start;
      int64_t c = 0;
      for (; c + L <= moved && lane + L <= count; c += L) {
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) v[i] = load(entries[c + i] + lane);
        transpose<T>(v);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store_unaligned(to + i * cells + c, v[i]);
      }
      for (; c < moved; ++c)
        for (int l = 0; l < L && lane + l < count; ++l) to[l * cells + c] = entries[c][lane + l];
    }
  }
}

// First tap of the group of L that holds taps [i, i + L): the last group overlaps the one before.
template <class T>
ZOO_INLINE int tap_group(int i) {
  return i + kLanes<T> <= kNeighbours ? i : kNeighbours - kLanes<T>;
}

// packed[c][i] = taps[i][c + shift[i]] for the cells [begin, end), 0 where c + shift[i] is outside [0, cells).
template <class T>
void pack_taps(const T* const* taps, const int64_t* shift, int64_t cells, int64_t begin, int64_t end, T* packed) {
  constexpr int L = kLanes<T>;
  int64_t reach = 0;
  for (int i = 0; i < kNeighbours; ++i) reach = shift[i] > reach ? shift[i] : (-shift[i] > reach ? -shift[i] : reach);
  for (int64_t c = begin; c < end;) {
    if (c + L <= end && c >= reach && c + L + reach <= cells) {
      for (int i = 0; i < kNeighbours; i += L) {
        const int first = tap_group<T>(i);
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int l = 0; l < L; ++l) v[l] = load_unaligned(taps[first + l] + c + shift[first + l]);
        transpose<T>(v);
#pragma GCC unroll 16
        for (int l = 0; l < L; ++l) store_unaligned(packed + (c + l) * kNeighbours + first, v[l]);
      }
      c += L;
    } else {
      for (int i = 0; i < kNeighbours; ++i) {
        const int64_t from = c + shift[i];
        packed[c * kNeighbours + i] = from >= 0 && from < cells ? taps[i][from] : T(0);
      }
      ++c;
    }
  }
}

// weight [27, stride...] of one channel -> packed [cell][27].
template <class T>
void pack_weight(const T* weight, int64_t tap_stride, int64_t cells, int64_t begin, int64_t end, T* packed) {
  const T* taps[kNeighbours];
  const int64_t shift[kNeighbours] = {};
  for (int i = 0; i < kNeighbours; ++i) taps[i] = weight + i * tap_stride;
  pack_taps(taps, shift, cells, begin, end, packed);
}

// As pack_weight, but cell c gets, for each neighbour, the weight with which that neighbour reads c.
template <class T>
void pack_weight_transposed(const T* weight, int64_t tap_stride, Shape shape, int64_t begin, int64_t end, T* packed) {
  const T* taps[kNeighbours];
  int64_t shift[kNeighbours];
  for (int i = 0; i < kNeighbours; ++i) {
    taps[i] = weight + (kNeighbours - 1 - i) * tap_stride;
    shift[i] = shape.index(i / 9 - 1, i / 3 % 3 - 1, i % 3 - 1);
  }
  pack_taps(taps, shift, shape.cells(), begin, end, packed);
}

// A LayerNorm's weight and bias folded into a step's weights, for the rows [first, last): packed[c][i] = weight[i][c] *
// norm_weight[neighbour i of c], 0 outside the grid, with the sums that FoldedSums (cpu_update.h) needs.
// scratch holds 27 rows.
template <class T>
void pack_folded(const T* weight, int64_t tap_stride, const T* bias, const T* norm_weight, const T* norm_bias, Shape shape,
                 int64_t first, int64_t last, T* packed, T* weight_sum, T* bias_sum, T* scratch) {
  const int64_t k = shape.k;
  const T* taps[kNeighbours];
  const int64_t none[kNeighbours] = {};
  for (int i = 0; i < kNeighbours; ++i) taps[i] = scratch + i * k;
  for (int64_t r = first; r < last; ++r) {
    T *weights = weight_sum + r * k, *biases = bias_sum + r * k;
    std::memset(weights, 0, k * sizeof(T));
    std::memcpy(biases, bias + r * k, k * sizeof(T));
    for (int i = 0; i < kNeighbours; ++i) {
      T* out = scratch + i * k;
      const int64_t z = r / shape.n + i / 9 - 1, y = r % shape.n + i / 3 % 3 - 1, dx = i % 3 - 1;
      const bool inside = z >= 0 && z < shape.m && y >= 0 && y < shape.n;
      const int64_t from = inside ? (dx < 0 ? 1 : 0) : k, to = inside ? (dx > 0 ? k - 1 : k) : k;
      for (int64_t x = 0; x < from; ++x) out[x] = 0;
      for (int64_t x = to; x < k; ++x) out[x] = 0;
      const T* w = weight + i * tap_stride + r * k;
      const int64_t at = shape.index(z, y, dx);
      for (int64_t x = from; x < to; ++x) {
        out[x] = w[x] * norm_weight[at + x];
        weights[x] += out[x];
        biases[x] += w[x] * norm_bias[at + x];
      }
    }
    pack_taps(taps, none, k, 0, k, packed + r * k * kNeighbours);
  }
}

// packed [cell][27] -> weight [27, stride...] for the cells [begin, end).
template <class T>
void unpack_weight(const T* packed, int64_t tap_stride, int64_t begin, int64_t end, T* weight) {
  constexpr int L = kLanes<T>;
  int64_t c = begin;
  for (; c + L <= end; c += L)
    for (int i = 0; i < kNeighbours; i += L) {
      const int first = tap_group<T>(i);
      Vec<T> v[L];
#pragma GCC unroll 16
      for (int l = 0; l < L; ++l) v[l] = load_unaligned(packed + (c + l) * kNeighbours + first);
      transpose<T>(v);
#pragma GCC unroll 16
      for (int l = 0; l < L; ++l) store_unaligned(weight + (first + l) * tap_stride + c, v[l]);
    }
  for (; c < end; ++c)
    for (int i = 0; i < kNeighbours; ++i) weight[i * tap_stride + c] = packed[c * kNeighbours + i];
}

}  // namespace zoo::ZOO_ISA

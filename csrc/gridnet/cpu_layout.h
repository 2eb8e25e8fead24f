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

// A tile of W samples in lanes. Rows along x are stored with `pad` entries before and after (0 or 1).
template <class T, int W>
struct LaneGrid {
  T* data;
  Shape shape;
  int pad;

  ZOO_INLINE int64_t row_entries() const { return shape.k + 2 * pad; }
  ZOO_INLINE int64_t tile_size() const { return shape.m * shape.n * row_entries() * W; }
  ZOO_INLINE T* tile(int64_t t) const { return data + t * tile_size(); }
  // Entry of the flat cell index c, which counts no padding.
  ZOO_INLINE T* cell(int64_t t, int64_t c) const { return tile(t) + ((c / shape.k) * row_entries() + c % shape.k + pad) * W; }
  // First cell of the row (z, y), flat row index z * n + y.
  ZOO_INLINE T* row(int64_t t, int64_t r) const { return tile(t) + (r * row_entries() + pad) * W; }

  ZOO_INLINE void clear_padding(int64_t t, int64_t r) const {
    for (int i = 0; i < pad * W; ++i) {
      row(t, r)[i - pad * W] = 0;
      row(t, r)[shape.k * W + i] = 0;
    }
  }
};

// Samples [batch, cells] -> lanes for the cells [begin, end) of tile t; lanes past the batch become 0.
template <class T, int W>
void samples_to_lanes(const T* samples, int64_t batch, int64_t t, int64_t begin, int64_t end, const LaneGrid<T, W>& out) {
  constexpr int L = kLanes<T>;
  const int64_t cells = out.shape.cells();
  for (int64_t c = begin; c < end;) {
    const bool whole = c + L <= end;
    const int64_t count = whole ? L : end - c;
    T* entries[L];
    for (int64_t i = 0; i < count; ++i) entries[i] = out.cell(t, c + i);
    for (int lane = 0; lane < W; lane += L) {
      const int64_t b = t * W + lane;
      if (whole && b + L <= batch) {
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) v[i] = load_unaligned(samples + (b + i) * cells + c);
        transpose<T>(v);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store(entries[i] + lane, v[i]);
      } else {
        for (int64_t i = 0; i < count; ++i)
          for (int l = 0; l < L; ++l) entries[i][lane + l] = b + l < batch ? samples[(b + l) * cells + c + i] : T(0);
      }
    }
    c += count;
  }
}

// Lanes -> samples [batch, cells] for the cells [begin, end) of tile t. source(c) is the entry of cell c.
template <class T, int W, class Source>
ZOO_INLINE void lanes_to_samples(Source source, int64_t cells, int64_t batch, int64_t t, int64_t begin, int64_t end, T* samples) {
  constexpr int L = kLanes<T>;
  for (int64_t c = begin; c < end;) {
    const bool whole = c + L <= end;
    const int64_t count = whole ? L : end - c;
    const T* entries[L];
    for (int64_t i = 0; i < count; ++i) entries[i] = source(c + i);
    for (int lane = 0; lane < W; lane += L) {
      const int64_t b = t * W + lane;
      if (whole && b + L <= batch) {
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) v[i] = load(entries[i] + lane);
        transpose<T>(v);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store_unaligned(samples + (b + i) * cells + c, v[i]);
      } else {
        for (int l = 0; l < L && b + l < batch; ++l)
          for (int64_t i = 0; i < count; ++i) samples[(b + l) * cells + c + i] = entries[i][lane + l];
      }
    }
    c += count;
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

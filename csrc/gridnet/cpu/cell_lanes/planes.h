// The pieces of a step with cells in the SIMD lanes, working on one plane (z) of the grid at a time: no transposes
// between torch's layout and ours, and the weight gradients of neighbouring cells are summed without ever adding up
// lanes.
//
// Layout: a plane is one line of n * k positions with zeros before and behind, as long as a row and one cell.
// Neighbours are shifted loads. The one before the first cell of a row is the last of the row before; its weight is set
// to zero.
#pragma once
#include <cmath>

#include "gridnet/cpu/layout.h"
#include "gridnet/cpu/update.h"

namespace zoo::ZOO_ISA {

using gridnet::StepConfig;

constexpr int kVectors = 2;  // of positions, worked on together
template <class T>
constexpr int64_t kChunk = kVectors * kLanes<T>;
template <class T>
constexpr int kPack = ZOO_VECTOR_BYTES == 64 ? 4 : 2;  // vectors that go through an activation together
template <class T>
constexpr int64_t kSegment = 8 * kChunk<T>;  // positions whose sums are kept in the L1 cache until all are there

ZOO_INLINE int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// The first `count` lanes at p, and zeros; or all of them.
template <class T>
ZOO_INLINE Vec<T> load_part(const T* p, int64_t count) {
  if (count >= kLanes<T>) return load_unaligned(p);
  Vec<T> v{};
  if (count > 0) std::memcpy(&v, p, count * sizeof(T));
  return v;
}
template <class T>
ZOO_INLINE void store_part(T* p, Vec<T> v, int64_t count) {
  if (count >= kLanes<T>) store_unaligned(p, v);
  else if (count > 0) std::memcpy(p, &v, count * sizeof(T));
}
// Planes of several samples: in torch's order, [sample][m][n][k], or [m][sample][n][k], so that a plane of all samples
// lies together; samples of torch's are often a power of two apart, and evict each other from the caches.
template <class T>
struct PlaneGrids {
  T* data;
  int64_t sample_stride, plane_stride;

  static PlaneGrids as_torch(T* data, gridnet::Shape shape) { return {data, shape.cells(), shape.n * shape.k}; }
  static PlaneGrids by_plane(T* data, gridnet::Shape shape, int64_t samples) {
    return {data, shape.n * shape.k, samples * shape.n * shape.k};
  }
  T* plane(int64_t sample, int64_t z) const { return data + sample * sample_stride + z * plane_stride; }
  operator PlaneGrids<const T>() const { return {data, sample_stride, plane_stride}; }
};

// The last few planes of several samples; plane z is in slot z modulo `slots`.
template <class T>
struct PlaneRing {
  T* data;
  int64_t n, k, slots;

  int64_t cells() const { return n * k; }
  int64_t margin() const { return round_up(k + 1, kLanes<T>); }
  int64_t slot_size() const { return round_up(margin() + cells() + k + 1, kLanes<T>); }
  int64_t sample_size() const { return slots * slot_size(); }
  // Of so many samples; chunks are read to their end, neighbours included.
  int64_t size(int64_t samples) const { return samples * sample_size() + kChunk<T> + margin(); }
  void clear(int64_t samples) const { std::memset(data, 0, size(samples) * sizeof(T)); }
  T* plane(int64_t sample, int64_t z) const {
    return data + sample * sample_size() + (z + slots) % slots * slot_size() + margin();
  }
  // Makes plane z of `samples` samples from the ring's `first` on that of x.
  void read(const PlaneGrids<const T>& x, int64_t first, int64_t samples, int64_t z) const {
    for (int64_t s = 0; s < samples; ++s) {
      const T *from = x.plane(s, z), *ahead = x.plane(s + 1, z);
      T* to = plane(first + s, z);
      for (int64_t i = 0; i < cells(); i += kLanes<T>) {
        __builtin_prefetch(ahead + i);
        store_part(to + i, load_part(from + i, cells() - i), cells() - i);
      }
    }
  }
  void clear_plane(int64_t first, int64_t samples, int64_t z) const {
    for (int64_t s = first; s < first + samples; ++s) std::memset(plane(s, z), 0, cells() * sizeof(T));
  }
};

template <class T, int P>
ZOO_INLINE Pack<T, P> load_pack(const T* p, int64_t count) {
  Pack<T, P> out;
  for (int i = 0; i < P; ++i) out.v[i] = load_part(p + i * kLanes<T>, count - i * kLanes<T>);
  return out;
}
template <class T, int P>
ZOO_INLINE void store_pack(T* p, Pack<T, P> x, int64_t count) {
  for (int i = 0; i < P; ++i) store_part(p + i * kLanes<T>, x.v[i], count - i * kLanes<T>);
}

// Calls f(offset, number) for packs that cover `count` positions, all but the last being whole.
template <class T, class F>
ZOO_INLINE void for_packs(int64_t count, F f) {
  constexpr int64_t kWhole = kPack<T> * kLanes<T>;
  int64_t i = 0;
  for (; i + kWhole <= count; i += kWhole) f(i, kWhole);
  if (i < count) f(i, count - i);
}

// Numbers for every position of a plane, from torch's tensors and towards them: 27 in taps [chunk][27][kChunk], so that
// what is read together lies together, or one in a line.
template <class T>
struct PlaneLayout {
  gridnet::Shape shape;

  int64_t cells() const { return shape.n * shape.k; }
  int64_t line_size() const { return round_up(cells(), kPack<T> * kLanes<T>); }  // a multiple of kChunk, too
  int64_t taps_size() const { return line_size() * kNeighbours; }

  // Calls f(first position, their number, tap i of them) for every chunk.
  template <class F>
  void each_chunk(int i, T* taps, F f) const {
    for (int64_t p = 0; p < line_size(); p += kChunk<T>)
      f(p, cells() - p < kChunk<T> ? cells() - p : kChunk<T>, taps + p * kNeighbours + i * kChunk<T>);
  }
  // Tap i of positions whose neighbour i is in another row.
  void clear_edges(int i, T* taps) const {
    if (i % 3 == 1) return;
    for (int64_t c = i % 3 == 0 ? 0 : shape.k - 1; c < cells(); c += shape.k) {
      const int64_t chunk = c / kChunk<T>;
      taps[(chunk * kNeighbours + i) * kChunk<T> + c - chunk * kChunk<T>] = 0;
    }
  }
  // Tap i of positions [begin, end) becomes from[position], that of the others zero. What lies `ahead` is fetched.
  void fill_tap(int i, const T* from, int64_t begin, int64_t end, int64_t ahead, T* taps) const {
    each_chunk(i, taps, [&](int64_t p, int64_t, T* to) {
      if (i + 1 < kNeighbours)
        for (int64_t line = 0; line < kChunk<T>; line += 64 / sizeof(T)) __builtin_prefetch(from + p + ahead + line);
      if (begin <= p && end - p >= kChunk<T>) {
        std::memcpy(to, from + p, kChunk<T> * sizeof(T));  // of known size: two moves, not a call
        return;
      }
      const int64_t first = begin > p ? begin - p : 0, last = end - p < kChunk<T> ? end - p : kChunk<T>;
      std::memset(to, 0, kChunk<T> * sizeof(T));
      if (first < last) std::memcpy(to + first, from + p + first, (last - first) * sizeof(T));
    });
    clear_edges(i, taps);
  }
  // weight: of one channel [27] at a distance of `stride`, each [m, n, k].
  void fill_taps(const T* weight, int64_t stride, int64_t z, T* taps) const {
    for (int i = 0; i < kNeighbours; ++i) fill_tap(i, weight + i * stride + z * cells(), 0, cells(), stride, taps);
  }
  // As fill_taps, but a position gets, for each neighbour, the weight with which that neighbour reads it.
  void fill_transposed(const T* weight, int64_t stride, int64_t z, T* taps) const {
    for (int i = 0; i < kNeighbours; ++i) {
      const int64_t from_z = z + i / 9 - 1, shift = (i / 3 % 3 - 1) * shape.k + i % 3 - 1;
      const bool inside = from_z >= 0 && from_z < shape.m;
      const T* from = weight + (kNeighbours - 1 - i) * stride + (inside ? from_z : 0) * cells() + shift;
      fill_tap(i, from, shift < 0 ? -shift : 0, !inside ? 0 : shift > 0 ? cells() - shift : cells(), -stride, taps);
    }
  }
  // The taps of plane z in place of what torch's tensor holds, or added to it.
  void write_taps(T* taps, int64_t stride, int64_t z, bool add, T* weight) const {
    for (int i = 0; i < kNeighbours; ++i) {
      clear_edges(i, taps);
      each_chunk(i, taps, [&](int64_t p, int64_t n, const T* from) {
        write(from, n, add, weight + i * stride + z * cells() + p);
      });
    }
  }

  void fill_line(const T* from, int64_t z, T* line) const {
    std::memcpy(line, from + z * cells(), cells() * sizeof(T));
    std::memset(line + cells(), 0, (line_size() - cells()) * sizeof(T));
  }
  void write_line(const T* line, int64_t z, bool add, T* to) const { write(line, cells(), add, to + z * cells()); }

  static void write(const T* from, int64_t n, bool add, T* to) {
    for (int64_t i = 0; i < n; i += kLanes<T>) {
      const Vec<T> v = load_part(from + i, n - i);
      store_part(to + i, add ? load_part(to + i, n - i) + v : v, n - i);
    }
  }
};

// lanes 1 to L - 1 of a, then the first of b; the last of a, then lanes 0 to L - 2 of b.
template <class T, int... L>
ZOO_INLINE Vec<T> shifted_down(Vec<T> a, Vec<T> b, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(a, b, (L + 1)...);
}
template <class T, int... L>
ZOO_INLINE Vec<T> shifted_up(Vec<T> a, Vec<T> b, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(a, b, (L + static_cast<int>(sizeof...(L)) - 1)...);
}

// x at p - 1, p and p + 1 for V vectors: of the shifted ones only the outer two are loaded.
template <class T, int V>
struct RowTaps {
  Vec<T> at[3][V];

  ZOO_INLINE explicit RowTaps(const T* p) {
    constexpr int L = kLanes<T>;
    const auto lanes = std::make_integer_sequence<int, L>();
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) at[1][v] = in_register<T>(load_unaligned(p + v * L));
    at[0][0] = load_unaligned(p - 1);
    at[2][V - 1] = load_unaligned(p + 1 + (V - 1) * L);
#pragma GCC unroll 4
    for (int v = 1; v < V; ++v) {
      at[0][v] = shifted_up<T>(at[1][v - 1], at[1][v], lanes);
      at[2][v - 1] = shifted_down<T>(at[1][v - 1], at[1][v], lanes);
    }
  }
};

// acc[s][v] += sum_i weight_i * neighbour i, for S samples. planes: those before, at and behind, at the chunk's first
// position in the first sample; the next sample is `sample` entries on. taps: the chunk's.
template <class T, int S>
ZOO_INLINE void weigh_planes(const T* const (&planes)[3], int64_t sample, int64_t row, const T* taps,
                             Vec<T> (&acc)[S][kVectors]) {
  constexpr int V = kVectors, L = kLanes<T>;
  constexpr int kSums = S * V < 8 ? 3 : 1;  // so many that an addition need not wait for the one before it
  Vec<T> sums[kSums][S][V] = {};
  for (int q = 0; q < 9; ++q, taps += 3 * kChunk<T>) {
    const T* from = pinned(planes[q / 3] + (q % 3 - 1) * row);
    Vec<T> w[3][V];
#pragma GCC unroll 3
    for (int dx = 0; dx < 3; ++dx)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        w[dx][v] = load(taps + dx * kChunk<T> + v * L);
        if constexpr (ZOO_VECTOR_BYTES == 64) w[dx][v] = in_register<T>(w[dx][v]);  // there are 32 registers
      }
#pragma GCC unroll 8
    for (int s = 0; s < S; ++s) {
      const RowTaps<T, V> x(from + s * sample);
#pragma GCC unroll 3
      for (int dx = 0; dx < 3; ++dx)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          if constexpr (kSums == 1) acc[s][v] += w[dx][v] * x.at[dx][v];
          else sums[dx][s][v] += w[dx][v] * x.at[dx][v];
        }
    }
  }
  if constexpr (kSums == 3)
#pragma GCC unroll 8
    for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[s][v] += sums[0][s][v] + (sums[1][s][v] + sums[2][s][v]);
}

// Samples that share the weights in registers.
template <class T>
constexpr int kSamplesAtOnce = ZOO_VECTOR_BYTES == 64 ? 8 : 4;

// Calls f.template operator()<S>(first sample) for all of them, S at a time.
template <class T, class F>
ZOO_INLINE void for_samples(int64_t samples, F f) {
  constexpr int S = kSamplesAtOnce<T>;
  int64_t s = 0;
  for (; s + S <= samples; s += S) f.template operator()<S>(s);
  if (samples - s >= S / 2) {
    f.template operator()<S / 2>(s);
    s += S / 2;
  }
  for (; s < samples; ++s) f.template operator()<1>(s);
}

// taps[i] += sum over samples of g * neighbour i, for the positions of a chunk. `at` in each plane.
template <class T>
ZOO_INLINE void weigh_gradient(const T* const (&planes)[3], const T* g, int64_t x_sample, int64_t g_sample, int64_t row,
                               int64_t samples, T* taps) {
  constexpr int V = ZOO_VECTOR_BYTES == 64 ? kVectors : 1, L = kLanes<T>;
  for (int at = 0; at < kVectors; at += V)
    for (int dz = 0; dz < 3; ++dz) {
      Vec<T> acc[9][V];
      T* sums = taps + dz * 9 * kChunk<T> + at * L;
#pragma GCC unroll 9
      for (int i = 0; i < 9; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[i][v] = load(sums + i * kChunk<T> + v * L);
      const T *x = planes[dz] + at * L, *of = g + at * L;
      for (int64_t s = 0; s < samples; ++s, x += x_sample, of += g_sample) {
        Vec<T> gs[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) gs[v] = in_register<T>(load_unaligned(of + v * L));
#pragma GCC unroll 3
        for (int dy = 0; dy < 3; ++dy) {
          const RowTaps<T, V> near(x + (dy - 1) * row);
#pragma GCC unroll 3
          for (int dx = 0; dx < 3; ++dx)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) acc[dy * 3 + dx][v] += gs[v] * near.at[dx][v];
        }
      }
#pragma GCC unroll 9
      for (int i = 0; i < 9; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) store(sums + i * kChunk<T> + v * L, acc[i][v]);
    }
}

}  // namespace zoo::ZOO_ISA

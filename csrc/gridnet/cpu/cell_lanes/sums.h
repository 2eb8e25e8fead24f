// Sums over the 27 neighbours and their weight gradients with cells in lanes, one chunk of a plane at a time.
#pragma once
#include "gridnet/cpu/cell_lanes/grids.h"

namespace zoo::ZOO_ISA {

// Lanes 1 to L - 1 of a, then the first of b; or the last of a, then lanes 0 to L - 2 of b.
template <class T, int... L>
ZOO_INLINE Vec<T> shifted_down(Vec<T> a, Vec<T> b, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(a, b, (L + 1)...);
}
template <class T, int... L>
ZOO_INLINE Vec<T> shifted_up(Vec<T> a, Vec<T> b, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(a, b, (L + static_cast<int>(sizeof...(L)) - 1)...);
}

// x at p - 1, p and p + 1 for V vectors. Of the shifted vectors only the outer two are loaded.
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

// Planes z - 1, z and z + 1 at a chunk's first position, for the first of several samples.
template <class T>
struct PlaneNeighbours {
  const T* planes[3];
  int64_t sample;  // from one sample to the next
  int64_t row;     // from one row to the next
};

// acc[s][v] += sum_i weight_i * neighbour i, for S samples. taps: the chunk's.
template <class T, int S>
ZOO_INLINE void sum_plane_neighbours(const PlaneNeighbours<T>& in, const T* taps, Vec<T> (&acc)[S][kVectors]) {
  constexpr int V = kVectors, L = kLanes<T>;
  const int64_t sample = in.sample, row = in.row;
  constexpr int kSums = S * V < 8 ? 3 : 1;  // enough independent sums that no addition waits for the one before it
  Vec<T> sums[kSums][S][V] = {};
  for (int q = 0; q < 9; ++q, taps += 3 * kChunk<T>) {
    const T* from = pinned(in.planes[q / 3] + (q % 3 - 1) * row);
    Vec<T> w[3][V];
#pragma GCC unroll 3
    for (int dx = 0; dx < 3; ++dx)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        w[dx][v] = load(taps + dx * kChunk<T> + v * L);
        if constexpr (ZOO_VECTOR_BYTES == 64) w[dx][v] = in_register<T>(w[dx][v]);  // AVX-512 has 32 registers
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

// Calls f.template operator()<S>(first sample) for groups of S samples that cover all of them.
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

// taps[i] += sum over samples of g * neighbour i, for the positions of a chunk. g is the chunk's gradient of the sums,
// the next sample's `g_sample` entries on.
template <class T>
ZOO_INLINE void add_tap_gradients(const PlaneNeighbours<T>& in, const T* g, int64_t g_sample, int64_t samples,
                                  T* taps) {
  constexpr int V = ZOO_VECTOR_BYTES == 64 ? kVectors : 1, L = kLanes<T>;
  const int64_t x_sample = in.sample, row = in.row;
  for (int at = 0; at < kVectors; at += V)
    for (int dz = 0; dz < 3; ++dz) {
      Vec<T> acc[9][V];
      T* sums = taps + dz * 9 * kChunk<T> + at * L;
#pragma GCC unroll 9
      for (int i = 0; i < 9; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[i][v] = load(sums + i * kChunk<T> + v * L);
      const T *x = in.planes[dz] + at * L, *of = g + at * L;
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

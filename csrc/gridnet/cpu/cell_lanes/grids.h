// Grids as the kernels with cells in lanes read them: one plane (z) at a time, a vector being consecutive cells of a
// plane. Nothing is transposed between torch's layout and ours, and the weight gradients of neighbouring cells are
// summed in vectors, never across lanes.
//
// A plane is one line of n * k positions with a row and a cell of zeros before and after it, so that the 27 neighbours
// are loads at fixed distances. The neighbour before the first cell of a row is then the last cell of the row before;
// its weight is set to zero (PlaneLayout::clear_edges).
#pragma once
#include "gridnet/cpu/common.h"

namespace zoo::ZOO_ISA {

constexpr int kVectors = 2;  // vectors of positions in a chunk, which are summed together
template <class T>
constexpr int64_t kChunk = kVectors * kLanes<T>;
template <class T>
constexpr int kPack = ZOO_VECTOR_BYTES == 64 ? 4 : 2;  // vectors that go through an activation together
template <class T>
constexpr int64_t kSpan = 8 * kChunk<T>;  // positions whose sums are collected in the L1 cache before they are used

ZOO_INLINE int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// The first `count` lanes at p, then zeros. A count of kLanes or more means all lanes.
template <class T>
ZOO_INLINE Vec<T> load_part(const T* p, int64_t count) {
  if (count >= kLanes<T>) return load_unaligned(p);
  Vec<T> v{};
  if (count > 0) std::memcpy(&v, p, count * sizeof(T));
  return v;
}
// Stores the first `count` lanes.
template <class T>
ZOO_INLINE void store_part(T* p, Vec<T> v, int64_t count) {
  if (count >= kLanes<T>) store_unaligned(p, v);
  else if (count > 0) std::memcpy(p, &v, count * sizeof(T));
}

// The grids of several samples, read by plane: in torch's order [sample][m][n][k], or in [m][sample][n][k], where a
// plane of all samples is contiguous. In torch's order samples are often a power of two apart and evict each other from
// the caches.
template <class T>
struct PlaneGrids {
  T* data;
  int64_t sample_stride, plane_stride;

  static PlaneGrids as_torch(T* data, Shape shape) { return {data, shape.cells(), shape.n * shape.k}; }
  static PlaneGrids by_plane(T* data, Shape shape, int64_t samples) {
    return {data, shape.n * shape.k, samples * shape.n * shape.k};
  }
  T* plane(int64_t sample, int64_t z) const { return data + sample * sample_stride + z * plane_stride; }
  operator PlaneGrids<const T>() const { return {data, sample_stride, plane_stride}; }
};

// The last few planes of several samples, padded so that every neighbour is a load. Plane z is in slot z % slots.
template <class T>
struct PlaneRing {
  T* data;
  int64_t n, k, slots;

  int64_t cells() const { return n * k; }
  int64_t margin() const { return round_up(k + 1, kLanes<T>); }
  int64_t slot_size() const { return round_up(margin() + cells() + k + 1, kLanes<T>); }
  int64_t sample_size() const { return slots * slot_size(); }
  // For so many samples. The last chunk is read to its end, neighbours included.
  int64_t size(int64_t samples) const { return samples * sample_size() + kChunk<T> + margin(); }
  void clear(int64_t samples) const { std::memset(data, 0, size(samples) * sizeof(T)); }
  T* plane(int64_t sample, int64_t z) const {
    return data + sample * sample_size() + (z + slots) % slots * slot_size() + margin();
  }
  // Copies plane z of x into the ring, for `samples` samples whose first is the ring's sample `first`.
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

// load_part and store_part for packs.
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

// Calls f(offset, positions) for the packs that cover `count` positions. All but the last are full.
template <class T, class F>
ZOO_INLINE void for_packs(int64_t count, F f) {
  constexpr int64_t kWhole = kPack<T> * kLanes<T>;
  int64_t i = 0;
  for (; i + kWhole <= count; i += kWhole) f(i, kWhole);
  if (i < count) f(i, count - i);
}

}  // namespace zoo::ZOO_ISA

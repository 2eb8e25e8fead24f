// Grids as the kernels with cells in lanes read them: one plane (z) at a time, a vector being consecutive cells of a
// plane. Nothing is transposed between torch's layout and ours, and the weight gradients of neighbouring cells are
// summed in vectors, never across lanes.
//
// A plane is one line of n * k positions with a row and a cell of zeros before and after it, so that the 27 neighbours
// are loads at fixed distances. The neighbour before the first cell of a row is then the last cell of the row before;
// its weight is set to zero (PlaneLayout::clear_edges).
#pragma once
#include "core/parts.h"
#include "gridnet/cpu/common.h"

namespace zoo::ZOO_ISA {

constexpr int kVectors = 2;  // vectors of positions in a chunk, which are summed together
template <class T>
constexpr int64_t kChunk = kVectors * kLanes<T>;
template <class T>
constexpr int64_t kSpan = 8 * kChunk<T>;  // positions whose sums are collected in the L1 cache before they are used

ZOO_INLINE int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

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

}  // namespace zoo::ZOO_ISA

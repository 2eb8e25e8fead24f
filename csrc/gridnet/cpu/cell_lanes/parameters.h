// Parameters and their gradients with cells in lanes, plane by plane.
#pragma once
#include "gridnet/cpu/cell_lanes/grids.h"

namespace zoo::ZOO_ISA {

// The layout of numbers for every position of a plane: 27 of them as taps [chunk][27][kChunk], so that numbers which
// are read together are contiguous, or one as a line. Converts from and to torch's tensors.
template <class T>
struct PlaneLayout {
  Shape shape;

  int64_t cells() const { return shape.n * shape.k; }
  int64_t line_size() const { return round_up(cells(), kPack<T> * kLanes<T>); }  // also a multiple of kChunk
  int64_t taps_size() const { return line_size() * kNeighbours; }

  // Calls f(first position, count, tap i of these positions) for every chunk.
  template <class F>
  void each_chunk(int i, T* taps, F f) const {
    for (int64_t p = 0; p < line_size(); p += kChunk<T>)
      f(p, cells() - p < kChunk<T> ? cells() - p : kChunk<T>, taps + p * kNeighbours + i * kChunk<T>);
  }
  // Zeroes tap i of the positions whose neighbour i would be in another row.
  void clear_edges(int i, T* taps) const {
    if (i % 3 == 1) return;
    for (int64_t c = i % 3 == 0 ? 0 : shape.k - 1; c < cells(); c += shape.k) {
      const int64_t chunk = c / kChunk<T>;
      taps[(chunk * kNeighbours + i) * kChunk<T> + c - chunk * kChunk<T>] = 0;
    }
  }
  // Where tap i of a plane comes from: from[position] for the positions [begin, end), zero for the others. `ahead` is
  // the distance to what is read next, which is prefetched.
  struct TapSource {
    const T* from;
    int64_t begin, end, ahead;
  };
  void fill_tap(int i, const TapSource& tap, T* taps) const {
    const auto [from, begin, end, ahead] = tap;
    each_chunk(i, taps, [&](int64_t p, int64_t, T* to) {
      if (i + 1 < kNeighbours)
        for (int64_t line = 0; line < kChunk<T>; line += 64 / sizeof(T)) __builtin_prefetch(from + p + ahead + line);
      if (begin <= p && end - p >= kChunk<T>) {
        std::memcpy(to, from + p, kChunk<T> * sizeof(T));  // a known size: two moves, not a call
        return;
      }
      const int64_t first = begin > p ? begin - p : 0, last = end - p < kChunk<T> ? end - p : kChunk<T>;
      std::memset(to, 0, kChunk<T> * sizeof(T));
      if (first < last) std::memcpy(to + first, from + p + first, (last - first) * sizeof(T));
    });
    clear_edges(i, taps);
  }
  // Fills the taps of plane z from one channel of torch's weight: tap i of the grid [m, n, k] is `stride` * i from the
  // first one.
  void fill_taps(const T* weight, int64_t stride, int64_t z, T* taps) const {
    for (int i = 0; i < kNeighbours; ++i) fill_tap(i, {weight + i * stride + z * cells(), 0, cells(), stride}, taps);
  }
  // Like fill_taps, but a position gets, for each neighbour, the weight with which that neighbour reads it.
  void fill_transposed(const T* weight, int64_t stride, int64_t z, T* taps) const {
    for (int i = 0; i < kNeighbours; ++i) {
      const int64_t from_z = z + i / 9 - 1, shift = (i / 3 % 3 - 1) * shape.k + i % 3 - 1;
      const bool inside = from_z >= 0 && from_z < shape.m;
      const TapSource tap{.from = weight + (kNeighbours - 1 - i) * stride + (inside ? from_z : 0) * cells() + shift,
                          .begin = shift < 0 ? -shift : 0,
                          .end = !inside     ? 0
                                 : shift > 0 ? cells() - shift
                                             : cells(),
                          .ahead = -stride};
      fill_tap(i, tap, taps);
    }
  }
  // Writes the taps of plane z to torch's tensor, or adds them to it.
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

// The parameters of planes as a step reads them: taps and biases of each channel. Or their gradients, which include
// those of the residual scale.
template <class T>
struct PlaneParameters {
  PlaneLayout<T> layout;
  int64_t channels;
  bool all;  // memory for every plane, or for one plane at a time
  T* data = nullptr;

  int64_t plane_size() const { return channels * (layout.taps_size() + layout.line_size()) + layout.line_size(); }
  int64_t size() const { return (all ? layout.shape.m : 1) * plane_size(); }
  T* plane(int64_t z) const { return data + (all ? z * plane_size() : 0); }
  T* taps(int64_t z, int64_t channel) const { return plane(z) + channel * layout.taps_size(); }
  T* bias(int64_t z, int64_t channel) const {
    return plane(z) + channels * layout.taps_size() + channel * layout.line_size();
  }
  T* scale(int64_t z) const { return bias(z, channels); }
  // Clears the biases and scales of a plane, which are contiguous, or its taps.
  void clear_lines(int64_t z) const { std::memset(bias(z, 0), 0, (channels + 1) * layout.line_size() * sizeof(T)); }
  void clear_taps(int64_t z) const { std::memset(taps(z, 0), 0, channels * layout.taps_size() * sizeof(T)); }

  // From one tap to the next in torch's weight.
  int64_t stride() const { return channels * layout.shape.cells(); }
  void fill(const Inputs<T>& in, int64_t z) const {
    for (int64_t i = 0; i < channels; ++i) {
      layout.fill_taps(in.weight + i * layout.shape.cells(), stride(), z, taps(z, i));
      layout.fill_line(in.bias + i * layout.shape.cells(), z, bias(z, i));
    }
  }
  void fill_transposed(const Inputs<T>& in, int64_t z) const {
    for (int64_t i = 0; i < channels; ++i)
      layout.fill_transposed(in.weight + i * layout.shape.cells(), stride(), z, taps(z, i));
  }
  // Writes to torch's tensors, or adds to them.
  void write_lines(const Grads<T>& to, int64_t z, bool add) const {
    for (int64_t i = 0; i < channels; ++i) layout.write_line(bias(z, i), z, add, to.bias + i * layout.shape.cells());
    if (to.residual_scale) layout.write_line(scale(z), z, add, to.residual_scale);
  }
  void write_taps(const Grads<T>& to, int64_t z, bool add) const {
    for (int64_t i = 0; i < channels; ++i)
      layout.write_taps(taps(z, i), stride(), z, add, to.weight + i * layout.shape.cells());
  }
};

}  // namespace zoo::ZOO_ISA

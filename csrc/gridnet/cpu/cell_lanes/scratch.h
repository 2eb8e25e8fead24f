// One thread's scratch memory with cells in lanes: the last planes of some samples, their sums and the parameters.
#pragma once
#include <algorithm>

#include "core/workspace.h"
#include "gridnet/cpu/cell_lanes/norm.h"
#include "gridnet/cpu/cell_lanes/parameters.h"
#include "gridnet/cpu/cell_lanes/sums.h"

namespace zoo::ZOO_ISA {

// Samples in a tile, which go through the steps together. A thread's scratch memory for them should fit a part of the
// L2 cache. At least one, for callers that lay out parameters and know no batch.
template <class T>
int64_t plane_tile(const StepConfig& c, int64_t entries_per_sample) {
  constexpr int64_t kBytes = 1 << 20, S = kSamplesAtOnce<T>;
  const int64_t fitting = kBytes / (entries_per_sample * static_cast<int64_t>(sizeof(T))) / S * S;
  const int64_t tile = fitting < S ? S : fitting;
  return std::max<int64_t>(1, std::min(tile, c.batch));
}

// The grids of some samples and what standardises each; no standards if the grids are read as they are.
template <class T>
struct PlaneReading {
  PlaneGrids<const T> grids;
  const Standard<T>* standards;

  PlaneReading from(int64_t sample) const {
    return {{grids.plane(sample, 0), grids.sample_stride, grids.plane_stride},
            standards ? standards + sample : nullptr};
  }
};

// Consecutive positions of a plane of one sample, and their sums over neighbours.
template <class T>
struct PlaneSpan {
  int64_t sample, at, count;  // `at` is the first position
  const T* values;
  const T* gates;  // gated steps only
};

template <class T>
struct PlaneScratch {
  static constexpr int64_t kSums = kSamplesAtOnce<T> * kSpan<T>;  // per channel
  static constexpr int64_t kGroup = 32;                           // most samples of a group of steps, over all of them
  const EvolveConfig& config;
  const bool backward;
  const StepConfig& step = config.step;
  const Shape shape = step.shape;
  const int64_t channels = step.channels(), plane = shape.n * shape.k;
  // True if the parameters of all planes stay in memory that all threads share: the steps of an evolution with one
  // parameter set come back to them.
  const bool all = config.outer_steps > 1 && !config.separate;
  // Backward: as many planes as the weight gradients reach.
  PlaneRing<T> x{nullptr, shape.n, shape.k, backward || config.norm ? 4 : 3};
  PlaneRing<T> pre[2] = {{nullptr, shape.n, shape.k, 3}, {nullptr, shape.n, shape.k, 3}};  // backward only
  PlaneParameters<T> parameters{{shape}, channels, all}, transposed = parameters, grads{{shape}, channels, false};
  // The same in both passes if backward reads what forward saved.
  const int64_t tile =
      plane_tile<T>(step, x.sample_size() + (backward || config.norm ? channels * pre[0].sample_size() : 0));
  // Steps whose weight gradients are summed together: for a few samples it is not worth loading and storing the sums.
  const int64_t group = !all || tile > kGroup / 2            ? 1
                        : kGroup / tile < config.outer_steps ? kGroup / tile
                                                             : config.outer_steps;
  const int64_t ring_samples = backward ? group * tile : tile;
  T* sums = nullptr;

  // Takes a thread's own memory and, if they are shared, the parameters.
  void take(Arena& own, Arena& shared) {
    Arena& of_parameters = all ? shared : own;
    x.data = own.take<T>(x.size(ring_samples));
    sums = own.take<T>(2 * kSums);
    parameters.data = of_parameters.take<T>(parameters.size());
    if (!backward) return;
    transposed.data = of_parameters.take<T>(parameters.size());
    grads.data = own.take<T>(grads.size());
    pre[0].data = own.take<T>(pre[0].size(tile));
    pre[1].data = step.gated ? own.take<T>(pre[1].size(tile)) : pre[0].data;
  }
  // What take() takes of each, in bytes.
  struct Bytes {
    size_t own, shared;
  };
  Bytes bytes() const {
    PlaneScratch scratch(*this);
    Arena own, shared;
    scratch.take(own, shared);
    return {own.used(), shared.used()};
  }
  // Zeroes the rings, margins included.
  void clear() const {
    x.clear(ring_samples);
    for (int64_t i = 0; backward && i < channels; ++i) pre[i].clear(tile);
  }

  // The same memory, but with the parameters of step s as prepare_planes() laid them out.
  PlaneScratch with_prepared(const T* prepared, int s) const {
    PlaneScratch scratch(*this);
    scratch.parameters.all = true;
    scratch.parameters.data = const_cast<T*>(prepared) + (config.separate ? s : 0) * scratch.parameters.size();
    return scratch;
  }

  // The tensors of step s, Inputs or Grads.
  template <class Tensors>
  Tensors of_step(Tensors tensors, int s) const {
    const int64_t set = config.separate ? s : 0, cells = shape.cells();
    tensors.weight += set * kNeighbours * channels * cells;
    tensors.bias += set * channels * cells;
    if (tensors.residual_scale) tensors.residual_scale += set * cells;
    return tensors;
  }

  // Reads plane z as a step does, zeros outside the grid, into the ring: `samples` samples whose first is the ring's
  // sample `first`.
  void read(const Inputs<T>& in, const PlaneReading<T>& from, int64_t first, int64_t samples, int64_t z) const {
    if (z < 0 || z >= shape.m) return x.clear_plane(first, samples, z);
    if (!from.standards) return x.read(from.grids, first, samples, z);
    for (int64_t s = 0; s < samples; ++s)
      norm_cells(from.standards[s], in.norm_weight + z * plane, in.norm_bias + z * plane, from.grids.plane(s, z), plane,
                 x.plane(first + s, z));
  }

  // The neighbours of plane z in one of the rings, at position p.
  ZOO_INLINE PlaneNeighbours<T> neighbours(const PlaneRing<T>& ring, int64_t sample, int64_t z, int64_t p) const {
    return {{ring.plane(sample, z - 1) + p, ring.plane(sample, z) + p, ring.plane(sample, z + 1) + p},
            ring.sample_size(),
            shape.k};
  }

  // Sums over neighbours for the positions [at, end) of S samples from `sample` on, into `sums` [channel][S][kSpan].
  template <int S>
  void sum_span(int64_t sample, int64_t z, int64_t at, int64_t end) const {
    for (int64_t i = 0; i < channels; ++i)
      for (int64_t p = at; p < end; p += kChunk<T>) {
        Vec<T> acc[S][kVectors];
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) acc[s][v] = load(parameters.bias(z, i) + p + v * kLanes<T>);
        sum_plane_neighbours<T, S>(neighbours(x, sample, z, p), parameters.taps(z, i) + p * kNeighbours, acc);
        T* to = sums + i * kSums + (p - at);
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) store(to + s * kSpan<T> + v * kLanes<T>, acc[s][v]);
      }
  }

  // Calls f(span) for spans that cover plane z of every sample. The sums come from `saved` if it has data (a plane of
  // it is [channel][n][k]) and are computed otherwise. Before the sums of some samples are computed, before(first,
  // count) is called for these samples.
  template <class Before, class F>
  void each_span(int64_t samples, int64_t z, const PlaneGrids<const T>& saved, Before before, F f) const {
    const auto count_from = [&](int64_t at) { return plane - at < kSpan<T> ? plane - at : kSpan<T>; };
    if (saved.data) {
      for (int64_t s = 0; s < samples; ++s)
        for (int64_t at = 0; at < plane; at += kSpan<T>) {
          const T* values = saved.plane(s, z) + at;
          f(PlaneSpan<T>{s, at, count_from(at), values, values + plane});
        }
      return;
    }
    for_samples<T>(samples, [&]<int S>(int64_t sample) {
      before(sample, S);
      for (int64_t at = 0; at < plane; at += kSpan<T>) {
        const int64_t count = count_from(at);
        sum_span<S>(sample, z, at, at + count);
        for (int s = 0; s < S; ++s)
          f(PlaneSpan<T>{sample + s, at, count, sums + s * kSpan<T>, sums + kSums + s * kSpan<T>});
      }
    });
  }
};

}  // namespace zoo::ZOO_ISA

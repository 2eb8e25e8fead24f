// A single gridnet step where blocks make no difference, plane by plane: see cpu_planes.h. Every thread takes some planes
// of all samples, so the number of threads changes no bit. Planes that are still needed stay in the L2 cache.
#pragma once
#include "../workspace.h"
#include "cpu_planes.h"

namespace zoo::ZOO_ISA {

using gridnet::Inputs;

// Samples that go through together: their planes should fit a part of the L2 cache.
template <class T>
int64_t plane_tile(const StepConfig& c, int64_t entries_per_sample) {
  constexpr int64_t kBytes = 1 << 20, S = kSamplesAtOnce<T>;
  const int64_t fitting = kBytes / (entries_per_sample * static_cast<int64_t>(sizeof(T))) / S * S;
  const int64_t tile = fitting < S ? S : fitting;
  return tile < c.batch ? tile : c.batch;
}

// What one thread works with.
template <class T>
struct PlaneScratch {
  static constexpr int64_t kSums = kSamplesAtOnce<T> * kSegment<T>;  // per channel
  const StepConfig& config;
  const bool backward;
  const gridnet::Shape shape = config.shape;
  const int64_t channels = config.gated ? 2 : 1;
  const PlaneLine<T> line{shape.n, shape.k};
  PlaneRing<T> x{nullptr, shape.n, shape.k, backward ? 4 : 3};  // of the backward pass: as far as the weights' gradients reach
  PlaneRing<T> pre[2] = {{nullptr, shape.n, shape.k, 3}, {nullptr, shape.n, shape.k, 3}};
  const int64_t tile = plane_tile<T>(config, x.sample_size() + (backward ? channels * pre[0].sample_size() : 0));
  T *sums, *weights, *bias, *scale;                                 // forward: the plane's
  T *transposed, *grad_weights, *grad_bias, *grad_scale;            // backward

  int64_t size() const {
    const int64_t lines = channels * (kNeighbours + 1) + 1;
    return round_up(x.size(tile), 64) + 2 * kSums + lines * line.size() +
           (backward ? round_up(channels * pre[0].size(tile), 64) + (channels * kNeighbours + lines) * line.size() : 0);
  }
  void set(T* data) {
    const auto take = [&](int64_t n) {
      T* part = data;
      data += n;
      return part;
    };
    x.data = take(round_up(x.size(tile), 64));
    sums = take(2 * kSums);
    weights = take(channels * kNeighbours * line.size());
    bias = take(channels * line.size());
    scale = take(line.size());
    if (!backward) return;
    pre[0].data = take(round_up(channels * pre[0].size(tile), 64));
    pre[1].data = pre[0].data + pre[0].size(tile);
    transposed = take(channels * kNeighbours * line.size());
    grad_weights = take(channels * kNeighbours * line.size());
    grad_bias = take(channels * line.size());
    grad_scale = take(line.size());
  }

  void fill_parameters(const Inputs<T>& in, int64_t z) const {
    const int64_t cells = shape.cells(), at = z * line.n * line.k;
    for (int64_t i = 0; i < channels; ++i) {
      fill_weights(in.weight + i * cells, channels * cells, shape, z, weights + i * kNeighbours * line.size());
      line.fill(in.bias + i * cells + at, bias + i * line.size());
    }
    if (!config.gated) line.fill(in.residual_scale + at, scale);
  }

  void fill_transposed(const Inputs<T>& in, int64_t z) const {
    for (int64_t i = 0; i < channels; ++i)
      fill_weights_transposed(in.weight + i * shape.cells(), channels * shape.cells(), shape, z,
                              transposed + i * kNeighbours * line.size());
  }

  // The sums over neighbours of the positions from `at` on, for S samples from `sample` on: [channel][S][kSegment].
  template <int S>
  void sum_segment(int64_t sample, int64_t z, int64_t at, int64_t end) const {
    for (int64_t i = 0; i < channels; ++i)
      for (int64_t p = at; p < end; p += kChunk<T>) {
        Vec<T> acc[S][kVectors];
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) acc[s][v] = load(bias + i * line.size() + p + v * kLanes<T>);
        const T* const planes[3] = {x.plane(sample, z - 1) + p, x.plane(sample, z) + p, x.plane(sample, z + 1) + p};
        weigh_planes<T, S>(planes, x.sample_size(), shape.k, weights + i * kNeighbours * line.size() + p, line.size(), acc);
        T* to = sums + i * kSums + (p - at);
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) store(to + s * kSegment<T> + v * kLanes<T>, acc[s][v]);
      }
  }

  // Calls f(sample, first position, count, sums of the value channel, of the gate) for every sample and segment of plane z,
  // the sums being those of the count positions.
  template <class F>
  void each_segment(int64_t samples, int64_t z, F f) const {
    for_samples<T>(samples, [&]<int S>(int64_t sample) {
      for (int64_t at = 0; at < x.cells(); at += kSegment<T>) {
        const int64_t count = x.cells() - at < kSegment<T> ? x.cells() - at : kSegment<T>;
        sum_segment<S>(sample, z, at, at + count);
        for (int s = 0; s < S; ++s) f(sample + s, at, count, sums + s * kSegment<T>, sums + kSums + s * kSegment<T>);
      }
    });
  }
};

template <class T>
void plane_forward(const PlaneScratch<T>& own, const Inputs<T>& in, const Team& team, T* out) {
  constexpr int P = kPack<T>;
  const StepConfig& c = own.config;
  const gridnet::Shape shape = c.shape;
  const int64_t begin = team.begin(shape.m), end = team.end(shape.m), plane = shape.n * shape.k;
  if (begin == end) return;
  own.x.clear(own.tile);
  for (int64_t first = 0; first < c.batch; first += own.tile) {
    const int64_t samples = c.batch - first < own.tile ? c.batch - first : own.tile;
    const T* x = in.x + first * shape.cells();
    own.x.read(x, shape, samples, begin - 1);
    own.x.read(x, shape, samples, begin);
    for (int64_t z = begin; z < end; ++z) {
      own.x.read(x, shape, samples, z + 1);
      own.fill_parameters(in, z);
      with_activation(c.activation, [&]<Activation A>() {
        own.each_segment(samples, z, [&](int64_t s, int64_t at, int64_t count, const T* values, const T* gates) {
          const T *from = own.x.plane(s, z) + at, *scale = own.scale + at;
          T* to = out + (first + s) * shape.cells() + z * plane + at;
          for_packs<T>(count, [&](int64_t i, int64_t n) ZOO_INLINE_LAMBDA {
            const auto center = load_pack<T, P>(from + i, n);
            const auto value = gridnet::activate<A>(load_pack<T, P>(values + i, n));
            if (c.gated) store_pack(to + i, value + gridnet::sigmoid(load_pack<T, P>(gates + i, n)) * (center - value), n);
            else store_pack(to + i, center + load_pack<T, P>(scale + i, n) * value, n);
          });
        });
      });
    }
  }
}

template <class T>
void step_planes(const StepConfig& c, const Inputs<T>& in, T* out, Workspace& workspace, int threads) {
  const int64_t size = PlaneScratch<T>{c, false}.size();
  T* data = workspace.get<T>(12, threads * size);
  auto body = [&](const Team& team) {
    PlaneScratch<T> own{c, false};
    own.set(data + team.rank * size);
    plane_forward(own, in, team, out);
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

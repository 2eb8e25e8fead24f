// One gridnet step with cells in the lanes, plane by plane: see cpu_planes.h. Every thread takes some planes of all
// samples, so the number of threads changes no bit. Planes that are still needed stay in the L2 cache.
#pragma once
#include <atomic>

#include "core/thread_pool.h"
#include "gridnet/cpu/cell_lanes/norm.h"

namespace zoo::ZOO_ISA {

using gridnet::EvolveConfig;
using gridnet::Grads;
using gridnet::Inputs;

// The parameters of planes as a step reads them, taps and biases of each channel; or their gradients, those of the
// residual scale with them.
template <class T>
struct PlaneParameters {
  PlaneLayout<T> layout;
  int64_t channels;
  bool all;  // a place for every plane, or one for whichever is worked on
  T* data = nullptr;

  int64_t plane_size() const { return channels * (layout.taps_size() + layout.line_size()) + layout.line_size(); }
  int64_t size() const { return (all ? layout.shape.m : 1) * plane_size(); }
  T* plane(int64_t z) const { return data + (all ? z * plane_size() : 0); }
  T* taps(int64_t z, int64_t channel) const { return plane(z) + channel * layout.taps_size(); }
  T* bias(int64_t z, int64_t channel) const {
    return plane(z) + channels * layout.taps_size() + channel * layout.line_size();
  }
  T* scale(int64_t z) const { return bias(z, channels); }
  // Of a plane: the biases and scales, which lie together, and the taps.
  void clear_lines(int64_t z) const { std::memset(bias(z, 0), 0, (channels + 1) * layout.line_size() * sizeof(T)); }
  void clear_taps(int64_t z) const { std::memset(taps(z, 0), 0, channels * layout.taps_size() * sizeof(T)); }

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
  // To torch's tensors, in place of what is there or added to it.
  void write_lines(const Grads<T>& to, int64_t z, bool add) const {
    for (int64_t i = 0; i < channels; ++i) layout.write_line(bias(z, i), z, add, to.bias + i * layout.shape.cells());
    if (to.residual_scale) layout.write_line(scale(z), z, add, to.residual_scale);
  }
  void write_taps(const Grads<T>& to, int64_t z, bool add) const {
    for (int64_t i = 0; i < channels; ++i)
      layout.write_taps(taps(z, i), stride(), z, add, to.weight + i * layout.shape.cells());
  }
};

// Samples that go through together: what a thread holds of them should fit a part of the L2 cache.
template <class T>
int64_t plane_tile(const StepConfig& c, int64_t entries_per_sample) {
  constexpr int64_t kBytes = 1 << 20, S = kSamplesAtOnce<T>;
  const int64_t fitting = kBytes / (entries_per_sample * static_cast<int64_t>(sizeof(T))) / S * S;
  const int64_t tile = fitting < S ? S : fitting;
  return tile < c.batch ? tile : c.batch;
}

// Some samples' grids, and what standardises each, null where they are read as they are.
template <class T>
struct PlaneReading {
  PlaneGrids<const T> grids;
  const Standard<T>* standards;

  PlaneReading from(int64_t sample) const {
    return {{grids.plane(sample, 0), grids.sample_stride, grids.plane_stride},
            standards ? standards + sample : nullptr};
  }
};

// Planes [begin, end) in the order in which step s takes them, to and fro: it begins with what the step before or after
// it left in the cache.
struct PlaneOrder {
  int64_t first, behind, next;

  PlaneOrder(int s, int64_t begin, int64_t end)
      : first(s % 2 ? end - 1 : begin), behind(s % 2 ? begin - 1 : end), next(s % 2 ? -1 : 1) {}
};

// The planes that a member takes one after another. Two members may share theirs, one from either end until they meet,
// so that one that wakes late or is slowed down takes fewer: `taken` counts those of both.
struct PlaneWalk {
  int64_t next, step, count;
  std::atomic<int64_t>* taken = nullptr;
  int64_t mine = 0;

  // This member's part of m planes, in the order of step s.
  static PlaneWalk alone(const Team& team, int64_t m, int s) {
    const PlaneOrder order(s, team.begin(m), team.end(m));
    return {order.first, order.next, team.end(m) - team.begin(m)};
  }
  // Shared with the member before or after this one.
  static PlaneWalk shared(const Team& team, int64_t m, std::atomic<int64_t>* taken) {
    const int64_t low = team.rank / 2 * 2, high = low + 2 < team.size ? low + 2 : team.size;
    const int64_t begin = m * low / team.size, end = m * high / team.size;
    return {team.rank == low ? begin : end - 1, team.rank == low ? 1 : -1, end - begin, taken};
  }
  // Whether there is one more; it is then plane z.
  bool take(int64_t& z) {
    if ((taken ? taken->fetch_add(1, std::memory_order_relaxed) : mine) >= count) return false;
    z = next;
    next += step;
    ++mine;
    return true;
  }
};

// What one thread works with.
template <class T>
struct PlaneScratch {
  static constexpr int64_t kSums = kSamplesAtOnce<T> * kSegment<T>;  // per channel
  static constexpr int64_t kGroup = 32;                              // samples of all steps of a group, at most
  const EvolveConfig& config;
  const bool backward;
  const StepConfig& step = config.step;
  const gridnet::Shape shape = step.shape;
  const int64_t channels = step.gated ? 2 : 1, plane = shape.n * shape.k;
  // An evolution with one set of parameters keeps those of all planes, for all threads, as it comes back to them.
  const bool all = config.outer_steps > 1 && !config.separate;
  PlaneRing<T> x{nullptr, shape.n, shape.k,
                 backward || config.norm ? 4 : 3};  // backward: as far as the weights' gradients reach
  PlaneRing<T> pre[2] = {{nullptr, shape.n, shape.k, 3}, {nullptr, shape.n, shape.k, 3}};
  PlaneParameters<T> parameters{{shape}, channels, all}, transposed = parameters, grads{{shape}, channels, false};
  // The same for both passes where one finds what the other kept.
  const int64_t tile =
      plane_tile<T>(step, x.sample_size() + (backward || config.norm ? channels * pre[0].sample_size() : 0));
  // Steps whose weights' gradients are summed together: a few samples are not worth fetching and storing the sums for.
  const int64_t group = !all || tile > kGroup / 2            ? 1
                        : kGroup / tile < config.outer_steps ? kGroup / tile
                                                             : config.outer_steps;
  const int64_t ring_samples = backward ? group * tile : tile;
  T* sums = nullptr;

  int64_t lines_size() const { return (backward ? 2 : 1) * parameters.size(); }
  int64_t size() const {
    return round_up(x.size(ring_samples), 64) + 2 * kSums + (all ? 0 : lines_size()) +
           (backward ? grads.size() + round_up(channels * pre[0].size(tile), 64) : 0);
  }
  int64_t shared_size() const { return all ? lines_size() : 0; }
  void set(T* own, T* shared) {
    const auto take = [](T*& from, int64_t n) {
      T* part = from;
      from += n;
      return part;
    };
    x.data = take(own, round_up(x.size(ring_samples), 64));
    sums = take(own, 2 * kSums);
    T*& lines = all ? shared : own;
    parameters.data = take(lines, parameters.size());
    x.clear(ring_samples);
    if (!backward) return;
    transposed.data = take(lines, parameters.size());
    grads.data = take(own, grads.size());
    pre[0].data = take(own, round_up(channels * pre[0].size(tile), 64));
    pre[1].data = pre[0].data + pre[0].size(tile);
    for (int64_t i = 0; i < channels; ++i) pre[i].clear(tile);
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

  // Makes plane z of `samples` samples from the ring's `first` on that of the grids as a step reads them, zeros
  // outside.
  void read(const Inputs<T>& in, const PlaneReading<T>& from, int64_t first, int64_t samples, int64_t z) const {
    if (z < 0 || z >= shape.m) return x.clear_plane(first, samples, z);
    if (!from.standards) return x.read(from.grids, first, samples, z);
    for (int64_t s = 0; s < samples; ++s)
      norm_cells(from.standards[s], in.norm_weight + z * plane, in.norm_bias + z * plane, from.grids.plane(s, z), plane,
                 x.plane(first + s, z));
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
          for (int v = 0; v < kVectors; ++v) acc[s][v] = load(parameters.bias(z, i) + p + v * kLanes<T>);
        const T* const planes[3] = {x.plane(sample, z - 1) + p, x.plane(sample, z) + p, x.plane(sample, z + 1) + p};
        weigh_planes<T, S>(planes, x.sample_size(), shape.k, parameters.taps(z, i) + p * kNeighbours, acc);
        T* to = sums + i * kSums + (p - at);
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) store(to + s * kSegment<T> + v * kLanes<T>, acc[s][v]);
      }
  }

  // Calls f(sample, first position, count, sums of the value channel, of the gate) for every sample and segment of
  // plane z, the sums being those of the count positions. known: the sums, or null data to compute them; a plane is
  // [channel][n][k]. Before sums are computed, before(first, count) is called for the samples that go together.
  template <class Before, class F>
  void each_segment(int64_t samples, int64_t z, const PlaneGrids<const T>& known, Before before, F f) const {
    const auto count_from = [&](int64_t at) { return plane - at < kSegment<T> ? plane - at : kSegment<T>; };
    if (known.data) {
      for (int64_t s = 0; s < samples; ++s)
        for (int64_t at = 0; at < plane; at += kSegment<T>) {
          const T* values = known.plane(s, z) + at;
          f(s, at, count_from(at), values, values + plane);
        }
      return;
    }
    for_samples<T>(samples, [&]<int S>(int64_t sample) {
      before(sample, S);
      for (int64_t at = 0; at < plane; at += kSegment<T>) {
        const int64_t count = count_from(at);
        sum_segment<S>(sample, z, at, at + count);
        for (int s = 0; s < S; ++s) f(sample + s, at, count, sums + s * kSegment<T>, sums + kSums + s * kSegment<T>);
      }
    });
  }
};

// The planes that this member walks over, of the grids after step s; unless null, also the step's sums, a plane being
// [channel][n][k], and the moments of the grids [plane][samples]. fresh: this is the first to read parameters that are
// kept for all steps.
template <class T>
void plane_step(const PlaneScratch<T>& own, const Inputs<T>& all_in, int s, const PlaneReading<T>& x, int64_t samples,
                bool fresh, PlaneWalk walk, const PlaneGrids<T>& out, const PlaneGrids<T>& sums,
                PlaneSums<T>* moments) {
  constexpr int P = kPack<T>;
  const StepConfig& c = own.step;
  const bool residual = own.config.outer_residual;
  const Inputs<T> in = own.of_step(all_in, s);
  const int64_t plane = own.plane;
  for (int64_t z; walk.take(z);) {
    if (walk.mine == 1) {
      own.read(in, x, 0, samples, z - walk.step);
      own.read(in, x, 0, samples, z);
    }
    if (fresh || !own.all) own.parameters.fill(in, z);
    with_activation(c.activation, [&]<Activation A>() {
      // Samples are read as they are needed, and those after them fetched meanwhile.
      const auto read = [&](int64_t first, int64_t n) { own.read(in, x.from(first), first, n, z + walk.step); };
      own.each_segment(
          samples, z, {}, read, [&](int64_t sample, int64_t at, int64_t count, const T* values, const T* gates) {
            const T* soon = x.grids.plane(sample + kSamplesAtOnce<T>, z + walk.step) + at;
            const T *from = own.x.plane(sample, z) + at, *scale = in.residual_scale + z * plane + at;
            const T* base = residual ? x.grids.plane(sample, z) + at : from;
            T *to = out.plane(sample, z) + at, *kept = sums.data ? sums.plane(sample, z) + at : nullptr;
            for_packs<T>(count, [&](int64_t i, int64_t n) ZOO_INLINE_LAMBDA {
              prefetch_run(soon + i, P * kLanes<T>);
              const auto pre = load_pack<T, P>(values + i, n), value = activate<A>(pre);
              if (kept) store_pack(kept + i, pre, n);
              if (c.gated) {
                const auto pre_gate = load_pack<T, P>(gates + i, n);
                if (kept) store_pack(kept + plane + i, pre_gate, n);
                const auto towards = value - load_pack<T, P>(from + i, n);
                store_pack(to + i, load_pack<T, P>(base + i, n) + (T(1) - sigmoid(pre_gate)) * towards, n);
              } else {
                store_pack(to + i, load_pack<T, P>(base + i, n) + load_pack<T, P>(scale + i, n) * value, n);
              }
            });
          });
    });
    if (moments) plane_moments<T>(out, samples, z, plane, moments + z * samples);
  }
}

}  // namespace zoo::ZOO_ISA

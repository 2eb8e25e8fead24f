// One gridnet step with cells in lanes, plane by plane. A plane's result does not depend on the thread that computes
// it, so the number of threads changes no bit. Planes that are read again soon stay in the L2 cache.
#pragma once
#include "gridnet/cpu/cell_lanes/scratch.h"
#include "gridnet/cpu/cell_lanes/walk.h"

namespace zoo::ZOO_ISA {

// Step s of some samples, on the planes of one member.
template <class T>
struct PlaneStep {
  const PlaneScratch<T>& own;
  const Inputs<T> in;  // of this step
  PlaneReading<T> x;
  int64_t samples;
  bool fills_parameters;  // `own` does not hold those of this step yet
  PlaneGrids<T> out;
  PlaneGrids<T> sums;     // receives the sums, a plane being [channel][n][k], unless it has no data
  PlaneSums<T>* moments;  // [plane][sample], receives the moments of `out`; or null

  const int64_t plane = own.plane;

  void run(PlaneWalk walk) const {
    for (int64_t z; walk.take(z);) {
      if (walk.mine == 1) {
        own.read(in, x, 0, samples, z - walk.step);
        own.read(in, x, 0, samples, z);
      }
      if (fills_parameters) own.parameters.fill(in, z);
      with_activation(own.step.activation, [&]<Activation A>() { update_plane<A>(z, z + walk.step); });
      if (moments) plane_moments<T>(out, samples, z, plane, moments + z * samples);
    }
  }

 private:
  template <Activation A>
  void update_plane(int64_t z, int64_t next) const {
    // The next plane of a few samples is read just before their sums need it; update_span prefetches it for the samples
    // after them.
    const auto read = [&](int64_t first, int64_t n) { own.read(in, x.from(first), first, n, next); };
    own.each_span(samples, z, {}, read, [&](const PlaneSpan<T>& span) { update_span<A>(span, z, next); });
  }

  template <Activation A>
  void update_span(const PlaneSpan<T>& span, int64_t z, int64_t next) const {
    constexpr int P = kPack<T>;
    const bool gated = own.step.gated, residual = own.config.outer_residual;
    const int64_t sample = span.sample, at = span.at, gate_offset = plane;
    const T *values = span.values, *gates = span.gates;
    const T* soon = x.grids.plane(sample + kSamplesAtOnce<T>, next) + at;
    const T *from = own.x.plane(sample, z) + at, *scale = gated ? nullptr : in.residual_scale + z * plane + at;
    const T* base = residual ? x.grids.plane(sample, z) + at : from;
    T *to = out.plane(sample, z) + at, *saved = sums.data ? sums.plane(sample, z) + at : nullptr;
    for_packs<T>(span.count, [&](int64_t i, int64_t n) ZOO_INLINE_LAMBDA {
      prefetch_run(soon + i, P * kLanes<T>);
      const auto pre = load_pack<T, P>(values + i, n), value = activate<A>(pre);
      if (saved) store_pack(saved + i, pre, n);
      if (gated) {
        const auto pre_gate = load_pack<T, P>(gates + i, n);
        if (saved) store_pack(saved + gate_offset + i, pre_gate, n);
        const auto towards = value - load_pack<T, P>(from + i, n);
        store_pack(to + i, load_pack<T, P>(base + i, n) + (T(1) - sigmoid(pre_gate)) * towards, n);
      } else {
        store_pack(to + i, load_pack<T, P>(base + i, n) + load_pack<T, P>(scale + i, n) * value, n);
      }
    });
  }
};

}  // namespace zoo::ZOO_ISA

// The backward pass of one step with cells in lanes, plane by plane (step.h). No two threads add to the same gradient.
#pragma once
#include "gridnet/cpu/cell_lanes/scratch.h"
#include "gridnet/cpu/cell_lanes/walk.h"

namespace zoo::ZOO_ISA {

// The gradient that arrives at the grids after a step: their own gradient, or that of their LayerNorm.
template <class T>
struct PlaneIncoming {
  PlaneGrids<const T> grad;
  PlaneReading<T> after;      // the grids after the step; without standards, `grad` is their own gradient
  const NormMeans<T>* means;  // of each sample
  const T* norm_weight;
  int64_t plane;               // cells of a plane
  PlaneGrids<const T> bypass;  // the gradient that bypasses the LayerNorm, unless it has no data

  // Returns the gradient of n positions of plane z, from position `at` on.
  template <int P>
  ZOO_INLINE Pack<T, P> gradient(int64_t sample, int64_t z, int64_t at, int64_t n) const {
    const auto g = load_pack<T, P>(grad.plane(sample, z) + at, n);
    if (!after.standards) return g;
    const auto through = means[sample](after.standards[sample], g, load_pack<T, P>(norm_weight + z * plane + at, n),
                                       load_pack<T, P>(after.grids.plane(sample, z) + at, n));
    return bypass.data ? through + load_pack<T, P>(bypass.plane(sample, z) + at, n) : through;
  }
};

// The gradients of the sums of one plane: those of channel i at channels[i], the next sample's `stride` entries on.
template <class T>
struct PlanePreGrads {
  const T* channels[2];
  int64_t stride;
};

// Adds plane z's gradients of the weights to own.grads. Their inputs are in the ring own.x.
template <class T>
void add_weight_gradients(const PlaneScratch<T>& own, const PlanePreGrads<T>& pre, int64_t samples, int64_t z) {
  constexpr int64_t kBlock = 16;  // samples whose rows fit the L1 cache
  const int64_t stride = pre.stride;
  for (int64_t first = 0; first < samples; first += kBlock)
    for (int64_t p = 0; p < own.plane; p += kChunk<T>)
      for (int64_t i = 0; i < own.channels; ++i)
        add_tap_gradients(own.neighbours(own.x, first, z, p), pre.channels[i] + first * stride + p, stride,
                          samples - first < kBlock ? samples - first : kBlock, own.grads.taps(z, i) + p * kNeighbours);
}

// The weight gradients of several steps at once.
template <class T>
struct GroupWeightGradients {
  const PlaneScratch<T>& own;
  const Inputs<T>& in;
  const PlaneReading<T>* x;  // what each step read
  int64_t steps, samples;
  PlaneGrids<T> pre;  // what PlaneBackward left in its `pre`, the samples of the steps one after another

  // For the planes [begin, end). Writes the gradients to `to`, or adds to them.
  void run(int64_t begin, int64_t end, const Grads<T>& to, bool add) const {
    read(begin - 1);
    read(begin);
    for (int64_t z = begin; z < end; ++z) {
      read(z + 1);
      own.grads.clear_taps(z);
      add_weight_gradients(own, {{pre.plane(0, z), pre.plane(0, z) + own.plane}, pre.sample_stride}, steps * samples,
                           z);
      own.grads.write_taps(to, z, add);
    }
  }

 private:
  void read(int64_t z) const {
    for (int64_t s = 0; s < steps; ++s) own.read(in, x[s], s * samples, samples, z);
  }
};

// Which gradients of the parameters a step writes, and how.
template <class T>
struct PlaneTarget {
  Grads<T> grads;
  bool add;               // add to what is there
  bool fills_transposed;  // this step is the first to read transposed weights that stay for all steps
};

// One step's backward pass on the planes of one member.
template <class T>
struct PlaneBackward {
  const PlaneScratch<T>& own;
  const Inputs<T>& in;  // of this step
  PlaneReading<T> x;
  PlaneGrids<const T> saved_sums;  // a plane is [channel][n][k]; recomputed if it has no data
  PlaneIncoming<T> incoming;
  int64_t samples;
  PlaneGrids<T> grad;    // becomes the gradient of what the step read
  PlaneGrids<T> pre;     // becomes the gradient of the sums, or has no data: then weight gradients are added at once
  PlaneGrids<T> bypass;  // with outer_residual: becomes the incoming gradient, which also bypasses the step

  const int64_t plane = own.plane;
  const bool gated = own.step.gated, residual = own.config.outer_residual;
  // The direct gradient is what reaches the input past the sums. It is not copied if it is the incoming one, unchanged.
  const bool copies_direct = gated || (!residual && incoming.after.standards);

  // The planes [begin, end). finish(z) is called when plane z of `grad` is complete. The pass that computes `grad` is
  // one plane behind the one that computes the gradients of the sums, of which it needs a plane on either side.
  template <class F>
  void run(int s, int64_t begin, int64_t end, const PlaneTarget<T>& target, F finish) const {
    if (begin == end) return;
    const PlaneOrder order(s, begin - 1, end + 1);
    own.read(in, x, 0, samples, order.first - order.next);
    own.read(in, x, 0, samples, order.first);
    for (int64_t z = order.first; z != order.end; z += order.next) {
      own.read(in, x, 0, samples, z + order.next);
      const bool mine = z >= begin && z < end;
      if (mine) own.grads.clear_lines(z);
      backward_sums(z, mine);
      if (mine) own.grads.write_lines(target.grads, z, target.add);
      if (mine && pre.data) copy_pre(z);
      const int64_t done = z - order.next;
      if (done == order.first || z == order.first) continue;
      if (target.fills_transposed || !own.all) own.transposed.fill_transposed(in, done);
      backward_inputs(done);
      if (!pre.data) backward_weights(done, target);
      finish(done);
    }
  }

 private:
  // Computes the gradient of the sums of plane z into own.pre. If the plane is this member's, adds to the gradients of
  // bias and scale, and writes `bypass`.
  void backward_sums(int64_t z, bool mine) const {
    if (z < 0 || z >= own.shape.m) {
      for (int64_t i = 0; i < own.channels; ++i) own.pre[i].clear_plane(0, samples, z);
      return;
    }
    if (!own.all && !saved_sums.data) own.parameters.fill(in, z);
    with_activation(own.step.activation, [&]<Activation A>() {
      const auto before = [](int64_t, int64_t) {};  // the planes are in the ring
      own.each_span(samples, z, saved_sums, before, [&](const PlaneSpan<T>& span) { backward_span<A>(span, z, mine); });
    });
  }

  template <Activation A>
  void backward_span(const PlaneSpan<T>& span, int64_t z, bool mine) const {
    constexpr int P = kPack<T>;
    const int64_t s = span.sample, at = span.at, cell = z * plane + at;
    const T *values = span.values, *gates = span.gates;
    T *to = own.pre[0].plane(s, z) + at, *to_gate = own.pre[1].plane(s, z) + at;
    T *grad_bias = own.grads.bias(z, 0) + at, *grad_gate_bias = own.grads.bias(z, 1) + at;
    T *grad_scale = own.grads.scale(z) + at, *direct = grad.plane(s, z) + at;
    T* passing = mine && residual ? bypass.plane(s, z) + at : nullptr;
    const auto add = [&](T* sum, const auto& x) ZOO_INLINE_LAMBDA {
      constexpr int64_t whole = P * kLanes<T>;
      store_pack(sum, load_pack<T, P>(sum, whole) + x, whole);
    };
    for_packs<T>(span.count, [&](int64_t i, int64_t left) ZOO_INLINE_LAMBDA {
      const auto g = incoming.template gradient<P>(s, z, at + i, left);
      const auto act = activate_with_slope<A>(load_pack<T, P>(values + i, left));
      if (passing) store_pack(passing + i, g, left);
      if (gated) {
        const auto gate = sigmoid(load_pack<T, P>(gates + i, left)), through = g * (T(1) - gate);
        const auto g_value = through * act.slope;
        const auto g_gate = through * gate * (load_pack<T, P>(own.x.plane(s, z) + at + i, left) - act.value);
        store_pack(to + i, g_value, left);
        store_pack(to_gate + i, g_gate, left);
        if (!mine) return;
        store_pack(direct + i, residual ? -through : g * gate, left);
        add(grad_bias + i, g_value);
        add(grad_gate_bias + i, g_gate);
      } else {
        const auto g_pre = g * act.slope * load_pack<T, P>(in.residual_scale + cell + i, left);
        store_pack(to + i, g_pre, left);
        if (!mine) return;
        if (copies_direct) store_pack(direct + i, g, left);
        add(grad_scale + i, g * act.value);
        add(grad_bias + i, g_pre);
      }
    });
  }

  // Computes plane z of `grad` from own.pre.
  void backward_inputs(int64_t z) const {
    constexpr int L = kLanes<T>;
    const PlaneGrids<const T> direct = copies_direct ? PlaneGrids<const T>(grad)
                                       : residual    ? PlaneGrids<const T>{}
                                                     : incoming.grad;
    for_samples<T>(samples, [&]<int S>(int64_t first) {
      for (int64_t p = 0; p < plane; p += kChunk<T>) {
        const int64_t count = plane - p;
        Vec<T> acc[S][kVectors] = {};
        // Calls f(sum, the address of its positions in `grids`, their number) for every sum.
        const auto each = [&](const auto& grids, int64_t n, auto f) ZOO_INLINE_LAMBDA {
#pragma GCC unroll 8
          for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) f(acc[s][v], grids.plane(first + s, z) + p + v * L, n - v * L);
        };
        const auto each_of_all = [&](const auto& grids, auto f) ZOO_INLINE_LAMBDA {
          if (count >= kChunk<T>) each(grids, kChunk<T>, f);
          else each(grids, count, f);
        };
        if (direct.data)
          each_of_all(direct, [](Vec<T>& to, const T* from, int64_t n) ZOO_INLINE_LAMBDA { to = load_part(from, n); });
        for (int64_t i = 0; i < own.channels; ++i)
          sum_plane_neighbours<T, S>(own.neighbours(own.pre[i], first, z, p),
                                     own.transposed.taps(z, i) + p * kNeighbours, acc);
        each_of_all(grad, [](Vec<T>& from, T* to, int64_t n) ZOO_INLINE_LAMBDA { store_part(to, from, n); });
      }
    });
  }

  void backward_weights(int64_t z, const PlaneTarget<T>& target) const {
    own.grads.clear_taps(z);
    add_weight_gradients(own, {{own.pre[0].plane(0, z), own.pre[1].plane(0, z)}, own.pre[0].sample_size()}, samples, z);
    own.grads.write_taps(target.grads, z, target.add);
  }

  void copy_pre(int64_t z) const {
    for (int64_t s = 0; s < samples; ++s)
      for (int64_t i = 0; i < own.channels; ++i)
        std::memcpy(pre.plane(s, z) + i * plane, own.pre[i].plane(s, z), plane * sizeof(T));
  }
};

}  // namespace zoo::ZOO_ISA

// The backward pass of one step, plane by plane: see cpu_plane_step.h. No two threads add to the same gradient.
#pragma once
#include "gridnet/cpu/cell_lanes/step.h"

namespace zoo::ZOO_ISA {

// How the gradient of the grids after a step comes in: as it is, or as that of their LayerNorm.
template <class T>
struct PlaneIncoming {
  PlaneGrids<const T> grad;
  PlaneReading<T> after;      // no standards: grad is that of the grids
  const NormMeans<T>* means;  // of each sample
  const T* norm_weight;
  PlaneGrids<const T> passing;  // what reached the grids past their LayerNorm; null data: nothing

  // Of n positions from `at` on in plane z, the first of which is number `cell` of the grid.
  template <int P>
  ZOO_INLINE Pack<T, P> operator()(int64_t sample, int64_t z, int64_t at, int64_t cell, int64_t n) const {
    const auto g = load_pack<T, P>(grad.plane(sample, z) + at, n);
    if (!after.standards) return g;
    const auto through = means[sample](after.standards[sample], g, load_pack<T, P>(norm_weight + cell, n),
                                       load_pack<T, P>(after.grids.plane(sample, z) + at, n));
    return passing.data ? through + load_pack<T, P>(passing.plane(sample, z) + at, n) : through;
  }
};

// What plane z of `samples` samples adds to the gradients of its weights, their inputs being in the ring. pre: the
// gradient of each channel's sums of that plane, the next sample's `stride` entries on.
template <class T>
void add_weight_gradients(const PlaneScratch<T>& own, const T* const (&pre)[2], int64_t stride, int64_t samples,
                          int64_t z) {
  constexpr int64_t kBlock = 16;  // samples whose rows fit the L1 cache
  for (int64_t first = 0; first < samples; first += kBlock)
    for (int64_t p = 0; p < own.plane; p += kChunk<T>)
      for (int64_t i = 0; i < own.channels; ++i) {
        const T* const planes[3] = {own.x.plane(first, z - 1) + p, own.x.plane(first, z) + p,
                                    own.x.plane(first, z + 1) + p};
        weigh_gradient(planes, pre[i] + first * stride + p, own.x.sample_size(), stride, own.shape.k,
                       samples - first < kBlock ? samples - first : kBlock, own.grads.taps(z, i) + p * kNeighbours);
      }
}

// The weights' gradients of planes [begin, end), of several steps at once: x holds what each read, and pre what
// PlaneBackward left, the samples of the steps one after another.
template <class T>
void plane_weight_gradients(const PlaneScratch<T>& own, const Inputs<T>& in, const PlaneReading<T>* x, int64_t steps,
                            int64_t samples, const PlaneGrids<T>& pre, int64_t begin, int64_t end, const Grads<T>& to,
                            bool add) {
  const auto read = [&](int64_t z) {
    for (int64_t s = 0; s < steps; ++s) own.read(in, x[s], s * samples, samples, z);
  };
  read(begin - 1);
  read(begin);
  for (int64_t z = begin; z < end; ++z) {
    read(z + 1);
    own.grads.clear_taps(z);
    const T* const channels[2] = {pre.plane(0, z), pre.plane(0, z) + own.plane};
    add_weight_gradients(own, channels, pre.sample_stride, steps * samples, z);
    own.grads.write_taps(to, z, add);
  }
}

// One step's backward pass on the planes of one thread.
template <class T>
struct PlaneBackward {
  const PlaneScratch<T>& own;
  const Inputs<T>& in;  // of this step
  PlaneReading<T> x;
  PlaneGrids<const T> known_sums;  // a plane is [channel][n][k]; null data: they are computed again
  PlaneIncoming<T> incoming;
  int64_t samples;
  PlaneGrids<T> grad;       // becomes the gradient of what the step read
  PlaneGrids<T> pre;        // becomes the gradient of the sums; null data to add the weights' gradients at once
  PlaneGrids<T> passes_on;  // with outer_residual: becomes the incoming gradient, which also passes the step by

  const int64_t plane = own.plane;
  const bool gated = own.step.gated, residual = own.config.outer_residual;
  // The gradient that reaches what the step read past its sums: where it is the incoming one, unchanged, it is not
  // copied.
  const bool copies_direct = gated || (!residual && incoming.after.standards);

  // The gradient of the sums of plane z, into own.pre; where the plane is this thread's, also those of bias and scale.
  void sums(int64_t z, bool mine) const {
    constexpr int P = kPack<T>;
    with_activation(own.step.activation, [&]<Activation A>() {
      const auto before = [](int64_t, int64_t) {};  // what is summed is there already
      own.each_segment(
          samples, z, known_sums, before, [&](int64_t s, int64_t at, int64_t count, const T* values, const T* gates) {
            const int64_t cell = z * plane + at;
            T *pre = own.pre[0].plane(s, z) + at, *pre_gate = own.pre[1].plane(s, z) + at;
            T *grad_bias = own.grads.bias(z, 0) + at, *grad_gate_bias = own.grads.bias(z, 1) + at;
            T *grad_scale = own.grads.scale(z) + at, *direct = grad.plane(s, z) + at;
            T* passing = mine && residual ? passes_on.plane(s, z) + at : nullptr;
            const auto add = [&](T* to, const auto& x) ZOO_INLINE_LAMBDA {
              constexpr int64_t whole = P * kLanes<T>;
              store_pack(to, load_pack<T, P>(to, whole) + x, whole);
            };
            for_packs<T>(count, [&](int64_t i, int64_t left) ZOO_INLINE_LAMBDA {
              const auto g = incoming.template operator()<P>(s, z, at + i, cell + i, left);
              const auto act = activate_with_slope<A>(load_pack<T, P>(values + i, left));
              if (passing) store_pack(passing + i, g, left);
              if (gated) {
                const auto gate = sigmoid(load_pack<T, P>(gates + i, left)), through = g * (T(1) - gate);
                const auto g_value = through * act.slope;
                const auto g_gate = through * gate * (load_pack<T, P>(own.x.plane(s, z) + at + i, left) - act.value);
                store_pack(pre + i, g_value, left);
                store_pack(pre_gate + i, g_gate, left);
                if (!mine) return;
                store_pack(direct + i, residual ? -through : g * gate, left);
                add(grad_bias + i, g_value);
                add(grad_gate_bias + i, g_gate);
              } else {
                const auto g_pre = g * act.slope * load_pack<T, P>(in.residual_scale + cell + i, left);
                store_pack(pre + i, g_pre, left);
                if (!mine) return;
                if (copies_direct) store_pack(direct + i, g, left);
                add(grad_scale + i, g * act.value);
                add(grad_bias + i, g_pre);
              }
            });
          });
    });
  }

  // Plane z of the gradient of what the step read, out of own.pre.
  void inputs(int64_t z) const {
    constexpr int L = kLanes<T>;
    const PlaneGrids<const T> direct = copies_direct ? PlaneGrids<const T>(grad)
                                       : residual    ? PlaneGrids<const T>{}
                                                     : incoming.grad;
    for_samples<T>(samples, [&]<int S>(int64_t first) {
      for (int64_t p = 0; p < plane; p += kChunk<T>) {
        const int64_t count = plane - p;
        Vec<T> acc[S][kVectors] = {};
        // Calls f(sum, place of its positions, their number) for all sums, the places being those in `grids`.
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
        for (int64_t i = 0; i < own.channels; ++i) {
          const PlaneRing<T>& pre = own.pre[i];
          const T* const planes[3] = {pre.plane(first, z - 1) + p, pre.plane(first, z) + p,
                                      pre.plane(first, z + 1) + p};
          weigh_planes<T, S>(planes, pre.sample_size(), own.shape.k, own.transposed.taps(z, i) + p * kNeighbours, acc);
        }
        each_of_all(grad, [](Vec<T>& from, T* to, int64_t n) ZOO_INLINE_LAMBDA { store_part(to, from, n); });
      }
    });
  }

  // All of it for planes [begin, end); finish(z) is called when plane z of `grad` is there. The pass over `grad` is one
  // plane behind, and needs the gradients of the sums of a plane on either side. The parameters' gradients go to `to`,
  // in place of what is there or added to it. fresh: this is the first to read transposed weights that are kept for all
  // steps.
  template <class F>
  void run(int s, int64_t begin, int64_t end, bool fresh, const Grads<T>& to, bool add, F finish) const {
    if (begin == end) return;
    const PlaneOrder order(s, begin - 1, end + 1);
    own.read(in, x, 0, samples, order.first - order.next);
    own.read(in, x, 0, samples, order.first);
    for (int64_t z = order.first; z != order.behind; z += order.next) {
      own.read(in, x, 0, samples, z + order.next);
      const bool mine = z >= begin && z < end;
      if (mine) own.grads.clear_lines(z);
      if (z >= 0 && z < own.shape.m) {
        if (!own.all && !known_sums.data) own.parameters.fill(in, z);
        sums(z, mine);
      } else {
        for (int64_t i = 0; i < own.channels; ++i) own.pre[i].clear_plane(0, samples, z);
      }
      if (mine) own.grads.write_lines(to, z, add);
      if (mine && pre.data) copy_pre(z);
      const int64_t done = z - order.next;
      if (done == order.first || z == order.first) continue;
      if (fresh || !own.all) own.transposed.fill_transposed(in, done);
      inputs(done);
      if (!pre.data) {
        own.grads.clear_taps(done);
        const T* const sums[2] = {own.pre[0].plane(0, done), own.pre[1].plane(0, done)};
        add_weight_gradients(own, sums, own.pre[0].sample_size(), samples, done);
        own.grads.write_taps(to, done, add);
      }
      finish(done);
    }
  }

  void copy_pre(int64_t z) const {
    for (int64_t s = 0; s < samples; ++s)
      for (int64_t i = 0; i < own.channels; ++i)
        std::memcpy(pre.plane(s, z) + i * plane, own.pre[i].plane(s, z), plane * sizeof(T));
  }
};

}  // namespace zoo::ZOO_ISA

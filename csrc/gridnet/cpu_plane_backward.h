// The backward pass of a single step, plane by plane: see cpu_plane_step.h. No two threads add to the same gradient.
#pragma once
#include "cpu_plane_step.h"

namespace zoo::ZOO_ISA {

using gridnet::Grads;

// gpre of plane z for all samples, into own.pre; where the plane is this thread's, also the gradients of bias and scale, and
// what of the output's gradient reaches x directly, into grad_x.
template <class T>
void plane_backward_pre(const PlaneScratch<T>& own, const T* grad_out, int64_t samples, int64_t z, bool mine, T* grad_x) {
  constexpr int P = kPack<T>;
  const StepConfig& c = own.config;
  const int64_t cells = c.shape.cells(), plane = c.shape.n * c.shape.k, line = own.line.size();
  with_activation(c.activation, [&]<Activation A>() {
    own.each_segment(samples, z, [&](int64_t s, int64_t at, int64_t count, const T* values, const T* gates) {
      const int64_t cell = s * cells + z * plane + at;
      T *pre = own.pre[0].plane(s, z) + at, *pre_gate = own.pre[1].plane(s, z) + at;
      const auto add = [&](T* sums, const auto& x) ZOO_INLINE_LAMBDA {
        constexpr int64_t whole = P * kLanes<T>;
        store_pack(sums, load_pack<T, P>(sums, whole) + x, whole);
      };
      for_packs<T>(count, [&](int64_t i, int64_t left) ZOO_INLINE_LAMBDA {
        const auto g = load_pack<T, P>(grad_out + cell + i, left);
        const auto act = gridnet::activate_with_slope<A>(load_pack<T, P>(values + i, left));
        if (c.gated) {
          const auto gate = gridnet::sigmoid(load_pack<T, P>(gates + i, left)), through = g * (T(1) - gate);
          const auto g_value = through * act.slope;
          const auto g_gate = through * gate * (load_pack<T, P>(own.x.plane(s, z) + at + i, left) - act.value);
          store_pack(pre + i, g_value, left);
          store_pack(pre_gate + i, g_gate, left);
          if (!mine) return;
          store_pack(grad_x + cell + i, g * gate, left);
          add(own.grad_bias + at + i, g_value);
          add(own.grad_bias + line + at + i, g_gate);
        } else {
          const auto g_pre = g * act.slope * load_pack<T, P>(own.scale + at + i, left);
          store_pack(pre + i, g_pre, left);
          if (!mine) return;
          add(own.grad_scale + at + i, g * act.value);
          add(own.grad_bias + at + i, g_pre);
        }
      });
    });
  });
}

// The gradient of plane z of x out of own.pre, and what the plane adds to the weights' gradients.
template <class T>
void plane_backward_x(const PlaneScratch<T>& own, const T* direct, int64_t samples, int64_t z, T* grad_x) {
  constexpr int L = kLanes<T>;
  const gridnet::Shape shape = own.shape;
  const int64_t cells = shape.cells(), plane = shape.n * shape.k, line = own.line.size();
  for_samples<T>(samples, [&]<int S>(int64_t first) {
    for (int64_t p = 0; p < plane; p += kChunk<T>) {
      const int64_t cell = first * cells + z * plane + p, count = plane - p;
      Vec<T> acc[S][kVectors];
      const auto each = [&](int64_t n, auto f) ZOO_INLINE_LAMBDA {
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) f(acc[s][v], cell + s * cells + v * L, n - v * L);
      };
      const auto each_of_all = [&](auto f) ZOO_INLINE_LAMBDA {
        if (count >= kChunk<T>) each(kChunk<T>, f);
        else each(count, f);
      };
      each_of_all([&](Vec<T>& to, int64_t at, int64_t n) ZOO_INLINE_LAMBDA { to = load_part(direct + at, n); });
      for (int64_t i = 0; i < own.channels; ++i) {
        const PlaneRing<T>& pre = own.pre[i];
        const T* const planes[3] = {pre.plane(first, z - 1) + p, pre.plane(first, z) + p, pre.plane(first, z + 1) + p};
        weigh_planes<T, S>(planes, pre.sample_size(), shape.k, own.transposed + i * kNeighbours * line + p, line, acc);
      }
      each_of_all([&](Vec<T>& from, int64_t at, int64_t n) ZOO_INLINE_LAMBDA { store_part(grad_x + at, from, n); });
    }
  });
  constexpr int64_t kBlock = 16;  // samples whose rows fit the L1 cache
  for (int64_t first = 0; first < samples; first += kBlock)
    for (int64_t p = 0; p < plane; p += kChunk<T>)
      for (int64_t i = 0; i < own.channels; ++i) {
        const T* const planes[3] = {own.x.plane(first, z - 1) + p, own.x.plane(first, z) + p, own.x.plane(first, z + 1) + p};
        weigh_gradient(planes, own.pre[i].plane(first, z) + p, own.x.sample_size(), own.pre[i].sample_size(), shape.k,
                       samples - first < kBlock ? samples - first : kBlock, line, own.grad_weights + i * kNeighbours * line + p);
      }
}

// Lines of a plane -> torch's parameter gradients, added to what an earlier tile of samples left there.
template <class T>
struct PlaneGradients {
  const PlaneScratch<T>& own;
  bool add;

  void write(const T* from, int64_t z, T* to) const {
    const int64_t plane = own.shape.n * own.shape.k;
    to += z * plane;
    if (!add) std::memcpy(to, from, plane * sizeof(T));
    else for (int64_t i = 0; i < plane; ++i) to[i] += from[i];
  }
  void clear_bias() const {
    std::memset(own.grad_bias, 0, (own.channels + 1) * own.line.size() * sizeof(T));  // and the scale's, behind it
  }
  void write_bias(int64_t z, const Grads<T>& grads) const {
    for (int64_t i = 0; i < own.channels; ++i) write(own.grad_bias + i * own.line.size(), z, grads.bias + i * own.shape.cells());
    if (!own.config.gated) write(own.grad_scale, z, grads.residual_scale);
  }
  void clear_weights() const {
    std::memset(own.grad_weights, 0, own.channels * kNeighbours * own.line.size() * sizeof(T));
  }
  void write_weights(int64_t z, const Grads<T>& grads) const {
    for (int64_t i = 0; i < own.channels; ++i)
      for (int64_t tap = 0; tap < kNeighbours; ++tap) {
        T* sums = own.grad_weights + (i * kNeighbours + tap) * own.line.size();
        own.line.clear_edges(static_cast<int>(tap % 3) - 1, sums);
        write(sums, z, grads.weight + (tap * own.channels + i) * own.shape.cells());
      }
  }
};

// Planes [begin, end) of this thread. The pass over x is one plane behind, and needs `pre` of a plane on either side.
template <class T>
void plane_backward(const PlaneScratch<T>& own, const Inputs<T>& in, const T* grad_out, const Team& team, const Grads<T>& grads) {
  const StepConfig& c = own.config;
  const gridnet::Shape shape = c.shape;
  const int64_t begin = team.begin(shape.m), end = team.end(shape.m);
  if (begin == end) return;
  own.x.clear(own.tile);
  for (int64_t i = 0; i < own.channels; ++i) own.pre[i].clear(own.tile);
  for (int64_t first = 0; first < c.batch; first += own.tile) {
    const int64_t samples = c.batch - first < own.tile ? c.batch - first : own.tile, at = first * shape.cells();
    const PlaneGradients<T> gradients{own, first > 0};
    for (int64_t z = begin - 2; z <= begin; ++z) own.x.read(in.x + at, shape, samples, z);
    for (int64_t z = begin - 1; z <= end; ++z) {
      own.x.read(in.x + at, shape, samples, z + 1);
      const bool mine = z >= begin && z < end;
      if (mine) gradients.clear_bias();
      if (z >= 0 && z < shape.m) {
        own.fill_parameters(in, z);
        plane_backward_pre(own, grad_out + at, samples, z, mine, grads.x + at);
      } else {
        for (int64_t i = 0; i < own.channels; ++i) own.pre[i].read(nullptr, shape, samples, z);
      }
      if (mine) gradients.write_bias(z, grads);
      if (z <= begin) continue;
      own.fill_transposed(in, z - 1);
      gradients.clear_weights();
      plane_backward_x(own, c.gated ? grads.x + at : grad_out + at, samples, z - 1, grads.x + at);
      gradients.write_weights(z - 1, grads);
    }
  }
}

template <class T>
void step_planes_backward(const StepConfig& c, const Inputs<T>& in, const T* grad_out, const Grads<T>& grads,
                          Workspace& workspace, int threads) {
  const int64_t size = PlaneScratch<T>{c, true}.size();
  T* data = workspace.get<T>(12, threads * size);
  auto body = [&](const Team& team) {
    PlaneScratch<T> own{c, true};
    own.set(data + team.rank * size);
    plane_backward(own, in, grad_out, team, grads);
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

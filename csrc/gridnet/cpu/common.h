// Small helpers that both CPU algorithms use: samples in lanes (sample_lanes/) and cells in lanes (cell_lanes/).
#pragma once
#include "core/math.h"
#include "core/simd.h"
#include "gridnet/problem.h"

namespace zoo::ZOO_ISA {

using gridnet::BackwardArgs;
using gridnet::EvolveConfig;
using gridnet::ForwardArgs;
using gridnet::Grads;
using gridnet::Inputs;
using gridnet::kNeighbours;
using gridnet::Layout;
using gridnet::Shape;
using gridnet::StepConfig;

// Calls f.template operator()<A>() with the activation as a template argument.
template <class F>
ZOO_INLINE void with_activation(Activation a, F f) {
  switch (a) {
    case Activation::silu: return f.template operator()<Activation::silu>();
    case Activation::relu: return f.template operator()<Activation::relu>();
    case Activation::leaky_relu: return f.template operator()<Activation::leaky_relu>();
    case Activation::tanh: return f.template operator()<Activation::tanh>();
  }
}

template <class T>
ZOO_INLINE void prefetch_run(const T* p, int64_t n) {
  for (int64_t i = 0; i < n; i += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(p + i);
}

// Forward saves every `recompute`-th grid but the first, and the last one if the output is its LayerNorm.
ZOO_INLINE bool saves_grid(const EvolveConfig& c, int s) {
  return s == c.outer_steps ? c.normalises_output() : s > 0 && s % c.recompute == 0;
}
ZOO_INLINE int64_t count_saved_grids(const EvolveConfig& c) {
  return (c.outer_steps - 1) / c.recompute + c.normalises_output();
}
// The place of grid s among them.
ZOO_INLINE int64_t saved_index(const EvolveConfig& c, int s) {
  return s == c.outer_steps ? count_saved_grids(c) - 1 : s / c.recompute - 1;
}

// The steps [first, end) between two saved grids. Backward takes the intervals from the last one to the first: it
// recomputes the grids within an interval, then goes back through its steps.
struct Interval {
  int first, end;

  static ZOO_INLINE Interval last(const EvolveConfig& c) {
    return {(c.outer_steps - 1) / c.recompute * c.recompute, c.outer_steps};
  }
  ZOO_INLINE Interval before(const EvolveConfig& c) const { return {first - c.recompute, first}; }
};

}  // namespace zoo::ZOO_ISA

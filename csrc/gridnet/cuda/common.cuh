// Shared by the gridnet kernels: how a kernel indexes the grid, activations, moments.
#pragma once
#include "core/cuda/common.cuh"
#include "core/math.h"
#include "gridnet/cuda/api.h"

namespace zoo::gridnet::cuda {

using namespace zoo::cuda;

// The sides of the grid. A grid has fewer than 2^31 cells (checked), so an int indexes it; a batch may need an int64_t.
struct Grid {
  int m, n, k;
  __host__ __device__ int cells() const { return m * n * k; }
  __device__ bool contains(int z, int y, int x) const { return z >= 0 && z < m && y >= 0 && y < n && x >= 0 && x < k; }
  __device__ int index(int z, int y, int x) const { return (z * n + y) * k + x; }
};

inline Grid grid_of(const Shape& shape) {
  return {static_cast<int>(shape.m), static_cast<int>(shape.n), static_cast<int>(shape.k)};
}

// The samples of one CTA: part `part` of `parts` of the batch.
struct SampleRange {
  int begin, end;
  __device__ SampleRange(int batch, int part, int parts)
      : begin(static_cast<int>(int64_t{batch} * part / parts)),
        end(static_cast<int>(int64_t{batch} * (part + 1) / parts)) {}
};

// Chooses the activation at run time: one uniform branch per cell, and a quarter of the kernels to compile.
template <class A>
__device__ ValueAndSlope<A> activate_with_slope(Activation activation, A x) {
  switch (activation) {
    case Activation::silu: return zoo::activate_with_slope<Activation::silu>(x);
    case Activation::relu: return zoo::activate_with_slope<Activation::relu>(x);
    case Activation::leaky_relu: return zoo::activate_with_slope<Activation::leaky_relu>(x);
    default: return zoo::activate_with_slope<Activation::tanh>(x);
  }
}

template <class A>
__device__ A activate(Activation activation, A x) {
  return activate_with_slope(activation, x).value;
}

// Count, mean and sum of squared deviations of a group of values. Groups can be merged without cancellation.
template <class A>
struct Moments {
  A count, mean, m2;
};

// The moments of a warp's `count` values. lane_sum and squares(mean) are a lane's parts of their sum and of the sum of
// squared deviations. Every lane must call it.
template <class A, class Squares>
__device__ Moments<A> warp_moments(A count, A lane_sum, Squares squares) {
  const A mean = warp_sum(lane_sum) / (count > A(1) ? count : A(1));
  return {count, mean, warp_sum(squares(mean))};
}

// The sums over a group of cells that LayerNorm's backward pass needs: of g = grad * weight, and of g times the
// normalised value. `means` of a sample are these sums over all of its cells, divided by their number.
template <class A>
struct GradSums {
  A plain, weighted;
};

// The sums over the lanes of a warp, in every lane. All lanes must take part.
template <class A>
__device__ GradSums<A> warp_sums(const GradSums<A>& lane) {
  return {warp_sum(lane.plain), warp_sum(lane.weighted)};
}

// The parameters of a cell: 27 weights and a bias per channel, and the residual scale of a plain cell.
template <bool Gated>
constexpr int kChannels = Gated ? 2 : 1;
template <bool Gated>
constexpr int kParameterPlanes = Gated ? 2 * kNeighbours + 2 : kNeighbours + 2;

inline int parameter_planes(const StepConfig& config) {
  return config.gated ? kParameterPlanes<true> : kParameterPlanes<false>;
}

}  // namespace zoo::gridnet::cuda

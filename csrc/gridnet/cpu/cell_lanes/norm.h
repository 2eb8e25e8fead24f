// LayerNorm over the whole grid of each sample with cells in lanes. Sums are taken per plane and added up in the
// planes' order, so that they do not depend on which thread took which plane.
#pragma once
#include <cmath>

#include "gridnet/cpu/cell_lanes/grids.h"

namespace zoo::ZOO_ISA {

// Of one plane of one sample: its moments, which are mean and sum of squared deviations, or the two sums of NormMeans.
template <class T>
struct PlaneSums {
  T first, second;
};

// The moments of n cells. Deviations are taken from the mean of the first few, which needs one pass and hardly cancels.
template <class T>
PlaneSums<T> plane_moments(const T* x, int64_t n) {
  constexpr int L = kLanes<T>;
  const int64_t some = n < L ? n : L;
  T pivot = 0;
  for (int64_t i = 0; i < some; ++i) pivot += x[i] / static_cast<T>(some);
  Vec<T> sums[2] = {}, squares[2] = {};
  int64_t i = 0;
  for (; i + 2 * L <= n; i += 2 * L)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const Vec<T> d = load_unaligned(x + i + v * L) - pivot;
      sums[v] += d;
      squares[v] += d * d;
    }
  T sum = sum_lanes<T>(sums[0] + sums[1]), square = sum_lanes<T>(squares[0] + squares[1]);
  for (; i < n; ++i) {
    sum += x[i] - pivot;
    square += (x[i] - pivot) * (x[i] - pivot);
  }
  return {pivot + sum / static_cast<T>(n), square - sum * (sum / static_cast<T>(n))};
}

// The moments of plane z of every sample, n cells each.
template <class T>
void plane_moments(const PlaneGrids<const T>& x, int64_t samples, int64_t z, int64_t n, PlaneSums<T>* moments) {
  for (int64_t i = 0; i < samples; ++i) moments[i] = plane_moments(x.plane(i, z), n);
}

// Standardises a sample: z = x * inverse + shift.
template <class T>
struct Standard {
  T inverse, shift;

  // From the moments of `planes` planes of `n` cells each, `stride` apart.
  static Standard of(const PlaneSums<T>* moments, int64_t stride, int64_t planes, int64_t n, double eps) {
    T mean = 0, squares = 0;
    for (int64_t z = 0; z < planes; ++z) mean += moments[z * stride].first / static_cast<T>(planes);
    for (int64_t z = 0; z < planes; ++z) {
      const T d = moments[z * stride].first - mean;
      squares += moments[z * stride].second + d * d * static_cast<T>(n);
    }
    const T inverse = T(1) / std::sqrt(squares / static_cast<T>(planes * n) + static_cast<T>(eps));
    return {inverse, -mean * inverse};
  }

  template <int P>
  ZOO_INLINE Pack<T, P> operator()(Pack<T, P> x) const {
    return x * inverse + shift;
  }
};

// out = the LayerNorm of n cells; weight and bias start at the first of them.
template <class T>
void norm_cells(Standard<T> standard, const T* weight, const T* bias, const T* x, int64_t n, T* out) {
  constexpr int P = kPack<T>;
  for_packs<T>(n, [&](int64_t i, int64_t left) ZOO_INLINE_LAMBDA {
    const auto z = standard(load_pack<T, P>(x + i, left));
    store_pack(out + i, z * load_pack<T, P>(weight + i, left) + load_pack<T, P>(bias + i, left), left);
  });
}

// The means that LayerNorm's backward pass needs of a sample: over its cells, of grad * weight and of grad * weight *
// z.
template <class T>
struct NormMeans {
  T plain, weighted;

  static NormMeans of(const PlaneSums<T>* sums, int64_t stride, int64_t planes, int64_t n) {
    NormMeans out{0, 0};
    for (int64_t z = 0; z < planes; ++z) {
      out.plain += sums[z * stride].first;
      out.weighted += sums[z * stride].second;
    }
    return {out.plain / static_cast<T>(planes * n), out.weighted / static_cast<T>(planes * n)};
  }

  // The gradient of x from that of its LayerNorm.
  template <int P>
  ZOO_INLINE Pack<T, P> operator()(Standard<T> standard, Pack<T, P> grad, Pack<T, P> weight, Pack<T, P> x) const {
    return (grad * weight - plain - standard(x) * weighted) * standard.inverse;
  }
};

// A plane of several samples on its way back through a LayerNorm. All pointers are at the plane's first cell.
template <class T>
struct NormPlane {
  PlaneGrids<const T> x, grad;  // grad: of the LayerNorm of x
  const Standard<T>* standards;
  const T* weight;
  T* grad_weight;  // added to, as is grad_bias
  T* grad_bias;
};

// Plane z's part of the sums of NormMeans for every sample. Adds to the gradients of weight and bias of its n cells.
template <class T>
void norm_plane_sums(const NormPlane<T>& plane, int64_t samples, int64_t z, int64_t n, PlaneSums<T>* sums) {
  constexpr int P = kPack<T>;
  for (int64_t s = 0; s < samples; ++s) {
    const T *grads = plane.grad.plane(s, z), *cells = plane.x.plane(s, z);
    T *grad_weight = plane.grad_weight, *grad_bias = plane.grad_bias;
    const Standard<T> standard = plane.standards[s];
    Vec<T> plain{}, weighted{};
    for_packs<T>(n, [&](int64_t i, int64_t left) ZOO_INLINE_LAMBDA {
      const auto w = load_pack<T, P>(plane.weight + i, left), g = load_pack<T, P>(grads + i, left);
      const auto gz = g * standard(load_pack<T, P>(cells + i, left));
      store_pack(grad_weight + i, load_pack<T, P>(grad_weight + i, left) + gz, left);
      store_pack(grad_bias + i, load_pack<T, P>(grad_bias + i, left) + g, left);
      for (int v = 0; v < P; ++v) {
        plain += g.v[v] * w.v[v];
        weighted += gz.v[v] * w.v[v];
      }
    });
    sums[s] = {sum_lanes<T>(plain), sum_lanes<T>(weighted)};
  }
}

}  // namespace zoo::ZOO_ISA

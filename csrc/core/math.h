// Scalar functions and activations, written once for scalars on the CPU, SIMD vectors on the CPU and CUDA threads.
// V is a scalar, a vector (Vec) or several vectors (Pack); simd.h defines exp_of, reciprocal_of and where_positive for
// the last two.
#pragma once
#include <cmath>
#include <type_traits>
#include <utility>

#if defined(ZOO_ISA)  // this file is compiled for one instruction set
#include "core/simd.h"
#endif

#if defined(__CUDACC__)
#define ZOO_HD __host__ __device__ __forceinline__
#else
#define ZOO_HD inline __attribute__((always_inline))
#endif

namespace zoo {

#if defined(ZOO_ISA)
// The templates below find the vector forms by their plain names.
using ZOO_ISA::exp_of;
using ZOO_ISA::reciprocal_of;
#endif

enum class Activation : int { silu = 0, relu = 1, leaky_relu = 2, tanh = 3 };

constexpr double kLeakySlope = 0.01;

#if defined(__CUDA_ARCH__)
ZOO_HD float exp_of(float x) { return __expf(x); }
ZOO_HD double exp_of(double x) { return exp(x); }
#else
ZOO_HD float exp_of(float x) { return std::exp(x); }
ZOO_HD double exp_of(double x) { return std::exp(x); }
#endif

ZOO_HD float reciprocal_of(float x) { return 1 / x; }
ZOO_HD double reciprocal_of(double x) { return 1 / x; }

// The constant c as a V: a scalar, or c in every lane.
template <class V>
ZOO_HD V constant(double c) {
  if constexpr (std::is_arithmetic_v<V>) {
    return static_cast<V>(c);
  } else {
    using T = std::remove_reference_t<decltype(std::declval<V&>()[0])>;
    return static_cast<T>(c) - V{};
  }
}

template <class V>
ZOO_HD V sigmoid(V x) {
  const V one = constant<V>(1);
  return reciprocal_of(one + exp_of(-x));
}

// a where x > 0, else b.
template <class V>
ZOO_HD V where_positive(V x, V a, V b) {
  return x > constant<V>(0) ? a : b;
}

// An activation and its derivative at the same point.
template <class V>
struct ValueAndSlope {
  V value;
  V slope;
};

template <Activation A, class V>
ZOO_HD ValueAndSlope<V> activate_with_slope(V x) {
  const V zero = constant<V>(0), one = constant<V>(1);
  if constexpr (A == Activation::silu) {
    const V s = sigmoid(x);
    return {x * s, s * (one + x * (one - s))};
  } else if constexpr (A == Activation::relu) {
    return {where_positive(x, x, zero), where_positive(x, one, zero)};
  } else if constexpr (A == Activation::leaky_relu) {
    const V slope = where_positive(x, one, constant<V>(kLeakySlope));
    return {x * slope, slope};
  } else {
    const V two = constant<V>(2);
    const V t = one - two * reciprocal_of(one + exp_of(two * x));
    return {t, one - t * t};
  }
}

template <Activation A, class V>
ZOO_HD V activate(V x) {
  return activate_with_slope<A>(x).value;  // the compiler removes the unused slope
}

}  // namespace zoo

// The maths of the rule's units, written once for scalars, SIMD vectors and CUDA threads; include after simd.h on the
// CPU.
#pragma once
#include "core/math.h"
#include "nca/problem.h"

namespace zoo::nca {

template <Hidden H, class V>
ZOO_HD ValueAndSlope<V> activate_with_slope(V x) {
  constexpr auto kActivation = H == Hidden::silu ? Activation::silu : Activation::relu;
  return zoo::activate_with_slope<kActivation>(x);
}

// The change of a state out of the MLP's last sum, before it is scaled.
template <Change C, class V>
ZOO_HD ValueAndSlope<V> change_with_slope(V x) {
  if constexpr (C == Change::tanh) {
    return zoo::activate_with_slope<Activation::tanh>(x);
  } else if constexpr (C == Change::sigmoid) {
    const V s = sigmoid(x);
    return {s, s * (constant<V>(1) - s)};
  } else {
    return {x, constant<V>(1)};
  }
}

}  // namespace zoo::nca

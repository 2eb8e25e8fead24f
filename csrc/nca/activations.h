// The activations of the rule's MLP, for scalars, SIMD vectors and CUDA threads.
#pragma once
#include "core/math.h"
#include "nca/problem.h"

namespace zoo::nca {

template <Hidden H, class V>
ZOO_HD ValueAndSlope<V> activate_with_slope(V x) {
  constexpr auto kActivation = H == Hidden::silu ? Activation::silu : Activation::relu;
  return zoo::activate_with_slope<kActivation>(x);
}

// Turns the MLP's last sum into the change of a state, not yet scaled.
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

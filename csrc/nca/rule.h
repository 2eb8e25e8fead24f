// The maths of the rule's units, written once for scalars, SIMD vectors and CUDA threads; include after simd.h on the CPU.
#pragma once
#include "../gridnet/cell.h"
#include "population.h"

namespace zoo::nca {

using gridnet::constant;
using gridnet::ValueAndSlope;

template <Hidden H, class V>
ZOO_HD ValueAndSlope<V> activate_with_slope(V x) {
  constexpr auto kActivation = H == Hidden::silu ? gridnet::Activation::silu : gridnet::Activation::relu;
  return gridnet::activate_with_slope<kActivation>(x);
}

// The change of a state out of the MLP's last sum, before it is scaled.
template <Change C, class V>
ZOO_HD ValueAndSlope<V> change_with_slope(V x) {
  if constexpr (C == Change::tanh) {
    return gridnet::activate_with_slope<gridnet::Activation::tanh>(x);
  } else if constexpr (C == Change::sigmoid) {
    const V s = gridnet::sigmoid(x);
    return {s, s * (constant<V>(1) - s)};
  } else {
    return {x, constant<V>(1)};
  }
}

}  // namespace zoo::nca

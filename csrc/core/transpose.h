// Transposes in registers, to move data between memory and lanes.
#pragma once
#include <utility>

#include "core/simd.h"

namespace zoo::ZOO_ISA {

template <class T, int D, int... L>
ZOO_INLINE void swap_pair(Vec<T>& a, Vec<T>& b, std::integer_sequence<int, L...>) {
  constexpr int n = kLanes<T>;
  const Vec<T> lo = __builtin_shufflevector(a, b, ((L & D) ? n + L - D : L)...);
  b = __builtin_shufflevector(a, b, ((L & D) ? n + L : L + D)...);
  a = lo;
}

// Transposes the L x L matrix with rows v[0] to v[L - 1], for L = kLanes<T>.
template <class T, int D = 1>
ZOO_INLINE void transpose(Vec<T>* v) {
  if constexpr (D < kLanes<T>) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i)
      if (!(i & D)) swap_pair<T, D>(v[i], v[i + D], std::make_integer_sequence<int, kLanes<T>>());
    transpose<T, 2 * D>(v);
  }
}

}  // namespace zoo::ZOO_ISA

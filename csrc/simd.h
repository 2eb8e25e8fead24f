// Portable SIMD on GCC/Clang vector extensions. The including file is compiled once per instruction set with its own
// ZOO_ISA name and ZOO_VECTOR_BYTES; everything lives in that namespace, so that no two builds share a symbol.
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef ZOO_ISA
#error "compile with -DZOO_ISA=name -DZOO_VECTOR_BYTES=bytes (CMakeLists.txt)"
#endif

#define ZOO_INLINE inline __attribute__((always_inline))

namespace zoo::ZOO_ISA {

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(ZOO_VECTOR_BYTES)));
};
template <class T>
using Vec = typename VectorOf<T>::type;

template <class T>
constexpr int kLanes = ZOO_VECTOR_BYTES / static_cast<int>(sizeof(T));

template <class T>
ZOO_INLINE Vec<T> splat(T x) {
  return x - Vec<T>{};  // x - 0 is x for every x (0 + x is not for -0), so this is one broadcast
}

// Hides where a pointer came from, so that accesses at fixed distances from it stay fixed distances: left alone, GCC
// hoists every sum of index and distance out of the loop and runs out of registers.
template <class T>
ZOO_INLINE const T* pinned(const T* p) {
  asm("" : "+r"(p));
  return p;
}

template <class T>
ZOO_INLINE Vec<T> load(const T* p) {  // p is aligned to ZOO_VECTOR_BYTES
  return *reinterpret_cast<const Vec<T>*>(p);
}

template <class T>
ZOO_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<Vec<T>*>(p) = v;
}

template <class T>
ZOO_INLINE T sum_lanes(Vec<T> v) {
  T total = 0;
  for (int i = 0; i < kLanes<T>; ++i) total += v[i];
  return total;
}

// lo = lanes {a[l] where bit d of l is clear, b[l - d] where set}, hi = {a[l + d], b[l]}: their sum folds a and b.
template <class T, int D, int... L>
ZOO_INLINE Vec<T> fold_pair(Vec<T> a, Vec<T> b, std::integer_sequence<int, L...>) {
  constexpr int n = kLanes<T>;
  const Vec<T> lo = __builtin_shufflevector(a, b, ((L & D) ? n + L - D : L)...);
  const Vec<T> hi = __builtin_shufflevector(a, b, ((L & D) ? n + L : L + D)...);
  return lo + hi;
}

// Lane l of the result is the sum of all lanes of v[l]. v has kLanes<T> vectors and is overwritten.
template <class T, int D = 1>
ZOO_INLINE Vec<T> sum_each(Vec<T>* v) {
  if constexpr (D == kLanes<T>) {
    return v[0];
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; i += 2 * D)
      v[i] = fold_pair<T, D>(v[i], v[i + D], std::make_integer_sequence<int, kLanes<T>>());
    return sum_each<T, 2 * D>(v);
  }
}

// exp to about 1 ulp: x = n ln2 + r, |r| <= ln2/2, a polynomial in r, then the exponent bits. Clamped so that
// neither the result nor its reciprocal overflows or becomes subnormal; NaN stays NaN.
ZOO_INLINE Vec<float> exp_of(Vec<float> x) {
  typedef int32_t Bits __attribute__((vector_size(ZOO_VECTOR_BYTES)));
  const Vec<float> hi = splat(80.0f), lo = splat(-80.0f);
  x = x > hi ? hi : x;
  x = x < lo ? lo : x;
  const Vec<float> magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to the nearest integer
  const Vec<float> shifted = x * 1.44269504088896341f + magic;
  const Vec<float> n = shifted - magic;
  Vec<float> r = x - n * 0.693359375f;
  r = r + n * 2.12194440054690583e-4f;
  Vec<float> p = splat(1.0f / 5040);  // Taylor to r^7: below 6e-9 for |r| <= ln2/2
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  Bits bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;  // the low bits of `shifted` hold n
  Vec<float> scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

ZOO_INLINE Vec<double> exp_of(Vec<double> x) {
  typedef int64_t Bits __attribute__((vector_size(ZOO_VECTOR_BYTES)));
  const Vec<double> hi = splat(700.0), lo = splat(-700.0);
  x = x > hi ? hi : x;
  x = x < lo ? lo : x;
  const Vec<double> magic = splat(6755399441055744.0);  // 1.5 * 2^52
  const Vec<double> shifted = x * 1.4426950408889634074 + magic;
  const Vec<double> n = shifted - magic;
  Vec<double> r = x - n * 6.93147180369123816490e-1;
  r = r - n * 1.90821492927058770002e-10;
  Vec<double> p = splat(1.0 / 6227020800.0);  // Taylor to r^13: below 1e-17 for |r| <= ln2/2
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * (r * r) + r + 1.0;
  Bits bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  Vec<double> scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

// 1 / x for normal x, to about 1 ulp: the processor's estimate and Newton's steps, a third of the cost of a division.
ZOO_INLINE Vec<float> reciprocal_of(Vec<float> x) {
#if ZOO_VECTOR_BYTES == 64 && defined(__AVX512F__)
  Vec<float> r = _mm512_rcp14_ps(x);
#elif ZOO_VECTOR_BYTES == 32 && defined(__AVX__)
  Vec<float> r = _mm256_rcp_ps(x);
  r = r * (2.0f - x * r);
#else
  return 1.0f / x;
#endif
#if defined(__AVX__)
  return r * (2.0f - x * r);
#endif
}

ZOO_INLINE Vec<double> reciprocal_of(Vec<double> x) { return 1.0 / x; }

ZOO_INLINE Vec<float> sqrt_of(Vec<float> x) {
  for (int i = 0; i < kLanes<float>; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}

ZOO_INLINE Vec<double> sqrt_of(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_sqrt(x[i]);
  return x;
}

}  // namespace zoo::ZOO_ISA

// cell.h, which must come after this file, finds the vector forms by their plain names.
namespace zoo::gridnet {
using ZOO_ISA::exp_of;
using ZOO_ISA::reciprocal_of;
}

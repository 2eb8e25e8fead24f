// Portable SIMD on GCC/Clang vector extensions. The including file is compiled once per instruction set, each time with
// another ZOO_ISA and ZOO_VECTOR_BYTES. Everything is in namespace zoo::ZOO_ISA, so that no two builds share a symbol.
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
#define ZOO_INLINE_LAMBDA __attribute__((always_inline))

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
  return x - Vec<T>{};  // x - 0 is x for every x (0 + x is not, for -0), so this is one broadcast
}

// N vectors that go through every operation together. An activation is one long chain of dependent operations, and a
// processor cannot look far enough ahead to overlap N such chains that follow one another.
template <class T, int N>
struct Pack {
  Vec<T> v[N];

  ZOO_INLINE T operator[](int i) const { return v[0][i]; }
  ZOO_INLINE Pack operator-() const {
    Pack out;
    for (int i = 0; i < N; ++i) out.v[i] = -v[i];
    return out;
  }
};

#define ZOO_PACK_OPERATOR(op)                                     \
  template <class T, int N>                                       \
  ZOO_INLINE Pack<T, N> operator op(Pack<T, N> a, Pack<T, N> b) { \
    for (int i = 0; i < N; ++i) a.v[i] = a.v[i] op b.v[i];        \
    return a;                                                     \
  }                                                               \
  template <class T, int N>                                       \
  ZOO_INLINE Pack<T, N> operator op(Pack<T, N> a, T b) {          \
    for (int i = 0; i < N; ++i) a.v[i] = a.v[i] op splat(b);      \
    return a;                                                     \
  }                                                               \
  template <class T, int N>                                       \
  ZOO_INLINE Pack<T, N> operator op(T a, Pack<T, N> b) {          \
    for (int i = 0; i < N; ++i) b.v[i] = splat(a) op b.v[i];      \
    return b;                                                     \
  }
ZOO_PACK_OPERATOR(+)
ZOO_PACK_OPERATOR(-)
ZOO_PACK_OPERATOR(*)
#undef ZOO_PACK_OPERATOR

// Hides the origin of a pointer, so that GCC keeps constant offsets from it in the addressing mode. Otherwise GCC
// hoists every sum of index and offset out of the loop and runs out of registers.
template <class T>
ZOO_INLINE const T* pinned(const T* p) {
  asm("" : "+r"(p));
  return p;
}

template <class T>
ZOO_INLINE Vec<T> load(const T* p) {  // p is aligned to ZOO_VECTOR_BYTES
  return *reinterpret_cast<const Vec<T>*>(p);
}

// Keeps a value in its register. Otherwise GCC loads it from memory again for each use.
template <class T>
ZOO_INLINE Vec<T> in_register(Vec<T> v) {
#if ZOO_VECTOR_BYTES == 64
  asm("" : "+v"(v));
#elif defined(__x86_64__)
  asm("" : "+x"(v));
#else
  asm("" : "+w"(v));
#endif
  return v;
}

template <class T>
ZOO_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<Vec<T>*>(p) = v;
}

template <class T>
ZOO_INLINE Vec<T> load_unaligned(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
ZOO_INLINE void store_unaligned(T* p, Vec<T> v) {
  std::memcpy(p, &v, sizeof v);
}

// Lane l is a[l] + a[l + D] where bit D of l is clear, b[l - D] + b[l] where it is set. One of the two
// shuffles keeps every lane in its place: it is a blend, which runs on more ports than a permutation.
template <class T, int D, int... L>
ZOO_INLINE Vec<T> fold_pair(Vec<T> a, Vec<T> b, std::integer_sequence<int, L...>) {
  constexpr int n = kLanes<T>;
  const Vec<T> kept = __builtin_shufflevector(a, b, ((L & D) ? n + L : L)...);
  const Vec<T> moved = __builtin_shufflevector(a, b, ((L & D) ? n + L - D : L + D)...);
  return kept + moved;
}

// Lane l of the result is the sum of all lanes of v[l], for kLanes<T> vectors. Few vectors are in registers at a time.
template <class T, int N = kLanes<T>>
ZOO_INLINE Vec<T> sum_each(const Vec<T>* v) {
  if constexpr (N == 1) {
    return *v;
  } else {
    const Vec<T> first = sum_each<T, N / 2>(v), second = sum_each<T, N / 2>(v + N / 2);
    return fold_pair<T, N / 2>(first, second, std::make_integer_sequence<int, kLanes<T>>());
  }
}

// out[i] += the sum of all lanes of v[i] for i < n. v has room for kLanes<T> vectors; those from n on are set to 0.
template <class T>
ZOO_INLINE void add_sums(Vec<T>* v, int64_t n, T* out) {
  for (int64_t i = n; i < kLanes<T>; ++i) v[i] = Vec<T>{};
  const Vec<T> totals = sum_each<T>(v);
  if (n == kLanes<T>) return store_unaligned(out, load_unaligned(out) + totals);
  for (int64_t i = 0; i < n; ++i) out[i] += totals[i];
}

// x clamped to [lo, hi]; NaN stays NaN. (Intrinsics, because GCC compiles each comparison to two instructions, not
// one.)
ZOO_INLINE Vec<float> clamp(Vec<float> x, float lo, float hi) {
#if ZOO_VECTOR_BYTES == 64 && defined(__AVX512F__)
  return _mm512_max_ps(splat(lo), _mm512_min_ps(splat(hi), x));
#elif ZOO_VECTOR_BYTES == 32 && defined(__AVX__)
  return _mm256_max_ps(splat(lo), _mm256_min_ps(splat(hi), x));
#else
  x = x > hi ? splat(hi) : x;
  return x < lo ? splat(lo) : x;
#endif
}

ZOO_INLINE Vec<double> clamp(Vec<double> x, double lo, double hi) {
  x = x > hi ? splat(hi) : x;
  return x < lo ? splat(lo) : x;
}

// 2^n, where the low bits of x hold the integer n plus the exponent's bias.
template <class T, class Int, int Mantissa>
ZOO_INLINE Vec<T> shift_to_exponent(Vec<T> x) {
  typedef Int Bits __attribute__((vector_size(ZOO_VECTOR_BYTES)));
  Bits bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits <<= Mantissa;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
ZOO_INLINE Vec<float> exponent_bits(Vec<float> x) { return shift_to_exponent<float, int32_t, 23>(x); }
ZOO_INLINE Vec<double> exponent_bits(Vec<double> x) { return shift_to_exponent<double, int64_t, 52>(x); }

template <class T, int N>
ZOO_INLINE Pack<T, N> clamp(Pack<T, N> x, T lo, T hi) {
  for (int i = 0; i < N; ++i) x.v[i] = clamp(x.v[i], lo, hi);
  return x;
}

template <class T, int N>
ZOO_INLINE Pack<T, N> exponent_bits(Pack<T, N> x) {
  for (int i = 0; i < N; ++i) x.v[i] = exponent_bits(x.v[i]);
  return x;
}

// exp to about 1 ulp: x log2(e) = n + f with |f| <= 1/2, a polynomial for 2^f, then the exponent bits. Clamped so that
// neither the result nor its reciprocal overflows or becomes subnormal; NaN stays NaN. V is a vector or a pack.
template <class V>
ZOO_INLINE V exp_of_floats(V x) {
  constexpr float kLog2e = 1.44269504088896341f;
  constexpr float kMagic = 12582912.0f + 127;  // 1.5 * 2^23, adding which rounds to the nearest integer, and the bias
  x = clamp(x, -80.0f, 80.0f);
  const V shifted = x * kLog2e + kMagic, n = shifted - kMagic;
  const V f = x * kLog2e - n;
  V p = f * 1.534581203e-4f + 1.339993136e-3f;  // minimax, relative error below 2e-9
  p = p * f + 9.618488959e-3f;
  p = p * f + 5.550328777e-2f;
  p = p * f + 2.402264689e-1f;
  p = p * f + 6.931472057e-1f;
  p = p * f + 1.0f;
  return p * exponent_bits(shifted);
}

template <class V>
ZOO_INLINE V exp_of_doubles(V x) {
  constexpr double kMagic = 6755399441055744.0 + 1023;  // 1.5 * 2^52 and the bias
  x = clamp(x, -700.0, 700.0);
  const V shifted = x * 1.4426950408889634074 + kMagic, n = shifted - kMagic;
  V r = x - n * 6.93147180369123816490e-1;  // ln 2 in two parts
  r = r - n * 1.90821492927058770002e-10;
  V p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;  // Taylor to r^13, error below 1e-17 for |r| <= ln2/2
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
  return p * exponent_bits(shifted);
}

ZOO_INLINE Vec<float> exp_of(Vec<float> x) { return exp_of_floats(x); }
ZOO_INLINE Vec<double> exp_of(Vec<double> x) { return exp_of_doubles(x); }
template <int N>
ZOO_INLINE Pack<float, N> exp_of(Pack<float, N> x) {
  return exp_of_floats(x);
}
template <int N>
ZOO_INLINE Pack<double, N> exp_of(Pack<double, N> x) {
  return exp_of_doubles(x);
}

// 1 / x for normal x, to about 1 ulp: the hardware estimate and Newton steps, at a third of the cost of a division.
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

template <class T, int N>
ZOO_INLINE Pack<T, N> reciprocal_of(Pack<T, N> x) {
  for (int i = 0; i < N; ++i) x.v[i] = reciprocal_of(x.v[i]);
  return x;
}

// a where x > 0, else b.
template <class T, int N>
ZOO_INLINE Pack<T, N> where_positive(Pack<T, N> x, Pack<T, N> a, Pack<T, N> b) {
  for (int i = 0; i < N; ++i) a.v[i] = x.v[i] > 0 ? a.v[i] : b.v[i];
  return a;
}

ZOO_INLINE Vec<float> sqrt_of(Vec<float> x) {
  for (int i = 0; i < kLanes<float>; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}

ZOO_INLINE Vec<double> sqrt_of(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_sqrt(x[i]);
  return x;
}

}  // namespace zoo::ZOO_ISA

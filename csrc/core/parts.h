// Vectors and packs of which only the first lanes are in memory: the end of a run of any length.
#pragma once
#include "core/simd.h"

namespace zoo::ZOO_ISA {

template <class T>
constexpr int kPack = ZOO_VECTOR_BYTES == 64 ? 4 : 2;  // vectors that go through an activation together

// The first `count` lanes at p, then zeros. A count of kLanes or more means all lanes.
template <class T>
ZOO_INLINE Vec<T> load_part(const T* p, int64_t count) {
  if (count >= kLanes<T>) return load_unaligned(p);
  Vec<T> v{};
  if (count > 0) std::memcpy(&v, p, count * sizeof(T));
  return v;
}
// Stores the first `count` lanes.
template <class T>
ZOO_INLINE void store_part(T* p, Vec<T> v, int64_t count) {
  if (count >= kLanes<T>) store_unaligned(p, v);
  else if (count > 0) std::memcpy(p, &v, count * sizeof(T));
}

template <class T>
ZOO_INLINE T sum_lanes(Vec<T> v) {
  T total = 0;
  for (int l = 0; l < kLanes<T>; ++l) total += v[l];
  return total;
}

// load_part and store_part for packs.
template <class T, int P>
ZOO_INLINE Pack<T, P> load_pack(const T* p, int64_t count) {
  Pack<T, P> out;
  for (int i = 0; i < P; ++i) out.v[i] = load_part(p + i * kLanes<T>, count - i * kLanes<T>);
  return out;
}
template <class T, int P>
ZOO_INLINE void store_pack(T* p, Pack<T, P> x, int64_t count) {
  for (int i = 0; i < P; ++i) store_part(p + i * kLanes<T>, x.v[i], count - i * kLanes<T>);
}

// Calls f(offset, positions) for the packs that cover `count` positions. All but the last are full.
template <class T, class F>
ZOO_INLINE void for_packs(int64_t count, F f) {
  constexpr int64_t kWhole = kPack<T> * kLanes<T>;
  int64_t i = 0;
  for (; i + kWhole <= count; i += kWhole) f(i, kWhole);
  if (i < count) f(i, count - i);
}

}  // namespace zoo::ZOO_ISA

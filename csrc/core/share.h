// Small work on as many threads as it is worth.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/thread_pool.h"

namespace zoo {

// To wake a thread takes about as long as this many multiply-adds, or as this many numbers that are looked up.
constexpr int64_t kWorthAThread = 1 << 18;

// Parts of the work per thread: one that wakes late, or is held up, takes fewer of them.
constexpr int64_t kPartsPerThread = 4;

// Calls f(begin, end) for parts of n items, each of which costs about `cost` multiply-adds.
template <class F>
void share(int64_t n, int64_t cost, int threads, F f) {
  const int64_t useful = std::max<int64_t>(1, n * cost / kWorthAThread);
  const int used = static_cast<int>(std::min({int64_t{clamp_threads(threads)}, useful, n}));
  if (used <= 1) return f(int64_t{0}, n);
  const int64_t parts = std::min<int64_t>(n, kPartsPerThread * used);
  hand_out(used, parts, [&](int64_t part, int) { f(n * part / parts, n * (part + 1) / parts); });
}

}  // namespace zoo

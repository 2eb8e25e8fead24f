// One thread's part of the peak measurements. Compiled once per instruction set (CMakeLists.txt), like the kernels.
#include "core/peak.h"
#include "core/simd.h"

namespace zoo::ZOO_ISA {
namespace {

// Independent sums: enough to hide the latency of a multiply-add, few enough for 16 registers.
constexpr int kChains = 12;

constexpr int64_t kFlopsPerRound = int64_t{2} * kChains * kLanes<float>;

// `rounds` rounds of kChains vector multiply-adds. The result only keeps the compiler from removing the work.
float multiply_add(int64_t rounds) {
  Vec<float> sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = splat(1.0f + 0.01f * static_cast<float>(i));
  const Vec<float> factor = splat(0.999f), term = splat(0.001f);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * factor + term;
  }
  float total = 0;
  for (int i = 0; i < kChains; ++i)
    for (int l = 0; l < kLanes<float>; ++l) total += sums[i][l];
  return total;
}

// out = a + 3 b over [begin, end).
void triad(float* __restrict out, const float* __restrict a, const float* __restrict b, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) out[i] = a[i] + 3.0f * b[i];
}

}  // namespace

const PeakKernels kPeakKernels = {kFlopsPerRound, multiply_add, triad};

}  // namespace zoo::ZOO_ISA

#include "core/peak.h"

#include "core/thread_pool.h"

namespace zoo {
namespace {

constexpr IsaTables<PeakKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kPeakKernels);

}  // namespace

int64_t run_multiply_adds(int64_t rounds, int threads) {
  const PeakKernels& kernels = kernels_in_use(kTables);
  volatile float sink;
  auto body = [&](const Team&) {
    const float total = kernels.multiply_add(rounds);
    if (total == 0) sink = total;  // never happens: it keeps the compiler from removing the work
  };
  parallel(clamp_threads(threads), body);
  return rounds * kernels.flops_per_round * clamp_threads(threads);
}

void run_triad(float* out, const float* a, const float* b, int64_t n, int threads) {
  const PeakKernels& kernels = kernels_in_use(kTables);
  auto body = [&](const Team& team) { kernels.triad(out, a, b, team.begin(n), team.end(n)); };
  parallel(clamp_threads(threads), body);
}

}  // namespace zoo

#include "core/dispatch.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <atomic>
#include <cstdint>
#include <stdexcept>

namespace zoo {
namespace {

struct Isa {
  const char* name;
  bool usable;
};

#if defined(__x86_64__)
// True if all bits of a mask are set.
bool has(uint32_t word, uint32_t mask) { return (word & mask) == mask; }

// The parts of a processor's state that the system saves when it switches threads (XCR0).
uint32_t saved_state() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}
#endif

// Asks the processor itself: __builtin_cpu_supports needs a library that clang does not link on Windows.
std::array<Isa, kIsas> detect() {
#if defined(__x86_64__)
  constexpr uint32_t kXmmYmm = 0x6, kXmmYmmZmm = 0xe6;
  uint32_t eax, ebx = 0, ecx = 0, edx, features = 0;
  __get_cpuid(1, &eax, &ebx, &ecx, &edx);
  const bool fma = has(ecx, bit_FMA);
  const uint32_t state = has(ecx, bit_OSXSAVE) ? saved_state() : 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) features = ebx;
  const bool avx2 = has(state, kXmmYmm) && fma && has(features, bit_AVX2);
  const bool avx512 =
      has(state, kXmmYmmZmm) && avx2 && has(features, bit_AVX512F | bit_AVX512VL | bit_AVX512DQ | bit_AVX512BW);
  return {{{"avx512", avx512}, {"avx2", avx2}, {"baseline", true}}};
#else
  return {{{"baseline", true}}};
#endif
}

// Found while the module loads: a static of a function has a lock, which a fork might catch closed.
const std::array<Isa, kIsas> isas = detect();

int best_isa() {
  int index = 0;
  while (!isas[index].usable) ++index;
  return index;
}

std::atomic<int> chosen{-1};  // -1: the best one

}  // namespace

int current_isa_index() {
  const int index = chosen.load(std::memory_order_relaxed);
  return index < 0 ? best_isa() : index;
}

std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : isas) {
    if (isa.usable) names.push_back(isa.name);
  }
  return names;
}

std::string current_isa() { return isas[current_isa_index()].name; }

void set_isa(const std::string& name) {
  for (int index = 0; index < kIsas; ++index) {
    if (isas[index].usable && name == isas[index].name) return chosen.store(index, std::memory_order_relaxed);
  }
  std::string names;
  for (const std::string& usable : usable_isas()) names += (names.empty() ? "" : ", ") + usable;
  throw std::invalid_argument("unknown or unusable instruction set '" + name + "'; this machine has: " + names);
}

}  // namespace zoo

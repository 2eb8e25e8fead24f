#include "core/dispatch.h"

#include <atomic>
#include <stdexcept>

namespace zoo {
namespace {

struct Isa {
  const char* name;
  bool usable;
};

std::array<Isa, kIsas> detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
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

#include "cpu.h"

#include <mutex>
#include <stdexcept>

#include "../parallel.h"
#include "cpu_isa.h"

namespace zoo::gridnet {
namespace {

struct Isa {
  const char* name;
  const IsaKernels* kernels;
};

std::vector<Isa> detect() {
  std::vector<Isa> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    found.push_back({"avx512", &avx512::kKernels});
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back({"avx2", &avx2::kKernels});
#endif
  found.push_back({"baseline", &baseline::kKernels});
  return found;
}

const std::vector<Isa>& isas() {
  static const std::vector<Isa> found = detect();
  return found;
}

// One call at a time: calls share the thread pool and the workspace.
std::mutex call_mutex;
Workspace workspace;
const Isa* current = nullptr;

const Isa& in_use() { return current ? *current : isas().front(); }

}  // namespace

std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : isas()) names.push_back(isa.name);
  return names;
}

std::string current_isa() {
  std::lock_guard<std::mutex> lock(call_mutex);
  return in_use().name;
}

void set_isa(const std::string& name) {
  std::lock_guard<std::mutex> lock(call_mutex);
  for (const Isa& isa : isas())
    if (name == isa.name) {
      current = &isa;
      return;
    }
  std::string names;
  for (const Isa& isa : isas()) names += std::string(names.empty() ? "" : ", ") + isa.name;
  throw std::invalid_argument("unknown or unusable instruction set '" + name + "'; this machine has: " + names);
}

int64_t run_multiply_adds(int64_t rounds, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  const IsaKernels& isa = *in_use().kernels;
  volatile float sink;
  auto body = [&](const Team&) {
    const float total = isa.multiply_add(rounds);
    if (total == 0) sink = total;  // never: it keeps the work from being left out
  };
  parallel(clamp_threads(threads), body);
  return rounds * isa.flops_per_round * clamp_threads(threads);
}

void run_triad(float* out, const float* a, const float* b, int64_t n, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  const IsaKernels& isa = *in_use().kernels;
  auto body = [&](const Team& team) { isa.triad(out, a, b, team.begin(n), team.end(n)); };
  parallel(clamp_threads(threads), body);
}

template <class T>
const Kernels<T>& kernels() {
  if constexpr (sizeof(T) == sizeof(float)) return in_use().kernels->of_float;
  else return in_use().kernels->of_double;
}

template <class T>
int64_t kept_size(const EvolveConfig& c, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  return kernels<T>().kept_size(c, clamp_threads(threads));
}

template <class T>
void evolve_forward(const EvolveConfig& c, const Inputs<T>& in, T* out, T* kept, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  if (kept) prefer_huge_pages(kept, kernels<T>().kept_size(c, clamp_threads(threads)) * sizeof(T));
  kernels<T>().forward(c, in, out, kept, workspace, clamp_threads(threads));
}

template <class T>
void evolve_backward(const EvolveConfig& c, const Inputs<T>& in, const T* kept, const T* grad_out, const Grads<T>& grads,
                     int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  if (!kernels<T>().backward(c, in, kept, grad_out, grads, workspace, clamp_threads(threads)))
    throw std::invalid_argument("the forward pass ran with another instruction set; set it before the forward pass");
}

template int64_t kept_size<float>(const EvolveConfig&, int);
template int64_t kept_size<double>(const EvolveConfig&, int);
template void evolve_forward<float>(const EvolveConfig&, const Inputs<float>&, float*, float*, int);
template void evolve_forward<double>(const EvolveConfig&, const Inputs<double>&, double*, double*, int);
template void evolve_backward<float>(const EvolveConfig&, const Inputs<float>&, const float*, const float*,
                                     const Grads<float>&, int);
template void evolve_backward<double>(const EvolveConfig&, const Inputs<double>&, const double*, const double*,
                                      const Grads<double>&, int);

}  // namespace zoo::gridnet

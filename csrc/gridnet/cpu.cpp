#include "cpu.h"

#include <mutex>
#include <stdexcept>

#include "cpu_isa.h"

namespace zoo::gridnet {
namespace {

struct Isa {
  const char* name;
  const Kernels* kernels;
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

template <>
void step_forward<float>(const StepConfig& c, const StepInputs<float>& in, float* out, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  in_use().kernels->step_forward_float(c, in, out, workspace, threads);
}

template <>
void step_forward<double>(const StepConfig& c, const StepInputs<double>& in, double* out, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  in_use().kernels->step_forward_double(c, in, out, workspace, threads);
}

template <>
void step_backward<float>(const StepConfig& c, const StepInputs<float>& in, const StepGrads<float>& g, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  in_use().kernels->step_backward_float(c, in, g, workspace, threads);
}

template <>
void step_backward<double>(const StepConfig& c, const StepInputs<double>& in, const StepGrads<double>& g, int threads) {
  std::lock_guard<std::mutex> lock(call_mutex);
  in_use().kernels->step_backward_double(c, in, g, workspace, threads);
}

}  // namespace zoo::gridnet

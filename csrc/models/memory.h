// Memory of a model's own: copies of its tensors, aligned for every instruction set.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

namespace zoo::models {

constexpr std::align_val_t kAlignment{64};

struct Free {
  void operator()(void* memory) const { ::operator delete(memory, kAlignment); }
};
using Floats = std::unique_ptr<float[], Free>;

// n numbers, not initialised. Throws std::bad_alloc.
inline Floats allocate(int64_t n) {
  const size_t bytes = (static_cast<size_t>(n) * sizeof(float) / 64 + 1) * 64;
  return Floats(static_cast<float*>(::operator new(bytes, kAlignment)));
}

// A copy of n numbers; null for null.
inline Floats copy(const float* from, int64_t n) {
  if (!from) return nullptr;
  Floats memory = allocate(n);
  std::memcpy(memory.get(), from, static_cast<size_t>(n) * sizeof(float));
  return memory;
}

}  // namespace zoo::models

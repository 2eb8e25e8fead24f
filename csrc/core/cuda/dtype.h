// Element types of the CUDA kernels, for code without CUDA headers.
#pragma once
#include <cstddef>

namespace zoo::cuda {

// Sums are computed in double for float64, in float for all others.
enum class Dtype : int { float32 = 0, float64 = 1, float16 = 2, bfloat16 = 3 };

inline size_t element_bytes(Dtype dtype) {
  return dtype == Dtype::float64 ? sizeof(double) : dtype == Dtype::float32 ? sizeof(float) : 2;
}

}  // namespace zoo::cuda

// Included by .cu files instead of the CUDA headers. nvcc uses the toolkit; the tests compile the same source with g++
// and -include tests/support/cuda_shim.h, which defines the same names for the CPU.
#pragma once

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define LAUNCH(kernel, grid, block, shared, stream, ...) \
  kernel<<<grid, block, shared, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)

// Dynamic shared memory. One untyped array, because a template cannot declare it with two types.
#define DYNSHARED(T, name)                                               \
  extern __shared__ __align__(16) unsigned char dynamic_shared_memory[]; \
  T* name = reinterpret_cast<T*>(dynamic_shared_memory)

#elif !defined(ZOO_CUDA_SHIM)
#error "compile with nvcc, or for the CPU with -include tests/support/cuda_shim.h"
#endif

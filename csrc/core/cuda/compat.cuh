// Included by .cu files instead of the CUDA headers. nvcc uses the toolkit; the tests compile the same source with g++
// and -include tests/support/cuda_shim.h, which defines the same names for the CPU.
#pragma once

#if defined(__CUDACC__)

#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define LAUNCH(kernel, grid, block, shared, stream, ...) \
  kernel<<<grid, block, shared, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)

// A launch whose CTAs are all resident at once, so that they can wait for each other. Takes one argument.
#define LAUNCH_TOGETHER(kernel, grid, block, shared, stream, argument)                                 \
  do {                                                                                                 \
    void* arguments[] = {&argument};                                                                   \
    cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel), grid, block, arguments, shared, \
                                static_cast<cudaStream_t>(stream));                                    \
  } while (false)

// Waits for all threads of a LAUNCH_TOGETHER. What they wrote before it, all of them read after it.
__device__ inline void grid_barrier() { cooperative_groups::this_grid().sync(); }

// Dynamic shared memory. One untyped array, because a template cannot declare it with two types.
#define DYNSHARED(T, name)                                               \
  extern __shared__ __align__(16) unsigned char dynamic_shared_memory[]; \
  T* name = reinterpret_cast<T*>(dynamic_shared_memory)

#elif !defined(ZOO_CUDA_SHIM)
#error "compile with nvcc, or for the CPU with -include tests/support/cuda_shim.h"
#endif

// Kernels with the faults that the shim is there to find. The argument names one.
#include <cstdio>
#include <cstring>

#include "core/cuda/compat.cuh"

// Thread 0 never reaches the barrier.
__global__ void diverged_barrier() {
  if (threadIdx.x == 0) return;
  if (threadIdx.x == 1) __shfl_xor_sync(0xffffffffu, 1, 1);
  __syncthreads();
}

// Reads a neighbour's value with no barrier after it was written.
__global__ void missing_barrier(int* out) {
  DYNSHARED(int, values);
  values[threadIdx.x] = int(threadIdx.x);
  out[threadIdx.x] = values[(threadIdx.x + blockDim.x - 1) % blockDim.x];
}

// Writes one element past the shared memory it asked for.
__global__ void overrun() {
  DYNSHARED(int, values);
  values[threadIdx.x + 1] = 1;
}

int main(int, char** arguments) {
  constexpr int kThreads = 64;
  int out[kThreads];
  const char* fault = arguments[1];
  if (!strcmp(fault, "diverged_barrier")) LAUNCH(diverged_barrier, dim3(1), dim3(kThreads), 0, nullptr);
  if (!strcmp(fault, "overrun")) LAUNCH(overrun, dim3(1), dim3(kThreads), sizeof out, nullptr);
  if (!strcmp(fault, "missing_barrier")) {
    int* const target = out;
    LAUNCH(missing_barrier, dim3(1), dim3(kThreads), sizeof out, nullptr, target);
    for (int i = 1; i < kThreads; ++i) {
      if (out[i] != i - 1) return 1;
    }
  }
  puts("nothing found");
}

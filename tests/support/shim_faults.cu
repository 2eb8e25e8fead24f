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

// The last CTA never reaches the barrier of the grid.
__global__ void missing_grid_barrier(int) {
  if (blockIdx.x + 1 < gridDim.x) grid_barrier();
}

// Thread 0 of every CTA never does.
__global__ void diverged_grid_barrier(int) {
  if (threadIdx.x > 0) grid_barrier();
}

// No fault: a CTA reads what the one before it wrote before the barrier.
__global__ void read_across_ctas(int* values) {
  values[blockIdx.x] = int(blockIdx.x);
  grid_barrier();
  const int before = values[(blockIdx.x + gridDim.x - 1) % gridDim.x];
  grid_barrier();
  values[blockIdx.x] = before;
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
  constexpr int kCtas = 6;
  int none = 0, values[kCtas] = {}, *ring = values;
  if (!strcmp(fault, "missing_grid_barrier")) LAUNCH_TOGETHER(missing_grid_barrier, dim3(kCtas), dim3(32), 0, 0, none);
  if (!strcmp(fault, "diverged_grid_barrier")) {
    LAUNCH_TOGETHER(diverged_grid_barrier, dim3(kCtas), dim3(32), 0, 0, none);
  }
  if (!strcmp(fault, "grid_barrier")) {
    LAUNCH_TOGETHER(read_across_ctas, dim3(kCtas), dim3(1), 0, 0, ring);
    for (int i = 0; i < kCtas; ++i) {
      if (values[i] != (i + kCtas - 1) % kCtas) return 1;
    }
  }
  puts("nothing found");
}

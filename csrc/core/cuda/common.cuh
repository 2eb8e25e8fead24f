// Shared by the CUDA kernels of all ops: reductions in a fixed order, checked launches and the choice of an element
// type.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "core/cuda/compat.cuh"
#include "core/cuda/dtype.h"

namespace zoo::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// The type in which elements of type T are summed.
template <class T>
struct AccumOf {
  using type = float;
};
template <>
struct AccumOf<double> {
  using type = double;
};
template <class T>
using Accum = typename AccumOf<T>::type;

// The sum over the lanes of a warp, in every lane. All lanes must take part.
template <class A>
__device__ A warp_sum(A value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

// The sum over the threads of a CTA (a multiple of 32 of them), in every thread.
template <class A>
__device__ A block_sum(A value) {
  __shared__ A partial[kWarp];
  const A sum = warp_sum(value);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = sum;
  __syncthreads();
  A total = 0;
  for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) total += partial[warp];
  __syncthreads();  // `partial` is free for the next call
  return total;
}

// What LayerNorm needs from a sample.
template <class A>
struct Stats {
  A mean, rstd;
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int round_up_to_warp(int64_t threads) { return static_cast<int>(ceil_div(threads, kWarp) * kWarp); }

// The number of parts of the batch with which `ctas` CTAs per part fill a large GPU a few times over. It depends on the
// shapes alone, never on the device, so that sums over parts are the same everywhere.
inline int batch_parts(int64_t batch, int64_t ctas, int64_t wanted_ctas, int64_t most) {
  const int64_t parts = std::min(ceil_div(wanted_ctas, ctas), most);
  return static_cast<int>(std::max<int64_t>(1, std::min(parts, batch)));
}

// Bytes of shared memory that a launch of a kernel may ask for on the current device, beside what the kernel declares.
// Of a device that does not answer no limit is known; the launch then says what is wrong with it.
template <class... Parameters>
size_t shared_memory_limit(void (*kernel)(Parameters...)) {
  int device = 0, bytes = 0;
  cudaFuncAttributes attributes{};
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess ||
      cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)) != cudaSuccess) {
    return std::numeric_limits<size_t>::max();
  }
  return static_cast<size_t>(bytes) - attributes.sharedSizeBytes;
}

// Allows the launches of a kernel all shared memory that there is, if `shared` bytes take permission. The permission
// belongs to the kernel: with the bytes of this launch, another thread could take it away between here and the launch.
template <class... Parameters>
cudaError_t allow_shared_memory(void (*kernel)(Parameters...), size_t shared) {
  constexpr size_t kSharedWithoutAsking = 48 * 1024;
  if (shared <= kSharedWithoutAsking) return cudaSuccess;
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(shared_memory_limit(kernel)));
}

inline std::string not_started(const char* name, cudaError_t status) {
  if (status == cudaSuccess) return {};
  return "CUDA kernel " + std::string(name) + " did not start: " + cudaGetErrorString(status);
}

// The CTAs of a kernel that the current device can hold at once; 0 if it cannot make them wait for each other.
template <class... Parameters>
int64_t resident_ctas(void (*kernel)(Parameters...), int threads, size_t shared) {
  int device = 0, cooperative = 0, multiprocessors = 0, ctas = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&cooperative, cudaDevAttrCooperativeLaunch, device);
  cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (cooperative == 0 || allow_shared_memory(kernel, shared) != cudaSuccess) return 0;
  const cudaError_t status =
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&ctas, reinterpret_cast<const void*>(kernel), threads, shared);
  return status == cudaSuccess ? int64_t{ctas} * multiprocessors : 0;
}

// Queues a kernel. Returns an error line, empty if nothing is wrong. A grid without CTAs queues nothing.
template <class... Parameters, class... Arguments>
std::string launch(const char* name, void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared, void* stream,
                   Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return {};
  if (const cudaError_t status = allow_shared_memory(kernel, shared); status != cudaSuccess) {
    return not_started(name, status);
  }
  cudaGetLastError();  // forgets a question to the device that failed before, which is not this launch's error
  LAUNCH(kernel, grid, dim3(threads), shared, stream, Parameters(arguments)...);
  return not_started(name, cudaGetLastError());
}

// As launch(), for a kernel that calls grid_barrier(). `grid` has at most resident_ctas() CTAs.
template <class Argument>
std::string launch_together(const char* name, void (*kernel)(Argument), dim3 grid, int threads, size_t shared,
                            void* stream, Argument argument) {
  if (const cudaError_t status = allow_shared_memory(kernel, shared); status != cudaSuccess) {
    return not_started(name, status);
  }
  cudaGetLastError();
  LAUNCH_TOGETHER(kernel, grid, dim3(threads), shared, stream, argument);
  return not_started(name, cudaGetLastError());
}

// Returns f(T{}) for the element type T; f returns an error line.
template <class F>
std::string with_type(Dtype dtype, F f) {
  switch (dtype) {
    case Dtype::float32: return f(float{});
    case Dtype::float64: return f(double{});
    case Dtype::bfloat16: return f(__nv_bfloat16{});
#if defined(__CUDACC__) || defined(CUDASHIM_HALF)  // the host shim has __half where it is asked for
    case Dtype::float16: return f(__half{});
#endif
    default: return "dtype " + std::to_string(static_cast<int>(dtype)) + " is not built into these kernels";
  }
}

// with_type for kernels that are built for float and double only; `kernels` names them in the error line.
template <class F>
std::string with_wide_type(Dtype dtype, const char* kernels, F f) {
  if (dtype == Dtype::float32) return f(float{});
  if (dtype == Dtype::float64) return f(double{});
  return "dtype " + std::to_string(static_cast<int>(dtype)) + " is not built into the " + kernels + " kernels";
}

inline size_t accum_bytes(Dtype dtype) { return dtype == Dtype::float64 ? sizeof(double) : sizeof(float); }

}  // namespace zoo::cuda

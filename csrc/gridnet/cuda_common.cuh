// What the gridnet kernels share: element types, reductions in a fixed order, and a checked launch.
#pragma once
#include <algorithm>
#include <string>

#include "../cuda_compat.cuh"
#include "cell.h"
#include "cuda.h"

namespace zoo::gridnet::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Sums of T are kept in Accum<T>.
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

// The grid's sides as a kernel indexes them; a grid has fewer than 2^31 cells (checked), samples may make more.
struct Grid {
  int m, n, k;
  __host__ __device__ int cells() const { return m * n * k; }
  __device__ bool contains(int z, int y, int x) const {
    return z >= 0 && z < m && y >= 0 && y < n && x >= 0 && x < k;
  }
  __device__ int index(int z, int y, int x) const { return (z * n + y) * k + x; }
};

inline Grid grid_of(const Shape& shape) {
  return {static_cast<int>(shape.m), static_cast<int>(shape.n), static_cast<int>(shape.k)};
}

// The samples one CTA works on: part `part` of `parts`, in order.
struct SampleRange {
  int begin, end;
  __device__ SampleRange(int batch, int part, int parts)
      : begin(static_cast<int>(int64_t{batch} * part / parts)),
        end(static_cast<int>(int64_t{batch} * (part + 1) / parts)) {}
};

// The activation is a runtime choice: one uniform branch per cell, a quarter of the kernels to compile.
template <class A>
__device__ ValueAndSlope<A> activate_with_slope(Activation activation, A x) {
  switch (activation) {
    case Activation::silu:
      return gridnet::activate_with_slope<Activation::silu>(x);
    case Activation::relu:
      return gridnet::activate_with_slope<Activation::relu>(x);
    case Activation::leaky_relu:
      return gridnet::activate_with_slope<Activation::leaky_relu>(x);
    default:
      return gridnet::activate_with_slope<Activation::tanh>(x);
  }
}

template <class A>
__device__ A activate(Activation activation, A x) {
  return activate_with_slope(activation, x).value;
}

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

// Count, mean and sum of squared deviations of a group of values; groups are merged without cancellation.
template <class A>
struct Moments {
  A count, mean, m2;
};

// What LayerNorm needs to know of a sample.
template <class A>
struct Stats {
  A mean, rstd;
};

// A warp's moments over `count` values whose sum is spread over its lanes; squares(mean) is a lane's part of the
// squared deviations. Every lane must call it.
template <class A, class Squares>
__device__ Moments<A> warp_moments(A count, A lane_sum, Squares squares) {
  const A mean = warp_sum(lane_sum) / (count > A(1) ? count : A(1));
  return {count, mean, warp_sum(squares(mean))};
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int round_up_to_warp(int64_t threads) { return static_cast<int>(ceil_div(threads, kWarp) * kWarp); }

// Parts of the batch so that `ctas` CTAs per part fill a large GPU a few times over. From the shapes alone, never
// from the device, so that sums over parts come out the same everywhere.
inline int batch_parts(int64_t batch, int64_t ctas, int64_t wanted_ctas, int64_t most) {
  const int64_t parts = std::min(ceil_div(wanted_ctas, ctas), most);
  return static_cast<int>(std::max<int64_t>(1, std::min(parts, batch)));
}

// Bytes of shared memory a CTA may ask for on the current device.
inline size_t shared_memory_limit() {
  int device = 0, bytes = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return static_cast<size_t>(bytes);
}

// Queues a kernel and says what went wrong, if anything. A grid of no CTAs is no work.
template <class... Parameters, class... Arguments>
std::string launch(const char* name, void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared, void* stream,
                   Arguments... arguments) {
  constexpr size_t kSharedWithoutAsking = 48 * 1024;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return {};
  const auto failed = [&](cudaError_t status) {
    return "CUDA kernel " + std::string(name) + " did not start: " + cudaGetErrorString(status);
  };
  if (shared > kSharedWithoutAsking) {
    const cudaError_t status =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared));
    if (status != cudaSuccess) return failed(status);
  }
  LAUNCH(kernel, grid, dim3(threads), shared, stream, Parameters(arguments)...);
  const cudaError_t status = cudaGetLastError();
  return status == cudaSuccess ? std::string() : failed(status);
}

// Runs f(T{}) for the element type; f returns an error line.
template <class F>
std::string with_type(Dtype dtype, F f) {
  switch (dtype) {
    case Dtype::float32:
      return f(float{});
    case Dtype::float64:
      return f(double{});
    case Dtype::bfloat16:
      return f(__nv_bfloat16{});
#if defined(__CUDACC__)  // the host shim has no __half
    case Dtype::float16:
      return f(__half{});
#endif
    default:
      return "dtype " + std::to_string(static_cast<int>(dtype)) + " is not built into these kernels";
  }
}

inline size_t element_bytes(Dtype dtype) {
  return dtype == Dtype::float64 ? sizeof(double) : dtype == Dtype::float32 ? sizeof(float) : 2;
}
inline size_t accum_bytes(Dtype dtype) { return dtype == Dtype::float64 ? sizeof(double) : sizeof(float); }

// Parameter planes of a cell: 27 weights and a bias per channel, and the residual scale of a plain cell.
template <bool Gated>
constexpr int kChannels = Gated ? 2 : 1;
template <bool Gated>
constexpr int kParameterPlanes = Gated ? 2 * kNeighbours + 2 : kNeighbours + 2;

}  // namespace zoo::gridnet::cuda

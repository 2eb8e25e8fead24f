// Samples in lanes, as on the CPU: x is transposed to one row of samples per unit (row or column of the matrix), so
// that all reads are coalesced whatever the structure, and an entry's value and index are broadcasts.
#include "core/cuda/common.cuh"
#include "sparse/cuda/api.h"

namespace zoo::sparse::cuda {
namespace {

using namespace zoo::cuda;

constexpr int kSamples = 128;         // per CTA of multiply
constexpr int kWarps = 4;             // per CTA of value_grads
constexpr int64_t kMostCtas = 65535;  // along y and z

// out [columns, rows] = in [rows, columns] transposed; a CTA moves tiles of 32 x 32 through shared memory.
template <class T>
__global__ void transpose_kernel(const T* in, T* out, int64_t rows, int64_t columns) {
  __shared__ T tile[kWarp][kWarp + 1];  // one more than a warp: columns of the tile lie in different banks
  const int lane = threadIdx.x % kWarp, first = threadIdx.x / kWarp, step = blockDim.x / kWarp;
  const int64_t column0 = int64_t{blockIdx.x} * kWarp;
  for (int64_t row0 = int64_t{blockIdx.y} * kWarp; row0 < rows; row0 += int64_t{gridDim.y} * kWarp) {
    for (int i = first; i < kWarp; i += step)
      if (row0 + i < rows && column0 + lane < columns) tile[i][lane] = in[(row0 + i) * columns + column0 + lane];
    __syncthreads();
    for (int i = first; i < kWarp; i += step)
      if (column0 + i < columns && row0 + lane < rows) out[(column0 + i) * rows + row0 + lane] = tile[lane][i];
    __syncthreads();
  }
}

// out[u][b] = the sum over the entries of line u of value times in[index][b]. One thread per sample, one CTA row per
// line.
template <class T>
__global__ void multiply_kernel(Lines lines, const T* values, const T* in, T* out, int64_t batch) {
  const int32_t begin = lines.starts[blockIdx.x], end = lines.starts[blockIdx.x + 1];
  for (int64_t b = int64_t{blockIdx.y} * blockDim.x + threadIdx.x; b < batch; b += int64_t{gridDim.y} * blockDim.x) {
    T sum = 0;
    for (int32_t e = begin; e < end; ++e)
      sum += values[lines.order ? lines.order[e] : e] * in[int64_t{lines.index[e]} * batch + b];
    out[int64_t{blockIdx.x} * batch + b] = sum;
  }
}

// grads[e] = the sum over the batch of grad_out[row] times x[column]: a CTA per row, a warp per entry.
template <class T>
__global__ void value_grads_kernel(const int32_t* starts, const int32_t* columns, const T* x, const T* grad_out,
                                   T* grads, int64_t batch) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const T* const g = grad_out + int64_t{blockIdx.x} * batch;
  for (int32_t e = starts[blockIdx.x] + warp; e < starts[blockIdx.x + 1]; e += kWarps) {
    const T* const source = x + int64_t{columns[e]} * batch;
    T sum = 0;
    for (int64_t b = lane; b < batch; b += kWarp) sum += g[b] * source[b];
    sum = warp_sum(sum);
    if (lane == 0) grads[e] = sum;
  }
}

template <class T>
std::string transpose(const T* in, T* out, int64_t rows, int64_t columns, void* stream) {
  const dim3 grid(static_cast<unsigned>(ceil_div(columns, kWarp)),
                  static_cast<unsigned>(std::min(ceil_div(rows, kWarp), kMostCtas)));
  return launch("transpose", transpose_kernel<T>, grid, 8 * kWarp, 0, stream, in, out, rows, columns);
}

template <class T>
std::string multiply(const Lines& lines, const T* values, const T* in, T* out, int64_t batch, void* stream) {
  const dim3 grid(static_cast<unsigned>(lines.count),
                  static_cast<unsigned>(std::min(ceil_div(batch, kSamples), kMostCtas)));
  return launch("multiply", multiply_kernel<T>, grid, kSamples, 0, stream, lines, values, in, out, batch);
}

// The two sides of the matrix in the workspace, one row of samples per unit.
template <class T>
struct Sides {
  T* columns;  // [columns, batch]
  T* rows;     // [rows, batch]

  Sides(const Pattern& p, int64_t batch, void* workspace)
      : columns(static_cast<T*>(workspace)), rows(columns + p.columns * batch) {}
};

template <class T>
std::string run_forward(const Pattern& p, const ForwardArgs<T>& args, void* workspace, void* stream) {
  const Sides<T> sides(p, args.batch, workspace);
  std::string error = transpose(args.x, sides.columns, args.batch, p.columns, stream);
  if (error.empty()) error = multiply<T>(p.by_row(), args.values, sides.columns, sides.rows, args.batch, stream);
  if (error.empty()) error = transpose<T>(sides.rows, args.y, p.rows, args.batch, stream);
  return error;
}

template <class T>
std::string run_backward(const Pattern& p, const BackwardArgs<T>& args, void* workspace, void* stream) {
  const Sides<T> sides(p, args.batch, workspace);
  std::string error = transpose(args.grad_y, sides.rows, args.batch, p.rows, stream);
  if (error.empty()) error = transpose(args.x, sides.columns, args.batch, p.columns, stream);
  if (error.empty())
    error = launch("value_grads", value_grads_kernel<T>, dim3(static_cast<unsigned>(p.rows)), kWarps * kWarp, 0, stream,
                   p.row_starts, p.column_of, sides.columns, sides.rows, args.grad_values, args.batch);
  if (!args.grad_x || !error.empty()) return error;
  error = multiply<T>(p.by_column(), args.values, sides.rows, sides.columns, args.batch, stream);
  if (error.empty()) error = transpose<T>(sides.columns, args.grad_x, p.columns, args.batch, stream);
  return error;
}

template <class T>
ForwardArgs<T> typed(const ForwardArgs<void>& args) {
  return {.batch = args.batch,
          .values = static_cast<const T*>(args.values),
          .x = static_cast<const T*>(args.x),
          .y = static_cast<T*>(args.y)};
}

template <class T>
BackwardArgs<T> typed(const BackwardArgs<void>& args) {
  return {.batch = args.batch,
          .values = static_cast<const T*>(args.values),
          .x = static_cast<const T*>(args.x),
          .grad_y = static_cast<const T*>(args.grad_y),
          .grad_values = static_cast<T*>(args.grad_values),
          .grad_x = static_cast<T*>(args.grad_x)};
}

}  // namespace

size_t workspace_bytes(Dtype dtype, const Pattern& p, int64_t batch) {
  return zoo::cuda::element_bytes(dtype) * static_cast<size_t>((p.rows + p.columns) * batch);
}

std::string forward(Dtype dtype, const Pattern& p, const ForwardArgs<void>& args, void* workspace, void* stream) {
  return with_wide_type(dtype, "sparse", [&]<class T>(T) { return run_forward(p, typed<T>(args), workspace, stream); });
}

std::string backward(Dtype dtype, const Pattern& p, const BackwardArgs<void>& args, void* workspace, void* stream) {
  return with_wide_type(dtype, "sparse",
                        [&]<class T>(T) { return run_backward(p, typed<T>(args), workspace, stream); });
}

}  // namespace zoo::sparse::cuda

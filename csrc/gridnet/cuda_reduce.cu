// The last stage of parameter gradients: sums over the parts of the batch, in order, so that the result is the same
// every time.
#include "cuda_common.cuh"
#include "cuda_kernels.h"

namespace zoo::gridnet::cuda {
namespace {

template <class T>
__global__ void sum_parts_kernel(const Accum<T>* partial, int parts, int64_t part_stride, int64_t count, T* out) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  Accum<T> sum = 0;
  for (int part = 0; part < parts; ++part) sum += partial[part * part_stride + i];
  out[i] = static_cast<T>(sum);
}

}  // namespace

std::string sum_parts(Dtype dtype, const void* partial, int parts, int planes, int first_plane, int count,
                      int64_t cells, void* out, void* stream) {
  constexpr int kThreads = 256;
  return with_type(dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* first = static_cast<const Accum<T>*>(partial) + first_plane * cells;
    const dim3 ctas(static_cast<unsigned>(ceil_div(count * cells, kThreads)));
    return launch("sum_parts", &sum_parts_kernel<T>, ctas, kThreads, 0, stream, first, parts, planes * cells,
                  count * cells, static_cast<T*>(out));
  });
}

std::string sum_parameter_gradients(Dtype dtype, const StepConfig& config, const void* partial, int parts, void* weight,
                                    void* bias, void* residual_scale, void* stream) {
  const int channels = config.gated ? kChannels<true> : kChannels<false>;
  const int planes = config.gated ? kParameterPlanes<true> : kParameterPlanes<false>;
  const int weights = kNeighbours * channels;
  const int64_t cells = config.shape.cells();
  std::string error = sum_parts(dtype, partial, parts, planes, 0, weights, cells, weight, stream);
  if (error.empty()) error = sum_parts(dtype, partial, parts, planes, weights, channels, cells, bias, stream);
  if (!error.empty() || config.gated) return error;
  return sum_parts(dtype, partial, parts, planes, weights + channels, 1, cells, residual_scale, stream);
}

}  // namespace zoo::gridnet::cuda

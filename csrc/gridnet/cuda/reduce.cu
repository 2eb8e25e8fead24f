// The gradients of a step's parameters, from their partial sums.
#include "core/cuda/sum_parts.h"
#include "gridnet/cuda/common.cuh"
#include "gridnet/cuda/kernels.h"

namespace zoo::gridnet::cuda {

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

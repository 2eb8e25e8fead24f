// The gradients of a step's parameters from their partial sums.
#include "gridnet/cuda/common.cuh"
#include "gridnet/cuda/kernels.h"

namespace zoo::gridnet::cuda {

std::string sum_parameter_gradients(Dtype dtype, const StepConfig& config, const void* partial_sums,
                                    const ParameterGrads& to, void* stream) {
  const int channels = config.channels(), weights = kNeighbours * channels;
  const PartialSums partial{.data = partial_sums,
                            .parts = backward_parts(config),
                            .planes = parameter_planes(config),
                            .cells = config.shape.cells()};
  std::string error = sum_parts(dtype, partial, 0, weights, to.weight, stream);
  if (error.empty()) error = sum_parts(dtype, partial, weights, channels, to.bias, stream);
  if (!error.empty() || config.gated) return error;
  return sum_parts(dtype, partial, weights + channels, 1, to.residual_scale, stream);
}

}  // namespace zoo::gridnet::cuda

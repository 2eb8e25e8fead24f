// One step: chooses its kernels and checks its configuration.
#include "gridnet/cuda/common.cuh"
#include "gridnet/cuda/kernels.h"

namespace zoo::gridnet::cuda {

int64_t forward_groups(const StepConfig& config) {
  return config.blocks_matter() ? block_forward_groups(config) : tile_forward_groups(config);
}

std::string forward(const ForwardTask& task, void* stream) {
  return task.config.blocks_matter() ? block_forward(task, stream) : tile_forward(task, stream);
}

bool forward_fits(Dtype dtype, const StepConfig& config) {
  return config.blocks_matter() ? block_forward_fits(dtype, config) : tile_forward_fits(dtype, config);
}

int64_t backward_groups(const StepConfig& config) {
  return config.blocks_matter() ? block_backward_groups(config) : tile_backward_groups(config);
}

int backward_parts(const StepConfig& config) {
  return config.blocks_matter() ? block_backward_parts(config) : tile_backward_parts(config);
}

size_t backward_bytes(Dtype dtype, const StepConfig& config) {
  return config.blocks_matter() ? block_backward_bytes(dtype, config) : tile_backward_bytes(dtype, config);
}

std::string backward(const BackwardTask& task, void* stream) {
  return task.config.blocks_matter() ? block_backward(task, stream) : tile_backward(task, stream);
}

size_t partial_sum_bytes(Dtype dtype, const StepConfig& config) {
  return size_t(backward_parts(config)) * parameter_planes(config) * config.shape.cells() * accum_bytes(dtype);
}

std::string check(const StepConfig& config) {
  const Shape& s = config.shape;
  const std::string grid = std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k);
  if (s.m < 1 || s.n < 1 || s.k < 1) return "the grid is " + grid + ", every axis must be at least 1";
  if (s.cells() > int64_t{1} << 30) return "the grid is " + grid + ", the CUDA kernels take at most 2^30 cells";
  if (config.batch < 0 || config.batch > int64_t{1} << 30) {
    return "batch is " + std::to_string(config.batch) + ", allowed are 0 to 2^30";
  }
  if (config.inner_steps < 1) return "inner_steps is " + std::to_string(config.inner_steps) + ", must be at least 1";
  if (config.block < 1 || s.m % config.block || s.n % config.block || s.k % config.block) {
    return "block is " + std::to_string(config.block) + ", must divide every axis of the grid " + grid;
  }
  if (config.gated && config.normalize) return "normalize is not defined for gated steps";
  return {};
}

}  // namespace zoo::gridnet::cuda

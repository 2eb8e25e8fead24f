// The launchers of the gridnet kernels, as the entry points in cuda_step.cu and cuda_evolve.cu compose them.
#pragma once
#include "gridnet/cuda/api.h"

namespace zoo::gridnet::cuda {

// The input of a step: x, seen through LayerNorm when stats (mean and 1/std per sample) are given.
struct StateView {
  const void* values;
  const void* stats;
  const void* norm_weight;
  const void* norm_bias;
};

struct ForwardTask {
  Dtype dtype;
  StepConfig config;
  StepInputs<void> parameters;  // x unused
  StateView input;
  void* out;
  void* moments;        // [batch, forward_groups] Moments of the output for the LayerNorm that follows, or null
  bool outer_residual;  // out = values + (step(input) - input)
};

struct BackwardTask {
  Dtype dtype;
  StepConfig config;
  StepInputs<void> parameters;
  StateView input;
  const void* grad_out;
  void* grad_input;
  void* partial_sums;      // [batch_parts, planes, cells] gradients of the parameters, in the accumulation type
  bool add_to_partial;     // or start from zero
  bool subtract_grad_out;  // grad_input -= grad_out: the step stands in step(input) - input
  void* workspace;
};

// Groups of cells (warps) whose moments a forward kernel writes per sample.
int64_t tile_forward_groups(const StepConfig& config);
int64_t block_forward_groups(const StepConfig& config);
std::string tile_forward(const ForwardTask& task, void* stream);
std::string block_forward(const ForwardTask& task, void* stream);

int tile_backward_parts(const StepConfig& config);
int block_backward_parts(const StepConfig& config);
size_t tile_backward_bytes(Dtype dtype, const StepConfig& config);
size_t block_backward_bytes(Dtype dtype, const StepConfig& config);
std::string tile_backward(const BackwardTask& task, void* stream);
std::string block_backward(const BackwardTask& task, void* stream);

// Either of the two, whichever the step needs (cuda_step.cu).
int64_t forward_groups(const StepConfig& config);
std::string forward(const ForwardTask& task, void* stream);
int backward_parts(const StepConfig& config);
size_t backward_bytes(Dtype dtype, const StepConfig& config);
size_t partial_sum_bytes(Dtype dtype, const StepConfig& config);  // BackwardTask::partial_sums
std::string backward(const BackwardTask& task, void* stream);
std::string check(const StepConfig& config);  // an error line when the kernels cannot take the configuration

// LayerNorm over [batch, cells] (cuda_layernorm.cu).
struct NormTask {
  Dtype dtype;
  int64_t batch, cells;
};

struct NormBackward {
  StateView input;
  const void* grad_out;
  const void* carried;  // added to the result, or null
  void* grad_in;        // may be `carried`
  void* partial_sums;   // [parts, 2, cells] gradients of the norm's weight and bias, in the accumulation type
  bool add_to_partial;  // or start from zero
  void* workspace;
};

int64_t moment_groups(int64_t cells);  // per sample
std::string moments(const NormTask& task, const void* values, void* moments_out, void* stream);
std::string finish_stats(const NormTask& task, const void* moments_in, int64_t groups, double eps, void* stats,
                         void* stream);
std::string normalise(const NormTask& task, const StateView& input, void* out, void* stream);
int norm_backward_parts(const NormTask& task);
size_t norm_backward_bytes(const NormTask& task);
size_t norm_partial_bytes(const NormTask& task);
std::string norm_backward(const NormTask& task, const NormBackward& pass, void* stream);

// Weight, bias and residual scale gradients from their partial sums.
std::string sum_parameter_gradients(Dtype dtype, const StepConfig& config, const void* partial, int parts, void* weight,
                                    void* bias, void* residual_scale, void* stream);

}  // namespace zoo::gridnet::cuda

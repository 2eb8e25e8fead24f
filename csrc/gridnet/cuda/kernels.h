// The launchers of the gridnet kernels, which evolve.cu composes. Tensors are device memory of the task's dtype, sums
// and statistics are in its accumulation type.
#pragma once
#include "core/cuda/sum_parts.h"
#include "gridnet/cuda/api.h"

namespace zoo::gridnet::cuda {

using zoo::cuda::PartialSums;

// The parameters of one step.
template <class T>
struct StepParameters {
  const T* weight;          // [27, (2,) m, n, k]
  const T* bias;            // [(2,) m, n, k]
  const T* residual_scale;  // [m, n, k]; null when gated
};

// Grids [batch, cells] as a step reads them: as stored or, given `stats`, through the LayerNorm.
struct GridView {
  const void* values;
  const void* stats;  // Stats of each sample, or null
  const void* norm_weight;
  const void* norm_bias;
};

struct ForwardTask {
  Dtype dtype;
  StepConfig config;
  StepParameters<void> parameters;
  GridView input;
  void* out;
  void* moments;        // [batch, forward_groups] Moments of `out` for the LayerNorm that follows, or null
  bool outer_residual;  // out = values + (step(input) - input)
};

struct BackwardTask {
  Dtype dtype;
  StepConfig config;
  StepParameters<void> parameters;
  GridView input;
  const void* grad_out;
  void* grad_input;
  void* partial_sums;      // [batch_parts, parameter planes, cells] gradients of the parameters
  bool add_to_partial;     // add to partial_sums rather than overwrite them
  bool subtract_grad_out;  // grad_input -= grad_out: with outer_residual, step(input) - input is what is added
  void* workspace;         // backward_bytes
};

// Where blocks do not matter, the grid is cut into tiles (tiles.cuh); otherwise into the network's blocks (blocks.cuh).
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

// Whichever of the two the step needs (step.cu).
std::string check(const StepConfig& config);  // an error line if the kernels cannot run the configuration
std::string forward(const ForwardTask& task, void* stream);
std::string backward(const BackwardTask& task, void* stream);
int64_t forward_groups(const StepConfig& config);  // groups of cells (warps) per sample, of which each has its Moments
int backward_parts(const StepConfig& config);      // parts of the batch, of which each has its partial sums
size_t backward_bytes(Dtype dtype, const StepConfig& config);
size_t partial_sum_bytes(Dtype dtype, const StepConfig& config);

// Where the gradients of a step's parameters go.
struct ParameterGrads {
  void* weight;
  void* bias;
  void* residual_scale;  // null when gated
};

// Adds up BackwardTask::partial_sums over the parts of the batch (reduce.cu).
std::string sum_parameter_gradients(Dtype dtype, const StepConfig& config, const void* partial_sums,
                                    const ParameterGrads& to, void* stream);

// LayerNorm over [batch, cells] (layernorm.cu).
struct NormTask {
  Dtype dtype;
  int64_t batch, cells;
};

// Moments of each sample, by groups of cells.
struct MomentGroups {
  void* moments;   // [batch, groups]
  int64_t groups;  // per sample
};

struct NormBackwardTask {
  GridView input;
  const void* grad_out;
  const void* bypass;  // a gradient that is added to the result, or null
  void* grad_in;       // may be `bypass`
  void* partial_sums;  // [parts, 2, cells] gradients of the norm's weight and bias
  bool add_to_partial;
  void* workspace;  // norm_backward_bytes
};

int64_t moment_groups(int64_t cells);  // the groups per sample of moments()
std::string moments(const NormTask& task, const void* values, void* moments_out, void* stream);
std::string finish_stats(const NormTask& task, const MomentGroups& in, double eps, void* stats, void* stream);
std::string normalise(const NormTask& task, const GridView& input, void* out, void* stream);
int norm_backward_parts(const NormTask& task);
size_t norm_backward_bytes(const NormTask& task);
size_t norm_partial_bytes(const NormTask& task);
std::string norm_backward(const NormTask& task, const NormBackwardTask& pass, void* stream);

}  // namespace zoo::gridnet::cuda

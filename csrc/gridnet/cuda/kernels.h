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
  const void* stats;        // Stats of each sample, or null
  const void* norm_weight;  // with stats, or before further steps, which read them
  const void* norm_bias;
};

// The gradient of grids [batch, cells] as a backward pass reads it: as stored or, given `means`, computed from that of
// their LayerNorm.
struct GradView {
  const void* values;
  const void* means;   // GradSums of each sample, divided by its cells, or null
  GridView grids;      // with means
  const void* bypass;  // with means: a gradient that is added, or null
};

// Where a pass that reads a gradient through the LayerNorm sums the gradients of the norm's weight and bias.
struct NormPartial {
  void* sums;  // [backward_parts, 2, cells]
  bool add;    // add to the sums rather than overwrite them
};

// Grid s in the memory of the saved ones, of which it is every `recompute`-th.
ZOO_HD void* saved_grid(void* saved, int s, int recompute, size_t grid_bytes) {
  return static_cast<char*>(saved) + (s / recompute - 1) * grid_bytes;
}

// Where a forward pass stores its grids [batch, cells]. Grid s is the one before step s.
struct Trajectory {
  const void* first;                 // grid 0
  void* last;                        // grid `steps`, unless it is saved
  void* saved;                       // the grids `recompute`, 2 * `recompute`, ... up to last_saved
  void *even, *odd;                  // the others in turn
  int steps, recompute, last_saved;  // last_saved is 0 if none is
  size_t grid_bytes;

  ZOO_HD void* at(int s) const {
    if (s == 0) return const_cast<void*>(first);
    if (s <= last_saved && s % recompute == 0) return saved_grid(saved, s, recompute, grid_bytes);
    return s == steps ? last : s % 2 == 0 ? even : odd;
  }
};

// The steps that a launch takes after its first one. Its CTAs wait for each other between steps (steps.cuh).
struct FurtherSteps {
  int count;         // 0: the launch takes one step
  Trajectory grids;  // of the evolution: the launch takes all of its steps
  void* stats;       // of the grids 1 to `count`, [batch] each, which the launch computes
  double norm_eps;
};

struct ForwardTask {
  Dtype dtype;
  StepConfig config;
  StepParameters<void> parameters;
  GridView input;
  void* out;
  void* moments;        // [batch, forward_groups] Moments of `out` for the LayerNorm that follows, or null
  bool outer_residual;  // out = values + (step(input) - input)
  FurtherSteps further;
};

struct BackwardTask {
  Dtype dtype;
  StepConfig config;
  StepParameters<void> parameters;
  GridView input;
  GradView grad_out;
  void* resolved;            // with grad_out.means: memory for what grad_out reads; may be its bypass
  NormPartial norm_partial;  // with grad_out.means
  void* grad_input;
  void* grad_sums;         // [batch, backward_groups] GradSums of grad_input for the LayerNorm of `input`, or null
  void* partial_sums;      // [backward_parts, parameter planes, cells] gradients of the parameters
  bool add_to_partial;     // add to partial_sums rather than overwrite them
  bool subtract_grad_out;  // grad_input -= grad_out: with outer_residual, step(input) - input is what is added
  void* workspace;         // backward_bytes
};

// Where blocks do not matter, the grid is cut into tiles (tiles.cuh); otherwise into the network's blocks (blocks.cuh).
int64_t tile_forward_groups(const StepConfig& config);
int64_t block_forward_groups(const StepConfig& config);
bool tile_forward_fits(Dtype dtype, const StepConfig& config);
bool block_forward_fits(Dtype dtype, const StepConfig& config);
std::string tile_forward(const ForwardTask& task, void* stream);
std::string block_forward(const ForwardTask& task, void* stream);

int64_t tile_backward_groups(const StepConfig& config);
int64_t block_backward_groups(const StepConfig& config);
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
// True if the current device holds a CTA for every tile or block at once: several steps can be one launch.
bool forward_fits(Dtype dtype, const StepConfig& config);
// Groups of cells (warps) per sample, of which each has its Moments or its GradSums.
int64_t forward_groups(const StepConfig& config);
int64_t backward_groups(const StepConfig& config);
int backward_parts(const StepConfig& config);  // parts of the batch, of which each has its partial sums
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

int64_t moment_groups(int64_t cells);  // the groups per sample of moments() and norm_sums()
std::string moments(const NormTask& task, const void* values, void* moments_out, void* stream);
std::string finish_stats(const NormTask& task, const MomentGroups& in, double eps, void* stats, void* stream);
std::string normalise(const NormTask& task, const GridView& input, void* out, void* stream);
// The GradSums of `grad`, a gradient of LayerNorm(grids), by moment_groups.
std::string norm_sums(const NormTask& task, const GridView& grids, const void* grad, void* sums, void* stream);
std::string finish_norm_sums(const NormTask& task, const void* sums, int64_t groups, void* means, void* stream);
// Writes what `grad` reads, with the norm's gradients summed over `parts` parts of the batch.
std::string norm_backward(const NormTask& task, const GradView& grad, const NormPartial& partial, int parts,
                          void* grad_in, void* stream);

}  // namespace zoo::gridnet::cuda

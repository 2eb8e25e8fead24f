// Where an evolution stores its grids: layouts of the caller's memory on which forward and backward agree.
//
// Grid s is the grid before outer step s, as it is stored; grid outer_steps is the one after the last step. Without
// outer_residual, grid s + 1 = step(norm(grid s)), where step 0 reads grid 0, the input, as it is, and the output is
// the norm of the last grid. With outer_residual, grid s + 1 = grid s + step(norm(grid s)) - norm(grid s), and the
// output is the last grid.
#pragma once
#include <algorithm>

#include "gridnet/cuda/kernels.h"

namespace zoo::gridnet::cuda {

// Hands out aligned pieces of device memory. Without memory it only counts.
class DeviceArena {
 public:
  explicit DeviceArena(void* memory) : memory_(static_cast<char*>(memory)) {}
  void* take(size_t bytes) {
    constexpr size_t kAlignment = 256;
    char* const piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return piece;
  }
  size_t used() const { return used_; }

 private:
  char* memory_;
  size_t used_ = 0;
};

inline void* at_byte(void* memory, size_t offset) {
  return memory == nullptr ? nullptr : static_cast<char*>(memory) + offset;
}
inline const void* at_byte(const void* memory, size_t offset) { return at_byte(const_cast<void*>(memory), offset); }

// Sizes, and which grids are saved. Unlike the CPU kernels, these do not save the last grid unless its number is a
// multiple of `recompute`.
struct Plan {
  Dtype dtype;
  EvolveConfig config;

  int64_t cells() const { return config.step.shape.cells(); }
  int64_t batch() const { return config.step.batch; }
  NormTask norm() const { return {dtype, batch(), cells()}; }
  size_t grid_bytes() const { return batch() * cells() * element_bytes(dtype); }
  size_t stats_bytes() const { return 2 * batch() * accum_bytes(dtype); }
  int first_normalised() const { return config.outer_residual ? 0 : 1; }  // this and all later grids are
  int last_needed() const { return config.outer_steps - (config.outer_residual ? 1 : 0); }  // by backward
  int saved_grids() const { return last_needed() / config.recompute; }
  // `saved` is null in inference; `work` are the two grids that are taken in turn.
  Trajectory trajectory(const void* x, void* out, void* saved, void* const (&work)[2]) const {
    return {.first = x,
            .last = out,
            .saved = saved,
            .even = work[0],
            .odd = work[1],
            .steps = config.outer_steps,
            .recompute = config.recompute,
            .last_saved = saved == nullptr ? 0 : last_needed(),
            .grid_bytes = grid_bytes()};
  }
};

// ForwardArgs::saved.
struct Saved {
  void* grids;  // every recompute-th one, from grid `recompute` on
  void* stats;  // of all normalised grids
  size_t bytes;

  Saved(const Plan& plan, void* memory) {
    DeviceArena arena(memory);
    grids = arena.take(plan.saved_grids() * plan.grid_bytes());
    stats = arena.take(plan.config.outer_steps * plan.stats_bytes());
    bytes = arena.used();
  }
  // Grid s, which is saved.
  void* grid(const Plan& plan, int s) const { return saved_grid(grids, s, plan.config.recompute, plan.grid_bytes()); }
};

struct ForwardSpace {
  void* grids[2];  // taken in turn by grids that are not saved
  void* moments;
  void* stats;  // inference only; training saves them
  size_t bytes;

  ForwardSpace(const Plan& plan, bool training, void* memory) {
    DeviceArena arena(memory);
    for (void*& grid : grids) grid = arena.take(training && plan.config.recompute == 1 ? 0 : plan.grid_bytes());
    const int64_t groups = std::max(forward_groups(plan.config.step), moment_groups(plan.cells()));
    moments = arena.take(3 * groups * plan.batch() * accum_bytes(plan.dtype));
    stats = arena.take(training ? 0 : plan.config.outer_steps * plan.stats_bytes());
    bytes = arena.used();
  }
};

struct BackwardSpace {
  void* recomputed;                   // the grids between two saved ones
  void *grad_normalised, *grad_grid;  // the gradient of norm(grid s), and of grid s
  void *grad_sums, *grad_means;       // GradSums of grad_normalised, and their means per sample
  void *partial_sums, *step_space;    // of the parameters; the workspace of a step
  void* norm_partial_sums;            // of the norm's parameters, with the parts of a step
  size_t bytes;

  BackwardSpace(const Plan& plan, void* memory) {
    DeviceArena arena(memory);
    recomputed = arena.take((plan.config.recompute - 1) * plan.grid_bytes());
    grad_normalised = arena.take(plan.grid_bytes());
    grad_grid = arena.take(plan.grid_bytes());
    const int64_t groups = std::max(backward_groups(plan.config.step), moment_groups(plan.cells()));
    grad_sums = arena.take(2 * groups * plan.batch() * accum_bytes(plan.dtype));
    grad_means = arena.take(plan.stats_bytes());
    partial_sums = arena.take(partial_sum_bytes(plan.dtype, plan.config.step));
    step_space = arena.take(backward_bytes(plan.dtype, plan.config.step));
    norm_partial_sums =
        arena.take(size_t(backward_parts(plan.config.step)) * 2 * plan.cells() * accum_bytes(plan.dtype));
    bytes = arena.used();
  }
};

// The workspace of a single step's backward pass.
struct StepBackwardSpace {
  void *partial_sums, *step_space;
  size_t bytes;

  StepBackwardSpace(const Plan& plan, void* memory) {
    const size_t partial_bytes = partial_sum_bytes(plan.dtype, plan.config.step);
    partial_sums = memory;
    step_space = at_byte(memory, partial_bytes);
    bytes = partial_bytes + backward_bytes(plan.dtype, plan.config.step);
  }
};

}  // namespace zoo::gridnet::cuda

// Gradients of one step where blocks matter, without atomics. A CTA owns a block of the grid and iterates over its part
// of the batch (block_pass.cuh). It writes the gradient of the block with its shell to the workspace; a second kernel
// sums, at each cell, the gradients from the blocks around it.
//
// The shell is the same in every inner step. Unless it is standardised with the block, its gradient is therefore
// gathered once, from the gradients of the pre-activations summed over the inner steps.
#include "gridnet/cuda/block_pass.cuh"

namespace zoo::gridnet::cuda {
namespace {

constexpr int kGatherThreads = 256;

template <class T, bool Gated, bool Resident, bool CommonSide>
__global__ void __launch_bounds__(kBackwardThreads<Accum<T>, Gated, Resident>, Resident ? 1 : 2)
    block_backward_kernel(BlockBackward<T> a) {
  if constexpr (CommonSide) a.blocks.side = kCommonSide;
  DYNSHARED(Accum<T>, memory);
  BlockPass<T, Gated, Resident> pass(a, memory);
  const SampleRange samples(a.batch, blockIdx.y, gridDim.y);
  for (int sample = samples.begin; sample < samples.end; ++sample) {
    pass.load(sample);
    pass.recompute();
    for (int step = a.inner_steps - 1; step >= 0; --step) pass.back(step);
    pass.write_grads(sample);
  }
  pass.write_sums();
}

// One thread per cell, for a part of the batch: sums the gradients of its own block and of the shells around it that
// hold the cell. A shell does if the cell is the first or the last of its block along an axis.
template <class T>
__global__ void __launch_bounds__(kGatherThreads, 6) block_backward_input_kernel(BlockBackward<T> a) {
  using A = Accum<T>;
  const int cells = a.grid.cells(), side = a.blocks.side, size = side + 2;
  const int64_t positions = a.blocks.positions();
  const int cell = blockIdx.x * blockDim.x + threadIdx.x;
  const bool inside = cell < cells;
  const int z = cell / (a.grid.n * a.grid.k), y = cell / a.grid.k % a.grid.n, x = cell % a.grid.k;
  const auto first = [&](int at) { return at / side - (at > 0 && at % side == 0); };
  const auto last = [&](int at, int end) { return at / side + (at + 1 < end && (at + 1) % side == 0); };
  const int first_z = first(z), last_z = last(z, a.grid.m), first_y = first(y), last_y = last(y, a.grid.n);
  const int first_x = first(x), last_x = last(x, a.grid.k);
  const SampleRange samples(a.batch, blockIdx.y, gridDim.y);
  for (int sample = samples.begin; sample < samples.end; ++sample) {
    GradSums<A> sums{};
    if (inside) {
      A grad = 0;
#pragma unroll 1
      for (int bz = first_z; bz <= last_z; ++bz) {
#pragma unroll 1
        for (int by = first_y; by <= last_y; ++by) {
#pragma unroll 1
          for (int bx = first_x; bx <= last_x; ++bx) {
            const int block = (bz * a.blocks.along_y + by) * a.blocks.along_x + bx;
            const int position = ((z - bz * side + 1) * size + y - by * side + 1) * size + x - bx * side + 1;
            grad += a.tile_grads[(int64_t{sample} * a.blocks.count + block) * positions + position];
          }
        }
      }
      const int64_t offset = int64_t{sample} * cells + cell;
      if (a.subtract_grad_out) grad -= static_cast<A>(a.grad[offset]);
      const T stored = static_cast<T>(grad);
      a.grad_input[offset] = stored;
      if (a.grad_sums != nullptr) a.input.add_to(sums, static_cast<A>(stored), sample, cells, cell);
    }
    if (a.grad_sums == nullptr) continue;
    sums = warp_sums(sums);
    if (threadIdx.x % kWarp == 0) {
      const int warps = kGatherThreads / kWarp;
      a.grad_sums[(int64_t{sample} * gridDim.x + blockIdx.x) * warps + threadIdx.x / kWarp] = sums;
    }
  }
}

template <class T, bool Gated, bool Resident>
auto kernel_for(const Blocks& blocks) {
  if constexpr (Resident) {
    if (blocks.side == kCommonSide) return &block_backward_kernel<T, Gated, true, true>;
  }
  return &block_backward_kernel<T, Gated, Resident, false>;
}

template <class T, bool Gated, bool Resident>
std::string run(const BackwardTask& task, void* stream) {
  using A = Accum<T>;
  constexpr int64_t kWantedCtas = 2112;  // sixteen for each multiprocessor of an H100
  const StepConfig& c = task.config;
  const auto bytes = [&](int64_t side) { return backward_shared_bytes<A, Gated>(side, c.normalize); };
  const Blocks blocks = blocks_of(c);
  const auto kernel = kernel_for<T, Gated, Resident>(blocks);
  std::string error = check_shared_memory("backward pass", c.block, shared_memory_limit(kernel), bytes);
  if (!error.empty()) return error;
  const int parts = block_backward_parts(c);
  A* const states = static_cast<A*>(task.workspace);
  A* const pre = states + int64_t{parts} * c.inner_steps * c.shape.cells();
  // Without outer_residual nothing reads the gradient again.
  const bool through_norm = task.grad_out.means != nullptr;
  void* const resolved = through_norm && task.subtract_grad_out ? task.resolved : nullptr;
  const BlockBackward<T> arguments{.grid = grid_of(c.shape),
                                   .batch = static_cast<int>(c.batch),
                                   .blocks = blocks,
                                   .inner_steps = c.inner_steps,
                                   .normalize = c.normalize,
                                   .eps = static_cast<A>(c.eps),
                                   .activation = c.activation,
                                   .parameters = typed<T>(task.parameters),
                                   .input = field_of<T>(task.input),
                                   .grad_out = grad_field_of<T>(task.grad_out, task.norm_partial, resolved),
                                   .grad = static_cast<const T*>(through_norm ? resolved : task.grad_out.values),
                                   .states = states,
                                   .pre = pre,
                                   .tile_grads = pre + int64_t{parts} * c.inner_steps * c.channels() * c.shape.cells(),
                                   .partial = static_cast<A*>(task.partial_sums),
                                   .add_to_partial = task.add_to_partial,
                                   .grad_input = static_cast<T*>(task.grad_input),
                                   .grad_sums = static_cast<GradSums<A>*>(task.grad_sums),
                                   .subtract_grad_out = task.subtract_grad_out};
  error = launch("block_backward", kernel, dim3(blocks.count, parts),
                 block_threads(blocks, kBackwardCells<A, Gated, Resident>), bytes(c.block), stream, arguments);
  if (!error.empty()) return error;
  const int64_t ctas = ceil_div(c.shape.cells(), kGatherThreads);
  const dim3 of_parts(static_cast<unsigned>(ctas), batch_parts(c.batch, ctas, kWantedCtas, 65535));
  return launch("block_backward_input", &block_backward_input_kernel<T>, of_parts, kGatherThreads, 0, stream,
                arguments);
}

}  // namespace

int block_backward_parts(const StepConfig& config) {
  constexpr int64_t kWantedCtas = 528, kMostParts = 32;  // each part costs a copy of the parameters' gradients
  return batch_parts(config.batch, blocks_of(config).count, kWantedCtas, kMostParts);
}

int64_t block_backward_groups(const StepConfig& config) {
  return ceil_div(config.shape.cells(), kGatherThreads) * (kGatherThreads / kWarp);
}

size_t block_backward_bytes(Dtype dtype, const StepConfig& config) {
  const Blocks blocks = blocks_of(config);
  // The states before the inner steps, and their pre-activations.
  const int64_t planes = config.inner_steps * (1 + config.channels());
  const int64_t of_parts = block_backward_parts(config) * planes * config.shape.cells();
  return (of_parts + config.batch * blocks.count * blocks.positions()) * accum_bytes(dtype);
}

std::string block_backward(const BackwardTask& task, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    return with_kind<Accum<T>>(task.config,
                               [&](auto gated, auto resident) { return run<T, gated(), resident()>(task, stream); });
  });
}

}  // namespace zoo::gridnet::cuda

// Gradients of one step where blocks matter, without atomics. A CTA owns a block of the grid and iterates over its part
// of the batch: it repeats the inner steps, saves their states and pre-activations, and goes back through them. It
// writes the gradient of the block with its shell to the workspace; a second kernel sums, at each cell, the gradients
// from the blocks around it.
//
// The shell is the same in every inner step. Unless it is standardised with the block, its gradient is therefore
// gathered once, from the gradients of the pre-activations summed over the inner steps.
#include "gridnet/cuda/block_backward.cuh"

namespace zoo::gridnet::cuda {
namespace {

template <class T, bool Gated, bool Resident>
__global__ void __launch_bounds__(kBlockThreads) block_backward_kernel(BlockBackward<T> a) {
  using A = Accum<T>;
  constexpr int kDepth = kChannels<Gated>, kPlanes = kParameterPlanes<Gated>;
  const int cells = a.grid.cells(), side = a.blocks.side, block_cells = a.blocks.cells();
  const Box box = a.blocks.box(blockIdx.x);
  const int positions = box.positions;
  const SampleRange samples(a.batch, blockIdx.y, gridDim.y);
  DYNSHARED(A, memory);
  const Scratch<A> tile(memory, positions, block_cells, kDepth, a.normalize);
  const auto each_cell = [&](auto f) { for_each_cell<Resident>(a.grid, box, side, f); };
  const bool standardised = !Gated && a.normalize;
  const int64_t cta = int64_t{blockIdx.y} * a.blocks.count + blockIdx.x;
  A* states = a.states + cta * a.inner_steps * block_cells;
  const auto saved_pre = [&](int step, int channel, BlockCell own) -> A& {
    return a.pre[((cta * (a.inner_steps - 1) + step) * kDepth + channel) * block_cells + own.local];
  };
  A* partial = a.partial + int64_t{blockIdx.y} * kPlanes * cells;
  CellSums<A, kPlanes, Resident> sums;
  A* totals = a.totals + cta * kDepth * block_cells;
  if (!Resident && !a.add_to_partial) {
    each_cell([&](BlockCell own) {
      for (int p = 0; p < kPlanes; ++p) partial[int64_t{p} * cells + own.cell] = 0;
    });
  }
  each_cell([&](BlockCell own) { a.grad_out.start(blockIdx.y, cells, own.cell); });
  box.map_cells(a.grid, tile.cell_at);

  for (int sample = samples.begin; sample < samples.end; ++sample) {
    __syncthreads();  // no thread reads the tiles of the sample before any more
    load_tile(tile.state, tile.cell_at, positions, [&](int cell) { return a.input.at(sample, cells, cell); });
    for (int p = threadIdx.x; p < positions; p += blockDim.x) tile.grad[p] = 0;
    __syncthreads();
    each_cell([&](BlockCell own) {
      NormSums<A> norm_sums;
      tile.grad[own.position] = a.grad_out.read(sample, cells, own.cell, norm_sums);
      a.grad_out.add(blockIdx.y, cells, own.cell, norm_sums);
      states[own.local] = tile.state[own.position];
      for (int channel = 0; channel < kDepth; ++channel) totals[channel * block_cells + own.local] = 0;
    });

    // Repeat the inner steps up to the state before the last one. grad_pre holds the next state meanwhile.
    for (int step = 1; step < a.inner_steps; ++step) {
      const A* inputs = tile.state;
      if (standardised) {
        standardise(tile.state, positions, a.eps, tile.standardised);
        inputs = tile.standardised;
      }
      each_cell([&](BlockCell own) {
        A pre[kDepth];
        pre_activations(a.parameters, cells, box, inputs, own, pre);
#pragma unroll
        for (int channel = 0; channel < kDepth; ++channel) saved_pre(step - 1, channel, own) = pre[channel];
        const A before = tile.state[own.position], value = activate(a.activation, pre[0]);
        if constexpr (Gated) {
          const A gate = sigmoid(pre[1]);
          tile.grad_pre[own.local] = gate * before + (A(1) - gate) * value;
        } else {
          tile.grad_pre[own.local] = before + static_cast<A>(a.parameters.residual_scale[own.cell]) * value;
        }
      });
      __syncthreads();
      each_cell([&](BlockCell own) {
        tile.state[own.position] = tile.grad_pre[own.local];
        states[int64_t{step} * block_cells + own.local] = tile.grad_pre[own.local];
      });
      __syncthreads();
    }

    for (int step = a.inner_steps - 1; step >= 0; --step) {
      each_cell([&](BlockCell own) { tile.state[own.position] = states[int64_t{step} * block_cells + own.local]; });
      __syncthreads();
      const A* inputs = tile.state;
      A std = 0;
      if (standardised) {
        std = standardise(tile.state, positions, a.eps, tile.standardised).std;
        inputs = tile.standardised;
      }
      each_cell([&](BlockCell own) {
        A pre[kDepth], grad_pre[kDepth];
        if (step + 1 == a.inner_steps) {
          pre_activations(a.parameters, cells, box, inputs, own, pre);
        } else {
#pragma unroll
          for (int channel = 0; channel < kDepth; ++channel) pre[channel] = saved_pre(step, channel, own);
        }
        const A grad = tile.grad[own.position];
        const ValueAndSlope<A> value = activate_with_slope(a.activation, pre[0]);
        if constexpr (Gated) {
          const A gate = sigmoid(pre[1]);
          grad_pre[0] = grad * (A(1) - gate) * value.slope;
          grad_pre[1] = grad * (tile.state[own.position] - value.value) * gate * (A(1) - gate);
          tile.grad[own.position] = grad * gate;
        } else {
          grad_pre[0] = grad * static_cast<A>(a.parameters.residual_scale[own.cell]) * value.slope;
          sums.add(kPlanes - 1, grad * value.value, partial + own.cell, cells);
        }
#pragma unroll
        for (int channel = 0; channel < kDepth; ++channel) {
          tile.grad_pre[channel * block_cells + own.local] = grad_pre[channel];
          sums.add(kNeighbours * kDepth + channel, grad_pre[channel], partial + own.cell, cells);
          totals[channel * block_cells + own.local] += grad_pre[channel];
        }
#pragma unroll
        for (int i = 0; i < kNeighbours; ++i) {
          const A neighbour = inputs[own.position + ((i / 9 - 1) * box.hy + i / 3 % 3 - 1) * box.hx + i % 3 - 1];
#pragma unroll
          for (int channel = 0; channel < kDepth; ++channel) {
            sums.add(i * kDepth + channel, grad_pre[channel] * neighbour, partial + own.cell, cells);
          }
        }
      });
      __syncthreads();
      if (standardised) {
        for (int p = threadIdx.x; p < positions; p += blockDim.x) {
          tile.grad_inputs[p] = gather<kDepth>(a, box, tile.grad_pre, p);
        }
        __syncthreads();
        add_through_standardise(tile, positions, std, a.eps);
      } else {
        each_cell(
            [&](BlockCell own) { tile.grad[own.position] += gather<kDepth>(a, box, tile.grad_pre, own.position); });
      }
      __syncthreads();
    }

    if (!standardised) {
      each_cell([&](BlockCell own) {
#pragma unroll
        for (int channel = 0; channel < kDepth; ++channel) {
          tile.grad_pre[channel * block_cells + own.local] = totals[channel * block_cells + own.local];
        }
      });
      __syncthreads();
    }
    A* tile_grads = a.tile_grads + (int64_t{sample} * a.blocks.count + blockIdx.x) * positions;
    for (int p = threadIdx.x; p < positions; p += blockDim.x) {
      const bool gathered = standardised || in_block(box, side, p);
      tile_grads[p] = gathered ? tile.grad[p] : gather<kDepth>(a, box, tile.grad_pre, p);
    }
  }

  if constexpr (Resident) {
    each_cell([&](BlockCell own) {
#pragma unroll
      for (int p = 0; p < kPlanes; ++p) {
        A* sum = partial + int64_t{p} * cells + own.cell;
        *sum = a.add_to_partial ? *sum + sums.sums[p] : sums.sums[p];
      }
    });
  }
}

// The gradients of a cell's own block and of the shells around it that hold the cell, summed.
template <class T>
__device__ Accum<T> input_gradient(const BlockBackward<T>& a, int sample, int cell) {
  const int side = a.blocks.side, size = side + 2;
  const int z = cell / (a.grid.n * a.grid.k), y = cell / a.grid.k % a.grid.n, x = cell % a.grid.k;
  const Accum<T>* grads = a.tile_grads + int64_t{sample} * a.blocks.count * a.blocks.positions();
  Accum<T> sum = 0;
  for (int i = 0; i < kNeighbours; ++i) {
    const int bz = z / side + i / 9 - 1, by = y / side + i / 3 % 3 - 1, bx = x / side + i % 3 - 1;
    const int pz = z - bz * side + 1, py = y - by * side + 1, px = x - bx * side + 1;
    const bool in_tile = pz >= 0 && pz < size && py >= 0 && py < size && px >= 0 && px < size;
    if (!in_tile || !a.grid.contains(bz * side, by * side, bx * side)) continue;
    const int block = (bz * a.blocks.along_y + by) * a.blocks.along_x + bx;
    sum += grads[int64_t{block} * a.blocks.positions() + (pz * size + py) * size + px];
  }
  return sum;
}

// One warp per group of 32 cells of one sample.
template <class T>
__global__ void block_backward_input_kernel(BlockBackward<T> a, int64_t groups_per_sample) {
  using A = Accum<T>;
  const int cells = a.grid.cells();
  const int64_t group = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
  if (group >= a.batch * groups_per_sample) return;
  const int sample = static_cast<int>(group / groups_per_sample);
  const int cell = static_cast<int>(group % groups_per_sample) * kWarp + threadIdx.x % kWarp;
  const int64_t offset = int64_t{sample} * cells + cell;
  GradSums<A> sums{};
  if (cell < cells) {
    A grad = input_gradient(a, sample, cell);
    if (a.subtract_grad_out) grad -= static_cast<A>(a.grad[offset]);
    const T stored = static_cast<T>(grad);
    a.grad_input[offset] = stored;
    if (a.grad_sums != nullptr) a.input.add_to(sums, static_cast<A>(stored), sample, cells, cell);
  }
  if (a.grad_sums == nullptr) return;
  sums = warp_sums(sums);
  if (threadIdx.x % kWarp == 0) a.grad_sums[group] = sums;
}

template <class T, bool Gated, bool Resident>
std::string run(const BackwardTask& task, void* stream) {
  using A = Accum<T>;
  constexpr int kGatherThreads = 256;
  const StepConfig& c = task.config;
  const auto bytes = [&](int64_t side) { return backward_shared_bytes<A>(side, kChannels<Gated>, c.normalize); };
  std::string error = check_shared_memory("backward pass", c.block, bytes);
  if (!error.empty()) return error;
  const Blocks blocks = blocks_of(c);
  const int parts = block_backward_parts(c);
  A* const states = static_cast<A*>(task.workspace);
  A* const pre = states + int64_t{parts} * c.inner_steps * c.shape.cells();
  A* const totals = pre + int64_t{parts} * (c.inner_steps - 1) * c.channels() * c.shape.cells();
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
                                   .totals = totals,
                                   .tile_grads = totals + int64_t{parts} * c.channels() * c.shape.cells(),
                                   .partial = static_cast<A*>(task.partial_sums),
                                   .add_to_partial = task.add_to_partial,
                                   .grad_input = static_cast<T*>(task.grad_input),
                                   .grad_sums = static_cast<GradSums<A>*>(task.grad_sums),
                                   .subtract_grad_out = task.subtract_grad_out};
  error = launch("block_backward", &block_backward_kernel<T, Gated, Resident>, dim3(blocks.count, parts),
                 block_threads(blocks), bytes(c.block), stream, arguments);
  if (!error.empty()) return error;
  const int64_t groups = block_backward_groups(c), ctas = ceil_div(c.batch * groups * kWarp, kGatherThreads);
  return launch("block_backward_input", &block_backward_input_kernel<T>, dim3(static_cast<unsigned>(ctas)),
                kGatherThreads, 0, stream, arguments, groups);
}

}  // namespace

int block_backward_parts(const StepConfig& config) {
  constexpr int64_t kWantedCtas = 528, kMostParts = 32;  // each part costs a copy of the parameters' gradients
  return batch_parts(config.batch, blocks_of(config).count, kWantedCtas, kMostParts);
}

int64_t block_backward_groups(const StepConfig& config) { return moment_groups(config.shape.cells()); }

size_t block_backward_bytes(Dtype dtype, const StepConfig& config) {
  const Blocks blocks = blocks_of(config);
  // States, pre-activations of all inner steps but the last, and their gradients' totals.
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

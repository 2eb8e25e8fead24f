// Gradients of one step where blocks matter, without atomics. A CTA owns a block of the grid and walks over its part
// of the batch: it repeats the inner steps, keeping their states, and goes back through them. The gradient of every
// block with its shell goes to the workspace; a second kernel gathers at each cell what the blocks around it owe it.
#include "gridnet/cuda/blocks.cuh"

namespace zoo::gridnet::cuda {
namespace {

template <class T>
struct BlockBackward {
  Grid grid;
  int batch;
  Blocks blocks;
  int inner_steps;
  bool normalize;
  Accum<T> eps;
  Activation activation;
  StepInputs<T> parameters;
  Field<T> input;
  const T* grad_out;
  Accum<T>* states;      // [parts, blocks, inner_steps, block cells]
  Accum<T>* tile_grads;  // [batch, blocks, block cells with shell]
  Accum<T>* partial;     // [parts, parameter planes, cells]
  bool add_to_partial;
  T* grad_input;
  bool subtract_grad_out;
};

// The gradients of one cell's parameters: in registers until the end when Resident, else in the partial sums.
template <class A, int Planes, bool Resident>
struct CellSums {
  A sums[Resident ? Planes : 1] = {};

  __device__ void add(int plane, A value, A* partial, int64_t cells) {
    if constexpr (Resident) {
      sums[plane] += value;
    } else {
      partial[plane * cells] += value;
    }
  }
};

// The tiles of a CTA in shared memory.
template <class A>
struct Scratch {
  A* state;         // the state before an inner step, with the shell
  A* grad;          // the gradient of the state after it; its shell collects over the inner steps
  A* standardised;  // only when normalize
  A* grad_inputs;   // only when normalize: the gradient of the standardised inputs
  A* grad_pre;      // [channel][block cells]
  int* cell_at;

  __device__ Scratch(A* memory, int positions, int block_cells, int channels, bool normalize)
      : state(memory),
        grad(state + positions),
        standardised(grad + positions),
        grad_inputs(standardised + (normalize ? positions : 0)),
        grad_pre(grad_inputs + (normalize ? positions : 0)),
        cell_at(reinterpret_cast<int*>(grad_pre + channels * block_cells)) {}
};

template <class A>
size_t shared_bytes(int64_t side, int channels, bool normalize) {
  const size_t positions = (side + 2) * (side + 2) * (side + 2), cells = side * side * side;
  return positions * ((normalize ? 4 : 2) * sizeof(A) + sizeof(int)) + channels * cells * sizeof(A);
}

// What the cells of the block owe the input at a position of the tile.
template <int Depth, class T, class A>
__device__ A gather(const BlockBackward<T>& a, const Box& box, const A* grad_pre, int position) {
  const int side = a.blocks.side, block_cells = a.blocks.cells();
  const int64_t cells = a.grid.cells();
  const int pz = position / (box.hy * box.hx) - 1, py = position / box.hx % box.hy - 1, px = position % box.hx - 1;
  A sum = 0;
#pragma unroll 3
  for (int i = 0; i < kNeighbours; ++i) {
    const int lz = pz - (i / 9 - 1), ly = py - (i / 3 % 3 - 1), lx = px - (i % 3 - 1);
    if (lz < 0 || lz >= side || ly < 0 || ly >= side || lx < 0 || lx >= side) continue;
    const int local = (lz * side + ly) * side + lx, cell = a.grid.index(box.z + lz, box.y + ly, box.x + lx);
#pragma unroll
    for (int channel = 0; channel < Depth; ++channel) {
      const A weight = static_cast<A>(a.parameters.weight[(i * Depth + channel) * cells + cell]);
      sum += weight * grad_pre[channel * block_cells + local];
    }
  }
  return sum;
}

// grad += gradient of the raw tile through its standardisation, given grad_inputs. All threads must call it.
template <class A>
__device__ void add_through_standardise(const Scratch<A>& tile, int positions, A std, A eps) {
  A sum = 0, products = 0;
  for (int p = threadIdx.x; p < positions; p += blockDim.x) {
    sum += tile.grad_inputs[p];
    products += tile.grad_inputs[p] * tile.standardised[p];
  }
  const A mean = block_sum(sum) / static_cast<A>(positions), product = block_sum(products) / static_cast<A>(positions);
  const A scale = A(1) / (std + eps), along = std > A(0) ? product / std : A(0);  // std of equal values: gradient 0
  for (int p = threadIdx.x; p < positions; p += blockDim.x) {
    tile.grad[p] += scale * (tile.grad_inputs[p] - mean) - along * tile.standardised[p];
  }
}

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
  A* states = a.states + (int64_t{blockIdx.y} * a.blocks.count + blockIdx.x) * a.inner_steps * block_cells;
  A* partial = a.partial + int64_t{blockIdx.y} * kPlanes * cells;
  CellSums<A, kPlanes, Resident> sums;
  if (!Resident && !a.add_to_partial) {
    each_cell([&](BlockCell own) {
      for (int p = 0; p < kPlanes; ++p) partial[int64_t{p} * cells + own.cell] = 0;
    });
  }
  box.map_cells(a.grid, tile.cell_at);

  for (int sample = samples.begin; sample < samples.end; ++sample) {
    __syncthreads();  // the tiles of the sample before are no longer read
    load_tile(tile.state, tile.cell_at, positions, [&](int cell) { return a.input.at(sample, cells, cell); });
    for (int p = threadIdx.x; p < positions; p += blockDim.x) tile.grad[p] = 0;
    __syncthreads();
    each_cell([&](BlockCell own) {
      tile.grad[own.position] = static_cast<A>(a.grad_out[int64_t{sample} * cells + own.cell]);
      states[own.local] = tile.state[own.position];
    });

    // Forward again, up to the state before the last inner step; grad_pre serves as room for the next state.
    for (int step = 1; step < a.inner_steps; ++step) {
      const A* inputs = tile.state;
      if (!Gated && a.normalize) {
        standardise(tile.state, positions, a.eps, tile.standardised);
        inputs = tile.standardised;
      }
      each_cell([&](BlockCell own) {
        A pre[kDepth];
        pre_activations(a.parameters.weight, a.parameters.bias, cells, box, inputs, own, pre);
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
      if (!Gated && a.normalize) {
        std = standardise(tile.state, positions, a.eps, tile.standardised).std;
        inputs = tile.standardised;
      }
      each_cell([&](BlockCell own) {
        A pre[kDepth], grad_pre[kDepth];
        pre_activations(a.parameters.weight, a.parameters.bias, cells, box, inputs, own, pre);
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
      A* const receiver = !Gated && a.normalize ? tile.grad_inputs : tile.grad;
      const bool collect = receiver == tile.grad;
      for (int p = threadIdx.x; p < positions; p += blockDim.x) {
        const A owed = gather<kDepth>(a, box, tile.grad_pre, p);
        receiver[p] = collect ? receiver[p] + owed : owed;
      }
      if (!collect) {
        __syncthreads();
        add_through_standardise(tile, positions, std, a.eps);
      }
      __syncthreads();
    }
    A* tile_grads = a.tile_grads + (int64_t{sample} * a.blocks.count + blockIdx.x) * positions;
    for (int p = threadIdx.x; p < positions; p += blockDim.x) tile_grads[p] = tile.grad[p];
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

// One thread per cell of a sample: its own block's gradient and what the shells of the blocks around it collected.
template <class T>
__global__ void block_backward_input_kernel(BlockBackward<T> a) {
  using A = Accum<T>;
  const int cells = a.grid.cells(), side = a.blocks.side, size = side + 2;
  const int64_t offset = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (offset >= int64_t{a.batch} * cells) return;
  const int cell = static_cast<int>(offset % cells);
  const int z = cell / (a.grid.n * a.grid.k), y = cell / a.grid.k % a.grid.n, x = cell % a.grid.k;
  const A* grads = a.tile_grads + offset / cells * a.blocks.count * a.blocks.positions();
  A sum = 0;
  for (int i = 0; i < kNeighbours; ++i) {
    const int bz = z / side + i / 9 - 1, by = y / side + i / 3 % 3 - 1, bx = x / side + i % 3 - 1;
    const int pz = z - bz * side + 1, py = y - by * side + 1, px = x - bx * side + 1;
    const bool in_tile = pz >= 0 && pz < size && py >= 0 && py < size && px >= 0 && px < size;
    if (!in_tile || !a.grid.contains(bz * side, by * side, bx * side)) continue;
    const int block = (bz * a.blocks.along_y + by) * a.blocks.along_x + bx;
    sum += grads[int64_t{block} * a.blocks.positions() + (pz * size + py) * size + px];
  }
  if (a.subtract_grad_out) sum -= static_cast<A>(a.grad_out[offset]);
  a.grad_input[offset] = static_cast<T>(sum);
}

template <class T, bool Gated, bool Resident>
std::string run(const BackwardTask& task, void* stream) {
  using A = Accum<T>;
  constexpr int kGatherThreads = 256;
  const StepConfig& c = task.config;
  const auto bytes = [&](int64_t side) { return shared_bytes<A>(side, kChannels<Gated>, c.normalize); };
  std::string error = check_shared_memory("backward pass", c.block, bytes);
  if (!error.empty()) return error;
  const Blocks blocks = blocks_of(c);
  const int parts = block_backward_parts(c);
  A* const states = static_cast<A*>(task.workspace);
  const BlockBackward<T> arguments{.grid = grid_of(c.shape),
                                   .batch = static_cast<int>(c.batch),
                                   .blocks = blocks,
                                   .inner_steps = c.inner_steps,
                                   .normalize = c.normalize,
                                   .eps = static_cast<A>(c.eps),
                                   .activation = c.activation,
                                   .parameters = typed<T>(task.parameters),
                                   .input = field_of<T>(task.input),
                                   .grad_out = static_cast<const T*>(task.grad_out),
                                   .states = states,
                                   .tile_grads = states + int64_t{parts} * c.inner_steps * c.shape.cells(),
                                   .partial = static_cast<A*>(task.partial_sums),
                                   .add_to_partial = task.add_to_partial,
                                   .grad_input = static_cast<T*>(task.grad_input),
                                   .subtract_grad_out = task.subtract_grad_out};
  error = launch("block_backward", &block_backward_kernel<T, Gated, Resident>, dim3(blocks.count, parts),
                 block_threads(blocks), bytes(c.block), stream, arguments);
  if (!error.empty()) return error;
  const int64_t ctas = ceil_div(c.batch * c.shape.cells(), kGatherThreads);
  return launch("block_backward_input", &block_backward_input_kernel<T>, dim3(static_cast<unsigned>(ctas)),
                kGatherThreads, 0, stream, arguments);
}

}  // namespace

int block_backward_parts(const StepConfig& config) {
  constexpr int64_t kWantedCtas = 528, kMostParts = 32;  // each part costs a copy of the parameters' gradients
  return batch_parts(config.batch, blocks_of(config).count, kWantedCtas, kMostParts);
}

size_t block_backward_bytes(Dtype dtype, const StepConfig& config) {
  const Blocks blocks = blocks_of(config);
  const int64_t states = block_backward_parts(config) * config.inner_steps * config.shape.cells();
  return (states + config.batch * blocks.count * blocks.positions()) * accum_bytes(dtype);
}

std::string block_backward(const BackwardTask& task, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    return with_kind<Accum<T>>(task.config,
                               [&](auto gated, auto resident) { return run<T, gated(), resident()>(task, stream); });
  });
}

}  // namespace zoo::gridnet::cuda

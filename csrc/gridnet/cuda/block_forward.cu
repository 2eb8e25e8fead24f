// One step where blocks matter: several inner steps against a shell that stays as it was, or standardised inputs. A CTA
// owns a block of the grid and iterates over its part of the batch; inner steps alternate between two tiles.
#include "gridnet/cuda/blocks.cuh"

namespace zoo::gridnet::cuda {
namespace {

template <class T>
struct BlockForward {
  Grid grid;
  int batch;
  Blocks blocks;
  int inner_steps;
  bool normalize;
  Accum<T> eps;
  Activation activation;
  StepParameters<T> parameters;
  int64_t padding = 0;  // moves the fields below; without it nvcc needs up to 18 registers more in some kernels
  Field<T> input;
  T* out;
  Moments<Accum<T>>* moments;  // [batch, blocks * warps] or null
  bool outer_residual;
};

// CTAs of a multiprocessor whose registers must suffice: as many as they do without spilling.
template <class A, bool Gated, bool Resident>
constexpr int kForwardCtas = Resident         ? (kChannels<Gated> * sizeof(A) <= 4 ? 2 : 1)
                             : sizeof(A) <= 4 ? 4
                                              : 3;

template <class T, bool Gated, bool Resident>
__global__ void __launch_bounds__(kBlockThreads, kForwardCtas<Accum<T>, Gated, Resident>)
    block_forward_kernel(BlockForward<T> a) {
  using A = Accum<T>;
  constexpr int kDepth = kChannels<Gated>;
  const int cells = a.grid.cells(), side = a.blocks.side;
  const Box box = a.blocks.box(blockIdx.x);
  const SampleRange samples(a.batch, blockIdx.y, gridDim.y);
  DYNSHARED(A, tiles);  // two tiles, a third one for standardised inputs, the cell map
  A* standardised = tiles + 2 * box.positions;
  int* cell_at = reinterpret_cast<int*>(tiles + (a.normalize ? 3 : 2) * box.positions);
  const auto each_cell = [&](auto f) {
    OwnCells<1, Resident>(a.grid, box, side).each(a.grid, box, side, [&](int, BlockCell own) { f(own); });
  };

  Column<A, 1, kDepth> column;  // only if Resident
  A bias[kDepth] = {};
  if constexpr (Resident) {
    each_cell([&](BlockCell own) {
      column.load([&](int, int channel, int i) {
        return static_cast<A>(a.parameters.weight[int64_t{i * kDepth + channel} * cells + own.cell]);
      });
#pragma unroll
      for (int channel = 0; channel < kDepth; ++channel) {
        bias[channel] = static_cast<A>(a.parameters.bias[int64_t{channel} * cells + own.cell]);
      }
    });
  }
  A group_count = 0;
  each_cell([&](BlockCell) { group_count += A(1); });
  group_count = warp_sum(group_count);
  box.map_cells(a.grid, cell_at);

  for (int sample = samples.begin; sample < samples.end; ++sample) {
    __syncthreads();  // no thread reads the tiles of the sample before any more
    A *now = tiles, *next = tiles + box.positions;
    load_tile(now, cell_at, box.positions, [&](int cell) { return a.input.at(sample, cells, cell); });
    for (int p = threadIdx.x; p < box.positions; p += blockDim.x) next[p] = now[p];  // the shell, for odd steps
    __syncthreads();
    for (int step = 0; step < a.inner_steps; ++step) {
      const A* inputs = now;
      if (!Gated && a.normalize) {
        standardise(now, box.positions, a.eps, standardised);
        inputs = standardised;
      }
      each_cell([&](BlockCell own) {
        A pre[1][kDepth];
        if constexpr (Resident) {
#pragma unroll
          for (int channel = 0; channel < kDepth; ++channel) pre[0][channel] = bias[channel];
          column.accumulate(inputs, own.position, box.hy, box.hx, pre);
        } else {
          pre_activations(a.parameters, cells, box, inputs, own, pre[0]);
        }
        const A before = now[own.position], value = activate(a.activation, pre[0][0]);
        if constexpr (Gated) {
          const A gate = sigmoid(pre[0][1]);
          next[own.position] = gate * before + (A(1) - gate) * value;
        } else {
          next[own.position] = before + static_cast<A>(a.parameters.residual_scale[own.cell]) * value;
        }
      });
      __syncthreads();
      A* const last = now;
      now = next;
      next = last;
    }
    A sum = 0;
    each_cell([&](BlockCell own) {
      const int64_t offset = int64_t{sample} * cells + own.cell;
      A result = now[own.position];
      if (a.outer_residual) result = a.input.raw(offset) + (result - a.input.at(sample, cells, own.cell));
      const T stored = static_cast<T>(result);
      a.out[offset] = stored;
      now[own.position] = static_cast<A>(stored);  // the moments are those of what is stored; no other thread reads it
      sum += now[own.position];
    });
    if (a.moments == nullptr) continue;
    const Moments<A> moments = warp_moments(group_count, sum, [&](A mean) {
      A squares = 0;
      each_cell([&](BlockCell own) { squares += (now[own.position] - mean) * (now[own.position] - mean); });
      return squares;
    });
    if (threadIdx.x % kWarp == 0) {
      const int warps = blockDim.x / kWarp;
      a.moments[(int64_t{sample} * gridDim.x + blockIdx.x) * warps + threadIdx.x / kWarp] = moments;
    }
  }
}

template <class A>
size_t shared_bytes(int64_t side, bool normalize) {
  const size_t positions = (side + 2) * (side + 2) * (side + 2);
  return positions * ((normalize ? 3 : 2) * sizeof(A) + sizeof(int));
}

template <class T, bool Gated, bool Resident>
std::string run(const ForwardTask& task, void* stream) {
  using A = Accum<T>;
  constexpr int64_t kWantedCtas = 1056;  // eight for each multiprocessor of an H100
  const StepConfig& c = task.config;
  const auto bytes = [&](int64_t side) { return shared_bytes<A>(side, c.normalize); };
  std::string error = check_shared_memory("forward pass", c.block, bytes);
  if (!error.empty()) return error;
  const Blocks blocks = blocks_of(c);
  const BlockForward<T> arguments{.grid = grid_of(c.shape),
                                  .batch = static_cast<int>(c.batch),
                                  .blocks = blocks,
                                  .inner_steps = c.inner_steps,
                                  .normalize = c.normalize,
                                  .eps = static_cast<A>(c.eps),
                                  .activation = c.activation,
                                  .parameters = typed<T>(task.parameters),
                                  .input = field_of<T>(task.input),
                                  .out = static_cast<T*>(task.out),
                                  .moments = static_cast<Moments<A>*>(task.moments),
                                  .outer_residual = task.outer_residual};
  const dim3 ctas(blocks.count, batch_parts(c.batch, blocks.count, kWantedCtas, 65535));
  return launch("block_forward", &block_forward_kernel<T, Gated, Resident>, ctas, block_threads(blocks), bytes(c.block),
                stream, arguments);
}

}  // namespace

int64_t block_forward_groups(const StepConfig& config) {
  const Blocks blocks = blocks_of(config);
  return int64_t{blocks.count} * (block_threads(blocks) / kWarp);
}

std::string block_forward(const ForwardTask& task, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    return with_kind<Accum<T>>(task.config,
                               [&](auto gated, auto resident) { return run<T, gated(), resident()>(task, stream); });
  });
}

}  // namespace zoo::gridnet::cuda

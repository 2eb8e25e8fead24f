// One step where blocks matter: several inner steps against a shell that stays as it was, or standardised inputs. A CTA
// owns a block of the grid and iterates over its part of the batch; inner steps alternate between two tiles.
#include "gridnet/cuda/blocks.cuh"
#include "gridnet/cuda/steps.cuh"

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
  Further<T> further;
};

// Cells of a thread. Two share a third of their reads from shared memory.
template <bool Gated, bool Resident>
constexpr int kForwardCells = Resident && !Gated ? 2 : 1;

template <bool Gated, bool Resident>
constexpr int kForwardThreads = kBlockThreads / kForwardCells<Gated, Resident>;

// CTAs whose registers a multiprocessor must have: as many as it can without spilling.
template <class A, bool Gated, bool Resident>
constexpr int kForwardCtas = Resident ? 8 / (kChannels<Gated> * sizeof(A)) : 16 / sizeof(A);

// The first step and, if Together, the further ones.
template <class T, bool Gated, bool Resident, bool Together>
__device__ void block_steps(const BlockForward<T>& a) {
  using A = Accum<T>;
  constexpr int kDepth = kChannels<Gated>, kCells = kForwardCells<Gated, Resident>;
  const int cells = a.grid.cells(), side = a.blocks.side;
  const Box box = a.blocks.box(blockIdx.x);
  const SampleRange samples(a.batch, blockIdx.y, gridDim.y);
  DYNSHARED(A, tiles);  // two tiles, a third one for standardised inputs, the cell map
  A* standardised = tiles + 2 * box.positions;
  int* cell_at = reinterpret_cast<int*>(tiles + (a.normalize ? 3 : 2) * box.positions);
  const OwnCells<kCells, Resident> mine(a.grid, box, side);
  const auto each_cell = [&](auto f) { mine.each(a.grid, box, side, f); };

  Column<A, kCells, kDepth> column;  // these three only if Resident
  A bias[kCells][kDepth] = {}, scale[kCells] = {};
  if constexpr (Resident) {
    mine.each_column(a.grid, box, side, [&](BlockCell first, int count) {
      column.load([&](int c, int channel, int i) {
        const int64_t at = int64_t{i * kDepth + channel} * cells + first.cell + c * a.grid.n * a.grid.k;
        return c < count ? static_cast<A>(a.parameters.weight[at]) : A(0);
      });
    });
    each_cell([&](int c, BlockCell own) {
#pragma unroll
      for (int channel = 0; channel < kDepth; ++channel) {
        bias[c][channel] = static_cast<A>(a.parameters.bias[int64_t{channel} * cells + own.cell]);
      }
      if constexpr (!Gated) scale[c] = static_cast<A>(a.parameters.residual_scale[own.cell]);
    });
  }
  A group_count = 0;
  each_cell([&](int, BlockCell) { group_count += A(1); });
  group_count = warp_sum(group_count);
  box.map_cells(a.grid, cell_at);

  const int warps = blockDim.x / kWarp;
  const auto take_step = [&](const Field<T>& input, T* out) {
    for (int sample = samples.begin; sample < samples.end; ++sample) {
      __syncthreads();  // no thread reads the tiles of the sample before any more
      A *now = tiles, *next = tiles + box.positions;
      load_tile(now, cell_at, box.positions, [&](int cell) { return input.at(sample, cells, cell); });
      for (int p = threadIdx.x; p < box.positions; p += blockDim.x) next[p] = now[p];  // the shell, for odd steps
      __syncthreads();
      for (int step = 0; step < a.inner_steps; ++step) {
        const A* inputs = now;
        if (!Gated && a.normalize) {
          standardise(now, box.positions, a.eps, standardised);
          inputs = standardised;
        }
        A pre[kCells][kDepth];
        if constexpr (Resident) {
          mine.each_column(a.grid, box, side, [&](BlockCell first, int) {
#pragma unroll
            for (int c = 0; c < kCells; ++c) {
#pragma unroll
              for (int channel = 0; channel < kDepth; ++channel) pre[c][channel] = bias[c][channel];
            }
            column.accumulate(inputs, first.position, box, pre);
          });
        }
        each_cell([&](int c, BlockCell own) {
          if constexpr (!Resident) pre_activations(a.parameters, cells, box, inputs, own, pre[c]);
          const A before = now[own.position], value = activate(a.activation, pre[c][0]);
          if constexpr (Gated) {
            const A gate = sigmoid(pre[c][1]);
            next[own.position] = gate * before + (A(1) - gate) * value;
          } else {
            const A residual = Resident ? scale[c] : static_cast<A>(a.parameters.residual_scale[own.cell]);
            next[own.position] = before + residual * value;
          }
        });
        __syncthreads();
        A* const last = now;
        now = next;
        next = last;
      }
      A sum = 0;
      each_cell([&](int, BlockCell own) {
        const int64_t offset = int64_t{sample} * cells + own.cell;
        A result = now[own.position];
        if (a.outer_residual) result = input.raw(offset) + (result - input.at(sample, cells, own.cell));
        const T stored = static_cast<T>(result);
        out[offset] = stored;
        now[own.position] =
            static_cast<A>(stored);  // the moments are those of what is stored; no other thread reads it
        sum += now[own.position];
      });
      if (a.moments == nullptr) continue;
      const Moments<A> moments = warp_moments(group_count, sum, [&](A mean) {
        A squares = 0;
        each_cell([&](int, BlockCell own) { squares += (now[own.position] - mean) * (now[own.position] - mean); });
        return squares;
      });
      if (threadIdx.x % kWarp == 0) {
        a.moments[(int64_t{sample} * gridDim.x + blockIdx.x) * warps + threadIdx.x / kWarp] = moments;
      }
    }
  };
  a.further.template take_steps<Together>(a, int64_t{gridDim.x} * warps, take_step);
}

template <class T, bool Gated, bool Resident, bool CommonSide>
__global__ void __launch_bounds__(kForwardThreads<Gated, Resident>, kForwardCtas<Accum<T>, Gated, Resident>)
    block_forward_kernel(BlockForward<T> a) {
  if constexpr (CommonSide) a.blocks.side = kCommonSide;
  block_steps<T, Gated, Resident, false>(a);
}

// All steps of an evolution.
template <class T, bool Gated, bool Resident, bool CommonSide>
__global__ void __launch_bounds__(kForwardThreads<Gated, Resident>,
                                  Resident ? kForwardCtas<Accum<T>, Gated, Resident> : 2)
    block_evolution_kernel(BlockForward<T> a) {
  if constexpr (CommonSide) a.blocks.side = kCommonSide;
  block_steps<T, Gated, Resident, true>(a);
}

template <class A>
size_t shared_bytes(int64_t side, bool normalize) {
  const size_t positions = (side + 2) * (side + 2) * (side + 2);
  return positions * ((normalize ? 3 : 2) * sizeof(A) + sizeof(int));
}

template <class T>
struct Kernels {
  void (*step)(BlockForward<T>);
  void (*all)(BlockForward<T>);
};

template <class T, bool Gated, bool Resident>
Kernels<T> kernels_for(const Blocks& blocks) {
  if constexpr (Resident) {
    if (blocks.side == kCommonSide) {
      return {&block_forward_kernel<T, Gated, true, true>, &block_evolution_kernel<T, Gated, true, true>};
    }
  }
  return {&block_forward_kernel<T, Gated, Resident, false>, &block_evolution_kernel<T, Gated, Resident, false>};
}

template <class T, bool Gated, bool Resident>
bool fits(const StepConfig& config) {
  const Blocks blocks = blocks_of(config);
  const size_t shared = shared_bytes<Accum<T>>(config.block, config.normalize);
  const auto kernels = kernels_for<T, Gated, Resident>(blocks);
  if (shared > shared_memory_limit(kernels.all)) return false;
  return fit_together(kernels.step, kernels.all, blocks.count, config.batch,
                      block_threads(blocks, kForwardCells<Gated, Resident>), shared);
}

template <class T, bool Gated, bool Resident>
std::string run(const ForwardTask& task, void* stream) {
  using A = Accum<T>;
  const StepConfig& c = task.config;
  const bool one = task.further.count == 0;
  const Blocks blocks = blocks_of(c);
  const auto kernels = kernels_for<T, Gated, Resident>(blocks);
  const auto kernel = one ? kernels.step : kernels.all;
  const auto bytes = [&](int64_t side) { return shared_bytes<A>(side, c.normalize); };
  std::string error = check_shared_memory("forward pass", c.block, shared_memory_limit(kernel), bytes);
  if (!error.empty()) return error;
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
                                  .outer_residual = task.outer_residual,
                                  .further = typed<T>(task.further)};
  return launch_steps(one ? "block_forward" : "block_evolution", kernel, blocks.count, c.batch,
                      block_threads(blocks, kForwardCells<Gated, Resident>), bytes(c.block), stream, arguments);
}

}  // namespace

int64_t block_forward_groups(const StepConfig& config) {
  const Blocks blocks = blocks_of(config);
  const int threads = config.gated ? block_threads(blocks, 1)  // resident or not, and so for every element type
                      : is_resident<float, false>(config.block) ? block_threads(blocks, kForwardCells<false, true>)
                                                                : block_threads(blocks, 1);
  return int64_t{blocks.count} * (threads / kWarp);
}

bool block_forward_fits(Dtype dtype, const StepConfig& config) {
  bool fits_device = false;
  with_type(dtype, [&](auto zero) {
    using T = decltype(zero);
    return with_kind<Accum<T>>(config, [&](auto gated, auto resident) {
      fits_device = fits<T, gated(), resident()>(config);
      return std::string();
    });
  });
  return fits_device;
}

std::string block_forward(const ForwardTask& task, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    return with_kind<Accum<T>>(task.config,
                               [&](auto gated, auto resident) { return run<T, gated(), resident()>(task, stream); });
  });
}

}  // namespace zoo::gridnet::cuda

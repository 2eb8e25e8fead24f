// One step where blocks do not matter: out = x + scale * act(bias + sum_i w_i x_i), or its gated form. A CTA owns a
// tile of cells, holds their weights in registers and iterates over its part of the batch with two tiles in shared
// memory: one is read while the next sample is loaded into the other.
#include "gridnet/cuda/steps.cuh"
#include "gridnet/cuda/tiles.cuh"

namespace zoo::gridnet::cuda {
namespace {

// Cells per thread. Two share a third of their reads from shared memory; one gated cell already fills the registers.
template <bool Gated>
constexpr int kColumnCells = Gated ? 1 : 2;

template <class T>
struct TileForward {
  Grid grid;
  int batch;
  Tiling tiling;
  Activation activation;
  StepParameters<T> parameters;
  int64_t padding = 0;  // moves the fields below; without it nvcc needs up to 18 registers more in some kernels
  Field<T> input;
  T* out;
  Moments<Accum<T>>* moments;  // [batch, tiles * warps] or null
  bool outer_residual;
  Further<T> further;
};

// The first step and, if Together, the further ones.
template <class T, bool Gated, bool Together>
__device__ void tile_steps(const TileForward<T>& a) {
  using A = Accum<T>;
  constexpr int kCells = kColumnCells<Gated>, kDepth = kChannels<Gated>;
  const int cells = a.grid.cells(), layer = a.grid.n * a.grid.k;
  const Box box = a.tiling.box(blockIdx.x);
  const ThreadCells<kCells> mine(a.grid, a.tiling, box);
  const SampleRange samples(a.batch, blockIdx.y, gridDim.y);
  DYNSHARED(A, tiles);
  int* cell_at = reinterpret_cast<int*>(tiles + 2 * box.positions);

  Column<A, kCells, kDepth> column;
  column.load([&](int c, int channel, int i) {
    const int64_t plane = int64_t{i * kDepth + channel} * cells;
    return c < mine.count ? static_cast<A>(a.parameters.weight[plane + mine.cell + c * layer]) : A(0);
  });
  A bias[kCells][kDepth], scale[kCells];
#pragma unroll
  for (int c = 0; c < kCells; ++c) {
    const int64_t cell = mine.cell + (c < mine.count ? c * layer : 0);
#pragma unroll
    for (int channel = 0; channel < kDepth; ++channel) {
      bias[c][channel] = static_cast<A>(a.parameters.bias[int64_t{channel} * cells + cell]);
    }
    scale[c] = Gated ? A(1) : static_cast<A>(a.parameters.residual_scale[cell]);
  }

  box.map_cells(a.grid, cell_at);
  __syncthreads();
  const A group_count = warp_sum(static_cast<A>(mine.count));
  const int warps = blockDim.x / kWarp;
  const auto take_step = [&](const Field<T>& input, T* out) {
    const auto load = [&](int sample) {
      load_tile(tiles + (sample & 1) * box.positions, cell_at, box.positions,
                [&](int cell) { return input.at(sample, cells, cell); });
    };
    if (samples.begin < samples.end) load(samples.begin);
    for (int sample = samples.begin; sample < samples.end; ++sample) {
      __syncthreads();  // this sample's tile is complete, and no thread reads the other one any more
      if (sample + 1 < samples.end) load(sample + 1);
      const A* tile = tiles + (sample & 1) * box.positions;
      A pre[kCells][kDepth], next[kCells];
#pragma unroll
      for (int c = 0; c < kCells; ++c) {
#pragma unroll
        for (int channel = 0; channel < kDepth; ++channel) pre[c][channel] = bias[c][channel];
      }
      column.accumulate(tile, mine.position, box, pre);
      A sum = 0;
#pragma unroll
      for (int c = 0; c < kCells; ++c) {
        next[c] = 0;
        if (c >= mine.count) continue;
        const A own = tile[mine.position + c * box.layer];
        const A value = activate(a.activation, pre[c][0]);
        if constexpr (Gated) {
          const A gate = sigmoid(pre[c][1]);
          next[c] = gate * own + (A(1) - gate) * value;
        } else {
          next[c] = own + scale[c] * value;
        }
        const int64_t offset = int64_t{sample} * cells + mine.cell + c * layer;
        if (a.outer_residual) next[c] = input.raw(offset) + (next[c] - own);
        const T stored = static_cast<T>(next[c]);
        out[offset] = stored;
        next[c] = static_cast<A>(stored);  // the moments are those of what is stored
        sum += next[c];
      }
      if (a.moments == nullptr) continue;
      const Moments<A> moments = warp_moments(group_count, sum, [&](A mean) {
        A squares = 0;
#pragma unroll
        for (int c = 0; c < kCells; ++c) squares += c < mine.count ? (next[c] - mean) * (next[c] - mean) : A(0);
        return squares;
      });
      if (threadIdx.x % kWarp == 0) {
        a.moments[(int64_t{sample} * gridDim.x + blockIdx.x) * warps + threadIdx.x / kWarp] = moments;
      }
    }
  };
  a.further.template take_steps<Together>(a, int64_t{gridDim.x} * warps, take_step);
}

template <class T, bool Gated>
__global__ void __launch_bounds__(kTileThreads) tile_forward_kernel(TileForward<T> a) {
  tile_steps<T, Gated, false>(a);
}

// All steps of an evolution.
template <class T, bool Gated>
__global__ void __launch_bounds__(kTileThreads, sizeof(Accum<T>) == 4 ? 2 : 1) tile_evolution_kernel(TileForward<T> a) {
  tile_steps<T, Gated, true>(a);
}

template <bool Gated>
Tiling forward_tiling(const StepConfig& config) {
  return plan_tiling(grid_of(config.shape), config.batch, kColumnCells<Gated>);
}

template <class A>
size_t shared_bytes(const Tiling& tiling) {
  return tiling.positions() * (2 * sizeof(A) + sizeof(int));
}

template <class T, bool Gated>
bool fits(const StepConfig& config) {
  const Tiling tiling = forward_tiling<Gated>(config);
  return fit_together(&tile_forward_kernel<T, Gated>, &tile_evolution_kernel<T, Gated>, tiling.tiles, config.batch,
                      tiling.threads, shared_bytes<Accum<T>>(tiling));
}

template <class T, bool Gated>
std::string run(const ForwardTask& task, void* stream) {
  using A = Accum<T>;
  const StepConfig& c = task.config;
  const Tiling tiling = forward_tiling<Gated>(c);
  const TileForward<T> arguments{.grid = grid_of(c.shape),
                                 .batch = static_cast<int>(c.batch),
                                 .tiling = tiling,
                                 .activation = c.activation,
                                 .parameters = typed<T>(task.parameters),
                                 .input = field_of<T>(task.input),
                                 .out = static_cast<T*>(task.out),
                                 .moments = static_cast<Moments<A>*>(task.moments),
                                 .outer_residual = task.outer_residual,
                                 .further = typed<T>(task.further)};
  const bool one = task.further.count == 0;
  const auto kernel = one ? &tile_forward_kernel<T, Gated> : &tile_evolution_kernel<T, Gated>;
  return launch_steps(one ? "tile_forward" : "tile_evolution", kernel, tiling.tiles, c.batch, tiling.threads,
                      shared_bytes<A>(tiling), stream, arguments);
}

}  // namespace

int64_t tile_forward_groups(const StepConfig& config) {
  const Tiling tiling = config.gated ? forward_tiling<true>(config) : forward_tiling<false>(config);
  return int64_t{tiling.tiles} * (tiling.threads / kWarp);
}

bool tile_forward_fits(Dtype dtype, const StepConfig& config) {
  bool fits_device = false;
  with_type(dtype, [&](auto zero) {
    using T = decltype(zero);
    fits_device = config.gated ? fits<T, true>(config) : fits<T, false>(config);
    return std::string();
  });
  return fits_device;
}

std::string tile_forward(const ForwardTask& task, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    return task.config.gated ? run<T, true>(task, stream) : run<T, false>(task, stream);
  });
}

}  // namespace zoo::gridnet::cuda

// One step where blocks do not matter: out = x + scale * act(bias + sum_i w_i x_i), or its gated form. A CTA owns a
// tile of cells, holds their weights in registers and iterates over its part of the batch with two tiles in shared
// memory: one is read while the next sample is loaded into the other.
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
};

template <class T, bool Gated>
__global__ void __launch_bounds__(kTileThreads) tile_forward_kernel(TileForward<T> a) {
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
  const auto load = [&](int sample) {
    load_tile(tiles + (sample & 1) * box.positions, cell_at, box.positions,
              [&](int cell) { return a.input.at(sample, cells, cell); });
  };
  if (samples.begin < samples.end) load(samples.begin);
  const A group_count = warp_sum(static_cast<A>(mine.count));
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
    column.accumulate(tile, mine.position, box.hy, box.hx, pre);
    A sum = 0;
#pragma unroll
    for (int c = 0; c < kCells; ++c) {
      next[c] = 0;
      if (c >= mine.count) continue;
      const A own = tile[mine.position + c * box.hy * box.hx];
      const A value = activate(a.activation, pre[c][0]);
      if constexpr (Gated) {
        const A gate = sigmoid(pre[c][1]);
        next[c] = gate * own + (A(1) - gate) * value;
      } else {
        next[c] = own + scale[c] * value;
      }
      const int64_t offset = int64_t{sample} * cells + mine.cell + c * layer;
      if (a.outer_residual) next[c] = a.input.raw(offset) + (next[c] - own);
      const T stored = static_cast<T>(next[c]);
      a.out[offset] = stored;
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
      const int warps = blockDim.x / kWarp;
      a.moments[(int64_t{sample} * gridDim.x + blockIdx.x) * warps + threadIdx.x / kWarp] = moments;
    }
  }
}

template <class T, bool Gated>
std::string run(const ForwardTask& task, void* stream) {
  using A = Accum<T>;
  constexpr int64_t kWantedCtas = 1056;  // eight for each multiprocessor of an H100
  const StepConfig& c = task.config;
  const Grid grid = grid_of(c.shape);
  const Tiling tiling = plan_tiling(grid, c.batch, kColumnCells<Gated>);
  const TileForward<T> arguments{.grid = grid,
                                 .batch = static_cast<int>(c.batch),
                                 .tiling = tiling,
                                 .activation = c.activation,
                                 .parameters = typed<T>(task.parameters),
                                 .input = field_of<T>(task.input),
                                 .out = static_cast<T*>(task.out),
                                 .moments = static_cast<Moments<A>*>(task.moments),
                                 .outer_residual = task.outer_residual};
  const size_t shared = tiling.positions() * (2 * sizeof(A) + sizeof(int));
  const dim3 ctas(tiling.tiles, batch_parts(c.batch, tiling.tiles, kWantedCtas, 65535));
  return launch("tile_forward", &tile_forward_kernel<T, Gated>, ctas, tiling.threads, shared, stream, arguments);
}

}  // namespace

int64_t tile_forward_groups(const StepConfig& config) {
  const int column = config.gated ? kColumnCells<true> : kColumnCells<false>;
  const Tiling tiling = plan_tiling(grid_of(config.shape), config.batch, column);
  return int64_t{tiling.tiles} * (tiling.threads / kWarp);
}

std::string tile_forward(const ForwardTask& task, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    return task.config.gated ? run<T, true>(task, stream) : run<T, false>(task, stream);
  });
}

}  // namespace zoo::gridnet::cuda

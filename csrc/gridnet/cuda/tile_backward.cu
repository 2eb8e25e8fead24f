// Gradients of one step where blocks do not matter, in two passes without atomics.
//   parameters: recomputes the step, writes the gradient of every pre-activation, and sums the gradients of the
//               parameters in registers over the CTA's part of the batch;
//   input:      gathers, at every cell, the gradient that comes from its neighbours: a stencil with mirrored weights.
#include "gridnet/cuda/tiles.cuh"

namespace zoo::gridnet::cuda {
namespace {

// One cell per thread in the first pass: its weights and their gradients together fill the registers.
constexpr int kParameterCells = 1;
template <bool Gated>
constexpr int kInputCells = Gated ? 1 : 2;
// CTAs of the second pass that a multiprocessor's registers must allow.
template <class A>
constexpr int kInputCtas = sizeof(A) == 4 ? 3 : 1;
// The [batch, cells] planes that the first pass passes to the second: the gradient of each pre-activation, and for
// gated cells the gradient that reaches the input directly.
template <bool Gated>
constexpr int kPassedPlanes = Gated ? 3 : 1;

template <class T>
struct TileBackward {
  Grid grid;
  int batch;
  Tiling tiling;
  Activation activation;
  StepParameters<T> parameters;
  Field<T> input;
  GradField<T> grad_out;
  const T* grad;      // what grad_out reads, for the second pass
  Accum<T>* passed;   // [planes, batch, cells]
  Accum<T>* partial;  // [parts, parameter planes, cells]
  bool add_to_partial;
  T* grad_input;
  GradSums<Accum<T>>* grad_sums;  // [batch, tiles * warps] or null
  bool subtract_grad_out;
};

template <class T, bool Gated>
__global__ void __launch_bounds__(kTileThreads) tile_backward_parameters_kernel(TileBackward<T> a) {
  using A = Accum<T>;
  constexpr int kDepth = kChannels<Gated>, kPlanes = kParameterPlanes<Gated>;
  const int cells = a.grid.cells();
  const Box box = a.tiling.box(blockIdx.x);
  const ThreadCells<kParameterCells> mine(a.grid, a.tiling, box);
  const SampleRange samples(a.batch, blockIdx.y, gridDim.y);
  DYNSHARED(A, tiles);
  int* cell_at = reinterpret_cast<int*>(tiles + 2 * box.positions);

  A weight[kNeighbours * kDepth], bias[kDepth];
#pragma unroll
  for (int p = 0; p < kNeighbours * kDepth; ++p) {
    weight[p] = static_cast<A>(a.parameters.weight[int64_t{p} * cells + mine.cell]);
  }
#pragma unroll
  for (int channel = 0; channel < kDepth; ++channel) {
    bias[channel] = static_cast<A>(a.parameters.bias[int64_t{channel} * cells + mine.cell]);
  }
  const A scale = Gated ? A(1) : static_cast<A>(a.parameters.residual_scale[mine.cell]);
  A sums[kPlanes] = {};
  NormSums<A> norm_sums;

  box.map_cells(a.grid, cell_at);
  __syncthreads();
  const auto load = [&](int sample) {
    load_tile(tiles + (sample & 1) * box.positions, cell_at, box.positions,
              [&](int cell) { return a.input.at(sample, cells, cell); });
  };
  if (samples.begin < samples.end) load(samples.begin);
  for (int sample = samples.begin; sample < samples.end; ++sample) {
    __syncthreads();  // this sample's tile is complete, and no thread reads the other one any more
    if (sample + 1 < samples.end) load(sample + 1);
    if (mine.count == 0) continue;
    const A* tile = tiles + (sample & 1) * box.positions;
    const int64_t offset = int64_t{sample} * cells + mine.cell, plane = int64_t{a.batch} * cells;
    const A grad = a.grad_out.read(sample, cells, mine.cell, norm_sums);
    A neighbours[kNeighbours], pre[kDepth], grad_pre[kDepth];
    read_neighbours(tile, mine.position, box, neighbours);
#pragma unroll
    for (int channel = 0; channel < kDepth; ++channel) pre[channel] = bias[channel];
#pragma unroll
    for (int i = 0; i < kNeighbours; ++i) {
#pragma unroll
      for (int channel = 0; channel < kDepth; ++channel) pre[channel] += weight[i * kDepth + channel] * neighbours[i];
    }
    const ValueAndSlope<A> value = activate_with_slope(a.activation, pre[0]);
    if constexpr (Gated) {
      const A gate = sigmoid(pre[1]), own = neighbours[kNeighbours / 2];
      grad_pre[0] = grad * (A(1) - gate) * value.slope;
      grad_pre[1] = grad * (own - value.value) * gate * (A(1) - gate);
      a.passed[2 * plane + offset] = grad * gate;
    } else {
      grad_pre[0] = grad * scale * value.slope;
      sums[kPlanes - 1] += grad * value.value;
    }
#pragma unroll
    for (int channel = 0; channel < kDepth; ++channel) {
      a.passed[channel * plane + offset] = grad_pre[channel];
      sums[kNeighbours * kDepth + channel] += grad_pre[channel];
    }
#pragma unroll
    for (int i = 0; i < kNeighbours; ++i) {
#pragma unroll
      for (int channel = 0; channel < kDepth; ++channel)
        sums[i * kDepth + channel] += grad_pre[channel] * neighbours[i];
    }
  }

  if (mine.count == 0) return;
  A* partial = a.partial + int64_t{blockIdx.y} * kPlanes * cells + mine.cell;
#pragma unroll
  for (int p = 0; p < kPlanes; ++p) {
    A* sum = partial + int64_t{p} * cells;
    *sum = a.add_to_partial ? *sum + sums[p] : sums[p];
  }
  a.grad_out.start(blockIdx.y, cells, mine.cell);
  a.grad_out.add(blockIdx.y, cells, mine.cell, norm_sums);
}

template <class T, bool Gated>
__global__ void __launch_bounds__(kTileThreads, kInputCtas<Accum<T>>) tile_backward_input_kernel(TileBackward<T> a) {
  using A = Accum<T>;
  constexpr int kCells = kInputCells<Gated>, kDepth = kChannels<Gated>;
  const int cells = a.grid.cells(), layer = a.grid.n * a.grid.k;
  const Box box = a.tiling.box(blockIdx.x);
  const ThreadCells<kCells> mine(a.grid, a.tiling, box);
  const SampleRange samples(a.batch, blockIdx.y, gridDim.y);
  const int64_t plane = int64_t{a.batch} * cells;
  DYNSHARED(A, tiles);  // [2][channel] tiles
  int* cell_at = reinterpret_cast<int*>(tiles + 2 * kDepth * box.positions);
  box.map_cells(a.grid, cell_at);
  __syncthreads();

  // Neighbour i of a cell has the cell as its neighbour 26 - i.
  Column<A, kCells, 1> columns[kDepth];
#pragma unroll
  for (int channel = 0; channel < kDepth; ++channel) {
    columns[channel].load([&](int c, int, int i) {
      if (c >= mine.count) return A(0);
      const int position = mine.position + (i / 9 - 1 + c) * box.layer + (i / 3 % 3 - 1) * box.hx + i % 3 - 1;
      const int cell = cell_at[position];
      const int64_t from = int64_t{(kNeighbours - 1 - i) * kDepth + channel} * cells;
      return cell < 0 ? A(0) : static_cast<A>(a.parameters.weight[from + cell]);
    });
  }

  const auto tile_of = [&](int sample, int channel) {
    return tiles + ((sample & 1) * kDepth + channel) * box.positions;
  };
  const auto load = [&](int sample) {
#pragma unroll
    for (int channel = 0; channel < kDepth; ++channel) {
      const A* passed = a.passed + channel * plane + int64_t{sample} * cells;
      load_tile(tile_of(sample, channel), cell_at, box.positions, [&](int cell) { return passed[cell]; });
    }
  };
  if (samples.begin < samples.end) load(samples.begin);
  for (int sample = samples.begin; sample < samples.end; ++sample) {
    __syncthreads();  // this sample's tiles are complete, and no thread reads the others any more
    if (sample + 1 < samples.end) load(sample + 1);
    A sum[kCells][1] = {};
#pragma unroll
    for (int channel = 0; channel < kDepth; ++channel) {
      columns[channel].accumulate(tile_of(sample, channel), mine.position, box, sum);
    }
    GradSums<A> grad_sums{};
#pragma unroll
    for (int c = 0; c < kCells; ++c) {
      if (c >= mine.count) continue;
      const int64_t offset = int64_t{sample} * cells + mine.cell + c * layer;
      A grad = sum[c][0];
      if constexpr (Gated) {
        grad += a.passed[(kPassedPlanes<Gated> - 1) * plane + offset];
        if (a.subtract_grad_out) grad -= static_cast<A>(a.grad[offset]);
      } else {
        if (!a.subtract_grad_out) grad += static_cast<A>(a.grad[offset]);  // what reaches the input directly
      }
      const T stored = static_cast<T>(grad);
      a.grad_input[offset] = stored;
      if (a.grad_sums == nullptr) continue;
      a.input.add_to(grad_sums, static_cast<A>(stored), sample, cells, mine.cell + c * layer);
    }
    if (a.grad_sums == nullptr) continue;
    grad_sums = warp_sums(grad_sums);
    if (threadIdx.x % kWarp == 0) {
      const int warps = blockDim.x / kWarp;
      a.grad_sums[(int64_t{sample} * gridDim.x + blockIdx.x) * warps + threadIdx.x / kWarp] = grad_sums;
    }
  }
}

Tiling parameter_tiling(const StepConfig& config) {
  return plan_tiling(grid_of(config.shape), config.batch, kParameterCells);
}

Tiling input_tiling(const StepConfig& config) {
  const int column = config.gated ? kInputCells<true> : kInputCells<false>;
  return plan_tiling(grid_of(config.shape), config.batch, column);
}

template <class T, bool Gated>
std::string run(const BackwardTask& task, void* stream) {
  using A = Accum<T>;
  constexpr int64_t kWantedCtas = 1056;  // eight for each multiprocessor of an H100
  const StepConfig& c = task.config;
  // The second pass adds it to a plain cell's gradient. With outer_residual it subtracts it again, which cancels for
  // plain cells, and the next step adds it to its own.
  void* const resolved = Gated && !task.subtract_grad_out ? nullptr : task.resolved;
  const void* const grad = task.grad_out.means != nullptr ? resolved : task.grad_out.values;
  TileBackward<T> arguments{.grid = grid_of(c.shape),
                            .batch = static_cast<int>(c.batch),
                            .tiling = parameter_tiling(c),
                            .activation = c.activation,
                            .parameters = typed<T>(task.parameters),
                            .input = field_of<T>(task.input),
                            .grad_out = grad_field_of<T>(task.grad_out, task.norm_partial,
                                                         task.grad_out.means != nullptr ? resolved : nullptr),
                            .grad = static_cast<const T*>(grad),
                            .passed = static_cast<A*>(task.workspace),
                            .partial = static_cast<A*>(task.partial_sums),
                            .add_to_partial = task.add_to_partial,
                            .grad_input = static_cast<T*>(task.grad_input),
                            .grad_sums = static_cast<GradSums<A>*>(task.grad_sums),
                            .subtract_grad_out = task.subtract_grad_out};
  const auto shared = [&](int tiles) { return arguments.tiling.positions() * (tiles * sizeof(A) + sizeof(int)); };
  std::string error = launch("tile_backward_parameters", &tile_backward_parameters_kernel<T, Gated>,
                             dim3(arguments.tiling.tiles, tile_backward_parts(c)), arguments.tiling.threads, shared(2),
                             stream, arguments);
  if (!error.empty()) return error;
  arguments.tiling = input_tiling(c);
  const int parts = batch_parts(c.batch, arguments.tiling.tiles, kWantedCtas, 65535);
  return launch("tile_backward_input", &tile_backward_input_kernel<T, Gated>, dim3(arguments.tiling.tiles, parts),
                arguments.tiling.threads, shared(2 * kChannels<Gated>), stream, arguments);
}

}  // namespace

int tile_backward_parts(const StepConfig& config) {
  constexpr int64_t kWantedCtas = 528, kMostParts = 32;  // each part costs a copy of the parameters' gradients
  return batch_parts(config.batch, parameter_tiling(config).tiles, kWantedCtas, kMostParts);
}

int64_t tile_backward_groups(const StepConfig& config) {
  const Tiling tiling = input_tiling(config);
  return int64_t{tiling.tiles} * (tiling.threads / kWarp);
}

size_t tile_backward_bytes(Dtype dtype, const StepConfig& config) {
  const int planes = config.gated ? kPassedPlanes<true> : kPassedPlanes<false>;
  return planes * config.batch * config.shape.cells() * accum_bytes(dtype);
}

std::string tile_backward(const BackwardTask& task, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    return task.config.gated ? run<T, true>(task, stream) : run<T, false>(task, stream);
  });
}

}  // namespace zoo::gridnet::cuda

// The network's own cut of the grid: a CTA holds one cubic block with its shell in shared memory for all inner steps.
#pragma once
#include "gridnet/cuda/field.cuh"

namespace zoo::gridnet::cuda {

// A block of at most this many cells has a thread per cell, which holds the cell's weights and sums in registers
// (Resident). In larger blocks a thread owns many cells and reads them from memory.
constexpr int kBlockThreads = 512;

// 512 threads have 128 registers each, too few for a gated cell in double.
template <class A, bool Gated>
constexpr bool kMayBeResident = kChannels<Gated> * sizeof(A) <= 8;

struct Blocks {
  int side;
  int along_y, along_x, count;

  __device__ Box box(int block) const {
    return Box(block / (along_y * along_x) * side, block / along_x % along_y * side, block % along_x * side, side, side,
               side);
  }
  __host__ __device__ int cells() const { return side * side * side; }
  __host__ __device__ int positions() const { return (side + 2) * (side + 2) * (side + 2); }
};

inline Blocks blocks_of(const StepConfig& config) {
  const Shape& s = config.shape;
  const auto along = [&](int64_t axis) { return static_cast<int>(axis / config.block); };
  return {static_cast<int>(config.block), along(s.n), along(s.k), along(s.m) * along(s.n) * along(s.k)};
}

inline int block_threads(const Blocks& blocks) { return round_up_to_warp(std::min(blocks.cells(), kBlockThreads)); }

// One cell of a block: its index in the block, its position in the tile, its index in the grid.
struct BlockCell {
  int local, position, cell;
};

__device__ inline BlockCell block_cell(const Grid& grid, const Box& box, int side, int local) {
  const int lz = local / (side * side), ly = local / side % side, lx = local % side;
  return {local, box.position(lz, ly, lx), grid.index(box.z + lz, box.y + ly, box.x + lx)};
}

// Calls f(BlockCell) for the cells of this thread: one if Resident, otherwise every blockDim.x-th.
template <bool Resident, class F>
__device__ void for_each_cell(const Grid& grid, const Box& box, int side, F f) {
  const int count = side * side * side;
  if constexpr (Resident) {
    if (threadIdx.x < static_cast<unsigned>(count)) f(block_cell(grid, box, side, threadIdx.x));
  } else {
    for (int local = threadIdx.x; local < count; local += blockDim.x) f(block_cell(grid, box, side, local));
  }
}

// The pre-activations of a cell of the block. Its weights are read from memory.
template <int Depth, class T, class A>
__device__ void pre_activations(const StepParameters<T>& parameters, int64_t cells, const Box& box, const A* inputs,
                                BlockCell own, A (&pre)[Depth]) {
#pragma unroll
  for (int channel = 0; channel < Depth; ++channel) {
    pre[channel] = static_cast<A>(parameters.bias[channel * cells + own.cell]);
  }
#pragma unroll
  for (int i = 0; i < kNeighbours; ++i) {
    const A value = inputs[own.position + ((i / 9 - 1) * box.hy + i / 3 % 3 - 1) * box.hx + i % 3 - 1];
#pragma unroll
    for (int channel = 0; channel < Depth; ++channel) {
      pre[channel] += static_cast<A>(parameters.weight[(i * Depth + channel) * cells + own.cell]) * value;
    }
  }
}

template <class A>
struct MeanAndStd {
  A mean, std;
};

// Writes the standardised tile to `out` and returns the tile's mean and population std. All threads must call it when
// the tile is complete; `out` is complete when it returns.
template <class A>
__device__ MeanAndStd<A> standardise(const A* tile, int positions, A eps, A* out) {
  A sum = 0, squares = 0;
  for (int p = threadIdx.x; p < positions; p += blockDim.x) sum += tile[p];
  const A mean = block_sum(sum) / static_cast<A>(positions);
  for (int p = threadIdx.x; p < positions; p += blockDim.x) squares += (tile[p] - mean) * (tile[p] - mean);
  const A std = sqrt(block_sum(squares) / static_cast<A>(positions));
  const A scale = A(1) / (std + eps);
  for (int p = threadIdx.x; p < positions; p += blockDim.x) out[p] = (tile[p] - mean) * scale;
  __syncthreads();
  return {mean, std};
}

// Returns f(std::bool_constant<Gated>, std::bool_constant<Resident>) for the configuration.
template <class A, class F>
std::string with_kind(const StepConfig& config, F f) {
  const bool fits = blocks_of(config).cells() <= kBlockThreads;
  if (!config.gated) return fits ? f(std::false_type{}, std::true_type{}) : f(std::false_type{}, std::false_type{});
  if constexpr (kMayBeResident<A, true>) {
    if (fits) return f(std::true_type{}, std::true_type{});
  }
  return f(std::true_type{}, std::false_type{});
}

// Returns an error line if a block's tiles do not fit the shared memory of a CTA. bytes_for(side) is the need of a
// block of that side.
template <class BytesFor>
std::string check_shared_memory(const char* pass, int64_t side, BytesFor bytes_for) {
  const size_t limit = shared_memory_limit();
  if (bytes_for(side) <= limit) return {};
  int64_t largest = side;
  while (largest > 0 && bytes_for(largest) > limit) --largest;
  return "block is " + std::to_string(side) + ", whose " + pass + " needs " + std::to_string(bytes_for(side)) +
         " bytes of shared memory; this device allows " + std::to_string(limit) + ", a block of at most " +
         std::to_string(largest);
}

}  // namespace zoo::gridnet::cuda

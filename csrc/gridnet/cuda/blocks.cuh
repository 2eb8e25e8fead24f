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

// The side for which kernels of resident blocks are compiled a second time: a fifth fewer instructions, because the rows
// and layers of its tiles lie at constant distances.
constexpr int kCommonSide = 8;

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

template <class A, bool Gated>
bool is_resident(int64_t side) {
  return kMayBeResident<A, Gated> && side * side * side <= kBlockThreads;
}

inline Blocks blocks_of(const StepConfig& config) {
  const Shape& s = config.shape;
  const auto along = [&](int64_t axis) { return static_cast<int>(axis / config.block); };
  return {static_cast<int>(config.block), along(s.n), along(s.k), along(s.m) * along(s.n) * along(s.k)};
}

// The threads of a CTA that have `cells` cells along z each if they are resident.
inline int block_threads(const Blocks& blocks, int cells) {
  const int columns = static_cast<int>(ceil_div(blocks.side, cells)) * blocks.side * blocks.side;
  return round_up_to_warp(std::min(columns, kBlockThreads));
}

// One cell of a block: its coordinates and index in the block, its position in the tile, its index in the grid.
struct BlockCell {
  int z, y, x;
  int local, position, cell;
};

__device__ inline BlockCell block_cell(const Grid& grid, const Box& box, int side, int z, int y, int x) {
  return {z, y, x, (z * side + y) * side + x, box.position(z, y, x), grid.index(box.z + z, box.y + y, box.x + x)};
}

// The cells of a thread. If Resident one, or up to two along z, found once for all inner steps; otherwise every
// blockDim.x-th cell of the block.
template <int Cells, bool Resident>
class OwnCells {
 public:
  // At side 8, a warp has cells of every second layer of the tile: their neighbours lie in 32 different banks of shared
  // memory (of floats). Consecutive rows, 10 numbers apart, would share banks.
  __device__ OwnCells(const Grid& grid, const Box& box, int side) {
    if constexpr (!Resident) return;
    const int even = (side + 1) / 2;  // layers
    int row = threadIdx.x / side, odd = 0, layers = even;
    if (Cells == 1 && row >= even * side) {  // first the cells of even layers, then those of odd ones
      row -= even * side;
      odd = 1;
      layers = side / 2;
    }
    if (row >= layers * side) return;
    const int z = row % layers * 2 + odd;
    first_ = block_cell(grid, box, side, z, row / layers, threadIdx.x % side);
    count_ = min(Cells, side - z);
  }

  // Calls f(first, count) for a cell and, if count is 2, the one above it.
  template <class F>
  __device__ void each_column(const Grid& grid, const Box& box, int side, F f) const {
    if constexpr (Resident) {
      if (count_ > 0) f(first_, count_);
    } else {
      for (int local = threadIdx.x; local < side * side * side; local += blockDim.x) {
        f(block_cell(grid, box, side, local / (side * side), local / side % side, local % side), 1);
      }
    }
  }

  // Calls f(c, BlockCell) for every cell; c is its number in its column.
  template <class F>
  __device__ void each(const Grid& grid, const Box& box, int side, F f) const {
    each_column(grid, box, side, [&](BlockCell first, int count) {
      f(0, first);
      if (Cells > 1 && count > 1) {
        f(Cells - 1, BlockCell{first.z + 1, first.y, first.x, first.local + side * side,
                               first.position + box.hy * box.hx, first.cell + grid.n * grid.k});
      }
    });
  }

 private:
  BlockCell first_ = {};
  int count_ = 0;
};

// The pre-activations of a cell of the block. Its weights are read from memory.
template <int Depth, class T, class A>
__device__ void pre_activations(const StepParameters<T>& parameters, int64_t cells, const Box& box, const A* inputs,
                                BlockCell own, A (&pre)[Depth]) {
#pragma unroll
  for (int channel = 0; channel < Depth; ++channel) {
    pre[channel] = static_cast<A>(parameters.bias[channel * cells + own.cell]);
  }
  const T* weight = parameters.weight + own.cell;
  const A* input = inputs + own.position - (box.hy + 1) * box.hx - 1;
#pragma unroll 1  // fully unrolled, nvcc keeps the addresses of 27 weights in registers, or spills them
  for (int layer = 0; layer < 3; ++layer) {
#pragma unroll
    for (int i = 0; i < 9; ++i) {
      const A value = input[i / 3 * box.hx + i % 3];
#pragma unroll
      for (int channel = 0; channel < Depth; ++channel) {
        pre[channel] += static_cast<A>(weight[(i * Depth + channel) * cells]) * value;
      }
    }
    weight += 9 * Depth * cells;
    input += box.hy * box.hx;
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
  if (!config.gated && is_resident<A, false>(config.block)) return f(std::false_type{}, std::true_type{});
  if (!config.gated) return f(std::false_type{}, std::false_type{});
  if constexpr (kMayBeResident<A, true>) {
    if (is_resident<A, true>(config.block)) return f(std::true_type{}, std::true_type{});
  }
  return f(std::true_type{}, std::false_type{});
}

// Returns an error line if a block's tiles do not fit the `limit` of shared memory. bytes_for(side) is the need of a
// block of that side.
template <class BytesFor>
std::string check_shared_memory(const char* pass, int64_t side, size_t limit, BytesFor bytes_for) {
  if (bytes_for(side) <= limit) return {};
  int64_t largest = side;
  while (largest > 0 && bytes_for(largest) > limit) --largest;
  return "block is " + std::to_string(side) + ", whose " + pass + " needs " + std::to_string(bytes_for(side)) +
         " bytes of shared memory; this device allows " + std::to_string(limit) + ", a block of at most " +
         std::to_string(largest);
}

}  // namespace zoo::gridnet::cuda

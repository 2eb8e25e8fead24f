// Pieces of the backward pass of a block: a CTA's tiles, parameters and their gradients, and gradients of the inputs.
#pragma once
#include "gridnet/cuda/blocks.cuh"

namespace zoo::gridnet::cuda {

template <class T>
struct BlockBackward {
  Grid grid;
  int batch;
  Blocks blocks;
  int inner_steps;
  bool normalize;
  Accum<T> eps;
  Activation activation;
  StepParameters<T> parameters;
  Field<T> input;
  GradField<T> grad_out;
  const T* grad;         // what grad_out reads, for the second kernel
  Accum<T>* states;      // [parts, blocks, inner_steps, block cells]
  Accum<T>* pre;         // [parts, blocks, inner_steps, channels, block cells]
  Accum<T>* tile_grads;  // [batch, blocks, block cells with shell]
  Accum<T>* partial;     // [parts, parameter planes, cells]
  bool add_to_partial;
  T* grad_input;
  GradSums<Accum<T>>* grad_sums;  // [batch, backward_groups] or null
  bool subtract_grad_out;
};

// True if a thread holds the weights of its cells in registers, beside their gradients, for the whole pass. There are
// three numbers per neighbour: its weight, the weight with which it reads the cell, and the gradient of the weight.
template <class A, bool Gated, bool Resident>
constexpr bool kHoldsWeights = Resident && kChannels<Gated> * sizeof(A) <= 4;

// Cells of a thread: if it holds their weights two along z, which share a third of their reads from shared memory.
template <class A, bool Gated, bool Resident>
constexpr int kBackwardCells = kHoldsWeights<A, Gated, Resident> ? 2 : 1;

// Threads of a CTA, at most.
template <class A, bool Gated, bool Resident>
constexpr int kBackwardThreads = kBlockThreads / kBackwardCells<A, Gated, Resident>;

// The tiles of a CTA in shared memory. If Resident, there are two of each that neighbours read, in alternation: one
// barrier per inner step is enough. Otherwise every step has the same ones.
template <class A, bool Gated, bool Resident>
class Scratch {
 public:
  static constexpr int kBuffers = Resident ? 2 : 1;

  A* grad;  // the gradient of the state after a step; with normalize also the shell's, summed over the inner steps
  A* grad_inputs;   // only if normalize: the gradient of the standardised inputs
  A* standardised;  // only if normalize
  int* cell_at;     // last: a thread of two cells reads a layer beyond a tile if the side is odd, and ignores it

  __device__ Scratch(A* memory, int positions, int block_cells, bool normalize)
      : states_(memory),
        grad_pre_(memory + kBuffers * positions),
        positions_(positions),
        plane_(grad_pre_size(positions, block_cells)) {
    grad = grad_pre_ + kBuffers * kChannels<Gated> * plane_;
    grad_inputs = grad + positions;
    standardised = grad_inputs + (normalize ? positions : 0);
    cell_at = reinterpret_cast<int*>(standardised + (normalize ? positions : 0));
  }

  static size_t bytes(int64_t positions, int64_t block_cells, bool normalize) {
    const size_t tiles = kBuffers + 1 + (normalize ? 2 : 0);
    const size_t grad_pre = kBuffers * kChannels<Gated> * grad_pre_size(positions, block_cells);
    return (positions * tiles + grad_pre) * sizeof(A) + positions * sizeof(int);
  }

  // The state before an inner step, with the shell.
  __device__ A* state(int step) const { return states_ + (Resident ? (step & 1) * positions_ : 0); }

  // The gradients of the pre-activations of an inner step, [channel][plane()]. If Resident a plane is a tile whose shell
  // is zero, otherwise the cells of the block.
  __device__ A* grad_pre(int step) const { return grad_pre_ + (Resident ? (step & 1) * kChannels<Gated> * plane_ : 0); }
  __device__ int plane() const { return plane_; }
  __device__ static int in_plane(BlockCell own) { return Resident ? own.position : own.local; }

 private:
  template <class Int>
  __host__ __device__ static Int grad_pre_size(Int positions, Int block_cells) {
    return Resident ? positions : block_cells;
  }

  A *states_, *grad_pre_;
  int positions_, plane_;
};

template <class A, bool Gated>
size_t backward_shared_bytes(int64_t side, bool normalize) {
  const int64_t positions = (side + 2) * (side + 2) * (side + 2), cells = side * side * side;
  return is_resident<A, Gated>(side) ? Scratch<A, Gated, true>::bytes(positions, cells, normalize)
                                     : Scratch<A, Gated, false>::bytes(positions, cells, normalize);
}

// The parameters of a thread's plain cells, in registers.
template <class A, int Cells>
struct HeldParameters {
  Column<A, Cells, 1> weights;
  Column<A, Cells, 1> mirrored;  // the weights with which the neighbours in the block read these cells; 0 outside it
  A bias[Cells], scale[Cells];

  template <class T>
  __device__ void load(const BlockBackward<T>& a, const Box& box, BlockCell first, int count) {
    const int layer = a.grid.n * a.grid.k, side = a.blocks.side;
    const int64_t cells = a.grid.cells();
    weights.load([&](int c, int, int i) {
      return c < count ? static_cast<A>(a.parameters.weight[i * cells + first.cell + c * layer]) : A(0);
    });
    mirrored.load([&](int c, int, int i) {
      const int z = first.z + c + i / 9 - 1, y = first.y + i / 3 % 3 - 1, x = first.x + i % 3 - 1;
      if (c >= count || z < 0 || z >= side || y < 0 || y >= side || x < 0 || x >= side) return A(0);
      const int cell = a.grid.index(box.z + z, box.y + y, box.x + x);
      return static_cast<A>(a.parameters.weight[(kNeighbours - 1 - i) * cells + cell]);
    });
#pragma unroll
    for (int c = 0; c < Cells; ++c) {
      const int64_t cell = first.cell + (c < count ? c * layer : 0);
      bias[c] = static_cast<A>(a.parameters.bias[cell]);
      scale[c] = static_cast<A>(a.parameters.residual_scale[cell]);
    }
  }
};

// What the backward pass of an inner step needs from the recomputation.
template <class A, int Cells, int Depth>
struct Recomputed {
  A state[Cells], pre[Cells][Depth];
};

// The gradients of the parameters of a thread's cells: in registers until the end if Resident, otherwise in the partial
// sums.
template <class A, int Cells, int Planes, bool Resident>
struct CellSums {
  A sums[Resident ? Cells : 1][Resident ? Planes : 1] = {};

  __device__ void add(int c, int plane, A value, A* partial, int64_t cells) {
    if constexpr (Resident) {
      sums[c][plane] += value;
    } else {
      partial[plane * cells] += value;
    }
  }
};

// Calls f(c, i, value) with the value of neighbour i of each of a thread's cells. Reads each value once.
template <int Cells, class A, class F>
__device__ void for_each_neighbour(const A* tile, int position, const Box& box, F f) {
  const A* row = tile + position - (box.hy + 1) * box.hx - 1;
#pragma unroll
  for (int layer = 0; layer < Cells + 2; ++layer) {
#pragma unroll
    for (int y = 0; y < 3; ++y) {
#pragma unroll
      for (int x = 0; x < 3; ++x) {
        const A value = row[x];
#pragma unroll
        for (int c = 0; c < Cells; ++c) {
          if (layer >= c && layer <= c + 2) f(c, (layer - c) * 9 + y * 3 + x, value);
        }
      }
      row += y < 2 ? box.hx : (box.hy - 2) * box.hx;
    }
  }
}

// The gradients that reach the input through the pre-activations of a block's cells, given their gradients: a Scratch's
// grad_pre. Weights are read from memory. A weight's place there and a gradient's in the plane are linear in the
// coordinates of the cell.
template <class T, int Depth, bool Resident>
class Gather {
  using A = Accum<T>;

 public:
  __device__ Gather(const BlockBackward<T>& a, const Box& box, const A* grad_pre, int plane)
      : side_(a.blocks.side),
        channel_(a.grid.cells()),
        weight_z_(a.grid.n * a.grid.k - 9 * Depth * channel_),
        weight_y_(a.grid.k - 3 * Depth * channel_),
        weight_x_(1 - Depth * channel_),
        weights_(a.parameters.weight + kNeighbours / 2 * Depth * channel_),
        layer_(Resident ? box.hy * box.hx : side_ * side_),
        row_(Resident ? box.hx : side_),
        plane_(plane),
        grad_pre_(grad_pre) {}

  // At a cell of the block.
  __device__ A at_cell(BlockCell own) const {
    A sum = 0;
#pragma unroll 1
    for (int z = -1; z <= 1; ++z) {
#pragma unroll
      for (int y = -1; y <= 1; ++y) {
#pragma unroll
        for (int x = -1; x <= 1; ++x) {
          if (!inside(own.z + z) || !inside(own.y + y) || !inside(own.x + x)) continue;
          sum += through(own.cell + z * weight_z_ + y * weight_y_ + x * weight_x_,
                         in_plane(own) + z * layer_ + y * row_ + x);
        }
      }
    }
    return sum;
  }

  // At a cell of the shell. Its neighbours in the block lie in one layer of nine cells, with axes u and v.
  __device__ A at_shell(BlockCell own) const {
    const bool along_z = !inside(own.z), along_y = !along_z && !inside(own.y), along_x = !along_z && !along_y;
    const int inwards = (along_z ? own.z : along_y ? own.y : own.x) < 0 ? 1 : -1;
    const int u = along_z ? own.y : own.z, v = along_x ? own.y : own.x;
    const int64_t weight = own.cell + inwards * (along_z ? weight_z_ : along_y ? weight_y_ : weight_x_);
    const int64_t weight_u = along_z ? weight_y_ : weight_z_, weight_v = along_x ? weight_y_ : weight_x_;
    const int at = in_plane(own) + inwards * (along_z ? layer_ : along_y ? row_ : 1);
    const int at_u = along_z ? row_ : layer_, at_v = along_x ? row_ : 1;
    A sum = 0;
#pragma unroll
    for (int i = -1; i <= 1; ++i) {
#pragma unroll
      for (int j = -1; j <= 1; ++j) {
        if (!inside(u + i) || !inside(v + j)) continue;
        sum += through(weight + i * weight_u + j * weight_v, at + i * at_u + j * at_v);
      }
    }
    return sum;
  }

 private:
  __device__ bool inside(int coordinate) const { return coordinate >= 0 && coordinate < side_; }
  __device__ static int in_plane(BlockCell own) { return Resident ? own.position : own.local; }

  // Through one cell.
  __device__ A through(int64_t weight, int at) const {
    A sum = 0;
#pragma unroll
    for (int channel = 0; channel < Depth; ++channel) {
      sum += static_cast<A>(weights_[weight + channel * channel_]) * grad_pre_[channel * plane_ + at];
    }
    return sum;
  }

  int side_;
  int64_t channel_;                         // weights per channel
  int64_t weight_z_, weight_y_, weight_x_;  // from a weight to the one with which the next cell reads the same position
  const T* weights_;                        // for neighbour 13, the cell itself
  int layer_, row_, plane_;                 // numbers in grad_pre per layer, row and channel
  const A* grad_pre_;
};

// Calls f(BlockCell) for this thread's cells of the shell of a block: one or more of their coordinates are -1 or `side`.
template <class F>
__device__ void for_each_shell_cell(const Grid& grid, const Box& box, int side, F f) {
  const int size = side + 2, face = size * size, ring = 4 * (size - 1), count = 2 * face + side * ring;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    int z = i < face ? -1 : side, y = i % face / size - 1, x = i % size - 1;  // the layers below and above
    if (i >= 2 * face) {  // the ring around a layer of the block: two rows with their ends, the ends of those between
      const int at = (i - 2 * face) % ring, between = at - 2 * size;
      z = (i - 2 * face) / ring;
      y = between >= 0 ? between / 2 : at < size ? -1 : side;
      x = between < 0 ? at % size - 1 : between % 2 == 0 ? -1 : side;
    }
    f(block_cell(grid, box, side, z, y, x));
  }
}

// Adds to tile.grad the gradient of the raw tile, given grad_inputs, that of the standardised one. All threads must
// call it.
template <class A, class Tiles>
__device__ void add_through_standardise(const Tiles& tile, int positions, A std, A eps) {
  A sum = 0, products = 0;
  for (int p = threadIdx.x; p < positions; p += blockDim.x) {
    sum += tile.grad_inputs[p];
    products += tile.grad_inputs[p] * tile.standardised[p];
  }
  const A mean = block_sum(sum) / static_cast<A>(positions), product = block_sum(products) / static_cast<A>(positions);
  const A scale = A(1) / (std + eps), along = std > A(0) ? product / std : A(0);  // 0 for the std of equal values
  for (int p = threadIdx.x; p < positions; p += blockDim.x) {
    tile.grad[p] += scale * (tile.grad_inputs[p] - mean) - along * tile.standardised[p];
  }
}

}  // namespace zoo::gridnet::cuda

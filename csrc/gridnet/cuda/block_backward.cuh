// Pieces of the backward pass of a block: a CTA's tiles, sums of parameter gradients, and gradients of the inputs.
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
  Accum<T>* pre;         // [parts, blocks, inner_steps - 1, channels, block cells]: of all inner steps but the last
  Accum<T>* totals;      // [parts, blocks, channels, block cells]: the gradients of pre, summed over the inner steps
  Accum<T>* tile_grads;  // [batch, blocks, block cells with shell]
  Accum<T>* partial;     // [parts, parameter planes, cells]
  bool add_to_partial;
  T* grad_input;
  GradSums<Accum<T>>* grad_sums;  // [batch, moment_groups] or null
  bool subtract_grad_out;
};

// The gradients of one cell's parameters: in registers until the end if Resident, otherwise in the partial sums.
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
  A* grad;          // the gradient of the state after it; with normalize also the shell's, summed over the inner steps
  A* standardised;  // only if normalize
  A* grad_inputs;   // only if normalize: the gradient of the standardised inputs
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
size_t backward_shared_bytes(int64_t side, int channels, bool normalize) {
  const size_t positions = (side + 2) * (side + 2) * (side + 2), cells = side * side * side;
  return positions * ((normalize ? 4 : 2) * sizeof(A) + sizeof(int)) + channels * cells * sizeof(A);
}

// The gradient that reaches the input at a position of the tile through the pre-activations of the block's cells.
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

// True for the positions of a tile that are cells of the block, not its shell.
__device__ inline bool in_block(const Box& box, int side, int position) {
  const int z = position / (box.hy * box.hx) - 1, y = position / box.hx % box.hy - 1, x = position % box.hx - 1;
  return z >= 0 && z < side && y >= 0 && y < side && x >= 0 && x < side;
}

// Adds to tile.grad the gradient of the raw tile, given grad_inputs, that of the standardised one. All threads must
// call it.
template <class A>
__device__ void add_through_standardise(const Scratch<A>& tile, int positions, A std, A eps) {
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

// Backward of a block: runs its inner steps again, keeps what it needs in scratch, and owns its cells' parameter
// gradients.
#pragma once
#include "cpu_blocks.h"

namespace zoo::ZOO_ISA {

// Weights seen from the other side: for every entry of the box and each of its 27 neighbours, the weight with which
// that neighbour reads the entry; 0 where the neighbour is not a cell of the block. out is [channel][side^3][27].
template <class T>
void transpose_block_weights(const T* weight, int channels, int64_t b, T* out) {
  const int64_t side = b + 2;
  for (int channel = 0; channel < channels; ++channel, weight += b * b * b * kNeighbours)
    for (int64_t p = 0; p < side * side * side; ++p)
      for (int i = 0; i < kNeighbours; ++i) {
        const int64_t z = p / (side * side) + i / 9 - 2, y = p / side % side + i / 3 % 3 - 2, x = p % side + i % 3 - 2;
        const bool cell = z >= 0 && z < b && y >= 0 && y < b && x >= 0 && x < b;
        *out++ = cell ? weight[((z * b + y) * b + x) * kNeighbours + kNeighbours - 1 - i] : T(0);
      }
}

// The nine rows of pre-activation gradients around row (z, y) of a box. `grad_pre` is a box with two entries of
// padding around the block's cells; rows that hold only padding are null.
template <class T, int W>
ZOO_INLINE RowNeighbours<T> gradient_rows(const Box<T, W>& grad_pre, int64_t z, int64_t y) {
  const int64_t b = grad_pre.side - 4;
  RowNeighbours<T> out;
  for (int q = 0; q < 9; ++q) {
    const int64_t nz = z + q / 3, ny = y + q % 3;
    const bool cells = nz >= 2 && nz < b + 2 && ny >= 2 && ny < b + 2;
    out.row[q] = cells ? grad_pre.row(nz, ny) : nullptr;
  }
  return out;
}

// What one thread needs for the backward pass of a block, beside BlockScratch.
template <class T>
struct BlockGradScratch {
  T* grad_box;     // [side^3][W]
  T* grad_inputs;  // [side^3][W], when normalising
  T* grad_pre;     // [channel][(b + 4)^3][W]

  static ZOO_INLINE int64_t size(int64_t b, int channels, int64_t w) {
    return (2 * (b + 2) * (b + 2) * (b + 2) + channels * (b + 4) * (b + 4) * (b + 4)) * w;
  }

  ZOO_INLINE BlockGradScratch(T* data, int64_t b, int64_t w)
      : grad_box(data), grad_inputs(data + (b + 2) * (b + 2) * (b + 2) * w), grad_pre(grad_inputs + (grad_inputs - data)) {}
};

// Turns the gradient of the box after inner step s (own.grad_box) into that of the box before it, and pre(s, .) into
// the gradient of the pre-activations; adds to the gradients of bias and residual scale.
template <class T, int NV>
void block_inner_step_backward(const StepConfig& c, const Parameters<T>& p, const T* transposed, BlockOrigin o,
                               const BlockScratch<T, NV * kLanes<T>>& scratch, const BlockGradScratch<T>& own, int64_t s) {
  constexpr int W = NV * kLanes<T>;
  const int64_t b = c.block, side = b + 2, cells = c.shape.cells();
  const Box<T, W> grad{own.grad_box, side};
  for (int64_t z = 0; z < b; ++z)
    for (int64_t y = 0; y < b; ++y) {
      const int64_t local = (z * b + y) * b * W, cell = c.shape.index(o.z + z, o.y + y, o.x);
      T* g = grad.row(z + 1, y + 1) + W;
      T* pre = scratch.pre(s, 0) + local;
      if (c.gated)
        update_gated_row_backward<T, NV>(c.activation, {}, g, scratch.raw(s).row(z + 1, y + 1) + W, b, pre,
                                         scratch.pre(s, 1) + local, p.grad_bias + cell, p.grad_bias + cells + cell);
      else
        update_row_backward<T, NV>(c.activation, {}, g, p.scale + cell, b, pre, p.grad_scale + cell, p.grad_bias + cell);
      for (int i = 0; i < scratch.channels; ++i) {
        const Box<T, W> wide{own.grad_pre + i * (b + 4) * (b + 4) * (b + 4) * W, b + 4};
        std::memcpy(wide.row(z + 2, y + 2) + 2 * W, scratch.pre(s, i) + local, b * W * sizeof(T));
      }
    }
  const Box<T, W> target{c.normalize ? own.grad_inputs : own.grad_box, side};
  if (c.normalize) std::memset(target.data, 0, target.size() * sizeof(T));
  for (int i = 0; i < scratch.channels; ++i) {
    const Box<T, W> wide{own.grad_pre + i * (b + 4) * (b + 4) * (b + 4) * W, b + 4};
    for (int64_t z = 0; z < side; ++z)
      for (int64_t y = 0; y < side; ++y)
        weigh_row<T, NV, true>(gradient_rows(wide, z, y), transposed + ((i * side + z) * side + y) * side * kNeighbours,
                               nullptr, side, target.row(z, y));
  }
  if (c.normalize) {
    standardise_box_backward<T, NV>(scratch.inputs(s), scratch.std(s), c.eps, target);
    for (int64_t i = 0; i < grad.size(); i += kLanes<T>) store(grad.data + i, load(grad.data + i) + load(target.data + i));
  }
}

// Gradient of row r's cells summed from the boxes [block][side^3][W] of every block that holds or borders them.
template <class T, int W>
void sum_boxes_row(const StepConfig& c, const T* boxes, int64_t r, T* out) {
  const int64_t b = c.block, side = b + 2, across = c.shape.k / b, down = c.shape.n / b;
  const int64_t box_size = side * side * side * W, z = r / c.shape.n, y = r % c.shape.n;
  for (int64_t i = 0; i < c.shape.k * W; i += kLanes<T>) store(out + i, Vec<T>{});
  for (int64_t bz = (z - 1 < 0 ? 0 : z - 1) / b; bz <= (z + 1) / b && bz < c.shape.m / b; ++bz)
    for (int64_t by = (y - 1 < 0 ? 0 : y - 1) / b; by <= (y + 1) / b && by < down; ++by)
      for (int64_t bx = 0; bx < across; ++bx) {
        const T* box = boxes + ((bz * down + by) * across + bx) * box_size;
        const T* row = box + ((z - bz * b + 1) * side + (y - by * b + 1)) * side * W;
        for (int64_t x = -1; x <= b; ++x) {
          const int64_t gx = bx * b + x;
          if (gx < 0 || gx >= c.shape.k) continue;
          for (int i = 0; i < W; i += kLanes<T>)
            store(out + gx * W + i, load(out + gx * W + i) + load(row + (x + 1) * W + i));
        }
      }
}

// All inner steps of one block; turns the gradient of the block's output into that of its box, in own.grad_box.
template <class T, int NV>
void block_backward(const StepConfig& c, const Parameters<T>& p, int64_t block, const LaneGrid<T, NV * kLanes<T>>& in,
                    const LaneGrid<T, NV * kLanes<T>>& grad_out, const BlockScratch<T, NV * kLanes<T>>& scratch,
                    const BlockGradScratch<T>& own, RowGradient<T>* list) {
  constexpr int W = NV * kLanes<T>;
  const int64_t b = c.block, cells = c.shape.cells();
  const BlockOrigin o = block_origin(c, block);
  const T* weight = p.weight + block * block_weight_size(c);
  const T* transposed = p.transposed + block * block_transposed_size(c);
  std::memset(own.grad_pre, 0, scratch.channels * (b + 4) * (b + 4) * (b + 4) * W * sizeof(T));
  read_box<T, NV>(in, nullptr, o, scratch.raw(0));
  for (int64_t s = 0; s < c.inner_steps; ++s)
    block_inner_step<T, NV>(c, p, weight, o, scratch, s, s + 1 < c.inner_steps ? scratch.raw(s + 1).data : nullptr);
  const Box<T, W> grad{own.grad_box, b + 2};
  std::memset(grad.data, 0, grad.size() * sizeof(T));
  for (int64_t z = 0; z < b; ++z)
    for (int64_t y = 0; y < b; ++y)
      std::memcpy(grad.row(z + 1, y + 1) + W, grad_out.cell(c.shape.index(o.z + z, o.y + y, o.x)), b * W * sizeof(T));
  for (int64_t s = c.inner_steps - 1; s >= 0; --s) block_inner_step_backward<T, NV>(c, p, transposed, o, scratch, own, s);
  for (int i = 0; i < scratch.channels; ++i)
    for (int64_t row = 0; row < b * b; ++row) {
      for (int64_t s = 0; s < c.inner_steps; ++s)
        list[s] = {rows_in_box(scratch.inputs(s), row / b + 1, row % b + 1), scratch.pre(s, i) + row * b * W};
      const int64_t cell = i * cells + c.shape.index(o.z + row / b, o.y + row % b, o.x);
      weight_grad_row<T, NV>(list, c.inner_steps, b, p.grad_weight + cell * kNeighbours);
    }
}

// One gridnet step of one tile, block by block. The members of a team share the blocks. Same interface as Stencil.
template <class T, int NV>
struct Blocks {
  static constexpr int W = NV * kLanes<T>;
  const StepConfig& config;
  T* boxes;  // gradients of the blocks' boxes, [block][side^3][W], backward only
  BlockScratch<T, W> scratch;
  BlockGradScratch<T> grads;
  RowGradient<T>* list;

  static BlockScratch<T, W> layout(const StepConfig& c, bool backward, T* data) {
    return {c.block, c.block + 2, backward ? c.inner_steps : 1, c.gated ? 2 : 1, c.normalize, data};
  }
  static int64_t shared_size(const StepConfig& c, bool backward) {
    return backward ? count_blocks(c) * layout(c, true, nullptr).box_size() : 0;
  }
  static int64_t own_size(const StepConfig& c, bool backward) {
    const int64_t list_bytes = c.inner_steps * static_cast<int64_t>(sizeof(RowGradient<T>));
    const int64_t rest = BlockGradScratch<T>::size(c.block, c.gated ? 2 : 1, W) + list_bytes / static_cast<int64_t>(sizeof(T));
    return (layout(c, backward, nullptr).size() + (backward ? rest : 0) + 63) / 64 * 64;
  }

  static int64_t weight_size(const StepConfig& c) { return count_blocks(c) * block_weight_size(c); }
  static int64_t transposed_size(const StepConfig& c) { return count_blocks(c) * block_transposed_size(c); }
  static void pack(const StepConfig& c, const T* weight, const Team& team, T* packed) {
    const int64_t blocks = count_blocks(c);
    for (int64_t i = team.begin(blocks); i < team.end(blocks); ++i)
      pack_block_weights(c, weight, block_origin(c, i), packed + i * block_weight_size(c));
  }
  static void pack_transposed(const StepConfig& c, const T*, const T* packed, const Team& team, T* transposed) {
    const int64_t blocks = count_blocks(c);
    for (int64_t i = team.begin(blocks); i < team.end(blocks); ++i)
      transpose_block_weights(packed + i * block_weight_size(c), c.gated ? 2 : 1, c.block,
                              transposed + i * block_transposed_size(c));
  }

  Blocks(const StepConfig& c, const Team&, T* shared, T* own, bool backward)
      : config(c), boxes(shared), scratch(layout(c, backward, own)), grads(own + scratch.size(), c.block, W),
        list(reinterpret_cast<RowGradient<T>*>(own + scratch.size() + BlockGradScratch<T>::size(c.block, scratch.channels, W))) {}

  static constexpr bool kSlides = false;
  static constexpr bool kFolds = false;
  static int64_t held_rows(const StepConfig&, const Team&, int) { return 0; }

  template <class After>
  void forward(const Parameters<T>& p, const LaneGrid<T, W>& in, const Norm<T, NV>* norm, const LaneGrid<T, W>& out,
               Moments<T, NV>* moments, const Team& team, After after) {
    const int64_t b = config.block, blocks = count_blocks(config), rows = config.shape.rows();
    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) out.clear_padding(r);
    for (int64_t block = team.begin(blocks); block < team.end(blocks); ++block) {
      const BlockOrigin o = block_origin(config, block);
      read_box<T, NV>(in, norm, o, scratch.raw(0));
      for (int s = 0; s < config.inner_steps; ++s)
        block_inner_step<T, NV>(config, p, p.weight + block * block_weight_size(config), o, scratch, 0, scratch.raw(0).data);
      for (int64_t row = 0; row < b * b; ++row) {
        const int64_t cell = config.shape.index(o.z + row / b, o.y + row % b, o.x);
        std::memcpy(out.cell(cell), scratch.raw(0).row(row / b + 1, row % b + 1) + W, b * W * sizeof(T));
        if (moments) moments->add_row(out.cell(cell), b);
        after(out.cell(cell), cell, b);
      }
    }
  }

  // See Stencil::backward. A block starts from the gradients of all its cells: incoming(r) is called for all rows first.
  template <class Prepare, class Incoming, class Finished>
  void backward(const Parameters<T>& p, const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad, const Team& team,
                Prepare prepare, Incoming incoming, Finished finished) {
    const int64_t blocks = count_blocks(config), rows = config.shape.rows(), box_size = scratch.box_size();
    prepare(team.begin(rows), team.end(rows));
    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) incoming(r);
    team.barrier();
    for (int64_t block = team.begin(blocks); block < team.end(blocks); ++block) {
      block_backward<T, NV>(config, p, block, in, grad, scratch, grads, list);
      std::memcpy(boxes + block * box_size, grads.grad_box, box_size * sizeof(T));
    }
    team.barrier();
    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) {
      sum_boxes_row<T, W>(config, boxes, r, grad.row(r));
      finished(r);
    }
    team.barrier();
  }
};

}  // namespace zoo::ZOO_ISA

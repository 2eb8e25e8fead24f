// Backward of the blocked step. Each block is one task: it runs all samples and all inner steps again, keeps what it
// needs in scratch, and owns its cells' parameter gradients, so the result does not depend on the thread count.
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
  T* weight;       // [channel][b^3][27]
  T* transposed;   // [channel][side^3][27]
  T* grad_weight;  // [channel][b^3][27]
  T* grad_box;     // [side^3][W]
  T* grad_inputs;  // [side^3][W], when normalising
  T* grad_pre;     // [channel][(b + 4)^3][W]

  static ZOO_INLINE int64_t size(int64_t b, int channels, int64_t w) {
    const int64_t box = (b + 2) * (b + 2) * (b + 2), wide = (b + 4) * (b + 4) * (b + 4);
    return round_up(channels * b * b * b * kNeighbours) * 2 + round_up(channels * box * kNeighbours) + 2 * box * w +
           channels * wide * w;
  }
  static ZOO_INLINE int64_t round_up(int64_t n) { return (n + 63) / 64 * 64; }

  ZOO_INLINE BlockGradScratch(T* data, int64_t b, int channels, int64_t w) {
    const int64_t box = (b + 2) * (b + 2) * (b + 2), own = round_up(channels * b * b * b * kNeighbours);
    weight = data;
    grad_weight = weight + own;
    transposed = grad_weight + own;
    grad_box = transposed + round_up(channels * box * kNeighbours);
    grad_inputs = grad_box + box * w;
    grad_pre = grad_inputs + box * w;
  }
};

// Turns the gradient of the box after inner step s (own.grad_box) into that of the box before it, and pre(s, .) into
// the gradient of the pre-activations; adds to the gradients of bias and residual scale.
template <class T, int NV>
void block_inner_step_backward(const StepConfig& c, const StepInputs<T>& in, const StepGrads<T>& grads, BlockOrigin o,
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
        update_gated_row_backward<T, NV>(c.activation, g, scratch.raw(s).row(z + 1, y + 1) + W, b, pre,
                                         scratch.pre(s, 1) + local, g, grads.bias + cell, grads.bias + cells + cell);
      else
        update_row_backward<T, NV>(c.activation, g, in.residual_scale + cell, b, pre, grads.residual_scale + cell,
                                   grads.bias + cell);
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
        weigh_row<T, NV, true>(gradient_rows(wide, z, y), own.transposed + ((i * side + z) * side + y) * side * kNeighbours,
                               nullptr, side, target.row(z, y));
  }
  if (c.normalize) {
    standardise_box_backward<T, NV>(scratch.inputs(s), scratch.std(s), c.eps, target);
    for (int64_t i = 0; i < grad.size(); i += kLanes<T>) store(grad.data + i, load(grad.data + i) + load(target.data + i));
  }
}

// Gradient of the row's cells summed from the boxes of every block that holds or borders it.
template <class T, int W>
void sum_boxes_row(const StepConfig& c, const T* boxes, int64_t t, int64_t z, int64_t y, T* out) {
  const int64_t b = c.block, side = b + 2, across = c.shape.k / b, down = c.shape.n / b, blocks = count_blocks(c);
  const int64_t box_size = side * side * side * W;
  for (int64_t i = 0; i < c.shape.k * W; i += kLanes<T>) store(out + i, Vec<T>{});
  for (int64_t bz = (z - 1 < 0 ? 0 : z - 1) / b; bz <= (z + 1) / b && bz < c.shape.m / b; ++bz)
    for (int64_t by = (y - 1 < 0 ? 0 : y - 1) / b; by <= (y + 1) / b && by < down; ++by)
      for (int64_t bx = 0; bx < across; ++bx) {
        const T* box = boxes + (t * blocks + (bz * down + by) * across + bx) * box_size;
        const T* row = box + ((z - bz * b + 1) * side + (y - by * b + 1)) * side * W;
        for (int64_t x = -1; x <= b; ++x) {
          const int64_t gx = bx * b + x;
          if (gx < 0 || gx >= c.shape.k) continue;
          for (int i = 0; i < W; i += kLanes<T>)
            store(out + gx * W + i, load(out + gx * W + i) + load(row + (x + 1) * W + i));
        }
      }
}

// All samples and inner steps of one block; leaves the gradient of each tile's box in boxes [tile][block][side^3][W].
template <class T, int NV>
void block_backward(const StepConfig& c, const StepInputs<T>& in, const StepGrads<T>& grads, int64_t block,
                    const LaneGrid<T, NV * kLanes<T>>& x, const LaneGrid<T, NV * kLanes<T>>& grad_out, int64_t tiles,
                    const BlockScratch<T, NV * kLanes<T>>& scratch, const BlockGradScratch<T>& own,
                    RowGradient<T>* list, T* boxes) {
  constexpr int W = NV * kLanes<T>;
  const int64_t b = c.block, cells = c.shape.cells(), volume = b * b * b, blocks = count_blocks(c);
  const BlockOrigin o = block_origin(c, block);
  transpose_block_weights(own.weight, scratch.channels, b, own.transposed);
  std::memset(own.grad_weight, 0, scratch.channels * volume * kNeighbours * sizeof(T));
  std::memset(own.grad_pre, 0, scratch.channels * (b + 4) * (b + 4) * (b + 4) * W * sizeof(T));
  for (int64_t row = 0; row < b * b; ++row) {
    const int64_t cell = c.shape.index(o.z + row / b, o.y + row % b, o.x);
    for (int i = 0; i < scratch.channels; ++i) std::memset(grads.bias + i * cells + cell, 0, b * sizeof(T));
    if (!c.gated) std::memset(grads.residual_scale + cell, 0, b * sizeof(T));
  }
  const Box<T, W> grad{own.grad_box, b + 2};
  for (int64_t t = 0; t < tiles; ++t) {
    read_box(x, t, o, scratch.raw(0));
    for (int64_t s = 0; s < c.inner_steps; ++s)
      block_inner_step<T, NV>(c, in, own.weight, o, scratch, s, s + 1 < c.inner_steps ? scratch.raw(s + 1).data : nullptr);
    std::memset(grad.data, 0, grad.size() * sizeof(T));
    for (int64_t z = 0; z < b; ++z)
      for (int64_t y = 0; y < b; ++y)
        std::memcpy(grad.row(z + 1, y + 1) + W, grad_out.cell(t, c.shape.index(o.z + z, o.y + y, o.x)), b * W * sizeof(T));
    for (int64_t s = c.inner_steps - 1; s >= 0; --s) block_inner_step_backward<T, NV>(c, in, grads, o, scratch, own, s);
    for (int i = 0; i < scratch.channels; ++i)
      for (int64_t row = 0; row < b * b; ++row) {
        for (int64_t s = 0; s < c.inner_steps; ++s)
          list[s] = {rows_in_box(scratch.inputs(s), row / b + 1, row % b + 1), scratch.pre(s, i) + row * b * W};
        weight_grad_row<T, NV>(list, c.inner_steps, b, own.grad_weight + (i * volume + row * b) * kNeighbours);
      }
    std::memcpy(boxes + (t * blocks + block) * grad.size(), grad.data, grad.size() * sizeof(T));
  }
}

template <class T, int NV>
void step_backward_blocks(const StepConfig& c, const StepInputs<T>& in, const StepGrads<T>& grads, Workspace& workspace,
                          int threads) {
  constexpr int W = NV * kLanes<T>;
  const int64_t cells = c.shape.cells(), rows = c.shape.rows(), k = c.shape.k, b = c.block, blocks = count_blocks(c);
  const int64_t tiles = (c.batch + W - 1) / W, volume = b * b * b, box_size = (b + 2) * (b + 2) * (b + 2) * W;
  const int64_t group = rows_per_group<T>(k), groups = (rows + group - 1) / group;
  const int channels = c.gated ? 2 : 1;
  LaneGrid<T, W> x{nullptr, c.shape, 1}, grad_out{nullptr, c.shape, 0};
  x.data = workspace.get<T>(0, tiles * x.tile_size());
  grad_out.data = workspace.get<T>(5, tiles * grad_out.tile_size());
  const PackedWeights<T> weight{workspace.get<T>(1, channels * cells * kNeighbours), cells, channels};
  const PackedWeights<T> grad_weight{workspace.get<T>(4, channels * cells * kNeighbours), cells, channels};
  BlockScratch<T, W> scratch{b, b + 2, c.inner_steps, channels, c.normalize, nullptr};
  T* scratch_data = workspace.get<T>(2, threads * scratch.size());
  const int64_t own_size = BlockGradScratch<T>::size(b, channels, W), row_scratch = group * k * W;
  T* own_data = workspace.get<T>(3, threads * own_size);
  T* boxes = workspace.get<T>(6, tiles * blocks * box_size);
  T* row_data = workspace.get<T>(7, threads * row_scratch);
  RowGradient<T>* lists = workspace.get<RowGradient<T>>(8, threads * c.inner_steps);

  auto body = [&](const Team& team) {
    pack_channels(c, in.weight, team, weight);
    fill_lanes<T, W>(c, in.x, tiles, team, x);
    fill_lanes<T, W>(c, grads.grad_out, tiles, team, grad_out);
    team.barrier();

    BlockScratch<T, W> mine = scratch;
    mine.data = scratch_data + team.rank * scratch.size();
    const BlockGradScratch<T> own(own_data + team.rank * own_size, b, channels, W);
    for (int64_t block = team.begin(blocks); block < team.end(blocks); ++block) {
      const BlockOrigin o = block_origin(c, block);
      read_block_weights(c, weight, o, own.weight);
      block_backward<T, NV>(c, in, grads, block, x, grad_out, tiles, mine, own, lists + team.rank * c.inner_steps, boxes);
      for (int i = 0; i < channels; ++i)
        for (int64_t row = 0; row < b * b; ++row)
          std::memcpy(grad_weight.at(i, c.shape.index(o.z + row / b, o.y + row % b, o.x)),
                      own.grad_weight + (i * volume + row * b) * kNeighbours, b * kNeighbours * sizeof(T));
    }
    team.barrier();

    for (int i = 0; i < channels; ++i)
      unpack_weight(grad_weight.at(i, 0), channels * cells, team.begin(cells), team.end(cells), grads.weight + i * cells);
    T* row_grad = row_data + team.rank * row_scratch;
    for (int64_t g = team.begin(groups); g < team.end(groups); ++g) {
      const int64_t first = g * group, last = first + group < rows ? first + group : rows;
      for (int64_t t = 0; t < tiles; ++t) {
        for (int64_t r = first; r < last; ++r)
          sum_boxes_row<T, W>(c, boxes, t, r / c.shape.n, r % c.shape.n, row_grad + (r - first) * k * W);
        lanes_to_samples<T, W>([&](int64_t cell) { return row_grad + (cell - first * k) * W; }, cells, c.batch, t, first * k,
                               last * k, grads.x);
      }
    }
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

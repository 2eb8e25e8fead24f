// Backward of a block: runs its inner steps again, keeps what it needs in scratch, and owns its cells' parameter
// gradients.
#pragma once
#include "gridnet/cpu/sample_lanes/blocks.h"

namespace zoo::ZOO_ISA {

// Weights seen from the other side: for every entry of the box and each of its 27 neighbours, the weight with which
// that neighbour reads the entry; 0 where the neighbour is not a cell of the block. out is [channel][side^3][27].
template <class T>
void transpose_block_weights(const T* weight, int channels, int64_t b, T* out) {
  const int64_t side = b + 2, size = side * side * side * kNeighbours;
  int64_t to[kNeighbours];  // from the first entry that a cell reads
  for (int64_t i = 0; i < kNeighbours; ++i)
    to[i] = ((i / 9 * side + i / 3 % 3) * side + i % 3) * kNeighbours + kNeighbours - 1 - i;
  std::memset(out, 0, channels * size * sizeof(T));
  for (int channel = 0; channel < channels; ++channel, out += size)
    for (int64_t cell = 0; cell < b * b * b; ++cell, weight += kNeighbours) {
      T* first = out + ((cell / (b * b) * side + cell / b % b) * side + cell % b) * kNeighbours;
      for (int i = 0; i < kNeighbours; ++i) first[to[i]] = weight[i];
    }
}

// The nine rows of pre-activation gradients around row (z, y) of a box, with their padding; rows that hold no cells are
// null.
template <class T, int W>
ZOO_INLINE RowNeighbours<T> gradient_rows(const BlockScratch<T, W>& scratch, int64_t s, int channel, int64_t z,
                                          int64_t y) {
  const int64_t b = scratch.block;
  RowNeighbours<T> out;
  for (int q = 0; q < 9; ++q) {
    const int64_t nz = z + q / 3 - 2, ny = y + q % 3 - 2;
    const bool cells = nz >= 0 && nz < b && ny >= 0 && ny < b;
    out.row[q] = cells ? scratch.pre(s, channel, nz * b + ny) - scratch.kPadding * W : nullptr;
  }
  return out;
}

// weigh_row for the rows of a box, two entries longer than those of its block: without the slow steps of one entry.
template <class T, int NV, bool Add>
void weigh_box_row(const RowNeighbours<T>& in, const T* weight, int64_t n, T* out) {
  int64_t k = 0;
  for (; k + 4 <= n; k += 4) weigh_chunk<T, NV, 4, Add>(in, weight, nullptr, k, out);
  for (; k + 2 <= n; k += 2) weigh_chunk<T, NV, 2, Add>(in, weight, nullptr, k, out);
  if (k < n) weigh_chunk<T, NV, 1, Add>(in, weight, nullptr, k, out);
}

// Backward of BoxStats: takes in the gradient of a standardised box, then turns it into that of the raw one.
template <class T, int NV>
struct BoxGradient {
  static constexpr int L = kLanes<T>, W = NV * L;
  Vec<T> sum[NV] = {}, dot[NV] = {};

  // n entries of the gradient and of the standardised values z.
  ZOO_INLINE void add(const T* grad, const T* z, int64_t n) {
    for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const Vec<T> g = load(grad + k * W + v * L);
        sum[v] += g;
        dot[v] += g * load(z + k * W + v * L);
      }
  }

  // out += the gradient of the raw values; all `n` entries have been taken in.
  void add_to(const T* grad, const T* z, const T* std, double eps, int64_t n, T* out) const {
    const T each = T(1) / static_cast<T>(n);
    Vec<T> mean[NV], inverse[NV], through_std[NV];
    for (int v = 0; v < NV; ++v) {
      const Vec<T> deviation = load(std + v * L);
      mean[v] = sum[v] * each;
      inverse[v] = 1 / (deviation + static_cast<T>(eps));
      // d std / dv = (v - mean) / (n std), taken as 0 where std is 0, as torch does.
      through_std[v] = deviation > 0 ? dot[v] * each / deviation : Vec<T>{};
    }
    for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const int64_t at = k * W + v * L;
        store(out + at, load(out + at) + ((load(grad + at) - mean[v]) * inverse[v] - through_std[v] * load(z + at)));
      }
  }
};

// Turns the gradient of the box after inner step s into that of the box before it, and pre(s, .) into the gradient of
// the pre-activations; adds to the gradients of bias and residual scale. grad_inputs is scratch for a box, when
// normalising.
template <class T, int NV>
void block_inner_step_backward(const StepConfig& c, const Parameters<T>& p, const T* transposed, BlockOrigin o,
                               const BlockScratch<T, NV * kLanes<T>>& scratch, int64_t s, T* grad_inputs,
                               const Box<T, NV * kLanes<T>>& grad) {
  constexpr int W = NV * kLanes<T>;
  const int64_t b = c.block, side = b + 2, cells = c.shape.cells();
  for (int64_t row = 0; row < b * b; ++row) {
    const int64_t z = row / b, y = row % b, cell = c.shape.index(o.z + z, o.y + y, o.x);
    T *g = grad.core_row(z, y), *pre = scratch.pre(s, 0, row);
    if (c.gated)
      update_gated_row_backward<T, NV>(c.activation, {}, g, scratch.raw(s).core_row(z, y), b, pre,
                                       scratch.pre(s, 1, row), p.grad_bias + cell, p.grad_bias + cells + cell);
    else
      update_row_backward<T, NV>(c.activation, {}, g, p.scale + cell, b, pre, p.grad_scale + cell, p.grad_bias + cell);
  }
  const Box<T, W> inputs = scratch.inputs(s), target{grad_inputs, side};
  BoxGradient<T, NV> sums;
  for (int64_t row = 0; row < side * side; ++row) {
    const int64_t z = row / side, y = row % side;
    for (int i = 0; i < scratch.channels; ++i) {
      const RowNeighbours<T> near = gradient_rows(scratch, s, i, z, y);
      const T* weight = transposed + (i * side * side + row) * side * kNeighbours;
      if (c.normalize) weigh_box_row<T, NV, false>(near, weight, side, target.row(z, y));
      else weigh_box_row<T, NV, true>(near, weight, side, grad.row(z, y));
    }
    if (c.normalize) sums.add(target.row(z, y), inputs.row(z, y), side);
  }
  if (c.normalize) sums.add_to(target.data, inputs.data, scratch.std(s), c.eps, side * side * side, grad.data);
}

// Adds to the gradient of row r's cells what it has from the shells of the blocks that border them. shells is
// [block][side^3][W], of which the cores are not read.
template <class T, int W>
void add_shells_row(const StepConfig& c, const T* shells, int64_t r, T* out) {
  const int64_t b = c.block, side = b + 2, across = c.shape.k / b, down = c.shape.n / b;
  const int64_t box_size = side * side * side * W, z = r / c.shape.n, y = r % c.shape.n;
  for (int64_t bz = (z - 1 < 0 ? 0 : z - 1) / b; bz <= (z + 1) / b && bz < c.shape.m / b; ++bz)
    for (int64_t by = (y - 1 < 0 ? 0 : y - 1) / b; by <= (y + 1) / b && by < down; ++by)
      for (int64_t bx = 0; bx < across; ++bx) {
        const T* row = shells + ((bz * down + by) * across + bx) * box_size +
                       ((z - bz * b + 1) * side + (y - by * b + 1)) * side * W;
        T* to = out + (bx * b - 1) * W;
        const auto add = [&](int64_t first, int64_t last) {
          for (int64_t i = first * W; i < last * W; i += kLanes<T>) store(to + i, load(to + i) + load(row + i));
        };
        if (bx > 0) add(0, 1);
        if (bz != z / b || by != y / b) add(1, b + 1);
        if (bx + 1 < across) add(b + 1, side);
      }
}

// Copies the shell of a box.
template <class T, int W>
void copy_shell(const Box<T, W>& from, const Box<T, W>& to) {
  const int64_t last = from.side - 1;
  for (int64_t z = 0; z <= last; ++z)
    for (int64_t y = 0; y <= last; ++y) {
      const bool core = z > 0 && z < last && y > 0 && y < last;
      std::memcpy(to.row(z, y), from.row(z, y), (core ? 1 : from.side) * W * sizeof(T));
      if (core) std::memcpy(to.row(z, y) + last * W, from.row(z, y) + last * W, W * sizeof(T));
    }
}

// The gradient of a block's box after its last step: that of its cells, and 0 for the shell, which no one reads any
// more.
template <class T, int W>
void read_box_gradient(const LaneGrid<T, W>& grad_out, BlockOrigin o, const Box<T, W>& grad) {
  const int64_t last = grad.side - 1;
  for (int64_t z = 0; z <= last; ++z)
    for (int64_t y = 0; y <= last; ++y) {
      T* row = grad.row(z, y);
      if (z == 0 || z == last || y == 0 || y == last) {
        std::memset(row, 0, grad.side * W * sizeof(T));
        continue;
      }
      std::memset(row, 0, W * sizeof(T));
      std::memcpy(row + W, grad_out.cell(grad_out.shape.index(o.z + z - 1, o.y + y - 1, o.x)),
                  (last - 1) * W * sizeof(T));
      std::memset(row + last * W, 0, W * sizeof(T));
    }
}

// All inner steps of one block; grad becomes the gradient of the block's box.
template <class T, int NV>
void block_backward(const StepConfig& c, const Parameters<T>& p, int64_t block, const LaneGrid<T, NV * kLanes<T>>& in,
                    const LaneGrid<T, NV * kLanes<T>>& grad_out, const BlockScratch<T, NV * kLanes<T>>& scratch,
                    BoxMoments<T, NV>& moments, T* grad_inputs, RowGradient<T>* list,
                    const Box<T, NV * kLanes<T>>& grad) {
  const int64_t b = c.block, cells = c.shape.cells();
  const BlockOrigin o = block_origin(c, block);
  const T* weight = p.weight + block * block_weight_size(c);
  const T* transposed = p.transposed + block * block_transposed_size(c);
  read_box<T, NV>(in, nullptr, o, scratch.raw(0), c.normalize ? &moments : nullptr);
  for (int64_t s = 0; s < c.inner_steps; ++s) {
    block_sums<T, NV>(c, p, weight, o, scratch, s, moments);
    if (s + 1 == c.inner_steps) break;
    if (!c.normalize) copy_shell(scratch.raw(s), scratch.raw(s + 1));
    update_block<T, NV>(c, p, o, scratch, s, s + 1, moments);
  }
  read_box_gradient(grad_out, o, grad);
  for (int64_t s = c.inner_steps - 1; s >= 0; --s)
    block_inner_step_backward<T, NV>(c, p, transposed, o, scratch, s, grad_inputs, grad);
  for (int i = 0; i < scratch.channels; ++i)
    for (int64_t row = 0; row < b * b; ++row) {
      for (int64_t s = 0; s < c.inner_steps; ++s)
        list[s] = {rows_in_box(scratch.inputs(s), row / b + 1, row % b + 1), scratch.pre(s, i, row)};
      const int64_t cell = i * cells + c.shape.index(o.z + row / b, o.y + row % b, o.x);
      weight_grad_row<T, NV>(list, c.inner_steps, b, p.grad_weight + cell * kNeighbours);
    }
}

// One gridnet step of one tile, block by block. The members of a team share the blocks. Same interface as Stencil.
template <class T, int NV>
struct Blocks {
  static constexpr int W = NV * kLanes<T>;
  const StepConfig& config;
  T* shells;  // gradients of the blocks' shells, [block][side^3][W], backward only
  BlockScratch<T, W> scratch;
  Box<T, W> grad_box;  // backward only, as all below
  T* grad_inputs;      // [side^3][W]
  RowGradient<T>* list;
  BoxMoments<T, NV> box_moments;

  static BlockScratch<T, W> layout(const StepConfig& c, bool backward, T* data) {
    return {c.block, c.block + 2, backward ? c.inner_steps : 1, c.gated ? 2 : 1, c.normalize, data};
  }
  static int64_t shared_size(const StepConfig& c, bool backward) {
    return backward ? count_blocks(c) * layout(c, true, nullptr).box_size() : 0;
  }
  static int64_t own_size(const StepConfig& c, bool backward) {
    const BlockScratch<T, W> own = layout(c, backward, nullptr);
    const int64_t list_bytes = c.inner_steps * static_cast<int64_t>(sizeof(RowGradient<T>));
    const int64_t rest = 2 * own.box_size() + list_bytes / static_cast<int64_t>(sizeof(T));
    return (own.size() + (backward ? rest : 0) + 63) / 64 * 64;
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
      : config(c),
        shells(shared),
        scratch(layout(c, backward, own)),
        grad_box{own + scratch.size(), c.block + 2},
        grad_inputs(grad_box.data + grad_box.size()),
        list(reinterpret_cast<RowGradient<T>*>(grad_inputs + grad_box.size())) {
    if (backward) scratch.clear_padding();
  }

  static constexpr bool kSlides = false;
  static constexpr bool kFolds = false;
  static int64_t held_rows(const StepConfig&, const Team&, int) { return 0; }

  template <class After>
  void forward(const Parameters<T>& p, const LaneGrid<T, W>& in, const Norm<T, NV>* norm, const LaneGrid<T, W>& out,
               Moments<T, NV>* moments, const Team& team, After after) {
    const int64_t b = config.block, rows = config.shape.rows(), last = team.end(count_blocks(config));
    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) out.clear_padding(r);
    for (int64_t block = team.begin(count_blocks(config)); block < last; ++block) {
      const BlockOrigin o = block_origin(config, block);
      read_box<T, NV>(in, norm, o, scratch.raw(0), config.normalize ? &box_moments : nullptr);
      for (int s = 0; s < config.inner_steps; ++s) {
        if (s > 0) update_block<T, NV>(config, p, o, scratch, 0, 0, box_moments);
        block_sums<T, NV>(config, p, p.weight + block * block_weight_size(config), o, scratch, 0, box_moments);
      }
      for (int64_t row = 0; row < b * b; ++row) {
        const int64_t cell = config.shape.index(o.z + row / b, o.y + row % b, o.x);
        update_block_row<T, NV>(config, p, o, scratch, 0, row, out.cell(cell), moments);
        after(out.cell(cell), cell, b);
      }
    }
  }

  // See Stencil::backward. A block starts from the gradients of all its cells: incoming(r) is called for all rows
  // first.
  template <class Prepare, class Incoming, class Finished>
  void backward(const Parameters<T>& p, const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad, const Team& team,
                Prepare prepare, Incoming incoming, Finished finished) {
    const int64_t b = config.block, rows = config.shape.rows(), last = team.end(count_blocks(config));
    prepare(team.begin(rows), team.end(rows));
    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) incoming(r);
    team.barrier();
    for (int64_t block = team.begin(count_blocks(config)); block < last; ++block) {
      const BlockOrigin o = block_origin(config, block);
      block_backward<T, NV>(config, p, block, in, grad, scratch, box_moments, grad_inputs, list, grad_box);
      copy_shell(grad_box, {shells + block * grad_box.size(), b + 2});
      for (int64_t row = 0; row < b * b; ++row)  // where no other block looks
        std::memcpy(grad.cell(config.shape.index(o.z + row / b, o.y + row % b, o.x)),
                    grad_box.core_row(row / b, row % b), b * W * sizeof(T));
    }
    team.barrier();
    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) {
      add_shells_row<T, W>(config, shells, r, grad.row(r));
      finished(r);
    }
    team.barrier();
  }
};

}  // namespace zoo::ZOO_ISA

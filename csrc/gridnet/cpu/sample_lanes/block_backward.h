// The backward pass of one block: repeats its inner steps, saves in scratch memory what it needs of them, and adds to
// the parameter gradients of its cells, which no other block touches.
#pragma once
#include "gridnet/cpu/sample_lanes/block.h"

namespace zoo::ZOO_ISA {

// Numbers in the transposed weights of one block, [channel][side^3][27].
ZOO_INLINE int64_t block_transposed_size(const StepConfig& c) {
  return c.channels() * (c.block + 2) * (c.block + 2) * (c.block + 2) * kNeighbours;
}

// Transposes a block's packed weights: for every entry of the box and each of its 27 neighbours, the weight with which
// that neighbour reads the entry, or 0 if the neighbour is not a cell of the block.
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

// sum_neighbours for the rows of a box, which are two entries longer than those of its block: no entry is left for a
// slow step of one.
template <class T, int NV, bool Add>
void sum_neighbours_in_box(const RowNeighbours<T>& in, const T* weight, int64_t n, T* out) {
  int64_t k = 0;
  for (; k + 4 <= n; k += 4) sum_neighbours_chunk<T, NV, 4, Add>(in, weight, nullptr, k, out);
  for (; k + 2 <= n; k += 2) sum_neighbours_chunk<T, NV, 2, Add>(in, weight, nullptr, k, out);
  if (k < n) sum_neighbours_chunk<T, NV, 1, Add>(in, weight, nullptr, k, out);
}

// Backward of BoxNormaliser: first sums the gradient of a standardised box, then turns it into that of the raw box.
template <class T, int NV>
struct BoxGradient {
  static constexpr int L = kLanes<T>, W = NV * L;
  Vec<T> sum[NV] = {}, dot[NV] = {};

  // Adds n entries of the gradient and of the standardised values z.
  ZOO_INLINE void add(const T* grad, const T* z, int64_t n) {
    for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const Vec<T> g = load(grad + k * W + v * L);
        sum[v] += g;
        dot[v] += g * load(z + k * W + v * L);
      }
  }

  // out += the gradient of the raw values, once all n entries have been added. `std` is what BoxNormaliser wrote.
  void add_raw_gradient(const Box<T, W>& grad, const Box<T, W>& z, const T* std, double eps, T* out) const {
    const int64_t n = grad.side * grad.side * grad.side;
    const T inverse_count = T(1) / static_cast<T>(n);
    Vec<T> mean[NV], inverse[NV], through_std[NV];
    for (int v = 0; v < NV; ++v) {
      const Vec<T> deviation = load(std + v * L);
      mean[v] = sum[v] * inverse_count;
      inverse[v] = 1 / (deviation + static_cast<T>(eps));
      // d std / dv = (v - mean) / (n std), taken as 0 where std is 0, as torch does.
      through_std[v] = deviation > 0 ? dot[v] * inverse_count / deviation : Vec<T>{};
    }
    for (int64_t k = 0; k < n; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const int64_t at = k * W + v * L;
        store(out + at,
              load(out + at) + ((load(grad.data + at) - mean[v]) * inverse[v] - through_std[v] * load(z.data + at)));
      }
  }
};

// The gradient of a block's box after its last step: that of its cells, and 0 for the shell, which nothing reads.
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

// One block's backward pass.
template <class T, int NV>
struct BlockBackward {
  static constexpr int W = NV * kLanes<T>;
  const Block<T, NV>& block;
  Box<T, W> grad;         // becomes the gradient of the block's box
  Box<T, W> grad_inputs;  // scratch memory if blocks are standardised
  RowGradient<T>* terms;  // scratch memory, one per inner step

  const StepConfig& config = block.config;
  const BlockScratch<T, W>& scratch = block.scratch;
  const int64_t b = block.b, side = block.side, cells = block.cells;
  const T* const transposed = block.parameters.transposed + block.index * block_transposed_size(config);

  // in is what the step read, grad_out the gradient of the step's output.
  void run(const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad_out, BoxMoments<T, NV>& moments) const {
    read_box<T, NV>(in, nullptr, block.origin, scratch.raw(0), config.normalize ? &moments : nullptr);
    for (int64_t s = 0; s < config.inner_steps; ++s) {
      block.sum(s, moments);
      if (s + 1 == config.inner_steps) break;
      if (!config.normalize) copy_shell(scratch.raw(s), scratch.raw(s + 1));
      block.update(s, s + 1, moments);
    }
    read_box_gradient(grad_out, block.origin, grad);
    for (int64_t s = config.inner_steps - 1; s >= 0; --s) {
      backward_updates(s);
      backward_sums(s);
    }
    add_weight_gradients();
  }

 private:
  // Turns pre(s, .) into the gradient of the pre-activations, and the core of `grad` into what reaches the box before
  // inner step s past them. Adds to the gradients of bias and scale.
  void backward_updates(int64_t s) const {
    const Parameters<T>& p = block.parameters;
    for (int64_t row = 0; row < b * b; ++row) {
      const int64_t z = row / b, y = row % b, cell = block.cell(row);
      const RowUpdateBackward<T, NV> update{.incoming = {},
                                            .n = b,
                                            .scale = config.gated ? nullptr : p.scale + cell,
                                            .x = config.gated ? scratch.raw(s).core_row(z, y) : nullptr,
                                            .grad = grad.core_row(z, y),
                                            .value = scratch.pre(s, 0, row),
                                            .gate = config.gated ? scratch.pre(s, 1, row) : nullptr,
                                            .grad_scale = p.grad_scale + cell,
                                            .grad_bias = p.grad_bias + cell,
                                            .grad_bias_of_gate = p.grad_bias + cells + cell};
      if (config.gated) update_gated_row_backward<T, NV>(config.activation, update);
      else update_row_backward<T, NV>(config.activation, update);
    }
  }

  // Adds to `grad` what reaches the box before inner step s through its sums.
  void backward_sums(int64_t s) const {
    const Box<T, W> inputs = scratch.inputs(s);
    BoxGradient<T, NV> standardised;
    for (int64_t row = 0; row < side * side; ++row) {
      const int64_t z = row / side, y = row % side;
      for (int i = 0; i < scratch.channels; ++i) {
        const RowNeighbours<T> near = gradient_rows(s, i, z, y);
        const T* weight = transposed + (i * side * side + row) * side * kNeighbours;
        if (config.normalize) sum_neighbours_in_box<T, NV, false>(near, weight, side, grad_inputs.row(z, y));
        else sum_neighbours_in_box<T, NV, true>(near, weight, side, grad.row(z, y));
      }
      if (config.normalize) standardised.add(grad_inputs.row(z, y), inputs.row(z, y), side);
    }
    if (config.normalize) standardised.add_raw_gradient(grad_inputs, inputs, scratch.std(s), config.eps, grad.data);
  }

  // The nine rows of pre-activation gradients around row (z, y) of the box, with their padding; null for rows without
  // cells of the block.
  ZOO_INLINE RowNeighbours<T> gradient_rows(int64_t s, int channel, int64_t z, int64_t y) const {
    RowNeighbours<T> out;
    for (int q = 0; q < 9; ++q) {
      const int64_t nz = z + q / 3 - 2, ny = y + q % 3 - 2;
      const bool has_cells = nz >= 0 && nz < b && ny >= 0 && ny < b;
      out.row[q] = has_cells ? scratch.pre(s, channel, nz * b + ny) - scratch.kPadding * W : nullptr;
    }
    return out;
  }

  // Adds the weight gradients of all inner steps at once, row by row.
  void add_weight_gradients() const {
    for (int i = 0; i < scratch.channels; ++i)
      for (int64_t row = 0; row < b * b; ++row) {
        for (int64_t s = 0; s < config.inner_steps; ++s)
          terms[s] = {rows_in_box(scratch.inputs(s), row / b + 1, row % b + 1), scratch.pre(s, i, row)};
        add_weight_gradient<T, NV>(terms, config.inner_steps, b,
                                   block.parameters.grad_weight + (i * cells + block.cell(row)) * kNeighbours);
      }
  }
};

// Adds to the gradient of row r's cells what the shells of the blocks around them collected. shells is
// [block][side^3][W]; their cores are not read.
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

}  // namespace zoo::ZOO_ISA

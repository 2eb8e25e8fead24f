// One gridnet step of one tile, block by block: for several inner steps, each of which sees the shell as it was. The
// members of a team share the blocks.
#pragma once
#include "gridnet/cpu/sample_lanes/block_backward.h"

namespace zoo::ZOO_ISA {

template <class T, int NV>
struct Blocks {
  using Scalar = T;
  using Forward = StepForward<T, NV>;
  using Backward = StepBackward<T, NV>;
  static constexpr int kVectors = NV, W = NV * kLanes<T>;
  static constexpr bool kSlides = false, kFolds = false;

  const StepConfig& config;
  T* shells;  // gradients of the blocks' shells, [block][side^3][W]; backward only
  BlockScratch<T, W> scratch;
  Box<T, W> grad_box;     // backward only, as both below
  Box<T, W> grad_inputs;  // see BlockBackward
  RowGradient<T>* terms;
  BoxMoments<T, NV> box_moments;

  static int64_t shared_size(const StepConfig& c, bool backward) {
    return backward ? count_blocks(c) * BlockScratch<T, W>(c, true, nullptr).box_size() : 0;
  }
  static int64_t own_size(const StepConfig& c, bool backward) {
    const BlockScratch<T, W> own(c, backward, nullptr);
    const int64_t term_bytes = c.inner_steps * static_cast<int64_t>(sizeof(RowGradient<T>));
    const int64_t rest = 2 * own.box_size() + term_bytes / static_cast<int64_t>(sizeof(T));
    return (own.size() + (backward ? rest : 0) + 63) / 64 * 64;
  }

  Blocks(const StepConfig& c, const Team&, T* shared, T* own, bool backward)
      : config(c),
        shells(shared),
        scratch(c, backward, own),
        grad_box{own + scratch.size(), c.block + 2},
        grad_inputs{grad_box.data + grad_box.size(), c.block + 2},
        terms(reinterpret_cast<RowGradient<T>*>(grad_inputs.data + grad_inputs.size())) {
    if (backward) scratch.clear_padding();
  }

  static int64_t held_rows(const StepConfig&, const Team&, int) { return 0; }

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
      transpose_block_weights(packed + i * block_weight_size(c), c.channels(), c.block,
                              transposed + i * block_transposed_size(c));
  }

  template <class FinishRow>
  void forward(const Forward& pass, FinishRow finish_row) {
    const int64_t b = config.block, rows = config.shape.rows(), last = pass.team.end(count_blocks(config));
    for (int64_t r = pass.team.begin(rows); r < pass.team.end(rows); ++r) pass.out.clear_padding(r);
    for (int64_t i = pass.team.begin(count_blocks(config)); i < last; ++i) {
      const Block<T, NV> block{config, pass.parameters, scratch, i};
      read_box<T, NV>(pass.in, pass.norm, block.origin, scratch.raw(0), config.normalize ? &box_moments : nullptr);
      for (int s = 0; s < config.inner_steps; ++s) {
        if (s > 0) block.update(0, 0, box_moments);
        block.sum(0, box_moments);
      }
      for (int64_t row = 0; row < b * b; ++row) {
        const int64_t cell = block.cell(row);
        block.update_row(0, row, pass.out.cell(cell), pass.moments);
        finish_row(pass.out.cell(cell), cell, b);
      }
    }
  }

  // A block starts from the gradients of all its cells, so apply_incoming comes first for all rows.
  template <class Rows>
  void backward(const Backward& pass, const Rows& rows) {
    const Team& team = pass.team;
    const int64_t begin = team.begin(config.shape.rows()), end = team.end(config.shape.rows());
    rows.prepare(begin, end);
    for (int64_t r = begin; r < end; ++r) rows.apply_incoming(r);
    team.barrier();
    for (int64_t i = team.begin(count_blocks(config)); i < team.end(count_blocks(config)); ++i) backward_block(pass, i);
    team.barrier();
    for (int64_t r = begin; r < end; ++r) {
      add_shells_row<T, W>(config, shells, r, pass.grad.row(r));
      rows.finish(r);
    }
    team.barrier();
  }

 private:
  void backward_block(const Backward& pass, int64_t i) {
    const int64_t b = config.block;
    const Block<T, NV> block{config, pass.parameters, scratch, i};
    const BlockBackward<T, NV> backward{block, grad_box, grad_inputs, terms};
    backward.run(pass.in, pass.grad, box_moments);
    copy_shell(grad_box, {shells + i * grad_box.size(), b + 2});
    for (int64_t row = 0; row < b * b; ++row)  // no other block reads the block's own cells
      std::memcpy(pass.grad.cell(block.cell(row)), grad_box.core_row(row / b, row % b), b * W * sizeof(T));
  }
};

}  // namespace zoo::ZOO_ISA

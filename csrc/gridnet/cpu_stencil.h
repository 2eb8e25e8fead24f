// One gridnet step of one tile when blocks make no difference (one inner step, no normalisation): the whole grid is
// one stencil. The members of a team share the rows.
#pragma once
#include "../workspace.h"
#include "cpu_layout.h"
#include "cpu_rows.h"
#include "cpu_update.h"

namespace zoo::ZOO_ISA {

using gridnet::StepConfig;

// One parameter set as the kernels read it; for the backward pass also the accumulated gradients. There is one channel
// (plain) or two (value, gate). `weight`, `folded` and `transposed` are packed by the kernel that reads them.
template <class T>
struct Parameters {
  const T* weight;
  const T* folded;       // `weight` with the norm's weight folded in, and its sums [channel][cell]: see FoldedSums
  const T* folded_weight_sum;
  const T* folded_bias_sum;
  const T* transposed;   // the weights with which its neighbours read a cell, backward only
  const T* bias;         // [channel][cell]
  const T* scale;        // [cell], null when gated
  T* grad_weight;        // [channel][cell][27]
  T* grad_bias;
  T* grad_scale;
};

// The nine rows around row r of a padded lane grid, each from the entry before its first cell.
template <class T, int W>
ZOO_INLINE RowNeighbours<T> neighbours_of(const LaneGrid<T, W>& grid, int64_t r) {
  const int64_t z = r / grid.shape.n, y = r % grid.shape.n;
  RowNeighbours<T> out;
  for (int q = 0; q < 9; ++q) {
    const int64_t nz = z + q / 3 - 1, ny = y + q % 3 - 1;
    const bool inside = nz >= 0 && nz < grid.shape.m && ny >= 0 && ny < grid.shape.n;
    out.row[q] = inside ? grid.row(nz * grid.shape.n + ny) - W : nullptr;
  }
  return out;
}

template <class T, int NV>
struct Stencil {
  static constexpr int W = NV * kLanes<T>;
  const StepConfig& config;
  LaneGrid<T, W> pre[2];  // pre-activations (value, gate) of the whole grid, then their gradients; backward only
  T* row_scratch;         // a row for the value, one for the gate

  // Scratch that a team shares, and that each of its members needs.
  static int64_t shared_size(const StepConfig& c, bool backward) {
    return backward ? (c.gated ? 2 : 1) * LaneGrid<T, W>{nullptr, c.shape, 1}.size() : 0;
  }
  static int64_t own_size(const StepConfig& c, bool) {
    constexpr int64_t rows = kNeighbours > 2 * W ? (kNeighbours + W - 1) / W * W : 2 * W;  // for fold() and forward()
    return rows * c.shape.k;
  }

  Stencil(const StepConfig& c, T* shared, T* own, bool) : config(c), row_scratch(own) {
    pre[0] = pre[1] = {shared, c.shape, 1};
    pre[1].data += pre[0].size();
  }

  static constexpr bool kFolds = true;  // reads `folded` where the grid is yet to be normalised
  static int64_t weight_size(const StepConfig& c) { return (c.gated ? 2 : 1) * c.shape.cells() * kNeighbours; }
  static int64_t transposed_size(const StepConfig& c) { return weight_size(c); }

  // Packs this member's part of torch's weight [27, channel, m, n, k] into [channel][cell][27].
  static void pack(const StepConfig& c, const T* weight, const Team& team, T* packed) {
    const int64_t cells = c.shape.cells(), channels = c.gated ? 2 : 1;
    for (int64_t i = 0; i < channels; ++i)
      pack_weight(weight + i * cells, channels * cells, cells, team.begin(cells), team.end(cells),
                  packed + i * cells * kNeighbours);
  }
  static void pack_transposed(const StepConfig& c, const T* weight, const T*, const Team& team, T* packed) {
    const int64_t cells = c.shape.cells(), channels = c.gated ? 2 : 1;
    for (int64_t i = 0; i < channels; ++i)
      pack_weight_transposed(weight + i * cells, channels * cells, c.shape, team.begin(cells), team.end(cells),
                             packed + i * cells * kNeighbours);
  }
  static void fold(const StepConfig& c, const T* weight, const T* bias, const T* norm_weight, const T* norm_bias,
                   const Team& team, T* folded, T* weight_sum, T* bias_sum, T* scratch) {
    const int64_t cells = c.shape.cells(), channels = c.gated ? 2 : 1, rows = c.shape.rows();
    for (int64_t i = 0; i < channels; ++i)
      pack_folded(weight + i * cells, channels * cells, bias + i * cells, norm_weight, norm_bias, c.shape, team.begin(rows),
                  team.end(rows), folded + i * cells * kNeighbours, weight_sum + i * cells, bias_sum + i * cells, scratch);
  }

  // out = step(in), or step(norm(in)) unless norm is null: this member's rows, then after(row, first cell, count) on each.
  // moments, unless null, takes in every row as it is written.
  template <class After>
  void forward(const Parameters<T>& p, const LaneGrid<T, W>& in, const Norm<T, NV>* norm, const LaneGrid<T, W>& out,
               Moments<T, NV>* moments, const Team& team, After after) {
    const int64_t rows = config.shape.rows(), k = config.shape.k, cells = config.shape.cells();
    const T* weight = norm ? p.folded : p.weight;
    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) {
      const int64_t cell = r * k;
      const RowNeighbours<T> near = neighbours_of(in, r);
      RowView<T, NV> view{norm, cell, {}};
      for (int i = 0; i < (config.gated ? 2 : 1); ++i) {
        const int64_t at = i * cells + cell;
        if (norm) view.folded[i] = {p.folded_weight_sum + at, p.folded_bias_sum + at};
        weigh_row<T, NV, false>(near, weight + at * kNeighbours, norm ? nullptr : p.bias + at, k, row_scratch + i * k * W);
      }
      if (config.gated)
        update_gated_row<T, NV>(config.activation, view, row_scratch, row_scratch + k * W, in.row(r), k, out.row(r), moments);
      else
        update_row<T, NV>(config.activation, view, row_scratch, p.scale + cell, in.row(r), k, out.row(r), moments);
      after(out.row(r), cell, k);
    }
  }

  // grad becomes the gradient of the step's input; in is what the step read, normalised where it was. Before they are read,
  // prepare(first, last) is called to fill the rows of in. Of every row r, incoming(r) makes grad hold the gradient of the
  // step's output first, and finished(r) is called last.
  template <class Prepare, class Incoming, class Finished>
  void backward(const Parameters<T>& p, const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad, const Team& team,
                Prepare prepare, Incoming incoming, Finished finished) {
    const auto pre_rows = [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        incoming(r);
        pre_row(p, in, grad, r);
      }
    };
    const auto input_rows = [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        input_row(p, in, grad, r);
        finished(r);
      }
    };
    const int64_t rows = config.shape.rows(), plane = config.shape.n;
    if (team.size > 1) {
      const int64_t begin = team.begin(rows), end = team.end(rows);
      prepare(begin, end);
      team.barrier();
      pre_rows(begin, end);
      team.barrier();
      input_rows(begin, end);
      team.barrier();
      return;
    }
    // A thread that waits for no other does the three a plane apart, while what they share is in the cache.
    for (int64_t r = 0; r < rows + 2 * plane; r += plane) {
      if (r < rows) prepare(r, r + plane);
      if (r >= plane && r - plane < rows) pre_rows(r - plane, r);
      if (r >= 2 * plane) input_rows(r - 2 * plane, r - plane);
    }
  }

 private:
  // From the gradient of row r of the step's output: pre, the gradient of its sums, and the gradients of bias and scale.
  void pre_row(const Parameters<T>& p, const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad, int64_t r) {
    const int64_t k = config.shape.k, cells = config.shape.cells(), cell = r * k;
    const RowNeighbours<T> near = neighbours_of(in, r);
    for (int i = 0; i < (config.gated ? 2 : 1); ++i) {
      const int64_t at = i * cells + cell;
      pre[i].clear_padding(r);
      weigh_row<T, NV, false>(near, p.weight + at * kNeighbours, p.bias + at, k, pre[i].row(r));
    }
    if (config.gated)
      update_gated_row_backward<T, NV>(config.activation, grad.row(r), in.row(r), k, pre[0].row(r), pre[1].row(r),
                                       grad.row(r), p.grad_bias + cell, p.grad_bias + cells + cell);
    else
      update_row_backward<T, NV>(config.activation, grad.row(r), p.scale + cell, k, pre[0].row(r), p.grad_scale + cell,
                                 p.grad_bias + cell);
  }

  // Row r of the gradient of the step's input, and the gradients of the row's weights.
  void input_row(const Parameters<T>& p, const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad, int64_t r) {
    const int64_t k = config.shape.k, cells = config.shape.cells();
    for (int i = 0; i < (config.gated ? 2 : 1); ++i) {
      const int64_t at = (i * cells + r * k) * kNeighbours;
      weigh_row<T, NV, true>(neighbours_of(pre[i], r), p.transposed + at, nullptr, k, grad.row(r));
      const RowGradient<T> tile{neighbours_of(in, r), pre[i].row(r)};
      weight_grad_row<T, NV>(&tile, 1, k, p.grad_weight + at);
    }
  }
};

}  // namespace zoo::ZOO_ISA

// One gridnet step of one tile with one inner step: the whole grid is one stencil. Blocks make no difference but for
// the statistics by which they are normalised. The members of a team share the rows.
#pragma once
#include "core/workspace.h"
#include "gridnet/cpu/layout.h"
#include "gridnet/cpu/sample_lanes/rows.h"
#include "gridnet/cpu/sample_lanes/standardise.h"
#include "gridnet/cpu/update.h"

namespace zoo::ZOO_ISA {

using gridnet::StepConfig;

// One parameter set as the kernels read it; for the backward pass also the accumulated gradients. There is one channel
// (plain) or two (value, gate). `weight`, `folded` and `transposed` are packed by the kernel that reads them.
template <class T>
struct Parameters {
  const T* weight;
  const T* folded;  // `weight` with the norm's weight folded in, and its sums [channel][cell]: see FoldedSums
  const T* folded_weight_sum;
  const T* folded_bias_sum;
  const T* transposed;  // the weights with which its neighbours read a cell, backward only
  const T* bias;        // [channel][cell]
  const T* scale;       // [cell], null when gated
  T* grad_weight;       // [channel][cell][27]
  T* grad_bias;
  T* grad_scale;
};

// The nine rows around row r of a padded lane grid, each from the entry before its first cell.
template <class T, int W>
ZOO_INLINE RowNeighbours<T> neighbours_of(const LaneGrid<T, W>& grid, int64_t r) {
  const int64_t n = grid.shape.n, z = r / n, y = r % n, slot = grid.slot(r);
  RowNeighbours<T> out;
  for (int q = 0; q < 9; ++q) {
    const int64_t dz = q / 3 - 1, dy = q % 3 - 1;
    const bool inside = z + dz >= 0 && z + dz < grid.shape.m && y + dy >= 0 && y + dy < n;
    int64_t at = slot + dz * n + dy;
    if (grid.held) at += at < 0 ? grid.held : at >= grid.held ? -grid.held : 0;
    out.row[q] = inside ? grid.in_slot(at) - W : nullptr;
  }
  return out;
}

template <class T, int NV>
struct Stencil {
  static constexpr int W = NV * kLanes<T>;
  const StepConfig& config;
  LaneGrid<T, W> pre[2];      // pre-activations (value, gate), then their gradients; backward only
  BoxStandards<T, NV> boxes;  // of blocks that are normalised
  T* row_scratch;             // a row for the value, one for the gate

  static int64_t pre_size(const StepConfig& c, bool backward) {
    return backward ? (c.gated ? 2 : 1) * LaneGrid<T, W>{nullptr, c.shape, 1}.size() : 0;
  }
  // Scratch that a team shares, and that each of its members needs.
  static int64_t shared_size(const StepConfig& c, bool backward) {
    return pre_size(c, backward) + BoxStandards<T, NV>::size(c);
  }
  static int64_t own_size(const StepConfig& c, bool) { return 2 * W * c.shape.k; }

  Stencil(const StepConfig& c, const Team& team, T* shared, T* own, bool backward)
      : config(c), boxes(c, shared + pre_size(c, backward)), row_scratch(own) {
    pre[0] = pre[1] = {shared, c.shape, 1, held_rows(c, team, 2)};
    pre[1].data += pre[0].size();
  }

  // How many rows on the last neighbour of a row lies.
  static int64_t reach(const StepConfig& c) { return c.shape.n + 1; }

  // Rows of a grid that backward() needs at a time when it is read by passes up to `passes` behind the one that writes
  // it.
  static int64_t held_rows(const StepConfig& c, const Team& team, int passes) {
    const int64_t rows = c.shape.rows(), held = passes * reach(c) + 1;
    return team.size > 1 || held >= rows ? 0 : held;
  }

  static constexpr bool kSlides = true;  // forward() may write the grid that it reads, two planes off
  static constexpr bool kFolds = true;   // reads `folded` where the grid is yet to be normalised
  static int64_t taps_size(const StepConfig& c) { return (c.gated ? 2 : 1) * c.shape.cells() * kNeighbours; }
  static int64_t transposed_size(const StepConfig& c) { return taps_size(c); }
  // The taps, and where blocks are normalised each cell's sum of them as torch has them.
  static int64_t weight_size(const StepConfig& c) { return taps_size(c) + (c.normalize ? c.shape.cells() : 0); }

  // Packs this member's part of torch's weight [27, channel, m, n, k] into [channel][cell][27].
  static void pack(const StepConfig& c, const T* weight, const Team& team, T* packed) {
    const int64_t cells = c.shape.cells(), channels = c.gated ? 2 : 1;
    for (int64_t i = 0; i < channels; ++i)
      pack_weight(weight + i * cells, channels * cells, team.begin(cells), team.end(cells),
                  packed + i * cells * kNeighbours);
    if (c.normalize) add_up_taps(weight, cells, team.begin(cells), team.end(cells), packed + taps_size(c));
  }
  static void pack_transposed(const StepConfig& c, const T* weight, const T*, const Team& team, T* packed) {
    const int64_t cells = c.shape.cells(), channels = c.gated ? 2 : 1;
    for (int64_t i = 0; i < channels; ++i)
      pack_weight_transposed(weight + i * cells, channels * cells, c.shape, team.begin(cells), team.end(cells),
                             packed + i * cells * kNeighbours);
  }
  static void fold(const StepConfig& c, const T* weight, const T* bias, const T* norm_weight, const T* norm_bias,
                   const Team& team, T* folded, T* weight_sum, T* bias_sum) {
    const int64_t cells = c.shape.cells(), channels = c.gated ? 2 : 1, rows = c.shape.rows();
    for (int64_t i = 0; i < channels; ++i)
      pack_folded(weight + i * cells, channels * cells, c.normalize ? nullptr : bias + i * cells, norm_weight,
                  norm_bias, c.shape, team.begin(rows), team.end(rows), folded + i * cells * kNeighbours,
                  weight_sum + i * cells, bias_sum + i * cells);
    if (c.normalize) add_up_taps(weight, cells, team.begin(cells), team.end(cells), folded + taps_size(c));
  }

  // out = step(in), or step(norm(in)) unless norm is null: this member's rows, then after(row, first cell, count) on
  // each. moments, unless null, takes in every row as it is written. out may be in, slid by two planes: planes are
  // taken in falling order where it slides on. (Rows always rise: processors fetch ahead of rising addresses better.)
  template <class After>
  void forward(const Parameters<T>& p, const LaneGrid<T, W>& in, const Norm<T, NV>* norm, const LaneGrid<T, W>& out,
               Moments<T, NV>* moments, const Team& team, After after) {
    const int64_t m = config.shape.m, n = config.shape.n, k = config.shape.k, cells = config.shape.cells();
    const int64_t begin = team.begin(m * n), end = team.end(m * n);
    const bool falling = out.data > in.data && out.data < in.data + in.size();
    const T* weight = norm ? p.folded : p.weight;
    if (config.normalize) boxes.measure(in, norm, team);
    for (int64_t i = 0; i < m; ++i) {
      const int64_t z = falling ? m - 1 - i : i, ahead = falling ? -n : n;
      const int64_t first = begin > z * n ? begin : z * n, last = end < (z + 1) * n ? end : (z + 1) * n;
      for (int64_t r = first; r < last; ++r) {
        const int64_t cell = r * k;
        const RowNeighbours<T> near = neighbours_of(in, r);
        RowView<T, NV> view{norm, cell, {}};
        out.clear_padding(r);
        prefetch_for(weight, in, r + 1, r + 2 + ahead);
        for (int i = 0; i < (config.gated ? 2 : 1); ++i) {
          const int64_t at = i * cells + cell;
          if (norm) view.folded[i] = {p.folded_weight_sum + at, p.folded_bias_sum + at};
          const T* bias = norm || config.normalize ? nullptr : p.bias + at;
          weigh_row<T, NV, false>(near, weight + at * kNeighbours, bias, k, row_scratch + i * k * W);
        }
        if (config.gated)
          update_gated_row<T, NV>(config.activation, view, row_scratch, row_scratch + k * W, in.row(r), k, out.row(r),
                                  moments);
        else if (config.normalize)
          update_boxed_row(p, weight + taps_size(config) + cell, view, r, in.row(r), out.row(r), moments);
        else update_row<T, NV>(config.activation, view, row_scratch, p.scale + cell, in.row(r), k, out.row(r), moments);
        after(out.row(r), cell, k);
      }
    }
  }

  // grad becomes the gradient of the step's input; in is what the step read, normalised where it was. Before they are
  // read, prepare(first, last) is called to fill the rows of in, more than once where only some are held at a time.
  // incoming.row(r, row r of in) says how the gradient of row r of the step's output comes in; finished(r) is called
  // last.
  template <class Prepare, class Incoming, class Finished>
  void backward(const Parameters<T>& p, const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad, const Team& team,
                Prepare prepare, Incoming incoming, Finished finished) {
    if (!config.normalize) return through_step(p, in, grad, team, prepare, incoming, finished);
    each_prepared(team, prepare, [&](int64_t r) { boxes.measure_row(in, nullptr, r); });
    boxes.finish_measures(team);
    through_step(p, in, grad, team, prepare, incoming, [](int64_t) {});
    boxes.finish_gradients(team);
    each_prepared(team, prepare, [&](int64_t r) {
      boxes.take_from_gradient(r, in.row(r), grad.row(r), row_scratch);
      finished(r);
    });
    team.barrier();
  }

 private:
  // The same, the boxes' statistics taken as constant where blocks are normalised.
  template <class Prepare, class Incoming, class Finished>
  void through_step(const Parameters<T>& p, const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad, const Team& team,
                    Prepare prepare, Incoming incoming, Finished finished) {
    const auto pre_rows = [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) pre_row(p, in, grad, incoming.row(r, in.row(r)), r);
    };
    const auto input_rows = [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        input_row(p, in, grad, r);
        finished(r);
      }
    };
    const int64_t rows = config.shape.rows();
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
    // A thread that waits for no other does the three as close behind one another as neighbours allow, while what they
    // share is in the cache.
    const int64_t lag = reach(config);
    for (int64_t r = 0; r < rows + 2 * lag; ++r) {
      if (r < rows) prepare(r, r + 1);
      if (r >= lag && r - lag < rows) pre_rows(r - lag, r - lag + 1);
      if (r >= 2 * lag) input_rows(r - 2 * lag, r - 2 * lag + 1);
    }
  }

  // Calls f(r) for this member's rows, one prepared at a time.
  template <class Prepare, class F>
  void each_prepared(const Team& team, Prepare prepare, F f) const {
    for (int64_t r = team.begin(config.shape.rows()); r < team.end(config.shape.rows()); ++r) {
      prepare(r, r + 1);
      f(r);
    }
  }

  // update_row for row r, block by block; total: the sums of its cells' weights.
  void update_boxed_row(const Parameters<T>& p, const T* total, RowView<T, NV> view, int64_t r, const T* x, T* out,
                        Moments<T, NV>* moments) const {
    const int64_t b = config.block, cell = r * config.shape.k;
    for (int64_t bx = 0, at = 0; bx < config.shape.k / b; ++bx, at += b) {
      const BoxedSums<T, NV> sums = boxes.boxed_sums(r, bx, view.norm, total, p.bias + cell);
      RowView<T, NV> part{view.norm, cell + at, {}, &sums};
      if (view.norm) part.folded[0] = {view.folded[0].weight + at, view.folded[0].bias + at};
      update_row<T, NV>(config.activation, part, row_scratch + at * W, p.scale + cell + at, x + at * W, b, out + at * W,
                        moments);
    }
  }

  // Fetches the weights of row r, and row `ahead` of the grid.
  void prefetch_for(const T* weight, const LaneGrid<T, W>& in, int64_t r, int64_t ahead) const {
    const int64_t rows = config.shape.rows(), k = config.shape.k, cells = config.shape.cells();
    if (r >= 0 && r < rows)
      for (int i = 0; i < (config.gated ? 2 : 1); ++i)
        prefetch_run(weight + (i * cells + r * k) * kNeighbours, k * kNeighbours);
    if (ahead >= 0 && ahead < rows) prefetch_run(in.row(ahead), k * W);
  }

  // From the gradient of row r of the step's output: pre, the gradient of its sums, and the gradients of bias and
  // scale.
  void pre_row(const Parameters<T>& p, const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad,
               const IncomingRow<T, NV>& incoming, int64_t r) {
    const int64_t k = config.shape.k, cells = config.shape.cells(), cell = r * k;
    const RowNeighbours<T> near = neighbours_of(in, r);
    for (int i = 0; i < (config.gated ? 2 : 1); ++i) {
      const int64_t at = i * cells + cell;
      pre[i].clear_padding(r);
      weigh_row<T, NV, false>(near, p.weight + at * kNeighbours, config.normalize ? nullptr : p.bias + at, k,
                              pre[i].row(r));
    }
    const T* total = p.weight + taps_size(config) + cell;
    if (config.normalize) boxes.finish_sums(r, total, p.bias + cell, pre[0].row(r), row_scratch);
    if (config.gated)
      update_gated_row_backward<T, NV>(config.activation, incoming, grad.row(r), in.row(r), k, pre[0].row(r),
                                       pre[1].row(r), p.grad_bias + cell, p.grad_bias + cells + cell);
    else
      update_row_backward<T, NV>(config.activation, incoming, grad.row(r), p.scale + cell, k, pre[0].row(r),
                                 p.grad_scale + cell, p.grad_bias + cell);
    if (config.normalize) boxes.through_sums(r, total, row_scratch, pre[0].row(r), p.grad_weight + cell * kNeighbours);
  }

  // Row r of the gradient of the step's input, and the gradients of the row's weights.
  void input_row(const Parameters<T>& p, const LaneGrid<T, W>& in, const LaneGrid<T, W>& grad, int64_t r) {
    const int64_t k = config.shape.k, cells = config.shape.cells();
    for (int i = 0; i < (config.gated ? 2 : 1); ++i) {
      const int64_t at = (i * cells + r * k) * kNeighbours;
      weigh_row<T, NV, true>(neighbours_of(pre[i], r), p.transposed + at, nullptr, k, grad.row(r));
      const T* grad_pre = config.normalize ? boxes.weights_gradient(r, pre[i].row(r), row_scratch) : pre[i].row(r);
      const RowGradient<T> tile{neighbours_of(in, r), grad_pre};
      weight_grad_row<T, NV>(&tile, 1, k, p.grad_weight + at);
    }
  }
};

}  // namespace zoo::ZOO_ISA

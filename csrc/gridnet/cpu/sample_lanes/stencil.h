// One gridnet step of one tile with one inner step: the whole grid is one stencil. Blocks matter only for the
// statistics that standardise them. The members of a team share the rows.
#pragma once
#include "gridnet/cpu/sample_lanes/rows.h"
#include "gridnet/cpu/sample_lanes/standardise_backward.h"
#include "gridnet/cpu/sample_lanes/step.h"
#include "gridnet/cpu/sample_lanes/update.h"

namespace zoo::ZOO_ISA {

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
  using Scalar = T;
  using Forward = StepForward<T, NV>;
  using Backward = StepBackward<T, NV>;
  static constexpr int kVectors = NV, W = NV * kLanes<T>;
  static constexpr bool kSlides = true, kFolds = true;

  const StepConfig& config;
  LaneGrid<T, W> pre[2];       // pre-activations (value, gate), then their gradients; backward only
  BoxStatistics<T, NV> boxes;  // only if blocks are standardised
  T* row_scratch;              // a row for the value and one for the gate

  static int64_t pre_size(const StepConfig& c, bool backward) {
    return backward ? c.channels() * LaneGrid<T, W>{nullptr, c.shape, 1}.size() : 0;
  }
  static int64_t shared_size(const StepConfig& c, bool backward) {
    return pre_size(c, backward) + BoxStatistics<T, NV>::size(c);
  }
  static int64_t own_size(const StepConfig& c, bool) { return 2 * W * c.shape.k; }

  Stencil(const StepConfig& c, const Team& team, T* shared, T* own, bool backward)
      : config(c), boxes(c, shared + pre_size(c, backward)), row_scratch(own) {
    pre[0] = pre[1] = {shared, c.shape, 1, held_rows(c, team, 2)};
    pre[1].data += pre[0].size();
  }

  // The distance in rows from a row to its last neighbour.
  static int64_t reach(const StepConfig& c) { return c.shape.n + 1; }
  static int64_t held_rows(const StepConfig& c, const Team& team, int passes) {
    const int64_t rows = c.shape.rows(), held = passes * reach(c) + 1;
    return team.size > 1 || held >= rows ? 0 : held;
  }

  static int64_t taps_size(const StepConfig& c) { return c.channels() * c.shape.cells() * kNeighbours; }
  static int64_t transposed_size(const StepConfig& c) { return taps_size(c); }
  // The taps [channel][cell][27] and, if blocks are standardised, the sum of each cell's taps before any folding.
  static int64_t weight_size(const StepConfig& c) { return taps_size(c) + (c.normalize ? c.shape.cells() : 0); }

  static TorchTaps<const T> taps_of(const StepConfig& c, const T* weight, int channel) {
    return {weight + channel * c.shape.cells(), c.channels() * c.shape.cells()};
  }
  static void pack(const StepConfig& c, const T* weight, const Team& team, T* packed) {
    const int64_t cells = c.shape.cells(), begin = team.begin(cells), end = team.end(cells);
    for (int i = 0; i < c.channels(); ++i)
      pack_weight(taps_of(c, weight, i), begin, end, packed + i * cells * kNeighbours);
    if (c.normalize) add_up_taps(taps_of(c, weight, 0), begin, end, packed + taps_size(c));
  }
  static void pack_transposed(const StepConfig& c, const T* weight, const T*, const Team& team, T* transposed) {
    const int64_t cells = c.shape.cells();
    for (int i = 0; i < c.channels(); ++i)
      pack_weight_transposed(taps_of(c, weight, i), c.shape, team.begin(cells), team.end(cells),
                             transposed + i * cells * kNeighbours);
  }
  static void fold(const StepConfig& c, const FoldArgs<T>& args, const Team& team) {
    const int64_t cells = c.shape.cells(), rows = c.shape.rows();
    for (int i = 0; i < c.channels(); ++i) {
      const Folding<T> channel{.weight = taps_of(c, args.weight, i),
                               .bias = c.normalize ? nullptr : args.bias + i * cells,
                               .norm_weight = args.norm_weight,
                               .norm_bias = args.norm_bias,
                               .packed = args.folded + i * cells * kNeighbours,
                               .weight_sum = args.weight_sum + i * cells,
                               .bias_sum = args.bias_sum + i * cells};
      pack_folded(channel, c.shape, team.begin(rows), team.end(rows));
    }
    if (c.normalize)
      add_up_taps(taps_of(c, args.weight, 0), team.begin(cells), team.end(cells), args.folded + taps_size(c));
  }

  // Where `out` is `in` moved towards higher addresses, planes are taken in falling order. Rows rise within a plane in
  // either case: processors prefetch rising addresses better.
  template <class FinishRow>
  void forward(const Forward& pass, FinishRow finish_row) {
    const int64_t m = config.shape.m, n = config.shape.n;
    const int64_t begin = pass.team.begin(m * n), end = pass.team.end(m * n);
    const bool falling = pass.out.data > pass.in.data && pass.out.data < pass.in.data + pass.in.size();
    if (config.normalize) boxes.measure(pass.in, pass.norm, pass.team);
    for (int64_t i = 0; i < m; ++i) {
      const int64_t z = falling ? m - 1 - i : i, ahead = falling ? -n : n;
      const int64_t first = begin > z * n ? begin : z * n, last = end < (z + 1) * n ? end : (z + 1) * n;
      for (int64_t r = first; r < last; ++r) {
        pass.out.clear_padding(r);
        prefetch_for(pass, r + 1, r + 2 + ahead);
        forward_row(pass, r);
        finish_row(pass.out.row(r), r * config.shape.k, config.shape.k);
      }
    }
  }

  template <class Rows>
  void backward(const Backward& pass, const Rows& rows) {
    const auto finish = [&](int64_t r) ZOO_INLINE_LAMBDA { rows.finish(r); };
    if (!config.normalize) return through_step(pass, rows, finish);
    const BoxBackward<T, NV> through_boxes{boxes};
    each_prepared(pass.team, rows, [&](int64_t r) { boxes.measure_row(pass.in, nullptr, r); });
    boxes.finish_measures(pass.team);
    through_step(pass, rows, [](int64_t) {});
    through_boxes.finish_gradients(pass.team);
    each_prepared(pass.team, rows, [&](int64_t r) {
      through_boxes.subtract_from_gradient(r, pass.in.row(r), pass.grad.row(r), row_scratch);
      finish(r);
    });
    pass.team.barrier();
  }

 private:
  static const T* forward_weight(const Forward& pass) {
    return pass.norm ? pass.parameters.folded : pass.parameters.weight;
  }

  // Prefetches the weights of row r, and row `ahead` of the grid.
  void prefetch_for(const Forward& pass, int64_t r, int64_t ahead) const {
    const int64_t rows = config.shape.rows(), k = config.shape.k, cells = config.shape.cells();
    if (r >= 0 && r < rows)
      for (int i = 0; i < config.channels(); ++i)
        prefetch_run(forward_weight(pass) + (i * cells + r * k) * kNeighbours, k * kNeighbours);
    if (ahead >= 0 && ahead < rows) prefetch_run(pass.in.row(ahead), k * W);
  }

  void forward_row(const Forward& pass, int64_t r) {
    const int64_t k = config.shape.k, cells = config.shape.cells(), cell = r * k;
    const Parameters<T>& p = pass.parameters;
    const T* weight = forward_weight(pass);
    const RowNeighbours<T> near = neighbours_of(pass.in, r);
    RowView<T, NV> view{pass.norm, cell, {}};
    for (int i = 0; i < config.channels(); ++i) {
      const int64_t at = i * cells + cell;
      if (pass.norm) view.folded[i] = {p.folded_weight_sum + at, p.folded_bias_sum + at};
      const T* bias = pass.norm || config.normalize ? nullptr : p.bias + at;
      sum_neighbours<T, NV, false>(near, weight + at * kNeighbours, bias, k, row_scratch + i * k * W);
    }
    const RowUpdate<T, NV> row{.view = view,
                               .values = row_scratch,
                               .gates = row_scratch + k * W,
                               .scale = config.gated ? nullptr : p.scale + cell,
                               .x = pass.in.row(r),
                               .n = k,
                               .out = pass.out.row(r),
                               .moments = pass.moments};
    if (config.gated) update_gated_row<T, NV>(config.activation, row);
    else if (config.normalize) update_boxed_row(p, weight + taps_size(config) + cell, row, r);
    else update_row<T, NV>(config.activation, row);
  }

  // update_row for row r, block by block. `total` has the sums of its cells' weights.
  void update_boxed_row(const Parameters<T>& p, const T* total, const RowUpdate<T, NV>& row, int64_t r) const {
    const int64_t b = config.block, cell = r * config.shape.k;
    const RowView<T, NV>& view = row.view;
    for (int64_t bx = 0, at = 0; bx < config.shape.k / b; ++bx, at += b) {
      const BoxedSums<T, NV> sums = boxes.boxed_sums(r, bx, view.norm, total, p.bias + cell);
      RowUpdate<T, NV> part{.view = {view.norm, cell + at, {}, &sums},
                            .values = row.values + at * W,
                            .gates = nullptr,
                            .scale = row.scale + at,
                            .x = row.x + at * W,
                            .n = b,
                            .out = row.out + at * W,
                            .moments = row.moments};
      if (view.norm) part.view.folded[0] = {view.folded[0].weight + at, view.folded[0].bias + at};
      update_row<T, NV>(config.activation, part);
    }
  }

  // The backward pass with the boxes' statistics taken as constants. finish(r) is called when row r is done.
  template <class Rows, class Finish>
  void through_step(const Backward& pass, const Rows& rows, Finish finish) {
    const Team& team = pass.team;
    const auto backward_pre_rows = [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) backward_pre_row(pass, rows.incoming(r, pass.in.row(r)), r);
    };
    const auto backward_input_rows = [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        backward_input_row(pass, r);
        finish(r);
      }
    };
    const int64_t count = config.shape.rows();
    if (team.size > 1) {
      const int64_t begin = team.begin(count), end = team.end(count);
      rows.prepare(begin, end);
      team.barrier();
      backward_pre_rows(begin, end);
      team.barrier();
      backward_input_rows(begin, end);
      team.barrier();
      return;
    }
    // A thread without others to wait for runs the three passes as close together as the neighbours allow, so that they
    // find each other's rows in the cache.
    const int64_t lag = reach(config);
    for (int64_t r = 0; r < count + 2 * lag; ++r) {
      if (r < count) rows.prepare(r, r + 1);
      if (r >= lag && r - lag < count) backward_pre_rows(r - lag, r - lag + 1);
      if (r >= 2 * lag) backward_input_rows(r - 2 * lag, r - 2 * lag + 1);
    }
  }

  // Calls f(r) for this member's rows, and prepares each first.
  template <class Rows, class F>
  void each_prepared(const Team& team, const Rows& rows, F f) const {
    for (int64_t r = team.begin(config.shape.rows()); r < team.end(config.shape.rows()); ++r) {
      rows.prepare(r, r + 1);
      f(r);
    }
  }

  // From the gradient of row r of the step's output to that of its sums, in `pre`, and those of bias and scale.
  void backward_pre_row(const Backward& pass, const IncomingRow<T, NV>& incoming, int64_t r) {
    const int64_t k = config.shape.k, cells = config.shape.cells(), cell = r * k;
    const Parameters<T>& p = pass.parameters;
    const RowNeighbours<T> near = neighbours_of(pass.in, r);
    for (int i = 0; i < config.channels(); ++i) {
      const int64_t at = i * cells + cell;
      pre[i].clear_padding(r);
      sum_neighbours<T, NV, false>(near, p.weight + at * kNeighbours, config.normalize ? nullptr : p.bias + at, k,
                                   pre[i].row(r));
    }
    const BoxBackward<T, NV> through_boxes{boxes};
    const T* total = p.weight + taps_size(config) + cell;
    if (config.normalize) through_boxes.finish_sums(r, total, p.bias + cell, pre[0].row(r), row_scratch);
    const RowUpdateBackward<T, NV> row{.incoming = incoming,
                                       .n = k,
                                       .scale = config.gated ? nullptr : p.scale + cell,
                                       .x = pass.in.row(r),
                                       .grad = pass.grad.row(r),
                                       .value = pre[0].row(r),
                                       .gate = pre[1].row(r),
                                       .grad_scale = p.grad_scale + cell,
                                       .grad_bias = p.grad_bias + cell,
                                       .grad_bias_of_gate = p.grad_bias + cells + cell};
    if (config.gated) update_gated_row_backward<T, NV>(config.activation, row);
    else update_row_backward<T, NV>(config.activation, row);
    if (config.normalize)
      through_boxes.backward_sums(r, total, row_scratch, pre[0].row(r), p.grad_weight + cell * kNeighbours);
  }

  // Row r of the gradient of what the step read, and the gradients of the row's weights.
  void backward_input_row(const Backward& pass, int64_t r) {
    const int64_t k = config.shape.k, cells = config.shape.cells();
    for (int i = 0; i < config.channels(); ++i) {
      const int64_t at = (i * cells + r * k) * kNeighbours;
      sum_neighbours<T, NV, true>(neighbours_of(pre[i], r), pass.parameters.transposed + at, nullptr, k,
                                  pass.grad.row(r));
      const T* grad_pre =
          config.normalize ? BoxBackward<T, NV>{boxes}.weights_gradient(r, pre[i].row(r), row_scratch) : pre[i].row(r);
      const RowGradient<T> term{neighbours_of(pass.in, r), grad_pre};
      add_weight_gradient<T, NV>(&term, 1, k, pass.parameters.grad_weight + at);
    }
  }
};

}  // namespace zoo::ZOO_ISA

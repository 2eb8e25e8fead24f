// The whole evolution of one tile of samples by one team: steps with a LayerNorm between, forward and backward, the
// activations staying in lane layout throughout. Step is Stencil or Blocks.
#pragma once
#include "gridnet/cpu/norm.h"
#include "gridnet/cpu/sample_lanes/blocks_backward.h"

namespace zoo::ZOO_ISA {

using gridnet::EvolveConfig;

template <class T, int NV, template <class, int> class Step>
struct Evolution {
  static constexpr int W = NV * kLanes<T>;
  using Grid = LaneGrid<T, W>;
  using Stats = NormStats<T, NV>;

  const EvolveConfig& config;
  const Team& team;
  Step<T, NV> step;
  const Parameters<T>* parameters;  // of each set
  const T* norm_weight;
  const T* norm_bias;
  T* grad_norm_weight;  // backward only
  T* grad_norm_bias;
  Grid normed;                 // padded; rows of a grid after its LayerNorm
  Grid carried;                // the gradient that passes a step by; backward with outer_residual
  Moments<T, NV>* moments[2];  // partial results of each member, for the grids before even and odd steps: while one
  NormSums<T, NV>* sums[2];    // member still reads those of one step, another may begin with the next

  const Parameters<T>& parameters_of(int s) const { return parameters[config.separate ? s : 0]; }
  int64_t row_cells() const { return config.step.shape.k; }
  int64_t first_row() const { return team.begin(config.step.shape.rows()); }
  int64_t last_row() const { return team.end(config.step.shape.rows()); }
  Norm<T, NV> norm(Stats stats) const { return {stats, norm_weight, norm_bias}; }

  // Rows that are moved at a time between samples and lanes: enough cells for kCellsPerMove.
  int64_t rows_per_move() const { return (kCellsPerMove + row_cells() - 1) / row_cells(); }

  // Reads samples into a grid; gives its statistics unless stats is null.
  void fill(const T* samples, int64_t count, const Grid& grid, const Stats* stats) {
    const int64_t k = row_cells(), last = last_row(), step = rows_per_move();
    moments[0][team.rank].clear();
    for (int64_t first = first_row(); first < last; first += step) {
      const int64_t behind = first + step < last ? first + step : last;
      samples_to_lanes<T, W>(samples, count, first * k, behind * k, grid);
      for (int64_t r = first; r < behind; ++r) {
        if (grid.pad) grid.clear_padding(r);
        if (stats) moments[0][team.rank].add_row(grid.row(r), k);
      }
    }
    team.barrier();
    if (stats) stats->set(moments[0], team.size, config.norm_eps);
  }

  // Writes this member's cells of the evolution's output, which is the grid x or, with its statistics, norm(x).
  void write(const Grid& x, const Stats* stats, int64_t count, T* samples) {
    const int64_t k = row_cells(), last = last_row(), step = rows_per_move();
    for (int64_t first = first_row(); first < last; first += step) {
      const int64_t behind = first + step < last ? first + step : last;
      Grid rows = x;
      if (stats) {
        // This member's first rows of `normed` every time: they stay in the cache.
        rows.data = normed.data + (first_row() - first) * rows.row_entries() * W;
        for (int64_t r = first; r < behind; ++r) norm_row<T, NV>(norm(*stats), x.row(r), r * k, k, rows.row(r));
      }
      lanes_to_samples<T, W>(rows, count, first * k, behind * k, samples);
    }
  }

  // next = the grid after step s on x, with statistics in `before`; `after`, unless null, becomes those of next.
  void advance(int s, const Grid& x, Stats before, const Grid& next, const Stats* after) {
    const Norm<T, NV> reading = norm(before);
    Moments<T, NV>* all = moments[(s + 1) % 2];
    Moments<T, NV>& own = all[team.rank];
    own.clear();
    const auto finish_row = [&](T* row, int64_t cell, int64_t n) {
      if (!config.outer_residual) return;
      const T* from = x.cell(cell);
      for (int64_t k = 0; k < n; ++k)
        for (int i = 0; i < W; i += kLanes<T>) {
          T* to = row + k * W + i;
          store(to, load(from + k * W + i) + (load(to) - reading.apply(from + k * W, i, cell + k)));
        }
      if (after) own.add_row(row, n);
    };
    step.forward(parameters_of(s), x, config.normalises(s) ? &reading : nullptr, next,
                 after && !config.outer_residual ? &own : nullptr, team, finish_row);
    team.barrier();
    if (after) after->set(all, team.size, config.norm_eps);
  }

  // Before the first backward(): grad is the gradient of norm(x), the evolution's output.
  void backward_output(const Grid& x, Stats stats, const Grid& grad) {
    const int64_t k = row_cells();
    NormSums<T, NV>& own = sums[config.outer_steps % 2][team.rank];
    own.clear();
    for (int64_t r = first_row(); r < last_row(); ++r)
      norm_row_sums<T, NV>(norm(stats), grad.row(r), x.row(r), r * k, k, own, grad_norm_weight, grad_norm_bias);
    team.barrier();
  }

  // Row r of the gradient of grid x_s, which is x, out of that of norm(x_s) and of what reached it past that.
  void through_norm(int s, const Grid& x, Stats stats, const NormSums<T, NV>& total, const Grid& grad, int64_t r) {
    const int64_t k = row_cells();
    norm_row_backward<T, NV>(norm(stats), total, config.step.shape.cells(), x.row(r), r * k,
                             passed_by(s) ? carried.row(r) : nullptr, k, grad.row(r));
  }

  // Whether grid x_s also reaches the one after it past step s.
  bool passed_by(int s) const { return config.outer_residual && s < config.outer_steps; }

  // How the gradient of the grid `after` step s comes in, row by row.
  struct Incoming {
    Evolution& evolution;
    int s;
    const Grid &x, after, grad;
    Stats stats;  // of `after`
    const NormSums<T, NV> total;
    const bool through = evolution.config.behind_norm(s + 1);
    const Norm<T, NV> norm = evolution.norm(stats);

    // grad becomes the gradient of row r.
    void operator()(int64_t r) const {
      if (through) evolution.through_norm(s + 1, after, stats, total, grad, r);
      if (evolution.config.outer_residual)
        std::memcpy(evolution.carried.row(r), grad.row(r), evolution.row_cells() * W * sizeof(T));
    }
    // z is the row as step s read it.
    IncomingRow<T, NV> row(int64_t r, const T* z) const {
      const bool residual = evolution.config.outer_residual;
      T* passing = residual ? evolution.carried.row(r) : nullptr;
      return {through ? &norm : nullptr,
              &total,
              T(1) / static_cast<T>(evolution.config.step.shape.cells()),
              r * evolution.row_cells(),
              residual ? x.row(r) : z,
              evolution.passed_by(s + 1) ? passing : nullptr,
              passing};
    }
  };

  // grad: the gradient of what was read of the grid `after` step s, becomes that of what step s read of x.
  void backward(int s, const Grid& x, Stats stats, const Grid& after, Stats after_stats, const Grid& grad) {
    const int64_t k = row_cells();
    const bool normed_here = config.normalises(s);
    NormSums<T, NV>& own = sums[s % 2][team.rank];
    const Incoming incoming{
        *this, s, x, after, grad, after_stats, config.behind_norm(s + 1) ? combined_sums(s + 1) : NormSums<T, NV>{}};
    own.clear();
    const auto prepare = [&](int64_t first, int64_t last) {
      if (normed_here)
        for (int64_t r = first; r < last; ++r) {
          norm_row<T, NV>(norm(stats), x.row(r), r * k, k, normed.row(r));
          normed.clear_padding(r);
        }
    };
    const auto finished = [&](int64_t r) {
      T* g = grad.row(r);
      if (config.outer_residual)  // x + step(z) - z
        for (int64_t i = 0; i < k * W; i += kLanes<T>) store(g + i, load(g + i) - load(carried.row(r) + i));
      if (normed_here) norm_row_sums<T, NV>(norm(stats), g, x.row(r), r * k, k, own, grad_norm_weight, grad_norm_bias);
    };
    step.backward(parameters_of(s), normed_here ? normed : x, grad, team, prepare, incoming, finished);
  }

  // After the last backward(): grad becomes the gradient of the evolution's input x.
  void backward_input(const Grid& x, Stats stats, const Grid& grad) {
    if (!config.behind_norm(0)) return;
    const NormSums<T, NV> total = combined_sums(0);
    for (int64_t r = first_row(); r < last_row(); ++r) through_norm(0, x, stats, total, grad, r);
  }

  NormSums<T, NV> combined_sums(int s) const {
    NormSums<T, NV> total;
    total.clear();
    for (int i = 0; i < team.size; ++i) total.add(sums[s % 2][i]);
    return total;
  }
};

}  // namespace zoo::ZOO_ISA

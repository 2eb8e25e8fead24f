// The evolution of one tile of samples by one team: steps with a LayerNorm between them, forward and backward.
// Activations stay in lanes from the first step to the last.
#pragma once
#include "gridnet/cpu/sample_lanes/step.h"

namespace zoo::ZOO_ISA {

// A grid and, where it is read through the LayerNorm, its statistics.
template <class T, int NV>
struct StatedGrid {
  LaneGrid<T, NV * kLanes<T>> grid;
  NormStats<T, NV> stats;
};

template <Step S>
struct Evolution {
  using T = typename S::Scalar;
  static constexpr int NV = S::kVectors, W = NV * kLanes<T>;
  using Grid = LaneGrid<T, W>;
  using Stats = NormStats<T, NV>;
  using State = StatedGrid<T, NV>;

  const EvolveConfig& config;
  const Team& team;
  S step;
  const Parameters<T>* parameters;  // of each set
  const T* norm_weight;
  const T* norm_bias;
  NormGrads<T> norm_grads;  // backward only
  Grid normed;              // padded; rows of a grid after its LayerNorm
  Grid carried;             // the gradient that bypasses a step; backward with outer_residual
  // Partial results of each member, for grids with even and odd numbers: one member may begin with a grid while another
  // still reads those of the grid before it.
  Moments<T, NV>* moments[2];
  NormSums<T, NV>* sums[2];

  const Parameters<T>& parameters_of(int s) const { return parameters[config.separate ? s : 0]; }
  int64_t row_cells() const { return config.step.shape.k; }
  int64_t first_row() const { return team.begin(config.step.shape.rows()); }
  int64_t last_row() const { return team.end(config.step.shape.rows()); }
  Norm<T, NV> norm(Stats stats) const { return {stats, norm_weight, norm_bias}; }

  // Rows that move at a time between samples and lanes: enough cells for kCellsPerMove.
  int64_t rows_per_move() const { return (kCellsPerMove + row_cells() - 1) / row_cells(); }

  // Reads samples into a grid. `stats`, unless null, becomes its statistics.
  void fill(const T* samples, int64_t count, const Grid& grid, const Stats* stats) {
    const int64_t k = row_cells(), last = last_row(), step = rows_per_move();
    moments[0][team.rank].clear();
    for (int64_t first = first_row(); first < last; first += step) {
      const int64_t end = first + step < last ? first + step : last;
      samples_to_lanes<T, W>(samples, count, first * k, end * k, grid);
      for (int64_t r = first; r < end; ++r) {
        if (grid.pad) grid.clear_padding(r);
        if (stats) moments[0][team.rank].add_row(grid.row(r), k);
      }
    }
    team.barrier();
    if (stats) stats->set(moments[0], team.size, config.norm_eps);
  }

  // Writes this member's cells of the evolution's output: the grid x or, given its statistics, norm(x).
  void write(const Grid& x, const Stats* stats, int64_t count, T* samples) {
    const int64_t k = row_cells(), last = last_row(), step = rows_per_move();
    for (int64_t first = first_row(); first < last; first += step) {
      const int64_t end = first + step < last ? first + step : last;
      Grid rows = x;
      if (stats) {
        // Always the same rows of `normed`, this member's first ones, so that they stay in the cache.
        rows.data = normed.data + (first_row() - first) * rows.row_entries() * W;
        for (int64_t r = first; r < end; ++r) norm_row<T, NV>(norm(*stats), x.row(r), r * k, k, rows.row(r));
      }
      lanes_to_samples<T, W>(rows, count, first * k, end * k, samples);
    }
  }

  // Step s: writes grid s + 1, `next`, from grid s. `next_stats`, unless null, becomes the statistics of `next`.
  void advance(int s, const State& x, const Grid& next, const Stats* next_stats) {
    const Norm<T, NV> reading = norm(x.stats);
    Moments<T, NV>* all = moments[(s + 1) % 2];
    Moments<T, NV>& own = all[team.rank];
    own.clear();
    const auto finish_row = [&](T* row, int64_t cell, int64_t n) {
      if (!config.outer_residual) return;
      const T* from = x.grid.cell(cell);
      for (int64_t k = 0; k < n; ++k)
        for (int i = 0; i < W; i += kLanes<T>) {
          T* to = row + k * W + i;
          store(to, load(from + k * W + i) + (load(to) - reading.apply(from + k * W, i, cell + k)));
        }
      if (next_stats) own.add_row(row, n);
    };
    const StepForward<T, NV> pass{.parameters = parameters_of(s),
                                  .in = x.grid,
                                  .norm = config.normalises_input(s) ? &reading : nullptr,
                                  .out = next,
                                  .moments = next_stats && !config.outer_residual ? &own : nullptr,
                                  .team = team};
    step.forward(pass, finish_row);
    team.barrier();
    if (next_stats) next_stats->set(all, team.size, config.norm_eps);
  }

  // Begins the backward pass of an evolution with a normalised output: `grad` is the gradient of norm(x).
  void backward_output(const State& x, const Grid& grad) {
    NormSums<T, NV>& own = sums[config.outer_steps % 2][team.rank];
    own.clear();
    for (int64_t r = first_row(); r < last_row(); ++r)
      add_norm_row_sums<T, NV>(norm(x.stats), norm_row_of(x.grid, grad, r), own, norm_grads);
    team.barrier();
  }

  // Backward of step s from grid x to grid `next`. `grad`, the gradient of what is read of `next`, becomes the gradient
  // of what the step reads of x.
  void backward(int s, const State& x, const State& next, const Grid& grad) {
    const bool through = config.normalises(s + 1);
    const Rows rows{
        *this, s, x, next, grad, through ? combined_sums(s + 1) : NormSums<T, NV>{}, sums[s % 2][team.rank], through};
    rows.own.clear();
    step.backward({parameters_of(s), config.normalises_input(s) ? normed : x.grid, grad, team}, rows);
  }

  // Ends the backward pass: `grad` becomes the gradient of the evolution's input x.
  void backward_input(const State& x, const Grid& grad) {
    if (!config.normalises(0)) return;
    const NormSums<T, NV> total = combined_sums(0);
    for (int64_t r = first_row(); r < last_row(); ++r) through_norm(0, x, total, grad, r);
  }

 private:
  NormRow<T> norm_row_of(const Grid& x, const Grid& grad, int64_t r) const {
    return {.x = x.row(r), .grad = grad.row(r), .cell = r * row_cells(), .n = row_cells()};
  }

  // True if grid s reaches grid s + 1 past step s, too.
  bool bypasses_step(int s) const { return config.outer_residual && s < config.outer_steps; }

  // Row r of the gradient of grid s, x, from the gradient of norm(x) and the one that bypasses it.
  void through_norm(int s, const State& x, const NormSums<T, NV>& total, const Grid& grad, int64_t r) {
    norm_row_backward<T, NV>(norm(x.stats), total, config.step.shape.cells(), norm_row_of(x.grid, grad, r),
                             bypasses_step(s) ? carried.row(r) : nullptr);
  }

  NormSums<T, NV> combined_sums(int s) const {
    NormSums<T, NV> total;
    total.clear();
    for (int i = 0; i < team.size; ++i) total.add(sums[s % 2][i]);
    return total;
  }

  // What backward() does around the step's own backward pass.
  struct Rows {
    Evolution& evolution;
    const int s;
    const State &x, next;
    const Grid& grad;
    const NormSums<T, NV> total;  // of `next`, if its LayerNorm is read
    NormSums<T, NV>& own;         // this member's part of those of x
    const bool through;           // the gradient comes through the LayerNorm of `next`

    const EvolveConfig& config = evolution.config;
    const int64_t k = evolution.row_cells();
    const Norm<T, NV> norm = evolution.norm(x.stats), next_norm = evolution.norm(next.stats);

    void prepare(int64_t first, int64_t last) const {
      if (!config.normalises_input(s)) return;
      const Grid& normed = evolution.normed;
      for (int64_t r = first; r < last; ++r) {
        norm_row<T, NV>(norm, x.grid.row(r), r * k, k, normed.row(r));
        normed.clear_padding(r);
      }
    }

    IncomingRow<T, NV> incoming(int64_t r, const T* z) const {
      T* carried = config.outer_residual ? evolution.carried.row(r) : nullptr;
      return {.norm = through ? &next_norm : nullptr,
              .sums = &total,
              .inverse_cells = T(1) / static_cast<T>(config.step.shape.cells()),
              .cell = r * k,
              .base = config.outer_residual ? x.grid.row(r) : z,
              .added = evolution.bypasses_step(s + 1) ? carried : nullptr,
              .carried = carried};
    }

    void apply_incoming(int64_t r) const {
      if (through) evolution.through_norm(s + 1, next, total, grad, r);
      if (config.outer_residual) std::memcpy(evolution.carried.row(r), grad.row(r), k * W * sizeof(T));
    }

    void finish(int64_t r) const {
      T* g = grad.row(r);
      if (config.outer_residual)  // the step's output enters as x + step(z) - z
        for (int64_t i = 0; i < k * W; i += kLanes<T>) store(g + i, load(g + i) - load(evolution.carried.row(r) + i));
      if (config.normalises_input(s))
        add_norm_row_sums<T, NV>(norm, evolution.norm_row_of(x.grid, grad, r), own, evolution.norm_grads);
    }
  };
};

}  // namespace zoo::ZOO_ISA

// The whole evolution of one tile of samples by one team: steps with a LayerNorm between, forward and backward, the
// activations staying in lane layout throughout. Step is Stencil or Blocks.
#pragma once
#include "cpu_blocks_backward.h"
#include "cpu_norm.h"

namespace zoo::ZOO_ISA {

using gridnet::EvolveConfig;

template <class T, int NV, template <class, int> class Step>
struct Evolution {
  static constexpr int W = NV * kLanes<T>;
  using Grid = LaneGrid<T, W>;

  const EvolveConfig& config;
  const Team& team;
  Step<T, NV> step;
  const Parameters<T>* parameters;  // of each set
  const T* norm_weight;
  const T* norm_bias;
  T* grad_norm_weight;  // backward only
  T* grad_norm_bias;
  Grid output;                // of a step, unpadded
  Grid normed;                // padded; with outer_residual
  Moments<T, NV>* moments;    // partial results of each member
  NormSums<T, NV>* sums;

  const Parameters<T>& parameters_of(int s) const { return parameters[config.separate ? s : 0]; }
  int64_t first_row() const { return team.begin(config.step.shape.rows()); }
  int64_t last_row() const { return team.end(config.step.shape.rows()); }

  // Reads samples into a grid; `measure` also takes their moments.
  void fill(const T* samples, int64_t count, const Grid& grid, bool measure) {
    const int64_t k = config.step.shape.k;
    samples_to_lanes<T, W>(samples, count, first_row() * k, last_row() * k, grid);
    moments[team.rank].clear();
    for (int64_t r = first_row(); r < last_row(); ++r) {
      if (grid.pad) grid.clear_padding(r);
      if (measure) moments[team.rank].add_row(grid.row(r), k);
    }
    team.barrier();
  }

  // next = h after outer step s, both padded. `stats` are computed, or used when `known`.
  void advance(int s, const Grid& h, const Grid& next, const NormStats<T, NV>& stats, bool known) {
    if (config.outer_residual) {
      norm_grid(h, stats, known);
      moments[team.rank].clear();
      const auto add_residual = [&](T* row, int64_t cell, int64_t n) {
        const T *from = h.cell(cell), *z = normed.cell(cell);
        T* to = next.cell(cell);
        for (int64_t i = 0; i < n * W; i += kLanes<T>) store(to + i, load(from + i) + (load(row + i) - load(z + i)));
        if (!known) moments[team.rank].add_row(to, n);
      };
      for (int64_t r = first_row(); r < last_row(); ++r) next.clear_padding(r);
      step.forward(parameters_of(s), normed, output, false, team, add_residual);
      team.barrier();
      return;
    }
    moments[team.rank].clear();
    step.forward(parameters_of(s), h, output, false, team, [&](T* row, int64_t, int64_t n) {
      if (config.norm && !known) moments[team.rank].add_row(row, n);
    });
    team.barrier();
    if (config.norm && !known) stats.set(moments, team.size, config.norm_eps);
    const int64_t k = config.step.shape.k;
    for (int64_t r = first_row(); r < last_row(); ++r) {
      if (config.norm) norm_row<T, NV>(stats, output.row(r), norm_weight + r * k, norm_bias + r * k, k, next.row(r));
      else std::memcpy(next.row(r), output.row(r), k * W * sizeof(T));
      if (next.pad) next.clear_padding(r);
    }
    team.barrier();
  }

  // normed = norm(h), padded.
  void norm_grid(const Grid& h, const NormStats<T, NV>& stats, bool known) {
    const int64_t k = config.step.shape.k;
    if (!known) stats.set(moments, team.size, config.norm_eps);
    for (int64_t r = first_row(); r < last_row(); ++r) {
      norm_row<T, NV>(stats, h.row(r), norm_weight + r * k, norm_bias + r * k, k, normed.row(r));
      normed.clear_padding(r);
    }
    team.barrier();
  }

  // grad: gradient of the grid after outer step s, becomes that of the grid h before it.
  void backward(int s, const Grid& h, const NormStats<T, NV>& stats, const Grid& grad) {
    if (config.outer_residual) return residual_backward(s, h, stats, grad);
    if (!config.norm) {
      step.forward(parameters_of(s), h, output, true, team, [](T*, int64_t, int64_t) {});
      team.barrier();
      return step.backward(parameters_of(s), h, grad, team);
    }
    NormSums<T, NV>& own = sums[team.rank];
    own.clear();
    step.forward(parameters_of(s), h, output, true, team, [&](T* row, int64_t cell, int64_t n) {
      for (int64_t k = 0; k < n; ++k)
        for (int i = 0; i < W; i += kLanes<T>) store(row + k * W + i, stats.standardised(row + k * W, i));
      norm_row_sums<T, NV>(grad.cell(cell), row, norm_weight + cell, n, own, grad_norm_weight + cell, grad_norm_bias + cell);
    });
    team.barrier();
    const NormSums<T, NV> total = combined_sums();
    const int64_t k = config.step.shape.k, cells = config.step.shape.cells();
    for (int64_t r = first_row(); r < last_row(); ++r)
      norm_row_backward<T, NV>(stats, total, cells, grad.row(r), output.row(r), norm_weight + r * k, nullptr, k, grad.row(r));
    team.barrier();
    step.backward(parameters_of(s), h, grad, team);
  }

  // h' = h + step(z) - z with z = norm(h).
  void residual_backward(int s, const Grid& h, const NormStats<T, NV>& stats, const Grid& grad) {
    const int64_t k = config.step.shape.k, cells = config.step.shape.cells();
    norm_grid(h, stats, true);
    step.forward(parameters_of(s), normed, output, true, team, [](T*, int64_t, int64_t) {});
    team.barrier();
    for (int64_t r = first_row(); r < last_row(); ++r) std::memcpy(output.row(r), grad.row(r), k * W * sizeof(T));
    team.barrier();
    step.backward(parameters_of(s), normed, grad, team);
    NormSums<T, NV>& own = sums[team.rank];
    own.clear();
    for (int64_t r = first_row(); r < last_row(); ++r) {
      T *g = grad.row(r), *z = normed.row(r);
      for (int64_t i = 0; i < k * W; i += kLanes<T>) {
        store(g + i, load(g + i) - load(output.row(r) + i));
        store(z + i, stats.standardised(h.row(r) + i / W * W, static_cast<int>(i % W)));
      }
      norm_row_sums<T, NV>(g, z, norm_weight + r * k, k, own, grad_norm_weight + r * k, grad_norm_bias + r * k);
    }
    team.barrier();
    const NormSums<T, NV> total = combined_sums();
    for (int64_t r = first_row(); r < last_row(); ++r)
      norm_row_backward<T, NV>(stats, total, cells, grad.row(r), normed.row(r), norm_weight + r * k, output.row(r), k,
                               grad.row(r));
    team.barrier();
  }

  NormSums<T, NV> combined_sums() const {
    NormSums<T, NV> total;
    total.clear();
    for (int i = 0; i < team.size; ++i) total.add(sums[i]);
    return total;
  }
};

}  // namespace zoo::ZOO_ISA

// The evolution of a whole batch: packs the parameters, hands tiles of samples to teams of threads, adds up what the
// teams found. A single step is the evolution with one outer step and no LayerNorm.
#pragma once
#include "cpu_evolution.h"

namespace zoo::ZOO_ISA {

using gridnet::Grads;
using gridnet::Inputs;

// What forward keeps for backward, in one buffer of the caller's: for every tile the grid before every segment-th step
// but the first, and the LayerNorm statistics of every step. The first entries say how many lanes it was written with.
template <class T, int W>
struct Kept {
  static constexpr int64_t kHeader = 16;
  const EvolveConfig& config;
  T* data;

  LaneGrid<T, W> grid_shape() const { return {nullptr, config.step.shape, 1}; }
  int64_t tile_size() const { return config.kept_steps() * grid_shape().size() + config.outer_steps * 2 * W; }
  int64_t tiles() const { return (config.step.batch + W - 1) / W; }
  int64_t size() const { return kHeader + tiles() * tile_size(); }
  LaneGrid<T, W> grid(int64_t t, int s) const {  // s is a positive multiple of segment
    LaneGrid<T, W> grid = grid_shape();
    grid.data = data + kHeader + t * tile_size() + (s / config.segment - 1) * grid.size();
    return grid;
  }
  T* stats(int64_t t, int s) const {
    return data + kHeader + t * tile_size() + config.kept_steps() * grid_shape().size() + s * 2 * W;
  }
};

// Everything a call needs that the teams share.
template <class T, int NV, template <class, int> class Step>
struct Run {
  static constexpr int W = NV * kLanes<T>;
  const EvolveConfig& config;
  const Inputs<T>& in;
  Workspace& workspace;
  int threads;
  bool backward;

  const StepConfig& step = config.step;
  const int64_t cells = step.shape.cells();
  const int64_t channels = step.gated ? 2 : 1;
  const int64_t tiles = (step.batch + W - 1) / W;
  const int sets = config.parameter_sets();
  const int groups = static_cast<int>(tiles < threads ? tiles : threads);
  const int64_t grid_size = LaneGrid<T, W>{nullptr, step.shape, 1}.size();

  // Gradients of one team: every set's weight, bias and scale, then the norm's weight and bias.
  const int64_t set_grads = channels * cells * (kNeighbours + 1) + cells;
  const int64_t group_grads = sets * set_grads + 2 * cells;

  T* const packed = workspace.get<T>(0, sets * Step<T, NV>::weight_size(step));
  T* const transposed = workspace.get<T>(1, backward ? sets * Step<T, NV>::transposed_size(step) : 0);
  const int64_t shared_size = Step<T, NV>::shared_size(step, backward);
  const int64_t own_size = Step<T, NV>::own_size(step, backward);
  T* const shared = workspace.get<T>(2, groups * shared_size);
  T* const own = workspace.get<T>(3, threads * own_size);
  // Per team: the grids before the steps of a segment and after it, the step's output, the normed grid.
  const int64_t grids = (backward ? config.segment : 2) + 2;
  T* const grid_data = workspace.get<T>(4, groups * grids * grid_size);
  T* const grads = workspace.get<T>(5, backward ? groups * group_grads : 0);
  Parameters<T>* const parameters = workspace.get<Parameters<T>>(6, groups * sets);
  Moments<T, NV>* const moments = workspace.get<Moments<T, NV>>(7, threads);
  NormSums<T, NV>* const sums = workspace.get<NormSums<T, NV>>(8, threads);
  T* const stats = workspace.get<T>(9, threads * 2 * W);

  LaneGrid<T, W> grid(int group, int64_t i, int pad) const {
    return {grid_data + (group * grids + i) * grid_size, step.shape, pad};
  }

  void pack(const Team& team) const {
    for (int s = 0; s < sets; ++s) {
      const T* weight = in.weight + s * kNeighbours * channels * cells;
      T* to = packed + s * Step<T, NV>::weight_size(step);
      Step<T, NV>::pack(step, weight, team, to);
      if (backward)
        Step<T, NV>::pack_transposed(step, weight, to, team, transposed + s * Step<T, NV>::transposed_size(step));
    }
    team.barrier();
  }

  // One member's view of its team's evolution. `first_thread` is the whole-team rank of the team's first member.
  Evolution<T, NV, Step> evolution(const Team& team, int first_thread) const {
    T* team_grads = backward ? grads + team.group * group_grads : nullptr;
    Parameters<T>* sets_of_team = parameters + team.group * sets;
    if (team.rank == 0)
      for (int s = 0; s < sets; ++s) {
        T* g = backward ? team_grads + s * set_grads : nullptr;
        sets_of_team[s] = {packed + s * Step<T, NV>::weight_size(step),
                           backward ? transposed + s * Step<T, NV>::transposed_size(step) : nullptr,
                           in.bias + s * channels * cells,
                           step.gated ? nullptr : in.residual_scale + s * cells,
                           g,
                           backward ? g + channels * cells * kNeighbours : nullptr,
                           backward ? g + channels * cells * (kNeighbours + 1) : nullptr};
      }
    T* norm_grads = backward ? team_grads + sets * set_grads : nullptr;
    return {config, team, Step<T, NV>(step, shared + team.group * shared_size, own + (first_thread + team.rank) * own_size, backward),
            sets_of_team, in.norm_weight, in.norm_bias, norm_grads, backward ? norm_grads + cells : nullptr,
            grid(team.group, grids - 2, 0), grid(team.group, grids - 1, 1), moments + first_thread, sums + first_thread};
  }

  int64_t samples_in(int64_t t) const { return step.batch - t * W < W ? step.batch - t * W : W; }
};

template <class T, int NV, template <class, int> class Step>
void evolve_forward(const EvolveConfig& c, const Inputs<T>& in, T* out, T* kept_data, Workspace& workspace, int threads) {
  using Grid = LaneGrid<T, NV * kLanes<T>>;
  constexpr int W = NV * kLanes<T>;
  const Run<T, NV, Step> run{c, in, workspace, threads, false};
  const Kept<T, W> kept{c, kept_data};
  if (kept_data) {
    std::memset(kept_data, 0, Kept<T, W>::kHeader * sizeof(T));
    kept_data[0] = W;
  }
  auto body = [&](const Team& all) {
    run.pack(all);
    const Team team = all.split(run.groups);
    auto evolution = run.evolution(team, all.rank - team.rank);
    team.barrier();
    T* own_stats = run.stats + all.rank * 2 * W;
    for (int64_t t = team.group; t < run.tiles; t += run.groups) {
      const Grid grids[2] = {run.grid(team.group, 0, 1), run.grid(team.group, 1, 1)};
      Grid h = grids[0];
      evolution.fill(in.x + t * W * run.cells, run.samples_in(t), h, c.outer_residual);
      for (int s = 0; s < c.outer_steps; ++s) {
        const bool keep = kept_data && s + 1 < c.outer_steps && (s + 1) % c.segment == 0;
        const Grid next = keep ? kept.grid(t, s + 1) : grids[h.data == grids[0].data ? 1 : 0];
        evolution.advance(s, h, next, NormStats<T, NV>(own_stats), false);
        if (kept_data && team.rank == 0) std::memcpy(kept.stats(t, s), own_stats, 2 * W * sizeof(T));
        h = next;
      }
      const int64_t begin = evolution.first_row() * c.step.shape.k, end = evolution.last_row() * c.step.shape.k;
      lanes_to_samples<T, W>(h, run.samples_in(t), begin, end, out + t * W * run.cells);
      team.barrier();
    }
  };
  parallel(threads, body);
}

// Adds up the teams' gradients in order and writes this member's cells in torch's layout.
template <class T, int NV, template <class, int> class Step>
void collect_gradients(const Run<T, NV, Step>& run, const Team& all, const Grads<T>& grads) {
  const int64_t cells = run.cells, begin = all.begin(cells), end = all.end(cells);
  const auto add = [&](int64_t at, int64_t n) {
    for (int g = 1; g < run.groups; ++g)
      for (int64_t i = 0; i < n; ++i) run.grads[at + i] += run.grads[g * run.group_grads + at + i];
    return run.grads + at;
  };
  const auto add_to = [&](int64_t at, T* to) {
    const T* total = add(at + begin, end - begin);
    std::memcpy(to + begin, total, (end - begin) * sizeof(T));
  };
  for (int s = 0; s < run.sets; ++s) {
    const int64_t set = s * run.set_grads;
    for (int64_t i = 0; i < run.channels; ++i) {
      add(set + (i * cells + begin) * kNeighbours, (end - begin) * kNeighbours);
      unpack_weight(run.grads + set + i * cells * kNeighbours, run.channels * cells, begin, end,
                    grads.weight + s * kNeighbours * run.channels * cells + i * cells);
      add_to(set + run.channels * cells * kNeighbours + i * cells, grads.bias + (s * run.channels + i) * cells);
    }
    if (!run.step.gated) add_to(set + run.channels * cells * (kNeighbours + 1), grads.residual_scale + s * cells);
  }
  if (run.config.norm) {
    add_to(run.sets * run.set_grads, grads.norm_weight);
    add_to(run.sets * run.set_grads + cells, grads.norm_bias);
  }
}

template <class T, int NV, template <class, int> class Step>
void evolve_backward(const EvolveConfig& c, const Inputs<T>& in, const T* kept_data, const T* grad_out, const Grads<T>& grads,
                     Workspace& workspace, int threads) {
  using Grid = LaneGrid<T, NV * kLanes<T>>;
  constexpr int W = NV * kLanes<T>;
  const Run<T, NV, Step> run{c, in, workspace, threads, true};
  const Kept<T, W> kept{c, const_cast<T*>(kept_data)};
  T* gradient_data = workspace.get<T>(10, run.groups * run.grid_size);
  auto body = [&](const Team& all) {
    run.pack(all);
    const Team team = all.split(run.groups);
    auto evolution = run.evolution(team, all.rank - team.rank);
    T* team_grads = run.grads + team.group * run.group_grads;
    std::memset(team_grads + team.begin(run.group_grads), 0, (team.end(run.group_grads) - team.begin(run.group_grads)) * sizeof(T));
    team.barrier();
    const Grid gradient{gradient_data + team.group * run.grid_size, c.step.shape, 0};
    const int64_t begin = evolution.first_row() * c.step.shape.k, end = evolution.last_row() * c.step.shape.k;
    T* own_stats = run.stats + all.rank * 2 * W;
    const auto stats_of = [&](int64_t t, int s) { return NormStats<T, NV>(kept_data ? kept.stats(t, s) : own_stats); };
    for (int64_t t = team.group; t < run.tiles; t += run.groups) {
      evolution.fill(grad_out + t * W * run.cells, run.samples_in(t), gradient, false);
      for (int first = (c.outer_steps - 1) / c.segment * c.segment; first >= 0; first -= c.segment) {
        const int last = first + c.segment < c.outer_steps ? first + c.segment : c.outer_steps;
        const auto before = [&](int s) {
          return s == first && s > 0 ? kept.grid(t, s) : run.grid(team.group, s - first, 1);
        };
        if (first == 0) evolution.fill(in.x + t * W * run.cells, run.samples_in(t), before(0), false);
        for (int s = first; s + 1 < last; ++s) evolution.advance(s, before(s), before(s + 1), stats_of(t, s), true);
        for (int s = last - 1; s >= first; --s) evolution.backward(s, before(s), stats_of(t, s), gradient);
      }
      lanes_to_samples<T, W>(gradient, run.samples_in(t), begin, end, grads.x + t * W * run.cells);
      team.barrier();
    }
    all.barrier();
    collect_gradients(run, all, grads);
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

// The evolution of a whole batch: packs the parameters, hands tiles of samples to teams of threads, adds up what the
// teams found. A single step is the evolution with one outer step and no LayerNorm.
#pragma once
#include "gridnet/cpu/sample_lanes/evolution.h"

namespace zoo::ZOO_ISA {

using gridnet::Grads;
using gridnet::Inputs;

// What forward keeps for backward, in one buffer of the caller's: for every tile the grid before every segment-th step
// but the first, the last grid where the output is its LayerNorm, and the statistics of those that are normalised. The
// first entries say how many lanes it was written with.
template <class T, int W>
struct Kept {
  static constexpr int64_t kHeader = 16;
  const EvolveConfig& config;
  T* data;

  LaneGrid<T, W> grid_shape() const { return {nullptr, config.step.shape, 1}; }
  int64_t stats_size() const { return config.outer_steps * 2 * W; }
  int64_t tile_size() const { return config.kept_grids() * grid_shape().size() + stats_size(); }
  int64_t tiles() const { return (config.step.batch + W - 1) / W; }
  int64_t size() const { return kHeader + tiles() * tile_size(); }
  // The grid before step s, or after the last; config.keeps(s) is true.
  LaneGrid<T, W> grid(int64_t t, int s) const {
    LaneGrid<T, W> grid = grid_shape();
    const int64_t index = s == config.outer_steps ? config.kept_grids() - 1 : s / config.segment - 1;
    grid.data = data + kHeader + t * tile_size() + index * grid.size();
    return grid;
  }
  // Of the grid before step s, or after the last: one of the outer_steps grids that are read normalised.
  T* stats(int64_t t, int s) const {
    return data + kHeader + (t + 1) * tile_size() - stats_size() + (s - !config.outer_residual) * 2 * W;
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

  T* const packed = workspace.get<T>(0, sets* Step<T, NV>::weight_size(step));
  const int64_t folded_size = Step<T, NV>::weight_size(step) + 2 * channels * cells;
  T* const folded = workspace.get<T>(11, folds() ? sets * folded_size : 0);
  T* const transposed = workspace.get<T>(1, backward ? sets * Step<T, NV>::transposed_size(step) : 0);
  const int64_t shared_size = Step<T, NV>::shared_size(step, backward);
  const int64_t own_size = Step<T, NV>::own_size(step, backward);
  T* const shared = workspace.get<T>(2, groups* shared_size);
  T* const own = workspace.get<T>(3, threads* own_size);
  // Per team: the grids before the steps of a segment (forward: before and after a step), the normed, the carried.
  const int64_t grids = (backward ? config.segment : 2) + 2;
  T* const grid_data = workspace.get<T>(4, groups * grids * grid_size);
  T* const grads = workspace.get<T>(5, backward ? groups * group_grads : 0);
  Parameters<T>* const parameters = workspace.get<Parameters<T>>(6, groups* sets);
  Moments<T, NV>* const moments = workspace.get<Moments<T, NV>>(7, 2 * threads);
  NormSums<T, NV>* const sums = workspace.get<NormSums<T, NV>>(8, 2 * threads);
  T* const stats = workspace.get<T>(9, 2 * threads * NormStats<T, NV>::kSize);

  LaneGrid<T, W> grid(int group, int64_t i) const {
    return {grid_data + (group * grids + i) * grid_size, step.shape, 1};
  }
  LaneGrid<T, W> normed(const Team& team) const {
    LaneGrid<T, W> out = grid(team.group, grids - 2);
    if (backward) out.held = Step<T, NV>::held_rows(step, team, 3);
    return out;
  }
  // A member's own copies of the statistics of the grids before even and odd steps.
  NormStats<T, NV> own_stats(const Team& all, int s) const {
    return NormStats<T, NV>(stats + (2 * all.rank + s % 2) * NormStats<T, NV>::kSize);
  }

  // Which forms of the weights the steps read. Backward reads them plain, and folded to compute a segment's grids
  // again.
  bool folds() const {
    return Step<T, NV>::kFolds && config.norm && (config.outer_residual || config.outer_steps > 1) &&
           (!backward || config.segment > 1);
  }
  bool reads_plain(int set) const { return backward || !folds() || (!config.outer_residual && set == 0); }

  void pack(const Team& team) const {
    const int64_t weight_size = Step<T, NV>::weight_size(step);
    for (int s = 0; s < sets; ++s) {
      const T* weight = in.weight + s * kNeighbours * channels * cells;
      T* to = packed + s * weight_size;
      if (reads_plain(s)) Step<T, NV>::pack(step, weight, team, to);
      if (backward)
        Step<T, NV>::pack_transposed(step, weight, to, team, transposed + s * Step<T, NV>::transposed_size(step));
      if constexpr (Step<T, NV>::kFolds) {
        T* sums = folded + s * folded_size + weight_size;
        if (folds())
          Step<T, NV>::fold(step, weight, in.bias + s * channels * cells, in.norm_weight, in.norm_bias, team,
                            folded + s * folded_size, sums, sums + channels * cells);
      }
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
        const T* folded_set = folded + s * folded_size;
        const T* folded_sums = folded_set + Step<T, NV>::weight_size(step);
        sets_of_team[s] = {packed + s * Step<T, NV>::weight_size(step),
                           folded_set,
                           folded_sums,
                           folded_sums + channels * cells,
                           backward ? transposed + s * Step<T, NV>::transposed_size(step) : nullptr,
                           in.bias + s * channels * cells,
                           step.gated ? nullptr : in.residual_scale + s * cells,
                           g,
                           backward ? g + channels * cells * kNeighbours : nullptr,
                           backward ? g + channels * cells * (kNeighbours + 1) : nullptr};
      }
    T* norm_grads = backward ? team_grads + sets * set_grads : nullptr;
    return {config,
            team,
            Step<T, NV>(step, team, shared + team.group * shared_size, own + (first_thread + team.rank) * own_size,
                        backward),
            sets_of_team,
            in.norm_weight,
            in.norm_bias,
            norm_grads,
            backward ? norm_grads + cells : nullptr,
            normed(team),
            grid(team.group, grids - 1),
            {moments + first_thread, moments + threads + first_thread},
            {sums + first_thread, sums + threads + first_thread}};
  }

  // Where a step may write what it makes of x. A lone thread's grid moves by two planes, to and fro, so that a step
  // writes where it has just read; a team has two grids in turn.
  LaneGrid<T, W> next_grid(const Team& team, const LaneGrid<T, W>& x) const {
    LaneGrid<T, W> first = grid(team.group, 0);
    const bool slides = Step<T, NV>::kSlides && team.size == 1 && step.shape.m > 2;
    const int64_t distance = slides ? 2 * step.shape.n * first.row_entries() * W : grid_size;
    if (x.data == first.data) first.data += distance;
    return first;
  }

  int64_t samples_in(int64_t t) const { return step.batch - t * W < W ? step.batch - t * W : W; }
};

template <class T, int NV, template <class, int> class Step>
void evolve_forward(const EvolveConfig& c, const Inputs<T>& in, T* out, T* kept_data, Workspace& workspace,
                    int threads) {
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
    for (int64_t t = team.group; t < run.tiles; t += run.groups) {
      const T* samples = in.x + t * W * run.cells;
      Grid x = run.grid(team.group, 0);
      const auto stats_of = [&](int s) { return run.own_stats(all, s); };
      const auto keep_stats = [&](int s) {
        if (kept_data && c.behind_norm(s) && team.rank == 0)
          std::memcpy(kept.stats(t, s), stats_of(s).inverse, NormStats<T, NV>::kSize * sizeof(T));
      };
      const NormStats<T, NV> first = stats_of(0);
      evolution.fill(samples, run.samples_in(t), x, c.normalises(0) ? &first : nullptr);
      keep_stats(0);
      for (int s = 0; s < c.outer_steps; ++s) {
        const Grid next = kept_data && c.keeps(s + 1) ? kept.grid(t, s + 1) : run.next_grid(team, x);
        const NormStats<T, NV> after = stats_of(s + 1);
        evolution.advance(s, x, stats_of(s), next, c.behind_norm(s + 1) ? &after : nullptr);
        keep_stats(s + 1);
        x = next;
      }
      const NormStats<T, NV> last = stats_of(c.outer_steps);
      evolution.write(x, c.normalises_output() ? &last : nullptr, run.samples_in(t), out + t * W * run.cells);
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
void evolve_backward(const EvolveConfig& c, const Inputs<T>& in, const T* kept_data, const T* grad_out,
                     const Grads<T>& grads, Workspace& workspace, int threads) {
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
    std::memset(team_grads + team.begin(run.group_grads), 0,
                (team.end(run.group_grads) - team.begin(run.group_grads)) * sizeof(T));
    team.barrier();
    const Grid gradient{gradient_data + team.group * run.grid_size, c.step.shape, 0};
    const int64_t begin = evolution.first_row() * c.step.shape.k, end = evolution.last_row() * c.step.shape.k;
    for (int64_t t = team.group; t < run.tiles; t += run.groups) {
      const auto stats = [&](int s) { return NormStats<T, NV>(c.behind_norm(s) ? kept.stats(t, s) : nullptr); };
      evolution.fill(grad_out + t * W * run.cells, run.samples_in(t), gradient, nullptr);
      if (c.normalises_output()) evolution.backward_output(kept.grid(t, c.outer_steps), stats(c.outer_steps), gradient);
      for (int first = (c.outer_steps - 1) / c.segment * c.segment; first >= 0; first -= c.segment) {
        const int last = first + c.segment < c.outer_steps ? first + c.segment : c.outer_steps;
        const auto grid = [&](int s) {  // before step s, first <= s <= last
          return kept_data && c.keeps(s) ? kept.grid(t, s) : run.grid(team.group, s - first);
        };
        if (first == 0) evolution.fill(in.x + t * W * run.cells, run.samples_in(t), grid(0), nullptr);
        for (int s = first; s + 1 < last; ++s) evolution.advance(s, grid(s), stats(s), grid(s + 1), nullptr);
        for (int s = last - 1; s >= first; --s)
          evolution.backward(s, grid(s), stats(s), grid(s + 1), stats(s + 1), gradient);
      }
      evolution.backward_input(run.grid(team.group, 0), stats(0), gradient);
      lanes_to_samples<T, W>(gradient, run.samples_in(t), begin, end, grads.x + t * W * run.cells);
      team.barrier();
    }
    all.barrier();
    collect_gradients(run, all, grads);
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

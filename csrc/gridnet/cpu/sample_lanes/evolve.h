// The evolution of a whole batch with samples in lanes: packs the parameters, hands tiles of samples to teams of
// threads, and adds up the gradients that the teams accumulate.
#pragma once
#include "gridnet/cpu/sample_lanes/run.h"

namespace zoo::ZOO_ISA {

// One member of a team during a call.
template <Step S>
struct Member {
  using T = typename S::Scalar;
  static constexpr int NV = S::kVectors, W = NV * kLanes<T>;
  using Grid = LaneGrid<T, W>;
  using Stats = NormStats<T, NV>;

  const Run<S>& run;
  const Team& all;   // all threads of the call
  const Team& team;  // this member's team
  const SavedTiles<T, W> saved;

  const EvolveConfig& config = run.config;
  Evolution<S> evolution = run.evolution(team, all.rank - team.rank);

  // Calls f(t) for this team's tiles, which are the same in every call; all members leave a tile together.
  template <class F>
  void each_tile(F f) {
    for (int64_t t = team.group; t < run.tiles; t += run.teams) {
      f(t);
      team.barrier();
    }
  }
  // Tile t's part of a tensor [batch, cells].
  template <class P>
  P* part(P* tensor, int64_t t) const {
    return tensor + t * W * run.cells;
  }

  void save_stats(int64_t t, int s) const {
    if (saved.data && config.normalises(s) && team.rank == 0)
      std::memcpy(saved.stats(t, s), run.own_stats(all, s).inverse, Stats::kSize * sizeof(T));
  }

  void forward(int64_t t, const T* x, T* out) {
    const Stats first = run.own_stats(all, 0);
    Grid grid = run.grid(team.group, 0);
    evolution.fill(part(x, t), run.samples_in(t), grid, config.normalises(0) ? &first : nullptr);
    save_stats(t, 0);
    for (int s = 0; s < config.outer_steps; ++s) {
      const bool saves = saved.data && saves_grid(config, s + 1);
      const Grid next = saves ? saved.grid(t, s + 1) : run.next_grid(team, grid);
      const Stats next_stats = run.own_stats(all, s + 1);
      evolution.advance(s, {grid, run.own_stats(all, s)}, next, config.normalises(s + 1) ? &next_stats : nullptr);
      save_stats(t, s + 1);
      grid = next;
    }
    const Stats last = run.own_stats(all, config.outer_steps);
    evolution.write(grid, config.normalises_output() ? &last : nullptr, run.samples_in(t), part(out, t));
  }

  // Grid s of an interval, saved or recomputed, with its saved statistics.
  StatedGrid<T, NV> state(int64_t t, const Interval& interval, int s) const {
    const Grid grid = saved.data && saves_grid(config, s) ? saved.grid(t, s) : run.grid(team.group, s - interval.first);
    return {grid, Stats(config.normalises(s) ? saved.stats(t, s) : nullptr)};
  }

  void backward(int64_t t, const BackwardArgs<T>& args) {
    const Grid gradient = run.gradient(team);
    evolution.fill(part(args.grad_out, t), run.samples_in(t), gradient, nullptr);
    if (config.normalises_output())
      evolution.backward_output(state(t, Interval::last(config), config.outer_steps), gradient);
    for (Interval i = Interval::last(config); i.first >= 0; i = i.before(config)) {
      if (i.first == 0) evolution.fill(part(args.inputs.x, t), run.samples_in(t), state(t, i, 0).grid, nullptr);
      for (int s = i.first; s + 1 < i.end; ++s) evolution.advance(s, state(t, i, s), state(t, i, s + 1).grid, nullptr);
      for (int s = i.end - 1; s >= i.first; --s) evolution.backward(s, state(t, i, s), state(t, i, s + 1), gradient);
    }
    evolution.backward_input(state(t, {0, 1}, 0), gradient);
    const int64_t k = config.step.shape.k;
    lanes_to_samples<T, W>(gradient, run.samples_in(t), evolution.first_row() * k, evolution.last_row() * k,
                           part(args.grads.x, t));
  }
};

template <Step S>
int64_t prepared_taps_size(const EvolveConfig& config) {
  const ParameterSizes<S> sizes{config};
  return sizes.packed() + (sizes.folds() ? sizes.all_folded() : 0);
}
template <Step S>
void prepare_taps(const EvolveConfig& config, const Inputs<typename S::Scalar>& inputs, Workspace& workspace,
                  typename S::Scalar* prepared) {
  Run<S>{config, inputs, workspace, 1, false, prepared}.pack(Team{0, 1, 0, nullptr});
}

template <Step S>
void evolve_forward(const EvolveConfig& config, const ForwardArgs<typename S::Scalar>& args, Workspace& workspace,
                    int threads) {
  using T = typename S::Scalar;
  const Run<S> run{config, args.inputs, workspace, threads, false, const_cast<T*>(args.prepared)};
  const SavedTiles<T, Run<S>::W> saved{config, args.saved};
  if (args.saved) saved.write_header();
  const bool alone = run.teams == threads;  // each thread takes tiles of its own
  Items tiles(run.tiles);
  auto body = [&](const Team& all) {
    if (!args.prepared) run.pack(all);
    const Team team = all.split(run.teams);
    Member<S> member{run, all, team, saved};
    team.barrier();
    const auto forward = [&](int64_t t) { member.forward(t, args.inputs.x, args.out); };
    if (alone) tiles.each(forward);
    else member.each_tile(forward);
  };
  parallel(threads, body, alone && args.prepared ? Members::whoever_comes : Members::all);
}

// Adds up the teams' gradients in order and writes this member's cells in torch's layout.
template <Step S>
void collect_gradients(const Run<S>& run, const Team& all, const Grads<typename S::Scalar>& grads) {
  using T = typename S::Scalar;
  const int64_t cells = run.cells, channels = run.channels, begin = all.begin(cells), end = all.end(cells);
  const TeamGrads<T> total = run.grads_of(0);
  // Adds the other teams' numbers to `n` of the first team's at `at`.
  const auto add = [&](T* at, int64_t n) {
    for (int team = 1; team < run.teams; ++team)
      for (int64_t i = 0; i < n; ++i) at[i] += at[team * run.grads_size + i];
  };
  const auto collect = [&](T* from, T* to) {
    add(from + begin, end - begin);
    std::memcpy(to + begin, from + begin, (end - begin) * sizeof(T));
  };
  for (int s = 0; s < run.sets; ++s) {
    for (int64_t i = 0; i < channels; ++i) {
      T* weight = total.weight(s) + i * cells * kNeighbours;
      add(weight + begin * kNeighbours, (end - begin) * kNeighbours);
      unpack_weight<T>(weight, begin, end,
                       {grads.weight + s * kNeighbours * channels * cells + i * cells, channels * cells});
      collect(total.bias(s) + i * cells, grads.bias + (s * channels + i) * cells);
    }
    if (!run.step.gated) collect(total.scale(s), grads.residual_scale + s * cells);
  }
  if (run.config.norm) {
    collect(total.norm().weight, grads.norm_weight);
    collect(total.norm().bias, grads.norm_bias);
  }
}

template <Step S>
void evolve_backward(const EvolveConfig& config, const BackwardArgs<typename S::Scalar>& args, Workspace& workspace,
                     int threads) {
  using T = typename S::Scalar;
  const Run<S> run{config, args.inputs, workspace, threads, true};
  const SavedTiles<T, Run<S>::W> saved{config, const_cast<T*>(args.saved)};
  auto body = [&](const Team& all) {
    run.pack(all);
    const Team team = all.split(run.teams);
    Member<S> member{run, all, team, saved};
    const int64_t begin = team.begin(run.grads_size), end = team.end(run.grads_size);
    std::memset(run.grads_of(team.group).data + begin, 0, (end - begin) * sizeof(T));
    team.barrier();
    member.each_tile([&](int64_t t) { member.backward(t, args); });
    all.barrier();
    collect_gradients(run, all, args.grads);
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

// The memory and the packed parameters of one call with samples in lanes, and the activations it saves.
#pragma once
#include "core/workspace.h"
#include "gridnet/cpu/sample_lanes/evolution.h"
#include "gridnet/cpu/sample_lanes/packing.h"

namespace zoo::ZOO_ISA {

// Activations that forward saves for backward, in one buffer of the caller's: a header, then for each tile the saved
// grids (common.h) and the statistics of every grid that is read through the LayerNorm. The header's first number is W.
template <class T, int W>
struct SavedTiles {
  static constexpr int64_t kHeader = 16;
  const EvolveConfig& config;
  T* data;

  LaneGrid<T, W> grid_shape() const { return {nullptr, config.step.shape, 1}; }
  int64_t stats_size() const { return config.outer_steps * 2 * W; }
  int64_t tile_size() const { return count_saved_grids(config) * grid_shape().size() + stats_size(); }
  int64_t tiles() const { return (config.step.batch + W - 1) / W; }
  int64_t size() const { return kHeader + tiles() * tile_size(); }
  void write_header() const {
    std::memset(data, 0, kHeader * sizeof(T));
    data[0] = W;
  }
  // Grid s of tile t; saves_grid(config, s) is true.
  LaneGrid<T, W> grid(int64_t t, int s) const {
    LaneGrid<T, W> grid = grid_shape();
    grid.data = data + kHeader + t * tile_size() + saved_index(config, s) * grid.size();
    return grid;
  }
  // The statistics of grid s, one of the outer_steps grids that are read through the LayerNorm.
  T* stats(int64_t t, int s) const {
    return data + kHeader + (t + 1) * tile_size() - stats_size() + (s - !config.outer_residual) * 2 * W;
  }
};

// Where a team accumulates its gradients: weight [channel][cell][27], bias [channel][cell] and scale [cell] of every
// parameter set, then the norm's weight and bias [cell].
template <class T>
struct TeamGrads {
  int64_t cells, channels;
  int sets;
  T* data;

  int64_t set_size() const { return channels * cells * (kNeighbours + 1) + cells; }
  int64_t size() const { return sets * set_size() + 2 * cells; }
  T* weight(int s) const { return data + s * set_size(); }
  T* bias(int s) const { return weight(s) + channels * cells * kNeighbours; }
  T* scale(int s) const { return bias(s) + channels * cells; }
  NormGrads<T> norm() const { return {data + sets * set_size(), data + sets * set_size() + cells}; }
};

// The sizes of packed parameters, in numbers.
template <Step S>
struct ParameterSizes {
  const EvolveConfig& config;
  const StepConfig& step = config.step;
  // Of one set: the weights; the folded weights and both their sums.
  const int64_t weight = S::weight_size(step), folded = weight + 2 * step.channels() * step.shape.cells();

  bool folds() const { return S::kFolds && config.norm && (config.outer_residual || config.outer_steps > 1); }
  // Of all sets, rounded up so that what follows is aligned.
  int64_t packed() const { return (config.parameter_sets() * weight + 15) / 16 * 16; }
  int64_t all_folded() const { return config.parameter_sets() * folded; }
};

// Everything that the teams of a call share. Each team runs the evolution of a tile at a time.
template <Step S>
struct Run {
  using T = typename S::Scalar;
  static constexpr int NV = S::kVectors, W = NV * kLanes<T>;
  using Grid = LaneGrid<T, W>;

  const EvolveConfig& config;
  const Inputs<T>& in;
  Workspace& workspace;
  int threads;
  bool backward;
  T* prepared = nullptr;  // where the packed and folded weights are, unless they are those of this call

  const StepConfig& step = config.step;
  const int64_t cells = step.shape.cells();
  const int64_t channels = step.channels();
  const int64_t tiles = (step.batch + W - 1) / W;
  const int sets = config.parameter_sets();
  const ParameterSizes<S> sizes{config};
  const int teams = static_cast<int>(tiles < threads ? tiles : threads);

  const int64_t grid_size = Grid{nullptr, step.shape, 1}.size();
  const int64_t weight_size = sizes.weight, folded_size = sizes.folded, transposed_size = S::transposed_size(step);
  const int64_t shared_size = S::shared_size(step, backward), own_size = S::own_size(step, backward);
  const int64_t grads_size = TeamGrads<T>{cells, channels, sets, nullptr}.size();
  // Grids of a team. Forward: before and after a step; backward: those of an interval. Then the normed and the carried.
  const int64_t grids = (backward ? config.recompute : 2) + 2;

  struct Buffers {
    T *packed, *folded, *transposed;  // [set]
    T* shared;                        // [team], as all below unless stated
    T* own;                           // [thread]
    T* grids;
    T *grads, *gradient;
    Parameters<T>* parameters;  // [team][set]
    Moments<T, NV>* moments;    // [2][thread]
    NormSums<T, NV>* sums;      // [2][thread]
    T* stats;                   // [thread][2]
  };
  const Buffers buffers = workspace.lay_out([&](Arena& arena) { return take_buffers(arena); });

  Buffers take_buffers(Arena& arena) const {
    const int64_t if_backward = backward ? 1 : 0;
    return {.packed = prepared ? prepared : arena.take<T>(sizes.packed()),
            .folded = prepared ? prepared + sizes.packed() : arena.take<T>(folds() ? sizes.all_folded() : 0),
            .transposed = arena.take<T>(if_backward * sets * transposed_size),
            .shared = arena.take<T>(teams * shared_size),
            .own = arena.take<T>(threads * own_size),
            .grids = arena.take<T>(teams * grids * grid_size),
            .grads = arena.take<T>(if_backward * teams * grads_size),
            .gradient = arena.take<T>(if_backward * teams * grid_size),
            .parameters = arena.take<Parameters<T>>(teams * sets),
            .moments = arena.take<Moments<T, NV>>(2 * threads),
            .sums = arena.take<NormSums<T, NV>>(2 * threads),
            .stats = arena.take<T>(2 * threads * NormStats<T, NV>::kSize)};
  }

  Grid grid(int team, int64_t i) const { return {buffers.grids + (team * grids + i) * grid_size, step.shape, 1}; }
  Grid normed(const Team& team) const {
    Grid out = grid(team.group, grids - 2);
    if (backward) out.held = S::held_rows(step, team, 3);
    return out;
  }
  // The gradient on its way back through the steps.
  Grid gradient(const Team& team) const { return {buffers.gradient + team.group * grid_size, step.shape, 0}; }
  TeamGrads<T> grads_of(int team) const { return {cells, channels, sets, buffers.grads + team * grads_size}; }

  // A member's own copy of the statistics of grid s, one for grids with even numbers and one for odd ones.
  NormStats<T, NV> own_stats(const Team& all, int s) const {
    return NormStats<T, NV>(buffers.stats + (2 * all.rank + s % 2) * NormStats<T, NV>::kSize);
  }

  int64_t samples_in(int64_t t) const { return step.batch - t * W < W ? step.batch - t * W : W; }

  // True if steps read folded weights. Backward reads them only where it recomputes grids.
  bool folds() const { return sizes.folds() && (!backward || config.recompute > 1); }
  bool reads_plain(int set) const { return backward || !folds() || (!config.outer_residual && set == 0); }

  // Packs this member's part of every parameter set.
  void pack(const Team& team) const {
    for (int s = 0; s < sets; ++s) {
      const T* weight = in.weight + s * kNeighbours * channels * cells;
      T* packed = buffers.packed + s * weight_size;
      if (reads_plain(s)) S::pack(step, weight, team, packed);
      if (backward) S::pack_transposed(step, weight, packed, team, buffers.transposed + s * transposed_size);
      if constexpr (S::kFolds)
        if (folds()) S::fold(step, folding(s, weight), team);
    }
    team.barrier();
  }

  // One member's view of its team's evolution. `first_thread` is the rank of the team's first member among all threads.
  Evolution<S> evolution(const Team& team, int first_thread) const {
    Parameters<T>* parameters = buffers.parameters + team.group * sets;
    if (team.rank == 0)
      for (int s = 0; s < sets; ++s) parameters[s] = parameters_of(team.group, s);
    T* own = buffers.own + (first_thread + team.rank) * own_size;
    return {.config = config,
            .team = team,
            .step = S(step, team, buffers.shared + team.group * shared_size, own, backward),
            .parameters = parameters,
            .norm_weight = in.norm_weight,
            .norm_bias = in.norm_bias,
            .norm_grads = backward ? grads_of(team.group).norm() : NormGrads<T>{},
            .normed = normed(team),
            .carried = grid(team.group, grids - 1),
            .moments = {buffers.moments + first_thread, buffers.moments + threads + first_thread},
            .sums = {buffers.sums + first_thread, buffers.sums + threads + first_thread}};
  }

  // Where a step may write the grid that follows x. A lone thread's grid moves to and fro by two planes, so that a step
  // writes where it has just read; a team alternates between two grids.
  Grid next_grid(const Team& team, const Grid& x) const {
    Grid first = grid(team.group, 0);
    const bool slides = S::kSlides && team.size == 1 && step.shape.m > 2;
    const int64_t distance = slides ? 2 * step.shape.n * first.row_entries() * W : grid_size;
    if (x.data == first.data) first.data += distance;
    return first;
  }

 private:
  FoldArgs<T> folding(int s, const T* weight) const {
    T* folded = buffers.folded + s * folded_size;
    return {.weight = weight,
            .bias = in.bias + s * channels * cells,
            .norm_weight = in.norm_weight,
            .norm_bias = in.norm_bias,
            .folded = folded,
            .weight_sum = folded + weight_size,
            .bias_sum = folded + weight_size + channels * cells};
  }

  Parameters<T> parameters_of(int team, int s) const {
    const T* folded = buffers.folded + s * folded_size;
    const TeamGrads<T> grads = grads_of(team);
    return {.weight = buffers.packed + s * weight_size,
            .folded = folded,
            .folded_weight_sum = folded + weight_size,
            .folded_bias_sum = folded + weight_size + channels * cells,
            .transposed = backward ? buffers.transposed + s * transposed_size : nullptr,
            .bias = in.bias + s * channels * cells,
            .scale = step.gated ? nullptr : in.residual_scale + s * cells,
            .grad_weight = backward ? grads.weight(s) : nullptr,
            .grad_bias = backward ? grads.bias(s) : nullptr,
            .grad_scale = backward ? grads.scale(s) : nullptr};
  }
};

}  // namespace zoo::ZOO_ISA

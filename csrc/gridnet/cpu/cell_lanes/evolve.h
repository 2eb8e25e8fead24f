// The evolution with cells in lanes, forward. It serves batches too small to fill lanes with samples, and single steps,
// of which half the time would go into moving samples into lanes and back. Blocks must not matter.
#pragma once
#include "gridnet/cpu/cell_lanes/memory.h"
#include "gridnet/cpu/cell_lanes/step.h"

namespace zoo::ZOO_ISA {

// One member's part of the forward pass of a tile.
template <class T>
struct PlaneForwardTile {
  PlaneMemory<T>& memory;
  const SavedPlanes<T>& saved;
  const PlaneScratch<T>& own;
  const ForwardArgs<T>& args;
  const Team& team;
  int64_t first, samples;

  const EvolveConfig& config = memory.config;
  const Shape shape = own.shape;
  const int64_t plane = own.plane, begin = team.begin(shape.m), end = team.end(shape.m);

  void run() const {
    const auto out = PlaneGrids<T>::as_torch(args.out + first * shape.cells(), shape);
    auto x = PlaneGrids<const T>::as_torch(args.inputs.x + first * shape.cells(), shape);
    if (config.normalises(0)) {
      for (int64_t z = begin; z < end; ++z) plane_moments(x, samples, z, plane, memory.sums_of(0) + z * samples);
      team.barrier();
    }
    for (int s = 0; s < config.outer_steps; ++s) {
      const PlaneGrids<T> next = grids_after(s, out);
      const PlaneScratch<T> prepared = args.prepared ? own.with_prepared(args.prepared, s) : own;
      const PlaneStep<T> step{.own = prepared,
                              .in = own.of_step(args.inputs, s),
                              .x = {x, standards(s)},
                              .samples = samples,
                              .fills_parameters = !args.prepared && (!own.all || (first == 0 && s == 0)),
                              .out = next,
                              .sums = saved.sums(s, first, samples),
                              .moments = config.normalises(s + 1) ? memory.sums_of(s + 1) : nullptr};
      step.run(memory.walk(team, s, first));
      team.barrier();
      x = next;
    }
    if (config.normalises_output()) normalise_output(x, out);
  }

 private:
  // Where step s writes.
  PlaneGrids<T> grids_after(int s, const PlaneGrids<T>& out) const {
    if (s + 1 == config.outer_steps && !config.normalises_output()) return out;
    if (saved.data && saves_grid(config, s + 1)) return saved.grids(s + 1, first, samples);
    return memory.grids((s + 1) % 2, samples);
  }

  // What standardises grids s, whose moments are complete, and saves it; null if they are read as they are.
  const Standard<T>* standards(int s) const {
    if (!config.normalises(s)) return nullptr;
    Standard<T>* const current = memory.standards(team);
    for (int64_t i = 0; i < samples; ++i)
      current[i] = Standard<T>::of(memory.sums_of(s) + i, samples, shape.m, plane, config.norm_eps);
    if (saved.data && team.rank == 0) std::memcpy(saved.standards(s, first), current, samples * sizeof *current);
    return current;
  }

  void normalise_output(const PlaneGrids<const T>& x, const PlaneGrids<T>& out) const {
    const Standard<T>* last = standards(config.outer_steps);
    for (int64_t z = begin; z < end; ++z)
      for (int64_t i = 0; i < samples; ++i)
        norm_cells(last[i], args.inputs.norm_weight + z * plane, args.inputs.norm_bias + z * plane, x.plane(i, z),
                   plane, out.plane(i, z));
  }
};

// The parameters of every plane of every set.
template <class T>
PlaneParameters<T> prepared_planes(const EvolveConfig& config, T* data) {
  return {{config.step.shape}, config.step.channels(), true, data};
}
template <class T>
int64_t prepared_planes_size(const EvolveConfig& config) {
  return config.parameter_sets() * prepared_planes<T>(config, nullptr).size();
}
template <class T>
void prepare_planes(const EvolveConfig& config, const Inputs<T>& inputs, T* prepared) {
  const PlaneScratch<T> plan{config, false};
  for (int s = 0; s < config.parameter_sets(); ++s) {
    const PlaneParameters<T> set = plan.with_prepared(prepared, s).parameters;
    for (int64_t z = 0; z < config.step.shape.m; ++z) set.fill(plan.of_step(inputs, s), z);
  }
}

// Every member computes its planes of all samples, and waits for the others once per step.
template <class T>
void evolve_planes(const EvolveConfig& config, const ForwardArgs<T>& args, Workspace& workspace, int threads) {
  PlaneMemory<T> memory{config, workspace, threads, false};
  const SavedPlanes<T> saved{config, args.saved};
  if (args.saved) saved.write_header(memory.tile);
  auto body = [&](const Team& team) {
    const PlaneScratch<T> own = memory.scratch(team);
    memory.each_tile(team, [&](int64_t first, int64_t samples) {
      PlaneForwardTile<T>{memory, saved, own, args, team, first, samples}.run();
    });
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

// The evolution with cells in lanes, backward (evolve.h).
#pragma once
#include "gridnet/cpu/cell_lanes/backward.h"
#include "gridnet/cpu/cell_lanes/memory.h"
#include "gridnet/cpu/cell_lanes/step.h"

namespace zoo::ZOO_ISA {

// One member's part of the backward pass of a tile.
template <class T>
struct PlaneBackwardTile {
  const PlaneMemory<T>& memory;
  const SavedPlanes<T>& saved;
  const PlaneScratch<T>& own;
  const BackwardArgs<T>& args;
  const Team& team;
  int64_t first, samples;

  const EvolveConfig& config = memory.config;
  const Shape shape = own.shape;
  const int64_t plane = own.plane, begin = team.begin(shape.m), end = team.end(shape.m);
  const PlaneGrids<const T> in = PlaneGrids<const T>::as_torch(args.inputs.x + first * shape.cells(), shape);
  const PlaneGrids<T> grad_x = PlaneGrids<T>::as_torch(args.grads.x + first * shape.cells(), shape);

  // On its way back: the gradient of what is read of the grids before the last step done.
  PlaneGrids<const T> gradient = PlaneGrids<const T>::as_torch(args.grad_out + first * shape.cells(), shape);
  // What the steps read whose weight gradients wait to be summed as a group.
  PlaneReading<T> waiting[PlaneScratch<T>::kGroup] = {};
  int waiting_steps = 0;

  void run() {
    if (config.normalises_output()) {
      const PlaneGrids<const T> last = saved.grids(config.outer_steps, first, samples);
      for (int64_t z = begin; z < end; ++z) add_norm_sums(config.outer_steps, last, gradient, z);
      team.barrier();
    }
    for (Interval i = Interval::last(config); i.first >= 0; i = i.before(config)) {
      for (int s = i.first; s + 1 < i.end; ++s) recompute(i, s);
      for (int s = i.end - 1; s >= i.first; --s) backward_step(i, s);
    }
    if (config.normalises(0)) backward_input();
  }

 private:
  const Standard<T>* standards(int s) const { return config.normalises(s) ? saved.standards(s, first) : nullptr; }

  // Grids s of an interval, s > i.first.
  PlaneGrids<T> grids(const Interval& i, int s) const {
    return saved.data && saves_grid(config, s) ? saved.grids(s, first, samples)
                                               : memory.recomputed(s - i.first, samples);
  }
  PlaneReading<T> reading(const Interval& i, int s) const {
    if (s == 0) return {in, standards(s)};
    return {grids(i, s), standards(s)};
  }

  // True if the parameter gradients of step s are added to those of another step or tile.
  bool adds(int s) const { return first > 0 || (!config.separate && s + 1 < config.outer_steps); }

  void add_norm_sums(int s, const PlaneGrids<const T>& x, const PlaneGrids<const T>& grad, int64_t z) const {
    const NormPlane<T> norm{.x = x,
                            .grad = grad,
                            .standards = standards(s),
                            .weight = args.inputs.norm_weight + z * plane,
                            .grad_weight = args.grads.norm_weight + z * plane,
                            .grad_bias = args.grads.norm_bias + z * plane};
    norm_plane_sums(norm, samples, z, plane, memory.sums_of(s) + z * samples);
  }

  // How the gradient arrives at grids s, which are x.
  PlaneIncoming<T> incoming(int s, const PlaneGrids<const T>& x) const {
    if (!config.normalises(s))
      return {.grad = gradient, .after = {}, .means = nullptr, .norm_weight = nullptr, .plane = plane, .bypass = {}};
    NormMeans<T>* const means = memory.means(team);
    for (int64_t i = 0; i < samples; ++i) means[i] = NormMeans<T>::of(memory.sums_of(s) + i, samples, shape.m, plane);
    const bool bypassed = config.outer_residual && s < config.outer_steps;
    return {.grad = gradient,
            .after = {x, standards(s)},
            .means = means,
            .norm_weight = args.inputs.norm_weight,
            .plane = plane,
            .bypass = bypassed ? PlaneGrids<const T>(memory.bypass(s, samples)) : PlaneGrids<const T>{}};
  }

  // Computes grids s + 1 again.
  void recompute(const Interval& i, int s) const {
    const PlaneStep<T> step{.own = own,
                            .in = own.of_step(args.inputs, s),
                            .x = reading(i, s),
                            .samples = samples,
                            .fills_parameters = !own.all,
                            .out = grids(i, s + 1),
                            .sums = {},
                            .moments = nullptr};
    step.run(PlaneWalk::alone(team, shape.m, s));
    team.barrier();
  }

  void backward_step(const Interval& i, int s) {
    const Inputs<T> inputs = own.of_step(args.inputs, s);
    const PlaneReading<T> x = reading(i, s);
    const PlaneGrids<T> to = s == 0 && !x.standards ? grad_x : memory.gradient(s, samples);
    const PlaneBackward<T> backward{
        .own = own,
        .in = inputs,
        .x = x,
        .saved_sums = saved.sums(s, first, samples),
        .incoming =
            incoming(s + 1, config.normalises(s + 1) ? PlaneGrids<const T>(grids(i, s + 1)) : PlaneGrids<const T>{}),
        .samples = samples,
        .grad = to,
        .pre = own.group > 1 ? memory.pre(waiting_steps, samples) : PlaneGrids<T>{},
        .bypass = memory.bypass(s, samples)};
    const PlaneTarget<T> target{.grads = own.of_step(args.grads, s),
                                .add = adds(s),
                                .fills_transposed = first == 0 && s + 1 == config.outer_steps};
    backward.run(s, begin, end, target, [&](int64_t z) {
      if (x.standards) add_norm_sums(s, x.grids, to, z);
    });
    if (own.group > 1) waiting[waiting_steps++] = x;
    // The grids of an interval make room for those of the one before it.
    const bool leaves_interval = s == 0 || (config.recompute > 1 && s == i.first);
    if (waiting_steps == own.group || (waiting_steps > 0 && leaves_interval)) sum_waiting(s);
    team.barrier();
    gradient = to;
  }

  // Sums the weight gradients of the steps that wait, of which s is the last.
  void sum_waiting(int s) {
    const GroupWeightGradients<T> group{.own = own,
                                        .in = args.inputs,
                                        .x = waiting,
                                        .steps = waiting_steps,
                                        .samples = samples,
                                        .pre = memory.pre(0, samples)};
    group.run(begin, end, args.grads, adds(s + waiting_steps - 1));
    waiting_steps = 0;
  }

  // The gradient of the evolution's input, which is read through the LayerNorm.
  void backward_input() const {
    constexpr int P = kPack<T>;
    const PlaneIncoming<T> arriving = incoming(0, in);
    for (int64_t z = begin; z < end; ++z)
      for (int64_t i = 0; i < samples; ++i)
        for_packs<T>(plane, [&](int64_t at, int64_t n) ZOO_INLINE_LAMBDA {
          store_pack(grad_x.plane(i, z) + at, arriving.template gradient<P>(i, z, at, n), n);
        });
  }
};

// Returns false if `saved` was written in tiles other than this instruction set's.
template <class T>
bool evolve_planes_backward(const EvolveConfig& config, const BackwardArgs<T>& args, Workspace& workspace,
                            int threads) {
  const PlaneMemory<T> memory{config, workspace, threads, true};
  const SavedPlanes<T> saved{config, const_cast<T*>(args.saved)};
  if (args.saved && !saved.written_in_tiles_of(memory.tile)) return false;
  auto body = [&](const Team& team) {
    const PlaneScratch<T> own = memory.scratch(team);
    const int64_t begin = team.begin(own.shape.m), end = team.end(own.shape.m);
    if (own.all && !saved.saves_sums())
      for (int64_t z = begin; z < end; ++z) own.parameters.fill(args.inputs, z);
    if (config.norm) {
      std::memset(args.grads.norm_weight + begin * own.plane, 0, (end - begin) * own.plane * sizeof(T));
      std::memset(args.grads.norm_bias + begin * own.plane, 0, (end - begin) * own.plane * sizeof(T));
    }
    team.barrier();  // a member also reads the parameters of the planes next to its own
    memory.each_tile(team, [&](int64_t first, int64_t samples) {
      PlaneBackwardTile<T>{memory, saved, own, args, team, first, samples}.run();
    });
  };
  parallel(threads, body);
  return true;
}

}  // namespace zoo::ZOO_ISA

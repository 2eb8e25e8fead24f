// The entry points of api.h: the evolution, forward and backward, composed of the kernels for steps and for LayerNorm.
// A step normalises what it reads, and computes the moments of what it writes; see evolve_memory.h for what is stored.
#include "gridnet/cuda/common.cuh"
#include "gridnet/cuda/evolve_memory.h"

namespace zoo::gridnet::cuda {
namespace {

// Queues work until something fails.
class Queue {
 public:
  explicit Queue(void* stream) : stream_(stream) {}
  void* stream() const { return stream_; }
  const std::string& error() const { return error_; }
  template <class F>
  void operator()(F work) {
    if (error_.empty()) error_ = work();
  }

 private:
  void* stream_;
  std::string error_;
};

std::string check(const EvolveConfig& config) {
  if (config.outer_steps < 1) return "outer_steps is " + std::to_string(config.outer_steps) + ", must be at least 1";
  if (config.recompute < 1) return "recompute is " + std::to_string(config.recompute) + ", must be at least 1";
  if (!config.norm && config.outer_steps > 1) {
    return "outer_steps is " + std::to_string(config.outer_steps) + ", must be 1 without norm";
  }
  return cuda::check(config.step);
}

StepParameters<void> only_parameters(const Inputs<void>& inputs) {
  return {.weight = inputs.weight, .bias = inputs.bias, .residual_scale = inputs.residual_scale};
}

// What step s uses of tensors that may have a leading axis of steps: StepParameters<void> or ParameterGrads.
template <class Tensors>
Tensors of_step(const Plan& plan, Tensors tensors, int s) {
  const size_t plane = plan.config.separate ? s * plan.cells() * element_bytes(plan.dtype) : 0;
  const size_t channels = plan.config.step.channels();
  tensors.weight = at_byte(tensors.weight, kNeighbours * channels * plane);
  tensors.bias = at_byte(tensors.bias, channels * plane);
  tensors.residual_scale = at_byte(tensors.residual_scale, plane);
  return tensors;
}

// An evolution with norm.
class Evolution {
 public:
  // `stats` are those of the normalised grids.
  Evolution(const Plan& plan, const Inputs<void>& inputs, void* stats, void* stream)
      : plan_(plan), inputs_(inputs), stats_(stats), queue_(stream) {}

  // `saved` is null in inference.
  std::string forward(void* out, const Saved* saved, const ForwardSpace& space);
  std::string backward(const Saved& saved, const void* grad_out, const Grads<void>& grads, const BackwardSpace& space);

 private:
  void* stats_of(int s) const { return at_byte(stats_, (s - plan_.first_normalised()) * plan_.stats_bytes()); }
  GridView view(int s, const void* values) const {
    return {values, s < plan_.first_normalised() ? nullptr : stats_of(s), inputs_.norm_weight, inputs_.norm_bias};
  }
  // Step s, and further ones in the same launch.
  void step_forward(int s, const void* grid, void* next, void* moments_out, const FurtherSteps& further = {});
  // Computes the statistics of grid s from its moments.
  void make_stats(int s, const MomentGroups& moments);

  const void* grid(int s, const Saved& saved, const BackwardSpace& space) const;
  // Recomputes the grids after the last saved grid before step s, up to the next saved one.
  void recompute(int s, const Saved& saved, const BackwardSpace& space);
  // The gradient of grid s, given those that step s - 1 reads.
  GradView grad_view(int s, const void* grad_normalised, const Saved& saved, const BackwardSpace& space,
                     const void* bypass) const;
  NormPartial norm_partial(int s, const BackwardSpace& space) const {
    return {space.norm_partial_sums, s < plan_.last_needed()};
  }
  void step_backward(int s, const void* grid, const GradView& grad_out, void* grad_input, const BackwardSpace& space);
  // Computes the means of the gradient of norm(grid s) from its sums by `groups`.
  void make_grad_means(int64_t groups, const BackwardSpace& space);
  void finish_step_gradients(int s, const Grads<void>& grads, const BackwardSpace& space);
  void finish_norm_gradients(const Grads<void>& grads, const BackwardSpace& space);

  Plan plan_;
  Inputs<void> inputs_;
  void* stats_;
  Queue queue_;
};

void Evolution::step_forward(int s, const void* grid, void* next, void* moments_out, const FurtherSteps& further) {
  queue_([&] {
    return cuda::forward({.dtype = plan_.dtype,
                          .config = plan_.config.step,
                          .parameters = of_step(plan_, only_parameters(inputs_), s),
                          .input = view(s, grid),
                          .out = next,
                          .moments = moments_out,
                          .outer_residual = plan_.config.outer_residual,
                          .further = further},
                         queue_.stream());
  });
}

void Evolution::make_stats(int s, const MomentGroups& moments) {
  queue_([&] { return finish_stats(plan_.norm(), moments, plan_.config.norm_eps, stats_of(s), queue_.stream()); });
}

std::string Evolution::forward(void* out, const Saved* saved, const ForwardSpace& space) {
  const EvolveConfig& c = plan_.config;
  const int steps = c.outer_steps;
  const Trajectory grids = plan_.trajectory(inputs_.x, out, saved == nullptr ? nullptr : saved->grids, space.grids);
  if (c.outer_residual) {
    queue_([&] { return moments(plan_.norm(), inputs_.x, space.moments, queue_.stream()); });
    make_stats(0, {space.moments, moment_groups(plan_.cells())});
  }
  if (steps > 1 && !c.separate && forward_fits(plan_.dtype, c.step)) {
    step_forward(0, inputs_.x, grids.at(1), space.moments, {steps - 1, grids, stats_of(1), c.norm_eps});
    if (c.normalises(steps)) make_stats(steps, {space.moments, forward_groups(c.step)});
  } else {
    for (int s = 1; s <= steps; ++s) {
      step_forward(s - 1, grids.at(s - 1), grids.at(s), c.normalises(s) ? space.moments : nullptr);
      if (c.normalises(s)) make_stats(s, {space.moments, forward_groups(c.step)});
    }
  }
  if (c.normalises_output()) {
    queue_([&] { return normalise(plan_.norm(), view(steps, grids.at(steps)), out, queue_.stream()); });
  }
  return queue_.error();
}

const void* Evolution::grid(int s, const Saved& saved, const BackwardSpace& space) const {
  const int recompute = plan_.config.recompute;
  if (s == 0) return inputs_.x;
  if (s % recompute == 0) return saved.grid(plan_, s);
  return at_byte(space.recomputed, (s % recompute - 1) * plan_.grid_bytes());
}

void Evolution::recompute(int s, const Saved& saved, const BackwardSpace& space) {
  const int interval = plan_.config.recompute, start = s / interval * interval;
  for (int i = start + 1; i < start + interval && i <= plan_.last_needed(); ++i) {
    step_forward(i - 1, grid(i - 1, saved, space), const_cast<void*>(grid(i, saved, space)), nullptr);
  }
}

GradView Evolution::grad_view(int s, const void* grad_normalised, const Saved& saved, const BackwardSpace& space,
                              const void* bypass) const {
  return {grad_normalised, space.grad_means, view(s, grid(s, saved, space)), bypass};
}

void Evolution::step_backward(int s, const void* grid, const GradView& grad_out, void* grad_input,
                              const BackwardSpace& space) {
  const EvolveConfig& c = plan_.config;
  const bool normalised = c.normalises_input(s);
  queue_([&] {
    return cuda::backward({.dtype = plan_.dtype,
                           .config = c.step,
                           .parameters = of_step(plan_, only_parameters(inputs_), s),
                           .input = view(s, grid),
                           .grad_out = grad_out,
                           .resolved = space.grad_grid,
                           .norm_partial = norm_partial(s + 1, space),
                           .grad_input = grad_input,
                           .grad_sums = normalised ? space.grad_sums : nullptr,
                           .partial_sums = space.partial_sums,
                           .add_to_partial = !c.separate && s < c.outer_steps - 1,
                           .subtract_grad_out = c.outer_residual,
                           .workspace = space.step_space},
                          queue_.stream());
  });
  if (normalised) make_grad_means(backward_groups(c.step), space);
}

void Evolution::make_grad_means(int64_t groups, const BackwardSpace& space) {
  queue_([&] { return finish_norm_sums(plan_.norm(), space.grad_sums, groups, space.grad_means, queue_.stream()); });
}

void Evolution::finish_step_gradients(int s, const Grads<void>& grads, const BackwardSpace& space) {
  const ParameterGrads all{.weight = grads.weight, .bias = grads.bias, .residual_scale = grads.residual_scale};
  queue_([&] {
    return sum_parameter_gradients(plan_.dtype, plan_.config.step, space.partial_sums, of_step(plan_, all, s),
                                   queue_.stream());
  });
}

void Evolution::finish_norm_gradients(const Grads<void>& grads, const BackwardSpace& space) {
  const PartialSums partial{space.norm_partial_sums, backward_parts(plan_.config.step), 2, plan_.cells()};
  queue_([&] { return sum_parts(plan_.dtype, partial, 0, 1, grads.norm_weight, queue_.stream()); });
  queue_([&] { return sum_parts(plan_.dtype, partial, 1, 1, grads.norm_bias, queue_.stream()); });
}

std::string Evolution::backward(const Saved& saved, const void* grad_out, const Grads<void>& grads,
                                const BackwardSpace& space) {
  const EvolveConfig& c = plan_.config;
  const int last = c.outer_steps - 1;
  GradView grad{grad_out, nullptr, {}, nullptr};  // of grid s + 1
  recompute(last, saved, space);
  if (c.normalises_output()) {
    const GridView output = view(c.outer_steps, grid(c.outer_steps, saved, space));
    queue_([&] { return norm_sums(plan_.norm(), output, grad_out, space.grad_sums, queue_.stream()); });
    make_grad_means(moment_groups(plan_.cells()), space);
    grad = grad_view(c.outer_steps, grad_out, saved, space, nullptr);
  }
  for (int s = last; s >= 0; --s) {
    if (s < last && (s + 1) % c.recompute == 0) recompute(s, saved, space);
    void* const grad_input = c.normalises_input(s) ? space.grad_normalised : grads.x;
    step_backward(s, grid(s, saved, space), grad, grad_input, space);
    if (c.separate || s == 0) finish_step_gradients(s, grads, space);
    if (!c.normalises_input(s)) break;
    // What the step has resolved goes around it.
    const void* const bypass = !c.outer_residual ? nullptr : s == last ? grad_out : space.grad_grid;
    grad = grad_view(s, grad_input, saved, space, bypass);
  }
  if (c.normalises_input(0)) {
    queue_([&] {
      return norm_backward(plan_.norm(), grad, norm_partial(0, space), backward_parts(c.step), grads.x,
                           queue_.stream());
    });
  }
  finish_norm_gradients(grads, space);
  return queue_.error();
}

// A single step, which has no norm.
std::string step_forward(const Plan& plan, const ForwardArgs<void>& args, void* stream) {
  return forward({.dtype = plan.dtype,
                  .config = plan.config.step,
                  .parameters = only_parameters(args.inputs),
                  .input = {args.inputs.x, nullptr, nullptr, nullptr},
                  .out = args.out,
                  .moments = nullptr,
                  .outer_residual = false,
                  .further = {}},
                 stream);
}

std::string step_backward(const Plan& plan, const BackwardArgs<void>& args, const StepBackwardSpace& space,
                          void* stream) {
  const std::string error = backward({.dtype = plan.dtype,
                                      .config = plan.config.step,
                                      .parameters = only_parameters(args.inputs),
                                      .input = {args.inputs.x, nullptr, nullptr, nullptr},
                                      .grad_out = {args.grad_out, nullptr, {}, nullptr},
                                      .resolved = nullptr,
                                      .norm_partial = {},
                                      .grad_input = args.grads.x,
                                      .grad_sums = nullptr,
                                      .partial_sums = space.partial_sums,
                                      .add_to_partial = false,
                                      .subtract_grad_out = false,
                                      .workspace = space.step_space},
                                     stream);
  if (!error.empty()) return error;
  const Grads<void>& grads = args.grads;
  return sum_parameter_gradients(plan.dtype, plan.config.step, space.partial_sums,
                                 {grads.weight, grads.bias, grads.residual_scale}, stream);
}

}  // namespace

size_t saved_bytes(Dtype dtype, const EvolveConfig& config) {
  return config.norm ? Saved({dtype, config}, nullptr).bytes : 0;
}

size_t forward_workspace_bytes(Dtype dtype, const EvolveConfig& config, bool training) {
  return config.norm ? ForwardSpace({dtype, config}, training, nullptr).bytes : 0;
}

size_t backward_workspace_bytes(Dtype dtype, const EvolveConfig& config) {
  const Plan plan{dtype, config};
  return config.norm ? BackwardSpace(plan, nullptr).bytes : StepBackwardSpace(plan, nullptr).bytes;
}

std::string evolve_forward(Dtype dtype, const EvolveConfig& config, const ForwardArgs<void>& args, void* workspace,
                           void* stream) {
  const std::string error = check(config);
  if (!error.empty()) return error;
  const Plan plan{dtype, config};
  if (!config.norm) return step_forward(plan, args, stream);
  const bool training = args.saved != nullptr;
  const ForwardSpace space(plan, training, workspace);
  const Saved saved(plan, args.saved);
  return Evolution(plan, args.inputs, training ? saved.stats : space.stats, stream)
      .forward(args.out, training ? &saved : nullptr, space);
}

std::string evolve_backward(Dtype dtype, const EvolveConfig& config, const BackwardArgs<void>& args, void* workspace,
                            void* stream) {
  const std::string error = check(config);
  if (!error.empty()) return error;
  const Plan plan{dtype, config};
  if (!config.norm) return step_backward(plan, args, StepBackwardSpace(plan, workspace), stream);
  const Saved saved(plan, const_cast<void*>(args.saved));
  return Evolution(plan, args.inputs, saved.stats, stream)
      .backward(saved, args.grad_out, args.grads, BackwardSpace(plan, workspace));
}

}  // namespace zoo::gridnet::cuda

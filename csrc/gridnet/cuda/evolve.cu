// The whole network: outer steps with a LayerNorm between them, forward and backward, out of the kernels for steps.
//
// s_0 = x, s_1, ..., s_T are the states as stored. Without outer_residual s_{t+1} = step(norm(s_t)) (the first step
// takes x as it is) and the output is norm(s_T); with it s_{t+1} = s_t + step(norm(s_t)) - norm(s_t) and the output is
// s_T. Normalised states are never stored: a step normalises as it reads, and leaves the moments of what it writes.
#include "core/cuda/sum_parts.h"
#include "gridnet/cuda/common.cuh"
#include "gridnet/cuda/kernels.h"

namespace zoo::gridnet::cuda {
namespace {

// Hands out aligned pieces of the caller's memory; with no memory it only counts.
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}
  void* take(size_t bytes) {
    constexpr size_t kAlignment = 256;
    char* const piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return piece;
  }
  size_t used() const { return used_; }

 private:
  char* memory_;
  size_t used_ = 0;
};

void* at_byte(const void* memory, size_t offset) {
  return memory == nullptr ? nullptr : const_cast<char*>(static_cast<const char*>(memory)) + offset;
}

// Sizes and positions that forward and backward agree on.
struct Plan {
  Dtype dtype;
  EvolveConfig config;

  int64_t cells() const { return config.step.shape.cells(); }
  int64_t batch() const { return config.step.batch; }
  NormTask norm() const { return {dtype, batch(), cells()}; }
  size_t state_bytes() const { return batch() * cells() * element_bytes(dtype); }
  size_t stats_bytes() const { return 2 * batch() * accum_bytes(dtype); }
  int first_normed() const { return config.outer_residual ? 0 : 1; }  // s_t is normalised from here on
  int last_needed() const { return config.outer_steps - (config.outer_residual ? 1 : 0); }  // by backward
  bool kept(int t) const { return t > 0 && t <= last_needed() && t % config.segment == 0; }
  int kept_states() const { return last_needed() / config.segment; }
};

struct Saved {
  void *states, *stats;  // every segment-th state from s_segment on; of all normalised states
  size_t bytes;

  Saved(const Plan& plan, void* memory) {
    Arena arena(memory);
    states = arena.take(plan.kept_states() * plan.state_bytes());
    stats = arena.take(plan.config.outer_steps * plan.stats_bytes());
    bytes = arena.used();
  }
};

struct ForwardSpace {
  void* states[2];  // taken in turn by states that are not kept
  void* moments;
  void* stats;  // inference
  size_t bytes;

  ForwardSpace(const Plan& plan, bool training, void* memory) {
    Arena arena(memory);
    for (void*& state : states) state = arena.take(training && plan.config.segment == 1 ? 0 : plan.state_bytes());
    const int64_t groups = std::max(forward_groups(plan.config.step), moment_groups(plan.cells()));
    moments = arena.take(3 * groups * plan.batch() * accum_bytes(plan.dtype));
    stats = arena.take(training ? 0 : plan.config.outer_steps * plan.stats_bytes());
    bytes = arena.used();
  }
};

struct BackwardSpace {
  void* between;                   // states inside the segment at hand
  void *grad_normed, *grad_state;  // of norm(s_t) and of s_t
  void *partial, *passes;          // parameters' partial sums; what the kernels of a step pass on
  void *norm_partial, *norm_space;
  size_t bytes;

  BackwardSpace(const Plan& plan, void* memory) {
    Arena arena(memory);
    between = arena.take((plan.config.segment - 1) * plan.state_bytes());
    grad_normed = arena.take(plan.state_bytes());
    grad_state = arena.take(plan.state_bytes());
    partial = arena.take(partial_sum_bytes(plan.dtype, plan.config.step));
    passes = arena.take(backward_bytes(plan.dtype, plan.config.step));
    norm_partial = arena.take(norm_partial_bytes(plan.norm()));
    norm_space = arena.take(norm_backward_bytes(plan.norm()));
    bytes = arena.used();
  }
};

// The parts of tensors with a leading axis that outer step t uses.
StepInputs<void> parameters_of(const Plan& plan, const StepInputs<void>& all, int t) {
  const size_t plane = plan.config.separate_params ? t * plan.cells() * element_bytes(plan.dtype) : 0;
  const size_t channels = plan.config.step.gated ? 2 : 1;
  return {at_byte(all.weight, kNeighbours * channels * plane), at_byte(all.bias, channels * plane),
          at_byte(all.residual_scale, plane), nullptr};
}

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
  if (config.segment < 1) return "segment is " + std::to_string(config.segment) + ", must be at least 1";
  return cuda::check(config.step);
}

class Evolution {
 public:
  Evolution(const Plan& plan, const EvolveInputs& inputs, void* stats, void* stream)
      : plan_(plan), inputs_(inputs), stats_(stats), queue_(stream) {}

  std::string forward(void* out, const Saved* saved, const ForwardSpace& space);
  std::string backward(const Saved& saved, const EvolveGrads& grads, const BackwardSpace& space);

 private:
  void* stats_of(int t) const { return at_byte(stats_, (t - plan_.first_normed()) * plan_.stats_bytes()); }
  StateView view(int t, const void* values) const {
    if (t < plan_.first_normed()) return {values, nullptr, nullptr, nullptr};
    return {values, stats_of(t), inputs_.norm_weight, inputs_.norm_bias};
  }
  void step_forward(int t, const void* state, void* next, void* moments_out) {
    queue_([&] {
      return cuda::forward({plan_.dtype, plan_.config.step, parameters_of(plan_, inputs_.step, t), view(t, state), next,
                            moments_out, plan_.config.outer_residual},
                           queue_.stream());
    });
  }
  void make_stats(int t, const void* moments_in, int64_t groups) {
    const double eps = plan_.config.norm_eps;
    queue_([&] { return finish_stats(plan_.norm(), moments_in, groups, eps, stats_of(t), queue_.stream()); });
  }

  const void* state(int t, const Saved& saved, const BackwardSpace& space) const;
  void repeat_segment(int t, const Saved& saved, const BackwardSpace& space);
  void step_backward(int t, const void* state, const void* grad_out, void* grad_input, const BackwardSpace& space);
  void norm_backward(int t, const void* state, const void* carried, void* grad_in, bool first, const void* grad_normed,
                     const BackwardSpace& space);
  void finish_step_gradients(int t, const EvolveGrads& grads, const BackwardSpace& space);
  void finish_norm_gradients(const EvolveGrads& grads, const BackwardSpace& space);

  Plan plan_;
  EvolveInputs inputs_;
  void* stats_;
  Queue queue_;
};

std::string Evolution::forward(void* out, const Saved* saved, const ForwardSpace& space) {
  const EvolveConfig& c = plan_.config;
  const void* state = inputs_.step.x;
  if (c.outer_residual) {
    queue_([&] { return moments(plan_.norm(), state, space.moments, queue_.stream()); });
    make_stats(0, space.moments, moment_groups(plan_.cells()));
  }
  for (int t = 1; t <= c.outer_steps; ++t) {
    void* next = t == c.outer_steps ? out : space.states[t % 2];
    if (saved != nullptr && plan_.kept(t)) next = at_byte(saved->states, (t / c.segment - 1) * plan_.state_bytes());
    const bool normed = t < c.outer_steps || !c.outer_residual;
    step_forward(t - 1, state, next, normed ? space.moments : nullptr);
    if (normed) make_stats(t, space.moments, forward_groups(c.step));
    state = next;
  }
  if (!c.outer_residual) {
    queue_([&] { return normalise(plan_.norm(), view(c.outer_steps, state), out, queue_.stream()); });
  }
  return queue_.error();
}

const void* Evolution::state(int t, const Saved& saved, const BackwardSpace& space) const {
  const int segment = plan_.config.segment;
  if (t == 0) return inputs_.step.x;
  if (t % segment == 0) return at_byte(saved.states, (t / segment - 1) * plan_.state_bytes());
  return at_byte(space.between, (t % segment - 1) * plan_.state_bytes());
}

// Recomputes the states that were not kept in the segment of outer step t.
void Evolution::repeat_segment(int t, const Saved& saved, const BackwardSpace& space) {
  const int segment = plan_.config.segment, start = t / segment * segment;
  for (int i = start + 1; i < start + segment && i <= plan_.last_needed(); ++i) {
    step_forward(i - 1, state(i - 1, saved, space), const_cast<void*>(state(i, saved, space)), nullptr);
  }
}

void Evolution::step_backward(int t, const void* state, const void* grad_out, void* grad_input,
                              const BackwardSpace& space) {
  const EvolveConfig& c = plan_.config;
  const bool add = !c.separate_params && t < c.outer_steps - 1;
  queue_([&] {
    return cuda::backward({plan_.dtype, c.step, parameters_of(plan_, inputs_.step, t), view(t, state), grad_out,
                           grad_input, space.partial, add, c.outer_residual, space.passes},
                          queue_.stream());
  });
}

void Evolution::norm_backward(int t, const void* state, const void* carried, void* grad_in, bool first,
                              const void* grad_normed, const BackwardSpace& space) {
  queue_([&] {
    return cuda::norm_backward(
        plan_.norm(), {view(t, state), grad_normed, carried, grad_in, space.norm_partial, !first, space.norm_space},
        queue_.stream());
  });
}

void Evolution::finish_step_gradients(int t, const EvolveGrads& grads, const BackwardSpace& space) {
  const StepConfig& step = plan_.config.step;
  const StepInputs<void> target =
      parameters_of(plan_, {grads.step.weight, grads.step.bias, grads.step.residual_scale, nullptr}, t);
  queue_([&] {
    return sum_parameter_gradients(plan_.dtype, step, space.partial, backward_parts(step),
                                   const_cast<void*>(target.weight), const_cast<void*>(target.bias),
                                   const_cast<void*>(target.residual_scale), queue_.stream());
  });
}

void Evolution::finish_norm_gradients(const EvolveGrads& grads, const BackwardSpace& space) {
  const int parts = norm_backward_parts(plan_.norm());
  void* const targets[] = {grads.norm_weight, grads.norm_bias};
  for (int plane = 0; plane < 2; ++plane) {
    queue_([&] {
      return sum_parts(plan_.dtype, space.norm_partial, parts, 2, plane, 1, plan_.cells(), targets[plane],
                       queue_.stream());
    });
  }
}

std::string Evolution::backward(const Saved& saved, const EvolveGrads& grads, const BackwardSpace& space) {
  const EvolveConfig& c = plan_.config;
  const int last = c.outer_steps - 1;
  const void* grad = grads.step.grad_out;  // of norm(s_{t+1}), with outer_residual of s_{t+1}
  for (int t = last; t >= 0; --t) {
    if (t == last || (t + 1) % c.segment == 0) repeat_segment(t, saved, space);
    const void* const before = state(t, saved, space);
    if (c.outer_residual) {
      void* const result = t == 0 ? grads.step.x : space.grad_state;
      step_backward(t, before, grad, space.grad_normed, space);
      norm_backward(t, before, grad, result, t == last, space.grad_normed, space);
      grad = result;
    } else {
      void* const result = t == 0 ? grads.step.x : space.grad_normed;
      norm_backward(t + 1, state(t + 1, saved, space), nullptr, space.grad_state, t == last, grad, space);
      step_backward(t, before, space.grad_state, result, space);
      grad = result;
    }
    if (c.separate_params || t == 0) finish_step_gradients(t, grads, space);
  }
  finish_norm_gradients(grads, space);
  return queue_.error();
}

}  // namespace

size_t evolve_saved_bytes(Dtype dtype, const EvolveConfig& config) { return Saved({dtype, config}, nullptr).bytes; }

size_t evolve_forward_workspace_bytes(Dtype dtype, const EvolveConfig& config, bool training) {
  return ForwardSpace({dtype, config}, training, nullptr).bytes;
}

size_t evolve_backward_workspace_bytes(Dtype dtype, const EvolveConfig& config) {
  return BackwardSpace({dtype, config}, nullptr).bytes;
}

std::string evolve_forward(Dtype dtype, const EvolveConfig& config, const EvolveInputs& inputs, void* out, void* saved,
                           void* workspace, void* stream) {
  const std::string error = check(config);
  if (!error.empty()) return error;
  const Plan plan{dtype, config};
  const bool training = saved != nullptr;
  const ForwardSpace space(plan, training, workspace);
  const Saved kept(plan, saved);
  return Evolution(plan, inputs, training ? kept.stats : space.stats, stream)
      .forward(out, training ? &kept : nullptr, space);
}

std::string evolve_backward(Dtype dtype, const EvolveConfig& config, const EvolveInputs& inputs, const void* saved,
                            const EvolveGrads& grads, void* workspace, void* stream) {
  const std::string error = check(config);
  if (!error.empty()) return error;
  const Plan plan{dtype, config};
  const Saved kept(plan, const_cast<void*>(saved));
  return Evolution(plan, inputs, kept.stats, stream).backward(kept, grads, BackwardSpace(plan, workspace));
}

}  // namespace zoo::gridnet::cuda

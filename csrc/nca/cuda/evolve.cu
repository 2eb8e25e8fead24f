// The entry points: they queue the kernels, epoch by epoch, and lay out the caller's workspace.
#include "core/cuda/sum_parts.h"
#include "nca/cuda/api.h"
#include "nca/cuda/layers.cuh"

namespace zoo::nca::cuda {
namespace {

std::string check(const Evolution<void>& evolution) {
  const Population& p = evolution.population;
  const Rule& rule = evolution.rule;
  const auto found = [](const char* what, int64_t value, const std::string& allowed) {
    return std::string(what) + " is " + std::to_string(value) + ", must be " + allowed;
  };
  if (evolution.epochs < 1) return found("epochs", evolution.epochs, "at least 1");
  if (rule.layers < 1 || rule.layers >= kMostWidths)
    return found("the rule's number of layers", rule.layers, "1 to " + std::to_string(kMostWidths - 1));
  if (rule.widths[0] != 3 * p.channels + p.signals)
    return found("the rule's first width", rule.widths[0], std::to_string(3 * p.channels + p.signals));
  if (rule.widths[rule.layers] != p.channels)
    return found("the rule's last width", rule.widths[rule.layers], std::to_string(p.channels));
  return {};
}

// Sizes of a population's tensors, in elements.
struct Sizes {
  int64_t weights, states, rows, columns, sums;

  explicit Sizes(const Population& p)
      : weights(weight_count(p)),
        states(weights * p.channels),
        rows(layer_count(p) * p.rows * p.channels),
        columns(layer_count(p) * p.columns * p.channels),
        sums(rows + columns) {}
};

std::string failed(const char* what, cudaError_t status) {
  return status == cudaSuccess ? std::string()
                               : "CUDA could not " + std::string(what) + ": " + cudaGetErrorString(status);
}

template <class T>
std::string copy(const T* from, T* to, int64_t count, void* stream) {
  return failed("copy", cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDeviceToDevice,
                                        static_cast<cudaStream_t>(stream)));
}

template <class T>
std::string clear(T* at, int64_t count, void* stream) {
  return failed("clear", cudaMemsetAsync(at, 0, count * sizeof(T), static_cast<cudaStream_t>(stream)));
}

// Copies the states, so that the padding keeps its values.
template <class T>
std::string run_forward(const Evolution<T>& evolution, const ForwardArgs<T>& args, T* workspace, void* stream) {
  const Population& p = evolution.population;
  const Sizes sizes(p);
  const Sums<T> sums{workspace, workspace + sizes.rows};
  const Trajectory<T> states{args.out, args.saved, sizes.states, static_cast<int>(evolution.epochs)};
  std::string error = copy(args.state, args.out, sizes.states, stream);
  if (error.empty() && args.saved) error = copy(args.state, args.saved, sizes.states, stream);
  if (!error.empty()) return error;
  const int groups = whole_forward_groups(p, evolution.rule, sizeof(T));
  if (groups > 0) return evolve_whole(evolution, states, sums, groups, stream);
  for (int epoch = 0; epoch < states.epochs && error.empty(); ++epoch) {
    const T* const before = states.before(epoch);
    const SumsTask<T> task{before, before, sums};
    error = sum_neighbours(p, &task, 1, stream);
    if (error.empty())
      error = apply_rule(p, evolution.rule, view_of(evolution, epoch, before, sums), states.after(epoch), stream);
  }
  return error;
}

// The layout of the workspace of a backward pass.
template <class T>
struct BackwardSpace {
  Sums<T> sums;
  T *into, *out_of;
  Sums<T> share_sums;
  T* partial;

  BackwardSpace(const Sizes& s, T* at)
      : sums{at, at + s.rows},
        into(sums.columns + s.columns),
        out_of(into + s.states),
        share_sums{out_of + s.states, out_of + s.states + s.rows},
        partial(share_sums.columns + s.columns) {}
};

// The number of partial sums of the parameters' gradients.
int backward_parts(const Population& p, const Rule& rule, size_t element_bytes) {
  const int groups = whole_backward_groups(p, rule, element_bytes);
  return groups > 0 ? whole_backward_ctas(p, groups) * groups : backward_ctas(p);
}

// Goes back through the epochs, in launches of their own, to the gradients of the first states in shares.own.
template <class T>
std::string backward_epochs(const Evolution<T>& evolution, const WholeBackwardTask<T>& all, void* stream) {
  const Population& p = evolution.population;
  const Shares<T>& shares = all.shares;
  const SumsTask<T> of_shares{shares.out_of, shares.into, shares.sums};
  const int last = static_cast<int>(evolution.epochs) - 1;
  std::string error;
  for (int epoch = last; epoch >= 0 && error.empty(); --epoch) {
    const bool whole = epoch == last;
    const T* const states = all.saved + epoch * Sizes(p).states;
    const SumsTask<T> tasks[] = {{states, states, all.sums}, of_shares};
    error = sum_neighbours(p, tasks, whole ? 1 : 2, stream);
    const BackwardTask<T> task{.view = view_of(evolution, epoch, states, all.sums),
                               .shares = shares,
                               .whole = whole,
                               .grad_signals = all.grad_signals,
                               .partial = all.partial};
    if (error.empty()) error = apply_rule_backward(p, evolution.rule, task, stream);
  }
  if (error.empty()) error = sum_neighbours(p, &of_shares, 1, stream);
  if (error.empty()) error = spread_gradients(p, shares, stream);
  return error;
}

template <class T>
std::string run_backward(Dtype dtype, const Evolution<T>& evolution, const BackwardArgs<T>& args, T* workspace,
                         void* stream) {
  const Population& p = evolution.population;
  const Rule& rule = evolution.rule;
  const Sizes sizes(p);
  const BackwardSpace<T> space(sizes, workspace);
  const int parts = backward_parts(p, rule, sizeof(T)), groups = whole_backward_groups(p, rule, sizeof(T));
  const WholeBackwardTask<T> task{.saved = args.saved,
                                  .sums = space.sums,
                                  .shares = {args.grad_state, space.into, space.out_of, space.share_sums},
                                  .grad_signals = args.grad_signals,
                                  .partial = space.partial};
  std::string error = copy(args.grad_out, task.shares.own, sizes.states, stream);
  if (error.empty()) error = clear(space.partial, parts * rule.parameters(), stream);
  if (error.empty() && args.grad_signals) error = clear(args.grad_signals, sizes.weights * p.signals, stream);
  if (!error.empty()) return error;
  error =
      groups > 0 ? evolve_whole_backward(evolution, task, groups, stream) : backward_epochs(evolution, task, stream);
  if (!error.empty()) return error;
  const PartialSums partial{.data = space.partial, .parts = parts, .planes = 1, .cells = rule.parameters()};
  return sum_parts(dtype, partial, 0, 1, args.grad_parameters, stream);
}

template <class T>
Evolution<T> typed(const Evolution<void>& evolution) {
  return {.population = evolution.population,
          .rule = evolution.rule,
          .epochs = evolution.epochs,
          .parameters = static_cast<const T*>(evolution.parameters),
          .signals = static_cast<const T*>(evolution.signals),
          .fire_mask = evolution.fire_mask};
}

template <class T>
ForwardArgs<T> typed(const ForwardArgs<void>& args) {
  return {.state = static_cast<const T*>(args.state),
          .out = static_cast<T*>(args.out),
          .saved = static_cast<T*>(args.saved)};
}

template <class T>
BackwardArgs<T> typed(const BackwardArgs<void>& args) {
  return {.saved = static_cast<const T*>(args.saved),
          .grad_out = static_cast<const T*>(args.grad_out),
          .grad_state = static_cast<T*>(args.grad_state),
          .grad_signals = static_cast<T*>(args.grad_signals),
          .grad_parameters = static_cast<T*>(args.grad_parameters)};
}

}  // namespace

size_t forward_workspace_bytes(Dtype dtype, const Population& p) {
  return element_bytes(dtype) * static_cast<size_t>(Sizes(p).sums);
}

size_t backward_workspace_bytes(Dtype dtype, const Population& p, const Rule& rule) {
  const Sizes sizes(p);
  return element_bytes(dtype) * static_cast<size_t>(2 * (sizes.sums + sizes.states) +
                                                    backward_parts(p, rule, element_bytes(dtype)) * rule.parameters());
}

std::string forward(Dtype dtype, const Evolution<void>& evolution, const ForwardArgs<void>& args, void* workspace,
                    void* stream) {
  const std::string error = check(evolution);
  if (!error.empty()) return error;
  return with_wide_type(dtype, "Meta-NCA", [&]<class T>(T) {
    return run_forward(typed<T>(evolution), typed<T>(args), static_cast<T*>(workspace), stream);
  });
}

std::string backward(Dtype dtype, const Evolution<void>& evolution, const BackwardArgs<void>& args, void* workspace,
                     void* stream) {
  const std::string error = check(evolution);
  if (!error.empty()) return error;
  return with_wide_type(dtype, "Meta-NCA", [&]<class T>(T) {
    return run_backward(dtype, typed<T>(evolution), typed<T>(args), static_cast<T*>(workspace), stream);
  });
}

}  // namespace zoo::nca::cuda

// The entry points: what is queued, epoch by epoch, and where it lies in the caller's memory.
#include "cuda.h"

#include "../gridnet/cuda_kernels.h"
#include "cuda_layers.cuh"

namespace zoo::nca::cuda {
namespace {

std::string check(const Population& p, const Rule& rule, int epochs) {
  const auto found = [](const char* what, int64_t value, const std::string& allowed) {
    return std::string(what) + " is " + std::to_string(value) + ", must be " + allowed;
  };
  if (epochs < 1) return found("epochs", epochs, "at least 1");
  if (rule.layers < 1 || rule.layers >= kMostWidths)
    return found("the rule's number of layers", rule.layers, "1 to " + std::to_string(kMostWidths - 1));
  if (rule.widths[0] != 3 * p.channels + p.signals)
    return found("the rule's first width", rule.widths[0], std::to_string(3 * p.channels + p.signals));
  if (rule.widths[rule.layers] != p.channels)
    return found("the rule's last width", rule.widths[rule.layers], std::to_string(p.channels));
  return {};
}

// A population's tensors by their numbers of elements.
struct Sizes {
  int64_t weights, states, rows, columns, sums;

  explicit Sizes(const Population& p)
      : weights(weight_count(p)),
        states(weights * p.channels),
        rows(layer_count(p) * p.rows * p.channels),
        columns(layer_count(p) * p.columns * p.channels),
        sums(rows + columns) {}
};

template <class T>
View<T> view_of(const Sizes& sizes, const Inputs& inputs, int epoch, const T* states, const Sums<T>& sums) {
  return {states, sums, static_cast<const T*>(inputs.signals), inputs.fires + epoch * sizes.weights,
          static_cast<const T*>(inputs.parameters)};
}

template <class T>
std::string run_forward(const Population& p, const Rule& rule, int epochs, const Inputs& inputs, T* out, T* kept,
                        T* workspace, void* stream) {
  const Sizes sizes(p);
  const Sums<T> sums{workspace, workspace + sizes.rows};
  const T* const given = static_cast<const T*>(inputs.states);
  const T* states = given;
  std::string error;
  for (int epoch = 0; epoch < epochs && error.empty(); ++epoch) {
    T* const changed = kept && epoch + 1 < epochs ? kept + epoch * sizes.states : out;
    const SumsTask<T> task{states, states, sums};
    error = sum_neighbours(p, &task, 1, stream);
    if (error.empty()) error = apply_rule(p, rule, view_of(sizes, inputs, epoch, states, sums), changed, stream);
    states = changed;
  }
  return error.empty() ? pass_on<T>(p, given, out, nullptr, stream) : error;
}

// What backward puts into its workspace.
template <class T>
struct Workspace {
  Sums<T> sums;
  T *into, *out_of;
  Sums<T> share_sums;
  T* partial;

  Workspace(const Sizes& s, T* at)
      : sums{at, at + s.rows},
        into(sums.columns + s.columns),
        out_of(into + s.states),
        share_sums{out_of + s.states, out_of + s.states + s.rows},
        partial(share_sums.columns + s.columns) {}
};

template <class T>
std::string run_backward(Dtype dtype, const Population& p, const Rule& rule, int epochs, const Inputs& inputs,
                         const T* kept, const Grads& grads, T* workspace, void* stream) {
  const Sizes sizes(p);
  const Workspace<T> w(sizes, workspace);
  const T* const grad_out = static_cast<const T*>(grads.out);
  T* const grad_signals = p.signals > 0 ? static_cast<T*>(grads.signals) : nullptr;
  const Shares<T> shares{static_cast<T*>(grads.states), w.into, w.out_of, w.share_sums};
  const SumsTask<T> of_shares{w.out_of, w.into, w.share_sums};
  std::string error;
  for (int epoch = epochs - 1; epoch >= 0 && error.empty(); --epoch) {
    const bool start = epoch == epochs - 1;
    const T* const states = epoch == 0 ? static_cast<const T*>(inputs.states) : kept + (epoch - 1) * sizes.states;
    const SumsTask<T> tasks[] = {{states, states, w.sums}, of_shares};
    error = sum_neighbours(p, tasks, start ? 1 : 2, stream);
    if (!error.empty()) break;
    error = apply_rule_backward<T>(p, rule,
                                   {view_of(sizes, inputs, epoch, states, w.sums), start ? grad_out : nullptr, shares,
                                    grad_signals, w.partial, start},
                                   stream);
  }
  if (error.empty()) error = sum_neighbours(p, &of_shares, 1, stream);
  if (error.empty()) error = spread_gradients(p, shares, stream);
  if (error.empty()) error = pass_on(p, grad_out, shares.own, grad_signals, stream);
  if (!error.empty()) return error;
  return gridnet::cuda::sum_parts(dtype, w.partial, backward_ctas<T>(p, rule), 1, 0, 1, rule.parameters(),
                                  grads.parameters, stream);
}

// Runs f(T{}) for the two types that are built.
template <class F>
std::string with_wide_type(Dtype dtype, F f) {
  if (dtype == Dtype::float32) return f(float{});
  if (dtype == Dtype::float64) return f(double{});
  return "dtype " + std::to_string(static_cast<int>(dtype)) + " is not built into the Meta-NCA kernels";
}

}  // namespace

size_t kept_bytes(Dtype dtype, const Population& p, int epochs) {
  return gridnet::cuda::element_bytes(dtype) * static_cast<size_t>((epochs - 1) * Sizes(p).states);
}

size_t forward_workspace_bytes(Dtype dtype, const Population& p) {
  return gridnet::cuda::element_bytes(dtype) * static_cast<size_t>(Sizes(p).sums);
}

size_t backward_workspace_bytes(Dtype dtype, const Population& p, const Rule& rule) {
  const Sizes sizes(p);
  const int64_t ctas = dtype == Dtype::float64 ? backward_ctas<double>(p, rule) : backward_ctas<float>(p, rule);
  return gridnet::cuda::element_bytes(dtype) *
         static_cast<size_t>(2 * (sizes.sums + sizes.states) + ctas * rule.parameters());
}

std::string forward(Dtype dtype, const Population& p, const Rule& rule, int epochs, const Inputs& inputs, void* out,
                    void* kept, void* workspace, void* stream) {
  const std::string error = check(p, rule, epochs);
  if (!error.empty()) return error;
  return with_wide_type(dtype, [&]<class T>(T) {
    return run_forward(p, rule, epochs, inputs, static_cast<T*>(out), static_cast<T*>(kept),
                       static_cast<T*>(workspace), stream);
  });
}

std::string backward(Dtype dtype, const Population& p, const Rule& rule, int epochs, const Inputs& inputs,
                     const void* kept, const Grads& grads, void* workspace, void* stream) {
  const std::string error = check(p, rule, epochs);
  if (!error.empty()) return error;
  return with_wide_type(dtype, [&]<class T>(T) {
    return run_backward(dtype, p, rule, epochs, inputs, static_cast<const T*>(kept), grads, static_cast<T*>(workspace),
                        stream);
  });
}

}  // namespace zoo::nca::cuda

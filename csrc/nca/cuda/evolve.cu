// The entry points: what is queued, epoch by epoch, and where it lies in the caller's memory.
#include "core/cuda/sum_parts.h"
#include "nca/cuda/api.h"
#include "nca/cuda/layers.cuh"

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

// Epochs work in place, on a copy of the states, which passes on what does not exist; in training from one kept state
// to the next.
template <class T>
std::string run_forward(const Population& p, const Rule& rule, int epochs, const Inputs& inputs, const T* given, T* out,
                        T* kept, T* workspace, void* stream) {
  const Sizes sizes(p);
  const Sums<T> sums{workspace, workspace + sizes.rows};
  std::string error = copy(given, out, sizes.states, stream);
  if (error.empty() && kept) error = copy(given, kept, sizes.states, stream);
  for (int epoch = 0; epoch < epochs && error.empty(); ++epoch) {
    T* const states = kept ? kept + epoch * sizes.states : out;
    T* const changed = kept && epoch + 1 < epochs ? states + sizes.states : out;
    const SumsTask<T> task{states, states, sums};
    error = sum_neighbours(p, &task, 1, stream);
    if (error.empty()) error = apply_rule(p, rule, view_of(sizes, inputs, epoch, states, sums), changed, stream);
  }
  return error;
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
                         const T* kept, const T* grad_out, const Grads& grads, T* workspace, void* stream) {
  const Sizes sizes(p);
  const Workspace<T> w(sizes, workspace);
  const int ctas = backward_ctas(p);
  T* const grad_signals = static_cast<T*>(grads.signals);
  const Shares<T> shares{static_cast<T*>(grads.states), w.into, w.out_of, w.share_sums};
  const SumsTask<T> of_shares{w.out_of, w.into, w.share_sums};
  std::string error = copy(grad_out, shares.own, sizes.states, stream);
  if (error.empty()) error = clear(w.partial, ctas * rule.parameters(), stream);
  if (error.empty() && grad_signals) error = clear(grad_signals, sizes.weights * p.signals, stream);
  for (int epoch = epochs - 1; epoch >= 0 && error.empty(); --epoch) {
    const bool whole = epoch == epochs - 1;
    const T* const states = kept + epoch * sizes.states;
    const SumsTask<T> tasks[] = {{states, states, w.sums}, of_shares};
    error = sum_neighbours(p, tasks, whole ? 1 : 2, stream);
    const BackwardTask<T> task{view_of(sizes, inputs, epoch, states, w.sums), shares, whole, grad_signals, w.partial};
    if (error.empty()) error = apply_rule_backward(p, rule, task, stream);
  }
  if (error.empty()) error = sum_neighbours(p, &of_shares, 1, stream);
  if (error.empty()) error = spread_gradients(p, shares, stream);
  if (!error.empty()) return error;
  return sum_parts(dtype, w.partial, ctas, 1, 0, 1, rule.parameters(), grads.parameters, stream);
}

}  // namespace

size_t forward_workspace_bytes(Dtype dtype, const Population& p) {
  return element_bytes(dtype) * static_cast<size_t>(Sizes(p).sums);
}

size_t backward_workspace_bytes(Dtype dtype, const Population& p, const Rule& rule) {
  const Sizes sizes(p);
  return element_bytes(dtype) *
         static_cast<size_t>(2 * (sizes.sums + sizes.states) + backward_ctas(p) * rule.parameters());
}

std::string forward(Dtype dtype, const Population& p, const Rule& rule, int epochs, const Inputs& inputs,
                    const void* states, void* out, void* kept, void* workspace, void* stream) {
  const std::string error = check(p, rule, epochs);
  if (!error.empty()) return error;
  return with_wide_type(dtype, "Meta-NCA", [&]<class T>(T) {
    return run_forward(p, rule, epochs, inputs, static_cast<const T*>(states), static_cast<T*>(out),
                       static_cast<T*>(kept), static_cast<T*>(workspace), stream);
  });
}

std::string backward(Dtype dtype, const Population& p, const Rule& rule, int epochs, const Inputs& inputs,
                     const void* kept, const void* grad_out, const Grads& grads, void* workspace, void* stream) {
  const std::string error = check(p, rule, epochs);
  if (!error.empty()) return error;
  return with_wide_type(dtype, "Meta-NCA", [&]<class T>(T) {
    return run_backward(dtype, p, rule, epochs, inputs, static_cast<const T*>(kept), static_cast<const T*>(grad_out),
                        grads, static_cast<T*>(workspace), stream);
  });
}

}  // namespace zoo::nca::cuda

// The rule packed for the kernels, its gradients, and its application to a block of weights.
#pragma once
#include "nca/cpu/layer.h"
#include "nca/cpu/networks.h"

namespace zoo::ZOO_ISA {

using nca::kMostWidths;
using nca::Rule;

// Layers with their widths rounded up. The LayerNorm's weight and bias are folded into the first layer, which leaves a
// LayerNorm without parameters: W (g x + b) + c = (W g) x + (W b + c).
template <class T>
struct PackedRule {
  const Rule& rule;
  int64_t widths[kMostWidths];
  Dense<T> layers[kMostWidths];  // layer l maps widths[l] to widths[l + 1]
  Dense<T> back[kMostWidths];    // the transposed weights, for gradients

  PackedRule(const Rule& of, const T* parameters, Arena& arena) : rule(of) {
    for (int l = 0; l <= rule.layers; ++l) widths[l] = rounded_width(rule.widths[l]);
    const T* at = rule.norm ? parameters + 2 * rule.widths[0] : parameters;
    for (int l = 0; l < rule.layers; ++l) {
      T* const weight = arena.take<T>(widths[l] * widths[l + 1]);
      T* const transposed = arena.take<T>(widths[l] * widths[l + 1]);
      T* const bias = arena.take<T>(widths[l + 1]);
      layers[l] = {widths[l], widths[l + 1], weight, bias};
      back[l] = {widths[l + 1], widths[l], transposed, nullptr};
      if (arena.measures()) continue;
      pack_layer(l, at, l == 0 && rule.norm ? parameters : nullptr, weight, bias);
      for (int64_t o = 0; o < widths[l + 1]; ++o)
        for (int64_t i = 0; i < widths[l]; ++i) transposed[i * widths[l + 1] + o] = weight[o * widths[l] + i];
      at += int64_t{rule.widths[l] + 1} * rule.widths[l + 1];
    }
  }

 private:
  void pack_layer(int l, const T* from, const T* norm, T* weight, T* bias) const {
    const int inputs = rule.widths[l], outputs = rule.widths[l + 1];
    std::fill(weight, weight + widths[l] * widths[l + 1], T(0));
    std::fill(bias, bias + widths[l + 1], T(0));
    const T* const biases = from + int64_t{inputs} * outputs;
    for (int o = 0; o < outputs; ++o) {
      bias[o] = biases[o];
      for (int i = 0; i < inputs; ++i) {
        const T w = from[o * inputs + i];
        weight[o * widths[l] + i] = norm ? w * norm[i] : w;
        if (norm) bias[o] += w * norm[inputs + i];
      }
    }
  }
};

// One thread's sums of the gradients of a PackedRule's parameters.
template <class T>
struct RuleSums {
  T* weights[kMostWidths];  // in the order of gradient_index
  T* biases[kMostWidths];   // one vector per output
  T* end;

  RuleSums(const PackedRule<T>& rule, Arena& arena) {
    for (int l = 0; l < rule.rule.layers; ++l) {
      weights[l] = arena.take<T>(rule.widths[l] * rule.widths[l + 1]);
      biases[l] = arena.take<T>(rule.widths[l + 1] * kLanes<T>);
    }
    end = arena.take<T>(0);
  }

  void clear() const { std::fill(weights[0], end, T(0)); }

  // Adds the sums of another thread, `distance` elements further on in memory.
  void add(int64_t distance) const {
    for (T* sum = weights[0]; sum < end; ++sum) *sum += sum[distance];
  }

  // Writes the gradients of the rule's parameters, which are not packed, to grads.
  void unpack(const PackedRule<T>& packed, const T* parameters, T* grads) const {
    const Rule& rule = packed.rule;
    const int features = rule.widths[0];
    T* const norm_grads = rule.norm ? grads : nullptr;
    if (rule.norm) std::fill(grads, grads + 2 * features, T(0));
    int64_t at = rule.norm ? 2 * features : 0;
    for (int l = 0; l < rule.layers; ++l) {
      const int inputs = rule.widths[l], outputs = rule.widths[l + 1];
      for (int64_t o = 0; o < outputs; ++o) {
        T bias = 0;
        for (int v = 0; v < kLanes<T>; ++v) bias += biases[l][o * kLanes<T> + v];
        grads[at + int64_t{inputs} * outputs + o] = bias;
        for (int64_t i = 0; i < inputs; ++i) {
          const T sum = weights[l][gradient_index(packed.widths[l], o, i)];
          T& grad = grads[at + o * inputs + i];
          grad = sum;
          if (l > 0 || !rule.norm) continue;
          grad = sum * parameters[i] + bias * parameters[features + i];
          norm_grads[i] += sum * parameters[at + o * inputs + i];
          norm_grads[features + i] += bias * parameters[at + o * inputs + i];
        }
      }
      at += int64_t{inputs + 1} * outputs;
    }
  }
};

// Weights that are worked on together: few enough for the L2 cache, many enough to make sums over lanes rare.
constexpr int kBlockVectors = 16;
constexpr int kBlockPanels = kBlockVectors / kPanelVectors;
template <class T>
constexpr int kBlock = kBlockVectors * kLanes<T>;

// Activations and gradients of a block.
template <class T>
struct Block {
  const PackedRule<T>& rule;
  T* values[kMostWidths];  // [panel][width][kPanel]: perceptions, hidden layers, changes
  T* slopes[kMostWidths];  // of hidden layers and changes, later their gradients; null in a forward pass
  T* feature_grads;
  T* scales;  // 1 / deviation of the LayerNorm

  Block(const PackedRule<T>& of, bool gradients, Arena& arena) : rule(of), slopes{}, feature_grads(nullptr) {
    const auto take = [&](int l) { return arena.take<T>(rule.widths[l] * kBlock<T>); };
    for (int l = 0; l <= rule.rule.layers; ++l) {
      values[l] = take(l);
      if (gradients && l > 0) slopes[l] = take(l);
    }
    if (gradients) feature_grads = take(0);
    scales = arena.take<T>(kBlock<T>);
    if (!arena.measures()) std::fill(values[0], values[0] + rule.widths[0] * kBlock<T>, T(0));
  }

  T* panel(T* rows, int layer, int64_t panel) const {
    return rows ? rows + panel * rule.widths[layer] * kPanel<T> : rows;
  }

  // Turns perceptions into changes, for one panel of NV vectors.
  template <int NV>
  void run(int64_t p) const {
    const Rule& of = rule.rule;
    if (of.norm) normalise<NV>(of.widths[0], of.norm_eps, panel(values[0], 0, p), scales + p * kPanel<T>);
    for (int l = 1; l <= of.layers; ++l) {
      T *const out = panel(values[l], l, p), *const slope = panel(slopes[l], l, p);
      apply_dense<false, NV>(rule.layers[l - 1], panel(values[l - 1], l - 1, p), out);
      if (l < of.layers) {
        apply_hidden<NV>(of.hidden, rule.widths[l], out, slope);
      } else {
        apply_change<NV>(of.change, static_cast<T>(of.scale), rule.widths[l], out, slope);
      }
    }
  }

  // Turns gradients of changes, in the place of their slopes, into gradients of hidden layers' sums and of perceptions.
  template <int NV>
  void run_back(int64_t p) const {
    const Rule& of = rule.rule;
    for (int l = of.layers; l > 1; --l)
      apply_dense<true, NV>(rule.back[l - 1], panel(slopes[l], l, p), panel(slopes[l - 1], l - 1, p));
    T* const grads = panel(feature_grads, 0, p);
    apply_dense<false, NV>(rule.back[0], panel(slopes[1], 1, p), grads);
    if (of.norm) normalise_backward<NV>(of.widths[0], panel(values[0], 0, p), scales + p * kPanel<T>, grads);
  }

  // Adds the parameters' gradients to `sums`, after run_back.
  void add_gradients(int64_t vectors, const RuleSums<T>& sums) const {
    for (int l = 0; l < rule.rule.layers; ++l) {
      add_weight_gradients(slopes[l + 1], rule.widths[l + 1], values[l], rule.widths[l], vectors, sums.weights[l]);
      add_bias_gradients(slopes[l + 1], rule.widths[l + 1], vectors, sums.biases[l]);
    }
  }
};

}  // namespace zoo::ZOO_ISA

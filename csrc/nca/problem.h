// What an evolution of Meta-NCA's task networks is asked to do: the networks, the rule and the number of epochs. Shared
// by the CPU and the CUDA kernels.
#pragma once
#include <cstdint>

#include "core/math.h"

namespace zoo::nca {

constexpr int kMostWidths = 10;  // of a rule's MLP: its features, hidden layers and changes

// Networks padded to one tensor: states are [networks, layers, rows, columns, channels], and weight (i, j) of layer l
// of network p exists where i < units[p][l] and j < units[p][l + 1]. The padding keeps its values, and no weight
// perceives it.
struct Population {
  int64_t networks;
  int64_t layers;
  int64_t rows;
  int64_t columns;
  int64_t channels;
  int64_t signals;       // from the data, perceived in addition to the states
  const int32_t* units;  // [networks, layers + 1]

  ZOO_HD int64_t weights() const { return networks * layers * rows * columns; }  // with the padding
};

enum class Hidden : int { silu = 0, relu = 1 };
enum class Change : int { linear = 0, tanh = 1, sigmoid = 2 };

// The rule's MLP. Its parameters lie one after the other: with a norm, its weight and bias [widths[0]] each; then for
// each layer the weight [widths[i + 1], widths[i]] and the bias [widths[i + 1]].
struct Rule {
  int layers;               // of the MLP
  int widths[kMostWidths];  // layers + 1 of them; the first is 3 * channels + signals, the last is channels
  Hidden hidden;
  Change change;
  double scale;
  bool mean;  // a weight perceives the mean of its neighbours, not their sum
  bool norm;  // perceptions go through a LayerNorm
  double norm_eps;

  ZOO_HD int64_t parameters() const {
    int64_t count = norm ? 2 * widths[0] : 0;
    for (int i = 0; i < layers; ++i) count += static_cast<int64_t>(widths[i] + 1) * widths[i + 1];
    return count;
  }
};

// The problem and the tensors that both directions read. T is void where the element type is known at run time only.
template <class T>
struct Evolution {
  Population population;
  Rule rule;
  int64_t epochs;
  const T* parameters;    // [rule.parameters()]
  const T* signals;       // [networks, layers, rows, columns, signals], the same in every epoch; null without signals
  const bool* fire_mask;  // [epochs, networks, layers, rows, columns]: the weights that change in each epoch
};

template <class T>
struct ForwardArgs {
  const T* state;  // [networks, layers, rows, columns, channels]
  T* out;          // like state; overwritten
  T* saved;        // the states before every epoch, for the backward pass; overwritten. Null in inference
};

// Every gradient has the shape of its tensor and is overwritten.
template <class T>
struct BackwardArgs {
  const T* saved;
  const T* grad_out;
  T* grad_state;
  T* grad_signals;  // null: not computed
  T* grad_parameters;
};

}  // namespace zoo::nca

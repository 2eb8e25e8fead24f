// What an evolution of Meta-NCA's task networks is told: the networks, the rule, and how long.
#pragma once
#include <cstdint>

namespace zoo::nca {

constexpr int kMostWidths = 10;  // of a rule's MLP: its features, hidden layers and changes

// Networks padded to one tensor: states are [networks, layers, rows, columns, channels], and weight (i, j) of layer l
// of network p exists where i < units[p][l] and j < units[p][l + 1]. What does not exist is passed on as it is.
struct Population {
  int64_t networks;
  int64_t layers;
  int64_t rows;
  int64_t columns;
  int64_t channels;
  int64_t signals;       // of the data, perceived beside the states
  const int32_t* units;  // [networks, layers + 1]

  int64_t weights() const { return networks * layers * rows * columns; }  // with the padding
};

enum class Hidden : int { silu = 0, relu = 1 };
enum class Change : int { linear = 0, tanh = 1, sigmoid = 2 };

// The rule's MLP. Its parameters lie one after the other: if it normalises, the norm's weight and bias [widths[0]]
// each; then of each layer the weight [widths[i + 1], widths[i]] and the bias [widths[i + 1]].
struct Rule {
  int layers;               // of the MLP
  int widths[kMostWidths];  // layers + 1 of them; the first is 3 * channels + signals, the last is channels
  Hidden hidden;
  Change change;
  double scale;
  bool mean;  // what is perceived of the neighbours is their mean, not their sum
  bool norm;  // perceptions go through a LayerNorm
  double norm_eps;

  int64_t parameters() const {
    int64_t count = norm ? 2 * widths[0] : 0;
    for (int i = 0; i < layers; ++i) count += static_cast<int64_t>(widths[i] + 1) * widths[i + 1];
    return count;
  }
};

}  // namespace zoo::nca

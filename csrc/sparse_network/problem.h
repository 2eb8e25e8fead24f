// A network of units with few edges, from its inputs to its outputs in one call, and its gradients.
#pragma once
#include <cstdint>

#include "dense/problem.h"

namespace zoo::sparse_network {

constexpr int kTile = 64;  // samples of a tile, on every instruction set

// Rows are the inputs that edges read, then the computed units, each of which reads rows before its own:
//   row used + i = f(bias[i % biases] + the sum of weight[slots[e]] * row sources[e]), starts[i] <= e < starts[i + 1]
// The last `outputs` units are the network's outputs, to which f is not applied.
struct Network {
  int64_t inputs;            // numbers of a sample
  int64_t used;              // of which edges read so many
  int64_t computed;          // units
  int64_t outputs;           // 1 to `computed`
  int64_t weights;           // slots, each with a weight; several edges may share one
  int64_t biases;            // divides `computed`
  const int32_t* columns;    // [used] which inputs, ascending
  const int32_t* starts;     // [computed + 1]
  const int32_t* sources;    // [edges] rows, ascending within a unit
  const int32_t* slots;      // [edges]
  dense::Function function;  // f

  int64_t rows() const { return used + computed; }
  int64_t edges() const { return starts[computed]; }
  bool is_output(int64_t unit) const { return unit >= computed - outputs; }
};

inline int64_t tiles_of(int64_t batch) { return (batch + kTile - 1) / kTile; }

// Tensors are contiguous. `saved` [tiles, rows, kTile] holds every row of a tile of samples; 0 in lanes without a sample.
template <class T>
struct ForwardArgs {
  int64_t batch;    // at least 1
  const T* x;       // [batch, inputs]
  const T* weight;  // [weights]
  const T* bias;    // [biases]
  T* saved;         // overwritten
  T* y;             // [batch, outputs]; overwritten
};

template <class T>
struct BackwardArgs {
  int64_t batch;
  const T* weight;
  const T* saved;
  const T* grad_y;  // [batch, outputs]
  T* grad_weight;   // [weights]; overwritten, 0 where no edge has the slot
  T* grad_bias;     // [biases]; overwritten
  T* grad_x;        // [batch, inputs]; overwritten. Null: not computed
};

}  // namespace zoo::sparse_network

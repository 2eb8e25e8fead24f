// What one gridnet step is asked to do: sizes, options and tensors. Shared by the CPU and CUDA kernels.
// The arithmetic of a cell is in cell.h. No torch, no Python.
#pragma once
#include <cstdint>

#include "core/math.h"

namespace zoo::gridnet {

constexpr int kNeighbours = 27;  // offsets (dz, dy, dx) in {-1,0,1}^3, index (dz+1)*9 + (dy+1)*3 + (dx+1)

struct Shape {
  int64_t m, n, k;  // grid axes z, y, x; x is contiguous in memory

  ZOO_HD int64_t cells() const { return m * n * k; }
  ZOO_HD int64_t rows() const { return m * n; }
  ZOO_HD int64_t index(int64_t z, int64_t y, int64_t x) const { return (z * n + y) * k + x; }
};

struct StepConfig {
  Shape shape;
  int64_t batch;
  int64_t block;  // side of the cubic blocks; divides m, n and k
  int inner_steps;
  bool gated;      // weight [27, 2, M, N, K] and bias [2, M, N, K] instead of [27, M, N, K] and [M, N, K]
  bool normalize;  // standardise each block with its shell before every inner step (plain only)
  double eps;      // added to the standard deviation when normalize is set
  Activation activation;

  // Without normalisation and with one inner step the cut into blocks changes nothing.
  ZOO_HD bool blocks_matter() const { return normalize || inner_steps > 1; }
};

// outer_steps steps with a LayerNorm over the whole grid between them: h <- norm(step(h)), or with outer_residual
// h <- h + step(norm(h)) - norm(h). A single step is the evolution with outer_steps 1 and norm false.
struct EvolveConfig {
  StepConfig step;
  int outer_steps;
  bool separate;  // one parameter set per outer step, [outer_steps, ...], instead of one for all, [1, ...]
  bool norm;
  bool outer_residual;  // needs norm
  double norm_eps;
  int segment;  // backward keeps the grid of every segment-th step and computes those between again

  ZOO_HD int parameter_sets() const { return separate ? outer_steps : 1; }
  // Whether step s reads the LayerNorm of the grid it finds; the input of an evolution without outer_residual is read
  // as it is, and its output is normalised instead.
  ZOO_HD bool normalises(int s) const { return norm && (outer_residual || s > 0); }
  ZOO_HD bool normalises_output() const { return norm && !outer_residual; }
  // Whether what is read of the grid before step s, or after the last, is its LayerNorm.
  ZOO_HD bool behind_norm(int s) const { return s < outer_steps ? normalises(s) : normalises_output(); }
  // Whether the grid before step s, or after the last, is kept for the backward pass (on the CPU), and how many are.
  ZOO_HD bool keeps(int s) const { return s == outer_steps ? normalises_output() : s > 0 && s % segment == 0; }
  ZOO_HD int64_t kept_grids() const { return (outer_steps - 1) / segment + normalises_output(); }
};

// The tensors of a single step.
template <class T>
struct StepInputs {
  const T* weight;
  const T* bias;
  const T* residual_scale;  // null when gated
  const T* x;               // [batch, m, n, k]
};

template <class T>
struct StepGrads {
  const T* grad_out;  // [batch, m, n, k]
  T* weight;
  T* bias;
  T* residual_scale;  // null when gated
  T* x;
};

// The tensors of an evolution.
template <class T>
struct Inputs {
  const T* weight;          // [sets, 27, (2,) m, n, k]
  const T* bias;            // [sets, (2,) m, n, k]
  const T* residual_scale;  // [sets, m, n, k]; null when gated
  const T* norm_weight;     // [m, n, k]; null without norm
  const T* norm_bias;       // [m, n, k]; null without norm
  const T* x;               // [batch, m, n, k]
};

// Outputs of the backward pass, in the shapes of the inputs.
template <class T>
struct Grads {
  T* weight;
  T* bias;
  T* residual_scale;
  T* norm_weight;
  T* norm_bias;
  T* x;
};

}  // namespace zoo::gridnet

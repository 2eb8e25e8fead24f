// The problem that a gridnet call solves: sizes, options and tensors. Shared by the CPU and CUDA kernels; no torch, no
// Python. The functions of a cell (activations, sigmoid) are in core/math.h.
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

// One step: every cell becomes x + scale * act(bias + sum_i weight_i * neighbour_i), or in its gated form
// gate * x + (1 - gate) * act(value), where value and gate are such sums. The grid is cut into cubic blocks; within a
// step a block runs its inner steps alone and sees its one-cell shell as it was before the step.
struct StepConfig {
  Shape shape;
  int64_t batch;
  int64_t block;  // side of the cubic blocks; divides m, n and k
  int inner_steps;
  bool gated;      // two channels, value and gate: weight [27, 2, m, n, k] and bias [2, m, n, k]
  bool normalize;  // standardise each block with its shell before every inner step; plain steps only
  double eps;      // added to the standard deviation when `normalize` is set
  Activation activation;

  ZOO_HD int channels() const { return gated ? 2 : 1; }
  // Without standardised blocks and with one inner step, the cut into blocks changes no result.
  ZOO_HD bool blocks_matter() const { return normalize || inner_steps > 1; }
};

// outer_steps steps with a LayerNorm over the whole grid between them: h <- norm(step(h)), or with outer_residual
// h <- h + step(norm(h)) - norm(h). A single step is the evolution with outer_steps 1 and norm false.
//
// Grid s is the grid before step s, as it is stored; grid outer_steps is the one after the last step. LayerNorm is
// applied when a grid is read, so normalised grids are not stored.
struct EvolveConfig {
  StepConfig step;
  int outer_steps;
  bool separate;  // one parameter set per outer step, [outer_steps, ...], instead of one for all, [1, ...]
  bool norm;
  bool outer_residual;  // needs norm
  double norm_eps;
  int recompute;  // forward saves every recompute-th grid; backward recomputes those between them

  ZOO_HD int parameter_sets() const { return separate ? outer_steps : 1; }
  // True if step s reads the LayerNorm of grid s. Without outer_residual, the first step reads its input as it is, and
  // the output of the evolution is normalised instead.
  ZOO_HD bool normalises_input(int s) const { return norm && (outer_residual || s > 0); }
  ZOO_HD bool normalises_output() const { return norm && !outer_residual; }
  // True if grid s is read through the LayerNorm: by step s, or as the output.
  ZOO_HD bool normalises(int s) const { return s < outer_steps ? normalises_input(s) : normalises_output(); }
};

// How a CPU call lays out its parameters: plane by plane, for cells in lanes, or tap by tap of each cell, for samples in
// lanes.
enum class Layout : int { planes = 0, taps = 1 };

// The tensors of a call. T is the element type, or void where it is known at run time only.
template <class T>
struct Inputs {
  const T* weight;          // [sets, 27, (2,) m, n, k]
  const T* bias;            // [sets, (2,) m, n, k]
  const T* residual_scale;  // [sets, m, n, k]; null when gated
  const T* norm_weight;     // [m, n, k]; null without norm
  const T* norm_bias;       // [m, n, k]; null without norm
  const T* x;               // [batch, m, n, k]
};

// Gradients in the shapes of the inputs; null where the input is.
template <class T>
struct Grads {
  T* weight;
  T* bias;
  T* residual_scale;
  T* norm_weight;
  T* norm_bias;
  T* x;
};

template <class T>
struct ForwardArgs {
  Inputs<T> inputs;
  T* out;  // [batch, m, n, k]
  // Activations that forward saves for backward. Null in inference, and without norm when there is one outer step. A
  // buffer of bytes on CUDA, of elements on the CPU.
  T* saved;
  int64_t saved_size = 0;  // elements of `saved`; read on the CPU only
  // The parameters as prepare() laid them out for this call's layout, on the CPU; null: the call lays them out itself.
  const T* prepared = nullptr;
};

template <class T>
struct BackwardArgs {
  Inputs<T> inputs;
  const T* saved;
  const T* grad_out;  // [batch, m, n, k]
  Grads<T> grads;
  int64_t saved_size = 0;  // elements of `saved`; read on the CPU only
};

}  // namespace zoo::gridnet

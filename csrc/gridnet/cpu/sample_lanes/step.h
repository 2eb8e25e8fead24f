// The contract between a step of one tile of samples and the evolution that runs it. Stencil and Blocks are the steps.
#pragma once
#include <concepts>

#include "core/thread_pool.h"
#include "gridnet/cpu/sample_lanes/lane_grid.h"
#include "gridnet/cpu/sample_lanes/update_backward.h"

namespace zoo::ZOO_ISA {

// One parameter set as a step reads it, and in backward the gradients that a team accumulates. A plain step has one
// channel, a gated one two (value, gate). The layout of `weight`, `folded` and `transposed` is the step's own.
template <class T>
struct Parameters {
  const T* weight;
  const T* folded;             // `weight` with the norm's weight folded in; only where the step folds
  const T* folded_weight_sum;  // [channel][cell], see FoldedSums
  const T* folded_bias_sum;    // [channel][cell]
  const T* transposed;         // for every cell, the weights with which its neighbours read it; backward only
  const T* bias;               // [channel][cell]
  const T* scale;              // [cell], null when gated
  T* grad_weight;              // [channel][cell][27]
  T* grad_bias;
  T* grad_scale;
};

// Folds a LayerNorm into a parameter set. The tensors of the first group are torch's.
template <class T>
struct FoldArgs {
  const T* weight;
  const T* bias;
  const T* norm_weight;
  const T* norm_bias;

  T* folded;
  T* weight_sum;
  T* bias_sum;
};

// out = step(in), or step(norm(in)) unless norm is null.
template <class T, int NV>
struct StepForward {
  const Parameters<T>& parameters;
  const LaneGrid<T, NV * kLanes<T>>& in;
  const Norm<T, NV>* norm;
  const LaneGrid<T, NV * kLanes<T>>& out;
  Moments<T, NV>* moments;  // takes in every row of out; or null
  const Team& team;
};

// grad, the gradient that arrives at the step's output, becomes the gradient of what the step read, which is `in`.
template <class T, int NV>
struct StepBackward {
  const Parameters<T>& parameters;
  const LaneGrid<T, NV * kLanes<T>>& in;  // after its LayerNorm, if it has one
  const LaneGrid<T, NV * kLanes<T>>& grad;
  const Team& team;
};

// What the evolution does around a step's backward pass, row by row.
template <class R, class T, int NV>
concept BackwardRows = requires(const R& rows, int64_t r, const T* z) {
  // Fills the rows [first, end) of `in`. A step calls it before it reads them, and again if it needs them again.
  rows.prepare(r, r);
  // Returns how the gradient of row r of the step's output arrives; z is row r of `in`.
  { rows.incoming(r, z) } -> std::same_as<IncomingRow<T, NV>>;
  // Does at once what incoming(r) describes: `grad` becomes the gradient of row r of the step's output.
  rows.apply_incoming(r);
  // Called when row r of `grad` is the gradient of what the step read.
  rows.finish(r);
};

// Callbacks that do nothing, with which the concept below states the signatures of a step.
struct IgnoreRow {
  template <class T>
  void operator()(T*, int64_t, int64_t) const {}
};
template <class T, int NV>
struct IgnoreRows {
  void prepare(int64_t, int64_t) const {}
  IncomingRow<T, NV> incoming(int64_t, const T*) const { return {}; }
  void apply_incoming(int64_t) const {}
  void finish(int64_t) const {}
};

// One gridnet step of one tile, run by a team. Static members speak of a configuration, before there is a tile:
//
//   kVectors         vectors of samples in a tile
//   kSlides          forward may write the grid that it reads, moved by two planes
//   kFolds           forward reads Parameters::folded where the grid is read through a LayerNorm, and fold() fills it
//   weight_size      numbers in Parameters::weight, and in folded; transposed_size those in transposed
//   shared_size      numbers of scratch memory for a team; own_size those for each of its members
//   held_rows        rows that a grid must hold at a time if the last pass of backward() that reads it is `passes`
//                    passes after the one that writes it; 0 for all rows
//   pack             packs this member's part of torch's weight [27, channel, m, n, k]
//   pack_transposed  packs this member's part of the transposed weights, from torch's or from the packed ones
//
// A step is constructed by every member of a team with the team's shared memory and the member's own. Members call
// forward and backward together:
//
//   forward   writes this member's part of `out`, adds it to `moments`, and calls finish_row(row, first cell, count)
//             for each row or part of a row that it wrote. The caller waits for the other members.
//   backward  adds to the gradients of the parameters and calls the BackwardRows. It ends with a barrier.
template <class S>
concept Step =
    requires(const StepConfig& config, const Team& team, bool backward, int passes, const typename S::Scalar* from,
             typename S::Scalar* to) {
      { S::kVectors } -> std::convertible_to<int>;
      { S::kSlides } -> std::convertible_to<bool>;
      { S::kFolds } -> std::convertible_to<bool>;
      { S::weight_size(config) } -> std::same_as<int64_t>;
      { S::transposed_size(config) } -> std::same_as<int64_t>;
      { S::shared_size(config, backward) } -> std::same_as<int64_t>;
      { S::own_size(config, backward) } -> std::same_as<int64_t>;
      { S::held_rows(config, team, passes) } -> std::same_as<int64_t>;
      S::pack(config, from, team, to);
      S::pack_transposed(config, from, /*packed=*/from, team, to);
      S(config, team, /*shared=*/to, /*own=*/to, backward);
    } &&
    requires(S step, const StepForward<typename S::Scalar, S::kVectors>& forward,
             const StepBackward<typename S::Scalar, S::kVectors>& backward,
             const IgnoreRows<typename S::Scalar, S::kVectors>& rows) {
      step.forward(forward, IgnoreRow{});
      step.backward(backward, rows);
    } &&
    (!S::kFolds || requires(const StepConfig& config, const FoldArgs<typename S::Scalar>& args, const Team& team) {
      S::fold(config, args, team);
    });

}  // namespace zoo::ZOO_ISA

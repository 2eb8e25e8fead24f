// The launchers of the Meta-NCA kernels, which evolve.cu composes. T is float or double.
#pragma once
#include <string>

#include "nca/problem.h"

namespace zoo::nca::cuda {

// Sums over the weights (without the padding) of each row, [networks, layers, rows, channels], and of each column,
// [networks, layers, columns, channels].
template <class T>
struct Sums {
  T* rows;
  T* columns;
};

template <class T>
struct SumsTask {
  const T* of_rows;  // [networks, layers, rows, columns, channels], whose rows are summed
  const T* of_columns;
  Sums<T> sums;
};

// Runs one or two tasks in one launch (sums.cu).
template <class T>
std::string sum_neighbours(const Population& population, const SumsTask<T>* tasks, int count, void* stream);

// Tensors that the rule reads in one epoch.
template <class T>
struct View {
  const T* states;
  Sums<T> sums;  // of the states
  const T* signals;
  const bool* fire_mask;  // of the epoch
  const T* parameters;
};

// Writes the states after the epoch to `out`, which may be `view.states` (apply.cu).
template <class T>
std::string apply_rule(const Population& population, const Rule& rule, const View<T>& view, T* out, void* stream);

// The gradients of the states before an epoch, in three shares: a weight's own, the one that it passes to every other
// weight of its column, and the one for its row. Another kernel sums the shares of each column and row.
template <class T>
struct Shares {
  T* own;
  T* into;    // to the column: the weights into the same unit
  T* out_of;  // to the row
  Sums<T> sums;
};

template <class T>
struct BackwardTask {
  View<T> view;
  Shares<T> shares;  // of the states after the epoch, overwritten by those of the states before it
  bool whole;        // shares.own is the whole gradient of the states after the epoch: no other shares exist yet
  T* grad_signals;   // added to; or null
  T* partial;        // [backward_ctas, parameters] gradients of the parameters, added to
};

// The gradients of one epoch (apply_backward.cu).
int backward_ctas(const Population& population);
template <class T>
std::string apply_rule_backward(const Population& population, const Rule& rule, const BackwardTask<T>& task,
                                void* stream);

// Adds all shares up into shares.own, which becomes the whole gradient (spread.cu).
template <class T>
std::string spread_gradients(const Population& population, const Shares<T>& shares, void* stream);

}  // namespace zoo::nca::cuda

// The launchers of the Meta-NCA kernels, as cuda_evolve.cu composes them. T is float or double.
#pragma once
#include <string>

#include "nca/problem.h"

namespace zoo::nca::cuda {

// Over the weights that exist of a row, [networks, layers, rows, channels], and of a column, [.., columns, channels].
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

// One or two of them by one launch (cuda_sums.cu).
template <class T>
std::string sum_neighbours(const Population& population, const SumsTask<T>* tasks, int count, void* stream);

// What the rule reads in one epoch.
template <class T>
struct View {
  const T* states;
  Sums<T> sums;  // of the states
  const T* signals;
  const bool* fire_mask;  // of the epoch
  const T* parameters;
};

// The states after the epoch; `out` may be `view.states` (cuda_apply.cu).
template <class T>
std::string apply_rule(const Population& population, const Rule& rule, const View<T>& view, T* out, void* stream);

// Gradients of the states before an epoch in three parts: the weight's own, and what it has to pass to each other
// weight of its column and of its row. The sums of those parts are known after the kernel that wrote them.
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
  bool whole;        // shares.own is the whole gradient of the states after the epoch, there are no other shares yet
  T* grad_signals;   // added to; or null
  T* partial;        // [backward_ctas, parameters] gradients of the parameters, added to
};

// (cuda_apply_backward.cu)
int backward_ctas(const Population& population);
template <class T>
std::string apply_rule_backward(const Population& population, const Rule& rule, const BackwardTask<T>& task,
                                void* stream);

// shares.own becomes the whole gradient (cuda_spread.cu).
template <class T>
std::string spread_gradients(const Population& population, const Shares<T>& shares, void* stream);

}  // namespace zoo::nca::cuda

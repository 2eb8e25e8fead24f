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

template <class T>
ZOO_HD View<T> view_of(const Evolution<T>& evolution, int epoch, const T* states, const Sums<T>& sums) {
  return {.states = states,
          .sums = sums,
          .signals = evolution.signals,
          .fire_mask = evolution.fire_mask + epoch * evolution.population.weights(),
          .parameters = evolution.parameters};
}

// Where the states lie: an epoch changes `out` in place; in training each reads one saved state and writes the next.
template <class T>
struct Trajectory {
  T* out;
  T* saved;  // null in inference
  int64_t elements;
  int epochs;

  ZOO_HD T* before(int epoch) const { return saved ? saved + epoch * elements : out; }
  ZOO_HD T* after(int epoch) const { return saved && epoch + 1 < epochs ? before(epoch + 1) : out; }
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

// All epochs in one launch, with a CTA for each layer of each network, where all layers are small (whole.cu). `groups`
// of a CTA's threads work on a chunk of weights each; 0 where the layers are too large for it. Shapes alone decide.
int whole_forward_groups(const Population& population, const Rule& rule, size_t element_bytes);
int whole_backward_groups(const Population& population, const Rule& rule, size_t element_bytes);
template <class T>
std::string evolve_whole(const Evolution<T>& evolution, const Trajectory<T>& states, const Sums<T>& sums, int groups,
                         void* stream);

template <class T>
struct WholeBackwardTask {
  const T* saved;  // the states before every epoch
  Sums<T> sums;    // of the states
  Shares<T> shares;
  T* grad_signals;  // added to; or null
  T* partial;       // [whole_backward_ctas * groups, parameters], added to
};

int whole_backward_ctas(const Population& population, int groups);
// Leaves the gradients of the first states in task.shares.own, which has those of the last.
template <class T>
std::string evolve_whole_backward(const Evolution<T>& evolution, const WholeBackwardTask<T>& task, int groups,
                                  void* stream);

// Adds all shares up into shares.own, which becomes the whole gradient (spread.cu).
template <class T>
std::string spread_gradients(const Population& population, const Shares<T>& shares, void* stream);

}  // namespace zoo::nca::cuda

// Sums over the weights of every row and column, without the padding: one thread per channel of a row or column, in
// order.
#pragma once
#include "nca/cuda/layers.cuh"

namespace zoo::nca::cuda {

// The sum of one channel of row `line` of a layer or, from p.rows on, of a column. Lines of the padding have no sum.
template <class T>
__device__ void sum_line(const Population& p, const SumsTask<T>& task, const Layer& layer, int line, int channel) {
  const bool is_row = line < p.rows;
  const int unit = is_row ? line : line - static_cast<int>(p.rows);
  if (unit >= (is_row ? layer.inputs : layer.outputs)) return;
  const Place at(p, layer, is_row ? unit : 0, is_row ? 0 : unit);
  const int count = is_row ? layer.outputs : layer.inputs;
  const int64_t step = p.channels * (is_row ? 1 : p.columns);
  const T* const in = (is_row ? task.of_rows : task.of_columns) + at.weight * p.channels + channel;
  T sum = 0;
  for (int k = 0; k < count; ++k) sum += in[k * step];
  (is_row ? task.sums.rows : task.sums.columns)[(is_row ? at.row : at.column) * p.channels + channel] = sum;
}

}  // namespace zoo::nca::cuda

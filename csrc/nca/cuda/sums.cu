// Sums over the weights of every row and column, without the padding: one thread per channel of a row or column, in
// order.
#include "nca/cuda/layers.cuh"

namespace zoo::nca::cuda {
namespace {

template <class T>
__global__ void neighbour_sums_kernel(Population p, const __grid_constant__ SumsTask<T> first,
                                      const __grid_constant__ SumsTask<T> second) {
  const SumsTask<T>& task = blockIdx.y == 0 ? first : second;
  const int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x, lines = p.rows + p.columns;
  const int64_t channel = index % p.channels, line = index / p.channels % lines, number = index / p.channels / lines;
  if (number >= layer_count(p)) return;
  const Layer layer(p, number);
  const bool is_row = line < p.rows;
  const int64_t unit = is_row ? line : line - p.rows;
  if (unit >= (is_row ? layer.inputs : layer.outputs)) return;
  const Place at(p, layer, is_row ? static_cast<int>(unit) : 0, is_row ? 0 : static_cast<int>(unit));
  const int count = is_row ? layer.outputs : layer.inputs;
  const int64_t step = p.channels * (is_row ? 1 : p.columns);
  const T* const in = (is_row ? task.of_rows : task.of_columns) + at.weight * p.channels + channel;
  T sum = 0;
  for (int k = 0; k < count; ++k) sum += in[k * step];
  (is_row ? task.sums.rows : task.sums.columns)[(is_row ? at.row : at.column) * p.channels + channel] = sum;
}

}  // namespace

template <class T>
std::string sum_neighbours(const Population& p, const SumsTask<T>* tasks, int count, void* stream) {
  constexpr int kSumThreads = 128;
  const int64_t sums = layer_count(p) * (p.rows + p.columns) * p.channels;
  const dim3 grid(static_cast<unsigned>(ceil_div(sums, kSumThreads)), static_cast<unsigned>(count));
  return launch("neighbour_sums", neighbour_sums_kernel<T>, grid, kSumThreads, 0, stream, p, tasks[0],
                tasks[count - 1]);
}

template std::string sum_neighbours(const Population&, const SumsTask<float>*, int, void*);
template std::string sum_neighbours(const Population&, const SumsTask<double>*, int, void*);

}  // namespace zoo::nca::cuda

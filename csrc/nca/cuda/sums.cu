// Sums over the weights of every row and column in a launch of their own.
#include "nca/cuda/sums.cuh"

namespace zoo::nca::cuda {
namespace {

template <class T>
__global__ void neighbour_sums_kernel(Population p, const __grid_constant__ SumsTask<T> first,
                                      const __grid_constant__ SumsTask<T> second) {
  const int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x, lines = p.rows + p.columns;
  const int64_t number = index / p.channels / lines;
  if (number >= layer_count(p)) return;
  sum_line(p, blockIdx.y == 0 ? first : second, Layer(p, number), static_cast<int>(index / p.channels % lines),
           static_cast<int>(index % p.channels));
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

// One thread sums each element over the parts of the batch, in order, so that the result is the same every time.
#include "core/cuda/common.cuh"
#include "core/cuda/sum_parts.h"

namespace zoo::cuda {
namespace {

template <class T>
__global__ void sum_parts_kernel(const Accum<T>* partial, int parts, int64_t part_stride, int64_t count, T* out) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  Accum<T> sum = 0;
  for (int part = 0; part < parts; ++part) sum += partial[part * part_stride + i];
  out[i] = static_cast<T>(sum);
}

}  // namespace

std::string sum_parts(Dtype dtype, const PartialSums& partial, int first_plane, int count, void* out, void* stream) {
  constexpr int kThreads = 256;
  const int64_t cells = partial.cells;
  return with_type(dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* first = static_cast<const Accum<T>*>(partial.data) + first_plane * cells;
    const dim3 ctas(static_cast<unsigned>(ceil_div(count * cells, kThreads)));
    return launch("sum_parts", &sum_parts_kernel<T>, ctas, kThreads, 0, stream, first, partial.parts,
                  partial.planes * cells, count * cells, static_cast<T*>(out));
  });
}

}  // namespace zoo::cuda

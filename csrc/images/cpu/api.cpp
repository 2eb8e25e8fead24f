// The entry point of images/api.h: images are shared by the threads.
#include "images/api.h"

#include <stdexcept>
#include <string>

#include "core/share.h"
#include "images/cpu/kernels.h"

namespace zoo::images {
namespace {

constexpr IsaTables<IsaKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kImagesKernels);

template <class T>
Take<T> kernel() {
  if constexpr (sizeof(T) == 1) return kernels_in_use(kTables).of_bytes;
  else return kernels_in_use(kTables).of_floats;
}

// Every index is used to address memory.
void check(const Batch& batch, int64_t images) {
  bool good = true;
  for (int64_t i = 0; i < batch.size; ++i) good &= batch.indices[i] >= 0 && batch.indices[i] < images;
  if (!good)
    throw std::invalid_argument("indices hold a number outside 0 to " + std::to_string(images - 1) +
                                ", the numbers of the images");
}

}  // namespace

template <class T>
void take(const Images<T>& images, const Batch& batch, float* out, int threads) {
  check(batch, images.count);
  const Take<T> take_part = kernel<T>();
  share(batch.size, images.channels * images.height * images.width, threads,
        [&](int64_t begin, int64_t end) { take_part(images, batch, begin, end, out); });
}

template void take(const Images<uint8_t>&, const Batch&, float*, int);
template void take(const Images<float>&, const Batch&, float*, int);

}  // namespace zoo::images

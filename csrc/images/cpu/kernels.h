// The table of kernels that each instruction set's build of kernels.cpp fills. Each runs on one thread.
#pragma once
#include "core/dispatch.h"
#include "images/api.h"

namespace zoo::images {

// The images `begin` to `end` - 1 of a batch whose indices have been checked.
template <class T>
using Take = void (*)(const Images<T>& images, const Batch& batch, int64_t begin, int64_t end, float* out);

struct IsaKernels {
  Take<uint8_t> of_bytes;
  Take<float> of_floats;
};

}  // namespace zoo::images

ZOO_DECLARE_KERNELS(images::IsaKernels, kImagesKernels)

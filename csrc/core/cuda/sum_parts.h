// The last stage of parameter gradients in all ops.
#pragma once
#include <cstdint>
#include <string>

#include "core/cuda/dtype.h"

namespace zoo::cuda {

// out[plane, cell] = sum over parts of partial[part, first_plane + plane, cell], in order.
std::string sum_parts(Dtype dtype, const void* partial, int parts, int planes, int first_plane, int count,
                      int64_t cells, void* out, void* stream);

}  // namespace zoo::cuda

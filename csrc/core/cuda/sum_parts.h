// The last stage of parameter gradients in all ops.
#pragma once
#include <cstdint>
#include <string>

#include "core/cuda/dtype.h"

namespace zoo::cuda {

// Partial sums [parts, planes, cells] in device memory, in the accumulation type.
struct PartialSums {
  const void* data;
  int parts;
  int planes;
  int64_t cells;
};

// out[plane, cell] = the sum over parts of partial[part, first_plane + plane, cell], in order, for `count` planes.
std::string sum_parts(Dtype dtype, const PartialSums& partial, int first_plane, int count, void* out, void* stream);

}  // namespace zoo::cuda

// The evolution of Meta-NCA's task networks on CUDA. Pointers, Population::units among them, are device memory that the
// caller allocates. Every function queues its work on `stream` and returns an error line, empty if nothing is wrong. No
// atomics: results are the same bits every time, on every device.
#pragma once
#include <cstddef>
#include <string>

#include "core/cuda/dtype.h"
#include "nca/problem.h"

namespace zoo::nca::cuda {

using zoo::cuda::Dtype;  // float32 and float64 are built here

size_t forward_workspace_bytes(Dtype dtype, const Population& population);
size_t backward_workspace_bytes(Dtype dtype, const Population& population, const Rule& rule);

// `epochs` is at least 1, and `units` are trusted to fit the shape: the caller has checked them. Here `saved` is
// [epochs, networks, layers, rows, columns, channels].
std::string forward(Dtype dtype, const Evolution<void>& evolution, const ForwardArgs<void>& args, void* workspace,
                    void* stream);
std::string backward(Dtype dtype, const Evolution<void>& evolution, const BackwardArgs<void>& args, void* workspace,
                     void* stream);

}  // namespace zoo::nca::cuda

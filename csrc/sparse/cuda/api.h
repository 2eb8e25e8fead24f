// The sparse linear layer on CUDA. Pointers are device memory; every function queues its work on `stream` and returns
// an error line, empty when all is well. Results do not depend on the device and are the same bits every time.
#pragma once
#include <cstddef>
#include <string>

#include "core/cuda/dtype.h"
#include "sparse/pattern.h"

namespace zoo::sparse::cuda {

using zoo::cuda::Dtype;  // float32 and float64 are built here

// What either direction needs.
size_t workspace_bytes(Dtype dtype, const Pattern& pattern, int64_t batch);

// y [batch, rows] = x [batch, columns] W^T. The pattern's indices are trusted: the caller has checked them.
std::string forward(Dtype dtype, const Pattern& pattern, const void* values, const void* x, int64_t batch, void* y,
                    void* workspace, void* stream);

// grad_values [entries] and, unless it is null, grad_x [batch, columns] are overwritten.
std::string backward(Dtype dtype, const Pattern& pattern, const void* values, const void* x, const void* grad_y,
                     int64_t batch, void* grad_values, void* grad_x, void* workspace, void* stream);

}  // namespace zoo::sparse::cuda

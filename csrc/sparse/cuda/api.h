// The sparse linear layer on CUDA. Pointers are device memory; every function queues its work on `stream` and returns
// an error line, empty if nothing is wrong. Results do not depend on the device and are the same bits every time.
#pragma once
#include <cstddef>
#include <string>

#include "core/cuda/dtype.h"
#include "sparse/args.h"
#include "sparse/pattern.h"

namespace zoo::sparse::cuda {

using zoo::cuda::Dtype;  // float32 and float64 are built here

// Bytes of device memory that either direction needs.
size_t workspace_bytes(Dtype dtype, const Pattern& pattern, int64_t batch);

// The pattern's indices are trusted: the caller has checked them.
std::string forward(Dtype dtype, const Pattern& pattern, const ForwardArgs<void>& args, void* workspace, void* stream);
std::string backward(Dtype dtype, const Pattern& pattern, const BackwardArgs<void>& args, void* workspace,
                     void* stream);

}  // namespace zoo::sparse::cuda

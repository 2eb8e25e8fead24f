// Gridnet on CUDA, for code without CUDA headers.
//
// Every pointer is device memory on the current device, every tensor is contiguous. The caller allocates all of it,
// workspaces included. Work is queued on `stream` (a cudaStream_t) and not waited for. A function returns an error
// line, empty if nothing is wrong; launches are checked. No sum uses atomics: its order follows from the shapes
// alone.
#pragma once
#include <cstddef>
#include <string>

#include "core/cuda/dtype.h"
#include "gridnet/problem.h"

namespace zoo::gridnet::cuda {

using zoo::cuda::Dtype;

// Bytes of ForwardArgs::saved; 0 without norm, where nothing is saved.
size_t saved_bytes(Dtype dtype, const EvolveConfig& config);

// `training` if `saved` will not be null.
size_t forward_workspace_bytes(Dtype dtype, const EvolveConfig& config, bool training);
size_t backward_workspace_bytes(Dtype dtype, const EvolveConfig& config);

// Without norm, outer_steps must be 1.
std::string evolve_forward(Dtype dtype, const EvolveConfig& config, const ForwardArgs<void>& args, void* workspace,
                           void* stream);
std::string evolve_backward(Dtype dtype, const EvolveConfig& config, const BackwardArgs<void>& args, void* workspace,
                            void* stream);

}  // namespace zoo::gridnet::cuda

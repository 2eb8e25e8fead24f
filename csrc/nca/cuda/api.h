// The evolution of Meta-NCA's task networks on CUDA. Pointers, the population's units among them, are device memory
// and the caller allocates all of it; every function queues its work on `stream` and returns an error line, empty when
// all is well. No atomics: results are the same bits every time, on every device.
#pragma once
#include <cstddef>
#include <string>

#include "core/cuda/dtype.h"
#include "nca/problem.h"

namespace zoo::nca::cuda {

using zoo::cuda::Dtype;  // float32 and float64 are built here

// What the rule reads beside the states. `units` are trusted to fit the shape: the caller has checked them.
struct Inputs {
  const void* signals;     // [networks, layers, rows, columns, signals], the same in every epoch
  const bool* fires;       // [epochs, networks, layers, rows, columns]
  const void* parameters;  // [rule.parameters()]
};

size_t forward_workspace_bytes(Dtype dtype, const Population& population);
size_t backward_workspace_bytes(Dtype dtype, const Population& population, const Rule& rule);

// From states [networks, layers, rows, columns, channels] to those after `epochs` (at least 1). Training keeps the
// states before every epoch, kept [epochs, networks, layers, rows, columns, channels], which is null in inference. What
// weights that do not exist have is passed on, and perceived by none.
std::string forward(Dtype dtype, const Population& population, const Rule& rule, int epochs, const Inputs& inputs,
                    const void* states, void* out, void* kept, void* workspace, void* stream);

// Like what they are gradients of; all are overwritten. `signals` is null when it is not wanted.
struct Grads {
  void* states;
  void* signals;
  void* parameters;
};
std::string backward(Dtype dtype, const Population& population, const Rule& rule, int epochs, const Inputs& inputs,
                     const void* kept, const void* grad_out, const Grads& grads, void* workspace, void* stream);

}  // namespace zoo::nca::cuda

// Gridnet on the CPU, on the instruction set in use (core/dispatch.h).
#pragma once
#include "gridnet/problem.h"

namespace zoo::gridnet {

// Elements of the buffer that a forward pass fills for the backward pass.
template <class T>
int64_t kept_size(const EvolveConfig& config, int threads);

// out [batch, m, n, k] is overwritten, and so is kept (kept_size elements) unless it is null. Throws std::bad_alloc.
template <class T>
void evolve_forward(const EvolveConfig& config, const Inputs<T>& inputs, T* out, T* kept, int threads);

// Every gradient is overwritten. kept may be null without norm and with one outer step. Throws std::bad_alloc, and
// std::invalid_argument when another instruction set wrote kept.
template <class T>
void evolve_backward(const EvolveConfig& config, const Inputs<T>& inputs, const T* kept, const T* grad_out,
                     const Grads<T>& grads, int threads);

}  // namespace zoo::gridnet

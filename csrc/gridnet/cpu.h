// The CPU kernels, behind one entry per operation and a choice of instruction set at run time.
#pragma once
#include <string>
#include <vector>

#include "shape.h"

namespace zoo::gridnet {

// Instruction sets built in and usable on this machine, best first.
std::vector<std::string> usable_isas();

// The one in use. set_isa throws std::invalid_argument when the name is not among usable_isas().
std::string current_isa();
void set_isa(const std::string& name);

// Float32 multiply-adds from registers, the same on every thread; how many floating-point operations they were.
int64_t run_multiply_adds(int64_t rounds, int threads);

// out = a + 3 b for n floats in memory, each thread its contiguous part.
void run_triad(float* out, const float* a, const float* b, int64_t n, int threads);

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

// The sparse linear layer on the CPU, on the instruction set in use (core/dispatch.h).
#pragma once
#include "sparse/args.h"
#include "sparse/pattern.h"

namespace zoo::sparse {

// Throws std::invalid_argument for a pattern whose indices lead outside the matrix, or whose two orders are not those of
// one matrix with each entry once.
void check_consistent(const Pattern& pattern);

// Both throw std::invalid_argument for a pattern whose indices lead outside the matrix, and std::bad_alloc.
template <class T>
void forward(const Pattern& pattern, const ForwardArgs<T>& args, int threads);

template <class T>
void backward(const Pattern& pattern, const BackwardArgs<T>& args, int threads);

}  // namespace zoo::sparse

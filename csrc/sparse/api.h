// The sparse linear layer on the CPU, on the instruction set in use (core/dispatch.h).
#pragma once
#include "sparse/pattern.h"

namespace zoo::sparse {

// y [batch, rows] = x [batch, columns] W^T; batch is at least 1. Throws std::invalid_argument for a pattern whose
// indices lead outside the matrix, std::bad_alloc.
template <class T>
void forward(const Pattern& pattern, const T* values, const T* x, int64_t batch, T* y, int threads);

// grad_values [entries] and, unless it is null, grad_x [batch, columns] are overwritten. Throws as forward.
template <class T>
void backward(const Pattern& pattern, const T* values, const T* x, const T* grad_y, int64_t batch, T* grad_values,
              T* grad_x, int threads);

}  // namespace zoo::sparse

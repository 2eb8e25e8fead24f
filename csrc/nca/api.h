// The evolution of Meta-NCA's task networks on the CPU, on the instruction set in use (core/dispatch.h).
#pragma once
#include "nca/problem.h"

namespace zoo::nca {

// The number of elements of ForwardArgs::saved. States are saved without the padding, so a forward pass may fill fewer.
int64_t saved_size(const Population& population, int64_t epochs);

// Both throw std::invalid_argument for networks or a rule that do not fit the shapes, and std::bad_alloc.
template <class T>
void forward(const Evolution<T>& evolution, const ForwardArgs<T>& args, int threads);

template <class T>
void backward(const Evolution<T>& evolution, const BackwardArgs<T>& args, int threads);

}  // namespace zoo::nca

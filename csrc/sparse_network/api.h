// The network of units on the CPU, on the instruction set in use (core/dispatch.h).
#pragma once
#include "sparse_network/problem.h"

namespace zoo::sparse_network {

// All three throw std::invalid_argument for a network whose edges lead outside it, read a row that comes later, or are
// out of order.
// `edges` is the length of sources and slots.
void check(const Network& network, int64_t edges);

// Both throw std::bad_alloc, too.
template <class T>
void forward(const Network& network, int64_t edges, const ForwardArgs<T>& args, int threads);

template <class T>
void backward(const Network& network, int64_t edges, const BackwardArgs<T>& args, int threads);

}  // namespace zoo::sparse_network

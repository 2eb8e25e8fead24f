// The evolution of Meta-NCA's task networks on the CPU, on the instruction set in use (core/dispatch.h).
#pragma once
#include "nca/problem.h"

namespace zoo::nca {

// What both directions are given. Networks have signals [networks, layers, rows, columns, signals] that stay the same
// in all epochs (null without), and fires [epochs, networks, layers, rows, columns] says which weights change in each.
template <class T>
struct Evolution {
  Population population;
  Rule rule;
  int64_t epochs;
  const T* parameters;
  const T* signals;
  const bool* fires;
};

// Like what they are gradients of; all are overwritten. Null for signals: not asked for.
template <class T>
struct Grads {
  T* state;
  T* signals;
  T* parameters;
};

// Elements of the buffer that a forward pass fills for the backward pass: the states before every epoch, of the weights
// that exist, one network after the other, so what they take is at most this.
int64_t kept_size(const Population& population, int64_t epochs);

// out, shaped like state, is overwritten, and so is kept (kept_size elements) unless it is null. Throws
// std::invalid_argument for networks or a rule that do not fit the shapes, std::bad_alloc.
template <class T>
void forward(const Evolution<T>& evolution, const T* state, T* out, T* kept, int threads);

// Throws as forward.
template <class T>
void backward(const Evolution<T>& evolution, const T* kept, const T* grad_out, const Grads<T>& grads, int threads);

}  // namespace zoo::nca

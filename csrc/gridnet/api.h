// Gridnet on the CPU, with the instruction set in use (core/dispatch.h).
#pragma once
#include "gridnet/problem.h"

namespace zoo::gridnet {

// Elements of ForwardArgs::saved.
template <class T>
int64_t saved_size(const EvolveConfig& config, int threads);

// The layout in which forward reads parameters when it saves nothing.
template <class T>
Layout layout_of(const EvolveConfig& config, int threads);

// Elements of ForwardArgs::prepared.
template <class T>
int64_t prepared_size(const EvolveConfig& config, Layout layout);

// Lays out the parameters, for calls with the instruction set in use. `prepared` is aligned to 64 bytes. Neither
// inputs.x nor config.step.batch is read.
template <class T>
void prepare(const EvolveConfig& config, const Inputs<T>& inputs, Layout layout, T* prepared);

// Overwrites out, and saved unless it is null. Throws std::bad_alloc, and std::invalid_argument unless `saved` has the
// size of the instruction set in use.
template <class T>
void evolve_forward(const EvolveConfig& config, const ForwardArgs<T>& args, int threads);

// Overwrites every gradient. Throws std::bad_alloc, and std::invalid_argument if another instruction set or a call with
// other arguments wrote `saved`.
template <class T>
void evolve_backward(const EvolveConfig& config, const BackwardArgs<T>& args, int threads);

}  // namespace zoo::gridnet

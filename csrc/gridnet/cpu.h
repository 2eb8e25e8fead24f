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

// out [batch, m, n, k] is overwritten. Throws std::bad_alloc.
template <class T>
void step_forward(const StepConfig& config, const StepInputs<T>& inputs, T* out, int threads);

// Every gradient is overwritten.
template <class T>
void step_backward(const StepConfig& config, const StepInputs<T>& inputs, const StepGrads<T>& grads, int threads);

}  // namespace zoo::gridnet

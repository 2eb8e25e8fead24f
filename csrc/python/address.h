// How tensors and errors cross between Python and C++. Tensors come as addresses (a DLPack tensor costs ten times as
// much per call): zoo/kernels checks shape, dtype, device and layout before it takes any address. 0 stands for an
// absent tensor.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace zoo::python {

template <class T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

// Raises RuntimeError with the error line of a CUDA entry point, unless it is empty.
inline void raise_error(const std::string& line) {
  if (!line.empty()) throw std::runtime_error(line);
}

}  // namespace zoo::python

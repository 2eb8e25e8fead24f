// Tensors of the sparse linear layer y = x W^T. Contiguous; T is void where the element type is known at run time only.
#pragma once
#include <cstdint>

namespace zoo::sparse {

template <class T>
struct ForwardArgs {
  int64_t batch;    // at least 1
  const T* values;  // [entries]
  const T* x;       // [batch, columns]
  T* y;             // [batch, rows]; overwritten
};

template <class T>
struct BackwardArgs {
  int64_t batch;    // at least 1
  const T* values;  // [entries]
  const T* x;       // [batch, columns]
  const T* grad_y;  // [batch, rows]
  T* grad_values;   // [entries]; overwritten
  T* grad_x;        // [batch, columns]; overwritten. Null: not computed
};

}  // namespace zoo::sparse

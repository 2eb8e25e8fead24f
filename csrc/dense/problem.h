// The small computations around the large kernels, in inference: float32, on the CPU, without gradients. torch computes
// them too, but with libraries that the SDK does not have, whose sums have another order. Both backends of the SDK
// therefore use these, and give the same bits.
#pragma once
#include <cstdint>

namespace zoo::dense {

// y = weight x + bias for rows x.
struct Linear {
  int64_t inputs, outputs;
  const float* weight;  // [outputs, inputs]
  const float* bias;    // [outputs]
};

// Rows of numbers: row r starts at data + r * stride.
template <class T>
struct Rows {
  T* data;
  int64_t stride;

  T* operator[](int64_t r) const { return data + r * stride; }
};

// The standardised row, times weight, plus bias.
struct LayerNorm {
  int64_t n;
  const float* weight;
  const float* bias;
  double eps;  // added to the variance
};

enum class Function : int { tanh = 0, sigmoid = 1, relu = 2 };

// The log-probabilities of a weighted mixture of classifiers.
struct Mixture {
  int64_t members, classes;
  const float* weights;  // [members], positive
};

}  // namespace zoo::dense

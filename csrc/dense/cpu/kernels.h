// The table of kernels that each instruction set's build of kernels.cpp fills. Each runs on one thread.
#pragma once
#include "core/dispatch.h"
#include "dense/problem.h"

namespace zoo::dense {

struct IsaKernels {
  // The numbers of a packed layer, and how it is packed: its weights in the order in which linear() reads them.
  int64_t (*packed_size)(int64_t inputs, int64_t outputs);
  void (*pack)(const Linear& layer, float* packed);
  void (*linear)(int64_t inputs, int64_t outputs, const float* packed, Rows<const float> x, int64_t rows,
                 Rows<float> y);
  void (*layer_norm)(const LayerNorm& norm, const float* x, float* y);  // one row
  void (*apply)(Function function, const float* x, int64_t n, float* y);
  // One sample: the logits of each member are a row. `shifts` [members] is scratch memory.
  void (*mix)(const Mixture& mixture, Rows<const float> logits, float* shifts, float* y);
};

const IsaKernels& kernels();  // of the instruction set in use

}  // namespace zoo::dense

ZOO_DECLARE_KERNELS(dense::IsaKernels, kDenseKernels)

// The computations of dense/problem.h on whole batches, with the instruction set in use (core/dispatch.h). The result of
// a row depends on that row alone.
#pragma once
#include "dense/problem.h"

namespace zoo::dense {

// y [rows, outputs] from x [rows, inputs].
void linear(const Linear& layer, const float* x, int64_t rows, float* y, int threads);

// y [rows, n] from x [rows, n].
void layer_norm(const LayerNorm& norm, const float* x, int64_t rows, float* y, int threads);

// y [n] from x [n], which may be the same.
void apply(Function function, const float* x, int64_t n, float* y, int threads);

// y [rows, classes] from logits [members, rows, classes].
void mix(const Mixture& mixture, const float* logits, int64_t rows, float* y, int threads);

}  // namespace zoo::dense

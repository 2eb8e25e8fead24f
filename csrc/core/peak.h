// What the machine can do at best, to measure the kernels against: multiply-adds from registers, and streaming through
// memory. Both run on the instruction set in use.
#pragma once
#include <cstdint>

#include "core/dispatch.h"

namespace zoo {

// Runs `rounds` rounds of float32 multiply-adds from registers on every thread. Returns the number of floating-point
// operations.
int64_t run_multiply_adds(int64_t rounds, int threads);

// out = a + 3 b for n floats in memory, each thread its contiguous part.
void run_triad(float* out, const float* a, const float* b, int64_t n, int threads);

// One thread's part of the two, for one instruction set (peak_kernels.cpp).
struct PeakKernels {
  int64_t flops_per_round;
  float (*multiply_add)(int64_t rounds);
  void (*triad)(float* out, const float* a, const float* b, int64_t begin, int64_t end);
};

}  // namespace zoo

ZOO_DECLARE_KERNELS(PeakKernels, kPeakKernels)

// The steps of an evolution in one launch. All CTAs are resident at once and wait for each other where otherwise a
// launch would end: no step reads a grid or statistics before they are complete. Weights stay in registers from step to step.
#pragma once
#include "gridnet/cuda/field.cuh"

namespace zoo::gridnet::cuda {

// The sum of value_of(i) for i < count, in every thread. Its order is that of 256 threads, whatever the CTA has (a
// multiple of 32, at most 512).
template <class A, class ValueOf>
__device__ A sum_in_order(int count, ValueOf value_of) {
  constexpr int kWarps = 8, kAtOnce = 4;  // of these, a CTA of two warps computes two at once per warp
  __shared__ A partial[kWarps];
  const int lane = threadIdx.x % kWarp, first = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
#pragma unroll 1
  for (int round = 0; round < kWarps; round += kAtOnce) {
    A sums[kAtOnce] = {};
#pragma unroll 1
    for (int start = round * kWarp + lane; start < count; start += kWarps * kWarp) {
#pragma unroll
      for (int w = 0; w < kAtOnce; ++w) {
        const int i = start + w * kWarp;
        if ((round + w) % warps == first && i < count) sums[w] += value_of(i);
      }
    }
#pragma unroll
    for (int w = 0; w < kAtOnce; ++w) {
      if ((round + w) % warps != first) continue;
      const A sum = warp_sum(sums[w]);
      if (lane == 0) partial[round + w] = sum;
    }
  }
  __syncthreads();
  A total = 0;
  for (int w = 0; w < kWarps; ++w) total += partial[w];
  __syncthreads();  // `partial` is free for the next call
  return total;
}

// The statistics of a sample, from the moments of its groups of cells. All threads of the CTA must call it.
template <class A>
__device__ Stats<A> merge_moments(const Moments<A>* moments, int groups, int cells, A eps) {
  const A count = static_cast<A>(cells);
  const A mean = sum_in_order<A>(groups, [&](int i) { return moments[i].count * moments[i].mean; }) / count;
  const A m2 = sum_in_order<A>(groups, [&](int i) {
    const A distance = moments[i].mean - mean;
    return moments[i].m2 + moments[i].count * distance * distance;
  });
  return {mean, A(1) / sqrt(m2 / count + eps)};
}

// FurtherSteps in a kernel.
template <class T>
struct Further {
  int count;
  Trajectory grids;
  Stats<Accum<T>>* stats;
  Accum<T> norm_eps;

  // Ends a step: computes the statistics of grid s from its moments. All threads of all CTAs must call it.
  __device__ void finish_step(int s, int batch, int cells, const Moments<Accum<T>>* moments, int64_t groups) const {
    grid_barrier();
    for (int sample = blockIdx.y * gridDim.x + blockIdx.x; sample < batch; sample += gridDim.x * gridDim.y) {
      const Stats<Accum<T>> merged = merge_moments(moments + sample * groups, groups, cells, norm_eps);
      if (threadIdx.x == 0) stats[int64_t{s - 1} * batch + sample] = merged;
    }
    grid_barrier();
  }
  // Calls take_step(input, output) for the first step and, if Together, the further ones. `a` are the arguments of the
  // kernel.
  template <bool Together, class Arguments, class TakeStep>
  __device__ void take_steps(const Arguments& a, int64_t groups, TakeStep take_step) const {
    if constexpr (!Together) return take_step(a.input, a.out);
    Field<T> step_input = a.input;
    T* step_output = a.out;
    for (int s = 0;; ++s) {
      take_step(step_input, step_output);
      if (s == count) break;
      finish_step(s + 1, a.batch, a.grid.cells(), a.moments, groups);
      step_input = {static_cast<const T*>(grids.at(s + 1)), stats + int64_t{s} * a.batch, a.input.norm_weight,
                    a.input.norm_bias};
      step_output = static_cast<T*>(grids.at(s + 2));
    }
  }
};

template <class T>
Further<T> typed(const FurtherSteps& further) {
  return {.count = further.count,
          .grids = further.grids,
          .stats = static_cast<Stats<Accum<T>>*>(further.stats),
          .norm_eps = static_cast<Accum<T>>(further.norm_eps)};
}

// The parts of the batch that suit a large GPU, with `units` CTAs each.
inline int forward_parts(int64_t batch, int units) {
  constexpr int64_t kWantedCtas = 1056;  // eight for each multiprocessor of an H100
  return batch_parts(batch, units, kWantedCtas, 65535);
}

// True if the current device holds as many CTAs at once of the kernel for all steps as it would of the one for a single
// step, and one for each of the `units` of a part of the batch.
template <class Arguments>
bool fit_together(void (*step)(Arguments), void (*all)(Arguments), int units, int64_t batch, int threads,
                  size_t shared) {
  const int64_t held = resident_ctas(all, threads, shared), wanted = int64_t{units} * forward_parts(batch, units);
  return units <= held && (wanted <= held || resident_ctas(step, threads, shared) <= held);
}

// Queues a forward kernel. The parts of several steps are as many as the device holds at once; no result depends on
// them.
template <class Arguments>
std::string launch_steps(const char* name, void (*kernel)(Arguments), int units, int64_t batch, int threads,
                         size_t shared, void* stream, const Arguments& arguments) {
  int64_t parts = forward_parts(batch, units);
  const auto ctas = [&] { return dim3(units, static_cast<unsigned>(parts)); };
  if (arguments.further.count == 0) return launch(name, kernel, ctas(), threads, shared, stream, arguments);
  parts = std::min(parts, resident_ctas(kernel, threads, shared) / units);
  return launch_together(name, kernel, ctas(), threads, shared, stream, arguments);
}

}  // namespace zoo::gridnet::cuda

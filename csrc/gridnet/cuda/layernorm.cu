// LayerNorm over the whole grid of each sample: statistics in two stages (groups of cells, then the sample), the
// normalisation, and its gradients. Every sum has a fixed order.
#include "gridnet/cuda/steps.cuh"

namespace zoo::gridnet::cuda {
namespace {

constexpr int kThreads = 256;

// One warp per group of 32 cells of one sample.
template <class T>
__global__ void moments_kernel(const T* values, int64_t groups, int64_t groups_per_sample, int cells,
                               Moments<Accum<T>>* moments) {
  using A = Accum<T>;
  const int64_t group = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
  if (group >= groups) return;
  const int cell = static_cast<int>(group % groups_per_sample) * kWarp + threadIdx.x % kWarp;
  const bool inside = cell < cells;
  const A value = inside ? static_cast<A>(values[group / groups_per_sample * cells + cell]) : A(0);
  const Moments<A> found =
      warp_moments(warp_sum(A(inside)), value, [&](A mean) { return inside ? (value - mean) * (value - mean) : A(0); });
  if (threadIdx.x % kWarp == 0) moments[group] = found;
}

// One CTA per sample merges the sample's groups.
template <class A>
__global__ void finish_stats_kernel(const Moments<A>* moments, int64_t groups, int cells, A eps, Stats<A>* stats) {
  const Stats<A> merged = merge_moments(moments + blockIdx.x * groups, groups, cells, eps);
  if (threadIdx.x == 0) stats[blockIdx.x] = merged;
}

template <class T>
__global__ void normalise_kernel(Field<T> input, int64_t count, int cells, T* out) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  out[i] = static_cast<T>(input.at(static_cast<int>(i / cells), cells, static_cast<int>(i % cells)));
}

// One warp per group of 32 cells of one sample.
template <class T>
__global__ void norm_sums_kernel(Field<T> grids, const T* grad, int64_t groups, int64_t groups_per_sample, int cells,
                                 GradSums<Accum<T>>* sums) {
  using A = Accum<T>;
  const int64_t group = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
  if (group >= groups) return;
  const int sample = static_cast<int>(group / groups_per_sample);
  const int cell = static_cast<int>(group % groups_per_sample) * kWarp + threadIdx.x % kWarp;
  GradSums<A> own{};
  if (cell < cells) grids.add_to(own, static_cast<A>(grad[int64_t{sample} * cells + cell]), sample, cells, cell);
  own = warp_sums(own);
  if (threadIdx.x % kWarp == 0) sums[group] = own;
}

// One CTA per sample: the means over the sample.
template <class A>
__global__ void finish_norm_sums_kernel(const GradSums<A>* sums, int64_t groups, int cells, GradSums<A>* means) {
  sums += blockIdx.x * groups;
  A plain = 0, weighted = 0;
  for (int64_t i = threadIdx.x; i < groups; i += blockDim.x) {
    plain += sums[i].plain;
    weighted += sums[i].weighted;
  }
  plain = block_sum(plain) / static_cast<A>(cells);
  weighted = block_sum(weighted) / static_cast<A>(cells);
  if (threadIdx.x == 0) means[blockIdx.x] = {plain, weighted};
}

// A thread owns a cell and iterates over its part of the batch.
template <class T>
__global__ void norm_backward_kernel(GradField<T> grad, int batch, int cells) {
  const int cell = blockIdx.x * blockDim.x + threadIdx.x;
  if (cell >= cells) return;
  const SampleRange samples(batch, blockIdx.y, gridDim.y);
  NormSums<Accum<T>> sums;
  for (int sample = samples.begin; sample < samples.end; ++sample) grad.read(sample, cells, cell, sums);
  grad.start(blockIdx.y, cells, cell);
  grad.add(blockIdx.y, cells, cell, sums);
}

dim3 ctas_for(int64_t threads) { return dim3(static_cast<unsigned>(ceil_div(threads, kThreads))); }

}  // namespace

int64_t moment_groups(int64_t cells) { return ceil_div(cells, kWarp); }

std::string moments(const NormTask& task, const void* values, void* moments_out, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t per_sample = moment_groups(task.cells), groups = task.batch * per_sample;
    return launch("moments", &moments_kernel<T>, ctas_for(groups * kWarp), kThreads, 0, stream,
                  static_cast<const T*>(values), groups, per_sample, static_cast<int>(task.cells),
                  static_cast<Moments<Accum<T>>*>(moments_out));
  });
}

std::string finish_stats(const NormTask& task, const MomentGroups& in, double eps, void* stats, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using A = Accum<decltype(zero)>;
    return launch("finish_stats", &finish_stats_kernel<A>, dim3(static_cast<unsigned>(task.batch)), kThreads, 0, stream,
                  static_cast<const Moments<A>*>(in.moments), in.groups, static_cast<int>(task.cells),
                  static_cast<A>(eps), static_cast<Stats<A>*>(stats));
  });
}

std::string normalise(const NormTask& task, const GridView& input, void* out, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t count = task.batch * task.cells;
    return launch("normalise", &normalise_kernel<T>, ctas_for(count), kThreads, 0, stream, field_of<T>(input), count,
                  static_cast<int>(task.cells), static_cast<T*>(out));
  });
}

std::string norm_sums(const NormTask& task, const GridView& grids, const void* grad, void* sums, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t per_sample = moment_groups(task.cells), groups = task.batch * per_sample;
    return launch("norm_sums", &norm_sums_kernel<T>, ctas_for(groups * kWarp), kThreads, 0, stream, field_of<T>(grids),
                  static_cast<const T*>(grad), groups, per_sample, static_cast<int>(task.cells),
                  static_cast<GradSums<Accum<T>>*>(sums));
  });
}

std::string finish_norm_sums(const NormTask& task, const void* sums, int64_t groups, void* means, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using A = Accum<decltype(zero)>;
    return launch("finish_norm_sums", &finish_norm_sums_kernel<A>, dim3(static_cast<unsigned>(task.batch)), kThreads, 0,
                  stream, static_cast<const GradSums<A>*>(sums), groups, static_cast<int>(task.cells),
                  static_cast<GradSums<A>*>(means));
  });
}

std::string norm_backward(const NormTask& task, const GradView& grad, const NormPartial& partial, int parts,
                          void* grad_in, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    return launch("norm_backward", &norm_backward_kernel<T>, dim3(ctas_for(task.cells).x, parts), kThreads, 0, stream,
                  grad_field_of<T>(grad, partial, grad_in), static_cast<int>(task.batch), static_cast<int>(task.cells));
  });
}

}  // namespace zoo::gridnet::cuda

// LayerNorm over the whole grid of each sample: statistics in two stages (groups of cells, then the sample), the
// normalisation, and its gradients. Every sum has a fixed order.
#include "gridnet/cuda/field.cuh"

namespace zoo::gridnet::cuda {
namespace {

constexpr int kThreads = 256;

// The sums over a sample that LayerNorm's backward pass needs: of g = grad * weight, and of g * normalised value.
template <class A>
struct GradSums {
  A plain, weighted;
};

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
__global__ void finish_stats_kernel(const Moments<A>* moments, int64_t groups, A eps, Stats<A>* stats) {
  moments += blockIdx.x * groups;
  A count = 0, sum = 0;
  for (int64_t i = threadIdx.x; i < groups; i += blockDim.x) {
    count += moments[i].count;
    sum += moments[i].count * moments[i].mean;
  }
  count = block_sum(count);
  const A mean = block_sum(sum) / count;
  A m2 = 0;
  for (int64_t i = threadIdx.x; i < groups; i += blockDim.x) {
    const A distance = moments[i].mean - mean;
    m2 += moments[i].m2 + moments[i].count * distance * distance;
  }
  const A variance = block_sum(m2) / count;
  if (threadIdx.x == 0) stats[blockIdx.x] = {mean, A(1) / sqrt(variance + eps)};
}

template <class T>
__global__ void normalise_kernel(Field<T> input, int64_t count, int cells, T* out) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  out[i] = static_cast<T>(input.at(static_cast<int>(i / cells), cells, static_cast<int>(i % cells)));
}

template <class T>
struct NormBackward {
  Field<T> input;
  const T* grad;
  int batch, cells;
  GradSums<Accum<T>>* sums;   // [batch, groups of cells]
  GradSums<Accum<T>>* means;  // [batch]
  Accum<T>* partial;          // [parts, 2, cells]
  bool add_to_partial;
  const T* bypass;
  T* grad_in;
};

// A thread owns a cell and iterates over its part of the batch: gradients of the cell's norm weight and bias, and the
// sums that the other kernels need, per warp and sample.
template <class T>
__global__ void norm_sums_kernel(NormBackward<T> a) {
  using A = Accum<T>;
  const int cell = blockIdx.x * blockDim.x + threadIdx.x;
  const int64_t groups = int64_t{gridDim.x} * blockDim.x / kWarp;
  const bool inside = cell < a.cells;
  const SampleRange samples(a.batch, blockIdx.y, gridDim.y);
  const A weight = inside ? static_cast<A>(a.input.norm_weight[cell]) : A(0);
  A grad_weight = 0, grad_bias = 0;
  for (int sample = samples.begin; sample < samples.end; ++sample) {
    const int64_t offset = int64_t{sample} * a.cells + cell;
    const Stats<A> stats = a.input.stats[sample];
    const A g = inside ? static_cast<A>(a.grad[offset]) : A(0);
    const A normed = inside ? (a.input.raw(offset) - stats.mean) * stats.rstd : A(0);
    grad_weight += g * normed;
    grad_bias += g;
    const GradSums<A> sum{warp_sum(g * weight), warp_sum(g * weight * normed)};
    if (threadIdx.x % kWarp == 0) a.sums[sample * groups + cell / kWarp] = sum;
  }
  if (!inside) return;
  A* const weight_sum = a.partial + int64_t{blockIdx.y} * 2 * a.cells + cell;
  A* const bias_sum = weight_sum + a.cells;
  *weight_sum = a.add_to_partial ? *weight_sum + grad_weight : grad_weight;
  *bias_sum = a.add_to_partial ? *bias_sum + grad_bias : grad_bias;
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

// grad_in = the gradient through the LayerNorm, plus `bypass` unless that is null.
template <class T>
__global__ void norm_backward_kernel(NormBackward<T> a) {
  using A = Accum<T>;
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= int64_t{a.batch} * a.cells) return;
  const int64_t sample = i / a.cells;
  const Stats<A> stats = a.input.stats[sample];
  const GradSums<A> mean = a.means[sample];
  const A g = static_cast<A>(a.grad[i]) * static_cast<A>(a.input.norm_weight[i % a.cells]);
  const A normed = (a.input.raw(i) - stats.mean) * stats.rstd;
  const A through = stats.rstd * (g - mean.plain - normed * mean.weighted);
  a.grad_in[i] = static_cast<T>(a.bypass == nullptr ? through : static_cast<A>(a.bypass[i]) + through);
}

dim3 ctas_for(int64_t threads) { return dim3(static_cast<unsigned>(ceil_div(threads, kThreads))); }

int64_t norm_sum_groups(const NormTask& task) { return ceil_div(task.cells, kThreads) * (kThreads / kWarp); }

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
                  static_cast<const Moments<A>*>(in.moments), in.groups, static_cast<A>(eps),
                  static_cast<Stats<A>*>(stats));
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

int norm_backward_parts(const NormTask& task) {
  constexpr int64_t kWantedCtas = 1056, kMostParts = 32;
  return batch_parts(task.batch, ceil_div(task.cells, kThreads), kWantedCtas, kMostParts);
}

size_t norm_backward_bytes(const NormTask& task) {
  const int64_t sums = task.batch * (norm_sum_groups(task) + 1);
  return 2 * sums * accum_bytes(task.dtype);
}

size_t norm_partial_bytes(const NormTask& task) {
  return size_t(norm_backward_parts(task)) * 2 * task.cells * accum_bytes(task.dtype);
}

std::string norm_backward(const NormTask& task, const NormBackwardTask& pass, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = Accum<T>;
    const int64_t groups = norm_sum_groups(task), count = task.batch * task.cells;
    auto* const sums = static_cast<GradSums<A>*>(pass.workspace);
    const NormBackward<T> arguments{.input = field_of<T>(pass.input),
                                    .grad = static_cast<const T*>(pass.grad_out),
                                    .batch = static_cast<int>(task.batch),
                                    .cells = static_cast<int>(task.cells),
                                    .sums = sums,
                                    .means = sums + task.batch * groups,
                                    .partial = static_cast<A*>(pass.partial_sums),
                                    .add_to_partial = pass.add_to_partial,
                                    .bypass = static_cast<const T*>(pass.bypass),
                                    .grad_in = static_cast<T*>(pass.grad_in)};
    std::string error = launch("norm_sums", &norm_sums_kernel<T>,
                               dim3(ctas_for(task.cells).x, norm_backward_parts(task)), kThreads, 0, stream, arguments);
    if (!error.empty()) return error;
    error = launch("finish_norm_sums", &finish_norm_sums_kernel<A>, dim3(static_cast<unsigned>(task.batch)), kThreads,
                   0, stream, arguments.sums, groups, arguments.cells, arguments.means);
    if (!error.empty()) return error;
    return launch("norm_backward", &norm_backward_kernel<T>, ctas_for(count), kThreads, 0, stream, arguments);
  });
}

}  // namespace zoo::gridnet::cuda

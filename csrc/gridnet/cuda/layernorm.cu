// LayerNorm over a whole grid, per sample: statistics in two stages (groups of cells, then the sample), the
// normalisation itself, and its gradients. Every sum is in a fixed order.
#include "gridnet/cuda/field.cuh"

namespace zoo::gridnet::cuda {
namespace {

constexpr int kThreads = 256;

// Sums over a sample that LayerNorm's backward needs: of g = grad * weight, and of g * normalised value.
template <class A>
struct GradSums {
  A plain, along;
};

// A warp per group of 32 cells of one sample.
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

// A CTA per sample merges its groups.
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

// A thread owns a cell and walks over its part of the batch: gradients of the cell's norm weight and bias, and per
// warp and sample the sums that backward needs.
template <class T>
__global__ void norm_sums_kernel(Field<T> input, const T* grad, int batch, int cells, GradSums<Accum<T>>* sums,
                                 Accum<T>* partial, bool add_to_partial) {
  using A = Accum<T>;
  const int cell = blockIdx.x * blockDim.x + threadIdx.x;
  const int64_t groups = int64_t{gridDim.x} * blockDim.x / kWarp;
  const bool inside = cell < cells;
  const SampleRange samples(batch, blockIdx.y, gridDim.y);
  const A weight = inside ? static_cast<A>(input.norm_weight[cell]) : A(0);
  A grad_weight = 0, grad_bias = 0;
  for (int sample = samples.begin; sample < samples.end; ++sample) {
    const int64_t offset = int64_t{sample} * cells + cell;
    const Stats<A> stats = input.stats[sample];
    const A g = inside ? static_cast<A>(grad[offset]) : A(0);
    const A normed = inside ? (input.raw(offset) - stats.mean) * stats.rstd : A(0);
    grad_weight += g * normed;
    grad_bias += g;
    const GradSums<A> sum{warp_sum(g * weight), warp_sum(g * weight * normed)};
    if (threadIdx.x % kWarp == 0) sums[sample * groups + cell / kWarp] = sum;
  }
  if (!inside) return;
  A* const weight_sum = partial + int64_t{blockIdx.y} * 2 * cells + cell;
  A* const bias_sum = weight_sum + cells;
  *weight_sum = add_to_partial ? *weight_sum + grad_weight : grad_weight;
  *bias_sum = add_to_partial ? *bias_sum + grad_bias : grad_bias;
}

// A CTA per sample: means over the sample.
template <class A>
__global__ void finish_norm_sums_kernel(const GradSums<A>* sums, int64_t groups, int cells, GradSums<A>* means) {
  sums += blockIdx.x * groups;
  A plain = 0, along = 0;
  for (int64_t i = threadIdx.x; i < groups; i += blockDim.x) {
    plain += sums[i].plain;
    along += sums[i].along;
  }
  plain = block_sum(plain) / static_cast<A>(cells);
  along = block_sum(along) / static_cast<A>(cells);
  if (threadIdx.x == 0) means[blockIdx.x] = {plain, along};
}

// grad_in = gradient through the LayerNorm, plus `carried` if given.
template <class T>
__global__ void norm_backward_kernel(Field<T> input, const T* grad, const T* carried, const GradSums<Accum<T>>* means,
                                     int64_t count, int cells, T* grad_in) {
  using A = Accum<T>;
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int64_t sample = i / cells;
  const Stats<A> stats = input.stats[sample];
  const GradSums<A> mean = means[sample];
  const A g = static_cast<A>(grad[i]) * static_cast<A>(input.norm_weight[i % cells]);
  const A normed = (input.raw(i) - stats.mean) * stats.rstd;
  const A through = stats.rstd * (g - mean.plain - normed * mean.along);
  grad_in[i] = static_cast<T>(carried == nullptr ? through : static_cast<A>(carried[i]) + through);
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

std::string finish_stats(const NormTask& task, const void* moments_in, int64_t groups, double eps, void* stats,
                         void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using A = Accum<decltype(zero)>;
    return launch("finish_stats", &finish_stats_kernel<A>, dim3(static_cast<unsigned>(task.batch)), kThreads, 0, stream,
                  static_cast<const Moments<A>*>(moments_in), groups, static_cast<A>(eps),
                  static_cast<Stats<A>*>(stats));
  });
}

std::string normalise(const NormTask& task, const StateView& input, void* out, void* stream) {
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

std::string norm_backward(const NormTask& task, const NormBackward& pass, void* stream) {
  return with_type(task.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = Accum<T>;
    const int cells = static_cast<int>(task.cells), batch = static_cast<int>(task.batch);
    const int64_t groups = norm_sum_groups(task), count = task.batch * task.cells;
    auto* const sums = static_cast<GradSums<A>*>(pass.workspace);
    GradSums<A>* const means = sums + task.batch * groups;
    const Field<T> input = field_of<T>(pass.input);
    const auto* grad = static_cast<const T*>(pass.grad_out);
    std::string error =
        launch("norm_sums", &norm_sums_kernel<T>, dim3(ctas_for(cells).x, norm_backward_parts(task)), kThreads, 0,
               stream, input, grad, batch, cells, sums, static_cast<A*>(pass.partial_sums), pass.add_to_partial);
    if (!error.empty()) return error;
    error = launch("finish_norm_sums", &finish_norm_sums_kernel<A>, dim3(static_cast<unsigned>(batch)), kThreads, 0,
                   stream, sums, groups, cells, means);
    if (!error.empty()) return error;
    return launch("norm_backward", &norm_backward_kernel<T>, ctas_for(count), kThreads, 0, stream, input, grad,
                  static_cast<const T*>(pass.carried), means, count, cells, static_cast<T*>(pass.grad_in));
  });
}

}  // namespace zoo::gridnet::cuda

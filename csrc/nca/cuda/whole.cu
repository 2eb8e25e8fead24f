// All epochs of an evolution in one launch. Layers do not see each other within a call, so a CTA takes a layer through
// every epoch and needs no other CTA. The sums are those of the launches epoch by epoch, in the same order.
#include "nca/cuda/apply.cuh"
#include "nca/cuda/apply_backward.cuh"
#include "nca/cuda/sums.cuh"

namespace zoo::nca::cuda {
namespace {

constexpr int kMostGroups = 4;   // of a CTA: with 512 threads, each may have 128 registers
constexpr int kMostRounds = 2;   // chunks that a group takes in each epoch: beyond, more CTAs are worth their launches
constexpr int kMostParts = 512;  // partial sums of the parameters' gradients
constexpr size_t kMostShared = 96 * 1024;  // every GPU from compute capability 8.0 on allows a CTA as much

int groups_for(const Population& p, size_t shared_of_group) {
  const int64_t chunks = chunks_per_layer(p), most = std::min<int64_t>(kMostGroups, kMostShared / shared_of_group);
  if (chunks == 0 || chunks > most * kMostRounds) return 0;
  const int64_t rounds = ceil_div(chunks, most);
  return static_cast<int>(ceil_div(chunks, rounds));
}

__device__ int chunks_of(const Layer& layer) { return (layer.inputs * layer.outputs + kWeights - 1) / kWeights; }

// The sums of all rows and columns of a layer.
template <class T>
__device__ void sum_lines(const Population& p, const SumsTask<T>& task, const Layer& layer) {
  const int channels = static_cast<int>(p.channels), lines = static_cast<int>(p.rows + p.columns);
  for (int i = threadIdx.x; i < lines * channels; i += blockDim.x) sum_line(p, task, layer, i / channels, i % channels);
}

template <class T>
__global__ void __launch_bounds__(kMostGroups* kThreads)
    evolve_layer_kernel(const __grid_constant__ Evolution<T> evolution, Trajectory<T> states, Sums<T> sums,
                        const T* __restrict__ parameters) {
  DYNSHARED(T, shared);
  const Population& p = evolution.population;
  const Rule& rule = evolution.rule;
  const Layer layer(p, blockIdx.x);
  const int chunks = chunks_of(layer), groups = static_cast<int>(blockDim.x) / kThreads;
  T* const memory = shared + group_of_thread() * apply_elements(rule);
  for (int epoch = 0; chunks > 0 && epoch < states.epochs; ++epoch) {
    T* const before = states.before(epoch);
    sum_lines(p, SumsTask<T>{before, before, sums}, layer);
    __syncthreads();
    for (int first = 0; first < chunks; first += groups) {
      const Chunk chunk(layer, first + group_of_thread());
      apply_chunk(p, rule, view_of<T>(evolution, epoch, before, sums), parameters, chunk, memory, states.after(epoch));
      __syncthreads();  // the states are written, and no thread reads shared memory
    }
  }
}

template <class T>
__device__ void spread_layer(const Population& p, const Shares<T>& shares, const Layer& layer) {
  const int channels = static_cast<int>(p.channels);
  for (int i = threadIdx.x; i < layer.inputs * layer.outputs * channels; i += blockDim.x) {
    const int weight = i / channels, channel = i % channels;
    const Place at(p, layer, weight / layer.outputs, weight % layer.outputs);
    shares.own[at.weight * channels + channel] = spread_gradient(p, shares, at, channel);
  }
}

template <class T>
__global__ void __launch_bounds__(kMostGroups* kThreads)
    evolve_layer_backward_kernel(const __grid_constant__ Evolution<T> evolution,
                                 const __grid_constant__ WholeBackwardTask<T> task, const T* __restrict__ parameters) {
  DYNSHARED(T, shared);
  const Population& p = evolution.population;
  const Rule& rule = evolution.rule;
  const int groups = static_cast<int>(blockDim.x) / kThreads, last = static_cast<int>(evolution.epochs) - 1;
  const SumsTask<T> of_shares{task.shares.out_of, task.shares.into, task.shares.sums};
  T* const memory = shared + group_of_thread() * backward_elements(rule);
  T* const partial = task.partial + (int64_t{blockIdx.x} * groups + group_of_thread()) * parameter_count(rule);
  for (int64_t number = blockIdx.x; number < layer_count(p); number += gridDim.x) {
    const Layer layer(p, number);
    const int chunks = chunks_of(layer);
    if (chunks == 0) continue;
    for (int epoch = last; epoch >= 0; --epoch) {
      const T* const states = task.saved + epoch * p.weights() * p.channels;
      sum_lines(p, SumsTask<T>{states, states, task.sums}, layer);
      if (epoch < last) sum_lines(p, of_shares, layer);
      __syncthreads();
      const BackwardTask<T> of_epoch{.view = view_of<T>(evolution, epoch, states, task.sums),
                                     .shares = task.shares,
                                     .whole = epoch == last,
                                     .grad_signals = task.grad_signals,
                                     .partial = nullptr};
      for (int first = 0; first < chunks; first += groups) {
        const Chunk chunk(layer, first + group_of_thread());
        backward_chunk(p, rule, of_epoch, parameters, chunk, memory, partial);
        __syncthreads();  // the shares are written, and no thread reads shared memory
      }
    }
    sum_lines(p, of_shares, layer);
    __syncthreads();
    spread_layer(p, task.shares, layer);
  }
}

}  // namespace

int whole_forward_groups(const Population& p, const Rule& rule, size_t element_bytes) {
  return groups_for(p, apply_elements(rule) * element_bytes);
}

int whole_backward_groups(const Population& p, const Rule& rule, size_t element_bytes) {
  return groups_for(p, backward_elements(rule) * element_bytes);
}

int whole_backward_ctas(const Population& p, int groups) {
  return static_cast<int>(std::min<int64_t>(layer_count(p), kMostParts / groups));
}

template <class T>
std::string evolve_whole(const Evolution<T>& evolution, const Trajectory<T>& states, const Sums<T>& sums, int groups,
                         void* stream) {
  const size_t shared = groups * apply_elements(evolution.rule) * sizeof(T);
  const std::string error = check_shared(evolve_layer_kernel<T>, evolution.rule, shared);
  if (!error.empty()) return error;
  const dim3 ctas(static_cast<unsigned>(layer_count(evolution.population)));
  return launch("evolve_layer", evolve_layer_kernel<T>, ctas, groups * kThreads, shared, stream, evolution, states,
                sums, evolution.parameters);
}

template <class T>
std::string evolve_whole_backward(const Evolution<T>& evolution, const WholeBackwardTask<T>& task, int groups,
                                  void* stream) {
  const size_t shared = groups * backward_elements(evolution.rule) * sizeof(T);
  const std::string error = check_shared(evolve_layer_backward_kernel<T>, evolution.rule, shared);
  if (!error.empty()) return error;
  const dim3 ctas(static_cast<unsigned>(whole_backward_ctas(evolution.population, groups)));
  return launch("evolve_layer_backward", evolve_layer_backward_kernel<T>, ctas, groups * kThreads, shared, stream,
                evolution, task, evolution.parameters);
}

template std::string evolve_whole(const Evolution<float>&, const Trajectory<float>&, const Sums<float>&, int, void*);
template std::string evolve_whole(const Evolution<double>&, const Trajectory<double>&, const Sums<double>&, int, void*);
template std::string evolve_whole_backward(const Evolution<float>&, const WholeBackwardTask<float>&, int, void*);
template std::string evolve_whole_backward(const Evolution<double>&, const WholeBackwardTask<double>&, int, void*);

}  // namespace zoo::nca::cuda

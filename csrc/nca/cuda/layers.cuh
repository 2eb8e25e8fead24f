// Positions of a population's weights in memory, and how CTAs share them out. For all Meta-NCA kernels.
#pragma once
#include "core/cuda/common.cuh"
#include "core/math.h"
#include "nca/cuda/kernels.h"

namespace zoo::nca::cuda {

using namespace zoo::cuda;

// Counts over the whole population, with the padding.
ZOO_HD int64_t layer_count(const Population& p) { return p.networks * p.layers; }
ZOO_HD int64_t weight_count(const Population& p) { return layer_count(p) * p.rows * p.columns; }

// One layer of one network: weight (i, j) exists where i < inputs and j < outputs.
struct Layer {
  int64_t number;  // network * layers + layer
  int inputs, outputs;

  __device__ Layer(const Population& p, int64_t number_) : number(number_) {
    const int32_t* const units = p.units + number / p.layers * (p.layers + 1) + number % p.layers;
    inputs = units[0];
    outputs = units[1];
  }
};

// Indices of one weight, of its row and of its column in the population, counting the padding.
struct Place {
  int64_t weight, row, column;

  __device__ Place(const Population& p, const Layer& layer, int i, int j)
      : weight((layer.number * p.rows + i) * p.columns + j),
        row(layer.number * p.rows + i),
        column(layer.number * p.columns + j) {}
};

// A group of four warps works on 32 weights at a time, one per lane. Its warps work on the same weights and share out
// the units of each layer of the rule, so that shared memory holds the activations of few weights and still feeds many
// threads. A CTA has one group, or several where it runs all epochs of a layer (whole.cu).
constexpr int kWeights = kWarp;
constexpr int kParts = 4;
constexpr int kThreads = kWeights * kParts;

__device__ inline int lane_of_thread() { return static_cast<int>(threadIdx.x) % kWeights; }
__device__ inline int part_of_thread() { return static_cast<int>(threadIdx.x) / kWeights % kParts; }
__device__ inline int thread_of_group() { return static_cast<int>(threadIdx.x) % kThreads; }
__device__ inline int group_of_thread() { return static_cast<int>(threadIdx.x) / kThreads; }

// Up to 32 consecutive weights of a layer, without the padding. Every layer has the same number of chunks, and those
// past its last weight are empty: a CTA skips them at almost no cost.
struct Chunk {
  Layer layer;
  int first, count;

  __device__ Chunk(const Layer& layer_, int number) : layer(layer_), first(number * kWeights) {
    count = max(0, min(kWeights, layer.inputs * layer.outputs - first));
  }
  __device__ Chunk(const Population& p, int64_t number, int64_t chunks)
      : Chunk(Layer(p, number / chunks), static_cast<int>(number % chunks)) {}
  __device__ Place place(const Population& p, int lane) const {
    return Place(p, layer, (first + lane) / layer.outputs, (first + lane) % layer.outputs);
  }
};

inline int64_t chunks_per_layer(const Population& p) { return ceil_div(p.rows * p.columns, kWeights); }

// The gradient of a state: the sum of the shares of its own weight and of all others in its column and row.
template <class T>
__device__ T spread_gradient(const Population& p, const Shares<T>& shares, const Place& at, int channel) {
  const int64_t here = at.weight * p.channels + channel;
  const T into = shares.sums.columns[at.column * p.channels + channel] - shares.into[here];
  const T out_of = shares.sums.rows[at.row * p.channels + channel] - shares.out_of[here];
  return shares.own[here] + into + out_of;
}

}  // namespace zoo::nca::cuda

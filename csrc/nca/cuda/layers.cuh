// Where the weights of a population lie, for all Meta-NCA kernels.
#pragma once
#include "core/cuda/common.cuh"
#include "core/math.h"
#include "nca/cuda/kernels.h"

namespace zoo::nca::cuda {

using namespace zoo::cuda;

// Of the whole population, with the padding.
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

// One weight: its number with the padding, and those of its row and column among all of the population.
struct Place {
  int64_t weight, row, column;

  __device__ Place(const Population& p, const Layer& layer, int i, int j)
      : weight((layer.number * p.rows + i) * p.columns + j),
        row(layer.number * p.rows + i),
        column(layer.number * p.columns + j) {}
};

// A CTA works on 32 weights at a time, one per lane, and all its warps on the same ones: they share out the units of
// each of the rule's layers. So shared memory holds few weights' activations and still has many threads at work on
// them.
constexpr int kWeights = kWarp;
constexpr int kParts = 4;
constexpr int kThreads = kWeights * kParts;

__device__ inline int lane_of_thread() { return static_cast<int>(threadIdx.x) % kWeights; }
__device__ inline int part_of_thread() { return static_cast<int>(threadIdx.x) / kWeights; }

// Weights that exist, consecutive ones of a layer; chunks behind a layer's last are empty. Padding costs next to
// nothing.
struct Chunk {
  Layer layer;
  int first, count;

  __device__ Chunk(const Population& p, int64_t number, int64_t chunks)
      : layer(p, number / chunks), first(static_cast<int>(number % chunks) * kWeights) {
    count = max(0, min(kWeights, layer.inputs * layer.outputs - first));
  }
  __device__ Place place(const Population& p, int lane) const {
    return Place(p, layer, (first + lane) / layer.outputs, (first + lane) % layer.outputs);
  }
};

inline int64_t chunks_per_layer(const Population& p) { return ceil_div(p.rows * p.columns, kWeights); }

// The gradient of a state, put together from the shares of its own weight and of all others in its column and row.
template <class T>
__device__ T spread_gradient(const Population& p, const Shares<T>& shares, const Place& at, int channel) {
  const int64_t here = at.weight * p.channels + channel;
  const T into = shares.sums.columns[at.column * p.channels + channel] - shares.into[here];
  const T out_of = shares.sums.rows[at.row * p.channels + channel] - shares.out_of[here];
  return shares.own[here] + into + out_of;
}

}  // namespace zoo::nca::cuda

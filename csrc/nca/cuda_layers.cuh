// Where the weights of a population lie, for all Meta-NCA kernels.
#pragma once
#include "../gridnet/cuda_common.cuh"
#include "cuda_kernels.h"

namespace zoo::nca::cuda {

using gridnet::cuda::ceil_div;
using gridnet::cuda::launch;

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

// The weights that exist of a layer, in order, go to CTAs in chunks of a thread each; padding costs next to nothing.
struct Chunk {
  Layer layer;
  int first, count;  // the chunks behind a layer's last weight are empty

  __device__ Chunk(const Population& p, int64_t number, int64_t chunks, int threads)
      : layer(p, number / chunks), first(static_cast<int>(number % chunks) * threads) {
    count = max(0, min(threads, layer.inputs * layer.outputs - first));
  }
  __device__ Place place(const Population& p, int lane) const {
    return Place(p, layer, (first + lane) / layer.outputs, (first + lane) % layer.outputs);
  }
};

inline int64_t chunks_per_layer(const Population& p, int threads) { return ceil_div(p.rows * p.columns, threads); }

// The gradient of a state, put together from the shares of its own weight and of all others in its column and row.
template <class T>
__device__ T spread_gradient(const Population& p, const Shares<T>& shares, const Place& at, int channel) {
  const int64_t here = at.weight * p.channels + channel;
  const T into = shares.sums.columns[at.column * p.channels + channel] - shares.into[here];
  const T out_of = shares.sums.rows[at.row * p.channels + channel] - shares.out_of[here];
  return shares.own[here] + into + out_of;
}

}  // namespace zoo::nca::cuda

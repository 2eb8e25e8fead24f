// The rule as a CTA applies it to its weights. Activations are in shared memory, [unit][weight]: nothing spills
// whatever the widths are, and lanes read different banks. All lanes of a warp read the same parameter at the same
// time. Functions with barriers say that all threads must call them.
#pragma once
#include "nca/activations.h"
#include "nca/cuda/layers.cuh"

namespace zoo::nca::cuda {

// One weight's elements in successive rows of shared memory.
template <class T>
struct Column {
  T* first;
  int stride;
  __device__ T& operator[](int row) const { return first[row * stride]; }
  __device__ Column from(int row) const { return {first + row * stride, stride}; }
};

// A layer of the MLP: its widths and the offsets of its parameters.
struct MlpLayer {
  int inputs, outputs;
  int64_t weight, bias;

  ZOO_HD MlpLayer(const Rule& rule, int number)
      : inputs(rule.widths[0]), outputs(rule.widths[1]), weight(rule.norm ? 2 * rule.widths[0] : 0) {
    for (int i = 0; i < number; ++i) {
      weight += static_cast<int64_t>(inputs + 1) * outputs;
      inputs = outputs;
      outputs = rule.widths[i + 2];
    }
    bias = weight + static_cast<int64_t>(inputs) * outputs;
  }
};

template <class T>
__device__ ValueAndSlope<T> activate_with_slope(Hidden hidden, T x) {
  return hidden == Hidden::silu ? nca::activate_with_slope<Hidden::silu>(x) : nca::activate_with_slope<Hidden::relu>(x);
}

template <class T>
__device__ ValueAndSlope<T> change_with_slope(Change change, T x) {
  switch (change) {
    case Change::tanh: return nca::change_with_slope<Change::tanh>(x);
    case Change::sigmoid: return nca::change_with_slope<Change::sigmoid>(x);
    default: return nca::change_with_slope<Change::linear>(x);
  }
}

// The factor of a sum over the neighbours of one of `units` weights.
template <class T>
__device__ T neighbour_scale(const Rule& rule, int units) {
  return rule.mean && units > 2 ? T(1) / static_cast<T>(units - 1) : T(1);
}

// The weight that a lane works on.
struct LaneWeight {
  const Layer& layer;
  Place at;
  bool exists;  // the last chunk of a layer may have fewer weights than lanes
  bool fires;

  __device__ LaneWeight(const Population& p, const Chunk& chunk, const bool* fire_mask)
      : layer(chunk.layer),
        at(chunk.place(p, lane_of_thread() < chunk.count ? lane_of_thread() : 0)),
        exists(lane_of_thread() < chunk.count),
        fires(exists && fire_mask[at.weight]) {}
};

// The thread's part of the features: the weight's own state, those of its column and of its row, and signals.
template <class T>
__device__ void perceive(const Population& p, const Rule& rule, const View<T>& view, const LaneWeight& weight,
                         Column<T> features) {
  const int channels = static_cast<int>(p.channels), signals = static_cast<int>(p.signals);
  const Place& at = weight.at;
  const T into_scale = neighbour_scale<T>(rule, weight.layer.inputs);
  const T out_of_scale = neighbour_scale<T>(rule, weight.layer.outputs);
  for (int c = part_of_thread(); c < channels; c += kParts) {
    const T own = view.states[at.weight * channels + c];
    features[c] = own;
    features[channels + c] = (view.sums.columns[at.column * channels + c] - own) * into_scale;
    features[2 * channels + c] = (view.sums.rows[at.row * channels + c] - own) * out_of_scale;
  }
  for (int s = part_of_thread(); s < signals; s += kParts)
    features[3 * channels + s] = view.signals[at.weight * signals + s];
}

template <class T>
__device__ Stats<T> norm_stats(const Rule& rule, Column<T> features) {
  const int count = rule.widths[0];
  T sum = 0, squares = 0;
  for (int i = 0; i < count; ++i) sum += features[i];
  const T mean = sum / static_cast<T>(count);
  for (int i = 0; i < count; ++i) squares += (features[i] - mean) * (features[i] - mean);
  return {mean, T(1) / sqrt(squares / static_cast<T>(count) + static_cast<T>(rule.norm_eps))};
}

// Normalises the features and passes the standardised ones, before the norm's weight and bias, to store(i, value).
// Returns 1/std. All threads must call it, after a barrier that follows perceive; those without `fires` change nothing.
template <class T, class Store>
__device__ T normalise(const Rule& rule, bool fires, const T* __restrict__ parameters, Column<T> features,
                       Store store) {
  const int count = rule.widths[0];
  const Stats<T> stats = fires ? norm_stats(rule, features) : Stats<T>{0, 1};
  __syncthreads();
  for (int i = part_of_thread(); fires && i < count; i += kParts) {
    const T standard = (features[i] - stats.mean) * stats.rstd;
    store(i, standard);
    features[i] = standard * parameters[i] + parameters[count + i];
  }
  __syncthreads();
  return stats.rstd;
}

// A [rows, columns] view of a layer's weight; the strides may transpose it.
template <class T>
struct Matrix {
  const T* data;
  int rows, row_stride;
  int columns, column_stride;
};

// For the thread's part of the rows: store(row, start(row) + sum over k of matrix[row][k] * in[k]). Works on several
// rows together, so that they share each activation that is read.
template <class T, class Start, class Store>
__device__ void multiply(const Matrix<T>& matrix, Column<T> in, Start start, Store store) {
  constexpr int kRows = 4;
  for (int first = part_of_thread() * kRows; first < matrix.rows; first += kParts * kRows) {
    T sums[kRows];
    const T* row[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int number = min(first + r, matrix.rows - 1);  // past the last row: the last one again, not stored
      sums[r] = start(number);
      row[r] = matrix.data + static_cast<int64_t>(number) * matrix.row_stride;
    }
    for (int k = 0; k < matrix.columns; ++k) {
      const T x = in[k];
#pragma unroll
      for (int r = 0; r < kRows; ++r) sums[r] += row[r][k * matrix.column_stride] * x;
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      if (first + r < matrix.rows) store(first + r, sums[r]);
  }
}

// The thread's part of a layer's sums.
template <class T, class Store>
__device__ void sum_layer(const MlpLayer& layer, const T* __restrict__ parameters, Column<T> in, Store store) {
  const Matrix<T> weight{.data = parameters + layer.weight,
                         .rows = layer.outputs,
                         .row_stride = layer.inputs,
                         .columns = layer.inputs,
                         .column_stride = 1};
  multiply(weight, in, [&](int row) { return parameters[layer.bias + row]; }, store);
}

// Returns an error line if the device has less shared memory for a kernel.
template <class... Parameters>
std::string check_shared(void (*kernel)(Parameters...), const Rule& rule, size_t bytes) {
  const size_t limit = shared_memory_limit(kernel);
  if (bytes <= limit) return {};
  std::string widths = std::to_string(rule.widths[0]);
  for (int i = 1; i <= rule.layers; ++i) widths += "-" + std::to_string(rule.widths[i]);
  return "a rule of widths " + widths + " needs " + std::to_string(bytes) +
         " bytes of shared memory, this device allows " + std::to_string(limit) + ": make its hidden layers narrower";
}

}  // namespace zoo::nca::cuda

// The gradients of one epoch for a chunk of weights. A group recomputes the rule for them and goes back through its
// layers; there its threads share out each layer's parameters and sum their gradients over the chunk.
#pragma once
#include "nca/cuda/mlp.cuh"

namespace zoo::nca::cuda {

// Rows of shared memory, in order: the features; with a norm, their standardised values; then, for each layer, the
// slopes at its sums, which the gradients of the sums replace, and its outputs. A row is one element longer than the
// number of weights, so that neither successive elements of a row nor successive rows share a bank.
constexpr int kStride = kWeights + 1;

ZOO_HD int out_row(const Rule& rule, int layer) {
  int row = rule.widths[0] * (rule.norm ? 2 : 1);
  for (int i = 1; i <= layer; ++i) row += 2 * rule.widths[i];
  return row;
}
ZOO_HD int in_row(const Rule& rule, int layer) {
  return layer == 0 ? 0 : out_row(rule, layer - 1) + rule.widths[layer];
}
ZOO_HD int row_count(const Rule& rule) { return out_row(rule, rule.layers - 1) + rule.widths[rule.layers]; }

// Elements of shared memory that a group needs.
ZOO_HD size_t backward_elements(const Rule& rule) { return static_cast<size_t>(row_count(rule)) * kStride; }

ZOO_HD int64_t parameter_count(const Rule& rule) {
  const MlpLayer last(rule, rule.layers - 1);
  return last.bias + last.outputs;
}

// Runs the rule forward again, up to the gradients of the last layer's sums. Returns the norm's 1/std. All threads must
// call it.
template <class T>
__device__ T recompute(const Population& p, const Rule& rule, const BackwardTask<T>& task,
                       const T* __restrict__ parameters, const LaneWeight& weight, Column<T> rows) {
  const bool fires = weight.fires;
  T rstd = 1;
  if (fires) perceive(p, rule, task.view, weight, rows);
  __syncthreads();
  if (rule.norm) {
    const Column<T> standardised = rows.from(rule.widths[0]);
    rstd = normalise(rule, fires, parameters, rows, [&](int i, T standard) { standardised[i] = standard; });
  }
  for (int l = 0; l + 1 < rule.layers; ++l) {
    const Column<T> slopes = rows.from(out_row(rule, l)), next = rows.from(in_row(rule, l + 1));
    if (fires)
      sum_layer(MlpLayer(rule, l), parameters, rows.from(in_row(rule, l)), [&](int unit, T sum) {
        const ValueAndSlope<T> activation = activate_with_slope(rule.hidden, sum);
        next[unit] = activation.value;
        slopes[unit] = activation.slope;
      });
    __syncthreads();
  }
  const int last = rule.layers - 1;
  const T scale = static_cast<T>(rule.scale);
  const T* const grad = task.shares.own + weight.at.weight * p.channels;
  const Column<T> grads = rows.from(out_row(rule, last));
  if (fires)
    sum_layer(MlpLayer(rule, last), parameters, rows.from(in_row(rule, last)), [&](int channel, T sum) {
      grads[channel] = grad[channel] * scale * change_with_slope(rule.change, sum).slope;
    });
  return rstd;
}

// The thread's part of turning the gradients of a layer's sums into those of its inputs: of the sums of the layer
// before it, or of the features.
template <class T>
__device__ void pull_back(const Rule& rule, int number, const T* __restrict__ parameters, Column<T> rows) {
  const MlpLayer layer(rule, number);
  const Column<T> grads = rows.from(out_row(rule, number));
  const Column<T> target = rows.from(number == 0 ? 0 : out_row(rule, number - 1));
  const Matrix<T> transposed{.data = parameters + layer.weight,
                             .rows = layer.inputs,
                             .row_stride = 1,
                             .columns = layer.outputs,
                             .column_stride = layer.inputs};
  const auto store = [&](int unit, T sum) { target[unit] = number == 0 ? sum : sum * target[unit]; };
  multiply(transposed, grads, [](int) { return T(0); }, store);
}

// partial += the sums over the chunk of grads[o] * in[i] and, for the bias, of grads[o]. A thread owns 2 x 2 pairs (o,
// i); neighbouring threads own neighbouring inputs.
template <class T>
__device__ void add_layer_gradients(const MlpLayer& layer, const T* in, const T* grads, int count, T* partial) {
  const int wide = (layer.inputs + 1) / 2, high = (layer.outputs + 1) / 2;
  for (int pair = thread_of_group(); pair < wide * high; pair += kThreads) {
    const int i = pair % wide, o = pair / wide;
    const bool second_i = i + wide < layer.inputs, second_o = o + high < layer.outputs;
    const T* const in0 = in + i * kStride;
    const T* const in1 = second_i ? in0 + wide * kStride : in0;
    const T* const grads0 = grads + o * kStride;
    const T* const grads1 = second_o ? grads0 + high * kStride : grads0;
    T sum00 = 0, sum01 = 0, sum10 = 0, sum11 = 0;
    for (int w = 0; w < count; ++w) {
      sum00 += grads0[w] * in0[w];
      sum01 += grads0[w] * in1[w];
      sum10 += grads1[w] * in0[w];
      sum11 += grads1[w] * in1[w];
    }
    T* const first = partial + layer.weight + static_cast<int64_t>(o) * layer.inputs + i;
    T* const second = first + static_cast<int64_t>(high) * layer.inputs;
    first[0] += sum00;
    if (second_i) first[wide] += sum01;
    if (second_o) second[0] += sum10;
    if (second_i && second_o) second[wide] += sum11;
  }
  for (int o = thread_of_group(); o < layer.outputs; o += kThreads) {
    T sum = 0;
    for (int w = 0; w < count; ++w) sum += grads[o * kStride + w];
    partial[layer.bias + o] += sum;
  }
}

template <class T>
__device__ void add_norm_gradients(int features, const T* rows, int count, T* partial) {
  for (int i = thread_of_group(); i < features; i += kThreads) {
    const T* const grads = rows + i * kStride;
    const T* const standard = rows + (features + i) * kStride;
    T weight = 0, bias = 0;
    for (int w = 0; w < count; ++w) {
      weight += grads[w] * standard[w];
      bias += grads[w];
    }
    partial[i] += weight;
    partial[features + i] += bias;
  }
}

// Turns gradients of the normalised features into those of the features. All threads must call it.
template <class T>
__device__ void pull_back_norm(int features, bool fires, T rstd, const T* __restrict__ parameters, Column<T> rows) {
  T sum = 0, along = 0;
  for (int i = 0; fires && i < features; ++i) {
    const T grad = rows[i] * parameters[i];
    sum += grad;
    along += grad * rows[features + i];
  }
  const T mean = sum / static_cast<T>(features), slope = along / static_cast<T>(features);
  __syncthreads();
  for (int i = part_of_thread(); fires && i < features; i += kParts)
    rows[i] = (rows[i] * parameters[i] - mean - rows[features + i] * slope) * rstd;
}

// The thread's part of summing the shares into the gradient of the weight's state after the epoch.
template <class T>
__device__ void gather_shares(const Population& p, const BackwardTask<T>& task, const Place& at) {
  if (task.whole) return;
  for (int c = part_of_thread(); c < p.channels; c += kParts)
    task.shares.own[at.weight * p.channels + c] = spread_gradient(p, task.shares, at, c);
}

template <class T>
__device__ void write_shares(const Population& p, const Rule& rule, const BackwardTask<T>& task,
                             const LaneWeight& weight, Column<T> grads) {
  const int channels = static_cast<int>(p.channels), signals = static_cast<int>(p.signals);
  const Place& at = weight.at;
  const T into_scale = neighbour_scale<T>(rule, weight.layer.inputs);
  const T out_of_scale = neighbour_scale<T>(rule, weight.layer.outputs);
  for (int c = part_of_thread(); c < channels; c += kParts) {
    const int64_t here = at.weight * channels + c;
    task.shares.own[here] += grads[c];
    task.shares.into[here] = grads[channels + c] * into_scale;
    task.shares.out_of[here] = grads[2 * channels + c] * out_of_scale;
  }
  if (!task.grad_signals) return;
  for (int s = part_of_thread(); s < signals; s += kParts)
    task.grad_signals[at.weight * signals + s] += grads[3 * channels + s];
}

// The gradients of one chunk, with the group's `shared` memory; those of the parameters are added to the group's
// `partial`. All threads of the CTA must call it, each group with a chunk of its own, which may be empty. A weight that
// does not fire has zeros in all its rows, so its shares are zero.
template <class T>
__device__ void backward_chunk(const Population& p, const Rule& rule, const BackwardTask<T>& task,
                               const T* __restrict__ parameters, const Chunk& chunk, T* shared, T* partial) {
  const LaneWeight weight(p, chunk, task.view.fire_mask);
  const Column<T> rows{shared + lane_of_thread(), kStride};
  if (weight.exists) gather_shares(p, task, weight.at);
  for (int row = part_of_thread(); weight.exists && !weight.fires && row < row_count(rule); row += kParts)
    rows[row] = 0;
  const T rstd = recompute(p, rule, task, parameters, weight, rows);
  for (int l = rule.layers - 1; l >= 0; --l) {
    __syncthreads();  // the gradients of the layer's sums are written
    add_layer_gradients(MlpLayer(rule, l), shared + in_row(rule, l) * kStride, shared + out_row(rule, l) * kStride,
                        chunk.count, partial);
    if (l == 0) __syncthreads();  // the features are read: their gradients may overwrite them
    if (weight.fires) pull_back(rule, l, parameters, rows);
  }
  __syncthreads();
  if (rule.norm) {
    add_norm_gradients(rule.widths[0], shared, chunk.count, partial);
    pull_back_norm(rule.widths[0], weight.fires, rstd, parameters, rows);
    __syncthreads();
  }
  if (weight.exists) write_shares(p, rule, task, weight, rows);
}

}  // namespace zoo::nca::cuda

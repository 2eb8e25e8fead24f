// A tile of samples through the network and back, on one instruction set. Samples are in lanes and rows lie one after
// another, so that an edge is one broadcast and a few aligned loads, whatever its ends.
#pragma once
#include <algorithm>

#include "core/math.h"
#include "core/simd.h"
#include "sparse_network/problem.h"

namespace zoo::ZOO_ISA {

using dense::Function;
using sparse_network::BackwardArgs;
using sparse_network::ForwardArgs;
using sparse_network::kTile;
using sparse_network::Network;

// Samples that are moved together between tensors and tiles: few enough streams for the cache's associativity.
constexpr int kMovedSamples = 8;

template <class T, Function F>
struct NetworkTile {
  static constexpr int kVectors = std::min(8, kTile / kLanes<T>);  // that go through an edge together
  static constexpr int kPart = kVectors * kLanes<T>;               // their samples
  static constexpr int kChains = std::max(1, 8 / kVectors);
  using P = Pack<T, kVectors>;

  const Network& net;
  int64_t count;  // samples, at most kTile

  static ZOO_INLINE P load_part(const T* p) {
    P out;
    for (int v = 0; v < kVectors; ++v) out.v[v] = load(p + v * kLanes<T>);
    return out;
  }
  static ZOO_INLINE void store_part(T* p, P x) {
    for (int v = 0; v < kVectors; ++v) store(p + v * kLanes<T>, x.v[v]);
  }

  static ZOO_INLINE P apply(P x) {
    if constexpr (F == Function::tanh) return activate<Activation::tanh>(x);
    if constexpr (F == Function::sigmoid) return sigmoid(x);
    for (auto& part : x.v) part = part < 0 ? Vec<T>{} : part;  // NaN stays NaN
    return x;
  }

  // The slope where the function has this value.
  static ZOO_INLINE P slope_at(P value) {
    const P one = constant<P>(1);
    if constexpr (F == Function::tanh) return one - value * value;
    if constexpr (F == Function::sigmoid) return value * (one - value);
    return where_positive(value, one, constant<P>(0));
  }

  // tile[r][l] = x[l][column(r)] for the samples that there are, of `width` numbers each; 0 in the other lanes.
  template <class Column>
  void pack(int64_t rows, const T* x, int64_t width, Column column, T* tile) const {
    for (int64_t first = 0; first < kTile; first += kMovedSamples) {
      const T* const samples = x + first * width;
      const int64_t present = std::clamp<int64_t>(count - first, 0, kMovedSamples);
      for (int64_t r = 0; r < rows; ++r) {
        T* const out = tile + r * kTile + first;
        for (int i = 0; i < kMovedSamples; ++i) out[i] = i < present ? samples[i * width + column(r)] : T(0);
      }
    }
  }

  // x[l][column(r)] = tile[r][l].
  template <class Column>
  void unpack(int64_t rows, const T* tile, int64_t width, Column column, T* x) const {
    for (int64_t first = 0; first < count; first += kMovedSamples) {
      const int64_t present = std::min<int64_t>(count - first, kMovedSamples);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < present; ++i) x[(first + i) * width + column(r)] = tile[r * kTile + first + i];
    }
  }

  auto used_column() const {
    return [columns = net.columns](int64_t r) { return int64_t{columns[r]}; };
  }
  static auto same_column() {
    return [](int64_t r) { return r; };
  }

  // Rows [rows][kTile] and outputs y [count, outputs] from inputs x [count, inputs].
  void forward(const T* x, const T* weight, const T* bias, T* rows, T* y) const {
    pack(net.used, x, net.inputs, used_column(), rows);
    for (int64_t i = 0; i < net.computed; ++i)
      for (int at = 0; at < kTile; at += kPart) {
        const P total = receive(i, weight, rows + at) + bias[i % net.biases];
        store_part(rows + (net.used + i) * kTile + at, net.is_output(i) ? total : apply(total));
      }
    if (count < kTile) clear_lanes(rows);
    unpack(net.outputs, rows + (net.rows() - net.outputs) * kTile, net.outputs, same_column(), y);
  }

  // The sum over the edges of unit i, in kChains parts, so that multiply-adds overlap.
  P receive(int64_t i, const T* weight, const T* rows) const {
    P sums[kChains] = {};
    const auto add = [&](int32_t e, P& sum) ZOO_INLINE_LAMBDA {
      const Vec<T> w = splat(weight[net.slots[e]]);
      const T* const source = rows + int64_t{net.sources[e]} * kTile;
      for (int v = 0; v < kVectors; ++v) sum.v[v] += w * load(source + v * kLanes<T>);
    };
    int32_t e = net.starts[i];
    const int32_t end = net.starts[i + 1];
    for (; e + kChains <= end; e += kChains)
      for (int chain = 0; chain < kChains; ++chain) add(e + chain, sums[chain]);
    for (; e < end; ++e) add(e, sums[0]);
    for (int chain = 1; chain < kChains; ++chain) sums[0] = sums[0] + sums[chain];
    return sums[0];
  }

  // Lanes without a sample hold numbers made of biases alone, which may be infinite and would spoil sums of products.
  void clear_lanes(T* rows) const {
    for (int64_t r = net.used; r < net.rows(); ++r) std::fill(rows + r * kTile + count, rows + (r + 1) * kTile, T(0));
  }

  // Adds to grad_weight and grad_bias; `grads` [rows][kTile] is scratch memory.
  void backward(const T* weight, const T* rows, const T* grad_y, T* grads, T* grad_weight, T* grad_bias,
                T* grad_x) const {
    const int64_t first_row = grad_x ? 0 : net.used;  // the first whose gradient is asked for
    const int64_t first_output = net.rows() - net.outputs;
    std::fill(grads + first_row * kTile, grads + first_output * kTile, T(0));
    pack(net.outputs, grad_y, net.outputs, same_column(), grads + first_output * kTile);
    for (int64_t i = net.computed - 1; i >= 0; --i) {
      T* const g = grads + (net.used + i) * kTile;
      if (!net.is_output(i)) multiply_by_slope(rows + (net.used + i) * kTile, g);
      grad_bias[i % net.biases] += sum_of(g);
      add_edge_grads(i, weight, rows, g, first_row, grads, grad_weight);
    }
    if (!grad_x) return;
    for (int64_t l = 0; l < count; ++l) std::fill(grad_x + l * net.inputs, grad_x + (l + 1) * net.inputs, T(0));
    unpack(net.used, grads, net.inputs, used_column(), grad_x);
  }

  static void multiply_by_slope(const T* values, T* g) {
    for (int at = 0; at < kTile; at += kPart) store_part(g + at, load_part(g + at) * slope_at(load_part(values + at)));
  }

  static T sum_of(const T* g) {
    Vec<T> sum = load(g);
    for (int at = kLanes<T>; at < kTile; at += kLanes<T>) sum += load(g + at);
    T total = 0;
    for (int l = 0; l < kLanes<T>; ++l) total += sum[l];
    return total;
  }

  // The gradients of the weights of unit i's edges and of the rows that they read, from that of its sum.
  void add_edge_grads(int64_t i, const T* weight, const T* rows, const T* grad, int64_t first_row, T* grads,
                      T* grad_weight) const {
    for (int at = 0; at < kTile; at += kPart) {
      const P g = load_part(grad + at);
      int32_t e = net.starts[i];
      const int32_t end = net.starts[i + 1];
      for (; e + kLanes<T> <= end; e += kLanes<T>) {
        Vec<T> products[kLanes<T>];
        for (int k = 0; k < kLanes<T>; ++k) products[k] = product(g, rows + int64_t{net.sources[e + k]} * kTile + at);
        const Vec<T> sums = sum_each<T>(products);
        for (int k = 0; k < kLanes<T>; ++k) grad_weight[net.slots[e + k]] += sums[k];
      }
      for (; e < end; ++e) {
        const Vec<T> last = product(g, rows + int64_t{net.sources[e]} * kTile + at);
        T sum = 0;
        for (int l = 0; l < kLanes<T>; ++l) sum += last[l];
        grad_weight[net.slots[e]] += sum;
      }
      // Sources ascend, so those whose gradients nobody asks for come first.
      for (e = net.starts[i]; e < end && net.sources[e] < first_row;) ++e;
      for (; e < end; ++e) add_scaled(g, splat(weight[net.slots[e]]), grads + int64_t{net.sources[e]} * kTile + at);
    }
  }

  static ZOO_INLINE Vec<T> product(P g, const T* x) {
    Vec<T> sum = g.v[0] * load(x);
    for (int v = 1; v < kVectors; ++v) sum += g.v[v] * load(x + v * kLanes<T>);
    return sum;
  }

  static ZOO_INLINE void add_scaled(P g, Vec<T> weight, T* to) {
    for (int v = 0; v < kVectors; ++v) store(to + v * kLanes<T>, load(to + v * kLanes<T>) + weight * g.v[v]);
  }
};

}  // namespace zoo::ZOO_ISA

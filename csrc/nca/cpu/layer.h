// Dense layers and their gradients, with the weights of task networks in SIMD lanes. A panel holds the features of
// kPanel<T> weights, [feature][kPanel], so that a parameter of the rule is one broadcast for all of them. Feature
// counts are rounded up to a multiple of four, with zeros, so that tiles always fit.
#pragma once
#include "core/simd.h"
#include "core/transpose.h"
#include "nca/activations.h"

namespace zoo::ZOO_ISA {

using nca::Change;
using nca::Hidden;

constexpr int kTile = 4;                                       // outputs that share inputs in registers
constexpr int kPanelVectors = ZOO_VECTOR_BYTES == 64 ? 4 : 2;  // kTile times this many sums fit in registers
constexpr int kTileInputs = ZOO_VECTOR_BYTES == 64 ? 4 : 2;    // inputs of a tile of parameter gradients, likewise
template <class T>
constexpr int kPanel = kPanelVectors * kLanes<T>;

inline int64_t rounded_width(int64_t width) { return (width + kTile - 1) / kTile * kTile; }

// Calls f.template operator()<N>() for n = N, 1 to kPanelVectors.
template <class F>
ZOO_INLINE void with_vectors(int n, F f) {
  if constexpr (kPanelVectors == 4) {
    if (n == 4) return f.template operator()<4>();
    if (n == 3) return f.template operator()<3>();
  }
  if (n == 2) return f.template operator()<2>();
  return f.template operator()<1>();
}

template <class T>
struct Dense {
  int64_t inputs, outputs;  // multiples of kTile
  const T* weight;          // [outputs, inputs]
  const T* bias;            // [outputs], or null
};

// out[o] = bias[o] + sum_i weight[o][i] in[i] for the first NV vectors of a panel; with kTimes, out[o] is multiplied by
// that.
template <bool kTimes, int NV, class T>
void apply_dense(const Dense<T>& layer, const T* in, T* out) {
  constexpr int L = kLanes<T>;
  for (int64_t first = 0; first < layer.outputs; first += kTile) {
    const T* const weight = layer.weight + first * layer.inputs;
    Vec<T> sums[kTile][NV];
    for (int o = 0; o < kTile; ++o)
      for (int v = 0; v < NV; ++v) sums[o][v] = splat(layer.bias ? layer.bias[first + o] : T(0));
    for (int64_t i = 0; i < layer.inputs; ++i) {
      Vec<T> x[NV];
      for (int v = 0; v < NV; ++v) x[v] = load(in + i * kPanel<T> + v * L);
#pragma GCC unroll 4
      for (int o = 0; o < kTile; ++o) {
        const Vec<T> w = splat(weight[o * layer.inputs + i]);
        for (int v = 0; v < NV; ++v) sums[o][v] += w * x[v];
      }
    }
    for (int o = 0; o < kTile; ++o) {
      for (int v = 0; v < NV; ++v) {
        T* const to = out + (first + o) * kPanel<T> + v * L;
        store(to, kTimes ? sums[o][v] * load(to) : sums[o][v]);
      }
    }
  }
}

// The index of the sum for the gradient of weight[o][i]: tile by tile, in the order of the lanes of a tile's sums.
inline int64_t gradient_index(int64_t inputs, int64_t o, int64_t i) {
  return ((o / kTile) * (inputs / kTileInputs) + i / kTileInputs) * (kTile * kTileInputs) + o % kTile * kTileInputs +
         i % kTileInputs;
}

// sums[gradient_index(o, i)] += the sum over `vectors` vectors of panels of delta[o] in[i].
template <class T>
void add_weight_gradients(const T* delta, int64_t outputs, const T* in, int64_t inputs, int64_t vectors, T* sums) {
  constexpr int L = kLanes<T>, kSums = kTile * kTileInputs;
  static_assert(kSums % L == 0);
  for (int64_t first = 0; first < outputs; first += kTile) {
    for (int64_t i = 0; i < inputs; i += kTileInputs, sums += kSums) {
      Vec<T> products[kSums] = {};
      const T *d = delta + first * kPanel<T>, *x = in + i * kPanel<T>;
      const auto add_vector = [&](int64_t at) ZOO_INLINE_LAMBDA {
        Vec<T> values[kTileInputs];
        for (int j = 0; j < kTileInputs; ++j) values[j] = load(x + j * kPanel<T> + at);
#pragma GCC unroll 4
        for (int o = 0; o < kTile; ++o) {
          const Vec<T> g = load(d + o * kPanel<T> + at);
          for (int j = 0; j < kTileInputs; ++j) products[o * kTileInputs + j] += g * values[j];
        }
      };
      for (int64_t panel = 0; panel < vectors / kPanelVectors; ++panel) {
#pragma GCC unroll 4
        for (int v = 0; v < kPanelVectors; ++v) add_vector(v * L);
        d += outputs * kPanel<T>;
        x += inputs * kPanel<T>;
      }
      for (int64_t v = 0; v < vectors % kPanelVectors; ++v) add_vector(v * L);
      for (int s = 0; s < kSums; s += L) store(sums + s, load(sums + s) + sum_each<T>(products + s));
    }
  }
}

// sums[o], one vector per output, += the `vectors` vectors of delta[o].
template <class T>
void add_bias_gradients(const T* delta, int64_t outputs, int64_t vectors, T* sums) {
  constexpr int L = kLanes<T>;
  for (int64_t o = 0; o < outputs; ++o) {
    Vec<T> sum = load(sums + o * L);
    for (int64_t v = 0; v < vectors; ++v)
      sum += load(delta + (v / kPanelVectors * outputs + o) * kPanel<T> + v % kPanelVectors * L);
    store(sums + o * L, sum);
  }
}

template <class T, int N>
ZOO_INLINE Pack<T, N> load_pack(const T* p) {
  Pack<T, N> x;
  for (int i = 0; i < N; ++i) x.v[i] = load(p + i * kLanes<T>);
  return x;
}

template <class T, int N>
ZOO_INLINE void store_pack(T* p, Pack<T, N> x) {
  for (int i = 0; i < N; ++i) store(p + i * kLanes<T>, x.v[i]);
}

// values = f(values).value and, unless slopes is null, slopes = f(values).slope, for NV vectors of `rows` rows of a
// panel.
template <int NV, class T, class F>
ZOO_INLINE void apply_units(int64_t rows, T* values, T* slopes, F f) {
  for (int64_t r = 0; r < rows; ++r) {
    const auto [value, slope] = f(load_pack<T, NV>(values + r * kPanel<T>));
    store_pack<T, NV>(values + r * kPanel<T>, value);
    if (slopes) store_pack<T, NV>(slopes + r * kPanel<T>, slope);
  }
}

template <int NV, class T>
void apply_hidden(Hidden hidden, int64_t rows, T* values, T* slopes) {
  using V = Pack<T, NV>;
  if (hidden == Hidden::silu) {
    apply_units<NV>(rows, values, slopes, [](V x) { return nca::activate_with_slope<Hidden::silu>(x); });
  } else {
    apply_units<NV>(rows, values, slopes, [](V x) { return nca::activate_with_slope<Hidden::relu>(x); });
  }
}

template <int NV, class T>
void apply_change(Change change, T scale, int64_t rows, T* values, T* slopes) {
  using V = Pack<T, NV>;
  const auto scaled = [=](ValueAndSlope<V> y) { return ValueAndSlope<V>{y.value * scale, y.slope * scale}; };
  if (change == Change::tanh) {
    apply_units<NV>(rows, values, slopes, [=](V x) { return scaled(nca::change_with_slope<Change::tanh>(x)); });
  } else if (change == Change::sigmoid) {
    apply_units<NV>(rows, values, slopes, [=](V x) { return scaled(nca::change_with_slope<Change::sigmoid>(x)); });
  } else {
    apply_units<NV>(rows, values, slopes, [=](V x) { return scaled(nca::change_with_slope<Change::linear>(x)); });
  }
}

// A LayerNorm without weight and bias over the first `width` rows of a panel, in place; scales = 1 / deviation.
template <int NV, class T>
void normalise(int64_t width, double eps, T* x, T* scales) {
  using V = Pack<T, NV>;
  const T share = T(1) / static_cast<T>(width);
  V mean = {}, variance = {};
  for (int64_t r = 0; r < width; ++r) mean = mean + load_pack<T, NV>(x + r * kPanel<T>);
  mean = mean * share;
  for (int64_t r = 0; r < width; ++r) {
    const V centred = load_pack<T, NV>(x + r * kPanel<T>) - mean;
    store_pack<T, NV>(x + r * kPanel<T>, centred);
    variance = variance + centred * centred;
  }
  variance = variance * share + static_cast<T>(eps);
  V scale;
  for (int v = 0; v < NV; ++v) scale.v[v] = T(1) / sqrt_of(variance.v[v]);
  for (int64_t r = 0; r < width; ++r) store_pack<T, NV>(x + r * kPanel<T>, load_pack<T, NV>(x + r * kPanel<T>) * scale);
  store_pack<T, NV>(scales, scale);
}

// The gradient of normalise, in place, from its results.
template <int NV, class T>
void normalise_backward(int64_t width, const T* normalised, const T* scales, T* grad) {
  using V = Pack<T, NV>;
  const T share = T(1) / static_cast<T>(width);
  V mean = {}, product = {};
  for (int64_t r = 0; r < width; ++r) {
    const V g = load_pack<T, NV>(grad + r * kPanel<T>);
    mean = mean + g;
    product = product + g * load_pack<T, NV>(normalised + r * kPanel<T>);
  }
  mean = mean * share;
  product = product * share;
  const V scale = load_pack<T, NV>(scales);
  for (int64_t r = 0; r < width; ++r) {
    const V x = load_pack<T, NV>(normalised + r * kPanel<T>);
    store_pack<T, NV>(grad + r * kPanel<T>, (load_pack<T, NV>(grad + r * kPanel<T>) - mean - x * product) * scale);
  }
}

}  // namespace zoo::ZOO_ISA

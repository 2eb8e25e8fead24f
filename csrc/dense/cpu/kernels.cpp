// Compiled once per instruction set (CMakeLists.txt).
#include "dense/cpu/kernels.h"

#include <cmath>

#include "core/math.h"
#include "core/parts.h"

namespace zoo::ZOO_ISA {
namespace {

using dense::Function;
using dense::LayerNorm;
using dense::Linear;
using dense::Mixture;
using dense::Rows;

constexpr int kOutputs = kLanes<float>;  // outputs of a panel, one per lane
constexpr int kChains = 4;               // partial sums of an output, so that multiply-adds overlap
constexpr int kRowsAtOnce = 4;           // rows that share a loaded weight

int64_t count_panels(int64_t outputs) { return (outputs + kOutputs - 1) / kOutputs; }
int64_t panel_size(int64_t inputs) { return (inputs + 1) * kOutputs; }

// Packed: [panel][bias, then each input][lane].
int64_t packed_size(int64_t inputs, int64_t outputs) { return count_panels(outputs) * panel_size(inputs); }

void pack(const Linear& layer, float* packed) {
  for (int64_t p = 0; p < count_panels(layer.outputs); ++p)
    for (int l = 0; l < kOutputs; ++l) {
      const int64_t output = p * kOutputs + l;
      const bool used = output < layer.outputs;
      float* const to = packed + p * panel_size(layer.inputs) + l;
      to[0] = used ? layer.bias[output] : 0;
      for (int64_t i = 0; i < layer.inputs; ++i)
        to[(i + 1) * kOutputs] = used ? layer.weight[output * layer.inputs + i] : 0;
    }
}

// The first `count` outputs of a panel for R rows. The sums of an output have the same order for any R.
template <int R>
void multiply_panel(int64_t inputs, const float* panel, Rows<const float> x, Rows<float> y, int64_t count) {
  Vec<float> sums[R][kChains] = {};
  const float* weights = panel + kOutputs;
  const auto add = [&](int64_t i, int chain) ZOO_INLINE_LAMBDA {
    const Vec<float> weight = load_unaligned(weights + i * kOutputs);
    for (int r = 0; r < R; ++r) sums[r][chain] += weight * splat(x[r][i]);
  };
  int64_t i = 0;
  for (; i + kChains <= inputs; i += kChains)
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) add(i + chain, chain);
  for (; i < inputs; ++i) add(i, 0);
  for (int r = 0; r < R; ++r) {
    const Vec<float> total = (sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]);
    store_part(y[r], load_unaligned(panel) + total, count);
  }
}

void linear(int64_t inputs, int64_t outputs, const float* packed, Rows<const float> x, int64_t rows, Rows<float> y) {
  for (int64_t p = 0; p < count_panels(outputs); ++p) {
    const float* panel = packed + p * panel_size(inputs);
    const int64_t at = p * kOutputs, count = outputs - at;
    int64_t r = 0;
    for (; r + kRowsAtOnce <= rows; r += kRowsAtOnce)
      multiply_panel<kRowsAtOnce>(inputs, panel, {x[r], x.stride}, {y[r] + at, y.stride}, count);
    for (; r < rows; ++r) multiply_panel<1>(inputs, panel, {x[r], x.stride}, {y[r] + at, y.stride}, count);
  }
}

// The sum of f(vector i) over a row of n numbers, where f gives zeros past the end of the row.
template <class F>
ZOO_INLINE float sum_row(int64_t n, F f) {
  constexpr int L = kLanes<float>;
  Vec<float> sums[kChains] = {};
  int64_t i = 0;
  for (; i + kChains * L <= n; i += kChains * L)
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) sums[chain] += f(i + chain * L, int64_t{L});
  for (; i < n; i += L) sums[0] += f(i, n - i);
  return sum_lanes<float>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

void layer_norm(const LayerNorm& norm, const float* x, float* y) {
  constexpr int L = kLanes<float>;
  const auto count = static_cast<float>(norm.n);
  const float mean =
      sum_row(norm.n, [&](int64_t i, int64_t left) ZOO_INLINE_LAMBDA { return load_part(x + i, left); }) / count;
  const float squares = sum_row(norm.n, [&](int64_t i, int64_t left) ZOO_INLINE_LAMBDA {
    Vec<float> d = load_part(x + i, left) - splat(mean);
    for (int64_t l = left; l < L; ++l) d[l] = 0;
    return d * d;
  });
  const float inverse = 1 / std::sqrt(squares / count + static_cast<float>(norm.eps));
  for (int64_t i = 0; i < norm.n; i += L) {
    const int64_t left = norm.n - i;
    const Vec<float> z = (load_part(x + i, left) - splat(mean)) * splat(inverse);
    store_part(y + i, z * load_part(norm.weight + i, left) + load_part(norm.bias + i, left), left);
  }
}

template <class F>
void for_each(const float* x, int64_t n, float* y, F f) {
  for_packs<float>(n, [&](int64_t i, int64_t left) ZOO_INLINE_LAMBDA {
    store_pack(y + i, f(load_pack<float, kPack<float>>(x + i, left)), left);
  });
}

void apply(Function function, const float* x, int64_t n, float* y) {
  using P = Pack<float, kPack<float>>;
  switch (function) {
    case Function::tanh: return for_each(x, n, y, [](P v) ZOO_INLINE_LAMBDA { return activate<Activation::tanh>(v); });
    case Function::sigmoid: return for_each(x, n, y, [](P v) ZOO_INLINE_LAMBDA { return sigmoid(v); });
    case Function::relu:
      return for_each(x, n, y, [](P v) ZOO_INLINE_LAMBDA {
        for (auto& part : v.v) part = part < 0 ? Vec<float>{} : part;  // NaN stays NaN
        return v;
      });
  }
}

// The logarithm of the sum of exp(f(c)) over `count` lanes, given their largest, plus that largest.
float log_sum_exp(const float* x, int64_t n) {
  constexpr int L = kLanes<float>;
  float most = x[0];
  for (int64_t i = 1; i < n; ++i) most = x[i] > most ? x[i] : most;
  float sum = 0;
  for (int64_t i = 0; i < n; i += L) {
    const Vec<float> terms = exp_of(load_part(x + i, n - i) - splat(most));
    for (int64_t l = 0; l < L && l < n - i; ++l) sum += terms[l];
  }
  return most + std::log(sum);
}

void mix(const Mixture& mixture, Rows<const float> logits, float* shifts, float* y) {
  constexpr int L = kLanes<float>;
  for (int64_t m = 0; m < mixture.members; ++m)
    shifts[m] = log_sum_exp(logits[m], mixture.classes) - std::log(mixture.weights[m]);
  for (int64_t c = 0; c < mixture.classes; c += L) {
    const int64_t left = mixture.classes - c;
    const auto of = [&](int64_t m) ZOO_INLINE_LAMBDA { return load_part(logits[m] + c, left) - splat(shifts[m]); };
    Vec<float> most = of(0), sum{};
    for (int64_t m = 1; m < mixture.members; ++m) most = of(m) > most ? of(m) : most;
    for (int64_t m = 0; m < mixture.members; ++m) sum += exp_of(of(m) - most);
    for (int64_t l = 0; l < L && l < left; ++l) y[c + l] = most[l] + std::log(sum[l]);
  }
}

}  // namespace

const dense::IsaKernels kDenseKernels = {packed_size, pack, linear, layer_norm, apply, mix};

}  // namespace zoo::ZOO_ISA

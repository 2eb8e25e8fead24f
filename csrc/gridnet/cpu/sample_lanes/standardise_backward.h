// The backward pass through block normalisation (standardise.h). It needs two sums per box: of the box's gradient, and
// of the product of the gradient with the standardised box. Both are sums over the block's own cells.
#pragma once
#include "gridnet/cpu/sample_lanes/standardise.h"

namespace zoo::ZOO_ISA {

// Rows are passed in order: finish_sums and backward_sums for every row, finish_gradients once, then
// subtract_from_gradient for every row.
template <class T, int NV>
struct BoxBackward {
  static constexpr int L = kLanes<T>, W = NV * L;
  using Summary = BoxSummary<T, NV>;
  const BoxStatistics<T, NV>& boxes;

  // Turns row r of sum_i w_i v_i, `sums`, into its pre-activations, and writes these without the bias to `plain`.
  void finish_sums(int64_t r, const T* total, const T* bias, T* sums, T* plain) const {
    const Summary* box = boxes.summaries_of_row(r);
    for (int64_t bx = 0; bx < boxes.across; ++bx, ++box) {
      Vec<T> mean[NV], spread[NV];
      load_all(box->mean, mean);
      load_all(box->spread, spread);
      for (int64_t x = bx * boxes.b; x < (bx + 1) * boxes.b; ++x)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const int64_t at = x * W + v * L;
          const Vec<T> sum = (load(sums + at) - mean[v] * total[x]) * spread[v];
          store(plain + at, sum);
          store(sums + at, sum + bias[x]);
        }
    }
  }

  // Turns row r of the gradient of the pre-activations into that of sum_i w_i v_i. `plain` comes from finish_sums.
  // Weight gradients will be summed with the values v_i as inputs; this corrects those of the row, [k][27], for the
  // means that the standardised inputs lack.
  void backward_sums(int64_t r, const T* total, const T* plain, T* grad, T* grad_weight) const {
    const Summary* box = boxes.summaries_of_row(r);
    for (int64_t bx = 0; bx < boxes.across; ++bx, ++box) {
      Vec<T> sum[NV] = {}, dot[NV] = {}, correction[L], inverse[NV], shift[NV];
      load_all(box->inverse, inverse);
      for (int v = 0; v < NV; ++v) shift[v] = load(box->spread + v * L) * load(box->mean + v * L);
      for (int64_t start = bx * boxes.b; start < (bx + 1) * boxes.b; start += L) {
        const int64_t left = (bx + 1) * boxes.b - start, count = left < L ? left : L;
        for (int64_t i = 0; i < count; ++i) {
          const int64_t x = start + i;
          correction[i] = Vec<T>{};
#pragma GCC unroll 4
          for (int v = 0; v < NV; ++v) {
            const int64_t at = x * W + v * L;
            const Vec<T> g = load(grad + at);
            sum[v] += g * total[x];
            dot[v] += g * load(plain + at);
            correction[i] += g * shift[v];
            store(grad + at, g * inverse[v]);
          }
        }
        alignas(ZOO_VECTOR_BYTES) T corrections[L] = {};
        add_sums<T>(correction, count, corrections);
        for (int64_t i = 0; i < count; ++i)
          for (int tap = 0; tap < kNeighbours; ++tap) grad_weight[(start + i) * kNeighbours + tap] -= corrections[i];
      }
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        store(boxes.part(r, bx) + v * L, sum[v]);
        store(boxes.part(r, bx) + W + v * L, dot[v]);
      }
    }
  }

  // Returns row r of the gradient that backward_sums left, with the lanes zeroed in which all values of a box are
  // equal: there the standardised values, the inputs of the weights, are zero. `masked` receives the row if such a lane
  // exists.
  const T* weights_gradient(int64_t r, const T* grad, T* masked) const {
    const Summary* box = boxes.summaries_of_row(r);
    const int64_t b = boxes.b;
    bool flat = false;
    for (int64_t bx = 0; bx < boxes.across; ++bx) flat |= box[bx].flat;
    if (!flat) return grad;
    for (int64_t bx = 0; bx < boxes.across; ++bx, ++box)
      for (int64_t i = bx * b * W; i < (bx + 1) * b * W; i += W)
        for (int v = 0; v < W; v += L)
          store(masked + i + v, load(box->deviation + v) > 0 ? load(grad + i + v) : Vec<T>{});
    return masked;
  }

  // Sums over every block what backward_sums found in its rows: the reduction of the gradient through mean and
  // deviation.
  void finish_gradients(const Team& team) const {
    const T side = static_cast<T>(boxes.b + 2), inverse_count = 1 / (side * side * side);
    boxes.each_block(team, [&](int64_t block) {
      Summary& box = boxes.summaries[block];
      for (int lane = 0; lane < W; lane += L) {
        Vec<T> sum{}, dot{};
        boxes.each_part(block, 0, [&](const T* row) ZOO_INLINE_LAMBDA {
          sum += load(row + lane);
          dot += load(row + W + lane);
        });
        const Vec<T> inverse = load(box.inverse + lane), deviation = load(box.deviation + lane);
        // d std / dv = (v - mean) / (n std), taken as 0 where std is 0, as torch does.
        const Vec<T> slope = deviation > 0 ? dot * inverse_count / deviation * inverse : Vec<T>{};
        store(box.slope + lane, slope);
        store(box.constant + lane, sum * inverse_count * inverse - slope * load(box.mean + lane));
      }
    });
  }

  // Subtracts that reduction from row r of the gradient of `values`. `scratch` has 2 * W numbers for each block along
  // x.
  void subtract_from_gradient(int64_t r, const T* values, T* grad, T* scratch) const {
    const int64_t b = boxes.b, across = boxes.across;
    add_boxes_near(r, scratch);
    const auto subtract = [&](int64_t bx, int64_t x) ZOO_INLINE_LAMBDA {
      const T* of = scratch + bx * 2 * W;
#pragma GCC unroll 4
      for (int v = 0; v < W; v += L)
        store(grad + x * W + v, load(grad + x * W + v) - (load(of + v) + load(of + W + v) * load(values + x * W + v)));
    };
    for (int64_t bx = 0; bx < across; ++bx) {
      for (int64_t x = bx * b; x < (bx + 1) * b; ++x) subtract(bx, x);
      if (bx > 0) subtract(bx, bx * b - 1);
      if (bx + 1 < across) subtract(bx, (bx + 1) * b);
    }
  }

 private:
  static ZOO_INLINE void load_all(const T* from, Vec<T> (&to)[NV]) {
    for (int v = 0; v < NV; ++v) to[v] = load(from + v * L);
  }
  // The sums, for every block along x, of `constant` and `slope` over the boxes that hold row r.
  void add_boxes_near(int64_t r, T* sums) const {
    const int64_t z = r / boxes.config.shape.n, y = r % boxes.config.shape.n, across = boxes.across;
    std::memset(sums, 0, across * 2 * W * sizeof(T));
    each_block_near(z, boxes.deep, [&](int64_t bz) {
      each_block_near(y, boxes.down, [&](int64_t by) {
        const Summary* box = boxes.summaries + (bz * boxes.down + by) * across;
        for (int64_t bx = 0; bx < across; ++bx, ++box)
          for (int v = 0; v < W; v += L) {
            T* to = sums + bx * 2 * W + v;
            store(to, load(to) + load(box->constant + v));
            store(to + W, load(to + W) + load(box->slope + v));
          }
      });
    });
  }
  // Calls f(i) for the blocks along one axis whose boxes hold position p.
  template <class F>
  ZOO_INLINE void each_block_near(int64_t p, int64_t blocks, F f) const {
    for (int64_t i = (p > 0 ? p - 1 : 0) / boxes.b; i <= (p + 1) / boxes.b && i < blocks; ++i) f(i);
  }
};

}  // namespace zoo::ZOO_ISA

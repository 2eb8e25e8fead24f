// Block normalisation without standardised boxes, for steps with one inner step. What a cell sums is
// sum_i w_i (v_i - mean) / (std + eps) = (sum_i w_i v_i - mean * sum_i w_i) / (std + eps): the grid stays one stencil,
// and of a block only the mean and deviation of its box (its cells and their shell) are needed, per lane. Backward
// needs two sums per block besides: of the box's gradient, and of its product with the standardised box. Both are sums
// over the block's cells.
//
// Rows of boxes are measured first, one for every row of the grid and block along x, then boxes are made of rows.
#pragma once
#include <limits>

#include "gridnet/cpu/layout.h"
#include "gridnet/cpu/update.h"

namespace zoo::ZOO_ISA {

using gridnet::StepConfig;

ZOO_INLINE int64_t count_blocks(const StepConfig& c) {
  return (c.shape.m / c.block) * (c.shape.n / c.block) * (c.shape.k / c.block);
}

// The population standard deviation out of the variance. What is not more than the rounding of equal values is 0.
template <class T>
ZOO_INLINE Vec<T> deviation_of(Vec<T> variance, Vec<T> mean) {
  const Vec<T> rounding = mean * (2 * std::numeric_limits<T>::epsilon());
  return variance <= rounding * rounding ? Vec<T>{} : sqrt_of(variance);
}

// total[c] = sum_i weight[i][c] over all 27 taps, for the cells [begin, end).
template <class T>
void add_up_taps(const T* weight, int64_t tap_stride, int64_t begin, int64_t end, T* total) {
  std::memcpy(total + begin, weight + begin, (end - begin) * sizeof(T));
  for (int i = 1; i < kNeighbours; ++i)
    for (int64_t c = begin; c < end; ++c) total[c] += weight[i * tap_stride + c];
}

// What is known of a block's box, per lane.
template <class T, int NV>
struct BoxFacts {
  static constexpr int L = kLanes<T>, W = NV * L;
  alignas(ZOO_VECTOR_BYTES) T mean[W];
  alignas(ZOO_VECTOR_BYTES) T inverse[W];  // 1 / (deviation + eps)
  alignas(ZOO_VECTOR_BYTES) T spread[W];   // the same, or 0 where all values are equal: what standardises them
  alignas(ZOO_VECTOR_BYTES) T deviation[W];
  // Backward: a cell's gradient is less by `constant` + `slope` * its value for every box that it is in.
  alignas(ZOO_VECTOR_BYTES) T constant[W];
  alignas(ZOO_VECTOR_BYTES) T slope[W];
  bool flat;  // all values are equal in some lane
};

template <class T, int NV>
struct BoxStandards {
  static constexpr int L = kLanes<T>, W = NV * L;
  using Grid = LaneGrid<T, W>;
  using Facts = BoxFacts<T, NV>;
  const StepConfig& config;
  // [row][block along x][2][W]: mean and squared deviations of a box's row; backward: the two sums of a block's row.
  T* lines;
  Facts* facts;  // [block]

  const int64_t b = config.block, across = config.shape.k / b, down = config.shape.n / b, deep = config.shape.m / b;

  static int64_t lines_size(const StepConfig& c) { return c.shape.rows() * (c.shape.k / c.block) * 2 * W; }
  static int64_t size(const StepConfig& c) {
    if (!c.normalize) return 0;
    return lines_size(c) + count_blocks(c) * static_cast<int64_t>(sizeof(Facts) / sizeof(T));
  }
  BoxStandards(const StepConfig& c, T* data) : config(c), lines(data), facts(nullptr) {
    if (c.normalize) facts = reinterpret_cast<Facts*>(data + lines_size(c));
  }

  T* line(int64_t r, int64_t bx) const { return lines + (r * across + bx) * 2 * W; }
  // Of the blocks that hold the cells of row r.
  Facts* facts_of_row(int64_t r) const {
    return facts + (r / config.shape.n / b * down + r % config.shape.n / b) * across;
  }

  // Row r of `in`, read as its LayerNorm unless norm is null: the moments of its part of every box.
  void measure_row(const Grid& in, const Norm<T, NV>* norm, int64_t r) const {
    const int64_t k = config.shape.k;
    const T* row = in.row(r);
    const auto value = [&](int64_t x, int v) ZOO_INLINE_LAMBDA {
      return norm ? norm->apply(row + x * W, v * L, r * k + x) : load(row + x * W + v * L);
    };
    for (int64_t bx = 0; bx < across; ++bx) {
      const int64_t first = bx * b, begin = bx > 0 ? first - 1 : first,
                    end = bx + 1 < across ? first + b + 1 : first + b;
      Vec<T> pivot[NV], sum[NV], square[NV];
      const T outside = static_cast<T>(b + 2 - (end - begin));  // that many zeros
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        pivot[v] = value(first, v);
        sum[v] = -(pivot[v] * outside);
        square[v] = pivot[v] * pivot[v] * outside;
      }
      for (int64_t x = begin; x < end; ++x)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const Vec<T> d = value(x, v) - pivot[v];
          sum[v] += d;
          square[v] += d * d;
        }
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const Vec<T> offset = sum[v] * (T(1) / static_cast<T>(b + 2));
        store(line(r, bx) + v * L, pivot[v] + offset);
        store(line(r, bx) + W + v * L, square[v] - sum[v] * offset);
      }
    }
  }

  int64_t first_z(int64_t block) const { return block / (across * down) * b; }
  int64_t first_y(int64_t block) const { return block / across % down * b; }
  const T* first_line(int64_t block) const {
    return line(first_z(block) * config.shape.n + first_y(block), block % across);
  }
  // Calls f(line) for every row of a block, and for those up to `margin` around it; rows beyond the grid are left out.
  template <class F>
  ZOO_INLINE void each_line(int64_t block, int64_t margin, F f) const {
    const int64_t z0 = first_z(block), y0 = first_y(block), n = config.shape.n;
    for (int64_t z = z0 - margin; z < z0 + b + margin; ++z)
      for (int64_t y = y0 - margin; y < y0 + b + margin; ++y)
        if (z >= 0 && z < config.shape.m && y >= 0 && y < n) f(line(z * n + y, block % across));
  }

  // Once the rows of `block` and those around it are measured.
  void measure_block(int64_t block) const {
    const T side = static_cast<T>(b + 2), rows = side * side, count = rows * side;
    Facts& box = facts[block];
    box.flat = false;
    for (int lane = 0; lane < W; lane += L) {
      // From a row's mean as the pivot, so that of equal values the mean is exact.
      const Vec<T> pivot = load(first_line(block) + lane);
      Vec<T> offset{}, squares{};
      T outside = rows;
      each_line(block, 1, [&](const T* row) ZOO_INLINE_LAMBDA {
        offset += load(row + lane) - pivot;
        outside -= 1;
      });
      const Vec<T> mean = pivot + (offset - pivot * outside) * (1 / rows);
      each_line(block, 1, [&](const T* row) ZOO_INLINE_LAMBDA {
        const Vec<T> d = load(row + lane) - mean;
        squares += load(row + W + lane) + d * d * side;
      });
      squares += mean * mean * (side * outside);
      const Vec<T> deviation = deviation_of<T>(squares / count, mean),
                   inverse = 1 / (deviation + static_cast<T>(config.eps));
      store(box.mean + lane, mean);
      store(box.inverse + lane, inverse);
      store(box.spread + lane, deviation > 0 ? inverse : Vec<T>{});
      store(box.deviation + lane, deviation);
      for (int l = 0; l < L; ++l) box.flat |= deviation[l] == 0;
    }
  }

  // Makes the facts of all boxes of `in`, read as its LayerNorm unless norm is null.
  void measure(const Grid& in, const Norm<T, NV>* norm, const Team& team) const {
    const int64_t rows = config.shape.rows();
    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) measure_row(in, norm, r);
    finish_measures(team);
  }
  void finish_measures(const Team& team) const {
    finish(team, [&](int64_t block) { measure_block(block); });
  }
  // Once every member has written its lines.
  template <class F>
  void finish(const Team& team, F of_block) const {
    const int64_t blocks = count_blocks(config);
    team.barrier();
    for (int64_t block = team.begin(blocks); block < team.end(blocks); ++block) of_block(block);
    team.barrier();
  }

  // sums: row r of sum_i w_i v_i, becomes that of the pre-activations; `plain`, the same without the bias.
  void finish_sums(int64_t r, const T* total, const T* bias, T* sums, T* plain) const {
    const Facts* box = facts_of_row(r);
    for (int64_t bx = 0; bx < across; ++bx, ++box) {
      Vec<T> mean[NV], spread[NV];
      load_all(box->mean, mean);
      load_all(box->spread, spread);
      for (int64_t x = bx * b; x < (bx + 1) * b; ++x)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const int64_t at = x * W + v * L;
          const Vec<T> sum = (load(sums + at) - mean[v] * total[x]) * spread[v];
          store(plain + at, sum);
          store(sums + at, sum + bias[x]);
        }
    }
  }

  // How forward's sums over the cells of block bx in row r become final.
  BoxedSums<T, NV> boxed_sums(int64_t r, int64_t bx, const Norm<T, NV>* norm, const T* total, const T* bias) const {
    const Facts& box = facts_of_row(r)[bx];
    BoxedSums<T, NV> out;
    for (int v = 0; v < NV; ++v) {
      const Vec<T> spread = load(box.spread + v * L);
      out.of_sum[v] = norm ? load(norm->stats.inverse + v * L) * spread : spread;
      out.of_weight[v] = norm ? load(norm->stats.shift + v * L) * spread : Vec<T>{};
      out.of_bias[v] = spread;
      out.of_total[v] = -(load(box.mean + v * L) * spread);
    }
    out.total = total + bx * b;
    out.bias = bias + bx * b;
    return out;
  }

  // grad: row r of the gradient of the pre-activations, becomes that of sum_i w_i v_i. plain is what finish_sums left.
  // Takes from the gradients of the row's weights [k][27] what their inputs are less than the values.
  void through_sums(int64_t r, const T* total, const T* plain, T* grad, T* grad_weight) const {
    const Facts* box = facts_of_row(r);
    for (int64_t bx = 0; bx < across; ++bx, ++box) {
      Vec<T> sum[NV] = {}, dot[NV] = {}, less[L], inverse[NV], shift[NV];
      load_all(box->inverse, inverse);
      for (int v = 0; v < NV; ++v) shift[v] = load(box->spread + v * L) * load(box->mean + v * L);
      for (int64_t start = bx * b; start < (bx + 1) * b; start += L) {
        const int64_t left = (bx + 1) * b - start, count = left < L ? left : L;
        for (int64_t i = 0; i < count; ++i) {
          const int64_t x = start + i;
          less[i] = Vec<T>{};
#pragma GCC unroll 4
          for (int v = 0; v < NV; ++v) {
            const int64_t at = x * W + v * L;
            const Vec<T> g = load(grad + at);
            sum[v] += g * total[x];
            dot[v] += g * load(plain + at);
            less[i] += g * shift[v];
            store(grad + at, g * inverse[v]);
          }
        }
        alignas(ZOO_VECTOR_BYTES) T totals[L] = {};
        add_sums<T>(less, count, totals);
        for (int64_t i = 0; i < count; ++i)
          for (int tap = 0; tap < kNeighbours; ++tap) grad_weight[(start + i) * kNeighbours + tap] -= totals[i];
      }
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        store(line(r, bx) + v * L, sum[v]);
        store(line(r, bx) + W + v * L, dot[v]);
      }
    }
  }

  // Row r of what through_sums left, without the lanes in which all values of the box are equal: their standardised
  // values, the weights' inputs, are zero. `masked` is used if there are such lanes.
  const T* weights_gradient(int64_t r, const T* grad, T* masked) const {
    const Facts* box = facts_of_row(r);
    bool flat = false;
    for (int64_t bx = 0; bx < across; ++bx) flat |= box[bx].flat;
    if (!flat) return grad;
    for (int64_t bx = 0; bx < across; ++bx, ++box)
      for (int64_t i = bx * b * W; i < (bx + 1) * b * W; i += W)
        for (int v = 0; v < W; v += L)
          store(masked + i + v, load(box->deviation + v) > 0 ? load(grad + i + v) : Vec<T>{});
    return masked;
  }

  // Once through_sums has seen all rows: what the boxes' means and deviations take from the gradients of their values.
  void finish_gradients(const Team& team) const {
    const T side = static_cast<T>(b + 2), each = 1 / (side * side * side);
    finish(team, [&](int64_t block) {
      Facts& box = facts[block];
      for (int lane = 0; lane < W; lane += L) {
        Vec<T> sum{}, dot{};
        each_line(block, 0, [&](const T* row) ZOO_INLINE_LAMBDA {
          sum += load(row + lane);
          dot += load(row + W + lane);
        });
        const Vec<T> inverse = load(box.inverse + lane), deviation = load(box.deviation + lane);
        // d std / dv = (v - mean) / (n std), taken as 0 where std is 0, as torch does.
        const Vec<T> slope = deviation > 0 ? dot * each / deviation * inverse : Vec<T>{};
        store(box.slope + lane, slope);
        store(box.constant + lane, sum * each * inverse - slope * load(box.mean + lane));
      }
    });
  }

  // Row r of the gradient of the values, which are `values`: what finish_gradients found is taken from it. `row` is
  // scratch for 2 W numbers of each block along x.
  void take_from_gradient(int64_t r, const T* values, T* grad, T* row) const {
    const int64_t z = r / config.shape.n, y = r % config.shape.n;
    std::memset(row, 0, across * 2 * W * sizeof(T));
    each_block_near(z, deep, [&](int64_t bz) {
      each_block_near(y, down, [&](int64_t by) {
        const Facts* box = facts + (bz * down + by) * across;
        for (int64_t bx = 0; bx < across; ++bx, ++box)
          for (int v = 0; v < W; v += L) {
            T* to = row + bx * 2 * W + v;
            store(to, load(to) + load(box->constant + v));
            store(to + W, load(to + W) + load(box->slope + v));
          }
      });
    });
    const auto take = [&](int64_t bx, int64_t x) ZOO_INLINE_LAMBDA {
      const T* of = row + bx * 2 * W;
#pragma GCC unroll 4
      for (int v = 0; v < W; v += L)
        store(grad + x * W + v, load(grad + x * W + v) - (load(of + v) + load(of + W + v) * load(values + x * W + v)));
    };
    for (int64_t bx = 0; bx < across; ++bx) {
      for (int64_t x = bx * b; x < (bx + 1) * b; ++x) take(bx, x);
      if (bx > 0) take(bx, bx * b - 1);
      if (bx + 1 < across) take(bx, (bx + 1) * b);
    }
  }

 private:
  static ZOO_INLINE void load_all(const T* from, Vec<T> (&to)[NV]) {
    for (int v = 0; v < NV; ++v) to[v] = load(from + v * L);
  }
  // Calls f(i) for the blocks along one axis whose boxes hold position p.
  template <class F>
  ZOO_INLINE void each_block_near(int64_t p, int64_t blocks, F f) const {
    for (int64_t i = (p > 0 ? p - 1 : 0) / b; i <= (p + 1) / b && i < blocks; ++i) f(i);
  }
};

}  // namespace zoo::ZOO_ISA

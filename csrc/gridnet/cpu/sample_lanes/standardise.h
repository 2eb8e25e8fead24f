// Block normalisation for steps with one inner step, without storing standardised blocks. A cell's sum is
// sum_i w_i (v_i - mean) / (std + eps) = (sum_i w_i v_i - mean * sum_i w_i) / (std + eps), so the whole grid stays one
// stencil, and of a block only the mean and deviation of its box (the block with its one-cell shell) are needed, per
// lane.
//
// Rows are measured first: every row of the grid has one part in each block along x. A box is then merged from the
// parts of its rows.
#pragma once
#include <limits>

#include "gridnet/cpu/sample_lanes/packing.h"
#include "gridnet/cpu/sample_lanes/row_view.h"

namespace zoo::ZOO_ISA {

ZOO_INLINE int64_t count_blocks(const StepConfig& c) {
  return (c.shape.m / c.block) * (c.shape.n / c.block) * (c.shape.k / c.block);
}

// The population standard deviation from the variance; 0 if the variance is no larger than the rounding of equal
// values.
template <class T>
ZOO_INLINE Vec<T> deviation_of(Vec<T> variance, Vec<T> mean) {
  const Vec<T> rounding = mean * (2 * std::numeric_limits<T>::epsilon());
  return variance <= rounding * rounding ? Vec<T>{} : sqrt_of(variance);
}

// Statistics of one box, per lane.
template <class T, int NV>
struct BoxSummary {
  static constexpr int L = kLanes<T>, W = NV * L;
  alignas(ZOO_VECTOR_BYTES) T mean[W];
  alignas(ZOO_VECTOR_BYTES) T inverse[W];  // 1 / (deviation + eps)
  alignas(ZOO_VECTOR_BYTES) T spread[W];   // the same, or 0 where all values are equal; standardises the values
  alignas(ZOO_VECTOR_BYTES) T deviation[W];
  // Backward: for every box that holds a cell, the cell's gradient is reduced by `constant` + `slope` * its value.
  alignas(ZOO_VECTOR_BYTES) T constant[W];
  alignas(ZOO_VECTOR_BYTES) T slope[W];
  bool flat;  // all values are equal in some lane
};

// The statistics of all boxes of a grid. The members of a team share the rows, then the boxes.
template <class T, int NV>
struct BoxStatistics {
  static constexpr int L = kLanes<T>, W = NV * L;
  using Grid = LaneGrid<T, W>;
  using Summary = BoxSummary<T, NV>;
  const StepConfig& config;
  // Two numbers per lane of each row's part in a block, [row][block along x][2][W]. Forward: mean and squared
  // deviations of the part, shell included. Backward: two sums over the part's cells.
  T* parts;
  Summary* summaries;  // [block]

  const int64_t b = config.block, across = config.shape.k / b, down = config.shape.n / b, deep = config.shape.m / b;

  static int64_t parts_size(const StepConfig& c) { return c.shape.rows() * (c.shape.k / c.block) * 2 * W; }
  static int64_t size(const StepConfig& c) {
    if (!c.normalize) return 0;
    return parts_size(c) + count_blocks(c) * static_cast<int64_t>(sizeof(Summary) / sizeof(T));
  }
  BoxStatistics(const StepConfig& c, T* data) : config(c), parts(data), summaries(nullptr) {
    if (c.normalize) summaries = reinterpret_cast<Summary*>(data + parts_size(c));
  }

  T* part(int64_t r, int64_t bx) const { return parts + (r * across + bx) * 2 * W; }
  // The summaries of the blocks that hold the cells of row r, along x.
  Summary* summaries_of_row(int64_t r) const {
    return summaries + (r / config.shape.n / b * down + r % config.shape.n / b) * across;
  }

  // Measures the part of row r in every box, read through `norm` unless that is null.
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
      const T outside = static_cast<T>(b + 2 - (end - begin));  // zeros of the shell beyond the grid
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
        store(part(r, bx) + v * L, pivot[v] + offset);
        store(part(r, bx) + W + v * L, square[v] - sum[v] * offset);
      }
    }
  }

  int64_t first_z(int64_t block) const { return block / (across * down) * b; }
  int64_t first_y(int64_t block) const { return block / across % down * b; }
  const T* first_part(int64_t block) const {
    return part(first_z(block) * config.shape.n + first_y(block), block % across);
  }
  // Calls f(part) for every row of a block and for the rows up to `margin` around it, except those outside the grid.
  template <class F>
  ZOO_INLINE void each_part(int64_t block, int64_t margin, F f) const {
    const int64_t z0 = first_z(block), y0 = first_y(block), n = config.shape.n;
    for (int64_t z = z0 - margin; z < z0 + b + margin; ++z)
      for (int64_t y = y0 - margin; y < y0 + b + margin; ++y)
        if (z >= 0 && z < config.shape.m && y >= 0 && y < n) f(part(z * n + y, block % across));
  }

  // Merges a block's box from its parts, which must all be measured.
  void measure_block(int64_t block) const {
    const T side = static_cast<T>(b + 2), rows = side * side, count = rows * side;
    Summary& box = summaries[block];
    box.flat = false;
    for (int lane = 0; lane < W; lane += L) {
      // The pivot is a row's mean, so that the mean of equal values is exact.
      const Vec<T> pivot = load(first_part(block) + lane);
      Vec<T> offset{}, squares{};
      T outside = rows;
      each_part(block, 1, [&](const T* row) ZOO_INLINE_LAMBDA {
        offset += load(row + lane) - pivot;
        outside -= 1;
      });
      const Vec<T> mean = pivot + (offset - pivot * outside) * (1 / rows);
      each_part(block, 1, [&](const T* row) ZOO_INLINE_LAMBDA {
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

  // Measures all boxes of `in`, read through `norm` unless that is null.
  void measure(const Grid& in, const Norm<T, NV>* norm, const Team& team) const {
    const int64_t rows = config.shape.rows();
    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) measure_row(in, norm, r);
    finish_measures(team);
  }
  // Second half of measure(), once this member has measured its rows.
  void finish_measures(const Team& team) const {
    each_block(team, [&](int64_t block) { measure_block(block); });
  }
  // Calls f(block) for this member's blocks once every member has written its parts.
  template <class F>
  void each_block(const Team& team, F f) const {
    const int64_t blocks = count_blocks(config);
    team.barrier();
    for (int64_t block = team.begin(blocks); block < team.end(blocks); ++block) f(block);
    team.barrier();
  }

  // How a forward pass turns row r's sums in block bx into final ones. `total` and `bias` are the row's.
  BoxedSums<T, NV> boxed_sums(int64_t r, int64_t bx, const Norm<T, NV>* norm, const T* total, const T* bias) const {
    const Summary& box = summaries_of_row(r)[bx];
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
};

}  // namespace zoo::ZOO_ISA

// The gridnet step on the CPU when blocks make no difference (one inner step, no normalisation): the whole grid is
// one stencil. Forward and backward for all samples, W at a time.
#pragma once
#include "../workspace.h"
#include "cpu_layout.h"
#include "cpu_rows.h"

namespace zoo::ZOO_ISA {

using gridnet::StepConfig;
using gridnet::StepGrads;
using gridnet::StepInputs;

// Rows that are handled together so that their cells fill whole vectors when they are transposed.
template <class T>
ZOO_INLINE int64_t rows_per_group(int64_t k) {
  int64_t a = k, b = kLanes<T>;
  while (b) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return kLanes<T> / a;
}

// The nine rows around row (z, y) of a padded lane grid, each from its entry before the first cell.
template <class T, int W>
ZOO_INLINE RowNeighbours<T> neighbours_of(const LaneGrid<T, W>& grid, int64_t t, int64_t r) {
  const int64_t z = r / grid.shape.n, y = r % grid.shape.n;
  RowNeighbours<T> out;
  for (int q = 0; q < 9; ++q) {
    const int64_t nz = z + q / 3 - 1, ny = y + q % 3 - 1;
    const bool inside = nz >= 0 && nz < grid.shape.m && ny >= 0 && ny < grid.shape.n;
    out.row[q] = inside ? grid.row(t, nz * grid.shape.n + ny) - W : nullptr;
  }
  return out;
}

// Weights of one or two channels (value, gate), packed [channel][cell][27].
template <class T>
struct PackedWeights {
  T* data;
  int64_t cells;
  int channels;

  ZOO_INLINE T* at(int channel, int64_t cell) const { return data + (channel * cells + cell) * kNeighbours; }
};

template <class T>
ZOO_INLINE void pack_channels(const StepConfig& c, const T* weight, const Team& team, const PackedWeights<T>& out) {
  for (int channel = 0; channel < out.channels; ++channel)
    pack_weight(weight + channel * out.cells, out.channels * out.cells, out.cells, team.begin(out.cells),
                team.end(out.cells), out.at(channel, 0));
}

template <class T, int W>
ZOO_INLINE void fill_lanes(const StepConfig& c, const T* samples, int64_t tiles, const Team& team, const LaneGrid<T, W>& out) {
  const int64_t rows = c.shape.rows(), begin = team.begin(rows), end = team.end(rows);
  for (int64_t t = 0; t < tiles; ++t) {
    samples_to_lanes<T, W>(samples, c.batch, t, begin * c.shape.k, end * c.shape.k, out);
    for (int64_t r = begin; r < end; ++r) out.clear_padding(t, r);
  }
}

template <class T, int NV>
void step_forward_whole(const StepConfig& c, const StepInputs<T>& in, T* out, Workspace& workspace, int threads) {
  constexpr int W = NV * kLanes<T>;
  const int64_t cells = c.shape.cells(), rows = c.shape.rows(), k = c.shape.k, tiles = (c.batch + W - 1) / W;
  const int channels = c.gated ? 2 : 1;
  const int64_t group = rows_per_group<T>(k), groups = (rows + group - 1) / group;
  LaneGrid<T, W> x{nullptr, c.shape, 1};
  x.data = workspace.get<T>(0, tiles * x.tile_size());
  const PackedWeights<T> weight{workspace.get<T>(1, channels * cells * kNeighbours), cells, channels};
  const int64_t scratch_size = group * k * W;
  T* scratch = workspace.get<T>(2, threads * channels * scratch_size);

  auto body = [&](const Team& team) {
    pack_channels(c, in.weight, team, weight);
    fill_lanes<T, W>(c, in.x, tiles, team, x);
    team.barrier();
    T* value = scratch + team.rank * channels * scratch_size;
    T* gate = value + scratch_size;
    for (int64_t g = team.begin(groups); g < team.end(groups); ++g) {
      const int64_t first = g * group, last = first + group < rows ? first + group : rows;
      for (int64_t t = 0; t < tiles; ++t) {
        for (int64_t r = first; r < last; ++r) {
          const RowNeighbours<T> near = neighbours_of(x, t, r);
          const int64_t cell = r * k, at = (r - first) * k * W;
          weigh_row<T, NV, false>(near, weight.at(0, cell), in.bias + cell, k, value + at);
          if (c.gated) {
            weigh_row<T, NV, false>(near, weight.at(1, cell), in.bias + cells + cell, k, gate + at);
            update_gated_row<T, NV>(c.activation, value + at, gate + at, x.row(t, r), k, value + at);
          } else {
            update_row<T, NV>(c.activation, value + at, in.residual_scale + cell, x.row(t, r), k, value + at);
          }
        }
        lanes_to_samples<T, W>([&](int64_t cell) { return value + (cell - first * k) * W; }, cells, c.batch, t, first * k,
                               last * k, out);
      }
    }
  };
  parallel(threads, body);
}

template <class T, int NV>
void step_backward_whole(const StepConfig& c, const StepInputs<T>& in, const StepGrads<T>& grads, Workspace& workspace,
                         int threads) {
  constexpr int W = NV * kLanes<T>;
  const int64_t cells = c.shape.cells(), rows = c.shape.rows(), k = c.shape.k, tiles = (c.batch + W - 1) / W;
  const int channels = c.gated ? 2 : 1;
  const int64_t group = rows_per_group<T>(k), groups = (rows + group - 1) / group;
  LaneGrid<T, W> x{nullptr, c.shape, 1}, pre[2] = {x, x}, grad{nullptr, c.shape, 0};
  x.data = workspace.get<T>(0, tiles * x.tile_size());
  const PackedWeights<T> weight{workspace.get<T>(1, channels * cells * kNeighbours), cells, channels};
  const PackedWeights<T> transposed{workspace.get<T>(3, channels * cells * kNeighbours), cells, channels};
  const PackedWeights<T> grad_weight{workspace.get<T>(4, channels * cells * kNeighbours), cells, channels};
  grad.data = workspace.get<T>(5, tiles * grad.tile_size());  // of the output, then of x
  for (int i = 0; i < channels; ++i) pre[i].data = workspace.get<T>(6 + i, tiles * x.tile_size());
  RowGradient<T>* lists = workspace.get<RowGradient<T>>(8, threads * tiles);

  auto body = [&](const Team& team) {
    pack_channels(c, in.weight, team, weight);
    for (int i = 0; i < channels; ++i)
      pack_weight_transposed(in.weight + i * cells, channels * cells, c.shape, team.begin(cells), team.end(cells),
                             transposed.at(i, 0));
    fill_lanes<T, W>(c, in.x, tiles, team, x);
    fill_lanes<T, W>(c, grads.grad_out, tiles, team, grad);
    team.barrier();

    for (int64_t r = team.begin(rows); r < team.end(rows); ++r) {
      const int64_t cell = r * k;
      for (int64_t i = cell; i < cell + k; ++i) {
        for (int channel = 0; channel < channels; ++channel) grads.bias[channel * cells + i] = 0;
        if (!c.gated) grads.residual_scale[i] = 0;
      }
      for (int64_t t = 0; t < tiles; ++t) {
        const RowNeighbours<T> near = neighbours_of(x, t, r);
        for (int i = 0; i < channels; ++i) {
          weigh_row<T, NV, false>(near, weight.at(i, cell), in.bias + i * cells + cell, k, pre[i].row(t, r));
          pre[i].clear_padding(t, r);
        }
        if (c.gated)
          update_gated_row_backward<T, NV>(c.activation, grad.row(t, r), x.row(t, r), k, pre[0].row(t, r), pre[1].row(t, r),
                                           grad.row(t, r), grads.bias + cell, grads.bias + cells + cell);
        else
          update_row_backward<T, NV>(c.activation, grad.row(t, r), in.residual_scale + cell, k, pre[0].row(t, r),
                                     grads.residual_scale + cell, grads.bias + cell);
      }
    }
    team.barrier();

    RowGradient<T>* list = lists + team.rank * tiles;
    for (int64_t g = team.begin(groups); g < team.end(groups); ++g) {
      const int64_t first = g * group, last = first + group < rows ? first + group : rows;
      for (int i = 0; i < channels; ++i)
        for (int64_t r = first; r < last; ++r) {
          const int64_t cell = r * k;
          for (int64_t t = 0; t < tiles; ++t) {
            weigh_row<T, NV, true>(neighbours_of(pre[i], t, r), transposed.at(i, cell), nullptr, k, grad.row(t, r));
            list[t] = {neighbours_of(x, t, r), pre[i].row(t, r)};
          }
          T* row_grad = grad_weight.at(i, cell);
          for (int64_t j = 0; j < k * kNeighbours; ++j) row_grad[j] = 0;
          weight_grad_row<T, NV>(list, tiles, k, row_grad);
        }
      for (int i = 0; i < channels; ++i)
        unpack_weight(grad_weight.at(i, 0), channels * cells, first * k, last * k, grads.weight + i * cells);
      for (int64_t t = 0; t < tiles; ++t)
        lanes_to_samples<T, W>([&](int64_t cell) { return grad.cell(t, cell); }, cells, c.batch, t, first * k, last * k,
                               grads.x);
    }
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

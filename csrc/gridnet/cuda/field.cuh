// How kernels read a grid: from global memory, as stored or through the LayerNorm, and from a tile with a one-cell
// shell in shared memory.
#pragma once
#include "gridnet/cuda/common.cuh"
#include "gridnet/cuda/kernels.h"

namespace zoo::gridnet::cuda {

// A batch of grids [batch, cells]. With `stats` it reads as LayerNorm(values), which is never stored.
template <class T>
struct Field {
  const T* values;
  const Stats<Accum<T>>* stats;  // [batch], or null: as stored
  const T* norm_weight;          // [cells], with stats
  const T* norm_bias;

  __device__ Accum<T> raw(int64_t offset) const { return static_cast<Accum<T>>(values[offset]); }

  __device__ Accum<T> at(int sample, int cells, int cell) const {
    using A = Accum<T>;
    const A value = raw(int64_t{sample} * cells + cell);
    if (stats == nullptr) return value;
    const Stats<A> s = stats[sample];
    return (value - s.mean) * s.rstd * static_cast<A>(norm_weight[cell]) + static_cast<A>(norm_bias[cell]);
  }

  // Adds a cell to GradSums, given the gradient of its normalised value. With stats.
  __device__ void add_to(GradSums<Accum<T>>& sums, Accum<T> grad, int sample, int cells, int cell) const {
    using A = Accum<T>;
    const Stats<A> s = stats[sample];
    const A g = grad * static_cast<A>(norm_weight[cell]);
    sums.plain += g;
    sums.weighted += g * ((raw(int64_t{sample} * cells + cell) - s.mean) * s.rstd);
  }
};

template <class T>
Field<T> field_of(const GridView& view) {
  const auto as = [](const void* p) { return static_cast<const T*>(p); };
  return {as(view.values), static_cast<const Stats<Accum<T>>*>(view.stats), as(view.norm_weight), as(view.norm_bias)};
}

// The gradients of one cell's norm parameters.
template <class A>
struct NormSums {
  A weight = 0, bias = 0;
};

// The gradient of a batch of grids [batch, cells]. With `means` it reads through the LayerNorm: `values` is then the
// gradient of LayerNorm(grids).
template <class T>
struct GradField {
  const T* values;
  const GradSums<Accum<T>>* means;  // [batch], or null: as stored
  Field<T> grids;                   // with means
  const T* bypass;                  // with means: a gradient that is added, or null
  T* resolved;                      // receives what is read, or null; may be `bypass`
  Accum<T>* norm_partial;           // with means: [parts, 2, cells] gradients of the norm's weight and bias
  bool add_to_partial;              // add to norm_partial rather than overwrite it

  // The gradient at a cell, which the caller reads once. Adds to the sums what the cell adds to them.
  __device__ Accum<T> read(int sample, int cells, int cell, NormSums<Accum<T>>& sums) const {
    using A = Accum<T>;
    const int64_t offset = int64_t{sample} * cells + cell;
    A grad = static_cast<A>(values[offset]);
    if (means != nullptr) {
      const Stats<A> s = grids.stats[sample];
      const GradSums<A> mean = means[sample];
      const A normed = (grids.raw(offset) - s.mean) * s.rstd;
      sums.weight += grad * normed;
      sums.bias += grad;
      grad = s.rstd * (grad * static_cast<A>(grids.norm_weight[cell]) - mean.plain - normed * mean.weighted);
      if (bypass != nullptr) grad = static_cast<A>(bypass[offset]) + grad;
    }
    if (resolved != nullptr) resolved[offset] = static_cast<T>(grad);
    return grad;
  }

  // The thread that owns a cell in a part of the batch calls start() once, then add().
  __device__ void start(int part, int cells, int cell) const {
    if (means != nullptr && !add_to_partial) *sum_of(part, 0, cells, cell) = *sum_of(part, 1, cells, cell) = 0;
  }
  __device__ void add(int part, int cells, int cell, const NormSums<Accum<T>>& sums) const {
    if (means == nullptr) return;
    *sum_of(part, 0, cells, cell) += sums.weight;
    *sum_of(part, 1, cells, cell) += sums.bias;
  }

 private:
  __device__ Accum<T>* sum_of(int part, int plane, int cells, int cell) const {
    return norm_partial + (int64_t{part} * 2 + plane) * cells + cell;
  }
};

template <class T>
GradField<T> grad_field_of(const GradView& view, const NormPartial& norm, void* resolved) {
  using A = Accum<T>;
  return {.values = static_cast<const T*>(view.values),
          .means = static_cast<const GradSums<A>*>(view.means),
          .grids = field_of<T>(view.grids),
          .bypass = static_cast<const T*>(view.bypass),
          .resolved = static_cast<T*>(resolved),
          .norm_partial = static_cast<A*>(norm.sums),
          .add_to_partial = norm.add};
}

template <class T>
StepParameters<T> typed(const StepParameters<void>& parameters) {
  const auto as = [](const void* p) { return static_cast<const T*>(p); };
  return {as(parameters.weight), as(parameters.bias), as(parameters.residual_scale)};
}

// A box of cells with its one-cell shell, as a tile [z][y][x] with sides two larger than those of the cells.
struct Box {
  int z, y, x;    // first cell
  int hy, hx;     // sides of the box with shell along y and x
  int layer;      // numbers from a layer of the tile to the next: its cells, and `padding`
  int positions;  // of the tile

  __host__ __device__ Box(int z_, int y_, int x_, int sz, int sy, int sx, int padding = 0)
      : z(z_), y(y_), x(x_), hy(sy + 2), hx(sx + 2), layer(hy * hx + padding), positions((sz + 2) * layer) {}

  // The position in the tile of the cell at (lz, ly, lx) from the first cell.
  __device__ int position(int lz, int ly, int lx) const { return (lz + 1) * layer + (ly + 1) * hx + lx + 1; }

  // Maps every position to its cell, or to -1 outside the grid, which saves divisions for every sample.
  __device__ void map_cells(const Grid& grid, int* cell_at) const {
    for (int p = threadIdx.x; p < positions; p += blockDim.x) {
      const int at = p % layer;
      const int gz = z - 1 + p / layer, gy = y - 1 + at / hx, gx = x - 1 + at % hx;
      cell_at[p] = at < hy * hx && grid.contains(gz, gy, gx) ? grid.index(gz, gy, gx) : -1;
    }
  }
};

// Fills a tile with value_of(cell), zero outside the grid.
template <class A, class ValueOf>
__device__ void load_tile(A* tile, const int* cell_at, int positions, ValueOf value_of) {
#pragma unroll 4
  for (int p = threadIdx.x; p < positions; p += blockDim.x) {
    const int cell = cell_at[p];
    tile[p] = cell < 0 ? A(0) : value_of(cell);
  }
}

// Reads a cell of a tile and its neighbours, once, into registers.
template <class A>
__device__ void read_neighbours(const A* tile, int position, const Box& box, A (&neighbours)[kNeighbours]) {
#pragma unroll
  for (int i = 0; i < kNeighbours; ++i) {
    neighbours[i] = tile[position + (i / 9 - 1) * box.layer + (i / 3 % 3 - 1) * box.hx + i % 3 - 1];
  }
}

// The weights, in registers, of `Cells` cells that are neighbours along z. A value read from shared memory serves up to
// three of them.
template <class A, int Cells, int Channels>
struct Column {
  A weight[Cells][Channels][kNeighbours];

  // Reads every weight once, with weight_of(c, channel, neighbour).
  template <class WeightOf>
  __device__ void load(WeightOf weight_of) {
#pragma unroll
    for (int c = 0; c < Cells; ++c) {
#pragma unroll
      for (int channel = 0; channel < Channels; ++channel) {
#pragma unroll
        for (int i = 0; i < kNeighbours; ++i) weight[c][channel][i] = weight_of(c, channel, i);
      }
    }
  }

  // sum[c][channel] += sum_i weight_i * in_i. The first cell is at `position` of the tile.
  __device__ void accumulate(const A* tile, int position, const Box& box, A (&sum)[Cells][Channels]) const {
#pragma unroll
    for (int layer = 0; layer < Cells + 2; ++layer) {
#pragma unroll
      for (int i = 0; i < 9; ++i) {
        const A value = tile[position + (layer - 1) * box.layer + (i / 3 - 1) * box.hx + i % 3 - 1];
#pragma unroll
        for (int c = 0; c < Cells; ++c) {
          if (layer < c || layer > c + 2) continue;
#pragma unroll
          for (int channel = 0; channel < Channels; ++channel) {
            sum[c][channel] += weight[c][channel][(layer - c) * 9 + i] * value;
          }
        }
      }
    }
  }
};

}  // namespace zoo::gridnet::cuda

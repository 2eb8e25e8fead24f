// How the grid is cut into tiles where blocks do not matter. The cut suits the machine, not the network.
#pragma once
#include "gridnet/cuda/field.cuh"

namespace zoo::gridnet::cuda {

constexpr int kTileThreads = 256;  // at most

// Tiles of tz x ty x tx cells; a thread owns `column` cells along z.
struct Tiling {
  int tz, ty, tx;
  int tiles_y, tiles_x, tiles;
  int threads;

  __device__ Box box(int tile) const {
    return Box(tile / (tiles_y * tiles_x) * tz, tile / tiles_x % tiles_y * ty, tile % tiles_x * tx, tz, ty, tx);
  }
  __host__ __device__ int positions() const { return (tz + 2) * (ty + 2) * (tx + 2); }
};

// The cells of one thread: (z, y, x), (z+1, y, x), ... as far as tile and grid reach.
template <int Cells>
struct ThreadCells {
  int position;  // of the first cell, in the tile
  int cell;      // its index in the grid
  int count;

  __device__ ThreadCells(const Grid& grid, const Tiling& tiling, const Box& box) {
    const int id = threadIdx.x;
    const int lx = id % tiling.tx, ly = id / tiling.tx % tiling.ty, lz = id / (tiling.tx * tiling.ty) * Cells;
    const int z = box.z + lz, y = box.y + ly, x = box.x + lx;
    const int left = y < grid.n && x < grid.k ? min(tiling.tz - lz, grid.m - z) : 0;
    count = max(0, min(left, Cells));
    position = count > 0 ? box.position(lz, ly, lx) : box.position(0, 0, 0);
    cell = count > 0 ? grid.index(z, y, x) : 0;
  }
};

// The size of the parts when an axis is cut into as few equal parts as possible, of at most `limit` each.
inline int even_part(int axis, int limit) {
  return static_cast<int>(ceil_div(axis, ceil_div(axis, std::max(limit, 1))));
}

inline Tiling tiling_for_threads(const Grid& grid, int column, int threads) {
  const int tx = even_part(grid.k, 32);
  int side = 1;  // a near-square cross-section has less shell to load
  while ((side + 1) * (side + 1) <= threads / tx * column) ++side;
  const int ty = even_part(grid.n, std::min(side, threads / tx));
  // Whole columns: a thread reads one layer beyond each of its cells, which must not lie in the other tile.
  const int tz = static_cast<int>(ceil_div(even_part(grid.m, threads / (tx * ty) * column), column)) * column;
  const auto along = [](int axis, int part) { return static_cast<int>(ceil_div(axis, part)); };
  Tiling tiling{tz, ty, tx, along(grid.n, ty), along(grid.k, tx), 0, 0};
  tiling.tiles = along(grid.m, tz) * tiling.tiles_y * tiling.tiles_x;
  tiling.threads = round_up_to_warp(ceil_div(tz, column) * ty * tx);
  return tiling;
}

// Large tiles have less shell. Little work is cut finer, so that every multiprocessor has some.
inline Tiling plan_tiling(const Grid& grid, int64_t batch, int column) {
  constexpr int64_t kEnoughCtas = 264;  // two for each of the 132 multiprocessors of an H100
  Tiling tiling = tiling_for_threads(grid, column, kTileThreads);
  for (int threads = kTileThreads / 2; threads >= 64; threads /= 2) {
    if (tiling.tiles * std::max<int64_t>(batch, 1) >= kEnoughCtas) break;
    tiling = tiling_for_threads(grid, column, threads);
  }
  return tiling;
}

}  // namespace zoo::gridnet::cuda

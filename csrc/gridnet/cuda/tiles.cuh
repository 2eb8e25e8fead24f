// How the grid is cut into tiles where blocks do not matter. The cut suits the machine, not the network.
#pragma once
#include "gridnet/cuda/field.cuh"

namespace zoo::gridnet::cuda {

constexpr int kTileThreads = 256;  // at most

// Tiles of tz x ty x tx cells; a thread owns `column` cells along z. The threads of a tile follow each other along x,
// y, z or, where `z_before_y`, along x, z, y.
struct Tiling {
  int tz, ty, tx;
  int tiles_y, tiles_x, tiles;
  int threads;
  bool z_before_y;
  int padding;  // of the layers of the tile in shared memory

  __host__ __device__ Box box(int tile) const {
    return Box(tile / (tiles_y * tiles_x) * tz, tile / tiles_x % tiles_y * ty, tile % tiles_x * tx, tz, ty, tx,
               padding);
  }
  int positions() const { return box(0).positions; }
};

// The cells of one thread: (z, y, x), (z+1, y, x), ... as far as tile and grid reach.
template <int Cells>
struct ThreadCells {
  int position;  // of the first cell, in the tile
  int cell;      // its index in the grid
  int count;

  __device__ ThreadCells(const Grid& grid, const Tiling& tiling, const Box& box) {
    const int id = threadIdx.x;
    const int lx = id % tiling.tx, row = id / tiling.tx, columns = tiling.tz / Cells;
    const int ly = tiling.z_before_y ? row / columns : row % tiling.ty;
    const int lz = (tiling.z_before_y ? row % columns : row / tiling.ty) * Cells;
    const int z = box.z + lz, y = box.y + ly, x = box.x + lx;
    const int left = ly < tiling.ty && y < grid.n && x < grid.k ? min(tiling.tz - lz, grid.m - z) : 0;
    count = max(0, min(left, Cells));
    position = count > 0 ? box.position(lz, ly, lx) : box.position(0, 0, 0);
    cell = count > 0 ? grid.index(z, y, x) : 0;
  }
};

// The size of the parts when an axis is cut into as few equal parts as possible, of at most `limit` each. A size up to a
// quarter smaller is chosen if it leaves no smaller part at the end.
inline int even_part(int axis, int limit) {
  const int part = static_cast<int>(ceil_div(axis, ceil_div(axis, std::max(limit, 1))));
  for (int exact = part; 4 * exact >= 3 * part; --exact) {
    if (axis % exact == 0) return exact;
  }
  return part;
}

// Gives a tile whose rows are shorter than a warp the order and the padding with which consecutive threads read
// consecutive banks of shared memory. Consecutive rows, two numbers farther apart than they are long, would share banks.
// Rows of less than eight cells stay in order, because a warp would read pieces of global memory that are too short; so
// do layers of which the padding would be more than a quarter.
inline void avoid_bank_conflicts(Tiling& tiling, int column) {
  constexpr int kBanks = 32, kShortest = 8;
  const int tx = tiling.tx, columns = tiling.tz / column, layer = tiling.box(0).layer;
  if (tx < kShortest || tx >= kBanks || tx % column != 0 || columns * tx < kWarp) return;
  int padding = 0;
  while ((column * (layer + padding) - tx) % kBanks != 0) ++padding;
  if (4 * padding > layer) return;
  tiling.z_before_y = true;
  tiling.padding = padding;
}

inline Tiling tiling_for_threads(const Grid& grid, int column, int threads) {
  const int tx = even_part(grid.k, 32);
  int side = 1;  // a near-square cross-section has less shell to load
  while ((side + 1) * (side + 1) <= threads / tx * column) ++side;
  const int ty = even_part(grid.n, std::min(side, threads / tx));
  // Whole columns: a thread reads one layer beyond each of its cells, which must not lie in the other tile.
  const int tz = static_cast<int>(ceil_div(even_part(grid.m, threads / (tx * ty) * column), column)) * column;
  const auto along = [](int axis, int part) { return static_cast<int>(ceil_div(axis, part)); };
  Tiling tiling{tz, ty, tx, along(grid.n, ty), along(grid.k, tx), 0, 0, false, 0};
  tiling.tiles = along(grid.m, tz) * tiling.tiles_y * tiling.tiles_x;
  tiling.threads = round_up_to_warp(tz / column * ty * tx);
  avoid_bank_conflicts(tiling, column);
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

// The memory of one call with cells in lanes, and the activations it saves.
#pragma once
#include "gridnet/cpu/cell_lanes/scratch.h"
#include "gridnet/cpu/cell_lanes/walk.h"

namespace zoo::ZOO_ISA {

// Activations that forward saves for backward, in one buffer of the caller's: a header, what standardises each grid,
// the saved grids (common.h) and, if no step is recomputed, the sums of each step. The header has kMark where samples
// in lanes have the number of lanes, then the samples in a tile.
template <class T>
struct SavedPlanes {
  static constexpr int64_t kHeader = 16;
  static constexpr int kMark = -1;
  const EvolveConfig& config;
  T* data;
  const Shape shape = config.step.shape;

  int64_t grid_size() const { return config.step.batch * shape.cells(); }
  bool saves_sums() const { return data && config.recompute == 1; }
  int64_t channels() const { return config.step.channels(); }
  int64_t standards_size() const {
    return (config.outer_steps + 1) * config.step.batch * (sizeof(Standard<T>) / sizeof(T));
  }
  int64_t size() const {
    const int64_t sums = config.recompute == 1 ? config.outer_steps * channels() : 0;
    return kHeader + standards_size() + (count_saved_grids(config) + sums) * grid_size();
  }
  // Clears the header and the standards.
  void write_header(int64_t tile) const {
    std::memset(data, 0, (kHeader + standards_size()) * sizeof(T));
    data[0] = kMark;
    data[1] = static_cast<T>(tile);
  }
  bool written_in_tiles_of(int64_t tile) const { return data[1] == static_cast<T>(tile); }

  // The members below are those of the tile whose first sample is `first`.

  Standard<T>* standards(int s, int64_t first) const {
    return reinterpret_cast<Standard<T>*>(data + kHeader) + s * config.step.batch + first;
  }
  // Grids s; saves_grid(config, s) is true.
  PlaneGrids<T> grids(int s, int64_t first, int64_t samples) const {
    return PlaneGrids<T>::by_plane(grid_data() + saved_index(config, s) * grid_size() + first * shape.cells(), shape,
                                   samples);
  }
  // The sums of step s, a plane being [channel][n][k]; no data if they are not saved.
  PlaneGrids<T> sums(int s, int64_t first, int64_t samples) const {
    if (!saves_sums()) return {};
    const int64_t plane = channels() * shape.n * shape.k;
    T* from =
        grid_data() + (count_saved_grids(config) + s * channels()) * grid_size() + first * channels() * shape.cells();
    return {from, plane, samples * plane};
  }
  T* grid_data() const { return data + kHeader + standards_size(); }
};

template <class T>
struct PlaneMemory {
  const EvolveConfig& config;
  Workspace& workspace;
  int threads;
  bool backward;

  const Shape shape = config.step.shape;
  const PlaneScratch<T> plan{config, backward};
  const typename PlaneScratch<T>::Bytes bytes = plan.bytes();
  const int64_t tile = plan.tile, grid_size = tile * shape.cells();
  std::atomic<int64_t> taken[kMaxThreads + 1] = {};  // planes taken by every pair of members, in even and odd tiles

  struct Buffers {
    char* own;               // [thread]
    char* shared;            // the part of the scratch memory that all threads share
    T* grids;                // forward: before and after a step; backward: see kGradGrids
    T* pre;                  // gradients of the sums of a group of steps
    PlaneSums<T>* sums;      // [2][plane][sample], of grids with even and odd numbers
    Standard<T>* standards;  // [thread][sample]
    NormMeans<T>* means;     // [thread][sample]
  };
  const Buffers buffers = workspace.lay_out([&](Arena& arena) { return take_buffers(arena); });

  Buffers take_buffers(Arena& arena) const {
    const int64_t grids = backward ? kGradGrids + config.recompute : 2;
    // Planes are read to the end of their last chunk.
    const int64_t pre = backward && plan.group > 1 ? plan.group * plan.channels * grid_size + kChunk<T> : 0;
    return {.own = arena.take<char>(threads * static_cast<int64_t>(bytes.own)),
            .shared = arena.take<char>(static_cast<int64_t>(bytes.shared)),
            .grids = arena.take<T>(grids * grid_size),
            .pre = arena.take<T>(pre),
            .sums = arena.take<PlaneSums<T>>(2 * shape.m * tile),
            .standards = arena.take<Standard<T>>(threads * tile),
            .means = arena.take<NormMeans<T>>(threads * tile)};
  }

  PlaneScratch<T> scratch(const Team& team) const {
    PlaneScratch<T> scratch(plan);
    Arena own(buffers.own + team.rank * bytes.own), shared(buffers.shared);
    scratch.take(own, shared);
    scratch.clear();
    return scratch;
  }

  PlaneGrids<T> grids(int64_t i, int64_t samples) const {
    return PlaneGrids<T>::by_plane(buffers.grids + i * grid_size, shape, samples);
  }
  // Backward: the gradient of what step s read, the one that bypasses step s, and the recomputed grid i of an interval.
  static constexpr int64_t kGradGrids = 4;
  PlaneGrids<T> gradient(int s, int64_t samples) const { return grids(s % 2, samples); }
  PlaneGrids<T> bypass(int s, int64_t samples) const { return grids(2 + s % 2, samples); }
  PlaneGrids<T> recomputed(int64_t i, int64_t samples) const { return grids(kGradGrids + i, samples); }

  // The gradients of the sums of step i of a group; in every plane the samples of its steps follow one another.
  PlaneGrids<T> pre(int i, int64_t samples) const {
    const int64_t plane = plan.channels * shape.n * shape.k;
    return {buffers.pre + i * samples * plane, plane, plan.group * samples * plane};
  }
  // [plane][sample], of grids s. Some members may have gone on to the next grids.
  PlaneSums<T>* sums_of(int s) const { return buffers.sums + s % 2 * shape.m * tile; }
  Standard<T>* standards(const Team& team) const { return buffers.standards + team.rank * tile; }
  NormMeans<T>* means(const Team& team) const { return buffers.means + team.rank * tile; }

  // How a member takes its planes in step s. In an evolution it always takes its own, which are in its cache; those of
  // a single step are shared in pairs.
  PlaneWalk walk(const Team& team, int s, int64_t first_sample) {
    if (config.outer_steps > 1 || team.size == 1) return PlaneWalk::alone(team, shape.m, s);
    std::atomic<int64_t>* of_pair = taken + team.rank / 2 * 2;
    const int64_t odd = first_sample / tile % 2;
    if (team.rank % 2 == 0) of_pair[1 - odd] = 0;  // for the next tile; every member has left the one before
    return PlaneWalk::shared(team, shape.m, of_pair + odd);
  }

  // Calls f(first sample, samples) for every tile; all members leave a tile together.
  template <class F>
  void each_tile(const Team& team, F f) const {
    for (int64_t first = 0; first < config.step.batch; first += tile) {
      f(first, config.step.batch - first < tile ? config.step.batch - first : tile);
      team.barrier();
    }
  }
};

}  // namespace zoo::ZOO_ISA

// The evolution with cells in the lanes, for batches that would leave lanes empty where each holds a sample, and for
// single steps, of which half would be moving samples into lanes and back. Only where blocks make no difference.
#pragma once
#include "core/workspace.h"
#include "gridnet/cpu/cell_lanes/backward.h"

namespace zoo::ZOO_ISA {

// What forward keeps for backward, in one buffer of the caller's: a header that says who wrote it, the grids before
// every segment-th step but the first, the last grid where the output is its LayerNorm, what standardises each grid,
// and, if no step is to be computed again, the sums of each.
template <class T>
struct KeptPlanes {
  static constexpr int64_t kHeader = 16;
  static constexpr int kMark = -1;  // where the evolution with samples in the lanes writes their number
  const EvolveConfig& config;
  T* data;
  const gridnet::Shape shape = config.step.shape;

  int64_t grid_size() const { return config.step.batch * shape.cells(); }
  bool keeps_sums() const { return data && config.segment == 1; }
  int64_t channels() const { return config.step.gated ? 2 : 1; }
  int64_t standards_size() const {
    return (config.outer_steps + 1) * config.step.batch * (sizeof(Standard<T>) / sizeof(T));
  }
  int64_t size() const {
    const int64_t sums = config.segment == 1 ? config.outer_steps * channels() : 0;
    return kHeader + standards_size() + (config.kept_grids() + sums) * grid_size();
  }
  // Of the tile from sample `first` on, as all below.
  Standard<T>* standards(int s, int64_t first) const {
    return reinterpret_cast<Standard<T>*>(data + kHeader) + s * config.step.batch + first;
  }
  // The grids before step s, or after the last; config.keeps(s) is true.
  PlaneGrids<T> grids(int s, int64_t first, int64_t samples) const {
    const int64_t index = s == config.outer_steps ? config.kept_grids() - 1 : s / config.segment - 1;
    return PlaneGrids<T>::by_plane(grid_data() + index * grid_size() + first * shape.cells(), shape, samples);
  }
  // Of step s, a plane being [channel][n][k]; null data where they are not kept.
  PlaneGrids<T> sums(int s, int64_t first, int64_t samples) const {
    if (!keeps_sums()) return {};
    const int64_t plane = channels() * shape.n * shape.k;
    T* from = grid_data() + (config.kept_grids() + s * channels()) * grid_size() + first * channels() * shape.cells();
    return {from, plane, samples * plane};
  }
  T* grid_data() const { return data + kHeader + standards_size(); }
};

// The memory of a call.
template <class T>
struct PlaneMemory {
  const EvolveConfig& config;
  Workspace& workspace;
  int threads;
  bool backward;

  const gridnet::Shape shape = config.step.shape;
  const PlaneScratch<T> plan{config, backward};
  const int64_t tile = plan.tile, grid_size = tile * shape.cells(), own_size = round_up(plan.size(), 64);
  T* const own = workspace.get<T>(12, threads* own_size);
  T* const shared = workspace.get<T>(13, plan.shared_size());
  // Forward: the grids before and after a step. Backward: gradients before and after, what passes by, grids of a
  // segment.
  T* const grid_data = workspace.get<T>(14, (backward ? 4 + config.segment : 2) * grid_size);
  // The gradients of the sums of a group of steps; planes are read to the end of their last chunk.
  T* const pre_data =
      workspace.get<T>(18, backward&& plan.group > 1 ? plan.group * plan.channels * grid_size + kChunk<T> : 0);
  std::atomic<int64_t> taken[kMaxThreads + 1] = {};  // of every two members, in even and odd tiles
  PlaneSums<T>* const sums = workspace.get<PlaneSums<T>>(15, 2 * shape.m * tile);
  Standard<T>* const standards = workspace.get<Standard<T>>(16, threads* tile);
  NormMeans<T>* const means = workspace.get<NormMeans<T>>(17, threads* tile);

  PlaneGrids<T> grids(int i, int64_t samples) const {
    return PlaneGrids<T>::by_plane(grid_data + i * grid_size, shape, samples);
  }
  // Of step i of a group; the samples of its steps follow one another in every plane.
  PlaneGrids<T> pre(int i, int64_t samples) const {
    const int64_t plane = plan.channels * shape.n * shape.k;
    return {pre_data + i * samples * plane, plane, plan.group * samples * plane};
  }
  // [plane][samples], of the grids before even and odd steps: some members may be at the next step already.
  PlaneSums<T>* sums_of(int s) const { return sums + s % 2 * shape.m * tile; }

  PlaneScratch<T> scratch(const Team& team) const {
    PlaneScratch<T> scratch{config, backward};
    scratch.set(own + team.rank * own_size, shared);
    return scratch;
  }

  // How a member takes its planes in step s. Between steps it keeps what it has in the cache; a single step's are
  // shared.
  PlaneWalk walk(const Team& team, int s, int64_t first_sample) {
    if (config.outer_steps > 1 || team.size == 1) return PlaneWalk::alone(team, shape.m, s);
    std::atomic<int64_t>* of_pair = taken + team.rank / 2 * 2;
    const int64_t odd = first_sample / tile % 2;
    if (team.rank % 2 == 0) of_pair[1 - odd] = 0;  // for the next tile; no one is at the one before any more
    return PlaneWalk::shared(team, shape.m, of_pair + odd);
  }

  // Calls f(first sample, samples) for every tile; all members leave it together.
  template <class F>
  void each_tile(const Team& team, F f) const {
    for (int64_t first = 0; first < config.step.batch; first += tile) {
      f(first, config.step.batch - first < tile ? config.step.batch - first : tile);
      team.barrier();
    }
  }
};

// Every member works on its planes of all samples, and waits for the others once per step.
template <class T>
void evolve_planes(const EvolveConfig& c, const Inputs<T>& in, T* out, T* kept_data, Workspace& workspace,
                   int threads) {
  PlaneMemory<T> memory{c, workspace, threads, false};
  const KeptPlanes<T> kept{c, kept_data};
  if (kept_data) {
    std::memset(kept_data, 0, (KeptPlanes<T>::kHeader + kept.standards_size()) * sizeof(T));
    kept_data[0] = KeptPlanes<T>::kMark;
    kept_data[1] = static_cast<T>(memory.tile);
  }
  auto body = [&](const Team& team) {
    const PlaneScratch<T> own = memory.scratch(team);
    const int64_t begin = team.begin(own.shape.m), end = team.end(own.shape.m), cells = own.shape.cells(),
                  plane = own.plane;
    Standard<T>* const current = memory.standards + team.rank * memory.tile;
    memory.each_tile(team, [&](int64_t first, int64_t samples) {
      auto x = PlaneGrids<const T>::as_torch(in.x + first * cells, own.shape);
      const auto result = PlaneGrids<T>::as_torch(out + first * cells, own.shape);
      // What standardises the grids before step s, whose moments are there; null where they are read as they are.
      const auto standards = [&](int s) -> const Standard<T>* {
        if (!c.behind_norm(s)) return nullptr;
        for (int64_t i = 0; i < samples; ++i)
          current[i] = Standard<T>::of(memory.sums_of(s) + i, samples, own.shape.m, plane, c.norm_eps);
        if (kept_data && team.rank == 0) std::memcpy(kept.standards(s, first), current, samples * sizeof *current);
        return current;
      };
      if (c.behind_norm(0)) {
        for (int64_t z = begin; z < end; ++z) plane_moments(x, samples, z, plane, memory.sums_of(0) + z * samples);
        team.barrier();
      }
      for (int s = 0; s < c.outer_steps; ++s) {
        const auto to = s + 1 == c.outer_steps && !c.normalises_output() ? result
                        : kept_data && c.keeps(s + 1)                    ? kept.grids(s + 1, first, samples)
                                                                         : memory.grids((s + 1) % 2, samples);
        plane_step(own, in, s, {x, standards(s)}, samples, first == 0 && s == 0, memory.walk(team, s, first), to,
                   kept.sums(s, first, samples), c.behind_norm(s + 1) ? memory.sums_of(s + 1) : nullptr);
        team.barrier();
        x = to;
      }
      if (!c.normalises_output()) return;
      const Standard<T>* last = standards(c.outer_steps);
      for (int64_t z = begin; z < end; ++z)
        for (int64_t i = 0; i < samples; ++i)
          norm_cells(last[i], in.norm_weight + z * plane, in.norm_bias + z * plane, x.plane(i, z), plane,
                     result.plane(i, z));
    });
  };
  parallel(threads, body);
}

// False when `kept` was written in other tiles than this instruction set's.
template <class T>
bool evolve_planes_backward(const EvolveConfig& c, const Inputs<T>& in, const T* kept_data, const T* grad_out,
                            const Grads<T>& grads, Workspace& workspace, int threads) {
  const PlaneMemory<T> memory{c, workspace, threads, true};
  const KeptPlanes<T> kept{c, const_cast<T*>(kept_data)};
  if (kept_data && kept_data[1] != static_cast<T>(memory.tile)) return false;
  auto body = [&](const Team& team) {
    const PlaneScratch<T> own = memory.scratch(team);
    const int64_t begin = team.begin(own.shape.m), end = team.end(own.shape.m), cells = own.shape.cells(),
                  plane = own.plane;
    NormMeans<T>* const means = memory.means + team.rank * memory.tile;
    if (own.all && !kept.keeps_sums())
      for (int64_t z = begin; z < end; ++z) own.parameters.fill(in, z);
    if (c.norm) {
      std::memset(grads.norm_weight + begin * plane, 0, (end - begin) * plane * sizeof(T));
      std::memset(grads.norm_bias + begin * plane, 0, (end - begin) * plane * sizeof(T));
    }
    team.barrier();  // the planes on either side of this member's need their parameters, too
    memory.each_tile(team, [&](int64_t first, int64_t samples) {
      auto gradient = PlaneGrids<const T>::as_torch(grad_out + first * cells, own.shape);
      const auto grad_x = PlaneGrids<T>::as_torch(grads.x + first * cells, own.shape);
      PlaneReading<T> group_x[PlaneScratch<T>::kGroup];  // what the steps read whose weights' gradients wait
      int waiting = 0;
      // Whether what step s adds to its parameters' gradients finds some there.
      const auto adds = [&](int s) { return first > 0 || (!c.separate && s + 1 < c.outer_steps); };
      const auto standards = [&](int s) { return c.behind_norm(s) ? kept.standards(s, first) : nullptr; };
      const auto add_norm_sums = [&](int s, const PlaneGrids<const T>& x, const PlaneGrids<const T>& grad, int64_t z) {
        norm_plane_sums(standards(s), in.norm_weight + z * plane, grad, x, samples, z, plane,
                        memory.sums_of(s) + z * samples, grads.norm_weight + z * plane, grads.norm_bias + z * plane);
      };
      // How the gradient of what is read of the grids before step s, or after the last, comes in.
      const auto incoming = [&](int s, const PlaneGrids<const T>& x) -> PlaneIncoming<T> {
        if (!c.behind_norm(s)) return {gradient, {}, nullptr, nullptr, {}};
        for (int64_t i = 0; i < samples; ++i)
          means[i] = NormMeans<T>::of(memory.sums_of(s) + i, samples, own.shape.m, plane);
        const bool passed_by = c.outer_residual && s < c.outer_steps;
        return {gradient,
                {x, standards(s)},
                means,
                in.norm_weight,
                passed_by ? PlaneGrids<const T>(memory.grids(2 + s % 2, samples)) : PlaneGrids<const T>{}};
      };
      if (c.normalises_output()) {
        for (int64_t z = begin; z < end; ++z)
          add_norm_sums(c.outer_steps, kept.grids(c.outer_steps, first, samples), gradient, z);
        team.barrier();
      }
      for (int from = (c.outer_steps - 1) / c.segment * c.segment; from >= 0; from -= c.segment) {
        const int last = from + c.segment < c.outer_steps ? from + c.segment : c.outer_steps;
        const auto grid = [&](int s) {  // before step s, from < s <= last
          return kept_data && c.keeps(s) ? kept.grids(s, first, samples) : memory.grids(4 + s - from, samples);
        };
        const auto read = [&](int s) -> PlaneReading<T> {
          if (s == 0) return {PlaneGrids<const T>::as_torch(in.x + first * cells, own.shape), standards(s)};
          return {grid(s), standards(s)};
        };
        for (int s = from; s + 1 < last; ++s) {
          plane_step<T>(own, in, s, read(s), samples, false, PlaneWalk::alone(team, own.shape.m, s), grid(s + 1), {},
                        nullptr);
          team.barrier();
        }
        for (int s = last - 1; s >= from; --s) {
          const Inputs<T> in_step = own.of_step(in, s);
          const PlaneReading<T> x = read(s);
          const PlaneGrids<T> to = s == 0 && !x.standards ? grad_x : memory.grids(s % 2, samples);
          const PlaneGrids<T> pre = own.group > 1 ? memory.pre(waiting, samples) : PlaneGrids<T>{};
          const PlaneIncoming<T> after =
              incoming(s + 1, c.behind_norm(s + 1) ? PlaneGrids<const T>(grid(s + 1)) : PlaneGrids<const T>{});
          const PlaneBackward<T> backward{own,     in_step, x,   kept.sums(s, first, samples),    after,
                                          samples, to,      pre, memory.grids(2 + s % 2, samples)};
          backward.run(s, begin, end, first == 0 && s + 1 == c.outer_steps, own.of_step(grads, s), adds(s),
                       [&](int64_t z) {
                         if (x.standards) add_norm_sums(s, x.grids, to, z);
                       });
          if (own.group > 1) group_x[waiting++] = x;
          // The grids of a segment make room for those of the one before it.
          if (waiting == own.group || (waiting > 0 && (s == 0 || (c.segment > 1 && s == from)))) {
            plane_weight_gradients(own, in, group_x, waiting, samples, memory.pre(0, samples), begin, end, grads,
                                   adds(s + waiting - 1));
            waiting = 0;
          }
          team.barrier();
          gradient = to;
        }
      }
      if (!c.behind_norm(0)) return;
      const auto x = PlaneGrids<const T>::as_torch(in.x + first * cells, own.shape);
      const PlaneIncoming<T> to_x = incoming(0, x);
      for (int64_t z = begin; z < end; ++z)
        for (int64_t i = 0; i < samples; ++i)
          for_packs<T>(plane, [&](int64_t at, int64_t n) ZOO_INLINE_LAMBDA {
            store_pack(grad_x.plane(i, z) + at, to_x.template operator()<kPack<T>>(i, z, at, z * plane + at, n), n);
          });
    });
  };
  parallel(threads, body);
  return true;
}

}  // namespace zoo::ZOO_ISA

// The evolution with cells in the SIMD lanes, for batches that would leave most lanes empty where each holds a sample.
// Forward only, without what backward needs, and only where blocks make no difference.
//
// Layout: a sample is stored with a shell of zeros around the grid, and a plane is worked on as one line of positions,
// the two paddings between rows included: there all parameters are zero, and so stays the grid.
#pragma once
#include <cmath>

#include "../workspace.h"
#include "cpu_evolve.h"
#include "cpu_planes.h"

namespace zoo::ZOO_ISA {

// Planes of several samples, each plane and row with a shell.
template <class T>
struct FlatGrid {
  T* data;
  int64_t planes, n, k;

  int64_t row_size() const { return k + 2; }
  int64_t plane_size() const { return (n + 2) * row_size(); }
  int64_t sample_size() const { return (planes + 2) * plane_size() + kLanes<T>; }  // the last line is read to its end
  int64_t line_size() const { return n * row_size() - 2; }
  T* line(int64_t sample, int64_t z) const {  // cell (z, 0, 0); z from -1 to planes
    return data + sample * sample_size() + (z + 1) * plane_size() + row_size() + 1;
  }
};

// Parameters as the lines read them, zero between the rows: [z][channel][27] and [z][channel] and [z] lines.
template <class T>
struct FlatParameters {
  T* data;
  int64_t channels, n, k;

  int64_t line_size() const { return (n * (k + 2) + kLanes<T> - 1) / kLanes<T> * kLanes<T>; }
  // Per plane: the weights, the biases, the residual scale, the norm's weight and bias, and 1 for a cell, 0 for padding.
  int64_t lines() const { return channels * (kNeighbours + 1) + 4; }
  int64_t plane_size() const { return lines() * line_size(); }
  T* line(int64_t z, int64_t i) const { return data + z * plane_size() + i * line_size(); }
  T* weight(int64_t z, int64_t channel) const { return line(z, channel * kNeighbours); }
  T* bias(int64_t z, int64_t channel) const { return line(z, channels * kNeighbours + channel); }
  T* scale(int64_t z) const { return line(z, channels * (kNeighbours + 1)); }
  T* norm_weight(int64_t z) const { return line(z, channels * (kNeighbours + 1) + 1); }
  T* norm_bias(int64_t z) const { return line(z, channels * (kNeighbours + 1) + 2); }
  T* is_cell(int64_t z) const { return line(z, channels * (kNeighbours + 1) + 3); }

  // rows [n][k] -> a line; null: ones.
  void set_line(T* line, const T* rows) const {
    std::memset(line, 0, line_size() * sizeof(T));
    for (int64_t y = 0; y < n; ++y, line += k + 2) {
      if (rows) std::memcpy(line, rows + y * k, k * sizeof(T));
      else for (int64_t x = 0; x < k; ++x) line[x] = 1;
    }
  }

  // Parameter set `set` of an evolution -> its planes [begin, end).
  void fill(const EvolveConfig& c, const Inputs<T>& in, int set, int64_t begin, int64_t end) const {
    const int64_t cells = c.step.shape.cells();
    const T* from_weight = in.weight + set * kNeighbours * channels * cells;
    const T* from_bias = in.bias + set * channels * cells;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t z = set * c.step.shape.m + i, at = i * n * k;
      for (int64_t channel = 0; channel < channels; ++channel) {
        for (int i = 0; i < kNeighbours; ++i)
          set_line(weight(z, channel) + i * line_size(), from_weight + (i * channels + channel) * cells + at);
        set_line(bias(z, channel), from_bias + channel * cells + at);
      }
      if (!c.step.gated) set_line(scale(z), in.residual_scale + set * cells + at);
      if (c.norm) {
        set_line(norm_weight(z), in.norm_weight + at);
        set_line(norm_bias(z), in.norm_bias + at);
        set_line(is_cell(z), nullptr);
      }
    }
  }
};

// Samples' planes [begin, end) -> the grid, zeros outside of the samples.
template <class T>
void load_planes(const T* samples, int64_t count, Shape shape, int64_t begin, int64_t end, const FlatGrid<T>& grid) {
  const int64_t k = shape.k;
  for (int64_t s = 0; s < count; ++s)
    for (int64_t z = begin; z < end; ++z) {
      T* line = grid.line(s, z);
      const int64_t slack = z == shape.m ? kLanes<T> : 0;  // behind the last plane, read to the end of the last line
      std::memset(line - grid.row_size() - 1, 0, (grid.plane_size() + slack) * sizeof(T));
      if (z < 0 || z >= shape.m) continue;
      const T* from = samples + s * shape.cells() + shape.index(z, 0, 0);
      for (int64_t y = 0; y < shape.n; ++y) std::memcpy(line + y * grid.row_size(), from + y * k, k * sizeof(T));
    }
}

// Of S samples, V vectors of positions at `at` of plane z: out = what the step makes of z-values `in`, plus base - in.
template <class T, bool Gated, gridnet::Activation A, int S, int V>
ZOO_INLINE void flat_cells(const FlatParameters<T>& p, int64_t parameter_plane, const FlatGrid<T>& in, const FlatGrid<T>& base,
                           const FlatGrid<T>& out, int64_t z, int64_t sample, int64_t at, int64_t count) {
  constexpr int L = kLanes<T>, P = S * V, channels = Gated ? 2 : 1;
  const T* lines[S];
  for (int s = 0; s < S; ++s) lines[s] = in.line(sample + s, z) + at;
  Pack<T, P> sums[channels];
  for (int c = 0; c < channels; ++c) {
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) sums[c].v[i] = load_unaligned(p.bias(parameter_plane, c) + at + i % V * L);
    const T* weight = p.weight(parameter_plane, c) + at;
    for (int q = 0; q < 9; ++q) {
      const int64_t row = (q / 3 - 1) * in.plane_size() + (q % 3 - 1) * in.row_size();
#pragma GCC unroll 3
      for (int dx = 0; dx < 3; ++dx) {
        Vec<T> w[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) w[v] = in_register<T>(load_unaligned(weight + (q * 3 + dx) * p.line_size() + v * L));
#pragma GCC unroll 8
        for (int i = 0; i < P; ++i) sums[c].v[i] += w[i % V] * load_unaligned(lines[i / V] + row + dx - 1 + i % V * L);
      }
    }
  }
  Pack<T, P> center, from, result;
  for (int i = 0; i < P; ++i) {
    center.v[i] = load_unaligned(lines[i / V] + i % V * L);
    from.v[i] = load_unaligned(base.line(sample + i / V, z) + at + i % V * L);
  }
  const Pack<T, P> value = gridnet::activate<A>(sums[0]);
  if constexpr (Gated) {
    result = value + gridnet::sigmoid(sums[channels - 1]) * (center - value) + (from - center);
  } else {
    Pack<T, P> scale;
    for (int i = 0; i < P; ++i) scale.v[i] = load_unaligned(p.scale(parameter_plane) + at + i % V * L);
    result = from + scale * value;
  }
  for (int i = 0; i < P; ++i) {
    T* to = out.line(sample + i / V, z) + at + i % V * L;
    store_part(to, result.v[i], count - i % V * L);
  }
}

// The step on one plane of all samples. V vectors of a line at a time, and for them S samples at a time: their weights
// are read from the L1 cache for all samples, and from registers for S.
template <class T, bool Gated>
void flat_step_plane(const StepConfig& c, const FlatParameters<T>& p, int64_t parameter_plane, const FlatGrid<T>& in,
                     const FlatGrid<T>& base, const FlatGrid<T>& out, int64_t z, int64_t samples) {
  constexpr int L = kLanes<T>, S = Gated ? 2 : 4, V = ZOO_VECTOR_BYTES == 64 ? 2 : 1;
  const int64_t size = in.line_size();
  with_activation(c.activation, [&]<gridnet::Activation A>() {
    const auto chunk = [&]<int N>(int64_t at) {
      const int64_t count = size - at;
      int64_t s = 0;
      for (; s + S <= samples; s += S) flat_cells<T, Gated, A, S, N>(p, parameter_plane, in, base, out, z, s, at, count);
      for (; s < samples; ++s) flat_cells<T, Gated, A, 1, N>(p, parameter_plane, in, base, out, z, s, at, count);
    };
    int64_t at = 0;
    for (; at + V * L <= size; at += V * L) chunk.template operator()<V>(at);
    for (; at < size; at += L) chunk.template operator()<1>(at);
  });
}

template <class T>
void flat_step(const StepConfig& c, const FlatParameters<T>& p, int64_t parameter_plane, const FlatGrid<T>& in,
               const FlatGrid<T>& base, const FlatGrid<T>& out, int64_t z, int64_t samples) {
  if (c.gated) flat_step_plane<T, true>(c, p, parameter_plane, in, base, out, z, samples);
  else flat_step_plane<T, false>(c, p, parameter_plane, in, base, out, z, samples);
}

// The grid's planes [begin, end) -> samples.
template <class T>
void store_planes(const FlatGrid<T>& grid, int64_t count, Shape shape, int64_t begin, int64_t end, T* samples) {
  for (int64_t s = 0; s < count; ++s)
    for (int64_t z = begin; z < end; ++z) {
      T* to = samples + s * shape.cells() + shape.index(z, 0, 0);
      for (int64_t y = 0; y < shape.n; ++y)
        std::memcpy(to + y * shape.k, grid.line(s, z) + y * grid.row_size(), shape.k * sizeof(T));
    }
}

// The LayerNorm of every sample by one team, whose members share the planes. `partials` holds a number for every member
// and sample. Sums over cells are taken mean first, then deviations: no cancellation.
template <class T>
struct FlatNorm {
  const EvolveConfig& config;
  const Team& team;
  const FlatParameters<T>& parameters;
  T* partials;

  // Calls f(z, at, count) for every vector of positions in this member's planes, of which `count` are in the line.
  template <class F>
  void each(const FlatGrid<T>& grid, F f) const {
    for (int64_t z = team.begin(grid.planes); z < team.end(grid.planes); ++z)
      for (int64_t at = 0; at < grid.line_size(); at += kLanes<T>) f(z, at, grid.line_size() - at);
  }

  T total(int64_t sample, int64_t samples) const {
    T sum = 0;
    for (int i = 0; i < team.size; ++i) sum += partials[i * samples + sample];
    return sum;
  }

  // Leaves the sum over this member's planes of f(x) * is_cell in partials; f takes a sample and a vector.
  template <class F>
  void sum(const FlatGrid<T>& grid, int64_t samples, F f) const {
    for (int64_t s = 0; s < samples; ++s) {
      Vec<T> sums{};
      each(grid, [&](int64_t z, int64_t at, int64_t) {
        sums += f(s, load_unaligned(grid.line(s, z) + at)) * load_unaligned(parameters.is_cell(z) + at);
      });
      T total = 0;
      for (int l = 0; l < kLanes<T>; ++l) total += sums[l];
      partials[team.rank * samples + s] = total;
    }
    team.barrier();
  }

  // out = norm(grid), each sample by itself.
  void apply(const FlatGrid<T>& grid, int64_t samples, T* means, T* inverses, const FlatGrid<T>& out) const {
    const T cells = static_cast<T>(config.step.shape.cells());
    sum(grid, samples, [](int64_t, Vec<T> x) ZOO_INLINE_LAMBDA { return x; });
    for (int64_t s = 0; s < samples; ++s) means[s] = total(s, samples) / cells;
    team.barrier();
    sum(grid, samples, [&](int64_t s, Vec<T> x) ZOO_INLINE_LAMBDA { return (x - means[s]) * (x - means[s]); });
    for (int64_t s = 0; s < samples; ++s)
      inverses[s] = T(1) / std::sqrt(total(s, samples) / cells + static_cast<T>(config.norm_eps));
    for (int64_t s = 0; s < samples; ++s)
      each(grid, [&](int64_t z, int64_t at, int64_t count) {
        const Vec<T> weight = load_unaligned(parameters.norm_weight(z) + at), bias = load_unaligned(parameters.norm_bias(z) + at);
        const Vec<T> result = (load_unaligned(grid.line(s, z) + at) - means[s]) * inverses[s] * weight + bias;
        store_part(out.line(s, z) + at, result, count);
      });
    team.barrier();
  }
};

// All steps; the members share the planes of every sample.
template <class T>
void flat_evolution(const EvolveConfig& c, const Inputs<T>& in, const FlatParameters<T>& parameters, const FlatNorm<T>& norm,
                    T* own, const FlatGrid<T> (&grids)[3], T* out) {
  const Shape shape = c.step.shape;
  const Team& team = norm.team;
  const int64_t samples = c.step.batch, begin = team.begin(shape.m), end = team.end(shape.m);
  int x = 0;
  for (const FlatGrid<T>& grid : grids)  // the last two for the zeros around what will be written
    load_planes(in.x, samples, shape, begin - (begin == 0), end + (end == shape.m), grid);
  team.barrier();
  const auto normalise = [&](int from, int to) { norm.apply(grids[from], samples, own, own + samples, grids[to]); };
  for (int s = 0; s < c.outer_steps; ++s) {
    const int z = c.normalises(s) ? (x + 1) % 3 : x, next = (x + 2) % 3;
    if (z != x) normalise(x, z);
    const int64_t set = c.separate ? s * shape.m : 0;
    for (int64_t plane = begin; plane < end; ++plane)
      flat_step(c.step, parameters, set + plane, grids[z], grids[c.outer_residual ? x : z], grids[next], plane, samples);
    team.barrier();
    x = next;
  }
  if (c.normalises_output()) normalise(x, (x + 1) % 3);
  store_planes(grids[c.normalises_output() ? (x + 1) % 3 : x], samples, shape, begin, end, out);
}

// Fewer samples than this leave so many lanes empty that a vector of cells is faster (measured with 16 lanes).
template <class T>
constexpr int64_t kFlatBatch = kLanes<T> / 2 + 1;

template <class T>
void evolve_flat(const EvolveConfig& c, const Inputs<T>& in, T* out, Workspace& workspace, int threads) {
  const Shape shape = c.step.shape;
  const int64_t samples = c.step.batch;
  FlatParameters<T> parameters{nullptr, c.step.gated ? 2 : 1, shape.n, shape.k};
  parameters.data = workspace.get<T>(12, c.parameter_sets() * shape.m * parameters.plane_size());
  const int64_t grid_size = samples * FlatGrid<T>{nullptr, shape.m, shape.n, shape.k}.sample_size();
  T* data = workspace.get<T>(13, 3 * grid_size);
  T* numbers = workspace.get<T>(14, 3 * threads * samples);  // FlatNorm's partials, then each member's means and inverses
  const auto grid = [&](int64_t i) { return FlatGrid<T>{data + i * grid_size, shape.m, shape.n, shape.k}; };
  auto body = [&](const Team& team) {
    for (int set = 0; set < c.parameter_sets(); ++set) parameters.fill(c, in, set, team.begin(shape.m), team.end(shape.m));
    T* own = numbers + (threads + 2 * team.rank) * samples;
    flat_evolution(c, in, parameters, FlatNorm<T>{c, team, parameters, numbers}, own, {grid(0), grid(1), grid(2)}, out);
  };
  parallel(threads, body);
}

}  // namespace zoo::ZOO_ISA

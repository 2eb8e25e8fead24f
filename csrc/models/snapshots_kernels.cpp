// Compiled once per instruction set (CMakeLists.txt). Samples are in lanes from the inputs of a network to its logits.
#include "models/snapshots_kernels.h"

#include <algorithm>

#include "core/simd.h"
#include "sparse/cpu/tiles.h"

namespace zoo::ZOO_ISA {
namespace {

using models::SnapshotEdges;
using models::SnapshotLayer;
using models::SnapshotsProblem;

// The scratch memory of one tile of W samples.
template <int W>
struct Scratch {
  const SnapshotsProblem& problem;
  float* data;

  int64_t state_size() const { return problem.units * W; }
  float* now() const { return data; }                        // [unit][W]
  float* before() const { return data + state_size(); }      // the sweep before
  float* logits() const { return before() + state_size(); }  // [member][sample][class]
  int64_t logits_size() const { return static_cast<int64_t>(problem.members.size()) * W * problem.classes; }
  float* shifts() const { return logits() + logits_size(); }
  int64_t size() const { return 2 * state_size() + logits_size() + static_cast<int64_t>(problem.members.size()); }
};

// Adds the weighted inputs of unit u to `total`, group by group.
template <int NV>
ZOO_INLINE void receive(const std::vector<SnapshotEdges>& groups, int64_t u, const float* state, Vec<float>* total) {
  constexpr int W = NV * kLanes<float>;
  for (const SnapshotEdges& edges : groups) {
    Vec<float> sums[NV] = {};
    for (int32_t e = edges.starts[u]; e < edges.starts[u + 1]; ++e) {
      const Vec<float> weight = splat(edges.weight[e]);
      const float* const source = state + int64_t{edges.source[e]} * W;
      for (int v = 0; v < NV; ++v) sums[v] += weight * load(source + v * kLanes<float>);
    }
    for (int v = 0; v < NV; ++v) total[v] = total[v] + sums[v];
  }
}

// Leaves the logits of a network, [class][W], where the last layer's units are.
template <int NV>
void sweep(const SnapshotsProblem& p, const SnapshotsProblem::Member& member, const Scratch<NV * kLanes<float>>& own) {
  constexpr int W = NV * kLanes<float>;
  const int sweeps = member.recurrent ? p.sweeps : 1;
  for (int s = 0; s < sweeps; ++s) {
    if (s > 0) {
      std::memcpy(own.before(), own.now(), own.state_size() * sizeof(float));
      float* const answers = own.before() + (p.units - p.classes) * W;
      p.dense->apply(p.function, answers, p.classes * W, answers);
    }
    for (const SnapshotLayer& layer : *member.layers) {
      float* const out = own.now() + layer.first * W;
      for (int64_t u = 0; u < layer.count; ++u) {
        Vec<float> total[NV];
        for (int v = 0; v < NV; ++v) total[v] = splat(layer.bias[u]);
        receive<NV>(layer.forward, u, own.now(), total);
        if (s > 0) receive<NV>(layer.back, u, own.before(), total);
        for (int v = 0; v < NV; ++v) store(out + u * W + v * kLanes<float>, total[v]);
      }
      if (layer.first + layer.count < p.units) p.dense->apply(p.function, out, layer.count * W, out);
    }
  }
}

template <int NV>
void run_tile(const SnapshotsProblem& p, const float* x, int64_t count, float* scratch, float* out) {
  constexpr int W = NV * kLanes<float>;
  const Scratch<W> own{p, scratch};
  Tile<float, NV>::pack({p.inputs, p.used, nullptr, nullptr}, x, count, own.now());
  for (size_t m = 0; m < p.members.size(); ++m) {
    sweep<NV>(p, p.members[m], own);
    const float* const answers = own.now() + (p.units - p.classes) * W;
    float* const to = p.mixture ? own.logits() + static_cast<int64_t>(m) * W * p.classes : out;
    for (int64_t i = 0; i < count; ++i)
      for (int64_t c = 0; c < p.classes; ++c) to[i * p.classes + c] = answers[c * W + i];
  }
  if (!p.mixture) return;
  for (int64_t i = 0; i < count; ++i)
    p.dense->mix(*p.mixture, {own.logits() + i * p.classes, W * p.classes}, own.shifts(), out + i * p.classes);
}

constexpr int kWidest = 4;

// Calls f.template operator()<NV>() for a tile of NV vectors.
template <class F>
auto with_tile(int tile, F f) {
  if (tile == 4 * kLanes<float>) return f.template operator()<4>();
  if (tile == 2 * kLanes<float>) return f.template operator()<2>();
  return f.template operator()<1>();
}

int64_t scratch_size(const SnapshotsProblem& problem, int tile) {
  return with_tile(tile, [&]<int NV>() { return Scratch<NV * kLanes<float>>{problem, nullptr}.size(); });
}

void run(const SnapshotsProblem& problem, int tile, const float* x, int64_t count, float* scratch, float* out) {
  with_tile(tile, [&]<int NV>() { run_tile<NV>(problem, x, count, scratch, out); });
}

}  // namespace

const models::SnapshotsIsaKernels kSnapshotsKernels = {kWidest * kLanes<float>, scratch_size, run};

}  // namespace zoo::ZOO_ISA

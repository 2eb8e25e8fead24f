#include "models/snapshots.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "core/call.h"
#include "core/thread_pool.h"

namespace zoo::models {
namespace {

constexpr IsaTables<SnapshotsIsaKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kSnapshotsKernels);

PerProcess<CallState> calls;

// To wake a thread takes about as long as this many multiply-adds.
constexpr int64_t kWorthAThread = 1 << 19;

}  // namespace

Snapshots::Snapshots(const std::vector<int64_t>& widths, dense::Function function, int sweeps)
    : function_(function), sweeps_(sweeps) {
  if (widths.size() < 2) throw std::invalid_argument("a network has at least two layers");
  starts_.push_back(0);
  for (size_t layer = 0; layer < widths.size(); ++layer) {
    starts_.push_back(starts_.back() + widths[layer]);
    layer_of_.resize(static_cast<size_t>(starts_.back()), static_cast<int64_t>(layer));
  }
  is_used_.resize(static_cast<size_t>(widths[0]));
  used_.resize(static_cast<size_t>(widths[0]) + 1);
}

void Snapshots::add(const SnapshotTensors& tensors) {
  auto snapshot = std::make_unique<Snapshot>();
  lay(tensors, *snapshot);
  snapshots_.push_back(std::move(snapshot));
  for (size_t i = 0; i < is_used_.size(); ++i) used_[i + 1] = used_[i] + (is_used_[i] ? 1 : 0);
}

Snapshots::Group Snapshots::group_of(int64_t source, int64_t target) const {
  const int64_t from = layer_of_[static_cast<size_t>(source)], to = layer_of_[static_cast<size_t>(target)];
  return from > to ? from_ahead : from == 0 ? from_input : from_hidden;
}

void Snapshots::lay(const SnapshotTensors& t, Snapshot& snapshot) {
  const int64_t units = starts_.back(), inputs = starts_[1];
  snapshot.bias.assign(t.bias, t.bias + (units - inputs));
  snapshot.edges = t.edges;
  for (int64_t e = 0; e < t.edges; ++e) {
    if (t.source[e] < 0 || t.source[e] >= units || t.target[e] < inputs || t.target[e] >= units)
      throw std::invalid_argument("source, target: found units outside 0 to " + std::to_string(units - 1) +
                                  ", or edges into the input");
    if (layer_of_[static_cast<size_t>(t.source[e])] == layer_of_[static_cast<size_t>(t.target[e])])
      throw std::invalid_argument("source, target: found an edge within a layer");
    if (t.source[e] < inputs) is_used_[static_cast<size_t>(t.source[e])] = true;
  }
  std::vector<int64_t> order(static_cast<size_t>(t.edges));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return t.target[a] != t.target[b] ? t.target[a] < t.target[b] : t.source[a] < t.source[b];
  });
  for (size_t i = 1; i < order.size(); ++i)
    if (t.target[order[i]] == t.target[order[i - 1]] && t.source[order[i]] == t.source[order[i - 1]])
      throw std::invalid_argument("source, target: found an edge twice");
  size_t next = 0;
  for (size_t number = 1; number + 1 < starts_.size(); ++number) {
    const int64_t first = starts_[number], count = starts_[number + 1] - first;
    std::vector<int32_t> starts[3], sources[3];
    std::vector<float> weights[3];
    for (std::vector<int32_t>& of_group : starts) of_group.assign(1, 0);
    for (int64_t u = first; u < first + count; ++u) {
      for (; next < order.size() && t.target[order[next]] == u; ++next) {
        const int64_t e = order[next];
        const Group group = group_of(t.source[e], u);
        sources[group].push_back(t.source[e]);
        weights[group].push_back(t.weight[e]);
      }
      for (int g = 0; g < 3; ++g) starts[g].push_back(static_cast<int32_t>(sources[g].size()));
    }
    SnapshotLayer layer{.first = first, .count = count, .bias = snapshot.bias.data() + (first - inputs)};
    for (const Group group : {from_input, from_hidden, from_ahead}) {
      if (sources[group].empty()) continue;
      const SnapshotEdges edges =
          own(snapshot, std::move(starts[group]), std::move(sources[group]), std::move(weights[group]));
      (group == from_ahead ? layer.back : layer.forward).push_back(edges);
    }
    snapshot.recurrent |= !layer.back.empty();
    snapshot.layers.push_back(std::move(layer));
  }
}

SnapshotEdges Snapshots::own(Snapshot& snapshot, std::vector<int32_t> starts, std::vector<int32_t> sources,
                             std::vector<float> weights) const {
  snapshot.starts.push_back(std::move(starts));
  snapshot.sources.push_back(std::move(sources));
  snapshot.weights.push_back(std::move(weights));
  return {snapshot.starts.back().data(), snapshot.sources.back().data(), snapshot.weights.back().data()};
}

void Snapshots::logits(int64_t number, const float* x, int64_t batch, float* out, int threads) const {
  if (number < 0 || number >= static_cast<int64_t>(snapshots_.size()))
    throw std::invalid_argument("snapshot " + std::to_string(number) + " does not exist");
  run({snapshots_[static_cast<size_t>(number)].get()}, nullptr, x, batch, out, threads);
}

void Snapshots::mixture(const std::vector<int64_t>& numbers, const std::vector<float>& weights, const float* x,
                        int64_t batch, float* out, int threads) const {
  std::vector<const Snapshot*> members;
  for (const int64_t number : numbers) {
    if (number < 0 || number >= static_cast<int64_t>(snapshots_.size()))
      throw std::invalid_argument("snapshot " + std::to_string(number) + " does not exist");
    members.push_back(snapshots_[static_cast<size_t>(number)].get());
  }
  if (members.empty() || weights.size() != members.size())
    throw std::invalid_argument("a mixture has one weight for each of its snapshots, and at least one");
  const auto count = static_cast<int64_t>(members.size());
  const dense::Mixture mixture{count, starts_.back() - starts_[starts_.size() - 2], weights.data()};
  run(members, &mixture, x, batch, out, threads);
}

void Snapshots::run(const std::vector<const Snapshot*>& snapshots, const dense::Mixture* mixture, const float* x,
                    int64_t batch, float* out, int threads) const {
  if (batch == 0) return;
  const SnapshotsIsaKernels& isa = kernels_in_use(kTables);
  SnapshotsProblem problem{.units = starts_.back(),
                           .inputs = starts_[1],
                           .classes = starts_.back() - starts_[starts_.size() - 2],
                           .used = used_.data(),
                           .function = function_,
                           .sweeps = sweeps_,
                           .members = {},
                           .mixture = mixture,
                           .dense = &dense::kernels()};
  int64_t work = problem.inputs;
  for (const Snapshot* snapshot : snapshots) {
    problem.members.push_back({&snapshot->layers, snapshot->recurrent});
    work += snapshot->edges * (snapshot->recurrent ? sweeps_ : 1);
  }
  threads = static_cast<int>(std::clamp<int64_t>(batch * work / kWorthAThread, 1, clamp_threads(threads)));
  // A tile that most threads would not share, or lanes that no sample fills, are no gain.
  int tile = isa.widest;
  for (int halves = 0; halves < 2 && (batch <= tile / 2 || batch < int64_t{tile} * threads); ++halves) tile /= 2;
  const int64_t tiles = (batch + tile - 1) / tile;
  threads = static_cast<int>(std::min<int64_t>(threads, tiles));
  const int64_t scratch = (isa.scratch_size(problem, tile) + 15) / 16 * 16;
  take_turn(calls, [&](Workspace& workspace) {
    float* const memory = workspace.lay_out([&](Arena& arena) { return arena.take<float>(threads * scratch); });
    hand_out(threads, tiles, [&](int64_t t, int rank) {
      const int64_t first = t * tile, count = std::min<int64_t>(tile, batch - first);
      isa.run(problem, tile, x + first * problem.inputs, count, memory + rank * scratch, out + first * problem.classes);
    });
  });
}

}  // namespace zoo::models

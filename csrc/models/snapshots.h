// A whole snapshots network for predictions: the logits of one snapshot, or of the weighted ensemble, in one call.
#pragma once
#include <memory>
#include <vector>

#include "dense/problem.h"
#include "models/snapshots_kernels.h"

namespace zoo::models {

// The edges of a snapshot, from unit source[e] to unit target[e], and its biases.
struct SnapshotTensors {
  int64_t edges;
  const int32_t* source;
  const int32_t* target;
  const float* weight;
  const float* bias;  // [units that are not inputs]
};

class Snapshots {
 public:
  // Layers of `widths` units, the input first; at least two. Edges that lead back are read in `sweeps` sweeps.
  Snapshots(const std::vector<int64_t>& widths, dense::Function function, int sweeps);
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  // Copies the tensors; snapshots are numbered in the order in which they are added. Not for several threads at once.
  // Throws std::invalid_argument for an edge outside the network, within a layer, or present twice.
  void add(const SnapshotTensors& tensors);

  // out [batch, classes] from x [batch, inputs]. Threads may call both at any time; calls of all models take turns.
  // Throws std::invalid_argument for a snapshot that does not exist.
  void logits(int64_t number, const float* x, int64_t batch, float* out, int threads) const;
  // The log-probabilities of the mixture of these snapshots with these weights.
  void mixture(const std::vector<int64_t>& numbers, const std::vector<float>& weights, const float* x, int64_t batch,
               float* out, int threads) const;

 private:
  // Where the edges into a layer come from; sums are taken per group, in this order.
  enum Group { from_input, from_hidden, from_ahead };
  struct Snapshot {
    std::vector<SnapshotLayer> layers;
    std::vector<std::vector<int32_t>> starts, sources;
    std::vector<std::vector<float>> weights;
    std::vector<float> bias;
    bool recurrent = false;
    int64_t edges = 0;
  };
  Group group_of(int64_t source, int64_t target) const;
  void lay(const SnapshotTensors& tensors, Snapshot& snapshot);
  SnapshotEdges own(Snapshot& snapshot, std::vector<int32_t> starts, std::vector<int32_t> sources,
                    std::vector<float> weights) const;
  void run(const std::vector<const Snapshot*>& snapshots, const dense::Mixture* mixture, const float* x, int64_t batch,
           float* out, int threads) const;

  std::vector<int64_t> starts_;    // the first unit of each layer, then the number of units
  std::vector<int64_t> layer_of_;  // [units]
  dense::Function function_;
  int sweeps_;
  std::vector<int32_t> used_;  // [inputs + 1], how many of the inputs before each are read by any snapshot
  std::vector<bool> is_used_;
  std::vector<std::unique_ptr<Snapshot>> snapshots_;
};

}  // namespace zoo::models

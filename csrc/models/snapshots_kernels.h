// The snapshots kernel that each instruction set's build of snapshots_kernels.cpp fills.
#pragma once
#include <cstdint>
#include <vector>

#include "core/dispatch.h"
#include "dense/cpu/kernels.h"

namespace zoo::models {

// Edges into a layer from a group of other layers, unit by unit: edges starts[u] to starts[u + 1] are those into unit u
// of the layer.
struct SnapshotEdges {
  const int32_t* starts;
  const int32_t* source;  // numbered through all layers
  const float* weight;
};

struct SnapshotLayer {
  int64_t first, count;                // its units
  const float* bias;                   // [count]
  std::vector<SnapshotEdges> forward;  // read the current sweep
  std::vector<SnapshotEdges> back;     // read the sweep before
};

// One or several snapshots on the same inputs.
struct SnapshotsProblem {
  int64_t units, inputs, classes;
  const int32_t* used;  // [inputs + 1] rises by one at each input that is read
  dense::Function function;
  int sweeps;  // of recurrent snapshots
  struct Member {
    const std::vector<SnapshotLayer>* layers;
    bool recurrent;
  };
  std::vector<Member> members;
  const dense::Mixture* mixture;  // null: one member, whose logits are the answer
  const dense::IsaKernels* dense;
};

struct SnapshotsIsaKernels {
  int widest;  // samples of the widest tile, of which a half and a quarter are tiles, too
  // Floats of scratch memory, aligned to 64 bytes, for a tile of so many samples.
  int64_t (*scratch_size)(const SnapshotsProblem& problem, int tile);
  // out [count, classes] from x [count, inputs], count <= tile.
  void (*run)(const SnapshotsProblem& problem, int tile, const float* x, int64_t count, float* scratch, float* out);
};

}  // namespace zoo::models

ZOO_DECLARE_KERNELS(models::SnapshotsIsaKernels, kSnapshotsKernels)

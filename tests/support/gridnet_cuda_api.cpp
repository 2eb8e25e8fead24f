// C entry points of csrc/gridnet/cuda/api.h for ctypes. Each returns an error line, empty if nothing is wrong, which is
// valid until the next call.
#include <set>

#include "gridnet/cuda/api.h"
#include "gridnet/cuda/tiles.cuh"

using namespace zoo::gridnet;
using zoo::gridnet::cuda::Dtype;

namespace {

const char* keep(std::string line) {
  static std::string last;
  last = std::move(line);
  return last.c_str();
}

template <int Cells>
__global__ void write_positions(cuda::Grid grid, cuda::Tiling tiling, int* positions) {
  const cuda::ThreadCells<Cells> mine(grid, tiling, tiling.box(0));
  positions[threadIdx.x] = mine.count > 0 ? mine.position : -1;
}

// The most different numbers in one bank that a warp of the first tile reads at once.
template <int Cells>
int bank_conflicts(const cuda::Grid& grid, int64_t batch) {
  constexpr int kBanks = 32;
  const cuda::Tiling tiling = cuda::plan_tiling(grid, batch, Cells);
  std::vector<int> positions(tiling.threads);
  int* const out = positions.data();
  LAUNCH(write_positions<Cells>, dim3(1), dim3(tiling.threads), 0, nullptr, grid, tiling, out);
  size_t most = 0;
  for (size_t first = 0; first < positions.size(); first += kBanks) {
    std::set<int> in_bank[kBanks];
    for (size_t thread = first; thread < first + kBanks; ++thread) {
      if (positions[thread] >= 0) in_bank[positions[thread] % kBanks].insert(positions[thread]);
    }
    for (const std::set<int>& numbers : in_bank) most = std::max(most, numbers.size());
  }
  return static_cast<int>(most);
}

}  // namespace

extern "C" {

// Kernels that were launched since the last call.
uint64_t launches() { return shim::launches.exchange(0); }

size_t step_config_bytes() { return sizeof(StepConfig); }
size_t evolve_config_bytes() { return sizeof(EvolveConfig); }

int tile_bank_conflicts(int m, int n, int k, int64_t batch, int cells) {
  const cuda::Grid grid{m, n, k};
  return cells == 1 ? bank_conflicts<1>(grid, batch) : bank_conflicts<2>(grid, batch);
}

size_t saved_bytes(int dtype, const EvolveConfig* config) { return cuda::saved_bytes(Dtype(dtype), *config); }

size_t forward_workspace_bytes(int dtype, const EvolveConfig* config, bool training) {
  return cuda::forward_workspace_bytes(Dtype(dtype), *config, training);
}

size_t backward_workspace_bytes(int dtype, const EvolveConfig* config) {
  return cuda::backward_workspace_bytes(Dtype(dtype), *config);
}

const char* evolve_forward(int dtype, const EvolveConfig* config, const Inputs<void>* inputs, void* out, void* saved,
                           void* workspace) {
  const ForwardArgs<void> args{.inputs = *inputs, .out = out, .saved = saved};
  return keep(cuda::evolve_forward(Dtype(dtype), *config, args, workspace, nullptr));
}

const char* evolve_backward(int dtype, const EvolveConfig* config, const Inputs<void>* inputs, const void* saved,
                            const void* grad_out, const Grads<void>* grads, void* workspace) {
  const BackwardArgs<void> args{.inputs = *inputs, .saved = saved, .grad_out = grad_out, .grads = *grads};
  return keep(cuda::evolve_backward(Dtype(dtype), *config, args, workspace, nullptr));
}

}  // extern "C"

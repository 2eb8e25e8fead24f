// Compiled once per instruction set (CMakeLists.txt): picks the tile width and instantiates the kernels.
#include "gridnet/cpu/kernels.h"

#include "gridnet/cpu/cell_lanes/evolve.h"
#include "gridnet/cpu/sample_lanes/evolve.h"

namespace zoo::ZOO_ISA {
namespace {

constexpr int kWidest = ZOO_VECTOR_BYTES == 64 ? 4 : 2;  // vectors per tile that the registers can serve

// How many vectors of samples make a tile. Wider tiles use each loaded weight more often, but leave fewer tiles for
// the threads, and lanes past the batch are computed for nobody. The factors are measured costs per vector.
template <class T>
int vectors_per_tile(int64_t batch, int threads) {
  int best = 1;
  double best_cost = 1e300;
  for (int nv = 1; nv <= kWidest; nv *= 2) {
    const int64_t lanes = nv * kLanes<T>, tiles = (batch + lanes - 1) / lanes;
    const int64_t groups = tiles < threads ? tiles : threads, rounds = (tiles + groups - 1) / groups;
    const double members = static_cast<double>(threads) / static_cast<double>(groups);
    const double per_vector = nv == 1 ? 1.5 : nv == 2 ? 1.1 : 1.0;
    const double cost = static_cast<double>(rounds * nv) * per_vector / (members > 1 ? 0.9 * members : 1.0);
    if (cost < best_cost) {
      best = nv;
      best_cost = cost;
    }
  }
  return best;
}

// Calls f.template operator()<NV, Step>() for a tile of nv vectors.
template <class F>
auto with_kernel(const StepConfig& c, int nv, F f) {
  const auto with_step = [&]<int NV>() {
    return c.inner_steps > 1 ? f.template operator()<NV, Blocks>() : f.template operator()<NV, Stencil>();
  };
  if (nv == 1) return with_step.template operator()<1>();
#if ZOO_VECTOR_BYTES == 64
  if (nv == 4) return with_step.template operator()<4>();
#endif
  return with_step.template operator()<2>();
}

// Small batches leave so many lanes empty that vectors of cells are faster (measured with 16 lanes): up to one and a
// half times as many samples as there are lanes, and twice that in training. And half of a single step in lanes would
// be moving samples in and out of them, where the planes take them as they are.
template <class T>
bool by_planes(const EvolveConfig& c, int threads, bool training) {
  if (c.step.blocks_matter()) return false;
  const bool single = c.outer_steps == 1 && !c.norm && c.step.shape.m >= threads;
  return single || c.step.batch <= kLanes<T> * (training ? 3 : 1.5);
}

template <class T>
int64_t kept_size(const EvolveConfig& c, int threads) {
  if (by_planes<T>(c, threads, true)) return KeptPlanes<T>{c, nullptr}.size();
  return with_kernel(
      c.step, vectors_per_tile<T>(c.step.batch, threads),
      [&]<int NV, template <class, int> class Step>() { return Kept<T, NV * kLanes<T>>{c, nullptr}.size(); });
}

template <class T>
void forward(const EvolveConfig& c, const Inputs<T>& in, T* out, T* kept, Workspace& workspace, int threads) {
  if (by_planes<T>(c, threads, kept != nullptr)) return evolve_planes(c, in, out, kept, workspace, threads);
  with_kernel(c.step, vectors_per_tile<T>(c.step.batch, threads), [&]<int NV, template <class, int> class Step>() {
    evolve_forward<T, NV, Step>(c, in, out, kept, workspace, threads);
  });
}

// False when `kept` was written by another instruction set's kernels.
template <class T>
bool backward(const EvolveConfig& c, const Inputs<T>& in, const T* kept, const T* grad_out, const Grads<T>& grads,
              Workspace& workspace, int threads) {
  if (kept ? kept[0] == KeptPlanes<T>::kMark : by_planes<T>(c, threads, false))
    return evolve_planes_backward(c, in, kept, grad_out, grads, workspace, threads);
  int nv = vectors_per_tile<T>(c.step.batch, threads);
  if (kept) {
    nv = static_cast<int>(kept[0]) / kLanes<T>;
    if (nv * kLanes<T> != static_cast<int>(kept[0]) || (nv != 1 && nv != 2 && nv != 4) || nv > kWidest) return false;
  }
  with_kernel(c.step, nv, [&]<int NV, template <class, int> class Step>() {
    evolve_backward<T, NV, Step>(c, in, kept, grad_out, grads, workspace, threads);
  });
  return true;
}

}  // namespace

const gridnet::IsaKernels kGridnetKernels = {{kept_size<float>, forward<float>, backward<float>},
                                             {kept_size<double>, forward<double>, backward<double>}};

}  // namespace zoo::ZOO_ISA

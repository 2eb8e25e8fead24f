// Compiled once per instruction set (CMakeLists.txt): chooses the algorithm and the width of its tiles.
#include "gridnet/cpu/kernels.h"

#include <algorithm>
#include <stdexcept>

#include "gridnet/cpu/cell_lanes/evolve.h"
#include "gridnet/cpu/cell_lanes/evolve_backward.h"
#include "gridnet/cpu/sample_lanes/blocks.h"
#include "gridnet/cpu/sample_lanes/evolve.h"
#include "gridnet/cpu/sample_lanes/stencil.h"

namespace zoo::ZOO_ISA {
namespace {

// Vectors per tile for which the registers suffice. More widths take longer to compile: doubles and x86 processors of
// before 2013, which lack AVX2, have one.
#if ZOO_VECTOR_BYTES == 64
constexpr int kWidestOfFloats = 4;
#elif ZOO_VECTOR_BYTES == 32 || !defined(__x86_64__)
constexpr int kWidestOfFloats = 2;
#else
constexpr int kWidestOfFloats = 1;
#endif
template <class T>
constexpr int kWidest = sizeof(T) == sizeof(float) ? kWidestOfFloats : 1;

// How many vectors of samples make a tile. A wider tile uses each loaded weight more often, but leaves fewer tiles for
// the threads and wastes more lanes past the end of the batch. The factors are measured costs per vector.
template <class T>
int vectors_per_tile(int64_t batch, int threads) {
  int best = 1;
  double best_cost = 1e300;
  for (int nv = 1; nv <= kWidest<T>; nv *= 2) {
    const int64_t lanes = nv * kLanes<T>, tiles = (batch + lanes - 1) / lanes;
    const int64_t teams = tiles < threads ? tiles : threads, rounds = (tiles + teams - 1) / teams;
    const double members = static_cast<double>(threads) / static_cast<double>(teams);
    const double per_vector = nv == 1 ? 1.5 : nv == 2 ? 1.1 : 1.0;
    const double cost = static_cast<double>(rounds * nv) * per_vector / (members > 1 ? 0.9 * members : 1.0);
    if (cost < best_cost) {
      best = nv;
      best_cost = cost;
    }
  }
  return best;
}

// Calls f.template operator()<S>() with the step that the configuration needs, for a tile of nv vectors.
template <class T, class F>
auto with_step(const StepConfig& c, int nv, F f) {
  const auto with_vectors = [&]<int NV>() {
    static_assert(Step<Stencil<T, NV>> && Step<Blocks<T, NV>>);
    return c.inner_steps > 1 ? f.template operator()<Blocks<T, NV>>() : f.template operator()<Stencil<T, NV>>();
  };
  if constexpr (kWidest<T> >= 4)
    if (nv == 4) return with_vectors.template operator()<4>();
  if constexpr (kWidest<T> >= 2)
    if (nv == 2) return with_vectors.template operator()<2>();
  return with_vectors.template operator()<1>();
}

// True if cells go into the lanes rather than samples. A small batch would leave many lanes empty: cells are faster up
// to one and a half times as many samples as there are lanes, and twice that in training (measured with 16 lanes). A
// single step with samples in lanes would spend half its time on moving them there and back.
template <class T>
bool uses_planes(const EvolveConfig& c, int threads, bool training) {
  if (c.step.blocks_matter()) return false;
  const bool single = c.outer_steps == 1 && !c.norm && c.step.shape.m >= threads;
  return single || c.step.batch <= kLanes<T> * (training ? 3 : 1.5);
}

template <class T>
int64_t saved_size(const EvolveConfig& c, int threads) {
  if (uses_planes<T>(c, threads, true)) return SavedPlanes<T>{c, nullptr}.size();
  return with_step<T>(c.step, vectors_per_tile<T>(c.step.batch, threads),
                      [&]<Step S>() { return SavedTiles<T, Run<S>::W>{c, nullptr}.size(); });
}

template <class T>
Layout layout_of(const EvolveConfig& c, int threads) {
  return uses_planes<T>(c, threads, false) ? Layout::planes : Layout::taps;
}

// Calls f.template operator()<S>() with a step of any width: packed taps are the same for all.
template <class T, class F>
auto with_any_step(const EvolveConfig& c, F f) {
  return with_step<T>(c.step, 1, f);
}

// Prepared parameters begin with the number of lanes, by which forward knows those of another instruction set.
constexpr int64_t kPreparedHeader = 16;

template <class T>
int64_t prepared_size(const EvolveConfig& c, Layout layout) {
  if (layout == Layout::planes) return kPreparedHeader + prepared_planes_size<T>(c);
  return kPreparedHeader + with_any_step<T>(c, [&]<Step S>() { return prepared_taps_size<S>(c); });
}

template <class T>
void prepare(const EvolveConfig& c, const Inputs<T>& inputs, Layout layout, Workspace& workspace, T* prepared) {
  std::fill(prepared, prepared + kPreparedHeader, static_cast<T>(kLanes<T>));
  prepared += kPreparedHeader;
  if (layout == Layout::planes) return prepare_planes(c, inputs, prepared);
  with_any_step<T>(c, [&]<Step S>() { prepare_taps<S>(c, inputs, workspace, prepared); });
}

template <class T>
void forward(const EvolveConfig& c, const ForwardArgs<T>& given, Workspace& workspace, int threads) {
  ForwardArgs<T> args = given;
  if (args.prepared) {
    if (args.prepared[0] != static_cast<T>(kLanes<T>))
      throw std::invalid_argument("the parameters were prepared for another instruction set");
    args.prepared += kPreparedHeader;
  }
  if (uses_planes<T>(c, threads, args.saved != nullptr)) return evolve_planes(c, args, workspace, threads);
  with_step<T>(c.step, vectors_per_tile<T>(c.step.batch, threads),
               [&]<Step S>() { evolve_forward<S>(c, args, workspace, threads); });
}

// The number of vectors in the tiles that `saved` was written in; 0 if this build wrote no such buffer for this call.
template <class T>
int saved_vectors(const EvolveConfig& c, const BackwardArgs<T>& args) {
  for (int nv = 1; nv <= kWidest<T>; nv *= 2) {
    if (args.saved[0] != static_cast<T>(nv * kLanes<T>)) continue;
    const int64_t size =
        with_step<T>(c.step, nv, [&]<Step S>() { return SavedTiles<T, Run<S>::W>{c, nullptr}.size(); });
    return args.saved_size == size ? nv : 0;
  }
  return 0;
}

// Returns false if the kernels of another instruction set, or a call with other arguments, wrote `saved`.
template <class T>
bool backward(const EvolveConfig& c, const BackwardArgs<T>& args, Workspace& workspace, int threads) {
  const bool of_planes = args.saved && args.saved[0] == SavedPlanes<T>::kMark;
  if (of_planes && (c.step.blocks_matter() || args.saved_size != SavedPlanes<T>{c, nullptr}.size())) return false;
  if (args.saved ? of_planes : uses_planes<T>(c, threads, false))
    return evolve_planes_backward(c, args, workspace, threads);
  const int nv = args.saved ? saved_vectors(c, args) : vectors_per_tile<T>(c.step.batch, threads);
  if (nv == 0) return false;
  with_step<T>(c.step, nv, [&]<Step S>() { evolve_backward<S>(c, args, workspace, threads); });
  return true;
}

template <class T>
constexpr gridnet::Kernels<T> table() {
  return {saved_size<T>, layout_of<T>, prepared_size<T>, prepare<T>, forward<T>, backward<T>};
}

}  // namespace

const gridnet::IsaKernels kGridnetKernels = {table<float>(), ZOO_DOUBLES_OF(kGridnetKernels, table<double>())};

}  // namespace zoo::ZOO_ISA

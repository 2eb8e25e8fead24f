// The entry points of sparse_network/api.h: checks, one backward pass at a time.
#include "sparse_network/api.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "core/call.h"
#include "core/check.h"
#include "core/share.h"
#include "sparse_network/cpu/kernels.h"

namespace zoo::sparse_network {
namespace {

constexpr IsaTables<IsaKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kSparseNetworkKernels);

PerProcess<CallState> calls;

template <class T>
const Kernels<T>& kernels() {
  if constexpr (sizeof(T) == sizeof(float)) return kernels_in_use(kTables).of_float;
  else return kernels_in_use(kTables).of_double;
}

// A thread for each part of the work that is worth one; the choice depends on the shape alone.
int threads_for(const Network& net, int64_t batch, int threads) {
  const int64_t work = batch * (net.edges() + net.rows());
  return static_cast<int>(std::clamp<int64_t>(work / kWorthAThread, 1, clamp_threads(threads)));
}

}  // namespace

void check(const Network& net, int64_t edges) {
  check_indices("columns", net.columns, net.used, net.inputs);
  check_indices("slots", net.slots, edges, net.weights);
  check_starts("starts", net.starts, net.computed, edges);
  for (int64_t c = 1; c < net.used; ++c)
    if (net.columns[c] <= net.columns[c - 1]) throw std::invalid_argument("columns does not rise");
  for (int64_t i = 0; i < net.computed; ++i) {
    int64_t last = -1;  // a unit reads a row once
    for (int32_t e = net.starts[i]; e < net.starts[i + 1]; ++e) {
      if (net.sources[e] <= last || net.sources[e] >= net.used + i)
        throw std::invalid_argument("sources does not rise within a unit, or holds a row that does not come before it");
      last = net.sources[e];
    }
  }
}

template <class T>
void forward(const Network& net, int64_t edges, const ForwardArgs<T>& args, int threads) {
  check(net, edges);  // a small part of the work, and every index is used to address memory
  kernels<T>().forward(net, args, threads_for(net, args.batch, threads));
}

template <class T>
void backward(const Network& net, int64_t edges, const BackwardArgs<T>& args, int threads) {
  check(net, edges);
  take_turn(calls, [&](Workspace& workspace) {
    kernels<T>().backward(net, args, workspace, threads_for(net, args.batch, threads));
  });
}

template void forward(const Network&, int64_t, const ForwardArgs<float>&, int);
template void forward(const Network&, int64_t, const ForwardArgs<double>&, int);
template void backward(const Network&, int64_t, const BackwardArgs<float>&, int);
template void backward(const Network&, int64_t, const BackwardArgs<double>&, int);

}  // namespace zoo::sparse_network

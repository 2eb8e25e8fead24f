#include "nca/api.h"

#include <limits>
#include <stdexcept>
#include <string>

#include "core/call.h"
#include "core/thread_pool.h"
#include "nca/cpu/kernels.h"

namespace zoo::nca {
namespace {

constexpr IsaTables<IsaKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kNcaKernels);

PerProcess<CallState> calls;

template <class T>
const Kernels<T>& kernels() {
  if constexpr (sizeof(T) == sizeof(float)) return kernels_in_use(kTables).of_float;
  else return kernels_in_use(kTables).of_double;
}

// `units` is used to address memory.
void check_units(const Population& p) {
  for (int64_t network = 0; network < p.networks; ++network) {
    for (int64_t layer = 0; layer <= p.layers; ++layer) {
      const int64_t units = p.units[network * (p.layers + 1) + layer];
      int64_t most = layer < p.layers ? p.rows : p.columns;
      if (layer > 0 && p.columns < most) most = p.columns;
      if (units < 0 || units > most) {
        throw std::invalid_argument("units holds " + std::to_string(units) + " for layer " + std::to_string(layer) +
                                    " of network " + std::to_string(network) + ", its states have room for 0 to " +
                                    std::to_string(most));
      }
    }
  }
}

void check(const Population& p, const Rule& rule) {
  if (rule.layers < 1 || rule.layers >= kMostWidths) {
    throw std::invalid_argument("the rule has " + std::to_string(rule.layers) + " layers, allowed: 1 to " +
                                std::to_string(kMostWidths - 1));
  }
  if (rule.widths[0] != 3 * p.channels + p.signals || rule.widths[rule.layers] != p.channels) {
    throw std::invalid_argument("the rule's widths do not fit the states' channels and signals");
  }
  if (p.weights() > std::numeric_limits<int32_t>::max()) {
    throw std::invalid_argument(
        "states have " + std::to_string(p.weights()) +
        " weights with their padding, allowed: " + std::to_string(std::numeric_limits<int32_t>::max()));
  }
  check_units(p);
}

}  // namespace

int64_t saved_size(const Population& p, int64_t epochs) { return epochs * p.weights() * p.channels + kMostLanes; }

template <class T>
void forward(const Evolution<T>& evolution, const ForwardArgs<T>& args, int threads) {
  check(evolution.population, evolution.rule);
  take_turn(calls,
            [&](Workspace& workspace) { kernels<T>().forward(evolution, args, workspace, clamp_threads(threads)); });
}

template <class T>
void backward(const Evolution<T>& evolution, const BackwardArgs<T>& args, int threads) {
  check(evolution.population, evolution.rule);
  take_turn(calls,
            [&](Workspace& workspace) { kernels<T>().backward(evolution, args, workspace, clamp_threads(threads)); });
}

template void forward(const Evolution<float>&, const ForwardArgs<float>&, int);
template void forward(const Evolution<double>&, const ForwardArgs<double>&, int);
template void backward(const Evolution<float>&, const BackwardArgs<float>&, int);
template void backward(const Evolution<double>&, const BackwardArgs<double>&, int);

}  // namespace zoo::nca

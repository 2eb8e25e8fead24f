#include "sparse/api.h"

#include <stdexcept>
#include <string>

#include "core/call.h"
#include "core/check.h"
#include "core/thread_pool.h"
#include "sparse/cpu/kernels.h"

namespace zoo::sparse {
namespace {

constexpr IsaTables<IsaKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kSparseKernels);

PerProcess<CallState> calls;

template <class T>
const Kernels<T>& kernels() {
  if constexpr (sizeof(T) == sizeof(float)) return kernels_in_use(kTables).of_float;
  else return kernels_in_use(kTables).of_double;
}

// Every index is used to address memory; reading them once more is a small part of the work.
void check(const Pattern& p) {
  check_starts("row_starts", p.row_starts, p.rows, p.entries);
  check_starts("column_starts", p.column_starts, p.columns, p.entries);
  check_indices("columns", p.column_of, p.entries, p.columns);
  check_indices("rows", p.row_of, p.entries, p.rows);
  check_indices("order", p.order, p.entries, p.entries);
}

}  // namespace

void check_consistent(const Pattern& p) {
  check(p);
  const auto fail = [](const std::string& problem) { throw std::invalid_argument(problem); };
  for (int64_t c = 0; c < p.columns; ++c) {
    int32_t last_row = -1;
    for (int64_t j = p.column_starts[c]; j < p.column_starts[c + 1]; ++j) {
      const int32_t entry = p.order[j], row = p.row_of[j];
      if (p.column_of[entry] != c) fail("order leads to an entry of another column than column_starts says");
      if (entry < p.row_starts[row] || entry >= p.row_starts[row + 1])
        fail("rows and order disagree with row_starts on the row of an entry");
      if (row <= last_row) fail("rows should rise within each column, an entry stands there once");
      last_row = row;
    }
  }
}

template <class T>
void forward(const Pattern& pattern, const ForwardArgs<T>& args, int threads) {
  check(pattern);
  take_turn(calls,
            [&](Workspace& workspace) { kernels<T>().forward(pattern, args, workspace, clamp_threads(threads)); });
}

template <class T>
void backward(const Pattern& pattern, const BackwardArgs<T>& args, int threads) {
  check(pattern);
  take_turn(calls,
            [&](Workspace& workspace) { kernels<T>().backward(pattern, args, workspace, clamp_threads(threads)); });
}

template void forward(const Pattern&, const ForwardArgs<float>&, int);
template void forward(const Pattern&, const ForwardArgs<double>&, int);
template void backward(const Pattern&, const BackwardArgs<float>&, int);
template void backward(const Pattern&, const BackwardArgs<double>&, int);

}  // namespace zoo::sparse

// The positions of the entries of a sparse matrix, by row and by column. Shared by the CPU and the CUDA kernels.
#pragma once
#include <cstdint>

#include "core/math.h"

namespace zoo::sparse {

// The entries of a matrix line by line, either by row or by column: entries starts[u] to starts[u + 1] are those of
// line u, and index[e] is the place of entry e in its line. The value of entry e is values[order[e]], or values[e] if
// order is null.
struct Lines {
  int64_t count;
  const int32_t* starts;
  const int32_t* index;
  const int32_t* order;

  ZOO_HD bool empty(int64_t u) const { return starts[u] == starts[u + 1]; }
};

// W has `rows` x `columns`; entry e of row r, row_starts[r] <= e < row_starts[r + 1], lies in column column_of[e] and
// has value values[e]. The same entries by column: entry order[j] of column c, column_starts[c] <= j <
// column_starts[c + 1], lies in row row_of[j].
struct Pattern {
  int64_t rows, columns, entries;
  const int32_t* row_starts;
  const int32_t* column_of;
  const int32_t* column_starts;
  const int32_t* row_of;
  const int32_t* order;

  ZOO_HD Lines by_row() const { return {rows, row_starts, column_of, nullptr}; }
  ZOO_HD Lines by_column() const { return {columns, column_starts, row_of, order}; }
};

}  // namespace zoo::sparse

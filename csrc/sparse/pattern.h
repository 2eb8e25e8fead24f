// Where a sparse matrix has entries, by row and by column. Shared by the CPU and the CUDA kernels.
#pragma once
#include <cstdint>

namespace zoo::sparse {

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
};

}  // namespace zoo::sparse

// C entry points of csrc/sparse/cuda/api.h for ctypes. Each returns an error line, empty when all is well; the text
// lives until the next call.
#include "sparse/cuda/api.h"

using zoo::sparse::Pattern;
using zoo::sparse::cuda::Dtype;

namespace {

const char* keep(std::string line) {
  static std::string last;
  last = std::move(line);
  return last.c_str();
}

Pattern pattern_of(const int64_t* shape, const int32_t* const* p) {
  return {shape[0], shape[1], shape[2], p[0], p[1], p[2], p[3], p[4]};
}

}  // namespace

extern "C" {

size_t workspace_bytes(int dtype, const int64_t* shape, const int32_t* const* pattern, int64_t batch) {
  return zoo::sparse::cuda::workspace_bytes(Dtype(dtype), pattern_of(shape, pattern), batch);
}

const char* forward(int dtype, const int64_t* shape, const int32_t* const* pattern, const void* values, const void* x,
                    int64_t batch, void* y, void* workspace) {
  return keep(zoo::sparse::cuda::forward(Dtype(dtype), pattern_of(shape, pattern),
                                         {.batch = batch, .values = values, .x = x, .y = y}, workspace, nullptr));
}

const char* backward(int dtype, const int64_t* shape, const int32_t* const* pattern, const void* values, const void* x,
                     const void* grad_y, int64_t batch, void* grad_values, void* grad_x, void* workspace) {
  return keep(zoo::sparse::cuda::backward(
      Dtype(dtype), pattern_of(shape, pattern),
      {.batch = batch, .values = values, .x = x, .grad_y = grad_y, .grad_values = grad_values, .grad_x = grad_x},
      workspace, nullptr));
}

}  // extern "C"

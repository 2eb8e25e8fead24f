// The entry points of dense/api.h: rows, or runs of numbers, are shared by the threads.
#include "dense/api.h"

#include <vector>

#include "core/share.h"
#include "dense/cpu/kernels.h"

namespace zoo::dense {
namespace {

constexpr IsaTables<IsaKernels> kTables = ZOO_KERNELS_OF_ALL_ISAS(kDenseKernels);

}  // namespace

const IsaKernels& kernels() { return kernels_in_use(kTables); }

void linear(const Linear& layer, const float* x, int64_t rows, float* y, int threads) {
  const IsaKernels& isa = kernels();
  std::vector<float> packed(static_cast<size_t>(isa.packed_size(layer.inputs, layer.outputs)));
  isa.pack(layer, packed.data());
  share(rows, layer.inputs * layer.outputs, threads, [&](int64_t begin, int64_t end) {
    isa.linear(layer.inputs, layer.outputs, packed.data(), {x + begin * layer.inputs, layer.inputs}, end - begin,
               {y + begin * layer.outputs, layer.outputs});
  });
}

void layer_norm(const LayerNorm& norm, const float* x, int64_t rows, float* y, int threads) {
  const IsaKernels& isa = kernels();
  share(rows, norm.n, threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) isa.layer_norm(norm, x + r * norm.n, y + r * norm.n);
  });
}

void apply(Function function, const float* x, int64_t n, float* y, int threads) {
  const IsaKernels& isa = kernels();
  share(n, 8, threads, [&](int64_t begin, int64_t end) { isa.apply(function, x + begin, end - begin, y + begin); });
}

void mix(const Mixture& mixture, const float* logits, int64_t rows, float* y, int threads) {
  const IsaKernels& isa = kernels();
  std::vector<float> shifts(static_cast<size_t>(rows * mixture.members));
  share(rows, 16 * mixture.members * mixture.classes, threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      isa.mix(mixture, {logits + r * mixture.classes, rows * mixture.classes}, shifts.data() + r * mixture.members,
              y + r * mixture.classes);
  });
}

}  // namespace zoo::dense

#include "python/models.h"

#include <nanobind/stl/array.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <tuple>
#include <vector>

#include "models/gridnet.h"
#include "models/snapshots.h"
#include "python/address.h"

namespace zoo::python {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using namespace zoo::models;

// weight, bias, residual_scale, norm_weight and norm_bias of the steps, the grid, weight and bias of the patches, of
// the LayerNorm over the faces, and of the classes.
using Addresses = std::array<uintptr_t, 12>;

Gridnet* make_gridnet(const gridnet::EvolveConfig& config, std::array<int64_t, 3> image, int64_t patch, int64_t depth,
                      std::tuple<int64_t, int64_t> corner, int64_t faces, int64_t classes, double norm_eps,
                      const Addresses& tensors) {
  const auto at = [&](int i) { return pointer<const float>(tensors[i]); };
  const auto [top, left] = corner;
  return new Gridnet(config,
                     {.image = image,
                      .patch = patch,
                      .depth = depth,
                      .top = top,
                      .left = left,
                      .faces = faces,
                      .classes = classes,
                      .norm_eps = norm_eps},
                     {.steps = {at(0), at(1), at(2), at(3), at(4), nullptr},
                      .grid = at(5),
                      .patch_weight = at(6),
                      .patch_bias = at(7),
                      .read_norm_weight = at(8),
                      .read_norm_bias = at(9),
                      .read_weight = at(10),
                      .read_bias = at(11)});
}

void gridnet_logits(Gridnet& model, uintptr_t images, int64_t batch, uintptr_t logits, int threads) {
  nb::gil_scoped_release release;
  model.logits(pointer<const float>(images), batch, pointer<float>(logits), threads);
}

Snapshots* make_snapshots(const std::vector<int64_t>& widths, int function, int sweeps) {
  return new Snapshots(widths, static_cast<dense::Function>(function), sweeps);
}

void add_snapshot(Snapshots& model, int64_t edges, uintptr_t source, uintptr_t target, uintptr_t weight,
                  uintptr_t bias) {
  model.add({edges, pointer<const int32_t>(source), pointer<const int32_t>(target), pointer<const float>(weight),
             pointer<const float>(bias)});
}

void snapshot_logits(const Snapshots& model, int64_t number, uintptr_t x, int64_t batch, uintptr_t out, int threads) {
  nb::gil_scoped_release release;
  model.logits(number, pointer<const float>(x), batch, pointer<float>(out), threads);
}

void snapshot_mixture(const Snapshots& model, const std::vector<int64_t>& numbers, const std::vector<float>& weights,
                      uintptr_t x, int64_t batch, uintptr_t out, int threads) {
  nb::gil_scoped_release release;
  model.mixture(numbers, weights, pointer<const float>(x), batch, pointer<float>(out), threads);
}

}  // namespace

void bind_models(nb::module_& m) {
  nb::class_<Gridnet>(m, "Gridnet")
      .def(nb::new_(&make_gridnet), nb::kw_only(), "config"_a, "image"_a, "patch"_a, "depth"_a, "corner"_a, "faces"_a,
           "classes"_a, "norm_eps"_a, "tensors"_a)
      .def("logits", &gridnet_logits, "images"_a, "batch"_a, "logits"_a, "threads"_a);
  nb::class_<Snapshots>(m, "Snapshots")
      .def(nb::new_(&make_snapshots), nb::kw_only(), "widths"_a, "function"_a, "sweeps"_a)
      .def("add", &add_snapshot, "edges"_a, "source"_a, "target"_a, "weight"_a, "bias"_a)
      .def("logits", &snapshot_logits, "number"_a, "x"_a, "batch"_a, "out"_a, "threads"_a)
      .def("mixture", &snapshot_mixture, "numbers"_a, "weights"_a, "x"_a, "batch"_a, "out"_a, "threads"_a);
}

}  // namespace zoo::python

#include "python/images.h"

#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

#include <array>
#include <string>

#include "images/api.h"
#include "python/address.h"

namespace zoo::python {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using namespace zoo::images;

using Shape = std::array<int64_t, 4>;  // images, channels, height, width

template <class T>
void take_at(const Shape& shape, uintptr_t values, uintptr_t scales, int64_t size, uintptr_t indices, uintptr_t offsets,
             uintptr_t flipped, uintptr_t out, int threads) {
  nb::gil_scoped_release release;
  const Images<T> images{
      shape[0], shape[1], shape[2], shape[3], pointer<const T>(values), pointer<const float>(scales)};
  const Batch batch{size, pointer<const int64_t>(indices), pointer<const int64_t>(offsets),
                    pointer<const bool>(flipped)};
  take(images, batch, pointer<float>(out), threads);
}

template <class T>
void bind_dtype(nb::module_& m, const std::string& dtype) {
  m.def(("take_images_" + dtype).c_str(), &take_at<T>, "shape"_a, "values"_a, "scales"_a, "size"_a, "indices"_a,
        "offsets"_a, "flipped"_a, "out"_a, "threads"_a);
}

}  // namespace

void bind_images(nb::module_& m) {
  bind_dtype<uint8_t>(m, "uint8");
  bind_dtype<float>(m, "float");
}

}  // namespace zoo::python

// Compiled once per instruction set (CMakeLists.txt).
#include "images/cpu/kernels.h"

#include "core/simd.h"

namespace zoo::ZOO_ISA {
namespace {

using images::Batch;
using images::Images;

constexpr int64_t kCacheLine = 64;

// What becomes of the values of one channel.
template <class T>
struct Scale;

template <>
struct Scale<uint8_t> {
  static constexpr int64_t kNumbers = 256;
  const float* numbers;
  float operator()(uint8_t value) const { return numbers[value]; }
};

template <>
struct Scale<float> {
  static constexpr int64_t kNumbers = 2;
  const float* numbers;
  float operator()(float value) const { return (value - numbers[0]) / numbers[1]; }
};

// Asks for an image, which may be anywhere in a data set that no cache holds.
void prefetch(const void* image, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += kCacheLine) __builtin_prefetch(static_cast<const char*>(image) + i);
}

int64_t clamp(int64_t value, int64_t limit) { return value < -limit ? -limit : value > limit ? limit : value; }

// A row of `width` pixels, shifted to the right. The first goes to `out`, each of the others `step` places further.
template <class T>
void take_row(const T* row, int64_t width, int64_t right, Scale<T> scale, float* out, int64_t step) {
  const int64_t begin = right > 0 ? right : 0, end = right > 0 ? width : width + right;
  for (int64_t x = 0; x < begin; ++x) out[x * step] = scale(0);
  for (int64_t x = begin; x < end; ++x) out[x * step] = scale(row[x - right]);
  for (int64_t x = end; x < width; ++x) out[x * step] = scale(0);
}

template <class T>
void take_one(const Images<T>& images, const Batch& batch, int64_t i, float* out) {
  const int64_t height = images.height, width = images.width;
  const int64_t down = batch.offsets ? clamp(batch.offsets[2 * i], height) : 0;
  const int64_t right = batch.offsets ? clamp(batch.offsets[2 * i + 1], width) : 0;
  const bool flipped = batch.flipped && batch.flipped[i];
  const int64_t first = flipped ? width - 1 : 0, step = flipped ? -1 : 1;
  const T* values = images.values + batch.indices[i] * images.channels * height * width;
  for (int64_t c = 0; c < images.channels; ++c, values += height * width) {
    const Scale<T> scale{images.scales + c * Scale<T>::kNumbers};
    for (int64_t y = 0; y < height; ++y, out += width) {
      const int64_t from = y - down;
      const bool exposed = from < 0 || from >= height;
      const T* row = exposed ? nullptr : values + from * width;
      take_row(row, width, exposed ? width : right, scale, out + first, step);
    }
  }
}

template <class T>
void take(const Images<T>& images, const Batch& batch, int64_t begin, int64_t end, float* out) {
  const int64_t pixels = images.channels * images.height * images.width;
  for (int64_t i = begin; i < end; ++i) {
    if (i + 1 < end) prefetch(images.values + batch.indices[i + 1] * pixels, pixels * sizeof(T));
    take_one(images, batch, i, out + i * pixels);
  }
}

}  // namespace

const images::IsaKernels kImagesKernels = {take<uint8_t>, take<float>};

}  // namespace zoo::ZOO_ISA

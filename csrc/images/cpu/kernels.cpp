// Compiled once per instruction set (CMakeLists.txt).
#include "images/cpu/kernels.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/simd.h"

namespace zoo::ZOO_ISA {
namespace {

using images::Batch;
using images::Images;

constexpr int64_t kCacheLine = 64;
constexpr int64_t kBytesAhead = 8192;  // of the images that are asked for before they are taken

// What becomes of the values of one channel.
template <class T>
struct Scale;

constexpr int kBytes = 256;

// a / b, where `inverse` is 1 / b: rounded like the division for most b, with fused multiply-adds and for numbers that are
// neither huge nor tiny.
ZOO_INLINE Vec<float> divide(Vec<float> a, float b, float inverse) {
  const Vec<float> quotient = a * inverse;
  return quotient + (a - quotient * b) * inverse;
}

// Bytes as floats. (Intrinsics, because GCC converts the bytes of a vector one by one.)
ZOO_INLINE Vec<float> floats_of(const uint8_t* bytes) {
#if ZOO_VECTOR_BYTES == 64 && defined(__AVX512F__)
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes))));
#elif ZOO_VECTOR_BYTES == 32 && defined(__AVX2__)
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes))));
#else
  Vec<float> floats;
  for (int l = 0; l < kLanes<float>; ++l) floats[l] = bytes[l];
  return floats;
#endif
}

// A byte as an input: looked up, or computed for a vector of them where that gives every number of the table.
template <>
struct Scale<uint8_t> {
  static constexpr int64_t kNumbers = kBytes + 2;
  const float* numbers;  // of each byte, then the mean and the standard deviation
  bool computes = false;

  explicit Scale(const float* given) : numbers(given) {
    float computed[kBytes];
    for (int first = 0; first < kBytes; first += kLanes<float>) {
      uint8_t bytes[kLanes<float>];
      for (int l = 0; l < kLanes<float>; ++l) bytes[l] = static_cast<uint8_t>(first + l);
      store_unaligned(computed + first, compute(bytes));
    }
    computes = std::memcmp(computed, numbers, sizeof computed) == 0;
  }

  float operator()(uint8_t value) const { return numbers[value]; }

  ZOO_INLINE Vec<float> compute(const uint8_t* bytes) const {
    const Vec<float> floats = floats_of(bytes);
    const float mean = numbers[kBytes], std = numbers[kBytes + 1];
    return divide(divide(floats, 255, 1 / 255.0f) - mean, std, 1 / std);
  }
};

template <>
struct Scale<float> {
  static constexpr int64_t kNumbers = 2;
  const float* numbers;
  static constexpr bool computes = true;

  explicit Scale(const float* given) : numbers(given) {}

  float operator()(float value) const { return (value - numbers[0]) / numbers[1]; }

  ZOO_INLINE Vec<float> compute(const float* values) const {
    return (load_unaligned(values) - splat(numbers[0])) / splat(numbers[1]);
  }
};

// Asks for an image, which may be anywhere in a data set that no cache holds.
void prefetch(const void* image, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += kCacheLine) __builtin_prefetch(static_cast<const char*>(image) + i);
}

int64_t clamp(int64_t value, int64_t limit) { return value < -limit ? -limit : value > limit ? limit : value; }

template <class T>
void take_pixels(const T* pixels, int64_t n, const Scale<T>& scale, float* out) {
  constexpr int L = kLanes<float>;
  if (!scale.computes || n < L) {
    for (int64_t i = 0; i < n; ++i) out[i] = scale(pixels[i]);
    return;
  }
  for (int64_t first = 0; first < n; first += L) {
    const int64_t i = std::min(first, n - L);  // the last vector may repeat pixels
    store_unaligned(out + i, scale.compute(pixels + i));
  }
}

// A plane of pixels, shifted. In memory that is a shift of all pixels at once, in which those that a row would take from
// its neighbours are then overwritten.
template <class T>
void take_plane(const T* plane, int64_t height, int64_t width, int64_t down, int64_t right, const Scale<T>& scale,
                float* out) {
  const int64_t begin = std::max<int64_t>(0, down), end = std::min(height, height + down);  // rows that are not exposed
  const float zero = scale(0);
  std::fill(out, out + begin * width, zero);
  std::fill(out + end * width, out + height * width, zero);
  const T* const from = plane + (begin - down) * width + std::max<int64_t>(0, -right);
  float* const to = out + begin * width + std::max<int64_t>(0, right);
  take_pixels(from, (end - begin) * width - std::abs(right), scale, to);
  const int64_t first = right > 0 ? 0 : width + right;
  for (int64_t y = begin; y < end && right != 0; ++y)
    std::fill(out + y * width + first, out + y * width + first + std::abs(right), zero);
}

template <class T>
void take_one(const Images<T>& images, const std::vector<Scale<T>>& scales, const Batch& batch, int64_t i, float* out) {
  const int64_t height = images.height, width = images.width, size = height * width;
  const int64_t down = batch.offsets ? clamp(batch.offsets[2 * i], height) : 0;
  const int64_t right = batch.offsets ? clamp(batch.offsets[2 * i + 1], width) : 0;
  const T* plane = images.values + batch.indices[i] * images.channels * size;
  const bool flipped = batch.flipped && batch.flipped[i];
  for (int64_t c = 0; c < images.channels; ++c, plane += size, out += size) {
    take_plane(plane, height, width, down, right, scales[c], out);
    for (int64_t y = 0; y < height && flipped; ++y) std::reverse(out + y * width, out + (y + 1) * width);
  }
}

template <class T>
void take(const Images<T>& images, const Batch& batch, int64_t begin, int64_t end, float* out) {
  const int64_t pixels = images.channels * images.height * images.width;
  std::vector<Scale<T>> scales;
  for (int64_t c = 0; c < images.channels; ++c) scales.emplace_back(images.scales + c * Scale<T>::kNumbers);
  const int64_t ahead = std::max<int64_t>(1, kBytesAhead / std::max<int64_t>(1, pixels * sizeof(T)));
  for (int64_t i = begin; i < end; ++i) {
    if (i + ahead < end) prefetch(images.values + batch.indices[i + ahead] * pixels, pixels * sizeof(T));
    take_one(images, scales, batch, i, out + i * pixels);
  }
}

}  // namespace

const images::IsaKernels kImagesKernels = {take<uint8_t>, take<float>};

}  // namespace zoo::ZOO_ISA

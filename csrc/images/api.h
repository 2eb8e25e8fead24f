// Batches of training images: taken from a data set, shifted, flipped and made inputs of a model in one pass.
#pragma once
#include <cstdint>

namespace zoo::images {

// T is uint8_t or float.
template <class T>
struct Images {
  int64_t count, channels, height, width;
  const T* values;  // [count, channels, height, width]
  // The inputs of a model: for bytes [channels, 258], that of every byte, then the mean and the standard deviation by
  // which (byte / 255 - mean) / std makes it; for floats [channels, 2], the mean and the standard deviation alone.
  const float* scales;
};

struct Batch {
  int64_t size;
  const int64_t* indices;  // [size], of the images
  const int64_t* offsets;  // [size, 2], pixels down and right, or null for no shifts
  const bool* flipped;     // [size], true for images that change sides after their shift, or null for none
};

// out [size, channels, height, width]. A pixel that a shift exposes is a 0 that is scaled like the others.
template <class T>
void take(const Images<T>& images, const Batch& batch, float* out, int threads);

}  // namespace zoo::images

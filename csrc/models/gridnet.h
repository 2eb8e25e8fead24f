// A whole gridnet for predictions: image to logits in one call. Its parameters are laid out once, not per call.
#pragma once
#include <array>

#include "dense/cpu/kernels.h"
#include "gridnet/api.h"
#include "models/memory.h"

namespace zoo::models {

// Where images enter the grid, and what is read from it. An image [channels, height, width] becomes cells
// [rows, columns, depth], the first at (top, left, 0): as it is, with one face per channel, or through a convolution
// with kernel and stride `patch`.
struct GridnetEnds {
  std::array<int64_t, 3> image;
  int64_t patch;  // 0: no convolution
  int64_t depth;  // faces that the image enters
  int64_t top, left;
  int64_t faces;  // the last ones, which the classes are read from
  int64_t classes;
  double norm_eps;  // of the LayerNorm over these faces

  int64_t inputs() const { return image[0] * image[1] * image[2]; }
  int64_t rows() const { return patch ? image[1] / patch : image[1]; }
  int64_t columns() const { return patch ? image[2] / patch : image[2]; }
  int64_t patch_inputs() const { return image[0] * patch * patch; }
};

// All float32, in torch's layout.
struct GridnetTensors {
  gridnet::Inputs<float> steps;   // but x
  const float* grid;              // [m, n, k], the state before the image enters
  const float* patch_weight;      // [depth, channels, patch, patch]; null without a convolution
  const float* patch_bias;        // [depth]
  const float* read_norm_weight;  // [m, n, faces]
  const float* read_norm_bias;
  const float* read_weight;  // [classes, m * n * faces]
  const float* read_bias;    // [classes]
};

class Gridnet {
 public:
  // Copies the tensors. Throws std::invalid_argument if the ends do not fit the grid.
  Gridnet(const gridnet::EvolveConfig& config, const GridnetEnds& ends, const GridnetTensors& tensors);

  // logits [batch, classes] from images [batch, channels, height, width]. Threads may call it at any time; calls of all
  // models take turns.
  void logits(const float* images, int64_t batch, float* logits, int threads);

 private:
  // The parameters in the layouts of one instruction set; a layout is made when a call first needs it.
  struct Prepared {
    int isa;
    const dense::IsaKernels* dense;
    Floats steps[2];  // of each gridnet::Layout
    Floats patch, read;
  };
  void prepare();
  const float* prepared_steps(gridnet::Layout layout);
  int useful_threads(gridnet::Layout layout, int64_t batch, int threads) const;
  void embed(const float* image, float* patch, float* grid) const;
  void read(const float* grids, int64_t count, float* faces, float* logits) const;

  int64_t features() const { return config_.step.shape.rows() * ends_.faces; }

  gridnet::EvolveConfig config_;
  GridnetEnds ends_;
  Floats weight_, bias_, scale_, norm_weight_, norm_bias_, grid_, patch_weight_, patch_bias_;
  Floats read_norm_weight_, read_norm_bias_, read_weight_, read_bias_;
  gridnet::Inputs<float> steps_;
  std::unique_ptr<Prepared> prepared_;
};

}  // namespace zoo::models

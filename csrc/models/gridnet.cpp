#include "models/gridnet.h"

#include <algorithm>
#include <stdexcept>

#include "core/call.h"
#include "core/thread_pool.h"

namespace zoo::models {
namespace {

using gridnet::EvolveConfig;
using gridnet::Layout;

PerProcess<CallState> calls;

// Samples that a thread takes at a time. Read together, they share the weights of the classes.
constexpr int64_t kAtOnce = 4;
// To wake a thread takes about as long as this many multiply-adds.
constexpr int64_t kWorthAThread = 1 << 20;
// The threads of an evolution wait for each other in every step. On a busy machine each wait may take as long as another
// program's turn, so what takes a fraction of a millisecond runs on one thread.
constexpr int64_t kWorthWaiting = 1 << 22;

void check(const EvolveConfig& config, const GridnetEnds& ends) {
  const gridnet::Shape& shape = config.step.shape;
  const bool inside = ends.top >= 0 && ends.left >= 0 && ends.top + ends.rows() <= shape.m &&
                      ends.left + ends.columns() <= shape.n && ends.depth <= shape.k && ends.faces <= shape.k;
  const bool whole =
      ends.patch ? ends.image[1] % ends.patch == 0 && ends.image[2] % ends.patch == 0 : ends.depth == ends.image[0];
  if (!inside || !whole) throw std::invalid_argument("the image or the faces that are read do not fit the grid");
}

int64_t weight_size(const EvolveConfig& c) {
  return c.parameter_sets() * gridnet::kNeighbours * c.step.channels() * c.step.shape.cells();
}

}  // namespace

Gridnet::Gridnet(const EvolveConfig& config, const GridnetEnds& ends, const GridnetTensors& t)
    : config_(config), ends_(ends) {
  check(config, ends);
  const int64_t cells = config.step.shape.cells(), sets = config.parameter_sets();
  weight_ = copy(t.steps.weight, weight_size(config));
  bias_ = copy(t.steps.bias, sets * config.step.channels() * cells);
  scale_ = copy(t.steps.residual_scale, sets * cells);
  norm_weight_ = copy(t.steps.norm_weight, cells);
  norm_bias_ = copy(t.steps.norm_bias, cells);
  grid_ = copy(t.grid, cells);
  patch_weight_ = copy(t.patch_weight, ends.depth * ends.patch_inputs());
  patch_bias_ = copy(t.patch_bias, ends.depth);
  read_norm_weight_ = copy(t.read_norm_weight, features());
  read_norm_bias_ = copy(t.read_norm_bias, features());
  read_weight_ = copy(t.read_weight, ends.classes * features());
  read_bias_ = copy(t.read_bias, ends.classes);
  steps_ = {weight_.get(), bias_.get(), scale_.get(), norm_weight_.get(), norm_bias_.get(), nullptr};
}

void Gridnet::logits(const float* images, int64_t batch, float* logits, int threads) {
  if (batch == 0) return;
  take_turn(calls, [&](Workspace& workspace) {
    if (!prepared_ || prepared_->isa != current_isa_index()) prepare();
    EvolveConfig config = config_;
    config.step.batch = batch;
    const int64_t cells = config.step.shape.cells(), patch = std::max<int64_t>(1, ends_.patch_inputs());
    threads = clamp_threads(threads);
    const Layout layout = gridnet::layout_of<float>(config, threads);
    threads = useful_threads(layout, batch, threads);
    // A grid is filled and read by copying it, so a few samples are not worth a thread.
    const int at_ends = static_cast<int>(
        std::min<int64_t>(threads, (batch * (cells + features() * ends_.classes) + kWorthAThread - 1) / kWorthAThread));
    struct Buffers {
      float *before, *after, *patches, *faces;
    };
    const Buffers buffers = workspace.lay_out([&](Arena& arena) {
      return Buffers{arena.take<float>(batch * cells), arena.take<float>(batch * cells),
                     arena.take<float>(at_ends * ends_.columns() * patch),
                     arena.take<float>(at_ends * kAtOnce * features())};
    });
    const int64_t groups = (batch + kAtOnce - 1) / kAtOnce;
    hand_out(at_ends, groups, [&](int64_t group, int rank) {
      for (int64_t b = group * kAtOnce; b < std::min(batch, (group + 1) * kAtOnce); ++b)
        embed(images + b * ends_.inputs(), buffers.patches + rank * ends_.columns() * patch,
              buffers.before + b * cells);
    });
    gridnet::Inputs<float> steps = steps_;
    steps.x = buffers.before;
    gridnet::evolve_forward<float>(
        config, {.inputs = steps, .out = buffers.after, .saved = nullptr, .prepared = prepared_steps(layout)}, threads);
    hand_out(at_ends, groups, [&](int64_t group, int rank) {
      const int64_t first = group * kAtOnce;
      read(buffers.after + first * cells, std::min(kAtOnce, batch - first), buffers.faces + rank * kAtOnce * features(),
           logits + first * ends_.classes);
    });
  });
}

// Replaces `prepared_` at once, so that a fork meanwhile leaves the child with a whole one.
void Gridnet::prepare() {
  const dense::IsaKernels& isa = dense::kernels();
  auto made = std::make_unique<Prepared>();
  made->isa = current_isa_index();
  made->dense = &isa;
  const auto pack = [&](const dense::Linear& layer) {
    Floats packed = allocate(isa.packed_size(layer.inputs, layer.outputs));
    isa.pack(layer, packed.get());
    return packed;
  };
  if (ends_.patch) made->patch = pack({ends_.patch_inputs(), ends_.depth, patch_weight_.get(), patch_bias_.get()});
  made->read = pack({features(), ends_.classes, read_weight_.get(), read_bias_.get()});
  prepared_ = std::move(made);
}

const float* Gridnet::prepared_steps(Layout layout) {
  Floats& place = prepared_->steps[static_cast<int>(layout)];
  if (!place) {
    Floats made = allocate(gridnet::prepared_size<float>(config_, layout));
    gridnet::prepare<float>(config_, steps_, layout, made.get());
    place = std::move(made);
  }
  return place.get();
}

// Where the number of threads changes no bit, a small grid runs on few.
int Gridnet::useful_threads(Layout layout, int64_t batch, int threads) const {
  if (layout != Layout::planes) return threads;
  const int64_t work =
      batch * config_.outer_steps * config_.step.channels() * config_.step.shape.cells() * gridnet::kNeighbours;
  return static_cast<int>(std::clamp<int64_t>(work / kWorthWaiting, 1, threads));
}

// Writes an image to a grid. `patch` is scratch memory for a row of patches.
void Gridnet::embed(const float* image, float* patch, float* grid) const {
  const gridnet::Shape& shape = config_.step.shape;
  const auto [channels, height, width] = ends_.image;
  const int64_t side = ends_.patch, columns = ends_.columns();
  std::memcpy(grid, grid_.get(), static_cast<size_t>(shape.cells()) * sizeof(float));
  for (int64_t row = 0; row < ends_.rows(); ++row) {
    float* const to = grid + shape.index(ends_.top + row, ends_.left, 0);
    if (!side) {
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t x = 0; x < columns; ++x) to[x * shape.k + c] = image[(c * height + row) * width + x];
      continue;
    }
    for (int64_t x = 0; x < columns; ++x)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t y = 0; y < side; ++y)
          std::memcpy(patch + ((x * channels + c) * side + y) * side,
                      image + (c * height + row * side + y) * width + x * side,
                      static_cast<size_t>(side) * sizeof(float));
    prepared_->dense->linear(ends_.patch_inputs(), ends_.depth, prepared_->patch.get(), {patch, ends_.patch_inputs()},
                             columns, {to, shape.k});
  }
}

// Reads the logits of `count` grids. `faces` is scratch memory for as many.
void Gridnet::read(const float* grids, int64_t count, float* faces, float* logits) const {
  const gridnet::Shape& shape = config_.step.shape;
  const dense::IsaKernels& isa = *prepared_->dense;
  const dense::LayerNorm norm{features(), read_norm_weight_.get(), read_norm_bias_.get(), ends_.norm_eps};
  for (int64_t b = 0; b < count; ++b) {
    float* const own = faces + b * features();
    for (int64_t r = 0; r < shape.rows(); ++r)
      for (int64_t f = 0; f < ends_.faces; ++f)
        own[r * ends_.faces + f] = grids[b * shape.cells() + (r + 1) * shape.k - ends_.faces + f];
    isa.layer_norm(norm, own, own);
  }
  isa.linear(features(), ends_.classes, prepared_->read.get(), {faces, features()}, count, {logits, ends_.classes});
}

}  // namespace zoo::models

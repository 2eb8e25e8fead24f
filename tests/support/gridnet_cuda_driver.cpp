// Runs every gridnet kernel on small shapes, for builds with a sanitizer. Prints how many passes ran; fails on a NaN in
// a result.
#include "cuda_driver.h"
#include "gridnet/cuda/api.h"

using namespace driver;
using namespace zoo::gridnet;
using zoo::gridnet::cuda::Dtype;

namespace {

struct Case {
  Shape shape;
  int64_t batch, block;
  int inner_steps;
  bool gated, normalize;

  StepConfig step() const {
    return {.shape = shape,
            .batch = batch,
            .block = block,
            .inner_steps = inner_steps,
            .gated = gated,
            .normalize = normalize,
            .eps = 1e-3,
            .activation = zoo::Activation::silu};
  }
};

// Tensors of a call, `sets` of each parameter: inputs or gradients.
struct Tensors {
  bool gated, norm;
  Tensor weight, bias, scale, norm_weight, norm_bias, x;

  Tensors(const Case& c, size_t sets, bool with_norm)
      : gated(c.gated),
        norm(with_norm),
        weight(sets * kNeighbours * (c.gated ? 2 : 1) * c.shape.cells()),
        bias(sets * (c.gated ? 2 : 1) * c.shape.cells()),
        scale(c.gated ? 0 : sets * c.shape.cells()),
        norm_weight(c.shape.cells()),
        norm_bias(c.shape.cells()),
        x(c.batch * c.shape.cells()) {}
  Inputs<void> random() {
    return {.weight = weight.random(0.3f),
            .bias = bias.random(1),
            .residual_scale = scale.random(1),
            .norm_weight = norm_weight.random(1),
            .norm_bias = norm_bias.random(1),
            .x = x.random(1)};
  }
  Grads<void> grads() {
    return {.weight = weight,
            .bias = bias,
            .residual_scale = scale,
            .norm_weight = norm_weight,
            .norm_bias = norm_bias,
            .x = x};
  }
  void check() const {
    for (const Tensor* t : {&weight, &bias, &scale}) t->check("gradient of a step parameter");
    if (norm) norm_weight.check("gradient of the norm weight");
    if (norm) norm_bias.check("gradient of the norm bias");
    x.check("gradient of x");
  }
};

void run(const Case& c, const EvolveConfig& config) {
  Tensors inputs(c, config.parameter_sets(), config.norm), grads(c, config.parameter_sets(), config.norm);
  const size_t count = c.batch * c.shape.cells();
  Tensor out(count), grad_out(count);
  const Inputs<void> given = inputs.random();
  {
    const Memory workspace(cuda::forward_workspace_bytes(Dtype::float32, config, false));
    const ForwardArgs<void> args{.inputs = given, .out = out, .saved = nullptr};
    expect_ok(cuda::evolve_forward(Dtype::float32, config, args, workspace, nullptr));
    out.check("output in inference");
  }
  const Memory saved(cuda::saved_bytes(Dtype::float32, config));
  if (config.norm) {
    const Memory workspace(cuda::forward_workspace_bytes(Dtype::float32, config, true));
    const ForwardArgs<void> args{.inputs = given, .out = out, .saved = saved};
    expect_ok(cuda::evolve_forward(Dtype::float32, config, args, workspace, nullptr));
    out.check("output in training");
  }
  const Memory workspace(cuda::backward_workspace_bytes(Dtype::float32, config));
  const BackwardArgs<void> args{
      .inputs = given, .saved = saved, .grad_out = grad_out.random(1), .grads = grads.grads()};
  expect_ok(cuda::evolve_backward(Dtype::float32, config, args, workspace, nullptr));
  grads.check();
}

void run_step(const Case& c) {
  run(c, {.step = c.step(),
          .outer_steps = 1,
          .separate = false,
          .norm = false,
          .outer_residual = false,
          .norm_eps = 0,
          .recompute = 1});
}

void run_evolution(const Case& c, bool separate, bool residual, int recompute) {
  run(c, {.step = c.step(),
          .outer_steps = 3,
          .separate = separate,
          .norm = true,
          .outer_residual = residual,
          .norm_eps = 1e-5,
          .recompute = recompute});
}

}  // namespace

int main() {
  const Case cases[] = {
      {{4, 3, 5}, 3, 1, 1, false, false},  {{4, 3, 5}, 2, 1, 1, true, false},  // tiles
      {{3, 5, 37}, 2, 1, 1, false, false},                                     // several tiles
      {{3, 4, 5}, 3, 1, 1, false, false},                                      // an odd number of layers
      {{3, 6, 3}, 2, 3, 2, false, false},  {{3, 6, 3}, 2, 3, 2, true, false},  // blocks, shared edges
      {{3, 3, 6}, 2, 3, 2, false, true},                                       // standardised blocks
      {{2, 2, 2}, 2, 2, 4, false, false},  {{2, 2, 2}, 2, 2, 4, true, false},  // tiles used again and again
      {{2, 2, 2}, 2, 2, 4, false, true},   {{9, 9, 9}, 1, 9, 2, false, true},  // more cells than threads
  };
  for (const Case& c : cases) {
    run_step(c);
    if (c.shape.cells() > 200) continue;  // no new code path, and slow with a thread per CUDA thread
    run_evolution(c, false, false, 1);
    run_evolution(c, true, true, 2);
  }
  printf("%d passes ran\n", passes);
}

// Runs every gridnet kernel on small shapes, for builds with a sanitizer. Prints how many passes ran and fails on a NaN
// in a result.
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

  StepConfig config() const { return {shape, batch, block, inner_steps, gated, normalize, 1e-3, Activation::silu}; }
};

// Parameters and their gradients, `sets` of each.
struct Parameters {
  Tensor weight, bias, scale, norm_weight, norm_bias;

  Parameters(const Case& c, size_t sets)
      : weight(sets * kNeighbours * (c.gated ? 2 : 1) * c.shape.cells()),
        bias(sets * (c.gated ? 2 : 1) * c.shape.cells()),
        scale(c.gated ? 0 : sets * c.shape.cells()),
        norm_weight(c.shape.cells()),
        norm_bias(c.shape.cells()) {}
  void check() const {
    for (const Tensor* t : {&weight, &bias, &scale}) t->check("gradient of a step parameter");
  }
};

void run_step(const Case& c) {
  const size_t count = c.batch * c.shape.cells();
  Parameters p(c, 1), g(c, 1);
  Tensor x(count), out(count), grad_out(count), grad_x(count);
  const StepInputs<void> inputs{p.weight.random(0.3f), p.bias.random(1), p.scale.random(1), x.random(1)};
  expect_ok(cuda::step_forward(Dtype::float32, c.config(), inputs, out, nullptr));
  out.check("output");
  const Memory workspace(cuda::step_backward_workspace_bytes(Dtype::float32, c.config()));
  const StepGrads<void> grads{grad_out.random(1), g.weight, g.bias, g.scale, grad_x};
  expect_ok(cuda::step_backward(Dtype::float32, c.config(), inputs, grads, workspace, nullptr));
  g.check();
  grad_x.check("gradient of x");
}

void run_evolution(const Case& c, bool separate, bool residual, int segment) {
  constexpr int kSteps = 3;
  const cuda::EvolveConfig config{c.config(), kSteps, separate, residual, 1e-5, segment};
  const size_t count = c.batch * c.shape.cells(), sets = separate ? kSteps : 1;
  Parameters p(c, sets), g(c, sets);
  Tensor x(count), out(count), grad_out(count), grad_x(count);
  const cuda::EvolveInputs inputs{{p.weight.random(0.3f), p.bias.random(1), p.scale.random(1), x.random(1)},
                                  p.norm_weight.random(1),
                                  p.norm_bias.random(1)};
  {
    const Memory workspace(cuda::evolve_forward_workspace_bytes(Dtype::float32, config, false));
    expect_ok(cuda::evolve_forward(Dtype::float32, config, inputs, out, nullptr, workspace, nullptr));
    out.check("output in inference");
  }
  const Memory saved(cuda::evolve_saved_bytes(Dtype::float32, config));
  const Memory workspace(cuda::evolve_forward_workspace_bytes(Dtype::float32, config, true));
  expect_ok(cuda::evolve_forward(Dtype::float32, config, inputs, out, saved, workspace, nullptr));
  out.check("output in training");
  const Memory backward(cuda::evolve_backward_workspace_bytes(Dtype::float32, config));
  const cuda::EvolveGrads grads{{grad_out.random(1), g.weight, g.bias, g.scale, grad_x}, g.norm_weight, g.norm_bias};
  expect_ok(cuda::evolve_backward(Dtype::float32, config, inputs, saved, grads, backward, nullptr));
  g.check();
  g.norm_weight.check("gradient of the norm weight");
  g.norm_bias.check("gradient of the norm bias");
  grad_x.check("gradient of x");
}

}  // namespace

int main() {
  const Case cases[] = {
      {{4, 3, 5}, 3, 1, 1, false, false},  {{4, 3, 5}, 2, 1, 1, true, false},  // tiles
      {{3, 5, 37}, 2, 1, 1, false, false},                                     // several tiles
      {{3, 6, 3}, 2, 3, 2, false, false},  {{3, 6, 3}, 2, 3, 2, true, false},  // blocks, shared edges
      {{3, 3, 6}, 2, 3, 2, false, true},                                       // standardised blocks
      {{9, 9, 9}, 1, 9, 2, false, true},                                       // more cells than threads
  };
  for (const Case& c : cases) {
    run_step(c);
    if (c.shape.cells() > 200) continue;  // nothing new, and slow with a thread per CUDA thread
    run_evolution(c, false, false, 1);
    run_evolution(c, true, true, 2);
  }
  printf("%d passes ran\n", passes);
}

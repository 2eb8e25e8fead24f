// One call of the CPU kernels as a program, for emulated machines: reads a case and its tensors from standard input,
// writes the output and every gradient. All numbers have 8 bytes: those of the case are int64, the others double.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "gridnet/api.h"

using namespace zoo::gridnet;

namespace {

template <class T>
T read() {
  T value;
  if (std::fread(&value, sizeof value, 1, stdin) != 1) std::exit(1);
  return value;
}

// Aligned like torch's memory.
double* tensor(int64_t size) { return static_cast<double*>(std::aligned_alloc(64, (size * 8 + 63) / 64 * 64)); }

double* read_tensor(int64_t size) {
  double* data = tensor(size);
  if (std::fread(data, sizeof(double), size, stdin) != static_cast<size_t>(size)) std::exit(1);
  return data;
}

void write_tensor(const double* data, int64_t size) { std::fwrite(data, sizeof(double), size, stdout); }

}  // namespace

int main() {
  EvolveConfig c{};
  c.step.shape = {read<int64_t>(), read<int64_t>(), read<int64_t>()};
  c.step.batch = read<int64_t>();
  c.step.block = read<int64_t>();
  c.step.inner_steps = static_cast<int>(read<int64_t>());
  c.step.gated = read<int64_t>();
  c.step.normalize = read<int64_t>();
  c.step.activation = static_cast<zoo::Activation>(read<int64_t>());
  c.outer_steps = static_cast<int>(read<int64_t>());
  c.separate = read<int64_t>();
  c.norm = read<int64_t>();
  c.outer_residual = read<int64_t>();
  c.recompute = static_cast<int>(read<int64_t>());
  const int threads = static_cast<int>(read<int64_t>());
  c.step.eps = c.norm_eps = 1e-5;

  const int64_t cells = c.step.shape.cells(), channels = c.step.gated ? 2 : 1, sets = c.parameter_sets();
  const int64_t sizes[6] = {sets * kNeighbours * channels * cells,
                            sets * channels * cells,
                            c.step.gated ? 0 : sets * cells,
                            c.norm ? cells : 0,
                            c.norm ? cells : 0,
                            c.step.batch * cells};
  double *in[6], *grad[6];
  for (int i = 0; i < 6; ++i) {
    in[i] = sizes[i] ? read_tensor(sizes[i]) : nullptr;
    grad[i] = sizes[i] ? tensor(sizes[i]) : nullptr;
  }
  const double* grad_out = read_tensor(sizes[5]);
  double* out = tensor(sizes[5]);
  const int64_t saved_elements = c.norm ? saved_size<double>(c, threads) : 0;
  double* saved = c.norm ? tensor(saved_elements) : nullptr;
  const Inputs<double> inputs{in[0], in[1], in[2], in[3], in[4], in[5]};
  const Grads<double> grads{grad[0], grad[1], grad[2], grad[3], grad[4], grad[5]};
  evolve_forward<double>(c, {.inputs = inputs, .out = out, .saved = saved, .saved_size = saved_elements}, threads);
  evolve_backward<double>(
      c, {.inputs = inputs, .saved = saved, .grad_out = grad_out, .grads = grads, .saved_size = saved_elements},
      threads);
  write_tensor(out, sizes[5]);
  for (int i = 0; i < 6; ++i) write_tensor(grad[i], sizes[i]);
}

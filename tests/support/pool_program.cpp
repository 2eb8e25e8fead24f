// Threads call every op at once, with teams of every size, for the thread sanitizer. Every call must give the bits of the
// same call made alone. Ends with 0 and prints the number of calls.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "gridnet/api.h"
#include "images/api.h"
#include "nca/api.h"
#include "sparse/api.h"
#include "sparse_network/api.h"

namespace {

constexpr int kCallers = 4, kRounds = 12, kMostThreads = 4;

std::vector<float> numbers(int64_t n, float scale = 0.1f) {
  std::vector<float> values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = scale * static_cast<float>((i * 37) % 101 - 50) / 50.0f;
  return values;
}

void append(std::vector<float>& all, const std::vector<float>& part) {
  all.insert(all.end(), part.begin(), part.end());
}

std::vector<float> gridnet(int64_t batch, int64_t inner_steps, int threads) {
  using namespace zoo::gridnet;
  EvolveConfig c{};
  c.step.shape = {6, 4, 8};
  c.step.batch = batch;
  c.step.block = 2;
  c.step.inner_steps = static_cast<int>(inner_steps);
  c.step.eps = c.norm_eps = 1e-5;
  c.outer_steps = 3;
  c.norm = true;
  c.recompute = 2;
  const int64_t cells = c.step.shape.cells();
  const auto weight = numbers(kNeighbours * cells), bias = numbers(cells), scale = numbers(cells, 1.0f);
  const auto norm_weight = numbers(cells, 1.0f), norm_bias = numbers(cells), x = numbers(batch * cells, 1.0f);
  std::vector<float> out(batch * cells), saved(saved_size<float>(c, threads));
  const int64_t size = static_cast<int64_t>(saved.size());
  const Inputs<float> inputs{weight.data(), bias.data(), scale.data(), norm_weight.data(), norm_bias.data(), x.data()};
  evolve_forward<float>(c, {.inputs = inputs, .out = out.data(), .saved = saved.data(), .saved_size = size}, threads);
  std::vector<float> g[6] = {weight, bias, scale, norm_weight, norm_bias, x};
  const Grads<float> grads{g[0].data(), g[1].data(), g[2].data(), g[3].data(), g[4].data(), g[5].data()};
  evolve_backward<float>(
      c, {.inputs = inputs, .saved = saved.data(), .grad_out = x.data(), .grads = grads, .saved_size = size}, threads);
  for (const auto& grad : g) append(out, grad);
  // As in predictions, where a call waits for no thread that is late.
  const Layout layout = layout_of<float>(c, threads);
  std::vector<float> prepared(prepared_size<float>(c, layout)), predicted(batch * cells);
  prepare<float>(c, inputs, layout, prepared.data());
  evolve_forward<float>(c, {.inputs = inputs, .out = predicted.data(), .saved = nullptr, .prepared = prepared.data()},
                        threads);
  append(out, predicted);
  return out;
}

std::vector<float> nca(int64_t networks, int threads) {
  using namespace zoo::nca;
  constexpr int64_t kLayers = 2, kRows = 9, kColumns = 9, kEpochs = 3;
  const std::vector<int32_t> units(networks * (kLayers + 1), 9);
  const Rule rule{2, {3, 8, 1}, Hidden::silu, Change::tanh, 1.0, true, false, 1e-5};
  const Population population{networks, kLayers, kRows, kColumns, 1, 0, units.data()};
  const int64_t weights = population.weights();
  const auto parameters = numbers(rule.parameters()), state = numbers(weights, 1.0f);
  const std::vector<char> fires(kEpochs * weights, 1);
  const Evolution<float> evolution{.population = population,
                                   .rule = rule,
                                   .epochs = kEpochs,
                                   .parameters = parameters.data(),
                                   .signals = nullptr,
                                   .fire_mask = reinterpret_cast<const bool*>(fires.data())};
  std::vector<float> out(weights), saved(saved_size(population, kEpochs));
  forward<float>(evolution, {.state = state.data(), .out = out.data(), .saved = saved.data()}, threads);
  std::vector<float> grad_state(weights), grad_parameters(parameters.size());
  backward<float>(evolution,
                  {.saved = saved.data(),
                   .grad_out = state.data(),
                   .grad_state = grad_state.data(),
                   .grad_signals = nullptr,
                   .grad_parameters = grad_parameters.data()},
                  threads);
  append(out, grad_state);
  append(out, grad_parameters);
  return out;
}

std::vector<float> sparse(int64_t batch, int threads) {
  using namespace zoo::sparse;
  constexpr int64_t kSize = 50;  // a matrix with its diagonal
  std::vector<int32_t> starts(kSize + 1), index(kSize);
  for (int32_t i = 0; i <= kSize; ++i) starts[i] = i;
  for (int32_t i = 0; i < kSize; ++i) index[i] = i;
  const Pattern pattern{kSize, kSize, kSize, starts.data(), index.data(), starts.data(), index.data(), index.data()};
  const auto values = numbers(kSize), x = numbers(batch * kSize, 1.0f);
  std::vector<float> y(batch * kSize), grad_values(kSize), grad_x(batch * kSize);
  forward<float>(pattern, {.batch = batch, .values = values.data(), .x = x.data(), .y = y.data()}, threads);
  backward<float>(pattern,
                  {.batch = batch,
                   .values = values.data(),
                   .x = x.data(),
                   .grad_y = x.data(),
                   .grad_values = grad_values.data(),
                   .grad_x = grad_x.data()},
                  threads);
  append(y, grad_values);
  append(y, grad_x);
  return y;
}

std::vector<float> network(int64_t batch, int threads) {
  using namespace zoo::sparse_network;
  constexpr int64_t kInputs = 128, kHidden = 80, kOutputs = 20;  // each layer reads all of the one before
  std::vector<int32_t> columns(kInputs), starts{0}, sources, slots;
  for (int32_t c = 0; c < kInputs; ++c) columns[c] = c;
  for (int64_t i = 0; i < kHidden + kOutputs; ++i) {
    const int64_t first = i < kHidden ? 0 : kInputs, end = i < kHidden ? kInputs : kInputs + kHidden;
    for (int64_t r = first; r < end; ++r) {
      slots.push_back(static_cast<int32_t>(sources.size()));
      sources.push_back(static_cast<int32_t>(r));
    }
    starts.push_back(static_cast<int32_t>(sources.size()));
  }
  const auto edges = static_cast<int64_t>(sources.size());
  const Network net{kInputs,
                    kInputs,
                    kHidden + kOutputs,
                    kOutputs,
                    edges,
                    kHidden + kOutputs,
                    columns.data(),
                    starts.data(),
                    sources.data(),
                    slots.data(),
                    zoo::dense::Function::tanh};
  const auto x = numbers(batch * kInputs, 1.0f), weight = numbers(edges), bias = numbers(net.biases);
  std::vector<float> saved(tiles_of(batch) * net.rows() * kTile), y(batch * kOutputs);
  forward<float>(net, edges,
                 {.batch = batch,
                  .x = x.data(),
                  .weight = weight.data(),
                  .bias = bias.data(),
                  .saved = saved.data(),
                  .y = y.data()},
                 threads);
  std::vector<float> grad_weight(edges), grad_bias(net.biases), grad_x(batch * kInputs);
  backward<float>(net, edges,
                  {.batch = batch,
                   .weight = weight.data(),
                   .saved = saved.data(),
                   .grad_y = x.data(),
                   .grad_weight = grad_weight.data(),
                   .grad_bias = grad_bias.data(),
                   .grad_x = grad_x.data()},
                  threads);
  append(y, grad_weight);
  append(y, grad_bias);
  append(y, grad_x);
  return y;
}

std::vector<float> images(int64_t batch, int threads) {
  using namespace zoo::images;
  constexpr int64_t kImages = 7, kSize = 64;
  std::vector<uint8_t> bytes(kImages * kSize * kSize);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 31);
  std::vector<int64_t> indices(batch), offsets(2 * batch);
  for (int64_t i = 0; i < batch; ++i) {
    indices[i] = i * 5 % kImages;
    offsets[2 * i] = i % 3 - 1;
    offsets[2 * i + 1] = i % 5 - 2;
  }
  const auto levels = numbers(258);
  std::vector<float> out(batch * kSize * kSize);
  take<uint8_t>({kImages, 1, kSize, kSize, bytes.data(), levels.data()},
                {batch, indices.data(), offsets.data(), nullptr}, out.data(), threads);
  return out;
}

constexpr int kKinds = 7;

std::vector<float> call(int number) {
  const int threads = 1 + number / kKinds % kMostThreads;
  switch (number % kKinds) {
    case 0: return gridnet(1, 1, threads);   // cells in lanes
    case 1: return gridnet(70, 1, threads);  // samples in lanes
    case 2: return gridnet(5, 2, threads);   // blocks
    case 3: return nca(3, threads);
    case 4: return images(80, threads);
    case 5: return network(200, threads);
    default: return sparse(40, threads);
  }
}

}  // namespace

int main() {
  constexpr int kCalls = kKinds * kMostThreads;
  std::vector<std::vector<float>> wanted;
  for (int number = 0; number < kCalls; ++number) wanted.push_back(call(number));
  std::atomic<int> made{0}, wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < kRounds; ++round) {
        for (int i = 0; i < kCalls; ++i) {
          const int number = (i * 7 + caller * 3 + round) % kCalls;
          const std::vector<float> found = call(number);
          wrong += std::memcmp(found.data(), wanted[number].data(), found.size() * sizeof(float)) != 0;
          ++made;
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  std::printf("%d calls, %d with other bits\n", made.load(), wrong.load());
  return wrong.load() != 0;
}

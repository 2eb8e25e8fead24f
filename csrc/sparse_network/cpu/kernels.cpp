// Compiled once per instruction set (CMakeLists.txt): the tiles of a batch on a team of threads.
#include "sparse_network/cpu/kernels.h"

#include "core/thread_pool.h"
#include "sparse_network/cpu/tile.h"

namespace zoo::ZOO_ISA {
namespace {

template <class T, Function F>
NetworkTile<T, F> tile_of(const Network& net, int64_t batch, int64_t tile) {
  return {net, std::min<int64_t>(kTile, batch - tile * kTile)};
}

template <class T, Function F>
void run_forward(const Network& net, const ForwardArgs<T>& args, int threads) {
  hand_out(threads, sparse_network::tiles_of(args.batch), [&](int64_t tile, int) {
    const int64_t first = tile * kTile;
    tile_of<T, F>(net, args.batch, tile)
        .forward(args.x + first * net.inputs, args.weight, args.bias, args.saved + first * net.rows(),
                 args.y + first * net.outputs);
  });
}

// Scratch memory, per thread: the gradients of a tile's rows, and sums over its tiles.
template <class T>
struct Scratch {
  T* grads;   // [threads, rows, kTile]
  T* weight;  // [threads, weights]
  T* bias;    // [threads, biases]
};

// total[j] = the sum over the threads of parts[thread][j], for this member's part of n numbers.
template <class T>
void add_up(const Team& team, const T* parts, int64_t n, T* total) {
  for (int64_t j = team.begin(n); j < team.end(n); ++j) {
    T sum = 0;
    for (int rank = 0; rank < team.size; ++rank) sum += parts[rank * n + j];
    total[j] = sum;
  }
}

template <class T, Function F>
void run_backward(const Network& net, const BackwardArgs<T>& args, Workspace& workspace, int threads) {
  const int64_t tiles = sparse_network::tiles_of(args.batch), tile_size = net.rows() * kTile;
  threads = static_cast<int>(std::min<int64_t>(threads, tiles));
  const Scratch<T> scratch = workspace.lay_out([&](Arena& arena) {
    return Scratch<T>{.grads = arena.take<T>(threads * tile_size),
                      .weight = arena.take<T>(threads * net.weights),
                      .bias = arena.take<T>(threads * net.biases)};
  });
  auto body = [&](const Team& team) {
    T* const grad_weight = scratch.weight + team.rank * net.weights;
    T* const grad_bias = scratch.bias + team.rank * net.biases;
    std::fill(grad_weight, grad_weight + net.weights, T(0));
    std::fill(grad_bias, grad_bias + net.biases, T(0));
    for (int64_t tile = team.begin(tiles); tile < team.end(tiles); ++tile) {
      const int64_t first = tile * kTile;
      tile_of<T, F>(net, args.batch, tile)
          .backward(args.weight, args.saved + first * net.rows(), args.grad_y + first * net.outputs,
                    scratch.grads + team.rank * tile_size, grad_weight, grad_bias,
                    args.grad_x ? args.grad_x + first * net.inputs : nullptr);
    }
    team.barrier();
    add_up(team, scratch.weight, net.weights, args.grad_weight);
    add_up(team, scratch.bias, net.biases, args.grad_bias);
  };
  parallel(threads, body);
}

// Calls f.template operator()<F>() with the network's function.
template <class Call>
void with_function(Function function, Call f) {
  switch (function) {
    case Function::tanh: return f.template operator()<Function::tanh>();
    case Function::sigmoid: return f.template operator()<Function::sigmoid>();
    case Function::relu: return f.template operator()<Function::relu>();
  }
}

template <class T>
void forward(const Network& net, const ForwardArgs<T>& args, int threads) {
  with_function(net.function, [&]<Function F>() { run_forward<T, F>(net, args, threads); });
}

template <class T>
void backward(const Network& net, const BackwardArgs<T>& args, Workspace& workspace, int threads) {
  with_function(net.function, [&]<Function F>() { run_backward<T, F>(net, args, workspace, threads); });
}

}  // namespace

const sparse_network::IsaKernels kSparseNetworkKernels = {
    .of_float = {.forward = forward<float>, .backward = backward<float>},
    .of_double = ZOO_DOUBLES_OF(kSparseNetworkKernels, {.forward = forward<double>, .backward = backward<double>}),
};

}  // namespace zoo::ZOO_ISA

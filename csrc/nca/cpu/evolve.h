// All epochs of an evolution, forward and backward. A thread evolves whole networks from the first epoch to the last,
// so threads meet only once, at the end.
#pragma once
#include "core/thread_pool.h"
#include "core/workspace.h"
#include "nca/cpu/mlp.h"
#include "nca/cpu/perception.h"
#include "nca/problem.h"

namespace zoo::ZOO_ISA {

using nca::BackwardArgs;
using nca::Evolution;
using nca::ForwardArgs;

// Multiply-adds of a forward pass that are worth waking another thread for.
constexpr int64_t kWorkOfThread = int64_t{1} << 18;

// One thread's networks and everything that it needs to evolve them.
template <class T>
struct Evolver {
  const Evolution<T>& given;
  // Backward only. First in memory, so that the sums of all threads are the same distance apart.
  RuleSums<T> sums;
  Networks part;
  int64_t stride;       // of states: channels rounded up to whole vectors
  Rows<T> states;       // [weights][stride]; backward: their gradients
  Units<T> units;       // sums of states
  Units<T> unit_grads;  // backward only
  int32_t* fire_list;   // the weights that change in an epoch
  Block<T> block;

  Evolver(const Evolution<T>& of, const PackedRule<T>& rule, bool backward, int rank, int threads, Arena& arena)
      : given(of),
        sums(rule, arena),
        part(share_of(of.population, rank, threads)),
        stride((of.population.channels + kLanes<T> - 1) / kLanes<T> * kLanes<T>),
        states{arena.take<T>(part.weights * stride), stride},
        fire_list(arena.take<int32_t>(part.weights + kLanes<T>)),
        block(rule, backward, arena) {
    take_tables(part, arena);
    units.take(part, stride, arena);
    unit_grads = units;
    if (backward) unit_grads.take(part, stride, arena);
    if (arena.measures()) return;
    fill_tables(given.population, part);
    units.set_scales(part, given.rule.mean);
    unit_grads.set_scales(part, given.rule.mean);
    std::fill(states.data, states.data + part.weights * stride, T(0));
  }

  int64_t channels() const { return given.population.channels; }

  // The elements of this part's networks in a padded tensor with `width` elements per weight.
  int64_t padded_begin(int64_t width) const { return part.first * padded_network() * width; }
  int64_t padded_end(int64_t width) const { return part.last * padded_network() * width; }
  int64_t padded_network() const { return given.population.layers * given.population.rows * given.population.columns; }

  void load_states(const T* padded) const {
    for (int64_t k = 0; k < part.weights; ++k) {
      const T* const from = padded + part.place[k] * channels();
      std::copy(from, from + channels(), states.at(k, 0));
    }
  }

  // The padding is copied from `before`.
  void store_states(const T* before, T* padded) const {
    std::copy(before + padded_begin(channels()), before + padded_end(channels()), padded + padded_begin(channels()));
    for (int64_t k = 0; k < part.weights; ++k) {
      const T* const from = states.at(k, 0);
      std::copy(from, from + channels(), padded + part.place[k] * channels());
    }
  }

  // The offset of the saved states before an epoch; saved states have no padding: [epoch][weight of all
  // networks][channel].
  int64_t saved_at(int64_t epoch, int64_t all_weights) const {
    return (epoch * all_weights + part.first_weight) * channels();
  }

  // Writes rows as whole vectors, each over the end of the row before; the thread's last rows element by element, so
  // that they do not run into another thread's part.
  void save_states(T* saved) const {
    for (int64_t k = 0; k < part.weights; ++k) {
      const T* const from = states.at(k, 0);
      T* const to = saved + k * channels();
      if (k + stride / channels() + 1 < part.weights) {
        for (int64_t c = 0; c < stride; c += kLanes<T>) store_unaligned(to + c, load(from + c));
      } else {
        std::copy(from, from + channels(), to);
      }
    }
  }

  // Lists the weights that change in an epoch and returns their number. The list is padded to whole vectors with the
  // last weight.
  int64_t make_fire_list(int64_t epoch) const {
    const bool* const fire_mask = given.fire_mask + epoch * given.population.weights();
    int64_t count = 0;
    for (int32_t k = 0; k < part.weights; ++k) {
      fire_list[count] = k;
      count += fire_mask[part.place[k]];
    }
    for (int64_t i = 0; count && i < kLanes<T>; ++i) fire_list[count + i] = fire_list[count - 1];
    return count;
  }

  // Calls f(group, panel, lane of the panel) for every vector of up to kBlock weights of a list.
  template <class F>
  ZOO_INLINE void for_groups(const int32_t* weights, int64_t count, F f) const {
    for (int64_t at = 0; at < count; at += kLanes<T>) {
      const int present = static_cast<int>(std::min<int64_t>(kLanes<T>, count - at));
      f(Group<T>{part, weights + at, present}, at / kPanel<T>, at % kPanel<T>);
    }
  }

  // Gathers perceptions and applies the rule to them.
  void run_block(Rows<const T> from, const int32_t* weights, int64_t count) const {
    for_groups(weights, count, [&](const Group<T>& group, int64_t panel, int64_t lane) {
      T* const rows = block.panel(block.values[0], 0, panel) + lane;
      group.perceive(from, units, channels(), rows);
      if (given.signals)
        group.gather_signals(given.signals, given.population.signals, rows + 3 * channels() * kPanel<T>);
    });
    for_panels(count, [&]<int NV>(int64_t panel) { block.template run<NV>(panel); });
  }

  template <class F>
  ZOO_INLINE static void for_panels(int64_t count, F f) {
    const int64_t vectors = (count + kLanes<T> - 1) / kLanes<T>;
    for (int64_t panel = 0; panel * kPanelVectors < vectors; ++panel) {
      const int n = static_cast<int>(std::min<int64_t>(kPanelVectors, vectors - panel * kPanelVectors));
      with_vectors(n, [&]<int NV>() { f.template operator()<NV>(panel); });
    }
  }

  void run_epoch(int64_t epoch) {
    const int64_t count = make_fire_list(epoch);
    if (!count) return;
    const Rows<const T> before{states.data, stride};
    units.sum(part, before);
    for (int64_t first = 0; first < count; first += kBlock<T>) {
      const int64_t n = std::min<int64_t>(kBlock<T>, count - first);
      // The rule reads a weight's own state, which no other block changes, and unit sums from before the epoch.
      run_block(before, fire_list + first, n);
      const int last = given.rule.layers;
      for_groups(fire_list + first, n, [&](const Group<T>& group, int64_t panel, int64_t lane) {
        group.add_changes(block.panel(block.values[last], last, panel) + lane, channels(), states);
      });
    }
  }

  // Turns the gradients of the states after an epoch into those of the states before it, which are `before`.
  void run_epoch_back(int64_t epoch, Rows<const T> before, T* grad_signals) {
    const int64_t count = make_fire_list(epoch);
    if (!count) return;
    units.sum(part, before);
    unit_grads.clear(part);
    for (int64_t first = 0; first < count; first += kBlock<T>) {
      const int64_t n = std::min<int64_t>(kBlock<T>, count - first);
      run_block(before, fire_list + first, n);
      run_block_back(fire_list + first, n, grad_signals);
    }
    unit_grads.spread(part, states);
  }

  void run_block_back(const int32_t* weights, int64_t count, T* grad_signals) {
    const int last = given.rule.layers;
    for_groups(weights, count, [&](const Group<T>& group, int64_t panel, int64_t lane) {
      group.times_gradients({states.data, stride}, channels(), block.panel(block.slopes[last], last, panel) + lane);
    });
    for_panels(count, [&]<int NV>(int64_t panel) { block.template run_back<NV>(panel); });
    block.add_gradients((count + kLanes<T> - 1) / kLanes<T>, sums);
    for_groups(weights, count, [&](const Group<T>& group, int64_t panel, int64_t lane) {
      const T* const rows = block.panel(block.feature_grads, 0, panel) + lane;
      group.add_gradients(rows, channels(), states, unit_grads);
      if (grad_signals)
        group.add_signal_gradients(rows + 3 * channels() * kPanel<T>, given.population.signals, grad_signals);
    });
  }
};

inline int64_t all_weights(const Population& p) {
  int64_t count = 0;
  for (int64_t n = 0; n < p.networks; ++n) count += weights_of(p, n);
  return count;
}

template <class T>
int threads_for(const Evolution<T>& given, int threads) {
  const int64_t work = given.epochs * all_weights(given.population) * given.rule.parameters() / kWorkOfThread + 1;
  return static_cast<int>(std::min({int64_t{threads}, std::max<int64_t>(given.population.networks, 1), work}));
}

// The rule, which all threads share, and memory for the evolver of each thread, `bytes_per_thread` apart.
template <class T>
struct Shared {
  PackedRule<T> rule;
  char* threads;
  size_t bytes_per_thread;

  Shared(const Evolution<T>& given, bool backward, int count, Arena& arena)
      : rule(given.rule, given.parameters, arena), bytes_per_thread(0) {
    for (int rank = 0; rank < count; ++rank) {
      Arena needed;
      Evolver<T>(given, rule, backward, rank, count, needed);
      bytes_per_thread = std::max(bytes_per_thread, needed.used());
    }
    threads = arena.take<char>(count * static_cast<int64_t>(bytes_per_thread));
  }
};

// Calls f(evolver, team, bytes) on each thread with an evolver of its own; the threads' memory is that many bytes
// apart.
template <class T, class F>
void on_all_threads(const Evolution<T>& given, bool backward, Workspace& workspace, int threads, F f) {
  threads = threads_for(given, threads);
  const auto shared = workspace.lay_out([&](Arena& arena) { return Shared<T>(given, backward, threads, arena); });
  auto body = [&](const Team& team) {
    Arena arena(shared.threads + team.rank * shared.bytes_per_thread);
    Evolver<T> evolver(given, shared.rule, backward, team.rank, threads, arena);
    f(evolver, team, shared.bytes_per_thread);
  };
  parallel(threads, body);
}

template <class T>
void forward(const Evolution<T>& given, const ForwardArgs<T>& args, Workspace& workspace, int threads) {
  const int64_t all = all_weights(given.population);
  on_all_threads(given, false, workspace, threads, [&](Evolver<T>& evolver, const Team&, size_t) {
    evolver.load_states(args.state);
    for (int64_t epoch = 0; epoch < given.epochs; ++epoch) {
      if (args.saved) evolver.save_states(args.saved + evolver.saved_at(epoch, all));
      evolver.run_epoch(epoch);
    }
    evolver.store_states(args.state, args.out);
  });
}

template <class T>
void backward(const Evolution<T>& given, const BackwardArgs<T>& args, Workspace& workspace, int threads) {
  const int64_t all = all_weights(given.population), channels = given.population.channels;
  on_all_threads(given, true, workspace, threads, [&](Evolver<T>& evolver, const Team& team, size_t bytes) {
    evolver.sums.clear();
    if (args.grad_signals) {
      const int64_t width = given.population.signals;
      std::fill(args.grad_signals + evolver.padded_begin(width), args.grad_signals + evolver.padded_end(width), T(0));
    }
    evolver.load_states(args.grad_out);
    for (int64_t epoch = given.epochs - 1; epoch >= 0; --epoch)
      evolver.run_epoch_back(epoch, {args.saved + evolver.saved_at(epoch, all), channels}, args.grad_signals);
    evolver.store_states(args.grad_out, args.grad_state);
    team.barrier();
    if (team.rank > 0) return;
    for (int rank = 1; rank < team.size; ++rank) evolver.sums.add(static_cast<int64_t>(rank * bytes / sizeof(T)));
    evolver.sums.unpack(evolver.block.rule, given.parameters, args.grad_parameters);
  });
}

}  // namespace zoo::ZOO_ISA

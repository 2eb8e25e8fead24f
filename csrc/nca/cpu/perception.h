// What weights perceive, and its gradients. States are stored weight by weight, [weight][channel], and transposed into
// panels (layer.h) for the weights that change.
#pragma once
#include <cstring>

#include "nca/cpu/layer.h"
#include "nca/cpu/networks.h"

namespace zoo::ZOO_ISA {

// A table of rows that are read a vector at a time: elements past the channels of a row are read and ignored.
template <class T>
struct Rows {
  T* data;
  int64_t stride;

  ZOO_INLINE T* at(int64_t row, int64_t channel) const { return data + row * stride + channel; }
};

// For each unit, the sum of the states of its weights, and the factor of a sum over the other weights.
template <class T>
struct Units {
  Rows<T> into, out_of;
  T *into_scale, *out_of_scale;

  void take(const Networks& part, int64_t stride, Arena& arena) {
    into = {arena.take<T>(part.units_into * stride), stride};
    out_of = {arena.take<T>(part.units_out_of * stride), stride};
    into_scale = arena.take<T>(part.units_into);
    out_of_scale = arena.take<T>(part.units_out_of);
  }

  void set_scales(const Networks& part, bool mean) {
    const auto scale = [=](int64_t count) { return mean && count > 2 ? T(1) / static_cast<T>(count - 1) : T(1); };
    for (int64_t l = 0; l < part.layer_count; ++l) {
      const Layer& layer = part.layers[l];
      for (int64_t j = 0; j < layer.columns; ++j) into_scale[layer.into + j] = scale(layer.rows);
      for (int64_t i = 0; i < layer.rows; ++i) out_of_scale[layer.out_of + i] = scale(layer.columns);
    }
  }

  // Sums all states.
  void sum(const Networks& part, Rows<const T> states) {
    for (int64_t c = 0; c < into.stride; c += kLanes<T>) {
      for (int64_t l = 0; l < part.layer_count; ++l) {
        const Layer& layer = part.layers[l];
        for (int64_t i = 0, k = layer.weight; i < layer.rows; ++i) {
          Vec<T> row = {};
          for (int64_t j = 0; j < layer.columns; ++j, ++k) {
            const Vec<T> state = load_unaligned(states.at(k, c));
            T* const column = into.at(layer.into + j, c);
            store(column, i ? load(column) + state : state);
            row += state;
          }
          store(out_of.at(layer.out_of + i, c), row);
        }
      }
    }
  }

  void clear(const Networks& part) {
    std::fill(into.data, into.data + part.units_into * into.stride, T(0));
    std::fill(out_of.data, out_of.data + part.units_out_of * out_of.stride, T(0));
  }

  // The gradient of sum: adds to every state the gradients of its two units.
  void spread(const Networks& part, Rows<T> grads) const {
    for (int64_t c = 0; c < into.stride; c += kLanes<T>) {
      for (int64_t l = 0; l < part.layer_count; ++l) {
        const Layer& layer = part.layers[l];
        for (int64_t i = 0, k = layer.weight; i < layer.rows; ++i) {
          const Vec<T> row = load(out_of.at(layer.out_of + i, c));
          for (int64_t j = 0; j < layer.columns; ++j, ++k) {
            T* const grad = grads.at(k, c);
            store(grad, load(grad) + row + load(into.at(layer.into + j, c)));
          }
        }
      }
    }
  }
};

// kLanes<T> weights that change, in one vector of a panel; the last vector of a list repeats the last weight.
template <class T>
struct Group {
  const Networks& part;
  const int32_t* weights;
  int present;  // the number of weights without repetitions

  // Transposes channels [c, c + kLanes) of the weights, one weight per row, into rows of the panel; stops at the last
  // channel.
  static ZOO_INLINE void to_panel(Vec<T>* rows, int64_t channels, int64_t c, T* panel) {
    transpose<T>(rows);
    const int64_t n = std::min<int64_t>(kLanes<T>, channels - c);
    for (int64_t r = 0; r < n; ++r) store(panel + (c + r) * kPanel<T>, rows[r]);
  }

  static ZOO_INLINE void from_panel(const T* panel, int64_t channels, int64_t c, Vec<T>* rows) {
    for (int64_t r = 0; r < kLanes<T>; ++r) rows[r] = c + r < channels ? load(panel + (c + r) * kPanel<T>) : Vec<T>{};
    transpose<T>(rows);
  }

  // Fills rows [0, 3 * channels) of a panel: the own state, then the others into and out of the same unit.
  void perceive(Rows<const T> states, const Units<T>& units, int64_t channels, T* panel) const {
    constexpr int L = kLanes<T>;
    for (int64_t c = 0; c < channels; c += L) {
      Vec<T> own[L], rows[L];
      for (int i = 0; i < L; ++i) own[i] = load_unaligned(states.at(weights[i], c));
      for (int i = 0; i < L; ++i) {
        const int32_t unit = part.into[weights[i]];
        rows[i] = (load(units.into.at(unit, c)) - own[i]) * splat(units.into_scale[unit]);
      }
      to_panel(rows, channels, c, panel + channels * kPanel<T>);
      for (int i = 0; i < L; ++i) {
        const int32_t unit = part.out_of[weights[i]];
        rows[i] = (load(units.out_of.at(unit, c)) - own[i]) * splat(units.out_of_scale[unit]);
      }
      to_panel(rows, channels, c, panel + 2 * channels * kPanel<T>);
      to_panel(own, channels, c, panel);
    }
  }

  // The gradient of perceive: adds to the gradients of states and of the units' sums.
  void add_gradients(const T* panel, int64_t channels, Rows<T> grads, const Units<T>& units) const {
    constexpr int L = kLanes<T>;
    for (int64_t c = 0; c < channels; c += L) {
      Vec<T> own[L], into[L], out_of[L];
      from_panel(panel, channels, c, own);
      from_panel(panel + channels * kPanel<T>, channels, c, into);
      from_panel(panel + 2 * channels * kPanel<T>, channels, c, out_of);
      for (int i = 0; i < present; ++i) {
        const int32_t column = part.into[weights[i]], row = part.out_of[weights[i]];
        const Vec<T> a = into[i] * splat(units.into_scale[column]), b = out_of[i] * splat(units.out_of_scale[row]);
        store(units.into.at(column, c), load(units.into.at(column, c)) + a);
        store(units.out_of.at(row, c), load(units.out_of.at(row, c)) + b);
        T* const grad = grads.at(weights[i], c);
        store(grad, load(grad) + own[i] - a - b);
      }
    }
  }

  // states += the panel's rows.
  void add_changes(const T* panel, int64_t channels, Rows<T> states) const {
    constexpr int L = kLanes<T>;
    for (int64_t c = 0; c < channels; c += L) {
      Vec<T> rows[L];
      from_panel(panel, channels, c, rows);
      for (int i = 0; i < present; ++i) {
        T* const state = states.at(weights[i], c);
        store(state, load(state) + rows[i]);
      }
    }
  }

  // Multiplies the panel's rows by the states' gradients, and by 0 in repeated lanes.
  void times_gradients(Rows<const T> grads, int64_t channels, T* panel) const {
    constexpr int L = kLanes<T>;
    for (int64_t c = 0; c < channels; c += L) {
      Vec<T> rows[L];
      for (int i = 0; i < L; ++i) rows[i] = i < present ? load(grads.at(weights[i], c)) : Vec<T>{};
      transpose<T>(rows);
      const int64_t n = std::min<int64_t>(L, channels - c);
      for (int64_t r = 0; r < n; ++r) {
        T* const to = panel + (c + r) * kPanel<T>;
        store(to, load(to) * rows[r]);
      }
    }
  }

  // Fills a panel's rows with signals [place][count].
  void gather_signals(const T* signals, int64_t count, T* panel) const {
    for (int i = 0; i < kLanes<T>; ++i) {
      const T* const from = signals + part.place[weights[i]] * count;
      for (int64_t s = 0; s < count; ++s) panel[s * kPanel<T> + i] = from[s];
    }
  }

  void add_signal_gradients(const T* panel, int64_t count, T* signals) const {
    for (int i = 0; i < present; ++i) {
      T* const to = signals + part.place[weights[i]] * count;
      for (int64_t s = 0; s < count; ++s) to[s] += panel[s * kPanel<T> + i];
    }
  }
};

}  // namespace zoo::ZOO_ISA

// The networks of one thread, with their weights numbered consecutively, without the padding.
#pragma once
#include <algorithm>
#include <cstddef>

#include "core/workspace.h"
#include "nca/problem.h"

namespace zoo::ZOO_ISA {

using nca::Population;

// A layer of one network: the numbers of its first weight and of the first units at its two ends.
struct Layer {
  int64_t rows, columns;
  int64_t weight;  // weight (0, 0); weight (i, j) is weight + i * columns + j
  int64_t into;    // the unit that column 0 leads to
  int64_t out_of;  // the unit that row 0 comes from
  int64_t place;   // weight (0, 0) in the padded tensors; row i starts at place + i * padded columns
};

// Networks [first, last) of a population.
struct Networks {
  int64_t first, last;
  int64_t first_weight;  // the number of weights of all networks before `first`
  int64_t weights = 0, units_into = 0, units_out_of = 0, layer_count = 0;
  Layer* layers;   // [layer_count]; only layers with weights
  int32_t* place;  // [weights]: of each weight, its index in the padded tensors
  int32_t* into;   // ... and its two units
  int32_t* out_of;
};

inline int64_t rows_of(const Population& p, int64_t network, int64_t layer) {
  return p.units[network * (p.layers + 1) + layer];
}

inline int64_t weights_of(const Population& p, int64_t network) {
  int64_t count = 0;
  for (int64_t l = 0; l < p.layers; ++l) count += rows_of(p, network, l) * rows_of(p, network, l + 1);
  return count;
}

// The part of thread `rank` of `threads`: whole networks, with numbers of weights as equal as possible.
inline Networks share_of(const Population& p, int rank, int threads) {
  int64_t total = 0;
  for (int64_t n = 0; n < p.networks; ++n) total += weights_of(p, n);
  Networks part = {};
  int64_t before = 0;
  for (int64_t n = 0; n < p.networks; ++n) {
    const int64_t own = weights_of(p, n);
    // A network belongs to the thread whose share contains its middle. If there are no weights at all, the last thread
    // gets every network.
    const int64_t owner =
        total ? std::min<int64_t>((2 * before + own) * threads / (2 * total), threads - 1) : threads - 1;
    if (owner < rank) part.first = n + 1, part.first_weight = before + own;
    if (owner <= rank) part.last = n + 1;
    before += own;
  }
  part.last = std::max(part.first, part.last);
  for (int64_t n = part.first; n < part.last; ++n) {
    part.weights += weights_of(p, n);
    for (int64_t l = 0; l < p.layers; ++l) {
      if (rows_of(p, n, l) * rows_of(p, n, l + 1) == 0) continue;
      part.units_out_of += rows_of(p, n, l);
      part.units_into += rows_of(p, n, l + 1);
      ++part.layer_count;
    }
  }
  return part;
}

inline void take_tables(Networks& part, Arena& arena) {
  part.layers = arena.take<Layer>(part.layer_count);
  part.place = arena.take<int32_t>(part.weights);
  part.into = arena.take<int32_t>(part.weights);
  part.out_of = arena.take<int32_t>(part.weights);
}

inline void fill_tables(const Population& p, Networks& part) {
  Layer at = {};
  Layer* layer = part.layers;
  for (int64_t n = part.first; n < part.last; ++n) {
    for (int64_t l = 0; l < p.layers; ++l) {
      at.rows = rows_of(p, n, l);
      at.columns = rows_of(p, n, l + 1);
      at.place = (n * p.layers + l) * p.rows * p.columns;
      if (at.rows * at.columns == 0) continue;
      for (int64_t i = 0, k = at.weight; i < at.rows; ++i) {
        for (int64_t j = 0; j < at.columns; ++j, ++k) {
          part.place[k] = static_cast<int32_t>(at.place + i * p.columns + j);
          part.into[k] = static_cast<int32_t>(at.into + j);
          part.out_of[k] = static_cast<int32_t>(at.out_of + i);
        }
      }
      *layer++ = at;
      at.weight += at.rows * at.columns;
      at.into += at.columns;
      at.out_of += at.rows;
    }
  }
}

}  // namespace zoo::ZOO_ISA

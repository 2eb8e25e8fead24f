// Checks of indices, each of which is used to address memory. They throw std::invalid_argument.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace zoo {

// The positions at which `count` lists start, and the end of the last of `entries`.
inline void check_starts(const char* name, const int32_t* starts, int64_t count, int64_t entries) {
  bool good = starts[0] == 0 && starts[count] == entries;
  for (int64_t i = 0; i < count; ++i) good &= starts[i] <= starts[i + 1];
  if (!good) throw std::invalid_argument(std::string(name) + " does not rise from 0 to the number of entries");
}

inline void check_indices(const char* name, const int32_t* indices, int64_t count, int64_t limit) {
  bool good = true;
  for (int64_t i = 0; i < count; ++i) good &= indices[i] >= 0 && indices[i] < limit;
  if (!good)
    throw std::invalid_argument(std::string(name) + " holds an index outside 0 to " + std::to_string(limit - 1));
}

}  // namespace zoo

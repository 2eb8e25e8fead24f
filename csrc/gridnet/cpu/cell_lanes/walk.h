// The order in which the members of a team take the planes of a grid.
#pragma once
#include <atomic>

#include "core/thread_pool.h"
#include "gridnet/cpu/common.h"

namespace zoo::ZOO_ISA {

// Planes [begin, end), rising in even steps and falling in odd ones: a step begins with the planes that the step before
// it left in the cache.
struct PlaneOrder {
  int64_t first, end, next;

  PlaneOrder(int s, int64_t begin, int64_t after)
      : first(s % 2 ? after - 1 : begin), end(s % 2 ? begin - 1 : after), next(s % 2 ? -1 : 1) {}
};

// The planes that one member takes, one after another. Two members may share theirs, one from either end until they
// meet, so that a member that wakes late or is slowed down takes fewer. `taken` then counts the planes of both.
struct PlaneWalk {
  int64_t next, step, count;
  std::atomic<int64_t>* taken = nullptr;
  int64_t mine = 0;

  // This member's part of m planes, in the order of step s.
  static PlaneWalk alone(const Team& team, int64_t m, int s) {
    const PlaneOrder order(s, team.begin(m), team.end(m));
    return {order.first, order.next, team.end(m) - team.begin(m)};
  }
  // Shared with the neighbouring member: members 0 and 1 are a pair, members 2 and 3 the next.
  static PlaneWalk shared(const Team& team, int64_t m, std::atomic<int64_t>* taken) {
    const int64_t low = team.rank / 2 * 2, high = low + 2 < team.size ? low + 2 : team.size;
    const int64_t begin = m * low / team.size, end = m * high / team.size;
    return {team.rank == low ? begin : end - 1, team.rank == low ? 1 : -1, end - begin, taken};
  }
  // Takes the next plane and returns true, or false when none is left.
  bool take(int64_t& z) {
    if ((taken ? taken->fetch_add(1, std::memory_order_relaxed) : mine) >= count) return false;
    z = next;
    next += step;
    ++mine;
    return true;
  }
};

}  // namespace zoo::ZOO_ISA

// A small thread pool. OpenMP would bring a second runtime, which competes with torch's for the cores. Threads sleep
// between calls and never spin for long: spinning for 260 us after a call saved 50 us of waking up in the next call on
// one picture, but delayed torch's own threads by as much. The pool survives fork (the child starts its own).
#pragma once
#include <cstdint>

namespace zoo {

// One thread's view of the team of threads that runs a kernel.
struct Team {
  int rank;
  int size;
  int group;  // the index of this team after split(), else 0
  void* shared;

  void barrier() const;  // returns once every member has arrived

  // Splits the team into `groups` (1 to size) teams with barriers of their own. Only the whole team may be split.
  Team split(int groups) const;

  // This member's contiguous part [begin, end) of n items.
  // Always inlined: this header is compiled for several instruction sets, and no build may use the code of another.
  __attribute__((always_inline)) int64_t begin(int64_t n) const { return n * rank / size; }
  __attribute__((always_inline)) int64_t end(int64_t n) const { return n * (rank + 1) / size; }
};

constexpr int kMaxThreads = 256;
int clamp_threads(int threads);  // into 1 to kMaxThreads

using TeamBody = void (*)(const Team&, void* context);

// Runs body on `threads` (1 to kMaxThreads) threads and returns when all are done. The caller is rank 0. Calls are
// serialised.
void run_team(int threads, TeamBody body, void* context);

// run_team for a lambda.
template <class F>
void parallel(int threads, F& f) {
  run_team(threads, [](const Team& team, void* context) { (*static_cast<F*>(context))(team); }, &f);
}

}  // namespace zoo

// A small thread pool. Not OpenMP: a second OpenMP runtime beside torch's fights it over the cores. Threads sleep
// between calls and never spin for long: waiting awake for 260 us after a call saved a call on one picture 50 us of
// waking, and made whatever torch did next on several threads wait for as long. The pool survives fork (the child makes
// its own).
#pragma once
#include <cstdint>

namespace zoo {

// One thread's view of the team that runs a kernel.
struct Team {
  int rank;
  int size;
  int group;  // which of several teams this is, see split()
  void* shared;

  void barrier() const;  // every member arrives before any goes on

  // Cuts the team into `groups` (1 to size) teams with barriers of their own. Only the whole team may be split.
  Team split(int groups) const;

  // This member's contiguous part [begin, end) of n items.
  // Always inlined: this header is compiled for several instruction sets, and none may provide the others' copy.
  __attribute__((always_inline)) int64_t begin(int64_t n) const { return n * rank / size; }
  __attribute__((always_inline)) int64_t end(int64_t n) const { return n * (rank + 1) / size; }
};

constexpr int kMaxThreads = 256;
int clamp_threads(int threads);  // into 1 to kMaxThreads

using TeamBody = void (*)(const Team&, void* context);

// Runs body on `threads` (1 to kMaxThreads) threads, the caller being rank 0, and returns when all are done. Calls are
// serialised.
void run_team(int threads, TeamBody body, void* context);

// run_team for a lambda.
template <class F>
void parallel(int threads, F& f) {
  run_team(threads, [](const Team& team, void* context) { (*static_cast<F*>(context))(team); }, &f);
}

}  // namespace zoo

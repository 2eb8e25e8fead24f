// A small thread pool. OpenMP would bring a second runtime, which competes with torch's for the cores. Threads sleep
// between calls and never spin for long: spinning for 260 us after a call saved 50 us of waking up in the next call on
// one picture, but delayed torch's own threads by as much. The pool survives fork (the child starts its own).
#pragma once
#include <atomic>
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

// Who runs a body. With `whoever_comes`, the caller does not wait for a thread that is late, as on a busy machine: it
// must be able to do all the work, for instance with Items, and members must not wait for each other at barriers.
enum class Members { all, whoever_comes };

// Runs body on `threads` (1 to kMaxThreads) threads and returns when all that have begun are done. The caller is rank 0.
// Calls on more than one thread are serialised.
void run_team(int threads, TeamBody body, void* context, Members members);

// run_team for a lambda.
template <class F>
void parallel(int threads, F& f, Members members = Members::all) {
  run_team(threads, [](const Team& team, void* context) { (*static_cast<F*>(context))(team); }, &f, members);
}

// Items that the threads of a team take one at a time.
class Items {
 public:
  explicit Items(int64_t count) : count_(count) {}

  // Calls f(item) for each item that this thread takes.
  template <class F>
  __attribute__((always_inline)) void each(F f) {
    for (int64_t item = next_.fetch_add(1, std::memory_order_relaxed); item < count_;
         item = next_.fetch_add(1, std::memory_order_relaxed))
      f(item);
  }

 private:
  std::atomic<int64_t> next_{0};
  int64_t count_;
};

// Calls f(item, rank) once for each of `count` items, on up to `threads` threads.
template <class F>
void hand_out(int threads, int64_t count, F f) {
  Items items(count);
  auto body = [&](const Team& team) { items.each([&](int64_t item) { f(item, team.rank); }); };
  parallel(threads < count ? threads : static_cast<int>(count < 1 ? 1 : count), body, Members::whoever_comes);
}

}  // namespace zoo

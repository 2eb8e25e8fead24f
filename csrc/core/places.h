// Keeps the threads of a call on processors of their own. Linux wakes a thread where it last ran, and on few processors
// it often looks for no idle one: a caller and its worker would share a processor, call after call, beside an idle one.
#pragma once
#include <atomic>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace zoo {

#if defined(__linux__)

// A worker thread, and the processor on which it last began to work.
class Place {
 public:
  // Called by the worker.
  void enter() {
    thread_.store(pthread_self(), std::memory_order_relaxed);
    processor_.store(sched_getcpu(), std::memory_order_release);
  }

 private:
  friend class Places;
  std::atomic<pthread_t> thread_{};
  std::atomic<int> processor_{-1};
};

// The processors on which the caller may run. Its threads take one each, the caller first.
class Places {
 public:
  Places() {
    known_ = sched_getaffinity(0, sizeof free_, &free_) == 0;
    if (known_) take(sched_getcpu());
  }

  // Moves a worker that would wake on the processor of the caller, or of a worker that came here before it. It may then
  // run on all that are left.
  void keep_apart(const Place& worker) {
    const int processor = worker.processor_.load(std::memory_order_acquire);
    if (!known_ || processor < 0 || take(processor) || CPU_COUNT(&free_) == 0) return;
    pthread_setaffinity_np(worker.thread_.load(std::memory_order_relaxed), sizeof free_, &free_);
  }

 private:
  bool take(int processor) {
    if (processor < 0 || processor >= CPU_SETSIZE || !CPU_ISSET(processor, &free_)) return false;
    CPU_CLR(processor, &free_);
    return true;
  }

  cpu_set_t free_;
  bool known_;
};

#else

struct Place {
  void enter() {}
};
struct Places {
  void keep_apart(const Place&) {}
};

#endif

}  // namespace zoo

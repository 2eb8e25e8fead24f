// State that a forked child must not inherit: mutexes that another thread of the parent held at the fork, threads that
// the child does not have, memory that a call was about to replace.
#pragma once
#include <atomic>

namespace zoo {

// Registers a cell with the handler that empties all cells in a forked child. Cells live for ever (namespace scope).
class PerProcessCell {
 public:
  PerProcessCell();
  PerProcessCell(const PerProcessCell&) = delete;
  PerProcessCell& operator=(const PerProcessCell&) = delete;

 protected:
  std::atomic<void*> current_{nullptr};

 private:
  static void empty_all();

  PerProcessCell* next_;
};

// One T per process, made when it is first used and never destroyed. A forked child leaves its parent's alone and makes
// its own: it shares no lock with the parent, so a fork waits for no call, and no child for a thread that it lacks.
template <class T>
class PerProcess : PerProcessCell {
 public:
  T& get() {
    void* found = current_.load(std::memory_order_acquire);
    if (found) return *static_cast<T*>(found);
    T* const made = new T;
    if (current_.compare_exchange_strong(found, made, std::memory_order_acq_rel)) return *made;
    delete made;  // another thread was faster
    return *static_cast<T*>(found);
  }
};

}  // namespace zoo

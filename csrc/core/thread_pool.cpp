#include "core/thread_pool.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "core/per_process.h"
#include "core/places.h"

namespace zoo {
namespace {

// Tells the processor that this thread is only waiting, so that another thread of the same core gets its units.
void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Between ten and a hundred microseconds. A thread that yields sooner may lose its processor to a thread of torch's,
// which spin for milliseconds after their work, and all others then wait for it at the next barrier.
constexpr int kSpins = 2000;

struct alignas(64) Barrier {
  std::atomic<int> arrived{0};
  std::atomic<int> generation{0};

  void wait(int size) {
    const int now = generation.load(std::memory_order_acquire);
    if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
      arrived.store(0, std::memory_order_relaxed);
      generation.store(now + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; generation.load(std::memory_order_acquire) == now; ++spins) {
      if (spins < kSpins) relax();
      else std::this_thread::yield();
    }
  }
};

class Pool {
 public:
  void run(int threads, TeamBody body, void* context, Members members) {
    if (threads == 1) return body(Team{0, 1, 0, barriers_}, context);
    std::lock_guard<std::mutex> one_at_a_time(call_);
    grow(threads - 1);
    Places places;
    for (int i = 0; i < threads - 1; ++i) places.keep_apart(workers_[static_cast<size_t>(i)]);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      body_ = body;
      context_ = context;
      size_ = threads;
      begun_ = finished_ = 0;
      ++round_;
    }
    wake_.notify_all();
    body(Team{0, threads, 0, barriers_}, context);
    std::unique_lock<std::mutex> lock(mutex_);
    if (members == Members::whoever_comes) size_ = 0;  // who comes now is too late
    const int awaited = members == Members::all ? threads - 1 : begun_;
    done_.wait(lock, [&] { return finished_ == awaited; });
  }

 private:
  void grow(int workers) {
    std::lock_guard<std::mutex> lock(mutex_);
    while (static_cast<int>(workers_.size()) < workers) {
      Place& place = workers_.emplace_back();
      const int rank = static_cast<int>(workers_.size());
      std::thread([this, &place, rank, seen = round_] { work(place, rank, seen); }).detach();
    }
  }

  void work(Place& place, int rank, uint64_t seen) {
    for (;;) {
      TeamBody body;
      void* context;
      int size;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return round_ != seen; });
        seen = round_;
        body = body_;
        context = context_;
        size = size_;
        if (rank >= size) continue;
        ++begun_;
      }
      place.enter();
      body(Team{rank, size, 0, barriers_}, context);
      std::lock_guard<std::mutex> lock(mutex_);
      ++finished_;
      done_.notify_one();
    }
  }

  std::mutex call_, mutex_;
  std::condition_variable wake_, done_;
  std::deque<Place> workers_;          // which never moves its elements
  Barrier barriers_[kMaxThreads + 1];  // of the whole team, then of each group
  TeamBody body_ = nullptr;
  void* context_ = nullptr;
  int size_ = 0;
  int begun_ = 0, finished_ = 0;  // workers, in this round
  uint64_t round_ = 0;
};

// Never destroyed, because its detached threads may outlive static destruction.
PerProcess<Pool> pool;

}  // namespace

void Team::barrier() const {
  if (size > 1) static_cast<Barrier*>(shared)->wait(size);
}

Team Team::split(int groups) const {
  const int mine = rank * groups / size;
  const auto first_rank = [&](int g) { return (g * size + groups - 1) / groups; };
  Barrier* barriers = static_cast<Barrier*>(shared);
  return {rank - first_rank(mine), first_rank(mine + 1) - first_rank(mine), mine, barriers + 1 + mine};
}

int clamp_threads(int threads) { return threads < 1 ? 1 : threads > kMaxThreads ? kMaxThreads : threads; }

void run_team(int threads, TeamBody body, void* context, Members members) {
  pool.get().run(threads, body, context, members);
}

}  // namespace zoo

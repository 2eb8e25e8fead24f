// Runs plain CUDA C++ kernels on the CPU, to test their logic where there is no GPU.
//
//   g++ -std=c++20 -O1 -pthread -include tests/support/cuda_shim.h -x c++ kernel.cu
//
// Every CUDA thread is a fiber; the CTAs of a launch are spread over OS threads. It checks what a GPU does not:
//   - a barrier or warp operation that some thread never reaches aborts and names that thread;
//   - CUDASHIM_SEED=n in the environment shuffles the order of threads between barriers: a missing __syncthreads shows
//     as a wrong result;
//   - device and shared memory start as NaN;
//   - in LAUNCH_TOGETHER, whose CTAs wait for each other at grid_barrier(), every CTA is an OS thread of its own; one
//     that never reaches the barrier aborts;
//   - a launch fails with more shared memory than the kernel has permission for, or than the device has beside what the
//     kernel declares, and with a grid beyond the device's limits; so does taking permission away from a kernel, which
//     another thread may be about to launch;
//   - a failed call stays this thread's last error until cudaGetLastError();
//   - -DCUDASHIM_OSTHREADS makes every CUDA thread an OS thread, one CTA at a time: slow, for -fsanitize=thread.
// CUDASHIM_SHARED_BYTES sets the shared memory a CTA may have, CUDASHIM_STATIC_BYTES how much of it every kernel
// declares, CUDASHIM_THREADS the OS threads, CUDASHIM_RESIDENT_CTAS how many CTAs the device holds at once (0: no
// LAUNCH_TOGETHER; -1: it does not say), CUDASHIM_LOST that no call works any more. Fibers switch by a few instructions on x86-64 and by ucontext elsewhere or with
// -DCUDASHIM_UCONTEXT. -DCUDASHIM_HALF adds __half.
// Not covered: cooperative groups other than the whole grid, asynchronous copies, tensor cores.
#pragma once
#define ZOO_CUDA_SHIM

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#if defined(CUDASHIM_OSTHREADS)
#include <barrier>
#elif !defined(__x86_64__) && !defined(CUDASHIM_UCONTEXT)
#define CUDASHIM_UCONTEXT
#endif
#if defined(CUDASHIM_UCONTEXT)
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#if defined(CUDASHIM_OSTHREADS)
#define __shared__ static
#else
#define __shared__ thread_local
#endif

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  uint64_t count() const { return uint64_t{x} * y * z; }
};
struct uint3 {
  unsigned x, y, z;
};

namespace shim {

constexpr int kBadValue = 1, kBadThreads = 9, kLost = 719, kTooManyCtas = 720;  // as cudaError_t numbers them
inline std::atomic<uint64_t> launches{0};                                       // since a test set it to 0

constexpr unsigned kWarp = 32;
constexpr unsigned kMostThreads = 1024;

inline uint3 unflatten(uint64_t i, const dim3& size) {
  return {unsigned(i % size.x), unsigned(i / size.x % size.y), unsigned(i / size.x / size.y)};
}

enum class State : uint8_t { ready, at_barrier, at_grid_barrier, at_warp_op, done };

// The barrier of the CTAs of a LAUNCH_TOGETHER.
class GridBarrier {
 public:
  explicit GridBarrier(uint64_t ctas) : ctas_(ctas) {}
  void arrive_and_wait() {
    std::unique_lock lock(mutex_);
    if (++waiting_ < ctas_) {
      die_if_one_is_missing();
      const uint64_t round = round_;
      released_.wait(lock, [&] { return round_ != round; });
      return;
    }
    waiting_ = 0;
    ++round_;
    released_.notify_all();
  }
  void finish() {
    const std::lock_guard lock(mutex_);
    ++finished_;
    die_if_one_is_missing();
  }

 private:
  void die_if_one_is_missing() const {
    if (waiting_ == 0 || finished_ == 0) return;
    fprintf(stderr, "cuda_shim: a CTA waits at a grid barrier that another CTA never reaches\n");
    abort();
  }

  std::mutex mutex_;
  std::condition_variable released_;
  uint64_t ctas_, waiting_ = 0, finished_ = 0, round_ = 0;
};

struct Fiber {
#if defined(CUDASHIM_UCONTEXT)
  ucontext_t context;
#else
  void* stack_pointer = nullptr;
#endif
  uint3 index{};
  unsigned id = 0;
  State state = State::ready;
  uint32_t mask = 0;  // lanes of the warp operation it waits in
};

struct Cta {
  uint3 index{};
  dim3 threads, ctas;
  char* shared = nullptr;
  std::vector<Fiber> fibers;
  std::vector<std::array<uint64_t, kWarp>> exchange;  // a slot per lane of every warp
  std::function<void()>* body = nullptr;
  GridBarrier* grid_barrier = nullptr;  // in LAUNCH_TOGETHER
  unsigned live = 0;
#if defined(CUDASHIM_UCONTEXT)
  ucontext_t scheduler;
#else
  void* scheduler = nullptr;
#endif
};

inline thread_local Cta* cta;
inline thread_local Fiber* self;

// Shared memory of a CTA, filled with NaN. No byte more than asked for, so that AddressSanitizer sees an overrun.
class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes) : bytes_(bytes), memory_(new char[bytes]) {}
  char* fresh() {
    memset(memory_.get(), 0xff, bytes_);
    return memory_.get();
  }

 private:
  size_t bytes_;
  std::unique_ptr<char[]> memory_;
};

inline unsigned environment(const char* name, unsigned otherwise) {
  const char* value = getenv(name);
  return value != nullptr ? unsigned(atoi(value)) : otherwise;
}

// What the device and its kernels allow.
inline size_t shared_bytes_of_device() {
  constexpr unsigned kOfH100 = 232448;
  return environment("CUDASHIM_SHARED_BYTES", kOfH100);
}
inline size_t static_shared_bytes() { return environment("CUDASHIM_STATIC_BYTES", 0); }

inline std::mutex permissions_mutex;
inline std::map<const void*, size_t> permissions;  // bytes of shared memory, of kernels that asked for more

inline int give_permission(const void* kernel, int bytes) {
  const std::lock_guard lock(permissions_mutex);
  size_t& given = permissions[kernel];
  if (bytes < 0 || size_t(bytes) + static_shared_bytes() > shared_bytes_of_device()) return kBadValue;
  if (size_t(bytes) < given) return kBadValue;  // another thread may be about to launch it
  given = size_t(bytes);
  return 0;
}

inline int check_device() { return getenv("CUDASHIM_LOST") != nullptr ? kLost : 0; }

inline int check_launch(const void* kernel, dim3 ctas, size_t shared_bytes) {
  constexpr size_t kWithoutPermission = 48 * 1024;
  if (check_device() != 0) return check_device();
  const std::lock_guard lock(permissions_mutex);
  const auto found = permissions.find(kernel);
  const size_t allowed = std::max(found == permissions.end() ? 0 : found->second, kWithoutPermission);
  const bool fits = ctas.x < 1u << 31 && ctas.y < 1u << 16 && ctas.z < 1u << 16;
  return fits && ctas.count() > 0 && shared_bytes <= allowed ? 0 : kBadValue;
}

#if defined(CUDASHIM_OSTHREADS)

inline std::unique_ptr<std::barrier<>> cta_barrier, warp_barrier[kMostThreads / kWarp];

inline void wait(State state) {
  // One CTA at a time: LAUNCH_TOGETHER has a single one.
  if (state == State::at_barrier || state == State::at_grid_barrier) return cta_barrier->arrive_and_wait();
  warp_barrier[self->id / kWarp]->arrive_and_wait();  // takes operations of whole warps only
}

inline void begin_cta(Cta& block, uint64_t i, SharedMemory& shared) {
  const unsigned count = unsigned(block.threads.count());
  block.index = unflatten(i, block.ctas);
  block.shared = shared.fresh();
  cta_barrier = std::make_unique<std::barrier<>>(count);
  for (unsigned w = 0; w * kWarp < count; ++w) {
    warp_barrier[w] = std::make_unique<std::barrier<>>(std::min(kWarp, count - w * kWarp));
  }
}

template <class F>
int launch(dim3 ctas, dim3 threads, size_t shared_bytes, F body) {
  const unsigned count = unsigned(threads.count());
  if (count == 0 || count > kMostThreads) return kBadThreads;
  SharedMemory shared(shared_bytes);
  Cta block;
  block.threads = threads;
  block.ctas = ctas;
  block.fibers.resize(count);
  block.exchange.resize((count + kWarp - 1) / kWarp);
  std::barrier<> between_ctas(count);
  std::vector<std::thread> workers;
  for (unsigned t = 0; t < count; ++t) {
    workers.emplace_back([&, t] {
      cta = &block;
      self = &block.fibers[t];
      self->index = unflatten(t, threads);
      self->id = t;
      for (uint64_t i = 0; i < ctas.count(); ++i) {
        between_ctas.arrive_and_wait();
        if (t == 0) begin_cta(block, i, shared);
        between_ctas.arrive_and_wait();
        body();
        warp_barrier[t / kWarp]->arrive_and_drop();
        cta_barrier->arrive_and_drop();
      }
    });
  }
  for (auto& worker : workers) worker.join();
  return 0;
}

constexpr unsigned kMostResidentCtas = 1;

template <class F>
int launch_together(dim3 ctas, dim3 threads, size_t shared_bytes, F body) {
  return ctas.count() > kMostResidentCtas ? kTooManyCtas : launch(ctas, threads, shared_bytes, body);
}

#else

constexpr size_t kStackBytes = 64 * 1024;

#if !defined(CUDASHIM_UCONTEXT)

// Saves the callee-saved registers, swaps stacks and returns on the other one: a few nanoseconds.
asm(R"(
.text
.weak shim_switch
.type shim_switch,@function
shim_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp,(%rdi)
  mov %rsi,%rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size shim_switch,.-shim_switch
)");
extern "C" void shim_switch(void** save, void* to);

inline void leave(Fiber& fiber) { shim_switch(&fiber.stack_pointer, cta->scheduler); }
inline void enter(Fiber& fiber) { shim_switch(&cta->scheduler, fiber.stack_pointer); }

[[noreturn]] inline void fiber_main() {
  (*cta->body)();
  self->state = State::done;
  --cta->live;
  leave(*self);
  abort();
}

inline void prepare(Fiber& fiber, char* stack, size_t bytes) {
  constexpr int kSavedRegisters = 6;
  void** top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + bytes) & ~uintptr_t{15});
  *--top = nullptr;  // keeps the stack aligned as after a call
  *--top = reinterpret_cast<void*>(fiber_main);
  top -= kSavedRegisters;
  std::fill(top, top + kSavedRegisters, nullptr);
  fiber.stack_pointer = top;
}

#else

inline void leave(Fiber& fiber) { swapcontext(&fiber.context, &cta->scheduler); }
inline void enter(Fiber& fiber) { swapcontext(&cta->scheduler, &fiber.context); }

inline void fiber_main() {
  (*cta->body)();
  self->state = State::done;
  --cta->live;
  leave(*self);
}

inline void prepare(Fiber& fiber, char* stack, size_t bytes) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
}

#endif

inline void wait(State state) {
  self->state = state;
  leave(*self);
}

[[noreturn]] inline void die_of_deadlock() {
  fprintf(stderr, "cuda_shim: deadlock in CTA (%u,%u,%u)\n", cta->index.x, cta->index.y, cta->index.z);
  for (const Fiber& f : cta->fibers) {
    if (f.state == State::done) continue;
    const char* where = f.state == State::at_barrier        ? "__syncthreads"
                        : f.state == State::at_grid_barrier ? "a grid barrier"
                                                            : "a warp operation";
    fprintf(stderr, "  thread (%u,%u,%u) waits at %s that another thread never reaches\n", f.index.x, f.index.y,
            f.index.z, where);
    break;
  }
  abort();
}

// Wakes the warp groups all of whose lanes have arrived with the same mask.
inline bool release_warp_operations() {
  std::vector<Fiber>& fibers = cta->fibers;
  bool woke = false;
  for (Fiber& first : fibers) {
    const unsigned base = first.id / kWarp * kWarp;
    const bool leads = (first.mask & ((1u << (first.id - base)) - 1)) == 0;
    if (first.state != State::at_warp_op || !leads) continue;
    const uint32_t mask = first.mask;
    bool complete = true;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      const unsigned id = base + lane;
      complete &= id < fibers.size() && fibers[id].state == State::at_warp_op && fibers[id].mask == mask;
    }
    if (!complete) continue;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if (mask >> lane & 1) fibers[base + lane].state = State::ready;
    }
    woke = true;
  }
  return woke;
}

inline unsigned count_waiting(State where) {
  return unsigned(
      std::count_if(cta->fibers.begin(), cta->fibers.end(), [&](const Fiber& f) { return f.state == where; }));
}

inline void wake_all(State where) {
  for (Fiber& f : cta->fibers) {
    if (f.state == where) f.state = State::ready;
  }
}

// Wakes everyone once all threads that still run are at the barrier; threads that returned do not count.
inline bool release_barrier() {
  if (cta->live == 0 || count_waiting(State::at_barrier) != cta->live) return false;
  wake_all(State::at_barrier);
  return true;
}

// Waits for the other CTAs once all threads of this one are at the grid's barrier; none may have returned.
inline bool pass_grid_barrier() {
  if (cta->grid_barrier == nullptr || count_waiting(State::at_grid_barrier) != cta->fibers.size()) return false;
  cta->grid_barrier->arrive_and_wait();
  wake_all(State::at_grid_barrier);
  return true;
}

inline void run_cta(Cta& block, char* stacks, unsigned seed) {
  cta = &block;
  const unsigned count = unsigned(block.threads.count());
  block.fibers.assign(count, Fiber{});
  block.exchange.resize((count + kWarp - 1) / kWarp);
  block.live = count;
  for (unsigned t = 0; t < count; ++t) {
    constexpr size_t kStagger = 192;  // keeps the tops of the stacks out of one cache set
    block.fibers[t].index = unflatten(t, block.threads);
    block.fibers[t].id = t;
    prepare(block.fibers[t], stacks + t * kStackBytes, kStackBytes - t % 61 * kStagger);
  }
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  std::minstd_rand random(seed);
  while (block.live > 0) {
    bool ran = false;
    if (seed != 0) std::shuffle(order.begin(), order.end(), random);
    for (unsigned t : order) {
      if (block.fibers[t].state != State::ready) continue;
      ran = true;
      self = &block.fibers[t];
      enter(*self);
    }
    const bool woke_warps = release_warp_operations(), woke_all = release_barrier() || pass_grid_barrier();
    if (!ran && !woke_warps && !woke_all && block.live > 0) die_of_deadlock();
  }
}

// An OS thread's memory for the CTAs that it runs, one after another.
class CtaRunner {
 public:
  CtaRunner(dim3 ctas, dim3 threads, size_t shared_bytes, std::function<void()>& kernel, GridBarrier* barrier = nullptr)
      : stacks_(new char[threads.count() * kStackBytes]), shared_(shared_bytes) {
    block_.threads = threads;
    block_.ctas = ctas;
    block_.body = &kernel;
    block_.grid_barrier = barrier;
  }

  void run(uint64_t i) {
    const unsigned seed = environment("CUDASHIM_SEED", 0);
    block_.index = unflatten(i, block_.ctas);
    block_.shared = shared_.fresh();
    run_cta(block_, stacks_.get(), seed != 0 ? seed + 7919 * unsigned(i) + 1 : 0);
  }

 private:
  std::unique_ptr<char[]> stacks_;
  SharedMemory shared_;
  Cta block_;
};

template <class F>
int launch(dim3 ctas, dim3 threads, size_t shared_bytes, F body) {
  if (threads.count() == 0 || threads.count() > kMostThreads) return kBadThreads;
  std::function<void()> kernel = body;
  std::atomic<uint64_t> next{0};
  const auto work = [&] {
    CtaRunner runner(ctas, threads, shared_bytes, kernel);
    for (uint64_t i; (i = next++) < ctas.count();) runner.run(i);
  };
  std::vector<std::thread> workers;
  const unsigned wanted = environment("CUDASHIM_THREADS", std::max(1u, std::thread::hardware_concurrency()));
  for (unsigned i = 0; i < std::min<uint64_t>(wanted, ctas.count()); ++i) workers.emplace_back(work);
  for (auto& worker : workers) worker.join();
  return 0;
}

constexpr unsigned kMostResidentCtas = 64;

// Every CTA is an OS thread, because static shared memory is thread_local.
template <class F>
int launch_together(dim3 ctas, dim3 threads, size_t shared_bytes, F body) {
  if (threads.count() == 0 || threads.count() > kMostThreads) return kBadThreads;
  if (ctas.count() > kMostResidentCtas) return kTooManyCtas;
  std::function<void()> kernel = body;
  GridBarrier barrier(ctas.count());
  const auto work = [&](uint64_t i) {
    CtaRunner(ctas, threads, shared_bytes, kernel, &barrier).run(i);
    barrier.finish();
  };
  std::vector<std::thread> workers;
  for (uint64_t i = 0; i < ctas.count(); ++i) workers.emplace_back(work, i);
  for (auto& worker : workers) worker.join();
  return 0;
}

#endif

inline int resident_ctas() {
  const int most = int(kMostResidentCtas), wanted = int(environment("CUDASHIM_RESIDENT_CTAS", kMostResidentCtas));
  return std::min(wanted, most);
}

inline thread_local int last_error = 0;  // of the functions that a host thread calls

inline int remember(int status) {
  if (status != 0) last_error = status;
  return status;
}

template <class... Parameters, class Run>
void start(void (*kernel)(Parameters...), dim3 ctas, size_t shared_bytes, Run run) {
  ++launches;
  const int refused = check_launch(reinterpret_cast<const void*>(kernel), ctas, shared_bytes);
  remember(refused != 0 ? refused : run());
}

template <class T>
T shuffle(uint32_t mask, T value, unsigned source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  auto& slots = cta->exchange[self->id / kWarp];
  memcpy(&slots[self->id % kWarp], &value, sizeof value);
  self->mask = mask;
  wait(State::at_warp_op);
  T result = value;
  if (source < kWarp && (mask >> source & 1)) memcpy(&result, &slots[source], sizeof result);
  wait(State::at_warp_op);
  return result;
}

}  // namespace shim

#define threadIdx (shim::self->index)
#define blockIdx (shim::cta->index)
#define blockDim (shim::cta->threads)
#define gridDim (shim::cta->ctas)

#define DYNSHARED(T, name) T* name = reinterpret_cast<T*>(shim::cta->shared)
#define LAUNCH(kernel, grid, block, shared, stream, ...) \
  (static_cast<void>(stream),                            \
   shim::start(kernel, grid, shared, [=] { return shim::launch(grid, block, shared, [=] { kernel(__VA_ARGS__); }); }))

#define LAUNCH_TOGETHER(kernel, grid, block, shared, stream, argument)             \
  (static_cast<void>(stream), shim::start(kernel, grid, shared, [=] {              \
     return shim::launch_together(grid, block, shared, [=] { kernel(argument); }); \
   }))

inline void grid_barrier() { shim::wait(shim::State::at_grid_barrier); }
inline void __syncthreads() { shim::wait(shim::State::at_barrier); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  return shim::shuffle(mask, value, (shim::self->id % shim::kWarp) ^ unsigned(lane_mask));
}

// bfloat16 storage, rounded to nearest even.
struct __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    bits = std::isnan(value) ? 0x7fff : uint16_t((word + 0x7fff + (word >> 16 & 1)) >> 16);
  }
  operator float() const {
    const uint32_t word = uint32_t{bits} << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
  }
};

#if defined(CUDASHIM_HALF)  // for with_type, which compiles a third more kernels with it
// IEEE half storage, rounded to nearest even.
struct __half {
  uint16_t bits;
  __half() = default;
  explicit __half(float value) {
    constexpr float kLeastNormal = 0x1p-14f, kHalf = 0.5f;  // 0.5 has the last bit of the subnormals
    const float magnitude = std::fabs(value);
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) {
      bits = 0x7fff;
    } else if (magnitude >= 0x1p16f) {
      bits = sign | 0x7c00;
    } else if (magnitude < kLeastNormal) {
      bits = sign | uint16_t(word_of(magnitude + kHalf) - word_of(kHalf));
    } else {  // a carry out of 65504 gives infinity
      const uint32_t word = word_of(magnitude) - (112u << 23);
      bits = sign | uint16_t((word + 0xfff + (word >> 13 & 1)) >> 13);
    }
  }
  operator float() const {
    const int exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
    const float magnitude = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                            : exponent == 0 ? std::ldexp(float(fraction), -24)
                                            : std::ldexp(float(fraction + 1024), exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
  }

 private:
  static uint32_t word_of(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
  }
};
#endif

using std::max;
using std::min;
using std::sqrt;

using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
enum {
  cudaFuncAttributeMaxDynamicSharedMemorySize,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrCooperativeLaunch,
  cudaDevAttrMultiProcessorCount,
};
struct cudaFuncAttributes {
  size_t sharedSizeBytes;
};

inline const char* cudaGetErrorString(cudaError_t status) {
  return status == shim::kTooManyCtas  ? "too many CTAs to be resident at once"
         : status == shim::kBadThreads ? "too many or no threads"
         : status == shim::kLost       ? "unspecified launch failure"
                                       : "invalid argument";
}
inline cudaError_t cudaGetLastError() { return std::exchange(shim::last_error, cudaSuccess); }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0; }
// One multiprocessor, which can launch CTAs together.
inline cudaError_t cudaDeviceGetAttribute(int* value, int attribute, int) {
  const bool shared = attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin;
  *value = shim::check_device() != 0 ? 0 : shared ? int(shim::shared_bytes_of_device()) : 1;
  return shim::remember(shim::check_device());
}
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  attributes->sharedSizeBytes = shim::static_shared_bytes();
  return shim::remember(shim::check_device());
}
inline cudaError_t cudaFuncSetAttribute(const void* kernel, int, int bytes) {
  return shim::remember(shim::give_permission(kernel, bytes));
}
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* ctas, const void*, int, size_t) {
  *ctas = shim::resident_ctas();
  return shim::remember(*ctas < 0 ? shim::kBadValue : cudaSuccess);
}
using cudaStream_t = void*;
enum { cudaMemcpyDeviceToDevice };
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, int, cudaStream_t) {
  if (bytes > 0) memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t) {
  if (bytes > 0) memset(to, byte, bytes);
  return cudaSuccess;
}

// Scratch memory of an op. A call lays out typed blocks in it; it grows to the largest call and is reused, because
// fresh large buffers cost a page fault per 4 kB on every call.
//
//   struct Buffers { float* inputs; int32_t* order; };
//   const Buffers buffers = workspace.lay_out([&](Arena& arena) {
//     return Buffers{.inputs = arena.take<float>(rows * columns), .order = arena.take<int32_t>(rows)};
//   });
//
// Members that kernels call are always inlined: this header is compiled for several instruction sets, and no build may
// use the code of another.
#pragma once
#include <cstddef>
#include <cstdint>
#include <new>

namespace zoo {

// Asks the C library to keep large freed blocks for the next allocation, instead of returning them to the system. A
// training step allocates and frees the same tensors every time, and would pay a page fault per 4 kB of them. Affects
// the whole process; does nothing outside glibc.
void keep_freed_memory();

// Asks for huge pages where [data, data + bytes) has not been touched yet. With small pages, a pass over a large buffer
// needs an address translation, and loses the hardware's prefetches, every 4 kB. Does nothing outside Linux.
void prefer_huge_pages(void* data, size_t bytes);

// Hands out typed blocks of memory, one after another, each aligned to 64 bytes. Without memory it only measures: it
// returns null and counts the bytes.
class Arena {
 public:
  static constexpr size_t kAlignment = 64;

  __attribute__((always_inline)) explicit Arena(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}

  // n elements, not initialised. An n of 0 takes nothing; the pointer may then equal the next block's.
  template <class T>
  __attribute__((always_inline)) T* take(int64_t n) {
    T* const block = memory_ ? reinterpret_cast<T*>(memory_ + used_) : nullptr;
    used_ += (static_cast<size_t>(n) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return block;
  }

  __attribute__((always_inline)) bool measures() const { return memory_ == nullptr; }
  __attribute__((always_inline)) size_t used() const { return used_; }  // bytes

 private:
  char* memory_;
  size_t used_ = 0;
};

class Workspace {
 public:
  // Returns make(arena), whose blocks are valid until the next call. `make` runs twice and must take the same blocks
  // both times: first to measure, then with the memory. Throws std::bad_alloc.
  template <class Make>
  __attribute__((always_inline)) auto lay_out(Make make) {
    Arena measured;
    make(measured);
    Arena arena(reserve(measured.used()));
    return make(arena);
  }

 private:
  // At least `bytes` bytes, aligned to Arena::kAlignment, or to a huge page if there are many. Throws std::bad_alloc.
  void* reserve(size_t bytes);

  void* memory_ = nullptr;
  size_t size_ = 0;  // bytes
  std::align_val_t alignment_{};
};

}  // namespace zoo

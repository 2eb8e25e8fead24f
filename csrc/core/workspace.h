// Scratch memory that grows and is reused: fresh large buffers cost a page fault per 4 kB on every call.
#pragma once
#include <cstddef>

namespace zoo {

// Asks the C library to keep large freed blocks for the next allocation instead of handing them back to the system.
// A training step allocates and frees the same tensors every time, and pays a page fault per 4 kB of them otherwise.
// Affects the whole process; does nothing outside glibc.
void keep_freed_memory();

// Asks for huge pages where [data, data + bytes) is yet to be touched: a large buffer that is written and read once
// takes a look-up, and loses what was fetched ahead, every 4 kB otherwise. Does nothing outside Linux.
void prefer_huge_pages(void* data, size_t bytes);

class Workspace {
 public:
  static constexpr int kSlots = 19;

  // At least this many bytes, aligned to 64 (to a huge page when large). The contents are whatever the last user of
  // the slot left there. Throws std::bad_alloc.
  void* bytes(int slot, size_t count);

  template <class T>
  __attribute__((always_inline)) T* get(int slot, size_t n) {
    return static_cast<T*>(bytes(slot, n * sizeof(T)));
  }

 private:
  struct Buffer {
    void* data = nullptr;
    size_t bytes = 0;
  };
  Buffer buffers_[kSlots];
};

}  // namespace zoo

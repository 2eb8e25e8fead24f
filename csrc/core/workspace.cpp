#include "core/workspace.h"

#include <stdlib.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cstdint>
#include <new>

namespace zoo {

void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2147483647);
#endif
}

constexpr size_t kHugePage = size_t{2} << 20;

void prefer_huge_pages(void* data, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / kHugePage * kHugePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

namespace {

// Grows [data, data + bytes) to hold `wanted` bytes.
void grow(void*& data, size_t& bytes, size_t wanted) {
  if (wanted <= bytes) return;
  std::free(data);
  data = nullptr;
  bytes = 0;
  const size_t align = wanted >= kHugePage ? kHugePage : Arena::kAlignment;
  const size_t rounded = (wanted + align - 1) / align * align;
  data = std::aligned_alloc(align, rounded);
  if (!data) throw std::bad_alloc();
  prefer_huge_pages(data, rounded);
  bytes = rounded;
}

}  // namespace

void* Workspace::reserve(size_t bytes) {
  grow(memory_.data, memory_.bytes, bytes + Arena::kAlignment);  // never 0
  return memory_.data;
}

void* Workspace::bytes(int slot, size_t count) {
  grow(buffers_[slot].data, buffers_[slot].bytes, count + 64);
  return buffers_[slot].data;
}

}  // namespace zoo

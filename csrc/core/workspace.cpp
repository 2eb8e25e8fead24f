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

void* Workspace::reserve(size_t bytes) {
  bytes += Arena::kAlignment;  // never 0
  if (bytes <= size_) return memory_;
  std::free(memory_);
  memory_ = nullptr;
  size_ = 0;
  const size_t align = bytes >= kHugePage ? kHugePage : Arena::kAlignment;
  const size_t rounded = (bytes + align - 1) / align * align;
  memory_ = std::aligned_alloc(align, rounded);
  if (!memory_) throw std::bad_alloc();
  prefer_huge_pages(memory_, rounded);
  size_ = rounded;
  return memory_;
}

}  // namespace zoo

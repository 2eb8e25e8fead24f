#include "core/workspace.h"

#ifndef _WIN32
#include <sys/mman.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cstdint>

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
  if (memory_) ::operator delete(memory_, alignment_);
  memory_ = nullptr;
  size_ = 0;
  alignment_ = std::align_val_t{bytes >= kHugePage ? kHugePage : Arena::kAlignment};
  const size_t unit = static_cast<size_t>(alignment_), rounded = (bytes + unit - 1) / unit * unit;
  memory_ = ::operator new(rounded, alignment_);
  prefer_huge_pages(memory_, rounded);
  size_ = rounded;
  return memory_;
}

}  // namespace zoo

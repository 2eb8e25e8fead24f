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

void* Workspace::bytes(int slot, size_t count) {
  Buffer& buffer = buffers_[slot];
  const size_t wanted = count + 64;
  if (wanted > buffer.bytes) {
    std::free(buffer.data);
    buffer = {nullptr, 0};
    const size_t align = wanted >= kHugePage ? kHugePage : 64;
    const size_t rounded = (wanted + align - 1) / align * align;
    buffer.data = std::aligned_alloc(align, rounded);
    if (!buffer.data) throw std::bad_alloc();
    prefer_huge_pages(buffer.data, rounded);
    buffer.bytes = rounded;
  }
  return buffer.data;
}

}  // namespace zoo

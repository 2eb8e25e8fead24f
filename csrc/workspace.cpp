#include "workspace.h"

#include <stdlib.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <new>

namespace zoo {

void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2147483647);
#endif
}

void* Workspace::bytes(int slot, size_t count) {
  Buffer& buffer = buffers_[slot];
  const size_t wanted = count + 64;
  if (wanted > buffer.bytes) {
    std::free(buffer.data);
    buffer = {nullptr, 0};
    constexpr size_t kHuge = size_t{2} << 20;
    const size_t align = wanted >= kHuge ? kHuge : 64;
    const size_t rounded = (wanted + align - 1) / align * align;
    buffer.data = std::aligned_alloc(align, rounded);
    if (!buffer.data) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (align == kHuge) madvise(buffer.data, rounded, MADV_HUGEPAGE);
#endif
    buffer.bytes = rounded;
  }
  return buffer.data;
}

}  // namespace zoo

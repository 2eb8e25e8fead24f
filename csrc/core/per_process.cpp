#include "core/per_process.h"

#ifndef _WIN32
#include <pthread.h>
#endif

namespace zoo {
namespace {

PerProcessCell* first_cell = nullptr;  // written while the module loads

}  // namespace

PerProcessCell::PerProcessCell() : next_(first_cell) {
#ifndef _WIN32  // where no process forks
  if (!first_cell) pthread_atfork(nullptr, nullptr, &empty_all);
#endif
  first_cell = this;
}

// The child has one thread here, and allocates nothing: it forked at a moment that no thread of the parent chose.
void PerProcessCell::empty_all() {
  for (PerProcessCell* cell = first_cell; cell; cell = cell->next_) cell->current_.store(nullptr);
}

}  // namespace zoo

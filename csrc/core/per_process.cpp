#include "core/per_process.h"

#include <pthread.h>

namespace zoo {
namespace {

PerProcessCell* first_cell = nullptr;  // written while the module loads

}  // namespace

PerProcessCell::PerProcessCell() : next_(first_cell) {
  if (!first_cell) pthread_atfork(nullptr, nullptr, &empty_all);
  first_cell = this;
}

// The child has one thread here, and allocates nothing: it forked at a moment that no thread of the parent chose.
void PerProcessCell::empty_all() {
  for (PerProcessCell* cell = first_cell; cell; cell = cell->next_) cell->current_.store(nullptr);
}

}  // namespace zoo

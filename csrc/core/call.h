// Calls of one op share a workspace, so they take turns.
#pragma once
#include <mutex>

#include "core/per_process.h"
#include "core/workspace.h"

namespace zoo {

struct CallState {
  std::mutex mutex;
  Workspace workspace;
};

// Runs call(workspace) when no other call of the op is running in this process.
template <class Call>
auto take_turn(PerProcess<CallState>& calls, Call call) {
  CallState& state = calls.get();
  std::lock_guard<std::mutex> lock(state.mutex);
  return call(state.workspace);
}

}  // namespace zoo

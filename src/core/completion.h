// Completion: the callback that an asynchronous call answers with.
#pragma once

#include <functional>

#include "core/result.h"

namespace messaging::core {

// Called once, later, on the thread that made the call, and never inside that call. It is dropped uncalled only when the callee
// is destroyed first.
template <typename T>
using Completion = std::function<void(Result<T>)>;

}  // namespace messaging::core

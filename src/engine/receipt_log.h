// ReceiptLog: where receipts go (Redis). A port; repository implements it.
#pragma once

#include <functional>
#include <vector>

#include "core/message.h"
#include "core/result.h"

namespace messaging::engine {

// Loop thread only.
class ReceiptLog {
public:
    virtual ~ReceiptLog() = default;
    virtual bool up() const = 0;
    // At least one receipt. Completes once, later: ok when Redis has confirmed every one of them. After a failure some may have
    // been written; writing the same receipts again adds only those that are missing.
    virtual void write(const std::vector<core::Receipt>& receipts, std::function<void(core::Result<core::Unit>)> done) = 0;
};

}  // namespace messaging::engine

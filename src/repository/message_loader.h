// MessageLoader: many new messages by COPY, in transactions of a few thousand, so that sending starts at once.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "pg/session.h"

namespace messaging::repository {

// Blocking; one thread.
class MessageLoader {
public:
    explicit MessageLoader(pg::Session& session) : session_(session) {}

    core::Result<core::Unit> begin();
    core::Result<core::Unit> add(std::string_view recipient, std::string_view content);
    // Commits what was added since begin().
    core::Result<core::Unit> commit();

private:
    pg::Session& session_;
    std::string buffer_;
};

}  // namespace messaging::repository

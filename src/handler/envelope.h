// Envelope: the one JSON shape of every answer, and the one place where kinds of error become HTTP statuses.
#pragma once

#include <functional>
#include <string>

#include "core/json.h"
#include "core/result.h"
#include "http/message.h"

namespace messaging::handler {

// {"status":…,"message":…,"data":…,"meta":{…}}; the writers fill data and meta, and may be empty for null and {}.
using WriteJson = std::function<void(core::JsonWriter&)>;
http::Response answer(int status, const std::string& message, const WriteJson& data = {}, const WriteJson& meta_members = {});

struct Problem {
    int status = 500;
    std::string code;     // stable, snake_case
    std::string message;  // says what to do
};
http::Response answer(const Problem& problem);

// Never tells a client what the cause was when it is ours.
Problem to_problem(const core::Error& error);

}  // namespace messaging::handler

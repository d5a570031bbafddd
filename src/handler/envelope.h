// Envelope: the one JSON shape of every answer, and the one place where kinds of error become HTTP statuses.
#pragma once

#include <functional>
#include <string>

#include "core/json.h"
#include "core/result.h"
#include "http/message.h"

namespace messaging::handler {

using WriteJson = std::function<void(core::JsonWriter&)>;

struct Answer {
    int status = 200;
    std::string message;
    WriteJson data;          // writes one value; empty = null
    WriteJson meta_members;  // writes keys and values; empty = none
};

struct Problem {
    int status = 500;
    std::string code;          // stable, snake_case
    std::string message;       // says what to do
    std::string field{};       // of the body, or the query's parameter, that is wrong; empty = no single one
    WriteJson meta_members{};  // writes more keys and values beside the code; empty = none
};

// {"status":…,"message":…,"data":…,"meta":{…,"request_id":…}}
http::Response to_response(const Answer& answer, const std::string& request_id);
// The same with "data":null, the problem's members in meta, and the headers that go with the status.
http::Response to_response(const Problem& problem, const std::string& request_id);

// "code", and "field" where there is one.
void write_code(core::JsonWriter& json, const Problem& problem);

// An envelope that is written already, with the headers that every answer has.
http::Response to_response(int status, std::string body, const std::string& request_id);

// For an error of the service itself the problem does not contain the cause.
Problem to_problem(const core::Error& error);

// The problem of a request that is no valid HTTP, or that no handler has answered. `status` and `why` as in
// http_server::ServerOptions::default_response.
Problem refusal(int status, const std::string& why = "");

}  // namespace messaging::handler

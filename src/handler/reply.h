// Reply: answers one request, once. The request's id is in the answer and in the log.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/result.h"
#include "handler/envelope.h"
#include "http_server/server.h"

namespace messaging::handler {

inline constexpr const char* kUnansweredReason = "nothing has answered the request";

// Loop only. Copies share one answer: the first one given counts, so that a completion can hold a copy. When the last copy
// goes without an answer, the client gets a 500, and the fault is reported.
class Reply {
public:
    // Faults of ours, with the request's id; clients never see the error.
    using OnFault = std::function<void(const std::string& request_id, const core::Error& error)>;

    Reply(http_server::Responder responder, std::string request_id, const OnFault& on_fault);

    void send(const Answer& answer, const http::Headers& headers = {}) const;
    void send(const Problem& problem, const http::Headers& headers = {}) const;
    void send(const core::Error& error, Problem (*to)(const core::Error&) = to_problem) const;
    // An envelope that is written already.
    void send_body(int status, std::string body, const http::Headers& headers = {}) const;
    // As it is, but for the header X-Request-Id.
    void send(http::Response response) const;

private:
    struct State;
    std::shared_ptr<State> state_;
};

// The client's own X-Request-Id when it is 1 to 64 letters, digits, '.', '_' or '-'; else `fresh`.
std::string choose_request_id(const http::Request& request, const std::string& fresh);

}  // namespace messaging::handler

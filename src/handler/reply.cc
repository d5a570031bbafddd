// Sends an answer once, or an error where nothing has answered.
#include "handler/reply.h"

#include <algorithm>
#include <utility>

namespace messaging::handler {
namespace {

constexpr std::size_t kMaxRequestIdBytes = 64;

bool is_id_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

}  // namespace

struct Reply::State {
    http_server::Responder responder;
    std::string request_id;
    const OnFault& on_fault;
    bool sent = false;

    State(http_server::Responder responder_, std::string request_id_, const OnFault& on_fault_)
        : responder(std::move(responder_)), request_id(std::move(request_id_)), on_fault(on_fault_) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    // A server that has gone has answered already, and may have taken on_fault with it.
    ~State() {
        if (sent || !responder.pending()) return;
        const core::Error unanswered{core::ErrorKind::kInternal, kUnansweredReason};
        on_fault(request_id, unanswered);
        responder.send(to_response(to_problem(unanswered), request_id));
    }
    void send(http::Response response, const http::Headers& headers) {
        if (std::exchange(sent, true)) return;
        response.headers.insert(response.headers.end(), headers.begin(), headers.end());
        responder.send(response);
    }
};

Reply::Reply(http_server::Responder responder, std::string request_id, const OnFault& on_fault)
    : state_(std::make_shared<State>(std::move(responder), std::move(request_id), on_fault)) {}

void Reply::send(const Answer& answer, const http::Headers& headers) const {
    state_->send(to_response(answer, state_->request_id), headers);
}

void Reply::send(const Problem& problem, const http::Headers& headers) const {
    state_->send(to_response(problem, state_->request_id), headers);
}

void Reply::send(const core::Error& error, Problem (*to)(const core::Error&)) const {
    const Problem problem = to(error);
    if (problem.status >= 500) state_->on_fault(state_->request_id, error);
    send(problem);
}

void Reply::send_body(int status, std::string body, const http::Headers& headers) const {
    state_->send(to_response(status, std::move(body), state_->request_id), headers);
}

void Reply::send(http::Response response) const { state_->send(std::move(response), {{"X-Request-Id", state_->request_id}}); }

std::string choose_request_id(const http::Request& request, const std::string& fresh) {
    const std::string given(request.header("x-request-id").value_or(""));
    const bool usable =
        !given.empty() && given.size() <= kMaxRequestIdBytes && std::all_of(given.begin(), given.end(), is_id_character);
    return usable ? given : fresh;
}

}  // namespace messaging::handler

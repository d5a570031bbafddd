// Sends each answer when its time has come.
#include "commands/delayed_responses.h"

#include <utility>

namespace messaging::commands {

DelayedResponses::DelayedResponses(loop::EventLoop& loop) : timer_(loop.make_timer([this] { give_due(); })) {}

void DelayedResponses::start(std::chrono::milliseconds delay, http_server::Responder responder, http::Response response) {
    const auto added =
        waiting_.emplace(std::chrono::steady_clock::now() + delay, Answer{std::move(responder), std::move(response)});
    if (added == waiting_.begin()) arm();
}

void DelayedResponses::give_due() {
    const Time now = std::chrono::steady_clock::now();
    while (!waiting_.empty() && waiting_.begin()->first <= now) {
        auto first = waiting_.extract(waiting_.begin());
        first.mapped().responder.send(first.mapped().response);
    }
    arm();
}

void DelayedResponses::arm() {
    if (waiting_.empty()) return;
    timer_->start(std::chrono::ceil<std::chrono::milliseconds>(waiting_.begin()->first - std::chrono::steady_clock::now()));
}

}  // namespace messaging::commands

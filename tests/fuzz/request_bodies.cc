// POST /messages: any body is refused with a reason, or every message in it can be inserted. POST /endpoints/{id}/test: any body
// is refused, or its data is a JSON value by itself. POST /replays: any body is refused, or its filter names something.
#include "core/json.h"
#include "core/text.h"
#include "fuzz/fuzz.h"
#include "handler/endpoint_requests.h"
#include "handler/replay_requests.h"
#include "handler/requests.h"
#include "service/message_store.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t kMaxContent = 100;
    http::Request request;
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = fuzz::text_of(data, size);
    const auto checked_test = handler::read_test(request);
    if (const auto* test = std::get_if<service::EndpointTest>(&checked_test)) {
        fuzz::promise(core::JsonDocument::parse(test->data).ok(), "the data of a test is JSON");
    }
    const auto checked_replay = handler::read_new_replay(request);
    if (const auto* replay = std::get_if<handler::NewReplay>(&checked_replay)) {
        const service::ReplayFilter& filter = replay->filter;
        fuzz::promise(filter.endpoint || filter.since || filter.event_type || filter.tenant || filter.status == "dead",
                      "a filter names something");
    }
    const auto checked = handler::read_new_messages(request, kMaxContent);
    if (const auto* problem = std::get_if<handler::Problem>(&checked)) {
        fuzz::promise(problem->status >= 400 && problem->status < 500 && !problem->message.empty(), "a refusal says why");
        return 0;
    }
    const auto& messages = std::get<handler::NewMessages>(checked);
    fuzz::promise(!messages.items.empty() && messages.items.size() <= handler::kMaxItems, "one to a thousand items");
    for (const auto& item : messages.items) {
        const auto* message = std::get_if<service::NewMessage>(&item);
        if (message == nullptr) continue;
        const auto fits = [](const std::string& text, std::size_t limit) {
            return !text.empty() && text.size() <= limit && core::is_utf8(text) && text.find('\0') == std::string::npos;
        };
        fuzz::promise(fits(message->recipient, handler::kMaxRecipientBytes), "PostgreSQL takes the recipient");
        fuzz::promise(fits(message->content, kMaxContent), "PostgreSQL takes the content");
    }
    return 0;
}

// GET /messages?…, cursors included, and the path's id: refused with a reason, or within the limits, and a cursor read is the
// cursor written.
#include "fuzz/fuzz.h"
#include "handler/cursor.h"
#include "handler/requests.h"
#include "http_server/target.h"
#include "service/message_store.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(fuzz::text_of(data, size));
    http::Request request;
    http_server::read_target("/messages?" + text, request);
    request.path_parameters.emplace_back("id", text);
    request.headers.emplace_back("Idempotency-Key", text);
    const auto message = handler::read_message_ref(request);
    if (const auto* ref = std::get_if<service::MessageRef>(&message)) fuzz::promise(ref->id > 0, "an id is positive");
    handler::read_idempotency_key(request);
    const auto checked = handler::read_list_query(request);
    if (const auto* problem = std::get_if<handler::Problem>(&checked)) {
        fuzz::promise(problem->status == 400 && !problem->message.empty(), "a refusal says why");
        return 0;
    }
    auto query = std::get<service::ListQuery>(checked);
    fuzz::promise(query.limit >= 1 && query.limit <= handler::kMaxLimit, "a page has one to 250 rows");
    if (!query.after) return 0;
    http::Request again = request;
    again.query.clear();
    for (const auto& [name, value] : request.query) {
        if (name != "cursor") again.query.emplace_back(name, value);
    }
    again.query.emplace_back("cursor", handler::write_cursor(query, *query.after));
    const auto reread = handler::read_list_query(again);
    const auto* same = std::get_if<service::ListQuery>(&reread);
    fuzz::promise(
        same != nullptr && same->after && same->after->major == query.after->major && same->after->id == query.after->id,
        "a cursor is read as it was written");
    return 0;
}

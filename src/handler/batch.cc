// Reading a body of one or many items, and the response that has one result for each.
#include "handler/batch.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "handler/requests.h"

namespace messaging::handler {
namespace {

void write_results(core::JsonWriter& json, const std::vector<const Problem*>& problems, WriteCreated write_created,
                   BodyGaps& gaps) {
    json.begin_array();
    for (std::size_t i = 0; i < problems.size(); ++i) {
        json.begin_object().key("index").integer(static_cast<std::int64_t>(i));
        if (problems[i] != nullptr) {
            json.key("status").integer(problems[i]->status);
            write_code(json, *problems[i]);
            json.key("message").string(problems[i]->message);
        } else {
            json.key("status").integer(201);
            write_created(json, gaps);
        }
        json.end_object();
    }
    json.end_array();
}

// For a single item its problem; for an array one problem, with the problems of all items in meta.errors.
Problem all_refused(const std::vector<const Problem*>& problems, bool is_array, const BatchNames& names) {
    if (!is_array) return *problems.front();
    return {.status = 422,
            .code = "nothing_accepted",
            .message = "no " + std::string(names.one) + " was accepted: meta.errors says what is wrong with each",
            .meta_members = [&problems](core::JsonWriter& json) {
                BodyGaps none;
                write_results(json.key("errors"), problems, nullptr, none);
            }};
}

}  // namespace

Checked<BatchBody> read_batch_body(const http::Request& request, const core::JsonLimits& limits, const BatchNames& names) {
    if (const auto problem = check_media_type(request)) return *problem;
    auto document = core::JsonDocument::parse(request.body, limits);
    if (!document) return Problem{400, "invalid_json", document.error().message};
    const bool is_array = document->root().is_array();
    if (is_array && document->root().size() == 0) {
        return Problem{422, "no_items", "send at least one " + std::string(names.one)};
    }
    if (is_array && document->root().size() > kMaxItems) {
        return Problem{422, "too_many_items",
                       "send at most " + std::to_string(kMaxItems) + " " + std::string(names.many) + " at once"};
    }
    return BatchBody{std::move(document.value()), is_array};
}

service::ResponseTemplate to_batch_response(const std::vector<const Problem*>& problems, bool is_array, const BatchNames& names,
                                            WriteCreated write_created, const std::string& request_id) {
    BodyGaps gaps;
    const auto good = std::count(problems.begin(), problems.end(), nullptr);
    if (good == 0) return gaps.split(to_response(all_refused(problems, is_array, names), request_id));
    const auto results = [&](core::JsonWriter& json) { write_results(json, problems, write_created, gaps); };
    const bool all = good == static_cast<std::ptrdiff_t>(problems.size());
    return gaps.split(
        to_response(all ? Answer{201, "created", results, {}}
                        : Answer{207, "some " + std::string(names.many) + " were refused: see each result", results, {}},
                    request_id));
}

}  // namespace messaging::handler

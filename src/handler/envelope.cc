// Writing of the envelope.
#include "handler/envelope.h"

#include <utility>

namespace messaging::handler {

http::Response to_response(const Answer& answer, const std::string& request_id) {
    core::JsonWriter json;
    json.begin_object().key("status").integer(answer.status).key("message").string(answer.message).key("data");
    if (answer.data) {
        answer.data(json);
    } else {
        json.null();
    }
    json.key("meta").begin_object();
    if (answer.meta_members) answer.meta_members(json);
    json.key("request_id").string(request_id).end_object().end_object();
    return to_response(answer.status, std::string(json.text()) + "\n", request_id);
}

http::Response to_response(int status, std::string body, const std::string& request_id) {
    http::Response response;
    response.status = status;
    response.headers = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}, {"X-Request-Id", request_id}};
    response.body = std::move(body);
    return response;
}

void write_code(core::JsonWriter& json, const Problem& problem) {
    json.key("code").string(problem.code);
    if (!problem.field.empty()) json.key("field").string(problem.field);
}

http::Response to_response(const Problem& problem, const std::string& request_id) {
    const auto meta = [&](core::JsonWriter& json) {
        write_code(json, problem);
        if (problem.meta_members) problem.meta_members(json);
    };
    auto response = to_response(Answer{problem.status, problem.message, {}, meta}, request_id);
    if (problem.status == 503 || problem.status == 429) response.headers.emplace_back("Retry-After", "1");
    if (problem.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
}

Problem to_problem(const core::Error& error) {
    switch (error.kind) {
        case core::ErrorKind::kInvalid:
            return {422, "invalid_field",
                    "PostgreSQL refused a value: check the fields of the request (of a message: recipient and content)"};
        case core::ErrorKind::kNotFound: return {404, "message_not_found", error.message};
        case core::ErrorKind::kConflict: return {409, "already_pending", error.message};
        case core::ErrorKind::kBusy: return refusal(503, "");
        case core::ErrorKind::kUnavailable:
        case core::ErrorKind::kTimeout: return {503, "unavailable", "PostgreSQL does not answer now: try again shortly"};
        case core::ErrorKind::kInternal: break;
    }
    return {
        500, "internal",
        "the service failed; its log has the reason, with this request_id or with the request_id of a failure shortly before"};
}

Problem refusal(int status, const std::string& why) {
    if (status == 413) return {413, "body_too_large", "send at most 5 MiB in one request: fewer or shorter messages"};
    if (status == 503) return {503, "busy", "too much is under way: try again shortly"};
    if (status >= 500) return to_problem({core::ErrorKind::kInternal, "", ""});
    return {status, "invalid_request",
            "this is not a request that HTTP/1.1 allows: " +
                (why.empty() ? "check request line, headers, Content-Length and chunks" : why)};
}

}  // namespace messaging::handler

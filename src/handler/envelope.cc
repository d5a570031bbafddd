// Writing of the envelope.
#include "handler/envelope.h"

namespace messaging::handler {

http::Response answer(int status, const std::string& message, const WriteJson& data, const WriteJson& meta_members) {
    core::JsonWriter json;
    json.begin_object().key("status").integer(status).key("message").string(message).key("data");
    if (data) {
        data(json);
    } else {
        json.null();
    }
    json.key("meta").begin_object();
    if (meta_members) meta_members(json);
    json.end_object().end_object();
    http::Response response;
    response.status = status;
    response.headers = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
    response.body = json.text();
    response.body.push_back('\n');
    return response;
}

http::Response answer(const Problem& problem) {
    auto response =
        answer(problem.status, problem.message, {}, [&](core::JsonWriter& json) { json.key("code").string(problem.code); });
    if (problem.status == 503) response.headers.emplace_back("Retry-After", "1");
    if (problem.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
}

Problem to_problem(const core::Error& error) {
    switch (error.kind) {
        case core::ErrorKind::kInvalid: return {422, "invalid", "PostgreSQL refused a value: check recipient and content"};
        case core::ErrorKind::kNotFound: return {404, "message_not_found", error.message};
        case core::ErrorKind::kConflict: return {409, "conflict", error.message};
        case core::ErrorKind::kUnavailable:
        case core::ErrorKind::kTimeout: return {503, "unavailable", "PostgreSQL does not answer now: try again shortly"};
        case core::ErrorKind::kInternal: break;
    }
    return {500, "internal", "the service failed; its log has the reason"};
}

}  // namespace messaging::handler

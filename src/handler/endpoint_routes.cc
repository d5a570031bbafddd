// Creating, listing, reading, changing, deleting, disabling, enabling and testing endpoints; their secrets.
#include "handler/endpoint_routes.h"

#include <optional>
#include <utility>
#include <variant>

#include "core/sqlstate.h"
#include "handler/encode.h"
#include "handler/endpoint_requests.h"
#include "handler/stored_response.h"

namespace messaging::handler {
namespace {

using service::EndpointView;

Problem to_endpoint_problem(const core::Error& error) {
    if (error.kind == core::ErrorKind::kNotFound) return {404, "endpoint_not_found", error.message};
    if (error.kind == core::ErrorKind::kConflict && error.sqlstate == core::kUniqueViolation) {
        return {409, "endpoint_name_taken", error.message, "name"};
    }
    if (error.kind == core::ErrorKind::kConflict && error.sqlstate.empty()) return {409, "endpoint_is_default", error.message};
    if (error.kind == core::ErrorKind::kInvalid && error.sqlstate == core::kCheckViolation) {
        return {422, "invalid_field", error.message, error.message.substr(0, error.message.find(' '))};
    }
    return to_problem(error);
}

core::Completion<EndpointView> answer(const Reply& reply, const char* message) {
    return [reply, message](const core::Result<EndpointView>& endpoint) {
        if (!endpoint) return reply.send(endpoint.error(), to_endpoint_problem);
        reply.send(Answer{200, message, [&](core::JsonWriter& json) { write_endpoint(json, endpoint.value()); }, {}});
    };
}

Problem to_secret_problem(const core::Error& error) {
    if (error.kind == core::ErrorKind::kConflict) return {409, "too_many_secrets", error.message};
    if (error.kind != core::ErrorKind::kInvalid) return to_endpoint_problem(error);
    return {422, "invalid_field", error.message, error.message.starts_with("overlap_seconds") ? "overlap_seconds" : "secret"};
}

Problem to_test_problem(const core::Error& error) {
    if (error.kind == core::ErrorKind::kConflict) return {429, "too_many_tests", error.message};
    if (error.kind == core::ErrorKind::kInvalid) return {422, "address_not_allowed", "nothing was sent: " + error.message};
    return to_endpoint_problem(error);
}

core::Completion<service::EndpointSecrets> answer_secrets(const Reply& reply, const char* message) {
    return [reply, message](const core::Result<service::EndpointSecrets>& secrets) {
        if (!secrets) return reply.send(secrets.error(), to_secret_problem);
        reply.send(Answer{200, message, [&](core::JsonWriter& json) { write_secrets(json, secrets.value()); }, {}});
    };
}

// As it will be: the gaps take the id, created_at, updated_at and state_since.
service::ResponseTemplate response_to(const service::EndpointChanges& endpoint, const std::string& request_id) {
    EndpointView view;
    const auto text = [](const service::Change<std::string>& change) { return change.value_or(std::nullopt); };
    view.name = text(endpoint.name).value_or("");
    view.url = text(endpoint.url).value_or("");
    view.description = text(endpoint.description);
    view.tenant = text(endpoint.tenant);
    view.headers = text(endpoint.headers).value_or(view.headers);
    view.event_types = endpoint.event_types.value_or(std::nullopt).value_or(view.event_types);
    view.signing = text(endpoint.signing).value_or(view.signing);
    view.max_in_flight = endpoint.max_in_flight.value_or(std::nullopt).value_or(view.max_in_flight);
    view.timeout_seconds = endpoint.timeout_seconds.value_or(std::nullopt);
    view.max_attempts = endpoint.max_attempts.value_or(std::nullopt);
    view.rate_limit = endpoint.rate_limit.value_or(std::nullopt);
    BodyGaps gaps;
    return gaps.split(
        to_response(Answer{201, "created", [&](core::JsonWriter& json) { write_endpoint(json, view, &gaps); }, {}}, request_id));
}

// Of the URL, where there is a new one.
std::optional<Problem> check(const service::EndpointChanges& changes, const UrlChecks& checks) {
    const std::string* url = changes.url && *changes.url ? &**changes.url : nullptr;
    if (url == nullptr) return std::nullopt;
    if (const auto fine = checks.form(*url); !fine) return invalid_field("url", fine.error().message);
    if (const auto fine = checks.address(*url); !fine)
        return Problem{422, "address_not_allowed", "url " + fine.error().message, "url"};
    return std::nullopt;
}

}  // namespace

void EndpointRoutes::list(const http::Request& request, const Reply& reply) {
    const auto checked = read_endpoint_query(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    const auto& query = std::get<service::EndpointQuery>(checked);
    registry_.list(query, [query, reply](const core::Result<service::EndpointPage>& page) {
        if (!page) return reply.send(page.error());
        const auto next = page->next ? std::optional(write_endpoint_cursor(query, *page->next)) : std::nullopt;
        reply.send(to_page(page->endpoints, query.limit, next, [](auto& json, const auto& one) { write_endpoint(json, one); }));
    });
}

void EndpointRoutes::create(const http::Request& request, const Reply& reply) {
    const auto checked = read_new_endpoint(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    const auto key = read_idempotency_key(request);
    if (const auto* problem = std::get_if<Problem>(&key)) return reply.send(*problem);
    const auto& endpoint = std::get<service::EndpointChanges>(checked);
    if (const auto problem = check(endpoint, checks_)) return reply.send(*problem);
    const service::ResponseTemplate response = response_to(endpoint, request.id);
    if (const auto& idempotency = std::get<std::optional<service::IdempotencyKey>>(key)) {
        return registry_.create_once(endpoint, *idempotency, response, [reply](const auto& stored) {
            const bool is_about_the_key = stored.ok() || stored.error().sqlstate == core::kLockNotAvailable ||
                                          (stored.error().kind == core::ErrorKind::kConflict && stored.error().sqlstate.empty());
            if (is_about_the_key) return send_stored(reply, stored);
            reply.send(stored.error(), to_endpoint_problem);
        });
    }
    registry_.create(endpoint, [reply, response](const core::Result<service::CreatedEndpoint>& created) {
        if (!created) return reply.send(created.error(), to_endpoint_problem);
        const std::string& at = created->created_at;
        reply.send_body(response.status, response.body({std::to_string(created->id), at, at, at}));
    });
}

void EndpointRoutes::get(const http::Request& request, const Reply& reply) {
    const auto endpoint = read_endpoint_ref(request);
    if (const auto* problem = std::get_if<Problem>(&endpoint)) return reply.send(*problem);
    registry_.get(std::get<service::EndpointRef>(endpoint), answer(reply, "ok"));
}

void EndpointRoutes::change(const http::Request& request, const Reply& reply) {
    const auto endpoint = read_endpoint_ref(request);
    if (const auto* problem = std::get_if<Problem>(&endpoint)) return reply.send(*problem);
    const auto checked = read_endpoint_changes(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    const auto& changes = std::get<service::EndpointChanges>(checked);
    if (const auto problem = check(changes, checks_)) return reply.send(*problem);
    registry_.change(std::get<service::EndpointRef>(endpoint), changes, answer(reply, "changed"));
}

void EndpointRoutes::remove(const http::Request& request, const Reply& reply) {
    const auto endpoint = read_endpoint_ref(request);
    if (const auto* problem = std::get_if<Problem>(&endpoint)) return reply.send(*problem);
    registry_.remove(std::get<service::EndpointRef>(endpoint),
                     answer(reply, "deleted: this is how it was; the messages that wait for it are dead-lettered"));
}

void EndpointRoutes::disable(const http::Request& request, const Reply& reply) {
    const auto endpoint = read_endpoint_ref(request);
    if (const auto* problem = std::get_if<Problem>(&endpoint)) return reply.send(*problem);
    const auto reason = read_reason(request);
    if (const auto* problem = std::get_if<Problem>(&reason)) return reply.send(*problem);
    registry_.disable(std::get<service::EndpointRef>(endpoint), std::get<std::optional<std::string>>(reason),
                      answer(reply, "disabled: its messages are kept until it is enabled"));
}

void EndpointRoutes::enable(const http::Request& request, const Reply& reply) {
    const auto endpoint = read_endpoint_ref(request);
    if (const auto* problem = std::get_if<Problem>(&endpoint)) return reply.send(*problem);
    registry_.enable(std::get<service::EndpointRef>(endpoint), answer(reply, "enabled: what was kept for it is sent first"));
}

void EndpointRoutes::with_signed(const http::Request& request, const Reply& reply, std::function<void(core::EndpointId)> then) {
    const auto endpoint = read_endpoint_ref(request);
    if (const auto* problem = std::get_if<Problem>(&endpoint)) return reply.send(*problem);
    registry_.get(
        std::get<service::EndpointRef>(endpoint), [reply, then = std::move(then)](const core::Result<EndpointView>& found) {
            if (!found) return reply.send(found.error(), to_endpoint_problem);
            if (!core::signing_kind_of(found->signing)) {
                return reply.send(Problem{409, "endpoint_not_signed",
                                          "requests to this endpoint are not signed: set signing to v1 or v1a", "signing"});
            }
            then(found->id);
        });
}

void EndpointRoutes::read_secret(const http::Request& request, const Reply& reply) {
    with_signed(request, reply, [this, reply](core::EndpointId id) { secrets_.read_secrets(id, answer_secrets(reply, "ok")); });
}

void EndpointRoutes::rotate_secret(const http::Request& request, const Reply& reply) {
    const auto checked = read_rotation(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    with_signed(request, reply, [this, reply, rotation = std::get<Rotation>(checked)](core::EndpointId id) {
        secrets_.rotate(
            id, rotation.secret, rotation.overlap,
            answer_secrets(reply, "rotated: requests carry signatures of the earlier secrets too, until these expire"));
    });
}

void EndpointRoutes::test(const http::Request& request, const Reply& reply) {
    const auto endpoint = read_endpoint_ref(request);
    if (const auto* problem = std::get_if<Problem>(&endpoint)) return reply.send(*problem);
    const auto checked = read_test(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    tester_.start_test(
        std::get<service::EndpointRef>(endpoint), std::get<service::EndpointTest>(checked),
        [reply](const core::Result<service::EndpointTestResult>& result) {
            if (!result) return reply.send(result.error(), to_test_problem);
            const char* message = result->error ? "not delivered" : "delivered";
            reply.send(Answer{200, message, [&](core::JsonWriter& json) { write_test(json, result.value()); }, {}});
        });
}

}  // namespace messaging::handler

// Makes the request of a test, and reads its result.
#include "gateway/endpoint_tester.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "core/json.h"
#include "core/outcome.h"
#include "core/rfc3339.h"
#include "core/text.h"
#include "http/reserved_headers.h"

namespace messaging::gateway {
namespace {

constexpr const char* kHidden = "***";

// No message has such an id, and it has no full stop (Standard Webhooks signs `id.timestamp.body`).
std::string new_test_id(core::Random& random) {
    char digits[17];
    std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(random.next_token()));
    return std::string("test_") + digits;
}

std::string test_body(const service::EndpointTest& test, core::WallTime now) {
    core::JsonWriter json;
    json.begin_object().key("type").string(test.type).key("timestamp").string(core::format_rfc3339_ms(now));
    json.key("data").json(test.data).end_object();
    return std::string(json.text());
}

// The values of headers that are kOurs are no secrets. WEBHOOK_AUTH_KEY is one, and its header is not kOurs.
http::Headers without_secrets(http::Headers headers) {
    for (auto& [name, value] : headers) {
        if (http::kind_of_header(name) != http::HeaderKind::kOurs) value = kHidden;
    }
    return headers;
}

service::EndpointTestResult read_result(http_client::PostResult answer) {
    service::EndpointTestResult result;
    result.response_excerpt = excerpt(std::move(answer.body));
    const core::AttemptResult attempt = to_attempt(std::move(answer));
    if (attempt.fault == core::AttemptFault::kNone) result.http_status = attempt.status;
    result.duration = std::chrono::duration_cast<std::chrono::milliseconds>(attempt.duration);
    if (!core::is_delivered(attempt)) result.error = core::clean_text(core::failure_of(attempt), core::kMaxErrorBytes);
    return result;
}

}  // namespace

http_client::ClientOptions for_tests(http_client::ClientOptions options) {
    options.max_in_flight = kMaxTests;
    options.max_response_bytes = kKeptBytes;
    options.max_received_bytes = kMaxAnswerBytes;
    return options;
}

std::string excerpt(std::string body) {
    const auto is_control = [](char c) { return (c >= 0 && c < ' ' && c != '\n' && c != '\t') || c == '\x7f'; };
    std::replace_if(body.begin(), body.end(), is_control, ' ');
    return core::clean_text(body, kExcerptBytes);
}

HttpEndpointTester::HttpEndpointTester(service::EndpointSource& endpoints, http_client::Client& client, const core::Clock& clock,
                                       core::Random& random, WebhookOptions options)
    : endpoints_(endpoints), client_(client), clock_(clock), random_(random), options_(std::move(options)) {}

void HttpEndpointTester::start_test(const service::EndpointRef& endpoint, service::EndpointTest test,
                                    core::Completion<service::EndpointTestResult> done) {
    endpoints_.load_endpoint(endpoint,
                             [this, test = std::move(test), done = std::move(done)](const core::Result<core::Endpoint>& found) {
                                 if (!found) return done(found.error());
                                 if (auto refusal = limits_.begin(found->id, clock_.mono())) {
                                     return done(core::Error{core::ErrorKind::kConflict, std::move(*refusal), ""});
                                 }
                                 send(found.value(), test, done);
                             });
}

void HttpEndpointTester::send(const core::Endpoint& endpoint, const service::EndpointTest& test,
                              core::Completion<service::EndpointTestResult> done) {
    const core::WallTime now = clock_.wall();
    auto request = webhook_request(new_test_id(random_), endpoint, options_, now, test_body(test, now));
    request.timeout = std::min<std::chrono::milliseconds>(request.timeout, service::kMaxTestTime);
    client_.start_post(request, [this, headers = without_secrets(request.headers), body = request.body,
                                 done = std::move(done)](http_client::PostResult answer) mutable {
        limits_.end();
        if (answer.fault == core::AttemptFault::kForbidden) {
            return done(core::Error{core::ErrorKind::kInvalid, std::move(answer.fault_detail), ""});
        }
        service::EndpointTestResult result = read_result(std::move(answer));
        result.headers = std::move(headers);
        result.body = std::move(body);
        done(std::move(result));
    });
}

}  // namespace messaging::gateway

// HttpEndpointTester: tests of endpoints as HTTP requests; implements service::EndpointTester.
#pragma once

#include <cstddef>
#include <string>

#include "core/clock.h"
#include "core/random.h"
#include "gateway/test_limits.h"
#include "gateway/webhook_sender.h"
#include "http_client/client.h"
#include "service/endpoint_tester.h"

namespace messaging::gateway {

inline constexpr std::size_t kExcerptBytes = 1024;            // of an answer's body
inline constexpr std::size_t kKeptBytes = kExcerptBytes + 3;  // so that a character at the excerpt's end is known to be one
inline constexpr std::size_t kMaxAnswerBytes = 64u << 10;     // of an answer's body: reading stops

// The client's options for tests; the others are those of deliveries.
http_client::ClientOptions for_tests(http_client::ClientOptions options);

// Loop thread only. What it is given must outlive it.
class HttpEndpointTester : public service::EndpointTester {
public:
    HttpEndpointTester(service::EndpointSource& endpoints, http_client::Client& client, const core::Clock& clock,
                       core::Random& random, WebhookOptions options);

    void start_test(const service::EndpointRef& endpoint, service::EndpointTest test,
                    core::Completion<service::EndpointTestResult> done) override;

private:
    void send(const core::Endpoint& endpoint, const service::EndpointTest& test,
              core::Completion<service::EndpointTestResult> done);

    service::EndpointSource& endpoints_;
    http_client::Client& client_;
    const core::Clock& clock_;
    core::Random& random_;
    WebhookOptions options_;
    TestLimits limits_;
};

// The beginning of an answer for people: valid UTF-8, with blanks in place of control characters.
std::string excerpt(std::string body);

}  // namespace messaging::gateway

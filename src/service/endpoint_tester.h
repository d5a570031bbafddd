// EndpointTester: makes one test request to an endpoint at once, without a message. EndpointSource: reads the endpoint. Ports:
// gateway implements the first, repository the second.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "service/endpoint_registry.h"

namespace messaging::service {

inline constexpr std::chrono::milliseconds kTestInterval{1000};  // between two tests of one endpoint
inline constexpr std::chrono::seconds kMaxTestTime{25};          // for one test, if its endpoint may take longer: a client waits

struct EndpointTest {
    std::string type = "messaging.test";
    std::string data = "{}";  // JSON, sent byte for byte
};

struct EndpointTestResult {
    std::optional<int> http_status{};
    std::chrono::milliseconds duration{0};
    std::optional<std::string> error{};                          // nullopt: delivered
    std::vector<std::pair<std::string, std::string>> headers{};  // of the request; values that may be secret are hidden
    std::string body{};                                          // of the request
    std::string response_excerpt{};                              // printable UTF-8
};

// Loop thread only; every completion as in core/completion.h.
class EndpointTester {
public:
    virtual ~EndpointTester() = default;
    // Also where the endpoint is disabled. A receiver that refuses or does not answer is a result. Errors: kNotFound; kInvalid:
    // the endpoint's address is not allowed, and nothing was sent; kConflict: there was a test of this endpoint less than
    // kTestInterval ago, or too many tests are under way; kInternal: its secret cannot be opened.
    virtual void start_test(const EndpointRef& endpoint, EndpointTest test, core::Completion<EndpointTestResult> done) = 0;
};

class EndpointSource {
public:
    virtual ~EndpointSource() = default;
    // With the signers of its secrets, which are made where there are none. kNotFound.
    virtual void load_endpoint(const EndpointRef& endpoint, core::Completion<core::Endpoint> done) = 0;
};

}  // namespace messaging::service

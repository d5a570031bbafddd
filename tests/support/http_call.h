// A small blocking HTTP client for tests.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace messaging::test {

struct HttpCall {
    std::string method = "GET";
    std::string url;
    http::Headers headers;
    std::string body;
    std::chrono::milliseconds timeout{20000};
};

struct HttpReply {
    int status = 0;     // 0: no answer, see error
    std::string error;  // why there is no whole answer, empty when there is one
    http::Headers headers;
    std::string body;

    std::optional<std::string_view> header(std::string_view name) const;  // case-insensitive
};

// Any thread; each call opens a connection of its own.
HttpReply http_call(const HttpCall& call);
HttpReply http_get(const std::string& url);
// With Content-Type: application/json.
HttpReply http_post(const std::string& url, const std::string& body = "");

}  // namespace messaging::test

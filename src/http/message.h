// The HTTP request and response as values, shared by server and router.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace messaging::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
    std::string method;                                                // as sent, upper case
    std::string path;                                                  // percent-decoded, without query
    std::vector<std::pair<std::string, std::string>> query;            // percent-decoded, in order
    std::vector<std::pair<std::string, std::string>> path_parameters;  // filled by the router: {"id", "42"}
    Headers headers;
    std::string body;
    std::string peer;  // address of the client
    std::string id;    // what log and answer call it, given by the handler

    std::optional<std::string_view> header(std::string_view name) const;  // case-insensitive; the first one
    std::optional<std::string_view> query_parameter(std::string_view name) const;
    std::string_view path_parameter(std::string_view name) const;  // empty when absent
};

struct Response {
    int status = 200;
    std::string content_type = "application/json";
    Headers headers;
    std::string body;
    std::shared_ptr<const std::string> shared_body{};  // instead of body: not copied, however many clients it is written to
    const std::string& content() const { return shared_body ? *shared_body : body; }
};

}  // namespace messaging::http

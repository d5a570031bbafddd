// Requests spread over a few curl multi handles, and the check of a URL.
#include "http_client/client.h"

#include <functional>
#include <utility>
#include <vector>

#include "http_client/handles.h"
#include "http_client/multi.h"

namespace messaging::http_client {

struct Client::Impl {
    Impl(loop::EventLoop& loop, ClientOptions the_options) : options(std::move(the_options)) {
        const std::size_t count = options.max_in_flight / kRequestsOfAMulti + 1;
        for (std::size_t i = 0; i < count; ++i) multis.push_back(std::make_unique<Multi>(loop, options));
    }

    // The one where this URL's connections are; the next one when that is full.
    Multi& choose(const std::string& url) {
        const std::size_t home = std::hash<std::string>()(url) % multis.size();
        for (std::size_t i = 0; i < multis.size(); ++i) {
            Multi& multi = *multis[(home + i) % multis.size()];
            if (multi.in_flight() < kRequestsOfAMulti) return multi;
        }
        return *multis[home];
    }

    const ClientOptions options;
    std::vector<std::unique_ptr<Multi>> multis;  // depends-on: options
};

Client::Client(loop::EventLoop& loop, ClientOptions options) : impl_(std::make_unique<Impl>(loop, std::move(options))) {}

Client::~Client() = default;

void Client::start_post(PostRequest request, Completion done) {
    Multi& multi = impl_->choose(request.url);
    multi.start(std::move(request), std::move(done));
}

std::size_t Client::in_flight() const {
    std::size_t all = 0;
    for (const auto& multi : impl_->multis) all += multi->in_flight();
    return all;
}

core::Result<core::Unit> check_url(const std::string& url) {
    const auto wrong = [](std::string message) { return core::Error{core::ErrorKind::kInvalid, std::move(message)}; };
    if (url.find('\0') != std::string::npos) return wrong("must not contain a NUL character");
    const CurlUrlHandle parsed(curl_url());
    if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        return wrong("must be an absolute URL such as https://example.com/hook");
    }
    const auto part = [&](CURLUPart which) {
        char* text = nullptr;
        const bool found = curl_url_get(parsed.get(), which, &text, 0) == CURLUE_OK;
        std::string value = found ? text : "";
        curl_free(text);
        return value;
    };
    const std::string scheme = part(CURLUPART_SCHEME);
    if (scheme != "http" && scheme != "https") return wrong("must begin with http:// or https://");
    if (part(CURLUPART_HOST).empty()) return wrong("must name a host");
    if (!part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty()) {
        return wrong("must not contain a user name or password: send a header instead");
    }
    return core::Unit{};
}

}  // namespace messaging::http_client

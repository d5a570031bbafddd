// Distributes requests over several curl multi handles.
#include "http_client/client.h"

#include <functional>
#include <utility>
#include <vector>

#include "http_client/multi.h"

namespace messaging::http_client {

struct Client::Impl {
    Impl(loop::EventLoop& loop, ClientOptions the_options) : options(std::move(the_options)) {
        const std::size_t count = multis_for(options.max_in_flight);
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

}  // namespace messaging::http_client

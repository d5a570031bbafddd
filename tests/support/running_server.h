// RunningServer: an http_server::Server on a thread of its own.
#pragma once

#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "commands/delayed_responses.h"
#include "http_server/server.h"
#include "loop/event_loop.h"

namespace messaging::test {

inline constexpr std::size_t kBodyLimit = 1000;

// Refuses with a JSON body and the header X-Mine. Everything of it is destroyed on its thread.
class RunningServer {
public:
    explicit RunningServer(http_server::RequestHandler handler, http_server::ServerOptions options = {}) : delayed_(loop_) {
        options.port = 0;
        options.max_body_bytes = kBodyLimit;
        options.default_response = [](int status, const std::string& why) {
            return http::Response{
                status, "application/json", {{"X-Mine", "yes"}, {"X-Why", why}}, R"({"code":)" + std::to_string(status) + "}"};
        };
        server_ = std::move(http_server::Server::listen(loop_, std::move(options), std::move(handler)).value());
        port_ = server_->port();
        thread_ = std::thread([this] { loop_.run(); });
    }
    // Runs `task` on the server's thread and waits for it.
    template <typename Task>
    auto run(Task task) {
        std::packaged_task<decltype(task())()> packaged(std::move(task));
        auto result = packaged.get_future();
        loop_.post([&packaged] { packaged(); });
        return result.get();
    }

    ~RunningServer() {
        run([this] { server_.reset(); });
        loop_.stop();
        thread_.join();
    }

    std::string url(const std::string& path = "/") const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
    int port() const { return port_; }
    http_server::Server& server() { return *server_; }
    void drop_server() {
        run([this] { server_.reset(); });
    }
    commands::DelayedResponses& delayed() { return delayed_; }

private:
    loop::EventLoop loop_;
    std::unique_ptr<http_server::Server> server_;
    commands::DelayedResponses delayed_;
    int port_ = 0;
    std::thread thread_;
};

}  // namespace messaging::test

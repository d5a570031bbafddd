// WatchedConnection: a pg::Connection with what it has told, and the loop it lives on.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pg/connection.h"
#include "support/fixed_random.h"
#include "support/loop_runner.h"

namespace messaging::test {

inline constexpr pg::Statement kOne{"one", "SELECT 1"};

inline pg::Steps one_step(const pg::Statement& statement, pg::Params params = {}) {
    pg::Steps steps;
    steps.push_back({&statement, std::move(params)});
    return steps;
}

class WatchedConnection {
public:
    using Answer = core::Result<std::vector<pg::Rows>>;

    explicit WatchedConnection(const std::string& url) { options.url = url; }

    void start() {
        options.application_name = "pg_test";
        connection = std::make_unique<pg::Connection>(loop, random, options,
                                                      pg::Connection::Events{
                                                          [this] { ++ups; },
                                                          [this](const core::Error& error) { downs.push_back(error); },
                                                          [this](const core::Error& error) { failures.push_back(error); },
                                                          [this](const std::string& channel) { notified.push_back(channel); },
                                                      });
        connection->start();
    }
    bool start_and_wait() {
        start();
        return run_until(loop, [this] { return ups == 1; });
    }
    std::optional<Answer> run(pg::Steps steps) {
        std::optional<Answer> answer;
        connection->execute(std::move(steps), [&](Answer result) { answer = std::move(result); });
        completed_inside_call = completed_inside_call || answer.has_value();
        run_until(loop, [&] { return answer.has_value(); });
        return answer;
    }
    // The first column of the first row, or the error in words.
    std::string run_text(const pg::Statement& statement, pg::Params params = {}) {
        const auto answer = run(one_step(statement, std::move(params)));
        if (!answer || !answer->ok()) return answer ? answer->error().message : "no answer";
        return std::string(answer->value().at(0).text(0, 0));
    }

    loop::EventLoop loop;
    FixedRandom random;
    pg::ConnectionOptions options;
    bool completed_inside_call = false;
    int ups = 0;
    std::vector<core::Error> downs;
    std::vector<core::Error> failures;
    std::vector<std::string> notified;
    std::unique_ptr<pg::Connection> connection;  // depends-on: all of the above
};

}  // namespace messaging::test
